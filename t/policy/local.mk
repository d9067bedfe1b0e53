check_PROGRAMS += t/policy/test_yaml
t_policy_test_yaml_SOURCES = t/policy/test_yaml.c
t_policy_test_yaml_LDADD = $(T_LIBS)
