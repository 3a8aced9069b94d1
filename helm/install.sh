#!/bin/sh
# Brings what the chart's checks need, and only what is missing.
#
#   install.sh python   Python with a reader of YAML, for helm/tools
#   install.sh          that, helm, kubeconform and kustomize (built by Go), promtool and prometheus (out of Debian's package)
#
# Python is installed by apt-get; the others go to target/tools.
set -eu
cd "$(dirname "$0")/.."
tools=${CARGO_TARGET_DIR:-$PWD/target}/tools
mkdir -p "$tools"
PATH=$tools:$PATH

complain() {
    printf '%s\n' "$@" >&2
    exit 1
}
has() { command -v "$1" >/dev/null; }
as_root() { if [ "$(id -u)" = 0 ]; then "$@"; else sudo -n "$@"; fi; }
# patiently COMMAND…: six times, with pauses. A registry may answer once with an error, at which apt-get and Go give up.
exec 3>&2
patiently() {
    for pause in 2 5 10 20 40; do
        if "$@"; then return; fi
        echo "once more in $pause s" >&3
        sleep "$pause"
    done
    "$@"
}
# What is brought, and apt-get's log. Beside its place, so that what is moved into it is whole at any time.
work=$(mktemp -d "$tools/work.XXXXXX")
trap 'rm -rf "$work"' EXIT

reads_yaml() { "$1" -c 'import yaml' 2>/dev/null; }
bring_python() {
    # Lists that could not be brought may be others than those that are needed: what is installed decides.
    as_root apt-get update || true
    as_root env DEBIAN_FRONTEND=noninteractive apt-get install --yes --no-install-recommends -o DPkg::Lock::Timeout=60 python3 python3-yaml
}
if ! reads_yaml python3; then
    if ! reads_yaml /usr/bin/python3; then
        missing="Python with PyYAML is missing: type 'sudo apt-get update && sudo apt-get install python3 python3-yaml', then come back."
        { has apt-get && as_root true 2>/dev/null; } || complain "$missing"
        echo "installing python3-yaml" >&2
        patiently bring_python >"$work/log" 2>&1 || complain "$missing" "$(tail -n 20 "$work/log")"
    fi
    # Another Python stands before the system's in PATH, and reads no YAML.
    reads_yaml python3 || ln -sf /usr/bin/python3 "$tools/python3"
fi
[ "${1:-all}" != python ] || exit 0

build() { # program, module@version
    # From 1.21 on Go fetches by itself the version that a module asks for. Older ones are of no use, as Debian 12's.
    minor=$(go version 2>/dev/null | sed -n 's/^go version go1\.\([0-9]*\).*/\1/p')
    [ "${minor:-0}" -ge 21 ] ||
        complain "$1 is missing, and Go 1.21 or later to build it with: install one of the two, then come back."
    echo "building $1" >&2
    # Go waits without end for who does not answer. What it has brought and built by then it keeps.
    patiently env CGO_ENABLED=0 GOBIN="$tools" timeout --foreground 300 go install -ldflags='-s -w' "$2" ||
        complain "$1 could not be built: see above. With the registry of Go modules back, come back."
}
# Helm 4 is another program, and what is rendered is compared with what is kept.
helm version --short 2>/dev/null | grep -q '^v3\.' || build helm helm.sh/helm/v3/cmd/helm@v3.22.0
has kubeconform || build kubeconform github.com/yannh/kubeconform/cmd/kubeconform@v0.8.0
has kustomize || build kustomize sigs.k8s.io/kustomize/kustomize/v5@v5.7.1

# Out of the package, without installing it: a Prometheus that starts with the machine is not wanted.
bring_prometheus() {
    rm -f prometheus_*.deb
    apt-get download prometheus || {
        as_root apt-get update
        apt-get download prometheus
    } && dpkg-deb -x prometheus_*.deb .
}
if ! has promtool || ! has prometheus; then
    missing="promtool and prometheus are missing: type 'sudo apt-get install prometheus', then come back."
    has apt-get || complain "$missing"
    echo "unpacking prometheus" >&2
    (cd "$work" && patiently bring_prometheus) >"$work/log" 2>&1 || complain "$missing" "$(tail -n 20 "$work/log")"
    mv "$work/usr/bin/promtool" "$work/usr/bin/prometheus" "$tools/"
fi
