#include <config.h>

#include "spoa/config_int.h"
#include "spoa/secret.h"

#include <grp.h>
#include <netdb.h>
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

bool conf_read_peers(struct conf_all *a, struct conf_door *d, const struct yaml_node *n, struct pol_error *err) {
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

/* The socket's path, owner and mode. */
bool conf_read_socket(struct conf_all *a, const struct yaml_node *n, struct conf_door *d, struct pol_error *err) {
    const char *name = NULL;
    gid_t gid;
    if (!conf_need_str(n, "socket", &name, err)) return false;
    d->socket = conf_path(a, name);
    if (d->socket == NULL) return yaml_fail(n, err, "out of memory");
    if (strlen(d->socket) >= sizeof((struct sockaddr_un *)0)->sun_path)
        return yaml_fail(yaml_get(n, "socket"), err, "the path %s is too long for a Unix socket", d->socket);
    const struct yaml_node *owner = yaml_get(n, "owner"), *mode = yaml_get(n, "mode");
    if (owner != NULL) {
        if (!read_uid(owner, &d->owner, &gid, err)) return false;
        d->has_owner = true;
    }
    d->mode = 0600;
    return mode == NULL || read_mode(mode, &d->mode, err);
}

static const char *const admin_keys[] = {"socket", "owner", "mode", "peers", "operators", NULL};

static bool read_door_keys(struct conf_all *a, const struct yaml_node *n, const char *const *keys, struct conf_door *d,
                           struct pol_error *err) {
    if (n == NULL || !yaml_keys(n, keys, err) || !conf_read_socket(a, n, d, err)) return false;
    const struct yaml_node *peers = conf_need(n, "peers", err);
    return peers != NULL && conf_read_peers(a, d, peers, err);
}

static bool read_door(struct conf_all *a, const struct yaml_node *n, struct conf_door *d, struct pol_error *err) {
    static const char *const keys[] = {"socket", "owner", "mode", "peers", NULL};
    return read_door_keys(a, n, keys, d, err);
}

static bool read_spop(struct conf_all *a, const struct yaml_node *n, struct pol_error *err) {
    static const char *const keys[] = {"socket", "owner", "mode", "peers", "silence", NULL};
    a->c.spop_silence_ms = 30000;
    if (n == NULL || !yaml_keys(n, keys, err) || !conf_read_socket(a, n, &a->c.spop, err)) return false;
    const struct yaml_node *peers = conf_need(n, "peers", err);
    return peers != NULL && conf_read_peers(a, &a->c.spop, peers, err) &&
           conf_ms(n, "silence", true, 1000, DAY_MS, &a->c.spop_silence_ms, err);
}

/* ADDRESS:PORT, with an IPv6 address in brackets: numbers only, because a name may mean another address tomorrow. */
static bool read_listen(const struct yaml_node *n, struct conf_metrics *m, struct pol_error *err) {
    struct addrinfo hints = {.ai_socktype = SOCK_STREAM, .ai_flags = AI_NUMERICHOST | AI_NUMERICSERV | AI_PASSIVE}, *found = NULL;
    char host[64];
    if (!yaml_str(n, &m->where, err)) return false;
    const char *colon = strrchr(m->where, ':'), *port = colon == NULL ? "" : colon + 1;
    size_t len = colon == NULL ? 0 : (size_t)(colon - m->where);
    bool brackets = len > 2 && m->where[0] == '[' && m->where[len - 1] == ']';
    snprintf(host, sizeof host, "%.*s", (int)(brackets ? len - 2 : len), m->where + brackets);
    bool ok = len > 0 && len < sizeof host && *port >= '1' && *port <= '9' && strspn(port, "0123456789") == strlen(port) &&
              strtoul(port, NULL, 10) <= 65535 && (brackets || strchr(host, ':') == NULL) && getaddrinfo(host, port, &hints, &found) == 0;
    if (ok) {
        m->addr.len = found->ai_addrlen;
        memcpy(&m->addr.ss, found->ai_addr, found->ai_addrlen);
        freeaddrinfo(found);
    }
    return ok || yaml_fail(n, err, "\"%s\" is not an address and a port: write 127.0.0.1:9640 or \"[::1]:9640\"", m->where);
}

static bool read_catalog(struct conf_all *a, const struct yaml_node *n, struct pol_error *err) {
    static const char *const keys[] = {"refresh", NULL};
    return n == NULL || (yaml_keys(n, keys, err) && conf_ms(n, "refresh", false, 1000, DAY_MS, &a->c.catalog_refresh_ms, err));
}

static bool read_metrics(struct conf_all *a, const struct yaml_node *n, struct pol_error *err) {
    static const char *const keys[] = {"listen", "socket", "owner", "mode", NULL};
    struct conf_metrics *m = &a->c.metrics;
    if (n == NULL) return true;
    if (!yaml_keys(n, keys, err)) return false;
    const struct yaml_node *address = yaml_get(n, "listen"), *socket = yaml_get(n, "socket");
    if ((address == NULL) == (socket == NULL)) return yaml_fail(n, err, "needs either listen or socket");
    if (address != NULL) {
        const struct yaml_node *stray = yaml_get(n, "owner") != NULL ? yaml_get(n, "owner") : yaml_get(n, "mode");
        return stray == NULL ? read_listen(address, m, err) : yaml_fail(stray, err, "is for a socket, not for an address");
    }
    if (!conf_read_socket(a, n, &m->door, err)) return false;
    m->where = m->door.socket;
    if (strcmp(m->where, a->c.spop.socket) != 0 && strcmp(m->where, a->c.payload.socket) != 0) return true;
    return yaml_fail(socket, err, "is the socket of another door");
}

static bool read_admin(struct conf_all *a, const struct yaml_node *n, struct pol_error *err) {
    struct conf_metrics *m = &a->c.admin;
    if (n == NULL) return true;
    if (!read_door_keys(a, n, admin_keys, &m->door, err) || !conf_read_operators(a, n, err)) return false;
    if (!m->door.has_owner && a->c.has_user) { /* whoever binds it: root at the start, the daemon itself in an upgrade */
        m->door.has_owner = true;
        m->door.owner = a->c.user;
    }
    m->where = m->door.socket;
    const char *others[] = {a->c.spop.socket, a->c.payload.socket, a->c.metrics.door.socket};
    for (size_t i = 0; i < sizeof others / sizeof *others; i++)
        if (others[i] != NULL && strcmp(m->where, others[i]) == 0)
            return yaml_fail(yaml_get(n, "socket"), err, "is the socket of another door");
    return true;
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
                                       "api_idle",
                                       "approvals",
                                       "approvals_per_principal",
                                       "login_failures",
                                       "login_failures_per_name",
                                       "login_delay",
                                       "login_held",
                                       "audit_rate",
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
                              .parse_threads = 2,
                              .parse_queue = 1024,
                              .parse_queue_bytes = 128u << 20,
                              .cache_statements = 4096,
                              .cache_bytes = 32u << 20,
                              .cancels = 64,
                              .startup_ms = 10000,
                              .upstream_connect_ms = 5000,
                              .stall_ms = 3600000,
                              .approvals = 10000,
                              .approvals_per_principal = 20,
                              .api_idle_ms = 300000,
                              .login_failures = 60,
                              .login_failures_per_name = 60,
                              .login_delay_ms = 250,
                              .login_held = 1000};
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
           conf_ms(n, "stall", true, 1000, 30ull * DAY_MS, &l->stall_ms, err) && conf_int(n, "approvals", 1, 100000, &l->approvals, err) &&
           conf_int(n, "approvals_per_principal", 1, 100000, &l->approvals_per_principal, err) &&
           conf_ms(n, "api_idle", false, 1000, DAY_MS, &l->api_idle_ms, err) &&
           conf_int(n, "login_failures", 1, 1000000, &l->login_failures, err) &&
           conf_int(n, "login_failures_per_name", 1, 1000000, &l->login_failures_per_name, err) &&
           conf_ms(n, "login_delay", true, 1, 10000, &l->login_delay_ms, err) &&
           conf_int(n, "login_held", 0, 1000000, &l->login_held, err) && conf_size(n, "audit_rate", 0, 1ull << 40, &l->audit_rate, err);
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

/* Beside the journal, in a folder that is closed to others already. */
static bool read_handover(struct conf_all *a, const struct yaml_node *n, struct pol_error *err) {
    static const char *const keys[] = {"socket", NULL};
    struct conf_door *d = &a->c.handover;
    const char *name = NULL;
    char *path = NULL;
    d->mode = 0600;
    if (n != NULL && (!yaml_keys(n, keys, err) || !conf_need_str(n, "socket", &name, err))) return false;
    if (name != NULL)
        d->socket = conf_path(a, name);
    else if (asprintf(&path, "%s/handover.sock", a->c.ledger.dir) >= 0)
        d->socket = conf_own(a, path, free);
    if (d->socket == NULL) {
        *err = (struct pol_error){.text = "out of memory"};
        return false;
    }
    if (strcmp(d->socket, a->c.spop.socket) == 0 || strcmp(d->socket, a->c.payload.socket) == 0)
        return yaml_fail(n, err, "uses the socket of spop or payload");
    if (strlen(d->socket) < sizeof((struct sockaddr_un *)0)->sun_path) return true;
    if (n != NULL) return yaml_fail(yaml_get(n, "socket"), err, "the path %s is too long for a Unix socket", d->socket);
    d->socket = NULL; /* a journal that lies so deep still works, only upgrades need the key */
    return true;
}

static bool read_root(struct conf_all *a, const struct yaml_node *root, struct pol_error *err) {
    static const char *const keys[] = {
        "version", "node",     "threads",   "user",    "group", "log",    "spop",          "payload",  "ticket_ttl",
        "policy",  "identity", "databases", "audit",   "redis", "limits", "drain_timeout", "handover", "upgrade_timeout",
        "apis",    "metrics",  "admin",     "catalog", "nodes", "hooks",  "page",          NULL};
    struct conf *c = &a->c;
    const char *policy = NULL;
    uint64_t version = 0, threads = 2;
    if (!yaml_keys(root, keys, err)) return false;
    if (conf_need(root, "version", err) == NULL || !conf_int(root, "version", 1, 1, &version, err)) return false;
    c->log_level = LOG_INFO;
    c->ticket_ttl_ms = 10000;
    c->drain_timeout_ms = 30000;
    c->upgrade_timeout_ms = 3600000;
    c->catalog_refresh_ms = 60000;
    if (!read_node(a, root, err) || !conf_int(root, "threads", 1, 64, &threads, err) || !read_accounts(a, root, err) ||
        !read_log(a, yaml_get(root, "log"), err) || !read_spop(a, conf_need(root, "spop", err), err) ||
        !read_door(a, conf_need(root, "payload", err), &c->payload, err) ||
        !conf_ms(root, "ticket_ttl", false, 500, 300000, &c->ticket_ttl_ms, err) ||
        !conf_ms(root, "drain_timeout", true, 100, DAY_MS, &c->drain_timeout_ms, err) ||
        !conf_ms(root, "upgrade_timeout", true, 100, 30ull * DAY_MS, &c->upgrade_timeout_ms, err) ||
        !conf_need_str(root, "policy", &policy, err))
        return false;
    c->threads = (unsigned)threads;
    c->policy = conf_path(a, policy);
    if (c->policy == NULL) return yaml_fail(root, err, "out of memory");
    if (strcmp(c->spop.socket, c->payload.socket) == 0) return yaml_fail(yaml_get(root, "payload"), err, "uses the socket of spop");
    if (!read_catalog(a, yaml_get(root, "catalog"), err)) return false;
    if (!read_metrics(a, yaml_get(root, "metrics"), err) || !read_admin(a, yaml_get(root, "admin"), err) ||
        !conf_read_nodes(a, yaml_get(root, "nodes"), err) || !conf_read_hooks(a, yaml_get(root, "hooks"), err))
        return false;
    const struct yaml_node *identity = conf_need(root, "identity", err);
    if (identity == NULL || !conf_read_identity(a, identity, err)) return false;
    if (!conf_read_page(a, yaml_get(root, "page"), err)) return false;
    const struct yaml_node *databases = conf_need(root, "databases", err);
    if (databases == NULL || !conf_read_databases(a, databases, err)) return false;
    if (!conf_read_apis(a, yaml_get(root, "apis"), err)) return false;
    if (!conf_read_audit(a, conf_need(root, "audit", err), err) || !conf_read_redis(a, conf_need(root, "redis", err), err) ||
        !read_limits(a, yaml_get(root, "limits"), err) || !read_handover(a, yaml_get(root, "handover"), err))
        return false;
    c->jwt.max_token = (size_t)c->limits.token;
    return true;
}

/* --- the object --- */

static char *folder_of(const char *path) {
    const char *slash = strrchr(path, '/');
    return strndup(path, slash == NULL ? 0 : (size_t)(slash - path) + 1);
}

static struct conf *load(const char *path, bool look, struct pol_error *err) {
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
    a->look = look;
    a->doc = yaml_load_file(path, 0, err);
    if (a->doc == NULL || !read_root(a, yaml_root(a->doc), err)) {
        conf_free(&a->c);
        return NULL;
    }
    return &a->c;
}

struct conf *conf_load(const char *path, struct pol_error *err) {
    return load(path, false, err);
}
struct conf *conf_look(const char *path, struct pol_error *err) {
    return load(path, true, err);
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

const struct conf_database *conf_asked(const struct conf *c, enum conf_engine engine, const char *name, const char *user) {
    const struct conf_database *d = NULL;
    if (engine == CONF_MYSQL && name[0] == '\0') {
        for (size_t i = 0; i < c->ndatabases; i++) {
            if (c->databases[i].engine != engine) continue;
            if (d != NULL) return NULL;
            d = &c->databases[i];
        }
        return d;
    }
    d = conf_database(c, name[0] != '\0' ? name : user);
    for (size_t i = 0; engine == CONF_MYSQL && (d == NULL || d->engine != engine) && i < c->ndatabases; i++)
        if (c->databases[i].engine == engine && strcmp(c->databases[i].database, name) == 0) d = &c->databases[i];
    return d != NULL && d->engine == engine ? d : NULL;
}

const struct conf_login *conf_login(const struct conf_database *d, char *const *groups, size_t ngroups) {
    for (size_t i = 0; i < d->nlogins; i++) {
        const struct conf_login *l = &d->logins[i];
        if (l->groups == NULL) return l;
        for (size_t j = 0; j < l->ngroups; j++)
            for (size_t k = 0; k < ngroups; k++)
                if (strcmp(l->groups[j], groups[k]) == 0) return l;
    }
    return &d->logins[d->nlogins - 1];
}

/* --- what a reload cannot change --- */

static bool same(const char *a, const char *b) { return a == b || (a != NULL && b != NULL && strcmp(a, b) == 0); }

static bool same_door(const struct conf_door *a, const struct conf_door *b) {
    return same(a->socket, b->socket) && a->has_owner == b->has_owner && a->owner == b->owner && a->mode == b->mode &&
           a->npeers == b->npeers && memcmp(a->peers, b->peers, a->npeers * sizeof *a->peers) == 0;
}

static bool same_metrics(const struct conf_metrics *a, const struct conf_metrics *b) {
    return same(a->where, b->where) && a->door.has_owner == b->door.has_owner && a->door.owner == b->door.owner &&
           a->door.mode == b->door.mode;
}

static bool same_admin(const struct conf_metrics *a, const struct conf_metrics *b) {
    return same(a->where, b->where) && (a->where == NULL || same_door(&a->door, &b->door));
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
        {"metrics", same_metrics(&a->metrics, &b->metrics)},
        {"admin", same_admin(&a->admin, &b->admin)},
        {"page", same_admin(&a->page.m, &b->page.m)},
        {"handover", same(a->handover.socket, b->handover.socket)},
        {"audit", conf_same_audit(&a->ledger, &b->ledger)},
        {"redis", conf_same_redis(&a->ledger, &b->ledger)},
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
