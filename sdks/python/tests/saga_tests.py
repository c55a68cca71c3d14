"""Sagas: every step done or taken back, whatever fails and whenever it crashes."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from datetime import timedelta
from typing import Any

import pytest

from callboard import (
    ActorError,
    ActorId,
    Code,
    Context,
    JsonActor,
    Progress,
    Saga,
    SagaTurn,
    Step,
    action,
)
from callboard.testing import Effect, Fault, TestKit

STEPS = ("one", "two", "three")


@dataclass
class Count:
    """A counter, and the changes that reached it."""

    total: int = 0
    changes: list[str] = field(default_factory=list)


class Counter(JsonActor[Count]):
    """What the steps change."""

    state_type = Count

    @action()
    async def change(self, ctx: Context[Count], by: int) -> int:
        """Adds, or refuses if the amount is odd."""
        if by % 2:
            raise ActorError(Code.FAILED_PRECONDITION, "ODD", "only even numbers")
        ctx.state.total += by
        ctx.state.changes.append(ctx.request_id)
        return ctx.state.total


@dataclass
class Work:
    """What the saga works on."""

    amount: int = 2
    #: What goes wrong, by "STEP" or "STEP/undo": "refuse", or a number of bugs.
    wrong: dict[str, Any] = field(default_factory=dict)
    seen: list[str] = field(default_factory=list)


@dataclass
class Order:
    """The coordinator's state."""

    saga: Progress | None = None
    spoiled: int = 0


#: How often each part failed on purpose; outside of all state, as a bug would be.
FAILURES: dict[str, int] = {}

Do = Callable[[Context[Order], Work], Awaitable[None]]


def part(name: str, sign: int) -> Do:
    """One step's action or compensation."""

    async def do(ctx: Context[Order], work: Work) -> None:
        ctx.state.spoiled += 1
        work.seen.append(name)
        ctx.tags[name] = "yes"
        ctx.tell(ctx.ref("Counter", "log").call("change", 2))
        wrong = work.wrong.get(name, 0)
        counter = ctx.ref("Counter", name.partition("/")[0])
        await counter.call("change", 1 if wrong == "refuse" else sign * work.amount)
        if wrong != "refuse" and FAILURES.setdefault(name, 0) < wrong:
            FAILURES[name] += 1
            raise KeyError(f"a bug in {name}")

    return do


def _save(state: Order, progress: Progress) -> None:
    state.saga = progress


def _load(state: Order) -> Progress | None:
    return state.saga


class Coordinator(JsonActor[Order]):
    """Runs the saga."""

    state_type = Order
    saga: Saga[Order, Work] = Saga(
        [Step(name, part(name, 1), part(f"{name}/undo", -1)) for name in STEPS],
        load=_load,
        save=_save,
        data_type=Work,
        action="go_on",
        attempts=3,
    )

    @action()
    async def start(self, ctx: Context[Order], work: Work) -> str:
        """Starts."""
        return self.saga.start(ctx, work)

    @action()
    async def go_on(self, ctx: Context[Order], argument: SagaTurn) -> None:
        """The saga's own action."""
        await self.saga.turn(ctx, argument)

    @action()
    async def resume(self, ctx: Context[Order]) -> None:
        """Goes on."""
        self.saga.resume(ctx)


def _kit() -> TestKit[Order, Any]:
    FAILURES.clear()
    kit = TestKit(Coordinator, "o")
    kit.add(Counter)
    return kit


async def _play(kit: TestKit[Order, Any], wrong: dict[str, Any]) -> None:
    await kit.call("start", Work(wrong=wrong), idempotency_key="start")
    await kit.clock.advance(timedelta(minutes=5))
    if _progress(kit).status == "failed":
        await kit.call("resume")
        await kit.clock.advance(timedelta(minutes=5))


def _totals(kit: TestKit[Order, Any]) -> list[int]:
    return [kit.state_of(ActorId("Counter", name)).total for name in STEPS]


def _changes(kit: TestKit[Order, Any]) -> list[list[str]]:
    """The ids of the changes, without that of the saga."""
    states = [kit.state_of(ActorId("Counter", name)) for name in STEPS]
    return [[one.partition("/")[2] for one in state.changes] for state in states]


def _progress(kit: TestKit[Order, Any]) -> Progress:
    assert kit.state.saga is not None
    return kit.state.saga


#: What goes wrong, and how it ends: the status, and the steps whose changes are taken back.
STORIES: dict[str, tuple[dict[str, Any], str, int]] = {
    "all goes well": ({}, "done", 0),
    "a refusal at the first step": ({"one": "refuse"}, "compensated", 0),
    "a refusal at the second step": ({"two": "refuse"}, "compensated", 1),
    "a refusal at the third step": ({"three": "refuse"}, "compensated", 2),
    "a bug at the first step": ({"one": 1}, "done", 0),
    "two bugs at the second step": ({"two": 2}, "done", 0),
    "a bug at the third step": ({"three": 1}, "done", 0),
    "a second step that is given up": ({"two": 9}, "compensated", 2),
    "a compensation that fails twice": ({"three": "refuse", "two/undo": 2}, "compensated", 2),
    "a compensation that fails until it is resumed": (
        {"three": "refuse", "one/undo": 3},
        "compensated",
        2,
    ),
}


@pytest.mark.parametrize("story", STORIES)
async def a_saga_ends_as_its_story_says(story: str) -> None:
    wrong, status, undone = STORIES[story]
    kit = _kit()
    await _play(kit, wrong)
    assert _progress(kit).status == status
    assert Coordinator.saga.status(kit.state) == status
    assert _totals(kit) == ([2, 2, 2] if status == "done" else [0, 0, 0])
    expected = [[f"{name}/0"] for name in STEPS] if status == "done" else []
    if status == "compensated":
        expected = [
            [f"{name}/0", f"{name}/undo/0"] if number < undone else []
            for number, name in enumerate(STEPS)
        ]
    assert _changes(kit) == expected
    assert kit.failed == []


@pytest.mark.parametrize("story", STORIES)
@pytest.mark.parametrize("fault", ["before-commit", "after-commit"])
async def a_crash_at_any_turn_changes_no_target_twice(story: str, fault: Fault) -> None:
    wrong, status, _ = STORIES[story]
    kit = _kit()
    await _play(kit, wrong)
    undisturbed = (_totals(kit), _changes(kit))
    turns = _progress(kit).turn
    assert turns >= 1
    for crash in range(1, turns + 1):
        kit = _kit()
        kit.inject(_at_turn(crash, fault))
        await _play(kit, wrong)
        assert _progress(kit).status == status, crash
        assert (_totals(kit), _changes(kit)) == undisturbed, crash


def _at_turn(number: int, fault: Fault) -> Callable[[Effect], Fault | None]:
    left = [True]

    def inject(effect: Effect) -> Fault | None:
        wanted = effect.action == "go_on" and effect.argument.get("turn") == number
        if not wanted or not left:
            return None
        left.clear()
        return fault

    return inject


@pytest.mark.parametrize("step", STEPS)
async def an_unknown_outcome_is_found_applied_by_the_retry(step: str) -> None:
    kit = _kit()
    lost = [step]

    def inject(effect: Effect) -> Fault | None:
        if effect.target.key in lost:
            lost.clear()
            return "after-commit"
        return None

    kit.inject(inject)
    await _play(kit, {})
    assert _progress(kit).status == "done" and _totals(kit) == [2, 2, 2]
    assert _progress(kit).turn == 4  # three steps, one of them twice


async def what_a_failed_try_did_to_state_tags_and_data_is_undone() -> None:
    kit = _kit()
    await _play(kit, {"two": 2})
    assert kit.state.spoiled == 3 and _progress(kit).data["seen"] == list(STEPS)
    kit = _kit()
    await _play(kit, {"two": "refuse"})
    assert set(kit.tags) == {"one", "one/undo"}  # what the refused step set is gone
    # What a step told is told once; what a failed one told, never.
    assert sum(effect.target.key == "log" for effect in kit.effects) == 2
    error = _progress(kit).error
    assert error is not None and (error.step, error.reason) == ("two", "ODD")


async def a_compensation_that_fails_for_ever_waits_for_resume() -> None:
    kit = _kit()
    await kit.call("start", Work(wrong={"three": "refuse", "one/undo": 3}))
    await kit.clock.advance(timedelta(minutes=5))
    assert _progress(kit).status == "failed" and _progress(kit).step == "one"
    error = _progress(kit).error
    assert error is not None and error.step == "one"
    await kit.call("resume")
    await kit.clock.advance(60)
    assert _progress(kit).status == "compensated" and _totals(kit) == [0, 0, 0]
    with pytest.raises(ActorError, match="SAGA_NOT_FAILED"):
        await kit.call("resume")


async def a_refused_compensation_is_tried_under_a_new_id() -> None:
    kit = _kit()
    ids: list[str] = []

    def odd_twice(effect: Effect) -> int:
        if effect.target.key == "log":
            return 0
        ids.append(effect.request_id.partition("/")[2])
        if effect.argument < 0 and len(ids) < 5:
            raise ActorError(Code.FAILED_PRECONDITION, "ODD")
        if effect.target.key == "two":
            raise ActorError(Code.FAILED_PRECONDITION, "ODD")
        return 0

    kit.stub("Counter", {"change": odd_twice})
    await _play(kit, {})
    assert _progress(kit).status == "compensated"
    assert ids == ["one/0", "two/0", "one/undo/0", "one/undo1/0", "one/undo2/0"]


async def a_late_or_repeated_turn_does_nothing() -> None:
    kit = _kit()
    await _play(kit, {})
    before = (kit.state, _totals(kit))
    saga = _progress(kit).id
    for argument in (SagaTurn(saga, 1), SagaTurn(saga, 9), SagaTurn("other", 3), SagaTurn(saga)):
        await kit.call("go_on", argument)
    await kit.deliver()
    assert (kit.state, _totals(kit)) == before


async def a_turn_that_vanished_is_noticed_by_the_watch() -> None:
    kit = _kit()
    kit.inject(_at_turn(2, "crashed-host"))
    await kit.call("start", Work())
    # The first watch knows of the first turn only, and looks again a minute later.
    await kit.clock.advance(119)
    assert (_progress(kit).status, _progress(kit).turn) == ("running", 2)
    await kit.clock.advance(1)
    assert _progress(kit).status == "done" and _totals(kit) == [2, 2, 2]


async def a_second_start_is_refused_until_the_first_is_over() -> None:
    kit = _kit()
    first = await kit.call("start", Work())
    with pytest.raises(ActorError) as refused:
        await kit.call("start", Work())
    assert (refused.value.reason, int(refused.value.code)) == ("SAGA_RUNNING", 9)
    await kit.clock.advance(60)
    assert await kit.call("start", Work()) != first


def the_progress_travels_as_text_for_states_of_protobuf() -> None:
    progress = Progress("id", "running", "one", 1, data={"a": 1})
    assert Progress.from_json(progress.to_json()) == progress
    assert Progress.from_json("") is None
