#include <config.h>

#include "spoa/order_int.h"

#include "spoa/clock.h"
#include "spoa/log.h"
#include "spoa/mask.h"
#include "spoa/person.h"
#include "spoa/starved.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#define LOCK_MS     2000u
#define FOR_MAX_MS  (366ull * 24 * 3600 * 1000)
#define SHRINK_FROM (4u << 20) /* bytes of the file */

/* --- the file --- */

static bool on_record(void *arg, const char *json, size_t len) {
    struct ord *o = arg;
    starved_reset();
    pthread_mutex_lock(&o->mu);
    ord_apply_line(o, json, len);
    pthread_mutex_unlock(&o->mu);
    return !starved();
}

/* The file comes again from its beginning. What is known is not forgotten: nobody lifts a block by taking it out of the file. */
static void on_forget(void *arg) {
    struct ord *o = arg;
    pthread_mutex_lock(&o->mu);
    for (size_t i = 0; i < o->n; i++) o->list[i]->in_file = false;
    pthread_mutex_unlock(&o->mu);
}

static void on_damaged(void *arg) {
    struct ord *o = arg;
    pthread_mutex_lock(&o->mu);
    ord_doubt(o);
    pthread_mutex_unlock(&o->mu);
    log_event(LOG_ERROR, "order.damaged", "folder", o->dir, "reason",
              "a line of orders.log is damaged and does not count: grants from before it are void, blocks stay", "do",
              "look who or what changed it (the disk, a restored backup); compare gatehousectl blocks with another node", NULL);
}

static bool append(struct ord *o, const struct ord_entry *e, char *err, size_t size) {
    struct buf b = BUF_INIT(ALOG_LINE_MAX);
    char *line = ord_line(e);
    snprintf(err, size, "out of memory");
    if (line == NULL)
        b.failed = true;
    else
        alog_line(&b, line, strlen(line));
    bool ok = alog_append(o->log, &b, err, size);
    buf_free(&b);
    free(line);
    return ok;
}

/* Orders that were in the file and are not any more: written again. */
static void restore(struct ord *o) {
    size_t n = 0;
    char err[300] = "";
    for (size_t i = 0; i < o->n; i++) { /* nobody else adds: io is held */
        struct ord_entry *e = o->list[i];
        if (e->in_file) continue;
        e->in_file = append(o, e, err, sizeof err);
        n++;
    }
    if (n > 0)
        log_event(LOG_ERROR, "order.restored", "orders", log_fmt("%zu", n), "reason",
                  "orders were taken out of orders.log while gatehouse runs: they still count, and were written again", "do",
                  "find out who writes to the journal's folder", NULL);
}

static bool enter(struct ord *o, unsigned wait_ms, char *err, size_t size) {
    const struct alog_reader reader = {on_record, on_forget, on_damaged, o};
    bool damaged = false;
    uint64_t epoch = atomic_load(&o->epoch);
    pthread_mutex_lock(&o->io);
    if (!alog_lock(o->log, wait_ms, err, size)) {
        pthread_mutex_unlock(&o->io);
        return false;
    }
    bool ok = alog_read(o->log, &reader, &damaged, err, size);
    if (ok) restore(o);
    if (atomic_load(&o->epoch) != epoch && o->changed != NULL) o->changed(o->arg);
    if (ok) return true;
    alog_unlock(o->log);
    pthread_mutex_unlock(&o->io);
    return false;
}

static void leave(struct ord *o) {
    alog_unlock(o->log);
    pthread_mutex_unlock(&o->io);
}

/* The file anew, with what is known. */
static void shrink(struct ord *o) {
    struct buf b = BUF_INIT((size_t)ORD_MAX * ORD_LINE_MAX);
    char err[300], line[160];
    for (size_t i = 0; i < o->nnodes; i++) {
        if (o->nodes[i]->floor == 0) continue;
        snprintf(line, sizeof line, "{\"node\":\"%s\",\"seq\":%llu,\"t\":\"floor\"}", o->nodes[i]->name,
                 (unsigned long long)o->nodes[i]->floor);
        alog_line(&b, line, strlen(line));
    }
    for (size_t i = 0; i < o->n; i++) {
        char *text = ord_line(o->list[i]);
        if (text == NULL)
            b.failed = true;
        else
            alog_line(&b, text, strlen(text));
        free(text);
    }
    if (!alog_replace(o->log, &b, err, sizeof err))
        log_event(LOG_ERROR, "order.log", "reason", err, "do", "see that the journal's disk has room", NULL);
    buf_free(&b);
}

/* --- making an order --- */

/* Signs said (taken over) as this node's next order, writes it and lets it count. The entry, or NULL and a sentence. io is held. */
static const struct ord_entry *issue(struct ord *o, json_t *said, char *why, size_t size) {
    char signature[NODEKEY_SIGNATURE_SIZE];
    const char *node;
    struct ord_node *own = o->nodes[0];
    uint64_t now = o->now(), epoch = atomic_load(&o->epoch), seq = now > own->last ? now : own->last + 1;
    snprintf(why, size, "out of memory");
    if (said == NULL) return NULL;
    json_object_set_new(said, "v", json_integer(1));
    json_object_set_new(said, "node", json_string(o->name));
    json_object_set_new(said, "seq", json_integer((json_int_t)seq));
    json_object_set_new(said, "prev", json_integer((json_int_t)own->last));
    json_object_set_new(said, "time", json_integer((json_int_t)now));
    char *text = json_dumps(said, JSON_COMPACT | JSON_SORT_KEYS);
    json_decref(said);
    struct ord_entry *e =
        text != NULL && nodekey_sign(o->key, text, strlen(text), signature) ? ord_parse(text, strlen(text), signature, &node) : NULL;
    free(text);
    if (e == NULL) {
        snprintf(why, size, "it could not be signed: it is too long, or a text of it is not UTF-8");
        return NULL;
    }
    if (!append(o, e, why, size)) {
        ord_entry_free(e);
        return NULL;
    }
    starved_reset();
    pthread_mutex_lock(&o->mu);
    bool ok = ord_add(o, own, e);
    pthread_mutex_unlock(&o->mu);
    if (starved()) alog_again(o->log);
    if (atomic_load(&o->epoch) != epoch && o->changed != NULL) o->changed(o->arg);
    if (!ok) snprintf(why, size, "out of memory: it is written, and counts as soon as it can be read");
    return ok ? o->list[o->n - 1] : NULL;
}

static bool full(const struct ord *o, char *why, size_t size) {
    if (o->n < ORD_MAX) return false;
    snprintf(why, size, "this node holds %u orders already: lift blocks that are not needed any more", ORD_MAX);
    return true;
}

/* --- blocks --- */

static bool wish_ok(const struct ord_wish *w, enum ord_what *what, char *why, size_t size) {
    struct ord_net net;
    size_t len = strlen(w->value);
    if (!ord_what_of(w->what, what))
        snprintf(why, size, "what is blocked is a principal, a session, an address or a database");
    else if (len == 0 || len > ORD_VALUE_MAX || !gh_utf8_valid(w->value, len))
        snprintf(why, size, "the name is empty, too long, or not UTF-8");
    else if (*what == ORD_ADDRESS && !ord_net_parse(w->value, &net))
        snprintf(why, size, "this is no IP address, and no network as in 10.0.0.0/8");
    else if (strlen(w->reason) > ORD_TEXT || !gh_utf8_valid(w->reason, strlen(w->reason)))
        snprintf(why, size, "the reason is longer than %u bytes, or not UTF-8", ORD_TEXT);
    else if (mask_needed(w->reason, strlen(w->reason), false) || mask_needed(w->value, len, false))
        snprintf(why, size, "a text looks like a token: that must not be written down");
    else if (w->for_ms > FOR_MAX_MS)
        snprintf(why, size, "a block is for a year at most, or without an end");
    else
        return true;
    return false;
}

static bool same_value(const struct ord_entry *e, enum ord_what what, const char *value, const struct ord_net *net) {
    if (e->what != what) return false;
    if (what == ORD_ADDRESS) return memcmp(&e->net, net, sizeof *net) == 0;
    const char *mine = ord_said(e, "value");
    return what == ORD_PRINCIPAL ? person_surely_same(mine, value) : strcmp(mine, value) == 0;
}

enum ord_rc ord_block(struct ord *o, const struct ord_wish *w, char id[ORD_ID_SIZE], char *why, size_t size) {
    enum ord_what what;
    id[0] = '\0';
    if (!wish_ok(w, &what, why, size)) return ORD_BAD;
    if (w->reason[0] == '\0') return snprintf(why, size, "a block needs a reason: who is blocked is told"), ORD_BAD;
    if (!enter(o, LOCK_MS, why, size)) return ORD_FAILED;
    enum ord_rc rc = full(o, why, size) ? ORD_FULL : ORD_FAILED;
    const struct ord_entry *e =
        rc == ORD_FULL ? NULL
                       : issue(o,
                               json_pack("{s:s, s:s, s:s, s:s, s:s, s:I}", "op", "block", "what", w->what, "value", w->value, "reason",
                                         w->reason, "by", w->by, "until", (json_int_t)(w->for_ms == 0 ? 0 : o->now() + w->for_ms)),
                               why, size);
    if (e != NULL) {
        ord_id(e, id);
        ord_event(o, e, "block");
        snprintf(why, size, "blocked: counts here now, and on the other nodes when they hear of it");
    }
    leave(o);
    return e != NULL ? ORD_DONE : rc;
}

enum ord_rc ord_unblock(struct ord *o, const struct ord_wish *w, char *why, size_t size) {
    enum ord_what what;
    struct ord_net net = {0};
    char id[ORD_ID_SIZE];
    if (!wish_ok(w, &what, why, size)) return ORD_BAD;
    if (what == ORD_ADDRESS && !ord_net_parse(w->value, &net)) return ORD_BAD;
    if (!enter(o, LOCK_MS, why, size)) return ORD_FAILED;
    json_t *lifts = json_array();
    uint64_t now = o->now();
    for (size_t i = 0; i < o->n && json_array_size(lifts) < 500; i++) {
        const struct ord_entry *e = o->list[i];
        if (e->op != ORD_BLOCK || !ord_counts(o, e, now) || !same_value(e, what, w->value, &net)) continue;
        ord_id(e, id);
        json_array_append_new(lifts, json_string(id));
    }
    size_t n = json_array_size(lifts);
    enum ord_rc rc = ORD_NOTHING;
    if (n == 0) {
        snprintf(why, size, "nothing of that name is blocked");
        json_decref(lifts);
    } else {
        const struct ord_entry *e = issue(o,
                                          json_pack("{s:s, s:s, s:s, s:s, s:s, s:o, s:I}", "op", "unblock", "what", w->what, "value",
                                                    w->value, "reason", w->reason, "by", w->by, "lifts", lifts, "until", (json_int_t)0),
                                          why, size);
        rc = e != NULL ? ORD_DONE : ORD_FAILED;
        if (e != NULL) {
            ord_event(o, e, "unblock");
            snprintf(why, size, "lifted: %zu block%s", n, n == 1 ? "" : "s");
        }
    }
    leave(o);
    return rc;
}

/* src NULL: no address is known. */
static bool hits(const struct ord_entry *e, const struct ord_subject *s, const struct ord_net *src) {
    const char *value = ord_said(e, "value");
    switch (e->what) {
    case ORD_PRINCIPAL: return s->principal != NULL && person_same(value, s->principal);
    case ORD_SESSION: return s->session != NULL && strcmp(value, s->session) == 0;
    case ORD_ADDRESS: return src != NULL && ord_net_has(&e->net, src);
    default: return s->database != NULL && strcmp(value, s->database) == 0;
    }
}

bool ord_blocked(struct ord *o, const struct ord_subject *s, struct ord_block *out) {
    struct ord_net src;
    const struct ord_entry *by = NULL;
    if (atomic_load(&o->blocks) == 0) return false;
    bool has_src = s->src != NULL && ord_net_parse(s->src, &src);
    pthread_mutex_lock(&o->mu);
    uint64_t now = o->now();
    for (size_t i = 0; i < o->n && by == NULL; i++)
        if (o->list[i]->op == ORD_BLOCK && ord_counts(o, o->list[i], now) && hits(o->list[i], s, has_src ? &src : NULL)) by = o->list[i];
    if (by != NULL && out != NULL) {
        out->what = by->what;
        snprintf(out->reason, sizeof out->reason, "%s", ord_said(by, "reason"));
        ord_id(by, out->id);
    }
    pthread_mutex_unlock(&o->mu);
    return by != NULL;
}

uint64_t ord_epoch(const struct ord *o) { return atomic_load_explicit(&o->epoch, memory_order_acquire); }

/* --- grants --- */

bool ord_grant(struct ord *o, const struct ord_grant *g, char id[ORD_ID_SIZE], char *why, size_t size) {
    if (!enter(o, LOCK_MS, why, size)) return false;
    const struct ord_entry *e =
        full(o, why, size)
            ? NULL
            : issue(o,
                    json_pack("{s:s, s:s, s:s, s:s, s:s, s:s, s:s, s:O, s:O, s:s, s:s, s:s, s:I}", "op", "grant", "request", g->request,
                              "principal", g->principal, "issuer", g->issuer, "database", g->database, "scope", pol_scope_name(g->scope),
                              "key", g->key, "asks", (json_t *)(uintptr_t)g->asks, "approvers", g->approvers, "sql", g->sql, "reason", "",
                              "by", json_string_value(json_array_get(g->approvers, 0)), "until", (json_int_t)g->until_ms),
                    why, size);
    if (e != NULL) {
        ord_id(e, id);
        ord_event(o, e, "grant");
    }
    leave(o);
    return e != NULL;
}

/* Who approved it is in good standing. mu is held. */
static bool approvers_ok(const struct ord *o, const struct ord_entry *grant, uint64_t now) {
    const json_t *names = json_object_get(grant->said, "approvers");
    if (atomic_load(&o->blocks) == 0) return true;
    for (size_t k = 0; k < json_array_size(names); k++) {
        const struct ord_subject s = {.principal = json_string_value(json_array_get(names, k))};
        for (size_t i = 0; i < o->n; i++)
            if (o->list[i]->op == ORD_BLOCK && ord_counts(o, o->list[i], now) && hits(o->list[i], &s, NULL)) return false;
    }
    return true;
}

static bool covers(const struct ord_entry *e, const struct ord_case *c) {
    enum pol_scope scope;
    const char *key = ord_said(e, "key");
    if (strcmp(ord_said(e, "principal"), c->principal) != 0 || strcmp(ord_said(e, "issuer"), c->issuer) != 0 ||
        strcmp(ord_said(e, "database"), c->database) != 0 || !pol_scope_of(ord_said(e, "scope"), &scope) ||
        !json_equal(json_object_get(e->said, "asks"), c->asks))
        return false;
    if (scope == POL_SCOPE_STATEMENT) return strcmp(key, c->fingerprint) == 0;
    if (scope == POL_SCOPE_KIND) return c->kind != NULL && strcmp(key, c->kind) == 0;
    return true;
}

bool ord_grant_find(struct ord *o, const struct ord_case *c, struct ord_granted *out) {
    const struct ord_entry *by = NULL;
    pthread_mutex_lock(&o->mu);
    uint64_t now = o->now();
    for (size_t i = 0; i < o->n && by == NULL; i++) {
        const struct ord_entry *e = o->list[i];
        if (e->op == ORD_GRANT && ord_counts(o, e, now) && covers(e, c) && approvers_ok(o, e, now)) by = e;
    }
    if (by != NULL) {
        const json_t *names = json_object_get(by->said, "approvers");
        ord_id(by, out->id);
        snprintf(out->request, sizeof out->request, "%s", ord_said(by, "request"));
        out->until_ms = by->until_ms;
        out->by[0] = '\0';
        for (size_t i = 0, at = 0; i < json_array_size(names) && at < sizeof out->by - 1; i++) {
            int n = snprintf(out->by + at, sizeof out->by - at, "%s%s", at > 0 ? ", " : "", json_string_value(json_array_get(names, i)));
            at += n > 0 ? (size_t)n : 0;
        }
    }
    pthread_mutex_unlock(&o->mu);
    return by != NULL;
}

bool ord_grant_counts(struct ord *o, const char *id) {
    pthread_mutex_lock(&o->mu);
    uint64_t now = o->now();
    const struct ord_entry *e = ord_find_id(o, id);
    bool ok = e != NULL && e->op == ORD_GRANT && ord_counts(o, e, now) && approvers_ok(o, e, now);
    pthread_mutex_unlock(&o->mu);
    return ok;
}

enum ord_rc ord_revoke(struct ord *o, const char *id, const char *reason, const char *by, char *why, size_t size) {
    if (strlen(reason) > ORD_TEXT || !gh_utf8_valid(reason, strlen(reason)))
        return snprintf(why, size, "the reason is longer than %u bytes, or not UTF-8", ORD_TEXT), ORD_BAD;
    if (mask_needed(reason, strlen(reason), false))
        return snprintf(why, size, "a text looks like a token: that must not be written down"), ORD_BAD;
    if (!enter(o, LOCK_MS, why, size)) return ORD_FAILED;
    enum ord_rc rc = ORD_NOTHING;
    const struct ord_entry *e = ord_find_id(o, id);
    if (e == NULL || e->op != ORD_GRANT || !e->node->own)
        snprintf(why, size, "there is no such grant on this node");
    else if (!ord_counts(o, e, o->now()))
        snprintf(why, size, "this grant does not count any more");
    else {
        e = issue(o,
                  json_pack("{s:s, s:s, s:s, s:s, s:s, s:I}", "op", "revoke", "grant", id, "principal", ord_said(e, "principal"), "reason",
                            reason, "by", by, "until", (json_int_t)0),
                  why, size);
        rc = e != NULL ? ORD_DONE : ORD_FAILED;
        if (e != NULL) {
            ord_event(o, e, "grant.revoked");
            snprintf(why, size, "revoked");
        }
    }
    leave(o);
    return rc;
}

/* --- for people --- */

json_t *ord_list(struct ord *o, bool grants, bool all) {
    json_t *out = json_array();
    pthread_mutex_lock(&o->mu);
    uint64_t now = o->now();
    for (size_t i = 0; out != NULL && i < o->n; i++) {
        const struct ord_entry *e = o->list[i];
        if (e->op == (grants ? ORD_GRANT : ORD_BLOCK) && (all || ord_counts(o, e, now))) json_array_append_new(out, ord_json(o, e, now));
    }
    pthread_mutex_unlock(&o->mu);
    return out;
}

void ord_count(struct ord *o, struct ord_counts *c) {
    *c = (struct ord_counts){0};
    pthread_mutex_lock(&o->mu);
    uint64_t now = o->now();
    for (size_t i = 0; i < o->n; i++) {
        bool counts = ord_counts(o, o->list[i], now);
        c->blocks += counts && o->list[i]->op == ORD_BLOCK;
        c->grants += counts && o->list[i]->op == ORD_GRANT;
    }
    for (size_t i = 0; i < o->nnodes; i++) c->missing += o->nodes[i]->ngaps;
    pthread_mutex_unlock(&o->mu);
}

/* --- to and from other nodes --- */

/* What is here already, to the letter: it was verified then. old: it was let go of, and does not come back. */
static bool is_known(struct ord *o, const struct ord_text *t, const struct ord_entry *e, bool *old, bool *room) {
    pthread_mutex_lock(&o->mu);
    const struct ord_entry *known = ord_find(o, t->node, e->seq);
    bool same = known != NULL && strcmp(known->text, e->text) == 0 && strcmp(known->signature, e->signature) == 0;
    *old = false;
    for (size_t i = 0; i < o->nnodes; i++)
        *old = *old || (known == NULL && e->seq <= o->nodes[i]->floor && strcmp(o->nodes[i]->name, t->node) == 0);
    *room = o->n < ORD_MAX;
    pthread_mutex_unlock(&o->mu);
    return same;
}

/* e is verified, and taken over. */
static enum ord_taken take(struct ord *o, const struct ord_text *t, struct ord_entry *e) {
    char err[300];
    if (!enter(o, LOCK_MS, err, sizeof err)) {
        ord_entry_free(e);
        return ORD_NOT_NOW;
    }
    uint64_t epoch = atomic_load(&o->epoch);
    pthread_mutex_lock(&o->mu);
    struct ord_node *n = ord_node(o, t->node);
    bool known = n != NULL && ord_find(o, t->node, e->seq) != NULL;
    pthread_mutex_unlock(&o->mu);
    enum ord_taken rc = known ? ORD_KNOWN : ORD_NOT_NOW;
    if (n == NULL || (!known && !append(o, e, err, sizeof err)))
        ord_entry_free(e);
    else { /* one that has the number of another is reported there, and not written */
        starved_reset();
        pthread_mutex_lock(&o->mu);
        rc = ord_add(o, n, e) ? ORD_TAKEN : ORD_KNOWN;
        pthread_mutex_unlock(&o->mu);
        if (starved()) {
            alog_again(o->log);
            rc = ORD_NOT_NOW;
        }
    }
    if (atomic_load(&o->epoch) != epoch && o->changed != NULL) o->changed(o->arg);
    leave(o);
    return rc;
}

enum ord_taken ord_take(struct ord *o, const struct ord_text *t, const char *key) {
    const char *said;
    bool own = strcmp(t->node, o->name) == 0, old, room;
    if (!own && key == NULL) return ORD_STRANGER;
    starved_reset();
    struct ord_entry *e = t->text_len > ORD_LINE_MAX ? NULL : ord_parse(t->text, t->text_len, t->signature, &said);
    if (e == NULL) return starved() ? ORD_NOT_NOW : ORD_FORGED;
    enum ord_taken rc = ORD_FORGED;
    bool known = strcmp(said, t->node) == 0 && is_known(o, t, e, &old, &room);
    bool good = known || (strcmp(said, t->node) == 0 && (own ? nodekey_verify(o->key, t->text, t->text_len, t->signature)
                                                             : nodekey_verify_by(key, t->text, t->text_len, t->signature)));
    if (good && !known && !old && room) {
        if (!own) memccpy(e->key, key, '\0', sizeof e->key - 1);
        return take(o, t, e);
    }
    if (good)
        rc = known || old ? ORD_KNOWN : ORD_NOT_NOW;
    else if (starved())
        rc = ORD_NOT_NOW;
    ord_entry_free(e);
    return rc;
}

void ord_own(struct ord *o, bool (*fn)(void *arg, uint64_t seq, const struct ord_text *t), void *arg) {
    pthread_mutex_lock(&o->io); /* so that nobody frees one; lookers on go on */
    for (size_t i = 0; i < o->n; i++) {
        const struct ord_entry *e = o->list[i];
        const struct ord_text t = {e->node->name, e->text, e->signature, strlen(e->text)};
        if (e->node->own && !fn(arg, e->seq, &t)) break;
    }
    pthread_mutex_unlock(&o->io);
}

uint64_t ord_own_count(const struct ord *o) { return atomic_load(&o->own); }

/* --- life --- */

void ord_sweep(struct ord *o) {
    char err[300];
    if (!enter(o, 0, err, sizeof err)) return; /* another process is at it */
    uint64_t now = o->now();
    pthread_mutex_lock(&o->mu);
    bool less = ord_let_go(o, now);
    pthread_mutex_unlock(&o->mu);
    if (less && alog_bytes(o->log) > SHRINK_FROM) shrink(o);
    for (size_t i = 0; i < o->n; i++) {
        struct ord_entry *e = o->list[i];
        if (e->op != ORD_GRANT || e->ended || !e->node->own || e->lifted || now < e->until_ms) continue;
        e->ended = true;
        ord_event(o, e, "grant.ended");
    }
    leave(o);
}

struct ord *ord_open(const struct ord_conf *conf, char *err, size_t size) {
    struct ord *o = calloc(1, sizeof *o);
    snprintf(err, size, "out of memory");
    if (o == NULL) return NULL;
    pthread_mutex_init(&o->mu, NULL);
    pthread_mutex_init(&o->io, NULL);
    o->key = conf->key;
    o->led = conf->led;
    o->news = conf->news;
    o->now = conf->now != NULL ? conf->now : clock_ms;
    o->changed = conf->changed;
    o->arg = conf->arg;
    o->dir = strdup(conf->dir);
    o->name = strdup(conf->node);
    if (o->dir != NULL && o->name != NULL && ord_node(o, o->name) != NULL &&
        (o->log = alog_open(o->dir, "orders", true, err, size)) != NULL && enter(o, LOCK_MS, err, size)) {
        /* It was recorded then, or nobody was there to do so. */
        for (size_t i = 0; i < o->n; i++) o->list[i]->ended = o->now() >= o->list[i]->until_ms;
        leave(o);
        return o;
    }
    ord_close(o);
    return NULL;
}

void ord_close(struct ord *o) {
    if (o == NULL) return;
    for (size_t i = 0; i < o->n; i++) ord_entry_free(o->list[i]);
    for (size_t i = 0; i < o->nnodes; i++) free(o->nodes[i]);
    free(o->list);
    alog_close(o->log);
    pthread_mutex_destroy(&o->mu);
    pthread_mutex_destroy(&o->io);
    free(o->dir);
    free(o->name);
    free(o);
}
