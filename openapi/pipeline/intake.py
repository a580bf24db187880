"""Get a document from a file or an address, through the Swagger UI page that shows it if need be.

The only place of the pipeline that knows the HTTP library.
"""

from __future__ import annotations

import asyncio
import re
import socket
import ssl
import time
from collections.abc import Iterator

import httpx
from attrs import frozen

from pipeline.address import (
    HEADER_VARIABLE,
    address_of,
    check_web,
    is_loopback,
    joined,
    origin,
    path_of,
    shown,
    split,
)
from pipeline.decode import text_of
from pipeline.problems import PipelineError, brief
from pipeline.swagger_page import follow, read_page

__all__ = ["HEADER_VARIABLE", "Fetched", "address_of", "fetch", "shown"]

HEADER = re.compile(r"([!#$%&'*+.^_`|~\w-]+):[ \t]*([\x21-\x7e](?:[\x20-\x7e\t]*[\x21-\x7e])?)", re.ASCII)
REDIRECTS = 10
LARGEST = 20 * 2**20  # bytes; ten times the largest documents of such services
BY_HAND = "save the document by hand and give the file"
# Only what is sent may come back, so that one packed piece of 64 KiB cannot become more than 64 MiB.
ASKED = {"Accept-Encoding": "gzip", "Accept": "*/*", "User-Agent": "puzzel-chat-regenerate"}
# In this order: the library tells the first four apart only by their causes.
REASONS: tuple[tuple[type[BaseException], str], ...] = (
    (
        ssl.SSLCertVerificationError,
        "has a certificate that is not trusted ({}): check the address, or set SSL_CERT_FILE",
    ),
    (ssl.SSLError, "does not speak TLS: check the address and its port"),
    (socket.gaierror, "has a host that is not found: check the address and the network"),
    (ConnectionRefusedError, "cannot be reached, the connection was refused: check the address and its port"),
    (httpx.DecodingError, f"came packed in a way that cannot be unpacked: run again, or {BY_HAND}"),
    (httpx.ProxyError, "cannot be reached through the proxy: check HTTP_PROXY and HTTPS_PROXY"),
    (httpx.ConnectError, "cannot be reached: check the address and the network"),
    (httpx.InvalidURL, "is no address that can be asked for: correct it"),
    (UnicodeError, "is no address that can be asked for: correct it"),
)


@frozen
class Fetched:
    """A document's bytes as they came, where from, and sentences about how it was found."""

    data: bytes
    origin: str
    told: tuple[str, ...]


def fetch(spec: str, *, choice: str | None = None, header: str | None = None, limit: float = 30.0) -> Fetched:
    """Return the document at an http, https or file address or a path, or the one that a Swagger UI page there shows.

    `choice` is the name of one of several documents of a page, `header` the value of `PUZZEL_CHAT_SPEC_HEADER`, and
    `limit` the seconds that everything over the network may take together. Raises `PipelineError` when nothing usable
    came, with `details` on the way there; whether it is an OpenAPI document is for `decode` to say.
    """
    asked = address_of(spec)
    reader = _Reader(asked, header, limit)
    data, address = reader.get(asked)
    told = [] if address == asked else [f"Redirected to {shown(address)}."]
    try:
        data, address = _behind_the_page(reader, data, address, choice or None, told)
    except PipelineError as error:
        raise PipelineError(str(error), details=(*told, *error.details)) from None
    return Fetched(data, shown(address), tuple(told))


def _behind_the_page(
    reader: _Reader, data: bytes, address: str, choice: str | None, told: list[str]
) -> tuple[bytes, str]:
    page = read_page(text_of(data))
    if page is None:
        told += ["SPEC_NAME= was not needed: this is no page with a choice of documents."] if choice else []
        return data, address
    found = follow(page, address, choice, lambda reference: reader.get(reference)[0], told)
    told.append(found.told)
    if found.data is not None:
        return found.data, address
    data, address = reader.get(found.address)
    if read_page(text_of(data)) is not None:
        raise PipelineError(f"{shown(address)} is a Swagger UI page again: give the document's own address.")
    return data, address


class _Reader:
    """Gets what belongs to one document, all within one time limit.

    The secret header goes to the scheme, host and port that were asked for, and is gone for good after a redirect
    that leads elsewhere.
    """

    def __init__(self, asked: str, header: str | None, limit: float) -> None:
        self._limit, self._ends = limit, time.monotonic() + limit
        self._asked = self._at = asked
        self._secret = _read_header(header) if header else {}
        self._has_secret = bool(header)
        if header and split(asked).scheme == "http" and not is_loopback(asked):
            raise PipelineError(f"{HEADER_VARIABLE} is not sent over plain http, where others can read it: use https.")

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
            raise PipelineError(f"{shown(self._at)} {told}.") from None
        except (httpx.HTTPError, httpx.InvalidURL, httpx.StreamError, OSError, ValueError) as error:
            # The cause's frames hold the secret header, so it is told and not kept.
            raise PipelineError(f"{shown(self._at)} {_reason(error)}.") from None

    async def _within_the_limit(self) -> bytes:
        # A proxy would see the secret header of an address on this machine.
        client = httpx.AsyncClient(headers=ASKED, timeout=self._limit, trust_env=not is_loopback(self._at))
        async with asyncio.timeout(max(0.0, self._ends - time.monotonic())), client:
            return await self._through_redirects(client)

    async def _through_redirects(self, client: httpx.AsyncClient) -> bytes:
        start = self._at
        for _ in range(REDIRECTS + 1):
            secret = self._secret if origin(self._at) == origin(self._asked) else {}
            # The library would follow too, but read a redirect's body whatever its size, and lend the header.
            async with client.stream("GET", self._at, headers=secret) as response:
                if response.status_code == httpx.codes.OK:
                    return await _body(response, shown(self._at))
                if not response.has_redirect_location:
                    raise self._refusal(response, sent=bool(secret))
            self._at = check_web(joined(self._at, response.headers["location"]))
            if origin(self._at) != origin(self._asked):
                self._secret = {}
        raise PipelineError(f"{shown(start)} redirects more than {REDIRECTS} times, or in a circle: {BY_HAND}.")

    def _refusal(self, response: httpx.Response, *, sent: bool) -> PipelineError:
        status = response.status_code
        told = f"that is no document: open the address in a browser, {BY_HAND}"
        if status in (401, 403):
            told = self._login(sent=sent)
        elif status in (404, 410):
            told = "there is nothing at that address: check it"
        elif status == httpx.codes.TOO_MANY_REQUESTS:
            seconds = re.fullmatch(r"[0-9]{1,6}", response.headers.get("retry-after", ""))
            told = f"it had too many requests: wait{f' {seconds[0]} s' if seconds else ''} and run again"
        elif status >= httpx.codes.INTERNAL_SERVER_ERROR:
            told = f"the service fails: run again later, or {BY_HAND}"
        return PipelineError(f"{shown(self._at)} answered {status}, {told}.")

    def _login(self, *, sent: bool) -> str:
        if sent:
            return f"it does not accept the header in {HEADER_VARIABLE}: correct the value, or {BY_HAND}"
        if self._has_secret:
            return f"and {HEADER_VARIABLE} is sent only to the host that was asked for: give this address, or {BY_HAND}"
        return f"it wants a login: set {HEADER_VARIABLE} to a `Name: value` line, or {BY_HAND}"


def _read_header(line: str) -> dict[str, str]:
    match = HEADER.fullmatch(line.strip())
    if match is None:
        raise PipelineError(f"{HEADER_VARIABLE} is not one header: write it as `Name: value`.")
    return {match[1]: match[2]}


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
    path, place = path_of(address), shown(address)
    try:
        with path.open("rb") as file:
            data = file.read(LARGEST + 1)
    except FileNotFoundError:
        raise PipelineError(f"{place} does not exist: check the path, or write https:// before an address.") from None
    except IsADirectoryError:
        raise PipelineError(f"{place} is a folder: name the document in it.") from None
    except (OSError, ValueError) as error:
        reason = getattr(error, "strerror", None) or str(error)
        raise PipelineError(f"{place} cannot be read ({reason}): give a file that can.") from None
    _check_size(len(data), place)
    return data


def _reason(error: BaseException) -> str:
    causes = list(_causes(error))
    for kind, told in REASONS:
        for cause in (cause for cause in causes if isinstance(cause, kind)):
            return told.format(brief(getattr(cause, "verify_message", "")))
    return f"gave a broken answer ({type(error).__name__}): run again, or {BY_HAND}"


def _causes(error: BaseException) -> Iterator[BaseException]:
    yield error
    parts = error.exceptions if isinstance(error, BaseExceptionGroup) else ()
    for one in (error.__cause__ or error.__context__, *parts):
        if one is not None:
            yield from _causes(one)
