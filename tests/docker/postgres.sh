#!/bin/sh
# Stands in for the entry point of the official image: makes the database at the first start, then serves it.
set -eu
bin=$(echo /usr/lib/postgresql/*/bin)
data=/var/lib/postgresql/data
if [ ! -s "$data/PG_VERSION" ]; then
  password=$(mktemp) && printf %s "$POSTGRES_PASSWORD" >"$password"
  "$bin/initdb" --encoding UTF8 --locale C.UTF-8 --pgdata "$data" \
    --username "$POSTGRES_USER" --pwfile "$password" --auth-host scram-sha-256 >/dev/null
  echo 'host all all all scram-sha-256' >>"$data/pg_hba.conf"
  "$bin/pg_ctl" --pgdata "$data" --options '-c listen_addresses=' --wait start >/dev/null
  "$bin/createdb" --username "$POSTGRES_USER" "$POSTGRES_DB"
  "$bin/pg_ctl" --pgdata "$data" --wait stop >/dev/null
fi
exec "$bin/postgres" -D "$data" -c 'listen_addresses=*'
