/* JSON is read as it is, or not at all: with each allocation failing in turn. */
#include "spoa/json_read.h"
#include "t/lib/guard.h"
#include "t/lib/nomem.h"

#include <string.h>

static const char text[] = "{\"sql\": \"SELECT name FROM customers WHERE id = 1 AND region = 'eu' OR id = 2 ORDER BY name LIMIT 10\","
                           " \"and a name that is long, too\": [true, null, \"another text that does not fit into sixteen bytes\"]}";

START_TEST(right_or_nothing) {
    json_error_t e;
    json_t *whole = json_read(text, strlen(text), 0, NULL);
    ck_assert_ptr_nonnull(whole);
    bool failed = true;
    unsigned refused = 0;
    for (uint64_t n = 1; failed; n++) {
        nomem_arm(n, _i == 1);
        e.text[0] = '\0';
        json_t *v = json_read(text, strlen(text), 0, &e);
        nomem_disarm();
        failed = nomem_hit();
        if (failed) {
            ck_assert_ptr_null(v);
            ck_assert_str_eq(e.text, "out of memory");
            refused++;
        } else
            ck_assert(json_equal(v, whole));
        json_decref(v);
    }
    ck_assert_uint_gt(refused, 10);
    json_decref(whole);
}
END_TEST

START_TEST(reads_on) { /* and the next one is not held to what failed before */
    nomem_arm(2, true);
    json_t *v = json_read(text, strlen(text), 0, NULL);
    nomem_disarm();
    ck_assert_ptr_null(v);
    v = json_read(text, strlen(text), 0, NULL);
    ck_assert_ptr_nonnull(v);
    json_decref(v);
}
END_TEST

START_TEST(no_nul) {
    static const char *const v[] = {"{\"n\": 0@, \"m\": 1}", "[1@]", "{\"a@b\": 1}", "@{}", "{}@"};
    char copy[64];
    json_error_t e;
    size_t n = strlen(v[_i]);
    memcpy(copy, v[_i], n);
    for (size_t i = 0; i < n; i++)
        if (copy[i] == '@') copy[i] = '\0';
    ck_assert_ptr_null(json_read(copy, n, 0, &e));
    ck_assert_str_eq(e.text, "a NUL byte");
    ck_assert_ptr_null(json_read(copy, n, JSON_DECODE_ANY, NULL));
}
END_TEST

int main(void) {
    Suite *s = suite_create("json_read");
    TCase *c = tcase_create("memory");
    tcase_add_loop_test(c, right_or_nothing, 0, 2);
    tcase_add_test(c, reads_on);
    tcase_add_loop_test(c, no_nul, 0, 5);
    suite_add_tcase(s, c);
    return run_suite(s);
}
