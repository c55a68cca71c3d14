"""Mistakes that strict type checkers must find; `bad.expected` lists what mypy says."""

from __future__ import annotations

from gen.incrementor_actor import (
    IncrementorActor,
    IncrementorClient,
    IncrementorCtx,
    IncrementorReadCtx,
    IncrementorRef,
)
from gen.incrementor_pb2 import (
    AddRequest,
    AddResponse,
    CastRequest,
    CastResponse,
    IncrementorState,
    InitRequest,
    InitResponse,
    StopRequest,
    StopResponse,
    TotalRequest,
    TotalResponse,
)

from callboard import Client, Forward, Pipe, serve
from callboard.testing import TestKit


class Unfinished(IncrementorActor):
    """Lacks every action but one."""

    async def add(self, ctx: IncrementorCtx, request: AddRequest) -> AddResponse:
        return AddResponse(totl=1)


class Wrong(IncrementorActor):
    """Has every action, each a little wrong."""

    async def init(self, ctx: IncrementorCtx, request: InitRequest) -> InitResponse:
        ctx.state.total = "seven"
        return InitResponse()

    async def add(self, ctx: IncrementorCtx, request: AddRequest) -> CastResponse:
        return CastResponse()

    async def cast(self, ctx: IncrementorCtx, request: AddRequest) -> CastResponse:
        return CastResponse()

    async def total(self, ctx: IncrementorReadCtx, request: TotalRequest) -> TotalResponse:
        ctx.state = IncrementorState()
        ctx.tags["a"] = "b"
        return TotalResponse()

    async def stop(self, ctx: IncrementorCtx, request: StopRequest) -> StopResponse:
        return StopResponse(total=ctx.state.sum)


class Misled(IncrementorActor):
    """Leaves answers to those who cannot give them."""

    async def init(self, ctx: IncrementorCtx, request: InitRequest) -> InitResponse:
        ctx.tell(AddRequest(amount=1))
        return InitResponse()

    async def add(
        self, ctx: IncrementorCtx, request: AddRequest
    ) -> Forward[AddRequest, AddResponse]:
        return ctx.forward(IncrementorRef(ctx, "other").cast)

    async def cast(
        self, ctx: IncrementorCtx, request: CastRequest
    ) -> Forward[AddRequest, CastResponse]:
        raise NotImplementedError

    async def total(self, ctx: IncrementorReadCtx, request: TotalRequest) -> TotalResponse:
        ctx.tell(IncrementorRef(ctx, "other").stop())
        return TotalResponse()

    async def stop(self, ctx: IncrementorCtx, request: StopRequest) -> Pipe[StopResponse]:
        return ctx.pipe(IncrementorRef(ctx, "other").add(AddRequest(amount=1)))


async def main(client: Client) -> None:
    """Wrong calls."""
    counter = IncrementorClient(client).ref("u1")
    await counter.add(CastRequest(amount=1))
    await counter.add()
    await counter.add(AddRequest(amount="1"))
    await counter.add(AddRequest(amount=1), timout=2)
    text: str = (await counter.add(AddRequest(amount=1))).total
    counter.subtract(AddRequest(amount=1))
    IncrementorClient(client).send("u1").add(AddRequest(amount=1)).total
    await counter.add(AddRequest(amount=1), delay=5)
    await serve(Unfinished)
    TestKit(Wrong).state.sum
    print(text)
