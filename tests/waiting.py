"""Waiting for what other threads, processes and servers do; how long that takes says nothing about the code."""

from __future__ import annotations

import asyncio
import threading
import time
from collections.abc import Callable

PATIENCE = 60.0
"""Seconds; only what never happens takes so long."""


def until(condition: Callable[[], object]) -> None:
    """Wait for something that must happen."""
    deadline = time.monotonic() + PATIENCE
    while not condition():
        assert time.monotonic() < deadline, "it does not happen"
        time.sleep(0.005)


async def until_async(condition: Callable[[], object]) -> None:
    """The same on an event loop, which goes on meanwhile."""
    deadline = time.monotonic() + PATIENCE
    while not condition():
        assert time.monotonic() < deadline, "it does not happen"
        await asyncio.sleep(0.002)


class Held:
    """The `sleep` of a sandbox whose slow faults last until the test lets go, however fast the machine is."""

    def __init__(self) -> None:
        self._gone = threading.Event()

    async def sleep(self, _: float) -> None:
        """Wait until the test lets go."""
        await until_async(self._gone.is_set)

    def let_go(self) -> None:
        """Let all that is slow go on."""
        self._gone.set()
