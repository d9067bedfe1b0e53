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

/* HMAC's construction, as for PostgreSQL, over the value's own SHA-256: so nothing in it is longer than max_allowed_packet allows, whatever the value. */
static void put_hashes(struct gs *s) {
    static const char setup[] =
        "\n-- Keyed hashes (mask: { hash: KEY }). Once for the server. The keys are made here, by the server, and can be read by the "
        "function's "
        "definer alone.\n"
        "CREATE DATABASE IF NOT EXISTS `gatehouse` CHARACTER SET utf8mb4;\n"
        "CREATE TABLE IF NOT EXISTS `gatehouse`.`mask_key` (name varchar(64) CHARACTER SET utf8mb4 COLLATE utf8mb4_bin PRIMARY KEY,\n"
        "  inner_key varbinary(64) NOT NULL, outer_key varbinary(64) NOT NULL);\n"
        "CREATE USER IF NOT EXISTS `gatehouse_mask`@`localhost` ACCOUNT LOCK;\n";
    static const char function[] =
        "`gatehouse`.`mask_hash`(p_value longblob, p_key varchar(64) CHARACTER SET utf8mb4)\n"
        "  RETURNS binary(32) DETERMINISTIC READS SQL DATA SQL SECURITY DEFINER\n"
        "  RETURN (SELECT UNHEX(SHA2(CONCAT(outer_key, UNHEX(SHA2(CONCAT(inner_key, UNHEX(SHA2(p_value, 256))), 256))), 256))\n"
        "    FROM `gatehouse`.`mask_key` WHERE name = p_key COLLATE utf8mb4_bin);\n"
        "GRANT SELECT ON `gatehouse`.`mask_key` TO `gatehouse_mask`@`localhost`;\n"
        "GRANT EXECUTE ON FUNCTION `gatehouse`.`mask_hash` TO `gatehouse_mask`@`localhost`;\n";
    const struct pol_catalog *c = s->g->catalog;
    if (s->nkeys == 0) return;
    buf_str(s->out, setup);
    /* before 8.0.29 MySQL knows no IF NOT EXISTS here */
    bool knows = pol_catalog_engine(c) == POL_CAT_MARIADB || pol_catalog_server(c) >= 80029;
    if (!knows) buf_str(s->out, "DROP FUNCTION IF EXISTS `gatehouse`.`mask_hash`;\n");
    buf_str(s->out, "CREATE DEFINER = `gatehouse_mask`@`localhost` FUNCTION ");
    buf_str(s->out, knows ? "IF NOT EXISTS " : "");
    buf_str(s->out, function);
    for (size_t i = 0; i < s->nkeys; i++) {
        buf_str(s->out, "INSERT INTO `gatehouse`.`mask_key` VALUES (");
        my_put_literal(s->out, s->keys[i]);
        buf_str(s->out, ", RANDOM_BYTES(64), RANDOM_BYTES(64)) ON DUPLICATE KEY UPDATE name = name;\n");
    }
    buf_str(s->out, "GRANT EXECUTE ON FUNCTION `gatehouse`.`mask_hash` TO ");
    put_user(s);
    buf_str(s->out, ";\n");
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
    put_hashes(s);
    if (truncates != 0 || (s->owner & (POL_CREATE | POL_ALTER | POL_DROP | POL_GRANT | POL_MAINTAIN)))
        buf_str(s->out, "\n-- Rules allow create, alter, drop, truncate, grant or maintain: what these need is not given here (TRUNCATE "
                        "needs DROP).\n");
    if (s->owner & POL_LOCK) buf_str(s->out, "-- Rules allow lock: LOCK TABLES is a right to a whole database, and not given here.\n");
    if (s->unbound & POL_FILES) buf_str(s->out, "-- Rules allow files: FILE, which reads everything, is not given here.\n");
}
