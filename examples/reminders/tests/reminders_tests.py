"""The reminders, tested without a node."""

from __future__ import annotations

import asyncio
from dataclasses import asdict
from datetime import timedelta

import pytest
from callboard import ActorError
from callboard.testing import START, TestKit

from reminders import FIRINGS_KEPT, Reminder, Reminders, firing

TEA = Reminder("tea", "Drink tea", "0 16 * * *", "Europe/Berlin")


def a_firing_is_recorded_with_its_time_and_said_on_the_channel_of_the_user() -> None:
    async def scenario() -> None:
        kit = TestKit(Reminders, "ada")
        await kit.call("add", TEA)
        await kit.clock.advance(timedelta(hours=3))
        # What the schedule does at its time.
        await firing(kit, "ada", "tea")
        (fired,) = kit.state.fired
        assert (fired.name, fired.text, fired.at) == ("tea", "Drink tea", START + timedelta(hours=3))
        (said,) = kit.broadcasts
        assert (said.channel, said.message) == ("reminders-ada", {"name": "tea", "text": "Drink tea"})

    asyncio.run(scenario())


def a_firing_that_is_delivered_twice_is_recorded_once() -> None:
    async def scenario() -> None:
        kit = TestKit(Reminders, "ada")
        await kit.call("add", TEA)
        for _ in range(2):
            await kit.call("fire", "tea", idempotency_key="schedule-1-1-1")
        assert len(kit.state.fired) == 1 and len(kit.broadcasts) == 1

    asyncio.run(scenario())


def a_reminder_that_was_dropped_meanwhile_does_not_come() -> None:
    async def scenario() -> None:
        kit = TestKit(Reminders, "ada")
        await kit.call("add", TEA)
        await kit.call("drop", "tea")
        await firing(kit, "ada", "tea")
        assert (kit.state.fired, kit.broadcasts) == ([], [])

    asyncio.run(scenario())


def the_reminders_of_a_user_outlive_its_activation() -> None:
    async def scenario() -> None:
        kit = TestKit(Reminders, "ada")
        await kit.call("add", TEA)
        await kit.call("add", Reminder("tea", "Drink green tea", "0 17 * * *"))
        await kit.restart()
        shown = await kit.call("show")
        assert shown["reminders"] == {"tea": asdict(Reminder("tea", "Drink green tea", "0 17 * * *"))}

    asyncio.run(scenario())


def an_empty_reminder_is_refused() -> None:
    async def scenario() -> None:
        kit = TestKit(Reminders, "ada")
        with pytest.raises(ActorError, match="NO_TEXT"):
            await kit.call("add", Reminder("x", "", "@daily"))
        assert kit.state.reminders == {}

    asyncio.run(scenario())


def what_came_long_ago_is_forgotten() -> None:
    async def scenario() -> None:
        kit = TestKit(Reminders, "ada")
        await kit.call("add", TEA)
        for _ in range(FIRINGS_KEPT + 1):
            await kit.clock.advance(1)
            await firing(kit, "ada", "tea")
        assert len(kit.state.fired) == FIRINGS_KEPT
        assert kit.state.fired[0].at == START + timedelta(seconds=2)

    asyncio.run(scenario())
