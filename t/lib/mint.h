/* Keys and tokens for tests: JWS made with EVP, right ones and wrong ones. */
#ifndef GH_T_MINT_H
#define GH_T_MINT_H

#include <openssl/evp.h>
#include <stddef.h>

/* {"kty":...,"kid":...,extra} for an RSA, EC or Ed25519 key; extra is "" or ",\"use\":\"sig\"". kid NULL: none. The caller frees. */
char *mint_jwk(EVP_PKEY *pkey, const char *kid, const char *extra);
/* base64url(header) '.' base64url(payload) '.' base64url(signature): with SHA-256 (Ed25519 has its own), EVP signature of an RSA key, raw r||s
 * of an EC key, HMAC with secret when pkey is NULL, empty when secret is NULL too. The caller frees. */
char *mint_token(const char *header, const char *payload, EVP_PKEY *pkey, const char *secret);
/* The same with another digest; salt, for RSA keys: the length of a PSS salt, -1: no PSS. */
char *mint_token_with(const char *header, const char *payload, EVP_PKEY *pkey, const EVP_MD *digest, int salt);

#endif
