#!/usr/bin/env bash
# Builds or runs the incrementor's host of one language. The node is CALLBOARD_SERVER.
#
#   tests/scripts/incrementor.sh build|run typescript|python|java
set -euo pipefail

root=$(cd "$(dirname "$0")/../.." && pwd)
cd "$root"
example=$root/examples/incrementor

build_typescript() {
  cd "$example/typescript"
  # Installs only what is not there: npm ci would throw everything away first.
  [ node_modules/.package-lock.json -nt package-lock.json ] || npm ci --silent --no-audit --no-fund
  npm run --silent prepare
  npm run --silent build
}
run_typescript() {
  cd "$example/typescript"
  exec node build/src/main.js
}

build_python() { tests/scripts/tools.sh venv python sdks/python >/dev/null; }
run_python() {
  local venv
  venv=$(tests/scripts/tools.sh venv python sdks/python)
  cd "$example/python"
  exec "$venv/bin/python" main.py
}

build_java() { mvn -B -q -Dstyle.color=never -f sdks/java/pom.xml -pl io.callboard.examples:incrementor -am -DskipTests package; }
run_java() { exec java -XX:+UseSerialGC -XX:TieredStopAtLevel=1 -jar "$example/java/target/incrementor.jar"; }

case "${1:-} ${2:-}" in
  "build typescript" | "build python" | "build java" | "run typescript" | "run python" | "run java") "$1_$2" ;;
  *)
    echo "usage: $0 build|run typescript|python|java" >&2
    exit 2
    ;;
esac
