# shellcheck shell=bash disable=SC2034,SC2153 # tokens are named indirectly
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

# my WHO SQL: the same by mariadb, to MySQL's port. The session goes on behind an error.
my() {
    local who=$1 sql=$2 token
    token=GH_TOKEN_${who^^}
    printf '$ MYSQL_PWD=$%s mariadb -h %s -P %s -u %s --ssl-ca=%s --ssl-verify-server-cert --force --table shop \\\n      <<<"%s"\n' \
        "$token" "$GH_MY_HOST" "$GH_MY_PORT" "$who" "$GH_CA" "$sql"
    status=0
    out=$(MYSQL_PWD=${!token} mariadb --no-defaults --protocol=TCP -h "$GH_MY_HOST" -P "$GH_MY_PORT" -u "$who" --ssl-ca="$GH_CA" --ssl-verify-server-cert \
        --force --table shop <<<"$sql" 2>&1) || status=$?
    printf '%s\n' "$out"
}
my_refused() {
    holds "1142"
    if [[ $out == *c4n4ry* ]]; then tour_fail "a refused statement's answer holds the table's data"; fi
}
my_direct() { MYSQL_PWD=$GH_PASSWORD_SUPER mariadb --no-defaults --protocol=TCP -h 127.0.0.1 -P "$GH_MY_PORT_DIRECT" -u root -N -e "$1" shop; }

allowed() {
    [ "$status" -eq 0 ] || tour_fail "this statement should have been allowed"
    holds "$1"
}
refused() {
    holds "42501"
    if [[ $out == *c4n4ry* ]]; then tour_fail "a refused statement's answer holds the table's data"; fi
}
hidden() {
    allowed "$1"
    if [[ $out == *c4n4ry* ]]; then tour_fail "hidden data came through"; fi
}
holds() { if [[ $out != *"$1"* ]]; then tour_fail "the output should hold: $1"; fi; }
direct() { psql -XAtq "$GH_PG_DIRECT_URL" -c "$1"; }

# ctl WHO COMMAND...: gatehousectl, with WHO's token ("-": none). Output in $out, exit status in $status.
ctl() {
    local who=$1 token
    shift
    status=0
    if [ "$who" = - ]; then
        # shellcheck disable=SC2016 # shown as one would type it
        printf '$ $GH_CTL %s\n' "$*"
        out=$("$GH_CTL" "$@" 2>&1) || status=$?
    else
        token=GH_TOKEN_${who^^}
        # shellcheck disable=SC2016
        printf '$ printf %%s "$%s" | $GH_CTL %s --token-file -\n' "$token" "$*"
        out=$(printf %s "${!token}" | "$GH_CTL" "$@" --token-file - 2>&1) || status=$?
    fi
    printf '%s\n' "$out"
}

# The id of the request that the last refusal names.
request() {
    holds "needs approval"
    id=${out#*decision on request }
    id=${id%%[!0-9a-z]*}
}

redis() {
    printf '$ redis-cli -p %s' "$GH_REDIS_PORT"
    printf ' %s' "$@"
    printf '\n'
    out=$(redis-cli -p "$GH_REDIS_PORT" "$@")
    printf '%s\n' "$out"
}

tour() {
    local key id
    step "An AI agent reads what its group may read"
    as agent "SELECT id, status, total FROM orders ORDER BY id LIMIT 3"
    allowed "(3 rows)"

    step "It may not drop the table; its session goes on"
    as agent "DROP TABLE orders" "SELECT count(*) FROM orders"
    refused
    holds 10000
    [ "$(direct "SELECT count(*) FROM orders")" = 10000 ] || tour_fail "the table is not whole"

    step "Of customers it sees masks, whatever it asks; staff, and a view that shows customers in clear, not at all"
    as agent "SELECT * FROM customers ORDER BY id LIMIT 3"
    hidden "(3 rows)"
    as agent "SELECT id, lower(email) FROM customers WHERE length(email) > 25"
    hidden "(0 rows)"
    as agent "SELECT name, salary FROM staff"
    refused
    as agent "SELECT * FROM customer_directory"
    refused

    step "An analyst sees customers of one region, and may not name what is hidden"
    as analyst "SELECT region, count(*) FROM customers GROUP BY region"
    allowed "(1 row)"
    as analyst "SELECT card_number FROM customers"
    refused
    as analyst "SELECT * FROM orders"
    holds "53400"

    step "A transaction with one refused statement commits nothing"
    as dba "CREATE TABLE tour (n integer)"
    allowed "CREATE TABLE"
    as analyst "BEGIN; SELECT count(*) FROM orders; INSERT INTO tour VALUES (1); COMMIT"
    refused
    [ "$(direct "SELECT count(*) FROM tour")" = 0 ] || tour_fail "something was committed"

    step "Four eyes before data is gone: what one dba drops, another one has agreed to"
    as dba "DROP TABLE tour"
    refused
    request
    ctl dba approve "$id"
    holds "of your own"
    ctl dba2 approve "$id"
    as dba "DROP TABLE tour"
    allowed "DROP TABLE"

    step "An agent's change needs a WHERE, and a dba who agrees"
    as agent "UPDATE orders SET status = 'void'"
    refused
    as agent "/* reason: the customer called */ UPDATE orders SET status = 'void' WHERE id = 1"
    refused
    request
    ctl - approvals
    holds "the customer called"
    ctl agent approve "$id"
    holds "of your own"
    ctl analyst approve "$id"
    holds "none of your groups"
    ctl dba approve "$id"
    [ "$status" -eq 0 ] || tour_fail "the decision should have been taken"

    step "The same text again runs once; a third time it is asked for again; a changed one is another"
    as agent "/* reason: the customer called */ UPDATE orders SET status = 'void' WHERE id = 1"
    allowed "UPDATE 1"
    as agent "/* reason: the customer called */ UPDATE orders SET status = 'void' WHERE id = 1"
    refused
    request
    ctl dba deny "$id" --reason "once is enough"
    as agent "/* reason: the customer called */ UPDATE orders SET status = 'void' WHERE id = 1"
    refused
    holds "once is enough"
    as agent "/* reason: the customer called */ UPDATE orders SET status = 'void' WHERE id = 2"
    refused
    [ "$(direct "SELECT count(*) FROM orders WHERE status = 'void'")" = 1 ] || tour_fail "not exactly one order was changed"

    if [ -n "${GH_PAGE_URL:-}" ]; then
        step "The same in a browser: open $GH_PAGE_URL and sign in as dba@shop.example; and from another machine, with a token"
        printf '(The certificate is signed by %s, which your browser does not know.)\n' "$GH_CA"
        as agent "/* reason: a refund */ UPDATE orders SET status = 'refunded' WHERE id = 3"
        refused
        request
        export GATEHOUSE_URL=$GH_PAGE_URL GATEHOUSE_CA=$GH_CA
        printf '$ export GATEHOUSE_URL=%s GATEHOUSE_CA=%s\n' "$GATEHOUSE_URL" "$GATEHOUSE_CA"
        ctl dba2 approvals show "$id"
        holds "a refund"
        ctl analyst approvals show "$id"
        holds "there is no such request here"
        ctl dba2 approve "$id"
        [ "$status" -eq 0 ] || tour_fail "the decision should have been taken"
        unset GATEHOUSE_URL GATEHOUSE_CA
        as agent "/* reason: a refund */ UPDATE orders SET status = 'refunded' WHERE id = 3"
        allowed "UPDATE 1"
    fi
    [ -z "${GH_MY_PORT:-}" ] || tour_mysql

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

tour_mysql() {
    local id
    step "The same shop in MySQL's protocol: an agent reads orders, and may not drop them"
    my agent "SELECT id, status, total FROM orders ORDER BY id LIMIT 3"
    allowed "returned"
    my agent "DROP TABLE orders; SELECT count(*) FROM orders;"
    my_refused
    holds 10000
    my agent "SELECT name, salary FROM staff"
    my_refused

    step "Customers are masked, and filtered, as in PostgreSQL"
    my agent "SELECT * FROM customers ORDER BY id LIMIT 3"
    hidden "***@mail.example"
    my agent "SELECT id, lower(email) FROM customers WHERE length(email) > 25"
    hidden ""
    my agent "SHOW gatehouse.grants"
    allowed "masked: last 4"
    my analyst "SELECT region, count(*) FROM customers GROUP BY region"
    allowed "| eu     |"
    my analyst "SELECT * FROM customers WHERE card_number LIKE '4000%'"
    if [[ $out == *4000-c4n4ry* ]]; then tour_fail "hidden data came through"; fi
    my analyst "SELECT * FROM orders"
    holds "1226"

    step "What the database would read differently is pinned; files, other sessions and plain text are closed"
    my agent "SET sql_mode = 'ANSI_QUOTES'"
    my_refused
    my agent "SELECT load_file('/etc/passwd')"
    my_refused
    out=$(mariadb --no-defaults --protocol=TCP -h "$GH_MY_HOST" -P "$GH_MY_PORT" -u agent --skip-ssl shop -e "SELECT 1" 2>&1) || true
    printf '%s\n' "$out"
    holds 3159

    step "A change needs a dba's word, here as there"
    my agent "UPDATE orders SET status = 'void' WHERE id = 1"
    my_refused
    request
    ctl dba approve "$id"
    my agent "UPDATE orders SET status = 'void' WHERE id = 1"
    allowed ""
    my agent "UPDATE orders SET status = 'void' WHERE id = 1"
    my_refused
    [ "$(my_direct "SELECT count(*) FROM orders WHERE status = 'void'")" = 1 ] || tour_fail "not exactly one order was changed"
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
