"""The test kit: the same rules as on a node, with everything in the test's hands."""

from __future__ import annotations

import asyncio
from datetime import timedelta

import pytest

from callboard import ActorError, ActorId, CallError, Context, JsonActor, Retry, action
from callboard.testing import TestKit
from cart import Cart, CartState, Stock


async def a_turn_that_raises_leaves_state_and_tags_as_they_were() -> None:
    kit = TestKit(Cart)
    await kit.call("put", {"name": "pen", "count": 9})
    with pytest.raises(ActorError) as refused:
        await kit.call("put", {"name": "pen", "count": 9})
    assert refused.value.reason == "TOO_MANY"
    assert kit.state == CartState(items={"pen": 9}, opened=1)
    assert kit.tags == {"last": "pen"}


async def a_read_only_action_cannot_change_state() -> None:
    kit = TestKit(Cart, state=CartState(items={"pen": 1}))
    assert await kit.call("items") == {"pen": 1}
    assert "ghost" not in kit.state.items


async def an_argument_that_does_not_fit_is_refused_before_the_action_runs() -> None:
    kit = TestKit(Cart)
    with pytest.raises(CallError) as refused:
        await kit.call("put", {"name": "pen", "count": "many"})
    assert refused.value.reason == "INVALID_ARGUMENT_PAYLOAD"
    assert "count" in refused.value.message


async def an_unexpected_exception_becomes_internal_without_its_stack() -> None:
    class Broken(JsonActor[dict[str, int]]):
        @action()
        async def go(self, ctx: Context[dict[str, int]]) -> None:
            raise KeyError("wanted")

    with pytest.raises(CallError) as failed:
        await TestKit(Broken).call("go")
    assert (failed.value.code.name, failed.value.reason) == ("INTERNAL", "ACTION_ERROR")
    assert "wanted" in failed.value.message and "Traceback" not in failed.value.message


async def what_cannot_travel_fails_its_turn_and_nothing_else() -> None:
    class Odd(JsonActor[dict[str, int]]):
        @action()
        async def tag(self, ctx: Context[dict[str, int]]) -> None:
            ctx.tags["number"] = 7  # type: ignore[assignment]

        @action()
        async def surrogate(self, ctx: Context[dict[str, int]]) -> None:
            raise RuntimeError("\ud800")

        @action()
        async def reason(self, ctx: Context[dict[str, int]]) -> None:
            raise ActorError(9, 7, "a reason that is no text")  # type: ignore[arg-type]

        @action()
        async def reply(self, ctx: Context[dict[str, int]]) -> object:
            return object()

        @action()
        async def state(self, ctx: Context[dict[str, int]]) -> None:
            ctx.state["x"] = object()  # type: ignore[assignment]

        @action()
        async def metadata(self, ctx: Context[dict[str, int]]) -> None:
            await ctx.call(ActorId("T", "k"), "a", metadata={"a": 1})  # type: ignore[dict-item]

    kit = TestKit(Odd)
    for name in ("tag", "surrogate", "reason", "reply", "state", "metadata"):
        with pytest.raises(CallError) as failed:
            await kit.call(name)
        assert failed.value.reason == "ACTION_ERROR", name
    assert (kit.state, kit.tags, kit.calls) == ({}, {}, [])


async def a_repeated_idempotency_key_gets_the_stored_outcome() -> None:
    kit = TestKit(Cart)
    first = await kit.call("put", {"name": "pen"}, idempotency_key="k")
    assert await kit.call("put", {"name": "pen"}, idempotency_key="k") == first
    assert kit.state.items == {"pen": 1}
    with pytest.raises(CallError) as refused:
        await kit.call("put", {"name": "ink"}, idempotency_key="k")
    assert refused.value.reason == "REQUEST_ID_REUSED"
    await kit.clock.advance(timedelta(minutes=11))
    await kit.call("put", {"name": "pen"}, idempotency_key="k")
    assert kit.state.items == {"pen": 2}


async def an_error_that_an_action_raised_is_a_stored_outcome_too() -> None:
    kit = TestKit(Cart, state=CartState(items={"pen": 10}))
    for _ in range(2):
        with pytest.raises(ActorError):
            await kit.call("put", {"name": "pen"}, idempotency_key="k")
    assert kit.revision == 1  # Init alone


async def an_idle_actor_is_deactivated_and_comes_back_with_its_state() -> None:
    kit = TestKit(Cart)
    await kit.call("put", {"name": "pen"})
    await kit.clock.advance(59)
    assert kit.active
    await kit.clock.advance(1)
    assert not kit.active
    await kit.call("put", {"name": "pen"})
    assert kit.state == CartState(items={"pen": 2}, opened=2)


async def a_restart_keeps_only_what_was_committed() -> None:
    class Forgetful(JsonActor[dict[str, int]]):
        @action()
        async def remember(self, ctx: Context[dict[str, int]]) -> bool:
            seen = hasattr(self, "seen")
            self.seen = True
            ctx.state["turns"] = ctx.state.get("turns", 0) + 1
            return seen

    kit = TestKit(Forgetful)
    assert await kit.call("remember") is False
    await kit.restart()
    assert await kit.call("remember") is False
    assert kit.state == {"turns": 2}
    assert kit.activations == 2


async def a_lost_result_is_run_again_as_the_next_attempt() -> None:
    attempts: list[int] = []

    class Probe(JsonActor[dict[str, int]]):
        @action()
        async def go(self, ctx: Context[dict[str, int]]) -> None:
            attempts.append(ctx.attempt)
            ctx.state["runs"] = ctx.state.get("runs", 0) + 1

    kit = TestKit(Probe)
    kit.next_call(fault="before-commit")
    await kit.call("go")
    assert attempts == [1, 2]
    assert kit.state == {"runs": 1}


async def a_lost_reply_is_safe_to_retry_with_the_same_key() -> None:
    kit = TestKit(Cart)
    kit.next_call(fault="after-commit")
    with pytest.raises(CallError) as lost:
        await kit.call("put", {"name": "pen"}, idempotency_key="k")
    assert lost.value.retry == Retry.SAME_ID
    await kit.call("put", {"name": "pen"}, idempotency_key="k")
    assert kit.state.items == {"pen": 1}


async def calls_to_other_actors_are_recorded_and_answered_by_stubs() -> None:
    kit = TestKit(Cart, state=CartState(items={"pen": 2, "ink": 1}))
    kit.stub("Stock", {"take": lambda effect: effect.argument["count"]})
    assert await kit.call("order", "north") == "ordered at 00:00"
    assert [(one.target.key, one.argument) for one in kit.calls] == [
        ("north", {"name": "pen", "count": 2}),
        ("north", {"name": "ink", "count": 1}),
    ]
    assert kit.state.items == {}


async def a_stub_that_raises_fails_the_turn_with_its_error() -> None:
    kit = TestKit(Cart, state=CartState(items={"pen": 2}))
    kit.stub("Stock", {"take": ActorError(9, "OUT_OF_STOCK", "none left")})
    with pytest.raises(ActorError) as failed:
        await kit.call("order", "north")
    assert failed.value.reason == "OUT_OF_STOCK"
    assert kit.state.items == {"pen": 2}


async def two_actors_of_a_kit_call_each_other_for_real() -> None:
    kit = TestKit(Cart, state=CartState(items={"pen": 2}))
    kit.add(Stock)
    await kit.call("order", "north")
    assert kit.state_of(ActorId("Stock", "north")) == {"pen": 3}


async def a_call_that_would_wait_for_itself_is_a_cycle() -> None:
    class Circle(JsonActor[dict[str, int]]):
        @action()
        async def go(self, ctx: Context[dict[str, int]]) -> None:
            await ctx.call(ActorId("Stock", "s"), "call_back")

    kit = TestKit(Circle)
    kit.add(Stock)
    with pytest.raises(CallError) as refused:
        await kit.call("go")
    assert refused.value.reason == "CALL_CYCLE"


async def a_plain_function_runs_in_a_thread_and_may_call_actors() -> None:
    kit = TestKit(Cart)
    kit.add(Stock)
    assert await kit.call("order_in_thread", "s") == 4


async def a_turn_that_takes_too_long_is_ended() -> None:
    kit = TestKit(Cart, state=CartState(items={"pen": 2}))
    with pytest.raises(CallError) as late:
        await kit.call("hang", timeout=0.05)
    assert late.value.reason == "DEADLINE_EXCEEDED"
    assert kit.state.items == {"pen": 2}


async def a_special_call_sees_its_attempt_and_caller() -> None:
    class Curious(JsonActor[dict[str, int]]):
        @action()
        async def who(self, ctx: Context[dict[str, int]]) -> str:
            return f"{ctx.caller} {ctx.attempt} {ctx.request_id} {dict(ctx.metadata)}"

    kit = TestKit(Curious)
    kit.next_call(attempt=3, caller=ActorId("Cart", "c"))
    answer = await kit.call("who", idempotency_key="k", metadata={"a": "b"})
    assert answer == "Cart/c 3 k {'a': 'b'}"


def a_kit_works_across_event_loops() -> None:
    kit = TestKit(Cart)
    asyncio.run(kit.call("put", {"name": "pen"}))
    asyncio.run(kit.call("put", {"name": "pen"}))
    assert kit.state.items == {"pen": 2}


def an_actor_without_all_actions_is_refused_by_name() -> None:
    class Nothing:
        pass

    with pytest.raises(TypeError, match="Nothing is no actor"):
        TestKit(Nothing)  # type: ignore[arg-type]
