"""JSON actors that several tests use."""

from __future__ import annotations

import asyncio
import time
from dataclasses import dataclass, field

from callboard import ActorError, ActorId, Code, Context, JsonActor, ReadContext, action


@dataclass
class Item:
    """A thing in a cart."""

    name: str
    count: int = 1


@dataclass
class CartState:
    """What is in a cart."""

    items: dict[str, int] = field(default_factory=dict)
    opened: int = 0


class Cart(JsonActor[CartState]):
    """A shopping cart."""

    state_type = CartState

    @action("Init")
    async def init(self, ctx: Context[CartState]) -> None:
        """Counts the activations."""
        ctx.state.opened += 1

    @action()
    async def put(self, ctx: Context[CartState], item: Item) -> dict[str, int]:
        """Adds an item."""
        ctx.state.items[item.name] = ctx.state.items.get(item.name, 0) + item.count
        if ctx.state.items[item.name] > 10:
            raise ActorError(Code.OUT_OF_RANGE, "TOO_MANY", f"too many {item.name}")
        ctx.tags["last"] = item.name
        return ctx.state.items

    @action()
    def put_slowly(self, ctx: Context[CartState], item: Item) -> int:
        """Adds an item from a thread; stops when nobody waits any more."""
        ctx.state.items[item.name] = item.count
        for _ in range(150):
            if ctx.cancelled:
                raise ActorError(Code.CANCELLED, "STOPPED", "nobody waits")
            time.sleep(0.01)
        return item.count

    @action(read_only=True)
    async def items(self, ctx: ReadContext[CartState]) -> dict[str, int]:
        """What is in the cart."""
        ctx.state.items["ghost"] = 1
        return {name: count for name, count in ctx.state.items.items() if name != "ghost"}

    @action()
    async def hang(self, ctx: Context[CartState]) -> None:
        """Never ends by itself."""
        ctx.state.items.clear()
        await asyncio.Event().wait()

    @action()
    async def order(self, ctx: Context[CartState], stock: str) -> str:
        """Asks another actor for every item."""
        target = ActorId("Stock", stock)
        for name, count in ctx.state.items.items():
            await ctx.call(target, "take", {"name": name, "count": count})
        ctx.state.items.clear()
        return f"ordered at {ctx.now():%H:%M}"

    @action()
    def order_in_thread(self, ctx: Context[CartState], stock: str) -> int:
        """Does the same from a plain function."""
        left: int = ctx.wait(ctx.call(ActorId("Stock", stock), "take", {"name": "pen", "count": 1}))
        return left


class Stock(JsonActor[dict[str, int]]):
    """How many of each thing there are."""

    @action()
    async def take(self, ctx: Context[dict[str, int]], item: Item) -> int:
        """Takes from the stock."""
        left = ctx.state.get(item.name, 5) - item.count
        if left < 0:
            raise ActorError(Code.FAILED_PRECONDITION, "OUT_OF_STOCK", f"no more {item.name}")
        ctx.state[item.name] = left
        return left

    @action()
    async def call_back(self, ctx: Context[dict[str, int]]) -> None:
        """Calls the caller, which waits for this call."""
        assert ctx.caller is not None
        await ctx.call(ctx.caller, "items")
