#include "t/filters/my_talk.h"

#include "filters/my_wire.h"
#include "t/lib/guard.h"

#include <ctype.h>
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

/* --- the owner's part --- */

static void reply(struct talk *t, uint64_t id, const char *text, bool allow, bool prepare) {
    struct flt_answer a = {.allow = allow};
    if (allow) {
        a.copy_in = strstr(text, "copyin") != NULL;
        a.secret = strstr(text, "secret") != NULL;
        if (prepare) a.ctx = strdup(a.secret ? "do 1" : text);
        if (a.secret || strstr(text, "rewrite") != NULL) {
            a.rewritten = "do 1";
            a.rewritten_len = strlen(a.rewritten);
        }
        a.veil = strstr(text, "veil") != NULL;
        a.retrack = !prepare && strstr(text, "retrack") != NULL;
        if (strstr(text, "rows ") != NULL) a.max_rows = strtoul(strstr(text, "rows ") + 5, NULL, 10);
        if (strstr(text, "bytes ") != NULL) a.max_bytes = strtoul(strstr(text, "bytes ") + 6, NULL, 10);
        a.limited = a.max_rows != 0 || a.max_bytes != 0 || strstr(text, "limited") != NULL;
    } else {
        a.sqlstate = "42501";
        a.message = "refused";
        a.hint = "ask for something else";
        a.fatal = strstr(text, "fatally") != NULL;
    }
    flt_answer(t->f, id, &a);
}

static void on_statement(struct talk *t, const struct flt_event *ev) {
    static const char *const kinds[] = {"?", "query", "prepare", "execute"};
    note(t, "%s %.60s", kinds[ev->stmt.kind], ev->stmt.text);
    t->alone = ev->stmt.alone;
    t->multi = ev->stmt.multi;
    ck_assert_uint_eq(strlen(ev->stmt.text), ev->stmt.len);
    if (ev->stmt.kind == FLT_STMT_EXECUTE) ck_assert_str_eq(ev->stmt.ctx, ev->stmt.text);
    for (size_t i = 0; i < ev->stmt.nparams; i++) {
        const struct flt_param *p = &ev->stmt.params[i];
        note(t, p->data == NULL ? " null" : p->binary ? " binary" : " ");
        for (size_t k = 0; p->data != NULL && k < p->kept && k < 20; k++) note(t, p->binary ? "%02x" : "%c", p->data[k]);
        if (p->data != NULL && p->kept < p->len) note(t, "..%u", (unsigned)p->len);
    }
    note(t, "\n");
    t->open_id = ev->stmt.id;
    t->open_kind = ev->stmt.kind;
    if (strstr(ev->stmt.text, "later") != NULL) return;
    reply(t, ev->stmt.id, ev->stmt.text, strstr(ev->stmt.text, "refuse") == NULL, ev->stmt.kind == FLT_STMT_PREPARE);
}

static void open_upstream(struct talk *t) {
    if (t->upstream_down) {
        flt_upstream_failed(t->f, "08001", "no database", NULL, false);
        return;
    }
    flt_upstream_open(t->f, &(struct flt_upstream){.user = "gate",
                                                   .password = t->password != NULL ? t->password : "secret",
                                                   .database = "shop",
                                                   .params = t->settings,
                                                   .nparams = t->nsettings,
                                                   .allow_cleartext = !t->clear_refused,
                                                   .public_key = t->public_key,
                                                   .tls = t->tls});
}

static void on_event(struct talk *t, const struct flt_event *ev) {
    switch (ev->kind) {
    case FLT_EV_HELLO:
        note(t, "hello %s %s%s%s\n", ev->login.user, ev->login.database, ev->login.nparams > 0 ? " " : "",
             ev->login.nparams > 0 ? ev->login.params[0].value : "");
        flt_login_ask(t->f, t->ask, NULL);
        break;
    case FLT_EV_LOGIN:
        note(t, "login '%.100s'%s\n", ev->login.token, ev->login.too_long ? " too long" : "");
        ck_assert_uint_eq(strlen(ev->login.token), ev->login.token_len);
        if (t->ask == FLT_ASK_NOTHING || strcmp(ev->login.token, "token") == 0)
            flt_login_accept(t->f, &(struct flt_login_ok){0});
        else
            flt_login_refuse(t->f, "28P01", "bad token", NULL, NULL);
        break;
    case FLT_EV_STATEMENT: on_statement(t, ev); break;
    case FLT_EV_UPSTREAM: open_upstream(t); break;
    case FLT_EV_UPSTREAM_TLS: flt_upstream_secured(t->f, &(struct flt_secured){0}); break;
    case FLT_EV_UPSTREAM_READY:
        for (size_t i = 0; i < ev->upstream.nparams; i++) note(t, "%s=%s ", ev->upstream.params[i].name, ev->upstream.params[i].value);
        note(t, "\n");
        break;
    case FLT_EV_UPSTREAM_LOST:
        note(t, "lost '%s' %s\n", ev->lost.sqlstate, ev->lost.text);
        flt_upstream_failed(t->f, "08006", "no login", NULL, false);
        break;
    case FLT_EV_RESULT:
        note(t, "result %u rows %u bytes %u '%s'%s\n", (unsigned)ev->result.id, (unsigned)ev->result.rows, (unsigned)ev->result.bytes,
             ev->result.sqlstate, ev->result.skipped ? " skipped" : "");
        break;
    case FLT_EV_OVER:
        note(t, "over %u\n", (unsigned)ev->over.id);
        if (!t->cancelling) flt_over(t->f);
        break;
    case FLT_EV_CANCEL: break;
    case FLT_EV_CLOSE:
        note(t, "close %s: %s\n", gh_rc_name(ev->close.rc), ev->close.reason);
        t->closed = true;
        break;
    }
}

static void take_events(struct talk *t) {
    struct flt_event ev;
    while (!t->closed && flt_next(t->f, &ev)) on_event(t, &ev);
}

/* What waits on either side, in pieces that end at a guard page. */
static void move(struct talk *t) {
    for (bool moved = true; moved;) {
        moved = false;
        take_events(t);
        for (int side = 0; side < 2; side++) {
            struct buf *b = &t->pending[side];
            while (buf_used(b) > 0) {
                size_t n = t->chop == 0 ? buf_used(b) : t->chop == SIZE_MAX ? 1 + (size_t)rand_r(&t->seed) % 40 : t->chop;
                if (n > buf_used(b)) n = buf_used(b);
                uint8_t *copy = guard_copy(buf_at(b), n);
                size_t took = flt_feed(t->f, (enum flt_side)side, copy, n);
                guard_free(copy, n);
                ck_assert_uint_le(took, n);
                buf_drain(b, took);
                take_events(t);
                if (took == 0) break;
                moved = true;
            }
        }
    }
}

void talk_raw(struct talk *t, enum flt_side side, const void *data, size_t len) {
    buf_put(&t->pending[side], data, len);
    move(t);
}

void talk_release(struct talk *t, bool allow) {
    reply(t, t->open_id, "", allow, t->open_kind == FLT_STMT_PREPARE);
    move(t);
}

/* --- shorthand --- */

static bool word(const char *s, const char *w) { return strncmp(s, w, strlen(w)) == 0 && (s[strlen(w)] == ' ' || s[strlen(w)] == '\0'); }

static const char *body_of(const char *s, struct buf *b) {
    static const struct {
        const char *word, *hex;
    } words[] = {{"OK", "00000002000000"},  {"TXN", "00000003000000"},   {"MORE", "0000000a000000"},     {"EOF", "fe00000200"},
                 {"EOFMORE", "fe00000a00"}, {"OKEOF", "fe000002000000"}, {"ERR", "ff1e0423343253323261"}};
    uint8_t bytes[64];
    for (size_t i = 0; i < sizeof words / sizeof *words; i++) {
        if (!word(s, words[i].word)) continue;
        buf_put(b, bytes, unhex(words[i].hex, bytes, sizeof bytes));
        return s + strlen(words[i].word);
    }
    while (*s != '\0' && *s != ' ') {
        if (*s == '\'') {
            const char *end = strchr(s + 1, '\'');
            ck_assert_ptr_nonnull(end);
            buf_put(b, s + 1, (size_t)(end - s - 1));
            s = end + 1;
            continue;
        }
        char two[3] = {s[0], s[1], '\0'};
        buf_put(b, bytes, unhex(two, bytes, 1));
        s += 2;
    }
    return s;
}

static void say(struct talk *t, enum flt_side side, const char *s) {
    struct buf b = BUF_INIT(1u << 20);
    while (*s != '\0') {
        char *end;
        struct buf body = BUF_INIT(1u << 20);
        uint8_t seq = (uint8_t)strtoul(s, &end, 10);
        ck_assert_int_eq(*end, ':');
        s = body_of(end + 1, &body);
        while (*s == ' ') s++;
        my_put_packet(&b, &seq, buf_at(&body), buf_used(&body));
        buf_free(&body);
    }
    talk_raw(t, side, buf_at(&b), buf_used(&b));
    buf_free(&b);
}

void talk_client(struct talk *t, const char *packets) { say(t, FLT_CLIENT, packets); }
void talk_server(struct talk *t, const char *packets) { say(t, FLT_SERVER, packets); }

static char *show(char *at, const uint8_t *p, size_t len) {
    if (len > 100) return at + sprintf(at, "(%zu bytes)", len);
    for (size_t i = 0; i < len;) {
        size_t n = i;
        while (n < len && isprint(p[n]) && p[n] != '\'') n++;
        if (n - i >= 3) {
            at += sprintf(at, "'%.*s'", (int)(n - i), (const char *)p + i);
            i = n;
        } else
            at += sprintf(at, "%02x", p[i++]);
    }
    return at;
}

const char *talk_saw(struct talk *t, enum flt_side side) {
    struct buf *out = flt_out(t->f, side);
    struct cur c = cur_of(buf_at(out), buf_used(out));
    char *at = t->seen;
    *at = '\0';
    while (cur_left(&c) > 0) {
        uint32_t len;
        uint8_t seq;
        const uint8_t *p;
        struct my_err e;
        ck_assert(cur_le24(&c, &len) && cur_u8(&c, &seq) && cur_take(&c, len, &p));
        at += sprintf(at, "%s%u:", at == t->seen ? "" : " ", seq);
        if (side == FLT_CLIENT && len > 3 && p[0] == 0xff && my_read_err(cur_of(p, len), &e))
            at += sprintf(at, "E%u", e.code);
        else if (side == FLT_CLIENT && len == 7 && memcmp(p, "\0\0\0\2\0\0\0", 7) == 0)
            at += sprintf(at, "OK");
        else if (side == FLT_SERVER && len >= 32 && memcmp(p + 9, (const uint8_t[23]){0}, 23) == 0)
            at += sprintf(at, "%s", len == 32 ? "ssl" : "login");
        else
            at = show(at, p, len);
        ck_assert_uint_lt((size_t)(at - t->seen), sizeof t->seen - 4096);
    }
    buf_drain(out, buf_used(out));
    move(t); /* drained: what was held back may be taken now */
    return t->seen;
}

/* --- whole logins --- */

void talk_start(struct talk *t, size_t chop, const struct flt_limits *limits) {
    memset(t, 0, sizeof *t);
    struct flt_conf conf = {.ctx_free = free};
    if (limits != NULL) conf.limits = *limits;
    t->f = my_filter_new(&conf);
    t->chop = chop;
    t->seed = 7;
    t->ask = FLT_ASK_PASSWORD;
    t->pending[0] = t->pending[1] = BUF_INIT(64u << 20);
    ck_assert_ptr_nonnull(t->f);
}

void talk_end(struct talk *t) {
    flt_free(t->f);
    buf_free(&t->pending[0]);
    buf_free(&t->pending[1]);
}

static uint32_t caps(const struct talk *t) {
    return (MY_OFFER & ~(MY_CAP_SSL | (t->eof ? MY_CAP_DEPRECATE_EOF : 0) | (t->track ? 0 : MY_CAP_SESSION_TRACK))) | MY_CAP_SSL;
}

void talk_hello(struct talk *t) {
    static const char zeros[23], scramble[] = "12345678901234567890123456789012";
    const char *auth = t->auth != NULL ? t->auth : scramble;
    struct buf b = BUF_INIT(1u << 20), p = BUF_INIT(1u << 20);
    uint8_t seq = 2;
    buf_le32(&p, caps(t));
    buf_le32(&p, 1u << 24);
    buf_u8(&p, t->collation != 0 ? t->collation : 45);
    buf_put(&p, zeros, sizeof zeros);
    buf_cstr(&p, "ann");
    my_put_lenenc(&p, strlen(auth));
    buf_str(&p, auth);
    buf_cstr(&p, "shop");
    buf_cstr(&p, t->plugin != NULL ? t->plugin : "caching_sha2_password");
    my_put_lenenc(&p, 22);
    my_put_lenenc(&p, 12);
    buf_str(&p, "program_name");
    my_put_lenenc(&p, 8);
    buf_str(&p, "my tests");
    my_put_packet(&b, &seq, buf_at(&p), buf_used(&p));
    talk_raw(t, FLT_CLIENT, buf_at(&b), buf_used(&b));
    buf_free(&b);
    buf_free(&p);
}

void talk_login(struct talk *t) {
    talk_hello(t);
    talk_expect(t, FLT_CLIENT, "3:0104");
    talk_client(t, "4:'token'00");
    talk_expect(t, FLT_CLIENT, "5:OK");
    talk_events(t, "hello ann shop my tests\nlogin 'token'\n");
}

void talk_greet(struct talk *t) {
    struct my_greeting g = {.version = "10.11.6-MariaDB", .thread = 77, .caps = MY_OFFER, .status = 2, .charset = 45};
    struct buf b = BUF_INIT(512);
    memcpy(g.nonce, "abcdefghijklmnopqrst", MY_NONCE);
    snprintf(g.plugin, sizeof g.plugin, "%s", t->greeting != NULL ? t->greeting : "mysql_native_password");
    if (t->tls == FLT_TLS_NONE) g.caps &= ~MY_CAP_SSL;
    my_put_greeting(&b, &g);
    talk_raw(t, FLT_SERVER, buf_at(&b), buf_used(&b));
    buf_free(&b);
}

void talk_pins(struct talk *t) {
    char row[400];
    const char *mode = t->mode != NULL ? t->mode : "STRICT_TRANS_TABLES";
    talk_server(t, "1:OK");
    talk_expect(t, FLT_SERVER, "0:(107 bytes)");
    snprintf(row, sizeof row,
             "1:05 2:03'def' 3:03'def' 4:03'def' 5:03'def' 6:03'def' %s%s%d:0f'10.11.6-MariaDB'%02x'%s'01'0'07'utf8mb4'04'shop' %d:%s",
             t->eof ? "7:EOF" : "", t->eof ? " " : "", t->eof ? 8 : 7, (unsigned)strlen(mode), mode, t->eof ? 9 : 8,
             t->eof ? "EOF" : "OKEOF");
    talk_server(t, row);
}

void talk_serve(struct talk *t) {
    talk_expect(t, FLT_SERVER, "");
    talk_greet(t);
    talk_expect(t, FLT_SERVER, t->tls == FLT_TLS_NONE ? "1:login" : "1:ssl 2:login");
    talk_server(t, t->tls == FLT_TLS_NONE ? "2:OK" : "3:OK");
    talk_saw(t, FLT_SERVER); /* SET .. */
    talk_pins(t);
}

void talk_ready(struct talk *t) {
    talk_login(t);
    talk_client(t, "0:03'do 0'");
    talk_serve(t);
    talk_expect(t, FLT_SERVER, "0:03'do 0'");
    talk_server(t, "1:OK");
    talk_expect(t, FLT_CLIENT, "1:OK");
    t->events[t->events_len = 0] = '\0';
}
