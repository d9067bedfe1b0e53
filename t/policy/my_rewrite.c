/* Rewrites statements for t/mysql/rewrite.py: my_rewrite POLICY CATALOG DATABASE GROUP [CLAIM=VALUE]... reads what t/policy/my_dump.c reads, judges and rewrites,
 * and writes a line of JSON for each: {"rc": "same"|"done"|"refused", "sql": ..., "why": ..., "rule": ...}. */
#include "policy/rewrite.h"

#include "policy/catalog.h"
#include "policy/policy.h"

#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static char *bytes(FILE *f, size_t n) {
    char *p = malloc(n + 1);
    if (p == NULL || fread(p, 1, n, f) != n) exit(1);
    p[n] = '\0';
    return p;
}

static struct pol_catalog *catalog(const char *path) {
    char why[400] = "";
    FILE *f = fopen(path, "rb");
    if (f == NULL || fseek(f, 0, SEEK_END) != 0) return NULL;
    long n = ftell(f);
    rewind(f);
    char *text = bytes(f, (size_t)n);
    struct pol_catalog *c = pol_catalog_parse(text, (size_t)n, why, sizeof why);
    if (c == NULL) fprintf(stderr, "%s\n", why);
    free(text);
    fclose(f);
    return c;
}

static json_t *refused(const struct pol_verdict *v) {
    return json_pack("{s:s, s:s, s:s, s:s, s:s, s:i}", "rc", "refused", "why", v->message, "detail", v->detail, "hint", v->hint, "rule",
                     v->rule, "position", (int)v->position);
}

static json_t *answer(const struct pol_role *r, const struct my_options *o, const char *sql, size_t len) {
    struct pol_parse_error err;
    struct pol_verdict v;
    struct pol_rewritten w;
    struct pol_facts *f = pol_facts_my(sql, len, o, &err);
    if (f == NULL) {
        pol_refuse_parse(&err, &v);
        return refused(&v);
    }
    pol_judge(r, f, &v);
    pol_facts_free(f);
    if (v.effect != POL_ALLOW) return refused(&v);
    if (!v.rewrite) return json_pack("{s:s, s:s%}", "rc", "same", "sql", sql, len);
    enum pol_rewrite_rc rc = pol_rewrite_my(sql, len, o, r, &w, &v);
    if (rc == POL_REWRITE_DONE && w.explain) { /* as whoever calls it does */
        pol_rewritten_free(&w);
        return json_pack("{s:s, s:s, s:s}", "rc", "refused", "why", "EXPLAIN", "hint", "");
    }
    json_t *j = rc == POL_REWRITE_REFUSED ? refused(&v)
                : rc == POL_REWRITE_SAME  ? json_pack("{s:s, s:s%}", "rc", "same", "sql", sql, len)
                                          : json_pack("{s:s, s:s%}", "rc", "done", "sql", w.sql, w.len);
    pol_rewritten_free(&w);
    return j;
}

int main(int argc, char **argv) {
    char line[2048], server[16], mode[1024], flags[16];
    struct pol_claim claims[16];
    size_t nclaims = 0;
    struct pol_error e;
    if (argc < 5) return 2;
    struct pol_policy *p = pol_policy_load(argv[1], &e);
    if (p == NULL) return fprintf(stderr, "%u:%u %s\n", e.line, e.column, e.text), 1;
    struct pol_catalog *c = catalog(argv[2]);
    if (c == NULL) return 1;
    for (int i = 5; i < argc && nclaims < 16; i++) {
        char *eq = strchr(argv[i], '=');
        if (eq == NULL) return 2;
        *eq = '\0';
        claims[nclaims++] = (struct pol_claim){argv[i], eq + 1};
    }
    const char *group = argv[4];
    while (fgets(line, sizeof line, stdin) != NULL) {
        unsigned version, db_len, len;
        struct my_options o = {0};
        if (sscanf(line, "%15s %u %1023s %15s %u %u", server, &version, mode, flags, &db_len, &len) != 6) return 1;
        o.server = strcmp(server, "mysql") == 0 ? MY_MYSQL : MY_MARIADB;
        o.version = version;
        bool known = strcmp(mode, "-") == 0 || my_mode_of(mode, strlen(mode), &o.mode);
        o.multi = strchr(flags, 'm') != NULL;
        o.fold_names = strchr(flags, 'f') != NULL;
        char *db = bytes(stdin, db_len), *sql = bytes(stdin, len);
        o.default_db = db_len > 0 ? db : NULL;
        const char *path[] = {db};
        struct pol_subject who = {.principal = "p", .groups = &group, .ngroups = 1, .claims = claims, .nclaims = nclaims};
        struct pol_role *r = pol_role_new(p, &who, argv[3], &(struct pol_pins){.search_path = path, .nsearch_path = 1, .mysql = true});
        if (r == NULL || !known) return 1;
        pol_role_use_catalog(r, c, true);
        pol_role_my_mode(r, o.mode);
        json_t *j = answer(r, &o, sql, len);
        json_dumpf(j, stdout, JSON_COMPACT);
        putchar('\n');
        fflush(stdout);
        json_decref(j);
        pol_role_free(r);
        free(db);
        free(sql);
    }
    pol_policy_unref(p);
    pol_catalog_unref(c);
    return 0;
}
