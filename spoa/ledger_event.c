#include "spoa/ledger_event.h"

#include "spoa/json_read.h"
#include "spoa/ledger_forms.h"
#include "spoa/mask.h"
#include "spoa/spare.h"

#include <assert.h>
#include <inttypes.h>
#include <jansson.h>
#include <openssl/evp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#define OWN_FIELDS  5   /* type, seq, node, time, prev */
#define OWN_ROOM    512 /* for these, when small, in any form: a type and a node of at most OWN_TEXT bytes, numbers, a hash */
#define OWN_TEXT    100
#define LINE_ROOM   200                                       /* for what stands before the fields in a line, but for the session */
#define SMALL       ((size_t)8 << 10)                         /* bytes of values */
#define NUMBER_ROOM (2 * LED_NAME_ROOM + 2 * LED_NUMBER_ROOM) /* what put_number() writes in each form, and writes over */
#define OWN_PLAIN   0x3dd /* a bit for each of their names and values that needs no escapes: all but the values of type and node */

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
    size_t head = sizeof(struct lev) + nparts * sizeof(struct lev_part), bytes = spare_room(head + text_bytes);
    struct lev *e = spare_get(bytes);
    if (e == NULL) return NULL;
    *e = (struct lev){.bytes = bytes, .nparts = nparts};
    *text = (char *)e + head;
    return e;
}

static const char *keep(char **text, const void *s, size_t len) {
    char *at = *text;
    *text = gh_put(at, s, len);
    *(*text)++ = '\0';
    return at;
}

/* The key, and the session inside it. Needs sizeof LEV_KEY_APPROVAL + strlen(session) bytes of text. */
static void set_key(struct lev *e, enum led_stream stream, const char *session, char **text) {
    e->stream = stream;
    e->key = stream == LED_SESSIONS ? LEV_KEY_SESSIONS : LEV_KEY_AUTH;
    const char *prefix = prefix_of(stream);
    if (prefix == NULL) return;
    e->key = *text;
    *text = gh_put(*text, prefix, strlen(prefix));
    e->session = keep(text, session, strlen(session));
}

void lev_stamp(struct lev *e) {
    static _Thread_local struct {
        time_t second;
        size_t len; /* 0: nothing yet */
        char text[24];
    } last; /* a calendar for each event would cost more than all of its other fields */
    struct timespec now;
    clock_gettime(CLOCK_REALTIME, &now);
    e->ms = now.tv_sec < 0 ? 0 : (uint64_t)now.tv_sec * 1000 + (uint64_t)now.tv_nsec / 1000000;
    if (last.len == 0 || last.second != now.tv_sec) {
        struct tm tm;
        gmtime_r(&now.tv_sec, &tm);
        last.len = strftime(last.text, sizeof last.text, "%Y-%m-%dT%H:%M:%S", &tm);
        last.second = now.tv_sec;
    }
    unsigned ms = (unsigned)(now.tv_nsec / 1000000 % 1000);
    const char fraction[] = {'.', (char)('0' + ms / 100), (char)('0' + ms / 10 % 10), (char)('0' + ms % 10), 'Z', '\0'};
    memcpy(e->time_text, last.text, last.len);
    memcpy(e->time_text + last.len, fraction, sizeof fraction);
    e->time_len = last.len + sizeof fraction - 1;
}

static struct lev_part part(const char *s) { return (struct lev_part){s, strlen(s)}; }

/* Texts that were made elsewhere and may have been cut there, in the middle of a token. */
static bool may_be_cut(const char *name) {
    if (name[0] != 'r' && name[0] != 'd' && name[0] != 'm') return false;
    return strcmp(name, "reason") == 0 || strcmp(name, "detail") == 0 || strcmp(name, "message") == 0;
}

static void set_plain(struct lev *e, size_t i) { e->plain[i / 64] |= 1ull << i % 64; }
static bool is_plain(const struct lev *e, size_t i) { return i < 128 && (e->plain[i / 64] >> i % 64 & 1) != 0; }

/* A caller's field. */
struct given {
    const struct led_field *f;
    size_t name;      /* its name's length */
    bool plain, utf8; /* of its value */
};

/* --- small ones --- */

/* Where the three forms are being written. */
struct forms {
    char *netstrings, *json, *resp;
};

/* Room in each of them. */
struct room {
    size_t netstrings, json, resp;
};

struct led_run {
    size_t n;
    struct room len;                    /* of netstrings, JSON and RESP, in this order */
    struct led_field f[LED_RUN_FIELDS]; /* the same again, in memory of its own */
    char text[];
};

static struct given look_at(const struct led_field *f) {
    struct given g = {.f = f, .name = strlen(f->name), .plain = form_plain(f->value, f->len)};
#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
    assert(form_plain(f->name, g.name)); /* put_small() writes it as it is. In builds for tests alone: each event has dozens */
#endif
    g.utf8 = g.plain || gh_utf8_valid(f->value, f->len);
    return g;
}

/* A field that is written as it is, and its room; false: it is none. */
static bool ordinary(const struct given *g, struct room *r) {
    size_t len = g->f->len, around = 2 * FORM_ROOM;
    if (!g->utf8 || (len > MASK_NONE && mask_needed(g->f->value, len, may_be_cut(g->f->name)))) return false;
    r->netstrings += g->name + len + around;
    r->resp += g->name + len + around;
    r->json += g->name + (g->plain ? len : form_json_len(g->f->value, len)) + sizeof ",[\"\",\"\"]";
    return true;
}

static void put_small(struct forms *w, const struct given *g) {
    size_t len = g->f->len;
    const char *name = g->f->name, *value = len > 0 ? g->f->value : "";
    w->netstrings = form_netstring(form_netstring(w->netstrings, name, g->name), value, len);
    w->resp = form_resp(form_resp(w->resp, name, g->name), value, len);
    memcpy(w->json, ",[\"", 3);
    w->json = gh_put(w->json + 3, name, g->name);
    memcpy(w->json, "\",\"", 3);
    w->json = form_json(w->json + 3, value, len, g->plain);
    memcpy(w->json, "\"]", 2);
    w->json += 2;
}

/* A number: all of the bytes that its name and it may have are copied, and those behind written over. */
static void put_number(struct forms *w, const struct led_field *f) {
    const struct led_name *name = f->number;
    size_t around = name->len + (name->len > 9 ? 1 : 0);
    memcpy(w->netstrings, name->netstring, LED_NAME_ROOM);
    w->netstrings = gh_put_len(w->netstrings + around + sizeof "0:," - 1, f->len);
    *w->netstrings++ = ':';
    memcpy(w->netstrings, f->value, LED_NUMBER_ROOM);
    w->netstrings[f->len] = ',';
    w->netstrings += f->len + 1;
    memcpy(w->resp, name->resp, LED_NAME_ROOM);
    w->resp += around + sizeof "$0\r\n\r\n" - 1;
    *w->resp++ = '$';
    w->resp = gh_put_len(w->resp, f->len);
    memcpy(w->resp, "\r\n", 2);
    memcpy(w->resp + 2, f->value, LED_NUMBER_ROOM);
    memcpy(w->resp + 2 + f->len, "\r\n", 2);
    w->resp += f->len + 4;
    memcpy(w->json, name->json, LED_NAME_ROOM);
    w->json += name->len + sizeof ",[\"\",\"" - 1;
    memcpy(w->json, f->value, LED_NUMBER_ROOM);
    memcpy(w->json + f->len, "\"]", 2);
    w->json += f->len + 2;
}

static void put_run(struct forms *w, const struct led_run *run) {
    const char *at = run->text;
    memcpy(w->netstrings, at, run->len.netstrings);
    memcpy(w->json, at += run->len.netstrings, run->len.json);
    memcpy(w->resp, at + run->len.json, run->len.resp);
    w->netstrings += run->len.netstrings;
    w->json += run->len.json;
    w->resp += run->len.resp;
}

struct led_run *led_run_new(const struct led_field *f, size_t n) {
    struct given given[LED_RUN_FIELDS];
    struct room room = {0};
    size_t raw = 0, copies = 0;
    if (n > LED_RUN_FIELDS) return NULL;
    for (size_t i = 0; i < n; i++) {
        if (f[i].len > LED_RUN_BYTES - raw) return NULL;
        raw += f[i].len;
        given[i] = look_at(&f[i]);
        if (!ordinary(&given[i], &room)) return NULL;
        copies += given[i].name + 1 + f[i].len + 1;
    }
    size_t forms = room.netstrings + room.json + room.resp;
    char *scratch = malloc(forms);
    if (scratch == NULL) return NULL;
    struct forms begin = {scratch, scratch + room.netstrings, scratch + room.netstrings + room.json}, w = begin;
    for (size_t i = 0; i < n; i++) put_small(&w, &given[i]);
    const struct room len = {(size_t)(w.netstrings - begin.netstrings), (size_t)(w.json - begin.json), (size_t)(w.resp - begin.resp)};
    struct led_run *run = malloc(sizeof *run + len.netstrings + len.json + len.resp + copies);
    if (run != NULL) {
        *run = (struct led_run){.n = n, .len = len};
        char *at = run->text;
        memcpy(at, begin.netstrings, len.netstrings);
        memcpy(at += len.netstrings, begin.json, len.json);
        memcpy(at += len.json, begin.resp, len.resp);
        at += len.resp;
        for (size_t i = 0; i < n; i++) {
            const char *name = keep(&at, f[i].name, given[i].name);
            run->f[i] = (struct led_field){name, keep(&at, f[i].value, f[i].len), f[i].len, NULL};
        }
    }
    free(scratch);
    return run;
}

void led_run_free(struct led_run *run) { free(run); }
const struct led_field *led_run_field(const struct led_run *run, size_t i) { return &run->f[i]; }

/* NULL: it is not small, or not ordinary. */
static struct lev *small_of(const struct led_event *ev, const char *node) {
    struct given given[LED_MAX_FIELDS];
    struct room room = {0};
    size_t raw = 0, n = OWN_FIELDS, type = strlen(ev->type), nodelen = strlen(node),
           session = ev->session != NULL ? strlen(ev->session) : 0;
    if (type > OWN_TEXT || nodelen > OWN_TEXT || session > LEV_KEY_MAX - sizeof LEV_KEY_APPROVAL || !form_plain(ev->type, type) ||
        !form_plain(node, nodelen))
        return NULL;
    for (size_t i = 0; i < ev->nfields; i++) {
        const struct led_field *f = &ev->fields[i];
        const struct led_run *run = f->name == NULL ? f->value : NULL;
        given[i] = (struct given){.f = f};
        n += run != NULL ? run->n : 1;
        if (run != NULL) {
            room.netstrings += run->len.netstrings;
            room.json += run->len.json;
            room.resp += run->len.resp;
            continue;
        }
        if (f->number != NULL) {
            room.netstrings += NUMBER_ROOM;
            room.json += NUMBER_ROOM;
            room.resp += NUMBER_ROOM;
            continue;
        }
        if (f->len > SMALL - raw) return NULL;
        raw += f->len;
        given[i] = look_at(f);
        if (!ordinary(&given[i], &room)) return NULL;
    }
    assert(n <= OWN_FIELDS + LED_MAX_FIELDS);
    char *text;
    struct lev *e = lev_new(0, session + sizeof LEV_KEY_APPROVAL + type + 1 + room.netstrings + room.json + room.resp, &text);
    if (e == NULL) return NULL;
    set_key(e, ev->stream, ev->session, &text);
    lev_stamp(e);
    e->nfields = n;
    e->type = (struct lev_text){keep(&text, ev->type, type), type};
    e->node = (struct lev_text){node, nodelen};
    const struct forms begin = {text, text + room.netstrings, text + room.netstrings + room.json};
    struct forms w = begin;
    for (size_t i = 0; i < ev->nfields; i++) {
        if (given[i].f->name == NULL)
            put_run(&w, given[i].f->value);
        else if (given[i].f->number != NULL)
            put_number(&w, given[i].f);
        else
            put_small(&w, &given[i]);
    }
    e->netstrings = (struct lev_text){begin.netstrings, (size_t)(w.netstrings - begin.netstrings)};
    e->json = (struct lev_text){begin.json, (size_t)(w.json - begin.json)};
    e->resp = (struct lev_text){begin.resp, (size_t)(w.resp - begin.resp)};
    return e;
}

/* A field's name in the three forms, up to the value: all of the bytes are copied, and those behind its length written over. */
struct own_name {
    char netstring[16], json[16], resp[16];
};
static const struct own_name own_names[OWN_FIELDS] = {{"4:type,", "[\"type\",\"", "$4\r\ntype\r\n"},
                                                      {"3:seq,", "[\"seq\",\"", "$3\r\nseq\r\n"},
                                                      {"4:node,", "[\"node\",\"", "$4\r\nnode\r\n"},
                                                      {"4:time,", "[\"time\",\"", "$4\r\ntime\r\n"},
                                                      {"4:prev,", "[\"prev\",\"", "$4\r\nprev\r\n"}};
#define OWN_LEN(i, around) ((i) == 1 ? sizeof "seq" around - 1 : sizeof "type" around - 1)

static void own_values(const struct lev *e, struct lev_text v[OWN_FIELDS]) {
    v[0] = e->type;
    v[1] = (struct lev_text){e->seq_text, e->seq_len};
    v[2] = e->node;
    v[3] = (struct lev_text){e->time_text, e->time_len};
    v[4] = (struct lev_text){e->prev_text, e->prev_len};
}

size_t lev_hashed_head(const struct lev *e, char out[LEV_HEAD_ROOM]) {
    struct lev_text v[OWN_FIELDS];
    char *at = form_netstring(out, e->key, strlen(e->key));
    own_values(e, v);
    for (size_t i = 0; i < OWN_FIELDS; i++) {
        memcpy(at, own_names[i].netstring, sizeof own_names[i].netstring);
        at = form_netstring(at + OWN_LEN(i, "4:,"), v[i].at, v[i].len);
    }
    return (size_t)(at - out);
}

static char *json_head(const struct lev *e, char *at) {
    struct lev_text v[OWN_FIELDS];
    own_values(e, v);
    for (size_t i = 0; i < OWN_FIELDS; i++) {
        if (i > 0) *at++ = ',';
        memcpy(at, own_names[i].json, sizeof own_names[i].json);
        at = gh_put(at + OWN_LEN(i, "[\"\",\""), v[i].at, v[i].len);
        memcpy(at, "\"]", 2);
        at += 2;
    }
    return at;
}

static void resp_small(const struct lev *e, struct buf *out) {
    struct lev_text v[OWN_FIELDS];
    char *start = (char *)buf_reserve(out, OWN_ROOM + e->resp.len), *at = start;
    if (start == NULL) return;
    own_values(e, v);
    for (size_t i = 0; i < OWN_FIELDS; i++) {
        memcpy(at, own_names[i].resp, sizeof own_names[i].resp);
        at = form_resp(at + OWN_LEN(i, "$4\r\n\r\n"), v[i].at, v[i].len);
    }
    buf_commit(out, (size_t)(gh_put(at, e->resp.at, e->resp.len) - start));
}

void lev_resp(const struct lev *e, struct buf *out) {
    if (e->resp.at != NULL) {
        resp_small(e, out);
        return;
    }
    size_t need = 0;
    for (size_t k = 0; k < e->nparts; k++) {
        if (e->parts[k].len > LEV_MAX_PART) out->failed = true;
        need += e->parts[k].len + FORM_ROOM;
    }
    char *start = (char *)buf_reserve(out, need), *at = start;
    if (start == NULL) return;
    for (size_t k = 0; k < e->nparts; k++) at = form_resp(at, e->parts[k].at, e->parts[k].len);
    buf_commit(out, (size_t)(at - start));
}

/* --- others --- */

/* Bytes of text that put_value() takes. */
static size_t room_for(const struct given *g) { return g->name + 1 + (g->utf8 ? g->f->len + 1 : sizeof ".b64" + g->f->len / 3 * 4 + 5); }

/* The i-th part and the next one. False when out of memory. No token gets any further than this. */
static bool put_value(struct lev *e, size_t i, const struct given *g, char **text) {
    struct lev_part *p = e->parts + i;
    size_t len = g->f->len;
    bool cut = may_be_cut(g->f->name);
    if (form_plain(g->f->name, g->name)) set_plain(e, i);
    if (g->plain || !g->utf8) set_plain(e, i + 1); /* base64 is, and so is what masks put in */
    if (g->utf8) {
        p[0] = (struct lev_part){keep(text, g->f->name, g->name), g->name};
        char *at = *text;
        keep(text, g->f->value, len);
        len = mask_tokens(at, len, cut);
        at[len] = '\0';
        p[1] = (struct lev_part){at, len};
        return true;
    }
    char *raw = malloc(len);
    if (raw == NULL) return false;
    memcpy(raw, g->f->value, len);
    len = mask_tokens(raw, len, cut);
    char *at = *text;
    memcpy(at, g->f->name, g->name);
    memcpy(at + g->name, ".b64", 5);
    p[0] = (struct lev_part){at, g->name + 4};
    *text += g->name + 5;
    int n = EVP_EncodeBlock((unsigned char *)*text, (const unsigned char *)raw, (int)len);
    p[1] = (struct lev_part){*text, (size_t)n};
    *text += n + 1;
    free(raw);
    return true;
}

static struct lev *parts_of(const struct led_event *ev, const char *node) {
    struct given given[LED_MAX_FIELDS];
    size_t raw = 0, type = strlen(ev->type), need = type + 1 + (ev->session != NULL ? strlen(ev->session) + sizeof LEV_KEY_APPROVAL : 0);
    for (size_t i = 0; i < ev->nfields; i++) {
        if (ev->fields[i].len > LEV_MAX_BYTES - raw) return NULL;
        raw += ev->fields[i].len;
        given[i] = look_at(&ev->fields[i]);
        need += room_for(&given[i]);
    }
    char *text;
    struct lev *e = lev_new(2 * (OWN_FIELDS + ev->nfields), need, &text);
    if (e == NULL) return NULL;
    set_key(e, ev->stream, ev->session, &text);
    lev_stamp(e);
    struct lev_part *p = e->parts;
    p[0] = part("type");
    p[1] = (struct lev_part){keep(&text, ev->type, type), type};
    p[2] = part("seq");
    p[4] = part("node");
    p[5] = part(node);
    p[6] = part("time");
    p[7] = part(e->time_text);
    p[8] = part("prev");
    p[9] = (struct lev_part){e->prev_text, 0};
    e->plain[0] = OWN_PLAIN;
    e->nfields = OWN_FIELDS + ev->nfields;
    for (size_t i = 0; i < ev->nfields; i++) {
        if (put_value(e, 2 * (OWN_FIELDS + i), &given[i], &text)) continue;
        lev_free_all(e);
        return NULL;
    }
    return e;
}

struct lev *lev_of(const struct led_event *ev, const char *node) {
    assert(ev->nfields <= LED_MAX_FIELDS && (prefix_of(ev->stream) != NULL) == (ev->session != NULL));
    struct lev *e = small_of(ev, node);
    if (e != NULL) return e;
    struct led_field all[LED_MAX_FIELDS];
    struct led_event whole = *ev;
    size_t n = 0;
    for (size_t i = 0; i < ev->nfields; i++) {
        const struct led_run *run = ev->fields[i].name == NULL ? ev->fields[i].value : NULL;
        size_t more = run != NULL ? run->n : 1;
        assert(more <= LED_MAX_FIELDS - n);
        memcpy(all + n, run != NULL ? run->f : &ev->fields[i], more * sizeof *all);
        n += more;
    }
    whole.fields = all;
    whole.nfields = n;
    return parts_of(&whole, node);
}

void lev_number(struct lev *e, uint64_t seq, struct lev_id id) {
    e->seq = seq;
    e->ms = id.ms;
    size_t n = gh_u64_text(e->id, id.ms);
    e->id[n++] = '-';
    e->id_len = n + gh_u64_text(e->id + n, id.n);
    e->seq_len = gh_u64_text(e->seq_text, seq);
    if (e->nparts > 0) e->parts[3] = (struct lev_part){e->seq_text, e->seq_len};
}

void lev_set_prev(struct lev *e, const char hash[LEV_HASH_TEXT]) {
    memcpy(e->prev_text, hash, sizeof e->prev_text);
    e->prev_len = sizeof e->prev_text - 1;
    if (e->nparts > 0) e->parts[9] = (struct lev_part){e->prev_text, sizeof e->prev_text - 1};
}

#define PIECE ((size_t)1024)
#define ROOM  ((size_t)64 << 10)

static void put_string(struct buf *out, const char *s, size_t len) {
    buf_u8(out, '"');
    for (size_t n; len > 0; s += n, len -= n) {
        n = len < PIECE ? len : PIECE;
        char *start = (char *)buf_reserve(out, n * FORM_JSON_WORST);
        if (start == NULL) return;
        buf_commit(out, (size_t)(form_json(start, s, n, false) - start));
    }
    buf_u8(out, '"');
}

/* Room for all of its names and values in JSON; 0: so much that they are written in pieces. */
static size_t room_in_json(const struct lev *e) {
    size_t room = 0;
    for (size_t i = 0; i < e->nparts; i++) {
        if (e->parts[i].len > LEV_MAX_BYTES) return 0;
        room += e->parts[i].len * (is_plain(e, i) ? 1 : FORM_JSON_WORST) + sizeof "[\"\",";
    }
    return room <= ROOM ? room : 0;
}

static void put_fields(struct buf *out, const struct lev *e) {
    char *start = (char *)buf_reserve(out, room_in_json(e)), *at = start;
    if (start == NULL) return;
    for (size_t i = 0; i < e->nparts; i++) {
        const struct lev_part *p = &e->parts[i];
        if (i > 0) *at++ = ',';
        if (i % 2 == 0) *at++ = '[';
        *at++ = '"';
        at = form_json(at, p->at, p->len, is_plain(e, i));
        *at++ = '"';
        if (i % 2 != 0) *at++ = ']';
    }
    buf_commit(out, (size_t)(at - start));
}

static void put_fields_in_pieces(struct buf *out, const struct lev *e) {
    for (size_t i = 0; i < e->nparts; i++) {
        buf_str(out, i == 0 ? "[" : i % 2 == 0 ? ",[" : ",");
        put_string(out, e->parts[i].at, e->parts[i].len);
        if (i % 2 != 0) buf_u8(out, ']');
    }
}

/* A small one's fields. */
static void json_small(const struct lev *e, struct buf *out) {
    char *start = (char *)buf_reserve(out, OWN_ROOM + e->json.len), *at = start;
    if (start == NULL) return;
    at = json_head(e, at);
    buf_commit(out, (size_t)(gh_put(at, e->json.at, e->json.len) - start));
}

/* What stands before the fields. */
static void json_begin(const struct lev *e, struct buf *out) {
    size_t len = e->session != NULL ? strlen(e->session) : 0;
    char *start = len > LEV_MAX_BYTES ? NULL : (char *)buf_reserve(out, LINE_ROOM + len * FORM_JSON_WORST), *at = start;
    if (start == NULL) {
        out->failed = true;
        return;
    }
    PUT(at, "{\"seq\":");
    at = gh_put(at, e->seq_text, e->seq_len);
    PUT(at, ",\"id\":\"");
    at = gh_put(at, e->id, e->id_len);
    PUT(at, "\",\"stream\":\"");
    at = gh_put(at, stream_names[e->stream], strlen(stream_names[e->stream]));
    PUT(at, "\",\"session\":");
    if (e->session == NULL)
        PUT(at, "null");
    else {
        *at++ = '"';
        at = form_json(at, e->session, len, form_plain(e->session, len));
        *at++ = '"';
    }
    PUT(at, ",\"fields\":[");
    buf_commit(out, (size_t)(at - start));
}

void lev_json(const struct lev *e, struct buf *out) {
    json_begin(e, out);
    if (e->json.at != NULL)
        json_small(e, out);
    else if (room_in_json(e) > 0)
        put_fields(out, e);
    else
        put_fields_in_pieces(out, e);
    buf_put(out, "]}", 2);
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
    e->nfields = n;
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
        spare_put(list, list->bytes);
        list = next;
    }
}
