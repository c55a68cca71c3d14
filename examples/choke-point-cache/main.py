"""Runs the cache's host until SIGTERM or Ctrl-C. The node is CALLBOARD_SERVER, else 127.0.0.1:7070."""

from __future__ import annotations

import asyncio
import logging

from callboard import provide, run, serve

from cache import ChokePointCache


async def slow_lookup(key: str) -> str:
    """Stands for a query that takes a second and costs money."""
    logging.info("looking up %s", key)
    await asyncio.sleep(1)
    return f"value of {key}"


if __name__ == "__main__":
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(levelname)s %(name)s: %(message)s")
    run(serve(provide(ChokePointCache, lambda: ChokePointCache(slow_lookup))))
