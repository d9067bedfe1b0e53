/* What is said of a command line that is wrong. */
#include "ctl/words.h"

#include "policy/text.h"
#include "t/lib/guard.h"

#include <stdlib.h>
#include <string.h>

static const char *const commands[] = {"policy", "approvals", "approve", "deny", "block", "unblock", "blocks", "status", NULL};

static const struct {
    const char *word, *near;
} words[] = {
    {"aprove", "approve"},
    {"approv", "approve"},
    {"appprove", "approve"},
    {"appvore", "approve"},
    {"blokc", "block"},
    {"dney", "deny"},
    {"xxxx", NULL},
    {"", NULL},
    {"staus", "status"},
    {"de", NULL},
    {"approval", "approvals"},
    {"aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa", NULL},
};

START_TEST(near) {
    const char *got = pol_nearest(words[_i].word, commands);
    if (words[_i].near == NULL)
        ck_assert_msg(got == NULL, "%s for %s", got, words[_i].word);
    else
        ck_assert_str_eq(got, words[_i].near);
}
END_TEST

static const char *const lines[] = {"gatehousectl a [list]", "gatehousectl a show ID", "             [--json]", "gatehousectl ab", NULL};

static const struct {
    const char *command, *out;
} usages[] = {
    {"a", "usage: gatehousectl a [list]\n       gatehousectl a show ID\n                    [--json]\n\n"},
    {"ab", "usage: gatehousectl ab\n\n"},
    {NULL, "usage: gatehousectl a [list]\n       gatehousectl a show ID\n                    [--json]\n       gatehousectl ab\n\n"},
};

START_TEST(usage) {
    char *text = NULL;
    size_t len;
    FILE *f = open_memstream(&text, &len);
    words_usage(f, lines, usages[_i].command);
    fclose(f);
    ck_assert_str_eq(text, usages[_i].out);
    free(text);
}
END_TEST

int main(void) {
    Suite *s = suite_create("ctl/words");
    TCase *t = tcase_create("words");
    tcase_add_loop_test(t, near, 0, (int)(sizeof words / sizeof *words));
    tcase_add_loop_test(t, usage, 0, (int)(sizeof usages / sizeof *usages));
    suite_add_tcase(s, t);
    return run_suite(s);
}
