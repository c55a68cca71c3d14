"""Calls that are made by the clock."""

from __future__ import annotations

import enum
from collections.abc import AsyncIterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any, Protocol

from google.protobuf import json_format

from .codec import any_value, fill_payload
from .ids import ActorId, uuid7
from .protocol.callboard.control.v1 import schedules_pb2 as pb
from .protocol.callboard.control.v1.schedules_rpc import SchedulesService
from .ref import Call
from .times import from_millis, millis, to_millis
from .workflow import fill_target


class Overlap(enum.IntEnum):
    """What to do when an occurrence is due while the one before it still runs."""

    #: It is missed.
    SKIP = 1
    #: It waits until the one before it ended; of several that wait, one is made up for.
    QUEUE = 2
    #: It goes into the actor's mailbox at once.
    ALLOW = 3


@dataclass(frozen=True, slots=True, kw_only=True)
class When:
    """When a schedule calls: exactly one of `at`, `delay`, `every` and `cron`."""

    #: Once, at this time, which has a time zone.
    at: datetime | None = None
    #: Once, this much later than it was made: a timedelta or seconds.
    delay: timedelta | float | None = None
    #: Again and again, at least 100 ms apart, counted from `starts_at` or from when it was made.
    every: timedelta | float | None = None
    #: A cron line with five or six fields (seconds first), or one of @hourly, @daily, @weekly,
    #: @monthly and @yearly.
    cron: str = ""
    #: Cron: the time zone, as `Europe/Berlin`; empty stands for UTC.
    time_zone: str = ""
    #: Each occurrence is put off by up to this much.
    jitter: timedelta | float = 0.0
    #: None stands for SKIP.
    overlap: Overlap | None = None
    #: Occurrences that are later than this are missed and not made up for; None stands for a
    #: minute.
    catch_up: timedelta | float | None = None
    #: No occurrence before this time.
    starts_at: datetime | None = None
    #: No occurrence after this time.
    ends_at: datetime | None = None
    #: Ends after this many firings; 0 for no limit.
    max_firings: int = 0

    def spec(self) -> pb.ScheduleSpec:
        """It as it travels, without whom to call. Raises ValueError unless it says one time."""
        given = [self.at is not None, self.delay is not None, self.every is not None]
        if sum((*given, bool(self.cron))) != 1:
            raise ValueError("a schedule needs exactly one of at, delay, every and cron")
        spec = pb.ScheduleSpec(
            time_zone=self.time_zone,
            jitter_ms=millis(self.jitter),
            overlap=int(self.overlap or 0),
            catchup_window_ms=millis(self.catch_up or 0),
            starts_at_ms=to_millis(self.starts_at),
            ends_at_ms=to_millis(self.ends_at),
            max_firings=self.max_firings,
        )
        if self.at is not None:
            spec.at_ms = to_millis(self.at)
        elif self.delay is not None:
            spec.delay_ms = millis(self.delay)
        elif self.every is not None:
            spec.interval_ms = millis(self.every)
        else:
            spec.cron = self.cron
        return spec


@dataclass(frozen=True, slots=True)
class Schedule:
    """A schedule as it stands."""

    name: str
    system: str
    target: ActorId
    action: str
    #: A JSON value, or a protobuf message of a type that this process knows; None for none.
    argument: Any
    metadata: Mapping[str, str]
    when: When
    paused: bool
    #: Raised with each update.
    generation: int
    #: When it is due next, jitter included; None if it has ended.
    next: datetime | None
    fired: int
    #: How many occurrences were missed: too late, paused, or skipped.
    missed: int
    #: How many firings ended with an error of the call.
    failed: int
    last_fired: datetime | None
    #: Why the newest firing failed; empty if it did not.
    last_error: str
    created: datetime | None


class Unary(Protocol):
    """Makes a call that may be repeated freely; the client's."""

    async def __call__(self, rpc: Any, request: Any, timeout: float | None) -> Any: ...


class Schedules:
    """The schedules of the client's system: `client.schedules`. All methods raise `CallError`."""

    def __init__(self, unary: Unary, system: str) -> None:
        self._unary = unary
        self._system = system

    async def create(
        self, call: Call[Any], when: When, *, name: str | None = None, paused: bool = False
    ) -> Schedule:
        """Makes a schedule of a call, as `ref.remind(request)` without `await`. A name is made up
        if there is none. Making one again that is the same changes nothing.
        """
        request = pb.CreateScheduleRequest(
            system=self._system,
            name=name or uuid7(),
            spec=_spec(call, when),
            paused=paused,
            request_id=uuid7(),
        )
        made = await self._unary(SchedulesService.CREATE_SCHEDULE, request, None)
        return _schedule(made.schedule)

    async def update(
        self, name: str, call: Call[Any], when: When, *, if_generation: int = 0
    ) -> Schedule:
        """Has a schedule make another call or at other times; it keeps its counters. With
        `if_generation` only while it has that generation.
        """
        request = pb.UpdateScheduleRequest(
            system=self._system, name=name, spec=_spec(call, when), if_generation=if_generation
        )
        made = await self._unary(SchedulesService.UPDATE_SCHEDULE, request, None)
        return _schedule(made.schedule)

    async def get(self, name: str) -> Schedule:
        """A schedule as it stands."""
        request = pb.GetScheduleRequest(system=self._system, name=name)
        return _schedule((await self._unary(SchedulesService.GET_SCHEDULE, request, None)).schedule)

    async def list(self, prefix: str = "") -> AsyncIterator[Schedule]:
        """The schedules whose names begin with `prefix`, by name."""
        request = pb.ListSchedulesRequest(system=self._system, name_prefix=prefix)
        while True:
            page = await self._unary(SchedulesService.LIST_SCHEDULES, request, None)
            for one in page.schedules:
                yield _schedule(one)
            if not page.next_page_token:
                return
            request.page_token = page.next_page_token

    async def pause(self, name: str) -> Schedule:
        """Keeps a schedule from firing until it is resumed."""
        request = pb.PauseScheduleRequest(system=self._system, name=name)
        return _schedule(
            (await self._unary(SchedulesService.PAUSE_SCHEDULE, request, None)).schedule
        )

    async def resume(self, name: str) -> Schedule:
        """Lets a schedule fire again; what was due meanwhile counts as missed."""
        request = pb.ResumeScheduleRequest(system=self._system, name=name)
        return _schedule(
            (await self._unary(SchedulesService.RESUME_SCHEDULE, request, None)).schedule
        )

    async def trigger(self, name: str) -> Schedule:
        """Fires a schedule now, beside its own times; a paused one too."""
        request = pb.TriggerScheduleRequest(system=self._system, name=name, request_id=uuid7())
        return _schedule(
            (await self._unary(SchedulesService.TRIGGER_SCHEDULE, request, None)).schedule
        )

    async def delete(self, name: str) -> None:
        """Deletes a schedule. An occurrence that was handed to its actor still runs."""
        request = pb.DeleteScheduleRequest(system=self._system, name=name, request_id=uuid7())
        await self._unary(SchedulesService.DELETE_SCHEDULE, request, None)

    async def preview(
        self,
        when: When,
        *,
        call: Call[Any] | None = None,
        count: int = 5,
        after: datetime | None = None,
    ) -> Sequence[datetime]:
        """When a schedule would fire, from `after` or now on, without making it."""
        spec = when.spec() if call is None else _spec(call, when)
        request = pb.PreviewScheduleRequest(spec=spec, count=count, after_ms=to_millis(after))
        answer = await self._unary(SchedulesService.PREVIEW_SCHEDULE, request, None)
        return [time for one in answer.times_ms if (time := from_millis(one)) is not None]


def _spec(call: Call[Any], when: When) -> pb.ScheduleSpec:
    given = call.describe().options
    for option in ("timeout", "idempotency_key"):
        if option in given:
            raise ValueError(f"a scheduled call has no {option}: nobody waits for its reply")
    spec = when.spec()
    fill_target(spec.target, call.target)
    spec.action = call.action.name
    spec.metadata.update(given.get("metadata") or {})
    if call.argument is not None:
        fill_payload(spec.payload, call.action.argument, call.argument)
    return spec


def _schedule(schedule: pb.Schedule) -> Schedule:
    spec = schedule.spec
    system = schedule.system or "default"
    kind = spec.WhichOneof("argument")
    return Schedule(
        name=schedule.name,
        system=system,
        target=ActorId(spec.target.type, spec.target.key, spec.target.system or system),
        action=spec.action,
        argument=json_format.MessageToDict(spec.json)
        if kind == "json"
        else any_value(spec.payload),
        metadata=dict(spec.metadata),
        when=_when(spec),
        paused=schedule.paused,
        generation=schedule.generation,
        next=from_millis(schedule.next_ms),
        fired=schedule.fired,
        missed=schedule.missed,
        failed=schedule.failed,
        last_fired=from_millis(schedule.last_fired_ms),
        last_error=schedule.last_error,
        created=from_millis(schedule.created_ms),
    )


def _when(spec: pb.ScheduleSpec) -> When:
    kind = spec.WhichOneof("when")
    catch_up = spec.catchup_window_ms
    return When(
        at=from_millis(spec.at_ms),
        delay=timedelta(milliseconds=spec.delay_ms) if kind == "delay_ms" else None,
        every=timedelta(milliseconds=spec.interval_ms) if kind == "interval_ms" else None,
        cron=spec.cron,
        time_zone=spec.time_zone,
        jitter=timedelta(milliseconds=spec.jitter_ms),
        overlap=Overlap(int(spec.overlap)) if spec.overlap else None,
        catch_up=timedelta(milliseconds=catch_up) if catch_up else None,
        starts_at=from_millis(spec.starts_at_ms),
        ends_at=from_millis(spec.ends_at_ms),
        max_firings=spec.max_firings,
    )
