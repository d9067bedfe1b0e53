/* Masks and row filters in MySQL's and MariaDB's dialect: every place where a statement reads a table of which the role sees less than all becomes a
 * subselect in the table's full row shape, known by the name that it had. doc/design.md, section 13, has what is different from PostgreSQL. */
#include "policy/columns.h"
#include "policy/expr_my.h"
#include "policy/my_types.h"
#include "policy/rewrite_my_int.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#define MAX_LABEL 255u /* bytes: the servers cut a label of their own there, and refuse a longer one that is written */
#define PLAINER   "Write the statement in a plainer form."

/* --- refusing --- */

bool ry_refuse(struct ry *x, const struct pol_view *view, uint32_t tok, const char *hint, const char *fmt, ...) {
    if (x->refused) return false;
    va_list ap;
    va_start(ap, fmt);
    rw_say(x->why, view, hint, fmt, ap);
    va_end(ap);
    x->refused = true;
    if (tok == 0) return false;
    x->why->position = 1;
    for (uint32_t i = 0; i < ry_token(x, tok)->at; i++) x->why->position += ((unsigned char)x->tree.sql[i] & 0xC0) != 0x80;
    return false;
}

bool ry_refuse_column(struct ry *x, const struct pol_view *view, size_t at, uint32_t tok, const char *what) {
    const struct pol_cat_relation *rel = view->relation;
    if (x->refused) return false;
    ry_refuse(x, view, tok, NULL, "the column %.64s of %.64s.%.64s %s", rel->columns[at].name, rel->schema, rel->name, what);
    x->why->column = true;
    return false;
}

bool ry_too_large(struct ry *x) { return rw_refuse_limit(x->why, &x->refused, true); }
bool ry_no_memory(struct ry *x) { return rw_refuse_limit(x->why, &x->refused, pol_arena_full(x->arena)); }

bool ry_longer(struct ry *x) {
    x->refused = x->longer = true;
    return false;
}

bool ry_work(struct ry *x, uint64_t n) {
    x->steps += n;
    if (x->brief && x->steps > RW_BRIEF_STEPS) return ry_longer(x);
    return x->steps <= RW_STEPS || ry_too_large(x);
}

/* What the helpers of the facts have not understood. */
bool ry_not_understood(struct ry *x) {
    if (x->err.rc == POL_NO_MEMORY || x->err.rc == POL_PARSED) return ry_no_memory(x);
    return ry_refuse(x, NULL, 0, PLAINER, "%.200s", x->err.text);
}

/* --- changes --- */

static bool add_edit(struct ry *x, uint32_t from, uint32_t to, const char *text, enum ry_side side) {
    if (text == NULL) return ry_no_memory(x);
    uint32_t first = side == RY_CLOSE ? from - 1 : from, end = side == RY_REPLACE ? to : first + 1;
    for (uint32_t i = first; i < end; i++)
        if (ry_token(x, i)->flags & MY_TF_COMMENT)
            return ry_refuse(x, NULL, i, "Write it without comments that the server executes.",
                             "what stands in a comment /*! */ cannot be rewritten so that what is hidden from you stays hidden");
    x->inserted += strlen(text);
    if (x->brief && x->inserted > RW_BRIEF_BYTES) return ry_longer(x);
    if (!rw_may_put(x->inserted, x->len)) return ry_too_large(x);
    struct ry_edit *all = pol_grow(x->arena, x->edits, x->nedits, &x->edits_cap, sizeof *all);
    if (all == NULL) return ry_no_memory(x);
    x->edits = all;
    all[x->nedits] = (struct ry_edit){from, to, text, side, (uint32_t)x->nedits};
    x->nedits++;
    return true;
}

bool ry_replace(struct ry *x, uint32_t from, uint32_t to, const char *text) { return add_edit(x, from, to, text, RY_REPLACE); }
bool ry_put_before(struct ry *x, uint32_t tok, const char *text) { return add_edit(x, tok, tok, text, RY_OPEN); }
bool ry_put_behind(struct ry *x, uint32_t tok, const char *text) { return add_edit(x, tok, tok, text, RY_CLOSE); }
bool ry_around(struct ry *x, uint32_t from, uint32_t to, const char *before, const char *after) {
    return ry_put_before(x, from, before) && ry_put_behind(x, to, after);
}

const char *ry_keep(struct ry *x, struct buf *b) {
    const char *s = b->failed ? NULL : pol_strndup(x->arena, (const char *)buf_at(b), buf_used(b));
    buf_free(b);
    if (s == NULL) ry_no_memory(x);
    return s;
}

void ry_put_tokens(const struct ry *x, struct buf *b, uint32_t from, uint32_t to) {
    for (uint32_t i = from; i < to; i++) {
        const struct my_token *t = ry_token(x, i);
        buf_u8(b, ' ');
        buf_put(b, x->tree.sql + t->at, t->end - t->at);
    }
}

static int by_place(const void *a, const void *b) {
    const struct ry_edit *p = a, *q = b;
    if (p->from != q->from) return p->from < q->from ? -1 : 1;
    if (p->side != q->side) return p->side < q->side ? -1 : 1;
    int later = p->seq < q->seq ? -1 : 1; /* what was opened first is closed last */
    return p->side == RY_CLOSE ? -later : later;
}

bool ry_apply(struct ry *x, struct buf *out) {
    uint32_t at = 0, done = 0; /* in the text; in tokens */
    for (size_t i = 0; i < x->nedits; i++) {
        const struct ry_edit *e = &x->edits[i];
        if (e->from < done || e->to < e->from || e->to >= x->tree.tokens.n)
            return ry_refuse(x, NULL, e->from, PLAINER, "this part of the statement cannot be rewritten");
        uint32_t start = e->side == RY_CLOSE ? ry_token(x, e->from - 1)->end : ry_token(x, e->from)->at;
        if (start < at) start = at;
        buf_put(out, x->tree.sql + at, start - at);
        buf_str(out, e->text);
        at = e->side == RY_REPLACE ? ry_token(x, e->to - 1)->end : start;
        done = e->to;
    }
    uint32_t end = ry_token(x, x->tree.tokens.n - 1)->at;
    buf_put(out, x->tree.sql + at, end - at);
    buf_u8(out, '\0');
    if (out->no_memory) return ry_no_memory(x);
    return !out->failed || ry_too_large(x);
}

/* --- the tree --- */

uint32_t ry_child(const struct ry *x, uint32_t node, enum my_node_type type) {
    for (uint32_t c = ry_node(x, node)->first; c != 0; c = ry_node(x, c)->next)
        if (ry_node(x, c)->type == type) return c;
    return 0;
}

bool ry_children(struct ry *x, uint32_t node) {
    for (uint32_t c = ry_node(x, node)->first; c != 0; c = ry_node(x, c)->next)
        if (!ry_walk(x, c)) return false;
    return true;
}

static bool is_ascii(const char *s) {
    for (; *s != '\0'; s++)
        if ((unsigned char)*s >= 0x80) return false;
    return true;
}

static char folded(char c) { return c >= 'A' && c <= 'Z' ? (char)(c | 0x20) : c; }

/* Behind the character at s, of UTF-8. */
static const char *behind(const char *s) {
    for (s++; ((unsigned char)*s & 0xC0) == 0x80;) s++;
    return s;
}

/* The servers fold by tables of their own (utf8mb3_general_ci), which put one character in the place of one: U+212A is a k to them, U+0130 and \xc3\xad are an i. So
 * each that is beyond ASCII may be any. */
bool ry_may_be(const char *a, const char *b) {
    for (; *a != '\0' && *b != '\0'; a = behind(a), b = behind(b))
        if (((*a | *b) & 0x80) == 0 && folded(*a) != folded(*b)) return false;
    return *a == *b;
}

bool ry_is(const char *a, const char *b) { return strcmp(a, b) == 0 || (is_ascii(a) && is_ascii(b) && fm_same(a, b)); }

const char *ry_quoted(struct ry *x, const char *name) {
    struct buf b = BUF_INIT(4096);
    my_put_ident(&b, name);
    return ry_keep(x, &b);
}

bool ry_is_word(const struct ry *x, uint32_t tok, enum my_word w) {
    return ry_token(x, tok)->kind == MY_T_WORD && ry_token(x, tok)->word == w;
}
static bool is_op(const struct ry *x, uint32_t tok, unsigned op) {
    return ry_token(x, tok)->kind == MY_T_OP && ry_token(x, tok)->word == op;
}

/* --- tables --- */

bool ry_view(struct ry *x, uint32_t node, const struct pol_view **view) {
    const struct fm_meaning *m = &x->meanings[node];
    bool failed;
    *view = NULL;
    if (m->cte) return true;
    if (m->name == NULL) return ry_refuse(x, NULL, ry_node(x, node)->tok, PLAINER, "what a table's name means at this place is not known");
    const struct pol_cat_relation *rel = pol_catalog_relation(x->r->catalog, m->schema, m->name);
    if (rel == NULL) return true; /* the verdict has seen to it */
    const struct pol_view *v = pol_role_view(x->r, rel, &failed);
    if (failed) return ry_no_memory(x);
    if (v != NULL && v->problem != NULL)
        return ry_refuse(x, v, ry_node(x, node)->tok, NULL, "the policy does not fit %.64s.%.64s: %s", rel->schema, rel->name, v->problem);
    *view = v;
    return true;
}

/* Whether a name in the text may be this column's. */
static bool may_be_named(struct ry *x, const char *name) {
    size_t n = strlen(name);
    if (!ry_work(x, x->tree.tokens.n)) return true;
    for (uint32_t i = 0; i < x->tree.tokens.n; i++) {
        const struct my_token *t = ry_token(x, i);
        size_t len = t->end - t->at;
        if ((len == n || len == n + 2) && strncasecmp(x->tree.sql + t->at + (len - n) / 2, name, n) == 0) return true;
    }
    return false;
}

uint32_t ry_put_row(struct ry *x, struct buf *b, const struct pol_view *v, const char *quoted, bool star) {
    uint32_t n = 0;
    for (size_t i = 0; i < v->relation->ncolumns; i++) {
        if (v->relation->columns[i].invisible && (star || !may_be_named(x, v->relation->columns[i].name))) continue;
        if (n++ > 0) buf_str(b, ", ");
        if (v->columns[i].visibility == POL_VISIBLE) {
            buf_str(b, quoted);
            buf_u8(b, '.');
        } else {
            pol_template(b, v->columns[i].sql, quoted);
            buf_str(b, " AS ");
        }
        my_put_ident(b, v->relation->columns[i].name);
    }
    return n;
}

static void put_relation(struct buf *b, const struct pol_cat_relation *rel) {
    my_put_ident(b, rel->schema);
    buf_u8(b, '.');
    my_put_ident(b, rel->name);
}

/* The parts of a table in FROM: name, what stands behind it, [AS] alias, what stands behind that. */
struct parts {
    uint32_t name_end, alias_from, alias, alias_end; /* alias 0: none */
};

static struct parts find_parts(const struct ry *x, uint32_t node) {
    const struct my_node *n = ry_node(x, node);
    bool two = (n->flags & FM_PARTS) > 1;
    uint32_t alias = ry_child(x, node, MN_ALIAS);
    struct parts p = {.name_end = n->tok + (!two ? 1 : is_op(x, n->tok, '.') ? 2 : 3)};
    p.alias_from = p.alias_end = n->end;
    if (alias == 0) return p;
    p.alias = ry_node(x, alias)->tok;
    p.alias_end = ry_node(x, alias)->end;
    p.alias_from = p.alias;
    if (p.alias_from > p.name_end && (ry_is_word(x, p.alias_from - 1, W_AS) || is_op(x, p.alias_from - 1, '='))) p.alias_from--;
    return p;
}

/* FOR SYSTEM_TIME goes inside with what it says, so that must not read anything. */
static bool only_constants(struct ry *x, const struct pol_view *v, uint32_t node) {
    for (uint32_t c = ry_node(x, node)->first; c != 0; c = ry_node(x, c)->next) {
        enum my_node_type type = (enum my_node_type)ry_node(x, c)->type;
        if (type != MN_ALIAS && type != MN_LITERAL && type != MN_PARAM)
            return ry_refuse(x, v, ry_node(x, c)->tok, "Write the time as TIMESTAMP'2026-01-31 00:00:00'.",
                             "FOR SYSTEM_TIME of %.64s.%.64s needs a constant: you do not see all of it", v->relation->schema,
                             v->relation->name);
    }
    return true;
}

/* In which partition a row is, and whether a time finds it, follows from columns that the text does not name. */
static bool by_unnamed_columns(struct ry *x, const struct pol_view *v, uint32_t tok, bool partition) {
    for (size_t i = 0; i < v->relation->ncolumns; i++) {
        struct my_type type;
        if (v->columns[i].visibility == POL_VISIBLE) continue;
        bool is_time = !my_type_of(x->r->catalog, &v->relation->columns[i], &type) || type.class == MY_C_TIMESTAMP ||
                       (type.class == MY_C_INT && type.is_unsigned); /* when, or in which transaction */
        if (!partition && !is_time) continue;
        return ry_refuse(x, v, tok,
                         partition ? "Leave PARTITION out, and say in a WHERE which rows are meant." : "Leave FOR SYSTEM_TIME out.",
                         "%s of %.64s.%.64s is not possible: it may find rows by the column %.64s, which is %s for you",
                         partition ? "PARTITION" : "FOR SYSTEM_TIME", v->relation->schema, v->relation->name, v->relation->columns[i].name,
                         v->columns[i].visibility == POL_HIDDEN ? "hidden" : "masked");
    }
    return true;
}

bool ry_finds_by_names(struct ry *x, const struct pol_view *v, uint32_t node) {
    const struct my_node *n = ry_node(x, node);
    if (!ry_work(x, v->relation->ncolumns)) return false;
    for (uint32_t i = n->tok; i + 1 < n->end; i++) {
        bool partition = ry_is_word(x, i, W_PARTITION) && is_op(x, i + 1, '(');
        bool time = ry_is_word(x, i, W_FOR) && ry_is_word(x, i + 1, W_SYSTEM_TIME);
        if ((partition || time) && !by_unnamed_columns(x, v, i, partition)) return false;
    }
    return true;
}

static bool put_lock(struct ry *x, struct buf *b, const struct pol_view *v, uint32_t tok) {
    uint32_t lock = x->lock.node;
    if (lock == 0) return true;
    if (v->filter != NULL)
        return ry_refuse(x, v, tok, "Select without FOR UPDATE; UPDATE and DELETE lock what they touch.",
                         "rows of %.64s.%.64s cannot be locked: you do not see all of them", v->relation->schema, v->relation->name);
    if (x->lock.nested || ry_node(x, lock)->first != 0)
        return ry_refuse(x, v, tok, "End the SELECT with FOR UPDATE, without OF and WAIT.",
                         "this way of locking rows of %.64s.%.64s is not possible: you do not see all of it", v->relation->schema,
                         v->relation->name);
    ry_put_tokens(x, b, ry_node(x, lock)->tok, ry_node(x, lock)->end);
    return true;
}

/* A condition with a "?" cannot stand in two places, so it is moved. That takes a FROM without outer joins, because a row of NULLs would have to be tried outside, and that all
 * "?" stay in the order that they have, which is that of the client's values: those in front of the condition must be in front of the table, or have gone at most there. */
struct mover {
    uint32_t from, table, at; /* nodes; the token up to which is known that it can */
    bool can;
};

static bool move(struct ry *x, struct mover *m, uint32_t cond) {
    const struct my_node *c = ry_node(x, cond), *f = ry_node(x, m->from), *t = ry_node(x, m->table);
    if (m->at == 0) {
        m->can = x->ntargets == 0 && t->tok >= f->tok && t->tok < f->end;
        for (uint32_t i = f->tok; i < f->end && m->can; i++) m->can = !ry_is_word(x, i, W_LEFT) && !ry_is_word(x, i, W_RIGHT);
    }
    for (; m->at < c->tok && m->can; m->at++) {
        uint32_t gone = x->moved != NULL ? x->moved[m->at] : 0;
        m->can = ry_token(x, m->at)->kind != MY_T_PARAM || (gone != 0 ? gone <= t->tok : m->at < t->end);
    }
    if (!m->can || !ry_work(x, c->end - c->tok)) return false;
    if (x->moved == NULL && (x->moved = pol_alloc_array(x->arena, x->tree.tokens.n, sizeof *x->moved)) == NULL) return ry_no_memory(x);
    for (uint32_t i = c->tok; i < c->end; i++)
        if (ry_token(x, i)->kind == MY_T_PARAM) x->moved[i] = t->tok;
    x->marks[cond] = RY_MOVED;
    return ry_replace(x, c->tok, c->end, " TRUE ");
}

#define CONJUNCT_STEPS 100 /* steps (ry_work()) for a condition that may go behind a table's fence */
#define NAME_STEPS     2   /* for one whose table is another */

static const char no_table[] = "";

/* What stands in front of a condition's first column: the table's name, or no_table. NULL: it begins with no column, or there is no memory. Each is copied once, for
 * all tables of a FROM. */
static const char *table_of(struct ry *x, uint32_t cond) {
    const struct my_node *n = ry_node(x, cond), *col = n->first != 0 ? ry_node(x, n->first) : NULL;
    if (n->type != MN_OP || col == NULL || col->type != MN_COLUMN) return NULL;
    if (col->flags <= 1) return no_table;
    if (x->tables == NULL) x->tables = pol_alloc_array(x->arena, x->tree.nnodes, sizeof *x->tables);
    if (x->tables == NULL) ry_no_memory(x);
    if (x->tables == NULL) return NULL;
    if (x->tables[cond] == NULL) x->tables[cond] = fm_part(&x->fm, col->tok, col->flags - 2u, false);
    if (x->tables[cond] == NULL) ry_not_understood(x);
    return x->tables[cond];
}

/* Conditions of the SELECT's own WHERE go behind the fence too, for an index: rows for which they are not true would be left out all the same. */
static bool put_conjuncts(struct ry *x, struct buf *b, const struct pol_view *v, uint32_t node, const char *name, const char *quoted) {
    uint32_t select = x->scopes != NULL ? x->scopes->select : 0, where = select != 0 ? ry_child(x, select, MN_WHERE) : 0;
    if (where == 0) return true;
    uint32_t from = ry_child(x, select, MN_FROM), cond = ry_node(x, where)->first, first = ry_node(x, cond)->first;
    bool only = from != 0 && ry_node(x, from)->first == node && ry_node(x, node)->next == 0, alone = true;
    for (size_t i = 0, n = 0; i < x->nitems; i++) alone = alone && (n += ry_may_be(x->items[i].name, name)) <= 1;
    struct mover mover = {.from = from, .table = node};
    bool several = ry_node(x, cond)->type == MN_OP && first != 0 && ry_is_word(x, ry_node(x, first)->end, W_AND);
    if (!ry_work(x, x->nitems + x->tree.tokens.n)) return false;
    for (uint32_t c = several ? first : cond; c != 0; c = several ? ry_node(x, c)->next : 0) {
        uint32_t params;
        if (!ry_work(x, NAME_STEPS)) return false;
        const char *table = table_of(x, c);
        if (table == NULL || (table != no_table ? !alone || !fm_same(table, name) : !only)) continue;
        if (!ry_work(x, CONJUNCT_STEPS) || x->marks[c] == RY_MOVED || !ry_is_conjunct(x, v, c, &params)) continue;
        const struct my_node *col = ry_node(x, ry_node(x, c)->first);
        const char *column = fm_part(&x->fm, col->tok, col->flags - 1u, false);
        if (column == NULL) return ry_not_understood(x);
        if (params > 0 && !move(x, &mover, c)) continue;
        buf_str(b, " AND (");
        buf_str(b, quoted);
        buf_u8(b, '.');
        my_put_ident(b, column);
        ry_put_tokens(x, b, col->end, ry_node(x, c)->end);
        buf_u8(b, ')');
    }
    return !x->refused;
}

/* The servers put a merged subselect's expressions where they are used, so that a join on a hash would compute one for each pair of rows. Behind a fence there is one
 * for each row, and an index on them. Where the text does not come by the column, or locks rows, which must not be all of them, there is none. */
static bool hash_wants_fence(struct ry *x, const struct pol_view *v) {
    bool hash = false, named = false;
    if (x->nitems < 2 || x->lock.node != 0) return false;
    for (size_t i = 0; i < v->relation->ncolumns && !named; i++)
        if (v->columns[i].hash) hash = true, named = may_be_named(x, v->relation->columns[i].name);
    if (!ry_work(x, x->tree.nnodes)) return false;
    for (uint32_t i = 1; i < x->tree.nnodes && hash && !named; i++) named = ry_node(x, i)->type == MN_STAR;
    return named;
}

/* (SELECT .. FROM db.t [PARTITION ..] [FOR SYSTEM_TIME ..] [AS alias] [hints] [WHERE filter LIMIT ..] [lock]) AS alias. The table keeps the alias that it had, so that
 * LOCK TABLES means it. */
static const char *subselect(struct ry *x, const struct pol_view *v, uint32_t node, const char *called, const struct parts *p) {
    struct buf b = BUF_INIT(RW_MAX_TEXT);
    const char *quoted = ry_quoted(x, called);
    if (quoted == NULL) return NULL;
    buf_str(&b, " (SELECT ");
    ry_put_row(x, &b, v, quoted, false);
    buf_str(&b, " FROM ");
    put_relation(&b, v->relation);
    ry_put_tokens(x, &b, p->name_end, p->alias_from);
    if (p->alias != 0) {
        buf_str(&b, " AS ");
        buf_str(&b, quoted);
    }
    ry_put_tokens(x, &b, p->alias_end, ry_node(x, node)->end);
    if (v->filter != NULL || hash_wants_fence(x, v)) {
        buf_str(&b, " WHERE (");
        pol_template(&b, v->filter != NULL ? v->filter : "TRUE", quoted);
        buf_u8(&b, ')');
        if (!put_conjuncts(x, &b, v, node, called, quoted)) {
            buf_free(&b);
            return NULL;
        }
        if (RW_FENCE || v->filter == NULL)
            buf_str(&b, " LIMIT 18446744073709551615"); /* nothing of the user's runs before the filter, and nothing is moved into it */
    }
    if (!put_lock(x, &b, v, ry_node(x, node)->tok)) {
        buf_free(&b);
        return NULL;
    }
    buf_str(&b, ") AS ");
    buf_str(&b, quoted);
    buf_u8(&b, ' ');
    return ry_keep(x, &b);
}

const char *ry_called(struct ry *x, uint32_t node) {
    const struct my_node *n = ry_node(x, node);
    uint32_t alias = ry_child(x, node, MN_ALIAS);
    const char *s = "";
    if (alias != 0)
        s = fm_name(&x->fm, ry_node(x, alias)->tok, false);
    else if (n->type == MN_TABLE)
        s = fm_part(&x->fm, n->tok, (n->flags & FM_PARTS) - 1, false);
    if (s == NULL) ry_not_understood(x);
    return s;
}

static bool table(struct ry *x, uint32_t node) {
    const struct my_node *n = ry_node(x, node);
    const struct pol_view *v;
    if (x->dealt[node] || x->is_target[node]) return ry_children(x, node);
    if (!ry_view(x, node, &v)) return false;
    if (v == NULL) return ry_children(x, node);
    if (x->explicit[node] != 0)
        return ry_refuse(x, v, n->tok, PLAINER, "%.64s.%.64s cannot be used at this place: you do not see all of it", v->relation->schema,
                         v->relation->name);
    struct parts p = find_parts(x, node);
    const char *name = ry_called(x, node), *text;
    if (name == NULL || !ry_finds_by_names(x, v, node) || !only_constants(x, v, node) || (text = subselect(x, v, node, name, &p)) == NULL)
        return false;
    x->marks[node] = RY_TABLE;
    x->dealt[node] = true;
    return ry_replace(x, n->tok, n->end, text);
}

/* TABLE t */
static bool table_query(struct ry *x, uint32_t node) {
    uint32_t t = ry_node(x, node)->first;
    size_t before = x->nedits;
    if (!table(x, t)) return false;
    if (x->nedits == before) return true;
    x->marks[node] = RY_TABLE_Q;
    return ry_replace(x, ry_node(x, node)->tok, ry_node(x, t)->tok, "SELECT * FROM");
}

/* FROM (t), FROM ((t)): MySQL has no subselect alone in such parentheses. */
static bool from(struct ry *x, uint32_t node) {
    const struct my_node *n = ry_node(x, node);
    if (!ry_children(x, node)) return false;
    enum ry_mark only = n->first != 0 && ry_node(x, n->first)->next == 0 ? (enum ry_mark)x->marks[n->first] : RY_SAME;
    bool around = n->first != 0 && ry_node(x, n->first)->tok > n->tok && ry_node(x, n->first)->end < n->end;
    if (!around || !is_op(x, n->tok, '(') || (only != RY_TABLE && only != RY_BARE)) return true;
    x->marks[node] = RY_BARE;
    return ry_replace(x, n->tok, n->tok + 1, "") && ry_replace(x, n->end - 1, n->end, "");
}

/* --- names --- */

static bool collect_item(struct ry *x, uint32_t node, struct ry_item *out) {
    const struct my_node *n = ry_node(x, node);
    const struct pol_view *v = NULL;
    *out = (struct ry_item){0};
    if (n->type == MN_TABLE && !ry_view(x, node, &v)) return false;
    if (n->type == MN_TABLE && !x->meanings[node].cte) out->schema = x->meanings[node].schema;
    out->replaced = v != NULL && x->explicit[node] == 0 && !x->is_target[node];
    return (out->name = ry_called(x, node)) != NULL;
}

static bool collect_items(struct ry *x) {
    for (uint32_t i = 1; i < x->tree.nnodes; i++) {
        enum my_node_type type = (enum my_node_type)ry_node(x, i)->type;
        if (type != MN_DERIVED && type != MN_JSON_TABLE && (type != MN_TABLE || (x->meanings[i].name == NULL && !x->meanings[i].cte)))
            continue;
        struct ry_item *all = pol_grow(x->arena, x->items, x->nitems, &x->items_cap, sizeof *all);
        if (all == NULL) return ry_no_memory(x);
        x->items = all;
        if (!collect_item(x, i, &all[x->nitems++])) return false;
    }
    return true;
}

/* db.t.c and db.t.*: the subselect has no database. */
static bool shorten(struct ry *x, uint32_t node) {
    const struct my_node *n = ry_node(x, node);
    unsigned parts = n->flags;
    if (parts != (n->type == MN_STAR ? 2 : 3) || is_op(x, n->tok, '.')) return true;
    const char *db = fm_part(&x->fm, n->tok, 0, false), *name = fm_part(&x->fm, n->tok, 1, false);
    bool replaced = false, other = false;
    if (db == NULL || name == NULL) return ry_not_understood(x);
    if (!ry_work(x, x->nitems)) return false;
    for (size_t i = 0; i < x->nitems; i++) {
        const struct ry_item *t = &x->items[i];
        if (!ry_may_be(t->name, name)) continue;
        if (t->replaced && ry_may_be(t->schema, db)) replaced = true;
        if (!t->replaced || !ry_is(t->name, name) || !ry_is(t->schema, db)) other = true;
    }
    if (!replaced) return true;
    if (other)
        return ry_refuse(x, NULL, n->tok, "Give each of them an alias, and use it.",
                         "%.64s.%.64s may mean several tables of this statement, one of which you do not see all of", db, name);
    const char *quoted = ry_quoted(x, name); /* behind a point a word is a name, in front of one it is looked up */
    x->marks[node] = RY_NAME;
    return quoted != NULL && ry_replace(x, n->tok, n->tok + 3, quoted);
}

/* --- labels --- */

/* A column that is no plain one is called by its own text, so that text is written behind what it has become. */
static const char *label(struct ry *x, uint32_t node) {
    const struct my_node *n = ry_node(x, node);
    const char *s = x->tree.sql + ry_token(x, n->tok)->at;
    size_t len = ry_token(x, n->end - 1)->end - ry_token(x, n->tok)->at, used = 0;
    struct buf b = BUF_INIT(4096), name = BUF_INIT(4096);
    for (size_t i = 0; i < len && used < MAX_LABEL;) { /* names are of utf8mb3 */
        size_t step = (unsigned char)s[i] < 0x80 ? 1 : (unsigned char)s[i] < 0xE0 ? 2 : (unsigned char)s[i] < 0xF0 ? 3 : 4;
        if (used + step > MAX_LABEL) break;
        if (step < 4)
            buf_put(&name, s + i, step);
        else
            buf_u8(&name, '?');
        i += step;
        used += step;
    }
    while (buf_used(&name) > 0 && buf_at(&name)[buf_used(&name) - 1] == ' ') name.len--; /* no name may end so */
    buf_u8(&name, '\0');
    buf_str(&b, " AS ");
    if (!name.failed) my_put_ident(&b, (const char *)buf_at(&name));
    buf_u8(&b, ' ');
    b.failed = b.failed || name.failed;
    buf_free(&name);
    return ry_keep(x, &b);
}

/* A column of a table in FROM that becomes a subselect, in other letters than its definition's: the server would call it by those, and of a table itself by the
 * statement's. table: NULL for a name without one. */
static bool is_respelt(struct ry *x, uint32_t from, const char *table, const char *name) {
    for (uint32_t c = ry_node(x, from)->first; c != 0; c = ry_node(x, c)->next) {
        enum my_node_type type = (enum my_node_type)ry_node(x, c)->type;
        const struct pol_view *v = NULL;
        if (type == MN_FROM && is_respelt(x, c, table, name)) return true;
        if (!ry_work(x, 16) || (type == MN_TABLE && !ry_view(x, c, &v))) return false;
        if (v == NULL || x->explicit[c] != 0 || x->is_target[c]) continue;
        const char *called = ry_called(x, c);
        const struct pol_cat_column *column = pol_find_column(v->relation, name, true);
        if (called == NULL || !ry_work(x, v->relation->ncolumns)) return false;
        if (column != NULL && (table == NULL || ry_may_be(called, table)) && strcmp(column->name, name) != 0) return true;
    }
    return false;
}

/* What a column without an alias is called: its last part, when it became its mask or would be called otherwise. *name NULL: nothing is to be said. */
static bool column_label(struct ry *x, uint32_t node, const char **name) {
    const struct my_node *n = ry_node(x, node);
    uint32_t select = x->scopes != NULL ? x->scopes->select : 0, from = select != 0 ? ry_child(x, select, MN_FROM) : 0;
    *name = NULL;
    if (x->marks[node] != RY_MASK && (from == 0 || x->in_returning)) return true;
    const char *own = fm_part(&x->fm, n->tok, n->flags - 1u, false);
    const char *table = n->flags > 1 ? fm_part(&x->fm, n->tok, n->flags - 2u, false) : NULL;
    if (own == NULL || (n->flags > 1 && table == NULL)) return ry_not_understood(x);
    if (x->marks[node] == RY_MASK || is_respelt(x, from, table, own)) *name = own;
    return !x->refused;
}

bool ry_items(struct ry *x, uint32_t list) {
    for (uint32_t c = ry_node(x, list)->first; c != 0; c = ry_node(x, c)->next) {
        const struct my_node *n = ry_node(x, c);
        size_t before = x->nedits;
        if (!ry_walk(x, c)) return false;
        if ((n->next != 0 && ry_node(x, n->next)->type == MN_ALIAS) || n->type == MN_ALIAS || n->type == MN_STAR) continue;
        const char *text;
        if (n->type == MN_COLUMN) {
            const char *name, *quoted;
            if (!column_label(x, c, &name)) return false;
            if (name == NULL) continue;
            struct buf b = BUF_INIT(4096);
            if ((quoted = ry_quoted(x, name)) == NULL) return false;
            buf_str(&b, " AS ");
            buf_str(&b, quoted);
            buf_u8(&b, ' ');
            text = ry_keep(x, &b);
        } else {
            if (x->nedits == before) continue;
            text = label(x, c);
        }
        if (text == NULL || !ry_put_behind(x, n->end, text)) return false;
        x->more[c] = 1;
    }
    return true;
}

/* MariaDB calls the columns of VALUES by the text of its first row, where no alias can stand. MySQL numbers them. */
static bool values(struct ry *x, uint32_t node) {
    uint32_t row = ry_node(x, node)->first;
    size_t before = x->nedits;
    if (row == 0 || node == x->unnamed || x->o->server != MY_MARIADB) return ry_children(x, node);
    if (!ry_walk(x, row)) return false;
    if (x->nedits != before)
        return ry_refuse(x, NULL, ry_node(x, row)->tok, "Write SELECT .. AS name UNION ALL .. instead of VALUES.",
                         "what is masked or filtered cannot stand in the first row of VALUES, which names the columns");
    for (uint32_t c = ry_node(x, row)->next; c != 0; c = ry_node(x, c)->next)
        if (!ry_walk(x, c)) return false;
    return true;
}

/* --- queries --- */

/* The lock of a query is that of the SELECT that it consists of. */
static bool query(struct ry *x, uint32_t node) {
    struct ry_lock outer = x->lock;
    uint32_t lock = ry_child(x, node, MN_LOCK);
    bool select = ry_child(x, node, MN_SELECT) != 0;
    if (lock != 0)
        x->lock = (struct ry_lock){.node = lock, .nested = !select || outer.node != 0};
    else if (outer.node != 0 && !outer.nested)
        x->lock = (struct ry_lock){0};
    struct ry_scope scope = {ry_child(x, node, MN_SELECT), x->scopes}; /* ORDER BY sees what the SELECT does */
    x->scopes = &scope;
    bool ok = ry_children(x, node);
    x->scopes = scope.outer;
    x->lock = outer;
    return ok;
}

static bool one_select(struct ry *x, uint32_t node) {
    struct ry_scope scope = {node, x->scopes};
    x->scopes = &scope;
    bool ok = ry_children(x, node);
    x->scopes = scope.outer;
    return ok;
}

static bool column(struct ry *x, uint32_t node) {
    bool done = false;
    if (x->ntargets > 0 && !ry_target_column(x, node, &done)) return false;
    return done || shorten(x, node);
}

static bool subquery(struct ry *x, uint32_t node) {
    struct ry_lock outer = x->lock;
    x->lock = (struct ry_lock){0};
    x->subqueries++;
    bool ok = ry_children(x, node);
    x->subqueries--;
    x->lock = outer;
    return ok;
}

bool ry_walk(struct ry *x, uint32_t node) {
    const struct my_node *n = ry_node(x, node);
    if (x->marks[node] == RY_MOVED) return true;
    switch ((enum my_node_type)n->type) {
    case MN_QUERY: return query(x, node);
    case MN_CTE:
    case MN_SUBQUERY: return subquery(x, node);
    case MN_TABLE: return table(x, node);
    case MN_TABLE_Q: return table_query(x, node);
    case MN_FROM: return from(x, node);
    case MN_ITEMS: return ry_items(x, node);
    case MN_VALUES: return values(x, node);
    case MN_SELECT: return one_select(x, node);
    case MN_COLUMN: return column(x, node);
    case MN_USING: return ry_target_using(x, node);
    case MN_STAR: return shorten(x, node);
    case MN_PROCEDURE: x->procedure = true; return ry_children(x, node);
    case MN_ROW: x->defaults = x->defaults || (n->tok > 0 && ry_is_word(x, n->tok - 1, W_DEFAULT)); return ry_children(x, node);
    case MN_MATCH: return ry_target_match(x, node) && ry_children(x, node);
    case MN_LOCK: return true;
    case MN_CALL: /* VALUES(c): of the row that was to be inserted */
        if (n->word == W_VALUES && x->ntargets > 0 && !x->in_returning && n->first != 0 && ry_node(x, n->first)->type == MN_COLUMN)
            return true;
        return ry_children(x, node);
    case MN_STMT: return ry_refuse(x, NULL, n->tok, PLAINER, "a statement within a statement cannot be rewritten");
    default: return ry_children(x, node);
    }
}

/* --- statements --- */

/* The table that is named to be described; what a WHERE behind it reads is read. */
static bool described(struct ry *x, uint32_t node) {
    for (uint32_t c = ry_node(x, node)->first; c != 0; c = ry_node(x, c)->next)
        if (ry_node(x, c)->type == MN_TABLE)
            x->dealt[c] = true;
        else if (!ry_walk(x, c))
            return false;
    return true;
}

/* The definition of a table is not hidden, what is counted of its rows is. */
static bool show(struct ry *x, uint32_t node) {
    for (uint32_t i = ry_node(x, node)->tok; i < ry_node(x, node)->end; i++)
        if (ry_is_word(x, i, W_COLUMNS) || ry_is_word(x, i, W_FIELDS))
            return described(x, node);
        else if (ry_is_word(x, i, W_FROM) || ry_is_word(x, i, W_IN))
            break;
    return true;
}

static bool statement(struct ry *x, const struct my_stmt *st, uint32_t node) {
    const struct my_node *n = ry_node(x, node);
    switch ((enum my_stmt_kind)n->word) {
    case MS_QUERY: return ry_children(x, node);
    case MS_DO: return ry_children(x, n->first); /* its items have no labels */
    case MS_INSERT: {
        uint32_t source = ry_child(x, node, MN_QUERY);
        x->unnamed = source != 0 ? ry_child(x, source, MN_VALUES) : 0;
        return ry_insert(x, node);
    }
    case MS_UPDATE: return ry_update(x, node);
    case MS_DELETE: return ry_delete(x, node);
    case MS_SHOW: return show(x, node);
    case MS_PREPARE: return ry_prepare(x, node);
    case MS_SET:
        for (uint32_t c = n->first; c != 0; c = ry_node(x, c)->next)
            if (ry_node(x, c)->type == MN_STMT ? !statement(x, st, c) : !ry_walk(x, c)) return false;
        return true;
    case MS_EXPLAIN:
        if (ry_node(x, n->first)->type != MN_STMT) return described(x, node); /* DESCRIBE t */
        x->out->explain = true;
        return statement(x, st, n->first);
    case MS_DDL:
        if (strcmp(st->tag, "CREATE TABLE") != 0) return true;
        for (uint32_t c = n->first; c != 0; c = ry_node(x, c)->next)
            if (ry_node(x, c)->type == MN_QUERY && !ry_walk(x, c)) return false;
        return true;
    default: return true; /* what it names of restricted relations is refused in the end */
    }
}

/* A table that no walk has come by would be read as it is. */
static bool all_seen(struct ry *x) {
    const struct pol_view *v;
    for (uint32_t i = 1; i < x->tree.nnodes; i++) {
        if (ry_node(x, i)->type != MN_TABLE || x->dealt[i] || x->meanings[i].cte || x->meanings[i].name == NULL) continue;
        if (!ry_view(x, i, &v)) return false;
        if (v != NULL &&
            !(x->explicit[i] != 0 && (x->explicit[i] & ~(unsigned)(POL_LOCK | POL_MAINTAIN | POL_TRUNCATE | POL_DROP | POL_CREATE)) == 0))
            return ry_refuse(x, v, ry_node(x, i)->tok, PLAINER, "%.64s.%.64s cannot be used at this place: you do not see all of it",
                             v->relation->schema, v->relation->name);
    }
    return true;
}

/* What the facts say is read must have been seen as a table of this text. */
static bool facts_are_seen(struct ry *x, const struct pol_relation *rel) {
    bool failed, seen = false;
    const struct pol_cat_relation *cat = pol_catalog_relation(x->r->catalog, rel->schema, rel->name);
    const struct pol_view *v = cat != NULL ? pol_role_view(x->r, cat, &failed) : NULL;
    if (cat == NULL || (v == NULL && !failed)) return true;
    if (v == NULL) return ry_no_memory(x);
    if (!ry_work(x, x->tree.nnodes)) return false;
    for (uint32_t i = 1; i < x->tree.nnodes && !seen; i++) {
        const struct fm_meaning *m = &x->meanings[i];
        seen = m->name != NULL && strcmp(m->name, rel->name) == 0 && strcmp(m->schema, rel->schema) == 0;
    }
    return seen || ry_refuse(x, v, 0, "Send the statement itself, or prepare it with your driver's own means.",
                             "%.64s.%.64s cannot be used in this way: you do not see all of it", cat->schema, cat->name);
}

static bool all_statements(struct ry *x) {
    for (uint32_t i = 0; i < x->tree.nstmts; i++) {
        x->lock = (struct ry_lock){0};
        x->ntargets = 0;
        x->scopes = NULL;
        x->from = 0;
        x->subqueries = 0;
        x->strict = ry_node(x, x->tree.stmts[i].node)->word != MS_QUERY;
        if (!statement(x, &x->tree.stmts[i], x->tree.stmts[i].node)) return false;
        bool elsewhere =
            ry_node(x, x->tree.stmts[i].node)->word == MS_PREPARE; /* ry_prepare() has seen them in the text that is prepared */
        for (size_t k = 0; !elsewhere && k < x->facts->stmts[i].nrelations; k++)
            if (!facts_are_seen(x, &x->facts->stmts[i].relations[k])) return false;
    }
    if (!all_seen(x)) return false;
    if (x->defaults && (x->nedits > 0 || x->ntargets > 0))
        return ry_refuse(x, NULL, 0, "Leave it out.", "DEFAULT(column) is not possible beside what is partly hidden from you");
    return x->nedits == 0 || !x->procedure ||
           ry_refuse(x, NULL, 0, "Leave it out.", "PROCEDURE is not possible on what is partly hidden from you");
}

/* --- columns --- */

static bool check_column(struct ry *x, const struct pol_view *v, size_t i, const struct pol_column_use *u) {
    const struct pol_view_column *c = &v->columns[i];
    const char *name = v->relation->columns[i].name;
    if (((u->named | u->unnamed) & POL_USE_MERGED) && c->visibility != POL_VISIBLE)
        return ry_refuse(x, v, 0, "Join with ON, on columns that are visible.",
                         "%.64s.%.64s cannot be joined by USING or NATURAL on the column %.64s, which is %s for you", v->relation->schema,
                         v->relation->name, name, c->visibility == POL_HIDDEN ? "hidden" : "masked");
    if (c->visibility == POL_HIDDEN && (u->named & ~(unsigned)POL_USE_WRITTEN)) return ry_refuse_column(x, v, i, 0, RY_HIDDEN);
    return true;
}

/* That a hidden column is named is said where it is known; where it is not, the column is NULL. */
static bool check_columns(struct ry *x, const char *sql, size_t len) {
    struct pol_parse_error err;
    bool failed = false, ok = true;
    struct pol_columns *all = pol_columns_my(sql, len, x->o, x->r->catalog, &err);
    if (all == NULL) return err.rc == POL_TOO_LARGE ? ry_too_large(x) : ry_no_memory(x); /* it had facts */
    if (x->brief && all->stopped) ok = ry_longer(x);
    for (size_t k = 0; ok && k < all->nrelations; k++) {
        const struct pol_view *v = pol_role_view(x->r, all->relations[k].relation, &failed);
        if (failed) ok = ry_no_memory(x);
        for (size_t i = 0; ok && v != NULL && i < v->relation->ncolumns; i++) ok = check_column(x, v, i, &all->relations[k].columns[i]);
    }
    pol_columns_free(all);
    return ok;
}

/* --- the text --- */

static enum pol_rewrite_rc finish(struct ry *x) {
    struct buf b = BUF_INIT(RW_MAX_TEXT * 2);
    qsort(x->edits, x->nedits, sizeof *x->edits, by_place);
    if (!ry_apply(x, &b) || !ry_check(x, (const char *)buf_at(&b), buf_used(&b) - 1)) {
        buf_free(&b);
        return POL_REWRITE_REFUSED;
    }
    x->out->len = buf_used(&b) - 1;
    x->out->sql = (char *)b.data; /* nothing was drained: it begins there */
    x->out->sanitise = true;
    return POL_REWRITE_DONE;
}

static bool prepare(struct ry *x) {
    uint32_t n = x->tree.nnodes;
    x->meanings = pol_alloc_array(x->arena, n, sizeof *x->meanings);
    x->marks = pol_alloc_array(x->arena, n, sizeof *x->marks);
    x->more = pol_alloc_array(x->arena, n, sizeof *x->more);
    x->explicit = pol_alloc_array(x->arena, n, sizeof *x->explicit);
    x->dealt = pol_alloc_array(x->arena, n, sizeof *x->dealt);
    x->is_target = pol_alloc_array(x->arena, n, sizeof *x->is_target);
    if (x->meanings == NULL || x->marks == NULL || x->more == NULL || x->explicit == NULL || x->dealt == NULL || x->is_target == NULL)
        return ry_no_memory(x);
    for (uint32_t i = 1; i < n; i++)
        if (ry_node(x, i)->type == MN_TABLE) x->explicit[i] = ry_node(x, i)->word;
    for (uint32_t i = 1; i < n; i++)
        if (ry_node(x, i)->type == MN_TABLE_Q) x->explicit[ry_node(x, i)->first] = 0; /* TABLE t is a query of it */
    if ((x->facts = fm_facts(&x->tree, x->o, x->meanings, &x->err)) == NULL) return ry_not_understood(x);
    for (uint32_t i = 1; i < n; i++)
        if (ry_node(x, i)->type == MN_STMT && !ry_find_targets(x, i)) return false;
    return true;
}

static enum pol_rewrite_rc rewrite(struct ry *x, const char *sql, size_t len) {
    enum pol_rewrite_rc rc = POL_REWRITE_REFUSED;
    x->fm = (struct fm){.t = &x->tree, .o = x->o, .c.arena = x->arena, .c.err = &x->err};
    if (!my_parse(&x->tree, sql, len, x->o, &x->err))
        ry_not_understood(x);
    else if (prepare(x) && collect_items(x) && all_statements(x))
        rc = x->nedits == 0 ? POL_REWRITE_SAME : check_columns(x, sql, len) ? finish(x) : POL_REWRITE_REFUSED;
    pol_facts_free(x->facts);
    my_tree_free(&x->tree);
    return x->refused ? POL_REWRITE_REFUSED : rc;
}

enum pol_rewrite_rc pol_rewrite_my(const char *sql, size_t len, const struct my_options *o, const struct pol_role *r,
                                   struct pol_rewritten *out, struct pol_verdict *why) {
    struct ry x = {.o = o, .r = r, .out = out, .why = why, .len = len, .brief = o->limits != NULL && o->limits->brief};
    enum pol_rewrite_rc rc = POL_REWRITE_REFUSED;
    *out = (struct pol_rewritten){0};
    if (r->catalog == NULL)
        ry_refuse(&x, NULL, 0, "Try again in a moment.", "the statement cannot be rewritten now");
    else if ((x.arena = pol_arena_new()) == NULL)
        ry_no_memory(&x);
    else
        pol_arena_bound(x.arena, POL_ARENA_TEXT(len)), rc = rewrite(&x, sql, len);
    pol_arena_free(x.arena);
    if (!x.longer) return rc;
    pol_rewritten_free(out);
    return POL_REWRITE_LONG;
}
