#include "t/policy/alike.h"

#include "policy/shape.h"

#include <stdlib.h>
#include <string.h>

static const char *const words[] = {"s",
                                    "t",
                                    "u1",
                                    "jit",
                                    "all",
                                    "role",
                                    "name",
                                    "staff",
                                    "public",
                                    "orders",
                                    "pg_class",
                                    "work_mem",
                                    "pg_authid",
                                    "orders_id",
                                    "search_path",
                                    "public.staff",
                                    "is_superuser",
                                    "orders_id_seq",
                                    "staff_id_seq",
                                    "statement_timeout",
                                    "2026-01-01",
                                    "0"};

static unsigned next(unsigned *seed) { return *seed = *seed * 1103515245u + 12345u, *seed >> 16 & 0x7fff; }

static void string(char *out, size_t n, unsigned *seed) {
    const char *word = words[next(seed) % (sizeof words / sizeof *words)];
    if (strlen(word) == n && next(seed) % 4 != 0) {
        memcpy(out, word, n);
        return;
    }
    for (size_t i = 0; i < n; i++) {
        char c = (char)(' ' + next(seed) % 95);
        if (c == '\'' && i + 1 < n) /* two of them are one */
            out[i++] = c;
        else if (c == '\'' || c == '\\')
            c = '$';
        out[i] = c;
    }
}

bool alike_text(const char *sql, size_t len, unsigned seed, char *out) {
    char *blank = malloc(len + 1);
    bool some = blank != NULL && pol_blank_pg(sql, len, blank) > 0;
    memcpy(out, sql, len);
    out[len] = '\0';
    for (size_t i = 0, end; some && i < len; i = end) {
        for (end = i; end < len && blank[end] != sql[end]; end++) continue;
        if (end > i && blank[i] == '0')
            for (; i < end; i++) out[i] = (char)('0' + next(&seed) % 10);
        else if (end > i)
            string(out + i, end - i, &seed);
        else
            end++;
    }
    free(blank);
    return some;
}

static bool same(const char *a, const char *b) { return a == NULL || b == NULL ? a == b : strcmp(a, b) == 0; }

static bool same_statement(const struct pol_stmt *a, const struct pol_stmt *b) {
    bool is = a->kind == b->kind && same(a->tag, b->tag) && a->actions == b->actions && a->location == b->location && a->len == b->len &&
              a->nrelations == b->nrelations && a->nfunctions == b->nfunctions && a->nsettings == b->nsettings && a->opaque == b->opaque &&
              a->where == b->where && a->carries == b->carries && a->keeps == b->keeps && a->changes == b->changes &&
              a->returns == b->returns && a->moves == b->moves && a->definer == b->definer && a->tells == b->tells &&
              a->limited == b->limited && a->unbounded == b->unbounded && a->reads_only == b->reads_only && a->hold == b->hold &&
              a->counts_rows == b->counts_rows && a->copy_in == b->copy_in && a->copy_out == b->copy_out &&
              a->last_value == b->last_value && same(a->forget_statement, b->forget_statement) &&
              same(a->forget_portal, b->forget_portal) && a->forget_all_statements == b->forget_all_statements &&
              a->forget_all_portals == b->forget_all_portals && same(a->uses_statement, b->uses_statement) &&
              same(a->uses_portal, b->uses_portal) && same(a->bare_type, b->bare_type) && same(a->use_schema, b->use_schema);
    for (size_t i = 0; is && i < a->nrelations; i++) {
        const struct pol_relation *x = &a->relations[i], *y = &b->relations[i];
        is = same(x->schema, y->schema) && same(x->name, y->name) && x->access == y->access && x->location == y->location &&
             x->catalog == y->catalog && x->named_rows == y->named_rows;
    }
    for (size_t i = 0; is && i < a->nfunctions; i++) {
        const struct pol_function *x = &a->functions[i], *y = &b->functions[i];
        is = same(x->schema, y->schema) && same(x->name, y->name) && x->location == y->location && x->field == y->field;
    }
    for (size_t i = 0; is && i < a->nsettings; i++) {
        const struct pol_setting *x = &a->settings[i], *y = &b->settings[i];
        is = same(x->name, y->name) && same(x->value, y->value) && x->local == y->local && x->show == y->show;
    }
    return is;
}

bool facts_same(const struct pol_facts *a, const struct pol_facts *b) {
    bool is = a->dialect == b->dialect && a->nstmts == b->nstmts && a->values == b->values;
    for (size_t i = 0; is && i < a->nstmts; i++) is = same_statement(&a->stmts[i], &b->stmts[i]);
    return is;
}
