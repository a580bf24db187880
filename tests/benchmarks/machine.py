"""The machine: its name, its cores, and what a process uses of them."""

from __future__ import annotations

import asyncio
import os
import platform
import sys
from collections.abc import Coroutine, Sequence
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from statistics import quantiles

PACKAGES = ("httpx", "pyreqwest", "aiohttp", "uvloop")
SUBJECT, CENTRE = 0, 1
"""Places among the cores: who is measured, and the contact centre that it talks to."""


def pin(place: int) -> None:
    """Keep this process, and the threads that it will start, on one core; with one core there is nothing to choose."""
    cores = _cores()
    if len(cores) > 1:
        os.sched_setaffinity(0, {cores[place]})


def described() -> str:
    """Give one line about the machine, the interpreter and the libraries."""
    cores = len(_cores())
    pinned = "the contact centre on one, who is measured on another" if cores > 1 else "shared: nothing is pinned"
    libraries = ", ".join(f"{name} {_version(name)}" for name in PACKAGES)
    return f"{_processor()}, {cores} cores ({pinned}), Python {sys.version.split()[0]}, {libraries}"


def run_in_loop(work: Coroutine[object, object, None], *, uvloop: bool) -> None:
    """Run it on an event loop of that kind."""
    if uvloop:
        import uvloop as fast

        fast.run(work)
    else:
        asyncio.run(work)


def resident() -> int:
    """Give the memory of this process, in bytes."""
    return int(Path("/proc/self/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE")


def share(values: Sequence[float], part: float) -> float:
    """Give the value that this part of them does not exceed; 0.0 when there are none."""
    ordered = sorted(values)
    return ordered[min(len(ordered) - 1, int(part * len(ordered)))] if ordered else 0.0


def beside(name: str, values: Sequence[float], base: float) -> tuple[str, ...]:
    """Give a row: the median, the middle half, and how many times the base's median it is."""
    low, middle, high = quantiles(values, n=4)
    return name, f"{middle:.0f}", f"{low:.0f} to {high:.0f}", f"{middle / base:.2f}"


def _cores() -> list[int]:
    return sorted(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else []


def _version(name: str) -> str:
    try:
        return version(name)
    except PackageNotFoundError:
        return "(not installed)"


def _processor() -> str:
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
        return next(line.partition(": ")[2] for line in lines if line.startswith("model name"))
    except (OSError, StopIteration):
        return platform.processor() or platform.machine()


def say(told: str) -> None:
    """Tell how far the bench is."""
    print(told, file=sys.stderr, flush=True)
