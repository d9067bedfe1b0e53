/* What the record of a statement shows when there is no room for all of it: nothing that the whole would hide. */
#include "t/spoa/ledger_fixture.h"

#include "policy/facts.h"
#include "spoa/statement.h"

#define SIGNATURE "MEUCIQDabcdefghijklmnopqrstuvwxyz0123456789-_ABCDEFGHIJKLMNOPQRSTUVWXYZ"
#define TOKEN     "eyJhbGciOiJFUzI1NiIsImtpZCI6ImEifQ.eyJzdWIiOiJhQHgifQ." SIGNATURE

static char sql[40000];

/* Records sql as a refusal, cut or whole; gives the entry's field, which is the caller's. */
static char *record(bool cut, const char *name) {
    const struct pol_parse_limits limits = {0};
    struct pol_parse_error unread;
    struct pol_facts *f = pol_facts_pg(sql, strlen(sql), &limits, &unread);
    struct facts_ref *facts = f == NULL ? NULL : facts_ref_new(f);
    const struct pol_verdict v = {.effect = POL_DENY, .rule = "", .sqlstate = "53400", .message = "no room"};
    const struct stmt_record st = {.id = 1,
                                   .kind = "query",
                                   .verdict = &v,
                                   .text = sql,
                                   .len = strlen(sql),
                                   .cut = cut,
                                   .facts = facts,
                                   .principal = "ann",
                                   .database = "shop"};
    stmt_record(led, "s", &st, NULL, NULL, NULL);
    facts_ref_put(facts);
    ck_assert(led_wait(led, 10000));
    redisReply *p = redis_do(&rds, "XREVRANGE gatehouse:audit:s + - COUNT 1");
    const char *value = field(p->element[0], name);
    char *copy = value == NULL ? NULL : strdup(value);
    freeReplyObject(p);
    return copy;
}

static void pad(const char *with) {
    while (strlen(sql) < 33000) strcat(sql, with);
}

static void shows_not(bool cut, const char *secret) {
    char *text = record(cut, "sql");
    ck_assert_ptr_nonnull(text);
    ck_assert_msg(strstr(text, secret) == NULL, "%s", text);
    free(text);
}

/* What decides that it is a secret stands behind the cut. */
START_TEST(a_connection_string) {
    strcpy(sql, "SELECT * FROM (VALUES ('host=h dbname=d user=u password=geheim4711')) v(c), (SELECT 1 WHERE 7 IN (7");
    pad(",7");
    strcat(sql, ")) w, LATERAL dblink(v.c, 'select 1') AS t(a int)");
    open_ledger();
    shows_not(false, "geheim");
    shows_not(true, "geheim");
}
END_TEST

START_TEST(a_role) {
    strcpy(sql, "ALTER ROLE r PASSWORD 'geheim4711' /* ");
    pad("long ");
    strcat(sql, "*/");
    open_ledger();
    shows_not(false, "geheim");
    shows_not(true, "geheim");
}
END_TEST

/* How much is hidden is said, so that two records can be told apart by it. */
START_TEST(how_much) {
    open_ledger();
    strcpy(sql, "SELECT '" TOKEN "', 7");
    char *n = record(false, "hidden");
    ck_assert_str_eq(n, "125");
    free(n);
    strcpy(sql, "ALTER ROLE r PASSWORD 'geheim4711'");
    n = record(false, "hidden");
    ck_assert_str_eq(n, "10");
    free(n);
    strcpy(sql, "SELECT '***'");
    ck_assert_ptr_null(record(false, "hidden"));
}
END_TEST

/* Wherever the cut goes through a token. */
START_TEST(a_token) {
    open_ledger();
    for (size_t before = 1900; before < 2048; before += 7) {
        memset(sql, ' ', before);
        memcpy(sql, "SELECT", 6);
        sql[before] = '\0';
        strcat(sql, "'" TOKEN "' /*");
        pad("long ");
        strcat(sql, "*/");
        char *text = record(true, "sql");
        ck_assert_ptr_nonnull(text);
        for (size_t n = 0; n + 40 <= sizeof SIGNATURE - 1; n++) {
            char part[41] = "";
            memcpy(part, &SIGNATURE[n], 40);
            ck_assert_msg(strstr(text, part) == NULL, "%s", text);
        }
        free(text);
    }
}
END_TEST

START_TEST(whole_characters) {
    open_ledger();
    for (size_t before = 8; before < 12; before++) {
        memset(sql, ' ', before);
        memcpy(sql, "SELECT", 6);
        sql[before] = '\0';
        strcat(sql, "'");
        pad("\xf0\x9f\x98\x80\xe2\x82\xac");
        strcat(sql, "'");
        char *text = record(true, "sql"), *all = record(true, "sql_cut"), *sha = record(true, "sha256");
        ck_assert_ptr_nonnull(text);
        ck_assert_uint_gt(strlen(text), 2040);
        ck_assert_uint_le(strlen(text), 2048);
        ck_assert_int_eq(strncmp(text, sql, strlen(text)), 0);
        ck_assert_uint_eq(strtoull(all, NULL, 10), strlen(sql));
        ck_assert_ptr_null(sha);
        free(text);
        free(all);
    }
}
END_TEST

int main(void) {
    Suite *s = suite_create("statement_record");
    TCase *t = tcase_create("statement_record");
    tcase_add_checked_fixture(t, setup, teardown);
    tcase_add_test(t, a_connection_string);
    tcase_add_test(t, a_role);
    tcase_add_test(t, a_token);
    tcase_add_test(t, how_much);
    tcase_add_test(t, whole_characters);
    suite_add_tcase(s, t);
    return run_suite(s);
}
