"""How long a message takes from the centre's store to the handler, and whether each one arrives once and in order."""

from __future__ import annotations

import asyncio

from benchmarks.fleet import fleet
from benchmarks.machine import say, share
from benchmarks.speed import LATENCY
from benchmarks.subject import Asked, Figures, measure
from soak.table import table

RATE = 200
"""Messages a second, in all."""
COLUMNS = (
    "conversations", "messages", "p50, ms", "ideal", "over it", "p99, ms", "ideal", "over it",
    "lost", "doubled", "conversations out of order",
)  # fmt: skip


async def run(asked: Asked) -> Figures:
    """Let the centre's agents talk for the seconds that count."""
    async with fleet(asked) as running:
        await running.window.opened(asked)
        await asyncio.to_thread(asked.ask, "talk", rate=RATE, seconds=asked.seconds)
        figures = await running.window.closed(asked)
        await asyncio.sleep(2.5)
        ages = [at - stored for at, stored in running.arrived]
        found = await asyncio.to_thread(running.delivered)
        return {**figures, **found, "p50": share(ages, 0.50), "p99": share(ages, 0.99)}


def report(full: bool) -> str:
    """Measure at 1000 conversations.

    Polls come once a second and a message at any time, so the half of them waits half a second for its poll.
    """
    rows = []
    for count in (1000, 5000) if full else (1000,):
        say(f"delivery, {count}")
        one = measure("benchmarks.delivery", {"latency": LATENCY}, count=count, seconds=30.0 if full else 6.0)
        cells = []
        for part, ideal in (("p50", 0.5 + LATENCY), ("p99", 0.99 + LATENCY)):
            cells += [f"{value * 1e3:.0f}" for value in (one[part], ideal, one[part] - ideal)]
        rows.append((count, one["stored"], *cells, one["lost"], one["doubled"], one["disordered"]))
    return table(COLUMNS, rows)
