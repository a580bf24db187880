"""Replies as they are sent, with their faults: whole, late, broken off, without end, or not at all."""

from __future__ import annotations

import asyncio
import json
import socket
import struct
import zlib
from collections.abc import Awaitable, Callable, Mapping
from datetime import datetime
from email.utils import format_datetime
from math import ceil

from starlette.responses import Response
from starlette.types import Receive, Scope, Send

from ._centre import Centre
from ._contract import Call, Reply, problem
from ._faults import COMBINES, SPOILS, Fault, Kind, spoil
from ._values import NOTICE, is_list, is_object, moment, written

_PAGE = f"<!doctype html><html><head><title>{{0}}</title></head><body><h1>{{0}}</h1>{NOTICE}</body></html>"
_BLANKS = b" " * 2**20
_BIG, _BOMB = 10, 64
_WITHOUT_BODY = (204, 304)
_BEAT = 0.1

Sleep = Callable[[float], Awaitable[object]]


def before_reading(faults: tuple[Fault, ...]) -> Response | None:
    """Apply faults before the body is read; with a response it stays unread."""
    fault = _chosen(faults)
    return Reset() if fault is not None and fault.kind == "half_read" else None


async def before_effect(centre: Centre, faults: tuple[Fault, ...], call: Call) -> Response | None:
    """Apply faults before the request takes effect; with a response it takes none."""
    await _wait(centre, faults, after=False)
    fault = _chosen(faults)
    if fault is None or fault.after:
        return None
    if fault.kind == "revoked":
        with centre.world() as (world, _now):
            world.tokens.revoke_access(call.bearer or "")
        return encode(problem(401, "InvalidToken", "the access token was revoked early"))
    return _WITHOUT_REPLY[fault.kind]() if fault.kind in _WITHOUT_REPLY else _error(centre, fault)


def struck(
    centre: Centre, faults: tuple[Fault, ...], reply: Reply, lost: Callable[[Fault], object]
) -> tuple[Fault, ...]:
    """Return the faults that this reply suffers: an end is `lost` only where one is told, and only once."""
    if not any(fault.kind == "lost_end" for fault in faults):
        return faults
    ends = _ends(reply) - centre.lost_ends
    if not ends:
        return tuple(fault for fault in faults if fault.kind != "lost_end")
    centre.lost_ends |= ends
    chosen = tuple(fault for fault in faults if fault.kind == "lost_end")
    lost(chosen[0])
    return chosen


def _ends(reply: Reply) -> set[str]:
    messages = reply.body.get("messages") if reply.body else None
    items = [item for item in messages if is_object(item)] if is_list(messages) else []
    return {f"{item['conversationId']} {item['id']}" for item in items if item.get("event") == "ConversationEnded"}


async def after_effect(centre: Centre, faults: tuple[Fault, ...], reply: Reply) -> Response:
    """Return the reply, after its faults."""
    await _wait(centre, faults, after=True)
    if any(fault.kind == "lost_end" for fault in faults):
        return Dropped()
    fault = _chosen(faults)
    response = encode(reply) if fault is None or not fault.after else _faulty(centre, fault, reply)
    slow = next((fault for fault in faults if fault.kind == "slow_body"), None)
    if slow is not None and response.body:
        return Dribbled(response, slow.seconds, centre.sleep)
    return response


def encode(reply: Reply) -> Response:
    """Return a reply as an HTTP response."""
    if reply.data is not None:
        return Response(reply.data, reply.status, dict(reply.headers), reply.media_type)
    if reply.body is None:
        return Response(status_code=reply.status, headers=dict(reply.headers))
    return Response(written(reply.body), reply.status, dict(reply.headers), reply.media_type)


def http_date(at: float) -> str:
    """Return seconds since the epoch as an HTTP date (RFC 9110 section 5.6.7)."""
    return format_datetime(moment(at), usegmt=True)


def _chosen(faults: tuple[Fault, ...]) -> Fault | None:
    return next((fault for fault in faults if fault.kind not in COMBINES), None)


async def _wait(centre: Centre, faults: tuple[Fault, ...], *, after: bool) -> None:
    seconds = sum(fault.seconds for fault in faults if fault.kind == "latency" and fault.after is after)
    if seconds > 0:
        await centre.sleep(seconds)


def _error(centre: Centre, fault: Fault) -> Response:
    """Return the error sent in place of a reply."""
    headers = (
        {} if fault.retry_after is None else {"Retry-After": _retry_after(centre, fault.retry_after, fault.as_date)}
    )
    if fault.status_code in _WITHOUT_BODY:
        return Response(None, fault.status_code, headers)
    if fault.page:
        title = "Sign in" if fault.status_code == 200 else f"{fault.status_code} Bad Gateway"
        return Response(_PAGE.format(title), fault.status_code, headers, "text/html")
    reply = problem(fault.status_code, f"Fault{fault.status_code}", "a fault asked for in the simulator")
    return encode(Reply(reply.status, reply.body, {**reply.headers, **headers}, reply.media_type))


def _retry_after(centre: Centre, value: float | datetime, as_date: bool) -> str:
    """Return Retry-After as whole seconds or an HTTP date (RFC 9110 section 10.2.3)."""
    if isinstance(value, datetime):
        return http_date(value.timestamp())
    return http_date(centre.now() + value) if as_date else str(ceil(value))


def _faulty(centre: Centre, fault: Fault, reply: Reply) -> Response:
    if fault.kind in ("status", "html"):
        return _error(centre, fault)
    if fault.kind in _WITHOUT_REPLY:
        return _WITHOUT_REPLY[fault.kind]()
    if reply.body is None and reply.data is None:
        return Dropped() if fault.kind in ("truncate", "half_sent", "head_only") else encode(reply)
    if fault.kind in SPOILS and reply.data is not None:
        return encode(reply)
    if fault.kind in SPOILS:
        body = spoil(fault.kind, reply.body)
        return Response(json.dumps(body), reply.status, dict(reply.headers), reply.media_type)
    return _broken(fault, encode(reply))


def _broken(fault: Fault, good: Response) -> Response:
    """Return a reply with broken bytes."""
    if fault.kind == "endless":
        return Endless(good, fault.seconds)
    if fault.kind in ("big", "bomb"):
        return big(good) if fault.kind == "big" else bomb(good)
    if fault.kind == "bad_json":
        return Response(b"{" + bytes(good.body), good.status_code, None, good.media_type)
    return Cut(good, 0.0 if fault.kind == "head_only" else 0.5, reset=fault.kind == "half_sent")


class Dropped(Response):
    """Closes the connection without a reply."""

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Abort the transport, which the server puts into the state."""
        scope["state"]["transport"].abort()
        await _let_go()


class Reset(Response):
    """Resets the connection without a reply."""

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Close without lingering, which sends RST."""
        _reset(scope)
        await _let_go()


class Cut(Response):
    """Declares a whole body, sends a part of it, and closes or resets the connection."""

    def __init__(self, whole: Response, share: float, *, reset: bool = False) -> None:
        super().__init__(bytes(whole.body) or b"{}", whole.status_code, None, whole.media_type)
        self._sent, self._resets = bytes(self.body)[: int(len(self.body) * share)], reset

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Declare the whole length, but send less."""
        await send({"type": "http.response.start", "status": self.status_code, "headers": self.raw_headers})
        await send({"type": "http.response.body", "body": self._sent, "more_body": True})
        if self._resets:
            _reset(scope)
        else:
            scope["state"]["transport"].close()
        await _let_go()


class Hung(Response):
    """Sends nothing until the client closes the connection."""

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
    """Sends a body without end."""

    def __init__(self, whole: Response, seconds: float) -> None:
        super().__init__(bytes(whole.body), whole.status_code, None, whole.media_type)
        del self.headers["content-length"]
        self._beats = ceil(seconds / _BEAT)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Send a blank at each beat while the client listens; beats are real time, like the client's timeout."""
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
    """Return the reply followed by blanks, which JSON allows."""
    return Response(bytes(whole.body) + _BLANKS * _BIG, whole.status_code, None, whole.media_type)


def bomb(whole: Response) -> Response:
    """Return the reply followed by more blanks, packed with gzip."""
    packer = zlib.compressobj(wbits=31)
    packed = [packer.compress(bytes(whole.body)), *(packer.compress(_BLANKS) for _ in range(_BOMB)), packer.flush()]
    return Response(b"".join(packed), whole.status_code, {"Content-Encoding": "gzip"}, whole.media_type)


def _reset(scope: Scope) -> None:
    transport = scope["state"]["transport"]
    transport.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    transport.abort()


async def _let_go() -> None:
    """Wait until the protocol knows that the connection is closed, else it logs a missing reply."""
    await asyncio.sleep(0.001)


# These kinds send no reply, before and after the request takes effect.
_WITHOUT_REPLY: Mapping[Kind, Callable[[], Response]] = {
    "drop": Dropped, "reset": Reset, "half_read": Reset, "hang": Hung,
}  # fmt: skip
WITHOUT_REPLY = (Dropped, Reset, Hung)
"""Responses that send nothing."""
