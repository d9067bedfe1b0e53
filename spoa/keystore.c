#include <config.h>

#include "spoa/keystore.h"

#include "spoa/keydoc.h"
#include "spoa/keyfetch.h"
#include "spoa/log.h"
#include "spoa/thread.h"

#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define UNSAID_MS   3600000u /* between two fetches when the provider does not say how long its keys are good */
#define BACKOFF_MS  1000u    /* after a first failure, then twice as long each time */
#define BACKOFF_MAX 300000u
#define IDLE_MS     60000u
#define TROUBLE_US  100000u /* when the library cannot wait for us */

/* What sources that are alike share. */
struct keybox {
    atomic_uint refs;
    struct keysource_conf conf; /* copied; never changes */
    pthread_mutex_t lock;       /* over what follows, up to the thread's own */
    struct keystore *store;     /* that fetches for it; NULL: nobody does */
    struct jwks *keys;
    uint64_t fetched_ms, started_ms; /* when the keys came; when the last fetch began; 0: never */
    bool tried, failing, fetching, wanted;
    char why[512];
    const char *word, *todo; /* of the failure, for the metrics; what to do */
    struct keywait *waiting;
    size_t nwaiting;
    /* the thread's own */
    struct keyfetch *fetch;
    char *jwks_uri; /* of discovery; NULL: to be found out */
    char *kids;     /* as they were logged */
    uint64_t due_ms;
    unsigned failures;
};
struct keysource {
    struct keybox *box;
};

struct keystore {
    CURLM *multi;
    pthread_t thread;
    struct mblock *m;
    pthread_mutex_t lock; /* over what follows */
    pthread_cond_t taken;
    struct keybox **boxes, **next; /* fetched for; and those that take their place, until the thread has seen them */
    size_t nboxes, nnext;
    bool stopping;
};

/* --- boxes --- */

static void box_unref(struct keybox *b) {
    if (b == NULL || atomic_fetch_sub(&b->refs, 1) != 1) return;
    jwks_unref(b->keys);
    free((char *)(uintptr_t)b->conf.issuer);
    free((char *)(uintptr_t)b->conf.jwks_url);
    free((char *)(uintptr_t)b->conf.ca);
    free(b->jwks_uri);
    free(b->kids);
    pthread_mutex_destroy(&b->lock);
    free(b);
}

static struct keybox *box_ref(struct keybox *b) {
    atomic_fetch_add(&b->refs, 1);
    return b;
}

static bool same(const char *a, const char *b) { return a == b || (a != NULL && b != NULL && strcmp(a, b) == 0); }

/* Keys that were fetched for one are good for the other. */
static bool same_origin(const struct keysource_conf *a, const struct keysource_conf *b) {
    return same(a->issuer, b->issuer) && same(a->jwks_url, b->jwks_url) && same(a->ca, b->ca) && a->allow_http == b->allow_http;
}

static bool alike(const struct keysource_conf *a, const struct keysource_conf *b) {
    return same_origin(a, b) && a->refresh_min_ms == b->refresh_min_ms && a->refresh_max_ms == b->refresh_max_ms &&
           a->refetch_ms == b->refetch_ms && a->timeout_ms == b->timeout_ms;
}

struct keysource *keysource_new(const struct keysource_conf *conf) {
    struct keysource *s = calloc(1, sizeof *s);
    struct keybox *b = calloc(1, sizeof *b);
    if (s == NULL || b == NULL) {
        free(s);
        free(b);
        return NULL;
    }
    atomic_init(&b->refs, 1);
    pthread_mutex_init(&b->lock, NULL);
    b->conf = *conf;
    b->conf.issuer = strdup(conf->issuer);
    b->conf.jwks_url = conf->jwks_url == NULL ? NULL : strdup(conf->jwks_url);
    b->conf.ca = conf->ca == NULL ? NULL : strdup(conf->ca);
    s->box = b;
    if (b->conf.issuer != NULL && (b->conf.jwks_url == NULL) == (conf->jwks_url == NULL) && (b->conf.ca == NULL) == (conf->ca == NULL))
        return s;
    keysource_free(s);
    return NULL;
}

void keysource_free(struct keysource *s) {
    if (s == NULL) return;
    box_unref(s->box);
    free(s);
}

const struct keysource_conf *keysource_conf(const struct keysource *s) { return &s->box->conf; }

struct jwks *keysource_keys(struct keysource *s) {
    struct keybox *b = s->box;
    pthread_mutex_lock(&b->lock);
    struct jwks *keys = b->keys == NULL ? NULL : jwks_ref(b->keys);
    pthread_mutex_unlock(&b->lock);
    return keys;
}

void keysource_status(struct keysource *s, struct keysource_status *out) {
    struct keybox *b = s->box;
    pthread_mutex_lock(&b->lock);
    *out = (struct keysource_status){.keys = b->keys == NULL ? 0 : jwks_count(b->keys),
                                     .waiting = b->nwaiting,
                                     .tried = b->tried,
                                     .failing = b->failing,
                                     .todo = b->todo,
                                     .age_seconds = b->keys == NULL ? 0 : (double)(worker_now_ms() - b->fetched_ms) / 1e3};
    memcpy(out->why, b->why, sizeof out->why);
    pthread_mutex_unlock(&b->lock);
}

/* --- who waits --- */

bool keysource_wait(struct keysource *s, struct keywait *w, struct worker *worker) {
    struct keybox *b = s->box;
    uint64_t now = worker_now_ms();
    pthread_mutex_lock(&b->lock);
    bool just_now = !b->fetching && !b->wanted && b->started_ms != 0 && now - b->started_ms < b->conf.refetch_ms;
    bool ok = b->store != NULL && !just_now && b->nwaiting < KEYS_WAITING_MAX;
    if (ok) {
        w->worker = worker;
        w->deadline_ms = now + KEYS_WAIT_MS;
        w->next = b->waiting;
        b->waiting = w;
        b->nwaiting++;
        if (!b->fetching) b->wanted = true;
        curl_multi_wakeup(b->store->multi);
    }
    pthread_mutex_unlock(&b->lock);
    return ok;
}

/* Lets go of those whose time is over, or of all. With the lock. When the next one's time is over; UINT64_MAX: nobody waits. */
static uint64_t let_go(struct keybox *b, uint64_t now, bool all) {
    uint64_t next = UINT64_MAX;
    for (struct keywait **at = &b->waiting; *at != NULL;) {
        struct keywait *w = *at;
        if (!all && now < w->deadline_ms) {
            if (w->deadline_ms < next) next = w->deadline_ms;
            at = &w->next;
            continue;
        }
        *at = w->next;
        b->nwaiting--;
        worker_post(w->worker, &w->msg); /* w may be gone from here on */
    }
    return next;
}

/* --- a fetch --- */

static uint64_t between(uint64_t v, uint64_t min, uint64_t max) { return v < min ? min : v > max ? max : v; }

static const char *advice(const char *word) {
    static const struct {
        const char *word, *todo;
    } table[] = {
        {"timeout", "see that the provider answers from this machine: curl -v its address; a firewall may drop the packets"},
        {"unreachable", "see that the provider can be reached from this machine, without a proxy: name service, routes, firewall"},
        {"tls", "name the authority that signed the provider's certificate in identity.issuers.ca_file, or correct the certificate or the "
                "address"},
        {"status", "correct identity.issuers.jwks_url, or issuer for discovery: the address must answer with 200 itself"},
        {"discovery", "make identity.issuers.issuer what the provider's discovery document says, byte for byte, or use jwks_url"},
        {"not a key set", "correct identity.issuers.jwks_url: the answer must be a JWK set with a key that can verify"},
        {"too large", "correct the address: no key set is that large"},
    };
    for (size_t i = 0; i < sizeof table / sizeof *table; i++)
        if (strcmp(table[i].word, word) == 0) return table[i].todo;
    return "see the reason";
}

static void count(struct keystore *k, const struct keybox *b, const char *result) {
    if (k->m != NULL) m_count(k->m, M_KEY_FETCHES, b->conf.issuer, result, NULL);
}

/* A failure: the keys stay, whoever waits is told, and the next try comes later each time. */
static void failed(struct keystore *k, struct keybox *b, const char *word, const char *why) {
    uint64_t backoff = BACKOFF_MS << (b->failures < 16 ? b->failures : 16);
    b->failures++;
    b->due_ms = worker_now_ms() + between(backoff, BACKOFF_MS, BACKOFF_MAX);
    free(b->jwks_uri); /* it may have moved */
    b->jwks_uri = NULL;
    count(k, b, word);
    pthread_mutex_lock(&b->lock);
    bool news = !b->failing || !same(b->word, word);
    size_t kept = b->keys == NULL ? 0 : jwks_count(b->keys);
    snprintf(b->why, sizeof b->why, "%s", why);
    b->word = word;
    b->todo = advice(word);
    b->tried = b->failing = true;
    b->fetching = false;
    let_go(b, 0, true);
    pthread_mutex_unlock(&b->lock);
    if (news)
        log_event(LOG_WARN, "keys.failed", "issuer", b->conf.issuer, "reason", why, "kept", log_fmt("%zu", kept), "do", advice(word), NULL);
}

static char *kids_of(const struct jwks *keys) {
    char *text = NULL;
    size_t size = 0;
    FILE *f = open_memstream(&text, &size);
    if (f == NULL) return NULL;
    for (size_t i = 0; i < jwks_count(keys) && size < 1000; i++) {
        fprintf(f, "%s%s", i > 0 ? "," : "", jwks_kid(keys, i)[0] != '\0' ? jwks_kid(keys, i) : "(none)");
        fflush(f);
    }
    fclose(f);
    return text;
}

static void arrived(struct keystore *k, struct keybox *b, struct jwks *keys, int64_t max_age) {
    uint64_t now = worker_now_ms(), keep = max_age < 0 ? UNSAID_MS : (uint64_t)max_age * 1000u;
    char *kids = kids_of(keys);
    bool news = b->failures > 0 || !same(kids, b->kids);
    b->failures = 0;
    b->due_ms = now + between(keep, b->conf.refresh_min_ms, b->conf.refresh_max_ms);
    free(b->kids);
    b->kids = kids;
    count(k, b, "ok");
    pthread_mutex_lock(&b->lock);
    struct jwks *old = b->keys;
    b->keys = keys;
    b->fetched_ms = now;
    b->why[0] = '\0';
    b->todo = NULL;
    b->tried = true;
    b->failing = b->fetching = false;
    let_go(b, 0, true);
    pthread_mutex_unlock(&b->lock);
    if (news)
        log_event(LOG_INFO, "keys.fetched", "issuer", b->conf.issuer, "keys", log_fmt("%zu", jwks_count(keys)), "kids", kids, "next_s",
                  log_fmt("%llu", (unsigned long long)(b->due_ms - now) / 1000u), NULL);
    jwks_unref(old);
}

/* Of the discovery document first, where the configuration does not say. */
static void begin(struct keystore *k, struct keybox *b) {
    const char *url = b->conf.jwks_url != NULL ? b->conf.jwks_url : b->jwks_uri;
    char *discovery = url == NULL ? keydoc_discovery_url(b->conf.issuer) : NULL;
    const struct keyfetch_conf conf = {
        .url = url != NULL ? url : discovery, .ca = b->conf.ca, .allow_http = b->conf.allow_http, .timeout_ms = b->conf.timeout_ms};
    b->fetch = conf.url == NULL ? NULL : keyfetch_start(k->multi, &conf, b);
    free(discovery);
    if (b->fetch == NULL) failed(k, b, "unreachable", "out of memory");
}

static void fetched(struct keystore *k, struct keyfetch *f, CURLcode code) {
    struct keybox *b = keyfetch_owner(f);
    struct cur text;
    int64_t max_age;
    char why[512];
    bool discovery = b->conf.jwks_url == NULL && b->jwks_uri == NULL;
    const char *word = keyfetch_result(f, code, &text, &max_age, why, sizeof why);
    b->fetch = NULL;
    if (word != NULL)
        failed(k, b, word, log_fmt("%s: %s", discovery ? "discovery document" : "key set", why));
    else if (discovery) {
        b->jwks_uri = keydoc_jwks_uri((const char *)text.p, cur_left(&text), b->conf.issuer, b->conf.allow_http, why, sizeof why);
        if (b->jwks_uri == NULL)
            failed(k, b, "discovery", why);
        else
            begin(k, b);
    } else {
        struct jwks *keys = jwks_parse((const char *)text.p, cur_left(&text), why, sizeof why);
        if (keys == NULL)
            failed(k, b, "not a key set", why);
        else
            arrived(k, b, keys, max_age);
        if (b->conf.jwks_url == NULL) { /* it is looked up each time: a provider may move its keys */
            free(b->jwks_uri);
            b->jwks_uri = NULL;
        }
    }
    keyfetch_free(k->multi, f);
}

/* --- the thread --- */

/* Starts what is due. When to look again. */
static uint64_t step(struct keystore *k, struct keybox *b, uint64_t now) {
    pthread_mutex_lock(&b->lock);
    bool wanted = b->wanted && !b->fetching;
    bool start = !b->fetching && (wanted || now >= b->due_ms);
    if (start) {
        b->fetching = true;
        b->wanted = false;
        b->started_ms = now;
    }
    uint64_t next = let_go(b, now, false);
    pthread_mutex_unlock(&b->lock);
    if (start) begin(k, b);
    if (b->fetch == NULL && b->due_ms < next) next = b->due_ms;
    return next;
}

static void collect(struct keystore *k) {
    int left, running;
    curl_multi_perform(k->multi, &running);
    for (CURLMsg *m; (m = curl_multi_info_read(k->multi, &left)) != NULL;) {
        struct keyfetch *f = m->msg == CURLMSG_DONE ? keyfetch_of(m->easy_handle) : NULL;
        if (f != NULL) fetched(k, f, m->data.result);
    }
}

/* Nobody fetches for it any more. */
static void retire(struct keystore *k, struct keybox *b) {
    keyfetch_free(k->multi, b->fetch);
    b->fetch = NULL;
    pthread_mutex_lock(&b->lock);
    b->store = NULL;
    b->fetching = b->wanted = false;
    let_go(b, 0, true);
    pthread_mutex_unlock(&b->lock);
    box_unref(b);
}

static bool holds(struct keybox *const *boxes, size_t n, const struct keybox *b) {
    for (size_t i = 0; i < n; i++)
        if (boxes[i] == b) return true;
    return false;
}

/* What keystore_use() left, with the lock. */
static void take_next(struct keystore *k) {
    if (k->next == NULL) return;
    for (size_t i = 0; i < k->nboxes; i++) {
        if (holds(k->next, k->nnext, k->boxes[i]))
            box_unref(k->boxes[i]);
        else
            retire(k, k->boxes[i]);
    }
    free(k->boxes);
    k->boxes = k->next;
    k->nboxes = k->nnext;
    k->next = NULL;
    k->nnext = 0;
    pthread_cond_broadcast(&k->taken);
}

/* Nobody else touches the multi handle but to wake it, nor k->boxes but to read it. */
static void *run(void *arg) {
    struct keystore *k = arg;
    for (;;) {
        pthread_mutex_lock(&k->lock);
        take_next(k);
        bool stop = k->stopping;
        pthread_mutex_unlock(&k->lock);
        if (stop) return NULL;
        collect(k);
        uint64_t now = worker_now_ms(), next = now + IDLE_MS;
        for (size_t i = 0; i < k->nboxes; i++) {
            uint64_t when = step(k, k->boxes[i], now);
            if (when < next) next = when;
        }
        now = worker_now_ms();
        if (curl_multi_poll(k->multi, NULL, 0, next > now ? (int)(next - now) : 0, NULL) != CURLM_OK) usleep(TROUBLE_US);
    }
}

struct keystore *keystore_start(struct mblock *m) {
    struct keystore *k = calloc(1, sizeof *k);
    if (k == NULL) return NULL;
    pthread_mutex_init(&k->lock, NULL);
    pthread_cond_init(&k->taken, NULL);
    k->m = m;
    k->multi = curl_global_init(CURL_GLOBAL_DEFAULT) == CURLE_OK ? curl_multi_init() : NULL;
    bool ok = k->multi != NULL && thread_start(&k->thread, 0, run, k) == 0;
    if (ok) return k;
    if (k->multi != NULL) curl_multi_cleanup(k->multi);
    pthread_cond_destroy(&k->taken);
    pthread_mutex_destroy(&k->lock);
    free(k);
    return NULL;
}

static struct keybox *find(struct keybox *const *boxes, size_t n, const struct keysource_conf *conf,
                           bool (*fits)(const struct keysource_conf *, const struct keysource_conf *)) {
    for (size_t i = 0; i < n; i++)
        if (fits(&boxes[i]->conf, conf)) return boxes[i];
    return NULL;
}

/* The keys of a source that only differs in how often it asks. b is not in use yet. */
static void inherit(struct keybox *b, struct keybox *from) {
    pthread_mutex_lock(&from->lock);
    b->keys = from->keys == NULL ? NULL : jwks_ref(from->keys);
    b->fetched_ms = from->fetched_ms;
    pthread_mutex_unlock(&from->lock);
}

bool keystore_use(struct keystore *k, struct keysource *const *sources, size_t n) {
    struct keybox **next = calloc(n + 1, sizeof(struct keybox *));
    size_t nnext = 0;
    if (next == NULL) return false;
    pthread_mutex_lock(&k->lock);
    while (k->next != NULL) pthread_cond_wait(&k->taken, &k->lock);
    for (size_t i = 0; i < n; i++) {
        if (sources[i] == NULL) continue;
        struct keysource *s = sources[i];
        struct keybox *known = find(k->boxes, k->nboxes, &s->box->conf, alike);
        if (known == NULL) known = find(next, nnext, &s->box->conf, alike);
        struct keybox *older = known == NULL ? find(k->boxes, k->nboxes, &s->box->conf, same_origin) : NULL;
        if (known != NULL && known != s->box) {
            box_unref(s->box);
            s->box = box_ref(known);
        } else if (older != NULL)
            inherit(s->box, older);
        if (holds(next, nnext, s->box)) continue;
        next[nnext++] = box_ref(s->box);
        pthread_mutex_lock(&s->box->lock);
        s->box->store = k;
        pthread_mutex_unlock(&s->box->lock);
    }
    k->next = next;
    k->nnext = nnext;
    pthread_mutex_unlock(&k->lock);
    curl_multi_wakeup(k->multi);
    return true;
}

void keystore_stop(struct keystore *k) {
    if (k == NULL) return;
    pthread_mutex_lock(&k->lock);
    k->stopping = true;
    pthread_mutex_unlock(&k->lock);
    curl_multi_wakeup(k->multi);
    pthread_join(k->thread, NULL);
    take_next(k);
    for (size_t i = 0; i < k->nboxes; i++) retire(k, k->boxes[i]);
    free(k->boxes);
    curl_multi_cleanup(k->multi);
    pthread_cond_destroy(&k->taken);
    pthread_mutex_destroy(&k->lock);
    free(k);
}
