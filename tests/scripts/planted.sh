#!/usr/bin/env bash
# Plants one bug after the other, and demands that the tier that should find it does: in the simulation around the pure
# machines, in the tests of the machines themselves, and in real nodes under the chaos test. The table at the end says how
# soon each was found.
#
#   tests/scripts/planted.sh [sim|machine|chaos]...
#
# The nodes are built with the feature `planted` into a folder of their own; no other build has it.
set -uo pipefail

root=$(cd "$(dirname "$0")/../.." && pwd)
cd "$root"
target=${CARGO_TARGET_DIR:-$root/target}

# Seeds, and minutes, within which a bug must be found.
SEEDS=${CALLBOARD_PLANTED_SEEDS:-2000}
MINUTES=${CALLBOARD_PLANTED_MINUTES:-5}

passed=0
failed=0
table=()

note() {
  local outcome=$1 bug=$2 tier=$3 how=$4
  if [ "$outcome" = found ]; then passed=$((passed + 1)); else failed=$((failed + 1)); fi
  table+=("$(printf '%-8s %-26s %-7s %s' "$outcome" "$bug" "$tier" "$how")")
  echo "${table[-1]}"
}

# The names that a program offers when it is given one that there is not.
names() { "$@" 2>&1 | sed -nE 's/.*there are ([a-z, -]+).*/\1/p' | tr -d ',' | head -n 1; }

plant_sim() {
  local sim=$target/debug/callboard-sim bug output seed
  cargo build --quiet --locked -p callboard-sim || return
  for bug in $(names "$sim" --bug none); do
    output=$("$sim" --bug "$bug" --seeds "$SEEDS")
    seed=$(sed -nE 's/^FAILED: seed ([0-9]+),.*/\1/p' <<<"$output")
    if [ -n "$seed" ]; then
      note found "$bug" sim "by seed $seed: $(sed -n 2p <<<"$output" | cut -c 1-100)"
    else
      note MISSED "$bug" sim "by $SEEDS seeds"
    fi
  done
}

# Bugs that real nodes show only now and then: the tests of the machine in which each is must fail with it, and pass
# without.
plant_machine() {
  local bug tests output
  local with=(cargo test --quiet --locked -p callboard-data-plane --lib --features callboard-types/planted)
  "${with[@]}" --no-run || return
  while read -r bug tests; do
    if ! "${with[@]}" -- "$tests" >/dev/null 2>&1 </dev/null; then
      note MISSED "$bug" "machine" "$tests fails without the bug"
    elif output=$(PROPTEST_DISABLE_FAILURE_PERSISTENCE=1 CALLBOARD_PLANTED=$bug "${with[@]}" -- "$tests" 2>&1 </dev/null); then
      note MISSED "$bug" "machine" "by $tests"
    else
      tests=$(sed -nE 's/^    ([a-z0-9_:]+)$/\1/p' <<<"$output" | head -n 1)
      note found "$bug" "machine" "by $tests"
    fi
  done <<'BUGS'
row-gone-early deliveries::machine
delivery-not-kept activation::machine
link-not-stored activation::machine
walk-done-early channels::machine_walk
firing-ended-early scheduler::machine
BUGS
}

plant_chaos() {
  local chaos=$target/debug/callboard-chaos bug output
  mkdir -p "$target/planted"
  cargo build --quiet --locked -p callboard-cli --features planted &&
    cp "$target/debug/callboard" "$target/planted/callboard" &&
    cargo build --quiet --locked -p callboard-cli -p callboard-tests --bins || return
  PATH=$(tests/scripts/postgres.sh programs):$PATH
  for bug in $(names "$chaos" hunt none); do
    output=$("$chaos" hunt "$bug" --minutes "$MINUTES" --seed 1 --node-bin "$target/planted/callboard")
    if grep -q "^$bug found " <<<"$output"; then
      note found "$bug" chaos "$(sed -nE "s/^$bug found (.*)/\1/p" <<<"$output" | cut -c 1-120)"
    else
      note MISSED "$bug" chaos "within $MINUTES minutes"
      tail -n 5 <<<"$output"
    fi
  done
}

tiers=("$@")
[ ${#tiers[@]} -gt 0 ] || tiers=(sim machine chaos)
for tier in "${tiers[@]}"; do
  "plant_$tier" || note MISSED "all" "$tier" "it could not be built"
done

echo
printf '%s\n' "${table[@]}"
echo "$passed passed, $failed failed"
[ "$failed" -eq 0 ] && [ "$passed" -gt 0 ]
