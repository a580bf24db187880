"""Queues with opening hours and staff, and the conversations that wait in them.

An allocation, the search for an agent, is a state machine (the states and their names are assumed):

Queued -> Offered -> Assigned
Offered -> Declined -> Queued       declined: back to the head of the queue, for another agent
Offered -> Queued                   unanswered
Assigned -> Queued                  transfer, or the agent left
Queued, Offered, Declined -> Cancelled (the customer left), Expired (too long), Refused (nobody takes it)
"""

from __future__ import annotations

from datetime import timedelta
from enum import StrEnum
from math import inf

from attrs import define, field

from ._scripts import SCRIPTS, Script
from ._sessions import Session
from ._values import Entry, Order, iso, moment

STAFF = ("Kari", "Ada", "Nils", "Ingrid", "Olav", "Solveig", "Per", "Astrid")


class Status(StrEnum):
    """The wire's AllocationStatus."""

    QUEUED = "Queued"
    """In the queue."""
    OFFERED = "Offered"
    """An agent is asked."""
    ASSIGNED = "Assigned"
    """An agent has the chat."""
    DECLINED = "Declined"
    """The agent declined; it goes back to the queue."""
    REFUSED = "Refused"
    """Nobody takes it."""
    CANCELLED = "Cancelled"
    """The customer left."""
    EXPIRED = "Expired"
    """It waited too long."""


_WITHOUT_AGENT = {Status.CANCELLED, Status.EXPIRED, Status.REFUSED}
SEARCHING = frozenset({Status.QUEUED, Status.OFFERED, Status.DECLINED})
TRANSITIONS: dict[Status, frozenset[Status]] = {
    Status.QUEUED: frozenset({Status.OFFERED} | _WITHOUT_AGENT),
    Status.OFFERED: frozenset({Status.ASSIGNED, Status.DECLINED, Status.QUEUED} | _WITHOUT_AGENT),
    Status.DECLINED: frozenset({Status.QUEUED} | _WITHOUT_AGENT),
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
            ValueError: there is no such transition, which is a bug of the simulator.

        """
        if to not in TRANSITIONS[self.status]:
            raise ValueError(f"{self.status} -> {to}")
        self.status, self.reason = to, reason

    @property
    def searching(self) -> bool:
        """Whether the search for an agent is still on."""
        return self.status in SEARCHING

    @property
    def failed(self) -> bool:
        """Whether the service gave up the search; the conversation may be routed again."""
        return self.status in (Status.REFUSED, Status.EXPIRED)


@define(eq=False)
class Agent:
    """One member of staff, with at most one offer at a time and several chats.

    One who is not `ready` gets no offers. A `person` follows no script.
    """

    id: str
    name: str
    person: bool = False
    ready: bool = True
    offer: Conversation | None = field(default=None, repr=False)
    chats: int = 0

    def wire(self) -> dict[str, object]:
        """Return the wire's Agent."""
        return {"id": self.id, "displayName": self.name}


@define(eq=False)
class Conversation:
    """One conversation: its agent, its allocation, its messages.

    `turn` goes up whenever it changes hands; a plan with an older number is stale.
    """

    id: str
    session: Session
    queue: Queue
    order: Order
    allocation: Allocation
    routed_at: float = 0.0
    ready_at: float = 0.0
    ended: bool = False
    ended_at: float = inf
    turn: int = 0
    stint: int = 0
    offers: int = 0
    heard: int = 0
    quiet: bool = False
    agent: Agent | None = None
    offered_to: Agent | None = None
    tried: list[Agent] = field(factory=list[Agent])
    last_said: str | None = None
    customer_typing: bool = False
    entries: list[Entry] = field(factory=list[Entry], repr=False)

    def start_again(self, queue: Queue, order: Order, allocation: Allocation) -> None:
        """Start a new search for an agent; the messages stay."""
        self.queue, self.order, self.allocation = queue, order, allocation
        self.offers, self.tried = 0, []


@define(eq=False)
class Queue:
    """A queue: its hours, its staff, and its line, in which None is a simulated customer.

    `is_open` is None when the hours are unknown. Conversations are routed by `key`; opening hours go by `visual_id`, a
    number as text.
    """

    key: str
    visual_id: str
    name: str
    staff: list[Agent] = field(factory=list[Agent], repr=False)
    is_open: bool | None = True
    opens_at: float | None = None
    closes_at: float | None = None
    mornings: bool = False
    waiting: int = 0
    capacity: int = 100
    chats_per_agent: int | None = None
    script: Script | None = None
    line: list[Conversation | None] = field(factory=list["Conversation | None"], repr=False)
    arranged: bool = False

    @property
    def time_id(self) -> str:
        """The id of the queue's time module."""
        return f"{self.key}-hours"

    @property
    def size(self) -> int:
        """How many requests wait in all."""
        return len(self.line) + self.waiting

    def open_now(self, now: float) -> bool | None:
        """Return whether the queue is open, None when unknown."""
        if self.is_open and self.closes_at is not None and now >= self.closes_at:
            return False
        if self.is_open is False and self.opens_at is not None and now >= self.opens_at:
            return True
        return self.is_open

    def opens_next(self, now: float) -> float | None:
        """Return when a closed queue opens, in seconds since the epoch."""
        if self.open_now(now) is not False:
            return None
        return next_morning(now) if self.mornings else self.opens_at

    def closes_next(self, now: float) -> float | None:
        """Return when an open queue closes, in seconds since the epoch."""
        return self.closes_at if self.open_now(now) else None

    def position(self, conversation: Conversation) -> int | None:
        """Return the place in the line, from 1, or None when not in it."""
        return self.line.index(conversation) + 1 if conversation in self.line else None

    def can_take(self, agent: Agent) -> bool:
        """Whether an agent may get an offer: is ready, has none open, and has room for one more chat."""
        room = self.chats_per_agent is None or agent.chats < self.chats_per_agent
        return agent.ready and agent.offer is None and room

    def info(self, now: float, pace: float) -> dict[str, object]:
        """Return the wire's QueueInfo."""
        return {
            "id": self.visual_id,
            "name": self.name,
            "isOpen": self.open_now(now),
            "opensAt": iso(self.opens_next(now)),
            "closesAt": iso(self.closes_next(now)),
            "queueSize": self.size,
            "agentsReady": sum(self.can_take(agent) for agent in self.staff),
            "waitTimeAverageSeconds": round(self.size * pace),
            "timeId": self.time_id,
        }

    def hours(self, now: float) -> dict[str, object]:
        """Return the wire's TimeInfo."""
        is_open = self.open_now(now)
        change = self.closes_next(now) if is_open else self.opens_next(now)
        name = {True: "Open", False: "Closed", None: None}[is_open]
        return {"id": self.time_id, "exitName": name, "isOpen": is_open, "nextChange": iso(change)}


def next_morning(now: float) -> float:
    """Return the next 08:00 UTC."""
    eight = moment(now).replace(hour=8, minute=0, second=0, microsecond=0)
    return (eight if eight.timestamp() > now else eight + timedelta(days=1)).timestamp()


def _staff(queue_key: str, number: int) -> list[Agent]:
    """Return that many agents; from the ninth on, names get a number."""
    rounds = [divmod(index, len(STAFF)) for index in range(number)]
    names = [STAFF[place] + (f" {lap + 1}" if lap else "") for lap, place in rounds]
    return [Agent(f"{queue_key}-{name.lower().replace(' ', '-')}", name) for name in names]


def default_queues(agents: int, capacity: int, waiting: int, chats_per_agent: int | None) -> dict[str, Queue]:
    """Return the queues of every sandbox: one to use, and one for each way to get no agent."""
    queues = (
        Queue("support", "27501", "Support", _staff("support", agents), waiting=waiting),
        Queue("closed", "27502", "Closed", _staff("closed", agents), is_open=False, mornings=True),
        Queue("full", "27503", "Full", _staff("full", agents), waiting=capacity),
        Queue("nobody", "27504", "Nobody at work"),
        Queue("unknown-hours", "27505", "Hours not known", _staff("unknown-hours", agents), is_open=None),
        Queue("silent", "27506", "Nobody answers", _staff("silent", agents), script=SCRIPTS["silent"]),
    )
    for queue in queues:
        queue.capacity, queue.chats_per_agent = capacity, chats_per_agent
    return {queue.key: queue for queue in queues}
