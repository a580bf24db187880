"""As little HTTP as a contact centre can do with: whole requests in, replies of a known length out."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

Answer = Callable[["Connection", bytes, bytes], None]


class Connection(asyncio.Protocol):
    """One connection: requests in, replies out. `present` are all that are open, and `connected` is told how many."""

    transport: asyncio.Transport

    def __init__(self, answer: Answer, present: set[Connection], connected: Callable[[int], None]) -> None:
        self._answer, self._present, self._connected = answer, present, connected
        self._rest = b""

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        """Count it."""
        self.transport = transport
        self._present.add(self)
        self._connected(len(self._present))

    def connection_lost(self, error: Exception | None) -> None:
        """Forget it."""
        self._present.discard(self)

    def data_received(self, data: bytes) -> None:
        """Take each request that is whole."""
        data = self._rest + data if self._rest else data
        while (end := data.find(b"\r\n\r\n")) > 0:
            behind = end + 4 + (0 if data.startswith(b"GET ") else _length(data[: end + 2]))
            if len(data) < behind:
                break
            self._answer(self, data[: end + 2], data[end + 4 : behind])
            data = data[behind:]
        self._rest = data

    def write(self, reply: bytes) -> None:
        """Answer, if anybody is still there."""
        if not self.transport.is_closing():
            self.transport.write(reply)


def bearer(head: bytes) -> bytes:
    """Give a request's token; `head` ends with its last header's line end."""
    at = head.find(b"Bearer ") + 7
    return head[at : head.find(b"\r", at)]


def _length(head: bytes) -> int:
    lower = head.lower()
    at = lower.find(b"content-length:")
    return int(lower[at + 15 : lower.find(b"\r", at)]) if at > 0 else 0


def reply_of(status: int, body: bytes) -> bytes:
    """Give a reply as it is sent."""
    head = b"HTTP/1.1 %d -\r\nContent-Type: application/json\r\nContent-Length: %d\r\n\r\n"
    return head % (status, len(body)) + body
