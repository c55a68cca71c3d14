"""What is said on channels, heard and said from outside."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import datetime, timezone
from types import TracebackType
from typing import Any

from google.protobuf import json_format

from .backoff import Backoff
from .codec import any_value
from .errors import CallError, Retry
from .ids import ActorId
from .protocol.callboard.gateway.v1.gateway_pb2 import (
    ChannelMessage,
    SubscribeRequest,
    SubscribeResponse,
)
from .transport import ServerStream


@dataclass(frozen=True, slots=True)
class Published:
    """A message was said on a channel."""

    request_id: str
    #: How many actor types listen to the channel.
    types: int


@dataclass(frozen=True, slots=True)
class Message:
    """What was said on a channel."""

    channel: str
    #: Names the message; the same if it comes twice.
    id: str
    #: A JSON value, a protobuf message of a type that this process knows, bytes of any other
    #: content, or None.
    message: Any
    metadata: dict[str, str]
    #: The actor that said it; None for messages from outside.
    source: ActorId | None
    published_at: datetime


@dataclass(frozen=True, slots=True)
class Missed:
    """Messages were lost to this subscriber, because it was too slow or away for too long."""

    #: How many; 0 if that is not known.
    messages: int


class Subscription:
    """What is said on channels from now on: `async with client.subscribe("news") as news`, then
    `async for item in news`. Each message comes at least once, and a `Missed` where some did not.

    When the stream breaks it is opened again where it ended, at another node if need be; only what
    no retry can help is raised, as `CallError`.
    """

    def __init__(
        self,
        open_stream: Callable[[SubscribeRequest], ServerStream],
        system: str,
        channels: Sequence[str],
        resume_token: str,
    ) -> None:
        self._open = open_stream
        self._request = SubscribeRequest(
            system=system, channels=channels, resume_token=resume_token
        )
        self._stream: ServerStream | None = None
        self._backoff = Backoff()
        self._first: Message | Missed | None = None
        self._closed = False

    @property
    def resume_token(self) -> str:
        """Where the subscription is; another one that begins with it goes on from here. Empty until
        the node has answered.
        """
        return self._request.resume_token

    async def __aenter__(self) -> Subscription:
        """Returns when the subscription holds: whatever is said from then on is heard."""
        self._first = await self._next(wanted=False)
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        await self.close()

    def __aiter__(self) -> Subscription:
        return self

    async def __anext__(self) -> Message | Missed:
        if self._first is not None:
            first, self._first = self._first, None
            return first
        item = await self._next(wanted=True)
        if item is None:
            raise StopAsyncIteration
        return item

    async def close(self) -> None:
        """Ends the subscription."""
        self._closed = True
        self._drop()

    async def _next(self, wanted: bool) -> Message | Missed | None:
        """The next item; None once the subscription is closed, or holds and no item is wanted."""
        while not self._closed:
            try:
                if self._stream is None:
                    self._stream = self._open(self._request)
                response = await self._stream.read()
            except CallError as error:
                self._drop()
                if error.retry not in (Retry.SAFE, Retry.SAME_ID):
                    raise
                await asyncio.sleep(max(self._backoff.next(), error.retry_after))
                continue
            if response is None:
                self._drop()
                await asyncio.sleep(self._backoff.next())
                continue
            item = self._take(response)
            if item is not None or not wanted:
                return item
        return None

    def _take(self, response: SubscribeResponse) -> Message | Missed | None:
        self._backoff.reset()
        kind = response.WhichOneof("item")
        if kind == "missed":
            return Missed(response.missed.messages)
        if kind == "message":
            self._request.resume_token = response.message.resume_token
            return _message(response.message)
        if kind == "subscribed":
            self._request.resume_token = response.subscribed.resume_token
        return None

    def _drop(self) -> None:
        if self._stream is not None:
            self._stream.cancel()
            self._stream = None


def _message(message: ChannelMessage) -> Message:
    body = message.WhichOneof("body")
    source = message.source
    return Message(
        channel=message.channel,
        id=message.id,
        message=json_format.MessageToDict(message.json)
        if body == "json"
        else any_value(message.payload),
        metadata=dict(message.metadata),
        source=ActorId(source.type, source.key or source.type, source.system or "default")
        if message.HasField("source")
        else None,
        published_at=datetime.fromtimestamp(message.published_at_ms / 1000, timezone.utc),
    )
