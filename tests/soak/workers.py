"""Workers on one Redis hold a thousand chats, and each minute something happens to one: `make soak RUN=workers`.

One is killed, suspended for longer than its lease, or cut off from Redis; some are asked to leave; Redis itself is
ended twice, once by SIGKILL. The service's ledger, and what it saw of polls and tokens, say what became of it.
"""

from __future__ import annotations

import asyncio
import signal
import sys
import tempfile
import time
from argparse import ArgumentParser
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import suppress
from itertools import cycle
from pathlib import Path
from random import Random
from typing import Any

from attrs import define, field, frozen

from puzzel_chat import RedisStore
from puzzel_chat.sandbox import Happening, Scene, Script, Step
from soak.company import Company
from soak.redisd import Redis, missing
from soak.table import table
from soak.turnstile import Turnstile
from soak.usage import Used
from soak.verdict import MUST_BE_ZERO, Evidence, Handled, Kind, gaps, judged

BOUND = 15.0
"""Seconds after which a dead worker's chats are polled again."""
SOON = 1.0
"""Seconds after which the chats of a worker that left are polled again, or one period."""
TICK = 0.5
OPENED_AT_ONCE = 15
"""Chats that are asked for in one tick at most."""
PATIENCE = 90.0
"""Seconds in which everything is handled once the last chats have ended."""
GRACE = 60.0
"""Seconds in which the service gives the same reply to a spent refresh token: a reply may die with its worker."""


@frozen
class Plan:
    """How much of it; times in seconds. `troubles` are when something happens, and what."""

    chats: int
    workers: int
    seconds: float
    troubles: tuple[tuple[float, Kind], ...]
    interval: float = 5.0
    said_every: float = 10.0
    life: float = 240.0
    token_life: float = 180.0
    latency: float = 0.1
    hold: float = 20.0
    lease: float = RedisStore.lease
    lost: float = 0.0
    fronts: int = 2
    seed: int = 1


def scheduled(seconds: float, every: float, random: Random) -> tuple[tuple[float, Kind], ...]:
    """Let something happen to a worker at each `every`, Redis end twice, and workers leave at some times between."""
    turns: list[Kind] = []
    while len(turns) < seconds / every:
        turns += random.sample(("kill", "stop", "cut"), 3)
    times = [number * every for number in range(1, int((seconds - 1) / every) + 1)]
    troubles: list[tuple[float, Kind]] = list(zip(times, turns, strict=False))
    troubles.append(((int(len(times) / 3) + 0.75) * every, "restart"))
    troubles.append(((int(len(times) / 3 * 2) + 0.75) * every, "crash"))
    troubles.extend((at + 0.9 * every, "term") for at in times[1::3])
    return tuple(sorted(troubles))


@define
class Floor:
    """The agents, who say a number each time and end the chat; and which chats go on."""

    plan: Plan
    random: Random
    going_on: set[str] = field(factory=set)
    counts: Counter[str] = field(factory=Counter)
    closing: bool = False

    def script(self) -> Script:
        """Give the agents' script; a chat is as long as any, so that they do not end together."""
        return Script("workers", "says numbers", notice=False, joins=self._joins)

    def _joins(self, scene: Scene) -> Iterator[Step]:
        said = max(1, round(self.random.uniform(0.2, 1.8) * self.plan.life / self.plan.said_every))
        for number in range(1, said + 1):
            if self.closing:
                break
            yield Step("say", str(number), delay=0, seconds=self.plan.said_every)
        yield Step("end", delay=0, seconds=self.plan.said_every)

    def note(self, happening: Happening) -> None:
        """Take what happened in the centre."""
        self.counts[happening.kind] += 1
        if happening.kind == "joined":
            self.going_on.add(str(happening.conversation_id))
        elif happening.kind == "ended":
            self.going_on.discard(str(happening.conversation_id))

    @property
    def open(self) -> int:
        """How many chats have not ended."""
        return self.counts["routed"] - self.counts["ended"]


async def _customers(plan: Plan, floor: Floor, company: Company) -> None:
    """Keep so many chats going; now and then a customer says something, or ends the chat."""
    fronts, lines = cycle(company.fronts), 0
    while True:
        pending = sum(one.asked["open"] for one in company.fronts)
        for _ in range(min(OPENED_AT_ONCE, plan.chats - floor.open - pending)):
            next(fronts).tell("open")
        for chat in list(floor.going_on):
            if floor.random.random() < TICK / plan.said_every / 6:
                lines += 1
                next(fronts).tell(f"say {chat} line-{lines}")
            elif floor.random.random() < TICK / plan.life / 5:
                next(fronts).tell(f"end {chat}")
        await asyncio.sleep(TICK)


async def _troubles(plan: Plan, company: Company) -> None:
    began = time.monotonic()
    for at, kind in plan.troubles:
        await asyncio.sleep(max(0.0, began + at - time.monotonic()))
        found = await company.trouble(kind)
        print(f"{at:6.0f} s: {kind} {found.who}, {found.ended - found.began:.1f} s", file=sys.stderr, flush=True)


async def held(plan: Plan, folder: Path) -> tuple[Evidence, list[Used]]:
    """Hold the chats; gives what is known then, and what each process used. SIGTERM ends it as Ctrl-C does."""
    if this := asyncio.current_task():
        asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, this.cancel)
    random = Random(plan.seed)
    floor = Floor(plan, random)
    options: dict[str, Any] = {"script": floor.script(), "pace": 0.05, "agents": 40, "capacity": plan.chats}
    options |= {"token_life": plan.token_life, "reuse_grace": GRACE, "on_event": floor.note}
    with Turnstile(plan.latency, **options) as centre, Redis(folder) as redis:
        settings = {**centre.settings, "poll_interval": plan.interval}
        company = Company(redis, settings, plan.lease, folder, random, plan.hold, plan.lost)
        try:
            await company.hire(plan.workers, plan.fronts)
            await _day(plan, floor, company)
            return await _evening(plan, floor, company, centre)
        finally:
            await company.close()


async def _day(plan: Plan, floor: Floor, company: Company) -> None:
    customers = asyncio.create_task(_customers(plan, floor, company))
    try:
        while floor.open < 0.95 * plan.chats:
            await _unless_failed(customers, TICK)
        print(f"{floor.open} chats go on", file=sys.stderr, flush=True)
        until = time.monotonic() + plan.seconds
        await _troubles(plan, company)
        await _unless_failed(customers, max(0.0, until - time.monotonic()))
    finally:
        customers.cancel()


async def _unless_failed(task: asyncio.Task[None], seconds: float) -> None:
    """Let time pass, unless a task ends with an error."""
    with suppress(TimeoutError):
        await asyncio.wait_for(asyncio.shield(task), seconds)


async def _evening(plan: Plan, floor: Floor, company: Company, centre: Turnstile) -> tuple[Evidence, list[Used]]:
    """Let the chats end, and wait until all that was said is handled."""
    floor.closing = True
    used, until = company.used(), time.monotonic() + PATIENCE
    found = evidence(plan, company, centre)
    while (floor.open or judged(found)["lost"]) and time.monotonic() < until:
        await asyncio.sleep(2 * TICK)
        found = evidence(plan, company, centre)
    await company.dismiss()
    return evidence(plan, company, centre), used


def evidence(plan: Plan, company: Company, centre: Turnstile) -> Evidence:
    """Collect what is known."""
    lines = [line.split() for line in company.notes.read_text().splitlines()] if company.notes.exists() else []
    handled = [Handled(who, chat, event, float(at)) for word, who, chat, event, at in _of(lines, "handled")]
    failures = [" ".join(line) for line in _of(lines, "failed")] + company.failures
    sent = [line[1] for line in _of(lines, "sent")]
    polls = {visitor: list(seen) for visitor, seen in list(centre.polls.items())}
    known = centre.ledger(), handled, polls, list(centre.presented), company.troubles, plan.lease
    refused = Counter(line[-1] for line in _of(lines, "refused"))
    return Evidence(*known, sent, refused, failures)


def _of(lines: Sequence[list[str]], word: str) -> list[list[str]]:
    return [line for line in lines if line[0] == word]


def run(plan: Plan) -> tuple[Evidence, list[Used]]:
    """Hold the chats of one plan, in a folder of its own."""
    with tempfile.TemporaryDirectory() as folder:
        return asyncio.run(held(plan, Path(folder)))


def taken_over(found: Evidence, plan: Plan) -> tuple[list[list[object]], bool]:
    """Give a row for each kind of trouble, and whether 99 in 100 polls came no later than their bound after due."""
    rows: list[list[object]] = []
    good = True
    bounds: dict[Kind, float] = {"kill": BOUND, "stop": BOUND, "term": max(plan.interval, SOON)}
    for kind, times in sorted(gaps(found, plan.lease + BOUND).items()):
        if times:
            p50, p99, most = (sorted(times)[min(len(times) - 1, int(part * len(times)))] for part in (0.5, 0.99, 1.0))
            bound = bounds.get(kind)
            good = good and (bound is None or p99 - plan.interval <= bound)
            number = sum(one.kind == kind for one in found.troubles)
            late = f"{p99 - plan.interval:.1f}"
            rows.append([kind, number, len(times), f"{p50:.1f}", f"{p99:.1f}", f"{most:.1f}", late, bound or ""])
    return rows, good


def told(found: Evidence, used: Sequence[Used], plan: Plan) -> tuple[str, bool]:
    """Give the tables, and whether every promise was kept."""
    figures = judged(found)
    rows, in_time = taken_over(found, plan)
    broken = [name for name in MUST_BE_ZERO if figures[name]]
    columns = ("trouble", "times", "chats taken over", "gap p50, s", "p99", "max", "p99 later than due", "bound")
    cells = [[one.name, f"{one.memory / 1e6:.0f}", f"{one.cpu:.0f}", f"{one.cpu / one.lived:.1%}"] for one in used]
    names = [*figures, *(name for name in MUST_BE_ZERO if name not in figures)]
    parts = [
        table(("figure", "number"), [(name, figures[name]) for name in names]),
        table(columns, rows),
        table(("process", "MB", "CPU, s", "of a core"), cells),
        *([f"Broken: {', '.join(broken)}"] if broken else []),
        *([] if in_time else ["Broken: a take-over came too late"]),
        *found.failures[:20],
    ]
    return "\n\n".join(parts), in_time and not broken


def main(arguments: list[str]) -> int:
    """Run, print the tables, and fail when a promise was broken."""
    parser = ArgumentParser(prog="make soak RUN=workers", description=__doc__)
    parser.add_argument("--chats", type=int, default=100, help="chats that go on at once (default: %(default)s)")
    parser.add_argument("--workers", type=int, default=3, help="worker processes (default: %(default)s)")
    parser.add_argument("--minutes", type=float, default=3.0, help="once the chats go on (default: %(default)s)")
    parser.add_argument("--every", type=float, default=30.0, help="seconds between two troubles (default: %(default)s)")
    parser.add_argument("--interval", type=float, default=2.0, help="seconds between polls (default: %(default)s)")
    parser.add_argument("--said-every", type=float, default=10.0, help="of each agent, seconds (default: %(default)s)")
    parser.add_argument("--life", type=float, default=240.0, help="seconds of a chat, about (default: %(default)s)")
    parser.add_argument("--lost", type=float, default=0.0, help="seconds that Redis loses at its SIGKILL (default: 0)")
    parser.add_argument("--seed", type=int, default=1, help="of the order of things (default: %(default)s)")
    asked = parser.parse_args(arguments)
    if why := missing():
        print(why, file=sys.stderr)
        return 2
    seconds = asked.minutes * 60
    troubles = scheduled(seconds, asked.every, Random(asked.seed))
    options = {"said_every": asked.said_every, "life": asked.life, "lost": asked.lost, "seed": asked.seed}
    plan = Plan(asked.chats, asked.workers, seconds, troubles, asked.interval, **options)
    found, used = run(plan)
    text, good = told(found, used, plan)
    print(text)
    return 0 if good else 1
