#!/bin/sh
# Every check of the Python SDK and its examples: format, lints, types, tests. Installs what it needs into .venv.
set -eu
cd "$(dirname "$0")"
if [ ! -x .venv/bin/python ]; then
    python3 -m venv .venv
fi
if ! cmp -s pyproject.toml .venv/callboard.dev; then
    .venv/bin/pip install --quiet --disable-pip-version-check -e '.[dev]'
    cp pyproject.toml .venv/callboard.dev
    cp pyproject.toml .venv/callboard.installed
fi
bin=$PWD/.venv/bin
"$bin/ruff" format --check --quiet src tests conformance
"$bin/ruff" check --quiet src tests conformance
"$bin/python" -m mypy
"$bin/python" -m pytest -q "$@"
for example in incrementor/python choke-point-cache reminders; do
    (cd "../../examples/$example" && "$bin/python" -m mypy && "$bin/python" -m pytest -q)
done
