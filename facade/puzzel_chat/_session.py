"""What both shells share of one session: its token's life, its mail, its pace, and how they are kept in the store.

Nothing here sleeps or sends; the store's calls are short.
"""

from __future__ import annotations

import logging
import math
import os
from typing import NoReturn

from attrs import define, evolve, field, frozen

from puzzel_chat._clock import Clock
from puzzel_chat._errors import PuzzelChatError, SessionError, twin
from puzzel_chat._http import Request
from puzzel_chat._inbox import STRANGERS, Inbox, Mailbox
from puzzel_chat._lease import Mail
from puzzel_chat._models import ConversationEnded, Event
from puzzel_chat._polling import Pace
from puzzel_chat._retry import LAST_WORDS_WITHIN, LEAVE_WITHIN
from puzzel_chat._settings import Settings
from puzzel_chat._store import Store, StoredConversation, StoredSession, StoredTokens, Waiting
from puzzel_chat._tokens import DEFAULT_TTL, Now, TokenLife, TokenSet
from puzzel_chat._wire.operations import poll_request, safe_id
from puzzel_chat._wire.replies import Grant, Poll, event

log = logging.getLogger("puzzel_chat")
_FORKED = (
    "Session {0} belongs to the process that this one was forked from. Take it up here: resume({0!r}, shared=True), or"
    " resume({0!r}) once that process is done with it."
)


def token_set(grant: Grant, asked: Now, spread: float) -> TokenSet:
    """Give the token set of a reply to a request sent at `asked`."""
    ttl = grant.expires_in or DEFAULT_TTL
    return TokenSet(
        access=grant.access,
        refresh=grant.refresh,
        ttl=ttl,
        obtained=asked,
        spread=spread,
        visitor_id=grant.visitor_id,
    )


def to_stored(tokens: TokenSet) -> StoredTokens:
    """Give a token set as the store keeps it."""
    return StoredTokens(
        access=tokens.access,
        refresh=tokens.refresh,
        generation=tokens.generation,
        ttl=tokens.ttl,
        obtained=tokens.obtained.wall,
        visitor_id=tokens.visitor_id,
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
        visitor_id=stored.visitor_id,
    )
    return tokens.moved_to(now)


@frozen
class Parts:
    """What an application's sessions have in common, beside the transport."""

    settings: Settings
    store: Store
    clock: Clock


@define
class SessionState:
    """One session, without its shell."""

    id: str
    parts: Parts
    life: TokenLife
    pace: Pace
    mail: Mail
    inbox: Inbox = field(factory=Inbox)
    conversations: dict[str, StoredConversation] = field(factory=dict)
    route_sent: set[str] = field(factory=set)
    not_left: dict[str, float] = field(factory=dict)
    last_closing: float = -math.inf
    closed: bool = False
    held_up: bool = False
    last: Poll | None = None
    _next_request: Request | None = field(default=None, init=False)
    process: int = field(factory=os.getpid)

    @classmethod
    def opened(cls, session_id: str, parts: Parts, tokens: TokenSet) -> SessionState:
        """Begin a session with its first tokens, and keep it."""
        parts.store.save_tokens(session_id, to_stored(tokens))
        mail = Mail(session_id, parts.store, parts.clock)
        mail.take()
        return cls(session_id, parts, TokenLife(tokens), Pace(parts.settings.poll_interval), mail)

    @classmethod
    def restored(cls, stored: StoredSession, parts: Parts, mail: Mail) -> SessionState:
        """Take a session up again where the last process left it; what waits, only with the mail."""
        tokens = from_stored(stored.tokens, parts.clock.now(), parts.clock.uniform(0, 1))
        state = cls(stored.id, parts, TokenLife(tokens), Pace(parts.settings.poll_interval), mail)
        state.conversations = dict(stored.conversations)
        for conversation in stored.conversations.values():
            box = state.inbox.box(conversation.id)
            box.closing = conversation.closing or conversation.finished
            box.finished = conversation.finished
        if not mail.mine:
            return state
        for conversation_id, marks in stored.seen.items():
            for item_id, mark in marks:
                state.inbox.box(conversation_id).remember(item_id, mark)
        state.inbox.restore(((seq, event(item.raw)) for seq, item in sorted(stored.waiting.items())), stored.cursor)
        return state

    def refuse(self) -> NoReturn:
        """Raise for a call on a session that was closed here."""
        raise SessionError("The session was closed here. Open a new one with connect().")

    @property
    def is_here(self) -> bool:
        """Tell whether this process made the object, not the one that it was forked from."""
        return self.process == os.getpid()

    def check_process(self) -> None:
        """Raise for a call in a process that was forked from the session's own."""
        if not self.is_here:
            raise SessionError(_FORKED.format(self.id))

    def check_mail(self) -> None:
        """Raise for a call that takes mail, unless it is this object's; after a close others say what is wrong."""
        self.check_process()
        if not self.closed:
            self.mail.keep()
            self.mail.check()

    def box(self, conversation_id: str) -> Mailbox:
        """Give a conversation's mailbox."""
        if conversation_id not in self.inbox.boxes:
            # What the last reply held was not given to this one.
            self.last = None
        return self.inbox.box(conversation_id)

    def request_id(self, conversation_id: str) -> str | None:
        """Give the id that routing gave to the conversation's request, when it gave one."""
        known = self.conversations.get(conversation_id)
        return known.request_id if known else None

    def routed(self, conversation_id: str, request_id: str | None) -> None:
        """Keep that the conversation is in the contact centre's hands."""
        # An end of ours may have overtaken the reply.
        known = self.conversations.get(conversation_id, StoredConversation(id=conversation_id))
        self._note(evolve(known, request_id=safe_id(request_id) or known.request_id))

    def may_be_routed(self, conversation_id: str) -> bool:
        """Tell whether the contact centre may have the conversation, or may get it from a request under way."""
        if conversation_id in self.conversations or conversation_id in self.route_sent:
            return True
        return conversation_id in self.parts.store.conversations(self.id)

    def going_on(self) -> list[str]:
        """Give the conversations that nobody has ended, as far as is known here."""
        return [one for one in {*self.conversations, *self.route_sent} if not self.box(one).is_over]

    def leave_by(self, conversation_id: str) -> float:
        """Give the monotonic time by which all leaving that begins now must be over.

        It is past when leaving this conversation failed, or was stopped, just now: one interruption unwinds several
        blocks, and what cannot be told in one of them cannot be told in the next.
        """
        now, failed = self.parts.clock.monotonic(), self.not_left.get(conversation_id, -math.inf)
        return failed if now - failed < LEAVE_WITHIN else now + LEAVE_WITHIN

    def closing(self, conversation_id: str) -> None:
        """Keep that we have ended the conversation."""
        self.box(conversation_id).closing = True
        self.last_closing = self.parts.clock.monotonic()
        known = self.conversations.get(conversation_id, StoredConversation(id=conversation_id))
        self._note(evolve(known, closing=True))

    def _note(self, conversation: StoredConversation) -> None:
        self.conversations[conversation.id] = conversation
        self.parts.store.save_conversation(self.id, conversation)

    def poll_request(self) -> Request:
        """Give the request for what follows the cursor."""
        if self._next_request is None:
            self._next_request = poll_request(self.inbox.cursor)
        return self._next_request

    def polled(self, poll: Poll) -> None:
        """Take a poll's result in: first into the journal's order, then to the conversations.

        Raises `SessionInUse` when the mail is another's by now; then nothing of it is given to anybody.
        """
        failed_for = self.pace.succeeded(self.parts.clock.monotonic())
        if failed_for is not None:
            self.inbox.recovered(failed_for)
        before = self.inbox.cursor
        self.last = poll
        entries = self.inbox.accept(poll.events, poll.cursor, len(poll.items))
        if len(self.inbox.boxes) >= STRANGERS:
            # Something may not have been taken that is asked for later.
            self.last = None
        if entries or self.inbox.cursor != before:
            self._next_request = None
            waiting = [Waiting(seq=e.seq, raw=e.event.raw) for e in entries if e.seq is not None and e.event.raw]
            self.mail.journal(self.inbox.cursor, waiting)

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
        if clock.monotonic() - max(self.pace.failing_since or 0.0, self.last_closing) >= LAST_WORDS_WITHIN:
            self.inbox.end_ours()

    def take(self, conversation_id: str) -> Event | None:
        """Give the conversation's next event and count the ones before as done; None when nothing waits.

        Raises the error that ended the polling, once everything before it was taken; `SessionInUse`, `StoreError`.
        """
        if self.closed:
            return None
        self.acknowledge(conversation_id)
        box = self.box(conversation_id)
        entry = box.hand()
        if entry is None and box.failure is not None:
            raise twin(box.failure)
        return entry.event if entry else None

    def acknowledge(self, conversation_id: str) -> None:
        """Count the conversation's event in the caller's hands as done; raises `SessionInUse`, `StoreError`."""
        if not self.closed:
            self._acknowledge(self.box(conversation_id))
            self.mail.tell(conversation_id)

    def acknowledge_all(self) -> bool:
        """Count everything in the caller's hands as done; tells whether more waits already. Raises as `take`."""
        if self.closed:
            return False
        for box in list(self.inbox.boxes.values()):
            self._acknowledge(box)
        self.mail.tell("")
        return any(box.waiting for box in list(self.inbox.boxes.values()))

    def take_all(self) -> list[Event]:
        """Give everything that waits into the caller's hands, conversation by conversation.

        Raises the error that ended the polling, once everything before it was taken.
        """
        if self.closed:
            self.refuse()
        self.mail.tell("")
        taken: list[Event] = []
        for box in list(self.inbox.boxes.values()):
            while (entry := box.hand()) is not None:
                taken.append(entry.event)
        if not taken and self.inbox.failure is not None:
            raise twin(self.inbox.failure)
        return taken

    def delay(self, searching: bool) -> float:
        """Give the seconds until the next poll is due; a full inbox counts as one period more.

        Who searches for a message of ours polls all the same: what that brings is bounded by the time for it.
        """
        clock = self.parts.clock
        if not searching:
            told, self.held_up = self.held_up, self.inbox.is_full
            if self.held_up and not told:
                log.warning("session %s: a conversation's events are not taken; polling waits for its caller", self.id)
            if self.held_up:
                return self.pace.period
        return self.pace.delay(clock.monotonic(), clock.uniform)

    def _acknowledge(self, box: Mailbox) -> None:
        for done in box.done():
            if isinstance(done.event, ConversationEnded) and box.conversation_id in self.conversations:
                over = evolve(self.conversations[box.conversation_id], finished=True)
                self.conversations[over.id] = over
                self.mail.finished(over)  # first: a process killed between the two writes would lose the end
            if done.seq is not None:
                self.mail.acknowledge(box.conversation_id, done.seq, done.event.id, done.mark)

    def close(self) -> None:
        """Close the session here; it is forgotten, secrets included, once we ended each chat or its end was taken.

        That is for the owner of its mail to do; and a forked process leaves alone what is its parent's.
        """
        if self.closed or not self.is_here:
            return
        self.closed = True
        try:
            self.mail.catch_up()
            # The store is asked too: another object may share the session and have routed a chat in it.
            stored = self.parts.store.conversations(self.id) if self.mail.mine else {}
            known = {**stored, **self.conversations}
            if all(one.finished or one.closing for one in known.values()) and self.mail.renewed():
                self.parts.store.delete(self.id)
            self.mail.give_back()
        except SessionError as error:
            log.warning("session %s could not be closed in the store: %s", self.id, type(error).__name__)
