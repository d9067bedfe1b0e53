#include <config.h>

#include "spoa/hooks.h"

#include "filters/bytes.h"
#include "spoa/log.h"
#include "spoa/mask.h"
#include "spoa/thread.h"
#include "spoa/worker.h"

#include <openssl/rand.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <time.h>
#include <unistd.h>

#define QUEUE_BYTES ((size_t)16 << 20) /* of one hook's queue */
#define BACK_MS     500u               /* before the second attempt; twice that before the third ... */
#define BACK_MAX_MS 60000u
#define RUNNERS     16u

static const struct {
    unsigned bit;
    const char *name, *also; /* also: events that belong to it begin so */
} events[HOOK_EVENTS] = {{HOOK_REQUEST, "request", NULL}, {HOOK_DECISION, "decision", NULL},
                         {HOOK_REFUSAL, "refusal", NULL}, {HOOK_BLOCK, "block", "unblock"},
                         {HOOK_GRANT, "grant", "grant."}, {HOOK_BREAKGLASS, "breakglass", "breakglass."}};

const char *hook_event_name(unsigned bit) {
    for (size_t i = 0; i < HOOK_EVENTS; i++)
        if (events[i].bit == bit) return events[i].name;
    return NULL;
}

static unsigned bit_of(const char *event) {
    for (size_t i = 0; i < HOOK_EVENTS; i++) {
        size_t n = events[i].also == NULL ? 0 : strlen(events[i].also);
        if (strcmp(events[i].name, event) == 0 || (n > 0 && strncmp(events[i].also, event, n) == 0)) return events[i].bit;
    }
    return 0;
}

struct item {
    struct item *next;
    char event[32], id[33];
    size_t bytes;
    char body[];
};

/* A hook at work. */
struct runner {
    struct hooks *of;
    struct hook_conf conf; /* a deep copy */
    pthread_t thread;
    pthread_mutex_t mu;
    pthread_cond_t wake;
    struct item *head, **tail; /* guarded by mu, as all below */
    size_t n, bytes;
    uint64_t lost, held_back; /* since the last one that was taken in: for want of room; refusals beyond their rate */
    uint64_t minute, refusals;
    _Atomic bool stop;
    int stop_fd;
};

struct hooks {
    char *node;
    const struct nodekey *key;
    pthread_mutex_t mu;
    struct runner *list[RUNNERS], *old[RUNNERS]; /* guarded by mu; old: told to stop */
    size_t n, nold;
    _Atomic unsigned wanted;
    _Atomic uint64_t delivered, failed, dropped;
};

/* --- a copy of a hook's configuration --- */

static void conf_drop(struct hook_conf *c) {
    const char *texts[] = {c->name, c->url, c->ca};
    for (size_t i = 0; i < sizeof texts / sizeof *texts; i++) free((void *)(uintptr_t)texts[i]);
    if (c->secret != NULL) secret_free((char *)(uintptr_t)c->secret);
    for (size_t i = 0; c->command.argv != NULL && c->command.argv[i] != NULL; i++) free((void *)(uintptr_t)c->command.argv[i]);
    free((void *)(uintptr_t)c->command.argv);
    free((void *)(uintptr_t)c->command.groups);
}

static bool copy(const char **s) { return *s == NULL || (*s = strdup(*s)) != NULL; }

static bool copy_command(struct secret_command *c) {
    size_t n = 0;
    while (c->argv != NULL && c->argv[n] != NULL) n++;
    const char **argv = c->argv == NULL ? NULL : calloc(n + 1, sizeof *argv);
    gid_t *groups = c->groups == NULL ? NULL : calloc(c->ngroups + 1, sizeof *groups);
    bool ok = (c->argv == NULL || argv != NULL) && (c->groups == NULL || groups != NULL);
    for (size_t i = 0; ok && i < n; i++) ok = (argv[i] = strdup(c->argv[i])) != NULL;
    if (ok && groups != NULL) memcpy(groups, c->groups, c->ngroups * sizeof *groups);
    c->argv = argv;
    c->groups = groups;
    return ok;
}

static bool conf_copy(struct hook_conf *to, const struct hook_conf *from) {
    char why[200];
    *to = *from;
    to->secret = from->secret == NULL ? NULL : secret_take(from->secret, strlen(from->secret), "a hook", why, sizeof why);
    bool ok = (to->secret != NULL) == (from->secret != NULL);
    ok = copy(&to->name) && ok;
    ok = copy(&to->url) && ok;
    ok = copy(&to->ca) && ok;
    return copy_command(&to->command) && ok;
}

static bool same(const char *a, const char *b) { return a == b || (a != NULL && b != NULL && strcmp(a, b) == 0); }

static bool same_conf(const struct hook_conf *a, const struct hook_conf *b) {
    const char *const *x = a->command.argv, *const *y = b->command.argv;
    if ((x == NULL) != (y == NULL)) return false;
    for (; x != NULL && *x != NULL && same(*x, *y); x++, y++) continue;
    return (x == NULL || *x == *y) && same(a->name, b->name) && same(a->url, b->url) && same(a->ca, b->ca) && same(a->secret, b->secret) &&
           a->events == b->events && a->sql == b->sql && a->node_signs == b->node_signs && a->allow_http == b->allow_http &&
           a->timeout_ms == b->timeout_ms && a->queue == b->queue && a->attempts == b->attempts && a->refusals == b->refusals;
}

/* --- a runner's thread --- */

static bool nap(struct runner *r, uint64_t ms) {
    struct timespec until;
    clock_gettime(CLOCK_MONOTONIC, &until);
    until.tv_sec += (time_t)(ms / 1000);
    until.tv_nsec += (long)(ms % 1000) * 1000000;
    until.tv_sec += until.tv_nsec / 1000000000;
    until.tv_nsec %= 1000000000;
    pthread_mutex_lock(&r->mu);
    while (!atomic_load(&r->stop) && pthread_cond_timedwait(&r->wake, &r->mu, &until) == 0) continue;
    pthread_mutex_unlock(&r->mu);
    return !atomic_load(&r->stop);
}

static bool attempt(struct runner *r, const struct item *i, bool *again, char *why, size_t size) {
    *again = true;
    if (r->conf.url != NULL)
        return hook_post(&(struct hook_try){&r->conf, r->of->key, i->event, i->id, i->body, &r->stop}, again, why, size);
    struct secret_command c = r->conf.command;
    c.timeout_ms = (unsigned)r->conf.timeout_ms;
    c.stop_fd = r->stop_fd;
    return command_tell(&c, i->body, strlen(i->body), why, size);
}

static void deliver(struct runner *r, const struct item *i) {
    char why[400] = "";
    uint64_t back = BACK_MS;
    bool again = true;
    unsigned more = 0;
    for (uint64_t n = 1; !atomic_load(&r->stop); n++) {
        if (attempt(r, i, &again, why, sizeof why)) {
            atomic_fetch_add(&r->of->delivered, 1);
            return;
        }
        if (log_due(log_fmt("hook.failed %s %s", r->conf.name, why), &more))
            log_event(LOG_WARN, "hook.failed", "hook", r->conf.name, "event", i->event, "reason", why, "do",
                      r->conf.url != NULL ? "see that its url answers with 2xx"
                                          : "run the command by hand, with the event's JSON on its input",
                      NULL);
        if (!again || n >= r->conf.attempts || !nap(r, back)) break;
        back = back * 2 > BACK_MAX_MS ? BACK_MAX_MS : back * 2;
    }
    atomic_fetch_add(&r->of->failed, 1);
}

static void *run(void *arg) {
    struct runner *r = arg;
    for (;;) {
        pthread_mutex_lock(&r->mu);
        while (!atomic_load(&r->stop) && r->head == NULL) pthread_cond_wait(&r->wake, &r->mu);
        struct item *i = atomic_load(&r->stop) ? NULL : r->head;
        pthread_mutex_unlock(&r->mu);
        if (i == NULL) break;
        deliver(r, i);
        pthread_mutex_lock(&r->mu);
        r->head = i->next;
        if (r->head == NULL) r->tail = &r->head;
        r->n--;
        r->bytes -= i->bytes;
        pthread_mutex_unlock(&r->mu);
        free(i);
    }
    return NULL;
}

static void runner_free(struct runner *r) {
    for (struct item *i = r->head; i != NULL;) {
        struct item *next = i->next;
        free(i);
        i = next;
    }
    conf_drop(&r->conf);
    if (r->stop_fd >= 0) close(r->stop_fd);
    pthread_cond_destroy(&r->wake);
    pthread_mutex_destroy(&r->mu);
    free(r);
}

static struct runner *runner_start(struct hooks *h, const struct hook_conf *conf) {
    struct runner *r = calloc(1, sizeof *r);
    if (r == NULL) return NULL;
    r->of = h;
    r->tail = &r->head;
    pthread_mutex_init(&r->mu, NULL);
    thread_cond_init(&r->wake);
    r->stop_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
    bool ok = conf_copy(&r->conf, conf) && r->stop_fd >= 0;
    ok = ok && thread_start(&r->thread, 0, run, r) == 0;
    if (ok) return r;
    runner_free(r);
    return NULL;
}

static void tell_to_stop(struct runner *r) {
    pthread_mutex_lock(&r->mu);
    atomic_store(&r->stop, true);
    pthread_cond_broadcast(&r->wake);
    pthread_mutex_unlock(&r->mu);
    (void)eventfd_write(r->stop_fd, 1);
}

/* --- telling --- */

/* What leaves the house. Parameters, fingerprints and keys stay; statements go where that is asked for. */
static json_t *shown(const json_t *what, bool sql) {
    static const char *const keys[] = {"id",        "status", "principal", "issuer",  "groups",  "database", "session",    "src",
                                       "rule",      "asks",   "reason",    "created", "expires", "use_by",   "statements", "relations",
                                       "decisions", "what",   "value",     "by",      "since",   "until",    "request",    "scope",
                                       "approvers", "grant",  "sqlstate",  "message", "node",    "for",      NULL},
                             *const texts[] = {"sql", "sql_cut", "sql_not_ascii", NULL};
    json_t *out = json_object();
    for (const char *const *k = keys; *k != NULL; k++) json_object_set(out, *k, json_object_get(what, *k));
    for (const char *const *k = texts; sql && *k != NULL; k++) json_object_set(out, *k, json_object_get(what, *k));
    return out;
}

static struct item *item_new(const struct runner *r, const char *event, const json_t *what, uint64_t lost, uint64_t held_back) {
    uint8_t random[16];
    char id[33] = "", at[40];
    struct timespec now;
    struct tm tm;
    if (RAND_bytes(random, sizeof random) != 1) return NULL;
    gh_hex(id, random, sizeof random);
    clock_gettime(CLOCK_REALTIME, &now);
    gmtime_r(&now.tv_sec, &tm);
    size_t n = strftime(at, 24, "%Y-%m-%dT%H:%M:%S", &tm);
    snprintf(at + n, sizeof at - n, ".%03ldZ", now.tv_nsec / 1000000);
    json_t *o = json_pack("{s:s, s:s, s:s, s:s, s:o}", "event", event, "id", id, "time", at, "node", r->of->node, "about",
                          shown(what, r->conf.sql));
    if (o != NULL && lost > 0) json_object_set_new(o, "lost", json_integer((json_int_t)lost));
    if (o != NULL && held_back > 0) json_object_set_new(o, "refusals_held_back", json_integer((json_int_t)held_back));
    char *text = o == NULL ? NULL : json_dumps(o, JSON_COMPACT | JSON_ENSURE_ASCII);
    json_decref(o);
    if (text != NULL) mask_string(text, false); /* a token in somebody's reason */
    size_t len = text == NULL ? 0 : strlen(text) + 1;
    struct item *i = text == NULL ? NULL : calloc(1, sizeof *i + len);
    if (i != NULL) {
        memcpy(i->body, text, len);
        memcpy(i->id, id, sizeof id);
        snprintf(i->event, sizeof i->event, "%s", event);
        i->bytes = sizeof *i + len;
    }
    free(text);
    return i;
}

/* mu is held: a refusal more would be too many in this minute. */
static bool too_many(struct runner *r) {
    uint64_t minute = worker_now_ms() / 60000;
    if (minute != r->minute) r->refusals = 0;
    r->minute = minute;
    return ++r->refusals > r->conf.refusals;
}

static void hand_over(struct runner *r, const char *event, unsigned bit, const json_t *what) {
    unsigned more = 0;
    pthread_mutex_lock(&r->mu);
    bool full = r->n >= r->conf.queue || r->bytes >= QUEUE_BYTES;
    if (!full && bit == HOOK_REFUSAL && too_many(r)) {
        r->held_back++;
        pthread_mutex_unlock(&r->mu);
        return;
    }
    struct item *i = full ? NULL : item_new(r, event, what, r->lost, r->held_back);
    if (i != NULL) {
        r->lost = r->held_back = 0;
        *r->tail = i;
        r->tail = &i->next;
        r->n++;
        r->bytes += i->bytes;
        pthread_cond_signal(&r->wake);
    } else {
        r->lost++;
        atomic_fetch_add(&r->of->dropped, 1);
    }
    pthread_mutex_unlock(&r->mu);
    if (i == NULL && log_due(log_fmt("hook.full %s", r->conf.name), &more))
        log_event(LOG_WARN, "hook.full", "hook", r->conf.name, "event", event, "reason",
                  full ? "its queue is full: events are left out" : "out of memory", "do",
                  "see why it does not take them; the next event that it gets says how many are lost", NULL);
}

bool hooks_want(const struct hooks *h, unsigned bits) {
    return h != NULL && (atomic_load_explicit(&h->wanted, memory_order_relaxed) & bits) != 0;
}

void hooks_tell(void *arg, const char *event, const json_t *what) {
    struct hooks *h = arg;
    unsigned bit = bit_of(event);
    if (what == NULL || !hooks_want(h, bit)) return;
    pthread_mutex_lock(&h->mu);
    for (size_t i = 0; i < h->n; i++)
        if (h->list[i]->conf.events & bit) hand_over(h->list[i], event, bit, what);
    pthread_mutex_unlock(&h->mu);
}

void hooks_stats(const struct hooks *h, struct hooks_stats *out) {
    *out = (struct hooks_stats){0};
    if (h == NULL) return;
    *out = (struct hooks_stats){atomic_load(&h->delivered), atomic_load(&h->failed), atomic_load(&h->dropped)};
}

/* --- life --- */

struct hooks *hooks_new(const char *node, const struct nodekey *key) {
    struct hooks *h = calloc(1, sizeof *h);
    if (h == NULL) return NULL;
    h->node = strdup(node);
    h->key = key;
    pthread_mutex_init(&h->mu, NULL);
    if (h->node != NULL) return h;
    free(h);
    return NULL;
}

static void join_old(struct hooks *h) {
    for (size_t i = 0; i < h->nold; i++) {
        pthread_join(h->old[i]->thread, NULL);
        runner_free(h->old[i]);
    }
    h->nold = 0;
}

bool hooks_use(struct hooks *h, const struct hook_conf *conf, size_t n) {
    struct runner *kept[RUNNERS] = {0};
    unsigned wanted = 0;
    bool ok = n <= RUNNERS;
    join_old(h); /* of the reload before this one: long since done */
    pthread_mutex_lock(&h->mu);
    for (size_t i = 0; i < h->n; i++) {
        size_t k = 0;
        while (k < n && (k >= RUNNERS || kept[k] != NULL || !same_conf(&h->list[i]->conf, &conf[k]))) k++;
        if (k < n)
            kept[k] = h->list[i];
        else {
            tell_to_stop(h->list[i]);
            h->old[h->nold++] = h->list[i];
        }
    }
    h->n = 0;
    for (size_t k = 0; k < n && k < RUNNERS; k++) {
        struct runner *r = kept[k] != NULL ? kept[k] : runner_start(h, &conf[k]);
        ok = ok && r != NULL;
        if (r == NULL) continue;
        h->list[h->n++] = r;
        wanted |= r->conf.events;
    }
    pthread_mutex_unlock(&h->mu);
    atomic_store(&h->wanted, wanted);
    return ok;
}

void hooks_free(struct hooks *h) {
    if (h == NULL) return;
    hooks_use(h, NULL, 0);
    join_old(h);
    pthread_mutex_destroy(&h->mu);
    free(h->node);
    free(h);
}
