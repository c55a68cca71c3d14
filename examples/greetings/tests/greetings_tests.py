"""The book of greetings, tested without a node."""

from __future__ import annotations

import asyncio

from callboard.testing import TestKit

from greetings import CHANNEL, Greeted, Greeting, Greetings


def a_node_is_kept_with_the_hosts_that_greeted_it() -> None:
    async def scenario() -> None:
        kit = TestKit(Greetings)
        await kit.call("open")
        for host in ("h1", "h2", "h1"):
            await kit.publish(CHANNEL, Greeting(1, "a:7070", host))
        await kit.publish(CHANNEL, Greeting(2, "b:7070", "h2"))
        await kit.restart()
        assert kit.state.nodes == {"1": Greeted("a:7070", ["h1", "h2"]), "2": Greeted("b:7070", ["h2"])}

    asyncio.run(scenario())


def a_node_that_moved_is_kept_with_its_new_address() -> None:
    async def scenario() -> None:
        kit = TestKit(Greetings)
        await kit.call("open")
        for address in ("a:7070", "c:7070"):
            await kit.publish(CHANNEL, Greeting(1, address, "h1"))
        assert kit.state.nodes == {"1": Greeted("c:7070", ["h1"])}

    asyncio.run(scenario())
