"""The facade under load: many chats of one `AsyncPuzzelChat`, polled by one `PollingLoop`."""

from __future__ import annotations

import asyncio
import time
from collections import Counter, defaultdict
from collections.abc import AsyncGenerator, Collection, Mapping, Sequence
from contextlib import asynccontextmanager

from attrs import define, field

from benchmarks.machine import resident
from benchmarks.subject import Asked, Figures, Window
from puzzel_chat import AsyncConversation, AsyncPuzzelChat, Event, PollingLoop, TextMessage

AT_ONCE = 8
"""Chats that are opened side by side; the contact centre answers at once."""
WARM = 20
"""Chats that are held first, so that what is loaded once does not count as theirs."""


@define
class Fleet:
    """The chats, and what their handler was given: each chat's messages by number; when each came, and was stored."""

    asked: Asked
    loop: PollingLoop
    window: Window
    chats: list[AsyncConversation]
    failures: list[str]
    set_up: float = 0.0
    numbers: dict[str, list[int]] = field(factory=lambda: defaultdict(list))
    arrived: list[tuple[float, float]] = field(factory=list)

    async def handle(self, conversation: AsyncConversation, event: Event) -> None:
        """Take an event, as an application would."""
        if isinstance(event, TextMessage):
            number, stored, *_ = event.text.split()
            self.numbers[conversation.id].append(int(number))
            self.arrived.append((time.monotonic(), float(stored)))

    async def figures(self) -> Figures:
        """Measure the steady state."""
        await self.window.opened(self.asked)
        figures = await self.window.closed(self.asked)
        stats = self.loop.stats()
        figures.update(late_p50=stats.late_p50, late_p99=stats.late_p99, set_up=self.set_up)
        figures["errors"] = Counter(self.failures)
        return figures

    def delivered(self, but: Collection[str] = ()) -> Figures:
        """Compare what was delivered with what the centre stored, but for some conversations."""
        ledger = {one: count for one, count in self.asked.ask("ledger").items() if one not in but}
        return compared(ledger, self.numbers)


def compared(ledger: Mapping[str, int], numbers: Mapping[str, Sequence[int]]) -> Figures:
    """Compare what was delivered with how many messages each conversation has; they are numbered from 1."""
    got = {conversation: numbers.get(conversation, ()) for conversation in ledger}
    return {
        "stored": sum(ledger.values()),
        "lost": sum(len({*range(1, count + 1)} - {*got[one]}) for one, count in ledger.items()),
        "doubled": sum(len(one) - len(set(one)) for one in got.values()),
        "disordered": sum(list(one) != sorted(one) for one in got.values()),
    }


async def opened(chat: AsyncPuzzelChat, count: int) -> list[AsyncConversation]:
    """Open so many sessions and route a conversation in each."""
    found: list[AsyncConversation] = []

    async def some(share: int) -> None:
        for _ in range(share):
            conversation = (await chat.connect()).conversation()
            await conversation.route("support")
            found.append(conversation)

    await asyncio.gather(*(some(len(range(first, count, AT_ONCE))) for first in range(AT_ONCE)))
    return found


@asynccontextmanager
async def fleet(asked: Asked) -> AsyncGenerator[Fleet]:
    """Open the chats and have them polled; `more` says over which transport ("fast") and how many "connections"."""
    async with AsyncPuzzelChat(asked.url, "bench") as chat:
        async with polled(asked, chat, await opened(chat, WARM), Window(0)) as warming:
            await asyncio.sleep(1.2)
        await asyncio.gather(*(conversation.end() for conversation in warming.chats))
        began, window = time.monotonic(), Window(resident())
        chats = await opened(chat, asked.count)
        took = time.monotonic() - began
        async with polled(asked, chat, chats, window) as running:
            running.set_up = took
            yield running


@asynccontextmanager
async def polled(
    asked: Asked, chat: AsyncPuzzelChat, chats: list[AsyncConversation], window: Window
) -> AsyncGenerator[Fleet]:
    """Have chats polled by a loop of their own."""
    failures: list[str] = []

    async def failed(conversation: AsyncConversation, error: Exception) -> None:
        failures.append(type(error).__name__)

    connections = asked.more.get("connections", 1000)
    async with PollingLoop(fast=asked.more.get("fast", True), connections=connections, on_failure=failed) as loop:
        running = Fleet(asked, loop, window, chats, failures)
        for conversation in chats:
            loop.add(conversation, running.handle)
        yield running


async def run(asked: Asked) -> Figures:
    """Hold the chats while nothing is said, and give the figures."""
    async with fleet(asked) as running:
        return await running.figures()
