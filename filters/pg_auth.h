/* Gatehouse's own login at a PostgreSQL server: trust, cleartext, md5, SCRAM-SHA-256 (RFC 5802, RFC 7677), client side.
 * Source: PostgreSQL documentation, "Message Flow, Start-up" and "SASL Authentication". */
#ifndef GH_FILTERS_PG_AUTH_H
#define GH_FILTERS_PG_AUTH_H

#include "filters/bytes.h"

struct pg_auth {
    char *user, *password; /* owned; password wiped by pg_auth_end() */
    bool allow_cleartext;
    char nonce[33]; /* base64 of the client's random bytes */
    enum { PG_AUTH_START, PG_SCRAM_FIRST, PG_SCRAM_PROVED, PG_SCRAM_VERIFIED, PG_AUTH_DONE } state;
    uint8_t server_key[32];  /* of SCRAM, to check the server's signature */
    struct buf auth_message; /* client-first-bare "," server-first "," client-final-without-proof */
};

/* Copies user and password. False without memory. */
bool pg_auth_begin(struct pg_auth *a, const char *user, const char *password, const uint8_t nonce[24], bool allow_cleartext);
/* The body of one Authentication message; appends what is to be sent. *done: the server said AuthenticationOk.
 * UNSUPPORTED: a method that we do not speak, or cleartext where it is not allowed. A server that skips its half of SCRAM's proof is MALFORMED. */
enum gh_rc pg_auth_step(struct pg_auth *a, struct cur body, struct buf *out, bool *done, struct gh_err *err);
void pg_auth_end(struct pg_auth *a); /* wipes and frees; safe twice */

#endif
