# The functions that a story is written in. Runs in the clone's folder; the stage is the folder above it.
set -euo pipefail

STAGE=$(cd .. && pwd)
# How long anything in the background may take until it serves: a cold JVM on a busy machine.
START_SECONDS_MAX=180
declare -A pids

# Whatever ends the story ends what it started: each background command leads a process group of its own.
finish() {
  local code=$?
  for pid in "${pids[@]}"; do kill -9 -- "-$pid" 2>/dev/null || true; done
  if [ $code -ne 0 ]; then tail -n 40 "$STAGE"/background-*.log || true; fi
  exit $code
}
trap finish EXIT

file() {
  mkdir -p "$(dirname "$1")"
  cat >"$1"
}

run() {
  cat >"$STAGE/commands"
  sed 's/^/+ /' "$STAGE/commands"
  # shellcheck disable=SC1091
  source "$STAGE/commands" >"$STAGE/printed" </dev/null
  cat "$STAGE/printed"
}

printed() {
  cat >"$STAGE/promised"
  diff -u --label "the README" "$STAGE/promised" --label "in fact" "$STAGE/printed"
}

background() {
  cat >"$STAGE/background-$1"
  start "$1"
}

start() {
  echo "+ $(cat "$STAGE/background-$1")   # in terminal $1"
  set -m
  bash "$STAGE/background-$1" >>"$STAGE/background-$1.log" 2>&1 </dev/null &
  pids[$1]=$!
  set +m
  wait_until_ready "$1"
}

# The first command in the background is the node, every other one a host.
wait_until_ready() {
  local deadline=$((SECONDS + START_SECONDS_MAX))
  until is_ready "$1"; do
    kill -0 "${pids[$1]}" 2>/dev/null || { echo "terminal $1 ended" >&2; exit 1; }
    [ $SECONDS -lt $deadline ] || { echo "terminal $1 is not ready in time" >&2; exit 1; }
    sleep 0.1
  done
}

is_ready() {
  if [ "$1" -eq 1 ]; then
    callboard health --service readiness >/dev/null 2>&1
  else
    # A host that is connected has no types before the node took them.
    [ "$(callboard hosts list -o jsonl 2>/dev/null | grep -c '"types":\["')" -ge $(($1 - 1)) ]
  fi
}

kill_and_start_again() {
  local number
  echo "+ kill -9 everything"
  for number in "${!pids[@]}"; do kill -9 -- "-${pids[$number]}"; done
  wait || true
  for number in $(printf '%s\n' "${!pids[@]}" | sort -n); do start "$number"; done
}
