"""The host: offers actor types to the nodes, runs their turns, reconnects for ever, and leaves in
order.
"""

from __future__ import annotations

import asyncio
import logging
import signal
import threading
import time
from collections.abc import Callable, Coroutine, Iterable, Mapping
from types import TracebackType
from typing import Any, Literal, TypeVar
from uuid import uuid4

import grpc

from .actor import Actor, bind
from .channel import server_addresses
from .errors import HostError
from .fleet import Fleet
from .session import Offer
from .turns import Executor

LOG = logging.getLogger("callboard.host")
T = TypeVar("T")


class Host:
    """Runs actors for as long as it is entered: `async with Host(Counter) as host: ...`.

    In the mode "cluster" it serves every node, found through those in `server`; in the mode
    "sidecar" only the one that `server` names. `credits` is how many turns run or wait here at a
    time, shared out evenly among the nodes; `threads` how many plain (not async) actions run at a
    time.
    """

    def __init__(
        self,
        *actors: type[Actor[Any, Any]],
        server: str | Iterable[str] | None = None,
        mode: Literal["cluster", "sidecar"] = "cluster",
        system: str = "default",
        credits: int = 256,
        threads: int | None = None,
        drain_timeout: float = 25.0,
        labels: Mapping[str, str] | None = None,
        credentials: grpc.ChannelCredentials | None = None,
    ) -> None:
        if not actors:
            raise TypeError("a host needs at least one actor class")
        if credits < 1:
            raise ValueError("credits must be at least 1")
        bound = [bind(actor) for actor in actors]
        self._actors = {one.definition.name: one for one in bound}
        if len(self._actors) != len(bound):
            raise TypeError("two actor classes have the same actor type name")
        self._offer = Offer(
            system=system,
            definitions=tuple(one.definition for one in bound),
            instance_id=str(uuid4()),
            credits=credits,
            drain_timeout=drain_timeout,
            labels=dict(labels or {}),
            credentials=credentials,
        )
        self._threads = threads
        self._servers = server_addresses(server)
        self._discovers = mode == "cluster"
        if mode not in ("cluster", "sidecar"):
            raise ValueError(f'mode must be "cluster" or "sidecar", not {mode!r}')
        if not self._discovers and len(self._servers) > 1:
            raise ValueError(f"a sidecar host serves one node, not {', '.join(self._servers)}")
        self._executor: Executor | None = None
        self._fleet: Fleet | None = None
        self._stopping: asyncio.Event = asyncio.Event()

    @property
    def server(self) -> str:
        """The nodes that the host was given, separated by commas."""
        return ",".join(self._servers)

    async def __aenter__(self) -> Host:
        self._executor = Executor(self._actors, time.time, self._threads)
        self._fleet = Fleet(self._offer, self._executor, self._servers, self._discovers)
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        await self.drain()

    async def ready(self) -> None:
        """Returns when a node has taken the actor types. Raises `HostError` if it refused them."""
        await self._or_failure(lambda fleet: fleet.ready)

    async def closed(self) -> None:
        """Returns when `drain` was called. Raises `HostError` if the node refused the host."""
        await self._or_failure(lambda fleet: self._stopping)

    async def drain(self, *, permanent: bool = False) -> None:
        """Stops taking turns, finishes those it has within the drain timeout, and disconnects.

        `permanent` tells the node that no successor is expected.
        """
        self._stopping.set()
        if self._fleet is None or self._executor is None:
            return
        try:
            await self._fleet.leave(permanent)
        finally:
            self._executor.close()

    async def _or_failure(self, pick: Callable[[Fleet], asyncio.Event]) -> None:
        fleet = self._fleet
        if fleet is None:
            raise RuntimeError("the host is not entered")
        waiting = asyncio.ensure_future(pick(fleet).wait())
        either: set[asyncio.Future[Any]] = {waiting, fleet.failure}
        await asyncio.wait(either, return_when=asyncio.FIRST_COMPLETED)
        if not waiting.done():
            waiting.cancel()
            fleet.failure.result()


async def serve(
    *actors: type[Actor[Any, Any]],
    server: str | Iterable[str] | None = None,
    mode: Literal["cluster", "sidecar"] = "cluster",
    system: str = "default",
    credits: int = 256,
    threads: int | None = None,
    drain_timeout: float = 25.0,
    labels: Mapping[str, str] | None = None,
    credentials: grpc.ChannelCredentials | None = None,
    handle_signals: bool | None = None,
) -> None:
    """Runs actors until SIGTERM or SIGINT, then drains and returns. A second signal ends the
    process at once.

    Signals are handled only on the main thread, and not at all with `handle_signals=False`; cancel
    the task then, which drains as well. Raises `HostError` if the node refuses the actor types.
    """
    host = Host(
        *actors,
        server=server,
        mode=mode,
        system=system,
        credits=credits,
        threads=threads,
        drain_timeout=drain_timeout,
        labels=labels,
        credentials=credentials,
    )
    if handle_signals is None:
        handle_signals = threading.current_thread() is threading.main_thread()
    stop = asyncio.Event()
    loop = asyncio.get_running_loop()

    def on_signal() -> None:
        for number in (signal.SIGTERM, signal.SIGINT):
            loop.remove_signal_handler(number)
            signal.signal(number, signal.SIG_DFL)
        stop.set()

    if handle_signals:
        for number in (signal.SIGTERM, signal.SIGINT):
            loop.add_signal_handler(number, on_signal)
    async with host:
        stopped = asyncio.create_task(stop.wait())
        closed = asyncio.create_task(host.closed())
        try:
            await asyncio.wait({stopped, closed}, return_when=asyncio.FIRST_COMPLETED)
            if closed.done():
                closed.result()
        finally:
            stopped.cancel()
            closed.cancel()
    LOG.info("drained")


def run(main: Coroutine[Any, Any, T]) -> T:
    """Like `asyncio.run`, on uvloop where it is installed (`pip install callboard[uvloop]`)."""
    try:
        import uvloop
    except ImportError:
        return asyncio.run(main)
    result: T = uvloop.run(main)
    return result


__all__ = ["Host", "HostError", "run", "serve"]
