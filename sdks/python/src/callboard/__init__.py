"""Callboard for Python: durable actors, the host that runs them, and the client that calls them.

An actor is a class. Derive it from a generated `…Actor` class, or from `JsonActor` without any
proto; run it with
`serve`; call it through `Client`; test it with `callboard.testing.TestKit`.
"""

from .actor import Actor, Answer, JsonActor, MaybeAwaitable, action, provide, timer
from .client import BlockingClient, Client, Stored
from .codec import Codec, JsonCodec, ProtoCodec
from .context import Context, ReadContext
from .definition import (
    ActionDef,
    ActorDef,
    Channel,
    Deliver,
    Durability,
    History,
    Kind,
    Pooled,
    Settings,
    Timer,
    proto_action,
)
from .errors import ActorError, CallError, Code, HostError, PayloadError, Retry
from .host import Host, run, serve
from .ids import ActorId, FencingToken
from .ref import (
    Accepted,
    ActorRef,
    Call,
    Caller,
    CallOptions,
    JsonRef,
    Sender,
    SendOptions,
    SendRef,
)
from .saga import Progress, Saga, SagaError, SagaTurn, Step
from .schedules import Overlap, Schedule, Schedules, When
from .subscription import Message, Missed, Published, Subscription
from .tools import ActorTools, DeadLetter, DeadLetters, Past, Restored, Revision
from .version import VERSION as __version__
from .workflow import Forward, Pipe

__all__ = [
    "Accepted",
    "ActionDef",
    "Actor",
    "ActorDef",
    "ActorError",
    "ActorId",
    "ActorRef",
    "ActorTools",
    "Answer",
    "BlockingClient",
    "Call",
    "CallError",
    "CallOptions",
    "Caller",
    "Channel",
    "Client",
    "Code",
    "Codec",
    "Context",
    "DeadLetter",
    "DeadLetters",
    "Deliver",
    "Durability",
    "FencingToken",
    "Forward",
    "History",
    "Host",
    "HostError",
    "JsonActor",
    "JsonCodec",
    "JsonRef",
    "Kind",
    "MaybeAwaitable",
    "Message",
    "Missed",
    "Overlap",
    "Past",
    "PayloadError",
    "Pipe",
    "Pooled",
    "Progress",
    "ProtoCodec",
    "Published",
    "ReadContext",
    "Restored",
    "Retry",
    "Revision",
    "Saga",
    "SagaError",
    "SagaTurn",
    "Schedule",
    "Schedules",
    "SendOptions",
    "SendRef",
    "Sender",
    "Settings",
    "Step",
    "Stored",
    "Subscription",
    "Timer",
    "When",
    "__version__",
    "action",
    "proto_action",
    "provide",
    "run",
    "serve",
    "timer",
]
