"""What turns set going, in the test kit: effects, messages, the actor that answers, timers."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import timedelta
from typing import Any

import pytest

from callboard import (
    ActorDef,
    ActorError,
    ActorId,
    CallError,
    Channel,
    Code,
    Context,
    Deliver,
    Durability,
    History,
    JsonActor,
    JsonCodec,
    JsonRef,
    Kind,
    Pooled,
    Settings,
    Timer,
    action,
    timer,
)
from callboard.testing import Effect, NextCall, TestKit


@dataclass
class Log:
    """What an actor heard."""

    lines: list[str] = field(default_factory=list)


class Audit(JsonActor[Log]):
    """Remembers what it is told."""

    state_type = Log

    @action()
    async def note(self, ctx: Context[Log], line: str) -> str:
        """Remembers."""
        ctx.state.lines.append(line)
        if line == "bad":
            raise ActorError(Code.INVALID_ARGUMENT, "BAD", "a bad line")
        return f"noted {line}"


class Teller(JsonActor[Log], channels=["news", Channel("all", "hear_all", Deliver.EVERY)]):
    """Sets going what its argument asks for."""

    state_type = Log

    @action()
    async def tell(self, ctx: Context[Log], lines: list[str]) -> None:
        """Tells each line to the audit."""
        for line in lines:
            ctx.tell(ctx.ref("Audit", "a").call("note", line, metadata={"from": ctx.self.key}))

    @action()
    async def tell_later(self, ctx: Context[Log], seconds: float) -> None:
        """Tells it after a while."""
        ctx.tell(ctx.ref("Audit", "a").call("note", f"after {seconds}"), delay=seconds)

    @action()
    async def tell_and_fail(self, ctx: Context[Log]) -> None:
        """Tells, says, and fails."""
        ctx.tell(ctx.ref("Audit", "a").call("note", "lost"))
        ctx.broadcast("news", "lost")
        raise ActorError(Code.ABORTED, "ON_PURPOSE")

    @action()
    async def say(self, ctx: Context[Log], line: str) -> None:
        """Says it to everybody who listens."""
        ctx.broadcast("news", line, metadata={"tone": "loud"})
        ctx.broadcast("all", line)

    @action()
    async def receive(self, ctx: Context[Log], line: str) -> None:
        """Hears the news."""
        ctx.state.lines.append(f"{ctx.metadata['callboard-channel']}: {line}")

    @action()
    async def hear_all(self, ctx: Context[Log], line: str) -> None:
        """Hears what all hear."""
        ctx.state.lines.append(f"{ctx.metadata['callboard-channel']}: {line}")

    @action()
    async def pipe(self, ctx: Context[Log], line: str) -> Any:
        """Hands something else on."""
        ctx.state.lines.append(line)
        return ctx.pipe(ctx.ref("Audit", "a").call("note", f"piped {line}"))

    @action()
    async def forward(self, ctx: Context[Log], line: str) -> Any:
        """Hands its own argument on."""
        return ctx.forward(ctx.ref("Audit", "a").action("note"))

    @action()
    async def circle(self, ctx: Context[Log]) -> Any:
        """Hands on to itself."""
        ctx.state.lines.append("round")
        return ctx.forward(ctx.ref("Teller", ctx.self.key).action("circle"))

    @action()
    async def leave(self, ctx: Context[Log]) -> None:
        """Leaves memory."""
        ctx.deactivate()

    @action()
    async def both(self, ctx: Context[Log]) -> None:
        """Asks for what cannot be."""
        ctx.tell(ctx.ref("Audit", "a").call("note", "x"), delay=1, at=ctx.now())


AUDIT = ActorId("Audit", "a")


def _kit() -> TestKit[Log, Any]:
    kit = TestKit(Teller, "t")
    kit.add(Audit)
    return kit


async def an_effect_is_recorded_with_its_turn_and_delivered_in_order() -> None:
    kit = _kit()
    await kit.call("tell", ["one", "bad", "two"])
    assert kit.effects[0] == Effect(AUDIT, "note", "one", kit.ref.actor_id, None, {"from": "t"})
    assert kit.state_of(AUDIT) == Log()
    await kit.deliver()
    assert kit.state_of(AUDIT) == Log(["one", "two"])
    assert [(effect.argument, error.reason) for effect, error in kit.failed] == [("bad", "BAD")]
    assert kit.calls == []


async def a_turn_that_fails_sets_nothing_going() -> None:
    kit = _kit()
    with pytest.raises(ActorError):
        await kit.call("tell_and_fail")
    assert (kit.effects, kit.broadcasts) == ([], [])


async def a_repeated_call_tells_nothing_twice() -> None:
    kit = _kit()
    kit.next_call(fault="before-commit")
    await kit.call("tell", ["one"], idempotency_key="k")
    await kit.call("tell", ["one"], idempotency_key="k")
    kit.inject(lambda effect: "after-commit" if effect.target == AUDIT else None)
    await kit.deliver()
    assert kit.state_of(AUDIT) == Log(["one"])


async def a_delayed_effect_waits_for_its_time_over_a_restart() -> None:
    kit = _kit()
    await kit.call("tell_later", 90)
    await kit.call("tell_later", 30)
    await kit.restart()
    await kit.clock.advance(29)
    assert kit.state_of(AUDIT) == Log()
    await kit.clock.advance(timedelta(hours=1))
    assert kit.state_of(AUDIT).lines == ["after 30.0", "after 90.0"]


async def a_message_reaches_active_listeners_and_with_every_all_that_have_state() -> None:
    kit = _kit()
    await kit.call("receive", "first", metadata={"callboard-channel": "news"})
    await kit.restart()
    second = kit.actor_id("Teller", "other")
    await JsonRef(kit, "Teller", "other").call("say", "hello")
    await kit.deliver()
    assert kit.state.lines == ["news: first", "all: hello"]
    assert sorted(kit.state_of(second).lines) == ["all: hello", "news: hello"]
    assert [(one.channel, one.message, one.source) for one in kit.broadcasts] == [
        ("news", "hello", second),
        ("all", "hello", second),
    ]
    await kit.publish("all", "from outside")
    assert kit.state.lines[-1] == "all: from outside"


async def the_actor_of_a_named_type_hears_before_it_was_ever_called() -> None:
    class Journal(JsonActor[Log], channels=[Channel("news", "hear")]):
        state_type = Log
        settings = Settings(kind=Kind.NAMED)

        @action()
        async def hear(self, ctx: Context[Log], line: str) -> None:
            """Hears the news."""
            ctx.state.lines.append(line)

    kit = TestKit(Journal)
    await kit.publish("news", "first")
    assert kit.state.lines == ["first"]
    other = _kit()
    other.add(Journal)
    await other.publish("news", "first")
    assert other.state_of(other.actor_id("Journal", "Journal")).lines == ["first"]
    assert other.revision == 0, "an actor of another type exists from its first commit on"


async def a_pipe_and_a_forward_let_the_next_actor_answer() -> None:
    kit = _kit()
    assert await kit.call("pipe", "a", idempotency_key="k") == "noted piped a"
    assert kit.next == NextCall("pipe", AUDIT, "note", "piped a")
    # A retry follows the link and gets the stored reply; nothing runs again.
    assert await kit.call("pipe", "a", idempotency_key="k") == "noted piped a"
    assert kit.state.lines == ["a"]
    assert await kit.call("forward", "b") == "noted b"
    assert kit.state_of(AUDIT).lines == ["piped a", "b"]
    with pytest.raises(ActorError, match="BAD"):
        await kit.call("forward", "bad")


async def a_circle_of_forwards_is_an_error_and_changes_nothing() -> None:
    kit = _kit()
    with pytest.raises(CallError) as refused:
        await kit.call("circle")
    assert refused.value.reason == "CALL_CYCLE"
    assert kit.state == Log()


async def an_actor_leaves_memory_when_it_asks_to() -> None:
    kit = _kit()
    await kit.call("leave")
    assert not kit.active and kit.activations == 1


async def a_delay_and_a_time_together_are_refused() -> None:
    with pytest.raises(CallError, match="not both"):
        await _kit().call("both")


class Ticker(JsonActor[Log]):
    """Has timers."""

    state_type = Log
    settings = Settings(idle_timeout=timedelta(seconds=60))

    @action()
    async def start(self, ctx: Context[Log]) -> None:
        """Comes to life."""

    @timer(every=7)
    async def slow(self, ctx: Context[Log]) -> None:
        """Ticks slowly."""
        ctx.state.lines.append(ctx.metadata["callboard-timer"])

    @timer(every=timedelta(seconds=3))
    @action("Quick")
    async def quick(self, ctx: Context[Log]) -> None:
        """Ticks quickly, under another name."""
        ctx.state.lines.append(ctx.metadata["callboard-timer"])


async def timers_fire_in_order_while_the_actor_is_in_memory() -> None:
    kit = TestKit(Ticker)
    await kit.clock.advance(10)
    assert kit.state == Log()
    await kit.call("start")
    await kit.clock.advance(10)
    assert kit.state.lines == ["Quick", "Quick", "slow", "Quick"]
    await kit.clock.advance(timedelta(hours=1))
    assert not kit.active
    ticks = len(kit.state.lines)
    assert 26 <= ticks <= 29  # a minute's worth: timers keep nobody in memory
    await kit.call("start")
    await kit.clock.advance(3)
    assert len(kit.state.lines) == ticks + 1


def what_a_type_listens_to_and_keeps_is_registered() -> None:
    class Room(JsonActor[Log], channels=["a", "b"], history=History(5, timedelta(minutes=1))):
        state_type = Log

        @action()
        async def receive(self, ctx: Context[Log], message: Any) -> None: ...

        @timer(every=0.5)
        async def tick(self, ctx: Context[Log]) -> None: ...

    made = Room.definition.to_proto()
    assert [(one.channel, one.action, one.deliver) for one in made.subscriptions] == [
        ("a", "receive", 0),
        ("b", "receive", 0),
    ]
    assert [(one.action, one.interval_ms) for one in made.timers] == [("tick", 500)]
    assert (made.history_revisions, made.history_age_ms) == (5, 60_000)
    assert {one.name for one in made.actions} == {"receive", "tick"}

    class Pool(JsonActor[Log], pooled=Pooled(1, 8)):
        @action()
        async def work(self, ctx: Context[Log]) -> None: ...

    pool = Pool.definition.to_proto()
    assert (pool.kind, pool.durability, pool.pool_min, pool.pool_max) == (int(Kind.POOLED), 0, 1, 8)


def a_channel_may_name_the_method_of_an_action_with_another_name() -> None:
    class Room(JsonActor[Log], channels=["a", Channel("b", "Hear")]):
        state_type = Log

        @action("Hear")
        async def receive(self, ctx: Context[Log], message: Any) -> None: ...

    made = Room.definition.to_proto()
    assert [(one.channel, one.action) for one in made.subscriptions] == [
        ("a", "Hear"),
        ("b", "Hear"),
    ]


@pytest.mark.parametrize(
    ("settings", "words"),
    [
        (Settings(timers=(Timer("tikc", timedelta(seconds=1)),)), "tikc"),
        (Settings(timers=(Timer("tick", timedelta(milliseconds=1)),)), "below 10 ms"),
        (Settings(channels=["news"]), "receive"),
        (Settings(pooled=Pooled(), history=History(1)), "no state"),
        (Settings(kind=Kind.NAMED, pooled=Pooled()), "NAMED"),
        (
            Settings(
                durability=Durability.VOLATILE, channels=[Channel("n", "tick", Deliver.EVERY)]
            ),
            "durable",
        ),
    ],
)
def what_a_definition_contradicts_is_said_at_once(settings: Settings, words: str) -> None:
    ticks = Ticker.definition.actions[0]
    with pytest.raises(ValueError, match=words):
        ActorDef("T", JsonCodec(), (_renamed(ticks),), settings)


def _renamed(one: Any) -> Any:
    return type(one)("tick", one.method, one.argument, one.reply)


async def a_call_that_nobody_awaits_or_tells_warns() -> None:
    with pytest.warns(RuntimeWarning, match="never awaited and never told"):
        _kit().ref.call("tell", ["x"])
