"""One session: how it begins, its calls, its polls, its token, and how it is kept in the store."""

from __future__ import annotations

import json
import logging
import math
import os
import re
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from functools import partial
from math import inf
from secrets import token_urlsafe
from typing import Any, Generic, NoReturn, Protocol, TypeVar, cast
from uuid import uuid4
from weakref import ref

from attrs import define, evolve, field

from puzzel_chat._errors import (
    ConfigurationError,
    EventTimeout,
    InvalidArgument,
    PuzzelChatError,
    SessionError,
    SessionInUse,
    SessionNotFound,
    StoreError,
    twin,
)
from puzzel_chat._http import REDIRECTS, Reply, Request
from puzzel_chat._inbox import LONGEST_CURSOR, STRANGERS, Entry, Feed, Inbox, Reader
from puzzel_chat._lease import PollLease, damaged
from puzzel_chat._models import ConversationEnded, Event, Life, Message, Role, Secret, Visitor
from puzzel_chat._observing import ChatEnded, ChatStarted, MessageReceived, PollEnded, PollsDegraded, PollsRecovered
from puzzel_chat._polling import Pace
from puzzel_chat._refresh import Keeper, Turns, checked_tokens, stored_tokens
from puzzel_chat._retry import LAST_WORDS_WITHIN, LEAVE_WITHIN, again, checked_bound, retry_after, within
from puzzel_chat._settings import Settings
from puzzel_chat._steps import LOOK_AGAIN, Flag, Parts, Send, Sleep, Steps, Wait, afterwards, followed, kept, patiently
from puzzel_chat._store import Store, StoredConversation, StoredSession, Unread
from puzzel_chat._tokens import MOST, NOBODY, VISITOR_FIELDS, Now, TokenLife, TokenSet, challenge, connect_fields
from puzzel_chat._wire.operations import (
    AUTHENTICATE,
    END,
    POLL,
    TOKEN,
    AnyOperation,
    authenticate_request,
    checked_id,
    poll_request,
    safe_id,
    token_request,
)
from puzzel_chat._wire.refusals import error_for, suspected
from puzzel_chat._wire.replies import Poll, event, grant, is_page, poll, signed_in

log = logging.getLogger("puzzel_chat")
_T = TypeVar("_T")
ALMOST_NOW = 1e-3
"""Seconds that are no wait."""
AT_ONCE = 500
"""Items of a reply that are read in one go."""
REPLAYS = 3
"""Times that a request is sent again with a newer token; a token may be revoked again before it is used."""
_CURSOR = re.compile(f"[^\ud800-\udfff]{{0,{LONGEST_CURSOR}}}")
_MARK = re.compile(r"[0-9]{1,4300}:[^\ud800-\udfff:]*(:-?[0-9]{1,12}\.[0-9]{6}:[a-z]+)?")
_NO_SESSION = (
    "The store has no session {0!r}. It may have ended, or the store is another one: use the store of the process that"
    " opened it."
)
_NO_CONVERSATION = (
    "No session of the store has the conversation {0!r}. It may be over, or the store is another one: use the store of"
    " the process that began it."
)
_FORKED = (
    "Session {0} belongs to the process that this one was forked from. Take it up here: resume({0!r}, shared=True), or"
    " resume({0!r}) once that process is done with it."
)


class Leaving(Protocol):
    """A conversation that may have to be left when its session closes."""

    def leave(self, by: float) -> Steps[None]:
        """End it at the service, until that monotonic time."""
        ...


@define(eq=False)
class Search:
    """Somebody who asks for an agent: `caller` is the thread or task, None while the application has the turn."""

    conversation: Leaving
    over: Flag
    caller: object | None = None


@define(eq=False)
class SessionState:
    """One session as both shells share it.

    It decides everything about the session: what is sent again, when to poll, what is written down before a caller gets
    it, what is left at a close. Its workflows (`Steps`) are run by a shell, under the shell's lock where there are
    threads; its other methods neither wait nor send nor call the store. `feed` has what was received, `keeper` the
    token, `lease` the right to poll, `pace` when the next poll is due. `host` is what a loop knows of the polled
    host, `taken_over` says that another process polled the session before, `to_the_end` that a `Worker` has it: what
    that one leaves unread is the next one's.
    """

    id: str
    parts: Parts
    keeper: Keeper
    lease: PollLease
    pace: Pace
    closing: Flag
    feed: Feed = field(factory=Feed)
    conversations: dict[str, StoredConversation] = field(factory=dict)
    not_left: dict[str, float] = field(factory=dict)
    searches: list[Search] = field(factory=list)
    owed: list[Leaving] = field(factory=list)
    closed: bool = False
    chats: set[str] = field(factory=set)
    host: Turns | None = None
    taken_over: bool = False
    to_the_end: bool = False
    last: Poll | None = None
    process: int = field(factory=os.getpid)
    _last_ending: float = field(default=-inf, init=False)
    _polling: bool = field(default=False, init=False)
    _polled: Flag | None = field(default=None, init=False)
    _held_up: bool = field(default=False, init=False)
    _collector: Reader | None = field(default=None, init=False)
    _collecting: int = field(default=0, init=False)
    _next_request: Request | None = field(default=None, init=False)

    # How a session begins and ends.

    @classmethod
    def opened(cls, session_id: str, parts: Parts, tokens: TokenSet, asked: Now) -> Steps[SessionState]:
        """Begin a session with its first tokens, asked for at that moment, and keep it."""
        yield from kept(Store.save_tokens, session_id, tokens)
        lease = PollLease(session_id, parts)
        yield from lease.take()
        return cls._made(session_id, parts, tokens, asked, lease)

    @classmethod
    def restored(cls, stored: StoredSession, parts: Parts, lease: PollLease) -> SessionState:
        """Take a session up again where the last process left it; what is unread, only with the right to poll."""
        state = cls._made(stored.id, parts, stored.tokens, parts.clock.now(), lease)
        state.conversations = dict(stored.conversations)
        for conversation in stored.conversations.values():
            inbox = state.feed.inbox(conversation.id)
            inbox.life = conversation.life if conversation.life.over else Life.OPEN
            if inbox.life is not Life.READ:
                state.chat_started(conversation.id, resumed=True)
        if not lease.mine:
            return state
        state.taken_over = True
        for conversation_id, marks in stored.seen.items():
            for item_id, mark in marks:
                state.feed.inbox(conversation_id).remember(item_id, mark)
        unread = ((seq, one.conversation_id, event(one.raw)) for seq, one in sorted(stored.unread.items()))
        state.feed.restore(unread, stored.cursor)
        return state

    @classmethod
    def _made(cls, session_id: str, parts: Parts, tokens: TokenSet, asked: Now, lease: PollLease) -> SessionState:
        life = TokenLife.begun(tokens, asked, parts.clock.uniform(0, 1))
        keeper = Keeper(session_id, parts, life, behind=lease.distrust)
        state = cls(session_id, parts, keeper, lease, Pace(parts.settings.poll_interval), parts.flag())
        mine = ref(state)  # without a cycle: a session that nobody holds is closed at once
        lease.snapshot = lambda: cast("SessionState", mine()).snapshot()
        return state

    def shut(self, by: float | None = None) -> Steps[None]:
        """Close the session here by that monotonic time, within five seconds unless given.

        Searches for an agent end and leave the queue: those of other threads and tasks by themselves, side by side.
        """
        if not self.is_here:
            return
        by = self.parts.clock.monotonic() + LEAVE_WITHIN if by is None else by
        self.closing.set()
        yield from afterwards(self._left(by), self.close)

    def _left(self, by: float) -> Steps[None]:
        clock = self.parts.clock
        for search in list(self.searches):
            if search.caller not in (None, self.parts.caller()):
                yield Wait(search.over, max(0.0, by - clock.monotonic()))
        for conversation in [*(search.conversation for search in self.searches), *self.owed]:
            yield from conversation.leave(by)
        yield from self.keeper.close(by)
        if self._polling:
            # What a poll under way brings is written first, for some services tell it only once.
            yield self._turn(max(0.0, by - clock.monotonic()))
        with suppress(SessionError):
            yield from self.written(by, leaving=True)

    def close(self, *, dropped: bool = False) -> Steps[None]:
        """Forget the session, secrets included, once we ended each chat or its end was read; else keep it for `resume`.

        In a worker's hands each end must have been read, for it was another process that ended a chat. That is for the
        owner of its lease to do; and a forked process leaves alone what is its parent's. `dropped`: nobody holds the
        session any more, and the garbage collector closes it.
        """
        if self.closed or not self.is_here:
            return
        self.closed = True
        for conversation_id in list(self.chats):
            self.chat_ended(conversation_id, later=dropped)
        try:
            yield from self.lease.catch_up()
            # The store is asked too: another object may share the session and have routed a chat in it.
            stored = (yield from stored_conversations(self.parts, self.id)) if self.lease.mine else {}
            known = {**stored, **self.conversations}
            lives = [one.life for one in known.values()]
            over = all(life is Life.READ if self.to_the_end else life.over for life in lives)
            if over and (yield from self.lease.renewed()):
                yield from kept(Store.delete, self.id)
            yield from self.lease.give_back()
        except SessionError as error:
            log.warning("session %s could not be closed in the store: %s", self.id, type(error).__name__)

    def chat_started(self, conversation_id: str, *, resumed: bool = False) -> None:
        """Tell that a chat begins here, unless that was told."""
        if self.parts.watch.observe is not None and conversation_id not in self.chats:
            self.chats.add(conversation_id)
            told = ChatStarted(session_id=self.id, conversation_id=conversation_id, resumed=resumed)
            self.parts.watch.tell(told)

    def chat_ended(
        self, conversation_id: str, end: Event | None = None, *, error: str | None = None, later: bool = False
    ) -> None:
        """Tell that a chat is over here, once, by its end event, or by the session's end."""
        if conversation_id not in self.chats:
            return
        self.chats.discard(conversation_id)
        by = end.by if isinstance(end, ConversationEnded) else None
        if by is None and self.inbox(conversation_id).life is Life.ENDING:
            by = Role.CUSTOMER
        tell = self.parts.watch.tell_later if later else self.parts.watch.tell
        tell(ChatEnded(session_id=self.id, conversation_id=conversation_id, by=by, error=error))

    def refuse(self) -> NoReturn:
        """Raise for a call on a session that was closed here."""
        raise SessionError("The session was closed here. Open a new one with connect().")

    @property
    def is_here(self) -> bool:
        """Whether this process made the object, not the one that it was forked from."""
        return self.process == os.getpid()

    def check_here(self) -> None:
        """Raise for a call in a process that was forked from the session's own."""
        if not self.is_here:
            raise SessionError(_FORKED.format(self.id))

    # One call.

    def call(
        self, operation: AnyOperation, request: Request, by: float = inf, timeout: float | None = None
    ) -> Steps[Reply]:
        """Send, again when that is safe; all of it by that monotonic time, and within `timeout` seconds if given."""
        if timeout is not None:
            request, by = evolve(request, timeout=timeout), min(by, self.deadline(timeout))
        once = partial(self.once, operation, by=by)
        # An end goes on while the session closes, at its own pace.
        wake = None if operation is END else self.closing
        return (yield from repeated(once, request, self.parts, self.id, operation.repeatable, by, wake))

    def deadline(self, timeout: float | None) -> float:
        """Return the monotonic deadline of a call for which a caller allows so many seconds."""
        return inf if timeout is None else self.parts.clock.monotonic() + checked_bound(timeout)

    def once(self, operation: AnyOperation, request: Request, by: float = inf) -> Steps[Reply]:
        """Send once, when the session is open."""
        self.check_open(operation)
        yield from self.lease.keep()
        return (yield from self._exchange(operation, request, by))

    def check_open(self, operation: AnyOperation) -> None:
        """Raise when the session is closed or closing; only ends still go out, so that nobody stays in a queue."""
        if self.process != os.getpid():
            self.check_here()
        if operation is not END and self.closing.is_set():
            self.refuse()
        if operation is POLL:
            self.lease.check()

    def _exchange(self, operation: AnyOperation, request: Request, by: float = inf) -> Steps[Reply]:
        """Send once; as long as the service refuses the token, send again with a newer one, up to three times."""
        clock = self.parts.clock
        tokens = yield from self.keeper.current(by)
        if operation is POLL:  # its token may have been longer in coming than the lease lasts
            yield from self.lease.hold()
        sent = Send(request, tokens.access, None if by == inf else self._within(by, request), self.id)
        reply: Reply = yield sent
        if reply.status in REDIRECTS:
            request, reply = yield from followed(sent, reply, clock, by, self.keeper.redirected)
        for replays in range(REPLAYS):
            # A page is not the service's no: one newer token is enough to ask.
            if reply.status != 401 or (replays and is_page(reply)):
                break
            tokens = yield from self.keeper.renewed(tokens.generation, by)
            if operation is POLL:
                yield from self.lease.hold()
            request = evolve(request, attempt=request.attempt + 1)
            self.parts.watch.retried(request, 401, 0.0, self.id)
            reply = yield Send(request, tokens.access, self._within(by, request), self.id)
        if error := error_for(operation, reply):
            if operation is not POLL and (asked := retry_after(error)):
                now = clock.monotonic()
                self.pace.hold(now + asked)
                if self.host is not None:
                    self.host.told(now, error)
            raise error
        return reply

    def _within(self, by: float, request: Request) -> float | None:
        return within(by, self.parts.clock.monotonic(), self.parts.settings.address(request.host))

    # Polling.

    def poll_all(self) -> Steps[list[Event]]:
        """Return what is new in all conversations; unless something is unread already, poll once when that is due."""
        yield from self.check_lease()
        # Calls side by side are one reader, and each gets what the others did not.
        reader = self._collector = self._collector or Reader()
        self._collecting += 1
        try:
            self.feed.claim(reader)
            if not (yield from self.acknowledge_all()):
                yield from self.poll_when_due(None)
                self.feed.claim(reader)  # a conversation may be new
            yield from self.written()
            return self.take_all()
        finally:
            self._collecting -= 1
            if not self._collecting:
                self._collector = None
                self.feed.release(reader)

    def written(self, by: float = inf, *, leaving: bool = False) -> Steps[None]:
        """Wait until all is written down, while another process has the store: ten seconds at most, and until then.

        Unless somebody is leaving, it raises as a poll does once the session closes.
        """
        while self.lease.waits and (left := by - self.parts.clock.monotonic()) > 0:
            if not leaving:
                self.check_open(POLL)
            yield Sleep(min(LOOK_AGAIN, left), None if leaving else self.closing)
            yield from self.lease.catch_up()

    def poll_when_due(self, inbox: Inbox | None, by: float = inf, *, searching: bool = False) -> Steps[None]:
        """Make one poll when it is due, unless another caller has just brought what this inbox waits for.

        What is due later than `by`, a monotonic time, is not waited for. Somebody who is `searching` looks for a
        message that was sent, and does not wait for another caller's poll either.
        """
        clock = self.parts.clock
        while self._polling:
            yield self._turn(max(0.0, min(self.pace.period, by - clock.monotonic())))
            if searching or clock.monotonic() >= by:
                return
        self.check_open(POLL)
        if self.feed.failure is not None or (inbox is not None and inbox.has_news and not self.lease.in_doubt):
            return
        self._polling = True
        try:
            left, delay = max(0.0, by - clock.monotonic()), self.delay(searching)
            yield Sleep(min(delay, left), self.closing)
            if delay <= left and (yield from self._may_poll()) and self.delay(searching) <= ALMOST_NOW:
                yield from self._poll()
        finally:
            self._polling = False  # here, for an interrupt may strike at the call
            self._turn_over()

    def poll_if_due(self) -> Steps[tuple[float | None, PuzzelChatError | None]]:
        """Poll if that is due now, for a `PollingLoop`; return when the request began (None: not due), and its error.

        A failed poll's error has been taken in; raises what makes polling impossible.
        """
        while self._polling:
            yield self._turn(self.pace.period)
        self._polling = True
        try:
            if not (yield from self._may_poll()):
                return None, None
            # Somebody who looks for a message that was sent polls too, and may have done it just now.
            if self.feed.failure is not None or self.delay(searching=False) > ALMOST_NOW:
                return None, None
            began = self.parts.clock.monotonic()
            return began, (yield from self._poll())
        finally:
            self._polling = False  # here, for an interrupt may strike at the call
            self._turn_over()

    def _may_poll(self) -> Steps[bool]:
        """Renew the right to poll when that is due; while nobody can tell whose it is, that counts as a failed poll."""
        self.check_open(POLL)
        if self.lease.due():
            try:
                yield from self.lease.hold()
            except StoreError as error:
                self.poll_failed(error)
                return False
            self.check_open(POLL)
        return True

    def delay(self, searching: bool) -> float:
        """Return the seconds until the next poll is due; a full inbox counts as one period more.

        A search for a message of ours polls all the same: what that brings is bounded by the time for it.
        """
        clock = self.parts.clock
        if not searching:
            told, self._held_up = self._held_up, self.feed.is_full
            if self._held_up and not told:
                log.warning("session %s: a conversation's events are not taken; polling waits for its caller", self.id)
            if self._held_up:
                return self.pace.period
        return self.pace.delay(clock.monotonic(), clock.uniform)

    def may_bring(self, inbox: Inbox) -> bool:
        """Return whether polls can still bring something for a conversation: nothing comes behind its end."""
        return not (inbox.life.known or self.feed.failure or self.closing.is_set())

    def _turn(self, seconds: float) -> Wait:
        """Wait for the poll under way, of which there are never two; look again after so many seconds."""
        if self._polled is None:
            self._polled = self.parts.flag()
        return Wait(self._polled, seconds)

    def _turn_over(self) -> None:
        polled, self._polled = self._polled, None
        if polled is not None:
            polled.set()

    def _poll(self) -> Steps[PuzzelChatError | None]:
        if self._next_request is None:
            self._next_request = poll_request(self.feed.cursor)
        ended = None if self.parts.watch.observe is None else self._poll_begun()
        try:
            batch = poll((yield from self._exchange(POLL, self._next_request)), self.last, AT_ONCE)
        except PuzzelChatError as error:
            lost = isinstance(error, SessionInUse)
            if not lost:
                self.poll_failed(error)
            if ended is not None:
                ended(0, type(error).__name__)
            if lost:
                raise
            return error
        events = 0
        try:
            while batch.left:
                yield Sleep(ALMOST_NOW)  # an event loop has other chats
                batch = batch.more(AT_ONCE)
        finally:
            try:
                events = self.polled(batch.more(batch.left) if batch.left else batch)
            finally:
                if ended is not None:
                    ended(events, None)
        if self.lease.unwritten:
            yield from self.lease.catch_up()
        return None

    def _poll_begun(self) -> Callable[[int, str | None], None]:
        """Return what tells of this poll when it has ended, with so many events or an error."""
        watch, monotonic = self.parts.watch, self.parts.clock.monotonic
        began = monotonic()
        late = self.pace.late(began)

        def ended(events: int, error: str | None) -> None:
            seconds = monotonic() - began
            watch.tell(PollEnded(session_id=self.id, late=late, seconds=seconds, events=events, error=error))

        return ended

    def polled(self, batch: Poll) -> int:
        """Take a poll's result in: to the conversations, and to what is written down; count what is new.

        Nothing of it is given to anybody before it is written.
        """
        failed_for = self.pace.succeeded(self.parts.clock.monotonic())
        if failed_for is not None:
            self.feed.recovered(failed_for)
            self.parts.watch.tell(PollsRecovered(session_id=self.id, seconds=failed_for))
        before = self.feed.cursor
        self.last = batch
        entries = self.feed.accept(batch.events, batch.cursor, len(batch.items))
        if len(self.feed.inboxes) >= STRANGERS:
            # Something may not have been taken that is asked for later.
            self.last = None
        if entries or self.feed.cursor != before:
            self._next_request = None
            unread = [row for one in entries if (row := _row(one)) is not None]
            self.lease.journal(self.feed.cursor, unread)
            if self.parts.watch.observe is not None:
                self._tell_received([one.event for one in entries])
        return len(entries)

    def _tell_received(self, events: list[Event]) -> None:
        for one in events:
            if isinstance(one, Message) and one.author.role is not Role.CUSTOMER:
                told = MessageReceived(session_id=self.id, conversation_id=one.conversation_id, role=one.author.role)
                self.parts.watch.tell(told)

    def poll_failed(self, error: PuzzelChatError) -> None:
        """Take a failed poll in: wait longer, and tell the conversations; or end them with the error."""
        clock = self.parts.clock
        try:
            first = self.pace.failed(error, clock.monotonic(), clock.uniform)
        except PuzzelChatError as fatal:
            log.warning("polling of session %s stopped: %s", self.id, type(fatal).__name__)
            self.feed.failed(fatal)
            return
        if first:
            self.parts.watch.tell(PollsDegraded(session_id=self.id, error=type(error).__name__))
            self.feed.degraded(str(error))
        if clock.monotonic() - max(self.pace.failing_since or 0.0, self._last_ending) >= LAST_WORDS_WITHIN:
            self.feed.end_all_over()

    # What callers take, and are done with.

    def check_lease(self) -> Steps[None]:
        """Raise for a call that reads events, unless the right to poll is ours; a closed session says so later."""
        if self.process != os.getpid():
            self.check_here()
        if not self.closed:
            yield from self.lease.keep()
            self.lease.check()

    def inbox(self, conversation_id: str) -> Inbox:
        """Return a conversation's inbox."""
        if conversation_id not in self.feed.inboxes:
            # What the last reply held was not given to this one.
            self.last = None
        return self.feed.inbox(conversation_id)

    def take(self, inbox: Inbox) -> Steps[Event | None]:
        """Return the conversation's next event and count the ones before as done; None when nothing is to be read yet.

        Raises the error that ended the polling, once everything before it was taken; `SessionInUse`, `StoreError`.
        """
        if self.closed:
            return None
        yield from self.acknowledge(inbox)
        if self.closed or self.lease.held_up:
            return None
        entry = inbox.hand()
        if entry is None and inbox.failure is not None:
            raise twin(inbox.failure)
        if self.chats and inbox.life is Life.READ:
            self.chat_ended(inbox.conversation_id, entry.event if entry else None)
        return entry.event if entry else None

    def take_all(self) -> list[Event]:
        """Return everything that is unread, conversation by conversation; raises as `take`."""
        if self.closed:
            self.refuse()
        self.lease.tell("")
        taken: list[Event] = []
        for inbox in list(self.feed.inboxes.values()):
            while (entry := inbox.hand()) is not None:
                taken.append(entry.event)
                if self.chats and inbox.life is Life.READ:
                    self.chat_ended(inbox.conversation_id, entry.event)
        if not taken and self.feed.failure is not None:
            raise twin(self.feed.failure)
        return taken

    def acknowledge(self, inbox: Inbox) -> Steps[None]:
        """Count the event in the caller's hands as done; raises `SessionInUse`, `StoreError`."""
        if self.closed:
            return
        if self.lease.due():
            yield from self.check_lease()  # first: another may have it, and its journal is not ours to change
        if inbox.in_hand:
            self._acknowledge(inbox)
        if self.lease.unwritten:
            yield from self.lease.catch_up()
        self.lease.tell(inbox.conversation_id)

    def acknowledge_all(self) -> Steps[bool]:
        """Count everything in the caller's hands as done; return whether more is unread already. Raises as `take`."""
        if self.closed:
            return False
        yield from self.check_lease()
        for inbox in list(self.feed.inboxes.values()):
            self._acknowledge(inbox)
        yield from self.lease.catch_up()
        self.lease.tell("")
        return any(inbox.unread for inbox in list(self.feed.inboxes.values()))

    def _acknowledge(self, inbox: Inbox) -> None:
        for done in inbox.done():
            if isinstance(done.event, ConversationEnded) and inbox.conversation_id in self.conversations:
                over = evolve(self.conversations[inbox.conversation_id], life=Life.READ)
                self.conversations[over.id] = over
                self.lease.note(over)  # first: a process killed between the two writes would lose the end
            if done.seq is not None:
                self.lease.acknowledge(inbox.conversation_id, done.seq, done.event.id, done.mark)

    # What the contact centre has in its hands.

    def request_id(self, conversation_id: str) -> str | None:
        """Return the id that routing gave to the conversation's request, when it gave one."""
        known = self.conversations.get(conversation_id)
        return known.request_id if known else None

    def asked(self, conversation_id: str) -> Steps[bool]:
        """Keep that an agent is asked for, before that is sent; return whether nobody has done so before.

        A process that is killed right after the request leaves a chat that the next one can find, and end. Raises
        `StoreError`.
        """
        self.chat_started(conversation_id)
        if conversation_id in self.conversations:
            return False
        known = (yield from stored_conversations(self.parts, self.id)).get(conversation_id)
        asked = known or StoredConversation(id=conversation_id, life=Life.ASKED)
        if known is None:
            yield from kept(Store.save_conversation, self.id, asked)
        self.conversations[conversation_id] = asked
        return known is None

    def refused(self, conversation_id: str) -> Steps[None]:
        """Take back that an agent was asked for: the service has certainly not taken the request, nor one before it."""
        if not self.is_routed(conversation_id):
            self.conversations.pop(conversation_id, None)
        try:
            yield from kept(Store.withdraw, self.id, conversation_id)
        except StoreError as error:
            log.warning("conversation %s stays in the store: %s", conversation_id, error)

    def routed(self, conversation_id: str, request_id: str | None) -> Steps[None]:
        """Keep that the conversation is in the contact centre's hands."""
        known = self.conversations.get(conversation_id, StoredConversation(id=conversation_id))
        # An end of ours may have overtaken the reply.
        life = known.life if known.life.over else Life.OPEN
        yield from self._note(evolve(known, life=life, request_id=safe_id(request_id) or known.request_id))

    def may_be_routed(self, conversation_id: str) -> Steps[bool]:
        """Return whether the contact centre may have the conversation, or may get it from a request under way."""
        if conversation_id in self.conversations:
            return True
        return conversation_id in (yield from stored_conversations(self.parts, self.id))

    def is_doubtful(self, conversation_id: str) -> Steps[bool]:
        """Return whether the contact centre may never have heard of the conversation, and no request is under way."""
        if conversation_id in self.conversations:
            return not self.is_routed(conversation_id) and not self.searches
        return not (yield from self.may_be_routed(conversation_id))

    def is_routed(self, conversation_id: str) -> bool:
        """Return whether the contact centre has certainly had the conversation."""
        known = self.conversations.get(conversation_id)
        return known is not None and known.life is not Life.ASKED

    def going_on(self) -> list[str]:
        """Return the conversations that nobody has ended, as far as is known here."""
        return [one for one in self.conversations if not self.inbox(one).life.over]

    def ended(self, conversation_id: str, life: Life = Life.ENDING) -> Steps[None]:
        """Keep that the conversation is over at the service, ended by us or (CLOSED) by somebody else."""
        self.inbox(conversation_id).over(life)
        self._last_ending = self.parts.clock.monotonic()
        known = self.conversations.get(conversation_id, StoredConversation(id=conversation_id))
        yield from self._note(known if known.life.over else evolve(known, life=life))

    def learn(self) -> Steps[None]:
        """Learn from the store which conversations other processes began or ended in this session."""
        for one in (yield from stored_conversations(self.parts, self.id)).values():
            present = self.conversations[one.id] = one.after(self.conversations.get(one.id))
            if present.life.over:
                self.inbox(one.id).over(present.life)

    def leave_by(self, conversation_id: str) -> float:
        """Return the monotonic deadline for all leaving that begins now.

        It is past when leaving this conversation failed, or was stopped, just now: one interruption unwinds several
        blocks, and what cannot be told in one of them cannot be told in the next.
        """
        now, failed = self.parts.clock.monotonic(), self.not_left.get(conversation_id, -math.inf)
        return failed if now - failed < LEAVE_WITHIN else now + LEAVE_WITHIN

    def _note(self, conversation: StoredConversation) -> Steps[None]:
        self.conversations[conversation.id] = conversation
        self.lease.note(conversation)
        yield from self.lease.catch_up()

    def snapshot(self) -> StoredSession:
        """Return the session as it is here, for a store that has lost its last writes."""
        found = StoredSession(id=self.id, tokens=self.keeper.life.tokens, cursor=self.feed.cursor)
        found.conversations.update(self.conversations)
        for inbox in self.feed.inboxes.values():
            waiting = [*inbox.in_hand, *inbox.unread]
            rows = (_row(one) for one in waiting)
            found.unread.update({one.seq: one for one in rows if one is not None})
            new = {(one.event.id, one.mark) for one in waiting}
            marks = ((item, mark) for item, seen in inbox.seen.items() for mark in seen)
            found.seen[inbox.conversation_id] = [pair for pair in marks if pair not in new]
        return found


def _row(entry: Entry) -> Unread | None:
    """Return what is journaled of an event; None for one that the service did not send."""
    if entry.seq is None or not entry.event.raw:
        return None
    return Unread(seq=entry.seq, conversation_id=entry.conversation_id, raw=entry.event.raw)


@define(eq=False)
class EventReader(Reader, Generic[_T]):
    """Takes a conversation's events of one kind, one after the other.

    `timeout` bounds the wait for each, in seconds. `look` asks the service whether it knows the conversation.
    """

    session: SessionState
    inbox: Inbox
    kind: Any
    timeout: float | None
    look: Callable[[], Steps[object]]
    over: bool = field(default=False, init=False)
    _looked: bool = field(default=False, init=False)
    _claimed: bool = field(default=False, init=False)

    def next(self) -> Steps[_T | None]:
        """Return the next one, polling until there is one; None after the end. Raises `EventTimeout`."""
        session, inbox = self.session, self.inbox
        yield from session.check_lease()
        by = inf if self.timeout is None else session.parts.clock.monotonic() + self.timeout
        try:
            if not self._claimed and inbox.life is not Life.READ:
                inbox.claim(self)
                self._claimed = True
            while not self.over:
                event = yield from session.take(inbox)
                if isinstance(event, self.kind):
                    return cast("_T", event)
                if event is None:
                    yield from self._wait(by)
        except BaseException:
            self._release()
            raise
        return None

    def close(self) -> None:
        """Read no more, and let others read."""
        self.over = True
        self._release()

    def _release(self) -> None:
        self._claimed = False
        self.inbox.release(self)

    def _wait(self, by: float) -> Steps[None]:
        session, inbox = self.session, self.inbox
        if inbox.life is Life.READ:
            self.close()
            return
        lease = session.lease
        if lease.unwritten and lease.waits:
            yield from session.written(by)
        else:
            yield from session.poll_when_due(inbox, by)
        if inbox.has_news and not lease.held_up:
            return
        if session.parts.clock.monotonic() >= by:
            raise EventTimeout(f"Nothing happened within {self.timeout:g} seconds. The chat goes on; ask again.")
        if not self._looked and (yield from session.is_doubtful(inbox.conversation_id)):
            # Unless somebody else routed it, nobody would ever write there.
            self._looked = True
            yield from self.look()


def repeated(
    once: Callable[[Request], Steps[_T]],
    request: Request,
    parts: Parts,
    session_id: str,
    repeatable: bool,
    by: float = inf,
    wake: Flag | None = None,
) -> Steps[_T]:
    """Do it once, and again when that is safe; all of it by that monotonic time. `wake` ends a pause."""
    attempts, clock, most = 0, parts.clock, parts.settings.max_retries
    while True:
        attempts += 1
        try:
            return (yield from once(request))
        except PuzzelChatError as error:
            error.attempts = attempts
            delay = again(error, attempts, most_retries=most, repeatable=repeatable, uniform=clock.uniform)
            if delay is None or clock.monotonic() + delay >= by:
                raise
            request = evolve(request, attempt=request.attempt + 1)
            parts.watch.retried(request, error, delay, session_id)
        yield Sleep(delay, wake)


# How a session begins, and is resumed.


def opened(parts: Parts, visitor: Visitor | None, chat: str | None = None) -> Steps[SessionState]:
    """Open a session: ask for a token, for an unknown visitor or for one who is signed in elsewhere.

    `chat` is the id of the conversation that begins with it.
    """
    if visitor is not None and not isinstance(visitor, Visitor):
        raise InvalidArgument("visitor", "must be a Visitor, such as Visitor(access_token=…)")
    # A token that nobody received opened a session that nobody uses: asking again harms nothing. A visitor signs in
    # anew, for what identifies one may be good for one token only.
    session_id, chats = str(uuid4()), set[str]()
    once = partial(_granted, parts, visitor, session_id)
    with _begun(parts, session_id, chat, chats):
        first = Request(operation=TOKEN.name, host=TOKEN.host, method="POST", path="")  # it stands for all attempts
        tokens, asked = yield from repeated(once, first, parts, session_id, repeatable=True)
        state = yield from patiently(partial(SessionState.opened, session_id, parts, tokens, asked), parts.clock)
    state.chats |= chats
    return state


@contextmanager
def _begun(parts: Parts, session_id: str, chat: str | None, chats: set[str]) -> Iterator[None]:
    """Tell that a chat begins with this block, and if it fails, that the chat is over."""
    if chat is None or parts.watch.observe is None:
        yield
        return
    parts.watch.tell(ChatStarted(session_id=session_id, conversation_id=chat))
    try:
        yield
    except BaseException as error:
        name = type(error).__name__
        parts.watch.tell(ChatEnded(session_id=session_id, conversation_id=chat, by=None, error=name))
        raise
    chats.add(chat)


def _granted(parts: Parts, visitor: Visitor | None, session_id: str, first: Request) -> Steps[tuple[TokenSet, Now]]:
    settings = parts.settings
    identified: Mapping[str, str] = NOBODY
    if visitor is not None:
        # PKCE ties the token request to this one.
        verifier = Secret(token_urlsafe(32))
        reply = yield from _ask(AUTHENTICATE, sign_in_request(settings, visitor, verifier), parts, session_id, first)
        identified = dict(zip(VISITOR_FIELDS, (signed_in(reply), verifier), strict=True))
    asked = parts.clock.now()
    try:
        asking = token_request(connect_fields(settings, identified))
        reply = yield from _ask(TOKEN, asking, parts, session_id, first)
    except ConfigurationError as refused:
        raise suspected(refused, settings) from None
    return grant(reply, asked.wall), asked


def sign_in_request(settings: Settings, visitor: Visitor, verifier: str) -> Request:
    """Return the request that identifies a visitor at the identity service."""
    return authenticate_request(settings.solution_id, visitor, challenge(verifier))


def _ask(operation: AnyOperation, request: Request, parts: Parts, session_id: str, first: Request) -> Steps[Reply]:
    sent = Send(evolve(request, attempt=first.attempt), session_id=session_id)
    reply: Reply = yield sent
    _, reply = yield from followed(sent, reply, parts.clock, inf, set())
    if error := error_for(operation, reply):
        raise error
    return reply


def restored(parts: Parts, session_id: str, shared: bool = False) -> Steps[SessionState]:
    """Take up a session of the store, with the right to poll unless shared.

    Raises `SessionNotFound`, `SessionInUse`, `StoreError`.
    """
    if not isinstance(session_id, str):
        raise InvalidArgument("session_id", f"must be a string, not {type(session_id).__name__}")
    lease = PollLease(session_id, parts)
    if shared:
        return SessionState.restored(_there(session_id, (yield from _known(parts, session_id))), parts, lease)
    try:
        # Before reading: what the last owner still writes would be missed.
        yield from lease.take()
        return SessionState.restored(_there(session_id, (yield from loaded(parts, session_id))), parts, lease)
    except (GeneratorExit, SessionInUse):
        raise
    except BaseException:
        with suppress(StoreError):
            yield from lease.release()
        raise


def _there(session_id: str, stored: StoredSession | None) -> StoredSession:
    if stored is None:
        raise SessionNotFound(_NO_SESSION.format(session_id))
    return stored


def attached(parts: Parts, conversation_id: str) -> Steps[SessionState]:
    """Take up the session that has a conversation, without the right to poll; raises as `restored`."""
    session_id = yield from kept(Store.find, checked_id("conversation_id", conversation_id))
    if not isinstance(session_id, str):
        raise SessionNotFound(_NO_CONVERSATION.format(conversation_id))
    return (yield from restored(parts, session_id, shared=True))


def _known(parts: Parts, session_id: str) -> Steps[StoredSession | None]:
    """Return what a session needs that is not polled here."""
    tokens = yield from stored_tokens(parts, session_id)
    if tokens is None:
        return None
    conversations = yield from stored_conversations(parts, session_id)
    return StoredSession(id=session_id, tokens=tokens, conversations=conversations)


# What a store gives, checked: a file holds what anybody wrote into it, and a caller's own store may give anything.


def loaded(parts: Parts, session_id: str) -> Steps[StoredSession | None]:
    """Return a session as the store has it; None when there is none.

    What can be gone around is, with a warning. Raises `StoreError` for what nobody can use.
    """
    found: object = yield from kept(Store.load, session_id)
    store = parts.store
    if found is None:
        return None
    if not isinstance(found, StoredSession):
        raise damaged(store, session_id, f"load gave {type(found).__name__} in place of a StoredSession")
    if found.id != session_id:
        raise damaged(store, session_id, "load gave another session")
    odd: list[str] = []
    tokens = checked_tokens(store, session_id, found.tokens)
    for name in ("conversations", "unread", "seen"):
        if not isinstance(getattr(found, name), dict):
            raise damaged(store, session_id, f"{name} is {type(getattr(found, name)).__name__}, not a dict")
    cursor: object = found.cursor
    if not (cursor is None or (isinstance(cursor, str) and _CURSOR.fullmatch(cursor))):
        cursor = None
        odd.append("the cursor")
    usable = StoredSession(id=session_id, tokens=tokens, cursor=cursor)
    if found.conversations:
        usable.conversations.update(_conversations(found.conversations, odd))
    if found.unread:
        usable.unread.update(_unread(found.unread, odd))
    if found.seen:
        usable.seen.update(_seen(found.seen, odd))
    if odd:
        told = ", ".join(dict.fromkeys(odd))
        log.warning("session %s is damaged in its store; what could not be used: %s", session_id, told)
    return usable


def stored_conversations(parts: Parts, session_id: str) -> Steps[dict[str, StoredConversation]]:
    """Return the conversations that a store has of a session, those that can be used; raises `StoreError`."""
    found: object = yield from kept(Store.conversations, session_id)
    if not isinstance(found, dict):
        raise damaged(parts.store, session_id, f"conversations gave {type(found).__name__}, not a dict")
    return _conversations(found, [])


def _conversations(found: dict[Any, Any], odd: list[str]) -> dict[str, StoredConversation]:
    usable: dict[str, StoredConversation] = {}
    for one in found.values():
        if not isinstance(one, StoredConversation) or safe_id(one.id) is None:
            odd.append("a conversation without a usable id")
            continue
        life: object = one.life
        if not isinstance(life, Life):
            # Most careful: that it goes on. An end that is not needed harms nobody.
            odd.append("a conversation's life")
            life = Life.OPEN
        usable[one.id] = StoredConversation(id=one.id, request_id=safe_id(one.request_id), life=life)
    return usable


def _unread(found: dict[Any, Any], odd: list[str]) -> dict[int, Unread]:
    """Return every item, for somebody wrote it; one that is damaged comes as it is, behind the others."""
    usable: dict[int, Unread] = {}
    behind: list[tuple[str | None, Any]] = []  # `event` takes anything
    for one in found.values():
        seq, raw = (one.seq, _item(one.raw)) if isinstance(one, Unread) else (None, None)
        whose = _whose(one, odd)
        if isinstance(raw, Mapping) and type(seq) is int and 0 <= seq < MOST and seq not in usable:
            usable[seq] = Unread(seq=seq, conversation_id=whose, raw=raw)
        else:
            odd.append("an unread item")
            behind.append((whose, raw))
    # With room between them: what names no conversation goes to each, under a place of its own.
    for whose, raw in behind:
        free = max(usable, default=0) + 2 * STRANGERS
        usable[free] = Unread(seq=free, conversation_id=whose, raw=raw)
    return usable


def _whose(one: object, odd: list[str]) -> str | None:
    whose: object = one.conversation_id if isinstance(one, Unread) else None
    if isinstance(whose, str | None):
        return whose
    odd.append("for whom an unread item is")
    return None


def _item(raw: Any) -> Any:
    try:
        json.dumps(raw, sort_keys=True, default=dict)
    except (TypeError, ValueError, RecursionError):
        return None
    return raw


def _seen(found: dict[Any, Any], odd: list[str]) -> dict[str, list[tuple[str, str]]]:
    usable: dict[str, list[tuple[str, str]]] = {}
    for conversation_id, marks in found.items():
        if not isinstance(conversation_id, str) or not isinstance(marks, list | tuple):
            odd.append("what was seen")
            continue
        usable[conversation_id] = [pair for pair in marks if _is_mark(pair)]
        if len(usable[conversation_id]) < len(marks):
            odd.append("what was seen")
    return usable


def _is_mark(pair: object) -> bool:
    if not isinstance(pair, list | tuple) or len(pair) != 2:
        return False
    item_id, mark = pair
    return isinstance(item_id, str) and isinstance(mark, str) and _MARK.fullmatch(mark) is not None
