"""The README's programs, run as a reader would."""

from __future__ import annotations

import asyncio
import importlib
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from callboard import ActorError, Code
from callboard.protocol.callboard.gateway.v1.gateway_pb2 import InvokeRequest, InvokeResponse
from callboard.testing import TestKit
from fake_node import FakeNode

README = Path(__file__).parents[1] / "README.md"
MARKED = re.compile(r"<!-- test: (\S+) -->\n```python\n(.*?)```", re.DOTALL)


@pytest.fixture
def programs(tmp_path: Path) -> Path:
    """A folder with the README's programs."""
    found = MARKED.findall(README.read_text())
    assert {name for name, _ in found} == {
        "greeter.py",
        "caller.py",
        "test_greeter.py",
        "orders.py",
        "trips.py",
    }
    for name, text in found:
        (tmp_path / name).write_text(text)
    return tmp_path


def the_test_of_the_readme_passes(programs: Path) -> None:
    command = [sys.executable, "-m", "pytest", "-q", "test_greeter.py"]
    done = subprocess.run(command, cwd=programs, capture_output=True, text=True, check=False)
    assert done.returncode == 0 and "1 passed" in done.stdout, done.stdout


def all_programs_of_the_readme_pass_mypy(programs: Path) -> None:
    names = ["greeter.py", "caller.py", "orders.py", "trips.py"]
    command = [sys.executable, "-m", "mypy", "--strict", *names]
    done = subprocess.run(command, cwd=programs, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout


async def the_actors_of_the_readme_do_what_it_says(
    programs: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.syspath_prepend(str(programs))
    orders = TestKit(importlib.import_module("orders").Orders, "o1")
    orders.stub("Warehouse", {"ship": lambda effect: f"shipped {effect.argument[1]}"})
    assert await orders.call("pay", 5) == 5
    assert [one.action for one in orders.effects] == ["note", "remind"]
    assert await orders.call("ship", "here") == "shipped here"
    await orders.publish("prices", {"pen": 2})
    assert orders.state.prices == 1
    trips = TestKit(importlib.import_module("trips").Trips, "t1")
    trips.stub("Hotel", {"book": None, "cancel": None})
    trips.stub("Flight", {"book": ActorError(Code.FAILED_PRECONDITION, "FULL")})
    await trips.call("book", {"hotel": "h", "flight": "f"})
    await trips.deliver()
    assert trips.state.saga.status == "compensated"
    assert [one.action for one in trips.calls] == ["book", "book", "cancel"]


async def the_host_and_the_caller_of_the_readme_work_together(programs: Path) -> None:
    async with FakeNode() as node:
        environment = {**os.environ, "CALLBOARD_SERVER": node.address}
        host = await asyncio.create_subprocess_exec(
            sys.executable, "greeter.py", cwd=programs, env=environment
        )
        try:
            session = await node.sessions.get()
            await session.welcome()

            async def forward(request: InvokeRequest) -> InvokeResponse:
                session.run(request.actor.type, "en", (request.action, request.payload.data))
                return InvokeResponse(payload=(await session.result()).reply)

            node.answer = forward
            caller = await asyncio.create_subprocess_exec(
                sys.executable, "caller.py", cwd=programs, env=environment, stdout=-1
            )
            printed, _ = await caller.communicate()
            assert printed == b"Hello Ada, you are number 1\n"
        finally:
            host.kill()
            await host.wait()
