check_PROGRAMS += t/spoa/test_spop
t_spoa_test_spop_SOURCES = t/spoa/test_spop.c
t_spoa_test_spop_LDADD = $(T_LIBS)
check_PROGRAMS += t/spoa/test_ticket
t_spoa_test_ticket_SOURCES = t/spoa/test_ticket.c
t_spoa_test_ticket_LDADD = $(T_LIBS)
check_PROGRAMS += t/spoa/test_jwks
t_spoa_test_jwks_SOURCES = t/spoa/test_jwks.c
t_spoa_test_jwks_LDADD = $(T_LIBS)
check_PROGRAMS += t/spoa/test_jwt
t_spoa_test_jwt_SOURCES = t/spoa/test_jwt.c
t_spoa_test_jwt_LDADD = $(T_LIBS)
check_PROGRAMS += t/spoa/test_log
t_spoa_test_log_SOURCES = t/spoa/test_log.c
t_spoa_test_log_LDADD = $(T_LIBS)

check_PROGRAMS += t/spoa/test_journal
t_spoa_test_journal_SOURCES = t/spoa/test_journal.c
t_spoa_test_journal_LDADD = $(T_LIBS)

check_PROGRAMS += t/spoa/test_ledger
t_spoa_test_ledger_SOURCES = t/spoa/test_ledger.c
t_spoa_test_ledger_LDADD = $(T_LIBS)
