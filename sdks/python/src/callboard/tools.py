"""What operators do with single actors, and with effects that could not be delivered."""

from __future__ import annotations

from collections.abc import AsyncIterator
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Generic, TypeVar

from .codec import any_value
from .definition import ActorDef
from .errors import CallError
from .ids import ActorId
from .protocol.callboard.control.v1 import control_pb2 as pb
from .protocol.callboard.control.v1 import dead_letters_pb2 as letters_pb
from .protocol.callboard.control.v1.control_rpc import ActorsService
from .protocol.callboard.control.v1.dead_letters_rpc import DeadLettersService
from .protocol.callboard.type.v1 import type_pb2
from .schedules import Unary
from .times import from_millis, to_millis

S = TypeVar("S")


@dataclass(frozen=True, slots=True)
class Revision:
    """A revision of an actor that is kept."""

    revision: int
    committed_at: datetime | None
    state_bytes: int


@dataclass(frozen=True, slots=True)
class Past(Generic[S]):
    """The state of an actor at a revision."""

    #: None if the actor had none.
    state: S | None
    revision: int
    committed_at: datetime | None
    tags: dict[str, str]


@dataclass(frozen=True, slots=True)
class Restored:
    """An actor has a former state again."""

    #: The new revision.
    revision: int
    #: The revision whose state it has.
    restored: int


class ActorTools:
    """Tools for single actors: `client.actors`. An actor is named by its type, or its definition,
    and its key. All methods raise `CallError`.
    """

    def __init__(self, unary: Unary, system: str) -> None:
        self._unary = unary
        self._system = system

    async def checkpoint(self, actor: str | ActorDef[Any], key: str) -> int:
        """Saves a SNAPSHOT actor now, and answers the revision that is saved."""
        request = pb.CheckpointActorRequest(actor=self._actor(actor, key))
        done: pb.CheckpointActorResponse = await self._unary(
            ActorsService.CHECKPOINT_ACTOR, request, None
        )
        return done.revision

    async def deactivate(self, actor: str | ActorDef[Any], key: str) -> None:
        """Takes an actor out of memory once nothing waits for it."""
        request = pb.DeactivateActorRequest(actor=self._actor(actor, key))
        await self._unary(ActorsService.DEACTIVATE_ACTOR, request, None)

    async def delete(self, actor: str | ActorDef[Any], key: str) -> int:
        """Deletes an actor's state, tags and history, and answers the revision of that. Its pending
        effects still go; calls that come later meet a fresh actor.
        """
        request = pb.DeleteActorRequest(actor=self._actor(actor, key))
        done: pb.DeleteActorResponse = await self._unary(ActorsService.DELETE_ACTOR, request, None)
        return done.revision

    async def history(self, actor: str | ActorDef[Any], key: str) -> AsyncIterator[Revision]:
        """The revisions of an actor that are kept, the newest first."""
        request = pb.ListRevisionsRequest(actor=self._actor(actor, key))
        while True:
            page = await self._unary(ActorsService.LIST_REVISIONS, request, None)
            for one in page.revisions:
                yield Revision(one.revision, from_millis(one.committed_at_ms), one.state_bytes)
            if len(page.revisions) == 0:
                return
            request.below = page.revisions[-1].revision

    async def state_at(
        self,
        actor: str | ActorDef[S],
        key: str,
        *,
        revision: int | None = None,
        time: datetime | None = None,
    ) -> Past[S]:
        """An actor's state at a kept revision, or at the newest one up to a time."""
        request = pb.GetRevisionRequest(actor=self._actor(actor, key))
        _fill_at(request, revision, time)
        answer: pb.GetRevisionResponse = await self._unary(
            ActorsService.GET_REVISION, request, None
        )
        state: Any = None
        if answer.state.content_type:
            if isinstance(actor, ActorDef):
                state = actor.state.decode(answer.state)
            else:
                state = any_value(answer.state)
        found = answer.revision
        return Past(state, found.revision, from_millis(found.committed_at_ms), dict(answer.tags))

    async def restore(
        self,
        actor: str | ActorDef[Any],
        key: str,
        *,
        revision: int | None = None,
        time: datetime | None = None,
    ) -> Restored:
        """Gives an actor the state that it had, as a new revision."""
        request = pb.RestoreActorRequest(actor=self._actor(actor, key))
        _fill_at(request, revision, time)
        done: pb.RestoreActorResponse = await self._unary(
            ActorsService.RESTORE_ACTOR, request, None
        )
        return Restored(done.revision, done.restored)

    def _actor(self, actor: str | ActorDef[Any], key: str) -> type_pb2.ActorId:
        name = actor if isinstance(actor, str) else actor.name
        return type_pb2.ActorId(system=self._system, type=name, key=key)


def _fill_at(request: Any, revision: int | None, time: datetime | None) -> None:
    if (revision is None) == (time is None):
        raise ValueError("give either a revision or a time")
    if revision is not None:
        request.revision = revision
    else:
        request.time_ms = to_millis(time)


@dataclass(frozen=True, slots=True)
class DeadLetter:
    """An effect, or a message to a channel, that could not be delivered."""

    #: Names it, for `retry` and `drop`.
    id: str
    source: ActorId
    #: Without type and key for messages.
    target: ActorId
    #: Empty for messages.
    action: str
    #: The argument, or what was said: a JSON value, or a protobuf message of a type that this
    #: process knows; None for none.
    argument: Any
    request_id: str
    #: The channel that the message was for; empty for effects.
    channel: str
    #: Why it could not be delivered.
    error: CallError
    attempts: int
    created_at: datetime | None
    died_at: datetime | None


class DeadLetters:
    """Effects of the client's system that could not be delivered: `client.dead_letters`. All
    methods raise `CallError`.
    """

    def __init__(self, unary: Unary, system: str) -> None:
        self._unary = unary
        self._system = system

    async def list(self, source_type: str = "") -> AsyncIterator[DeadLetter]:
        """The dead letters of a source type, or of all, the oldest first."""
        request = letters_pb.ListDeadLettersRequest(system=self._system, source_type=source_type)
        while True:
            page = await self._unary(DeadLettersService.LIST_DEAD_LETTERS, request, None)
            for one in page.letters:
                yield _letter(one)
            if not page.next_page_token:
                return
            request.page_token = page.next_page_token

    async def retry(self, letter: DeadLetter | str) -> None:
        """Delivers a dead letter again, with its own request id."""
        request = letters_pb.RetryDeadLetterRequest(id=_name(letter))
        await self._unary(DeadLettersService.RETRY_DEAD_LETTER, request, None)

    async def drop(self, letter: DeadLetter | str) -> None:
        """Forgets a dead letter."""
        request = letters_pb.DropDeadLetterRequest(id=_name(letter))
        await self._unary(DeadLettersService.DROP_DEAD_LETTER, request, None)


def _name(letter: DeadLetter | str) -> str:
    return letter if isinstance(letter, str) else letter.id


def _letter(letter: letters_pb.DeadLetter) -> DeadLetter:
    source, target = letter.source, letter.target
    return DeadLetter(
        id=letter.id,
        source=ActorId(source.type, source.key, source.system or "default"),
        target=ActorId(target.type, target.key, target.system or "default"),
        action=letter.action,
        argument=any_value(letter.payload),
        request_id=letter.request_id,
        channel=letter.channel,
        error=CallError.from_proto(letter.error),
        attempts=letter.attempts,
        created_at=from_millis(letter.created_at_ms),
        died_at=from_millis(letter.died_at_ms),
    )
