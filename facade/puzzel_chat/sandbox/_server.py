"""The HTTP server: uvicorn on its own loop in a daemon thread, on loopback, on one port or more, silent."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import socket
import threading

import uvicorn
from starlette.types import ASGIApp, Receive, Scope, Send
from uvicorn.protocols.http.h11_impl import H11Protocol

KEEP_ALIVE = 120
"""Seconds an idle connection is kept: longer than any client's own limit."""

START_UP = 10.0
"""Seconds to wait for the thread to listen; it takes milliseconds."""

_log = logging.getLogger("puzzel_chat.sandbox")
_log.addHandler(logging.NullHandler())


class _Protocol(H11Protocol):
    """Lets the application reach its connection, to close it as a broken network does."""

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        super().connection_made(transport)
        self.app_state = {**self.app_state, "transport": transport}
        self.logger, self.access_log = _log, False


class _Uvicorn(uvicorn.Server):
    """Starts and stops at once: no signal handlers, no log lines, no tenth of a second between looks."""

    def __init__(self, config: uvicorn.Config) -> None:
        super().__init__(config)
        self.ready = threading.Event()

    async def serve(self, sockets: list[socket.socket] | None = None) -> None:
        self.config.load()
        self.lifespan = self.config.lifespan_class(self.config)
        self._loop, self._halt = asyncio.get_running_loop(), asyncio.Event()
        await self.startup(sockets)
        await self.main_loop()
        await self.shutdown(sockets)

    async def main_loop(self) -> None:
        await self.on_tick(0)
        self.ready.set()
        while not self.should_exit:
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(1):
                    await self._halt.wait()
            await self.on_tick(0)

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        for server in self.servers:
            server.close()
        for connection in list(self.server_state.connections):
            connection.transport.abort()
        tasks = list(self.server_state.tasks)
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        await asyncio.sleep(0)

    def halt(self) -> None:
        self.should_exit = True
        self._loop.call_soon_threadsafe(self._halt.set)


class _Quiet:
    """Takes a cancelled request for what it is: the server goes down, nobody waits for the answer."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one request."""
        try:
            await self._app(scope, receive, send)
        except asyncio.CancelledError:
            return


class Server:
    """One run of the server; `ports` are known as soon as it is made."""

    def __init__(self, *ports: int) -> None:
        with contextlib.ExitStack() as bound:
            self._sockets = [bound.enter_context(_listen(port)) for port in ports]
            self._bound = bound.pop_all()
        self.ports: tuple[int, ...] = tuple(listening.getsockname()[1] for listening in self._sockets)
        name = f"puzzel-chat-sandbox-{self.ports[0]}"
        self._thread = threading.Thread(target=self._run, name=name, daemon=True)

    def start(self, app: ASGIApp) -> None:
        """Serve an application on every port, and return when requests are answered."""
        config = uvicorn.Config(
            _Quiet(app),
            http=_Protocol,
            loop="asyncio",
            ws="none",
            lifespan="off",
            log_config=None,
            access_log=False,
            server_header=False,
            date_header=False,  # the application's clock gives the date
            timeout_keep_alive=KEEP_ALIVE,
        )
        self._uvicorn = _Uvicorn(config)
        self._thread.start()
        if not self._uvicorn.ready.wait(START_UP):
            raise RuntimeError("the sandbox's server did not start")

    def stop(self) -> None:
        """Close every connection and the thread."""
        self._uvicorn.halt()
        if threading.current_thread() is not self._thread:
            self._thread.join(START_UP)

    def _run(self) -> None:
        with self._bound:
            asyncio.run(self._uvicorn.serve(self._sockets))


def _listen(port: int) -> socket.socket:
    """Bind in the caller's thread, so that a taken port is the caller's error."""
    # asyncio sets TCP_NODELAY only on sockets that name their protocol; without it each reply costs 40 ms.
    listening = socket.socket(socket.AF_INET, socket.SOCK_STREAM, socket.IPPROTO_TCP)
    try:
        listening.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listening.bind(("127.0.0.1", port))
        listening.listen(512)
    except OSError:
        listening.close()
        raise
    return listening
