"""What a call costs over the HTTP library's bare client with a prebuilt request, on loopback, the calls in turn."""

from __future__ import annotations

import asyncio
import subprocess
import sys
import time
from collections.abc import Awaitable, Callable, Iterator, Mapping
from contextlib import contextmanager
from statistics import median

import httpx

from benchmarks.machine import beside
from benchmarks.subject import ENVIRONMENT
from puzzel_chat import AsyncPuzzelChat, PuzzelChat
from soak.table import table

SECONDS, FULL_SECONDS = 3.0, 12.0
"""Seconds that each client is measured for."""
WARM = 50
QUEUE = b'{"id":"27501","name":"Support","isOpen":true,"queueSize":3,"agentsReady":2}'
POLL = b'{"messages":[],"cursor":7}'
TOKEN = b'{"access_token":"a-token-of-forty-characters-for-the-bench","expires_in":3600,"token_type":"Bearer"}'


class Answers(asyncio.Protocol):
    """A connection whose requests are answered at once."""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Keep it."""
        assert isinstance(transport, asyncio.Transport)
        self._transport = transport

    def data_received(self, data: bytes) -> None:
        """Answer by what is asked for; none of the requests comes in two pieces that matter."""
        if b" HTTP/1.1\r\n" in data:
            body = TOKEN if b"/connect/token " in data else QUEUE if b"/queue/" in data else POLL
            head = b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: %d\r\n\r\n"
            self._transport.write(head % len(body) + body)


async def serve() -> None:
    """Serve until killed, and say where."""
    server = await asyncio.get_running_loop().create_server(Answers, "127.0.0.1", 0)
    print(server.sockets[0].getsockname()[1], flush=True)
    await server.serve_forever()


@contextmanager
def server() -> Iterator[str]:
    """Run the server in a process of its own, and give its address."""
    command = [sys.executable, "-m", "benchmarks.overhead"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True, env=ENVIRONMENT) as process:
        try:
            assert process.stdout is not None
            yield f"http://127.0.0.1:{process.stdout.readline().strip()}"
        finally:
            process.kill()


def in_turn(calls: Mapping[str, Callable[[], object]], seconds: float) -> dict[str, list[float]]:
    """Time each call in turn for so many seconds; gives microseconds."""
    times: dict[str, list[float]] = {name: [] for name in calls}
    for call in calls.values():
        for _ in range(WARM):
            call()
    until = time.perf_counter() + seconds
    while time.perf_counter() < until:
        for name, call in calls.items():
            began = time.perf_counter()
            call()
            times[name].append((time.perf_counter() - began) * 1e6)
    return times


async def awaited_in_turn(
    calls: Mapping[str, Callable[[], Awaitable[object]]], seconds: float
) -> dict[str, list[float]]:
    """Do the same on an event loop."""
    times: dict[str, list[float]] = {name: [] for name in calls}
    for call in calls.values():
        for _ in range(WARM):
            await call()
    until = time.perf_counter() + seconds
    while time.perf_counter() < until:
        for name, call in calls.items():
            began = time.perf_counter()
            await call()
            times[name].append((time.perf_counter() - began) * 1e6)
    return times


def blocking(address: str, seconds: float) -> dict[str, list[float]]:
    """Measure the blocking client."""
    with httpx.Client() as bare, PuzzelChat(address, "7") as chat, chat.connect() as session:
        request = bare.build_request("GET", f"{address}/api/conversation")
        calls = {
            "bare httpx.Client": lambda: bare.send(request),
            "Session: one poll": lambda: session._run(session._state._poll()),
            "Session.queue_info": lambda: session.queue_info("27501"),
        }
        return in_turn(calls, seconds)


async def awaiting(address: str, seconds: float) -> dict[str, list[float]]:
    """Measure the client of event loops."""
    async with httpx.AsyncClient() as bare, AsyncPuzzelChat(address, "7") as chat, await chat.connect() as session:
        request = bare.build_request("GET", f"{address}/api/conversation")
        calls: dict[str, Callable[[], Awaitable[object]]] = {
            "bare httpx.AsyncClient": lambda: bare.send(request),
            "AsyncSession: one poll": lambda: session._run(session._state._poll()),
            "AsyncSession.queue_info": lambda: session.queue_info("27501"),
        }
        return await awaited_in_turn(calls, seconds)


def rows(times: dict[str, list[float]]) -> list[tuple[str, ...]]:
    """Give a row for each call, beside the first one."""
    base = median(next(iter(times.values())))
    return [beside(name, values, base) for name, values in times.items()]


def report(full: bool) -> str:
    """Give the figures as Markdown."""
    seconds = FULL_SECONDS if full else SECONDS
    with server() as address:
        told = [*rows(blocking(address, seconds)), *rows(asyncio.run(awaiting(address, seconds)))]
    return table(("one call at a time", "median, µs", "middle half", "times the bare client"), told)


if __name__ == "__main__":
    asyncio.run(serve())
