/* The section databases of the configuration. */
#include <config.h>

#include "spoa/config_int.h"

#include "policy/facts_my.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

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

/* A name without a database is one of the default database, which is pinned. */
static bool only_database(struct conf_all *a, const struct yaml_node *map, struct conf_database *d, struct pol_error *err) {
    const struct yaml_node *n = yaml_get(map, "search_path");
    const char **list = conf_own(a, calloc(2, sizeof *list), free);
    if (n != NULL) return yaml_fail(n, err, "is not for MySQL: names without a database are those of upstream.database");
    if (yaml_get(map, "application_name") != NULL) return yaml_fail(yaml_get(map, "application_name"), err, "is not for MySQL");
    if (list == NULL) return yaml_fail(map, err, "out of memory");
    list[0] = d->database;
    d->search_path = list;
    d->nsearch_path = 1;
    d->search_path_text = "";
    return true;
}

static bool is_ours_my(const char *name) {
    static const char *const ours[] = {"character_set_", "collation_", "session_track_", "tx_read_only", "transaction_read_only", NULL};
    for (const char *const *o = ours; *o != NULL; o++)
        if (strncasecmp(*o, name, strlen(*o)) == 0) return true;
    for (const char *c = name; *c != '\0'; c++)
        if (!((*c >= 'a' && *c <= 'z') || (*c >= '0' && *c <= '9') || *c == '_')) return true;
    return false;
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
        if (d->engine == CONF_MYSQL && is_ours_my(kv[i].name))
            return yaml_fail(yaml_key_node_at(n, i), err, "%s is set by gatehouse itself, or is no variable's name", kv[i].name);
        if (d->engine == CONF_MYSQL && strpbrk(kv[i].value, "'\"\\`") != NULL)
            return yaml_fail(yaml_at(n, i), err, "a value with quotes or backslashes cannot be given to MySQL");
        unsigned mode;
        if (d->engine == CONF_MYSQL && strcasecmp(kv[i].name, "sql_mode") == 0 && !my_mode_of(kv[i].value, strlen(kv[i].value), &mode))
            return yaml_fail(yaml_at(n, i), err,
                             "sql_mode is a list of modes by name, with commas between them; one of these is not known");
        for (const char *const *o = ours; *o != NULL; o++)
            if (strcasecmp(*o, kv[i].name) == 0)
                return yaml_fail(yaml_key_node_at(n, i), err, "%s is set by gatehouse itself and cannot be changed here", kv[i].name);
        if (d->application_name != NULL && strcasecmp(kv[i].name, "application_name") == 0)
            return yaml_fail(yaml_key_node_at(n, i), err, "application_name has a template already");
        if (strncasecmp(kv[i].name, "gatehouse.", 10) == 0)
            return yaml_fail(yaml_key_node_at(n, i), err, "%s: gatehouse itself says who it is", kv[i].name);
    }
    d->settings = kv;
    d->pinned = pinned;
    d->nsettings = yaml_len(n);
    return true;
}

/* "%{principal} %{client}": what the client says stands behind the principal and a blank, which no principal has there, so it cannot forge one. */
static bool read_label(const struct yaml_node *n, struct conf_database *d, struct pol_error *err) {
    static const char *const names[] = {"%{principal}", "%{client}", "%{session}"};
    if (!conf_str(n, "application_name", &d->application_name, err)) return false;
    const struct yaml_node *at = yaml_get(n, "application_name");
    bool principal = false, apart = false;
    for (const char *c = d->application_name; c != NULL && *c != '\0'; c++) {
        if (*c < 32 || *c > 126) return yaml_fail(at, err, "may hold printable ASCII only");
        apart = apart || (principal && *c == ' ');
        if (*c != '%') continue;
        size_t i = 0;
        while (i < 3 && strncmp(c, names[i], strlen(names[i])) != 0) i++;
        if (i == 3) return yaml_fail(at, err, "knows %%{principal}, %%{client} and %%{session}");
        if (i == 1 && !apart)
            return yaml_fail(at, err,
                             "must have %%{principal} and a blank before %%{client}: else a client could pretend to be somebody else");
        principal = principal || i == 0;
        c += strlen(names[i]) - 1;
    }
    return at == NULL || principal || yaml_fail(at, err, "does not have %%{principal}");
}

/* statements, results, or { rows: N, bytes: SIZE }. */
static bool read_record(const struct yaml_node *n, struct conf_database *d, struct pol_error *err) {
    static const char *const keys[] = {"rows", "bytes", NULL}, *const words[] = {"statements", "results", NULL};
    int word = 1;
    if (n == NULL) return true;
    bool map = yaml_kind(n) == YAML_MAP;
    if (!map && !yaml_enum(n, words, &word, err)) return false;
    d->record_rows = word == 1 ? CONF_RECORD_ROWS : 0;
    d->record_bytes = word == 1 ? CONF_RECORD_BYTES : 0;
    return !map || (yaml_keys(n, keys, err) && conf_int(n, "rows", 1, 100000, &d->record_rows, err) &&
                    conf_size(n, "bytes", 1024, 1u << 20, &d->record_bytes, err));
}

static bool read_database(struct conf_all *a, const struct yaml_node *n, struct conf_database *d, struct pol_error *err) {
    static const char *const keys[] = {"engine",  "upstream",       "application_name", "search_path", "settings",
                                       "require", "server_version", "estimate",         "record",      NULL},
                             *const engines[] = {"postgresql", "mysql", NULL};
    int engine;
    if (!yaml_keys(n, keys, err)) return false;
    const struct yaml_node *e = conf_need(n, "engine", err);
    if (e == NULL || !yaml_enum(e, engines, &engine, err)) return false;
    d->engine = engine == 1 ? CONF_MYSQL : CONF_POSTGRESQL;
    d->require = a->c.require;
    d->estimate = d->engine == CONF_POSTGRESQL;
    if (!conf_bool(n, "estimate", &d->estimate, err)) return false;
    if (d->estimate && d->engine != CONF_POSTGRESQL) return yaml_fail(yaml_get(n, "estimate"), err, "is for PostgreSQL");
    if (!conf_str(n, "server_version", &d->server_version, err)) return false;
    if (d->server_version != NULL && (d->engine != CONF_MYSQL || strlen(d->server_version) > 60))
        return yaml_fail(yaml_get(n, "server_version"), err, "is for MySQL, and has at most 60 characters");
    if (!conf_read_require(a, n, &d->require, err)) return false;
    const struct yaml_node *u = conf_need(n, "upstream", err);
    return u != NULL && conf_read_upstream(a, u, d, err) && read_label(n, d, err) && read_record(yaml_get(n, "record"), d, err) &&
           (d->engine == CONF_MYSQL ? only_database(a, n, d, err) : read_search_path(a, n, d, err)) &&
           read_settings(a, yaml_get(n, "settings"), d, err);
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
