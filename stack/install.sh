#!/bin/sh
# Installs what building and running need, and only what is missing. Run by `make install` and by `stack` itself.
#
#   install.sh build   what `cargo build` needs   (C compiler, OpenSSL, zlib: librdkafka)
#   install.sh run     what the servers need      (Java and Maven, PostgreSQL, Redis, util-linux); prints where they are
#   install.sh         both
set -eu

wanted=${1:-all}

complain() {
    printf '%s\n' "$@" >&2
    exit 1
}
has() { command -v "$1" >/dev/null; }
has_header() { pkg-config --exists "$1"; }

# The first Java that Kafka 4 runs on (17 or later): that of JAVA_HOME, else the one in PATH.
find_java() {
    for java in "${JAVA_HOME:+$JAVA_HOME/bin/java}" "$(command -v java || true)"; do
        [ -x "$java" ] || continue
        # 'openjdk version "17.0.15"'
        version=$("$java" -version 2>&1 | sed -n 's/.*version "\([0-9]*\).*/\1/p' | head -n 1)
        if [ "${version:-0}" -ge 17 ]; then
            echo "$java"
            return
        fi
    done
    return 1
}

# The folder of the newest PostgreSQL from 15 on. Debian keeps one for each version, and none of them in PATH.
find_postgres() {
    # shellcheck disable=SC2012 # names of Debian's, without blanks
    for initdb in $(ls /usr/lib/postgresql/*/bin/initdb 2>/dev/null | sort -t / -k 5 -rn) "$(command -v initdb || true)"; do
        [ -x "$initdb" ] || continue
        version=$("$initdb" --version | sed -n 's/^initdb (PostgreSQL) \([0-9]*\).*/\1/p')
        if [ "${version:-0}" -ge 15 ]; then
            dirname "$initdb"
            return
        fi
    done
    return 1
}

# patiently COMMAND…: six times, with pauses. A registry may answer once with an error, at which apt-get gives up.
exec 3>&2
patiently() {
    for pause in 2 5 10 20 40; do
        if "$@"; then return; fi
        echo "once more in $pause s" >&3
        sleep "$pause"
    done
    "$@"
}

# need PACKAGE TEST…: the package is missing when the test fails.
need() {
    package=$1
    shift
    if ! "$@" >/dev/null 2>&1; then missing="$missing $package"; fi
}
look() {
    missing=
    if [ "$wanted" != run ]; then
        need gcc has cc
        need libc6-dev test -e /usr/include/stdio.h
        need make has make
        need pkg-config has pkg-config
        need libssl-dev has_header openssl
        need zlib1g-dev has_header zlib
    fi
    if [ "$wanted" != build ]; then
        need util-linux has setpriv
        need redis-server has redis-server
        need postgresql find_postgres
        need default-jre-headless find_java
        # The broker's jars are downloaded once; Maven isn't asked again while they are there.
        if [ "${HAVE_JARS:-no}" = no ]; then need maven has mvn; fi
    fi
}

[ "$(uname -s)" = Linux ] ||
    complain "This runs on Linux only. With containers, 'docker compose up --wait' brings the servers: see compose.yaml."

if [ "$wanted" != run ]; then
    least=$(sed -n 's/^rust-version = "\(.*\)"/\1/p' Cargo.toml)
    found=$(cargo --version 2>/dev/null | sed -n 's/^cargo \([0-9.]*\).*/\1/p') || true
    if [ "$(printf '%s\n' "$least" "${found:-0}" | sort -V | head -n 1)" != "$least" ]; then
        complain "Rust $least or later is needed; found: ${found:-none}." \
            "Type 'rustup update stable && rustup default stable', after 'apt-get install rustup' or https://rustup.rs, then come back."
    fi
fi

look
if [ -n "$missing" ]; then
    has apt-get ||
        complain "Missing:$missing" "This is no Debian or Ubuntu: install their like with the system's own package manager, then come back."
    install="apt-get install --no-install-recommends"
    as_root=
    if [ "$(id -u)" != 0 ]; then
        as_root="sudo -n"
        $as_root true 2>/dev/null ||
            complain "Missing:$missing" "Type 'sudo apt-get update && sudo $install$missing', then come back."
    fi
    echo "installing$missing" >&2

    log=$(mktemp)
    policy=/usr/sbin/policy-rc.d
    ours=no
    clear_away() {
        rm -f "$log"
        if [ "$ours" = yes ]; then $as_root rm -f "$policy"; fi
    }
    trap clear_away EXIT
    trap 'exit 1' INT TERM
    # The packages' own services, on the usual ports, are not for us: not started now, nor at the next boot.
    if [ ! -e "$policy" ]; then
        ours=yes
        $as_root sh -c "printf '#!/bin/sh\nexit 101\n' >$policy && chmod 755 $policy"
    fi
    # Lists that could not be brought may be others than those that are needed: what is installed decides. Nothing of it may
    # read stdin, where this script may come from.
    # shellcheck disable=SC2086 # words on purpose
    bring() {
        $as_root apt-get update || true
        $as_root env DEBIAN_FRONTEND=noninteractive $install -y -o DPkg::Lock::Timeout=60 $missing
    }
    if ! patiently bring </dev/null >"$log" 2>&1; then
        tail -n 20 "$log" >&2
        complain "Missing:$missing" "apt-get could not install it. With the network back, type '${as_root:+sudo }apt-get update && ${as_root:+sudo }$install$missing'."
    fi
    if has systemctl; then
        for unit in redis-server postgresql; do
            case " $missing " in *" $unit "*) $as_root systemctl --quiet disable "$unit" >/dev/null 2>&1 || true ;; esac
        done
    fi

    asked=$missing
    look
    [ -z "$missing" ] ||
        complain "Still missing:$missing" "Of$asked this system has only versions that are too old: Java 17 and PostgreSQL 15 are the least, as in Debian 12 or Ubuntu 24.04." \
            "A newer Java may also be named by JAVA_HOME, a newer PostgreSQL stand in PATH."
fi

if [ "$wanted" = run ]; then
    echo "java=$(find_java)"
    echo "postgres=$(find_postgres)"
    echo "redis=$(command -v redis-server)"
fi
