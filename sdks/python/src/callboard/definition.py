"""What an actor type is: its name, its settings and its actions. Generated code and `JsonActor`
make these.
"""

from __future__ import annotations

import enum
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from datetime import timedelta
from typing import Any, Generic, TypeVar

from google.protobuf import descriptor_pb2
from google.protobuf.message import Message

from .codec import Codec, ProtoCodec
from .protocol.callboard.type.v1 import type_pb2

S = TypeVar("S")
Req = TypeVar("Req")
Rep = TypeVar("Rep")
ReqM = TypeVar("ReqM", bound=Message)
RepM = TypeVar("RepM", bound=Message)


#: Shortest interval of a timer, in milliseconds.
TIMER_MILLIS_MIN = 10


class Kind(enum.IntEnum):
    """What kind of life the actors of a type lead."""

    #: Exactly one actor, whose key is the type name, active as soon as a host offers the type.
    NAMED = 1
    #: One actor per key, activated by its first call.
    UNNAMED = 2
    #: Equal instances without state or key, as `Pooled` says; a call goes to any of them.
    POOLED = 3


class Durability(enum.IntEnum):
    """What happens to the state of an actor, and when."""

    #: A reply leaves only after the state that it reports is committed.
    DURABLE = 1
    #: Replies leave at once; the state is saved on an interval.
    SNAPSHOT = 2
    #: The state lives only as long as the activation.
    VOLATILE = 3


class Deliver(enum.IntEnum):
    """Which actors of a type get what is said on a channel."""

    #: Those that are in memory, at most once. The default, except for NAMED types.
    ACTIVE = 1
    #: Every actor with a stored state, from its first commit until it is deleted, and the one of a
    #: NAMED type at any time, exactly once.
    #: Durable types only; the default for NAMED ones.
    EVERY = 2


@dataclass(frozen=True, slots=True)
class Channel:
    """A channel that the actors of a type listen to."""

    name: str
    #: The action that gets the message as its argument, by its name on the wire or that of its
    #: method; its metadata names the channel as `callboard-channel`.
    action: str = "receive"
    deliver: Deliver | None = None


@dataclass(frozen=True, slots=True)
class Timer:
    """An action that an actor runs at a fixed interval while it is in memory."""

    #: It gets no argument; its metadata names the timer as `callboard-timer`.
    action: str
    #: At least 10 ms. Intervals that pass while an earlier one is late count as one.
    every: timedelta


@dataclass(frozen=True, slots=True)
class Pooled:
    """Makes a type POOLED: how many instances there are in the whole cluster."""

    #: Instances that are always in memory.
    min: int = 0
    #: Instances that run at a time; 0 stands for the server's default (16).
    max: int = 0


@dataclass(frozen=True, slots=True)
class History:
    """How much of an actor's past is kept to be read and restored."""

    #: How many committed revisions; 0 sets no limit, if `age` does.
    revisions: int = 0
    #: How long; None sets no limit of age.
    age: timedelta | None = None


@dataclass(frozen=True, slots=True)
class Settings:
    """Settings of an actor type. What is unset takes the server's default."""

    kind: Kind = Kind.UNNAMED
    durability: Durability = Durability.DURABLE
    #: How long an actor may stay without a call before it is deactivated (default 60 s).
    idle_timeout: timedelta | None = None
    #: How often a SNAPSHOT actor is saved (default 10 s).
    snapshot_interval: timedelta | None = None
    #: How long one turn may take (default 30 s).
    turn_timeout: timedelta | None = None
    #: How many calls may wait for one actor (default 1,000).
    mailbox_limit: int = 0
    #: How many shards the keys are spread over; only the first registration counts (default 64;
    #: NAMED 1).
    shards: int = 0
    #: True to keep actions from running on state that is not yet committed.
    speculation_off: bool = False
    #: Timers; `@timer` on a method adds one.
    timers: tuple[Timer, ...] = ()
    #: Channels that the actors listen to.
    channels: Sequence[Channel | str] = ()
    #: Makes the type POOLED.
    pooled: Pooled | None = None
    #: How much of the past is kept. None keeps nothing.
    history: History | None = None


@dataclass(frozen=True, slots=True)
class ActionDef(Generic[Req, Rep]):
    """One action: its name on the wire, the method that runs it, and what goes in and comes out."""

    name: str
    method: str
    argument: Codec[Req]
    reply: Codec[Rep]
    read_only: bool = False
    speculation_off: bool = False
    #: False if the method takes the context alone.
    takes_argument: bool = True


def proto_action(
    name: str,
    method: str,
    argument: type[ReqM],
    reply: type[RepM],
    *,
    read_only: bool = False,
    speculation_off: bool = False,
) -> ActionDef[ReqM, RepM]:
    """An action whose argument and reply are protobuf messages."""
    return ActionDef(
        name, method, ProtoCodec(argument), ProtoCodec(reply), read_only, speculation_off
    )


@dataclass(frozen=True)
class ActorDef(Generic[S]):
    """An actor type as a host registers it."""

    name: str
    state: Codec[S]
    actions: tuple[ActionDef[Any, Any], ...]
    settings: Settings = field(default_factory=Settings)
    #: Full name of the proto service; empty for actors without protos.
    service: str = ""

    def __post_init__(self) -> None:
        seen: set[str] = set()
        for action in self.actions:
            if action.name in seen:
                raise ValueError(f"actor type {self.name}: two actions are named {action.name}")
            seen.add(action.name)
        self._check(seen)

    def _check(self, actions: set[str]) -> None:
        """Raises ValueError for settings that name no action of the type, or contradict it."""
        settings = self.settings
        known = ", ".join(sorted(actions))
        for timer in settings.timers:
            if timer.action not in actions:
                raise ValueError(
                    f"actor type {self.name}: a timer names {timer.action}, the actions are {known}"
                )
            if _millis(timer.every) < TIMER_MILLIS_MIN:
                raise ValueError(
                    f"actor type {self.name}: the timer of {timer.action} has an interval below "
                    f"{TIMER_MILLIS_MIN} ms"
                )
        for channel in self.channels:
            if channel.action not in actions:
                raise ValueError(
                    f"actor type {self.name}: channel {channel.name} goes to {channel.action}, "
                    f"the actions are {known}"
                )
            if channel.deliver == Deliver.EVERY and not self.durable:
                raise ValueError(
                    f"actor type {self.name}: EVERY actor of channel {channel.name} is those with "
                    "a stored state; only durable types have them"
                )
        if self.kind == Kind.POOLED and settings.history is not None:
            raise ValueError(f"actor type {self.name}: a pool has no state, so it has no history")
        if settings.pooled is not None and settings.kind == Kind.NAMED:
            raise ValueError(f"actor type {self.name}: a NAMED type has one actor and is no pool")

    @property
    def durable(self) -> bool:
        """True if its actors' states are committed before their replies leave."""
        return self.kind != Kind.POOLED and self.settings.durability == Durability.DURABLE

    @property
    def kind(self) -> Kind:
        """What kind of life its actors lead."""
        return Kind.POOLED if self.settings.pooled is not None else self.settings.kind

    @property
    def channels(self) -> list[Channel]:
        """The channels that its actors listen to."""
        return [Channel(one) if isinstance(one, str) else one for one in self.settings.channels]

    def to_proto(self) -> type_pb2.ActorTypeDefinition:
        """The definition as it travels."""
        settings = self.settings
        pooled = settings.pooled or Pooled()
        history = settings.history or History()
        return type_pb2.ActorTypeDefinition(
            name=self.name,
            kind=int(self.kind),
            durability=0 if self.kind == Kind.POOLED else int(settings.durability),
            actions=[
                type_pb2.ActionDefinition(
                    name=action.name,
                    input_type=action.argument.type_url,
                    output_type=action.reply.type_url,
                    read_only=action.read_only,
                    speculation_off=action.speculation_off,
                )
                for action in self.actions
            ],
            state_type=self.state.type_url,
            service=self.service,
            idle_timeout_ms=_millis(settings.idle_timeout),
            snapshot_interval_ms=_millis(settings.snapshot_interval),
            turn_timeout_ms=_millis(settings.turn_timeout),
            mailbox_limit=settings.mailbox_limit,
            shards=settings.shards,
            speculation_off=settings.speculation_off,
            timers=[
                type_pb2.TimerDefinition(action=timer.action, interval_ms=_millis(timer.every))
                for timer in settings.timers
            ],
            subscriptions=[
                type_pb2.ChannelSubscription(
                    channel=channel.name, action=channel.action, deliver=int(channel.deliver or 0)
                )
                for channel in self.channels
            ],
            pool_min=pooled.min,
            pool_max=pooled.max,
            history_revisions=history.revisions,
            history_age_ms=_millis(history.age),
        )

    def files(self) -> list[Any]:
        """The files that declare the messages of this type, without their dependencies."""
        codecs: list[Codec[Any]] = [self.state]
        for action in self.actions:
            codecs += (action.argument, action.reply)
        return [codec.file for codec in codecs if codec.file is not None]


def _millis(value: timedelta | None) -> int:
    return 0 if value is None else max(1, round(value.total_seconds() * 1000))


def descriptor_set(definitions: Iterable[ActorDef[Any]]) -> bytes:
    """A serialised FileDescriptorSet of every message that the types name, dependencies first;
    empty without protos.
    """
    files: dict[str, Any] = {}

    def visit(file: Any) -> None:
        if file.name not in files:
            for dependency in file.dependencies:
                visit(dependency)
            files[file.name] = file

    for definition in definitions:
        for file in definition.files():
            visit(file)
    found = descriptor_pb2.FileDescriptorSet()
    for file in files.values():
        found.file.add().ParseFromString(file.serialized_pb)
    return found.SerializeToString()
