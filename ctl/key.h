/* Signing keys for development tokens: PEM files, and their public halves as JWK (RFC 7517, RFC 7518 section 6). */
#ifndef GH_CTL_KEY_H
#define GH_CTL_KEY_H

#include "spoa/jwa.h"

#include <jansson.h>

struct ctl_key; /* an RSA key of at least 2048 bits, an EC key on P-256, P-384 or P-521, or an Ed25519 key */

/* Reads a PEM file without a passphrase. private_only: a public key is an error. A file with a private key that others may read, or
 * the group may write, is refused. NULL, and a sentence on stderr. Free with ctl_key_free(). */
struct ctl_key *ctl_key_read(const char *path, bool private_only);
void ctl_key_free(struct ctl_key *k);
/* The algorithm of this name, which the key must be of the type and curve for; name NULL: the usual one for it. NULL, and a sentence on stderr. */
const struct jwa *ctl_key_alg(const struct ctl_key *k, const char *name);
/* Signs as jwa_sign() does. */
bool ctl_key_sign(const struct ctl_key *k, const struct jwa *alg, const char *text, size_t len, uint8_t **sig, size_t *sig_len);
/* The file's text. */
const char *ctl_key_pem(const struct ctl_key *k, size_t *len);
/* The public half with kty and its numbers, nothing else; the caller's reference. NULL when out of memory. */
json_t *ctl_key_jwk(const struct ctl_key *k);
/* Its SHA-256 thumbprint in base64url (RFC 7638), which serves as kid when none is given; free(). NULL when out of memory. */
char *ctl_key_thumbprint(const struct ctl_key *k);
/* Makes a key for alg in a new file of mode 0600. False, and a sentence on stderr. */
bool ctl_key_make(const char *alg, const char *path);

#endif
