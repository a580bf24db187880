"""What the contact centre looks like now: values for a page, a terminal or a test."""

from __future__ import annotations

from datetime import datetime

from attrs import field, frozen

from ._faults import Fault
from ._queues import SEARCHING, Conversation, Queue, Status
from ._scripts import Script
from ._values import AfterEnd, Json, Order, Semantics, moment


@frozen
class Exchange:
    """One request, and how it was answered."""

    at: datetime
    """When it came."""
    operation: str
    """The operationId."""
    token: str
    """The last characters of its access token, to tell two tokens apart; empty without one."""
    status: int | None
    """The HTTP status of the reply; None where a fault left no reply."""
    seconds: float
    """How long the answer took, in seconds of real time."""
    faults: tuple[str, ...] = ()
    """The kinds of the faults that struck it."""
    delivered: tuple[Json, ...] = field(default=(), repr=False)
    """The items of a poll's reply that went out readable."""
    harmed: tuple[Json, ...] = field(default=(), repr=False)
    """The items of a poll's reply that a fault kept from the client, or spoilt."""


@frozen
class Chat:
    """A conversation as the contact centre sees it."""

    id: str
    """The conversation id."""
    order: Order
    """What came with it."""
    queue_key: str
    """Its queue; a transfer changes it."""
    status: Status
    """Where the search for an agent stands."""
    routed_at: datetime
    """When the customer asked for an agent."""
    position: int | None
    """The place in the queue, from 1."""
    offered_to: str | None
    """The id of the agent who is asked."""
    agent: str | None
    """The id of the agent in the chat."""
    agent_name: str | None
    """The name of that agent."""
    customer_typing: bool
    """Whether the customer is typing, as last reported; a message ends it."""
    ended: bool
    """Whether it is over."""
    entries: int
    """How many entries the ledger has of it."""
    offers: int
    """How often it was offered to an agent since the customer asked."""

    @property
    def waiting(self) -> bool:
        """Whether the customer waits for an agent."""
        return self.status in SEARCHING and not self.ended


@frozen
class QueueState:
    """A queue: its hours, its load, its staff."""

    key: str
    """The key that a chat is routed by."""
    visual_id: str
    """The visual queue id."""
    name: str
    """Its name."""
    is_open: bool | None
    """Whether it is open; None when that is unknown."""
    opens_at: datetime | None
    """When a closed queue opens."""
    size: int
    """How many requests wait."""
    capacity: int
    """How many may wait."""
    staff: tuple[str, ...]
    """The names of the agents who work in it now."""


@frozen
class Rule:
    """A fault in force, and how often it has struck."""

    fault: Fault
    """The fault."""
    struck: int = 0
    """How often it has struck."""
    number: int = 0
    """What tells it apart from others, also from an equal one."""

    @property
    def spent(self) -> bool:
        """Whether it has struck as often as it may."""
        return self.fault.times is not None and self.struck >= self.fault.times


@frozen
class Conduct:
    """How the contact centre behaves now, apart from its queues and faults."""

    script: Script
    """What scripted agents do, in queues without a script of their own."""
    scripted: bool
    """Whether scripted agents take offers."""
    semantics: Semantics
    """What a poll returns."""
    after_end: AfterEnd
    """What a conversation is to a client after its end."""
    linger: float
    """Seconds from the end until that holds."""
    token_life: float
    """Lifetime of the access tokens that are issued now, in seconds."""


def chat_of(conversation: Conversation) -> Chat:
    """Return a conversation as it is now."""
    agent, asked = conversation.agent, conversation.offered_to
    return Chat(
        id=conversation.id,
        order=conversation.order,
        queue_key=conversation.queue.key,
        status=conversation.allocation.status,
        routed_at=moment(conversation.routed_at),
        position=conversation.queue.position(conversation),
        offered_to=asked.id if asked else None,
        agent=agent.id if agent else None,
        agent_name=agent.name if agent else None,
        customer_typing=conversation.customer_typing,
        ended=conversation.ended,
        entries=len(conversation.entries),
        offers=conversation.offers,
    )


def state_of(queue: Queue, now: float) -> QueueState:
    """Return a queue as it is now."""
    opens = queue.opens_next(now)
    return QueueState(
        key=queue.key,
        visual_id=queue.visual_id,
        name=queue.name,
        is_open=queue.open_now(now),
        opens_at=None if opens is None else moment(opens),
        size=queue.size,
        capacity=queue.capacity,
        staff=tuple(agent.name for agent in queue.staff if agent.ready),
    )
