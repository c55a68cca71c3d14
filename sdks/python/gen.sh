#!/bin/sh
# Generates what this SDK and its examples commit. With --check it writes nothing and fails if something is out of date.
# CALLBOARD names the command line to use.
set -eu
cd "$(dirname "$0")/../.."
callboard=${CALLBOARD:-target/debug/callboard}
protocol=proto/callboard
"$callboard" gen --lang python --layer messages "$@" -I proto --out sdks/python/src/callboard/protocol \
    $protocol/type/v1/type.proto $protocol/gateway/v1/gateway.proto \
    $protocol/host/v1/host.proto $protocol/control/v1/control.proto \
    $protocol/control/v1/schedules.proto $protocol/control/v1/dead_letters.proto \
    $protocol/options/v1/options.proto
"$callboard" gen --lang python "$@" -I examples/incrementor --out examples/incrementor/python/gen \
    examples/incrementor/incrementor.proto
