#include "t/lib/spop_dump.h"
#include "t/lib/guard.h"

#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

static void put(struct buf *b, const char *fmt, ...) __attribute__((format(printf, 2, 3)));
static void put(struct buf *b, const char *fmt, ...) {
    char line[256];
    va_list ap;
    va_start(ap, fmt);
    vsnprintf(line, sizeof line, fmt, ap);
    va_end(ap);
    buf_str(b, line);
}

static void put_hex(struct buf *b, const void *data, size_t len) {
    const uint8_t *p = data;
    for (size_t i = 0; i < len; i++) put(b, "%02x", p[i]);
}

static void put_text(struct buf *b, const void *data, size_t len) {
    const uint8_t *p = data;
    for (size_t i = 0; i < len; i++) put(b, p[i] > ' ' && p[i] < 0x7f && p[i] != '%' ? "%c" : "%%%02x", p[i]);
}

static void put_value_text(struct buf *b, const struct spop_value *v) {
    switch (v->type) {
    case SPOP_NULL: put(b, "null"); break;
    case SPOP_BOOL: put(b, v->b ? "true" : "false"); break;
    case SPOP_INT32: put(b, "i32:%" PRId64, v->i); break;
    case SPOP_INT64: put(b, "i64:%" PRId64, v->i); break;
    case SPOP_UINT32: put(b, "u32:%" PRIu64, v->u); break;
    case SPOP_UINT64: put(b, "u64:%" PRIu64, v->u); break;
    case SPOP_IPV4:
        put(b, "ipv4:");
        put_hex(b, v->data, v->len);
        break;
    case SPOP_IPV6:
        put(b, "ipv6:");
        put_hex(b, v->data, v->len);
        break;
    case SPOP_STRING:
        put(b, "str:");
        put_text(b, v->data, v->len);
        break;
    case SPOP_BINARY:
        put(b, "bin:");
        put_hex(b, v->data, v->len);
        break;
    }
}

static void put_event(struct buf *b, const struct spop_event *ev) {
    switch (ev->kind) {
    case SPOP_EV_HELLO:
        put(b, "hello check=%d size=%u pipelining=%d engine=", ev->hello.healthcheck, ev->hello.max_frame_size, ev->hello.pipelining);
        put_text(b, ev->hello.engine_id, ev->hello.engine_id_len);
        break;
    case SPOP_EV_NOTIFY:
        put(b, "notify %" PRIu64 "/%" PRIu64, ev->notify.stream_id, ev->notify.frame_id);
        for (size_t i = 0; i < ev->notify.nmessages; i++) {
            const struct spop_message *m = &ev->notify.messages[i];
            put(b, " message=");
            put_text(b, m->name, m->name_len);
            for (size_t k = 0; k < m->nargs; k++) {
                put(b, " ");
                put_text(b, m->args[k].name, m->args[k].name_len);
                put(b, "=");
                put_value_text(b, &m->args[k].value);
            }
        }
        break;
    case SPOP_EV_DISCONNECT:
        put(b, "disconnect %" PRIu64 " ", ev->disconnect.status);
        put_text(b, ev->disconnect.message, ev->disconnect.message_len);
        break;
    case SPOP_EV_CLOSE: put(b, "close %d %s", ev->close.status, ev->close.reason); break;
    }
    put(b, "\n");
}

static void take_events(struct spop_agent *a, struct buf *text) {
    struct spop_event ev;
    while (spop_agent_next(a, &ev)) {
        put_event(text, &ev);
        if (ev.kind != SPOP_EV_NOTIFY) continue;
        struct spop_action set = {SPOP_SET_VAR, SPOP_TXN, "verdict", spop_str("allow")};
        spop_ack(a, ev.notify.stream_id, ev.notify.frame_id, &set, 1);
    }
}

static size_t feed_piece(struct spop_agent *a, const uint8_t *data, size_t n, bool guard) {
    uint8_t *piece = guard ? guard_copy(data, n) : malloc(n);
    if (piece == NULL) abort();
    memcpy(piece, data, n);
    size_t taken = spop_agent_feed(a, piece, n);
    if (guard)
        guard_free(piece, n);
    else
        free(piece);
    if (taken > n) abort();
    return taken;
}

void spop_dump(const struct spop_agent_conf *conf, const uint8_t *data, size_t len, const struct spop_pieces *pieces, struct buf *text) {
    struct spop_agent *a = spop_agent_new(conf);
    if (a == NULL) abort();
    for (size_t at = 0; at < len;) {
        size_t n = pieces->cut(pieces->arg);
        size_t taken = feed_piece(a, data + at, n < len - at ? n : len - at, pieces->guard);
        take_events(a, text);
        if (taken == 0) break; /* closed: with the events taken, nothing else refuses bytes */
        at += taken;
    }
    struct buf *out = spop_agent_out(a);
    put(text, "out ");
    put_hex(text, buf_at(out), buf_used(out));
    put(text, "\n");
    spop_agent_free(a);
}
