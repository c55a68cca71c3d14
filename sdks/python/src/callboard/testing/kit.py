"""The test kit: one actor under test, in a world that the test controls."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Any, Generic, TypeVar, cast

from ..actor import Actor, bind
from ..codec import message_payload
from ..definition import ActionDef, ActorDef, Kind
from ..errors import CallError
from ..ids import ActorId, uuid7
from ..protocol.callboard.host.v1.host_pb2 import TurnResult
from ..protocol.callboard.type.v1.type_pb2 import Payload
from ..ref import ActorRef, CallOptions, json_action
from .clock import START, VirtualClock
from .lives import Broadcast, Effect, Fault, Life, NextCall, Refused, Request
from .outgoing import TURN_TIMEOUT
from .world import World, type_name

if TYPE_CHECKING:
    from typing_extensions import Unpack

S = TypeVar("S")
R = TypeVar("R", bound=ActorRef)
Req = TypeVar("Req")
Rep = TypeVar("Rep")


@dataclass(frozen=True)
class _Next:
    """What the test wants to be special about its next call."""

    attempt: int = 1
    caller: ActorId | None = None
    fault: Fault | None = None


class TestKit(Generic[S, R]):
    """Runs one actor: `kit = TestKit(Counter, "u1")`, then `await
    kit.ref.add(AddRequest(amount=1))`.

    `state` is the committed state to begin with, `now` the time to begin at.
    """

    __test__ = False  # for pytest: this class is no test

    def __init__(
        self,
        actor: type[Actor[S, R]],
        key: str = "test",
        *,
        state: S | None = None,
        now: datetime = START,
        system: str = "default",
    ) -> None:
        bound = bind(actor)
        self._world = World(now, system)
        self._world.actors[bound.definition.name] = bound
        self._system = system
        self._id = ActorId(bound.definition.name, key, system)
        self._next = _Next()
        #: Calls the actor under test.
        self.ref: R = cast(R, actor.reference(self, key))
        if bound.definition.kind == Kind.NAMED:
            # It is there before it was ever called, under the key that the test gave it.
            self._world.life(self._id)
        if state is not None:
            codec = bound.definition.state
            self._life.state = Payload(
                content_type=codec.content_type, type_url=codec.type_url, data=codec.encode(state)
            )

    @property
    def _life(self) -> Life:
        return self._world.life(self._id)

    @property
    def clock(self) -> VirtualClock:
        """The time that the actors see: `kit.clock.advance(timedelta(hours=1))`."""
        return self._world.clock

    @property
    def state(self) -> S:
        """The actor's committed state, decoded; its initial state if it has none. Changing it
        changes nothing.
        """
        return cast(S, self.state_of(self._id))

    @property
    def tags(self) -> dict[str, str]:
        """The actor's committed tags."""
        return dict(self._life.tags)

    @property
    def revision(self) -> int:
        """How many turns of the actor were committed."""
        return self._life.revision

    @property
    def active(self) -> bool:
        """Whether the actor is in memory. It leaves it by `restart`, or when it is idle for long
        enough.
        """
        return self._life.active

    @property
    def activations(self) -> int:
        """How often the actor came to life."""
        return self._life.activations

    @property
    def calls(self) -> list[Effect]:
        """The calls that actions made to other actors inside their turns, in order."""
        return self._world.outgoing.calls

    @property
    def effects(self) -> list[Effect]:
        """The calls that committed turns told, in order."""
        return self._world.outgoing.effects

    @property
    def broadcasts(self) -> list[Broadcast]:
        """What committed turns said on channels, in order."""
        return self._world.outgoing.broadcasts

    @property
    def next(self) -> NextCall | None:
        """Where the actor's newest committed turn left the answer to; None if it answered."""
        return self._world.outgoing.next.get(self._id)

    @property
    def failed(self) -> list[tuple[Effect, CallError]]:
        """Effects, messages and timers whose action failed: nobody else sees their errors."""
        return self._world.outgoing.failed

    def state_of(self, actor: ActorId) -> Any:
        """The committed state of any actor of the kit."""
        life = self._world.life(actor)
        if life.state is None:
            return life.bound.factory().initial()
        return life.bound.definition.state.decode(life.state)

    def add(self, *actors: type[Actor[Any, Any]]) -> None:
        """Runs further actor types, which the actor under test may call."""
        for actor in actors:
            bound = bind(actor)
            self._world.actors[bound.definition.name] = bound

    def stub(
        self, actor: str | ActorDef[Any] | type[Actor[Any, Any]], answers: Mapping[str, Any]
    ) -> None:
        """Answers calls to an actor type in its place.

        `answers` maps action names, as on the wire, to a reply, to an exception to raise, or to a
        function that takes the
        `Effect` and answers either.
        """
        self._world.stubs[type_name(actor)] = answers

    def next_call(
        self, *, attempt: int = 1, caller: ActorId | None = None, fault: Fault | None = None
    ) -> None:
        """Makes the next call special: a later attempt, a call from an actor, or one with a
        `Fault`.
        """
        self._next = _Next(attempt, caller, fault)

    def inject(self, fault: Callable[[Effect], Fault | None] | None) -> None:
        """Asks `fault` for each turn from here on, of any actor, whether something goes wrong with
        it: also those of effects, messages and timers. None asks no more.
        """
        self._world.inject = fault

    async def deliver(self) -> None:
        """Delivers what is due of that which committed turns told and broadcast, and of that which
        follows from it, to the actors of the kit and its stubs. `clock.advance` does so too.
        """
        await self._world.settle()

    async def publish(
        self, channel: str, message: object = None, *, metadata: Mapping[str, str] | None = None
    ) -> None:
        """Says something on a channel from outside; the actors of the kit that listen hear it."""
        self._world.outgoing.say(None, channel, message_payload(message), metadata or {})
        await self._world.settle()

    async def restart(self) -> None:
        """Ends every activation, as a crash of all hosts would: only committed state is left."""
        for life in self._world.lives.values():
            life.active = False

    def actor_id(self, actor_type: str, key: str) -> ActorId:
        """An actor of this kit."""
        return ActorId(actor_type, key, self._system)

    async def call(self, action: str, argument: Any = None, **options: Unpack[CallOptions]) -> Any:
        """Runs an action of the actor under test by its name on the wire, with the argument that it
        takes.
        """
        bound = self._life.bound.actions.get(action)
        definition = bound.definition if bound is not None else json_action(action)
        return await self.invoke(self._id, definition, argument, options)

    async def invoke(
        self,
        target: ActorId,
        action: ActionDef[Req, Rep],
        argument: Req | None,
        options: CallOptions,
    ) -> Rep:
        """Runs an action of any actor of the kit; typed references use it. Raises `CallError`."""
        if target.type not in self._world.actors:
            raise LookupError(f"the kit does not run actor type {target.type}: add it with kit.add")
        special, self._next = self._next, _Next()
        payload = None
        if argument is not None:
            codec = action.argument
            payload = Payload(
                content_type=codec.content_type,
                type_url=codec.type_url,
                data=codec.encode(argument),
            )
        request = Request(
            target=target,
            action=action.name,
            payload=payload,
            request_id=options.get("idempotency_key") or uuid7(),
            timeout=self._timeout(options),
            created_at=self.clock.now(),
            metadata=options.get("metadata") or {},
        )
        request = replace(
            request, attempt=special.attempt, caller=special.caller, fault=special.fault
        )
        return _reply(action, request, await self._run(request))

    async def _run(self, request: Request) -> TurnResult:
        try:
            return await self._world.call(request)
        except Refused as refused:
            refused.error.request_id = request.request_id
            raise refused.error from None

    def _timeout(self, options: CallOptions) -> timedelta:
        given = options.get("timeout")
        if given is None:
            return self._life.bound.definition.settings.turn_timeout or TURN_TIMEOUT
        return given if isinstance(given, timedelta) else timedelta(seconds=given)


def _reply(action: ActionDef[Any, Rep], request: Request, result: TurnResult) -> Rep:
    if result.HasField("error"):
        raise CallError.from_proto(result.error, request.request_id)
    if not result.reply.content_type:
        return action.reply.missing()
    return action.reply.decode(result.reply)
