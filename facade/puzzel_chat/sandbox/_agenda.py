"""What is to take place later, run lazily and in order: the simulator has no ticker."""

from __future__ import annotations

import heapq
from collections.abc import Callable
from itertools import count

Action = Callable[[float], None]


class Agenda:
    """A heap of actions by due time; equal times run in the order they were written down."""

    def __init__(self) -> None:
        self._heap: list[tuple[float, int, Action]] = []
        self._order = count()
        self.now = 0.0

    def at(self, due: float, action: Action) -> None:
        """Write down an action, which is called with its own due time."""
        heapq.heappush(self._heap, (due, next(self._order), action))

    def run(self, now: float) -> float:
        """Run everything due by `now` and return the time it is: a clock that goes back is not followed."""
        while self._heap and self._heap[0][0] <= now:
            due, _, action = heapq.heappop(self._heap)
            self.now = max(self.now, due)
            action(self.now)
        self.now = max(self.now, now)
        return self.now

    def __len__(self) -> int:
        return len(self._heap)
