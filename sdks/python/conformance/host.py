"""The host program of the conformance suite: two actor types with JSON state, run with the SDK's
defaults.
"""

from __future__ import annotations

import asyncio
import logging
import os
import time
from dataclasses import dataclass
from datetime import datetime, timedelta, timezone
from typing import Any

from callboard import (
    ActorError,
    ActorId,
    Channel,
    Code,
    Context,
    Deliver,
    History,
    JsonActor,
    Pooled,
    ReadContext,
    action,
    run,
    serve,
    timer,
)


@dataclass
class Total:
    """The actor's state."""

    total: int = 0


@dataclass
class Amount:
    """The argument of add."""

    amount: int


class Conformance(
    JsonActor[Total],
    channels=[Channel("news", "news", Deliver.EVERY), "alerts"],
    history=History(revisions=10, age=timedelta(hours=1)),
):
    """What `tests/conformance.md` describes."""

    state_type = Total

    @action()
    async def add(self, ctx: Context[Total], argument: Amount) -> Any:
        """Adds."""
        ctx.state.total += argument.amount
        return {"total": ctx.state.total}

    @action()
    async def fail(self, ctx: Context[Total], argument: dict[str, str]) -> None:
        """Refuses, after a change that must not last."""
        ctx.state.total += 1000
        raise ActorError(Code.FAILED_PRECONDITION, argument["reason"], argument["message"])

    @action()
    async def crash(self, ctx: Context[Total]) -> None:
        """Fails by mistake, after a change that must not last."""
        ctx.state.total += 1000
        raise RuntimeError("boom")

    @action(read_only=True)
    async def read(self, ctx: ReadContext[Total]) -> Any:
        """Answers the total."""
        return {"total": ctx.state.total}

    @action(read_only=True)
    async def mutate_read(self, ctx: ReadContext[Total]) -> Any:
        """Changes state where it may not."""
        ctx.state.total += 1000
        return {"total": ctx.state.total}

    @action()
    async def wait(self, ctx: Context[Total]) -> None:
        """Waits until it is cancelled."""
        await asyncio.Event().wait()

    @action()
    def block(self, ctx: Context[Total], argument: dict[str, int]) -> Any:
        """Keeps its thread busy."""
        end = time.monotonic() + argument["ms"] / 1000
        while time.monotonic() < end:
            pass
        return {}

    @action()
    async def call(self, ctx: Context[Total], argument: dict[str, Any]) -> Any:
        """Calls another actor."""
        target = ActorId(argument["type"], argument["key"])
        return {"reply": await ctx.call(target, argument["action"], argument.get("argument"))}

    @action()
    async def calls(self, ctx: Context[Total], argument: dict[str, Any]) -> Any:
        """Calls another actor several times."""
        target = ActorId(argument["type"], argument["key"])
        replies = []
        for number in range(argument["count"]):
            replies.append(await ctx.call(target, argument["action"], {"amount": number}))
        return {"replies": replies}

    @action()
    async def context(self, ctx: Context[Total]) -> Any:
        """Answers what the turn knows of itself."""
        return {
            "request_id": ctx.request_id,
            "attempt": ctx.attempt,
            "key": ctx.self.key,
            "caller": ctx.caller,
            "metadata": ctx.metadata,
            "epoch": ctx.fence.epoch,
            "revision": ctx.fence.revision,
            "created_at_ms": round(ctx.created_at.timestamp() * 1000),
        }

    @action()
    async def tag(self, ctx: Context[Total], argument: dict[str, str]) -> Any:
        """Sets or removes a tag."""
        if argument["value"]:
            ctx.tags[argument["name"]] = argument["value"]
        else:
            ctx.tags.pop(argument["name"], None)
        return {}

    @action(read_only=True)
    async def tags(self, ctx: ReadContext[Total]) -> Any:
        """Answers the tags."""
        return ctx.tags

    @action()
    async def none(self, ctx: Context[Total]) -> None:
        """Answers no value."""

    @action()
    async def workflow(self, ctx: Context[Total], argument: dict[str, Any]) -> Any:
        """Sets going what its argument asks for."""
        ctx.state.total += 1
        for one in argument.get("tell", ()):
            tell(ctx, one)
        for one in argument.get("broadcast", ()):
            ctx.broadcast(one["channel"], one["message"], metadata=one.get("metadata"))
        if argument.get("checkpoint"):
            ctx.checkpoint()
        if argument.get("deactivate"):
            ctx.deactivate()
        if argument.get("fail"):
            raise ActorError(Code.FAILED_PRECONDITION, "ON_PURPOSE", "it was asked to fail")
        if (pipe := argument.get("pipe")) is not None:
            target = ctx.ref(pipe["type"], pipe["key"])
            return ctx.pipe(target.call(pipe["action"], pipe["argument"]))
        if (forward := argument.get("forward")) is not None:
            return ctx.forward(ctx.ref(forward["type"], forward["key"]).action(forward["action"]))
        return {"total": ctx.state.total}

    @action(read_only=True)
    async def tell_read(self, ctx: ReadContext[Total]) -> Any:
        """Answers the total; the context of a reading action has no `tell`."""
        return {"total": ctx.state.total}

    @timer(every=timedelta(seconds=5))
    async def tick(self, ctx: Context[Total]) -> Any:
        """Counts."""
        ctx.state.total += 1
        return {"timer": ctx.metadata.get("callboard-timer")}

    @action()
    async def news(self, ctx: Context[Total], message: Any) -> Any:
        """Hears one channel."""
        return heard(ctx, message)

    @action()
    async def receive(self, ctx: Context[Total], message: Any) -> Any:
        """Hears the other channel."""
        return heard(ctx, message)


def tell(ctx: Context[Total], one: dict[str, Any]) -> None:
    """Tells what one entry of the argument of `workflow` says."""
    metadata = one.get("metadata", {})
    target = ctx.ref(one["type"], one["key"])
    call = target.call(one["action"], one.get("argument"), metadata=metadata)
    if "delay_ms" in one:
        ctx.tell(call, delay=timedelta(milliseconds=one["delay_ms"]))
    elif "at_ms" in one:
        ctx.tell(call, at=datetime.fromtimestamp(one["at_ms"] / 1000, timezone.utc))
    else:
        ctx.tell(call)


def heard(ctx: Context[Total], message: Any) -> Any:
    """Counts a message and answers what is known of it."""
    ctx.state.total += 1
    return {"channel": ctx.metadata.get("callboard-channel"), "message": message}


class ConformancePool(JsonActor[dict[str, Any]], pooled=Pooled(1, 4)):
    """A pool."""

    @action()
    async def work(self, ctx: Context[dict[str, Any]], argument: dict[str, int]) -> Any:
        """Doubles."""
        return {"n": 2 * argument["n"]}


if __name__ == "__main__":
    logging.basicConfig(level=logging.INFO)
    sidecar = os.environ.get("CALLBOARD_CONFORMANCE_MODE") == "sidecar"
    run(serve(Conformance, ConformancePool, mode="sidecar" if sidecar else "cluster"))
