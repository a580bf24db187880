"""What a loop knows of its own work, and tells.

Makes each session's poll when it is due and its host allows it: one task waits for the next due time of all.

`PollingLoop`: thousands of chats on one event loop.
"""

from __future__ import annotations

import asyncio
import random
from collections.abc import Iterable
from math import inf

from puzzel_chat._async import AsyncConversation, AsyncSession
from puzzel_chat._clock import Clock
from puzzel_chat._errors import (
    CONVERSATION_ENDED,
    ConfigurationError,
    ConversationClosed,
    InvalidArgument,
    PuzzelChatError,
    SessionError,
)
from puzzel_chat._fleet._handlers import Deliveries, Failure, Handlers
from puzzel_chat._fleet._hosts import Host
from puzzel_chat._fleet._members import Handler, Line, LoopStats, Member, Record, Service, Timetable
from puzzel_chat._fleet._transport import FleetTransport, check_fleet, fleet_installed
from puzzel_chat._retry import LEAVE_WITHIN
from puzzel_chat._session import log
from puzzel_chat._wire.operations import POLL

LOOK = 1.0
"""Seconds between two looks at the handlers."""
ALMOST_NOW = 1e-3
"""Seconds that are no wait."""


class Rounds:
    """The polls of all sessions in a loop."""

    def __init__(self, services: Iterable[Service], record: Record, deliveries: Deliveries) -> None:
        self._services = services
        self._record = record
        self._deliveries = deliveries
        self._timetable = Timetable()
        self._wake = asyncio.Event()
        self._looked = -inf
        self._closed = False
        self.clock = Clock()
        self.tasks: set[asyncio.Task[None]] = set()

    def plan(self, member: Member) -> None:
        """Enter a session at the time when its next poll is due."""
        now = self.clock.monotonic()
        member.due = now + member.session._state.delay(searching=False)
        before = self._timetable.next
        self._timetable.plan(member)
        if before is None or member.due < before:
            self._wake.set()

    async def run(self) -> None:
        """Make polls until the loop is closed."""
        while not self._closed:
            now = self.clock.monotonic()
            if now - self._looked >= LOOK:
                self._looked = now
                self._deliveries.tell_slow()
            pause = self._make_due(now)
            self._wake.clear()
            if self._deliveries.at_work:
                pause = min(pause, LOOK)
            if pause == inf:
                await self._wake.wait()
            else:
                await self.clock.sleep(self._wake, pause)

    def close(self) -> None:
        """Begin no further poll."""
        self._closed = True
        self._wake.set()

    def _make_due(self, now: float) -> float:
        """Begin the polls that are due; gives the seconds until there may be more to begin."""
        for member in self._timetable.due(now):
            if member.lines:
                member.service.waiting.append(member)
        pauses = [self._make_waiting(service, now) for service in self._services]
        upcoming = self._timetable.next
        return max(0.0, min([*pauses, inf if upcoming is None else upcoming - now]))

    def _make_waiting(self, service: Service, now: float) -> float:
        while service.waiting:
            pause = service.host.pause(now)
            if pause > 0.0:
                return pause
            member = service.waiting.popleft()
            if member.lines:
                self._begin(member, now)
        return inf

    def _begin(self, member: Member, now: float) -> None:
        if member.session._state.inbox.is_full:
            self.plan(member)
            return
        self._record.poll(member.due, now)
        member.service.host.began()
        task = asyncio.create_task(self._poll(member), name="puzzel-chat-poll")
        self.tasks.add(task)
        task.add_done_callback(self.tasks.discard)

    async def _poll(self, member: Member) -> None:
        session, service = member.session, member.service
        began: float | None = None
        error: PuzzelChatError | None = None
        try:
            async with session._polling:
                session._check_open(POLL)
                # Who looks for a message that was sent polls too, and may have done it just now.
                if session._state.delay(searching=False) <= ALMOST_NOW:
                    began = self.clock.monotonic()
                    error = await session._poll_once(service.transport)
        except Exception as fatal:
            self._deliveries.failed(member, fatal)
        finally:
            now = self.clock.monotonic()
            service.ended(now, None if began is None else now - began, error)
        if self._closed:
            return
        self._deliveries.news(member)
        failure = session._state.inbox.failure
        if failure is not None and failure is error:
            member.due = inf
        elif member.lines:
            self.plan(member)
        if service.waiting:
            self._wake.set()


PLAIN_PLACES = 80
"""Polls under way at once over a client's own connections, of which there are 100: the rest is for its calls."""
PLAIN_SESSIONS = 300
"""Sessions that httpx keeps pace with, measured by `make bench`."""
EVENLY = 0.6180339887498949
"""Share of a period from one session's place to the next one's: the golden ratio leaves no gap wherever it stops."""
LAST_WITHIN = 1.0
"""Seconds that what was cancelled at the close may still take."""
_ELSEWHERE = (
    "A polling loop works on one event loop, and add() is called there; from a thread with call_soon_threadsafe."
)


class PollingLoop:
    """Polls many sessions on one event loop and gives each conversation's events to its handler, in order and once.

    Handlers are called with the conversation and the event, one event at a time for each conversation: coroutine
    functions on the event loop, plain ones in one of `threads` threads. None delays the others, as long as a coroutine
    does not block and a thread is free. What a handler raises is logged by its type and place and counted, and the
    event counts as handled. `on_failure` is called, in the same way, with a conversation and the error that ended its
    polling for good; unless given, that is only logged.

    `fast`: polls go over the extra `[fleet]` if that is installed (None), certainly (True), or never (False);
    everything else goes over the client's own connections. `connections` bounds the polls under way at once, for each
    service: 10 000 chats that are polled each second need 1060 at a latency of 0.1 s. Raises `ConfigurationError`
    naming the argument that is wrong, or the extra that is missing.

    Two settings are the application's own. Now and then Python's garbage collector looks through everything, which at
    5000 chats stops the loop for about 0.2 s: `gc.set_threshold(50_000, 20, 50)` makes that rarer. And the event loop
    may be uvloop's. `make bench RUN=speed FULL=1` measures both.
    """

    def __init__(
        self,
        *,
        on_failure: Failure | None = None,
        fast: bool | None = None,
        connections: int = 1000,
        threads: int = 64,
    ) -> None:
        for name, number in (("connections", connections), ("threads", threads)):
            if isinstance(number, bool) or not isinstance(number, int) or number < 1:
                raise ConfigurationError(name, "must be a whole number from 1 on")
        if fast:
            check_fleet()
        self._fast = fleet_installed() if fast is None else fast
        self._connections = connections
        self._services: dict[tuple[str, str, float], Service] = {}
        self._identities: dict[str, Host] = {}
        self._members: dict[AsyncSession, Member] = {}
        self._record = Record()
        self._handlers = Handlers(threads)
        self._deliveries = Deliveries(self._handlers, on_failure, self._record, self._let_go)
        self._rounds = Rounds(self._services.values(), self._record, self._deliveries)
        self._runner: asyncio.Task[None] | None = None
        self._closed = False
        self._share = random.random()
        self._told = False

    def __repr__(self) -> str:
        return f"<PollingLoop of {len(self._members)} sessions>"

    def add(self, conversation: AsyncConversation, handler: Handler) -> None:
        """Poll for a conversation from now on, until its end, `remove()` or `aclose()`; called on the event loop.

        What waits for it already comes first. Nobody else may take its events meanwhile. After its end the loop lets it
        go, and closes the session when `start()` opened it for this chat. Raises `InvalidArgument` when the
        conversation is in the loop already or the handler cannot be called, `ConversationClosed` when its end was
        taken, `SessionInUse` when another object has the session's mail, and `SessionError` when the loop or the
        session is closed, and from a thread or another event loop.
        """
        session = conversation.session
        self._check_home()
        if not callable(handler):
            raise InvalidArgument("handler", "must be a function or a coroutine function")
        if self._closed:
            raise SessionError("The loop was closed. Make a new one.")
        if conversation._box.finished:
            raise ConversationClosed(CONVERSATION_ENDED)
        session._check_open(POLL)
        self._start(session)
        member = self._members.get(session) or self._join(session)
        if conversation.id in member.lines:
            raise InvalidArgument("conversation", "is in the loop already; remove() it first")
        after = self._deliveries.still_at(conversation)
        member.lines[conversation.id] = Line(conversation, handler, after=after)
        if member.due == inf:
            # Others still handle what came before the error, which this one has not met yet.
            self._rounds.plan(member)
        self._deliveries.news(member)

    def remove(self, conversation: AsyncConversation) -> None:
        """Poll no longer for a conversation, if it is in the loop; the chat goes on, and its next events wait.

        A handler at work finishes the event that it is at. Raises nothing; called on the event loop, as `add` is.
        """
        member = self._members.get(conversation.session)
        if member is not None and conversation.id in member.lines:
            self._let_go(member, member.lines[conversation.id])

    def stats(self) -> LoopStats:
        """Tell how the loop is doing."""
        members, services = self._members.values(), self._services.values()
        return LoopStats(
            sessions=len(members),
            conversations=sum(len(member.lines) for member in members),
            polls=self._record.polls,
            polls_per_second=self._record.rate(self._rounds.clock.monotonic()),
            late_p50=self._record.late(0.50),
            late_p99=self._record.late(0.99),
            under_way=sum(service.host.under_way for service in services),
            waiting=sum(len(service.waiting) for service in services),
            failing=sum(member.session._state.pace.failing_since is not None for member in members),
            back_pressured=sum(member.session._state.inbox.is_full for member in members),
            handlers_at_work=self._deliveries.at_work,
            slow_handlers=len(self._deliveries.slow),
            handler_errors=self._record.handler_errors,
            stopped=self._record.stopped,
        )

    async def aclose(self, *, end: bool = False, within: float = LEAVE_WITHIN) -> None:
        """Stop, within so many seconds: polls under way land, and handlers finish the events that they are at.

        The chats go on, for `resume` or another loop, unless `end`: then each is ended at the service, as far as the
        time reaches; what could not be ended is tried again when its session closes. The sessions stay open.
        """
        by = self._rounds.clock.monotonic() + within
        self._closed = True
        self._rounds.close()
        lines = [(member, line) for member in self._members.values() for line in member.lines.values()]
        for member, line in lines:
            self._let_go(member, line)
        try:
            # One handler that never finishes must not keep all the other chats from being ended.
            await self._landed(within / 2 if end else within)
            if end:
                await asyncio.gather(*(line.conversation._ending.leave(by) for _, line in lines))
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

    def _start(self, session: AsyncSession) -> None:
        if self._runner is None:
            self._rounds.clock = self._deliveries.clock = session._state.parts.clock
            self._runner = asyncio.create_task(self._rounds.run(), name="puzzel-chat-loop")
            self._runner.add_done_callback(self._stopped)

    def _stopped(self, runner: asyncio.Task[None]) -> None:
        """Fail every conversation when the loop itself did: nothing goes silent."""
        if not runner.cancelled() and isinstance(error := runner.exception(), Exception):
            for member in list(self._members.values()):
                self._deliveries.failed(member, error)

    def _join(self, session: AsyncSession) -> Member:
        state = session._state
        service = self._service(session)
        member = Member(session, service)
        self._members[session] = member
        service.joined(state.pace.period)
        session._keeper.turns = service.identity
        self._share = (self._share + EVENLY) % 1.0
        state.pace.take_place(state.parts.clock.monotonic(), self._share, service.host.steady)
        self._rounds.plan(member)
        if service.transport is None and service.host.sessions > PLAIN_SESSIONS and not self._told:
            self._told = True
            told = (
                "more than %d sessions are polled over httpx, which may not keep pace: pip install 'puzzel-chat[fleet]'"
            )
            log.warning(told, PLAIN_SESSIONS)
        return member

    def _service(self, session: AsyncSession) -> Service:
        settings = session._state.parts.settings
        key = settings.base_url, settings.identity_url, settings.timeout
        if key not in self._services:
            transport = FleetTransport(settings, self._connections) if self._fast else None
            most = self._connections if self._fast else min(self._connections, PLAIN_PLACES)
            host = Host(most)
            one = settings.identity_url == settings.base_url
            identity = host if one else self._identities.setdefault(settings.identity_url, Host(most))
            self._services[key] = Service(host, identity, transport)
        return self._services[key]

    def _let_go(self, member: Member, line: Line) -> None:
        line.gone = True
        member.lines.pop(line.conversation.id, None)
        if not member.lines and self._members.pop(member.session, None) is not None:
            member.service.left(member.session._state.pace.period)
            member.session._keeper.turns = None

    async def _landed(self, within: float) -> None:
        tasks = {*self._rounds.tasks, *self._deliveries.tasks} - {asyncio.current_task()}
        if tasks:
            _, late = await asyncio.wait(tasks, timeout=within)
            if late:
                log.warning("%d polls and handlers were still at work when the loop was closed", len(late))

    async def _stop(self) -> None:
        own = {*self._rounds.tasks, *self._deliveries.tasks, *([self._runner] if self._runner else [])}
        own.discard(asyncio.current_task())
        for task in own:
            task.cancel()
        try:
            if own:
                # A handler that takes no cancellation holds nobody up.
                await asyncio.wait(own, timeout=LAST_WITHIN)
        finally:
            self._handlers.close()
            carriers = [service.transport for service in self._services.values() if service.transport is not None]
            await asyncio.gather(*(carrier.aclose() for carrier in carriers))
