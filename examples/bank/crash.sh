#!/bin/sh
# Plays the bank's customers against a node of its own while host and node are killed, and fails if a cent is missing.
#
#   examples/bank/crash.sh
#
# CALLBOARD names the callboard program; by default the one that cargo built last in target/debug. Build the bank first:
# see README.md.
set -eu
cd "$(dirname "$0")/../.."
callboard=${CALLBOARD:-${CARGO_TARGET_DIR:-target}/debug/callboard}
jar=examples/bank/target/bank.jar
work=$(mktemp -d)
node=
host=
demo=
cleanup() {
  for pid in $demo $host $node; do kill -9 "$pid" 2>/dev/null || :; done
  rm -rf "$work"
}
trap cleanup EXIT

start_node() {
  "$callboard" dev --port "$1" --admin-port 0 --data "$work/data" >"$work/node.log" 2>&1 &
  node=$!
  # The address is printed once the node listens.
  for _ in $(seq 300); do
    CALLBOARD_SERVER=$(sed -n 's/^ *gateway *//p' "$work/node.log")
    [ -z "$CALLBOARD_SERVER" ] || return 0
    kill -0 "$node" || break
    sleep 0.1
  done
  cat "$work/node.log" >&2
  exit 1
}
start_host() {
  java -jar "$jar" >>"$work/host.log" 2>&1 &
  host=$!
}

start_node 0
export CALLBOARD_SERVER
start_host
# Until the types are known for the first time, calls are refused for good.
for _ in $(seq 300); do
  grep -q connected "$work/host.log" && break
  sleep 0.1
done
for round in 1 2 3; do
  java -jar "$jar" demo "crash$round" >"$work/demo.log" 2>&1 &
  demo=$!
  sleep 2
  kill -9 "$host"
  start_host
  sleep 1
  kill -9 "$node"
  # The data folder is free when the process is gone.
  wait "$node" 2>/dev/null || :
  start_node "${CALLBOARD_SERVER##*:}"
  if ! wait "$demo"; then
    cat "$work/demo.log" >&2
    exit 1
  fi
  demo=
  tail -1 "$work/demo.log"
done
kill -TERM "$host"
wait "$host"
host=
echo "3 passed, 0 failed"
