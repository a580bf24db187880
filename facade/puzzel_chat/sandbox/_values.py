"""Values that the simulator returns or raises, and small helpers for times and JSON."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from enum import IntEnum
from types import MappingProxyType
from typing import Literal, TypeGuard

from attrs import field, frozen

NOTICE = "puzzel-chat bundled simulator, not Puzzel"
"""What every output of the sandbox says of it."""

Json = Mapping[str, object]
Semantics = Literal["history", "cursor", "drain"]
"""What a poll returns: all, what follows a cursor, or what was not read yet."""
SEMANTICS: tuple[Semantics, ...] = ("history", "cursor", "drain")
"""Every `Semantics`."""
AfterEnd = Literal["same", "cancelled", "not-found", "gone"]
"""What a conversation is to a client after its end; see `Sandbox.set_after_end`."""
AFTER_END: tuple[AfterEnd, ...] = ("same", "cancelled", "not-found", "gone")
"""Every `AfterEnd`."""


class Role(IntEnum):
    """The author's role; the wire has the integers (assumed)."""

    CUSTOMER = 0
    """The customer."""
    AGENT = 1
    """The agent."""
    SYSTEM = 2
    """The contact centre itself."""
    BOT = 3
    """A program of the contact centre."""


@frozen
class Entry:
    """One line of the ledger: a stored message, or an edit of one.

    An edit has the id of its message and the next version. `content` is HTML, the name of an event, or None for a type
    without text. `life` tells two messages of one id apart: how often the ids had begun again.
    """

    id: str
    """The message's id."""
    version: int
    """1, and one more with each edit."""
    conversation_id: str
    """The conversation."""
    type: str
    """The wire's type, such as Text."""
    role: Role
    """Who wrote it."""
    author: str | None
    """The name of who wrote it."""
    content: str | None = field(repr=False)
    """The content, as HTML."""
    client_message_id: str | None
    """The id that the client gave it."""
    sent_at: datetime
    """When it was stored."""
    wire: Json = field(repr=False, eq=False)
    """The item of a poll's reply."""
    life: int = 0
    """How often the ids had begun again before it."""


@frozen
class Answer:
    """What the simulator answered a request: before `differs`, and before the faults named by their kinds."""

    operation: str
    """The operationId."""
    status: int
    """The HTTP status."""
    body: Json | None = field(repr=False)
    """The JSON body, if it has one."""
    faults: frozenset[str] = frozenset()
    """The kinds of the faults that strike it."""

    @property
    def size(self) -> int:
        """The bytes of the body as it is sent."""
        return 0 if self.body is None else len(written(self.body))


@frozen
class Order:
    """What the customer gave when asking for an agent.

    `history` is what was said before, as text; like the subject it comes as a variable of that name (assumed).
    """

    queue_key: str
    """The queue that was asked for."""
    customer: Mapping[str, str] | None = field(default=None, repr=False)
    """What was said of the customer, by field."""
    variables: tuple[Json, ...] = field(default=(), repr=False)
    """The named values."""
    subject: str | None = field(default=None, repr=False)
    """What the chat is about."""
    history: str | None = field(default=None, repr=False)
    """What was said before."""


@frozen
class Happening:
    """Something that happened in the simulated contact centre, for a terminal or a test.

    `kind` is one of session-opened, session-refreshed, session-revoked, visitor-signed-in, routed, refused,
    queued, offered, declined, unanswered, joined, left, message, edited, typing, cancelled, expired, ended. `at` is
    in seconds since the epoch. `order` comes with "routed".
    """

    kind: str
    """What happened."""
    at: float
    """When, in seconds since the epoch."""
    conversation_id: str | None = None
    """The conversation, if it is about one."""
    agent: str | None = None
    """The agent's name."""
    role: Role | None = None
    """Who did it."""
    text: str | None = field(default=None, repr=False)
    """What was said, as HTML."""
    order: Order | None = None
    """What came with a route."""


@frozen
class Stats:
    """Counts since the simulator was made.

    `requests` is by operation, `counts` by kind of happening, also for kinds without a field here. `ended` counts all
    ended conversations, `left_queue` only those that had no agent yet.
    """

    requests: Mapping[str, int]
    """Requests by operationId."""
    counts: Mapping[str, int] = field(repr=False)
    """Happenings by kind."""
    tokens_issued: int = 0
    """Tokens that were given out."""
    refreshes: int = 0
    """Refreshes that were granted."""
    reuse_detected: int = 0
    """Refresh tokens that were used once more."""
    routed: int = 0
    """Requests for an agent that were taken."""
    refused: int = 0
    """Requests for an agent that were refused."""
    offered: int = 0
    """Offers to agents."""
    declined: int = 0
    """Offers that were declined."""
    joined: int = 0
    """Agents who joined a chat."""
    left_queue: int = 0
    """Customers who left without an agent."""
    ended: int = 0
    """Conversations that have ended."""
    messages: int = 0
    """Messages that were stored."""
    edits: int = 0
    """Edits of messages."""
    faults: int = 0
    """Faults that struck."""

    @property
    def total_requests(self) -> int:
        """Requests of all operations, including those lost to a fault."""
        return sum(self.requests.values())


class Tally:
    """Running counts by name."""

    def __init__(self) -> None:
        self.requests: dict[str, int] = {}
        self.counts: dict[str, int] = {}

    def request(self, operation: str) -> None:
        """Count one request."""
        self.requests[operation] = self.requests.get(operation, 0) + 1

    def add(self, name: str) -> None:
        """Count one happening."""
        self.counts[name] = self.counts.get(name, 0) + 1

    def stats(self) -> Stats:
        """Return the counts so far."""
        counts = {name: number for name, number in self.counts.items() if name in Stats.__annotations__}
        frozen_counts = MappingProxyType(dict(self.counts))
        return Stats(MappingProxyType(dict(self.requests)), frozen_counts, **counts)


class Refusal(Exception):
    """A refusal of the service, sent as problem+json."""

    def __init__(self, status: int, code: str, detail: str, **extra: object) -> None:
        super().__init__(code)
        self.status, self.code, self.detail, self.extra = status, code, detail, extra


class TokenRefusal(Exception):
    """A refusal of the token endpoint, sent as an OAuth error (RFC 6749 section 5.2)."""

    def __init__(self, status: int, error: str, description: str) -> None:
        super().__init__(error)
        self.status, self.error, self.description = status, error, description


Watcher = Callable[[Happening], None]


def moment(at: float) -> datetime:
    """Return seconds since the epoch as an aware UTC time."""
    return datetime.fromtimestamp(at, UTC)


def iso(at: float | None) -> str | None:
    """Return a time as .NET services write it: UTC with seven fraction digits."""
    return None if at is None else f"{moment(at):%Y-%m-%dT%H:%M:%S.%f}0Z"


def written(body: Json) -> bytes:
    """Return a body as it is sent."""
    return json.dumps(body, separators=(",", ":")).encode()


def is_object(value: object) -> TypeGuard[dict[str, object]]:
    """Whether a decoded value is a JSON object."""
    return isinstance(value, dict)


def is_list(value: object) -> TypeGuard[list[object]]:
    """Whether a decoded value is a JSON array."""
    return isinstance(value, list)
