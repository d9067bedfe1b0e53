#include "spoa/record.h"

#include "spoa/digest.h"
#include "spoa/ledger_forms.h"
#include "spoa/mask.h"
#include "spoa/secret_sql.h"
#include "spoa/starved.h"

#include <ctype.h>
#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

void rec_bytes(struct rec *r, const char *name, const void *value, size_t len) {
    if (r->n < LED_MAX_FIELDS) r->f[r->n++] = (struct led_field){name, value, len, NULL};
}

void rec_str(struct rec *r, const char *name, const char *value) {
    if (value != NULL) rec_bytes(r, name, value, strlen(value));
}

void rec_u64(struct rec *r, const char *name, uint64_t value) {
    if (r->nnumbers == sizeof r->numbers / sizeof *r->numbers) return;
    char *text = r->numbers[r->nnumbers++];
    rec_bytes(r, name, text, gh_u64_text(text, value));
}

void rec_number(struct rec *r, const struct led_name *name, uint64_t value) {
    if (r->nnumbers == sizeof r->numbers / sizeof *r->numbers || r->n == LED_MAX_FIELDS) return;
    char *text = r->numbers[r->nnumbers++];
    r->f[r->n++] = (struct led_field){name->text, text, gh_u64_text(text, value), name};
}

void rec_run(struct rec *r, const struct led_run *run) { rec_bytes(r, NULL, run, 0); }

void rec_append(struct led *l, const struct rec *r, enum led_stream stream, const char *session, const char *type, led_done_fn done,
                void *arg) {
    struct led_event ev = {.stream = stream, .session = session, .type = type, .fields = r->f, .nfields = r->n, .can_wait = r->can_wait};
    (r->journal_does ? led_append_journal : led_append)(l, &ev, done, arg);
}

/* --- summaries --- */

struct line {
    char *out;
    size_t size, len;
    bool cut;
};

static void line_put(struct line *l, const char *text) {
    size_t n = strlen(text), room = l->size - l->len;
    if (l->cut) return;
    if (n + 5 > room) { /* keeps room for " ..." */
        l->cut = true;
        snprintf(l->out + l->len, room, "%s", " ...");
        return;
    }
    memcpy(l->out + l->len, text, n + 1);
    l->len += n;
}

static void put_access(struct line *l, unsigned access) {
    const char *before = ":";
    for (unsigned bit = 1; bit != 0 && bit <= access; bit <<= 1) {
        const char *word = (access & bit) != 0 ? pol_action_name(bit) : NULL;
        if (word == NULL) continue;
        line_put(l, before);
        line_put(l, word);
        before = ",";
    }
}

void rec_relations(const struct pol_facts *f, char *out, size_t size) {
    struct line l = {out, size, 0, false};
    out[0] = '\0';
    for (size_t i = 0; i < f->nstmts && !l.cut; i++) {
        const struct pol_stmt *s = &f->stmts[i];
        for (size_t j = 0; j < s->nrelations && !l.cut; j++) {
            if (l.len > 0) line_put(&l, " ");
            if (s->relations[j].schema != NULL) {
                line_put(&l, s->relations[j].schema);
                line_put(&l, ".");
            }
            line_put(&l, s->relations[j].name);
            put_access(&l, s->relations[j].access);
        }
    }
}

void rec_kinds(const struct pol_facts *f, char *out, size_t size) {
    struct line l = {out, size, 0, false};
    out[0] = '\0';
    for (size_t i = 0; i < f->nstmts && !l.cut; i++) {
        if (i > 0) line_put(&l, " ");
        line_put(&l, pol_kind_name(f->stmts[i].kind));
    }
}

char *rec_copy(const char *text, size_t len) {
    char *copy = malloc(len + 1);
    if (copy == NULL) {
        starved_note();
        return NULL;
    }
    memcpy(copy, text, len);
    copy[len] = '\0';
    return copy;
}

/* --- parameters --- */

static json_t *hex_of(const struct flt_param *p) {
    char *hex = malloc(2 * (size_t)p->kept + 1);
    if (hex == NULL) {
        starved_note();
        return NULL;
    }
    gh_hex(hex, p->data, p->kept);
    json_t *text = json_stringn(hex, 2 * (size_t)p->kept);
    free(hex);
    return json_pack("{s:o}", "hex", text);
}

static json_t *plain_param(const struct flt_param *p) {
    if (p->data == NULL) return json_null();
    if (!p->binary && p->kept == p->len && gh_utf8_valid(p->data, p->kept)) return json_stringn((const char *)p->data, p->kept);
    json_t *o = hex_of(p);
    if (o != NULL && p->kept < p->len) json_object_set_new(o, "cut", json_integer((json_int_t)p->len));
    return o;
}

/* Tokens are masked in the value itself: later they would be hex. */
static json_t *param_of(const struct flt_param *p, bool conninfo) {
    bool cut = p->kept < p->len;
    if (p->data == NULL || (!conninfo && !mask_needed((const char *)p->data, p->kept, cut))) return plain_param(p);
    char *copy = rec_copy((const char *)p->data, p->kept);
    if (copy == NULL) return NULL;
    size_t n = conninfo ? secret_conninfo_hide(copy, p->kept) : p->kept;
    uint32_t kept = (uint32_t)mask_tokens(copy, n, cut);
    json_t *o = plain_param(&(struct flt_param){(const uint8_t *)copy, cut ? p->len : kept, kept, p->binary});
    free(copy);
    return o;
}

/* The array where each of them is null, a text that stands in JSON as it is, or binary, as most are. NULL: one is none of these, or no memory. */
static char *simple_params(const struct flt_param *params, size_t n) {
    size_t need = sizeof "[]";
    for (size_t i = 0; i < n; i++) {
        const struct flt_param *p = &params[i];
        const char *value = (const char *)p->data;
        need += sizeof ",{\"hex\":\"\"}";
        if (p->data == NULL) continue;
        if (p->kept != p->len || (!p->binary && !form_plain(value, p->kept)) || mask_needed(value, p->kept, false)) return NULL;
        need += (p->binary ? 2 : 1) * (size_t)p->kept;
    }
    char *out = malloc(need), *at = out;
    if (out == NULL) return NULL;
    for (size_t i = 0; i < n; i++) {
        const struct flt_param *p = &params[i];
        *at++ = i == 0 ? '[' : ',';
        if (p->data == NULL)
            PUT(at, "null");
        else if (p->binary) {
            PUT(at, "{\"hex\":\"");
            gh_hex(at, p->data, p->kept);
            at += 2 * (size_t)p->kept;
            PUT(at, "\"}");
        } else {
            *at++ = '"';
            memcpy(at, p->data, p->kept);
            at += p->kept;
            *at++ = '"';
        }
    }
    memcpy(at, "]", 2);
    return out;
}

char *rec_params(const struct flt_param *params, size_t n, bool conninfo) {
    char *simple = n > 0 && !conninfo ? simple_params(params, n) : NULL;
    if (n == 0 || simple != NULL) return simple;
    json_t *list = json_array();
    bool all = list != NULL;
    for (size_t i = 0; all && i < n; i++) all = json_array_append_new(list, param_of(&params[i], conninfo)) == 0;
    char *text = !all ? NULL : json_dumps(list, JSON_COMPACT | JSON_ENCODE_ANY);
    json_decref(list);
    return text;
}

void rec_sha256(const void *data, size_t len, char out[65]) {
    unsigned char md[EVP_MAX_MD_SIZE];
    unsigned int n = 0;
    EVP_MD_CTX *ctx = digest_sha256();
    if (ctx == NULL || EVP_DigestUpdate(ctx, data, len) != 1 || EVP_DigestFinal_ex(ctx, md, &n) != 1) n = 0;
    if (n > 32) n = 32;
    gh_hex(out, md, n);
    out[2 * (size_t)n] = '\0';
}
