"""A clock for the simulator that waits for its watcher."""

from __future__ import annotations

import threading
import time


class PatientClock:
    """Goes as real time goes, but never more than `most` seconds past the last `look`.

    So a watcher on a slow machine misses no state of the simulation. After `release` it goes freely.
    """

    def __init__(self, most: float) -> None:
        self._most = most
        self._left = most
        self._now = time.time()
        self._last = time.monotonic()
        self._lock = threading.Lock()

    def __call__(self) -> float:
        """Give the seconds since the epoch."""
        with self._lock:
            return self._advance()

    def look(self) -> None:
        """Let the time go on, for at most `most` seconds from here."""
        with self._lock:
            self._advance()
            self._left = max(self._left, self._most)

    def release(self) -> None:
        """Let the time go freely from now on."""
        with self._lock:
            self._advance()
            self._left = float("inf")

    def _advance(self) -> float:
        real = time.monotonic()
        step = min(real - self._last, self._left)
        self._last = real
        self._left -= step
        self._now += step
        return self._now
