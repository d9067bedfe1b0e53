/* What applies to one identity on one database, indexed so that a verdict does not read 10,000 rules. */
#include "policy/policy_int.h"

#include <stdlib.h>
#include <string.h>

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

uint32_t pol_name_hash(const char *schema, const char *name) {
    uint32_t h = 2166136261u;
    for (; *schema != '\0'; schema++) h = (h ^ (unsigned char)*schema) * 16777619u;
    h = (h ^ '.') * 16777619u;
    for (; *name != '\0'; name++) h = (h ^ (unsigned char)*name) * 16777619u;
    return h;
}

static bool has(const char *const *list, const char *word) {
    for (; list != NULL && *list != NULL; list++)
        if (strcmp(*list, word) == 0) return true;
    return false;
}

static bool applies(const struct pol_rule *r, const struct pol_subject *who, const char *database) {
    if (r->databases != NULL && !has(r->databases, database)) return false;
    if (has(r->groups, "*") || has(r->principals, "*")) return true;
    if (who->principal != NULL && has(r->principals, who->principal)) return true;
    for (size_t i = 0; i < who->ngroups; i++)
        if (has(r->groups, who->groups[i])) return true;
    return false;
}

static bool copy_pins(struct pol_role *r, const struct pol_pins *pins) {
    static const struct pol_pins none;
    if (pins == NULL) pins = &none;
    const char **path = pol_alloc_array(r->arena, pins->nsearch_path + 1, sizeof *path);
    if (path == NULL) return false;
    for (size_t i = 0; i < pins->nsearch_path; i++)
        if ((path[i] = pol_strdup(r->arena, pins->search_path[i])) == NULL) return false;
    r->pins = (struct pol_pins){.search_path = path, .nsearch_path = pins->nsearch_path};
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
        if (rule->deny) {
            if (r->deny == NULL) r->deny = rule;
            continue;
        }
        /* Who writes "all" on some relations means those: server files, settings and code must be named, or all be allowed on all. */
        bool all_on_some = rule->actions == POL_ALL_ACTIONS && !rule->everything;
        r->unbound |= rule->actions & (all_on_some ? POL_TEMP : POL_UNBOUND);
        if (rule->everything) r->everywhere |= rule->actions;
        if (rule->everything && rule->actions == POL_ALL_ACTIONS && r->super == NULL) r->super = rule;
    }
    return true;
}

static bool index_patterns(struct pol_role *r, size_t patterns) {
    for (r->nslots = 16; r->nslots < patterns * 2; r->nslots *= 2) {
    }
    r->slots = pol_alloc_array(r->arena, r->nslots, sizeof *r->slots);
    r->exact = pol_alloc_array(r->arena, patterns, sizeof *r->exact);
    r->globs = pol_alloc_array(r->arena, patterns, sizeof *r->globs);
    if (r->slots == NULL || r->exact == NULL || r->globs == NULL) return false;
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
    return true;
}

struct pol_role *pol_role_new(struct pol_policy *p, const struct pol_subject *who, const char *database, const struct pol_pins *pins) {
    struct pol_role *r = calloc(1, sizeof *r);
    if (r == NULL) return NULL;
    size_t patterns;
    r->policy = pol_policy_ref(p);
    r->arena = pol_arena_new();
    if (r->arena == NULL || (r->database = pol_strdup(r->arena, database)) == NULL || !copy_pins(r, pins) ||
        !find_rules(r, who, &patterns) || !index_patterns(r, patterns)) {
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
    pol_arena_free(r->arena);
    free(r);
}

bool pol_role_observes(const struct pol_role *r) { return r->observes; }
bool pol_role_any(const struct pol_role *r) {
    for (size_t i = 0; i < r->nrules; i++)
        if (!r->rules[i]->deny) return true;
    return false;
}
