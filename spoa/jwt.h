/* Verification of an OIDC token: a compact JWS (RFC 7515) with JWT claims (RFC 7519, RFC 9068), RS256 or ES256. */
#ifndef GH_SPOA_JWT_H
#define GH_SPOA_JWT_H

#include "spoa/jwks.h"

#include <stddef.h>
#include <stdint.h>

#define JWT_TOKEN_MAX      8192 /* default limit, bytes */
#define JWT_LEEWAY_DEFAULT 30   /* seconds */
#define JWT_NAME_MAX       255  /* bytes of a principal or a group */
#define JWT_GROUPS_MAX     256

/* Everything is borrowed and immutable; any number of threads may verify at once. */
struct jwt_issuer {
    const char *issuer;           /* equal to the token's iss, byte for byte */
    const char *const *audiences; /* one of them must be in aud */
    size_t naudiences;
    const struct jwks *keys;
    unsigned algs;               /* set of enum jwt_alg; 0: none, so nothing verifies */
    const char *principal_claim; /* NULL: "sub". A claim's name, else a dotted path ("user.email") */
    const char *groups_claim;    /* NULL: "groups". An array of strings, or one string with groups separated by spaces */
    unsigned leeway;             /* seconds on exp, nbf and iat (JWT_LEEWAY_DEFAULT) */
};

struct jwt_conf {
    const struct jwt_issuer *issuers;
    size_t nissuers;
    size_t max_token; /* bytes; 0: JWT_TOKEN_MAX */
};

struct jwt_identity {
    char *principal; /* UTF-8, 1 to JWT_NAME_MAX bytes, no control or direction-changing characters */
    char **groups;   /* likewise each; NULL when there are none */
    size_t ngroups;
    int64_t exp;         /* as the token says, seconds since 1970 */
    int64_t valid_until; /* exp and the leeway: refuse from this second on */
    char *issuer;
    char *kid; /* of the key that verified it; "" when it has none */
};
void jwt_identity_free(struct jwt_identity *id);

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
    JWT_UNKNOWN_KEY,    /* no key with this kid, or without a kid none that fits */
    JWT_AMBIGUOUS_KEY,  /* no kid, and more than one key fits */
    JWT_KEY_MISMATCH,   /* the key of this kid is not for this alg */
    JWT_BAD_SIGNATURE,
    JWT_BAD_AUDIENCE,
    JWT_NO_EXPIRY, /* exp missing */
    JWT_BAD_TIME,  /* exp, nbf or iat is not a number of seconds */
    JWT_EXPIRED,
    JWT_NOT_YET,       /* nbf or iat lies in the future */
    JWT_BAD_PRINCIPAL, /* the claim is missing, not a string, too long, or has characters that it may not have */
    JWT_BAD_GROUPS,
};
/* A short text for the log and the record ("unknown key"); never shown to the client, never holds anything of the token. */
const char *jwt_rc_name(enum jwt_rc rc);

/* Verifies len bytes of token at now (seconds since 1970). JWT_OK: *out is the caller's, free with jwt_identity_free(); else *out is NULL. */
enum jwt_rc jwt_verify(const struct jwt_conf *conf, const char *token, size_t len, int64_t now, struct jwt_identity **out);

#endif
