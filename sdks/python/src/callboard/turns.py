"""Runs turns: the same code behind a session to a node and behind the test kit.

The turns of one activation run strictly one after the other in a lane; different ones run at the
same time. A lane is one task for as long as runs of it wait, so turns that finish without
suspending cost no task and no loop cycle each.
"""

from __future__ import annotations

import asyncio
import contextvars
import functools
import inspect
import logging
import math
import threading
from collections import deque
from collections.abc import Callable, Mapping
from concurrent.futures import CancelledError as ThreadCancelled
from concurrent.futures import ThreadPoolExecutor
from typing import Any

from .actor import Actor, BoundAction, BoundActor
from .codec import Codec, fill_payload
from .context import Context, ReadContext, StateCell
from .errors import ActorError, CallError, Code, PayloadError
from .protocol.callboard.host.v1.host_pb2 import Tags, Turn, TurnRun
from .protocol.callboard.type.v1.type_pb2 import Payload
from .running import Link, LinkTurns, Running
from .workflow import Forward, Next, Pipe, too_large

LOG = logging.getLogger("callboard.host")
NEVER = math.inf


#: An activation belongs to one node. A node that was cut off may still wait for a turn of an actor
#: that another node serves already, so one link never waits for another.
_LaneKey = tuple[LinkTurns, int, str, str, str]


class _Lane:
    """The runs of one activation that wait, and the task that works them off."""

    __slots__ = ("runs", "task")

    def __init__(self) -> None:
        self.runs: deque[tuple[TurnRun, list[Turn], LinkTurns, float]] = deque()
        self.task: asyncio.Task[None] | None = None


class _Run:
    """What the turns of one run have in common."""

    __slots__ = ("bound", "cell", "link", "received", "run", "tags", "task")

    def __init__(
        self,
        bound: BoundActor | None,
        run: TurnRun,
        link: LinkTurns,
        received: float,
        task: asyncio.Task[None] | None,
    ) -> None:
        self.bound = bound
        self.run = run
        self.link = link
        self.received = received
        self.task = task
        self.tags = dict(run.tags)
        self.cell: StateCell[Any] | None = None
        if bound is not None:
            given = run.HasField("state_full") and run.state_full.content_type
            self.cell = StateCell(bound.definition.state, run.state_full if given else None)


class Executor:
    """Runs the turns of all links of one host. Belongs to one event loop; `clock` answers Unix
    seconds.
    """

    def __init__(
        self,
        actors: Mapping[str, BoundActor],
        clock: Callable[[], float],
        threads: int | None = None,
    ) -> None:
        self._actors = actors
        self.clock = clock
        self.loop = asyncio.get_running_loop()
        self.thread = threading.get_ident()
        self._threads = threads
        self._pool: ThreadPoolExecutor | None = None
        self._lanes: dict[_LaneKey, _Lane] = {}
        self._links: set[LinkTurns] = set()
        self._timer: asyncio.TimerHandle | None = None
        self._timer_at = NEVER
        self._closed = False

    def attach(self, link: Link) -> LinkTurns:
        """Starts to take turns from a link."""
        turns = LinkTurns(link)
        self._links.add(turns)
        return turns

    def detach(self, turns: LinkTurns) -> None:
        """The link is gone: ends its turns, whose results nobody takes any more."""
        self._links.discard(turns)
        turns.abort()

    def run(self, run: TurnRun, link: LinkTurns) -> None:
        """Queues a run of turns behind what its actor has to do already."""
        admitted = [turn for turn in run.turns if link.admit(turn.turn_id)]
        if not admitted:
            return
        actor = run.actor
        key = (link, run.activation_id, actor.system, actor.type, actor.key)
        lane = self._lanes.get(key)
        if lane is None:
            lane = self._lanes[key] = _Lane()
            lane.task = self.loop.create_task(self._drive(key, lane))
        lane.runs.append((run, admitted, link, self.loop.time()))

    def close(self) -> None:
        """Ends every turn. Threads that still run an action end with it."""
        self._closed = True
        for lane in self._lanes.values():
            if lane.task is not None:
                lane.task.cancel()
        if self._timer is not None:
            self._timer.cancel()
        if self._pool is not None:
            self._pool.shutdown(wait=False, cancel_futures=True)

    async def _drive(self, key: _LaneKey, lane: _Lane) -> None:
        try:
            while lane.runs:
                run, admitted, link, received = lane.runs.popleft()
                shared = _Run(self._actors.get(key[3]), run, link, received, lane.task)
                for turn in admitted:
                    await self._turn(shared, turn)
        finally:
            del self._lanes[key]

    async def _turn(self, run: _Run, turn: Turn) -> None:
        link = run.link
        turn_id = turn.turn_id
        deadline = run.received + turn.timeout_ms / 1000 if turn.timeout_ms else NEVER
        running = Running(self, link, turn_id, deadline, run.tags.copy(), turn.metadata, run.task)
        try:
            if link.refused(turn_id):
                if not link.broken:
                    self._cancelled(running)
            elif run.bound is None:
                self._fail(running, _unknown(turn, run.run.actor.type, None))
            elif (action := run.bound.actions.get(turn.action)) is None:
                self._fail(running, _unknown(turn, run.run.actor.type, run.bound))
            elif deadline <= self.loop.time():
                self._fail(running, _too_late())
            else:
                link.running[turn_id] = running
                if deadline < self._timer_at:
                    self._watch(deadline)
                await self._run_action(run, turn, running, run.bound, action)
        except Exception as error:
            # Whatever it is, the turn gets an answer and the lane goes on.
            LOG.exception("turn %d of %s failed", turn_id, run.run.actor.type)
            self._fail(running, _unexpected(error))
        finally:
            running.ended = True
            link.ended(turn_id)

    async def _run_action(
        self, run: _Run, turn: Turn, running: Running, bound: BoundActor, action: BoundAction
    ) -> None:
        """Runs the action and answers, whatever comes of it."""
        cell = run.cell
        assert cell is not None, "a bound actor has a state cell"
        try:
            try:
                argument = _argument(action, turn)
            except PayloadError as error:
                self._fail(running, _bad_argument(turn.action, error))
                return
            actor = bound.factory()
            cell.initial = actor.initial
            read_only = action.read_only or turn.read_only
            context = (ReadContext if read_only else Context)(running, run.run, turn, cell)
            reply = await self._invoke(actor, action, context, argument, running)
            payload = _output(action, reply)
            following = reply if isinstance(reply, Next) else None
            state = None if read_only else cell.changed()
            self._reply(run, running, read_only, payload, following, state)
        except (asyncio.CancelledError, ThreadCancelled) as error:
            cell.discard()
            self._interrupted(running, run, turn, error)
        except CallError as error:
            cell.discard()
            self._fail(running, error)
        except Exception as error:
            cell.discard()
            LOG.exception(
                "action %s of %s/%s failed", turn.action, run.run.actor.type, run.run.actor.key
            )
            self._fail(running, _unexpected(error))

    async def _invoke(
        self,
        actor: Actor[Any, Any],
        action: BoundAction,
        context: ReadContext[Any],
        argument: object,
        running: Running,
    ) -> object:
        method = getattr(actor, action.method)
        arguments = (context, argument) if action.takes_argument else (context,)
        if action.is_async:
            reply = await method(*arguments)
        else:
            if self._pool is None:
                self._pool = ThreadPoolExecutor(self._threads, "callboard-action")
            variables = contextvars.copy_context()
            running.in_thread = True
            try:
                reply = await self.loop.run_in_executor(
                    self._pool, functools.partial(variables.run, method, *arguments)
                )
            finally:
                running.in_thread = False
            if inspect.isawaitable(reply):
                reply = await reply
        if running.task is not None and running.cancelling:
            _uncancel(running.task)  # the action finished in spite of the cancellation
        return reply

    def _interrupted(self, running: Running, run: _Run, turn: Turn, error: BaseException) -> None:
        """The action was ended from outside, or ended itself with a cancellation."""
        if running.task is not None and running.cancelling:
            _uncancel(running.task)
        elif self._closed and isinstance(error, asyncio.CancelledError):
            raise error
        if running.timed_out:
            self._fail(running, _too_late())
        elif running.cancelling:
            self._cancelled(running)
        else:
            LOG.error(
                "action %s of %s ended with a cancellation of its own",
                turn.action,
                run.run.actor.type,
            )
            self._fail(running, _unexpected(error))

    def _reply(
        self,
        run: _Run,
        running: Running,
        read_only: bool,
        payload: Payload,
        following: Next[Any] | None,
        state: bytes | None,
    ) -> None:
        cell = run.cell
        assert cell is not None, "a bound actor has a state cell"
        link = running.link.link
        workflow = None if read_only else running.workflow(following)
        tags = None if read_only or running.tags == run.tags else Tags(values=running.tags)
        size = len(payload.data) + (0 if state is None else len(state))
        if workflow is not None:
            size += workflow.ByteSize()
        problem = _over_limit(link, payload.data, state, size)
        if problem is not None:
            raise problem
        frame = None if running.answered else link.frame(size)
        if frame is None:
            cell.discard()
            return
        running.answered = True
        result = frame.result
        result.turn_id = running.turn_id
        result.reply.CopyFrom(payload)
        if read_only:
            cell.discard()
            return
        if state is not None:
            result.state.CopyFrom(cell.keep(state))
        if tags is not None:
            result.tags.CopyFrom(tags)
            run.tags = running.tags
        if workflow is not None:
            result.workflow.CopyFrom(workflow)

    def _fail(self, running: Running, error: CallError) -> None:
        if running.answered:
            return
        filled = error.to_proto()
        frame = running.link.link.frame(filled.ByteSize())
        if frame is not None:
            running.answered = True
            frame.result.turn_id = running.turn_id
            frame.result.error.CopyFrom(filled)

    def _cancelled(self, running: Running) -> None:
        frame = None if running.answered else running.link.link.frame(16)
        if frame is not None:
            running.answered = True
            frame.result.turn_id = running.turn_id
            frame.result.cancelled.SetInParent()

    def _watch(self, deadline: float) -> None:
        if self._timer is not None:
            self._timer.cancel()
        self._timer_at = deadline
        self._timer = self.loop.call_at(deadline, self._sweep)

    def _sweep(self) -> None:
        """Ends the turns whose time is over. One timer for all turns, because nearly none of them
        needs it.
        """
        self._timer = None
        self._timer_at = NEVER
        now = self.loop.time()
        earliest = NEVER
        for link in self._links:
            for running in list(link.running.values()):
                if running.timed_out:
                    continue
                if running.deadline <= now:
                    running.timed_out = True
                    running.cancel()
                    if running.in_thread:
                        self._fail(running, _too_late())
                else:
                    earliest = min(earliest, running.deadline)
        if earliest < NEVER:
            self._watch(earliest)


def _argument(action: BoundAction, turn: Turn) -> object:
    if not action.takes_argument:
        return None
    if turn.HasField("payload") and turn.payload.content_type:
        return action.argument.decode(turn.payload)
    return action.argument.missing()


def _uncancel(task: asyncio.Task[None]) -> None:
    """Takes the cancellation of one turn off its lane's task, which goes on with the next turn
    (Python 3.11).
    """
    uncancel = getattr(task, "uncancel", None)
    if uncancel is not None:
        uncancel()


def _output(action: BoundAction, reply: object) -> Payload:
    """What the turn answers, or hands to the actor that answers in its place."""
    payload = Payload()
    codec: Codec[Any] = action.reply
    if isinstance(reply, Pipe):
        codec, reply = reply.call.action.argument, reply.call.argument
    elif isinstance(reply, Forward):
        return payload
    if reply is not None or codec.type_url:
        fill_payload(payload, codec, reply)
    return payload


#: What a result needs beside reply, state and workflow: ids, headers, tags.
_RESULT_BYTES_EXTRA = 64 * 1024


def _over_limit(link: Link, reply: bytes, state: bytes | None, whole: int) -> CallError | None:
    if link.payload_bytes_max and len(reply) > link.payload_bytes_max:
        return too_large("PAYLOAD_TOO_LARGE", "reply", len(reply), link.payload_bytes_max)
    if state is not None and link.state_bytes_max and len(state) > link.state_bytes_max:
        return too_large("STATE_TOO_LARGE", "state", len(state), link.state_bytes_max)
    limit = link.message_bytes_max - _RESULT_BYTES_EXTRA
    if link.message_bytes_max and whole > limit:
        what = "turn's result with its effects and broadcasts"
        return too_large("PAYLOAD_TOO_LARGE", what, whole, limit)
    return None


def _unknown(turn: Turn, actor_type: str, bound: BoundActor | None) -> CallError:
    if bound is None:
        text = f"this host does not run actor type {actor_type}"
    else:
        known = ", ".join(bound.actions)
        text = f"actor type {actor_type} has no action {turn.action}; it has {known}"
    return CallError(Code.NOT_FOUND, "UNKNOWN_ACTION", f"{text}; nothing was run")


def _bad_argument(action: str, error: PayloadError) -> CallError:
    return CallError(
        Code.INVALID_ARGUMENT,
        "INVALID_ARGUMENT_PAYLOAD",
        f"the argument of {action} cannot be read: {error}; nothing was run, send another argument",
    )


def _too_late() -> CallError:
    return CallError(
        Code.DEADLINE_EXCEEDED,
        "DEADLINE_EXCEEDED",
        "the turn took longer than it may; its changes are discarded",
    )


def _unexpected(error: BaseException) -> CallError:
    text = f"{type(error).__name__}: {error}" if str(error) else type(error).__name__
    return ActorError(Code.INTERNAL, "ACTION_ERROR", f"{text}; the turn is discarded")
