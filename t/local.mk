# What every test program links: Check, the guard page and chopping helpers.
check_LIBRARIES += libghtest.a
libghtest_a_SOURCES = \
	t/lib/guard.c \
	t/lib/guard.h \
	t/lib/mint.c \
	t/lib/mint.h \
	t/lib/redis.c \
	t/lib/redis.h \
	t/lib/spop_dump.c \
	t/lib/spop_dump.h
EXTRA_PROGRAMS =
# Seconds after which Check takes a test for one that hangs: many, for machines that do other things besides, with sanitizers.
AM_TESTS_ENVIRONMENT = CK_DEFAULT_TIMEOUT=300; export CK_DEFAULT_TIMEOUT;
T_LIBS = libghtest.a $(GH_LIBS) $(CHECK_LIBS)

include t/corpus/local.mk
include t/ctl/local.mk
include t/drivers/local.mk
include t/e2e/local.mk
include t/filters/local.mk
include t/fuzz/local.mk
include t/matrix/local.mk
include t/mysql/local.mk
include t/policy/local.mk
include t/spoa/local.mk
include t/bench/local.mk
EXTRA_DIST += t/newcomer/blocks.py t/newcomer/follow t/newcomer/machine.sh t/newcomer/run t/newcomer/systemctl t/package/inside t/package/run
