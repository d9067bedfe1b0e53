/* The proof of a rewrite: the new text's tree is walked beside the old one's. Where a mark says that something was changed, the new tree must have just
 * that; everywhere else it must be the same. So a change that landed in a wrong place, in a comment or in a string, is found.
 *
 * The columns of our subselects are long, the same in every statement of a role, and between a SELECT and a FROM of ours. They are proven once, in
 * "SELECT <columns> FROM s.t AS _gh", and the proof of a statement has "_gh.*" in their place. PostgreSQL's parser is LALR(1), and goes by the state on top of
 * its stack and the next tokens alone. Its state behind SELECT is the same wherever a SELECT stands (rules with "SELECT ." are of simple_select only, and equal
 * cores are one state), the columns' tokens are those of the text where they stood alone (a blank is before and behind them, the lexer is outside of strings and
 * comments there in both texts, and a text that ends inside of one does not parse), and FROM follows. So they become one target_list, as "_gh.*" does, and
 * what comes then is read in the same state: the tree of the text that runs is the proven one with these columns in it. t/fuzz/fuzz_rewrite.c and
 * test_rewrite_pg.c parse the whole as well. */
#include "policy/rewrite_int.h"

#include <string.h>

struct cmp {
    const struct rw *x;
    const struct jt *a, *b; /* before, after */
};

static bool same(const struct cmp *c, uint32_t a, uint32_t b);
static bool same_members(const struct cmp *c, uint32_t a, uint32_t b, const char *const *not_a, const char *const *not_b);

static bool is_position(const struct jt *t, uint32_t i) {
    return jt_key_is(t, i, "location") || jt_key_is(t, i, "stmt_location") || jt_key_is(t, i, "stmt_len");
}

static bool same_text(const struct cmp *c, uint32_t a, uint32_t b) {
    const struct jt_value *p = &c->a->v[a], *q = &c->b->v[b];
    return p->next == q->next && memcmp(c->a->json + p->text, c->b->json + q->text, p->next) == 0;
}

/* The fields of the node at i when it is of this type; 0 else. */
static uint32_t node_is(const struct jt *t, uint32_t i, const char *type) {
    if (i == 0 || t->v[i].type != JT_OBJECT || t->v[i].next == i + 1) return 0;
    return jt_key_is(t, i + 1, type) ? i + 1 : 0;
}

static uint32_t only_item(const struct jt *t, uint32_t list) {
    if (list == 0 || t->v[list].type != JT_ARRAY || t->v[list].next == list + 1) return 0;
    return jt_skip(t, list + 1) == jt_end(t, list) ? list + 1 : 0;
}

/* Plain names hold no escapes but for quotes and backslashes; what does, is compared by its escaped form. */
static bool text_is(const struct cmp *c, uint32_t i, const char *s) {
    char *text = i != 0 ? jt_string(c->b, i, c->x->arena) : NULL;
    return text != NULL && strcmp(text, s) == 0;
}

static bool has_name(const struct cmp *c, uint32_t range_var, const struct pol_cat_relation *rel, const char *alias) {
    uint32_t a = jt_get(c->b, range_var, "alias");
    return text_is(c, jt_get(c->b, range_var, "schemaname"), rel->schema) && text_is(c, jt_get(c->b, range_var, "relname"), rel->name) &&
           a != 0 && text_is(c, jt_get(c->b, a, "aliasname"), alias);
}

/* --- the columns of a subselect by themselves --- */

/* Every name in it is a column of _gh, and it holds no query. */
static bool reads_own_row(const struct cmp *c, uint32_t from, uint32_t to) {
    const struct jt *t = c->b;
    for (uint32_t i = from; i < to; i++) {
        if (t->v[i].type != JT_OBJECT) continue;
        if (jt_key_is(t, i, "SubLink") || jt_key_is(t, i, "SelectStmt") || jt_key_is(t, i, "RangeVar")) return false;
        if (!jt_key_is(t, i, "ColumnRef")) continue;
        uint32_t fields = jt_get(t, i, "fields"), first = fields != 0 ? node_is(t, fields + 1, "String") : 0;
        uint32_t second = first != 0 ? jt_skip(t, fields + 1) : 0;
        if (first == 0 || !text_is(c, jt_get(t, first, "sval"), "_gh") || second >= jt_end(t, fields) ||
            jt_skip(t, second) != jt_end(t, fields) || node_is(t, second, "String") == 0)
            return false;
    }
    return true;
}

/* The item is called as the column is: by AS, or because it is that column of _gh. */
static bool is_called(const struct cmp *c, uint32_t item, const char *name, bool plain) {
    uint32_t target = node_is(c->b, item, "ResTarget"), ref, fields;
    if (target == 0 || jt_get(c->b, target, "indirection") != 0) return false;
    if (!plain) return text_is(c, jt_get(c->b, target, "name"), name);
    ref = jt_get(c->b, target, "name") == 0 ? node_is(c->b, jt_get(c->b, target, "val"), "ColumnRef") : 0;
    fields = ref != 0 ? jt_get(c->b, ref, "fields") : 0;
    uint32_t last = fields != 0 ? node_is(c->b, jt_skip(c->b, fields + 1), "String") : 0;
    return last != 0 && text_is(c, jt_get(c->b, last, "sval"), name);
}

static bool is_row(const struct cmp *c, uint32_t list, const struct pol_view *v) {
    uint32_t item = list + 1, end = list != 0 ? jt_end(c->b, list) : 0;
    bool plain = !rw_is_opaque(v);
    for (size_t i = 0; i < v->relation->ncolumns; i++, item = jt_skip(c->b, item))
        if (item >= end || !is_called(c, item, v->relation->columns[i].name, plain && v->columns[i].visibility == POL_VISIBLE))
            return false;
    return item == end && reads_own_row(c, list, end);
}

/* --- what was put there --- */

/* _gh.*, and nothing else: the place of columns that were proven by themselves. */
static bool is_proven_row(const struct cmp *c, uint32_t select) {
    uint32_t target = node_is(c->b, only_item(c->b, jt_get(c->b, select, "targetList")), "ResTarget");
    uint32_t ref = target != 0 && jt_get(c->b, target, "name") == 0 ? node_is(c->b, jt_get(c->b, target, "val"), "ColumnRef") : 0;
    uint32_t fields = ref != 0 ? jt_get(c->b, ref, "fields") : 0;
    if (fields == 0 || c->b->v[fields].type != JT_ARRAY || c->b->v[fields].next == fields + 1) return false;
    uint32_t name = node_is(c->b, fields + 1, "String"), star = jt_skip(c->b, fields + 1);
    return name != 0 && text_is(c, jt_get(c->b, name, "sval"), "_gh") && star < jt_end(c->b, fields) &&
           node_is(c->b, star, "A_Star") != 0 && jt_skip(c->b, star) == jt_end(c->b, fields);
}

/* (SELECT .. FROM s.t AS _gh ..): ours, because no text of a client may say _gh. */
static bool our_subselect(const struct cmp *c, uint32_t select, const struct pol_view *v) {
    uint32_t from = only_item(c->b, jt_get(c->b, select, "fromClause")), sample = node_is(c->b, from, "RangeTableSample");
    uint32_t rel = node_is(c->b, sample != 0 ? jt_get(c->b, sample, "relation") : from, "RangeVar");
    if (rel == 0 || !has_name(c, rel, v->relation, "_gh")) return false;
    return (jt_get(c->b, select, "whereClause") != 0) == (v->filter != NULL) &&
           (jt_get(c->b, select, "limitOffset") != 0) == (RW_FENCE && v->filter != NULL) &&
           (c->x->whole ? is_row(c, jt_get(c->b, select, "targetList"), v) : is_proven_row(c, select));
}

static bool from_item(const struct cmp *c, uint32_t a, uint32_t b, const struct rw_mark *m) {
    uint32_t range = node_is(c->b, b, "RangeSubselect"), alias, before = a + 1;
    if (range == 0 || (alias = jt_get(c->b, range, "alias")) == 0 || !text_is(c, jt_get(c->b, alias, "aliasname"), m->alias)) return false;
    uint32_t inner = jt_get(c->a, before, "relation"); /* a RangeTableSample's */
    if (inner != 0) before = node_is(c->a, inner, "RangeVar");
    if (before == 0) return false;
    uint32_t names = jt_get(c->a, before, "alias");
    names = names != 0 ? jt_get(c->a, names, "colnames") : 0;
    uint32_t new_names = jt_get(c->b, alias, "colnames");
    if ((names != 0) != (new_names != 0) || (names != 0 && !same(c, names, new_names))) return false;
    uint32_t select = node_is(c->b, jt_get(c->b, range, "subquery"), "SelectStmt");
    return select != 0 && our_subselect(c, select, m->view);
}

/* A subselect's SELECT of this kind whose FROM begins with (SELECT ..) AS "alias" and has n items; 0 else. */
static uint32_t over_row(const struct cmp *c, uint32_t b, const char *kind, const char *alias, size_t n) {
    uint32_t link = node_is(c->b, b, "SubLink"), select, from, range, a;
    if (link == 0 || !jt_str_is(c->b, jt_get(c->b, link, "subLinkType"), kind)) return 0;
    if ((select = node_is(c->b, jt_get(c->b, link, "subselect"), "SelectStmt")) == 0 || (from = jt_get(c->b, select, "fromClause")) == 0)
        return 0;
    for (uint32_t i = from + 1; i < jt_end(c->b, from); i = jt_skip(c->b, i)) n--;
    range = n == 0 ? node_is(c->b, from + 1, "RangeSubselect") : 0;
    if (range == 0 || (a = jt_get(c->b, range, "alias")) == 0 || !text_is(c, jt_get(c->b, a, "aliasname"), alias)) return 0;
    return select;
}

/* (SELECT (E) FROM (SELECT ..) AS "alias"): gives E, or 0. */
static uint32_t unwrap(const struct cmp *c, uint32_t b, const char *alias) {
    uint32_t select = over_row(c, b, "EXPR_SUBLINK", alias, 1);
    uint32_t target = select != 0 && jt_get(c->b, select, "whereClause") == 0
                          ? node_is(c->b, only_item(c->b, jt_get(c->b, select, "targetList")), "ResTarget")
                          : 0;
    return target != 0 ? jt_get(c->b, target, "val") : 0;
}

/* (SELECT _ghv.v FROM (SELECT ..) AS "alias", LATERAL (VALUES ((E))) AS _ghv(v)): gives E, or 0. */
static uint32_t unwrap_value(const struct cmp *c, uint32_t b, const char *alias) {
    uint32_t select = over_row(c, b, "EXPR_SUBLINK", alias, 2), from, range, values, row;
    if (select == 0 || jt_get(c->b, select, "whereClause") != 0) return 0;
    from = jt_get(c->b, select, "fromClause");
    range = node_is(c->b, jt_skip(c->b, from + 1), "RangeSubselect");
    if (range == 0 || !jt_bool(c->b, jt_get(c->b, range, "lateral"))) return 0;
    values = node_is(c->b, jt_get(c->b, range, "subquery"), "SelectStmt");
    row = values != 0 ? node_is(c->b, only_item(c->b, jt_get(c->b, values, "valuesLists")), "List") : 0;
    return row != 0 ? only_item(c->b, jt_get(c->b, row, "items")) : 0;
}

static bool is_same_node(const struct cmp *c, uint32_t a, uint32_t b) {
    return b != 0 && c->a->v[a].type == JT_OBJECT && c->b->v[b].type == JT_OBJECT && same_members(c, a, b, NULL, NULL);
}

static bool where(const struct cmp *c, uint32_t a, uint32_t b, const struct rw_mark *m) {
    if (m->n > 0) { /* AND our conjuncts */
        uint32_t and = node_is(c->b, b, "BoolExpr"), args = and != 0 ? jt_get(c->b, and, "args") : 0;
        size_t n = 0;
        for (uint32_t i = args + 1; args != 0 && i < jt_end(c->b, args); i = jt_skip(c->b, i)) n++;
        if (and == 0 || !jt_str_is(c->b, jt_get(c->b, and, "boolop"), "AND_EXPR") || n != m->n + 1) return false;
        b = args + 1;
    }
    if (m->fenced) {
        uint32_t cas = node_is(c->b, b, "CaseExpr"),
                 when = cas != 0 ? node_is(c->b, only_item(c->b, jt_get(c->b, cas, "args")), "CaseWhen") : 0;
        if (when == 0 || jt_get(c->b, cas, "arg") != 0 || node_is(c->b, jt_get(c->b, cas, "defresult"), "A_Const") == 0) return false;
        b = jt_get(c->b, when, "result");
    }
    uint32_t select = over_row(c, b, "EXISTS_SUBLINK", m->alias, 1);
    return is_same_node(c, a, select != 0 ? jt_get(c->b, select, "whereClause") : 0);
}

/* COPY (SELECT .. FROM (SELECT .. FROM ONLY s.t AS _gh) AS _ghc) TO. */
static bool copy(const struct cmp *c, uint32_t b, const struct rw_mark *m) {
    uint32_t select = node_is(c->b, jt_get(c->b, b, "query"), "SelectStmt");
    uint32_t range = select != 0 ? node_is(c->b, only_item(c->b, jt_get(c->b, select, "fromClause")), "RangeSubselect") : 0;
    uint32_t inner = range != 0 ? node_is(c->b, jt_get(c->b, range, "subquery"), "SelectStmt") : 0;
    uint32_t rel = inner != 0 ? node_is(c->b, only_item(c->b, jt_get(c->b, inner, "fromClause")), "RangeVar") : 0;
    return rel != 0 && has_name(c, rel, m->view->relation, "_gh") &&
           (jt_get(c->b, inner, "whereClause") != 0) == (m->view->filter != NULL) && jt_get(c->b, b, "relation") == 0 &&
           jt_get(c->b, b, "attlist") == 0;
}

/* --- the walk --- */

/* Lists of one length, but for the items that a mark says became more. */
static bool same_list(const struct cmp *c, uint32_t a, uint32_t b) {
    uint32_t i = a + 1, k = b + 1;
    for (; i < jt_end(c->a, a); i = jt_skip(c->a, i)) {
        const struct rw_mark *m = rw_marked(c->x, i);
        size_t more = m == NULL ? 0 : m->kind == RW_M_GROUP ? m->n : 0;
        if (m != NULL && m->kind == RW_M_STAR) more = m->n;
        for (; more > 0; more--, k = jt_skip(c->b, k))
            if (k >= jt_end(c->b, b)) return false;
        if (m != NULL && m->kind == RW_M_STAR) continue;
        if (k >= jt_end(c->b, b) || !same(c, i, k)) return false;
        k = jt_skip(c->b, k);
    }
    return k == jt_end(c->b, b);
}

/* The next member that is no position and, in the new tree, not the one that a mark adds. */
static uint32_t next_member(const struct jt *t, uint32_t i, uint32_t end, const char *const *without) {
    for (; i < end; i = jt_skip(t, i)) {
        bool skip = is_position(t, i);
        for (size_t k = 0; without != NULL && without[k] != NULL; k++) skip = skip || jt_key_is(t, i, without[k]);
        if (!skip) return i;
    }
    return end;
}

static bool same_members(const struct cmp *c, uint32_t a, uint32_t b, const char *const *not_a, const char *const *not_b) {
    uint32_t aend = jt_end(c->a, a), bend = jt_end(c->b, b), i = a + 1, k = b + 1;
    for (;;) {
        i = next_member(c->a, i, aend, not_a);
        k = next_member(c->b, k, bend, not_b);
        if (i == aend || k == bend) return i == aend && k == bend;
        const struct jt_value *p = &c->a->v[i], *q = &c->b->v[k];
        if (p->keylen != q->keylen || memcmp(c->a->json + p->key, c->b->json + q->key, p->keylen) != 0 || !same(c, i, k)) return false;
        i = jt_skip(c->a, i);
        k = jt_skip(c->b, k);
    }
}

/* schema.t.c without its schema: the last parts are the same. */
static bool shorter_name(const struct cmp *c, uint32_t a, uint32_t b) {
    uint32_t la = jt_get(c->a, a, "fields"), lb = jt_get(c->b, b, "fields"), i = la + 1, k = lb + 1;
    size_t na = 0, nb = 0;
    for (uint32_t j = la + 1; la != 0 && j < jt_end(c->a, la); j = jt_skip(c->a, j)) na++;
    for (uint32_t j = lb + 1; lb != 0 && j < jt_end(c->b, lb); j = jt_skip(c->b, j)) nb++;
    if (nb != 2 || na < 3) return false;
    for (; na > nb; na--) i = jt_skip(c->a, i);
    for (; i < jt_end(c->a, la); i = jt_skip(c->a, i), k = jt_skip(c->b, k))
        if (!same(c, i, k)) return false;
    return true;
}

static bool marked(const struct cmp *c, uint32_t a, uint32_t b, const struct rw_mark *m, bool *done) {
    static const char *const no_where[] = {"whereClause", NULL}, *const no_table[] = {"relation", "attlist", NULL},
                             *const no_query[] = {"query", NULL};
    *done = true;
    switch (m->kind) {
    case RW_M_TARGET: return has_name(c, b, m->view->relation, m->alias) && (jt_get(c->a, a, "inh") != 0) == (jt_get(c->b, b, "inh") != 0);
    case RW_M_WRAP: return is_same_node(c, a, unwrap(c, b, m->alias));
    case RW_M_VALUE: return is_same_node(c, a, unwrap_value(c, b, m->alias));
    case RW_M_WHERE: return where(c, a, b, m);
    case RW_M_FILTER:
        return jt_get(c->a, a, "whereClause") == 0 && jt_get(c->b, b, "whereClause") != 0 && same_members(c, a, b, NULL, no_where);
    case RW_M_NAME: return shorter_name(c, a, b);
    case RW_M_COPY: return copy(c, b, m) && same_members(c, a, b, no_table, no_query);
    default: *done = false; return true;
    }
}

static bool same(const struct cmp *c, uint32_t a, uint32_t b) {
    const struct jt_value *p = &c->a->v[a], *q = &c->b->v[b];
    const struct rw_mark *m = rw_marked(c->x, a);
    bool done = false;
    if (m != NULL) {
        bool ok = marked(c, a, b, m, &done);
        if (done) return ok;
    }
    if (p->type == JT_OBJECT && q->type == JT_OBJECT && p->next > a + 1) {
        const struct rw_mark *below = rw_marked(c->x, a + 1);
        if (below != NULL && below->kind == RW_M_FROM) return from_item(c, a, b, below);
    }
    if (p->type != q->type) return false;
    switch (p->type) {
    case JT_OBJECT: return same_members(c, a, b, NULL, NULL);
    case JT_ARRAY: return same_list(c, a, b);
    case JT_STRING:
    case JT_NUMBER: return same_text(c, a, b);
    default: return true;
    }
}

bool rw_compare(const struct rw *x, const struct jt *after) {
    struct cmp c = {x, x->t, after};
    return same(&c, 0, 0);
}

bool rw_row_is_right(struct rw *x, const struct pol_view *v, const struct jt *t) {
    struct cmp c = {x, t, t};
    uint32_t stmt = only_item(t, jt_get(t, 0, "stmts")), select = stmt != 0 ? node_is(t, jt_get(t, stmt, "stmt"), "SelectStmt") : 0;
    uint32_t list = select != 0 ? jt_get(t, select, "targetList") : 0, from = select != 0 ? jt_get(t, select, "fromClause") : 0;
    uint32_t rel = node_is(t, only_item(t, from), "RangeVar");
    if (list == 0 || rel == 0 || !has_name(&c, rel, v->relation, "_gh")) return false;
    for (uint32_t m = select + 1; m < jt_end(t, select); m = jt_skip(t, m))
        if (m != list && m != from && t->v[m].type <= JT_ARRAY) return false;
    return is_row(&c, list, v);
}
