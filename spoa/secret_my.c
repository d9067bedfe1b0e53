/* Secrets in texts of MySQL and MariaDB. They are read by the lexer that the verdict comes from, as the session was when that was made. */
#include <config.h>

#include "spoa/secret_int.h"

#include "policy/my_lex.h"

#include <stdlib.h>
#include <string.h>
#include <strings.h>

/* What a statement is, as far as its literals go. */
enum form {
    DATA,    /* read and written: nothing of it may hide */
    CALLS,   /* of procedures, which may be named for a secret, or run a text */
    TABLES,  /* definitions, where passwords are options */
    ACCOUNT, /* everything else: behind the first word for a secret a literal is one, unless it is known to be none */
    USERS,   /* accounts and rights: the same from their first word on, for the parser knows no more of them */
    SET,     /* as ACCOUNT; besides, a variable may be given a text that is to be executed */
    TEXT,    /* PREPARE and EXECUTE IMMEDIATE */
    CODE,    /* of which the parser knows where it begins */
};

static enum form form_of_stmt(const struct pol_stmt *s) {
    switch (s->kind) {
    case POL_K_EMPTY:
    case POL_K_SELECT:
    case POL_K_INSERT:
    case POL_K_UPDATE:
    case POL_K_DELETE:
    case POL_K_COPY:
    case POL_K_TRANSACTION:
    case POL_K_SHOW:
    case POL_K_EXPLAIN:
    case POL_K_DEALLOCATE:
    case POL_K_LOCK:
    case POL_K_TRUNCATE: return DATA;
    case POL_K_CALL: return CALLS;
    case POL_K_DDL: return TABLES;
    case POL_K_GRANT: return USERS;
    case POL_K_SET: return SET;
    case POL_K_PREPARE:
    case POL_K_EXECUTE: return TEXT;
    default: return s->opaque && (s->actions & POL_EXECUTE) != 0 ? CODE : ACCOUNT;
    }
}

/* Of several statements the one of which more is hidden. */
static enum form form_of(const struct pol_facts *f) {
    enum form form = f->nstmts == 0 ? ACCOUNT : DATA;
    for (size_t i = 0; i < f->nstmts; i++)
        if (form_of_stmt(&f->stmts[i]) > form) form = form_of_stmt(&f->stmts[i]);
    return f->nstmts > 1 && form > SET ? CODE : form;
}

bool secret_my_may(const struct pol_facts *f) { return form_of(f) != DATA; }

struct hiding {
    struct hidden h;
    const struct my_token *t;
    unsigned mode;
    bool users;    /* USERS */
    bool server;   /* CREATE SERVER, ALTER SERVER */
    bool password; /* SET PASSWORD */
    bool watched;  /* since a word for a secret */
    bool before;   /* the literal before this token was hidden */
    bool typed;    /* the token before was hidden for a literal that lacks its quotes */
    bool starved;  /* no memory */
    size_t depth;  /* of parentheses */
};

static bool is_name(const struct my_token *t) { return t->kind == MY_T_WORD || t->kind == MY_T_NAME || t->kind == MY_T_QUOTED; }
static bool is_literal(const struct my_token *t) { return t->kind == MY_T_STRING || t->kind == MY_T_NSTRING || t->kind == MY_T_BINARY; }
static bool is_op(const struct my_token *t, unsigned op) { return t->kind == MY_T_OP && t->word == op; }
/* What may be given a value by =. */
static bool is_named(const struct my_token *t) { return is_name(t) || t->kind == MY_T_USERVAR; }
static bool says(const struct hiding *x, const struct my_token *t) { return is_name(t) && secret_said(x->h.text + t->at, t->end - t->at); }
static bool sounds(const struct hiding *x, const struct my_token *t) {
    static const char *const key[] = {"key", NULL};
    return is_named(t) &&
           (secret_named(x->h.text + t->at, t->end - t->at) || (x->server && secret_says(x->h.text + t->at, t->end - t->at, key)));
}

static bool is(const struct hiding *x, const struct my_token *t, const char *word) {
    size_t n = strlen(word);
    return t->kind == MY_T_WORD && t->end - t->at == n && strncasecmp(x->h.text + t->at, word, n) == 0;
}

static bool among(const struct hiding *x, const struct my_token *t, const char *const *words) {
    for (; *words != NULL; words++)
        if (is(x, t, *words)) return true;
    return false;
}

/* Behind another one there is a blank: '***''***' would be one literal. */
static void hide(struct hiding *x, const struct my_token *t) {
    bool beside = x->h.any && x->h.from == t->at;
    hidden_replace(&x->h, t->at, t->end, beside ? " '" SECRET_STARS "'" : "'" SECRET_STARS "'");
}

/* A literal's bytes, for the caller to free(). NULL: it is of bits, or there is no memory. */
static char *value_of(struct hiding *x, const struct my_token *t, size_t *len) {
    if (t->kind != MY_T_STRING && t->kind != MY_T_NSTRING) return NULL;
    char *value = malloc(t->end - t->at + 1);
    x->starved = x->starved || value == NULL;
    if (value != NULL) *len = my_token_value(x->h.text, t, x->mode, value);
    return value;
}

/* Whether what a literal means speaks of a secret. */
static bool tells(struct hiding *x, const struct my_token *t) {
    if ((t->flags & MY_TF_ESCAPED) == 0) return secret_named(x->h.text + t->at, t->end - t->at);
    size_t len = 0;
    char *value = value_of(x, t, &len);
    bool tell = value != NULL && secret_named(value, len);
    free(value);
    return tell;
}

/* The token before i that decides what it is: not its character set. */
static size_t behind(const struct hiding *x, size_t i) {
    do i--;
    while (i > 0 && x->t[i].kind == MY_T_CHARSET);
    return i;
}

/* A literal behind the first word for a secret. */
static bool is_secret(struct hiding *x, size_t i) {
    static const char *const harmless[] = {"subject", "issuer",  "cipher", "comment", "attribute", "role",   "user",  "to",
                                           "from",    "for",     "exists", "grant",   "revoke",    "on",     "admin", "with",
                                           "via",     "channel", "host",   "port",    "database",  "socket", "owner", NULL};
    static const char *const said[] = {"comment", "attribute", NULL}; /* for people and tools: a password may be there, and mostly is not */
    size_t p = behind(x, i);
    const struct my_token *before = &x->t[p], *name = p > 0 ? &x->t[p - 1] : before;
    if (is_literal(before)) return x->before;
    if (((x->server && x->depth > 0) || among(x, before, said)) && tells(x, &x->t[i])) return true;
    if (is_op(before, '=') || is_op(before, MY_OP_ASSIGN)) return x->password || !is_named(name) || sounds(x, name);
    if (is_op(before, ',')) return x->depth > 0;
    if (!is_name(before)) return true;
    return x->server && x->depth > 0 ? sounds(x, before) : !among(x, before, harmless);
}

static bool is_password(const struct hiding *x, const struct my_token *name) {
    static const char *const word[] = {"password", NULL};
    return is_name(name) && name->end - name->at >= 8 && secret_says(x->h.text + name->end - 8, 8, word);
}

/* A word or a number in a literal's place, as they are typed by mistake, or "x" where that is a name. */
static bool is_mistaken(const struct hiding *x, size_t i) {
    static const char *const no_values[] = {"password", "random", "old_password", "default", "null", NULL};
    static const char *const values[] = {"as", "using", "replace", NULL};
    const struct my_token *t = &x->t[i], *before = &x->t[behind(x, i)], *name = before > x->t ? before - 1 : before;
    if (t->kind == MY_T_QUOTED && (sounds(x, before) || among(x, before, values) || (is_op(before, '(') && sounds(x, name)))) return true;
    if (t->kind == MY_T_NUMBER && is(x, before, "password")) return true;
    if (t->kind == MY_T_OP) return is(x, before, "by") && t->word != '(';
    if (t->kind != MY_T_NUMBER && (!is_named(t) || among(x, t, no_values) || (t->flags & MY_TF_PAREN) != 0)) return false;
    return is(x, before, "by") || (is_op(before, '=') && (x->password || is_password(x, name)));
}

static void account(struct hiding *x, size_t i) {
    const struct my_token *t = &x->t[i];
    if (is_op(t, ';')) x->watched = x->users, x->server = x->password = false, x->depth = 0;
    if (is_op(t, '(')) x->depth++;
    if (is_op(t, ')') && x->depth > 0) x->depth--;
    if (is(x, t, "server")) x->server = true;
    if (is(x, t, "password") && i > 0 && is(x, &x->t[i - 1], "set")) x->password = true;
    /* it goes on up to a blank: p@ss, *0A1B */
    bool more = x->typed && t->at == x->t[i - 1].end && t->kind != MY_T_END && !is_op(t, ',') && !is_op(t, ';') && !is_op(t, ')');
    bool may = i > 0 && (x->watched || (x->server && x->depth > 0));
    bool secret = more || (may && (is_literal(t) ? is_secret(x, i) : is_mistaken(x, i)));
    if (more)
        hidden_replace(&x->h, t->at, t->end, "");
    else if (secret)
        hide(x, t);
    x->typed = more || (secret && !is_literal(t));
    if (t->kind != MY_T_CHARSET) x->before = secret;
    x->watched = x->watched || sounds(x, t);
}

/* PASSWORD = 'x', PASSWORD('x'), and what engines take for a connection: CONNECTION = 'mysql://u:x@h/d', COMMENT 'password "x"'. */
static void definition(struct hiding *x, size_t i) {
    static const char *const carries[] = {"connection", "comment", "option_list", "http", "engine_attribute", "secondary_engine_attribute",
                                          NULL};
    const struct my_token *t = &x->t[i];
    if (!is_literal(t) || i == 0) {
        x->before = false;
        return;
    }
    size_t p = behind(x, i);
    bool next = is_literal(&x->t[p]) && x->before;
    if (p > 0 && (is_op(&x->t[p], '=') || is_op(&x->t[p], '('))) p--;
    x->before = next || says(x, &x->t[p]) || (among(x, &x->t[p], carries) && tells(x, t));
    if (x->before) hide(x, t);
}

/* --- texts within the text --- */

static int digit(char c) { return c <= '9' ? c - '0' : (c | 0x20) - 'a' + 10; }

/* What the literals say one behind the other, as they may be put together, and without escapes. */
static bool literals_say(const struct hiding *x, struct buf *b) {
    for (const struct my_token *t = x->t; t->kind != MY_T_END; t++) {
        const char *s = x->h.text + t->at;
        char *room = t->kind == MY_T_STRING || t->kind == MY_T_NSTRING ? malloc(t->end - t->at + 1) : NULL;
        if (room != NULL) buf_put(b, room, my_token_value(x->h.text, t, x->mode, room));
        free(room);
        if (t->kind == MY_T_BINARY && (s[0] | 0x20) != 'b' && (s[1] | 0x20) != 'b')
            for (size_t k = 2, n = t->end - t->at - (s[1] == '\'' ? 1 : 0); k + 1 < n; k += 2)
                buf_u8(b, (uint8_t)(digit(s[k]) << 4 | digit(s[k + 1])));
        if (t->kind == MY_T_NSTRING || t->kind == MY_T_STRING) b->failed = b->failed || room == NULL;
    }
    return b->failed || secret_said((const char *)buf_at(b), buf_used(b));
}

static void comments_before(struct hiding *x, size_t i) { hidden_comments(&x->h, i > 0 ? x->t[i - 1].end : 0, x->t[i].at); }

static void all_literals(struct hiding *x) {
    for (size_t i = 0;; i++) {
        const struct my_token *t = &x->t[i];
        comments_before(x, i);
        if (t->kind == MY_T_END) return;
        if (is_literal(t) || (t->kind == MY_T_QUOTED && x->h.text[t->at] == '"')) hide(x, t);
    }
}

static char *read_as(const char *text, size_t len, const struct my_options *o, enum form form, size_t *outlen, bool *failed);

/* A form by the first word of a text, for which there are no facts. */
static enum form form_of_text(const char *text, size_t len, const struct my_options *o, bool *failed) {
    static const char *const data[] = {"select", "insert", "update", "delete", "with", "values", "table", "show", "do", NULL};
    static const char *const code[] = {"begin", "prepare", "execute", "if", "case", "while", "loop", "repeat", "for", "declare", NULL};
    static const char *const stored[] = {"procedure", "function", "trigger", "event", "package", NULL};
    struct my_tokens t;
    struct pol_parse_error err;
    if (!my_lex(text, len, o, &t, &err)) {
        *failed = err.rc == POL_NO_MEMORY;
        return CODE;
    }
    struct hiding x = {.h.text = text, .t = t.t};
    enum form form = among(&x, t.t, data)   ? DATA
                     : is(&x, t.t, "call")  ? CALLS
                     : among(&x, t.t, code) ? CODE
                     : is(&x, t.t, "set")   ? SET
                                            : ACCOUNT;
    static const char *const rights[] = {"grant", "revoke", "rename", NULL}, *const whose[] = {"user", "role", NULL};
    if (form == ACCOUNT && (among(&x, t.t, rights) || (t.n > 1 && among(&x, &t.t[1], whose)) || (t.n > 3 && among(&x, &t.t[3], whose))))
        form = USERS;
    for (uint32_t i = 1; form == ACCOUNT && i < t.n && (is(&x, t.t, "create") || is(&x, t.t, "alter")); i++)
        if (among(&x, &t.t[i], stored))
            form = CODE;
        else if (i < 5 && is(&x, &t.t[i], "table")) /* OR REPLACE TEMPORARY */
            form = TABLES;
    free(t.t);
    return form;
}

/* A literal that is a text of its own: hidden is what would be of that. */
static void inside(struct hiding *x, const struct my_token *at, const struct my_options *o, bool *failed) {
    size_t len = 0, n = 0;
    char *inner = value_of(x, at, &len);
    enum form form = inner != NULL ? form_of_text(inner, len, o, failed) : DATA;
    char *shown = *failed ? NULL : read_as(inner, len, o, form, &n, failed);
    free(inner);
    if (shown == NULL) return;
    struct buf b = BUF_INIT(8 * n + 64);
    buf_u8(&b, '\'');
    for (size_t i = 0; i < n; i++) {
        if (shown[i] == '\'' || (shown[i] == '\\' && (x->mode & MY_NO_BACKSLASH_ESCAPES) == 0)) buf_u8(&b, (uint8_t)shown[i]);
        buf_u8(&b, (uint8_t)shown[i]);
    }
    buf_u8(&b, '\'');
    buf_u8(&b, '\0');
    *failed = b.failed;
    if (!b.failed) hidden_replace(&x->h, at->at, at->end, (const char *)buf_at(&b));
    buf_free(&b);
    free(shown);
}

/* PREPARE s FROM 'text', EXECUTE IMMEDIATE 'text'. False: it is put together in another way. */
static bool one_text(struct hiding *x, const struct my_options *o, bool *failed) {
    const struct my_token *t = x->t, *at = NULL;
    for (; t->kind != MY_T_END; t++)
        if (is_literal(t)) {
            if (at != NULL || t == x->t || t->kind != MY_T_STRING || !(is(x, t - 1, "from") || is(x, t - 1, "immediate"))) return false;
            at = t;
        }
    if (at == NULL || !(at[1].kind == MY_T_END || is_op(&at[1], ';') || is(x, &at[1], "using"))) return at == NULL;
    inside(x, at, o, failed);
    return true;
}

/* CALL set_password('u', 'x') shows no literal; CALL run('ALTER USER u IDENTIFIED BY ''x''') shows that text as PREPARE would. */
static void calls(struct hiding *x, const struct my_options *o, bool *failed) {
    static const char *const external[] = {"external_master", "external_source",
                                           NULL}; /* of mysql.rds_set_external_master(), and its kin */
    bool first = true, calling = false, named = false;
    for (size_t i = 0; !*failed; i++) {
        const struct my_token *t = &x->t[i];
        comments_before(x, i);
        if (t->kind == MY_T_END) return;
        if (first) calling = is(x, t, "call"), named = false, x->depth = 0;
        first = is_op(t, ';');
        if (is_op(t, '(')) x->depth++;
        if (x->depth == 0 && is_name(t)) named = named || sounds(x, t) || secret_says(x->h.text + t->at, t->end - t->at, external);
        if (!calling || !is_literal(t)) continue;
        if (named)
            hide(x, t);
        else if (tells(x, t))
            inside(x, t, o, failed);
    }
}

static void token(struct hiding *x, size_t i, enum form form) {
    comments_before(x, i);
    if (form == TABLES)
        definition(x, i);
    else
        account(x, i);
}

static char *read_as(const char *text, size_t len, const struct my_options *o, enum form form, size_t *outlen, bool *failed) {
    struct my_tokens t;
    struct pol_parse_error err;
    if (form == DATA) return NULL;
    if (!my_lex(text, len, o, &t, &err)) {
        *failed = err.rc == POL_NO_MEMORY;
        return *failed ? NULL : secret_coarse(text, len, outlen, failed);
    }
    struct hiding x = {
        .h = {.text = text, .out = BUF_INIT(8 * len + 64)}, .t = t.t, .mode = o->mode, .users = form == USERS, .watched = form == USERS};
    /* definitions of servers are among what is stored code otherwise */
    if (form == CODE && t.n > 2 && (is(&x, &t.t[1], "server") || (t.n > 4 && is(&x, &t.t[1], "or") && is(&x, &t.t[3], "server"))))
        form = ACCOUNT;
    struct buf b = BUF_INIT(len + 64);
    bool said = form >= SET && literals_say(&x, &b);
    *failed = b.failed;
    buf_free(&b);
    if (form == CALLS && !*failed) calls(&x, o, failed);
    if (form == TEXT && !*failed && one_text(&x, o, failed)) said = false;
    said = said || (form == CODE && secret_said(text, len));
    if (said && !*failed)
        all_literals(&x);
    else if (form >= TABLES && form <= SET)
        for (size_t i = 0; i < t.n; i++) token(&x, i, form);
    *failed = *failed || x.starved;
    free(t.t);
    if (!*failed) return hidden_done(&x.h, len, outlen, failed);
    buf_free(&x.h.out);
    return NULL;
}

char *secret_my_hide(const char *text, size_t len, const struct pol_facts *f, size_t *outlen, bool *failed) {
    const struct my_options o = {.server = (enum my_server)f->my_server, .version = f->my_version, .mode = f->my_mode};
    enum form form = form_of(f);
    *failed = false;
    static const char *const external[] = {"_external_", NULL};
    bool named = secret_named(text, len) || memchr(text, '\\', len) != NULL; /* or in escapes */
    if (form < USERS && !named && !(form == CALLS && secret_says(text, len, external))) return NULL;
    if ((form == SET || form == USERS) && memchr(text, '\'', len) == NULL && memchr(text, '"', len) == NULL && !secret_named(text, len))
        return NULL;
    return read_as(text, len, &o, form, outlen, failed);
}
