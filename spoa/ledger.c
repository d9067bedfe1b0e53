#include <config.h>

#include "spoa/ledger_int.h"

#include "spoa/advice.h"
#include "spoa/journal.h"
#include "spoa/ledger_anchor.h"
#include "spoa/ledger_conf.h"
#include "spoa/ledger_live.h"
#include "spoa/log.h"
#include "spoa/thread.h"
#include "spoa/worker.h"

#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <time.h>
#include <unistd.h>

#define QUEUE_BYTES ((size_t)64 << 20) /* what callers may leave waiting for the ledger's thread; as much again of large events */
#define DOZE_MS     5                  /* what can wait (led_event) waits at most so long, or LED_HEAR_MS while workers hear Redis */
#define DOZE_BYTES  ((size_t)1 << 20)
/* What a worker writes to the journal itself; more is for the ledger's thread, and all of it for a while after a write that took longer: other sessions of that
 * worker wait for it. */
#define FLUSH_BYTES    ((size_t)256 << 10)
#define FLUSH_SLOW_US  2000
#define FLUSH_REST     16 /* ms, doubled up to ... */
#define FLUSH_REST_MAX 1024
#define LARGE_BYTES    ((size_t)256 << 10) /* of large events in a round of the thread, or one event: others wait for it */
#define LARGE_UNSENT   ((size_t)1 << 20)   /* none while Redis, for which others wait, has so much to take before ... */
#define LARGE_WAIT_MS  200                 /* ... but for not longer than this */
#define CALL_WRITE     1u
#define CALL_HEAR      2u
#define CALL_ROUNDS    16
#define RETAIN_EACH    60000 /* ms between looks for files that are too old */
#define ANCHOR_MIN     500   /* ms for anchors to get out when a ledger is closed at once */

uint64_t led_now_us(clockid_t clock) {
    struct timespec t;
    clock_gettime(clock, &t);
    return (uint64_t)t.tv_sec * 1000000 + (uint64_t)t.tv_nsec / 1000;
}
uint64_t led_now_ms(clockid_t clock) { return led_now_us(clock) / 1000; }

/* ---- any thread ---- */

static void flush(void *arg);

static void unlock_and_wake(struct led *l) {
    bool sleeping = l->sleeping;
    l->sleeping = false;
    pthread_mutex_unlock(&l->mu);
    if (sleeping) (void)eventfd_write(l->wake, 1);
}

static void wake(struct led *l) {
    pthread_mutex_lock(&l->mu);
    unlock_and_wake(l);
}

/* Whether nobody is to make an event that somebody waits for: it would be turned away. */
static bool turned_away(const struct led *l, bool journal_does, led_done_fn done) {
    return done != NULL && !journal_does && atomic_load_explicit(&l->turn_away, memory_order_relaxed);
}

static struct req *req_new(struct lev *e, enum led_status status, bool journal_does, led_done_fn done, void *arg) {
    struct req *r = malloc(sizeof *r);
    if (r == NULL) {
        /* Nobody can be told, and going on would lose an event in silence. */
        log_event(LOG_ERROR, "ledger.memory", "reason", "out of memory for an audit event", NULL);
        abort();
    }
    *r = (struct req){.ev = e, .done = done, .arg = arg, .status = status, .journal_does = journal_does};
    return r;
}

/* Counts its bytes; gives the event, which is the caller's again, when there is no room for it. Holding mu. */
static struct lev *count_bytes(struct req *r, size_t *bytes) {
    if (r->ev == NULL) return NULL;
    if (req_bytes(r) <= QUEUE_BYTES - *bytes) {
        *bytes += req_bytes(r);
        return NULL;
    }
    struct lev *over = r->ev;
    r->ev = NULL;
    return over;
}

/* e: NULL where there is none, and status says why. */
static void append(struct led *l, struct lev *e, enum led_status status, bool can_wait, bool journal_does, led_done_fn done, void *arg) {
    struct req *r = req_new(e, status, journal_does, done, arg);
    pthread_mutex_lock(&l->mu);
    struct lev *over = count_bytes(r, &l->queue_bytes);
    /* Of who waits. Inside the lock: so they are in order. That clock is a few ms behind and costs a fifth. */
    if (done != NULL) r->deadline = led_now_ms(CLOCK_MONOTONIC_COARSE) + l->conf.timeout_ms;
    reqs_add(&l->queue, r);
    bool wait = done == NULL && can_wait && l->dozing && l->queue_bytes < DOZE_BYTES, due = l->sleeping && !wait;
    atomic_store_explicit(&l->settled, false, memory_order_relaxed);
    pthread_mutex_unlock(&l->mu);
    bool here = due && !l->conf.fsync && !(done == NULL && can_wait) && worker_defer(flush, l);
    if (due && !here) wake(l);
    lev_free_all(over);
}

static void append_event(struct led *l, const struct led_event *ev, bool journal_does, led_done_fn done, void *arg) {
    bool away = turned_away(l, journal_does, done);
    live_note(l->live, ev);
    struct lev *e = away ? NULL : lev_of(ev, l->conf.node);
    append(l, e, e == NULL && !away ? LED_FAILED : LED_UNAVAILABLE, ev->can_wait, journal_does, done, arg);
}

void led_append(struct led *l, const struct led_event *ev, led_done_fn done, void *arg) { append_event(l, ev, false, done, arg); }
void led_append_journal(struct led *l, const struct led_event *ev, led_done_fn done, void *arg) { append_event(l, ev, true, done, arg); }

struct lev *led_make(const struct led *l, const struct led_event *ev) {
    return lev_of(ev, l->conf.node);
}
void led_drop_made(struct lev *made) { lev_free_all(made); }

void led_append_made(struct led *l, struct lev *made, bool journal_does, led_done_fn done, void *arg) {
    bool away = turned_away(l, journal_does, done);
    if (away || made == NULL) {
        lev_free_all(made);
        append(l, NULL, away ? LED_UNAVAILABLE : LED_FAILED, false, journal_does, done, arg);
        return;
    }
    struct req *r = req_new(made, LED_UNAVAILABLE, journal_does, done, arg);
    lev_stamp(made);
    pthread_mutex_lock(&l->mu);
    struct lev *over = count_bytes(r, &l->large_bytes);
    r->large = true;
    r->goes_at = led_now_ms(CLOCK_MONOTONIC) + LARGE_WAIT_MS;
    reqs_add(&l->large, r);
    atomic_store_explicit(&l->settled, false, memory_order_relaxed);
    unlock_and_wake(l);
    lev_free_all(over);
}

bool led_session_open(const struct led *l, const char *session) { return live_has(l->live, session); }

bool led_healthy(const struct led *l) { return atomic_load_explicit(&l->healthy, memory_order_relaxed); }

bool led_journal_healthy(const struct led *l) { return atomic_load_explicit(&l->journal_healthy, memory_order_relaxed); }

uint64_t led_connects(const struct led *l) { return atomic_load(&l->connects); }

bool led_settled(const struct led *l) { return atomic_load(&l->settled); }

uint64_t led_last(const struct led *l) { return l->first_seq + atomic_load(&l->seen.events); }
uint64_t led_shipped(const struct led *l) { return atomic_load(&l->seen.shipped); }

bool led_wait(const struct led *l, uint64_t timeout_ms) {
    uint64_t end = led_now_ms(CLOCK_MONOTONIC) + timeout_ms;
    while (!led_settled(l)) {
        if (led_now_ms(CLOCK_MONOTONIC) >= end) return false;
        nanosleep(&(struct timespec){.tv_nsec = 5000000}, NULL);
    }
    return true;
}

void led_why(struct led *l, char *out, size_t size) {
    pthread_mutex_lock(&l->mu);
    snprintf(out, size, "%s", l->why);
    pthread_mutex_unlock(&l->mu);
}

const char *led_todo(const struct led *l) { return atomic_load(&l->todo); }

void led_stats(const struct led *l, struct led_stats *out) {
    *out = (struct led_stats){.events = atomic_load(&l->seen.events),
                              .unshipped = atomic_load(&l->seen.unshipped),
                              .unshipped_bytes = atomic_load(&l->seen.unshipped_bytes),
                              .oldest_ms = atomic_load(&l->seen.oldest_ms),
                              .journal_bytes = atomic_load(&l->seen.journal_bytes),
                              .refused = atomic_load(&l->seen.refused),
                              .failed = atomic_load(&l->seen.failed),
                              .dropped = atomic_load(&l->seen.dropped),
                              .anchors_failed = anchors_failed(l->anchors),
                              .redis_up = atomic_load(&l->seen.redis_up)};
}

/* After each round of the thread. */
static void show(struct led *l) {
    uint64_t last = jnl_last_seq(l->j), left = last + 1 > l->next_ship ? last + 1 - l->next_ship : 0;
    atomic_store_explicit(&l->seen.unshipped, left, memory_order_relaxed);
    atomic_store(&l->seen.shipped, l->next_ship - 1);
    atomic_store_explicit(&l->seen.unshipped_bytes, l->unshipped, memory_order_relaxed);
    atomic_store_explicit(&l->seen.journal_bytes, jnl_bytes(l->j), memory_order_relaxed);
    atomic_store_explicit(&l->seen.redis_up, !l->away && lrd_state(l->r) >= LRD_READY, memory_order_relaxed);
    if (left == 0)
        atomic_store_explicit(&l->seen.oldest_ms, 0, memory_order_relaxed);
    else if (l->mem != NULL) /* while they are only in the journal the last answer holds */
        atomic_store_explicit(&l->seen.oldest_ms, l->mem->ms, memory_order_relaxed);
}

/* ---- the thread ---- */

static void expire(struct led *l, uint64_t now) {
    while (l->waiting.head != NULL && l->waiting.head->deadline <= now) {
        led_not_recorded(l, LED_UNAVAILABLE, true);
        answer(reqs_pop(&l->waiting), LED_UNAVAILABLE);
    }
}

/* Holding mu, too. */
static void settle(struct led *l) {
    atomic_store(&l->settled, lrd_state(l->r) == LRD_READY && l->mem == NULL && !lrd_unclaimed(l->r) && l->next_ship > jnl_last_seq(l->j) &&
                                  l->queue.head == NULL && l->large.head == NULL && l->pending.head == NULL);
}

/* When the thread has something to do, if nobody comes; UINT64_MAX: never. */
static uint64_t next_at(const struct led *l) {
    uint64_t at = lrd_deadline(l->r);
    if (lrd_state(l->r) == LRD_DOWN && l->connect_at < at) at = l->connect_at;
    if (l->waiting.head != NULL && l->waiting.head->deadline < at) at = l->waiting.head->deadline;
    if (l->journal_failed && l->journal_retry < at) at = l->journal_retry;
    if (l->conf.retain_ms != 0 && l->retain_at < at) at = l->retain_at;
    if (led_unanchored(l) && !l->journal_failed && !led_too_much(l) && l->anchor_at < at) at = l->anchor_at;
    if (lrd_state(l->r) == LRD_READY && l->mem != NULL && l->ship_at < at) at = l->ship_at;
    /* What a worker that hears Redis leaves to the thread, which does it whenever it comes by: to read events back from the journal, to say that Redis is back. */
    if (lrd_state(l->r) == LRD_READY && (l->away || l->backoff != 0 || (l->mem == NULL && l->next_ship <= jnl_last_seq(l->j)))) at = 0;
    if (lrd_state(l->r) == LRD_READY && l->mem == NULL && lrd_unclaimed(l->r) && l->claim_at < at) at = l->claim_at;
    return at;
}

/* Says how long, in ms for poll(), and tells callers. */
static int sleep_ms(struct led *l, uint64_t now, uint64_t until) {
    uint64_t at = next_at(l);
    if (l->heard_at != 0 && now + LED_HEAR_MS < at) at = now + LED_HEAR_MS;
    if (until < at) at = until;
    pthread_mutex_lock(&l->mu);
    if (l->dozing && l->doze_until < at) at = l->doze_until; /* what take() told callers, whatever the clock says now */
    if (l->large.head != NULL && l->large.head->goes_at < at) at = l->large.head->goes_at;
    l->wakes_at = at;
    pthread_mutex_unlock(&l->mu);
    if (at == UINT64_MAX) return -1;
    return at <= now ? 0 : at - now > 60000 ? 60000 : (int)(at - now);
}

/* Whether there is a large event that may go now. Holding mu, too. */
static bool large_may(const struct led *l, uint64_t now) {
    return l->large.head != NULL &&
           (l->conf.mode == LED_JOURNAL || l->away || l->closing || l->mem_bytes < LARGE_UNSENT || now >= l->large.head->goes_at);
}

/* Puts some of them behind what is pending. Their time begins now: who waits is told in the order of that. Holding mu, too. */
static void take_large(struct led *l, uint64_t now) {
    for (size_t bytes = 0; bytes < LARGE_BYTES && large_may(l, now);) {
        struct req *r = reqs_pop(&l->large);
        bytes += req_bytes(r);
        r->deadline = now + l->conf.timeout_ms;
        reqs_add(&l->pending, r);
    }
}

/* Takes what callers left. False when the ledger closes and has nothing left to do, or no time. */
static bool take(struct led *l, uint64_t now, uint64_t *until) {
    /* Who calls behind this may have left something behind it: doze() sees the call. */
    if ((atomic_exchange(&l->calls, 0) & CALL_HEAR) != 0) l->heard = false;
    pthread_mutex_lock(&l->mu);
    if (l->pending.head == NULL) reqs_move(&l->pending, &l->queue);
    take_large(l, now);
    bool closing = l->closing;
    *until = closing ? l->close_by : UINT64_MAX;
    l->sleeping = l->pending.head == NULL;
    if (l->heard_at != 0 && l->doze_until < now + LED_HEAR_MS) l->doze_until = now + LED_HEAR_MS; /* it wakes by then anyway */
    l->dozing = l->sleeping && now < l->doze_until;
    l->wakes_at = 0; /* sleep_ms() has not said it yet */
    pthread_mutex_unlock(&l->mu);
    bool more = l->next_ship <= jnl_last_seq(l->j) || lrd_unclaimed(l->r) ||
                (led_unanchored(l) && !l->last_anchor && !l->journal_failed && !led_too_much(l));
    return !closing || l->pending.head != NULL || (now < *until && more);
}

/* At its interval; and when the ledger closes, behind the last event. */
static bool anchor_due(struct led *l, uint64_t now, bool closing) {
    if (!led_unanchored(l) || l->journal_failed || led_too_much(l)) return false;
    if (!closing || l->pending.head != NULL || l->last_anchor) return now >= l->anchor_at;
    l->last_anchor = true;
    return true;
}

/* Calls, and says whether anybody has. It writes even when it only looks: of two that come here the later one sees the call of the earlier, or that it has let
 * go of the ledger. So nobody leaves a call at a ledger that its owner has left without a look. */
static bool called(struct led *l, unsigned what) { return (atomic_fetch_or(&l->calls, what) | what) != 0; }

static void doze(struct led *l, struct pollfd fds[2], int ms) {
    pthread_mutex_unlock(&l->own);
    if (called(l, 0)) ms = 0;
    if (poll(fds, 2, ms) < 0) fds[0].revents = fds[1].revents = 0;
    pthread_mutex_lock(&l->own);
    pthread_mutex_lock(&l->mu);
    l->sleeping = false;
    pthread_mutex_unlock(&l->mu);
}

/* Takes what is to be written, if a worker may do that now: not what takes long, nor what the ledger's thread must see to. */
static bool take_here(struct led *l, uint64_t now) {
    pthread_mutex_lock(&l->mu);
    bool none = l->queue.head == NULL && l->pending.head == NULL;
    bool may = none || (l->queue_bytes <= FLUSH_BYTES && !l->journal_failed && !jnl_full(l->j) && now / 1000 >= l->flush_at);
    if (may && l->pending.head == NULL) reqs_move(&l->pending, &l->queue);
    pthread_mutex_unlock(&l->mu);
    return may;
}

static void hear(void *arg);

/* On a worker's thread: Redis has answered. */
static void heard(struct led *l, uint64_t now) {
    if (!l->heard) return; /* the thread was there before */
    l->heard = false;
    led_redis_io(l, POLLIN, now);
}

/* On a worker's thread, once it has heard all of its sockets: the journal is written without the way to the ledger's thread and back, which costs more than
 * the write. What these sessions wait for goes into it together. False: it is for the thread to do. */
static bool write_here(struct led *l, uint64_t *now) {
    uint64_t begin = *now;
    if (!take_here(l, begin)) return false;
    if (l->pending.head == NULL) return true;
    led_write(l);
    uint64_t end = *now = led_now_us(CLOCK_MONOTONIC);
    if (end - begin > FLUSH_SLOW_US) { /* once may be the scheduler's doing */
        l->flush_rest = l->flush_rest == 0 ? FLUSH_REST : l->flush_rest < FLUSH_REST_MAX ? l->flush_rest * 2 : l->flush_rest;
        l->flush_at = end / 1000 + l->flush_rest;
    } else
        l->flush_rest -= l->flush_rest / 8;
    return true;
}

/* Sends to Redis what can go at once. The worker that does hears the answer, too: the way by the thread would cost two more switches. Whether the thread has something to do now. */
static bool send_here(struct led *l, uint64_t now) {
    if (l->mem != NULL && l->backoff == 0 && !l->away) led_ship(l, now, false);
    struct pollfd fd = lrd_poll(l->r);
    bool busy = lrd_state(l->r) == LRD_BUSY, unsent = (fd.events & POLLOUT) != 0;
    if (busy && !unsent && !l->heard && l->waiting.head != NULL && worker_hear(fd.fd, hear, l)) {
        l->heard = true;
        l->heard_at = now;
    }
    show(l);
    uint64_t at = next_at(l);
    pthread_mutex_lock(&l->mu);
    bool due = l->pending.head != NULL || large_may(l, now) || at < l->wakes_at || unsent ||
               (busy && !l->heard && !l->listens && l->waiting.head != NULL);
    settle(l);
    pthread_mutex_unlock(&l->mu);
    return due;
}

/* Does what this worker was called for, and what others are called for meanwhile: who finds the ledger taken leaves it to its owner, and nobody waits. Not for
 * ever, because this worker's sessions do: then the thread is next. */
static void call(struct led *l, unsigned what) {
    bool due = false;
    int n = 0;
    for (; n < CALL_ROUNDS && called(l, what) && pthread_mutex_trylock(&l->own) == 0; n++, what = 0) {
        unsigned calls = atomic_exchange(&l->calls, 0);
        uint64_t now = led_now_us(CLOCK_MONOTONIC);
        if ((calls & CALL_HEAR) != 0) heard(l, now / 1000);
        if ((calls & CALL_WRITE) != 0 && !write_here(l, &now)) due = true;
        due = send_here(l, now / 1000) || due;
        pthread_mutex_unlock(&l->own);
    }
    if (due || (n == CALL_ROUNDS && called(l, 0))) wake(l);
}

static void hear(void *arg) { call(arg, CALL_HEAR); }
static void flush(void *arg) { call(arg, CALL_WRITE); }

/* Whether workers hear Redis: they have, a moment ago, and what they are to hear is not late. */
static bool look_after(struct led *l, uint64_t now) {
    if (now >= l->heard_at + LED_HEAR_MS) l->heard = false;
    if (!l->heard && now >= l->heard_at + LED_HEAR_MS) l->heard_at = 0;
    return l->heard_at != 0 && (l->heard || lrd_state(l->r) == LRD_READY);
}

static void *run(void *arg) {
    struct led *l = arg;
    uint64_t until, now = led_now_ms(CLOCK_MONOTONIC);
    bool polled = true;
    pthread_mutex_lock(&l->own);
    while (take(l, now, &until)) {
        bool busy = l->pending.head != NULL;
        if (busy) led_write(l);
        if (busy) l->doze_until = now + DOZE_MS;
        led_record_gap(l);
        if (anchor_due(l, now, until != UINT64_MAX)) led_anchor(l);
        bool look = l->conf.retain_ms != 0 && now >= l->retain_at;
        if (look) {
            jnl_shipped(l->j, jnl_shipped_hint(l->j), true);
            l->retain_at = now + RETAIN_EACH;
        }
        led_retain(l, look);
        led_ship(l, now, until != UINT64_MAX);
        if (now >= l->say_at) led_update_health(l);
        pthread_mutex_lock(&l->mu);
        settle(l);
        pthread_mutex_unlock(&l->mu);
        struct pollfd fds[2] = {{.fd = l->wake, .events = POLLIN}, lrd_poll(l->r)};
        if (look_after(l, now)) fds[1].fd = -1;
        l->listens = fds[1].fd >= 0;
        /* Only after a round that found nothing do callers know that they must wake us; most often the next one is that. */
        polled = !busy || !polled;
        fds[0].revents = fds[1].revents = 0;
        if (polled) doze(l, fds, busy ? 0 : sleep_ms(l, led_now_ms(CLOCK_MONOTONIC), until));
        eventfd_t ignored;
        if (fds[0].revents != 0) (void)eventfd_read(l->wake, &ignored);
        now = led_now_ms(CLOCK_MONOTONIC);
        if (l->heard) fds[1].revents = 0;
        led_redis_io(l, fds[1].revents, now);
        l->heard = l->heard && lrd_state(l->r) == LRD_BUSY;
        expire(l, now);
        show(l);
    }
    led_record_gap(l);
    while (l->waiting.head != NULL) answer(reqs_pop(&l->waiting), LED_UNAVAILABLE);
    jnl_shipped(l->j, jnl_shipped_hint(l->j), true);
    pthread_mutex_unlock(&l->own);
    return NULL;
}

/* ---- opening and closing ---- */

/* base: the folder of the node's first journal, which has its key. */
static bool open_anchors(struct led *l, const char *base, char *err, size_t errsize) {
    l->anchor_at = l->say_at = UINT64_MAX;
    if (l->conf.anchor_ms == 0) return true;
    l->key = nodekey_open(base, err, errsize);
    if (l->key == NULL) return false;
    l->anchors = anchors_start(&l->conf);
    if (l->anchors == NULL) snprintf(err, errsize, "cannot start the ledger: no room for a thread");
    if (led_unanchored(l)) l->anchor_at = 0; /* of a daemon that was killed */
    return l->anchors != NULL;
}

static bool open_parts(struct led *l, char *err, size_t errsize) {
    char note[400];
    struct jnl_conf jc = {l->conf.dir, l->conf.fsync, l->conf.segment_bytes, l->conf.retain_bytes, l->conf.retain_ms};
    l->j = jnl_open(&jc, note, sizeof note, err, errsize);
    if (l->j == NULL) {
        size_t n = strlen(err);
        if (n < errsize) snprintf(err + n, errsize - n, ": %s", advice_journal(err));
        return false;
    }
    if (note[0] != '\0') log_event(LOG_WARN, "ledger.torn_tail", "note", note, NULL);
    if (!chain_resume(l->j, &l->tail.chain, &l->anchored, &l->tail.id, err, errsize)) return false;
    l->tail.seq = jnl_last_seq(l->j);
    l->next_ship = jnl_shipped_hint(l->j) + 1;
    if (l->next_ship < jnl_first_seq(l->j)) l->next_ship = jnl_first_seq(l->j);
    led_mem_clear(l);
    if (!jnl_seek(l->j, l->next_ship, err, errsize)) return false;
    l->unshipped = jnl_unread_bytes(l->j);
    l->first_seq = jnl_last_seq(l->j);
    l->wake = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
    l->r = l->wake < 0 ? NULL : lrd_new(&l->conf, l->wake);
    if (l->r == NULL) snprintf(err, errsize, "cannot start the ledger: %s", strerror(errno));
    return l->r != NULL;
}

static void destroy(struct led *l, uint64_t timeout_ms) {
    anchors_stop(l->anchors, timeout_ms > ANCHOR_MIN ? timeout_ms : ANCHOR_MIN);
    nodekey_free(l->key);
    live_free(l->live);
    if (l->r != NULL) lrd_free(l->r);
    if (l->j != NULL) jnl_close(l->j);
    if (l->wake >= 0) close(l->wake);
    lev_free_all(l->mem);
    buf_free(&l->lines);
    led_conf_drop(&l->conf);
    pthread_mutex_destroy(&l->mu);
    pthread_mutex_destroy(&l->own);
    free(l);
}

struct led *led_open(const struct led_conf *conf, char *err, size_t errsize) {
    struct led *l = calloc(1, sizeof *l);
    struct led_conf copy;
    if (l == NULL) {
        snprintf(err, errsize, "out of memory");
        return NULL;
    }
    l->wake = -1;
    pthread_mutex_init(&l->mu, NULL);
    pthread_mutex_init(&l->own, NULL);
    l->live = live_new();
    reqs_init(&l->queue);
    reqs_init(&l->large);
    reqs_init(&l->pending);
    reqs_init(&l->waiting);
    l->mem_tail = &l->mem;
    l->lines = BUF_INIT(JNL_MAX_LINE + ((size_t)64 << 20));
    atomic_init(&l->healthy, true);
    atomic_init(&l->journal_healthy, true);
    atomic_init(&l->todo, "");
    snprintf(err, errsize, "out of memory");
    if (l->live == NULL || !led_conf_copy(&copy, conf, err, errsize)) {
        destroy(l, 0); /* a copy that ran out of memory is not worth tracking down */
        return NULL;
    }
    l->conf = copy;
    if (!open_parts(l, err, errsize) || !open_anchors(l, conf->dir, err, errsize)) {
        destroy(l, 0);
        return NULL;
    }
    int rc = thread_start(&l->thread, 0, run, l);
    if (rc != 0) {
        snprintf(err, errsize, "cannot start the ledger's thread: %s", strerror(rc));
        destroy(l, 0);
        return NULL;
    }
    return l;
}

void led_close(struct led *l, uint64_t timeout_ms) {
    pthread_mutex_lock(&l->mu);
    l->closing = true;
    l->close_by = led_now_ms(CLOCK_MONOTONIC) + timeout_ms;
    l->sleeping = false;
    pthread_mutex_unlock(&l->mu);
    (void)eventfd_write(l->wake, 1);
    pthread_join(l->thread, NULL);
    destroy(l, timeout_ms);
}
