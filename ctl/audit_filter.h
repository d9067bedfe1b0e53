/* Which events of the record somebody wants to see. */
#ifndef GH_CTL_AUDIT_FILTER_H
#define GH_CTL_AUDIT_FILTER_H

#include "ctl/audit.h"

struct audit_filter {
    const struct audit_options *o;
    char since[32], until[32]; /* as events have their time; "": open */
    char from[32];             /* the stream id that since means: a session's streams have ids of the node's clock */
};
/* False after a message on stderr. */
bool audit_filter_init(struct audit_filter *f, const struct audit_options *o);
bool audit_filter_takes(const struct audit_filter *f, const struct audit_event *e);

#endif
