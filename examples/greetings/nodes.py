"""The nodes of the cluster, as they come: the status that every node tells to whoever watches it."""

from __future__ import annotations

import asyncio
import itertools
import logging
import os
from collections.abc import AsyncIterator
from dataclasses import dataclass

import grpc
from callboard.protocol.callboard.control.v1.control_pb2 import NodeState, WatchClusterStatusRequest
from callboard.protocol.callboard.control.v1.control_rpc import ClusterService

LOG = logging.getLogger(__name__)
#: How long to wait before another node is asked when a watch has ended, in seconds.
PAUSE = 0.5


@dataclass(frozen=True)
class Node:
    """A node that serves."""

    number: int
    address: str


async def joining() -> AsyncIterator[Node]:
    """Every node that serves, once, and then each that joins, for ever. Asks the nodes of CALLBOARD_SERVER in turn."""
    seen: set[int] = set()
    servers = os.environ.get("CALLBOARD_SERVER", "127.0.0.1:7070").split(",")
    for server in itertools.cycle(servers):
        try:
            async with grpc.aio.insecure_channel(server) as channel:
                watch = ClusterService.WATCH_CLUSTER_STATUS.server_stream(channel)
                async for answer in watch(WatchClusterStatusRequest()):
                    for node in answer.status.nodes:
                        if node.state == NodeState.NODE_STATE_UP and node.node_id not in seen:
                            seen.add(node.node_id)
                            yield Node(node.node_id, node.address)
        except grpc.aio.AioRpcError as error:
            LOG.info("%s does not tell of its cluster: %s", server, error.code().name)
        await asyncio.sleep(PAUSE)
