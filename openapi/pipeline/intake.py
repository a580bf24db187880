"""Get a document from a file or an address: the only place of the pipeline that knows the HTTP library."""

from __future__ import annotations

import asyncio
import os
import re
import ssl
import time
from importlib import import_module
from importlib.util import find_spec
from urllib.request import getproxies, proxy_bypass

import httpx
from attrs import frozen

from pipeline.address import HEADER_VARIABLE, address_of, check_web, is_loopback, joined, origin, path_of, shown, split
from pipeline.decode import text_of
from pipeline.problems import PipelineError, brief
from pipeline.swagger_page import follow, read_page

HEADER = re.compile(r"([!#$%&'*+.^_`|~\w-]+):[ \t]*([\x21-\x7e](?:[\x20-\x7e\t]*[\x21-\x7e])?)", re.ASCII)
REDIRECTS = 10
LARGEST = 20 * 2**20  # bytes; ten times the largest documents of such services
OF_TLS = ("SSL_CERT_FILE", "SSL_CERT_DIR", "SSLKEYLOGFILE")
# For a SOCKS proxy httpx needs one more package, whose errors it lets through.
OF_SOCKS: tuple[type[Exception], ...] = (import_module("socksio").SOCKSError,) if find_spec("socksio") else ()
LIBRARY: tuple[type[Exception], ...] = (
    httpx.HTTPError,
    httpx.InvalidURL,
    httpx.StreamError,
    OSError,
    ValueError,
    *OF_SOCKS,
)
BY_HAND = "save the document by hand and give the file"
# Only what is sent may come back, so that one packed piece of 64 KiB cannot become more than 64 MiB.
ASKED = {"Accept-Encoding": "gzip", "Accept": "*/*", "User-Agent": "puzzel-chat-regenerate"}


@frozen
class Fetched:
    """A document's bytes as they came, where from, and sentences about how it was found."""

    data: bytes
    origin: str
    told: tuple[str, ...]


def fetch(spec: str, *, choice: str | None = None, header: str | None = None, limit: float = 30.0) -> Fetched:
    """Return what is at an address or path, or the document that a Swagger UI page there shows, in `limit` seconds."""
    asked = address_of(spec)
    reader = _Reader(asked, header, limit)
    data, address = reader.get(asked)
    told = [] if address == asked else [f"Redirected to {shown(address)}."]
    page = read_page(text_of(data))
    if page is None:
        told += ["SPEC_NAME= was not needed: this is no page with a choice of documents."] if choice else []
        return Fetched(data, shown(address), tuple(told))
    try:
        found = follow(page, address, choice or None, lambda reference: reader.get(reference)[0], told)
        data, address = (found, address) if isinstance(found, bytes) else reader.get(found)
    except PipelineError as error:
        raise PipelineError(str(error), details=tuple(told)) from None
    return Fetched(data, shown(address), tuple(told))


class _Reader:
    """Gets what belongs to one document; the secret header goes to whom it was asked of, until a redirect elsewhere."""

    def __init__(self, asked: str, header: str | None, limit: float) -> None:
        self._limit, self._ends = limit, time.monotonic() + limit
        self._asked = self._at = asked
        match = HEADER.fullmatch(header.strip()) if header else None
        if header and match is None:
            raise PipelineError(f"{HEADER_VARIABLE} is not one header: write it as `Name: value`.")
        if match and split(asked).scheme == "http" and not is_loopback(asked):
            raise PipelineError(f"{HEADER_VARIABLE} is not sent over plain http, where others can read it: use https.")
        self._secret = {match[1]: match[2]} if match else {}

    def get(self, address: str) -> tuple[bytes, str]:
        """Return what is at the address, and where it was in the end. Raises `PipelineError` for half an answer."""
        # A page of the web does not get at files.
        if split(address).scheme == split(self._asked).scheme == "file":
            return _read_file(address), address
        self._at = check_web(address)
        try:
            return asyncio.run(self._within_the_limit()), self._at
        except (TimeoutError, httpx.TimeoutException):
            told = f"did not answer in whole within {self._limit:g} s: check the network and run again, or {BY_HAND}"
        except LIBRARY as error:
            told = _reason(error, _proxy(self._at)[0])
        # The cause's frames hold the secret header, so it is told and not kept.
        raise PipelineError(f"{shown(self._at)} {told}.")

    async def _within_the_limit(self) -> bytes:
        async with asyncio.timeout(max(0.0, self._ends - time.monotonic())):
            return await self._through_redirects()

    async def _through_redirects(self) -> bytes:
        for _ in range(REDIRECTS + 1):
            secret = self._secret if origin(self._at) == origin(self._asked) else {}
            # The library would follow too, but read a redirect's body whatever its size, and lend the header.
            async with (
                _client(self._at, self._limit) as client,
                client.stream("GET", self._at, headers=secret) as response,
            ):
                if response.status_code == httpx.codes.OK:
                    return await _body(response, shown(self._at))
                if not response.has_redirect_location:
                    raise PipelineError(f"{shown(self._at)} {_refusal(response, sent=bool(secret))}.")
            self._at = check_web(joined(self._at, response.headers["location"]))
            if origin(self._at) != origin(self._asked):
                self._secret = {}
        raise PipelineError(f"{shown(self._at)} redirects more than {REDIRECTS} times, or in a circle: {BY_HAND}.")


def _client(address: str, limit: float) -> httpx.AsyncClient:
    """Return a client for one address. Raises `PipelineError` naming the variable that is used there and wrong."""
    variable, proxy = _proxy(address)
    encrypted = address.lower().startswith("https:") or (proxy or "").lower().startswith("https:")
    try:
        context = httpx.create_ssl_context() if encrypted else ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    except OSError as error:
        wrong = " or ".join(name for name in OF_TLS if os.environ.get(name))
        why = "no certificate in it" if isinstance(error, ssl.SSLError) else error.strerror
        raise PipelineError(f"{wrong or 'OPENSSL_CONF'} cannot be used ({why}): correct it, or unset it.") from None
    try:
        return httpx.AsyncClient(headers=ASKED, timeout=limit, trust_env=False, proxy=proxy, verify=context)
    except ImportError:
        told = "names a SOCKS proxy, which needs a package: pip install 'httpx[socks]'"
    except (httpx.InvalidURL, ValueError):
        told = "names no proxy that can be used: write it as http://host:port, or socks5:// for SOCKS, or unset it"
    raise PipelineError(f"{variable} {told}.")


def _proxy(address: str) -> tuple[str, str | None]:
    """Return the proxy for an address and its variable; none on this machine, where it would see a secret header."""
    named, (scheme, host, port) = getproxies(), origin(address)
    kind = next((kind for kind in (scheme, "all") if named.get(kind)), None)
    if kind is None or is_loopback(address) or proxy_bypass(f"{host}:{port}"):
        return "", None
    url = named[kind].strip()
    variable = next((name for name in os.environ if name.lower() == f"{kind}_proxy"), f"{kind}_proxy".upper())
    return variable, url if "://" in url else f"http://{url}"


def _refusal(response: httpx.Response, *, sent: bool) -> str:
    status = response.status_code
    step = f"check the address in a browser, or {BY_HAND}"
    if status in (401, 403) and sent:
        step = f"correct the value of {HEADER_VARIABLE}, which was sent, or {BY_HAND}"
    elif status in (401, 403):
        step = f"set {HEADER_VARIABLE}, which goes to the host of SPEC= only, to a `Name: value` line, or {BY_HAND}"
    elif status == httpx.codes.TOO_MANY_REQUESTS or status >= httpx.codes.INTERNAL_SERVER_ERROR:
        step = f"wait and run again, or {BY_HAND}"
    return f"answered {status} {httpx.codes.get_reason_phrase(status)}".rstrip() + f": {step}"


async def _body(response: httpx.Response, place: str) -> bytes:
    packed = response.headers.get("content-encoding", "identity").strip().lower()
    if packed not in ("gzip", "identity", ""):
        raise PipelineError(f"{place} came packed as {brief(packed)}, which was not asked for: {BY_HAND}.")
    data = bytearray()
    async for piece in response.aiter_bytes():
        data += piece
        _check_size(len(data), place)
    return bytes(data)


def _check_size(size: int, place: str) -> None:
    if size > LARGEST:
        raise PipelineError(f"{place} is larger than {LARGEST // 2**20} MiB: give the document itself.")


def _read_file(address: str) -> bytes:
    place = shown(address)
    try:
        with path_of(address).open("rb") as file:
            data = file.read(LARGEST + 1)
    except (OSError, ValueError) as error:
        why = getattr(error, "strerror", None) or error
        raise PipelineError(
            f"{place} cannot be read ({why}): check the path, or begin an address with https://."
        ) from None
    _check_size(len(data), place)
    return data


def _reason(error: Exception, variable: str) -> str:
    if isinstance(error, (httpx.ConnectError, httpx.ProxyError, *OF_SOCKS)):
        told = brief(str(error) or type(error).__name__)
        step = "set SSL_CERT_FILE" if "CERTIFICATE" in told else "set HTTPS_PROXY if there is a proxy"
        if variable and "CERTIFICATE" not in told:
            return f"cannot be reached through the proxy of {variable} ({told}): check that variable, or NO_PROXY"
        return f"cannot be reached ({told}): check the address, its port and the network, or {step}"
    if isinstance(error, httpx.InvalidURL | UnicodeError):
        return "is no address that can be asked for: correct it"
    return f"gave a broken answer ({type(error).__name__}): run again, or {BY_HAND}"
