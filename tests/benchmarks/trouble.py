"""Three troublemakers among a thousand: what the others feel of them, and where each is seen."""

from __future__ import annotations

import asyncio
import logging
import time
from collections import Counter
from typing import Any

from attrs import asdict

from benchmarks.fleet import fleet
from benchmarks.machine import say
from benchmarks.speed import LATENCY
from benchmarks.subject import Asked, Figures, measure
from puzzel_chat import AsyncConversation, Event
from soak.table import table

BLOCKS = 5.0
HUGE = 10_000_000
TALK = 50
"""Messages a second for the others, in all."""
COUNT = 1000
KINDS = ("nobody", "a handler that blocks for 5 s", "a handler that raises each time", "a reply of 10 MB", "all three")
COLUMNS = (
    "who makes trouble", "the others' late p50, ms", "p99, ms", "polls made of those due", "lost", "doubled",
    "stats()", "the log",
)  # fmt: skip


def blocks(conversation: AsyncConversation, event: Event) -> None:
    """Be a plain function that takes its time."""
    time.sleep(BLOCKS)


def raises(conversation: AsyncConversation, event: Event) -> None:
    """Be a handler with a mistake in it."""
    raise LookupError("a customer's words")


class Lines(logging.Handler):
    """Counts what the library logs, by its wording."""

    def __init__(self) -> None:
        super().__init__(logging.WARNING)
        self.seen: Counter[str] = Counter()

    def emit(self, record: logging.LogRecord) -> None:
        """Count a line."""
        self.seen[f"{record.levelname} {record.msg}"] += 1


async def run(asked: Asked) -> Figures:
    """Let them make trouble while the others talk; `more["kind"]` is a place in `KINDS`."""
    lines, kind = Lines(), asked.more["kind"]
    logging.getLogger("puzzel_chat").addHandler(lines)
    async with fleet(asked) as running:
        blocking, raising, huge = running.chats[:3]
        for conversation, handler, own in ((blocking, blocks, 1), (raising, raises, 2)):
            if kind in (own, 4):
                running.loop.remove(conversation)
                running.loop.add(conversation, handler)
        await asyncio.to_thread(asked.ask, "talk", rate=TALK, seconds=asked.warm + asked.seconds)
        await running.window.opened(asked)
        if kind in (3, 4):
            await asyncio.to_thread(asked.ask, "bulk", conversation=huge.id, size=HUGE)
        trouble = asyncio.create_task(_speak(asked, [blocking.id, raising.id]))
        figures = await running.window.closed(asked)
        stats = _telling(asdict(running.loop.stats()))
        trouble.cancel()
        await asyncio.sleep(2.5)
        three = [blocking.id, raising.id, huge.id]
        others = await asyncio.to_thread(asked.ask, "report", since=figures["since"], until=figures["until"], but=three)
        found = await asyncio.to_thread(running.delivered, three)
        return {**figures, **found, "others": others, "stats": stats, "log": lines.seen}


async def _speak(asked: Asked, conversations: list[str]) -> None:
    while True:
        for conversation in conversations:
            await asyncio.to_thread(asked.ask, "bulk", conversation=conversation, size=0)
        await asyncio.sleep(1)


def _telling(stats: dict[str, Any]) -> dict[str, Any]:
    quiet = ("sessions", "conversations", "polls", "polls_per_second", "late_p50", "late_p99", "under_way", "waiting")
    return {name: value for name, value in stats.items() if value and name not in quiet}


def report(full: bool) -> str:
    """Measure all three at once beside none, or each by itself too."""
    rows = []
    for kind in range(len(KINDS)) if full else (0, len(KINDS) - 1):
        say(f"trouble: {KINDS[kind]}")
        one = measure("benchmarks.trouble", {"latency": LATENCY}, count=COUNT, seconds=12.0, more={"kind": kind})
        rows.append(row(kind, COUNT, one))
    return table(COLUMNS, rows)


def row(kind: int, count: int, one: Figures) -> tuple[object, ...]:
    """Give a line of the table."""
    others, took = one["others"], one["until"] - one["since"]
    return (
        KINDS[kind],
        f"{others['late_p50'] * 1e3:.1f}",
        f"{others['late_p99'] * 1e3:.1f}",
        f"{others['polls'] / (count - 3) / took:.2%}",
        one["lost"],
        one["doubled"],
        ", ".join(f"{name} {value}" for name, value in one["stats"].items()) or "nothing",
        "; ".join(f"{times} × {told}" for told, times in one["log"].items()) or "nothing",
    )
