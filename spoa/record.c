#include "spoa/record.h"

#include <ctype.h>
#include <jansson.h>
#include <openssl/evp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

void rec_bytes(struct rec *r, const char *name, const void *value, size_t len) {
    if (r->n < LED_MAX_FIELDS) r->f[r->n++] = (struct led_field){name, value, len};
}

void rec_str(struct rec *r, const char *name, const char *value) {
    if (value != NULL) rec_bytes(r, name, value, strlen(value));
}

void rec_u64(struct rec *r, const char *name, uint64_t value) {
    if (r->nnumbers == sizeof r->numbers / sizeof *r->numbers) return;
    char *text = r->numbers[r->nnumbers++];
    snprintf(text, sizeof r->numbers[0], "%llu", (unsigned long long)value);
    rec_str(r, name, text);
}

void rec_append(struct led *l, const struct rec *r, enum led_stream stream, const char *session, const char *type, led_done_fn done,
                void *arg) {
    struct led_event ev = {.stream = stream, .session = session, .type = type, .fields = r->f, .nfields = r->n};
    led_append(l, &ev, done, arg);
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

/* --- parameters --- */

static json_t *hex_of(const struct flt_param *p) {
    static const char digits[] = "0123456789abcdef";
    char *hex = malloc(2 * (size_t)p->kept + 1);
    if (hex == NULL) return NULL;
    for (uint32_t i = 0; i < p->kept; i++) {
        hex[2 * (size_t)i] = digits[p->data[i] >> 4];
        hex[2 * (size_t)i + 1] = digits[p->data[i] & 15];
    }
    json_t *text = json_stringn(hex, 2 * (size_t)p->kept);
    free(hex);
    return json_pack("{s:o}", "hex", text);
}

static json_t *param_of(const struct flt_param *p) {
    if (p->data == NULL) return json_null();
    if (!p->binary && p->kept == p->len && gh_utf8_valid(p->data, p->kept)) return json_stringn((const char *)p->data, p->kept);
    json_t *o = hex_of(p);
    if (o != NULL && p->kept < p->len) json_object_set_new(o, "cut", json_integer((json_int_t)p->len));
    return o;
}

char *rec_params(const struct flt_param *params, size_t n) {
    if (n == 0) return NULL;
    json_t *list = json_array();
    for (size_t i = 0; list != NULL && i < n; i++) json_array_append_new(list, param_of(&params[i]));
    char *text = list == NULL ? NULL : json_dumps(list, JSON_COMPACT | JSON_ENCODE_ANY);
    json_decref(list);
    return text;
}

void rec_sha256(const void *data, size_t len, char out[65]) {
    unsigned char md[EVP_MAX_MD_SIZE];
    unsigned int n = 0;
    if (EVP_Digest(data, len, md, &n, EVP_sha256(), NULL) != 1) n = 0;
    for (unsigned int i = 0; i < n && i < 32; i++) snprintf(out + 2 * (size_t)i, 3, "%02x", md[i]);
    if (n == 0) out[0] = '\0';
}

/* --- passwords --- */

static bool sets_password(const struct pol_stmt *s) {
    static const char *const tags[] = {"CREATE ROLE", "ALTER ROLE", "CREATE USER", "ALTER USER", "CREATE GROUP", NULL};
    for (const char *const *t = tags; *t != NULL; t++)
        if (s->tag != NULL && strcmp(s->tag, *t) == 0) return true;
    return false;
}

/* Everything after the word PASSWORD up to the end of the statement: a literal has too many spellings (E'', U&'', $$, continuation) to
 * be cut out with certainty, and what follows a password in these statements are role options. */
char *rec_hide_passwords(const struct pol_facts *f, const char *text, size_t len, size_t *outlen) {
    static const char word[] = "password", stars[] = " '***' ";
    char *out = NULL;
    size_t from = 0, at = 0;
    for (size_t i = 0; i < f->nstmts; i++) {
        const struct pol_stmt *s = &f->stmts[i];
        if (!sets_password(s) || s->location < from || s->location > len) continue;
        size_t end = s->len == 0 || s->len > len - s->location ? len : s->location + s->len, p = s->location;
        while (p + sizeof word - 1 < end && strncasecmp(text + p, word, sizeof word - 1) != 0) p++;
        if (p + sizeof word - 1 >= end) continue;
        /* Each such statement is longer than what replaces its tail, or the tail is at most a few bytes: give room for all. */
        if (out == NULL && (out = malloc(len + f->nstmts * sizeof stars + 1)) == NULL) return NULL;
        p += sizeof word - 1;
        memcpy(out + at, text + from, p - from);
        at += p - from;
        memcpy(out + at, stars, sizeof stars - 1);
        at += sizeof stars - 1;
        from = end;
    }
    if (out == NULL) return NULL;
    memcpy(out + at, text + from, len - from);
    at += len - from;
    out[at] = '\0';
    *outlen = at;
    return out;
}
