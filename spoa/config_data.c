/* The sections identity and databases of the configuration. */
#include <config.h>

#include "spoa/config_int.h"
#include "spoa/secret.h"

#include <arpa/inet.h>
#include <netdb.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/un.h>

/* --- identity --- */

static bool read_algorithms(struct conf_all *a, const struct yaml_node *n, unsigned *algs, struct pol_error *err) {
    const char *const *words;
    size_t count;
    *algs = JWT_RS256 | JWT_ES256;
    if (n == NULL) return true;
    if (!yaml_strings(a->doc, n, &words, &count, err)) return false;
    *algs = 0;
    for (size_t i = 0; i < count; i++) {
        if (strcmp(words[i], "RS256") == 0)
            *algs |= JWT_RS256;
        else if (strcmp(words[i], "ES256") == 0)
            *algs |= JWT_ES256;
        else
            return yaml_fail(n, err, "\"%s\" is not an algorithm that is accepted: use RS256 or ES256", words[i]);
    }
    return *algs != 0 || yaml_fail(n, err, "names no algorithm");
}

static bool read_issuer(struct conf_all *a, const struct yaml_node *n, struct jwt_issuer *out, struct pol_error *err) {
    static const char *const keys[] = {"issuer", "audience", "jwks_file", "algorithms", "principal_claim", "groups_claim", "leeway", NULL};
    const char *file = NULL;
    uint64_t leeway = JWT_LEEWAY_DEFAULT * 1000u;
    char why[512];
    if (!yaml_keys(n, keys, err) || !conf_need_str(n, "issuer", &out->issuer, err)) return false;
    const struct yaml_node *audience = conf_need(n, "audience", err);
    if (audience == NULL || !yaml_strings(a->doc, audience, &out->audiences, &out->naudiences, err)) return false;
    if (out->naudiences == 0) return yaml_fail(audience, err, "names no audience: no token would be accepted");
    if (!conf_need_str(n, "jwks_file", &file, err) || !read_algorithms(a, yaml_get(n, "algorithms"), &out->algs, err) ||
        !conf_str(n, "principal_claim", &out->principal_claim, err) || !conf_str(n, "groups_claim", &out->groups_claim, err) ||
        !conf_ms(n, "leeway", true, 0, 300000, &leeway, err))
        return false;
    out->leeway = (unsigned)(leeway / 1000u);
    const char *path = conf_path(a, file);
    struct jwks *keyset = path == NULL ? NULL : jwks_load(path, why, sizeof why);
    if (keyset == NULL) return yaml_fail(yaml_get(n, "jwks_file"), err, "%s", path == NULL ? "out of memory" : why);
    out->keys = conf_own(a, keyset, (void (*)(void *))jwks_free);
    return out->keys != NULL || yaml_fail(n, err, "out of memory");
}

bool conf_read_identity(struct conf_all *a, const struct yaml_node *n, struct pol_error *err) {
    static const char *const keys[] = {"issuers", NULL};
    if (!yaml_keys(n, keys, err)) return false;
    const struct yaml_node *list = conf_need(n, "issuers", err);
    if (list == NULL) return false;
    if (yaml_kind(list) != YAML_LIST || yaml_len(list) == 0) return yaml_fail(list, err, "must be a list of at least one issuer");
    struct jwt_issuer *issuers = conf_own(a, calloc(yaml_len(list), sizeof *issuers), free);
    if (issuers == NULL) return yaml_fail(list, err, "out of memory");
    for (size_t i = 0; i < yaml_len(list); i++) {
        if (!read_issuer(a, yaml_at(list, i), &issuers[i], err)) return false;
        for (size_t j = 0; j < i; j++)
            if (strcmp(issuers[i].issuer, issuers[j].issuer) == 0)
                return yaml_fail(yaml_at(list, i), err, "the issuer \"%s\" is listed twice", issuers[i].issuer);
    }
    a->c.jwt.issuers = issuers;
    a->c.jwt.nissuers = yaml_len(list);
    return true;
}

/* --- databases --- */

static bool unix_address(const struct yaml_node *n, const char *path, struct conf_database *d, struct pol_error *err) {
    struct sockaddr_un un = {.sun_family = AF_UNIX};
    if (path == NULL) return yaml_fail(n, err, "out of memory");
    if (strlen(path) >= sizeof un.sun_path) return yaml_fail(n, err, "the path %s is too long for a Unix socket", path);
    memcpy(un.sun_path, path, strlen(path) + 1);
    memcpy(&d->addrs[0].ss, &un, sizeof un);
    d->addrs[0].len = sizeof un;
    d->naddrs = 1;
    d->where = path;
    d->allow_cleartext = true;
    return true;
}

/* Names are looked up now: the loop never waits for DNS. A reload looks again. */
static bool tcp_addresses(struct conf_all *a, const struct yaml_node *n, const char *host, uint64_t port, struct conf_database *d,
                          struct pol_error *err) {
    struct addrinfo hints = {.ai_family = AF_UNSPEC, .ai_socktype = SOCK_STREAM, .ai_flags = AI_NUMERICSERV}, *list = NULL;
    char service[8], *where = NULL;
    snprintf(service, sizeof service, "%u", (unsigned)port);
    int rc = getaddrinfo(host, service, &hints, &list);
    if (rc != 0) return yaml_fail(n, err, "cannot find the address of \"%s\": %s", host, gai_strerror(rc));
    for (const struct addrinfo *i = list; i != NULL && d->naddrs < CONF_ADDRS; i = i->ai_next) {
        if (i->ai_addrlen > sizeof d->addrs[0].ss) continue;
        memcpy(&d->addrs[d->naddrs].ss, i->ai_addr, i->ai_addrlen);
        d->addrs[d->naddrs++].len = i->ai_addrlen;
    }
    freeaddrinfo(list);
    if (asprintf(&where, "%s:%s", host, service) < 0) where = NULL;
    d->where = conf_own(a, where, free);
    return (d->where != NULL && d->naddrs > 0) || yaml_fail(n, err, "no address for \"%s\"", host);
}

static bool read_upstream(struct conf_all *a, const struct yaml_node *n, struct conf_database *d, struct pol_error *err) {
    static const char *const keys[] = {"host", "port", "socket", "database", "user", "password_file", "allow_cleartext", NULL};
    const char *host = NULL, *socket = NULL, *file = NULL;
    uint64_t port = 5432;
    char why[512];
    if (!yaml_keys(n, keys, err) || !conf_str(n, "host", &host, err) || !conf_str(n, "socket", &socket, err) ||
        !conf_int(n, "port", 1, 65535, &port, err))
        return false;
    if ((host == NULL) == (socket == NULL)) return yaml_fail(n, err, "needs either host or socket");
    if (socket != NULL && yaml_get(n, "port") != NULL) return yaml_fail(yaml_get(n, "port"), err, "a Unix socket has no port");
    if (socket != NULL ? !unix_address(yaml_get(n, "socket"), conf_path(a, socket), d, err)
                       : !tcp_addresses(a, yaml_get(n, "host"), host, port, d, err))
        return false;
    d->database = d->name;
    d->password = "";
    if (!conf_str(n, "database", &d->database, err) || !conf_need_str(n, "user", &d->user, err) ||
        !conf_bool(n, "allow_cleartext", &d->allow_cleartext, err) || !conf_str(n, "password_file", &file, err))
        return false;
    if (file == NULL) return true;
    const char *path = conf_path(a, file);
    char *password = path == NULL ? NULL : secret_read(path, why, sizeof why);
    if (password == NULL) return yaml_fail(yaml_get(n, "password_file"), err, "%s", path == NULL ? "out of memory" : why);
    d->password = conf_own(a, password, (void (*)(void *))secret_free);
    return d->password != NULL || yaml_fail(n, err, "out of memory");
}

/* Every schema as a quoted identifier: the server reads exactly these names. */
static bool read_search_path(struct conf_all *a, const struct yaml_node *map, struct conf_database *d, struct pol_error *err) {
    static const char *const standard[] = {"public", NULL};
    const struct yaml_node *n = yaml_get(map, "search_path");
    d->search_path = standard;
    d->nsearch_path = 1;
    if (n != NULL && !yaml_strings(a->doc, n, &d->search_path, &d->nsearch_path, err)) return false;
    size_t size = 1;
    for (size_t i = 0; i < d->nsearch_path; i++) {
        const char *s = d->search_path[i];
        if (*s == '\0' || *s == '$')
            return yaml_fail(n, err, "\"%s\" is not a schema's name; $user is not supported, because it differs by user", s);
        if (strncmp(s, "pg_", 3) == 0) return yaml_fail(n, err, "%s cannot be listed: the server adds its own schemas", s);
        size += 2 * strlen(s) + 4;
    }
    char *text = conf_own(a, calloc(1, size), free), *at = text;
    if (text == NULL) return yaml_fail(map, err, "out of memory");
    for (size_t i = 0; i < d->nsearch_path; i++) {
        if (i > 0) at = stpcpy(at, ", ");
        *at++ = '"';
        for (const char *s = d->search_path[i]; *s != '\0'; s++) {
            if (*s == '"') *at++ = '"';
            *at++ = *s;
        }
        *at++ = '"';
    }
    d->search_path_text = text;
    return true;
}

static bool read_settings(struct conf_all *a, const struct yaml_node *n, struct conf_database *d, struct pol_error *err) {
    static const char *const ours[] = {"client_encoding",
                                       "standard_conforming_strings",
                                       "search_path",
                                       "backslash_quote",
                                       "role",
                                       "session_authorization",
                                       "options",
                                       "user",
                                       "database",
                                       "replication",
                                       NULL};
    if (n == NULL) return true;
    if (yaml_kind(n) != YAML_MAP) return yaml_fail(n, err, "must be a map of settings and values");
    struct flt_kv *kv = conf_own(a, calloc(yaml_len(n) + 1, sizeof *kv), free);
    const char **pinned = conf_own(a, calloc(2 * yaml_len(n) + 1, sizeof *pinned), free);
    if (kv == NULL || pinned == NULL) return yaml_fail(n, err, "out of memory");
    for (size_t i = 0; i < yaml_len(n); i++) {
        kv[i].name = yaml_key_at(n, i);
        if (!yaml_str(yaml_at(n, i), &kv[i].value, err)) return false;
        pinned[2 * i] = kv[i].name;
        pinned[2 * i + 1] = kv[i].value;
        for (const char *const *o = ours; *o != NULL; o++)
            if (strcasecmp(*o, kv[i].name) == 0)
                return yaml_fail(yaml_key_node_at(n, i), err, "%s is set by gatehouse itself and cannot be changed here", kv[i].name);
    }
    d->settings = kv;
    d->pinned = pinned;
    d->nsettings = yaml_len(n);
    return true;
}

static bool read_database(struct conf_all *a, const struct yaml_node *n, struct conf_database *d, struct pol_error *err) {
    static const char *const keys[] = {"engine", "upstream", "search_path", "settings", NULL}, *const engines[] = {"postgresql", NULL};
    int engine;
    if (!yaml_keys(n, keys, err)) return false;
    const struct yaml_node *e = conf_need(n, "engine", err);
    if (e == NULL || !yaml_enum(e, engines, &engine, err)) return false;
    const struct yaml_node *u = conf_need(n, "upstream", err);
    return u != NULL && read_upstream(a, u, d, err) && read_search_path(a, n, d, err) && read_settings(a, yaml_get(n, "settings"), d, err);
}

bool conf_read_databases(struct conf_all *a, const struct yaml_node *n, struct pol_error *err) {
    if (yaml_kind(n) != YAML_MAP || yaml_len(n) == 0) return yaml_fail(n, err, "must be a map of at least one database");
    struct conf_database *list = conf_own(a, calloc(yaml_len(n), sizeof *list), free);
    if (list == NULL) return yaml_fail(n, err, "out of memory");
    for (size_t i = 0; i < yaml_len(n); i++) {
        list[i].name = yaml_key_at(n, i);
        if (!read_database(a, yaml_at(n, i), &list[i], err)) return false;
    }
    a->c.databases = list;
    a->c.ndatabases = yaml_len(n);
    return true;
}
