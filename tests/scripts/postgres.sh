#!/usr/bin/env bash
# A PostgreSQL server for tests: private, in a folder of its own, on a free port, with every durability setting on.
#
#   postgres.sh start          starts one in the background; prints its URL, then its folder
#   postgres.sh run            the same in the foreground: ends when its standard input does, and removes the folder
#   postgres.sh stop FOLDER    stops it and removes the folder
#   postgres.sh halt FOLDER    stops it and keeps the folder
#   postgres.sh crash FOLDER   kills it as a power cut would
#   postgres.sh again FOLDER   starts it again after halt or crash, on the same port
#   postgres.sh programs       prints the folder of its programs
#
# Installs the server from Debian's packages if there is none, which takes root or sudo. The server itself never runs as
# root: root hands it to the user postgres.
set -euo pipefail

USER_NAME=callboard
PASSWORD=callboard

die() { echo "postgres.sh: $*" >&2; exit 1; }

programs() {
    local candidate
    for candidate in $(ls -d /usr/lib/postgresql/*/bin 2>/dev/null | sort -rV) \
        "$(dirname "$(command -v initdb 2>/dev/null || echo /nowhere/initdb)")"; do
        [ -x "$candidate/initdb" ] && [ -x "$candidate/pg_ctl" ] && { echo "$candidate"; return; }
    done
    return 1
}

install_server() {
    local become=()
    if [ "$(id -u)" -ne 0 ]; then
        command -v sudo >/dev/null || die "there is no PostgreSQL, and installing it takes root or sudo"
        become=(sudo -n)
    fi
    command -v apt-get >/dev/null || die "there is no PostgreSQL; install it (Debian calls it postgresql)"
    local options=(-y -qq -o DPkg::Lock::Timeout=600)
    {
        "${become[@]}" apt-get "${options[@]}" update || true
        DEBIAN_FRONTEND=noninteractive "${become[@]}" apt-get "${options[@]}" install \
            --no-install-recommends postgresql
    } >&2 || die "installing postgresql failed"
}

# Runs a program as the user that owns the server.
as_owner() {
    if [ "$(id -u)" -eq 0 ]; then
        setpriv --reuid=postgres --regid=postgres --clear-groups -- "$@"
    else
        "$@"
    fi
}

free_port() {
    local port
    while :; do
        port=$((20000 + (RANDOM * 32768 + RANDOM) % 12000))
        (exec 3<>"/dev/tcp/127.0.0.1/$port") 2>/dev/null || { echo "$port"; return; }
    done
}

launch() {
    local folder=$1
    # A server that was killed leaves its shared memory for a moment.
    for _ in $(seq 50); do
        if as_owner "$BIN/pg_ctl" -D "$folder/data" -l "$folder/log" -w -t 60 \
            -o "-p $(cat "$folder/port")" start >/dev/null 2>&1; then
            return
        fi
        sleep 0.2
    done
    return 1
}

create() {
    local folder=$1
    if [ "$(id -u)" -eq 0 ]; then chown postgres "$folder"; fi
    chmod 755 "$folder"
    echo "$PASSWORD" >"$folder/password"
    chmod 644 "$folder/password"
    as_owner "$BIN/initdb" -D "$folder/data" -U "$USER_NAME" --pwfile="$folder/password" \
        --auth=scram-sha-256 --encoding=UTF8 --locale=C.UTF-8 >/dev/null
    as_owner tee -a "$folder/data/postgresql.conf" >/dev/null <<CONF
listen_addresses = '127.0.0.1'
unix_socket_directories = '$folder'
max_connections = 200
fsync = on
full_page_writes = on
synchronous_commit = on
CONF
    for _ in $(seq 5); do
        free_port >"$folder/port"
        if launch "$folder"; then
            "$BIN/psql" -q "$(url "$folder" postgres)" -c "CREATE DATABASE $USER_NAME"
            return
        fi
    done
    cat "$folder/log" >&2
    die "the server did not start"
}

url() { echo "postgres://$USER_NAME:$PASSWORD@127.0.0.1:$(cat "$1/port")/$2"; }

halt() { as_owner "$BIN/pg_ctl" -D "$1/data" -m immediate -w stop >/dev/null 2>&1 || true; }

crash() {
    local postmaster
    postmaster=$(head -1 "$1/data/postmaster.pid")
    # The postmaster first, so that it restarts nobody.
    local children
    children=$(ps -o pid= --ppid "$postmaster" || true)
    # shellcheck disable=SC2086
    kill -9 "$postmaster" $children 2>/dev/null || true
    while kill -0 "$postmaster" 2>/dev/null; do sleep 0.02; done
}

fresh() {
    local folder
    folder=$(mktemp -d -t callboard-postgres-XXXXXX)
    create "$folder"
    echo "$folder"
}

BIN=$(programs) || { install_server; BIN=$(programs) || die "PostgreSQL was installed and is not found"; }

case "${1:-}" in
start)
    folder=$(fresh)
    url "$folder" "$USER_NAME"
    echo "$folder"
    ;;
run)
    folder=$(fresh)
    trap 'halt "$folder"; rm -rf "$folder"' EXIT
    url "$folder" "$USER_NAME"
    echo "$folder"
    cat >/dev/null
    ;;
stop)
    [ -d "${2:-}/data" ] || die "stop takes the folder that start printed"
    halt "$2"
    rm -rf "$2"
    ;;
halt) halt "$2" ;;
crash) crash "$2" ;;
again) launch "$2" || { tail -20 "$2/log" >&2; die "the server did not start again"; } ;;
programs) echo "$BIN" ;;
*) sed -n '2,/^set/p' "$0" | grep '^#' | cut -c3-; exit 2 ;;
esac
