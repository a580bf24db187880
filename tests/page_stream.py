"""The stream of a page, without a browser."""

from __future__ import annotations

from urllib.parse import urlencode

import httpx
from websockets.sync.client import ClientConnection, connect
from websockets.typing import Origin


def listening(
    known: httpx.Client, path: str, *, cookie: bool = True, origin: str | None = "", **query: str
) -> ClientConnection:
    """Open the stream of a page as the page does, for a client that has opened the address; `origin` "" is ours."""
    ours = str(known.base_url).rstrip("/")
    kept = "; ".join(f"{name}={value}" for name, value in known.cookies.items())
    told = {"Cookie": kept} if cookie else {}
    address = f"{ours.replace('http', 'ws', 1)}{path}?{urlencode(query)}"
    named = ours if origin == "" else origin
    return connect(
        address, additional_headers=told, origin=None if named is None else Origin(named), proxy=None, max_size=None
    )
