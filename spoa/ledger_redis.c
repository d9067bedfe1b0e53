#include "spoa/ledger_redis.h"

#include <arpa/inet.h>
#include <errno.h>
#include <hiredis/hiredis.h>
#include <inttypes.h>
#include <netdb.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <unistd.h>

/* KEYS: the shipped key, then each event's stream. ARGV: the shipped number that must be there ('' for none), the new one, the bound of
 * gatehouse:auth, the node; then for each event its id ('*': Redis chooses, it comes from several nodes), 1 when the stream is
 * bounded, the number of its names and values, and those.
 * Everything that can fail is tried before the first write; and should a write fail all the same, then one of an explicit id, whose
 * entry is recognised when the same events come again. Lua's unpack() holds a few thousand values, an event has under a hundred. */
static const char script[] =
    "local was = redis.call('GET', KEYS[1]) or ''\n"
    "if was ~= ARGV[1] then return redis.error_reply('GHSHIPPED the number in ' .. KEYS[1] .. ' is \"' .. was .. '\", not \"' .. ARGV[1] "
    ".. '\"') end\n"
    "local at, clean, plain, star = 5, {}, {}, {}\n"
    "for e = 2, #KEYS do\n"
    "  local key, id, n = KEYS[e], ARGV[at], tonumber(ARGV[at + 2])\n"
    "  if id == '*' then\n"
    "    if not clean[key] then redis.call('XREVRANGE', key, '+', '+'); clean[key] = true end\n"
    "    star[#star + 1] = {key, at, n}\n"
    "  else\n"
    "    local there = false\n"
    "    if not clean[key] then\n"
    "      if #redis.call('XREVRANGE', key, '+', id, 'COUNT', 1) == 0 then clean[key] = true else\n"
    "        local x = redis.call('XRANGE', key, id, id)\n"
    "        if #x == 0 or x[1][2][4] ~= ARGV[at + 6] or x[1][2][6] ~= ARGV[4] then\n"
    "          return redis.error_reply('GHORDER ' .. key .. ' has entries from ' .. id .. ' on, but not event ' .. ARGV[at + 6] .. ' of ' "
    ".. ARGV[4])\n"
    "        end\n"
    "        there = true\n"
    "      end\n"
    "    end\n"
    "    if not there then plain[#plain + 1] = {key, at, n} end\n"
    "  end\n"
    "  at = at + 3 + n\n"
    "end\n"
    "for _, w in ipairs(plain) do redis.call('XADD', w[1], ARGV[w[2]], unpack(ARGV, w[2] + 3, w[2] + 2 + w[3])) end\n"
    "for _, w in ipairs(star) do\n"
    "  if ARGV[w[2] + 1] == '1' then redis.call('XADD', w[1], 'MAXLEN', '~', ARGV[3], '*', unpack(ARGV, w[2] + 3, w[2] + 2 + w[3]))\n"
    "  else redis.call('XADD', w[1], '*', unpack(ARGV, w[2] + 3, w[2] + 2 + w[3])) end\n"
    "end\n"
    "redis.call('SET', KEYS[1], ARGV[2])\n"
    "return redis.status_reply('OK')\n";

/* Looking up a name may block for many seconds, so it has a thread of its own, and the two parties share this. */
struct lookup {
    _Atomic int refs, done; /* done: 1 found, -1 not */
    int wakefd;             /* a duplicate */
    char addr[INET6_ADDRSTRLEN];
    char why[96];
    char host[];
};

enum step { ST_AUTH, ST_SCRIPT, ST_SHIPPED, ST_FLOOR_SESSIONS, ST_FLOOR_AUTH, ST_SHIP };

struct lrd {
    const struct led_conf *conf;
    int wakefd;
    enum lrd_state state;
    enum step step; /* whose reply comes next */
    redisContext *c;
    bool unsent; /* bytes wait in hiredis's buffer */
    struct lookup *lookup;
    uint64_t deadline;
    uint64_t shipped, sending;
    bool has_shipped; /* the key exists */
    /* The newest event of this node in the two streams whose ids Redis chooses; looked up when the shipped key is gone, so that
     * filling again does not add them twice. Indexed by enum led_stream. */
    uint64_t floor[LED_AUTH + 1];
    char sha[41];
    char shipped_key[96], auth_max[24]; /* a node's name has at most 64 bytes */
    bool refused;
    char error[300];
    const char **argv; /* scratch for a transaction */
    size_t *argvlen, argcap;
};

struct lrd *lrd_new(const struct led_conf *conf, int wakefd) {
    struct lrd *r = calloc(1, sizeof *r);
    if (r == NULL) return NULL;
    r->conf = conf;
    r->wakefd = wakefd;
    snprintf(r->auth_max, sizeof r->auth_max, "%" PRIu64, conf->auth_max);
    snprintf(r->shipped_key, sizeof r->shipped_key, LEV_KEY_SHIPPED "%s", conf->node);
    return r;
}

static void lookup_release(struct lookup *l) {
    if (l == NULL || atomic_fetch_sub(&l->refs, 1) != 1) return;
    close(l->wakefd);
    free(l);
}

static void down(struct lrd *r) {
    if (r->c != NULL) redisFree(r->c);
    r->c = NULL;
    lookup_release(r->lookup);
    r->lookup = NULL;
    r->state = LRD_DOWN;
    r->unsent = false;
}

void lrd_free(struct lrd *r) {
    down(r);
    free(r->argv);
    free(r->argvlen);
    free(r);
}

enum lrd_state lrd_state(const struct lrd *r) { return r->state; }
uint64_t lrd_shipped(const struct lrd *r) { return r->shipped; }
const char *lrd_error(const struct lrd *r) { return r->error; }
bool lrd_refused(const struct lrd *r) { return r->refused; }

uint64_t lrd_deadline(const struct lrd *r) { return r->state == LRD_CONNECTING || r->state == LRD_BUSY ? r->deadline : UINT64_MAX; }

struct pollfd lrd_poll(const struct lrd *r) {
    if (r->c == NULL) return (struct pollfd){.fd = -1};
    return (struct pollfd){.fd = r->c->fd, .events = (short)(POLLIN | (r->unsent ? POLLOUT : 0))};
}

__attribute__((format(printf, 3, 4))) static enum lrd_news lost(struct lrd *r, bool refused, const char *fmt, ...) {
    va_list ap;
    va_start(ap, fmt);
    vsnprintf(r->error, sizeof r->error, fmt, ap);
    va_end(ap);
    r->refused = refused;
    down(r);
    return LRD_LOST;
}

void lrd_drop(struct lrd *r, const char *why) { lost(r, true, "%s", why); }

/* ---- connecting ---- */

static void *lookup_main(void *arg) {
    struct lookup *l = arg;
    struct addrinfo hints = {.ai_socktype = SOCK_STREAM, .ai_flags = AI_ADDRCONFIG}, *found = NULL;
    int rc = getaddrinfo(l->host, NULL, &hints, &found);
    if (rc == 0) rc = getnameinfo(found->ai_addr, found->ai_addrlen, l->addr, sizeof l->addr, NULL, 0, NI_NUMERICHOST);
    if (found != NULL) freeaddrinfo(found);
    if (rc != 0) snprintf(l->why, sizeof l->why, "%s", gai_strerror(rc));
    atomic_store(&l->done, rc == 0 ? 1 : -1);
    (void)eventfd_write(l->wakefd, 1);
    lookup_release(l);
    return NULL;
}

static bool lookup_start(struct lrd *r) {
    size_t n = strlen(r->conf->redis_host) + 1;
    struct lookup *l = calloc(1, sizeof *l + n);
    if (l == NULL) return false;
    memcpy(l->host, r->conf->redis_host, n);
    l->refs = 2;
    l->wakefd = dup(r->wakefd);
    pthread_t t;
    if (l->wakefd < 0 || pthread_create(&t, NULL, lookup_main, l) != 0) {
        if (l->wakefd >= 0) close(l->wakefd);
        free(l);
        return false;
    }
    pthread_detach(t);
    r->lookup = l;
    return true;
}

static void command(struct lrd *r, int argc, const char **argv, const size_t *argvlen) {
    if (redisAppendCommandArgv(r->c, argc, argv, argvlen) != REDIS_OK) return; /* c->err is set, lrd_io() finds it */
    r->unsent = true;
}

static void begin(struct lrd *r, redisContext *c) {
    r->c = c;
    if (c == NULL || c->err != 0) return; /* lrd_io() finds it */
    if (r->conf->redis_password != NULL) {
        const char *user = r->conf->redis_user;
        const char *auth[] = {"AUTH", user != NULL ? user : r->conf->redis_password, r->conf->redis_password};
        command(r, user != NULL ? 3 : 2, auth, NULL);
    }
    command(r, 3, (const char *[]){"SCRIPT", "LOAD", script}, NULL);
    command(r, 2, (const char *[]){"GET", r->shipped_key}, NULL);
    r->step = r->conf->redis_password != NULL ? ST_AUTH : ST_SCRIPT;
}

void lrd_connect(struct lrd *r, uint64_t now) {
    down(r);
    r->state = LRD_CONNECTING;
    r->deadline = now + r->conf->timeout_ms;
    const char *host = r->conf->redis_host;
    unsigned char addr[16];
    if (r->conf->redis_socket != NULL)
        begin(r, redisConnectUnixNonBlock(r->conf->redis_socket));
    else if (strcmp(host, "localhost") == 0 || inet_pton(AF_INET, host, addr) == 1 || inet_pton(AF_INET6, host, addr) == 1)
        begin(r, redisConnectNonBlock(host, r->conf->redis_port));
    else if (!lookup_start(r))
        r->deadline = now; /* fails at once */
    if (r->c != NULL && r->c->err != 0) r->deadline = now;
}

/* ---- replies ---- */

static bool to_number(const redisReply *p, uint64_t *n) {
    if (p->type != REDIS_REPLY_STRING || p->len == 0 || p->len > 19 || strspn(p->str, "0123456789") != (size_t)p->len) return false;
    *n = strtoull(p->str, NULL, 10);
    return true;
}

/* The newest entry of this node among the replies to XREVRANGE; our entries begin with type, seq, node. */
static uint64_t floor_of(const struct lrd *r, const redisReply *p) {
    uint64_t n;
    for (size_t i = 0; p->type == REDIS_REPLY_ARRAY && i < p->elements; i++) {
        const redisReply *entry = p->element[i], *f = entry->elements == 2 ? entry->element[1] : NULL;
        if (f == NULL || f->type != REDIS_REPLY_ARRAY || f->elements < 6 || f->element[5]->type != REDIS_REPLY_STRING) continue;
        if (strcmp(f->element[5]->str, r->conf->node) == 0 && to_number(f->element[3], &n)) return n;
    }
    return 0;
}

static enum lrd_news got_shipped(struct lrd *r, const redisReply *p) {
    r->has_shipped = p->type != REDIS_REPLY_NIL;
    r->shipped = 0;
    memset(r->floor, 0, sizeof r->floor);
    if (!r->has_shipped) {
        command(r, 6, (const char *[]){"XREVRANGE", LEV_KEY_SESSIONS, "+", "-", "COUNT", "10000"}, NULL);
        command(r, 6, (const char *[]){"XREVRANGE", LEV_KEY_AUTH, "+", "-", "COUNT", "10000"}, NULL);
        r->step = ST_FLOOR_SESSIONS;
        return LRD_NOTHING;
    }
    if (!to_number(p, &r->shipped)) return lost(r, true, "%s in Redis is not a number: somebody else wrote there", r->shipped_key);
    r->state = LRD_READY;
    return LRD_UP;
}

static enum lrd_news got_reply(struct lrd *r, const redisReply *p) {
    static const char *const doing[] = {
        "the login", "the script", "reading what was shipped", "reading gatehouse:sessions", "reading gatehouse:auth", "the events"};
    if (r->state != LRD_CONNECTING && r->state != LRD_BUSY) return lost(r, true, "Redis sent a reply that nobody asked for");
    if (p->type == REDIS_REPLY_ERROR) return lost(r, true, "Redis refused %s: %s", doing[r->step], p->str);
    switch (r->step) {
    case ST_AUTH: r->step = ST_SCRIPT; return LRD_NOTHING;
    case ST_SCRIPT:
        if (p->type != REDIS_REPLY_STRING || p->len != 40)
            return lost(r, true, "Redis answered SCRIPT LOAD with something else than a digest");
        memcpy(r->sha, p->str, 41);
        r->step = ST_SHIPPED;
        return LRD_NOTHING;
    case ST_SHIPPED: return got_shipped(r, p);
    case ST_FLOOR_SESSIONS:
        r->floor[LED_SESSIONS] = floor_of(r, p);
        r->step = ST_FLOOR_AUTH;
        return LRD_NOTHING;
    case ST_FLOOR_AUTH:
        r->floor[LED_AUTH] = floor_of(r, p);
        r->state = LRD_READY;
        return LRD_UP;
    case ST_SHIP: break;
    }
    if (p->type != REDIS_REPLY_STATUS) return lost(r, true, "Redis answered the script with something else than OK");
    r->shipped = r->sending;
    r->has_shipped = true;
    r->state = LRD_READY;
    return LRD_SHIPPED;
}

static enum lrd_news check_lookup(struct lrd *r) {
    int done = atomic_load(&r->lookup->done);
    if (done == 0) return LRD_NOTHING;
    if (done < 0) return lost(r, false, "cannot find Redis's host %s: %s", r->conf->redis_host, r->lookup->why);
    begin(r, redisConnectNonBlock(r->lookup->addr, r->conf->redis_port));
    lookup_release(r->lookup);
    r->lookup = NULL;
    if (r->c == NULL || r->c->err != 0) return lost(r, false, "cannot connect to Redis: %s", r->c == NULL ? "out of memory" : r->c->errstr);
    return LRD_NOTHING;
}

enum lrd_news lrd_io(struct lrd *r, short revents, uint64_t now) {
    if (r->state == LRD_DOWN) return LRD_NOTHING;
    if (r->lookup != NULL && check_lookup(r) == LRD_LOST) return LRD_LOST;
    if (r->c != NULL && r->c->err == 0 && r->unsent && (revents & POLLOUT)) {
        int all = 0;
        if (redisBufferWrite(r->c, &all) == REDIS_OK) r->unsent = all == 0;
    }
    if (r->c != NULL && r->c->err == 0 && (revents & (POLLIN | POLLHUP | POLLERR))) redisBufferRead(r->c);
    for (void *p; r->c != NULL && r->c->err == 0 && redisGetReplyFromReader(r->c, &p) == REDIS_OK && p != NULL;) {
        enum lrd_news news = got_reply(r, p);
        freeReplyObject(p);
        if (news != LRD_NOTHING) return news;
    }
    if (r->c != NULL && r->c->err != 0) return lost(r, false, "the connection to Redis failed: %s", r->c->errstr);
    if (now >= lrd_deadline(r)) {
        if (r->c == NULL && r->lookup == NULL) return lost(r, false, "cannot connect to Redis: out of memory");
        return lost(r, true, "Redis did not answer within %" PRIu64 " ms", r->conf->timeout_ms);
    }
    return LRD_NOTHING;
}

/* ---- shipping ---- */

static bool arg_room(struct lrd *r, size_t n) {
    if (n <= r->argcap) return true;
    const char **argv = reallocarray(r->argv, n, sizeof *argv);
    if (argv != NULL) r->argv = argv;
    size_t *len = reallocarray(r->argvlen, n, sizeof *len);
    if (len != NULL) r->argvlen = len;
    if (argv == NULL || len == NULL) return false;
    r->argcap = n;
    return true;
}

static void arg(struct lrd *r, size_t *at, const char *s, size_t len) {
    r->argv[*at] = s;
    r->argvlen[(*at)++] = len;
}

void lrd_send(struct lrd *r, const struct lev *e, size_t n, uint64_t now) {
    char was[24] = "", will[24], keys[24], count[LED_MAX_FIELDS * 2 + 16][4];
    size_t events = 0, args = 8, at = 0;
    const struct lev *x = e;
    for (size_t i = 0; i < n; i++, x = x->next) {
        r->sending = x->seq;
        if (x->seq > r->floor[x->stream]) events++, args += 4 + x->nparts;
    }
    r->state = LRD_BUSY;
    r->step = ST_SHIP;
    r->deadline = now + r->conf->timeout_ms;
    if (!arg_room(r, args)) {
        r->deadline = now; /* given up by lrd_io(), tried again later */
        return;
    }
    if (r->has_shipped) snprintf(was, sizeof was, "%" PRIu64, r->shipped);
    snprintf(will, sizeof will, "%" PRIu64, r->sending);
    snprintf(keys, sizeof keys, "%zu", events + 1);
    arg(r, &at, "EVALSHA", 7);
    arg(r, &at, r->sha, 40);
    arg(r, &at, keys, strlen(keys));
    arg(r, &at, r->shipped_key, strlen(r->shipped_key));
    x = e;
    for (size_t i = 0; i < n; i++, x = x->next)
        if (x->seq > r->floor[x->stream]) arg(r, &at, x->key, strlen(x->key));
    arg(r, &at, was, strlen(was));
    arg(r, &at, will, strlen(will));
    arg(r, &at, r->auth_max, strlen(r->auth_max));
    arg(r, &at, r->conf->node, strlen(r->conf->node));
    x = e;
    for (size_t i = 0; i < n; i++, x = x->next) {
        if (x->seq <= r->floor[x->stream]) continue;
        snprintf(count[x->nparts], sizeof count[0], "%zu", x->nparts);
        if (x->stream == LED_SESSION)
            arg(r, &at, x->id, strlen(x->id));
        else
            arg(r, &at, "*", 1);
        arg(r, &at, x->stream == LED_AUTH ? "1" : "0", 1);
        arg(r, &at, count[x->nparts], strlen(count[x->nparts]));
        for (size_t k = 0; k < x->nparts; k++) arg(r, &at, x->parts[k].at, x->parts[k].len);
    }
    command(r, (int)at, r->argv, r->argvlen);
    /* Mostly all of it fits into the socket, and a round of poll() is saved; an error is found by lrd_io(). */
    int all = 0;
    if (r->c->err == 0 && redisBufferWrite(r->c, &all) == REDIS_OK) r->unsent = all == 0;
    if (r->c->err != 0) r->deadline = now;
}
