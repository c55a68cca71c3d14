#!/usr/bin/env bash
# Runs protoc, which grpcio-tools carries: nobody has to install it. The first call makes a virtual environment in
# target/tools. Arguments are those of protoc.
set -euo pipefail

VERSION=1.85.1
root=$(cd "$(dirname "$0")/../.." && pwd)
tools=${CARGO_TARGET_DIR:-$root/target}/tools/grpcio-tools-$VERSION

if [ ! -x "$tools/bin/python" ]; then
  # Two test runs may come here at once: install aside, then move into place. Nothing uses the scripts of the
  # environment, whose first lines name where it was made.
  mkdir -p "$(dirname "$tools")"
  aside=$(mktemp -d "$(dirname "$tools")/grpcio-tools.XXXXXX")
  python3 -m venv "$aside" >&2
  "$aside/bin/python" -m pip install --quiet --disable-pip-version-check \
    "grpcio-tools==$VERSION" "setuptools" >&2
  mv -T "$aside" "$tools" 2>/dev/null || rm -rf "$aside"
fi
exec "$tools/bin/python" -m grpc_tools.protoc \
  -I"$("$tools/bin/python" -c 'import grpc_tools, os; print(os.path.dirname(grpc_tools.__file__))')/_proto" "$@"
