"""The server of the pages: one thread with a loop of its own, on loopback."""

from __future__ import annotations

import asyncio
import secrets
import socket
import threading
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from types import TracebackType
from typing import Self

import uvicorn
from starlette.applications import Starlette
from starlette.routing import Mount
from starlette.staticfiles import StaticFiles

from puzzel_chat import AsyncPuzzelChat
from puzzel_chat.sandbox import Sandbox

from ._control import Control
from ._desk import Desks
from ._guard import Guard
from ._stream import Hub

STATIC = Path(__file__).with_name("static")
POLL_INTERVAL = 0.5
"""Seconds between the polls of the customer's page; half of the default, so that a rehearsal is lively."""
STOP = 10.0
"""Seconds to wait for the thread to end."""


class Pages:
    """The pages of a sandbox: `url` is the customer's, `desk_url` the agent's desk, `control_url` the control room.

    Use it as a context manager inside the sandbox's, or call `start` and `close`.

    Args:
        sandbox: a sandbox that listens.
        port: of the pages, on 127.0.0.1; 0 picks a free one.
        token: what the address must hold; a random one unless given.

    Raises:
        OSError: the port is taken.

    """

    def __init__(self, sandbox: Sandbox, *, port: int = 0, token: str | None = None) -> None:
        self._sandbox, self._asked = sandbox, port
        self._token = token or secrets.token_urlsafe(16)
        self._server: uvicorn.Server | None = None
        self._port = 0

    def start(self) -> Self:
        """Listen, unless it already does."""
        if self._server is None:
            from .customer import Server  # as below

            listening = _listen(self._asked)
            self._port = listening.getsockname()[1]
            config = uvicorn.Config(
                Guard(self._app(), self._token, self._port),
                ws="websockets-sansio",
                log_config=None,
                access_log=False,
                timeout_graceful_shutdown=2,
            )
            self._server = Server(config, self._customer.close)
            run = self._server.serve
            name = f"puzzel-chat-pages-{self._port}"
            self._thread = threading.Thread(target=lambda: asyncio.run(run([listening])), name=name, daemon=True)
            self._thread.start()
        return self

    def close(self) -> None:
        """End the chats of the customer's page and stop listening."""
        server, self._server = self._server, None
        if server is not None:
            server.should_exit = True
            self._hub.close_soon()
            self._thread.join(STOP)

    @property
    def url(self) -> str:
        """The address of the customer's page, with the token."""
        return self.address("/")

    @property
    def desk_url(self) -> str:
        """The address of the agent's desk, with the token."""
        return self.address("/desk")

    @property
    def control_url(self) -> str:
        """The address of the control room, with the token."""
        return self.address("/control")

    def address(self, path: str) -> str:
        """Return the address of a page, with the token.

        Raises:
            RuntimeError: the pages were never started.

        """
        if not self._port:
            raise RuntimeError("the pages are not started")
        return f"http://127.0.0.1:{self._port}{path}?token={self._token}"

    def tabs(self, agent: str) -> int:
        """Return how many tabs show this agent's desk now."""
        return 0 if self._server is None else self._desk.tabs(agent)

    def _app(self) -> Starlette:
        from .customer import PAGE, Backend  # a program, too, which its package must not import before it runs

        hub = self._hub = Hub(self._sandbox)
        desk = self._desk = Desks(hub)
        chat = AsyncPuzzelChat(**self._sandbox.settings, poll_interval=POLL_INTERVAL)
        page = PAGE.replace("<body>", '<body class="simulator">')
        customer = self._customer = Backend(chat, self._sandbox.queues(), page=page)
        control = Control(hub, lambda conversation_id: customer.received.get(conversation_id))

        @asynccontextmanager
        async def running(app: Starlette) -> AsyncIterator[None]:
            async with hub.running(), customer.running():
                yield
            control.close()

        routes = [
            Mount("/static", StaticFiles(directory=STATIC)),
            *desk.routes,
            *control.routes,
            *customer.routes,
        ]
        return Starlette(routes=routes, lifespan=running)

    def __enter__(self) -> Self:
        return self.start()

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def __repr__(self) -> str:
        return f"<Pages of {self._sandbox!r}>"


def _listen(port: int) -> socket.socket:
    """Listen before the thread runs, so that no browser comes too early."""
    # Without IPPROTO_TCP asyncio does not set TCP_NODELAY, and each reply takes 40 ms longer.
    listening = socket.socket(socket.AF_INET, socket.SOCK_STREAM, socket.IPPROTO_TCP)
    try:
        listening.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listening.bind(("127.0.0.1", port))
        listening.listen(128)
    except OSError:
        listening.close()
        raise
    return listening
