"""Exponential backoff with full jitter: after a common failure, clients spread out instead of
returning together.
"""

from __future__ import annotations

import random


class Backoff:
    """Delays that grow from `first` to `most` seconds; each is drawn between zero and the current
    bound.
    """

    def __init__(self, first: float = 0.05, most: float = 5.0) -> None:
        self._first = first
        self._most = most
        self._bound = first

    def next(self) -> float:
        """The next delay in seconds."""
        delay = random.uniform(0.0, self._bound)
        self._bound = min(self._bound * 2, self._most)
        return delay

    def reset(self) -> None:
        """Starts again from `first`, after a success."""
        self._bound = self._first
