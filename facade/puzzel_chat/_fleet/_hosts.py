"""Pure: how many polls one host is asked for at once and per second, by all sessions that a loop polls there.

    under way   no more than the steady rate needs at the host's usual latency, and what chance adds to that: what
                waits behind a stall waits here, not in a connection each
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
"""Standard deviations above the mean of a Poisson process; more under way at once is seldom needed."""
BURST = 0.02
"""Seconds of the rate that may be used in one go: polls come in bunches, one for each point of the grid."""
WINDOW = 1.0
"""Seconds after which the last polls are judged together."""
SLOWER, FASTER = 16.0, 4.0
"""What the rate is divided by after a window of failures, and multiplied with after one of successes."""
LEAST = 0.03
"""Share of the rate that is left while everything fails: enough to see soon that the host is back."""
USUAL = 0.1
"""Seconds of latency that are taken for granted until the host has shown its own."""
REMEMBERED = 10
"""Windows whose latency is remembered: the usual one is their median, so that a stall does not count."""
FEW = 10
"""Polls under way, and in one go, that are always allowed: few sessions may well be due within the same moment."""
REFRESHES_WITHIN = 20.0
"""Seconds over which the refreshes of all sessions are spread, when they could all wait as long."""


@define
class Allowance:
    """So many things per second, and some of them in one go."""

    left: float = 1.0
    _at: float = -inf

    def pause(self, now: float, rate: float, burst: float) -> float:
        """Give the seconds until one more is allowed."""
        gained = min(burst, max(0.0, now - self._at) * rate)
        self.left, self._at = min(burst, self.left + gained), now
        # By rounding, what is missing can be too little for any time to pass.
        return 0.0 if self.left > 1.0 - 1e-6 else (1.0 - self.left) / rate

    def use(self) -> None:
        """Count one that was done."""
        self.left -= 1.0


@define
class Host:
    """One host. `most` bounds the polls under way; `steady` is how many are due per second while all go well."""

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
        """Count a session that is polled once in so many seconds."""
        self.sessions += 1
        self.steady += 1.0 / period

    def left(self, period: float) -> None:
        """Count a session no more."""
        self.sessions -= 1
        self.steady = max(0.0, self.steady - 1.0 / period)

    @property
    def places(self) -> int:
        """Give how many polls may be under way at once."""
        need = self.steady * self._usual
        return min(self.most, max(FEW, ceil(need + CHANCE * sqrt(need))))

    @property
    def rate(self) -> float:
        """Give how many polls may be made per second."""
        return max(1.0, HEADROOM * self.steady * self.health)

    def pause(self, now: float) -> float:
        """Give the seconds until the next poll may be made; infinite until one that is under way has ended."""
        if now < self.shut_until:
            return self.shut_until - now
        if self.under_way >= self.places:
            return inf
        return self._polls.pause(now, self.rate, max(FEW, BURST * self.rate))

    def began(self) -> None:
        """Count a poll that is made now."""
        self._polls.use()
        self.under_way += 1

    def ended(self, now: float, took: float | None, error: PuzzelChatError | None) -> None:
        """Learn from a poll that took so many seconds, None when it turned out that there was nothing to ask.

        What only this session meets says nothing about the host.
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
        # What comes after many failures at once must not wait for the window's end.
        if not self._answered and self._failed > max(FEW, self.places / 10):
            self._judge(now)

    def told(self, now: float, error: BaseException | None) -> None:
        """Learn from the error of a request of any kind when to come back."""
        if asked := retry_after(error):
            self.shut_until, self.health = max(self.shut_until, now + asked), LEAST

    def may_refresh(self, now: float) -> bool:
        """Tell whether one more session may refresh its token now, though it could wait; counts it when so."""
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
