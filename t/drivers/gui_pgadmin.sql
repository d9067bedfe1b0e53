-- Statements of the kind that pgAdmin 4 sends: at connect, when its tree is opened, on its dashboards.
-- "-- grant" in front of one: it needs a rule of its own on catalogs of activity, definitions of servers or settings (group tools of t/e2e/policy.yaml).
-- "-- varies": its rows are not the same twice, or not the same straight to the database.
SET DateStyle=ISO; SET client_min_messages=notice; SELECT set_config('bytea_output', 'hex', false) FROM pg_settings WHERE name = 'bytea_output'; SET client_encoding='utf-8';

SELECT set_config('bytea_output', 'hex', false) FROM pg_show_all_settings() WHERE name = 'bytea_output';

SELECT version();

SELECT d.oid AS did, d.datname, d.datallowconn, pg_encoding_to_char(d.encoding) AS enc, has_database_privilege(d.oid, 'CREATE') AS cancreate, d.datistemplate
FROM pg_catalog.pg_database AS d WHERE d.datname = current_database();

-- grant varies
SELECT gss_authenticated, encrypted FROM pg_catalog.pg_stat_gssapi WHERE pid = pg_backend_pid();

SELECT r.oid, r.rolname, r.rolsuper, CASE WHEN r.rolsuper THEN true ELSE r.rolcreaterole END AS may_create_roles,
       'pg_signal_backend' = ANY (ARRAY(WITH RECURSIVE up AS (SELECT p.oid, p.rolname FROM pg_roles AS p WHERE p.oid = r.oid
                                                              UNION ALL SELECT m.roleid, q.rolname FROM up JOIN pg_auth_members AS m ON m.member = up.oid
                                                                        JOIN pg_roles AS q ON q.oid = m.roleid)
                                        SELECT up.rolname FROM up)) AS may_signal
FROM pg_catalog.pg_roles AS r WHERE r.rolname = current_user;

SELECT CASE WHEN usesuper THEN pg_catalog.pg_is_in_recovery() ELSE NULL END AS inrecovery, pg_catalog.pg_is_in_recovery()
FROM pg_catalog.pg_user WHERE usename = current_user;

SELECT d.oid, d.datname AS name, d.dattablespace, t.spcname, d.datallowconn, has_database_privilege(d.oid, 'CREATE') AS cancreate, d.datdba AS owner, s.description
FROM pg_catalog.pg_database AS d LEFT JOIN pg_catalog.pg_tablespace AS t ON d.dattablespace = t.oid
     LEFT JOIN pg_catalog.pg_shdescription AS s ON s.objoid = d.oid AND s.classoid = 'pg_database'::regclass
WHERE d.oid > 0 ORDER BY d.datname;

SELECT n.oid, n.nspname AS name, has_schema_privilege(n.oid, 'CREATE') AS can_create, has_schema_privilege(n.oid, 'USAGE') AS has_usage, d.description
FROM pg_catalog.pg_namespace AS n LEFT JOIN pg_catalog.pg_description AS d ON d.objoid = n.oid AND d.classoid = 'pg_namespace'::regclass
WHERE n.nspname NOT LIKE 'pg\_%' AND NOT (n.nspname = 'information_schema' AND EXISTS (SELECT 1 FROM pg_catalog.pg_class WHERE relname = 'tables' AND relnamespace = n.oid LIMIT 1))
ORDER BY n.nspname;

SELECT c.oid, c.relname AS name, (SELECT count(*) FROM pg_catalog.pg_trigger WHERE tgrelid = c.oid AND tgisinternal = false) AS triggers,
       (SELECT count(*) FROM pg_catalog.pg_inherits AS i WHERE i.inhrelid = c.oid) AS parents, c.relpartbound IS NOT NULL AS partition, d.description
FROM pg_catalog.pg_class AS c LEFT JOIN pg_catalog.pg_description AS d ON d.objoid = c.oid AND d.objsubid = 0 AND d.classoid = 'pg_class'::regclass
WHERE c.relkind IN ('r', 's', 't', 'p') AND c.relnamespace = 'public'::regnamespace AND NOT c.relispartition ORDER BY c.relname;

SELECT a.attname AS name, a.attnum, format_type(t.oid, NULL) AS base, format_type(t.oid, a.atttypmod) AS cltype, col_description(a.attrelid, a.attnum) AS remark,
       pg_catalog.pg_get_expr(f.adbin, f.adrelid) AS def, a.attnotnull, a.attidentity, a.attgenerated, a.attoptions, co.collname,
       (SELECT count(1) FROM pg_catalog.pg_type AS t2 WHERE t2.typname = t.typname) > 1 AS ambiguous, quote_ident(n.nspname), array_to_string(a.attacl::text[], ', ') AS acl,
       EXISTS (SELECT 1 FROM pg_catalog.pg_constraint WHERE conrelid = a.attrelid AND contype = 'f' AND a.attnum = ANY (conkey)) AS is_fk, s.seqstart, s.seqincrement
FROM pg_catalog.pg_attribute AS a JOIN pg_catalog.pg_type AS t ON t.oid = a.atttypid JOIN pg_catalog.pg_namespace AS n ON t.typnamespace = n.oid
     LEFT JOIN pg_catalog.pg_attrdef AS f ON f.adrelid = a.attrelid AND f.adnum = a.attnum LEFT JOIN pg_catalog.pg_collation AS co ON a.attcollation = co.oid
     LEFT JOIN pg_catalog.pg_depend AS p ON p.refobjid = a.attrelid AND p.refobjsubid = a.attnum AND p.deptype = 'i' LEFT JOIN pg_catalog.pg_sequence AS s ON s.seqrelid = p.objid
WHERE a.attrelid = 'public.orders'::regclass AND a.attnum > 0 AND NOT a.attisdropped ORDER BY a.attnum;

SELECT x.indexrelid AS oid, c.relname, x.indisprimary, x.indisunique, x.indisclustered, x.indisvalid, pg_get_indexdef(x.indexrelid, 0, true), am.amname,
       pg_get_expr(x.indpred, x.indrelid, true) AS predicate, array_to_string(c.reloptions, ','), con.conname, obj_description(x.indexrelid)
FROM pg_catalog.pg_index AS x JOIN pg_catalog.pg_class AS c ON c.oid = x.indexrelid JOIN pg_catalog.pg_am AS am ON am.oid = c.relam
     LEFT JOIN pg_catalog.pg_constraint AS con ON con.conindid = x.indexrelid
WHERE x.indrelid = 'public.orders'::regclass ORDER BY c.relname;

SELECT c.oid, c.conname, c.contype, pg_get_constraintdef(c.oid, true), c.condeferrable, confrelid::regclass::text, c.convalidated
FROM pg_catalog.pg_constraint AS c WHERE c.conrelid = 'public.orders'::regclass ORDER BY c.conname;

SELECT c.oid, c.relname, pg_get_viewdef(c.oid, true) AS definition, pg_get_userbyid(c.relowner), c.relacl, array_to_string(c.reloptions, ', '), c.relkind
FROM pg_catalog.pg_class AS c WHERE c.relkind IN ('v', 'm') AND c.relnamespace = 'public'::regnamespace ORDER BY c.relname;

SELECT p.oid, p.proname || '(' || COALESCE(pg_catalog.pg_get_function_identity_arguments(p.oid), '') || ')' AS name, l.lanname, pg_get_function_result(p.oid), p.prosecdef,
       pg_get_functiondef(p.oid) IS NOT NULL AS defined, p.proacl
FROM pg_catalog.pg_proc AS p JOIN pg_catalog.pg_language AS l ON p.prolang = l.oid WHERE p.prokind IN ('f', 'w', 'p') AND p.pronamespace = 'public'::regnamespace ORDER BY p.proname;

SELECT r.oid, r.rolname, r.rolcanlogin, r.rolvaliduntil, pg_catalog.shobj_description(r.oid, 'pg_authid') AS description FROM pg_catalog.pg_roles AS r ORDER BY r.rolcanlogin, r.rolname;

SELECT t.oid, t.spcname, pg_catalog.pg_tablespace_location(t.oid), t.spcacl, has_tablespace_privilege(t.oid, 'CREATE') FROM pg_catalog.pg_tablespace AS t ORDER BY t.spcname;

SELECT e.oid, e.extname, e.extversion, n.nspname, e.extrelocatable, a.comment FROM pg_catalog.pg_extension AS e
       LEFT JOIN pg_catalog.pg_namespace AS n ON e.extnamespace = n.oid LEFT JOIN pg_catalog.pg_available_extensions AS a ON a.name = e.extname;

SELECT pg_catalog.pg_size_pretty(pg_catalog.pg_relation_size('public.orders'::regclass)), pg_catalog.pg_table_size('public.orders') > 0, pg_catalog.pg_indexes_size('public.orders') > 0,
       pg_catalog.pg_total_relation_size('public.orders'::regclass) > 0, pg_catalog.pg_database_size(current_database()) > 0;

SELECT DISTINCT d.deptype, d.refclassid::regclass::text, CASE WHEN c.relkind IS NOT NULL THEN c.relkind::text ELSE '' END AS kind, COALESCE(c.relname, co.conname, n.nspname)
FROM pg_catalog.pg_depend AS d LEFT JOIN pg_catalog.pg_class AS c ON d.objid = c.oid LEFT JOIN pg_catalog.pg_constraint AS co ON co.oid = d.objid
     LEFT JOIN pg_catalog.pg_namespace AS n ON n.oid = d.objid LEFT JOIN pg_catalog.pg_rewrite AS rw ON rw.oid = d.objid
WHERE d.refobjid = 'public.orders'::regclass AND d.deptype IN ('n', 'a', 'i') ORDER BY 1, 2, 3, 4;

SELECT pg_catalog.pg_get_userbyid(d.refobjid), d.deptype FROM pg_catalog.pg_shdepend AS d WHERE d.objid = 'public.orders'::regclass ORDER BY 1;

SELECT u.grantee::regrole::text AS grantee, u.privilege_type, u.is_grantable FROM pg_catalog.pg_class AS c, aclexplode(COALESCE(c.relacl, acldefault('r', c.relowner))) AS u (grantor, grantee, privilege_type, is_grantable)
WHERE c.oid = 'public.orders'::regclass ORDER BY 1, 2;

SELECT * FROM (SELECT format_type(t.oid, NULL) AS name, t.oid, t.typtype, t.typcollation <> 0 AS collatable FROM pg_catalog.pg_type AS t JOIN pg_catalog.pg_namespace AS n ON n.oid = t.typnamespace
               WHERE t.typisdefined AND t.typtype IN ('b', 'd', 'e', 'r') AND NOT EXISTS (SELECT 1 FROM pg_catalog.pg_class WHERE relnamespace = t.typnamespace AND relname = t.typname AND relkind <> 'c')) AS x ORDER BY 1;

-- grant varies
SELECT (SELECT count(*) FROM pg_catalog.pg_stat_activity WHERE datname = current_database()) AS total,
       (SELECT count(*) FROM pg_catalog.pg_stat_activity WHERE state = 'active') AS active, (SELECT sum(xact_commit) FROM pg_catalog.pg_stat_database) AS commits;

-- grant varies
SELECT pid, datname, usename, application_name, client_addr, backend_start, state, wait_event_type || ': ' || wait_event, array_to_string(pg_catalog.pg_blocking_pids(pid), ', '), query
FROM pg_catalog.pg_stat_activity WHERE datname = current_database() ORDER BY pid;

-- grant varies
SELECT l.pid, l.locktype, d.datname, l.relation::regclass, l.mode, l.granted FROM pg_locks AS l LEFT OUTER JOIN pg_database AS d ON l.database = d.oid ORDER BY l.pid, l.locktype;

-- grant varies
SELECT name, category, setting, unit, short_desc FROM pg_settings ORDER BY category, name;

-- grant varies
SELECT git.*, gid FROM pg_catalog.pg_prepared_xacts AS git;

-- grant varies
SELECT relname, n_live_tup, last_autovacuum FROM pg_stat_user_tables ORDER BY relname;
