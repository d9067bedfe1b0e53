check_PROGRAMS += t/policy/test_facts_pg t/policy/test_policy t/policy/test_yaml
t_policy_test_facts_pg_SOURCES = t/policy/test_facts_pg.c t/policy/facts_text.c t/policy/facts_text.h t/policy/pg_facts_table.h
t_policy_test_facts_pg_LDADD = $(T_LIBS)
t_policy_test_policy_SOURCES = t/policy/test_policy.c
t_policy_test_policy_LDADD = $(T_LIBS)
t_policy_test_yaml_SOURCES = t/policy/test_yaml.c
t_policy_test_yaml_LDADD = $(T_LIBS)
