/* Facts of statements that are about the session, the server or the schema. */
#include "policy/facts_my_int.h"

#include <stdio.h>
#include <string.h>

/* --- settings --- */

static const char *join(struct fm *x, const char *a, const char *b) {
    size_t size = strlen(a) + strlen(b) + 2;
    char *s = pol_alloc(x->c.arena, size);
    if (s == NULL) {
        fm_fail(x, POL_NO_MEMORY, "out of memory");
        return NULL;
    }
    snprintf(s, size, "%s.%s", a, b);
    return s;
}

/* CONCAT(@@sql_mode, ',STRICT_TRANS_TABLES'), as drivers say it when they connect: "@@sql_mode,STRICT_TRANS_TABLES". NULL for anything else. */
static const char *mode_and_more(struct fm *x, const struct my_node *call) {
    const struct my_node *mode = call->type == MN_CALL && call->flags == 1 && call->first != 0 ? fm_node(x, call->first) : NULL;
    const struct my_node *more = mode != NULL && mode->type == MN_SYSVAR && mode->next != 0 ? fm_node(x, mode->next) : NULL;
    if (more == NULL || more->next != 0 || more->type != MN_LITERAL || more->end != more->tok + 1) return NULL;
    const char *function = fm_part(x, call->tok, 0, true), *variable = fm_part(x, mode->tok + 1, mode->flags - 1u, true);
    const char *text = fm_name(x, more->tok, false);
    if (function == NULL || variable == NULL || text == NULL || strcmp(function, "concat") != 0 || strcmp(variable, "sql_mode") != 0)
        return NULL;
    size_t size = strlen(text) + sizeof POL_MODE_AND;
    char *s = pol_alloc(x->c.arena, size);
    if (s == NULL)
        fm_fail(x, POL_NO_MEMORY, "out of memory");
    else
        snprintf(s, size, "%s%s", POL_MODE_AND, text);
    return s;
}

/* A value as text, when the statement holds it. */
static const char *value_text(struct fm *x, uint32_t node) {
    if (node == 0) return NULL;
    const struct my_node *v = fm_node(x, node);
    const char *mode = mode_and_more(x, v);
    if (mode != NULL) return mode;
    bool word = v->type == MN_NAME || (v->type == MN_COLUMN && v->flags == 1);
    if ((!word && v->type != MN_LITERAL) || v->end != v->tok + 1) return POL_ANY_VALUE;
    return fm_name(x, v->tok, false);
}

static bool is_global(enum my_word w) { return w == W_GLOBAL || w == W_PERSIST || w == W_PERSIST_ONLY; }

/* What changes how the rest of the text is read. */
static bool changes_reading(const char *name) {
    return strcmp(name, "sql_mode") == 0 || strcmp(name, "names") == 0 || strcmp(name, "character set") == 0 ||
           strcmp(name, "character_set_client") == 0 || strcmp(name, "old_mode") == 0;
}

/* SET TRANSACTION ISOLATION LEVEL SERIALIZABLE: the value of "transaction". Its words are read by nobody else. */
static bool is_serializable(struct fm *x, const struct my_node *n) {
    for (uint32_t i = n->tok; i < n->end; i++) {
        const char *word = x->t->tokens.t[i].kind == MY_T_WORD ? fm_name(x, i, true) : NULL;
        if (word != NULL && strcmp(word, "serializable") == 0) return true;
    }
    return false;
}

static bool set_one(struct fm *x, uint32_t node) {
    const struct my_node *n = fm_node(x, node);
    const struct my_token *t = &x->t->tokens.t[n->tok];
    enum my_word scope = (enum my_word)n->word;
    const char *name;
    bool carried = false; /* SET GLOBAL a = 1, b = 2: whether b is global too, servers differ */
    if (scope == W_NAMES) {
        name = t->word == W_NAMES ? "names" : "character set";
        scope = MY_W_NONE;
    } else if (t->kind == MY_T_SYSVAR) {
        scope = MY_W_NONE;
        name = fm_part(x, n->tok + 1, n->flags - 1u, true);
        if (n->flags > 1) {
            const char *first = fm_part(x, n->tok + 1, 0, true);
            if (name == NULL || first == NULL) return false;
            scope = my_word_of(first, strlen(first));
            bool known = is_global(scope) || scope == W_SESSION || scope == W_LOCAL;
            if (!known || n->flags > 2) name = join(x, first, name), scope = W_GLOBAL; /* a part of a key cache, a component's */
        }
    } else {
        name = fm_part(x, n->tok, n->flags - 1u, true);
        const struct my_token *before = n->tok > 0 ? t - 1 : t;
        carried = is_global(scope) && !(before->kind == MY_T_WORD && before->word == scope);
        if (n->flags > 1) {
            const char *first = fm_part(x, n->tok, 0, true);
            if (name == NULL || first == NULL) return false;
            name = join(x, first, name);
            if (scope == MY_W_NONE) scope = W_GLOBAL;
        }
    }
    if (name == NULL) return false;
    uint32_t v = n->first;
    const char *value = value_text(x, v);
    if (v == 0 && strcmp(name, "transaction") == 0 && is_serializable(x, n)) value = "serializable";
    if (x->c.err->rc != POL_PARSED || (v != 0 && !fm_walk(x, v))) return false;
    x->mode_changed = x->mode_changed || changes_reading(name);
    x->c.s->reads_only = x->c.s->reads_only && !is_global(scope);
    if (!is_global(scope)) return fm_setting(x, name, value, false, false);
    if (carried && !fm_setting(x, name, value, false, false)) return false;
    const char *global = join(x, scope == W_GLOBAL ? "global" : "persist", name);
    return global != NULL && fm_setting(x, global, value, false, false);
}

static bool set(struct fm *x, uint32_t node) {
    bool statement = false;
    for (uint32_t c = fm_node(x, node)->first; c != 0; c = fm_node(x, c)->next) {
        enum my_node_type type = (enum my_node_type)fm_node(x, c)->type;
        statement = statement || type == MN_STMT;
        if (type == MN_STMT && x->mode_changed) /* its text is read in the new mode already */
            return fm_fail(x, POL_NOT_UNDERSTOOD, "SET STATEMENT with sql_mode or a character set is not understood");
        uint32_t columns = x->columns;
        if (type == MN_SETTING ? !set_one(x, c) : !fm_walk(x, c)) return false;
        if (type == MN_SETTING) x->columns = columns; /* SET x = word */
    }
    return true;
}

/* --- PREPARE --- */

/* In lower case. The servers compare these names by a collation that takes letters with accents for those without, and ends them before their blanks: what they
 * would take for one may not be two here. */
static const char *statement_name(struct fm *x, uint32_t tok) {
    const char *name = fm_name(x, tok, true);
    size_t len = name != NULL ? strlen(name) : 0;
    bool plain = len == 0 || name[len - 1] != ' ';
    for (size_t i = 0; i < len; i++) plain = plain && (unsigned char)name[i] < 0x80;
    if (plain) return name;
    fm_fail(x, POL_NOT_UNDERSTOOD, "the name of a prepared statement may not have letters beyond ASCII, or end with a blank");
    return NULL;
}

char *fm_text(struct fm *x, uint32_t node, size_t *len) {
    const struct my_node *n = fm_node(x, node);
    const struct my_token *t = x->t->tokens.t;
    if (n->type != MN_LITERAL) return NULL;
    for (uint32_t i = n->tok; i < n->end; i++)
        if (t[i].kind != MY_T_STRING) return NULL;
    char *s = pol_alloc(x->c.arena, (size_t)(t[n->end - 1].end - t[n->tok].at) + 1);
    if (s == NULL) {
        fm_fail(x, POL_NO_MEMORY, "out of memory");
        return NULL;
    }
    *len = 0;
    for (uint32_t i = n->tok; i < n->end; i++) *len += my_token_value(x->t->sql, &t[i], x->o->mode, s + *len);
    return s;
}

static bool inner_text(struct fm *x, const char *sql, size_t len, uint32_t at) {
    struct my_options o = *x->o;
    struct my_tree t, *outer = x->t;
    o.multi = false;
    bool ok = my_parse(&t, sql, len, &o, x->c.err);
    const struct my_options *outer_o = x->o;
    if (ok) {
        x->t = &t;
        x->o = &o;
        x->inner = true;
        x->inner_at = at;
        for (uint32_t i = 0; ok && i < t.nstmts; i++) {
            x->c.s->actions |= t.stmts[i].actions;
            ok = fm_statement(x, &t.stmts[i], t.stmts[i].node);
        }
        x->t = outer;
        x->o = outer_o;
        x->inner = false;
    } else {
        x->c.err->position = 0;
    }
    my_tree_free(&t);
    return ok;
}

static bool prepare(struct fm *x, uint32_t node) {
    uint32_t name = fm_node(x, node)->first, text = fm_node(x, name)->next, at = x->t->tokens.t[fm_node(x, text)->tok].at;
    bool immediate = x->t->tokens.t[fm_node(x, node)->tok].word == W_EXECUTE;
    size_t len = 0;
    if (x->inner) return fm_fail(x, POL_NOT_UNDERSTOOD, "PREPARE within PREPARE is not understood");
    if (!immediate && (x->c.s->forget_statement = statement_name(x, fm_node(x, name)->tok)) == NULL) return false;
    for (uint32_t c = text; c != 0; c = fm_node(x, c)->next)
        if (!fm_walk(x, c)) return false;
    char *sql = fm_text(x, text, &len);
    if (sql == NULL) {
        x->c.s->opaque = true; /* what @x holds, the text does not say */
        return x->c.err->rc == POL_PARSED;
    }
    x->ctes = NULL;
    x->in_cte = NULL;
    return inner_text(x, sql, len, at);
}

/* --- by kind --- */

static bool call(struct fm *x, uint32_t node) {
    uint32_t fn = fm_node(x, node)->first;
    const struct my_node *n = fm_node(x, fn);
    const char *name = fm_part(x, n->tok, n->flags - 1u, true), *schema = n->flags > 1 ? fm_object(x, n->tok, 0) : fm_default_db(x);
    if (name == NULL || schema == NULL) return false;
    if (n->flags > 2) { /* db.package.procedure */
        const char *package = fm_part(x, n->tok, 1, true);
        if (package == NULL || (name = join(x, package, name)) == NULL) return false;
    }
    x->c.s->opaque = true;
    return fm_function(x, schema, name, fm_at(x, n->tok)) && fm_children(x, fn);
}

static bool use(struct fm *x, uint32_t node) {
    const char *db = fm_object(x, fm_node(x, fm_node(x, node)->first)->tok, 0);
    if (db == NULL) return false;
    if (x->inner) return fm_fail(x, POL_NOT_UNDERSTOOD, "USE within PREPARE is not understood");
    x->c.s->use_schema = x->default_db = db;
    return true;
}

/* --- SHOW VARIABLES --- */

/* The one variable that a pattern of LIKE names, NULL when it may be several. "_" stands for any character there, but no server has two names that differ in one. */
static const char *pattern_name(struct fm *x, uint32_t tok) {
    const char *from = fm_name(x, tok, true);
    if (from == NULL || *from == '\0') return NULL;
    char *name = pol_alloc(x->c.arena, strlen(from) + 1), *to = name;
    if (name == NULL) fm_fail(x, POL_NO_MEMORY, "out of memory");
    for (; name != NULL && *from != '\0'; from++) {
        bool plain = (*from >= 'a' && *from <= 'z') || (*from >= '0' && *from <= '9') || *from == '_';
        if (!plain && !(*from == '\\' && from[1] == '_')) return NULL;
        if (plain) *to++ = *from;
    }
    if (name != NULL) *to = '\0';
    return name;
}

/* SHOW VARIABLES LIKE 'x', SHOW VARIABLES WHERE Variable_name = 'x' OR ...: as drivers ask for the few that they need. False when it is anything else. */
static bool shows_named(struct fm *x, uint32_t tok) {
    const struct my_token *t = x->t->tokens.t;
    while (t[tok].kind == MY_T_WORD && t[tok].word != W_VARIABLES) tok++;
    bool like = t[tok].kind == MY_T_WORD && t[tok + 1].kind == MY_T_WORD && t[tok + 1].word == W_LIKE;
    bool where = t[tok].kind == MY_T_WORD && t[tok + 1].kind == MY_T_WORD && t[tok + 1].word == W_WHERE;
    if (!like && !where) return false;
    for (tok += 2;; tok++) {
        if (where) {
            const char *name = t[tok].kind == MY_T_WORD ? fm_name(x, tok, true) : NULL;
            if (name == NULL || strcmp(name, "variable_name") != 0 || t[tok + 1].kind != MY_T_OP || t[tok + 1].word != '=') return false;
            tok += 2;
        }
        const char *name = t[tok].kind == MY_T_STRING ? pattern_name(x, tok) : NULL;
        if (name == NULL || !fm_setting(x, name, NULL, false, true)) return false;
        tok++;
        if (like || t[tok].kind != MY_T_WORD || t[tok].word != W_OR) break;
    }
    return t[tok].kind == MY_T_END || (t[tok].kind == MY_T_OP && t[tok].word == ';');
}

static enum pol_kind kind_of(enum my_stmt_kind kind) {
    switch (kind) {
    case MS_LOAD: return POL_K_COPY;
    case MS_CALL: return POL_K_CALL;
    case MS_EXPLAIN: return POL_K_EXPLAIN;
    case MS_SET:
    case MS_USE: return POL_K_SET;
    case MS_SHOW: return POL_K_SHOW;
    case MS_TRANSACTION: return POL_K_TRANSACTION;
    case MS_PREPARE: return POL_K_PREPARE;
    case MS_EXECUTE: return POL_K_EXECUTE;
    case MS_DEALLOCATE: return POL_K_DEALLOCATE;
    case MS_LOCK: return POL_K_LOCK;
    case MS_TRUNCATE: return POL_K_TRUNCATE;
    case MS_DDL: return POL_K_DDL;
    case MS_GRANT: return POL_K_GRANT;
    case MS_MAINTAIN: return POL_K_MAINTAIN;
    default: return POL_K_OTHER;
    }
}

bool fm_util(struct fm *x, const struct my_stmt *st, uint32_t node) {
    const struct my_node *n = fm_node(x, node);
    enum my_stmt_kind kind = (enum my_stmt_kind)n->word;
    struct pol_stmt *s = x->c.s;
    if (st != NULL && !x->inner) s->kind = kind_of(kind);
    if (n->flags & MF_OPAQUE) s->opaque = true;
    if (n->word == MS_DDL) {
        s->keeps = s->keeps || (n->flags & (MF_KEEPS | MF_VIEW)) != 0;
        s->moves = s->moves || (n->flags & MF_MOVES) != 0;
        s->definer = s->definer || (n->flags & MF_DEFINER) != 0;
        if (n->flags & MF_TELLS) s->tells |= POL_ALTER;
        if (n->flags & MF_VIEW) s->carries |= POL_SELECT | POL_INSERT | POL_UPDATE | POL_DELETE;
    }
    if (st != NULL && st->actions != 0) s->reads_only = false;
    if (st != NULL && st->tag != NULL && strcmp(st->tag, MY_SHOW_GRANTS) == 0) return fm_setting(x, "gatehouse.grants", NULL, false, true);
    /* PREPARE has a tag of its own, so what its text asks for is said as the variable that tells a part of it. */
    if (x->inner && st != NULL && st->tag != NULL && strcmp(st->tag, "SHOW WARNINGS") == 0 &&
        !fm_setting(x, "warning_count", NULL, false, true))
        return false;
    bool named = st != NULL && st->catalog != NULL && strcmp(st->catalog, "session_variables") == 0 && shows_named(x, n->tok);
    if (x->c.err->rc != POL_PARSED) return false;
    bool accounts = st != NULL && st->catalog != NULL && strcmp(st->catalog, MY_ACCOUNTS) == 0;
    if (st != NULL && st->catalog != NULL && !named &&
        !fm_relation(x, accounts ? "mysql" : "information_schema", st->catalog, POL_SELECT, fm_at(x, n->tok)))
        return false;
    switch (kind) {
    case MS_CALL: return call(x, node);
    case MS_SET: return set(x, node);
    case MS_USE: return use(x, node);
    case MS_PREPARE: return prepare(x, node);
    case MS_LOAD:
        if (n->flags & MF_LOCAL)
            s->copy_in = true;
        else
            s->actions |= POL_FILES;
        return fm_children(x, node);
    case MS_HANDLER:
        s->opaque = true;
        break; /* READ goes to what was open under that name: the policy may have been another, or the name another table's */
    case MS_EXECUTE:
        if (x->inner) return fm_fail(x, POL_NOT_UNDERSTOOD, "EXECUTE within PREPARE is not understood");
        if ((s->uses_statement = statement_name(x, fm_node(x, n->first)->tok)) == NULL) return false;
        break;
    case MS_DEALLOCATE: /* within PREPARE it would be another name than the one that is made */
        if (x->inner) return fm_fail(x, POL_NOT_UNDERSTOOD, "DEALLOCATE within PREPARE is not understood");
        if ((s->forget_statement = statement_name(x, fm_node(x, n->first)->tok)) == NULL) return false;
        break;
    default: break;
    }
    return fm_children(x, node);
}
