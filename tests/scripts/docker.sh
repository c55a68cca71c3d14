#!/usr/bin/env bash
# Builds the images of docker/ and runs the cluster of compose.yaml in containers, in an engine of its own: three nodes,
# PostgreSQL, a host in each language. A node and a host are killed under load; totals must be exact.
#
# No image is pulled: the base is made with debootstrap, and the images take what was built before. The engine lives in a
# network namespace of its own and leaves nothing behind. Needs root, and says so
# where no engine can be started.
set -euo pipefail

root=$(cd "$(dirname "$0")/../.." && pwd)
cd "$root"
target=${CARGO_TARGET_DIR:-$root/target}
base_tar=$target/tools/docker-base.tar
given=$root/target/docker
CALLS=200
START_SECONDS_MAX=120

fail() {
  echo "docker: $*" >&2
  exit 1
}
say() { printf '\n%s\n' "$*"; }

# Where no engine can run there is nothing to test. It is said aloud, so that nobody takes it for a success.
no_engine() {
  echo "docker: NOT RUN: $*" >&2
  exit 0
}

[ "$(id -u)" -eq 0 ] || no_engine "only root can start an engine"

# === tools ===

need() { command -v "$1" >/dev/null || [ -x "$1" ]; }

install_tools() {
  if need /usr/bin/docker && need dockerd && need docker-compose && need debootstrap && need iptables; then return; fi
  # The engine that the package would start is not wanted.
  local policy=/usr/sbin/policy-rc.d made=
  [ -e $policy ] || { printf '#!/bin/sh\nexit 101\n' >$policy && chmod +x $policy && made=yes; }
  apt-get -o DPkg::Lock::Timeout=300 update -qq >&2
  apt-get -o DPkg::Lock::Timeout=300 install -y -qq --no-install-recommends \
    docker.io docker-compose debootstrap iptables iproute2 >&2
  [ -z "$made" ] || rm -f $policy
}

# One image for everything that the official ones bring: PostgreSQL, Node, Python and Java.
make_base() {
  [ -f "$base_tar" ] && return
  local mirror tree
  mirror=$(sed -nE 's/^(deb|URIs:)[^h]*(https?:[^ ]+).*/\2/p' /etc/apt/sources.list /etc/apt/sources.list.d/* 2>/dev/null | head -n 1)
  tree=$(mktemp -d "$target/docker-base.XXXXXX")
  debootstrap --variant=minbase --include=postgresql,python3,ca-certificates,libstdc++6 bookworm "$tree" "$mirror" >"$target/debootstrap.log" ||
    fail "the base image cannot be made; see $target/debootstrap.log"
  # Java's package wants /proc while it is configured.
  cp /etc/resolv.conf "$tree/etc/resolv.conf"
  mount --bind /proc "$tree/proc"
  chroot "$tree" apt-get install -y -qq --no-install-recommends openjdk-17-jre-headless >>"$target/debootstrap.log" 2>&1 ||
    { umount "$tree/proc"; fail "Java cannot be installed into the base image; see $target/debootstrap.log"; }
  umount "$tree/proc"
  chroot "$tree" apt-get clean
  cp -L "$(command -v node)" "$tree/usr/local/bin/node"
  mkdir -p "$tree/var/lib/postgresql/data"
  chroot "$tree" chown postgres:postgres /var/lib/postgresql/data
  tar -C "$tree" -cf "$base_tar.new" . && mv "$base_tar.new" "$base_tar"
  rm -rf "$tree"
}

# What the images take instead of compiling it again.
gather() {
  cargo build --quiet --locked -p callboard-cli
  for language in typescript python java; do tests/scripts/incrementor.sh build "$language"; done
  rm -rf "$given" && mkdir -p "$given"/{typescript/sdks,typescript/examples/incrementor,python/site,java}
  cp "$target/debug/callboard" "$given/callboard"
  strip --strip-debug "$given/callboard"
  cp -a sdks/typescript "$given/typescript/sdks/"
  cp -a examples/incrementor/typescript "$given/typescript/examples/incrementor/"
  cp -a examples/incrementor/python "$given/python/host"
  local venv
  venv=$(tests/scripts/tools.sh venv python sdks/python)
  "$venv/bin/pip" install --quiet --disable-pip-version-check --target "$given/python/site" ./sdks/python
  cp -a examples/incrementor/java/target/{incrementor.jar,lib} "$given/java/"
}

# === the engine ===

namespace=cbdk$$
engine=
state=

finish() {
  local code=$?
  set +e
  if [ -n "$engine" ]; then
    if [ $code -ne 0 ]; then compose logs --tail 40 >&2; fi
    compose down --volumes --remove-orphans >/dev/null 2>&1
    kill "$engine" && wait "$engine" 2>/dev/null
  fi
  ip netns del "$namespace" 2>/dev/null
  [ -z "$state" ] || rm -rf "$state"
  rm -rf "$given"
  exit $code
}

# Everything that talks to containers does it from their network.
inside() { nsenter --net="/var/run/netns/$namespace" env PATH="/usr/bin:$target/debug:$PATH" "$@"; }
compose() { inside docker/compose.sh --file ../tests/docker/compose.yaml "$@"; }

start_engine() {
  state=$(mktemp -d /var/tmp/callboard-docker.XXXXXX)
  export DOCKER_HOST=unix://$state/docker.sock
  ip netns add "$namespace" || no_engine "network namespaces cannot be made here"
  ip -n "$namespace" link set lo up
  nsenter --net="/var/run/netns/$namespace" dockerd --data-root "$state/data" --exec-root "$state/run" \
    --pidfile "$state/pid" -H "$DOCKER_HOST" >"$target/dockerd.log" 2>&1 &
  engine=$!
  until inside docker version >/dev/null 2>&1; do
    if ! kill -0 "$engine" 2>/dev/null; then
      engine=
      no_engine "it does not start; see $target/dockerd.log"
    fi
    sleep 0.2
  done
}

wait_until() {
  local what=$1 deadline=$((SECONDS + START_SECONDS_MAX))
  shift
  until "$@" >/dev/null 2>&1; do
    [ $SECONDS -lt $deadline ] || fail "$what does not happen"
    sleep 0.2
  done
}

# === the story ===

export CALLBOARD_BASE=callboard-base CALLBOARD_RUST_BASE=callboard-base CALLBOARD_NODE_BASE=callboard-base \
  CALLBOARD_PYTHON_BASE=callboard-base CALLBOARD_MAVEN_BASE=callboard-base CALLBOARD_JAVA_BASE=callboard-base \
  POSTGRES_IMAGE=callboard-base CALLBOARD_BINARY=given CALLBOARD_TYPESCRIPT=typescript-given \
  CALLBOARD_PYTHON=python-given CALLBOARD_JAVA=java-given
CALLBOARD_SECRET=$(head -c 32 /dev/urandom | base64)
export CALLBOARD_SECRET

# Three gateways; a caller may use any.
nodes=127.0.0.1:7070,127.0.0.1:7170,127.0.0.1:7270
first=127.0.0.1:7070
third=127.0.0.1:7270

rows() { inside callboard "$@" -o jsonl -q; }
hosts_on() { [ "$(rows hosts list --server "$1" | grep -c Incrementor)" -ge "$2" ]; }
up_nodes() { [ "$(rows cluster status --server "$first" | grep -c '"state":"up"')" -eq "$1" ]; }

# Adds one, CALLS times, over both surviving gateways; every call is repeated by the command line until it is answered.
add_all() {
  local call
  for call in $(seq "$CALLS"); do
    local server=$first
    [ $((call % 2)) -eq 0 ] || server=$third
    inside callboard invoke "Incrementor/key-$((call % 8))" Add -d '{"amount": 1}' --server "$server" --timeout 20s -q -o name
  done
}

total() {
  local key sum=0 value
  for key in $(seq 0 7); do
    value=$(rows invoke "Incrementor/key-$key" Get --server "$1" --timeout 20s | sed -nE 's/.*"(total|value)":"?([0-9]+).*/\2/p')
    sum=$((sum + value))
  done
  echo $sum
}

trap finish EXIT
install_tools
say "Making a base image, the binary and the hosts"
make_base
gather
say "Starting an engine of its own, then the cluster"
start_engine
inside docker import "$base_tar" callboard-base >/dev/null
compose up --build --detach >"$target/compose.log" 2>&1 || { tail -n 40 "$target/compose.log" >&2; fail "compose up failed"; }
wait_until "three nodes are up" up_nodes 3
for server in ${nodes//,/ }; do wait_until "three hosts are at $server" hosts_on "$server" 3; done
inside callboard cluster status --server "$first"
[ "$(inside docker inspect --format '{{.Config.User}}' callboard_node1_1)" = 65532:65532 ] || fail "a node runs as root"
wait_until "the health check passes" sh -c "[ \"\$(docker inspect --format '{{.State.Health.Status}}' callboard_node1_1)\" = healthy ]"

say "$CALLS calls begin; node2 and the Python host are killed in the middle of them"
add_all >"$target/docker-calls.log" 2>&1 &
calls=$!
wait_until "the first calls are answered" sh -c "[ \"\$(wc -l <'$target/docker-calls.log')\" -ge 20 ]"
inside docker update --restart no callboard_node2_1 callboard_python_1 >/dev/null
inside docker kill callboard_node2_1 callboard_python_1 >/dev/null
wait "$calls" || { tail -n 20 "$target/docker-calls.log" >&2; fail "a call failed"; }
wait_until "the cluster sees that node2 is gone" up_nodes 2
inside callboard cluster status --server "$third"
[ "$(total "$first")" -eq "$CALLS" ] || fail "$(total "$first") of $CALLS adds are there"
inside docker start callboard_node2_1 >/dev/null
wait_until "node2 is back" up_nodes 3
[ "$(total 127.0.0.1:7170)" -eq "$CALLS" ] || fail "node2 sees another total"
say "docker: $CALLS of $CALLS adds, over the loss of a node and a host"
