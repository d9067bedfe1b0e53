#include "policy/grants_sql_int.h"

#include "policy/grants.h"

#include <stdlib.h>
#include <string.h>

/* --- what is needed --- */

static unsigned of_actions(unsigned actions) {
    return (actions & POL_SELECT ? N_SELECT : 0u) | (actions & POL_INSERT ? N_INSERT : 0u) | (actions & POL_UPDATE ? N_UPDATE : 0u) |
           (actions & POL_DELETE ? N_DELETE : 0u) | (actions & POL_TRUNCATE ? N_TRUNCATE : 0u);
}

/* A mask reads the raw column, the NULL of a hidden one does not. */
static bool restricted(struct gs *s, struct need *n, const struct pol_view *v, unsigned may) {
    size_t count = v->relation->ncolumns;
    if (v->problem != NULL) {
        if (n->unusable == NULL) n->unusable = pol_strdup(s->arena, v->problem);
        return n->unusable != NULL;
    }
    if (n->columns == NULL && (n->columns = pol_alloc_array(s->arena, count, sizeof *n->columns)) == NULL) return false;
    n->all |= may & (N_DELETE | N_TRUNCATE);
    for (size_t i = 0; i < count; i++) {
        const struct pol_view_column *c = &v->columns[i];
        bool read = (c->visibility == POL_VISIBLE || (c->visibility == POL_MASKED && !c->null)) && (may & N_SELECT) != 0;
        if (read || (c->filter && (may & (N_SELECT | N_UPDATE | N_DELETE)) != 0)) n->columns[i] |= N_SELECT;
        if (c->writable) n->columns[i] |= may & (N_INSERT | N_UPDATE);
    }
    return true;
}

/* What one identity reaches. Who is in several groups reaches no more columns than in one of them: obligations add up. */
static bool identity(struct gs *s, const struct pol_subject *who) {
    bool ok = true, failed;
    const char *const schemas[] = {pol_catalog_database(s->g->catalog)};
    const struct pol_pins pins = {.search_path = schemas, .nsearch_path = s->mysql ? 1 : 0, .mysql = s->mysql};
    struct pol_role *r = pol_role_new((struct pol_policy *)(uintptr_t)s->g->policy, who, s->g->database, &pins);
    if (r == NULL) return false;
    pol_role_use_catalog(r, s->g->catalog, true);
    r->assume_hash = true;
    for (size_t i = 0; i < r->nrules; i++) {
        const struct pol_rule *rule = r->rules[i];
        if (!rule->deny) s->unbound |= rule->actions & (POL_TEMP | POL_FILES | POL_EXECUTE);
        if (!rule->deny) s->owner |= rule->actions & (POL_CREATE | POL_ALTER | POL_DROP | POL_GRANT | POL_MAINTAIN | POL_LOCK);
    }
    for (size_t i = 0; ok && i < pol_catalog_relations(s->g->catalog); i++) {
        const struct pol_cat_relation *rel = pol_catalog_relation_at(s->g->catalog, i);
        unsigned may = rel->kind == 'c' ? 0 : of_actions(pol_role_granted(r, rel, false));
        if (may == 0) continue;
        const struct pol_view *v = pol_role_view(r, rel, &failed);
        s->needs[i].writes = s->needs[i].writes || (may & N_INSERT) != 0;
        if (failed)
            ok = false;
        else if (v == NULL)
            s->needs[i].all |= may;
        else
            ok = restricted(s, &s->needs[i], v, may);
    }
    pol_role_free(r);
    return ok;
}

static bool everybody(struct gs *s) {
    const struct pol_grants_sql *g = s->g;
    for (size_t i = 0; i < g->ngroups; i++)
        if (!identity(s, &(struct pol_subject){.groups = &g->groups[i], .ngroups = 1})) return false;
    if (g->ngroups > 0) return true;
    for (size_t i = 0; i < g->policy->nrules; i++) {
        const struct pol_rule *rule = &g->policy->rules[i];
        for (const char *const *w = rule->groups; w != NULL && *w != NULL; w++)
            if (!rule->deny && !identity(s, &(struct pol_subject){.groups = w, .ngroups = 1})) return false;
        for (const char *const *w = rule->principals; w != NULL && *w != NULL; w++)
            if (!rule->deny && !identity(s, &(struct pol_subject){.principal = *w})) return false;
    }
    return true;
}

static bool find_keys(struct gs *s) {
    for (size_t i = 0; i < s->g->policy->nrules; i++) {
        const struct pol_rule *rule = &s->g->policy->rules[i];
        for (size_t k = 0; k <= rule->ncolumns; k++) {
            const struct pol_column_rule *c = k < rule->ncolumns ? &rule->columns[k] : &rule->others;
            size_t known = 0;
            if (c->visibility != POL_MASKED || c->mask.kind != POL_M_HASH) continue;
            while (known < s->nkeys && strcmp(s->keys[known], c->mask.text) != 0) known++;
            if (known < s->nkeys) continue;
            const char **all = pol_grow(s->arena, s->keys, s->nkeys, &s->keys_cap, sizeof *all);
            if (all == NULL) return false;
            s->keys = all;
            all[s->nkeys++] = c->mask.text;
        }
    }
    return true;
}

/* --- the text --- */

static void put_name(struct gs *s, const struct pol_cat_relation *rel) {
    pol_put_ident(s->out, rel->schema);
    buf_u8(s->out, '.');
    pol_put_ident(s->out, rel->name);
}

static void put_role(struct gs *s) { pol_put_ident(s->out, s->g->role); }

void gs_comment(struct gs *s, const char *text) {
    for (; *text != '\0'; text++) buf_u8(s->out, (unsigned char)*text < 0x20 ? ' ' : (uint8_t)*text);
}

static void to_role(struct gs *s) {
    buf_str(s->out, " TO ");
    put_role(s);
    buf_str(s->out, ";\n");
}

bool gs_rights(struct gs *s, const struct pol_cat_relation *rel, const struct need *n, void (*put)(struct buf *out, const char *name)) {
    static const struct {
        unsigned bit;
        const char *word;
    } words[] = {{N_SELECT, "SELECT"}, {N_INSERT, "INSERT"}, {N_UPDATE, "UPDATE"}, {N_DELETE, "DELETE"}, {N_TRUNCATE, "TRUNCATE"}};
    bool any = false;
    if (n->unusable != NULL) {
        buf_str(s->out, "-- ");
        gs_comment(s, rel->schema);
        buf_u8(s->out, '.');
        gs_comment(s, rel->name);
        buf_str(s->out, " cannot be used by some, as the policy stands: ");
        gs_comment(s, n->unusable);
        buf_str(s->out, ".\n");
    }
    struct buf *b = s->out;
    for (size_t w = 0; w < sizeof words / sizeof *words; w++) {
        if (rel->kind == 'S' && !s->mysql && (words[w].bit & (N_SELECT | N_UPDATE)) == 0)
            continue; /* of a sequence there is nothing else */
        if (s->mysql && words[w].bit == N_TRUNCATE) continue;
        if (n->all & words[w].bit) {
            buf_str(b, any ? ", " : "GRANT ");
            buf_str(b, words[w].word);
            any = true;
            continue;
        }
        bool open = false;
        for (size_t i = 0; n->columns != NULL && i < rel->ncolumns; i++) {
            if ((n->columns[i] & words[w].bit) == 0) continue;
            if (!open) {
                buf_str(b, any ? ", " : "GRANT ");
                buf_str(b, words[w].word);
                buf_str(b, " (");
            } else
                buf_str(b, ", ");
            put(b, rel->columns[i].name);
            open = any = true;
        }
        if (open) buf_u8(b, ')');
    }
    return any;
}

static void put_relation(struct gs *s, const struct pol_cat_relation *rel, const struct need *n) {
    if (!gs_rights(s, rel, n, pol_put_ident)) return;
    buf_str(s->out, rel->kind == 'S' ? " ON SEQUENCE " : " ON TABLE ");
    put_name(s, rel);
    to_role(s);
}

static bool is_needed(const struct need *n, const struct pol_cat_relation *rel) {
    bool any = n->all != 0;
    for (size_t i = 0; n->columns != NULL && i < rel->ncolumns; i++) any = any || n->columns[i] != 0;
    return any;
}

/* USAGE of each schema once: the catalog has its relations in the order of their schemas or not, so all before are looked at. */
static void put_schemas(struct gs *s) {
    const struct pol_catalog *c = s->g->catalog;
    for (size_t i = 0; i < pol_catalog_relations(c); i++) {
        const struct pol_cat_relation *rel = pol_catalog_relation_at(c, i);
        bool known = !is_needed(&s->needs[i], rel);
        for (size_t k = 0; k < i && !known; k++) {
            const struct pol_cat_relation *other = pol_catalog_relation_at(c, k);
            known = is_needed(&s->needs[k], other) && strcmp(other->schema, rel->schema) == 0;
        }
        if (known) continue;
        buf_str(s->out, "GRANT USAGE ON SCHEMA ");
        pol_put_ident(s->out, rel->schema);
        to_role(s);
    }
}

/* nextval() of a serial column runs as whoever inserts. */
static void put_sequences(struct gs *s) {
    const struct pol_catalog *c = s->g->catalog;
    bool open = false;
    for (size_t i = 0; i < pol_catalog_relations(c); i++) {
        const struct pol_cat_relation *rel = pol_catalog_relation_at(c, i);
        if (!s->needs[i].writes || !is_needed(&s->needs[i], rel)) continue;
        buf_str(
            s->out,
            open ? ", "
                 : "\n-- Sequences that belong to columns of tables which are inserted into.\nDO $gatehouse$\nDECLARE s regclass;\nBEGIN\n"
                   "  FOR s IN SELECT d.objid::regclass FROM pg_depend d JOIN pg_class c ON c.oid = d.objid AND c.relkind = 'S'\n"
                   "      WHERE d.classid = 'pg_class'::regclass AND d.refclassid = 'pg_class'::regclass AND d.deptype = 'a' AND "
                   "d.refobjid IN\n"
                   "      (SELECT c.oid FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace WHERE (n.nspname, c.relname) IN (");
        open = true;
        buf_u8(s->out, '(');
        if (!pol_put_literal(s->out, rel->schema)) buf_str(s->out, "NULL");
        buf_str(s->out, ", ");
        if (!pol_put_literal(s->out, rel->name)) buf_str(s->out, "NULL");
        buf_u8(s->out, ')');
    }
    if (!open) return;
    buf_str(s->out, "))\n  LOOP EXECUTE format('GRANT USAGE ON SEQUENCE %s TO %I', s, ");
    if (!pol_put_literal(s->out, s->g->role)) buf_str(s->out, "NULL");
    buf_str(s->out, "); END LOOP;\nEND $gatehouse$;\n");
}

static void put_functions(struct gs *s) {
    bool any = false;
    for (size_t i = 0; i < s->g->policy->nrules; i++) {
        const struct pol_rule *rule = &s->g->policy->rules[i];
        for (size_t k = 0; !rule->deny && k < rule->nfunctions; k++) {
            const struct pol_pattern *p = &rule->functions[k];
            size_t n;
            if (!p->exact || pol_system_schema(p->schema)) continue;
            const struct pol_cat_function *f = pol_catalog_functions(s->g->catalog, p->schema, p->name, &n);
            for (size_t o = 0; o < n; o++) {
                if (!any)
                    buf_str(s->out, "\n-- Functions that rules list by name. Whoever made them may have left them open to PUBLIC, as "
                                    "PostgreSQL does.\n");
                any = true;
                buf_str(s->out, f[o].kind == 'p' ? "GRANT EXECUTE ON PROCEDURE " : "GRANT EXECUTE ON FUNCTION ");
                pol_put_ident(s->out, f[o].schema);
                buf_u8(s->out, '.');
                pol_put_ident(s->out, f[o].name);
                buf_u8(s->out, '(');
                for (size_t a = 0; a < f[o].nargs; a++) {
                    const struct pol_cat_type *t = pol_catalog_type(s->g->catalog, f[o].args[a]);
                    if (a > 0) buf_str(s->out, ", ");
                    pol_put_ident(s->out, t != NULL ? t->schema : "pg_catalog");
                    buf_u8(s->out, '.');
                    pol_put_ident(s->out, t != NULL ? t->name : "unknown");
                }
                buf_u8(s->out, ')');
                to_role(s);
            }
        }
    }
}

/* HMAC's construction with two independent keys of a block each. They are made by the server and stand in no text. */
static void put_hashes(struct gs *s) {
    static const char setup[] =
        "\n-- Keyed hashes (mask: { hash: KEY }). Once for the database. The keys are made here, by the server, and can be read by the "
        "function's owner alone.\n"
        "DO $gatehouse$ BEGIN\n"
        "  IF NOT EXISTS (SELECT FROM pg_roles WHERE rolname = 'gatehouse_mask') THEN CREATE ROLE gatehouse_mask NOLOGIN; END IF;\n"
        "END $gatehouse$;\n"
        "CREATE SCHEMA IF NOT EXISTS gatehouse;\n"
        "REVOKE ALL ON SCHEMA gatehouse FROM PUBLIC;\n"
        "CREATE TABLE IF NOT EXISTS gatehouse.mask_key (name text PRIMARY KEY, inner_key bytea NOT NULL, outer_key bytea NOT NULL);\n"
        "REVOKE ALL ON gatehouse.mask_key FROM PUBLIC;\n"
        "CREATE OR REPLACE FUNCTION gatehouse.mask_hash(value text, key text) RETURNS text\n"
        "  LANGUAGE sql STABLE STRICT PARALLEL SAFE SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $gatehouse$\n"
        "  SELECT encode(sha256(k.outer_key || sha256(k.inner_key || convert_to(value, 'UTF8'))), 'hex')\n"
        "    FROM gatehouse.mask_key k WHERE k.name = mask_hash.key $gatehouse$;\n"
        "REVOKE ALL ON FUNCTION gatehouse.mask_hash(text, text) FROM PUBLIC;\n"
        "ALTER TABLE gatehouse.mask_key OWNER TO gatehouse_mask;\n"
        "ALTER FUNCTION gatehouse.mask_hash(text, text) OWNER TO gatehouse_mask;\n"
        "GRANT USAGE ON SCHEMA gatehouse TO gatehouse_mask;\n";
    if (s->nkeys == 0) return;
    buf_str(s->out, setup);
    for (size_t i = 0; i < s->nkeys; i++) {
        buf_str(s->out, "INSERT INTO gatehouse.mask_key SELECT ");
        pol_put_literal(s->out, s->keys[i]);
        for (int k = 0; k < 2; k++)
            buf_str(
                s->out,
                ", decode(replace(concat(gen_random_uuid(), gen_random_uuid(), gen_random_uuid(), gen_random_uuid()), '-', ''), 'hex')");
        buf_str(s->out, " ON CONFLICT (name) DO NOTHING;\n");
    }
    buf_str(s->out, "GRANT USAGE ON SCHEMA gatehouse");
    to_role(s);
    buf_str(s->out, "GRANT EXECUTE ON FUNCTION gatehouse.mask_hash(text, text)");
    to_role(s);
}

static void put_head(struct gs *s) {
    buf_str(s->out, "-- What gatehouse's role needs for the policy ");
    buf_str(s->out, s->g->policy->hash);
    buf_str(s->out, "\n-- on this database. To be run by a superuser, with psql -v ON_ERROR_STOP=1 --single-transaction.\n"
                    "DO $gatehouse$ BEGIN\n  IF NOT EXISTS (SELECT FROM pg_roles WHERE rolname = ");
    pol_put_literal(s->out, s->g->role);
    buf_str(s->out, ") THEN\n    CREATE ROLE ");
    put_role(s);
    buf_str(s->out, " LOGIN NOSUPERUSER NOCREATEDB NOCREATEROLE NOREPLICATION NOBYPASSRLS;\n  END IF;\nEND $gatehouse$;\n"
                    "-- Give it a password, or let it log in by certificate: \\password in psql. It must own nothing that rules hide.\n"
                    "GRANT CONNECT ON DATABASE ");
    pol_put_ident(s->out, s->g->database);
    to_role(s);
    if (s->unbound & POL_TEMP) {
        buf_str(s->out, "GRANT TEMPORARY ON DATABASE ");
        pol_put_ident(s->out, s->g->database);
        to_role(s);
    }
}

static void put_rest(struct gs *s) {
    if (s->owner & (POL_CREATE | POL_ALTER | POL_DROP | POL_GRANT | POL_MAINTAIN))
        buf_str(s->out, "\n-- Rules allow create, alter, drop, grant or maintain: these need CREATE on a schema, or ownership, which is "
                        "not given here.\n");
    if (s->owner & POL_LOCK)
        buf_str(s->out, "-- Rules allow lock: LOCK TABLE needs UPDATE, DELETE or TRUNCATE on the table, for modes above ROW EXCLUSIVE.\n");
    if (s->unbound & POL_FILES)
        buf_str(s->out, "-- Rules allow files: pg_read_server_files and its kin, which read everything, are not given here.\n");
}

static void put_all(struct gs *s, size_t n) {
    put_head(s);
    put_schemas(s);
    for (size_t i = 0; i < n; i++) put_relation(s, pol_catalog_relation_at(s->g->catalog, i), &s->needs[i]);
    put_sequences(s);
    put_functions(s);
    put_hashes(s);
    put_rest(s);
}

bool pol_grants_sql(const struct pol_grants_sql *g, struct buf *out) {
    struct gs s = {.g = g, .arena = pol_arena_new(), .out = out, .mysql = pol_catalog_engine(g->catalog) != POL_CAT_POSTGRESQL};
    size_t n = pol_catalog_relations(g->catalog);
    bool ok = s.arena != NULL && (s.needs = pol_alloc_array(s.arena, n + 1, sizeof *s.needs)) != NULL && find_keys(&s) && everybody(&s);
    if (ok && s.mysql)
        gs_put_my(&s, n);
    else if (ok)
        put_all(&s, n);
    pol_arena_free(s.arena);
    return ok && !out->failed;
}
