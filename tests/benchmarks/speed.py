"""CPU, lateness and memory of a steady second, the facade beside bare clients that do none of its work."""

from __future__ import annotations

import statistics
from collections.abc import Callable, Iterable
from typing import Any

from attrs import field, frozen

from benchmarks.machine import say
from benchmarks.subject import Figures, measure
from soak.table import table

LATENCY = 0.1
RARELY = (50_000, 20, 50)
APPLICATION: dict[str, dict[str, Any]] = {
    "garbage collected rarely": {"thresholds": RARELY},
    "uvloop": {"uvloop": True},
    "uvloop, garbage collected rarely": {"uvloop": True, "thresholds": RARELY},
}
"""What belongs to the application, and is never set behind its back: `gc.set_threshold(50_000, 20, 50)`, uvloop."""
COLUMNS = (
    "who", "conversations", "polls made of those due", "polls/s", "CPU a poll, µs", "of a core, %",
    "late p50, ms", "late p99, ms", "p99 as the centre saw it, ms", "KB a conversation", "connections",
    "set up, s", "longest garbage collection, ms", "errors", "centre's core, %", "its replies' p99 late, ms",
)  # fmt: skip


@frozen(eq=False)
class Who:
    """One row: a module with a `run`, and what to ask of it."""

    name: str
    module: str
    count: int
    asked: dict[str, Any] = field(factory=dict)


def peer(kind: str, form: str, count: int, **asked: Any) -> Who:
    """Give a bare client's row."""
    told = {"tasks": "a task each", "grid": "our schedule"}[form]
    loop = ", uvloop" if asked.get("uvloop") else ""
    return Who(f"{kind}, {told}{loop}", "benchmarks.peers", count, {**asked, "more": {"kind": kind, "form": form}})


def facade(fast: bool, count: int, told: str = "", connections: int = 1000, **asked: Any) -> Who:
    """Give the facade's row; `connections` bounds the polls under way."""
    name = f"**puzzel-chat{'[fleet]' if fast else ''}**{told}"
    return Who(name, "benchmarks.fleet", count, {**asked, "more": {"fast": fast, "connections": connections}})


def measured(who: Iterable[Who], rounds: int, seconds: float) -> str:
    """Measure each in turn, round after round; gives the table of medians (and of the extremes)."""
    rows = list(who)
    found: dict[Who, list[Figures]] = {one: [] for one in rows}
    for number in range(rounds):
        for one in rows:
            say(f"round {number + 1} of {rounds}: {one.name}, {one.count}")
            figures = measure(one.module, {"latency": LATENCY}, count=one.count, seconds=seconds, **one.asked)
            found[one].append(figures)
    return table(COLUMNS, [_row(one, found[one]) for one in rows])


def _row(who: Who, rounds: list[Figures]) -> tuple[object, ...]:
    def cell(form: str, value: Callable[[Figures], float]) -> str:
        values = sorted(value(figures) for figures in rounds)
        spread = f" ({values[0]:{form}}–{values[-1]:{form}})" if len(values) > 1 else ""
        return f"{statistics.median(values):{form}}{spread}"

    def rate(figures: Figures) -> float:
        return float(figures["centre"]["polls"] / (figures["until"] - figures["since"]))

    errors = {name: number for figures in rounds for name, number in figures["errors"].items()}
    return (
        who.name,
        who.count,
        cell(".2%", lambda one: rate(one) / who.count),
        cell(".0f", rate),
        cell(".0f", lambda one: one["cpu"] / one["centre"]["polls"] * 1e6),
        cell(".0f", lambda one: one["cpu"] / (one["until"] - one["since"]) * 100),
        cell(".1f", lambda one: one["late_p50"] * 1e3),
        cell(".1f", lambda one: one["late_p99"] * 1e3),
        cell(".1f", lambda one: one["centre"]["late_p99"] * 1e3),
        cell(".1f", lambda one: one["memory"] / 1e3),
        cell(".0f", lambda one: one["centre"]["most"]),
        cell(".1f", lambda one: one["set_up"]) if "set_up" in rounds[0] else "",
        cell(".0f", lambda one: one["collecting"] * 1e3),
        " ".join(f"{name} {number}" for name, number in errors.items()) or 0,
        cell(".0f", lambda one: one["centre"]["cpu"] * 100),
        cell(".1f", lambda one: one["centre"]["behind_p99"] * 1e3),
    )


def report(full: bool) -> str:
    """Measure size by size, each with its peers in turn."""
    rounds, seconds = (3, 8.0) if full else (2, 2.5)
    tables = [
        measured(_thousand(full), rounds, seconds),
        measured(_more(full), rounds if full else 1, 8.0 if full else 4.0),
        measured([facade(False, count) for count in ((300, 1000) if full else (300,))], rounds if full else 1, seconds),
    ]
    return "\n\n".join(tables)


def _thousand(full: bool) -> list[Who]:
    rows = [peer(kind, "tasks", 1000) for kind in ("raw", "aiohttp", "pyreqwest")]
    rows += [peer("raw", "grid", 1000)]
    rows += [peer(kind, "grid", 1000) for kind in ("aiohttp", "pyreqwest") if full]
    rows += [peer("httpx", "tasks", 1000)] if full else []
    return [*rows, facade(True, 1000)]


def _more(full: bool) -> list[Who]:
    if not full:
        return [peer("raw", "grid", 5000), facade(True, 5000)]
    rows = [peer(kind, form, 5000) for kind in ("raw", "aiohttp", "pyreqwest") for form in ("tasks", "grid")]
    rows += [facade(True, 5000)]
    rows += [facade(True, 5000, f", {told}", **asked) for told, asked in APPLICATION.items()]
    rows += [peer(kind, "grid", 10_000, uvloop=True) for kind in ("raw", "pyreqwest")]
    rows += [facade(True, 10_000, ", 2000 connections", 2000)]
    rows += [facade(True, 10_000, ", uvloop", uvloop=True)]
    return [*rows, facade(True, 10_000, ", uvloop, 2000 connections", 2000, uvloop=True)]
