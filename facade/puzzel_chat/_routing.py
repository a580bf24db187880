"""Pure: the wait for an agent. Snapshots of the allocation go in; "go on", "done" or an error comes out.

    QUEUED ◄──► OFFERED ──► ASSIGNED      done
       ▲           │
       └─ DECLINED ┘                      the chat is offered to another agent
    REFUSED, CANCELLED, EXPIRED           an error

The service sets no limit to the wait, so the caller does.
"""

from __future__ import annotations

from itertools import chain, repeat

from attrs import define, field

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
from puzzel_chat._retry import Uniform, ends_a_loop, is_undecodable, retry_after

DELAYS = (0.0, 1.0, 1.0, 2.0, 3.0, 5.0)
"""Seconds before each look at the allocation; the last value repeats."""

# The stages that end a search without an agent, each with its error message.
ENDINGS = {
    AllocationStage.REFUSED: "The contact centre refused to find an agent",
    AllocationStage.CANCELLED: "The request for an agent was cancelled",
    AllocationStage.EXPIRED: "The request for an agent expired at the contact centre",
}


def refusal(reason: str | None, sentence: str) -> PuzzelChatError:
    """Return the error for a refusal; `reason` is the service's code for it."""
    if reason == "QueueClosed":
        return QueueClosed("The queue is closed. Ask queue_info() when it opens.")
    if reason == "QueueFull":
        return QueueFull(QUEUE_FULL)
    told = f": {printable(reason[:200])}" if reason else ""
    return RoutingRefused(f"{sentence}{told}. Offer the customer another way to reach you.", reason=reason)


def checked_seconds(argument: str, seconds: object) -> float:
    """Return a time in seconds; raise `InvalidArgument` for a negative or endless one."""
    if isinstance(seconds, bool) or not isinstance(seconds, int | float) or not 0 <= seconds < float("inf"):
        raise InvalidArgument(argument, f"must be a finite number of seconds, 0 or more, not {seconds!r}")
    return float(seconds)


def must_leave(error: BaseException) -> bool:
    """Return whether the chat may still be in the queue after this error, and must leave it.

    A caller that only stops listening (GeneratorExit) keeps its place; after a refusal there is no queue to leave.
    """
    if isinstance(error, AgentWaitTimeout):
        return True
    return not isinstance(error, GeneratorExit | RoutingError)


def _seen(allocation: Allocation) -> tuple[object, ...]:
    """Return the fields of a snapshot that count as a change; times and raw replies do not."""
    agent = allocation.agent.id if allocation.agent else None
    return allocation.stage, allocation.queue_position, allocation.estimated_wait, agent


@define
class AgentWait:
    """One wait for an agent: when to look next, what changed, and how it ends.

    `wait` limits all of it, in seconds; `began` is a monotonic time.
    """

    began: float
    wait: float
    last: Allocation | None = None
    failure: PuzzelChatError | None = None
    _undecodable: int = field(default=0, init=False)
    _asked: float | None = field(default=None, init=False)
    _delays: chain[float] = field(init=False, factory=lambda: chain(DELAYS, repeat(DELAYS[-1])))

    def delay(self, now: float, uniform: Uniform) -> float:
        """Return the seconds until the next look; raise `AgentWaitTimeout` when the time is up."""
        left = self.began + self.wait - now
        pause = next(self._delays) * uniform(0.9, 1.1) if self._asked is None else self._asked
        self._asked = None
        # A wait of 0 still looks once.
        if left <= 0 and self.last is not None:
            raise self.over()
        return max(0.0, min(pause, left))

    def over(self) -> AgentWaitTimeout:
        """Return the error for a wait that took too long."""
        where = f"; last seen {self.last.stage.value}" if self.last else ""
        position = f" at position {self.last.queue_position}" if self.last and self.last.queue_position else ""
        failing = f" The last status request failed: {self.failure}" if self.failure else ""
        return AgentWaitTimeout(
            f"No agent within {self.wait:g} seconds{where}{position}.{failing} The chat has left the queue;"
            " wait longer, or offer the customer another way.",
            last=self.last,
        )

    def observe(self, allocation: Allocation) -> bool:
        """Record a snapshot and return whether anything changed; raise when the search ended without an agent."""
        before, self.last = self.last, allocation
        self._undecodable, self.failure = 0, None
        if allocation.stage in ENDINGS:
            raise refusal(allocation.reason, ENDINGS[allocation.stage])
        return before is None or _seen(before) != _seen(allocation)

    @property
    def done(self) -> bool:
        """Whether an agent has the chat."""
        return self.last is not None and self.last.stage is AllocationStage.ASSIGNED

    def failed(self, error: PuzzelChatError, now: float) -> None:
        """Record a failed look; raise it if another look cannot help, or `AgentWaitTimeout` when the time is up."""
        self._undecodable += is_undecodable(error)
        if ends_a_loop(error, self._undecodable):
            raise error
        self.failure = error
        if now >= self.began + self.wait:
            raise self.over() from error
        self._asked = retry_after(error) or None


def check_hours(info: QueueInfo) -> None:
    """Raise `QueueClosed` when the queue is closed; unknown hours do not stop a chat."""
    if info.is_open is False:
        told = f" It opens at {info.opens_at.isoformat()}." if info.opens_at else " Start the chat in opening hours."
        raise QueueClosed(f"The queue {info.id} is closed.{told}", opens_at=info.opens_at)


def unknown_hours(error: PuzzelChatError) -> bool:
    """Return whether a chat may start after this failure, with unknown opening hours."""
    return error.retryable or isinstance(error, ContractError)
