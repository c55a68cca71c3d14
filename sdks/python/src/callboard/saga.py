"""Sagas: work in several steps over several actors, that is done as a whole or taken back.

How they work, and what they promise, is the same in every SDK: sdks/SAGA.md.
"""

from __future__ import annotations

import dataclasses
import inspect
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import timedelta
from typing import TYPE_CHECKING, Any, Generic, Literal, TypeVar, Union

from .errors import ActorError, CallError, Code, Retry
from .ids import uuid7
from .jsonvalue import dumps, loads, reader
from .ref import Call, json_action

if TYPE_CHECKING:
    from .context import Context

S = TypeVar("S")
D = TypeVar("D")

Status = Literal["running", "done", "compensating", "compensated", "failed"]
#: What a step does: changes its data in place, or answers the new one.
Do = Callable[["Context[S]", D], Union[D, Awaitable[Union[D, None]], None]]

#: A saga with one of these goes on by itself.
_UNDER_WAY = ("running", "compensating")

RETRY_SECONDS_MAX = 10.0
RETRY_SECONDS_FIRST = 0.1


@dataclass(frozen=True)
class Step(Generic[S, D]):
    """One step of a saga, and what takes it back."""

    name: str
    action: Do[S, D]
    #: None for a step that leaves nothing to be taken back.
    compensate: Do[S, D] | None = None


@dataclass
class SagaError:
    """The newest failure of the present step, then why the saga is taken back, and of a failed saga
    why its compensation failed.
    """

    step: str
    reason: str
    message: str = ""


@dataclass
class Progress:
    """Where a saga is; a part of its coordinator's state."""

    id: str
    status: Status
    #: The step that runs, or is compensated, next.
    step: str
    #: Counts the turns that were handed out.
    turn: int
    #: Failures of the present step or compensation.
    attempt: int = 0
    #: Those of them that were actor errors.
    refused: int = 0
    data: Any = None
    error: SagaError | None = None

    def to_json(self) -> str:
        """The progress as text, for a coordinator whose state is a protobuf message."""
        return dumps(self).decode()

    @staticmethod
    def from_json(text: str) -> Progress | None:
        """The progress in a text; None for an empty one."""
        if not text:
            return None
        progress: Progress = _READ_PROGRESS(loads(text.encode()))
        return progress


_READ_PROGRESS = reader(Progress)


@dataclass
class SagaTurn:
    """The argument of the coordinator's action, for actors with JSON state."""

    saga: str
    turn: int = 0
    watch: int = 0


class Saga(Generic[S, D]):
    """Runs the steps of one coordinator type. Make one per type; it keeps nothing itself.

    `load` and `save` say where in the coordinator's state the progress is, `data_type` what the
    steps work on. `action` is the wire name of the coordinator's action that calls `turn`; a step
    is tried `attempts` times; a turn that vanished is noticed after `watch`, which is longer than
    the type's turn timeout.
    """

    def __init__(
        self,
        steps: Sequence[Step[S, D]],
        load: Callable[[S], Progress | None],
        save: Callable[[S, Progress], None],
        *,
        data_type: Any = None,
        action: str = "saga",
        attempts: int = 10,
        watch: timedelta = timedelta(minutes=1),
    ) -> None:
        names = [step.name for step in steps]
        if not names or len(set(names)) != len(names):
            raise ValueError("a saga needs at least one step, and each a name of its own")
        if attempts < 1 or watch <= timedelta(0):
            raise ValueError("a saga needs at least one attempt, and a watch above zero")
        self._steps = tuple(steps)
        self._names = names
        self._load = load
        self._save = save
        self._read: Callable[[Any], D] = reader(data_type)
        self._action = action
        self._attempts = attempts
        self._watch = watch

    def start(self, ctx: Context[S], data: D) -> str:
        """Starts a saga when this turn commits, and answers its id. Raises `ActorError`
        SAGA_RUNNING while an earlier one runs or is taken back.
        """
        old = self._load(ctx.state)
        if old is not None and old.status in _UNDER_WAY:
            raise ActorError(
                Code.FAILED_PRECONDITION,
                "SAGA_RUNNING",
                f"saga {old.id} is {old.status}; nothing was started, wait for its end",
                metadata={"saga": old.id},
            )
        progress = Progress(uuid7(), "running", self._names[0], 1, data=_plain(data))
        self._save(ctx.state, progress)
        self._tell(ctx, progress, 0.0)
        self._tell_watch(ctx, progress)
        return progress.id

    def status(self, state: S) -> Status | None:
        """How far the saga is; None before the first start."""
        progress = self._load(state)
        return None if progress is None else progress.status

    def resume(self, ctx: Context[S]) -> None:
        """Goes on with a failed saga, with its attempts counted anew. Raises `ActorError`
        SAGA_NOT_FAILED if there is none.
        """
        progress = self._load(ctx.state)
        if progress is None or progress.status != "failed":
            status = "not there" if progress is None else progress.status
            raise ActorError(
                Code.FAILED_PRECONDITION, "SAGA_NOT_FAILED", f"the saga is {status}, not failed"
            )
        progress = dataclasses.replace(
            progress, status="compensating", attempt=0, turn=progress.turn + 1
        )
        self._save(ctx.state, progress)
        self._tell(ctx, progress, 0.0)
        self._tell_watch(ctx, progress)

    async def turn(self, ctx: Context[S], argument: Any) -> None:
        """Runs the step that is next: all that the coordinator's action does."""
        saga, turn, watch = _read_argument(argument)
        progress = self._load(ctx.state)
        if progress is None or progress.id != saga:
            return
        if progress.status not in _UNDER_WAY:
            return
        if watch:
            self._watched(ctx, progress, watch)
        elif turn == progress.turn:
            await self._run(ctx, progress)

    async def _run(self, ctx: Context[S], progress: Progress) -> None:
        step = self._steps[self._place(progress)]
        undo = progress.status == "compensating"
        key = f"{progress.id}/{step.name}"
        if undo:
            key += f"/undo{progress.refused or ''}"
        body = step.compensate if undo else step.action
        before = ctx._begin_step(key)
        try:
            data = self._read(progress.data)
            if body is not None:
                answered = body(ctx, data)
                if inspect.isawaitable(answered):
                    answered = await answered
                data = data if answered is None else answered
            plain = _plain(data)
            ctx._check_state()
        except Exception as error:
            if ctx.cancelled:
                raise  # nobody takes the turn's result any more
            ctx._undo_step(before)
            failed = self._failed(progress, error)
            ctx.log.warning("step %s of saga %s failed: %r", progress.step, progress.id, error)
            self._save(ctx.state, failed)
            if failed.status in _UNDER_WAY:
                self._tell(ctx, failed, _delay(failed.attempt))
            return
        ctx._end_step()
        self._went_well(ctx, dataclasses.replace(progress, data=plain))

    def _went_well(self, ctx: Context[S], progress: Progress) -> None:
        following = self._following(progress)
        if following is None:
            over: Status = "done" if progress.status == "running" else "compensated"
            progress = dataclasses.replace(progress, status=over, attempt=0, refused=0)
        else:
            progress = dataclasses.replace(
                progress, step=following, turn=progress.turn + 1, attempt=0, refused=0
            )
            self._tell(ctx, progress, 0.0)
        if progress.status in ("running", "done"):
            progress = dataclasses.replace(progress, error=None)
        self._save(ctx.state, progress)

    def _following(self, progress: Progress) -> str | None:
        """The step after the present one, in the direction in which the saga goes."""
        at = self._place(progress)
        if progress.status == "running":
            return self._names[at + 1] if at + 1 < len(self._names) else None
        return self._compensated_before(at)

    def _compensated_before(self, at: int) -> str | None:
        """The last step before `at` that has something to take back."""
        with_undo = [step.name for step in self._steps[:at] if step.compensate is not None]
        return with_undo[-1] if with_undo else None

    def _failed(self, progress: Progress, error: Exception | None) -> Progress:
        """Where a saga is after a failure of its present step; None stands for a turn that
        vanished.
        """
        refused = _refuses(error)
        attempt = progress.attempt + 1
        given_up = attempt >= self._attempts
        # Why the saga is taken back stays, unless a compensation is given up.
        told = progress.status == "running" or given_up
        failed = dataclasses.replace(
            progress,
            turn=progress.turn + 1,
            attempt=attempt,
            refused=progress.refused + (1 if isinstance(error, ActorError) else 0),
            error=_described(progress.step, error) if told else progress.error,
        )
        if progress.status == "compensating":
            return dataclasses.replace(failed, status="failed") if given_up else failed
        if not refused and not given_up:
            return failed
        # A refused step did nothing; one that was given up may have.
        at = self._place(progress)
        back = self._compensated_before(at if refused else at + 1)
        failed = dataclasses.replace(failed, attempt=0, refused=0)
        if back is None:
            return dataclasses.replace(failed, status="compensated")
        return dataclasses.replace(failed, status="compensating", step=back)

    def _watched(self, ctx: Context[S], progress: Progress, watch: int) -> None:
        if progress.turn == watch:
            progress = self._failed(progress, None)
            self._save(ctx.state, progress)
            if progress.status not in _UNDER_WAY:
                return
            self._tell(ctx, progress, 0.0)
        self._tell_watch(ctx, progress)

    def _place(self, progress: Progress) -> int:
        """Where the present step is among all. Raises `CallError` if this host does not know it."""
        if progress.step not in self._names:
            raise CallError(
                Code.FAILED_PRECONDITION,
                "SAGA_STEP_UNKNOWN",
                f"the saga stands at step {progress.step}, which this host does not know; "
                "run a host that does",
            )
        return self._names.index(progress.step)

    def _tell(self, ctx: Context[S], progress: Progress, delay: float) -> None:
        argument = {"saga": progress.id, "turn": progress.turn}
        ctx.tell(Call(ctx, ctx.self, json_action(self._action), argument, {}), delay=delay)

    def _tell_watch(self, ctx: Context[S], progress: Progress) -> None:
        argument = {"saga": progress.id, "watch": progress.turn}
        call: Call[Any] = Call(ctx, ctx.self, json_action(self._action), argument, {})
        ctx.tell(call, delay=self._watch)


def _plain(data: object) -> Any:
    """Data as the JSON value that is kept."""
    return loads(dumps(data))


def _read_argument(argument: Any) -> tuple[str, int, int]:
    """Id, turn and watch of the coordinator's argument, whatever type it has."""
    if isinstance(argument, Mapping):
        return argument.get("saga", ""), argument.get("turn", 0), argument.get("watch", 0)
    return argument.saga, argument.turn, argument.watch


def _refuses(error: Exception | None) -> bool:
    """True if a step that failed so did nothing."""
    if isinstance(error, ActorError):
        return True
    if not isinstance(error, CallError):
        return False
    return error.retry not in (Retry.SAFE, Retry.SAME_ID) and error.code != Code.DEADLINE_EXCEEDED


def _described(step: str, error: Exception | None) -> SagaError:
    if error is None:
        return SagaError(step, "TURN_VANISHED", "the turn timed out, or its hosts died")
    if isinstance(error, CallError):
        return SagaError(step, error.reason, error.message)
    text = f"{type(error).__name__}: {error}" if str(error) else type(error).__name__
    return SagaError(step, "ACTION_ERROR", text)


def _delay(attempt: int) -> float:
    """How long to wait before the next turn, in seconds."""
    if attempt == 0:
        return 0.0
    return min(RETRY_SECONDS_MAX, RETRY_SECONDS_FIRST * 2.0 ** (attempt - 1))
