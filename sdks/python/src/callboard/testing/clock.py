"""Time that only moves when a test says so."""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime, timedelta, timezone

#: Where the clock starts unless a test says otherwise.
START = datetime(2030, 1, 1, tzinfo=timezone.utc)


class VirtualClock:
    """The test kit's clock. Actors read it through `ctx.now()`."""

    def __init__(self, now: datetime, moved: Callable[[], None]) -> None:
        if now.tzinfo is None:
            raise ValueError("the clock needs a time with a time zone")
        self._now = now.astimezone(timezone.utc)
        self._moved = moved

    def now(self) -> datetime:
        """The time, in UTC."""
        return self._now

    def seconds(self) -> float:
        """The time as Unix seconds."""
        return self._now.timestamp()

    def advance(self, by: timedelta | float) -> None:
        """Moves time forward, by a timedelta or seconds. Actors that were idle long enough are
        deactivated.
        """
        step = by if isinstance(by, timedelta) else timedelta(seconds=by)
        if step < timedelta(0):
            raise ValueError("time does not go back")
        self._now += step
        self._moved()
