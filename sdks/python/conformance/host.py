"""The host program of the conformance suite: one actor type with JSON state, run with the SDK's
defaults.
"""

from __future__ import annotations

import asyncio
import logging
import os
import time
from dataclasses import dataclass
from typing import Any

from callboard import (
    ActorError,
    ActorId,
    Code,
    Context,
    JsonActor,
    ReadContext,
    action,
    run,
    serve,
)


@dataclass
class Total:
    """The actor's state."""

    total: int = 0


@dataclass
class Amount:
    """The argument of add."""

    amount: int


class Conformance(JsonActor[Total]):
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


if __name__ == "__main__":
    logging.basicConfig(level=logging.INFO)
    sidecar = os.environ.get("CALLBOARD_CONFORMANCE_MODE") == "sidecar"
    run(serve(Conformance, mode="sidecar") if sidecar else serve(Conformance))
