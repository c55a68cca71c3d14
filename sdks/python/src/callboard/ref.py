"""References to actors: the typed ones that the generator writes stand on these."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import timedelta
from typing import TYPE_CHECKING, Any, Protocol, TypedDict, TypeVar

from .codec import JsonCodec
from .definition import ActionDef
from .ids import ActorId

if TYPE_CHECKING:
    from typing_extensions import Unpack

Req = TypeVar("Req")
Rep = TypeVar("Rep")


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


@dataclass(frozen=True, slots=True)
class Accepted:
    """An asynchronous call was accepted."""

    request_id: str
    #: True if the call survives any crash from here on, false if it is only in memory.
    durable: bool


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
        options: CallOptions,
    ) -> Accepted:
        """Returns when the call is accepted; for durable actors that means committed. Raises
        `CallError`.
        """


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

    async def call(self, action: str, argument: Any = None, **options: Unpack[CallOptions]) -> Any:
        """Runs an action and answers its reply as a JSON value; dataclasses are accepted as
        arguments.
        """
        return await self._caller.invoke(self._id, json_action(action), argument, options)
