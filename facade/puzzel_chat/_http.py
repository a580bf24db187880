"""Requests and replies as `_wire` (the API) and `_transport` (HTTP) exchange them, and the protocol of a carrier."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Protocol

from attrs import field, frozen

from puzzel_chat._settings import Address, HostName


@frozen(kw_only=True)
class Request:
    """One HTTP request without its token; `operation` is the operationId, `host` is one of the two services."""

    operation: str
    host: HostName = "communication"
    method: str
    path: str
    query: str = ""
    headers: Mapping[str, str] = field(factory=dict, repr=False)
    body: bytes | None = field(default=None, repr=False)


@frozen(kw_only=True)
class Reply:
    """One HTTP reply, read to its end; header names are lower case, `address` is the host that it came from."""

    status: int
    address: Address | None = None
    headers: Mapping[str, str] = field(factory=dict, repr=False)
    body: bytes = field(default=b"", repr=False)


class AsyncCarrier(Protocol):
    """Sends a request and returns the whole reply, on an event loop."""

    async def send(self, request: Request, access: str | None, within: float | None = None) -> Reply:
        """Send with that access token; raises the errors of `AsyncTransport.send`."""
        ...
