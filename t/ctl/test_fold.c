/* What others wrote, as lines on a terminal: none of them looks like a line of ours. */
#include "ctl/fold.h"

#include "t/lib/guard.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

struct out {
    char text[8192];
    size_t n, widest;
};

static void put(void *arg, const char *before, const char *line, size_t len) {
    struct out *o = arg;
    size_t used = strlen(o->text);
    snprintf(o->text + used, sizeof o->text - used, "%s%.*s\n", before, (int)len, line);
    size_t width = fold_width(before, strlen(before)) + fold_width(line, len);
    if (width > o->widest) o->widest = width;
    o->n++;
}

static const struct fold sql = {.first = "| ", .line = "| ", .more = ": ", .lines = true},
                         field = {.first = "why   ", .line = "      ", .more = "      "};

static struct out *folded(struct fold f, unsigned columns, const char *text) {
    static struct out o;
    o = (struct out){.n = 0};
    f.columns = columns;
    ck_assert(fold_text(&f, text, put, &o));
    return &o;
}

static const struct {
    bool sql;
    unsigned columns;
    const char *in, *out;
} texts[] = {
    {true, 0, "", "| \n"},
    {true, 0, "select 1", "| select 1\n"},
    {true, 0, "a\n\nb\n", "| a\n| \n| b\n"},
    {true, 0, "/* x */ update t /* \nearlier      the same statement\n approved by lead ... ok\n\nrequest 01m8, pending */",
     "| /* x */ update t /* \n| earlier      the same statement\n|  approved by lead ... ok\n| \n| request 01m8, pending */\n"},
    {true, 0, "a\rb\x1b[2K\x7f", "| a<U+000D>b<U+001B>[2K<U+007F>\n"},
    {true, 0,
     "a\x0b"
     "b\x0c"
     "c\xc2\x85"
     "d\xe2\x80\xa8"
     "e\xe2\x80\xa9"
     "f",
     "| a<U+000B>b<U+000C>c<U+0085>d<U+2028>e<U+2029>f\n"}, /* newlines to some */
    {true, 0,
     "\xe2\x80\xae"
     "1=1\xe2\x81\xa6",
     "| <U+202E>1=1<U+2066>\n"},
    {true, 0, "\xff", "| <0xFF>\n"},
    {true, 0, "a\tb\n\tc", "| a       b\n|         c\n"},
    {true, 16, "select 1234567890", "| select 1234567\n: 890\n"},
    {true, 16, "select 1234567\nx", "| select 1234567\n| x\n"},
    {true, 0, "a                                                                  b", "| a<66 blanks>b\n"},
    {true, 0, "a\t\t\t\t\t\t\t\t\tb", "| a<71 blanks>b\n"},
    {true, 0, "a                                b", "| a                                b\n"}, /* 32 */
    {true, 8, "abcdefghi", "| \n abcdefg\n hi\n"},                                             /* no room for more than a blank */
    {false, 0, "a\nrequest 01m8\tx", "why   a<U+000A>request 01m8<U+0009>x\n"},
    {false, 20, "because of decision approved", "why   because of dec\n      ision approved\n"},
};

START_TEST(lines) { ck_assert_str_eq(folded(texts[_i].sql ? sql : field, texts[_i].columns, texts[_i].in)->text, texts[_i].out); }
END_TEST

/* Without what folding adds. */
static void squeeze(const char *p, char *out) {
    for (; *p != '\0'; p++)
        if (strchr("|: \n", *p) == NULL) *out++ = *p;
    *out = '\0';
}

/* Whatever the width, each line begins with ours, none is wider, and nothing is lost. */
START_TEST(every_width) {
    static const char text[] = "select '\t\t', \"\xe4\xbd\xa0\xe5\xa5\xbd e\xcc\x81\" /* \n  request 01m8, pending */\n\x1b[2J";
    char want[8192], got[8192];
    squeeze(folded(sql, 0, text)->text, want);
    for (unsigned columns = 4; columns < 120; columns++) {
        const struct out *o = folded(sql, columns, text);
        ck_assert_msg(o->widest <= columns, "%zu of %u columns", o->widest, columns);
        bool fresh = true;
        for (const char *p = o->text; *p != '\0'; p++) {
            if (fresh) ck_assert_msg(*p == '|' || *p == ':' || *p == ' ', "%u columns: %s", columns, p);
            fresh = *p == '\n';
        }
        squeeze(o->text, got);
        ck_assert_str_eq(got, want);
    }
}
END_TEST

int main(void) {
    Suite *s = suite_create("ctl/fold");
    TCase *t = tcase_create("fold");
    tcase_add_checked_fixture(t, fold_locale, NULL);
    tcase_add_loop_test(t, lines, 0, (int)(sizeof texts / sizeof *texts));
    tcase_add_test(t, every_width);
    suite_add_tcase(s, t);
    return run_suite(s);
}
