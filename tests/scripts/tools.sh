#!/usr/bin/env bash
# Installs a tool that tests use into target/tools, once, and prints where it is.
#
#   tests/scripts/tools.sh grpcurl            the gRPC command line, built from source with Go
#   tests/scripts/tools.sh venv NAME PATH...  a Python environment with the given projects or requirement files
set -euo pipefail

GRPCURL_VERSION=v1.9.3
root=$(cd "$(dirname "$0")/../.." && pwd)
target=${CARGO_TARGET_DIR:-$root/target}
tools=$target/tools

fail() {
  echo "$*" >&2
  exit 1
}

grpcurl() {
  local folder=$tools/grpcurl-$GRPCURL_VERSION
  if [ ! -x "$folder/grpcurl" ]; then
    command -v go >/dev/null || fail "grpcurl is built from source: install Go (https://go.dev/dl)"
    mkdir -p "$folder"
    GOBIN=$folder GOFLAGS=-mod=mod go install \
      "github.com/fullstorydev/grpcurl/cmd/grpcurl@$GRPCURL_VERSION" >&2
  fi
  echo "$folder/grpcurl"
}

# The environment is rebuilt when what it was made from changes.
venv() {
  local name=$1
  shift
  local folder=$tools/venv-$name inputs
  inputs=$(for path in "$@"; do
    if [ -d "$path" ]; then cat "$path/pyproject.toml"; else cat "$path"; fi
  done | sha256sum)
  if [ ! -f "$folder/inputs" ] || [ "$(cat "$folder/inputs")" != "$inputs" ]; then
    command -v python3 >/dev/null || fail "install Python 3.11 or newer"
    rm -rf "$folder"
    python3 -m venv "$folder"
    for path in "$@"; do
      if [ -d "$path" ]; then
        "$folder/bin/pip" install --quiet --disable-pip-version-check --editable "$path[dev]" >&2
      else
        "$folder/bin/pip" install --quiet --disable-pip-version-check --requirement "$path" >&2
      fi
    done
    echo "$inputs" >"$folder/inputs"
  fi
  echo "$folder"
}

case ${1:-} in
  grpcurl) grpcurl ;;
  venv) [ $# -ge 3 ] || fail "usage: $0 venv NAME PATH..."; venv "${@:2}" ;;
  *) fail "usage: $0 grpcurl | venv NAME PATH..." ;;
esac
