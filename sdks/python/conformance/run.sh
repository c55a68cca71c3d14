#!/bin/sh
# Runs a program of the conformance suite in a virtual environment that holds the SDK of this folder.
set -eu
here=$(cd "$(dirname "$0")" && pwd)
sdk=$(dirname "$here")
venv=${CALLBOARD_PYTHON_VENV:-$sdk/.venv}
if [ ! -x "$venv/bin/python" ]; then
    python3 -m venv "$venv" >&2
fi
if ! cmp -s "$sdk/pyproject.toml" "$venv/callboard.installed"; then
    "$venv/bin/pip" install --quiet --disable-pip-version-check -e "$sdk" >&2
    cp "$sdk/pyproject.toml" "$venv/callboard.installed"
fi
exec "$venv/bin/python" "$here/${CALLBOARD_CONFORMANCE:-host}.py"
