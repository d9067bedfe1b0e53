/* The sessions that a ledger's own daemon has open: retention leaves them alone, however long they are idle. Any thread. */
#ifndef GH_SPOA_LEDGER_LIVE_H
#define GH_SPOA_LEDGER_LIVE_H

#include "spoa/ledger.h"

struct live;
struct live *live_new(void);    /* NULL: no memory */
void live_free(struct live *l); /* NULL is fine */
/* What is appended: session.open and session.close count. */
void live_note(struct live *l, const struct led_event *ev);
bool live_has(struct live *l, const char *session);

#endif
