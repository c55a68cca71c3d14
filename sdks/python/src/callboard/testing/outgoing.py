"""What the actors of a test set going: effects, messages on channels, timers, and the time that
they wait for.
"""

from __future__ import annotations

import asyncio
import heapq
from collections.abc import Awaitable, Callable, Mapping
from contextvars import ContextVar
from datetime import datetime, timedelta
from typing import TYPE_CHECKING

from ..codec import any_value
from ..definition import Channel, Deliver, Kind
from ..errors import CallError, Retry
from ..ids import ActorId, uuid7
from ..protocol.callboard.host.v1 import host_pb2
from ..protocol.callboard.type.v1.type_pb2 import Payload
from ..times import from_millis
from .lives import Broadcast, Effect, Life, NextCall, Refused, Request

if TYPE_CHECKING:
    from .world import World

TURN_TIMEOUT = timedelta(seconds=30)
#: How often a delivery is tried.
ATTEMPTS_MAX = 10
#: More deliveries than this at one instant are actors that tell each other for ever.
DELIVERIES_MAX = 100_000

#: True within what is being delivered, which must not wait for the deliveries.
_DELIVERING: ContextVar[bool] = ContextVar("callboard_delivering", default=False)


class Outgoing:
    """Records, and delivers when the test says so: `deliver` what is due at once, its clock what
    comes later.
    """

    def __init__(self, world: World) -> None:
        self._world = world
        #: Calls that actions waited for.
        self.calls: list[Effect] = []
        self.effects: list[Effect] = []
        self.broadcasts: list[Broadcast] = []
        #: By actor, where its newest committed turn left the answer to.
        self.next: dict[ActorId, NextCall] = {}
        self.failed: list[tuple[Effect, CallError]] = []
        self._due: list[tuple[datetime, int, Effect, Callable[[], Awaitable[None]]]] = []
        self._number = 0
        self._settling = asyncio.Lock()

    def bind(self) -> None:
        """Another event loop runs the test from here on."""
        self._settling = asyncio.Lock()

    def committed(self, request: Request, workflow: host_pb2.Workflow) -> None:
        """A turn was committed."""
        for effect in workflow.effects:
            self._tell(request, effect)
        for said in workflow.broadcasts:
            self.say(request.target, said.channel, said.payload, dict(said.metadata))

    def _tell(self, request: Request, effect: host_pb2.Effect) -> None:
        now = self._world.clock.now()
        due = from_millis(effect.due_at_ms)
        if effect.delay_ms:
            due = now + timedelta(milliseconds=effect.delay_ms)
        payload = effect.payload if effect.HasField("payload") else None
        target = effect.target
        told = Effect(
            ActorId(target.type, target.key, target.system or request.target.system),
            effect.action,
            any_value(payload),
            request.target,
            due=due,
            metadata=dict(effect.metadata),
        )
        self.effects.append(told)
        if told.target.type in self._world.actors or told.target.type in self._world.stubs:
            self._later(due or now, told, payload)

    def say(
        self,
        source: ActorId | None,
        channel: str,
        payload: Payload,
        metadata: Mapping[str, str],
    ) -> None:
        """Something is said on a channel, by an actor or by the test."""
        if source is not None:
            said = Broadcast(channel, any_value(payload), source, dict(metadata))
            self.broadcasts.append(said)
        self._world.begin_named()
        for actor, life in list(self._world.lives.items()):
            for heard in life.bound.definition.channels:
                if heard.name == channel and _hears(life, heard):
                    effect = Effect(
                        actor,
                        heard.action,
                        any_value(payload),
                        source or actor,
                        metadata={**metadata, "callboard-channel": channel},
                    )
                    self._later(self._world.clock.now(), effect, payload)

    def _later(self, due: datetime, effect: Effect, payload: Payload | None) -> None:
        request = Request(
            target=effect.target,
            action=effect.action,
            payload=payload,
            request_id=uuid7(),
            timeout=TURN_TIMEOUT,
            created_at=due,
            metadata=effect.metadata,
            caller=effect.caller,
        )
        self._number += 1
        entry = (due, self._number, effect, lambda: self._deliver(effect, request))
        heapq.heappush(self._due, entry)

    async def _deliver(self, effect: Effect, request: Request) -> None:
        """Until it is done, as a node does; an error of the target's own ends it too."""
        for attempt in range(1, ATTEMPTS_MAX + 1):
            error: CallError
            try:
                result = await self._world.answer(effect, request)
                if not result.HasField("error"):
                    return
                error = CallError.from_proto(result.error)
            except Refused as refused:
                error = refused.error
                if error.retry in (Retry.SAFE, Retry.SAME_ID) and attempt < ATTEMPTS_MAX:
                    continue
            self.failed.append((effect, error))
            return

    async def settle(self) -> None:
        """Delivers what is due."""
        if _DELIVERING.get():
            return
        async with self._settling:
            token = _DELIVERING.set(True)
            try:
                for _ in range(DELIVERIES_MAX):
                    if not self._due or self._due[0][0] > self._world.clock.now():
                        return
                    await heapq.heappop(self._due)[3]()
            finally:
                _DELIVERING.reset(token)
        raise RuntimeError(f"more than {DELIVERIES_MAX} deliveries: do actors tell each other on?")

    async def advance(self, to: datetime) -> None:
        """Moves time forward step by step: to each delivery, timer and deactivation in between."""
        await self.settle()
        while (step := self._step(to)) is not None:
            self._world.clock.set(step)
            await self.settle()
            for actor, life in list(self._world.lives.items()):
                await self._fire(actor, life, step)
            await self.settle()
            self._world.deactivate_idle()
        self._world.clock.set(to)

    def _step(self, to: datetime) -> datetime | None:
        """The next time up to `to` at which something happens."""
        times = [self._due[0][0]] if self._due else []
        for life in self._world.lives.values():
            if life.active:
                times += life.timers.values()
                times += [life.idle_at] if life.idle_at is not None else []
        step = min(times, default=None)
        return None if step is None or step > to else max(step, self._world.clock.now())

    async def _fire(self, actor: ActorId, life: Life, now: datetime) -> None:
        """Runs the timers of an actor that are due."""
        for timer in life.bound.definition.settings.timers:
            due = life.timers.get(timer.action)
            if not life.active or due is None or due > now:
                continue
            life.timers[timer.action] = now + timer.every
            metadata = {"callboard-timer": timer.action}
            request = Request(
                target=actor,
                action=timer.action,
                payload=None,
                request_id=uuid7(),
                timeout=life.bound.definition.settings.turn_timeout or TURN_TIMEOUT,
                created_at=now,
                metadata=metadata,
                timer=True,
            )
            effect = Effect(actor, timer.action, None, actor, metadata=metadata)
            await self._deliver(effect, request)


def _hears(life: Life, heard: Channel) -> bool:
    named = life.bound.definition.kind == Kind.NAMED
    deliver = heard.deliver or (Deliver.EVERY if named else Deliver.ACTIVE)
    return named or life.revision > 0 if deliver == Deliver.EVERY else life.active
