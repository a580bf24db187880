"""Faults carried out: delays, pages, closed connections and bodies that are not what they should be."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from email.utils import format_datetime
from math import ceil

from starlette.responses import Response

from ._broken import Cut, Dribbled, Dropped, Endless, Hung, Reset, big, bomb
from ._desk import Desk, Reply, problem
from ._faults import COMBINES, SPOILS, Fault, Kind, spoil
from ._requests import Call
from ._values import NOTICE, moment

_PAGE = f"<!doctype html><html><head><title>{{0}}</title></head><body><h1>{{0}}</h1>{NOTICE}</body></html>"
# Kinds without a reply, on whichever side of the effect.
_WORDLESS: Mapping[Kind, Callable[[], Response]] = {
    "drop": Dropped, "reset": Reset, "half_read": Reset, "hang": Hung,
}  # fmt: skip


def before_reading(faults: tuple[Fault, ...]) -> Response | None:
    """Do what goes wrong before the request's body is read; a response means that it never is."""
    fault = _chosen(faults)
    return Reset() if fault is not None and fault.kind == "half_read" else None


async def before_effect(desk: Desk, faults: tuple[Fault, ...], call: Call) -> Response | None:
    """Do what goes wrong before the request is carried out; a response means that it never is."""
    await _wait(desk, faults, after=False)
    fault = _chosen(faults)
    if fault is None or fault.after:
        return None
    if fault.kind == "revoked":
        with desk.world() as (world, _now):
            world.tokens.revoke_access(call.bearer or "")
        return encode(problem(401, "InvalidToken", "the access token was revoked early"))
    return _WORDLESS[fault.kind]() if fault.kind in _WORDLESS else _instead(desk, fault)


async def after_effect(desk: Desk, faults: tuple[Fault, ...], reply: Reply) -> Response:
    """Return the reply, or what becomes of it."""
    await _wait(desk, faults, after=True)
    fault = _chosen(faults)
    response = encode(reply) if fault is None or not fault.after else _spoilt(desk, fault, reply)
    slow = next((fault for fault in faults if fault.kind == "slow_body"), None)
    if slow is not None and response.body:
        return Dribbled(response, slow.seconds, desk.sleep)
    return response


def encode(reply: Reply) -> Response:
    """Write a reply as bytes."""
    if reply.body is None:
        return Response(status_code=reply.status, headers=dict(reply.headers))
    content = json.dumps(reply.body, separators=(",", ":"))
    return Response(content, reply.status, dict(reply.headers), reply.media_type)


def http_date(at: float) -> str:
    """Write seconds since the epoch as HTTP does (RFC 9110 section 5.6.7)."""
    return format_datetime(moment(at), usegmt=True)


def _chosen(faults: tuple[Fault, ...]) -> Fault | None:
    return next((fault for fault in faults if fault.kind not in COMBINES), None)


async def _wait(desk: Desk, faults: tuple[Fault, ...], *, after: bool) -> None:
    seconds = sum(fault.seconds for fault in faults if fault.kind == "latency" and fault.after is after)
    if seconds > 0:
        await desk.sleep(seconds)


def _instead(desk: Desk, fault: Fault) -> Response:
    """Make the error that is sent in place of a reply."""
    headers = {} if fault.retry_after is None else {"Retry-After": _retry_after(desk, fault.retry_after, fault.as_date)}
    if fault.page:
        title = "Sign in" if fault.status_code == 200 else f"{fault.status_code} Bad Gateway"
        return Response(_PAGE.format(title), fault.status_code, headers, "text/html")
    reply = problem(fault.status_code, f"Fault{fault.status_code}", "a fault asked for in the simulator")
    return encode(Reply(reply.status, reply.body, {**reply.headers, **headers}, reply.media_type))


def _retry_after(desk: Desk, value: float | datetime, as_date: bool) -> str:
    """Write Retry-After as whole seconds or as an HTTP date (RFC 9110 section 10.2.3)."""
    if isinstance(value, datetime):
        return format_datetime(value.astimezone(UTC), usegmt=True)
    return http_date(desk.now() + value) if as_date else str(ceil(value))


def _spoilt(desk: Desk, fault: Fault, reply: Reply) -> Response:
    if fault.kind in ("status", "html"):
        return _instead(desk, fault)
    if fault.kind in _WORDLESS:
        return _WORDLESS[fault.kind]()
    if reply.body is None:
        return Dropped() if fault.kind in ("truncate", "half_sent", "head_only") else encode(reply)
    if fault.kind in SPOILS:
        body = spoil(fault.kind, reply.body)
        return Response(json.dumps(body), reply.status, dict(reply.headers), reply.media_type)
    return _harmed(fault, encode(reply))


def _harmed(fault: Fault, good: Response) -> Response:
    """Return a reply whose bytes suffer, not its meaning."""
    if fault.kind == "endless":
        return Endless(good, fault.seconds)
    if fault.kind in ("big", "bomb"):
        return big(good) if fault.kind == "big" else bomb(good)
    if fault.kind == "bad_json":
        return Response(b"{" + bytes(good.body), good.status_code, None, good.media_type)
    return Cut(good, 0.0 if fault.kind == "head_only" else 0.5, reset=fault.kind == "half_sent")
