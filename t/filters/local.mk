check_PROGRAMS += t/filters/test_bytes
t_filters_test_bytes_SOURCES = t/filters/test_bytes.c
t_filters_test_bytes_LDADD = $(T_LIBS)

check_PROGRAMS += t/filters/test_pg_filter
t_filters_test_pg_filter_SOURCES = \
	t/filters/pg_talk.c \
	t/filters/pg_talk.h \
	t/filters/test_pg_filter.c
t_filters_test_pg_filter_LDADD = $(T_LIBS)
check_PROGRAMS += t/filters/test_proxyv2
t_filters_test_proxyv2_SOURCES = t/filters/test_proxyv2.c
t_filters_test_proxyv2_LDADD = $(T_LIBS)
