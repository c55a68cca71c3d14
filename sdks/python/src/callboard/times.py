"""Times and spans as the protocol has them: whole milliseconds, and 0 for none."""

from __future__ import annotations

from datetime import datetime, timedelta, timezone


def to_millis(time: datetime | None) -> int:
    """A time in milliseconds since 1970."""
    if time is None:
        return 0
    if time.tzinfo is None:
        raise ValueError(f"{time} has no time zone; give it one")
    return round(time.timestamp() * 1000)


def from_millis(millis: int) -> datetime | None:
    """A time in UTC."""
    return datetime.fromtimestamp(millis / 1000, timezone.utc) if millis else None


def millis(span: timedelta | float) -> int:
    """A span, as a timedelta or in seconds, in milliseconds; at least 1 unless it is nothing."""
    seconds = span.total_seconds() if isinstance(span, timedelta) else span
    if not seconds >= 0:
        raise ValueError(f"a time span cannot be {span}")
    return max(1, round(seconds * 1000)) if seconds else 0
