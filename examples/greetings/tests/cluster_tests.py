"""Hosts that greet, at a real cluster to which nodes come. Needs `callboard` on the PATH; starts a PostgreSQL of its own."""

from __future__ import annotations

import asyncio
import json
import os
import re
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

from callboard import CallError, Client

HERE = Path(__file__).resolve().parent.parent
POSTGRES = HERE.parents[1] / "tests" / "scripts" / "postgres.sh"
#: Many times what anything here takes on a busy machine, in seconds.
PATIENCE = 120
POLL = 0.05


@contextmanager
def database() -> Iterator[str]:
    """A database that is gone in the end."""
    server = subprocess.Popen([POSTGRES, "run"], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
    assert server.stdin and server.stdout
    try:
        yield server.stdout.readline().strip()
    finally:
        server.stdin.close()
        server.wait(PATIENCE)


@contextmanager
def process(*command: str | Path, **environment: str) -> Iterator[subprocess.Popen[str]]:
    """A process that is killed in the end."""
    running = subprocess.Popen(
        command, cwd=HERE, stdout=subprocess.PIPE, text=True, env={**os.environ, **environment}
    )
    try:
        yield running
    finally:
        running.send_signal(signal.SIGKILL)
        running.wait(PATIENCE)


@contextmanager
def node(folder: Path, store: str, *join: str) -> Iterator[dict[str, Any]]:
    """A node that serves: what it says of itself."""
    free = "127.0.0.1:0"
    settings = [f"store.url={store}", "cluster.secret=what the nodes of a test know each other by"]
    listens = ["--listen", free, "--admin", free, "--peer-listen", free, "--data", str(folder)]
    sets = [part for setting in settings for part in ("--set", setting)]
    with process("callboard", "-q", "-o", "jsonl", "serve", *listens, *sets, *join) as running:
        assert running.stdout
        yield json.loads(running.stdout.readline())


def host(name: str, server: str) -> Any:
    """A host that greets."""
    return process(sys.executable, "main.py", name, CALLBOARD_SERVER=server)


def book(server: str) -> dict[str, list[str]]:
    """Who greeted each node, in the order of names; empty while there is no answer."""

    async def ask() -> Any:
        async with Client(server) as client:
            try:
                return await client.ref("Greetings").call("show", timeout=5)
            except CallError:
                return {}

    return {number: sorted(greeted["hosts"]) for number, greeted in asyncio.run(ask()).items()}


def until(happened: Callable[[], bool], what: Callable[[], object]) -> None:
    """Waits for something that comes about by itself."""
    end = time.monotonic() + PATIENCE
    while not happened():
        assert time.monotonic() < end, what()
        time.sleep(POLL)


def every_node_that_joins_is_greeted_by_every_host(tmp_path: Path) -> None:
    with ExitStack() as stack:
        store = stack.enter_context(database())
        first = stack.enter_context(node(tmp_path / "1", store, "--bootstrap-expect", "1"))
        server = first["address"]
        greeted = {str(first["nodeId"]): ["h1", "h2"]}
        for name in ("h1", "h2"):
            stack.enter_context(host(name, server))
        until(lambda: book(server) == greeted, lambda: book(server))
        second = stack.enter_context(node(tmp_path / "2", store, "--join", first["peerAddress"]))
        greeted[str(second["nodeId"])] = ["h1", "h2"]
        until(lambda: book(server) == greeted, lambda: book(server))
        # One that comes later greets those that are there, over the other node.
        stack.enter_context(host("h3", second["address"]))
        for hosts in greeted.values():
            hosts.append("h3")
        until(lambda: book(server) == greeted, lambda: book(server))


def the_commands_of_the_readme_print_what_it_says() -> None:
    readme = (HERE / "README.md").read_text()
    ((command, says),) = re.findall(r"^(callboard invoke .*?) +# (.*)$", readme, re.MULTILINE)
    dev = ["callboard", "-q", "-o", "jsonl", "dev", "--ephemeral", "--port", "0", "--admin-port", "0"]
    with process(*dev) as running:
        assert running.stdout
        server = json.loads(running.stdout.readline())["address"]

        def shown() -> object:
            environment = {**os.environ, "CALLBOARD_SERVER": server}
            done = subprocess.run(["sh", "-c", command], check=False, stdout=subprocess.PIPE, env=environment)
            shown: dict[str, dict[str, object]] = json.loads(done.stdout or "{}")
            # Its port is another one than the README's.
            return {number: {**greeted, "address": "127.0.0.1:7070"} for number, greeted in shown.items()}

        with host("h1", server):
            until(lambda: shown() == json.loads(says), shown)
