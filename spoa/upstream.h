/* Gatehouse's own login at a database: what sessions and Gatehouse itself as a client share. */
#ifndef GH_SPOA_UPSTREAM_H
#define GH_SPOA_UPSTREAM_H

#include "spoa/config.h"
#include "spoa/pump.h"

struct upstream_cred { /* what a login under way was given: held until it is over */
    char *user;
    struct cred *cred; /* NULL: no password */
    struct cred_value *value;
};
void upstream_cred_drop(struct upstream_cred *c);

/* As l says, with a fresh nonce; params are the caller's to add. Strings are borrowed from db and l; the password from *held, which is taken anew.
 * False without memory or random bytes. */
bool upstream_login(const struct conf_database *db, const struct conf_login *l, struct upstream_cred *held, struct flt_upstream *up);
/* Answers FLT_EV_UPSTREAM_TLS: begins TLS on the server's side. NULL, or why not. */
const char *upstream_tls(struct pump *p, struct tls_ctx *ctx);
/* From the pump's on_tls, when all went well: tells the filter what the login may be bound to. */
void upstream_secured(struct pump *p);

#endif
