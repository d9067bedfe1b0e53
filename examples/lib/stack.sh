# shellcheck shell=bash disable=SC2034 # variables that only the sourcing file uses
# The pieces of a Gatehouse stack in a directory of its own ($GH_DIR): what examples/quickstart is made of, and through it the tests.
# To be sourced with "set -euo pipefail".
#
#   GH_DIR/etc      configuration, keys, tokens      GH_DIR/jail  HAProxy's chroot, with all sockets in gatehouse/
#   GH_DIR/log      one file for each process        GH_DIR/pg, GH_DIR/redis, GH_DIR/etc/journal   their data
#   GH_DIR/pids     "name pid", one line each        GH_DIR/run   start times, so that a reused pid is never killed

GH_TOP=$(cd "$(dirname "${BASH_SOURCE[0]}")/../.." && pwd)
GH_MARKER=.gatehouse-stack
GH_PG_BIN=/usr/lib/postgresql/15/bin

gh_say() { printf '== %s\n' "$*"; }
gh_die() {
    printf '%s: %s\n' "${0##*/}" "$*" >&2
    exit 1
}

# --- users -------------------------------------------------------------------------------------------------------

gh_is_root() { [ "$(id -u)" -eq 0 ]; }
gh_root() { if gh_is_root; then "$@"; else sudo -- "$@"; fi; }
gh_as() {
    local user=$1
    shift
    if [ "$(id -un)" = "$user" ]; then "$@"; elif gh_is_root; then runuser -u "$user" -- "$@"; else sudo -u "$user" -- "$@"; fi
}

# Who runs what: root gives each server an unprivileged user; an ordinary user runs all but HAProxy's and Gatehouse's first moments.
gh_users() {
    if gh_is_root; then
        GH_USER_PG=postgres GH_USER_REDIS=redis GH_USER_DAEMON=daemon
    else
        GH_USER_PG=$(id -un) GH_USER_REDIS=$GH_USER_PG GH_USER_DAEMON=$GH_USER_PG
    fi
}

# --- packages and the build --------------------------------------------------------------------------------------

GH_PACKAGES_BUILD="gcc make autoconf automake pkg-config libc6-dev libyaml-dev libssl-dev libjansson-dev libjwt-dev libhiredis-dev libevent-dev libpg-query-dev check"
GH_PACKAGES_RUN="haproxy redis-server redis-tools postgresql-15 postgresql-client-15 openssl python3"

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
gh_free_ports() {
    /usr/bin/python3 - "$1" <<'PY'
import socket, sys
taken = [socket.create_server(("127.0.0.1", 0)) for _ in range(int(sys.argv[1]))]
for s in taken:
    print(s.getsockname()[1])
PY
}

# gh_wait_for SECONDS NAME COMMAND...: until the command succeeds, or the process of that name is gone.
gh_wait_for() {
    local seconds=$1 what=$2 end
    shift 2
    end=$((SECONDS + seconds))
    until "$@" >/dev/null 2>&1; do
        if [ "$SECONDS" -ge "$end" ] || { [ -s "$GH_DIR/run/$what.start" ] && ! gh_runs "$what"; }; then
            tail -n 20 "$GH_DIR/log/$what.log" >&2 || true
            gh_die "$what did not come up; its log is $GH_DIR/log/$what.log"
        fi
        sleep 0.05
    done
}

# When a process started, in clock ticks since boot: with its pid, its identity (proc(5), field 22).
gh_start_time() { sed -e 's/.*) //' "/proc/$1/stat" 2>/dev/null | cut -d ' ' -f 20; }

gh_pid() { awk -v name="$1" '$1 == name { print $2 }' "$GH_DIR/pids" 2>/dev/null; }

# gh_runs NAME: it is the process that we started.
gh_runs() {
    local pid
    pid=$(gh_pid "$1")
    [ -n "$pid" ] && [ "$(gh_start_time "$pid")" = "$(cat "$GH_DIR/run/$1.start" 2>/dev/null)" ]
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
    gh_wait_for 5 "$name" test -s "$pid_file"
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

# gh_tls DIR: a CA (DIR/ca.pem) and the edge's certificate with its key (DIR/edge.pem) for localhost and 127.0.0.1.
gh_tls() {
    local dir=$1
    (
        umask 077
        mkdir -p "$dir"
        cd "$dir" || exit 1
        openssl ecparam -name prime256v1 -genkey -noout -out ca.key
        openssl req -x509 -new -key ca.key -days 30 -subj "/CN=Gatehouse quickstart CA" -out ca.pem 2>/dev/null
        openssl ecparam -name prime256v1 -genkey -noout -out edge.key
        openssl req -new -key edge.key -subj /CN=localhost -out edge.csr 2>/dev/null
        printf 'subjectAltName=DNS:localhost,IP:127.0.0.1\nbasicConstraints=CA:FALSE\n' >edge.ext
        openssl x509 -req -in edge.csr -CA ca.pem -CAkey ca.key -CAcreateserial -days 30 -extfile edge.ext -out edge.crt 2>/dev/null
        cat edge.crt edge.key >edge.pem
        rm edge.csr edge.ext
        chmod 644 ca.pem
    )
    chmod 755 "$dir"
}

# gh_replace FILE OLD NEW: every OLD becomes NEW. Having none is an error, so that this and the shipped files cannot drift apart.
gh_replace() {
    grep -qF -- "$2" "$1" || gh_die "$1 does not contain $2"
    sed -i "s|$2|$3|g" "$1"
}

# gh_haproxy_config DIR PORT: DIR/etc/haproxy.cfg and its companions from haproxy-conf/, changed where its README says that a site
# changes them: the port, the certificate, /etc/haproxy and the chroot. Needs DIR/tls from gh_tls.
gh_haproxy_config() {
    local dir=$1 port=$2 etc=$1/etc conf=$GH_TOP/haproxy-conf
    mkdir -p "$etc" "$dir/jail" "$dir/log"
    cp "$conf/gatehouse_starttls.lua" "$conf/gatehouse.spoe.cfg" "$etc/"
    install -m 600 "$dir/tls/edge.pem" "$etc/gatehouse-pg.pem"
    cp "$conf/gatehouse-pg.cfg" "$etc/pg.part"
    gh_replace "$etc/pg.part" "bind :5432" "bind 127.0.0.1:$port"
    gh_replace "$etc/pg.part" "/etc/haproxy/" "$etc/"
    gh_replace "$etc/pg.part" "/var/lib/haproxy/" "$dir/jail/"
    # As Debian's haproxy.cfg begins.
    cat - "$etc/pg.part" >"$etc/haproxy.cfg" <<CFG
global
    log stdout format raw local0
    chroot $dir/jail
    stats socket $dir/haproxy-admin.sock mode 600 level admin
    user haproxy
    group haproxy
    lua-load $etc/gatehouse_starttls.lua

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

gh_start_haproxy() {
    gh_spawn haproxy root "${GH_HAPROXY:-/usr/sbin/haproxy}" -db -f "$GH_DIR/etc/haproxy.cfg"
    gh_wait_for 10 haproxy bash -c "exec 3<>/dev/tcp/127.0.0.1/$GH_PG_PORT"
}

gh_init_postgresql() {
    gh_root install -d -o "$GH_USER_PG" -m 700 "$GH_DIR/pg"
    (umask 077 && printf '%s\n' "$GH_PASSWORD_SUPER" >"$GH_DIR/run/superuser")
    gh_root chown "$GH_USER_PG" "$GH_DIR/run/superuser"
    gh_as "$GH_USER_PG" env -C / "$GH_PG_BIN/initdb" -D "$GH_DIR/pg" -U postgres -E UTF8 --locale=C.UTF-8 -A scram-sha-256 \
        --pwfile="$GH_DIR/run/superuser" >/dev/null
    gh_root rm "$GH_DIR/run/superuser"
    # log_statement: what really reached the server, to compare with the record
    gh_as "$GH_USER_PG" tee -a "$GH_DIR/pg/postgresql.conf" >/dev/null <<CONF
listen_addresses = '127.0.0.1'
port = $GH_PG_PORT_DIRECT
unix_socket_directories = ''
max_connections = 200
log_statement = 'all'
log_line_prefix = '%m [%p] %u@%d '
CONF
}

gh_start_postgresql() {
    gh_spawn postgresql "$GH_USER_PG" "$GH_PG_BIN/postgres" -D "$GH_DIR/pg"
    gh_wait_for 30 postgresql psql -XAtq "$GH_PG_DIRECT_URL_ADMIN" -c 'SELECT 1'
}

gh_start_redis() {
    gh_spawn redis "$GH_USER_REDIS" /usr/bin/redis-server --bind 127.0.0.1 --port "$GH_REDIS_PORT" --dir "$GH_DIR/redis" --appendonly yes --save ''
    gh_wait_for 10 redis redis-cli -p "$GH_REDIS_PORT" ping
}

gh_start_gatehouse() {
    gh_spawn gatehouse root "$GH_BUILD/gatehouse" -c "$GH_CONFIG"
    gh_wait_for 10 gatehouse gh_root test -S "$GH_DIR/jail/gatehouse/payload.sock"
}
