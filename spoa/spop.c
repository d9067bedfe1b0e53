#include "spoa/spop.h"

/* Section 3.1: the low half of the first byte is the type, the high half its flags. */
#define TYPE_MASK 0x0f
#define FLAG_TRUE 0x10

enum gh_rc spop_get_varint(struct cur *c, uint64_t *v) {
    struct cur at = *c;
    uint8_t byte;
    if (!cur_u8(&at, &byte)) return GH_NEED_MORE;
    uint64_t sum = byte;
    if (byte >= 240) {
        /* 4 bits came with the first byte, 7 come with each that follows; the tenth byte has room for 4 of a 64-bit number. */
        for (unsigned shift = 4; shift <= 60; shift += 7) {
            if (!cur_u8(&at, &byte)) return GH_NEED_MORE;
            uint64_t part = (uint64_t)byte << shift;
            if (part >> shift != byte || __builtin_add_overflow(sum, part, &sum)) return GH_MALFORMED;
            if (byte < 128) break;
        }
        if (byte >= 128) return GH_MALFORMED;
    }
    *v = sum;
    *c = at;
    return GH_OK;
}

void spop_put_varint(struct buf *b, uint64_t v) {
    if (v < 240) {
        buf_u8(b, (uint8_t)v);
        return;
    }
    buf_u8(b, (uint8_t)(v | 240));
    v = (v - 240) >> 4;
    while (v >= 128) {
        buf_u8(b, (uint8_t)(v | 128));
        v = (v - 128) >> 7;
    }
    buf_u8(b, (uint8_t)v);
}

enum gh_rc spop_get_string(struct cur *c, const uint8_t **data, size_t *len) {
    struct cur at = *c;
    uint64_t n;
    enum gh_rc rc = spop_get_varint(&at, &n);
    if (rc != GH_OK) return rc;
    if (n > SIZE_MAX || !cur_take(&at, (size_t)n, data)) return GH_NEED_MORE;
    *len = (size_t)n;
    *c = at;
    return GH_OK;
}

void spop_put_string(struct buf *b, const void *data, size_t len) {
    spop_put_varint(b, len);
    buf_put(b, data, len);
}

/* Peers differ in how they write a negative 32-bit number: extended to 64 bits, or not. */
static bool narrow_int32(uint64_t raw, int64_t *i) {
    if (raw <= UINT32_MAX)
        *i = (int32_t)(uint32_t)raw;
    else if ((int64_t)raw < 0 && (int64_t)raw >= INT32_MIN)
        *i = (int64_t)raw;
    else
        return false;
    return true;
}

static enum gh_rc get_integer(struct cur *c, struct spop_value *v) {
    uint64_t raw;
    enum gh_rc rc = spop_get_varint(c, &raw);
    if (rc != GH_OK) return rc;
    switch (v->type) {
    case SPOP_INT32: return narrow_int32(raw, &v->i) ? GH_OK : GH_MALFORMED;
    case SPOP_INT64: v->i = (int64_t)raw; return GH_OK;
    case SPOP_UINT32: v->u = raw; return raw <= UINT32_MAX ? GH_OK : GH_MALFORMED;
    default: v->u = raw; return GH_OK;
    }
}

static enum gh_rc get_data(struct cur *c, struct spop_value *v) {
    switch (v->type) {
    case SPOP_IPV4: v->len = 4; return cur_take(c, 4, &v->data) ? GH_OK : GH_NEED_MORE;
    case SPOP_IPV6: v->len = 16; return cur_take(c, 16, &v->data) ? GH_OK : GH_NEED_MORE;
    default: return spop_get_string(c, &v->data, &v->len);
    }
}

enum gh_rc spop_get_value(struct cur *c, struct spop_value *v) {
    struct cur at = *c;
    uint8_t first;
    if (!cur_u8(&at, &first)) return GH_NEED_MORE;
    uint8_t type = first & TYPE_MASK, flags = first & (uint8_t)~TYPE_MASK;
    if (type > SPOP_BINARY) return GH_UNSUPPORTED;
    if (flags != 0 && (type != SPOP_BOOL || flags != FLAG_TRUE)) return GH_UNSUPPORTED;
    struct spop_value read = {.type = (enum spop_type)type};
    enum gh_rc rc = GH_OK;
    if (type == SPOP_BOOL)
        read.b = flags == FLAG_TRUE;
    else if (type >= SPOP_INT32 && type <= SPOP_UINT64)
        rc = get_integer(&at, &read);
    else if (type >= SPOP_IPV4)
        rc = get_data(&at, &read);
    if (rc != GH_OK) return rc;
    *v = read;
    *c = at;
    return GH_OK;
}

void spop_put_value(struct buf *b, const struct spop_value *v) {
    switch (v->type) {
    case SPOP_NULL: buf_u8(b, SPOP_NULL); break;
    case SPOP_BOOL: buf_u8(b, v->b ? SPOP_BOOL | FLAG_TRUE : SPOP_BOOL); break;
    case SPOP_INT32:
    case SPOP_INT64:
        buf_u8(b, (uint8_t)v->type);
        spop_put_varint(b, (uint64_t)v->i);
        break;
    case SPOP_UINT32:
    case SPOP_UINT64:
        buf_u8(b, (uint8_t)v->type);
        spop_put_varint(b, v->u);
        break;
    case SPOP_IPV4:
    case SPOP_IPV6:
        buf_u8(b, (uint8_t)v->type);
        buf_put(b, v->data, v->type == SPOP_IPV4 ? 4 : 16);
        break;
    case SPOP_STRING:
    case SPOP_BINARY:
        buf_u8(b, (uint8_t)v->type);
        spop_put_string(b, v->data, v->len);
        break;
    }
}

enum gh_rc spop_get_kv(struct cur *c, struct spop_kv *kv) {
    struct cur at = *c;
    const uint8_t *name;
    enum gh_rc rc = spop_get_string(&at, &name, &kv->name_len);
    if (rc != GH_OK) return rc;
    kv->name = (const char *)name;
    rc = spop_get_value(&at, &kv->value);
    if (rc == GH_OK) *c = at;
    return rc;
}

void spop_put_kv(struct buf *b, const char *name, const struct spop_value *v) {
    spop_put_string(b, name, strlen(name));
    spop_put_value(b, v);
}

const char *spop_status_text(uint64_t status) {
    switch (status) {
    case SPOP_ST_NORMAL: return "normal";
    case SPOP_ST_IO: return "I/O error";
    case SPOP_ST_TIMEOUT: return "a timeout occurred";
    case SPOP_ST_TOO_BIG: return "frame is too big";
    case SPOP_ST_INVALID: return "invalid frame received";
    case SPOP_ST_NO_VERSION: return "version value not found";
    case SPOP_ST_NO_FRAME_SIZE: return "max-frame-size value not found";
    case SPOP_ST_NO_CAPABILITIES: return "capabilities value not found";
    case SPOP_ST_BAD_VERSION: return "unsupported version";
    case SPOP_ST_BAD_FRAME_SIZE: return "max-frame-size too big or too small";
    case SPOP_ST_FRAGMENTATION: return "payload fragmentation is not supported";
    case SPOP_ST_INTERLACED: return "invalid interlaced frames";
    case SPOP_ST_NO_FRAME_ID: return "frame-id not found";
    case SPOP_ST_RESOURCES: return "resource allocation error";
    case SPOP_ST_UNKNOWN: return "an unknown error occurred";
    default: return "unknown status code";
    }
}

static bool same(const char *data, size_t len, const char *name) { return len == strlen(name) && memcmp(data, name, len) == 0; }

bool spop_message_is(const struct spop_message *m, const char *name) { return same(m->name, m->name_len, name); }

const struct spop_value *spop_arg(const struct spop_message *m, const char *name) {
    const struct spop_value *found = NULL;
    for (size_t i = 0; i < m->nargs; i++) {
        if (!same(m->args[i].name, m->args[i].name_len, name)) continue;
        if (found != NULL) return NULL;
        found = &m->args[i].value;
    }
    return found;
}
