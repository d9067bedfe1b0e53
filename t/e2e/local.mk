EXTRA_DIST += \
	t/e2e/haproxy.py \
	t/e2e/pgraw.py \
	t/e2e/policy.yaml \
	t/e2e/run.py \
	t/e2e/spop.py \
	t/e2e/stack.py \
	t/e2e/test_asyncpg.py \
	t/e2e/test_crash.py \
	t/e2e/test_edge.py \
	t/e2e/test_failclosed.py \
	t/e2e/test_identity.py \
	t/e2e/test_pgbench.py \
	t/e2e/test_protocol_fuzz.py \
	t/e2e/test_psql.py \
	t/e2e/test_psycopg.py \
	t/e2e/test_refusal.py \
	t/e2e/test_streams.py \
	t/run
