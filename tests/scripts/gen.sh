#!/usr/bin/env bash
# Writes all generated code anew, or with --check compares it with what is committed and writes nothing.
#
#   tests/scripts/gen.sh [--check]
#
# Rust makes its part at build time; what is committed is the output of `callboard gen`.
set -euo pipefail

root=$(cd "$(dirname "$0")/../.." && pwd)
cd "$root"

cargo build --quiet --locked -p callboard-cli
export CALLBOARD=${CARGO_TARGET_DIR:-$root/target}/debug/callboard

generate_typescript() { sdks/typescript/scripts/generate.sh "$@"; }

generate_python() { sdks/python/gen.sh "$@"; }

generate_java() { sdks/java/gen.sh "$@"; }

passed=0
failed=0
for language in typescript python java; do
  if "generate_$language" "$@"; then passed=$((passed + 1)); else failed=$((failed + 1)); fi
done
echo "$passed passed, $failed failed"
[ "$failed" -eq 0 ]
