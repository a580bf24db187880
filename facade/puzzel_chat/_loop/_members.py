"""Who is polled and for whom: the services, the sessions there, and the conversations of each session."""

from __future__ import annotations

import asyncio
import heapq
from collections import deque
from collections.abc import Awaitable, Callable
from contextvars import Context, copy_context
from itertools import count

from attrs import define, field

from puzzel_chat._async._conversation import AsyncConversation
from puzzel_chat._async._session import AsyncSession
from puzzel_chat._errors import PuzzelChatError
from puzzel_chat._hosts import Host
from puzzel_chat._models import Event
from puzzel_chat._transport.fleet import FleetTransport

Handler = Callable[[AsyncConversation, Event], Awaitable[object] | object]


@define(eq=False)
class Line:
    """One conversation and its handler. `since` is the time at which the handler got the event that it is at.

    `after` is what an earlier handler of the conversation is still at, which was removed meanwhile. `context` is that
    of whoever added the conversation, so that no handler has another's variables.
    """

    conversation: AsyncConversation
    handler: Handler
    busy: bool = False
    task: asyncio.Task[None] | None = None
    context: Context = field(factory=copy_context)
    since: float = 0.0
    told_slow: bool = False
    gone: bool = False
    after: asyncio.Task[None] | None = None


@define(eq=False)
class Member:
    """One session in the loop. `due` is when its next poll is, infinite after an error that ended its polling."""

    session: AsyncSession
    service: Service
    due: float = 0.0
    lines: dict[str, Line] = field(factory=dict)


@define(eq=False)
class Service:
    """One service: what its two hosts are spared, what carries the polls (None: each client's own), who waits for it.

    `host` answers the polls, `identity` gives the tokens; both may be one.
    """

    host: Host
    identity: Host
    transport: FleetTransport | None
    waiting: deque[Member] = field(factory=deque)

    def joined(self, period: float) -> None:
        """Count a session that is polled once in so many seconds."""
        for host in self._hosts:
            host.joined(period)

    def left(self, period: float) -> None:
        """Count a session no more."""
        for host in self._hosts:
            host.left(period)

    def ended(self, now: float, took: float | None, error: PuzzelChatError | None) -> None:
        """Learn from a poll; what the identity host did to it, when a token was due, is not the polled host's doing."""
        elsewhere = error is not None and error.host == "identity" and self.identity is not self.host
        self.host.ended(now, None if elsewhere else took, None if elsewhere else error)

    @property
    def _hosts(self) -> tuple[Host, ...]:
        return (self.host,) if self.identity is self.host else (self.host, self.identity)


@define
class Timetable:
    """Who is due when."""

    _heap: list[tuple[float, int, Member]] = field(factory=list, init=False)
    _numbers: count[int] = field(factory=count, init=False)

    def plan(self, member: Member) -> None:
        """Enter a session at its due time."""
        heapq.heappush(self._heap, (member.due, next(self._numbers), member))

    def due(self, now: float) -> list[Member]:
        """Take out who is due now, the longest due first."""
        found = []
        while self._heap and self._heap[0][0] <= now:
            found.append(heapq.heappop(self._heap)[2])
        return found

    @property
    def next(self) -> float | None:
        """Give the next due time, or None."""
        return self._heap[0][0] if self._heap else None
