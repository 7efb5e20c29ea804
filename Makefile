# Two commands matter: `make demo` and `make test`. The logic lives in scripts/, because shell quoting
# survives a checkout path with spaces and make's own word splitting does not. All paths are relative.

.PHONY: help demo test test-free-threaded test-embedded bench bench-peers bench-filters bench-check plots fuzz capsule-schema install-capi capi-small lint format clean
.DEFAULT_GOAL := help
export PYTHON PYTHON_FREE_THREADED ARGS INSTALL PREFIX DESTDIR CAPI_PROFILE CAPI_ARGS FLATC
# make's own: to bash, SECONDS is the time since it started.
SECONDS ?= 10

help: ## this list
	@echo "Targets:"
	@sed -n 's/^\([a-z-]*\):.*## /\1 /p' Makefile | while read -r name text; do printf '  make %-18s %s\n' "$$name" "$$text"; done
	@echo "Variables:"
	@echo "  PYTHON=...    the interpreter to use (default: the newest of python3.13 .. python3.10, python3)"
	@echo "  SECONDS=10    how long make fuzz gives each target"
	@echo "  ARGS='...'    handed on to perso-core demo, pytest, or the benchmark runs"

demo: ## build the release wheel, install it into .venv, run perso-core demo
	@bash scripts/demo.sh

test: ## formatting, lints, cargo test, pytest, stubtest, mypy: all that CI runs
	@bash scripts/test.sh

test-free-threaded: ## pytest and a stress test without the GIL, under the CPython that PYTHON_FREE_THREADED names
	@bash scripts/test_free_threaded.sh

test-embedded: ## the C library of a device: its size, and the same bytes on emulated processors (INSTALL=1 fetches tools)
	@bash scripts/test_embedded.sh

bench: ## the benchmark suite under pytest-benchmark
	@bash scripts/bench.sh

bench-peers: ## this library beside its peers, in a table and a page (ARGS="--help" lists the options)
	@bash scripts/bench_peers.sh

bench-filters: ## filtered searches beside peers (ARGS="--items x.npy --queries q.npy")
	@bash scripts/bench_filters.sh

bench-check: ## the latency gate: instruction counts and ratios against bench/record (ARGS=--update records)
	@bash scripts/bench_check.sh

plots: ## draw the figures of docs/ anew (ARGS="mmr dpp" for some of them)
	@bash scripts/plots.sh

fuzz: ## every parser under a fuzzer for SECONDS=10 each (TARGETS="policy record" for some of them)
	@FUZZ_SECONDS="$(SECONDS)" FUZZ_TARGETS="$(TARGETS)" bash scripts/fuzz.sh

capsule-schema: ## the reader of capsules, compiled from its schema by FLATC (default: flatc)
	@bash scripts/capsule_schema.sh

install-capi: ## the C library with its header and pkg-config file, into PREFIX=/usr/local (DESTDIR= for packages)
	@bash scripts/install_capi.sh

capi-small: ## the smallest C library, for this machine or TARGET=...: docs/embedded.md (INSTALL=1 fetches a source it uses)
	@bash scripts/capi_small.sh

lint: ## only the formatting and lint checks
	@bash scripts/lint.sh

format: ## rewrite the sources in the house format
	@bash scripts/lint.sh --fix

clean: ## remove everything that the targets above created
	@bash scripts/clean.sh
