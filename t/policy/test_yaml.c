#include "policy/yaml.h"
#include "t/lib/guard.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static struct yaml_doc *load(const char *text, struct pol_error *err) {
    size_t len = strlen(text);
    uint8_t *p = guard_copy(text, len);
    memset(err, 0, sizeof *err);
    struct yaml_doc *d = yaml_load_text("f.yaml", (const char *)p, len, err);
    guard_free(p, len);
    return d;
}

static const struct {
    const char *text;
    unsigned line, column;
    const char *says, *key;
} bad[] = {
    {"", 1, 1, "empty", ""},
    {"# only a comment\n", 1, 1, "empty", ""},
    {"---\n...\n", 1, 1, "empty", ""},
    {"a: 1\nb: 2\na: 3\n", 3, 1, "given twice", "a"},
    {"a:\n  b: 1\n  c: 2\n  b: 3\n", 4, 3, "already on line 2", "a.b"},
    {"a: 1\n\"a\": 2\n", 2, 1, "given twice", "a"},
    {"a: &x 1\n", 1, 4, "anchor", ""},
    {"a: &x\n  b: 1\n", 1, 4, "anchor", ""},
    {"a: 1\nb: *x\n", 2, 4, "in quotes: \"*\"", ""},
    {"groups: *\n", 1, 10, "must be in quotes: \"*\", \"*.*\"", ""},
    {"on: *.*\n", 1, 6, "must be in quotes: \"*\", \"*.*\"", ""},
    {"a: !!str 1\n", 1, 4, "tag", ""},
    {"a: !x [1]\n", 1, 4, "tag", ""},
    {"a: 1\n---\nb: 2\n", 2, 1, "second document", ""},
    {"a: 1\n...\nb: 2\n", 3, 1, "", ""},
    {"<<: {a: 1}\n", 1, 1, "merge", "<<"},
    {"a:\n\tb: 1\n", 2, 1, "tab", ""},
    {"a:\t1\n", 1, 3, "tab", ""},
    {"a: 1\nb: \xff\n", 2, 4, "UTF-8", ""},
    {"a: \xc3\xa9\xed\xa0\x80\n", 1, 5, "UTF-8", ""},
    {"\xff\xfe"
     "a\n",
     1, 1, "UTF-8", ""},
    {"%YAML 1.2\n---\na: 1\n", 1, 1, "directives", ""},
    {"%TAG ! tag:x,2000:\n---\na: 1\n", 1, 1, "directives", ""},
    {"? [a]\n: 1\n", 1, 3, "a key must be", ""},
    {"~: 1\n", 1, 1, "a key must be", "~"},
    {": 1\n", 1, 1, "", ""},
    {"a: \"x\\0y\"\n", 1, 4, "NUL", ""},
    {"a: [1, 2\n", 2, 1, "", ""},
    {"a: b: c\n", 1, 5, "", ""},
    {"[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[1]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]", 1, 33, "32 levels", ""},
    {"r:\n  - n: 1\n  - n: 1\n    n: 2\n", 4, 5, "given twice", "r[1].n"},
};

START_TEST(refused) {
    struct pol_error e;
    struct yaml_doc *d = load(bad[_i].text, &e);
    ck_assert_msg(d == NULL, "vector %d was accepted", _i);
    char text[1024];
    pol_error_format(&e, text, sizeof text);
    ck_assert_msg(e.line == bad[_i].line && e.column == bad[_i].column, "vector %d: %s", _i, text);
    ck_assert_msg(strstr(e.text, bad[_i].says) != NULL, "vector %d: %s", _i, text);
    ck_assert_msg(strcmp(e.key, bad[_i].key) == 0, "vector %d: %s", _i, text);
    ck_assert_str_eq(e.file, "f.yaml");
}
END_TEST

START_TEST(nul_bytes) {
    struct pol_error e;
    ck_assert_ptr_null(yaml_load_text("f", "a: 1\0\n", 6, &e));
    ck_assert_uint_eq(e.column, 5);
}
END_TEST

START_TEST(tree) {
    struct pol_error e;
    struct yaml_doc *d = load("\xef\xbb\xbf"
                              "a: 1\nlist:\n  - x\n  - k: v\nempty:\n'null': ~\non: yes\n",
                              &e);
    ck_assert_ptr_nonnull(d);
    const struct yaml_node *r = yaml_root(d);
    ck_assert_int_eq(yaml_kind(r), YAML_MAP);
    ck_assert_uint_eq(yaml_len(r), 5);
    const struct yaml_node *l = yaml_get(r, "list");
    ck_assert_int_eq(yaml_kind(l), YAML_LIST);
    ck_assert_uint_eq(yaml_len(l), 2);
    ck_assert_uint_eq(yaml_line(yaml_at(l, 1)), 4);
    ck_assert_uint_eq(yaml_column(yaml_at(l, 1)), 5);
    ck_assert_ptr_null(yaml_at(l, 2));
    ck_assert_ptr_null(yaml_get(r, "x"));
    ck_assert_ptr_null(yaml_get(l, "x"));
    const struct yaml_node *empty = yaml_get(r, "empty");
    ck_assert_int_eq(yaml_kind(empty), YAML_NULL);
    ck_assert_uint_eq(yaml_line(empty), 5);
    ck_assert_int_eq(yaml_kind(yaml_get(r, "null")), YAML_NULL);
    ck_assert_str_eq(yaml_key_at(r, 4), "on");
    ck_assert_uint_eq(yaml_line(yaml_key_node_at(r, 4)), 7);
    ck_assert_ptr_null(yaml_key_at(r, 5));
    const char *s;
    ck_assert(yaml_str(yaml_at(l, 0), &s, &e));
    ck_assert_str_eq(s, "x");
    ck_assert(!yaml_str(empty, &s, &e));
    ck_assert_str_eq(e.key, "empty");
    ck_assert(!yaml_fail(yaml_get(yaml_at(l, 1), "k"), &e, "n=%d", 3));
    char text[256];
    pol_error_format(&e, text, sizeof text);
    ck_assert_str_eq(text, "f.yaml:4:8: list[1].k: n=3");
    static const char *const keys[] = {"a", "lists", "empty", "null", "on", NULL};
    ck_assert(!yaml_keys(r, keys, &e));
    ck_assert_uint_eq(e.line, 2);
    ck_assert_ptr_nonnull(strstr(e.text, "did you mean \"lists\""));
    static const char *const all[] = {"a", "list", "empty", "null", "on", NULL};
    ck_assert(yaml_keys(r, all, &e));
    ck_assert(!yaml_keys(l, all, &e));
    yaml_doc_free(d);
}
END_TEST

enum type { T_STR, T_BOOL, T_INT, T_SIZE, T_DURATION, T_ENUM };
static const struct {
    enum type type;
    const char *value;
    bool ok;
    int64_t want;
} typed[] = {
    {T_BOOL, "true", true, 1},
    {T_BOOL, "false", true, 0},
    {T_BOOL, "yes", false, 0},
    {T_BOOL, "no", false, 0},
    {T_BOOL, "on", false, 0},
    {T_BOOL, "off", false, 0},
    {T_BOOL, "True", false, 0},
    {T_BOOL, "\"true\"", false, 0},
    {T_BOOL, "1", false, 0},
    {T_BOOL, "[true]", false, 0},
    {T_BOOL, "~", false, 0},
    {T_INT, "0", true, 0},
    {T_INT, "-5", true, -5},
    {T_INT, "100", true, 100},
    {T_INT, "101", false, 0},
    {T_INT, "-6", false, 0},
    {T_INT, "010", false, 0},
    {T_INT, "0x10", false, 0},
    {T_INT, "1_0", false, 0},
    {T_INT, "1.0", false, 0},
    {T_INT, "'7'", false, 0},
    {T_INT, "99999999999999999999", false, 0},
    {T_INT, "1:30", false, 0},
    {T_SIZE, "8192", true, 8192},
    {T_SIZE, "8KiB", true, 8192},
    {T_SIZE, "1 MiB", true, 1048576},
    {T_SIZE, "8KB", false, 0},
    {T_SIZE, "1GiB", false, 0},
    {T_SIZE, "-1", false, 0},
    {T_SIZE, "KiB", false, 0},
    {T_SIZE, "18446744073709551615GiB", false, 0},
    {T_DURATION, "500ms", true, 500},
    {T_DURATION, "5s", true, 5000},
    {T_DURATION, "10m", true, 600000},
    {T_DURATION, "1h", true, 3600000},
    {T_DURATION, "5", false, 0},
    {T_DURATION, "1d", false, 0},
    {T_DURATION, "2h", false, 0},
    {T_STR, "x", true, 0},
    {T_STR, "'5'", true, 0},
    {T_STR, "5", false, 0},
    {T_STR, "-1.5e3", false, 0},
    {T_STR, "true", false, 0},
    {T_STR, "no", true, 0},
    {T_STR, "~", false, 0},
    {T_STR, "{a: b}", false, 0},
    {T_STR, "\"\"", true, 0},
    {T_STR, "10.0.0.1", true, 0},
    {T_ENUM, "one", true, 0},
    {T_ENUM, "two", true, 1},
    {T_ENUM, "On", false, 0},
    {T_ENUM, "[one]", false, 0},
};

START_TEST(types) {
    static const char *const words[] = {"one", "two", NULL};
    char text[128];
    snprintf(text, sizeof text, "k: %s\n", typed[_i].value);
    struct pol_error e;
    struct yaml_doc *d = load(text, &e);
    ck_assert_ptr_nonnull(d);
    const struct yaml_node *n = yaml_get(yaml_root(d), "k");
    const char *s;
    bool ok = false, b = false;
    int64_t v = 0;
    uint64_t u = 0;
    int w = 0;
    switch (typed[_i].type) {
    case T_STR: ok = yaml_str(n, &s, &e); break;
    case T_BOOL: ok = yaml_bool(n, &b, &e), v = b; break;
    case T_INT: ok = yaml_int(n, -5, 100, &v, &e); break;
    case T_SIZE: ok = yaml_size(n, 0, 1 << 24, &u, &e), v = (int64_t)u; break;
    case T_DURATION: ok = yaml_duration(n, 0, 3600000, &u, &e), v = (int64_t)u; break;
    case T_ENUM: ok = yaml_enum(n, words, &w, &e), v = w; break;
    }
    ck_assert_msg(ok == typed[_i].ok, "%s", text);
    if (ok)
        ck_assert_msg(v == typed[_i].want, "%s", text);
    else
        ck_assert_msg(e.line == 1 && e.text[0] != '\0' && strcmp(e.key, "k") == 0, "%s", text);
    yaml_doc_free(d);
}
END_TEST

START_TEST(strings) {
    struct pol_error e;
    struct yaml_doc *d = load("one: a\nmany: [a, b]\nbad: [a, 5]\nmap: {a: b}\nnone: []\n", &e);
    const struct yaml_node *r = yaml_root(d);
    const char *const *v;
    size_t n;
    ck_assert(yaml_strings(d, yaml_get(r, "one"), &v, &n, &e) && n == 1 && v[1] == NULL);
    ck_assert(yaml_strings(d, yaml_get(r, "many"), &v, &n, &e) && n == 2 && v[2] == NULL);
    ck_assert_str_eq(v[1], "b");
    ck_assert(yaml_strings(d, yaml_get(r, "none"), &v, &n, &e) && n == 0 && v[0] == NULL);
    ck_assert(!yaml_strings(d, yaml_get(r, "bad"), &v, &n, &e));
    ck_assert_str_eq(e.key, "bad[1]");
    ck_assert(!yaml_strings(d, yaml_get(r, "map"), &v, &n, &e));
    ck_assert(!yaml_strings(d, NULL, &v, &n, &e));
    yaml_doc_free(d);
}
END_TEST

START_TEST(files) {
    struct pol_error e;
    ck_assert_ptr_null(yaml_load_file("/nonexistent/x.yaml", 0, &e));
    ck_assert_uint_eq(e.line, 0);
    ck_assert_ptr_null(yaml_load_file("/", 0, &e));
    ck_assert_ptr_null(yaml_load_file("/dev/zero", 0, &e));
    char path[] = "/tmp/gh-yaml-XXXXXX";
    int fd = mkstemp(path);
    ck_assert_int_ge(fd, 0);
    ck_assert_int_eq(write(fd, "a: b\n", 5), 5);
    close(fd);
    struct yaml_doc *d = yaml_load_file(path, 5, &e);
    ck_assert_ptr_nonnull(d);
    yaml_doc_free(d);
    ck_assert_ptr_null(yaml_load_file(path, 4, &e));
    unlink(path);
}
END_TEST

int main(void) {
    Suite *s = suite_create("yaml");
    TCase *t = tcase_create("all");
    tcase_add_loop_test(t, refused, 0, sizeof bad / sizeof *bad);
    tcase_add_test(t, nul_bytes);
    tcase_add_test(t, tree);
    tcase_add_loop_test(t, types, 0, sizeof typed / sizeof *typed);
    tcase_add_test(t, strings);
    tcase_add_test(t, files);
    suite_add_tcase(s, t);
    return run_suite(s);
}
