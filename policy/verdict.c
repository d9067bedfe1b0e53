/* The verdict: an explicit deny wins; then every access needs a rule that grants it; else denied. */
#include "policy/pg_catalog.h"
#include "policy/pg_functions.h"
#include "policy/pg_settings.h"
#include "policy/policy_int.h"
#include "policy/text.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>

struct judge {
    const struct pol_role *r;
    const struct pol_stmt *s;
    struct pol_verdict *v;
};

#define HINT_RELATIONS 8

/* --- words --- */

__attribute__((format(printf, 3, 4))) static void add(char *out, size_t size, const char *fmt, ...) {
    size_t used = strlen(out);
    if (used + 1 >= size) return;
    va_list ap;
    va_start(ap, fmt);
    vsnprintf(out + used, size - used, fmt, ap);
    va_end(ap);
    pol_utf8_tidy(out + used); /* a name that was cut in the middle of a character */
}

static void action_words(unsigned actions, char *out, size_t size) {
    out[0] = '\0';
    if (actions == POL_ALL_ACTIONS) {
        add(out, size, "all");
        return;
    }
    for (unsigned bit = 1; bit <= POL_TEMP; bit <<= 1)
        if (actions & bit) add(out, size, "%s%s", out[0] != '\0' ? ", " : "", pol_action_name(bit));
}

/* "You may use: public.orders (select, update); public.customers (select)." */
static void allowed_hint(const struct pol_role *r, char *out, size_t size) {
    unsigned shown = 0, more = 0;
    char words[160];
    out[0] = '\0';
    for (size_t i = 0; i < r->nrules; i++) {
        const struct pol_rule *rule = r->rules[i];
        for (size_t j = 0; !rule->deny && j < rule->non; j++) {
            if (shown >= HINT_RELATIONS) {
                more++;
                continue;
            }
            action_words(rule->actions, words, sizeof words);
            add(out, size, "%s%.64s.%.64s (%s)", shown > 0 ? "; " : "Allowed here: ", rule->on[j].schema, rule->on[j].name, words);
            shown++;
        }
    }
    if (more > 0) add(out, size, "; and %u more", more);
    if (shown > 0)
        add(out, size, ".");
    else
        add(out, size, "No rule allows you any relation of database \"%.60s\".", r->database);
}

static struct pol_verdict *refuse(struct judge *j, const char *sqlstate, const struct pol_rule *rule) {
    struct pol_verdict *v = j->v;
    v->effect = POL_DENY;
    v->rule = rule != NULL ? rule->name : "";
    snprintf(v->sqlstate, sizeof v->sqlstate, "%s", sqlstate);
    v->message[0] = v->detail[0] = v->hint[0] = '\0';
    if (rule != NULL && rule->hint != NULL)
        add(v->hint, sizeof v->hint, "%s", rule->hint);
    else
        allowed_hint(j->r, v->hint, sizeof v->hint);
    return v;
}

static bool denied_by(struct judge *j, const struct pol_rule *rule, const char *action, const char *what) {
    struct pol_verdict *v = refuse(j, "42501", rule);
    add(v->message, sizeof v->message, "%s on %s is denied by the policy: %s", action, what, rule->reason);
    add(v->detail, sizeof v->detail, "The rule \"%.200s\" denies it.", rule->name);
    return false;
}

static bool not_granted(struct judge *j, const char *action, const char *what) {
    struct pol_verdict *v = refuse(j, "42501", NULL);
    add(v->message, sizeof v->message, "%s on %s is not allowed by the policy", action, what);
    add(v->detail, sizeof v->detail, "No rule allows %s on %s to you on database \"%.60s\".", action, what, j->r->database);
    return false;
}

/* --- relations --- */

static bool matches(const struct pol_pattern *p, const char *schema, const char *name) {
    if (p->exact) return strcmp(p->schema, schema) == 0 && strcmp(p->name, name) == 0;
    return pol_glob(p->schema, schema) && pol_glob(p->name, name);
}

/* "*.*" of an ordinary rule means the users' own schemas: PostgreSQL's (pg_catalog, pg_toast, ...) must be written out, unless all is allowed and
 * nothing denied: pg_stats and pg_toast hold what other relations hold. */
static bool grants(const struct pol_role *r, const struct pol_entry *e, const char *schema) {
    if (e->rule->deny) return false;
    if (r->deny == NULL && e->rule->everything && e->rule->actions == POL_ALL_ACTIONS) return true;
    bool system = strncmp(schema, "pg_", 3) == 0 || strcmp(schema, "information_schema") == 0;
    return !system || strchr(e->pattern->schema, '*') == NULL;
}

/* One pattern's share in the actions granted and in the first rule that denies. */
static void count_entry(const struct pol_role *r, const struct pol_entry *e, const char *schema, const char *name, unsigned wanted,
                        unsigned *granted, const struct pol_rule **deny) {
    if (!matches(e->pattern, schema, name)) return;
    if (grants(r, e, schema))
        *granted |= e->rule->actions;
    else if (e->rule->deny && (e->rule->actions & wanted) && (*deny == NULL || e->rule < *deny))
        *deny = e->rule;
}

/* The actions that rules grant on schema.name, and the first rule that denies one of wanted. */
static unsigned rules_on(const struct pol_role *r, const char *schema, const char *name, unsigned wanted, const struct pol_rule **deny) {
    unsigned granted = 0;
    *deny = NULL;
    for (uint32_t at = r->slots[pol_name_hash(schema, name) & (r->nslots - 1)]; at != 0; at = r->exact[at - 1].next)
        count_entry(r, &r->exact[at - 1], schema, name, wanted, &granted, deny);
    for (size_t i = 0; i < r->nglobs; i++) count_entry(r, &r->globs[i], schema, name, wanted, &granted, deny);
    return granted;
}

static const struct pol_rule *first_denial(const struct pol_role *r, unsigned actions) {
    for (size_t i = 0; i < r->nrules; i++) {
        const struct pol_rule *rule = r->rules[i];
        /* a denial on some relations denies nothing that is about none */
        unsigned mask = rule->everything ? rule->actions : rule->non == 0 ? rule->actions & POL_UNBOUND : 0u;
        if (rule->deny && (mask & actions)) return rule;
    }
    return NULL;
}

static bool is_open_catalog(const char *schema, const char *name) {
    if (strcmp(schema, "pg_catalog") == 0) return pg_catalog_harmless(name);
    return strcmp(schema, "information_schema") == 0 && pg_information_schema_harmless(name);
}

static unsigned lowest(unsigned bits) { return bits & (~bits + 1u); }

static bool judge_candidate(struct judge *j, const struct pol_relation *rel, const char *schema) {
    const struct pol_rule *deny;
    char what[160];
    snprintf(what, sizeof what, "%.70s.%.70s", schema, rel->name);
    if (strcmp(schema, "pg_temp") == 0) {
        const struct pol_rule *no_temp = first_denial(j->r, POL_TEMP);
        if (no_temp != NULL) return denied_by(j, no_temp, "temp", what);
        if (j->r->unbound & POL_TEMP) return true;
        return not_granted(j, "temp", what);
    }
    if (strcmp(schema, "pg_catalog") == 0 && strcmp(rel->name, "pg_settings") == 0 && (rel->access & ~(unsigned)POL_SELECT)) {
        struct pol_verdict *v = refuse(j, "42501", NULL); /* a rule of the view makes set_config() of it, for any setting */
        add(v->message, sizeof v->message, "settings may not be changed through pg_settings");
        add(v->detail, sizeof v->detail, "Some are pinned, and the text does not say which one it is about.");
        v->hint[0] = '\0';
        add(v->hint, sizeof v->hint, "Write SET name = value.");
        return false;
    }
    unsigned granted = rules_on(j->r, schema, rel->name, rel->access, &deny);
    if (deny != NULL) return denied_by(j, deny, pol_action_name(lowest(rel->access & deny->actions)), what);
    if (is_open_catalog(schema, rel->name) && pol_role_any(j->r)) granted |= POL_SELECT;
    if ((rel->access & ~granted) == 0) return true;
    return not_granted(j, pol_action_name(lowest(rel->access & ~granted)), what);
}

/* An unqualified name may be any schema's of the search_path: all must be granted, and one denial is enough. */
static bool judge_relation(struct judge *j, const struct pol_relation *rel) {
    if (rel->schema != NULL) return judge_candidate(j, rel, rel->schema);
    if (rel->catalog) {
        if (!judge_candidate(j, rel, "pg_catalog")) return false;
        if (pg_catalog_harmless(rel->name)) return true; /* pg_catalog has it, and is searched first */
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
static bool function_granted(const struct pol_role *r, const char *schema, const char *name) {
    if (r->super != NULL && r->deny == NULL) return true;
    for (size_t i = 0; i < r->nrules; i++)
        for (size_t k = 0; !r->rules[i]->deny && k < r->rules[i]->nfunctions; k++)
            if (matches(&r->rules[i]->functions[k], schema, name)) return true;
    return false;
}

static bool function_allowed(const struct pol_role *r, const struct pol_function *f) {
    bool catalog = f->schema == NULL || strcmp(f->schema, "pg_catalog") == 0;
    if (r->super != NULL && r->deny == NULL) return true;
    if (catalog && pg_function_harmless(f->name)) return true;
    if (catalog && pg_function_introspection(f->name) && pol_role_any(r)) return true;
    if (f->schema != NULL && strcmp(f->schema, "information_schema") == 0 && pg_function_information_schema(f->name) && pol_role_any(r))
        return true;
    if (f->schema != NULL) return function_granted(r, f->schema, f->name);
    if (pg_function_built_in(f->name)) return function_granted(r, "pg_catalog", f->name);
    for (size_t i = 0; i < r->pins.nsearch_path; i++)
        if (!function_granted(r, r->pins.search_path[i], f->name)) return false;
    return r->pins.nsearch_path > 0;
}

static bool judge_function(struct judge *j, const struct pol_function *f) {
    if (function_allowed(j->r, f)) return true;
    struct pol_verdict *v = refuse(j, "42501", NULL);
    add(v->message, sizeof v->message, "the function %.70s%s%.70s is not allowed by the policy", f->schema != NULL ? f->schema : "",
        f->schema != NULL ? "." : "", f->name);
    add(v->detail, sizeof v->detail, "It is not among the harmless built-in functions, and no rule lists it under \"functions\" for you.");
    v->hint[0] = '\0';
    if (strchr("~!@#^&|`?+-*/%<>=", f->name[0]) != NULL) { /* an operator, judged as the function that it stands for */
        add(v->hint, sizeof v->hint, "A rule can list operators that are not built in under \"functions\" as schema.operator.");
        return false;
    }
    add(v->hint, sizeof v->hint,
        "A rule can list it under \"functions\". If %.70s is a column: (x).%.70s and f.%.70s with a function f in FROM may call a function "
        "of that name; write the column's "
        "name alone, or give columns names as in FROM f() AS t(%.70s).",
        f->name, f->name, f->name, f->name);
    return false;
}

/* --- settings --- */

static bool refuse_pin(struct judge *j, const struct pol_setting *s, const char *wanted) {
    struct pol_verdict *v = refuse(j, "42501", NULL);
    add(v->message, sizeof v->message, "the setting %.80s may not be changed in this session", s->name);
    add(v->detail, sizeof v->detail,
        "It decides how statements are read or whose rights apply, or the configuration fixes it: it is pinned for every identity.");
    v->hint[0] = '\0';
    if (wanted != NULL)
        add(v->hint, sizeof v->hint, "Only its pinned value may be set: %.80s.", wanted);
    else if (strcmp(s->name, "search_path") == 0) {
        add(v->hint, sizeof v->hint, "Only its pinned value may be set:");
        for (size_t i = 0; i < j->r->pins.nsearch_path; i++)
            add(v->hint, sizeof v->hint, "%s %.64s", i > 0 ? "," : "", j->r->pins.search_path[i]);
        add(v->hint, sizeof v->hint, ". Write schema.name for relations elsewhere.");
    }
    return false;
}

static bool judge_set(struct judge *j, const struct pol_setting *s) {
    const char *wanted;
    bool may_set = (j->r->unbound & POL_SET) != 0 && first_denial(j->r, POL_SET) == NULL;
    if (s->show) {
        if (may_set || pg_setting_showable(s->name)) return true;
    } else if (strcmp(s->name, "all") == 0) {
        return true; /* RESET ALL goes back to the startup packet's values: the pins */
    } else {
        enum pg_pin pin = pg_setting_pin(&j->r->pins, s->name, s->value, &wanted);
        if (pin == PG_PIN_OTHER) return refuse_pin(j, s, wanted);
        if (pin == PG_PIN_SAME || may_set || pg_setting_harmless(s->name)) return true;
    }
    struct pol_verdict *v = refuse(j, "42501", NULL);
    add(v->message, sizeof v->message, "%s %.80s is not allowed by the policy", s->show ? "showing the setting" : "changing the setting",
        s->name);
    add(v->detail, sizeof v->detail, "It is not among the harmless settings, and no rule allows \"set\" to you on database \"%.60s\".",
        j->r->database);
    return false;
}

/* --- a statement --- */

static bool judge_actions(struct judge *j) {
    unsigned actions = j->s->actions, granted = j->r->unbound | j->r->everywhere;
    const struct pol_rule *deny = first_denial(j->r, actions);
    char what[96];
    snprintf(what, sizeof what, "database \"%.60s\"", j->r->database);
    if (deny != NULL) return denied_by(j, deny, j->s->tag, what);
    if ((actions & ~granted) == 0) return true;
    not_granted(j, j->s->tag, what);
    struct pol_verdict *v = j->v;
    v->detail[0] = '\0';
    const char *action = pol_action_name(lowest(actions & ~granted));
    bool unbound = (lowest(actions & ~granted) & POL_UNBOUND) != 0;
    add(v->detail, sizeof v->detail, "It needs the action \"%s\"%s, which no rule allows to you on database \"%.60s\".", action,
        unbound ? "" : " on every relation (\"*.*\")", j->r->database);
    return false;
}

/* Code that cannot be seen into may do anything: it needs a rule for everything, and no denial of any relation to walk around. */
static bool judge_opaque(struct judge *j) {
    if (!j->s->opaque || (j->s->kind == POL_K_CALL && j->r->super == NULL && j->s->nfunctions > 0)) return true;
    const struct pol_rule *deny = j->r->deny;
    if (j->r->super != NULL && deny == NULL) return true;
    struct pol_verdict *v = refuse(j, "42501", j->r->super != NULL ? deny : NULL);
    add(v->message, sizeof v->message, "%s is not allowed by the policy: what it does cannot be seen from its text", j->s->tag);
    if (j->r->super != NULL)
        add(v->detail, sizeof v->detail, "It could reach what the rule \"%.200s\" denies.", deny->name);
    else
        add(v->detail, sizeof v->detail, "It needs a rule that allows all on \"*.*\"; none allows that to you on database \"%.60s\".",
            j->r->database);
    return false;
}

static bool judge_statement(struct judge *j) {
    const struct pol_stmt *s = j->s;
    const struct pol_rule *deny;
    for (size_t i = 0; i < s->nrelations; i++) { /* explicit denials first: their reasons say more than "no rule" */
        const struct pol_relation *rel = &s->relations[i];
        if (rel->schema == NULL) continue;
        rules_on(j->r, rel->schema, rel->name, rel->access, &deny);
        if (deny != NULL) return judge_relation(j, rel);
    }
    if (!judge_actions(j)) return false;
    for (size_t i = 0; i < s->nrelations; i++)
        if (!judge_relation(j, &s->relations[i])) return false;
    for (size_t i = 0; i < s->nfunctions; i++)
        if (!judge_function(j, &s->functions[i])) return false;
    for (size_t i = 0; i < s->nsettings; i++)
        if (!judge_set(j, &s->settings[i])) return false;
    return judge_opaque(j);
}

static void allow(struct pol_verdict *out) {
    memset(out, 0, sizeof *out);
    out->effect = POL_ALLOW;
    out->rule = "";
    snprintf(out->sqlstate, sizeof out->sqlstate, "00000");
}

/* The rule to name beside an allowed statement: the first one that grants something of it. */
static const char *granting_rule(const struct pol_role *r, const struct pol_stmt *s) {
    for (size_t i = 0; i < r->nrules; i++) {
        const struct pol_rule *rule = r->rules[i];
        if (rule->deny) continue;
        if (rule->actions & s->actions) return rule->name;
        if (s->opaque && rule->everything && rule->actions == POL_ALL_ACTIONS) return rule->name;
        for (size_t k = 0; k < s->nrelations; k++) {
            const struct pol_relation *rel = &s->relations[k];
            const char *schema = rel->schema != NULL ? rel->schema : r->pins.nsearch_path > 0 ? r->pins.search_path[0] : "";
            if (strcmp(schema, "pg_temp") == 0 && (rule->actions & POL_TEMP)) return rule->name;
            if ((rule->actions & rel->access) == 0) continue;
            for (size_t p = 0; p < rule->non; p++)
                if (matches(&rule->on[p], schema, rel->name)) return rule->name;
        }
        for (size_t k = 0; k < s->nfunctions; k++) {
            const struct pol_function *f = &s->functions[k];
            const char *schema = f->schema != NULL               ? f->schema
                                 : pg_function_built_in(f->name) ? "pg_catalog"
                                 : r->pins.nsearch_path > 0      ? r->pins.search_path[0]
                                                                 : "";
            for (size_t p = 0; p < rule->nfunctions; p++)
                if (matches(&rule->functions[p], schema, f->name)) return rule->name;
        }
    }
    return "";
}

void pol_judge(const struct pol_role *r, const struct pol_facts *f, struct pol_verdict *out) {
    allow(out);
    for (size_t i = 0; i < f->nstmts; i++) {
        struct judge j = {r, &f->stmts[i], out};
        out->stmt = i;
        if (!judge_statement(&j)) return;
        if (out->rule[0] == '\0') out->rule = granting_rule(r, &f->stmts[i]);
    }
    out->stmt = 0;
}

bool pol_judge_setting(const struct pol_role *r, const char *name, const char *value, struct pol_verdict *out) {
    char folded[128];
    size_t n = strlen(name);
    allow(out);
    if (n >= sizeof folded) n = sizeof folded - 1;
    for (size_t i = 0; i < n; i++) folded[i] = name[i] >= 'A' && name[i] <= 'Z' ? (char)(name[i] | 0x20) : name[i];
    folded[n] = '\0';
    struct pol_stmt s = {.kind = POL_K_SET, .tag = "SET"};
    struct pol_setting setting = {.name = folded, .value = value};
    struct judge j = {r, &s, out};
    return judge_set(&j, &setting);
}

void pol_refuse_parse(const struct pol_parse_error *e, struct pol_verdict *out) {
    allow(out);
    out->effect = POL_DENY;
    snprintf(out->sqlstate, sizeof out->sqlstate, "%s", pol_parse_sqlstate(e->rc));
    add(out->message, sizeof out->message, "%s", e->text[0] != '\0' ? e->text : "the statement cannot be read");
    switch (e->rc) {
    case POL_SYNTAX:
        add(out->detail, sizeof out->detail, "The statement is not valid in PostgreSQL 15's grammar, so it was not sent to the database.");
        break;
    case POL_NOT_UNDERSTOOD:
        add(out->detail, sizeof out->detail, "What the policy cannot understand it does not let through.");
        add(out->hint, sizeof out->hint, "Write the statement in a plainer form.");
        break;
    case POL_TOO_DEEP:
    case POL_TOO_LARGE:
        add(out->detail, sizeof out->detail, "The statement was not sent to the database.");
        add(out->hint, sizeof out->hint, "Send it in smaller pieces, or as a list: x = ANY (ARRAY[...]), VALUES (...), (...).");
        break;
    default: add(out->detail, sizeof out->detail, "The statement was not sent to the database.");
    }
}
