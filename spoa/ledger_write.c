#include <config.h>

#include "spoa/ledger_int.h"

#include "spoa/advice.h"
#include "spoa/journal.h"
#include "spoa/ledger_anchor.h"
#include "spoa/ledger_conf.h"
#include "spoa/ledger_retained.h"
#include "spoa/log.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#define MEM_BYTES     ((size_t)32 << 20) /* journalled events kept in memory until Redis has them; the rest is read back from the journal */
#define WRITE_BYTES   ((size_t)4 << 20)  /* one write to the journal: so many bytes of events ... */
#define WRITE_EVENTS  1024               /* ... and so many events */
#define REPEAT_MS     60000              /* between lines that say the same */
#define FIRST_ANCHOR  1000               /* ms after a journal's first event: nothing vouches for a writer without an anchor */
#define JOURNAL_RETRY 500                /* ms between attempts to write to a journal that failed, when nobody else tries */

void led_not_recorded(struct led *l, enum led_status status, bool waited) {
    atomic_fetch_add_explicit(!waited                ? &l->seen.dropped
                              : status == LED_FAILED ? &l->seen.failed
                                                     : &l->seen.refused,
                              1, memory_order_relaxed);
}

/* ---- health ---- */

bool led_too_much(const struct led *l) { return l->unshipped > l->conf.max_unshipped; }

/* One line, then at most one a minute: a disk that is full now and then would fill the log, and itself. What lasts is said in the end. */
static void say_health(struct led *l, bool ok, const char *why, const char *todo) {
    unsigned more = 0;
    bool said = l->said_down;
    l->said_down = !ok && log_due(l->journal_failed ? "ledger.unavailable journal" : "ledger.unavailable", &more);
    l->say_at = ok || l->said_down ? UINT64_MAX : led_now_ms(CLOCK_MONOTONIC) + REPEAT_MS;
    if (ok && said) log_event(LOG_WARN, "ledger.available", NULL);
    if (l->said_down) log_event(LOG_ERROR, "ledger.unavailable", "why", why, "do", todo, "held_back", log_fmt("%u", more), NULL);
}

void led_update_health(struct led *l) {
    char why[600] = "";
    const char *todo = l->journal_failed ? advice_journal(l->journal_why) : advice_redis(l->redis_why);
    bool strict = l->conf.mode == LED_STRICT;
    if (l->journal_failed)
        snprintf(why, sizeof why, "%s", l->journal_why);
    else if (strict && l->away)
        snprintf(why, sizeof why, "audit is strict and Redis is away: %s", l->redis_why);
    else if (led_too_much(l))
        snprintf(why, sizeof why, "%" PRIu64 " bytes of events wait for Redis, more than max_unshipped allows: %s", l->unshipped,
                 l->redis_why);
    atomic_store(&l->turn_away, strict && l->away);
    bool ok = why[0] == '\0', was = atomic_load(&l->healthy);
    pthread_mutex_lock(&l->mu);
    snprintf(l->why, sizeof l->why, "%s", why);
    pthread_mutex_unlock(&l->mu);
    atomic_store(&l->todo, ok ? "" : todo);
    atomic_store(&l->healthy, ok);
    atomic_store(&l->journal_healthy, !l->journal_failed && !led_too_much(l));
    if (was != ok || (!ok && led_now_ms(CLOCK_MONOTONIC) >= l->say_at))
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
    led_not_recorded(l, status, r->done != NULL);
    answer(r, status);
}

void led_set_away(struct led *l, bool away, const char *why) {
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
    led_update_health(l);
}

/* ---- events in memory ---- */

void led_mem_clear(struct led *l) {
    lev_free_all(l->mem);
    l->mem = NULL;
    l->mem_tail = &l->mem;
    l->mem_bytes = 0;
    l->mem_next = l->next_ship;
    l->in_flight = 0;
}

/* Takes e when it continues what is there and there is room, else frees it: it will be read back from the journal. */
void led_mem_add(struct led *l, struct lev *e) {
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

void led_mem_drop(struct led *l) {
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
                led_now_ms(CLOCK_MONOTONIC) + (l->anchored == 0 && l->conf.anchor_ms > FIRST_ANCHOR ? FIRST_ANCHOR : l->conf.anchor_ms);
    }
    if (buf_used(&l->lines) > WRITE_BYTES * 2)
        buf_free(&l->lines); /* after a rare large one */
    else
        buf_reset(&l->lines);
    if (ok && led_too_much(l) && led_healthy(l)) led_update_health(l);
    if (ok != l->journal_failed) return ok;
    l->journal_failed = !ok;
    l->journal_retry = led_now_ms(CLOCK_MONOTONIC) + JOURNAL_RETRY;
    led_update_health(l);
    return ok;
}

static void format(struct led *l, struct lev *e, struct tail *t) {
    t->id = lev_id_next(t->id, e->ms);
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
        l->journal_retry = led_now_ms(CLOCK_MONOTONIC) + JOURNAL_RETRY;
        lev_free_all(e);
        return false;
    }
    led_mem_add(l, e);
    return true;
}

/* Says, signed, where the journal ends. Outside only what the journal has: a line there for an event that never was would be an accusation. */
void led_anchor(struct led *l) {
    struct chain_anchor a = {.seq = l->tail.seq + 1, .ends = l->tail.chain};
    char signature[NODEKEY_SIGNATURE_SIZE];
    const char *key = nodekey_public(l->key);
    struct lev *e = NULL;
    l->anchor_at = led_now_ms(CLOCK_MONOTONIC) + l->conf.anchor_ms; /* when it fails */
    snprintf(a.node, sizeof a.node, "%s", l->conf.node);
    time_text(a.time);
    char *text = chain_anchor_text(&a), *line = NULL;
    if (text != NULL && nodekey_sign(l->key, text, strlen(text), signature)) {
        const struct led_field f[] = {
            {"signed", text, strlen(text), NULL}, {"signature", signature, strlen(signature), NULL}, {"key", key, strlen(key), NULL}};
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

bool led_unanchored(const struct led *l) { return l->key != NULL && l->tail.seq > l->anchored; }

/* What cannot be taken now is answered; the rest is formatted and stays in batch. Adds the bytes that are no longer queued. */
static void format_batch(struct led *l, struct reqs *batch, struct tail *t, size_t *small, size_t *large) {
    size_t bytes = 0;
    bool strict = l->conf.mode == LED_STRICT;
    for (int n = 0; l->pending.head != NULL && n < WRITE_EVENTS && bytes < WRITE_BYTES; n++) {
        struct req *r = reqs_pop(&l->pending);
        if (r->ev != NULL) *(r->large ? large : small) += req_bytes(r);
        if (r->ev == NULL)
            turn_down(l, r, r->status);
        else if ((strict && l->away && r->done != NULL && !r->journal_does) || led_too_much(l))
            turn_down(l, r, LED_UNAVAILABLE);
        else {
            bytes += r->ev->bytes;
            format(l, r->ev, t);
            r->seq = t->seq;
            reqs_add(batch, r);
        }
    }
}

void led_write(struct led *l) {
    struct reqs batch;
    reqs_init(&batch);
    /* So that the last two files, all that a start reads, say where both chains end. */
    if (l->key != NULL && jnl_full(l->j) && led_unanchored(l)) led_anchor(l);
    struct tail t = l->tail;
    size_t small = 0, large = 0;
    format_batch(l, &batch, &t, &small, &large);
    pthread_mutex_lock(&l->mu);
    l->queue_bytes -= small;
    l->large_bytes -= large;
    pthread_mutex_unlock(&l->mu);
    if (batch.head == NULL) return;
    bool ok = commit(l, &t);
    for (struct req *r; (r = reqs_pop(&batch)) != NULL;) {
        if (!ok) {
            turn_down(l, r, LED_FAILED);
            continue;
        }
        led_mem_add(l, r->ev);
        r->ev = NULL;
        if (l->conf.mode == LED_STRICT && r->done != NULL && !r->journal_does)
            reqs_add(&l->waiting, r);
        else
            answer(r, LED_OK);
    }
}

/* Once the ledger works again, the stream says for how many it did not. It is also the probe that finds a mended journal. */
void led_record_gap(struct led *l) {
    bool redis_ok = l->conf.mode == LED_JOURNAL || !l->away;
    if (l->refused + l->dropped == 0 || !redis_ok || led_too_much(l)) return;
    if (l->journal_failed && led_now_ms(CLOCK_MONOTONIC) < l->journal_retry) return;
    char refused[24], dropped[24];
    struct led_field f[] = {{"refused", refused, (size_t)snprintf(refused, sizeof refused, "%" PRIu64, l->refused), NULL},
                            {"dropped", dropped, (size_t)snprintf(dropped, sizeof dropped, "%" PRIu64, l->dropped), NULL},
                            {"since", l->since, strlen(l->since), NULL}};
    struct lev *e = lev_of(&(struct led_event){.stream = LED_SESSIONS, .type = "unavailable", .fields = f, .nfields = 3}, l->conf.node);
    if (e == NULL) return;
    if (record_own(l, e)) l->refused = l->dropped = 0;
}

/* Files of the journal that are needed no more go, once the journal says, signed, that they do. */
void led_retain(struct led *l, bool look) {
    bool aged;
    char time[32];
    size_t n = l->journal_failed || led_too_much(l) ? 0 : jnl_removable(l->j, look, &aged);
    if (n == 0) return;
    time_text(time);
    struct lev *e = l->key == NULL ? NULL : retained_files(l->j, l->key, jnl_file_end(l->j, n), aged ? "age" : "size", time, l->conf.node);
    if (l->key == NULL || (e != NULL && record_own(l, e))) jnl_remove(l->j, n);
}
