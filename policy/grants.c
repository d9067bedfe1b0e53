#include "policy/grants.h"

#include "policy/policy_int.h"

#include <string.h>

#define DATA (POL_SELECT | POL_INSERT | POL_UPDATE | POL_DELETE)

unsigned pol_role_granted(const struct pol_role *r, const struct pol_cat_relation *rel, bool now) {
    unsigned allowed = 0, denied = 0;
    if (pol_closed_schema(r->pins.mysql, rel->schema)) return 0;
    for (size_t i = 0; i < r->nrules; i++) {
        const struct pol_rule *rule = r->rules[i];
        if (now ? !pol_rule_on(r, rule) : rule->deny && rule->times != NULL) continue;
        for (size_t k = 0; k < rule->non; k++)
            if (pol_matches(&rule->on[k], rel->schema, rel->name)) *(rule->deny ? &denied : &allowed) |= rule->actions;
    }
    return allowed & ~denied;
}

struct out {
    bool (*row)(void *arg, const struct pol_grant *g);
    void *arg;
    size_t n;
};

static bool give(struct out *o, const struct pol_grant *g) { return o->n++ >= POL_GRANTS_MAX || o->row(o->arg, g); }

static bool columns(struct out *o, const struct pol_view *v, struct pol_grant g, unsigned actions) {
    for (size_t i = 0; i < v->relation->ncolumns; i++) {
        const struct pol_view_column *c = &v->columns[i];
        g.column = v->relation->columns[i].name;
        g.shown = c->how;
        g.write = (actions & (POL_INSERT | POL_UPDATE)) == 0 ? "" : c->writable ? "yes" : "no";
        g.rule = c->rule != NULL ? c->rule : v->filter != NULL ? v->rule : "";
        if (!give(o, &g)) return false;
    }
    return true;
}

bool pol_role_grants(const struct pol_role *r, bool (*row)(void *arg, const struct pol_grant *g), void *arg) {
    struct out o = {row, arg, 0};
    char actions[100];
    bool failed;
    for (size_t i = 0; r->catalog != NULL && i < pol_catalog_relations(r->catalog) && o.n <= POL_GRANTS_MAX; i++) {
        const struct pol_cat_relation *rel = pol_catalog_relation_at(r->catalog, i);
        unsigned may = rel->kind == 'c' ? 0 : pol_role_granted(r, rel, true) & DATA;
        if (may == 0) continue;
        const struct pol_view *v = pol_role_view(r, rel, &failed);
        if (failed) return false;
        pol_action_words(may, actions, sizeof actions);
        struct pol_grant g = {rel->schema, rel->name, "*", actions, "visible", "all", (may & (POL_INSERT | POL_UPDATE)) != 0 ? "yes" : "",
                              ""};
        if (v == NULL) {
            if (!give(&o, &g)) return false;
            continue;
        }
        g.rows = v->filter != NULL ? "filtered" : "all";
        g.rule = v->rule;
        if (v->problem != NULL) {
            g.shown = "unusable";
            g.write = "";
        }
        if (!(v->problem != NULL ? give(&o, &g) : columns(&o, v, g, may))) return false;
    }
    static const struct pol_grant more = {"", "", "", "", "there is more, which is left out", "", "", ""};
    return o.n <= POL_GRANTS_MAX || row(arg, &more);
}
