#include <config.h>

#include "spoa/ledger_find.h"

#include "spoa/thread.h"

#include <arpa/inet.h>
#include <hiredis/hiredis.h>
#include <netdb.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <unistd.h>

#define SENTINELS_MAX 16
#define HOST_MAX      256

struct led_find {
    _Atomic int refs, done; /* done: 1 found, -1 not */
    int wakefd;             /* a duplicate */
    struct led_place place;
    char why[400];
    /* copies: the ledger may be gone before the thread is */
    char host[HOST_MAX], master[HOST_MAX];
    char sentinels[SENTINELS_MAX][HOST_MAX];
    size_t nsentinels;
    uint64_t timeout_ms;
};

static bool resolve(const char *host, struct led_place *p, char *why, size_t size) {
    struct addrinfo hints = {.ai_socktype = SOCK_STREAM, .ai_flags = AI_ADDRCONFIG}, *found = NULL;
    int rc = getaddrinfo(host, NULL, &hints, &found);
    if (rc == 0) rc = getnameinfo(found->ai_addr, found->ai_addrlen, p->addr, sizeof p->addr, NULL, 0, NI_NUMERICHOST);
    if (found != NULL) freeaddrinfo(found);
    if (rc != 0) snprintf(why, size, "cannot find Redis's host %s: %s", host, gai_strerror(rc));
    return rc == 0;
}

/* "HOST:PORT" or "[ADDRESS]:PORT". */
static bool split(const char *where, char host[HOST_MAX], int *port) {
    const char *colon = strrchr(where, ':');
    size_t n = colon == NULL ? 0 : (size_t)(colon - where);
    if (n == 0 || n >= HOST_MAX) return false;
    bool brackets = where[0] == '[' && where[n - 1] == ']';
    memcpy(host, where + brackets, n - 2 * (size_t)brackets);
    host[n - 2 * (size_t)brackets] = '\0';
    *port = atoi(colon + 1);
    return *port > 0 && *port < 65536;
}

/* What a Sentinel says, as host and port; the host may be a name (resolve-hostnames). */
static bool take_place(const redisReply *r, struct led_place *p, char *why, size_t size) {
    if (r->type != REDIS_REPLY_ARRAY || r->elements != 2 || r->element[0]->type != REDIS_REPLY_STRING ||
        r->element[1]->type != REDIS_REPLY_STRING)
        return false;
    int port = atoi(r->element[1]->str);
    p->port = (uint16_t)port;
    return port > 0 && port < 65536 && resolve(r->element[0]->str, p, why, size);
}

static bool ask_one(const struct led_find *f, const char *where, struct led_place *p, char *why, size_t size) {
    char host[HOST_MAX];
    int port;
    uint64_t ms = f->timeout_ms / 4 < 100 ? 100 : f->timeout_ms / 4;
    const struct timeval patience = {(time_t)(ms / 1000), (suseconds_t)(ms % 1000 * 1000)};
    if (!split(where, host, &port)) {
        snprintf(why, size, "%s is not HOST:PORT", where);
        return false;
    }
    redisContext *c = redisConnectWithTimeout(host, port, patience);
    bool ok = c != NULL && c->err == 0 && redisSetTimeout(c, patience) == REDIS_OK;
    redisReply *r = ok ? redisCommand(c, "SENTINEL get-master-addr-by-name %s", f->master) : NULL;
    if (r == NULL)
        snprintf(why, size, "the Sentinel %s does not answer: %s", where, c == NULL ? "out of memory" : c->errstr);
    else if (r->type == REDIS_REPLY_ERROR)
        snprintf(why, size, "the Sentinel %s: %s", where, r->str);
    else
        snprintf(why, size, "the Sentinel %s knows no master %s", where, f->master);
    ok = r != NULL && take_place(r, p, why, size);
    if (r != NULL) freeReplyObject(r);
    if (c != NULL) redisFree(c);
    return ok;
}

static bool find(const struct led_find *f, struct led_place *p, char *why, size_t size) {
    if (f->nsentinels == 0) return resolve(f->host, p, why, size);
    for (size_t i = 0; i < f->nsentinels; i++)
        if (ask_one(f, f->sentinels[i], p, why, size)) return true;
    return false;
}

static void fill(struct led_find *f, const struct led_conf *conf) {
    f->timeout_ms = conf->timeout_ms;
    f->place.port = conf->redis_port;
    for (const char *const *s = conf->redis_sentinels; s != NULL && *s != NULL && f->nsentinels < SENTINELS_MAX; s++)
        snprintf(f->sentinels[f->nsentinels++], HOST_MAX, "%s", *s);
    snprintf(f->host, HOST_MAX, "%s", conf->redis_host != NULL ? conf->redis_host : "");
    snprintf(f->master, HOST_MAX, "%s", conf->redis_master != NULL ? conf->redis_master : "");
}

bool led_find_now(const struct led_conf *conf, struct led_place *place, char *why, size_t size) {
    struct led_find *f = calloc(1, sizeof *f);
    if (f == NULL) return false;
    fill(f, conf);
    *place = f->place;
    bool ok = find(f, place, why, size);
    free(f);
    return ok;
}

static void *find_main(void *arg) {
    struct led_find *f = arg;
    bool ok = find(f, &f->place, f->why, sizeof f->why);
    atomic_store(&f->done, ok ? 1 : -1);
    (void)eventfd_write(f->wakefd, 1);
    led_find_release(f);
    return NULL;
}

struct led_find *led_find_start(const struct led_conf *conf, int wakefd) {
    struct led_find *f = calloc(1, sizeof *f);
    pthread_t t;
    if (f == NULL) return NULL;
    fill(f, conf);
    f->refs = 2;
    f->wakefd = dup(wakefd);
    if (f->wakefd < 0 || thread_start(&t, 0, find_main, f) != 0) {
        if (f->wakefd >= 0) close(f->wakefd);
        free(f);
        return NULL;
    }
    pthread_detach(t);
    return f;
}

int led_find_done(struct led_find *f, struct led_place *place, char *why, size_t size) {
    int done = atomic_load(&f->done);
    if (done > 0) *place = f->place;
    if (done < 0) snprintf(why, size, "%s", f->why);
    return done;
}

void led_find_release(struct led_find *f) {
    if (f == NULL || atomic_fetch_sub(&f->refs, 1) != 1) return;
    close(f->wakefd);
    free(f);
}

bool led_find_moved(const struct led_conf *conf, const char *error, struct led_place *place) {
    char host[INET6_ADDRSTRLEN] = "";
    unsigned port = 0;
    if (conf->redis_prefix == NULL || strchr(conf->redis_prefix, '{') == NULL || sscanf(error, "MOVED %*u %45[0-9a-fA-F.:]", host) != 1)
        return false;
    char *colon = strrchr(host, ':');
    if (colon == NULL || sscanf(colon + 1, "%u", &port) != 1 || port == 0 || port > 65535) return false;
    *colon = '\0';
    if (host[0] == '\0')
        snprintf(host, sizeof host, "%s", place->port != 0 ? place->addr : conf->redis_host != NULL ? conf->redis_host : "127.0.0.1");
    memcpy(place->addr, host, sizeof place->addr);
    place->port = (uint16_t)port;
    return true;
}
