"""The transport of event loops."""

from __future__ import annotations

import os
from collections.abc import Mapping
from contextlib import aclosing
from typing import TYPE_CHECKING, Any

import httpx

from puzzel_chat._config import Address, Settings
from puzzel_chat._errors import CLIENT_CLOSED, SessionError
from puzzel_chat._http import Reply, Request
from puzzel_chat._transport.messages import body_of, built, limits, reply_of
from puzzel_chat._transport.outcomes import mapped_errors, overdue
from puzzel_chat._transport.pools import AsyncPool, reachable

if TYPE_CHECKING:
    from asyncio import AbstractEventLoop

    from puzzel_chat._transport.trips import Trip


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
        import asyncio

        from puzzel_chat._transport.trips import Trip

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
    import asyncio

    return os.getpid(), asyncio.get_running_loop()
