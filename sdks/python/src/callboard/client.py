"""The client: calls actors from outside, with request ids, deadlines and safe retries."""

from __future__ import annotations

import asyncio
import threading
import time
from collections.abc import (
    AsyncIterable,
    AsyncIterator,
    Awaitable,
    Callable,
    Coroutine,
    Iterable,
    Iterator,
)
from dataclasses import dataclass
from types import TracebackType
from typing import TYPE_CHECKING, Any, Generic, Literal, TypeVar

import grpc
from google.protobuf import json_format

from .backoff import Backoff
from .channel import server_addresses
from .codec import fill_payload, message_payload
from .definition import ActionDef, ActorDef
from .errors import CallError, Retry
from .ids import ActorId, uuid7
from .protocol.callboard.gateway.v1.gateway_pb2 import (
    GetStateRequest,
    GetStateResponse,
    InvokeMode,
    InvokeRequest,
    InvokeResponse,
    PublishRequest,
    SpawnRequest,
    SpawnResponse,
    SubscribeRequest,
)
from .protocol.callboard.gateway.v1.gateway_rpc import GatewayService
from .ref import Accepted, Call, CallOptions, JsonRef, SendOptions, json_action
from .running import timeout_millis
from .schedules import Schedules
from .subscription import Published, Subscription
from .tools import ActorTools, DeadLetters
from .transport import (
    Nodes,
    ServerStream,
    StreamTransport,
    Transport,
    UnaryTransport,
    deadline_exceeded,
)
from .workflow import fill_target, later

if TYPE_CHECKING:
    from typing_extensions import Unpack

S = TypeVar("S")
T = TypeVar("T")
Req = TypeVar("Req")
Rep = TypeVar("Rep")

DEFAULT_TIMEOUT = 30.0
#: A call is not retried longer than this: half of the window in which the node recognises its id,
#: in seconds.
RETRY_SECONDS_MAX = 300.0

#: Closer to its deadline than this a call is not tried again, in seconds.
LAST_ATTEMPT_SECONDS = 0.05


@dataclass(frozen=True, slots=True)
class Stored(Generic[S]):
    """The committed state of an actor."""

    #: None if the actor has none.
    state: S | None
    revision: int
    tags: dict[str, str]


class Client:
    """Calls actors of one system. Use it as `async with Client() as client`, on one event loop.

    All calls share one stream unless `transport` is "unary". Failed attempts are repeated with the
    same request id where the node says that this is safe, or the connection broke, until the call's
    timeout. `server` names one node or several; with several, what one cannot answer goes on to the
    next.
    """

    def __init__(
        self,
        server: str | Iterable[str] | None = None,
        *,
        system: str = "default",
        transport: Literal["stream", "unary"] = "stream",
        timeout: float = DEFAULT_TIMEOUT,
        credentials: grpc.ChannelCredentials | None = None,
    ) -> None:
        self._nodes = Nodes(server_addresses(server))
        self._system = system
        self._timeout = timeout
        self._credentials = credentials
        self._kind = transport
        self._transport: Transport | None = None
        self._queries: UnaryTransport | None = None
        self._closed = False
        #: Calls that are made by the clock.
        self.schedules = Schedules(self._unary, system)
        #: Tools for single actors: save, leave memory, delete, look into the past.
        self.actors = ActorTools(self._unary, system)
        #: Effects that could not be delivered.
        self.dead_letters = DeadLetters(self._unary, system)

    async def __aenter__(self) -> Client:
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        await self.close()

    async def close(self) -> None:
        """Ends the connection; calls in flight fail with CANCELLED."""
        self._closed = True
        if self._transport is not None:
            await self._transport.close()
        if self._queries is not None:
            await self._queries.close()

    def actor_id(self, actor_type: str, key: str) -> ActorId:
        """An actor in this client's system."""
        return ActorId(actor_type, key, self._system)

    def ref(self, actor_type: str, key: str = "") -> JsonRef:
        """A reference by name, for actors without generated code. Those of a pool have no key."""
        return JsonRef(self, actor_type, key)

    def call(
        self,
        actor_type: str,
        key: str,
        action: str,
        argument: Any = None,
        **options: Unpack[CallOptions],
    ) -> Call[Any]:
        """Runs an action by name, with JSON values. Raises `CallError`."""
        return self.ref(actor_type, key).call(action, argument, **options)

    async def send(
        self,
        actor_type: str,
        key: str,
        action: str,
        argument: Any = None,
        **options: Unpack[SendOptions],
    ) -> Accepted:
        """Hands an action over by name and does not wait for it to run. Raises `CallError`.

        `delay` or `at` have it run later.
        """
        target = self.actor_id(actor_type, key)
        return await self.submit(target, json_action(action), argument, options)

    async def invoke(
        self,
        target: ActorId,
        action: ActionDef[Req, Rep],
        argument: Req | None,
        options: CallOptions,
    ) -> Rep:
        """Runs an action and answers its reply; typed references use it. Raises `CallError`."""
        request = self._request(target, action.name, options)
        _fill_argument(request, action, argument)
        response = await self._attempts(request, options)
        payload = response.payload
        if not payload.content_type:
            return action.reply.missing()
        return action.reply.decode(payload)

    async def submit(
        self,
        target: ActorId,
        action: ActionDef[Any, Any],
        argument: object,
        options: SendOptions,
    ) -> Accepted:
        """Hands an action over; returns when it is accepted. Raises `CallError`."""
        request = self._request(target, action.name, options)
        request.mode = InvokeMode.INVOKE_MODE_ASYNC
        request.delay_ms, request.due_at_ms = later(options.get("delay"), options.get("at"))
        _fill_argument(request, action, argument)
        response = await self._attempts(request, options)
        return Accepted(request.request_id, response.durable, response.schedule)

    async def publish(
        self, channel: str, message: object = None, **options: Unpack[CallOptions]
    ) -> Published:
        """Says something on a channel: a protobuf message, or any value as JSON. Returns when
        everybody who gets it exactly once is sure to get it. Raises `CallError`.
        """
        request = PublishRequest(
            system=self._system,
            channel=channel,
            payload=message_payload(message),
            request_id=options.get("idempotency_key") or uuid7(),
            created_at_ms=time.time_ns() // 1_000_000,
            metadata=options.get("metadata") or {},
        )
        timeout = timeout_millis(options.get("timeout")) / 1000 or self._timeout
        response = await self._unary(GatewayService.PUBLISH, request, timeout)
        return Published(response.request_id or request.request_id, response.types)

    def subscribe(self, *channels: str, resume_token: str = "") -> Subscription:
        """Hears what is said on channels: `async with client.subscribe("news") as news`, then
        `async for item in news`. `resume_token` goes on where another subscription was.
        """
        if not channels:
            raise TypeError("subscribe needs at least one channel")
        return Subscription(self._open_stream, self._system, channels, resume_token)

    def _open_stream(self, request: SubscribeRequest) -> ServerStream:
        return self._plain().stream(GatewayService.SUBSCRIBE, request)

    async def call_proto(
        self,
        actor_type: str,
        key: str,
        action: str,
        argument: Any = None,
        **options: Unpack[CallOptions],
    ) -> Any:
        """Runs an action that takes protobuf, by name and without its proto. Raises `CallError`.

        The node converts argument and reply by the rules of ProtoJSON.
        """
        request = self._request(self.actor_id(actor_type, key), action, options)
        json_format.ParseDict({} if argument is None else argument, request.json)
        return json_format.MessageToDict((await self._attempts(request, options)).json)

    async def get_state(
        self, definition: ActorDef[S], key: str, *, timeout: float | None = None
    ) -> Stored[S]:
        """Reads the committed state of an actor, without activating it. Raises `CallError`."""
        request = GetStateRequest()
        fill_target(request.actor, self.actor_id(definition.name, key))
        response: GetStateResponse = await self._unary(GatewayService.GET_STATE, request, timeout)
        has_state = bool(response.state.content_type)
        state = definition.state.decode(response.state) if has_state else None
        return Stored(state, response.revision, dict(response.tags))

    async def spawn(
        self, actor_type: str, *keys: str, timeout: float | None = None
    ) -> dict[str, CallError | None]:
        """Activates actors without calling an action; the result says for each key why it failed,
        or None.
        """
        request = SpawnRequest()
        for key in keys:
            fill_target(request.actors.add(), self.actor_id(actor_type, key))
        response: SpawnResponse = await self._unary(GatewayService.SPAWN, request, timeout)
        return {
            result.actor.key: CallError.from_proto(result.error)
            if result.HasField("error")
            else None
            for result in response.results
        }

    def _request(self, target: ActorId, action: str, options: CallOptions) -> InvokeRequest:
        request = InvokeRequest(
            action=action,
            request_id=options.get("idempotency_key") or uuid7(),
            created_at_ms=time.time_ns() // 1_000_000,
            mode=InvokeMode.INVOKE_MODE_SYNC,
        )
        fill_target(request.actor, target)
        request.metadata.update(options.get("metadata") or {})
        return request

    async def _attempts(self, request: InvokeRequest, options: CallOptions) -> InvokeResponse:
        transport = self._connected()
        timeout = timeout_millis(options.get("timeout")) / 1000 or self._timeout

        def attempt(deadline: float, remaining: float) -> Awaitable[InvokeResponse]:
            request.timeout_ms = max(1, round(remaining * 1000))
            return transport.invoke(request, deadline)

        return await _retried(attempt, timeout, request.request_id)

    async def _unary(self, rpc: Any, request: Any, timeout: float | None) -> Any:
        """A call that may be repeated freely."""
        queries = self._plain()

        def attempt(deadline: float, remaining: float) -> Awaitable[Any]:
            if hasattr(request, "timeout_ms"):
                request.timeout_ms = max(1, round(remaining * 1000))
            return queries.call(rpc, request, remaining)

        request_id = getattr(request, "request_id", "")
        return await _retried(attempt, timeout or self._timeout, request_id)

    def _plain(self) -> UnaryTransport:
        """The transport of everything that is no call."""
        if self._closed:
            raise RuntimeError("the client is closed")
        if self._queries is None:
            self._queries = UnaryTransport(self._nodes, self._credentials)
        return self._queries

    def _connected(self) -> Transport:
        if self._closed:
            raise RuntimeError("the client is closed")
        if self._transport is None:
            kind = StreamTransport if self._kind == "stream" else UnaryTransport
            self._transport = kind(self._nodes, self._credentials)
        return self._transport


async def _retried(
    attempt: Callable[[float, float], Awaitable[T]], timeout: float, request_id: str
) -> T:
    """Repeats what is safe to repeat, until the timeout."""
    loop = asyncio.get_running_loop()
    started = loop.time()
    deadline = started + timeout
    backoff = Backoff()
    last: CallError | None = None
    while True:
        remaining = deadline - loop.time()
        if remaining <= 0:
            expired = deadline_exceeded(last)
            expired.request_id = request_id
            raise expired
        try:
            return await attempt(deadline, remaining)
        except CallError as error:
            error.request_id = request_id
            if error.retry not in (Retry.SAFE, Retry.SAME_ID) or loop.time() >= deadline:
                raise
            delay = max(backoff.next(), error.retry_after)
            end = loop.time() + delay
            # What the node says about later cannot come true inside this call.
            if end - started > RETRY_SECONDS_MAX or (error.retry_after and end >= deadline):
                raise
            last = error
        remaining = deadline - loop.time()
        if delay > remaining / 2 > LAST_ATTEMPT_SECONDS and not last.retry_after:
            delay = remaining / 2  # rather try once more than sleep to the end
        await asyncio.sleep(min(delay, max(0.0, remaining)))


def _fill_argument(request: InvokeRequest, action: ActionDef[Any, Any], argument: object) -> None:
    if argument is not None:
        fill_payload(request.payload, action.argument, argument)


async def _next(items: AsyncIterator[T]) -> T:
    return await anext(items)


class BlockingClient:
    """A client for programs without an event loop: it runs one on a thread of its own.

    `blocking.wait(...)` takes whatever the async API returns:
    `blocking.wait(Counter(blocking.client, "k").add(...))`.
    """

    def __init__(self, server: str | Iterable[str] | None = None, **options: Any) -> None:
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(
            target=self._loop.run_forever, name="callboard-client", daemon=True
        )
        self._thread.start()
        #: The client to make references with. Await its calls only through `wait`.
        self.client = Client(server, **options)

    def __enter__(self) -> BlockingClient:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()

    def wait(self, call: Coroutine[Any, Any, T]) -> T:
        """Runs a call and answers its result. Raises what the call raises."""
        return asyncio.run_coroutine_threadsafe(call, self._loop).result()

    def each(self, items: AsyncIterable[T]) -> Iterator[T]:
        """The items of an async iterator, such as a subscription or a list of schedules, one by
        one. Raises what the iterator raises.
        """
        iterator = aiter(items)
        while True:
            try:
                yield self.wait(_next(iterator))
            except StopAsyncIteration:
                return

    def call(
        self,
        actor_type: str,
        key: str,
        action: str,
        argument: Any = None,
        **options: Unpack[CallOptions],
    ) -> Any:
        """Runs an action by name, with JSON values. Raises `CallError`."""
        return self.wait(self.client.call(actor_type, key, action, argument, **options))

    def close(self) -> None:
        """Ends the connection and the thread."""
        if self._loop.is_closed():
            return
        self.wait(self.client.close())
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join()
        self._loop.close()
