noinst_LIBRARIES += libghfilters.a
libghfilters_a_SOURCES = \
	filters/bytes.c \
	filters/bytes.h \
	filters/filter.c \
	filters/filter.h \
	filters/filter_impl.h \
	filters/pg_auth.c \
	filters/pg_auth.h \
	filters/pg_client.c \
	filters/pg_filter.c \
	filters/pg_impl.h \
	filters/pg_names.c \
	filters/pg_names.h \
	filters/pg_queue.c \
	filters/pg_server.c \
	filters/pg_wire.c \
	filters/pg_wire.h \
	filters/proxyv2.c \
	filters/proxyv2.h
