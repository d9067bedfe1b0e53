#include <config.h>

#include "spoa/secret_sql.h"

#include "spoa/secret_int.h"

#include <ctype.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#define STARS SECRET_STARS

/* --- what both dialects use --- */

void hidden_replace(struct hidden *h, size_t at, size_t end, const char *with) {
    buf_put(&h->out, h->text + h->from, at - h->from);
    buf_str(&h->out, with);
    h->from = end;
    h->any = true;
}

char *hidden_done(struct hidden *h, size_t len, size_t *outlen, bool *failed) {
    char *copy = NULL;
    *failed = false;
    if (h->any) {
        buf_put(&h->out, h->text + h->from, len - h->from);
        *outlen = buf_used(&h->out);
        buf_u8(&h->out, '\0');
        copy = h->out.failed ? NULL : malloc(*outlen + 1);
        if (copy != NULL) memcpy(copy, buf_at(&h->out), *outlen + 1);
        *failed = copy == NULL;
    }
    buf_free(&h->out);
    return copy;
}

/* Where the first of these words is, which has n bytes; len: nowhere. */
static size_t find(const char *text, size_t len, const char *const *words, size_t *n) {
    bool first[256] = {false};
    for (const char *const *w = words; *w != NULL; w++) first[(unsigned char)**w] = first[toupper((unsigned char)**w)] = true;
    for (size_t i = 0; i < len; i++) {
        if (!first[(unsigned char)text[i]]) continue;
        for (const char *const *w = words; *w != NULL; w++) {
            *n = strlen(*w);
            if (*n <= len - i && strncasecmp(text + i, *w, *n) == 0) return i;
        }
    }
    return len;
}

bool secret_says(const char *text, size_t len, const char *const *words) {
    size_t n;
    return find(text, len, words, &n) < len;
}

static const char *const said[] = {"passw", "passphrase", "identified", "pwd", "secret", NULL};
bool secret_said(const char *text, size_t len) { return secret_says(text, len, said); }

bool secret_named(const char *text, size_t len) {
    static const char *const more[] = {"auth", "token", "cred", "challenge", "://", NULL};
    return secret_said(text, len) || secret_says(text, len, more);
}

/* Words behind which a secret may follow, and those behind which it does so as a literal only. */
static const char *const lead[] = {"passw",   "identified", "pwd",          "secret", "://",      "mapping", "server",
                                   "foreign", "options",    "subscription", "dblink", "conninfo", NULL};

static bool word_char(char c) { return isalnum((unsigned char)c) || c == '_' || (unsigned char)c >= 0x80; }

/* What reads and writes data says "password" for a column. */
static bool begins_with_data(const char *text, size_t len) {
    static const char *const words[] = {"select", "insert", "update", "delete", "merge", "replace", "with", "values", "table", "explain"};
    size_t at = 0;
    while (at < len && !isalpha((unsigned char)text[at])) at++;
    for (size_t i = 0; i < sizeof words / sizeof *words; i++)
        if (strlen(words[i]) <= len - at && strncasecmp(text + at, words[i], strlen(words[i])) == 0) return true;
    return false;
}

/* Behind the first such word what may be a secret begins here; len: nothing does. */
static size_t coarse_from(const char *text, size_t len, const char *const *words, bool data) {
    size_t n, at = find(text, len, words, &n);
    if (at == len) return len;
    bool bare = !data && secret_said(text + at, n);
    for (at += n; at < len && word_char(text[at]);) at++;
    while (!bare && at < len && strchr("'\"`$=:\\@", text[at]) == NULL) at++;
    while (at < len && (text[at] == ' ' || text[at] == '=')) at++;
    return at;
}

void hidden_comments(struct hidden *h, size_t at, size_t end) {
    static const char *const words[] = {"passw", "identified", "pwd", "secret", "://", NULL};
    while (end - at > 4) {
        size_t cut = at + coarse_from(h->text + at, end - at, words, true), stop = cut; /* people write about passwords, too */
        while (stop < end && h->text[stop] != '\n' && !(h->text[stop] == '*' && end - stop > 1 && h->text[stop + 1] == '/')) stop++;
        bool blank = true;
        for (size_t i = cut; i < stop; i++) blank = blank && isspace((unsigned char)h->text[i]);
        if (!blank) hidden_replace(h, cut, stop, STARS);
        at = stop > at ? stop : end;
    }
}

char *secret_coarse(const char *text, size_t len, size_t *outlen, bool *failed) {
    static const char *const accounts[] = {" role", " user", "grant", NULL};
    struct hidden h = {.text = text, .out = BUF_INIT(len + 64)};
    bool data = begins_with_data(text, len);
    size_t at = coarse_from(text, len, lead, data);
    if (!data && (at < len || secret_says(text, len, accounts))) /* the word may be misspelt, or come behind */
        for (size_t i = 0; i < at; i++)
            if (text[i] == '\'' || text[i] == '"' || text[i] == '$') at = i;
    if (at < len) hidden_replace(&h, at, len, STARS);
    return hidden_done(&h, len, outlen, failed);
}

/* --- tokens --- */

enum kind { END, WORD, LITERAL, OTHER };
struct token {
    enum kind kind;
    size_t at, end;     /* in the text */
    size_t body, close; /* LITERAL: what is between its quotes */
    bool escapes;       /* LITERAL: its bytes are not what it means */
    char word[80];      /* WORD: in lower case, cut */
};
struct lexer {
    const char *text;
    size_t at, len;
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
        else if (peek(x, 0) == '-' && peek(x, 1) == '-')
            skip_line(x);
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
    skip_quoted(x, '\'', escapes);
    size_t pieces = 1;
    while (goes_on(x)) {
        skip_quoted(x, '\'', escapes);
        pieces++;
    }
    t->escapes = t->escapes || pieces > 1;
    t->close = x->at > t->body && x->text[x->at - 1] == '\'' ? x->at - 1 : x->at;
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
    else if (c == '\'')
        string(x, t, false);
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
    } else if (c == '"') {
        skip_quoted(x, c, false);
        t->kind = WORD;
        take_word(t, x->text + t->at + 1, x->at - t->at > 2 ? x->at - t->at - 2 : 0);
    } else if (word_start(c)) {
        while (x->at < x->len && word_more(x->text[x->at])) x->at++;
        t->kind = WORD;
        take_word(t, x->text + t->at, x->at - t->at);
    } else if (c != '$' || !dollar(x, t))
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

/* libpq's: sslpassword is one, too. */
static size_t secret_name(const char *s, size_t len) {
    static const char *const names[] = {"password", "oauth_client_secret", "scram_client_key", "scram_server_key"};
    for (size_t i = 0; i < sizeof names / sizeof *names; i++)
        if (len > strlen(names[i]) && strncasecmp(s, names[i], strlen(names[i])) == 0) return strlen(names[i]);
    return 0;
}

/* A parameter of a URI whose name is percent-encoded, as libpq reads it: its length. 0: it is not, or says no secret. */
static size_t encoded_name(const char *s, size_t len) {
    char name[80];
    size_t n = 0, at = 0;
    bool encoded = false;
    for (; at < len && s[at] != '=' && s[at] != '&' && !blank(s[at]); at++) {
        unsigned byte = (unsigned char)s[at];
        if (byte == '%' && len - at > 2 && isxdigit((unsigned char)s[at + 1]) && isxdigit((unsigned char)s[at + 2])) {
            const char two[3] = {s[at + 1], s[at + 2], '\0'};
            byte = (unsigned)strtoul(two, NULL, 16);
            encoded = true;
            at += 2;
        }
        if (n < sizeof name) name[n++] = (char)byte;
    }
    if (!encoded || at == len || s[at] != '=') return 0;
    return n == sizeof name || secret_named(name, n) || secret_says(name, n, (const char *const[]){"key", NULL}) ? at : 0;
}

/* The first secret from *at on: where it begins, and *end. */
static bool find_conninfo(const char *s, size_t len, size_t *at, size_t *end) {
    for (size_t i = *at; i < len; i++) {
        size_t named = secret_name(s + i, len - i);
        if (named > 0) {
            size_t p = i + named;
            while (p < len && blank(s[p])) p++;
            if (p == len || s[p] != '=') continue;
            for (p++; p < len && blank(s[p]);) p++;
            *at = p;
            *end = value_end(s, p, len);
            if (*end > p) return true;
            i = p - 1; /* "password=&sslpassword=x" */
            continue;
        }
        size_t encoded = s[i] == '?' || s[i] == '&' ? encoded_name(s + i + 1, len - i - 1) : 0;
        if (encoded > 0) {
            *at = i + encoded + 2;
            *end = value_end(s, *at, len);
            if (*end > *at) return true;
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

bool secret_sql_may(const struct pol_facts *f) {
    static const char *const words[] = {" ROLE",    "USER MAPPING", " SERVER",      "FOREIGN ",   "SUBSCRIPTION",
                                        "FUNCTION", "PROCEDURE",    "ALTER SYSTEM", "ALTER TABLE"};
    if (f == NULL) return true;
    if (f->dialect == POL_MYSQL) return secret_my_may(f);
    for (size_t i = 0; i < f->nstmts; i++) {
        const struct pol_stmt *s = &f->stmts[i];
        if (s->kind == POL_K_DO || (s->kind == POL_K_COPY && (s->actions & POL_FILES) != 0)) return true;
        for (size_t k = 0; s->tag != NULL && k < sizeof words / sizeof *words; k++)
            if (strstr(s->tag, words[k]) != NULL) return true;
        for (size_t k = 0; k < s->nfunctions; k++)
            if (s->functions[k].name != NULL && strncasecmp(s->functions[k].name, "dblink", 6) == 0) return true;
    }
    return false;
}

enum form { PLAIN, ROLE, OPTIONS, MAPPING, CONNECTION, PROGRAM, CODE };

struct hiding {
    struct hidden h;
    bool dblink, ddl;
    enum form form;
    size_t nth;        /* of the token in its statement */
    char first[80];    /* its first word */
    bool after_secret; /* the word before was PASSWORD: the next literal is one */
};

static bool among(const char *word, const char *const *list) {
    while (*list != NULL && strcmp(word, *list) != 0) list++;
    return *list != NULL;
}

static bool sounds_secret(const struct token *name) {
    static const char *const key[] = {"key", NULL};
    size_t n = strlen(name->word);
    return name->escapes || n == sizeof name->word - 1 || secret_named(name->word, n) || secret_says(name->word, n, key);
}

/* What kind of statement the first words begin. */
static void begin(struct hiding *h, const struct token *t) {
    static const char *const roles[] = {"role", "user", "group", NULL}, *const ddl[] = {"create", "alter", "import", NULL};
    static const char *const code[] = {"function", "procedure", "routine", NULL};
    if (h->nth == 0) {
        memcpy(h->first, t->word, sizeof h->first);
        h->ddl = among(h->first, ddl);
        if (strcmp(h->first, "do") == 0) h->form = CODE;
        if (strcmp(h->first, "copy") == 0) h->form = PROGRAM;
    }
    if (!h->ddl) return;
    if (h->nth == 1 && among(t->word, roles)) h->form = ROLE;
    if (h->nth == 1 && strcmp(t->word, "system") == 0) h->form = CONNECTION;
    if (h->nth == 1 && strcmp(t->word, "subscription") == 0) h->form = CONNECTION;
    if ((h->nth == 1 || h->nth == 3) && among(t->word, code)) h->form = CODE; /* OR REPLACE */
    if (h->nth == 2 && h->form == ROLE && strcmp(t->word, "mapping") == 0) h->form = MAPPING;
    if (h->form == PLAIN && strcmp(t->word, "options") == 0) h->form = OPTIONS;
}

static void hide(struct hiding *h, const struct token *t) { hidden_replace(&h->h, t->at, t->end, "'" STARS "'"); }

static bool conninfo(struct hiding *h, const struct token *t) {
    size_t at = t->body, end;
    if (t->escapes && h->form == CONNECTION) { /* "pass\167ord" is one too. Elsewhere what runs could be hidden that way */
        hide(h, t);
        return true;
    }
    bool any = false;
    for (; find_conninfo(h->h.text, t->close, &at, &end); at = end, any = true) hidden_replace(&h->h, at, end, STARS);
    return any;
}

/* A text that is code: of one that says password or the like no literal is shown. It can be in any language, and put together where it runs. */
static void code(struct hiding *h, const struct token *t) {
    const char *text = h->h.text;
    if (!secret_named(text + t->body, t->close - t->body)) return;
    if (text[t->at] != '$') { /* its own quotes are doubled, or written as escapes */
        size_t at = t->body;
        while (at < t->close && text[at] != '\'' && text[at] != '\\' && text[at] != '$' && text[at] != '=') at++;
        if (at < t->close) hidden_replace(&h->h, at, t->close, STARS);
        return;
    }
    struct lexer x = {text, t->body, t->close};
    size_t from = t->body;
    for (struct token in; next(&x, &in), in.kind != END; from = in.end) {
        hidden_comments(&h->h, from, in.at);
        if (in.kind == LITERAL) hide(h, &in);
    }
    hidden_comments(&h->h, from, t->close);
}

static void literal(struct hiding *h, const struct token *t, const struct token *before) {
    bool named = before->kind == WORD;
    if (h->form == ROLE && h->after_secret) {
        hide(h, t);
        h->after_secret = false;
    } else if ((h->form == MAPPING && named && strcmp(before->word, "user") != 0) || (h->form == OPTIONS && named && sounds_secret(before)))
        hide(h, t);
    else if ((h->form == CONNECTION || h->form == PROGRAM || h->dblink) && conninfo(h, t))
        return;
    else if (h->form == CODE)
        code(h, t);
}

static void one(struct hiding *h, const struct token *t, const struct token *before) {
    if (t->kind == OTHER && h->h.text[t->at] == ';') {
        h->form = PLAIN;
        h->nth = 0;
        h->after_secret = h->ddl = false;
        return;
    }
    if (t->kind == WORD) {
        begin(h, t);
        if (strcmp(t->word, "password") == 0) h->after_secret = true;
        if (strcmp(t->word, "null") == 0 || strcmp(t->word, "valid") == 0) h->after_secret = false;
    }
    if (t->kind == LITERAL) literal(h, t, before);
    h->nth++;
}

/* Without one of these there is nothing that one() would replace: each way to it begins at such a word, or at a literal with one in it. */
static bool may_hold_secrets(const char *text, size_t len) {
    static const char *const words[] = {"scram_", "auth", "token", "cred", NULL};
    return secret_says(text, len, lead) || secret_says(text, len, words);
}

/* Whether dblink is in it anywhere: the connection string may come before the name. */
static bool has_dblink(const char *text, size_t len) {
    static const char *const words[] = {"dblink", "u&", NULL};
    if (!secret_says(text, len, words)) return false;
    struct lexer x = {text, 0, len};
    for (struct token t; next(&x, &t), t.kind != END;)
        if (t.kind == WORD && (strncmp(t.word, "dblink", 6) == 0 || t.escapes)) return true;
    return false;
}

static char *hide_pg(const char *text, size_t len, size_t *outlen, bool *failed) {
    struct lexer x = {text, 0, len};
    struct hiding h = {.h = {.text = text, .out = BUF_INIT(8 * len + 64)}, .dblink = has_dblink(text, len)};
    struct token before = {.kind = OTHER};
    bool stop = false;
    while (!stop) {
        struct token t;
        next(&x, &t);
        hidden_comments(&h.h, before.end, t.at);
        stop = t.kind == END;
        if (!stop) one(&h, &t, &before);
        before = t;
    }
    return hidden_done(&h.h, len, outlen, failed);
}

char *secret_sql_hide(const char *text, size_t len, const struct pol_facts *f, size_t *outlen, bool *failed) {
    *failed = false;
    if (f == NULL) return secret_coarse(text, len, outlen, failed);
    if (f->dialect == POL_MYSQL) return secret_my_hide(text, len, f, outlen, failed);
    return may_hold_secrets(text, len) ? hide_pg(text, len, outlen, failed) : NULL;
}

#define MESSAGE_TEXT 32768u

void secret_message(char *message, const char *text, size_t len) {
    char *at = strstr(message, " near \""), *end = at != NULL ? strrchr(at, '"') : NULL;
    if (at == NULL) return;
    size_t n;
    bool failed = false, shown = strpbrk(at + 7, "'$") == NULL && len <= MESSAGE_TEXT;
    char *hidden = shown ? secret_coarse(text, len, &n, &failed) : NULL;
    if (hidden != NULL) shown = end > at + 7 && memmem(hidden, n, at + 7, (size_t)(end - at) - 7) != NULL;
    if (!shown || failed) at[0] = '\0';
    free(hidden);
}
