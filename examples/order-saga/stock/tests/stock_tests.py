"""The stock, tested without a node."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable

import pytest
from callboard import ActorError, JsonRef
from callboard.testing import TestKit

from stock import Release, Reserve, Send, Shelf, Stock

ShelfKit = TestKit[Shelf, JsonRef]


def on_a_shelf_with_five(scenario: Callable[[ShelfKit], Awaitable[None]]) -> None:
    async def run() -> None:
        kit = TestKit(Stock, "tea")
        assert await kit.call("add", 5) == 5
        await scenario(kit)

    asyncio.run(run())


def an_order_is_reserved_and_sent_once_however_often_it_is_asked_for() -> None:
    async def scenario(kit: ShelfKit) -> None:
        for _ in range(2):
            await kit.call("reserve", Reserve("o1", 2))
        assert kit.state == Shelf(3, {"o1": 2}, {})
        for _ in range(2):
            await kit.call("send", Send("o1", "Main St 1"))
        assert kit.state == Shelf(3, {}, {"o1": 2})

    on_a_shelf_with_five(scenario)


def what_was_never_reserved_is_released_without_complaint() -> None:
    async def scenario(kit: ShelfKit) -> None:
        await kit.call("reserve", Reserve("o1", 2))
        for order in ("o1", "o1", "o2"):
            await kit.call("release", Release(order))
        assert kit.state == Shelf(5, {}, {})

    on_a_shelf_with_five(scenario)


def what_cannot_be_done_changes_nothing() -> None:
    async def scenario(kit: ShelfKit) -> None:
        await kit.call("reserve", Reserve("o1", 5))
        for refused, argument, reason in (
            ("reserve", Reserve("o2", 1), "OUT_OF_STOCK"),
            ("send", Send("o1", ""), "NO_ADDRESS"),
            ("send", Send("o2", "Main St 1"), "NOT_RESERVED"),
        ):
            with pytest.raises(ActorError, match=reason):
                await kit.call(refused, argument)
        assert kit.state == Shelf(0, {"o1": 5}, {})

    on_a_shelf_with_five(scenario)
