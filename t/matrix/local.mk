EXTRA_DIST += \
	t/matrix/enter \
	t/matrix/oauth_client.c \
	t/matrix/provider/package-lock.json \
	t/matrix/provider/package.json \
	t/matrix/provider/provider.mjs \
	t/matrix/run \
	t/matrix/servers.sh \
	t/matrix/test_mysql9.py \
	t/matrix/test_provider.py \
	t/matrix/test_versions.py
