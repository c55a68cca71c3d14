"""How a client's calls reach a node: all over one stream, or each as a unary call.

Any node takes any call. A client stays with one until that one cannot answer, and then goes on to
the next that it knows.
"""

from __future__ import annotations

import asyncio
import random
from collections.abc import Sequence
from typing import Any, Protocol

import grpc
import grpc.aio

from .channel import Outbox, open_channel
from .errors import CallError, Code, Retry
from .protocol.callboard.gateway.v1.gateway_pb2 import (
    InvokeRequest,
    InvokeResponse,
    InvokeStreamRequest,
    InvokeStreamResponse,
)
from .protocol.callboard.gateway.v1.gateway_rpc import GatewayService
from .rpcstatus import call_error

#: How much earlier than this process another one may think that a deadline passed.
CLOCKS_DIFFER_SECONDS = 0.1


class Transport(Protocol):
    """Sends one attempt of a call. Owned by one client and used on one event loop."""

    async def invoke(self, request: InvokeRequest, deadline: float) -> InvokeResponse:
        """The response. Raises `CallError`, also when the loop's clock reaches `deadline`."""

    async def close(self) -> None:
        """Ends what is open; calls in flight fail."""


def deadline_exceeded(last: CallError | None = None) -> CallError:
    """What a call gets whose own deadline passed."""
    why = f"; the last attempt failed: {last}" if last is not None else ""
    return CallError(
        Code.DEADLINE_EXCEEDED,
        "DEADLINE_EXCEEDED",
        "no reply within the timeout; the action may have run, "
        f"retry only with the same idempotency key{why}",
        retry=Retry.SAME_ID,
    )


def connection_lost(why: str) -> CallError:
    """What calls get whose connection broke before the reply."""
    return CallError(Code.UNAVAILABLE, "CONNECTION_LOST", why, retry=Retry.SAME_ID)


def _closed() -> CallError:
    return CallError(Code.CANCELLED, "CANCELLED", "the client was closed")


#: Reasons that are the node's own: another one may well answer.
_LEAVES = frozenset(
    {
        "CONNECTION_LOST",
        "LEASE_LOST",
        "NOT_OWNER",
        "SHUTTING_DOWN",
        "STORE_UNAVAILABLE",
        "UNAVAILABLE",  # gRPC's own word, for a unary call without a connection
    }
)


class Nodes:
    """The nodes that a client knows, and the one that it uses. Clients begin at different ones,
    which spreads them.
    """

    def __init__(self, addresses: Sequence[str]) -> None:
        self._addresses = addresses
        self._current = random.randrange(len(addresses))

    @property
    def address(self) -> str:
        """The node in use."""
        return self._addresses[self._current]

    @property
    def many(self) -> bool:
        """True if there is another one to go to."""
        return len(self._addresses) > 1

    def failed(self, address: str, error: CallError) -> None:
        """Goes on to the next node if `error`, which came from `address`, is the node's own."""
        own = error.reason in _LEAVES and not error.from_actor
        # Many calls fail together when a node goes; only the first of them moves the client.
        if own and address == self.address:
            self._current = (self._current + 1) % len(self._addresses)


class UnaryTransport:
    """Each call is an rpc of its own."""

    def __init__(self, nodes: Nodes, credentials: grpc.ChannelCredentials | None) -> None:
        self._nodes = nodes
        self._credentials = credentials
        self._channels: dict[str, grpc.aio.Channel] = {}

    async def invoke(self, request: InvokeRequest, deadline: float) -> InvokeResponse:
        remaining = max(0.0, deadline - asyncio.get_running_loop().time())
        response: InvokeResponse = await self.call(GatewayService.INVOKE, request, remaining)
        return response

    async def call(self, rpc: Any, request: Any, timeout: float) -> Any:
        """One attempt of any unary rpc, at the node in use. Raises `CallError`."""
        address, channel = self._channel()
        loop = asyncio.get_running_loop()
        deadline = loop.time() + timeout
        try:
            return await rpc.unary(channel)(request, timeout=timeout)
        except grpc.aio.AioRpcError as error:
            facts = call_error(error, getattr(request, "request_id", ""))
            self._nodes.failed(address, facts)
            # gRPC on either side may notice first that the time is over; it gives no details.
            late = loop.time() >= deadline - CLOCKS_DIFFER_SECONDS
            if facts.reason == "DEADLINE_EXCEEDED" or (late and facts.reason == "CANCELLED"):
                raise deadline_exceeded() from None
            raise facts from None

    def stream(self, rpc: Any, request: Any) -> ServerStream:
        """Opens an rpc that answers a stream, at the node in use."""
        address, channel = self._channel()
        return ServerStream(self._nodes, address, rpc.server_stream(channel)(request))

    def _channel(self) -> tuple[str, grpc.aio.Channel]:
        address = self._nodes.address
        channel = self._channels.get(address)
        if channel is None:
            channel = open_channel(address, self._credentials, failover=self._nodes.many)
            self._channels[address] = channel
        return address, channel

    async def close(self) -> None:
        for channel in self._channels.values():
            await channel.close()


class ServerStream:
    """What a node answers to an rpc that answers a stream."""

    def __init__(self, nodes: Nodes, address: str, call: Any) -> None:
        self._nodes = nodes
        self._address = address
        self._call = call
        self._ended = False

    async def read(self) -> Any:
        """The next message; None when the stream was ended, from either side. Raises `CallError`
        when it breaks.
        """
        try:
            item = await self._call.read()
        except grpc.aio.AioRpcError as error:
            facts = call_error(error)
            self._nodes.failed(self._address, facts)
            raise facts from None
        except asyncio.CancelledError:
            if self._ended:
                return None
            raise
        if item is None:  # what grpc answers for bytes that it cannot decode
            raise connection_lost("the node sent bytes that are no message")
        return None if item is grpc.aio.EOF else item

    def cancel(self) -> None:
        """Ends the stream; a read that waits answers None."""
        self._ended = True
        self._call.cancel()


class _Stream:
    """One InvokeStream and the calls in flight on it."""

    def __init__(
        self, address: str, credentials: grpc.ChannelCredentials | None, failover: bool
    ) -> None:
        self.address = address
        self.outbox: Outbox[InvokeStreamRequest] = Outbox(InvokeStreamRequest)
        self.pending: dict[int, asyncio.Future[InvokeResponse]] = {}
        self.broken: CallError | None = None
        self._next_id = 1
        self._channel = open_channel(address, credentials, failover=failover)
        self._task = asyncio.create_task(self._run())

    def start(self, request: InvokeRequest) -> tuple[int, asyncio.Future[InvokeResponse]]:
        """Sends a call with the next batch."""
        stream_id = self._next_id
        self._next_id += 1
        future: asyncio.Future[InvokeResponse] = asyncio.get_running_loop().create_future()
        self.pending[stream_id] = future
        call = self.outbox.batch(len(request.payload.data) + 128).calls.add()
        call.stream_id = stream_id
        call.call.CopyFrom(request)
        return stream_id, future

    def cancel(self, stream_id: int) -> None:
        """Tells the node that nobody waits for the call."""
        if self.broken is None:
            self.outbox.batch(8).cancels.append(stream_id)

    async def _run(self) -> None:
        call: Any = GatewayService.INVOKE_STREAM.stream(self._channel)()
        pump = asyncio.create_task(self.outbox.pump(call.write))
        reason = connection_lost("the node closed the stream; the call may have run")
        try:
            while True:
                response: InvokeStreamResponse = await call.read()
                if response is grpc.aio.EOF:
                    break
                if response is None:  # what grpc answers for bytes that it cannot decode
                    reason = connection_lost("the node sent bytes that are no message")
                    break
                for reply in response.replies:
                    future = self.pending.pop(reply.stream_id, None)
                    if future is None or future.done():
                        continue
                    if reply.HasField("error"):
                        future.set_exception(CallError.from_proto(reply.error))
                    else:
                        future.set_result(reply.response)
        except grpc.aio.AioRpcError as error:
            facts = call_error(error)
            reason = connection_lost(f"the connection to the node failed: {facts}")
        except asyncio.CancelledError:
            reason = _closed()
            raise
        finally:
            self._fail(reason)
            pump.cancel()
            await asyncio.gather(pump, return_exceptions=True)
            await self._channel.close()

    def _fail(self, reason: CallError) -> None:
        self.broken = reason
        for future in self.pending.values():
            if not future.done():
                future.set_exception(reason)
        self.pending.clear()

    async def close(self) -> None:
        """Ends the stream."""
        self._task.cancel()
        await asyncio.gather(self._task, return_exceptions=True)
        if self.broken is None:  # the task had not begun
            self._fail(_closed())
            await self._channel.close()


class StreamTransport:
    """All calls share one stream to the node in use; those that are made in one cycle of the event
    loop share a message.
    """

    def __init__(self, nodes: Nodes, credentials: grpc.ChannelCredentials | None) -> None:
        self._nodes = nodes
        self._credentials = credentials
        #: By address. A node that only refuses calls keeps its stream for those that it has taken.
        self._streams: dict[str, _Stream] = {}

    async def invoke(self, request: InvokeRequest, deadline: float) -> InvokeResponse:
        address = self._nodes.address
        stream = self._streams.get(address)
        if stream is None or stream.broken is not None:
            stream = _Stream(address, self._credentials, self._nodes.many)
            self._streams[address] = stream
        stream_id, future = stream.start(request)
        timer = asyncio.get_running_loop().call_at(deadline, _expire, future)
        try:
            return await future
        except CallError as error:
            error.request_id = request.request_id
            self._nodes.failed(address, error)
            raise
        finally:
            timer.cancel()
            # Still pending: the caller was cancelled, or its deadline passed.
            if stream.pending.pop(stream_id, None) is not None:
                stream.cancel(stream_id)

    async def close(self) -> None:
        await asyncio.gather(*(stream.close() for stream in self._streams.values()))


def _expire(future: asyncio.Future[InvokeResponse]) -> None:
    if not future.done():
        future.set_exception(deadline_exceeded())
