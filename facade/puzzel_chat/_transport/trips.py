"""Requests of one event loop, each in a task of its own, so that a caller may go at any moment.

    waits()     it waits for the network from here on: a caller who goes takes it along at once
    settles()   it takes a connection or gives one back, waits for nobody, and must not be struck

The HTTP library takes a cancellation well only while it waits for the network. Struck while it finds a connection for a
request or gives one back, it keeps one that nobody can use (encode/httpcore#1093).
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine
from typing import Any, TypeVar

from attrs import define, field

from puzzel_chat._errors import CLIENT_CLOSED, SessionError, TransportError

_Result = TypeVar("_Result")


@define(eq=False)
class Trip:
    """One request on its way; `sent` tells whether the service may have seen something of it."""

    sent: bool = False
    task: asyncio.Task[Any] | None = None
    _may_be_struck: bool = field(default=False, init=False)
    _given_up: bool = field(default=False, init=False)

    def waits(self) -> None:
        """Begin to wait for the network, unless the caller has gone meanwhile."""
        if self._given_up:
            raise asyncio.CancelledError
        self._may_be_struck = True

    def sends(self) -> None:
        """Begin to send, unless the caller has gone meanwhile."""
        self.waits()
        self.sent = True

    def settles(self) -> None:
        """Have waited for the network."""
        self._may_be_struck = False

    def give_up(self) -> None:
        """End the request, since its caller has gone."""
        self._given_up = True
        if self.task is not None and self._may_be_struck:
            self.task.cancel()


class Trips:
    """All requests that are on their way, so many at once."""

    def __init__(self, limit: int) -> None:
        self._slots = asyncio.Semaphore(limit)
        self._trips: set[Trip] = set()
        self._closed = False

    async def enter(self, seconds: float) -> bool:
        """Wait for a place; tells whether there was one within so many seconds. Each place must be used by `take`."""
        try:
            async with asyncio.timeout(seconds):
                return await self._slots.acquire()
        except TimeoutError:
            return False

    async def take(self, trip: Trip, go: Callable[[], Coroutine[Any, Any, _Result]]) -> _Result:
        """Make a request and give what comes of it; cancelled, it closes the connection and waits for nothing else.

        Raises `SessionError` when the client is closed, `TransportError` when it is closed meanwhile.
        """
        if self._closed:
            self._slots.release()
            raise SessionError(CLIENT_CLOSED)
        task = asyncio.create_task(go(), name="puzzel-chat-request")
        trip.task = task
        self._trips.add(trip)
        task.add_done_callback(lambda _: self._over(trip, task))
        try:
            await asyncio.wait({task})
        except BaseException:
            trip.give_up()
            await asyncio.wait({task})
            raise
        if task.cancelled():
            raise TransportError("No reply: the client was closed meanwhile.", sent="maybe" if trip.sent else "no")
        return task.result()

    async def aclose(self) -> None:
        """Give up what is on its way, and wait until it is over."""
        self._closed = True
        for trip in self._trips:
            trip.give_up()
        if tasks := [trip.task for trip in self._trips if trip.task is not None]:
            await asyncio.wait(tasks)

    def _over(self, trip: Trip, task: asyncio.Task[Any]) -> None:
        self._trips.discard(trip)
        self._slots.release()
        if not task.cancelled():
            task.exception()  # looked at, so that asyncio does not report what nobody waits for any more
