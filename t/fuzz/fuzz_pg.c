/* The whole PostgreSQL filter, both directions, with an owner that refuses some statements. Input: records of side (1 byte), length (2 bytes), bytes.
 *
 * Checked besides memory errors: what goes to the server is a sequence of well-formed messages; every Query and Parse text among them was
 * allowed; and cutting the input into single bytes changes neither output nor events. */
#define _GNU_SOURCE /* memmem */
#include "filters/filter.h"
#include "filters/pg_wire.h"
#include "t/fuzz/sweep.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

#define CHECK(cond)                                                                                                                        \
    do {                                                                                                                                   \
        if (!(cond)) {                                                                                                                     \
            fprintf(stderr, "%s:%d: %s\n", __FILE__, __LINE__, #cond);                                                                     \
            abort();                                                                                                                       \
        }                                                                                                                                  \
    } while (0)

struct run {
    struct flt *f;
    bool closed;           /* it said so */
    struct buf out[2];     /* everything that came out */
    struct buf pending[2]; /* fed and not taken */
    struct buf allowed;    /* texts that were allowed, each behind its length */
    uint64_t events;       /* a hash of all events */
    size_t server_left;    /* of the server's message at hand */
    unsigned opened, odd;  /* connections to the server; which of them begin with SSLRequest */
    unsigned lost;         /* logins there that failed */
    bool starttls;         /* its answer is due: one byte */
};

/* The target's own allocations are no part of what a sweep lets fail. */
static void keep(struct buf *b, const void *data, size_t len) {
    nomem_pause();
    buf_put(b, data, len);
    nomem_resume();
}

static void mix(struct run *r, const void *data, size_t len) {
    for (size_t i = 0; i < len; i++) r->events = (r->events ^ ((const uint8_t *)data)[i]) * 1099511628211u;
}

static bool refused(const char *text, size_t len) {
    unsigned sum = 0;
    for (size_t i = 0; i < len; i++) sum += (uint8_t)text[i];
    return sum % 3 == 1;
}

static void open_upstream(struct run *r) {
    r->starttls = r->opened % 2 == r->odd;
    r->opened++;
    flt_upstream_open(
        r->f,
        &(struct flt_upstream){
            .user = "u", .password = "p", .database = "d", .allow_cleartext = true, .tls = r->starttls ? FLT_TLS_STARTTLS : FLT_TLS_NONE});
}

static void on_event(struct run *r, const struct flt_event *ev) {
    static const struct flt_kv params[] = {{"server_version", "15"}};
    mix(r, &ev->kind, sizeof ev->kind);
    switch (ev->kind) {
    case FLT_EV_HELLO:
        flt_login_ask(r->f,
                      strlen(ev->login.user) % 8 == 7   ? FLT_ASK_NOTHING
                      : strlen(ev->login.user) % 8 == 6 ? FLT_ASK_OAUTHBEARER
                                                        : FLT_ASK_PASSWORD,
                      "{}");
        break;
    case FLT_EV_LOGIN:
        if (ev->login.too_long || ev->login.discovery)
            flt_login_refuse(r->f, "28P01", "no", NULL, NULL);
        else
            flt_login_accept(r->f, &(struct flt_login_ok){ev->login.token_len % 2 == 0 ? params : NULL, 1, 1, 2});
        break;
    case FLT_EV_STATEMENT: {
        struct flt_answer a = {.allow = !refused(ev->stmt.text, ev->stmt.len), .sqlstate = "42501", .message = "refused"};
        mix(r, ev->stmt.text, ev->stmt.len);
        for (size_t i = 0; i < ev->stmt.nparams; i++)
            if (ev->stmt.params[i].data != NULL) mix(r, ev->stmt.params[i].data, ev->stmt.params[i].kept);
        if (a.allow && ev->stmt.len > 4 && strncmp(ev->stmt.text, "rewr", 4) == 0 && ev->stmt.kind != FLT_STMT_EXECUTE) {
            a.rewritten = "other";
            a.rewritten_len = 5;
        }
        a.copy_in = ev->stmt.len > 4 && strncmp(ev->stmt.text, "copy", 4) == 0;
        a.forget_all_statements = ev->stmt.len > 4 && strncmp(ev->stmt.text, "disc", 4) == 0;
        a.veil = ev->stmt.len > 4 && strncmp(ev->stmt.text, "veil", 4) == 0;
        a.limited = ev->stmt.len > 4 && strncmp(ev->stmt.text, "rows", 4) == 0;
        a.keep_rows = ev->stmt.len % 4;
        a.keep_bytes = 8 * (ev->stmt.len % 32);
        a.max_rows = 1;
        a.max_bytes = ev->stmt.len;
        static const char *const portals[] = {"p", ""};
        a.fetched = portals;
        a.nfetched = ev->stmt.len > 4 && strncmp(ev->stmt.text, "fet", 3) == 0 ? 1 + ev->stmt.len % 2 : 0;
        static const char *const statements[] = {"s", "t"};
        a.executed = statements;
        a.nexecuted = ev->stmt.len > 4 && strncmp(ev->stmt.text, "exe", 3) == 0 ? 1 + ev->stmt.len % 2 : 0;
        a.many = ev->stmt.len % 3 == 0;
        if (a.allow) {
            nomem_pause();
            size_t len = a.rewritten != NULL ? a.rewritten_len : ev->stmt.len;
            buf_be32(&r->allowed, (uint32_t)len);
            buf_put(&r->allowed, a.rewritten != NULL ? a.rewritten : ev->stmt.text, len);
            nomem_resume();
        }
        flt_answer(r->f, ev->stmt.id, &a);
        break;
    }
    case FLT_EV_UPSTREAM: open_upstream(r); break;
    case FLT_EV_UPSTREAM_TLS:
        flt_upstream_secured(r->f, &(struct flt_secured){.end_point = (const uint8_t *)"0123", .end_point_len = 4});
        break;
    case FLT_EV_OVER: flt_over(r->f); break;
    case FLT_EV_RESULT: /* field by field: padding has any value */
        mix(r, &ev->result.id, sizeof ev->result.id);
        mix(r, &ev->result.rows, sizeof ev->result.rows);
        mix(r, &ev->result.bytes, sizeof ev->result.bytes);
        mix(r, ev->result.sqlstate, sizeof ev->result.sqlstate);
        mix(r, &ev->result.skipped, sizeof ev->result.skipped);
        break;
    case FLT_EV_UPSTREAM_LOST: /* that connection is closed: nothing more of it is read */
        r->lost++;
        buf_reset(&r->pending[FLT_SERVER]);
        r->server_left = 0;
        if (r->opened % 3 == 1)
            open_upstream(r); /* once more */
        else
            flt_upstream_failed(r->f, "08006", "lost", NULL, false);
        break;
    case FLT_EV_CLOSE:
        CHECK(!r->closed);
        r->closed = true;
        break;
    default: break;
    }
}

/* How much of the server's n pending bytes belongs to the message at hand. */
static size_t one_message(struct run *r, size_t n) {
    if (r->starttls) { /* what is behind it comes out of TLS */
        r->starttls = false;
        r->server_left = 1;
    }
    if (r->server_left == 0) {
        struct cur c = cur_of(buf_at(&r->pending[FLT_SERVER]), n);
        uint32_t len = 0;
        r->server_left = cur_skip(&c, 1) && cur_be32(&c, &len) && len >= 4 ? 1 + (size_t)len : n;
    }
    return n < r->server_left ? n : r->server_left;
}

static void move(struct run *r, size_t chop) {
    for (bool moved = true; moved;) {
        struct flt_event ev;
        moved = false;
        while (flt_next(r->f, &ev)) {
            on_event(r, &ev);
            moved = true;
        }
        for (int side = 0; side < 2; side++) {
            struct buf *o = flt_out(r->f, (enum flt_side)side), *p = &r->pending[side];
            keep(&r->out[side], buf_at(o), buf_used(o));
            buf_drain(o, buf_used(o));
            size_t n = buf_used(p);
            if (n == 0) continue;
            if (side == FLT_SERVER) {
                if (moved) continue; /* a server answers when all that was sent has reached it */
                n = one_message(r, n);
            }
            if (chop > 0 && n > chop) n = chop;
            size_t took = flt_feed(r->f, (enum flt_side)side, buf_at(p), n);
            CHECK(took <= n);
            buf_drain(p, took);
            if (side == FLT_SERVER) r->server_left -= took < r->server_left ? took : r->server_left;
            moved = moved || took > 0;
        }
    }
    for (int side = 0; side < 2; side++) CHECK(r->closed || !flt_out(r->f, (enum flt_side)side)->failed);
}

static void run(struct run *r, const uint8_t *data, size_t size, size_t chop) {
    static const struct flt_kv pins[] = {{"client_encoding", "UTF8"}};
    struct flt_conf conf = {
        .limits = {.statement = 2000, .reply = 3000, .statements = 5, .portals = 5, .inflight = 9, .params = 40}, .pins = pins, .npins = 1};
    struct cur c = cur_of(data, size);
    memset(r, 0, sizeof *r);
    r->odd = size > 0 && (data[0] & 2) != 0 ? 0 : 1;
    r->out[0] = r->out[1] = r->pending[0] = r->pending[1] = r->allowed = BUF_INIT(64u << 20);
    r->f = pg_filter_new(&conf);
    if (r->f == NULL) return;
    uint8_t side;
    uint16_t n;
    while (cur_u8(&c, &side) && cur_be16(&c, &n)) {
        const uint8_t *at;
        size_t len = n < cur_left(&c) ? n : cur_left(&c);
        if (!cur_take(&c, len, &at)) break;
        keep(&r->pending[side & 1], at, len);
        move(r, chop);
    }
    flt_eof(r->f, (enum flt_side)(size & 1));
    move(r, chop);
}

static bool was_allowed(const struct run *r, const char *text, size_t len) {
    struct cur c = cur_of(buf_at(&r->allowed), buf_used(&r->allowed));
    uint32_t n;
    const uint8_t *at;
    while (cur_be32(&c, &n) && cur_take(&c, n, &at))
        if (n == len && memcmp(at, text, len) == 0) return true;
    return false;
}

/* cut: memory was out, so the last message may be unfinished. */
static void check_server_stream(const struct run *r, bool cut) {
    struct cur c = cur_of(buf_at(&r->out[FLT_SERVER]), buf_used(&r->out[FLT_SERVER]));
    while (cur_left(&c) > 0) {
        uint8_t type = 0;
        uint32_t n;
        const uint8_t *at;
        size_t left = cur_left(&c);
        if (c.p[0] != 0) CHECK(cur_u8(&c, &type)); /* a start-up packet has no type */
        if (cut && (left < 5 || !cur_be32(&c, &n) || n < 4)) return;
        CHECK(cut || (left >= 4 && cur_be32(&c, &n) && n >= 4));
        if (n - 4 > cur_left(&c)) { /* only what streams may be cut off by the end of the session */
            CHECK(cut || type == 'd' || type == 'B' || type == 'f');
            return;
        }
        CHECK(cur_take(&c, n - 4, &at));
        CHECK(type == 0 || strchr("QPBEDCHSXdcfp", type) != NULL);
        if (type != 'Q' && type != 'P') continue;
        struct cur body = cur_of(at, n - 4);
        const char *text;
        size_t len;
        CHECK(type == 'Q' || cur_cstr(&body, &text, &len));
        CHECK(cur_cstr(&body, &text, &len));
        CHECK(was_allowed(r, text, len));
    }
}

static void end(struct run *r) {
    flt_free(r->f);
    for (int i = 0; i < 2; i++) {
        buf_free(&r->out[i]);
        buf_free(&r->pending[i]);
    }
    buf_free(&r->allowed);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    struct run whole, bytes;
    run(&whole, data, size, 0);
    check_server_stream(&whole, false);
    run(&bytes, data, size, 1);
    CHECK(whole.events == bytes.events);
    for (int i = 0; i < 2; i++) {
        CHECK(buf_used(&whole.out[i]) == buf_used(&bytes.out[i]));
        CHECK(buf_used(&whole.out[i]) == 0 || memcmp(buf_at(&whole.out[i]), buf_at(&bytes.out[i]), buf_used(&whole.out[i])) == 0);
    }
    end(&whole);
    end(&bytes);
    return 0;
}

#ifdef FUZZ_SWEEP
struct sweeping {
    const uint8_t *data;
    size_t size;
    struct run full;
};

/* An error says so, or that the server was lost: OpenSSL had no memory for its login. */
static bool is_no_memory(const uint8_t *p, size_t n) { return memmem(p, n, "C53200", 6) != NULL || memmem(p, n, "lost", 4) != NULL; }

/* What goes to the server is the beginning of what goes there with all memory, unless a login was lost and tried again; what the client gets too, but for an
 * error at its end. */
static void faulty(void *arg) {
    struct sweeping *s = arg;
    struct run r;
    run(&r, s->data, s->size, 0);
    nomem_pause();
    if (r.f != NULL) check_server_stream(&r, nomem_hit());
    for (int i = 0; i < 2; i++) {
        size_t n = buf_used(&r.out[i]), most = buf_used(&s->full.out[i]), same = 0;
        const uint8_t *now = buf_at(&r.out[i]), *then = buf_at(&s->full.out[i]);
        while (same < n && same < most && now[same] == then[same]) same++;
        CHECK(r.f == NULL || r.closed || r.lost > 0 || (n == most && same == n && r.events == s->full.events));
        bool fine = same == n || (i == FLT_CLIENT ? is_no_memory(now, n) : r.lost > 0);
        if (!fine) sweep_show("now", now, n);
        if (!fine) sweep_show("with all memory", then, most);
        CHECK(fine);
    }
    end(&r);
    nomem_resume();
}

void fuzz_sweep(const uint8_t *data, size_t size) {
    struct sweeping s = {.data = data, .size = size};
    run(&s.full, data, size, 0);
    sweep(faulty, &s);
    end(&s.full);
}
#endif
