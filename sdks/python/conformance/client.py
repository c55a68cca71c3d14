"""The client program of the conformance suite: commands on standard input, results on standard
output.
"""

from __future__ import annotations

import asyncio
import json
import sys
from dataclasses import asdict
from datetime import datetime, timedelta, timezone
from typing import Any, cast

from tools import TOOLS

from callboard import CallError, CallOptions, Client, Missed, SendOptions, run


class Program:
    """Starts each command as soon as it is read."""

    def __init__(self) -> None:
        self._clients: dict[str, Client] = {}
        self._calls: dict[int, asyncio.Task[None]] = {}

    async def main(self) -> None:
        """Runs until standard input ends and all calls have ended."""
        loop = asyncio.get_running_loop()
        reader = asyncio.StreamReader()
        await loop.connect_read_pipe(lambda: asyncio.StreamReaderProtocol(reader), sys.stdin)
        while line := await reader.readline():
            if line.strip():
                self._command(json.loads(line))
        await asyncio.gather(*self._calls.values())
        for client in self._clients.values():
            await client.close()

    def _command(self, command: dict[str, Any]) -> None:
        if command["op"] == "cancel":
            self._calls[command["id"]].cancel()
        else:
            self._calls[command["id"]] = asyncio.create_task(self._run(command))

    async def _run(self, command: dict[str, Any]) -> None:
        number = command["id"]
        client = self._client(command.get("transport", "stream"))
        try:
            if command["op"] == "subscribe":
                await self._subscribe(client, command)
                return
            run = OPS.get(command["op"]) or TOOLS[command["op"]]
            answer(number, ok=await run(client, command))
        except CallError as error:
            answer(
                number,
                error={
                    "reason": error.reason,
                    "code": int(error.code),
                    "message": error.message,
                    "retry": error.retry.name,
                    "from_actor": error.from_actor,
                    "metadata": error.metadata,
                },
            )
        except asyncio.CancelledError:
            answer(
                number,
                error={
                    "reason": "CANCELLED",
                    "code": 1,
                    "message": "the caller cancelled the call",
                    "retry": "NEVER",
                    "from_actor": False,
                    "metadata": {},
                },
            )

    async def _subscribe(self, client: Client, command: dict[str, Any]) -> None:
        async with client.subscribe(*command["channels"]) as items:
            async for item in items:
                if isinstance(item, Missed):
                    answer(command["id"], missed=item.messages)
                else:
                    message = {
                        "channel": item.channel,
                        "id": item.id,
                        "message": item.message,
                        "metadata": item.metadata,
                        "source": None if item.source is None else asdict(item.source),
                        "published_at_ms": round(item.published_at.timestamp() * 1000),
                    }
                    answer(command["id"], message=message)

    def _client(self, transport: Any) -> Client:
        if transport not in self._clients:
            self._clients[transport] = Client(transport=transport)
        return self._clients[transport]


def answer(number: int, **what: Any) -> None:
    """Prints one line."""
    print(json.dumps({"id": number, **what}), flush=True)


def call_options(command: dict[str, Any]) -> CallOptions:
    """The options that a command names."""
    options: CallOptions = {}
    if "timeout_ms" in command:
        options["timeout"] = command["timeout_ms"] / 1000
    if "idempotency_key" in command:
        options["idempotency_key"] = command["idempotency_key"]
    if "metadata" in command:
        options["metadata"] = command["metadata"]
    return options


async def invoke(client: Client, command: dict[str, Any]) -> Any:
    """Calls, and waits for the reply."""
    return await client.call(
        command["type"],
        command["key"],
        command["action"],
        command.get("argument"),
        **call_options(command),
    )


async def send(client: Client, command: dict[str, Any]) -> Any:
    """Calls, and waits only for acceptance."""
    options = cast(SendOptions, call_options(command))
    if "delay_ms" in command:
        options["delay"] = timedelta(milliseconds=command["delay_ms"])
    if "at_ms" in command:
        options["at"] = datetime.fromtimestamp(command["at_ms"] / 1000, timezone.utc)
    accepted = await client.send(
        command["type"], command["key"], command["action"], command.get("argument"), **options
    )
    return {**asdict(accepted), "schedule": accepted.schedule or None}


async def publish(client: Client, command: dict[str, Any]) -> Any:
    """Says something on a channel."""
    options = call_options(command)
    return asdict(await client.publish(command["channel"], command["message"], **options))


OPS = {"invoke": invoke, "send": send, "publish": publish}

if __name__ == "__main__":
    run(Program().main())
