"""The client program of the conformance suite: commands on standard input, results on standard
output.
"""

from __future__ import annotations

import asyncio
import json
import sys
from typing import Any

from callboard import CallError, CallOptions, Client, run


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
            self._calls[command["id"]] = asyncio.create_task(self._invoke(command))

    async def _invoke(self, command: dict[str, Any]) -> None:
        options: CallOptions = {}
        if "timeout_ms" in command:
            options["timeout"] = command["timeout_ms"] / 1000
        if "idempotency_key" in command:
            options["idempotency_key"] = command["idempotency_key"]
        if "metadata" in command:
            options["metadata"] = command["metadata"]
        client = self._client(command.get("transport", "stream"))
        result: dict[str, Any] = {"id": command["id"]}
        try:
            result["ok"] = await client.call(
                command["type"],
                command["key"],
                command["action"],
                command.get("argument"),
                **options,
            )
        except CallError as error:
            result["error"] = {
                "reason": error.reason,
                "code": int(error.code),
                "message": error.message,
                "retry": error.retry.name,
                "from_actor": error.from_actor,
                "metadata": error.metadata,
            }
        except asyncio.CancelledError:
            result["error"] = {
                "reason": "CANCELLED",
                "code": 1,
                "message": "the caller cancelled the call",
                "retry": "NEVER",
                "from_actor": False,
                "metadata": {},
            }
        print(json.dumps(result), flush=True)

    def _client(self, transport: Any) -> Client:
        if transport not in self._clients:
            self._clients[transport] = Client(transport=transport)
        return self._clients[transport]


if __name__ == "__main__":
    run(Program().main())
