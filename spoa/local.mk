# Everything of the daemon but main(), so that tests can link it.
noinst_LIBRARIES += libghspoa.a
libghspoa_a_SOURCES = \
	spoa/base64url.c \
	spoa/base64url.h \
	spoa/journal.c \
	spoa/journal.h \
	spoa/jwks.c \
	spoa/jwks.h \
	spoa/jwt.c \
	spoa/jwt.h \
	spoa/ledger.c \
	spoa/ledger.h \
	spoa/ledger_event.c \
	spoa/ledger_event.h \
	spoa/ledger_redis.c \
	spoa/ledger_redis.h \
	spoa/log.c \
	spoa/log.h \
	spoa/spop.c \
	spoa/spop.h \
	spoa/spop_agent.c \
	spoa/ticket.c \
	spoa/ticket.h
GH_LIBS = libghspoa.a libghpolicy.a libghfilters.a $(PG_QUERY_LIBS) $(YAML_LIBS) $(HIREDIS_LIBS) $(EVENT_LIBS) $(JANSSON_LIBS) $(CRYPTO_LIBS) -lm

sbin_PROGRAMS += gatehouse
gatehouse_SOURCES = spoa/main.c
gatehouse_LDADD = $(GH_LIBS)
EXTRA_DIST += doc/ledger.md
