/* The section upstream of a database: where it is, how the way there is protected, as whom. */
#include <config.h>

#include "spoa/config_int.h"

#include <grp.h>
#include <netdb.h>
#include <openssl/evp.h>
#include <openssl/pem.h>
#include <pwd.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/un.h>
#include <unistd.h>

#define PUBLIC_KEY_MAX 8192u

/* --- addresses --- */

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
    if (rc != 0)
        return yaml_fail(n, err, "cannot find the address of \"%s\": %s: correct upstream.host, or this machine's name service", host,
                         gai_strerror(rc));
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

/* --- TLS --- */

static bool tls_path(struct conf_all *a, const struct yaml_node *n, const char *key, const char **out, struct pol_error *err) {
    const char *name = NULL;
    if (!conf_str(n, key, &name, err)) return false;
    if (name == NULL) return true;
    *out = conf_path(a, name);
    return *out != NULL || yaml_fail(n, err, "out of memory");
}

static bool is_off(const struct yaml_node *n) {
    struct pol_error other = {0};
    const char *word = NULL;
    bool on = true;
    return n != NULL && ((yaml_str(n, &word, &other) && strcmp(word, "off") == 0) || (yaml_bool(n, &on, &other) && !on));
}

/* The keys of the map that tls is. */
static bool read_tls_map(struct conf_all *a, const struct yaml_node *n, struct tls_conf *t, struct conf_database *d,
                         struct pol_error *err) {
    static const char *const keys[] = {"verify",   "ca_file",     "server_name",     "certificate_file",
                                       "key_file", "negotiation", "channel_binding", NULL};
    static const char *const verify[] = {"full", "ca", NULL}, *const negotiation[] = {"postgres", "direct", NULL},
                             *const binding[] = {"prefer", "require", NULL};
    int how = 0, way = 0, bind = 0;
    if (!yaml_keys(n, keys, err)) return false;
    const struct yaml_node *v = yaml_get(n, "verify"), *w = yaml_get(n, "negotiation"), *b = yaml_get(n, "channel_binding");
    if ((v != NULL && !yaml_enum(v, verify, &how, err)) || (w != NULL && !yaml_enum(w, negotiation, &way, err)) ||
        (b != NULL && !yaml_enum(b, binding, &bind, err)) || !conf_str(n, "server_name", &t->server_name, err) ||
        !tls_path(a, n, "ca_file", &t->ca_file, err) || !tls_path(a, n, "certificate_file", &t->certificate_file, err) ||
        !tls_path(a, n, "key_file", &t->key_file, err))
        return false;
    if ((t->certificate_file == NULL) != (t->key_file == NULL)) return yaml_fail(n, err, "certificate_file and key_file go together");
    if (how == 1 && t->ca_file == NULL) return yaml_fail(v, err, "needs ca_file: every authority of the system would vouch for any server");
    if (d->engine == CONF_MYSQL && (w != NULL || b != NULL)) return yaml_fail(w != NULL ? w : b, err, "is for PostgreSQL");
    d->tls_direct = t->need_alpn = way == 1;
    d->need_binding = bind == 1;
    t->sni = t->server_name;
    if (how == 1) t->server_name = NULL;
    return true;
}

/* TCP is TLS, and the server is verified, unless the file says in so many words that it is not. */
static bool read_tls(struct conf_all *a, const struct yaml_node *n, const char *host, struct conf_database *d, struct pol_error *err) {
    struct tls_conf t = {.server_name = host, .sni = host};
    char why[512];
    if (host == NULL) return n == NULL || yaml_fail(n, err, "is for host: a Unix socket needs no TLS");
    d->plain_tcp = is_off(n);
    if (d->plain_tcp) return true;
    if (n != NULL && yaml_kind(n) != YAML_MAP) return yaml_fail(n, err, "must be off, or a map with ca_file and the like");
    if (n != NULL && !read_tls_map(a, n, &t, d, err)) return false;
    struct tls_ctx *ctx = tls_ctx_new(&t, why, sizeof why);
    if (ctx == NULL) return yaml_fail(n, err, "%s", why);
    d->tls = conf_own(a, ctx, (void (*)(void *))tls_ctx_unref);
    d->allow_cleartext = true;
    return d->tls != NULL || yaml_fail(n, err, "out of memory");
}

/* The server's RSA key, as "SHOW STATUS LIKE 'Caching_sha2_password_rsa_public_key'" prints it there. */
static bool read_public_key(struct conf_all *a, const struct yaml_node *n, struct conf_database *d, struct pol_error *err) {
    const struct yaml_node *at = yaml_get(n, "public_key_file");
    const char *path = NULL;
    size_t size = 0;
    if (at == NULL) return true;
    if (d->engine != CONF_MYSQL) return yaml_fail(at, err, "is for MySQL");
    if (!tls_path(a, n, "public_key_file", &path, err)) return false;
    FILE *f = fopen(path, "re");
    char *text = conf_own(a, calloc(1, PUBLIC_KEY_MAX), free);
    if (f != NULL && text != NULL) size = fread(text, 1, PUBLIC_KEY_MAX - 1, f);
    if (f != NULL) fclose(f);
    if (text == NULL || size == 0) return yaml_fail(at, err, "cannot read %s", path);
    BIO *bio = BIO_new_mem_buf(text, (int)size);
    EVP_PKEY *key = bio == NULL ? NULL : PEM_read_bio_PUBKEY(bio, NULL, NULL, NULL);
    bool rsa = key != NULL && EVP_PKEY_is_a(key, "RSA");
    EVP_PKEY_free(key);
    BIO_free(bio);
    d->public_key = text;
    return rsa || yaml_fail(at, err, "%s does not hold an RSA public key (-----BEGIN PUBLIC KEY-----)", path);
}

/* --- as whom --- */

#define PASSWORD_KEYS "password_file", "password_env", "password_command"

/* The daemon's user, when this process is still root: a command must not run as root at the start and as somebody else later. */
static bool drop_to(struct conf_all *a, const struct yaml_node *n, struct secret_command *c, struct pol_error *err) {
    const struct conf *conf = &a->c;
    int count = 0;
    c->drop = geteuid() == 0 && conf->has_user;
    c->uid = conf->user;
    c->gid = conf->group;
    if (!c->drop) return true;
    const struct passwd *pw = getpwuid(conf->user);
    if (pw == NULL) return yaml_fail(n, err, "user %u is not known here: a command cannot be run as that user", (unsigned)conf->user);
    getgrouplist(pw->pw_name, conf->group, NULL, &count);
    gid_t *groups = conf_own(a, calloc((size_t)count + 1, sizeof *groups), free);
    if (groups == NULL) return yaml_fail(n, err, "out of memory");
    if (getgrouplist(pw->pw_name, conf->group, groups, &count) < 0)
        return yaml_fail(n, err, "the groups of %s cannot be read", pw->pw_name);
    c->groups = groups;
    c->ngroups = (size_t)count;
    return true;
}

bool conf_read_command(struct conf_all *a, const struct yaml_node *n, struct secret_command *c, struct pol_error *err) {
    size_t count;
    if (yaml_kind(n) != YAML_LIST) return yaml_fail(n, err, "must be a list of a program and its arguments: no shell reads it");
    if (!yaml_strings(a->doc, n, &c->argv, &count, err)) return false;
    if (count == 0 || c->argv[0][0] != '/') return yaml_fail(n, err, "must begin with the program's path, from / on");
    return drop_to(a, n, c, err);
}

/* user and one of the password_ keys of a map. */
static bool read_login(struct conf_all *a, const struct yaml_node *n, const char *name, struct conf_login *l, struct pol_error *err) {
    static const char *const keys[] = {PASSWORD_KEYS, NULL};
    struct cred_conf cc = {.name = name};
    const struct yaml_node *at = NULL;
    const char *file = NULL;
    char why[512];
    if (!conf_need_str(n, "user", &l->user, err)) return false;
    for (const char *const *k = keys; *k != NULL; k++) {
        const struct yaml_node *here = yaml_get(n, *k);
        if (here != NULL && at != NULL)
            return yaml_fail(here, err, "the password comes from one place: password_file, password_env or password_command");
        if (here != NULL) at = here;
    }
    if (at == NULL) return true;
    const struct yaml_node *command = yaml_get(n, "password_command");
    if (!conf_str(n, "password_file", &file, err) || !conf_str(n, "password_env", &cc.env, err) ||
        (command != NULL && !conf_read_command(a, command, &cc.command, err)))
        return false;
    if (file != NULL && (cc.file = conf_path(a, file)) == NULL) return yaml_fail(at, err, "out of memory");
    if (a->look && command != NULL) return true;
    l->cred = cred_new(&cc, why, sizeof why);
    if (l->cred == NULL) return yaml_fail(at, err, "%s", why);
    return conf_own(a, l->cred, (void (*)(void *))cred_unref) != NULL || yaml_fail(at, err, "out of memory");
}

static bool read_logins(struct conf_all *a, const struct yaml_node *n, struct conf_database *d, struct pol_error *err) {
    static const char *const keys[] = {"groups", "user", PASSWORD_KEYS, NULL};
    const struct yaml_node *list = yaml_get(n, "credentials");
    size_t count = list == NULL ? 0 : yaml_len(list);
    char *name = NULL;
    if (list != NULL && yaml_kind(list) != YAML_LIST) return yaml_fail(list, err, "must be a list of logins, each for groups");
    struct conf_login *logins = conf_own(a, calloc(count + 1, sizeof *logins), free);
    if (asprintf(&name, "databases.%s.upstream", d->name) < 0) name = NULL;
    name = conf_own(a, name, free);
    if (logins == NULL || name == NULL) return yaml_fail(n, err, "out of memory");
    for (size_t i = 0; i < count; i++) {
        const struct yaml_node *one = yaml_at(list, i);
        if (!yaml_keys(one, keys, err)) return false;
        const struct yaml_node *groups = conf_need(one, "groups", err);
        if (groups == NULL || !yaml_strings(a->doc, groups, &logins[i].groups, &logins[i].ngroups, err)) return false;
        if (logins[i].ngroups == 0) return yaml_fail(groups, err, "names no group: nobody would log in so");
        if (!read_login(a, one, name, &logins[i], err)) return false;
    }
    if (!read_login(a, n, name, &logins[count], err)) return false;
    d->logins = logins;
    d->nlogins = count + 1;
    return true;
}

/* --- the section --- */

bool conf_read_upstream(struct conf_all *a, const struct yaml_node *n, struct conf_database *d, struct pol_error *err) {
    static const char *const keys[] = {
        "host", "port", "socket", "tls", "database", "user", PASSWORD_KEYS, "credentials", "allow_cleartext", "public_key_file", NULL};
    const char *host = NULL, *socket = NULL;
    uint64_t port = d->engine == CONF_MYSQL ? 3306 : 5432;
    if (!yaml_keys(n, keys, err) || !conf_str(n, "host", &host, err) || !conf_str(n, "socket", &socket, err) ||
        !conf_int(n, "port", 1, 65535, &port, err))
        return false;
    if ((host == NULL) == (socket == NULL)) return yaml_fail(n, err, "needs either host or socket");
    if (socket != NULL && yaml_get(n, "port") != NULL) return yaml_fail(yaml_get(n, "port"), err, "a Unix socket has no port");
    if (socket != NULL ? !unix_address(yaml_get(n, "socket"), conf_path(a, socket), d, err)
                       : !tcp_addresses(a, yaml_get(n, "host"), host, port, d, err))
        return false;
    if (!read_tls(a, yaml_get(n, "tls"), host, d, err)) return false;
    d->database = d->name;
    if (!conf_str(n, "database", &d->database, err) || !conf_bool(n, "allow_cleartext", &d->allow_cleartext, err)) return false;
    if (d->allow_cleartext && socket == NULL && d->tls == NULL)
        return yaml_fail(yaml_get(n, "allow_cleartext"), err, "would send the password in clear text over a network: use tls");
    return read_public_key(a, n, d, err) && read_logins(a, n, d, err);
}
