/* Prepared statements and cursors that SQL made, across reloads of the policy. */
#include "spoa/names.h"
#include "t/lib/guard.h"

#include <stdio.h>

static const struct name_maker first = {1, 2, 10, false}, second = {2, 3, 20, false};

START_TEST(generations) {
    struct names n = {0};
    ck_assert_int_eq(names_look(&n, "c", 5, 9), NAMES_UNKNOWN);
    names_promise(&n, "c", &first);
    names_end(&n, "c", 1, true);
    ck_assert_int_eq(names_look(&n, "c", 1, 2), NAMES_MADE);
    ck_assert_int_eq(names_look(&n, "c", 2, 3), NAMES_OLD);
    /* A second DECLARE that may yet fail leaves the old cursor where it is. */
    names_promise(&n, "c", &second);
    ck_assert_int_eq(names_look(&n, "c", 2, 3), NAMES_OLD);
    names_end(&n, "c", 2, false);
    ck_assert_int_eq(names_look(&n, "c", 2, 3), NAMES_OLD);
    names_promise(&n, "c", &second);
    names_end(&n, "c", 2, true);
    ck_assert_int_eq(names_look(&n, "c", 2, 3), NAMES_MADE);
    ck_assert_uint_eq(n.n, 1);
    ck_assert_uint_eq(n.bytes, 20);
    names_dropped(&n, "c");
    names_dropped(&n, "never");
    ck_assert_int_eq(names_look(&n, "c", 9, 9), NAMES_UNKNOWN);
    ck_assert_uint_eq(n.bytes, 0);
    names_free(&n);
}
END_TEST

/* DEALLOCATE, DEALLOCATE ALL and the end of a transaction, answered while what makes the name anew is on its way. */
START_TEST(on_their_way) {
    struct names n = {0};
    for (int i = 0; i < 3; i++) {
        names_promise(&n, "a", &first);
        if (i == 0) names_dropped(&n, "a");
        if (i == 1) names_clear(&n);
        if (i == 2) names_transaction_over(&n);
        ck_assert_int_eq(names_look(&n, "a", 2, 3), NAMES_OLD);
        names_end(&n, "a", 1, true);
        ck_assert_int_eq(names_look(&n, "a", 1, 2), NAMES_MADE);
        names_clear(&n);
        ck_assert_uint_eq(n.n, 0);
    }
    names_free(&n);
}
END_TEST

START_TEST(transactions) {
    struct names n = {0};
    const struct name_maker held = {1, 2, 10, true};
    names_promise(&n, "ends", &first);
    names_promise(&n, "stays", &held);
    names_end(&n, "ends", 1, true);
    names_end(&n, "stays", 1, true);
    names_transaction_over(&n);
    ck_assert_int_eq(names_look(&n, "ends", 1, 2), NAMES_UNKNOWN);
    ck_assert_int_eq(names_look(&n, "stays", 1, 2), NAMES_MADE);
    names_free(&n);
}
END_TEST

/* What a function made is as old as the oldest rights under which one ran, and so is what SQL makes in its place until that is made. */
START_TEST(code) {
    struct names n = {0};
    names_code(&n, 2, false);
    ck_assert_int_eq(names_look(&n, "c", 2, 3), NAMES_UNKNOWN);
    names_code(&n, 3, true);
    ck_assert_int_eq(names_look(&n, "c", 1, 2), NAMES_CODE);
    ck_assert_int_eq(names_look(&n, "c", 2, 3), NAMES_CODE_OLD);
    names_promise(&n, "c", &first);
    ck_assert_int_eq(names_look(&n, "c", 1, 2), NAMES_MADE);
    names_promise(&n, "d", &second);
    ck_assert_int_eq(names_look(&n, "d", 2, 3), NAMES_OLD);
    names_end(&n, "d", 2, true);
    ck_assert_int_eq(names_look(&n, "d", 2, 3), NAMES_MADE);
    names_free(&n);
}
END_TEST

START_TEST(many) {
    struct names n = {0};
    char name[16];
    for (int i = 0; i < 5000; i++) {
        snprintf(name, sizeof name, "s%d", i);
        names_promise(&n, name, &first);
    }
    ck_assert_uint_eq(n.n, 5000);
    ck_assert_int_eq(names_look(&n, "s0", 1, 2), NAMES_MADE);
    ck_assert_int_eq(names_look(&n, name, 2, 2), NAMES_OLD);
    names_free(&n);
    ck_assert_uint_eq(n.n, 0);
}
END_TEST

int main(void) {
    Suite *s = suite_create("names");
    TCase *t = tcase_create("names");
    tcase_add_test(t, generations);
    tcase_add_test(t, on_their_way);
    tcase_add_test(t, transactions);
    tcase_add_test(t, code);
    tcase_add_test(t, many);
    suite_add_tcase(s, t);
    return run_suite(s);
}
