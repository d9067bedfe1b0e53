/* Prepared statements and cursors that SQL made, across reloads of the policy. */
#include "spoa/names.h"
#include "t/lib/guard.h"

#include <stdio.h>

START_TEST(generations) {
    struct names n = {0};
    ck_assert(!names_older(&n, "c", 5)); /* unknown: the server will say that it does not exist */
    names_promise(&n, "c", 1);
    names_made(&n, "c", 1);
    ck_assert(!names_older(&n, "c", 1));
    ck_assert(names_older(&n, "c", 2));
    /* A second DECLARE that may yet fail leaves the old cursor where it is. */
    names_promise(&n, "c", 2);
    ck_assert(names_older(&n, "c", 2));
    names_made(&n, "c", 2);
    ck_assert(!names_older(&n, "c", 2));
    names_dropped(&n, "c");
    names_dropped(&n, "never");
    ck_assert(!names_older(&n, "c", 9));
    names_clear(&n);
}
END_TEST

START_TEST(no_room) {
    struct names n = {0};
    char name[16];
    for (int i = 0; i < NAMES_MAX + 10; i++) {
        snprintf(name, sizeof name, "s%d", i);
        names_promise(&n, name, 3);
    }
    ck_assert_uint_eq(n.n, NAMES_MAX);
    ck_assert(!names_older(&n, "s0", 3));
    ck_assert(!names_older(&n, name, 3));
    ck_assert(names_older(&n, name, 4)); /* not listed: as old as the oldest that found no room */
    ck_assert(names_older(&n, "another", 4));
    /* Room for it now makes it no younger before the server has made it anew. */
    names_dropped(&n, "s0");
    names_promise(&n, name, 4);
    ck_assert_uint_eq(n.n, NAMES_MAX);
    ck_assert(names_older(&n, name, 4));
    names_made(&n, name, 4);
    ck_assert(!names_older(&n, name, 4));
    names_clear(&n);
    ck_assert(!names_older(&n, name, 5));
}
END_TEST

int main(void) {
    Suite *s = suite_create("names");
    TCase *t = tcase_create("names");
    tcase_add_test(t, generations);
    tcase_add_test(t, no_room);
    suite_add_tcase(s, t);
    return run_suite(s);
}
