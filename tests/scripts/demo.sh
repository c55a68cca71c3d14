#!/usr/bin/env bash
# The demonstration: hosts in three languages add to the same durable actors, everything is killed with SIGKILL in the
# middle of it, and after a restart nothing is lost and nothing was applied twice. Leaves nothing running.
set -euo pipefail

root=$(cd "$(dirname "$0")/../.." && pwd)
cd "$root"
target=${CARGO_TARGET_DIR:-$root/target}
export PATH="$target/debug:$PATH"

# The calls that the kill interrupts.
CALLS=30
START_SECONDS_MAX=180

say() { printf '\n\033[1m%s\033[0m\n' "$*"; }
[ -t 1 ] || say() { printf '\n%s\n' "$*"; }

fail() {
  echo "demo: $*" >&2
  exit 1
}

# === what runs in the background ===

declare -A pids

finish() {
  local code=$?
  for pid in "${pids[@]}"; do kill -9 -- "-$pid" 2>/dev/null || true; done
  if [ $code -ne 0 ]; then
    for log in "$folder"/*.log; do
      echo "--- $log" >&2
      tail -n 30 "$log" >&2
    done
  else
    rm -rf "$folder"
  fi
  exit $code
}

# Every program leads a process group of its own, so that killing it takes what it started along.
start() {
  local name=$1
  shift
  set -m
  "$@" >>"$folder/$name.log" 2>&1 </dev/null &
  pids[$name]=$!
  set +m
}

kill_hard() {
  local name
  for name in "$@"; do
    kill -9 -- "-${pids[$name]}"
    wait "${pids[$name]}" 2>/dev/null || true
    unset "pids[$name]"
  done
}

wait_until() {
  local what=$1 deadline=$((SECONDS + START_SECONDS_MAX))
  shift
  until "$@" >/dev/null 2>&1; do
    [ $SECONDS -lt $deadline ] || fail "$what does not happen"
    sleep 0.1
  done
}

start_node() {
  start node callboard dev --port "$port" --admin-port 0 --data "$folder/data"
  wait_until "the node serves" callboard health --service readiness
}

start_host() {
  start "$1" env CALLBOARD_SERVER="$CALLBOARD_SERVER" tests/scripts/incrementor.sh run "$1"
}

# How many hosts offer the counter.
hosts_are() {
  local hosts
  hosts=$(callboard types list -o jsonl -q | sed -nE 's/.*"name":"Incrementor".*"hosts":([0-9]+).*/\1/p')
  [ "${hosts:-0}" -eq "$1" ]
}

# A UUIDv7 holds the time of the first try, which a retry has to repeat: SDKs draw the same.
new_id() {
  python3 -c '
import os, time, uuid
bits = int(time.time() * 1000) << 80 | int.from_bytes(os.urandom(10), "big")
bits = bits & ~(0xF << 76) & ~(3 << 62) | 7 << 76 | 2 << 62
print(uuid.UUID(int=bits))'
}

# === the story ===

began=$SECONDS
say "Building the binary and the three hosts (a minute or two the first time)"
cargo build --quiet --locked -p callboard-cli
for language in typescript python java; do
  tests/scripts/incrementor.sh build "$language"
done
grpcurl=$(tests/scripts/tools.sh grpcurl)

folder=$(mktemp -d "$target/demo.XXXXXX")
trap finish EXIT
port=$(python3 -c 'import socket; s = socket.socket(); s.bind(("127.0.0.1", 0)); print(s.getsockname()[1])')
export CALLBOARD_SERVER=127.0.0.1:$port

say "One node, with an embedded store in a folder"
start_node
callboard health

say "Each language in turn adds 1 to the same two actors; its host is then killed with SIGKILL"
for language in typescript python java; do
  start_host "$language"
  wait_until "the $language host is there" hosts_are 1
  for key in alpha beta; do
    echo "Incrementor/$key Add 1 -> $(callboard invoke "Incrementor/$key" Add -d '{"amount": 1}' -o jsonl |
      sed -E 's/.*"reply":(\{[^}]*\}).*/\1/')"
  done
  kill_hard "$language"
  wait_until "the node sees that the host is gone" hosts_are 0
done

say "Now all three together; grpcurl calls as well as callboard does"
for language in typescript python java; do start_host "$language"; done
wait_until "three hosts are there" hosts_are 3
"$grpcurl" -plaintext -d '{"actor": {"type": "Incrementor", "key": "alpha"}, "action": "Add", "json": {"amount": 1}}' \
  "$CALLBOARD_SERVER" callboard.gateway.v1.GatewayService/Invoke
callboard hosts list

say "$CALLS calls begin; in the middle of them the node and all hosts are killed with SIGKILL"
ids=()
for _ in $(seq "$CALLS"); do ids+=("$(new_id)"); done
mkfifo "$folder/acknowledged"
(
  for id in "${ids[@]}"; do
    callboard invoke Incrementor/gamma Add -d '{"amount": 1}' --key "$id" --timeout 5s -q -o name || break
  done >"$folder/acknowledged" 2>"$folder/interrupted.log"
) &
caller=$!
acknowledged=0
while read -r _; do
  acknowledged=$((acknowledged + 1))
  if [ "$acknowledged" -eq $((CALLS / 2)) ]; then kill_hard node typescript python java; fi
done <"$folder/acknowledged"
wait "$caller" || true
echo "$acknowledged of $CALLS calls were acknowledged before everything died:"
head -n 1 "$folder/interrupted.log"

say "Everything starts again; all $CALLS calls are made again with their request ids"
start_node
for language in typescript python java; do start_host "$language"; done
wait_until "three hosts are there" hosts_are 3
for id in "${ids[@]}"; do
  callboard invoke Incrementor/gamma Add -d '{"amount": 1}' --key "$id" -q -o name >/dev/null
done

say "The totals: nothing lost, nothing applied twice"
check() {
  local key=$1 expected=$2 total
  total=$(callboard invoke "Incrementor/$key" Total -o jsonl | sed -E 's/.*"total":"?([0-9]+).*/\1/')
  echo "Incrementor/$key: $total, expected $expected"
  [ "$total" = "$expected" ] || fail "Incrementor/$key is $total instead of $expected"
}
check alpha 4
check beta 3
check gamma "$CALLS"
callboard state get Incrementor/gamma

say "All stop in good order"
stop() {
  local name
  for name in "$@"; do
    kill -TERM "${pids[$name]}"
    wait "${pids[$name]}" || fail "$name ended with code $?"
    kill -0 -- "-${pids[$name]}" 2>/dev/null && fail "$name left something running"
    unset "pids[$name]"
  done
}
stop typescript python java node
echo "nothing is left running; $((SECONDS - began)) s"
