"""The time of one seeded chat: it passes at once, chance is seeded, and what is due happens on the way."""

from __future__ import annotations

import asyncio
import heapq
import threading
from collections.abc import Awaitable, Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from itertools import count
from random import Random

from puzzel_chat._clock import Wakes
from puzzel_chat.testing import VirtualTime


class SoakTime(VirtualTime):
    """Virtual time in which a server goes down or a clock is set while the client waits."""

    def __init__(self, random: Random) -> None:
        super().__init__()
        self._random = random
        self._due: list[tuple[float, int, Callable[[], object]]] = []
        self._order = count()
        self.before_sleep: Callable[[], Awaitable[object]] | None = None
        self._is_due: Callable[[], bool] | None = None
        self._act: Callable[[], None] = lambda: None
        self._at_it = False

    def at(self, seconds: float, action: Callable[[], object]) -> None:
        """Let something happen so many seconds from now, during a wait of the client."""
        heapq.heappush(self._due, (self.seconds() + seconds, next(self._order), action))

    def uniform(self, low: float, high: float) -> float:
        """Give a seeded random number."""
        return self._random.uniform(low, high)

    @contextmanager
    def meanwhile(self, is_due: Callable[[], bool], act: Callable[[], None]) -> Iterator[None]:
        """While a call waits, act as soon as that is due, like another thread of the application."""
        self._is_due, self._act = is_due, act
        try:
            yield
        finally:
            self._is_due = None

    @contextmanager
    def _acting(self, who: str) -> Iterator[bool]:
        # Not again in the waits of the action itself; and what it calls may wait for a refresh under way.
        busy = self._at_it or who == "puzzel-chat-refresh"
        is_due = not busy and self._is_due is not None and self._is_due()
        self._at_it = self._at_it or is_due
        try:
            yield is_due
        finally:
            self._at_it = self._at_it and not is_due

    def wait(self, wake: Wakes, seconds: float) -> None:
        """Let the time pass, unless woken already."""
        with self._acting(threading.current_thread().name) as is_due:
            if is_due:
                self._act()
        if not wake.is_set():
            self.rest(seconds)

    async def sleep(self, wake: asyncio.Event, seconds: float) -> None:
        """Let the time pass, and others run."""
        await asyncio.sleep(0)
        if self.before_sleep is not None:
            await self.before_sleep()
        task = asyncio.current_task()
        with self._acting(task.get_name() if task else "") as is_due:
            if is_due:
                # In a thread, for the customer blocks; what it calls runs on this loop.
                with ThreadPoolExecutor(1) as thread:
                    await asyncio.get_running_loop().run_in_executor(thread, self._act)
        if not wake.is_set():
            self.rest(seconds)

    def rest(self, seconds: float) -> None:
        """Let so many seconds pass on the monotonic clock, and everything happen that is due meanwhile."""
        end = self.monotonic() + max(0.0, seconds)
        while self._due and self._due[0][0] - self.seconds() <= end - self.monotonic():
            due, _, action = heapq.heappop(self._due)
            self.advance(due - self.seconds())
            action()
        self.advance(end - self.monotonic())
