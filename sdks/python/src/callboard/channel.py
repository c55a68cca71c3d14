"""Connections to a node: address, keepalive, and batches that leave once per cycle of the event
loop.
"""

from __future__ import annotations

import asyncio
import os
from collections import deque
from collections.abc import Awaitable, Callable, Iterable
from typing import Any, Generic, TypeVar

import grpc.aio
from google.protobuf.message import Message

B = TypeVar("B", bound=Message)

DEFAULT_SERVER = "127.0.0.1:7070"

_OPTIONS = [
    ("grpc.keepalive_permit_without_calls", 1),
    ("grpc.http2.max_pings_without_data", 0),
    # The node announces and enforces its own limits.
    ("grpc.max_receive_message_length", -1),
    ("grpc.max_send_message_length", -1),
    # A new channel must not inherit the backoff of the one before: reconnecting has its own.
    ("grpc.use_local_subchannel_pool", 1),
    # In spite of its name: how long an attempt to connect may take.
    ("grpc.min_reconnect_backoff_ms", 5_000),
    ("grpc.initial_reconnect_backoff_ms", 50),
    ("grpc.max_reconnect_backoff_ms", 5_000),
]


def _keepalive(seconds: int, timeout: int) -> list[tuple[str, int]]:
    return [
        ("grpc.keepalive_time_ms", 1000 * seconds),
        ("grpc.keepalive_timeout_ms", 1000 * timeout),
        # The one that ends a connection whose node no longer answers; otherwise it is a minute.
        ("grpc.http2.ping_timeout_ms", 1000 * timeout),
    ]


# A silent half-open connection would otherwise hang for ever.
_PATIENT_OPTIONS = _keepalive(20, 10)
# Early enough for the calls on it to be answered elsewhere inside the default timeout.
_FAILOVER_OPTIONS = _keepalive(10, 5)


def server_addresses(server: str | Iterable[str] | None) -> list[str]:
    """The nodes to connect to, each once and in their order: a list, or one text with commas; by
    default what CALLBOARD_SERVER says, else 127.0.0.1:7070.
    """
    given = server or os.environ.get("CALLBOARD_SERVER") or DEFAULT_SERVER
    texts = [given] if isinstance(given, str) else list(given)
    named = [part.strip() for text in texts for part in text.split(",")]
    return list(dict.fromkeys(part for part in named if part)) or [DEFAULT_SERVER]


def open_channel(
    server: str, credentials: grpc.ChannelCredentials | None = None, *, failover: bool = False
) -> grpc.aio.Channel:
    """A channel to a node; plain text without credentials. With `failover` others can answer in
    place of the node, so that a silent one is left sooner.
    """
    options = [*_OPTIONS, *(_FAILOVER_OPTIONS if failover else _PATIENT_OPTIONS)]
    if credentials is None:
        return grpc.aio.insecure_channel(server, options=options)
    return grpc.aio.secure_channel(server, credentials, options=options)


class Outbox(Generic[B]):
    """Gathers what is to be sent into batches; a batch leaves when the loop has handled what was
    ready.

    While one batch is being written the next one fills, so batches grow with the load.
    """

    def __init__(self, new_batch: Callable[[], B]) -> None:
        self._new_batch = new_batch
        self._batch: B | None = None
        self._bytes = 0
        self._full: deque[B] = deque()
        self._wake: asyncio.Future[None] | None = None
        self._closed = False
        #: Largest batch in bytes, roughly; one entry alone may be larger.
        self.bytes_max = 1 << 20

    def batch(self, size: int) -> B:
        """The batch to add an entry of about `size` bytes to."""
        size += 48  # ids and field headers
        batch = self._batch
        if batch is not None and self._bytes + size > self.bytes_max:
            self._full.append(batch)
            batch = None
        if batch is None:
            batch = self._batch = self._new_batch()
            self._bytes = 0
            if self._wake is not None and not self._wake.done():
                self._wake.set_result(None)
        self._bytes += size
        return batch

    def close(self) -> None:
        """Lets `pump` end once everything is sent."""
        self._closed = True
        if self._wake is not None and not self._wake.done():
            self._wake.set_result(None)

    async def pump(self, write: Callable[[B], Awaitable[Any]]) -> None:
        """Writes batches until `close`."""
        loop = asyncio.get_running_loop()
        while True:
            if self._full:
                await write(self._full.popleft())
            elif self._batch is not None:
                batch, self._batch = self._batch, None
                await write(batch)
            elif self._closed:
                return
            else:
                self._wake = loop.create_future()
                await self._wake
                self._wake = None
