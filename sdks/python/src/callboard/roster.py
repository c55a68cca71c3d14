"""Which addresses a host keeps a session with: those that it was given, and in cluster mode those
that the nodes tell.

Only decides; `fleet` opens and closes. A node is served once, whatever names it has: whoever
reached it first keeps it, which also makes do where the addresses that nodes tell cannot be reached
from here.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence


class Roster:
    """The nodes that a host knows of. A member is a pair of node id and address."""

    def __init__(self, configured: Sequence[str], discovers: bool) -> None:
        #: The addresses that the host was given.
        self.configured = tuple(configured)
        self._discovers = discovers
        self._members: dict[int, str] = {}
        #: Nodes that a Topology no longer named; an older Welcome must not bring them back.
        self._departed: set[int] = set()
        #: Who answered at an address last.
        self._answered: dict[str, int] = {}
        #: Where a node is being served.
        self._held: dict[int, str] = {}
        #: Where a node was served last; it gets the first try when that session is lost.
        self._last: dict[int, str] = {}
        #: Addresses where the last try got no answer.
        self._failing: set[str] = set()
        self._live = 0
        self._version = 0

    def welcomed(self, address: str, node_id: int, nodes: Iterable[tuple[int, str]]) -> bool:
        """A node answered at an address. False if the node is served elsewhere already."""
        nodes = list(nodes)
        self._failing.discard(address)
        before = self._answered.get(address)
        if before is not None and before != node_id and self._last.get(before) == address:
            del self._last[before]
        self._answered[address] = node_id
        if self._discovers and node_id and self._held.get(node_id, address) != address:
            return False
        if not self._live and nodes:
            # Nothing that was known before is known to hold still.
            self._members.clear()
        self._live += 1
        if node_id:
            self._held[node_id] = self._last[node_id] = address
        for member in nodes:
            known = member[0] in self._members or member[0] in self._departed
            if not self._version or not known:
                self._join(member)
        return True

    def topology(self, version: int, nodes: Iterable[tuple[int, str]]) -> None:
        """The cluster's nodes as of a version of its view. Older versions than one seen before
        change nothing.
        """
        nodes = list(nodes)
        if version < self._version or not nodes:
            return
        self._version = version
        gone = self._members.keys() - {node_id for node_id, _ in nodes}
        for member in nodes:
            self._departed.discard(member[0])
            self._join(member)
        for node_id in gone:
            del self._members[node_id]
            self._departed.add(node_id)

    def closed(self, address: str) -> None:
        """A session that was welcomed at an address is over."""
        self._live -= 1
        node_id = self._answered.get(address, 0)
        if self._held.get(node_id) == address:
            del self._held[node_id]
        if not self._live:
            # Whoever answers next may belong to a cluster that counts its views anew.
            self._version = 0
            self._departed.clear()

    def failed(self, address: str) -> None:
        """No node answered at an address."""
        self._failing.add(address)

    def wanted(self) -> list[str]:
        """The addresses to keep a session with, each once."""
        if not self._discovers:
            return list(self.configured)
        wanted: dict[str, None] = {}
        for address in self.configured:
            if self._server(self._answered.get(address, 0)) in (None, address):
                wanted[address] = None
        for node_id, address in self._members.items():
            wanted[self._server(node_id) or address] = None
        return list(wanted)

    def _server(self, node_id: int) -> str | None:
        """The one address at which a node is to be served; None if every one may be tried."""
        if node_id in self._held:
            return self._held[node_id]
        last = self._last.get(node_id)
        if last is None or last in self._failing:
            return None
        return last if last in self.configured or last in self._members.values() else None

    def _join(self, member: tuple[int, str]) -> None:
        node_id, address = member
        if address:
            self._members[node_id] = address
