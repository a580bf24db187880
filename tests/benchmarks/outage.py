"""The centre is out for a minute: what it is offered meanwhile, whether a herd comes after, and what was delivered."""

from __future__ import annotations

import asyncio
import statistics
import time

from benchmarks.fleet import fleet
from benchmarks.machine import say
from benchmarks.speed import LATENCY
from benchmarks.subject import Asked, Figures, measure
from soak.table import table

KINDS = {
    "503": "answers 503",
    "reset": "resets each connection that asks",
    "refused": "refuses connections",
    "hang": "does not answer",
}
COUNT, OUT = 2000, 60.0
BEFORE, AFTER = 5.0, 60.0
"""Seconds of steady polling before, and seconds given for everything to come right."""
CALM = 5
"""Seconds after which an outage is known for one."""
TALK = 20
"""Messages a second that are stored all the time, in all."""
COLUMNS = (
    "the centre", "conversations", "out, s", "steady, polls/s", "offered in the first 5 s, /s at most",
    "then, /s (mean)", "at most", "after it, polls/s at most", "of steady", "95 % of steady after, s",
    "messages", "all there after, s", "lost", "doubled", "out of order", "conversations given up",
)  # fmt: skip


async def run(asked: Asked) -> Figures:
    """Let the centre go and come back while messages are stored; `more` says how, and what time is given after."""
    async with fleet(asked) as running:
        after: float = asked.more["after"]
        await asyncio.to_thread(asked.ask, "talk", rate=TALK, seconds=asked.warm + BEFORE + asked.seconds + after / 2)
        await running.window.opened(asked)
        await asyncio.sleep(BEFORE)
        out = time.monotonic()
        await asyncio.to_thread(asked.ask, "outage", how=asked.more["how"], seconds=asked.seconds)
        await asyncio.sleep(asked.seconds + after)
        back = out + asked.seconds
        owed = max((at - back for at, stored in running.arrived if stored < back), default=0.0)
        times = {"since": running.window.since, "until": time.monotonic(), "out": out, "back": back, "owed": owed}
        return {**times, **await asyncio.to_thread(running.delivered), "stopped": running.loop.stats().stopped}


def report(full: bool) -> str:
    """Measure the first kind of outage, or all of them."""
    rows = []
    for how in KINDS if full else list(KINDS)[:1]:
        say(f"outage of {OUT:.0f} s, {KINDS[how]}")
        one = measure(
            "benchmarks.outage", {"latency": LATENCY}, count=COUNT, seconds=OUT, more={"how": how, "after": AFTER}
        )
        rows.append(row(how, COUNT, one))
    return table(COLUMNS, rows)


def row(how: str, count: int, one: Figures) -> tuple[object, ...]:
    """Give a line of the table."""
    out, back = (int(one[name] - int(one["since"])) for name in ("out", "back"))
    seconds: dict[str, list[int]] = one["centre"]["seconds"]
    polls = seconds["polls"]
    # A closed port counts nothing; what the whole machine has refused takes its place.
    offered = seconds["refused connections" if how == "refused" else "offered"]
    steady = statistics.median(polls[1:out])
    later, after = offered[out + CALM + 1 : back], polls[back + 1 : -1]
    again = next((number + 1 for number, rate in enumerate(after) if rate >= 0.95 * steady), "never")
    return (
        KINDS[how], count, f"{one['back'] - one['out']:.0f}", f"{steady:.0f}",
        max(offered[out : out + CALM + 1]), f"{statistics.mean(later):.0f}", max(later),
        max(after), f"{max(after) / steady:.2f}", again,
        one["stored"], f"{one['owed']:.1f}", one["lost"], one["doubled"], one["disordered"], one["stopped"],
    )  # fmt: skip
