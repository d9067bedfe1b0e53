noinst_LIBRARIES += libghpolicy.a
libghpolicy_a_SOURCES = \
	policy/arena.c \
	policy/arena.h \
	policy/facts.h \
	policy/policy.h \
	policy/yaml.c \
	policy/yaml.h
