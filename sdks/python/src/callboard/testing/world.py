"""The actors of a test: their lives, committed states and outcomes, and what they call."""

from __future__ import annotations

import asyncio
import inspect
from collections.abc import Callable, Mapping
from dataclasses import replace
from datetime import datetime, timedelta
from typing import Any

from ..actor import BoundActor
from ..codec import any_payload, any_value
from ..definition import ActorDef, Kind
from ..errors import CallError, Code, Retry
from ..ids import ActorId
from ..protocol.callboard.host.v1.host_pb2 import (
    ConnectRequest,
    HostFrame,
    Turn,
    TurnCall,
    TurnCallResult,
    TurnResult,
    TurnRun,
)
from ..protocol.callboard.type.v1.type_pb2 import Payload
from ..running import LinkTurns
from ..turns import Executor
from .chains import crashed_host, follow, next_call, unless_endless
from .clock import VirtualClock
from .lives import Effect, Fault, Life, Refused, Request
from .outgoing import TURN_TIMEOUT, Outgoing

OUTCOME_WINDOW = timedelta(minutes=10)
INIT_ACTIONS = ("init", "Init", "setup", "Setup")


class World:
    """Plays the node for every actor of one test kit."""

    payload_bytes_max = 0
    state_bytes_max = 0
    message_bytes_max = 0

    def __init__(self, now: datetime, system: str) -> None:
        self.system = system
        self.outgoing = Outgoing(self)
        self.clock = VirtualClock(now, self.advance)
        self.actors: dict[str, BoundActor] = {}
        self.lives: dict[ActorId, Life] = {}
        self.stubs: dict[str, Mapping[str, Any]] = {}
        #: Asked for each first attempt of a turn whether something goes wrong with it.
        self.inject: Callable[[Effect], Fault | None] | None = None
        self._loop: asyncio.AbstractEventLoop | None = None
        self._executor: Executor
        self._turns: LinkTurns
        self._locks: dict[ActorId, asyncio.Lock] = {}
        self._next_turn = 0
        self._batch = ConnectRequest()
        self._waiting: dict[int, asyncio.Future[TurnResult]] = {}
        self._requests: dict[int, Request] = {}
        self._tasks: set[asyncio.Task[None]] = set()

    def life(self, actor: ActorId) -> Life:
        """The actor, made if it was never called. Raises KeyError for a type that the kit does not
        run.
        """
        life = self.lives.get(actor)
        if life is None:
            life = self.lives[actor] = Life(self.actors[actor.type])
        return life

    def begin_named(self) -> None:
        """An actor of a NAMED type is there before it was ever called."""
        known = {actor.type for actor in self.lives}
        for name, bound in self.actors.items():
            if bound.definition.kind == Kind.NAMED and name not in known:
                self.life(ActorId(name, name, self.system))

    def deactivate_idle(self) -> None:
        """Ends the activations that nobody called for their idle timeout."""
        for life in self.lives.values():
            if life.idle_at is not None and life.idle_at <= self.clock.now():
                life.active = False

    async def advance(self, to: datetime) -> None:
        """Moves time forward."""
        self._bind_loop()
        await self.outgoing.advance(to)

    async def settle(self) -> None:
        """Delivers the effects that are due."""
        self._bind_loop()
        await self.outgoing.settle()

    async def call(self, request: Request) -> TurnResult:
        """Runs one call to its end, with the actors that it is piped or forwarded to; errors are
        results too, except what `Refused` carries.
        """
        self._bind_loop()
        request = self._with_fault(request)
        result = await self._one(request)
        if result.HasField("reply") and result.workflow.WhichOneof("next"):
            effect, following = follow(request, result)
            result = await self.answer(effect, following)
        if request.fault == "after-commit":
            raise Refused(
                CallError(
                    Code.UNAVAILABLE,
                    "OUTCOME_UNKNOWN",
                    "the reply was lost on purpose; retry with the same idempotency key",
                    retry=Retry.SAME_ID,
                )
            )
        return result

    async def answer(self, effect: Effect, request: Request) -> TurnResult:
        """What an actor of the kit, or a stub, answers to a call of another actor."""
        if effect.target.type not in self.stubs and effect.target.type in self.actors:
            return await self.call(request)
        result = TurnResult()
        try:
            result.reply.CopyFrom(await self._stubbed(effect))
        except CallError as error:
            error.fill(result.error)
        return result

    def _with_fault(self, request: Request) -> Request:
        if self.inject is None or request.fault is not None or request.attempt > 1:
            return request
        caller = request.caller or request.target
        effect = Effect(request.target, request.action, any_value(request.payload), caller)
        return replace(request, fault=self.inject(effect))

    async def _one(self, request: Request) -> TurnResult:
        """Runs one turn, unless its outcome is stored."""
        lock = self._locks.setdefault(request.target, asyncio.Lock())
        async with lock:
            life = self.life(request.target)
            action = life.bound.actions.get(request.action)
            keeps = action is not None and not action.read_only
            stored = self._stored(life, request) if keeps else None
            if stored is not None:
                return stored
            if not life.active:
                await self._activate(life, request)
            if request.fault == "crashed-host":
                result = crashed_host()
            else:
                result = await self._turn(life, request)
            if request.fault == "before-commit":
                again = replace(request, attempt=request.attempt + 1, fault=None)
                result = await self._turn(life, again)
            result = unless_endless(request, result)
            self._commit(life, request, result, keeps)
            return result

    def frame(self, size: int) -> HostFrame | None:
        """Takes the executor's frames, as a session would."""
        if not self._batch.frames:
            asyncio.get_running_loop().call_soon(self._flush)
        return self._batch.frames.add()

    def _bind_loop(self) -> None:
        """Tests may use one kit from several `asyncio.run`."""
        loop = asyncio.get_running_loop()
        if loop is not self._loop:
            self._loop = loop
            self._executor = Executor(self.actors, self.clock.seconds)
            self._turns = self._executor.attach(self)
            self._locks.clear()
            self.outgoing.bind()
            self._waiting.clear()
            self._requests.clear()
            self._batch = ConnectRequest()

    def _stored(self, life: Life, request: Request) -> TurnResult | None:
        now = self.clock.now()
        for key, (_, _, at) in list(life.outcomes.items()):
            if now - at > OUTCOME_WINDOW:
                del life.outcomes[key]
        stored = life.outcomes.get(request.request_id)
        if stored is None:
            return None
        if stored[0] != _fingerprint(request):
            raise Refused(
                CallError(
                    Code.FAILED_PRECONDITION,
                    "REQUEST_ID_REUSED",
                    f"key {request.request_id!r} belongs to another call; nothing was run",
                )
            )
        return stored[1]

    async def _activate(self, life: Life, request: Request) -> None:
        life.activations += 1
        name = next((one for one in INIT_ACTIONS if one in life.bound.actions), None)
        if name is not None and name != request.action:
            init = Request(
                target=request.target,
                action=name,
                payload=None,
                request_id=f"init-{life.activations}",
                timeout=TURN_TIMEOUT,
                created_at=self.clock.now(),
            )
            result = await self._turn(life, init)
            if result.HasField("error"):
                raise Refused(
                    CallError(
                        Code.of(result.error.code),
                        "INIT_FAILED",
                        f"{name} failed: {result.error.reason}: {result.error.message}; "
                        "the next call tries again",
                        retry=Retry.SAFE,
                    )
                )
            self._commit(life, init, result, keeps=False)
        life.active = True
        now = self.clock.now()
        timers = life.bound.definition.settings.timers
        life.timers = {timer.action: now + timer.every for timer in timers}

    async def _turn(self, life: Life, request: Request) -> TurnResult:
        self._next_turn += 1
        turn_id = self._next_turn
        run = TurnRun(activation_id=life.activations, epoch=1, tags=life.tags)
        _fill(run.actor, request.target)
        if life.state is not None:
            run.state_full.CopyFrom(life.state)
        turn = run.turns.add(
            turn_id=turn_id,
            action=request.action,
            request_id=request.request_id,
            created_at_ms=round(request.created_at.timestamp() * 1000),
            attempt=request.attempt,
            timeout_ms=round(request.timeout.total_seconds() * 1000),
            metadata=dict(request.metadata),
            revision=life.revision + 1,
        )
        self._fill_turn(turn, life, request)
        future: asyncio.Future[TurnResult] = asyncio.get_running_loop().create_future()
        self._waiting[turn_id] = future
        self._requests[turn_id] = request
        self._executor.run(run, self._turns)
        try:
            return await future
        except asyncio.CancelledError:
            self._turns.cancel(turn_id)
            raise
        finally:
            del self._waiting[turn_id], self._requests[turn_id]
            if not request.timer:
                life.used = self.clock.now()

    def _fill_turn(self, turn: Turn, life: Life, request: Request) -> None:
        action = life.bound.actions.get(request.action)
        turn.read_only = action is not None and action.read_only
        if request.payload is not None:
            turn.payload.CopyFrom(request.payload)
        if request.caller is not None:
            _fill(turn.caller, request.caller)
        for one in request.chain:
            _fill(turn.chain.add(), one)

    def _commit(self, life: Life, request: Request, result: TurnResult, keeps: bool) -> None:
        action = life.bound.actions[request.action] if result.HasField("reply") else None
        if action is not None and not action.read_only:
            if result.HasField("state"):
                life.state = result.state
            if result.HasField("tags"):
                life.tags = dict(result.tags.values)
            life.revision += 1
            self._committed(life, request, result)
        if keeps:
            life.outcomes[request.request_id] = (_fingerprint(request), result, self.clock.now())

    def _committed(self, life: Life, request: Request, result: TurnResult) -> None:
        """What a committed turn sets going."""
        self.outgoing.next.pop(request.target, None)
        if result.workflow.WhichOneof("next"):
            self.outgoing.next[request.target] = next_call(request, result)
        self.outgoing.committed(request, result.workflow)
        if result.workflow.deactivate:
            life.active = False

    def _flush(self) -> None:
        batch, self._batch = self._batch, ConnectRequest()
        # What a session would send, it sends as bytes.
        for frame in ConnectRequest.FromString(batch.SerializeToString()).frames:
            if frame.HasField("result"):
                future = self._waiting.get(frame.result.turn_id)
                if future is not None and not future.done():
                    future.set_result(frame.result)
            elif frame.HasField("call"):
                task = asyncio.get_running_loop().create_task(self._answer(frame.call))
                self._tasks.add(task)
                task.add_done_callback(self._tasks.discard)

    async def _answer(self, call: TurnCall) -> None:
        result = TurnCallResult(turn_id=call.turn_id, call_index=call.call_index)
        request = self._requests.get(call.turn_id)
        if request is None:
            return
        try:
            reply = await self._in_turn(request, call)
            result.reply.CopyFrom(reply)
        except CallError as error:
            error.fill(result.error)
        self._turns.answer(result)

    async def _in_turn(self, request: Request, call: TurnCall) -> Payload:
        target = ActorId(call.target.type, call.target.key, call.target.system or "default")
        payload = call.payload if call.HasField("payload") else None
        request_id = call.request_id or f"{request.request_id}/{call.call_index}"
        effect = Effect(
            target, call.action, any_value(payload), request.target, request_id=request_id
        )
        self.outgoing.calls.append(effect)
        chain = (*request.chain, request.target)
        if target in chain:
            raise CallError(
                Code.FAILED_PRECONDITION,
                "CALL_CYCLE",
                f"{target} waits for this call itself; nothing was run",
            )
        inner = Request(
            target=target,
            action=call.action,
            payload=payload,
            request_id=request_id,
            timeout=timedelta(milliseconds=call.timeout_ms) if call.timeout_ms else request.timeout,
            created_at=self.clock.now(),
            metadata=dict(call.metadata),
            caller=request.target,
            chain=chain,
        )
        try:
            result = await self.answer(effect, inner)
        except Refused as refused:
            raise refused.error from None
        if result.HasField("error"):
            raise CallError.from_proto(result.error)
        return result.reply

    async def _stubbed(self, effect: Effect) -> Payload:
        answers = self.stubs.get(effect.target.type)
        if answers is None:
            raise CallError(
                Code.NOT_FOUND,
                "UNKNOWN_TYPE",
                f"the test kit has no actor type {effect.target.type}: "
                "add it with kit.add or kit.stub",
            )
        if effect.action not in answers:
            raise CallError(
                Code.NOT_FOUND,
                "UNKNOWN_ACTION",
                f"the stub of {effect.target.type} has no action {effect.action}",
            )
        answer = answers[effect.action]
        if callable(answer) and not isinstance(answer, type):
            answer = answer(effect)
            if inspect.isawaitable(answer):
                answer = await answer
        if isinstance(answer, BaseException):
            raise answer
        return any_payload(answer)


def type_name(actor: str | ActorDef[Any] | type[Any]) -> str:
    """The actor type that a test names by its name, its definition or its class."""
    if isinstance(actor, str):
        return actor
    definition = actor if isinstance(actor, ActorDef) else getattr(actor, "definition", None)
    if not isinstance(definition, ActorDef):
        raise TypeError(f"{actor!r} is neither a type name, nor a definition, nor an actor class")
    return definition.name


def _fill(message: Any, actor: ActorId) -> None:
    message.system, message.type, message.key = actor.system, actor.type, actor.key


def _fingerprint(request: Request) -> bytes:
    data = request.payload.SerializeToString() if request.payload is not None else b""
    return request.action.encode() + b"\0" + data
