/* gatehouse.yaml(5) as one immutable object. Every mistake names file, line, column and key. */
#ifndef GH_SPOA_CONFIG_H
#define GH_SPOA_CONFIG_H

#include "filters/filter.h"
#include "policy/yaml.h"
#include "spoa/api_read.h"
#include "spoa/cert.h"
#include "spoa/cred.h"
#include "spoa/hooks.h"
#include "spoa/jwt.h"
#include "spoa/ledger.h"
#include "spoa/log.h"
#include "spoa/tls.h"

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

struct conf_metrics {      /* where metrics and health are served; where NULL: nowhere */
    const char *where;     /* "127.0.0.1:9640" or the socket's path */
    struct conf_addr addr; /* without a socket */
    struct conf_door door; /* its socket is NULL without one; no peers: its mode decides */
};

#define CONF_PAGE_URL_MAX     300u
#define CONF_PAGE_TEXT_MAX    500u
#define CONF_PAGE_TIMEOUT_MAX 20000u
#define CONF_PAGE_PARAMETERS  16u
#define CONF_PAGE_NO_CLAIM    "gatehouse:none" /* a claim that no token has */
struct conf_provider {                         /* an OpenID provider; ca: PEM, NULL: the system's authorities */
    const char *issuer, *ca;
    bool allow_http;
    uint64_t timeout_ms;
};
struct conf_page {          /* the approvers' page, and the API for machines beside it; m.where NULL: there is none */
    struct conf_metrics m;  /* a socket, with peers */
    const char *url, *host; /* "https://approve.shop.example:8444", "approve.shop.example:8444" */
    const char *client_id;  /* NULL: nobody can sign in, only the API is there */
    const char *client_secret, *scope, *redirect_uri;
    bool secret_post;              /* the secret goes into the body, not into Authorization */
    struct jwt_issuer id;          /* how ID tokens are verified: one of jwt.issuers, but for what was said otherwise */
    bool by_access_token;          /* who it is, is in the access token that comes with it, verified as one for databases is */
    const char *const *parameters; /* more of the authorization request: name, value, ..., NULL; NULL: none */
    struct conf_provider provider; /* where its documents are */
    uint64_t session_ms, idle_ms;  /* how long somebody stays signed in */
};

struct conf_login {            /* as whom Gatehouse logs in for sessions of these groups */
    const char *const *groups; /* NULL: of any */
    size_t ngroups;
    const char *user;
    struct cred *cred; /* NULL: no password */
};

enum conf_engine { CONF_POSTGRESQL, CONF_MYSQL };

/* What a client has to show. */
enum conf_require { CONF_TOKEN, CONF_CERTIFICATE, CONF_BOTH };

#define CONF_RECORD_ROWS  100u /* of a result, where "results" says no more */
#define CONF_RECORD_BYTES 65536u
struct conf_database {
    const char *name; /* as clients and the policy call it */
    enum conf_engine engine;
    const char *server_version; /* MySQL: what the greeting says before the server's own is known; NULL: the default */
    char *public_key;           /* MySQL, caching_sha2_password: PEM; NULL: none is trusted */
    enum conf_require require;
    struct conf_addr addrs[CONF_ADDRS]; /* tried in order */
    size_t naddrs;
    const char *where;   /* "127.0.0.1:5432" or the socket's path, for the log */
    struct tls_ctx *tls; /* NULL: without, see plain_tcp */
    bool tls_direct;     /* TLS from the first byte */
    bool need_binding;   /* SCRAM-SHA-256-PLUS or nothing */
    bool plain_tcp;      /* tls: off was said */
    bool allow_cleartext;
    bool estimate;                   /* ask the planner about statements that wait for approval */
    const char *database;            /* as the server calls it */
    const struct conf_login *logins; /* the first that fits counts; the last fits any */
    size_t nlogins;
    uint64_t record_rows, record_bytes; /* of each result, in the record; bytes 0: none */
    const char *application_name;       /* a template for startup_label(); NULL: as the client says */
    const char *const *search_path;
    size_t nsearch_path;
    const char *search_path_text;  /* the same, quoted for SET */
    const struct flt_kv *settings; /* startup settings of every session */
    size_t nsettings;
    const char *const *pinned; /* the same as name, value, ..., NULL: what SET may not change */
};

struct conf_api { /* an HTTP API whose requests carry SQL */
    const char *name, *database;
    struct api_shape shape;
};

struct conf_limits {
    uint64_t sessions, sessions_per_principal;
    uint64_t token, statement, params, reply, buffer;            /* bytes */
    uint64_t prepared, portals, inflight;                        /* of one session */
    uint64_t parse_threads, parse_queue, parse_queue_bytes;      /* of the daemon */
    uint64_t cache_statements, cache_bytes;                      /* of one worker */
    uint64_t cancels;                                            /* under way at once, of one worker */
    uint64_t startup_ms, upstream_connect_ms, idle_ms, stall_ms; /* idle, stall: 0 is off */
    uint64_t api_idle_ms;
    uint64_t approvals, approvals_per_principal;      /* requests that may wait for a decision */
    uint64_t login_failures, login_failures_per_name; /* bad logins a minute that are answered one by one */
    uint64_t audit_rate;                              /* bytes of the record that a principal may fill in a minute; 0: any */
    uint64_t login_delay_ms, login_held;              /* of the answer to a bad login; answers held back at once */
};

struct conf_node {          /* another node, whose blocks count here */
    const char *name, *key; /* as nodekey_public() gives it */
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
    uint64_t spop_silence_ms; /* without a connection at the SPOP door before a warning; 0 is off */
    struct conf_metrics metrics;
    struct conf_metrics admin; /* a socket, with peers */
    struct conf_page page;
    const char *const *operators; /* groups that may block and end sessions there; NULL: whoever may connect */
    size_t noperators;
    const struct conf_node *nodes;
    size_t nnodes;
    const struct hook_conf *hooks;
    size_t nhooks;
    struct conf_door handover; /* where a newer daemon asks for the doors; socket NULL: nowhere */
    uint64_t ticket_ttl_ms, drain_timeout_ms;
    uint64_t catalog_refresh_ms;
    uint64_t upgrade_timeout_ms; /* for the sessions of a daemon that was replaced; 0: no end */
    const char *policy;          /* path */
    struct jwt_conf jwt;         /* issuers with their keys */
    struct cert_conf certs;      /* whose certificates mean whom */
    enum conf_require require;   /* of databases that do not say, and of those that are not there */
    const char *oauth_where;     /* what clients of OAUTHBEARER are told: a JSON object; NULL: it is not offered */
    const struct conf_database *databases;
    size_t ndatabases;
    const struct conf_api *apis;
    size_t napis;
    struct led_conf ledger;
    struct conf_limits limits;
};

/* NULL and *err on a mistake. Reads the files that the configuration names (keys, passwords), resolves host names; opens nothing else. */
struct conf *conf_load(const char *path, struct pol_error *err);
/* The same for who needs no password of a database's: no command is run, and a login by one has none. */
struct conf *conf_look(const char *path, struct pol_error *err);
void conf_free(struct conf *c);
const struct conf_database *conf_database(const struct conf *c, const char *name);
/* What a client of this engine asked for: of MySQL's, who may name none, the only database there is of it. */
const struct conf_database *conf_asked(const struct conf *c, enum conf_engine engine, const char *name, const char *user);
/* As whom to log in for a session of these groups. */
const struct conf_login *conf_login(const struct conf_database *d, char *const *groups, size_t ngroups);
/* NULL when there is none of this name. */
const struct conf_api *conf_api(const struct conf *c, const char *name, size_t len);
/* The keys that differ between a and b and only a restart can change, as "node, threads"; "" when there are none. */
void conf_restart_keys(const struct conf *a, const struct conf *b, char *out, size_t size);

#endif
