#define _GNU_SOURCE /* memmem */
#include "t/filters/pg_talk.h"

#include "filters/pg_wire.h"
#include "t/lib/guard.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static void note(struct talk *t, const char *fmt, ...) __attribute__((format(printf, 2, 3)));
static void note(struct talk *t, const char *fmt, ...) {
    va_list ap;
    va_start(ap, fmt);
    int n = vsnprintf(t->events + t->events_len, sizeof t->events - t->events_len, fmt, ap);
    va_end(ap);
    ck_assert(n >= 0 && (size_t)n < sizeof t->events - t->events_len);
    t->events_len += (size_t)n;
}

/* --- the owner's part ------------------------------------------------------------------------------------------------------ */

static void reply(struct talk *t, uint64_t id, const char *text, bool allow, bool prepare) {
    struct flt_answer a = {.allow = allow};
    static const char *const names[] = {"gone"};
    static const char *const s_alone[] = {"s"}, *const p_alone[] = {"p"};
    enum flt_made made = strstr(text, "made") != NULL      ? FLT_MADE_SQL
                         : strstr(text, "old") != NULL     ? FLT_MADE_OLD
                         : strstr(text, "whoever") != NULL ? FLT_MADE_ANY
                                                           : FLT_MADE_NOT;
    const struct flt_use p = {.name = "p", .made = made, .place = strstr(text, "place") != NULL}, st = {.name = "s", .made = made};
    if (allow) {
        a.copy_in = strstr(text, "copyin") != NULL;
        a.secret = strstr(text, "secret") != NULL;
        if (prepare) a.ctx = strdup(a.secret ? "select 'masked'" : text);
        if (a.secret || strstr(text, "rewrite") != NULL) {
            a.rewritten = "select 'masked'";
            a.rewritten_len = strlen(a.rewritten);
        }
        a.veil = strstr(text, "veil") != NULL;
        if (strstr(text, "rows ") != NULL) a.max_rows = strtoul(strstr(text, "rows ") + 5, NULL, 10);
        if (strstr(text, "bytes ") != NULL) a.max_bytes = strtoul(strstr(text, "bytes ") + 6, NULL, 10);
        a.undoes = strstr(text, "undoes") != NULL;
        a.limited = a.max_rows != 0 || a.max_bytes != 0 || strstr(text, "limited") != NULL;
        if (strstr(text, "deallocate gone") != NULL) {
            a.forget_statements = names;
            a.nforget_statements = 1;
        }
        if (strstr(text, "fetch from p") != NULL) {
            a.fetched = &p;
            a.nfetched = 1;
        }
        if (strstr(text, "run s") != NULL) {
            a.executed = &st;
            a.nexecuted = 1;
            a.many = strstr(text, "many") != NULL;
        }
        if (strstr(text, "drop s") != NULL) {
            a.forget_statements = s_alone;
            a.nforget_statements = 1;
        }
        if (strstr(text, "close p") != NULL) {
            a.forget_portals = p_alone;
            a.nforget_portals = 1;
        }
        static const struct {
            const char *text;
            enum flt_portals portals;
        } ends[] = {{"savepoint ", FLT_PORTALS_MARK}, {"release ", FLT_PORTALS_RELEASE}, {"back to ", FLT_PORTALS_BACK},
                    {"commit", FLT_PORTALS_END},      {"marks", FLT_PORTALS_MARKS},      {"commits", FLT_PORTALS_MANY},
                    {"call", FLT_PORTALS_CODE}};
        for (size_t i = 0; i < sizeof ends / sizeof *ends; i++) {
            const char *at = strstr(text, ends[i].text);
            if (at == NULL) continue;
            a.portals = ends[i].portals;
            a.savepoint = ends[i].portals < FLT_PORTALS_END ? at + strlen(ends[i].text) : NULL;
        }
        a.forgets_unread = strstr(text, "unread") != NULL;
        a.forget_all_portals = strstr(text, "close all") != NULL;
        a.forget_all_statements = strstr(text, "discard all") != NULL;
    } else {
        a.sqlstate = "42501";
        a.message = "refused";
        a.hint = "ask for something else";
        a.fatal = strstr(text, "fatally") != NULL;
        a.position = 17;
    }
    flt_answer(t->f, id, &a);
}

static void on_statement(struct talk *t, const struct flt_event *ev) {
    static const char *const kinds[] = {"?", "query", "prepare", "execute"};
    note(t, "%s %s%s", kinds[ev->stmt.kind], ev->stmt.text, ev->stmt.by_name ? " by name" : "");
    t->alone = ev->stmt.alone;
    t->ntypes = ev->stmt.ntypes;
    for (size_t i = 0; i < t->ntypes && i < 4; i++) t->types[i] = ev->stmt.types[i];
    ck_assert_uint_eq(strlen(ev->stmt.text), ev->stmt.len);
    if (ev->stmt.kind == FLT_STMT_EXECUTE) ck_assert_str_eq(ev->stmt.ctx, ev->stmt.text);
    for (size_t i = 0; i < ev->stmt.nparams; i++) {
        const struct flt_param *p = &ev->stmt.params[i];
        if (p->data == NULL)
            note(t, " null");
        else
            note(t, " %.*s%s%s", (int)(p->kept > 20 ? 20 : p->kept), (const char *)p->data, p->kept < p->len ? "..." : "",
                 p->binary ? "(binary)" : "");
    }
    note(t, "%s\n", ev->stmt.params_cut ? " cut" : "");
    if (strstr(ev->stmt.text, "later") != NULL) {
        t->open_id = ev->stmt.id;
        snprintf(t->open_text, sizeof t->open_text, "%s%s", ev->stmt.kind == FLT_STMT_PREPARE ? "\1" : "", ev->stmt.text);
        return;
    }
    reply(t, ev->stmt.id, ev->stmt.text, strstr(ev->stmt.text, "refuse") == NULL, ev->stmt.kind == FLT_STMT_PREPARE);
}

static void open_upstream(struct talk *t) {
    flt_upstream_open(t->f, &(struct flt_upstream){.user = "gate",
                                                   .password = t->password != NULL ? t->password : "secret",
                                                   .database = "shop",
                                                   .nonce = {1, 2, 3},
                                                   .need_binding = t->need_binding,
                                                   .tls = t->tls});
}

static void on_event(struct talk *t, const struct flt_event *ev) {
    static const struct flt_kv params[] = {{"server_version", "15.1"}, {"client_encoding", "UTF8"}};
    switch (ev->kind) {
    case FLT_EV_HELLO:
        if (strcmp(ev->login.user, "nobody") == 0)
            flt_login_refuse(t->f, "28000", "no", NULL, NULL);
        else
            flt_login_ask(t->f,
                          strcmp(ev->login.user, "bearer") == 0  ? FLT_ASK_OAUTHBEARER
                          : strcmp(ev->login.user, "known") == 0 ? FLT_ASK_NOTHING
                                                                 : FLT_ASK_PASSWORD,
                          "{\"status\":\"invalid_token\"}");
        break;
    case FLT_EV_LOGIN:
        if (ev->login.discovery) note(t, "discovery ");
        if (ev->login.too_long) note(t, "too long ");
        note(t, "login %s@%s %s", ev->login.user, ev->login.database, ev->login.token);
        for (size_t i = 0; i < ev->login.nparams; i++) note(t, " %s=%s", ev->login.params[i].name, ev->login.params[i].value);
        note(t, "\n");
        if (strcmp(ev->login.token, "wrong") == 0 || ev->login.too_long || ev->login.discovery)
            flt_login_refuse(t->f, "28P01", "no", NULL, NULL);
        else
            flt_login_accept(t->f, &(struct flt_login_ok){t->params_cached ? params : NULL, 2, 7, 8});
        break;
    case FLT_EV_STATEMENT: on_statement(t, ev); break;
    case FLT_EV_UPSTREAM:
        note(t, "upstream\n");
        if (t->upstream_down)
            flt_upstream_failed(t->f, "08006", "away", NULL, false);
        else
            open_upstream(t);
        break;
    case FLT_EV_UPSTREAM_TLS:
        note(t, "upstream tls\n");
        if (t->tls_later) break;
        if (t->tls_fails)
            flt_upstream_failed(t->f, "08001", "no tls", NULL, false);
        else
            flt_upstream_secured(t->f, &t->secured);
        break;
    case FLT_EV_UPSTREAM_READY: note(t, "upstream ready %zu\n", ev->upstream.nparams); break;
    case FLT_EV_UPSTREAM_LOST:
        note(t, "upstream lost %s %s\n", ev->lost.sqlstate, ev->lost.text);
        buf_reset(&t->pending[FLT_SERVER]); /* the connection is closed */
        if (t->again)
            open_upstream(t);
        else
            flt_upstream_failed(t->f, "08006", "no login", NULL, false);
        t->again = false;
        break;
    case FLT_EV_RESULT:
        note(t, "result %llu rows %llu bytes %llu '%s'%s\n", (unsigned long long)ev->result.id, (unsigned long long)ev->result.rows,
             (unsigned long long)ev->result.bytes, ev->result.sqlstate, ev->result.skipped ? " skipped" : "");
        break;
    case FLT_EV_OVER:
        note(t, "over %llu\n", (unsigned long long)ev->over.id);
        if (!t->cancelling) flt_over(t->f);
        break;
    case FLT_EV_CANCEL: note(t, "cancel %u %u\n", ev->cancel.pid, ev->cancel.secret); break;
    case FLT_EV_CLOSE:
        note(t, "close %s: %s\n", gh_rc_name(ev->close.rc), ev->close.reason);
        t->closed = true;
        break;
    }
}

/* Feeds both sides what they have until nothing moves. */
static void move(struct talk *t) {
    bool moved = true;
    while (moved) {
        moved = false;
        struct flt_event ev;
        while (flt_next(t->f, &ev)) {
            on_event(t, &ev);
            moved = true;
        }
        for (int side = FLT_CLIENT; side <= FLT_SERVER; side++) {
            struct buf *b = &t->pending[side];
            size_t n = buf_used(b);
            if (n == 0) continue;
            if (t->chop == SIZE_MAX) {
                t->seed = t->seed * 1103515245u + 12345u;
                size_t piece = 1 + (t->seed >> 16) % 40;
                n = piece < n ? piece : n;
            } else if (t->chop > 0 && t->chop < n) {
                n = t->chop;
            }
            uint8_t *p = guard_copy(buf_at(b), n);
            size_t took = flt_feed(t->f, (enum flt_side)side, p, n);
            guard_free(p, n);
            ck_assert_uint_le(took, n);
            buf_drain(b, took);
            moved = moved || took > 0;
        }
    }
}

/* --- shorthand ------------------------------------------------------------------------------------------------------------- */

/* Reads up to the quote or blank; the word is copied to out. */
static const char *word(const char *s, char *out, size_t size, const char *stops) {
    size_t n = strcspn(s, stops);
    ck_assert_uint_lt(n, size);
    memcpy(out, s, n);
    out[n] = '\0';
    return s + n;
}

static const char *quoted(const char *s, char *out, size_t size) {
    ck_assert_int_eq(*s, '\'');
    s = word(s + 1, out, size, "'");
    ck_assert_int_eq(*s, '\'');
    return s + 1;
}

/* Client: Q'text' Pname'text' Bportal,name Bportal,name'param' DSname DPname Eportal CSname CPname H S X F d'data' c f'why'
 * Server: R0 (AuthenticationOk) Sname=value K Z1 1 2 3 n t T D'data' C'tag' Ecode Ecode'fields' I s G H d'data' c N */
static const char *put(struct buf *b, const char *s, bool client) {
    char type = *s++, a[300], text[4096];
    size_t at = pg_begin(b, type);
    if (client && type == 'Q') {
        s = quoted(s, text, sizeof text);
        buf_cstr(b, text);
    } else if (client && type == 'P') {
        s = word(s, a, sizeof a, "'");
        s = quoted(s, text, sizeof text);
        buf_cstr(b, a);
        buf_cstr(b, text);
        buf_be16(b, 0);
    } else if (client && type == 'B') {
        s = word(s, a, sizeof a, ",");
        buf_cstr(b, a);
        s = word(s + 1, a, sizeof a, "' ");
        buf_cstr(b, a);
        buf_be16(b, 0);
        buf_be16(b, *s == '\'');
        if (*s == '\'') {
            s = quoted(s, text, sizeof text);
            buf_be32(b, (uint32_t)strlen(text));
            buf_str(b, text);
        }
        buf_be16(b, 0);
    } else if (client && (type == 'D' || type == 'C')) {
        s = word(s, a, sizeof a, " ");
        buf_cstr(b, a);
    } else if (client && type == 'E') {
        s = word(s, a, sizeof a, " ");
        buf_cstr(b, a);
        buf_be32(b, 0);
    } else if (type == 'd' || type == 'f' || (!client && type == 'D')) {
        s = quoted(s, text, sizeof text);
        if (type == 'f')
            buf_cstr(b, text);
        else
            buf_str(b, text);
    } else if (!client && type == 'R') {
        buf_be32(b, (uint32_t)(*s++ - '0'));
    } else if (!client && type == 'S') {
        s = word(s, a, sizeof a, "=");
        buf_cstr(b, a);
        s = word(s + 1, a, sizeof a, " ");
        buf_cstr(b, a);
    } else if (!client && type == 'K') {
        buf_be32(b, 101);
        buf_be32(b, 102);
    } else if (!client && type == 'Z') {
        buf_u8(b, (uint8_t)*s++);
    } else if (!client && type == 'C') {
        s = quoted(s, text, sizeof text);
        buf_cstr(b, text);
    } else if (!client && (type == 'E' || type == 'N')) {
        bool fatal = *s == '!';
        s = word(s + fatal, a, sizeof a, " '");
        buf_str(b, fatal ? "SFATAL" : "SERROR");
        buf_u8(b, 0);
        buf_u8(b, 'C');
        buf_cstr(b, a);
        buf_str(b, "Mserver");
        buf_u8(b, 0);
        if (*s == '\'') { /* more fields: E22P02'Dsecret|Wwhere' */
            s = quoted(s, text, sizeof text);
            size_t n = strlen(text) + 1;
            for (size_t i = 0; i < n; i++) buf_u8(b, text[i] == '|' ? 0 : (uint8_t)text[i]);
        }
        buf_u8(b, 0);
    } else if (!client && (type == 'G' || type == 'T' || type == 't')) {
        buf_be16(b, 0);
        if (type == 'G') buf_u8(b, 0);
    }
    pg_end(b, at);
    return s;
}

static void say(struct talk *t, enum flt_side side, const char *s) {
    while (*s != '\0') {
        if (*s == ' ')
            s++;
        else
            s = put(&t->pending[side], s, side == FLT_CLIENT);
    }
    ck_assert(!t->pending[side].failed);
    move(t);
}

void talk_client(struct talk *t, const char *shorthand) { say(t, FLT_CLIENT, shorthand); }
void talk_server(struct talk *t, const char *shorthand) { say(t, FLT_SERVER, shorthand); }

void talk_raw(struct talk *t, enum flt_side side, const void *data, size_t len) {
    buf_put(&t->pending[side], data, len);
    ck_assert(!t->pending[side].failed);
    move(t);
}

void talk_release(struct talk *t, bool allow) {
    uint64_t id = t->open_id;
    t->open_id = 0;
    reply(t, id, t->open_text + (t->open_text[0] == '\1'), allow, t->open_text[0] == '\1');
    move(t);
}

static void summary(char *out, size_t size, const char *fmt, ...) __attribute__((format(printf, 3, 4)));
static void summary(char *out, size_t size, const char *fmt, ...) {
    size_t n = strlen(out);
    va_list ap;
    va_start(ap, fmt);
    int w = vsnprintf(out + n, size - n, fmt, ap);
    va_end(ap);
    ck_assert(w >= 0 && (size_t)w < size - n);
}

static void describe(char *out, size_t size, char type, struct cur body, bool client) {
    const char *s = "", *s2 = "";
    size_t n = 0;
    uint8_t what = 0;
    struct pg_error_fields e;
    summary(out, size, "%s%c", out[0] == '\0' ? "" : " ", type);
    if (client && type == 'E') {
        ck_assert(pg_read_error(body, &e));
        if (memmem(body.p, cur_left(&body), "Mrefused", 9) != NULL) /* the owner's own words, with the position that reply() gives */
            ck_assert(memmem(body.p, cur_left(&body), "\0P17", 5) != NULL);
        summary(out, size, "%s%s", strcmp(e.severity, "FATAL") == 0 ? "!" : "", e.sqlstate);
        ck_assert_ptr_null(memmem(body.p, cur_left(&body), "secret", 6));
    } else if (client && type == 'Z') {
        ck_assert(cur_u8(&body, &what));
        summary(out, size, "%c", what);
    } else if ((client && (type == 'C')) || (!client && (type == 'Q' || type == 'E'))) {
        ck_assert(cur_cstr(&body, &s, &n));
        summary(out, size, "'%s'", s);
    } else if (type == 'd' || (client && type == 'D')) {
        summary(out, size, "'%.*s'", (int)(cur_left(&body) > 20 ? 20 : cur_left(&body)), (const char *)body.p);
    } else if (client && type == 'S') {
        ck_assert(cur_cstr(&body, &s, &n) && cur_cstr(&body, &s2, &n));
        summary(out, size, "%s=%s", s, s2);
    } else if (!client && (type == 'P' || type == 'B')) {
        ck_assert(cur_cstr(&body, &s, &n) && cur_cstr(&body, &s2, &n));
        summary(out, size, type == 'P' ? "%s'%s'" : "%s,%s", s, s2);
    } else if (!client && (type == 'D' || type == 'C')) {
        ck_assert(cur_u8(&body, &what) && cur_cstr(&body, &s, &n));
        summary(out, size, "%c%s", what, strlen(s) == 40 ? "(poison)" : s);
    }
}

const char *talk_saw(struct talk *t, enum flt_side side) {
    struct buf *b = flt_out(t->f, side);
    t->seen[0] = '\0';
    ck_assert(!b->failed);
    while (buf_used(b) > 0) {
        struct cur c = cur_of(buf_at(b), buf_used(b)), body;
        uint8_t type;
        uint32_t n;
        if (side == FLT_SERVER && buf_at(b)[0] == 0) { /* start-up: no type */
            ck_assert(cur_be32(&c, &n) && n <= buf_used(b));
            summary(t->seen, sizeof t->seen, n == 8 ? "ssl" : "startup");
            buf_drain(b, n);
            continue;
        }
        ck_assert(cur_u8(&c, &type) && cur_be32(&c, &n));
        if (n - 4 > cur_left(&c)) { /* a long message that is still streaming */
            summary(t->seen, sizeof t->seen, " %c...", type);
            buf_drain(b, buf_used(b));
            break;
        }
        ck_assert(n >= 4 && cur_sub(&c, n - 4, &body));
        describe(t->seen, sizeof t->seen, (char)type, body, side == FLT_CLIENT);
        buf_drain(b, 1 + (size_t)n);
    }
    return t->seen;
}

/* --- start and end --------------------------------------------------------------------------------------------------------- */

static const struct flt_kv pins[] = {{"client_encoding", "UTF8"}, {"standard_conforming_strings", "on"}};

void talk_start(struct talk *t, size_t chop, const struct flt_limits *limits) {
    struct flt_conf conf = {.ctx_free = free, .pins = pins, .npins = 2};
    memset(t, 0, sizeof *t);
    if (limits != NULL) conf.limits = *limits;
    t->f = pg_filter_new(&conf);
    ck_assert_ptr_nonnull(t->f);
    t->chop = chop;
    t->seed = 1;
    t->params_cached = true;
    t->pending[0] = t->pending[1] = BUF_INIT(64u << 20);
}

void talk_end(struct talk *t) {
    flt_free(t->f);
    buf_free(&t->pending[0]);
    buf_free(&t->pending[1]);
}

void talk_login(struct talk *t) {
    static const char startup[] = "\0\0\0\x20\0\3\0\0user\0ann\0database\0shop\0";
    talk_raw(t, FLT_CLIENT, startup, sizeof startup);
    talk_raw(t, FLT_CLIENT, "p\0\0\0\x0atoken\0", 11);
}

void talk_ready(struct talk *t) {
    talk_login(t);
    talk_client(t, "Q'first'");
    talk_server(t, "R0 Sserver_version=15.1 Sclient_encoding=UTF8 K ZI");
    talk_server(t, "C'SELECT 0' ZI");
    talk_saw(t, FLT_CLIENT);
    talk_saw(t, FLT_SERVER);
    t->events[t->events_len = 0] = '\0';
}
