"""Sends many requests for one id at once and shows how often the value was computed."""

from __future__ import annotations

import asyncio
import sys
import time

from callboard import Client, run


async def main(key: str, count: int) -> None:
    """Fetches `key` `count` times at the same time."""
    async with Client() as client:
        cache = client.ref("ChokePointCache", key)
        start = time.perf_counter()
        answers = await asyncio.gather(*(cache.call("fetch") for _ in range(count)))
        elapsed = time.perf_counter() - start
    loaded = sum(answer["loaded"] for answer in answers)
    print(f"{count} requests, {loaded} computed, {count - loaded} found it, {elapsed:.2f} s")


if __name__ == "__main__":
    run(main(sys.argv[1] if len(sys.argv) > 1 else "report-7", 200))
