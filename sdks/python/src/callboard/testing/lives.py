"""What a test knows of its actors: their lives, the calls to them, and what they set going."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any, Literal

from ..actor import BoundActor
from ..definition import Kind
from ..errors import CallError
from ..ids import ActorId
from ..protocol.callboard.host.v1.host_pb2 import TurnResult
from ..protocol.callboard.type.v1.type_pb2 import Payload

#: What goes wrong with a call: "before-commit" loses the first result before it is stored, so the
#: turn is run again; "after-commit" stores it and loses the reply, so the caller gets an error that
#: it may retry with the same key; "crashed-host" kills every host that runs the turn, so that the
#: node gives it up with the stored error TURN_CRASHED_HOST.
Fault = Literal["before-commit", "after-commit", "crashed-host"]

IDLE_TIMEOUT = timedelta(seconds=60)


@dataclass(frozen=True)
class Effect:
    """A call that an action made to another actor, or told."""

    target: ActorId
    action: str
    #: A protobuf message or a JSON value; None if there was none.
    argument: Any
    #: The actor that made the call.
    caller: ActorId
    #: When it is due, if it was told with a delay or a time.
    due: datetime | None = None
    metadata: Mapping[str, str] = field(default_factory=dict)
    #: The request id of a call that the action waited for; two tries of one call have the same.
    request_id: str = field(default="", compare=False)


@dataclass(frozen=True)
class Broadcast:
    """What an action said on a channel."""

    channel: str
    #: A protobuf message or a JSON value.
    message: Any
    source: ActorId
    metadata: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class NextCall:
    """Where a turn left the answer to."""

    kind: Literal["pipe", "forward"]
    target: ActorId
    action: str
    #: What the next actor gets.
    argument: Any


@dataclass
class Life:
    """One actor of a test."""

    bound: BoundActor
    state: Payload | None = None
    tags: dict[str, str] = field(default_factory=dict)
    revision: int = 0
    active: bool = False
    activations: int = 0
    used: datetime | None = None
    outcomes: dict[str, tuple[bytes, TurnResult, datetime]] = field(default_factory=dict)
    #: When the timers of the present activation fire next, by action.
    timers: dict[str, datetime] = field(default_factory=dict)

    @property
    def idle_at(self) -> datetime | None:
        """When it is deactivated unless it is called; None if it stays."""
        definition = self.bound.definition
        stays = definition.kind == Kind.NAMED and definition.settings.timers
        if not self.active or self.used is None or stays:
            return None
        return self.used + (definition.settings.idle_timeout or IDLE_TIMEOUT)


@dataclass(frozen=True)
class Request:
    """One call to an actor, as the node would hold it."""

    target: ActorId
    action: str
    payload: Payload | None
    request_id: str
    timeout: timedelta
    created_at: datetime
    metadata: Mapping[str, str] = field(default_factory=dict)
    caller: ActorId | None = None
    chain: tuple[ActorId, ...] = ()
    attempt: int = 1
    fault: Fault | None = None
    #: The actors and actions that piped or forwarded it, up to this one.
    hops: tuple[tuple[ActorId, str], ...] = ()
    #: True for a timer's turn, which keeps nobody in memory.
    timer: bool = False


class Refused(Exception):
    """A call got an error."""

    def __init__(self, error: CallError) -> None:
        super().__init__(str(error))
        self.error = error
