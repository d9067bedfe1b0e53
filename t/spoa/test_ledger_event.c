#include "spoa/ledger_event.h"
#include "t/lib/guard.h"

#include <jansson.h>
#include <string.h>

/* The line that is made of one value, read back by a JSON reader of its own (jansson) and as an event. */
static void round_trip(const char *value, size_t len) {
    const struct led_field f = {"sql", value, len};
    const struct led_event ev = {LED_SESSION, "s\"1\\", "statement", &f, 1, false};
    struct buf out = BUF_INIT(1 << 20);
    struct lev *e = lev_of(&ev, "node-1");
    ck_assert_ptr_nonnull(e);
    lev_number(e, 4711, (struct lev_id){1790000000000u, 3});
    lev_json(e, &out);
    ck_assert(!out.failed);
    json_t *root = json_loadb((const char *)buf_at(&out), buf_used(&out), 0, NULL);
    ck_assert_ptr_nonnull(root);
    const json_t *fields = json_object_get(root, "fields"), *last = json_array_get(fields, json_array_size(fields) - 1);
    ck_assert_str_eq(json_string_value(json_object_get(root, "session")), "s\"1\\");
    ck_assert_int_eq(json_integer_value(json_object_get(root, "seq")), 4711);
    ck_assert_str_eq(json_string_value(json_array_get(last, 0)), "sql");
    ck_assert_uint_eq(json_string_length(json_array_get(last, 1)), len);
    ck_assert_mem_eq(json_string_value(json_array_get(last, 1)), value, len);
    for (size_t i = 0; i < buf_used(&out); i++) ck_assert_uint_ge(buf_at(&out)[i], 0x20); /* a line is a line */

    struct lev *again = lev_parse((const char *)buf_at(&out), buf_used(&out));
    ck_assert_ptr_nonnull(again);
    ck_assert_str_eq(again->id, "1790000000000-3");
    ck_assert_uint_eq(again->ms, 1790000000000u);
    ck_assert_str_eq(again->seq_text, "4711");
    ck_assert_uint_eq(again->nparts, e->nparts);
    for (size_t i = 0; i < e->nparts; i++) {
        ck_assert_uint_eq(again->parts[i].len, e->parts[i].len);
        ck_assert_mem_eq(again->parts[i].at, e->parts[i].at, e->parts[i].len);
    }
    lev_free_all(again);
    lev_free_all(e);
    json_decref(root);
    buf_free(&out);
}

/* Eight bytes are looked at together: each byte is escaped, or not, at every place. */
START_TEST(every_byte_everywhere) {
    char text[24];
    for (int c = 1; c < 0x80; c++)
        for (size_t at = 0; at < 20; at++) {
            memset(text, 'x', sizeof text);
            memcpy(text + 2, "\xc3\xa9", 2);
            text[at == 3 ? 4 : at == 2 ? 5 : at] = (char)c; /* not inside of the letter */
            round_trip(text, 9);
            round_trip(text, 20);
        }
    round_trip("", 0);
    round_trip("\"\\\n\t\x7f\"\"", 7);
}
END_TEST

START_TEST(time_is_iso_8601) {
    const struct led_event ev = {LED_SESSIONS, NULL, "start", NULL, 0, false};
    for (int i = 0; i < 3; i++) {
        struct lev *e = lev_of(&ev, "n");
        int y, mo, d, h, mi, s, ms, end = 0;
        ck_assert_int_eq(sscanf(e->time_text, "%4d-%2d-%2dT%2d:%2d:%2d.%3dZ%n", &y, &mo, &d, &h, &mi, &s, &ms, &end), 7);
        ck_assert_int_eq(end, 24);
        ck_assert_uint_eq(strlen(e->time_text), 24);
        lev_free_all(e);
    }
}
END_TEST

int main(void) {
    Suite *s = suite_create("ledger_event");
    TCase *t = tcase_create("all");
    tcase_add_test(t, every_byte_everywhere);
    tcase_add_test(t, time_is_iso_8601);
    suite_add_tcase(s, t);
    return run_suite(s);
}
