# Not tests: programs that print tables. Built and run by hand: make t/bench/bench_ledger.
EXTRA_PROGRAMS = t/bench/bench_ledger
t_bench_bench_ledger_SOURCES = t/bench/bench_ledger.c
t_bench_bench_ledger_LDADD = $(T_LIBS)
