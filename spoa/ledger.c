#include <config.h>

#include "spoa/advice.h"
#include "spoa/journal.h"
#include "spoa/ledger.h"
#include "spoa/ledger_anchor.h"
#include "spoa/ledger_chain.h"
#include "spoa/ledger_conf.h"
#include "spoa/ledger_live.h"
#include "spoa/ledger_redis.h"
#include "spoa/ledger_reqs.h"
#include "spoa/ledger_retained.h"
#include "spoa/log.h"
#include "spoa/worker.h"

#include <errno.h>
#include <inttypes.h>
#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <time.h>
#include <unistd.h>

#define QUEUE_BYTES   ((size_t)64 << 20) /* what callers may leave waiting for the ledger's thread */
#define MEM_BYTES     ((size_t)32 << 20) /* journalled events kept in memory until Redis has them; the rest is read back from the journal */
#define WRITE_BYTES   ((size_t)4 << 20)  /* one write to the journal: so many bytes of events ... */
#define WRITE_EVENTS  1024               /* ... and so many events */
#define SHIP_BYTES    ((size_t)1 << 20)  /* one transaction; one event that is larger goes alone. Redis serves nobody else meanwhile */
#define SHIP_EVENTS   512
#define DOZE_MS       5 /* what can wait (led_event) waits at most so long */
#define DOZE_BYTES    ((size_t)1 << 20)
#define FLUSH_BYTES   ((size_t)256 << 10) /* what a worker writes to the journal itself; more is for the ledger's thread ... */
#define FLUSH_SLOW_US 2000 /* ... and all of it for FLUSH_REST_MS, when a write took longer: other sessions of that worker wait for it */
#define FLUSH_REST_MS 1000
#define CLAIM_MS      2   /* before the shipped key says what the last transaction brought, when none follows */
#define SHIP_WAIT_MS  20  /* LED_JOURNAL: nobody waits for Redis, so events are gathered between transactions ... */
#define SHIP_ENOUGH   256 /* ... until there are so many */
#define BACKOFF_MS    100 /* between attempts to connect, doubled up to ... */
#define BACKOFF_MAX   2000
#define SKEW_MS       5000
#define REPEAT_MS     60000 /* between lines that say the same */
#define RETAIN_EACH   60000 /* ms between looks for files that are too old */
#define FIRST_ANCHOR  1000  /* ms after a journal's first event: nothing vouches for a writer without an anchor */
#define ANCHOR_MIN    500   /* ms for anchors to get out when a ledger is closed at once */
#define JOURNAL_RETRY 500   /* ms between attempts to write to a journal that failed, when nobody else tries */

/* The end of the journal: what the next event follows. */
struct tail {
    uint64_t seq;
    struct lev_id id;
    struct chain chain;
};

struct led {
    struct led_conf conf; /* its strings are owned */
    struct live *live;
    pthread_t thread;
    int wake; /* eventfd */

    pthread_mutex_t mu; /* guards this block */
    struct reqs queue;
    size_t queue_bytes;
    bool sleeping;     /* the thread waits in poll(): write to wake */
    bool dozing;       /* and not for long: what can wait need not wake it */
    uint64_t wakes_at; /* by itself; ms, CLOCK_MONOTONIC */
    bool closing;
    uint64_t close_by;
    char why[600];

    _Atomic bool healthy, journal_healthy;
    _Atomic(const char *) todo; /* static */
    struct {                    /* for led_stats(): written by the thread */
        _Atomic uint64_t events, shipped, unshipped, unshipped_bytes, oldest_ms, journal_bytes, refused, failed, dropped;
        _Atomic bool redis_up;
    } seen;
    _Atomic bool settled; /* Redis has all that the journal has */
    _Atomic uint64_t connects;
    _Atomic bool turn_away; /* strict, Redis known to be away: appends that somebody waits for need not even be copied */

    /* The rest belongs to who holds this: the thread, but for its sleep, or led_flush(). */
    pthread_mutex_t own;
    struct jnl *j;
    struct lrd *r;
    struct tail tail;
    struct nodekey *key; /* NULL: no anchors */
    struct anchors *anchors;
    uint64_t anchored;            /* the number of the last anchor; what is behind it has none yet */
    uint64_t anchor_at;           /* when that is to get one; UINT64_MAX: there is nothing */
    bool last_anchor;             /* closing: the one at the end is made */
    uint64_t first_seq;           /* the last number before this start */
    struct reqs pending, waiting; /* taken from the queue; journalled and waiting for Redis, by number and by deadline */
    struct buf lines;
    struct lev *mem, **mem_tail; /* consecutive numbers from next_ship on, may end before the journal does */
    size_t mem_bytes;
    uint64_t mem_next;  /* the number after the last one in mem, or next_ship */
    uint64_t next_ship; /* the first number that Redis is not known to have */
    size_t in_flight;   /* so many of mem, from its head, are with Redis */
    uint64_t unshipped; /* bytes of journal that Redis is not known to have */
    bool away;          /* Redis is known not to take events now */
    uint64_t connect_at, backoff;
    uint64_t doze_until, ship_at, claim_at, retain_at;
    bool journal_failed;
    uint64_t flush_at; /* not before that does led_flush() write */
    uint64_t journal_retry;
    char journal_why[400], redis_why[400];
    bool said_down;            /* the log says that it is unavailable */
    uint64_t say_at;           /* when it is to; UINT64_MAX: it does, or need not */
    uint64_t refused, dropped; /* since the last "unavailable" event: appends that were told so; events that nobody waited for */
    char since[32];
};

static uint64_t now_us(clockid_t clock) {
    struct timespec t;
    clock_gettime(clock, &t);
    return (uint64_t)t.tv_sec * 1000000 + (uint64_t)t.tv_nsec / 1000;
}
static uint64_t now_ms(clockid_t clock) { return now_us(clock) / 1000; }

/* ---- any thread ---- */

static void flush(void *arg);

static void wake(struct led *l) {
    pthread_mutex_lock(&l->mu);
    bool sleeping = l->sleeping;
    l->sleeping = false;
    pthread_mutex_unlock(&l->mu);
    if (sleeping) (void)eventfd_write(l->wake, 1);
}

static void append(struct led *l, const struct led_event *ev, bool journal_does, led_done_fn done, void *arg) {
    struct req *r = malloc(sizeof *r);
    live_note(l->live, ev);
    if (r == NULL) {
        /* Nobody can be told, and going on would lose an event in silence. */
        log_event(LOG_ERROR, "ledger.memory", "reason", "out of memory for an audit event", NULL);
        abort();
    }
    *r = (struct req){.done = done, .arg = arg, .status = LED_UNAVAILABLE, .journal_does = journal_does};
    if (done == NULL || journal_does || !atomic_load_explicit(&l->turn_away, memory_order_relaxed)) {
        r->ev = lev_of(ev, l->conf.node);
        if (r->ev == NULL) r->status = LED_FAILED;
    }
    struct lev *over = NULL;
    pthread_mutex_lock(&l->mu);
    if (r->ev != NULL && req_bytes(r) > QUEUE_BYTES - l->queue_bytes) {
        over = r->ev;
        r->ev = NULL;
    }
    if (r->ev != NULL) l->queue_bytes += req_bytes(r);
    r->deadline = now_ms(CLOCK_MONOTONIC) + l->conf.timeout_ms; /* inside the lock: so they are in order */
    reqs_add(&l->queue, r);
    bool wait = done == NULL && ev->can_wait && l->dozing && l->queue_bytes < DOZE_BYTES, due = l->sleeping && !wait;
    atomic_store_explicit(&l->settled, false, memory_order_relaxed);
    pthread_mutex_unlock(&l->mu);
    bool here = due && !l->conf.fsync && !(done == NULL && ev->can_wait) && worker_defer(flush, l);
    if (due && !here) wake(l);
    lev_free_all(over);
}

bool led_session_open(const struct led *l, const char *session) { return live_has(l->live, session); }
void led_append(struct led *l, const struct led_event *ev, led_done_fn done, void *arg) { append(l, ev, false, done, arg); }
void led_append_journal(struct led *l, const struct led_event *ev, led_done_fn done, void *arg) { append(l, ev, true, done, arg); }

bool led_healthy(const struct led *l) { return atomic_load_explicit(&l->healthy, memory_order_relaxed); }

bool led_journal_healthy(const struct led *l) { return atomic_load_explicit(&l->journal_healthy, memory_order_relaxed); }

uint64_t led_connects(const struct led *l) { return atomic_load(&l->connects); }

bool led_settled(const struct led *l) { return atomic_load(&l->settled); }

uint64_t led_last(const struct led *l) { return l->first_seq + atomic_load(&l->seen.events); }
uint64_t led_shipped(const struct led *l) { return atomic_load(&l->seen.shipped); }

bool led_wait(const struct led *l, uint64_t timeout_ms) {
    uint64_t end = now_ms(CLOCK_MONOTONIC) + timeout_ms;
    while (!led_settled(l)) {
        if (now_ms(CLOCK_MONOTONIC) >= end) return false;
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

static void not_recorded(struct led *l, enum led_status status, bool waited) {
    atomic_fetch_add_explicit(!waited                ? &l->seen.dropped
                              : status == LED_FAILED ? &l->seen.failed
                                                     : &l->seen.refused,
                              1, memory_order_relaxed);
}

/* ---- health ---- */

static bool too_much(const struct led *l) { return l->unshipped > l->conf.max_unshipped; }

/* One line, then at most one a minute: a disk that is full now and then would fill the log, and itself. What lasts is said in the end. */
static void say_health(struct led *l, bool ok, const char *why, const char *todo) {
    unsigned more = 0;
    bool said = l->said_down;
    l->said_down = !ok && log_due(l->journal_failed ? "ledger.unavailable journal" : "ledger.unavailable", &more);
    l->say_at = ok || l->said_down ? UINT64_MAX : now_ms(CLOCK_MONOTONIC) + REPEAT_MS;
    if (ok && said) log_event(LOG_WARN, "ledger.available", NULL);
    if (l->said_down) log_event(LOG_ERROR, "ledger.unavailable", "why", why, "do", todo, "held_back", log_fmt("%u", more), NULL);
}

static void update_health(struct led *l) {
    char why[600] = "";
    const char *todo = l->journal_failed ? advice_journal(l->journal_why) : advice_redis(l->redis_why);
    bool strict = l->conf.mode == LED_STRICT;
    if (l->journal_failed)
        snprintf(why, sizeof why, "%s", l->journal_why);
    else if (strict && l->away)
        snprintf(why, sizeof why, "audit is strict and Redis is away: %s", l->redis_why);
    else if (too_much(l))
        snprintf(why, sizeof why, "%" PRIu64 " bytes of events wait for Redis, more than max_unshipped allows: %s", l->unshipped,
                 l->redis_why);
    atomic_store(&l->turn_away, strict && l->away);
    bool ok = why[0] == '\0', was = atomic_load(&l->healthy);
    pthread_mutex_lock(&l->mu);
    snprintf(l->why, sizeof l->why, "%s", why);
    pthread_mutex_unlock(&l->mu);
    atomic_store(&l->todo, ok ? "" : todo);
    atomic_store(&l->healthy, ok);
    atomic_store(&l->journal_healthy, !l->journal_failed && !too_much(l));
    if (was != ok || (!ok && now_ms(CLOCK_MONOTONIC) >= l->say_at))
        say_health(l, ok, why, l->away ? "see the line ledger.redis_away" : todo);
}

/* The time of now, as events have it. */
static void time_text(char out[32]) {
    struct lev *now = lev_of(&(struct led_event){.stream = LED_SESSIONS, .type = ""}, "");
    snprintf(out, 32, "%s", now != NULL ? now->time_text : "-");
    lev_free_all(now);
}

static void count(struct led *l, uint64_t *what) {
    if (l->refused + l->dropped == 0) time_text(l->since);
    ++*what;
}

static void turn_down(struct led *l, struct req *r, enum led_status status) {
    count(l, r->done != NULL ? &l->refused : &l->dropped);
    not_recorded(l, status, r->done != NULL);
    answer(r, status);
}

static void set_away(struct led *l, bool away, const char *why) {
    unsigned more = 0;
    bool news = away != l->away || (away && strcmp(l->redis_why, why) != 0 && log_due(why, &more));
    if (away) snprintf(l->redis_why, sizeof l->redis_why, "%s", why);
    if (news && away) {
        log_due(why, &more); /* said now, whatever it changes to and back */
        log_event(LOG_ERROR, "ledger.redis_away", "why", why, "do", advice_redis(why), NULL);
    } else if (news)
        log_event(LOG_INFO, "ledger.redis_up", NULL);
    l->away = away;
    if (!away) l->redis_why[0] = '\0';
    update_health(l);
}

/* ---- events in memory ---- */

static void mem_clear(struct led *l) {
    lev_free_all(l->mem);
    l->mem = NULL;
    l->mem_tail = &l->mem;
    l->mem_bytes = 0;
    l->mem_next = l->next_ship;
    l->in_flight = 0;
}

/* Takes e when it continues what is there and there is room, else frees it: it will be read back from the journal. */
static void mem_add(struct led *l, struct lev *e) {
    bool room = l->mem == NULL || (l->mem_bytes < MEM_BYTES && e->bytes <= MEM_BYTES - l->mem_bytes);
    if (e->seq != l->mem_next || !room) {
        lev_free_all(e);
        return;
    }
    e->next = NULL;
    *l->mem_tail = e;
    l->mem_tail = &e->next;
    l->mem_bytes += e->bytes;
    l->mem_next++;
}

static void mem_drop_head(struct led *l) {
    struct lev *e = l->mem;
    l->mem = e->next;
    if (l->mem == NULL) l->mem_tail = &l->mem;
    l->mem_bytes -= e->bytes;
    e->next = NULL;
    lev_free_all(e);
}

/* ---- the journal ---- */

static bool commit(struct led *l, const struct tail *t) {
    bool ok = !l->lines.failed;
    if (!ok)
        snprintf(l->journal_why, sizeof l->journal_why, "out of memory for the journal's lines");
    else
        ok = jnl_write(l->j, buf_at(&l->lines), buf_used(&l->lines), t->seq, l->journal_why, sizeof l->journal_why);
    if (ok) {
        l->tail = *t;
        l->unshipped += buf_used(&l->lines);
        atomic_store_explicit(&l->seen.events, t->seq - l->first_seq, memory_order_relaxed);
        if (l->key != NULL && l->anchor_at == UINT64_MAX)
            l->anchor_at =
                now_ms(CLOCK_MONOTONIC) + (l->anchored == 0 && l->conf.anchor_ms > FIRST_ANCHOR ? FIRST_ANCHOR : l->conf.anchor_ms);
    }
    if (buf_used(&l->lines) > WRITE_BYTES * 2)
        buf_free(&l->lines); /* after a rare large one */
    else
        buf_reset(&l->lines);
    if (ok && too_much(l) && led_healthy(l)) update_health(l);
    if (ok != l->journal_failed) return ok;
    l->journal_failed = !ok;
    l->journal_retry = now_ms(CLOCK_MONOTONIC) + JOURNAL_RETRY;
    update_health(l);
    return ok;
}

static void format(struct led *l, struct lev *e, struct tail *t) {
    t->id = lev_id_next(t->id, now_ms(CLOCK_REALTIME));
    lev_number(e, ++t->seq, t->id);
    if (!chain_add(&t->chain, e)) l->lines.failed = true; /* found by commit() */
    size_t before = buf_used(&l->lines), at = jnl_line_begin(&l->lines, e->seq);
    lev_json(e, &l->lines);
    jnl_line_end(&l->lines, at);
    e->line_bytes = buf_used(&l->lines) - before;
}

/* One event of the ledger's own. */
static bool record_own(struct led *l, struct lev *e) {
    struct tail t = l->tail;
    format(l, e, &t);
    if (!commit(l, &t)) {
        l->journal_retry = now_ms(CLOCK_MONOTONIC) + JOURNAL_RETRY;
        lev_free_all(e);
        return false;
    }
    mem_add(l, e);
    return true;
}

/* Says, signed, where the journal ends. Outside only what the journal has: a line there for an event that never was would be an accusation. */
static void anchor(struct led *l) {
    struct chain_anchor a = {.seq = l->tail.seq + 1, .ends = l->tail.chain};
    char signature[NODEKEY_SIGNATURE_SIZE];
    const char *key = nodekey_public(l->key);
    struct lev *e = NULL;
    l->anchor_at = now_ms(CLOCK_MONOTONIC) + l->conf.anchor_ms; /* when it fails */
    snprintf(a.node, sizeof a.node, "%s", l->conf.node);
    time_text(a.time);
    char *text = chain_anchor_text(&a), *line = NULL;
    if (text != NULL && nodekey_sign(l->key, text, strlen(text), signature)) {
        const struct led_field f[] = {
            {"signed", text, strlen(text)}, {"signature", signature, strlen(signature)}, {"key", key, strlen(key)}};
        e = lev_of(&(struct led_event){.stream = LED_SESSIONS, .type = "anchor", .fields = f, .nfields = 3}, l->conf.node);
        line = chain_anchor_line(text, signature, key);
    }
    free(text);
    if (e == NULL || line == NULL) {
        lev_free_all(e);
        free(line);
    } else if (record_own(l, e)) {
        l->anchored = a.seq;
        l->anchor_at = UINT64_MAX;
        anchors_put(l->anchors, line);
    } else
        free(line);
}

static bool unanchored(const struct led *l) { return l->key != NULL && l->tail.seq > l->anchored; }

/* What cannot be taken now is answered; the rest is formatted and stays in batch. */
static size_t format_batch(struct led *l, struct reqs *batch, struct tail *t) {
    size_t bytes = 0, freed = 0;
    bool strict = l->conf.mode == LED_STRICT;
    for (int n = 0; l->pending.head != NULL && n < WRITE_EVENTS && bytes < WRITE_BYTES; n++) {
        struct req *r = reqs_pop(&l->pending);
        if (r->ev != NULL) freed += req_bytes(r);
        if (r->ev == NULL)
            turn_down(l, r, r->status);
        else if ((strict && l->away && r->done != NULL && !r->journal_does) || too_much(l))
            turn_down(l, r, LED_UNAVAILABLE);
        else {
            bytes += r->ev->bytes;
            format(l, r->ev, t);
            r->seq = t->seq;
            reqs_add(batch, r);
        }
    }
    return freed;
}

static void journal_pending(struct led *l) {
    struct reqs batch;
    reqs_init(&batch);
    /* So that the last two files, all that a start reads, say where both chains end. */
    if (l->key != NULL && jnl_full(l->j) && unanchored(l)) anchor(l);
    struct tail t = l->tail;
    size_t freed = format_batch(l, &batch, &t);
    pthread_mutex_lock(&l->mu);
    l->queue_bytes -= freed;
    pthread_mutex_unlock(&l->mu);
    if (batch.head == NULL) return;
    bool ok = commit(l, &t);
    for (struct req *r; (r = reqs_pop(&batch)) != NULL;) {
        if (!ok) {
            turn_down(l, r, LED_FAILED);
            continue;
        }
        mem_add(l, r->ev);
        r->ev = NULL;
        if (l->conf.mode == LED_STRICT && r->done != NULL && !r->journal_does)
            reqs_add(&l->waiting, r);
        else
            answer(r, LED_OK);
    }
}

/* Once the ledger works again, the stream says for how many it did not. It is also the probe that finds a mended journal. */
static void record_gap(struct led *l) {
    bool redis_ok = l->conf.mode == LED_JOURNAL || !l->away;
    if (l->refused + l->dropped == 0 || !redis_ok || too_much(l)) return;
    if (l->journal_failed && now_ms(CLOCK_MONOTONIC) < l->journal_retry) return;
    char refused[24], dropped[24];
    struct led_field f[] = {{"refused", refused, (size_t)snprintf(refused, sizeof refused, "%" PRIu64, l->refused)},
                            {"dropped", dropped, (size_t)snprintf(dropped, sizeof dropped, "%" PRIu64, l->dropped)},
                            {"since", l->since, strlen(l->since)}};
    struct lev *e = lev_of(&(struct led_event){.stream = LED_SESSIONS, .type = "unavailable", .fields = f, .nfields = 3}, l->conf.node);
    if (e == NULL) return;
    if (record_own(l, e)) l->refused = l->dropped = 0;
}

/* Files of the journal that are needed no more go, once the journal says, signed, that they do. */
static void retain(struct led *l, bool look) {
    bool aged;
    char time[32];
    size_t n = l->journal_failed || too_much(l) ? 0 : jnl_removable(l->j, look, &aged);
    if (n == 0) return;
    time_text(time);
    struct lev *e = l->key == NULL ? NULL : retained_files(l->j, l->key, jnl_file_end(l->j, n), aged ? "age" : "size", time, l->conf.node);
    if (l->key == NULL || (e != NULL && record_own(l, e))) jnl_remove(l->j, n);
}

/* ---- Redis ---- */

static void connect_later(struct led *l, uint64_t now) {
    l->backoff = l->backoff == 0 ? BACKOFF_MS : l->backoff * 2 > BACKOFF_MAX ? BACKOFF_MAX : l->backoff * 2;
    l->connect_at = now + l->backoff;
}

static void lost(struct led *l, bool was_up, uint64_t now) {
    l->in_flight = 0; /* it stays in mem; after reconnecting Redis says whether it has it */
    if (was_up && !lrd_refused(l->r) && l->backoff == 0) {
        log_event(LOG_WARN, "ledger.redis_lost", "why", lrd_error(l->r), NULL);
        l->backoff = BACKOFF_MS / 2; /* one attempt at once: most often somebody closed an idle connection */
        l->connect_at = now;
        return;
    }
    set_away(l, true, lrd_error(l->r));
    connect_later(l, now);
}

/* Redis says what it has: go on from there. False when that cannot be, with the reason in why. */
static bool resume(struct led *l, char *why, size_t size) {
    uint64_t has = lrd_shipped(l->r), first = jnl_first_seq(l->j), last = jnl_last_seq(l->j);
    if (has > last) {
        snprintf(
            why, size,
            "Redis has events up to %" PRIu64 " of node %s, but the journal in %s ends at %" PRIu64
            ": the journal was lost, or another daemon uses this node's name. Bring the journal back, or give this daemon a new node name",
            has, l->conf.node, l->conf.dir, last);
        return false;
    }
    bool back = has < jnl_shipped_hint(l->j);
    lrd_careful(l->r, last);
    if (has + 1 != l->next_ship) {
        l->next_ship = has + 1 < first ? first : has + 1;
        mem_clear(l);
        if (!jnl_seek(l->j, l->next_ship, why, size)) return false;
        l->unshipped = jnl_unread_bytes(l->j);
    }
    if (back)
        log_event(LOG_ERROR, "ledger.redis_lost_events", "redis_has", log_fmt("%" PRIu64, has), "filling_from",
                  log_fmt("%" PRIu64, l->next_ship), "to", log_fmt("%" PRIu64, last), "gone", log_fmt("%" PRIu64, l->next_ship - has - 1),
                  NULL);
    jnl_shipped(l->j, l->next_ship - 1, false);
    return true;
}

/* Appends wait for events that Redis does not have in order, so it counts as back only when the rest is in memory. */
static void caught_up(struct led *l) {
    l->backoff = 0;
    if (l->away) set_away(l, false, NULL);
    record_gap(l);
}

static void shipped(struct led *l) {
    for (; l->in_flight > 0; l->in_flight--) {
        uint64_t n = l->mem->line_bytes;
        l->unshipped = l->unshipped > n ? l->unshipped - n : 0;
        l->next_ship = l->mem->seq + 1;
        mem_drop_head(l);
    }
    if (l->next_ship > jnl_last_seq(l->j)) l->unshipped = 0;
    jnl_shipped(l->j, lrd_shipped(l->r), false); /* what a later connection need not look for */
    while (l->waiting.head != NULL && l->waiting.head->seq < l->next_ship) answer(reqs_pop(&l->waiting), LED_OK);
    if (!led_healthy(l)) update_health(l);
}

/* Reads events back from the journal to mem. False and a reason when they cannot be read. */
static bool refill(struct led *l, char *why, size_t size) {
    if (!jnl_seek(l->j, l->mem_next, why, size)) return false;
    size_t bytes = 0;
    for (int n = 0; n < SHIP_EVENTS && bytes < SHIP_BYTES && l->mem_next <= jnl_last_seq(l->j); n++) {
        uint64_t seq;
        const char *json;
        size_t len, line;
        if (jnl_next(l->j, &seq, &json, &len, &line, why, size) != JNL_LINE) return false;
        struct lev *e = lev_parse(json, len);
        if (e == NULL || e->seq != seq) {
            lev_free_all(e);
            snprintf(why, size, "event %" PRIu64 " in the journal in %s is in no form that this daemon knows", seq, l->conf.dir);
            return false;
        }
        e->line_bytes = line;
        bytes += e->bytes;
        mem_add(l, e);
    }
    return true;
}

/* More events soon go with these, and Redis has one transaction for all of them. Not while it has to catch up, nor at the end. */
static bool ship_later(const struct led *l, uint64_t now, bool closing) {
    return l->conf.mode == LED_JOURNAL && !closing && now < l->ship_at && l->backoff == 0 && !l->away && l->mem != NULL &&
           l->mem_next > jnl_last_seq(l->j) && l->mem_next - l->next_ship < SHIP_ENOUGH && l->mem_bytes < SHIP_BYTES;
}

static void ship(struct led *l, uint64_t now, bool closing) {
    if (lrd_state(l->r) != LRD_READY || ship_later(l, now, closing)) return;
    char why[400] = "";
    if (l->mem == NULL && l->next_ship <= jnl_last_seq(l->j) && !refill(l, why, sizeof why)) {
        lrd_drop(l->r, why);
        lost(l, false, now);
        return;
    }
    if (l->mem_next > jnl_last_seq(l->j) && (l->away || l->backoff != 0)) caught_up(l);
    if (l->mem == NULL && (!lrd_unclaimed(l->r) || (now < l->claim_at && !closing))) return;
    size_t n = 0, bytes = 0;
    for (const struct lev *e = l->mem; e != NULL && n < SHIP_EVENTS && (n == 0 || e->bytes <= SHIP_BYTES - bytes); e = e->next) {
        n++;
        bytes += e->bytes < SHIP_BYTES - bytes ? e->bytes : SHIP_BYTES - bytes;
    }
    l->in_flight = n;
    l->ship_at = now + SHIP_WAIT_MS;
    l->claim_at = now + CLAIM_MS;
    lrd_send(l->r, l->mem, n, now);
}

/* Redis gives the ids of two streams from its own clock, and auditors read times side by side. */
static void compare_clocks(const struct led *l) {
    int64_t redis_ms;
    unsigned more;
    if (!lrd_time(l->r, &redis_ms)) return;
    int64_t ahead = redis_ms - (int64_t)now_ms(CLOCK_REALTIME);
    if ((ahead > SKEW_MS || ahead < -SKEW_MS) && log_due("ledger.clock", &more))
        log_event(LOG_WARN, "ledger.clock", "reason",
                  log_fmt("the clock of Redis's machine is %" PRId64 " s %s of ours", (ahead < 0 ? -ahead : ahead) / 1000,
                          ahead < 0 ? "behind" : "ahead"),
                  "do", "check NTP on both machines (timedatectl)", NULL);
}

static void redis_io(struct led *l, short revents, uint64_t now) {
    enum lrd_state was = lrd_state(l->r);
    if (was == LRD_DOWN) {
        if (now >= l->connect_at) lrd_connect(l->r, now);
        return;
    }
    char why[400] = "";
    switch (lrd_io(l->r, revents, now)) {
    case LRD_NOTHING: break;
    case LRD_UP:
        compare_clocks(l);
        if (resume(l, why, sizeof why)) {
            atomic_fetch_add(&l->connects, 1);
            break;
        }
        lrd_drop(l->r, why);
        lost(l, false, now);
        break;
    case LRD_SHIPPED: shipped(l); break;
    case LRD_LOST: lost(l, was != LRD_CONNECTING, now); break;
    }
}

/* ---- the thread ---- */

static void expire(struct led *l, uint64_t now) {
    while (l->waiting.head != NULL && l->waiting.head->deadline <= now) {
        not_recorded(l, LED_UNAVAILABLE, true);
        answer(reqs_pop(&l->waiting), LED_UNAVAILABLE);
    }
}

/* When the thread has something to do, if nobody comes; UINT64_MAX: never. */
static uint64_t next_at(const struct led *l) {
    uint64_t at = lrd_deadline(l->r);
    if (lrd_state(l->r) == LRD_DOWN && l->connect_at < at) at = l->connect_at;
    if (l->waiting.head != NULL && l->waiting.head->deadline < at) at = l->waiting.head->deadline;
    if (l->journal_failed && l->journal_retry < at) at = l->journal_retry;
    if (l->conf.retain_ms != 0 && l->retain_at < at) at = l->retain_at;
    if (unanchored(l) && !l->journal_failed && !too_much(l) && l->anchor_at < at) at = l->anchor_at;
    if (lrd_state(l->r) == LRD_READY && l->mem != NULL && l->ship_at < at) at = l->ship_at;
    if (lrd_state(l->r) == LRD_READY && l->mem == NULL && lrd_unclaimed(l->r) && l->claim_at < at) at = l->claim_at;
    return at;
}

/* Says how long, in ms for poll(), and tells callers. */
static int sleep_ms(struct led *l, uint64_t now, uint64_t until) {
    uint64_t at = next_at(l);
    if (until < at) at = until;
    pthread_mutex_lock(&l->mu);
    if (l->dozing && l->doze_until < at) at = l->doze_until; /* what take() told callers, whatever the clock says now */
    l->wakes_at = at;
    pthread_mutex_unlock(&l->mu);
    if (at == UINT64_MAX) return -1;
    return at <= now ? 0 : at - now > 60000 ? 60000 : (int)(at - now);
}

/* Takes what callers left. False when the ledger closes and has nothing left to do, or no time. */
static bool take(struct led *l, uint64_t now, uint64_t *until) {
    pthread_mutex_lock(&l->mu);
    if (l->pending.head == NULL && l->queue.head != NULL) {
        l->pending = l->queue;
        reqs_init(&l->queue);
    }
    bool closing = l->closing;
    *until = closing ? l->close_by : UINT64_MAX;
    l->sleeping = l->pending.head == NULL;
    l->dozing = l->sleeping && now < l->doze_until;
    l->wakes_at = 0; /* sleep_ms() has not said it yet */
    pthread_mutex_unlock(&l->mu);
    bool more = l->next_ship <= jnl_last_seq(l->j) || lrd_unclaimed(l->r) ||
                (unanchored(l) && !l->last_anchor && !l->journal_failed && !too_much(l));
    return !closing || l->pending.head != NULL || (now < *until && more);
}

static void settle(struct led *l) {
    pthread_mutex_lock(&l->mu);
    atomic_store(&l->settled, lrd_state(l->r) == LRD_READY && l->mem == NULL && !lrd_unclaimed(l->r) && l->next_ship > jnl_last_seq(l->j) &&
                                  l->queue.head == NULL);
    pthread_mutex_unlock(&l->mu);
}

/* At its interval; and when the ledger closes, behind the last event. */
static bool anchor_due(struct led *l, uint64_t now, bool closing) {
    if (!unanchored(l) || l->journal_failed || too_much(l)) return false;
    if (!closing || l->pending.head != NULL || l->last_anchor) return now >= l->anchor_at;
    l->last_anchor = true;
    return true;
}

static void doze(struct led *l, struct pollfd fds[2], int ms) {
    pthread_mutex_unlock(&l->own);
    if (poll(fds, 2, ms) < 0) fds[0].revents = fds[1].revents = 0;
    pthread_mutex_lock(&l->own);
    pthread_mutex_lock(&l->mu);
    l->sleeping = false;
    pthread_mutex_unlock(&l->mu);
}

/* Whether a worker may write to the journal now: not what takes long, nor what the ledger's thread must see to. */
static bool may_flush(struct led *l, uint64_t now) {
    pthread_mutex_lock(&l->mu);
    bool small = l->queue_bytes <= FLUSH_BYTES;
    if (l->pending.head == NULL && small) {
        l->pending = l->queue;
        reqs_init(&l->queue);
    }
    pthread_mutex_unlock(&l->mu);
    return small && l->pending.head != NULL && !l->journal_failed && !jnl_full(l->j) && now / 1000 >= l->flush_at;
}

/* On a worker's thread, once it has heard all of its sockets: the journal is written without the way to the ledger's thread and back, which costs more than
 * the write. What these sessions wait for goes into it together. Redis is the thread's, but for sending what can go at once. */
static void flush(void *arg) {
    struct led *l = arg;
    bool done = pthread_mutex_trylock(&l->own) == 0, due = true;
    if (done) {
        uint64_t now = now_us(CLOCK_MONOTONIC);
        if (may_flush(l, now)) {
            journal_pending(l);
            uint64_t end = now_us(CLOCK_MONOTONIC);
            if (end - now > FLUSH_SLOW_US) l->flush_at = end / 1000 + FLUSH_REST_MS;
            if (l->mem != NULL && l->backoff == 0 && !l->away) ship(l, end / 1000, false);
            show(l);
            uint64_t at = next_at(l);
            pthread_mutex_lock(&l->mu);
            due = l->queue.head != NULL || l->pending.head != NULL || at < l->wakes_at || (lrd_poll(l->r).events & POLLOUT) != 0;
            pthread_mutex_unlock(&l->mu);
        }
        pthread_mutex_unlock(&l->own);
    }
    if (due) wake(l);
}

static void *run(void *arg) {
    struct led *l = arg;
    uint64_t until, now = now_ms(CLOCK_MONOTONIC);
    bool polled = true;
    pthread_mutex_lock(&l->own);
    while (take(l, now, &until)) {
        bool busy = l->pending.head != NULL;
        if (busy) journal_pending(l);
        if (busy) l->doze_until = now + DOZE_MS;
        record_gap(l);
        if (anchor_due(l, now, until != UINT64_MAX)) anchor(l);
        bool look = l->conf.retain_ms != 0 && now >= l->retain_at;
        if (look) {
            jnl_shipped(l->j, jnl_shipped_hint(l->j), true);
            l->retain_at = now + RETAIN_EACH;
        }
        retain(l, look);
        ship(l, now, until != UINT64_MAX);
        if (now >= l->say_at) update_health(l);
        settle(l);
        struct pollfd fds[2] = {{.fd = l->wake, .events = POLLIN}, lrd_poll(l->r)};
        /* Only after a round that found nothing do callers know that they must wake us; most often the next one is that. */
        polled = !busy || !polled;
        fds[0].revents = fds[1].revents = 0;
        if (polled) doze(l, fds, busy ? 0 : sleep_ms(l, now_ms(CLOCK_MONOTONIC), until));
        eventfd_t ignored;
        if (fds[0].revents != 0) (void)eventfd_read(l->wake, &ignored);
        now = now_ms(CLOCK_MONOTONIC);
        redis_io(l, fds[1].revents, now);
        expire(l, now);
        show(l);
    }
    record_gap(l);
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
    if (unanchored(l)) l->anchor_at = 0; /* of a daemon that was killed */
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
    mem_clear(l);
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
    /* Signals are for the daemon's main thread; SIGPIPE, which hiredis raises when Redis died, is for nobody. */
    sigset_t all, old;
    sigfillset(&all);
    pthread_sigmask(SIG_SETMASK, &all, &old);
    int rc = pthread_create(&l->thread, NULL, run, l);
    pthread_sigmask(SIG_SETMASK, &old, NULL);
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
    l->close_by = now_ms(CLOCK_MONOTONIC) + timeout_ms;
    l->sleeping = false;
    pthread_mutex_unlock(&l->mu);
    (void)eventfd_write(l->wake, 1);
    pthread_join(l->thread, NULL);
    destroy(l, timeout_ms);
}
