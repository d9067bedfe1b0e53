#include "ctl/policy.h"

#include "ctl/at.h"
#include "ctl/columns.h"
#include "ctl/dialect.h"
#include "ctl/policy_diff.h"
#include "ctl/policy_grants.h"
#include "ctl/policy_test.h"
#include "ctl/rewrite.h"
#include "ctl/words.h"
#include "policy/fit.h"
#include "policy/lint.h"
#include "policy/policy.h"

#include <errno.h>
#include <getopt.h>
#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { EXIT_ALLOWED = 0, EXIT_USAGE = 2, EXIT_DENIED = 3, EXIT_ASKED = 4 };
#define MAX_WORDS 64
#define MAX_SQL   (17u << 20)

static int usage(FILE *to) {
    fputs("usage: gatehousectl policy check [--catalog FILE [--database NAME]] FILE\n"
          "       gatehousectl policy explain --policy FILE --database NAME [--as GROUP[,GROUP...]] [--principal NAME]\n"
          "                                   [--search-path SCHEMA[,SCHEMA...]] [--catalog FILE] [--at TIME] [--json] SQL\n"
          "       gatehousectl policy rewrite --help\n"
          "       gatehousectl policy test FILE\n"
          "       gatehousectl policy diff --help\n"
          "       gatehousectl policy grants --help\n"
          "\n"
          "check    reads FILE and reports the first mistake with its line and column; warns of what is no mistake, but hardly meant.\n"
          "         With --catalog it also tries the rules on the relations that they are about: a column that is not there is a mistake.\n"
          "explain  says what SQL does, whether the policy allows it, and which rule says so. SQL \"-\" is read from standard input.\n"
          "         --search-path defaults to public. --catalog takes what \"gatehousectl catalog\" printed; then columns are shown, too, "
          "and with\n"
          "         MySQL's or MariaDB's SQL is read as that server does, with its database as the default one.\n"
          "         --at is when it is judged, for rules with times: 2026-11-30T17:00:00Z; now by default.\n"
          "rewrite  prints SQL as the database would get it, with masks and row filters under it.\n"
          "diff     says which recorded statements another policy judges otherwise.\n"
          "grants   prints the role that gatehouse needs in the database, as SQL.\n"
          "test     judges the statements that FILE lists and compares with what it expects.\n"
          "\n"
          "Exit status: 0 allowed (check: no mistake; test: all passed; diff: none), 1 tests failed (diff: some differ), 2 wrong usage or "
          "a mistake in the policy, 3 "
          "denied, 4 needs approval.\n",
          to);
    return to == stderr ? EXIT_USAGE : 0;
}

static int complain(const char *what) {
    fprintf(stderr, "gatehousectl policy: %s\n", what);
    return EXIT_USAGE;
}

struct words {
    const char *at[MAX_WORDS];
    size_t n;
};

/* Splits text in place at commas. */
static bool split(char *text, struct words *out) {
    char *save = NULL;
    for (char *w = strtok_r(text, ",", &save); w != NULL; w = strtok_r(NULL, ",", &save)) {
        if (out->n == MAX_WORDS) return false;
        out->at[out->n++] = w;
    }
    return true;
}

static void warn(void *arg, const char *text) { printf("%s: WARNING: %s\n", (const char *)arg, text); }

struct misfits {
    const char *file;
    size_t n;
};

static void misfit(void *arg, const struct pol_misfit *m) {
    struct misfits *all = arg;
    char text[700];
    pol_misfit_words(m, text, sizeof text);
    fprintf(stderr, "%s:%u: %s\n", all->file, m->line, text);
    all->n++;
}

/* Whether clients could use what the rules are about: that the function of keyed hashes is missing the lint says. */
static int check_fit(const char *file, struct pol_policy *p, struct pol_catalog *cat, const char *database) {
    struct misfits all = {.file = file};
    if (pol_policy_fit(p, database, cat, true, 0, misfit, &all) == POL_FIT_NO_MEMORY) return complain("out of memory");
    if (all.n == 0) return 0;
    fprintf(
        stderr,
        "%s: %zu mistake%s: the policy does not fit the catalog; until that is corrected nobody can use these relations by these rules\n",
        file, all.n, all.n == 1 ? "" : "s");
    return EXIT_USAGE;
}

static int check(int argc, char **argv) {
    static const struct option longs[] = {
        {"catalog", required_argument, NULL, 'c'}, {"database", required_argument, NULL, 'd'}, {NULL, 0, NULL, 0}};
    const char *catalog = NULL, *database = NULL;
    optind = 1;
    for (int c; (c = getopt_long(argc, argv, "", longs, NULL)) != -1;) {
        if (c != 'c' && c != 'd') return usage(stderr);
        *(c == 'c' ? &catalog : &database) = optarg;
    }
    if (argc - optind != 1) return usage(stderr);
    char *file = argv[optind];
    struct pol_policy *p = ctl_policy_file(file);
    if (p == NULL) return EXIT_USAGE;
    struct pol_catalog *cat = NULL;
    if (catalog != NULL && (cat = ctl_catalog_file(catalog)) == NULL) {
        pol_policy_unref(p);
        return EXIT_USAGE;
    }
    if (cat != NULL && database == NULL) database = pol_catalog_database(cat);
    if (database != NULL && !pol_policy_has_database(p, database))
        printf("%s: WARNING: it does not list the database \"%s\"\n", file, database);
    pol_policy_lint(p, cat, database, warn, file);
    fflush(stdout);
    int status = cat != NULL ? check_fit(file, p, cat, database) : 0;
    if (status == 0) printf("%s: no mistakes (sha256 %s)\n", file, pol_policy_hash(p));
    pol_catalog_unref(cat);
    pol_policy_unref(p);
    return status;
}

static char *read_stdin(size_t *len) {
    char *data = malloc(MAX_SQL + 1);
    if (data == NULL) return NULL;
    *len = fread(data, 1, MAX_SQL, stdin);
    data[*len] = '\0';
    return data;
}

struct parse {
    const struct ctl_dialect *dialect;
    const char *sql;
    size_t len;
    const struct pol_role *role;
    const struct pol_catalog *catalog; /* NULL: no columns */
    struct pol_facts *facts;
    struct pol_verdict verdict;
    struct pol_columns *columns;
};

static void *parse_thread(void *arg) {
    struct parse *p = arg;
    struct pol_parse_error err;
    p->facts = ctl_dialect_judge(p->dialect, p->sql, p->len, p->role, &p->verdict);
    if (p->facts != NULL && p->catalog != NULL)
        p->columns = p->dialect->mysql ? pol_columns_my(p->sql, p->len, &p->dialect->my, p->catalog, &err)
                                       : pol_columns_pg(p->sql, p->len, p->catalog, &p->dialect->pins, &err);
    return NULL;
}

static json_t *access_words(unsigned access) {
    json_t *a = json_array();
    for (unsigned bit = 1; bit <= POL_TEMP; bit <<= 1)
        if (access & bit) json_array_append_new(a, json_string(pol_action_name(bit)));
    return a;
}

static json_t *text_or_null(const char *s) { return s != NULL ? json_string(s) : json_null(); }

static json_t *statement_json(const struct pol_stmt *s) {
    json_t *relations = json_array(), *functions = json_array(), *settings = json_array();
    for (size_t i = 0; i < s->nrelations; i++)
        json_array_append_new(relations, json_pack("{s:o, s:s, s:o, s:i}", "schema", text_or_null(s->relations[i].schema), "name",
                                                   s->relations[i].name, "access", access_words(s->relations[i].access), "location",
                                                   (int)s->relations[i].location));
    for (size_t i = 0; i < s->nfunctions; i++)
        json_array_append_new(functions,
                              json_pack("{s:o, s:s}", "schema", text_or_null(s->functions[i].schema), "name", s->functions[i].name));
    for (size_t i = 0; i < s->nsettings; i++)
        json_array_append_new(settings,
                              json_pack("{s:s, s:o, s:b, s:b}", "name", s->settings[i].name, "value", text_or_null(s->settings[i].value),
                                        "local", s->settings[i].local, "show", s->settings[i].show));
    return json_pack("{s:s, s:s, s:o, s:o, s:o, s:o, s:b, s:b, s:b}", "kind", pol_kind_name(s->kind), "tag", s->tag, "actions",
                     access_words(s->actions), "relations", relations, "functions", functions, "settings", settings, "opaque", s->opaque,
                     "where", s->where, "reads_only", s->reads_only);
}

static const char *verdict_word(const struct pol_verdict *v) {
    return v->effect == POL_ALLOW ? "allow" : v->effect == POL_ASK ? "ask" : "deny";
}

static json_t *ask_json(const struct pol_verdict *v) {
    json_t *rules = json_array();
    if (v->effect != POL_ASK) {
        json_decref(rules);
        return json_null();
    }
    for (size_t i = 0; i < v->ask.n; i++) {
        json_t *groups = json_array();
        for (const char *const *g = v->ask.by[i].approvers; *g != NULL; g++) json_array_append_new(groups, json_string(*g));
        json_array_append_new(
            rules, json_pack("{s:s, s:o, s:i}", "rule", v->ask.by[i].rule, "approvers", groups, "quorum", (int)v->ask.by[i].quorum));
    }
    return json_pack("{s:o, s:I, s:I, s:I, s:b}", "rules", rules, "expires_ms", (json_int_t)v->ask.expires_ms, "window_ms",
                     (json_int_t)v->ask.window_ms, "wait_ms", (json_int_t)v->ask.wait_ms, "justification_required", v->ask.justify);
}

/* columns and views: NULL, or arrays, which it takes over. */
static void print_json(const struct pol_facts *f, const struct pol_verdict *v, bool admitted, json_t *columns, json_t *views) {
    json_t *stmts = json_array();
    for (size_t i = 0; f != NULL && i < f->nstmts; i++) json_array_append_new(stmts, statement_json(&f->stmts[i]));
    json_t *all = json_pack("{s:s, s:o, s:b, s:s, s:s, s:s, s:s, s:s, s:i, s:o}", "verdict", verdict_word(v), "ask", ask_json(v),
                            "admitted", admitted, "rule", v->rule, "sqlstate", v->sqlstate, "message", v->message, "detail", v->detail,
                            "hint", v->hint, "statement", (int)v->stmt, "statements", stmts);
    if (columns != NULL) {
        json_object_set_new(all, "columns", columns);
        json_object_set_new(all, "views_around", views);
        json_object_set_new(all, "rewrite", json_boolean(v->rewrite));
    }
    json_dumpf(all, stdout, JSON_INDENT(2));
    putchar('\n');
    json_decref(all);
}

static void print_access(unsigned access) {
    bool first = true;
    for (unsigned bit = 1; bit <= POL_TEMP; bit <<= 1) {
        if ((access & bit) == 0) continue;
        printf("%s%s", first ? "" : ", ", pol_action_name(bit));
        first = false;
    }
}

static void print_statement(size_t n, const struct pol_stmt *s) {
    printf("statement %zu: %s%s%s%s%s\n", n, pol_kind_name(s->kind), s->tag[0] != '\0' ? " (" : "", s->tag, s->tag[0] != '\0' ? ")" : "",
           s->opaque ? ", opaque" : "");
    if (s->actions != 0) {
        printf("  needs: ");
        print_access(s->actions);
        putchar('\n');
    }
    for (size_t i = 0; i < s->nrelations; i++) {
        const struct pol_relation *r = &s->relations[i];
        printf("  relation %s%s%s: ", r->schema != NULL ? r->schema : "", r->schema != NULL ? "." : "", r->name);
        print_access(r->access);
        putchar('\n');
    }
    for (size_t i = 0; i < s->nfunctions; i++)
        printf("  function %s%s%s\n", s->functions[i].schema != NULL ? s->functions[i].schema : "",
               s->functions[i].schema != NULL ? "." : "", s->functions[i].name);
    for (size_t i = 0; i < s->nsettings; i++)
        printf("  setting %s%s%s%s\n", s->settings[i].name, s->settings[i].show ? " (shown)" : " = ",
               s->settings[i].show            ? ""
               : s->settings[i].value != NULL ? s->settings[i].value
                                              : "DEFAULT",
               s->settings[i].local ? " (local)" : "");
}

static void print_text(const struct pol_facts *f, const struct pol_verdict *v, const struct pol_columns *c, const struct pol_role *role) {
    for (size_t i = 0; f != NULL && i < f->nstmts; i++) print_statement(i + 1, &f->stmts[i]);
    if (c != NULL) ctl_columns_print(c, role);
    if (c != NULL) ctl_views_print(c, role);
    printf("verdict: %s\n", verdict_word(v));
    if (v->rule[0] != '\0') printf("rule: %s\n", v->rule);
    if (v->effect == POL_ALLOW) return;
    if (v->effect == POL_ASK) {
        printf("message: %s\ndetail: %s\n", v->message, v->detail);
        printf("asked for: %llu s, to be used within %llu s%s\n", (unsigned long long)v->ask.expires_ms / 1000,
               (unsigned long long)v->ask.window_ms / 1000, v->ask.justify ? ", with a reason" : "");
        return;
    }
    if (f != NULL && f->nstmts > 1) printf("refused: statement %zu\n", v->stmt + 1);
    printf("sqlstate: %s\nmessage: %s\n", v->sqlstate, v->message);
    if (v->detail[0] != '\0') printf("detail: %s\n", v->detail);
    if (v->hint[0] != '\0') printf("hint: %s\n", v->hint);
}

struct options {
    const char *policy, *database, *principal, *catalog;
    struct words groups, path;
    int64_t at;
    bool json, help;
};

static bool options(int argc, char **argv, struct options *o) {
    static const struct option longs[] = {{"policy", required_argument, NULL, 'p'},
                                          {"as", required_argument, NULL, 'a'},
                                          {"principal", required_argument, NULL, 'P'},
                                          {"database", required_argument, NULL, 'd'},
                                          {"search-path", required_argument, NULL, 's'},
                                          {"catalog", required_argument, NULL, 'c'},
                                          {"at", required_argument, NULL, 't'},
                                          {"json", no_argument, NULL, 'j'},
                                          {"help", no_argument, NULL, 'h'},
                                          {NULL, 0, NULL, 0}};
    *o = (struct options){0};
    ctl_at(NULL, &o->at);
    optind = 1;
    for (int c; (c = getopt_long(argc, argv, "", longs, NULL)) != -1;) {
        switch (c) {
        case 'p': o->policy = optarg; break;
        case 'P': o->principal = optarg; break;
        case 'd': o->database = optarg; break;
        case 'a':
            if (!split(optarg, &o->groups)) return false;
            break;
        case 's':
            if (!split(optarg, &o->path)) return false;
            break;
        case 'c': o->catalog = optarg; break;
        case 't':
            if (!ctl_at(optarg, &o->at)) return complain("--at: " CTL_AT_WANTED), false;
            break;
        case 'j': o->json = true; break;
        case 'h': o->help = true; return true;
        default: return false;
        }
    }
    return o->policy != NULL && o->database != NULL && argc - optind == 1;
}

static int judge(const struct options *o, struct pol_policy *policy, struct pol_catalog *catalog, const char *sql, size_t len) {
    struct pol_subject who = {.principal = o->principal, .groups = o->groups.at, .ngroups = o->groups.n};
    struct ctl_dialect dialect;
    ctl_dialect(&dialect, catalog, o->path.at, o->path.n);
    struct pol_role *role = ctl_dialect_role(&dialect, policy, &who, o->database, catalog);
    struct parse p = {.dialect = &dialect, .sql = sql, .len = len, .role = role, .catalog = catalog};
    if (role != NULL) pol_role_at(role, o->at);
    if (role == NULL || !ctl_on_stack(parse_thread, &p)) {
        pol_role_free(role);
        return complain("out of memory");
    }
    const struct pol_verdict *v = &p.verdict;
    bool admitted = pol_role_any(role);
    if (o->json)
        print_json(p.facts, v, admitted, p.columns != NULL ? ctl_columns_json(p.columns, role) : NULL,
                   p.columns != NULL ? ctl_views_json(p.columns, role) : NULL);
    else
        print_text(p.facts, v, p.columns, role);
    if (!o->json && v->effect != POL_DENY && v->rewrite)
        puts("note: it runs rewritten, so that hidden and masked data stay out of its reach");
    if (!o->json && pol_role_observes(role)) puts("note: this database is in mode observe: statements are forwarded whatever the verdict");
    if (!admitted && !o->json) puts("note: no rule names this identity on this database, so it is refused at login");
    pol_columns_free(p.columns);
    pol_facts_free(p.facts);
    pol_role_free(role);
    if (!admitted) return EXIT_DENIED;
    return v->effect == POL_ALLOW ? EXIT_ALLOWED : v->effect == POL_ASK ? EXIT_ASKED : EXIT_DENIED;
}

static int explain(int argc, char **argv) {
    struct options o;
    if (!options(argc, argv, &o)) return usage(stderr);
    if (o.help) return usage(stdout);
    struct pol_policy *policy = ctl_policy_file(o.policy);
    if (policy == NULL) return EXIT_USAGE;
    if (!pol_policy_has_database(policy, o.database)) {
        fprintf(stderr, "gatehousectl policy: %s does not list the database \"%s\"\n", o.policy, o.database);
        pol_policy_unref(policy);
        return EXIT_USAGE;
    }
    struct pol_catalog *catalog = NULL;
    if (o.catalog != NULL && (catalog = ctl_catalog_file(o.catalog)) == NULL) {
        pol_policy_unref(policy);
        return EXIT_USAGE;
    }
    const char *sql = argv[optind];
    char *text = NULL;
    size_t len = strlen(sql);
    if (strcmp(sql, "-") == 0) sql = text = read_stdin(&len);
    int status = sql != NULL ? judge(&o, policy, catalog, sql, len) : complain("out of memory");
    free(text);
    pol_catalog_unref(catalog);
    pol_policy_unref(policy);
    return status;
}

static bool asks_help(const char *word) { return strcmp(word, "--help") == 0 || strcmp(word, "-h") == 0; }

int ctl_policy(int argc, char **argv) {
    static const struct {
        const char *name;
        int (*run)(int argc, char **argv);
    } subs[] = {{"check", check},          {"explain", explain},      {"rewrite", ctl_rewrite},
                {"test", ctl_policy_test}, {"diff", ctl_policy_diff}, {"grants", ctl_policy_grants}};
    const char *names[sizeof subs / sizeof *subs + 1] = {NULL};
    if (argc < 2) return usage(stderr);
    if (asks_help(argv[1]) || (argc == 3 && strcmp(argv[1], "check") == 0 && asks_help(argv[2]))) return usage(stdout);
    for (size_t i = 0; i < sizeof subs / sizeof *subs; i++) {
        if (strcmp(argv[1], subs[i].name) == 0) return subs[i].run(argc - 1, argv + 1);
        names[i] = subs[i].name;
    }
    words_unknown("policy", "command", argv[1], names);
    return EXIT_USAGE;
}
