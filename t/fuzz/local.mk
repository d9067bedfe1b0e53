# A target per parser. Plain builds replay the corpus in `make check`, and sweep failing allocations through it (t/fuzz/sweep.h);
# configure CC=clang --enable-fuzz builds fuzzers, to be run as t/fuzz/fuzz_spop t/fuzz/corpus/spop.
EXTRA_DIST += \
	t/fuzz/corpus/api \
	t/fuzz/corpus/catalog \
	t/fuzz/corpus/facts \
	t/fuzz/corpus/handover \
	t/fuzz/corpus/httpd \
	t/fuzz/corpus/jwt \
	t/fuzz/corpus/my \
	t/fuzz/corpus/my_parse \
	t/fuzz/corpus/pg \
	t/fuzz/corpus/policy \
	t/fuzz/corpus/proxyv2 \
	t/fuzz/corpus/records \
	t/fuzz/corpus/rewrite \
	t/fuzz/corpus/rewrite_my \
	t/fuzz/corpus/spop
if FUZZ
noinst_PROGRAMS += \
	t/fuzz/fuzz_api \
	t/fuzz/fuzz_catalog \
	t/fuzz/fuzz_facts \
	t/fuzz/fuzz_handover \
	t/fuzz/fuzz_httpd \
	t/fuzz/fuzz_jwt \
	t/fuzz/fuzz_my \
	t/fuzz/fuzz_my_parse \
	t/fuzz/fuzz_pg \
	t/fuzz/fuzz_policy \
	t/fuzz/fuzz_proxyv2 \
	t/fuzz/fuzz_records \
	t/fuzz/fuzz_rewrite \
	t/fuzz/fuzz_rewrite_my \
	t/fuzz/fuzz_spop
t_fuzz_fuzz_api_SOURCES = t/fuzz/fuzz_api.c t/fuzz/sweep.h t/fuzz/target.h
t_fuzz_fuzz_api_LDADD = $(T_LIBS)
t_fuzz_fuzz_api_LDFLAGS = $(AM_LDFLAGS) -fsanitize=fuzzer
t_fuzz_fuzz_catalog_SOURCES = t/fuzz/fuzz_catalog.c t/fuzz/sweep.h t/fuzz/target.h
t_fuzz_fuzz_catalog_LDADD = $(T_LIBS)
t_fuzz_fuzz_catalog_LDFLAGS = $(AM_LDFLAGS) -fsanitize=fuzzer
t_fuzz_fuzz_facts_SOURCES = t/fuzz/fuzz_facts.c t/fuzz/sweep.h t/fuzz/target.h t/policy/alike.c t/policy/alike.h t/policy/columns_text.c t/policy/columns_text.h
t_fuzz_fuzz_facts_LDADD = $(T_LIBS)
t_fuzz_fuzz_facts_LDFLAGS = $(AM_LDFLAGS) -fsanitize=fuzzer
t_fuzz_fuzz_handover_SOURCES = t/fuzz/fuzz_handover.c t/fuzz/target.h
t_fuzz_fuzz_handover_LDADD = $(T_LIBS)
t_fuzz_fuzz_handover_LDFLAGS = $(AM_LDFLAGS) -fsanitize=fuzzer
t_fuzz_fuzz_httpd_SOURCES = t/fuzz/fuzz_httpd.c t/fuzz/target.h
t_fuzz_fuzz_httpd_LDADD = $(T_LIBS)
t_fuzz_fuzz_httpd_LDFLAGS = $(AM_LDFLAGS) -fsanitize=fuzzer
t_fuzz_fuzz_jwt_SOURCES = t/fuzz/fuzz_jwt.c t/fuzz/jwt_good.h t/fuzz/sweep.h t/fuzz/target.h
t_fuzz_fuzz_jwt_LDADD = $(T_LIBS)
t_fuzz_fuzz_jwt_LDFLAGS = $(AM_LDFLAGS) -fsanitize=fuzzer
t_fuzz_fuzz_my_SOURCES = t/fuzz/filter_run.c t/fuzz/filter_run.h t/fuzz/fuzz_my.c t/fuzz/sweep.h t/fuzz/target.h
t_fuzz_fuzz_my_LDADD = $(T_LIBS)
t_fuzz_fuzz_my_LDFLAGS = $(AM_LDFLAGS) -fsanitize=fuzzer
t_fuzz_fuzz_my_parse_SOURCES = t/fuzz/fuzz_my_parse.c t/fuzz/sweep.h t/fuzz/target.h
t_fuzz_fuzz_my_parse_LDADD = $(T_LIBS)
t_fuzz_fuzz_my_parse_LDFLAGS = $(AM_LDFLAGS) -fsanitize=fuzzer
t_fuzz_fuzz_pg_SOURCES = t/fuzz/filter_run.c t/fuzz/filter_run.h t/fuzz/fuzz_pg.c t/fuzz/sweep.h t/fuzz/target.h
t_fuzz_fuzz_pg_LDADD = $(T_LIBS)
t_fuzz_fuzz_pg_LDFLAGS = $(AM_LDFLAGS) -fsanitize=fuzzer
t_fuzz_fuzz_policy_SOURCES = t/fuzz/fuzz_policy.c t/fuzz/sweep.h t/fuzz/target.h
t_fuzz_fuzz_policy_LDADD = $(T_LIBS)
t_fuzz_fuzz_policy_LDFLAGS = $(AM_LDFLAGS) -fsanitize=fuzzer
t_fuzz_fuzz_proxyv2_SOURCES = t/fuzz/fuzz_proxyv2.c t/fuzz/target.h
t_fuzz_fuzz_proxyv2_LDADD = $(T_LIBS)
t_fuzz_fuzz_proxyv2_LDFLAGS = $(AM_LDFLAGS) -fsanitize=fuzzer
t_fuzz_fuzz_records_SOURCES = t/fuzz/fuzz_records.c t/fuzz/sweep.h t/fuzz/target.h
t_fuzz_fuzz_records_LDADD = $(T_LIBS)
t_fuzz_fuzz_records_LDFLAGS = $(AM_LDFLAGS) -fsanitize=fuzzer
t_fuzz_fuzz_rewrite_SOURCES = t/fuzz/fuzz_rewrite.c t/fuzz/sweep.h t/fuzz/target.h t/policy/shop_catalog.h
t_fuzz_fuzz_rewrite_LDADD = $(T_LIBS)
t_fuzz_fuzz_rewrite_LDFLAGS = $(AM_LDFLAGS) -fsanitize=fuzzer
t_fuzz_fuzz_rewrite_my_SOURCES = t/fuzz/fuzz_rewrite_my.c t/fuzz/sweep.h t/fuzz/target.h t/policy/shop_my_catalog.h
t_fuzz_fuzz_rewrite_my_LDADD = $(T_LIBS)
t_fuzz_fuzz_rewrite_my_LDFLAGS = $(AM_LDFLAGS) -fsanitize=fuzzer
t_fuzz_fuzz_spop_SOURCES = t/fuzz/fuzz_spop.c t/fuzz/sweep.h t/fuzz/target.h
t_fuzz_fuzz_spop_LDADD = $(T_LIBS)
t_fuzz_fuzz_spop_LDFLAGS = $(AM_LDFLAGS) -fsanitize=fuzzer
else
check_PROGRAMS += \
	t/fuzz/replay_api \
	t/fuzz/replay_catalog \
	t/fuzz/replay_facts \
	t/fuzz/replay_handover \
	t/fuzz/replay_httpd \
	t/fuzz/replay_jwt \
	t/fuzz/replay_my \
	t/fuzz/replay_my_parse \
	t/fuzz/replay_pg \
	t/fuzz/replay_policy \
	t/fuzz/replay_proxyv2 \
	t/fuzz/replay_records \
	t/fuzz/replay_rewrite \
	t/fuzz/replay_rewrite_my \
	t/fuzz/replay_spop \
	t/fuzz/sweep_api \
	t/fuzz/sweep_catalog \
	t/fuzz/sweep_facts \
	t/fuzz/sweep_jwt \
	t/fuzz/sweep_my \
	t/fuzz/sweep_my_parse \
	t/fuzz/sweep_pg \
	t/fuzz/sweep_policy \
	t/fuzz/sweep_records \
	t/fuzz/sweep_rewrite \
	t/fuzz/sweep_rewrite_my \
	t/fuzz/sweep_spop
t_fuzz_replay_api_SOURCES = t/fuzz/files.c t/fuzz/files.h t/fuzz/fuzz_api.c t/fuzz/replay.c t/fuzz/sweep.h t/fuzz/target.h
t_fuzz_replay_api_LDADD = $(T_LIBS)
t_fuzz_replay_catalog_SOURCES = t/fuzz/files.c t/fuzz/files.h t/fuzz/fuzz_catalog.c t/fuzz/replay.c t/fuzz/sweep.h t/fuzz/target.h
t_fuzz_replay_catalog_LDADD = $(T_LIBS)
t_fuzz_replay_facts_SOURCES = t/fuzz/files.c t/fuzz/files.h t/fuzz/fuzz_facts.c t/fuzz/replay.c t/fuzz/sweep.h t/fuzz/target.h t/policy/alike.c t/policy/alike.h t/policy/columns_text.c t/policy/columns_text.h
t_fuzz_replay_facts_LDADD = $(T_LIBS)
t_fuzz_replay_handover_SOURCES = t/fuzz/files.c t/fuzz/files.h t/fuzz/fuzz_handover.c t/fuzz/replay.c t/fuzz/target.h
t_fuzz_replay_handover_LDADD = $(T_LIBS)
t_fuzz_replay_httpd_SOURCES = t/fuzz/files.c t/fuzz/files.h t/fuzz/fuzz_httpd.c t/fuzz/replay.c t/fuzz/target.h
t_fuzz_replay_httpd_LDADD = $(T_LIBS)
t_fuzz_replay_jwt_SOURCES = t/fuzz/files.c t/fuzz/files.h t/fuzz/fuzz_jwt.c t/fuzz/jwt_good.h t/fuzz/replay.c t/fuzz/sweep.h t/fuzz/target.h
t_fuzz_replay_jwt_LDADD = $(T_LIBS)
t_fuzz_replay_my_SOURCES = t/fuzz/files.c t/fuzz/files.h t/fuzz/filter_run.c t/fuzz/filter_run.h t/fuzz/fuzz_my.c t/fuzz/replay.c t/fuzz/sweep.h t/fuzz/target.h
t_fuzz_replay_my_LDADD = $(T_LIBS)
t_fuzz_replay_my_parse_SOURCES = t/fuzz/files.c t/fuzz/files.h t/fuzz/fuzz_my_parse.c t/fuzz/replay.c t/fuzz/sweep.h t/fuzz/target.h
t_fuzz_replay_my_parse_LDADD = $(T_LIBS)
t_fuzz_replay_pg_SOURCES = t/fuzz/files.c t/fuzz/files.h t/fuzz/filter_run.c t/fuzz/filter_run.h t/fuzz/fuzz_pg.c t/fuzz/replay.c t/fuzz/sweep.h t/fuzz/target.h
t_fuzz_replay_pg_LDADD = $(T_LIBS)
t_fuzz_replay_policy_SOURCES = t/fuzz/files.c t/fuzz/files.h t/fuzz/fuzz_policy.c t/fuzz/replay.c t/fuzz/sweep.h t/fuzz/target.h
t_fuzz_replay_policy_LDADD = $(T_LIBS)
t_fuzz_replay_proxyv2_SOURCES = t/fuzz/files.c t/fuzz/files.h t/fuzz/fuzz_proxyv2.c t/fuzz/replay.c t/fuzz/target.h
t_fuzz_replay_proxyv2_LDADD = $(T_LIBS)
t_fuzz_replay_records_SOURCES = t/fuzz/files.c t/fuzz/files.h t/fuzz/fuzz_records.c t/fuzz/replay.c t/fuzz/sweep.h t/fuzz/target.h
t_fuzz_replay_records_LDADD = $(T_LIBS)
t_fuzz_replay_rewrite_SOURCES = t/fuzz/files.c t/fuzz/files.h t/fuzz/fuzz_rewrite.c t/fuzz/replay.c t/fuzz/sweep.h t/fuzz/target.h t/policy/shop_catalog.h
t_fuzz_replay_rewrite_LDADD = $(T_LIBS)
t_fuzz_replay_rewrite_my_SOURCES = t/fuzz/files.c t/fuzz/files.h t/fuzz/fuzz_rewrite_my.c t/fuzz/replay.c t/fuzz/sweep.h t/fuzz/target.h t/policy/shop_my_catalog.h
t_fuzz_replay_rewrite_my_LDADD = $(T_LIBS)
t_fuzz_replay_spop_SOURCES = t/fuzz/files.c t/fuzz/files.h t/fuzz/fuzz_spop.c t/fuzz/replay.c t/fuzz/sweep.h t/fuzz/target.h
t_fuzz_replay_spop_LDADD = $(T_LIBS)
t_fuzz_sweep_api_SOURCES = t/fuzz/files.c t/fuzz/files.h t/fuzz/fuzz_api.c t/fuzz/sweep.c t/fuzz/sweep.h t/fuzz/target.h t/lib/nomem.c t/lib/nomem.h
t_fuzz_sweep_api_CPPFLAGS = $(AM_CPPFLAGS) -DFUZZ_SWEEP
t_fuzz_sweep_api_LDADD = $(T_LIBS)
t_fuzz_sweep_api_LDFLAGS = $(AM_LDFLAGS) -Wl,--wrap=pg_query_parse -Wl,--wrap=pg_query_normalize -Wl,--wrap=json_loadb
t_fuzz_sweep_catalog_SOURCES = t/fuzz/files.c t/fuzz/files.h t/fuzz/fuzz_catalog.c t/fuzz/sweep.c t/fuzz/sweep.h t/fuzz/target.h t/lib/nomem.c t/lib/nomem.h
t_fuzz_sweep_catalog_CPPFLAGS = $(AM_CPPFLAGS) -DFUZZ_SWEEP
t_fuzz_sweep_catalog_LDADD = $(T_LIBS)
t_fuzz_sweep_catalog_LDFLAGS = $(AM_LDFLAGS) -Wl,--wrap=pg_query_parse -Wl,--wrap=pg_query_normalize -Wl,--wrap=json_loadb
t_fuzz_sweep_facts_SOURCES = t/fuzz/files.c t/fuzz/files.h t/fuzz/fuzz_facts.c t/fuzz/sweep.c t/fuzz/sweep.h t/fuzz/target.h t/lib/nomem.c t/lib/nomem.h t/policy/alike.c t/policy/alike.h t/policy/columns_text.c t/policy/columns_text.h
t_fuzz_sweep_facts_CPPFLAGS = $(AM_CPPFLAGS) -DFUZZ_SWEEP
t_fuzz_sweep_facts_LDADD = $(T_LIBS)
t_fuzz_sweep_facts_LDFLAGS = $(AM_LDFLAGS) -Wl,--wrap=pg_query_parse -Wl,--wrap=pg_query_normalize -Wl,--wrap=json_loadb
t_fuzz_sweep_jwt_SOURCES = t/fuzz/files.c t/fuzz/files.h t/fuzz/fuzz_jwt.c t/fuzz/jwt_good.h t/fuzz/sweep.c t/fuzz/sweep.h t/fuzz/target.h t/lib/nomem.c t/lib/nomem.h
t_fuzz_sweep_jwt_CPPFLAGS = $(AM_CPPFLAGS) -DFUZZ_SWEEP
t_fuzz_sweep_jwt_LDADD = $(T_LIBS)
t_fuzz_sweep_jwt_LDFLAGS = $(AM_LDFLAGS) -Wl,--wrap=pg_query_parse -Wl,--wrap=pg_query_normalize -Wl,--wrap=json_loadb
t_fuzz_sweep_my_SOURCES = t/fuzz/files.c t/fuzz/files.h t/fuzz/filter_run.c t/fuzz/filter_run.h t/fuzz/fuzz_my.c t/fuzz/sweep.c t/fuzz/sweep.h t/fuzz/target.h t/lib/nomem.c t/lib/nomem.h
t_fuzz_sweep_my_CPPFLAGS = $(AM_CPPFLAGS) -DFUZZ_SWEEP
t_fuzz_sweep_my_LDADD = $(T_LIBS)
t_fuzz_sweep_my_LDFLAGS = $(AM_LDFLAGS) -Wl,--wrap=pg_query_parse -Wl,--wrap=pg_query_normalize -Wl,--wrap=json_loadb
t_fuzz_sweep_my_parse_SOURCES = t/fuzz/files.c t/fuzz/files.h t/fuzz/fuzz_my_parse.c t/fuzz/sweep.c t/fuzz/sweep.h t/fuzz/target.h t/lib/nomem.c t/lib/nomem.h
t_fuzz_sweep_my_parse_CPPFLAGS = $(AM_CPPFLAGS) -DFUZZ_SWEEP
t_fuzz_sweep_my_parse_LDADD = $(T_LIBS)
t_fuzz_sweep_my_parse_LDFLAGS = $(AM_LDFLAGS) -Wl,--wrap=pg_query_parse -Wl,--wrap=pg_query_normalize -Wl,--wrap=json_loadb
t_fuzz_sweep_pg_SOURCES = t/fuzz/files.c t/fuzz/files.h t/fuzz/filter_run.c t/fuzz/filter_run.h t/fuzz/fuzz_pg.c t/fuzz/sweep.c t/fuzz/sweep.h t/fuzz/target.h t/lib/nomem.c t/lib/nomem.h
t_fuzz_sweep_pg_CPPFLAGS = $(AM_CPPFLAGS) -DFUZZ_SWEEP
t_fuzz_sweep_pg_LDADD = $(T_LIBS)
t_fuzz_sweep_pg_LDFLAGS = $(AM_LDFLAGS) -Wl,--wrap=pg_query_parse -Wl,--wrap=pg_query_normalize -Wl,--wrap=json_loadb
t_fuzz_sweep_policy_SOURCES = t/fuzz/files.c t/fuzz/files.h t/fuzz/fuzz_policy.c t/fuzz/sweep.c t/fuzz/sweep.h t/fuzz/target.h t/lib/nomem.c t/lib/nomem.h
t_fuzz_sweep_policy_CPPFLAGS = $(AM_CPPFLAGS) -DFUZZ_SWEEP
t_fuzz_sweep_policy_LDADD = $(T_LIBS)
t_fuzz_sweep_policy_LDFLAGS = $(AM_LDFLAGS) -Wl,--wrap=pg_query_parse -Wl,--wrap=pg_query_normalize -Wl,--wrap=json_loadb
t_fuzz_sweep_records_SOURCES = t/fuzz/files.c t/fuzz/files.h t/fuzz/fuzz_records.c t/fuzz/sweep.c t/fuzz/sweep.h t/fuzz/target.h t/lib/nomem.c t/lib/nomem.h
t_fuzz_sweep_records_CPPFLAGS = $(AM_CPPFLAGS) -DFUZZ_SWEEP
t_fuzz_sweep_records_LDADD = $(T_LIBS)
t_fuzz_sweep_records_LDFLAGS = $(AM_LDFLAGS) -Wl,--wrap=pg_query_parse -Wl,--wrap=pg_query_normalize -Wl,--wrap=json_loadb
t_fuzz_sweep_rewrite_SOURCES = t/fuzz/files.c t/fuzz/files.h t/fuzz/fuzz_rewrite.c t/fuzz/sweep.c t/fuzz/sweep.h t/fuzz/target.h t/lib/nomem.c t/lib/nomem.h t/policy/shop_catalog.h
t_fuzz_sweep_rewrite_CPPFLAGS = $(AM_CPPFLAGS) -DFUZZ_SWEEP
t_fuzz_sweep_rewrite_LDADD = $(T_LIBS)
t_fuzz_sweep_rewrite_LDFLAGS = $(AM_LDFLAGS) -Wl,--wrap=pg_query_parse -Wl,--wrap=pg_query_normalize -Wl,--wrap=json_loadb
t_fuzz_sweep_rewrite_my_SOURCES = t/fuzz/files.c t/fuzz/files.h t/fuzz/fuzz_rewrite_my.c t/fuzz/sweep.c t/fuzz/sweep.h t/fuzz/target.h t/lib/nomem.c t/lib/nomem.h t/policy/shop_my_catalog.h
t_fuzz_sweep_rewrite_my_CPPFLAGS = $(AM_CPPFLAGS) -DFUZZ_SWEEP
t_fuzz_sweep_rewrite_my_LDADD = $(T_LIBS)
t_fuzz_sweep_rewrite_my_LDFLAGS = $(AM_LDFLAGS) -Wl,--wrap=pg_query_parse -Wl,--wrap=pg_query_normalize -Wl,--wrap=json_loadb
t_fuzz_sweep_spop_SOURCES = t/fuzz/files.c t/fuzz/files.h t/fuzz/fuzz_spop.c t/fuzz/sweep.c t/fuzz/sweep.h t/fuzz/target.h t/lib/nomem.c t/lib/nomem.h
t_fuzz_sweep_spop_CPPFLAGS = $(AM_CPPFLAGS) -DFUZZ_SWEEP
t_fuzz_sweep_spop_LDADD = $(T_LIBS)
t_fuzz_sweep_spop_LDFLAGS = $(AM_LDFLAGS) -Wl,--wrap=pg_query_parse -Wl,--wrap=pg_query_normalize -Wl,--wrap=json_loadb
endif
