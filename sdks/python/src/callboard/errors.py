"""Errors of calls: what a caller catches, and what an actor raises.

`CallError` is any failed call. `ActorError` is the part of them that an actor's own code decided;
raise it in an action to refuse a call with a stable reason. Both carry the facts of
`callboard.type.v1.CallError`.
"""

from __future__ import annotations

import enum
from collections.abc import Iterable, Mapping
from typing import TypeVar

from google.protobuf import any_pb2
from google.protobuf.message import Message

from .protocol.callboard.type.v1 import type_pb2

M = TypeVar("M", bound=Message)


class Code(enum.IntEnum):
    """The gRPC status codes."""

    OK = 0
    CANCELLED = 1
    UNKNOWN = 2
    INVALID_ARGUMENT = 3
    DEADLINE_EXCEEDED = 4
    NOT_FOUND = 5
    ALREADY_EXISTS = 6
    PERMISSION_DENIED = 7
    RESOURCE_EXHAUSTED = 8
    FAILED_PRECONDITION = 9
    ABORTED = 10
    OUT_OF_RANGE = 11
    UNIMPLEMENTED = 12
    INTERNAL = 13
    UNAVAILABLE = 14
    DATA_LOSS = 15
    UNAUTHENTICATED = 16

    @classmethod
    def of(cls, number: int) -> Code:
        """The code with this number; UNKNOWN for numbers that gRPC does not define."""
        try:
            return cls(number)
        except ValueError:
            return cls.UNKNOWN


class Retry(enum.IntEnum):
    """Whether the same call may be sent again."""

    UNSPECIFIED = 0
    NEVER = 1
    SAFE = 2
    SAME_ID = 3


class CallError(Exception):
    """A call failed. `reason` is stable and machine readable; `retry` says whether sending it again
    is safe.

    The client has already retried what was safe to retry inside the call's deadline.
    """

    def __init__(
        self,
        code: Code | int,
        reason: str,
        message: str = "",
        *,
        metadata: Mapping[str, str] | None = None,
        details: Iterable[Message] = (),
        retry: Retry | int = Retry.NEVER,
        retry_after: float = 0.0,
    ) -> None:
        super().__init__(f"{reason}: {message}" if message else reason)
        self.code = Code.of(code)
        self.reason = reason
        self.message = message
        self.metadata: dict[str, str] = dict(metadata or {})
        #: Typed facts; those of a received error are `google.protobuf.Any`, read them with
        #: `detail`.
        self.details: tuple[Message, ...] = tuple(details)
        self.retry = Retry(retry) if retry in (0, 1, 2, 3) else Retry.NEVER
        #: How long to wait before a retry, in seconds. 0 means that there is no advice.
        self.retry_after = retry_after
        #: The request id of the failed call; empty where there was none yet.
        self.request_id = ""

    def detail(self, message_type: type[M]) -> M | None:
        """The first detail of this type, or None."""
        for item in self.details:
            if isinstance(item, message_type):
                return item
            unpacked = message_type()
            if isinstance(item, any_pb2.Any) and item.Unpack(unpacked):
                return unpacked
        return None

    @property
    def from_actor(self) -> bool:
        """True if an actor's own code returned the error, which makes it a stored outcome."""
        return isinstance(self, ActorError)

    def to_proto(self) -> type_pb2.CallError:
        """The error as it travels."""
        error = type_pb2.CallError()
        self.fill(error)
        return error

    def fill(self, error: type_pb2.CallError) -> None:
        """Writes the error into `error`, a message that is part of a larger one."""
        error.code = int(self.code or Code.UNKNOWN)
        error.reason = self.reason
        # Texts of exceptions may hold lone surrogates, which no protobuf string can.
        error.message = self.message.encode("utf-8", "replace").decode()
        error.retry = int(self.retry)
        error.retry_after_ms = max(0, round(self.retry_after * 1000))
        error.from_actor = self.from_actor
        for key, value in self.metadata.items():
            error.metadata[key] = value
        for item in self.details:
            if isinstance(item, any_pb2.Any):
                error.details.add().CopyFrom(item)
            else:
                error.details.add().Pack(item)

    @staticmethod
    def from_proto(error: type_pb2.CallError, request_id: str = "") -> CallError:
        """The exception for a received error: an `ActorError` if the actor's code returned it."""
        made = (ActorError if error.from_actor else CallError)(
            error.code,
            error.reason,
            error.message,
            metadata=error.metadata,
            details=error.details,
            retry=error.retry,
            retry_after=error.retry_after_ms / 1000,
        )
        made.request_id = request_id
        return made


class ActorError(CallError):
    """An action failed on purpose. Raise it to discard the turn and to tell the caller why.

    The state stays as it was before the turn, and the error is stored as the call's outcome: a
    retry of the same call gets the same error. Use UPPER_SNAKE_CASE reasons; callers decide by
    them.
    """


class PayloadError(ValueError):
    """A value cannot be read as the type that was asked for."""


class HostError(Exception):
    """The node refused the host or its actor types; reconnecting cannot help. The message says what
    to change.
    """
