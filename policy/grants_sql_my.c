#include "policy/grants_sql_int.h"

#include "policy/expr_my.h"

#include <stdio.h>
#include <string.h>

/* "gatehouse" is `gatehouse`@`%`, "gate@10.0.0.1" is `gate`@`10.0.0.1`. */
static void put_user(struct gs *s) {
    const char *at = strrchr(s->g->role, '@');
    char name[128];
    snprintf(name, sizeof name, "%.*s", at != NULL ? (int)(at - s->g->role) : 120, s->g->role);
    my_put_ident(s->out, name);
    buf_u8(s->out, '@');
    my_put_ident(s->out, at != NULL ? at + 1 : "%");
}

/* information_schema shows a column only to who has some right to it; with REFERENCES the catalog knows of those that nobody reads. */
static void put_relation(struct gs *s, const struct pol_cat_relation *rel, const struct need *n) {
    if (!gs_rights(s, rel, n, my_put_ident)) return;
    if ((n->all & (N_SELECT | N_INSERT | N_UPDATE)) == 0) buf_str(s->out, ", REFERENCES");
    buf_str(s->out, " ON ");
    my_put_ident(s->out, rel->schema);
    buf_u8(s->out, '.');
    my_put_ident(s->out, rel->name);
    buf_str(s->out, " TO ");
    put_user(s);
    buf_str(s->out, ";\n");
}

static void put_functions(struct gs *s) {
    for (size_t i = 0; i < s->g->policy->nrules; i++) {
        const struct pol_rule *rule = &s->g->policy->rules[i];
        for (size_t k = 0; !rule->deny && k < rule->nfunctions; k++) {
            const struct pol_pattern *p = &rule->functions[k];
            if (!p->exact || strcmp(p->schema, pol_catalog_database(s->g->catalog)) != 0) continue;
            buf_str(s->out, "-- A rule lists it, and the catalog does not tell whether it is there: GRANT EXECUTE ON FUNCTION ");
            gs_comment(s, p->schema);
            buf_u8(s->out, '.');
            gs_comment(s, p->name);
            buf_u8(s->out, '\n');
        }
    }
}

void gs_put_my(struct gs *s, size_t n) {
    unsigned temp = s->unbound & POL_TEMP, truncates = 0;
    buf_str(s->out, "-- What gatehouse's user needs for the policy ");
    buf_str(s->out, s->g->policy->hash);
    buf_str(s->out, "\n-- on this server. To be run by a user who may create users, and grant all of it.\nCREATE USER IF NOT EXISTS ");
    put_user(s);
    buf_str(s->out, ";\n-- Give it a password: ALTER USER ... IDENTIFIED BY ... REQUIRE SSL. It must have no right besides these.\n");
    if (temp != 0) {
        buf_str(s->out, "GRANT CREATE TEMPORARY TABLES ON ");
        my_put_ident(s->out, pol_catalog_database(s->g->catalog));
        buf_str(s->out, ".* TO ");
        put_user(s);
        buf_str(s->out, ";\n");
    }
    for (size_t i = 0; i < n; i++) {
        put_relation(s, pol_catalog_relation_at(s->g->catalog, i), &s->needs[i]);
        truncates |= s->needs[i].all & N_TRUNCATE;
    }
    put_functions(s);
    if (truncates != 0 || (s->owner & (POL_CREATE | POL_ALTER | POL_DROP | POL_GRANT | POL_MAINTAIN)))
        buf_str(s->out, "\n-- Rules allow create, alter, drop, truncate, grant or maintain: what these need is not given here (TRUNCATE "
                        "needs DROP).\n");
    if (s->owner & POL_LOCK) buf_str(s->out, "-- Rules allow lock: LOCK TABLES is a right to a whole database, and not given here.\n");
    if (s->unbound & POL_FILES) buf_str(s->out, "-- Rules allow files: FILE, which reads everything, is not given here.\n");
}
