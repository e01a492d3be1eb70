# Every command of this project. `make demo` and `make test` set up a fresh machine by themselves.
#
#   PG_CONFIG=/path/pg_config      which PostgreSQL to build for (15 to 18; found by itself)
#   CARGO_TARGET_DIR=/path         where cargo builds (./target)

SHELL := /bin/bash
.SHELLFLAGS := -euo pipefail -c
.DEFAULT_GOAL := help
.NOTPARALLEL:
export PG_CONFIG

.PHONY: help
help: ## show this list
	@sed -nE 's/^([a-z]+):[^#]*## (.*)/  make \1\t\2/p' $(MAKEFILE_LIST) | expand -t 18

.PHONY: demo
demo: setup install ## launch four shots against a simulated provider, in a throw-away server
	@demo/run

.PHONY: test
test: setup unit inside install ## run all tests, installing the extension first
	@# They wait more than they work, so more of them than processors run at a time.
	PG_CONFIG="$$(scripts/pg-config)" RUST_TEST_THREADS=4 cargo test --no-fail-fast -p image_gen_tests

.PHONY: unit
unit: ## run the tests that need no server
	cargo test -p image_gen_engine --all-features -p image_gen_simulator -p image_gen_tools
	@# By itself: what it asks of shared libraries is no feature of the others.
	cargo test -p image_gen_companion

.PHONY: inside
inside: setup ## run the tests inside a back end; a build with them is installed, which make install replaces
	@scripts/inside

.PHONY: mcp
mcp: ## call the four tools through an MCP server from npm (URL=postgresql://user@host/database, with the extension)
	scripts/mcp "$(URL)"

.PHONY: agents
agents: setup install ## launch four shots through image-gen mcp by two published clients (PyPI, npm), over a pipe and HTTP; the books agree
	@scripts/agents

.PHONY: conformance
conformance: setup install ## hold image-gen mcp against the published conformance suite of MCP (npm)
	@scripts/conformance

.PHONY: console
console: setup install ## use image-gen console in Chromium, on a telephone and on a desk, with axe-core; screenshots are kept in demo/out
	@scripts/console

.PHONY: webhooks
webhooks: setup install ## send webhooks to a receiver in Python that verifies them with the published library (PyPI)
	@scripts/webhooks

.PHONY: package
package: setup ## build a Debian package and a tarball for the PostgreSQL of PG_CONFIG (OUT=folder)
	@scripts/package

.PHONY: cleanroom
cleanroom: setup ## install the package in a bare Debian, run the launch there, remove it, and install it again (root)
	@scripts/cleanroom

.PHONY: catalogue
catalogue: ## write the catalogue as a file of its own, for image_gen.import_catalogue() (OUT=folder)
	@mkdir -p "$(or $(OUT),target/catalogue)"
	cargo run -q -p image_gen_engine --example catalogue >"$(or $(OUT),target/catalogue)/catalogue.json.new"
	@cd "$(or $(OUT),target/catalogue)" && name="image_gen-catalogue-$$(sed -nE 's/.*"published": "(.*)".*/\1/p' catalogue.json.new).json" && \
	  mv catalogue.json.new "$$name" && sha256sum "$$name" >"$$name.sha256" && cat "$$name.sha256"

.PHONY: monitoring
monitoring: setup install ## check the alerts with promtool, and read a server with both exporters for Postgres that Debian has
	@scripts/monitoring

.PHONY: store
store: setup install ## copy images to two real servers that speak S3, s3s-fs and Garage (crates.io), with all that can be wrong with a store
	@scripts/store

.PHONY: credentials
credentials: setup install ## sign an image with the published C2PA library (PyPI): it is valid before it is stored, and after
	@scripts/credentials

.PHONY: sheet
sheet: setup install ## look at a contact sheet in Chromium, on a telephone and on a desk; screenshots are kept in demo/out
	@scripts/sheet

.PHONY: directus
directus: install ## let a real CMS (Directus, from npm) fill an attached table through its REST API, in a throw-away server
	scripts/directus

.PHONY: real
real: setup install ## run jobs on a real server for images, built from PyPI (MODEL=checkpoint of Stable Diffusion 1)
	scripts/real $(MODEL)

.PHONY: matrix
matrix: setup install ## kill everything everywhere: all places, then KILLS=500 random ones (SEED=n to repeat)
	PG_CONFIG="$$(scripts/pg-config)" KILLS="$(KILLS)" SEED="$(SEED)" cargo test -q -p image_gen_tests --bench matrix

.PHONY: soak
soak: setup install ## commit 20000 jobs one after the other: no wake-up may be lost (WAKE_UPS=n for each of two databases)
	PG_CONFIG="$$(scripts/pg-config)" IMAGE_GEN_WAKE_UPS="$(or $(WAKE_UPS),10000)" \
	  cargo test -q -p image_gen_tests --test wakeup no_wake_up_is_ever_lost -- --nocapture

.PHONY: bench
bench: setup install ## measure what a caller waits for, beside the disk and a plain INSERT
	PG_CONFIG="$$(scripts/pg-config)" cargo bench -p image_gen_tests --bench launch --bench bystander --bench attach

.PHONY: load
load: setup install ## measure the worker beside old snapshots and a million jobs, then a soak (SOAK=n jobs)
	PG_CONFIG="$$(scripts/pg-config)" cargo bench -p image_gen_tests --bench load

.PHONY: reading
reading: setup install ## measure reports and lists beside a long history (HISTORY=n finished jobs, a million)
	PG_CONFIG="$$(scripts/pg-config)" HISTORY="$(or $(HISTORY),1000000)" cargo bench -p image_gen_tests --bench reading

.PHONY: lint
lint: ## format, clippy, documentation, dependencies and their licences
	@scripts/setup --lint
	@scripts/lint

.PHONY: fmt
fmt: ## format the code
	cargo fmt --all

.PHONY: setup
setup: ## install what building needs (PostgreSQL, clang, cargo-pgrx), where it is missing
	@scripts/setup

.PHONY: build
build: setup ## compile everything, without optimisation
	PGRX_PG_CONFIG_PATH="$$(scripts/pg-config)" cargo build --workspace --no-default-features \
	  --features "pg$$("$$(scripts/pg-config)" --version | sed -E 's/^[^0-9]*([0-9]+).*/\1/')"

.PHONY: install
install: setup ## build with optimisation and install into PostgreSQL
	@scripts/install

.PHONY: clean
clean: ## remove what was built
	cargo clean
	rm -rf demo/out
