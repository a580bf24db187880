"""Time that passes only when somebody waits, so that tests do not sleep and have the same times in each run."""

from __future__ import annotations

import asyncio

from puzzel_chat._clock import Clock, Wakes
from puzzel_chat._tokens import Now

START = 1_767_603_600.0
"""Seconds since the epoch: Monday, 5 January 2026, 09:00 UTC, when offices are open."""


class VirtualTime(Clock):
    """A clock that clients and the sandbox (`clock=time.seconds, sleep=time.passing`) share. All times are in seconds.

    Each wait moves the time on, so several clients that wait at once move it on several times. Nothing is random:
    jitter takes its middle value. `step` and `suspend` make the client's wall clock and monotonic clock disagree, as
    on a real machine.
    """

    def __init__(self) -> None:
        self._seconds = START
        self._stepped = 0.0
        self._suspended = 0.0

    def seconds(self) -> float:
        """Return the true seconds since the epoch, whatever the client's clocks say."""
        return self._seconds

    def advance(self, seconds: float) -> None:
        """Let `seconds` pass, on both clocks."""
        self._seconds += max(0.0, seconds)

    def step(self, seconds: float) -> None:
        """Set the client's wall clock forward, or back if negative; no time passes."""
        self._stepped += seconds

    def suspend(self, seconds: float) -> None:
        """Let `seconds` pass while the client's machine is suspended: its monotonic clock stands still."""
        self.advance(seconds)
        self._suspended += max(0.0, seconds)

    def now(self) -> Now:
        """Return the current moment on the client's clocks."""
        return Now(self.monotonic(), self._seconds + self._stepped)

    def monotonic(self) -> float:
        """Return the client's monotonic time."""
        return self._seconds - self._suspended

    def uniform(self, low: float, high: float) -> float:
        """Return the middle of `low` and `high`."""
        return (low + high) / 2

    def wait(self, wake: Wakes, seconds: float) -> None:
        """Let `seconds` pass, unless `wake` is set."""
        if not wake.is_set():
            self.advance(seconds)

    async def sleep(self, wake: asyncio.Event, seconds: float) -> None:
        """Let other tasks run, then `seconds` pass, unless `wake` is set."""
        await asyncio.sleep(0)
        if not wake.is_set():
            self.advance(seconds)

    async def passing(self, seconds: float) -> None:
        """Let `seconds` pass, in place of the sandbox's `asyncio.sleep`."""
        await asyncio.sleep(0)
        self.advance(seconds)
