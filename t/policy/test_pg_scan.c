#include "policy/pg_scan.h"
#include "t/lib/guard.h"

#include <stdlib.h>
#include <string.h>

/* Tokens show where a literal ends: the scan must see the same ends as PostgreSQL. */
static const struct {
    const char *sql;
    uint32_t tokens;
} lexing[] = {
    {"", 0},
    {" \t\n\r\f", 0},
    {"a b c", 3},
    {"'a''b' c", 2},
    {"'a\\' c '", 3}, /* standard_conforming_strings: the backslash is no escape; an open string follows */
    {"E'a\\'b' c", 2},
    {"e'a\\\\' c", 2},
    {"fE'a\\' c", 3},       /* the word fE, then a plain string */
    {"E'a'\n'b\\'c' d", 2}, /* one string over two lines, still with escapes */
    {"E'a' 'b\\' d", 3},    /* two: the second has none */
    {"E'a' -- x\n 'b\\'c' d", 2},
    {"E'a' /* x\n */ 'b\\' d", 3},
    {"B'01' X'ff' N'x' U&'\\0061'", 9}, /* B, X, N count as words; U, &, string */
    {"U&\"a\"\"b\" c", 4},
    {"\"a\"\"b\" c", 2},
    {"$$ ' $$ a", 2},
    {"$a$ $b$ $$ $a$ b", 2},
    {"$a$ $$a$ b", 2},
    {"a$b$c $b$ d", 2}, /* a$b$c is a word; $b$ opens and never ends */
    {"$1 $2a", 3},
    {"-- c\na", 1},
    {"-- c", 0},
    {"/* a /* b */ ' */ c", 1},
    {"/* a", 0},
    {"a/*x*/+--y\n1", 3},
    {"1.5e-3 .5 1e5 1..2", 4},
    {"a<=b::c", 5},
    {"a+-+-b", 6},
    {"a.b.c", 5},
    {"\xc3\xa9t\xc3\xa9 x", 2},
};

START_TEST(tokens) {
    size_t len = strlen(lexing[_i].sql);
    uint8_t *p = guard_copy(lexing[_i].sql, len);
    struct pg_scan s;
    ck_assert_int_eq(pg_scan((const char *)p, len, 1000, 1000, &s), PG_SCAN_OK);
    ck_assert_msg(s.tokens == lexing[_i].tokens, "%s: %u tokens, expected %u", lexing[_i].sql, s.tokens, lexing[_i].tokens);
    for (size_t cut = 0; cut < len; cut++) { /* any prefix, at the guard page */
        uint8_t *q = guard_copy(lexing[_i].sql, cut);
        (void)pg_scan((const char *)q, cut, 1000, 1000, &s);
        guard_free(q, cut);
    }
    guard_free(p, len);
}
END_TEST

/* Depth must grow with what nests, and not with what stands side by side. */
static uint32_t depth_of(const char *pre, const char *piece, size_t n, const char *post) {
    size_t lp = strlen(pre), l = strlen(piece), lq = strlen(post);
    char *s = malloc(lp + l * n + lq + 1), *p = s;
    ck_assert_ptr_nonnull(s);
    p = stpcpy(p, pre);
    for (size_t i = 0; i < n; i++) p = stpcpy(p, piece);
    strcpy(p, post);
    struct pg_scan out;
    ck_assert_int_eq(pg_scan(s, strlen(s), UINT32_MAX - 1, UINT32_MAX - 1, &out), PG_SCAN_OK);
    free(s);
    return out.depth;
}

START_TEST(nesting_counts) {
    static const char *const grows[] = {"NOT ",
                                        "+1",
                                        "::a",
                                        " UNION SELECT 1, 2",
                                        " JOIN a ON b",
                                        "(",
                                        "[",
                                        "f(",
                                        "- ",
                                        "CASE ",
                                        " IS NULL",
                                        "(1)+",
                                        "(a, b) = ",
                                        " COLLATE \"x\"",
                                        "@ ",
                                        " EXCEPT (SELECT 1, 2)",
                                        "(SELECT 1, "};
    for (size_t i = 0; i < sizeof grows / sizeof *grows; i++) ck_assert_msg(depth_of("SELECT a", grows[i], 500, "") >= 500, "%s", grows[i]);
    static const char *const flat[] = {", 1",      ", f(a + b)", ", (1, 'x', NULL)", "; SELECT 1 + 1", " 'x'", ", 'it''s (((('",
                                       ", \"((\"", ", $$((($$",  "/* ((( */",        "-- (((\n"};
    for (size_t i = 0; i < sizeof flat / sizeof *flat; i++) ck_assert_msg(depth_of("SELECT a", flat[i], 500, "") < 30, "%s", flat[i]);
    /* what is deep stays at the bottom of what follows it */
    ck_assert_uint_ge(depth_of("SELECT (1", "+1", 300, ") + 1 + 1 + 1"), 303);
    ck_assert_uint_ge(depth_of("SELECT (((1", "+1", 300, "), 1) UNION SELECT 1)"), 301);
}
END_TEST

START_TEST(limits) {
    struct pg_scan s;
    ck_assert_int_eq(pg_scan("((((((", 6, 3, 100, &s), PG_SCAN_DEEP);
    ck_assert_int_eq(pg_scan("1,1,1,1", 7, 100, 3, &s), PG_SCAN_TOKENS);
    ck_assert_int_eq(pg_scan("a\0b", 3, 100, 100, &s), PG_SCAN_ENCODING);
    ck_assert_int_eq(pg_scan("'\xc3'", 3, 100, 100, &s), PG_SCAN_ENCODING);
    ck_assert_int_eq(pg_scan("))))]]", 6, 100, 100, &s), PG_SCAN_OK);
}
END_TEST

int main(void) {
    Suite *s = suite_create("pg_scan");
    TCase *t = tcase_create("all");
    tcase_add_loop_test(t, tokens, 0, sizeof lexing / sizeof *lexing);
    tcase_add_test(t, nesting_counts);
    tcase_add_test(t, limits);
    suite_add_tcase(s, t);
    return run_suite(s);
}
