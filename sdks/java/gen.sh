#!/bin/sh
# Writes the generated Java anew, or with --check compares it with what is committed and writes nothing.
#
#   sdks/java/gen.sh [--check]
#
# CALLBOARD names the callboard program; by default the one that cargo built last in target/debug.
set -eu

cd "$(dirname "$0")/../.."
callboard=${CALLBOARD:-${CARGO_TARGET_DIR:-target}/debug/callboard}

"$callboard" gen --lang java --layer messages "$@" -I proto --out sdks/java/sdk/gen \
  proto/callboard/gateway/v1/gateway.proto proto/callboard/host/v1/host.proto \
  proto/callboard/control/v1/control.proto proto/callboard/control/v1/dead_letters.proto \
  proto/callboard/control/v1/schedules.proto
"$callboard" gen --lang java --layer actor "$@" -I examples/incrementor --out examples/incrementor/java/gen \
  examples/incrementor/incrementor.proto
"$callboard" gen --lang java --layer actor "$@" -I examples/bank --out examples/bank/gen examples/bank/bank.proto
# shellcheck disable=SC2046 # Paths of protos have no blanks.
"$callboard" gen --lang java "$@" -I sdks/java/sdk/src/test/proto --out sdks/java/sdk/src/test/gen \
  $(cd sdks/java/sdk/src/test/proto && find . -name '*.proto' | cut -c3- | LC_ALL=C sort)
