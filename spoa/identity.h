/* Who is asking: what a verified token gives, and what is recorded of it. Shared by sessions and by the statement API. */
#ifndef GH_SPOA_IDENTITY_H
#define GH_SPOA_IDENTITY_H

#include "spoa/daemon.h"
#include "spoa/record.h"

/* What the database's configuration pins; borrowed from it. */
struct pol_pins identity_pins(const struct conf_database *db);
/* The catalog that a role goes by: of is NULL when the role restricts nothing. */
struct catalog_use {
    struct catalog *of;
    uint64_t generation; /* 0: none was read yet */
    bool rewrites;       /* in: see pol_role_use_catalog() */
};
/* What the snapshot's policy says for this identity on db, with the catalog in force. use NULL: without a catalog, for a role that judges nothing. NULL
 * when out of memory. */
struct pol_role *identity_role(struct catalogs *all, const struct snap *s, const struct jwt_identity *who, const struct conf_database *db,
                               struct catalog_use *use);
/* True when a newer catalog is in force: the role is to be made anew. */
bool identity_outdated(const struct catalog_use *use);
/* The groups joined with commas; the caller frees. NULL when out of memory. */
char *identity_groups(const struct jwt_identity *who);
/* The sentence of who has no rule at all for the database. */
void identity_no_rule(const struct jwt_identity *who, const char *database, char *out, size_t size);
/* What whoever runs the gate can do about it. */
const char *identity_no_rule_todo(const struct jwt_identity *who);

/* A credential or an identity that was not let in: recorded in gatehouse:auth and logged. Texts may be NULL. */
struct identity_refusal {
    const char *session, *api, *src, *user, *database, *principal, *cert_subject, *sqlstate, *reason;
    const char *todo; /* for the log: what who runs the gate can do */
    uint16_t src_port;
};
void identity_record_refusal(struct led *l, const struct identity_refusal *r);
/* So many bad credentials beyond what limits.login_failures (by_source), or login_failures_per_name, have recorded one by one. session, user:
 * of the last one; session may be NULL. */
void identity_record_flood(struct led *l, const char *session, const char *src, const char *user, bool by_source, uint64_t n);

/* The events session.open and session.close, in the session's stream and in the index. Texts may be NULL. */
struct identity_session {
    const char *session, *api, *user, *src, *application_name, *groups, *database;
    const char *sni, *alpn, *cert_subject, *cert_fingerprint; /* of the TLS connection */
    const struct jwt_identity *who;
    uint16_t src_port;
};
void identity_record_open(struct led *l, const struct identity_session *s, const struct snap *snap, const struct pol_role *role);
/* The event session.renewed, likewise in both. */
void identity_record_renewed(struct led *l, const char *session, const char *database, const struct jwt_identity *who, const char *groups);
struct identity_close {
    const char *session, *principal, *database, *reason;
    uint64_t statements, refused, rows, bytes, sent, duration_ms;
};
void identity_record_close(struct led *l, const struct identity_close *c);

#endif
