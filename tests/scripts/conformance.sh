#!/usr/bin/env bash
# Plays the SDK conformance suite (tests/conformance.md) against the SDKs, or those that are named.
#
#   tests/scripts/conformance.sh [typescript|python|java]...
set -uo pipefail

root=$(cd "$(dirname "$0")/../.." && pwd)
cd "$root"
cargo build --quiet --locked -p callboard-tests --bin callboard-conformance || exit 1
suite=${CARGO_TARGET_DIR:-$root/target}/debug/callboard-conformance

languages=("$@")
[ ${#languages[@]} -gt 0 ] || languages=(typescript python java)
failed=0
for language in "${languages[@]}"; do
  "$suite" --lang "$language" -- "sdks/$language/conformance/run.sh" || failed=1
done
exit $failed
