#!/usr/bin/env bash
# Runs Docker Compose, as plugin or as program, on compose.yaml. Draws the secret that the nodes know each other by once.
#
#   docker/compose.sh up --build --detach
#
# CALLBOARD_COMPOSE may name a further file, whose settings are laid over those of compose.yaml.
set -euo pipefail

cd "$(dirname "$0")"
if [ -z "${CALLBOARD_SECRET:-}" ]; then
  if [ ! -f .env ]; then
    (umask 077 && echo "CALLBOARD_SECRET=$(head -c 32 /dev/urandom | base64)" >.env)
  fi
  set -a
  # shellcheck source=/dev/null
  . ./.env
  set +a
fi
export DOCKER_BUILDKIT=1 COMPOSE_DOCKER_CLI_BUILD=1
if docker compose version >/dev/null 2>&1; then
  exec docker compose --project-name callboard --file compose.yaml ${CALLBOARD_COMPOSE:+--file "$CALLBOARD_COMPOSE"} "$@"
elif command -v docker-compose >/dev/null; then
  exec docker-compose --project-name callboard --file compose.yaml ${CALLBOARD_COMPOSE:+--file "$CALLBOARD_COMPOSE"} "$@"
fi
echo "Docker Compose is not installed: install the docker compose plugin, or docker-compose" >&2
exit 1
