noinst_LIBRARIES += libghpolicy.a
libghpolicy_a_SOURCES = \
	policy/facts.h \
	policy/policy.h \
	policy/yaml.h
