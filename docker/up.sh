#!/usr/bin/env bash
# Starts the cluster of compose.yaml and waits until every node serves and every host is there.
set -euo pipefail

cd "$(dirname "$0")"
./compose.sh up --build --detach
for node in node1 node2 node3; do
  deadline=$((SECONDS + 120))
  until [ "$(docker inspect --format '{{.State.Health.Status}}' "$(./compose.sh ps -q $node)")" = healthy ]; do
    if [ $SECONDS -ge $deadline ]; then
      echo "$node does not serve; see: docker/compose.sh logs $node" >&2
      exit 1
    fi
    sleep 0.5
  done
done
deadline=$((SECONDS + 60))
until [ "$(./compose.sh exec -T node1 callboard hosts list -q -o jsonl | grep -c Incrementor)" -ge 3 ]; do
  if [ $SECONDS -ge $deadline ]; then
    echo "a host is missing; see: docker/compose.sh logs typescript python java" >&2
    exit 1
  fi
  sleep 0.5
done
