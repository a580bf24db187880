"""The values that callers see: frozen and typed; those from the service keep their decoded JSON in `raw`.

No repr shows a secret, a name, a contact detail or what somebody wrote, so a value can be logged, and a traceback
that prints locals is safe too.
"""

from __future__ import annotations

import enum
from collections.abc import Mapping
from datetime import datetime
from typing import Any, TypeAlias, TypeGuard

from attrs import field, frozen

from puzzel_chat._errors import InvalidArgument

Raw: TypeAlias = Mapping[str, Any]
MASK = "'***'"


class Secret(str):
    """A string with a masked repr; otherwise an ordinary string."""

    __slots__ = ()

    def __repr__(self) -> str:
        return MASK


class SecretBytes(bytes):
    """Bytes with a masked repr."""

    __slots__ = ()

    def __repr__(self) -> str:
        return MASK


class SecretDict(dict[str, Any]):
    """A decoded JSON object with a masked repr."""

    def __repr__(self) -> str:
        return "{…}"


def secret_or_none(value: str | None) -> Secret | None:
    """Wrap a string as a `Secret`; return anything else, such as None, as it is."""
    return Secret(value) if isinstance(value, str) else value


def _private(default: Any = None) -> Any:
    return field(default=default, repr=False)


class AllocationStage(enum.Enum):
    """How far the search for an agent has come."""

    QUEUED = "queued"
    OFFERED = "offered"
    ASSIGNED = "assigned"
    DECLINED = "declined"
    REFUSED = "refused"
    CANCELLED = "cancelled"
    EXPIRED = "expired"
    UNKNOWN = "unknown"


class Life(enum.Enum):
    """The life of a conversation, in its order; it never goes back."""

    ASKED = "asked"
    """An agent is asked for, and nobody knows yet whether the service has heard it."""
    OPEN = "open"
    """Not over, as far as is known here."""
    ENDING = "ending"
    """Ended by us; its end event has not come."""
    CLOSED = "closed"
    """The service said that it is over; its end event has not come."""
    ENDED = "ended"
    """Its end has come and is unread."""
    READ = "read"
    """The caller has its end."""

    @property
    def over(self) -> bool:
        """Whether it has ended, or was ended by us."""
        return self is not Life.OPEN and self is not Life.ASKED

    @property
    def known(self) -> bool:
        """Whether its end has come."""
        return self is Life.ENDED or self is Life.READ


class Role(enum.Enum):
    """The kind of person or program that wrote a message or ended a chat."""

    CUSTOMER = "customer"
    AGENT = "agent"
    SYSTEM = "system"
    BOT = "bot"
    UNKNOWN = "unknown"


@frozen(kw_only=True)
class Agent:
    """A person at the contact centre."""

    id: str | None = None
    name: str | None = _private()
    raw: Raw = field(factory=dict, repr=False, eq=False)


@frozen(kw_only=True)
class Author:
    """The author of a message."""

    role: Role = Role.UNKNOWN
    id: str | None = None
    name: str | None = _private()

    @property
    def is_agent(self) -> bool:
        """Whether a person at the contact centre wrote it."""
        return self.role is Role.AGENT


@frozen(kw_only=True)
class Customer:
    """The customer who asks for an agent; every field is optional and reaches the agent unchanged."""

    id: str | None = _private()
    name: str | None = _private()
    email: str | None = _private()
    phone: str | None = _private()


@frozen
class Variable:
    """A named value sent along with the chat; `secret` asks the service not to show it."""

    name: str
    value: str = field(repr=False)
    secret: bool = False


@frozen(kw_only=True)
class Visitor:
    """A visitor who is signed in at the customer's own identity provider.

    Pass exactly one of that provider's tokens, `access_token` or `id_token`. It is used once, to identify the
    visitor, and never stored. `provider_id` selects one of several providers; without it, the first one in the
    organisation's settings is used. Raises `InvalidArgument` for no token, for both, or for an unusable value.
    """

    access_token: str | None = field(default=None, converter=secret_or_none)
    id_token: str | None = field(default=None, converter=secret_or_none)
    provider_id: int | None = None

    def __attrs_post_init__(self) -> None:
        given = [name for name in ("access_token", "id_token") if getattr(self, name) is not None]
        if len(given) != 1:
            raise InvalidArgument("visitor", f"needs access_token or id_token, not {'both' if given else 'neither'}")
        token = getattr(self, given[0])
        if not isinstance(token, str) or not token.strip():
            raise InvalidArgument(given[0], "must be a non-empty token from the visitor's identity provider")
        if not isinstance(self.provider_id, int | None) or isinstance(self.provider_id, bool):
            raise InvalidArgument("provider_id", f"must be a whole number, not {type(self.provider_id).__name__}")


@frozen(kw_only=True)
class QueueInfo:
    """A queue's opening hours and load at `fetched_at`.

    `is_open` is None when the service does not say. `estimated_wait` is in seconds. Pass `time_id` to `time_info()`.
    """

    id: str
    name: str | None = None
    is_open: bool | None = None
    opens_at: datetime | None = None
    closes_at: datetime | None = None
    queue_size: int | None = None
    agents_ready: int | None = None
    time_id: str | None = None
    estimated_wait: float | None = None
    fetched_at: datetime
    raw: Raw = field(factory=dict, repr=False, eq=False)


@frozen(kw_only=True)
class TimeInfo:
    """The exit of a time module (a set of opening hours) that applied at `fetched_at`."""

    id: str
    exit_name: str | None = None
    is_open: bool | None = None
    next_change: datetime | None = None
    fetched_at: datetime
    raw: Raw = field(factory=dict, repr=False, eq=False)


@frozen(kw_only=True)
class Allocation:
    """The search for an agent at `fetched_at`; position 1 is next in line, `estimated_wait` is in seconds."""

    stage: AllocationStage
    queue_position: int | None = None
    estimated_wait: float | None = None
    agent: Agent | None = None
    reason: str | None = None
    fetched_at: datetime
    raw: Raw = field(factory=dict, repr=False, eq=False)


@frozen(kw_only=True)
class Event:
    """Something that happened in a conversation; `version` goes up with each edit."""

    conversation_id: str
    id: str
    version: int = 1
    sent_at: datetime | None = None
    author: Author = field(factory=Author)
    raw: Raw = field(factory=dict, repr=False, eq=False)


@frozen(kw_only=True)
class TextMessage(Event):
    """A text message: `text` is plain, `html` as received. `client_id` is set on messages that you sent."""

    text: str = _private("")
    html: str = _private("")
    client_id: str | None = None


@frozen(kw_only=True)
class Option:
    """One of the choices of an `OptionsMessage`."""

    id: str
    label: str = _private("")


@frozen(kw_only=True)
class OptionsMessage(Event):
    """A question with choices; answer with `send(option.label)`."""

    text: str = _private("")
    html: str = _private("")
    options: tuple[Option, ...] = ()


@frozen(kw_only=True)
class FileMessage(Event):
    """A shared file; `size` is in bytes."""

    file_name: str = _private("")
    url: str = _private("")
    content_type: str | None = None
    size: int | None = None


@frozen(kw_only=True)
class UnknownMessage(Event):
    """A message of an unknown `type`, or a damaged one (`problem` says how); `raw` has all of it."""

    type: str | None = None
    problem: str | None = None


@frozen(kw_only=True)
class MessageEdited(Event):
    """An earlier message has new content; `message` is the message as it is now."""

    message: Message


@frozen(kw_only=True)
class AgentJoined(Event):
    """An agent took the chat."""

    agent: Agent | None = None


@frozen(kw_only=True)
class AgentLeft(Event):
    """An agent left the chat; another may come."""

    agent: Agent | None = None


@frozen(kw_only=True)
class AgentTyping(Event):
    """An agent began (`is_typing`) or stopped typing."""

    is_typing: bool = True


@frozen(kw_only=True)
class ConversationEnded(Event):
    """The chat is over; `by` says who ended it. It comes once, as the last event."""

    by: Role = Role.UNKNOWN
    reason: str | None = None


@frozen(kw_only=True)
class ConnectionDegraded(Event):
    """Polls are failing for now; the chat goes on and nothing is lost. `problem` says what is wrong."""

    problem: str = ""


@frozen(kw_only=True)
class ConnectionRecovered(Event):
    """Polls succeed again, after failing for `after` seconds."""

    after: float = 0.0


@frozen(kw_only=True)
class AllocationChanged(Event):
    """The search for an agent has moved on; only a `PollingLoop` that waits for the agent gives it."""

    allocation: Allocation


Message: TypeAlias = TextMessage | OptionsMessage | FileMessage | UnknownMessage


def is_message(event: Event) -> TypeGuard[Message]:
    """Return whether `messages()` yields this event."""
    return isinstance(event, Message)
