check_PROGRAMS += t/spoa/test_log
t_spoa_test_log_SOURCES = t/spoa/test_log.c
t_spoa_test_log_LDADD = $(T_LIBS)

check_PROGRAMS += t/spoa/test_journal
t_spoa_test_journal_SOURCES = t/spoa/test_journal.c
t_spoa_test_journal_LDADD = $(T_LIBS)

check_PROGRAMS += t/spoa/test_ledger
t_spoa_test_ledger_SOURCES = t/spoa/test_ledger.c
t_spoa_test_ledger_LDADD = $(T_LIBS)
