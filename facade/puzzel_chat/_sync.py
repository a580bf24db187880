"""Keeps one session's token fresh: one refresh at a time, in a thread of its own that no caller can cancel.

One session: one token, its calls and its polling.

How a conversation is ended at the service: when its caller says so, and in a hurry when something stopped us.

One conversation: routing, waiting for an agent, talking, ending.

The application's entry: settings, one connection pool, one store, and sessions from them.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager, suppress
from math import inf
from uuid import uuid4
from weakref import finalize

from puzzel_chat import _exit
from puzzel_chat._client import Application, SignIn, check_start, checked_visitor, opened, restored
from puzzel_chat._errors import ApiError, Conflict, NotFound, PuzzelChatError, SessionError, TransportError
from puzzel_chat._http import Reply, Request
from puzzel_chat._inbox import Expected, delivery_unknown
from puzzel_chat._models import (
    Allocation,
    Customer,
    Event,
    Message,
    QueueInfo,
    TextMessage,
    TimeInfo,
    Variable,
    Visitor,
    is_message,
    secret_or_none,
)
from puzzel_chat._refresh import TRY_WITHIN, Refresh, after_refusal, next_step
from puzzel_chat._retry import LEAVE_PAUSE, LEAVE_WITHIN, MAX_ATTEMPTS, RECONCILE_WITHIN, again, unknown_outcome, within
from puzzel_chat._routing import AgentWait, check_hours, checked_timeout, must_leave, unknown_hours
from puzzel_chat._session import SessionState, log
from puzzel_chat._settings import Settings
from puzzel_chat._store import owner_name
from puzzel_chat._tokens import NOBODY, Step, TokenSet, connect_fields
from puzzel_chat._transport import Transport
from puzzel_chat._wire import replies
from puzzel_chat._wire.operations import (
    AUTHENTICATE,
    END,
    POLL,
    QUEUE,
    ROUTE,
    SEND,
    STATUS,
    TIME,
    TOKEN,
    TYPING,
    AnyOperation,
    as_customer,
    as_variables,
    checked_id,
    checked_text,
    end_request,
    queue_request,
    route_request,
    send_request,
    status_request,
    time_request,
    token_request,
    typing_request,
)
from puzzel_chat._wire.refusals import error_for


class TokenKeeper:
    """Gives every caller of a session a token that the service takes."""

    def __init__(self, state: SessionState, transport: Transport) -> None:
        self._state = state
        self._transport = transport
        # Reentrant, for a signal's handler may end a chat in the middle of a call.
        self._lock = threading.RLock()
        self._landed = threading.Event()
        self._flight: threading.Thread | None = None

    def current(self, by: float = inf) -> TokenSet:
        """Give a usable token set, waiting for a refresh when there must be one, until that monotonic time."""
        while True:
            with self._lock:
                step = next_step(self._state)
                landed = self._join(step)
                present = self._state.life.tokens
            if step in (Step.USE, Step.USE_AND_START):
                return present
            self._await(landed, by)
            # One that took longer than a token lives is used all the same: the service judges it, not our clock.
            if self._state.life.tokens.generation > present.generation:
                return self._state.life.tokens

    def renewed(self, generation: int, by: float = inf) -> TokenSet:
        """Give a token set newer than the one of that generation, which the service has refused."""
        with self._lock:
            step = after_refusal(self._state, generation)
            landed = self._join(step)
        if step is not Step.USE:
            self._await(landed, by)
            with self._lock:
                self._state.life.newer_than(generation)
        # The newer one may have died as well, when the machine stalled meanwhile.
        return self.current(by)

    def close(self, by: float) -> None:
        """Let a refresh under way land and be stored, until that monotonic time, so that its token is not lost.

        One that takes longer is not waited for again, neither by a second close nor by the exit.
        """
        flight, self._flight = self._flight, None
        if flight is not None:
            _exit.REFRESHES.discard(flight)
            flight.join(max(0.0, by - self._state.parts.clock.monotonic()))

    def _await(self, landed: threading.Event, by: float) -> None:
        if not landed.wait(within(by, self._state.parts.clock.monotonic())):
            late = TransportError("The refresh of the token takes too long.", sent="no")
            late.host = "identity"
            raise late

    def _join(self, step: Step) -> threading.Event:
        if step in (Step.USE_AND_START, Step.START_AND_WAIT):
            self._landed = landed = threading.Event()
            refresh = Refresh.begun(self._state, owner_name())
            # A daemon, so that a service that hangs does not keep the program from its exit.
            flight = threading.Thread(target=self._fly, args=(refresh, landed), name="puzzel-chat-refresh", daemon=True)
            try:
                self._state.life.started()
                flight.start()
                self._flight = flight
                _exit.REFRESHES.add(flight)
            except BaseException as error:
                refresh.ended(error)
                landed.set()
                if not isinstance(error, RuntimeError):
                    raise
        return self._landed

    def _fly(self, refresh: Refresh, landed: threading.Event) -> None:
        with self._lock:
            # An interrupt that struck while the thread was started has called it off.
            if landed.is_set():
                return
        came: TokenSet | Exception
        try:
            came = self._stored_if_newer(refresh) or self._rotated(refresh)
        except Exception as error:
            came = error
        refresh.settle(came)
        with self._lock:
            refresh.ended(came)
        landed.set()

    def _stored_if_newer(self, refresh: Refresh) -> TokenSet | None:
        while not refresh.acquire():
            if newer := refresh.newer_in_store():
                return newer
            self._pause(0.1)
        return refresh.newer_in_store()

    def _rotated(self, refresh: Refresh) -> TokenSet:
        request = refresh.request()
        while True:
            try:
                return refresh.granted(self._transport.send(request, None, TRY_WITHIN))
            except PuzzelChatError as error:
                if not refresh.again(error):
                    raise
            self._pause(0.5)

    def _pause(self, seconds: float) -> None:
        self._state.parts.clock.wait(threading.Event(), seconds)


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


_NOT_ENDED = "The chat could not be ended at the service; closing the session, or end(), tries it again."


class Ending:
    """Ends one conversation. What is not asked for by the caller is done within five seconds, and never hides why."""

    def __init__(self, session: Session, conversation_id: str) -> None:
        self._session = session
        self._id = conversation_id
        self._state = session._state
        self._searcher: threading.Thread | None = None
        self._found = threading.Event()

    def end(self, by: float = inf) -> None:
        """End the chat by that monotonic time; a request for an agent that is on its way is met at the service."""
        clock = self._state.parts.clock
        late = min(by, clock.monotonic() + LEAVE_WITHIN)
        while not self._state.box(self._id).is_over and self._state.may_be_routed(self._id):
            known = self._tell(by) or self._id in self._state.conversations
            if known or clock.monotonic() + LEAVE_PAUSE >= late:
                with self._session._lock:
                    self._state.closing(self._id)
                return
            clock.wait(threading.Event(), LEAVE_PAUSE)

    def by(self) -> float:
        """Give the monotonic time by which all that is left now must be over."""
        return self._state.leave_by(self._id)

    def leave(self, by: float = inf) -> None:
        """End what can be ended; what stopped us matters more than a failure here, and a second stop is the last.

        What failed is tried again when the session closes later.
        """
        by = min(by, self.by())
        if by <= self._state.parts.clock.monotonic():
            return
        failed = True
        try:
            self.end(by)
            failed = False
        except PuzzelChatError as error:
            log.warning("conversation %s could not be ended at the service: %s", self._id, type(error).__name__)
        finally:
            if failed:
                self._state.not_left[self._id] = self._state.parts.clock.monotonic()
                self._session._owed.add(self)

    def leave_after(self, error: BaseException) -> None:
        """Leave, unless the error says that there is nothing to leave."""
        if not must_leave(error):
            return
        try:
            self.leave()
        except BaseException:
            if not isinstance(error, PuzzelChatError):
                raise
            # We left because of an error of ours: this is the first that stops us.
            self._state.not_left.pop(self._id, None)
            self.leave()
            raise
        if self._id in self._state.going_on() and _NOT_ENDED not in getattr(error, "__notes__", ()):
            error.add_note(_NOT_ENDED)

    @contextmanager
    def unless_stopped(self) -> Iterator[None]:
        """Leave when something stops us that is no error of ours: an interrupt, a cancellation."""
        try:
            yield
        except PuzzelChatError:
            raise
        except BaseException:
            self.leave()
            raise

    def search_begins(self) -> None:
        """Note that this thread looks for an agent: a session that closes lets it leave by itself."""
        self._found.clear()
        self._searcher = threading.current_thread()
        self._session._searches.add(self)

    def search_pauses(self) -> None:
        """Note that the caller has the turn, who may never come back."""
        self._searcher = None

    def search_ends(self) -> None:
        """Note that the search is over, and left where that was due."""
        self._session._searches.discard(self)
        self._found.set()

    def close(self, by: float) -> None:
        """Leave because the session closes; searches in other threads do so side by side, and are waited for."""
        if self._searcher not in (None, threading.current_thread()):
            self._found.wait(max(0.0, by - self._state.parts.clock.monotonic()))
        self.leave(by)

    def _tell(self, by: float) -> bool:
        """Send the end; tells whether the service knows the conversation, ended or not."""
        try:
            replies.done(END, self._session._call(END, end_request(self._id), by))
        except ApiError as error:
            if error.status not in (404, 409, 410):
                raise
            return error.status != 404
        return True


Progress = Callable[[Allocation], object]


class Conversation:
    """One chat, under an id that the caller chose. As a context manager it ends the chat when the block is left, once.

    Made by `Session.conversation()` and `PuzzelChat.start()`. One caller at a time takes its events.
    """

    def __init__(self, session: Session, conversation_id: str) -> None:
        self._session = session
        self._id = conversation_id
        self._state = session._state
        self._box = session._state.box(conversation_id)
        self._status_id: str | None = None
        self._owns_session = False
        self._ending = Ending(session, conversation_id)

    def __repr__(self) -> str:
        return f"<Conversation {self.id}{' (over)' if self.ended else ''}>"

    @property
    def id(self) -> str:
        """The conversation's id at the service."""
        return self._id

    @property
    def session(self) -> Session:
        """The session that this conversation belongs to."""
        return self._session

    @property
    def ended(self) -> bool:
        """Tell whether the chat is over, from either side, as far as is known here; its last events may be unread."""
        return self._box.is_over

    def route(
        self,
        queue_key: str,
        *,
        customer: Customer | Mapping[str, str] | None = None,
        variables: Iterable[Variable] | Mapping[str, str] | None = None,
        subject: str | None = None,
    ) -> Allocation:
        """Ask the contact centre to find an agent in that queue. May be repeated safely: the conversation's id is ours.

        Raises `QueueClosed`, `QueueFull`, `RoutingRefused`, `NotFound` for an unknown queue, `ConversationClosed`, or
        `TransportError` when it could not even be learnt whether the request arrived, or `StoreError` after it did.
        Interrupted or cancelled, it leaves the queue first, within five seconds.
        """
        customer, variables, subject = as_customer(customer), as_variables(variables), secret_or_none(subject)
        request = route_request(self.id, queue_key, customer, variables, subject)
        self._box.check_open()
        self._ending.search_begins()
        try:
            with self._ending.unless_stopped():
                return self._route(request)
        finally:
            self._ending.search_ends()

    def allocation(self) -> Allocation:
        """Ask once how the search for an agent goes. Raises `NotFound` when nothing was routed."""
        return self._look(self._session._call)

    def wait_for_agent(self, timeout: float = 120.0, on_progress: Progress | None = None) -> Allocation:
        """Wait until an agent has the chat, for at most `timeout` seconds; `on_progress` is called at each change.

        Raises `AgentWaitTimeout` after leaving the queue on the server, `QueueClosed`, `QueueFull`, `RoutingRefused`,
        or what makes asking useless. Interrupted in any way, it leaves the queue first.
        """
        allocation: Allocation | None = None
        try:
            for allocation in self.allocation_updates(timeout):
                if on_progress is not None:
                    on_progress(allocation)
        except BaseException as error:
            self._ending.leave_after(error)
            raise
        assert allocation is not None
        return allocation

    def allocation_updates(self, timeout: float = 120.0) -> Iterator[Allocation]:
        """Give the allocation at each change, until an agent has the chat; as `wait_for_agent` otherwise.

        Leaving the loop early leaves the chat in the queue.
        """
        clock = self._state.parts.clock
        wait = AgentWait(clock.monotonic(), checked_timeout(timeout))
        self._ending.search_begins()
        try:
            while not wait.done:
                clock.wait(self._session._closing, wait.delay(clock.monotonic(), clock.uniform))
                changed = self._look_again(wait)
                if changed is not None:
                    self._ending.search_pauses()
                    yield changed
                    self._ending.search_begins()
        except BaseException as error:
            self._ending.leave_after(error)
            raise
        finally:
            self._ending.search_ends()

    def events(self) -> Iterator[Event]:
        """Give everything that happens, in order and once, until `ConversationEnded`, which comes last.

        Coming back for the next event says that the last one has been handled. Raises what ended the polling, and
        `SessionInUse`; once `StoreError`, before what could not be written and a crash would lose: call again to go on.
        """
        while (event := self._session._next_event(self.id)) is not None:
            yield event

    def messages(self) -> Iterator[Message]:
        """Give the messages of all sides, own ones included, until the chat ends. As `events()` otherwise."""
        for event in self.events():
            if is_message(event):
                yield event

    def send(self, text: str) -> TextMessage:
        """Send a line of plain text, at most once.

        When no usable reply comes, the message is looked for in the polls that follow. Raises `DeliveryUnknown` when it
        is not found there, `ConversationClosed` when the chat is over (also when its last events are not read yet),
        `InvalidArgument` for an empty text, `TransportError` when it was certainly not sent, or `ApiError`.
        """
        text = checked_text(text)
        self._box.check_open()
        with self._box.sends.expecting(str(uuid4()), text) as expected:
            request = send_request(self.id, text, expected.client_id)
            try:
                reply = self._session._call(SEND, request)
                message = replies.sent_message(reply, self.id, expected.client_id, text)
            except PuzzelChatError as error:
                if not unknown_outcome(error):
                    raise
                return self._reconciled(expected, error)
            with self._session._lock:
                self._box.sent(message)
            return message

    def typing(self, is_typing: bool = True) -> None:
        """Tell the agent that the customer began or stopped typing. Raises `ConversationClosed`."""
        self._box.check_open()
        self._session._call(TYPING, typing_request(self.id, is_typing))

    def end(self) -> None:
        """End the chat, or leave the queue; nothing is sent when it is over already, or was never routed."""
        with self._ending.unless_stopped():
            self._ending.end()

    def transcript(self) -> tuple[Message, ...]:
        """Give the messages seen by this process, edits applied, in the order of the service's times."""
        return self._box.transcript()

    def __enter__(self) -> Conversation:
        return self

    def __exit__(self, kind: object, error: BaseException | None, trace: object) -> None:
        by = self._ending.by()
        try:
            if error is None:
                self.end()
            else:
                self._ending.leave(by)
        finally:
            if self._owns_session:
                self._session._close(min(by, self._ending.by()))

    def _route(self, request: Request) -> Allocation:
        fresh = not self._state.may_be_routed(self.id)
        self._state.route_sent.add(self.id)
        for attempt in range(1, MAX_ATTEMPTS + 1):
            try:
                allocation, request_id = replies.routed(self._session._call(ROUTE, request), replies.now())
            except PuzzelChatError as error:
                found = self._found_routed(error, fresh and attempt == 1)
                if found is not None:
                    return self._routed(found, None)
                if attempt == MAX_ATTEMPTS or isinstance(error, Conflict):
                    raise
            else:
                return self._routed(allocation, request_id)
        raise AssertionError("unreachable")

    def _routed(self, allocation: Allocation, request_id: str | None) -> Allocation:
        with self._session._lock:
            self._state.routed(self.id, request_id)
        return allocation

    def _found_routed(self, error: PuzzelChatError, fresh: bool) -> Allocation | None:
        """Learn whether a request without a clear answer was taken, or an earlier one (409); None when neither was.

        `fresh`: no request before this one can have been taken.
        """
        unknown = unknown_outcome(error)
        try:
            if unknown or isinstance(error, Conflict):
                return self.allocation()
        except NotFound:
            pass
        except PuzzelChatError:
            with self._session._lock:
                self._state.routed(self.id, None)
            raise error from None
        if not unknown and fresh:
            self._state.route_sent.discard(self.id)
        if unknown or isinstance(error, Conflict):
            return None
        raise error

    def _look(self, call: Callable[..., Reply]) -> Allocation:
        request_id = self._state.request_id(self.id)
        try:
            return replies.allocation(call(STATUS, status_request(self._status_id or self.id)), replies.now())
        except NotFound:
            if request_id is None or self._status_id == request_id:
                raise
        found = replies.allocation(call(STATUS, status_request(request_id)), replies.now())
        self._status_id = request_id
        return found

    def _look_again(self, wait: AgentWait) -> Allocation | None:
        try:
            allocation = self._look(self._session._once)
        except PuzzelChatError as error:
            wait.failed(error, self._state.parts.clock.monotonic())
            return None
        return allocation if wait.observe(allocation) else None

    def _reconciled(self, expected: Expected, error: PuzzelChatError) -> TextMessage:
        clock = self._state.parts.clock
        expected.unanswered, deadline = True, clock.monotonic() + RECONCILE_WITHIN
        while (found := self._echo(expected)) is None:
            if clock.monotonic() >= deadline or not self._session._may_bring(self.id):
                raise delivery_unknown(expected) from error
            with suppress(SessionError):
                self._session._pump(None, deadline)
        return found

    def _echo(self, expected: Expected) -> TextMessage | None:
        with self._session._lock:
            return self._box.sends.found(expected)


class PuzzelChat(Application[Transport, Session]):
    """A contact centre's chat, for one application. Usable from several threads; close it, or use it in a `with` block.

    `store` keeps sessions (a `MemoryStore` unless given); the other arguments are the settings of `Settings`, times in
    seconds. Raises `ConfigurationError` naming the setting that is missing or wrong. Nothing is sent yet.
    """

    def connect(self, *, visitor: Visitor | None = None) -> Session:
        """Open a session: ask for a token, for a visitor nobody knows or for one who is signed in elsewhere.

        Raises `ConfigurationError` when the service does not accept the settings, `AuthenticationError`, `NotFound` or
        `ApiError` when it does not accept the visitor, `TransportError`, `RateLimited`, `ServerError`, `ContractError`.
        """
        if visitor is not None:
            checked_visitor(visitor)
        clock = self._parts.clock
        attempts = 0
        while True:
            attempts += 1
            try:
                return self._session(self._opened(visitor))
            except PuzzelChatError as error:
                error.attempts = attempts
                # A token that nobody received opened a session that nobody uses: asking again harms nothing. A visitor
                # signs in anew, for what identifies one may be good for one token only.
                decision = again(error, attempts, repeatable=True, uniform=clock.uniform)
                if decision is None:
                    raise
            clock.wait(threading.Event(), decision.delay)

    def resume(self, session_id: str, *, shared: bool = False) -> Session:
        """Take up a session of the store, also after the process that had it was killed.

        What that process had not handled comes again. With `shared` the session's mail stays with whoever has it: all
        calls work but `poll()`, `events()` and `messages()`. Raises `SessionNotFound`; without `shared`, `SessionInUse`
        while another object has the mail: until that is closed, its process ended on this machine (in another container
        that cannot be seen), or it made no call for 60 seconds.
        """
        return self._session(restored(self._parts, session_id, shared))

    def start(
        self,
        queue_key: str,
        visual_queue_id: str | int | None = None,
        *,
        visitor: Visitor | None = None,
        customer: Customer | Mapping[str, str] | None = None,
        variables: Iterable[Variable] | Mapping[str, str] | None = None,
        subject: str | None = None,
        wait: float = 120.0,
        on_progress: Progress | None = None,
        conversation_id: str | None = None,
    ) -> Conversation:
        """Open a session, check the opening hours, ask for an agent and wait for one, for at most `wait` seconds.

        `queue_key`, such as "q_support", says where to route. `visual_queue_id`, a number, is the same queue's id for
        its opening hours; without it they are not asked for, and a closed queue refuses the routing. `visitor` is as in
        `connect`. With `wait=0` it returns as soon as the chat is in the queue. When anything goes wrong nothing stays
        behind: the queue is left and the session closed. Raises what `connect`, `route` and `wait_for_agent` raise.
        """
        checked_timeout(wait, "wait")
        customer, variables, subject = as_customer(customer), as_variables(variables), secret_or_none(subject)
        check_start(queue_key, visual_queue_id, conversation_id, customer, variables, subject)
        session = self.connect(visitor=visitor)
        try:
            conversation = session.conversation(conversation_id)
            conversation._owns_session = True
            if visual_queue_id is not None:
                self._check_hours(session, visual_queue_id)
        except BaseException:
            session.close()
            raise
        try:
            conversation.route(queue_key, customer=customer, variables=variables, subject=subject)
            if wait:
                conversation.wait_for_agent(wait, on_progress)
        except BaseException as error:
            by = conversation._ending.by()
            conversation._ending.leave_after(error)
            session._close(min(by, conversation._ending.by()))
            raise
        return conversation

    def close(self) -> None:
        """Close the sessions and every connection, within about five seconds in all.

        Chats that go on stay in the store, for `resume`; those of a `MemoryStore` are ended when the program exits.
        """
        by = self._parts.clock.monotonic() + LEAVE_WITHIN
        sessions = list(self._sessions)
        try:
            for session in sessions:
                session._closing.set()
            for session in sessions:
                session._close(by)
        finally:
            if self._owned:
                self._transport.close()

    def __enter__(self) -> PuzzelChat:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    @classmethod
    def _new_transport(cls, settings: Settings) -> Transport:
        return Transport(settings)

    def _session(self, state: SessionState) -> Session:
        session = Session(state, self._transport)
        self._sessions.add(session)
        return session

    def _opened(self, visitor: Visitor | None) -> SessionState:
        settings, identified = self._parts.settings, NOBODY
        if visitor is not None:
            sign_in = SignIn(visitor)
            identified = sign_in.fields(self._ask(AUTHENTICATE, sign_in.request(settings)))
        asked = self._parts.clock.now()
        return opened(self._parts, self._ask(TOKEN, token_request(connect_fields(settings, identified))), asked)

    def _ask(self, operation: AnyOperation, request: Request) -> Reply:
        reply = self._transport.send(request, None)
        if error := error_for(operation, reply):
            raise error
        return reply

    def _check_hours(self, session: Session, visual_queue_id: str | int) -> None:
        try:
            check_hours(session.queue_info(visual_queue_id))
        except PuzzelChatError as error:
            if not unknown_hours(error):
                raise
