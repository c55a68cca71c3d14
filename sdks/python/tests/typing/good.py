"""Everything that a user may write, and that strict type checkers must accept."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass
from datetime import timedelta

from gen.incrementor_actor import (
    IncrementorActor,
    IncrementorClient,
    IncrementorCtx,
    IncrementorDef,
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

from callboard import (
    Answer,
    BlockingClient,
    Channel,
    Client,
    Context,
    Deliver,
    Forward,
    History,
    JsonActor,
    Missed,
    Pipe,
    ReadContext,
    Schedule,
    When,
    action,
    provide,
    serve,
    timer,
)
from callboard.testing import TestKit


class Counter(IncrementorActor):
    """Overrides with async and with plain functions."""

    def initial(self) -> IncrementorState:
        return IncrementorState(total=1)

    async def init(self, ctx: IncrementorCtx, request: InitRequest) -> InitResponse:
        return InitResponse()

    def add(self, ctx: IncrementorCtx, request: AddRequest) -> AddResponse:
        ctx.state.total += request.amount
        ctx.tags["last"] = str(request.amount)
        return AddResponse(total=ctx.state.total)

    async def cast(self, ctx: IncrementorCtx, request: CastRequest) -> CastResponse:
        other: AddResponse = await IncrementorRef(ctx, "other").add(AddRequest(amount=1))
        ctx.state = IncrementorState(total=other.total)
        ctx.tell(IncrementorRef(ctx, "third").add(AddRequest(amount=1)), delay=5)
        ctx.tell(ctx.ref("Audit", "main").call("cast", {"n": 1}), at=ctx.now())
        ctx.broadcast("casts", request, metadata={"a": "b"})
        ctx.checkpoint()
        return CastResponse()

    async def total(self, ctx: IncrementorReadCtx, request: TotalRequest) -> TotalResponse:
        return TotalResponse(total=ctx.state.total)

    def stop(self, ctx: IncrementorCtx, request: StopRequest) -> StopResponse:
        reply = ctx.wait(IncrementorRef(ctx, "other").stop())
        return StopResponse(total=reply.total)


class Relay(
    IncrementorActor,
    channels=["news", Channel("alerts", "cast", Deliver.EVERY)],
    history=History(revisions=10, age=timedelta(days=1)),
):
    """Leaves answers to others, in the two ways to write that down."""

    async def init(self, ctx: IncrementorCtx, request: InitRequest) -> InitResponse:
        ctx.deactivate()
        return InitResponse()

    async def add(
        self, ctx: IncrementorCtx, request: AddRequest
    ) -> Answer[AddRequest, AddResponse]:
        if request.amount > 1:
            return ctx.forward(IncrementorRef(ctx, "other").add)
        return AddResponse(total=1)

    def cast(self, ctx: IncrementorCtx, request: CastRequest) -> Pipe[CastResponse]:
        return ctx.pipe(IncrementorRef(ctx, "other").cast(CastRequest(amount=2)))

    async def total(self, ctx: IncrementorReadCtx, request: TotalRequest) -> TotalResponse:
        return TotalResponse(total=ctx.state.total)

    async def stop(
        self, ctx: IncrementorCtx, request: StopRequest
    ) -> Forward[StopRequest, StopResponse]:
        return ctx.forward(IncrementorRef(ctx, "other").stop)

    @timer(every=timedelta(seconds=30))
    async def flush(self, ctx: IncrementorCtx) -> None:
        ctx.state.total = 0


@dataclass
class Note:
    """JSON state."""

    text: str = ""


class Notes(JsonActor[Note]):
    """A JSON actor that needs something to work with."""

    state_type = Note

    def __init__(self, prefix: str) -> None:
        self._prefix = prefix

    @action()
    async def write(self, ctx: Context[Note], text: str) -> str:
        ctx.state.text = self._prefix + text
        return ctx.state.text

    @action(read_only=True)
    def read(self, ctx: ReadContext[Note]) -> str:
        return ctx.state.text


async def main() -> None:
    """Client, kit and host."""
    async with Client(timeout=5) as client:
        counters = IncrementorClient(client)
        reply = await counters.ref("u1").add(AddRequest(amount=1), timeout=timedelta(seconds=2))
        total: int = reply.total + (await counters.ref("u1").total()).total
        accepted = await counters.send("u1").cast(
            CastRequest(amount=total), idempotency_key="k", metadata={"a": "b"}
        )
        durable: bool = accepted.durable
        stored = await client.get_state(IncrementorDef, "u1")
        lives: int = stored.state.lives if stored.state is not None else 0
        print(total, durable, lives)
        later = await counters.send("u1").add(AddRequest(amount=1), delay=timedelta(hours=1))
        schedule: Schedule = await client.schedules.create(
            counters.ref("u1").add(AddRequest(amount=1)),
            When(cron="0 9 * * *"),
            name=later.schedule,
        )
        async for one in client.schedules.list():
            print(one.next, schedule.name)
        async with client.subscribe("news") as news:
            async for item in news:
                print(item.messages if isinstance(item, Missed) else item.message)
        await client.publish("news", {"n": 1})
        past = await client.actors.state_at(IncrementorDef, "u1", revision=1)
        print(past.state.lives if past.state is not None else 0)
    kit = TestKit(Counter, "u1", state=IncrementorState(total=3))
    answer: AddResponse = await kit.ref.add(AddRequest(amount=1))
    state: IncrementorState = kit.state
    notes = TestKit(provide(Notes, lambda: Notes("- ")))
    text: str = notes.state.text + str(await notes.ref.call("write", "x"))
    print(answer, state, text)
    await serve(Counter, provide(Notes, lambda: Notes("- ")), server="127.0.0.1:7070")


def blocking() -> int:
    """The facade for programs without an event loop."""
    with BlockingClient() as calls:
        return calls.wait(IncrementorClient(calls.client).ref("u1").total()).total


if __name__ == "__main__":
    asyncio.run(main())
