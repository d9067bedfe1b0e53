#include "filters/my_stmt.h"

#include "filters/my_wire.h"

#include <stdlib.h>
#include <string.h>

void my_stmts_forget_long(struct my_stmts *s, struct my_stmt *one) {
    for (size_t i = 0; i < one->nlongs; i++) {
        s->bytes -= sizeof *one->longs + buf_used(&one->longs[i].kept);
        buf_free(&one->longs[i].kept);
    }
    free(one->longs);
    one->longs = NULL;
    one->nlongs = 0;
}

void my_stmt_free(struct my_stmt *one, void (*ctx_free)(void *ctx)) {
    if (one == NULL) return;
    if (one->ctx != NULL && ctx_free != NULL) ctx_free(one->ctx);
    free(one->types);
    free(one->text);
    free(one);
}

static size_t types_size(const struct my_stmt *one) { return one->types == NULL ? 0 : one->nparams * sizeof *one->types; }

static void drop(struct my_stmts *s, struct my_stmt *one) {
    my_stmts_forget_long(s, one);
    s->bytes -= sizeof *one + one->len + types_size(one);
    my_stmt_free(one, s->ctx_free);
}

/* Where id is, or would be. */
static size_t place(const struct my_stmts *s, uint32_t id) {
    size_t low = 0, high = s->n;
    while (low < high) {
        size_t mid = low + (high - low) / 2;
        if (s->list[mid]->id < id)
            low = mid + 1;
        else
            high = mid;
    }
    return low;
}

struct my_stmt *my_stmts_find(const struct my_stmts *s, uint32_t id) {
    size_t i = place(s, id);
    return i < s->n && s->list[i]->id == id ? s->list[i] : NULL;
}

void my_stmts_drop(struct my_stmts *s, uint32_t id) {
    size_t i = place(s, id);
    if (i == s->n || s->list[i]->id != id) return;
    drop(s, s->list[i]);
    memmove(s->list + i, s->list + i + 1, (s->n - i - 1) * sizeof(struct my_stmt *));
    s->n--;
}

bool my_stmts_add(struct my_stmts *s, struct my_stmt *one) {
    my_stmts_drop(s, one->id);
    if (s->n == s->cap) {
        size_t cap = s->cap == 0 ? 8 : 2 * s->cap;
        struct my_stmt **list = realloc(s->list, cap * sizeof(struct my_stmt *));
        if (list == NULL) return false;
        s->list = list;
        s->cap = cap;
    }
    size_t i = place(s, one->id);
    memmove(s->list + i + 1, s->list + i, (s->n - i) * sizeof(struct my_stmt *));
    s->list[i] = one;
    s->n++;
    s->bytes += sizeof *one + one->len;
    return true;
}

void my_stmts_clear(struct my_stmts *s) {
    for (size_t i = 0; i < s->n; i++) drop(s, s->list[i]);
    s->n = 0;
}

static struct my_long *find_long(const struct my_stmt *one, size_t n) {
    for (size_t i = 0; i < one->nlongs; i++)
        if (one->longs[i].param == n) return &one->longs[i];
    return NULL;
}

static struct my_long *new_long(struct my_stmts *s, struct my_stmt *one, uint16_t n, size_t keep) {
    struct my_long *grown = realloc(one->longs, (one->nlongs + 1) * sizeof *grown);
    if (grown == NULL) return NULL;
    one->longs = grown;
    struct my_long *l = &grown[one->nlongs++];
    *l = (struct my_long){.param = n, .kept = BUF_INIT(keep)};
    s->bytes += sizeof *l;
    return l;
}

bool my_stmts_add_long(struct my_stmts *s, struct my_stmt *one, uint16_t n, struct cur data, size_t keep, bool *memory) {
    if (n >= one->nparams) return false;
    struct my_long *l = find_long(one, n);
    if (l == NULL && one->nlongs == MY_LONGS_MAX) return false;
    if (l == NULL) l = new_long(s, one, n, keep);
    *memory = l != NULL;
    if (l == NULL) return false;
    size_t len = cur_left(&data), room = l->kept.max - buf_used(&l->kept), take = len < room ? len : room;
    l->len += len;
    buf_put(&l->kept, data.p, take);
    *memory = !l->kept.failed; /* there was room */
    if (l->kept.failed) return false;
    s->bytes += take;
    return true;
}

/* --- parameters --- */

/* Bytes of a value of the type; false for one that we do not know. *string: behind a length of its own; *timed: behind one byte. */
static bool type_size(uint8_t type, size_t *size, bool *string, bool *timed) {
    *string = *timed = false;
    *size = 0;
    switch (type) {
    case 0x06: return true; /* NULL */
    case 0x01: *size = 1; return true;
    case 0x02:
    case 0x0d: *size = 2; return true;
    case 0x03:
    case 0x09:
    case 0x04: *size = 4; return true;
    case 0x08:
    case 0x05: *size = 8; return true;
    case 0x07:
    case 0x0a:
    case 0x0b:
    case 0x0c: *timed = true; return true;
    case 0x00:
    case 0x0f:
    case 0x10: *string = true; return true;
    default: *string = type >= 0xf5; return *string;
    }
}

static bool time_size_ok(uint8_t type, uint8_t n) {
    if (type == 0x0b) return n == 0 || n == 8 || n == 12;
    return n == 0 || n == 4 || n == 7 || n == 11;
}

static enum gh_rc value(struct cur *c, uint32_t type, struct flt_param *p, struct gh_err *err) {
    size_t size;
    uint8_t n;
    bool string, timed;
    if (!type_size((uint8_t)type, &size, &string, &timed))
        return gh_fail(err, GH_UNSUPPORTED, cur_offset(c), "a parameter has a type that is not known here");
    if (string) {
        p->binary = false;
        if (!my_lenenc_str(c, &p->data, &size) || size > UINT32_MAX)
            return gh_fail(err, GH_MALFORMED, cur_offset(c), "a parameter's value is cut off");
        p->len = (uint32_t)size;
        return GH_OK;
    }
    if (timed) {
        if (!cur_u8(c, &n) || !time_size_ok((uint8_t)type, n))
            return gh_fail(err, GH_MALFORMED, cur_offset(c), "a date or time has a length that there is not");
        size = n;
    }
    p->binary = true;
    p->len = (uint32_t)size;
    return cur_take(c, size, &p->data) ? GH_OK : gh_fail(err, GH_MALFORMED, cur_offset(c), "a parameter's value is cut off");
}

static void keep_bytes(struct flt_param *p, size_t n, size_t keep) {
    for (size_t i = 0; i < n; i++) {
        if (p[i].data == NULL) continue;
        if (p[i].kept > keep) p[i].kept = (uint32_t)keep;
        keep -= p[i].kept;
    }
}

enum gh_rc my_stmts_params(struct my_stmts *s, struct my_stmt *one, struct cur body, struct flt_param *params, size_t keep,
                           struct gh_err *err) {
    const uint8_t *nulls;
    uint8_t bound;
    uint16_t type;
    uint32_t *types = NULL;
    size_t n = one->nparams;
    if (n == 0) return cur_left(&body) == 0 ? GH_OK : gh_fail(err, GH_MALFORMED, 0, "parameters for a statement that has none");
    if (!cur_take(&body, (n + 7) / 8, &nulls) || !cur_u8(&body, &bound) || bound > 1)
        return gh_fail(err, GH_MALFORMED, cur_offset(&body), "the parameters cannot be read");
    if (bound == 0 && one->types == NULL) return gh_fail(err, GH_MALFORMED, cur_offset(&body), "the parameters' types were never told");
    if (bound == 1) {
        types = calloc(n, sizeof *types);
        if (types == NULL) return gh_fail(err, GH_LIMIT, 0, "out of memory");
        for (size_t i = 0; i < n; i++) {
            if (cur_le16(&body, &type)) {
                types[i] = type;
                continue;
            }
            free(types);
            return gh_fail(err, GH_MALFORMED, cur_offset(&body), "the parameters' types are cut off");
        }
    }
    const uint32_t *use = bound == 1 ? types : one->types;
    enum gh_rc rc = GH_OK;
    for (size_t i = 0; rc == GH_OK && i < n; i++) {
        params[i] = (struct flt_param){0};
        const struct my_long *l = one->nlongs > 0 ? find_long(one, i) : NULL;
        if (l != NULL) { /* the server looks at neither its null bit nor a value */
            params[i] = (struct flt_param){
                .data = buf_at(&l->kept), .len = l->len > UINT32_MAX ? UINT32_MAX : (uint32_t)l->len, .kept = (uint32_t)buf_used(&l->kept)};
            continue;
        }
        if ((nulls[i / 8] >> (i % 8) & 1) != 0 || (uint8_t)use[i] == 0x06) continue;
        rc = value(&body, use[i], &params[i], err);
        params[i].kept = params[i].len;
    }
    if (rc == GH_OK && cur_left(&body) != 0) rc = gh_fail(err, GH_MALFORMED, cur_offset(&body), "bytes behind the last parameter");
    if (rc != GH_OK) {
        free(types);
        return rc;
    }
    keep_bytes(params, n, keep);
    if (types != NULL) {
        s->bytes -= types_size(one);
        free(one->types);
        one->types = types;
        s->bytes += types_size(one);
    }
    return GH_OK;
}
