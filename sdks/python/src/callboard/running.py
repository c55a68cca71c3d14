"""One turn while it runs, and the turns that came over one link."""

from __future__ import annotations

import asyncio
import math
import threading
from collections import deque
from collections.abc import Awaitable, Mapping
from concurrent.futures import CancelledError as ThreadCancelled
from concurrent.futures import Future
from datetime import timedelta
from typing import TYPE_CHECKING, Any, Protocol, TypeVar

from .codec import fill_payload
from .definition import ActionDef
from .errors import CallError, Code
from .ids import ActorId
from .protocol.callboard.host.v1.host_pb2 import HostFrame, TurnCall, TurnCallResult, Workflow
from .protocol.callboard.type.v1.type_pb2 import Payload
from .ref import CallOptions
from .workflow import Next, Outputs, fill_target, too_large

if TYPE_CHECKING:
    from .turns import Executor

T = TypeVar("T")


class Link(Protocol):
    """Where the frames of turns go: a session to a node, or the test kit."""

    #: Largest reply, state and whole result in bytes that the other side takes; 0 for no limit.
    payload_bytes_max: int
    state_bytes_max: int
    message_bytes_max: int

    def frame(self, size: int) -> HostFrame | None:
        """A new frame in the outgoing batch with about `size` bytes to come; None if the link is
        broken.
        """


class Running:
    """A turn that is being run, and what its context needs."""

    __slots__ = (
        "_calls",
        "_executor",
        "_metadata",
        "_next_call",
        "_step",
        "_step_calls",
        "_thread_wait",
        "answered",
        "cancelling",
        "deadline",
        "ended",
        "in_thread",
        "link",
        "outputs",
        "tags",
        "task",
        "timed_out",
        "turn_id",
    )

    def __init__(
        self,
        executor: Executor,
        link: LinkTurns,
        turn_id: int,
        deadline: float,
        tags: dict[str, str],
        metadata: Mapping[str, str],
        task: asyncio.Task[None] | None,
    ) -> None:
        self._executor = executor
        self.link = link
        self.turn_id = turn_id
        #: By the loop's clock, in seconds.
        self.deadline = deadline
        self.tags = tags
        self._metadata = metadata
        self.task = task
        self.cancelling = False
        self.timed_out = False
        #: True once a result was sent.
        self.answered = False
        self.in_thread = False
        #: True once the action returned or raised.
        self.ended = False
        #: What the turn sets going if it commits; made when it is first needed.
        self.outputs: Outputs | None = None
        self._next_call = 0
        self._step = ""
        self._step_calls = 0
        self._calls: dict[int, asyncio.Future[Payload]] | None = None
        self._thread_wait: Future[Any] | None = None

    def now(self) -> float:
        """Unix time in seconds by the executor's clock."""
        return self._executor.clock()

    @property
    def step(self) -> str:
        """The step of a saga that runs, from which its calls get their ids; empty for none."""
        return self._step

    @step.setter
    def step(self, name: str) -> None:
        self._step = name
        self._step_calls = 0

    def going(self) -> Outputs:
        """What the turn sets going if it commits, to be added to."""
        if self.ended:
            raise RuntimeError("the turn has ended; its context sets nothing going any more")
        if self.outputs is None:
            self.outputs = Outputs(self.link.link.payload_bytes_max, self._metadata)
        return self.outputs

    def workflow(self, following: Next[Any] | None) -> Workflow | None:
        """What the turn sets going if it commits; None if nothing."""
        if self.outputs is None and following is None:
            return None
        return self.going().filled(following)

    def remaining(self) -> float:
        """Seconds until the turn is ended."""
        return max(0.0, self.deadline - self._executor.loop.time())

    def cancel(self) -> None:
        """Ends the turn as soon as it lets go: async actions get CancelledError, threads see
        `ctx.cancelled`.
        """
        if self.cancelling:
            return
        self.cancelling = True
        if not self.in_thread and self.task is not None:
            self.task.cancel()
        elif self._thread_wait is not None:
            self._thread_wait.cancel()

    async def call(
        self, target: ActorId, action: ActionDef[Any, Any], argument: object, options: CallOptions
    ) -> Payload:
        """Makes one call to another actor through the link and waits for its answer."""
        if self.ended:
            raise RuntimeError("the turn has ended; its context makes no more calls")
        call = TurnCall(turn_id=self.turn_id, call_index=self._next_call, action=action.name)
        fill_target(call.target, target)
        if argument is not None:
            fill_payload(call.payload, action.argument, argument)
        limit = self.link.link.payload_bytes_max
        if limit and len(call.payload.data) > limit:
            raise too_large("PAYLOAD_TOO_LARGE", "argument", len(call.payload.data), limit)
        call.timeout_ms = timeout_millis(options.get("timeout"))
        call.metadata.update(options.get("metadata") or {})
        frame = self.link.link.frame(len(call.payload.data))
        if frame is None:
            raise link_broken()
        if self._step:
            call.request_id = f"{self._step}/{self._step_calls}"
            self._step_calls += 1
        frame.call.CopyFrom(call)
        index = self._next_call
        self._next_call += 1
        if self._calls is None:
            self._calls = {}
        answer: asyncio.Future[Payload] = self._executor.loop.create_future()
        self._calls[index] = answer
        try:
            return await answer
        finally:
            del self._calls[index]

    def answer(self, result: TurnCallResult) -> None:
        """Ends one of the turn's calls."""
        future = self._calls.get(result.call_index) if self._calls else None
        if future is None or future.done():
            return
        if result.HasField("error"):
            future.set_exception(CallError.from_proto(result.error))
        else:
            future.set_result(result.reply)

    def wait(self, awaitable: Awaitable[T]) -> T:
        """Blocks the turn's thread until the awaitable is done on the host's loop."""
        if threading.get_ident() == self._executor.thread:
            raise RuntimeError(
                "ctx.wait is for actions that are plain functions; in an async action use await"
            )
        if self.cancelling:
            raise ThreadCancelled
        waiting = asyncio.run_coroutine_threadsafe(_awaited(awaitable), self._executor.loop)
        self._thread_wait = waiting
        try:
            return waiting.result()
        finally:
            self._thread_wait = None


async def _awaited(awaitable: Awaitable[T]) -> T:
    return await awaitable


def link_broken() -> CallError:
    """What a turn gets whose session is gone; nobody takes its result, the node runs it again
    elsewhere.
    """
    return CallError(
        Code.UNAVAILABLE,
        "NOT_OWNER",
        "the session to the node broke; the turn is run again elsewhere",
    )


def timeout_millis(timeout: float | timedelta | None) -> int:
    """A timeout as it travels; 0 if there is none."""
    if timeout is None:
        return 0
    seconds = timeout.total_seconds() if isinstance(timeout, timedelta) else timeout
    if seconds <= 0 or math.isnan(seconds):
        raise ValueError(f"a timeout must be positive, not {timeout}")
    return min(max(1, round(seconds * 1000)), 0xFFFFFFFF)


#: How many ids of answered turns a link remembers, to ignore frames that come twice.
ANSWERED_MAX = 4096


class LinkTurns:
    """The turns that came over one link: queued, running, and lately answered."""

    def __init__(self, link: Link) -> None:
        self.link = link
        self.running: dict[int, Running] = {}
        self._waiting: set[int] = set()
        self._cancelled: set[int] = set()
        self._answered: set[int] = set()
        self._answered_order: deque[int] = deque()
        self._idle: asyncio.Future[None] | None = None
        #: True once nobody takes results any more.
        self.broken = False

    def admit(self, turn_id: int) -> bool:
        """False for a turn that came before; it is queued, running, or answered."""
        if turn_id in self._waiting or turn_id in self._answered:
            return False
        self._waiting.add(turn_id)
        return True

    def refused(self, turn_id: int) -> bool:
        """True for a turn that must not start: it was cancelled while it waited, or nobody takes
        its result.
        """
        return self.broken or turn_id in self._cancelled

    def ended(self, turn_id: int) -> None:
        """The turn has its answer, or needs none."""
        self.running.pop(turn_id, None)
        self._cancelled.discard(turn_id)
        self._waiting.discard(turn_id)
        self._answered.add(turn_id)
        self._answered_order.append(turn_id)
        if len(self._answered_order) > ANSWERED_MAX:
            self._answered.discard(self._answered_order.popleft())
        if self._idle is not None and not self._waiting and not self._idle.done():
            self._idle.set_result(None)

    def cancel(self, turn_id: int) -> None:
        """Ends a running turn, or keeps a queued one from starting."""
        running = self.running.get(turn_id)
        if running is not None:
            running.cancel()
        elif turn_id in self._waiting:
            self._cancelled.add(turn_id)

    def answer(self, result: TurnCallResult) -> None:
        """Hands the answer of a call to the turn that made it."""
        running = self.running.get(result.turn_id)
        if running is not None:
            running.answer(result)

    async def idle(self) -> None:
        """Returns when every turn is answered."""
        if self._waiting:
            self._idle = asyncio.get_running_loop().create_future()
            await self._idle

    def abort(self) -> None:
        """Ends every turn, because nobody takes their results any more."""
        self.broken = True
        for running in list(self.running.values()):
            running.cancel()
