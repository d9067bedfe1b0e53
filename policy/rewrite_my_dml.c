/* INSERT, UPDATE and DELETE of a table of which the role sees less than all. No subselect can stand there, and neither MariaDB nor older MySQL lets one see the row at hand; so each
 * column that is masked becomes its mask, in parentheses, and the row filter stands in front of the condition. That needs names to be resolved, which is why it is strict:
 *
 * - A name without a table's must be a column of the target that the catalog knows, or, in a subquery, of a table there. A masked or hidden one must not stand
 *   in a subquery without its table's name, whatever there is inside: what is inside may change before the server reads the text.
 * - Whatever else could mean the target's row (USING, NATURAL, DEFAULT(column), a table of the same name) is refused.
 *
 * CASE is the fence: WHERE CASE WHEN filter THEN (condition) IS TRUE ELSE FALSE END. Conditions that tell nothing of the rows that they are tried on need none. */
#include "policy/expr_my.h"
#include "policy/my_types.h"
#include "policy/rewrite_my_int.h"

#include <string.h>
#include <strings.h>

/* --- the targets --- */

static uint32_t last_part(const struct my_node *n) { return n->flags - 1u; }

/* Whether the SET at node may be about this table. */
static bool sets_may_be(struct ry *x, uint32_t sets, const char *alias, const struct pol_view *v, bool *may) {
    for (uint32_t c = ry_node(x, sets)->first; c != 0 && !*may; c = ry_node(x, c)->next) {
        const struct my_node *col = ry_node(x, ry_node(x, c)->first);
        const char *name = fm_part(&x->fm, col->tok, last_part(col), false);
        const char *table = col->flags > 1 ? fm_part(&x->fm, col->tok, last_part(col) - 1, false) : NULL;
        if (name == NULL || (col->flags > 1 && table == NULL)) return ry_not_understood(x);
        if (!ry_work(x, v->relation->ncolumns)) return false;
        for (size_t i = 0; table == NULL && i < v->relation->ncolumns; i++) *may = *may || ry_may_be(v->relation->columns[i].name, name);
        *may = *may || (table != NULL && ry_may_be(table, alias));
    }
    return true;
}

static bool is_single(const struct ry *x, uint32_t from) {
    uint32_t first = ry_node(x, from)->first;
    return first != 0 && ry_node(x, first)->type == MN_TABLE && ry_node(x, first)->next == 0;
}

static bool tables_of(struct ry *x, uint32_t stmt, uint32_t from, uint32_t sets) {
    for (uint32_t c = ry_node(x, from)->first; c != 0; c = ry_node(x, c)->next) {
        const struct pol_view *v;
        if (ry_node(x, c)->type == MN_FROM && !tables_of(x, stmt, c, sets)) return false;
        if (ry_node(x, c)->type != MN_TABLE) continue;
        if (!ry_view(x, c, &v)) return false;
        if (v == NULL) continue;
        const char *alias = ry_called(x, c);
        bool may = (ry_node(x, c)->flags & FM_DELETE) != 0;
        if (alias == NULL || (sets != 0 && !sets_may_be(x, sets, alias, v, &may))) return false;
        x->is_target[c] = may;
    }
    return true;
}

bool ry_find_targets(struct ry *x, uint32_t stmt) {
    enum my_stmt_kind kind = (enum my_stmt_kind)ry_node(x, stmt)->word;
    const struct pol_view *v;
    if (kind != MS_INSERT && kind != MS_UPDATE && kind != MS_DELETE) return true;
    uint32_t from = ry_child(x, stmt, MN_USING_TABLES), table = ry_child(x, stmt, MN_TABLE);
    if (kind == MS_UPDATE && is_single(x, from)) table = ry_node(x, from)->first;
    if (from != 0 && !tables_of(x, stmt, from, kind == MS_UPDATE ? ry_child(x, stmt, MN_SETS) : 0)) return false;
    if (table == 0) return true;
    if (!ry_view(x, table, &v)) return false;
    x->is_target[table] = v != NULL;
    return true;
}

static bool add_target(struct ry *x, uint32_t node) {
    struct ry_target *t = &x->targets[x->ntargets];
    if (!ry_view(x, node, &t->view) || (t->alias = ry_called(x, node)) == NULL || (t->quoted = ry_quoted(x, t->alias)) == NULL)
        return false;
    t->node = node;
    x->dealt[node] = true;
    x->ntargets++;
    if (!ry_finds_by_names(x, t->view, node)) return false;
    for (uint32_t c = ry_node(x, node)->first; c != 0; c = ry_node(x, c)->next)
        if (ry_node(x, c)->type != MN_ALIAS)
            return ry_refuse(x, t->view, ry_node(x, c)->tok, "Change the rows by a WHERE.",
                             "periods and history of %.64s.%.64s cannot be changed: you do not see all of it", t->view->relation->schema,
                             t->view->relation->name);
    return true;
}

static bool add_targets(struct ry *x, uint32_t from) {
    for (uint32_t c = ry_node(x, from)->first; c != 0; c = ry_node(x, c)->next) {
        if (ry_node(x, c)->type == MN_FROM && !add_targets(x, c)) return false;
        if (ry_node(x, c)->type != MN_TABLE || !x->is_target[c]) continue;
        if (x->ntargets == RY_TARGETS) return ry_too_large(x);
        if (!add_target(x, c)) return false;
    }
    return true;
}

/* --- columns --- */

static const struct pol_cat_relation *relation_of(struct ry *x, uint32_t table) {
    const struct fm_meaning *m = &x->meanings[table];
    return m->cte || m->name == NULL ? NULL : pol_catalog_relation(x->r->catalog, m->schema, m->name);
}

/* The column that a name may be; NULL: none. Of several the least visible. */
static const struct pol_view_column *column_of(const struct pol_view *v, const char *name, size_t *at) {
    const struct pol_view_column *found = NULL;
    for (size_t i = 0; i < v->relation->ncolumns; i++)
        if (ry_may_be(v->relation->columns[i].name, name) && (found == NULL || v->columns[i].visibility > found->visibility))
            found = &v->columns[ *at = i];
    return found;
}

static bool has_column(struct ry *x, uint32_t from, const char *name) {
    for (uint32_t c = ry_node(x, from)->first; c != 0; c = ry_node(x, c)->next) {
        enum my_node_type type = (enum my_node_type)ry_node(x, c)->type;
        if (type == MN_FROM && has_column(x, c, name)) return true;
        const struct pol_cat_relation *rel = type == MN_TABLE ? relation_of(x, c) : NULL;
        if (rel != NULL && pol_find_column(rel, name, true) != NULL) return true;
    }
    return false;
}

static bool is_label(struct ry *x, uint32_t select, const char *name) {
    uint32_t items = ry_child(x, select, MN_ITEMS);
    for (uint32_t c = items != 0 ? ry_node(x, items)->first : 0; c != 0; c = ry_node(x, c)->next) {
        const char *label = ry_node(x, c)->type == MN_ALIAS ? fm_name(&x->fm, ry_node(x, c)->tok, false) : "";
        if (label != NULL && fm_same(label, name)) return true;
    }
    return false;
}

/* In a subquery: the name is that of a column of a table there, or a label of its own. */
static bool is_known_inside(struct ry *x, const char *name) {
    for (const struct ry_scope *s = x->scopes; s != NULL; s = s->outer) {
        uint32_t from = s->select != 0 ? ry_child(x, s->select, MN_FROM) : 0;
        if (!ry_work(x, 64)) return false;
        if ((from != 0 && has_column(x, from, name)) || (s->select != 0 && is_label(x, s->select, name))) return true;
    }
    return false;
}

static bool is_alone(const struct ry *x, const struct ry_target *t) {
    size_t n = 0;
    for (size_t i = 0; i < x->nitems; i++) n += ry_may_be(x->items[i].name, t->alias);
    return n <= 1;
}

static bool hidden(struct ry *x, const struct ry_target *t, size_t at, uint32_t tok) {
    return ry_refuse_column(x, t->view, at, tok, RY_HIDDEN);
}

static bool put_mask(struct ry *x, const struct ry_target *t, size_t at, uint32_t node) {
    const struct my_node *n = ry_node(x, node);
    struct buf b = BUF_INIT(1u << 20);
    buf_str(&b, " (");
    pol_template(&b, t->view->columns[at].sql, t->quoted);
    buf_str(&b, ") ");
    const char *text = ry_keep(x, &b);
    x->marks[node] = RY_MASK;
    return text != NULL && ry_replace(x, n->tok, n->end, text);
}

static bool unknown(struct ry *x, uint32_t tok, const char *name) {
    return ry_refuse(x, x->targets[0].view, tok, "Write it with its table's name, as in orders.status.",
                     "which table the column %.64s is of is not certain, in a statement that changes what is partly hidden from you", name);
}

bool ry_target_column(struct ry *x, uint32_t node, bool *done) {
    const struct my_node *n = ry_node(x, node);
    const char *name = fm_part(&x->fm, n->tok, last_part(n), false);
    const char *table = n->flags > 1 ? fm_part(&x->fm, n->tok, last_part(n) - 1, false) : NULL;
    const struct ry_target *of = NULL;
    bool known = false;
    size_t at = 0;
    if (name == NULL || (n->flags > 1 && table == NULL)) return ry_not_understood(x);
    if (!ry_work(x, 100 * x->ntargets)) return false;
    for (size_t i = 0; i < x->ntargets; i++) {
        const struct ry_target *t = &x->targets[i];
        if (table != NULL && !ry_may_be(table, t->alias)) continue;
        size_t k;
        const struct pol_view_column *c = column_of(t->view, name, &k);
        if ((c == NULL && table != NULL) || (table != NULL && !ry_is(table, t->alias))) return unknown(x, n->tok, name);
        if (c == NULL) continue;
        known = true;
        if (c->visibility == POL_VISIBLE) continue;
        if (of != NULL || !ry_is(t->view->relation->columns[k].name, name)) return unknown(x, n->tok, name);
        of = t;
        at = k;
    }
    if (of == NULL) {
        bool elsewhere = table != NULL || known || is_known_inside(x, name) || (x->from != 0 && has_column(x, x->from, name));
        return !x->refused && (elsewhere || unknown(x, n->tok, name));
    }
    *done = true;
    if (of->view->columns[at].visibility == POL_HIDDEN) return hidden(x, of, at, n->tok);
    if ((x->subqueries > 0 && table == NULL) || !is_alone(x, of)) return unknown(x, n->tok, name);
    return put_mask(x, of, at, node);
}

bool ry_target_using(struct ry *x, uint32_t node) {
    for (uint32_t c = ry_node(x, node)->first; c != 0; c = ry_node(x, c)->next) {
        const char *name = fm_part(&x->fm, ry_node(x, c)->tok, 0, false);
        if (name == NULL) return ry_not_understood(x);
        for (size_t i = 0; i < x->ntargets; i++) {
            const struct pol_view *v = x->targets[i].view;
            size_t at;
            const struct pol_view_column *col = column_of(v, name, &at);
            if (col != NULL && col->visibility != POL_VISIBLE)
                return ry_refuse(x, v, ry_node(x, c)->tok, "Join with ON, on columns that are visible.",
                                 "%.64s.%.64s cannot be joined by USING on the column %.64s, which is %s for you", v->relation->schema,
                                 v->relation->name, name, col->visibility == POL_HIDDEN ? "hidden" : "masked");
        }
    }
    return true;
}

/* How much a word counts in MATCH .. AGAINST follows from all rows that have it. */
bool ry_target_match(struct ry *x, uint32_t node) {
    for (size_t i = 0; i < x->ntargets; i++) {
        const struct pol_view *v = x->targets[i].view;
        if (v->filter != NULL)
            return ry_refuse(x, v, ry_node(x, node)->tok, "Use LIKE, or take the keys of the rows that are meant.",
                             "MATCH .. AGAINST is not possible in a statement that changes %.64s.%.64s: you do not see all of its rows",
                             v->relation->schema, v->relation->name);
    }
    return true;
}

/* --- what is written --- */

static bool may_write(struct ry *x, const struct ry_target *t, size_t at, uint32_t tok) {
    return t->view->columns[at].writable || ry_refuse_column(x, t->view, at, tok, "may not be written by you");
}

static bool may_write_name(struct ry *x, const struct ry_target *t, uint32_t column) {
    const struct my_node *n = ry_node(x, column);
    const char *name = fm_part(&x->fm, n->tok, last_part(n), false);
    if (name == NULL) return ry_not_understood(x);
    bool known = false;
    for (size_t i = 0; i < t->view->relation->ncolumns; i++) {
        if (!ry_may_be(t->view->relation->columns[i].name, name)) continue;
        known = true;
        if (!may_write(x, t, i, n->tok)) return false;
        if (!ry_is(t->view->relation->columns[i].name, name)) return unknown(x, n->tok, name);
    }
    return known || unknown(x, n->tok, name);
}

/* Whether a SET of that name is the target's. One that no table is known to have may be. */
static bool is_its(struct ry *x, const struct ry_target *t, const char *table, const char *name) {
    size_t at;
    if (table != NULL) return ry_may_be(table, t->alias);
    return column_of(t->view, name, &at) != NULL || x->from == 0 || !has_column(x, x->from, name);
}

/* SET a = x: the columns, then the values. */
static bool set_list(struct ry *x, uint32_t sets) {
    for (uint32_t c = ry_node(x, sets)->first; c != 0; c = ry_node(x, c)->next) {
        uint32_t column = ry_node(x, c)->first;
        const struct my_node *n = ry_node(x, column);
        const char *name = fm_part(&x->fm, n->tok, last_part(n), false);
        const char *table = n->flags > 1 ? fm_part(&x->fm, n->tok, last_part(n) - 1, false) : NULL;
        if (name == NULL || (n->flags > 1 && table == NULL)) return ry_not_understood(x);
        if (!ry_work(x, 100 * x->ntargets)) return false;
        for (size_t i = 0; i < x->ntargets; i++)
            if (is_its(x, &x->targets[i], table, name) && !may_write_name(x, &x->targets[i], column)) return false;
        if (!ry_walk(x, ry_node(x, column)->next)) return false;
    }
    return true;
}

static uint32_t count(const struct ry *x, uint32_t node) {
    uint32_t n = 0;
    for (uint32_t c = ry_node(x, node)->first; c != 0; c = ry_node(x, c)->next) n++;
    return n;
}

/* INSERT without a list fills the first columns, as many as VALUES has, or all. */
static bool may_insert(struct ry *x, const struct ry_target *t, uint32_t stmt) {
    uint32_t list = ry_child(x, stmt, MN_COLUMNS), source = ry_child(x, stmt, MN_QUERY);
    for (uint32_t c = list != 0 ? ry_node(x, list)->first : 0; c != 0; c = ry_node(x, c)->next)
        if (!may_write_name(x, t, c)) return false;
    if ((list != 0 && ry_node(x, list)->first != 0) || source == 0) return true;
    uint32_t values = ry_child(x, source, MN_VALUES);
    size_t n = values != 0 && ry_node(x, values)->first != 0 ? count(x, ry_node(x, values)->first) : SIZE_MAX;
    for (size_t i = 0; i < t->view->relation->ncolumns && i < n; i++)
        if (!may_write(x, t, i, ry_node(x, t->node)->tok)) return false;
    return true;
}

/* The row that was there is deleted with what its writer may not write. */
static bool may_replace(struct ry *x, const struct ry_target *t) {
    for (size_t i = 0; i < t->view->relation->ncolumns; i++)
        if (!t->view->columns[i].writable)
            return ry_refuse(x, t->view, ry_node(x, t->node)->tok, "Use INSERT .. ON DUPLICATE KEY UPDATE.",
                             "REPLACE is not possible on %.64s.%.64s: the column %.64s, which you may not write, would be lost",
                             t->view->relation->schema, t->view->relation->name, t->view->relation->columns[i].name);
    return true;
}

/* --- RETURNING --- */

static bool returning_star(struct ry *x, const struct ry_target *t, uint32_t node) {
    const struct my_node *n = ry_node(x, node);
    struct buf b = BUF_INIT(RW_MAX_TEXT);
    buf_u8(&b, ' ');
    uint32_t columns = ry_put_row(x, &b, t->view, t->quoted, true);
    buf_u8(&b, ' ');
    const char *text = ry_keep(x, &b);
    x->marks[node] = RY_STAR;
    x->more[node] = columns;
    return text != NULL && ry_replace(x, n->tok, n->end, text);
}

static bool returning(struct ry *x, uint32_t stmt) {
    uint32_t list = ry_child(x, stmt, MN_RETURNING);
    if (list == 0) return true;
    for (uint32_t c = ry_node(x, list)->first; c != 0 && x->ntargets > 0; c = ry_node(x, c)->next) {
        if (ry_node(x, c)->type != MN_STAR) continue;
        if (x->ntargets > 1 || !is_alone(x, &x->targets[0])) return unknown(x, ry_node(x, c)->tok, "*");
        if (!returning_star(x, &x->targets[0], c)) return false;
    }
    x->in_returning = true;
    bool ok = ry_items(x, list);
    x->in_returning = false;
    return ok;
}

/* --- conditions --- */

/* -?digits[.digits], and not more of them than a DECIMAL has */
static bool is_plain_number(const char *s, size_t n) {
    size_t i = n > 0 && s[0] == '-', digits = 0, dots = 0;
    for (; i < n; i++)
        if (s[i] >= '0' && s[i] <= '9')
            digits++;
        else if (s[i] != '.' || digits == 0 || i + 1 == n || dots++ > 0)
            return false;
    return digits > 0 && digits <= 60;
}

/* A constant of the column's own kind, which is compared without a warning. */
static bool fits(struct ry *x, uint32_t node, const struct my_type *type) {
    const struct my_node *n = ry_node(x, node);
    const struct my_token *t = ry_token(x, n->end - 1);
    const char *s = x->tree.sql + t->at + 1;
    size_t len = t->end - t->at;
    bool string = t->kind == MY_T_STRING && len >= 2 && !(t->flags & MY_TF_ESCAPED);
    if (type->class != MY_C_DATE && type->class != MY_C_DATETIME)
        return n->end == n->tok + 1 && (t->kind == MY_T_NUMBER || (string && is_plain_number(s, len - 2)));
    char time[32] = "";
    bool typed = n->end == n->tok + 2 && (ry_is_word(x, n->tok, W_DATE) || ry_is_word(x, n->tok, W_TIMESTAMP));
    if (!string || len - 2 >= sizeof time || memchr(s, '\0', len - 2) != NULL || (n->end != n->tok + 1 && !typed)) return false;
    memcpy(time, s, len - 2);
    return my_is_time(time, true) || my_is_time(time, false);
}

static bool is_constant(struct ry *x, uint32_t node, const struct my_type *type) {
    const struct my_node *n = ry_node(x, node);
    enum my_token_kind kind = (enum my_token_kind)ry_token(x, n->tok)->kind;
    bool text = my_is_text(type);
    if (n->type == MN_LITERAL && text) return (kind == MY_T_STRING || kind == MY_T_NSTRING) && n->end == n->tok + 1;
    if (n->type == MN_LITERAL) return !x->strict || fits(x, node, type);
    return n->type == MN_PARAM && !text;
}

/* A visible column of the target. In a SELECT numbers and times may be compared with anything: warnings are counted for nobody. Texts with texts alone. */
static bool is_plain(struct ry *x, const struct pol_view *v, uint32_t node, struct my_type *type) {
    const struct my_node *n = ry_node(x, node);
    size_t at;
    const char *name = n->type == MN_COLUMN ? fm_part(&x->fm, n->tok, last_part(n), false) : NULL;
    const struct pol_view_column *c = name != NULL ? column_of(v, name, &at) : NULL;
    if (c == NULL || c->visibility != POL_VISIBLE || !ry_is(v->relation->columns[at].name, name) ||
        !my_type_of(x->r->catalog, &v->relation->columns[at], type))
        return false;
    return my_is_text(type) || type->class == MY_C_INT || type->class == MY_C_DECIMAL || type->class == MY_C_FLOAT ||
           type->class == MY_C_DATE || type->class == MY_C_DATETIME || type->class == MY_C_YEAR;
}

/* What tells nothing of a row that it is tried on: column op constants, joined by AND and OR, in any parentheses. */
static bool is_safe(struct ry *x, const struct pol_view *v, uint32_t node) {
    const struct my_node *n = ry_node(x, node);
    struct my_type type;
    if (n->type == MN_ROW) return n->first != 0 && ry_node(x, n->first)->next == 0 && is_safe(x, v, n->first);
    if (n->type != MN_OP || n->first == 0) return false;
    uint32_t first = n->first, op = ry_node(x, first)->end, second = ry_node(x, first)->next;
    if (second == 0) /* column IS [NOT] NULL */
        return ry_is_word(x, op, W_IS) && is_plain(x, v, first, &type) && ry_is_word(x, n->end - 1, W_NULL);
    if (ry_is_word(x, op, W_AND) || ry_is_word(x, op, W_OR)) {
        for (uint32_t c = first; c != 0; c = ry_node(x, c)->next)
            if (!is_safe(x, v, c)) return false;
        return true;
    }
    const struct my_token *o = ry_token(x, op);
    bool compares = o->kind == MY_T_OP && (o->word == '=' || o->word == '<' || o->word == '>' || o->word == MY_OP_LE ||
                                           o->word == MY_OP_GE || o->word == MY_OP_NE || o->word == MY_OP_NULLSAFE);
    bool between = ry_is_word(x, op, W_BETWEEN), in = ry_is_word(x, op, W_IN);
    uint32_t last = between ? ry_node(x, second)->next : second;
    if ((!compares && !between && !in) || last == 0 || ry_node(x, last)->next != 0) return false; /* a = b = c, and the like */
    if (ry_node(x, last)->end != n->end) return false;                                            /* a = b IS NOT TRUE */
    if (!is_plain(x, v, first, &type)) return false;
    if (in) {
        if (ry_node(x, second)->type != MN_ROW) return false;
        second = ry_node(x, second)->first;
    }
    for (uint32_t c = second; c != 0; c = ry_node(x, c)->next)
        if (!is_constant(x, c, &type)) return false;
    return true;
}

bool ry_is_conjunct(struct ry *x, const struct pol_view *v, uint32_t node, uint32_t *params) {
    const struct my_node *n = ry_node(x, node);
    if (n->type != MN_OP || ry_node(x, n->first)->type != MN_COLUMN || ry_node(x, n->first)->next == 0) return false;
    const struct my_token *o = ry_token(x, ry_node(x, n->first)->end);
    *params = 0;
    for (uint32_t i = n->tok; i < n->end; i++) {
        if (ry_is_word(x, i, W_NULL) || (ry_token(x, i)->flags & MY_TF_COMMENT)) return false;
        *params += ry_token(x, i)->kind == MY_T_PARAM;
    }
    if (x->strict && *params > 0) return false;
    return !(o->kind == MY_T_OP && o->word == MY_OP_NULLSAFE) && is_safe(x, v, node);
}

static const char *filled(struct ry *x, const char *before, const struct ry_target *t, const char *behind) {
    struct buf b = BUF_INIT(RW_MAX_TEXT);
    buf_str(&b, before);
    pol_template(&b, t->view->filter, t->quoted);
    buf_str(&b, behind);
    return ry_keep(x, &b);
}

/* The condition of a statement that changes one table, the filter in front of it. end: the token behind the place where a WHERE may stand. */
static bool filter_rows(struct ry *x, const struct ry_target *t, uint32_t where, uint32_t end) {
    if (where == 0) {
        const char *text = filled(x, " WHERE (", t, ") ");
        return text != NULL && ry_put_behind(x, end, text);
    }
    uint32_t cond = ry_node(x, where)->first;
    const struct my_node *n = ry_node(x, cond);
    bool safe = is_safe(x, t->view, cond);
    const char *before = filled(x, safe ? "(" : " CASE WHEN (", t, safe ? ") AND (" : ") THEN (");
    x->marks[where] = RY_WHERE;
    return before != NULL && ry_around(x, n->tok, n->end, before, safe ? ")" : ") IS TRUE ELSE FALSE END ");
}

/* --- the statements --- */

static bool no_filter(struct ry *x, const char *what) {
    for (size_t i = 0; i < x->ntargets; i++) {
        const struct pol_view *v = x->targets[i].view;
        if (v->filter == NULL) continue;
        return ry_refuse(x, v, ry_node(x, x->targets[i].node)->tok,
                         "Use an UPDATE or DELETE of this table alone, with subqueries in its WHERE.",
                         "%s is not possible on %.64s.%.64s: you do not see all of its rows", what, v->relation->schema, v->relation->name);
    }
    return true;
}

/* NATURAL would compare what is hidden, and says no names. */
static bool no_natural(struct ry *x, uint32_t from) {
    for (uint32_t i = ry_node(x, from)->tok; i < ry_node(x, from)->end; i++)
        if (ry_is_word(x, i, W_NATURAL) || ry_is_word(x, i, W_PORTION))
            return ry_refuse(x, x->targets[0].view, i, "Join with ON.",
                             "NATURAL JOIN and FOR PORTION OF are not possible where what is partly hidden from you is changed");
    return true;
}

static bool walk_others(struct ry *x, uint32_t node) {
    for (uint32_t c = ry_node(x, node)->first; c != 0; c = ry_node(x, c)->next) {
        enum my_node_type type = (enum my_node_type)ry_node(x, c)->type;
        if (type != MN_SETS && type != MN_TARGET && type != MN_RETURNING && type != MN_COLUMNS && type != MN_ALIAS && !ry_walk(x, c))
            return false;
    }
    return true;
}

bool ry_update(struct ry *x, uint32_t node) {
    uint32_t from = ry_child(x, node, MN_USING_TABLES), sets = ry_child(x, node, MN_SETS), where = ry_child(x, node, MN_WHERE);
    if (!add_targets(x, from)) return false;
    x->from = from;
    if (x->ntargets > 0 && !no_natural(x, from)) return false;
    if (x->ntargets > 0 && !is_single(x, from) && !no_filter(x, "an UPDATE of several tables")) return false;
    if (!set_list(x, sets) || !walk_others(x, node) || !returning(x, node)) return false;
    if (x->ntargets == 0 || x->targets[0].view->filter == NULL) return true;
    if (where == 0) x->marks[node] = RY_FILTER;
    return filter_rows(x, &x->targets[0], where, ry_node(x, sets)->end);
}

bool ry_delete(struct ry *x, uint32_t node) {
    uint32_t from = ry_child(x, node, MN_USING_TABLES), where = ry_child(x, node, MN_WHERE), table = ry_child(x, node, MN_TABLE);
    if (table != 0 && x->is_target[table] && !add_target(x, table)) return false;
    if (from != 0 && !add_targets(x, from)) return false;
    x->from = from;
    if (from != 0 && x->ntargets > 0 && (!no_natural(x, from) || !no_filter(x, "a DELETE with several tables"))) return false;
    if (x->ntargets > 0 && ry_is_word(x, ry_node(x, node)->tok + 1, W_HISTORY)) return no_filter(x, "DELETE HISTORY");
    if (!walk_others(x, node) || !returning(x, node)) return false;
    if (x->ntargets == 0 || x->targets[0].view->filter == NULL) return true;
    if (where == 0) x->marks[node] = RY_FILTER;
    return filter_rows(x, &x->targets[0], where, ry_node(x, table)->end);
}

/* The source sees no target; ON DUPLICATE KEY UPDATE and RETURNING do. */
bool ry_insert(struct ry *x, uint32_t node) {
    uint32_t table = ry_child(x, node, MN_TABLE), source = ry_child(x, node, MN_QUERY), update = 0;
    bool first = source == 0; /* SET in the place of a source */
    if (source != 0 && !ry_walk(x, source)) return false;
    if (x->is_target[table] && !add_target(x, table)) return false;
    const struct ry_target *t = x->ntargets > 0 ? &x->targets[0] : NULL;
    if (t != NULL && (ry_node(x, node)->flags & MF_REPLACE) && (!no_filter(x, "REPLACE") || !may_replace(x, t))) return false;
    if (t != NULL && !may_insert(x, t, node)) return false;
    for (uint32_t c = ry_node(x, node)->first; c != 0; c = ry_node(x, c)->next) {
        if (ry_node(x, c)->type != MN_SETS) continue;
        if (!first) update = c;
        first = false;
        if (update != 0 && !no_filter(x, "ON DUPLICATE KEY UPDATE")) return false;
        if (!set_list(x, c)) return false;
    }
    return returning(x, node);
}
