/* The part of the verdict that is about what rules hide: what may be done to a relation of which a role sees less than all, and what rules ask of a
 * statement besides. */
#include "policy/my_reference.h"
#include "policy/pg_catalog.h"
#include "policy/policy_int.h"
#include "policy/text.h"

#include <string.h>

/* These are about all rows: two remove them, one counts them (VACUUM VERBOSE). */
#define FOR_ALL_ROWS ((unsigned)(POL_TRUNCATE | POL_DROP | POL_MAINTAIN))
/* What the rewriter knows how to bound, and what tells nothing of the rows. */
#define BOUNDED (POL_SELECT | POL_INSERT | POL_UPDATE | POL_DELETE | POL_LOCK | POL_MAINTAIN | POL_TRUNCATE | POL_DROP)

/* Of those that hide something: the one that speaks of the relation, else the first. */
static const struct pol_rule *hider(const struct pol_role *r, const struct pol_relation *rel) {
    for (size_t i = 0; i < r->nrules; i++) {
        if (!pol_rule_restricts(r->rules[i])) continue;
        if (rel->schema != NULL && pol_rule_is_about(r->rules[i], r->pins.mysql, rel->schema, rel->name)) return r->rules[i];
        for (size_t k = 0; rel->schema == NULL && k < r->pins.nsearch_path; k++)
            if (pol_rule_is_about(r->rules[i], r->pins.mysql, r->pins.search_path[k], rel->name)) return r->rules[i];
    }
    return r->hides;
}

static bool no_catalog(const struct pol_role *r, const struct pol_relation *rel, struct pol_verdict *v) {
    const char *rule = hider(r, rel)->name;
    pol_refuse(v, "57P03", rule);
    pol_say(v->detail, sizeof v->detail,
            "The rule \"%.200s\" hides columns or rows of some relations; which columns there are, and which tables are partitions of "
            "which, is in the catalog.",
            rule);
    if (r->offline) {
        pol_say(v->message, sizeof v->message, "without a catalog it cannot be said what rules with columns or rows leave of %.70s",
                rel->name);
        pol_say(v->hint, sizeof v->hint,
                "Write the catalog into a file, with \"gatehousectl catalog --config FILE --database NAME >FILE\", and give that file: "
                "--catalog FILE, or catalog: FILE in a file of tests.");
        return false;
    }
    pol_say(v->message, sizeof v->message, "%.70s cannot be used yet: the database's catalog has not been read", rel->name);
    pol_say(v->hint, sizeof v->hint, "Try again in a moment. Whoever runs the gate finds the reason in its log.");
    return false;
}

static bool unknown(const struct pol_role *r, const struct pol_relation *rel, struct pol_verdict *v) {
    pol_refuse(v, "42P01", NULL);
    pol_say(v->message, sizeof v->message, "relation \"%.64s%s%.64s\" does not exist, as far as the gate has read the catalog",
            rel->schema != NULL ? rel->schema : "", rel->schema != NULL ? "." : "", rel->name);
    pol_say(v->detail, sizeof v->detail,
            "Rules hide columns or rows from you, and what is hidden of a relation is known only when it is in the catalog that was read.");
    static const char again[] = "If it was made just now, try again in a moment.";
    if (r->pins.mysql)
        pol_say(v->hint, sizeof v->hint, "%s", again);
    else
        pol_say(v->hint, sizeof v->hint, "%s A temporary table is written pg_temp.%.64s.", again, rel->name);
    return false;
}

/* Everything but what the rewriter bounds: ALTER .. USING, an index on an expression, a rename, a view or a grant would lead around it. */
static bool check_access(const struct pol_view *view, bool mysql, const struct pol_relation *rel, struct pol_verdict *v) {
    unsigned bounded = view->filter != NULL ? BOUNDED & ~FOR_ALL_ROWS : BOUNDED;
    if (mysql) bounded &= ~(unsigned)POL_MAINTAIN; /* CHECKSUM TABLE tells of every value: guesses can be held against it */
    unsigned more = rel->access & ~bounded;
    if (view->problem != NULL) {
        pol_refuse(v, "42501", view->rule);
        pol_say(v->message, sizeof v->message, "%.64s.%.64s cannot be used: the policy does not fit it", view->relation->schema,
                view->relation->name);
        pol_say(v->detail, sizeof v->detail, "%s.", view->problem);
        pol_say(v->hint, sizeof v->hint, "Ask whoever keeps the policy to correct the rule.");
        return false;
    }
    if (more == 0) return true;
    pol_refuse(v, "42501", view->rule);
    pol_say(v->message, sizeof v->message, "%s on %.64s.%.64s is not allowed by the policy: you do not see all of it",
            pol_action_name(more & (~more + 1u)), view->relation->schema, view->relation->name);
    pol_say(v->detail, sizeof v->detail,
            "The rule \"%.200s\" hides columns or rows of it; this could show them, or remove rows that you may not see.", view->rule);
    return false;
}

static bool check_relation(const struct pol_role *r, const struct pol_cat_relation *cat, const struct pol_relation *rel,
                           struct pol_verdict *v) {
    bool failed;
    const struct pol_view *view = pol_role_view(r, cat, &failed);
    if (failed) {
        pol_refuse(v, "53200", NULL);
        pol_say(v->message, sizeof v->message, "out of memory");
        return false;
    }
    if (view == NULL) return true;
    if (!check_access(view, r->pins.mysql, rel, v)) return false;
    if (rel->access & (POL_SELECT | POL_INSERT | POL_UPDATE | POL_DELETE)) {
        if (!r->rewrites) {
            pol_refuse(v, "42501", view->rule);
            pol_say(v->message, sizeof v->message,
                    "%.64s.%.64s cannot be used here: what the policy hides of it cannot be taken out at this place", cat->schema,
                    cat->name);
            return false;
        }
        v->rewrite = true;
    }
    return true;
}

static bool check_temp_name(const struct pol_role *r, const struct pol_relation *rel, struct pol_verdict *v) {
    bool failed;
    for (size_t i = 0; i < r->pins.nsearch_path; i++) {
        const struct pol_cat_relation *cat = pol_catalog_relation(r->catalog, r->pins.search_path[i], rel->name);
        const struct pol_view *view = cat != NULL ? pol_role_view(r, cat, &failed) : NULL;
        if (view == NULL) continue;
        pol_refuse(v, "42501", view->rule);
        pol_say(v->message, sizeof v->message,
                "a temporary table may not be called %.64s: it would stand in front of %.64s.%.64s, of which you do not see all", rel->name,
                cat->schema, cat->name);
        pol_say(v->hint, sizeof v->hint, "Choose another name.");
        return false;
    }
    return true;
}

static bool names_system(const struct pol_role *r, const struct pol_relation *rel) {
    for (size_t i = 0; i < r->nrules; i++)
        if (pol_rule_restricts(r->rules[i]) &&
            pol_rule_is_about(r->rules[i], r->pins.mysql, rel->schema != NULL ? rel->schema : "pg_catalog", rel->name))
            return true;
    return false;
}

static bool not_read(const struct pol_relation *rel, struct pol_verdict *v) {
    pol_refuse(v, "42501", NULL);
    pol_say(v->message, sizeof v->message, "%.64s.%.64s cannot be used: a rule hides a part of it from you", rel->schema, rel->name);
    pol_say(v->detail, sizeof v->detail,
            "The catalog of the server's own schemas is not read, so nothing in them can be hidden by columns or rows.");
    pol_say(v->hint, sizeof v->hint, "Ask whoever keeps the policy to deny it, or to allow it as a whole.");
    return false;
}

/* The keys of hashes, and whatever else stands in the gate's own schema. */
static bool check_own(const struct pol_role *r, const struct pol_relation *rel, struct pol_verdict *v) {
    bool own = rel->schema != NULL && pol_own_schema(r->pins.mysql, rel->schema);
    for (size_t i = 0; rel->schema == NULL && i < r->pins.nsearch_path; i++)
        own = own || (strcmp(r->pins.search_path[i], POL_OWN_SCHEMA) == 0 &&
                      (r->catalog == NULL || pol_catalog_relation(r->catalog, POL_OWN_SCHEMA, rel->name) != NULL));
    if (!own) return true;
    pol_refuse(v, "42501", r->hides->name);
    pol_say(v->message, sizeof v->message, POL_OWN_SCHEMA ".%.64s is not for those from whom something is hidden", rel->name);
    pol_say(v->detail, sizeof v->detail, "The schema holds the keys of masks.");
    return false;
}

/* MySQL has no schema of their own for them: see doc/mysql-language.md. */
static bool no_temporary(const struct pol_role *r, const struct pol_relation *rel, struct pol_verdict *v) {
    pol_refuse(v, "42501", r->hides->name);
    pol_say(v->message, sizeof v->message, "the temporary table %.64s cannot be made: rules hide columns or rows from you", rel->name);
    pol_say(v->detail, sizeof v->detail,
            "It would stand in front of whatever has that name, now or later, and what the name means could not be told.");
    pol_say(v->hint, sizeof v->hint,
            "Use WITH name AS (SELECT ...) or a subselect, or an ordinary table in a place that a rule gives you (allow: [select, insert, "
            "create, drop]).");
    return false;
}

/* What the server has counted, planned or said, of hidden rows and values, too. */
static bool no_telling(const struct pol_role *r, const struct pol_relation *rel, struct pol_verdict *v) {
    pol_refuse(v, "42501", r->hides->name);
    pol_say(v->message, sizeof v->message, "%.64s.%.64s is not for those from whom something is hidden", rel->schema, rel->name);
    pol_say(
        v->detail, sizeof v->detail,
        "It has what the server counted, planned or said when it read, hidden rows and values, too, and the rule \"%.200s\" hides some.",
        r->hides->name);
    bool variables = strcmp(rel->name, "session_variables") == 0 || strcmp(rel->name, "system_variables") == 0;
    pol_say(v->hint, sizeof v->hint, "%s",
            variables ? "SHOW VARIABLES LIKE 'name' shows one variable." : "Ask who keeps the policy, or a colleague who sees all of it.");
    return false;
}

bool pol_check_restricted(const struct pol_role *r, const struct pol_relation *rel, struct pol_verdict *v) {
    bool found = false;
    if (!r->restricts) return true;
    if (!check_own(r, rel, v)) return false;
    if (r->pins.mysql && rel->schema != NULL && my_catalog_tells(rel->schema, rel->name)) return no_telling(r, rel, v);
    if (r->pins.mysql && (rel->access & POL_TEMP) != 0) return no_temporary(r, rel, v);
    if (rel->schema != NULL && strcmp(rel->schema, "pg_temp") == 0)
        return r->catalog == NULL ? no_catalog(r, rel, v) : check_temp_name(r, rel, v);
    bool system = rel->schema != NULL ? pol_role_system(r, rel->schema) : rel->catalog && pg_catalog_relation(rel->name);
    if (r->catalog == NULL) return (system && !names_system(r, rel)) || no_catalog(r, rel, v);
    for (size_t i = 0; rel->schema == NULL && !system && i < r->pins.nsearch_path; i++) {
        const struct pol_cat_relation *cat = pol_catalog_relation(r->catalog, r->pins.search_path[i], rel->name);
        if (cat == NULL) continue;
        found = true;
        if (!check_relation(r, cat, rel, v)) return false;
    }
    if (rel->schema != NULL || system) {
        const struct pol_cat_relation *cat = pol_catalog_relation(r->catalog, rel->schema != NULL ? rel->schema : "pg_catalog", rel->name);
        found = cat != NULL || system; /* what is PostgreSQL's own and not in the catalog (toast tables) needs its own rule */
        if (cat != NULL && !check_relation(r, cat, rel, v)) return false;
        if (cat == NULL && r->pins.mysql && system && names_system(r, rel)) return not_read(rel, v);
    }
    return found || (rel->access & ~(unsigned)POL_CREATE) == 0 || unknown(r, rel, v);
}

/* A file or program of the server's can hold, or read, whatever the database does. */
bool pol_check_files(const struct pol_role *r, const struct pol_stmt *s, struct pol_verdict *v) {
    if (!r->restricts || (s->actions & POL_FILES) == 0) return true;
    pol_refuse(v, "42501", r->wall->name);
    pol_say(v->message, sizeof v->message,
            "%.40s with a file or program of the server is not allowed by the policy: you do not see everything", s->tag);
    pol_say(v->detail, sizeof v->detail, "It could reach what the rule \"%.200s\" %s.", r->wall->name, r->wall->deny ? "denies" : "hides");
    pol_say(v->hint, sizeof v->hint, "Use COPY FROM STDIN or TO STDOUT.");
    return false;
}

/* --- MySQL: counting and locking rows --- */

bool pol_role_counts(const struct pol_role *r) { return !r->restricts; }

static bool grants(const struct pol_role *r, unsigned actions) {
    for (size_t i = 0; i < r->nrules; i++)
        if (!r->rules[i]->deny && (r->rules[i]->actions & actions) != 0) return true;
    return false;
}

static bool counting_setting(const struct pol_role *r, const struct pol_setting *s, struct pol_verdict *v) {
    if (strcmp(s->name, "sql_safe_updates") == 0 && !grants(r, POL_UPDATE | POL_DELETE)) return true; /* it is about nothing else */
    pol_refuse(v, "42501", r->wall->name);
    pol_say(v->message, sizeof v->message, "the setting %.80s may not be changed by you: rules hide columns or rows from you", s->name);
    pol_say(v->detail, sizeof v->detail,
            "By it the server refuses statements that would read too many rows, and it counts hidden ones, too.");
    bool big = strcmp(s->name, "sql_big_selects") == 0, safe = strcmp(s->name, "sql_safe_updates") == 0;
    if (big || safe)
        pol_say(v->hint, sizeof v->hint, "Only SET %s = %s is possible.", s->name, big ? "1" : "0");
    else
        pol_say(v->hint, sizeof v->hint, "Leave it out. To get fewer rows, write LIMIT n, or SET sql_select_limit = n.");
    return false;
}

static bool serializable(const struct pol_role *r, struct pol_verdict *v) {
    pol_refuse(v, "42501", r->wall->name);
    pol_say(v->message, sizeof v->message, "the isolation level SERIALIZABLE is not for those from whom something is hidden");
    pol_say(v->detail, sizeof v->detail,
            "In it each SELECT locks the rows that it reads, hidden ones, too, and the rule \"%.200s\" hides some.", r->wall->name);
    pol_say(v->hint, sizeof v->hint, "Use REPEATABLE READ, in which a transaction reads from one snapshot as well.");
    return false;
}

bool pol_check_counting(const struct pol_role *r, const struct pol_stmt *s, struct pol_verdict *v) {
    if (!r->pins.mysql) return true;
    if (s->counts_rows && r->restricts) {
        pol_refuse(v, "42501", r->wall->name);
        pol_say(v->message, sizeof v->message, "LIMIT ROWS EXAMINED is not for those from whom something is hidden");
        pol_say(v->detail, sizeof v->detail,
                "The rows that it counts are those that the server reads, hidden ones, too: the rule \"%.200s\" hides some.",
                r->wall->name);
        pol_say(v->hint, sizeof v->hint, "Write LIMIT n, which counts the rows of the result.");
        return false;
    }
    if (s->counts_rows && s->kind == POL_K_PREPARE) v->counts = true;
    for (size_t i = 0; i < s->nsettings; i++) {
        const struct pol_setting *t = &s->settings[i];
        if (t->show) continue;
        bool counts = my_setting_counts_rows(t->name, t->value), locks = my_setting_serializable(t->name, t->value);
        if (counts && r->restricts && !counting_setting(r, t, v)) return false;
        if (locks && r->restricts) return serializable(r, v);
        v->counts = v->counts || ((counts || locks) && !r->restricts);
    }
    return true;
}

/* --- what rules ask of a statement --- */

static void least(uint64_t *limit, uint64_t v) {
    if (v != 0 && (*limit == 0 || v < *limit)) *limit = v;
}

/* What PREPARE and DECLARE hold runs by an EXECUTE or FETCH of which one sees nothing, and COPY gives all that it reads. */
static bool selects(const struct pol_stmt *s) {
    return s->kind == POL_K_SELECT || s->kind == POL_K_DECLARE || (s->kind == POL_K_COPY && !s->copy_in) ||
           (s->kind == POL_K_PREPARE && s->reads_only);
}

static bool need(const struct pol_rule *rule, const struct pol_stmt *s, const struct pol_relation *rel, struct pol_verdict *v) {
    if (!rule->need_limit || !selects(s) || (rel->access & POL_SELECT) == 0 || s->limited) return true;
    pol_refuse(v, "42501", rule->name);
    pol_say(v->message, sizeof v->message, "a SELECT from %.70s needs a LIMIT", rel->name);
    pol_say(v->detail, sizeof v->detail, "The rule \"%.200s\" asks for it.", rule->name);
    pol_say(v->hint, sizeof v->hint, "Add a LIMIT with a number, as in LIMIT 100.");
    return false;
}

bool pol_check_rules(const struct pol_role *r, const struct pol_stmt *s, const struct pol_relation *rel, struct pol_verdict *v) {
    for (size_t i = 0; i < r->bounds.n; i++) {
        const struct pol_rule *rule = r->bounds.at[i];
        bool about = rel->schema != NULL && pol_rule_is_about(rule, r->pins.mysql, rel->schema, rel->name);
        for (size_t k = 0; rel->schema == NULL && k < r->pins.nsearch_path; k++)
            about = about || pol_rule_is_about(rule, r->pins.mysql, r->pins.search_path[k], rel->name);
        if (!about) continue;
        least(&v->limits.rows, rule->limits.rows);
        least(&v->limits.bytes, rule->limits.bytes);
        least(&v->limits.ms, rule->limits.ms);
        if (rule->record > v->limits.record) v->limits.record = rule->record;
        if (!need(rule, s, rel, v)) return false;
    }
    return true;
}

static bool turns_writing_on(const struct pol_setting *s) {
    static const char *const on[] = {"1", "on", "t", "true", "y", "yes"};
    if (s->show || (strcmp(s->name, "transaction_read_only") != 0 && strcmp(s->name, "default_transaction_read_only") != 0)) return false;
    if (s->value == NULL) return false; /* RESET goes back to what the session began with */
    for (size_t i = 0; i < sizeof on / sizeof *on; i++)
        if (strcmp(s->value, on[i]) == 0) return false;
    return true;
}

bool pol_check_read_only(const struct pol_role *r, const struct pol_stmt *s, struct pol_verdict *v) {
    if (!r->read_only) return true;
    bool writes = !s->reads_only && s->kind != POL_K_EXECUTE; /* what EXECUTE runs was judged when it was prepared */
    for (size_t i = 0; i < s->nsettings; i++) writes = writes || turns_writing_on(&s->settings[i]);
    if (!writes) return true;
    const struct pol_rule *rule = r->rules[0];
    for (size_t i = 0; i < r->nrules; i++)
        if (r->rules[i]->read_only) rule = r->rules[i];
    pol_refuse(v, "25006", rule->name);
    pol_say(v->message, sizeof v->message, "%.60s is not allowed by the policy: you may only read", s->tag);
    pol_say(v->detail, sizeof v->detail, "The rule \"%.200s\" is read_only.", rule->name);
    return false;
}
