/* SHA-256 without what OpenSSL does before: looking an algorithm up, and making a context, costs more than a statement's hash. */
#ifndef GH_SPOA_DIGEST_H
#define GH_SPOA_DIGEST_H

#include <openssl/evp.h>

/* The calling thread's context, at the beginning of a SHA-256; it ends with the thread. NULL: no memory, or no such digest. */
EVP_MD_CTX *digest_sha256(void);

#endif
