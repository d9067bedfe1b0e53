EXTRA_DIST += \
	t/e2e/haproxy.py \
	t/e2e/httpgate.py \
	t/e2e/idp.py \
	t/e2e/leaks.py \
	t/e2e/oracle_my_random.py \
	t/e2e/oracle_my_wire.py \
	t/e2e/oracle_my_world.py \
	t/e2e/oracle_random.py \
	t/e2e/oracle_smith.py \
	t/e2e/oracle_wire.py \
	t/e2e/oracle_world.py \
	t/e2e/pagegate.py \
	t/e2e/pgraw.py \
	t/e2e/policy.yaml \
	t/e2e/receiver.py \
	t/e2e/rewrite_evasions.py \
	t/e2e/rewrite_evasions_my.py \
	t/e2e/rewrite_oracle.py \
	t/e2e/rewrite_random.py \
	t/e2e/run.py \
	t/e2e/spop.py \
	t/e2e/stack.py \
	t/e2e/sysbench.py \
	t/e2e/test_api_approvals.py \
	t/e2e/test_approvals.py \
	t/e2e/test_approvals_many.py \
	t/e2e/test_asyncpg.py \
	t/e2e/test_audit.py \
	t/e2e/test_bypass.py \
	t/e2e/test_catalog.py \
	t/e2e/test_clock.py \
	t/e2e/test_columns.py \
	t/e2e/test_columns_facts.py \
	t/e2e/test_columns_oracle.py \
	t/e2e/test_crash.py \
	t/e2e/test_credentials.py \
	t/e2e/test_daemon.py \
	t/e2e/test_downstream.py \
	t/e2e/test_edge.py \
	t/e2e/test_failclosed.py \
	t/e2e/test_faults.py \
	t/e2e/test_floods.py \
	t/e2e/test_grants_sql.py \
	t/e2e/test_haproxy.py \
	t/e2e/test_hooks.py \
	t/e2e/test_identity.py \
	t/e2e/test_leaks.py \
	t/e2e/test_leaks_sql.py \
	t/e2e/test_login_flood.py \
	t/e2e/test_metrics.py \
	t/e2e/test_mistakes.py \
	t/e2e/test_my_columns.py \
	t/e2e/test_my_edge.py \
	t/e2e/test_my_noninterference.py \
	t/e2e/test_my_utility.py \
	t/e2e/test_mysql.py \
	t/e2e/test_names.py \
	t/e2e/test_nodes.py \
	t/e2e/test_noninterference.py \
	t/e2e/test_oidc.py \
	t/e2e/test_orders.py \
	t/e2e/test_page.py \
	t/e2e/test_page_browser.py \
	t/e2e/test_pgbench.py \
	t/e2e/test_policy_tools.py \
	t/e2e/test_protocol_fuzz.py \
	t/e2e/test_psql.py \
	t/e2e/test_psycopg.py \
	t/e2e/test_quickstart.py \
	t/e2e/test_refusal.py \
	t/e2e/test_renewal.py \
	t/e2e/test_retention.py \
	t/e2e/test_rewrite.py \
	t/e2e/test_schema_race.py \
	t/e2e/test_statement_api.py \
	t/e2e/test_streams.py \
	t/e2e/test_sysbench.py \
	t/e2e/test_ticket.py \
	t/e2e/test_times.py \
	t/e2e/test_unpin.py \
	t/e2e/test_upgrade.py \
	t/e2e/test_upgrade_chaos.py \
	t/e2e/test_upstream_credentials.py \
	t/e2e/test_upstream_tls.py \
	t/e2e/test_utility.py \
	t/e2e/test_watch.py \
	t/e2e/two.py \
	t/e2e/utility_orm.py \
	t/e2e/utility_sql.py \
	t/e2e/utility_world.py \
	t/jobs.py \
	t/run

# UNSOUND, never installed: daemons in which one thing is missing that keeps data hidden. test_noninterference.py must find each of them out.
EXTRA_PROGRAMS += t/e2e/gatehouse-inline t/e2e/gatehouse-unveiled
t_e2e_gatehouse_inline_SOURCES = policy/rewrite_check.c policy/rewrite_from.c spoa/main.c
t_e2e_gatehouse_inline_CPPFLAGS = $(AM_CPPFLAGS) -DGH_UNSOUND_INLINE
t_e2e_gatehouse_inline_LDADD = $(GH_LIBS)
t_e2e_gatehouse_unveiled_SOURCES = spoa/main.c spoa/session_rewrite.c
t_e2e_gatehouse_unveiled_CPPFLAGS = $(AM_CPPFLAGS) -DGH_UNSOUND_UNVEILED
t_e2e_gatehouse_unveiled_LDADD = $(GH_LIBS)
