"""Time that only moves when a test says so."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from datetime import datetime, timedelta, timezone

#: Where the clock starts unless a test says otherwise.
START = datetime(2030, 1, 1, tzinfo=timezone.utc)


class VirtualClock:
    """The test kit's clock. Actors read it through `ctx.now()`."""

    def __init__(self, now: datetime, advance: Callable[[datetime], Awaitable[None]]) -> None:
        if now.tzinfo is None:
            raise ValueError("the clock needs a time with a time zone")
        self._now = now.astimezone(timezone.utc)
        self._advance = advance

    def now(self) -> datetime:
        """The time, in UTC."""
        return self._now

    def seconds(self) -> float:
        """The time as Unix seconds."""
        return self._now.timestamp()

    async def advance(self, by: timedelta | float) -> None:
        """Moves time forward, by a timedelta or seconds. What is due in between happens in its
        order: delayed effects arrive, timers fire, actors that were idle long enough are
        deactivated.
        """
        step = by if isinstance(by, timedelta) else timedelta(seconds=by)
        if step < timedelta(0):
            raise ValueError("time does not go back")
        await self._advance(self._now + step)

    def set(self, now: datetime) -> None:
        """Sets the time without anything happening; the kit's own."""
        self._now = now
