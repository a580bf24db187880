"""Replies that break off, never come, or never end: each writes to the connection as its fault says."""

from __future__ import annotations

import asyncio
import socket
import struct
import zlib
from collections.abc import Awaitable, Callable
from math import ceil

from starlette.responses import Response
from starlette.types import Receive, Scope, Send

Sleep = Callable[[float], Awaitable[object]]
_BLANKS = b" " * 2**20
_BIG, _BOMB = 10, 64
_BEAT = 0.1


class Dropped(Response):
    """Closes the connection without a word."""

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Abort the transport that the server's protocol put into the state."""
        scope["state"]["transport"].abort()
        await _let_go()


class Reset(Response):
    """Resets the connection without a word."""

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Close without lingering, which sends RST."""
        _reset(scope)
        await _let_go()


class Cut(Response):
    """Declares a whole body and sends a share of it, then closes, or resets the connection."""

    def __init__(self, whole: Response, share: float, *, reset: bool = False) -> None:
        super().__init__(bytes(whole.body) or b"{}", whole.status_code, None, whole.media_type)
        self._sent, self._resets = bytes(self.body)[: int(len(self.body) * share)], reset

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Declare the whole length, send less."""
        await send({"type": "http.response.start", "status": self.status_code, "headers": self.raw_headers})
        await send({"type": "http.response.body", "body": self._sent, "more_body": True})
        if self._resets:
            _reset(scope)
        else:
            scope["state"]["transport"].close()
        await _let_go()


class Hung(Response):
    """Says nothing until the client has gone."""

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Wait for the client to close the connection."""
        while (await receive())["type"] != "http.disconnect":
            pass


class Dribbled(Response):
    """Sends a body in up to eight pieces."""

    def __init__(self, whole: Response, seconds: float, sleep: Sleep) -> None:
        super().__init__(bytes(whole.body), whole.status_code, None, None)
        self.raw_headers = whole.raw_headers
        self._seconds, self._sleep = seconds, sleep

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Sleep before each piece."""
        await send({"type": "http.response.start", "status": self.status_code, "headers": self.raw_headers})
        size = ceil(len(self.body) / 8)
        starts = range(0, len(self.body), size)
        for start in starts:
            await self._sleep(self._seconds / len(starts))
            piece = bytes(self.body)[start : start + size]
            await send({"type": "http.response.body", "body": piece, "more_body": True})
        await send({"type": "http.response.body", "body": b"", "more_body": False})


class Endless(Response):
    """Sends a body that goes on and on."""

    def __init__(self, whole: Response, seconds: float) -> None:
        super().__init__(bytes(whole.body), whole.status_code, None, whole.media_type)
        del self.headers["content-length"]
        self._beats = ceil(seconds / _BEAT)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Send a blank at each beat while somebody listens; the beats are real time, as the client's limit is."""
        await send({"type": "http.response.start", "status": self.status_code, "headers": self.raw_headers})
        await send({"type": "http.response.body", "body": bytes(self.body), "more_body": True})
        for _ in range(self._beats):
            if scope["state"]["transport"].is_closing():
                return
            await asyncio.sleep(_BEAT)
            await send({"type": "http.response.body", "body": b" ", "more_body": True})
        scope["state"]["transport"].abort()
        await _let_go()


def big(whole: Response) -> Response:
    """Return the reply with blanks behind it, which JSON allows."""
    return Response(bytes(whole.body) + _BLANKS * _BIG, whole.status_code, None, whole.media_type)


def bomb(whole: Response) -> Response:
    """Return the same with more blanks, packed with gzip."""
    packer = zlib.compressobj(wbits=31)
    packed = [packer.compress(bytes(whole.body)), *(packer.compress(_BLANKS) for _ in range(_BOMB)), packer.flush()]
    return Response(b"".join(packed), whole.status_code, {"Content-Encoding": "gzip"}, whole.media_type)


def _reset(scope: Scope) -> None:
    transport = scope["state"]["transport"]
    transport.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    transport.abort()


async def _let_go() -> None:
    """Let the protocol hear that the connection is gone, so that it does not complain of no reply."""
    await asyncio.sleep(0.001)
