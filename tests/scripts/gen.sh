#!/usr/bin/env bash
# Writes all generated code anew, or with --check compares it with what is committed and writes nothing.
#
#   tests/scripts/gen.sh [--check]
#
# The generator's own output is the only generated code that is committed: Rust makes its part at build time.
set -euo pipefail

root=$(cd "$(dirname "$0")/../.." && pwd)
cd "$root"
check=("$@")

# shellcheck source=tests/scripts/gen.list.sh
source tests/scripts/gen.list.sh

cargo build --quiet --locked -p callboard-cli
callboard=${CARGO_TARGET_DIR:-$root/target}/debug/callboard
failed=0
for line in "${generated[@]}"; do
  read -ra arguments <<<"$line"
  echo "callboard gen ${arguments[*]} ${check[*]}"
  "$callboard" gen "${arguments[@]}" "${check[@]}" || failed=$((failed + 1))
done
echo "$((${#generated[@]} - failed)) passed, $failed failed"
[ "$failed" -eq 0 ]
