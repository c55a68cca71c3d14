"""The sessions of one host: one to every node of the cluster, or in sidecar mode to the one that it
was given. What happens to one node disturbs no session with another.
"""

from __future__ import annotations

import asyncio
import functools
import logging
from collections.abc import Sequence

from .backoff import Backoff
from .errors import HostError
from .protocol.callboard.host.v1.host_pb2 import Topology, Welcome
from .roster import Roster
from .session import Offer, Session, SessionEnded
from .turns import Executor

LOG = logging.getLogger("callboard.host")


class Link:
    """Keeps one session to one node: the next one follows when one ends, for as long as the fleet
    wants the node.
    """

    def __init__(self, fleet: Fleet, address: str) -> None:
        self.address = address
        self._fleet = fleet
        self._sessions: dict[Session, asyncio.Task[None]] = {}
        self._session: Session | None = None
        self._answered = False
        self._stopping = False
        self._complained = False
        self._task = asyncio.create_task(self._keep_connected())

    @property
    def live(self) -> bool:
        """True while the node has greeted the host and none of both is leaving."""
        session = self._session
        return session is not None and session.welcomed and not self._stopping

    def set_credits(self, credits: int) -> None:
        """Sets how many turns the node may send at a time."""
        if self._session is not None:
            self._session.set_credits(credits)

    def welcomed(self, session: Session, welcome: Welcome) -> bool:
        """The node answered; False if it is served by another link."""
        self._answered = self._fleet.welcomed(self, welcome)
        return self._answered

    def topology(self, topology: Topology) -> None:
        """The node told who belongs to the cluster."""
        self._fleet.topology(topology)

    async def leave(self, permanent: bool, timeout: float) -> None:
        """Takes no more turns, finishes those that came within the timeout, and disconnects."""
        self._stopping = True
        leaving = [self._drain(one, run, permanent) for one, run in self._sessions.items()]
        try:
            await asyncio.wait_for(asyncio.gather(*leaving), timeout)
        except asyncio.TimeoutError:
            LOG.warning(
                "drain timeout of %.0f s is over; unfinished turns of %s run elsewhere",
                timeout,
                self.address,
            )
        finally:
            pending = {self._task, *self._sessions.values()}
            for task in pending:
                task.cancel()
            await asyncio.gather(*pending, return_exceptions=True)
            if self._answered:
                self._lost()

    def _lost(self) -> None:
        answered, self._answered = self._answered, False
        self._session = None
        self._fleet.lost(self, answered)

    async def _drain(self, session: Session, run: asyncio.Task[None], permanent: bool) -> None:
        if not session.welcomed:
            return
        drained = asyncio.create_task(session.drain(permanent))
        try:
            # A session that breaks meanwhile has nothing left to finish.
            await asyncio.wait({drained, run}, return_when=asyncio.FIRST_COMPLETED)
            if drained.done():
                session.finish()
                await asyncio.wait({run})
        finally:
            drained.cancel()

    async def _keep_connected(self) -> None:
        backoff = Backoff()
        while not self._stopping:
            session = Session(self._fleet.offer, self._fleet.executor, self, self._fleet.credits())
            run = asyncio.create_task(session.run())
            self._sessions[session] = run
            self._session = session
            run.add_done_callback(functools.partial(self._ended, session))
            try:
                await self._watch(session, run)
                backoff.reset()
            except SessionEnded as ended:
                if session.registered.is_set():
                    backoff.reset()
                if session.superfluous:
                    LOG.debug("%s is served at another address", self.address)
                    self._stopping = True
                else:
                    self._complain(f"session with {self.address} ended: {ended}; connecting again")
            except HostError as refused:
                if self._fleet.refused(refused):
                    return
                self._complain(f"{refused} ({self.address}); others take them, trying again")
            except Exception:
                LOG.exception("session with %s failed; connecting again", self.address)
            self._lost()
            await asyncio.sleep(backoff.next())

    async def _watch(self, session: Session, run: asyncio.Task[None]) -> None:
        """Returns when the node leaves, and raises what ended the session otherwise.

        A node that leaves ends the session itself, once it has no more turns to hand out.
        """
        registered = asyncio.create_task(session.registered.wait())
        leaving = asyncio.create_task(session.leaving.wait())
        try:
            await asyncio.wait({registered, run}, return_when=asyncio.FIRST_COMPLETED)
            if registered.done():
                self._complained = False
                self._fleet.registered(self)
            await asyncio.wait({leaving, run}, return_when=asyncio.FIRST_COMPLETED)
            if run.done():
                run.result()
            else:
                LOG.info("%s is leaving; its turns are finished meanwhile", self.address)
        finally:
            registered.cancel()
            leaving.cancel()
            if not run.done() and not session.leaving.is_set():
                run.cancel()

    def _complain(self, text: str) -> None:
        """Once is enough for a node that stays away, and nothing for one that the host leaves."""
        quiet = self._complained or self._stopping
        LOG.log(logging.DEBUG if quiet else logging.WARNING, text)
        self._complained = True

    def _ended(self, session: Session, run: asyncio.Task[None]) -> None:
        del self._sessions[session]
        if not run.cancelled():
            run.exception()  # reported already, or of a session that the node had announced to end


class Fleet:
    """Keeps a host connected. Belongs to one event loop; begins at once, and ends with `leave`."""

    def __init__(
        self, offer: Offer, executor: Executor, addresses: Sequence[str], discovers: bool
    ) -> None:
        self.offer = offer
        self.executor = executor
        #: Set when a node has taken the actor types.
        self.ready = asyncio.Event()
        #: Fails if the nodes refuse the host.
        self.failure: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._roster = Roster(addresses, discovers)
        self._links: dict[str, Link] = {}
        self._leaving: set[asyncio.Task[None]] = set()
        self._stopping = False
        self._adjust()

    async def leave(self, permanent: bool) -> None:
        """Leaves all nodes in good order."""
        self._stopping = True
        timeout = self.offer.drain_timeout
        links = [link.leave(permanent, timeout) for link in self._links.values()]
        await asyncio.gather(*links, *self._leaving, return_exceptions=True)
        if not self.failure.cancel() and not self.failure.cancelled():
            self.failure.exception()  # whoever waited has it

    def credits(self) -> int:
        """How many turns to ask for in the Hello of a new session."""
        return self._share(self._live() + 1)

    def welcomed(self, link: Link, welcome: Welcome) -> bool:
        """A node answered a link. False if another link serves it."""
        nodes = [(node.node_id, node.address) for node in welcome.nodes]
        serves = self._roster.welcomed(link.address, welcome.node_id, nodes)
        if serves:
            # The session first becomes one of those that share the credits.
            asyncio.get_running_loop().call_soon(self._adjust)
        elif self._links.get(link.address) is link:
            del self._links[link.address]
            self._retire(link)
        return serves

    def topology(self, topology: Topology) -> None:
        """A node told who belongs to the cluster."""
        nodes = [(node.node_id, node.address) for node in topology.nodes]
        self._roster.topology(topology.view_version, nodes)
        self._adjust()

    def registered(self, link: Link) -> None:
        """A node took the actor types."""
        types = ", ".join(one.name for one in self.offer.definitions)
        LOG.info("actor types %s are offered at %s", types, link.address)
        self.ready.set()

    def lost(self, link: Link, answered: bool) -> None:
        """A link has no session any more, or the node leaves."""
        if answered:
            self._roster.closed(link.address)
        elif self._links.get(link.address) is link:
            self._roster.failed(link.address)
        self._adjust()

    def refused(self, error: HostError) -> bool:
        """A node refused the host. True if that is the end; a single node that is older or newer
        than the others comes round when it is replaced.
        """
        if self.ready.is_set() or self._stopping:
            return self._stopping
        if not self.failure.done():
            self.failure.set_exception(error)
        return True

    def _adjust(self) -> None:
        """Opens and closes links until they are those that are wanted, and shares the credits out
        anew.
        """
        if self._stopping:
            return
        wanted = self._roster.wanted()
        for address in [one for one in self._links if one not in wanted]:
            self._retire(self._links.pop(address))
        for address in wanted:
            if address not in self._links:
                self._links[address] = Link(self, address)
        share = self._share(max(1, self._live()))
        for link in self._links.values():
            if link.live:
                link.set_credits(share)

    def _retire(self, link: Link) -> None:
        task = asyncio.create_task(link.leave(False, self.offer.drain_timeout))
        self._leaving.add(task)
        task.add_done_callback(self._leaving.discard)

    def _live(self) -> int:
        return sum(link.live for link in self._links.values())

    def _share(self, sessions: int) -> int:
        return max(1, self.offer.credits // sessions)
