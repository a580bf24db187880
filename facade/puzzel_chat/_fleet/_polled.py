"""What a loop polls, and for whom: the services, the sessions there, and the subscriptions to each session."""

from __future__ import annotations

import asyncio
import heapq
from collections import deque
from collections.abc import Awaitable, Callable
from contextvars import Context, copy_context
from itertools import count
from typing import TYPE_CHECKING, TypeAlias

from attrs import define, field, frozen

from puzzel_chat._async import AsyncConversation, Run
from puzzel_chat._conversation import ConversationState
from puzzel_chat._errors import PuzzelChatError
from puzzel_chat._fleet._hosts import Host
from puzzel_chat._inbox import Reader
from puzzel_chat._models import Event
from puzzel_chat._session import SessionState

if TYPE_CHECKING:
    from puzzel_chat._fleet._transport import FleetTransport

Handler: TypeAlias = Callable[[AsyncConversation, Event], Awaitable[object] | object]
"""Gets a conversation's events, one by one; a function, or a coroutine function."""


@define(eq=False)
class Subscription:
    """One conversation and its handler.

    `since` is when the handler got its present event, `after` the task of an earlier handler of the conversation that
    was removed and is still running. While `wait` is set, an agent is waited for, for so many seconds at most. `pause`
    ends a pause before the next look for an agent, or before an event is tried again. `context` holds the context
    variables of the caller of `add()`.
    """

    conversation: AsyncConversation
    state: ConversationState
    handler: Handler
    wait: float | None = None
    reader: Reader = field(factory=Reader)
    busy: bool = False
    task: asyncio.Task[None] | None = None
    context: Context = field(factory=copy_context)
    since: float = 0.0
    told_slow: bool = False
    gone: bool = False
    pause: asyncio.Event | None = None
    after: asyncio.Task[None] | None = None

    def leave(self) -> None:
        """Take no further event; another reader may."""
        self.gone = True
        self.state.inbox.release(self.reader)
        if self.pause is not None:
            self.pause.set()


@define(eq=False)
class PolledSession:
    """One session in the loop; `due` is the time of its next poll, infinite after an error that ended its polling."""

    state: SessionState
    run: Run
    service: Service
    due: float = 0.0
    subscriptions: dict[str, Subscription] = field(factory=dict)


@define(eq=False)
class Service:
    """One service: its hosts, the transport of its polls (None: each client's own), and the sessions waiting for it.

    `host` answers the polls, `identity` issues the tokens; both may be one.
    """

    host: Host
    identity: Host
    transport: FleetTransport | None
    waiting: deque[PolledSession] = field(factory=deque)

    def joined(self, period: float) -> None:
        """Count a session that is polled once per `period` seconds."""
        for host in self._hosts:
            host.joined(period)

    def left(self, period: float) -> None:
        """Count a session no more."""
        for host in self._hosts:
            host.left(period)

    def ended(self, now: float, took: float | None, error: PuzzelChatError | None) -> None:
        """Learn from a poll; an error of the identity host is not held against the polled host."""
        elsewhere = error is not None and error.host == "identity" and self.identity is not self.host
        self.host.ended(now, None if elsewhere else took, None if elsewhere else error)

    @property
    def _hosts(self) -> tuple[Host, ...]:
        return (self.host,) if self.identity is self.host else (self.host, self.identity)


@define
class Timetable:
    """When each session is due."""

    _heap: list[tuple[float, int, PolledSession]] = field(factory=list, init=False)
    _numbers: count[int] = field(factory=count, init=False)

    def plan(self, polled: PolledSession) -> None:
        """Enter a session at its due time."""
        heapq.heappush(self._heap, (polled.due, next(self._numbers), polled))

    def due(self, now: float) -> list[PolledSession]:
        """Remove and return the sessions that are due now, the longest due first."""
        found = []
        while self._heap and self._heap[0][0] <= now:
            found.append(heapq.heappop(self._heap)[2])
        return found

    @property
    def next(self) -> float | None:
        """The next due time, or None."""
        return self._heap[0][0] if self._heap else None


LAST = 10_000
"""Polls from which the rate and the lateness are computed."""


@frozen(kw_only=True)
class LoopStats:
    """How a `PollingLoop` is doing; lateness is the seconds from a poll's due time to its request."""

    sessions: int
    """Sessions that are polled."""
    conversations: int
    """Conversations that were added and go on."""
    polls: int
    """Polls that were made."""
    polls_per_second: float
    """Polls a second, of the last 10 000."""
    late_p50: float
    """Half of the last 10 000 polls were later than this."""
    late_p99: float
    """One in a hundred of them was later than this."""
    under_way: int
    """Polls without a reply yet."""
    waiting: int
    """Sessions that are due and wait for their host's turn."""
    failing: int
    """Sessions whose polls fail for now."""
    back_pressured: int
    """Sessions that are not polled until their handler has caught up."""
    handlers_at_work: int
    """Handlers that have an event."""
    slow_handlers: int
    """Handlers that have been with one event for more than a second."""
    searching: int
    """Conversations that wait for an agent."""
    handler_errors: int
    """Exceptions of handlers since the beginning."""
    stopped: int
    """Conversations whose polling an error ended for good, since the beginning."""


@define
class Counters:
    """Counts polls and how late they were."""

    polls: int = 0
    handler_errors: int = 0
    stopped: int = 0
    _made: deque[float] = field(factory=lambda: deque(maxlen=LAST), init=False)
    _late: deque[float] = field(factory=lambda: deque(maxlen=LAST), init=False)

    def poll(self, due: float, now: float) -> None:
        """Count a poll that is made now."""
        self.polls += 1
        self._made.append(now)
        self._late.append(now - due)

    def rate(self, now: float) -> float:
        """Return the polls per second."""
        return len(self._made) / (now - self._made[0]) if self._made and now > self._made[0] else 0.0

    def late(self, share: float) -> float:
        """Return the lateness in seconds that this share of the polls did not exceed."""
        ordered = sorted(self._late)
        return ordered[min(len(ordered) - 1, int(share * len(ordered)))] if ordered else 0.0
