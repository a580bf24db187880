"""Pure: what one conversation has received. No duplicates, edits told as edits, memory bounded."""

from __future__ import annotations

import json
from collections import OrderedDict
from datetime import UTC, datetime
from hashlib import blake2b

from attrs import astuple, define, field, fields, frozen

from puzzel_chat._delivery import Sends
from puzzel_chat._errors import CONVERSATION_ENDED, ConversationClosed, PuzzelChatError
from puzzel_chat._models import (
    Agent,
    ConversationEnded,
    Event,
    Message,
    MessageEdited,
    Option,
    TextMessage,
    UnknownMessage,
    is_message,
)

BUFFER = 1000
"""Events that wait for one conversation's caller before polling stops and leaves the rest at the service."""
MEMORY = 4096
"""Message ids remembered per conversation; more when a single reply holds more."""
LAST_REPLIES = 2
"""Replies without an end after which a chat that we closed is over: the first may be to a poll sent before that."""
_NEVER = datetime.max.replace(tzinfo=UTC)
_NOT_CONTENT = frozenset({"conversation_id", "id", "sent_at", "author", "raw", "version", "problem"})
_NOT_CONTENT_RAW = frozenset({"sentAt", "author", "eventId"})


def fingerprint(event: Event) -> str:
    """Give a short mark of an event's version and content; two events of one id differ when one is an edit."""
    content = [_plain(getattr(event, one.name)) for one in fields(type(event)) if one.name not in _NOT_CONTENT]
    if isinstance(event, UnknownMessage):
        raw = {name: value for name, value in event.raw.items() if name not in _NOT_CONTENT_RAW}
        content.append(json.dumps(raw, sort_keys=True, default=str))
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
class Mailbox:
    """What one conversation has received: what waits for its caller, and what is known already."""

    conversation_id: str
    wanted: bool = False
    waiting: list[Entry] = field(factory=list)  # an empty deque takes 0.7 KB
    handed: list[Entry] = field(factory=list)
    seen: OrderedDict[str, tuple[str, ...]] = field(factory=OrderedDict)
    messages: dict[str, Message] = field(factory=dict)
    ended: ConversationEnded | None = None
    finished: bool = False
    closing: bool = False
    replies_since_closing: int = 0
    failure: PuzzelChatError | None = None
    sends: Sends = field(factory=Sends)

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
            del self.waiting[0]

    def hand(self) -> Entry | None:
        """Give the next event into the caller's hands, or None when nothing waits."""
        if not self.waiting:
            return None
        entry = self.waiting.pop(0)
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
            event_id, _ = self.seen.popitem(last=False)
            self.sends.claimed.discard(event_id)

    def check_open(self) -> None:
        """Raise when the chat is over."""
        if self.is_over:
            raise ConversationClosed(CONVERSATION_ENDED)

    def sent(self, message: TextMessage) -> None:
        """Note a message that the service took."""
        self.sends.claim(message.id)
        self.messages.setdefault(message.id, message)

    def transcript(self) -> tuple[Message, ...]:
        """Give the messages known here, in the order of their times; those without one keep their place."""
        messages = list(self.messages.values())
        if any(message.sent_at is None for message in messages):
            return tuple(messages)
        return tuple(sorted(messages, key=lambda message: message.sent_at or _NEVER))

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
