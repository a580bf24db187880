"""The blocking transport, and what it shares with `_async_transport`: bounds, and the HTTP library's errors as ours.

Redirects are never followed, cookies are never kept (a shared jar once gave one customer another's session:
BerriAI/litellm#36149), and TLS is verified. The environment's proxies are used, except for a service on this machine.

A request as a whole has a time, and so has each read. Not bounded in the blocking transport: a reply's head that drips
byte by byte, each in time, and interim replies without end. The HTTP library bounds the size of a head.

Nobody waits inside the library's pool, where a request that is given up can lose a connection for good
(encode/httpcore#1093): a limit of our own stands before it. A forked process, and another event loop, makes a pool with
its first request. It neither closes nor drops an inherited pool: threads that the fork left behind may hold its locks,
and its event loop watches the parent's sockets in a set that both processes share. Only the child's copies of the
blocking client's sockets are closed.
"""

from __future__ import annotations

import logging
import os
import ssl
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
from typing import Any, TypeVar, get_args
from weakref import WeakSet, finalize

import httpx

from puzzel_chat._errors import CLIENT_CLOSED, ConfigurationError, ContractError, Sent, SessionError, TransportError
from puzzel_chat._fork import in_child
from puzzel_chat._http import Reply, Request
from puzzel_chat._settings import Address, HostName, Settings, is_loopback

LARGEST_REPLY = 8 * 2**20
"""Bytes of a reply's body, decoded, that are read: a poll that repeats a whole chat of 16 000 messages of 500 bytes."""
WHOLE = 3
"""Times the timeout of its parts that a whole request may take, with its wait for a connection."""
MAX_CONNECTIONS = 100
"""In use at once by all threads but the main one, which has its own; by all tasks of an event loop."""
KEPT_CONNECTIONS = 20
"""Unused connections that stay open. The HTTP library looks at all of them for each request: a thousand sessions were
polled 94 times a second in all with 100 of them, and 575 times with 20 (`make bench RUN=speed FULL=1`)."""
COMMON_HEADERS = {
    "Accept": "application/json, application/problem+json",
    "Accept-Encoding": "gzip",
    "User-Agent": "puzzel-chat-python",
}

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

# The library's records hold addresses, headers and tokens: those of our requests are dropped, other users keep theirs.
_our_request: ContextVar[bool] = ContextVar("puzzel_chat_request", default=False)
for _name in ("httpx", "httpcore.connection", "httpcore.http11", "httpcore.proxy", "httpcore.socks"):
    logging.getLogger(_name).addFilter(lambda record: not _our_request.get())


@contextmanager
def mapped_errors(address: Address, timeout: float, whole: float) -> Iterator[float]:
    """Turn every error of the HTTP library into a `TransportError`, and keep its log silent; yield when it is overdue.

    `timeout` and `whole` are the seconds for a part and for everything, as from `limits`.
    """
    due, before = monotonic() + whole, _our_request.set(True)
    try:
        yield due
    except (httpx.HTTPError, httpx.InvalidURL, httpx.StreamError) as error:
        sent, sentence = next(OUTCOMES[base] for base in type(error).__mro__ if base in OUTCOMES)
        # The cause's frames hold headers and body, so the error names it and does not keep it.
        if sent == "maybe" and isinstance(error, httpx.TimeoutException) and monotonic() >= due:
            raise overdue(address, whole, sent) from None
        told = sentence.format(host=address, timeout=timeout)
        raise no_reply(address, f"{told} ({type(error).__name__}).", sent) from None
    finally:
        _our_request.reset(before)


def overdue(address: Address, whole: float, sent: Sent) -> TransportError:
    """Return the error for a request that took longer than `whole` seconds."""
    return no_reply(address, f"{address} had not answered in full after {whole:g} s.", sent)


def no_reply(address: Address, why: str, sent: Sent) -> TransportError:
    """Return the error for a request to that host without a usable reply."""
    error = TransportError(f"No reply: {why}", sent=sent)
    error.host = address.name
    return error


class BrokenGzip(httpx.DecodingError):
    """A body that cannot be unpacked; one of the library's errors, so that what it holds is dropped as with those."""


class Body:
    """A reply's decoded body, collected piece by piece; raises `ContractError` for more than 8 MiB.

    Also for an encoding that was not asked for: the service would send it again the next time. It is decoded here,
    because the HTTP libraries do not agree on how gzip may be spelled: httpx takes "x-gzip" for nothing encoded.
    """

    def __init__(self, request: Request, encoding: str) -> None:
        self._request = request
        self.content = bytearray()
        named = (one.strip() for one in encoding.lower().split(","))
        codings = [one for one in named if one not in ("", "identity")]
        if codings not in ([], ["gzip"], ["x-gzip"]):
            raise self._refused("the reply has an encoding that was not asked for (only gzip is)")
        self._gzip = zlib.decompressobj(zlib.MAX_WBITS | 16) if codings else None

    def add(self, piece: bytes) -> None:
        """Add a piece as it was received; raise `BrokenGzip` if it cannot be unpacked."""
        try:
            # One byte more than is read shows that there is more, and a bomb is unpacked no further.
            room = LARGEST_REPLY + 1 - len(self.content)
            decoded = self._gzip.decompress(piece, room) if self._gzip else piece
        except zlib.error:
            raise BrokenGzip("") from None
        if len(self.content) + len(decoded) > LARGEST_REPLY:
            raise self._refused(f"the reply is larger than {LARGEST_REPLY // 2**20} MiB, the most that is read")
        self.content += decoded

    def _refused(self, problem: str) -> ContractError:
        error = ContractError(self._request.operation, "", problem, "(not shown)")
        error.host = self._request.host
        return error


def reply_of(address: Address, response: httpx.Response, body: Body) -> Reply:
    """Return the whole reply."""
    headers = dict(response.headers)
    return Reply(status=response.status_code, address=address, headers=headers, body=bytes(body.content))


def limits(settings: Settings, within: float | None) -> tuple[float, float]:
    """Return the seconds for connecting, each read and each write, and those for everything together."""
    whole = WHOLE * settings.timeout
    return min(within or inf, settings.timeout), min(within or inf, whole)


# Parsing an address costs as much as everything else that is done to a request here, and a session uses few.
_url = lru_cache(maxsize=1024)(httpx.URL)


def headers(request: Request, access: str | None) -> httpx.Headers:
    """Return a request's headers, with the token if there is one."""
    # The library's own type, because its repr masks the token.
    given = httpx.Headers({**COMMON_HEADERS, **request.headers})
    if access is not None:
        given["Authorization"] = f"Bearer {access}"
    return given


def timeouts(seconds: float) -> dict[str, float]:
    """Return the library's request extension that bounds each part of a request."""
    return dict.fromkeys(("connect", "read", "write", "pool"), seconds)


def built(address: Address, request: Request, access: str | None, **extensions: Any) -> httpx.Request:
    """Return the library's request with these extensions."""
    query = f"?{request.query}" if request.query else ""
    url = _url(f"{address.url}{request.path}{query}")
    return httpx.Request(
        request.method, url, headers=headers(request, access), content=request.body, extensions=extensions
    )


def reachable(settings: Settings) -> dict[HostName, Address]:
    """Return the addresses of the two hosts; raise `ConfigurationError` for one that cannot be reached."""
    hosts = {name: settings.address(name) for name in get_args(HostName)}
    for address in hosts.values():
        try:
            _ = httpx.URL(address.url).host  # finds impossible names that the settings let through
        except (httpx.InvalidURL, ValueError):
            raise ConfigurationError(address.setting, "is not an address that can be reached") from None
    return hosts


_Client = TypeVar("_Client", httpx.Client, httpx.AsyncClient)


def new_client(kind: type[_Client], settings: Settings) -> _Client:
    """Return a client of the library that keeps no cookie, follows no redirect and queues no request."""
    urls = [httpx.URL(one.url) for one in reachable(settings).values()]
    own = {url.netloc.decode() for url in urls if is_loopback(url.host)}
    return kind(
        # Loading certificates costs 30 ms. Without TLS none are needed, and this context trusts nobody.
        verify=any(url.scheme == "https" for url in urls) or ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT),
        limits=httpx.Limits(max_connections=None, max_keepalive_connections=KEPT_CONNECTIONS),
        follow_redirects=False,
        cookies=CookieJar(policy=DefaultCookiePolicy(allowed_domains=[])),
        # These win over the environment's HTTP_PROXY and ALL_PROXY, which would see the token.
        mounts={f"all://{host}": None for host in own},
    )


_streams: WeakSet[Any] = WeakSet()
"""The blocking client's connections, each as the library's stream."""


def _close_copies() -> None:
    # A copy of a socket sends nothing when it is closed, and an open one would keep the parent from closing its own.
    for stream in list(_streams):
        stream.close()


in_child(_close_copies)


class Pool:
    """The connections of a process's main thread, or of its other threads; at most `MAX_CONNECTIONS` in use at once."""

    def __init__(self, settings: Settings) -> None:
        self.client = new_client(httpx.Client, settings)
        # No semaphore: a Ctrl-C between two lines of Python's own would keep its lock for good.
        self.slots: SimpleQueue[None] = SimpleQueue()
        for _ in range(MAX_CONNECTIONS):
            self.slots.put(None)


class Transport:
    """Sends requests of one application; usable from several threads, of which the main one has its own connections."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._hosts = reachable(settings)
        self._closed = False
        self._pools: dict[tuple[int, bool], Pool] = {}
        # A client that was dropped without `close` leaves no socket behind. At the interpreter's exit they close by
        # themselves, after a refresh under way has landed.
        finalize(self, _close_own, self._pools).atexit = False

    def send(self, request: Request, access: str | None, within: float | None = None) -> Reply:
        """Send with that access token and return the whole reply.

        Raises `TransportError`, also after three times the timeout or after `within` seconds, and `ContractError` for a
        reply that is larger than 8 MiB or in an encoding that was not asked for.
        """
        timeout, whole = limits(self._settings, within)
        pool, address = self._pool(), self._hosts[request.host]
        with mapped_errors(address, timeout, whole) as due:
            try:
                pool.slots.get(timeout=timeout)
            except Empty:
                raise httpx.PoolTimeout("") from None
            try:
                return self._exchange(pool.client, address, request, access, timeout, due, within is not None)
            except Exception:
                raise
            except BaseException:
                # Ctrl-C between two steps of the library can leave its locks held and a connection half used, and the
                # next request would hang: it makes a new pool.
                self._pools.pop(_process_and_kind(), None)
                raise
            finally:
                pool.slots.put(None)

    def close(self) -> None:
        """Close every connection of this process."""
        self._closed = True
        _close_own(self._pools)

    def _pool(self) -> Pool:
        if self._closed:
            raise SessionError(CLIENT_CLOSED)
        # No lock, which a fork could leave locked; of two pools made at once one is dropped before it connects.
        here = _process_and_kind()
        return self._pools.get(here) or self._pools.setdefault(here, Pool(self._settings))

    def _exchange(
        self,
        client: httpx.Client,
        address: Address,
        request: Request,
        access: str | None,
        timeout: float,
        due: float,
        hurried: bool,
    ) -> Reply:
        bounds = timeouts(timeout)
        extensions: dict[str, Any] = {"timeout": bounds}
        if hurried:

            def trace(event: str, _: Mapping[str, Any]) -> None:
                # The library looks these up before each step. An overdue one fails there, where the library expects it.
                if event.endswith(".started"):
                    left = max(0.001, due - monotonic())
                    bounds.update(dict.fromkeys(bounds, min(timeout, left)))

            extensions["trace"] = trace
        message = built(address, request, access, **extensions)
        with closing(client.send(message, stream=True)) as response:
            if (stream := response.extensions.get("network_stream")) is not None:  # a cassette has none
                _streams.add(stream)
            body = Body(request, response.headers.get("content-encoding", ""))
            for piece in response.iter_raw():
                body.add(piece)
                if monotonic() >= due:
                    raise httpx.ReadTimeout("")
        return reply_of(address, response, body)


def _process_and_kind() -> tuple[int, bool]:
    # Ctrl-C strikes in the main thread only. What it leaves locked there must not hang a refresh in another thread.
    return os.getpid(), threading.current_thread() is threading.main_thread()


def _close_own(pools: Mapping[tuple[int, bool], Pool]) -> None:
    for (process, _), pool in list(pools.items()):
        if process == os.getpid():  # a parent's pools are the parent's
            pool.client.close()
