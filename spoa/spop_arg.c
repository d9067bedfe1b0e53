#include <config.h>

#include "spoa/spop_arg.h"

#include <stdlib.h>
#include <string.h>

bool spop_arg_is(const struct spop_value *v, const char *word) {
    return v != NULL && v->type == SPOP_STRING && v->len == strlen(word) && memcmp(v->data, word, v->len) == 0;
}

bool spop_arg_addr(const struct spop_value *v, char out[PP2_ADDR_SIZE]) {
    return v != NULL && (v->type == SPOP_IPV4 || v->type == SPOP_IPV6) && pp2_addr_text(v->data, v->type == SPOP_IPV4 ? 4 : 16, out);
}

bool spop_arg_uint(const struct spop_value *v, uint64_t max, uint64_t *out) {
    if (v == NULL) return false;
    bool is_signed = v->type == SPOP_INT32 || v->type == SPOP_INT64;
    if (is_signed ? v->i < 0 : v->type != SPOP_UINT32 && v->type != SPOP_UINT64) return false;
    uint64_t n = is_signed ? (uint64_t)v->i : v->u;
    if (n > max) return false;
    *out = n;
    return true;
}

const char *spop_arg_text(const struct spop_value *v, char *out, size_t size) {
    if (v == NULL || v->type != SPOP_STRING) return NULL;
    size_t n = v->len < size - 1 ? v->len : size - 1;
    if (n > 0) memcpy(out, v->data, n);
    out[n] = '\0';
    return out;
}

/* The message, its arguments, then all bytes, in one piece. */
struct copy {
    struct spop_message m;
    size_t size;
    struct spop_kv args[];
};

struct spop_message *spop_message_copy(const struct spop_message *m) {
    size_t size = sizeof(struct copy) + m->nargs * sizeof(struct spop_kv), bytes = m->name_len;
    for (size_t i = 0; i < m->nargs; i++) bytes += m->args[i].name_len + (m->args[i].value.data != NULL ? m->args[i].value.len : 0);
    struct copy *c = malloc(size + bytes + 1);
    if (c == NULL) return NULL;
    char *at = (char *)c + size;
    c->size = size + bytes;
    c->m = (struct spop_message){at, m->name_len, c->args, m->nargs};
    if (m->name_len > 0) at = mempcpy(at, m->name, m->name_len);
    for (size_t i = 0; i < m->nargs; i++) {
        struct spop_kv *kv = &c->args[i];
        *kv = m->args[i];
        kv->name = at;
        if (kv->name_len > 0) at = mempcpy(at, m->args[i].name, kv->name_len);
        if (kv->value.data == NULL) continue;
        kv->value.data = (uint8_t *)at;
        if (kv->value.len > 0) at = mempcpy(at, m->args[i].value.data, kv->value.len);
    }
    return &c->m;
}

void spop_message_free(struct spop_message *m) {
    struct copy *c = (struct copy *)(void *)m;
    if (c == NULL) return;
    gh_wipe(c, c->size);
    free(c);
}
