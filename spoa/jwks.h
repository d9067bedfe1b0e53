/* A JWK set (RFC 7517) as an immutable set of verification keys: RSA of 2048 to 8192 bits, EC on P-256, P-384 and P-521, Ed25519. */
#ifndef GH_SPOA_JWKS_H
#define GH_SPOA_JWKS_H

#include "spoa/jwa.h"

#define JWKS_FILE_MAX (1024 * 1024) /* bytes */
#define JWKS_KEYS_MAX 256

struct jwks; /* immutable but for its count of references: any thread may read it */

/* Reads a set from a file, or from memory. Keys that are not for us are passed over as RFC 7517 section 5 asks: other key types and
 * curves, "use" other than sig, "key_ops" without verify, an "alg" that is not one of the key's. What is wrong is an error: no usable key, a kid twice, a weak RSA key, a
 * private key, a point that is not on the curve. On an error NULL, and a sentence in err (errlen > 0 bytes, NUL-terminated). */
struct jwks *jwks_load(const char *path, char *err, size_t errlen);
struct jwks *jwks_parse(const char *text, size_t len, char *err, size_t errlen);
struct jwks *jwks_ref(struct jwks *set);
void jwks_unref(struct jwks *set); /* NULL is fine */
size_t jwks_count(const struct jwks *set);
/* Of the i-th key: its kid, "" when it has none; the algorithms that it may verify. */
const char *jwks_kid(const struct jwks *set, size_t i);
unsigned jwks_algs(const struct jwks *set, size_t i);

enum jwks_rc {
    JWKS_FOUND,
    JWKS_UNKNOWN,   /* no key of that kid; without a kid: no key fits the algorithm */
    JWKS_MISMATCH,  /* the key of that kid is not for this algorithm */
    JWKS_AMBIGUOUS, /* no kid, and more than one key fits */
};
struct jwks_key {
    EVP_PKEY *pkey;  /* the set's: valid as long as it */
    const char *kid; /* "" when the key has none; the set's */
};
/* The one key for alg; kid is NULL when the token names none. */
enum jwks_rc jwks_find(const struct jwks *set, enum jwa_alg alg, const char *kid, struct jwks_key *key);

#endif
