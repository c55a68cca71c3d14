"""Methods of gRPC services as generated code declares them."""

from __future__ import annotations

from typing import Any, Generic, TypeVar

from google.protobuf.message import Message

Req = TypeVar("Req", bound=Message)
Rep = TypeVar("Rep", bound=Message)


class Rpc(Generic[Req, Rep]):
    """One method: its path and the types of its messages. Calls it over any `grpc.aio` channel."""

    __slots__ = ("path", "reply", "request")

    def __init__(self, path: str, request: type[Req], reply: type[Rep]) -> None:
        self.path = path
        self.request = request
        self.reply = reply

    def unary(self, channel: Any) -> Any:
        """The method of a channel, if it takes and answers one message."""
        return channel.unary_unary(
            self.path,
            request_serializer=self.request.SerializeToString,
            response_deserializer=self.reply.FromString,
        )

    def server_stream(self, channel: Any) -> Any:
        """The method of a channel, if it takes one message and answers a stream."""
        return channel.unary_stream(
            self.path,
            request_serializer=self.request.SerializeToString,
            response_deserializer=self.reply.FromString,
        )

    def stream(self, channel: Any) -> Any:
        """The method of a channel, if it takes and answers streams."""
        return channel.stream_stream(
            self.path,
            request_serializer=self.request.SerializeToString,
            response_deserializer=self.reply.FromString,
        )
