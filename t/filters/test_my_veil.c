/* What the MySQL filter owes to a client from whom data is hidden: errors, counts of warnings and of changed rows, metadata; and limits of time. */
#include <config.h>

#include "filters/my_veil.h"
#include "t/filters/my_talk.h"
#include "t/lib/guard.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static const size_t chops[] = {0, 1, SIZE_MAX, 7};
#define CHOPS ((int)(sizeof chops / sizeof *chops))

START_TEST(errors) {
    static const uint16_t values[] = {1062, 1105, 1139, 1264, 1265, 1292, 1366, 1367,    1406,
                                      1411, 1525, 1526, 1644, 1690, 3140, 3141, 3819 + 1};
    static const uint16_t names[] = {1007, 1048, 1052, 1054, 1146, 1205, 1213, 1242, 1317,
                                     1364, 1451, 1452, 1969, 3024, 3819, 4025, 4078, 4079};
    for (size_t i = 0; i < sizeof values / sizeof *values; i++) {
        ck_assert_ptr_nonnull(my_veil_error(values[i], true));
        ck_assert_ptr_nonnull(strstr(my_veil_error(values[i], false), "Gatehouse withholds"));
    }
    for (size_t i = 0; i < sizeof names / sizeof *names; i++) ck_assert_msg(my_veil_error(names[i], false) == NULL, "%u", names[i]);
    ck_assert_ptr_null(my_veil_error(1064, true)); /* the client's own text */
    ck_assert_ptr_nonnull(my_veil_error(1064, false));
    ck_assert_ptr_nonnull(my_veil_error(0, false));
    ck_assert_ptr_nonnull(my_veil_error(65535, false));
}
END_TEST

START_TEST(oks) {
    static const struct {
        const char *info, *out;
        uint64_t rows, out_rows, given;
    } cases[] = {
        {"Rows matched: 40  Changed: 0  Warnings: 3", "Rows matched: 40  Changed: 40  Warnings: 0", 0, 40, 40},
        {"Rows matched: 1  Changed: 1  Warnings: 0", "Rows matched: 1  Changed: 1  Warnings: 0", 1, 1, 1},
        /* other lc_messages: an UPDATE must not tell how many rows it has changed; of a text that may be an INSERT's that is no harm */
        {"Datens\xC3\xA4tze gefunden: 40  Ge\xC3\xA4ndert: 0  Warnungen: 3", "Rows matched: 40  Changed: 40  Warnings: 0", 0, 40, 40},
        {"\xE5\x8C\xB9\xE9\x85\x8D\xE8\xA1\x8C\xEF\xBC\x9A"
         "1\xE5\xB7\xB2\xE6\x9B\xB4\xE6\x94\xB9\xEF\xBC\x9A"
         "0",
         "Rows matched: 1  Changed: 1  Warnings: 0", 0, 1, 1},
        {"Rader: 3  Dubletter: 1  Varningar: 0", "Rows matched: 3  Changed: 3  Warnings: 0", 2, 3, 3},
        {"Rows matched: 999999999999999999999  Changed: 1", "", 7, 7, 1},
        {"Rows matched: ", "", 7, 7, 1},
        {"Rows matched: x", "", 7, 7, 1},
        {"Rows matched: 4", "", 7, 7, 1},
        {"Records: 3  Duplicates: 1  Warnings: 0", "", 3, 3, 3},
        {"", "", 5, 5, 1}};
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        size_t n = strlen(cases[i].info);
        uint8_t *p = guard_copy(cases[i].info, n);
        struct my_ok ok = {.rows = cases[i].rows, .last_id = 9, .warnings = 3, .info = p, .info_len = n};
        char info[MY_VEIL_INFO];
        struct my_ok again = ok;
        my_veil_ok(&again, true, info);
        ck_assert_uint_eq(again.rows, cases[i].given);
        my_veil_ok(&ok, false, info);
        ck_assert_uint_eq(ok.rows, cases[i].out_rows);
        ck_assert_uint_eq(ok.warnings, 0);
        ck_assert_uint_eq(ok.last_id, 9);
        ck_assert_uint_eq(ok.info_len, strlen(cases[i].out));
        ck_assert(ok.info_len == 0 || memcmp(ok.info, cases[i].out, ok.info_len) == 0);
        guard_free(p, n);
    }
}
END_TEST

START_TEST(columns) {
    static const char in[] = "\x03"
                             "def\x04shop\x01"
                             "c\x02gh\x05label\x05"
                             "email\x0c-\0\x90\1\0\0\xfd\0\0'\0\0";
    static const char want[] = "\x03"
                               "def\0\x01"
                               "c\0\x05label\0\x0c-\0\x90\1\0\0\xfd\0\0\0\0\0";
    static const char decimal[] = "\3def\0\0\0\1a\0\x0c?\0\x0d\0\0\0\xf6\0\0\2\0\0";
    static const char numbered[] = "\3def\0\3__2\0\1a\0\x0c", plain[] = "\3def\0\0\0\1a\0\x0c";
    struct buf out = BUF_INIT(1024);
    ck_assert(my_veil_column(cur_of((const uint8_t *)in, sizeof in - 1), &out));
    ck_assert_uint_eq(buf_used(&out), sizeof want - 1);
    ck_assert_int_eq(memcmp(buf_at(&out), want, sizeof want - 1), 0);
    buf_reset(&out);
    ck_assert(my_veil_column(cur_of((const uint8_t *)numbered, sizeof numbered - 1), &out));
    ck_assert_uint_eq(buf_used(&out), sizeof plain - 1);
    ck_assert_int_eq(memcmp(buf_at(&out), plain, sizeof plain - 1), 0);
    buf_reset(&out);
    ck_assert(my_veil_column(cur_of((const uint8_t *)decimal, sizeof decimal - 1), &out));
    ck_assert_uint_eq(buf_used(&out), sizeof decimal - 1);
    ck_assert_int_eq(memcmp(buf_at(&out), decimal, sizeof decimal - 1), 0);
    /* A number that went through the plan's table or did not; a key and a column that is none; what its type says stays. */
    static const struct {
        uint8_t type;
        uint16_t flags, want;
    } flags[] = {{3, 0x80, 0},  {3, 0, 0},           {8, 0x81, 1},      {3, 0x4203, 1},     {3, 0xf06b, 0x8061},
                 {10, 0x80, 0}, {253, 0x1080, 0x80}, {252, 0x90, 0x90}, {254, 0x981, 0x981}};
    for (size_t i = 0; i < sizeof flags / sizeof *flags; i++) {
        uint8_t column[] = {3,
                            'd',
                            'e',
                            'f',
                            0,
                            0,
                            0,
                            1,
                            'a',
                            0,
                            0x0c,
                            0x3f,
                            0,
                            10,
                            0,
                            0,
                            0,
                            flags[i].type,
                            (uint8_t)flags[i].flags,
                            (uint8_t)(flags[i].flags >> 8),
                            0,
                            0,
                            0};
        buf_reset(&out);
        ck_assert(my_veil_column(cur_of(column, sizeof column), &out));
        ck_assert_uint_eq(buf_used(&out), sizeof column);
        column[18] = (uint8_t)flags[i].want;
        column[19] = (uint8_t)(flags[i].want >> 8);
        ck_assert_int_eq(memcmp(buf_at(&out), column, sizeof column), 0);
    }
    for (size_t cut = 0; cut < 25; cut++) { /* within the names */
        uint8_t *p = guard_copy(in, cut);
        buf_reset(&out);
        ck_assert(!my_veil_column(cur_of(p, cut), &out));
        guard_free(p, cut);
    }
    buf_free(&out);
}
END_TEST

/* --- in a session --- */

#define COLUMN "03'def'04'shop'01'c'03'cgh'05'label'05'email'0c2d00"
#define VEILED "03'def'0001630005'label'000c2d00"

static void start(struct talk *t, size_t chop, bool eof) {
    talk_start(t, chop, NULL);
    t->eof = eof;
    talk_ready(t);
}

START_TEST(errors_in_a_session) {
    struct talk t;
    start(&t, chops[_i], false);
    struct my_err e;
    talk_client(&t, "0:03'veil'");
    talk_server(&t, "1:ff260423323330303044'uplicate entry c4n4ry'");
    struct buf *out = flt_out(t.f, FLT_CLIENT);
    ck_assert(my_read_err(cur_of(buf_at(out) + 4, buf_used(out) - 4), &e));
    ck_assert_uint_eq(e.code, 1062);
    ck_assert_str_eq(e.sqlstate, "23000");
    ck_assert_ptr_null(strstr(e.message, "c4n4ry"));
    buf_drain(out, buf_used(out));
    talk_client(&t, "0:03'veil'"); /* a name */
    talk_server(&t, "1:ff1e0423343253323255'nknown column x'");
    ck_assert(my_read_err(cur_of(buf_at(out) + 4, buf_used(out) - 4), &e));
    ck_assert_str_eq(e.message, "Unknown column x");
    buf_drain(out, buf_used(out));
    static const char piece[] = "near policy text"; /* of the text that ran: it may be the client's own, or not */
    for (int rewritten = 0; rewritten < 2; rewritten++) {
        talk_client(&t, rewritten ? "0:03'veil rewrite'" : "0:03'veil'");
        talk_server(&t, "1:ff2804'#42000near policy text'");
        ck_assert(my_read_err(cur_of(buf_at(out) + 4, buf_used(out) - 4), &e));
        ck_assert_uint_eq(e.code, 1064);
        ck_assert_int_eq(strstr(e.message, piece) != NULL, rewritten == 0);
        buf_drain(out, buf_used(out));
    }
    talk_client(&t, "0:03'veil'"); /* behind a row */
    talk_server(&t, "1:01 2:" COLUMN " 3:0131 4:ff9a06'#22003value is out of range in c4n4ry'");
    ck_assert_ptr_null(memmem(buf_at(out), buf_used(out), "c4n4ry", 6));
    talk_end(&t);
}
END_TEST

START_TEST(metadata_and_warnings) {
    for (int eof = 0; eof < 2; eof++) {
        struct talk t;
        start(&t, chops[_i], eof != 0);
        const char *rows = eof ? "1:01 2:" COLUMN " 3:fe05003208 4:0131 5:fe05002200" : "1:01 2:" COLUMN " 3:0131 4:fe000032080500";
        talk_client(&t, "0:03'veil rewrite'");
        talk_server(&t, rows);
        talk_expect(&t, FLT_CLIENT,
                    eof ? "1:01 2:" VEILED " 3:fe00000200 4:0131 5:fe00000200" : "1:01 2:" VEILED " 3:0131 4:fe000002000000");
        talk_client(&t, "0:03'veil'"); /* the client's own text: the server says where its columns come from */
        talk_server(&t, rows);
        ck_assert_ptr_nonnull(strstr(talk_saw(&t, FLT_CLIENT), "'shop'"));
        talk_client(&t, "0:16'veil rewrite'");
        talk_server(&t, eof ? "1:000500000001000000000500 2:" COLUMN " 3:fe05000200" : "1:000500000001000000000500 2:" COLUMN);
        talk_expect(&t, FLT_CLIENT, eof ? "1:000500000001000000000000 2:" VEILED " 3:fe00000200" : "1:000500000001000000000000 2:" VEILED);
        talk_client(&t, "0:17050000000001000000");
        talk_server(&t, rows);
        ck_assert_ptr_null(strstr(talk_saw(&t, FLT_CLIENT), "'shop'"));
        talk_client(&t, "0:03'veil'");
        talk_server(&t, "1:0000091208020028'Rows matched: 2  Changed: 0  Warnings: 2'");
        talk_expect(&t, FLT_CLIENT, "1:00020902000000'(Rows matched: 2  Changed: 2  Warnings: 0'");
        talk_end(&t);
    }
}
END_TEST

START_TEST(broken_columns) {
    struct talk t;
    start(&t, chops[_i], false);
    talk_client(&t, "0:03'veil rewrite'");
    talk_server(&t, "1:01 2:03'def'ff");
    ck_assert(t.closed);
    talk_end(&t);
}
END_TEST

/* A change that was too late to be stopped is done: the client is told that, and not that it is over a limit. */
START_TEST(too_late) {
    struct talk t;
    start(&t, chops[_i], false);
    talk_client(&t, "0:03'limited'");
    ck_assert(flt_overrun(t.f));
    flt_over(t.f);
    talk_server(&t, "1:00030002000000");
    talk_expect(&t, FLT_CLIENT, "1:00030002000000");
    talk_events(&t, "query limited\nover 2\nresult 2 rows 3 bytes 0 '00000'\n");
    talk_client(&t, "0:03'limited'"); /* rows that come late are over the limit */
    ck_assert(flt_overrun(t.f));
    flt_over(t.f);
    talk_server(&t, "1:01 2:" COLUMN " 3:0131 4:OKEOF");
    talk_expect(&t, FLT_CLIENT, "1:E1226");
    talk_end(&t);
}
END_TEST

int main(void) {
    Suite *s = suite_create("my_veil");
    TCase *t = tcase_create("veil");
    tcase_add_test(t, errors);
    tcase_add_test(t, oks);
    tcase_add_test(t, columns);
    tcase_add_loop_test(t, errors_in_a_session, 0, CHOPS);
    tcase_add_loop_test(t, metadata_and_warnings, 0, CHOPS);
    tcase_add_loop_test(t, broken_columns, 0, CHOPS);
    tcase_add_loop_test(t, too_late, 0, CHOPS);
    suite_add_tcase(s, t);
    return run_suite(s);
}
