#!/usr/bin/env bash
# Builds or runs a host of the example order-saga, or tests its three hosts together at a node. The node of `run` is
# CALLBOARD_SERVER; `test` starts one.
#
#   tests/scripts/order-saga.sh build|run order|stock|payment
#   tests/scripts/order-saga.sh test
set -euo pipefail

root=$(cd "$(dirname "$0")/../.." && pwd)
cd "$root"
example=$root/examples/order-saga

build_order() {
  cd "$example/order"
  # Installs only what is not there: npm ci would throw everything away first.
  [ node_modules/.package-lock.json -nt package-lock.json ] || npm ci --silent --no-audit --no-fund
  npm run --silent prepare
  npm run --silent build
}
run_order() {
  cd "$example/order"
  exec node build/src/main.js
}

build_stock() { tests/scripts/tools.sh venv python sdks/python >/dev/null; }
run_stock() {
  local venv
  venv=$(tests/scripts/tools.sh venv python sdks/python)
  cd "$example/stock"
  exec "$venv/bin/python" main.py
}

build_payment() {
  mvn -B -q -Dstyle.color=never -f sdks/java/pom.xml -pl io.callboard.examples:order-saga-payment -am -DskipTests package
}
run_payment() { exec java -XX:+UseSerialGC -XX:TieredStopAtLevel=1 -jar "$example/payment/target/payment.jar"; }

run_test() {
  local bin
  cargo build --quiet --locked -p callboard-cli
  bin=$(realpath "${CARGO_TARGET_DIR:-target}/debug")
  for host in order stock payment; do
    tests/scripts/order-saga.sh build "$host"
  done
  cd "$example/order"
  PATH="$bin:$PATH" npm run --silent test:hosts
}

case "${1:-} ${2:-}" in
  "build order" | "build stock" | "build payment" | "run order" | "run stock" | "run payment") "$1_$2" ;;
  "test ") run_test ;;
  *)
    echo "usage: $0 build|run order|stock|payment, or $0 test" >&2
    exit 2
    ;;
esac
