"""The connections: of one process for the blocking client, of one event loop for the other."""

from __future__ import annotations

from http.cookiejar import CookieJar, DefaultCookiePolicy
from queue import SimpleQueue
from typing import TypeVar, get_args

import httpx

from puzzel_chat._config import Address, HostName, Settings, is_loopback
from puzzel_chat._errors import ConfigurationError
from puzzel_chat._transport.timed import TimedBackend

MAX_CONNECTIONS = 100
KEPT_CONNECTIONS = 20
"""Unused connections that stay open. For each request the HTTP library looks at all of them: with 100, a thousand
sessions were polled 94 times a second in all, with 20 it was 575 (`make bench RUN=speed FULL=1`)."""
_Client = TypeVar("_Client", httpx.Client, httpx.AsyncClient)


def reachable(settings: Settings) -> dict[HostName, Address]:
    """Give the two hosts; raises `ConfigurationError` when an address is none."""
    hosts = {name: settings.address(name) for name in get_args(HostName)}
    for address in hosts.values():
        try:
            _ = httpx.URL(address.url).host  # some names that cannot be are found out only here
        except (httpx.InvalidURL, ValueError):
            raise ConfigurationError(address.setting, "is not an address that can be reached") from None
    return hosts


def new_client(kind: type[_Client], settings: Settings) -> _Client:
    """Give a client of the library that keeps no cookie, follows no redirect and waits for no connection."""
    own = {httpx.URL(one.url).netloc.decode() for one in reachable(settings).values() if is_loopback(one.host)}
    return kind(
        limits=httpx.Limits(max_connections=None, max_keepalive_connections=KEPT_CONNECTIONS),
        follow_redirects=False,
        cookies=CookieJar(policy=DefaultCookiePolicy(allowed_domains=[])),
        # These go before the environment's HTTP_PROXY and ALL_PROXY, which would be shown the token.
        mounts={f"all://{host}": None for host in own},
    )


class Pool:
    """The connections of one process."""

    def __init__(self, settings: Settings) -> None:
        self.client = new_client(httpx.Client, settings)
        # No semaphore: a Ctrl-C between two lines of Python's own would keep its lock for good.
        self.slots: SimpleQueue[None] = SimpleQueue()
        for _ in range(MAX_CONNECTIONS):
            self.slots.put(None)
        for transport in (self.client._transport, *self.client._mounts.values()):
            if isinstance(transport, httpx.HTTPTransport):
                # httpcore takes it as an argument, and httpx has no way to give it.
                transport._pool._network_backend = TimedBackend(transport._pool._network_backend)  # type: ignore[assignment]


class AsyncPool:
    """The connections of one event loop."""

    def __init__(self, settings: Settings) -> None:
        from puzzel_chat._transport.trips import Trips

        self.client = new_client(httpx.AsyncClient, settings)
        self.trips = Trips(MAX_CONNECTIONS)
