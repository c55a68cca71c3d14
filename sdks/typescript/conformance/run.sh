#!/usr/bin/env bash
# Starts the conformance program, after compiling whatever is not up to date.
set -euo pipefail
cd "$(dirname "$0")/.."
node scripts/bootstrap.mjs conformance >&2
exec node build/conformance/main.js
