#include <config.h>

#include "spoa/courier.h"

#include "spoa/json_read.h"
#include "spoa/ledger_dial.h"
#include "spoa/ledger_event.h"
#include "spoa/log.h"
#include "spoa/thread.h"
#include "spoa/worker.h"

#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define LOOK_MS    200u   /* between two looks */
#define AGAIN_MS   4000u  /* the whole stream: what is gone from it is noticed */
#define LONG_MS    30000u /* the same while it has more entries than LONG, or some that are too large */
#define LONG       2000u
#define BACK_MS    1000u  /* before another connection */
#define ANSWER_MS  1500u  /* Redis's */
#define LARGE_MS   10000u /* the same when it has to look at what is too large: it copies hundreds of megabytes to find out */
#define STREAM_MAX "40000"
#define ENTRY_MAX  70000u            /* bytes of one value */
#define LARGE      ((size_t)1 << 20) /* bytes of an entry that nobody needs to see: it is no order */

struct courier {
    struct courier_conf conf;
    pthread_t thread;
    pthread_mutex_t mu;
    pthread_cond_t wake;
    bool stopping, hurry; /* guarded by mu */
    redisContext *c;
    struct led_place moved; /* where a Cluster keeps the stream; port 0: not told */
    struct led_pages pages;
    char stream[LEV_KEY_MAX];
    char last[48]; /* the id that was read last; "" from the beginning */
    /* Our own orders that the stream has, as far as it was read: numbers, in no order. */
    uint64_t *there;
    size_t nthere, cap;
    size_t entries;                           /* read in this pass */
    size_t large;                             /* of these, which Redis did not send */
    uint64_t again_at, connect_at, published; /* published: ord_own_count() when all of it was there */
    _Atomic uint64_t read_at;
};

static bool stopping(struct courier *c) {
    pthread_mutex_lock(&c->mu);
    bool yes = c->stopping;
    pthread_mutex_unlock(&c->mu);
    return yes;
}

static void drop(struct courier *c) {
    if (c->c != NULL) redisFree(c->c);
    c->c = NULL;
    c->connect_at = worker_now_ms() + BACK_MS;
}

static void complain(struct courier *c, const char *what, const char *why) {
    unsigned more = 0;
    if (log_due(log_fmt("orders %s", what), &more))
        log_event(
            LOG_WARN, "orders.redis", "what", what, "reason", why, "do",
            strncmp(why, "NOPERM", 6) == 0
                ? "give Redis's user the rights on the stream of orders that doc/ledger.md lists: until then blocks reach this node alone"
                : "blocks do not travel between nodes until Redis is back: run gatehousectl block on each of them",
            NULL);
    drop(c);
}

/* "MOVED SLOT HOST:PORT", of a Redis Cluster: the next connection goes there. */
static bool is_moved(struct courier *c, const redisReply *r) {
    if (!led_find_moved(c->conf.redis, r->str, &c->moved)) return false;
    drop(c);
    c->connect_at = 0;
    return true;
}

/* NULL, and the connection is gone, when Redis did not answer, for that reason, or said no. */
static redisReply *answer(struct courier *c, const char *what, redisReply *r, const char *why) {
    if (r != NULL && r->type != REDIS_REPLY_ERROR) return r;
    if (r == NULL || !is_moved(c, r)) complain(c, what, r != NULL ? r->str : why);
    if (r != NULL) freeReplyObject(r);
    return NULL;
}

static redisReply *ask(struct courier *c, const char *what, int argc, const char **argv) {
    redisReply *r = led_ask(c->c, argc, argv, NULL);
    return answer(c, what, r, c->c->errstr);
}

static bool connect_now(struct courier *c) {
    char why[300];
    c->c = led_dial(c->conf.redis, &c->moved, ANSWER_MS, why, sizeof why);
    if (c->c == NULL) complain(c, "connecting", why);
    c->pages = (struct led_pages){.conf = c->conf.redis, .wait_ms = LARGE_MS, .most = LARGE};
    c->again_at = 0;
    return c->c != NULL;
}

/* --- what is there --- */

static bool is_there(const struct courier *c, uint64_t seq) {
    for (size_t i = 0; i < c->nthere; i++)
        if (c->there[i] == seq) return true;
    return false;
}

static void note(struct courier *c, uint64_t seq) {
    if (is_there(c, seq)) return;
    if (c->nthere == c->cap) {
        size_t cap = c->cap == 0 ? 64 : c->cap * 2;
        uint64_t *more = reallocarray(c->there, cap, sizeof *more);
        if (more == NULL) return; /* it is written once more */
        c->there = more;
        c->cap = cap;
    }
    c->there[c->nthere++] = seq;
}

static uint64_t number_of(const char *text, size_t len) {
    json_t *o = json_read(text, len, 0, NULL);
    json_int_t n = json_integer_value(json_object_get(o, "seq"));
    json_decref(o);
    return n > 0 ? (uint64_t)n : 0;
}

static void take(struct courier *c, const struct ord_text *t) {
    char key[NODEKEY_PUBLIC_SIZE];
    bool own = strcmp(t->node, c->conf.node) == 0;
    bool listed = !own && c->conf.key_of(c->conf.arg, t->node, key);
    unsigned more = 0;
    enum ord_taken rc = ord_take(c->conf.orders, t, listed ? key : NULL);
    /* Only what is there as we wrote it: a forged one in its place must not keep us from writing it again. */
    if (own && (rc == ORD_TAKEN || rc == ORD_KNOWN)) note(c, number_of(t->text, t->text_len));
    switch (rc) {
    case ORD_TAKEN:
        log_event(own ? LOG_ERROR : LOG_WARN, "order.taken", "node", t->node, "reason",
                  own ? "this node's own order was in Redis and not in its orders.log: it was taken back" : NULL, NULL);
        break;
    case ORD_FORGED:
        if (log_due(log_fmt("order.refused %.64s", t->node), &more))
            log_event(LOG_ERROR, "order.refused", "node", t->node, "reason",
                      "an order in Redis does not have the signature of the node that it names, and does not count", "do",
                      "find out who writes to Redis; see that \"nodes\" has that node's key of today", NULL);
        break;
    case ORD_STRANGER:
        if (log_due(log_fmt("order.stranger %.64s", t->node), &more))
            log_event(LOG_WARN, "order.stranger", "node", t->node, "reason",
                      "orders of a node that the configuration does not list do not count here", "do",
                      "list its key under \"nodes\" if it is one of yours (gatehousectl status shows it there)", NULL);
        break;
    default: break;
    }
}

/* node, signed, signature: names and values in this order, as we write them. */
static void read_entry(struct courier *c, const redisReply *e) {
    const redisReply *f = e->type == REDIS_REPLY_ARRAY && e->elements == 2 ? e->element[1] : NULL;
    if (f == NULL || f->type != REDIS_REPLY_ARRAY || f->elements != 6) return;
    for (size_t i = 0; i < 6; i++)
        if (f->element[i]->type != REDIS_REPLY_STRING || f->element[i]->len > ENTRY_MAX) return;
    if (strcmp(f->element[0]->str, "node") != 0 || strcmp(f->element[2]->str, "signed") != 0 ||
        strcmp(f->element[4]->str, "signature") != 0 || f->element[1]->len > 64)
        return;
    take(c, &(struct ord_text){f->element[1]->str, f->element[3]->str, f->element[5]->str, f->element[3]->len});
}

/* Gives its id; NULL: it is no entry. */
static const char *take_entry(struct courier *c, const redisReply *e) {
    bool large;
    unsigned more = 0;
    const char *id = led_page_id(e, &large);
    c->entries++;
    if (!large) {
        read_entry(c, e);
        return id;
    }
    c->large++;
    if (log_due("orders.large", &more))
        log_event(LOG_ERROR, "orders.large", "stream", c->stream, "entry", id, "reason",
                  "it is larger than any order and was not read; what is behind it is", "do",
                  "find out who writes to Redis, and remove it: XDEL STREAM ENTRY", NULL);
    return id;
}

/* From behind last to the end. */
static bool read_on(struct courier *c) {
    for (size_t n = 1; n > 0 && !stopping(c);) {
        char from[64], why[300] = "";
        const char *id = NULL;
        snprintf(from, sizeof from, c->last[0] != '\0' ? "(%s" : "-", c->last);
        redisReply *r = answer(c, "reading", led_page(&c->c, &c->pages, c->stream, from, why, sizeof why), why);
        if (r == NULL) return false;
        n = r->type == REDIS_REPLY_ARRAY ? r->elements : 0;
        for (size_t i = 0; i < n; i++) id = take_entry(c, r->element[i]);
        if (id != NULL && strlen(id) < sizeof c->last)
            snprintf(c->last, sizeof c->last, "%s", id);
        else
            n = 0;
        freeReplyObject(r);
    }
    atomic_store(&c->read_at, worker_now_ms());
    return true;
}

/* --- what we have to say --- */

struct missing {
    struct courier *c;
    struct ord_text t; /* copies */
    uint64_t seq;
};

static bool find_missing(void *arg, uint64_t seq, const struct ord_text *t) {
    struct missing *m = arg;
    if (is_there(m->c, seq)) return true;
    m->seq = seq;
    m->t = (struct ord_text){m->c->conf.node, strdup(t->text), strdup(t->signature), t->text_len};
    return false;
}

static bool publish(struct courier *c) {
    uint64_t own = ord_own_count(c->conf.orders);
    for (;;) {
        struct missing m = {.c = c};
        ord_own(c->conf.orders, find_missing, &m);
        if (m.seq == 0) break;
        bool ok = m.t.text != NULL && m.t.signature != NULL;
        if (ok) {
            const char *argv[] = {"XADD", c->stream, "MAXLEN", "~",      STREAM_MAX,  "*",
                                  "node", m.t.node,  "signed", m.t.text, "signature", m.t.signature};
            redisReply *r = ask(c, "writing", 12, argv);
            ok = r != NULL;
            if (r != NULL) freeReplyObject(r);
            if (ok) note(c, m.seq);
        }
        free((void *)(uintptr_t)m.t.text);
        free((void *)(uintptr_t)m.t.signature);
        if (!ok || !is_there(c, m.seq)) return false;
    }
    c->published = own;
    return true;
}

static void round_trip(struct courier *c) {
    uint64_t now = worker_now_ms();
    if (c->c == NULL && (now < c->connect_at || !connect_now(c))) return;
    bool all = now >= c->again_at;
    size_t had = c->nthere;
    if (all) {
        c->last[0] = '\0';
        c->nthere = c->entries = c->large = 0;
    }
    if (!read_on(c)) return;
    if (all) {
        c->again_at = now + (c->entries > LONG || c->large > 0 ? LONG_MS : AGAIN_MS);
        if (had > c->nthere)
            log_event(LOG_WARN, "orders.gone", "orders", log_fmt("%zu", had - c->nthere), "reason",
                      "orders of this node are gone from Redis and are written there again; they count all the same", "do",
                      "unless Redis was restored or trimmed: find out who writes to it", NULL);
    }
    if (all || c->published != ord_own_count(c->conf.orders)) publish(c);
}

static void *run(void *arg) {
    struct courier *c = arg;
    while (!stopping(c)) {
        ord_sweep(c->conf.orders);
        round_trip(c);
        struct timespec until;
        clock_gettime(CLOCK_MONOTONIC, &until);
        until.tv_nsec += LOOK_MS * 1000000;
        until.tv_sec += until.tv_nsec / 1000000000;
        until.tv_nsec %= 1000000000;
        pthread_mutex_lock(&c->mu);
        if (!c->stopping && !c->hurry) pthread_cond_timedwait(&c->wake, &c->mu, &until);
        c->hurry = false;
        pthread_mutex_unlock(&c->mu);
    }
    return NULL;
}

struct courier *courier_start(const struct courier_conf *conf) {
    struct courier *c = calloc(1, sizeof *c);
    if (c == NULL) return NULL;
    c->conf = *conf;
    snprintf(c->stream, sizeof c->stream, "%sorders", conf->redis->redis_prefix != NULL ? conf->redis->redis_prefix : LEV_PREFIX);
    pthread_mutex_init(&c->mu, NULL);
    thread_cond_init(&c->wake);
    int rc = thread_start(&c->thread, 0, run, c);
    if (rc == 0) return c;
    free(c);
    return NULL;
}

void courier_hurry(struct courier *c) {
    if (c == NULL) return;
    pthread_mutex_lock(&c->mu);
    c->hurry = true;
    pthread_cond_signal(&c->wake);
    pthread_mutex_unlock(&c->mu);
}

void courier_stop(struct courier *c) {
    if (c == NULL) return;
    pthread_mutex_lock(&c->mu);
    c->stopping = true;
    pthread_cond_signal(&c->wake);
    pthread_mutex_unlock(&c->mu);
    pthread_join(c->thread, NULL);
    if (c->c != NULL) redisFree(c->c);
    pthread_cond_destroy(&c->wake);
    pthread_mutex_destroy(&c->mu);
    free(c->there);
    free(c);
}

uint64_t courier_read_at(const struct courier *c) { return c == NULL ? 0 : atomic_load(&c->read_at); }
