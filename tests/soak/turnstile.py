"""A sandbox that notes who polled which session and when, and who presented which refresh token."""

from __future__ import annotations

import asyncio
import json
import time
from collections import defaultdict
from typing import Any, Self
from unittest import mock
from urllib.parse import parse_qs

from attrs import frozen

from puzzel_chat.sandbox import Sandbox, _app

WHO = "X-Worker"
"""The header that names a process to the centre."""
_ASGI = Any
"""An ASGI application, or one of its callables."""


@frozen
class Poll:
    """One poll of a session as the service saw it; times are monotonic seconds."""

    worker: str
    arrived: float
    replied: float


@frozen
class Presented:
    """A refresh token that came to the service; `token` is only compared."""

    token: str
    worker: str
    at: float


class Turnstile(Sandbox):
    """`polls` are by visitor, of whom each session has one; `latency` is in seconds, of polls and of refreshes."""

    def __init__(self, latency: float = 0.0, **options: Any) -> None:
        super().__init__(**options)
        self.polls: dict[str, list[Poll]] = defaultdict(list)
        self.presented: list[Presented] = []
        self._visitors: dict[str, str] = {}
        self._latency = latency

    def start(self) -> Self:
        """Listen, with everything passing by here."""
        make = _app.make_app
        with mock.patch.object(_app, "make_app", lambda *given: self._around(make(*given))):
            return super().start()

    def _around(self, app: _ASGI) -> _ASGI:
        async def passing(scope: _ASGI, receive: _ASGI, send: _ASGI) -> None:
            path = scope["path"]
            if path == "/api/conversation":
                await self._polled(app, scope, receive, send)
            elif path == "/connect/token":
                await self._granted(app, scope, receive, send)
            else:
                await app(scope, receive, send)

        return passing

    async def _polled(self, app: _ASGI, scope: _ASGI, receive: _ASGI, send: _ASGI) -> None:
        arrived = time.monotonic()
        visitor = self._visitors.get(_header(scope, "Authorization").removeprefix("Bearer "), "")

        async def answered(message: _ASGI) -> None:
            if message["type"] == "http.response.start":
                await asyncio.sleep(self._latency)
            await send(message)

        try:
            await app(scope, receive, answered)
        finally:
            self.polls[visitor].append(Poll(_header(scope, WHO), arrived, time.monotonic()))

    async def _granted(self, app: _ASGI, scope: _ASGI, receive: _ASGI, send: _ASGI) -> None:
        worker = _header(scope, WHO)

        async def asked() -> _ASGI:
            message = await receive()
            form = parse_qs(message.get("body", b"").decode())
            for token in form.get("refresh_token", ()):
                self.presented.append(Presented(token, worker, time.monotonic()))
            return message

        async def answered(message: _ASGI) -> None:
            if message["type"] == "http.response.body":
                given = json.loads(message["body"])
                if "access_token" in given:
                    self._visitors[given["access_token"]] = given["visitor_id"]
                await asyncio.sleep(self._latency)
            await send(message)

        await app(scope, asked, answered)


def _header(scope: _ASGI, name: str) -> str:
    sought = name.lower().encode()
    return next((value.decode() for key, value in scope["headers"] if key == sought), "")
