/* MySQL's and MariaDB's SQL: lexer, parser and facts. Input: a byte of options (server, sql_mode, folding), then the text as it is.
 *
 * Checked besides memory errors: every position lies inside the text; a text without facts is refused with a reason in UTF-8; tokens are in order and inside of
 * the text, and their values are no longer than they are; the same text gives the same facts twice; statements cover no byte twice; and a text that names
 * "secret" in none of its tokens, not even within a string (PREPARE), has no relation of that name. */
#include "filters/bytes.h"
#include "policy/my_lex.h"
#include "t/fuzz/sweep.h"
#include "t/fuzz/target.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define TEXT_MAX 4096

static bool check_tokens(const char *sql, size_t len, const struct my_options *o, bool *secret) {
    struct pol_parse_error err;
    struct my_tokens t;
    char value[TEXT_MAX + 1];
    *secret = false;
    if (!my_lex(sql, len, o, &t, &err)) {
        CHECK(err.rc != POL_PARSED && err.text[0] != '\0' && t.t == NULL);
        return false;
    }
    CHECK(t.n > 0 && t.t[t.n - 1].kind == MY_T_END);
    uint32_t at = 0;
    for (uint32_t i = 0; i < t.n; i++) {
        CHECK(t.t[i].at >= at && t.t[i].end >= t.t[i].at && t.t[i].end <= len);
        at = t.t[i].end;
        size_t n = my_token_value(sql, &t.t[i], o->mode, value);
        CHECK(n <= t.t[i].end - t.t[i].at && value[n] == '\0');
        for (size_t k = 0; k + 5 < n && !*secret; k++) *secret = memcmp(value + k, "secret", 6) == 0;
        if (t.t[i].kind == MY_T_STRING) *secret = true; /* with escapes of its own in it */
    }
    free(t.t);
    return true;
}

static void check_facts(const struct pol_facts *f, size_t len, bool secret) {
    CHECK(f->nstmts > 0 && f->dialect == POL_MYSQL);
    size_t at = 0;
    for (size_t i = 0; i < f->nstmts; i++) {
        const struct pol_stmt *s = &f->stmts[i];
        CHECK(s->location >= at && s->location <= len && s->len <= len - s->location);
        at = s->location + s->len;
        CHECK(pol_kind_name(s->kind) != NULL && s->tag != NULL && (s->actions & ~POL_ALL_ACTIONS) == 0);
        for (size_t j = 0; j < s->nrelations; j++) {
            const struct pol_relation *r = &s->relations[j];
            CHECK(r->location <= len && r->name != NULL && r->schema != NULL && r->access != 0 && (r->access & ~POL_ALL_ACTIONS) == 0);
            CHECK(secret || strcmp(r->name, "secret") != 0);
            CHECK(!s->reads_only || (r->access & ~(unsigned)POL_SELECT) == 0);
        }
        for (size_t j = 0; j < s->nfunctions; j++) CHECK(s->functions[j].location <= len && s->functions[j].name != NULL);
        for (size_t j = 0; j < s->nsettings; j++) CHECK(s->settings[j].name != NULL);
    }
}

static void check_same(const struct pol_facts *a, const struct pol_facts *b) {
    CHECK(a->nstmts == b->nstmts);
    for (size_t i = 0; i < a->nstmts; i++) {
        CHECK(a->stmts[i].kind == b->stmts[i].kind && a->stmts[i].nrelations == b->stmts[i].nrelations &&
              a->stmts[i].nfunctions == b->stmts[i].nfunctions);
        for (size_t j = 0; j < a->stmts[i].nrelations; j++)
            CHECK(strcmp(a->stmts[i].relations[j].name, b->stmts[i].relations[j].name) == 0 &&
                  a->stmts[i].relations[j].access == b->stmts[i].relations[j].access);
    }
}

static struct my_options options_of(uint8_t byte) {
    struct my_options o = {.server = byte & 1 ? MY_MYSQL : MY_MARIADB, .default_db = "shop", .multi = (byte & 2) == 0};
    o.version = o.server == MY_MYSQL ? 90704 : 101119;
    o.mode =
        (unsigned)(byte >> 2) & (MY_ANSI_QUOTES | MY_NO_BACKSLASH_ESCAPES | MY_PIPES_AS_CONCAT | MY_HIGH_NOT_PRECEDENCE | MY_IGNORE_SPACE);
    o.fold_names = (byte & 128) != 0;
    return o;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    if (size == 0 || size > TEXT_MAX) return 0;
    struct my_options o = options_of(data[0]);
    size_t len = size - 1;
    char *sql = malloc(len == 0 ? 1 : len); /* a text that ends where its memory ends */
    if (sql == NULL) return 0;
    memcpy(sql, data + 1, len);
    bool secret, lexed = check_tokens(sql, len, &o, &secret);
    struct pol_parse_error err;
    struct pol_facts *f = pol_facts_my(sql, len, &o, &err);
    if (f == NULL) {
        size_t n = strnlen(err.text, sizeof err.text);
        CHECK(err.rc != POL_PARSED && err.position <= len + 1 && n > 0 && n < sizeof err.text && gh_utf8_valid(err.text, n));
    } else {
        CHECK(lexed);
        check_facts(f, len, secret || o.fold_names);
        struct pol_facts *again = pol_facts_my(sql, len, &o, &err);
        CHECK(again != NULL);
        check_same(f, again);
        pol_facts_free(again);
    }
    pol_facts_free(f);
    free(sql);
    return 0;
}

#ifdef FUZZ_SWEEP
struct sweeping {
    const char *sql;
    size_t len;
    struct my_options o;
    struct pol_facts *facts;
};

static void faulty(void *arg) {
    struct sweeping *s = arg;
    struct pol_parse_error err = {0};
    struct pol_facts *f = pol_facts_my(s->sql, s->len, &s->o, &err);
    CHECK(f == NULL || s->facts != NULL);
    if (f != NULL) check_same(s->facts, f);
    if (f == NULL && s->facts != NULL) CHECK(err.rc == POL_NO_MEMORY && nomem_hit());
    pol_facts_free(f);
}

void fuzz_sweep(const uint8_t *data, size_t size) {
    struct pol_parse_error err;
    if (size == 0 || size > TEXT_MAX) return;
    struct sweeping s = {.sql = (const char *)data + 1, .len = size - 1, .o = options_of(data[0])};
    s.facts = pol_facts_my(s.sql, s.len, &s.o, &err);
    sweep(faulty, &s);
    pol_facts_free(s.facts);
}
#endif
