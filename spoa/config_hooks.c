/* The section hooks of the configuration. */
#include <config.h>

#include "spoa/config_int.h"

#include "spoa/secret.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define CA_MAX (1u << 20)

static bool read_events(struct conf_all *a, const struct yaml_node *n, struct hook_conf *h, struct pol_error *err) {
    const char *const *words;
    size_t count;
    if (n == NULL || !yaml_strings(a->doc, n, &words, &count, err)) return false;
    for (size_t i = 0; i < count; i++) {
        unsigned bit = 1;
        while (bit < 1u << HOOK_EVENTS && strcmp(hook_event_name(bit), words[i]) != 0) bit <<= 1;
        if (bit == 1u << HOOK_EVENTS)
            return yaml_fail(n, err, "\"%.40s\" is no event: there are request, decision, refusal, block, grant and breakglass", words[i]);
        h->events |= bit;
    }
    return count > 0 || yaml_fail(n, err, "the list is empty: the hook would hear of nothing");
}

static const char *read_pem(struct conf_all *a, const struct yaml_node *n, const char *name, struct pol_error *err) {
    const char *path = conf_path(a, name);
    FILE *f = path == NULL ? NULL : fopen(path, "re");
    char *text = f == NULL ? NULL : conf_own(a, calloc(1, CA_MAX), free);
    size_t len = text == NULL ? 0 : fread(text, 1, CA_MAX - 1, f);
    if (f != NULL) fclose(f);
    if (len > 0 && len < CA_MAX - 1 && strstr(text, "-----BEGIN CERTIFICATE-----") != NULL) return text;
    yaml_fail(n, err, "%s cannot be read, or holds no certificate in PEM", path != NULL ? path : name);
    return NULL;
}

static bool read_secret(struct conf_all *a, const struct yaml_node *n, const char *name, struct hook_conf *h, struct pol_error *err) {
    char why[512];
    const char *path = conf_path(a, name);
    char *secret = path == NULL ? NULL : secret_read(path, why, sizeof why);
    if (secret == NULL) return yaml_fail(n, err, "%s", path == NULL ? "out of memory" : why);
    h->secret = conf_own(a, secret, (void (*)(void *))secret_free);
    if (h->secret == NULL) return yaml_fail(n, err, "out of memory");
    return strlen(h->secret) >= 16 || yaml_fail(n, err, "is shorter than 16 bytes: anybody could guess it");
}

/* https://HOST..., and http:// where that is allowed; no user in it, which would be in logs. */
static bool read_url(const struct yaml_node *n, struct hook_conf *h, struct pol_error *err) {
    size_t https = strncmp(h->url, "https://", 8) == 0 ? 8 : 0, http = strncmp(h->url, "http://", 7) == 0 ? 7 : 0;
    const char *host = h->url + https + http;
    if (http > 0 && !h->allow_http) return yaml_fail(n, err, "has no TLS: use https, or say allow_http: true");
    if (https + http == 0 || *host == '\0' || *host == '/') return yaml_fail(n, err, "\"%.100s\" is no https URL", h->url);
    for (const char *c = h->url; *c != '\0'; c++)
        if (*c <= ' ' || *c > '~') return yaml_fail(n, err, "may hold printable ASCII only");
    return memchr(host, '@', strcspn(host, "/?#")) == NULL ||
           yaml_fail(n, err, "holds a user or a password: sign with secret_file instead");
}

static bool read_signing(struct conf_all *a, const struct yaml_node *n, struct hook_conf *h, struct pol_error *err) {
    static const char *const signs[] = {"node", NULL};
    const struct yaml_node *sign = yaml_get(n, "sign"), *secret = yaml_get(n, "secret_file"), *ca = yaml_get(n, "ca_file");
    const char *file = NULL, *pem = NULL;
    int which;
    if (sign != NULL && !yaml_enum(sign, signs, &which, err)) return false;
    h->node_signs = sign != NULL;
    if (!conf_bool(n, "allow_http", &h->allow_http, err) || !conf_str(n, "secret_file", &file, err) || !conf_str(n, "ca_file", &pem, err) ||
        !read_url(yaml_get(n, "url"), h, err) || (file != NULL && !read_secret(a, secret, file, h, err)) ||
        (pem != NULL && (h->ca = read_pem(a, ca, pem, err)) == NULL))
        return false;
    return file != NULL || sign != NULL ||
           yaml_fail(yaml_get(n, "url"), err, "whoever receives it must be able to tell who sent it: give secret_file, or sign: node");
}

static bool read_hook(struct conf_all *a, const struct yaml_node *n, struct hook_conf *h, struct pol_error *err) {
    static const char *const keys[] = {"url",        "command", "events", "sql",      "secret_file", "sign", "ca_file",
                                       "allow_http", "timeout", "queue",  "attempts", "refusals",    NULL},
                             *const of_urls[] = {"secret_file", "sign", "ca_file", "allow_http", NULL};
    if (!yaml_keys(n, keys, err)) return false;
    const struct yaml_node *command = yaml_get(n, "command");
    if (!conf_str(n, "url", &h->url, err)) return false;
    if ((h->url == NULL) == (command == NULL)) return yaml_fail(n, err, "needs either url or command");
    for (const char *const *k = of_urls; command != NULL && *k != NULL; k++)
        if (yaml_get(n, *k) != NULL) return yaml_fail(yaml_get(n, *k), err, "is for a url, not for a command");
    const struct yaml_node *events = conf_need(n, "events", err);
    h->timeout_ms = 5000;
    h->queue = 1000;
    h->attempts = 10;
    h->refusals = 60;
    h->command.stop_fd = -1;
    return events != NULL && read_events(a, events, h, err) && conf_bool(n, "sql", &h->sql, err) &&
           conf_ms(n, "timeout", false, 100, 60000, &h->timeout_ms, err) && conf_int(n, "queue", 1, 100000, &h->queue, err) &&
           conf_int(n, "attempts", 1, 100, &h->attempts, err) && conf_int(n, "refusals", 0, 100000, &h->refusals, err) &&
           (command != NULL ? conf_read_command(a, command, &h->command, err) : read_signing(a, n, h, err));
}

bool conf_read_hooks(struct conf_all *a, const struct yaml_node *n, struct pol_error *err) {
    if (n == NULL) return true;
    if (yaml_kind(n) != YAML_MAP) return yaml_fail(n, err, "must be a map of hooks, each with a name");
    if (yaml_len(n) > 8) return yaml_fail(n, err, "at most 8 hooks");
    struct hook_conf *list = conf_own(a, calloc(yaml_len(n) + 1, sizeof *list), free);
    if (list == NULL) return yaml_fail(n, err, "out of memory");
    for (size_t i = 0; i < yaml_len(n); i++) {
        list[i].name = yaml_key_at(n, i);
        if (!read_hook(a, yaml_at(n, i), &list[i], err)) return false;
    }
    a->c.hooks = list;
    a->c.nhooks = yaml_len(n);
    return true;
}
