"""`PollingLoop`: thousands of chats on one event loop.

One task waits for the next due time of all sessions, and starts each poll when its host allows that.
"""

from __future__ import annotations

import asyncio
import random
from collections.abc import Hashable, Iterable
from math import inf
from os import PathLike

from puzzel_chat._async import AsyncConversation, Run, inner
from puzzel_chat._clock import Clock
from puzzel_chat._errors import (
    CONVERSATION_ENDED,
    ConfigurationError,
    ConversationClosed,
    InvalidArgument,
    PuzzelChatError,
    SessionError,
)
from puzzel_chat._fleet._extra import check_fleet, fleet_installed, fleet_transport
from puzzel_chat._fleet._handlers import AfterError, Dispatcher, Handlers, OnFailure, OnHandlerError
from puzzel_chat._fleet._hosts import Host
from puzzel_chat._fleet._polled import Counters, Handler, LoopStats, PolledSession, Service, Subscription, Timetable
from puzzel_chat._models import Life
from puzzel_chat._retry import LEAVE_WITHIN
from puzzel_chat._routing import checked_seconds
from puzzel_chat._session import SessionState, log
from puzzel_chat._wire.operations import POLL

LOOK = 1.0
"""Seconds between two checks for slow handlers."""


class Scheduler:
    """Starts the polls of all sessions in a loop."""

    def __init__(self, services: Iterable[Service], counters: Counters, dispatcher: Dispatcher) -> None:
        self._services = services
        self._counters = counters
        self._dispatcher = dispatcher
        self._timetable = Timetable()
        self._wake = asyncio.Event()
        self._looked = -inf
        self._closed = False
        self.clock = Clock()
        self.tasks: set[asyncio.Task[None]] = set()

    def plan(self, polled: PolledSession) -> None:
        """Enter a session at its next due time."""
        now = self.clock.monotonic()
        polled.due = now + polled.state.delay(searching=False)
        before = self._timetable.next
        self._timetable.plan(polled)
        if before is None or polled.due < before:
            self._wake.set()

    async def run(self) -> None:
        """Start polls until the loop is closed."""
        while not self._closed:
            now = self.clock.monotonic()
            if now - self._looked >= LOOK:
                self._looked = now
                self._dispatcher.tell_slow()
            pause = self._make_due(now)
            self._wake.clear()
            if self._dispatcher.at_work:
                pause = min(pause, LOOK)
            if pause == inf:
                await self._wake.wait()
            else:
                await self.clock.sleep(self._wake, pause)

    def close(self) -> None:
        """Start no further poll."""
        self._closed = True
        self._wake.set()

    def _make_due(self, now: float) -> float:
        """Start the polls that are due; return the seconds until there may be more to start."""
        for polled in self._timetable.due(now):
            if polled.subscriptions:
                polled.service.waiting.append(polled)
        pauses = [self._make_waiting(service, now) for service in self._services]
        upcoming = self._timetable.next
        return max(0.0, min([*pauses, inf if upcoming is None else upcoming - now]))

    def _make_waiting(self, service: Service, now: float) -> float:
        while service.waiting:
            pause = service.host.pause(now)
            if pause > 0.0:
                return pause
            polled = service.waiting.popleft()
            if polled.subscriptions:
                self._begin(polled, now)
        return inf

    def _begin(self, polled: PolledSession, now: float) -> None:
        if polled.state.feed.is_full:
            self.plan(polled)
            return
        self._counters.poll(polled.due, now)
        polled.service.host.began()
        task = asyncio.create_task(self._poll(polled), name="puzzel-chat-poll")
        self.tasks.add(task)
        task.add_done_callback(self.tasks.discard)

    async def _poll(self, polled: PolledSession) -> None:
        service = polled.service
        began: float | None = None
        error: PuzzelChatError | None = None
        try:
            began, error = await polled.run(polled.state.poll_if_due(), service.transport)
        except Exception as fatal:
            self._dispatcher.failed(polled, fatal)
        finally:
            now = self.clock.monotonic()
            service.ended(now, None if began is None else now - began, error)
        if self._closed:
            return
        self._dispatcher.news(polled)
        if polled.subscriptions and polled.state.feed.failure is None:
            self.plan(polled)
        if service.waiting:
            self._wake.set()


PLAIN_PLACES = 80
"""Polls in flight at once over a client's own 100 connections; the rest is for its other calls."""
PLAIN_SESSIONS = 300
"""Sessions that httpx can poll in time, measured by `make bench`."""
EVENLY = 0.6180339887498949
"""Share of a period between two sessions' polls: the golden ratio spreads any number of sessions evenly."""
LAST_WITHIN = 1.0
"""Seconds that cancelled tasks get to end at the close."""
_ELSEWHERE = (
    "A polling loop works on one event loop, and add() is called there; from a thread with call_soon_threadsafe."
)


class PollingLoop:
    """Polls many sessions on one event loop and gives each conversation's events to its handler, in order and once.

    Handlers are called with the conversation and the event, one event at a time per conversation: coroutine functions
    on the event loop, plain ones in one of `threads` threads. None delays the others, as long as a coroutine does not
    block and a thread is free. `on_failure` is called, in the same way, with a conversation and the error that ended
    its polling for good; unless given, that is only logged.

    An exception of a handler is counted, and logged with its traceback: keep people's words out of its message.
    `on_handler_error` says what comes then, an `AfterError` or a function of conversation, event and error that returns
    one: go on with the next event (unless given), try this one again, or stop polling for the conversation.

    `fast`: polls go over the extra `[fleet]` when it is installed (None), always (True), or never (False); everything
    else goes over the client's own connections. So do polls of a client with an `http_client` of your own or an
    `ssl.SSLContext` as `verify`, which that extra cannot take over; with `fast=True`, `add` refuses its chats.
    `connections` bounds the polls in flight at once per service: 10 000 chats that are polled each second need 1060 at
    a latency of 0.1 s. Raises `ConfigurationError` naming the argument that is wrong, or the extra that is missing.

    Two settings are up to the application. Python's garbage collector now and then stops the loop, for about 0.2 s at
    5000 chats: `gc.set_threshold(50_000, 20, 50)` makes that rarer. And the event loop may be uvloop's. `make bench
    RUN=speed FULL=1` measures both.
    """

    def __init__(
        self,
        *,
        on_failure: OnFailure | None = None,
        on_handler_error: AfterError | OnHandlerError = AfterError.GO_ON,
        fast: bool | None = None,
        connections: int = 1000,
        threads: int = 64,
    ) -> None:
        for name, number in (("connections", connections), ("threads", threads)):
            if isinstance(number, bool) or not isinstance(number, int) or number < 1:
                raise ConfigurationError(name, "must be a whole number from 1 on")
        if on_failure is not None and not callable(on_failure):
            raise ConfigurationError("on_failure", "must be a function or a coroutine function")
        if not isinstance(on_handler_error, AfterError) and not callable(on_handler_error):
            raise ConfigurationError("on_handler_error", "must be an AfterError, or a function that returns one")
        if fast:
            check_fleet()
        self._fast, self._insists = fleet_installed() if fast is None else fast, bool(fast)
        self._connections = connections
        self._services: dict[Hashable, Service] = {}
        self._identities: dict[str, Host] = {}
        self._sessions: dict[SessionState, PolledSession] = {}
        self._counters = Counters()
        self._handlers = Handlers(threads)
        self._dispatcher = Dispatcher(self._handlers, on_failure, on_handler_error, self._counters, self._let_go)
        self._scheduler = Scheduler(self._services.values(), self._counters, self._dispatcher)
        self._runner: asyncio.Task[None] | None = None
        self._closed = False
        self._share = random.random()
        self._told = False

    def __repr__(self) -> str:
        return f"<PollingLoop of {len(self._sessions)} sessions>"

    def add(self, conversation: AsyncConversation, handler: Handler, *, wait: float | None = None) -> None:
        """Poll for a conversation from now on, until its end, `remove()` or `aclose()`; called on the event loop.

        With `wait`, an agent is waited for first, for so many seconds at most: the handler gets an `AllocationChanged`
        at each change, and everything else once an agent has the chat. When there is none in time or the contact centre
        refuses, the queue is left and the handler gets a `ConversationEnded` by the system; its `reason` is
        "AgentWaitTimeout", "QueueClosed", "QueueFull", the service's own, or "RoutingRefused". `remove()` and
        `aclose()` leave the chat in the queue.

        What is unread already comes first. Nobody else may read its events meanwhile. After its end the loop drops it,
        and closes the session when `start()` opened it for this chat. Raises `InvalidArgument` when the
        conversation is in the loop already, `wait` is no number of seconds or the handler cannot be called,
        `ConversationClosed` when its end was read, `SessionInUse` when somebody reads its events or another object has
        the right to poll, and `SessionError` when the loop or the session is closed, and from a thread or another event
        loop.
        """
        state, run = inner(conversation)
        session = state.session
        self._check_home()
        if not callable(handler):
            raise InvalidArgument("handler", "must be a function or a coroutine function")
        if self._closed:
            raise SessionError("The loop was closed. Make a new one.")
        if state.inbox.life is Life.READ:
            raise ConversationClosed(CONVERSATION_ENDED)
        session.check_open(POLL)
        polled = self._sessions.get(session)
        if polled is not None and conversation.id in polled.subscriptions:
            raise InvalidArgument("conversation", "is in the loop already; remove() it first")
        wait = None if wait is None else checked_seconds("wait", wait)
        after = self._dispatcher.still_at(state.inbox)
        subscription = Subscription(conversation, state, handler, wait, after=after)
        state.inbox.claim(subscription.reader)
        self._start(session)
        polled = polled or self._join(session, run)
        polled.subscriptions[conversation.id] = subscription
        self._dispatcher.news(polled)

    def remove(self, conversation: AsyncConversation) -> None:
        """Poll no longer for a conversation, if it is in the loop; the chat goes on, and its next events wait.

        A running handler finishes its present event. Raises nothing; called on the event loop, as `add` is.
        """
        polled = self._sessions.get(inner(conversation)[0].session)
        if polled is not None and conversation.id in polled.subscriptions:
            self._let_go(polled, polled.subscriptions[conversation.id])

    async def left(self, conversation: AsyncConversation) -> None:
        """Remove a conversation, and wait until its handler is done with its present event and that is written down."""
        self.remove(conversation)
        if (task := self._dispatcher.still_at(inner(conversation)[0].inbox)) is not None:
            await asyncio.wait({task})

    def stats(self) -> LoopStats:
        """Return how the loop is doing."""
        sessions, services = self._sessions.values(), self._services.values()
        return LoopStats(
            sessions=len(sessions),
            conversations=sum(len(polled.subscriptions) for polled in sessions),
            polls=self._counters.polls,
            polls_per_second=self._counters.rate(self._scheduler.clock.monotonic()),
            late_p50=self._counters.late(0.50),
            late_p99=self._counters.late(0.99),
            under_way=sum(service.host.under_way for service in services),
            waiting=sum(len(service.waiting) for service in services),
            failing=sum(polled.state.pace.failing_since is not None for polled in sessions),
            back_pressured=sum(polled.state.feed.is_full for polled in sessions),
            handlers_at_work=self._dispatcher.at_work,
            slow_handlers=len(self._dispatcher.slow),
            searching=sum(one.wait is not None for polled in sessions for one in polled.subscriptions.values()),
            handler_errors=self._counters.handler_errors,
            stopped=self._counters.stopped,
        )

    async def aclose(self, *, end: bool = False, timeout: float = LEAVE_WITHIN) -> None:
        """Stop within `timeout` seconds: polls in flight land, and handlers finish their present events.

        The chats go on, for `resume` or another loop, unless `end`: then each is ended at the service, as far as the
        time allows; the rest is tried again when its session closes. The sessions stay open.
        """
        by = self._scheduler.clock.monotonic() + timeout
        self._closed = True
        self._scheduler.close()
        ended = [(polled, one) for polled in self._sessions.values() for one in polled.subscriptions.values()]
        for polled, one in ended:
            self._let_go(polled, one)
        try:
            # One handler that never finishes must not keep all the other chats from being ended.
            await self._landed(timeout / 2 if end else timeout)
            if end:
                await asyncio.gather(*(polled.run(one.state.leave(by)) for polled, one in ended))
        finally:
            await self._stop()

    async def __aenter__(self) -> PollingLoop:
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.aclose()

    def _check_home(self) -> None:
        try:
            here = asyncio.get_running_loop()
        except RuntimeError:
            raise SessionError(_ELSEWHERE) from None
        if self._runner is not None and self._runner.get_loop() is not here:
            raise SessionError(_ELSEWHERE)

    def _start(self, session: SessionState) -> None:
        if self._runner is None:
            self._scheduler.clock = self._dispatcher.clock = session.parts.clock
            self._runner = asyncio.create_task(self._scheduler.run(), name="puzzel-chat-loop")
            self._runner.add_done_callback(self._stopped)

    def _stopped(self, runner: asyncio.Task[None]) -> None:
        """Fail every conversation when the loop itself failed: none goes silent."""
        if not runner.cancelled() and isinstance(error := runner.exception(), Exception):
            for polled in list(self._sessions.values()):
                self._dispatcher.failed(polled, error)

    def _join(self, state: SessionState, run: Run) -> PolledSession:
        service = self._service(state)
        polled = PolledSession(state, run, service)
        self._sessions[state] = polled
        service.joined(state.pace.period)
        state.keeper.turns, state.host = service.identity, service.host
        self._share = (self._share + EVENLY) % 1.0
        soon, state.taken_over = state.taken_over, False
        state.pace.take_place(state.parts.clock.monotonic(), self._share, service.host.steady, soon=soon)
        self._scheduler.plan(polled)
        if service.transport is None and service.host.sessions > PLAIN_SESSIONS and not self._told:
            self._told = True
            step = "the extra [fleet] cannot take them over" if self._fast else "pip install 'puzzel-chat[fleet]'"
            told = "more than %d sessions are polled over httpx, which may not keep pace: %s"
            log.warning(told, PLAIN_SESSIONS, step)
        return polled

    def _service(self, session: SessionState) -> Service:
        settings, http_client = session.parts.settings, session.parts.http_client
        # All that a transport of ours is made of.
        key = (
            settings.base_url,
            settings.identity_url,
            settings.timeout,
            settings.proxy,
            settings.verify,
            frozenset(settings.headers.items()),
            http_client,
        )
        if key not in self._services:
            fast = self._fast and self._can_be_fast(session)
            transport = fleet_transport(settings, self._connections) if fast else None
            most = self._connections if fast else min(self._connections, PLAIN_PLACES)
            host = Host(most)
            one = settings.identity_url == settings.base_url
            identity = host if one else self._identities.setdefault(settings.identity_url, Host(most))
            self._services[key] = Service(host, identity, transport)
        return self._services[key]

    def _can_be_fast(self, session: SessionState) -> bool:
        own_context = not isinstance(session.parts.settings.verify, bool | str | PathLike)
        if session.parts.http_client is None and not own_context:
            return True
        if self._insists:
            what = "a verify that is an ssl.SSLContext" if own_context else "an http_client of your own"
            raise ConfigurationError("fast", f"polls over [fleet] cannot use {what}; make the loop without fast=True")
        return False

    def _let_go(self, polled: PolledSession, subscription: Subscription) -> None:
        subscription.leave()
        polled.subscriptions.pop(subscription.conversation.id, None)
        if not polled.subscriptions and self._sessions.pop(polled.state, None) is not None:
            polled.service.left(polled.state.pace.period)
            polled.state.keeper.turns = polled.state.host = None

    async def _landed(self, timeout: float) -> None:
        tasks = {*self._scheduler.tasks, *self._dispatcher.tasks} - {asyncio.current_task()}
        if tasks:
            _, late = await asyncio.wait(tasks, timeout=timeout)
            if late:
                log.warning("%d polls and handlers were still at work when the loop was closed", len(late))

    async def _stop(self) -> None:
        own = {*self._scheduler.tasks, *self._dispatcher.tasks, *([self._runner] if self._runner else [])}
        own.discard(asyncio.current_task())
        for task in own:
            task.cancel()
        try:
            if own:
                # A handler that ignores its cancellation holds nobody up.
                await asyncio.wait(own, timeout=LAST_WITHIN)
        finally:
            self._handlers.close()
            carriers = [service.transport for service in self._services.values() if service.transport is not None]
            await asyncio.gather(*(carrier.aclose() for carrier in carriers))
