/* A sign-in by authorization code (OpenID Connect Core 1.0, section 3.1) with PKCE (RFC 7636), as far as it needs no network: what is sent to the
 * provider's authorization endpoint, and whether what the browser brings back belongs to it.
 *
 * The daemon keeps nothing for a sign-in that has begun, so nobody can fill its memory by beginning many: the browser keeps a cookie with random
 * bytes, a time and where to go afterwards, under a MAC of a key that lives as long as the process. State, nonce and code verifier are MACs over it,
 * each under a name of its own. What came to an end well cannot be used again. */
#ifndef GH_SPOA_PAGE_LOGIN_H
#define GH_SPOA_PAGE_LOGIN_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define LOGIN_TIME_MS     600000u /* from the beginning to the end */
#define LOGIN_NEXT_SIZE   17      /* a request's id, or "" */
#define LOGIN_COOKIE_SIZE 128
#define LOGIN_TOKEN_SIZE  44 /* 43 characters of base64url, 256 bits, and a NUL */

struct login_keys; /* opaque. One thread's */
/* NULL when out of memory or randomness. */
struct login_keys *login_keys_new(void);
void login_keys_free(struct login_keys *k); /* NULL is fine */

struct login {
    char cookie[LOGIN_COOKIE_SIZE];
    char next[LOGIN_NEXT_SIZE];
    char state[LOGIN_TOKEN_SIZE], nonce[LOGIN_TOKEN_SIZE];
    char verifier[LOGIN_TOKEN_SIZE]; /* secret: goes to the token endpoint alone */
};
/* next: a request's id, or "". False without randomness. */
bool login_begin(const struct login_keys *k, const char *next, uint64_t now_ms, struct login *out);
/* The sign-in that this cookie is of. False for a cookie that is not ours, too old, or used. */
bool login_resume(const struct login_keys *k, const char *cookie, uint64_t now_ms, struct login *out);
/* It has ended well. */
void login_used(struct login_keys *k, const struct login *l, uint64_t now_ms);
/* Equal, in a time that does not tell where they differ. */
bool login_equal(const char *a, const char *b);
/* 256 random bits as text. False without randomness. */
bool login_random(char out[LOGIN_TOKEN_SIZE]);

struct login_client { /* strings are borrowed */
    const char *id, *redirect_uri, *scope;
    const char *const *more; /* name, value, ..., NULL; NULL: none */
};
/* The address to send the browser to (RFC 6749, section 4.1.1); the caller frees. NULL when out of memory. */
char *login_address(const char *authorization_endpoint, const struct login_client *c, const struct login *l);
/* The body for the token endpoint (section 4.1.3, RFC 7636, section 4.5); wipe it and free it. NULL when out of memory. secret: client_secret, to be
 * sent in the body; NULL: not there. */
char *login_token_form(const struct login_client *c, const struct login *l, const char *code, const char *secret);
/* The header line Authorization for client_secret_basic (RFC 6749, section 2.3.1); wipe it and free it. NULL when out of memory. */
char *login_basic(const char *client_id, const char *secret);

#endif
