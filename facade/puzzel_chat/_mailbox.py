"""Pure: what one conversation has received. No duplicates, edits told as edits, memory bounded."""

from __future__ import annotations

import json
from collections import OrderedDict, deque
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from hashlib import blake2b

from attrs import astuple, define, field, fields, frozen

from puzzel_chat._errors import CONVERSATION_ENDED, ConversationClosed, DeliveryUnknown, PuzzelChatError
from puzzel_chat._models import (
    Agent,
    ConversationEnded,
    Event,
    Message,
    MessageEdited,
    Option,
    Role,
    TextMessage,
    UnknownMessage,
    is_message,
)

BUFFER = 1000
"""Events that wait for one conversation's caller before polling stops and leaves the rest at the service."""
MEMORY = 4096
"""Message ids remembered per conversation; more when a single reply holds more."""
_NEVER = datetime.max.replace(tzinfo=UTC)
_NOT_CONTENT = frozenset({"conversation_id", "id", "sent_at", "author", "raw", "version", "problem"})


def fingerprint(event: Event) -> str:
    """Give a short mark of an event's version and content; two events of one id differ when one is an edit."""
    content = [_plain(getattr(event, one.name)) for one in fields(type(event)) if one.name not in _NOT_CONTENT]
    if isinstance(event, UnknownMessage):
        content.append(json.dumps(event.raw, sort_keys=True, default=str))
    seed = repr((type(event).__name__, content))
    return f"{event.version}:{blake2b(seed.encode('utf-8', 'replace'), digest_size=8).hexdigest()}"


def _plain(value: object) -> object:
    if isinstance(value, tuple):
        return [_plain(item) for item in value]
    if isinstance(value, Agent | Option):
        # Not repr(), which leaves out what people wrote.
        return astuple(value, filter=lambda one, _: one.name != "raw")
    return value


@frozen
class Entry:
    """An event on its way to the caller. `seq` is its place in the journal, None when it is not journaled."""

    seq: int | None
    event: Event
    mark: str = ""


@define
class Expected:
    """A message of ours that the polls should bring back."""

    client_id: str
    text: str = field(repr=False)
    found: TextMessage | None = None

    def matches(self, event: Event, claimed: set[str]) -> bool:
        """Tell whether the event is that message: by our own id, else by the same text from the customer."""
        if not isinstance(event, TextMessage) or self.found is not None:
            return False
        if event.client_id is not None:
            return event.client_id == self.client_id
        return event.author.role is Role.CUSTOMER and event.text == self.text and event.id not in claimed


def delivery_unknown(expected: Expected) -> DeliveryUnknown:
    """Give the error for a message that the polls did not bring back."""
    return DeliveryUnknown(
        "The service gave no clear answer to a message, and the polls after it did not show it."
        " Ask the agent before sending it again; it may have arrived.",
        text=expected.text,
        client_id=expected.client_id,
    )


@define
class Mailbox:
    """What one conversation has received: what waits for its caller, and what is known already."""

    conversation_id: str
    wanted: bool = False
    waiting: deque[Entry] = field(factory=deque)
    handed: list[Entry] = field(factory=list)
    seen: OrderedDict[str, tuple[str, ...]] = field(factory=OrderedDict)
    messages: dict[str, Message] = field(factory=dict)
    ended: ConversationEnded | None = None
    finished: bool = False
    closing: bool = False
    failure: PuzzelChatError | None = None
    expected: list[Expected] = field(factory=list)
    claimed: set[str] = field(factory=set)

    @property
    def is_over(self) -> bool:
        """Tell whether the chat has ended, from either side."""
        return self.ended is not None or self.closing

    @property
    def knows_end(self) -> bool:
        """Tell whether the end has arrived, taken by the caller or not."""
        return self.finished or self.ended is not None

    @property
    def has_news(self) -> bool:
        """Tell whether the caller has something to take without another poll."""
        return bool(self.waiting) or self.failure is not None or self.finished

    def news(self, event: Event) -> tuple[Event, str] | None:
        """Judge an incoming event: None when it is known, else what to deliver, and its mark."""
        mark = fingerprint(event)
        known = self.seen.get(event.id)
        if known is not None:
            self.seen.move_to_end(event.id)
            if mark in known or event.version < max(int(m.partition(":")[0]) for m in known):
                return None
        self.remember(event.id, mark)
        if known is not None and is_message(event):
            return _edited(event), mark
        return event, mark

    def enqueue(self, entry: Entry) -> None:
        """Let an event wait for the caller; the end stays last, and mail that nobody asked for is bounded."""
        behind_end = bool(self.waiting) and isinstance(self.waiting[-1].event, ConversationEnded)
        self.waiting.insert(len(self.waiting) - behind_end, entry)
        if not self.wanted and len(self.waiting) > BUFFER:
            self.waiting.popleft()

    def hand(self) -> Entry | None:
        """Give the next event into the caller's hands, or None when nothing waits."""
        if not self.waiting:
            return None
        entry = self.waiting.popleft()
        self.handed.append(entry)
        self.finished = self.finished or isinstance(entry.event, ConversationEnded)
        return entry

    def done(self) -> list[Entry]:
        """Give back what the caller had in hand and is done with."""
        done, self.handed = self.handed, []
        return done

    def remember(self, event_id: str, mark: str) -> None:
        """Count an event as known."""
        self.seen[event_id] = (*self.seen.get(event_id, ())[-7:], mark)
        self.seen.move_to_end(event_id)

    def forget_oldest(self, at_least: int) -> None:
        """Bound the memory; everything of the last reply (`at_least` items) stays known."""
        while len(self.seen) > max(MEMORY, 2 * at_least):
            self.seen.popitem(last=False)

    def check_open(self) -> None:
        """Raise when the chat is over."""
        if self.is_over:
            raise ConversationClosed(CONVERSATION_ENDED)

    @contextmanager
    def expecting(self, client_id: str, text: str) -> Iterator[Expected]:
        """Watch the polls for a message of ours, from before it is sent."""
        expected = Expected(client_id, text)
        self.expected.append(expected)
        try:
            yield expected
        finally:
            self.expected.remove(expected)

    def sent(self, message: TextMessage) -> None:
        """Note a message that the service took."""
        self.claimed.add(message.id)
        self.messages.setdefault(message.id, message)

    def transcript(self) -> tuple[Message, ...]:
        """Give the messages known here, in the order of their times; those without one keep their place."""
        messages = list(self.messages.values())
        if any(message.sent_at is None for message in messages):
            return tuple(messages)
        return tuple(sorted(messages, key=lambda message: message.sent_at or _NEVER))

    def meet_expectations(self, event: Event) -> None:
        """Tell the sends that wait for an echo."""
        for expected in self.expected:
            if expected.matches(event, self.claimed) and isinstance(event, TextMessage):
                expected.found = event
                self.claimed.add(event.id)
                return

    def note_message(self, event: Event) -> None:
        """Keep the transcript as the chat stands now."""
        message = event.message if isinstance(event, MessageEdited) else event
        known = self.messages.get(message.id)
        if is_message(message) and (known is None or known.version <= message.version):
            self.messages[message.id] = message


def _edited(event: Message) -> MessageEdited:
    return MessageEdited(
        conversation_id=event.conversation_id,
        id=event.id,
        version=event.version,
        sent_at=event.sent_at,
        author=event.author,
        raw=event.raw,
        message=event,
    )
