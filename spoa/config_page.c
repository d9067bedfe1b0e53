/* The section page of the configuration. */
#include <config.h>

#include "spoa/config_int.h"
#include "spoa/keydoc.h"
#include "spoa/keystore.h"
#include "spoa/secret.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define DAY_MS (24u * 3600u * 1000u)

/* "https://approve.shop.example" or with a port: an origin (RFC 6454), as browsers write it. */
static bool read_url(struct conf_all *a, const struct yaml_node *n, struct conf_page *p, struct pol_error *err) {
    static const char chars[] = "abcdefghijklmnopqrstuvwxyz0123456789.-:[]";
    if (!conf_need_str(n, "url", &p->url, err)) return false;
    const struct yaml_node *at = yaml_get(n, "url");
    const char *host = p->url + 8;
    (void)a;
    if (strncmp(p->url, "https://", 8) != 0 || *host == '\0' || strspn(host, chars) != strlen(host) || strlen(p->url) > CONF_PAGE_URL_MAX)
        return yaml_fail(
            at, err,
            "must be the page's address as browsers write it, without a path: https://approve.shop.example, with :PORT when it "
            "is not 443");
    if (strlen(host) > 4 && strcmp(host + strlen(host) - 4, ":443") == 0) return yaml_fail(at, err, "leave :443 out: browsers do");
    p->host = host;
    return true;
}

static const struct jwt_issuer *find_issuer(const struct conf *c, const char *name) {
    for (size_t i = 0; i < c->jwt.nissuers; i++)
        if (strcmp(c->jwt.issuers[i].issuer, name) == 0) return &c->jwt.issuers[i];
    return NULL;
}

/* Where the provider's documents are: as the issuer's keys, unless it is said here. */
static bool read_provider(struct conf_all *a, const struct yaml_node *n, struct conf_page *p, struct pol_error *err) {
    char why[512];
    const struct keysource_conf *keys = p->id.source == NULL ? NULL : keysource_conf(p->id.source);
    p->provider = (struct conf_provider){.issuer = p->id.issuer, .allow_http = keys != NULL && keys->allow_http, .timeout_ms = 10000};
    if (keys != NULL && keys->ca != NULL && (p->provider.ca = conf_own(a, strdup(keys->ca), free)) == NULL)
        return yaml_fail(n, err, "out of memory");
    if (!conf_read_ca(a, yaml_get(n, "ca_file"), &p->provider.ca, err) || !conf_bool(n, "allow_http", &p->provider.allow_http, err) ||
        !conf_ms(n, "timeout", false, 100, CONF_PAGE_TIMEOUT_MAX, &p->provider.timeout_ms, err))
        return false;
    return keydoc_url_ok(p->id.issuer, p->provider.allow_http, why, sizeof why) || yaml_fail(yaml_get(n, "issuer"), err, "%s", why);
}

static bool read_secret(struct conf_all *a, const struct yaml_node *n, struct conf_page *p, struct pol_error *err) {
    static const char *const ways[] = {"basic", "post", NULL};
    const struct yaml_node *auth = yaml_get(n, "client_auth");
    const char *file = NULL;
    char why[512];
    int way = 0;
    if (!conf_str(n, "client_secret_file", &file, err)) return false;
    if (file == NULL) return auth == NULL || yaml_fail(auth, err, "needs client_secret_file");
    if (auth != NULL && !yaml_enum(auth, ways, &way, err)) return false;
    p->secret_post = way == 1;
    const char *path = conf_path(a, file);
    char *secret = path == NULL ? NULL : secret_read(path, why, sizeof why);
    if (secret == NULL) return yaml_fail(yaml_get(n, "client_secret_file"), err, "%s", path == NULL ? "out of memory" : why);
    p->client_secret = conf_own(a, secret, (void (*)(void *))secret_free);
    return p->client_secret != NULL || yaml_fail(n, err, "out of memory");
}

/* What some providers want besides, such as Auth0's audience or RFC 8707's resource. */
static bool read_parameters(struct conf_all *a, const struct yaml_node *n, struct conf_page *p, struct pol_error *err) {
    static const char *const ours[] = {"response_type", "client_id",   "redirect_uri",   "scope",
                                       "state",         "nonce",       "code_challenge", "code_challenge_method",
                                       "request",       "request_uri", "response_mode",  NULL};
    if (n == NULL) return true;
    if (yaml_kind(n) != YAML_MAP || yaml_len(n) == 0 || yaml_len(n) > CONF_PAGE_PARAMETERS)
        return yaml_fail(n, err, "must be a map of at most %u parameters and values", CONF_PAGE_PARAMETERS);
    const char **list = conf_own(a, calloc(2 * yaml_len(n) + 1, sizeof *list), free);
    if (list == NULL) return yaml_fail(n, err, "out of memory");
    for (size_t i = 0; i < yaml_len(n); i++) {
        list[2 * i] = yaml_key_at(n, i);
        if (!yaml_str(yaml_at(n, i), &list[2 * i + 1], err)) return false;
        for (const char *const *o = ours; *o != NULL; o++)
            if (strcmp(*o, list[2 * i]) == 0) return yaml_fail(yaml_key_node_at(n, i), err, "%s is gatehouse's own", *o);
        if (strspn(list[2 * i], "abcdefghijklmnopqrstuvwxyz_") != strlen(list[2 * i]) || *list[2 * i] == '\0' ||
            strlen(list[2 * i]) > CONF_PAGE_TEXT_MAX || strlen(list[2 * i + 1]) > CONF_PAGE_TEXT_MAX)
            return yaml_fail(yaml_key_node_at(n, i), err, "is not a parameter's name, or its value is too long");
    }
    p->parameters = list;
    return true;
}

/* The ID token then only says that the sign-in is the one that was begun here. */
static bool read_whence(struct conf_all *a, const struct yaml_node *n, struct conf_page *p, struct pol_error *err) {
    static const char *const words[] = {"id_token", "access_token", NULL};
    const struct yaml_node *whence = yaml_get(n, "identity_from"), *required = yaml_get(n, "required_claims");
    int word = 0;
    if (whence != NULL && !yaml_enum(whence, words, &word, err)) return false;
    p->by_access_token = word == 1;
    if (p->by_access_token) {
        p->id.principal_claim = "sub";
        p->id.groups_claim = CONF_PAGE_NO_CLAIM;
        p->id.nclients = p->id.nattributes = 0;
    }
    if (required == NULL && !p->by_access_token) return true;
    p->id.required = NULL;
    p->id.nrequired = 0;
    return conf_read_required(a, required, &p->id, err);
}

static bool read_sign_in(struct conf_all *a, const struct yaml_node *n, struct conf_page *p, struct pol_error *err) {
    static const char *const keys[] = {
        "issuer",  "client_id", "client_secret_file", "client_auth",   "scope",      "ca_file", "allow_http", "timeout",
        "session", "idle",      "required_claims",    "identity_from", "parameters", NULL};
    const char *issuer = NULL;
    p->session_ms = 3600000;
    p->idle_ms = 1800000;
    p->scope = "openid";
    if (n == NULL) return true;
    if (!yaml_keys(n, keys, err) || !conf_need_str(n, "issuer", &issuer, err) || !conf_need_str(n, "client_id", &p->client_id, err) ||
        !conf_str(n, "scope", &p->scope, err))
        return false;
    const struct jwt_issuer *known = find_issuer(&a->c, issuer);
    if (known == NULL) return yaml_fail(yaml_get(n, "issuer"), err, "is none of identity.issuers: its keys verify who signs in");
    p->id = *known;
    if (strlen(p->client_id) > CONF_PAGE_TEXT_MAX) return yaml_fail(yaml_get(n, "client_id"), err, "is too long");
    if (strlen(p->scope) > CONF_PAGE_TEXT_MAX || strncmp(p->scope, "openid", 6) != 0 || (p->scope[6] != '\0' && p->scope[6] != ' '))
        return yaml_fail(yaml_get(n, "scope"), err, "must begin with openid");
    if (!read_whence(a, n, p, err) || !read_parameters(a, yaml_get(n, "parameters"), p, err)) return false;
    if (!read_provider(a, n, p, err) || !read_secret(a, n, p, err)) return false;
    return conf_ms(n, "session", false, 60000, DAY_MS, &p->session_ms, err) && conf_ms(n, "idle", false, 60000, DAY_MS, &p->idle_ms, err);
}

bool conf_read_page(struct conf_all *a, const struct yaml_node *n, struct pol_error *err) {
    static const char *const keys[] = {"socket", "owner", "mode", "peers", "url", "sign_in", NULL};
    struct conf_page *p = &a->c.page;
    const struct yaml_node *peers;
    char *redirect = NULL;
    if (n == NULL) return true;
    if (!yaml_keys(n, keys, err) || !conf_read_socket(a, n, &p->m.door, err) || (peers = conf_need(n, "peers", err)) == NULL ||
        !conf_read_peers(a, &p->m.door, peers, err) || !read_url(a, n, p, err))
        return false;
    p->m.where = p->m.door.socket;
    const char *others[] = {a->c.spop.socket, a->c.payload.socket, a->c.metrics.door.socket, a->c.admin.door.socket};
    for (size_t i = 0; i < sizeof others / sizeof *others; i++)
        if (others[i] != NULL && strcmp(p->m.where, others[i]) == 0)
            return yaml_fail(yaml_get(n, "socket"), err, "is the socket of another door");
    if (asprintf(&redirect, "%s/callback", p->url) < 0) redirect = NULL;
    p->redirect_uri = conf_own(a, redirect, free);
    if (p->redirect_uri == NULL) return yaml_fail(n, err, "out of memory");
    return read_sign_in(a, yaml_get(n, "sign_in"), p, err);
}
