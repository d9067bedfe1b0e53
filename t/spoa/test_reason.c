#include "spoa/reason.h"
#include "t/lib/guard.h"

#include <string.h>

static const struct {
    const char *text, *reason; /* NULL: none */
} comments[] = {
    {"/* reason: a customer called */ UPDATE t SET n = 1", "a customer called"},
    {" \n/*REASON:x*/", "x"},
    {"/*  reason:\n two\n lines \t*/DELETE FROM t", "two\n lines"},
    {"/* reason: */ UPDATE t", NULL},
    {"/* reason:   \n */", NULL},
    {"/* reasons: x */", NULL},
    {"/* the reason: x */", NULL},
    {"-- reason: x\nUPDATE t", NULL},
    {"UPDATE t /* reason: x */", NULL},
    {"/* reason: x", NULL},
    {"/* reason: x *", NULL},
    {"/* reason: x /* y */ z */ UPDATE t", NULL},
    {"/* reason: x /", NULL},
    {"/*", NULL},
    {"", NULL},
    {"/* reason: 0123456789012345678901234567890123456789 */", NULL}, /* longer than the test's 39 */
    {"/* reason: 012345678901234567890123456789012345678 */", "012345678901234567890123456789012345678"},
};

START_TEST(comment) {
    const char *reason = NULL;
    size_t len = strlen(comments[_i].text), n = 0;
    uint8_t *p = guard_copy(comments[_i].text, len);
    ck_assert_int_eq(reason_of((const char *)p, len, 39, &reason, &n), comments[_i].reason != NULL);
    if (comments[_i].reason != NULL)
        ck_assert_msg(n == strlen(comments[_i].reason) && memcmp(reason, comments[_i].reason, n) == 0, "%.*s", (int)n, reason);
    guard_free(p, len);
}
END_TEST

static const struct {
    const char *text, *reason; /* NULL: another statement */
} sets[] = {
    {"SET gatehouse.reason = 'why not'", "why not"},
    {" set\nSESSION gatehouse.REASON to'x' ;\n", "x"},
    {"SET gatehouse.reason TO ''", ""},
    {"SET gatehouse.reason='gr\xc3\xbc\xc3\x9f'", "gr\xc3\xbc\xc3\x9f"},
    {"SET gatehouse.reason = 'a'; DROP TABLE t", NULL},
    {"SET gatehouse.reason = 'it''s'", NULL},
    {"SET gatehouse.reason = 'a\\b'", NULL},
    {"SET gatehouse.reason = E'a'", NULL},
    {"SET gatehouse.reason = 'a' -- b", NULL},
    {"SET LOCAL gatehouse.reason = 'a'", NULL},
    {"SET gatehouse.reasons = 'a'", NULL},
    {"SET \"gatehouse\".reason = 'a'", NULL},
    {"SETgatehouse.reason = 'a'", NULL},
    {"SET SESSIONgatehouse.reason = 'a'", NULL},
    {"SET gatehouse.reason = 'a", NULL},
    {"SET gatehouse.reason", NULL},
    {"SET gatehouse.reason 'a'", NULL},
    {"SET gatehouse.reason TOa", NULL},
    {"SET", NULL},
    {"", NULL},
};

START_TEST(set) {
    const char *reason = NULL;
    size_t len = strlen(sets[_i].text), n = 0;
    for (size_t cut = 0; cut < len; cut++) { /* never a byte too far */
        uint8_t *q = guard_copy(sets[_i].text, cut);
        (void)reason_set((const char *)q, cut, 500, &reason, &n);
        guard_free(q, cut);
    }
    uint8_t *p = guard_copy(sets[_i].text, len);
    ck_assert_int_eq(reason_set((const char *)p, len, 500, &reason, &n), sets[_i].reason != NULL);
    if (sets[_i].reason != NULL)
        ck_assert_msg(n == strlen(sets[_i].reason) && memcmp(reason, sets[_i].reason, n) == 0, "%.*s", (int)n, reason);
    ck_assert(sets[_i].reason == NULL || n == 0 || !reason_set((const char *)p, len, n - 1, &reason, &n));
    guard_free(p, len);
}
END_TEST

int main(void) {
    Suite *s = suite_create("reason");
    TCase *t = tcase_create("all");
    tcase_add_loop_test(t, comment, 0, (int)(sizeof comments / sizeof *comments));
    tcase_add_loop_test(t, set, 0, (int)(sizeof sets / sizeof *sets));
    suite_add_tcase(s, t);
    return run_suite(s);
}
