#include "policy/fit.h"

#include "policy/policy_int.h"
#include "policy/text.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define TOLD  8u   /* different problems of one rule */
#define BATCH 256u /* relations that are looked at in one arena */

struct pair {
    size_t parent, child;
};
struct fit {
    struct pol_policy *p;
    struct pol_catalog *cat;
    const char *database;
    bool mysql, assume_hash, bounded, no_memory;
    uint64_t steps; /* that are left */
    void (*tell)(void *arg, const struct pol_misfit *m);
    void *arg;
    const struct pol_cat_relation *first;   /* of the catalog: they are one array */
    const struct pol_cat_relation **sorted; /* those that can be read, by schema and name */
    size_t nsorted;
    struct pair *children; /* by parent */
    size_t nchildren;
    uint32_t *mark; /* of each relation: the rule that it was found for, last */
    uint32_t round;
    size_t *found; /* relations that the rules are about */
    size_t nfound;
    const struct pol_rule *about;
    struct pol_misfit told[TOLD]; /* of the rule at hand; the texts are ours */
    size_t ntold;
    bool together; /* rules are tried together: what each is wrong in alone is told with it */
};

static bool spend(struct fit *f, uint64_t n) {
    if (!f->bounded) return true;
    f->steps = f->steps > n ? f->steps - n : 0;
    return f->steps > 0;
}

static bool is_here(const struct fit *f, const struct pol_rule *r) {
    return !r->deny && pol_rule_restricts(r) && pol_rule_here(r, f->database);
}

/* --- which relations --- */

static int by_name(const void *a, const void *b) {
    const struct pol_cat_relation *x = *(const struct pol_cat_relation *const *)a, *y = *(const struct pol_cat_relation *const *)b;
    int c = strcmp(x->schema, y->schema);
    return c != 0 ? c : strcmp(x->name, y->name);
}

static int by_parent(const void *a, const void *b) {
    const struct pair *x = a, *y = b;
    return x->parent != y->parent ? (x->parent < y->parent ? -1 : 1) : (x->child > y->child) - (x->child < y->child);
}

static bool can_be_read(const struct pol_cat_relation *r) { return strchr("rpvmf", r->kind) != NULL; }

static bool index_catalog(struct fit *f) {
    size_t n = pol_catalog_relations(f->cat), parents = 0;
    f->first = pol_catalog_relation_at(f->cat, 0);
    for (size_t i = 0; i < n; i++) parents += f->first[i].nparents;
    f->sorted = calloc(n + 1, sizeof(const struct pol_cat_relation *));
    f->children = calloc(parents + 1, sizeof *f->children);
    f->mark = calloc(n + 1, sizeof *f->mark);
    f->found = calloc(n + 1, sizeof *f->found);
    if (f->sorted == NULL || f->children == NULL || f->mark == NULL || f->found == NULL) return false;
    for (size_t i = 0; i < n; i++) {
        if (can_be_read(&f->first[i])) f->sorted[f->nsorted++] = &f->first[i];
        for (size_t k = 0; k < f->first[i].nparents; k++)
            f->children[f->nchildren++] = (struct pair){(size_t)(f->first[i].parents[k] - f->first), i};
    }
    qsort(f->sorted, f->nsorted, sizeof(const struct pol_cat_relation *), by_name);
    qsort(f->children, f->nchildren, sizeof *f->children, by_parent);
    return true;
}

static void add(struct fit *f, const struct pol_cat_relation *r) {
    size_t i = (size_t)(r - f->first);
    if (f->mark[i] == f->round || !can_be_read(r)) return;
    f->mark[i] = f->round;
    f->found[f->nfound++] = i;
}

/* Partitions and children are bound by what is said of their parents. */
static void add_children(struct fit *f) {
    for (size_t at = 0; at < f->nfound; at++) {
        size_t low = 0, high = f->nchildren;
        while (low < high) {
            size_t mid = (low + high) / 2;
            if (f->children[mid].parent < f->found[at])
                low = mid + 1;
            else
                high = mid;
        }
        for (; low < f->nchildren && f->children[low].parent == f->found[at]; low++) add(f, &f->first[f->children[low].child]);
    }
}

/* How a name compares with what stands before a pattern's first '*'; without one, with the pattern. */
static int begins(const char *pattern, const char *name) {
    size_t n = strcspn(pattern, "*");
    return pattern[n] == '*' ? strncmp(name, pattern, n) : strcmp(name, pattern);
}

static int compare(const struct pol_pattern *p, const struct pol_cat_relation *r) {
    int c = begins(p->schema, r->schema);
    return c != 0 || strchr(p->schema, '*') != NULL ? c : begins(p->name, r->name);
}

/* False when the steps are used up. */
static bool find(struct fit *f, const struct pol_rule *rule) {
    for (size_t i = 0; i < rule->non; i++) {
        const struct pol_pattern *p = &rule->on[i];
        if (p->exact) {
            const struct pol_cat_relation *r = pol_catalog_relation(f->cat, p->schema, p->name);
            if (r != NULL && pol_rule_is_about(rule, f->mysql, r->schema, r->name)) add(f, r);
            continue;
        }
        size_t low = 0, high = f->nsorted;
        while (low < high) {
            size_t mid = (low + high) / 2;
            if (compare(p, f->sorted[mid]) < 0)
                low = mid + 1;
            else
                high = mid;
        }
        for (; low < f->nsorted && compare(p, f->sorted[low]) == 0; low++) {
            if (!spend(f, 1)) return false;
            if (pol_matches(p, f->sorted[low]->schema, f->sorted[low]->name) &&
                pol_rule_is_about(rule, f->mysql, f->sorted[low]->schema, f->sorted[low]->name))
                add(f, f->sorted[low]);
        }
    }
    add_children(f);
    return true;
}

static int by_index(const void *a, const void *b) {
    const size_t x = *(const size_t *)a, y = *(const size_t *)b;
    return (x > y) - (x < y);
}

/* --- what becomes of them --- */

static const char *meant(const struct pol_view *v) {
    const char **names = v->missing == NULL ? NULL : calloc(v->relation->ncolumns + 1, sizeof *names);
    if (names == NULL) return NULL;
    for (size_t i = 0; i < v->relation->ncolumns; i++) names[i] = v->relation->columns[i].name;
    const char *near = pol_nearest(v->missing, names);
    free(names);
    return near;
}

static void note(struct fit *f, const struct pol_view *v) {
    if (f->together && !v->hash_written) return;
    for (size_t i = 0; i < f->ntold; i++)
        if (strcmp(f->told[i].problem, v->problem) == 0) {
            f->told[i].more++;
            return;
        }
    if (f->ntold == TOLD) return;
    char *problem = strdup(v->problem);
    if (problem == NULL)
        f->no_memory = true;
    else
        f->told[f->ntold++] = (struct pol_misfit){f->about->name, f->about->line, v->relation, 0, problem, meant(v)};
}

static void tell(struct fit *f, bool aloud) {
    for (size_t i = 0; i < f->ntold; i++) {
        if (aloud) f->tell(f->arg, &f->told[i]);
        free((char *)(uintptr_t)f->told[i].problem);
    }
    f->ntold = 0;
}

/* A role that these rules alone make, for the relations that were found from *at on: as many as one arena should hold. */
static bool look(struct fit *f, const struct pol_rule **rules, size_t nrules, uint64_t cost, size_t *at) {
    struct pol_role r = {.policy = f->p,
                         .arena = pol_arena_new(),
                         .pins = {.mysql = f->mysql},
                         .database = f->database,
                         .rules = rules,
                         .nrules = nrules,
                         .assume_hash = f->assume_hash,
                         .restricts = true,
                         .catalog = f->cat};
    bool ok = true, failed = r.arena == NULL || !pol_views_init(&r);
    for (size_t end = *at + BATCH; ok && !failed && *at < f->nfound && *at < end; ++*at) {
        const struct pol_cat_relation *rel = &f->first[f->found[*at]];
        ok = spend(f, (1 + rel->nparents) * (rel->ncolumns + 1) * cost);
        const struct pol_view *v = ok ? pol_role_view(&r, rel, &failed) : NULL;
        if (v != NULL && v->problem != NULL) note(f, v);
    }
    f->no_memory = f->no_memory || failed;
    pol_arena_free(r.arena);
    return ok && !f->no_memory;
}

/* What one column costs: it is compared with each column and each item of a tag that a rule names. */
static uint64_t cost_of(const struct fit *f, const struct pol_rule *rule) {
    uint64_t cost = 40 + rule->ncolumns;
    for (size_t i = 0; i < rule->ncolumns; i++)
        for (size_t t = 0; rule->columns[i].tag != NULL && t < f->p->ntags; t++)
            cost += 1 + (strcmp(f->p->tags[t].name, rule->columns[i].tag) == 0 ? f->p->tags[t].nitems : 0);
    return cost;
}

static bool try_rules(struct fit *f, const struct pol_rule **rules, size_t nrules, const struct pol_rule *about) {
    uint64_t cost = 0;
    f->round++;
    f->nfound = 0;
    f->about = about;
    bool ok = find(f, about);
    for (size_t i = 0; i < nrules; i++) cost += cost_of(f, rules[i]);
    qsort(f->found, f->nfound, sizeof *f->found, by_index);
    for (size_t at = 0; ok && at < f->nfound;) ok = look(f, rules, nrules, cost, &at);
    return ok;
}

/* --- rules that do not go together --- */

static bool hashes(const struct pol_rule *r) {
    bool found = r->has_columns && r->others.visibility == POL_MASKED && r->others.mask.kind == POL_M_HASH;
    for (size_t i = 0; i < r->ncolumns; i++)
        found = found || (r->columns[i].visibility == POL_MASKED && r->columns[i].mask.kind == POL_M_HASH);
    return found;
}

static bool names(const struct pol_rule *r, bool group, const char *name) {
    return pol_has_word(r->groups, "*") || pol_has_word(r->principals, "*") || pol_has_word(group ? r->groups : r->principals, name);
}

/* Who is called so, or all who are in the group, with every rule about them. */
static bool try_name(struct fit *f, const struct pol_rule *hash, bool group, const char *name, const struct pol_rule **rules) {
    size_t n = 0;
    bool writes = false;
    for (size_t i = 0; i < f->p->nrules; i++) {
        const struct pol_rule *r = &f->p->rules[i];
        if (!is_here(f, r) || !names(r, group, name)) continue;
        rules[n++] = r;
        writes = writes || (r != hash && r->write != NULL);
    }
    bool ok = spend(f, f->p->nrules);
    if (writes && ok && names(hash, group, name)) ok = try_rules(f, rules, n, hash);
    return ok;
}

static bool try_names(struct fit *f, const struct pol_rule *hash, const struct pol_rule *of, const struct pol_rule **rules) {
    bool ok = true;
    for (int group = 0; group < 2; group++)
        for (const char *const *n = group ? of->groups : of->principals; ok && f->ntold == 0 && n != NULL && *n != NULL; n++)
            ok = try_name(f, hash, group, *n, rules);
    return ok;
}

static bool try_together(struct fit *f, const struct pol_rule *hash) {
    const struct pol_rule **rules = calloc(f->p->nrules + 1, sizeof(const struct pol_rule *));
    bool ok = rules != NULL;
    if (!ok) f->no_memory = true;
    f->together = true;
    ok = ok && try_names(f, hash, hash, rules);
    for (size_t i = 0; ok && f->ntold == 0 && i < f->p->nrules; i++)
        if (&f->p->rules[i] != hash && f->p->rules[i].write != NULL && is_here(f, &f->p->rules[i]))
            ok = try_names(f, hash, &f->p->rules[i], rules);
    f->together = false;
    free(rules);
    return ok;
}

enum pol_fit pol_policy_fit(struct pol_policy *p, const char *database, struct pol_catalog *cat, bool assume_hash, uint64_t steps,
                            void (*told)(void *arg, const struct pol_misfit *m), void *arg) {
    struct fit f = {.p = p,
                    .cat = cat,
                    .database = database,
                    .mysql = pol_catalog_engine(cat) != POL_CAT_POSTGRESQL,
                    .assume_hash = assume_hash,
                    .bounded = steps != 0,
                    .steps = steps,
                    .tell = told,
                    .arg = arg};
    bool ok = index_catalog(&f);
    f.no_memory = !ok;
    for (size_t i = 0; ok && i < p->nrules; i++) {
        const struct pol_rule *rule = &p->rules[i];
        if (!is_here(&f, rule)) continue;
        ok = try_rules(&f, &rule, 1, rule);
        bool alone = f.ntold > 0;
        if (ok && !alone && hashes(rule)) ok = try_together(&f, rule);
        tell(&f, !f.no_memory);
    }
    tell(&f, false);
    free(f.sorted);
    free(f.children);
    free(f.mark);
    free(f.found);
    return f.no_memory ? POL_FIT_NO_MEMORY : ok ? POL_FIT_WHOLE : POL_FIT_CUT;
}

void pol_misfit_words(const struct pol_misfit *m, char *out, size_t size) {
    char more[60] = "", near[100] = "";
    if (m->more > 0) snprintf(more, sizeof more, " and %zu more relation%s", m->more, m->more == 1 ? "" : "s");
    if (m->meant != NULL) snprintf(near, sizeof near, "; did you mean \"%.64s\"?", m->meant);
    snprintf(out, size, "the rule \"%.64s\" makes %.64s.%.64s%s unusable for whom it is about: %s%s", m->rule, m->relation->schema,
             m->relation->name, more, m->problem, near);
    pol_utf8_tidy(out);
}

/* In the text of a filter a claim stands between two marks. */
static void claims_of(const struct pol_rule *rule, pol_claim_fn each, void *arg) {
    const char *at = rule->rows != NULL ? strchr(rule->rows->sql, POL_T_CLAIM) : NULL, *end;
    for (; at != NULL && (end = strchr(at + 1, POL_T_CLAIM)) != NULL; at = strchr(end + 1, POL_T_CLAIM)) {
        char *name = strndup(at + 1, (size_t)(end - at) - 1);
        if (name != NULL) each(arg, rule->name, name);
        free(name);
    }
}

void pol_policy_claims(const struct pol_policy *p, pol_claim_fn each, void *arg) {
    for (size_t i = 0; i < p->nrules; i++) claims_of(&p->rules[i], each, arg);
}

void pol_role_claims(const struct pol_role *r, pol_claim_fn each, void *arg) {
    for (size_t i = 0; i < r->nrules; i++) claims_of(r->rules[i], each, arg);
}

bool pol_policy_restricts(const struct pol_policy *p, const char *database) {
    const struct fit f = {.database = database};
    for (size_t i = 0; i < p->nrules; i++)
        if (is_here(&f, &p->rules[i])) return true;
    return false;
}
