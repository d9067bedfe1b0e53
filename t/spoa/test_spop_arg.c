/* Arguments as handlers take them: each type that HAProxy sends, and nothing else. */
#include "spoa/spop_arg.h"
#include "t/lib/guard.h"

START_TEST(numbers) {
    uint64_t n = 7;
    const struct spop_value good[] = {
        {.type = SPOP_INT32, .i = 5}, {.type = SPOP_INT64, .i = 5}, {.type = SPOP_UINT32, .u = 5}, {.type = SPOP_UINT64, .u = 5}};
    const struct spop_value bad[] = {
        {.type = SPOP_INT32, .i = -1},  {.type = SPOP_INT64, .i = 11}, {.type = SPOP_UINT64, .u = UINT64_MAX},
        {.type = SPOP_BOOL, .b = true}, {.type = SPOP_NULL},           {.type = SPOP_STRING, .data = (const uint8_t *)"5", .len = 1}};
    for (size_t i = 0; i < sizeof good / sizeof *good; i++) {
        n = 7;
        ck_assert(spop_arg_uint(&good[i], 10, &n));
        ck_assert_uint_eq(n, 5);
    }
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) ck_assert(!spop_arg_uint(&bad[i], 10, &n));
    ck_assert(!spop_arg_uint(NULL, 10, &n));
}
END_TEST

START_TEST(texts) {
    char out[4];
    struct spop_value v = spop_str("abcdef"), none = {.type = SPOP_NULL}, bin = spop_bytes("abc", 3);
    ck_assert_str_eq(spop_arg_text(&v, out, sizeof out), "abc");
    ck_assert_ptr_null(spop_arg_text(&none, out, sizeof out));
    ck_assert_ptr_null(spop_arg_text(&bin, out, sizeof out));
    ck_assert_ptr_null(spop_arg_text(NULL, out, sizeof out));
    ck_assert(spop_arg_is(&v, "abcdef") && !spop_arg_is(&v, "abcde") && !spop_arg_is(&bin, "abc") && !spop_arg_is(NULL, ""));
}
END_TEST

START_TEST(addresses) {
    char out[PP2_ADDR_SIZE];
    const struct spop_value v4 = {.type = SPOP_IPV4, .data = (const uint8_t *)"\x7f\0\0\1", .len = 4},
                            v6 = {.type = SPOP_IPV6, .data = (const uint8_t *)"\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\1", .len = 16},
                            text = spop_str("127.0.0.1");
    ck_assert(spop_arg_addr(&v4, out));
    ck_assert_str_eq(out, "127.0.0.1");
    ck_assert(spop_arg_addr(&v6, out));
    ck_assert_str_eq(out, "::1");
    ck_assert(!spop_arg_addr(&text, out) && !spop_arg_addr(NULL, out));
}
END_TEST

START_TEST(copies) {
    uint8_t body[] = "SELECT 1", *p = guard_copy(body, 8);
    const struct spop_kv args[] = {{"sql", 3, {.type = SPOP_STRING, .data = p, .len = 8}},
                                   {"", 0, {.type = SPOP_BINARY, .data = p, .len = 0}},
                                   {"port", 4, {.type = SPOP_UINT32, .u = 5}},
                                   {"src", 3, {.type = SPOP_IPV4, .data = (const uint8_t *)"\x7f\0\0\1", .len = 4}},
                                   {"none", 4, {.type = SPOP_NULL}}};
    const struct spop_message m = {"statement", 9, args, 5};
    struct spop_message *c = spop_message_copy(&m);
    char out[PP2_ADDR_SIZE];
    uint64_t port;
    guard_free(p, 8); /* the frame goes */
    ck_assert(spop_message_is(c, "statement"));
    ck_assert_uint_eq(c->nargs, 5);
    ck_assert(spop_arg_is(spop_arg(c, "sql"), "SELECT 1"));
    ck_assert_uint_eq(spop_arg(c, "")->len, 0);
    ck_assert(spop_arg_uint(spop_arg(c, "port"), 9, &port) && port == 5);
    ck_assert(spop_arg_addr(spop_arg(c, "src"), out));
    ck_assert_str_eq(out, "127.0.0.1");
    ck_assert_int_eq(spop_arg(c, "none")->type, SPOP_NULL);
    spop_message_free(c);
    const struct spop_message empty = {"x", 1, NULL, 0};
    spop_message_free(spop_message_copy(&empty));
    spop_message_free(NULL);
}
END_TEST

int main(void) {
    Suite *s = suite_create("spop_arg");
    TCase *t = tcase_create("spop_arg");
    tcase_add_test(t, numbers);
    tcase_add_test(t, texts);
    tcase_add_test(t, copies);
    tcase_add_test(t, addresses);
    suite_add_tcase(s, t);
    return run_suite(s);
}
