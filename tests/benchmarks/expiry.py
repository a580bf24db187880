"""Tokens that all expire in the same minute: how their refreshes are spread, and whether any call fails."""

from __future__ import annotations

import asyncio
import time

from attrs import evolve

from benchmarks.fleet import Fleet, fleet, opened, polled
from benchmarks.machine import resident, say
from benchmarks.speed import LATENCY
from benchmarks.subject import Asked, Figures, Window, measure
from puzzel_chat import AsyncPuzzelChat, MemoryStore
from soak.table import table

COUNT, TTL = 2000, 120.0
LEFT = 35.0
"""Seconds that are left of the tokens of a fleet that is taken up again."""
COLUMNS = (
    "tokens of 120 s", "sessions", "seconds", "refreshes", "/s at most", "in 0.1 s at most", "first to last, s",
    "polls made of those due", "late p99, ms", "calls with a spent token", "refresh tokens sent twice",
    "conversations given up",
)  # fmt: skip


async def run(asked: Asked) -> Figures:
    """Poll until every token was refreshed; `more["resumed"]` takes the sessions up from a store first."""
    if not asked.more["resumed"]:
        async with fleet(asked) as running:
            return await _watched(asked, running)
    store = MemoryStore()
    async with AsyncPuzzelChat(asked.url, "bench", store=store) as chat:
        began = time.monotonic()
        ids = [conversation.session.id for conversation in await opened(chat, asked.count)]
    await asyncio.sleep(began + asked.more["ttl"] - asked.more["left"] - time.monotonic())
    chat = AsyncPuzzelChat(asked.url, "bench", store=store)
    chats = [conversation for one in ids for conversation in (await chat.resume(one)).conversations]
    async with polled(asked, chat, chats, Window(resident())) as running:
        return await _watched(evolve(asked, warm=0.0), running)


async def _watched(asked: Asked, running: Fleet) -> Figures:
    figures = await running.figures()
    return {**figures, "stopped": running.loop.stats().stopped}


def report(full: bool) -> str:
    """Measure a fleet whose tokens were all got within seconds, and one taken up when all tokens are nearly spent."""
    rows = []
    for resumed, told in ((False, "got within seconds"), (True, f"{LEFT:.0f} s before they expire, after a resume")):
        say(f"tokens {told}")
        more = {"resumed": resumed, "ttl": TTL, "left": LEFT}
        seconds = LEFT + 5 if resumed else TTL
        one = measure("benchmarks.expiry", {"latency": LATENCY, "ttl": TTL}, count=COUNT, seconds=seconds, more=more)
        rows.append(row(told, COUNT, one))
    return table(COLUMNS, rows)


def row(told: str, count: int, one: Figures) -> tuple[object, ...]:
    """Give a line of the table."""
    centre = one["centre"]
    seen = {name: centre["seconds"].get(name, [0]) for name in ("refreshes", "refused", "reuse")}
    busy = [number for number, times in enumerate(seen["refreshes"]) if times]
    took = one["until"] - one["since"]
    return (
        told, count, f"{took:.0f}", sum(seen["refreshes"]), max(seen["refreshes"]), centre["refreshes_at_once"],
        busy[-1] - busy[0] + 1 if busy else 0, f"{centre['polls'] / count / took:.2%}",
        f"{centre['late_p99'] * 1e3:.1f}", sum(seen["refused"]), sum(seen["reuse"]), one["stopped"],
    )  # fmt: skip
