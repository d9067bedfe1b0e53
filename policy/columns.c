/* Column facts: from the text to the answer. */
#include "policy/columns.h"

#include "policy/columns_int.h"
#include "policy/parsed.h"

#include <stdlib.h>
#include <string.h>

const char *pol_use_name(unsigned bit) {
    switch (bit) {
    case POL_USE_READ: return "read";
    case POL_USE_OUTPUT: return "output";
    case POL_USE_PREDICATE: return "predicate";
    case POL_USE_GROUP: return "group";
    case POL_USE_ORDER: return "order";
    case POL_USE_JOIN: return "join";
    case POL_USE_MERGED: return "merged";
    case POL_USE_WRITTEN: return "written";
    case POL_USE_EXCLUDED: return "excluded";
    default: return NULL;
    }
}

static bool relation_use(struct cx *x, const struct cx_rel *rel, struct pol_relation_use *out) {
    size_t n = rel->r->ncolumns;
    *out = (struct pol_relation_use){.relation = rel->r,
                                     .columns = pol_alloc_array(x->fx.c.arena, n + 1, sizeof *out->columns),
                                     .complete = !x->incomplete && !rel->incomplete,
                                     .system = rel->system,
                                     .system_location = rel->system_location};
    if (out->columns == NULL) return fx_no_memory(&x->fx);
    for (size_t i = 0; i < n; i++)
        out->columns[i] = (struct pol_column_use){.named = (uint16_t)(rel->columns[i].bits & 0xFFFFu),
                                                  .unnamed = (uint16_t)(rel->columns[i].bits >> 16),
                                                  .location = rel->columns[i].location};
    return true;
}

static bool answer(struct cx *x) {
    struct pol_columns *out = x->out;
    if (x->stop) { /* what was not reached is there, too */
        x->incomplete = true;
        if (!cx_unseen(x, 0, x->fx.t->n)) return false;
    }
    out->complete = !x->incomplete;
    out->stopped = x->stop;
    if (x->incomplete) out->nconjuncts = 0;
    out->relations = pol_alloc_array(x->fx.c.arena, x->nrels + 1, sizeof *out->relations);
    if (out->relations == NULL) return fx_no_memory(&x->fx);
    for (size_t i = 0; i < x->nrels; i++)
        if (!relation_use(x, x->rels[i], &out->relations[out->nrelations++])) return false;
    return true;
}

static bool all_statements(struct cx *x) {
    const struct jt *t = x->fx.t;
    uint32_t stmts = jt_get(t, 0, "stmts");
    for (uint32_t c = stmts + 1; stmts != 0 && c < jt_end(t, stmts) && !x->stop; c = jt_skip(t, c)) {
        uint32_t node = jt_get(t, c, "stmt");
        x->level = NULL;
        x->ctes = NULL;
        if (node == 0)
            x->incomplete = true;
        else if (!cx_statement(x, node))
            return false;
    }
    return answer(x);
}

struct pol_columns *pol_columns_parsed(const struct pol_parsed *p, const struct pol_catalog *cat, const struct pol_pins *pins,
                                       struct pol_parse_error *err) {
    *err = (struct pol_parse_error){.rc = POL_PARSED};
    struct pol_columns *out = calloc(1, sizeof *out);
    if (out != NULL) out->arena = pol_arena_new();
    struct cx x = {.fx = {.t = &p->tree, .sql = p->sql, .len = p->len, .c.err = err},
                   .cat = cat,
                   .pins = pins,
                   .out = out,
                   .max_steps = p->brief ? CX_BRIEF : CX_STEPS,
                   .stack = (uintptr_t)__builtin_frame_address(0)};
    if (out == NULL || out->arena == NULL) {
        fx_no_memory(&x.fx);
    } else {
        x.fx.c.arena = out->arena;
        pol_arena_bound(out->arena, POL_ARENA_TEXT(p->len));
        if (!all_statements(&x) && err->rc == POL_PARSED) fx_no_memory(&x.fx);
    }
    if (err->rc == POL_PARSED) return out;
    pol_columns_free(out);
    return NULL;
}

struct pol_columns *pol_columns_pg(const char *sql, size_t len, const struct pol_catalog *cat, const struct pol_pins *pins,
                                   struct pol_parse_error *err) {
    struct pol_parsed p;
    if (!pol_parse_pg(&p, sql, len, NULL, err)) return NULL;
    struct pol_columns *out = pol_columns_parsed(&p, cat, pins, err);
    pol_parse_clear(&p);
    return out;
}

void pol_columns_free(struct pol_columns *c) {
    if (c == NULL) return;
    pol_arena_free(c->arena);
    free(c);
}

const struct pol_relation_use *pol_columns_of(const struct pol_columns *c, const struct pol_cat_relation *r) {
    for (size_t i = 0; i < c->nrelations; i++)
        if (c->relations[i].relation == r) return &c->relations[i];
    return NULL;
}
