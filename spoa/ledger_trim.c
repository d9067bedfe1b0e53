#include <config.h>

#include "spoa/ledger_trim.h"

#include "spoa/ledger_dial.h"
#include "spoa/ledger_retained.h"
#include "spoa/ledger_slots.h"
#include "spoa/log.h"
#include "spoa/thread.h"

#include <errno.h>
#include <inttypes.h>
#include <pthread.h>
#include <semaphore.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#define WAIT_MS    10000u /* Redis's answer */
#define SHIP_MS    30000u /* until Redis has the event that says what goes */
#define EVERY_MS   3600000u
#define LEAST_MS   86400000u
#define AGAIN_MS   60000u /* after a failure, when that is sooner */
#define BATCH      20000u /* events in one batch, and so in one event's runs at most; a session that has more goes in pieces */
#define STREAMS    500u   /* of one batch */
#define ID_LONGEST 200u   /* of a session's or a request's id */
#define REQUESTS   64u    /* for approval, of one session; one that has more stays */

/* KEYS: the index, then the streams. ARGV: for each of those '' (all of it goes) or the id that is to be its first; then entries of the index. One call,
 * so that nobody ever sees a half of it. */
static const char script[] = "for i = 2, #KEYS do\n"
                             "  if ARGV[i - 1] == '' then redis.call('UNLINK', KEYS[i])\n"
                             "  else redis.call('XTRIM', KEYS[i], 'MINID', ARGV[i - 1]) end\n"
                             "end\n"
                             "for i = #KEYS, #ARGV, 500 do\n"
                             "  redis.call('XDEL', KEYS[1], unpack(ARGV, i, math.min(i + 499, #ARGV)))\n"
                             "end\n"
                             "return redis.status_reply('OK')\n";

/* ARGV: a session's stream, a request's, the index. Every right is tried before anything is said to go. */
static const char probe_script[] = "local function need(cmd, key, ...)\n"
                                   "  if redis.acl_check_cmd(cmd, key, ...) then return nil end\n"
                                   "  return redis.error_reply('NOPERM the user may not run ' .. cmd .. ' on ' .. key)\n"
                                   "end\n"
                                   "if not redis.acl_check_cmd then return 'OK' end\n"
                                   "return need('UNLINK', ARGV[1]) or need('XTRIM', ARGV[1], 'MINID', '1') or need('UNLINK', ARGV[2]) or\n"
                                   "       need('XTRIM', ARGV[2], 'MINID', '1') or need('XDEL', ARGV[3], '1') or 'OK'\n";

struct gone { /* an event that is to go */
    struct retained_event e;
    uint32_t writer, stream;
};
struct stream {
    char *key;     /* as hashed: gatehouse:audit:s1 */
    char from[48]; /* what it begins with afterwards; "": all of it goes */
};
struct batch {
    struct gone *list;
    size_t n, room;
    struct stream streams[STREAMS];
    size_t nstreams;
    char **ids; /* of the index */
    size_t nids, ids_room;
    bool failed; /* no memory, or Redis did not answer */
};

struct trim {
    const struct led_conf *conf;
    struct led *own;
    struct nodekey *key;
    unsigned mine;
    pthread_t thread;
    pthread_mutex_t lock;
    pthread_cond_t wake;
    bool stopping; /* guarded by lock */
    _Atomic bool retired;
    _Atomic uint64_t events, nstreams;
    redisContext *c;
    struct led_place moved;
    const char *prefix;
    bool others[LED_SLOTS]; /* journals that another process has */
    char at[48];            /* how far the index was looked at in this pass */
    struct led_pages index; /* of it */
};

static bool stopping(struct trim *t) {
    pthread_mutex_lock(&t->lock);
    bool yes = t->stopping;
    pthread_mutex_unlock(&t->lock);
    return yes || atomic_load(&t->retired);
}

static uint64_t system_ms(void) {
    struct timespec t;
    clock_gettime(CLOCK_REALTIME, &t);
    return (uint64_t)t.tv_sec * 1000 + (uint64_t)t.tv_nsec / 1000000;
}

static void time_text(uint64_t ms, char out[32]) {
    time_t s = (time_t)(ms / 1000);
    struct tm tm;
    gmtime_r(&s, &tm);
    size_t n = strftime(out, 24, "%Y-%m-%dT%H:%M:%S", &tm);
    snprintf(out + n, 32 - n, ".%03uZ", (unsigned)(ms % 1000));
}

/* --- Redis --- */

static void complain(struct trim *t, const char *what, const char *why) {
    unsigned more = 0;
    if (log_due(log_fmt("retention %s", what), &more))
        log_event(LOG_WARN, "retention.redis", "what", what, "reason", why, "do",
                  strstr(why, "NOPERM") != NULL
                      ? "give Redis's user the rights that doc/ledger.md lists under audit.retention: until then nothing old is removed"
                      : "nothing old is removed until Redis answers; it is tried again",
                  NULL);
    if (t->c != NULL) redisFree(t->c);
    t->c = NULL;
}

static bool connected(struct trim *t) {
    char why[400];
    if (t->c == NULL && (t->c = led_dial(t->conf, &t->moved, WAIT_MS, why, sizeof why)) == NULL) complain(t, "connecting", why);
    return t->c != NULL;
}

/* NULL, and the connection is gone, when Redis did not answer, for that reason, or said no. */
static redisReply *answer(struct trim *t, const char *what, redisReply *r, const char *why) {
    if (r != NULL && r->type != REDIS_REPLY_ERROR) return r;
    if (r != NULL) (void)led_find_moved(t->conf, r->str, &t->moved); /* the next connection goes there */
    complain(t, what, r != NULL ? r->str : why);
    if (r != NULL) freeReplyObject(r);
    return NULL;
}

/* The same; *large: it was too large, and there is another connection. */
static redisReply *ask_for_large(struct trim *t, const char *what, int argc, const char **argv, bool *large) {
    char why[400];
    *large = false;
    if (!connected(t)) return NULL;
    redisReply *r = led_ask(t->c, argc, argv, NULL);
    *large = r == NULL && t->c->err == REDIS_ERR_OOM;
    if (!*large) return answer(t, what, r, t->c->errstr);
    if (!led_redial(&t->c, t->conf, WAIT_MS, why, sizeof why)) complain(t, "connecting", why);
    return NULL;
}

static redisReply *ask(struct trim *t, const char *what, int argc, const char **argv) {
    bool large;
    redisReply *r = ask_for_large(t, what, argc, argv, &large);
    if (large) complain(t, what, "the answer is too large");
    return r;
}

static redisReply *ask_page(struct trim *t, const char *what, struct led_pages *p, const char *key, const char *from) {
    char why[400] = "";
    return connected(t) ? answer(t, what, led_page(&t->c, p, key, from, why, sizeof why), why) : NULL;
}

/* None of our events is as large, in Redis, as what careful pages leave out. */
static struct led_pages pages_of(const struct trim *t) {
    return (struct led_pages){.conf = t->conf, .wait_ms = WAIT_MS, .most = LED_PAGE_MOST};
}

static void in_redis(const struct trim *t, const char *key, char out[LEV_KEY_MAX]) {
    snprintf(out, LEV_KEY_MAX, "%s%s", t->prefix, key + sizeof LEV_PREFIX - 1);
}

/* The digest of a script that Redis has from now on. */
static bool load(struct trim *t, const char *text, char sha[41]) {
    redisReply *r = ask(t, "the script", 3, (const char *[]){"SCRIPT", "LOAD", text});
    bool ok = r != NULL && r->type == REDIS_REPLY_STRING && r->len == 40;
    if (ok) memcpy(sha, r->str, 41);
    if (r != NULL) freeReplyObject(r);
    return ok;
}

static bool may_remove(struct trim *t) {
    char sha[41], audit[LEV_KEY_MAX], approval[LEV_KEY_MAX], index[LEV_KEY_MAX];
    in_redis(t, LEV_KEY_AUDIT "0", audit);
    in_redis(t, LEV_KEY_APPROVAL "0", approval);
    in_redis(t, LEV_KEY_SESSIONS, index);
    redisReply *r = load(t, probe_script, sha) ? ask(t, "a right", 6, (const char *[]){"EVALSHA", sha, "0", audit, approval, index}) : NULL;
    bool ok = r != NULL;
    if (r != NULL) freeReplyObject(r);
    return ok;
}

/* What Redis keeps in its memory; 0: it does not say. */
static uint64_t memory_used(struct trim *t) {
    redisReply *r = ask(t, "how much memory it uses", 2, (const char *[]){"INFO", "memory"});
    const char *at = r == NULL || r->str == NULL ? NULL : strstr(r->str, "used_memory:");
    uint64_t n = at == NULL ? 0 : strtoull(at + sizeof "used_memory:" - 1, NULL, 10);
    if (r != NULL) freeReplyObject(r);
    return n;
}

/* --- entries --- */

struct entry { /* borrowed from a reply */
    const char *id;
    struct lev_part parts[2 * (LED_MAX_FIELDS + 8)];
    size_t n;
    uint64_t seq, ms;
    unsigned writer; /* the slot */
};

static const char *value(const struct entry *e, const char *name) {
    for (size_t i = 0; i + 1 < e->n; i += 2)
        if (strcmp(e->parts[i].at, name) == 0) return e->parts[i + 1].at;
    return NULL;
}

/* NODE or NODE/1 to NODE/7. */
static bool writer_of(const struct trim *t, const char *node, unsigned *slot) {
    size_t n = strlen(t->conf->node);
    if (strncmp(node, t->conf->node, n) != 0) return false;
    *slot = 0;
    if (node[n] == '\0') return true;
    *slot = node[n] == '/' && node[n + 1] > '0' && node[n + 1] < '0' + (char)LED_SLOTS && node[n + 2] == '\0'
                ? (unsigned)(node[n + 1] - '0')
                : 0;
    return *slot > 0;
}

/* RFC 3339 as we write it, in milliseconds since 1970. */
static bool read_time(const char *s, uint64_t *ms) {
    struct tm tm = {0};
    unsigned milli;
    const char *rest = strptime(s, "%Y-%m-%dT%H:%M:%S", &tm);
    if (rest == NULL || sscanf(rest, ".%3uZ", &milli) != 1) return false;
    time_t at = timegm(&tm);
    *ms = (uint64_t)at * 1000 + milli;
    return at > 0;
}

/* False: it is none of this node's events. Its time is a part of what is hashed; its id is not. */
static bool read_entry(const struct trim *t, const redisReply *r, struct entry *e) {
    static const char *const names[] = {"type", "seq", "node", "time", "prev"};
    if (r->type != REDIS_REPLY_ARRAY || r->elements != 2 || r->element[0]->type != REDIS_REPLY_STRING ||
        r->element[1]->type != REDIS_REPLY_ARRAY)
        return false;
    const redisReply *f = r->element[1];
    e->id = r->element[0]->str;
    e->n = f->elements;
    if (e->n < 10 || e->n > sizeof e->parts / sizeof *e->parts || e->n % 2 != 0 || strlen(e->id) >= 48) return false;
    for (size_t i = 0; i < e->n; i++) {
        if (f->element[i]->type != REDIS_REPLY_STRING) return false;
        e->parts[i] = (struct lev_part){f->element[i]->str, f->element[i]->len};
    }
    for (size_t i = 0; i < 5; i++)
        if (strcmp(e->parts[2 * i].at, names[i]) != 0) return false;
    const char *seq = e->parts[3].at;
    e->seq = strlen(seq) < 19 ? strtoull(seq, NULL, 10) : 0;
    return e->seq > 0 && writer_of(t, e->parts[5].at, &e->writer) && read_time(e->parts[7].at, &e->ms) && e->parts[9].len == 64;
}

/* --- a batch --- */

static void batch_clear(struct batch *b) {
    for (size_t i = 0; i < b->nstreams; i++) free(b->streams[i].key);
    for (size_t i = 0; i < b->nids; i++) free(b->ids[i]);
    free(b->ids);
    free(b->list);
    free(b);
}

static bool add(struct batch *b, const char *key, const struct entry *e, uint32_t stream) {
    if (b->n == b->room) {
        size_t room = b->room == 0 ? 1024 : 2 * b->room;
        struct gone *list = reallocarray(b->list, room, sizeof *list);
        if (list == NULL) return false;
        b->list = list;
        b->room = room;
    }
    struct gone *g = &b->list[b->n];
    *g = (struct gone){.e.seq = e->seq, .writer = e->writer, .stream = stream};
    memcpy(g->e.prev, e->parts[9].at, sizeof g->e.prev);
    if (!chain_hash(key, e->parts, e->n, g->e.hash)) return false;
    b->n++;
    return true;
}

static bool add_id(struct batch *b, const char *id) {
    if (b->nids == b->ids_room) {
        size_t room = b->ids_room == 0 ? 256 : 2 * b->ids_room;
        char **ids = reallocarray(b->ids, room, sizeof *ids);
        if (ids == NULL) return false;
        b->ids = ids;
        b->ids_room = room;
    }
    b->ids[b->nids] = strdup(id);
    return b->ids[b->nids++] != NULL;
}

/* To what it was before some streams were added. */
static void cut_back(struct batch *b, size_t n, size_t nstreams) {
    b->n = n;
    while (b->nstreams > nstreams) free(b->streams[--b->nstreams].key);
}

static void odd(const char *key, const char *why) {
    unsigned more = 0;
    if (log_due(key, &more))
        log_event(LOG_ERROR, "retention.kept", "stream", key, "reason", why, "do", "gatehousectl audit verify says what was touched", NULL);
}

/* The ids of requests for approval that a session's statements name. */
struct requests {
    char id[REQUESTS][ID_LONGEST + 1];
    size_t n;
    bool more;
};

static void note_request(struct requests *q, const char *id) {
    if (id == NULL || strlen(id) > ID_LONGEST || q->more) return;
    for (size_t i = 0; i < q->n; i++)
        if (strcmp(q->id[i], id) == 0) return;
    if (q->n == REQUESTS)
        q->more = true;
    else
        snprintf(q->id[q->n++], sizeof q->id[0], "%s", id);
}

enum old {
    OLD_GONE,   /* there is nothing, or it goes with this batch */
    OLD_PARTLY, /* its beginning does */
    OLD_STAYS
};

static bool is_old(struct trim *t, const char *key, uint64_t before, bool *any) {
    bool large;
    redisReply *r = ask_for_large(t, "reading a stream's end", 6, (const char *[]){"XREVRANGE", key, "+", "-", "COUNT", "1"}, &large);
    struct entry e;
    if (large) odd(key, "its last entry is larger than any event");
    *any = large || (r != NULL && r->type == REDIS_REPLY_ARRAY && r->elements > 0);
    bool old = *any && !large && read_entry(t, r->element[0], &e) && e.ms < before;
    if (r != NULL) freeReplyObject(r);
    return old;
}

/* Takes one page; false: the stream stays. */
static bool take_page(struct trim *t, struct batch *b, const redisReply *r, const char *hashed, struct requests *q, char next[64]) {
    struct stream *s = &b->streams[b->nstreams];
    for (size_t i = 0; i < r->elements; i++) {
        struct entry e;
        if (!read_entry(t, r->element[i], &e)) return odd(hashed, "it has an entry that is none of this node's"), false;
        if (t->others[e.writer] && q != NULL) return false; /* of a daemon that still runs */
        if (q != NULL && b->n >= BATCH) {                   /* those of requests are short, and must go with the session that names them */
            snprintf(s->from, sizeof s->from, "%s", e.id);
            return true;
        }
        if (!add(b, hashed, &e, (uint32_t)b->nstreams)) return b->failed = true, false;
        if (q != NULL) note_request(q, value(&e, "approval"));
        snprintf(next, 64, "(%s", e.id);
    }
    return true;
}

/* A stream whose last event is old. q NULL: of a request, whose events are of any of this node's daemons. */
static enum old take_stream(struct trim *t, struct batch *b, const char *hashed, uint64_t before, struct requests *q) {
    char key[LEV_KEY_MAX], next[64] = "-";
    bool any;
    in_redis(t, hashed, key);
    for (size_t i = 0; i < b->nstreams; i++)
        if (strcmp(b->streams[i].key, hashed) == 0) return b->streams[i].from[0] == '\0' ? OLD_GONE : OLD_PARTLY;
    if (!is_old(t, key, before, &any)) return any || t->c == NULL ? OLD_STAYS : OLD_GONE;
    if (b->nstreams == STREAMS) return OLD_STAYS;
    struct stream *s = &b->streams[b->nstreams];
    *s = (struct stream){.key = strdup(hashed)};
    size_t before_n = b->n, page = 1;
    struct led_pages pages = pages_of(t);
    bool ok = s->key != NULL;
    while (ok && page > 0 && s->from[0] == '\0') {
        redisReply *r = ask_page(t, "reading a stream", &pages, key, next);
        page = r != NULL && r->type == REDIS_REPLY_ARRAY ? r->elements : 0;
        ok = r != NULL && take_page(t, b, r, hashed, q, next);
        if (r != NULL) freeReplyObject(r);
    }
    if (!ok || b->n == before_n) {
        free(s->key);
        b->n = before_n;
        return OLD_STAYS;
    }
    b->nstreams++;
    return s->from[0] == '\0' ? OLD_GONE : OLD_PARTLY;
}

/* A session's, and those of its requests: they are found by it alone. */
static enum old take_session(struct trim *t, struct batch *b, const char *session, uint64_t before) {
    char key[sizeof LEV_KEY_AUDIT + ID_LONGEST];
    struct requests q = {.n = 0};
    size_t n = b->n, nstreams = b->nstreams;
    if (strlen(session) > ID_LONGEST || led_session_open(t->own, session)) return OLD_STAYS;
    snprintf(key, sizeof key, LEV_KEY_AUDIT "%s", session);
    enum old is = take_stream(t, b, key, before, &q);
    if (q.more) odd(key, "its requests for approval are too many to be found again");
    bool ok = !q.more;
    for (size_t i = 0; ok && is != OLD_STAYS && i < q.n; i++) {
        char request[sizeof LEV_KEY_APPROVAL + ID_LONGEST];
        snprintf(request, sizeof request, LEV_KEY_APPROVAL "%s", q.id[i]);
        ok = take_stream(t, b, request, before, NULL) == OLD_GONE;
    }
    if (ok) return is;
    cut_back(b, n, nstreams);
    return OLD_STAYS;
}

/* One of the index. False: enough of it. */
static bool take_index(struct trim *t, struct batch *b, const redisReply *r, bool large, uint64_t before) {
    struct entry e;
    if (large) odd(LEV_KEY_SESSIONS, "it has an entry that is larger than any event; what is behind it is looked at");
    if (!read_entry(t, r, &e) || t->others[e.writer] || e.ms >= before || strcmp(e.parts[1].at, RETAINED_TYPE) == 0) return true;
    const char *session = value(&e, "session");
    enum old is = session == NULL ? OLD_GONE : take_session(t, b, session, before);
    if (is == OLD_PARTLY) return false;
    if (is == OLD_STAYS) return !b->failed && t->c != NULL;
    b->failed = b->failed || !add(b, LEV_KEY_SESSIONS, &e, STREAMS) || !add_id(b, e.id);
    return !b->failed;
}

/* Gathers what is next in the index. *end: there is no more that could be old. */
static bool gather(struct trim *t, struct batch *b, uint64_t before, bool *end) {
    char key[LEV_KEY_MAX];
    in_redis(t, LEV_KEY_SESSIONS, key);
    for (bool more = true; more && !*end && b->n < BATCH && b->nstreams + REQUESTS < STREAMS && !stopping(t);) {
        redisReply *r = ask_page(t, "reading the index", &t->index, key, t->at);
        *end = r == NULL || r->type != REDIS_REPLY_ARRAY || r->elements == 0;
        for (size_t i = 0; !*end && more && i < r->elements; i++) {
            bool large;
            const char *id = led_page_id(r->element[i], &large);
            *end = id == NULL || strlen(id) >= sizeof t->at - 1 || strtoull(id, NULL, 10) >= before;
            more = !*end && take_index(t, b, r->element[i], large, before) && b->n < BATCH && b->nstreams + REQUESTS < STREAMS;
            if (more) snprintf(t->at, sizeof t->at, "(%s", id);
        }
        if (r == NULL) b->failed = true;
        if (r != NULL) freeReplyObject(r);
    }
    return !b->failed && t->c != NULL;
}

/* --- saying so --- */

struct call {
    sem_t sem;
    enum led_status status;
};

static void on_done(void *arg, enum led_status status) {
    struct call *c = arg;
    c->status = status;
    sem_post(&c->sem);
}

static bool record(struct trim *t, const struct retained *r, json_t *streams) {
    struct retained_entry entry;
    struct call c = {.status = LED_FAILED};
    bool ok = retained_entry(t->key, r, streams, &entry) && sem_init(&c.sem, 0, 0) == 0;
    if (ok) {
        led_append(t->own, &entry.ev, on_done, &c);
        while (sem_wait(&c.sem) < 0) continue;
        sem_destroy(&c.sem);
    }
    retained_entry_clear(&entry);
    return ok && c.status == LED_OK;
}

static int by_number(const void *a, const void *b) {
    const struct gone *x = a, *y = b;
    if (x->writer != y->writer) return x->writer < y->writer ? -1 : 1;
    return x->e.seq < y->e.seq ? -1 : x->e.seq > y->e.seq;
}

/* [{"key", "events", "first", "last", "hash"}]: of one writer, whose events are sorted. */
static json_t *streams_json(const struct batch *b, const struct gone *g, size_t n, uint64_t *count) {
    struct {
        uint64_t events, first;
        const struct gone *last;
    } *of = calloc(STREAMS + 1, sizeof *of);
    json_t *list = of == NULL ? NULL : json_array();
    for (size_t i = 0; list != NULL && i < n; i++) {
        if (of[g[i].stream].events++ == 0) of[g[i].stream].first = g[i].e.seq;
        of[g[i].stream].last = &g[i];
    }
    *count = 0;
    for (size_t i = 0; list != NULL && i <= STREAMS; i++) {
        if (of[i].events == 0) continue;
        ++*count;
        json_array_append_new(list, json_pack("{s:s, s:I, s:I, s:I, s:s}", "key", i == STREAMS ? LEV_KEY_SESSIONS : b->streams[i].key,
                                              "events", (json_int_t)of[i].events, "first", (json_int_t)of[i].first, "last",
                                              (json_int_t)of[i].last->e.seq, "hash", of[i].last->e.hash));
    }
    free(of);
    return list;
}

/* The events of one writer. */
static bool say(struct trim *t, const struct batch *b, const struct gone *g, size_t n, const char *why) {
    struct retained r = {.events = n, .where = "redis"};
    struct retained_event *list = calloc(n, sizeof *list);
    size_t broken = 0;
    if (list == NULL) return false;
    for (size_t i = 0; i < n; i++) list[i] = g[i].e;
    if (g->writer == 0)
        snprintf(r.of, sizeof r.of, "%s", t->conf->node);
    else
        snprintf(r.of, sizeof r.of, "%s/%u", t->conf->node, (unsigned)g->writer);
    snprintf(r.why, sizeof r.why, "%s", why);
    time_text(system_ms(), r.time);
    json_t *streams = streams_json(b, g, n, &r.nstreams);
    bool ok = streams != NULL && retained_runs(list, n, &r, &broken);
    if (ok && broken > 0)
        log_event(LOG_ERROR, "retention.changed", "events", log_fmt("%zu", broken), "reason",
                  "events that are removed now had been changed: audit verify goes on to say so", "do", "find out who writes to Redis",
                  NULL);
    if (ok)
        ok = record(t, &r, streams);
    else
        json_decref(streams);
    if (ok)
        log_event(LOG_INFO, "retention", "of", r.of, "events", log_fmt("%zu", n), "streams", log_fmt("%" PRIu64, r.nstreams), "reason", why,
                  NULL);
    retained_clear(&r);
    free(list);
    return ok;
}

static bool say_all(struct trim *t, struct batch *b, const char *why) {
    qsort(b->list, b->n, sizeof *b->list, by_number);
    for (size_t i = 0, j; i < b->n; i = j) {
        for (j = i + 1; j < b->n && b->list[j].writer == b->list[i].writer; j++) continue;
        if (!say(t, b, b->list + i, j - i, why)) return false;
    }
    /* Redis must not be without them when it is without what they tell of. */
    uint64_t last = led_last(t->own), end = system_ms() + SHIP_MS;
    while (led_shipped(t->own) < last && system_ms() < end && !stopping(t)) nanosleep(&(struct timespec){.tv_nsec = 5000000}, NULL);
    return led_shipped(t->own) >= last;
}

/* --- removing --- */

static bool delete (struct trim *t, const struct batch *b) {
    size_t n = 0;
    char sha[41], keys[24], (*names)[LEV_KEY_MAX] = calloc(b->nstreams + 1, sizeof *names);
    const char **argv = calloc(5 + 2 * b->nstreams + b->nids, sizeof *argv);
    bool ok = argv != NULL && names != NULL && load(t, script, sha);
    if (ok) {
        snprintf(keys, sizeof keys, "%zu", b->nstreams + 1);
        argv[n++] = "EVALSHA", argv[n++] = sha, argv[n++] = keys;
        in_redis(t, LEV_KEY_SESSIONS, names[b->nstreams]);
        argv[n++] = names[b->nstreams];
        for (size_t i = 0; i < b->nstreams; i++) {
            in_redis(t, b->streams[i].key, names[i]);
            argv[n++] = names[i];
        }
        for (size_t i = 0; i < b->nstreams; i++) argv[n++] = b->streams[i].from;
        for (size_t i = 0; i < b->nids; i++) argv[n++] = b->ids[i];
        redisReply *r = ask(t, "removing", (int)n, argv);
        ok = r != NULL;
        if (r != NULL) freeReplyObject(r);
    }
    free(argv);
    free(names);
    return ok;
}

/* Events removed; *end: nothing more is old. 0 and not *end: it failed. */
static size_t run_batch(struct trim *t, uint64_t before, const char *why, bool *end) {
    struct batch *b = calloc(1, sizeof *b);
    size_t n = 0;
    bool ok = b != NULL && gather(t, b, before, end);
    if (ok && b->n > 0) {
        ok = say_all(t, b, why) && delete (t, b);
        n = ok ? b->n : 0;
        if (ok) {
            atomic_fetch_add(&t->events, n);
            atomic_fetch_add(&t->nstreams, b->nstreams);
        }
    }
    if (!ok) *end = false;
    if (b != NULL) batch_clear(b);
    return n;
}

/* --- the thread --- */

static void look_around(struct trim *t) {
    for (unsigned i = 0; i < LED_SLOTS; i++) t->others[i] = i != t->mine && led_slot_held(t->conf, i);
}

/* False: try again soon. */
static bool remove_before(struct trim *t, uint64_t age_ms, const char *why, uint64_t bytes) {
    uint64_t now = system_ms(), before = now > age_ms ? now - age_ms : 0;
    snprintf(t->at, sizeof t->at, "-");
    t->index = pages_of(t);
    for (bool end = false; !end && !stopping(t);) {
        uint64_t used = bytes > 0 ? memory_used(t) : 0;
        if (bytes > 0 && t->c == NULL) return false;
        if (bytes > 0 && used <= bytes) return true;
        look_around(t);
        if (run_batch(t, before, why, &end) == 0 && !end) return false;
    }
    return true;
}

static bool pass(struct trim *t) {
    const struct led_conf *c = t->conf;
    bool ok = may_remove(t);
    ok = ok && (c->retention_ms == 0 || remove_before(t, c->retention_ms, "age", 0));
    ok = ok && (c->retention_bytes == 0 ||
                remove_before(t, c->retention_least_ms > 0 ? c->retention_least_ms : LEAST_MS, "size", c->retention_bytes));
    if (t->c != NULL) redisFree(t->c);
    t->c = NULL;
    return ok;
}

static void doze(struct trim *t, uint64_t ms) {
    struct timespec until;
    clock_gettime(CLOCK_MONOTONIC, &until);
    until.tv_sec += (time_t)(ms / 1000);
    until.tv_nsec += (long)(ms % 1000) * 1000000L;
    until.tv_sec += until.tv_nsec / 1000000000L;
    until.tv_nsec %= 1000000000L;
    pthread_mutex_lock(&t->lock);
    if (!t->stopping) pthread_cond_timedwait(&t->wake, &t->lock, &until);
    pthread_mutex_unlock(&t->lock);
}

static void *run(void *arg) {
    struct trim *t = arg;
    uint64_t every = t->conf->retention_every_ms > 0 ? t->conf->retention_every_ms : EVERY_MS;
    while (!stopping(t)) {
        bool ok = !led_healthy(t->own) || pass(t);
        if (!stopping(t)) doze(t, ok || every < AGAIN_MS ? every : AGAIN_MS);
    }
    return NULL;
}

struct trim *trim_start(const struct led_conf *conf, unsigned mine, struct led *own, char *err, size_t size) {
    err[0] = '\0';
    if (conf->retention_ms == 0 && conf->retention_bytes == 0) return NULL;
    snprintf(err, size, "out of memory");
    struct trim *t = calloc(1, sizeof *t);
    if (t == NULL) return NULL;
    *t = (struct trim){.conf = conf, .own = own, .mine = mine, .prefix = conf->redis_prefix != NULL ? conf->redis_prefix : LEV_PREFIX};
    t->key = nodekey_open(conf->dir, err, size);
    if (t->key == NULL) {
        free(t);
        return NULL;
    }
    pthread_mutex_init(&t->lock, NULL);
    thread_cond_init(&t->wake);
    int rc = thread_start(&t->thread, 0, run, t);
    if (rc == 0) return t;
    snprintf(err, size, "no room for a thread");
    nodekey_free(t->key);
    free(t);
    return NULL;
}

void trim_retire(struct trim *t) {
    if (t != NULL) atomic_store(&t->retired, true);
}

void trim_stop(struct trim *t) {
    if (t == NULL) return;
    pthread_mutex_lock(&t->lock);
    t->stopping = true;
    pthread_cond_signal(&t->wake);
    pthread_mutex_unlock(&t->lock);
    pthread_join(t->thread, NULL);
    if (t->c != NULL) redisFree(t->c);
    pthread_cond_destroy(&t->wake);
    pthread_mutex_destroy(&t->lock);
    nodekey_free(t->key);
    free(t);
}

void trim_stats(const struct trim *t, struct trim_stats *out) {
    *out = (struct trim_stats){0};
    if (t != NULL) *out = (struct trim_stats){atomic_load(&t->events), atomic_load(&t->nstreams)};
}
