"""Runs async tests, each on an event loop of its own and with a time limit."""

from __future__ import annotations

import asyncio
import inspect
from typing import Any

import pytest

SECONDS_MAX = 60


@pytest.hookimpl(tryfirst=True)
def pytest_pyfunc_call(pyfuncitem: pytest.Function) -> Any:
    """Takes over coroutine functions; pytest runs the others."""
    function = pyfuncitem.obj
    if not inspect.iscoroutinefunction(function):
        return None
    names = pyfuncitem._fixtureinfo.argnames
    arguments = {name: pyfuncitem.funcargs[name] for name in names}
    asyncio.run(asyncio.wait_for(function(**arguments), SECONDS_MAX))
    return True
