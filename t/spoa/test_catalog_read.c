/* The order in which a catalog's statements are asked for, and what their rows become. */
#include "spoa/catalog_read.h"
#include "t/lib/guard.h"

#include <stdlib.h>
#include <string.h>

static const struct conf_database pg = {.engine = CONF_POSTGRESQL}, my = {.engine = CONF_MYSQL};

static void row(struct catalog_read *r, const char *text) { ck_assert(catalog_read_row(r, text, strlen(text))); }

/* Behind the mark: every statement, each with a row of its own. */
static size_t read_all(struct catalog_read *r) {
    size_t n = 0;
    for (; r->how->statements[n] != NULL; n++) {
        ck_assert_ptr_eq(catalog_read_next(r), r->how->statements[n]);
        row(r, "line");
    }
    return n;
}

START_TEST(a_snapshot_needs_one_mark) {
    struct catalog_read r;
    catalog_read_begin(&r, &pg, "");
    ck_assert_ptr_eq(r.how, &pol_catalog_pg);
    ck_assert_ptr_eq(catalog_read_next(&r), r.how->mark);
    row(&r, "mark");
    ck_assert(!catalog_read_unchanged(&r));
    size_t n = read_all(&r);
    ck_assert_ptr_null(catalog_read_next(&r));
    ck_assert(!catalog_read_torn(&r) && !catalog_read_unchanged(&r));
    ck_assert_str_eq(r.mark, "mark");
    ck_assert_uint_eq(buf_used(&r.text), n * 5);
    ck_assert_int_eq(memcmp(buf_at(&r.text), "line\nline\n", 10), 0);
    catalog_read_free(&r);
}
END_TEST

START_TEST(without_one_it_is_asked_for_twice) {
    static const struct {
        const char *after;
        bool torn;
    } cases[] = {{"mark", false}, {"mark2", true}, {"mar", true}};
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        struct catalog_read r;
        catalog_read_begin(&r, &my, "another");
        ck_assert_ptr_eq(r.how, &pol_catalog_my);
        ck_assert_ptr_eq(catalog_read_next(&r), r.how->mark);
        row(&r, "mark");
        size_t n = read_all(&r);
        ck_assert(!catalog_read_torn(&r));
        ck_assert_ptr_eq(catalog_read_next(&r), r.how->mark);
        row(&r, cases[i].after);
        ck_assert_ptr_null(catalog_read_next(&r));
        ck_assert_int_eq(catalog_read_torn(&r), cases[i].torn);
        ck_assert_uint_eq(buf_used(&r.text), n * 5);
        catalog_read_free(&r);
    }
}
END_TEST

START_TEST(known_already) {
    struct catalog_read r;
    catalog_read_begin(&r, &my, "mark");
    catalog_read_next(&r);
    row(&r, "mark");
    ck_assert_ptr_null(catalog_read_next(&r));
    ck_assert(catalog_read_unchanged(&r) && !catalog_read_torn(&r));
    catalog_read_free(&r);
}
END_TEST

START_TEST(bad_marks) {
    char text[CATALOG_MARK_BYTES + 1];
    struct catalog_read r;
    memset(text, 'x', sizeof text);
    for (size_t len = 0; len <= sizeof text; len += CATALOG_MARK_BYTES) { /* none, and one that does not fit */
        catalog_read_begin(&r, &my, "");
        catalog_read_next(&r);
        ck_assert(!catalog_read_row(&r, text, len));
        catalog_read_free(&r);
    }
}
END_TEST

int main(void) {
    Suite *s = suite_create("catalog_read");
    TCase *t = tcase_create("reading");
    tcase_add_test(t, a_snapshot_needs_one_mark);
    tcase_add_test(t, without_one_it_is_asked_for_twice);
    tcase_add_test(t, known_already);
    tcase_add_test(t, bad_marks);
    suite_add_tcase(s, t);
    return run_suite(s);
}
