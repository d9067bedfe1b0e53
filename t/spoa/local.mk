check_PROGRAMS += t/spoa/test_spop
t_spoa_test_spop_SOURCES = t/spoa/test_spop.c
t_spoa_test_spop_LDADD = $(T_LIBS)
check_PROGRAMS += t/spoa/test_ticket
t_spoa_test_ticket_SOURCES = t/spoa/test_ticket.c
t_spoa_test_ticket_LDADD = $(T_LIBS)
check_PROGRAMS += t/spoa/test_log
t_spoa_test_log_SOURCES = t/spoa/test_log.c
t_spoa_test_log_LDADD = $(T_LIBS)

check_PROGRAMS += t/spoa/test_journal
t_spoa_test_journal_SOURCES = t/spoa/test_journal.c
t_spoa_test_journal_LDADD = $(T_LIBS)
