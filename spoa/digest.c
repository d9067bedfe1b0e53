#include "spoa/digest.h"

#include <pthread.h>

static pthread_once_t once = PTHREAD_ONCE_INIT;
static pthread_key_t contexts;
static EVP_MD *sha256;

static void free_context(void *ctx) { EVP_MD_CTX_free(ctx); }
static void prepare(void) {
    if (pthread_key_create(&contexts, free_context) == 0) sha256 = EVP_MD_fetch(NULL, "SHA256", NULL);
}

EVP_MD_CTX *digest_sha256(void) {
    pthread_once(&once, prepare);
    if (sha256 == NULL) return NULL;
    EVP_MD_CTX *ctx = pthread_getspecific(contexts);
    if (ctx == NULL) {
        ctx = EVP_MD_CTX_new();
        if (pthread_setspecific(contexts, ctx) != 0) {
            EVP_MD_CTX_free(ctx);
            return NULL;
        }
    }
    return ctx != NULL && EVP_DigestInit_ex2(ctx, sha256, NULL) == 1 ? ctx : NULL;
}
