"""The host: offers actor types to a node, runs their turns, reconnects for ever, and leaves in
order.
"""

from __future__ import annotations

import asyncio
import functools
import logging
import signal
import threading
import time
from collections.abc import Coroutine, Mapping
from types import TracebackType
from typing import Any, TypeVar
from uuid import uuid4

import grpc

from .actor import Actor, bind
from .backoff import Backoff
from .channel import server_address
from .errors import HostError
from .session import Offer, Session, SessionEnded
from .turns import Executor

LOG = logging.getLogger("callboard.host")
T = TypeVar("T")


class Host:
    """Runs actors for as long as it is entered: `async with Host(Counter) as host: ...`.

    `credits` is how many turns run or wait here at a time; `threads` how many plain (not async)
    actions run at a time.
    """

    def __init__(
        self,
        *actors: type[Actor[Any, Any]],
        server: str | None = None,
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
            server=server_address(server),
            system=system,
            definitions=tuple(one.definition for one in bound),
            instance_id=str(uuid4()),
            credits=credits,
            labels=dict(labels or {}),
            credentials=credentials,
        )
        self._threads = threads
        self._drain_timeout = drain_timeout
        self._executor: Executor | None = None
        self._sessions: dict[Session, asyncio.Task[None]] = {}
        self._main: asyncio.Task[None] | None = None
        self._stopping: asyncio.Event = asyncio.Event()
        self._ready: asyncio.Event = asyncio.Event()

    @property
    def server(self) -> str:
        """The node that the host connects to."""
        return self._offer.server

    async def __aenter__(self) -> Host:
        self._executor = Executor(self._actors, time.time, self._threads)
        self._main = asyncio.create_task(self._keep_connected(self._executor))
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
        await self._or_failure(self._ready.wait())

    async def closed(self) -> None:
        """Returns when `drain` was called. Raises `HostError` if the node refused the host."""
        await self._or_failure(self._stopping.wait())

    async def drain(self, *, permanent: bool = False) -> None:
        """Stops taking turns, finishes those it has within the drain timeout, and disconnects.

        `permanent` tells the node that no successor is expected.
        """
        self._stopping.set()
        main, executor = self._main, self._executor
        if main is None or executor is None:
            return
        leaving = [self._leave(one, run, permanent) for one, run in self._sessions.items()]
        try:
            await asyncio.wait_for(asyncio.gather(*leaving), self._drain_timeout)
        except asyncio.TimeoutError:
            LOG.warning(
                "drain timeout of %.0f s is over; unfinished turns run elsewhere",
                self._drain_timeout,
            )
        finally:
            pending = {main, *self._sessions.values()}
            for task in pending:
                task.cancel()
            await asyncio.gather(*pending, return_exceptions=True)
            executor.close()

    async def _leave(self, session: Session, run: asyncio.Task[None], permanent: bool) -> None:
        if not session.welcomed:
            return
        drained = asyncio.create_task(session.drain(permanent))
        try:
            # A session that breaks meanwhile has nothing left to finish.
            await asyncio.wait({drained, run}, return_when=asyncio.FIRST_COMPLETED)
            if drained.done():
                session.finish()
                await asyncio.wait({run})
        finally:
            drained.cancel()

    async def _or_failure(self, event: Coroutine[Any, Any, Any]) -> None:
        if self._main is None:
            event.close()
            raise RuntimeError("the host is not entered")
        waiting = asyncio.ensure_future(event)
        await asyncio.wait({waiting, self._main}, return_when=asyncio.FIRST_COMPLETED)
        if not waiting.done():
            waiting.cancel()
            self._main.result()

    async def _keep_connected(self, executor: Executor) -> None:
        backoff = Backoff()
        said = ""
        while not self._stopping.is_set():
            session = Session(self._offer, executor)
            run = asyncio.create_task(session.run())
            self._sessions[session] = run
            run.add_done_callback(functools.partial(self._ended, session))
            try:
                await self._watch(session, run)
                backoff.reset()
            except SessionEnded as ended:
                if session.registered.is_set():
                    backoff.reset()
                    said = ""
                # Once is enough for a node that stays away.
                level = logging.DEBUG if str(ended) == said else logging.WARNING
                said = str(ended)
                LOG.log(level, "session with %s ended: %s; connecting again", self.server, ended)
            except HostError:
                raise
            except Exception:
                LOG.exception("session with %s failed; connecting again", self.server)
            await asyncio.sleep(backoff.next())

    async def _watch(self, session: Session, run: asyncio.Task[None]) -> None:
        """Returns when the node leaves, and raises what ended the session otherwise.

        A node that leaves ends the session itself, once it has no more turns to hand out.
        """
        registered = asyncio.create_task(session.registered.wait())
        leaving = asyncio.create_task(session.leaving.wait())
        try:
            await asyncio.wait({registered, run}, return_when=asyncio.FIRST_COMPLETED)
            if registered.done():
                LOG.info("actor types %s are offered at %s", ", ".join(self._actors), self.server)
                self._ready.set()
            await asyncio.wait({leaving, run}, return_when=asyncio.FIRST_COMPLETED)
            if run.done():
                run.result()
            else:
                LOG.info("%s is leaving; its turns are finished meanwhile", self.server)
        finally:
            registered.cancel()
            leaving.cancel()
            if not run.done() and not session.leaving.is_set():
                run.cancel()

    def _ended(self, session: Session, run: asyncio.Task[None]) -> None:
        del self._sessions[session]
        if not run.cancelled():
            run.exception()  # reported already, or of a session that the node had announced to end


async def serve(
    *actors: type[Actor[Any, Any]],
    server: str | None = None,
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
