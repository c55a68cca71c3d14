"""Reminders that come by the clock: one actor per user keeps them, a cron schedule per reminder fires them.

The schedule is the platform's: it survives every restart, fires once per occurrence, and needs no process that waits.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import datetime

from callboard import (
    ActorError,
    Call,
    Caller,
    CallError,
    Client,
    Code,
    Context,
    JsonActor,
    JsonRef,
    ReadContext,
    When,
    action,
)

#: How many firings a user's actor remembers.
FIRINGS_KEPT = 50


@dataclass
class Reminder:
    """What to remind a user of, and when."""

    name: str
    text: str
    cron: str
    time_zone: str = "UTC"


@dataclass
class Fired:
    """A reminder that came."""

    name: str
    text: str
    at: datetime


@dataclass
class Book:
    """What the actor of one user remembers."""

    reminders: dict[str, Reminder] = field(default_factory=dict)
    #: The newest last.
    fired: list[Fired] = field(default_factory=list)


class Reminders(JsonActor[Book]):
    """The reminders of one user; the user is the actor's key."""

    state_type = Book

    @action()
    async def add(self, ctx: Context[Book], reminder: Reminder) -> None:
        """Writes a reminder down; one of the same name is replaced."""
        if not reminder.text:
            raise ActorError(Code.INVALID_ARGUMENT, "NO_TEXT", f"reminder {reminder.name} says nothing")
        ctx.state.reminders[reminder.name] = reminder

    @action()
    async def drop(self, ctx: Context[Book], name: str) -> None:
        """Forgets a reminder."""
        ctx.state.reminders.pop(name, None)

    @action()
    async def fire(self, ctx: Context[Book], name: str) -> None:
        """The time of a reminder has come: records it, and tells whoever listens to the user's channel."""
        reminder = ctx.state.reminders.get(name)
        if reminder is None:
            return  # dropped while this firing was on its way
        ctx.state.fired.append(Fired(name, reminder.text, ctx.now()))
        del ctx.state.fired[:-FIRINGS_KEPT]
        ctx.broadcast(channel(ctx.self.key), {"name": name, "text": reminder.text})

    @action(read_only=True)
    async def show(self, ctx: ReadContext[Book]) -> Book:
        """The user's reminders, and those that came."""
        return ctx.state


def channel(user: str) -> str:
    """Where the user's reminders are said."""
    return f"reminders-{user}"


def schedule(user: str, name: str) -> str:
    """The name of a reminder's schedule."""
    return f"reminder/{user}/{name}"


def firing(caller: Caller, user: str, name: str) -> Call[None]:
    """What a reminder's schedule calls."""
    return JsonRef(caller, "Reminders", user).call("fire", name)


async def remind(client: Client, user: str, reminder: Reminder) -> datetime | None:
    """Makes a reminder, or changes one, and answers when it comes next. Raises `CallError`."""
    name, call = schedule(user, reminder.name), firing(client, user, reminder.name)
    when = When(cron=reminder.cron, time_zone=reminder.time_zone)
    await client.schedules.preview(when)  # a cron line that makes no sense is refused before anything is kept
    await client.ref("Reminders", user).call("add", reminder)
    try:
        made = await client.schedules.create(call, when, name=name)
    except CallError as error:
        if error.reason != "SCHEDULE_CONFLICT":
            raise
        made = await client.schedules.update(name, call, when)
    return made.next


async def forget(client: Client, user: str, name: str) -> None:
    """Takes a reminder away. Raises `CallError`."""
    try:
        await client.schedules.delete(schedule(user, name))
    except CallError as error:
        if error.reason != "UNKNOWN_SCHEDULE":
            raise
    await client.ref("Reminders", user).call("drop", name)
