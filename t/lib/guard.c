#include "t/lib/guard.h"

#include <ctype.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

/* Check's four seconds are a matter of the machine's load; a minute means that something hangs. Read when a case is made: so before main(). */
__attribute__((constructor)) static void patience(void) { setenv("CK_DEFAULT_TIMEOUT", "60", 0); }

static size_t span(size_t len) {
    size_t page = (size_t)sysconf(_SC_PAGESIZE);
    return (len + page - 1) / page * page + page;
}

uint8_t *guard_copy(const void *data, size_t len) {
    size_t page = (size_t)sysconf(_SC_PAGESIZE), total = span(len);
    uint8_t *m = mmap(NULL, total, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    ck_assert_ptr_ne(m, MAP_FAILED);
    ck_assert_int_eq(mprotect(m + total - page, page, PROT_NONE), 0);
    uint8_t *p = m + total - page - len;
    if (len > 0) memcpy(p, data, len);
    return p;
}

void guard_free(uint8_t *p, size_t len) {
    size_t page = (size_t)sysconf(_SC_PAGESIZE), total = span(len);
    ck_assert_int_eq(munmap(p + len + page - total, total), 0);
}

size_t unhex(const char *hex, uint8_t *out, size_t max) {
    size_t n = 0;
    int high = -1;
    for (; *hex != '\0'; hex++) {
        if (isspace((unsigned char)*hex)) continue;
        const char *digits = "0123456789abcdef", *at = strchr(digits, tolower((unsigned char)*hex));
        ck_assert_ptr_nonnull(at);
        if (high < 0) {
            high = (int)(at - digits);
            continue;
        }
        ck_assert_uint_lt(n, max);
        out[n++] = (uint8_t)(high << 4 | (int)(at - digits));
        high = -1;
    }
    ck_assert_int_eq(high, -1);
    return n;
}

int run_suite(Suite *s) {
    SRunner *r = srunner_create(s);
    srunner_run_all(r, CK_ENV);
    int failed = srunner_ntests_failed(r);
    srunner_free(r);
    return failed == 0 ? 0 : 1;
}
