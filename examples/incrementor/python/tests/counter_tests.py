"""The counter, tested without a node."""

from __future__ import annotations

import asyncio
from datetime import timedelta

import pytest
from callboard import ActorError
from callboard.testing import TestKit

from counter import Incrementor
from gen.incrementor_pb2 import AddRequest, CastRequest, IncrementorState


def a_counter_adds_and_answers_the_new_total() -> None:
    async def scenario() -> None:
        kit = TestKit(Incrementor, "u1")
        await kit.ref.add(AddRequest(amount=2))
        await kit.ref.cast(CastRequest(amount=3))
        reply = await kit.ref.add(AddRequest(amount=-1))
        assert (reply.total, reply.language) == (4, "python")
        assert (await kit.ref.total()).additions == 3

    asyncio.run(scenario())


def a_retried_addition_counts_once() -> None:
    async def scenario() -> None:
        kit = TestKit(Incrementor)
        await kit.ref.add(AddRequest(amount=2), idempotency_key="k1")
        again = await kit.ref.add(AddRequest(amount=2), idempotency_key="k1")
        assert again.total == 2
        assert kit.state.additions == 1

    asyncio.run(scenario())


def a_stopped_counter_refuses_additions_and_keeps_its_total() -> None:
    async def scenario() -> None:
        kit = TestKit(Incrementor, state=IncrementorState(total=7))
        assert (await kit.ref.stop()).total == 7
        for call in (kit.ref.add(AddRequest(amount=1)), kit.ref.cast(CastRequest(amount=1))):
            with pytest.raises(ActorError) as refused:
                await call
            assert refused.value.reason == "COUNTER_STOPPED"
        assert (await kit.ref.total()).total == 7

    asyncio.run(scenario())


def a_total_that_does_not_fit_is_refused_and_changes_nothing() -> None:
    async def scenario() -> None:
        kit = TestKit(Incrementor, state=IncrementorState(total=2**63 - 1))
        with pytest.raises(ActorError) as refused:
            await kit.ref.add(AddRequest(amount=1))
        assert refused.value.reason == "COUNTER_OVERFLOW"
        assert kit.state.total == 2**63 - 1

    asyncio.run(scenario())


def a_counter_counts_its_lives_across_restarts_and_idle_times() -> None:
    async def scenario() -> None:
        kit = TestKit(Incrementor)
        await kit.ref.add(AddRequest(amount=5))
        await kit.restart()
        await kit.ref.total()
        await kit.clock.advance(timedelta(minutes=2))
        assert (await kit.ref.total()).total == 5
        assert kit.state.lives == 3

    asyncio.run(scenario())
