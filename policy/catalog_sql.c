/* The catalog in PostgreSQL's own words. Names are qualified, and search_path is empty, so that nothing in the database can stand in for what is
 * meant, and format_type() and pg_get_viewdef() qualify what they name. The other settings change how a definition is written. */
#include "policy/catalog.h"

/* Temporary objects belong to other sessions; TOAST tables are nobody's to name. */
#define LASTING "n.nspname !~ '^pg_(toast|temp_|toast_temp_)'"
#define KINDS   "c.relkind IN ('r','p','v','m','f','S','c') AND c.relpersistence <> 't' AND " LASTING

#define RELATIONS "pg_catalog.pg_class c JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace WHERE " KINDS
#define TYPES     "pg_catalog.pg_type t JOIN pg_catalog.pg_namespace n ON n.oid = t.typnamespace WHERE " LASTING
#define FUNCTIONS "pg_catalog.pg_proc p JOIN pg_catalog.pg_namespace n ON n.oid = p.pronamespace WHERE " LASTING

static const char *const statements[] = {
    "BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY",
    "SET LOCAL search_path TO ''",
    "SET LOCAL quote_all_identifiers TO off",
    "SET LOCAL DateStyle TO 'ISO'",
    "SET LOCAL IntervalStyle TO 'postgres'",
    "SET LOCAL jit TO off",
    /* A definition cannot be read while ALTER TABLE holds what it names: better no new catalog for now than to queue up before others. */
    "SET LOCAL lock_timeout TO '2s'",
    "SELECT pg_catalog.row_to_json(x)::text FROM (SELECT 1 AS gatehouse_catalog, "
    "pg_catalog.current_setting('server_version_num')::int AS server, pg_catalog.current_database()::text AS database) x",

    "SELECT pg_catalog.row_to_json(x)::text FROM (SELECT t.oid::int8 AS type, n.nspname AS schema, t.typname AS name, t.typtype::text AS "
    "kind, "
    "t.typcategory::text AS category, CASE t.typtype WHEN 'd' THEN t.typbasetype WHEN 'c' THEN t.typrelid "
    "ELSE CASE WHEN e.oid IS NULL THEN 0 ELSE t.typelem END END::int8 AS base, e.oid IS NOT NULL AS array "
    "FROM pg_catalog.pg_type t JOIN pg_catalog.pg_namespace n ON n.oid = t.typnamespace "
    "LEFT JOIN pg_catalog.pg_type e ON e.oid = t.typelem AND e.typarray = t.oid WHERE " LASTING ") x",

    "SELECT pg_catalog.row_to_json(x)::text FROM (SELECT c.oid::int8 AS relation, n.nspname AS schema, c.relname AS name, c.relkind::text "
    "AS kind, "
    "pg_catalog.array_to_json(ARRAY(SELECT pg_catalog.json_build_array(a.attname, a.attnum, a.atttypid::int8, "
    "pg_catalog.format_type(a.atttypid, a.atttypmod), CASE WHEN a.attnotnull THEN 'n' ELSE '' END "
    "|| CASE WHEN a.attgenerated <> '' THEN 'g' ELSE '' END || CASE WHEN a.attidentity = 'a' THEN 'a' ELSE '' END "
    "|| CASE WHEN a.attcollation NOT IN (0, 100) THEN 'c' ELSE '' END) "
    "FROM pg_catalog.pg_attribute a WHERE a.attrelid = c.oid AND a.attnum > 0 AND NOT a.attisdropped ORDER BY a.attnum)) AS columns, "
    "COALESCE((SELECT pg_catalog.array_to_json((i.indkey::int2[])[0:i.indnkeyatts - 1]) FROM pg_catalog.pg_index i "
    "WHERE i.indrelid = c.oid AND i.indisprimary), '[]'::json) AS key, "
    "pg_catalog.array_to_json(ARRAY(SELECT h.inhparent::int8 FROM pg_catalog.pg_inherits h WHERE h.inhrelid = c.oid ORDER BY h.inhseqno)) "
    "AS parents, "
    "CASE WHEN c.relkind IN ('v','m') THEN pg_catalog.pg_get_viewdef(c.oid) END AS definition, "
    "pg_catalog.array_to_json(ARRAY(SELECT DISTINCT d.refobjid::int8 FROM pg_catalog.pg_rewrite w JOIN pg_catalog.pg_depend d "
    "ON d.classid = 'pg_catalog.pg_rewrite'::regclass AND d.objid = w.oid AND d.refclassid = 'pg_catalog.pg_class'::regclass "
    "JOIN pg_catalog.pg_class r ON r.oid = d.refobjid JOIN pg_catalog.pg_namespace m ON m.oid = r.relnamespace "
    "WHERE w.ev_class = c.oid AND c.relkind IN ('v','m') AND d.refobjid <> c.oid AND r.relkind IN ('r','p','v','m','f','S','c') "
    "AND r.relpersistence <> 't' AND m.nspname !~ '^pg_(toast|temp_|toast_temp_)' ORDER BY 1)) AS reads, "
    "c.relrowsecurity AS row_security, COALESCE((SELECT o.option_value::bool FROM pg_catalog.pg_options_to_table(c.reloptions) o "
    "WHERE o.option_name = 'security_barrier'), false) AS security_barrier FROM " RELATIONS ") x",

    "SELECT pg_catalog.row_to_json(x)::text FROM (SELECT p.oid::int8 AS function, n.nspname AS schema, p.proname AS name, "
    "p.prorettype::int8 AS returns, pg_catalog.array_to_json(p.proargtypes::oid[]::int8[]) AS args, p.prokind::text AS kind, "
    "p.provolatile::text AS volatility, CASE WHEN p.proleakproof THEN 'l' ELSE '' END || CASE WHEN p.proisstrict THEN 's' ELSE '' END "
    "|| CASE WHEN p.proretset THEN 'r' ELSE '' END || CASE WHEN p.prosecdef THEN 'd' ELSE '' END "
    "|| CASE WHEN p.provariadic <> 0 THEN 'v' ELSE '' END || CASE WHEN g.lanname = 'sql' THEN 'q' ELSE '' END AS flags "
    "FROM pg_catalog.pg_proc p JOIN pg_catalog.pg_namespace n ON n.oid = p.pronamespace "
    "JOIN pg_catalog.pg_language g ON g.oid = p.prolang WHERE " LASTING ") x",

    "SELECT pg_catalog.row_to_json(x)::text FROM (SELECT (SELECT pg_catalog.count(*) FROM " TYPES
    ") + (SELECT pg_catalog.count(*) FROM " RELATIONS ") + (SELECT pg_catalog.count(*) FROM " FUNCTIONS ") AS \"end\") x",
    "COMMIT",
    NULL,
};

/* xmin is the transaction that wrote a row last: with the count, it tells every change. Temporary tables come and go, so they do not count. */
#define XMINS "pg_catalog.count(*) || ':' || COALESCE(pg_catalog.sum(pg_catalog.hashtext(x.xmin::text)), 0) FROM pg_catalog."
static const char mark[] =
    "SELECT pg_catalog.concat_ws(' ', pg_catalog.current_setting('server_version_num'), "
    "(SELECT " XMINS "pg_class x WHERE x.relpersistence <> 't'), "
    "(SELECT " XMINS "pg_attribute x JOIN pg_catalog.pg_class c ON c.oid = x.attrelid WHERE c.relpersistence <> 't'), "
    "(SELECT " XMINS "pg_proc x), (SELECT " XMINS "pg_inherits x), (SELECT " XMINS "pg_rewrite x), "
    "(SELECT " XMINS "pg_index x WHERE x.indisprimary), "
    "(SELECT " XMINS "pg_namespace x WHERE x.nspname !~ '^pg_(toast|temp_|toast_temp_)'), "
    "(SELECT " XMINS "pg_type x JOIN pg_catalog.pg_namespace n ON n.oid = x.typnamespace WHERE " LASTING "))";

const struct pol_catalog_reading pol_catalog_pg = {.statements = statements, .mark = mark};
