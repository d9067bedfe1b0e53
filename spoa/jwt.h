/* Verification of an OIDC token: a compact JWS (RFC 7515) with JWT claims (RFC 7519, RFC 9068), signed with one of jwa.h's algorithms. */
#ifndef GH_SPOA_JWT_H
#define GH_SPOA_JWT_H

#include "spoa/jwks.h"

#include <stdint.h>

#define JWT_TOKEN_MAX      8192 /* default limit, bytes */
#define JWT_LEEWAY_DEFAULT 30   /* seconds */
#define JWT_NAME_MAX       255  /* bytes of a principal or a group */
#define JWT_GROUPS_MAX     256
#define JWT_ATTRIBUTES_MAX 16
#define JWT_ATTRIBUTE_MAX  255 /* bytes of a value */

/* A claim's path is a claim's whole name ("https://shop.example/groups"), else a dotted path into objects ("realm_access.roles").
 *
 * Everything is borrowed and immutable; any number of threads may verify at once. */
struct jwt_require { /* a claim that must be there with one of these values */
    const char *path;
    const char *const *values; /* compared as text: a boolean is "true" or "false", a whole number its decimal digits */
    size_t nvalues;
};
struct jwt_client { /* groups of a client's own tokens, which have no groups claim */
    const char *id;
    const char *subject; /* that the token's sub must be; NULL: whatever it is, so also people who log in through this client */
    const char *const *groups;
    size_t ngroups;
};
struct jwt_attribute { /* a claim that is kept for the policy */
    const char *name, *path;
};

struct keysource; /* keystore.h */

struct jwt_issuer {
    const char *issuer;           /* equal to the token's iss, byte for byte */
    const char *const *audiences; /* one of them must be in aud */
    size_t naudiences;
    struct jwks *keys; /* NULL: those that source has at the moment */
    struct keysource *source;
    unsigned algs;               /* set of enum jwa_alg; 0: none, so nothing verifies */
    const char *principal_claim; /* path; NULL: "sub" */
    const char *groups_claim;    /* path; NULL: "groups". An array of strings, or one string with groups separated by spaces */
    unsigned leeway;             /* seconds on exp, nbf and iat (JWT_LEEWAY_DEFAULT) */
    const struct jwt_require *required;
    size_t nrequired;
    const struct jwt_client *clients;
    size_t nclients;
    const struct jwt_attribute *attributes; /* at most JWT_ATTRIBUTES_MAX */
    size_t nattributes;
};

struct jwt_conf {
    const struct jwt_issuer *issuers;
    size_t nissuers;
    size_t max_token; /* bytes; 0: JWT_TOKEN_MAX */
};

struct jwt_value {
    char *name, *value;
};
struct jwt_identity {
    char *principal; /* UTF-8, 1 to JWT_NAME_MAX bytes, no control or direction-changing characters */
    char **groups;   /* likewise each; NULL when there are none */
    size_t ngroups;
    struct jwt_value *attributes; /* those that the token has, in the configuration's order; a value is UTF-8 of at most JWT_ATTRIBUTE_MAX
                                     bytes without control characters, and may be empty; NULL when there are none */
    size_t nattributes;
    int64_t exp;         /* as the token says, seconds since 1970 */
    int64_t valid_until; /* exp and the leeway: refuse from this second on */
    char *issuer;
    char *kid;      /* of the key that verified it; "" when it has none */
    char *bound_to; /* cnf.x5t#S256 (RFC 8705): the client certificate without which the token must not be taken; NULL: any */
};
void jwt_identity_free(struct jwt_identity *id); /* NULL is fine */
/* True when both are the same to any policy: issuer, principal, groups, attributes. */
bool jwt_identity_same(const struct jwt_identity *a, const struct jwt_identity *b);

enum jwt_rc {
    JWT_OK = 0,
    JWT_NO_MEMORY,
    JWT_TOO_LONG,
    JWT_MALFORMED,      /* not three segments */
    JWT_BAD_BASE64,     /* a segment is not strict base64url */
    JWT_BAD_HEADER,     /* not a JSON object, a member twice, a member of the wrong type */
    JWT_BAD_TYP,        /* typ is something else than JWT or at+jwt */
    JWT_HEADER_REFUSED, /* crit, b64, zip, jku, jwk, x5u, x5c: nothing that we would follow */
    JWT_ALG_REFUSED,    /* none, HS256, or another that is not allowed for this issuer */
    JWT_BAD_CLAIMS,     /* the payload is not a JSON object, or has a member twice */
    JWT_BAD_ISSUER,     /* iss missing, not a string, or not configured */
    JWT_NO_KEYS,        /* the issuer's keys have not been fetched yet */
    JWT_UNKNOWN_KEY,    /* no key with this kid, or without a kid none that fits */
    JWT_AMBIGUOUS_KEY,  /* no kid, and more than one key fits */
    JWT_KEY_MISMATCH,   /* the key of this kid is not for this alg */
    JWT_BAD_SIGNATURE,
    JWT_BAD_AUDIENCE,
    JWT_NO_EXPIRY, /* exp missing */
    JWT_BAD_TIME,  /* exp, nbf or iat is not a number of seconds */
    JWT_EXPIRED,
    JWT_NOT_YET,       /* nbf or iat lies in the future */
    JWT_CLAIM_REFUSED, /* a required claim is missing or has another value */
    JWT_BAD_PRINCIPAL, /* the claim is missing, not a string, too long, or has characters that it may not have */
    JWT_BAD_GROUPS,    /* likewise; or the token says that its groups are to be asked for elsewhere */
    JWT_BAD_CLIENT,    /* azp, client_id and the like name different clients */
    JWT_BAD_ATTRIBUTE, /* an attribute is no string, whole number or boolean, is too long, or has characters that it may not have */
    JWT_BAD_BINDING,   /* cnf is there, and is not x5t#S256 alone: a proof of possession that cannot be checked here */
    JWT_BAD_NONCE,     /* of an ID token: missing, or not the one that was sent */
};
#define JWT_RC_LAST JWT_BAD_NONCE
/* What is allowed for principals and groups: s, which is UTF-8, has 1 to JWT_NAME_MAX bytes and no characters that hide or reorder others. */
bool jwt_is_name(const char *s, size_t len);
/* A short text for the log and the record ("unknown key"); never shown to the client, never holds anything of the token. */
const char *jwt_rc_name(enum jwt_rc rc);

/* After JWT_NOT_YET: by how many seconds its nbf or iat, whichever is later, lies in the future. */
int64_t jwt_seconds_ahead(const char *token, size_t len, int64_t now);
/* What is known besides, after a result that is not JWT_OK; of conf, and NULL where there is none. */
struct jwt_why {
    struct keysource
        *source; /* JWT_NO_KEYS, JWT_UNKNOWN_KEY: where keys of the issuer that the token names may be by now, if they are fetched at all */
    const char *claim; /* JWT_CLAIM_REFUSED, JWT_BAD_ATTRIBUTE: the path of the claim, as the configuration has it */
};
/* jwt_rc_name() with the claim: "bad attribute claim: org.region". Never a value. In out, which is returned. */
#define JWT_REASON 400u
const char *jwt_reason(enum jwt_rc rc, const struct jwt_why *why, char *out, size_t size);
/* Verifies len bytes of token at now (seconds since 1970). JWT_OK: *out is the caller's, free with jwt_identity_free(); else *out is NULL. */
enum jwt_rc jwt_verify(const struct jwt_conf *conf, const char *token, size_t len, int64_t now, struct jwt_identity **out);
/* The same, and why not. */
enum jwt_rc jwt_verify_from(const struct jwt_conf *conf, const char *token, size_t len, int64_t now, struct jwt_identity **out,
                            struct jwt_why *why);
/* An ID token that was asked for (OpenID Connect Core 1.0, section 3.1.3.7). */
struct jwt_id_wanted {
    const char *client_id; /* must be in aud; and be azp, which has to be there when aud names others too */
    const char *nonce;     /* equal to the token's, byte for byte */
    size_t max_token;      /* as in struct jwt_conf */
};
/* As jwt_verify_from(), for an ID token of this issuer, whose audiences do not count here. What is not bound to a certificate is wanted: else
 * JWT_BAD_BINDING. */
enum jwt_rc jwt_verify_id(const struct jwt_issuer *issuer, const struct jwt_id_wanted *wanted, const char *token, size_t len, int64_t now,
                          struct jwt_identity **out, struct jwt_why *why);

#endif
