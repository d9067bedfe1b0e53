# Not tests: programs that print tables. Built and run by hand: make t/bench/bench_ledger.
EXTRA_PROGRAMS += \
	t/bench/bench_columns \
	t/bench/bench_jwt \
	t/bench/bench_ledger \
	t/bench/bench_rewrite \
	t/bench/bench_statement \
	t/bench/bench_worst
t_bench_bench_columns_SOURCES = t/bench/bench_columns.c t/policy/columns_text.c t/policy/columns_text.h
t_bench_bench_columns_LDADD = $(T_LIBS)
t_bench_bench_jwt_SOURCES = t/bench/bench_jwt.c
t_bench_bench_jwt_LDADD = $(T_LIBS)
t_bench_bench_ledger_SOURCES = t/bench/bench_ledger.c
t_bench_bench_ledger_LDADD = $(T_LIBS)
t_bench_bench_rewrite_SOURCES = t/bench/bench_rewrite.c t/policy/shop_catalog.h
t_bench_bench_rewrite_LDADD = $(T_LIBS)
t_bench_bench_statement_SOURCES = t/bench/bench_statement.c
t_bench_bench_statement_LDADD = $(T_LIBS)
t_bench_bench_worst_SOURCES = t/bench/bench_worst.c t/policy/shop_catalog.h t/policy/shop_my_catalog.h
t_bench_bench_worst_LDADD = $(T_LIBS)
EXTRA_DIST += \
	t/bench/approvals.py \
	t/bench/bench.py \
	t/bench/cost.py \
	t/bench/flood.py \
	t/bench/run \
	t/bench/soak.py \
	t/bench/storm.py \
	t/bench/world.py
