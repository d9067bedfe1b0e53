check_PROGRAMS += t/spoa/test_spop
t_spoa_test_spop_SOURCES = t/spoa/test_spop.c
t_spoa_test_spop_LDADD = $(T_LIBS)
