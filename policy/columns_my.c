/* Column facts of MySQL's and MariaDB's statements: names are resolved level by level, as the servers do ("Name resolution", "SELECT Statement"), with more than one
 * meaning where they may have more than one. Columns of subqueries and of WITH hold what they come from, and a use of one is a use of that. */
#include "policy/columns.h"
#include "policy/facts_my_int.h"
#include "policy/policy_int.h"

#include <stdlib.h>
#include <string.h>

#define MAX_STEPS   1000000u
#define BRIEF_STEPS 100000u
#define MAX_OUTS    4096u /* of one query, as with the servers */
#define READ        ((unsigned)POL_USE_READ)

struct ref { /* a column of a relation */
    size_t rel, col;
    struct ref *next;
};
struct out { /* a column of a subquery */
    const char *name;
    struct ref *refs;
};
struct outs {
    struct out *v;
    size_t n, cap;
    bool unknown; /* there are more */
};
struct item { /* of a FROM clause */
    const char *name;
    size_t rel;              /* + 1; 0: none */
    const struct outs *outs; /* of a subquery; NULL and no rel: what it has is not known */
    struct item *before;
};
struct level {
    struct item *items;
    const struct outs *own; /* the columns of the select list, once they are known */
    bool labels;            /* GROUP BY, HAVING, ORDER BY: they may be meant first */
    struct level *outer;
};
struct cte {
    const char *name;
    struct outs outs;
    bool open; /* its own query is walked */
    struct cte *outer;
};
struct cm {
    struct my_tree t;
    struct fm fm;
    struct pol_parse_error *err;
    const struct pol_catalog *cat;
    struct fm_meaning *meanings;
    struct pol_columns *out;
    size_t relations_cap;
    uint32_t steps, max_steps;
    struct level *level;
    struct cte *ctes;
    struct ref **collect; /* where what is read goes; NULL: nowhere */
    bool incomplete, failed;
};

static const struct my_node *node_at(const struct cm *x, uint32_t i) { return &x->t.nodes[i]; }

static bool step(struct cm *x, uint32_t n) {
    x->steps += n;
    if (x->steps > x->max_steps) x->incomplete = x->out->stopped = true;
    return x->steps <= x->max_steps && !x->failed;
}

static void *alloc(struct cm *x, size_t n) {
    void *p = pol_alloc(x->out->arena, n);
    if (p == NULL) x->failed = true;
    return p;
}

static const char *part(struct cm *x, uint32_t tok, unsigned i) {
    const char *s = fm_part(&x->fm, tok, i, false);
    if (s == NULL) x->failed = true;
    return s != NULL ? s : "";
}

static uint32_t child(const struct cm *x, uint32_t node, enum my_node_type type) {
    for (uint32_t c = node_at(x, node)->first; c != 0; c = node_at(x, c)->next)
        if (node_at(x, c)->type == type) return c;
    return 0;
}

/* --- uses --- */

static void use(struct cm *x, size_t rel, size_t col, unsigned bits, bool named, uint32_t location) {
    struct pol_column_use *u = &x->out->relations[rel].columns[col];
    if (named) {
        if (u->named == 0) u->location = location;
        u->named |= (uint16_t)bits;
    } else {
        u->unnamed |= (uint16_t)bits;
    }
    if (x->collect == NULL || !step(x, 1)) return;
    struct ref *r = alloc(x, sizeof *r);
    if (r == NULL) return;
    *r = (struct ref){rel, col, *x->collect};
    *x->collect = r;
}

static void flow(struct cm *x, const struct ref *refs, unsigned bits, bool named, uint32_t location) {
    for (; refs != NULL && step(x, 1); refs = refs->next) use(x, refs->rel, refs->col, bits, named, location);
}

/* Uses the item's column of that name; false when it has none. *maybe: it might. */
static bool use_of(struct cm *x, const struct item *it, const char *name, unsigned bits, uint32_t location, bool *maybe) {
    bool found = false;
    if (it->rel != 0) {
        const struct pol_cat_relation *r = x->out->relations[it->rel - 1].relation;
        if (!step(x, 1 + (uint32_t)(r->ncolumns / 16))) return false;
        for (size_t i = 0; i < r->ncolumns; i++) {
            if (!fm_same(r->columns[i].name, name)) continue;
            use(x, it->rel - 1, i, bits, true, location);
            found = true;
        }
    } else if (it->outs != NULL) {
        if (!step(x, 1 + (uint32_t)(it->outs->n / 16))) return false;
        for (size_t i = 0; i < it->outs->n; i++) {
            if (!fm_same(it->outs->v[i].name, name)) continue;
            flow(x, it->outs->v[i].refs, bits, true, location);
            found = true;
        }
        *maybe = *maybe || it->outs->unknown;
    } else {
        *maybe = true;
    }
    return found;
}

static void column(struct cm *x, uint32_t node, unsigned bits) {
    const struct my_node *n = node_at(x, node);
    const char *name = part(x, n->tok, n->flags - 1u), *table = n->flags > 1 ? part(x, n->tok, n->flags - 2u) : NULL;
    uint32_t location = fm_at(&x->fm, n->tok);
    for (struct level *l = x->level; l != NULL && step(x, 1); l = l->outer) {
        bool found = false, maybe = false;
        for (const struct item *it = l->items; it != NULL; it = it->before) {
            if (table != NULL && !fm_same(it->name, table)) continue;
            found = use_of(x, it, name, bits, location, &maybe) || found;
        }
        if (table == NULL && l->own != NULL && (l->labels || !found)) {
            const struct item own = {.outs = l->own};
            bool ignored = false;
            found = use_of(x, &own, name, bits, location, &ignored) || found;
        }
        if (found) return;
        if (maybe) x->incomplete = true;
    }
    x->incomplete = true;
}

/* --- columns of subqueries --- */

static struct out *add_out(struct cm *x, struct outs *to, const char *name) {
    if (to->n == MAX_OUTS) {
        x->incomplete = to->unknown = true;
        return NULL;
    }
    if (to->n == to->cap) {
        size_t cap = to->cap == 0 ? 8 : to->cap * 2;
        struct out *v = pol_alloc_array(x->out->arena, cap, sizeof *v);
        if (v == NULL) {
            x->failed = true;
            return NULL;
        }
        if (to->n > 0) memcpy(v, to->v, to->n * sizeof *v);
        to->v = v;
        to->cap = cap;
    }
    to->v[to->n] = (struct out){.name = name};
    return &to->v[to->n++];
}

static void star_of(struct cm *x, const struct item *it, unsigned bits, struct outs *to) {
    const struct pol_cat_relation *r = it->rel != 0 ? x->out->relations[it->rel - 1].relation : NULL;
    size_t n = r != NULL ? r->ncolumns : it->outs != NULL ? it->outs->n : 0;
    struct ref **outer = x->collect;
    if (r == NULL && (it->outs == NULL || it->outs->unknown)) to->unknown = true;
    for (size_t i = 0; i < n && step(x, 1); i++) {
        struct out *o = add_out(x, to, r != NULL ? r->columns[i].name : it->outs->v[i].name);
        if (o == NULL) break;
        struct ref *refs = NULL;
        x->collect = &refs;
        if (r != NULL)
            use(x, it->rel - 1, i, bits, false, 0);
        else
            flow(x, it->outs->v[i].refs, bits, false, 0);
        x->collect = outer;
        to->v[to->n - 1].refs = refs;
        for (const struct ref *k = outer != NULL ? refs : NULL; k != NULL && step(x, 1); k = k->next) use(x, k->rel, k->col, 0, false, 0);
    }
    x->collect = outer;
}

/* In the order of FROM. */
static void star(struct cm *x, const struct item *it, const char *table, unsigned bits, struct outs *to) {
    if (it == NULL) return;
    star(x, it->before, table, bits, to);
    if (table == NULL || fm_same(it->name, table)) star_of(x, it, bits, to);
}

static const char *label(struct cm *x, uint32_t node) {
    const struct my_node *n = node_at(x, node);
    if (n->next != 0 && node_at(x, n->next)->type == MN_ALIAS) return part(x, node_at(x, n->next)->tok, 0);
    if (n->type == MN_COLUMN) return part(x, n->tok, n->flags - 1u);
    const struct my_token *a = &x->t.tokens.t[n->tok], *b = &x->t.tokens.t[n->end > n->tok ? n->end - 1 : n->tok];
    const char *s = pol_strndup(x->out->arena, x->t.sql + a->at, b->end - a->at);
    if (s == NULL) x->failed = true;
    return s != NULL ? s : "";
}

static void walk(struct cm *x, uint32_t node, unsigned bits);

static void items(struct cm *x, uint32_t list, unsigned bits, struct outs *to) {
    struct ref **outer = x->collect;
    for (uint32_t c = list != 0 ? node_at(x, list)->first : 0; c != 0 && step(x, 1); c = node_at(x, c)->next) {
        const struct my_node *n = node_at(x, c);
        if (n->type == MN_ALIAS) continue;
        if (n->type == MN_STAR) {
            bool all = n->flags == 0 || n->tok + 1 == n->end;
            star(x, x->level->items, all ? NULL : part(x, n->tok, n->flags - 1u), bits, to);
            continue;
        }
        struct ref *refs = NULL;
        x->collect = &refs;
        walk(x, c, bits);
        x->collect = outer;
        struct out *o = add_out(x, to, label(x, c));
        if (o != NULL) o->refs = refs;
        for (const struct ref *k = outer != NULL ? refs : NULL; k != NULL && step(x, 1); k = k->next) use(x, k->rel, k->col, 0, false, 0);
    }
    x->collect = outer;
}

/* --- FROM --- */

static size_t relation(struct cm *x, const struct pol_cat_relation *r) {
    struct pol_columns *out = x->out;
    for (size_t i = 0; i < out->nrelations; i++) {
        if (!step(x, 1)) return 0;
        if (out->relations[i].relation == r) return i + 1;
    }
    struct pol_relation_use *all = pol_grow(out->arena, out->relations, out->nrelations, &x->relations_cap, sizeof *all);
    struct pol_column_use *columns = pol_alloc_array(out->arena, r->ncolumns + 1, sizeof *columns);
    if (all == NULL || columns == NULL) {
        x->failed = true;
        return 0;
    }
    out->relations = all;
    all[out->nrelations] = (struct pol_relation_use){.relation = r, .columns = columns};
    return ++out->nrelations;
}

static size_t relation_of(struct cm *x, uint32_t table) {
    const struct fm_meaning *m = &x->meanings[table];
    const struct pol_cat_relation *r = m->name != NULL ? pol_catalog_relation(x->cat, m->schema, m->name) : NULL;
    return r != NULL ? relation(x, r) : 0;
}

static struct item *add_item(struct cm *x, const char *name) {
    struct item *it = alloc(x, sizeof *it);
    if (it == NULL) return NULL;
    *it = (struct item){.name = name, .before = x->level->items};
    x->level->items = it;
    return it;
}

static const char *called(struct cm *x, uint32_t node) {
    const struct my_node *n = node_at(x, node);
    uint32_t alias = child(x, node, MN_ALIAS);
    if (alias != 0) return part(x, node_at(x, alias)->tok, 0);
    return n->type == MN_TABLE ? part(x, n->tok, (n->flags & FM_PARTS) - 1u) : "";
}

static void table(struct cm *x, uint32_t node) {
    const struct my_node *n = node_at(x, node);
    struct item *it = add_item(x, called(x, node));
    if (it == NULL) return;
    if (!x->meanings[node].cte) {
        it->rel = relation_of(x, node);
    } else {
        const char *name = part(x, n->tok, 0);
        for (struct cte *c = x->ctes; c != NULL && it->outs == NULL && step(x, 1); c = c->outer) {
            if (!fm_same(c->name, name)) continue;
            if (!c->open) it->outs = &c->outs;
            break;
        }
        if (it->outs == NULL) x->incomplete = true; /* recursion */
    }
    for (uint32_t c = n->first; c != 0; c = node_at(x, c)->next)
        if (node_at(x, c)->type != MN_ALIAS) walk(x, c, READ | POL_USE_PREDICATE);
}

static void query(struct cm *x, uint32_t node, unsigned bits, struct outs *to);

/* (a, b) behind the alias */
static void rename_outs(struct cm *x, uint32_t columns, struct outs *to) {
    size_t i = 0;
    for (uint32_t c = columns != 0 ? node_at(x, columns)->first : 0; c != 0 && i < to->n; c = node_at(x, c)->next)
        to->v[i++].name = part(x, node_at(x, c)->tok, 0);
}

static void derived(struct cm *x, uint32_t node) {
    struct level *own = x->level;
    struct outs *to = alloc(x, sizeof *to);
    struct ref **outer = x->collect;
    if (to == NULL) return;
    x->collect = NULL;
    if ((node_at(x, node)->flags & MF_LATERAL) == 0) x->level = own->outer;
    query(x, node_at(x, node_at(x, node)->first)->first, READ, to);
    x->level = own;
    x->collect = outer;
    rename_outs(x, child(x, node, MN_COLUMNS), to);
    struct item *it = add_item(x, called(x, node));
    if (it != NULL) it->outs = to;
}

/* USING and NATURAL: every column of that name which stands left of it. */
static void merged(struct cm *x, const char *name, bool named, uint32_t location) {
    bool maybe = false;
    for (const struct item *it = x->level->items; it != NULL && step(x, 1); it = it->before) {
        if (named) {
            use_of(x, it, name, READ | POL_USE_JOIN | POL_USE_MERGED, location, &maybe);
            continue;
        }
        const struct pol_cat_relation *r = it->rel != 0 ? x->out->relations[it->rel - 1].relation : NULL;
        for (size_t i = 0; r != NULL && i < r->ncolumns; i++)
            if (fm_same(r->columns[i].name, name)) use(x, it->rel - 1, i, READ | POL_USE_JOIN | POL_USE_MERGED, false, 0);
        for (size_t i = 0; it->outs != NULL && i < it->outs->n; i++)
            if (fm_same(it->outs->v[i].name, name)) flow(x, it->outs->v[i].refs, READ | POL_USE_JOIN | POL_USE_MERGED, false, 0);
        if (r == NULL && it->outs == NULL) x->incomplete = true;
    }
    if (maybe) x->incomplete = true;
}

static bool has(struct cm *x, const struct item *it, const char *name) {
    const struct pol_cat_relation *r = it->rel != 0 ? x->out->relations[it->rel - 1].relation : NULL;
    size_t n = r != NULL ? r->ncolumns : it->outs != NULL ? it->outs->n : 0;
    if (!step(x, 1 + (uint32_t)(n / 16))) return false;
    for (size_t i = 0; i < n; i++)
        if (fm_same(r != NULL ? r->columns[i].name : it->outs->v[i].name, name)) return true;
    return false;
}

/* The items from the first one before "end" on are joined NATURALly with those left of them. */
static void natural(struct cm *x, const struct item *end) {
    for (const struct item *it = x->level->items; it != end && it != NULL; it = it->before) {
        const struct pol_cat_relation *r = it->rel != 0 ? x->out->relations[it->rel - 1].relation : NULL;
        size_t n = r != NULL ? r->ncolumns : it->outs != NULL ? it->outs->n : 0;
        if (r == NULL && (it->outs == NULL || it->outs->unknown)) x->incomplete = true;
        for (size_t i = 0; i < n && step(x, 1); i++) {
            const char *name = r != NULL ? r->columns[i].name : it->outs->v[i].name;
            bool both = false;
            for (const struct item *k = end; k != NULL && !both; k = k->before) both = has(x, k, name);
            if (both) merged(x, name, false, 0);
        }
    }
}

static void from(struct cm *x, uint32_t node) {
    uint32_t last = node_at(x, node)->tok;
    for (uint32_t c = node_at(x, node)->first; c != 0 && step(x, 1); c = node_at(x, c)->next) {
        const struct my_node *n = node_at(x, c);
        const struct item *left = x->level->items;
        bool joined = false;
        for (uint32_t i = last; i < n->tok; i++)
            joined = joined || (x->t.tokens.t[i].kind == MY_T_WORD && x->t.tokens.t[i].word == W_NATURAL);
        last = n->end;
        switch ((enum my_node_type)n->type) {
        case MN_TABLE: table(x, c); break;
        case MN_DERIVED: derived(x, c); break;
        case MN_FROM: from(x, c); break;
        case MN_ON: walk(x, n->first, READ | POL_USE_JOIN); break;
        case MN_USING:
            for (uint32_t k = n->first; k != 0; k = node_at(x, k)->next)
                merged(x, part(x, node_at(x, k)->tok, 0), true, fm_at(&x->fm, node_at(x, k)->tok));
            break;
        case MN_JSON_TABLE:
            for (uint32_t k = n->first; k != 0; k = node_at(x, k)->next)
                if (node_at(x, k)->type != MN_ALIAS) walk(x, k, READ | POL_USE_PREDICATE);
            add_item(x, called(x, c));
            break;
        default: walk(x, c, READ | POL_USE_PREDICATE);
        }
        if (joined && left != NULL) natural(x, left);
    }
}

/* --- queries --- */

static void children(struct cm *x, uint32_t node, unsigned bits) {
    for (uint32_t c = node_at(x, node)->first; c != 0 && step(x, 1); c = node_at(x, c)->next) walk(x, c, bits);
}

/* GROUP BY and ORDER BY: a number means a column of the select list. */
static void positions(struct cm *x, uint32_t node, unsigned bits, const struct outs *own) {
    for (uint32_t c = node_at(x, node)->first; c != 0 && step(x, 1); c = node_at(x, c)->next) {
        const struct my_node *n = node_at(x, c);
        const struct my_token *t = &x->t.tokens.t[n->tok];
        unsigned long i = n->type == MN_LITERAL && t->kind == MY_T_NUMBER ? strtoul(x->t.sql + t->at, NULL, 10) : 0;
        if (i > 0 && i <= own->n) flow(x, own->v[i - 1].refs, bits, false, 0);
        const struct item list = {.outs = own};
        bool ignored = false;
        if ((bits & POL_USE_ORDER) && n->type == MN_COLUMN && n->flags == 1 &&
            use_of(x, &list, part(x, n->tok, 0), bits, fm_at(&x->fm, n->tok), &ignored))
            continue; /* ORDER BY looks at the select list first */
        walk(x, c, bits);
    }
}

static void flow_all(struct cm *x, const struct outs *o, unsigned bits) {
    for (size_t i = 0; i < o->n && step(x, 1); i++) flow(x, o->v[i].refs, bits, false, 0);
}

/* node: a SELECT; of: the query that it is the whole of, with its ORDER BY, or 0. */
static void one_select(struct cm *x, uint32_t node, uint32_t of, unsigned bits, struct outs *to) {
    struct level level = {.outer = x->level};
    struct ref **outer = x->collect;
    uint32_t list = child(x, node, MN_ITEMS), f = child(x, node, MN_FROM);
    bool distinct = false;
    x->level = &level;
    x->collect = NULL;
    if (f != 0) from(x, f);
    x->collect = outer;
    items(x, list, bits, to);
    x->collect = NULL;
    level.own = to;
    for (uint32_t i = node_at(x, node)->tok; i < node_at(x, list)->tok; i++)
        distinct = distinct ||
                   (x->t.tokens.t[i].kind == MY_T_WORD &&
                    (x->t.tokens.t[i].word == W_DISTINCT || x->t.tokens.t[i].word == W_DISTINCTROW || x->t.tokens.t[i].word == W_UNIQUE));
    if (distinct) flow_all(x, to, READ | POL_USE_GROUP);
    for (uint32_t c = node_at(x, node)->first; c != 0 && step(x, 1); c = node_at(x, c)->next) {
        enum my_node_type type = (enum my_node_type)node_at(x, c)->type;
        level.labels = type == MN_GROUP || type == MN_HAVING;
        if (type == MN_GROUP)
            positions(x, c, READ | POL_USE_GROUP, to);
        else if (type != MN_ITEMS && type != MN_FROM)
            children(x, c, READ | (type == MN_WINDOW ? POL_USE_GROUP | POL_USE_ORDER : POL_USE_PREDICATE));
    }
    level.labels = true;
    uint32_t order = of != 0 ? child(x, of, MN_ORDER) : 0;
    if (order != 0) positions(x, order, READ | POL_USE_ORDER, to);
    x->level = level.outer;
    x->collect = outer;
}

static void body(struct cm *x, uint32_t node, uint32_t of, unsigned bits, struct outs *to) {
    const struct my_node *n = node_at(x, node);
    switch ((enum my_node_type)n->type) {
    case MN_SELECT: one_select(x, node, of, bits, to); break;
    case MN_QUERY: query(x, node, bits, to); break;
    case MN_TABLE_Q: {
        struct level level = {.outer = x->level};
        x->level = &level;
        table(x, n->first);
        star(x, level.items, NULL, bits, to);
        x->level = level.outer;
        break;
    }
    case MN_VALUES:
        children(x, node, bits);
        to->unknown = true;
        break;
    case MN_UNION: {
        bool first = true;
        for (uint32_t c = n->first; c != 0 && step(x, 1); c = node_at(x, c)->next, first = false) {
            struct outs more = {0};
            body(x, c, 0, bits | POL_USE_GROUP, first ? to : &more);
            for (size_t i = 0; !first && i < more.n; i++) { /* the same column, by its place */
                struct ref **end = i < to->n ? &to->v[i].refs : NULL;
                while (end != NULL && *end != NULL && step(x, 1)) end = &(*end)->next;
                if (end != NULL) *end = more.v[i].refs;
            }
            to->unknown = to->unknown || more.unknown || (!first && more.n != to->n);
        }
        break;
    }
    default: x->incomplete = true;
    }
}

static void with(struct cm *x, uint32_t node) {
    bool recursive = (node_at(x, node)->flags & MF_RECURSIVE) != 0;
    for (uint32_t c = node_at(x, node)->first; c != 0 && step(x, 1); c = node_at(x, c)->next) {
        struct cte *cte = alloc(x, sizeof *cte);
        struct level *outer = x->level;
        struct ref **collect = x->collect;
        uint32_t q = child(x, c, MN_QUERY);
        if (cte == NULL || q == 0) return;
        *cte = (struct cte){.name = part(x, node_at(x, c)->tok, 0), .open = true, .outer = x->ctes};
        if (recursive) x->ctes = cte;
        x->collect = NULL;
        query(x, q, READ, &cte->outs);
        x->collect = collect;
        x->level = outer;
        rename_outs(x, child(x, c, MN_COLUMNS), &cte->outs);
        cte->open = false;
        x->ctes = cte;
    }
}

static void query(struct cm *x, uint32_t node, unsigned bits, struct outs *to) {
    struct cte *outer = x->ctes;
    uint32_t w = child(x, node, MN_WITH), inner = 0;
    if (w != 0) with(x, w);
    for (uint32_t c = node_at(x, node)->first; c != 0; c = node_at(x, c)->next) {
        enum my_node_type type = (enum my_node_type)node_at(x, c)->type;
        if (inner == 0 && (type == MN_SELECT || type == MN_UNION || type == MN_VALUES || type == MN_TABLE_Q || type == MN_QUERY)) inner = c;
        if (type == MN_PROCEDURE) x->incomplete = true;
    }
    body(x, inner, node, bits, to);
    /* ORDER BY of what is no plain SELECT says names of its columns */
    if (node_at(x, inner)->type != MN_SELECT && child(x, node, MN_ORDER) != 0) flow_all(x, to, READ | POL_USE_ORDER);
    x->ctes = outer;
}

static void subquery(struct cm *x, uint32_t node, unsigned bits) {
    struct outs to = {0};
    query(x, node_at(x, node)->first, bits, &to);
}

static void walk(struct cm *x, uint32_t node, unsigned bits) {
    const struct my_node *n = node_at(x, node);
    if (!step(x, 1)) return;
    switch ((enum my_node_type)n->type) {
    case MN_COLUMN: column(x, node, bits); break;
    case MN_SUBQUERY: subquery(x, node, bits); break;
    case MN_EXISTS: subquery(x, n->first, READ); break;
    case MN_QUERY: {
        struct outs to = {0};
        query(x, node, bits, &to);
        break;
    }
    case MN_TABLE: relation_of(x, node); break;
    case MN_OVER:
    case MN_WINDOW: children(x, node, READ | POL_USE_GROUP); break;
    case MN_ORDER: children(x, node, READ | POL_USE_ORDER); break;
    case MN_STAR:
    case MN_TARGET:
    case MN_ALIAS:
    case MN_INTO:
    case MN_LOCK: break;
    default: children(x, node, bits);
    }
}

/* --- statements --- */

static void sets(struct cm *x, uint32_t node) {
    for (uint32_t c = node_at(x, node)->first; c != 0 && step(x, 1); c = node_at(x, c)->next) {
        column(x, node_at(x, c)->first, POL_USE_WRITTEN);
        walk(x, node_at(x, node_at(x, c)->first)->next, READ | POL_USE_OUTPUT);
    }
}

static void change(struct cm *x, uint32_t node) {
    struct level level = {0};
    struct outs to = {0};
    uint32_t w = child(x, node, MN_WITH), tables = child(x, node, MN_USING_TABLES), one = child(x, node, MN_TABLE);
    if (w != 0) with(x, w);
    x->level = &level;
    if (tables != 0) from(x, tables);
    if (one != 0) table(x, one);
    for (uint32_t c = node_at(x, node)->first; c != 0; c = node_at(x, c)->next) {
        enum my_node_type type = (enum my_node_type)node_at(x, c)->type;
        if (type == MN_SETS) sets(x, c);
        if (type == MN_WHERE) children(x, c, READ | POL_USE_PREDICATE);
        if (type == MN_ORDER) children(x, c, READ | POL_USE_ORDER);
        if (type == MN_RETURNING) items(x, c, READ | POL_USE_OUTPUT, &to);
    }
    x->level = NULL;
}

static void insert(struct cm *x, uint32_t node) {
    uint32_t source = child(x, node, MN_QUERY), list = child(x, node, MN_COLUMNS), alias = child(x, node, MN_ALIAS);
    struct level level = {0};
    struct outs to = {0}, returned = {0};
    bool first = source == 0;
    if (source != 0) query(x, source, READ | POL_USE_OUTPUT, &to);
    x->level = &level;
    table(x, child(x, node, MN_TABLE));
    size_t rel = level.items != NULL ? level.items->rel : 0;
    for (uint32_t c = list != 0 ? node_at(x, list)->first : 0; c != 0; c = node_at(x, c)->next) column(x, c, POL_USE_WRITTEN);
    if ((list == 0 || node_at(x, list)->first == 0) && source != 0 && rel != 0)
        for (size_t i = 0; i < x->out->relations[rel - 1].relation->ncolumns; i++) use(x, rel - 1, i, POL_USE_WRITTEN, false, 0);
    if (alias != 0) { /* of the new row */
        struct item *it = add_item(x, part(x, node_at(x, alias)->tok, 0));
        if (it != NULL) it->rel = rel;
    }
    for (uint32_t c = node_at(x, node)->first; c != 0; c = node_at(x, c)->next) {
        enum my_node_type type = (enum my_node_type)node_at(x, c)->type;
        if (type == MN_SETS) {
            if (!first && source != 0 && child(x, source, MN_VALUES) == 0) x->incomplete = true; /* the source's tables are seen, too */
            sets(x, c);
            first = false;
        }
        if (type == MN_RETURNING) items(x, c, READ | POL_USE_OUTPUT, &returned);
    }
    x->level = NULL;
}

static void statement(struct cm *x, uint32_t node, bool create) {
    struct outs to = {0};
    const struct my_node *n = node_at(x, node);
    x->level = NULL;
    x->ctes = NULL;
    switch ((enum my_stmt_kind)n->word) {
    case MS_EMPTY: break;
    case MS_QUERY: query(x, n->first, READ | POL_USE_OUTPUT, &to); break;
    case MS_INSERT: insert(x, node); break;
    case MS_UPDATE:
    case MS_DELETE: change(x, node); break;
    case MS_DO:
    case MS_SET:
    case MS_EXPLAIN:
        for (uint32_t c = n->first; c != 0; c = node_at(x, c)->next)
            if (node_at(x, c)->type == MN_STMT)
                statement(x, c, false);
            else
                walk(x, c, READ | POL_USE_OUTPUT);
        break;
    case MS_DDL:
        for (uint32_t c = n->first; create && c != 0; c = node_at(x, c)->next)
            if (node_at(x, c)->type == MN_QUERY) walk(x, c, READ | POL_USE_OUTPUT);
        x->incomplete = x->incomplete || !create;
        break;
    default: x->incomplete = true;
    }
}

static void all_statements(struct cm *x) {
    for (uint32_t i = 1; i < x->t.nnodes && step(x, 1); i++)
        if (node_at(x, i)->type == MN_TABLE) relation_of(x, i);
    for (uint32_t i = 0; i < x->t.nstmts && step(x, 1); i++)
        statement(x, x->t.stmts[i].node, strcmp(x->t.stmts[i].tag, "CREATE TABLE") == 0);
    if (x->failed && x->err->rc == POL_PARSED) x->err->rc = POL_NO_MEMORY;
    x->out->complete = !x->incomplete;
    for (size_t i = 0; i < x->out->nrelations; i++) x->out->relations[i].complete = !x->incomplete;
}

struct pol_columns *pol_columns_my(const char *sql, size_t len, const struct my_options *o, const struct pol_catalog *cat,
                                   struct pol_parse_error *err) {
    struct cm x = {.cat = cat, .err = err, .max_steps = o->limits != NULL && o->limits->brief ? BRIEF_STEPS : MAX_STEPS};
    struct pol_facts *facts = NULL;
    if (my_parse(&x.t, sql, len, o, err)) {
        x.out = calloc(1, sizeof *x.out);
        if (x.out != NULL && (x.out->arena = pol_arena_new()) != NULL) pol_arena_bound(x.out->arena, POL_ARENA_TEXT(len));
        if (x.out == NULL || x.out->arena == NULL || (x.meanings = pol_alloc_array(x.out->arena, x.t.nnodes, sizeof *x.meanings)) == NULL) {
            err->rc = POL_NO_MEMORY;
        } else if ((facts = fm_facts(&x.t, o, x.meanings, err)) != NULL) {
            x.fm = (struct fm){.t = &x.t, .o = o, .c.arena = x.out->arena, .c.err = err};
            all_statements(&x);
        }
    }
    pol_facts_free(facts);
    my_tree_free(&x.t);
    if (err->rc == POL_PARSED) return x.out;
    if (err->rc == POL_NO_MEMORY && x.out != NULL && pol_arena_full(x.out->arena)) err->rc = POL_TOO_LARGE;
    pol_columns_free(x.out);
    return NULL;
}
