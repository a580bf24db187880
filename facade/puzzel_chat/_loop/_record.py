"""What a loop knows of its own work, and tells."""

from __future__ import annotations

from collections import deque

from attrs import define, field, frozen

LAST = 10_000
"""Polls that the rate and the lateness are taken from."""


@frozen(kw_only=True)
class LoopStats:
    """How a `PollingLoop` is doing. Lateness is in seconds: how long after its due time a poll was made.

    `polls_per_second` and the lateness are those of the last 10 000 polls. `under_way` polls have no reply yet, and
    `waiting` sessions are due and wait for their host's turn. `failing` sessions have polls that fail for
    now, `back_pressured` ones are not polled until their handler has caught up. `handlers_at_work` counts handlers,
    `slow_handlers` those that have been with one event for more than a second. `handler_errors` and `stopped` count
    from the beginning: exceptions of handlers, and conversations whose polling an error ended for good.
    """

    sessions: int
    conversations: int
    polls: int
    polls_per_second: float
    late_p50: float
    late_p99: float
    under_way: int
    waiting: int
    failing: int
    back_pressured: int
    handlers_at_work: int
    slow_handlers: int
    handler_errors: int
    stopped: int


@define
class Record:
    """Counts polls and how late they were."""

    polls: int = 0
    handler_errors: int = 0
    stopped: int = 0
    _made: deque[float] = field(factory=lambda: deque(maxlen=LAST), init=False)
    _late: deque[float] = field(factory=lambda: deque(maxlen=LAST), init=False)

    def poll(self, due: float, now: float) -> None:
        """Count a poll that is made now."""
        self.polls += 1
        self._made.append(now)
        self._late.append(now - due)

    def rate(self, now: float) -> float:
        """Give the polls per second."""
        return len(self._made) / (now - self._made[0]) if self._made and now > self._made[0] else 0.0

    def late(self, share: float) -> float:
        """Give the lateness that this share of the polls did not exceed, in seconds."""
        ordered = sorted(self._late)
        return ordered[min(len(ordered) - 1, int(share * len(ordered)))] if ordered else 0.0
