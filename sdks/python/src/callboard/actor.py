"""The base classes of actors, and what the host learns from them."""

from __future__ import annotations

import dataclasses
import inspect
import typing
from abc import ABC, abstractmethod
from collections.abc import Awaitable, Callable, Sequence
from datetime import timedelta
from typing import Any, ClassVar, Generic, TypeVar, Union

from .codec import Codec, JsonCodec
from .context import Context, ReadContext
from .definition import ActionDef, ActorDef, Channel, History, Pooled, Settings, Timer
from .ref import ActorRef, JsonRef
from .workflow import Forward, Pipe

S = TypeVar("S")
R = TypeVar("R", bound=ActorRef)
T = TypeVar("T")
F = TypeVar("F", bound=Callable[..., Any])

#: What an action returns: its reply, or an awaitable of it (`async def`). Plain functions run in a
#: thread pool.
MaybeAwaitable = Union[T, Awaitable[T]]

Req = TypeVar("Req")
Rep = TypeVar("Rep")

#: What an action returns that may leave the answer to another actor: its reply, or what
#: `ctx.forward` or `ctx.pipe` returned.
Answer = Union[Forward[Req, Rep], Pipe[Rep], Rep]

_MARK = "__callboard_action__"
_TIMER = "__callboard_timer__"
_FACTORY = "__callboard_factory__"


class Actor(ABC, Generic[S, R]):
    """One actor, for the length of one turn: a new object is made for each turn, so whatever must
    last belongs into the state. `R` is the type of its references.

    The class statement may say what the type listens to, keeps and is:
    `class Room(RoomActor, channels=["news"], history=History(revisions=10))`.
    """

    #: What the type is. The generator and `JsonActor` set it.
    definition: ClassVar[ActorDef[Any]]
    #: Makes the test kit's reference.
    reference: ClassVar[Any]

    def __init_subclass__(
        cls,
        *,
        channels: Sequence[Channel | str] = (),
        pooled: Pooled | None = None,
        history: History | None = None,
        **kwargs: Any,
    ) -> None:
        super().__init_subclass__(**kwargs)
        base = cls._declared()
        if base is not None:
            cls.definition = _extended(cls, base, channels, pooled, history)

    @classmethod
    def _declared(cls) -> ActorDef[Any] | None:
        """The definition that the class statement adds to; None where it says all itself."""
        return None if "definition" in cls.__dict__ else getattr(cls, "definition", None)

    @abstractmethod
    def initial(self) -> S:
        """The state of an actor that has none yet. Not stored before a turn changes it."""


def timer(*, every: timedelta | float) -> Callable[[F], F]:
    """Makes the actor run a method at a fixed interval, a timedelta or seconds, while it is in
    memory. A method that is no action becomes one, without an argument.
    """
    interval = every if isinstance(every, timedelta) else timedelta(seconds=every)

    def mark(function: F) -> F:
        setattr(function, _TIMER, interval)
        return function

    return mark


def action(
    name: str | None = None, *, read_only: bool = False, speculation_off: bool = False
) -> Callable[[F], F]:
    """Makes a method of a `JsonActor` an action, under the method's own name or `name`."""

    def mark(function: F) -> F:
        setattr(function, _MARK, (name or function.__name__, read_only, speculation_off))
        return function

    return mark


class JsonActor(Actor[S, JsonRef]):
    """An actor without protos: its state, arguments and replies are JSON.

    The state is a dict, or what `state_type` names: a dataclass, a typed container or a Pydantic
    model that can be made without arguments; override `initial` otherwise. Arguments are read as
    the method's annotation says.
    """

    #: The actor type's name; the class's own name if empty.
    type_name: ClassVar[str] = ""
    #: What the state is.
    state_type: ClassVar[Any] = dict
    #: Settings of the type.
    settings: ClassVar[Settings] = Settings()

    @classmethod
    def _declared(cls) -> ActorDef[Any] | None:
        if "definition" in cls.__dict__ or cls.__module__ == __name__:
            return None
        name = cls.__dict__.get("type_name") or cls.__name__
        cls.reference = lambda caller, key: JsonRef(caller, name, key)
        # What the settings say of actions is checked once those of the timers are among them.
        settings = dataclasses.replace(cls.settings, timers=(), channels=())
        made: ActorDef[Any] = ActorDef(name, JsonCodec(cls.state_type), _actions(cls), settings)
        return dataclasses.replace(_with_timers(cls, made), settings=cls.settings)

    def initial(self) -> S:
        made: S = self.state_type()
        return made


def _extended(
    cls: type[Any],
    base: ActorDef[Any],
    channels: Sequence[Channel | str],
    pooled: Pooled | None,
    history: History | None,
) -> ActorDef[Any]:
    """A definition with what a class adds to it."""
    made = _with_timers(cls, base)
    settings = made.settings
    heard = [_by_wire_name(made, Channel(one) if isinstance(one, str) else one) for one in channels]
    return dataclasses.replace(
        made,
        settings=dataclasses.replace(
            settings,
            channels=(*settings.channels, *heard),
            pooled=pooled or settings.pooled,
            history=history or settings.history,
        ),
    )


def _by_wire_name(definition: ActorDef[Any], channel: Channel) -> Channel:
    """A channel whose action may be named by its method, where that differs on the wire."""
    if any(one.name == channel.action for one in definition.actions):
        return channel
    names = {one.method: one.name for one in definition.actions}
    return dataclasses.replace(channel, action=names.get(channel.action, channel.action))


def _with_timers(cls: type[Any], base: ActorDef[Any]) -> ActorDef[Any]:
    """A definition with the timers that methods of a class are marked with."""
    actions = list(base.actions)
    timers = {one.action: one for one in base.settings.timers}
    names = {one.method: one.name for one in actions}
    for attribute in dir(cls):
        every = getattr(inspect.getattr_static(cls, attribute), _TIMER, None)
        if every is None:
            continue
        if attribute not in names:
            actions.append(_timer_action(cls, attribute))
            names[attribute] = attribute
        timers[names[attribute]] = Timer(names[attribute], every)
    settings = dataclasses.replace(base.settings, timers=tuple(timers.values()))
    return dataclasses.replace(base, actions=tuple(actions), settings=settings)


def _timer_action(cls: type[Any], attribute: str) -> ActionDef[Any, Any]:
    if len(inspect.signature(getattr(cls, attribute)).parameters) != 2:
        raise TypeError(f"timer {cls.__name__}.{attribute} must take a context and nothing else")
    return ActionDef(attribute, attribute, JsonCodec(), JsonCodec(), takes_argument=False)


def _actions(cls: type[Any]) -> tuple[ActionDef[Any, Any], ...]:
    found: list[ActionDef[Any, Any]] = []
    for attribute in dir(cls):
        function = inspect.getattr_static(cls, attribute)
        mark = getattr(function, _MARK, None)
        if mark is None:
            continue
        name, read_only, speculation_off = mark
        parameters = list(inspect.signature(function).parameters.values())[2:]
        if len(parameters) > 1:
            raise TypeError(
                f"action {cls.__name__}.{attribute} takes more than a context and one argument"
            )
        found.append(
            ActionDef(
                name,
                attribute,
                JsonCodec(_annotation(cls, function, parameters[0].name) if parameters else None),
                JsonCodec(),
                read_only,
                speculation_off,
                takes_argument=bool(parameters),
            )
        )
    return tuple(found)


def _annotation(cls: type[Any], function: Any, parameter: str) -> Any:
    if parameter not in getattr(function, "__annotations__", {}):
        return None
    try:
        return typing.get_type_hints(function, include_extras=True).get(parameter)
    except NameError as error:
        raise TypeError(
            f"action {cls.__name__}.{function.__name__}: {error}; "
            f"annotate {parameter} with a type of the module's top level"
        ) from error


class BoundAction:
    """An action together with how its method is run."""

    __slots__ = (
        "argument",
        "definition",
        "is_async",
        "method",
        "read_only",
        "reply",
        "takes_argument",
    )

    def __init__(self, cls: type[Any], definition: ActionDef[Any, Any]) -> None:
        function = getattr(cls, definition.method)
        self.definition = definition
        self.method = definition.method
        self.is_async = inspect.iscoroutinefunction(inspect.unwrap(function))
        self.read_only = definition.read_only
        self.takes_argument = definition.takes_argument
        self.argument: Codec[Any] = definition.argument
        self.reply: Codec[Any] = definition.reply


class BoundActor:
    """An actor type that a host can run."""

    def __init__(self, cls: type[Actor[Any, Any]], factory: Callable[[], Actor[Any, Any]]) -> None:
        definition = getattr(cls, "definition", None)
        if not isinstance(definition, ActorDef):
            raise TypeError(
                f"{cls.__name__} is no actor: derive it from a generated class or from JsonActor"
            )
        missing = sorted(getattr(cls, "__abstractmethods__", ()))
        if missing:
            raise TypeError(f"{cls.__name__} lacks the actions {', '.join(missing)}")
        self.definition: ActorDef[Any] = definition
        self.factory = factory
        self.actions = {one.name: BoundAction(cls, one) for one in definition.actions}


def provide(actor: type[Actor[S, R]], factory: Callable[[], Actor[S, R]]) -> type[Actor[S, R]]:
    """An actor class whose objects `factory` makes, for actors that need something to work with:
    `serve(provide(Mailer, lambda: Mailer(smtp)))`.
    """
    facts = {"definition": actor.definition, "reference": actor.reference, _FACTORY: factory}
    return type(actor.__name__, (actor,), facts)


def bind(actor: type[Actor[Any, Any]]) -> BoundActor:
    """What a host needs to run an actor class. Raises TypeError with what is wrong with it."""
    return BoundActor(actor, vars(actor).get(_FACTORY, actor))


__all__ = [
    "Actor",
    "Answer",
    "BoundAction",
    "BoundActor",
    "Context",
    "JsonActor",
    "MaybeAwaitable",
    "ReadContext",
    "action",
    "bind",
    "provide",
    "timer",
]
