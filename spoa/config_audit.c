/* The sections audit and redis of the configuration. */
#include <config.h>

#include "spoa/config_int.h"
#include "spoa/secret.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* --- audit --- */

/* memory, fsync, or { replicas: N }. */
static bool read_durability(const struct yaml_node *n, struct led_conf *l, struct pol_error *err) {
    static const char *const keys[] = {"replicas", "fsync", NULL}, *const words[] = {"memory", "fsync", NULL};
    int word = 0;
    if (n == NULL) return true;
    if (yaml_kind(n) == YAML_MAP)
        return yaml_keys(n, keys, err) && conf_need(n, "replicas", err) != NULL && conf_int(n, "replicas", 1, 100, &l->replicas, err) &&
               conf_bool(n, "fsync", &l->redis_fsync, err);
    if (!yaml_enum(n, words, &word, err)) return false;
    l->redis_fsync = word == 1;
    return true;
}

static bool read_anchors(struct conf_all *a, const struct yaml_node *n, struct led_conf *l, struct pol_error *err) {
    static const char *const keys[] = {"interval", "file", "command", "syslog", NULL};
    const char *file = NULL;
    size_t count = 0;
    l->anchor_ms = 60000;
    if (n != NULL && (!yaml_keys(n, keys, err) || !conf_ms(n, "interval", false, 100, 86400000, &l->anchor_ms, err) ||
                      !conf_str(n, "file", &file, err) || !conf_bool(n, "syslog", &l->anchor_syslog, err)))
        return false;
    char *standard = NULL;
    if (file == NULL && asprintf(&standard, "%s/anchors.log", l->dir) < 0) standard = NULL;
    l->anchor_file = file != NULL ? conf_path(a, file) : conf_own(a, standard, free);
    if (l->anchor_file == NULL) return n != NULL ? yaml_fail(n, err, "out of memory") : false;
    const struct yaml_node *c = n == NULL ? NULL : yaml_get(n, "command");
    if (c == NULL) return true;
    if (yaml_kind(c) != YAML_LIST) return yaml_fail(c, err, "must be a list of a program and its arguments: no shell reads it");
    if (!yaml_strings(a->doc, c, &l->anchor_command, &count, err)) return false;
    return (count > 0 && l->anchor_command[0][0] == '/') || yaml_fail(c, err, "must begin with the program's path, from / on");
}

/* { age, size, least, interval }: age or size, or both. */
static bool read_retention(const struct yaml_node *n, struct led_conf *l, struct pol_error *err) {
    static const char *const keys[] = {"age", "size", "least", "interval", NULL};
    const uint64_t most = 36600ull * 86400000;
    l->retention_every_ms = 3600000;
    l->retention_least_ms = 86400000;
    if (n == NULL) return true;
    if (!yaml_keys(n, keys, err) || !conf_ms(n, "age", true, 1000, most, &l->retention_ms, err) ||
        !conf_size(n, "size", 1u << 20, 1ull << 50, &l->retention_bytes, err) ||
        !conf_ms(n, "least", false, 1000, most, &l->retention_least_ms, err) ||
        !conf_ms(n, "interval", false, 100, 86400000, &l->retention_every_ms, err))
        return false;
    if (l->retention_ms == 0 && l->retention_bytes == 0) return yaml_fail(n, err, "needs age or size: what may go, and when?");
    if (l->retention_bytes > 0 && l->retention_ms > 0 && l->retention_least_ms > l->retention_ms)
        return yaml_fail(n, err, "least is more than age: events go at their age, whatever size says");
    return true;
}

bool conf_read_audit(struct conf_all *a, const struct yaml_node *n, struct pol_error *err) {
    static const char *const keys[] = {"mode",          "journal",    "timeout", "auth_max",   "fsync",     "segment", "retain",
                                       "max_unshipped", "durability", "anchors", "retain_age", "retention", NULL};
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
    if (!conf_size(n, "retain", 0, 1ull << 50, &l->retain_bytes, err)) return false;
    if (l->retain_bytes == 0) l->retain_bytes = 1; /* 0 is the ledger's standard */
    return conf_ms(n, "timeout", false, 50, 60000, &l->timeout_ms, err) && conf_int(n, "auth_max", 1, 100000000, &l->auth_max, err) &&
           conf_bool(n, "fsync", &l->fsync, err) && conf_size(n, "segment", 1u << 20, 4ull << 30, &l->segment_bytes, err) &&
           conf_ms(n, "retain_age", true, 60000, 3660ull * 86400000, &l->retain_ms, err) &&
           conf_size(n, "max_unshipped", 1u << 20, 1ull << 50, &l->max_unshipped, err) &&
           read_durability(yaml_get(n, "durability"), l, err) && read_anchors(a, yaml_get(n, "anchors"), l, err) &&
           read_retention(yaml_get(n, "retention"), l, err);
}

static bool same(const char *a, const char *b) { return a == NULL || b == NULL ? a == b : strcmp(a, b) == 0; }

static bool same_list(const char *const *a, const char *const *b) {
    if (a == NULL || b == NULL) return a == b;
    while (*a != NULL && *b != NULL && strcmp(*a, *b) == 0) a++, b++;
    return *a == NULL && *b == NULL;
}

bool conf_same_audit(const struct led_conf *a, const struct led_conf *b) {
    return same(a->dir, b->dir) && a->mode == b->mode && a->fsync == b->fsync && a->segment_bytes == b->segment_bytes &&
           a->retain_bytes == b->retain_bytes && a->retain_ms == b->retain_ms && a->max_unshipped == b->max_unshipped &&
           a->auth_max == b->auth_max && a->timeout_ms == b->timeout_ms && a->redis_fsync == b->redis_fsync && a->replicas == b->replicas &&
           a->retention_ms == b->retention_ms && a->retention_bytes == b->retention_bytes &&
           a->retention_least_ms == b->retention_least_ms && a->retention_every_ms == b->retention_every_ms &&
           a->anchor_ms == b->anchor_ms && a->anchor_syslog == b->anchor_syslog && same(a->anchor_file, b->anchor_file) &&
           same_list(a->anchor_command, b->anchor_command);
}

/* --- redis --- */

static bool check_sentinels(const struct yaml_node *n, const char *const *list, size_t count, struct pol_error *err) {
    if (count == 0 || count > 16) return yaml_fail(n, err, "must name 1 to 16 Sentinels as HOST:PORT");
    for (size_t i = 0; i < count; i++) {
        const char *colon = strrchr(list[i], ':');
        char *end;
        unsigned long port = colon == NULL ? 0 : strtoul(colon + 1, &end, 10);
        if (colon == NULL || colon == list[i] || strlen(list[i]) > 250 || port == 0 || port > 65535 || *end != '\0')
            return yaml_fail(n, err, "\"%s\" is not HOST:PORT", list[i]);
    }
    return true;
}

/* No glob characters: ACLs and SCAN have patterns with it. */
static bool check_prefix(const struct yaml_node *n, const char *prefix, struct pol_error *err) {
    static const char letters[] = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_.-:{}";
    const char *open = strchr(prefix, '{'), *close = open == NULL ? NULL : strchr(open, '}');
    size_t len = strlen(prefix);
    if (len == 0 || len > 64 || strspn(prefix, letters) != len || prefix[len - 1] != ':')
        return yaml_fail(n, err, "must have 1 to 64 of A-Z a-z 0-9 _ . - : { } and end with a colon");
    if (open != NULL && (close == NULL || close == open + 1)) return yaml_fail(n, err, "has a hash tag without an end, or an empty one");
    return true;
}

bool conf_read_redis(struct conf_all *a, const struct yaml_node *n, struct pol_error *err) {
    static const char *const keys[] = {"socket", "host", "port", "user", "password_file", "sentinels", "master", "prefix", NULL};
    size_t count = 0;
    struct led_conf *l = &a->c.ledger;
    const char *socket = NULL, *file = NULL;
    uint64_t port = 6379;
    char why[512];
    if (n == NULL || !yaml_keys(n, keys, err)) return false;
    if (!conf_str(n, "socket", &socket, err) || !conf_str(n, "host", &l->redis_host, err) || !conf_int(n, "port", 1, 65535, &port, err) ||
        !conf_str(n, "user", &l->redis_user, err) || !conf_str(n, "password_file", &file, err))
        return false;
    const struct yaml_node *sentinels = yaml_get(n, "sentinels");
    if (!conf_str(n, "master", &l->redis_master, err) || !conf_str(n, "prefix", &l->redis_prefix, err)) return false;
    if (sentinels != NULL &&
        (!yaml_strings(a->doc, sentinels, &l->redis_sentinels, &count, err) || !check_sentinels(sentinels, l->redis_sentinels, count, err)))
        return false;
    if ((socket != NULL) + (l->redis_host != NULL) + (sentinels != NULL) != 1)
        return yaml_fail(n, err, "needs either socket or host, or sentinels");
    if ((sentinels != NULL) != (l->redis_master != NULL)) return yaml_fail(n, err, "sentinels and master belong together");
    if (l->redis_prefix != NULL && !check_prefix(yaml_get(n, "prefix"), l->redis_prefix, err)) return false;
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

bool conf_same_redis(const struct led_conf *a, const struct led_conf *b) {
    return same(a->redis_socket, b->redis_socket) && same(a->redis_host, b->redis_host) && a->redis_port == b->redis_port &&
           same(a->redis_user, b->redis_user) && same(a->redis_password, b->redis_password) && same(a->redis_master, b->redis_master) &&
           same(a->redis_prefix, b->redis_prefix) && same_list(a->redis_sentinels, b->redis_sentinels);
}
