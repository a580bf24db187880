"""Pure: when a session is polled."""

from __future__ import annotations

import math

from attrs import define, field

from puzzel_chat._errors import ContractError, PuzzelChatError
from puzzel_chat._retry import Uniform, backoff, ends_a_loop, retry_after

ALMOST = 1e-3
"""Share of a period that is no pause."""

GRID = 0.02
"""Seconds between two points of the grid at most: polls that come in bunches wake the event loop less often."""
BUNCH = 20
"""Polls at one point at most. Larger bunches make Python collect garbage in the midst of each: all that is under way
then counts as old, and soon everything is looked through, for 0.17 s at 5000 sessions (measured)."""


@define
class Pace:
    """When a session's next poll is due. Times are monotonic seconds, `period` is the time between polls.

    With a `grid`, polls are due at multiples of so many seconds only, so that those of many sessions come in bunches.
    """

    period: float
    failures: int = 0
    failing_since: float | None = None
    grid: float = 0.0
    _undecodable: int = field(default=0, init=False)
    _next: float | None = field(default=None, init=False)

    def delay(self, now: float, uniform: Uniform) -> float:
        """Give the seconds until the next poll; the first is at a random point of the period."""
        if self._next is None:
            self._next = now + uniform(0.0, self.period)
        return max(0.0, self._next - now)

    def take_place(self, now: float, share: float, rate: float) -> None:
        """Plan the next poll at that share of the coming period, on a grid that divides it; a failure's pause is kept.

        With a higher rate (the polls per second of all sessions) come points between those that were there before.
        """
        halved = max(0, math.ceil(math.log2(max(1.0, rate * GRID / BUNCH))))
        self.grid = self.period / (math.ceil(self.period / GRID) << halved)
        due = now + share * self.period
        if self.failures and self._next is not None:
            due = max(due, self._next)
        self._next = self._on_grid(due)

    def _on_grid(self, due: float) -> float:
        return math.ceil(due / self.grid) * self.grid if self.grid else due

    def succeeded(self, now: float) -> float | None:
        """Plan the next poll on the grid; gives for how long polls had failed, when this one ended it."""
        failed_for = None if self.failing_since is None else now - self.failing_since
        self.failures, self.failing_since, self._undecodable = 0, None, 0
        due = now if self._next is None else self._next
        # A grid point that is almost now, maybe by rounding, is missed too: two polls never come without a pause.
        missed = max(0.0, math.floor((now - due) / self.period + ALMOST))
        self._next = due + (missed + 1) * self.period
        return failed_for

    def failed(self, error: PuzzelChatError, now: float, uniform: Uniform) -> bool:
        """Plan the next poll after a failed one; raises the error when going on is no use.

        Tells whether this is the first failure of a row.
        """
        self._undecodable += isinstance(error, ContractError)
        if ends_a_loop(error, self._undecodable):
            raise error
        self.failures += 1
        first = self.failing_since is None
        self.failing_since = now if self.failing_since is None else self.failing_since
        asked = retry_after(error)
        self._next = self._on_grid(now + (asked or backoff(self.failures, uniform)))
        return first
