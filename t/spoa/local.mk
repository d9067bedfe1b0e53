check_PROGRAMS += t/spoa/test_log
t_spoa_test_log_SOURCES = t/spoa/test_log.c
t_spoa_test_log_LDADD = $(T_LIBS)

check_PROGRAMS += t/spoa/test_journal
t_spoa_test_journal_SOURCES = t/spoa/test_journal.c
t_spoa_test_journal_LDADD = $(T_LIBS)
