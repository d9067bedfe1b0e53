# shellcheck shell=bash
# The pieces of a Gatehouse stack in a directory of its own: what examples/quickstart and the tests in t/e2e start their servers with.
# To be sourced. Every function says what it needs; all of them stop at the first error (set -e in the caller).

GH_TOP=$(cd "$(dirname "${BASH_SOURCE[0]}")/../.." && pwd)

gh_say() { printf '== %s\n' "$*"; }
gh_die() { printf 'quickstart: %s\n' "$*" >&2; exit 1; }

# Runs a command as root, and as another user. An ordinary user needs sudo for both.
gh_root() { if [ "$(id -u)" -eq 0 ]; then "$@"; else sudo -- "$@"; fi; }
gh_as() {
    local user=$1
    shift
    if [ "$(id -u)" -eq 0 ]; then runuser -u "$user" -- "$@"; elif [ "$(id -un)" = "$user" ]; then "$@"; else sudo -u "$user" -- "$@"; fi
}

# gh_free_ports N: N ports on the loopback that nothing listens on, one a line.
gh_free_ports() {
    /usr/bin/python3 - "$1" <<'PY'
import socket, sys
taken = [socket.create_server(("127.0.0.1", 0)) for _ in range(int(sys.argv[1]))]
for s in taken:
    print(s.getsockname()[1])
PY
}

# gh_wait_for SECONDS WHAT COMMAND...: until the command succeeds.
gh_wait_for() {
    local seconds=$1 what=$2 end
    shift 2
    end=$((SECONDS + seconds))
    until "$@" >/dev/null 2>&1; do
        [ "$SECONDS" -lt "$end" ] || gh_die "$what did not come up within $seconds s; see $GH_DIR/log"
        sleep 0.1
    done
}

# gh_tls DIR: a CA (DIR/ca.pem) and the edge's certificate with its key (DIR/edge.pem) for localhost and 127.0.0.1.
gh_tls() {
    local dir=$1
    (
        umask 077
        mkdir -p "$dir"
        cd "$dir"
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

# gh_replace FILE OLD NEW: every OLD becomes NEW; an error when there is none, so that this file and haproxy-conf/ cannot drift apart.
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
