"""Keeps one session's token fresh: one refresh at a time, in a task of its own that no caller can cancel.

One session: one token, its calls and its polling.

How a conversation is ended at the service: when its caller says so, and in a hurry when something stopped us.

One conversation: routing, waiting for an agent, talking, ending.

The application's entry: settings, one connection pool, one store, and sessions from them.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, AsyncIterator, Awaitable, Callable, Iterable, Mapping
from contextlib import aclosing, asynccontextmanager, suppress
from math import inf
from typing import Protocol
from uuid import uuid4
from weakref import finalize

from puzzel_chat import _exit
from puzzel_chat._async_transport import AsyncTransport
from puzzel_chat._client import Application, SignIn, check_start, checked_visitor, opened, restored
from puzzel_chat._errors import ApiError, Conflict, NotFound, PuzzelChatError, SessionError
from puzzel_chat._http import AsyncCarrier, Reply, Request
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


class Turns(Protocol):
    """Where many sessions take turns with refreshes that can wait; times are monotonic seconds."""

    def may_refresh(self, now: float) -> bool:
        """Return whether one more session may refresh now."""

    def told(self, now: float, error: BaseException | None) -> None:
        """Learn from a refresh that failed."""


class AsyncTokenKeeper:
    """Gives every caller of a session a token that the service takes."""

    def __init__(self, state: SessionState, transport: AsyncTransport) -> None:
        self._state = state
        self._transport = transport
        self._flight: asyncio.Task[None] | None = None
        self._landed: asyncio.Event | None = None
        self.turns: Turns | None = None
        """The identity host, where many sessions take turns with refreshes that can wait."""

    async def current(self) -> TokenSet:
        """Give a usable token set, waiting for a refresh when there must be one."""
        while True:
            step = self._in_turn(next_step(self._state))
            landed = self._join(step)
            present = self._state.life.tokens
            if landed is None or step in (Step.USE, Step.USE_AND_START):
                return present
            await landed.wait()
            # One that took longer than a token lives is used all the same: the service judges it, not our clock.
            if self._state.life.tokens.generation > present.generation:
                return self._state.life.tokens

    async def renewed(self, generation: int) -> TokenSet:
        """Give a token set newer than the one of that generation, which the service has refused."""
        step = after_refusal(self._state, generation)
        landed = self._join(step)
        if landed is not None and step is not Step.USE:
            await landed.wait()
            self._state.life.newer_than(generation)
        # The newer one may have died as well, when the machine stalled meanwhile.
        return await self.current()

    async def aclose(self, by: float) -> None:
        """Let a refresh under way land, until that monotonic time, so that its token is not lost."""
        flight = self._flight
        if flight is not None and not flight.done():
            try:
                await asyncio.wait({flight}, timeout=max(0.0, by - self._state.parts.clock.monotonic()))
            finally:
                flight.cancel()
            await asyncio.gather(flight, return_exceptions=True)

    def _in_turn(self, step: Step) -> Step:
        if step is not Step.USE_AND_START or self.turns is None:
            return step
        return step if self.turns.may_refresh(self._state.parts.clock.monotonic()) else Step.USE

    def _join(self, step: Step) -> asyncio.Event | None:
        """Give what tells that the last refresh has landed, this one when one is due; None before the first."""
        if step in (Step.USE_AND_START, Step.START_AND_WAIT):
            self._state.life.started()
            self._landed = asyncio.Event()
            refresh = Refresh.begun(self._state, owner_name())
            self._flight = asyncio.create_task(self._fly(refresh, self._landed), name="puzzel-chat-refresh")
        return self._landed

    async def _fly(self, refresh: Refresh, landed: asyncio.Event) -> None:
        came: TokenSet | Exception = PuzzelChatError("The refresh was stopped with the event loop.")
        try:
            came = await self._stored_if_newer(refresh) or await self._rotated(refresh)
        except Exception as error:
            came = error
        finally:
            refresh.settle(came)
            refresh.ended(came)
            if self.turns is not None and isinstance(came, Exception):
                self.turns.told(self._state.parts.clock.monotonic(), came)
            landed.set()

    async def _stored_if_newer(self, refresh: Refresh) -> TokenSet | None:
        while not refresh.acquire():
            if newer := refresh.newer_in_store():
                return newer
            await self._state.parts.clock.sleep(asyncio.Event(), 0.1)
        return refresh.newer_in_store()

    async def _rotated(self, refresh: Refresh) -> TokenSet:
        request = refresh.request()
        while True:
            try:
                return refresh.granted(await self._transport.send(request, None, TRY_WITHIN))
            except PuzzelChatError as error:
                if not refresh.again(error):
                    raise
            await self._state.parts.clock.sleep(asyncio.Event(), 0.5)


class AsyncSession:
    """One token at the service, which is what the service calls a session (documented).

    Made by `AsyncPuzzelChat.connect()` and `resume()`. As a context manager it closes itself.
    """

    # There may be thousands: no dict, no set while nothing is in it, and no Event (0.8 KB) until somebody sleeps.
    __slots__ = ("__weakref__", "_keeper", "_lazy_closing", "_owed", "_polling", "_searches", "_state", "_transport")

    def __init__(self, state: SessionState, transport: AsyncTransport) -> None:
        self._state = state
        self._transport = transport
        self._keeper = AsyncTokenKeeper(state, transport)
        self._polling = asyncio.Lock()
        self._lazy_closing: asyncio.Event | None = None
        self._searches: tuple[AsyncEnding, ...] = ()
        self._owed: tuple[AsyncEnding, ...] = ()
        # A session that nobody holds any more is closed: an ended one is forgotten, one that goes on stays for resume.
        finalize(self, state.close)
        _exit.SESSIONS.add(self)

    def __repr__(self) -> str:
        return f"<AsyncSession {self.id}>"

    @property
    def id(self) -> str:
        """The session's name in the store, for `AsyncPuzzelChat.resume`. It is ours; the service never sees it."""
        return self._state.id

    @property
    def visitor_id(self) -> str | None:
        """Who the service takes the customer for, None when it did not say; masked in a repr."""
        return self._state.life.tokens.visitor_id

    @property
    def conversations(self) -> tuple[AsyncConversation, ...]:
        """The conversations that were routed in this session, also before a resume."""
        return tuple(self.conversation(conversation_id) for conversation_id in self._state.conversations)

    async def queue_info(self, visual_queue_id: str | int) -> QueueInfo:
        """Ask for a queue's opening hours and load, by its visual queue id. Raises `NotFound` for an unknown queue."""
        return replies.queue_info(await self._call(QUEUE, queue_request(visual_queue_id)), replies.now())

    async def time_info(self, time_id: str) -> TimeInfo:
        """Ask which exit of a time module (opening hours) is in force. Raises `NotFound` for an unknown one."""
        return replies.time_info(await self._call(TIME, time_request(time_id)), replies.now())

    def conversation(self, conversation_id: str | None = None) -> AsyncConversation:
        """Give a conversation of this session; without an id, a new one of a random id. Nothing is sent yet."""
        chosen = str(uuid4()) if conversation_id is None else checked_id("conversation_id", conversation_id)
        return AsyncConversation(self, chosen)

    async def poll(self) -> list[Event]:
        """Give what is new in all conversations; unless something waits already, poll once when that is due.

        Calling again says that what came before has been handled; after a crash the whole of the last list comes again.
        Raises what ended the polling; `SessionInUse` when another object has the session's mail.
        """
        self._state.check_mail()
        if not self._state.acknowledge_all():
            await self._pump(None)
        return self._state.take_all()

    async def aclose(self) -> None:
        """Close the session here, within about five seconds: a search for an agent ends and leaves the queue.

        Other chats stay, for `resume`; those of a `MemoryStore` are ended when the program exits.
        """
        await self._aclose(self._state.parts.clock.monotonic() + LEAVE_WITHIN)

    async def __aenter__(self) -> AsyncSession:
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.aclose()

    async def _aclose(self, by: float) -> None:
        """Close by that monotonic time; searches leave side by side."""
        if not self._state.is_here:
            return
        clock = self._state.parts.clock
        try:
            await asyncio.gather(*(ending.leave(by) for ending in {*self._searches, *self._owed}))
            self._closing.set()
            await self._keeper.aclose(by)
            # What a poll under way brings is written first, for some services tell it only once.
            with suppress(TimeoutError):
                async with asyncio.timeout(max(0.0, by - clock.monotonic())), self._polling:
                    pass
        finally:
            self._closing.set()
            self._state.close()

    @property
    def _closing(self) -> asyncio.Event:
        """Wake those who sleep when the session closes."""
        if self._lazy_closing is None:
            self._lazy_closing = asyncio.Event()
        return self._lazy_closing

    @property
    def _is_closing(self) -> bool:
        return self._lazy_closing is not None and self._lazy_closing.is_set()

    async def _call(self, operation: AnyOperation, request: Request, by: float = inf) -> Reply:
        """Send, again when that is safe; all of it by that monotonic time."""
        clock = self._state.parts.clock
        attempts = 0
        while True:
            attempts += 1
            try:
                return await self._once(operation, request, by)
            except PuzzelChatError as error:
                error.attempts = attempts
                decision = again(error, attempts, repeatable=operation.repeatable, uniform=clock.uniform)
                if decision is None or clock.monotonic() + decision.delay >= by:
                    raise
            # An end goes on while the session closes, at its own pace.
            await clock.sleep(asyncio.Event() if operation is END else self._closing, decision.delay)

    async def _once(self, operation: AnyOperation, request: Request, by: float = inf) -> Reply:
        """Send once, when the session is open."""
        self._check_open(operation)
        return await self._exchange(operation, request, self._transport, by)

    async def _exchange(
        self, operation: AnyOperation, request: Request, transport: AsyncCarrier, by: float = inf
    ) -> Reply:
        """Send once; a token that the service refuses is refreshed and the request replayed once."""
        clock = self._state.parts.clock
        tokens = await self._keeper.current()
        reply = await transport.send(request, tokens.access, within(by, clock.monotonic()))
        if reply.status == 401:
            tokens = await self._keeper.renewed(tokens.generation)
            reply = await transport.send(request, tokens.access, within(by, clock.monotonic()))
        if error := error_for(operation, reply):
            raise error
        return reply

    async def _next_event(self, conversation_id: str) -> Event | None:
        """Give the conversation's next event, polling until there is one; None after its end."""
        self._state.check_mail()
        while True:
            event = self._state.take(conversation_id)
            if event is not None:
                return event
            if self._state.box(conversation_id).finished:
                return None
            await self._pump(conversation_id)

    def _check_open(self, operation: AnyOperation) -> None:
        """Raise when the session is closed or closing; only ends still go out, so that nobody stays in a queue."""
        self._state.check_process()
        if operation is not END and self._is_closing:
            self._state.refuse()
        self._state.mail.keep()
        if operation is POLL:
            self._state.mail.check()

    def _may_bring(self, conversation_id: str) -> bool:
        """Tell whether polls can still bring something for a conversation: nothing comes behind its end."""
        ended = self._state.box(conversation_id).knows_end
        return not (ended or self._state.inbox.failure or self._is_closing)

    async def _pump(self, conversation_id: str | None, deadline: float = inf) -> None:
        """Make one poll when it is due, unless another task has just brought what this conversation waits for.

        With a deadline (a monotonic time) somebody searches for a message: what is due later is not waited for.
        """
        clock, searching = self._state.parts.clock, deadline < inf
        async with self._polling:
            if conversation_id is not None and self._state.box(conversation_id).has_news:
                return
            self._check_open(POLL)
            left, delay = max(0.0, deadline - clock.monotonic()), self._state.delay(searching)
            await clock.sleep(self._closing, min(delay, left))
            self._check_open(POLL)
            if delay <= left and (searching or not self._state.inbox.is_full):
                await self._poll_once()

    async def _poll_once(self, transport: AsyncCarrier | None = None) -> PuzzelChatError | None:
        """Poll now, through that transport or the session's own; the caller holds `_polling` and has checked `POLL`.

        The error of a poll that failed is taken in, and given; raises `SessionInUse` when the mail is another's by now.
        """
        try:
            reply = await self._exchange(POLL, self._state.poll_request(), transport or self._transport)
            batch = replies.poll(reply, self._state.last)
        except PuzzelChatError as error:
            self._state.poll_failed(error)
            return error
        self._state.polled(batch)
        return None


_NOT_ENDED = "The chat could not be ended at the service; closing the session, or end(), tries it again."


class AsyncEnding:
    """Ends one conversation. What is not asked for by the caller is done within five seconds, and never hides why."""

    __slots__ = ("_id", "_session", "_state")

    def __init__(self, session: AsyncSession, conversation_id: str) -> None:
        self._session = session
        self._id = conversation_id
        self._state = session._state

    async def end(self, by: float = inf) -> None:
        """End the chat by that monotonic time; a request for an agent that is on its way is met at the service."""
        clock = self._state.parts.clock
        late = min(by, clock.monotonic() + LEAVE_WITHIN)
        while not self._state.box(self._id).is_over and self._state.may_be_routed(self._id):
            known = await self._tell(by) or self._id in self._state.conversations
            if known or clock.monotonic() + LEAVE_PAUSE >= late:
                self._state.closing(self._id)
                return
            await clock.sleep(asyncio.Event(), LEAVE_PAUSE)

    def by(self) -> float:
        """Give the monotonic time by which all that is left now must be over."""
        return self._state.leave_by(self._id)

    async def leave(self, by: float = inf) -> None:
        """End what can be ended; what stopped us matters more than a failure here, and a second stop is the last.

        What failed is tried again when the session closes later.
        """
        now, by = self._state.parts.clock.monotonic(), min(by, self.by())
        if by <= now:
            return
        failed = True
        try:
            async with asyncio.timeout(by - now):
                await self.end(by)
            failed = False
        except (PuzzelChatError, TimeoutError) as error:
            log.warning("conversation %s could not be ended at the service: %s", self._id, type(error).__name__)
        finally:
            if failed:
                self._state.not_left[self._id] = self._state.parts.clock.monotonic()
                self._session._owed = (*{*self._session._owed, self},)

    async def leave_after(self, error: BaseException) -> None:
        """Leave, unless the error says that there is nothing to leave."""
        if not must_leave(error):
            return
        try:
            await self.leave()
        except BaseException:
            if not isinstance(error, PuzzelChatError):
                raise
            # We left because of an error of ours: this is the first that stops us.
            self._state.not_left.pop(self._id, None)
            await self.leave()
            raise
        if self._id in self._state.going_on() and _NOT_ENDED not in getattr(error, "__notes__", ()):
            error.add_note(_NOT_ENDED)

    @asynccontextmanager
    async def unless_stopped(self) -> AsyncIterator[None]:
        """Leave when something stops us that is no error of ours: an interrupt, a cancellation."""
        try:
            yield
        except PuzzelChatError:
            raise
        except BaseException:
            await self.leave()
            raise

    def search_begins(self) -> None:
        """Note that an agent is looked for: a session that closes leaves the queue."""
        self._session._searches = (*self._session._searches, self)

    def search_ends(self) -> None:
        """Note that the search is over, and left where that was due."""
        self._session._searches = tuple(one for one in self._session._searches if one is not self)

    async def _tell(self, by: float) -> bool:
        """Send the end; tells whether the service knows the conversation, ended or not."""
        try:
            replies.done(END, await self._session._call(END, end_request(self._id), by))
        except ApiError as error:
            if error.status not in (404, 409, 410):
                raise
            return error.status != 404
        return True


Progress = Callable[[Allocation], object]


class AsyncConversation:
    """One chat, under an id that the caller chose. As a context manager it ends the chat when the block is left, once.

    Made by `AsyncSession.conversation()` and `AsyncPuzzelChat.start()`. One caller at a time takes its events.
    """

    __slots__ = ("__weakref__", "_box", "_ending", "_id", "_owns_session", "_session", "_state", "_status_id")

    def __init__(self, session: AsyncSession, conversation_id: str) -> None:
        self._session = session
        self._id = conversation_id
        self._state = session._state
        self._box = session._state.box(conversation_id)
        self._status_id: str | None = None
        self._owns_session = False
        self._ending = AsyncEnding(session, conversation_id)

    def __repr__(self) -> str:
        return f"<AsyncConversation {self.id}{' (over)' if self.ended else ''}>"

    @property
    def id(self) -> str:
        """The conversation's id at the service."""
        return self._id

    @property
    def session(self) -> AsyncSession:
        """The session that this conversation belongs to."""
        return self._session

    @property
    def ended(self) -> bool:
        """Tell whether the chat is over, from either side, as far as is known here; its last events may be unread."""
        return self._box.is_over

    async def route(
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
            async with self._ending.unless_stopped():
                return await self._route(request)
        finally:
            self._ending.search_ends()

    async def allocation(self) -> Allocation:
        """Ask once how the search for an agent goes. Raises `NotFound` when nothing was routed."""
        return await self._look(self._session._call)

    async def wait_for_agent(self, timeout: float = 120.0, on_progress: Progress | None = None) -> Allocation:
        """Wait until an agent has the chat, for at most `timeout` seconds; `on_progress` is called at each change.

        Raises `AgentWaitTimeout` after leaving the queue on the server, `QueueClosed`, `QueueFull`, `RoutingRefused`,
        or what makes asking useless. Interrupted in any way, it leaves the queue first.
        """
        allocation: Allocation | None = None
        try:
            async with aclosing(self.allocation_updates(timeout)) as updates:
                async for allocation in updates:
                    if on_progress is not None:
                        on_progress(allocation)
        except BaseException as error:
            await self._ending.leave_after(error)
            raise
        assert allocation is not None
        return allocation

    async def allocation_updates(self, timeout: float = 120.0) -> AsyncGenerator[Allocation]:
        """Give the allocation at each change, until an agent has the chat; as `wait_for_agent` otherwise.

        Leaving the loop early leaves the chat in the queue.
        """
        clock = self._state.parts.clock
        wait = AgentWait(clock.monotonic(), checked_timeout(timeout))
        self._ending.search_begins()
        try:
            while not wait.done:
                await clock.sleep(self._session._closing, wait.delay(clock.monotonic(), clock.uniform))
                changed = await self._look_again(wait)
                if changed is not None:
                    yield changed
        except BaseException as error:
            await self._ending.leave_after(error)
            raise
        finally:
            self._ending.search_ends()

    async def events(self) -> AsyncGenerator[Event]:
        """Give everything that happens, in order and once, until `ConversationEnded`, which comes last.

        Coming back for the next event says that the last one has been handled. Raises what ended the polling, and
        `SessionInUse`; once `StoreError`, before what could not be written and a crash would lose: call again to go on.
        """
        while (event := await self._session._next_event(self.id)) is not None:
            yield event

    async def messages(self) -> AsyncGenerator[Message]:
        """Give the messages of all sides, own ones included, until the chat ends. As `events()` otherwise."""
        async with aclosing(self.events()) as events:
            async for event in events:
                if is_message(event):
                    yield event

    async def send(self, text: str) -> TextMessage:
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
                reply = await self._session._call(SEND, request)
                message = replies.sent_message(reply, self.id, expected.client_id, text)
            except PuzzelChatError as error:
                if not unknown_outcome(error):
                    raise
                return await self._reconciled(expected, error)
            self._box.sent(message)
            return message

    async def typing(self, is_typing: bool = True) -> None:
        """Tell the agent that the customer began or stopped typing. Raises `ConversationClosed`."""
        self._box.check_open()
        await self._session._call(TYPING, typing_request(self.id, is_typing))

    async def end(self) -> None:
        """End the chat, or leave the queue; nothing is sent when it is over already, or was never routed."""
        async with self._ending.unless_stopped():
            await self._ending.end()

    def transcript(self) -> tuple[Message, ...]:
        """Give the messages seen by this process, edits applied, in the order of the service's times."""
        return self._box.transcript()

    async def __aenter__(self) -> AsyncConversation:
        return self

    async def __aexit__(self, kind: object, error: BaseException | None, trace: object) -> None:
        by = self._ending.by()
        try:
            if error is None:
                await self.end()
            else:
                await self._ending.leave(by)
        finally:
            if self._owns_session:
                await self._session._aclose(min(by, self._ending.by()))

    async def _route(self, request: Request) -> Allocation:
        fresh = not self._state.may_be_routed(self.id)
        self._state.route_sent.add(self.id)
        for attempt in range(1, MAX_ATTEMPTS + 1):
            try:
                allocation, request_id = replies.routed(await self._session._call(ROUTE, request), replies.now())
            except PuzzelChatError as error:
                found = await self._found_routed(error, fresh and attempt == 1)
                if found is not None:
                    return self._routed(found, None)
                if attempt == MAX_ATTEMPTS or isinstance(error, Conflict):
                    raise
            else:
                return self._routed(allocation, request_id)
        raise AssertionError("unreachable")

    def _routed(self, allocation: Allocation, request_id: str | None) -> Allocation:
        self._state.routed(self.id, request_id)
        return allocation

    async def _found_routed(self, error: PuzzelChatError, fresh: bool) -> Allocation | None:
        """Learn whether a request without a clear answer was taken, or an earlier one (409); None when neither was.

        `fresh`: no request before this one can have been taken.
        """
        unknown = unknown_outcome(error)
        try:
            if unknown or isinstance(error, Conflict):
                return await self.allocation()
        except NotFound:
            pass
        except PuzzelChatError:
            self._state.routed(self.id, None)
            raise error from None
        if not unknown and fresh:
            self._state.route_sent.discard(self.id)
        if unknown or isinstance(error, Conflict):
            return None
        raise error

    async def _look(self, call: Callable[..., Awaitable[Reply]]) -> Allocation:
        request_id = self._state.request_id(self.id)
        try:
            return replies.allocation(await call(STATUS, status_request(self._status_id or self.id)), replies.now())
        except NotFound:
            if request_id is None or self._status_id == request_id:
                raise
        found = replies.allocation(await call(STATUS, status_request(request_id)), replies.now())
        self._status_id = request_id
        return found

    async def _look_again(self, wait: AgentWait) -> Allocation | None:
        try:
            allocation = await self._look(self._session._once)
        except PuzzelChatError as error:
            wait.failed(error, self._state.parts.clock.monotonic())
            return None
        return allocation if wait.observe(allocation) else None

    async def _reconciled(self, expected: Expected, error: PuzzelChatError) -> TextMessage:
        clock = self._state.parts.clock
        expected.unanswered, deadline = True, clock.monotonic() + RECONCILE_WITHIN
        while (found := self._echo(expected)) is None:
            if clock.monotonic() >= deadline or not self._session._may_bring(self.id):
                raise delivery_unknown(expected) from error
            with suppress(SessionError):
                await self._session._pump(None, deadline)
        return found

    def _echo(self, expected: Expected) -> TextMessage | None:
        return self._box.sends.found(expected)


class AsyncPuzzelChat(Application[AsyncTransport, AsyncSession]):
    """A contact centre's chat, for one application and one event loop. Close it, or use it in an `async with` block.

    `store` keeps sessions (a `MemoryStore` unless given); the other arguments are the settings of `Settings`, times in
    seconds. Raises `ConfigurationError` naming the setting that is missing or wrong. Nothing is sent yet.
    """

    async def connect(self, *, visitor: Visitor | None = None) -> AsyncSession:
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
                return self._session(await self._opened(visitor))
            except PuzzelChatError as error:
                error.attempts = attempts
                # A token that nobody received opened a session that nobody uses: asking again harms nothing. A visitor
                # signs in anew, for what identifies one may be good for one token only.
                decision = again(error, attempts, repeatable=True, uniform=clock.uniform)
                if decision is None:
                    raise
            await clock.sleep(asyncio.Event(), decision.delay)

    def resume(self, session_id: str, *, shared: bool = False) -> AsyncSession:
        """Take up a session of the store, also after the process that had it was killed.

        What that process had not handled comes again. With `shared` the session's mail stays with whoever has it: all
        calls work but `poll()`, `events()` and `messages()`. Raises `SessionNotFound`; without `shared`, `SessionInUse`
        while another object has the mail: until that is closed, its process ended on this machine (in another container
        that cannot be seen), or it made no call for 60 seconds.
        """
        return self._session(restored(self._parts, session_id, shared))

    async def start(
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
    ) -> AsyncConversation:
        """Open a session, check the opening hours, ask for an agent and wait for one, for at most `wait` seconds.

        `queue_key`, such as "q_support", says where to route. `visual_queue_id`, a number, is the same queue's id for
        its opening hours; without it they are not asked for, and a closed queue refuses the routing. `visitor` is as in
        `connect`. With `wait=0` it returns as soon as the chat is in the queue. When anything goes wrong nothing stays
        behind: the queue is left and the session closed. Raises what `connect`, `route` and `wait_for_agent` raise.
        """
        checked_timeout(wait, "wait")
        customer, variables, subject = as_customer(customer), as_variables(variables), secret_or_none(subject)
        check_start(queue_key, visual_queue_id, conversation_id, customer, variables, subject)
        session = await self.connect(visitor=visitor)
        try:
            conversation = session.conversation(conversation_id)
            conversation._owns_session = True
            if visual_queue_id is not None:
                await self._check_hours(session, visual_queue_id)
        except BaseException:
            await session.aclose()
            raise
        try:
            await conversation.route(queue_key, customer=customer, variables=variables, subject=subject)
            if wait:
                await conversation.wait_for_agent(wait, on_progress)
        except BaseException as error:
            by = conversation._ending.by()
            await conversation._ending.leave_after(error)
            await session._aclose(min(by, conversation._ending.by()))
            raise
        return conversation

    async def aclose(self) -> None:
        """Close the sessions and every connection, within about five seconds in all.

        Chats that go on stay in the store, for `resume`; those of a `MemoryStore` are ended when the program exits.
        """
        by = self._parts.clock.monotonic() + LEAVE_WITHIN
        try:
            await asyncio.gather(*(session._aclose(by) for session in list(self._sessions)))
        finally:
            if self._owned:
                await self._transport.aclose()

    async def __aenter__(self) -> AsyncPuzzelChat:
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.aclose()

    @classmethod
    def _new_transport(cls, settings: Settings) -> AsyncTransport:
        return AsyncTransport(settings)

    def _session(self, state: SessionState) -> AsyncSession:
        session = AsyncSession(state, self._transport)
        self._sessions.add(session)
        return session

    async def _opened(self, visitor: Visitor | None) -> SessionState:
        settings, identified = self._parts.settings, NOBODY
        if visitor is not None:
            sign_in = SignIn(visitor)
            identified = sign_in.fields(await self._ask(AUTHENTICATE, sign_in.request(settings)))
        asked = self._parts.clock.now()
        return opened(self._parts, await self._ask(TOKEN, token_request(connect_fields(settings, identified))), asked)

    async def _ask(self, operation: AnyOperation, request: Request) -> Reply:
        reply = await self._transport.send(request, None)
        if error := error_for(operation, reply):
            raise error
        return reply

    async def _check_hours(self, session: AsyncSession, visual_queue_id: str | int) -> None:
        try:
            check_hours(await session.queue_info(visual_queue_id))
        except PuzzelChatError as error:
            if not unknown_hours(error):
                raise
