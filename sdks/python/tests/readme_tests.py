"""The README's programs, run as a reader would."""

from __future__ import annotations

import asyncio
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from callboard.protocol.callboard.gateway.v1.gateway_pb2 import InvokeRequest, InvokeResponse
from fake_node import FakeNode

README = Path(__file__).parents[1] / "README.md"
MARKED = re.compile(r"<!-- test: (\S+) -->\n```python\n(.*?)```", re.DOTALL)


@pytest.fixture
def programs(tmp_path: Path) -> Path:
    """A folder with the README's programs."""
    found = MARKED.findall(README.read_text())
    assert {name for name, _ in found} == {"greeter.py", "caller.py", "test_greeter.py"}
    for name, text in found:
        (tmp_path / name).write_text(text)
    return tmp_path


def the_test_of_the_readme_passes(programs: Path) -> None:
    command = [sys.executable, "-m", "pytest", "-q", "test_greeter.py"]
    done = subprocess.run(command, cwd=programs, capture_output=True, text=True, check=False)
    assert done.returncode == 0 and "1 passed" in done.stdout, done.stdout


def all_programs_of_the_readme_pass_mypy(programs: Path) -> None:
    command = [sys.executable, "-m", "mypy", "--strict", "greeter.py", "caller.py"]
    done = subprocess.run(command, cwd=programs, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout


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
