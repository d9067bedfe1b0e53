/* The startup parameters of a PostgreSQL client: checked, judged, and turned into those that the server gets. */
#ifndef GH_SPOA_STARTUP_H
#define GH_SPOA_STARTUP_H

#include "filters/filter.h"
#include "policy/policy.h"
#include "spoa/config.h"
#include "spoa/paramcache.h"

#define STARTUP_LABEL    64 /* NAMEDATALEN */
#define STARTUP_SETTINGS 64 /* that a client may ask for */

struct startup { /* accepted settings; owned strings */
    size_t n;
    struct flt_kv kv[STARTUP_SETTINGS];
};
/* NULL and *why (sqlstate, message, hint) when a parameter is not accepted. */
struct startup *startup_read(const struct pol_role *role, const struct conf_database *db, const struct flt_kv *params, size_t n,
                             struct pol_verdict *why);
/* What the client wants to be asked for, by "-c gatehouse.auth=oauthbearer" or "=password" in its options: 1 or 0; -1: it does not say. */
int startup_auth(const struct flt_kv *params, size_t n);
void startup_free(struct startup *s);
/* The client's own application_name; "" when it has none. */
const char *startup_get(const struct startup *s, const char *name);

/* Whose session it is, as the database gets to know it: in gatehouse.principal, .groups and .session, which no client can set. */
struct startup_who {
    const char *session, *principal;
    char *const *groups; /* UTF-8 without control characters; so is the principal */
    size_t ngroups;
    char groups_text[2048]; /* scratch of startup_upstream(): a JSON array */
    char label[STARTUP_LABEL];
};
/* application_name for the server, after the database's template: client is what the client calls itself. */
void startup_label(const char *template, const struct startup_who *who, const char *client, char out[STARTUP_LABEL]);
/* What the server's connection starts with: pins, who it is, the database's settings, the client's. kv has room for max; returns the count. Strings
 * are borrowed from s, db and who. Groups whose text is longer than there is room for are left out, all of them: some would be a lie. */
size_t startup_upstream(const struct startup *s, const struct conf_database *db, struct startup_who *who, struct flt_kv *kv, size_t max);
/* Lays the client's settings over what the server reported to an earlier session. False when that cannot tell what the server would report:
 * then the client must wait for the server's own. Strings are borrowed from both. */
bool startup_overlay(const struct startup *s, struct paramset *reported);

#endif
