"""Runs a host that greets nodes, until SIGTERM or Ctrl-C: main.py NAME. The node is CALLBOARD_SERVER, else 127.0.0.1:7070."""

from __future__ import annotations

import asyncio
import logging
import sys

from callboard import run, serve

from greetings import Greetings, greet


async def main(name: str) -> None:
    """Serves the book of greetings, and greets."""
    greeting = asyncio.create_task(greet(name))
    try:
        await serve(Greetings)
    finally:
        greeting.cancel()


if __name__ == "__main__":
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(levelname)s %(name)s: %(message)s")
    run(main(sys.argv[1] if len(sys.argv) > 1 else "anonymous"))
