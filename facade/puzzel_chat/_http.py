"""What passes between `_wire` (which knows the API) and `_transport` (which knows HTTP), and who carries it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Protocol

from attrs import field, frozen

from puzzel_chat._settings import Address, HostName


@frozen(kw_only=True)
class Request:
    """One HTTP request, without its token; `operation` is the operationId, `host` which of the two answers it."""

    operation: str
    host: HostName = "communication"
    method: str
    path: str
    query: str = ""
    headers: Mapping[str, str] = field(factory=dict, repr=False)
    body: bytes | None = field(default=None, repr=False)


@frozen(kw_only=True)
class Reply:
    """One HTTP reply, read to its end; header names are lower case, `address` is where it came from."""

    status: int
    address: Address | None = None
    headers: Mapping[str, str] = field(factory=dict, repr=False)
    body: bytes = field(default=b"", repr=False)


class AsyncCarrier(Protocol):
    """What takes a request to the service and brings the whole reply, on an event loop."""

    async def send(self, request: Request, access: str | None, within: float | None = None) -> Reply:
        """Send with that access token; raises as `AsyncTransport.send`."""
        ...
