"""Pure: how many polls one host gets at once and per second, from all sessions that a loop polls there.

    in flight   what the steady rate needs at the host's usual latency, and some for chance: polls behind a stall
                wait here, not in a connection each
    per second  no more than 1.25 times the steady rate, so that arrears are worked off without a herd;
                less and less while most polls fail, and more again when they succeed
    not at all  until a `Retry-After` is over, which is shared by all sessions on the host (RFC 9110 section 10.2.3)

All times are monotonic seconds.
"""

from __future__ import annotations

from collections import deque
from math import ceil, inf, sqrt
from statistics import median

from attrs import define, field

from puzzel_chat._errors import ApiError, PuzzelChatError, RateLimited, ServerError, TransportError
from puzzel_chat._retry import retry_after

HEADROOM = 1.25
"""Times the steady rate that is made per second when there are arrears."""
CHANCE = 2.0
"""Standard deviations above the mean of a Poisson process; more in flight is seldom needed."""
BURST = 0.02
"""Seconds' worth of the rate that may be used at once: polls come in bunches, one per point of the grid."""
WINDOW = 1.0
"""Seconds of polls that are judged together."""
SLOWER, FASTER = 16.0, 4.0
"""Divisor of the rate after a window of failures, factor after one of successes."""
LEAST = 0.03
"""Share of the rate kept while everything fails: enough to notice soon that the host is back."""
USUAL = 0.1
"""Seconds of latency assumed until the host has shown its own."""
REMEMBERED = 10
"""Windows whose latency is remembered; their median is the usual latency, so that a stall does not count."""
FEW = 10
"""Polls that are always allowed in flight and at once: a few sessions may be due in the same moment."""
REFRESHES_WITHIN = 20.0
"""Seconds over which refreshes that can wait are spread."""


@define
class Allowance:
    """A token bucket: `rate` things per second, up to `burst` at once."""

    left: float = 1.0
    _at: float = -inf

    def pause(self, now: float, rate: float, burst: float) -> float:
        """Return the seconds until one more is allowed."""
        gained = min(burst, max(0.0, now - self._at) * rate)
        self.left, self._at = min(burst, self.left + gained), now
        # After rounding, the remainder can be too small for any time to pass.
        return 0.0 if self.left > 1.0 - 1e-6 else (1.0 - self.left) / rate

    def use(self) -> None:
        """Count one."""
        self.left -= 1.0


@define
class Host:
    """One host; `most` bounds the polls in flight, `steady` is how many are due per second while all go well."""

    most: int
    steady: float = 0.0
    sessions: int = 0
    under_way: int = 0
    shut_until: float = -inf
    health: float = 1.0
    _polls: Allowance = field(factory=Allowance, init=False)
    _refreshes: Allowance = field(factory=Allowance, init=False)
    _latencies: deque[float] = field(factory=lambda: deque(maxlen=REMEMBERED), init=False)
    _usual: float = field(default=USUAL, init=False)
    _window_began: float = field(default=-inf, init=False)
    _answered: int = field(default=0, init=False)
    _failed: int = field(default=0, init=False)
    _took: float = field(default=0.0, init=False)

    def joined(self, period: float) -> None:
        """Count a session that is polled once per `period` seconds."""
        self.sessions += 1
        self.steady += 1.0 / period

    def left(self, period: float) -> None:
        """Count a session no more."""
        self.sessions -= 1
        self.steady = max(0.0, self.steady - 1.0 / period)

    @property
    def places(self) -> int:
        """How many polls may be in flight at once."""
        need = self.steady * self._usual
        return min(self.most, max(FEW, ceil(need + CHANCE * sqrt(need))))

    @property
    def rate(self) -> float:
        """How many polls may be made per second."""
        return max(1.0, HEADROOM * self.steady * self.health)

    def pause(self, now: float) -> float:
        """Return the seconds until the next poll may be made; infinite until one in flight has ended."""
        if now < self.shut_until:
            return self.shut_until - now
        if self.under_way >= self.places:
            return inf
        return self._polls.pause(now, self.rate, max(FEW, BURST * self.rate))

    def began(self) -> None:
        """Count a poll that begins now."""
        self._polls.use()
        self.under_way += 1

    def ended(self, now: float, took: float | None, error: PuzzelChatError | None) -> None:
        """Learn from a poll that took `took` seconds, None when it was not made after all.

        An error that concerns only this session says nothing about the host.
        """
        self.under_way -= 1
        if now - self._window_began >= WINDOW:
            self._judge(now)
        self.told(now, error)
        if error is None and took is not None:
            self._answered += 1
            self._took += took
        elif error is not None and _is_the_hosts(error):
            self._failed += 1
        # After many failures at once, slow down before the window ends.
        if not self._answered and self._failed > max(FEW, self.places / 10):
            self._judge(now)

    def told(self, now: float, error: BaseException | None) -> None:
        """Learn from any request's error when to come back."""
        if asked := retry_after(error):
            self.shut_until, self.health = max(self.shut_until, now + asked), LEAST

    def may_refresh(self, now: float) -> bool:
        """Return whether one more session may refresh its token now, and count it; for a refresh that could wait."""
        if now < self.shut_until:
            return False
        rate = max(1.0, self.sessions / REFRESHES_WITHIN)
        if self._refreshes.pause(now, rate, max(1.0, rate)) > 0.0:
            return False
        self._refreshes.use()
        return True

    def _judge(self, now: float) -> None:
        if self._failed > self._answered:
            self.health = max(LEAST, self.health / SLOWER)
        elif self._answered:
            self.health = min(1.0, self.health * FASTER)
        if self._answered:
            self._latencies.append(self._took / self._answered)
            self._usual = median(self._latencies)
        self._window_began, self._answered, self._failed, self._took = now, 0, 0, 0.0


def _is_the_hosts(error: PuzzelChatError) -> bool:
    if isinstance(error, ApiError) and error.status == 408:
        return True
    return isinstance(error, TransportError | ServerError | RateLimited)
