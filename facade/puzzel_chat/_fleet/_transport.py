"""The transport of a polling loop: pyreqwest, which does its work outside of Python.

It is imported only through `_extra`, because it needs the `[fleet]` extra. A poll costs about a quarter of what it
costs over httpx. What differs from the other transports:

- Certificates are checked against the system's store or SSL_CERT_FILE; httpx brings a store of its own.
- The library goes on with a request whose caller was cancelled: it keeps its connection and its slot until its reply
  begins or its time is up, also after the client is closed. A reply that comes while the interpreter shuts down may
  abort the process: let requests end, cancel few.
- Whether a request that broke was sent is known only when no connection came about.
- A connection takes about 47 KB, and no setting of the library makes that less: limit their number.
"""

from __future__ import annotations

import asyncio
from asyncio import AbstractEventLoop
from collections.abc import Iterator, Mapping
from datetime import timedelta
from time import monotonic

from attrs import frozen
from pyreqwest import exceptions as library
from pyreqwest.client import Client, ClientBuilder
from pyreqwest.http import HeaderMap
from pyreqwest.request import StreamRequest

from puzzel_chat._async_transport import process_and_loop
from puzzel_chat._errors import CLIENT_CLOSED, Sent, SessionError, TransportError
from puzzel_chat._http import Reply, Request
from puzzel_chat._settings import Address, Settings, is_loopback
from puzzel_chat._transport import COMMON_HEADERS, Body, BrokenGzip, limits, no_reply, overdue, reachable

IDLE = 4.0
"""Seconds that an unused connection is kept: less than the 5 after which the least patient servers in wide use close
theirs (uvicorn, Node), since a poll on a connection that is just being closed is lost. Those used each second stay."""
LAST_MOMENT = 0.05
"""Seconds that the library's threads get to end: of programs that exited at once, 3 in 160 were aborted."""
CONNECTING = 0.9
"""Share of the timeout for connecting."""
_ELSEWHERE = "This polling loop belongs to another event loop or process. Make a new one here."

# Every error of the library, and whether the service may have seen the request. A test enumerates them and fails when
# one is missing here. Some names mislead: a connection that breaks before the head of the reply is a ConnectError
# (MarkusSintonen/pyreqwest#27), and a reply that does not begin in time is a ConnectTimeoutError.
OUTCOMES: dict[type[Exception], tuple[Sent, str]] = {
    library.ConnectError: ("maybe", "{host} closed the connection before it answered"),
    library.ConnectTimeoutError: ("maybe", "{host} did not answer within {timeout:g} s"),
    library.PoolTimeoutError: ("no", "no free connection within {timeout:g} s; too many chats at once for this loop"),
    library.BuilderError: ("no", "the request breaks the HTTP rules"),
    library.ReadTimeoutError: ("maybe", "{host} did not answer within {timeout:g} s"),
    library.WriteTimeoutError: ("maybe", "{host} did not take the request within {timeout:g} s"),
    library.ReadError: ("maybe", "the connection to {host} broke while reading"),
    library.WriteError: ("maybe", "the connection to {host} broke while writing"),
    library.BodyDecodeError: ("maybe", "{host} sent a body that is cut short or cannot be unpacked"),
    library.DecodeError: ("maybe", "{host} answered with broken HTTP"),
    library.RedirectError: ("maybe", "{host} redirects in circles"),
    library.ClientClosedError: ("maybe", "the client was closed meanwhile"),
    library.RequestPanicError: ("maybe", "the HTTP library failed; this is a bug of it"),
    library.PyreqwestError: ("maybe", "the request to {host} failed"),
}
# The same when no connection came about, and so nothing was sent: how a cause of the error begins, and a sentence.
UNCONNECTED: dict[str, str] = {
    "tunnel error": "the proxy on the way to {host} refused",
    "invalid peer certificate": "the certificate of {host} is not trusted; have the system or SSL_CERT_FILE trust it",
    "operation timed out": "no connection to {host} in time",
    "deadline has elapsed": "no connection to {host} in time",
    "": "could not connect to {host}; check that setting and the network",
}
# The words of hyper-util, the library below, for this stage alone. Should they ever change, a request that was not sent
# counts as perhaps sent, and nothing worse.
_CONNECTING = "client error (Connect)"


def outcome(error: Exception, address: Address, timeout: float, whole: float, taken: float) -> TransportError:
    """Return our error for one of the library that came after `taken` seconds."""
    sent, sentence = _unconnected(error) or next(OUTCOMES[base] for base in type(error).__mro__ if base in OUTCOMES)
    if isinstance(error, TimeoutError) and taken >= whole:
        return overdue(address, whole, sent)
    told = sentence.format(host=address, timeout=timeout)
    return no_reply(address, f"{told} ({type(error).__name__}).", sent)


def _unconnected(error: Exception) -> tuple[Sent, str] | None:
    details = getattr(error, "details", None) or {}
    causes = [cause["message"] for cause in details.get("causes") or ()]
    if _CONNECTING not in causes:
        return None
    return "no", next(told for begin, told in UNCONNECTED.items() if any(one.startswith(begin) for one in causes))


class FleetTransport:
    """Sends the polls of one service over at most so many connections, on the event loop that sends the first."""

    def __init__(self, settings: Settings, connections: int) -> None:
        self._settings = settings
        self._hosts = reachable(settings)
        self._client: Client | None = _new_client(settings, connections)
        self._home: tuple[int, AbstractEventLoop] | None = None
        self._closed = False

    async def send(self, request: Request, access: str | None, within: float | None = None) -> Reply:
        """Send with that access token and return the whole reply.

        Raises `TransportError`, also after three times the timeout or after `within` seconds, `ContractError` for a
        reply that is larger than 8 MiB or in an encoding that was not asked for, and `SessionError` on another event
        loop, in a forked process, and after the end. Cancelled, it waits for nothing.
        """
        self._check()
        task = asyncio.current_task()
        asked = task.cancelling() if task else 0
        try:
            return await self._exchange(request, access, within)
        finally:
            # The library returns a reply that is there by then in spite of a cancellation, which would be lost.
            if task and task.cancelling() > asked:
                raise asyncio.CancelledError

    async def aclose(self) -> None:
        """Let no more requests begin and fail those without a reply with `TransportError`; takes a moment."""
        self._closed = True
        if self._home is None or self._home == process_and_loop():
            # Unused connections stay open as long as the client exists.
            client, self._client = self._client, None
            if client is not None:
                await client.close()
                await asyncio.sleep(LAST_MOMENT)

    def _check(self) -> None:
        if self._closed:
            raise SessionError(CLIENT_CLOSED)
        if self._home is None:
            self._home = process_and_loop()
        elif self._home != process_and_loop():
            raise SessionError(_ELSEWHERE)

    async def _exchange(self, request: Request, access: str | None, within: float | None) -> Reply:
        _, whole = limits(self._settings, within)
        address = self._hosts[request.host]
        message, began = self._built(address, request, access, whole), monotonic()
        try:
            async with message as response:
                headers = Headers(response.headers)
                # The library removes the header where it has decoded, which it does only for "gzip" in small letters.
                body = Body(request, headers.get("content-encoding", ""))
                while (piece := await response.body_reader.read_chunk()) is not None:
                    body.add(piece.to_bytes())
                return Reply(status=response.status, address=address, headers=headers, body=bytes(body.content))
        except library.PyreqwestError as error:
            failed = outcome(error, address, self._settings.timeout, whole, monotonic() - began)
        except BrokenGzip:
            failed = no_reply(address, f"{address} sent a body that cannot be unpacked.", "maybe")
        # Not within the block above: the library's message holds the address with its query, and would be the context.
        raise failed

    def _built(self, address: Address, request: Request, access: str | None, whole: float) -> StreamRequest:
        query = f"?{request.query}" if request.query else ""
        try:
            assert self._client is not None
            message = self._client.request(request.method, f"{address.url}{request.path}{query}")
            if access is not None:
                message = message.bearer_auth(access)  # masked in reprs
            for name, value in request.headers.items():
                message = message.header(name, value)
            if request.body is not None:
                message = message.body_bytes(request.body)
            return message.timeout(timedelta(seconds=whole)).build_streamed()
        except ValueError:
            raise no_reply(address, "the request breaks the HTTP rules.", "no") from None


def _new_client(settings: Settings, connections: int) -> Client:
    """Return a client of the library that keeps no cookie, follows no redirect and decodes only gzip."""
    timeout = timedelta(seconds=settings.timeout)
    builder = (
        ClientBuilder()
        .default_headers(COMMON_HEADERS)
        .default_cookie_store(False)
        .follow_redirects(False)
        .referer(False)
        .gzip(True)
        .brotli(False)
        .zstd(False)
        .deflate(False)
        .max_connections(connections)
        .pool_timeout(timeout)
        .pool_max_idle_per_host(connections)
        .pool_idle_timeout(timedelta(seconds=IDLE))
        # A read's time begins with the request. When no connection comes about, connecting must time out first, because
        # only then is it certain that nothing was sent.
        .connect_timeout(timeout * CONNECTING)
        .read_timeout(timeout)
    )
    # A proxy of the environment would see the token on its way to a service on this machine.
    return (builder.no_proxy() if is_loopback(settings.address("communication").host) else builder).build()


@frozen
class Headers(Mapping[str, str]):
    """A reply's headers, in any case; none is copied, because the hot path reads one."""

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
