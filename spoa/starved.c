#include "spoa/starved.h"

#include <jansson.h>
#include <openssl/crypto.h>
#include <stdlib.h>

static _Thread_local bool refused;
static bool sees_openssl;

void starved_reset(void) { refused = false; }
bool starved(void) { return refused; }
void starved_note(void) { refused = true; }
bool starved_begin(void) {
    bool before = refused;
    refused = false;
    return before;
}

bool starved_end(bool begun) {
    bool now = refused;
    refused = refused || begun;
    return now;
}

bool starved_sees_openssl(void) { return sees_openssl; }

static void *json_get(size_t n) {
    void *p = malloc(n);
    if (p == NULL) refused = true;
    return p;
}

static void *ssl_get(size_t n, const char *file, int line) {
    (void)file;
    (void)line;
    return n == 0 ? NULL : json_get(n);
}

static void ssl_put(void *p, const char *file, int line) {
    (void)file;
    (void)line;
    free(p);
}

static void *ssl_again(void *p, size_t n, const char *file, int line) {
    if (p == NULL) return ssl_get(n, file, line);
    if (n == 0) {
        free(p);
        return NULL;
    }
    void *more = realloc(p, n);
    if (more == NULL) refused = true;
    return more;
}

/* Before main(): nobody is to use either meanwhile. What jansson got from malloc() before, free() takes back. */
__attribute__((constructor)) static void look_at_allocations(void) {
    json_set_alloc_funcs(json_get, free);
    sees_openssl = CRYPTO_set_mem_functions(ssl_get, ssl_again, ssl_put) == 1;
}
