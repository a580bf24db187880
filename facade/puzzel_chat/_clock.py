"""Time and chance, in one object, so that a test can put its own in their place."""

from __future__ import annotations

import random
import threading
import time
from typing import TYPE_CHECKING

from puzzel_chat._tokens import Now

if TYPE_CHECKING:
    import asyncio


class Clock:
    """The machine's clocks, its random numbers, and the two ways to wait. All times are in seconds."""

    def now(self) -> Now:
        """Give the present moment."""
        return Now(time.monotonic(), time.time())

    def monotonic(self) -> float:
        """Give the monotonic time."""
        return time.monotonic()

    def uniform(self, low: float, high: float) -> float:
        """Give a random number; not for secrets."""
        return random.uniform(low, high)

    def wait(self, wake: threading.Event, seconds: float) -> None:
        """Block for so many seconds, or until `wake` is set."""
        if seconds > 0:
            wake.wait(seconds)

    async def sleep(self, wake: asyncio.Event, seconds: float) -> None:
        """Sleep for so many seconds on the running event loop, or until `wake` is set."""
        # Here, so that the blocking client does not pay for importing asyncio.
        import asyncio

        if seconds <= 0:
            return
        try:
            async with asyncio.timeout(seconds):
                await wake.wait()
        except TimeoutError:
            pass
