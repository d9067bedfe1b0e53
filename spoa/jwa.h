/* Signature algorithms of tokens (RFC 7518, sections 3.1 to 3.5; RFC 8037; RFC 9864). Only signatures with a public key: no HMAC, no "none". */
#ifndef GH_SPOA_JWA_H
#define GH_SPOA_JWA_H

#include <openssl/types.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* Algorithms, as bits of a set. */
enum jwa_alg {
    JWT_RS256 = 1 << 0,
    JWT_RS384 = 1 << 1,
    JWT_RS512 = 1 << 2,
    JWT_PS256 = 1 << 3,
    JWT_PS384 = 1 << 4,
    JWT_PS512 = 1 << 5,
    JWT_ES256 = 1 << 6,
    JWT_ES384 = 1 << 7,
    JWT_ES512 = 1 << 8,
    JWT_EDDSA = 1 << 9,    /* with Ed25519 only */
    JWT_ED25519 = 1 << 10, /* the same signature under its newer name (RFC 9864) */
};
#define JWT_ALGS_DEFAULT (JWT_RS256 | JWT_ES256)
#define JWA_NAMES        "RS256, RS384, RS512, PS256, PS384, PS512, ES256, ES384, ES512, EdDSA, Ed25519"

/* Keys, by type and curve. An algorithm has exactly one. */
enum jwa_key { JWA_RSA, JWA_P256, JWA_P384, JWA_P521, JWA_ED25519 };

struct jwa {
    const char *name; /* as in "alg" */
    enum jwa_alg alg;
    enum jwa_key key;
    const char *digest; /* OpenSSL's name; NULL: the algorithm has its own */
    bool pss;           /* PS*: MGF1 with the same digest, a salt as long as the digest */
};
/* NULL for a name that is none of these; names are compared byte for byte. */
const struct jwa *jwa_by_name(const char *name);
const struct jwa *jwa_of(enum jwa_alg alg);
/* The i-th of them; NULL behind the last. */
const struct jwa *jwa_at(size_t i);
/* Every algorithm that a key of this type may be used with. */
unsigned jwa_algs_of(enum jwa_key key);

/* True when sig (as in the token: r and s of EC keys side by side) is pkey's over text. pkey must be of the algorithm's type and curve. */
bool jwa_verify(const struct jwa *a, EVP_PKEY *pkey, const uint8_t *sig, size_t sig_len, const void *text, size_t len);
/* The opposite: *sig, to be freed with OPENSSL_free(), as it stands in a token. False when pkey cannot. */
bool jwa_sign(const struct jwa *a, EVP_PKEY *pkey, const void *text, size_t len, uint8_t **sig, size_t *sig_len);
/* True when pkey is of this type and curve; an RSA key of any size. */
bool jwa_key_is(const EVP_PKEY *pkey, enum jwa_key key);

#endif
