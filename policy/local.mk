noinst_LIBRARIES += libghpolicy.a
libghpolicy_a_SOURCES = \
	policy/arena.c \
	policy/arena.h \
	policy/facts.c \
	policy/facts.h \
	policy/facts_pg.c \
	policy/facts_pg.h \
	policy/facts_pg_ddl.c \
	policy/facts_pg_expr.c \
	policy/facts_pg_query.c \
	policy/facts_pg_stmt.c \
	policy/file.h \
	policy/json_tape.c \
	policy/json_tape.h \
	policy/pg_catalog.c \
	policy/pg_catalog.h \
	policy/pg_functions.c \
	policy/pg_functions.h \
	policy/pg_nodes.c \
	policy/pg_nodes.h \
	policy/pg_scan.c \
	policy/pg_scan.h \
	policy/pg_settings.c \
	policy/pg_settings.h \
	policy/policy.c \
	policy/policy.h \
	policy/policy_int.h \
	policy/role.c \
	policy/text.c \
	policy/text.h \
	policy/verdict.c \
	policy/words.c \
	policy/words.h \
	policy/yaml.c \
	policy/yaml.h
dist_man_MANS += policy/policy.5
