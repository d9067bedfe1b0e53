/* A JWK set (RFC 7517) as an immutable set of verification keys: RSA of 2048 to 8192 bits for RS256, EC P-256 for ES256. */
#ifndef GH_SPOA_JWKS_H
#define GH_SPOA_JWKS_H

#include <openssl/types.h>
#include <stddef.h>

#define JWKS_FILE_MAX (1024 * 1024) /* bytes */
#define JWKS_KEYS_MAX 256

/* Algorithms, as bits of a set (RFC 7518, section 3.1). */
enum jwt_alg { JWT_RS256 = 1, JWT_ES256 = 2 };

struct jwks; /* immutable: any thread may read it */

/* Reads a set from a file, or from memory. Keys that are not for us are passed over as RFC 7517 section 5 asks: other key types and
 * curves, "use" other than sig, "key_ops" without verify, another "alg". What is wrong is an error: no usable key, a kid twice, a weak RSA key, a
 * private key, a point that is not on the curve. On an error NULL, and a sentence in err (errlen > 0 bytes, NUL-terminated). */
struct jwks *jwks_load(const char *path, char *err, size_t errlen);
struct jwks *jwks_parse(const char *text, size_t len, char *err, size_t errlen);
void jwks_free(struct jwks *set);
size_t jwks_count(const struct jwks *set);

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
enum jwks_rc jwks_find(const struct jwks *set, enum jwt_alg alg, const char *kid, struct jwks_key *key);

#endif
