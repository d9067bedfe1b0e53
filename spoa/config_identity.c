/* The section identity of the configuration. */
#include <config.h>

#include "spoa/config_int.h"
#include "spoa/keydoc.h"
#include "spoa/keystore.h"

#include <errno.h>
#include <openssl/err.h>
#include <openssl/pem.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define CA_FILE_MAX (1 << 20) /* bytes */
#define DAY_MS      (24u * 3600u * 1000u)

static bool read_algorithms(struct conf_all *a, const struct yaml_node *n, unsigned *algs, struct pol_error *err) {
    const char *const *words;
    size_t count;
    *algs = JWT_ALGS_DEFAULT;
    if (n == NULL) return true;
    if (!yaml_strings(a->doc, n, &words, &count, err)) return false;
    *algs = 0;
    for (size_t i = 0; i < count; i++) {
        const struct jwa *alg = jwa_by_name(words[i]);
        if (alg == NULL) return yaml_fail(n, err, "\"%s\" is not an algorithm that is accepted: use some of " JWA_NAMES, words[i]);
        *algs |= (unsigned)alg->alg;
    }
    return *algs != 0 || yaml_fail(n, err, "names no algorithm");
}

/* --- claims --- */

/* A map, and room for its entries. */
static void *map_of(struct conf_all *a, const struct yaml_node *n, size_t size, const char *what, struct pol_error *err) {
    if (yaml_kind(n) != YAML_MAP || yaml_len(n) == 0) {
        yaml_fail(n, err, "must be a map of %s", what);
        return NULL;
    }
    void *list = conf_own(a, calloc(yaml_len(n), size), free);
    if (list == NULL) yaml_fail(n, err, "out of memory");
    return list;
}

/* true and false stand as they are in YAML; numbers and texts that look like something else need quotes. */
static bool read_values(struct conf_all *a, const struct yaml_node *n, struct jwt_require *r, struct pol_error *err) {
    static const char *const words[][2] = {{"false", NULL}, {"true", NULL}};
    struct pol_error not_bool = {0};
    bool b;
    if (yaml_kind(n) == YAML_SCALAR && yaml_bool(n, &b, &not_bool)) {
        r->values = words[b];
        r->nvalues = 1;
        return true;
    }
    if (!yaml_strings(a->doc, n, &r->values, &r->nvalues, err)) return false;
    return r->nvalues > 0 || yaml_fail(n, err, "names no value: no token would be accepted");
}

bool conf_read_required(struct conf_all *a, const struct yaml_node *n, struct jwt_issuer *out, struct pol_error *err) {
    if (n == NULL) return true;
    struct jwt_require *list = map_of(a, n, sizeof *list, "claims and the values that are accepted", err);
    if (list == NULL) return false;
    for (size_t i = 0; i < yaml_len(n); i++) {
        list[i].path = yaml_key_at(n, i);
        if (!read_values(a, yaml_at(n, i), &list[i], err)) return false;
    }
    out->required = list;
    out->nrequired = yaml_len(n);
    return true;
}

static bool read_client(struct conf_all *a, const struct yaml_node *n, struct jwt_client *c, struct pol_error *err) {
    static const char *const keys[] = {"groups", "subject", NULL};
    const struct yaml_node *groups = n;
    c->subject = c->id; /* RFC 9068, section 2.2: what a client's own token has as sub */
    if (yaml_kind(n) == YAML_MAP) {
        if (!yaml_keys(n, keys, err) || !conf_str(n, "subject", &c->subject, err) || (groups = conf_need(n, "groups", err)) == NULL)
            return false;
        if (strcmp(c->subject, "*") == 0) c->subject = NULL;
    }
    if (!yaml_strings(a->doc, groups, &c->groups, &c->ngroups, err)) return false;
    return c->ngroups > 0 || yaml_fail(groups, err, "names no group");
}

static bool read_clients(struct conf_all *a, const struct yaml_node *n, struct jwt_issuer *out, struct pol_error *err) {
    if (n == NULL) return true;
    struct jwt_client *list = map_of(a, n, sizeof *list, "client ids and their groups", err);
    if (list == NULL) return false;
    for (size_t i = 0; i < yaml_len(n); i++) {
        list[i].id = yaml_key_at(n, i);
        if (!read_client(a, yaml_at(n, i), &list[i], err)) return false;
    }
    out->clients = list;
    out->nclients = yaml_len(n);
    return true;
}

static bool read_attributes(struct conf_all *a, const struct yaml_node *n, struct jwt_issuer *out, struct pol_error *err) {
    static const char ok[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789_";
    if (n == NULL) return true;
    struct jwt_attribute *list = map_of(a, n, sizeof *list, "names and claims", err);
    if (list == NULL) return false;
    if (yaml_len(n) > JWT_ATTRIBUTES_MAX) return yaml_fail(n, err, "more than %d attributes", JWT_ATTRIBUTES_MAX);
    for (size_t i = 0; i < yaml_len(n); i++) {
        const char *name = yaml_key_at(n, i);
        if (*name == '\0' || strlen(name) > 64 || strspn(name, ok) != strlen(name))
            return yaml_fail(yaml_key_node_at(n, i), err, "an attribute's name is 1 to 64 of letters, digits and \"_\"");
        list[i].name = name;
        if (!yaml_str(yaml_at(n, i), &list[i].path, err)) return false;
        if (*list[i].path == '\0') return yaml_fail(yaml_at(n, i), err, "must not be empty");
    }
    out->attributes = list;
    out->nattributes = yaml_len(n);
    return true;
}

static bool read_claims(struct conf_all *a, const struct yaml_node *n, struct jwt_issuer *out, struct pol_error *err) {
    return conf_str(n, "principal_claim", &out->principal_claim, err) && conf_str(n, "groups_claim", &out->groups_claim, err) &&
           conf_read_required(a, yaml_get(n, "required_claims"), out, err) && read_clients(a, yaml_get(n, "client_groups"), out, err) &&
           read_attributes(a, yaml_get(n, "attributes"), out, err);
}

/* --- keys --- */

static bool read_file_keys(struct conf_all *a, const struct yaml_node *n, struct jwt_issuer *out, struct pol_error *err) {
    const char *file;
    char why[512];
    if (!yaml_str(n, &file, err)) return false;
    const char *path = conf_path(a, file);
    struct jwks *keyset = path == NULL ? NULL : jwks_load(path, why, sizeof why);
    if (keyset == NULL)
        return yaml_fail(n, err, "%s: fetch the issuer's JWK set, from the jwks_uri of its discovery document, to this file",
                         path == NULL ? "out of memory" : why);
    out->keys = conf_own(a, keyset, (void (*)(void *))jwks_unref);
    return out->keys != NULL || yaml_fail(n, err, "out of memory");
}

/* The file's text, which holds a certificate; the caller frees. */
static char *read_pem(const char *path, char *why, size_t size) {
    FILE *f = fopen(path, "rbe");
    if (f == NULL) {
        snprintf(why, size, "cannot open %s: %s", path, strerror(errno));
        return NULL;
    }
    char *text = calloc(1, CA_FILE_MAX + 1);
    size_t len = text == NULL ? 0 : fread(text, 1, CA_FILE_MAX + 1, f);
    BIO *bio = len == 0 || len > CA_FILE_MAX ? NULL : BIO_new_mem_buf(text, (int)len);
    X509 *cert = bio == NULL ? NULL : PEM_read_bio_X509(bio, NULL, NULL, NULL);
    bool ok = cert != NULL && memchr(text, '\0', len) == NULL;
    X509_free(cert);
    BIO_free(bio);
    ERR_clear_error();
    fclose(f);
    if (ok) return text;
    snprintf(why, size, "%s is no PEM file with a certificate, of at most %d bytes", path, CA_FILE_MAX);
    free(text);
    return NULL;
}

bool conf_read_ca(struct conf_all *a, const struct yaml_node *n, const char **ca, struct pol_error *err) {
    const char *file;
    char why[512];
    if (n == NULL) return true;
    if (!yaml_str(n, &file, err)) return false;
    const char *path = conf_path(a, file);
    char *text = path == NULL ? NULL : read_pem(path, why, sizeof why);
    if (text == NULL) return yaml_fail(n, err, "%s", path == NULL ? "out of memory" : why);
    *ca = conf_own(a, text, free);
    return *ca != NULL || yaml_fail(n, err, "out of memory");
}

static bool read_fetching(const struct yaml_node *n, struct keysource_conf *c, struct pol_error *err) {
    c->refresh_min_ms = 5 * 60000;
    c->refresh_max_ms = DAY_MS;
    c->refetch_ms = 10000;
    c->timeout_ms = 10000;
    if (!conf_ms(n, "refresh_min", false, 1000, DAY_MS, &c->refresh_min_ms, err)) return false;
    return conf_ms(n, "refresh_max", false, c->refresh_min_ms, 30ull * DAY_MS, &c->refresh_max_ms, err) &&
           conf_ms(n, "refetch_interval", false, 1000, 3600000, &c->refetch_ms, err) &&
           conf_ms(n, "fetch_timeout", false, 100, 60000, &c->timeout_ms, err) && conf_bool(n, "allow_http", &c->allow_http, err);
}

/* Nothing is fetched here: the daemon's thread does, once it runs. */
static bool read_source(struct conf_all *a, const struct yaml_node *n, struct jwt_issuer *out, struct pol_error *err) {
    struct keysource_conf c = {.issuer = out->issuer};
    const struct yaml_node *address = yaml_get(n, "jwks_url") != NULL ? yaml_get(n, "jwks_url") : yaml_get(n, "issuer");
    char why[512];
    if (!conf_str(n, "jwks_url", &c.jwks_url, err) || !conf_read_ca(a, yaml_get(n, "ca_file"), &c.ca, err) || !read_fetching(n, &c, err))
        return false;
    if (!keydoc_url_ok(c.jwks_url != NULL ? c.jwks_url : c.issuer, c.allow_http, why, sizeof why))
        return yaml_fail(address, err, "%s", why);
    struct keysource *source = keysource_new(&c);
    out->source = source == NULL ? NULL : conf_own(a, source, (void (*)(void *))keysource_free);
    return out->source != NULL || yaml_fail(n, err, "out of memory");
}

/* One of jwks_file, jwks_url and discovery. */
static bool read_keys(struct conf_all *a, const struct yaml_node *n, struct jwt_issuer *out, struct pol_error *err) {
    static const char *const fetching[] = {"ca_file", "allow_http", "refresh_min", "refresh_max", "refetch_interval", "fetch_timeout"};
    const struct yaml_node *file = yaml_get(n, "jwks_file"), *url = yaml_get(n, "jwks_url");
    bool discovery = false;
    if (!conf_bool(n, "discovery", &discovery, err)) return false;
    if ((file != NULL) + (url != NULL) + discovery != 1)
        return yaml_fail(n, err, "needs one of jwks_file, jwks_url and \"discovery: true\"");
    for (size_t i = 0; file != NULL && i < sizeof fetching / sizeof *fetching; i++)
        if (yaml_get(n, fetching[i]) != NULL)
            return yaml_fail(yaml_get(n, fetching[i]), err, "is for keys that are fetched, not for jwks_file");
    return file != NULL ? read_file_keys(a, file, out, err) : read_source(a, n, out, err);
}

static bool read_issuer(struct conf_all *a, const struct yaml_node *n, struct jwt_issuer *out, struct pol_error *err) {
    static const char *const keys[] = {
        "issuer",      "audience",        "jwks_file",        "jwks_url",      "discovery",  "ca_file",         "allow_http",
        "refresh_min", "refresh_max",     "refetch_interval", "fetch_timeout", "algorithms", "principal_claim", "groups_claim",
        "leeway",      "required_claims", "client_groups",    "attributes",    NULL};
    uint64_t leeway = JWT_LEEWAY_DEFAULT * 1000u;
    if (!yaml_keys(n, keys, err) || !conf_need_str(n, "issuer", &out->issuer, err)) return false;
    const struct yaml_node *audience = conf_need(n, "audience", err);
    if (audience == NULL || !yaml_strings(a->doc, audience, &out->audiences, &out->naudiences, err)) return false;
    if (out->naudiences == 0) return yaml_fail(audience, err, "names no audience: no token would be accepted");
    if (!read_algorithms(a, yaml_get(n, "algorithms"), &out->algs, err) || !read_claims(a, n, out, err) ||
        !conf_ms(n, "leeway", true, 0, 300000, &leeway, err))
        return false;
    out->leeway = (unsigned)(leeway / 1000u);
    return read_keys(a, n, out, err);
}

static bool read_issuers(struct conf_all *a, const struct yaml_node *list, struct pol_error *err) {
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

/* --- certificates --- */

static bool read_cert_map(struct conf_all *a, const struct yaml_node *n, struct cert_rule *r, struct pol_error *err) {
    if (n == NULL) return true;
    if (yaml_kind(n) != YAML_MAP || yaml_len(n) == 0) return yaml_fail(n, err, "must be a map of names in certificates and principals");
    const char **map = conf_own(a, calloc(2 * yaml_len(n) + 1, sizeof *map), free);
    if (map == NULL) return yaml_fail(n, err, "out of memory");
    for (size_t i = 0; i < yaml_len(n); i++) {
        map[2 * i] = yaml_key_at(n, i);
        if (!yaml_str(yaml_at(n, i), &map[2 * i + 1], err)) return false;
        if (!jwt_is_name(map[2 * i + 1], strlen(map[2 * i + 1]))) return yaml_fail(yaml_at(n, i), err, "is not a principal's name");
    }
    r->map = map;
    return true;
}

static bool read_cert(struct conf_all *a, const struct yaml_node *n, struct cert_rule *r, struct pol_error *err) {
    static const char *const keys[] = {"ca_file", "principal", "only", "principals", "groups", NULL};
    static const char *const names[] = {"cn", "dns", "uri", "email", "subject", NULL};
    const char *file = NULL;
    char why[512];
    int name;
    if (!yaml_keys(n, keys, err) || !conf_need_str(n, "ca_file", &file, err)) return false;
    const struct yaml_node *where = conf_need(n, "principal", err), *groups = yaml_get(n, "groups"), *only = yaml_get(n, "only");
    if (where == NULL || !yaml_enum(where, names, &name, err) || !conf_str(n, "only", &r->only, err) ||
        !read_cert_map(a, yaml_get(n, "principals"), r, err))
        return false;
    if (r->only != NULL && strcspn(r->only, "*") + 1 < strlen(r->only))
        return yaml_fail(only, err, "may have a * at its end, and nowhere else");
    if (groups != NULL && !yaml_strings(a->doc, groups, &r->groups, &r->ngroups, err)) return false;
    r->name = (enum cert_name)name;
    const char *path = conf_path(a, file);
    X509_STORE *cas = path == NULL ? NULL : cert_cas(path, why, sizeof why);
    if (cas == NULL) return yaml_fail(yaml_get(n, "ca_file"), err, "%s", path == NULL ? "out of memory" : why);
    r->cas = conf_own(a, cas, (void (*)(void *))X509_STORE_free);
    return r->cas != NULL || yaml_fail(n, err, "out of memory");
}

static bool read_certs(struct conf_all *a, const struct yaml_node *list, struct pol_error *err) {
    if (list == NULL) return true;
    if (yaml_kind(list) != YAML_LIST || yaml_len(list) == 0) return yaml_fail(list, err, "must be a list of at least one entry");
    struct cert_rule *rules = conf_own(a, calloc(yaml_len(list), sizeof *rules), free);
    if (rules == NULL) return yaml_fail(list, err, "out of memory");
    for (size_t i = 0; i < yaml_len(list); i++)
        if (!read_cert(a, yaml_at(list, i), &rules[i], err)) return false;
    a->c.certs = (struct cert_conf){rules, yaml_len(list)};
    return true;
}

bool conf_read_require(const struct conf_all *a, const struct yaml_node *map, enum conf_require *out, struct pol_error *err) {
    static const char *const words[] = {"token", "certificate", "both", NULL};
    const struct yaml_node *n = yaml_get(map, "require");
    int word = (int)*out;
    if (n != NULL && !yaml_enum(n, words, &word, err)) return false;
    *out = (enum conf_require)word;
    if (*out != CONF_TOKEN && a->c.certs.nrules == 0) return yaml_fail(n != NULL ? n : map, err, "needs identity.certificates");
    if (*out != CONF_CERTIFICATE && a->c.jwt.nissuers == 0) return yaml_fail(n != NULL ? n : map, err, "needs identity.issuers");
    return true;
}

/* --- OAUTHBEARER --- */

/* A text that is to stand in JSON between quotes as it is. */
static bool is_plain(const char *s) {
    for (; *s != '\0'; s++)
        if (*s < 0x20 || *s > 0x7e || *s == '"' || *s == '\\') return false;
    return true;
}

static bool read_oauth(struct conf_all *a, const struct yaml_node *n, struct pol_error *err) {
    static const char *const keys[] = {"openid_configuration", "scope", NULL};
    const char *url = NULL, *scope = "openid";
    char *json = NULL;
    if (n == NULL) return true;
    if (!yaml_keys(n, keys, err) || !conf_need_str(n, "openid_configuration", &url, err) || !conf_str(n, "scope", &scope, err))
        return false;
    if (strncmp(url, "https://", 8) != 0 || !is_plain(url))
        return yaml_fail(
            yaml_get(n, "openid_configuration"), err,
            "must be the https URL of the issuer's discovery document, such as https://idp.example/.well-known/openid-configuration");
    if (!is_plain(scope)) return yaml_fail(yaml_get(n, "scope"), err, "must be plain ASCII without quotes and backslashes");
    if (asprintf(&json, "{\"status\":\"invalid_token\",\"scope\":\"%s\",\"openid-configuration\":\"%s\"}", scope, url) < 0) json = NULL;
    a->c.oauth_where = conf_own(a, json, free);
    return a->c.oauth_where != NULL || yaml_fail(n, err, "out of memory");
}

bool conf_read_identity(struct conf_all *a, const struct yaml_node *n, struct pol_error *err) {
    static const char *const keys[] = {"issuers", "certificates", "require", "oauthbearer", NULL};
    if (!yaml_keys(n, keys, err) || !read_certs(a, yaml_get(n, "certificates"), err)) return false;
    const struct yaml_node *issuers = yaml_get(n, "issuers");
    if (issuers == NULL && a->c.certs.nrules == 0) return conf_need(n, "issuers", err) != NULL;
    if (issuers != NULL && !read_issuers(a, issuers, err)) return false;
    return conf_read_require(a, n, &a->c.require, err) && read_oauth(a, yaml_get(n, "oauthbearer"), err);
}
