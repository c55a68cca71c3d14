"""The host against a scripted node, over real gRPC."""

from __future__ import annotations

import asyncio
import os
import signal
import sys
from pathlib import Path

import pytest

from callboard import Host, HostError
from callboard.protocol.callboard.host.v1.host_pb2 import (
    CancelTurn,
    Drained,
    Draining,
    Limits,
    NodeFrame,
    Ping,
    Registered,
    Topology,
    Welcome,
)
from callboard.protocol.callboard.type.v1.type_pb2 import CallError, NodeAddress
from cart import Cart, Stock
from fake_node import FakeNode, json_payload


async def a_type_is_registered_with_its_actions_and_read_only_marks() -> None:
    async with FakeNode() as node, Host(Cart, Stock, server=node.address) as host:
        session = await node.sessions.get()
        register = await session.welcome()
        await host.ready()
        cart = next(one for one in register.types if one.name == "Cart")
        assert [one.name for one in cart.actions if one.read_only] == ["items"]
        assert not register.descriptor_set
        session.end()


async def a_run_is_answered_turn_by_turn_on_the_state_of_the_turn_before() -> None:
    async with FakeNode() as node, Host(Cart, server=node.address):
        session = await node.sessions.get()
        await session.welcome()
        pen = b'{"name":"pen","count":6}'
        session.run("Cart", "c", ("put", pen), ("put", pen), ("items", b""))
        first, second, third = [await session.result() for _ in range(3)]
        assert first.state.data == b'{"items":{"pen":6},"opened":0}'
        assert dict(first.tags.values) == {"last": "pen"}
        assert second.error.reason == "TOO_MANY" and second.error.from_actor
        assert third.reply.data == b'{"pen":6}'
        assert not third.HasField("state")
        session.end()


async def all_results_of_one_loop_cycle_share_a_message() -> None:
    async with FakeNode() as node, Host(Cart, server=node.address):
        session = await node.sessions.get()
        await session.welcome()
        before = session.messages
        for number in range(200):
            session.run("Cart", f"c{number}", ("put", b'{"name":"pen"}'))
        for _ in range(200):
            await session.result()
        assert session.messages - before < 20
        session.end()


async def a_cancelled_thread_sees_it_and_the_turn_is_answered_once() -> None:
    async with FakeNode() as node, Host(Cart, server=node.address):
        session = await node.sessions.get()
        await session.welcome()
        [turn] = session.run("Cart", "c", ("put_slowly", b'{"name":"pen"}'))
        session.send(NodeFrame(ping=Ping(nonce=5)))
        assert (await session.next("pong")).pong.nonce == 5
        session.send(NodeFrame(cancel=CancelTurn(turn_id=turn)))
        assert (await session.result()).error.reason == "STOPPED"
        session.end()


async def a_turn_past_its_timeout_is_answered_even_if_its_thread_goes_on() -> None:
    async with FakeNode() as node, Host(Cart, server=node.address):
        session = await node.sessions.get()
        await session.welcome()
        session.run("Cart", "c", ("put_slowly", b'{"name":"pen"}'), timeout_ms=60)
        session.run("Cart", "d", ("hang", b""), timeout_ms=60)
        answers = [await session.result(), await session.result()]
        assert {one.error.reason for one in answers} == {"DEADLINE_EXCEEDED"}
        session.run("Cart", "c", ("items", b""), state=json_payload('{"items":{"ink":1}}'))
        assert (await session.result()).reply.data == b'{"ink":1}'
        session.end()


async def a_reply_over_the_limit_fails_its_turn() -> None:
    async with FakeNode() as node, Host(Cart, server=node.address):
        session = await node.sessions.get()
        await session.welcome(limits=Limits(payload_bytes_max=16, state_bytes_max=20))
        state = json_payload('{"items":{"a long name of a thing":1},"opened":0}')
        session.run("Cart", "c", ("items", b""), ("put", b'{"name":"x"}'), state=state)
        assert (await session.result()).error.reason == "PAYLOAD_TOO_LARGE"
        assert (await session.result()).error.reason == "PAYLOAD_TOO_LARGE"
        session.run("Cart", "d", ("put", b'{"name":"pen"}'))
        assert (await session.result()).error.reason == "STATE_TOO_LARGE"
        session.end()


async def a_state_that_cannot_be_read_fails_the_turn_and_is_not_replaced() -> None:
    async with FakeNode() as node, Host(Cart, server=node.address):
        session = await node.sessions.get()
        await session.welcome()
        session.run("Cart", "c", ("put", b'{"name":"x"}'), state=json_payload('{"items":7}'))
        result = await session.result()
        assert result.HasField("error") and not result.HasField("state")
        session.end()


async def a_node_that_leaves_gets_its_turns_finished_while_a_new_session_opens() -> None:
    async with FakeNode() as node, Host(Cart, server=node.address):
        old = await node.sessions.get()
        await old.welcome()
        old.run("Cart", "c", ("put_slowly", b'{"name":"pen"}'))
        old.send(NodeFrame(draining=Draining(grace_ms=10_000)))
        new = await node.sessions.get()
        await new.welcome()
        assert (await old.result()).reply.data == b"1"
        new.run("Cart", "c", ("items", b""))
        assert (await new.result()).HasField("reply")
        old.end()
        new.end()


async def a_broken_session_is_opened_again_and_its_turns_are_dropped() -> None:
    async with FakeNode() as node, Host(Cart, server=node.address):
        first = await node.sessions.get()
        await first.welcome()
        first.run("Cart", "c", ("hang", b""))
        first.end()
        second = await node.sessions.get()
        await second.welcome()
        second.run("Cart", "c", ("put", b'{"name":"pen"}'))
        assert (await second.result()).reply.data == b'{"pen":1}'
        second.end()


async def a_refusal_of_the_types_reaches_whoever_waits_for_the_host() -> None:
    async with FakeNode() as node:
        host = Host(Cart, server=node.address)
        async with host:
            session = await node.sessions.get()
            await session.next("hello")
            session.send(NodeFrame(welcome=Welcome(protocol_major=1)))
            await session.next("register")
            error = CallError(code=9, reason="INCOMPATIBLE_TYPE", message="state type changed")
            session.send(NodeFrame(registered=Registered(register_id=1, error=error)))
            with pytest.raises(HostError, match="INCOMPATIBLE_TYPE"):
                await host.ready()


async def a_drained_host_answers_what_it_has_and_closes_its_side() -> None:
    async with FakeNode() as node:
        host = Host(Cart, server=node.address)
        async with host:
            session = await node.sessions.get()
            await session.welcome()
            await host.ready()
            session.run("Cart", "c", ("put_slowly", b'{"name":"pen"}'))
            draining = asyncio.create_task(host.drain())
            assert not (await session.next("drain")).drain.permanent
            session.send(NodeFrame(drained=Drained()))
            assert (await session.result()).reply.data == b"1"
            assert await session.frames.get() is None
            session.end()
            await draining


async def a_host_that_a_signal_ends_drains_and_exits_with_zero() -> None:
    program = Path(__file__).with_name("cart_host.py")
    async with FakeNode() as node:
        environment = {**os.environ, "CALLBOARD_SERVER": node.address}
        process = await asyncio.create_subprocess_exec(sys.executable, program, env=environment)
        try:
            session = await node.sessions.get()
            await session.welcome()
            process.send_signal(signal.SIGTERM)
            await session.next("drain")
            session.send(NodeFrame(drained=Drained()))
            assert await session.frames.get() is None
            session.end()
            assert await asyncio.wait_for(process.wait(), 20) == 0
        finally:
            if process.returncode is None:
                process.kill()
                await process.wait()


def _addresses(*nodes: FakeNode) -> list[NodeAddress]:
    return [NodeAddress(node_id=n, address=one.address) for n, one in enumerate(nodes, 1)]


async def every_node_of_the_cluster_is_served_with_a_share_of_the_turns() -> None:
    async with FakeNode() as one, FakeNode() as two, Host(Cart, server=one.address, credits=90):
        nodes = _addresses(one, two)
        first = await one.sessions.get()
        assert (await first.welcome(node_id=1, nodes=nodes)).types
        second = await two.sessions.get()
        hello = (await second.next("hello")).hello
        assert hello.credits == 45
        second.send(NodeFrame(welcome=Welcome(protocol_major=1, node_id=2)))
        await second.next("register")
        second.send(NodeFrame(registered=Registered(register_id=1)))
        assert (await first.next("credit")).credit.turns == 45
        second.run("Cart", "c", ("put", b'{"name":"pen"}'))
        assert (await second.result()).HasField("reply")
        first.send(NodeFrame(topology=Topology(nodes=nodes[:1], view_version=4)))
        await second.next("drain")
        assert (await first.next("credit")).credit.turns == 90
        second.send(NodeFrame(drained=Drained()))
        assert await second.frames.get() is None
        second.end()
        first.run("Cart", "c", ("put", b'{"name":"pen"}'))
        assert (await first.result()).HasField("reply")
        first.end()


async def a_node_that_refuses_the_types_does_not_end_a_host_that_others_serve() -> None:
    async with FakeNode() as one, FakeNode() as two, Host(Cart, server=one.address) as host:
        first = await one.sessions.get()
        await first.welcome(node_id=1, nodes=_addresses(one, two))
        await host.ready()
        for _ in range(2):
            second = await two.sessions.get()
            await second.next("hello")
            second.send(NodeFrame(welcome=Welcome(protocol_major=1, node_id=2)))
            await second.next("register")
            error = CallError(code=9, reason="INCOMPATIBLE_TYPE", message="older", retry=1)
            second.send(NodeFrame(registered=Registered(register_id=1, error=error)))
            second.end()
        first.run("Cart", "c", ("put", b'{"name":"pen"}'))
        assert (await first.result()).HasField("reply")
        first.end()


def a_sidecar_host_is_given_one_node() -> None:
    with pytest.raises(ValueError, match="sidecar"):
        Host(Cart, server="a:1,b:1", mode="sidecar")
    with pytest.raises(ValueError, match="mode"):
        Host(Cart, mode="alone")  # type: ignore[arg-type]


def a_host_without_actors_or_with_a_name_twice_is_refused() -> None:
    with pytest.raises(TypeError, match="at least one"):
        Host()
    with pytest.raises(TypeError, match="same actor type name"):
        Host(Cart, Cart)
