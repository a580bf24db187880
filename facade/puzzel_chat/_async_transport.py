"""The transport of event loops: each request is a flight, a task of its own, and its caller may leave at any moment.

    waiting()    it waits for the network: a caller who leaves cancels it at once
    settling()   it takes a connection or gives one back, waits for nobody, and must not be cancelled

The HTTP library survives a cancellation only while it waits for the network. Cancelled while it finds a connection for
a request or gives one back, it keeps one that nobody can use (encode/httpcore#1093). A client of the application's own
need not tell what it does: a request of it that settles for longer than a moment is cancelled all the same.
"""

from __future__ import annotations

import asyncio
import os
from asyncio import AbstractEventLoop
from collections.abc import Callable, Coroutine, Mapping
from contextlib import aclosing
from inspect import isawaitable
from ssl import SSLContext
from typing import Any

import httpx
from attrs import define, field

from puzzel_chat._environment import Way, proxies
from puzzel_chat._errors import CLIENT_CLOSED, SessionError
from puzzel_chat._failures import closed_meanwhile, overdue
from puzzel_chat._http import Reply, Request
from puzzel_chat._settings import Address, HostName, Settings
from puzzel_chat._transport import (
    GIVEN_CLOSED,
    LIBRARY,
    MAX_CONNECTIONS,
    body_of,
    built,
    common_headers,
    given_client,
    limits,
    new_client,
    our_request,
    outcome,
    own_tls,
    reachable,
    reply_of,
    timeouts,
    way_to_place,
)

SETTLED = 0.1
"""Seconds after which a request of the application's own client counts as settled."""


@define(eq=False)
class Flight:
    """One request under way; `sent` means that the service may have seen some of it."""

    way: Way
    sent: bool = False
    task: asyncio.Task[Reply] | None = None
    streams: list[Any] = field(factory=list, init=False)
    _cancellable: bool = field(default=False, init=False)
    _abandoned: bool = field(default=False, init=False)

    def waiting(self) -> None:
        """Begin to wait for the network; raise `CancelledError` if the caller has left meanwhile."""
        if self._abandoned:
            raise asyncio.CancelledError
        self._cancellable = True

    def sending(self) -> None:
        """Begin to send; raise as `waiting`."""
        self.waiting()
        self.sent = True

    def settling(self) -> None:
        """Stop waiting for the network."""
        self._cancellable = False

    def abandon(self) -> None:
        """End the request, now or at the next moment that the library survives."""
        self._abandoned = True
        if self.task is not None and self._cancellable:
            self.task.cancel()

    async def trace(self, event: str, info: Mapping[str, Any]) -> None:
        """Follow the steps of the library."""
        if event.endswith((".connect_tcp.started", ".start_tls.started")):
            self.waiting()
        elif event.endswith(".send_request_headers.started"):
            self.sending()
        elif event.endswith((".connect_tcp.complete", ".start_tls.complete", ".response_closed.started")):
            self.settling()
        if event.endswith(".connect_tcp.complete"):
            self.streams.append(info["return_value"])


class Flights:
    """The connections of one event loop and the requests on them, at most `MAX_CONNECTIONS` at once.

    One that is not `own` has a client of the application's; one that is `passing` is for one request.
    """

    def __init__(self, client: httpx.AsyncClient, own: bool, passing: bool = False) -> None:
        self.client = client
        self.own = own
        self.passing = passing
        self.under_way: set[Flight] = set()
        self._slots = asyncio.Semaphore(MAX_CONNECTIONS)
        self._closed = False

    async def run(self, flight: Flight, go: Callable[[], Coroutine[Any, Any, Reply]], patience: float) -> Reply:
        """Make the request when there is a free connection, which may take `patience` seconds.

        Cancelled, it closes the connection and waits for nothing else. Raises `SessionError` when the client is closed,
        `TransportError` when it is closed meanwhile.
        """
        try:
            async with asyncio.timeout(patience):
                await self._slots.acquire()
        except TimeoutError:
            raise httpx.PoolTimeout("") from None
        if self._closed:
            self._slots.release()
            raise SessionError(CLIENT_CLOSED)
        flight.task = task = asyncio.create_task(go(), name="puzzel-chat-request")
        self.under_way.add(flight)
        task.add_done_callback(lambda _: self._landed(flight, task))
        try:
            await asyncio.wait({task})
        except BaseException:
            await self._abandon([flight])
            raise
        if task.cancelled():
            raise closed_meanwhile(flight.way, "maybe" if flight.sent else "no")
        return task.result()

    async def aclose(self) -> None:
        """Abandon the requests under way, wait until they have ended, and close the connections."""
        self._closed = True
        await self._abandon(list(self.under_way))
        if self.own:
            await self.client.aclose()

    async def _abandon(self, flights: list[Flight]) -> None:
        for flight in flights:
            flight.abandon()
        tasks = [flight.task for flight in flights if flight.task is not None]
        if tasks and not self.own:
            _, unsettled = await asyncio.wait(tasks, timeout=SETTLED)
            for task in unsettled:
                task.cancel()
        if tasks:
            await asyncio.wait(tasks)

    def _landed(self, flight: Flight, task: asyncio.Task[Reply]) -> None:
        self.under_way.discard(flight)
        self._slots.release()
        if not task.cancelled():
            task.exception()  # retrieved, or asyncio would report an error that nobody waits for any more


class AsyncTransport:
    """Sends requests of one application over one pool for each event loop."""

    def __init__(self, settings: Settings, http_client: object = None) -> None:
        self._settings = settings
        self._given = given_client(httpx.AsyncClient, http_client, settings)
        self._ways = reachable(settings, self._given)
        self._common = common_headers(settings)
        self._closed = False
        self._pools: dict[tuple[int, AbstractEventLoop], Flights] = {}

    async def send(self, request: Request, access: str | None, within: float | None = None) -> Reply:
        """Send with that access token and return the whole reply.

        Raises `TransportError`, also after three times the timeout or after `within` seconds, and `ContractError` for a
        reply that is larger than 8 MiB or in an encoding that was not asked for. Cancelled, it closes its connection
        and waits for nothing else.
        """
        timeout, whole = limits(self._settings, request, within)
        if request.place is None:
            pool, way = self._pool(), self._ways[request.host]
        else:
            way = way_to_place(request.place, self._ways, self._settings, self._given)
            pool = self._pool_to(way)
        flight, before = Flight(way), our_request.set(True)

        async def go() -> Reply:
            message = built(self._common, way.address, request, access, timeout=timeouts(timeout), trace=flight.trace)
            return await _exchange(pool.client, way.address, request, message, flight)

        try:
            async with asyncio.timeout(whole):
                return await pool.run(flight, go, timeout)
        except TimeoutError:
            failed = overdue(way, whole, "maybe" if flight.sent else "no")
        except LIBRARY as error:
            failed = outcome(error, way, timeout, whole)
        finally:
            our_request.reset(before)
            if pool.passing:
                await pool.aclose()
        raise failed

    async def aclose(self) -> None:
        """Close every connection of this event loop, and wait until it has no request left."""
        self._closed = True
        if pool := self._pools.pop(process_and_loop(), None):
            await pool.aclose()

    @property
    def proxies(self) -> Mapping[HostName, str]:
        """The proxies on the ways to the two hosts."""
        return proxies(self._ways)

    def tls_context(self) -> SSLContext:
        """Return the TLS that is spoken; raise `ConfigurationError` where that is up to another."""
        return own_tls(self._settings, self._given)

    def _pool(self) -> Flights:
        if self._closed:
            raise SessionError(CLIENT_CLOSED)
        if self._given is not None and self._given.is_closed:
            raise SessionError(GIVEN_CLOSED)
        if (here := process_and_loop()) not in self._pools:
            for gone in [key for key in list(self._pools) if key[1].is_closed()]:
                del self._pools[gone]
            self._pools[here] = self._new_flights()
        return self._pools[here]

    def _new_flights(self) -> Flights:
        if self._given is None:
            return Flights(new_client(httpx.AsyncClient, self._ways.values(), self._settings), own=True)
        return Flights(self._given, own=False)

    def _pool_to(self, way: Way) -> Flights:
        """Return the connections to a place; those to somebody else's host are for one request."""
        pool = self._pool()
        if way.address.name or not pool.own:
            return pool
        return Flights(new_client(httpx.AsyncClient, [way], self._settings), own=True, passing=True)


async def _exchange(
    client: httpx.AsyncClient, address: Address, request: Request, message: httpx.Request, flight: Flight
) -> Reply:
    try:
        async with aclosing(await client.send(message, stream=True, auth=None, follow_redirects=False)) as response:
            body = body_of(request, response)
            if not response.is_stream_consumed:
                async for piece in response.aiter_raw():
                    told = body.add(piece)
                    if told is not None and isawaitable(told):
                        await told
    except BaseException:
        # Cancelled in a TLS handshake, the library would leave the socket open.
        for stream in flight.streams:
            await stream.aclose()
        raise
    return reply_of(address, response, body)


def process_and_loop() -> tuple[int, AbstractEventLoop]:
    """Return the process and its running event loop, which share no connection with any other."""
    return os.getpid(), asyncio.get_running_loop()
