"""Makes, lists, drops and hears reminders.

    remind.py add ada tea "0 16 * * *" Europe/Berlin "Drink tea"
    remind.py show ada
    remind.py drop ada tea
    remind.py listen ada
"""

from __future__ import annotations

import sys
from collections.abc import Awaitable, Callable

from callboard import Client, Missed, run

from reminders import Reminder, channel, forget, remind, schedule


async def add(client: Client, user: str, name: str, cron: str, time_zone: str, text: str) -> None:
    """Makes a reminder."""
    comes = await remind(client, user, Reminder(name, text, cron, time_zone))
    print(f"{name} comes next at {comes:%Y-%m-%d %H:%M:%S %Z}" if comes else f"{name} never comes")


async def show(client: Client, user: str) -> None:
    """Prints the reminders of a user, with the counters of their schedules."""
    book = await client.ref("Reminders", user).call("show")
    for name, reminder in sorted(book["reminders"].items()):
        clock = await client.schedules.get(schedule(user, name))
        print(f"{name}: {reminder['text']} ({reminder['cron']}), came {clock.fired} times, next {clock.next}")
    for fired in book["fired"]:
        print(f"{fired['at']} {fired['text']}")


async def listen(client: Client, user: str) -> None:
    """Prints the reminders of a user as they come, until Ctrl-C."""
    async with client.subscribe(channel(user)) as reminders:
        async for item in reminders:
            print(f"missed {item.messages or 'some'}" if isinstance(item, Missed) else item.message["text"], flush=True)


COMMANDS: dict[str, Callable[..., Awaitable[None]]] = {
    "add": add,
    "show": show,
    "drop": forget,
    "listen": listen,
}


async def main(command: str, *arguments: str) -> None:
    """Does what the command line says."""
    async with Client() as client:
        await COMMANDS[command](client, *arguments)


if __name__ == "__main__":
    if len(sys.argv) < 3 or sys.argv[1] not in COMMANDS:
        sys.exit(__doc__)
    run(main(*sys.argv[1:]))
