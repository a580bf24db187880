"""Faults carried out: delays, pages, closed connections and bodies that are not what they should be."""

from __future__ import annotations

import asyncio
import json
from datetime import UTC, datetime
from email.utils import format_datetime
from math import ceil

from starlette.responses import Response
from starlette.types import Receive, Scope, Send

from ._desk import Desk, Reply, problem
from ._faults import COMBINES, SPOILS, Fault, spoil
from ._requests import Call
from ._values import NOTICE

_PAGE = f"<!doctype html><html><head><title>{{0}}</title></head><body><h1>{{0}}</h1>{NOTICE}</body></html>"


async def before_effect(desk: Desk, faults: tuple[Fault, ...], call: Call) -> Response | None:
    """Do what goes wrong before the request is carried out; a response means that it never is."""
    await _wait(faults, after=False)
    fault = _chosen(faults)
    if fault is None or fault.after:
        return None
    if fault.kind == "revoked":
        with desk.world() as (world, _now):
            world.tokens.revoke_access(call.bearer or "")
        return encode(problem(401, "InvalidToken", "the access token was revoked early"))
    return Dropped() if fault.kind == "drop" else _instead(fault)


async def after_effect(faults: tuple[Fault, ...], reply: Reply) -> Response:
    """Return the reply, or what becomes of it."""
    await _wait(faults, after=True)
    fault = _chosen(faults)
    response = encode(reply) if fault is None or not fault.after else _spoilt(fault, reply)
    slow = next((fault for fault in faults if fault.kind == "slow_body"), None)
    if slow is not None and response.body:
        return Dribbled(response, slow.seconds)
    return response


def encode(reply: Reply) -> Response:
    """Write a reply as bytes."""
    if reply.body is None:
        return Response(status_code=reply.status, headers=dict(reply.headers))
    content = json.dumps(reply.body, separators=(",", ":"))
    return Response(content, reply.status, dict(reply.headers), reply.media_type)


def _chosen(faults: tuple[Fault, ...]) -> Fault | None:
    return next((fault for fault in faults if fault.kind not in COMBINES), None)


async def _wait(faults: tuple[Fault, ...], *, after: bool) -> None:
    seconds = sum(fault.seconds for fault in faults if fault.kind == "latency" and fault.after is after)
    if seconds > 0:
        await asyncio.sleep(seconds)


def _instead(fault: Fault) -> Response:
    """Make the error that is sent in place of a reply."""
    headers = {} if fault.retry_after is None else {"Retry-After": _retry_after(fault.retry_after)}
    if fault.page:
        title = "Sign in" if fault.status_code == 200 else f"{fault.status_code} Bad Gateway"
        return Response(_PAGE.format(title), fault.status_code, headers, "text/html")
    reply = problem(fault.status_code, f"Fault{fault.status_code}", "a fault asked for in the simulator")
    return encode(Reply(reply.status, reply.body, {**reply.headers, **headers}, reply.media_type))


def _retry_after(value: float | datetime) -> str:
    """Write Retry-After as whole seconds or as an HTTP date (RFC 9110 section 10.2.3)."""
    if isinstance(value, datetime):
        return format_datetime(value.astimezone(UTC), usegmt=True)
    return str(ceil(value))


def _spoilt(fault: Fault, reply: Reply) -> Response:
    if fault.kind in ("status", "html"):
        return _instead(fault)
    if fault.kind == "drop" or (fault.kind == "truncate" and reply.body is None):
        return Dropped()
    if reply.body is None:
        return encode(reply)
    if fault.kind in SPOILS:
        body = spoil(fault.kind, reply.body)
        return Response(json.dumps(body), reply.status, dict(reply.headers), reply.media_type)
    good = encode(reply)
    if fault.kind == "truncate":
        return Truncated(good)
    return Response(b"{" + bytes(good.body), reply.status, dict(reply.headers), reply.media_type)


class Dropped(Response):
    """Closes the connection without a word."""

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Abort the transport that the server's protocol put into the state."""
        scope["state"]["transport"].abort()
        await _let_go()


class Truncated(Response):
    """Sends half of a body and closes."""

    def __init__(self, whole: Response) -> None:
        super().__init__(bytes(whole.body) or b"{}", whole.status_code, None, whole.media_type)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Declare the whole length, send less."""
        await send({"type": "http.response.start", "status": self.status_code, "headers": self.raw_headers})
        half = bytes(self.body)[: len(self.body) // 2]
        await send({"type": "http.response.body", "body": half, "more_body": True})
        scope["state"]["transport"].close()
        await _let_go()


class Dribbled(Response):
    """Sends a body in eight pieces."""

    def __init__(self, whole: Response, seconds: float) -> None:
        super().__init__(bytes(whole.body), whole.status_code, None, None)
        self.raw_headers = whole.raw_headers
        self._seconds = seconds

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Sleep before each piece."""
        await send({"type": "http.response.start", "status": self.status_code, "headers": self.raw_headers})
        size = ceil(len(self.body) / 8)
        for start in range(0, len(self.body), size):
            await asyncio.sleep(self._seconds / 8)
            piece = bytes(self.body)[start : start + size]
            await send({"type": "http.response.body", "body": piece, "more_body": True})
        await send({"type": "http.response.body", "body": b"", "more_body": False})


async def _let_go() -> None:
    """Let the protocol hear that the connection is gone, so that it does not complain of no reply."""
    await asyncio.sleep(0.001)
