"""The transport of a polling loop: pyreqwest, which does its work outside of Python.

It is imported only through `_extra`, because it needs the `[fleet]` extra. A poll costs about a quarter of what it
costs over httpx. What differs from the other transports:

- Besides whom httpx trusts, which is its own store unless the setting `verify`, SSL_CERT_FILE or SSL_CERT_DIR names
  another, it trusts the system's store then. Its client begins each chat over httpx, so that both have to trust the
  service.
- The library goes on with a request whose caller was cancelled: it keeps its connection and its slot until its reply
  begins or its time is up, also after the client is closed. A reply that comes while the interpreter shuts down may
  abort the process: let requests end, cancel few.
- Whether a request that broke was sent is known only when no connection came about.
- A connection takes about 47 KB, and no setting of the library makes that less: limit their number.
"""

from __future__ import annotations

import asyncio
import os
import re
import ssl
from asyncio import AbstractEventLoop
from collections.abc import Iterator, Mapping
from contextlib import suppress
from datetime import timedelta
from http import HTTPStatus
from socket import EAI_NONAME, gaierror
from time import monotonic

from attrs import frozen
from pyreqwest import exceptions as library
from pyreqwest.client import Client, ClientBuilder
from pyreqwest.http import HeaderMap
from pyreqwest.proxy import ProxyBuilder
from pyreqwest.request import StreamRequest

from puzzel_chat._async_transport import process_and_loop
from puzzel_chat._environment import Proxy, Way, refused_proxy
from puzzel_chat._errors import CLIENT_CLOSED, ConfigurationError, Sent, SessionError, TransportError
from puzzel_chat._failures import (
    EARLY,
    EXPIRED,
    NO_TLS,
    OTHER_NAME,
    UNKNOWN_SIGNER,
    closed_meanwhile,
    no_reply,
    overdue,
    proxy_refused,
    unconnected,
)
from puzzel_chat._http import Reply, Request
from puzzel_chat._settings import Settings
from puzzel_chat._transport import IDLE, Body, BrokenGzip, common_headers, limits, reachable, tls

LAST_MOMENT = 0.05
"""Seconds that the library's threads get to end: of programs that exited at once, 3 in 160 were aborted."""
CONNECTING = 0.9
"""Share of the timeout for connecting."""
_ELSEWHERE = "This polling loop belongs to another event loop or process. Make a new one here."

# Every error of the library: whether the service may have seen the request, what to call the cause, and a sentence. A
# test enumerates them and fails when one is missing here. Some names mislead: a connection that breaks before the head
# of the reply is a ConnectError (MarkusSintonen/pyreqwest#27), and a reply that does not begin in time is a
# ConnectTimeoutError.
OUTCOMES: dict[type[Exception], tuple[Sent, type[Exception], str]] = {
    library.ConnectError: ("maybe", ConnectionResetError, "{way} closed the connection before it answered; {again}"),
    library.ConnectTimeoutError: (
        "maybe",
        TimeoutError,
        "{way} did not answer within {timeout:g} s (timeout); {again}",
    ),
    library.PoolTimeoutError: (
        "no",
        TimeoutError,
        "no free connection within {timeout:g} s; too many chats at once for this loop, none is left for {way}",
    ),
    library.BuilderError: ("no", ValueError, "the request to {way} breaks the HTTP rules; check what goes into it"),
    library.ReadTimeoutError: ("maybe", TimeoutError, "{way} did not answer within {timeout:g} s (timeout); {again}"),
    library.WriteTimeoutError: ("maybe", TimeoutError, "{way} did not take the request within {timeout:g} s; {again}"),
    library.ReadError: ("maybe", ConnectionError, "the connection to {way} broke while reading; {again}"),
    library.WriteError: ("maybe", ConnectionError, "the connection to {way} broke while writing; {again}"),
    library.BodyDecodeError: (
        "maybe",
        ValueError,
        "{way} sent a body that is cut short or cannot be unpacked; {again}",
    ),
    library.DecodeError: ("maybe", ValueError, "{way} answered with broken HTTP; {again}"),
    library.RedirectError: ("maybe", ValueError, "{way} redirects in circles; correct that setting"),
    library.ClientClosedError: ("maybe", ConnectionAbortedError, ""),
    library.RequestPanicError: ("maybe", RuntimeError, "the HTTP library failed on the way to {way}; report this bug"),
    library.PyreqwestError: ("maybe", ConnectionError, "the request to {way} failed; {again}"),
}
# The words of hyper-util, the library below, for the stage before anything is sent. Should they ever change, a request
# that was not sent counts as perhaps sent, and nothing worse.
_CONNECTING = "client error (Connect)"
_TIMES_OUT = ("operation timed out", "deadline has elapsed")
_DNS = "failed to lookup address information: "
_CERTIFICATE = "invalid peer certificate: "
_BY_THE_SYSTEM = re.compile(r".* \(os error (\d+)\)")
_NO_TLS = "received corrupt message of type InvalidContentType"
# How words about a certificate begin, with OpenSSL's number for the same.
_CERTIFICATES = {
    "certificate expired": EXPIRED,
    "certificate not valid yet": EARLY,
    "certificate not valid for name": OTHER_NAME,
    "UnknownIssuer": UNKNOWN_SIGNER,
}


def outcome(error: Exception, way: Way, timeout: float, whole: float, taken: float) -> TransportError:
    """Return our error for one of the library that came after `taken` seconds."""
    details = getattr(error, "details", None) or {}
    causes = [cause["message"] for cause in details.get("causes") or ()]
    if _CONNECTING in causes:
        return _unconnected(causes, way, timeout, whole, taken)
    sent, kind, sentence = next(OUTCOMES[base] for base in type(error).__mro__ if base in OUTCOMES)
    if isinstance(error, TimeoutError) and taken >= whole:
        return overdue(way, whole, sent)
    if sentence == "":
        return closed_meanwhile(way, sent)
    told = sentence.format(way=way, timeout=timeout, again=way.again)
    return no_reply(way, told, sent, _of_the_system(causes) or kind(type(error).__name__))


def _unconnected(causes: list[str], way: Way, timeout: float, whole: float, taken: float) -> TransportError:
    """Return the error for a connection that did not come about, from the library's words for why."""
    cause = _cause(causes)
    if isinstance(cause, TimeoutError) and taken >= whole:
        return overdue(way, whole, "no")
    if cause is None and way.proxy is not None:
        asked = any(one == "tunnel error: proxy authorization required" for one in causes)
        return proxy_refused(way, HTTPStatus.PROXY_AUTHENTICATION_REQUIRED if asked else None)
    return unconnected(way, cause or ConnectionResetError("the connection broke"), timeout)


def _cause(causes: list[str]) -> OSError | None:
    if found := _of_the_system(causes):
        return found
    for one in causes:
        if one.startswith(_TIMES_OUT):
            return TimeoutError("timed out")
        if one.startswith(_DNS):
            return gaierror(EAI_NONAME, one.removeprefix(_DNS))
        if one.startswith(_CERTIFICATE):
            return _misfit(one.removeprefix(_CERTIFICATE))
        if one.startswith("received ") or one.startswith("peer "):
            failed = ssl.SSLError(1, one)
            failed.reason = NO_TLS if one == _NO_TLS else one
            return failed
    return ConnectionResetError("closed in the handshake") if "tls handshake eof" in causes else None


def _of_the_system(causes: list[str]) -> OSError | None:
    found = next(filter(None, map(_BY_THE_SYSTEM.fullmatch, causes)), None)
    return OSError(int(found[1]), os.strerror(int(found[1]))) if found else None


def _misfit(words: str) -> ssl.SSLCertVerificationError:
    number = next((number for begin, number in _CERTIFICATES.items() if words.startswith(begin)), 0)
    told = re.split("[:;({]", words)[0]  # what follows are names in the certificate, and times
    error = ssl.SSLCertVerificationError(1, f"certificate verify failed: {told}")
    error.verify_code, error.verify_message = number, told
    return error


class FleetTransport:
    """Sends the polls of one service over at most so many connections, on the event loop that sends the first."""

    def __init__(self, settings: Settings, connections: int) -> None:
        self._settings = settings
        self._ways = reachable(settings)
        self._client: Client | None = _new_client(settings, self._ways["communication"], connections)
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
        _, whole = limits(self._settings, request, within)
        way = self._ways[request.host]
        began = monotonic()
        try:
            # The request has no name here: its repr fails once it was sent, in the hands of who prints the locals.
            async with self._built(way, request, access, whole) as response:
                headers = Headers(response.headers)
                # The library removes the header where it has decoded, which it does only for "gzip" in small letters.
                body = Body(request, headers.get("content-encoding", ""))
                while (piece := await response.body_reader.read_chunk()) is not None:
                    body.add(piece.to_bytes())
                return Reply(status=response.status, address=way.address, headers=headers, body=bytes(body.content))
        except library.PyreqwestError as error:
            failed = outcome(error, way, self._settings.timeout, whole, monotonic() - began)
        except BrokenGzip:
            why = f"{way} sent a body that cannot be unpacked; {way.again}"
            failed = no_reply(way, why, "maybe", ValueError("no gzip"))
        # Not within the block above: the library's message holds the address with its query, and would be the context.
        raise failed

    def _built(self, way: Way, request: Request, access: str | None, whole: float) -> StreamRequest:
        query = f"?{request.query}" if request.query else ""
        try:
            assert self._client is not None
            message = self._client.request(request.method, f"{way.address.url}{request.path}{query}")
            if access is not None:
                message = message.bearer_auth(access)  # masked in reprs
            for name, value in request.headers.items():
                message = message.header(name, value)
            if request.body is not None:
                message = message.body_bytes(request.body)
            return message.timeout(timedelta(seconds=whole)).build_streamed()
        except (ValueError, library.PyreqwestError) as error:
            refused = outcome(library.BuilderError(type(error).__name__, {"causes": None}), way, whole, whole, 0.0)
        raise refused


def _new_client(settings: Settings, way: Way, connections: int) -> Client:
    """Return a client of the library that keeps no cookie, follows no redirect and decodes only gzip."""
    timeout = timedelta(seconds=settings.timeout)
    builder = (
        ClientBuilder()
        .default_headers(common_headers(settings))
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
    return _set_up(builder.no_proxy(), way, settings)


def _set_up(builder: ClientBuilder, way: Way, settings: Settings) -> Client:
    """Return the client that goes this way; the library would read the environment in a manner of its own."""
    if way.proxy is not None:
        builder = builder.proxy(_proxy(way.proxy))
    if way.encrypted:
        for certificate in tls(settings).get_ca_certs(binary_form=True):
            builder = builder.add_root_certificate_der(certificate)
    else:
        # Plain http knows no certificate. This only keeps the library from loading some, which a wrong variable breaks.
        builder = builder.danger_accept_invalid_certs(True)
    try:
        return builder.build()
    except library.PyreqwestError:
        told = "polls cannot use these certificates; name others, in PEM, or make the loop with fast=False"
        named_by = "SSL_CERT_FILE or SSL_CERT_DIR" if settings.verify is True else "verify"
        raise ConfigurationError(named_by, told) from None


def _proxy(proxy: Proxy) -> ProxyBuilder:
    with suppress(ValueError, library.PyreqwestError):
        # With socks5:// this library looks the host's name up here, and httpx lets the proxy do that.
        return ProxyBuilder.all(proxy.url.replace("socks5://", "socks5h://", 1))
    raise refused_proxy(proxy)


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
