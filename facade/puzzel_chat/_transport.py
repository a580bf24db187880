"""The blocking transport, and what it shares with `_async_transport`: bounds, and the HTTP library's errors as ours.

Redirects are never followed, cookies are never kept (a shared jar once gave one customer another's session:
BerriAI/litellm#36149), and TLS is verified. The environment's proxies are used, except for a service on this machine.

Nobody waits inside the library's pool, where a request that is given up can lose a connection for good
(encode/httpcore#1093): a limit of our own stands before it. In a forked process, and under another event loop, the
first request makes a pool. An inherited pool is neither closed nor let go of: its locks may be held by threads that the
fork left behind, and its event loop watches the parent's sockets in a set that both processes share. Only the blocking
client's copies of its sockets are closed in the child.
"""

from __future__ import annotations

import logging
import os
import threading
import zlib
from collections.abc import Iterator, Mapping
from contextlib import closing, contextmanager
from contextvars import ContextVar
from functools import lru_cache
from http.cookiejar import CookieJar, DefaultCookiePolicy
from math import inf
from queue import Empty, SimpleQueue
from time import monotonic
from typing import TYPE_CHECKING, Any, TypeVar, get_args
from weakref import WeakSet, finalize

import httpx

from puzzel_chat._errors import CLIENT_CLOSED, ConfigurationError, ContractError, Sent, SessionError, TransportError
from puzzel_chat._http import Reply, Request
from puzzel_chat._settings import Address, HostName, Settings, is_loopback

if TYPE_CHECKING:
    pass


LARGEST_REPLY = 8 * 2**20
"""Bytes of one reply that are taken, unpacked: a poll that repeats a whole chat of 16 000 messages of 500 bytes."""
PACKINGS = "gzip"
"""What is asked for in Accept-Encoding, and all that is unpacked here: the HTTP library unpacks without a bound."""


class Body:
    """Takes a body piece by piece.

    Raises `ContractError` for a packing that was not asked for, since a service that sends it will go on doing so, and
    when there is more than is taken; `zlib.error` for a packed body that is damaged or cut short.
    """

    def __init__(self, operation: str, packing: str, host: HostName = "communication") -> None:
        self._operation = operation
        self._host: HostName = host
        self._taken = bytearray()
        packing = packing.strip().lower()
        if packing not in ("", "identity", "gzip", "x-gzip"):
            raise self._refused("the reply is packed in a way that was not asked for (only gzip is)")
        self._unpacker = zlib.decompressobj(zlib.MAX_WBITS | 16) if packing.endswith("gzip") else None

    def take(self, piece: bytes) -> None:
        """Add a piece; no more of it is unpacked than can be kept."""
        if self._unpacker is not None:
            piece = self._unpacker.decompress(piece, LARGEST_REPLY + 1 - len(self._taken))
            if self._unpacker.unused_data:
                raise zlib.error("bytes after the end")
        if len(self._taken) + len(piece) > LARGEST_REPLY:
            raise self._refused(f"the reply is larger than {LARGEST_REPLY // 2**20} MiB, the most that is read")
        self._taken += piece

    def whole(self) -> bytes:
        """Give the body after its last piece."""
        if self._unpacker is not None and self._taken and not self._unpacker.eof:
            raise zlib.error("cut short")
        return bytes(self._taken)

    def _refused(self, problem: str) -> ContractError:
        error = ContractError(self._operation, "", problem, "(not shown)")
        error.host = self._host
        return error


_OURS: ContextVar[bool] = ContextVar("puzzel_chat_request", default=False)
_STEPS = ("connection", "http11", "http2", "proxy", "socks")


@contextmanager
def shortened_logs() -> Iterator[None]:
    """Shorten the records of the HTTP library within this block, in this thread or task."""
    before = _OURS.set(True)
    try:
        yield
    finally:
        _OURS.reset(before)


def _short(record: logging.LogRecord) -> bool:
    """Leave of a step its name, such as `receive_response_headers.complete`, and of a whole request nothing."""
    if not _OURS.get():
        return True
    record.msg, record.args = record.getMessage().partition(" ")[0], ()
    return record.name != "httpx"


for _name in ("httpx", *(f"httpcore.{step}" for step in _STEPS)):
    logging.getLogger(_name).addFilter(_short)


# Every concrete error of the library that a request can meet, and whether the service may have seen the request.
# A test enumerates the library's errors and fails when one is missing here.
OUTCOMES: dict[type[Exception], tuple[Sent, str]] = {
    httpx.ConnectError: ("no", "could not connect to {host}; check that setting and the network"),
    httpx.ConnectTimeout: ("no", "no connection to {host} within {timeout:g} s"),
    httpx.PoolTimeout: ("no", "no free connection within {timeout:g} s; too many chats at once for this process"),
    httpx.UnsupportedProtocol: ("no", "the address is not http or https"),
    httpx.LocalProtocolError: ("no", "the request breaks the HTTP rules"),
    httpx.ProxyError: ("no", "the proxy on the way to {host} refused"),
    httpx.InvalidURL: ("no", "the address is not valid"),
    httpx.ReadTimeout: ("maybe", "{host} did not answer within {timeout:g} s"),
    httpx.WriteTimeout: ("maybe", "{host} did not take the request within {timeout:g} s"),
    httpx.ReadError: ("maybe", "the connection to {host} broke while reading"),
    httpx.WriteError: ("maybe", "the connection to {host} broke while writing"),
    httpx.CloseError: ("maybe", "the connection to {host} broke while closing"),
    httpx.RemoteProtocolError: ("maybe", "{host} closed the connection or answered with broken HTTP"),
    httpx.DecodingError: ("maybe", "{host} sent a body that cannot be unpacked"),
    httpx.TooManyRedirects: ("maybe", "{host} redirects in circles"),
    httpx.StreamError: ("maybe", "the reply of {host} could not be read"),
    httpx.HTTPError: ("maybe", "the request to {host} failed"),
}


@contextmanager
def mapped_errors(address: Address, timeout: float) -> Iterator[None]:
    """Turn every error of the HTTP library into a `TransportError`, the nearest row first."""
    try:
        with shortened_logs():
            yield
    except (httpx.HTTPError, httpx.InvalidURL, httpx.StreamError, zlib.error) as error:
        kind = httpx.DecodingError if isinstance(error, zlib.error) else type(error)
        row = next(base for base in kind.__mro__ if base in OUTCOMES)
        sent, sentence = OUTCOMES[row]
        told = sentence.format(host=address, timeout=timeout)
        # The cause's frames hold headers and body as they were written, so it is named and not kept.
        raise no_reply(address, f"{told} ({kind.__name__}).", sent) from None


def overdue(address: Address, whole: float, sent: Sent) -> TransportError:
    """Give the error for a request that as a whole took longer than so many seconds."""
    return no_reply(address, f"{address} had not answered in full after {whole:g} s.", sent)


def no_reply(address: Address, why: str, sent: Sent) -> TransportError:
    """Give the error for a request to that host which brought no usable reply."""
    error = TransportError(f"No reply: {why}", sent=sent)
    error.host = address.name
    return error


WHOLE = 3
"""A request as a whole, its wait for a connection included, may take so many times the timeout of its parts."""
COMMON_HEADERS = {
    "Accept": "application/json, application/problem+json",
    "Accept-Encoding": PACKINGS,
    "User-Agent": "puzzel-chat-python",
}
# Taking an address apart costs as much as all else that is done to a request here, and a session asks for few.
_url = lru_cache(maxsize=1024)(httpx.URL)


def limits(settings: Settings, within: float | None) -> tuple[float, float]:
    """Give the seconds that connecting, each read and each write may take, and those for all together."""
    whole = WHOLE * settings.timeout
    return min(within or inf, settings.timeout), min(within or inf, whole)


def headers(request: Request, access: str | None) -> httpx.Headers:
    """Give a request's headers, the token among them when there is one."""
    # Their own type, for its repr masks the token where a dict would show it.
    given = httpx.Headers({**COMMON_HEADERS, **request.headers})
    if access is not None:
        given["Authorization"] = f"Bearer {access}"
    return given


def built(address: Address, request: Request, access: str | None, timeout: float, **more: Any) -> httpx.Request:
    """Give the library's request; `timeout` in seconds is for each of its parts, `more` are its extensions."""
    query = f"?{request.query}" if request.query else ""
    return httpx.Request(
        request.method,
        _url(f"{address.url}{request.path}{query}"),
        headers=headers(request, access),
        content=request.body,
        extensions={"timeout": dict.fromkeys(("connect", "read", "write", "pool"), timeout), **more},
    )


def body_of(request: Request, response: httpx.Response) -> Body:
    """Give what takes the response's body, bounded."""
    return Body(request.operation, response.headers.get("content-encoding", ""), request.host)


def reply_of(address: Address, response: httpx.Response, body: Body) -> Reply:
    """Give the whole reply; raises what `Body.whole` raises."""
    return Reply(status=response.status_code, address=address, headers=dict(response.headers), body=body.whole())


class _Due(threading.local):
    at = inf


_due = _Due()


@contextmanager
def lasting(seconds: float) -> Iterator[None]:
    """Let this thread's request, which this block makes, be over in so many seconds."""
    # A signal's handler may send in the middle of another request of its thread.
    before, _due.at = _due.at, monotonic() + seconds
    try:
        yield
    finally:
        _due.at = before


def left(timeout: float | None) -> float:
    """Give what a single step may take in seconds; raises `TimeoutError` when the time of the whole is up."""
    rest = _due.at - monotonic()
    if rest <= 0:
        raise TimeoutError
    return rest if timeout is None else min(timeout, rest)


class TimedStream:
    """A connection."""

    def __init__(self, stream: Any) -> None:
        self._stream = stream
        _streams.add(self)

    def read(self, max_bytes: int, timeout: float | None = None) -> bytes:
        """Read what has come; raises `TimeoutError` when the time of the whole is up, else what the library raises."""
        try:
            data: bytes = self._stream.read(max_bytes, left(timeout))
        except Exception:
            left(timeout)
            raise
        return data

    def write(self, buffer: bytes, timeout: float | None = None) -> None:
        """Write; raises as `read`."""
        self._stream.write(buffer, left(timeout))

    def start_tls(
        self, ssl_context: Any, server_hostname: str | None = None, timeout: float | None = None
    ) -> TimedStream:
        """Encrypt; raises as `read`."""
        return TimedStream(self._stream.start_tls(ssl_context, server_hostname, left(timeout)))

    def close(self) -> None:
        """Close the connection."""
        self._stream.close()

    def get_extra_info(self, info: str) -> Any:
        """Give what the library asks of a connection."""
        return self._stream.get_extra_info(info)


_streams: WeakSet[TimedStream] = WeakSet()


def _after_fork() -> None:
    # A closed copy of a socket sends nothing, and an open one would keep the parent from closing its own.
    for stream in list(_streams):
        stream.close()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_after_fork)


class TimedBackend:
    """What makes the connections; `backend` is the library's own."""

    def __init__(self, backend: Any) -> None:
        self._backend = backend

    def connect_tcp(self, *args: Any, timeout: float | None = None, **more: Any) -> TimedStream:
        """Connect; raises what the library raises."""
        return TimedStream(self._backend.connect_tcp(*args, timeout=left(timeout), **more))


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


def _close_here(pools: Mapping[int, Pool]) -> None:
    """Close this process's connections; those of a parent are the parent's."""
    if pool := pools.get(os.getpid()):
        pool.client.close()


class Transport:
    """Sends requests of one application over one pool for each process; usable from several threads."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._hosts = reachable(settings)
        self._closed = False
        self._pools: dict[int, Pool] = {}
        # A client that nobody closed and nobody holds any more leaves no socket behind.
        # At the exit they close by themselves, after a refresh that is under way has landed.
        finalize(self, _close_here, self._pools).atexit = False

    def send(self, request: Request, access: str | None, within: float | None = None) -> Reply:
        """Send with that access token and give the whole reply.

        Raises `TransportError`, also when all of it takes longer than three times the timeout or than `within` seconds,
        and `ContractError` for a reply that is larger than 8 MiB or packed in a way that was not asked for.
        """
        timeout, whole = limits(self._settings, within)
        pool, address = self._pool(), self._hosts[request.host]
        with mapped_errors(address, timeout), lasting(whole):
            try:
                pool.slots.get(timeout=timeout)
            except Empty:
                raise httpx.PoolTimeout("") from None
            try:
                return self._exchange(pool.client, address, request, access, timeout)
            except TimeoutError:
                raise overdue(address, whole, "maybe") from None
            except Exception:
                raise
            except BaseException:
                # Ctrl-C between two steps of the library can leave its locks held and a connection half used, so that
                # the next request hangs: it makes a new pool. What other threads have under way goes on where it is.
                self._pools.pop(os.getpid(), None)
                raise
            finally:
                pool.slots.put(None)

    def close(self) -> None:
        """Close every connection of this process."""
        self._closed = True
        _close_here(self._pools)

    def _pool(self) -> Pool:
        if self._closed:
            raise SessionError(CLIENT_CLOSED)
        # No lock, which a fork could leave locked; of two pools made at once one is dropped before it connects.
        return self._pools.get(os.getpid()) or self._pools.setdefault(os.getpid(), Pool(self._settings))

    def _exchange(
        self, client: httpx.Client, address: Address, request: Request, access: str | None, timeout: float
    ) -> Reply:
        with closing(client.send(built(address, request, access, timeout), stream=True)) as response:
            body = body_of(request, response)
            for piece in response.iter_raw():
                body.take(piece)
        return reply_of(address, response, body)
