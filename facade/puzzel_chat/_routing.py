"""Pure: the wait for an agent. An allocation snapshot goes in; go on, done or an error comes out.

    QUEUED ◄──► OFFERED ──► ASSIGNED      done
       ▲           │
       └─ DECLINED ┘                      asked again: another agent is offered the chat
    REFUSED, CANCELLED, EXPIRED           an error

The service has no maximum waiting time (related), so the wait bounds itself.
"""

from __future__ import annotations

from itertools import chain, repeat

from attrs import define, field, frozen

from puzzel_chat._errors import (
    QUEUE_FULL,
    AgentWaitTimeout,
    ContractError,
    InvalidArgument,
    PuzzelChatError,
    QueueClosed,
    QueueFull,
    RoutingError,
    RoutingRefused,
)
from puzzel_chat._html import printable
from puzzel_chat._models import Allocation, AllocationStage, QueueInfo
from puzzel_chat._retry import Uniform, ends_a_loop, retry_after

DELAYS = (0.0, 1.0, 1.0, 2.0, 3.0, 5.0)
"""Seconds before each look at the allocation; the last one repeats."""

# Terminal stages that are not success, each with the sentence its error prints.
ENDINGS = {
    AllocationStage.REFUSED: "The contact centre refused to find an agent",
    AllocationStage.CANCELLED: "The request for an agent was cancelled",
    AllocationStage.EXPIRED: "The request for an agent expired at the contact centre",
}


def refusal(reason: str | None, sentence: str) -> PuzzelChatError:
    """Give the error for a refusal, by the service's own word for it (assumed words)."""
    if reason == "QueueClosed":
        return QueueClosed("The queue is closed. Ask queue_info() when it opens.")
    if reason == "QueueFull":
        return QueueFull(QUEUE_FULL)
    told = f": {printable(reason[:200])}" if reason else ""
    return RoutingRefused(f"{sentence}{told}. Offer the customer another way to reach you.", reason=reason)


def checked_timeout(timeout: object, argument: str = "timeout") -> float:
    """Give a wait in seconds that ends; the service itself has no maximum (related)."""
    if isinstance(timeout, bool) or not isinstance(timeout, int | float) or not 0 <= timeout < float("inf"):
        raise InvalidArgument(argument, f"must be a number of seconds from 0 up, not {timeout!r}")
    return float(timeout)


def must_leave(error: BaseException) -> bool:
    """Tell whether the request for an agent may still stand at the service after this error.

    A caller that merely stops listening (GeneratorExit) keeps its place; after a refusal there is nothing to leave.
    """
    if isinstance(error, AgentWaitTimeout):
        return True
    return not isinstance(error, GeneratorExit | RoutingError)


@frozen
class Seen:
    """What a change is judged by; times and raw replies are left out."""

    stage: AllocationStage
    position: int | None
    wait: float | None
    agent: str | None

    @classmethod
    def of(cls, allocation: Allocation) -> Seen:
        """Take from a snapshot what matters."""
        agent = allocation.agent.id if allocation.agent else None
        return cls(allocation.stage, allocation.queue_position, allocation.estimated_wait, agent)


@define
class AgentWait:
    """One wait for an agent: when to look next, what changed, and how it ends.

    `timeout` in seconds bounds the whole wait, `began` is a monotonic time.
    """

    began: float
    timeout: float
    last: Allocation | None = None
    failure: PuzzelChatError | None = None
    _undecodable: int = field(default=0, init=False)
    _asked: float | None = field(default=None, init=False)
    _delays: chain[float] = field(init=False, factory=lambda: chain(DELAYS, repeat(DELAYS[-1])))

    def delay(self, now: float, uniform: Uniform) -> float:
        """Give the seconds until the next look; raises `AgentWaitTimeout` when the time is over."""
        left = self.began + self.timeout - now
        pause = next(self._delays) * uniform(0.9, 1.1) if self._asked is None else self._asked
        self._asked = None
        if left <= 0 and self.last is not None:
            raise self.over()
        return max(0.0, min(pause, left))

    def over(self) -> AgentWaitTimeout:
        """Give the error for a wait that took too long."""
        where = f"; last seen {self.last.stage.value}" if self.last else ""
        position = f" at position {self.last.queue_position}" if self.last and self.last.queue_position else ""
        failing = f" The service could not be asked lately: {self.failure}" if self.failure else ""
        return AgentWaitTimeout(
            f"No agent within {self.timeout:g} seconds{where}{position}.{failing} The queue was left;"
            " wait longer, or offer the customer another way.",
            last=self.last,
        )

    def observe(self, allocation: Allocation) -> bool:
        """Take a snapshot and tell whether anything changed; raises when the search has ended without an agent."""
        before, self.last = self.last, allocation
        self._undecodable, self.failure = 0, None
        if allocation.stage in ENDINGS:
            raise refusal(allocation.reason, ENDINGS[allocation.stage])
        return before is None or Seen.of(before) != Seen.of(allocation)

    @property
    def done(self) -> bool:
        """Tell whether an agent has the chat."""
        return self.last is not None and self.last.stage is AllocationStage.ASSIGNED

    def failed(self, error: PuzzelChatError, now: float) -> None:
        """Take a failed look; raises it when looking again is no use, or the timeout when the time is over."""
        self._undecodable += isinstance(error, ContractError)
        if ends_a_loop(error, self._undecodable):
            raise error
        self.failure = error
        if now >= self.began + self.timeout:
            raise self.over() from error
        self._asked = retry_after(error) or None


def check_hours(info: QueueInfo) -> None:
    """Raise `QueueClosed` when the queue says that it is closed; not knowing does not stop a chat."""
    if info.is_open is False:
        told = f" It opens {info.opens_at.isoformat()}." if info.opens_at else " Start the chat within opening hours."
        raise QueueClosed(f"The queue {info.id} is closed.{told}", opens_at=info.opens_at)


def unknown_hours(error: PuzzelChatError) -> bool:
    """Tell whether this failure leaves the opening hours unknown; asking for them is optional (documented)."""
    return error.retryable or isinstance(error, ContractError)
