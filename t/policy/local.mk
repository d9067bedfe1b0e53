check_PROGRAMS += \
	t/policy/test_facts_pg \
	t/policy/test_json_tape \
	t/policy/test_pg_scan \
	t/policy/test_policy \
	t/policy/test_text \
	t/policy/test_yaml
t_policy_test_facts_pg_SOURCES = t/policy/test_facts_pg.c t/policy/facts_text.c t/policy/facts_text.h t/policy/pg_facts_table.h
t_policy_test_facts_pg_LDADD = $(T_LIBS)
t_policy_test_policy_SOURCES = t/policy/test_policy.c
t_policy_test_policy_LDADD = $(T_LIBS)
t_policy_test_yaml_SOURCES = t/policy/test_yaml.c
t_policy_test_yaml_LDADD = $(T_LIBS)
t_policy_test_json_tape_SOURCES = t/policy/test_json_tape.c
t_policy_test_json_tape_LDADD = $(T_LIBS)
t_policy_test_pg_scan_SOURCES = t/policy/test_pg_scan.c
t_policy_test_pg_scan_LDADD = $(T_LIBS)
t_policy_test_text_SOURCES = t/policy/test_text.c
t_policy_test_text_LDADD = $(T_LIBS)
