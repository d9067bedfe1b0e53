/* Gatehouse's own login at a PostgreSQL server: trust or certificate, cleartext, md5, SCRAM-SHA-256 and -PLUS (RFC 5802, RFC 7677), client side.
 * Source: PostgreSQL documentation, "Message Flow, Start-up" and "SASL Authentication". */
#ifndef GH_FILTERS_PG_AUTH_H
#define GH_FILTERS_PG_AUTH_H

#include "filters/filter.h"

#define PG_END_POINT_MAX 64 /* SHA-512 */

struct pg_auth {
    char *user;           /* owned */
    const char *password; /* borrowed */
    bool allow_cleartext, need_binding;
    bool plus; /* SCRAM-SHA-256-PLUS was chosen */
    bool tls;
    uint8_t end_point[PG_END_POINT_MAX]; /* of the TLS connection; length 0: undefined */
    size_t end_point_len;
    char nonce[33]; /* base64 of the client's random bytes */
    enum { PG_AUTH_START, PG_SCRAM_FIRST, PG_SCRAM_PROVED, PG_SCRAM_VERIFIED, PG_AUTH_DONE } state;
    uint8_t server_key[32];  /* of SCRAM, to check the server's signature */
    struct buf auth_message; /* client-first-bare "," server-first "," client-final-without-proof */
};

/* The password stays borrowed until pg_auth_end(). False without memory. */
bool pg_auth_begin(struct pg_auth *a, const struct flt_upstream *up);
/* The connection is TLS now: SCRAM binds itself to it when both sides can. */
void pg_auth_secured(struct pg_auth *a, const struct flt_secured *s);
/* The body of one Authentication message; appends what is to be sent. *done: the server said AuthenticationOk.
 * UNSUPPORTED: a method that we do not speak, or one that is not allowed here. A server that skips its half of SCRAM's proof is MALFORMED. */
enum gh_rc pg_auth_step(struct pg_auth *a, struct cur body, struct buf *out, bool *done, struct gh_err *err);
void pg_auth_end(struct pg_auth *a); /* wipes and frees; safe twice */

#endif
