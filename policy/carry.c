/* The part of the verdict that is about what a statement makes and what lasts. A view reads and writes with the rights of the gate's role, for whoever may use it:
 * what is asked, limited or timed where it reads would not be there any more, and what was never granted would be. A relation under another name is under other rules. */
#include "policy/pg_catalog.h"
#include "policy/policy_int.h"
#include "policy/text.h"

#include <string.h>

#define DATA ((unsigned)(POL_SELECT | POL_INSERT | POL_UPDATE | POL_DELETE))

/* --- the relations that a name may mean --- */

struct names {
    const char *schemas[2];
    const char *const *path;
    size_t n;
};

static struct names names_of(const struct pol_role *r, const struct pol_relation *rel) {
    struct names n = {.schemas = {rel->schema, NULL}, .path = NULL, .n = 1};
    if (rel->schema != NULL) return n;
    if (rel->catalog && pg_catalog_relation(rel->name) && (rel->access & POL_CREATE) == 0) {
        n.schemas[0] = "pg_catalog";
        return n;
    }
    n.path = r->pins.search_path;
    n.n = r->pins.nsearch_path;
    return n;
}

static const char *schema_at(const struct names *n, size_t i) { return n->path != NULL ? n->path[i] : n->schemas[i]; }

/* --- what is granted and nothing else is said of --- */

static bool is_about(const struct pol_role *r, const struct pol_rule *rule, const char *schema, const char *name) {
    bool all = rule->deny || (r->wall == NULL && rule->everything && rule->actions == POL_ALL_ACTIONS);
    for (size_t i = 0; i < rule->non; i++) {
        if (!all && strchr(rule->on[i].schema, '*') != NULL && pol_role_system(r, schema)) continue;
        if (pol_matches(&rule->on[i], schema, name)) return true;
    }
    return false;
}

/* A rule that would be walked around: it denies (at whatever time), asks, or is kept by looking at each statement. */
static bool has_terms(const struct pol_rule *rule, unsigned need) {
    if (rule->deny || rule->ask) return (rule->actions & need) != 0;
    if (rule->where && (rule->actions & need & (POL_UPDATE | POL_DELETE)) != 0) return true;
    return (need & POL_SELECT) != 0 && (rule->actions & DATA) != 0 && (pol_rule_bounds(rule) || pol_rule_restricts(rule));
}

bool pol_rule_is_plain(const struct pol_rule *rule) { return !rule->deny && !rule->ask && rule->times == NULL; }

/* The actions that rules grant always; *terms: a rule that has terms for what is needed. */
static unsigned plainly(const struct pol_role *r, const char *schema, const char *name, unsigned need, const struct pol_rule **terms) {
    unsigned granted = pol_open_catalog(r, schema, name) ? POL_SELECT : 0u;
    *terms = NULL;
    for (size_t i = 0; i < r->nrules; i++) {
        const struct pol_rule *rule = r->rules[i];
        if (!is_about(r, rule, schema, name)) continue;
        if (has_terms(rule, need) && *terms == NULL) *terms = rule;
        if (pol_rule_is_plain(rule)) granted |= rule->actions;
    }
    return granted;
}

/* --- refusing --- */

struct why {
    const char *message, *detail, *hint;
};
static const struct why kept = {
    "it would last, and be used without the policy's asking what you may do there",
    "Whoever may use it reads and writes there with the rights of the gate's own role",
    "Use WITH name AS (SELECT ...) or a subselect, or make a copy: CREATE TABLE name AS SELECT ... Else ask somebody who may do everything "
    "there.",
};
static const struct why moved = {
    "other rules would be about its rows then",
    "Whoever may use the other name could do with it what that name's rules allow",
    "Choose a place for which the same rules hold, or ask somebody who may do everything there.",
};

static bool refuse(const struct pol_stmt *s, const struct why *why, const char *schema, const char *name, unsigned need, unsigned lacks,
                   const struct pol_rule *terms, struct pol_verdict *v) {
    char list[160], lacking[160];
    pol_action_words(need, list, sizeof list);
    pol_action_words(lacks, lacking, sizeof lacking);
    pol_refuse(v, "42501", terms != NULL ? terms->name : NULL);
    pol_say(v->message, sizeof v->message, "%.40s is not allowed by the policy on %.64s.%.64s: %s", s->tag, schema, name, why->message);
    if (lacks != 0)
        pol_say(v->detail, sizeof v->detail, "%s: so it needs %s there, always and without conditions, and no rule allows you %s so.",
                why->detail, list, lacking);
    else
        pol_say(v->detail, sizeof v->detail,
                "%s: so it needs %s there, without conditions, and those of the rule \"%.200s\" (%s) would not hold any more.", why->detail,
                list, terms->name,
                terms->deny  ? "deny"
                : terms->ask ? "ask"
                             : "limits, require, record, columns or rows");
    pol_say(v->hint, sizeof v->hint, "%s", terms != NULL && terms->hint != NULL ? terms->hint : why->hint);
    return false;
}

static bool has_plainly(const struct pol_role *r, const struct pol_stmt *s, const struct pol_relation *rel, unsigned need,
                        const struct why *why, struct pol_verdict *v) {
    const struct names n = names_of(r, rel);
    for (size_t i = 0; i < n.n; i++) {
        const char *schema = schema_at(&n, i);
        const struct pol_rule *terms;
        if (strcmp(schema, "pg_temp") == 0) continue; /* the session's own; what is below a temporary view was asked when it was made */
        unsigned lacks = need & ~plainly(r, schema, rel->name, need, &terms);
        if (lacks != 0 || terms != NULL) return refuse(s, why, schema, rel->name, need, lacks, terms, v);
    }
    return true;
}

/* --- what lasts --- */

unsigned pol_kept_access(const struct pol_stmt *s, const struct pol_relation *rel) {
    unsigned own = rel->access & DATA;
    return s->keeps && own != 0 ? own | s->carries : 0;
}

bool pol_check_kept(const struct pol_role *r, const struct pol_stmt *s, const struct pol_relation *rel, struct pol_verdict *v) {
    unsigned need = pol_kept_access(s, rel);
    return need == 0 || has_plainly(r, s, rel, need, &kept, v);
}

/* --- other names --- */

static bool matches(const struct pol_pattern *p, size_t n, const char *schema, const char *name) {
    for (size_t i = 0; i < n; i++)
        if (pol_matches(&p[i], schema, name)) return true;
    return false;
}

struct name {
    const char *schema, *name;
};
/* Whatever the policy says of one of these, to anybody, it says of the other. */
static bool alike(const struct pol_role *r, const struct name *a, const struct name *b) {
    const struct pol_policy *p = r->policy;
    if ((strcmp(a->schema, "pg_temp") == 0) != (strcmp(b->schema, "pg_temp") == 0)) return false;
    if (pol_role_system(r, a->schema) != pol_role_system(r, b->schema)) return false;
    for (size_t i = 0; i < p->nrules; i++) {
        const struct pol_rule *rule = &p->rules[i];
        if (pol_rule_here(rule, r->database) &&
            matches(rule->on, rule->non, a->schema, a->name) != matches(rule->on, rule->non, b->schema, b->name))
            return false;
    }
    for (size_t i = 0; i < p->ntags; i++)
        for (size_t k = 0; k < p->tags[i].nitems; k++) {
            const struct pol_pattern *on = &p->tags[i].items[k].relation;
            if (matches(on, 1, a->schema, a->name) != matches(on, 1, b->schema, b->name)) return false;
        }
    return true;
}

bool pol_moves(const struct pol_role *r, const struct pol_stmt *s) {
    struct name first = {NULL, NULL};
    for (size_t i = 0; s->moves && i < s->nrelations; i++) {
        const struct names n = names_of(r, &s->relations[i]);
        for (size_t k = 0; k < n.n; k++) {
            struct name name = {schema_at(&n, k), s->relations[i].name};
            if (first.name == NULL)
                first = name;
            else if (!alike(r, &first, &name))
                return true;
        }
    }
    return false;
}

bool pol_check_moved(const struct pol_role *r, const struct pol_stmt *s, struct pol_verdict *v) {
    if (!pol_moves(r, s)) return true;
    for (size_t i = 0; i < s->nrelations; i++)
        if ((s->relations[i].access & POL_ALTER) && !has_plainly(r, s, &s->relations[i], POL_MOVED, &moved, v)) return false;
    return true;
}

/* Comparisons that the above takes. */
size_t pol_carry_work(const struct pol_role *r, const struct pol_stmt *s) {
    size_t names = r->pins.nsearch_path + 1;
    return (s->keeps ? s->nrelations * names * r->npatterns : 0) +
           (s->moves ? s->nrelations * names * (r->npatterns + r->policy_patterns) : 0);
}
