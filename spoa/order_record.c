/* Orders as texts: signed ones, lines of the file, what people and the ledger get. */
#include <config.h>

#include "spoa/json_read.h"
#include "spoa/order_int.h"

#include "spoa/log.h"
#include "spoa/record.h"
#include "spoa/starved.h"
#include "spoa/visible.h"

#include <arpa/inet.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

const char *ord_what_name(enum ord_what w) {
    static const char *const names[] = {"principal", "session", "address", "database"};
    return names[w];
}

bool ord_what_of(const char *word, enum ord_what *out) {
    for (int i = ORD_PRINCIPAL; i <= ORD_DATABASE; i++)
        if (strcmp(word, ord_what_name((enum ord_what)i)) == 0) {
            *out = (enum ord_what)i;
            return true;
        }
    return false;
}

/* --- addresses --- */

static void cut_to(struct ord_net *n) {
    for (unsigned i = 0; i < sizeof n->addr; i++) {
        unsigned whole = n->bits > i * 8 ? n->bits - i * 8 : 0;
        n->addr[i] &= whole >= 8 ? 0xff : (uint8_t)(0xff00u >> whole);
    }
}

/* 10.0.0.1, 10.0.0.0/8, 2001:db8::/32. An IPv4 address that IPv6 carries is that address. */
bool ord_net_parse(const char *text, struct ord_net *out) {
    static const uint8_t mapped[12] = {0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0xff, 0xff};
    char host[INET6_ADDRSTRLEN], *end;
    const char *slash = strchr(text, '/');
    size_t len = slash == NULL ? strlen(text) : (size_t)(slash - text);
    if (len >= sizeof host) return false;
    memcpy(host, text, len);
    host[len] = '\0';
    *out = (struct ord_net){.family = AF_INET, .bits = 32};
    if (inet_pton(AF_INET, host, out->addr) != 1) {
        *out = (struct ord_net){.family = AF_INET6, .bits = 128};
        if (inet_pton(AF_INET6, host, out->addr) != 1) return false;
    }
    unsigned most = out->bits;
    if (slash != NULL) {
        if (slash[1] < '0' || slash[1] > '9') return false;
        unsigned long bits = strtoul(slash + 1, &end, 10);
        if (*end != '\0' || bits > most) return false;
        out->bits = (unsigned)bits;
    }
    if (out->family == AF_INET6 && out->bits >= 96 && memcmp(out->addr, mapped, sizeof mapped) == 0) {
        memmove(out->addr, out->addr + 12, 4);
        memset(out->addr + 4, 0, 12);
        out->family = AF_INET;
        out->bits -= 96;
    }
    cut_to(out);
    return true;
}

bool ord_net_has(const struct ord_net *n, const struct ord_net *address) {
    struct ord_net cut = *address;
    if (n->family != address->family || address->bits < n->bits) return false;
    cut.bits = n->bits;
    cut_to(&cut);
    return memcmp(cut.addr, n->addr, sizeof cut.addr) == 0;
}

/* --- texts --- */

void ord_entry_free(struct ord_entry *e) {
    if (e == NULL) return;
    json_decref(e->said);
    free(e->text);
    free(e->signature);
    free(e);
}

char *ord_line(const struct ord_entry *e) {
    bool begun = starved_begin(); /* json_pack() leaves out what is optional and got no memory */
    json_t *o = json_pack("{s:s, s:s, s:s, s:s*}", "t", "order", "signed", e->text, "signature", e->signature, "key",
                          e->key[0] != '\0' ? e->key : NULL);
    char *line = o == NULL ? NULL : json_dumps(o, JSON_COMPACT | JSON_SORT_KEYS);
    json_decref(o);
    if (!starved_end(begun)) return line;
    free(line);
    return NULL;
}

static bool texts(const json_t *list) {
    if (!json_is_array(list) || json_array_size(list) > 1000) return false;
    for (size_t i = 0; i < json_array_size(list); i++)
        if (!json_is_string(json_array_get(list, i))) return false;
    return true;
}

static bool read_block(struct ord_entry *e, json_t *o) {
    const char *what, *value;
    json_t *lifts = json_object_get(o, "lifts");
    if (json_unpack(o, "{s:s, s:s}", "what", &what, "value", &value) != 0 || !ord_what_of(what, &e->what) ||
        strlen(value) > ORD_VALUE_MAX || value[0] == '\0' || (e->op == ORD_UNBLOCK && !texts(lifts)))
        return false;
    return e->what != ORD_ADDRESS || ord_net_parse(value, &e->net);
}

static bool read_grant(const json_t *o) {
    const char *request, *principal, *issuer, *database, *scope, *key;
    enum pol_scope known;
    return json_unpack((json_t *)(uintptr_t)o, "{s:s, s:s, s:s, s:s, s:s, s:s}", "request", &request, "principal", &principal, "issuer",
                       &issuer, "database", &database, "scope", &scope, "key", &key) == 0 &&
           pol_scope_of(scope, &known) && json_is_array(json_object_get(o, "asks")) && texts(json_object_get(o, "approvers")) &&
           (known == POL_SCOPE_RULE ? key[0] == '\0' : strlen(key) == 64);
}

static bool read_entry(struct ord_entry *e, const char **node) {
    static const char *const ops[] = {"block", "unblock", "grant", "revoke"};
    const char *op, *by, *reason;
    json_int_t seq, prev, at, until;
    if (json_unpack(e->said, "{s:s, s:s, s:s, s:s, s:I, s:I, s:I, s:I}", "node", node, "op", &op, "by", &by, "reason", &reason, "seq", &seq,
                    "prev", &prev, "time", &at, "until", &until) != 0 ||
        seq <= 0 || prev < 0 || prev >= seq || at <= 0 || until < 0)
        return false;
    size_t i = 0;
    while (i < 4 && strcmp(op, ops[i]) != 0) i++;
    if (i == 4) return false;
    e->op = (enum ord_op)i;
    e->seq = (uint64_t)seq;
    e->prev = (uint64_t)prev;
    e->time_ms = (uint64_t)at;
    e->until_ms = (uint64_t)until;
    switch (e->op) {
    case ORD_BLOCK:
    case ORD_UNBLOCK: return read_block(e, e->said);
    case ORD_GRANT: return e->until_ms > 0 && read_grant(e->said);
    default: return json_is_string(json_object_get(e->said, "grant"));
    }
}

struct ord_entry *ord_parse(const char *text, size_t len, const char *signature, const char **node) {
    struct ord_entry *e = calloc(1, sizeof *e);
    if (e == NULL) {
        starved_note();
        return NULL;
    }
    e->said = json_read(text, len, JSON_REJECT_DUPLICATES, NULL);
    e->text = strndup(text, len);
    e->signature = strdup(signature);
    if (e->text == NULL || e->signature == NULL) starved_note();
    if (len <= ORD_LINE_MAX && e->said != NULL && e->text != NULL && e->signature != NULL && read_entry(e, node)) return e;
    ord_entry_free(e);
    return NULL;
}

const char *ord_said(const struct ord_entry *e, const char *key) {
    const char *s = json_string_value(json_object_get(e->said, key));
    return s != NULL ? s : "";
}

void ord_id(const struct ord_entry *e, char out[ORD_ID_SIZE]) {
    snprintf(out, ORD_ID_SIZE, "%s:%llu", e->node->name, (unsigned long long)e->seq);
}

/* --- for people --- */

static void put_time(json_t *out, const char *key, uint64_t ms) {
    char text[40];
    time_t s = (time_t)(ms / 1000);
    struct tm tm;
    if (ms == 0) return;
    gmtime_r(&s, &tm);
    size_t n = strftime(text, 24, "%Y-%m-%dT%H:%M:%S", &tm);
    snprintf(text + n, sizeof text - n, ".%03uZ", (unsigned)(ms % 1000));
    json_object_set_new(out, key, json_string(text));
}

static void put_visible(json_t *out, const struct ord_entry *e, const char *key) {
    const char *s = ord_said(e, key);
    struct buf b = BUF_INIT(ORD_LINE_MAX * 8);
    if (s[0] == '\0') return;
    visible_line(&b, s, strlen(s), b.max);
    json_object_set_new(out, key, json_stringn((const char *)buf_at(&b), buf_used(&b)));
    buf_free(&b);
}

json_t *ord_json(const struct ord *o, const struct ord_entry *e, uint64_t now) {
    static const char *const keys[] = {"what",   "value",    "reason", "by",  "request", "principal",
                                       "issuer", "database", "scope",  "key", "sql",     NULL};
    json_t *out = json_object();
    char id[ORD_ID_SIZE];
    ord_id(e, id);
    json_object_set_new(out, "id", json_string(id));
    json_object_set_new(out, "node", json_string(e->node->name));
    for (const char *const *k = keys; *k != NULL; k++) put_visible(out, e, *k);
    if (e->op == ORD_GRANT) json_object_set(out, "approvers", json_object_get(e->said, "approvers"));
    if (e->op == ORD_GRANT) json_object_set(out, "asks", json_object_get(e->said, "asks"));
    put_time(out, "since", e->time_ms);
    put_time(out, "until", e->until_ms);
    json_object_set_new(out, "counts", json_boolean(ord_counts(o, e, now)));
    json_object_set_new(out, "status",
                        json_string(e->lifted                                ? e->op == ORD_BLOCK ? "lifted" : "revoked"
                                    : e->until_ms != 0 && now >= e->until_ms ? "over"
                                    : ord_counts(o, e, now)                  ? "counts"
                                    : e->op == ORD_GRANT && !e->node->own    ? "of another node"
                                                                             : "void"));
    return out;
}

/* --- for the ledger --- */

void ord_event(const struct ord *o, const struct ord_entry *e, const char *type) {
    static const char *const keys[] = {"what", "value", "reason", "by", "request", "principal", "database", "scope", "grant", NULL};
    struct rec r = {0};
    char id[ORD_ID_SIZE];
    ord_id(e, id);
    rec_str(&r, "order", id);
    for (const char *const *k = keys; *k != NULL; k++)
        if (ord_said(e, *k)[0] != '\0') rec_str(&r, *k, ord_said(e, *k));
    rec_str(&r, "signed", e->text);
    rec_str(&r, "signature", e->signature);
    if (e->node->own) rec_str(&r, "key", nodekey_public(o->key));
    if (o->led != NULL) rec_append(o->led, &r, LED_SESSIONS, NULL, type, NULL, NULL);
    log_event(e->op == ORD_BLOCK ? LOG_WARN : LOG_INFO, type, "order", id, "what", ord_said(e, "what"), "value", ord_said(e, "value"),
              "principal", ord_said(e, "principal"), "request", ord_said(e, "request"), "by", ord_said(e, "by"), "reason",
              ord_said(e, "reason"), NULL);
    json_t *news = ord_json(o, e, o->now());
    news_tell(&o->news, type, news);
    json_decref(news);
}
