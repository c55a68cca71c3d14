"""Names of actors, and the ids that calls carry."""

from __future__ import annotations

import os
import time
from dataclasses import dataclass
from uuid import UUID


@dataclass(frozen=True, slots=True)
class ActorId:
    """One actor: its system, its type, and its key within the type. Compared byte for byte."""

    type: str
    key: str
    system: str = "default"

    def __str__(self) -> str:
        return f"{self.type}/{self.key}"


@dataclass(frozen=True, slots=True, order=True)
class FencingToken:
    """A token that only rises for one actor: give it to systems outside Callboard that can refuse
    older writers.
    """

    epoch: int
    revision: int


def uuid7() -> str:
    """A new UUIDv7: sorts by time of creation."""
    value = (time.time_ns() // 1_000_000) << 80 | int.from_bytes(os.urandom(10), "big")
    value = value & ~(0xF << 76) | 0x7 << 76
    value = value & ~(0x3 << 62) | 0x2 << 62
    return str(UUID(int=value))
