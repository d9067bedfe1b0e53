/* The verdict: an explicit deny wins; then every access needs a rule that grants it; else denied. What a rule asks about waits for people. */
#include "policy/my_pin.h"
#include "policy/my_reference.h"
#include "policy/pg_catalog.h"
#include "policy/pg_functions.h"
#include "policy/pg_settings.h"
#include "policy/policy_int.h"
#include "policy/text.h"

#include <stdio.h>
#include <string.h>
#include <strings.h>

struct judge {
    const struct pol_role *r;
    const struct pol_stmt *s;
    struct pol_verdict *v;
    bool alone;                   /* it is all of the text */
    const struct pol_rule *lacks; /* a rule that would have a WHERE here */
    const struct pol_rule *off;   /* one that would grant some of it at another time */
    bool asked;                   /* a rule asks about this statement */
    bool many;                    /* more of them than a request holds */
};

#define HINT_RELATIONS 8
#define LONG           100000u /* comparisons of a name with a pattern, of which a millisecond has some 50,000 */

/* --- words --- */

void pol_action_words(unsigned actions, char *out, size_t size) {
    out[0] = '\0';
    if (actions == POL_ALL_ACTIONS) {
        pol_add(out, size, "all");
        return;
    }
    for (unsigned bit = 1; bit <= POL_TEMP; bit <<= 1)
        if (actions & bit) pol_add(out, size, "%s%s", out[0] != '\0' ? ", " : "", pol_action_name(bit));
}

/* "You may use: public.orders (select, update); public.customers (select)." */
static void allowed_hint(const struct pol_role *r, char *out, size_t size) {
    unsigned shown = 0, more = 0;
    char words[160];
    out[0] = '\0';
    for (size_t i = 0; i < r->nrules; i++) {
        const struct pol_rule *rule = r->rules[i];
        for (size_t j = 0; !rule->deny && pol_rule_on(r, rule) && j < rule->non; j++) {
            if (shown >= HINT_RELATIONS) {
                more++;
                continue;
            }
            pol_action_words(rule->actions, words, sizeof words);
            pol_add(out, size, "%s%.64s.%.64s (%s%s)", shown > 0 ? "; " : "Allowed here: ", rule->on[j].schema, rule->on[j].name, words,
                    rule->ask ? ", after approval" : "");
            shown++;
        }
    }
    if (more > 0) pol_add(out, size, "; and %u more", more);
    if (shown > 0)
        pol_add(out, size, ".");
    else
        pol_add(out, size, "No rule allows you any relation of database \"%.60s\".", r->database);
}

struct pol_verdict *pol_refuse(struct pol_verdict *v, const char *sqlstate, const char *rule) {
    v->effect = POL_DENY;
    v->rule = rule != NULL ? rule : "";
    pol_say(v->sqlstate, sizeof v->sqlstate, "%s", sqlstate);
    v->message[0] = v->detail[0] = v->hint[0] = '\0';
    return v;
}

static struct pol_verdict *refuse(struct judge *j, const char *sqlstate, const struct pol_rule *rule) {
    struct pol_verdict *v = pol_refuse(j->v, sqlstate, rule != NULL ? rule->name : NULL);
    if (rule != NULL && rule->hint != NULL)
        pol_add(v->hint, sizeof v->hint, "%s", rule->hint);
    else
        allowed_hint(j->r, v->hint, sizeof v->hint);
    return v;
}

static bool denied_by(struct judge *j, const struct pol_rule *rule, const char *action, const char *what) {
    struct pol_verdict *v = refuse(j, "42501", rule);
    pol_add(v->message, sizeof v->message, "%s on %s is denied by the policy: %s", action, what, rule->reason);
    pol_add(v->detail, sizeof v->detail, "The rule \"%.200s\" denies it.", rule->name);
    return false;
}

static bool not_granted(struct judge *j, const char *action, const char *what) {
    struct pol_verdict *v = refuse(j, "42501", NULL);
    pol_add(v->message, sizeof v->message, "%s on %s is not allowed by the policy", action, what);
    pol_add(v->detail, sizeof v->detail, "No rule allows %s on %s to you on database \"%.60s\".", action, what, j->r->database);
    if (j->off == NULL) return false;
    char times[300];
    pol_times_words(j->off->times, j->off->ntimes, times, sizeof times);
    v->detail[0] = '\0';
    pol_add(v->detail, sizeof v->detail, "No rule allows it now; the rule \"%.200s\" does at other times: %s.", j->off->name, times);
    return false;
}

/* --- asking --- */

static void ask_by(struct judge *j, const struct pol_rule *rule) {
    struct pol_ask *a = &j->v->ask;
    j->asked = true;
    for (size_t i = 0; i < a->n; i++)
        if (a->by[i].rule == rule->name) return;
    if (a->n == POL_ASKS) {
        j->many = true;
        return;
    }
    a->by[a->n].rule = rule->name;
    a->by[a->n].approvers = rule->approvers;
    a->by[a->n].quorum = rule->quorum;
    a->by[a->n].grant_ms = rule->grant_ms;
    a->by[a->n].grant_scope = rule->grant_scope;
    a->by[a->n].glass_ms = pol_rule_glass(j->r, rule) ? rule->glass_ms : 0;
    bool first = a->n++ == 0;
    if (first || rule->expires_ms < a->expires_ms) a->expires_ms = rule->expires_ms;
    if (first || rule->window_ms < a->window_ms) a->window_ms = rule->window_ms;
    if (first || rule->wait_ms < a->wait_ms) a->wait_ms = rule->wait_ms;
    a->justify = a->justify || rule->justify;
}

/* What cannot be seen into may do whatever any of them asks about; with actions: those that ask about one of these, on whatever. */
static void ask_all(struct judge *j, unsigned actions) {
    for (size_t i = 0; i < j->r->asking.n; i++)
        if (pol_rule_on(j->r, j->r->asking.at[i]) && (j->r->asking.at[i]->actions & actions)) ask_by(j, j->r->asking.at[i]);
}

/* Actions that are about no relation in the text, whatever "on" says: DROP SCHEMA may take any relation along. Who writes "all" on some relations
 * does not mean settings, files and the like: see find_rules(). */
static void ask_actions(struct judge *j, unsigned actions) {
    for (size_t i = 0; i < j->r->asking.n; i++) {
        const struct pol_rule *rule = j->r->asking.at[i];
        bool all_on_some = rule->actions == POL_ALL_ACTIONS && !rule->everything;
        unsigned mask = all_on_some ? ~(unsigned)POL_UNBOUND | POL_TEMP : ~0u;
        if (pol_rule_on(j->r, rule) && (rule->actions & actions & mask)) ask_by(j, rule);
    }
}

/* --- relations --- */

/* "*.*" of an ordinary rule means the users' own schemas: PostgreSQL's (pg_catalog, pg_toast, ...) must be written out, unless all is allowed and
 * nothing denied: pg_stats and pg_toast hold what other relations hold. */
static bool grants(const struct pol_role *r, const struct pol_entry *e, const char *schema) {
    if (e->rule->deny) return false;
    if (r->wall == NULL && e->rule->everything && e->rule->actions == POL_ALL_ACTIONS) return true;
    return !pol_role_system(r, schema) || strchr(e->pattern->schema, '*') == NULL;
}

/* One pattern's share in the actions granted, in the first rule that denies, and in those that ask. */
static void count_entry(struct judge *j, const struct pol_entry *e, const char *schema, const char *name, unsigned wanted,
                        unsigned *granted, const struct pol_rule **deny) {
    const struct pol_rule *rule = e->rule;
    bool on = pol_rule_on(j->r, rule);
    if (!pol_matches(e->pattern, schema, name)) return;
    if (grants(j->r, e, schema)) {
        if (on) *granted |= rule->actions;
        if (!on && (rule->actions & wanted) && j->off == NULL) j->off = rule;
        if (on && rule->ask && (rule->actions & wanted)) ask_by(j, rule);
        if (rule->where && j->s->unbounded && (rule->actions & wanted & (POL_UPDATE | POL_DELETE)) && j->lacks == NULL) j->lacks = rule;
    } else if (on && e->rule->deny && (e->rule->actions & wanted) && (*deny == NULL || e->rule < *deny))
        *deny = e->rule;
}

/* The actions that rules grant on schema.name, and the first rule that denies one of wanted. */
static unsigned rules_on(struct judge *j, const char *schema, const char *name, unsigned wanted, const struct pol_rule **deny) {
    const struct pol_role *r = j->r;
    unsigned granted = 0;
    *deny = NULL;
    for (uint32_t at = r->slots[pol_name_hash(schema, name) & (r->nslots - 1)]; at != 0; at = r->exact[at - 1].next)
        count_entry(j, &r->exact[at - 1], schema, name, wanted, &granted, deny);
    struct pol_glob_at at = pol_glob_begin(r, schema);
    for (const struct pol_entry *e; (e = pol_glob_next(r, &at)) != NULL;) count_entry(j, e, schema, name, wanted, &granted, deny);
    return granted;
}

static const struct pol_rule *first_denial(const struct pol_role *r, unsigned actions) {
    for (size_t i = 0; actions != 0 && i < r->denials.n; i++) {
        const struct pol_rule *rule = r->denials.at[i];
        /* a denial on some relations denies nothing that is about none */
        unsigned mask = rule->everything ? rule->actions : rule->non == 0 ? rule->actions & POL_UNBOUND : 0u;
        if (pol_rule_on(r, rule) && (mask & actions)) return rule;
    }
    return NULL;
}

static bool any_now(const struct pol_role *r) {
    for (size_t i = 0; i < r->nrules; i++)
        if (!r->rules[i]->deny && pol_rule_on(r, r->rules[i])) return true;
    return false;
}

bool pol_open_catalog(const struct pol_role *r, const char *schema, const char *name) {
    if (r->pins.mysql) return my_catalog_open(schema, name);
    if (strcmp(schema, "pg_catalog") == 0) return pg_catalog_harmless(name);
    return strcmp(schema, "information_schema") == 0 && pg_information_schema_harmless(name);
}

static unsigned lowest(unsigned bits) { return bits & (~bits + 1u); }

#define FULL_NAME 160
static const char *full_name(char out[FULL_NAME], const char *schema, const char *name) {
    snprintf(out, FULL_NAME, "%.70s.%.70s", schema, name);
    return out;
}

/* Always, now, and without asking. */
static bool may_read(const struct pol_role *r, const char *schema, const char *name) {
    bool granted = false;
    for (size_t i = 0; i < r->nrules; i++) {
        const struct pol_rule *rule = r->rules[i];
        if ((rule->actions & POL_SELECT) == 0 || rule->ask || !pol_rule_on(r, rule)) continue;
        for (size_t k = 0; k < rule->non; k++) {
            const struct pol_entry e = {.rule = rule, .pattern = &rule->on[k]};
            if (!pol_matches(&rule->on[k], schema, name)) continue;
            if (rule->deny) return false;
            granted = granted || grants(r, &e, schema);
        }
    }
    return granted;
}

static bool judge_candidate(struct judge *j, const struct pol_relation *rel, const char *schema) {
    const struct pol_rule *deny;
    char what[FULL_NAME];
    j->off = NULL;
    if (strcmp(schema, "pg_temp") == 0) {
        const struct pol_rule *no_temp = first_denial(j->r, POL_TEMP);
        if (no_temp != NULL) return denied_by(j, no_temp, "temp", full_name(what, schema, rel->name));
        ask_actions(j, POL_TEMP);
        if (j->r->unbound & POL_TEMP) return true;
        return not_granted(j, "temp", full_name(what, schema, rel->name));
    }
    if (strcmp(schema, "pg_catalog") == 0 && strcmp(rel->name, "pg_settings") == 0 && (rel->access & ~(unsigned)POL_SELECT)) {
        struct pol_verdict *v = refuse(j, "42501", NULL); /* a rule of the view makes set_config() of it, for any setting */
        pol_add(v->message, sizeof v->message, "settings may not be changed through pg_settings");
        pol_add(v->detail, sizeof v->detail, "Some are pinned, and the text does not say which one it is about.");
        v->hint[0] = '\0';
        pol_add(v->hint, sizeof v->hint, "Write SET name = value.");
        return false;
    }
    unsigned granted = rules_on(j, schema, rel->name, rel->access, &deny);
    if (deny != NULL) return denied_by(j, deny, pol_action_name(lowest(rel->access & deny->actions)), full_name(what, schema, rel->name));
    bool named_settings = rel->named_rows && strcmp(schema, "pg_catalog") == 0 && strcmp(rel->name, "pg_settings") == 0;
    bool open = (named_settings || pol_open_catalog(j->r, schema, rel->name)) && any_now(j->r);
    if (open) granted |= POL_SELECT;
    /* Stored data under another name (pg_toast), or the catalog itself, which a write turns into anything. */
    if (pol_role_system(j->r, schema) && (!open || (rel->access & ~(unsigned)POL_SELECT)))
        ask_all(j, rel->access & ~(unsigned)POL_SELECT ? POL_ALL_ACTIONS : POL_SELECT);
    if ((rel->access & ~granted) == 0) {
        bool changes = !j->r->pins.mysql && (rel->access & (POL_UPDATE | POL_DELETE)) != 0 && (rel->access & POL_SELECT) == 0;
        j->v->blind = j->v->blind || (changes && !may_read(j->r, schema, rel->name));
        return true;
    }
    return not_granted(j, pol_action_name(lowest(rel->access & ~granted)), full_name(what, schema, rel->name));
}

/* An unqualified name may be any schema's of the search_path: all must be granted, and one denial is enough. */
static bool judge_relation(struct judge *j, const struct pol_relation *rel) {
    if (rel->schema != NULL) return judge_candidate(j, rel, rel->schema);
    if (rel->catalog) {
        if (!judge_candidate(j, rel, "pg_catalog")) return false;
        if (pg_catalog_relation(rel->name) && (rel->access & POL_CREATE) == 0) return true; /* pg_catalog has it, and is searched first */
    }
    if (j->r->pins.nsearch_path == 0) {
        not_granted(j, pol_action_name(lowest(rel->access)), rel->name);
        snprintf(j->v->hint, sizeof j->v->hint, "%s", "The search_path is empty: write schema.name.");
        return false;
    }
    for (size_t i = 0; i < j->r->pins.nsearch_path; i++)
        if (!judge_candidate(j, rel, j->r->pins.search_path[i])) return false;
    return true;
}

/* --- functions --- */

/* A right to everything covers every function, unless a denial says that something is not covered: query_to_xml('SELECT ..') would reach it. */
static bool all_granted(const struct pol_role *r) { return r->super != NULL && r->wall == NULL; }

/* "*" does not mean the gate's own schema, and to whom anything is hidden no rule opens it: a hash that can be asked for any value is no mask. To them it does not
 * mean MySQL's sys either. */
static bool own(const struct pol_role *r, const struct pol_pattern *p, const char *schema) {
    bool runs_texts = r->pins.mysql && r->restricts && strcasecmp(schema, "sys") == 0; /* sys.execute_prepared_stmt() */
    return (pol_own_schema(r->pins.mysql, schema) || runs_texts) && strchr(p->schema, '*') != NULL;
}

/* kept: what is made calls it whenever it is used, so it must be granted always, and without asking. */
static bool function_granted(const struct pol_role *r, const char *schema, const char *name, bool kept) {
    if (all_granted(r)) return true;
    if (r->restricts && pol_own_schema(r->pins.mysql, schema)) return false;
    for (size_t i = 0; i < r->calls.n; i++)
        for (size_t k = 0; pol_rule_on(r, r->calls.at[i]) && k < r->calls.at[i]->nfunctions; k++)
            if (pol_matches(&r->calls.at[i]->functions[k], schema, name) && !own(r, &r->calls.at[i]->functions[k], schema) &&
                (!kept || pol_rule_is_plain(r->calls.at[i])))
                return true;
    return false;
}

/* MySQL's own functions have no schema; rules list them as those of the database mysql. */
#define MY_NATIVE "mysql"
static const char *my_schema(const struct pol_role *r, const struct pol_function *f) {
    /* without a database it may be the default one's */
    bool own = f->schema != NULL && *f->schema == '\0' && r->pins.nsearch_path > 0 && pol_own_schema(true, r->pins.search_path[0]);
    return own ? POL_OWN_SCHEMA : f->schema != NULL ? f->schema : MY_NATIVE;
}
static bool native_harmless(const struct pol_function *f) { return f->schema == NULL && my_function_harmless_anywhere(f->name); }

static bool function_allowed(const struct pol_role *r, const struct pol_function *f, bool kept) {
    bool catalog = f->schema == NULL || strcmp(f->schema, "pg_catalog") == 0;
    if (all_granted(r)) return true;
    if (r->pins.mysql) return native_harmless(f) || function_granted(r, my_schema(r, f), f->name, kept);
    if (catalog && pg_function_harmless(f->name)) return true;
    if (catalog && pg_function_introspection(f->name) && any_now(r)) return true;
    if (catalog && strcmp(f->name, "pg_notify") == 0 && (r->unbound & POL_NOTIFY) && first_denial(r, POL_NOTIFY) == NULL) return true;
    if (f->schema != NULL && strcmp(f->schema, "information_schema") == 0 && pg_function_information_schema(f->name) && any_now(r))
        return true;
    if (f->schema != NULL) return function_granted(r, f->schema, f->name, kept);
    if (pg_function_built_in(f->name)) return function_granted(r, "pg_catalog", f->name, kept);
    for (size_t i = 0; i < r->pins.nsearch_path; i++)
        if (!function_granted(r, r->pins.search_path[i], f->name, kept)) return false;
    return r->pins.nsearch_path > 0;
}

/* A function in one schema, when it is allowed: the rules that ask about it by name; all of them when no rule names it and only a right to everything
 * covers it, because it may do anything. */
static void ask_function_in(struct judge *j, const char *schema, const char *name) {
    bool named = false;
    for (size_t i = 0; i < j->r->calls.n; i++) {
        const struct pol_rule *rule = j->r->calls.at[i];
        for (size_t k = 0; pol_rule_on(j->r, rule) && k < rule->nfunctions; k++) {
            if (!pol_matches(&rule->functions[k], schema, name)) continue;
            named = true;
            if (rule->ask) ask_by(j, rule);
        }
    }
    if (!named) ask_all(j, POL_ALL_ACTIONS);
}

static void ask_function(struct judge *j, const struct pol_function *f) {
    bool catalog = f->schema == NULL || strcmp(f->schema, "pg_catalog") == 0;
    if (!j->r->asks) return;
    if (j->r->pins.mysql) {
        if (!native_harmless(f)) ask_function_in(j, f->schema != NULL ? f->schema : MY_NATIVE, f->name);
        return;
    }
    if (catalog && strcmp(f->name, "pg_notify") == 0) {
        ask_actions(j, POL_NOTIFY);
        return;
    }
    if (catalog && (pg_function_harmless(f->name) || pg_function_introspection(f->name))) return;
    if (f->schema != NULL && strcmp(f->schema, "information_schema") == 0 && pg_function_information_schema(f->name)) return;
    if (f->schema != NULL)
        ask_function_in(j, f->schema, f->name);
    else if (pg_function_built_in(f->name))
        ask_function_in(j, "pg_catalog", f->name);
    else
        for (size_t i = 0; i < j->r->pins.nsearch_path; i++) ask_function_in(j, j->r->pins.search_path[i], f->name);
}

/* A rule that asks, or holds at times, does so for each call that a statement makes; not for those that a view or a default makes. */
static bool kept_asks(struct judge *j, const struct pol_function *f) {
    struct pol_verdict *v = refuse(j, "42501", NULL);
    pol_add(v->message, sizeof v->message,
            "%s with the function %.70s is not allowed by the policy: what it makes would call it at any time", j->s->tag, f->name);
    pol_add(v->detail, sizeof v->detail, "The rules that allow it to you ask for approval, or hold at some times only.");
    snprintf(v->hint, sizeof v->hint, "%s", "Call it in the statements that need it.");
    return false;
}

static bool judge_function(struct judge *j, const struct pol_function *f) {
    if (function_allowed(j->r, f, j->s->keeps)) {
        bool before = j->asked;
        j->asked = false;
        ask_function(j, f);
        if (j->s->keeps && j->asked && !all_granted(j->r)) return kept_asks(j, f);
        j->asked = j->asked || before;
        return true;
    }
    if (j->s->keeps && function_allowed(j->r, f, false)) return kept_asks(j, f);
    struct pol_verdict *v = refuse(j, "42501", NULL);
    pol_add(v->message, sizeof v->message, "the function %.70s%s%.70s is not allowed by the policy", f->schema != NULL ? f->schema : "",
            f->schema != NULL ? "." : "", f->name);
    pol_add(v->detail, sizeof v->detail,
            "It is not among the harmless built-in functions, and no rule lists it under \"functions\" for you.");
    v->hint[0] = '\0';
    if (strchr("~!@#^&|`?+-*/%<>=", f->name[0]) != NULL) { /* an operator, judged as the function that it stands for */
        pol_add(v->hint, sizeof v->hint, "A rule can list operators that are not built in under \"functions\" as schema.operator.");
        return false;
    }
    pol_add(v->hint, sizeof v->hint, "A rule can list it under \"functions\".");
    if (!f->field) return false;
    pol_add(v->hint, sizeof v->hint,
            " If %.70s is a column: (x).%.70s and f.%.70s with a function f in FROM may call a function "
            "of that name; write the column's "
            "name alone, or give columns names as in FROM f() AS t(%.70s).",
            f->name, f->name, f->name, f->name);
    return false;
}

/* --- settings --- */

static bool refuse_pin(struct judge *j, const struct pol_setting *s, const char *wanted) {
    struct pol_verdict *v = refuse(j, "42501", NULL);
    pol_add(v->message, sizeof v->message, "the setting %.80s may not be changed in this session", s->name);
    pol_add(v->detail, sizeof v->detail,
            "It decides how statements are read or whose rights apply, or the configuration fixes it: it is pinned for every identity.");
    v->hint[0] = '\0';
    if (strncmp(s->name, "gatehouse.", 10) == 0) {
        v->detail[0] = '\0';
        pol_add(v->detail, sizeof v->detail, "It tells the database whose session this is: Gatehouse alone sets it, when it connects.");
    }
    if (wanted != NULL)
        pol_add(v->hint, sizeof v->hint, "Only its pinned value may be set: %.80s.", wanted);
    else if (strcmp(s->name, "search_path") == 0) {
        pol_add(v->hint, sizeof v->hint, "Only its pinned value may be set:");
        for (size_t i = 0; i < j->r->pins.nsearch_path; i++)
            pol_add(v->hint, sizeof v->hint, "%s %.64s", i > 0 ? "," : "", j->r->pins.search_path[i]);
        pol_add(v->hint, sizeof v->hint, ". Write schema.name for relations elsewhere.");
    }
    return false;
}

static bool judge_set(struct judge *j, const struct pol_setting *s, bool may_unpin) {
    const char *wanted;
    bool may_set = (j->r->unbound & POL_SET) != 0 && first_denial(j->r, POL_SET) == NULL;
    if (s->show) {
        if (may_set || (j->r->pins.mysql ? my_setting_showable(s->name) : pg_setting_showable(s->name))) return true;
    } else if (j->r->pins.mysql) {
        /* What the server then leaves out of its reports the filter makes good before anything else runs. */
        if (j->alone && strcmp(s->name, "session_track_system_variables") == 0 && strcmp(j->s->tag, "SET") == 0)
            return j->v->retracks = true;
        enum pg_pin pin = my_setting_pin(&j->r->pins, s->name, s->value, &wanted);
        if (pin == PG_PIN_OTHER) return refuse_pin(j, s, wanted);
        if (pin == PG_PIN_SAME || my_setting_harmless(s->name)) return true;
        if (may_set) {
            ask_actions(j, POL_SET);
            return true;
        }
    } else if (strcmp(s->name, "all") == 0) {
        return true; /* RESET ALL goes back to the startup packet's values: the pins */
    } else {
        enum pg_pin pin = pg_setting_pin(&j->r->pins, s->name, s->value, &wanted);
        if (pin == PG_PIN_OTHER && may_unpin && pg_setting_unpinnable(s->name)) return j->v->unpins = true;
        if (pin == PG_PIN_OTHER) return refuse_pin(j, s, wanted);
        if (pin == PG_PIN_SAME || pg_setting_harmless(s->name)) return true;
        if (may_set) {
            ask_actions(j, POL_SET);
            return true;
        }
    }
    struct pol_verdict *v = refuse(j, "42501", NULL);
    pol_add(v->message, sizeof v->message, "%s %.80s is not allowed by the policy",
            s->show ? "showing the setting" : "changing the setting", s->name);
    pol_add(v->detail, sizeof v->detail, "It is not among the harmless settings, and no rule allows \"set\" to you on database \"%.60s\".",
            j->r->database);
    return false;
}

/* --- a statement --- */

static bool judge_actions(struct judge *j) {
    unsigned actions = j->s->actions, granted = j->r->unbound | j->r->everywhere;
    const struct pol_rule *deny = first_denial(j->r, actions);
    char what[96];
    if (deny == NULL) ask_actions(j, actions);
    if (deny == NULL && (actions & ~granted) == 0) return true;
    snprintf(what, sizeof what, "database \"%.60s\"", j->r->database);
    if (deny != NULL) return denied_by(j, deny, j->s->tag, what);
    not_granted(j, j->s->tag, what);
    struct pol_verdict *v = j->v;
    v->detail[0] = '\0';
    const char *action = pol_action_name(lowest(actions & ~granted));
    bool unbound = (lowest(actions & ~granted) & POL_UNBOUND) != 0;
    pol_add(v->detail, sizeof v->detail, "It needs the action \"%s\"%s, which no rule allows to you on database \"%.60s\".", action,
            unbound ? "" : " on every relation (\"*.*\")", j->r->database);
    return false;
}

/* Code that cannot be seen into may do anything: it needs a rule for everything, and no denial of any relation to walk around. */
static bool judge_opaque(struct judge *j) {
    if (!j->s->opaque || (j->s->kind == POL_K_CALL && j->r->super == NULL && j->s->nfunctions > 0)) return true;
    const struct pol_rule *wall = j->r->wall;
    if (j->r->super != NULL && wall == NULL) {
        ask_all(j, POL_ALL_ACTIONS);
        return true;
    }
    struct pol_verdict *v = refuse(j, "42501", j->r->super != NULL ? wall : NULL);
    pol_add(v->message, sizeof v->message, "%s is not allowed by the policy: what it does cannot be seen from its text", j->s->tag);
    if (j->r->super != NULL)
        pol_add(v->detail, sizeof v->detail, "It could reach what the rule \"%.200s\" %s.", wall->name, wall->deny ? "denies" : "hides");
    else
        pol_add(v->detail, sizeof v->detail, "It needs a rule that allows all on \"*.*\"; none allows that to you on database \"%.60s\".",
                j->r->database);
    if (j->r->pins.mysql && strcmp(j->s->tag, "HANDLER") == 0) /* see facts_my_util.c */
        snprintf(v->hint, sizeof v->hint, "%s", "What it reads hangs on what was opened before. Use SELECT with ORDER BY and LIMIT.");
    return false;
}

/* What was allowed because everything is: code that may have changed search_path or role. */
static bool hides(const struct judge *j) {
    if (!all_granted(j->r)) return false;
    if (j->s->opaque) return true;
    for (size_t i = 0; i < j->s->nfunctions; i++) {
        const struct pol_function *f = &j->s->functions[i];
        bool catalog = f->schema == NULL || strcmp(f->schema, "pg_catalog") == 0;
        if (j->r->pins.mysql && native_harmless(f)) continue;
        if (j->r->pins.mysql || !catalog || (!pg_function_harmless(f->name) && !pg_function_introspection(f->name))) return true;
    }
    return false;
}

static bool no_where(struct judge *j) {
    struct pol_verdict *v = refuse(j, "42501", j->lacks);
    bool has_one = j->s->where; /* WHERE true, or one that another UPDATE or DELETE in the statement lacks */
    pol_add(v->message, sizeof v->message, "%s is allowed by the policy only with a WHERE%s", j->s->tag,
            has_one ? " that names a column" : "");
    pol_add(v->detail, sizeof v->detail, "The rule \"%.200s\" requires one in every UPDATE and DELETE%s.", j->lacks->name,
            has_one ? "; WHERE true and the like do not count" : "");
    if (j->lacks->hint == NULL) snprintf(v->hint, sizeof v->hint, "%s", "Say in a WHERE which rows are meant.");
    return false;
}

/* What names mean hangs on the default database. */
static bool judge_use(struct judge *j) {
    const char *db = j->s->use_schema;
    if (db == NULL || (j->r->pins.mysql && j->r->pins.nsearch_path > 0 && strcmp(db, j->r->pins.search_path[0]) == 0)) return true;
    struct pol_verdict *v = refuse(j, "42501", NULL);
    pol_add(v->message, sizeof v->message, "the default database may not be changed in this session");
    pol_add(v->detail, sizeof v->detail, "It decides what names mean: it is pinned for every identity.");
    v->hint[0] = '\0';
    pol_add(v->hint, sizeof v->hint, "Write database.name for relations elsewhere.");
    return false;
}

/* A view reads with its definer's rights, by default those of the account that makes it. */
static bool judge_definer(struct judge *j) {
    if (!j->s->definer || all_granted(j->r)) return true;
    struct pol_verdict *v = refuse(j, "42501", j->r->super != NULL ? j->r->wall : NULL);
    pol_add(v->message, sizeof v->message, "%s with DEFINER is not allowed by the policy: it would read with another account's rights",
            j->s->tag);
    v->detail[0] = '\0';
    pol_add(v->detail, sizeof v->detail, "What the policy lets you do stays within the rights of the gate's own account.");
    snprintf(v->hint, sizeof v->hint, "%s", "Leave DEFINER out, or write DEFINER = CURRENT_USER.");
    return false;
}

/* What rules ask about what lasts of it: who may do everything asks for that now, others have nobody to ask later. */
static void ask_relation(struct judge *j, const struct pol_relation *rel, unsigned wanted) {
    const struct pol_rule *deny;
    size_t n = rel->schema != NULL ? 1 : j->r->pins.nsearch_path;
    for (size_t i = 0; j->r->asks && i < n; i++)
        rules_on(j, rel->schema != NULL ? rel->schema : j->r->pins.search_path[i], rel->name, wanted, &deny);
}

static bool judge_kept(struct judge *j, const struct pol_relation *rel) {
    if (!all_granted(j->r)) return pol_check_kept(j->r, j->s, rel, j->v);
    ask_relation(j, rel, pol_kept_access(j->s, rel));
    return true;
}

static bool judge_moved(struct judge *j) {
    if (!all_granted(j->r)) return pol_check_moved(j->r, j->s, j->v);
    for (size_t i = 0; j->r->asks && pol_moves(j->r, j->s) && i < j->s->nrelations; i++)
        if (j->s->relations[i].access & POL_ALTER) ask_relation(j, &j->s->relations[i], POL_MOVED);
    return true;
}

/* With what its errors may tell. */
static struct pol_relation in_full(const struct pol_stmt *s, const struct pol_relation *rel) {
    struct pol_relation all = *rel;
    if ((rel->access & s->tells) != 0) all.access |= POL_SELECT;
    return all;
}

static bool judge_statement(struct judge *j) {
    const struct pol_stmt *s = j->s;
    const struct pol_rule *deny;
    for (size_t i = 0; i < s->nrelations; i++) { /* explicit denials first: their reasons say more than "no rule" */
        const struct pol_relation rel = in_full(s, &s->relations[i]);
        if (rel.schema == NULL) continue;
        rules_on(j, rel.schema, rel.name, rel.access, &deny);
        if (deny != NULL) return judge_relation(j, &rel);
    }
    if (!judge_actions(j) || !judge_use(j)) return false;
    for (size_t i = 0; i < s->nrelations; i++) {
        const struct pol_relation all = in_full(s, &s->relations[i]);
        if (!judge_relation(j, &all) || !judge_kept(j, &s->relations[i]) || !pol_check_restricted(j->r, &s->relations[i], j->v) ||
            !pol_check_rules(j->r, s, &s->relations[i], j->v))
            return false;
    }
    if (!judge_moved(j) || !pol_check_files(j->r, s, j->v) || !pol_check_read_only(j->r, s, j->v) || !pol_check_counting(j->r, s, j->v))
        return false;
    for (size_t i = 0; i < s->nfunctions; i++)
        if (!judge_function(j, &s->functions[i])) return false;
    for (size_t i = 0; i < s->nsettings; i++)
        if (!judge_set(j, &s->settings[i], j->r->unpin && pol_role_everything(j->r))) return false;
    if (!judge_opaque(j) || !judge_definer(j)) return false;
    if (j->lacks != NULL) return no_where(j);
    j->v->unpins = j->v->unpins || hides(j);
    return true;
}

/* Each member that says what is to be done with what is allowed. */
bool pol_verdict_within(const struct pol_verdict *v, const struct pol_verdict *than) {
    if (v->effect != POL_ALLOW || than->effect != POL_ALLOW || v->rewrite) return false;
    if ((v->limits.rows | v->limits.bytes | v->limits.ms) != 0 || v->limits.record > than->limits.record) return false;
    return v->unpins <= than->unpins && v->blind <= than->blind && v->retracks <= than->retracks && v->counts <= than->counts;
}

static void allow(struct pol_verdict *out) {
    memset(out, 0, sizeof *out);
    out->effect = POL_ALLOW;
    out->rule = "";
    memcpy(out->sqlstate, "00000", sizeof "00000");
}

static const char *first_schema(const struct pol_role *r, const struct pol_relation *rel) {
    return rel->schema != NULL ? rel->schema : r->pins.nsearch_path > 0 ? r->pins.search_path[0] : "";
}

static void earlier(const struct pol_role *r, const struct pol_entry *e, const char *schema, const struct pol_relation *rel,
                    const struct pol_rule **first) {
    if (e->rule->deny || (e->rule->actions & rel->access) == 0 || (*first != NULL && e->rule >= *first)) return;
    if (pol_rule_on(r, e->rule) && pol_matches(e->pattern, schema, rel->name)) *first = e->rule;
}

static void grants_relations(const struct pol_role *r, const struct pol_stmt *s, const struct pol_rule **first) {
    for (size_t k = 0; k < s->nrelations; k++) {
        const struct pol_relation *rel = &s->relations[k];
        const char *schema = first_schema(r, rel);
        for (uint32_t at = r->slots[pol_name_hash(schema, rel->name) & (r->nslots - 1)]; at != 0; at = r->exact[at - 1].next)
            earlier(r, &r->exact[at - 1], schema, rel, first);
        struct pol_glob_at at = pol_glob_begin(r, schema);
        for (const struct pol_entry *e; (e = pol_glob_next(r, &at)) != NULL;) earlier(r, e, schema, rel, first);
    }
}

static bool grants_function(const struct pol_role *r, const struct pol_rule *rule, const struct pol_stmt *s) {
    for (size_t k = 0; k < s->nfunctions; k++) {
        const struct pol_function *f = &s->functions[k];
        const char *schema = f->schema != NULL               ? f->schema
                             : r->pins.mysql                 ? MY_NATIVE
                             : pg_function_built_in(f->name) ? "pg_catalog"
                             : r->pins.nsearch_path > 0      ? r->pins.search_path[0]
                                                             : "";
        for (size_t p = 0; p < rule->nfunctions; p++)
            if (pol_matches(&rule->functions[p], schema, f->name)) return true;
    }
    return false;
}

/* The rule to name beside an allowed statement: the first one that grants something of it. */
static const char *granting_rule(const struct pol_role *r, const struct pol_stmt *s) {
    const struct pol_rule *first = NULL;
    bool temp = false;
    grants_relations(r, s, &first);
    for (size_t k = 0; k < s->nrelations; k++) temp = temp || strcmp(first_schema(r, &s->relations[k]), "pg_temp") == 0;
    unsigned actions = s->actions | (temp ? (unsigned)POL_TEMP : 0u);
    for (size_t i = 0; (actions != 0 || s->opaque) && i < r->nrules && (first == NULL || r->rules[i] < first); i++) {
        const struct pol_rule *rule = r->rules[i];
        if (rule->deny || !pol_rule_on(r, rule)) continue;
        if ((rule->actions & actions) || (s->opaque && rule->everything && rule->actions == POL_ALL_ACTIONS)) first = rule;
    }
    for (size_t i = 0; s->nfunctions > 0 && i < r->calls.n && (first == NULL || r->calls.at[i] < first); i++)
        if (pol_rule_on(r, r->calls.at[i]) && grants_function(r, r->calls.at[i], s)) first = r->calls.at[i];
    return first != NULL ? first->name : "";
}

/* One agreement is for one execution of one text that its readers saw. */
static bool can_ask(struct judge *j) {
    const char *why = NULL, *hint = NULL;
    if (j->s->kind == POL_K_PREPARE) {
        why = "what PREPARE makes could be executed many times";
        hint = "Send the statement itself, or prepare it with your driver's own means.";
    } else if (j->s->copy_in) {
        why = "the rows of COPY FROM STDIN are not in the statement";
        hint = "Send the rows as INSERT.";
    } else if (j->many) {
        why = "more rules ask about it than one request can hold";
        hint = "Send the statements one by one.";
    } else
        return true;
    struct pol_verdict *v = refuse(j, "42501", NULL);
    pol_add(v->message, sizeof v->message, "%s needs approval and cannot get it: %s", j->s->tag, why);
    v->rule = v->ask.by[0].rule;
    pol_add(v->detail, sizeof v->detail, "The rule \"%.200s\" asks for the approval.", v->rule);
    snprintf(v->hint, sizeof v->hint, "%s", hint);
    return false;
}

/* Everything is granted, and something of it only after approval. */
static void ask(struct pol_verdict *v, const char *tag) {
    v->effect = POL_ASK;
    v->rule = v->ask.by[0].rule;
    snprintf(v->sqlstate, sizeof v->sqlstate, "42501");
    pol_add(v->message, sizeof v->message, "%s needs approval by the policy", tag);
    for (size_t i = 0; i < v->ask.n; i++) {
        pol_add(v->detail, sizeof v->detail, "%sThe rule \"%.100s\" asks for the approval of %u of: ", i > 0 ? " " : "", v->ask.by[i].rule,
                v->ask.by[i].quorum);
        for (const char *const *g = v->ask.by[i].approvers; *g != NULL; g++)
            pol_add(v->detail, sizeof v->detail, "%s%.60s", g > v->ask.by[i].approvers ? ", " : "", *g);
        pol_add(v->detail, sizeof v->detail, ".");
    }
}

#define CHEAP 4 /* rules that are asked for no name at all are so many to one comparison */

/* Each name is looked for up to three times, in one schema or in those of search_path; then what rules say of it besides. */
static size_t relation_work(const struct pol_role *r, const struct pol_relation *rel) {
    size_t names = rel->schema != NULL ? 1 : r->pins.nsearch_path + rel->catalog;
    bool system = rel->schema != NULL ? pol_role_system(r, rel->schema) : rel->catalog; /* pg_temp too */
    size_t asked = system ? (r->denials.n + r->asking.n + r->any_at) / CHEAP : 0;
    return 1 + (names + 2) * r->most + names * r->nbounds + asked + pol_views_work(r, rel);
}

static size_t function_work(const struct pol_role *r, const struct pol_function *f) {
    size_t names = f->schema != NULL || r->pins.nsearch_path == 0 ? 1 : r->pins.nsearch_path;
    return 1 + (names + 1) * r->nfunctions + (r->asking.n > 0 ? names * (r->nfunctions + r->asking.n / CHEAP) : 0) + r->any_at / CHEAP;
}

bool pol_judge_long(const struct pol_role *r, const struct pol_facts *f) {
    size_t work = 0;
    for (size_t i = 0; i < f->nstmts && work < LONG; i++) {
        const struct pol_stmt *s = &f->stmts[i];
        size_t rules = (r->denials.n + r->asking.n) / CHEAP + 1;
        work += pol_carry_work(r, s) + rules * (1 + s->nsettings) + (s->actions != 0 || s->opaque ? r->nrules / CHEAP : 0);
        for (size_t k = 0; k < s->nrelations && work < LONG; k++) work += relation_work(r, &s->relations[k]);
        for (size_t k = 0; k < s->nfunctions && work < LONG; k++) work += function_work(r, &s->functions[k]);
    }
    return work >= LONG;
}

void pol_judge(const struct pol_role *r, const struct pol_facts *f, struct pol_verdict *out) {
    size_t first = f->nstmts;
    allow(out);
    for (size_t i = 0; i < f->nstmts; i++) {
        struct judge j = {.r = r, .s = &f->stmts[i], .v = out, .alone = f->nstmts == 1};
        out->stmt = i;
        if (!judge_statement(&j) || (j.asked && !can_ask(&j))) return;
        if (j.asked && first == f->nstmts) first = i;
        if (out->rule[0] == '\0') out->rule = granting_rule(r, &f->stmts[i]);
    }
    out->stmt = 0;
    if (first == f->nstmts) return;
    out->stmt = first;
    ask(out, f->stmts[first].tag);
}

bool pol_judge_setting(const struct pol_role *r, const char *name, const char *value, struct pol_verdict *out) {
    char folded[128];
    size_t n = strlen(name);
    allow(out);
    if (n >= sizeof folded) n = sizeof folded - 1;
    for (size_t i = 0; i < n; i++) folded[i] = name[i] >= 'A' && name[i] <= 'Z' ? (char)(name[i] | 0x20) : name[i];
    folded[n] = '\0';
    if (r->pins.mysql && strcmp(folded, "application_name") == 0) return true; /* an attribute of the connection, which goes no further */
    struct pol_stmt s = {.kind = POL_K_SET, .tag = "SET"};
    struct pol_setting setting = {.name = folded, .value = value};
    struct judge j = {.r = r, .s = &s, .v = out};
    if (!judge_set(&j, &setting, false)) return false; /* the startup packet always has the pins */
    if (!j.asked) return true;
    struct pol_verdict *v = refuse(&j, "42501", NULL);
    pol_add(v->message, sizeof v->message, "the setting %.80s needs approval, which a startup parameter cannot get", folded);
    v->hint[0] = '\0';
    pol_add(v->hint, sizeof v->hint, "Connect without it, and send SET when connected.");
    return false;
}

void pol_refuse_parse(const struct pol_parse_error *e, struct pol_verdict *out) {
    allow(out);
    out->effect = POL_DENY;
    out->position = e->position;
    snprintf(out->sqlstate, sizeof out->sqlstate, "%s", pol_parse_sqlstate(e->rc));
    pol_add(out->message, sizeof out->message, "%s", e->text[0] != '\0' ? e->text : "the statement cannot be read");
    switch (e->rc) {
    case POL_SYNTAX:
        pol_add(out->detail, sizeof out->detail,
                "The statement is not valid in the grammar that Gatehouse reads, so it was not sent to the database.");
        break;
    case POL_NOT_UNDERSTOOD:
        pol_add(out->detail, sizeof out->detail, "What the policy cannot understand it does not let through.");
        pol_add(out->hint, sizeof out->hint, "Write the statement in a plainer form.");
        break;
    case POL_TOO_DEEP:
    case POL_TOO_LARGE:
        pol_add(out->detail, sizeof out->detail, "The statement was not sent to the database.");
        pol_add(out->hint, sizeof out->hint, "Send it in smaller pieces, or as a list: x = ANY (ARRAY[...]), VALUES (...), (...).");
        break;
    default: pol_add(out->detail, sizeof out->detail, "The statement was not sent to the database.");
    }
}
