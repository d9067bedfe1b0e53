check_PROGRAMS += t/filters/test_bytes
t_filters_test_bytes_SOURCES = t/filters/test_bytes.c
t_filters_test_bytes_LDADD = $(T_LIBS)

check_PROGRAMS += t/filters/test_pg_forget
t_filters_test_pg_forget_SOURCES = \
	t/filters/pg_talk.c \
	t/filters/pg_talk.h \
	t/filters/test_pg_forget.c
t_filters_test_pg_forget_LDADD = $(T_LIBS)

check_PROGRAMS += t/filters/test_pg_ask
t_filters_test_pg_ask_SOURCES = \
	t/filters/pg_talk.c \
	t/filters/pg_talk.h \
	t/filters/test_pg_ask.c
t_filters_test_pg_ask_LDADD = $(T_LIBS)

check_PROGRAMS += t/filters/test_pg_filter
t_filters_test_pg_filter_SOURCES = \
	t/filters/pg_talk.c \
	t/filters/pg_talk.h \
	t/filters/test_pg_filter.c
t_filters_test_pg_filter_LDADD = $(T_LIBS)

check_PROGRAMS += t/filters/test_pg_login
t_filters_test_pg_login_SOURCES = \
	t/filters/pg_talk.c \
	t/filters/pg_talk.h \
	t/filters/test_pg_login.c
t_filters_test_pg_login_LDADD = $(T_LIBS)

check_PROGRAMS += t/filters/test_pg_auth
t_filters_test_pg_auth_SOURCES = t/filters/test_pg_auth.c
t_filters_test_pg_auth_LDADD = $(T_LIBS)
check_PROGRAMS += t/filters/test_pg_tls
t_filters_test_pg_tls_SOURCES = \
	t/filters/pg_talk.c \
	t/filters/pg_talk.h \
	t/filters/test_pg_tls.c
t_filters_test_pg_tls_LDADD = $(T_LIBS)
check_PROGRAMS += t/filters/test_proxyv2
t_filters_test_proxyv2_SOURCES = t/filters/test_proxyv2.c
t_filters_test_proxyv2_LDADD = $(T_LIBS)
check_PROGRAMS += t/filters/test_pg_oblige
t_filters_test_pg_oblige_SOURCES = \
	t/filters/pg_talk.c \
	t/filters/pg_talk.h \
	t/filters/test_pg_oblige.c
t_filters_test_pg_oblige_LDADD = $(T_LIBS)
check_PROGRAMS += t/filters/test_my_filter
t_filters_test_my_filter_SOURCES = \
	t/filters/my_talk.c \
	t/filters/my_talk.h \
	t/filters/test_my_filter.c
t_filters_test_my_filter_LDADD = $(T_LIBS)
check_PROGRAMS += t/filters/test_my_login
t_filters_test_my_login_SOURCES = \
	t/filters/my_talk.c \
	t/filters/my_talk.h \
	t/filters/test_my_login.c
t_filters_test_my_login_LDADD = $(T_LIBS)

check_PROGRAMS += t/filters/test_my_veil
t_filters_test_my_veil_SOURCES = \
	t/filters/my_talk.c \
	t/filters/my_talk.h \
	t/filters/test_my_veil.c
t_filters_test_my_veil_LDADD = $(T_LIBS)
