# What a newcomer needs: `make run`, `make test`. `make help` lists the rest.

SHELL := /bin/sh
.DEFAULT_GOAL := help
.DELETE_ON_ERROR:

BIN := .venv/bin
PIP_INSTALL := $(BIN)/python -m pip --disable-pip-version-check -qq install --no-deps --no-compile
NPM_PEER := tests/foreign/npm
LOCK := $(BIN)/uv pip compile --quiet --universal --python-version 3.11 --generate-hashes --no-header --no-annotate
PYTEST_ARGS ?=
BENCH_ARGS ?=
CLUSTER_ARGS ?=
CHAOS_ARGS ?=
FUZZ_ARGS ?=
SEED ?=
N ?= 1000
SIM_ARGS ?=
SEEDS ?=
COMPILED_TESTS := tests/dialog tests/flow tests/links tests/redis tests/smpp tests/sms tests/web \
	$(addprefix tests/location_store/test_,lookup.py msisdn.py pseudonyms.py record.py rotation.py stays.py subscribers.py visited.py window.py)

.PHONY: help setup run test check sim sim-mutants fuzz fuzz-quick fuzz-storm bench bench-peers bench-quick bench-scale bench-stages conformance eval-stays eval-stays-peer bench-store bench-store-memory bench-store-ingest bench-store-query bench-store-docs bench-feeds bench-smpp bench-overload bench-stall bench-backup bench-sweep cluster chaos chaos-store endurance pictures replies compiled test-compiled test-compiled-again wheel wheel-compiled lock clean

help: ## list these targets
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "make %-19s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

setup: .venv/.runtime ## make .venv with the command .venv/bin/cxmyd

run: setup ## see it work: sample history, simulated SMSC, gateway, phone page (Ctrl-C ends all of it)
	@$(BIN)/cxmyd demo

test: .venv/.dev ## run all tests, installing what they need
	@scripts/test-tools
	@$(MAKE) --no-print-directory $(NPM_PEER)/node_modules/.package-lock.json .venv-foreign/.done
	@$(BIN)/python -m pytest $(PYTEST_ARGS)

check: .venv/.dev ## lint, format, types, import rules
	@$(BIN)/ruff check .
	@$(BIN)/ruff format --check .
	@$(BIN)/mypy
	@$(BIN)/lint-imports

fuzz: .venv/.dev ## coverage-guided fuzzing of codec, session and texts (10 minutes; FUZZ_ARGS="--seconds 3600")
	@$(BIN)/python -m fuzz $(FUZZ_ARGS)

fuzz-storm: .venv/.dev ## 10 million blind mutants of what the fuzzing found (15 minutes; FUZZ_ARGS="--mutants N")
	@$(BIN)/python -m fuzz.storm $(FUZZ_ARGS)

fuzz-quick: .venv/.dev ## the same for 20 seconds
	@$(BIN)/python -m fuzz --seconds 20

sim: .venv/.dev ## deterministic simulation: N=1000 seeds, or one with its history (SEED=42)
	@$(BIN)/python -m sim $(if $(SEED),--seed $(SEED),--seeds $(N)) $(SIM_ARGS)

sim-mutants: .venv/.dev ## faults put into the gateway, and how many seeds find each (10 minutes)
	@$(BIN)/python -m sim.mutants $(SIM_ARGS)

bench: .venv/.dev ## our gateway beside npm smpp, smpplib, Kannel and the null gateways, in one sitting (20 minutes; BENCH_ARGS="--quick": 5)
	@scripts/test-tools
	@$(BIN)/python -m bench.compare.run $(BENCH_ARGS)

bench-peers: ## install Kannel, so that make bench measures it too
	@scripts/bench-peers

bench-quick: .venv/.dev ## CPU an answer beside the null gateway, and beside what was recorded (under 2 minutes; BENCH_ARGS=--record)
	@scripts/test-tools
	@$(BIN)/python -m bench.compare.quick $(BENCH_ARGS)

bench-scale: .venv/.dev ## CPU an answer by workers, Redis nodes, subscribers and binds; a worker's memory (8 minutes; BENCH_ARGS=--quick: 1)
	@scripts/test-tools
	@$(BIN)/python -m bench.scale.run $(BENCH_ARGS)

conformance: .venv/.dev ## our gateway, npm smpp and smpplib judged by the conformance suite, into docs/conformance.md (15 minutes)
	@scripts/test-tools
	@$(MAKE) --no-print-directory $(NPM_PEER)/node_modules/.package-lock.json
	@$(BIN)/python -m bench.conformance.compare $(BENCH_ARGS)

bench-stages: .venv/.dev ## microseconds of a message by stage, and a flame graph (2 minutes; BENCH_ARGS="--before OTHER/cxmyd --docs")
	@scripts/test-tools
	@$(BIN)/python -m bench.stages.run $(BENCH_ARGS)

bench-store: bench-store-memory bench-store-ingest bench-store-query bench-store-docs ## all of the store's benches (15 minutes; BENCH_ARGS=--quick: 4)

bench-store-memory: .venv/.dev ## bytes a subscriber, at rest and after a month, on both engines
	@scripts/test-tools
	@$(BIN)/python -m bench.store.memory $(BENCH_ARGS)

bench-store-ingest: .venv/.dev ## sightings a second, stage by stage
	@scripts/test-tools
	@$(BIN)/python -m bench.store.ingest $(BENCH_ARGS)

bench-store-query: .venv/.dev ## look-ups a second from 10^4 to 10^7 subscribers, beside redis-benchmark
	@scripts/test-tools
	@$(BIN)/python -m bench.store.query $(BENCH_ARGS)

bench-store-docs: .venv/.dev ## write what the store's benches found into docs/scale.md and docs/store-figures.md
	@$(BIN)/python -m bench.store.report

bench-backup: .venv/.dev ## what snapshots and the append-only file cost, on both engines (3 minutes; BENCH_ARGS=--quick: 1)
	@scripts/test-tools
	@$(BIN)/python -m bench.backup.measure $(BENCH_ARGS)

bench-sweep: .venv/.dev ## how fast what is older than the window leaves memory, on both engines (1 minute)
	@scripts/test-tools
	@$(BIN)/python -m bench.backup.sweep $(BENCH_ARGS)

bench-overload: .venv/.dev ## the gateway at three times what it can do: answers, refusals, latency, memory, fairness (4 minutes; BENCH_ARGS=--quick)
	@scripts/test-tools
	@$(BIN)/python -m bench.overload.run $(BENCH_ARGS)

bench-stall: .venv/.dev ## how late the event loop is while the store stands still for 5 s under load (3 minutes; BENCH_ARGS=--rate=10000)
	@scripts/test-tools
	@$(BIN)/python -m bench.overload.stall $(BENCH_ARGS)

bench-smpp: .venv/.dev ## the SMPP codec beside smpplib and smpp.pdu3, the session beside the codec (2 minutes; BENCH_ARGS=--quick)
	@$(BIN)/python -m bench.smpp.measure $(BENCH_ARGS)

bench-feeds: .venv/.dev ## sightings a second from folders, Redis streams and Kafka (3 minutes; BENCH_ARGS=--quick: 1)
	@scripts/test-tools
	@$(BIN)/python -m bench.feeds.rate $(BENCH_ARGS)

cluster: .venv/.dev ## a Redis Cluster of three primaries and three replicas on this machine (Ctrl-C ends all of it)
	@scripts/test-tools
	@$(BIN)/python -m bench.cluster.start $(CLUSTER_ARGS)

chaos-store: .venv/.dev ## nodes of a cluster killed, paused and emptied under load: what is lost, and for how long (3 minutes)
	@scripts/test-tools
	@$(BIN)/python -m bench.cluster.chaos $(BENCH_ARGS)

chaos: .venv/.dev ## gateways, a Redis Cluster and an SMSC killed, stopped, reset and filled under load: what is lost (35 minutes; CHAOS_ARGS="--minutes 3 --seed 2")
	@scripts/test-tools
	@$(BIN)/python -m bench.chaos.run $(CHAOS_ARGS)

eval-stays: .venv/.dev ## true visits found and false cities of synthetic people, into docs/stays.md (6 minutes; BENCH_ARGS=--quick: 1)
	@$(BIN)/python -m bench.stays.evaluate $(or $(BENCH_ARGS),--docs)

eval-stays-peer: .venv/.dev .venv-bench/.done ## the same, and trackintel on the same traces (10 minutes; installs 700 MB)
	@$(BIN)/python -m bench.stays.evaluate --peer .venv-bench/bin/python $(or $(BENCH_ARGS),--docs)

endurance: .venv/.dev ## 10,000 reconnects, then an hour of mixed load with random faults: what leaks, what is lost (BENCH_ARGS='--minutes 5')
	@scripts/test-tools
	@$(BIN)/python -m bench.endurance.run $(BENCH_ARGS)

pictures: .venv/.dev ## take the pictures of the documentation from the running project
	@scripts/test-tools
	@$(BIN)/python scripts/pictures

replies: .venv/.runtime ## write what subscribers are told into docs/dialog.md
	@$(BIN)/python scripts/replies

compiled: .venv/.dev ## build/compiled/cxmyd: the same source with its hot modules compiled, a quarter to a third less CPU an answer (2 minutes)
	@scripts/compiled

test-compiled: compiled ## the tests of the compiled modules, and some of the simulation, on build/compiled
	@$(MAKE) --no-print-directory test-compiled-again

test-compiled-again: # on the build as it is
	@scripts/test-tools
	@cd build/compiled && export PYTHONPATH="$$PWD" && $(CURDIR)/$(BIN)/python -m pytest $(or $(PYTEST_ARGS),$(COMPILED_TESTS))
	@cd build/compiled && export PYTHONPATH="$$PWD" && $(CURDIR)/$(BIN)/python -m sim --seeds $(or $(SEEDS),20)

wheel: .venv/.runtime ## dist/: a wheel for every platform
	@$(BIN)/python -m hatchling build -t wheel -d dist

wheel-compiled: .venv/.dev ## dist/: a wheel for this platform and Python, the hot modules compiled
	@scripts/wheel dist

lock: .venv/.runtime ## resolve the dependencies of pyproject.toml again, with hashes
	$(LOCK) pyproject.toml --group dev --output-file requirements-dev.lock
	$(LOCK) pyproject.toml --constraints requirements-dev.lock --output-file requirements.lock
	$(LOCK) --group pyproject.toml:bench --output-file requirements-bench.lock
	$(LOCK) --group pyproject.toml:foreign --output-file requirements-foreign.lock
	$(LOCK) --group pyproject.toml:foreign-build --constraints requirements-foreign.lock --output-file requirements-foreign-build.lock
	$(LOCK) --group pyproject.toml:build --constraints requirements-dev.lock --output-file requirements-build.lock

clean: ## remove what was built, the demo's data and .venv
	rm -rf .venv .venv-bench .venv-foreign build dist .mypy_cache .ruff_cache .pytest_cache .hypothesis .import_linter_cache
	rm -rf $(NPM_PEER)/node_modules
	find gateway location_store tests -name __pycache__ -prune -exec rm -rf {} +

# The stamps make the second time quick.
.venv/.runtime: requirements.lock requirements-build.lock pyproject.toml scripts/venv scripts/install
	@echo "Setting up .venv (the first time takes a minute)"
	@scripts/venv
	@$(PIP_INSTALL) --require-hashes -r requirements-build.lock
	@scripts/install requirements.lock
	@$(PIP_INSTALL) --no-build-isolation --editable .
	@touch $@

.venv/.dev: .venv/.runtime requirements-dev.lock
	@scripts/install requirements-dev.lock
	@touch $@

.venv-bench/.done: requirements-bench.lock
	@python3 -m venv .venv-bench
	@.venv-bench/bin/python -m pip --disable-pip-version-check -q install --require-hashes -r requirements-bench.lock
	@touch $@

.venv-foreign/.done: .venv/.runtime requirements-foreign-build.lock requirements-foreign.lock
	@$(BIN)/python -m venv --clear .venv-foreign
	@.venv-foreign/bin/python -m pip --disable-pip-version-check -qq install --require-hashes -r requirements-foreign-build.lock
	@.venv-foreign/bin/python -m pip --disable-pip-version-check -qq install --require-hashes --no-build-isolation -r requirements-foreign.lock
	@touch $@

$(NPM_PEER)/node_modules/.package-lock.json: $(NPM_PEER)/package-lock.json
	@cd $(NPM_PEER) && npm ci --no-audit --no-fund --silent </dev/null
	@touch $@
