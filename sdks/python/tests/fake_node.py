"""A node that does what a test says: a real gRPC server with scripted sessions and calls."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from types import TracebackType
from typing import Any

import grpc.aio

from callboard.protocol.callboard.gateway.v1.gateway_pb2 import (
    InvokeRequest,
    InvokeResponse,
    InvokeStreamRequest,
    InvokeStreamResponse,
    SubscribeRequest,
    SubscribeResponse,
)
from callboard.protocol.callboard.host.v1.host_pb2 import (
    ConnectRequest,
    ConnectResponse,
    HostFrame,
    NodeFrame,
    Register,
    Registered,
    Turn,
    TurnResult,
    TurnRun,
    Welcome,
)
from callboard.protocol.callboard.type.v1.type_pb2 import ActorId, CallError, Payload

Answer = Callable[[InvokeRequest], Awaitable[InvokeResponse | CallError]]


class FakeSession:
    """One host session, from the node's side."""

    def __init__(self, context: Any) -> None:
        self.context = context
        self.frames: asyncio.Queue[HostFrame | None] = asyncio.Queue()
        self.outgoing: asyncio.Queue[ConnectResponse | None] = asyncio.Queue()
        self.messages = 0
        self._next_turn = 1
        self._batch: list[NodeFrame] = []

    async def next(self, kind: str) -> HostFrame:
        """The next frame, which must be of this kind. Credit may come between any others."""
        frame = await self.frames.get()
        while frame is not None and frame.HasField("credit") and kind != "credit":
            frame = await self.frames.get()
        assert frame is not None, f"the host closed the stream instead of sending {kind}"
        assert frame.WhichOneof("frame") == kind, frame
        return frame

    def send(self, *frames: NodeFrame) -> None:
        """One message with these frames."""
        self.outgoing.put_nowait(ConnectResponse(frames=frames))

    async def welcome(self, **fields: Any) -> Register:
        """Plays the handshake up to Registered, and answers what was registered."""
        await self.next("hello")
        self.send(NodeFrame(welcome=Welcome(session_id=1, protocol_major=1, **fields)))
        register = (await self.next("register")).register
        registered = Registered(register_id=register.register_id, view_version=1)
        self.send(NodeFrame(registered=registered))
        return register

    def run(
        self,
        actor_type: str,
        key: str,
        *turns: tuple[str, bytes],
        state: Payload | None = None,
        timeout_ms: int = 30_000,
    ) -> list[int]:
        """Sends turns with JSON arguments as one run, and answers their ids.

        The runs of one loop cycle share a message.
        """
        run = TurnRun(actor=ActorId(system="default", type=actor_type, key=key), epoch=7)
        if state is not None:
            run.state_full.CopyFrom(state)
        ids: list[int] = []
        for action, argument in turns:
            turn = Turn(
                turn_id=self._next_turn,
                action=action,
                request_id=f"request-{self._next_turn}",
                attempt=1,
                timeout_ms=timeout_ms,
                revision=len(ids) + 1,
            )
            if argument:
                turn.payload.content_type = "application/json"
                turn.payload.data = argument
            run.turns.append(turn)
            ids.append(self._next_turn)
            self._next_turn += 1
        self._batch.append(NodeFrame(run=run))
        if len(self._batch) == 1:
            asyncio.get_running_loop().call_soon(self._flush)
        return ids

    def _flush(self) -> None:
        batch, self._batch = self._batch, []
        self.send(*batch)

    async def result(self) -> TurnResult:
        """The next frame, which must be a result."""
        return (await self.next("result")).result

    def end(self) -> None:
        """Ends the node's side of the stream."""
        self.outgoing.put_nowait(None)


class FakeNode:
    """Serves host sessions to the test, and answers calls as it says."""

    def __init__(self) -> None:
        self.sessions: asyncio.Queue[FakeSession] = asyncio.Queue()
        self.answer: Answer | None = None
        self.stream_messages: list[int] = []
        self.cancels: list[int] = []
        #: What each subscription gets; then it ends, unless it holds.
        self.said: list[SubscribeResponse] = []
        self.holds = False
        #: The resume tokens of the subscriptions so far.
        self.resumed: list[str] = []
        self.port = 0
        self._server = grpc.aio.server()

    @property
    def address(self) -> str:
        """host:port."""
        return f"127.0.0.1:{self.port}"

    async def __aenter__(self) -> FakeNode:
        handlers = {
            "Connect": grpc.stream_stream_rpc_method_handler(
                self._connect,
                request_deserializer=ConnectRequest.FromString,
                response_serializer=ConnectResponse.SerializeToString,
            )
        }
        calls = {
            "Invoke": grpc.unary_unary_rpc_method_handler(
                self._invoke,
                request_deserializer=InvokeRequest.FromString,
                response_serializer=InvokeResponse.SerializeToString,
            ),
            "InvokeStream": grpc.stream_stream_rpc_method_handler(
                self._invoke_stream,
                request_deserializer=InvokeStreamRequest.FromString,
                response_serializer=InvokeStreamResponse.SerializeToString,
            ),
            "Subscribe": grpc.unary_stream_rpc_method_handler(
                self._subscribe,
                request_deserializer=SubscribeRequest.FromString,
                response_serializer=SubscribeResponse.SerializeToString,
            ),
        }
        generic = grpc.method_handlers_generic_handler
        self._server.add_generic_rpc_handlers(
            (
                generic("callboard.host.v1.HostService", handlers),
                generic("callboard.gateway.v1.GatewayService", calls),
            )
        )
        self.port = self._server.add_insecure_port(f"127.0.0.1:{self.port}")
        await self._server.start()
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        await self._server.stop(None)

    async def _connect(self, requests: AsyncIterator[ConnectRequest], context: Any) -> None:
        session = FakeSession(context)

        async def read() -> None:
            async for request in requests:
                session.messages += 1
                for frame in request.frames:
                    session.frames.put_nowait(frame)
            session.frames.put_nowait(None)

        reader = asyncio.create_task(read())
        self.sessions.put_nowait(session)
        try:
            while (response := await session.outgoing.get()) is not None:
                await context.write(response)
        finally:
            reader.cancel()

    async def _invoke(self, request: InvokeRequest, context: Any) -> InvokeResponse:
        assert self.answer is not None
        outcome = await self.answer(request)
        if isinstance(outcome, CallError):
            await context.abort(_STATUS[outcome.code], outcome.message)
            raise AssertionError("abort raises")
        return outcome

    async def _subscribe(self, request: SubscribeRequest, context: Any) -> None:
        self.resumed.append(request.resume_token)
        for item in self.said:
            await context.write(item)
        if self.holds:
            await asyncio.Event().wait()

    async def _invoke_stream(
        self, requests: AsyncIterator[InvokeStreamRequest], context: Any
    ) -> None:
        tasks: dict[int, asyncio.Task[None]] = {}
        writing = asyncio.Lock()

        async def one(stream_id: int, request: InvokeRequest) -> None:
            assert self.answer is not None
            outcome = await self.answer(request)
            response = InvokeStreamResponse()
            reply = response.replies.add(stream_id=stream_id)
            if isinstance(outcome, CallError):
                reply.error.CopyFrom(outcome)
            else:
                reply.response.CopyFrom(outcome)
            async with writing:
                await context.write(response)

        async for message in requests:
            self.stream_messages.append(len(message.calls))
            self.cancels += message.cancels
            for stream_id in message.cancels:
                if stream_id in tasks:
                    tasks[stream_id].cancel()
            for call in message.calls:
                tasks[call.stream_id] = asyncio.create_task(one(call.stream_id, call.call))


_STATUS = {code.value[0]: code for code in grpc.StatusCode}


def json_payload(text: str) -> Payload:
    """A JSON value as it travels."""
    return Payload(content_type="application/json", data=text.encode())
