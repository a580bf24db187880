"""The transport of a polling loop: pyreqwest, whose connections and replies are worked at outside of Python.

It needs the `[fleet]` extra, which is imported when a transport is made and not before. A poll costs about a quarter of
what it costs over httpx. What differs from the other transports:

- Certificates are checked against the system's store, or SSL_CERT_FILE, where httpx brings a store of its own.
- The library does not take back what it was given: a request whose caller was cancelled keeps its connection and its
  place until its reply begins or its time is up, and nobody hears of it. Closing the client does not end it earlier.
  When its reply comes while the interpreter shuts down, the process may abort: let requests end, cancel few.
- Whether a request that broke was sent is known only when no connection came about.
- A connection takes about 47 KB, and no setting of the library makes that less: bound them.
"""

from __future__ import annotations

import asyncio
import sys
import threading
from collections.abc import Iterator, Mapping
from datetime import timedelta
from importlib import import_module
from importlib.util import find_spec
from time import monotonic
from typing import TYPE_CHECKING

from attrs import frozen

from puzzel_chat._async_transport import _here
from puzzel_chat._errors import CLIENT_CLOSED, ConfigurationError, SessionError
from puzzel_chat._http import Reply, Request
from puzzel_chat._settings import Address, Settings, is_loopback
from puzzel_chat._transport import COMMON_HEADERS, Body, limits, no_reply, reachable

if TYPE_CHECKING:
    from pyreqwest.client import Client
    from pyreqwest.http import HeaderMap
    from pyreqwest.request import StreamRequest


IDLE = 4.0
"""Seconds that an unused connection is kept: less than the 5 after which the least patient servers in wide use close
theirs (uvicorn, Node), since a poll that meets a connection just being closed is lost. Those used each second stay."""
LAST_MOMENT = 0.05
"""Seconds that the library's threads get to end: of programs that exited at once, 3 in 160 were aborted."""
CONNECTING = 0.9
"""Of the timeout, what connecting may take."""
_ELSEWHERE = "This polling loop belongs to another event loop or process. Make a new one here."


def fleet_installed() -> bool:
    """Tell whether the `[fleet]` extra is there."""
    return find_spec("pyreqwest") is not None


def check_fleet() -> None:
    """Raise `ConfigurationError` naming what to install when the `[fleet]` extra is missing."""
    if not fleet_installed():
        raise ConfigurationError("fast", "needs the extra [fleet]: pip install 'puzzel-chat[fleet]'")


class FleetTransport:
    """Sends the polls of one service over at most so many connections, on the event loop that sends the first.

    Raises `ConfigurationError` when the `[fleet]` extra is missing.
    """

    def __init__(self, settings: Settings, connections: int) -> None:
        check_fleet()
        _import_library()
        from puzzel_chat._fleet._outcomes import CAUGHT, outcome

        self._settings = settings
        self._whole = limits(settings, None)[1]
        self._hosts = reachable(settings)
        self._client: Client | None = _new_client(settings, connections)
        self._caught, self._outcome = CAUGHT, outcome
        self._home: tuple[int, asyncio.AbstractEventLoop] | None = None
        self._closed = False

    async def send(self, request: Request, access: str | None, within: float | None = None) -> Reply:
        """Send with that access token and give the whole reply.

        Raises `TransportError`, also when all of it takes longer than three times the timeout or than `within` seconds,
        `ContractError` for a reply that is larger than 8 MiB or packed in a way that was not asked for, and
        `SessionError` on another event loop, in a forked process, and after the end. Cancelled, it waits for nothing.
        """
        self._check()
        task = asyncio.current_task()
        asked = task.cancelling() if task else 0
        try:
            return await self._exchange(request, access, within)
        finally:
            # In the library what has come from the network by then wins over a cancellation, which would be lost.
            if task and task.cancelling() > asked:
                raise asyncio.CancelledError

    async def aclose(self) -> None:
        """Let no more requests begin; who waits for a reply to begin gets a `TransportError`. Takes a moment."""
        self._closed = True
        if self._home is None or self._home == _here():
            # What nobody uses stays open as long as there is the client.
            client, self._client = self._client, None
            if client is not None:
                await client.close()
                await asyncio.sleep(LAST_MOMENT)

    def _check(self) -> None:
        if self._closed:
            raise SessionError(CLIENT_CLOSED)
        if self._home is None:
            self._home = _here()
        elif self._home != _here():
            raise SessionError(_ELSEWHERE)

    async def _exchange(self, request: Request, access: str | None, within: float | None) -> Reply:
        whole = self._whole if within is None else limits(self._settings, within)[1]
        address = self._hosts[request.host]
        message, began = self._built(address, request, access, whole), monotonic()
        try:
            async with message as response:
                headers = Headers(response.headers)
                body = Body(request.operation, headers.get("content-encoding", ""), request.host)
                while (piece := await response.body_reader.read_chunk()) is not None:
                    body.take(piece.to_bytes())
                return Reply(status=response.status, address=address, headers=headers, body=body.whole())
        except self._caught as error:
            failed = self._outcome(error, address, self._settings.timeout, whole, monotonic() - began)
        # Not within the block above: the library's message holds the address with its query, and would be the context.
        raise failed

    def _built(self, address: Address, request: Request, access: str | None, whole: float) -> StreamRequest:
        query = f"?{request.query}" if request.query else ""
        try:
            assert self._client is not None
            message = self._client.request(request.method, f"{address.url}{request.path}{query}")
            if access is not None:
                message = message.bearer_auth(access)  # which keeps it out of reprs
            for name, value in request.headers.items():
                message = message.header(name, value)
            if request.body is not None:
                message = message.body_bytes(request.body)
            return message.timeout(timedelta(seconds=whole)).build_streamed()
        except ValueError:
            raise no_reply(address, "the request breaks the HTTP rules.", "no") from None


def _import_library() -> None:
    """Import the library in a thread that does not end before the process."""
    # Imported in one that ended it makes the process crash at its next use (0.15.1): its allocator belongs to there.
    if "pyreqwest" in sys.modules or threading.current_thread() is threading.main_thread():
        return
    imported = threading.Event()

    def stay() -> None:
        try:
            import_module("pyreqwest.client")
        finally:
            imported.set()
        threading.Event().wait()

    threading.Thread(target=stay, name="puzzel-chat-fleet", daemon=True).start()
    imported.wait()


def _new_client(settings: Settings, connections: int) -> Client:
    """Give a client of the library that keeps no cookie, follows no redirect and unpacks nothing."""
    from pyreqwest.client import ClientBuilder

    timeout = timedelta(seconds=settings.timeout)
    builder = (
        ClientBuilder()
        .default_headers(COMMON_HEADERS)
        .default_cookie_store(False)
        .follow_redirects(False)
        .referer(False)
        .gzip(False)
        .brotli(False)
        .zstd(False)
        .deflate(False)
        .max_connections(connections)
        .pool_timeout(timeout)
        .pool_max_idle_per_host(connections)
        .pool_idle_timeout(timedelta(seconds=IDLE))
        # The time of a read begins with the request. What ends first in a connection that does not come about must be
        # the connecting, of which it is certain that nothing was sent.
        .connect_timeout(timeout * CONNECTING)
        .read_timeout(timeout)
    )
    # A proxy of the environment would be shown the token on its way to a service on this machine.
    return (builder.no_proxy() if is_loopback(settings.address("communication").host) else builder).build()


@frozen
class Headers(Mapping[str, str]):
    """A reply's headers, in whatever case one asks for them; the hot path asks for one, so none is copied."""

    _map: HeaderMap

    def __getitem__(self, name: str) -> str:
        try:
            return self._map[name]
        except ValueError:  # it is not text
            raise KeyError(name) from None

    def __iter__(self) -> Iterator[str]:
        return iter(dict.fromkeys(self._map))

    def __len__(self) -> int:
        return self._map.keys_len()
