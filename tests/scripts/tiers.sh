#!/usr/bin/env bash
# Runs the tiers of `make verify` or `make test` one after the other and sums them up.
#
#   tests/scripts/tiers.sh verify|test [TIER...]
#
# Every tier runs, whatever failed before it. A tier's output goes to target/tiers/NAME.log and is shown if it fails.
# The last line is `N passed, N failed`: tests where the tier's tool counts them, otherwise the tier itself.
set -uo pipefail

root=$(cd "$(dirname "$0")/../.." && pwd)
cd "$root"
target=${CARGO_TARGET_DIR:-$root/target}
logs=$target/tiers
mkdir -p "$logs"

# What each tier runs. The list is the order: what fails soonest comes first.
# shellcheck source=tests/scripts/tiers.list.sh
source tests/scripts/tiers.list.sh

# Sums up what cargo, node, pytest, maven and our own suites say about themselves.
count() {
  awk '
    /^test result:/                    { passed += $4; failed += $6; next }
    /^# pass [0-9]+$/ || /^ℹ pass [0-9]+$/ { passed += $3; next }
    /^# fail [0-9]+$/ || /^ℹ fail [0-9]+$/ { failed += $3; next }
    /^[0-9]+ passed, [0-9]+ failed$/   { passed += $1; failed += $3; next }
    /^(=+ )?([0-9]+ [a-z]+, )*[0-9]+ passed.* in [0-9.]+s/ {
      for (i = 1; i < NF; i++) {
        if ($(i + 1) ~ /^passed/) passed += $i
        if ($(i + 1) ~ /^(failed|errors?)/) failed += $i
      }
      next
    }
    # Maven prints a line per class, with a time, and a sum per module, without one.
    /Tests run: [0-9]+, Failures: [0-9]+, Errors: [0-9]+, Skipped: [0-9]+$/ {
      gsub(/[^0-9]+/, " ")
      split($0, n, " ")
      passed += n[1] - n[2] - n[3] - n[4]; failed += n[2] + n[3]
    }
    END { print passed + 0, failed + 0 }
  ' "$1"
}

group=${1:?verify or test}
shift
declare -n tiers="${group}_tiers"
selected=("$@")
[ ${#selected[@]} -gt 0 ] || selected=("${tiers[@]}")

all_passed=0
all_failed=0
summary=()
began=$SECONDS
for tier in "${selected[@]}"; do
  log=$logs/$tier.log
  tier_began=$SECONDS
  if "tier_$tier" >"$log" 2>&1 </dev/null; then ok=true; else ok=false; fi
  took=$((SECONDS - tier_began))
  read -r passed failed < <(count "$log")
  if $ok; then
    [ "$passed" -gt 0 ] || passed=1
    line=$(printf 'ok      %-24s %4d s  %5d passed' "$tier" "$took" "$passed")
  else
    [ "$failed" -gt 0 ] || failed=1
    line=$(printf 'FAILED  %-24s %4d s  %5d passed, %d failed' "$tier" "$took" "$passed" "$failed")
    echo "--- $tier: what failed, and the end of $log"
    grep -nE '(\bFAILED\b|^FAIL|panicked at|^error|^not ok|✖|\[ERROR\])' -A 6 "$log" | head -n 80
    echo "..."
    tail -n 40 "$log"
    echo "---"
  fi
  echo "$line"
  summary+=("$line")
  all_passed=$((all_passed + passed))
  all_failed=$((all_failed + failed))
done

echo
echo "$group: $((SECONDS - began)) s"
printf '%s\n' "${summary[@]}"
echo "$all_passed $all_failed" >"$logs/$group.sum"
echo "$all_passed passed, $all_failed failed"
[ "$all_failed" -eq 0 ]
