# shellcheck shell=bash disable=SC2034 # variables that only the sourcing file uses
# The pieces of a Gatehouse stack in a directory of its own ($GH_DIR): what examples/quickstart is made of, and through it the tests.
# To be sourced with "set -euo pipefail".
#
#   GH_DIR/etc      configuration, keys, tokens      GH_DIR/jail  HAProxy's chroot, with all sockets in gatehouse/
#   GH_DIR/log      one file for each process        GH_DIR/pg, GH_DIR/redis, GH_DIR/etc/journal   their data
#   GH_DIR/pids     "name pid", one line each        GH_DIR/run   start times, so that a reused pid is never killed

GH_TOP=$(cd "$(dirname "${BASH_SOURCE[0]}")/../.." && pwd)
GH_MARKER=.gatehouse-stack
GH_PG_BIN=${GH_PG_BIN:-/usr/lib/postgresql/15/bin}
GH_REDIS_SERVER=${GH_REDIS_SERVER:-/usr/bin/redis-server}

gh_say() { printf '== %s\n' "$*"; }
gh_die() {
    printf '%s: %s\n' "${0##*/}" "$*" >&2
    exit 1
}

# --- users -------------------------------------------------------------------------------------------------------

gh_is_root() { [ "$(id -u)" -eq 0 ]; }
gh_root() { if gh_is_root; then "$@"; else sudo -- "$@"; fi; }
# With GH_SUITE, a folder, the command is one of another Debian suite (t/matrix/enter).
gh_as() {
    local user=$1
    shift
    if [ -n "${GH_SUITE:-}" ]; then
        gh_root "$GH_TOP/t/matrix/enter" "$GH_SUITE" "$user" "$@"
    elif [ "$(id -un)" = "$user" ]; then
        "$@"
    elif gh_is_root; then
        runuser -u "$user" -- "$@"
    else
        sudo -u "$user" -- "$@"
    fi
}

# Who runs what: root gives each server an unprivileged user; an ordinary user runs all but HAProxy's and Gatehouse's first moments.
gh_users() {
    if gh_is_root; then
        GH_USER_PG=postgres GH_USER_MY=mysql GH_USER_REDIS=redis GH_USER_DAEMON=daemon
    else
        GH_USER_PG=$(id -un) GH_USER_MY=$GH_USER_PG GH_USER_REDIS=$GH_USER_PG GH_USER_DAEMON=$GH_USER_PG
    fi
}

# --- packages and the build --------------------------------------------------------------------------------------

GH_PACKAGES_BUILD="gcc make autoconf automake pkg-config libc6-dev libyaml-dev libssl-dev libjansson-dev libjwt-dev libhiredis-dev libevent-dev libcurl4-openssl-dev libpg-query-dev check"
GH_PACKAGES_RUN="haproxy redis-server redis-tools postgresql-15 postgresql-client-15 openssl python3"
GH_PACKAGES_MY="mariadb-server mariadb-client"

# gh_packages NAME...: installs those that are missing.
gh_packages() {
    local p missing=()
    for p in "$@"; do
        [ "$(dpkg-query -W -f '${db:Status-Status}' "$p" 2>/dev/null || true)" = installed ] || missing+=("$p")
    done
    [ "${#missing[@]}" -gt 0 ] || return 0
    [ -z "${GH_SKIP_APT:-}" ] || gh_die "missing packages (GH_SKIP_APT is set): ${missing[*]}"
    gh_say "installing ${missing[*]}"
    if ! apt-get install --simulate -qq "${missing[@]}" >/dev/null 2>&1; then
        gh_root env DEBIAN_FRONTEND=noninteractive apt-get update -qq
    fi
    gh_root env DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends "${missing[@]}" >/dev/null
}

# gh_copy_source DIR: the files of this tree, tracked or new, without what a build leaves behind.
gh_copy_source() {
    local dir=$1
    mkdir -p "$dir"
    if git -c safe.directory='*' -C "$GH_TOP" rev-parse >/dev/null 2>&1; then
        (cd "$GH_TOP" && git -c safe.directory='*' ls-files -z -co --exclude-standard | while IFS= read -r -d '' f; do
            if [ -e "$f" ]; then printf '%s\0' "$f"; fi
        done | tar -c --null --no-recursion -T - -f -) | tar -x -C "$dir" -f -
    else
        tar -c -C "$GH_TOP" --exclude=./autom4te.cache --exclude='./build*' --exclude='*.o' --exclude='*.a' -f - . | tar -x -C "$dir" -f -
    fi
}

# gh_build DIR [configure's options]: builds a copy of this tree in DIR, out of tree; nothing is written into the tree itself.
gh_build() {
    local dir=$1 log=$1/build.log
    shift
    mkdir -p "$dir/obj"
    gh_copy_source "$dir/src"
    if ! {
        { [ -x "$dir/src/configure" ] || (cd "$dir/src" && autoreconf -fi); } &&
            { [ -f "$dir/obj/Makefile" ] || (cd "$dir/obj" && ../src/configure -q "$@"); } &&
            make -C "$dir/obj" -j"$(nproc)"
    } >"$log" 2>&1; then
        tail -n 30 "$log" >&2
        gh_die "the build failed; all of its output is in $log"
    fi
}

# --- processes ---------------------------------------------------------------------------------------------------

# gh_free_ports N: N ports on the loopback that nothing listens on, one a line.
gh_free_ports() { /usr/bin/python3 "$GH_TOP/examples/lib/free_ports.py" "$1"; }

# gh_wait_for SECONDS NAME COMMAND...: until the command succeeds, or the process of that name is gone.
gh_wait_for() {
    local seconds=$1 what=$2 end
    shift 2
    end=$((SECONDS + seconds))
    until "$@" >/dev/null 2>&1; do
        if [ "$SECONDS" -ge "$end" ] || { [ -e "$GH_DIR/run/$what.start" ] && ! gh_runs "$what"; }; then
            tail -n 20 "$GH_DIR/log/$what.log" >&2 || true
            gh_die "$what did not come up; its log is $GH_DIR/log/$what.log"
        fi
        sleep 0.05
    done
}

# When a process started, in clock ticks since boot: with its pid, its identity (proc(5), field 22). Nothing for one that has ended and that nobody has
# waited for yet: a zombie whose threads are gone too.
gh_start_time() { sed -e 's/.*) //' "/proc/$1/stat" 2>/dev/null | awk '$1 != "Z" || $18 > 1 { print $20 }'; }

gh_pid() { awk -v name="$1" '$1 == name { print $2 }' "$GH_DIR/pids" 2>/dev/null; }

# gh_runs NAME: it is the process that we started.
gh_runs() {
    local pid start
    pid=$(gh_pid "$1")
    [ -n "$pid" ] && start=$(gh_start_time "$pid") && [ -n "$start" ] && [ "$start" = "$(cat "$GH_DIR/run/$1.start" 2>/dev/null)" ]
}

# gh_spawn NAME USER COMMAND...: in the background, in a session of its own (so that neither this shell nor sudo's takes it along).
gh_spawn() {
    local name=$1 user=$2 pid_file=$GH_DIR/run/$1.pid log=$GH_DIR/log/$1.log pid
    shift 2
    rm -f "$GH_DIR/run/$name.start"
    [ -e "$log" ] || gh_root install -o "$user" -m 644 /dev/null "$log"
    gh_root install -o "$user" -m 644 /dev/null "$pid_file"
    # shellcheck disable=SC2016 # for the inner shell
    gh_as "$user" env -C / bash -c 'setsid bash -c "echo \$\$ >\"\$0\"; exec \"\$@\"" "$@" </dev/null >>"$0" 2>&1 &' "$log" "$pid_file" "$@"
    gh_wait_for 30 "$name" test -s "$pid_file"
    pid=$(cat "$pid_file")
    gh_start_time "$pid" >"$GH_DIR/run/$name.start"
    { awk -v name="$name" '$1 != name' "$GH_DIR/pids" && printf '%s %s\n' "$name" "$pid"; } >"$GH_DIR/pids.new"
    mv "$GH_DIR/pids.new" "$GH_DIR/pids"
}

# gh_stop NAME [SIGNAL]: and wait until it is gone; a process that does not go within 20 s is killed.
gh_stop() {
    local name=$1 signal=${2:-TERM} pid end=$((SECONDS + 20))
    gh_runs "$name" || return 0
    pid=$(gh_pid "$name")
    gh_root kill -s "$signal" "$pid" 2>/dev/null || true
    while gh_runs "$name"; do
        if [ "$SECONDS" -ge "$end" ]; then gh_root kill -s KILL "$pid" 2>/dev/null || true; fi
        sleep 0.05
    done
}

# --- the servers -------------------------------------------------------------------------------------------------

# gh_tls DIR [NAME]: a CA (DIR/ca.pem) and a certificate (NAME.crt, edge without a name) with its key (NAME.key), both in NAME.pem, for localhost
# and 127.0.0.1.
gh_tls() {
    local dir=$1 name=${2:-edge}
    (
        umask 077
        mkdir -p "$dir"
        cd "$dir" || exit 1
        openssl ecparam -name prime256v1 -genkey -noout -out ca.key
        openssl req -x509 -new -key ca.key -days 30 -subj "/CN=Gatehouse quickstart CA" -out ca.pem 2>/dev/null
        openssl ecparam -name prime256v1 -genkey -noout -out "$name.key"
        openssl req -new -key "$name.key" -subj /CN=localhost -out "$name.csr" 2>/dev/null
        printf 'subjectAltName=DNS:localhost,IP:127.0.0.1\nbasicConstraints=CA:FALSE\n' >"$name.ext"
        openssl x509 -req -in "$name.csr" -CA ca.pem -CAkey ca.key -CAcreateserial -days 30 -extfile "$name.ext" -out "$name.crt" 2>/dev/null
        cat "$name.crt" "$name.key" >"$name.pem"
        rm "$name.csr" "$name.ext"
        chmod 644 ca.pem
    )
    chmod 755 "$dir"
}

# gh_replace FILE OLD NEW: every OLD becomes NEW. Having none is an error, so that this and the shipped files cannot drift apart.
gh_replace() {
    grep -qF -- "$2" "$1" || gh_die "$1 does not contain $2"
    sed -i "s|$2|$3|g" "$1"
}

# gh_haproxy_config DIR PORT [MYPORT]: DIR/etc/haproxy.cfg and its companions from haproxy-conf/, changed where its README says that a site
# changes them: the port, the certificate, /etc/haproxy and the chroot. Needs DIR/tls from gh_tls.
gh_haproxy_config() {
    local dir=$1 port=$2 my=${3:-} etc=$1/etc conf=$GH_TOP/haproxy-conf
    mkdir -p "$etc" "$dir/jail" "$dir/log"
    cp "$conf/gatehouse_starttls.lua" "$conf/gatehouse.spoe.cfg" "$etc/"
    install -m 600 "$dir/tls/edge.pem" "$etc/gatehouse-pg.pem"
    cp "$conf/gatehouse-pg.cfg" "$etc/pg.part"
    gh_replace "$etc/pg.part" "bind :5432" "bind 127.0.0.1:$port"
    gh_replace "$etc/pg.part" "/etc/haproxy/" "$etc/"
    gh_replace "$etc/pg.part" "/var/lib/haproxy/" "$dir/jail/"
    if [ -n "$my" ]; then
        cp "$conf/gatehouse_mysql.lua" "$conf/gatehouse-my.spoe.cfg" "$etc/"
        install -m 600 "$dir/tls/edge.pem" "$etc/gatehouse-my.pem"
        cp "$conf/gatehouse-my.cfg" "$etc/my.part"
        gh_replace "$etc/my.part" "bind :3306" "bind 127.0.0.1:$my"
        gh_replace "$etc/my.part" "/etc/haproxy/" "$etc/"
        gh_replace "$etc/my.part" "/var/lib/haproxy/" "$dir/jail/"
        cat "$etc/my.part" >>"$etc/pg.part"
        rm "$etc/my.part"
    fi
    # As Debian's haproxy.cfg begins.
    cat - "$etc/pg.part" >"$etc/haproxy.cfg" <<CFG
global
    log stdout format raw local0
    chroot $dir/jail
    stats socket $dir/haproxy-admin.sock mode 600 level admin
    user haproxy
    group haproxy
    .if version_atleast(3.1)
        tune.lua.bool-sample-conversion normal
    .endif
    tune.ssl.hard-maxrecord 8192
    lua-load $etc/gatehouse_starttls.lua
    $([ -z "$my" ] || echo "lua-load $etc/gatehouse_mysql.lua")

defaults
    log global
    mode http
    option httplog
    option dontlognull
    timeout connect 5000
    timeout client 50000
    timeout server 50000

CFG
    rm "$etc/pg.part"
}

# gh_haproxy_page DIR PORT: the approvers' page too.
gh_haproxy_page() {
    local dir=$1 port=$2 etc=$1/etc
    install -m 600 "$dir/tls/edge.pem" "$etc/gatehouse-page.pem"
    cp "$GH_TOP/haproxy-conf/gatehouse-page.cfg" "$etc/page.part"
    gh_replace "$etc/page.part" "bind :8444" "bind 127.0.0.1:$port"
    gh_replace "$etc/page.part" "/etc/haproxy/" "$etc/"
    cat "$etc/page.part" >>"$etc/haproxy.cfg"
    rm "$etc/page.part"
}

# Who stands for the company's OpenID provider.
gh_start_provider() {
    gh_spawn provider "$(id -un)" /usr/bin/python3 "$GH_TOP/examples/lib/provider.py" "$GH_PROVIDER_PORT" "$GH_DIR/tls/edge.crt" "$GH_DIR/tls/edge.key" \
        "$GH_BUILD/gatehousectl" "$GH_DIR/etc/jwks.json" "$GH_DIR/keys/rs256.pem" "$GH_PAGE_URL/callback" \
        dba@shop.example=dbas dba2@shop.example=dbas analyst@shop.example=analysts agent@shop.example=ai-agents
    gh_wait_for 60 provider bash -c "exec 3<>/dev/tcp/127.0.0.1/$GH_PROVIDER_PORT"
}

gh_start_haproxy() {
    gh_spawn haproxy root "${GH_HAPROXY:-/usr/sbin/haproxy}" -db -f "$GH_DIR/etc/haproxy.cfg"
    gh_wait_for 60 haproxy bash -c "exec 3<>/dev/tcp/127.0.0.1/$GH_PG_PORT"
}

gh_init_postgresql() {
    gh_root install -d -o "$GH_USER_PG" -m 700 "$GH_DIR/pg"
    (umask 077 && printf '%s\n' "$GH_PASSWORD_SUPER" >"$GH_DIR/run/superuser")
    gh_root chown "$GH_USER_PG" "$GH_DIR/run/superuser"
    GH_SUITE=${GH_SUITE_PG:-} gh_as "$GH_USER_PG" env -C / "$GH_PG_BIN/initdb" --no-sync -D "$GH_DIR/pg" -U postgres -E UTF8 --locale=C.UTF-8 -A scram-sha-256 \
        --pwfile="$GH_DIR/run/superuser" >/dev/null
    gh_root rm "$GH_DIR/run/superuser"
    gh_tls "$GH_DIR/pgtls" server
    gh_root install -o "$GH_USER_PG" -m 600 "$GH_DIR/pgtls/server.key" "$GH_DIR/pgtls/server.crt" "$GH_DIR/pg/"
    # log_statement: what really reached the server, to compare with the record
    gh_as "$GH_USER_PG" tee -a "$GH_DIR/pg/postgresql.conf" >/dev/null <<CONF
listen_addresses = '127.0.0.1'
port = $GH_PG_PORT_DIRECT
unix_socket_directories = ''
ssl = on
max_connections = 200
log_statement = 'all'
log_line_prefix = '%m [%p] %u@%d '
CONF
}

gh_start_postgresql() {
    GH_SUITE=${GH_SUITE_PG:-} gh_spawn postgresql "$GH_USER_PG" "$GH_PG_BIN/postgres" -D "$GH_DIR/pg"
    gh_wait_for 60 postgresql psql -XAtq "$GH_PG_DIRECT_URL_ADMIN" -c 'SELECT 1'
}

# The one account that can do everything is root's over TCP; the general log is what really reached the server, to compare with the record.
gh_init_mariadb() {
    gh_root install -d -o "$GH_USER_MY" -m 700 "$GH_DIR/my" "$GH_DIR/mytmp"
    GH_SUITE=${GH_SUITE_MY:-} gh_as "$GH_USER_MY" env -C / mariadb-install-db --no-defaults --innodb-log-file-size=16M --datadir="$GH_DIR/my" --tmpdir="$GH_DIR/mytmp" --auth-root-authentication-method=normal --skip-test-db \
        --skip-name-resolve >"$GH_DIR/log/mariadb-install.log" 2>&1
    gh_tls "$GH_DIR/mytls" server
    gh_root install -o "$GH_USER_MY" -m 600 "$GH_DIR/mytls/server.key" "$GH_DIR/mytls/server.crt" "$GH_DIR/mytls/ca.pem" "$GH_DIR/my/"
    (umask 077 && cat >"$GH_DIR/run/mariadb.sql" <<SQL
ALTER USER root@localhost IDENTIFIED BY '$GH_PASSWORD_SUPER';
ALTER USER root@'127.0.0.1' IDENTIFIED BY '$GH_PASSWORD_SUPER';
GRANT ALL ON *.* TO root@'127.0.0.1' WITH GRANT OPTION;
CREATE DATABASE shop CHARACTER SET utf8mb4;
CREATE USER shop_owner@'127.0.0.1' IDENTIFIED BY '$GH_PASSWORD_SHOP' REQUIRE SSL;
GRANT ALL ON shop.* TO shop_owner@'127.0.0.1';
SQL
    )
    gh_root chown "$GH_USER_MY" "$GH_DIR/run/mariadb.sql"
}

gh_mariadb_direct() {
    MYSQL_PWD=$GH_PASSWORD_SUPER mariadb --no-defaults --protocol=TCP --host=127.0.0.1 --port="$GH_MY_PORT_DIRECT" --user=root --default-character-set=utf8mb4 "$@"
}

# A MariaDB that starts removes all temporary tables in its tmpdir, also those of another one that has the same.
gh_start_mariadb() {
    local init=()
    gh_root install -d -o "$GH_USER_MY" -m 700 "$GH_DIR/mytmp"
    [ ! -e "$GH_DIR/run/mariadb.sql" ] || init=(--init-file="$GH_DIR/run/mariadb.sql")
    GH_SUITE=${GH_SUITE_MY:-} gh_spawn mariadb "$GH_USER_MY" /usr/sbin/mariadbd --no-defaults --datadir="$GH_DIR/my" --tmpdir="$GH_DIR/mytmp" --bind-address=127.0.0.1 --port="$GH_MY_PORT_DIRECT" \
        --socket="$GH_DIR/my/my.sock" --pid-file="$GH_DIR/my/my.pid" --ssl-cert="$GH_DIR/my/server.crt" --ssl-key="$GH_DIR/my/server.key" --ssl-ca="$GH_DIR/my/ca.pem" \
        --skip-name-resolve --character-set-server=utf8mb4 --general-log --general-log-file="$GH_DIR/my/general.log" --innodb-flush-log-at-trx-commit=2 --innodb-log-file-size=16M \
        --skip-log-bin --performance-schema=OFF "${init[@]}"
    gh_wait_for 60 mariadb gh_mariadb_direct -e 'SELECT 1'
    gh_root rm -f "$GH_DIR/run/mariadb.sql"
}

gh_start_redis() {
    GH_SUITE=${GH_SUITE_REDIS:-} gh_spawn redis "$GH_USER_REDIS" "$GH_REDIS_SERVER" --bind 127.0.0.1 --port "$GH_REDIS_PORT" \
        --dir "$GH_DIR/redis" --appendonly yes --save ''
    gh_wait_for 60 redis redis-cli -p "$GH_REDIS_PORT" ping
}

# A HAProxy that runs already, and has seen that gatehouse was away, is given time to see that it is back: until then it closes what comes. A
# gatehouse that it will never reach is no error here.
gh_start_gatehouse() {
    local end
    gh_spawn gatehouse root "$GH_BUILD/gatehouse" -c "$GH_CONFIG"
    gh_wait_for 60 gatehouse gh_root test -S "$GH_DIR/jail/gatehouse/payload.sock"
    end=$((SECONDS + 15))
    while gh_runs haproxy && gh_runs gatehouse && [ "$SECONDS" -lt "$end" ] && ! gh_haproxy_sees_it; do sleep 0.1; done
}

# gh_haproxy_sees_it: each of HAProxy's servers that is a door of gatehouse is UP.
gh_haproxy_sees_it() {
    gh_root /usr/bin/python3 - "$GH_DIR/haproxy-admin.sock" <<'PY'
import csv, socket, sys
s = socket.socket(socket.AF_UNIX)
s.settimeout(5)
s.connect(sys.argv[1])
s.sendall(b"show stat\n")
rows = list(csv.DictReader(s.makefile(encoding="ascii", errors="replace")))
sys.exit(not all(row["status"].startswith("UP") for row in rows if row["svname"] == "gatehouse"))
PY
}

# A new gatehouse takes over from the one that runs, which goes on as "gatehouse-PID" until its last session ends. When the new one cannot, all
# stays as it was.
gh_upgrade_gatehouse() {
    local old started
    gh_runs gatehouse || gh_die "no gatehouse runs: start it"
    old=gatehouse-$(gh_pid gatehouse)
    started=$(gh_starts)
    gh_rename gatehouse "$old"
    gh_spawn gatehouse root "$GH_BUILD/gatehouse" -u -c "$GH_CONFIG"
    until [ "$(gh_starts)" -gt "$started" ]; do
        if ! gh_runs gatehouse; then
            gh_rename "$old" gatehouse
            gh_die "the new gatehouse did not take over; $GH_DIR/log/gatehouse.log says why"
        fi
        sleep 0.05
    done
}

gh_starts() { grep -c ' event=start ' "$GH_DIR/log/gatehouse.log" || true; }

# gh_rename OLD NEW: a process that runs, for the commands that take names.
gh_rename() {
    mv "$GH_DIR/run/$1.start" "$GH_DIR/run/$2.start"
    awk -v old="$1" -v new="$2" '$1 == new { next } $1 == old { $1 = new } { print }' "$GH_DIR/pids" >"$GH_DIR/pids.new"
    mv "$GH_DIR/pids.new" "$GH_DIR/pids"
}

# gh_old_gatehouses: the names of those that were replaced.
gh_old_gatehouses() { awk '$1 ~ /^gatehouse-/ { print $1 }' "$GH_DIR/pids"; }
