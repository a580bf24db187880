"""Pure: which message of the polls is one that we sent and that got no clear answer.

The echo names our own id (assumed). Where it does not, the same words from the customer count, and of equal ones each
stands for one send; while another send of these words may still be answered, nobody can tell, so nothing is claimed.


Pure: what one conversation has received. No duplicates, edits told as edits, memory bounded.

Pure: when a session is polled, what a reply brings to whom, and when a loop must stop.

    poll ──► Inbox.accept ──► one Mailbox per conversation ──► take() ──► the caller
                 │                    no duplicates,                        │
                 └ entries to journal edits told, end last    take() again: acknowledged

What the poll returns is unknown (everything, what follows a cursor, or what was not read yet), so nothing here relies
on it: an item is known by its id *and* content. The order is the service's.
"""

from __future__ import annotations

import json
from collections import OrderedDict
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from hashlib import blake2b

from attrs import astuple, define, field, fields, frozen

from puzzel_chat._errors import CONVERSATION_ENDED, ConversationClosed, DeliveryUnknown, PuzzelChatError
from puzzel_chat._html import bare
from puzzel_chat._models import (
    Agent,
    ConnectionDegraded,
    ConnectionRecovered,
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


@define(eq=False)
class Expected:
    """A message of ours that the polls should bring back; `unanswered` once no clear answer can come any more."""

    client_id: str
    text: str = field(repr=False)
    unanswered: bool = False

    def matches(self, echo: TextMessage) -> bool:
        """Tell whether the echo is that message: by our own id, else by the same words from the customer."""
        if echo.client_id:
            return echo.client_id == self.client_id
        return echo.author.role is Role.CUSTOMER and bare(self.text) in (bare(echo.text), bare(echo.html))

    def disputed_by(self, other: Expected) -> bool:
        """Tell whether an echo without an id may be the other's."""
        return other is not self and not other.unanswered and bare(other.text) == bare(self.text)


@define
class Sends:
    """The sends of one conversation that are under way, and the echoes that none of them has claimed."""

    expected: list[Expected] = field(factory=list)
    echoes: dict[str, TextMessage] = field(factory=dict)
    claimed: set[str] = field(factory=set)

    @contextmanager
    def expecting(self, client_id: str, text: str) -> Iterator[Expected]:
        """Watch the polls for a message of ours, from before it is sent."""
        expected = Expected(client_id, text)
        self.expected.append(expected)
        try:
            yield expected
        finally:
            self.expected.remove(expected)
            if not self.expected:
                self.echoes.clear()

    def note(self, event: Event) -> None:
        """Keep what a poll brought, when it may be an echo that a send looks for."""
        if not isinstance(event, TextMessage) or event.id in self.claimed:
            return
        if any(expected.matches(event) for expected in self.expected):
            self.echoes[event.id] = event

    def claim(self, message_id: str) -> None:
        """Note which message a send became."""
        self.claimed.add(message_id)
        self.echoes.pop(message_id, None)

    def found(self, expected: Expected) -> TextMessage | None:
        """Give the echo of a message, and claim it; None while there is none, or none that is certain."""
        disputed = any(expected.disputed_by(other) for other in self.expected)
        for echo in self.echoes.values():
            if expected.matches(echo) and (echo.client_id or not disputed):
                self.claim(echo.id)
                return echo
        return None


def delivery_unknown(expected: Expected) -> DeliveryUnknown:
    """Give the error for a message that the polls did not bring back."""
    return DeliveryUnknown(
        "The service gave no clear answer to a message, and the polls after it did not show it."
        " Ask the agent before sending it again; it may have arrived.",
        text=str(expected.text),
        client_id=expected.client_id,
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


STRANGERS = 100
"""Conversations that nobody here has asked for and whose mail is kept all the same; that of more is not taken."""
LONGEST_CURSOR = 4096
"""Characters of a cursor that still fits an address; a longer one is not taken, and what is known is sent again."""


@define
class Inbox:
    """One session's mail: shares each reply out to the conversations, and keeps the cursor."""

    cursor: str | None = None
    next_seq: int = 1
    boxes: dict[str, Mailbox] = field(factory=dict)
    failure: PuzzelChatError | None = None

    def box(self, conversation_id: str) -> Mailbox:
        """Give the mailbox of a conversation that somebody asks for, new when it was not known."""
        box = self._box(conversation_id)
        box.wanted = True
        return box

    def _box(self, conversation_id: str) -> Mailbox:
        if conversation_id not in self.boxes:
            self.boxes[conversation_id] = Mailbox(conversation_id)
        return self.boxes[conversation_id]

    @property
    def is_full(self) -> bool:
        """Tell whether a conversation's caller is so far behind that polling must stop."""
        return any(box.wanted and len(box.waiting) >= BUFFER for box in list(self.boxes.values()))

    def accept(self, events: Iterable[Event], cursor: str | None, held: int = 0) -> list[Entry]:
        """Take a reply's events in its order, ends last; gives the new ones, to be journaled.

        `held` is how many items the reply held, when those that are known already are not among the events.
        """
        batch = sorted(events, key=lambda event: isinstance(event, ConversationEnded))
        entries = [entry for event in batch for entry in self._deliver(event)]
        if cursor is not None and len(cursor) <= LONGEST_CURSOR:
            self.cursor = cursor
        for box in list(self.boxes.values()):
            box.forget_oldest(max(len(batch), held))
            box.replies_since_closing += box.closing
            if box.replies_since_closing >= LAST_REPLIES:
                entries += self._end_of_ours(box)
        return entries

    def restore(self, waiting: Iterable[tuple[int, Event]], cursor: str | None) -> None:
        """Take up what an earlier process had received and not handed out, under its old places in the journal."""
        free = self.next_seq
        for seq, event in waiting:
            self.next_seq = seq
            list(self._deliver(event))
            free = max(free, seq + 1, self.next_seq)
        self.next_seq, self.cursor = free, cursor

    def _deliver(self, event: Event) -> Iterable[Entry]:
        for box in self._boxes_for(event):
            if box.finished or (box.ended is not None and isinstance(event, ConversationEnded)):
                continue
            news = box.news(event)
            if news is None:
                box.note_message(event)
                continue
            told, mark = news
            box.note_message(told)
            box.sends.note(event)
            if isinstance(told, ConversationEnded):
                box.ended = told
            yield self._enqueue(box, told, mark)

    def _boxes_for(self, event: Event) -> list[Mailbox]:
        """Give the mailboxes that an event belongs to: its conversation's, or all when it names none."""
        if not event.conversation_id:
            return list(self.boxes.values())
        known = event.conversation_id in self.boxes
        if not known and sum(not box.wanted for box in list(self.boxes.values())) >= STRANGERS:
            return []
        return [self._box(event.conversation_id)]

    def _enqueue(self, box: Mailbox, event: Event, mark: str) -> Entry:
        entry = Entry(self.next_seq, event, mark)
        self.next_seq += 1
        box.enqueue(entry)
        return entry

    def _end_of_ours(self, box: Mailbox) -> list[Entry]:
        """End a chat that we closed and whose last replies did not tell the end."""
        if not box.closing or box.knows_end:
            return []
        box.ended = ConversationEnded(
            conversation_id=box.conversation_id, id=f"{box.conversation_id}:end", by=Role.CUSTOMER
        )
        return [self._enqueue(box, box.ended, fingerprint(box.ended))]

    def degraded(self, problem: str) -> None:
        """Tell every conversation that polls fail for now."""
        self._tell(lambda cid: ConnectionDegraded(conversation_id=cid, id=f"{cid}:degraded", problem=problem))

    def recovered(self, after: float) -> None:
        """Tell every conversation that polls succeed again."""
        self._tell(lambda cid: ConnectionRecovered(conversation_id=cid, id=f"{cid}:recovered", after=after))

    def _tell(self, make: Callable[[str], Event]) -> None:
        for box in list(self.boxes.values()):
            if not box.knows_end:
                box.enqueue(Entry(None, make(box.conversation_id)))

    def end_ours(self) -> None:
        """End the chats that we closed, though no reply told their end."""
        for box in list(self.boxes.values()):
            self._end_of_ours(box)

    def failed(self, error: PuzzelChatError) -> None:
        """Fail every conversation for good; one that we closed simply ends."""
        self.failure = error
        for box in list(self.boxes.values()):
            if not (box.closing or box.knows_end):
                box.failure = error
        self.end_ours()
