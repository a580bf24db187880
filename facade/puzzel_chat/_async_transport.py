"""The transport of event loops: requests in tasks of their own, so that a caller may go at any moment.

    waits()     it waits for the network from here on: a caller who goes takes it along at once
    settles()   it takes a connection or gives one back, waits for nobody, and must not be struck

The HTTP library takes a cancellation well only while it waits for the network. Struck while it finds a connection for a
request or gives one back, it keeps one that nobody can use (encode/httpcore#1093).
"""

from __future__ import annotations

import asyncio
import os
from collections.abc import Callable, Coroutine, Mapping
from contextlib import aclosing
from typing import TYPE_CHECKING, Any, TypeVar

import httpx
from attrs import define, field

from puzzel_chat._errors import CLIENT_CLOSED, SessionError, TransportError
from puzzel_chat._http import Reply, Request
from puzzel_chat._settings import Address, Settings
from puzzel_chat._transport import (
    MAX_CONNECTIONS,
    body_of,
    built,
    limits,
    mapped_errors,
    new_client,
    overdue,
    reachable,
    reply_of,
)

if TYPE_CHECKING:
    from asyncio import AbstractEventLoop


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


class AsyncPool:
    """The connections of one event loop."""

    def __init__(self, settings: Settings) -> None:
        self.client = new_client(httpx.AsyncClient, settings)
        self.trips = Trips(MAX_CONNECTIONS)


class AsyncTransport:
    """Sends requests of one application over one pool for each event loop."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._hosts = reachable(settings)
        self._closed = False
        self._pools: dict[tuple[int, AbstractEventLoop], AsyncPool] = {}

    async def send(self, request: Request, access: str | None, within: float | None = None) -> Reply:
        """Send with that access token and give the whole reply.

        Raises `TransportError`, also when all of it takes longer than three times the timeout or than `within` seconds,
        and `ContractError` for a reply that is larger than 8 MiB or packed in a way that was not asked for. Cancelled,
        it closes its connection and waits for nothing else.
        """
        timeout, whole = limits(self._settings, within)
        pool, trip, address = self._pool(), Trip(), self._hosts[request.host]
        with mapped_errors(address, timeout):
            try:
                async with asyncio.timeout(whole):
                    if not await pool.trips.enter(timeout):
                        raise httpx.PoolTimeout("")
                    return await pool.trips.take(
                        trip, lambda: self._exchange(pool.client, address, request, access, timeout, trip)
                    )
            except TimeoutError:
                raise overdue(address, whole, "maybe" if trip.sent else "no") from None

    async def aclose(self) -> None:
        """Close every connection of this event loop, and wait until no request is left on it."""
        self._closed = True
        if pool := self._pools.pop(_here(), None):
            await pool.trips.aclose()
            await pool.client.aclose()

    def _pool(self) -> AsyncPool:
        if self._closed:
            raise SessionError(CLIENT_CLOSED)
        if (here := _here()) not in self._pools:
            for gone in [key for key in list(self._pools) if key[1].is_closed()]:
                del self._pools[gone]
            self._pools[here] = AsyncPool(self._settings)
        return self._pools[here]

    async def _exchange(
        self,
        client: httpx.AsyncClient,
        address: Address,
        request: Request,
        access: str | None,
        timeout: float,
        trip: Trip,
    ) -> Reply:
        reached: list[Any] = []

        async def trace(event: str, info: Mapping[str, Any]) -> None:
            if event.endswith(("connect_tcp.started", "start_tls.started")):
                trip.waits()
            elif event.endswith("send_request_headers.started"):
                trip.sends()
            elif event.endswith(("connect_tcp.complete", "start_tls.complete", "response_closed.started")):
                trip.settles()
            if event.endswith("connect_tcp.complete"):
                reached.append(info["return_value"])

        message = built(address, request, access, timeout, trace=trace)
        try:
            async with aclosing(await client.send(message, stream=True)) as response:
                body = body_of(request, response)
                async for piece in response.aiter_raw():
                    body.take(piece)
        except BaseException:
            # Cancelled in a TLS handshake, the library would leave the socket open.
            for stream in reached:
                await stream.aclose()
            raise
        return reply_of(address, response, body)


def _here() -> tuple[int, AbstractEventLoop]:
    return os.getpid(), asyncio.get_running_loop()
