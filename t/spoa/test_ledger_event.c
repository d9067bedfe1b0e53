#include "spoa/ledger_chain.h"
#include "t/lib/guard.h"

#include <jansson.h>
#include <string.h>

/* What is made at once, of e, is what is made of the names and values of its line, of again; with both, the same event from another way. */
static void same_forms(const struct lev *e, const struct lev *again) {
    struct buf one = BUF_INIT(1 << 20), two = BUF_INIT(1 << 20);
    struct chain a, b;
    struct lev *numbered = (struct lev *)(uintptr_t)e;
    lev_resp(e, &one);
    lev_resp(again, &two);
    ck_assert(!one.failed && !two.failed);
    ck_assert_uint_eq(buf_used(&one), buf_used(&two));
    ck_assert_mem_eq(buf_at(&one), buf_at(&two), buf_used(&one));
    chain_init(&a);
    chain_init(&b);
    ck_assert(chain_add(&a, numbered));
    ck_assert(chain_hash(again->key, again->parts, again->nparts, b.main.hash));
    ck_assert_str_eq(a.main.hash, b.main.hash);
    buf_free(&one);
    buf_free(&two);
}

/* The line that is made of one value, read back by a JSON reader of its own (jansson) and as an event. */
static void round_trip(const char *value, size_t len) {
    const struct led_field f = {"sql", value, len, NULL};
    const struct led_event ev = {LED_SESSION, "s\"1\\", "statement", &f, 1, false};
    struct buf out = BUF_INIT(1 << 20);
    struct lev *e = lev_of(&ev, "node-1");
    ck_assert_ptr_nonnull(e);
    lev_number(e, 4711, (struct lev_id){1790000000000u, 3});
    lev_set_prev(e, CHAIN_ZERO);
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
    ck_assert_uint_eq(again->nfields, e->nfields);
    ck_assert_uint_eq(again->nparts, 2 * e->nfields);
    same_forms(e, again);
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

static char *line_of(const struct led_field *f, size_t n, struct lev **out) {
    struct buf line = BUF_INIT(1 << 20);
    struct lev *e = lev_of(&(struct led_event){LED_SESSION, "s1", "statement", f, n, false}, "node-1");
    ck_assert_ptr_nonnull(e);
    strcpy(e->time_text, "2026-01-01T00:00:00.000Z");
    lev_number(e, 1, (struct lev_id){1, 0});
    lev_set_prev(e, CHAIN_ZERO);
    lev_json(e, &line);
    ck_assert(!line.failed);
    buf_u8(&line, 0);
    char *text = strdup((const char *)buf_at(&line));
    struct lev *again = lev_parse(text, strlen(text));
    ck_assert_ptr_nonnull(again);
    same_forms(e, again);
    buf_free(&line);
    lev_free_all(again);
    if (out != NULL)
        *out = e;
    else
        lev_free_all(e);
    return text;
}

#define TOKEN "eyJhbGciOiJSUzI1NiJ9.eyJzdWIiOiJ4In0.AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA"

/* A run is its fields, whatever stands beside it: also where the event is not small. */
START_TEST(runs) {
    static char large[20000];
    memset(large, 'l', sizeof large);
    const struct led_field in[] = {{"kind", "query", 5, NULL}, {"sql", "SELECT '\n\"\xc3\xa9\\'", 14, NULL}, {"empty", NULL, 0, NULL}};
    const struct {
        const char *value;
        size_t len;
        bool small;
    } beside[] = {{"7", 1, true}, {"", 0, true}, {"\xff\0", 2, false}, {large, sizeof large, false}, {TOKEN, strlen(TOKEN), false}};
    struct led_run *run = led_run_new(in, 3), *other = led_run_new(in, 1);
    ck_assert(run != NULL && other != NULL);
    for (size_t i = 0; i < sizeof beside / sizeof *beside; i++) {
        const struct led_field odd = {"odd", beside[i].value, beside[i].len, NULL};
        const struct led_field flat[] = {odd, in[0], in[1], in[2], {"id", "1", 1, NULL}, in[0]};
        const struct led_field made[] = {odd, {NULL, run, 0, NULL}, {"id", "1", 1, NULL}, {NULL, other, 0, NULL}};
        struct lev *e;
        char *one = line_of(flat, 6, NULL), *two = line_of(made, 4, &e);
        ck_assert_str_eq(one, two);
        ck_assert(strstr(two, TOKEN) == NULL);
        ck_assert(beside[i].small == (e->nparts == 0));
        lev_free_all(e);
        free(one);
        free(two);
    }
    led_run_free(run);
    led_run_free(other);
}
END_TEST

/* A number is its digits, however long they and the name before are; also where the event is not small. */
START_TEST(numbers) {
    static char large[20000];
    memset(large, 'l', sizeof large);
    static const struct led_name id = LED_NAME(2, "id"), nine = LED_NAME(9, "nine_char"), ten = LED_NAME(10, "ten_charac"),
                                 most = LED_NAME(12, "twelve_chara");
    const struct led_name *const names[] = {&id, &nine, &ten, &most};
    uint64_t value = 0;
    for (unsigned digits = 0; digits < 20; digits++, value = digits == 19 ? UINT64_MAX : value * 10 + digits % 10)
        for (size_t i = 0; i < 4; i++)
            for (int small = 0; small < 2; small++) {
                char text[LED_NUMBER_ROOM];
                size_t len = gh_u64_text(text, value);
                const struct led_field plain = {names[i]->text, text, len, NULL}, number = {names[i]->text, text, len, names[i]};
                const struct led_field sql = {"sql", large, small ? 5 : sizeof large, NULL};
                const struct led_field flat[] = {plain, sql, plain, plain}, made[] = {number, sql, number, number};
                struct lev *e;
                char *one = line_of(flat, 4, NULL), *two = line_of(made, 4, &e);
                ck_assert_str_eq(one, two);
                ck_assert(small == (e->nparts == 0));
                lev_free_all(e);
                free(one);
                free(two);
            }
}
END_TEST

START_TEST(no_run) {
    static char large[LED_RUN_BYTES + 1];
    struct led_field many[LED_RUN_FIELDS + 1];
    memset(large, 'l', sizeof large);
    for (size_t i = 0; i <= LED_RUN_FIELDS; i++) many[i] = (struct led_field){"a", "b", 1, NULL};
    ck_assert_ptr_null(led_run_new(many, LED_RUN_FIELDS + 1));
    ck_assert_ptr_null(led_run_new(&(struct led_field){"sql", large, sizeof large, NULL}, 1));
    ck_assert_ptr_null(led_run_new(&(struct led_field){"sql", "a\0b", 3, NULL}, 1));
    ck_assert_ptr_null(led_run_new(&(struct led_field){"sql", "\xff", 1, NULL}, 1));
    ck_assert_ptr_null(led_run_new(&(struct led_field){"sql", "x " TOKEN, strlen(TOKEN) + 2, NULL}, 1));
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
    tcase_add_test(t, runs);
    tcase_add_test(t, numbers);
    tcase_add_test(t, no_run);
    tcase_add_test(t, time_is_iso_8601);
    suite_add_tcase(s, t);
    return run_suite(s);
}
