#include "policy/json_tape.h"
#include "t/lib/guard.h"

#include <string.h>

START_TEST(reads) {
    static const char text[] = "{\"a\":1,\"b\":{\"c\":[true,false,null,-2,\"x\\\"y\\\\\\u003c\\n\"],\"d\":{}},\"e\":\"\",\"f\":[]}";
    struct pol_arena *arena = pol_arena_new();
    uint8_t *p = guard_copy(text, strlen(text));
    struct jt t;
    ck_assert_int_eq(jt_parse(&t, (const char *)p, strlen(text), 10), JT_OK);
    ck_assert_uint_eq(sizeof(struct jt_value), 16);
    ck_assert_int_eq(jt_int(&t, jt_get(&t, 0, "a"), 9), 1);
    uint32_t b = jt_get(&t, 0, "b"), c = jt_get(&t, b, "c");
    ck_assert_uint_ne(c, 0);
    ck_assert_uint_eq(jt_get(&t, b, "x"), 0);
    ck_assert_uint_eq(jt_get(&t, c, "x"), 0);
    static const uint8_t types[] = {JT_TRUE, JT_FALSE, JT_NULL, JT_NUMBER, JT_STRING};
    size_t n = 0;
    for (uint32_t i = jt_first(&t, c); i < jt_end(&t, c); i = jt_skip(&t, i)) ck_assert_uint_eq(t.v[i].type, types[n++]);
    ck_assert_uint_eq(n, 5);
    ck_assert(jt_bool(&t, c + 1) && !jt_bool(&t, c + 2) && !jt_bool(&t, 0));
    ck_assert_str_eq(jt_string(&t, c + 5, arena), "x\"y\\<\n");
    ck_assert_str_eq(jt_string(&t, jt_get(&t, 0, "e"), arena), "");
    ck_assert_ptr_null(jt_string(&t, jt_get(&t, 0, "a"), arena));
    ck_assert_ptr_null(jt_string(&t, 0, arena));
    uint32_t d = jt_get(&t, b, "d");
    ck_assert_uint_eq(jt_first(&t, d), jt_end(&t, d));
    jt_free(&t);
    guard_free(p, strlen(text));
    for (size_t cut = 0; cut < strlen(text); cut++) {
        p = guard_copy(text, cut);
        ck_assert_int_eq(jt_parse(&t, (const char *)p, cut, 10), JT_BAD);
        guard_free(p, cut);
    }
    pol_arena_free(arena);
}
END_TEST

START_TEST(refuses) {
    static const char *const bad[] = {"",   "{",    "[1,]", "[1 2]",   "{\"a\"}", "{\"a\":}", "{a:1}", "[}",
                                      "{]", "[1]]", "\"a",  "\"a\\\"", "tru",     "[,1]",     "{,}",   "1 1"};
    struct jt t;
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        size_t n = strlen(bad[i]);
        uint8_t *p = guard_copy(bad[i], n);
        ck_assert_msg(jt_parse(&t, (const char *)p, n, 10) == JT_BAD, "%s", bad[i]);
        guard_free(p, n);
    }
    ck_assert_int_eq(jt_parse(&t, "[[[[]]]]", 8, 3), JT_DEEP);
    struct pol_arena *arena = pol_arena_new();
    ck_assert_int_eq(jt_parse(&t, "[\"\\u0000\",\"\\q\",\"\\u12\",\"\\u00e9\"]", 31, 3), JT_OK);
    for (uint32_t i = 1; i <= 4; i++) ck_assert_ptr_null(jt_string(&t, i, arena));
    jt_free(&t);
    pol_arena_free(arena);
}
END_TEST

int main(void) {
    Suite *s = suite_create("json_tape");
    TCase *t = tcase_create("all");
    tcase_add_test(t, reads);
    tcase_add_test(t, refuses);
    suite_add_tcase(s, t);
    return run_suite(s);
}
