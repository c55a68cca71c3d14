"""Runs the stock's host until SIGTERM or Ctrl-C. The node is CALLBOARD_SERVER, else 127.0.0.1:7070."""

from __future__ import annotations

import logging

from callboard import run, serve

from stock import Stock

if __name__ == "__main__":
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(levelname)s %(name)s: %(message)s")
    run(serve(Stock))
