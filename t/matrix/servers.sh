# shellcheck shell=bash
# Servers of other Debian suites, unpacked into folders for t/matrix/enter. To be sourced behind examples/lib/stack.sh.
#
# An apt of its own, with the mirror that this machine's apt is configured for and an empty list of installed packages, finds out which suite
# has the wanted version and fetches it with everything that it depends on. Nothing is installed and no package's script runs.

MX_CACHE=${GH_MATRIX_CACHE:-/var/cache/gatehouse-matrix}
MX_SUITES=${GH_MATRIX_SUITES:-trixie forky sid}

mx_root() { printf '%s/%s\n' "$MX_CACHE" "$1"; }

# mx_mirrors: where this machine's apt gets Debian from; what may serve newer suites, first choice first.
mx_mirrors() {
    local uri
    # shellcheck disable=SC2016 # apt's own variables
    apt-get indextargets --format '$(ORIGIN)|$(LABEL)|$(REPO_URI)' 'Identifier: Packages' | sed -n 's/^Debian|Debian|//p' | sort -u |
        while read -r uri; do
            printf '%s\n' "$uri"
            # an archive of snapshots, fixed at a day before the suites had these versions
            if [[ $uri =~ ^(.*/)[0-9]{8}T[0-9]{6}Z/?$ ]]; then printf '%s%s/\n' "${BASH_REMATCH[1]}" "$(date -u +%Y%m%dT%H%M%SZ)"; fi
            if [[ $uri =~ ^([a-z+]+://[^/]+)/ ]]; then printf '%s/debian/\n' "${BASH_REMATCH[1]}"; fi
        done | awk '!seen[$0]++'
}

# mx_apt COMMAND...: apt-get and its kin, on the cache's own state.
mx_apt() { APT_CONFIG=$MX_CACHE/apt/apt.conf "$@"; }

# mx_sources MIRROR: the cache's apt uses this mirror from now on. False when the mirror does not serve one of the suites.
mx_sources() {
    local apt=$MX_CACHE/apt keys=/usr/share/keyrings/debian-archive-keyring.gpg options='' suite
    if [ -r "$keys" ]; then options="[signed-by=$keys]"; fi
    mkdir -p "$apt/lists/partial" "$apt/debs/archives/partial" "$apt/empty"
    : >"$apt/status"
    for suite in $MX_SUITES; do printf 'deb %s %s %s main\n' "$options" "$1" "$suite"; done >"$apt/sources.list"
    cat >"$apt/apt.conf" <<CONF
Dir::State::lists "$apt/lists";
Dir::State::status "$apt/status";
Dir::Cache "$apt/debs";
Dir::Etc::sourcelist "$apt/sources.list";
Dir::Etc::sourceparts "$apt/empty";
Dir::Etc::preferences "$apt/preferences";
Dir::Etc::preferencesparts "$apt/empty";
APT::Sandbox::User "root";
APT::Install-Recommends "false";
APT::Keep-Downloaded-Packages "true";
CONF
    mx_apt apt-get update -qq -o APT::Update::Error-Mode=any >"$apt/update.log" 2>&1
}

# mx_suite_of PACKAGE VERSION: "suite version" of the first suite that has a version which begins so.
mx_suite_of() {
    mx_apt apt-cache madison "$1" | awk -F ' *[|] *' -v want="$2" -v suites="$MX_SUITES" '
        index($2, want) == 1 { split($3, place, "[ /]+"); for (i in place) version[place[i]] = $2 }
        END { n = split(suites, suite, " ")
              for (i = 1; i <= n; i++) if (suite[i] in version) { print suite[i], version[suite[i]]; exit } }'
}

# mx_unpack NAME PACKAGE VERSION [MORE...]: into mx_root NAME, with more packages of the same version, unless it is there from an earlier run.
mx_unpack() {
    local name=$1 package=$2 version=$3 root found suite deb more=("${@:4}")
    root=$(mx_root "$name")
    [ ! -e "$root/from" ] || return 0
    found=$(mx_suite_of "$package" "$version")
    [ -n "$found" ] || gh_die "none of the suites $MX_SUITES has $package $version (GH_MATRIX_SUITES names others)"
    suite=${found%% *}
    gh_say "$name: $package ${found#* } of $suite"
    rm -rf "$root" "$MX_CACHE"/apt/debs/archives/*.deb
    mx_apt apt-get install -y -qq --download-only -t "$suite" "$package=${found#* }" "${more[@]/%/=${found#* }}" base-files bash coreutils dash grep hostname libc-bin mawk mount sed util-linux \
        >"$MX_CACHE/apt/install.log" 2>&1 || gh_die "cannot fetch $package: see $MX_CACHE/apt/install.log"
    mkdir -p "$root"/usr/{bin,sbin,lib,lib64}
    for deb in bin sbin lib lib64; do ln -s "usr/$deb" "$root/$deb"; done
    for deb in "$MX_CACHE"/apt/debs/archives/*.deb; do dpkg-deb --fsys-tarfile "$deb" | tar -x -C "$root" --keep-directory-symlink; done
    rm -f "$MX_CACHE"/apt/debs/archives/*.deb
    printf '%s %s (%s)\n' "$package" "${found#* }" "$suite" >"$root/from"
}

# mx_servers NAME...: of the table below, those named. All that is fetched stays in MX_CACHE; remove a folder there to fetch it again.
mx_servers() {
    local name mirror missing=()
    gh_is_root || gh_die "needs root: it runs programs in mount namespaces"
    mkdir -p "$MX_CACHE"
    [ -O "$MX_CACHE" ] || gh_die "$MX_CACHE belongs to somebody else: what is in it would run as root. GH_MATRIX_CACHE names another folder"
    chmod 755 "$MX_CACHE"
    for name in "$@"; do [ -e "$(mx_root "$name")/from" ] || missing+=("$name"); done
    [ "${#missing[@]}" -gt 0 ] || return 0
    [ -n "$(mx_mirrors)" ] || apt-get update -qq
    for mirror in $(mx_mirrors); do
        if mx_sources "$mirror"; then break; fi
        mirror=
    done
    [ -n "${mirror:-}" ] || gh_die "no mirror that apt is configured for has all of $MX_SUITES: see $MX_CACHE/apt/update.log"
    for name in "${missing[@]}"; do
        case $name in
        haproxy-*) mx_unpack "$name" haproxy "${name#*-}." ;;
        postgresql-*) mx_unpack "$name" "$name" "${name#*-}." ;;
        valkey) mx_unpack "$name" valkey-server "" ;;
        mysql-*) mx_unpack "$name" mysql-server-core "${name#*-}." mysql-client-core ;;
        mariadb-*) mx_unpack "$name" mariadb-server "1:${name#*-}." ;;
        *) gh_die "no server of the matrix: $name" ;;
        esac
    done
    rm -rf "$MX_CACHE/apt"
}
