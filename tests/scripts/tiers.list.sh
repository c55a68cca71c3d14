# The tiers of `make verify` and `make test`, in order, and what each runs. Sourced by tiers.sh from the repository's root.
# shellcheck shell=bash disable=SC2034

# === make verify: nothing is written but build output ===

verify_tiers=(format proto clippy docs generated tidy)

tier_format() { cargo fmt --all --check; }

tier_proto() { tests/scripts/buf.sh; }

tier_clippy() { cargo clippy --workspace --all-targets --locked -- -D warnings; }

tier_docs() { RUSTDOCFLAGS="-D warnings" cargo doc --workspace --no-deps --locked; }

tier_generated() { tests/scripts/gen.sh --check; }

# With the same selection as the tier `rust`, so that nothing is compiled for this one alone.
tier_tidy() { cargo test --workspace --locked --test it -- tidy; }

# === make test ===

test_tiers=(
  rust
  sdk_typescript sdk_python sdk_java
  conformance_typescript conformance_python conformance_java
  examples_typescript examples_python examples_together
  crash sim chaos demo docker
)

# Everything in Rust, the generator's golden and parity tests, the README and the command line included.
tier_rust() { cargo test --workspace --locked --no-fail-fast; }

tier_sdk_typescript() { (cd sdks/typescript && npm ci --no-audit --no-fund && npm test); }

tier_sdk_python() {
  local venv
  venv=$(tests/scripts/tools.sh venv python sdks/python) || return
  (
    cd sdks/python &&
      "$venv/bin/ruff" check . &&
      "$venv/bin/mypy" &&
      "$venv/bin/pytest"
  )
}

# The SDK, and the Java examples, which are modules of its build.
tier_sdk_java() { mvn -B --no-transfer-progress -Dstyle.color=never -f sdks/java/pom.xml verify; }

# One suite for all SDKs (tests/conformance.md), and a line of its own in the summary for each.
tier_conformance_typescript() { tests/scripts/conformance.sh typescript; }

tier_conformance_python() {
  local venv
  venv=$(tests/scripts/tools.sh venv python sdks/python) || return
  CALLBOARD_PYTHON_VENV=$venv tests/scripts/conformance.sh python
}

tier_conformance_java() { tests/scripts/conformance.sh java; }

# Every example with a package.json, wherever it lies. Those that need a node start the `callboard` that is on the PATH.
tier_examples_typescript() {
  local manifest failed=0 bin
  cargo build --quiet --locked -p callboard-cli || return
  bin=$(realpath "${CARGO_TARGET_DIR:-target}/debug")
  for manifest in $(git ls-files 'examples/*package.json'); do
    (cd "$(dirname "$manifest")" && npm ci --no-audit --no-fund && PATH="$bin:$PATH" npm test) || failed=1
  done
  return $failed
}

tier_examples_python() {
  local venv manifest failed=0 bin
  venv=$(tests/scripts/tools.sh venv python sdks/python) || return
  cargo build --quiet --locked -p callboard-cli || return
  bin=$(realpath "${CARGO_TARGET_DIR:-target}/debug")
  for manifest in $(git ls-files 'examples/*pyproject.toml'); do
    (cd "$(dirname "$manifest")" && "$venv/bin/mypy" && PATH="$bin:$PATH" "$venv/bin/pytest") || failed=1
  done
  return $failed
}

# The example whose hosts are in three languages.
tier_examples_together() { tests/scripts/order-saga.sh test; }

# Kills under load; then the test of the test, which must find losses; power cuts where this user may mount disks.
tier_crash() {
  local crash=${CARGO_TARGET_DIR:-target}/debug/callboard-crash power_cuts=0
  [ "$(id -u)" -ne 0 ] || power_cuts=10
  cargo build --workspace --locked --bins &&
    "$crash" --power-cuts "$power_cuts" &&
    "$crash" --sabotage --kills 5 --host-kills 0
}

# Every seed is another cluster with other faults; see sim/. CALLBOARD_SIM_SEEDS asks for more or fewer.
tier_sim() { cargo run --locked -p callboard-sim -- --seeds "${CALLBOARD_SIM_SEEDS:-20000}"; }

# The images of docker/, and the cluster of compose.yaml, in an engine of its own.
tier_docker() { tests/scripts/docker.sh; }

tier_demo() { tests/scripts/demo.sh; }

# A cluster under faults that overlap, and then a rolling restart of everybody, which may fail no call.
# CALLBOARD_CHAOS_MINUTES asks for more or fewer.
tier_chaos() {
  tests/scripts/chaos.sh self-test &&
    tests/scripts/chaos.sh run --minutes "${CALLBOARD_CHAOS_MINUTES:-10}" --clients 48 --rate 300 &&
    tests/scripts/chaos.sh rolling --clients 24 --rate 150
}
