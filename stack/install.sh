#!/bin/sh
# Installs what building and running need, and only what is missing. Run by `make install` and by `stack` itself.
#
#   install.sh build   what `cargo build` needs   (C compiler, OpenSSL, zlib: librdkafka)
#   install.sh run     what the servers need      (Java and Maven, PostgreSQL, Redis, util-linux)
#   install.sh         both
set -eu

wanted=${1:-all}
missing=

# need PACKAGE TEST…: the package is missing when the test fails.
need() {
    package=$1
    shift
    if ! "$@" >/dev/null 2>&1; then missing="$missing $package"; fi
}
has() { command -v "$1"; }
has_postgres() { ls /usr/lib/postgresql/1[5-9]/bin/initdb || ls /usr/lib/postgresql/[2-9]?/bin/initdb || has initdb; }
has_java() {
    has java || return 1
    # 'openjdk version "17.0.15"': Kafka 4 runs on 17 and later.
    version=$(java -version 2>&1 | sed -n 's/.*version "\([0-9]*\).*/\1/p' | head -n 1)
    [ "${version:-0}" -ge 17 ]
}
has_header() { pkg-config --exists "$1"; }

if [ "$wanted" != run ]; then
    need gcc has cc
    need libc6-dev test -e /usr/include/stdio.h
    need make has make
    need pkg-config has pkg-config
    need libssl-dev has_header openssl
    need zlib1g-dev has_header zlib
    if ! has cargo >/dev/null; then
        echo "Rust is missing: install it with rustup (stable, 1.95 or later), or 'apt-get install rustup', then come back." >&2
        exit 1
    fi
fi
if [ "$wanted" != build ]; then
    need util-linux has setpriv
    need redis-server has redis-server
    need postgresql has_postgres
    # The broker's jars are downloaded once; Maven isn't asked again while they are there.
    need default-jre-headless has_java
    if [ "${HAVE_JARS:-no}" = no ]; then need maven has mvn; fi
fi

if [ -z "$missing" ]; then exit 0; fi

give_up() {
    echo "Missing:$missing" >&2
    echo "$1" >&2
    exit 1
}
has apt-get >/dev/null || give_up "This is no Debian or Ubuntu: install their like with the system's own package manager, then come back."
as_root=
if [ "$(id -u)" != 0 ]; then
    if sudo -n true 2>/dev/null; then
        as_root="sudo -n"
    else
        give_up "Type 'sudo apt-get install --no-install-recommends$missing', then come back."
    fi
fi
echo "installing$missing" >&2
export DEBIAN_FRONTEND=noninteractive
log=$(mktemp)
# RUNLEVEL=1: the packages' own services (on the usual ports) are not for us and stay off.
# shellcheck disable=SC2086 # words on purpose
if ! { $as_root apt-get update && $as_root env RUNLEVEL=1 apt-get install -y --no-install-recommends $missing; } >"$log" 2>&1; then
    tail -n 20 "$log" >&2
    give_up "apt-get could not install it. With the network back, type '${as_root:+sudo }apt-get install --no-install-recommends$missing'."
fi
rm -f "$log"
