"""The blocking transport, and what it shares with `_async_transport`: bounds, and the HTTP library's errors as ours.

Redirects are never followed here, cookies are never kept (a shared jar once gave one customer another's session:
BerriAI/litellm#36149), and TLS is verified. `_environment` says which proxy is used and who is trusted, and the library
reads nothing of that itself. `_failures` says why no reply came. A client of the application's own takes the place of
ours for all that is below a request: proxy, TLS, connections, threads and forks are then up to it.

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
import sys
import threading
import zlib
from collections.abc import Collection, Iterator, Mapping
from contextlib import closing, suppress
from contextvars import ContextVar
from functools import lru_cache
from http.cookiejar import CookieJar, DefaultCookiePolicy
from importlib import import_module
from importlib.util import find_spec
from inspect import isawaitable
from math import inf
from queue import Empty, SimpleQueue
from time import monotonic
from typing import Any, TypeVar, get_args
from weakref import WeakSet, finalize

import httpx

from puzzel_chat._environment import Proxy, Way, proxies, refused_proxy, tls_context, tls_is_named, way_to
from puzzel_chat._errors import (
    CLIENT_CLOSED,
    ConfigurationError,
    ContractError,
    ReplyTooLarge,
    Sent,
    SessionError,
    TransportError,
)
from puzzel_chat._failures import anew, no_reply, overdue, proxy_refused, unconnected
from puzzel_chat._fork import in_child
from puzzel_chat._http import Content, Reply, Request, Sink
from puzzel_chat._settings import Address, HostName, Settings
from puzzel_chat._version import __version__

LARGEST_REPLY = 8 * 2**20
"""Bytes of a reply's body, decoded, that are read: a poll that repeats a whole chat of 16 000 messages of 500 bytes."""
WHOLE = 3
"""Times the timeout of its parts that a whole request may take, with its wait for a connection."""
MAX_CONNECTIONS = 100
"""In use at once by all threads but the main one, which has its own; by all tasks of an event loop."""
IDLE = 4.0
"""Seconds that an unused connection is kept, whatever the period of polls: less than the 5 after which the least
patient servers in wide use close theirs (uvicorn, Node). A request on a connection that is just being closed is lost,
and nobody can tell then whether a message was taken, or whether a poll has emptied a queue. What that costs: a chat
that is polled less often than every 4 s, and alone, makes a connection for each poll. Chats of one client, or of one
polling loop, share theirs."""
KEPT_CONNECTIONS = 20
"""Unused connections that stay open. The HTTP library looks at all of them for each request: a thousand sessions were
polled 94 times a second in all with 100 of them, and 575 times with 20 (`make bench RUN=speed FULL=1`)."""
SLOWEST = 64 * 1024
"""Bytes per second of a file at which its request has not yet taken too long."""
COMMON_HEADERS = {
    "Accept": "application/json, application/problem+json",
    "Accept-Encoding": "gzip",
    "User-Agent": f"puzzel-chat/{__version__} python/{sys.version_info.major}.{sys.version_info.minor}",
}
GIVEN_CLOSED = "The http_client was closed. Close it after this client, or give another one."

# For a SOCKS proxy httpx needs one more package, whose errors it lets through.
_OF_SOCKS: tuple[type[Exception], ...] = (import_module("socksio").SOCKSError,) if find_spec("socksio") else ()
LIBRARY: tuple[type[Exception], ...] = (httpx.HTTPError, httpx.InvalidURL, httpx.StreamError, *_OF_SOCKS)

# Every concrete error of the library that a request can meet: whether the service may have seen the request, what to
# call the cause where there is none below, and a sentence. The first three are told by `unconnected` and
# `proxy_refused`. A test enumerates the library's errors and fails when one is missing here.
OUTCOMES: dict[type[Exception], tuple[Sent, type[Exception], str]] = {
    httpx.ConnectError: ("no", ConnectionResetError, ""),
    httpx.ConnectTimeout: ("no", TimeoutError, ""),
    httpx.ProxyError: ("no", ConnectionError, ""),
    httpx.PoolTimeout: (
        "no",
        TimeoutError,
        "no free connection within {timeout:g} s; too many chats at once for this process, none is left for {way}",
    ),
    httpx.UnsupportedProtocol: ("no", ValueError, "the address of {way} is not http or https; correct that setting"),
    httpx.LocalProtocolError: ("no", ValueError, "the request to {way} breaks the HTTP rules; check what goes into it"),
    httpx.InvalidURL: ("no", ValueError, "the address of {way} is not valid; check the ids that go into it"),
    httpx.ReadTimeout: ("maybe", TimeoutError, "{way} did not answer within {timeout:g} s (timeout); {again}"),
    httpx.WriteTimeout: ("maybe", TimeoutError, "{way} did not take the request within {timeout:g} s; {again}"),
    httpx.ReadError: ("maybe", ConnectionError, "the connection to {way} broke while reading; {again}"),
    httpx.WriteError: ("maybe", ConnectionError, "the connection to {way} broke while writing; {again}"),
    httpx.CloseError: ("maybe", ConnectionError, "the connection to {way} broke while closing; {again}"),
    httpx.RemoteProtocolError: (
        "maybe",
        ConnectionError,
        "{way} closed the connection or answered with broken HTTP; {again}",
    ),
    httpx.DecodingError: ("maybe", ValueError, "{way} sent a body that cannot be unpacked; {again}"),
    httpx.TooManyRedirects: ("maybe", ValueError, "{way} redirects in circles; correct that setting"),
    httpx.StreamError: ("maybe", ConnectionError, "the reply of {way} could not be read; {again}"),
    httpx.HTTPError: ("maybe", ConnectionError, "the request to {way} failed; {again}"),
}

# The library's records hold addresses, headers and tokens: those of our requests are dropped, other users keep theirs.
our_request: ContextVar[bool] = ContextVar("puzzel_chat_request", default=False)
for _name in ("httpx", "httpcore.connection", "httpcore.http11", "httpcore.proxy", "httpcore.socks"):
    logging.getLogger(_name).addFilter(lambda record: not our_request.get())


def outcome(error: Exception, way: Way, timeout: float, whole: float, *, late: bool = False) -> TransportError:
    """Return our error for one of the library; raise it outside of the block that caught the library's.

    `timeout` and `whole` are the seconds for a part and for everything, as from `limits`; `late` says that those are
    over. The library's error would else be the context of ours, and its frames hold headers and body.
    """
    if isinstance(error, (httpx.ProxyError, *_OF_SOCKS)):
        status = str(error)[:3]
        return proxy_refused(way, int(status) if status.isdecimal() else None)
    sent, kind, sentence = next(OUTCOMES[base] for base in type(error).__mro__ if base in OUTCOMES)
    if late and sent == "maybe" and isinstance(error, httpx.TimeoutException):
        return overdue(way, whole, sent)
    below = _below(error)
    cause = kind(type(error).__name__) if below is None else anew(below)
    if sentence == "":
        return unconnected(way, cause, timeout)
    return no_reply(way, sentence.format(way=way, timeout=timeout, again=way.again), sent, cause)


def _below(error: BaseException) -> OSError | None:
    """Return the error of Python's that the library met, if any."""
    found: OSError | None = None
    at: BaseException | None = error
    while at is not None:
        if isinstance(at, OSError):
            found = at
        # The library's own keeps the one below as its argument, and cuts the chain (httpcore 1.0).
        inner = [one for one in at.args if isinstance(one, BaseException)]
        if isinstance(at, BaseExceptionGroup):
            inner = list(at.exceptions)
        at = at.__cause__ or next(iter(inner), None)
    return found


class BrokenGzip(httpx.DecodingError):
    """A body that cannot be unpacked; one of the library's errors, so that what it holds is dropped as with those."""


class Body:
    """A reply's decoded body, collected piece by piece, or poured into the request's sink when it is a success.

    Raises `ContractError` for more than 8 MiB, or than the sink takes. Also for an encoding that was not asked for: the
    service would send it again the next time. It is decoded here, because the HTTP libraries do not agree on how gzip
    may be spelled: httpx takes "x-gzip" for nothing encoded.
    """

    def __init__(self, request: Request, encoding: str, sink: Sink | None = None) -> None:
        self._request = request
        self._sink = sink
        self._most = LARGEST_REPLY if sink is None else sink.most
        self._size = 0
        self.content = bytearray()
        codings = _codings(encoding) if encoding else []
        if codings not in ([], ["gzip"], ["x-gzip"]):
            raise self._refused("the reply has an encoding that was not asked for (only gzip is)")
        self._gzip = zlib.decompressobj(zlib.MAX_WBITS | 16) if codings else None

    def add(self, piece: bytes) -> object:
        """Add a piece as it was received, and return what the sink returns; raise `BrokenGzip` for broken gzip."""
        try:
            # One byte more than is read shows that there is more, and a bomb is unpacked no further.
            room = self._most + 1 - self._size
            decoded = self._gzip.decompress(piece, room) if self._gzip else piece
        except zlib.error:
            raise BrokenGzip("") from None
        self._size += len(decoded)
        if self._size > self._most:
            told = f"{self._most // 2**20} MiB, the most that is read"
            if self._sink is not None:
                told = f"the {self._most:,} bytes of the setting max_file_bytes"
            raise self._refused(f"the reply is larger than {told}", ReplyTooLarge)
        if self._sink is not None:
            return self._sink.add(decoded)
        self.content += decoded
        return None

    def _refused(self, problem: str, kind: type[ContractError] = ContractError) -> ContractError:
        error = kind(self._request.operation, "", problem, "(not shown)")
        error.host = self._request.host
        return error


def _codings(encoding: str) -> list[str]:
    named = (one.strip() for one in encoding.lower().split(","))
    return [one for one in named if one not in ("", "identity")]


def body_of(request: Request, response: httpx.Response) -> Body:
    """Return a body to be collected; it is there already, decoded, where a client of the application's has read it."""
    encoding = response.headers.get("content-encoding", "")
    sink = request.sink if request.sink is not None and response.is_success else None
    if sink is not None:
        length = response.headers.get("content-length", "")
        sink.begin(int(length) if length.isdecimal() and not encoding else None)
    if not response.is_stream_consumed:
        return Body(request, encoding, sink)
    body = Body(request, "", sink)
    body.add(response.content)
    return body


def reply_of(address: Address, response: httpx.Response, body: Body) -> Reply:
    """Return the whole reply."""
    headers = dict(response.headers)
    return Reply(status=response.status_code, address=address, headers=headers, body=bytes(body.content))


def limits(settings: Settings, request: Request, within: float | None) -> tuple[float, float]:
    """Return the seconds for connecting, each read and each write, and those for everything together."""
    part = request.timeout or settings.timeout
    bulk = (request.content.size if request.content else 0) + (request.sink.most if request.sink else 0)
    return min(within or inf, part), min(within or inf, WHOLE * part + bulk / SLOWEST)


# Parsing an address costs as much as everything else that is done to a request here, and a session uses few.
_url = lru_cache(maxsize=1024)(httpx.URL)


def common_headers(settings: Settings) -> Mapping[str, str]:
    """Return the headers of every request: ours, and those of the settings."""
    named = {name.lower() for name in settings.headers}
    ours = {name: value for name, value in COMMON_HEADERS.items() if name.lower() not in named}
    return {**ours, **settings.headers}


def headers(common: Mapping[str, str], request: Request, access: str | None) -> httpx.Headers:
    """Return a request's headers, with the token if there is one."""
    # The library's own type, because its repr masks the token.
    given = httpx.Headers({**common, **request.headers})
    if access is not None:
        given["Authorization"] = f"Bearer {access}"
    return given


def timeouts(seconds: float) -> dict[str, float]:
    """Return the library's request extension that bounds each part of a request."""
    return dict.fromkeys(("connect", "read", "write", "pool"), seconds)


def built(
    common: Mapping[str, str],
    address: Address,
    request: Request,
    access: str | None,
    due: float = inf,
    **extensions: Any,
) -> httpx.Request:
    """Return the library's request with these extensions, and the headers that all have in common."""
    query = f"?{request.query}" if request.query else ""
    url = _url(f"{address.url}{request.path}{query}")
    # What a setting adds, such as a gateway's key, is for the service alone.
    given = headers(common if address.name else COMMON_HEADERS, request, access)
    if request.content is not None:
        given["Content-Length"] = str(request.content.size)
    message = httpx.Request(request.method, url, headers=given, content=request.body, extensions=extensions)
    if request.content is not None:
        message.stream = Streamed(request.content, due)
    return message


class Streamed(httpx.SyncByteStream, httpx.AsyncByteStream):
    """A request's body that is read while it is sent; where threads wait, until a monotonic time."""

    def __init__(self, content: Content, due: float = inf) -> None:
        self._content = content
        self._due = due

    def __iter__(self) -> Iterator[bytes]:
        for piece in self._content.pieces():
            if monotonic() >= self._due:
                raise httpx.WriteTimeout("")
            yield piece
            self._content.passed(piece)

    def __aiter__(self) -> Pieces:
        return Pieces(self._content)


class Pieces:
    """The same for event loops; no generator, which somebody would have to close."""

    def __init__(self, content: Content) -> None:
        self._content = content
        self._left = content.pieces()
        self._last: bytes | None = None

    def __aiter__(self) -> Pieces:
        return self

    async def __anext__(self) -> bytes:
        if self._last is not None and isawaitable(told := self._content.passed(self._last)):
            await told
        self._last = next(self._left, None)
        if self._last is None:
            raise StopAsyncIteration
        return self._last


def way_to_place(place: Address, ways: Mapping[HostName, Way], settings: Settings, given: object) -> Way:
    """Return the way to where a file is; `given` as in `reachable`."""
    if place.name is not None:
        return ways[place.name]._replace(address=place)
    return Way(place) if given is not None else way_to(place, settings.proxy)


def reachable(settings: Settings, given: object = None) -> dict[HostName, Way]:
    """Return the ways to the two hosts; raise `ConfigurationError` for one that cannot be gone as it is set up.

    With a client of the application's `given`, proxies and TLS are up to that.
    """
    ways = {name: _way(settings, name, given) for name in get_args(HostName)}
    for way in ways.values():
        try:
            # Both find impossible names that the settings let through; the second is what looks up a name.
            url = httpx.URL(way.address.url)
            _ = url.host, url.raw_host.decode().encode("idna")
        except (httpx.InvalidURL, ValueError):
            raise ConfigurationError(way.address.setting, "is not an address that can be reached") from None
        if way.proxy is not None:
            _proxy(way.proxy)
    if given is None and tls_is_named(settings) and any(way.encrypted for way in ways.values()):
        tls(settings)
    return ways


def _way(settings: Settings, name: HostName, given: object) -> Way:
    address = settings.address(name)
    return way_to(address, settings.proxy) if given is None else Way(address)


def tls(settings: Settings) -> ssl.SSLContext:
    """Return TLS as settings and environment want it, or else with the authorities that the library brings."""
    return tls_context(settings, lambda: httpx.create_ssl_context(trust_env=False))


def own_tls(settings: Settings, given: object) -> ssl.SSLContext:
    """Return our TLS; raise `ConfigurationError` when a client of the application's has its own."""
    if given is not None:
        raise ConfigurationError("http_client", "has TLS of its own, which is not known here")
    return tls(settings)


def _proxy(proxy: Proxy, context: ssl.SSLContext | None = None) -> httpx.Proxy:
    with suppress(httpx.InvalidURL, ValueError):
        made = httpx.Proxy(proxy.url, ssl_context=context if proxy.scheme == "https" else None)
        _ = made.url.host  # finds impossible names
        return made
    # Not within a block that handles the library's error, whose frames hold the password.
    raise refused_proxy(proxy)


_Client = TypeVar("_Client", httpx.Client, httpx.AsyncClient)
_LIMITS = httpx.Limits(max_connections=None, max_keepalive_connections=KEPT_CONNECTIONS, keepalive_expiry=IDLE)


def given_client(kind: type[_Client], client: object, settings: Settings) -> _Client | None:
    """Return the application's own client if there is one; raise `ConfigurationError` if it cannot be used."""
    if client is None:
        return None
    if not isinstance(client, kind):
        raise ConfigurationError("http_client", f"must be an httpx.{kind.__name__} here, not {type(client).__name__}")
    for name, usual in (("proxy", None), ("verify", True)):
        if getattr(settings, name) is not usual:
            raise ConfigurationError(name, "belongs to the http_client that you gave; set it there, not here")
    return client


def new_client(kind: type[_Client], ways: Collection[Way], settings: Settings) -> _Client:
    """Return a client of the library that keeps no cookie, follows no redirect and queues no request."""
    encrypted = any(way.encrypted for way in ways)
    # Loading certificates costs 30 ms. Without TLS none are needed, and this context trusts nobody.
    context = tls(settings) if encrypted else ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    transport: Any = httpx.HTTPTransport if kind is httpx.Client else httpx.AsyncHTTPTransport
    mounts = {
        f"all://{httpx.URL(way.address.url).netloc.decode()}": transport(
            verify=context, trust_env=False, limits=_LIMITS, proxy=_proxy(way.proxy, context)
        )
        for way in ways
        if way.proxy is not None
    }
    return kind(
        verify=context,
        trust_env=False,
        limits=_LIMITS,
        follow_redirects=False,
        cookies=CookieJar(policy=DefaultCookiePolicy(allowed_domains=[])),
        mounts=mounts,
    )


_streams: WeakSet[Any] = WeakSet()
"""The blocking client's connections, each as the library's stream."""


def _close_copies() -> None:
    # A copy of a socket sends nothing when it is closed, and an open one would keep the parent from closing its own.
    for stream in list(_streams):
        stream.close()


in_child(_close_copies)


class Pool:
    """The connections of a process's main thread, or of its other threads; at most `MAX_CONNECTIONS` in use at once.

    One that is not `own` has a client of the application's; one that is `passing` is for one request.
    """

    def __init__(self, client: httpx.Client, own: bool, passing: bool = False) -> None:
        self.client = client
        self.own = own
        self.passing = passing
        # No semaphore: a Ctrl-C between two lines of Python's own would keep its lock for good.
        self.slots: SimpleQueue[None] = SimpleQueue()
        for _ in range(MAX_CONNECTIONS):
            self.slots.put(None)


class Transport:
    """Sends requests of one application; usable from several threads, of which the main one has its own connections."""

    def __init__(self, settings: Settings, http_client: object = None) -> None:
        self._settings = settings
        self._given = given_client(httpx.Client, http_client, settings)
        self._ways = reachable(settings, self._given)
        self._common = common_headers(settings)
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
        timeout, whole = limits(self._settings, request, within)
        if request.place is None:
            pool, way = self._pool(), self._ways[request.host]
        else:
            way = way_to_place(request.place, self._ways, self._settings, self._given)
            pool = self._pool_to(way)
        due, before = monotonic() + whole, our_request.set(True)
        try:
            return self._lent(pool, way.address, request, access, timeout, due, within is not None)
        except LIBRARY as error:
            failed = outcome(error, way, timeout, whole, late=monotonic() >= due)
        finally:
            our_request.reset(before)
            if pool.passing:
                pool.client.close()
        raise failed

    def close(self) -> None:
        """Close every connection of this process."""
        self._closed = True
        _close_own(self._pools)

    @property
    def proxies(self) -> Mapping[HostName, str]:
        """The proxies on the ways to the two hosts."""
        return proxies(self._ways)

    def tls_context(self) -> ssl.SSLContext:
        """Return the TLS that is spoken; raise `ConfigurationError` where that is up to another."""
        return own_tls(self._settings, self._given)

    def _pool(self) -> Pool:
        if self._closed:
            raise SessionError(CLIENT_CLOSED)
        if self._given is not None and self._given.is_closed:
            raise SessionError(GIVEN_CLOSED)
        # No lock, which a fork could leave locked; of two pools made at once one is dropped before it connects.
        here = _process_and_kind()
        return self._pools.get(here) or self._pools.setdefault(here, self._new_pool())

    def _new_pool(self) -> Pool:
        if self._given is None:
            return Pool(new_client(httpx.Client, self._ways.values(), self._settings), own=True)
        return Pool(self._given, own=False)

    def _pool_to(self, way: Way) -> Pool:
        """Return the connections to a place; those to somebody else's host are for one request."""
        pool = self._pool()
        if way.address.name or not pool.own:
            return pool
        return Pool(new_client(httpx.Client, [way], self._settings), own=True, passing=True)

    def _lent(
        self,
        pool: Pool,
        address: Address,
        request: Request,
        access: str | None,
        timeout: float,
        due: float,
        hurried: bool,
    ) -> Reply:
        try:
            pool.slots.get(timeout=timeout)
        except Empty:
            raise httpx.PoolTimeout("") from None
        try:
            return self._exchange(pool, address, request, access, timeout, due, hurried)
        except Exception:
            raise
        except BaseException:
            # Ctrl-C between two steps of the library can leave its locks held and a connection half used, and the
            # next request would hang: it makes a new pool.
            self._pools.pop(_process_and_kind(), None)
            raise
        finally:
            pool.slots.put(None)

    def _exchange(
        self,
        pool: Pool,
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
        message = built(self._common, address, request, access, due, **extensions)
        with closing(pool.client.send(message, stream=True, auth=None, follow_redirects=False)) as response:
            # A cassette has none.
            if pool.own and (stream := response.extensions.get("network_stream")) is not None:
                _streams.add(stream)
            body = body_of(request, response)
            for piece in () if response.is_stream_consumed else response.iter_raw():
                body.add(piece)
                if monotonic() >= due:
                    raise httpx.ReadTimeout("")
        return reply_of(address, response, body)


def _process_and_kind() -> tuple[int, bool]:
    # Ctrl-C strikes in the main thread only. What it leaves locked there must not hang a refresh in another thread.
    return os.getpid(), threading.current_thread() is threading.main_thread()


def _close_own(pools: Mapping[tuple[int, bool], Pool]) -> None:
    for (process, _), pool in list(pools.items()):
        if process == os.getpid() and pool.own:  # a parent's pools are the parent's
            pool.client.close()
