"""What passes between `_wire` (which knows the API) and `_transport` (which knows HTTP), and who carries it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Protocol

from attrs import field, frozen


@frozen(kw_only=True)
class Request:
    """One HTTP request, without its host and its token; `operation` is the operationId."""

    operation: str
    method: str
    path: str
    query: str = ""
    content_type: str | None = None
    body: bytes | None = field(default=None, repr=False)


@frozen(kw_only=True)
class Reply:
    """One HTTP reply, read to its end; header names are lower case."""

    status: int
    headers: Mapping[str, str] = field(factory=dict, repr=False)
    body: bytes = field(default=b"", repr=False)


class AsyncCarrier(Protocol):
    """What takes a request to the service and brings the whole reply, on an event loop."""

    async def send(self, request: Request, access: str | None, within: float | None = None) -> Reply:
        """Send with that access token; raises as `AsyncTransport.send`."""
        ...
