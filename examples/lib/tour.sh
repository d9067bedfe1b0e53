# shellcheck shell=bash disable=SC2034 # tokens are named indirectly
# The tour of examples/quickstart. Shows each command with its output, and stops with an error when an outcome is not what it should be.

# step TEXT: what comes next.
step() { printf '\n--- %s\n' "$*"; }

tour_fail() {
    printf 'tour: %s\n' "$*" >&2
    exit 1
}

# as WHO SQL...: psql through HAProxy and Gatehouse, with WHO's token as the password. Output in $out, exit status in $status.
as() {
    local who=$1 token args=() sql
    shift
    token=GH_TOKEN_${who^^}
    for sql in "$@"; do args+=(-c "$sql"); done
    printf '$ PGPASSWORD=$%s psql "host=%s port=%s user=%s dbname=shop sslmode=verify-full sslrootcert=%s"' \
        "$token" "$GH_PG_HOST" "$GH_PG_PORT" "$who" "$GH_CA"
    printf ' \\\n      -c "%s"' "$@"
    printf '\n'
    status=0
    out=$(PGPASSWORD=${!token} psql -X -v VERBOSITY=verbose \
        "host=$GH_PG_HOST port=$GH_PG_PORT user=$who dbname=shop sslmode=verify-full sslrootcert=$GH_CA" "${args[@]}" 2>&1) || status=$?
    printf '%s\n' "$out"
}

allowed() {
    [ "$status" -eq 0 ] || tour_fail "this statement should have been allowed"
    holds "$1"
}
refused() {
    holds "42501"
    if [[ $out == *c4n4ry* ]]; then tour_fail "a refused statement's answer holds the table's data"; fi
}
holds() { if [[ $out != *"$1"* ]]; then tour_fail "the output should hold: $1"; fi; }
direct() { psql -XAtq "$GH_PG_DIRECT_URL" -c "$1"; }

redis() {
    printf '$ redis-cli -p %s' "$GH_REDIS_PORT"
    printf ' %s' "$@"
    printf '\n'
    out=$(redis-cli -p "$GH_REDIS_PORT" "$@")
    printf '%s\n' "$out"
}

tour() {
    local key
    step "An AI agent reads what its group may read"
    as agent "SELECT id, status, total FROM orders ORDER BY id LIMIT 3"
    allowed "(3 rows)"

    step "It may not drop the table; its session goes on"
    as agent "DROP TABLE orders" "SELECT count(*) FROM orders"
    refused
    holds 10000
    [ "$(direct "SELECT count(*) FROM orders")" = 10000 ] || tour_fail "the table is not whole"

    step "It may not read staff, nor customers (masks that would let it see a part of customers follow later)"
    as agent "SELECT name, salary FROM staff"
    refused
    as agent "SELECT email FROM customers"
    refused
    as agent "SELECT * FROM customer_directory"
    refused

    step "A transaction with one refused statement commits nothing"
    as dba "CREATE TABLE tour (n integer)"
    allowed "CREATE TABLE"
    as analyst "BEGIN; SELECT count(*) FROM orders; INSERT INTO tour VALUES (1); COMMIT"
    refused
    [ "$(direct "SELECT count(*) FROM tour")" = 0 ] || tour_fail "something was committed"
    as dba "DROP TABLE tour"
    allowed "DROP TABLE"

    step "A token that is not valid opens nothing"
    GH_TOKEN_FORGED=${GH_TOKEN_AGENT%.*}.$(printf 'forged' | base64 | tr -d '=')
    as forged "SELECT 1"
    [ "$status" -ne 0 ] || tour_fail "a forged token was accepted"

    step "The auditor: the index of sessions, and one session statement by statement"
    redis --no-raw XREVRANGE gatehouse:sessions + - COUNT 2
    key=$(audit_stream_of "DROP TABLE orders")
    redis --no-raw XRANGE "$key" - +
    holds "DROP TABLE orders"
    holds "agent@shop.example"
    step "Everything was as it should be"
}

# The stream that records a statement.
audit_stream_of() {
    local key
    for key in $(redis-cli -p "$GH_REDIS_PORT" --raw KEYS 'gatehouse:audit:*'); do
        if redis-cli -p "$GH_REDIS_PORT" XRANGE "$key" - + | grep -qF -- "$1"; then
            printf '%s\n' "$key"
            return
        fi
    done
    tour_fail "no audit stream holds: $1"
}
