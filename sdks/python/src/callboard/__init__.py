"""Callboard for Python: durable actors, the host that runs them, and the client that calls them.

An actor is a class. Derive it from a generated `…Actor` class, or from `JsonActor` without any
proto; run it with
`serve`; call it through `Client`; test it with `callboard.testing.TestKit`.
"""

from .actor import Actor, JsonActor, MaybeAwaitable, action, provide
from .client import BlockingClient, Client, Stored
from .codec import Codec, JsonCodec, ProtoCodec
from .context import Context, ReadContext
from .definition import ActionDef, ActorDef, Durability, Kind, Settings, proto_action
from .errors import ActorError, CallError, Code, HostError, PayloadError, Retry
from .host import Host, run, serve
from .ids import ActorId, FencingToken
from .ref import Accepted, ActorRef, Caller, CallOptions, JsonRef, Sender, SendRef
from .version import VERSION as __version__

__all__ = [
    "Accepted",
    "ActionDef",
    "Actor",
    "ActorDef",
    "ActorError",
    "ActorId",
    "ActorRef",
    "BlockingClient",
    "CallError",
    "CallOptions",
    "Caller",
    "Client",
    "Code",
    "Codec",
    "Context",
    "Durability",
    "FencingToken",
    "Host",
    "HostError",
    "JsonActor",
    "JsonCodec",
    "JsonRef",
    "Kind",
    "MaybeAwaitable",
    "PayloadError",
    "ProtoCodec",
    "ReadContext",
    "Retry",
    "SendRef",
    "Sender",
    "Settings",
    "Stored",
    "__version__",
    "action",
    "proto_action",
    "provide",
    "run",
    "serve",
]
