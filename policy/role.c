/* What applies to one identity on one database, indexed so that a verdict does not read 10,000 rules. */
#include "policy/my_reference.h"
#include "policy/policy_int.h"

#include <stdlib.h>
#include <string.h>
#include <strings.h>

/* '*' stands for any run of characters. Linear but for going back to the last star: bounded by pattern times text. */
bool pol_glob(const char *pattern, const char *text) {
    const char *star = NULL, *mark = NULL;
    while (*text != '\0') {
        if (*pattern == '*') {
            star = pattern++;
            mark = text;
        } else if (*pattern == *text) {
            pattern++, text++;
        } else if (star != NULL) {
            pattern = star + 1;
            text = ++mark;
        } else {
            return false;
        }
    }
    while (*pattern == '*') pattern++;
    return *pattern == '\0';
}

bool pol_matches(const struct pol_pattern *p, const char *schema, const char *name) {
    if (p->exact) return strcmp(p->schema, schema) == 0 && strcmp(p->name, name) == 0;
    return pol_glob(p->schema, schema) && pol_glob(p->name, name);
}

bool pol_role_system(const struct pol_role *r, const char *schema) { return pol_closed_schema(r->pins.mysql, schema); }

bool pol_own_schema(bool mysql, const char *schema) {
    return mysql ? strcasecmp(schema, POL_OWN_SCHEMA) == 0 : strcmp(schema, POL_OWN_SCHEMA) == 0;
}

bool pol_closed_schema(bool mysql, const char *schema) {
    return mysql ? my_system_schema(schema) != NULL || pol_own_schema(true, schema) : pol_system_schema(schema);
}

void pol_role_my_mode(struct pol_role *r, unsigned mode) {
    r->pins.my_mode = mode;
    r->pins.my_mode_known = true;
}

bool pol_system_schema(const char *schema) {
    return strncmp(schema, "pg_", 3) == 0 || strcmp(schema, "information_schema") == 0 || strcmp(schema, POL_OWN_SCHEMA) == 0;
}

uint32_t pol_name_hash(const char *schema, const char *name) {
    uint32_t h = 2166136261u;
    for (; *schema != '\0'; schema++) h = (h ^ (unsigned char)*schema) * 16777619u;
    h = (h ^ '.') * 16777619u;
    for (; *name != '\0'; name++) h = (h ^ (unsigned char)*name) * 16777619u;
    return h;
}

static bool applies(const struct pol_rule *r, const struct pol_subject *who, const char *database) {
    if (!pol_rule_here(r, database)) return false;
    if (pol_has_word(r->groups, "*") || pol_has_word(r->principals, "*")) return true;
    if (who->principal != NULL && pol_has_word(r->principals, who->principal)) return true;
    for (size_t i = 0; i < who->ngroups; i++)
        if (pol_has_word(r->groups, who->groups[i])) return true;
    return false;
}

static bool copy_pins(struct pol_role *r, const struct pol_pins *pins) {
    static const struct pol_pins none;
    if (pins == NULL) pins = &none;
    const char **path = pol_alloc_array(r->arena, pins->nsearch_path + 1, sizeof *path);
    if (path == NULL) return false;
    for (size_t i = 0; i < pins->nsearch_path; i++)
        if ((path[i] = pol_strdup(r->arena, pins->search_path[i])) == NULL) return false;
    r->pins = (struct pol_pins){.search_path = path, .nsearch_path = pins->nsearch_path, .mysql = pins->mysql};
    size_t n = 0;
    while (pins->settings != NULL && pins->settings[n] != NULL) n++;
    const char **settings = pol_alloc_array(r->arena, n + 1, sizeof *settings);
    if (settings == NULL) return false;
    for (size_t i = 0; i < n; i++)
        if ((settings[i] = pol_strdup(r->arena, pins->settings[i])) == NULL) return false;
    r->pins.settings = settings;
    r->pins.time_zone = pol_strdup(r->arena, pins->time_zone);
    r->pins.date_style = pol_strdup(r->arena, pins->date_style);
    return (r->pins.time_zone != NULL) == (pins->time_zone != NULL) && (r->pins.date_style != NULL) == (pins->date_style != NULL);
}

static bool copy_subject(struct pol_role *r, const struct pol_subject *who) {
    struct pol_claim *claims = pol_alloc_array(r->arena, who->nclaims, sizeof *claims);
    if (claims == NULL) return false;
    for (size_t i = 0; i < who->nclaims; i++) {
        claims[i] = (struct pol_claim){pol_strdup(r->arena, who->claims[i].name), pol_strdup(r->arena, who->claims[i].value)};
        if (claims[i].name == NULL || claims[i].value == NULL) return false;
    }
    r->claims = claims;
    r->nclaims = who->nclaims;
    r->groups = pol_alloc_array(r->arena, who->ngroups + 1, sizeof *r->groups);
    if (r->groups == NULL) return false;
    for (size_t i = 0; i < who->ngroups; i++)
        if ((r->groups[i] = pol_strdup(r->arena, who->groups[i])) == NULL) return false;
    r->principal = pol_strdup(r->arena, who->principal);
    return (r->principal != NULL) == (who->principal != NULL);
}

/* What follows from the rules that hold now. */
static void add_up(struct pol_role *r) {
    r->unbound = r->everywhere = 0;
    r->super = NULL;
    r->asks = r->asks_by_name = r->unpin = false;
    for (size_t i = 0; i < r->nrules; i++) {
        const struct pol_rule *rule = r->rules[i];
        if (rule->deny || !pol_rule_on(r, rule)) continue;
        /* Who writes "all" on some relations means those: server files, settings and code must be named, or all be allowed on all. */
        bool all_on_some = rule->actions == POL_ALL_ACTIONS && !rule->everything;
        r->unbound |= rule->actions & (all_on_some ? POL_TEMP : POL_UNBOUND);
        if (rule->everything) r->everywhere |= rule->actions;
        if (rule->everything && rule->actions == POL_ALL_ACTIONS && r->super == NULL) r->super = rule;
        r->asks = r->asks || rule->ask;
        r->asks_by_name = r->asks_by_name || (rule->ask && !rule->everything);
        r->unpin = r->unpin || (rule->unpin && !r->keep_pins);
    }
}

static bool bounds(const struct pol_rule *rule) { return pol_rule_bounds(rule); }
static bool denies(const struct pol_rule *rule) { return rule->deny; }
static bool asks(const struct pol_rule *rule) { return rule->ask; }
static bool calls(const struct pol_rule *rule) { return !rule->deny && rule->nfunctions > 0; }
static bool timed(const struct pol_rule *rule) { return rule->times != NULL; }

static bool find_those(const struct pol_role *r, bool (*is)(const struct pol_rule *rule), struct pol_rules *out) {
    size_t n = 0;
    for (size_t i = 0; i < r->nrules; i++) n += is(r->rules[i]);
    if (n > 0 && (out->at = pol_alloc_array(r->arena, n, sizeof *out->at)) == NULL) return false;
    for (size_t i = 0; n > 0 && i < r->nrules; i++)
        if (is(r->rules[i])) out->at[out->n++] = r->rules[i];
    return true;
}

/* Nobody has said yet what time it is: nothing is granted that depends on it. */
static bool find_times(struct pol_role *r) {
    if (!find_those(r, timed, &r->timed)) return false;
    if (r->timed.n > 0 && (r->off = pol_alloc_array(r->arena, r->policy->nrules, sizeof *r->off)) == NULL) return false;
    for (size_t i = 0; i < r->timed.n; i++) r->off[r->timed.at[i] - r->policy->rules] = !r->timed.at[i]->deny;
    r->told = INT64_MIN;
    add_up(r);
    return true;
}

bool pol_role_at(struct pol_role *r, int64_t unix_s) {
    bool changed = false;
    if (unix_s == r->told) return false; /* asked for each statement */
    r->told = unix_s;
    for (size_t i = 0; i < r->timed.n; i++) {
        const struct pol_rule *rule = r->timed.at[i];
        bool *off = &r->off[rule - r->policy->rules], now = !pol_times_hold(rule->times, rule->ntimes, unix_s);
        changed = changed || *off != now;
        *off = now;
    }
    if (changed) add_up(r);
    return changed;
}

/* What pol_judge_long() counts with. */
static void measure(struct pol_role *r) {
    const struct pol_policy *p = r->policy;
    for (size_t i = 0; i < r->calls.n; i++) r->nfunctions += r->calls.at[i]->nfunctions;
    for (size_t i = 0; i < r->bounds.n; i++) r->nbounds += r->bounds.at[i]->non;
    for (size_t i = 0; i < r->nrules; i++) r->npatterns += r->rules[i]->non;
    for (size_t i = 0; i < p->nrules; i++) r->policy_patterns += p->rules[i].non;
    for (size_t i = 0; i < p->ntags; i++) r->policy_patterns += p->tags[i].nitems;
    while (r->any_at < r->nrules && (r->rules[r->any_at]->deny || r->rules[r->any_at]->times != NULL)) r->any_at++;
    for (size_t i = 0; i < r->nrules; i++) {
        const struct pol_rule *rule = r->rules[i];
        if (!pol_rule_restricts(rule)) continue;
        r->hiding += rule->non;
        for (size_t j = 0; j < rule->ncolumns; j++) {
            const char *tag = rule->columns[j].tag;
            r->tagged += 1 + (tag != NULL ? p->ntags : 0);
            if (tag == NULL) r->hiding += rule->non; /* named_somewhere() */
            for (size_t t = 0; tag != NULL && t < p->ntags; t++)
                if (strcmp(p->tags[t].name, tag) == 0 && strcmp(p->tags[t].database, r->database) == 0) r->tagged += p->tags[t].nitems;
        }
    }
}

static bool find_rules(struct pol_role *r, const struct pol_subject *who, size_t *patterns) {
    const struct pol_policy *p = r->policy;
    r->rules = pol_alloc_array(r->arena, p->nrules, sizeof *r->rules);
    if (r->rules == NULL) return false;
    *patterns = 0;
    if (!pol_policy_has_database(p, r->database)) return true; /* no rule speaks of it, not even one for "*" */
    for (size_t i = 0; i < p->nrules; i++) {
        const struct pol_rule *rule = &p->rules[i];
        if (!applies(rule, who, r->database)) continue;
        r->rules[r->nrules++] = rule;
        *patterns += rule->non;
        if (r->wall == NULL && (rule->deny || pol_rule_restricts(rule))) r->wall = rule;
        if (rule->deny) continue;
        if (r->hides == NULL && pol_rule_restricts(rule)) r->hides = rule;
        r->restricts = r->hides != NULL;
        r->read_only = r->read_only || rule->read_only;
    }
    if (!find_those(r, bounds, &r->bounds) || !find_those(r, denies, &r->denials) || !find_those(r, asks, &r->asking) ||
        !find_those(r, calls, &r->calls))
        return false;
    measure(r);
    return find_times(r);
}

static uint32_t *slot_of_schema(const struct pol_role *r, const char *schema) {
    return &r->schemas[pol_name_hash(schema, "") & (r->nschemas - 1)];
}

static size_t chain(const struct pol_entry *entries, uint32_t at) {
    size_t n = 0;
    for (; at != 0; at = entries[at - 1].next) n++;
    return n;
}

static size_t slots_for(size_t entries) {
    size_t n = 16;
    while (n < entries * 2) n *= 2;
    return n;
}

static bool index_patterns(struct pol_role *r, size_t patterns) {
    size_t globs = 0, exact = 0, own = 0, n;
    for (size_t i = 0; i < r->nrules; i++)
        for (size_t j = 0; j < r->rules[i]->non; j++) globs += !r->rules[i]->on[j].exact;
    r->nslots = slots_for(patterns - globs);
    r->nschemas = slots_for(globs);
    r->slots = pol_alloc_array(r->arena, r->nslots, sizeof *r->slots);
    r->schemas = pol_alloc_array(r->arena, r->nschemas, sizeof *r->schemas);
    r->exact = pol_alloc_array(r->arena, patterns - globs, sizeof *r->exact);
    r->globs = pol_alloc_array(r->arena, globs, sizeof *r->globs);
    if (r->slots == NULL || r->schemas == NULL || r->exact == NULL || r->globs == NULL) return false;
    for (size_t i = 0; i < r->nrules; i++)
        for (size_t j = 0; j < r->rules[i]->non; j++) {
            const struct pol_pattern *p = &r->rules[i]->on[j];
            if (!p->exact) {
                r->globs[r->nglobs++] = (struct pol_entry){p, r->rules[i], 0};
                continue;
            }
            uint32_t *slot = &r->slots[pol_name_hash(p->schema, p->name) & (r->nslots - 1)];
            r->exact[r->nexact++] = (struct pol_entry){p, r->rules[i], *slot};
            *slot = (uint32_t)r->nexact;
        }
    for (size_t i = r->nglobs; i-- > 0;) { /* from the end: chains are in the file's order */
        const char *schema = r->globs[i].pattern->schema;
        uint32_t *first = strchr(schema, '*') != NULL ? &r->wild : slot_of_schema(r, schema);
        r->globs[i].next = *first;
        *first = (uint32_t)i + 1;
    }
    for (size_t i = 0; i < r->nslots; i++)
        if ((n = chain(r->exact, r->slots[i])) > exact) exact = n;
    for (size_t i = 0; i < r->nschemas; i++)
        if ((n = chain(r->globs, r->schemas[i])) > own) own = n;
    r->most = exact + own + chain(r->globs, r->wild);
    return true;
}

struct pol_glob_at pol_glob_begin(const struct pol_role *r, const char *schema) {
    return (struct pol_glob_at){*slot_of_schema(r, schema), r->wild};
}

const struct pol_entry *pol_glob_next(const struct pol_role *r, struct pol_glob_at *at) {
    uint32_t *from = at->own != 0 && (at->wild == 0 || at->own < at->wild) ? &at->own : &at->wild;
    if (*from == 0) return NULL;
    const struct pol_entry *e = &r->globs[*from - 1];
    *from = e->next;
    return e;
}

struct pol_role *pol_role_new(struct pol_policy *p, const struct pol_subject *who, const char *database, const struct pol_pins *pins) {
    struct pol_role *r = calloc(1, sizeof *r);
    if (r == NULL) return NULL;
    size_t patterns;
    r->policy = pol_policy_ref(p);
    r->arena = pol_arena_new();
    if (r->arena == NULL || (r->database = pol_strdup(r->arena, database)) == NULL || !copy_pins(r, pins) || !copy_subject(r, who) ||
        !pol_views_init(r) || !find_rules(r, who, &patterns) || !index_patterns(r, patterns)) {
        pol_role_free(r);
        return NULL;
    }
    for (size_t i = 0; i < p->ndatabases; i++)
        if (strcmp(p->databases[i].name, database) == 0) r->observes = p->databases[i].observe;
    return r;
}

void pol_role_free(struct pol_role *r) {
    if (r == NULL) return;
    pol_policy_unref(r->policy);
    pol_catalog_unref(r->catalog);
    pol_arena_free(r->arena);
    free(r);
}

void pol_role_use_catalog(struct pol_role *r, struct pol_catalog *catalog, bool rewrites) {
    if (r->catalog == NULL && catalog != NULL) r->catalog = pol_catalog_ref(catalog);
    r->rewrites = rewrites;
}

bool pol_role_restricts(const struct pol_role *r) { return r->restricts; }
bool pol_role_read_only(const struct pol_role *r) { return r->read_only; }
bool pol_role_everything(const struct pol_role *r) { return r->super != NULL && r->wall == NULL && !r->asks_by_name; }
void pol_role_keep_pins(struct pol_role *r) {
    r->keep_pins = true;
    r->unpin = false;
}
void pol_role_offline(struct pol_role *r) { r->offline = true; }
bool pol_role_observes(const struct pol_role *r) { return r->observes; }
size_t pol_role_rules(const struct pol_role *r) { return r->nrules; }
const char *pol_role_rule(const struct pol_role *r, size_t i) { return r->rules[i]->name; }

bool pol_rule_glass(const struct pol_role *r, const struct pol_rule *rule) {
    for (const char *const *g = rule->glass; g != NULL && *g != NULL; g++)
        if (pol_has_word(r->groups, *g)) return true;
    return false;
}

uint64_t pol_role_glass_ms(const struct pol_role *r) {
    uint64_t most = 0;
    for (size_t i = 0; i < r->nrules; i++)
        if (pol_rule_glass(r, r->rules[i]) && r->rules[i]->glass_ms > most) most = r->rules[i]->glass_ms;
    return most;
}

bool pol_role_any(const struct pol_role *r) {
    for (size_t i = 0; i < r->nrules; i++)
        if (!r->rules[i]->deny) return true;
    return false;
}
