/* What others wrote, as HTML: nothing of it is ever markup, and nothing of it is out of sight. */
#include "spoa/html.h"
#include "t/lib/guard.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static char *of(void (*put)(struct buf *, const char *, size_t), const char *s, size_t len) {
    struct buf b = BUF_INIT(1u << 20);
    uint8_t *p = guard_copy(s, len);
    put(&b, (const char *)p, len);
    guard_free(p, len);
    ck_assert(!b.failed);
    char *text = strndup((const char *)buf_at(&b), buf_used(&b));
    buf_free(&b);
    return text;
}

static const struct {
    const char *in, *out;
} texts[] = {
    {"", ""},
    {"a b", "a b"},
    {"<script>alert('x')</script>", "&lt;script&gt;alert(&#39;x&#39;)&lt;/script&gt;"},
    {"\" onclick=\"x", "&quot; onclick=&quot;x"},
    {"&amp;&#60;", "&amp;amp;&amp;#60;"},
};

START_TEST(escaped) {
    char *got = of(html_text, texts[_i].in, strlen(texts[_i].in));
    ck_assert_str_eq(got, texts[_i].out);
    free(got);
}
END_TEST

static const struct {
    const char *in;
    size_t len; /* 0: all of it */
    const char *out;
} statements[] = {
    {"SELECT 1", 0, "<i>SELECT 1</i>"},
    {"", 0, "<i></i>"},
    {"a\nb", 0, "<i>a\n</i><i>b</i>"},
    {"a\n\nb\n", 0, "<i>a\n</i><i>\n</i><i>b\n</i><i></i>"},
    {"<i>&</i><mark>U+202E</mark>", 0, "<i>&lt;i&gt;&amp;&lt;/i&gt;&lt;mark&gt;U+202E&lt;/mark&gt;</i>"},
    {"a\xe2\x80\xae"
     "b",
     0, "<i>a<mark>U+202E</mark>b</i>"},
    {"<U+202E>", 0, "<i>&lt;U+202E&gt;</i>"},
    {"a\0b\x1b[2K\r", 8, "<i>a<mark>U+0000</mark>b<mark>U+001B</mark>[2K<mark>U+000D</mark></i>"},
    {"\xff\xc3\x28", 0, "<i><mark>byte FF</mark><mark>byte C3</mark>(</i>"},
    {"p\xd0\xb0y \xe2\x80\x8b\xd0\xb0", 0, "<i>p<u>\xd0\xb0</u>y <mark>U+200B</mark><u>\xd0\xb0</u></i>"},
    {"\xd0\xb0\n\xd0\xb0", 0, "<i><u>\xd0\xb0</u>\n</i><i><u>\xd0\xb0</u></i>"},
    {"a                                b", 0, "<i>a                                b</i>"},
    {"a                                 b", 0, "<i>a<mark>33 blanks</mark>b</i>"},
    {"a\n\n\n\n\nb", 0, "<i>a\n</i><i>\n</i><i>\n</i><i>\n</i><i>\n</i><i>b</i>"},
    {"a\n\n\n\n\n\nb", 0, "<i>a\n</i><i><mark>5 empty lines</mark>\n</i><i>b</i>"},
    {"\xc2\xa0\xe3\x80\x80", 0, "<i><mark>U+00A0</mark><mark>U+3000</mark></i>"},
};

START_TEST(as_it_is) {
    const char *in = statements[_i].in;
    char *got = of(html_statement, in, statements[_i].len != 0 ? statements[_i].len : strlen(in));
    ck_assert_str_eq(got, statements[_i].out);
    free(got);
}
END_TEST

START_TEST(every_byte) {
    for (unsigned a = 0; a < 256; a++)
        for (unsigned b = 0; b < 256; b++) {
            char in[3] = {(char)a, (char)b, 'x'};
            char *got = of(html_statement, in, sizeof in);
            for (const char *p = strchr(got, '<'); p != NULL; p = strchr(p + 1, '<'))
                ck_assert_msg(strncmp(p, "<i>", 3) == 0 || strncmp(p, "</i>", 4) == 0 || strncmp(p, "<u>", 3) == 0 ||
                                  strncmp(p, "</u>", 4) == 0 || strncmp(p, "<mark>", 6) == 0 || strncmp(p, "</mark>", 7) == 0,
                              "%02x %02x: %s", a, b, got);
            ck_assert_ptr_nonnull(strchr(got, 'x'));
            free(got);
        }
}
END_TEST

int main(void) {
    Suite *s = suite_create("html");
    TCase *t = tcase_create("html");
    tcase_add_loop_test(t, escaped, 0, (int)(sizeof texts / sizeof *texts));
    tcase_add_loop_test(t, as_it_is, 0, (int)(sizeof statements / sizeof *statements));
    tcase_add_test(t, every_byte);
    suite_add_tcase(s, t);
    return run_suite(s);
}
