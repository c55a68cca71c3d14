"""What a turn sets going if it commits: effects, broadcasts, and the actor that answers in its
place.
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Any, Generic, TypeVar

from .codec import fill_payload, message_payload
from .errors import CallError, Code
from .ids import ActorId
from .protocol.callboard.host.v1.host_pb2 import Effect, Workflow
from .times import millis, to_millis

if TYPE_CHECKING:
    from .ref import Call

Req_contra = TypeVar("Req_contra", contravariant=True)
Rep_co = TypeVar("Rep_co", covariant=True)

#: Most effects and broadcasts of one turn.
TURN_OUTPUTS_MAX = 1024

_TRACE = ("traceparent", "tracestate")


class Next(Generic[Rep_co]):
    """What an action returns to leave the answer to another actor."""

    __slots__ = ("call",)

    def __init__(self, call: Call[Rep_co]) -> None:
        #: Whom to call; its argument is that of the pipe, and nothing for a forward.
        self.call = call.describe()


class Forward(Next[Rep_co], Generic[Req_contra, Rep_co]):
    """Another actor gets this turn's own argument, a `Req`, and its reply is the caller's."""

    __slots__ = ()


class Pipe(Next[Rep_co]):
    """Another actor gets this turn's output, and its reply is the caller's."""

    __slots__ = ()


class Outputs:
    """Effects and broadcasts of one turn, in the order in which it asked for them."""

    __slots__ = ("_payload_bytes_max", "_trace", "workflow")

    def __init__(self, payload_bytes_max: int, metadata: Mapping[str, str]) -> None:
        self._payload_bytes_max = payload_bytes_max
        #: What goes on from the turn's metadata to all that it sets going.
        self._trace = {name: metadata[name] for name in _TRACE if name in metadata}
        self.workflow = Workflow()

    def tell(self, call: Call[Any], delay: timedelta | float | None, at: datetime | None) -> None:
        """Adds a call that is made once the turn is committed."""
        given = call.describe().options
        for name in ("timeout", "idempotency_key"):
            if name in given:
                raise ValueError(f"a call that is told has no {name}: nobody waits for its reply")
        delay_ms, due_at_ms = later(delay, at)
        effect = Effect(
            action=call.action.name,
            delay_ms=delay_ms,
            due_at_ms=due_at_ms,
            metadata={**self._trace, **(given.get("metadata") or {})},
        )
        fill_target(effect.target, call.target)
        if call.argument is not None:
            fill_payload(effect.payload, call.action.argument, call.argument)
        self._check("argument", len(effect.payload.data))
        self.workflow.effects.append(effect)

    def broadcast(self, channel: str, message: object, metadata: Mapping[str, str] | None) -> None:
        """Adds a message to everybody who listens to a channel."""
        payload = message_payload(message)
        self._check("message", len(payload.data))
        self.workflow.broadcasts.add(
            channel=channel, payload=payload, metadata={**self._trace, **(metadata or {})}
        )

    def filled(self, following: Next[Any] | None) -> Workflow:
        """The whole, with the actor that answers in this one's place."""
        if following is not None:
            kind = self.workflow.pipe if isinstance(following, Pipe) else self.workflow.forward
            fill_target(kind.target, following.call.target)
            kind.action = following.call.action.name
        return self.workflow

    def _check(self, what: str, size: int) -> None:
        limit = self._payload_bytes_max
        if limit and size > limit:
            raise too_large("PAYLOAD_TOO_LARGE", what, size, limit)
        if len(self.workflow.effects) + len(self.workflow.broadcasts) == TURN_OUTPUTS_MAX:
            raise CallError(
                Code.INVALID_ARGUMENT,
                "INVALID_ARGUMENT",
                f"a turn has at most {TURN_OUTPUTS_MAX} effects and broadcasts; "
                "a retry cannot help, split the work",
                metadata={"limit": str(TURN_OUTPUTS_MAX)},
            )


def later(delay: timedelta | float | None, at: datetime | None) -> tuple[int, int]:
    """A delay and a time as they travel, in milliseconds; zeros for at once."""
    if delay is not None and at is not None:
        raise ValueError("give either delay or at, not both")
    return (0 if delay is None else millis(delay)), to_millis(at)


def fill_target(message: Any, target: ActorId) -> None:
    """Writes an actor's name into a message."""
    message.system, message.type, message.key = target.system, target.type, target.key


def too_large(reason: str, what: str, size: int, limit: int) -> CallError:
    """What a value over a limit of the node fails with."""
    return CallError(
        Code.RESOURCE_EXHAUSTED,
        reason,
        f"the {what} has {size} bytes, the limit is {limit}; a retry cannot help",
        metadata={"limit": str(limit), "size": str(size)},
    )
