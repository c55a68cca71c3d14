#!/usr/bin/env bash
# Builds everything that the chaos test needs, and runs it with hosts in three languages.
#
#   tests/scripts/chaos.sh [run|rolling|self-test] [OPTION...]    options are those of callboard-chaos
#
# Needs root, or a kernel that grants user namespaces. Installs PostgreSQL if there is none (tests/scripts/postgres.sh).
set -euo pipefail

root=$(cd "$(dirname "$0")/../.." && pwd)
cd "$root"
target=${CARGO_TARGET_DIR:-$root/target}
hosts=$root/tests/src/chaos/hosts

cargo build --quiet --locked -p callboard-cli -p callboard-tests --bins
PATH=$(tests/scripts/postgres.sh programs):$PATH
export PATH

command=${1:-run}
shift || true
case $command in
  self-test) exec "$target/debug/callboard-chaos" self-test ;;
  run) set -- "$@" ;;
  rolling) set -- rolling "$@" ;;
  *)
    echo "usage: $0 [run|rolling|self-test] [OPTION...]" >&2
    exit 2
    ;;
esac

venv=$(tests/scripts/tools.sh venv python sdks/python)
(
  cd "$hosts/typescript"
  [ node_modules/.package-lock.json -nt package-lock.json ] || npm ci --silent --no-audit --no-fund
  npm run --silent prepare
  npm run --silent build
) >&2

exec "$target/debug/callboard-chaos" "$@" \
  --host "python:$hosts/python:$venv/bin/python main.py" \
  --host "typescript:$hosts/typescript:$(command -v node) build/main.js"
