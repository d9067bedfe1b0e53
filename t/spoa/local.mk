check_PROGRAMS += t/spoa/test_log
t_spoa_test_log_SOURCES = t/spoa/test_log.c
t_spoa_test_log_LDADD = $(T_LIBS)
