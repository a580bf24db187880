"""One session: one token, its calls and its polling."""

from __future__ import annotations

import threading
from math import inf
from typing import TYPE_CHECKING
from uuid import uuid4
from weakref import finalize

from puzzel_chat._errors import PuzzelChatError
from puzzel_chat._http import Reply, Request
from puzzel_chat._models import Event, QueueInfo, TimeInfo
from puzzel_chat._retry import again
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
    poll_request,
    queue_request,
    time_request,
)
from puzzel_chat._wire.refusals import error_for

if TYPE_CHECKING:
    from puzzel_chat._sync._conversation import Conversation


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
        self._waits: set[Conversation] = set()
        # A session that nobody holds any more is closed: an ended one is forgotten, one that goes on stays for resume.
        finalize(self, state.close)

    def __repr__(self) -> str:
        return f"<Session {self.id}>"

    @property
    def id(self) -> str:
        """The session's name in the store, for `PuzzelChat.resume`. It is ours; the service never sees it."""
        return self._state.id

    @property
    def conversations(self) -> tuple[Conversation, ...]:
        """The conversations that were routed in this session, also before a resume."""
        return tuple(self.conversation(conversation_id) for conversation_id in self._state.conversations)

    def queue_info(self, queue_id: str) -> QueueInfo:
        """Ask for a queue's opening hours and load. Raises `NotFound` for an unknown queue."""
        return replies.queue_info(self._call(QUEUE, queue_request(queue_id)), replies.now())

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
        Raises what ended the polling.
        """
        with self._lock:
            waits = self._state.acknowledge_all()
        if not waits:
            self._pump(None)
        with self._lock:
            return self._state.take_all()

    def close(self) -> None:
        """Close the session here. A wait for an agent ends and leaves the queue; other chats stay, for `resume`."""
        for conversation in list(self._waits):
            conversation._leave()
        self._closing.set()
        self._keeper.close()
        with self._lock:
            self._state.close()

    def __enter__(self) -> Session:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def _call(self, operation: AnyOperation, request: Request, within: float | None = None) -> Reply:
        """Send, again when that is safe; all of it within so many seconds."""
        clock = self._state.parts.clock
        deadline = None if within is None else clock.monotonic() + within
        attempts = 0
        while True:
            attempts += 1
            try:
                return self._once(operation, request, within)
            except PuzzelChatError as error:
                error.attempts = attempts
                decision = again(error, attempts, repeatable=operation.repeatable, uniform=clock.uniform)
                if decision is None or (deadline is not None and clock.monotonic() + decision.delay >= deadline):
                    raise
            clock.wait(self._closing, decision.delay)

    def _once(self, operation: AnyOperation, request: Request, within: float | None = None) -> Reply:
        """Send once; a token that the service refuses is refreshed and the request replayed once."""
        self._check_open(operation)
        tokens = self._keeper.current(within)
        reply = self._transport.send(request, tokens.access, within)
        if reply.status == 401:
            reply = self._transport.send(request, self._keeper.renewed(tokens.generation, within).access, within)
        if error := error_for(operation, reply):
            raise error
        return reply

    def _next_event(self, conversation_id: str) -> Event | None:
        """Give the conversation's next event, polling until there is one; None after its end."""
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
        if operation is not END and self._closing.is_set():
            self._state.refuse()

    def _pump(self, conversation_id: str | None, deadline: float = inf) -> None:
        """Make one poll when it is due, unless another thread has just brought what this conversation waits for.

        What is due after the deadline (a monotonic time) is not waited for.
        """
        with self._polling:
            if conversation_id is not None and self._state.box(conversation_id).has_news:
                return
            self._check_open(POLL)
            clock = self._state.parts.clock
            left, delay = max(0.0, deadline - clock.monotonic()), self._state.delay()
            clock.wait(self._closing, min(delay, left))
            self._check_open(POLL)
            if delay <= left and not self._state.inbox.is_full:
                self._poll_once()

    def _poll_once(self) -> None:
        try:
            batch = replies.poll(self._once(POLL, poll_request(self._state.inbox.cursor)))
        except PuzzelChatError as error:
            with self._lock:
                self._state.poll_failed(error)
        else:
            with self._lock:
                self._state.polled(batch)
