"""Pure: when a session is polled."""

from __future__ import annotations

import math

from attrs import define, field

from puzzel_chat._errors import PuzzelChatError
from puzzel_chat._retry import Uniform, backoff, ends_a_loop, is_undecodable, retry_after

ALMOST = 1e-3
"""Tolerance when comparing due times, as a share of the period."""

GRID = 0.02
"""Longest step of the grid in seconds; polls in bunches wake the event loop less often."""
SOON = 0.25
"""Share of a period within which a session that another polled before is polled first."""
BUNCH = 20
"""Most polls at one point of the grid. In a larger bunch Python's garbage collector runs halfway and counts the
requests under way as old objects; full collections follow, of 0.17 s each at 5000 sessions (measured)."""


@define
class Pace:
    """When a session's next poll is due. Times are monotonic seconds; `period` is the time between polls.

    With a `grid`, polls are due only at multiples of it, so that the polls of many sessions come in bunches.
    """

    period: float
    failures: int = 0
    failing_since: float | None = None
    grid: float = 0.0
    _undecodable: int = field(default=0, init=False)
    _next: float | None = field(default=None, init=False)
    _place: float | None = field(default=None, init=False)

    def delay(self, now: float, uniform: Uniform) -> float:
        """Return the seconds until the next poll; the first is at a random point of the period."""
        if self._next is None:
            self._next = now + uniform(0.0, self.period)
        return max(0.0, self._next - now)

    def late(self, now: float) -> float:
        """Return for how many seconds the next poll has been due."""
        return 0.0 if self._next is None else max(0.0, now - self._next)

    def take_place(self, now: float, share: float, rate: float, *, soon: bool = False) -> None:
        """Plan the next poll at `share` (0 to 1) of the coming period, on a grid that divides it.

        `rate` is the polls per second of all sessions; a higher one halves the grid, so that its old points remain.
        A pause after a failure is kept. `soon` makes one poll more before that, within a quarter of the period: another
        has polled until now, and nobody knows when it stopped.
        """
        halved = max(0, math.ceil(math.log2(max(1.0, rate * GRID / BUNCH))))
        self.grid = self.period / (math.ceil(self.period / GRID) << halved)
        due = now + share * self.period
        if self.failures and self._next is not None:
            due = max(due, self._next)
        self._next = self._on_grid(due)
        if soon and not self.failures:
            self._next, self._place = now + share * self.period * SOON, self._next

    def _on_grid(self, due: float) -> float:
        return math.ceil(due / self.grid) * self.grid if self.grid else due

    def hold(self, until: float) -> None:
        """Make no poll before that time, which the service asked for in another call."""
        self._next = max(until, until if self._next is None else self._next)

    def succeeded(self, now: float) -> float | None:
        """Plan the next poll; return the seconds for which polls failed before this one, None if they did not."""
        failed_for = None if self.failing_since is None else now - self.failing_since
        self.failures, self.failing_since, self._undecodable = 0, None, 0
        due = now if self._next is None else self._next
        place, self._place = self._place, None
        if place is not None and place > now:
            self._next = place
            return failed_for
        # A point that is almost now, perhaps by rounding, counts as missed: no two polls without a pause.
        missed = max(0.0, math.floor((now - due) / self.period + ALMOST))
        self._next = due + (missed + 1) * self.period
        return failed_for

    def failed(self, error: PuzzelChatError, now: float, uniform: Uniform) -> bool:
        """Plan the next poll after a failed one, and return whether it is the first failure in a row.

        Raises the error when another poll cannot help.
        """
        self._undecodable += is_undecodable(error)
        if ends_a_loop(error, self._undecodable):
            raise error
        self.failures += 1
        first = self.failing_since is None
        self.failing_since = now if self.failing_since is None else self.failing_since
        asked = retry_after(error)
        self._next = self._on_grid(now + (asked or backoff(self.failures, uniform)))
        return first
