"""Time that passes only when somebody waits, so that no test sleeps and every run has the same times."""

from __future__ import annotations

import asyncio
import threading

from puzzel_chat._clock import Clock
from puzzel_chat._tokens import Now

START = 1_767_603_600.0
"""Seconds since the epoch: Monday, 5 January 2026, 09:00 UTC, when offices are open."""


class VirtualTime(Clock):
    """A clock for clients and for the sandbox (`clock=time.seconds, sleep=time.passing`); both live in the same time.

    Several clients that wait at once each move it on. Chance is taken out: every jitter is its middle. A machine has
    two clocks, and `step` and `suspend` tell the client's apart as a real one's come apart. All times are in seconds.
    """

    def __init__(self) -> None:
        self._seconds = START
        self._stepped = 0.0
        self._suspended = 0.0

    def seconds(self) -> float:
        """Give the seconds since the epoch as they truly are, whatever the client's clocks say."""
        return self._seconds

    def advance(self, seconds: float) -> None:
        """Let time pass, on both clocks."""
        self._seconds += max(0.0, seconds)

    def step(self, seconds: float) -> None:
        """Set the client's wall clock forward, or back when negative; no time passes."""
        self._stepped += seconds

    def suspend(self, seconds: float) -> None:
        """Let time pass while the client's process is suspended: its monotonic clock stands still."""
        self.advance(seconds)
        self._suspended += max(0.0, seconds)

    def now(self) -> Now:
        """Give the present moment on the client's clocks."""
        return Now(self.monotonic(), self._seconds + self._stepped)

    def monotonic(self) -> float:
        """Give the client's monotonic time."""
        return self._seconds - self._suspended

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

    async def passing(self, seconds: float) -> None:
        """Let the time pass for the sandbox, as `asyncio.sleep` would."""
        await asyncio.sleep(0)
        self.advance(seconds)
