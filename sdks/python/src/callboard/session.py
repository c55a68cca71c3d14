"""One session of a host with a node: handshake, frames in, batched frames out."""

from __future__ import annotations

import asyncio
import logging
import platform
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Protocol

import grpc
import grpc.aio

from .channel import Outbox, open_channel
from .definition import ActorDef, descriptor_set
from .errors import CallError, HostError
from .protocol.callboard.host.v1.host_pb2 import (
    ConnectRequest,
    ConnectResponse,
    Hello,
    HostFrame,
    NodeFrame,
    Register,
    Topology,
    Welcome,
)
from .protocol.callboard.host.v1.host_rpc import HostService
from .rpcstatus import call_error
from .turns import Executor
from .version import VERSION

LOG = logging.getLogger("callboard.host")
PROTOCOL_MAJOR = 1
PROTOCOL_MINOR = 0
HANDSHAKE_SECONDS = 10.0


@dataclass(frozen=True)
class Offer:
    """What a host brings to each of its sessions."""

    system: str
    definitions: tuple[ActorDef[Any], ...]
    instance_id: str
    #: How many turns the host takes at a time, over all sessions.
    credits: int
    #: In seconds.
    drain_timeout: float
    labels: Mapping[str, str] = field(default_factory=dict)
    credentials: grpc.ChannelCredentials | None = None

    def hello(self, credits: int) -> Hello:
        """The first frame of a session that takes this many turns at a time."""
        return Hello(
            protocol_major=PROTOCOL_MAJOR,
            protocol_minor=PROTOCOL_MINOR,
            sdk_name="callboard-python",
            sdk_version=VERSION,
            runtime=f"{platform.python_implementation()} {platform.python_version()}",
            instance_id=self.instance_id,
            labels=dict(self.labels),
            credits=credits,
        )

    def register(self) -> Register:
        """The actor types, with the descriptors of their messages."""
        return Register(
            register_id=1,
            system=self.system,
            types=[one.to_proto() for one in self.definitions],
            descriptor_set=descriptor_set(self.definitions),
        )


class SessionEnded(Exception):
    """The session is over; the message says why."""


class Owner(Protocol):
    """Who opens the sessions with one node."""

    #: host:port of the node.
    address: str

    def welcomed(self, session: Session, welcome: Welcome) -> bool:
        """The node answered Hello. False ends the session before it offers anything."""

    def topology(self, topology: Topology) -> None:
        """The nodes of the cluster changed."""


class Session:
    """One stream. `run` ends when the stream does; the host then opens the next session."""

    def __init__(self, offer: Offer, executor: Executor, owner: Owner, credits: int) -> None:
        self._offer = offer
        self._owner = owner
        self._credits = credits
        self._executor = executor
        self._turns = executor.attach(self)
        self._outbox: Outbox[ConnectRequest] = Outbox(ConnectRequest)
        self._broken = False
        self._drained = asyncio.Event()
        self.payload_bytes_max = 0
        self.state_bytes_max = 0
        self.message_bytes_max = 0
        #: True once the node greeted the host; from then on it is told when the host leaves.
        self.welcomed = False
        #: True if the node is served over another session.
        self.superfluous = False
        #: Set once the node took the actor types.
        self.registered = asyncio.Event()
        #: Set once the node said that it leaves, so that the host opens another session.
        self.leaving = asyncio.Event()

    def frame(self, size: int) -> HostFrame | None:
        """A new frame in the outgoing batch; None if the session is broken."""
        if self._broken:
            return None
        return self._outbox.batch(size).frames.add()

    def set_credits(self, credits: int) -> None:
        """Sets how many turns may come at a time."""
        frame = self.frame(8) if credits != self._credits else None
        if frame is not None:
            self._credits = credits
            frame.credit.turns = credits

    async def run(self) -> None:
        """Serves until the stream ends. Raises `HostError` if the node refused the host, else
        `SessionEnded`.
        """
        channel = open_channel(self._owner.address, self._offer.credentials)
        pump: asyncio.Task[None] | None = None
        try:
            call = HostService.CONNECT.stream(channel)()
            pump = asyncio.create_task(self._send(call))
            await self._handshake(call)
            while True:
                response = await call.read()
                if response is grpc.aio.EOF:
                    raise SessionEnded("the node closed the session")
                if response is None:  # what grpc answers for bytes that it cannot decode
                    raise SessionEnded("the node sent bytes that are no message")
                for frame in response.frames:
                    self._take(frame)
        except grpc.aio.AioRpcError as error:
            raise _ended(error) from error
        except asyncio.TimeoutError as error:
            raise SessionEnded(f"no handshake within {HANDSHAKE_SECONDS:.0f} s") from error
        except asyncio.InvalidStateError as error:  # a write raced with the end of the stream
            raise SessionEnded(str(error)) from error
        finally:
            self._broken = True
            self._executor.detach(self._turns)
            if pump is not None:
                pump.cancel()
                await asyncio.gather(pump, return_exceptions=True)
            await channel.close()

    async def _send(self, call: grpc.aio.StreamStreamCall[ConnectRequest, ConnectResponse]) -> None:
        await self._outbox.pump(call.write)
        await call.done_writing()

    async def drain(self, permanent: bool) -> None:
        """Asks for no more turns, and returns when the last one is answered and sent."""
        frame = self.frame(8)
        if frame is None:
            return
        frame.drain.permanent = permanent
        await self._drained.wait()
        await self._turns.idle()

    def finish(self) -> None:
        """Sends what is left, and ends this side of the stream. `run` returns when the node ends
        the other side.
        """
        self._outbox.close()

    async def _handshake(
        self, call: grpc.aio.StreamStreamCall[ConnectRequest, ConnectResponse]
    ) -> None:
        self._outbox.batch(256).frames.add().hello.CopyFrom(self._offer.hello(self._credits))
        first = await asyncio.wait_for(call.read(), HANDSHAKE_SECONDS)
        if first is grpc.aio.EOF or first is None:
            raise SessionEnded("the node closed the session before Welcome")
        frames = list(first.frames)
        if not frames or frames[0].WhichOneof("frame") != "welcome":
            raise SessionEnded("the node did not begin with Welcome")
        self._welcome(frames[0].welcome)
        if not self._owner.welcomed(self, frames[0].welcome):
            self.superfluous = True
            raise SessionEnded("the node is served over another session")
        self.welcomed = True
        register = self._offer.register()
        self._outbox.batch(register.ByteSize()).frames.add().register.CopyFrom(register)
        for frame in frames[1:]:
            self._take(frame)

    def _welcome(self, welcome: Welcome) -> None:
        if welcome.protocol_major != PROTOCOL_MAJOR:
            raise HostError(
                f"the node ({welcome.server_version}) speaks protocol {welcome.protocol_major}, "
                f"this SDK ({VERSION}) speaks {PROTOCOL_MAJOR}: use versions that belong together"
            )
        limits = welcome.limits
        self.payload_bytes_max = limits.payload_bytes_max
        self.state_bytes_max = limits.state_bytes_max
        self.message_bytes_max = limits.message_bytes_max
        if limits.message_bytes_max:
            self._outbox.bytes_max = min(self._outbox.bytes_max, limits.message_bytes_max // 2)

    def _take(self, frame: NodeFrame) -> None:
        kind = frame.WhichOneof("frame")
        if kind == "run":
            if frame.run.HasField("state_token"):
                # This host announced no state cache, so it holds none; the run comes again in full.
                missing = self._outbox.batch(16).frames.add().state_missing
                missing.turn_id = frame.run.turns[0].turn_id if frame.run.turns else 0
            else:
                self._executor.run(frame.run, self._turns)
        elif kind == "call_result":
            self._turns.answer(frame.call_result)
        elif kind == "cancel":
            self._turns.cancel(frame.cancel.turn_id)
        elif kind == "ping":
            self._outbox.batch(8).frames.add().pong.nonce = frame.ping.nonce
        elif kind == "registered":
            if frame.registered.HasField("error"):
                error = CallError.from_proto(frame.registered.error)
                raise HostError(f"the node refused the actor types: {error}")
            self.registered.set()
        elif kind == "drained":
            self._drained.set()
        elif kind == "draining":
            self.leaving.set()
        elif kind == "topology":
            self._owner.topology(frame.topology)
        # Frames of later minor versions, and those that only concern hosts with a state cache, are
        # ignored.


def _ended(error: grpc.aio.AioRpcError) -> Exception:
    facts = call_error(error)
    if facts.reason == "PROTOCOL_VERSION":
        return HostError(f"the node refused the host: {facts}")
    return SessionEnded(str(facts))
