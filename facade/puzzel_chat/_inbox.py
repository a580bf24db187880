"""Pure: what the polls of a session brought, shared out to its conversations.

    reply ──► Feed.accept ──► one Inbox per conversation ──► Inbox.hand ──► the caller
                  │             no duplicates, edits told,
                  └─ entries    the end last
                     to journal

What a poll returns is unknown (the whole history, what follows a cursor, or what was not read yet), so nothing here
relies on it: an item is known by its id *and* its content. The order is the service's.

A service may begin its ids again. So a message under a known id, written later, in other words and without a higher
version is a new one; an edit has a higher version, or the same time.
"""

from __future__ import annotations

import json
from collections import OrderedDict
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from datetime import UTC, datetime
from hashlib import blake2b
from math import inf
from operator import attrgetter
from typing import NamedTuple, TypeAlias
from weakref import ReferenceType, ref

from attrs import define, evolve, field, fields

from puzzel_chat._errors import (
    CONVERSATION_ENDED,
    ApiError,
    ConversationClosed,
    DeliveryUnknown,
    PuzzelChatError,
    SessionInUse,
)
from puzzel_chat._html import bare
from puzzel_chat._models import (
    AgentJoined,
    AgentLeft,
    ConnectionDegraded,
    ConnectionRecovered,
    ConversationEnded,
    Event,
    FileMessage,
    Life,
    Message,
    MessageEdited,
    OptionsMessage,
    Role,
    TextMessage,
    UnknownMessage,
)

BUFFER = 1000
"""Unread events of one conversation at which polling stops and leaves the rest at the service."""
MEMORY = 4096
"""Message ids remembered per conversation; more when a single reply holds more."""
STRANGERS = 100
"""Conversations nobody here has asked for whose events are kept all the same; those of further ones are dropped."""
LONGEST_CURSOR = 4096
"""Characters of a cursor that still fits an address; a longer one is ignored, and what is known is sent again."""
LAST_REPLIES = 2
"""Replies without its end event after which a chat that is over gets one from us: the first may answer a poll sent
before that."""
_READ_ALREADY = (
    "The events of conversation {0} are read already: by another events() or messages(), by Session.poll(), or in a"
    " PollingLoop. Each event goes to one reader only; let that one stop first."
)
Sent: TypeAlias = TextMessage | FileMessage
"""What a customer sends."""
AWAIT_END = (Life.ENDING, Life.CLOSED)
"""Lives of a conversation that is over and whose end event has not come."""
_NEVER = datetime.max.replace(tzinfo=UTC)
_NOT_CONTENT = frozenset({"conversation_id", "id", "sent_at", "author", "raw", "version", "problem"})
_CONTENT: dict[type[Event], Callable[[Event], tuple[object, ...]]] = {}
_NOT_CONTENT_RAW = frozenset({"sentAt", "author", "eventId"})


class Entry(NamedTuple):
    """An event on its way to the caller of a conversation; `seq` is its place in the journal, None when it has none."""

    seq: int | None
    event: Event
    mark: str = ""
    conversation_id: str = ""


class Reader:
    """Somebody who takes events. A conversation has one reader at a time."""

    __slots__ = ("__weakref__",)


@define
class Feed:
    """What a session receives: shares each reply out to the inboxes, and keeps the cursor."""

    cursor: str | None = None
    next_seq: int = 1
    inboxes: dict[str, Inbox] = field(factory=dict)
    failure: PuzzelChatError | None = None

    def inbox(self, conversation_id: str) -> Inbox:
        """Return the inbox of a conversation that somebody asks for, a new one when it was not known."""
        inbox = self._inbox(conversation_id)
        inbox.wanted = True
        return inbox

    @property
    def is_full(self) -> bool:
        """Whether a conversation's caller is so far behind that polling must stop."""
        # Asked for every poll; any() would take three times as long.
        for inbox in list(self.inboxes.values()):  # noqa: SIM110
            if inbox.wanted and len(inbox.unread) >= BUFFER:
                return True
        return False

    def claim(self, reader: Reader) -> None:
        """Let one reader have the events of all conversations; raises `SessionInUse`."""
        for inbox in list(self.inboxes.values()):
            inbox.claim(reader)

    def release(self, reader: Reader) -> None:
        """Let others have the events that follow."""
        for inbox in list(self.inboxes.values()):
            inbox.release(reader)

    def accept(self, events: Sequence[Event], cursor: str | None, held: int = 0) -> list[Entry]:
        """Take in a reply's events in its order, ends last; return the new ones, to be journaled.

        `held` is how many items the reply held, when those that are known already are not among the events.
        """
        batch = sorted(events, key=_is_end) if len(events) > 1 else events
        entries: list[Entry] = []
        for event in batch:
            self._deliver(event, entries, self._inboxes_for(event))
        if cursor is not None and len(cursor) <= LONGEST_CURSOR:
            # When the service begins its numbers again, what it has said since is asked for from the start.
            before = self.cursor or ""
            fell = before.isdecimal() and cursor.isdecimal() and int(cursor) < int(before)
            self.cursor = None if fell else cursor
        for inbox in list(self.inboxes.values()):
            if len(inbox.seen) > MEMORY:
                inbox.forget_oldest(max(len(batch), held))
            if inbox.life in AWAIT_END:
                inbox.replies_since_ending += 1
                if inbox.replies_since_ending >= LAST_REPLIES:
                    self._end(inbox, entries)
        return entries

    def restore(self, unread: Iterable[tuple[int, str | None, Event]], cursor: str | None) -> None:
        """Take up what an earlier process had received and not handed out, under its old places in the journal.

        Each is for the conversation that stands beside it; a journal of an earlier version names none.
        """
        free = self.next_seq
        for seq, conversation_id, event in unread:
            self.next_seq = seq
            self._deliver(event, [], [self._inbox(conversation_id)] if conversation_id else self._inboxes_for(event))
            free = max(free, seq + 1, self.next_seq)
        self.next_seq, self.cursor = free, cursor

    def degraded(self, problem: str) -> None:
        """Tell every conversation that polls fail for now."""
        self._tell(lambda cid: ConnectionDegraded(conversation_id=cid, id=f"{cid}:degraded", problem=problem))

    def recovered(self, after: float) -> None:
        """Tell every conversation that polls succeed again, after so many seconds."""
        self._tell(lambda cid: ConnectionRecovered(conversation_id=cid, id=f"{cid}:recovered", after=after))

    def end_all_over(self) -> None:
        """End the chats that are over at the service, though no reply brought their end event."""
        for inbox in list(self.inboxes.values()):
            self._end(inbox, [])

    def failed(self, error: PuzzelChatError) -> None:
        """Fail every conversation for good; one that is over simply ends, as all do when the service says so."""
        self.failure = error
        gone = isinstance(error, ConversationClosed) or (isinstance(error, ApiError) and error.status == 410)
        for inbox in list(self.inboxes.values()):
            if gone:
                inbox.over(Life.CLOSED)
            if inbox.life is Life.OPEN:
                inbox.failure = error
        self.end_all_over()

    def _inbox(self, conversation_id: str) -> Inbox:
        if conversation_id not in self.inboxes:
            self.inboxes[conversation_id] = Inbox(conversation_id, failure=self.failure)
        return self.inboxes[conversation_id]

    def _deliver(self, event: Event, entries: list[Entry], inboxes: list[Inbox]) -> None:
        for inbox in inboxes:
            is_end = isinstance(event, ConversationEnded)
            if inbox.life is Life.READ or (inbox.life is Life.ENDED and is_end):
                continue
            if isinstance(event, ConversationEnded) and inbox.given_up:
                event = evolve(event, by=Role.SYSTEM, reason=inbox.given_up)
            news = inbox.news(event)
            if news is None:
                inbox.note_message(event)
                continue
            told, mark = news
            inbox.note_message(told)
            if inbox.sends.expected:
                inbox.sends.note(event)
            if is_end:
                inbox.life = Life.ENDED
            self._enqueue(inbox, told, mark, entries)

    def _inboxes_for(self, event: Event) -> list[Inbox]:
        """Return the inboxes that an event belongs to: its conversation's, or all when it names none."""
        if not event.conversation_id:
            return list(self.inboxes.values())
        if known := self.inboxes.get(event.conversation_id):
            return [known]
        if sum(not inbox.wanted for inbox in list(self.inboxes.values())) >= STRANGERS:
            return []
        return [self._inbox(event.conversation_id)]

    def _enqueue(self, inbox: Inbox, event: Event, mark: str, entries: list[Entry]) -> None:
        entry = Entry(self.next_seq, event, mark, inbox.conversation_id)
        self.next_seq += 1
        inbox.enqueue(entry)
        entries.append(entry)

    def _end(self, inbox: Inbox, entries: list[Entry]) -> None:
        if inbox.life not in AWAIT_END:
            return
        by = Role.CUSTOMER if inbox.life is Life.ENDING else Role.UNKNOWN
        cid, inbox.life = inbox.conversation_id, Life.ENDED
        by = Role.SYSTEM if inbox.given_up else by
        ended = ConversationEnded(conversation_id=cid, id=f"{cid}:end", by=by, reason=inbox.given_up)
        self._enqueue(inbox, ended, fingerprint(ended), entries)

    def _tell(self, make: Callable[[str], Event]) -> None:
        for inbox in list(self.inboxes.values()):
            if not inbox.life.known:
                inbox.enqueue(Entry(None, make(inbox.conversation_id)))


@define
class Inbox:
    """What one conversation has received: what its caller has not read, and what is known already.

    `given_up` says why a polling loop looks for an agent no longer; the end that follows is the system's.
    """

    conversation_id: str
    wanted: bool = False
    unread: list[Entry] = field(factory=list)
    in_hand: list[Entry] = field(factory=list)
    seen: OrderedDict[str, tuple[str, ...]] = field(factory=OrderedDict)
    messages: dict[str, Message] = field(factory=dict)
    retired: list[Message] = field(factory=list)
    life: Life = Life.OPEN
    replies_since_ending: int = 0
    failure: PuzzelChatError | None = None
    given_up: str | None = None
    sends: Sends = field(factory=lambda: Sends())
    _reader: ReferenceType[Reader] | None = None

    def claim(self, reader: Reader) -> None:
        """Let one reader have the events, until `release` or as long as it exists; raises `SessionInUse`."""
        present = self._reader and self._reader()
        if present is not None and present is not reader:
            raise SessionInUse(_READ_ALREADY.format(self.conversation_id))
        self._reader = ref(reader)

    def release(self, reader: Reader) -> None:
        """Let another reader have the events that follow."""
        if self._reader is not None and self._reader() is reader:
            self._reader = None

    @property
    def has_news(self) -> bool:
        """Whether the caller has something to read without another poll."""
        return bool(self.unread) or self.failure is not None or self.life is Life.READ

    @property
    def has_agent(self) -> bool:
        """Whether what is unread shows that an agent has the chat."""
        return any(isinstance(one.event, AgentJoined) or one.event.author.is_agent for one in self.unread)

    def check_open(self) -> None:
        """Raise `ConversationClosed` when the chat is over."""
        if self.life.over:
            raise ConversationClosed(CONVERSATION_ENDED)

    def over(self, life: Life) -> None:
        """Note that the chat is over at the service: ended by us (ENDING) or by somebody else (CLOSED)."""
        if self.life is Life.OPEN:
            self.life = life

    def news(self, event: Event) -> tuple[Event, str] | None:
        """Judge an incoming event: return None when it is known, else what to deliver, and its mark."""
        mark = marked(event)
        known = self.seen.get(event.id)
        if known is None:
            self.remember(event.id, mark)
            return event, mark
        self.seen.move_to_end(event.id)
        earlier, present = [Mark.of(one) for one in known], Mark.of(mark)
        if isinstance(event, Message) and begins_again(present, earlier):
            self.sends.claimed.discard(event.id)
            self.remember(event.id, mark)
            return event, mark
        same = any((one.version, one.content) == (present.version, present.content) for one in earlier)
        if same or event.version < max(one.version for one in earlier):
            return None
        self.remember(event.id, mark)
        return (_edited(event) if isinstance(event, Message) else event), mark

    def enqueue(self, entry: Entry) -> None:
        """Let an event wait for the caller; the end stays last, and events nobody asked for are bounded."""
        behind_end = bool(self.unread) and _is_end(self.unread[-1].event)
        self.unread.insert(len(self.unread) - behind_end, entry)
        if not self.wanted and len(self.unread) > BUFFER:
            del self.unread[0]

    def hand(self) -> Entry | None:
        """Return the next event, which is in the caller's hands from now on; None when nothing is unread."""
        if not self.unread:
            return None
        entry = self.unread.pop(0)
        self.in_hand.append(entry)
        if isinstance(entry.event, ConversationEnded):
            self.life = Life.READ
        return entry

    def take_back(self, event: Event) -> None:
        """Let the next caller have what this one still has in hand and could not handle."""
        back = [entry for entry in self.in_hand if entry.event is event]
        self.in_hand = [entry for entry in self.in_hand if entry.event is not event]
        self.unread[:0] = back
        if back and self.life is Life.READ:
            self.life = Life.ENDED

    def done(self) -> list[Entry]:
        """Return what the caller had in hand and is done with."""
        done, self.in_hand = self.in_hand, []
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

    def sent(self, message: Sent) -> None:
        """Note a message that the service took."""
        self.sends.claim(message.id)
        self.messages.setdefault(message.id, message)

    def transcript(self) -> tuple[Message, ...]:
        """Return the messages known here, in the order of their times; those without one keep their place."""
        messages = [*self.retired, *self.messages.values()]
        if any(message.sent_at is None for message in messages):
            return tuple(messages)
        return tuple(sorted(messages, key=lambda message: message.sent_at or _NEVER))

    def note_message(self, event: Event) -> None:
        """Keep the transcript as the chat stands now."""
        message = event.message if isinstance(event, MessageEdited) else event
        if not isinstance(message, Message):
            return
        known = self.messages.get(message.id)
        if known is not None:
            before, now = Mark.of(marked(known)), Mark.of(marked(message))
            if begins_again(now, [before]):
                self.retired.append(known)
            elif begins_again(before, [now]) or before.version > now.version:
                return
        self.messages[message.id] = message


class Mark(NamedTuple):
    """What is remembered of an event: its version, a hash of its content, and when and by whom it was written."""

    version: int
    content: str
    sent_at: float
    role: str

    @classmethod
    def of(cls, written: str) -> Mark:
        """Read a mark; one without a time, as in an older file, counts as later than all others."""
        version, content, sent_at, role = (*written.split(":"), "", "")[:4]
        return cls(int(version), content, float(sent_at or inf), role)

    def differs(self, other: Mark) -> bool:
        """Whether it has other words or another author."""
        nobody = ("", Role.UNKNOWN.value)
        another = self.role != other.role and self.role not in nobody and other.role not in nobody
        return another or self.content != other.content


def marked(event: Event) -> str:
    """Return the mark of an event, as it is stored."""
    if event.sent_at is None:
        return fingerprint(event)
    return f"{fingerprint(event)}:{event.sent_at.timestamp():.6f}:{event.author.role.value}"


def begins_again(mark: Mark, earlier: list[Mark]) -> bool:
    """Return whether a message has a known id and is another one: later, other words or author, no higher version."""
    later = max(one.sent_at for one in earlier) < mark.sent_at < inf
    return later and mark.version <= max(one.version for one in earlier) and all(map(mark.differs, earlier))


def fingerprint(event: Event) -> str:
    """Return a short mark of an event's version and content; two events of one id differ when one is an edit."""
    kind = type(event)
    if kind not in _CONTENT:
        # Of two names at least, for of one it would give no tuple.
        _CONTENT[kind] = attrgetter("id", *(one.name for one in fields(kind) if one.name not in _NOT_CONTENT))
    content: list[object] = list(_CONTENT[kind](event)[1:])
    if isinstance(event, UnknownMessage):
        raw = {name: value for name, value in event.raw.items() if name not in _NOT_CONTENT_RAW}
        content.append(json.dumps(raw, sort_keys=True, default=str))
    elif isinstance(event, OptionsMessage):
        content += [(one.id, one.label) for one in event.options]  # their repr leaves out what people wrote
    elif isinstance(event, AgentJoined | AgentLeft) and event.agent is not None:
        content.append((event.agent.id, event.agent.name))
    seed = repr((kind.__name__, content))
    return f"{event.version}:{blake2b(seed.encode('utf-8', 'replace'), digest_size=8).hexdigest()}"


def _is_end(event: Event) -> bool:
    return isinstance(event, ConversationEnded)


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


@define(eq=False)
class Expected:
    """A message of ours that the polls should bring back; `unanswered` once no clear answer can come any more.

    Of a file, `text` is the name and `url` the address.
    """

    client_id: str
    text: str = field(repr=False)
    url: str | None = field(default=None, repr=False)
    unanswered: bool = False

    def matches(self, echo: Sent) -> bool:
        """Return whether the echo is that message: by our own id, else by the same words or file of the customer."""
        if echo.client_id:
            return echo.client_id == self.client_id
        if echo.author.role is not Role.CUSTOMER or isinstance(echo, FileMessage) is (self.url is None):
            return False
        if isinstance(echo, FileMessage):
            return echo.url == self.url or bare(echo.file_name) == bare(self.text)
        return bare(self.text) in (bare(echo.text), bare(echo.html))

    def disputed_by(self, other: Expected) -> bool:
        """Return whether an echo without an id may be the other's."""
        same = bare(other.text) == bare(self.text) and (other.url is None) is (self.url is None)
        return other is not self and not other.unanswered and same


@define
class Sends:
    """The sends of one conversation that are under way, and the echoes that none of them has claimed.

    Identical texts match one send each. While another send of the same words may still be answered, none is matched.
    """

    expected: list[Expected] = field(factory=list)
    echoes: dict[str, Sent] = field(factory=dict)
    claimed: set[str] = field(factory=set)

    @contextmanager
    def expecting(self, client_id: str, text: str, url: str | None = None) -> Iterator[Expected]:
        """Watch the polls for a message of ours, from before it is sent."""
        expected = Expected(client_id, text, url)
        self.expected.append(expected)
        try:
            yield expected
        finally:
            self.expected.remove(expected)
            if not self.expected:
                self.echoes.clear()

    def note(self, event: Event) -> None:
        """Keep what a poll brought, when it may be an echo that a send looks for."""
        if not isinstance(event, Sent) or event.id in self.claimed:
            return
        if any(expected.matches(event) for expected in self.expected):
            self.echoes[event.id] = event

    def claim(self, message_id: str) -> None:
        """Note which message a send became."""
        self.claimed.add(message_id)
        self.echoes.pop(message_id, None)

    def found(self, expected: Expected) -> Sent | None:
        """Return the echo of a message, and claim it; None while there is none, or none that is certain."""
        disputed = any(expected.disputed_by(other) for other in self.expected)
        for echo in self.echoes.values():
            if expected.matches(echo) and (echo.client_id or not disputed):
                self.claim(echo.id)
                return echo
        return None


def delivery_unknown(expected: Expected) -> DeliveryUnknown:
    """Return the error for a message that the polls did not bring back."""
    return DeliveryUnknown(
        "The service gave no clear answer to a message, and the polls after it did not show it."
        " Ask the agent before sending it again; it may have arrived.",
        text=str(expected.text),
        client_id=expected.client_id,
    )
