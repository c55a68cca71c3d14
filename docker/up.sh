#!/usr/bin/env bash
# Starts the cluster of compose.yaml and waits until every node serves.
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
