#!/usr/bin/env bash
# Generates all committed TypeScript code from its protos: the SDK's protocol layer, the examples, the type tests.
#
#   sdks/typescript/scripts/generate.sh            writes
#   sdks/typescript/scripts/generate.sh --check    writes nothing; fails and lists what is not up to date
#
# CALLBOARD names the callboard binary; without it cargo builds and runs it.
set -euo pipefail
cd "$(dirname "$0")/../../.."

callboard() {
  if [[ -n "${CALLBOARD:-}" ]]; then
    "$CALLBOARD" "$@"
  else
    cargo run --quiet --package callboard-cli -- "$@"
  fi
}

callboard gen --lang typescript --layer messages "$@" -I proto -I sdks/typescript/proto \
  --out sdks/typescript/src/gen \
  proto/callboard/{type,options,gateway,host,control}/v1/*.proto sdks/typescript/proto/google/rpc/status.proto
callboard gen --lang typescript "$@" -I examples/incrementor \
  --out examples/incrementor/typescript/gen examples/incrementor/incrementor.proto
callboard gen --lang typescript "$@" -I sdks/typescript/typetests/proto \
  --out sdks/typescript/typetests/gen \
  sdks/typescript/typetests/proto/unpackaged.proto sdks/typescript/typetests/proto/acme/{common,v1}/*.proto
