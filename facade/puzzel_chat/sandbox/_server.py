"""The HTTP server: uvicorn in a daemon thread with its own loop, on one or more loopback ports, without a log."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import socket
import threading

import uvicorn
from starlette.requests import ClientDisconnect
from starlette.types import ASGIApp, Receive, Scope, Send
from uvicorn.protocols.http.h11_impl import H11Protocol

KEEP_ALIVE = 120
"""Lifetime of an idle connection in seconds; longer than any client keeps one."""

START_UP = 10.0
"""Seconds to wait for the thread to start or stop; it takes milliseconds."""

_log = logging.getLogger("puzzel_chat.sandbox")
_log.addHandler(logging.NullHandler())


class _Protocol(H11Protocol):
    """Gives the application its transport, so that a fault can close it."""

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        super().connection_made(transport)
        self.app_state = {**self.app_state, "transport": transport}
        self.logger, self.access_log = _log, False


class _Uvicorn(uvicorn.Server):
    """Starts and stops at once, without signal handlers, log lines or ten polls a second."""

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
    """Ends a request quietly whose client has left, or that was cancelled because the server stops."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one request."""
        try:
            await self._app(scope, receive, send)
        except (ClientDisconnect, asyncio.CancelledError):
            return


class Server:
    """One run of the server; it is bound to its `ports` from the start."""

    def __init__(self, *ports: int) -> None:
        with contextlib.ExitStack() as bound:
            self._sockets = [bound.enter_context(_listen(port)) for port in ports]
            self._bound = bound.pop_all()
        self.ports: tuple[int, ...] = tuple(listening.getsockname()[1] for listening in self._sockets)
        name = f"puzzel-chat-sandbox-{self.ports[0]}"
        self._thread = threading.Thread(target=self._run, name=name, daemon=True)

    def start(self, app: ASGIApp) -> None:
        """Serve an application on every port; return once it accepts requests."""
        config = uvicorn.Config(
            _Quiet(app),
            http=_Protocol,
            loop="asyncio",
            ws="none",
            lifespan="off",
            log_config=None,
            access_log=False,
            server_header=False,
            date_header=False,  # the date comes from the application's clock
            timeout_keep_alive=KEEP_ALIVE,
        )
        self._uvicorn = _Uvicorn(config)
        self._thread.start()
        if not self._uvicorn.ready.wait(START_UP):
            raise RuntimeError("the sandbox's server did not start")

    def stop(self) -> None:
        """Close every connection and end the thread."""
        self._uvicorn.halt()
        if threading.current_thread() is not self._thread:
            self._thread.join(START_UP)

    def _run(self) -> None:
        with self._bound:
            asyncio.run(self._uvicorn.serve(self._sockets))


def _listen(port: int) -> socket.socket:
    """Bind at once, so that a taken port is an error of the call."""
    # Without IPPROTO_TCP asyncio does not set TCP_NODELAY, and each reply takes 40 ms longer.
    listening = socket.socket(socket.AF_INET, socket.SOCK_STREAM, socket.IPPROTO_TCP)
    try:
        listening.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listening.bind(("127.0.0.1", port))
        listening.listen(512)
    except OSError:
        listening.close()
        raise
    return listening
