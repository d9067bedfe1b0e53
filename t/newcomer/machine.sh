# shellcheck shell=bash
# A fresh Debian 12 in a folder, for t/newcomer/run and t/package/run. Needs examples/lib/stack.sh.

# machine_new DIR: GH_FRESH=DIR is a debootstrapped bookworm to copy instead of making one.
machine_new() {
    local machine=$1 mirror f
    if [ -n "${GH_FRESH:-}" ]; then
        cp -a "$GH_FRESH/." "$machine/"
    else
        # shellcheck disable=SC2016 # apt's own syntax
        mirror=$(apt-get indextargets --format '$(REPO_URI) $(CODENAME)' | awk '$2 == "bookworm" { uri = $1 } END { print uri }')
        debootstrap --variant=minbase --include=ca-certificates bookworm "$machine" "${mirror:?apt has no source for bookworm}" >"$machine.log" 2>&1 ||
            gh_die "debootstrap failed: see $machine.log"
        rm "$machine.log"
    fi
    chmod 755 "$machine"
    cp /etc/resolv.conf "$machine/etc/"
    for f in /etc/apt/apt.conf.d/*proxy* /etc/apt/apt.conf.d/*mirror*; do
        if [ -e "$f" ]; then cp "$f" "$machine/etc/apt/apt.conf.d/"; fi
    done
    printf '#!/bin/sh\nexit 101\n' >"$machine/usr/sbin/policy-rc.d" # packages start nothing while nothing runs there
    chmod 755 "$machine/usr/sbin/policy-rc.d"
}

# machine_packages DIR: runs the commands on standard input in it, with this machine's network.
machine_packages() {
    chroot "$1" env -i HOME=/root LANG=C.UTF-8 DEBIAN_FRONTEND=noninteractive PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin \
        bash -euo pipefail -s >"$1/root/packages.log" 2>&1 || gh_die "packages: $(tail -n 5 "$1/root/packages.log")"
}
