/* Quotas of the record: what may be written, when it comes back, and what is told of the rest. */
#include "spoa/quota.h"
#include "t/lib/guard.h"

#include <stdio.h>

static struct quotas *q;
static uint64_t told;
static void setup(void) { q = quotas_new(); }
static void teardown(void) { quotas_free(q); }
static enum quota take(const char *who, uint64_t bytes, uint64_t now) { return quota_take(q, who, bytes, 60000, now, &told); }

START_TEST(a_bucket) {
    ck_assert_int_eq(take("a", 30000, 1000), QUOTA_OK);
    ck_assert_int_eq(take("a", 30000, 1000), QUOTA_OK);
    ck_assert_int_eq(take("a", 1, 1000), QUOTA_TELL); /* empty; the first is told of at once */
    ck_assert_uint_eq(told, 1);
    ck_assert_int_eq(take("b", 60000, 1000), QUOTA_OK); /* nobody else's */
    ck_assert_int_eq(take("a", 1000, 2000), QUOTA_OK);  /* a second's worth */
    ck_assert_int_eq(take("a", 1, 2000), QUOTA_OVER);
    for (int i = 0; i < 5; i++) ck_assert_int_eq(take("a", 30000, 2500), QUOTA_OVER);
    ck_assert_int_eq(take("a", 30000, 11500), QUOTA_TELL);
    ck_assert_uint_eq(told, 7);
    ck_assert_int_eq(take("a", 60000, 200000), QUOTA_OK);
}
END_TEST

/* Small steps of time pay too, and time that goes back pays nothing. */
START_TEST(time) {
    ck_assert_int_eq(take("a", 60000, 5000), QUOTA_OK);
    for (uint64_t t = 5000; t < 6000; t++) (void)take("a", 60000, t);
    ck_assert_int_eq(take("a", 1000, 6000), QUOTA_OK);
    ck_assert_int_ne(take("a", 1000, 100), QUOTA_OK);
    ck_assert_int_ne(quota_take(q, "slow", 2, 1, 0, &told), QUOTA_TELL);
    for (uint64_t t = 0; t < 60000; t += 7) ck_assert_int_ne(quota_take(q, "slow", 1, 1, t, &told), QUOTA_OK);
    ck_assert_int_eq(quota_take(q, "slow", 1, 1, 200000, &told), QUOTA_OK);
}
END_TEST

START_TEST(larger_than_the_bucket) {
    ck_assert_int_eq(take("a", 1000000, 1000), QUOTA_OK);
    ck_assert_int_ne(take("a", 1, 1001), QUOTA_OK);
    ck_assert_int_ne(take("a", 1, 50000), QUOTA_OK);
    ck_assert_int_eq(take("a", 100, 500000), QUOTA_OK);
    ck_assert_int_ne(take("a", 1000000, 500001), QUOTA_OK);
}
END_TEST

START_TEST(off_and_many) {
    char name[32];
    for (int i = 0; i < 10; i++) ck_assert_int_eq(quota_take(q, "a", 1u << 30, 0, 1, &told), QUOTA_OK);
    for (unsigned i = 0; i < 70000; i++) { /* more than are kept: they share one bucket, and nobody's debt is forgotten */
        snprintf(name, sizeof name, "p%u", i);
        (void)take(name, 50000, 1000);
    }
    ck_assert_int_ne(take("p7", 50000, 1000), QUOTA_OK);
    ck_assert_int_ne(take("p69999", 50000, 1000), QUOTA_OK);
    ck_assert_int_eq(take("p7", 50000, 100000), QUOTA_OK);
}
END_TEST

int main(void) {
    Suite *s = suite_create("quota");
    TCase *t = tcase_create("quota");
    tcase_add_checked_fixture(t, setup, teardown);
    tcase_add_test(t, a_bucket);
    tcase_add_test(t, time);
    tcase_add_test(t, larger_than_the_bucket);
    tcase_add_test(t, off_and_many);
    suite_add_tcase(s, t);
    return run_suite(s);
}
