/* The node's own key: Ed25519 (RFC 8032), made at the first start, kept beside the journal with mode 0600. It signs decisions, so that whoever has
 * the public key can tell which of them this node has seen made. */
#ifndef GH_SPOA_NODEKEY_H
#define GH_SPOA_NODEKEY_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define NODEKEY_PUBLIC_SIZE    44 /* base64url of 32 bytes, with its NUL */
#define NODEKEY_SIGNATURE_SIZE 87 /* of 64 */

struct nodekey; /* immutable; any number of threads may use it at once */
/* The key in DIR/node.key, made when it is not there; DIR/node.pub gets the public key as PEM. NULL and a sentence in err. */
struct nodekey *nodekey_open(const char *dir, char *err, size_t size);
void nodekey_free(struct nodekey *k); /* NULL is fine */
/* base64url of the 32 bytes. */
const char *nodekey_public(const struct nodekey *k);
/* False when OpenSSL fails. */
bool nodekey_sign(const struct nodekey *k, const void *data, size_t len, char out[NODEKEY_SIGNATURE_SIZE]);
/* False also when OpenSSL had no memory: starved() tells. */
bool nodekey_verify(const struct nodekey *k, const void *data, size_t len, const char *signature);
/* The same with another node's public key, as nodekey_public() gives it. */
bool nodekey_verify_by(const char *public_text, const void *data, size_t len, const char *signature);
/* HMAC-SHA-256 with a key that is made of this one: equal for equal data, and of no use to who guesses at the data. Hex. False as above. */
bool nodekey_mac(const struct nodekey *k, const void *data, size_t len, char out[65]);

#endif
