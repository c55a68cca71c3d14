"""References to actors, and the calls that are made through them. The typed ones that the generator
writes stand on these.
"""

from __future__ import annotations

import warnings
from collections.abc import Callable, Coroutine, Generator, Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from types import TracebackType
from typing import TYPE_CHECKING, Any, Generic, Protocol, TypedDict, TypeVar, cast

from .codec import JsonCodec
from .definition import ActionDef
from .ids import ActorId

if TYPE_CHECKING:
    from typing_extensions import Unpack

T = TypeVar("T")
Req = TypeVar("Req")
Rep = TypeVar("Rep")
Rep_co = TypeVar("Rep_co", covariant=True)


class CallOptions(TypedDict, total=False):
    """Options of one call."""

    #: How long to wait, in seconds or as a timedelta. Default 30 s; inside a turn, as long as the
    #: turn may take.
    timeout: float | timedelta
    #: Identifies the logical call, 1 to 128 bytes; the action is applied at most once per key.
    #: Default: a new UUIDv7, so that the built-in retries are safe. Not inside a turn, where the
    #: call's place in the turn identifies it.
    idempotency_key: str
    #: Text that travels to the action: at most 64 entries and 8 KiB.
    metadata: Mapping[str, str]


class SendOptions(CallOptions, total=False):
    """Options of one asynchronous call."""

    #: Makes the call this much later, in seconds or as a timedelta. Only one of `delay` and `at`.
    delay: float | timedelta
    #: Makes the call at this time, which has a time zone.
    at: datetime


@dataclass(frozen=True, slots=True)
class Accepted:
    """An asynchronous call was accepted."""

    request_id: str
    #: True if the call survives any crash from here on, false if it is only in memory.
    durable: bool
    #: The one-shot schedule that will make the call; empty if it is made at once.
    schedule: str = ""


class Caller(Protocol):
    """What can call actors: a client, the context of a turn, a test kit."""

    async def invoke(
        self,
        target: ActorId,
        action: ActionDef[Req, Rep],
        argument: Req | None,
        options: CallOptions,
    ) -> Rep:
        """Runs an action and answers its reply. Raises `CallError`."""

    def actor_id(self, actor_type: str, key: str) -> ActorId:
        """An actor in this caller's system."""


class Sender(Caller, Protocol):
    """What can call actors without waiting for them."""

    async def submit(
        self,
        target: ActorId,
        action: ActionDef[Any, Any],
        argument: object,
        options: SendOptions,
    ) -> Accepted:
        """Returns when the call is accepted; for durable actors that means committed. Raises
        `CallError`.
        """


class Call(Coroutine[Any, Any, Rep_co], Generic[Rep_co]):
    """A call as a value: `await` it to make it and to get the reply, or give it to `ctx.tell` to
    have it made once the turn is committed.

    It is a coroutine that begins when it is awaited, so `asyncio.gather` and `create_task` take it.
    """

    __slots__ = ("_caller", "_running", "_used", "action", "argument", "options", "target")

    def __init__(
        self,
        caller: Caller,
        target: ActorId,
        action: ActionDef[Any, Any],
        argument: object,
        options: CallOptions,
    ) -> None:
        self._used = False
        self._running: Coroutine[Any, Any, Any] | None = None
        self._caller = caller
        self.target = target
        self.action = action
        self.argument = argument
        self.options = options

    def describe(self) -> Call[Rep_co]:
        """Says that the call is wanted as a description only; without that, or being awaited, it
        warns when it is dropped.
        """
        self._used = True
        return self

    def _start(self) -> Coroutine[Any, Any, Any]:
        if self._running is None:
            self._used = True
            self._running = self._caller.invoke(
                self.target, self.action, self.argument, self.options
            )
        return self._running

    def __await__(self) -> Generator[Any, Any, Rep_co]:
        if self._running is not None:
            raise RuntimeError("this call was already awaited; make another one")
        return cast("Generator[Any, Any, Rep_co]", self._start().__await__())

    def send(self, value: Any) -> Any:
        """Goes on with the call; for event loops."""
        return self._start().send(value)

    def throw(
        self,
        kind: Any,
        value: BaseException | object = None,
        trace: TracebackType | None = None,
    ) -> Any:
        """Raises an exception inside the call; for event loops."""
        if value is None and trace is None:
            return self._start().throw(kind)
        return self._start().throw(kind, value, trace)

    def close(self) -> None:
        """Ends the call, or takes it back before it began."""
        self._used = True
        if self._running is not None:
            self._running.close()

    def __del__(self) -> None:
        if not self._used:
            warnings.warn(
                f"call {self.action.name} of {self.target} was never awaited and never told",
                RuntimeWarning,
                stacklevel=2,
            )

    def __repr__(self) -> str:
        return f"Call({self.target}, {self.action.name}, {self.argument!r})"


class ActorRef:
    """One actor, seen by one caller. Cheap; makes no connection of its own."""

    __slots__ = ("_caller", "_id")

    def __init__(self, caller: Caller, actor_type: str, key: str) -> None:
        self._caller = caller
        self._id = caller.actor_id(actor_type, key)

    @property
    def actor_id(self) -> ActorId:
        """The actor's name."""
        return self._id

    def __repr__(self) -> str:
        return f"{type(self).__name__}({self._id})"


class SendRef:
    """One actor, for asynchronous calls. The ones that the generator writes stand on this."""

    __slots__ = ("_id", "_sender")

    def __init__(self, sender: Sender, actor_type: str, key: str) -> None:
        self._sender = sender
        self._id = sender.actor_id(actor_type, key)

    @property
    def actor_id(self) -> ActorId:
        """The actor's name."""
        return self._id


def json_action(name: str) -> ActionDef[Any, Any]:
    """An action known only by name, with JSON on both sides."""
    return ActionDef(name, name, _ANY, _ANY)


_ANY: JsonCodec[Any] = JsonCodec()


class JsonRef(ActorRef):
    """An actor whose actions are called by name, with JSON values."""

    __slots__ = ()

    def call(self, action: str, argument: Any = None, **options: Unpack[CallOptions]) -> Call[Any]:
        """Runs an action and answers its reply as a JSON value; dataclasses are accepted as
        arguments.
        """
        return Call(self._caller, self._id, json_action(action), argument, options)

    def action(self, name: str) -> Callable[[Any], Call[Any]]:
        """An action by its name, as `ctx.pipe` and `ctx.forward` take it."""
        return lambda argument: self.call(name, argument)
