#include "spoa/ledger_event.h"

#include <assert.h>
#include <inttypes.h>
#include <jansson.h>
#include <openssl/evp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#define OWN_FIELDS 4 /* type, seq, node, time */

static const char *const stream_names[] = {[LED_SESSION] = "audit", [LED_SESSIONS] = "sessions", [LED_AUTH] = "auth"};

bool lev_id_parse(const char *text, struct lev_id *id) {
    int end = 0;
    return sscanf(text, "%" SCNu64 "-%" SCNu64 "%n", &id->ms, &id->n, &end) == 2 && text[end] == '\0';
}

struct lev_id lev_id_next(struct lev_id last, uint64_t now_ms) {
    return now_ms > last.ms ? (struct lev_id){now_ms, 0} : (struct lev_id){last.ms, last.n + 1};
}

/* An event with room for text bytes of its own, whose start goes to *text. */
static struct lev *lev_new(size_t nparts, size_t text_bytes, char **text) {
    size_t head = sizeof(struct lev) + nparts * sizeof(struct lev_part);
    struct lev *e = malloc(head + text_bytes);
    if (e == NULL) return NULL;
    *e = (struct lev){.bytes = head + text_bytes, .nparts = nparts};
    *text = (char *)e + head;
    return e;
}

static const char *keep(char **text, const void *s, size_t len) {
    char *at = *text;
    if (len > 0) memcpy(at, s, len);
    at[len] = '\0';
    *text += len + 1;
    return at;
}

/* The key, and the session inside it. Needs sizeof LEV_KEY_AUDIT + strlen(session) bytes of text. */
static void set_key(struct lev *e, enum led_stream stream, const char *session, char **text) {
    e->stream = stream;
    e->key = stream == LED_SESSIONS ? LEV_KEY_SESSIONS : LEV_KEY_AUTH;
    if (stream != LED_SESSION) return;
    e->key = *text;
    memcpy(*text, LEV_KEY_AUDIT, sizeof LEV_KEY_AUDIT - 1);
    *text += sizeof LEV_KEY_AUDIT - 1;
    e->session = keep(text, session, strlen(session));
}

static void stamp(char out[32]) {
    struct timespec now;
    struct tm tm;
    clock_gettime(CLOCK_REALTIME, &now);
    gmtime_r(&now.tv_sec, &tm);
    size_t n = strftime(out, 24, "%Y-%m-%dT%H:%M:%S", &tm);
    snprintf(out + n, 32 - n, ".%03dZ", (int)(now.tv_nsec / 1000000 % 1000));
}

static struct lev_part part(const char *s) { return (struct lev_part){s, strlen(s)}; }

static void put_value(struct lev_part p[2], const struct led_field *f, char **text) {
    size_t name = strlen(f->name);
    if (gh_utf8_valid(f->value, f->len)) {
        p[0] = (struct lev_part){keep(text, f->name, name), name};
        p[1] = (struct lev_part){keep(text, f->value, f->len), f->len};
        return;
    }
    char *at = *text;
    memcpy(at, f->name, name);
    memcpy(at + name, ".b64", 5);
    p[0] = (struct lev_part){at, name + 4};
    *text += name + 5;
    int n = EVP_EncodeBlock((unsigned char *)*text, f->value, (int)f->len);
    p[1] = (struct lev_part){*text, (size_t)n};
    *text += n + 1;
}

struct lev *lev_of(const struct led_event *ev, const char *node) {
    assert(ev->nfields <= LED_MAX_FIELDS && (ev->stream == LED_SESSION) == (ev->session != NULL));
    size_t raw = 0, need = strlen(ev->type) + 1 + (ev->session != NULL ? strlen(ev->session) + sizeof LEV_KEY_AUDIT : 0);
    for (size_t i = 0; i < ev->nfields; i++) {
        const struct led_field *f = &ev->fields[i];
        if (f->len > LEV_MAX_BYTES - raw) return NULL;
        raw += f->len;
        need += strlen(f->name) + 5 + f->len / 3 * 4 + 5; /* base64 is the larger form */
    }
    char *text;
    struct lev *e = lev_new(2 * (OWN_FIELDS + ev->nfields), need, &text);
    if (e == NULL) return NULL;
    set_key(e, ev->stream, ev->session, &text);
    stamp(e->time_text);
    struct lev_part *p = e->parts;
    p[0] = part("type");
    p[1] = part(keep(&text, ev->type, strlen(ev->type)));
    p[2] = part("seq");
    p[4] = part("node");
    p[5] = part(node);
    p[6] = part("time");
    p[7] = part(e->time_text);
    for (size_t i = 0; i < ev->nfields; i++) put_value(p + 2 * (OWN_FIELDS + i), &ev->fields[i], &text);
    return e;
}

void lev_number(struct lev *e, uint64_t seq, struct lev_id id) {
    e->seq = seq;
    snprintf(e->id, sizeof e->id, "%" PRIu64 "-%" PRIu64, id.ms, id.n);
    snprintf(e->seq_text, sizeof e->seq_text, "%" PRIu64, seq);
    e->parts[3] = part(e->seq_text);
}

static void put_string(struct buf *out, const char *s, size_t len) {
    static const char hex[] = "0123456789abcdef";
    buf_u8(out, '"');
    size_t from = 0;
    for (size_t i = 0; i < len; i++) {
        unsigned char c = (unsigned char)s[i];
        if (c >= 0x20 && c != '"' && c != '\\' && c != 0x7f) continue;
        buf_put(out, s + from, i - from);
        from = i + 1;
        char esc[6] = {'\\', 'u', '0', '0', hex[c >> 4], hex[c & 15]};
        if (c == '"' || c == '\\')
            buf_put(out, (char[]){'\\', (char)c}, 2);
        else if (c == '\n')
            buf_put(out, "\\n", 2);
        else
            buf_put(out, esc, sizeof esc);
    }
    buf_put(out, s + from, len - from);
    buf_u8(out, '"');
}

void lev_json(const struct lev *e, struct buf *out) {
    char head[120];
    int n = snprintf(head, sizeof head, "{\"seq\":%" PRIu64 ",\"id\":\"%s\",\"stream\":\"%s\",\"session\":", e->seq, e->id,
                     stream_names[e->stream]);
    buf_put(out, head, (size_t)n);
    if (e->session == NULL)
        buf_str(out, "null");
    else
        put_string(out, e->session, strlen(e->session));
    buf_str(out, ",\"fields\":[");
    for (size_t i = 0; i < e->nparts; i += 2) {
        buf_str(out, i == 0 ? "[" : ",[");
        put_string(out, e->parts[i].at, e->parts[i].len);
        buf_u8(out, ',');
        put_string(out, e->parts[i + 1].at, e->parts[i + 1].len);
        buf_u8(out, ']');
    }
    buf_str(out, "]}");
}

/* The strings of the fields; false when one is not a pair of strings. */
static bool fields_size(const json_t *fields, size_t *text) {
    for (size_t i = 0; i < json_array_size(fields); i++) {
        const json_t *pair = json_array_get(fields, i);
        if (json_array_size(pair) != 2) return false;
        for (size_t k = 0; k < 2; k++) {
            if (!json_is_string(json_array_get(pair, k))) return false;
            *text += json_string_length(json_array_get(pair, k)) + 1;
        }
    }
    return true;
}

static struct lev *from_json(const json_t *root) {
    const json_t *fields = json_object_get(root, "fields");
    const char *id = json_string_value(json_object_get(root, "id")), *name = json_string_value(json_object_get(root, "stream"));
    const char *session = json_string_value(json_object_get(root, "session"));
    json_int_t seq = json_integer_value(json_object_get(root, "seq"));
    struct lev_id parsed;
    size_t stream = 0, n = json_array_size(fields), need = session != NULL ? strlen(session) + sizeof LEV_KEY_AUDIT : 0;
    if (id == NULL || name == NULL || seq <= 0 || n < OWN_FIELDS || n > OWN_FIELDS + LED_MAX_FIELDS || !lev_id_parse(id, &parsed))
        return NULL;
    while (stream <= LED_AUTH && strcmp(stream_names[stream], name) != 0) stream++;
    if (stream > LED_AUTH || (stream == LED_SESSION) != (session != NULL) || !fields_size(fields, &need)) return NULL;
    char *text;
    struct lev *e = lev_new(2 * n, need, &text);
    if (e == NULL) return NULL;
    set_key(e, (enum led_stream)stream, session, &text);
    for (size_t i = 0; i < 2 * n; i++) {
        const json_t *s = json_array_get(json_array_get(fields, i / 2), i % 2);
        size_t len = json_string_length(s);
        e->parts[i] = (struct lev_part){keep(&text, json_string_value(s), len), len};
    }
    lev_number(e, (uint64_t)seq, parsed);
    return e;
}

struct lev *lev_parse(const char *json, size_t len) {
    json_t *root = json_loadb(json, len, 0, NULL);
    struct lev *e = root == NULL ? NULL : from_json(root);
    json_decref(root);
    return e;
}

void lev_free_all(struct lev *list) {
    while (list != NULL) {
        struct lev *next = list->next;
        free(list);
        list = next;
    }
}
