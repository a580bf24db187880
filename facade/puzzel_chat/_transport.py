"""The only place that knows the HTTP library's client: pools, timeouts, and its exceptions turned into ours.

Redirects are never followed, cookies are never kept (a shared jar once gave one customer another's session:
BerriAI/litellm#36149), and TLS is verified.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from http.cookiejar import CookieJar, DefaultCookiePolicy
from typing import Any

import httpx

from puzzel_chat._config import Settings
from puzzel_chat._errors import ConfigurationError, Sent, SessionError, TransportError
from puzzel_chat._http import Reply, Request

# Every concrete error of the library that a request can meet, and whether the service may have seen the request.
# A test enumerates the library's errors and fails when one is missing here.
OUTCOMES: dict[type[Exception], tuple[Sent, str]] = {
    httpx.ConnectError: ("no", "could not connect to {host}; check base_url and the network"),
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
MAX_CONNECTIONS = 100
ACCEPT = "application/json, application/problem+json"


@contextmanager
def mapped_errors(host: str, timeout: float) -> Iterator[None]:
    """Turn every error of the HTTP library into a `TransportError`, the nearest row first."""
    try:
        yield
    except (httpx.HTTPError, httpx.InvalidURL, httpx.StreamError) as error:
        row = next(base for base in type(error).__mro__ if base in OUTCOMES)
        sent, sentence = OUTCOMES[row]
        told = sentence.format(host=host, timeout=timeout)
        # The cause's frames hold headers and body as they were written, so it is named and not kept.
        raise TransportError(f"No reply: {told} ({type(error).__name__}).", sent=sent) from None


def _host(settings: Settings) -> str:
    try:
        return httpx.URL(settings.base_url).host
    except (httpx.InvalidURL, ValueError):
        raise ConfigurationError("base_url", "is not an address that can be reached") from None


def _check_open(client: httpx.Client | httpx.AsyncClient) -> None:
    if client.is_closed:
        raise SessionError("The client was closed. Make a new one.")


def _options(settings: Settings) -> dict[str, Any]:
    return {
        "timeout": httpx.Timeout(settings.timeout),
        "limits": httpx.Limits(max_connections=MAX_CONNECTIONS, max_keepalive_connections=MAX_CONNECTIONS),
        "follow_redirects": False,
        "cookies": CookieJar(policy=DefaultCookiePolicy(allowed_domains=[])),
    }


def _headers(request: Request, access: str | None) -> httpx.Headers:
    # Their own type, for its repr masks the token where a dict would show it.
    headers = httpx.Headers({"Accept": ACCEPT, "User-Agent": "puzzel-chat-python"})
    if access is not None:
        headers["Authorization"] = f"Bearer {access}"
    if request.content_type is not None:
        headers["Content-Type"] = request.content_type
    return headers


def _url(base_url: str, request: Request) -> str:
    return f"{base_url}{request.path}{'?' + request.query if request.query else ''}"


def _reply(response: httpx.Response) -> Reply:
    return Reply(status=response.status_code, headers=dict(response.headers), body=response.content)


class Transport:
    """Sends requests of one application over one pool; usable from several threads."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._host = _host(settings)
        self._client = httpx.Client(**_options(settings))

    def send(self, request: Request, access: str | None, within: float | None = None) -> Reply:
        """Send with that access token and give the whole reply; raises `TransportError`.

        `within` in seconds is for a request that may not take the usual time.
        """
        _check_open(self._client)
        timeout = min(within or self._settings.timeout, self._settings.timeout)
        with mapped_errors(self._host, timeout):
            return _reply(
                self._client.request(
                    request.method,
                    _url(self._settings.base_url, request),
                    content=request.body,
                    headers=_headers(request, access),
                    timeout=timeout,
                )
            )

    def close(self) -> None:
        """Close every connection."""
        self._client.close()


class AsyncTransport:
    """The same for one event loop."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._host = _host(settings)
        self._client = httpx.AsyncClient(**_options(settings))

    async def send(self, request: Request, access: str | None, within: float | None = None) -> Reply:
        """Send with that access token and give the whole reply; raises `TransportError`.

        `within` in seconds is for a request that may not take the usual time.
        """
        _check_open(self._client)
        timeout = min(within or self._settings.timeout, self._settings.timeout)
        with mapped_errors(self._host, timeout):
            return _reply(
                await self._client.request(
                    request.method,
                    _url(self._settings.base_url, request),
                    content=request.body,
                    headers=_headers(request, access),
                    timeout=timeout,
                )
            )

    async def aclose(self) -> None:
        """Close every connection."""
        await self._client.aclose()
