#include "policy/my_parse.h"

#include "policy/text.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* --- errors --- */

uint32_t mp_fail(struct mp *p, enum pol_parse_rc rc, const char *fmt, ...) {
    if (p->err->rc != POL_PARSED) return 0;
    p->err->rc = rc;
    p->err->position = 1;
    for (uint32_t i = 0; i < p->tok->at; i++)
        if (((unsigned char)p->t->sql[i] & 0xC0) != 0x80) p->err->position++;
    va_list ap;
    va_start(ap, fmt);
    vsnprintf(p->err->text, sizeof p->err->text, fmt, ap);
    va_end(ap);
    pol_utf8_tidy(p->err->text);
    return 0;
}

uint32_t mp_syntax(struct mp *p) {
    if (p->tok->kind == MY_T_END) return mp_fail(p, POL_SYNTAX, "the statement ends where more is expected");
    int n = (int)(p->tok->end - p->tok->at);
    return mp_fail(p, POL_SYNTAX, "\"%.*s\" is not understood at this place", n > 60 ? 60 : n, p->t->sql + p->tok->at);
}

bool mp_deeper(struct mp *p) {
    if (++p->depth <= p->max_depth) return true;
    mp_fail(p, POL_TOO_DEEP, "the statement is nested too deep (more than %u levels)", p->max_depth);
    return false;
}

/* --- tokens --- */

static const struct my_token *at(const struct mp *p, uint32_t ahead) {
    uint32_t last = p->t->tokens.n - 1;
    return &p->t->tokens.t[ahead < last - p->pos ? p->pos + ahead : last];
}

enum my_word mp_word(const struct mp *p) { return p->tok->kind == MY_T_WORD ? (enum my_word)p->tok->word : MY_W_NONE; }
bool mp_is(const struct mp *p, enum my_word w) { return p->tok->kind == MY_T_WORD && p->tok->word == w; }
bool mp_is_at(const struct mp *p, uint32_t ahead, enum my_word w) { return at(p, ahead)->kind == MY_T_WORD && at(p, ahead)->word == w; }
bool mp_op(const struct mp *p, unsigned op) { return p->tok->kind == MY_T_OP && p->tok->word == op; }
bool mp_op_at(const struct mp *p, uint32_t ahead, unsigned op) { return at(p, ahead)->kind == MY_T_OP && at(p, ahead)->word == op; }

void mp_next(struct mp *p) {
    if (p->tok->kind == MY_T_END) return;
    p->pos++;
    p->tok++;
}

bool mp_take(struct mp *p, enum my_word w) {
    if (!mp_is(p, w)) return false;
    mp_next(p);
    return true;
}

bool mp_take_op(struct mp *p, unsigned op) {
    if (!mp_op(p, op)) return false;
    mp_next(p);
    return true;
}

bool mp_need(struct mp *p, enum my_word w) { return mp_take(p, w) || mp_syntax(p); }
bool mp_need_op(struct mp *p, unsigned op) { return mp_take_op(p, op) || mp_syntax(p); }
bool mp_at_end(const struct mp *p) { return p->tok->kind == MY_T_END || mp_op(p, ';'); }

static bool is_name(const struct mp *p, const struct my_token *t) {
    if (t->kind == MY_T_NAME || t->kind == MY_T_QUOTED || t->kind == MY_T_CHARSET) return true;
    if (t->kind != MY_T_WORD) return false;
    if (my_word_needs_paren((enum my_word)t->word) && (t->flags & MY_TF_PAREN)) return false;
    return !my_word_reserved((enum my_word)t->word, p->t->o->server);
}

bool mp_is_name(const struct mp *p) { return is_name(p, p->tok); }
bool mp_is_name_at(const struct mp *p, uint32_t ahead) { return is_name(p, at(p, ahead)); }
bool mp_is_alias(const struct mp *p) { return mp_is_name(p) && !mp_is(p, W_WINDOW); }

bool mp_name(struct mp *p) {
    if (!mp_is_name(p)) return mp_syntax(p);
    mp_next(p);
    return true;
}

/* --- nodes --- */

uint32_t mp_node(struct mp *p, enum my_node_type type, uint32_t tok) {
    struct my_tree *t = p->t;
    if (t->nnodes == t->cap) {
        uint32_t cap = t->cap < 64 ? 128 : t->cap * 2;
        struct my_node *bigger = cap > t->cap ? realloc(t->nodes, (size_t)cap * sizeof *bigger) : NULL;
        if (bigger == NULL) return mp_fail(p, POL_NO_MEMORY, "out of memory");
        t->nodes = bigger;
        t->cap = cap;
    }
    t->nodes[t->nnodes] = (struct my_node){.type = (uint8_t)type, .tok = tok, .end = tok};
    return t->nnodes++;
}

uint32_t mp_done(struct mp *p, uint32_t node, const struct ml *list) {
    if (node == 0 || p->err->rc != POL_PARSED) return 0;
    if (list != NULL) p->t->nodes[node].first = list->first;
    p->t->nodes[node].end = p->pos;
    return node;
}

bool mp_add(struct mp *p, struct ml *list, uint32_t node) {
    if (node == 0) return false;
    if (list->last != 0)
        p->t->nodes[list->last].next = node;
    else
        list->first = node;
    list->last = node;
    return true;
}

uint32_t mp_leaf(struct mp *p, enum my_node_type type) {
    uint32_t node = mp_node(p, type, p->pos);
    mp_next(p);
    return mp_done(p, node, NULL);
}

/* --- names --- */

/* The parts of a name with points between them, at most max; a leading point stands for an empty part. *star: it ends with ".*". */
static unsigned parts(struct mp *p, unsigned max, bool *star) {
    unsigned n = 0;
    if (star != NULL) *star = false;
    if (!mp_op(p, '.')) {
        if (!mp_name(p)) return 0;
        n = 1;
    } else {
        n = 1;
    }
    while (mp_op(p, '.') && n < max) {
        if (star != NULL && mp_op_at(p, 1, '*')) {
            mp_next(p), mp_next(p);
            *star = true;
            return n;
        }
        mp_next(p);
        /* behind a point with a blank after it words are looked up again, but a name is what it must be */
        if (!mp_name(p)) return 0;
        n++;
    }
    return n;
}

uint32_t mp_table(struct mp *p, unsigned access) {
    uint32_t node = mp_node(p, MN_TABLE, p->pos);
    unsigned n = parts(p, 2, NULL);
    if (node == 0 || n == 0) return 0;
    p->t->nodes[node].flags = (uint8_t)n;
    p->t->nodes[node].word = (uint16_t)access;
    return mp_done(p, node, NULL);
}

uint32_t mp_column(struct mp *p) {
    uint32_t node = mp_node(p, MN_COLUMN, p->pos);
    bool star;
    unsigned n = parts(p, 3, &star);
    if (node == 0 || n == 0) return 0;
    p->t->nodes[node].flags = (uint8_t)n;
    if (star) p->t->nodes[node].type = MN_STAR;
    return mp_done(p, node, NULL);
}

bool mp_name_list(struct mp *p, struct ml *list) {
    if (!mp_need_op(p, '(')) return false;
    if (mp_take_op(p, ')')) return true;
    do {
        if (!mp_add(p, list, mp_column(p))) return false;
    } while (mp_take_op(p, ','));
    return mp_need_op(p, ')');
}

bool mp_alias(struct mp *p, struct ml *list) {
    bool as = mp_take(p, W_AS) || (p->maria && mp_take_op(p, '='));
    if (!as && !mp_is_alias(p)) return true;
    if (!mp_is_name(p)) return mp_syntax(p);
    return mp_add(p, list, mp_leaf(p, MN_ALIAS));
}

/* --- the text --- */

uint32_t mp_stmt_node(struct mp *p, enum my_stmt_kind kind, const char *tag, unsigned actions, uint32_t tok) {
    uint32_t node = mp_node(p, MN_STMT, tok);
    if (node == 0) return 0;
    p->t->nodes[node].word = (uint16_t)kind;
    p->s->tag = tag;
    p->s->actions |= actions;
    return node;
}

static bool add_statement(struct mp *p) {
    struct my_tree *t = p->t;
    if (t->nstmts == MY_STATEMENTS)
        return mp_fail(p, POL_TOO_LARGE, "more than %u statements in one text are not supported", MY_STATEMENTS);
    if (t->nstmts == t->stmts_cap) {
        uint32_t cap = t->stmts_cap == 0 ? 4 : t->stmts_cap * 2;
        struct my_stmt *bigger = realloc(t->stmts, cap * sizeof *bigger);
        if (bigger == NULL) return mp_fail(p, POL_NO_MEMORY, "out of memory");
        t->stmts = bigger;
        t->stmts_cap = cap;
    }
    p->current = (struct my_stmt){.tag = "", .tok = p->pos};
    p->depth = 0;
    p->values_function = p->in_values = false;
    p->current.node = mp_at_end(p) ? mp_stmt_node(p, MS_EMPTY, "", 0, p->pos) : mp_statement(p);
    if (p->current.node == 0) return false;
    if (!mp_at_end(p)) return mp_syntax(p);
    p->current.end = p->pos;
    t->stmts[t->nstmts++] = p->current;
    return true;
}

static bool text(struct mp *p) {
    for (;;) {
        if (!add_statement(p)) return false;
        if (p->tok->kind == MY_T_END) return true;
        if (p->tok->flags & MY_TF_COMMENT) return mp_syntax(p); /* the server reads to the end of a comment */
        mp_next(p);
        if (p->tok->kind == MY_T_END) return true;
        if (!p->t->o->multi) return mp_syntax(p);
    }
}

bool my_parse(struct my_tree *t, const char *sql, size_t len, const struct my_options *o, struct pol_parse_error *err) {
    *t = (struct my_tree){.sql = sql, .o = o};
    if (!my_lex(sql, len, o, &t->tokens, err)) return false;
    struct mp p = {.t = t, .tok = t->tokens.t, .err = err, .mysql = o->server == MY_MYSQL, .maria = o->server == MY_MARIADB};
    p.max_depth = o->limits != NULL && o->limits->depth != 0 ? o->limits->depth : MY_DEPTH;
    p.s = &p.current;
    mp_node(&p, MN_NONE, 0);
    return err->rc == POL_PARSED && text(&p);
}

void my_tree_free(struct my_tree *t) {
    free(t->tokens.t);
    free(t->nodes);
    free(t->stmts);
    *t = (struct my_tree){0};
}
