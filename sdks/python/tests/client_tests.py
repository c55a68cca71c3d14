"""The client against a scripted node, over real gRPC."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from uuid import UUID

import pytest

import callboard
from callboard import ActorError, BlockingClient, CallError, Client
from callboard.channel import server_addresses
from callboard.protocol.callboard.gateway.v1.gateway_pb2 import (
    ChannelMessage,
    InvokeRequest,
    InvokeResponse,
    Missed,
    Subscribed,
    SubscribeResponse,
)
from callboard.protocol.callboard.type.v1 import type_pb2
from callboard.transport import Nodes
from fake_node import FakeNode, json_payload


async def _echo(request: InvokeRequest) -> InvokeResponse:
    return InvokeResponse(payload=request.payload, request_id=request.request_id, durable=True)


def _fails_first(times: int, **error: object) -> Callable[..., object]:
    seen: list[InvokeRequest] = []

    async def answer(request: InvokeRequest) -> InvokeResponse | type_pb2.CallError:
        seen.append(request)
        if len(seen) <= times:
            return type_pb2.CallError(**error)  # type: ignore[arg-type]
        return InvokeResponse(payload=json_payload(str(len(seen))))

    answer.seen = seen  # type: ignore[attr-defined]
    return answer


async def calls_of_one_loop_cycle_share_a_message() -> None:
    async with FakeNode() as node, Client(node.address) as client:
        node.answer = _echo
        values = await asyncio.gather(*(client.call("T", "k", "a", n) for n in range(300)))
        assert values == list(range(300))
        assert sum(node.stream_messages) == 300
        assert len(node.stream_messages) < 30


async def a_retry_keeps_the_request_id_and_the_time_of_the_call() -> None:
    async with FakeNode() as node, Client(node.address) as client:
        answer = _fails_first(2, code=8, reason="MAILBOX_FULL", retry=2)
        node.answer = answer  # type: ignore[assignment]
        assert await client.call("T", "k", "a") == 3
        seen: list[InvokeRequest] = answer.seen  # type: ignore[attr-defined]
        assert len({(one.request_id, one.created_at_ms) for one in seen}) == 1
        assert UUID(seen[0].request_id).version == 7


async def an_error_that_forbids_a_retry_is_raised_at_once_with_its_facts() -> None:
    async with FakeNode() as node, Client(node.address) as client:
        answer = _fails_first(9, code=9, reason="CLOSED", from_actor=True, metadata={"a": "b"})
        node.answer = answer  # type: ignore[assignment]
        with pytest.raises(CallError) as refused:
            await client.call("T", "k", "a", idempotency_key="mine")
        assert (refused.value.reason, refused.value.from_actor) == ("CLOSED", True)
        assert (refused.value.metadata, refused.value.request_id) == ({"a": "b"}, "mine")
        assert len(answer.seen) == 1  # type: ignore[attr-defined]


async def a_call_past_its_timeout_is_cancelled_at_the_node() -> None:
    async with FakeNode() as node, Client(node.address) as client:
        ended = asyncio.Event()

        async def never(request: InvokeRequest) -> InvokeResponse:
            try:
                await asyncio.Event().wait()
            finally:
                ended.set()
            raise AssertionError("it waits for ever")

        node.answer = never
        with pytest.raises(CallError) as late:
            await client.call("T", "k", "a", timeout=0.1)
        assert late.value.reason == "DEADLINE_EXCEEDED"
        await ended.wait()
        assert node.cancels == [1]


async def a_cancelled_task_cancels_its_call_and_no_other() -> None:
    async with FakeNode() as node, Client(node.address) as client:
        started = asyncio.Event()
        go_on = asyncio.Event()

        async def answer(request: InvokeRequest) -> InvokeResponse:
            if request.action == "slow":
                started.set()
                await asyncio.Event().wait()
            await go_on.wait()
            return await _echo(request)

        node.answer = answer
        slow = asyncio.create_task(client.call("T", "k", "slow"))
        other = asyncio.create_task(client.call("T", "k", "other", 7))
        await started.wait()
        slow.cancel()
        with pytest.raises(asyncio.CancelledError):
            await slow
        go_on.set()
        assert await other == 7


async def a_client_without_a_server_says_so_when_the_timeout_is_over() -> None:
    async with Client("127.0.0.1:1") as client:
        with pytest.raises(CallError) as failed:
            await client.call("T", "k", "a", timeout=0.3)
    assert failed.value.reason == "DEADLINE_EXCEEDED"
    assert "connect" in failed.value.message.lower()


async def a_closed_client_ends_the_calls_in_flight() -> None:
    async with FakeNode() as node:

        async def never(request: InvokeRequest) -> InvokeResponse:
            await asyncio.Event().wait()
            raise AssertionError("it waits for ever")

        node.answer = never
        client = Client(node.address)
        call = asyncio.create_task(client.call("T", "k", "a"))
        await asyncio.sleep(0)
        await client.close()
        with pytest.raises(CallError) as ended:
            await call
        assert ended.value.reason == "CANCELLED"
        with pytest.raises(RuntimeError, match="closed"):
            await client.call("T", "k", "a")


async def an_asynchronous_call_answers_whether_it_is_durable() -> None:
    async with FakeNode() as node, Client(node.address) as client:
        node.answer = _echo
        accepted = await client.send("T", "k", "a", idempotency_key="mine")
        assert (accepted.request_id, accepted.durable) == ("mine", True)


async def a_timeout_must_be_positive() -> None:
    async with Client("127.0.0.1:1") as client:
        with pytest.raises(ValueError, match="positive"):
            await client.call("T", "k", "a", timeout=0)


async def a_client_of_several_nodes_moves_its_calls_from_one_that_stops_to_the_next() -> None:
    async with FakeNode() as one, FakeNode() as two:
        held, arrived = asyncio.Event(), asyncio.Event()
        ids: list[str] = []

        async def refuses(request: InvokeRequest) -> InvokeResponse | type_pb2.CallError:
            ids.append(request.request_id)
            arrived.set()
            if request.action == "held":
                await held.wait()
                return await _echo(request)
            return type_pb2.CallError(code=14, reason="SHUTTING_DOWN", retry=2)

        async def takes(request: InvokeRequest) -> InvokeResponse:
            ids.append(request.request_id)
            return await _echo(request)

        async with Client([one.address, two.address]) as client:
            # Clients begin anywhere: whoever gets the first call is the node that stops.
            one.answer = two.answer = refuses
            slow = asyncio.create_task(client.call("T", "k", "held", 7))
            await arrived.wait()
            stopping, other = (one, two) if one.stream_messages else (two, one)
            other.answer = takes
            assert await client.call("T", "k", "moves", 8, idempotency_key="mine") == 8
            assert ids[1:] == ["mine", "mine"]
            assert (len(stopping.stream_messages), len(other.stream_messages)) == (2, 1)
            held.set()
            assert await slow == 7
            assert len(ids) == 3


def the_nodes_come_from_a_list_a_text_with_commas_or_the_environment(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    assert server_addresses(["a:1", "b:2", "a:1"]) == ["a:1", "b:2"]
    assert server_addresses("a:1,, b:2") == ["a:1", "b:2"]
    monkeypatch.setenv("CALLBOARD_SERVER", "c:3,d:4")
    assert server_addresses(None) == ["c:3", "d:4"]
    monkeypatch.setenv("CALLBOARD_SERVER", "")
    assert server_addresses(None) == ["127.0.0.1:7070"]


def a_client_stays_with_a_node_until_that_one_cannot_answer() -> None:
    nodes = Nodes(["a:1", "b:1", "c:1"])
    first = nodes.address
    nodes.failed(first, CallError(14, "NO_HOST"))
    nodes.failed(first, ActorError(14, "SHUTTING_DOWN"))
    assert nodes.address == first
    nodes.failed(first, CallError(14, "SHUTTING_DOWN"))
    nodes.failed(first, CallError(14, "SHUTTING_DOWN"))
    second = nodes.address
    nodes.failed(second, CallError(14, "LEASE_LOST"))
    assert len({first, second, nodes.address}) == 3
    nodes.failed(nodes.address, CallError(14, "CONNECTION_LOST"))
    assert nodes.address == first


async def a_blocking_client_calls_without_an_event_loop() -> None:
    async with FakeNode() as node:
        node.answer = _echo

        def program() -> object:
            with BlockingClient(node.address) as client:
                return client.call("T", "k", "a", {"n": 1})

        assert await asyncio.to_thread(program) == {"n": 1}


async def a_blocking_client_hears_a_subscription_item_by_item() -> None:
    async with FakeNode() as node:
        node.said = [
            SubscribeResponse(subscribed=Subscribed(resume_token="t0")),
            SubscribeResponse(
                message=ChannelMessage(
                    channel="c", id="m1", payload=json_payload("1"), resume_token="t1"
                )
            ),
            SubscribeResponse(missed=Missed(messages=3)),
        ]

        def program() -> list[object]:
            with BlockingClient(node.address) as client:
                heard = client.each(client.client.subscribe("c"))
                return [next(heard), next(heard), next(heard)]

        first, missed, again = await asyncio.to_thread(program)
        assert isinstance(first, callboard.Message) and first.message == 1
        assert missed == callboard.Missed(3)
        # The stream ended; the next one goes on where it was.
        assert isinstance(again, callboard.Message)
        assert node.resumed == ["", "t1"]


async def a_closed_subscription_ends_a_loop_that_waits_for_it() -> None:
    async with FakeNode() as node, Client(node.address) as client:
        node.said = [SubscribeResponse(subscribed=Subscribed(resume_token="t0"))]
        node.holds = True
        async with client.subscribe("c") as heard:
            assert heard.resume_token == "t0"

            async def loop() -> int:
                return len([item async for item in heard])

            waiting = asyncio.create_task(loop())
            await asyncio.sleep(0)
            await heard.close()
            assert await waiting == 0


async def a_call_is_a_coroutine_that_begins_when_it_is_awaited() -> None:
    async with FakeNode() as node, Client(node.address) as client:
        node.answer = _echo
        call = client.call("T", "k", "a", 7)
        assert await asyncio.wait_for(asyncio.create_task(call), 5) == 7
        with pytest.raises(RuntimeError, match="already awaited"):
            await call
        client.call("T", "k", "a", 8).close()
        assert node.stream_messages == [1]
