#include <config.h>

#include "spoa/secret_sql.h"

#include "filters/bytes.h"

#include <ctype.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#define STARS "***"

bool secret_sql_may(const struct pol_facts *f) {
    static const char *const words[] = {" ROLE", "USER MAPPING", " SERVER", "FOREIGN ", "SUBSCRIPTION"};
    if (f == NULL) return true;
    for (size_t i = 0; i < f->nstmts; i++) {
        const struct pol_stmt *s = &f->stmts[i];
        if (f->dialect == POL_MYSQL && (s->actions & POL_GRANT) != 0) return true;
        for (size_t k = 0; s->tag != NULL && k < sizeof words / sizeof *words; k++)
            if (strstr(s->tag, words[k]) != NULL) return true;
        for (size_t k = 0; k < s->nfunctions; k++)
            if (s->functions[k].name != NULL && strncasecmp(s->functions[k].name, "dblink", 6) == 0) return true;
    }
    return false;
}

/* --- tokens --- */

enum kind { END, WORD, LITERAL, OTHER };
struct token {
    enum kind kind;
    size_t at, end;     /* in the text */
    size_t body, close; /* LITERAL: what is between its quotes */
    bool escapes;       /* LITERAL: its bytes are not what it means */
    char word[32];      /* WORD: in lower case, cut */
};
struct lexer {
    const char *text;
    size_t at, len;
    bool mysql;
};

static bool word_start(char c) { return isalpha((unsigned char)c) || c == '_' || (unsigned char)c >= 0x80; }
static bool word_more(char c) { return word_start(c) || isdigit((unsigned char)c) || c == '$'; }
static bool blank(char c) { return c == ' ' || c == '\t' || c == '\n' || c == '\r' || c == '\f' || c == '\v'; }
static char peek(const struct lexer *x, size_t ahead) { return ahead < x->len - x->at ? x->text[x->at + ahead] : '\0'; }

static void skip_line(struct lexer *x) {
    while (x->at < x->len && x->text[x->at] != '\n' && x->text[x->at] != '\r') x->at++;
}

static void skip_comment(struct lexer *x) {
    size_t nested = 1;
    for (x->at += 2; x->at < x->len && nested > 0;) {
        if (peek(x, 0) == '/' && peek(x, 1) == '*')
            nested++, x->at += 2;
        else if (peek(x, 0) == '*' && peek(x, 1) == '/')
            nested--, x->at += 2;
        else
            x->at++;
    }
}

static void skip_blank(struct lexer *x) {
    for (;;) {
        if (x->at < x->len && blank(x->text[x->at]))
            x->at++;
        else if ((peek(x, 0) == '-' && peek(x, 1) == '-') || (x->mysql && peek(x, 0) == '#'))
            skip_line(x);
        else if (x->mysql && peek(x, 0) == '/' && peek(x, 1) == '*' && (peek(x, 2) == '!' || (peek(x, 2) == 'M' && peek(x, 3) == '!')))
            x->at += 3; /* what is in it counts */
        else if (peek(x, 0) == '/' && peek(x, 1) == '*')
            skip_comment(x);
        else
            return;
    }
}

/* At the opening quote; to behind the closing one. */
static void skip_quoted(struct lexer *x, char quote, bool escapes) {
    for (x->at++; x->at < x->len; x->at++) {
        if (escapes && x->text[x->at] == '\\' && x->len - x->at > 1)
            x->at++;
        else if (x->text[x->at] == quote && peek(x, 1) == quote)
            x->at++;
        else if (x->text[x->at] == quote) {
            x->at++;
            return;
        }
    }
}

/* 'a' NEWLINE 'b' is one string; comments between count as blanks. */
static bool goes_on(struct lexer *x) {
    struct lexer look = *x;
    skip_blank(&look);
    if (peek(&look, 0) != '\'' || memchr(x->text + x->at, '\n', look.at - x->at) == NULL) return false;
    x->at = look.at;
    return true;
}

static void string(struct lexer *x, struct token *t, bool escapes) {
    t->kind = LITERAL;
    t->escapes = escapes;
    t->body = x->at + 1;
    char quote = x->text[x->at];
    skip_quoted(x, quote, escapes);
    size_t pieces = 1;
    while (!x->mysql && goes_on(x)) {
        skip_quoted(x, '\'', escapes);
        pieces++;
    }
    t->escapes = t->escapes || pieces > 1;
    t->close = x->at > t->body && x->text[x->at - 1] == quote ? x->at - 1 : x->at;
}

/* $tag$ ... $tag$; false: it is $1 or a lone $. */
static bool dollar(struct lexer *x, struct token *t) {
    size_t p = x->at + 1;
    if (p < x->len && word_start(x->text[p]))
        while (p < x->len && word_more(x->text[p]) && x->text[p] != '$') p++;
    if (p >= x->len || x->text[p] != '$') return false;
    size_t n = p + 1 - x->at;
    const char *close = memmem(x->text + p + 1, x->len - p - 1, x->text + x->at, n);
    t->kind = LITERAL;
    t->body = p + 1;
    t->close = close == NULL ? x->len : (size_t)(close - x->text);
    x->at = close == NULL ? x->len : t->close + n;
    return true;
}

static void take_word(struct token *t, const char *s, size_t n) {
    if (n > sizeof t->word - 1) n = sizeof t->word - 1;
    for (size_t i = 0; i < n; i++) t->word[i] = (char)tolower((unsigned char)s[i]);
    t->word[n] = '\0';
}

static void next(struct lexer *x, struct token *t) {
    skip_blank(x);
    *t = (struct token){.kind = OTHER, .at = x->at};
    char c = peek(x, 0), d = peek(x, 1);
    if (x->at == x->len)
        t->kind = END;
    else if (c == '\'' || (x->mysql && c == '"'))
        string(x, t, x->mysql);
    else if ((c == 'e' || c == 'E' || c == 'n' || c == 'N' || c == 'b' || c == 'B' || c == 'x' || c == 'X') && d == '\'') {
        x->at++;
        string(x, t, c == 'e' || c == 'E');
    } else if ((c == 'u' || c == 'U') && d == '&' && (peek(x, 2) == '\'' || peek(x, 2) == '"')) {
        bool name = peek(x, 2) == '"';
        x->at += 2;
        if (name)
            skip_quoted(x, '"', false), t->kind = WORD, take_word(t, x->text + t->at, x->at - t->at);
        else
            string(x, t, true);
        t->escapes = true;
    } else if (c == '"' || (x->mysql && c == '`')) {
        skip_quoted(x, c, false);
        t->kind = WORD;
        take_word(t, x->text + t->at + 1, x->at - t->at > 2 ? x->at - t->at - 2 : 0);
    } else if (word_start(c)) {
        while (x->at < x->len && word_more(x->text[x->at])) x->at++;
        t->kind = WORD;
        take_word(t, x->text + t->at, x->at - t->at);
    } else if (c != '$' || x->mysql || !dollar(x, t))
        x->at++;
    t->end = x->at;
}

/* --- connection strings --- */

/* From the name of a password on: behind its value. "password = 'a b'" and "password=a\ b"; quotes are doubled in a literal. */
static size_t value_end(const char *s, size_t at, size_t len) {
    if (at < len && (s[at] == '\'' || (s[at] == '\\' && at + 1 < len && s[at + 1] == '\''))) return len; /* too many ways to end it */
    while (at < len && !blank(s[at]) && s[at] != '&') at += s[at] == '\\' && at + 1 < len ? 2 : 1;
    return at < len ? at : len;
}

/* The first secret from *at on: where it begins, and *end. */
static bool find_conninfo(const char *s, size_t len, size_t *at, size_t *end) {
    for (size_t i = *at; i < len; i++) {
        if (len - i > 8 && strncasecmp(s + i, "password", 8) == 0) {
            size_t p = i + 8;
            while (p < len && blank(s[p])) p++;
            if (p == len || s[p] != '=') continue;
            for (p++; p < len && blank(s[p]);) p++;
            *at = p;
            *end = value_end(s, p, len);
            return *end > p;
        }
        if (len - i > 3 && memcmp(s + i, "://", 3) == 0) { /* USER:PASSWORD@HOST; the last @ before the path counts */
            size_t stop = i + 3, sign = 0, colon = 0;
            for (; stop < len && s[stop] != '/' && !blank(s[stop]); stop++) {
                if (s[stop] == '@') sign = stop;
                if (s[stop] == ':' && colon == 0) colon = stop;
            }
            if (sign == 0 || colon == 0 || colon > sign) continue;
            *at = colon + 1;
            *end = sign;
            return true;
        }
    }
    return false;
}

size_t secret_conninfo_hide(char *text, size_t len) {
    size_t at = 0, end;
    while (find_conninfo(text, len, &at, &end)) {
        if (end - at < sizeof STARS - 1) { /* in place there is no room for more */
            memset(text + at, '*', end - at);
            at = end;
            continue;
        }
        memcpy(text + at, STARS, sizeof STARS - 1);
        memmove(text + at + sizeof STARS - 1, text + end, len - end);
        len -= end - at - (sizeof STARS - 1);
        at += sizeof STARS - 1;
    }
    return len;
}

/* --- statements --- */

enum form { PLAIN, ROLE, OPTIONS, MAPPING, CONNECTION };

struct hiding {
    const char *text;
    struct buf out;
    size_t from; /* up to here it is in out */
    bool understood, dblink, mysql;
    bool identified; /* MySQL: between IDENTIFIED and what ends its secrets */
    enum form form;
    size_t nth;        /* of the token in its statement */
    char first[32];    /* its first word */
    bool after_secret; /* the word before was PASSWORD: the next literal is one */
    bool any;
};

static void replace(struct hiding *h, size_t at, size_t end, const char *with) {
    buf_put(&h->out, h->text + h->from, at - h->from);
    buf_str(&h->out, with);
    h->from = end;
    h->any = true;
}

static bool among(const char *word, const char *const *list) {
    while (*list != NULL && strcmp(word, *list) != 0) list++;
    return *list != NULL;
}

static bool sounds_secret(const char *word) {
    static const char *const parts[] = {"pass", "pwd", "secret", "token", "key", "cred", "auth"};
    for (size_t i = 0; i < sizeof parts / sizeof *parts; i++)
        if (strstr(word, parts[i]) != NULL) return true;
    return false;
}

/* What kind of statement the first words begin. */
static void begin(struct hiding *h, const struct token *t) {
    static const char *const roles[] = {"role", "user", "group", NULL}, *const foreign[] = {"server", "foreign", NULL};
    if (h->nth == 0) memcpy(h->first, t->word, sizeof h->first);
    bool ddl = strcmp(h->first, "create") == 0 || strcmp(h->first, "alter") == 0;
    if (h->nth == 1 && ddl && among(t->word, roles)) h->form = ROLE;
    if (h->nth == 1 && ddl && among(t->word, foreign)) h->form = OPTIONS;
    if (h->nth == 1 && ddl && strcmp(t->word, "subscription") == 0) h->form = CONNECTION;
    if (h->nth == 2 && h->form == ROLE && strcmp(t->word, "mapping") == 0) h->form = MAPPING;
}

static void conninfo(struct hiding *h, const struct token *t) {
    size_t at = t->body, end;
    if (t->escapes && h->form == CONNECTION) { /* "pass\167ord" is one too. Elsewhere what runs could be hidden that way */
        replace(h, t->at, t->end, "'" STARS "'");
        return;
    }
    while (find_conninfo(h->text, t->close, &at, &end)) {
        replace(h, at, end, STARS);
        at = end;
    }
}

/* IDENTIFIED BY 'x' REPLACE 'y', IDENTIFIED WITH p AS 'x'; SET PASSWORD FOR 'u'@'h' = 'x', MASTER_PASSWORD = 'x', OPTIONS (PASSWORD 'x'). */
static void mysql_literal(struct hiding *h, const struct token *t, const struct token *before) {
    char c = before->kind == OTHER ? h->text[before->at] : '\0';
    bool behind = c == '=' || c == '(' ||
                  (before->kind == WORD && (strstr(before->word, "password") != NULL || strcmp(before->word, "replace") == 0));
    if (h->identified || (h->after_secret && behind)) replace(h, t->at, t->end, "'" STARS "'");
}

static void mysql_word(struct hiding *h, const struct token *t) {
    static const char *const ends[] = {"require", "account", "comment", "attribute", "default", "to", "on", NULL};
    size_t n = strlen(t->word);
    if (strcmp(t->word, "identified") == 0) h->identified = true;
    if (among(t->word, ends)) h->identified = false;
    if (n >= 8 && strcmp(t->word + n - 8, "password") == 0) h->after_secret = true;
}

static void literal(struct hiding *h, const struct token *t, const struct token *before) {
    if (h->mysql) {
        mysql_literal(h, t, before);
        return;
    }
    bool named = before->kind == WORD, role = h->form == ROLE || (!h->understood && h->form == PLAIN);
    if (role && h->after_secret) {
        replace(h, t->at, t->end, "'" STARS "'");
        h->after_secret = false;
    } else if ((h->form == MAPPING && named && strcmp(before->word, "user") != 0) ||
               (h->form == OPTIONS && named && (before->escapes || sounds_secret(before->word))))
        replace(h, t->at, t->end, "'" STARS "'");
    else if (h->form == CONNECTION || h->dblink || !h->understood)
        conninfo(h, t);
}

static void one(struct hiding *h, const struct token *t, const struct token *before) {
    if (t->kind == OTHER && h->text[t->at] == ';') {
        h->form = PLAIN;
        h->nth = 0;
        h->after_secret = h->identified = false;
        return;
    }
    if (t->kind == OTHER && h->text[t->at] == ',') h->identified = false;
    if (t->kind == WORD && h->mysql)
        mysql_word(h, t);
    else if (t->kind == WORD) {
        begin(h, t);
        if (strcmp(t->word, "password") == 0) h->after_secret = true;
        if (strcmp(t->word, "null") == 0 || strcmp(t->word, "valid") == 0) h->after_secret = false;
    }
    if (t->kind == LITERAL) literal(h, t, before);
    h->nth++;
}

/* Whether any of these, in lower case, is in the text in whatever case. firsts: the letters that they begin with, in both. */
static bool says(const char *text, size_t len, const char *const *words, const char *firsts) {
    bool first[256] = {false};
    for (; *firsts != '\0'; firsts++) first[(unsigned char)*firsts] = true;
    for (size_t i = 0; i < len; i++) {
        if (!first[(unsigned char)text[i]]) continue;
        for (const char *const *w = words; *w != NULL; w++) {
            size_t n = strlen(*w);
            if (n <= len - i && strncasecmp(text + i, *w, n) == 0) return true;
        }
    }
    return false;
}

/* Without one of these there is nothing that one() would replace: each way to it begins at such a word, or at a literal with one in it. */
static bool may_hold_secrets(const char *text, size_t len) {
    static const char *const words[] = {"password", "://", "mapping", "server", "foreign", "subscription", "identified", NULL};
    return says(text, len, words, "pP:mMsSfFiI");
}

/* Whether dblink is in it anywhere: the connection string may come before the name. */
static bool has_dblink(const char *text, size_t len) {
    static const char *const words[] = {"dblink", "u&", NULL};
    if (!says(text, len, words, "dDuU")) return false;
    struct lexer x = {text, 0, len, false};
    for (struct token t; next(&x, &t), t.kind != END;)
        if (t.kind == WORD && (strncmp(t.word, "dblink", 6) == 0 || t.escapes)) return true;
    return false;
}

static char *hide(const char *text, size_t len, bool understood, bool mysql, size_t *outlen, bool *failed) {
    struct lexer x = {text, 0, len, mysql};
    struct hiding h = {
        .text = text, .out = BUF_INIT(8 * len + 64), .understood = understood, .mysql = mysql, .dblink = !mysql && has_dblink(text, len)};
    struct token before = {.kind = OTHER};
    for (struct token t; next(&x, &t), t.kind != END; before = t) one(&h, &t, &before);
    if (!h.any) {
        buf_free(&h.out);
        return NULL;
    }
    buf_put(&h.out, text + h.from, len - h.from);
    *outlen = buf_used(&h.out);
    buf_u8(&h.out, '\0');
    char *copy = h.out.failed ? NULL : malloc(*outlen + 1);
    if (copy != NULL) memcpy(copy, buf_at(&h.out), *outlen + 1);
    *failed = copy == NULL;
    buf_free(&h.out);
    return copy;
}

char *secret_sql_hide(const char *text, size_t len, const struct pol_facts *f, size_t *outlen, bool *failed) {
    *failed = false;
    if (!may_hold_secrets(text, len)) return NULL;
    if (f != NULL) return hide(text, len, true, f->dialect == POL_MYSQL, outlen, failed);
    size_t n = 0;
    char *one = hide(text, len, false, false, &n, failed); /* nobody knows: by the rules of both */
    if (*failed) return NULL;
    char *two = hide(one != NULL ? one : text, one != NULL ? n : len, false, true, outlen, failed);
    if (two == NULL && !*failed) {
        *outlen = n;
        return one;
    }
    free(one);
    return two;
}

void secret_message(char *message) {
    char *at = strstr(message, " near \"");
    if (at != NULL && strpbrk(at + 7, "'$") != NULL) at[0] = '\0';
}
