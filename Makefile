# Two commands: `make run` to chat, `make test` to prove. `make help` lists the rest.

TARGET := $(or $(CARGO_TARGET_DIR),target)
STACK  := $(TARGET)/debug/stack
# The port of the first of three gateways of `make run`; the others follow.
PORT   ?= 8081
# Most tests wait, for leases and for processes: more of them at once than there are processors.
export RUST_TEST_THREADS ?= 6

.DEFAULT_GOAL := help
.PHONY: help install lints build run up test test-kubernetes bench fmt clippy doc deny chart observe manifests image names

help: ## Lists these commands
	@sed -n 's/^\([a-z-]*\):.*## \(.*\)/  make \1\t\2/p' $(MAKEFILE_LIST) | expand -t 24

install: ## Installs what building and running need, and only what is missing
	@HAVE_JARS=$(if $(wildcard $(TARGET)/stack/kafka/jars),yes,no) sh stack/install.sh all

lints: install
	@cargo fmt --version >/dev/null 2>&1 && cargo clippy --version >/dev/null 2>&1 || { echo "rustfmt or clippy is missing: type 'rustup component add rustfmt clippy', then come back." >&2; exit 1; }

# All programs in one go: one set of features, nothing is built twice.
build: install ## Builds all programs
	@cargo build --locked --workspace --bins

run: build ## Starts servers, three gateways and two classifiers; says what to type; Ctrl-C ends it (PORT=8081)
	@exec $(STACK) run --port $(PORT)

up: build ## Starts only Kafka, PostgreSQL and Redis, for `cargo test` by hand
	@exec $(STACK) up

fmt: lints ## Checks the formatting
	cargo fmt --all --check

clippy: lints ## Lints everything, warnings denied
	cargo clippy --locked --workspace --all-targets -- -D warnings

doc: install ## Builds the documentation, warnings denied
	RUSTDOCFLAGS="-D warnings" cargo doc --locked --workspace --no-deps

# What is quick to fail comes first; everything is built before the servers start.
test: fmt names clippy doc build ## Formatting, lints, documentation and all tests on real servers
	cargo test --locked --workspace --no-run
	$(STACK) test -- cargo test --locked --workspace --no-fail-fast

# What the chart says of settings and metrics, against the source: a new name fails here, not only in `make chart`.
names:
	@sh helm/install.sh python
	@PATH="$(abspath $(TARGET))/tools:$$PATH" helm/tools/settings . helm/switchboard
	@PATH="$(abspath $(TARGET))/tools:$$PATH" helm/tools/metrics check . -- helm/switchboard/dashboards/*.yaml helm/switchboard/files/alerts.yaml

chart: build ## Checks the Helm chart, its alerts, dashboards and k8s/ (installs what that needs once)
	@sh helm/install.sh
	@PROGRAMS=$(TARGET)/debug helm/check

# Not in `chart`, nor in .ci/run: a machine with too much to do raises alerts without a mistake anywhere.
observe: build ## Lets a Prometheus watch a running system, with the chart's alerts and dashboards (some 80 s)
	@sh helm/install.sh
	@PATH="$(abspath $(TARGET))/tools:$$PATH" helm/tools/observe $(TARGET)/debug/loadtest

manifests: ## Renders k8s/ and the chart's README anew, after a change of the chart
	@sh helm/install.sh
	k8s/render
	PATH="$(abspath $(TARGET))/tools:$$PATH" helm/tools/readme helm/switchboard

image: ## Builds the image switchboard:0.1.0 (BUILDER=buildah)
	$(or $(BUILDER),docker) build -t switchboard:0.1.0 --build-arg REVISION=$$(git rev-parse HEAD) .

# The image that is tried, another tag of it, and how either gets into the cluster: the command is given its name.
IMAGE    ?= switchboard:0.1.0
NEXT_TAG ?= next
LOAD     ?= kind load docker-image "$$IMAGE"

test-kubernetes: build ## Tries the chart on the cluster that KUBECONFIG names, some 15 minutes (IMAGE=, LOAD=, FLAGS=)
	@PATH="$(abspath $(TARGET))/tools:$$PATH" $(TARGET)/debug/loadtest kubernetes \
	  --image '$(IMAGE)' --next-tag '$(NEXT_TAG)' $(if $(LOAD),--load '$(LOAD)') $(FLAGS)

# A quiet machine, please: everything shares its processors with what is measured.
bench: install ## Repeats the measurements of docs/performance.md (some ten minutes)
	@cargo build --release --locked --workspace --bins
	@$(TARGET)/release/loadtest bench

deny: ## Licences, bans and sources of all dependencies (needs cargo-deny)
	@command -v cargo-deny >/dev/null || { echo "cargo-deny is missing: type 'cargo install --locked cargo-deny', then come back." >&2; exit 1; }
	cargo deny --locked check licenses bans sources
