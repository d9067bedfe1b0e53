#include "t/lib/nomem.h"

#include <errno.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* The sanitizer's, when there is one; else glibc's (its manual, "Replacing malloc"). */
void *__interceptor_malloc(size_t n) __attribute__((weak));
void *__interceptor_calloc(size_t n, size_t size) __attribute__((weak));
void *__interceptor_realloc(void *p, size_t n) __attribute__((weak));
void __interceptor_free(void *p) __attribute__((weak));
void *__libc_malloc(size_t n) __attribute__((weak));
void *__libc_calloc(size_t n, size_t size) __attribute__((weak));
void *__libc_realloc(void *p, size_t n) __attribute__((weak));
void __libc_free(void *p) __attribute__((weak));
int __lsan_do_recoverable_leak_check(void) __attribute__((weak));

static _Thread_local struct {
    uint64_t asked, nth;
    unsigned paused;
    bool armed, more, hit;
} now;

bool nomem_fails(void) {
    if (!now.armed || now.paused > 0) return false;
    now.asked++;
    if (now.nth == 0 || now.asked < now.nth || (now.asked > now.nth && !now.more)) return false;
    now.hit = true;
    errno = ENOMEM;
    return true;
}

void *malloc(size_t n) {
    if (nomem_fails()) return NULL;
    return __interceptor_malloc != NULL ? __interceptor_malloc(n) : __libc_malloc(n);
}

void *calloc(size_t n, size_t size) {
    if (nomem_fails()) return NULL;
    return __interceptor_calloc != NULL ? __interceptor_calloc(n, size) : __libc_calloc(n, size);
}

void *realloc(void *p, size_t n) {
    if (nomem_fails()) return NULL;
    return __interceptor_realloc != NULL ? __interceptor_realloc(p, n) : __libc_realloc(p, n);
}

void free(void *p) {
    if (__interceptor_free != NULL)
        __interceptor_free(p);
    else
        __libc_free(p);
}

/* AddressSanitizer's own versions of these would not come by here. */
static char *copy_of(const char *s, size_t n) {
    char *copy = malloc(n + 1);
    if (copy == NULL) return NULL;
    memcpy(copy, s, n);
    copy[n] = '\0';
    return copy;
}

char *strndup(const char *s, size_t max) { return copy_of(s, strnlen(s, max)); }
char *strdup(const char *s) { return copy_of(s, strlen(s)); }

void nomem_arm(uint64_t nth, bool more) {
    now.asked = 0;
    now.nth = nth;
    now.more = more;
    now.hit = false;
    now.paused = 0;
    now.armed = true;
}

bool nomem_hit(void) { return now.hit; }
void nomem_pause(void) { now.paused++; }
void nomem_resume(void) { now.paused--; }

uint64_t nomem_disarm(void) {
    now.armed = false;
    return now.asked;
}

void nomem_leaks(const char *where) {
    if (__lsan_do_recoverable_leak_check == NULL || __lsan_do_recoverable_leak_check() == 0) return;
    fprintf(stderr, "%s: something was lost\n", where);
    exit(1);
}
