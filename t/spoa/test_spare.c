/* Blocks that threads keep: each size, bounds, a block that another thread gives back, the end of a thread. */
#include "spoa/spare.h"
#include "t/lib/guard.h"

#include <pthread.h>
#include <stdlib.h>
#include <string.h>

START_TEST(sizes) {
    ck_assert_uint_eq(spare_room(1), SPARE_STEP);
    ck_assert_uint_eq(spare_room(SPARE_STEP), SPARE_STEP);
    ck_assert_uint_eq(spare_room(SPARE_STEP + 1), 2 * SPARE_STEP);
    ck_assert_uint_eq(spare_room(SPARE_SIZES * SPARE_STEP + 1), SPARE_SIZES * SPARE_STEP + 1);
    for (size_t n = 1; n < (SPARE_SIZES + 2) * SPARE_STEP; n += 37) {
        unsigned char *a = spare_get(n), *b = spare_get(n);
        ck_assert(a != NULL && b != NULL && a != b);
        memset(a, 1, n);
        memset(b, 2, n);
        for (size_t i = 0; i < n; i++) ck_assert(a[i] == 1 && b[i] == 2);
        spare_put(a, n);
        spare_put(b, spare_room(n));
    }
    spare_put(NULL, 1);
}
END_TEST

/* More than a thread keeps. */
START_TEST(many) {
    enum { N = 1000 };
    static void *block[N];
    for (int round = 0; round < 3; round++) {
        for (size_t i = 0; i < N; i++) {
            block[i] = spare_get(1 + i * 7);
            ck_assert_ptr_nonnull(block[i]);
            memset(block[i], (int)i, 1 + i * 7);
        }
        for (size_t i = 0; i < N; i++) spare_put(block[i], 1 + i * 7);
    }
}
END_TEST

static void *give_back(void *arg) {
    spare_put(arg, 2000);
    void *again = spare_get(2000);
    ck_assert_ptr_nonnull(again);
    memset(again, 3, 2000);
    spare_put(again, 2000);
    return NULL; /* what it keeps is freed: LeakSanitizer and valgrind would tell */
}

START_TEST(threads) {
    for (int i = 0; i < 20; i++) {
        pthread_t t;
        ck_assert_int_eq(pthread_create(&t, NULL, give_back, spare_get(2000)), 0);
        ck_assert_int_eq(pthread_join(t, NULL), 0);
    }
}
END_TEST

int main(void) {
    Suite *s = suite_create("spare");
    TCase *t = tcase_create("spare");
    tcase_add_test(t, sizes);
    tcase_add_test(t, many);
    tcase_add_test(t, threads);
    suite_add_tcase(s, t);
    return run_suite(s);
}
