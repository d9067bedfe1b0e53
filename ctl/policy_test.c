#include "ctl/policy_test.h"

#include "ctl/at.h"
#include "ctl/columns.h"
#include "ctl/dialect.h"
#include "policy/yaml.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { EXIT_PASSED = 0, EXIT_FAILED = 1, EXIT_USAGE = 2 };
#define MAX_CLAIMS 64

struct test {
    const struct yaml_node *node;
    const char *name, *principal, *database, *sql, *expect, *rule, *sqlstate, *text;
    const char *const *groups, *const *says, *const *contains, *const *without; /* NULL-terminated; NULL: not given */
    size_t ngroups;
    struct pol_claim claims[MAX_CLAIMS];
    size_t nclaims;
    int64_t at;
};

struct suite {
    const char *file;
    struct yaml_doc *doc;
    struct pol_policy *policy;
    struct pol_catalog *catalog;
    const char *database;
    const char *const *path;
    size_t npath;
    struct ctl_dialect dialect;
    const struct yaml_node *tests;
    size_t passed, failed;
    struct pol_error err; /* text is empty: no mistake */
};

static int usage(FILE *to) {
    fputs("usage: gatehousectl policy test FILE\n"
          "\n"
          "FILE (YAML, see gatehousectl(1)) lists statements, who sends them, and what is expected of the policy. Prints each that is "
          "judged\n"
          "otherwise and ends with the line \"N passed, N failed\".\n"
          "\n"
          "Exit status: 0 all passed, 1 some failed, 2 wrong usage or a mistake in a file.\n",
          to);
    return to == stderr ? EXIT_USAGE : 0;
}

/* --- the file --- */

static bool strings(struct suite *s, const struct yaml_node *n, const char *const **out) {
    size_t count;
    return n == NULL || yaml_strings(s->doc, n, out, &count, &s->err);
}

static bool string(struct suite *s, const struct yaml_node *n, const char **out) { return n == NULL || yaml_str(n, out, &s->err); }

static bool claims(struct suite *s, const struct yaml_node *n, struct test *t) {
    if (n == NULL) return true;
    if (yaml_kind(n) != YAML_MAP) return yaml_fail(n, &s->err, "expected name: value for each attribute of the identity");
    if (yaml_len(n) > MAX_CLAIMS) return yaml_fail(n, &s->err, "more than %d of them", MAX_CLAIMS);
    for (size_t i = 0; i < yaml_len(n); i++) {
        t->claims[i].name = yaml_key_at(n, i);
        if (!yaml_str(yaml_at(n, i), &t->claims[i].value, &s->err)) return false;
    }
    t->nclaims = yaml_len(n);
    return true;
}

static bool load_test(struct suite *s, const struct yaml_node *n, struct test *t) {
    static const char *const keys[] = {"name", "as",       "principal", "claims", "database", "sql", "expect", "rule",
                                       "says", "sqlstate", "contains",  "text",   "without",  "at",  NULL};
    static const char *const words[] = {"allow", "deny", "ask", NULL};
    int expect = 0;
    *t = (struct test){.node = n, .database = s->database};
    if (!yaml_keys(n, keys, &s->err)) return false;
    const struct yaml_node *sql = yaml_get(n, "sql"), *as = yaml_get(n, "as"), *want = yaml_get(n, "expect");
    if (sql == NULL || want == NULL) return yaml_fail(n, &s->err, "a test needs sql and expect");
    if (!string(s, yaml_get(n, "name"), &t->name) || !string(s, yaml_get(n, "principal"), &t->principal) ||
        !string(s, yaml_get(n, "database"), &t->database) || !string(s, sql, &t->sql) || !yaml_enum(want, words, &expect, &s->err) ||
        !string(s, yaml_get(n, "rule"), &t->rule) || !string(s, yaml_get(n, "sqlstate"), &t->sqlstate) ||
        !string(s, yaml_get(n, "text"), &t->text) || !claims(s, yaml_get(n, "claims"), t))
        return false;
    if (as != NULL && !yaml_strings(s->doc, as, &t->groups, &t->ngroups, &s->err)) return false;
    if (!strings(s, yaml_get(n, "says"), &t->says) || !strings(s, yaml_get(n, "contains"), &t->contains) ||
        !strings(s, yaml_get(n, "without"), &t->without))
        return false;
    const char *at = NULL;
    if (!string(s, yaml_get(n, "at"), &at)) return false;
    if (!ctl_at(at, &t->at)) return yaml_fail(yaml_get(n, "at"), &s->err, "%s", CTL_AT_WANTED);
    t->expect = words[expect];
    if (t->database == NULL) return yaml_fail(n, &s->err, "\"database\" is missing, here and at the top");
    if (!pol_policy_has_database(s->policy, t->database)) return yaml_fail(n, &s->err, "the policy does not list this test's database");
    return true;
}

/* A file beside the one that names it. */
static char *beside(const char *file, const char *name) {
    const char *slash = strrchr(file, '/');
    size_t folder = *name == '/' || slash == NULL ? 0 : (size_t)(slash - file) + 1, len = strlen(name);
    char *path = malloc(folder + len + 1);
    if (path == NULL) return NULL;
    memcpy(path, file, folder);
    memcpy(path + folder, name, len + 1);
    return path;
}

static bool load_catalog(struct suite *s, const char *name) {
    char *path = beside(s->file, name);
    s->catalog = path != NULL ? ctl_catalog_file(path) : NULL; /* it says why */
    free(path);
    return s->catalog != NULL;
}

static bool load_policy(struct suite *s, const char *name) {
    char *path = beside(s->file, name);
    s->policy = path != NULL ? pol_policy_load(path, &s->err) : NULL;
    free(path);
    return s->policy != NULL;
}

static bool load(struct suite *s) {
    static const char *const keys[] = {"version", "policy", "catalog", "database", "search_path", "tests", NULL};
    const char *policy = NULL, *catalog = NULL;
    int64_t version;
    if ((s->doc = yaml_load_file(s->file, 0, &s->err)) == NULL) return false;
    const struct yaml_node *root = yaml_root(s->doc);
    if (!yaml_keys(root, keys, &s->err)) return false;
    const struct yaml_node *v = yaml_get(root, "version"), *path = yaml_get(root, "search_path");
    if (v == NULL || yaml_get(root, "policy") == NULL) return yaml_fail(root, &s->err, "version and policy are needed");
    if (!yaml_int(v, 1, 1, &version, &s->err) || !string(s, yaml_get(root, "policy"), &policy) ||
        !string(s, yaml_get(root, "catalog"), &catalog) || !string(s, yaml_get(root, "database"), &s->database))
        return false;
    if (path != NULL && !yaml_strings(s->doc, path, &s->path, &s->npath, &s->err)) return false;
    s->tests = yaml_get(root, "tests");
    if (s->tests == NULL || yaml_kind(s->tests) != YAML_LIST) return yaml_fail(root, &s->err, "\"tests\" is missing: a list");
    if (!load_policy(s, policy) || (catalog != NULL && !load_catalog(s, catalog))) return false;
    ctl_dialect(&s->dialect, s->catalog, s->path, s->npath);
    return true;
}

/* --- one test --- */

struct outcome {
    struct pol_verdict v;
    const char *word;
    const char *text; /* what the database would get */
};

static bool fails(struct suite *s, const struct test *t, const struct outcome *o, const char *what, const char *detail) {
    printf("%s:%u: %s%s%s%s\n", s->file, yaml_line(t->node), t->name != NULL ? t->name : t->sql, ": ", what, detail);
    if (o->v.effect == POL_ALLOW)
        printf("    allowed%s%s; the database would get: %s\n", o->v.rule[0] != '\0' ? " by " : "", o->v.rule, o->text);
    else
        printf("    %s: %s: %s%s%s\n", o->word, o->v.sqlstate, o->v.message, o->v.detail[0] != '\0' ? " / " : "", o->v.detail);
    return false;
}

static bool compare(struct suite *s, const struct test *t, const struct outcome *o) {
    const struct pol_verdict *v = &o->v;
    if (strcmp(o->word, t->expect) != 0) return fails(s, t, o, "expected ", t->expect);
    if (t->rule != NULL && strcmp(v->rule, t->rule) != 0) return fails(s, t, o, "expected the rule ", t->rule);
    if (t->sqlstate != NULL && strcmp(v->sqlstate, t->sqlstate) != 0) return fails(s, t, o, "expected the SQLSTATE ", t->sqlstate);
    for (size_t i = 0; t->says != NULL && t->says[i] != NULL; i++)
        if (strstr(v->message, t->says[i]) == NULL && strstr(v->detail, t->says[i]) == NULL && strstr(v->hint, t->says[i]) == NULL)
            return fails(s, t, o, "the answer does not say ", t->says[i]);
    if (t->text != NULL && strcmp(o->text, t->text) != 0) return fails(s, t, o, "expected the text ", t->text);
    for (size_t i = 0; t->contains != NULL && t->contains[i] != NULL; i++)
        if (strstr(o->text, t->contains[i]) == NULL) return fails(s, t, o, "the text does not hold ", t->contains[i]);
    for (size_t i = 0; t->without != NULL && t->without[i] != NULL; i++)
        if (strstr(o->text, t->without[i]) != NULL) return fails(s, t, o, "the text holds ", t->without[i]);
    return true;
}

static void judge(struct suite *s, const struct test *t, struct pol_role *role) {
    struct pol_rewritten r = {0};
    struct outcome o = {.text = t->sql};
    size_t len = strlen(t->sql);
    struct pol_facts *f = ctl_dialect_judge(&s->dialect, t->sql, len, role, &o.v);
    if (ctl_dialect_rewrite(&s->dialect, t->sql, len, role, &r, &o.v) == POL_REWRITE_DONE) o.text = r.sql;
    o.word = o.v.effect == POL_ALLOW ? "allow" : o.v.effect == POL_ASK ? "ask" : "deny";
    if (compare(s, t, &o))
        s->passed++;
    else
        s->failed++;
    pol_rewritten_free(&r);
    pol_facts_free(f);
}

static void *run_all(void *arg) {
    struct suite *s = arg;
    for (size_t i = 0; i < yaml_len(s->tests); i++) {
        struct test t;
        if (!load_test(s, yaml_at(s->tests, i), &t)) break;
        struct pol_subject who = {
            .principal = t.principal, .groups = t.groups, .ngroups = t.ngroups, .claims = t.claims, .nclaims = t.nclaims};
        struct pol_role *role = ctl_dialect_role(&s->dialect, s->policy, &who, t.database, s->catalog);
        if (role == NULL) {
            yaml_fail(t.node, &s->err, "out of memory");
            break;
        }
        pol_role_at(role, t.at);
        judge(s, &t, role);
        pol_role_free(role);
    }
    return NULL;
}

int ctl_policy_test(int argc, char **argv) {
    if (argc == 2 && strcmp(argv[1], "--help") == 0) return usage(stdout);
    if (argc != 2 || argv[1][0] == '-') return usage(stderr);
    struct suite s = {.file = argv[1]};
    bool ok = load(&s) && ctl_on_stack(run_all, &s) && s.err.text[0] == '\0';
    if (!ok && s.err.text[0] != '\0') {
        char text[1024];
        pol_error_format(&s.err, text, sizeof text);
        fprintf(stderr, "%s\n", text);
    }
    if (ok) printf("%zu passed, %zu failed\n", s.passed, s.failed);
    pol_catalog_unref(s.catalog);
    if (s.policy != NULL) pol_policy_unref(s.policy);
    yaml_doc_free(s.doc);
    return !ok ? EXIT_USAGE : s.failed > 0 ? EXIT_FAILED : EXIT_PASSED;
}
