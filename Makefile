# What there is to do with this repository. CI calls the same targets; `verify` never writes to a tracked file.

.DEFAULT_GOAL := help
.PHONY: help demo up down test chaos planted sim verify fix gen bench

help: ## Show this list
	@grep -E '^[a-z]+:.*## ' $(MAKEFILE_LIST) | sed -E 's/^([a-z]+):.*## (.*)/  make \1\t\2/' | expand -t 18

demo: ## Three languages add to the same durable actors; everything is killed; nothing is lost
	@tests/scripts/demo.sh

up: ## Start a cluster in containers: three nodes, PostgreSQL, a host in each language
	@docker/up.sh

down: ## Stop the cluster of `make up` and throw its data away
	@docker/compose.sh down --volumes --remove-orphans

test: ## Run every test of every language; a list with times at the end
	@tests/scripts/tiers.sh test $(TIER)

chaos: ## Torment a cluster for MINUTES=10 (SEED=N repeats a run) and look for broken promises
	@tests/scripts/chaos.sh run --minutes $(or $(MINUTES),10) $(if $(SEED),--seed $(SEED))

planted: ## Plant bugs one after the other, and see that the tests find each
	@tests/scripts/planted.sh

verify: ## Check format, lints, docs, protocol, generated code and house style; changes nothing
	@tests/scripts/tiers.sh verify $(TIER)

fix: ## Repair what can be repaired by program: format, lints, generated code
	cargo clippy --workspace --all-targets --fix --allow-dirty --allow-staged
	cargo fmt --all
	tests/scripts/gen.sh

gen: ## Write all generated code anew
	tests/scripts/gen.sh

bench: ## Measure throughput, latency and memory in a release build
	cargo run --release --locked -p callboard-bench

SEEDS ?= 20000

sim: ## Simulate clusters under faults: SEEDS=20000 of them, or one with ARGS="--seed N --trace"
	cargo run --locked -p callboard-sim -- --seeds $(SEEDS) $(ARGS)
