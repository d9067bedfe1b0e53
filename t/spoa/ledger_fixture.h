/* What tests of the ledger with a real Redis begin with: a server and a ledger's configuration for each test. */
#ifndef GH_T_SPOA_LEDGER_FIXTURE_H
#define GH_T_SPOA_LEDGER_FIXTURE_H

#include "spoa/ledger.h"
#include "spoa/log.h"
#include "t/lib/guard.h"
#include "t/lib/redis.h"

#include <inttypes.h>
#include <semaphore.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

static struct redis rds;
static char dir[96], err[600];
static struct led_conf conf;
static struct led *led;
static bool lazy; /* what nobody waits for can wait */

static inline void setup(void) {
    lazy = false;
    log_init(LOG_ERROR);
    log_set_level((enum log_level) - 1); /* the failures here are wanted */
    redis_init(&rds);
    redis_start(&rds, 0);
    snprintf(dir, sizeof dir, "%s/journal", rds.dir);
    conf = (struct led_conf){.dir = dir, .node = "n1", .mode = LED_STRICT, .redis_socket = rds.sock, .timeout_ms = 2000};
    led = NULL;
}

static inline void teardown(void) {
    if (led != NULL) led_close(led, 100);
    redis_free(&rds);
}

static inline void open_ledger(void) {
    led = led_open(&conf, err, sizeof err);
    ck_assert_msg(led != NULL, "%s", err);
}
static inline void close_ledger(uint64_t ms) {
    led_close(led, ms);
    led = NULL;
}

struct call {
    sem_t sem;
    enum led_status status;
};
static inline void on_done(void *arg, enum led_status status) {
    struct call *c = arg;
    c->status = status;
    sem_post(&c->sem);
}

static inline void append(const char *session, uint64_t n, struct call *c) {
    char text[24];
    struct led_field f = {"n", text, (size_t)snprintf(text, sizeof text, "%" PRIu64, n), NULL};
    struct led_event ev = {.stream = session != NULL ? LED_SESSION : LED_SESSIONS,
                           .session = session,
                           .type = "statement",
                           .fields = &f,
                           .nfields = 1,
                           .can_wait = lazy};
    if (c != NULL) sem_init(&c->sem, 0, 0);
    led_append(led, &ev, c != NULL ? on_done : NULL, c);
}
static inline enum led_status wait_for(struct call *c) {
    while (sem_wait(&c->sem) < 0) continue;
    sem_destroy(&c->sem);
    return c->status;
}
static inline enum led_status append_wait(const char *session, uint64_t n) {
    struct call c;
    append(session, n, &c);
    return wait_for(&c);
}

static inline uint64_t ms(void) {
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (uint64_t)t.tv_sec * 1000 + (uint64_t)t.tv_nsec / 1000000;
}
static inline void nap(long millis) { nanosleep(&(struct timespec){millis / 1000, millis % 1000 * 1000000}, NULL); }
static inline void wait_healthy(bool healthy) {
    for (uint64_t end = ms() + 10000; led_healthy(led) != healthy;) {
        led_why(led, err, sizeof err);
        ck_assert_msg(ms() < end, "still %s: %s", healthy ? "not healthy" : "healthy", err);
        nap(5);
    }
}

static inline const char *field(const redisReply *entry, const char *name) {
    const redisReply *f = entry->element[1];
    for (size_t i = 0; i < f->elements; i += 2)
        if (strcmp(f->element[i]->str, name) == 0) return f->element[i + 1]->str;
    return NULL;
}

/* The stream's events of this type, n = first to last, each once and in order; other types are passed over. */
static inline void expect(const char *key, const char *type, uint64_t first, uint64_t last) {
    redisReply *p = redis_do(&rds, "XRANGE %s - +", key);
    uint64_t n = first, seq = 0;
    for (size_t i = 0; i < p->elements; i++) {
        const redisReply *e = p->element[i];
        if (strcmp(field(e, "type"), type) != 0) continue;
        ck_assert_msg(strtoull(field(e, "n"), NULL, 10) == n, "%s: found %s where %" PRIu64 " should be", key, field(e, "n"), n);
        n++;
        ck_assert_uint_gt(strtoull(field(e, "seq"), NULL, 10), seq);
        seq = strtoull(field(e, "seq"), NULL, 10);
    }
    ck_assert_uint_eq(n, last + 1);
    freeReplyObject(p);
}

static inline uint64_t shipped(const char *node) {
    redisReply *p = redis_do(&rds, "GET gatehouse:shipped:%s", node);
    uint64_t n = p->type == REDIS_REPLY_STRING ? strtoull(p->str, NULL, 10) : 0;
    freeReplyObject(p);
    return n;
}
static inline void wait_shipped(uint64_t n) {
    for (uint64_t end = ms() + 10000; shipped("n1") < n; nap(5))
        ck_assert_msg(ms() < end, "shipped %" PRIu64 " of %" PRIu64, shipped("n1"), n);
}
static inline void fill(const char *session, uint64_t from, uint64_t to) {
    for (uint64_t n = from; n < to; n++) append(session, n, NULL);
    ck_assert_int_eq(append_wait(session, to), LED_OK);
}

#endif
