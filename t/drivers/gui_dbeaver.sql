-- Statements of the kind that DBeaver sends, through pgjdbc: at connect and when its navigator is opened. For "grant" and "varies" see gui_pgadmin.sql.
SET extra_float_digits = 3;

SET application_name = 'DBeaver - Main <shop>';

SELECT current_database(), current_schema(), session_user;

-- varies
SHOW search_path;

SET search_path = public;

SELECT d.oid, d.* FROM pg_catalog.pg_database AS d WHERE d.datallowconn AND NOT d.datistemplate ORDER BY d.datname;

SELECT n.oid, n.*, d.description FROM pg_catalog.pg_namespace AS n LEFT OUTER JOIN pg_catalog.pg_description AS d ON d.objoid = n.oid AND d.objsubid = 0 AND d.classoid = 'pg_namespace'::regclass
ORDER BY n.nspname;

SELECT t.oid, t.*, c.relkind, format_type(nullif(t.typbasetype, 0), t.typtypmod) AS base_type_name, d.description
FROM pg_catalog.pg_type AS t LEFT OUTER JOIN pg_catalog.pg_type AS et ON et.oid = t.typelem LEFT OUTER JOIN pg_catalog.pg_class AS c ON c.oid = t.typrelid
     LEFT OUTER JOIN pg_catalog.pg_description AS d ON t.oid = d.objoid
WHERE t.typname IS NOT NULL AND (c.relkind IS NULL OR c.relkind = 'c') AND (et.typcategory IS NULL OR et.typcategory <> 'C') ORDER BY t.oid;

SELECT c.oid, c.*, d.description, pg_catalog.pg_get_expr(c.relpartbound, c.oid) AS partition_expr, pg_catalog.pg_get_partkeydef(c.oid) AS partition_key
FROM pg_catalog.pg_class AS c LEFT OUTER JOIN pg_catalog.pg_description AS d ON d.objoid = c.oid AND d.objsubid = 0 AND d.classoid = 'pg_class'::regclass
WHERE c.relnamespace = 'public'::regnamespace AND c.relkind NOT IN ('i', 'I', 'c') ORDER BY c.oid;

SELECT c.relname, a.*, pg_catalog.pg_get_expr(ad.adbin, ad.adrelid, true) AS def_value, dsc.description, dep.objid
FROM pg_catalog.pg_attribute AS a INNER JOIN pg_catalog.pg_class AS c ON (a.attrelid = c.oid) LEFT OUTER JOIN pg_catalog.pg_attrdef AS ad ON (a.attrelid = ad.adrelid AND a.attnum = ad.adnum)
     LEFT OUTER JOIN pg_catalog.pg_description AS dsc ON (c.oid = dsc.objoid AND a.attnum = dsc.objsubid)
     LEFT OUTER JOIN pg_depend AS dep ON dep.refobjid = a.attrelid AND dep.deptype = 'i' AND dep.refobjsubid = a.attnum AND dep.classid = dep.refclassid
WHERE NOT a.attisdropped AND c.oid = 'public.orders'::regclass ORDER BY a.attnum;

SELECT c.oid, c.*, t.relname AS tabrelname, rt.relnamespace AS refnamespace, d.description, CASE c.contype WHEN 'c' THEN "substring"(pg_get_constraintdef(c.oid), 7) ELSE NULL END AS consrc_copy
FROM pg_catalog.pg_constraint AS c INNER JOIN pg_catalog.pg_class AS t ON t.oid = c.conrelid LEFT OUTER JOIN pg_catalog.pg_class AS rt ON rt.oid = c.confrelid
     LEFT OUTER JOIN pg_catalog.pg_description AS d ON d.objoid = c.oid AND d.objsubid = 0 AND d.classoid = 'pg_constraint'::regclass
WHERE t.relnamespace = 'public'::regnamespace ORDER BY c.oid;

-- grant
SELECT i.*, i.indkey AS keys, c.relname, c.relnamespace, c.relam, c.reltablespace, tc.relname AS tabrelname, dsc.description, pg_catalog.pg_get_expr(i.indpred, i.indrelid) AS pred_expr,
       pg_catalog.pg_get_expr(i.indexprs, i.indrelid, true) AS expr, pg_catalog.pg_relation_size(i.indexrelid) AS index_rel_size, pg_catalog.pg_stat_get_numscans(i.indexrelid) >= 0 AS index_num_scans
FROM pg_catalog.pg_index AS i INNER JOIN pg_catalog.pg_class AS c ON c.oid = i.indexrelid INNER JOIN pg_catalog.pg_class AS tc ON tc.oid = i.indrelid
     LEFT OUTER JOIN pg_catalog.pg_description AS dsc ON i.indexrelid = dsc.objoid
WHERE i.indrelid = 'public.orders'::regclass ORDER BY tabrelname, c.relname;

SELECT t.oid, t.*, p.proname, pg_catalog.pg_get_triggerdef(t.oid) FROM pg_catalog.pg_trigger AS t JOIN pg_catalog.pg_proc AS p ON p.oid = t.tgfoid
WHERE t.tgrelid = 'public.orders'::regclass AND NOT t.tgisinternal;

SELECT p.oid, p.*, CASE WHEN p.proretset THEN 'SETOF ' ELSE '' END || format_type(p.prorettype, NULL) AS ret, pg_catalog.pg_get_expr(p.proargdefaults, 0) AS arg_defaults, d.description
FROM pg_catalog.pg_proc AS p LEFT OUTER JOIN pg_catalog.pg_description AS d ON d.objoid = p.oid AND d.objsubid = 0 WHERE p.pronamespace = 'public'::regnamespace ORDER BY p.proname;

SELECT a.oid, a.* FROM pg_catalog.pg_roles AS a ORDER BY a.rolname;

SELECT m.*, r.rolname FROM pg_catalog.pg_auth_members AS m JOIN pg_catalog.pg_roles AS r ON r.oid = m.member ORDER BY m.roleid, m.member;

SELECT t.oid, t.*, pg_catalog.pg_tablespace_location(t.oid) AS loc FROM pg_catalog.pg_tablespace AS t ORDER BY t.oid;

SELECT e.oid, e.*, n.nspname AS schema_name FROM pg_catalog.pg_extension AS e JOIN pg_catalog.pg_namespace AS n ON e.extnamespace = n.oid ORDER BY e.oid;

SELECT c.oid, c.* FROM pg_catalog.pg_collation AS c WHERE c.collnamespace = 'pg_catalog'::regnamespace ORDER BY c.oid LIMIT 50;

SELECT pg_catalog.pg_get_viewdef('public.customer_directory'::regclass, true);

SELECT pg_catalog.pg_get_ruledef(r.oid, true) FROM pg_catalog.pg_rewrite AS r WHERE r.ev_class = 'public.customer_directory'::regclass ORDER BY 1;

SELECT relacl FROM pg_catalog.pg_class WHERE relnamespace = 'public'::regnamespace ORDER BY relname;

SELECT * FROM information_schema.table_privileges WHERE table_schema = 'public' AND table_name = 'orders' ORDER BY 1, 2, 3, 4, 5, 6;

SELECT pol.*, pg_get_expr(pol.polqual, pol.polrelid), pg_get_expr(pol.polwithcheck, pol.polrelid) FROM pg_catalog.pg_policy AS pol ORDER BY pol.oid;

SELECT i.*, c.relnamespace FROM pg_catalog.pg_inherits AS i, pg_catalog.pg_class AS c WHERE i.inhrelid = c.oid ORDER BY i.inhseqno;

SELECT n.nspname = ANY (current_schemas(true)), n.nspname, t.typname FROM pg_catalog.pg_type AS t JOIN pg_catalog.pg_namespace AS n ON t.typnamespace = n.oid WHERE t.oid = 1034;

SELECT typinput = 'pg_catalog.array_in'::regproc AS is_array, typtype, typname, pg_type.oid FROM pg_catalog.pg_type
LEFT JOIN (SELECT ns.oid AS nspoid, ns.nspname, r.r FROM pg_namespace AS ns JOIN (SELECT s.r, (current_schemas(false))[s.r] AS nspname FROM generate_series(1, array_upper(current_schemas(false), 1)) AS s (r)) AS r
           USING (nspname)) AS sp ON sp.nspoid = typnamespace
WHERE typname = 'jsonb' ORDER BY sp.r, pg_type.oid DESC LIMIT 1;

SHOW TRANSACTION ISOLATION LEVEL;

EXPLAIN (FORMAT XML, ANALYSE false) SELECT * FROM public.orders WHERE id = 1;

-- grant varies
SELECT sa.*, pg_catalog.pg_blocking_pids(sa.pid) FROM pg_catalog.pg_stat_activity AS sa;

-- grant varies
SELECT * FROM pg_catalog.pg_settings ORDER BY name;

-- grant varies
SELECT l.*, fs.srvname FROM pg_catalog.pg_foreign_table AS l JOIN pg_catalog.pg_foreign_server AS fs ON fs.oid = l.ftserver;
