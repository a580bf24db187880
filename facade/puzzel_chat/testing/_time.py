"""Time that passes only when somebody waits, so that no test sleeps and every run has the same times."""

from __future__ import annotations

import asyncio
import threading

from puzzel_chat._clock import Clock
from puzzel_chat._tokens import Now

START = 1_767_603_600.0
"""Seconds since the epoch: Monday, 5 January 2026, 09:00 UTC, when offices are open."""


class VirtualTime(Clock):
    """A clock for clients and for the sandbox (`clock=time.seconds`); both live in the same time.

    Several clients that wait at once each move it on. Chance is taken out: every jitter is its middle.
    """

    def __init__(self) -> None:
        self._seconds = START

    def seconds(self) -> float:
        """Give the seconds since the epoch."""
        return self._seconds

    def advance(self, seconds: float) -> None:
        """Let time pass."""
        self._seconds += max(0.0, seconds)

    def now(self) -> Now:
        """Give the present moment, which is the same on both clocks."""
        return Now(self._seconds, self._seconds)

    def monotonic(self) -> float:
        """Give the monotonic time."""
        return self._seconds

    def uniform(self, low: float, high: float) -> float:
        """Give the middle."""
        return (low + high) / 2

    def wait(self, wake: threading.Event, seconds: float) -> None:
        """Let the time pass, unless woken already."""
        if not wake.is_set():
            self.advance(seconds)

    async def sleep(self, wake: asyncio.Event, seconds: float) -> None:
        """Let the time pass, and others run."""
        await asyncio.sleep(0)
        if not wake.is_set():
            self.advance(seconds)
