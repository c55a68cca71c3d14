#!/usr/bin/env bash
# Builds the images of docker/ and runs the cluster of compose.yaml in containers, in an engine of its own: three nodes,
# PostgreSQL, a host in each language. Plays the README's walk-through: a node and a host are killed under load, and totals
# must be exact.
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
  mirror=$(sed -nE 's/^(deb|URIs:)[^h]*(https?:[^ ]+).*/\2/p' /etc/apt/sources.list /etc/apt/sources.list.d/* 2>/dev/null | head -n 1) || true
  [ -n "$mirror" ] || fail "no Debian mirror is configured, so that no base image can be made"
  mkdir -p "$target/tools"
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
compose() { inside docker/compose.sh "$@"; }

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

# === the story ===

export CALLBOARD_BASE=callboard-base CALLBOARD_RUST_BASE=callboard-base CALLBOARD_NODE_BASE=callboard-base \
  CALLBOARD_PYTHON_BASE=callboard-base CALLBOARD_MAVEN_BASE=callboard-base CALLBOARD_JAVA_BASE=callboard-base \
  POSTGRES_IMAGE=callboard-base CALLBOARD_BINARY=given CALLBOARD_TYPESCRIPT=typescript-given \
  CALLBOARD_PYTHON=python-given CALLBOARD_JAVA=java-given
CALLBOARD_SECRET=$(head -c 32 /dev/urandom | base64)
export CALLBOARD_SECRET CALLBOARD_COMPOSE=../tests/docker/compose.yaml

# The README's walk-through: its commands in one shell, each with what it is said to print.
walk_through() {
  python3 tests/scripts/readme_story.py README.md cluster >"$target/walk-through.sh"
  inside bash "$target/walk-through.sh"
}

trap finish EXIT
install_tools
say "Making a base image, the binary and the hosts"
make_base
gather
say "Starting an engine of its own, then the cluster"
start_engine
inside docker import "$base_tar" callboard-base >/dev/null
say "The README's walk-through, as it stands there"
walk_through || fail "the README's walk-through does not do what it says"
[ "$(inside docker image inspect --format '{{.Config.User}}' callboard)" = 65532:65532 ] || fail "a node runs as root"
say "docker: the README's cluster does what the README says"
