"""The values that callers see: frozen and typed; those from the service keep their decoded JSON in `raw`.

No repr shows a secret, a name, a contact detail or what somebody wrote, so a value can be logged (`%r`), and a
traceback that prints locals is safe too. `str()` of an event or an allocation is a line for people, with the words in
it, and `to_dict()` is the data.
"""

from __future__ import annotations

import enum
from collections.abc import Mapping
from datetime import datetime
from typing import TYPE_CHECKING, Any, ClassVar, Literal, TypeAlias, TypedDict, get_args

from attrs import field, frozen

from puzzel_chat._errors import InvalidArgument
from puzzel_chat._json import JsonValue, one_of

if TYPE_CHECKING:  # from Python 3.13 on in `typing`
    from typing_extensions import TypeIs

Raw: TypeAlias = Mapping[str, Any]
"""What the service sent, as decoded JSON: what this version does not know is in it."""
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


def _line(text: str) -> str:
    from puzzel_chat._html import in_one_line  # costs milliseconds, which an `except` clause does not need

    return in_one_line(text)


def _private(default: Any = None) -> Any:
    return field(default=default, repr=False)


class AllocationStage(enum.StrEnum):
    """How far the search for an agent has come."""

    QUEUED = "queued"
    """The customer waits in the queue."""
    OFFERED = "offered"
    """An agent is asked to take the chat."""
    ASSIGNED = "assigned"
    """An agent has the chat."""
    DECLINED = "declined"
    """The agent who was asked declined; another will be asked."""
    REFUSED = "refused"
    """The contact centre refused to find an agent."""
    CANCELLED = "cancelled"
    """The request was taken back, or the chat has ended."""
    EXPIRED = "expired"
    """The request waited too long for the contact centre."""
    UNKNOWN = "unknown"
    """A stage that this version does not know; `Allocation.raw` has its name."""


class Life(enum.StrEnum):
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


class Role(enum.StrEnum):
    """The kind of person or program that wrote a message or ended a chat."""

    CUSTOMER = "customer"
    """The customer, for whom this library speaks."""
    AGENT = "agent"
    """A person at the contact centre."""
    SYSTEM = "system"
    """The contact centre itself, or this library."""
    BOT = "bot"
    """A program that answers customers."""
    UNKNOWN = "unknown"
    """A role that this version does not know, or none was told."""


@frozen(kw_only=True, repr=False)
class Agent(JsonValue):
    """A person at the contact centre."""

    id: str | None = None
    """The agent's id at the service."""
    name: str | None = _private()
    """The name that customers see."""
    raw: Raw = field(factory=dict, repr=False, eq=False)
    """The agent as the service sent it."""

    def __str__(self) -> str:
        return _line(self.name) if self.name else "an agent"


@frozen(kw_only=True, repr=False)
class Author(JsonValue):
    """The author of a message."""

    role: Role = Role.UNKNOWN
    """What kind of person or program it is."""
    id: str | None = None
    """The author's id at the service."""
    name: str | None = _private()
    """The name that customers see."""

    @property
    def is_agent(self) -> bool:
        """Whether a person at the contact centre wrote it."""
        return self.role is Role.AGENT

    def __str__(self) -> str:
        unnamed = "someone" if self.role is Role.UNKNOWN else self.role.value
        return _line(self.name) if self.name else unnamed


@frozen(kw_only=True, repr=False)
class Customer(JsonValue):
    """The customer who asks for an agent; every field is optional and reaches the agent unchanged."""

    id: str | None = _private()
    """Your id of the customer."""
    name: str | None = _private()
    """The customer's name."""
    email: str | None = _private()
    """The customer's e-mail address."""
    phone: str | None = _private()
    """The customer's telephone number."""


class CustomerFields(TypedDict, total=False):
    """A `Customer` as a dict."""

    id: str | None
    name: str | None
    email: str | None
    phone: str | None


@frozen(repr=False)
class Variable(JsonValue):
    """A named value sent along with the chat; `secret` asks the service not to show it."""

    name: str
    """The name, as the contact centre knows it."""
    value: str = field(repr=False)
    """The value, which the agent gets."""
    secret: bool = False
    """Whether the service is asked not to show the value."""


@frozen(kw_only=True)
class Visitor:
    """A visitor who is signed in at the customer's own identity provider.

    Pass exactly one of that provider's tokens, `access_token` or `id_token`. It is used once, to identify the
    visitor, and never stored. `provider_id` selects one of several providers; without it, the first one in the
    organisation's settings is used. Raises `InvalidArgument` for no token, for both, or for an unusable value.
    """

    access_token: str | None = field(default=None, converter=secret_or_none)
    """An access token of that provider."""
    id_token: str | None = field(default=None, converter=secret_or_none)
    """Or its id token."""
    provider_id: int | None = None
    """Which provider, where the organisation has several."""

    def __attrs_post_init__(self) -> None:
        given = [name for name in ("access_token", "id_token") if getattr(self, name) is not None]
        if len(given) != 1:
            raise InvalidArgument("visitor", f"needs access_token or id_token, not {'both' if given else 'neither'}")
        token = getattr(self, given[0])
        if not isinstance(token, str) or not token.strip():
            raise InvalidArgument(given[0], "must be a non-empty token from the visitor's identity provider")
        if not isinstance(self.provider_id, int | None) or isinstance(self.provider_id, bool):
            raise InvalidArgument("provider_id", f"must be a whole number, not {type(self.provider_id).__name__}")


@frozen(kw_only=True, repr=False)
class QueueInfo(JsonValue):
    """A queue's opening hours and load at `fetched_at`.

    `is_open` is None when the service does not say. `estimated_wait` is in seconds. Pass `time_id` to `time_info()`.
    """

    id: str
    """The visual queue id."""
    name: str | None = None
    """The queue's name."""
    is_open: bool | None = None
    """Whether it is open; None when the service does not say."""
    opens_at: datetime | None = None
    """When it opens next."""
    closes_at: datetime | None = None
    """When it closes."""
    queue_size: int | None = None
    """How many customers wait in it."""
    agents_ready: int | None = None
    """How many agents could take a chat now."""
    time_id: str | None = None
    """The id of its time module, for `time_info()`."""
    estimated_wait: float | None = None
    """How long a new customer would wait, in seconds."""
    fetched_at: datetime
    """When the reply came."""
    raw: Raw = field(factory=dict, repr=False, eq=False)
    """The reply as the service sent it."""


@frozen(kw_only=True, repr=False)
class TimeInfo(JsonValue):
    """The exit of a time module (a set of opening hours) that applied at `fetched_at`."""

    id: str
    """The time module's id."""
    exit_name: str | None = None
    """The exit that is in force."""
    is_open: bool | None = None
    """Whether that means open; None when the service does not say."""
    next_change: datetime | None = None
    """When another exit comes into force."""
    fetched_at: datetime
    """When the reply came."""
    raw: Raw = field(factory=dict, repr=False, eq=False)
    """The reply as the service sent it."""


@frozen(kw_only=True, repr=False)
class Allocation(JsonValue):
    """The search for an agent at `fetched_at`; position 1 is next in line, `estimated_wait` is in seconds.

    `str()` is a line for people, such as "queued, position 3, about 40 s".
    """

    stage: AllocationStage
    """How far the search has come."""
    queue_position: int | None = None
    """The place in the queue; 1 is next in line."""
    estimated_wait: float | None = None
    """How long it may still take, in seconds."""
    agent: Agent | None = None
    """The agent who is asked, or who has the chat."""
    reason: str | None = None
    """The service's own code for a refusal."""
    fetched_at: datetime
    """When the reply came."""
    raw: Raw = field(factory=dict, repr=False, eq=False)
    """The reply as the service sent it."""

    def __str__(self) -> str:
        told = [f"{self.stage} to {self.agent}" if self.agent else str(self.stage)]
        if self.queue_position is not None:
            told.append(f"position {self.queue_position}")
        if self.estimated_wait is not None:
            told.append(f"about {self.estimated_wait:.0f} s")
        return ", ".join(told) + (f": {_line(self.reason)}" if self.reason else "")


@frozen(kw_only=True, repr=False)
class EventBase(JsonValue):
    """Something that happened in a conversation; `version` goes up with each edit.

    `str()` is a line for people, with the words in it and nothing that a terminal obeys; `repr()`, for a log, has none.
    """

    type: ClassVar[Any]
    """The literal that stands for the class, in data and for `match`."""
    conversation_id: str
    """The conversation that it belongs to."""
    id: str
    """Its id; one event comes again only after a crash."""
    version: int = 1
    """1, and one more with each edit of a message."""
    sent_at: datetime | None = None
    """When the service received it, by its own clock."""
    author: Author = field(factory=Author)
    """Who wrote or caused it."""
    raw: Raw = field(factory=dict, repr=False, eq=False)
    """The item as the service sent it; empty for what this library tells."""


@frozen(kw_only=True, repr=False)
class TextMessage(EventBase):
    """A text message: `text` is plain, `html` as received. `client_id` is set on messages that you sent."""

    type: ClassVar[Literal["text_message"]] = "text_message"
    text: str = _private("")
    """The text, plain."""
    html: str = _private("")
    """The text as it was received, which may be markup."""
    client_id: str | None = None
    """The id that this library gave a message of yours."""

    def __str__(self) -> str:
        return f"{self.author}: {_line(self.text)}"


@frozen(kw_only=True, repr=False)
class Option(JsonValue):
    """One of the choices of an `OptionsMessage`."""

    id: str
    """Its id at the service."""
    label: str = _private("")
    """What the customer reads."""


@frozen(kw_only=True, repr=False)
class OptionsMessage(EventBase):
    """A question with choices; answer with `choose(option)`."""

    type: ClassVar[Literal["options_message"]] = "options_message"
    text: str = _private("")
    """The question, plain."""
    html: str = _private("")
    """The question as it was received."""
    options: tuple[Option, ...] = ()
    """The choices."""

    def __str__(self) -> str:
        choices = " / ".join(_line(one.label or one.id) for one in self.options)
        return f"{self.author}: {_line(self.text)} [{choices}]"


@frozen(kw_only=True, repr=False)
class FileMessage(EventBase):
    """A shared file; fetch it with `download()`. `size` is in bytes; `client_id` is set on files that you sent."""

    type: ClassVar[Literal["file_message"]] = "file_message"
    file_name: str = _private("")
    """The file's name, as the sender has it: no path to write to."""
    url: str = _private("")
    """Where the file is."""
    content_type: str | None = None
    """Its media type, as the sender has it."""
    size: int | None = None
    """Its size in bytes."""
    client_id: str | None = None
    """The id that this library gave a file of yours."""

    def __str__(self) -> str:
        size = "" if self.size is None else f", {self.size} bytes"
        return f"{self.author}: [file {_line(self.file_name)}{size}] {_line(self.url)}"


@frozen(kw_only=True, repr=False)
class UnknownMessage(EventBase):
    """A message of an unknown type (`service_type`), or a damaged one (`problem` says how); `raw` has all of it."""

    type: ClassVar[Literal["unknown_message"]] = "unknown_message"
    service_type: str | None = None
    """The service's name for its type."""
    problem: str | None = None
    """What is wrong with a damaged one."""

    def __str__(self) -> str:
        kind = f" of type {_line(self.service_type)}" if self.service_type else ""
        why = f": {_line(self.problem)}" if self.problem else ""
        return f"{self.author}: [a message{kind} that cannot be shown{why}]"


@frozen(kw_only=True, repr=False)
class MessageEdited(EventBase):
    """An earlier message has new content; `message` is the message as it is now."""

    type: ClassVar[Literal["message_edited"]] = "message_edited"
    message: Message
    """The message as it is now."""

    def __str__(self) -> str:
        return f"{self.message} (edited)"


@frozen(kw_only=True, repr=False)
class AgentJoined(EventBase):
    """An agent took the chat."""

    type: ClassVar[Literal["agent_joined"]] = "agent_joined"
    agent: Agent | None = None
    """The agent, as far as the service says."""

    def __str__(self) -> str:
        return f"{self.agent or 'an agent'} joined"


@frozen(kw_only=True, repr=False)
class AgentLeft(EventBase):
    """An agent left the chat; another may come."""

    type: ClassVar[Literal["agent_left"]] = "agent_left"
    agent: Agent | None = None
    """The agent, as far as the service says."""

    def __str__(self) -> str:
        return f"{self.agent or 'the agent'} left"


@frozen(kw_only=True, repr=False)
class AgentTyping(EventBase):
    """An agent began (`is_typing`) or stopped typing."""

    type: ClassVar[Literal["agent_typing"]] = "agent_typing"
    is_typing: bool = True
    """Whether the agent began to type, or stopped."""

    def __str__(self) -> str:
        who = str(self.author) if self.author.is_agent and self.author.name else "the agent"
        return f"{who} is typing" if self.is_typing else f"{who} stopped typing"


@frozen(kw_only=True, repr=False)
class ConversationEnded(EventBase):
    """The chat is over; `by` says who ended it. It comes once, as the last event."""

    type: ClassVar[Literal["conversation_ended"]] = "conversation_ended"
    by: Role = Role.UNKNOWN
    """Who ended it; the system also when polling or the wait for an agent ended it."""
    reason: str | None = None
    """Why, where that is known."""

    def __str__(self) -> str:
        told = "the chat has ended" if self.by is Role.UNKNOWN else f"the chat was ended by the {self.by}"
        return f"{told}: {_line(self.reason)}" if self.reason else told


@frozen(kw_only=True, repr=False)
class ConnectionDegraded(EventBase):
    """Polls are failing for now; the chat goes on and nothing is lost. `problem` says what is wrong."""

    type: ClassVar[Literal["connection_degraded"]] = "connection_degraded"
    problem: str = ""
    """What is wrong, in words."""

    def __str__(self) -> str:
        return f"the connection is lost for now: {_line(self.problem)}"


@frozen(kw_only=True, repr=False)
class ConnectionRecovered(EventBase):
    """Polls succeed again, after failing for `after` seconds."""

    type: ClassVar[Literal["connection_recovered"]] = "connection_recovered"
    after: float = 0.0
    """How long polls have failed, in seconds."""

    def __str__(self) -> str:
        return f"the connection is back after {self.after:.1f} s"


@frozen(kw_only=True, repr=False)
class AllocationChanged(EventBase):
    """The search for an agent has moved on; only a `PollingLoop` that waits for the agent gives it."""

    type: ClassVar[Literal["allocation_changed"]] = "allocation_changed"
    allocation: Allocation
    """The search as it is now."""

    def __str__(self) -> str:
        return str(self.allocation)


Message: TypeAlias = TextMessage | OptionsMessage | FileMessage | UnknownMessage
"""What `messages()` yields."""
Event: TypeAlias = (
    Message
    | MessageEdited
    | AgentJoined
    | AgentLeft
    | AgentTyping
    | ConversationEnded
    | ConnectionDegraded
    | ConnectionRecovered
    | AllocationChanged
)
"""Everything that `events()` yields and a handler gets; `match` on the class, or on `type`, can cover all of it."""


def is_message(event: Event) -> TypeIs[Message]:
    """Return whether `messages()` yields this event."""
    return isinstance(event, Message)


def event_from_dict(data: Mapping[str, Any]) -> Event:
    """Return the event that its `to_dict()` wrote, of the class that its `type` names.

    Keys that are not known here, from a newer version, are ignored. Raises `InvalidArgument`, which names the field,
    for what does not fit.
    """
    found: Event = one_of(get_args(Event), data)
    return found
