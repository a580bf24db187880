"""What both shells share of one session: its token's life, its mail, its pace, and how they are kept in the store.

Nothing here sleeps or sends; the store's calls are short.
"""

from __future__ import annotations

import logging
from typing import NoReturn
from uuid import uuid4

from attrs import define, evolve, field, frozen

from puzzel_chat._clock import Clock
from puzzel_chat._config import Settings
from puzzel_chat._errors import (
    ContractError,
    PuzzelChatError,
    QueueClosed,
    SessionError,
    SessionNotFound,
    StoreError,
    twin,
)
from puzzel_chat._http import Reply
from puzzel_chat._mailbox import Mailbox
from puzzel_chat._models import ConversationEnded, Event, QueueInfo
from puzzel_chat._polling import Inbox, Pace
from puzzel_chat._store import Store, StoredConversation, StoredSession, StoredTokens, Waiting
from puzzel_chat._tokens import DEFAULT_TTL, Now, TokenLife, TokenSet
from puzzel_chat._wire.items import event
from puzzel_chat._wire.replies import Grant, Poll, grant

log = logging.getLogger("puzzel_chat")


@frozen
class Parts:
    """What an application's sessions have in common, beside the transport."""

    settings: Settings
    store: Store
    clock: Clock


def token_set(grant: Grant, asked: Now, spread: float) -> TokenSet:
    """Give the token set of a reply to a request sent at `asked`."""
    ttl = grant.expires_in or DEFAULT_TTL
    return TokenSet(access=grant.access, refresh=grant.refresh, ttl=ttl, obtained=asked, spread=spread)


def to_stored(tokens: TokenSet) -> StoredTokens:
    """Give a token set as the store keeps it."""
    return StoredTokens(
        access=tokens.access,
        refresh=tokens.refresh,
        generation=tokens.generation,
        ttl=tokens.ttl,
        obtained=tokens.obtained.wall,
    )


def from_stored(stored: StoredTokens, now: Now, spread: float) -> TokenSet:
    """Give a stored token set on this process's clocks."""
    tokens = TokenSet(
        access=stored.access,
        refresh=stored.refresh,
        generation=stored.generation,
        ttl=stored.ttl,
        obtained=Now(now.monotonic, stored.obtained),
        spread=spread,
    )
    return tokens.moved_to(now)


@define
class SessionState:
    """One session, without its shell."""

    id: str
    parts: Parts
    life: TokenLife
    pace: Pace
    inbox: Inbox = field(factory=Inbox)
    conversations: dict[str, StoredConversation] = field(factory=dict)
    closed: bool = False

    @classmethod
    def opened(cls, session_id: str, parts: Parts, tokens: TokenSet) -> SessionState:
        """Begin a session with its first tokens, and keep it."""
        parts.store.save_tokens(session_id, to_stored(tokens))
        return cls(session_id, parts, TokenLife(tokens), Pace(parts.settings.poll_interval))

    @classmethod
    def restored(cls, stored: StoredSession, parts: Parts) -> SessionState:
        """Take a session up again where the last process left it."""
        tokens = from_stored(stored.tokens, parts.clock.now(), parts.clock.uniform(0, 1))
        state = cls(stored.id, parts, TokenLife(tokens), Pace(parts.settings.poll_interval))
        state.conversations = dict(stored.conversations)
        for conversation in stored.conversations.values():
            box = state.inbox.box(conversation.id)
            box.closing = conversation.closing or conversation.finished
            box.finished = conversation.finished
        for conversation_id, marks in stored.seen.items():
            for item_id, mark in marks:
                state.inbox.box(conversation_id).remember(item_id, mark)
        state.inbox.restore(((seq, event(item.raw)) for seq, item in sorted(stored.waiting.items())), stored.cursor)
        return state

    def refuse(self) -> NoReturn:
        """Raise for a call on a session that was closed here."""
        raise SessionError("The session was closed here. Open a new one with connect().")

    def box(self, conversation_id: str) -> Mailbox:
        """Give a conversation's mailbox."""
        return self.inbox.box(conversation_id)

    def request_id(self, conversation_id: str) -> str | None:
        """Give the id that routing gave to the conversation's request, when it gave one."""
        known = self.conversations.get(conversation_id)
        return known.request_id if known else None

    def routed(self, conversation_id: str, request_id: str | None) -> None:
        """Keep that the conversation is in the contact centre's hands."""
        request_id = request_id or self.request_id(conversation_id)
        self._note(StoredConversation(id=conversation_id, request_id=request_id))

    def closing(self, conversation_id: str) -> None:
        """Keep that we have ended the conversation."""
        self.box(conversation_id).closing = True
        self._note(
            evolve(self.conversations.get(conversation_id, StoredConversation(id=conversation_id)), closing=True)
        )

    def _note(self, conversation: StoredConversation) -> None:
        self.conversations[conversation.id] = conversation
        self.parts.store.save_conversation(self.id, conversation)

    def polled(self, poll: Poll) -> None:
        """Take a poll's result in: first into the journal's order, then to the conversations."""
        failed_for = self.pace.succeeded(self.parts.clock.monotonic())
        if failed_for is not None:
            self.inbox.recovered(failed_for)
        before = self.inbox.cursor
        entries = self.inbox.accept(poll.events, poll.cursor)
        if entries or self.inbox.cursor != before:
            waiting = [Waiting(seq=e.seq, raw=e.event.raw) for e in entries if e.seq is not None and e.event.raw]
            self.parts.store.journal(self.id, self.inbox.cursor, waiting)

    def poll_failed(self, error: PuzzelChatError) -> None:
        """Take a failed poll: wait longer, and tell the conversations; or end them with the error."""
        clock = self.parts.clock
        try:
            first = self.pace.failed(error, clock.monotonic(), clock.uniform)
        except PuzzelChatError as fatal:
            log.warning("polling of session %s stopped: %s", self.id, type(fatal).__name__)
            self.inbox.failed(fatal)
            return
        if first:
            log.info("polls of session %s fail for now: %s", self.id, type(error).__name__)
            self.inbox.degraded(str(error))

    def take(self, conversation_id: str) -> Event | None:
        """Give the conversation's next event and count the ones before as done; None when nothing waits.

        Raises the error that ended the polling, once everything before it was taken.
        """
        box = self.box(conversation_id)
        self._acknowledge(box)
        entry = box.hand()
        if entry is None and box.failure is not None:
            raise twin(box.failure)
        return entry.event if entry else None

    def acknowledge_all(self) -> bool:
        """Count everything in the caller's hands as done; tells whether more waits already."""
        for box in list(self.inbox.boxes.values()):
            self._acknowledge(box)
        return any(box.waiting for box in list(self.inbox.boxes.values()))

    def take_all(self) -> list[Event]:
        """Give everything that waits into the caller's hands, conversation by conversation.

        Raises the error that ended the polling, once everything before it was taken.
        """
        taken: list[Event] = []
        for box in list(self.inbox.boxes.values()):
            while (entry := box.hand()) is not None:
                taken.append(entry.event)
        if not taken and self.inbox.failure is not None:
            raise twin(self.inbox.failure)
        return taken

    def delay(self) -> float:
        """Give the seconds until the next poll is due; a full inbox counts as one period more."""
        clock = self.parts.clock
        if self.inbox.is_full:
            log.warning("session %s: a conversation's events are not taken; polling waits for its caller", self.id)
            return self.pace.period
        return self.pace.delay(clock.monotonic(), clock.uniform)

    def _acknowledge(self, box: Mailbox) -> None:
        for done in box.done():
            if done.seq is not None:
                self.parts.store.acknowledge(self.id, box.conversation_id, done.seq, done.event.id, done.mark)
            if isinstance(done.event, ConversationEnded) and box.conversation_id in self.conversations:
                self._note(evolve(self.conversations[box.conversation_id], finished=True))

    def close(self) -> None:
        """Close the session here; it is forgotten, secrets included, once we ended each chat or its end was taken."""
        if self.closed:
            return
        self.closed = True
        try:
            # The store is asked too: another object may have taken the session up and routed a chat in it.
            stored = self.parts.store.load(self.id)
            known = {**(stored.conversations if stored else {}), **self.conversations}
            if all(one.finished or one.closing for one in known.values()):
                self.parts.store.delete(self.id)
        except StoreError as error:
            log.warning("session %s could not be removed from the store: %s", self.id, type(error).__name__)


def opened(parts: Parts, reply: Reply, asked: Now) -> SessionState:
    """Begin a session with the reply to its first token request, sent at `asked`."""
    return SessionState.opened(str(uuid4()), parts, token_set(grant(reply), asked, parts.clock.uniform(0, 1)))


def restored(parts: Parts, session_id: str) -> SessionState:
    """Take up a session of the store; raises `SessionNotFound`."""
    stored = parts.store.load(session_id)
    if stored is None:
        raise SessionNotFound(
            f"The store has no session {session_id!r}. It may have ended, or the store is another one:"
            " use the SQLiteStore of the process that opened it."
        )
    return SessionState.restored(stored, parts)


def check_hours(info: QueueInfo) -> None:
    """Raise `QueueClosed` when the queue says that it is closed; not knowing does not stop a chat."""
    if info.is_open is False:
        told = f" It opens {info.opens_at.isoformat()}." if info.opens_at else " Start the chat within opening hours."
        raise QueueClosed(f"The queue {info.id} is closed.{told}", opens_at=info.opens_at)


def unknown_hours(error: PuzzelChatError) -> bool:
    """Tell whether this failure leaves the opening hours unknown; asking for them is optional (documented)."""
    return error.retryable or isinstance(error, ContractError)
