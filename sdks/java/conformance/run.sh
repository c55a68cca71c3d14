#!/bin/sh
# Builds the conformance program if its sources differ from those it was built from, then becomes it, so that signals
# reach it. Content decides, not time: a checkout makes every file new.
set -eu
here=$(cd "$(dirname "$0")" && pwd)
java_root=$(dirname "$here")
jar="$here/target/conformance.jar"
stamp="$here/target/built-from"
sources() {
  cd "$java_root"
  find conformance/src conformance/pom.xml pom.xml sdk/pom.xml sdk/src/main sdk/gen ../../proto/callboard -type f |
    LC_ALL=C sort | xargs cksum
}
now=$(sources)
if [ ! -f "$jar" ] || [ ! -f "$stamp" ] || [ "$now" != "$(cat "$stamp")" ]; then
  mvn -B -q -f "$java_root/pom.xml" -pl :callboard-conformance -am -Dmaven.test.skip=true package >&2
  printf '%s\n' "$now" >"$stamp"
fi
exec java -XX:+UseSerialGC -XX:TieredStopAtLevel=1 -Xshare:auto -jar "$jar" "$@"
