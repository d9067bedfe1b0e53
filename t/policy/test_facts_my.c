#include "policy/facts_my.h"
#include "policy/my_lex.h"
#include "policy/my_reference.h"
#include "t/lib/guard.h"
#include "t/policy/facts_text.h"
#include "t/policy/my_facts_table.h"

#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static const struct my_options maria = {.server = MY_MARIADB, .version = 101119, .default_db = "test", .multi = true};
static const struct my_options mysql = {.server = MY_MYSQL, .version = 90704, .default_db = "test", .multi = true};

static struct my_options in_mode(const struct my_options *o, unsigned mode) {
    struct my_options copy = *o;
    copy.mode = mode;
    return copy;
}

static void expect(const char *sql, const struct my_options *o, const char *want) {
    char out[8192];
    size_t len = strlen(sql);
    uint8_t *guarded = guard_copy(sql, len); /* ends where its memory ends, without a NUL */
    facts_text_my((const char *)guarded, len, o, out, sizeof out);
    guard_free(guarded, len);
    ck_assert_msg(strcmp(out, want) == 0, "%s\n  have: %s\n  want: %s", sql, out, want);
}

START_TEST(facts_of_mariadb) { expect(my_facts_table[_i].sql, &maria, my_facts_table[_i].facts); }
END_TEST

START_TEST(facts_of_mysql) { expect(mysql_facts_table[_i].sql, &mysql, mysql_facts_table[_i].facts); }
END_TEST

START_TEST(modes) {
    struct my_options o = in_mode(&maria, MY_ANSI_QUOTES);
    expect("select \"from t\" from \"u\"", &o, "select test.u=select");
    expect("select a from t where x = \"y\"\" or 1\"", &o, "select test.t=select");
    expect("select '\\' from t -- ' from u", &o, "select test.u=select");
    o = in_mode(&maria, MY_NO_BACKSLASH_ESCAPES);
    expect("select 'a\\' from t -- ' from u", &o, "select test.t=select");
    expect("select \"a\\\" from t -- \" from u", &o, "select test.t=select");
    o = in_mode(&maria, MY_IGNORE_SPACE);
    expect("select count (*), now /**/ () from t", &o, "select test.t=select fn:count fn:.now");
    o = in_mode(&maria, MY_PIPES_AS_CONCAT | MY_HIGH_NOT_PRECEDENCE);
    expect("select not a between b and c || d from t", &o, "select test.t=select");
    o = in_mode(&maria, MY_ORACLE);
    expect("select 1", &o, "!unknown statements of sql_mode ORACLE are not understood");
}
END_TEST

START_TEST(mode_words) {
    unsigned mode;
    ck_assert(my_mode_of("", 0, &mode) && mode == 0);
    ck_assert(my_mode_of("ansi_quotes,NO_BACKSLASH_ESCAPES", 32, &mode) && mode == (MY_ANSI_QUOTES | MY_NO_BACKSLASH_ESCAPES));
    ck_assert(my_mode_of("STRICT_TRANS_TABLES,ANSI", 24, &mode) && mode == (MY_ANSI_QUOTES | MY_PIPES_AS_CONCAT | MY_IGNORE_SPACE));
    ck_assert(my_mode_of("ORACLE", 6, &mode) && (mode & MY_ORACLE));
    ck_assert(!my_mode_of("ANSI_QUOTE", 10, &mode));
    ck_assert(!my_mode_of("4", 1, &mode));
    ck_assert(!my_mode_of("ANSI_QUOTES ", 12, &mode));
}
END_TEST

START_TEST(options) {
    struct my_options o = maria;
    o.default_db = NULL;
    expect("select * from t, d.u, f()", &o, "!syntax \"(\" is not understood at this place");
    expect("select * from t, d.u", &o, "select .t=select d.u=select");
    expect("use d; select * from t", &o, "set use:d ; select d.t=select");
    o = maria;
    o.multi = false;
    expect("select 1;", &o, "select");
    expect("select 1; -- x", &o, "select");
    expect("select 1; select 2", &o, "!syntax \"select\" is not understood at this place");
    o = maria;
    o.fold_names = true;
    expect("select * from D.T, d.t x; delete X from T as x", &o, "select d.t=select ; delete test.t=select,delete writes");
    expect("with A as (select 1) select * from a", &o, "select");
    expect("select * from \xc3\x84", &o, "!unknown a name beyond ASCII is not understood where the server folds names to lower case");
    o = mysql;
    o.version = 80400;
    expect("select md5(1)", &o, "select fn:md5");
    expect("select 1 /*!080000 from t */", &o, "!unknown a comment for a version of six digits is not understood");
    expect("select 1 /*!80401 from t */ from u", &o, "select test.u=select");
}
END_TEST

START_TEST(intervals) {
    expect("select 1 + interval(1, 0, 1) + 1, interval (interval(1, 2, 3) + 1) minute + a, a - interval (1) day, interval (1) + 1 day + a "
           "from t",
           &maria, "select test.t=select fn:interval");
    expect("select weight_string(a level 1 desc reverse, 2), weight_string(a as char(3) level 1-3) from t", &maria,
           "select test.t=select fn:weight_string");
}
END_TEST

/* Names that the servers compare otherwise than byte by byte. */
START_TEST(names) {
    expect("with Secret as (select 1) select * from secret", &mysql, "select test.secret=select"); /* MySQL: the table; MariaDB: the CTE */
    expect("with secret as (select 1) select * from secret", &mysql, "select");
    expect("select * from `#mysql50#t`", &maria, "!unknown a name that begins with #mysql50# is not understood");
    expect("select * from `#MySQL50#d`.t", &maria, "!unknown a name that begins with #mysql50# is not understood");
    expect("delete y from t as x, u", &maria, "delete test.y=select,delete test.t=select,delete test.u=select,delete writes");
    struct my_options o = maria;
    o.fold_names = true;
    expect("delete \xc3\xa9 from t as e, u as \xc3\xa8", &o, "delete test.t=select,delete test.u=select,delete writes");
}
END_TEST

#define TEXT(s) s, sizeof s - 1
START_TEST(limited) {
    static const struct {
        const char *sql;
        bool is;
    } cases[] = {{"SELECT 1 LIMIT 3", true},
                 {"SELECT 1", false},
                 {"PREPARE s FROM 'SELECT 1 LIMIT 3'", true},
                 {"PREPARE s FROM 'SELECT 1'", false},
                 {"EXECUTE IMMEDIATE 'SELECT * FROM (SELECT 1 LIMIT 3) q'", false},
                 {"EXECUTE IMMEDIATE 'SELECT 1 LIMIT ?' USING 3", true},
                 {"EXPLAIN SELECT 1 LIMIT 3", false}};
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        struct pol_parse_error err = {0};
        struct pol_facts *f = pol_facts_my(cases[i].sql, strlen(cases[i].sql), &maria, &err);
        ck_assert_msg(f != NULL, "%s: %s", cases[i].sql, err.text);
        ck_assert_msg(f->stmts[0].limited == cases[i].is, "%s", cases[i].sql);
        pol_facts_free(f);
    }
}
END_TEST

START_TEST(encodings) {
    static const struct {
        const char *sql;
        size_t len;
        enum pol_parse_rc rc;
    } v[] = {{TEXT("select 1\0, x"), POL_ENCODING},
             {TEXT("select '\xff'"), POL_PARSED}, /* data, as drivers send it */
             {TEXT("select '\xe4\x27' from t -- '"), POL_PARSED},
             {TEXT("select '\xe4\x27 from t -- '"), POL_PARSED},
             {TEXT("select '\xff' -- '\xff'"), POL_ENCODING},
             {TEXT("select \xc0\xaf"), POL_ENCODING},
             {TEXT("select _binary'\xff\xc3' from t"), POL_PARSED},
             {TEXT("select _BINARY /* x */ '\xff\\'\xff', '\xc3\xa9'"), POL_PARSED},
             {TEXT("select _binary'\xff' /* \xff */"), POL_ENCODING},
             {TEXT("select _binary'\xff' as \xff"), POL_ENCODING},
             {TEXT("select N'\xff'"), POL_ENCODING},
             {TEXT("select '\xff"), POL_ENCODING},
             {TEXT("select _binary`\xff`"), POL_ENCODING},
             {TEXT("select '\\\0', _binary'\0' from t"), POL_PARSED},
             {TEXT("select 'a\0"), POL_ENCODING},
             {TEXT("select `a\0`"), POL_ENCODING},
             {TEXT("select 'a' # \0"), POL_ENCODING},
             {TEXT("set sql_mode = '\xff'"), POL_ENCODING},
             {TEXT("set sql_mode = '\0ANSI'"), POL_ENCODING},
             {TEXT("set sql_mode = '\\0ANSI'"), POL_ENCODING},
             {TEXT("prepare p from '\xff'"), POL_ENCODING},
             {TEXT("select '\xf0\x9f\x98\x80'"), POL_PARSED},
             {TEXT("select `\xf0\x9f\x98\x80` from t"), POL_NOT_UNDERSTOOD},
             {TEXT("select a\xf0\x9f\x98\x80 from t"), POL_NOT_UNDERSTOOD},
             {TEXT("select \x01"), POL_SYNTAX}};
    for (size_t i = 0; i < sizeof v / sizeof *v; i++) {
        struct pol_parse_error err;
        struct pol_facts *f = pol_facts_my(v[i].sql, v[i].len, &maria, &err);
        ck_assert_msg(err.rc == v[i].rc, "%zu: %d %s", i, (int)err.rc, err.text);
        ck_assert((f != NULL) == (err.rc == POL_PARSED));
        pol_facts_free(f);
    }
}
END_TEST

/* n times a, then b, then n times c */
static char *nest(const char *a, const char *b, const char *c, size_t n) {
    char *s = malloc((strlen(a) + strlen(c)) * n + strlen(b) + 32), *p = s;
    ck_assert_ptr_nonnull(s);
    p += sprintf(p, "select ");
    for (size_t i = 0; i < n; i++) p = stpcpy(p, a);
    p = stpcpy(p, b);
    for (size_t i = 0; i < n; i++) p = stpcpy(p, c);
    return s;
}

static const struct {
    const char *a, *b, *c;
    bool flat; /* is a list, however long */
} nests[] = {{"(", "1", ")", false},
             {"(select ", "1", ")", false},
             {"1+", "1", "", true},
             {"1 or 1 and 1 = 1 | 1 & 1 << 1 + 1 * 1 ^ (", "1", ")", false},
             {"-", "1", "", false},
             {"not ", "1", "", false},
             {"case when ", "1", " then 1 end", false},
             {"f(", "1", ")", false},
             {"1 from (select ", "1", ") a", false},
             {"1 from ((((", "t", "))))", false},
             {"1 from (t join (", "t", "))", false},
             {"1 union select ", "1", "", true},
             {"@a := ", "1", "", false},
             {"a in (", "1", ")", false},
             {"a between ", "1", " and 1", false},
             {"1, ", "1", "", true},
             {"/*! ", "1", "", true},
             {"'a' ", "'b'", "", true},
             {"interval ", "1", " day + 1", false},
             {"exists (select ", "1", ")", false}};

static void *parse_nests(void *arg) {
    bool *ok = arg;
    for (size_t i = 0; i < sizeof nests / sizeof *nests; i++) {
        char *s = nest(nests[i].a, nests[i].b, nests[i].c, 50000);
        struct pol_parse_error err;
        struct pol_facts *f = pol_facts_my(s, strlen(s), &maria, &err);
        if (f == NULL && err.rc != POL_TOO_DEEP && err.rc != POL_SYNTAX && err.rc != POL_TOO_LARGE) *ok = false;
        if (nests[i].flat && err.rc == POL_TOO_DEEP) *ok = false;
        pol_facts_free(f);
        free(s);
        s = nest(nests[i].a, nests[i].b, nests[i].c, 60);
        f = pol_facts_my(s, strlen(s), &maria, &err);
        if (f == NULL && err.rc == POL_TOO_DEEP) *ok = false;
        pol_facts_free(f);
        free(s);
    }
    return NULL;
}

START_TEST(depth) { /* on the stack that the header promises is enough */
    pthread_attr_t attr;
    pthread_t t;
    bool ok = true;
    ck_assert_int_eq(pthread_attr_init(&attr), 0);
    ck_assert_int_eq(pthread_attr_setstacksize(&attr, MY_STACK_BYTES), 0);
    ck_assert_int_eq(pthread_create(&t, &attr, parse_nests, &ok), 0);
    ck_assert_int_eq(pthread_join(t, NULL), 0);
    ck_assert(ok);
}
END_TEST

START_TEST(limits) {
    struct pol_parse_error err;
    struct my_options o = maria;
    o.limits = &(struct pol_parse_limits){.bytes = 10, .depth = 5, .tokens = 4};
    ck_assert_ptr_null(pol_facts_my("select 12345", 12, &o, &err));
    ck_assert_int_eq(err.rc, POL_TOO_LARGE);
    ck_assert_ptr_null(pol_facts_my("f(1,2,3)", 8, &o, &err));
    ck_assert_int_eq(err.rc, POL_TOO_LARGE);
    o.limits = &(struct pol_parse_limits){.depth = 5};
    ck_assert_ptr_null(pol_facts_my("select ((((1))))", 16, &o, &err));
    ck_assert_int_eq(err.rc, POL_TOO_DEEP);
    ck_assert_ptr_null(pol_facts_my("select '\xc3\xa9' from from", 21, &maria, &err));
    ck_assert_int_eq(err.rc, POL_SYNTAX);
    ck_assert_uint_eq(err.position, 17);
    char *many = malloc(200000), *p = many;
    p += sprintf(p, "select 1 from t0");
    for (int i = 1; i < 5000; i++) p += sprintf(p, ", t%d", i);
    ck_assert_ptr_null(pol_facts_my(many, strlen(many), &maria, &err));
    ck_assert_int_eq(err.rc, POL_TOO_LARGE);
    free(many);
}
END_TEST

/* n times a, each with its number */
static char *many(const char *head, const char *each, size_t n, const char *tail) {
    size_t cap = strlen(head) + (strlen(each) + 16) * n + strlen(tail) + 1, used;
    char *s = malloc(cap);
    ck_assert_ptr_nonnull(s);
    used = (size_t)snprintf(s, cap, "%s", head);
    for (size_t i = 0; i < n; i++) used += (size_t)snprintf(s + used, cap - used, "%s%s%zu", i > 0 ? ", " : "", each, i);
    snprintf(s + used, cap - used, "%s", tail);
    return s;
}

static void too_large(char *s) {
    struct pol_parse_error err;
    ck_assert_ptr_null(pol_facts_my(s, strlen(s), &maria, &err));
    ck_assert_msg(err.rc == POL_TOO_LARGE, "%d %s", (int)err.rc, err.text);
    free(s);
}

START_TEST(work_is_bounded) { /* where names are held against names */
    too_large(many("update ", "t", 300, " set t1.a = 1"));
    too_large(many("delete ", "t", 300, " from t, u"));
    too_large(many("select * from ", "t", 300, " for update of t1"));
    too_large(many("select ", "@@v", 5000, ""));
    char *ctes = malloc(100000), *p = ctes;
    p += sprintf(p, "with c as (select 1)");
    for (int i = 0; i < 300; i++) p += sprintf(p, ", c%d as (select 1)", i);
    sprintf(p, " select 1");
    too_large(ctes);
    char *empty = malloc(5001);
    memset(empty, ';', 5000);
    empty[5000] = '\0';
    too_large(empty);
}
END_TEST

START_TEST(locations) {
    struct pol_parse_error err;
    const char *sql = " select 1 ;  /* c */ select '\xc3\xa9', f(1) from  d.orders";
    struct pol_facts *f = pol_facts_my(sql, strlen(sql), &maria, &err);
    ck_assert_ptr_nonnull(f);
    ck_assert_int_eq(f->dialect, POL_MYSQL);
    ck_assert_uint_eq(f->nstmts, 2);
    ck_assert_uint_eq(f->stmts[0].location, 1);
    ck_assert_uint_eq(f->stmts[0].len, 8);
    ck_assert_int_eq(strncmp(sql + f->stmts[1].location, "select '", 8), 0);
    ck_assert_uint_eq(f->stmts[1].location + f->stmts[1].len, strlen(sql));
    ck_assert_int_eq(strncmp(sql + f->stmts[1].relations[0].location, "d.orders", 8), 0);
    ck_assert_int_eq(strncmp(sql + f->stmts[1].functions[0].location, "f(1)", 4), 0);
    ck_assert_str_eq(f->stmts[1].tag, "SELECT");
    pol_facts_free(f);
}
END_TEST

START_TEST(tables_are_sorted) {
    ck_assert_ptr_null(my_words_out_of_order());
    ck_assert_ptr_null(my_reference_out_of_order());
    ck_assert_int_eq(my_word_of("SeLeCt", 6), W_SELECT);
    ck_assert_int_eq(my_word_of("selec", 5), MY_W_NONE);
    ck_assert_int_eq(my_word_of("selects", 7), MY_W_NONE);
    ck_assert_int_eq(my_word_of("", 0), MY_W_NONE);
}
END_TEST

/* "KIND:text" of each token, blanks between them. */
static void tokens(const char *sql, const struct my_options *o, char *out, size_t size) {
    static const char *const kinds[] = {"end",     "word",  "name", "quoted", "string", "nstring", "number", "binary",
                                        "charset", "param", "user", "sys",    "null",   "hint",    "op"};
    struct pol_parse_error err;
    struct my_tokens t;
    size_t used = 0, len = strlen(sql);
    uint8_t *guarded = guard_copy(sql, len);
    if (!my_lex((const char *)guarded, len, o, &t, &err)) {
        snprintf(out, size, "!%s", err.text);
        guard_free(guarded, len);
        return;
    }
    for (uint32_t i = 0; i + 1 < t.n; i++) {
        char value[256];
        ck_assert_uint_lt(t.t[i].end - t.t[i].at, sizeof value);
        my_token_value((const char *)guarded, &t.t[i], o->mode, value);
        used += (size_t)snprintf(out + used, size - used, "%s%s:%s", i > 0 ? " " : "", kinds[t.t[i].kind], value);
        ck_assert_uint_lt(used, size);
    }
    if (t.n == 1) out[0] = '\0';
    free(t.t);
    guard_free(guarded, len);
}

static const struct {
    const char *sql, *tokens;
    unsigned mode;
} lex_table[] = {
    {"", "", 0},
    {"a.select", "name:a op:. name:select", 0},
    {"a .select", "word:a op:. name:select", 0},
    {"a. select", "word:a op:. word:select", 0},
    {"a.1b.2", "name:a op:. name:1b op:. name:2", 0},
    {"`a`.1", "quoted:a number:.1", 0},
    {"1e5 1e 1e+5 1e+ 1.5e-3 1.5 .5 1. 5a 5_ 0x41 0xg 0b1 0b2 0X41",
     "number:1e5 name:1e number:1e+5 name:1e op:+ number:1.5e-3 number:1.5 number:.5 number:1. name:5a name:5_ binary:0x41 name:0xg "
     "binary:0b1 name:0b2 name:0X41",
     0},
    {"1.e", "!a digit is expected in this number's exponent", 0},
    {"x'41' X'' b'01' N'a' n'b'", "binary:x'41' binary:X'' binary:b'01' nstring:a nstring:b", 0},
    {"x'4'", "!this hexadecimal or bit literal is not valid", 0},
    {"b'2'", "!this hexadecimal or bit literal is not valid", 0},
    {"'a''b\\'c\\n\\%\\x' \"a\"\"b'\"", "string:a'b'c\n\\%x string:a\"b'", 0},
    {"'a\\'", "!this string does not end", 0},
    {"'a\\' 'b'", "string:a\\ string:b", MY_NO_BACKSLASH_ESCAPES},
    {"\"a\"\"b\\\"", "quoted:a\"b\\", MY_ANSI_QUOTES},
    {"`a``b\\` `c`", "quoted:a`b\\ quoted:c", 0},
    {"`a", "!this quoted name does not end", 0},
    {"@a @a.b$c @`a b` @'a''b' @\"c\" @ x @@y @@global.z @@`v` @@a .b",
     "user:a user:a.b$c user:a b user:a'b user:c user: word:x sys:@@ name:y sys:@@ name:global op:. name:z sys:@@ quoted:v sys:@@ name:a "
     "op:. name:b",
     0},
    {"@\"c\"", "user:c", MY_ANSI_QUOTES},
    {"@@ x", "!a name is expected here", 0},
    {"_utf8mb4'a' _UTF8'b' _x 'c'", "charset:_utf8mb4 string:a charset:_UTF8 string:b word:_x string:c", 0},
    {"<=> <= >= <> != << >> := && || -> < = > ! | & -",
     "op:<=> op:<= op:>= op:<> op:!= op:<< op:>> op::= op:&& op:|| op:- op:> op:< op:= op:> op:! op:| op:& op:-", 0},
    {"a--b --c", "word:a op:- op:- word:b op:- op:- word:c", 0},
    {"a -- b\nc --\td\ne --", "word:a word:c word:e", 0},
    {"a # b\nc #", "word:a word:c", 0},
    {"a/*b*/c/**/d/*/ e */f", "word:a word:c word:d word:f", 0},
    {"a /*!b */c /*!50000d */ /*!50000 e*/ /*!99999 f*/ g /*M!100100 h*/ /*M!999999 i*/",
     "word:a word:b word:c word:d word:e word:g word:h", 0},
    {"a /*!1 b*/", "word:a number:1 word:b", 0},
    {"(/*!50000 a*/)/*!50000,b */;", "op:( word:a op:) op:, word:b op:;", 0},
    {"a/*!99999 */b", "!put blanks around versioned comments, and inside of them", 0},
    {"a/*!50000b */", "!put blanks around versioned comments, and inside of them", 0},
    {"a /*!50000 b*/c", "!put blanks around versioned comments, and inside of them", 0},
    {"count/*!99999 */(*)", "!put blanks around versioned comments, and inside of them", 0},
    {"a/*M!999999 *//**/b", "!put blanks around versioned comments, and inside of them", 0},
    {"a /*!50000 b /* c */ d */ e", "word:a word:b word:d word:e", 0},
    {"a /*!50000 b /*!50000 c */ d */ e", "word:a word:b word:c word:d op:* op:/ word:e", 0},
    {"a /*!99999 b /* c */ d */ e */", "word:a word:e op:* op:/", 0},
    {"a /*!50000 '*/' */", "word:a string:*/", 0},
    {"a/* '*/ b", "word:a word:b", 0},
    {"a /*!", "!a comment does not end", 0},
    {"a/*", "!this comment does not end", 0},
    {"a /*!99999 ", "!this comment does not end", 0},
    {"? ?", "param:? param:?", 0},
    {"?a", "!a parameter that runs into a word is not understood", 0},
    {"\\N \\n", "!this character is not understood here", 0},
    {"\\N", "null:\\N", 0},
    {"$a a$b \xc3\xa9", "word:$a word:a$b word:\xc3\xa9", 0},
};

START_TEST(lexer) {
    char out[4096];
    struct my_options o = in_mode(&maria, lex_table[_i].mode);
    tokens(lex_table[_i].sql, &o, out, sizeof out);
    ck_assert_msg(strcmp(out, lex_table[_i].tokens) == 0, "%s\n  have: %s\n  want: %s", lex_table[_i].sql, out, lex_table[_i].tokens);
}
END_TEST

int main(void) {
    Suite *s = suite_create("facts_my");
    TCase *t = tcase_create("facts_my");
    tcase_add_loop_test(t, facts_of_mariadb, 0, sizeof my_facts_table / sizeof *my_facts_table);
    tcase_add_loop_test(t, facts_of_mysql, 0, sizeof mysql_facts_table / sizeof *mysql_facts_table);
    tcase_add_loop_test(t, lexer, 0, sizeof lex_table / sizeof *lex_table);
    tcase_add_test(t, modes);
    tcase_add_test(t, mode_words);
    tcase_add_test(t, options);
    tcase_add_test(t, intervals);
    tcase_add_test(t, names);
    tcase_add_test(t, limited);
    tcase_add_test(t, encodings);
    tcase_add_test(t, depth);
    tcase_add_test(t, limits);
    tcase_add_test(t, work_is_bounded);
    tcase_add_test(t, locations);
    tcase_add_test(t, tables_are_sorted);
    suite_add_tcase(s, t);
    return run_suite(s);
}
