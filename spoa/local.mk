# Everything of the daemon but main(), so that tests can link it.
noinst_LIBRARIES += libghspoa.a
libghspoa_a_SOURCES = \
	spoa/base64url.c \
	spoa/base64url.h \
	spoa/config.c \
	spoa/config.h \
	spoa/config_data.c \
	spoa/config_int.h \
	spoa/daemon.h \
	spoa/dial.c \
	spoa/dial.h \
	spoa/door.c \
	spoa/door.h \
	spoa/door_spop.c \
	spoa/factscache.c \
	spoa/factscache.h \
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
	spoa/names.c \
	spoa/names.h \
	spoa/paramcache.c \
	spoa/paramcache.h \
	spoa/parsepool.c \
	spoa/parsepool.h \
	spoa/pump.c \
	spoa/pump.h \
	spoa/record.c \
	spoa/record.h \
	spoa/registry.c \
	spoa/registry.h \
	spoa/secret.c \
	spoa/secret.h \
	spoa/session.c \
	spoa/session.h \
	spoa/session_int.h \
	spoa/session_login.c \
	spoa/session_stmt.c \
	spoa/session_upstream.c \
	spoa/snap.c \
	spoa/spop.c \
	spoa/spop.h \
	spoa/spop_agent.c \
	spoa/startup.c \
	spoa/startup.h \
	spoa/ticket.c \
	spoa/ticket.h \
	spoa/worker.c \
	spoa/worker.h \
	spoa/wstate.c
GH_LIBS = libghspoa.a libghpolicy.a libghfilters.a $(PG_QUERY_LIBS) $(YAML_LIBS) $(HIREDIS_LIBS) $(EVENT_LIBS) $(JANSSON_LIBS) $(CRYPTO_LIBS) -lm

sbin_PROGRAMS += gatehouse
gatehouse_SOURCES = spoa/main.c
gatehouse_LDADD = $(GH_LIBS)

dist_man_MANS += spoa/gatehouse.8 spoa/gatehouse.yaml.5
EXTRA_DIST += doc/ledger.md
