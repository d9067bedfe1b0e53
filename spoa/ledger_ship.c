#include <config.h>

#include "spoa/ledger_int.h"

#include "spoa/journal.h"
#include "spoa/log.h"

#include <inttypes.h>
#include <stdio.h>
#include <time.h>

#define SHIP_BYTES   ((size_t)1 << 20) /* one transaction; one event that is larger goes alone. Redis serves nobody else meanwhile */
#define SHIP_EVENTS  512
#define CLAIM_MS     LED_HEAR_MS /* before the shipped key says what the last transaction brought, when none follows */
#define SHIP_WAIT_MS 20          /* LED_JOURNAL: nobody waits for Redis, so events are gathered between transactions ... */
#define SHIP_ENOUGH                                                                                                                        \
    32 /* ... until there are so many. On a machine that it shares, Redis keeps others waiting as long as it is at work on them */
#define BACKOFF_MS  100 /* between attempts to connect, doubled up to ... */
#define BACKOFF_MAX 2000
#define SKEW_MS     5000

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
    led_set_away(l, true, lrd_error(l->r));
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
        led_mem_clear(l);
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
    if (l->away) led_set_away(l, false, NULL);
    led_record_gap(l);
}

static void shipped(struct led *l) {
    for (; l->in_flight > 0; l->in_flight--) {
        uint64_t n = l->mem->line_bytes;
        l->unshipped = l->unshipped > n ? l->unshipped - n : 0;
        l->next_ship = l->mem->seq + 1;
        led_mem_drop(l);
    }
    if (l->next_ship > jnl_last_seq(l->j)) l->unshipped = 0;
    jnl_shipped(l->j, lrd_shipped(l->r), false); /* what a later connection need not look for */
    while (l->waiting.head != NULL && l->waiting.head->seq < l->next_ship) answer(reqs_pop(&l->waiting), LED_OK);
    if (!led_healthy(l)) led_update_health(l);
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
        led_mem_add(l, e);
    }
    return true;
}

/* More events soon go with these, and Redis has one transaction for all of them. Not while it has to catch up, nor at the end. */
static bool ship_later(const struct led *l, uint64_t now, bool closing) {
    return l->conf.mode == LED_JOURNAL && !closing && now < l->ship_at && l->backoff == 0 && !l->away && l->mem != NULL &&
           l->mem_next > jnl_last_seq(l->j) && l->mem_next - l->next_ship < SHIP_ENOUGH && l->mem_bytes < SHIP_BYTES;
}

void led_ship(struct led *l, uint64_t now, bool closing) {
    if (lrd_state(l->r) != LRD_READY || ship_later(l, now, closing)) return;
    char why[400];
    *why = '\0'; /* not all of them, at each call */
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
    int64_t ahead = redis_ms - (int64_t)led_now_ms(CLOCK_REALTIME);
    if ((ahead > SKEW_MS || ahead < -SKEW_MS) && log_due("ledger.clock", &more))
        log_event(LOG_WARN, "ledger.clock", "reason",
                  log_fmt("the clock of Redis's machine is %" PRId64 " s %s of ours", (ahead < 0 ? -ahead : ahead) / 1000,
                          ahead < 0 ? "behind" : "ahead"),
                  "do", "check NTP on both machines (timedatectl)", NULL);
}

void led_redis_io(struct led *l, short revents, uint64_t now) {
    enum lrd_state was = lrd_state(l->r);
    if (was == LRD_DOWN) {
        if (now >= l->connect_at) lrd_connect(l->r, now);
        return;
    }
    char why[400];
    *why = '\0'; /* not all of them, at each call */
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
