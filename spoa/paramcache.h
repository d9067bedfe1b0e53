/* What a database's server last reported as ParameterStatus, by database and by the role that was logged in: shown to a client before its own connection is open. Any thread. */
#ifndef GH_SPOA_PARAMCACHE_H
#define GH_SPOA_PARAMCACHE_H

#include "filters/filter.h"

struct paramcache;
struct paramset { /* one copy; strings and array in one allocation */
    size_t n;
    struct flt_kv kv[];
};

struct paramcache *paramcache_new(void);
void paramcache_free(struct paramcache *c);
/* Remembers a copy. More than 64 parameters or 64 KiB are not kept. */
void paramcache_put(struct paramcache *c, const char *database, const char *user, const struct flt_kv *kv, size_t n);
/* A copy for the caller to free(); NULL when nothing is known. */
struct paramset *paramcache_get(struct paramcache *c, const char *database, const char *user);
/* The database's configuration changed: forget it. NULL forgets all. */
void paramcache_forget(struct paramcache *c, const char *database);

#endif
