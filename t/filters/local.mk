check_PROGRAMS += t/filters/test_bytes
t_filters_test_bytes_SOURCES = t/filters/test_bytes.c
t_filters_test_bytes_LDADD = $(T_LIBS)
