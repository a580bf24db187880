"""The search for an agent as a state machine (the states and their names are assumed).

Queued -> Offered -> Assigned
Offered -> Declined -> Queued       declined: back to the head of the queue, for another agent
Offered -> Queued                   unanswered
Assigned -> Queued                  transfer, or the agent left
Queued, Offered, Declined -> Cancelled (the customer left), Expired (too long), Refused (nobody takes it)
"""

from __future__ import annotations

from enum import StrEnum

from attrs import define


class Status(StrEnum):
    """The wire's AllocationStatus."""

    QUEUED = "Queued"
    OFFERED = "Offered"
    ASSIGNED = "Assigned"
    DECLINED = "Declined"
    REFUSED = "Refused"
    CANCELLED = "Cancelled"
    EXPIRED = "Expired"


_LOST = {Status.CANCELLED, Status.EXPIRED, Status.REFUSED}
SEARCHING = frozenset({Status.QUEUED, Status.OFFERED, Status.DECLINED})
TRANSITIONS: dict[Status, frozenset[Status]] = {
    Status.QUEUED: frozenset({Status.OFFERED} | _LOST),
    Status.OFFERED: frozenset({Status.ASSIGNED, Status.DECLINED, Status.QUEUED} | _LOST),
    Status.DECLINED: frozenset({Status.QUEUED} | _LOST),
    Status.ASSIGNED: frozenset({Status.QUEUED}),
    Status.REFUSED: frozenset(),
    Status.CANCELLED: frozenset(),
    Status.EXPIRED: frozenset(),
}


@define(eq=False)
class Allocation:
    """One request for an agent."""

    request_id: str
    status: Status = Status.QUEUED
    reason: str | None = None

    def move(self, to: Status, reason: str | None = None) -> None:
        """Go to another state.

        Raises:
            ValueError: the table has no such transition; a bug of the simulator, never of a caller.

        """
        if to not in TRANSITIONS[self.status]:
            raise ValueError(f"{self.status} -> {to}")
        self.status, self.reason = to, reason

    @property
    def searching(self) -> bool:
        """Whether an agent is still being looked for."""
        return self.status in SEARCHING

    @property
    def failed(self) -> bool:
        """Whether the service gave the search up: the conversation may be routed again."""
        return self.status in (Status.REFUSED, Status.EXPIRED)
