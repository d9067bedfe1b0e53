-- Statements of the kind that DataGrip sends, through pgjdbc: at connect and for its introspection. For "grant" and "varies" see gui_pgadmin.sql.
SET extra_float_digits = 3;

SET application_name = '';

SET application_name = 'DataGrip 2026.2';

select current_database() as a, current_schemas(false) as b;

select current_database(), current_schema(), current_user;

SHOW TRANSACTION ISOLATION LEVEL;

select round(extract(epoch from pg_postmaster_start_time() at time zone 'UTC')) as started;

-- grant varies
select k.transactionid::varchar::bigint as tx from pg_catalog.pg_locks k where k.transactionid is not null order by pg_catalog.age(k.transactionid) desc limit 1;

-- varies
select case when pg_catalog.pg_is_in_recovery() then null else (pg_catalog.txid_current() % (2^32)::bigint)::varchar::bigint end as tx;

select b.oid::bigint as id, datname as name, s.description, datistemplate, datallowconn, pg_catalog.pg_get_userbyid(b.datdba) as "owner"
from pg_catalog.pg_database b left join pg_catalog.pg_shdescription s on b.oid = s.objoid
order by case when datname = pg_catalog.current_database() then -1::bigint else b.oid::bigint end;

show DateStyle;

select count(*) > 100 from (select name, is_dst from pg_catalog.pg_timezone_names union distinct select abbrev as name, is_dst from pg_catalog.pg_timezone_abbrevs) z;

select r.oid::bigint, rolname, rolsuper, rolinherit, rolcreaterole, rolcreatedb, rolcanlogin, rolreplication, rolconnlimit, rolvaliduntil, rolbypassrls, rolconfig, s.description
from pg_catalog.pg_roles r left join pg_catalog.pg_shdescription s on s.objoid = r.oid order by 1;

select member as id, roleid, admin_option from pg_catalog.pg_auth_members order by id, roleid::text;

select t.oid::bigint, t.spcname, t.xmin as state, pg_catalog.pg_get_userbyid(t.spcowner), pg_catalog.pg_tablespace_location(t.oid), t.spcoptions
from pg_catalog.pg_tablespace t order by 1;

select t.oid, t.spcacl as acl from pg_catalog.pg_tablespace t union all select b.oid, b.datacl from pg_catalog.pg_database b order by 1;

select n.oid::bigint, n.xmin as state, nspname, c.description, pg_catalog.pg_get_userbyid(n.nspowner)
from pg_catalog.pg_namespace n left join pg_catalog.pg_description c on n.oid = c.objoid order by case when nspname = pg_catalog.current_schema() then -1::bigint else n.oid::bigint end;

select usesuper from pg_user where usename = current_user;

select e.oid, e.xmin, e.evtname, e.evtevent, e.evtfoid, pg_catalog.pg_get_userbyid(e.evtowner), e.evttags, e.evtenabled = 'D' from pg_catalog.pg_event_trigger e;

select w.oid, w.xmin, w.fdwname, p.proname, s.nspname, w.fdwoptions from pg_catalog.pg_foreign_data_wrapper w
left outer join pg_catalog.pg_proc p on w.fdwhandler = p.oid left outer join pg_catalog.pg_namespace s on p.pronamespace = s.oid order by 1;

-- grant
select v.oid, v.srvfdw, v.xmin, v.srvname, v.srvtype, v.srvoptions, pg_catalog.pg_get_userbyid(v.srvowner) from pg_catalog.pg_foreign_server v;

select a.oid, a.xmin, a.amname, a.amhandler::oid, pg_catalog.quote_ident(n.nspname) || '.' || pg_catalog.quote_ident(p.proname), a.amtype
from pg_am a join pg_proc p on a.amhandler::oid = p.oid join pg_namespace n on p.pronamespace = n.oid order by 1;

select e.oid, e.xmin, extname, extversion, extnamespace, nspname, array(select unnest from unnest(v.all_of_them) where unnest > extversion)
from pg_catalog.pg_extension e join pg_namespace n on e.extnamespace = n.oid
     left join (select name, array_agg(version) as all_of_them from pg_available_extension_versions() group by name) v on e.extname = v.name order by 1;

select c.oid, c.xmin, c.castsource::regtype, c.casttarget::regtype, c.castfunc::regproc, c.castcontext, c.castmethod from pg_cast c order by c.oid;

select l.oid, l.xmin, l.lanname, l.lanpltrusted, h.proname, v.proname from pg_catalog.pg_language l left join pg_catalog.pg_proc h on h.oid = l.lanplcallfoid
left join pg_catalog.pg_proc v on v.oid = l.lanvalidator order by lanname;

select c.objoid, case when 'pg_catalog.pg_am'::regclass = c.classoid then 'A' when 'pg_catalog.pg_foreign_server'::regclass = c.classoid then 'S' end as kind, c.objsubid, c.description
from pg_catalog.pg_description c where c.classoid in ('pg_catalog.pg_am'::regclass, 'pg_catalog.pg_extension'::regclass, 'pg_catalog.pg_foreign_server'::regclass) order by 1, 3;

select e.oid, p.objid from pg_extension e join pg_depend p on e.oid = p.refobjid and p.refclassid = 'pg_extension'::regclass::oid where p.deptype = 'e' order by 1, 2;

select t.oid, relnamespace, pg_catalog.translate(relkind, 'rmvpfS', 'rmvrfS') as kind from pg_catalog.pg_class t
where relnamespace = 'public'::regnamespace::oid and relkind in ('r', 'm', 'v', 'p', 'f', 'S') union all
select t.oid, t.typnamespace, 'T' from pg_catalog.pg_type t left outer join pg_catalog.pg_class c on t.typrelid = c.oid
where t.typnamespace = 'public'::regnamespace::oid and (t.typtype in ('d', 'e') or c.relkind = 'c'::"char" or (t.typtype = 'b' and (t.typelem = 0 or t.typcategory <> 'A'))) order by 1;

select t.relkind as kind, t.relname, t.oid, t.xmin, t.reltablespace, t.relpersistence, t.relispartition, t.relam, pg_catalog.pg_get_userbyid(t.relowner), t.reloptions,
       pg_catalog.pg_get_partkeydef(t.oid), pg_catalog.pg_get_expr(t.relpartbound, t.oid), array(select inhparent::bigint from pg_catalog.pg_inherits where t.oid = inhrelid order by inhseqno)
from pg_catalog.pg_class t where relnamespace = 'public'::regnamespace and relkind in ('r', 'm', 'v', 'f', 'p') order by t.oid;

with t as (select oid from pg_catalog.pg_class where relnamespace = 'public'::regnamespace and relkind in ('r', 'm', 'v', 'f', 'p', 'c'))
select a.attrelid, a.attnum, a.attname, pg_catalog.format_type(a.atttypid, a.atttypmod), a.attnotnull, a.xmin, pg_catalog.pg_get_expr(f.adbin, a.attrelid), a.attidentity, a.attisdropped,
       not a.attislocal, coalesce(y.typcollation <> a.attcollation, false)
from t join pg_catalog.pg_attribute a on t.oid = a.attrelid join pg_catalog.pg_type y on a.atttypid = y.oid
     left join pg_catalog.pg_attrdef f on a.attrelid = f.adrelid and a.attnum = f.adnum where a.attnum > 0 order by 1, 2;

select tab.oid, k.oid, k.relname, i.indisunique, i.indkey::varchar, i.indclass::varchar, i.indoption::varchar, pg_catalog.pg_get_expr(i.indpred, tab.oid), opc.opcname, m.amname
from pg_catalog.pg_class tab join pg_catalog.pg_index i on i.indrelid = tab.oid join pg_catalog.pg_class k on k.oid = i.indexrelid join pg_catalog.pg_am m on k.relam = m.oid
     left join pg_catalog.pg_opclass opc on opc.oid = i.indclass[0] where tab.relnamespace = 'public'::regnamespace order by 1, 3;

select i.indexrelid, k.n, pg_catalog.pg_index_column_has_property(i.indexrelid, k.n, 'asc'), pg_catalog.pg_get_indexdef(i.indexrelid, k.n, true)
from pg_catalog.pg_index i, lateral pg_catalog.generate_series(1, i.indnkeyatts) as k (n) where i.indrelid = 'public.orders'::regclass order by 1, 2;

select r.oid, conkey, pg_catalog.pg_get_constraintdef(r.oid), conname, contype, confrelid, confkey, confupdtype, confdeltype, condeferrable, conindid
from pg_catalog.pg_constraint r where r.connamespace = 'public'::regnamespace order by r.oid;

select g.tgrelid, g.oid, g.tgname, g.tgfoid, pg_catalog.encode(g.tgargs, 'escape'), g.tgtype, g.tgenabled, pg_catalog.pg_get_triggerdef(g.oid, true)
from pg_catalog.pg_trigger g where not g.tgisinternal order by 1, 2;

select p.oid, p.proname, p.xmin, pg_catalog.pg_get_userbyid(p.proowner), p.provariadic, p.prokind, p.proargnames, p.proargmodes, p.proargtypes::int[], p.prosrc, pg_catalog.pg_get_function_sqlbody(p.oid),
       pg_catalog.pg_get_function_arguments(p.oid), p.procost from pg_catalog.pg_proc p where p.pronamespace = 'public'::regnamespace order by 1;

select o.oid, o.oprname, o.oprleft::regtype, o.oprright::regtype, o.oprcode::regproc, a.amopstrategy from pg_catalog.pg_operator o left join pg_catalog.pg_amop a on a.amopopr = o.oid
where o.oprname = '=' and o.oprleft = 'int4'::regtype order by 1, 6;

select c.relname, pg_catalog.pg_get_viewdef(c.oid, true) from pg_catalog.pg_class c where c.relkind = 'v' and c.relnamespace = 'public'::regnamespace order by 1;

select q.seqrelid::regclass::text, q.seqtypid::regtype, q.seqstart, q.seqincrement, q.seqmax, q.seqmin, q.seqcache, q.seqcycle from pg_catalog.pg_sequence q order by 1;

select t.oid, t.relacl from pg_catalog.pg_class t where t.relnamespace = 'public'::regnamespace union all
select a.attrelid, a.attacl from pg_catalog.pg_attribute a where a.attacl is not null order by 1;

select * from public.orders order by id limit 501;
