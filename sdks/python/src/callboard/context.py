"""What an action sees of its turn: state, caller, metadata, time, identity, and calls to other
actors.
"""

from __future__ import annotations

import logging
import types
from collections.abc import Awaitable, Callable, Mapping
from datetime import datetime, timedelta, timezone
from typing import TYPE_CHECKING, Any, Generic, TypeVar

from .codec import Codec
from .definition import ActionDef
from .ids import ActorId, FencingToken
from .protocol.callboard.type.v1.type_pb2 import Payload
from .ref import Call, CallOptions, JsonRef, json_action
from .workflow import Forward, Pipe

if TYPE_CHECKING:
    from typing_extensions import Unpack

    from .protocol.callboard.host.v1.host_pb2 import Turn, TurnRun
    from .protocol.callboard.type.v1 import type_pb2
    from .running import Running

S = TypeVar("S")
T = TypeVar("T")
Req = TypeVar("Req")
Rep = TypeVar("Rep")


class StateCell(Generic[S]):
    """The state of one actor through a run of turns: decoded at first use, encoded once per turn
    that used it.
    """

    __slots__ = ("_base", "_codec", "_loaded", "_payload", "initial", "value")

    def __init__(self, codec: Codec[S], payload: Payload | None) -> None:
        self._codec = codec
        self._payload = payload
        self._loaded = False
        self._base = b""
        #: Makes the state of an actor that has none; set before each turn.
        self.initial: Any = None
        self.value: S

    def get(self) -> S:
        """The state to work on."""
        if not self._loaded:
            self._load()
        return self.value

    def set(self, value: S) -> None:
        """Replaces the state."""
        if not self._loaded:
            self._load()
        self.value = value

    def _load(self) -> None:
        if self._payload is None:
            self.value = self.initial()
            self._base = self._codec.encode(self.value)
        else:
            self.value = self._codec.decode(self._payload)
            self._base = self._payload.data
        self._loaded = True

    def discard(self) -> None:
        """Forgets what the turn did."""
        self._loaded = False

    def changed(self) -> bytes | None:
        """The encoded state if the turn changed it, else None. Raises TypeError if it cannot be
        encoded.
        """
        if not self._loaded:
            return None
        data = self._codec.encode(self.value)
        return None if data == self._base else data

    def keep(self, data: bytes) -> Payload:
        """Makes the changed state the one that the next turn starts from, and answers it."""
        codec = self._codec
        self._base = data
        self._payload = Payload(content_type=codec.content_type, type_url=codec.type_url, data=data)
        return self._payload


def actor_id(message: type_pb2.ActorId) -> ActorId:
    """A received actor name."""
    return ActorId(message.type, message.key or message.type, message.system or "default")


class ReadContext(Generic[S]):
    """The context of a read-only action: whatever it does to the state is dropped."""

    __slots__ = ("_cell", "_log", "_run", "_running", "_turn")

    def __init__(self, running: Running, run: TurnRun, turn: Turn, cell: StateCell[S]) -> None:
        self._running = running
        self._run = run
        self._turn = turn
        self._cell = cell
        self._log: logging.LoggerAdapter[logging.Logger] | None = None

    @property
    def state(self) -> S:
        """The actor's state."""
        return self._cell.get()

    @property
    def self(self) -> ActorId:
        """The actor that runs this action."""
        return actor_id(self._run.actor)

    @property
    def caller(self) -> ActorId | None:
        """The actor that made the call; None for calls from outside."""
        return actor_id(self._turn.caller) if self._turn.HasField("caller") else None

    @property
    def action(self) -> str:
        """The action's name on the wire."""
        return self._turn.action

    @property
    def metadata(self) -> Mapping[str, str]:
        """The caller's metadata."""
        return types.MappingProxyType(dict(self._turn.metadata))

    @property
    def tags(self) -> Mapping[str, str]:
        """The actor's tags."""
        return types.MappingProxyType(self._running.tags)

    @property
    def request_id(self) -> str:
        """Identifies the logical call; the same when the turn is run again. In the step of a saga,
        the same for all turns that try the step.
        """
        return self._running.step or self._turn.request_id

    @property
    def attempt(self) -> int:
        """How often this call has been handed to a host, counted from 1."""
        return self._turn.attempt

    @property
    def fence(self) -> FencingToken:
        """A token that rises with each commit of this actor, for systems outside Callboard that can
        refuse old writers.
        """
        return FencingToken(self._run.epoch, self._turn.revision)

    @property
    def created_at(self) -> datetime:
        """When the logical call was first made, by the caller's clock, in UTC."""
        return datetime.fromtimestamp(self._turn.created_at_ms / 1000, timezone.utc)

    @property
    def deadline(self) -> datetime:
        """When the turn is ended, in UTC."""
        return self.now() + timedelta(seconds=self.remaining())

    def remaining(self) -> float:
        """How long the turn may still take, in seconds."""
        return self._running.remaining()

    def now(self) -> datetime:
        """The time, in UTC; in tests the test kit's. Use it in place of datetime.now()."""
        return datetime.fromtimestamp(self._running.now(), timezone.utc)

    @property
    def cancelled(self) -> bool:
        """True once nobody waits for the turn. Actions in a thread may look at it; async ones are
        cancelled instead.
        """
        return self._running.cancelling

    @property
    def log(self) -> logging.LoggerAdapter[logging.Logger]:
        """A logger whose records carry `actor`, `action` and `request_id`."""
        if self._log is None:
            me = self.self
            facts = {"actor": str(me), "action": self.action, "request_id": self.request_id}
            self._log = logging.LoggerAdapter(
                logging.getLogger(f"callboard.actor.{me.type}"), facts
            )
        return self._log

    def actor_id(self, actor_type: str, key: str) -> ActorId:
        """An actor in this actor's system."""
        return ActorId(actor_type, key, self._run.actor.system or "default")

    async def invoke(
        self,
        target: ActorId,
        action: ActionDef[Req, Rep],
        argument: Req | None,
        options: CallOptions,
    ) -> Rep:
        """Calls another actor inside this turn; typed references use it. Raises `CallError`.

        The node deduplicates such calls by their place in the turn: make them in the same order
        when a turn runs again.
        """
        if "idempotency_key" in options:
            raise ValueError(
                "a call inside a turn has no idempotency key: its place in the turn identifies it"
            )
        payload = await self._running.call(target, action, argument, options)
        if not payload.content_type:
            return action.reply.missing()
        return action.reply.decode(payload)

    def call(
        self,
        target: ActorId,
        action: str,
        argument: Any = None,
        **options: Unpack[CallOptions],
    ) -> Call[Any]:
        """Calls an action of another actor by name, with JSON values. Raises `CallError`."""
        return Call(self, target, json_action(action), argument, options)

    def ref(self, actor_type: str, key: str = "") -> JsonRef:
        """A reference by name, to an actor of this actor's system without generated code."""
        return JsonRef(self, actor_type, key)

    def wait(self, awaitable: Awaitable[T]) -> T:
        """For actions that are plain functions and run in a thread: waits for a call to another
        actor.
        """
        return self._running.wait(awaitable)


class Context(ReadContext[S]):
    """The context of an action that may change state: mutate `state`, or replace it.

    It is committed when the action returns, and discarded when it raises.
    """

    __slots__ = ()

    @property
    def state(self) -> S:
        """The actor's state; mutate it or assign a new one."""
        return self._cell.get()

    @state.setter
    def state(self, value: S) -> None:
        self._cell.set(value)

    @property
    def tags(self) -> dict[str, str]:
        """The actor's tags; changes are committed with the state."""
        return self._running.tags

    def tell(
        self,
        call: Call[Any],
        *,
        delay: timedelta | float | None = None,
        at: datetime | None = None,
    ) -> None:
        """Has a call made once this turn is committed, and not at all if it is not:
        `ctx.tell(AuditRef(ctx, "main").overflow(request))`. Nobody waits for its reply.

        `delay` puts it off by a timedelta or seconds, `at` to a time.
        """
        self._running.going().tell(call, delay, at)

    def broadcast(
        self, channel: str, message: object = None, *, metadata: Mapping[str, str] | None = None
    ) -> None:
        """Says something to everybody who listens to a channel, once this turn is committed: a
        protobuf message, or any value as JSON.
        """
        self._running.going().broadcast(channel, message, metadata)

    def pipe(self, call: Call[Rep]) -> Pipe[Rep]:
        """`return ctx.pipe(OtherRef(ctx, "x").add(request))` hands `request` to another actor,
        which answers the caller in this one's place once this turn is committed.
        """
        return Pipe(call)

    def forward(self, target: Callable[[Req], Call[Rep]]) -> Forward[Req, Rep]:
        """`return ctx.forward(OtherRef(ctx, "x").add)` hands this turn's own argument to another
        actor, which answers the caller in this one's place once this turn is committed.
        """
        nothing: Any = None
        return Forward(target(nothing))

    def checkpoint(self) -> None:
        """Saves a SNAPSHOT actor with this turn, not only at its interval."""
        self._running.going().workflow.checkpoint = True

    def deactivate(self) -> None:
        """Takes the actor out of memory once this turn is committed and nothing else waits."""
        self._running.going().workflow.deactivate = True

    def _begin_step(self, name: str) -> dict[str, str]:
        """The step of a saga begins: calls from here on have ids that its name makes. Answers what
        `_undo_step` needs.
        """
        self._running.step = name
        return dict(self._running.tags)

    def _end_step(self) -> None:
        self._running.step = ""

    def _undo_step(self, tags: dict[str, str]) -> None:
        """Drops everything that the turn did to the actor so far and set going."""
        self._running.step = ""
        self._running.tags = tags
        self._running.outputs = None
        self._cell.discard()

    def _check_state(self) -> None:
        """Raises TypeError if the state cannot be encoded."""
        self._cell.changed()
