#include "policy/parsed.h"

#include "policy/pg_scan.h"
#include "policy/text.h"

#include <pg_query.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* Stack. Measured on Debian 12, amd64, gcc 12 -O2, libpg_query 15-4.0.0 from Debian: its JSON output and the walk below together take at most 176 bytes of
 * stack for each unit that pg_scan counts (1+1+1... 176, CASE WHEN 113, (SELECT ... 100, SELECT 1 FROM f((... 85); with AddressSanitizer, which
 * instruments only the walk, at most 780. A bound of 32,000 units thus needs 6 MB (25 MB) of the 64 MiB of POL_STACK_BYTES, whatever the
 * text's size, and there is no need for a larger stack for larger texts: flat ones of many megabytes stay far below the bound.
 * The parser's own stack is on the heap and ends in a clean "memory exhausted" at 10,000 open rules.
 *
 * This build of libpg_query leaves file descriptor 2 alone (strace shows no dup2 or pipe: it is built without the redirection of stderr), keeps
 * its state in thread-local variables, and gave the expected results on 4 threads at once. */
#define DEFAULT_BYTES  (16u << 20)
#define DEFAULT_DEPTH  32000u
#define DEFAULT_TOKENS 4000000u
#define BRIEF_STEPS    500000u /* pg_scan.steps */

static void fail_parse(struct pol_parse_error *err, enum pol_parse_rc rc, uint32_t position, const char *text) {
    *err = (struct pol_parse_error){.rc = rc, .position = position};
    snprintf(err->text, sizeof err->text, "%s", text);
    pol_utf8_tidy(err->text);
}

static bool check_text(const char *sql, size_t len, const struct pol_parse_limits *limits, struct pol_parse_error *err) {
    uint32_t bytes = limits != NULL && limits->bytes != 0 ? limits->bytes : DEFAULT_BYTES;
    uint32_t depth = limits != NULL && limits->depth != 0 ? limits->depth : DEFAULT_DEPTH;
    uint32_t tokens = limits != NULL && limits->tokens != 0 ? limits->tokens : DEFAULT_TOKENS;
    struct pg_scan scan;
    char text[160];
    if (len > bytes) {
        snprintf(text, sizeof text, "the statement has %zu bytes; %u are allowed", len, bytes);
        fail_parse(err, POL_TOO_LARGE, 0, text);
        return false;
    }
    switch (pg_scan(sql, len, depth, tokens, &scan)) {
    case PG_SCAN_OK:
        if (limits == NULL || !limits->brief || scan.steps <= BRIEF_STEPS) return true;
        fail_parse(err, POL_LONG, 0, "the statement has long runs of operator characters or comment starts");
        return false;
    case PG_SCAN_ENCODING: fail_parse(err, POL_ENCODING, 0, "the statement is not valid UTF-8, or holds a NUL character"); return false;
    case PG_SCAN_DEEP:
        snprintf(text, sizeof text, "the statement is nested too deep (more than %u operators and words inside each other)", depth);
        fail_parse(err, POL_TOO_DEEP, 0, text);
        return false;
    case PG_SCAN_TOKENS:
        snprintf(text, sizeof text, "the statement has more than %u tokens", tokens);
        fail_parse(err, POL_TOO_LARGE, 0, text);
        return false;
    case PG_SCAN_OPERATORS:
        fail_parse(err, POL_TOO_LARGE, 0, "the statement has a run of operator characters or comment starts that is too long");
        return false;
    case PG_SCAN_NO_MEMORY: break;
    }
    fail_parse(err, POL_NO_MEMORY, 0, "out of memory");
    return false;
}

bool pol_parse_pg(struct pol_parsed *out, const char *sql, size_t len, const struct pol_parse_limits *limits, struct pol_parse_error *err) {
    *out = (struct pol_parsed){.sql = sql, .len = len, .brief = limits != NULL && limits->brief};
    *err = (struct pol_parse_error){.rc = POL_PARSED};
    if (!check_text(sql, len, limits, err)) return false;
    PgQueryParseResult r = pg_query_parse(sql);
    enum jt_rc rc = JT_NO_MEMORY;
    const char *text = r.error != NULL && r.error->message != NULL ? r.error->message : "out of memory"; /* also the parser's own words */
    if (r.error != NULL && strcmp(text, "out of memory") != 0) {
        bool deep = strstr(text, "memory exhausted") != NULL; /* the grammar's own stack */
        fail_parse(err, deep ? POL_TOO_DEEP : POL_SYNTAX, r.error->cursorpos > 0 ? (uint32_t)r.error->cursorpos : 0, text);
    } else if (r.error != NULL || r.parse_tree == NULL ||
               (rc = jt_parse(&out->tree, r.parse_tree, strlen(r.parse_tree), 1u << 20)) == JT_NO_MEMORY) {
        fail_parse(err, POL_NO_MEMORY, 0, "out of memory");
    } else if (rc == JT_DEEP) {
        fail_parse(err, POL_TOO_DEEP, 0, "the statement's tree is too deep or too large");
    } else if (rc == JT_BAD) {
        fail_parse(err, POL_NOT_UNDERSTOOD, 0, "the parser's answer is not understood");
    } else {
        out->json = r.parse_tree;
        r.parse_tree = NULL;
    }
    pg_query_free_parse_result(r);
    /* What libpg_query 15-4.0.0 keeps for the thread it frees itself, from a destructor of thread-specific data. Nobody may call
     * pg_query_exit(): the same memory would be freed twice. */
    return err->rc == POL_PARSED;
}

void pol_parse_clear(struct pol_parsed *p) {
    if (p->json == NULL) return;
    jt_free(&p->tree);
    free(p->json);
    p->json = NULL;
}
