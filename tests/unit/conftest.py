"""What the unit tests share: the three transports behind one call."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterator
from contextlib import closing
from typing import Any

import pytest

from answering import Counted
from puzzel_chat import _transport as pools
from puzzel_chat._async_transport import AsyncTransport
from puzzel_chat._fleet._transport import FleetTransport
from puzzel_chat._http import Reply, Request
from puzzel_chat._settings import Settings
from puzzel_chat._transport import Transport

SECRET = "s3cr3t-token"
Send = Callable[..., Reply]


@pytest.fixture(params=["sync", "async", "fleet"])
def send(request: pytest.FixtureRequest) -> Send:
    """Send requests with each transport, over one connection pool per call."""

    async def over_async(
        base_url: str, requests: tuple[Request, ...], within: float | None = None, **settings: Any
    ) -> Reply:
        given = Settings(base_url=base_url, solution_id="7", **settings)
        fast = request.param == "fleet"
        transport = FleetTransport(given, pools.MAX_CONNECTIONS) if fast else AsyncTransport(given)
        try:
            return [await transport.send(one, SECRET, within) for one in requests][-1]
        finally:
            await transport.aclose()

    def over_sync(base_url: str, requests: tuple[Request, ...], within: float | None = None, **settings: Any) -> Reply:
        transport = Transport(Settings(base_url=base_url, solution_id="7", **settings))
        try:
            return [transport.send(one, SECRET, within) for one in requests][-1]
        finally:
            transport.close()

    if request.param == "sync":
        return lambda base_url, *requests, **settings: over_sync(base_url, requests, **settings)
    return lambda base_url, *requests, **settings: asyncio.run(over_async(base_url, requests, **settings))


@pytest.fixture
def counted() -> Iterator[Counted]:
    """A server that knows its connections; at the end it fails when one was left open."""
    with closing(Counted()) as made:
        yield made
