"""The only place of the pipeline that knows the HTTP library: one GET, its redirects, and what may go wrong."""

from __future__ import annotations

import asyncio
import re
import socket
import ssl
import time

import httpx
from attrs import field, frozen

from pipeline.intake.address import HEADER_VARIABLE, check_web, is_loopback, joined, origin, shown, split
from pipeline.problems import PipelineError, brief

HEADER = re.compile(r"([!#$%&'*+.^_`|~\w-]+):[ \t]*([\x21-\x7e](?:[\x20-\x7e\t]*[\x21-\x7e])?)", re.ASCII)
REDIRECTS = 10
LARGEST = 20 * 2**20  # bytes; ten times the largest documents of such services
BY_HAND = "save the document by hand and give the file"
# Only what is sent may come back, so that one packed piece of 64 KiB cannot become more than 64 MiB.
ASKED = {"Accept-Encoding": "gzip", "Accept": "*/*", "User-Agent": "puzzel-chat-regenerate"}


@frozen
class Answer:
    """What came, and the address that it finally came from."""

    data: bytes
    address: str


@frozen
class Secret:
    """The header for documents behind a login, which no repr shows."""

    name: str = field(repr=False)
    value: str = field(repr=False)


def read_header(line: str) -> Secret:
    """Return the header of a `Name: value` line. Raises `PipelineError`, without the line, when it is none."""
    match = HEADER.fullmatch(line.strip())
    if match is None:
        raise PipelineError(f"{HEADER_VARIABLE} is not one header: write it as `Name: value`.")
    return Secret(name=match[1], value=match[2])


class Web:
    """Fetches what belongs to one document, all within one time limit.

    The secret header goes to the scheme, host and port that were asked for, and is gone for good after a redirect
    that leads elsewhere.
    """

    def __init__(self, asked: str, header: str | None, limit: float) -> None:
        """Begin to count the time. Raises `PipelineError` when the header is malformed or would be seen by others."""
        self._limit, self._ends = limit, time.monotonic() + limit
        self._asked = asked
        self._secret = read_header(header) if header else None
        self._withheld = False
        self._at = asked
        if self._secret and split(asked).scheme == "http" and not is_loopback(asked):
            raise PipelineError(f"{HEADER_VARIABLE} is not sent over plain http, where others can read it: use https.")

    def get(self, address: str) -> Answer:
        """Return what is at the address. Raises `PipelineError` for all that is not a whole answer with status 200."""
        self._at = check_web(address)
        try:
            return asyncio.run(self._within_the_limit())
        except (TimeoutError, httpx.TimeoutException):
            told = f"did not answer in whole within {self._limit:g} s: check the network and run again, or {BY_HAND}"
            raise PipelineError(f"{shown(self._at)} {told}.") from None
        except (httpx.HTTPError, httpx.InvalidURL, httpx.StreamError, OSError, ValueError) as error:
            # The cause's frames hold the secret header, so it is told and not kept.
            raise PipelineError(f"{shown(self._at)} {_reason(error)}.") from None

    async def _within_the_limit(self) -> Answer:
        # A proxy would see the secret header of an address on this machine.
        client = httpx.AsyncClient(headers=ASKED, timeout=self._limit, trust_env=not is_loopback(self._at))
        async with asyncio.timeout(max(0.0, self._ends - time.monotonic())), client:
            return await self._follow(client)

    async def _follow(self, client: httpx.AsyncClient) -> Answer:
        seen: list[str] = []
        while self._at not in seen:
            seen.append(self._at)
            secret = self._secret_for(self._at)
            async with client.stream("GET", self._at, headers=secret) as response:
                if not response.has_redirect_location:
                    self._check(response, sent=bool(secret))
                    return Answer(data=await _body(response, shown(self._at)), address=self._at)
                target = response.headers["location"]
            if len(seen) > REDIRECTS:
                raise PipelineError(f"{shown(seen[0])} redirects more than {REDIRECTS} times: {BY_HAND}.")
            self._at = self._redirected(target)
        raise PipelineError(f"{shown(seen[0])} redirects in a circle: {BY_HAND}.")

    def _secret_for(self, address: str) -> dict[str, str]:
        secret = self._secret
        return {secret.name: secret.value} if secret and origin(address) == origin(self._asked) else {}

    def _redirected(self, target: str) -> str:
        address = check_web(joined(self._at, target))
        if self._secret and origin(address) != origin(self._asked):
            self._secret, self._withheld = None, True
        return address

    def _check(self, response: httpx.Response, *, sent: bool) -> None:
        status = response.status_code
        if status == httpx.codes.OK:
            return
        if status in (401, 403):
            told = self._login(sent=sent)
        elif status in (404, 410):
            told = "there is nothing at that address: check it"
        elif status == httpx.codes.TOO_MANY_REQUESTS:
            told = f"it had too many requests: wait{_wait(response)} and run again"
        elif status >= httpx.codes.INTERNAL_SERVER_ERROR:
            told = f"the service fails: run again later, or {BY_HAND}"
        else:
            told = f"that is no document: open the address in a browser, {BY_HAND}"
        raise PipelineError(f"{shown(self._at)} answered {status}, {told}.")

    def _login(self, *, sent: bool) -> str:
        if sent:
            return f"it does not accept the header in {HEADER_VARIABLE}: correct the value, or {BY_HAND}"
        if self._secret or self._withheld:
            return f"and {HEADER_VARIABLE} is sent only to the host that was asked for: give this address, or {BY_HAND}"
        return f"it wants a login: set {HEADER_VARIABLE} to a `Name: value` line, or {BY_HAND}"


async def _body(response: httpx.Response, place: str) -> bytes:
    packed = response.headers.get("content-encoding", "identity").strip().lower()
    if packed not in ("gzip", "identity", ""):
        raise PipelineError(f"{place} came packed as {brief(packed)}, which was not asked for: {BY_HAND}.")
    data = bytearray()
    async for piece in response.aiter_bytes():
        data += piece
        if len(data) > LARGEST:
            raise PipelineError(f"{place} is larger than {LARGEST // 2**20} MiB: give the address of a document.")
    return bytes(data)


def _wait(response: httpx.Response) -> str:
    seconds = response.headers.get("retry-after", "")
    return f" {int(seconds)} s" if re.fullmatch(r"\d{1,6}", seconds, re.ASCII) else ""


def _reason(error: BaseException) -> str:
    """Return what went wrong and what to do; the library tells the first three apart only by their causes."""
    causes = list(_causes(error))
    for cause in causes:
        if isinstance(cause, ssl.SSLCertVerificationError):
            told = brief(cause.verify_message)
            return f"has a certificate that is not trusted ({told}): check the address, or set SSL_CERT_FILE"
        if isinstance(cause, ssl.SSLError):
            return "does not speak TLS: check the address and its port"
        if isinstance(cause, socket.gaierror):
            return "has a host that is not found: check the address and the network"
        if isinstance(cause, ConnectionRefusedError):
            return "cannot be reached, the connection was refused: check the address and its port"
    if isinstance(error, httpx.DecodingError):
        return f"came packed in a way that cannot be unpacked: run again, or {BY_HAND}"
    if isinstance(error, httpx.ProxyError):
        return "cannot be reached through the proxy: check HTTP_PROXY and HTTPS_PROXY"
    if isinstance(error, httpx.ConnectError):
        return "cannot be reached: check the address and the network"
    if isinstance(error, httpx.InvalidURL | ValueError):
        return "is no address that can be asked for: correct it"
    return f"gave a broken answer ({type(error).__name__}): run again, or {BY_HAND}"


def _causes(error: BaseException) -> list[BaseException]:
    found, todo = list[BaseException](), [error]
    while todo:
        one = todo.pop()
        if one not in found:
            found.append(one)
            todo += [cause for cause in (one.__cause__, one.__context__) if cause is not None]
            todo += one.exceptions if isinstance(one, BaseExceptionGroup) else []
    return found
