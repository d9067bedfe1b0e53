#include "spoa/startup.h"

#include "policy/text.h"

#include <ctype.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#define AUTH "gatehouse.auth"

static bool refuse(struct pol_verdict *why, const char *sqlstate, const char *hint, const char *fmt, ...)
    __attribute__((format(printf, 4, 5)));
static bool refuse(struct pol_verdict *why, const char *sqlstate, const char *hint, const char *fmt, ...) {
    va_list ap;
    *why = (struct pol_verdict){.effect = POL_DENY, .rule = ""};
    snprintf(why->sqlstate, sizeof why->sqlstate, "%s", sqlstate);
    snprintf(why->hint, sizeof why->hint, "%s", hint);
    va_start(ap, fmt);
    pol_vadd(why->message, sizeof why->message, fmt, ap);
    va_end(ap);
    return false;
}

/* PostgreSQL compares encoding names without case and without what is not a letter or digit (pg_encname_to_encoding). */
static bool encoding_is(const char *value, const char *plain) {
    for (; *value != '\0'; value++) {
        if (!isalnum((unsigned char)*value)) continue;
        if (tolower((unsigned char)*value) != *plain) return false;
        plain++;
    }
    return *plain == '\0';
}

/* False-like words as PostgreSQL reads them for replication. */
static bool is_off(const char *value) {
    return strcasecmp(value, "false") == 0 || strcasecmp(value, "off") == 0 || strcasecmp(value, "no") == 0 || strcmp(value, "0") == 0;
}

static bool keep(struct startup *s, const char *name, const char *value, struct pol_verdict *why) {
    for (size_t i = 0; i < s->n; i++) {
        if (strcasecmp(s->kv[i].name, name) != 0) continue;
        char *copy = strdup(value); /* the later one wins, as on the server */
        if (copy == NULL) return refuse(why, "53200", "", "out of memory");
        free((char *)(uintptr_t)s->kv[i].value);
        s->kv[i].value = copy;
        return true;
    }
    if (s->n == STARTUP_SETTINGS) return refuse(why, "54000", "", "more than %d startup settings", STARTUP_SETTINGS);
    struct flt_kv kv = {strdup(name), strdup(value)};
    if (kv.name == NULL || kv.value == NULL) {
        free((char *)(uintptr_t)kv.name);
        free((char *)(uintptr_t)kv.value);
        return refuse(why, "53200", "", "out of memory");
    }
    s->kv[s->n++] = kv;
    return true;
}

/* Names that the server takes for something else than a setting when they stand in a startup packet: whose session it is and where. */
static bool is_setting_name(const char *name) {
    static const char *const others[] = {"user", "database", "options", "replication", NULL};
    for (const char *const *o = others; *o != NULL; o++)
        if (strcasecmp(name, *o) == 0) return false;
    for (const char *c = name; *c != '\0'; c++)
        if (!isalnum((unsigned char)*c) && *c != '_' && *c != '.' && *c != '$') return false;
    return name[0] != '\0' && strncasecmp(name, "_pq_.", 5) != 0;
}

static bool accept_setting(struct startup *s, const struct pol_role *role, const struct conf_database *db, const char *name,
                           const char *value, struct pol_verdict *why) {
    if (strcasecmp(name, "client_encoding") == 0) {
        /* SQL_ASCII asks for no conversion: the server's UTF-8 is what the client then gets. */
        if (encoding_is(value, "utf8") || encoding_is(value, "unicode") || encoding_is(value, "sqlascii")) return true;
        return refuse(why, "22023", "Connect with client_encoding=UTF8 (PGCLIENTENCODING=UTF8).",
                      "client_encoding \"%s\" is not supported: only UTF8 is", value);
    }
    if (strcasecmp(name, "replication") == 0)
        return is_off(value) || refuse(why, "0A000", "Replication has to bypass the gate: it cannot be judged by statement.",
                                       "replication connections are not supported");
    if (strcasecmp(name, AUTH) == 0) return true; /* startup_auth() has looked */
    if (!is_setting_name(name))
        return refuse(why, "42501", "Connect without it.", "the startup parameter \"%.100s\" is no setting that can be given here", name);
    for (size_t i = 0; i < db->nsettings; i++) {
        if (strcasecmp(db->settings[i].name, name) != 0) continue;
        if (strcmp(db->settings[i].value, value) == 0) return true;
        return refuse(why, "42501", "Connect without this setting.", "the setting \"%s\" is pinned to \"%s\" for this database", name,
                      db->settings[i].value);
    }
    if (!pol_judge_setting(role, name, value, why)) return false;
    return keep(s, name, value, why);
}

/* The next word of "options": blanks separate, a backslash takes the next byte as it is (pg_split_opts). NULL at the end. */
static char *next_word(const char **at) {
    const char *p = *at;
    while (isspace((unsigned char)*p)) p++;
    if (*p == '\0') return NULL;
    char *word = malloc(strlen(p) + 1), *w = word;
    if (word == NULL) return NULL;
    for (; *p != '\0' && !isspace((unsigned char)*p); p++) {
        if (*p == '\\' && p[1] != '\0') p++;
        *w++ = *p;
    }
    *w = '\0';
    *at = p;
    return word;
}

static bool accept_option(struct startup *s, const struct pol_role *role, const struct conf_database *db, char *item,
                          struct pol_verdict *why) {
    char *equals = strchr(item, '=');
    if (equals == NULL || equals == item)
        return refuse(why, "42501", "Give settings as \"-c name=value\".", "the startup option \"%.100s\" is not understood", item);
    *equals = '\0';
    for (char *c = item; *c != '\0'; c++)
        if (*c == '-') *c = '_'; /* ParseLongOption */
    return accept_setting(s, role, db, item, equals + 1, why);
}

static bool read_options(struct startup *s, const struct pol_role *role, const struct conf_database *db, const char *options,
                         struct pol_verdict *why) {
    char *word;
    bool ok = true;
    while (ok && (word = next_word(&options)) != NULL) {
        if (strncmp(word, "--", 2) == 0)
            ok = accept_option(s, role, db, word + 2, why);
        else if (strcmp(word, "-c") == 0) {
            char *item = next_word(&options);
            ok = item != NULL ? accept_option(s, role, db, item, why)
                              : refuse(why, "42501", "Give settings as \"-c name=value\".", "the startup option \"-c\" needs a setting");
            free(item);
        } else if (strncmp(word, "-c", 2) == 0)
            ok = accept_option(s, role, db, word + 2, why);
        else
            ok = refuse(why, "42501", "Only settings can be given in options: \"-c name=value\".",
                        "the startup option \"%.100s\" is not supported", word);
        free(word);
    }
    return ok;
}

static void look_for_auth(const char *item, int *auth) {
    size_t n = sizeof AUTH - 1;
    if (item == NULL || strncasecmp(item, AUTH, n) != 0 || item[n] != '=') return;
    if (strcmp(item + n + 1, "oauthbearer") == 0) *auth = 1;
    if (strcmp(item + n + 1, "password") == 0) *auth = 0;
}

int startup_auth(const struct flt_kv *params, size_t n) {
    int auth = -1;
    for (size_t i = 0; i < n; i++) {
        const char *options = strcasecmp(params[i].name, "options") == 0 ? params[i].value : "";
        char *word;
        while ((word = next_word(&options)) != NULL) {
            if (strcmp(word, "-c") == 0) {
                char *item = next_word(&options);
                look_for_auth(item, &auth);
                free(item);
            } else if (strncmp(word, "-c", 2) == 0 || strncmp(word, "--", 2) == 0)
                look_for_auth(word + 2, &auth);
            free(word);
        }
    }
    return auth;
}

struct startup *startup_read(const struct pol_role *role, const struct conf_database *db, const struct flt_kv *params, size_t n,
                             struct pol_verdict *why) {
    struct startup *s = calloc(1, sizeof *s);
    bool ok = s != NULL || refuse(why, "53200", "", "out of memory");
    for (size_t i = 0; ok && i < n; i++) {
        if (strncmp(params[i].name, "_pq_.", 5) == 0) continue; /* protocol options: the filter has said that it knows none */
        if (strcasecmp(params[i].name, "options") == 0)
            ok = read_options(s, role, db, params[i].value, why);
        else
            ok = accept_setting(s, role, db, params[i].name, params[i].value, why);
    }
    if (ok) return s;
    startup_free(s);
    return NULL;
}

void startup_free(struct startup *s) {
    if (s == NULL) return;
    for (size_t i = 0; i < s->n; i++) {
        free((char *)(uintptr_t)s->kv[i].name);
        free((char *)(uintptr_t)s->kv[i].value);
    }
    free(s);
}

const char *startup_get(const struct startup *s, const char *name) {
    for (size_t i = 0; i < s->n; i++)
        if (strcasecmp(s->kv[i].name, name) == 0) return s->kv[i].value;
    return "";
}

static bool list_groups(struct startup_who *who) {
    char *at = who->groups_text, *end = at + sizeof who->groups_text;
    *at++ = '[';
    for (size_t i = 0; i < who->ngroups; i++) {
        if (end - at < 4) return false;
        if (i > 0) *at++ = ',';
        *at++ = '"';
        for (const char *c = who->groups[i]; *c != '\0'; c++) {
            if (end - at < 4) return false;
            if (*c == '"' || *c == '\\') *at++ = '\\';
            *at++ = *c;
        }
        *at++ = '"';
    }
    if (end - at < 2) return false;
    memcpy(at, "]", 2);
    return true;
}

void startup_label(const char *template, const struct startup_who *who, const char *client, char out[STARTUP_LABEL]) {
    size_t n = 0;
    while (*template != '\0' && n < STARTUP_LABEL - 1) {
        char single[2] = {*template, '\0'};
        const char *text = single;
        bool principal = strncmp(template, "%{principal}", 12) == 0;
        if (principal)
            text = who->principal;
        else if (strncmp(template, "%{client}", 9) == 0)
            text = client;
        else if (strncmp(template, "%{session}", 10) == 0)
            text = who->session;
        template = text == single ? template + 1 : strchr(template, '}') + 1;
        for (; *text != '\0' && n < STARTUP_LABEL - 1; text++)
            out[n++] = principal && *text == ' ' ? '_' : *text < 32 || *text > 126 ? '?' : *text;
    }
    out[n] = '\0';
}

size_t startup_upstream(const struct startup *s, const struct conf_database *db, struct startup_who *who, struct flt_kv *kv, size_t max) {
    const struct flt_kv pins[] = {{"client_encoding", "UTF8"},
                                  {"standard_conforming_strings", "on"},
                                  {"search_path", db->search_path_text},
                                  {"gatehouse.session", who->session},
                                  {"gatehouse.principal", who->principal},
                                  {"gatehouse.groups", list_groups(who) ? who->groups_text : ""}};
    size_t n = 0, npins = sizeof pins / sizeof *pins;
    for (size_t i = 0; i < npins && n < max; i++) kv[n++] = pins[i];
    if (db->application_name != NULL && n < max) {
        startup_label(db->application_name, who, startup_get(s, "application_name"), who->label);
        kv[n++] = (struct flt_kv){"application_name", who->label};
    }
    for (size_t i = 0; i < db->nsettings && n < max; i++) kv[n++] = db->settings[i];
    for (size_t i = 0; i < s->n && n < max; i++) {
        bool taken = !is_setting_name(s->kv[i].name); /* none was kept: this is the last place to look */
        for (size_t j = 0; j < n; j++) taken = taken || strcasecmp(kv[j].name, s->kv[i].name) == 0;
        if (!taken) kv[n++] = s->kv[i];
    }
    return n;
}

bool startup_overlay(const struct startup *s, struct paramset *reported) {
    bool named = false;
    for (size_t i = 0; i < reported->n; i++) {
        struct flt_kv *r = &reported->kv[i];
        if (strcmp(r->name, "application_name") == 0) {
            r->value = ""; /* the earlier session's is none of this client's business */
            named = true;
        }
        for (size_t j = 0; j < s->n; j++) {
            if (strcasecmp(s->kv[j].name, r->name) != 0) continue;
            /* The server may normalise a value; what it reports is known for sure only where it repeats what it got. */
            if (strcmp(r->name, "application_name") == 0) {
                if (strlen(s->kv[j].value) > 63) return false; /* NAMEDATALEN - 1 */
                for (const char *c = s->kv[j].value; *c != '\0'; c++)
                    if (*c < 32 || *c > 126) return false;
            } else if (strcmp(r->name, "DateStyle") == 0) {
                /* "ISO" leaves the order of day and month as it was: "ISO, MDY" */
                size_t len = strlen(s->kv[j].value);
                if (strncasecmp(r->value, s->kv[j].value, len) == 0 && (r->value[len] == ',' || r->value[len] == '\0')) continue;
                return false;
            } else if (strcmp(r->name, "TimeZone") != 0 && strcmp(r->value, s->kv[j].value) != 0)
                return false;
            r->value = s->kv[j].value;
        }
    }
    return named;
}
