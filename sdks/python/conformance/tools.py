"""The commands of the client program for schedules, single actors and dead letters."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import asdict
from datetime import datetime, timedelta, timezone
from typing import Any

from callboard import Call, Client, Overlap, Schedule, When

Command = dict[str, Any]


def time_of(millis: int) -> datetime | None:
    """A time of a command; None for 0."""
    return datetime.fromtimestamp(millis / 1000, timezone.utc) if millis else None


def millis_of(time: datetime | None) -> int | None:
    """A time as it is printed."""
    return None if time is None else round(time.timestamp() * 1000)


def span(spec: Command, name: str) -> timedelta | None:
    """A span of a spec; None if it has none."""
    return timedelta(milliseconds=spec[name]) if name in spec else None


def call_of(client: Client, spec: Command) -> Call[Any]:
    """Whom a spec calls."""
    target = client.ref(spec["type"], spec["key"])
    return target.call(spec["action"], spec.get("argument"), metadata=spec.get("metadata", {}))


def when_of(spec: Command) -> When:
    """When a spec calls."""
    return When(
        at=time_of(spec.get("at_ms", 0)),
        delay=span(spec, "delay_ms"),
        every=span(spec, "every_ms"),
        cron=spec.get("cron", ""),
        time_zone=spec.get("time_zone", ""),
        jitter=span(spec, "jitter_ms") or 0,
        overlap=Overlap[spec["overlap"].upper()] if "overlap" in spec else None,
        catch_up=span(spec, "catch_up_ms"),
        starts_at=time_of(spec.get("starts_at_ms", 0)),
        ends_at=time_of(spec.get("ends_at_ms", 0)),
        max_firings=spec.get("max_firings", 0),
    )


def schedule(one: Schedule) -> Any:
    """A schedule as it is printed."""
    return {
        "name": one.name,
        "type": one.target.type,
        "key": one.target.key,
        "action": one.action,
        "argument": one.argument,
        "paused": one.paused,
        "generation": one.generation,
        "next_ms": millis_of(one.next),
        "fired": one.fired,
        "missed": one.missed,
        "failed": one.failed,
        "last_fired_ms": millis_of(one.last_fired),
        "last_error": one.last_error or None,
    }


async def create_schedule(client: Client, command: Command) -> Any:
    """Makes a schedule."""
    spec = command["spec"]
    made = await client.schedules.create(
        call_of(client, spec),
        when_of(spec),
        name=command.get("name"),
        paused=command.get("paused", False),
    )
    return schedule(made)


async def update_schedule(client: Client, command: Command) -> Any:
    """Changes a schedule."""
    spec = command["spec"]
    made = await client.schedules.update(
        command["name"],
        call_of(client, spec),
        when_of(spec),
        if_generation=command.get("if_generation", 0),
    )
    return schedule(made)


async def get_schedule(client: Client, command: Command) -> Any:
    """Reads a schedule."""
    return schedule(await client.schedules.get(command["name"]))


async def pause_schedule(client: Client, command: Command) -> Any:
    """Pauses a schedule."""
    return schedule(await client.schedules.pause(command["name"]))


async def resume_schedule(client: Client, command: Command) -> Any:
    """Resumes a schedule."""
    return schedule(await client.schedules.resume(command["name"]))


async def trigger_schedule(client: Client, command: Command) -> Any:
    """Fires a schedule."""
    return schedule(await client.schedules.trigger(command["name"]))


async def list_schedules(client: Client, command: Command) -> Any:
    """Lists schedules."""
    return [schedule(one) async for one in client.schedules.list(command.get("prefix", ""))]


async def delete_schedule(client: Client, command: Command) -> None:
    """Deletes a schedule."""
    await client.schedules.delete(command["name"])


async def preview_schedule(client: Client, command: Command) -> Any:
    """Says when a schedule would fire."""
    times = await client.schedules.preview(
        when_of(command["spec"]),
        call=call_of(client, command["spec"]),
        count=command.get("count", 5),
        after=time_of(command.get("after_ms", 0)),
    )
    return [millis_of(time) for time in times]


async def checkpoint_actor(client: Client, command: Command) -> Any:
    """Saves an actor."""
    return {"revision": await client.actors.checkpoint(command["type"], command["key"])}


async def delete_actor(client: Client, command: Command) -> Any:
    """Deletes an actor."""
    return {"revision": await client.actors.delete(command["type"], command["key"])}


async def deactivate_actor(client: Client, command: Command) -> None:
    """Takes an actor out of memory."""
    await client.actors.deactivate(command["type"], command["key"])


async def history(client: Client, command: Command) -> Any:
    """Lists the revisions of an actor."""
    return [
        {
            "revision": one.revision,
            "committed_at_ms": millis_of(one.committed_at),
            "state_bytes": one.state_bytes,
        }
        async for one in client.actors.history(command["type"], command["key"])
    ]


async def state_at(client: Client, command: Command) -> Any:
    """Reads a former state."""
    past = await client.actors.state_at(
        command["type"],
        command["key"],
        revision=command.get("revision"),
        time=time_of(command.get("time_ms", 0)),
    )
    return {
        "revision": past.revision,
        "committed_at_ms": millis_of(past.committed_at),
        "state": past.state,
        "tags": past.tags,
    }


async def restore_actor(client: Client, command: Command) -> Any:
    """Goes back to a former state."""
    done = await client.actors.restore(
        command["type"],
        command["key"],
        revision=command.get("revision"),
        time=time_of(command.get("time_ms", 0)),
    )
    return asdict(done)


async def list_dead_letters(client: Client, command: Command) -> Any:
    """Lists dead letters."""
    return [
        {
            "letter": one.id,
            "source": asdict(one.source),
            "target": asdict(one.target),
            "action": one.action,
            "argument": one.argument,
            "request_id": one.request_id,
            "reason": one.error.reason,
            "message": one.error.message,
            "attempts": one.attempts,
            "created_at_ms": millis_of(one.created_at),
            "died_at_ms": millis_of(one.died_at),
        }
        async for one in client.dead_letters.list(command.get("source_type", ""))
    ]


async def retry_dead_letter(client: Client, command: Command) -> None:
    """Delivers a dead letter again."""
    await client.dead_letters.retry(command["letter"])


async def drop_dead_letter(client: Client, command: Command) -> None:
    """Forgets a dead letter."""
    await client.dead_letters.drop(command["letter"])


#: By the command's name.
TOOLS: dict[str, Callable[[Client, Command], Awaitable[Any]]] = {
    tool.__name__: tool
    for tool in (
        create_schedule,
        update_schedule,
        get_schedule,
        pause_schedule,
        resume_schedule,
        trigger_schedule,
        list_schedules,
        delete_schedule,
        preview_schedule,
        checkpoint_actor,
        delete_actor,
        deactivate_actor,
        history,
        state_at,
        restore_actor,
        list_dead_letters,
        retry_dead_letter,
        drop_dead_letter,
    )
}
