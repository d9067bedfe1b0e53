#include "spoa/handover_msg.h"

#include <string.h>

#define MAGIC     0x4748484fu /* "GHHO" */
#define SPOP_OPEN 1u
#define SPOP_PIPE 2u

/* --- writing --- */

static void put_be64(struct buf *b, uint64_t v) {
    buf_be32(b, (uint32_t)(v >> 32));
    buf_be32(b, (uint32_t)v);
}

static void put_text(struct buf *b, const char *s, size_t max) {
    size_t n = strnlen(s, max);
    buf_u8(b, (uint8_t)n);
    buf_put(b, s, n);
}

static void put_file(struct buf *b, const struct ho_file *f) {
    put_be64(b, f->dev);
    put_be64(b, f->ino);
}

void ho_put(struct buf *b, const struct ho_msg *m) {
    buf_u8(b, (uint8_t)m->type);
    switch (m->type) {
    case HO_HELLO:
        buf_be32(b, MAGIC);
        buf_be16(b, m->hello.version);
        buf_be32(b, m->hello.pid);
        put_text(b, m->hello.program, sizeof m->hello.program - 1);
        break;
    case HO_OFFER:
        buf_be32(b, m->offer.pid);
        put_text(b, m->offer.program, sizeof m->offer.program - 1);
        put_file(b, &m->offer.spop);
        put_file(b, &m->offer.payload);
        break;
    case HO_REFUSE: buf_str(b, m->refuse.text); break;
    case HO_KEY:
        buf_put(b, m->key.secret, sizeof m->key.secret);
        buf_u8(b, (uint8_t)m->key.nfds);
        buf_put(b, m->key.fds, m->key.nfds);
        break;
    case HO_USED:
        buf_be16(b, (uint16_t)m->used.n);
        for (size_t i = 0; i < m->used.n; i++) {
            buf_put(b, m->used.entries[i].mac, sizeof m->used.entries[i].mac);
            put_be64(b, m->used.entries[i].expiry);
        }
        break;
    case HO_END:
        buf_be32(b, m->end.total);
        put_be64(b, m->end.now_ms);
        break;
    case HO_SPOP:
        buf_be32(b, m->spop.frame_size);
        buf_u8(b, (uint8_t)((m->spop.ready ? SPOP_OPEN : 0) | (m->spop.pipelining ? SPOP_PIPE : 0)));
        buf_put(b, m->spop.bytes, m->spop.len);
        break;
    case HO_CANCEL:
        buf_be32(b, m->cancel.pid);
        buf_be32(b, m->cancel.secret);
        buf_str(b, m->cancel.src);
        break;
    case HO_TAKE:
    case HO_READY:
    case HO_GO:
    case HO_RELOAD: break;
    }
}

/* --- reading --- */

/* Text that ends in a log: printable ASCII. */
static bool take_text(struct cur *c, size_t n, char *out, size_t size) {
    const uint8_t *at;
    if (n >= size || !cur_take(c, n, &at)) return false;
    for (size_t i = 0; i < n; i++)
        if (at[i] < 0x20 || at[i] > 0x7e) return false;
    memcpy(out, at, n);
    out[n] = '\0';
    return true;
}

static bool get_text(struct cur *c, char *out, size_t size) {
    uint8_t n;
    return cur_u8(c, &n) && take_text(c, n, out, size);
}

static bool get_file(struct cur *c, struct ho_file *f) { return cur_be64(c, &f->dev) && cur_be64(c, &f->ino); }

/* What follows the version is read only when it is ours: another version may have anything there. */
static bool get_hello(struct cur *c, struct ho_msg *m) {
    uint32_t magic;
    if (!cur_be32(c, &magic) || magic != MAGIC || !cur_be16(c, &m->hello.version)) return false;
    if (m->hello.version != HO_VERSION) return cur_skip(c, cur_left(c));
    return cur_be32(c, &m->hello.pid) && get_text(c, m->hello.program, sizeof m->hello.program);
}

static bool get_key(struct cur *c, struct ho_msg *m) {
    const uint8_t *secret, *kinds;
    uint8_t n;
    if (!cur_take(c, sizeof m->key.secret, &secret) || !cur_u8(c, &n) || n > HO_FDS || !cur_take(c, n, &kinds)) return false;
    memcpy(m->key.secret, secret, sizeof m->key.secret);
    memcpy(m->key.fds, kinds, n);
    m->key.nfds = n;
    return true;
}

static bool get_used(struct cur *c, struct ho_msg *m) {
    uint16_t n;
    const uint8_t *mac;
    if (!cur_be16(c, &n) || n > HO_USED_MAX) return false;
    for (m->used.n = 0; m->used.n < n; m->used.n++) {
        struct ticket_use *e = &m->used.entries[m->used.n];
        if (!cur_take(c, sizeof e->mac, &mac) || !cur_be64(c, &e->expiry)) return false;
        memcpy(e->mac, mac, sizeof e->mac);
    }
    return true;
}

static bool get_spop(struct cur *c, struct ho_msg *m) {
    uint8_t flags;
    if (!cur_be32(c, &m->spop.frame_size) || !cur_u8(c, &flags) || (flags & ~(SPOP_OPEN | SPOP_PIPE)) != 0) return false;
    m->spop.ready = (flags & SPOP_OPEN) != 0;
    m->spop.pipelining = (flags & SPOP_PIPE) != 0;
    m->spop.len = cur_left(c);
    return m->spop.len <= HO_BYTES_MAX && cur_take(c, m->spop.len, &m->spop.bytes);
}

static bool get_cancel(struct cur *c, struct ho_msg *m) {
    if (!cur_be32(c, &m->cancel.pid) || !cur_be32(c, &m->cancel.secret)) return false;
    return cur_left(c) > 0 && take_text(c, cur_left(c), m->cancel.src, sizeof m->cancel.src);
}

static bool get_body(struct cur *c, struct ho_msg *m) {
    switch (m->type) {
    case HO_HELLO: return get_hello(c, m);
    case HO_OFFER:
        return cur_be32(c, &m->offer.pid) && get_text(c, m->offer.program, sizeof m->offer.program) && get_file(c, &m->offer.spop) &&
               get_file(c, &m->offer.payload);
    case HO_REFUSE: return take_text(c, cur_left(c), m->refuse.text, sizeof m->refuse.text);
    case HO_KEY: return get_key(c, m);
    case HO_USED: return get_used(c, m);
    case HO_END: return cur_be32(c, &m->end.total) && cur_be64(c, &m->end.now_ms);
    case HO_SPOP: return get_spop(c, m);
    case HO_CANCEL: return get_cancel(c, m);
    case HO_TAKE:
    case HO_READY:
    case HO_GO:
    case HO_RELOAD: return true;
    }
    return false;
}

enum gh_rc ho_get(const void *packet, size_t len, struct ho_msg *m, const char **why) {
    struct cur c = cur_of(packet, len);
    uint8_t type;
    if (!cur_u8(&c, &type)) {
        *why = "an empty message";
        return GH_MALFORMED;
    }
    if (type < HO_HELLO || type > HO_RELOAD) {
        *why = "a message of a type that is not known";
        return GH_UNSUPPORTED;
    }
    m->type = (enum ho_type)type;
    if (!get_body(&c, m)) {
        *why = "a message that is cut off, or holds something that it may not";
        return GH_MALFORMED;
    }
    if (cur_left(&c) == 0) return GH_OK;
    *why = "a message with bytes behind its end";
    return GH_MALFORMED;
}
