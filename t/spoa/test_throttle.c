/* Budgets of bad logins: who owes what, when it is paid, and that nobody can push a debt out. */
#include "spoa/throttle.h"
#include "t/lib/guard.h"

#include <stdio.h>
#include <string.h>

static struct throttle *t;
static const struct throttle_limits five = {5, 1000}, by_name = {1000, 5};
static void setup(void) { ck_assert_ptr_nonnull(t = throttle_new()); }
static void teardown(void) { throttle_free(t); }

static unsigned alone(const struct throttle_limits *l, const char *src, const char *name, unsigned n, uint64_t now) {
    unsigned recorded = 0;
    for (unsigned i = 0; i < n; i++) {
        struct throttle_news news = throttle_bad(t, l, src, name, now);
        recorded += !news.over_source && !news.over_name;
    }
    return recorded;
}

START_TEST(source) {
    ck_assert(!throttle_over(t, &five, "192.0.2.1", 1000));
    ck_assert_uint_eq(alone(&five, "192.0.2.1", "a", 100, 1000), 5);
    ck_assert(throttle_over(t, &five, "192.0.2.1", 1000));
    ck_assert(throttle_over(t, &five, "::ffff:192.0.2.1", 1000));
    ck_assert(!throttle_over(t, &five, "192.0.2.2", 1000));
    ck_assert(throttle_over(t, &five, "192.0.2.1", 1000 + 11000));  /* one is paid off in twelve seconds */
    ck_assert(!throttle_over(t, &five, "192.0.2.1", 1000 + 12000)); /* however many came */
    ck_assert_uint_eq(alone(&five, "192.0.2.1", "a", 100, 1000 + 12000), 1);
    ck_assert_uint_eq(alone(&five, "192.0.2.1", "a", 100, 1000 + 12000 + 60000), 5);
}
END_TEST

START_TEST(looking_often_pays_no_less) {
    ck_assert_uint_eq(alone(&five, "192.0.2.1", "a", 10, 1000), 5);
    for (uint64_t now = 1000; now < 13000; now++) throttle_over(t, &five, "192.0.2.1", now);
    ck_assert(!throttle_over(t, &five, "192.0.2.1", 13000));
    throttle_over(t, &five, "192.0.2.1", 500); /* a clock that steps back pays nothing */
    ck_assert_uint_eq(alone(&five, "192.0.2.1", "a", 10, 13000), 1);
}
END_TEST

START_TEST(network) {
    ck_assert_uint_eq(alone(&five, "2001:db8:1:2::1", "a", 10, 1000), 5);
    ck_assert(throttle_over(t, &five, "2001:db8:1:2:ffff:ffff:ffff:ffff", 1000));
    ck_assert(!throttle_over(t, &five, "2001:db8:1:3::1", 1000));
}
END_TEST

START_TEST(names) {
    char src[32];
    unsigned recorded = 0;
    for (int i = 0; i < 100; i++) {
        snprintf(src, sizeof src, "192.0.2.%d", i);
        recorded += alone(&by_name, src, "agent", 1, 1000);
    }
    ck_assert_uint_eq(recorded, 5);
    ck_assert(!throttle_over(t, &by_name, "192.0.2.1", 1000)); /* a name's debt decides on no source */
    ck_assert(!throttle_over(t, &by_name, "198.51.100.1", 1000));
    ck_assert_uint_eq(alone(&by_name, "192.0.2.1", "other", 1, 1000), 1);
}
END_TEST

START_TEST(reports) {
    alone(&five, "192.0.2.1", "a", 5, 1000);
    struct throttle_news news = throttle_bad(t, &five, "192.0.2.1", "a", 1000);
    ck_assert(news.over_source && news.report);
    ck_assert_uint_eq(news.unreported, 1);
    for (int i = 0; i < 7; i++) ck_assert(!throttle_bad(t, &five, "192.0.2.1", "a", 1500).report);
    alone(&five, "192.0.2.1", "a", 10, 30000); /* some of these are within the budget again */
    for (uint64_t now = 30000; now < 61000; now += 1000) alone(&five, "192.0.2.1", "a", 2, now);
    news = throttle_bad(t, &five, "192.0.2.1", "a", 61000);
    if (!news.over_source) news = throttle_bad(t, &five, "192.0.2.1", "a", 61000);
    ck_assert(news.report);
    ck_assert_uint_gt(news.unreported, 7);
}
END_TEST

START_TEST(a_debt_is_not_pushed_out) {
    char src[64];
    ck_assert_uint_eq(alone(&five, "192.0.2.1", "a", 10, 1000), 5);
    for (unsigned i = 0; i < 200000; i++) { /* six for each place */
        snprintf(src, sizeof src, "2001:db8:%x:%x::1", i >> 16, i & 0xffff);
        throttle_bad(t, &five, src, src, 1000);
    }
    ck_assert(throttle_over(t, &five, "192.0.2.1", 1000));
    /* All of it is paid off in a minute, and the table is empty again. */
    unsigned over = 0;
    for (unsigned i = 0; i < 1000; i++) {
        snprintf(src, sizeof src, "198.51.100.%u", i % 256);
        over += throttle_over(t, &five, src, 62000);
    }
    ck_assert_uint_eq(over, 0);
}
END_TEST

START_TEST(spare) {
    unsigned n = 0;
    for (int i = 0; i < 1000; i++) n += throttle_spare(t, 5000);
    ck_assert_uint_eq(n, 500);
    for (uint64_t now = 5000; now < 6000; now++) n += throttle_spare(t, now);
    ck_assert_uint_ge(n, 999);
    ck_assert_uint_le(n, 1001);
}
END_TEST

START_TEST(held) {
    ck_assert(throttle_hold(t, 2) && throttle_hold(t, 2));
    ck_assert(!throttle_hold(t, 2));
    throttle_unhold(t);
    ck_assert_uint_eq(throttle_held(t), 1);
    ck_assert(throttle_hold(t, 2));
    ck_assert(!throttle_hold(t, 0));
    for (int i = 0; i < 1000; i++) {
        uint64_t ms = throttle_jitter(200);
        ck_assert(ms >= 200 && ms <= 300);
    }
    ck_assert_uint_eq(throttle_jitter(0), 0);
}
END_TEST

START_TEST(odd_keys) {
    char name[5000];
    memset(name, 'x', sizeof name - 1);
    name[sizeof name - 1] = '\0';
    ck_assert_uint_eq(alone(&by_name, "", name, 10, 1000), 5);
    ck_assert_uint_eq(alone(&five, "not an address, and longer than any address could ever be in this world", "", 10, 1000), 5);
}
END_TEST

int main(void) {
    Suite *s = suite_create("throttle");
    TCase *c = tcase_create("throttle");
    tcase_add_checked_fixture(c, setup, teardown);
    tcase_add_test(c, source);
    tcase_add_test(c, looking_often_pays_no_less);
    tcase_add_test(c, network);
    tcase_add_test(c, names);
    tcase_add_test(c, reports);
    tcase_add_test(c, a_debt_is_not_pushed_out);
    tcase_add_test(c, spare);
    tcase_add_test(c, held);
    tcase_add_test(c, odd_keys);
    suite_add_tcase(s, c);
    return run_suite(s);
}
