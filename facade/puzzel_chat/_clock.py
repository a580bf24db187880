"""Time and randomness in one object, so that a test can replace both."""

from __future__ import annotations

import random
import time
from typing import TYPE_CHECKING, Protocol

from puzzel_chat._tokens import Now

if TYPE_CHECKING:
    import asyncio


class Wakes(Protocol):
    """What ends the wait of a thread."""

    def is_set(self) -> bool:
        """Return whether the wait is over."""
        ...

    def wait(self, timeout: float | None = None) -> bool:
        """Wait for so many seconds."""
        ...


class Clock:
    """The machine's clocks and random numbers, and two ways to wait. All times are in seconds."""

    def now(self) -> Now:
        """Return the current moment, on both clocks."""
        return Now(time.monotonic(), time.time())

    def monotonic(self) -> float:
        """Return the monotonic time."""
        return time.monotonic()

    def uniform(self, low: float, high: float) -> float:
        """Return a random number from `low` to `high`; not for secrets."""
        return random.uniform(low, high)

    def wait(self, wake: Wakes, seconds: float) -> None:
        """Block for `seconds`, or until `wake` is set."""
        if seconds > 0:
            wake.wait(seconds)

    async def sleep(self, wake: asyncio.Event, seconds: float) -> None:
        """Sleep for `seconds` on the running event loop, or until `wake` is set."""
        # Imported here, so that the blocking client does not import asyncio.
        import asyncio

        if seconds <= 0:
            return
        try:
            async with asyncio.timeout(seconds):
                await wake.wait()
        except TimeoutError:
            pass
