/* What goes into the record: summaries, parameters, and no passwords. */
#include "spoa/record.h"
#include "t/lib/guard.h"

#include <stdlib.h>
#include <string.h>

static struct pol_facts *parse(const char *sql) {
    struct pol_parse_error err = {0};
    struct pol_facts *f = pol_facts_pg(sql, strlen(sql), &(struct pol_parse_limits){0}, &err);
    ck_assert_msg(f != NULL, "%s: %s", sql, err.text);
    return f;
}

START_TEST(relations) {
    char out[128];
    struct pol_facts *f = parse("SELECT * FROM a.b; UPDATE c SET x = 1 WHERE y = 2");
    rec_relations(f, out, sizeof out);
    ck_assert_msg(strncmp(out, "a.b:select c:", 13) == 0 && strstr(out, "update") != NULL, "%s", out);
    rec_kinds(f, out, sizeof out);
    ck_assert_str_eq(out, "select update");
    rec_relations(f, out, 12);
    ck_assert_uint_lt(strlen(out), 12);
    ck_assert_str_eq(out + strlen(out) - 4, " ...");
    pol_facts_free(f);
}
END_TEST

START_TEST(params) {
    const struct flt_param p[] = {{(const uint8_t *)"a\"b", 3, 3, false},
                                  {NULL, 0, 0, false},
                                  {(const uint8_t *)"\x01\xff", 2, 2, true},
                                  {(const uint8_t *)"abc", 900, 3, false}};
    char *text = rec_params(p, 4, false);
    ck_assert_str_eq(text, "[\"a\\\"b\",null,{\"hex\":\"01ff\"},{\"hex\":\"616263\",\"cut\":900}]");
    free(text);
    ck_assert_ptr_null(rec_params(NULL, 0, false));
    /* The short way, and the same beside a value that takes the long one. */
    uint8_t all[256];
    for (size_t i = 0; i < sizeof all; i++) all[i] = (uint8_t)i;
    const struct flt_param odd[] = {{all, 256, 256, true},
                                    {all, 0, 0, true},
                                    {NULL, 0, 0, true},
                                    {(const uint8_t *)"abc", 3, 3, false},
                                    {(const uint8_t *)"", 0, 0, false},
                                    {all, 1, 1, true},
                                    {(const uint8_t *)"\"", 1, 1, false}};
    char *soon = rec_params(odd, 6, false);
    text = rec_params(odd, 7, false);
    static const char rest[] = ",{\"hex\":\"\"},null,\"abc\",\"\",{\"hex\":\"00\"}]";
    ck_assert_int_eq(strncmp(soon, "[{\"hex\":\"00010203", 17), 0);
    ck_assert_str_eq(soon + strlen(soon) - strlen(rest), rest);
    ck_assert_uint_eq(strlen(text), strlen(soon) + strlen(",\"\\\"\""));
    ck_assert_int_eq(strncmp(soon, text, strlen(soon) - 1), 0);
    ck_assert_str_eq(text + strlen(soon) - 1, ",\"\\\"\"]");
    free(soon);
    free(text);
    static const char token[] =
        "eyJhbGciOiJSUzI1NiJ9.eyJzdWIiOiJ4In0.AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA";
    text = rec_params(&(struct flt_param){(const uint8_t *)token, sizeof token - 1, sizeof token - 1, true}, 1, false);
    ck_assert(text != NULL && strstr(text, "65794a68624763694f694a53557a49314e694a39") == NULL); /* its beginning in hex */
    free(text);
}
END_TEST

START_TEST(sha256) {
    char out[65];
    rec_sha256("abc", 3, out);
    ck_assert_str_eq(out, "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad");
}
END_TEST

START_TEST(fields) {
    struct rec r = {0};
    rec_str(&r, "absent", NULL);
    ck_assert_uint_eq(r.n, 0);
    for (int i = 0; i < 100; i++) rec_u64(&r, "n", 7); /* more than there is room for */
    for (int i = 0; i < 100; i++) rec_str(&r, "s", "x");
    ck_assert_uint_eq(r.n, LED_MAX_FIELDS);
    ck_assert_int_eq(memcmp(r.f[0].value, "7", 1), 0);
}
END_TEST

int main(void) {
    Suite *s = suite_create("record");
    TCase *t = tcase_create("record");
    tcase_add_test(t, relations);
    tcase_add_test(t, params);
    tcase_add_test(t, sha256);
    tcase_add_test(t, fields);
    suite_add_tcase(s, t);
    return run_suite(s);
}
