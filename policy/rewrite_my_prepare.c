/* PREPARE and EXECUTE IMMEDIATE of a text that stands in the statement: the text is rewritten as if it had been sent by itself, and written as one constant. */
#include "policy/rewrite_my_int.h"

#include <stdlib.h>
#include <string.h>

#define BY_ITSELF "Send the statement itself, or prepare it with your driver's own means."

/* A constant that the server reads as just these bytes: quotes are doubled, and backslashes where the mode knows them. */
static const char *constant(struct ry *x, const char *text, size_t len) {
    struct buf b = BUF_INIT(2 * RW_MAX_TEXT + 16);
    bool backslash = (x->o->mode & MY_NO_BACKSLASH_ESCAPES) == 0;
    buf_str(&b, " '");
    for (size_t i = 0; i < len; i++) {
        if (text[i] == '\'' || (backslash && text[i] == '\\')) buf_u8(&b, (uint8_t)text[i]);
        buf_u8(&b, (uint8_t)text[i]);
    }
    buf_str(&b, "' ");
    return ry_keep(x, &b);
}

/* The proof of it: read again it is one constant, of these bytes. */
static bool stands_for(struct ry *x, const char *quoted, const char *text, size_t len) {
    struct my_options o = *x->o;
    struct pol_parse_error err = {.rc = POL_PARSED};
    struct my_tokens t;
    o.limits = NULL;
    char *value = malloc(strlen(quoted) + 1);
    if (value == NULL) return ry_no_memory(x);
    bool ok = my_lex(quoted, strlen(quoted), &o, &t, &err);
    if (ok) {
        ok = t.n == 2 && t.t[0].kind == MY_T_STRING && my_token_value(quoted, &t.t[0], o.mode, value) == len &&
             memcmp(value, text, len) == 0;
        free(t.t);
    }
    free(value);
    if (err.rc == POL_NO_MEMORY) return ry_no_memory(x);
    return ok || ry_refuse(x, NULL, 0, BY_ITSELF, "the text cannot be rewritten so that what is hidden from you stays hidden");
}

static bool take(struct ry *x, uint32_t node, const struct pol_rewritten *inner) {
    const struct my_node *n = ry_node(x, node);
    if (memchr(inner->sql, '\0', inner->len) != NULL || !gh_utf8_valid(inner->sql, inner->len))
        return ry_refuse(x, NULL, n->tok, BY_ITSELF, "a text with bytes that are no UTF-8 cannot be rewritten here");
    const char *quoted = constant(x, inner->sql, inner->len);
    if (quoted == NULL || !stands_for(x, quoted, inner->sql, inner->len)) return false;
    x->out->explain = x->out->explain || inner->explain;
    x->marks[node] = RY_CONSTANT;
    return ry_replace(x, n->tok, n->end, quoted);
}

bool ry_prepare(struct ry *x, uint32_t node) {
    uint32_t name = ry_node(x, node)->first, text = ry_node(x, name)->next, tok = ry_node(x, text)->tok;
    struct my_options o = *x->o;
    struct pol_rewritten inner;
    size_t len = 0;
    for (size_t i = 0; i < x->facts->nstmts; i++)
        if (x->facts->stmts[i].use_schema != NULL && (o.default_db == NULL || strcmp(x->facts->stmts[i].use_schema, o.default_db) != 0))
            return ry_refuse(x, NULL, tok, BY_ITSELF, "a text that is prepared behind USE cannot be rewritten");
    for (uint32_t c = ry_node(x, text)->next; c != 0; c = ry_node(x, c)->next) /* USING */
        if (!ry_walk(x, c)) return false;
    char *sql = fm_text(&x->fm, text, &len);
    if (sql == NULL && x->err.rc != POL_PARSED) return ry_not_understood(x);
    if (sql == NULL) return ry_refuse(x, NULL, tok, BY_ITSELF, "what it prepares does not stand in the statement");
    o.multi = false;
    sql[len] = '\0';
    enum pol_rewrite_rc rc = pol_rewrite_my(sql, len, &o, x->r, &inner, x->why);
    if (rc == POL_REWRITE_SAME) return true;
    if (rc == POL_REWRITE_LONG) return ry_longer(x);
    if (rc == POL_REWRITE_REFUSED) {
        x->refused = true;
        x->why->position = 0; /* one in the inner text */
        return false;
    }
    bool ok = take(x, text, &inner);
    pol_rewritten_free(&inner);
    return ok;
}
