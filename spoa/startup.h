/* The startup parameters of a PostgreSQL client: checked, judged, and turned into those that the server gets. */
#ifndef GH_SPOA_STARTUP_H
#define GH_SPOA_STARTUP_H

#include "filters/filter.h"
#include "policy/policy.h"
#include "spoa/config.h"
#include "spoa/paramcache.h"

#define STARTUP_SETTINGS 64 /* that a client may ask for */

struct startup { /* accepted settings; owned strings */
    size_t n;
    struct flt_kv kv[STARTUP_SETTINGS];
};
/* NULL and *why (sqlstate, message, hint) when a parameter is not accepted. */
struct startup *startup_read(const struct pol_role *role, const struct conf_database *db, const struct flt_kv *params, size_t n,
                             struct pol_verdict *why);
void startup_free(struct startup *s);
/* The client's own application_name; "" when it has none. */
const char *startup_get(const struct startup *s, const char *name);

/* What the server's connection starts with: pins, the database's settings, the client's. kv has room for max; returns the count. Strings are
 * borrowed from s and db. */
size_t startup_upstream(const struct startup *s, const struct conf_database *db, struct flt_kv *kv, size_t max);
/* Lays the client's settings over what the server reported to an earlier session. False when that cannot tell what the server would report:
 * then the client must wait for the server's own. Strings are borrowed from both. */
bool startup_overlay(const struct startup *s, struct paramset *reported);

#endif
