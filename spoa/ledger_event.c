#include "spoa/ledger_event.h"

#include "spoa/json_read.h"
#include "spoa/mask.h"

#include <assert.h>
#include <inttypes.h>
#include <jansson.h>
#include <openssl/evp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#define OWN_FIELDS 5 /* type, seq, node, time, prev */

static const char *const stream_names[] = {
    [LED_SESSION] = "audit", [LED_SESSIONS] = "sessions", [LED_AUTH] = "auth", [LED_APPROVAL] = "approval"};

/* The streams that are one of many: the key's beginning, before the name. */
static const char *prefix_of(enum led_stream stream) {
    return stream == LED_SESSION ? LEV_KEY_AUDIT : stream == LED_APPROVAL ? LEV_KEY_APPROVAL : NULL;
}

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

/* The key, and the session inside it. Needs sizeof LEV_KEY_APPROVAL + strlen(session) bytes of text. */
static void set_key(struct lev *e, enum led_stream stream, const char *session, char **text) {
    e->stream = stream;
    e->key = stream == LED_SESSIONS ? LEV_KEY_SESSIONS : LEV_KEY_AUTH;
    const char *prefix = prefix_of(stream);
    if (prefix == NULL) return;
    size_t len = strlen(prefix);
    e->key = *text;
    memcpy(*text, prefix, len);
    *text += len;
    e->session = keep(text, session, strlen(session));
}

static void stamp(char out[32]) {
    static _Thread_local struct {
        time_t second;
        size_t len; /* 0: nothing yet */
        char text[24];
    } last; /* a calendar for each event would cost more than all of its other fields */
    struct timespec now;
    clock_gettime(CLOCK_REALTIME, &now);
    if (last.len == 0 || last.second != now.tv_sec) {
        struct tm tm;
        gmtime_r(&now.tv_sec, &tm);
        last.len = strftime(last.text, sizeof last.text, "%Y-%m-%dT%H:%M:%S", &tm);
        last.second = now.tv_sec;
    }
    unsigned ms = (unsigned)(now.tv_nsec / 1000000 % 1000);
    const char fraction[] = {'.', (char)('0' + ms / 100), (char)('0' + ms / 10 % 10), (char)('0' + ms % 10), 'Z', '\0'};
    memcpy(out, last.text, last.len);
    memcpy(out + last.len, fraction, sizeof fraction);
}

static struct lev_part part(const char *s) { return (struct lev_part){s, strlen(s)}; }

/* Texts that were made elsewhere and may have been cut there, in the middle of a token. */
static bool may_be_cut(const char *name) {
    return strcmp(name, "reason") == 0 || strcmp(name, "detail") == 0 || strcmp(name, "message") == 0;
}

/* False when out of memory. No token gets any further than this. */
static bool put_value(struct lev_part p[2], const struct led_field *f, char **text) {
    size_t name = strlen(f->name), len = f->len;
    bool cut = may_be_cut(f->name);
    if (gh_utf8_valid(f->value, len)) {
        p[0] = (struct lev_part){keep(text, f->name, name), name};
        char *at = *text;
        keep(text, f->value, len);
        len = mask_tokens(at, len, cut);
        at[len] = '\0';
        p[1] = (struct lev_part){at, len};
        return true;
    }
    char *raw = malloc(len);
    if (raw == NULL) return false;
    memcpy(raw, f->value, len);
    len = mask_tokens(raw, len, cut);
    char *at = *text;
    memcpy(at, f->name, name);
    memcpy(at + name, ".b64", 5);
    p[0] = (struct lev_part){at, name + 4};
    *text += name + 5;
    int n = EVP_EncodeBlock((unsigned char *)*text, (const unsigned char *)raw, (int)len);
    p[1] = (struct lev_part){*text, (size_t)n};
    *text += n + 1;
    free(raw);
    return true;
}

struct lev *lev_of(const struct led_event *ev, const char *node) {
    assert(ev->nfields <= LED_MAX_FIELDS && (prefix_of(ev->stream) != NULL) == (ev->session != NULL));
    size_t raw = 0, need = strlen(ev->type) + 1 + (ev->session != NULL ? strlen(ev->session) + sizeof LEV_KEY_APPROVAL : 0);
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
    p[8] = part("prev");
    p[9] = (struct lev_part){e->prev_text, 0};
    for (size_t i = 0; i < ev->nfields; i++) {
        if (put_value(p + 2 * (OWN_FIELDS + i), &ev->fields[i], &text)) continue;
        free(e);
        return NULL;
    }
    return e;
}

void lev_number(struct lev *e, uint64_t seq, struct lev_id id) {
    e->seq = seq;
    e->ms = id.ms;
    size_t n = gh_u64_text(e->id, id.ms);
    e->id[n++] = '-';
    gh_u64_text(e->id + n, id.n);
    e->parts[3] = (struct lev_part){e->seq_text, gh_u64_text(e->seq_text, seq)};
}

void lev_set_prev(struct lev *e, const char hash[LEV_HASH_TEXT]) {
    memcpy(e->prev_text, hash, sizeof e->prev_text);
    e->parts[9] = (struct lev_part){e->prev_text, sizeof e->prev_text - 1};
}

/* Control characters, '"', '\\' and DEL. */
static bool escaped(unsigned char c) { return c < 0x20 || c == '"' || c == '\\' || c == 0x7f; }

static char *put_escaped(char *at, unsigned char c) {
    static const char hex[] = "0123456789abcdef";
    *at++ = '\\';
    if (c == '"' || c == '\\')
        *at++ = (char)c;
    else if (c == '\n')
        *at++ = 'n';
    else {
        memcpy(at, (char[]){'u', '0', '0', hex[c >> 4], hex[c & 15]}, 5);
        at += 5;
    }
    return at;
}

/* Whether no byte needs an escape: eight at a time, for most texts have none that does. */
static bool plain(const char *s, size_t len) {
    const uint64_t ones = 0x0101010101010101u, tops = 0x8080808080808080u;
    size_t i = 0;
    for (uint64_t w; len - i >= sizeof w; i += sizeof w) {
        memcpy(&w, s + i, sizeof w);
        uint64_t quote = w ^ '"' * ones, slash = w ^ '\\' * ones, del = w ^ 0x7f * ones;
        uint64_t found = ((w - 0x20 * ones) & ~w) | ((quote - ones) & ~quote) | ((slash - ones) & ~slash) | ((del - ones) & ~del);
        if ((found & tops) != 0) return false;
    }
    while (i < len && !escaped((unsigned char)s[i])) i++;
    return i == len;
}

static void put_string(struct buf *out, const char *s, size_t len) {
    enum { PIECE = 1024, WORST = 6 };
    buf_u8(out, '"');
    for (size_t n; len > 0; s += n, len -= n) {
        n = len < PIECE ? len : PIECE;
        char *start = (char *)buf_reserve(out, n * WORST), *at = start;
        if (start == NULL) return;
        for (size_t i = 0; i < n; i++) {
            unsigned char c = (unsigned char)s[i];
            if (escaped(c))
                at = put_escaped(at, c);
            else
                *at++ = (char)c;
        }
        buf_commit(out, (size_t)(at - start));
    }
    buf_u8(out, '"');
}

static char *put_plain(char *at, const struct lev_part *p) {
    *at++ = '"';
    memcpy(at, p->at, p->len);
    at += p->len;
    *at++ = '"';
    return at;
}

/* ["name","value"] */
static void put_pair(struct buf *out, const struct lev_part p[2]) {
    if (p[0].len <= LEV_MAX_BYTES && p[1].len <= LEV_MAX_BYTES && plain(p[0].at, p[0].len) && plain(p[1].at, p[1].len)) {
        size_t need = p[0].len + p[1].len + 7;
        char *at = (char *)buf_reserve(out, need);
        if (at == NULL) return;
        *at++ = '[';
        at = put_plain(at, &p[0]);
        *at++ = ',';
        at = put_plain(at, &p[1]);
        *at = ']';
        buf_commit(out, need);
        return;
    }
    buf_u8(out, '[');
    put_string(out, p[0].at, p[0].len);
    buf_u8(out, ',');
    put_string(out, p[1].at, p[1].len);
    buf_u8(out, ']');
}

void lev_json(const struct lev *e, struct buf *out) {
    char seq[GH_U64_TEXT];
    buf_str(out, "{\"seq\":");
    buf_put(out, seq, gh_u64_text(seq, e->seq));
    buf_str(out, ",\"id\":\"");
    buf_str(out, e->id);
    buf_str(out, "\",\"stream\":\"");
    buf_str(out, stream_names[e->stream]);
    buf_str(out, "\",\"session\":");
    if (e->session == NULL)
        buf_str(out, "null");
    else
        put_string(out, e->session, strlen(e->session));
    buf_str(out, ",\"fields\":[");
    for (size_t i = 0; i < e->nparts; i += 2) {
        if (i > 0) buf_u8(out, ',');
        put_pair(out, e->parts + i);
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
    size_t stream = 0, n = json_array_size(fields), need = session != NULL ? strlen(session) + sizeof LEV_KEY_APPROVAL : 0;
    if (id == NULL || name == NULL || seq <= 0 || n < OWN_FIELDS || n > OWN_FIELDS + LED_MAX_FIELDS || !lev_id_parse(id, &parsed))
        return NULL;
    while (stream <= LED_APPROVAL && strcmp(stream_names[stream], name) != 0) stream++;
    if (stream > LED_APPROVAL || (prefix_of((enum led_stream)stream) != NULL) != (session != NULL) || !fields_size(fields, &need))
        return NULL;
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
    json_t *root = json_read(json, len, 0, NULL);
    struct lev *e = root == NULL ? NULL : from_json(root);
    json_decref(root);
    return e;
}

const char *lev_field(const struct lev *e, const char *name) {
    for (size_t i = 0; i + 1 < e->nparts; i += 2)
        if (strcmp(e->parts[i].at, name) == 0) return e->parts[i + 1].at;
    return NULL;
}

void lev_free_all(struct lev *list) {
    while (list != NULL) {
        struct lev *next = list->next;
        free(list);
        list = next;
    }
}
