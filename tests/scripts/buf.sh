#!/usr/bin/env bash
# Lints the protocol and compares it with the released one (proto/baseline.binpb). Installs buf into target/tools.
#
#   tests/scripts/buf.sh            lint and breaking
#   tests/scripts/buf.sh path       installs buf if needed and prints where it is
#   tests/scripts/buf.sh baseline   replaces the baseline by the present protocol; part of a release, never of a change
set -euo pipefail

VERSION=1.75.0
root=$(cd "$(dirname "$0")/../.." && pwd)
tools=${CARGO_TARGET_DIR:-$root/target}/tools/buf-$VERSION
buf=$tools/node_modules/.bin/buf

install() {
  if [ -x "$buf" ]; then return; fi
  # Two test runs may come here at once: install aside, then move into place.
  local aside
  mkdir -p "$(dirname "$tools")"
  aside=$(mktemp -d "$(dirname "$tools")/buf.XXXXXX")
  npm install --silent --no-audit --no-fund --prefix "$aside" "@bufbuild/buf@$VERSION" >&2
  mv -T "$aside" "$tools" 2>/dev/null || rm -rf "$aside"
  "$buf" --version >/dev/null || { echo "buf $VERSION cannot be installed with npm" >&2; exit 1; }
}

install
cd "$root/proto"
case ${1:-check} in
  check)
    "$buf" lint
    "$buf" breaking --against baseline.binpb
    echo "buf: lint clean, nothing broken since the baseline"
    ;;
  path) echo "$buf" ;;
  baseline) "$buf" build --exclude-source-info -o baseline.binpb ;;
  *) echo "usage: $0 [check|path|baseline]" >&2; exit 2 ;;
esac
