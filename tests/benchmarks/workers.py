"""Workers on one Redis: what it costs beside a store in memory, what one Redis carries, and who takes over how soon."""

from __future__ import annotations

import signal
import time
from collections.abc import Sequence
from statistics import median

from benchmarks.carried import carried
from benchmarks.crew import LONGEST, crew, redis_server, settled
from benchmarks.machine import say, share
from benchmarks.speed import LATENCY
from benchmarks.subject import Figures, ask, measure
from soak.redisd import Redis, missing
from soak.table import table
from soak.usage import used

COUNT = 1000
EVERY = 10.0
"""Seconds between two messages of a chat, where there are any."""
TAKEN_OVER = 300
"""Chats at which take-overs are measured."""
COST = (
    "messages/s", "chats", "MemoryStore, CPU a poll, µs", "RedisStore", "times", "from", "to",
    "polls made of those due",
)  # fmt: skip
LIMIT = (
    "messages/s", "scripts/s and chat", "commands/s and chat", "Redis' CPU, % of a core", "a core's worth, chats",
)  # fmt: skip
SCALE = (
    "workers", "chats", "polls/s", "of those due", "late p50, ms", "p99", "workers' CPU", "centre's", "chats each",
)  # fmt: skip
TAKEN = ("after", "times", "chats", "gap p50, s", "p99", "max")


def report(full: bool) -> str:
    """Measure all of it."""
    if why := missing():
        return f"Not measured: {why}."
    with redis_server() as redis:
        cost, limits = costs(redis, 5 if full else 3, 15.0 if full else 8.0)
        parts = [cost, limits, carried(redis)]
    parts += [scale(5000, (1, 2, 4), 20.0 if full else 8.0), take_overs(6 if full else 2)]
    return "\n\n".join(parts)


def costs(redis: Redis, rounds: int, seconds: float) -> tuple[str, str]:
    """Measure a worker with each store in turn, without messages and with a message for each chat every ten seconds."""
    rows, limits = [], []
    for rate in (0.0, COUNT / EVERY):
        pairs = []
        for number in range(rounds):
            say(f"cost, {rate:.0f} messages a second, round {number + 1} of {rounds}")
            order = ("memory", "redis") if number % 2 else ("redis", "memory")
            found = {name: _held(redis, name, rate, seconds) for name in order}
            pairs.append(found)
        rows.append(_cost_row(rate, pairs))
        limits += [_limit_row(rate, [one["redis"] for one in pairs])]
    return table(COST, rows), table(LIMIT, limits)


def _held(redis: Redis, store: str, rate: float, seconds: float) -> Figures:
    redis.client().flushall()
    more = {"rate": rate, "url": redis.url if store == "redis" else None}
    return measure("benchmarks.worker", {"latency": LATENCY}, count=COUNT, seconds=seconds, more=more)


def _cost_row(rate: float, pairs: Sequence[dict[str, Figures]]) -> tuple[object, ...]:
    a_poll = [{name: one["cpu"] / one["centre"]["polls"] * 1e6 for name, one in pair.items()} for pair in pairs]
    ratios = [one["redis"] / one["memory"] for one in a_poll]
    redis = [pair["redis"] for pair in pairs]
    made = [one["centre"]["polls"] / COUNT / (one["until"] - one["since"]) for one in redis]
    medians = [f"{median(one[name] for one in a_poll):.0f}" for name in ("memory", "redis")]
    spread = f"{median(ratios):.2f}", f"{min(ratios):.2f}", f"{max(ratios):.2f}"
    return f"{rate:.0f}", COUNT, *medians, *spread, f"{median(made):.1%}"


def _limit_row(rate: float, found: Sequence[Figures]) -> tuple[object, ...]:
    def a_second(name: str) -> float:
        return float(median(one["redis"].get(name, 0.0) / (one["until"] - one["since"]) for one in found))

    commands = {name for one in found for name in one["redis"]} - {"cpu", "info"}
    scripts = sum(a_second(name) for name in ("evalsha", "eval", "fcall"))
    cpu = a_second("cpu")
    total = sum(map(a_second, commands))
    return f"{rate:.0f}", f"{scripts / COUNT:.2f}", f"{total / COUNT:.2f}", f"{cpu:.1%}", f"{COUNT / cpu:,.0f}"


def scale(count: int, sizes: Sequence[int], seconds: float) -> str:
    """Let more and more workers hold the same number of chats."""
    rows = []
    for workers in sizes:
        say(f"scale, {workers} workers")
        with crew(count, workers) as (found, port):
            since = time.monotonic()
            before = [used(name, one.pid).cpu for name, one in found.running.items()]
            time.sleep(seconds)
            after = [used(name, one.pid).cpu for name, one in found.running.items()]
            seen = ask(port, "report", since=since, until=time.monotonic())
            took = time.monotonic() - since
            shares = [len(ask(port, "held", worker=name)) for name in found.running]
            rows.append((
                workers, count, f"{seen['polls'] / took:.0f}", f"{seen['polls'] / took / count:.1%}",
                f"{seen['late_p50'] * 1e3:.0f}", f"{seen['late_p99'] * 1e3:.0f}",
                f"{(sum(after) - sum(before)) / took:.0%}", f"{seen['cpu']:.0%}", f"{min(shares)} to {max(shares)}",
            ))  # fmt: skip
    return table(SCALE, rows)


def take_overs(times: int) -> str:
    """Kill one worker of three, and ask one to leave, again and again; each time another one comes."""
    gaps: dict[signal.Signals, list[float]] = {signal.SIGKILL: [], signal.SIGTERM: []}
    with crew(TAKEN_OVER, 3) as (found, port):
        for number in range(times):
            for how, seen in gaps.items():
                say(f"take-over after {how.name}, {number + 1} of {times}")
                name = next(iter(found.running))
                held = ask(port, "held", worker=name)
                at = found.part(name, how)
                _taken_over(port, name)
                seen += ask(port, "gaps", since=at, among=held)
                found.hire()
                settled(port, found, TAKEN_OVER)
    rows = []
    for how, seen in gaps.items():
        rows.append((how.name, times, len(seen), *(f"{share(seen, part):.2f}" for part in (0.5, 0.99, 1.0))))
    return table(TAKEN, rows)


def _taken_over(port: int, name: str) -> None:
    until = time.monotonic() + LONGEST
    while ask(port, "held", worker=name) and time.monotonic() < until:
        time.sleep(0.2)
