"""The chaos test's actors in Python: they do exactly what the host in Rust does, which is
tests/src/chaos/host.rs. Ledgers never look whether an add is there already: that it comes once is
the server's promise.
"""

from __future__ import annotations

import logging
import random
from dataclasses import dataclass, field
from datetime import timedelta

from callboard import Context, Durability, JsonActor, ReadContext, Settings, action, run, serve

#: So short that actors are put away and woken again all the time. The other hosts say the same.
IDLE = timedelta(seconds=2)

#: How often tallies are saved.
SAVE = timedelta(seconds=1)

#: Lives are drawn below this number, which every language can hold.
LIVES = 1 << 52


@dataclass
class Ledger:
    """Every add, in the order in which they were applied."""

    total: int = 0
    entries: list[tuple[int, int]] = field(default_factory=list)


@dataclass
class Add:
    """One add."""

    add: int
    amount: int


@dataclass
class Receipt:
    """The ledger as it is."""

    count: int
    total: int


class ChaosLedger(JsonActor[Ledger]):
    """Keeps every add."""

    state_type = Ledger
    settings = Settings(idle_timeout=IDLE)

    @action()
    async def add(self, ctx: Context[Ledger], entry: Add) -> Receipt:
        """Adds, and answers the ledger as it is then."""
        ctx.state.total += entry.amount
        ctx.state.entries.append((entry.add, entry.amount))
        return Receipt(len(ctx.state.entries), ctx.state.total)

    @action(read_only=True)
    async def read(self, ctx: ReadContext[Ledger]) -> Receipt:
        """Answers the ledger as it is."""
        return Receipt(len(ctx.state.entries), ctx.state.total)


@dataclass
class Value:
    """A value; 0 if none was ever written."""

    value: int = 0


@dataclass
class Swap:
    """A write that depends on the value."""

    expected: int
    value: int


@dataclass
class Swapped:
    """Whether it was written."""

    swapped: bool


class ChaosRegister(JsonActor[Value]):
    """Holds a value."""

    state_type = Value
    settings = Settings(idle_timeout=IDLE)

    @action()
    async def write(self, ctx: Context[Value], new: Value) -> None:
        """Sets the value."""
        ctx.state.value = new.value

    @action()
    async def swap(self, ctx: Context[Value], swap: Swap) -> Swapped:
        """Sets the value if it is the expected one."""
        if ctx.state.value != swap.expected:
            return Swapped(False)
        ctx.state.value = swap.value
        return Swapped(True)

    @action(read_only=True)
    async def read(self, ctx: ReadContext[Value]) -> Value:
        """Answers the value."""
        return Value(ctx.state.value)


@dataclass
class Life:
    """A life, drawn at its first turn, and what it counted."""

    life: int = 0
    count: int = 0


@dataclass
class Counted:
    """Which call it was, and under which epoch."""

    epoch: int
    life: int
    count: int


class ChaosCounter(JsonActor[Life]):
    """Counts calls for as long as it is in memory."""

    state_type = Life
    settings = Settings(durability=Durability.VOLATILE, idle_timeout=IDLE)

    @action()
    async def count(self, ctx: Context[Life]) -> Counted:
        """Counts the call."""
        return _count(ctx)


class ChaosTally(JsonActor[Life]):
    """Counts calls, and is saved now and then."""

    state_type = Life
    settings = Settings(
        durability=Durability.SNAPSHOT, idle_timeout=IDLE, snapshot_interval=SAVE
    )

    @action()
    async def count(self, ctx: Context[Life]) -> Counted:
        """Counts the call."""
        return _count(ctx)


def _count(ctx: Context[Life]) -> Counted:
    if ctx.state.life == 0:
        ctx.state.life = random.randrange(1, LIVES)
    ctx.state.count += 1
    return Counted(ctx.fence.epoch, ctx.state.life, ctx.state.count)


if __name__ == "__main__":
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(levelname)s %(message)s")
    run(serve(ChaosLedger, ChaosRegister, ChaosCounter, ChaosTally))
