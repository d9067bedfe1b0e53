#include "spoa/ledger_redis.h"

#include "spoa/ledger_dial.h"
#include "spoa/ledger_find.h"
#include "spoa/ledger_forms.h"

#include <arpa/inet.h>
#include <assert.h>
#include <errno.h>
#include <hiredis/hiredis.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
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

/* ARGV: the shipped key, then the other keys that we use. Tries every right and every kind of key before anything depends on them, so that what
 * is missing is named at once, and not at the first event. SET ... XX writes what is there already, or nothing, yet is refused like any
 * write by a replica or a Redis without memory. The answer is Redis's clock in milliseconds, or '' when TIME is not allowed; and 1 when
 * transactions are. */
static const char probe_script[] =
    "local function may(...)\n"
    "  return not redis.acl_check_cmd or redis.acl_check_cmd(...)\n"
    "end\n"
    "local function need(cmd, key, ...)\n"
    "  if may(cmd, key, ...) then return nil end\n"
    "  return redis.error_reply('NOPERM the user may not run ' .. cmd .. ' on ' .. key)\n"
    "end\n"
    "local function try(cmd, key, ...)\n"
    "  local r = redis.pcall(cmd, key, ...)\n"
    "  if type(r) == 'table' and r.err then return r, redis.error_reply(r.err .. ' (' .. cmd .. ' ' .. key .. ')') end\n"
    "  return r, nil\n"
    "end\n"
    "local bad = need('GET', ARGV[1]) or need('SET', ARGV[1], '0')\n"
    "if bad then return bad end\n"
    "for i = 2, #ARGV do\n"
    "  bad = need('XADD', ARGV[i], '*', 'a', 'b') or need('XRANGE', ARGV[i], '-', '+') or need('XREVRANGE', ARGV[i], '+', '-')\n"
    "  if bad then return bad end\n"
    "  local _, err = try('XREVRANGE', ARGV[i], '+', '-', 'COUNT', 1)\n"
    "  if err then return err end\n"
    "end\n"
    "local was, err = try('GET', ARGV[1])\n"
    "if err then return err end\n"
    "local set\n"
    "set, err = try('SET', ARGV[1], was or '', 'XX')\n"
    "if err then return err end\n"
    "local all = may('WATCH', ARGV[1]) and may('UNWATCH') and may('MULTI') and may('EXEC')\n"
    "if not redis.acl_check_cmd or not redis.acl_check_cmd('TIME') then return {'', all and 1 or 0} end\n"
    "local t = redis.call('TIME')\n"
    "return {string.format('%d%03d', t[1], t[2] / 1000), all and 1 or 0}\n";

/* A call of the script: events of at most 1 MiB together, or one of 16 MiB, with a few bytes for each value. */
#define CALL_BYTES ((size_t)64 << 20)
#define CALL_KEPT  ((size_t)4 << 20)
/* The answer to a transaction has well under a hundred bytes for each event. */
#define EXPECTED_BYTES ((size_t)256 << 10)
/* Commands around a few keys and numbers. */
#define COMMANDS_ROOM (4 * LEV_KEY_MAX)
#define READER_KEPT   1024 /* hiredis lets go of what was read from so many bytes on, when it is asked for a reply */

enum step {
    ST_AUTH,
    ST_ROUTE,
    ST_SCRIPT,
    ST_PROBE_LOAD,
    ST_PROBE,
    ST_FSYNC,
    ST_REPLICAS,
    ST_SHIPPED,
    ST_FLOOR_SESSIONS,
    ST_FLOOR_AUTH,
    ST_SHIP,
    ST_QUEUED,
    ST_EXEC,
    ST_UNWATCH,
    ST_WATCH,
    ST_GUARD,
    ST_WAIT
};

struct lrd {
    const struct led_conf *conf;
    int wakefd;
    enum lrd_state state;
    enum step step; /* whose reply comes next */
    redisContext *c;
    bool unsent;  /* bytes wait in hiredis's buffer */
    size_t taken; /* bytes of a reply that has not ended */
    struct led_find *find;
    struct led_place moved; /* of Redis Cluster: where our slot is; port 0: not told */
    uint64_t deadline;
    uint64_t shipped; /* what the shipped key says */
    uint64_t sent;    /* the last event that Redis has acknowledged: the key says so with the next transaction */
    uint64_t sending;
    uint64_t claiming;   /* what the shipped key says when the reply comes */
    uint64_t careful_to; /* events up to this one may be in Redis already: only the script sees that */
    size_t queued;       /* replies that come before EXEC's */
    bool transactions;   /* its user may use them */
    uint64_t clock;      /* of Redis, milliseconds since 1970, when the rights were tried; 0: not told */
    bool has_shipped;    /* the key exists */
    /* The newest event of this node in the two streams whose ids Redis chooses; looked up when the shipped key is gone, so that
     * filling again does not add them twice. Indexed by enum led_stream. */
    uint64_t floor[LED_APPROVAL + 1];
    char sha[41];
    const char *prefix; /* of our keys */
    bool cluster; /* the prefix has a hash tag, so all of our keys are in one slot, whose node may be another than the one that we asked */
    size_t shipped_key_len;
    char shipped_key[LEV_KEY_MAX], sessions_key[LEV_KEY_MAX], auth_key[LEV_KEY_MAX], audit_key[LEV_KEY_MAX], approval_key[LEV_KEY_MAX],
        auth_max[24];
    bool refused;
    char error[300];
    struct buf call;     /* scratch for a transaction */
    struct buf expected; /* what Redis answers to the transaction under way when all goes well; empty: its replies are read one by one */
};

struct lrd *lrd_new(const struct led_conf *conf, int wakefd) {
    struct lrd *r = calloc(1, sizeof *r);
    if (r == NULL) return NULL;
    r->conf = conf;
    r->wakefd = wakefd;
    r->call = BUF_INIT(CALL_BYTES);
    r->expected = BUF_INIT(EXPECTED_BYTES);
    snprintf(r->auth_max, sizeof r->auth_max, "%" PRIu64, conf->auth_max);
    r->prefix = conf->redis_prefix != NULL ? conf->redis_prefix : LEV_PREFIX;
    r->cluster = strchr(r->prefix, '{') != NULL;
    snprintf(r->shipped_key, sizeof r->shipped_key, "%sshipped:%s", r->prefix, conf->node);
    r->shipped_key_len = strlen(r->shipped_key);
    snprintf(r->sessions_key, sizeof r->sessions_key, "%ssessions", r->prefix);
    snprintf(r->auth_key, sizeof r->auth_key, "%sauth", r->prefix);
    snprintf(r->audit_key, sizeof r->audit_key, "%saudit:0", r->prefix);
    snprintf(r->approval_key, sizeof r->approval_key, "%sapproval:0", r->prefix);
    return r;
}

static void down(struct lrd *r) {
    if (r->c != NULL) redisFree(r->c);
    r->c = NULL;
    led_find_release(r->find);
    r->find = NULL;
    r->state = LRD_DOWN;
    r->unsent = false;
    r->taken = 0;
    buf_reset(&r->expected);
}

void lrd_free(struct lrd *r) {
    down(r);
    buf_free(&r->call);
    buf_free(&r->expected);
    free(r);
}

enum lrd_state lrd_state(const struct lrd *r) { return r->state; }
uint64_t lrd_shipped(const struct lrd *r) { return r->shipped; }
void lrd_careful(struct lrd *r, uint64_t seq) { r->careful_to = seq; }
bool lrd_unclaimed(const struct lrd *r) { return r->sent > r->shipped; }
const char *lrd_error(const struct lrd *r) { return r->error; }
bool lrd_refused(const struct lrd *r) { return r->refused; }

bool lrd_time(const struct lrd *r, int64_t *ms) {
    *ms = (int64_t)r->clock;
    return r->clock != 0;
}

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

static void command(struct lrd *r, int argc, const char **argv) {
    if (redisAppendCommandArgv(r->c, argc, argv, NULL) != REDIS_OK) return; /* c->err is set, lrd_io() finds it */
    r->unsent = true;
}

static enum step first_step(const struct lrd *r) { return r->cluster ? ST_ROUTE : ST_SCRIPT; }

static void begin(struct lrd *r, redisContext *c) {
    r->c = c;
    if (c == NULL || c->err != 0) return; /* lrd_io() finds it */
    if (r->conf->redis_password != NULL) {
        const char *user = r->conf->redis_user;
        const char *auth[] = {"AUTH", user != NULL ? user : r->conf->redis_password, r->conf->redis_password};
        command(r, user != NULL ? 3 : 2, auth);
    }
    if (r->cluster) command(r, 2, (const char *[]){"GET", r->shipped_key}); /* for its MOVED */
    command(r, 3, (const char *[]){"SCRIPT", "LOAD", script});
    command(r, 3, (const char *[]){"SCRIPT", "LOAD", probe_script});
    r->step = r->conf->redis_password != NULL ? ST_AUTH : first_step(r);
}

void lrd_connect(struct lrd *r, uint64_t now) {
    down(r);
    r->state = LRD_CONNECTING;
    r->deadline = now + r->conf->timeout_ms;
    const char *host = r->conf->redis_host;
    unsigned char addr[16];
    if (r->moved.port != 0)
        begin(r, redisConnectNonBlock(r->moved.addr, r->moved.port));
    else if (r->conf->redis_sentinels != NULL)
        r->find = led_find_start(r->conf, r->wakefd);
    else if (r->conf->redis_socket != NULL)
        begin(r, redisConnectUnixNonBlock(r->conf->redis_socket));
    else if (strcmp(host, "localhost") == 0 || inet_pton(AF_INET, host, addr) == 1 || inet_pton(AF_INET6, host, addr) == 1)
        begin(r, redisConnectNonBlock(host, r->conf->redis_port));
    else
        r->find = led_find_start(r->conf, r->wakefd);
    if ((r->c == NULL && r->find == NULL) || (r->c != NULL && r->c->err != 0)) r->deadline = now; /* fails at once */
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

static enum lrd_news up(struct lrd *r) {
    r->sent = r->shipped;
    r->careful_to = UINT64_MAX;
    r->state = LRD_READY;
    return LRD_UP;
}

static enum lrd_news got_shipped(struct lrd *r, const redisReply *p) {
    r->has_shipped = p->type != REDIS_REPLY_NIL;
    r->shipped = 0;
    memset(r->floor, 0, sizeof r->floor);
    if (!r->has_shipped) {
        command(r, 6, (const char *[]){"XREVRANGE", r->sessions_key, "+", "-", "COUNT", "10000"});
        command(r, 6, (const char *[]){"XREVRANGE", r->auth_key, "+", "-", "COUNT", "10000"});
        r->step = ST_FLOOR_SESSIONS;
        return LRD_NOTHING;
    }
    if (!to_number(p, &r->shipped)) return lost(r, true, "%s in Redis is not a number: somebody else wrote there", r->shipped_key);
    return up(r);
}

/* ---- how durable ---- */

/* Waits for the writes of this connection; on a new one the probe's SET is one, behind all that was written before. Its answer must come before we
 * give up on Redis. */
static void wait_for_replicas(struct lrd *r) {
    char n[GH_U64_TEXT], ms[GH_U64_TEXT];
    n[gh_u64_text(n, r->conf->replicas)] = '\0';
    ms[gh_u64_text(ms, r->conf->timeout_ms / 4 * 3)] = '\0';
    command(r, 3, (const char *[]){"WAIT", n, ms});
}

static bool enough_replicas(struct lrd *r, const redisReply *p) {
    if (p->type == REDIS_REPLY_INTEGER && p->integer >= 0 && (uint64_t)p->integer >= r->conf->replicas) return true;
    lost(r, true, "audit.durability wants every event on %" PRIu64 " replicas, and %lld of Redis's have them in time", r->conf->replicas,
         p->type == REDIS_REPLY_INTEGER ? p->integer : 0);
    return false;
}

static const char *setting(const redisReply *p, const char *name) {
    for (size_t i = 0; p->type == REDIS_REPLY_ARRAY && i + 1 < p->elements; i += 2)
        if (p->element[i]->type == REDIS_REPLY_STRING && p->element[i + 1]->type == REDIS_REPLY_STRING &&
            strcmp(p->element[i]->str, name) == 0)
            return p->element[i + 1]->str;
    return "";
}

/* With appendfsync always Redis answers only after its file is on the disk. */
static bool writes_at_once(const redisReply *p) {
    return strcmp(setting(p, "appendonly"), "yes") == 0 && strcmp(setting(p, "appendfsync"), "always") == 0;
}

static enum step after_probe(const struct lrd *r) {
    return r->conf->redis_fsync ? ST_FSYNC : r->conf->replicas > 0 ? ST_REPLICAS : ST_SHIPPED;
}

#define OTHER_NUMBER                                                                                                                       \
    "GHSHIPPED the number in %s is not %" PRIu64 " any more: Redis lost what it had, or another daemon uses this node's name"

/* What EXEC did: every event has its entry. */
static bool all_done(struct lrd *r, const redisReply *p) {
    if (p->type != REDIS_REPLY_ARRAY) {
        lost(r, true, OTHER_NUMBER, r->shipped_key, r->shipped);
        return false;
    }
    for (size_t i = 0; i < p->elements; i++) {
        const redisReply *x = p->element[i];
        if (x->type == REDIS_REPLY_STRING || x->type == REDIS_REPLY_STATUS) continue;
        lost(r, true, "Redis refused an event: %s",
             x->type == REDIS_REPLY_ERROR ? x->str : "it answered XADD with something else than an id");
        return false;
    }
    return true;
}

static enum lrd_news done(struct lrd *r) {
    r->shipped = r->claiming;
    r->sent = r->sending;
    r->has_shipped = true;
    r->state = LRD_READY;
    return LRD_SHIPPED;
}

static enum lrd_news after_write(struct lrd *r) {
    if (r->conf->replicas == 0) return done(r);
    r->step = ST_WAIT;
    return LRD_NOTHING;
}

static enum lrd_news got_reply(struct lrd *r, const redisReply *p) {
    static const char *const doing[] = {"the login",
                                        "to say which node of the cluster it is",
                                        "the script",
                                        "the script",
                                        "a right that the ledger needs",
                                        "to say how it writes to its disk (audit.durability)",
                                        "to wait for replicas (audit.durability)",
                                        "reading what was shipped",
                                        "reading gatehouse:sessions",
                                        "reading gatehouse:auth",
                                        "the events",
                                        "an event",
                                        "the events",
                                        "to let go of a key",
                                        "to watch a key",
                                        "reading what was shipped",
                                        "to wait for replicas (audit.durability)"};
    uint64_t number;
    if (r->state != LRD_CONNECTING && r->state != LRD_BUSY) return lost(r, true, "Redis sent a reply that nobody asked for");
    if (p->type == REDIS_REPLY_ERROR && led_find_moved(r->conf, p->str, &r->moved))
        return lost(r, false, "our keys are on another node of the cluster: %s", p->str);
    if (p->type == REDIS_REPLY_ERROR) return lost(r, true, "Redis refused %s: %s", doing[r->step], p->str);
    switch (r->step) {
    case ST_AUTH: r->step = first_step(r); return LRD_NOTHING;
    case ST_ROUTE: r->step = ST_SCRIPT; return LRD_NOTHING;
    case ST_SCRIPT:
        if (p->type != REDIS_REPLY_STRING || p->len != 40)
            return lost(r, true, "Redis answered SCRIPT LOAD with something else than a digest");
        memcpy(r->sha, p->str, 41);
        r->step = ST_PROBE_LOAD;
        return LRD_NOTHING;
    case ST_PROBE_LOAD:
        if (p->type != REDIS_REPLY_STRING || p->len != 40)
            return lost(r, true, "Redis answered SCRIPT LOAD with something else than a digest");
        command(r, 8,
                (const char *[]){"EVALSHA", p->str, "0", r->shipped_key, r->audit_key, r->sessions_key, r->auth_key, r->approval_key});
        if (r->conf->redis_fsync) command(r, 4, (const char *[]){"CONFIG", "GET", "appendonly", "appendfsync"});
        if (r->conf->replicas > 0) wait_for_replicas(r);
        command(r, 2, (const char *[]){"GET", r->shipped_key});
        r->step = ST_PROBE;
        return LRD_NOTHING;
    case ST_PROBE:
        if (p->type != REDIS_REPLY_ARRAY || p->elements != 2)
            return lost(r, true, "Redis answered a script with something else than it said");
        if (!to_number(p->element[0], &r->clock)) r->clock = 0;
        r->transactions = p->element[1]->type == REDIS_REPLY_INTEGER && p->element[1]->integer == 1;
        r->step = after_probe(r);
        return LRD_NOTHING;
    case ST_FSYNC:
        if (!writes_at_once(p))
            return lost(r, true,
                        "audit.durability is fsync, and Redis does not write to its disk before it answers: it needs appendonly yes and "
                        "appendfsync always");
        r->step = r->conf->replicas > 0 ? ST_REPLICAS : ST_SHIPPED;
        return LRD_NOTHING;
    case ST_REPLICAS:
        if (!enough_replicas(r, p)) return LRD_LOST;
        r->step = ST_SHIPPED;
        return LRD_NOTHING;
    case ST_SHIPPED: return got_shipped(r, p);
    case ST_FLOOR_SESSIONS:
        r->floor[LED_SESSIONS] = floor_of(r, p);
        r->step = ST_FLOOR_AUTH;
        return LRD_NOTHING;
    case ST_FLOOR_AUTH: r->floor[LED_AUTH] = floor_of(r, p); return up(r);
    case ST_SHIP:
        if (p->type != REDIS_REPLY_STATUS) return lost(r, true, "Redis answered the script with something else than OK");
        if (r->transactions) {
            r->step = ST_UNWATCH;
            return LRD_NOTHING;
        }
        return after_write(r);
    case ST_QUEUED:
        if (--r->queued == 0) r->step = ST_EXEC;
        return LRD_NOTHING;
    case ST_EXEC:
        if (!all_done(r, p)) return LRD_LOST;
        r->step = ST_WATCH;
        return LRD_NOTHING;
    case ST_UNWATCH: r->step = ST_WATCH; return LRD_NOTHING;
    case ST_WATCH: r->step = ST_GUARD; return LRD_NOTHING;
    case ST_GUARD:
        if (!to_number(p, &number) || number != r->claiming) return lost(r, true, OTHER_NUMBER, r->shipped_key, r->claiming);
        return after_write(r);
    case ST_WAIT:
        if (!enough_replicas(r, p)) return LRD_LOST;
        return done(r);
    }
    return LRD_NOTHING;
}

/* The replies to a transaction are known beforehand, byte by byte, because the ids of its entries are ours. So they are compared, which costs a tenth of
 * reading them. Anything else is read by hiredis from the first byte on. */
static enum lrd_news compare(struct lrd *r) {
    redisReader *in = r->c->reader;
    size_t want = buf_used(&r->expected), have = in->len - in->pos;
    if (want == 0 || memcmp(in->buf + in->pos, buf_at(&r->expected), have < want ? have : want) != 0) {
        buf_reset(&r->expected);
        return LRD_NOTHING;
    }
    if (have < want) return LRD_NOTHING;
    buf_reset(&r->expected);
    r->taken = 0;
    in->pos += want;
    void *none;
    if (have == want && in->pos >= READER_KEPT) (void)redisGetReplyFromReader(r->c, &none);
    return after_write(r);
}

static enum lrd_news check_find(struct lrd *r) {
    struct led_place place;
    char why[400];
    int done = led_find_done(r->find, &place, why, sizeof why);
    if (done == 0) return LRD_NOTHING;
    if (done < 0) return lost(r, false, "%s", why);
    begin(r, redisConnectNonBlock(place.addr, place.port));
    led_find_release(r->find);
    r->find = NULL;
    if (r->c == NULL || r->c->err != 0) return lost(r, false, "cannot connect to Redis: %s", r->c == NULL ? "out of memory" : r->c->errstr);
    return LRD_NOTHING;
}

enum lrd_news lrd_io(struct lrd *r, short revents, uint64_t now) {
    if (r->state == LRD_DOWN) return LRD_NOTHING;
    if (r->find != NULL && check_find(r) == LRD_LOST) return LRD_LOST;
    if (r->c != NULL && r->c->err == 0 && r->unsent && (revents & POLLOUT)) {
        int all = 0;
        if (redisBufferWrite(r->c, &all) == REDIS_OK) r->unsent = all == 0;
    }
    if (r->c != NULL && r->c->err == 0 && (revents & (POLLIN | POLLHUP | POLLERR))) {
        size_t before = r->c->reader->len;
        if (redisBufferRead(r->c) == REDIS_OK) r->taken += r->c->reader->len - before;
        if (r->taken > LED_ANSWER_MAX)
            return lost(r, true, "Redis's answer is larger than %zu MB: somebody else writes to our keys", LED_ANSWER_MAX >> 20);
    }
    if (r->c != NULL && r->c->err == 0 && buf_used(&r->expected) > 0 && compare(r) == LRD_SHIPPED) return LRD_SHIPPED;
    for (void *p;
         buf_used(&r->expected) == 0 && r->c != NULL && r->c->err == 0 && redisGetReplyFromReader(r->c, &p) == REDIS_OK && p != NULL;) {
        r->taken = 0;
        enum lrd_news news = got_reply(r, p);
        freeReplyObject(p);
        if (news != LRD_NOTHING) return news;
    }
    if (r->c != NULL && r->c->err != 0) {
        r->moved.port = 0; /* the cluster may have changed: ask where we were told to */
        return lost(r, false, "the connection to Redis failed: %s", r->c->errstr);
    }
    if (now >= lrd_deadline(r)) {
        if (r->c == NULL && r->find == NULL) return lost(r, false, "cannot connect to Redis: out of memory");
        r->moved.port = 0;
        return lost(r, true, "Redis did not answer within %" PRIu64 " ms", r->conf->timeout_ms);
    }
    return LRD_NOTHING;
}

/* ---- shipping ---- */

static void arg(struct buf *out, const char *s, size_t len) {
    char *at = len > LEV_MAX_BYTES ? NULL : (char *)buf_reserve(out, len + FORM_ROOM);
    if (at == NULL)
        out->failed = true;
    else
        buf_commit(out, (size_t)(form_resp(at, s, len) - at));
}

static void arg_str(struct buf *out, const char *s) { arg(out, s, strlen(s)); }

/* A number in decimal. */
static char *form_u64(char *at, uint64_t v) {
    char text[GH_U64_TEXT];
    size_t n = gh_u64_text(text, v);
    assert(n < sizeof text); /* for compilers, which warn with gh_put()'s way for long texts */
    return form_resp(at, text, n);
}

static void arg_u64(struct buf *out, uint64_t v) {
    char *at = (char *)buf_reserve(out, GH_U64_TEXT + FORM_ROOM);
    if (at != NULL) buf_commit(out, (size_t)(form_u64(at, v) - at));
}

/* Its key as Redis has it; text is room for it. */
static struct lev_text key_of(const struct lrd *r, const char *key, char text[LEV_KEY_MAX]) {
    if (r->conf->redis_prefix == NULL) return (struct lev_text){key, strlen(key)};
    size_t n = (size_t)snprintf(text, LEV_KEY_MAX, "%s%s", r->prefix, key + sizeof LEV_PREFIX - 1);
    return (struct lev_text){text, n < LEV_KEY_MAX ? n : LEV_KEY_MAX - 1}; /* none of ours is so long */
}

/* "*COUNT": of a command's arguments, or of the replies in one. */
static char *head(char *at, size_t count) {
    *at++ = '*';
    at = gh_put_len(at, count);
    memcpy(at, "\r\n", 2);
    return at + 2;
}

static void event_args(struct buf *out, const struct lev *e) {
    arg_str(out, e->stream == LED_SESSION ? e->id : "*");
    arg_str(out, e->stream == LED_AUTH ? "1" : "0");
    arg_u64(out, 2 * e->nfields);
    lev_resp(e, out);
}

/* The script's call for the n events from e on, without those that Redis has (floor). */
static void format_call(struct lrd *r, const struct lev *e, size_t n) {
    struct buf *out = &r->call;
    size_t events = 0, args = 8;
    const struct lev *x = e;
    for (size_t i = 0; i < n; i++, x = x->next)
        if (x->seq > r->floor[x->stream]) events++, args += 4 + 2 * x->nfields;
    char *at = (char *)buf_reserve(out, FORM_ROOM), text[LEV_KEY_MAX];
    if (at == NULL) return;
    buf_commit(out, (size_t)(head(at, args) - at));
    arg_str(out, "EVALSHA");
    arg_str(out, r->sha);
    arg_u64(out, events + 1);
    arg_str(out, r->shipped_key);
    x = e;
    for (size_t i = 0; i < n; i++, x = x->next) {
        struct lev_text key = key_of(r, x->key, text);
        if (x->seq > r->floor[x->stream]) arg(out, key.at, key.len);
    }
    if (r->has_shipped)
        arg_u64(out, r->shipped);
    else
        arg_str(out, "");
    arg_u64(out, r->sending);
    arg_str(out, r->auth_max);
    arg_str(out, r->conf->node);
    x = e;
    for (size_t i = 0; i < n; i++, x = x->next)
        if (x->seq > r->floor[x->stream]) event_args(out, x);
    r->step = ST_SHIP;
    r->claiming = r->sending;
    if (r->transactions) buf_str(out, "*1\r\n$7\r\nUNWATCH\r\n");
}

/* The same as a transaction, which costs Redis half: it parses what it gets once. It is for events whose ids are ours and that cannot be there yet. WATCH and
 * GET, behind the transaction before, are the guard: EXEC does nothing when the shipped key was written since. An event that fails in
 * the middle leaves the others, so the key does not say that any of these are there before EXEC's answer has: they are behind what it says, and the script
 * will recognise them. */
static void format_transaction(struct lrd *r, const struct lev *e, size_t n) {
    struct buf *out = &r->call;
    bool claim = r->sent > r->shipped;
    char key_text[LEV_KEY_MAX], *start = (char *)buf_reserve(out, COMMANDS_ROOM), *at = start;
    r->step = ST_QUEUED;
    r->queued = 1 + (claim ? 1 : 0) + n;
    r->claiming = r->sent;
    if (start == NULL) return;
    PUT(at, "*1\r\n$5\r\nMULTI\r\n");
    if (claim) {
        PUT(at, "*3\r\n$3\r\nSET\r\n");
        at = form_u64(form_resp(at, r->shipped_key, r->shipped_key_len), r->sent);
    }
    buf_commit(out, (size_t)(at - start));
    for (size_t i = 0; i < n; i++, e = e->next) {
        struct lev_text key = key_of(r, e->key, key_text);
        if ((start = at = (char *)buf_reserve(out, COMMANDS_ROOM + key.len)) == NULL) return;
        at = head(at, 3 + 2 * e->nfields);
        PUT(at, "$4\r\nXADD\r\n");
        at = form_resp(form_resp(at, key.at, key.len), e->id, e->id_len);
        buf_commit(out, (size_t)(at - start));
        lev_resp(e, out);
    }
    buf_put(out, "*1\r\n$4\r\nEXEC\r\n", 14);
}

static void watch(struct lrd *r) {
    struct buf *out = &r->call;
    char *start = (char *)buf_reserve(out, COMMANDS_ROOM), *at = start;
    if (start == NULL) return;
    PUT(at, "*2\r\n$5\r\nWATCH\r\n");
    at = form_resp(at, r->shipped_key, r->shipped_key_len);
    PUT(at, "*2\r\n$3\r\nGET\r\n");
    at = form_resp(at, r->shipped_key, r->shipped_key_len);
    buf_commit(out, (size_t)(at - start));
}

/* What Redis answers to format_transaction() and watch() when every event has its entry. */
static void expect(struct lrd *r, const struct lev *e, size_t n) {
    struct buf *x = &r->expected;
    const redisReader *in = r->c->reader;
    if (in->pos != in->len) return; /* something that nobody asked for: its finder says so */
    char *start = (char *)buf_reserve(x, COMMANDS_ROOM + n * (sizeof "+QUEUED\r\n" + LEV_ID_TEXT + FORM_ROOM)), *at = start;
    if (start == NULL) {
        buf_reset(x);
        return;
    }
    PUT(at, "+OK\r\n");
    for (size_t i = 1; i < r->queued; i++) PUT(at, "+QUEUED\r\n");
    at = head(at, r->queued - 1);
    if (r->queued - 1 > n) PUT(at, "+OK\r\n");
    for (size_t i = 0; i < n; i++, e = e->next) at = form_resp(at, e->id, e->id_len);
    PUT(at, "+OK\r\n");
    at = form_u64(at, r->claiming);
    buf_commit(x, (size_t)(at - start));
}

static bool simple(const struct lrd *r, const struct lev *e, size_t n) {
    if (!r->transactions || !r->has_shipped || (n > 0 && e->seq <= r->careful_to)) return false;
    for (size_t i = 0; i < n; i++, e = e->next)
        if (e->stream != LED_SESSION) return false;
    return true;
}

/* Sends r->call, or as much of it as goes at once; hiredis has the rest. Mostly all of it fits into the socket, and a round of poll() is saved. False: no memory.
 * An error of the connection is found by lrd_io(). */
static bool send_call(struct lrd *r) {
    size_t len = buf_used(&r->call);
    if (r->call.failed) return false;
    ssize_t n = r->unsent || r->c->err != 0 ? 0 : send(r->c->fd, buf_at(&r->call), len, MSG_NOSIGNAL | MSG_DONTWAIT);
    if (n > 0) buf_drain(&r->call, (size_t)n);
    len = buf_used(&r->call);
    if (len > 0 && redisAppendFormattedCommand(r->c, (const char *)buf_at(&r->call), len) == REDIS_OK) r->unsent = true;
    return true;
}

void lrd_send(struct lrd *r, const struct lev *e, size_t n, uint64_t now) {
    r->state = LRD_BUSY;
    r->deadline = now + r->conf->timeout_ms;
    r->sending = n > 0 ? e->seq + n - 1 : r->sent;
    bool transaction = simple(r, e, n);
    if (transaction)
        format_transaction(r, e, n);
    else
        format_call(r, e, n);
    if (r->transactions) watch(r);
    if (transaction) expect(r, e, n);
    bool ok = send_call(r);
    if (ok && r->conf->replicas > 0) wait_for_replicas(r);
    if (r->call.cap > CALL_KEPT)
        buf_free(&r->call); /* after a rare large one */
    else
        buf_reset(&r->call);
    if (!ok) {
        r->deadline = now; /* given up by lrd_io(), tried again later */
        return;
    }
    int all = 0;
    if (r->unsent && r->c->err == 0 && redisBufferWrite(r->c, &all) == REDIS_OK) r->unsent = all == 0;
    if (r->c->err != 0) r->deadline = now;
}
