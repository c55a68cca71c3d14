"""The cache, tested without a node."""

from __future__ import annotations

import asyncio
from datetime import timedelta

import pytest
from callboard import Actor, ActorError, JsonRef, provide
from callboard.testing import TestKit

from cache import LIFETIME, Cached, ChokePointCache


class Source:
    """Counts how often a value is computed, and can fail."""

    def __init__(self) -> None:
        self.loads = 0
        self.fails = False

    async def load(self, key: str) -> str:
        """Takes a while, so that requests overlap."""
        await asyncio.sleep(0.01)
        if self.fails:
            raise ConnectionError("the source is down")
        self.loads += 1
        return f"{key} #{self.loads}"

    def provided(self) -> type[Actor[Cached, JsonRef]]:
        """The cache on top of this source."""
        return provide(ChokePointCache, lambda: ChokePointCache(self.load))


def a_burst_of_requests_for_one_id_computes_the_value_once() -> None:
    async def scenario() -> None:
        source = Source()
        kit = TestKit(source.provided(), "report-7")
        answers = await asyncio.gather(*(kit.ref.call("fetch") for _ in range(50)))
        assert source.loads == 1
        assert {answer["value"] for answer in answers} == {"report-7 #1"}
        assert sum(answer["loaded"] for answer in answers) == 1

    asyncio.run(scenario())


def a_value_is_computed_again_once_it_expired() -> None:
    async def scenario() -> None:
        source = Source()
        kit = TestKit(source.provided())
        await kit.ref.call("fetch")
        await kit.clock.advance(LIFETIME - timedelta(seconds=1))
        assert not (await kit.ref.call("fetch"))["loaded"]
        await kit.clock.advance(timedelta(seconds=1))
        assert (await kit.ref.call("fetch"))["loaded"]
        assert source.loads == 2

    asyncio.run(scenario())


def an_evicted_value_is_computed_again() -> None:
    async def scenario() -> None:
        kit = TestKit(Source().provided())
        await kit.ref.call("fetch")
        await kit.ref.call("evict")
        assert (await kit.ref.call("fetch"))["loads"] == 2

    asyncio.run(scenario())


def a_failing_source_keeps_nothing_and_the_next_request_tries_again() -> None:
    async def scenario() -> None:
        source = Source()
        source.fails = True
        kit = TestKit(source.provided())
        with pytest.raises(ActorError, match="the source is down"):
            await kit.ref.call("fetch")
        source.fails = False
        assert (await kit.ref.call("fetch"))["value"] == "test #1"

    asyncio.run(scenario())
