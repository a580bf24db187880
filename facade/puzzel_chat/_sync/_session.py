"""One session: one token, its calls and its polling."""

from __future__ import annotations

import threading
from math import inf
from typing import TYPE_CHECKING
from uuid import uuid4
from weakref import finalize

from puzzel_chat import _exit
from puzzel_chat._errors import PuzzelChatError
from puzzel_chat._http import Reply, Request
from puzzel_chat._models import Event, QueueInfo, TimeInfo
from puzzel_chat._retry import LEAVE_WITHIN, again, within
from puzzel_chat._state import SessionState
from puzzel_chat._sync._keeper import TokenKeeper
from puzzel_chat._transport import Transport
from puzzel_chat._wire import replies
from puzzel_chat._wire.operations import (
    END,
    POLL,
    QUEUE,
    TIME,
    AnyOperation,
    checked_id,
    queue_request,
    time_request,
)
from puzzel_chat._wire.refusals import error_for

if TYPE_CHECKING:
    from puzzel_chat._sync._conversation import Conversation
    from puzzel_chat._sync._ending import Ending


class Session:
    """One token at the service, which is what the service calls a session (documented).

    Made by `PuzzelChat.connect()` and `resume()`. Usable from several threads. As a context manager it closes itself.
    """

    def __init__(self, state: SessionState, transport: Transport) -> None:
        self._state = state
        self._transport = transport
        self._keeper = TokenKeeper(state, transport)
        self._lock = threading.RLock()
        self._polling = threading.Lock()
        self._closing = threading.Event()
        self._searches: set[Ending] = set()
        self._owed: set[Ending] = set()
        # A session that nobody holds any more is closed: an ended one is forgotten, one that goes on stays for resume.
        finalize(self, state.close)
        _exit.SESSIONS.add(self)

    def __repr__(self) -> str:
        return f"<Session {self.id}>"

    @property
    def id(self) -> str:
        """The session's name in the store, for `PuzzelChat.resume`. It is ours; the service never sees it."""
        return self._state.id

    @property
    def visitor_id(self) -> str | None:
        """Who the service takes the customer for, None when it did not say; masked in a repr."""
        return self._state.life.tokens.visitor_id

    @property
    def conversations(self) -> tuple[Conversation, ...]:
        """The conversations that were routed in this session, also before a resume."""
        return tuple(self.conversation(conversation_id) for conversation_id in self._state.conversations)

    def queue_info(self, visual_queue_id: str | int) -> QueueInfo:
        """Ask for a queue's opening hours and load, by its visual queue id. Raises `NotFound` for an unknown queue."""
        return replies.queue_info(self._call(QUEUE, queue_request(visual_queue_id)), replies.now())

    def time_info(self, time_id: str) -> TimeInfo:
        """Ask which exit of a time module (opening hours) is in force. Raises `NotFound` for an unknown one."""
        return replies.time_info(self._call(TIME, time_request(time_id)), replies.now())

    def conversation(self, conversation_id: str | None = None) -> Conversation:
        """Give a conversation of this session; without an id, a new one of a random id. Nothing is sent yet."""
        from puzzel_chat._sync._conversation import Conversation

        chosen = str(uuid4()) if conversation_id is None else checked_id("conversation_id", conversation_id)
        return Conversation(self, chosen)

    def poll(self) -> list[Event]:
        """Give what is new in all conversations; unless something waits already, poll once when that is due.

        Calling again says that what came before has been handled; after a crash the whole of the last list comes again.
        Raises what ended the polling; `SessionInUse` when another object has the session's mail.
        """
        self._state.check_mail()
        with self._lock:
            waits = self._state.acknowledge_all()
        if not waits:
            self._pump(None)
        with self._lock:
            return self._state.take_all()

    def close(self) -> None:
        """Close the session here, within about five seconds: a search for an agent ends and leaves the queue.

        Other chats stay, for `resume`; those of a `MemoryStore` are ended when the program exits.
        """
        self._close(self._state.parts.clock.monotonic() + LEAVE_WITHIN)

    def __enter__(self) -> Session:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def _close(self, by: float) -> None:
        """Close by that monotonic time; searches in other threads hear of it and leave side by side."""
        if not self._state.is_here:
            return
        self._closing.set()
        try:
            for ending in [*self._searches, *self._owed]:
                ending.close(by)
            self._keeper.close(by)
            # What a poll under way brings is written first, for some services tell it only once.
            if self._polling.acquire(timeout=max(0.0, by - self._state.parts.clock.monotonic())):
                self._polling.release()
        finally:
            with self._lock:
                self._state.close()

    def _call(self, operation: AnyOperation, request: Request, by: float = inf) -> Reply:
        """Send, again when that is safe; all of it by that monotonic time."""
        clock = self._state.parts.clock
        attempts = 0
        while True:
            attempts += 1
            try:
                return self._once(operation, request, by)
            except PuzzelChatError as error:
                error.attempts = attempts
                decision = again(error, attempts, repeatable=operation.repeatable, uniform=clock.uniform)
                if decision is None or clock.monotonic() + decision.delay >= by:
                    raise
            # An end goes on while the session closes, at its own pace.
            clock.wait(threading.Event() if operation is END else self._closing, decision.delay)

    def _once(self, operation: AnyOperation, request: Request, by: float = inf) -> Reply:
        """Send once, when the session is open."""
        self._check_open(operation)
        return self._exchange(operation, request, by)

    def _exchange(self, operation: AnyOperation, request: Request, by: float = inf) -> Reply:
        """Send once; a token that the service refuses is refreshed and the request replayed once."""
        clock = self._state.parts.clock
        tokens = self._keeper.current(by)
        reply = self._transport.send(request, tokens.access, within(by, clock.monotonic()))
        if reply.status == 401:
            tokens = self._keeper.renewed(tokens.generation, by)
            reply = self._transport.send(request, tokens.access, within(by, clock.monotonic()))
        if error := error_for(operation, reply):
            raise error
        return reply

    def _next_event(self, conversation_id: str) -> Event | None:
        """Give the conversation's next event, polling until there is one; None after its end."""
        self._state.check_mail()
        while True:
            with self._lock:
                event = self._state.take(conversation_id)
            if event is not None:
                return event
            if self._state.box(conversation_id).finished:
                return None
            self._pump(conversation_id)

    def _check_open(self, operation: AnyOperation) -> None:
        """Raise when the session is closed or closing; only ends still go out, so that nobody stays in a queue."""
        self._state.check_process()
        if operation is not END and self._closing.is_set():
            self._state.refuse()
        self._state.mail.keep()
        if operation is POLL:
            self._state.mail.check()

    def _may_bring(self, conversation_id: str) -> bool:
        """Tell whether polls can still bring something for a conversation: nothing comes behind its end."""
        ended = self._state.box(conversation_id).knows_end
        return not (ended or self._state.inbox.failure or self._closing.is_set())

    def _pump(self, conversation_id: str | None, deadline: float = inf) -> None:
        """Make one poll when it is due, unless another thread has just brought what this conversation waits for.

        With a deadline (a monotonic time) somebody searches for a message: what is due later is not waited for, and
        neither is another thread's turn.
        """
        clock, searching = self._state.parts.clock, deadline < inf
        if searching and self._polling.locked():
            clock.wait(self._closing, max(0.0, min(self._state.pace.period, deadline - clock.monotonic())))
            return
        with self._polling:
            if conversation_id is not None and self._state.box(conversation_id).has_news:
                return
            self._check_open(POLL)
            left, delay = max(0.0, deadline - clock.monotonic()), self._state.delay(searching)
            clock.wait(self._closing, min(delay, left))
            self._check_open(POLL)
            if delay <= left and (searching or not self._state.inbox.is_full):
                self._poll_once()

    def _poll_once(self) -> None:
        """Poll now; the caller holds `_polling` and has checked `POLL`. A poll that fails raises nothing."""
        try:
            reply = self._exchange(POLL, self._state.poll_request())
            batch = replies.poll(reply, self._state.last)
        except PuzzelChatError as error:
            with self._lock:
                self._state.poll_failed(error)
        else:
            with self._lock:
                self._state.polled(batch)
