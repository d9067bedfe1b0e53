/* gatehouse.yaml(5) as one immutable object. Every mistake names file, line, column and key. */
#ifndef GH_SPOA_CONFIG_H
#define GH_SPOA_CONFIG_H

#include "filters/filter.h"
#include "policy/yaml.h"
#include "spoa/jwt.h"
#include "spoa/ledger.h"
#include "spoa/log.h"

#include <sys/socket.h>
#include <sys/types.h>

/* Strings belong to the object; NULL means that the key is absent. */

struct conf_door { /* a listening Unix socket */
    const char *socket;
    bool has_owner;
    uid_t owner;
    mode_t mode;
    const uid_t *peers; /* who may connect, by SO_PEERCRED */
    size_t npeers;
};

struct conf_addr {
    struct sockaddr_storage ss;
    socklen_t len;
};
#define CONF_ADDRS 8

struct conf_database {
    const char *name;                   /* as clients and the policy call it */
    struct conf_addr addrs[CONF_ADDRS]; /* tried in order */
    size_t naddrs;
    const char *where; /* "127.0.0.1:5432" or the socket's path, for the log */
    bool allow_cleartext;
    const char *database, *user; /* as the server calls them */
    const char *password;        /* "" when there is none; wiped when the object goes */
    const char *const *search_path;
    size_t nsearch_path;
    const char *search_path_text;  /* the same, quoted for SET */
    const struct flt_kv *settings; /* startup settings of every session */
    size_t nsettings;
    const char *const *pinned; /* the same as name, value, ..., NULL: what SET may not change */
};

struct conf_limits {
    uint64_t sessions, sessions_per_principal;
    uint64_t token, statement, params, reply, buffer;            /* bytes */
    uint64_t prepared, portals, inflight;                        /* of one session */
    uint64_t parse_threads, parse_queue, parse_queue_bytes;      /* of the daemon */
    uint64_t cache_statements, cache_bytes;                      /* of one worker */
    uint64_t cancels;                                            /* under way at once, of one worker */
    uint64_t startup_ms, upstream_connect_ms, idle_ms, stall_ms; /* idle, stall: 0 is off */
};

struct conf {
    const char *path; /* the file */
    const char *node;
    unsigned threads;
    bool has_user, has_group;
    uid_t user;
    gid_t group;
    const char *user_name;
    enum log_level log_level;
    struct conf_door spop, payload;
    uint64_t ticket_ttl_ms, drain_timeout_ms;
    const char *policy;  /* path */
    struct jwt_conf jwt; /* issuers with their keys */
    const struct conf_database *databases;
    size_t ndatabases;
    struct led_conf ledger;
    struct conf_limits limits;
};

/* NULL and *err on a mistake. Reads the files that the configuration names (keys, passwords), resolves host names; opens nothing else. */
struct conf *conf_load(const char *path, struct pol_error *err);
void conf_free(struct conf *c);
const struct conf_database *conf_database(const struct conf *c, const char *name);
/* The keys that differ between a and b and only a restart can change, as "node, threads"; "" when there are none. */
void conf_restart_keys(const struct conf *a, const struct conf *b, char *out, size_t size);

#endif
