# Two commands for a newcomer: `make run` and `make test`. Each first gets what is missing on this machine
# and is quick when nothing is. What set-up fetches goes into the git-ignored .tools/, except Debian packages
# for the tests. Cargo is always asked about the whole workspace: one package alone has other features of its
# dependencies, and they would be built again.

export PATH := $(CURDIR)/.tools/bin:$(PATH)
PROFILE ?= release
BUILT = target/$(if $(filter dev,$(PROFILE)),debug,$(PROFILE))
FUZZ_SECONDS ?= 60
SOAK_MINUTES ?= 10

.DEFAULT_GOAL := help
.PHONY: help setup python run test check e2e bench fuzz soak web setup-test

help: ## this list
	@awk -F ':.*## ' '/^[a-z0-9-]+:.*## /{printf "  make %-8s %s\n", $$1, $$2}' Makefile

run: setup ## build and start the demo on loopback; it prints addresses, passwords and what to try
	cargo build --profile $(PROFILE) --bin ifbus
	@ln -sf ../../$(BUILT)/ifbus .tools/bin/ifbus
	@exec $(BUILT)/ifbus run

test: setup-test ## everything: unit, property, simulation and real-client tests; ends with "N passed, N failed"
	tests/run

check: setup ## the fast loop: format, lints, unit and tidy tests
	cargo fmt --all --check
	cargo clippy --workspace --all-targets -- -D warnings
	tests/setup/fuzz-types --quiet
	tests/setup/cargo-test --workspace --lib --bins --test tidy --test sim --test node

e2e: setup-test ## only the real-client stories; STORY=name picks some
	cargo build --workspace --bins
	node tests/e2e/run.mjs $(STORY)

bench: ## the micro-benchmarks of the protocol core
	cargo bench --workspace --bench '*'

fuzz: ## each fuzz target for FUZZ_SECONDS (60)
	tests/setup/cargo-fuzz
	tests/setup/fuzz-all $(FUZZ_SECONDS)

soak: setup-test ## 10,000 simulated runs, then real calls for SOAK_MINUTES (10); fails on a lost call or on growth
	SIM_SEEDS=10000 cargo test --workspace --test sim seeds
	cargo build --profile quick --bin ifbus
	IFBUS_BIN=target/quick/ifbus SOAK_MINUTES=$(SOAK_MINUTES) node tests/e2e/run.mjs --soak

web: ## rebuild adapter/web/sip.js from the pinned npm package
	tests/setup/node
	npm --prefix tests/e2e run --silent vendor

setup: ## what running needs: a recent nats-server, in .tools/bin
	@tests/setup/rust
	@tests/setup/nats-server

python: ## a Python with a NATS client for the examples: .tools/python/bin/python
	@tests/setup/python

setup-test: setup
	@tests/setup/packages
	@tests/setup/node
	@tests/setup/python
