#include "ctl/rewrite.h"

#include "ctl/at.h"
#include "ctl/columns.h"
#include "ctl/dialect.h"

#include <getopt.h>
#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { EXIT_ALLOWED = 0, EXIT_USAGE = 2, EXIT_DENIED = 3 };
#define MAX_WORDS 64
#define MAX_STDIN (256u << 20)

struct options {
    const char *policy, *database, *principal, *catalog;
    const char *groups[MAX_WORDS], *path[MAX_WORDS];
    struct pol_claim claims[MAX_WORDS];
    size_t ngroups, npath, nclaims;
    int64_t at;
    bool json, lines, help;
};

static int usage(FILE *to) {
    fputs("usage: gatehousectl policy rewrite --policy FILE --database NAME --catalog FILE [--as GROUP[,GROUP...]] [--principal NAME]\n"
          "                                   [--claim NAME=VALUE]... [--search-path SCHEMA[,SCHEMA...]] [--at TIME]\n"
          "                                   [--json] [--lines] SQL\n"
          "\n"
          "Prints the statement as the database would get it: with masks and row filters under it. --catalog is what \"gatehousectl "
          "catalog\" printed.\n"
          "--at is the moment at which rules with times are looked at, now by default: 2026-11-30T17:00:00Z.\n"
          "SQL \"-\" is read from standard input; with --lines, that holds many, each ended by a NUL byte, and the answers are JSON, one a "
          "line.\n"
          "\n"
          "Exit status: 0 allowed, 2 wrong usage or a mistake in a file, 3 denied. With --lines 0 whatever the verdicts.\n",
          to);
    return to == stderr ? EXIT_USAGE : 0;
}

static bool split(char *text, const char **out, size_t *n) {
    char *save = NULL;
    for (char *w = strtok_r(text, ",", &save); w != NULL; w = strtok_r(NULL, ",", &save)) {
        if (*n == MAX_WORDS) return false;
        out[(*n)++] = w;
    }
    return true;
}

static bool add_claim(struct options *o, char *text) {
    char *eq = strchr(text, '=');
    if (eq == NULL || eq == text || o->nclaims == MAX_WORDS) return false;
    *eq = '\0';
    o->claims[o->nclaims++] = (struct pol_claim){text, eq + 1};
    return true;
}

static bool read_options(int argc, char **argv, struct options *o) {
    static const struct option longs[] = {{"policy", required_argument, NULL, 'p'},
                                          {"as", required_argument, NULL, 'a'},
                                          {"principal", required_argument, NULL, 'P'},
                                          {"database", required_argument, NULL, 'd'},
                                          {"catalog", required_argument, NULL, 'c'},
                                          {"claim", required_argument, NULL, 'C'},
                                          {"search-path", required_argument, NULL, 's'},
                                          {"at", required_argument, NULL, 't'},
                                          {"json", no_argument, NULL, 'j'},
                                          {"lines", no_argument, NULL, 'l'},
                                          {"help", no_argument, NULL, 'h'},
                                          {NULL, 0, NULL, 0}};
    *o = (struct options){0};
    ctl_at(NULL, &o->at);
    optind = 1;
    for (int c; (c = getopt_long(argc, argv, "", longs, NULL)) != -1;) {
        bool ok = true;
        switch (c) {
        case 'p': o->policy = optarg; break;
        case 'P': o->principal = optarg; break;
        case 'd': o->database = optarg; break;
        case 'c': o->catalog = optarg; break;
        case 'C': ok = add_claim(o, optarg); break;
        case 'a': ok = split(optarg, o->groups, &o->ngroups); break;
        case 's': ok = split(optarg, o->path, &o->npath); break;
        case 't': ok = ctl_at(optarg, &o->at); break;
        case 'j': o->json = true; break;
        case 'l': o->lines = true; break;
        case 'h': o->help = true; return true;
        default: ok = false;
        }
        if (!ok) return false;
    }
    return o->policy != NULL && o->database != NULL && o->catalog != NULL && argc - optind == 1;
}

/* --- one statement --- */

struct work {
    const struct options *o;
    struct ctl_dialect dialect;
    struct pol_role *role;
    const char *sql; /* NUL-terminated; with --lines many of them */
    size_t len;
    int status;
};

static void print(const struct work *w, const char *sql, const struct pol_verdict *v, enum pol_rewrite_rc rc,
                  const struct pol_rewritten *r) {
    bool allowed = v->effect != POL_DENY;
    const char *text = rc == POL_REWRITE_DONE ? r->sql : sql;
    if (w->o->json || w->o->lines) {
        json_t *j = json_pack("{s:s, s:b, s:s, s:s*, s:s, s:s, s:s, s:s}", "verdict",
                              v->effect == POL_ALLOW ? "allow"
                              : v->effect == POL_ASK ? "ask"
                                                     : "deny",
                              "rewritten", rc == POL_REWRITE_DONE, "rule", v->rule, "sql", allowed ? text : NULL, "sqlstate", v->sqlstate,
                              "message", v->message, "detail", v->detail, "hint", v->hint);
        json_dumpf(j, stdout, JSON_COMPACT);
        putchar('\n');
        json_decref(j);
        return;
    }
    if (allowed)
        puts(text);
    else
        printf("denied: %s: %s\n%s%s%s%s%s%s", v->sqlstate, v->message, v->detail[0] != '\0' ? "detail: " : "", v->detail,
               v->detail[0] != '\0' ? "\n" : "", v->hint[0] != '\0' ? "hint: " : "", v->hint, v->hint[0] != '\0' ? "\n" : "");
}

static bool one(const struct work *w, const char *sql, size_t len) {
    struct pol_verdict v;
    struct pol_rewritten r = {0};
    struct pol_facts *f = ctl_dialect_judge(&w->dialect, sql, len, w->role, &v);
    enum pol_rewrite_rc rc = ctl_dialect_rewrite(&w->dialect, sql, len, w->role, &r, &v);
    print(w, sql, &v, rc, &r);
    pol_rewritten_free(&r);
    pol_facts_free(f);
    return v.effect != POL_DENY;
}

static void *work_thread(void *arg) {
    struct work *w = arg;
    if (!w->o->lines) {
        w->status = one(w, w->sql, w->len) ? EXIT_ALLOWED : EXIT_DENIED;
        return NULL;
    }
    for (const char *p = w->sql; p < w->sql + w->len; p += strlen(p) + 1) one(w, p, strlen(p));
    return NULL;
}

static int run(struct work *w) {
    if (ctl_on_stack(work_thread, w)) return w->status;
    fputs("gatehousectl policy: no thread\n", stderr);
    return EXIT_USAGE;
}

static char *read_stdin(size_t *len) {
    char *text = NULL;
    size_t cap = 0;
    *len = 0;
    for (;;) {
        if (cap - *len < 65536) {
            char *moved = cap >= MAX_STDIN ? NULL : realloc(text, cap = cap == 0 ? 131072 : cap * 2);
            if (moved == NULL) break;
            text = moved;
        }
        size_t n = fread(text + *len, 1, cap - *len - 1, stdin);
        *len += n;
        if (n == 0) {
            text[*len] = '\0';
            return text;
        }
    }
    free(text);
    return NULL;
}

int ctl_rewrite(int argc, char **argv) {
    struct options o;
    if (!read_options(argc, argv, &o)) return usage(stderr);
    if (o.help) return usage(stdout);
    struct pol_policy *policy = ctl_policy_file(o.policy);
    if (policy == NULL) return EXIT_USAGE;
    struct pol_catalog *catalog = ctl_catalog_file(o.catalog);
    struct pol_subject who = {.principal = o.principal, .groups = o.groups, .ngroups = o.ngroups, .claims = o.claims, .nclaims = o.nclaims};
    struct work w = {.o = &o, .sql = argv[optind]};
    ctl_dialect(&w.dialect, catalog, o.path, o.npath);
    w.role = catalog != NULL ? ctl_dialect_role(&w.dialect, policy, &who, o.database, catalog) : NULL;
    w.len = strlen(w.sql);
    char *text = NULL;
    if (strcmp(w.sql, "-") == 0 || o.lines) w.sql = text = read_stdin(&w.len);
    int status = EXIT_USAGE;
    if (w.role != NULL && w.sql != NULL) {
        pol_role_at(w.role, o.at);
        status = run(&w);
    }
    free(text);
    pol_role_free(w.role);
    pol_catalog_unref(catalog);
    pol_policy_unref(policy);
    return status;
}
