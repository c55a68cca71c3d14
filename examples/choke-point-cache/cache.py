"""A cache with one entry per id, kept by one actor per id: the choke point of all requests for it.

Actors run one call at a time, so however many requests for an id come at once, the value is computed once; the others
wait in the actor's mailbox and find it there.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from datetime import datetime, timedelta

from callboard import Context, Durability, JsonActor, Settings, action

#: Computes the value for an id; expensive, which is why nobody should do it twice.
Load = Callable[[str], Awaitable[str]]

#: How long a value is good for.
LIFETIME = timedelta(seconds=30)


@dataclass
class Entry:
    """A value and when it expires."""

    value: str
    expires_at: datetime


@dataclass
class Cached:
    """What the actor of one id remembers."""

    entry: Entry | None = None
    loads: int = 0


@dataclass
class Answer:
    """What a caller gets."""

    value: str
    expires_at: datetime
    #: True if this request computed the value, false if it found it.
    loaded: bool
    #: How often the value of this id was computed so far.
    loads: int


class ChokePointCache(JsonActor[Cached]):
    """The entry of one id; the id is the actor's key."""

    state_type = Cached
    # A lost cache is only computed again, so nothing is written to disk. Idle entries leave memory.
    settings = Settings(durability=Durability.VOLATILE, idle_timeout=timedelta(minutes=5))

    def __init__(self, load: Load) -> None:
        self._load = load

    @action()
    async def fetch(self, ctx: Context[Cached]) -> Answer:
        """The value of this id, computed if there is none or it expired."""
        state = ctx.state
        loaded = state.entry is None or state.entry.expires_at <= ctx.now()
        if state.entry is None or loaded:
            value = await self._load(ctx.self.key)
            state.entry = Entry(value, ctx.now() + LIFETIME)
            state.loads += 1
        return Answer(state.entry.value, state.entry.expires_at, loaded, state.loads)

    @action()
    async def evict(self, ctx: Context[Cached]) -> None:
        """Forgets the value; the next request computes it."""
        ctx.state.entry = None
