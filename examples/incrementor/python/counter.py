"""The counter: an actor whose state outlives every process that runs it."""

from __future__ import annotations

from callboard import ActorError, Code

from gen.incrementor_actor import IncrementorActor, IncrementorCtx, IncrementorReadCtx
from gen.incrementor_pb2 import (
    AddRequest,
    AddResponse,
    CastRequest,
    CastResponse,
    InitRequest,
    InitResponse,
    StopRequest,
    StopResponse,
    TotalRequest,
    TotalResponse,
)


class Incrementor(IncrementorActor):
    """One counter. What it changes in `ctx.state` is committed when the action returns, and dropped
    if it raises.
    """

    async def init(self, ctx: IncrementorCtx, request: InitRequest) -> InitResponse:
        """Counts the lives: runs before anything else whenever the actor is activated."""
        ctx.state.lives += 1
        return InitResponse()

    async def add(self, ctx: IncrementorCtx, request: AddRequest) -> AddResponse:
        """Adds, and answers the new total."""
        _add(ctx, request.amount)
        return AddResponse(total=ctx.state.total, language="python")

    async def cast(self, ctx: IncrementorCtx, request: CastRequest) -> CastResponse:
        """Adds for callers that do not wait."""
        _add(ctx, request.amount)
        return CastResponse()

    async def total(self, ctx: IncrementorReadCtx, request: TotalRequest) -> TotalResponse:
        """Answers the total without changing anything."""
        return TotalResponse(total=ctx.state.total, additions=ctx.state.additions)

    async def stop(self, ctx: IncrementorCtx, request: StopRequest) -> StopResponse:
        """Closes the counter for good."""
        ctx.state.stopped = True
        return StopResponse(total=ctx.state.total)


def _add(ctx: IncrementorCtx, amount: int) -> None:
    if ctx.state.stopped:
        raise ActorError(
            Code.FAILED_PRECONDITION,
            "COUNTER_STOPPED",
            f"counter {ctx.self.key} was stopped at {ctx.state.total}; it takes no more additions",
        )
    total = ctx.state.total + amount
    if not -(2**63) <= total < 2**63:
        raise ActorError(Code.OUT_OF_RANGE, "COUNTER_OVERFLOW", f"{total} does not fit into a counter")
    ctx.state.total = total
    ctx.state.additions += 1
