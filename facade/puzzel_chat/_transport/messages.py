"""Requests and replies as the HTTP library has them, and how long they may take."""

from __future__ import annotations

from functools import lru_cache
from math import inf
from typing import Any

import httpx

from puzzel_chat._config import Address, Settings
from puzzel_chat._http import Reply, Request
from puzzel_chat._transport.body import PACKINGS, Body

WHOLE = 3
"""A request as a whole, its wait for a connection included, may take so many times the timeout of its parts."""
COMMON_HEADERS = {
    "Accept": "application/json, application/problem+json",
    "Accept-Encoding": PACKINGS,
    "User-Agent": "puzzel-chat-python",
}
# Taking an address apart costs as much as all else that is done to a request here, and a session asks for few.
_url = lru_cache(maxsize=1024)(httpx.URL)


def limits(settings: Settings, within: float | None) -> tuple[float, float]:
    """Give the seconds that connecting, each read and each write may take, and those for all together."""
    whole = WHOLE * settings.timeout
    return min(within or inf, settings.timeout), min(within or inf, whole)


def headers(request: Request, access: str | None) -> httpx.Headers:
    """Give a request's headers, the token among them when there is one."""
    # Their own type, for its repr masks the token where a dict would show it.
    given = httpx.Headers({**COMMON_HEADERS, **request.headers})
    if access is not None:
        given["Authorization"] = f"Bearer {access}"
    return given


def built(address: Address, request: Request, access: str | None, timeout: float, **more: Any) -> httpx.Request:
    """Give the library's request; `timeout` in seconds is for each of its parts, `more` are its extensions."""
    query = f"?{request.query}" if request.query else ""
    return httpx.Request(
        request.method,
        _url(f"{address.url}{request.path}{query}"),
        headers=headers(request, access),
        content=request.body,
        extensions={"timeout": dict.fromkeys(("connect", "read", "write", "pool"), timeout), **more},
    )


def body_of(request: Request, response: httpx.Response) -> Body:
    """Give what takes the response's body, bounded."""
    return Body(request.operation, response.headers.get("content-encoding", ""), request.host)


def reply_of(address: Address, response: httpx.Response, body: Body) -> Reply:
    """Give the whole reply; raises what `Body.whole` raises."""
    return Reply(status=response.status_code, address=address, headers=dict(response.headers), body=body.whole())
