#include <config.h>

#include "spoa/config_int.h"
#include "spoa/secret.h"

#include <grp.h>
#include <pwd.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/un.h>

#define DAY_MS (24u * 3600u * 1000u)

void *conf_own(struct conf_all *a, void *p, void (*release)(void *p)) {
    struct conf_owned *o = p == NULL ? NULL : malloc(sizeof *o);
    if (o == NULL) {
        if (p != NULL) release(p);
        return NULL;
    }
    *o = (struct conf_owned){a->owned, release, p};
    a->owned = o;
    return p;
}

const char *conf_path(struct conf_all *a, const char *name) {
    char *path = NULL;
    if (asprintf(&path, "%s%s", name[0] == '/' ? "" : a->folder, name) < 0) path = NULL;
    return conf_own(a, path, free);
}

/* --- typed values --- */

bool conf_str(const struct yaml_node *map, const char *key, const char **out, struct pol_error *err) {
    const struct yaml_node *n = yaml_get(map, key);
    if (n == NULL) return true;
    if (!yaml_str(n, out, err)) return false;
    return **out != '\0' || yaml_fail(n, err, "must not be empty");
}

bool conf_bool(const struct yaml_node *map, const char *key, bool *out, struct pol_error *err) {
    const struct yaml_node *n = yaml_get(map, key);
    return n == NULL || yaml_bool(n, out, err);
}

bool conf_int(const struct yaml_node *map, const char *key, int64_t min, int64_t max, uint64_t *out, struct pol_error *err) {
    const struct yaml_node *n = yaml_get(map, key);
    int64_t v;
    if (n == NULL) return true;
    if (!yaml_int(n, min, max, &v, err)) return false;
    *out = (uint64_t)v;
    return true;
}

bool conf_size(const struct yaml_node *map, const char *key, uint64_t min, uint64_t max, uint64_t *out, struct pol_error *err) {
    const struct yaml_node *n = yaml_get(map, key);
    return n == NULL || yaml_size(n, min, max, out, err);
}

bool conf_ms(const struct yaml_node *map, const char *key, bool zero, uint64_t min, uint64_t max, uint64_t *out, struct pol_error *err) {
    const struct yaml_node *n = yaml_get(map, key);
    struct pol_error not_zero = {0};
    int64_t off;
    if (n == NULL) return true;
    if (zero && yaml_int(n, 0, 0, &off, &not_zero)) {
        *out = 0;
        return true;
    }
    return yaml_duration(n, min, max, out, err);
}

const struct yaml_node *conf_need(const struct yaml_node *map, const char *key, struct pol_error *err) {
    const struct yaml_node *n = yaml_get(map, key);
    if (n == NULL) yaml_fail(map, err, "the key \"%s\" is missing", key);
    return n;
}

bool conf_need_str(const struct yaml_node *map, const char *key, const char **out, struct pol_error *err) {
    return conf_need(map, key, err) != NULL && conf_str(map, key, out, err);
}

/* --- sections --- */

static bool read_uid(const struct yaml_node *n, uid_t *uid, gid_t *gid, struct pol_error *err) {
    struct pol_error not_a_number = {0};
    const char *name;
    int64_t number;
    if (yaml_int(n, 0, 0xfffffffe, &number, &not_a_number)) {
        *uid = (uid_t)number;
        *gid = (gid_t)number;
        return true;
    }
    if (!yaml_str(n, &name, err)) return false;
    const struct passwd *pw = getpwnam(name);
    if (pw == NULL) return yaml_fail(n, err, "there is no user \"%s\" on this system", name);
    *uid = pw->pw_uid;
    *gid = pw->pw_gid;
    return true;
}

static bool read_mode(const struct yaml_node *n, mode_t *mode, struct pol_error *err) {
    const char *text;
    if (!yaml_str(n, &text, err)) return false;
    char *end;
    unsigned long v = strtoul(text, &end, 8);
    if (*text < '0' || *text > '7' || *end != '\0' || v > 0777)
        return yaml_fail(n, err, "\"%s\" is not a mode: write it as \"0600\"", text);
    if ((v & 07) != 0) return yaml_fail(n, err, "mode %s opens the socket to every user of this machine: use 0600 or 0660", text);
    *mode = (mode_t)v;
    return true;
}

static bool read_peers(struct conf_all *a, struct conf_door *d, const struct yaml_node *n, struct pol_error *err) {
    bool list = yaml_kind(n) == YAML_LIST;
    size_t count = list ? yaml_len(n) : 1;
    if (count == 0) return yaml_fail(n, err, "names nobody: nobody could connect");
    uid_t *peers = conf_own(a, calloc(count, sizeof *peers), free);
    gid_t gid;
    if (peers == NULL) return yaml_fail(n, err, "out of memory");
    for (size_t i = 0; i < count; i++)
        if (!read_uid(list ? yaml_at(n, i) : n, &peers[i], &gid, err)) return false;
    d->peers = peers;
    d->npeers = count;
    return true;
}

static bool read_door(struct conf_all *a, const struct yaml_node *n, struct conf_door *d, struct pol_error *err) {
    static const char *const keys[] = {"socket", "owner", "mode", "peers", NULL};
    const char *name = NULL;
    gid_t gid;
    if (n == NULL || !yaml_keys(n, keys, err) || !conf_need_str(n, "socket", &name, err)) return false;
    d->socket = conf_path(a, name);
    if (d->socket == NULL) return yaml_fail(n, err, "out of memory");
    if (strlen(d->socket) >= sizeof((struct sockaddr_un *)0)->sun_path)
        return yaml_fail(yaml_get(n, "socket"), err, "the path %s is too long for a Unix socket", d->socket);
    const struct yaml_node *owner = yaml_get(n, "owner"), *mode = yaml_get(n, "mode"), *peers = conf_need(n, "peers", err);
    if (owner != NULL) {
        if (!read_uid(owner, &d->owner, &gid, err)) return false;
        d->has_owner = true;
    }
    d->mode = 0600;
    if (mode != NULL && !read_mode(mode, &d->mode, err)) return false;
    return peers != NULL && read_peers(a, d, peers, err);
}

static bool read_log(struct conf_all *a, const struct yaml_node *n, struct pol_error *err) {
    static const char *const keys[] = {"level", NULL}, *const levels[] = {"error", "warn", "info", "debug", NULL};
    int level = LOG_INFO;
    if (n == NULL) return true;
    if (!yaml_keys(n, keys, err)) return false;
    const struct yaml_node *l = yaml_get(n, "level");
    if (l != NULL && !yaml_enum(l, levels, &level, err)) return false;
    a->c.log_level = (enum log_level)level;
    return true;
}

static bool read_audit(struct conf_all *a, const struct yaml_node *n, struct pol_error *err) {
    static const char *const keys[] = {"mode", "journal", "timeout", "auth_max", "fsync", "segment", "retain", "max_unshipped", NULL};
    static const char *const modes[] = {"strict", "journal", NULL};
    struct led_conf *l = &a->c.ledger;
    int mode = LED_STRICT;
    const char *dir = NULL;
    if (n == NULL || !yaml_keys(n, keys, err)) return false;
    const struct yaml_node *m = yaml_get(n, "mode");
    if (m != NULL && !yaml_enum(m, modes, &mode, err)) return false;
    l->mode = (enum led_mode)mode;
    l->timeout_ms = 2000;
    l->auth_max = 10000;
    l->segment_bytes = 64u << 20;
    l->retain_bytes = 1u << 30;
    l->max_unshipped = 4ull << 30;
    if (!conf_need_str(n, "journal", &dir, err)) return false;
    l->dir = conf_path(a, dir);
    if (l->dir == NULL) return yaml_fail(n, err, "out of memory");
    return conf_ms(n, "timeout", false, 50, 60000, &l->timeout_ms, err) && conf_int(n, "auth_max", 1, 100000000, &l->auth_max, err) &&
           conf_bool(n, "fsync", &l->fsync, err) && conf_size(n, "segment", 1u << 20, 4ull << 30, &l->segment_bytes, err) &&
           conf_size(n, "retain", 0, 1ull << 50, &l->retain_bytes, err) &&
           conf_size(n, "max_unshipped", 1u << 20, 1ull << 50, &l->max_unshipped, err);
}

static bool read_redis(struct conf_all *a, const struct yaml_node *n, struct pol_error *err) {
    static const char *const keys[] = {"socket", "host", "port", "user", "password_file", NULL};
    struct led_conf *l = &a->c.ledger;
    const char *socket = NULL, *file = NULL;
    uint64_t port = 6379;
    char why[512];
    if (n == NULL || !yaml_keys(n, keys, err)) return false;
    if (!conf_str(n, "socket", &socket, err) || !conf_str(n, "host", &l->redis_host, err) || !conf_int(n, "port", 1, 65535, &port, err) ||
        !conf_str(n, "user", &l->redis_user, err) || !conf_str(n, "password_file", &file, err))
        return false;
    if ((socket == NULL) == (l->redis_host == NULL)) return yaml_fail(n, err, "needs either socket or host");
    if (socket != NULL && yaml_get(n, "port") != NULL) return yaml_fail(yaml_get(n, "port"), err, "a Unix socket has no port");
    if (l->redis_user != NULL && file == NULL) return yaml_fail(yaml_get(n, "user"), err, "a user needs a password_file too");
    l->redis_port = (uint16_t)port;
    if (socket != NULL && (l->redis_socket = conf_path(a, socket)) == NULL) return yaml_fail(n, err, "out of memory");
    if (file == NULL) return true;
    const char *path = conf_path(a, file);
    char *password = path == NULL ? NULL : secret_read(path, why, sizeof why);
    if (password == NULL) return yaml_fail(yaml_get(n, "password_file"), err, "%s", path == NULL ? "out of memory" : why);
    l->redis_password = conf_own(a, password, (void (*)(void *))secret_free);
    return l->redis_password != NULL || yaml_fail(n, err, "out of memory");
}

static bool read_limits(struct conf_all *a, const struct yaml_node *n, struct pol_error *err) {
    static const char *const keys[] = {"sessions",
                                       "sessions_per_principal",
                                       "startup_time",
                                       "token",
                                       "statement",
                                       "params",
                                       "reply",
                                       "buffer",
                                       "prepared",
                                       "portals",
                                       "inflight",
                                       "parse_threads",
                                       "parse_queue",
                                       "parse_queue_bytes",
                                       "cache_statements",
                                       "cache_bytes",
                                       "cancels",
                                       "upstream_connect",
                                       "idle",
                                       "stall",
                                       NULL};
    struct conf_limits *l = &a->c.limits;
    *l = (struct conf_limits){.sessions = 1000,
                              .sessions_per_principal = 100,
                              .token = 8192,
                              .statement = 16u << 20,
                              .params = 8192,
                              .reply = 1u << 20,
                              .buffer = 256u << 10,
                              .prepared = 4096,
                              .portals = 1024,
                              .inflight = 4096,
                              .parse_threads = 1,
                              .parse_queue = 64,
                              .parse_queue_bytes = 128u << 20,
                              .cache_statements = 4096,
                              .cache_bytes = 32u << 20,
                              .cancels = 64,
                              .startup_ms = 10000,
                              .upstream_connect_ms = 5000};
    if (n == NULL) return true;
    return yaml_keys(n, keys, err) && conf_int(n, "sessions", 1, 1000000, &l->sessions, err) &&
           conf_int(n, "sessions_per_principal", 1, 1000000, &l->sessions_per_principal, err) &&
           conf_ms(n, "startup_time", false, 100, 600000, &l->startup_ms, err) && conf_size(n, "token", 256, 1u << 20, &l->token, err) &&
           conf_size(n, "statement", 64, 256u << 20, &l->statement, err) && conf_size(n, "params", 0, 1u << 20, &l->params, err) &&
           conf_size(n, "reply", 4096, 64u << 20, &l->reply, err) && conf_size(n, "buffer", 16384, 64u << 20, &l->buffer, err) &&
           conf_int(n, "prepared", 1, 1000000, &l->prepared, err) && conf_int(n, "portals", 1, 1000000, &l->portals, err) &&
           conf_int(n, "inflight", 1, 1000000, &l->inflight, err) && conf_int(n, "parse_threads", 1, 8, &l->parse_threads, err) &&
           conf_int(n, "parse_queue", 1, 10000, &l->parse_queue, err) &&
           conf_size(n, "parse_queue_bytes", 1u << 20, 4ull << 30, &l->parse_queue_bytes, err) &&
           conf_int(n, "cache_statements", 0, 1000000, &l->cache_statements, err) &&
           conf_size(n, "cache_bytes", 0, 4ull << 30, &l->cache_bytes, err) && conf_int(n, "cancels", 1, 100000, &l->cancels, err) &&
           conf_ms(n, "upstream_connect", false, 50, 600000, &l->upstream_connect_ms, err) &&
           conf_ms(n, "idle", true, 1000, 30ull * DAY_MS, &l->idle_ms, err) &&
           conf_ms(n, "stall", true, 1000, 30ull * DAY_MS, &l->stall_ms, err);
}

static bool read_accounts(struct conf_all *a, const struct yaml_node *root, struct pol_error *err) {
    const struct yaml_node *user = yaml_get(root, "user"), *group = yaml_get(root, "group");
    const char *name;
    if (user != NULL) {
        if (!read_uid(user, &a->c.user, &a->c.group, err) || !yaml_str(user, &a->c.user_name, err)) return false;
        a->c.has_user = a->c.has_group = true;
    }
    if (group == NULL) return true;
    if (user == NULL) return yaml_fail(group, err, "a group needs a user too");
    if (!yaml_str(group, &name, err)) return false;
    const struct group *gr = getgrnam(name);
    if (gr == NULL) return yaml_fail(group, err, "there is no group \"%s\" on this system", name);
    a->c.group = gr->gr_gid;
    return true;
}

static bool read_node(struct conf_all *a, const struct yaml_node *root, struct pol_error *err) {
    static const char ok[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789_.-";
    if (!conf_need_str(root, "node", &a->c.node, err)) return false;
    if (strlen(a->c.node) > 64 || strspn(a->c.node, ok) != strlen(a->c.node))
        return yaml_fail(yaml_get(root, "node"), err, "a node's name is 1 to 64 of letters, digits, \"_\", \".\" and \"-\"");
    a->c.ledger.node = a->c.node;
    return true;
}

static bool read_root(struct conf_all *a, const struct yaml_node *root, struct pol_error *err) {
    static const char *const keys[] = {"version", "node",    "threads",    "user",          "group",    "log",
                                       "spop",    "payload", "ticket_ttl", "policy",        "identity", "databases",
                                       "audit",   "redis",   "limits",     "drain_timeout", NULL};
    struct conf *c = &a->c;
    const char *policy = NULL;
    uint64_t version = 0, threads = 2;
    if (!yaml_keys(root, keys, err)) return false;
    if (conf_need(root, "version", err) == NULL || !conf_int(root, "version", 1, 1, &version, err)) return false;
    c->log_level = LOG_INFO;
    c->ticket_ttl_ms = 10000;
    c->drain_timeout_ms = 30000;
    if (!read_node(a, root, err) || !conf_int(root, "threads", 1, 64, &threads, err) || !read_accounts(a, root, err) ||
        !read_log(a, yaml_get(root, "log"), err) || !read_door(a, conf_need(root, "spop", err), &c->spop, err) ||
        !read_door(a, conf_need(root, "payload", err), &c->payload, err) ||
        !conf_ms(root, "ticket_ttl", false, 500, 300000, &c->ticket_ttl_ms, err) ||
        !conf_ms(root, "drain_timeout", true, 100, DAY_MS, &c->drain_timeout_ms, err) || !conf_need_str(root, "policy", &policy, err))
        return false;
    c->threads = (unsigned)threads;
    c->policy = conf_path(a, policy);
    if (c->policy == NULL) return yaml_fail(root, err, "out of memory");
    if (strcmp(c->spop.socket, c->payload.socket) == 0) return yaml_fail(yaml_get(root, "payload"), err, "uses the socket of spop");
    const struct yaml_node *identity = conf_need(root, "identity", err);
    if (identity == NULL || !conf_read_identity(a, identity, err)) return false;
    const struct yaml_node *databases = conf_need(root, "databases", err);
    if (databases == NULL || !conf_read_databases(a, databases, err)) return false;
    if (!read_audit(a, conf_need(root, "audit", err), err) || !read_redis(a, conf_need(root, "redis", err), err) ||
        !read_limits(a, yaml_get(root, "limits"), err))
        return false;
    c->jwt.max_token = (size_t)c->limits.token;
    return true;
}

/* --- the object --- */

static char *folder_of(const char *path) {
    const char *slash = strrchr(path, '/');
    return strndup(path, slash == NULL ? 0 : (size_t)(slash - path) + 1);
}

struct conf *conf_load(const char *path, struct pol_error *err) {
    struct conf_all *a = calloc(1, sizeof *a);
    char *copy = strdup(path);
    if (a != NULL) a->folder = folder_of(path);
    if (a == NULL || a->folder == NULL || copy == NULL || (a->c.path = conf_own(a, copy, free)) == NULL) {
        *err = (struct pol_error){.text = "out of memory"};
        snprintf(err->file, sizeof err->file, "%s", path);
        if (a != NULL) free(a->folder);
        free(a);
        return NULL;
    }
    a->doc = yaml_load_file(path, 0, err);
    if (a->doc == NULL || !read_root(a, yaml_root(a->doc), err)) {
        conf_free(&a->c);
        return NULL;
    }
    return &a->c;
}

void conf_free(struct conf *c) {
    if (c == NULL) return;
    struct conf_all *a = (struct conf_all *)c;
    while (a->owned != NULL) {
        struct conf_owned *o = a->owned;
        a->owned = o->next;
        o->release(o->p);
        free(o);
    }
    if (a->doc != NULL) yaml_doc_free(a->doc);
    free(a->folder);
    free(a);
}

const struct conf_database *conf_database(const struct conf *c, const char *name) {
    for (size_t i = 0; i < c->ndatabases; i++)
        if (strcmp(c->databases[i].name, name) == 0) return &c->databases[i];
    return NULL;
}

/* --- what a reload cannot change --- */

static bool same(const char *a, const char *b) { return a == b || (a != NULL && b != NULL && strcmp(a, b) == 0); }

static bool same_door(const struct conf_door *a, const struct conf_door *b) {
    return same(a->socket, b->socket) && a->has_owner == b->has_owner && a->owner == b->owner && a->mode == b->mode &&
           a->npeers == b->npeers && memcmp(a->peers, b->peers, a->npeers * sizeof *a->peers) == 0;
}

static bool same_audit(const struct led_conf *a, const struct led_conf *b) {
    return same(a->dir, b->dir) && a->mode == b->mode && a->fsync == b->fsync && a->segment_bytes == b->segment_bytes &&
           a->retain_bytes == b->retain_bytes && a->max_unshipped == b->max_unshipped && a->auth_max == b->auth_max &&
           a->timeout_ms == b->timeout_ms;
}

static bool same_redis(const struct led_conf *a, const struct led_conf *b) {
    return same(a->redis_socket, b->redis_socket) && same(a->redis_host, b->redis_host) && a->redis_port == b->redis_port &&
           same(a->redis_user, b->redis_user) && same(a->redis_password, b->redis_password);
}

void conf_restart_keys(const struct conf *a, const struct conf *b, char *out, size_t size) {
    const struct {
        const char *key;
        bool same;
    } keys[] = {
        {"node", same(a->node, b->node)},
        {"threads", a->threads == b->threads},
        {"user", a->has_user == b->has_user && a->user == b->user},
        {"group", a->has_group == b->has_group && a->group == b->group},
        {"spop", same_door(&a->spop, &b->spop)},
        {"payload", same_door(&a->payload, &b->payload)},
        {"audit", same_audit(&a->ledger, &b->ledger)},
        {"redis", same_redis(&a->ledger, &b->ledger)},
        {"limits.parse_threads", a->limits.parse_threads == b->limits.parse_threads},
        {"limits.parse_queue", a->limits.parse_queue == b->limits.parse_queue},
        {"limits.parse_queue_bytes", a->limits.parse_queue_bytes == b->limits.parse_queue_bytes},
        {"limits.cache_statements", a->limits.cache_statements == b->limits.cache_statements},
        {"limits.cache_bytes", a->limits.cache_bytes == b->limits.cache_bytes},
    };
    size_t at = 0;
    out[0] = '\0';
    for (size_t i = 0; i < sizeof keys / sizeof *keys; i++) {
        if (keys[i].same || at >= size) continue;
        int n = snprintf(out + at, size - at, "%s%s", at > 0 ? ", " : "", keys[i].key);
        at += n > 0 ? (size_t)n : 0;
    }
}
