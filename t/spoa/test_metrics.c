/* Metrics: the table's bound, sums over threads' blocks, escaping, the exposition's form. */
#include "spoa/log.h"
#include "spoa/metrics.h"
#include "t/lib/guard.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static const struct catalog_state catalogs[] = {{.database = "sh\"op", .relations = 7, .age_seconds = 1.5, .has = true},
                                                {.database = "away", .failing = true}};
static const struct metrics_state state = {
    .version = "1", .node = "n\"1", .policy_hash = "ab", .sessions = 3, .audit_lag_seconds = 0.5, .catalogs = catalogs, .ncatalogs = 2};

static char *text_of(struct mblock *const *blocks, size_t n) {
    struct buf out = BUF_INIT((size_t)16 << 20);
    metrics_text(&out, blocks, n, &state);
    ck_assert(!out.failed);
    char *text = strndup((const char *)buf_at(&out), buf_used(&out));
    buf_free(&out);
    return text;
}

static bool has_line(const char *text, const char *line) {
    size_t n = strlen(line);
    for (const char *at = text; (at = strstr(at, line)) != NULL; at++)
        if ((at == text || at[-1] == '\n') && at[n] == '\n') return true;
    return false;
}
#define ASSERT_LINE(text, line) ck_assert_msg(has_line(text, line), "no line %s in\n%s", line, text)

static size_t lines_with(const char *text, const char *start) {
    size_t n = 0;
    for (const char *at = text; (at = strstr(at, start)) != NULL; at++) n += at == text || at[-1] == '\n';
    return n;
}

START_TEST(escaping) {
    static const struct {
        const char *in, *out;
    } rows[] = {{"plain", "plain"},
                {"a\"b\\c\nd", "a\\\"b\\\\c\\nd"},
                {"gr\xc3\xbc\xc3\x9f", "gr\xc3\xbc\xc3\x9f"},
                {"\xff\xc3", "??"},
                {"\xe2\x82", "??"},
                {"\xed\xa0\x80", "???"},
                {"", ""}};
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        struct buf out = BUF_INIT(256);
        metrics_escape(&out, rows[i].in);
        buf_u8(&out, 0);
        ck_assert_str_eq((const char *)buf_at(&out), rows[i].out);
        buf_free(&out);
    }
}
END_TEST

START_TEST(blocks_add_up) {
    struct mblock *b[2] = {mblock_new(), mblock_new()};
    m_add(b[0], M_ROWS, 7);
    m_add(b[1], M_ROWS, 5);
    m_set(b[0], M_FACTS_ENTRIES, 9);
    m_set(b[0], M_FACTS_ENTRIES, 4);
    m_count(b[0], M_STATEMENTS, "shop", "allow", "r1");
    m_count(b[1], M_STATEMENTS, "shop", "allow", "r1");
    m_count(b[1], M_STATEMENTS, "shop", "deny", "a \"quoted\"\nrule");
    m_count(b[1], M_REFUSALS, "42501", NULL, NULL);
    ck_assert_uint_eq(m_sum(b, 2, M_ROWS), 12);
    char *text = text_of(b, 2);
    ASSERT_LINE(text, "gatehouse_rows_total 12");
    ASSERT_LINE(text, "gatehouse_facts_cache_entries 4");
    ASSERT_LINE(text, "gatehouse_statements_total{database=\"shop\",verdict=\"allow\",rule=\"r1\"} 2");
    ASSERT_LINE(text, "gatehouse_statements_total{database=\"shop\",verdict=\"deny\",rule=\"a \\\"quoted\\\"\\nrule\"} 1");
    ASSERT_LINE(text, "gatehouse_refusals_total{sqlstate=\"42501\"} 1");
    ASSERT_LINE(text, "gatehouse_build_info{version=\"1\",node=\"n\\\"1\"} 1");
    ASSERT_LINE(text, "gatehouse_audit_lag_seconds 0.5");
    ASSERT_LINE(text, "gatehouse_catalog_relations{database=\"sh\\\"op\"} 7");
    ASSERT_LINE(text, "gatehouse_catalog_relations{database=\"away\"} 0");
    ASSERT_LINE(text, "gatehouse_catalog_age_seconds{database=\"sh\\\"op\"} 1.500");
    ck_assert_uint_eq(lines_with(text, "gatehouse_catalog_age_seconds{"), 1);
    ck_assert_uint_eq(lines_with(text, "# TYPE gatehouse_statements_total counter\n"), 1);
    free(text);
    mblock_free(b[0]);
    mblock_free(b[1]);
}
END_TEST

/* Labels that differ only beyond the cut, or by where one ends and the next begins. */
START_TEST(labels_are_kept_apart) {
    struct mblock *b = mblock_new();
    char a[M_LABEL_BYTES + 8], c[M_LABEL_BYTES + 8];
    memset(a, 'x', sizeof a);
    memset(c, 'x', sizeof c);
    a[sizeof a - 1] = c[sizeof c - 1] = '\0';
    c[M_LABEL_BYTES + 2] = 'y';
    m_count(b, M_UPSTREAM_FAILED, "ab", "c", NULL);
    m_count(b, M_UPSTREAM_FAILED, "a", "bc", NULL);
    m_count(b, M_UPSTREAM_FAILED, "shop", a, NULL);
    m_count(b, M_UPSTREAM_FAILED, "shop", c, NULL);
    char *text = text_of(&b, 1);
    ASSERT_LINE(text, "gatehouse_upstream_failures_total{database=\"ab\",reason=\"c\"} 1");
    ASSERT_LINE(text, "gatehouse_upstream_failures_total{database=\"a\",reason=\"bc\"} 1");
    ck_assert_uint_eq(lines_with(text, "gatehouse_upstream_failures_total{database=\"shop\""), 1);
    free(text);
    mblock_free(b);
}
END_TEST

/* Bytes that are no characters, and characters that the cut would split, make no two lines of one name: the whole scrape would be refused. */
START_TEST(labels_that_look_the_same_are_the_same) {
    struct mblock *b = mblock_new();
    char a[M_LABEL_BYTES + 8], c[M_LABEL_BYTES + 8];
    m_count(b, M_SERVER_ERRORS, "\xff\xff", NULL, NULL);
    m_count(b, M_SERVER_ERRORS, "\xfe\x80", NULL, NULL);
    m_count(b, M_SERVER_ERRORS, "??", NULL, NULL);
    memset(a, 'x', sizeof a);
    strcpy(a + M_LABEL_BYTES - 2, "\xc3\xa4");
    memcpy(c, a, sizeof a);
    strcpy(c + M_LABEL_BYTES - 2, "\xc4\x81");
    m_count(b, M_PAYLOAD_REFUSED, a, NULL, NULL);
    m_count(b, M_PAYLOAD_REFUSED, c, NULL, NULL);
    char *text = text_of(&b, 1);
    ASSERT_LINE(text, "gatehouse_server_errors_total{class=\"??\"} 3");
    ck_assert_uint_eq(lines_with(text, "gatehouse_server_errors_total{"), 1);
    ck_assert_uint_eq(lines_with(text, "gatehouse_payload_refused_total{"), 1);
    free(text);
    mblock_free(b);
}
END_TEST

/* More combinations than there is room for: none is lost, and those that were there keep counting. */
START_TEST(table_is_bounded) {
    struct mblock *b[2] = {mblock_new(), mblock_new()};
    enum { MANY = 5000 };
    char rule[32];
    for (int i = 0; i < MANY; i++) {
        snprintf(rule, sizeof rule, "rule-%d", i);
        m_count(b[0], M_STATEMENTS, "shop", "allow", rule);
    }
    m_count(b[0], M_STATEMENTS, "shop", "allow", "rule-0");
    m_count(b[1], M_STATEMENTS, "(other)", "(other)", "(other)"); /* a name that looks like ours makes no second line */
    for (int i = 0; i < MANY; i++) m_count(b[0], M_SPOP_MESSAGES, log_fmt("m%d", i), NULL, NULL);
    m_count(b[1], M_SPOP_MESSAGES, "(other)", NULL, NULL);
    char *text = text_of(b, 2), want[128];
    ck_assert_uint_eq(lines_with(text, "gatehouse_spop_messages_total{message=\"(other)\"}"), 1);
    size_t lines = lines_with(text, "gatehouse_statements_total{");
    ck_assert_uint_eq(lines, M_FAMILY_SLOTS / 2 + 1);
    ASSERT_LINE(text, "gatehouse_statements_total{database=\"shop\",verdict=\"allow\",rule=\"rule-0\"} 2");
    snprintf(want, sizeof want, "gatehouse_statements_total{database=\"(other)\",verdict=\"(other)\",rule=\"(other)\"} %d",
             MANY - M_FAMILY_SLOTS / 2 + 1);
    ASSERT_LINE(text, want);
    free(text);
    mblock_free(b[0]);
    mblock_free(b[1]);
}
END_TEST

START_TEST(histograms) {
    struct mblock *b = mblock_new();
    m_observe(b, M_GATE_SECONDS, 0);
    m_observe(b, M_GATE_SECONDS, 50);
    m_observe(b, M_GATE_SECONDS, 51);
    m_observe(b, M_GATE_SECONDS, 3600u * 1000000u);
    char *text = text_of(&b, 1);
    ASSERT_LINE(text, "gatehouse_gate_seconds_bucket{le=\"5e-05\"} 2");
    ASSERT_LINE(text, "gatehouse_gate_seconds_bucket{le=\"0.0001\"} 3");
    ASSERT_LINE(text, "gatehouse_gate_seconds_bucket{le=\"30\"} 3");
    ASSERT_LINE(text, "gatehouse_gate_seconds_bucket{le=\"+Inf\"} 4");
    ASSERT_LINE(text, "gatehouse_gate_seconds_count 4");
    ASSERT_LINE(text, "gatehouse_gate_seconds_sum 3600.000101");
    ASSERT_LINE(text, "gatehouse_statement_seconds_count 0");
    free(text);
    mblock_free(b);
}
END_TEST

int main(void) {
    Suite *s = suite_create("metrics");
    TCase *t = tcase_create("metrics");
    tcase_add_test(t, escaping);
    tcase_add_test(t, blocks_add_up);
    tcase_add_test(t, labels_are_kept_apart);
    tcase_add_test(t, labels_that_look_the_same_are_the_same);
    tcase_add_test(t, table_is_bounded);
    tcase_add_test(t, histograms);
    suite_add_tcase(s, t);
    return run_suite(s);
}
