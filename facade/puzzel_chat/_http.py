"""Requests and replies as `_wire` (the API) and `_transport` (HTTP) exchange them, and the protocol of a carrier."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Protocol
from urllib.parse import unquote, urljoin, urlsplit

from attrs import evolve, field, frozen

from puzzel_chat._settings import Address, HostName


class Content(Protocol):
    """The body of a request that is read piece by piece; `size` is in bytes."""

    @property
    def size(self) -> int:
        """How many bytes it has."""
        ...

    def pieces(self) -> Iterator[bytes]:
        """Yield all of it, from its beginning."""
        ...

    def passed(self, piece: bytes) -> object:
        """Be told that a piece was sent; what this returns is awaited where it can be."""


class Sink(Protocol):
    """Where the body of a success goes piece by piece; `most` is in bytes."""

    @property
    def most(self) -> int:
        """How many bytes it takes."""
        ...

    def begin(self, total: int | None) -> None:
        """Begin anew; `total` is how many bytes will come, if that is known."""

    def add(self, piece: bytes) -> object:
        """Take a piece; what this returns is awaited where it can be."""


@frozen(kw_only=True)
class Request:
    """One HTTP request without its token; `operation` is the operationId, `host` is one of the services.

    `timeout` is what the caller allows, in seconds, in place of the setting. `attempt` counts the requests of a call,
    `conversation_id` names the conversation that it is about. A body is
    in `body` or in `content`. `place` is the address below which the path is, when that is not the host's own.
    """

    operation: str
    host: HostName = "communication"
    method: str
    path: str
    query: str = ""
    headers: Mapping[str, str] = field(factory=dict, repr=False)
    body: bytes | None = field(default=None, repr=False)
    timeout: float | None = None
    attempt: int = 1
    conversation_id: str | None = None
    content: Content | None = None
    sink: Sink | None = None
    place: Address | None = None


@frozen(kw_only=True)
class Reply:
    """One HTTP reply, read to its end; header names are lower case, `address` is the host that it came from."""

    status: int
    address: Address | None = None
    headers: Mapping[str, str] = field(factory=dict, repr=False)
    body: bytes = field(default=b"", repr=False)


REDIRECTS = (301, 302, 303, 307, 308)
"""The statuses that name another address; the others from 300 on do not."""


def moved(request: Request, reply: Reply) -> Request | None:
    """Return the request to send in this one's place, for a redirect that only writes its path in another way.

    That is the same path at the same host, below the configured address, with the same method: in other letter case,
    with a slash more or less, or behind a prefix. None for every other reply: no token goes elsewhere.
    """
    keeps = reply.status in (307, 308) or (reply.status in (301, 302) and request.method == "GET")
    if not keeps or reply.address is None:
        return None
    base = reply.address.url
    try:
        to, own = urlsplit(urljoin(f"{base}{request.path}", reply.headers.get("location", ""))), urlsplit(base)
        here = origin(base) == origin(to.geturl()) and "@" not in to.netloc
    except ValueError:
        return None
    path = to.path.removeprefix(own.path)
    if (
        not here
        or not to.path.startswith(f"{own.path}/")
        or ".." in unquote(path)
        or to.query not in ("", request.query)
    ):
        return None
    return evolve(request, path=path) if path != request.path and _bare(path).endswith(_bare(request.path)) else None


def origin(url: str) -> tuple[str, str | None, int | None]:
    """Return what two addresses of one host have in common: scheme, host and port."""
    parts = urlsplit(url)
    return parts.scheme, parts.hostname, parts.port or {"http": 80, "https": 443}.get(parts.scheme)


def _bare(path: str) -> str:
    return unquote(path).rstrip("/").casefold()


class AsyncCarrier(Protocol):
    """Sends a request and returns the whole reply, on an event loop."""

    async def send(self, request: Request, access: str | None, within: float | None = None) -> Reply:
        """Send with that access token; raises the errors of `AsyncTransport.send`."""
        ...
