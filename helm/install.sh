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

reads_yaml() { "$1" -c 'import yaml' 2>/dev/null; }
if ! reads_yaml python3; then
    if ! reads_yaml /usr/bin/python3; then
        echo "installing python3-yaml" >&2
        { as_root apt-get update && as_root apt-get install --yes --no-install-recommends python3 python3-yaml; } >/dev/null 2>&1 ||
            complain "Python with PyYAML is missing: type 'sudo apt-get install python3 python3-yaml', then come back."
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
    CGO_ENABLED=0 GOBIN=$tools go install -ldflags='-s -w' "$2"
}
# Helm 4 is another program, and what is rendered is compared with what is kept.
helm version --short 2>/dev/null | grep -q '^v3\.' || build helm helm.sh/helm/v3/cmd/helm@v3.22.0
has kubeconform || build kubeconform github.com/yannh/kubeconform/cmd/kubeconform@v0.8.0
has kustomize || build kustomize sigs.k8s.io/kustomize/kustomize/v5@v5.7.1

# Out of the package, without installing it: a Prometheus that starts with the machine is not wanted.
if ! has promtool || ! has prometheus; then
    echo "unpacking prometheus" >&2
    folder=$(mktemp -d)
    trap 'rm -rf "$folder"' EXIT
    (
        cd "$folder"
        apt-get download prometheus || { as_root apt-get update && apt-get download prometheus; }
        dpkg-deb -x prometheus_*.deb .
    ) >"$folder/log" 2>&1 || complain "promtool and prometheus are missing: type 'sudo apt-get install prometheus', then come back." "$(cat "$folder/log")"
    cp "$folder/usr/bin/promtool" "$folder/usr/bin/prometheus" "$tools/"
fi
