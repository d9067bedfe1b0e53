/* See filter_run.h. */
#define _GNU_SOURCE /* memmem */
#include "t/fuzz/filter_run.h"
#include "t/fuzz/sweep.h"
#include "t/fuzz/target.h"

#include <string.h>

/* The target's own allocations are no part of what a sweep lets fail. */
static void keep(struct buf *b, const void *data, size_t len) {
    nomem_pause();
    buf_put(b, data, len);
    nomem_resume();
}

void run_mix(struct run *r, const void *data, size_t len) {
    for (size_t i = 0; i < len; i++) r->events = (r->events ^ ((const uint8_t *)data)[i]) * 1099511628211u;
}

bool run_refused(const char *text, size_t len) {
    unsigned sum = 0;
    for (size_t i = 0; i < len; i++) sum += (uint8_t)text[i];
    return sum % 3 == 1;
}

void run_allow(struct run *r, const char *text, size_t len) {
    nomem_pause();
    buf_be32(&r->allowed, (uint32_t)len);
    buf_put(&r->allowed, text, len);
    nomem_resume();
}

bool run_was_allowed(const struct run *r, const void *text, size_t len) {
    struct cur c = cur_of(buf_at(&r->allowed), buf_used(&r->allowed));
    uint32_t n;
    const uint8_t *at;
    while (cur_be32(&c, &n) && cur_take(&c, n, &at))
        if (n == len && memcmp(at, text, len) == 0) return true;
    return false;
}

static void on_event(struct run *r, const struct flt_event *ev) {
    run_mix(r, &ev->kind, sizeof ev->kind);
    switch (ev->kind) {
    case FLT_EV_HELLO: run_protocol.hello(r, ev); break;
    case FLT_EV_LOGIN: run_protocol.login(r, ev); break;
    case FLT_EV_STATEMENT: {
        run_mix(r, ev->stmt.text, ev->stmt.len);
        for (size_t i = 0; i < ev->stmt.nparams; i++)
            if (ev->stmt.params[i].data != NULL) run_mix(r, ev->stmt.params[i].data, ev->stmt.params[i].kept);
        run_protocol.statement(r, ev);
        break;
    }
    case FLT_EV_UPSTREAM: run_protocol.open(r); break;
    case FLT_EV_UPSTREAM_TLS: run_protocol.secured(r); break;
    case FLT_EV_OVER: flt_over(r->f); break;
    case FLT_EV_RESULT: /* field by field: padding has any value */
        run_mix(r, &ev->result.id, sizeof ev->result.id);
        run_mix(r, &ev->result.rows, sizeof ev->result.rows);
        run_mix(r, &ev->result.bytes, sizeof ev->result.bytes);
        run_mix(r, ev->result.sqlstate, sizeof ev->result.sqlstate);
        run_mix(r, &ev->result.skipped, sizeof ev->result.skipped);
        break;
    case FLT_EV_UPSTREAM_LOST: /* that connection is closed: nothing more of it is read */
        r->lost++;
        buf_reset(&r->pending[FLT_SERVER]);
        r->server_left = 0;
        if (r->opened % 3 == 1)
            run_protocol.open(r); /* once more */
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
    if (r->server_left == 0) r->server_left = run_protocol.message(r, buf_at(&r->pending[FLT_SERVER]), n);
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
    struct cur c = cur_of(data, size);
    memset(r, 0, sizeof *r);
    r->odd = size > 0 && (data[0] & 2) != 0 ? 0 : 1;
    r->out[0] = r->out[1] = r->pending[0] = r->pending[1] = r->allowed = BUF_INIT(64u << 20);
    r->f = run_protocol.create();
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
    run_protocol.check(&whole, false);
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
static bool is_no_memory(const uint8_t *p, size_t n) {
    return memmem(p, n, run_protocol.no_memory, strlen(run_protocol.no_memory)) != NULL || memmem(p, n, "lost", 4) != NULL;
}

/* What goes to the server is the beginning of what goes there with all memory, unless a login was lost and tried again; what the client gets too, but for an
 * error at its end. */
static void faulty(void *arg) {
    struct sweeping *s = arg;
    struct run r;
    run(&r, s->data, s->size, 0);
    nomem_pause();
    if (r.f != NULL) run_protocol.check(&r, nomem_hit());
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
