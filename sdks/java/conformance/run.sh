#!/bin/sh
# Builds the conformance program if a source is newer than it, then becomes it, so that signals reach it.
set -eu
here=$(cd "$(dirname "$0")" && pwd)
java_root=$(dirname "$here")
jar="$here/target/conformance.jar"
stale() {
  [ ! -f "$jar" ] && return 0
  [ -n "$(find "$here/src" "$here/pom.xml" "$java_root/pom.xml" "$java_root/sdk/src/main" "$java_root/sdk/gen" \
    "$java_root/sdk/pom.xml" "$java_root/../../proto/callboard" -type f -newer "$jar" -print -quit)" ]
}
if stale; then
  mvn -B -q -f "$java_root/pom.xml" -pl :callboard-conformance -am -Dmaven.test.skip=true package >&2
  touch "$jar"
fi
exec java -XX:+UseSerialGC -XX:TieredStopAtLevel=1 -jar "$jar" "$@"
