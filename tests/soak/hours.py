"""One chat of eight simulated hours, timed, and its memory.

The client lives here, the contact centre in a process of its own, both in virtual time: each wait moves it on. The
agent writes once a simulated minute, the customer every five; a token lives for fifteen.
"""

from __future__ import annotations

import argparse
import asyncio
import gc
import sys
import time
import tracemalloc
from collections.abc import Callable
from contextlib import closing
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any
from unittest.mock import patch

from attrs import define, field

from puzzel_chat import AsyncPuzzelChat, Event, MemoryStore, Message, PuzzelChat, SQLiteStore, TextMessage
from soak.centre import SharedTime, centre
from soak.table import table

HOUR = 3600
TOKEN_LIFE = 900
BASE = 600
"""Simulated seconds after which memory is looked at for the first time."""
WRITES = 60
ANSWERS = 5
"""The customer answers every so many messages of the agent."""
ALLOWED = 0.05
COLUMNS = (
    "client",
    "simulated hours",
    "polls",
    "refreshes",
    "messages",
    "lost or doubled",
    "seconds",
    "RSS after 10 min, MiB",
    "at the end",
    "growth, %",
    "Python's part, KiB",
    "at the end",
    "bytes a message",
)


@define
class Figures:
    """What was seen; memory in bytes, after ten minutes and at the end."""

    simulated: float = 0.0
    polls: int = 0
    refreshes: int = 0
    reuse: int = 0
    expected: int = 0
    texts: list[str] = field(factory=list)
    seconds: float = 0.0
    rss: list[int] = field(factory=list)
    traced: list[int] = field(factory=list)
    messages: list[int] = field(factory=list)

    @property
    def wrong(self) -> int:
        """Count the agent's lines that are missing, doubled, or out of order."""
        wanted = [f"Message {number} of {self.expected}" for number in range(1, self.expected + 1)]
        return sum(one != other for one, other in zip(self.texts, wanted, strict=False)) + abs(
            len(self.texts) - len(wanted)
        )

    @property
    def growth(self) -> float:
        """Give how much the process has grown, as a share."""
        return self.rss[-1] / self.rss[0] - 1

    @property
    def each(self) -> float:
        """Give the bytes that a message costs, by Python's own count."""
        return (self.traced[-1] - self.traced[0]) / max(1, self.messages[-1] - self.messages[0])

    def look(self, transcript: int) -> None:
        """Note the memory of now."""
        gc.collect()
        resident = Path("/proc/self/statm").read_text().split()[1]
        self.rss.append(int(resident) * 4096)
        self.traced.append(tracemalloc.get_traced_memory()[0])
        self.messages.append(transcript)

    def row(self, name: str) -> tuple[object, ...]:
        """Give a line of the table."""
        return (
            name,
            f"{self.simulated / HOUR:.2f}",
            self.polls,
            self.refreshes,
            self.messages[-1],
            self.wrong,
            f"{self.seconds:.1f}",
            *(f"{resident / 2**20:.1f}" for resident in (self.rss[0], self.rss[-1])),
            f"{self.growth:+.1%}",
            *(f"{traced / 1024:.0f}" for traced in (self.traced[0], self.traced[-1])),
            f"{self.each:.0f}",
        )


@define
class Watch:
    """The caller's side of the chat: takes each event, says when to write and when to end."""

    figures: Figures
    clock: SharedTime
    quiet: bool
    began: float = field(init=False)

    def __attrs_post_init__(self) -> None:
        self.began = self.clock.seconds()

    def takes(self, event: Event, transcript: Callable[[], tuple[Message, ...]]) -> str | None:
        """Take an event; gives what to answer, if anything."""
        figures = self.figures
        figures.simulated = self.clock.seconds() - self.began
        if not isinstance(event, TextMessage) or not event.author.is_agent:
            return None
        figures.texts.append(event.text)
        if not figures.rss and figures.simulated >= BASE:
            figures.look(len(transcript()))
        if not self.quiet and len(figures.texts) % 30 == 0:
            print(f"\r{figures.simulated / HOUR:.1f} h", end="", file=sys.stderr, flush=True)
        return f"Answer {len(figures.texts)}" if len(figures.texts) % ANSWERS == 0 else None

    @property
    def done(self) -> bool:
        """Tell whether the agent has written all there is to write."""
        return len(self.figures.texts) >= self.figures.expected


def talk(settings: dict[str, Any], watch: Watch) -> None:
    """Hold the chat with the blocking client."""
    with PuzzelChat(**settings) as chat, chat.start("support", wait=60) as conversation:
        for event in conversation.events():
            if answer := watch.takes(event, conversation.transcript):
                conversation.send(answer)
            if watch.done and not conversation.ended:
                conversation.end()
        watch.figures.look(len(conversation.transcript()))


async def talk_async(settings: dict[str, Any], watch: Watch) -> None:
    """Hold it with the awaiting client."""
    async with AsyncPuzzelChat(**settings) as chat, await chat.start("support", wait=60) as conversation:
        async for event in conversation.events():
            if answer := watch.takes(event, conversation.transcript):
                await conversation.send(answer)
            if watch.done and not conversation.ended:
                await conversation.end()
        watch.figures.look(len(conversation.transcript()))


def run(kind: str, hours: float, store: str = "memory", quiet: bool = False) -> Figures:
    """Hold one chat and give what was seen of it; the clients made meanwhile live in its time."""
    figures = Figures(expected=int(hours * HOUR / WRITES))
    talks = {"script": "chatty", "pace": 0, "interval": WRITES, "messages": figures.expected}
    with TemporaryDirectory() as folder, centre(**talks, token_life=TOKEN_LIFE) as running:
        watch = Watch(figures, running.clock, quiet)
        with (
            patch("puzzel_chat._client.Clock", lambda: running.clock),
            closing(MemoryStore() if store == "memory" else SQLiteStore(Path(folder) / "chats.db")) as kept,
        ):
            began = time.perf_counter()
            settings = {**running.settings, "store": kept}
            talk(settings, watch) if kind == "sync" else asyncio.run(talk_async(settings, watch))
            figures.seconds = time.perf_counter() - began
    figures.polls = running.stats["requests"]["pollConversation"]
    figures.refreshes, figures.reuse = running.stats["refreshes"], running.stats["reuse"]
    return figures


def main(arguments: list[str]) -> int:
    """Run and print the table; 1 when a message was lost or doubled, or memory grew by more than five per cent."""
    parser = argparse.ArgumentParser(prog="python -m soak hours", description=__doc__)
    parser.add_argument("--hours", type=float, default=8, help="simulated hours (default: %(default)s)")
    parser.add_argument(
        "--kind", choices=("sync", "async", "both"), default="both", help="which client (default: both)"
    )
    parser.add_argument("--store", choices=("memory", "sqlite"), default="memory", help="where (default: memory)")
    parser.add_argument("--traced", action="store_true", help="count Python's own memory too, which takes longer")
    asked = parser.parse_args(arguments)
    rows, good = [], True
    for kind in ("sync", "async") if asked.kind == "both" else (asked.kind,):
        if asked.traced:
            tracemalloc.start()
        figures = run(kind, asked.hours, asked.store)
        tracemalloc.stop()
        rows.append(figures.row(f"{kind}, {asked.store}"))
        good = good and not figures.wrong and not figures.reuse and figures.growth <= ALLOWED
        print(file=sys.stderr)
    print(table(COLUMNS, rows))
    return 0 if good else 1
