"""Greetings: hosts say on a channel which nodes they greet, and one actor keeps who greeted whom."""

from __future__ import annotations

import asyncio
import logging
from dataclasses import dataclass, field

from callboard import CallError, Client, Context, JsonActor, Kind, ReadContext, Settings, action

from nodes import joining

LOG = logging.getLogger(__name__)
#: Where hosts greet.
CHANNEL = "greetings"
#: How long a host waits before it says a greeting again that was not taken, in seconds.
AGAIN = 0.5


@dataclass
class Greeting:
    """What a host says when it sees a node for the first time."""

    node: int
    address: str
    host: str


@dataclass
class Greeted:
    """A node that was greeted."""

    address: str
    #: The hosts that greeted it, the first one first.
    hosts: list[str] = field(default_factory=list)


@dataclass
class Book:
    """Who was greeted, by the node's number."""

    open: bool = False
    nodes: dict[str, Greeted] = field(default_factory=dict)


class Greetings(JsonActor[Book], channels=[CHANNEL]):
    """Hears every greeting exactly once. There is one in the cluster: its type is NAMED."""

    state_type = Book
    settings = Settings(kind=Kind.NAMED)

    @action()
    async def open(self, ctx: Context[Book]) -> None:
        """Begins the book. An actor hears what is said once it has a stored state."""
        ctx.state.open = True

    @action()
    async def receive(self, ctx: Context[Book], greeting: Greeting) -> None:
        """A host greets a node. A host that was started anew greets them all again, which changes nothing."""
        greeted = ctx.state.nodes.setdefault(str(greeting.node), Greeted(greeting.address))
        greeted.address = greeting.address
        if greeting.host not in greeted.hosts:
            greeted.hosts.append(greeting.host)
            ctx.log.info("%s greets node %s at %s", greeting.host, greeting.node, greeting.address)

    @action(read_only=True)
    async def show(self, ctx: ReadContext[Book]) -> dict[str, Greeted]:
        """The nodes that were greeted, and by whom."""
        return ctx.state.nodes


async def greet(host: str) -> None:
    """Greets every node of the cluster, and each that joins later, until it is cancelled."""
    async with Client() as client:
        async for node in joining():
            await _say(client, Greeting(node.number, node.address, host))


async def _say(client: Client, greeting: Greeting) -> None:
    """Says a greeting until it is certain that the book gets it."""
    while True:
        try:
            await client.ref("Greetings").call("open")
            if (await client.publish(CHANNEL, greeting)).types:
                return
        except CallError as error:
            # No host has been taken yet, say.
            LOG.info("node %s is greeted again in a moment: %s", greeting.node, error.reason)
        await asyncio.sleep(AGAIN)
