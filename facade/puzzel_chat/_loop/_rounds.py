"""Makes each session's poll when it is due and its host allows it: one task waits for the next due time of all."""

from __future__ import annotations

import asyncio
from collections.abc import Iterable
from math import inf

from puzzel_chat._clock import Clock
from puzzel_chat._errors import PuzzelChatError
from puzzel_chat._loop._deliveries import Deliveries
from puzzel_chat._loop._members import Member, Service, Timetable
from puzzel_chat._loop._record import Record
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
