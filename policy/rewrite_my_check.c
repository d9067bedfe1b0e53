/* The proof of a rewrite: the new text is read again from its bytes. Its tokens must be those of the old text with those of each change in its place, each of
 * which was read by itself, so that nothing ran together, or landed in a string or a comment; and its tree is walked beside the old one's: where a mark says that something
 * was changed there must be just that, everywhere else the same. */
#include "policy/rewrite_my_int.h"

#include <stdlib.h>
#include <string.h>

struct cmp {
    struct pol_parse_error *err; /* why a text of ours could not be read */
    struct ry *x;
    const struct my_tree *a, *b; /* before, after */
    uint32_t at;                 /* token of b that is next */
};

/* --- tokens --- */

static bool same_token(const char *sa, const struct my_token *a, const char *sb, const struct my_token *b) {
    uint32_t n = a->end - a->at;
    unsigned flags = MY_TF_ESCAPED | (a->kind == MY_T_WORD && my_word_needs_paren((enum my_word)a->word) ? MY_TF_PAREN : 0u);
    return a->kind == b->kind && a->word == b->word && ((a->flags ^ b->flags) & flags) == 0 && n == b->end - b->at &&
           memcmp(sa + a->at, sb + b->at, n) == 0;
}

static bool old_tokens(struct cmp *c, uint32_t from, uint32_t to) {
    if (to - from > c->b->tokens.n - c->at) return false;
    for (uint32_t i = from; i < to; i++, c->at++)
        if (!same_token(c->a->sql, &c->a->tokens.t[i], c->b->sql, &c->b->tokens.t[c->at]) ||
            ((c->a->tokens.t[i].flags ^ c->b->tokens.t[c->at].flags) & MY_TF_COMMENT) != 0)
            return false;
    return true;
}

static bool new_tokens(struct cmp *c, const char *text) {
    struct my_tokens t;
    if (!my_lex(text, strlen(text), c->x->o, &t, c->err)) return false;
    bool ok = t.n - 1 <= c->b->tokens.n - c->at; /* the last is the end */
    for (uint32_t i = 0; ok && i + 1 < t.n; i++, c->at++)
        ok = same_token(text, &t.t[i], c->b->sql, &c->b->tokens.t[c->at]) && (c->b->tokens.t[c->at].flags & MY_TF_COMMENT) == 0;
    free(t.t);
    return ok;
}

static bool same_tokens(struct cmp *c) {
    uint32_t done = 0;
    for (size_t i = 0; i < c->x->nedits; i++) {
        const struct ry_edit *e = &c->x->edits[i];
        if (!old_tokens(c, done, e->from) || !new_tokens(c, e->text)) return false;
        done = e->to;
    }
    return old_tokens(c, done, c->a->tokens.n) && c->at == c->b->tokens.n;
}

static uint32_t params(const struct my_tree *t) {
    uint32_t n = 0;
    for (uint32_t i = 0; i < t->tokens.n; i++) n += t->tokens.t[i].kind == MY_T_PARAM;
    return n;
}

/* --- trees --- */

static bool same(const struct cmp *c, uint32_t a, uint32_t b);

static const struct my_node *old(const struct cmp *c, uint32_t i) { return &c->a->nodes[i]; }
static const struct my_node *new (const struct cmp *c, uint32_t i) { return &c->b->nodes[i]; }

/* The item b is (..) AS name. */
static bool is_labelled(const struct cmp *c, uint32_t b) {
    return b != 0 && new (c, b)->next != 0 && new (c, new (c, b)->next)->type == MN_ALIAS;
}

static bool same_children(const struct cmp *c, uint32_t a, uint32_t b) {
    uint32_t i = old(c, a)->first, k = new (c, b)->first;
    bool filter = c->x->marks[a] == RY_FILTER; /* a WHERE more */
    for (; i != 0; i = old(c, i)->next) {
        if (filter && k != 0 && new (c, k)->type == MN_WHERE) {
            k = new (c, k)->next;
            filter = false;
        }
        enum ry_mark mark = (enum ry_mark)c->x->marks[i];
        if (k == 0) return false;
        if (mark == RY_STAR) {
            for (uint32_t n = c->x->more[i]; n > 0; n--) { /* each a column, or a mask with its name */
                if (k == 0 || (new (c, k)->type != MN_COLUMN && (new (c, k)->type != MN_ROW || !is_labelled(c, k)))) return false;
                k = new (c, k)->next;
                if (k != 0 && new (c, k)->type == MN_ALIAS) k = new (c, k)->next;
            }
            continue;
        }
        if (!same(c, i, k)) return false;
        if (c->x->more[i] != 0) { /* a label */
            if (!is_labelled(c, k)) return false;
            k = new (c, k)->next;
        }
        k = new (c, k)->next;
    }
    if (filter && k != 0 && new (c, k)->type == MN_WHERE) k = new (c, k)->next;
    return k == 0;
}

static bool same_table(const struct cmp *c, uint32_t b) {
    uint32_t first = new (c, b)->first;
    if (new (c, b)->type != MN_DERIVED || new (c, b)->flags != 0 || first == 0 || new (c, first)->type != MN_SUBQUERY) return false;
    uint32_t alias = new (c, first)->next;
    return alias != 0 && new (c, alias)->type == MN_ALIAS &&new (c, alias)->next == 0;
}

/* WHERE (filter) AND (E), or WHERE CASE WHEN (filter) THEN (E) IS TRUE ELSE FALSE END: the E, or 0. Of an E that is a query in parentheses, two pairs are one. */
static uint32_t behind_filter(const struct cmp *c, uint32_t where) {
    uint32_t cond = new (c, where)->first, first = cond != 0 ? new (c, cond)->first : 0, second = first != 0 ? new (c, first)->next : 0;
    uint32_t row = second;
    if (second == 0 || new (c, first)->type != MN_ROW) return 0;
    if (new (c, cond)->type == MN_CASE)
        row = new (c, second)->type == MN_OP ? new (c, second)->first : 0;
    else if (new (c, cond)->type != MN_OP || new (c, second)->next != 0)
        return 0;
    if (row != 0 && new (c, row)->type == MN_SUBQUERY) return row;
    uint32_t e = row != 0 && new (c, row)->type == MN_ROW ? new (c, row)->first : 0;
    return e != 0 && new (c, e)->next == 0 ? e : 0;
}

static bool same(const struct cmp *c, uint32_t a, uint32_t b) {
    const struct my_node *p = old(c, a), *q = new (c, b);
    switch ((enum ry_mark)c->x->marks[a]) {
    case RY_TABLE: return same_table(c, b);
    case RY_TABLE_Q: return q->type == MN_SELECT;
    case RY_BARE: return same(c, p->first, b);
    case RY_NAME: return q->type == p->type && q->flags + 1 == p->flags && q->first == 0;
    case RY_MOVED:
        return q->type == MN_LITERAL && q->end == q->tok + 1 && c->b->tokens.t[q->tok].kind == MY_T_WORD &&
               c->b->tokens.t[q->tok].word == W_TRUE;
    case RY_MASK: return q->type == MN_ROW && q->first != 0 && new (c, q->first)->next == 0;
    case RY_CONSTANT: /* which text it is was proven when it was made, and that these are its tokens, above */
        return q->type == MN_LITERAL && q->end == q->tok + 1 && c->b->tokens.t[q->tok].kind == MY_T_STRING;
    case RY_WHERE: {
        uint32_t e = q->type == MN_WHERE ? behind_filter(c, b) : 0;
        return e != 0 && same(c, p->first, e);
    }
    default: break;
    }
    bool table = p->type == MN_TABLE;
    unsigned flags = table ? FM_PARTS : 0xFF;
    if (p->type != q->type || ((p->flags ^ q->flags) & flags) != 0 || (!table && p->word != q->word)) return false;
    return same_children(c, a, b);
}

static bool same_statements(const struct cmp *c) {
    if (c->a->nstmts != c->b->nstmts) return false;
    for (uint32_t i = 0; i < c->a->nstmts; i++)
        if (!same(c, c->a->stmts[i].node, c->b->stmts[i].node)) return false;
    return true;
}

/* --- facts --- */

static bool reads(const struct pol_stmt *s, const struct pol_relation *rel) {
    for (size_t i = 0; i < s->nrelations; i++)
        if (strcmp(s->relations[i].schema, rel->schema) == 0 && strcmp(s->relations[i].name, rel->name) == 0)
            return (rel->access & ~(s->relations[i].access | POL_SELECT)) == 0; /* a filter reads what it bounds */
    return false;
}

/* Nothing is touched that was not. */
static bool same_facts(const struct pol_facts *before, const struct pol_facts *after) {
    if (before->nstmts != after->nstmts) return false;
    for (size_t i = 0; i < after->nstmts; i++) {
        const struct pol_stmt *s = &after->stmts[i];
        if (s->kind != before->stmts[i].kind || s->nrelations != before->stmts[i].nrelations) return false;
        for (size_t k = 0; k < s->nrelations; k++)
            if (!reads(&before->stmts[i], &s->relations[k])) return false;
    }
    return true;
}

bool ry_check(struct ry *x, const char *sql, size_t len) {
    const struct pol_parse_limits limits = {.bytes = 2 * RW_MAX_TEXT, .tokens = 8000000};
    struct my_options o = *x->o;
    struct my_tree after;
    struct pol_parse_error err;
    o.limits = &limits;
    bool parsed = my_parse(&after, sql, len, &o, &err), ok = false;
    if (parsed) {
        struct cmp c = {.x = x, .a = &x->tree, .b = &after, .err = &err};
        if (same_tokens(&c) && params(c.a) == params(c.b) && same_statements(&c)) {
            struct pol_facts *facts = fm_facts(&after, &o, NULL, &err);
            ok = facts != NULL && same_facts(x->facts, facts);
            pol_facts_free(facts);
        }
    }
    my_tree_free(&after);
    if (ok) return true;
    if (err.rc == POL_NO_MEMORY) return ry_no_memory(x);
    if (err.rc == POL_TOO_DEEP || err.rc == POL_TOO_LARGE) return ry_too_large(x);
    return ry_refuse(x, NULL, 0, "Write the statement in a plainer form: give each table an alias.",
                     "the statement cannot be rewritten so that what is hidden from you stays hidden");
}
