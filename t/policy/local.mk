check_PROGRAMS += \
	t/policy/test_ask \
	t/policy/test_carry \
	t/policy/test_catalog \
	t/policy/test_columns \
	t/policy/test_columns_my \
	t/policy/test_expr_pg \
	t/policy/test_facts_my \
	t/policy/test_facts_pg \
	t/policy/test_fit \
	t/policy/test_json_tape \
	t/policy/test_lint \
	t/policy/test_obligations \
	t/policy/test_pg_scan \
	t/policy/test_policy \
	t/policy/test_rewrite_my \
	t/policy/test_rewrite_pg \
	t/policy/test_session_state \
	t/policy/test_text \
	t/policy/test_times \
	t/policy/test_yaml
t_policy_test_carry_SOURCES = t/policy/test_carry.c
t_policy_test_carry_LDADD = $(T_LIBS)
t_policy_test_ask_SOURCES = t/policy/test_ask.c
t_policy_test_ask_LDADD = $(T_LIBS)
t_policy_test_catalog_SOURCES = t/policy/test_catalog.c
t_policy_test_catalog_LDADD = $(T_LIBS)
t_policy_test_columns_SOURCES = t/policy/test_columns.c t/policy/columns_table.h t/policy/columns_text.c t/policy/columns_text.h
t_policy_test_columns_LDADD = $(T_LIBS)
t_policy_test_columns_my_SOURCES = t/policy/test_columns_my.c t/policy/shop_my_catalog.h
t_policy_test_columns_my_LDADD = $(T_LIBS)
t_policy_test_facts_my_SOURCES = t/policy/test_facts_my.c t/policy/facts_text.c t/policy/facts_text.h t/policy/my_facts_table.h
t_policy_test_facts_my_LDADD = $(T_LIBS)
t_policy_test_facts_pg_SOURCES = t/policy/test_facts_pg.c t/policy/facts_text.c t/policy/facts_text.h t/policy/pg_facts_table.h
t_policy_test_facts_pg_LDADD = $(T_LIBS)
t_policy_test_policy_SOURCES = t/policy/test_policy.c
t_policy_test_policy_LDADD = $(T_LIBS)
t_policy_test_yaml_SOURCES = t/policy/test_yaml.c
t_policy_test_yaml_LDADD = $(T_LIBS)
t_policy_test_fit_SOURCES = t/policy/test_fit.c t/policy/shop_catalog.h t/policy/shop_my_catalog.h
t_policy_test_fit_LDADD = $(T_LIBS)
t_policy_test_lint_SOURCES = t/policy/test_lint.c t/policy/columns_text.c t/policy/columns_text.h
t_policy_test_lint_LDADD = $(T_LIBS)
t_policy_test_json_tape_SOURCES = t/policy/test_json_tape.c
t_policy_test_json_tape_LDADD = $(T_LIBS)
t_policy_test_pg_scan_SOURCES = t/policy/test_pg_scan.c
t_policy_test_pg_scan_LDADD = $(T_LIBS)
t_policy_test_times_SOURCES = t/policy/test_times.c
t_policy_test_times_LDADD = $(T_LIBS)
t_policy_test_session_state_SOURCES = t/policy/test_session_state.c
t_policy_test_session_state_LDADD = $(T_LIBS)
t_policy_test_text_SOURCES = t/policy/test_text.c
t_policy_test_text_LDADD = $(T_LIBS)
t_policy_test_expr_pg_SOURCES = t/policy/test_expr_pg.c
t_policy_test_expr_pg_LDADD = $(T_LIBS)
t_policy_test_obligations_SOURCES = t/policy/test_obligations.c t/policy/shop_catalog.h
t_policy_test_obligations_LDADD = $(T_LIBS)
t_policy_test_rewrite_my_SOURCES = t/policy/test_rewrite_my.c t/policy/shop_my_catalog.h
t_policy_test_rewrite_my_LDADD = $(T_LIBS)
t_policy_test_rewrite_pg_SOURCES = t/policy/test_rewrite_pg.c t/policy/shop_catalog.h
t_policy_test_rewrite_pg_LDADD = $(T_LIBS)
# Not a test: t/e2e/test_columns_facts.py makes and runs it.
EXTRA_PROGRAMS += t/policy/columns_dump
t_policy_columns_dump_SOURCES = t/policy/columns_dump.c
t_policy_columns_dump_LDADD = $(T_LIBS)
# Not a test: t/mysql makes and runs it.
EXTRA_PROGRAMS += t/policy/my_dump
t_policy_my_dump_SOURCES = t/policy/my_dump.c
t_policy_my_dump_LDADD = $(T_LIBS)
# Not a test: t/mysql/rewrite.py makes and runs it.
EXTRA_PROGRAMS += t/policy/my_rewrite
t_policy_my_rewrite_SOURCES = t/policy/my_rewrite.c
t_policy_my_rewrite_LDADD = $(T_LIBS)
