"""The peers: bare HTTP clients that poll, without tokens, dedupe or delivery.

Each in its obvious form, one sleeping task for each conversation, and on a heap of due times on a grid, as ours are.
"""

from __future__ import annotations

import asyncio
import heapq
import math
import random
import time
from array import array
from collections import Counter
from collections.abc import Awaitable, Callable

from attrs import define, field

from benchmarks.machine import resident, share
from benchmarks.subject import Asked, Figures, Window

PATH = "/api/conversation"
PERIOD = 1.0
GRID = 0.01
Poll = Callable[[str], Awaitable[bytes]]


def raw(asked: Asked) -> Poll:
    """Nothing but a socket: the floor."""
    loop = asyncio.get_running_loop()
    text = f"GET {PATH} HTTP/1.1\r\nHost: 127.0.0.1\r\nAccept: application/json\r\nAuthorization: Bearer %s\r\n\r\n"
    idle: list[Connection] = []

    class Connection(asyncio.Protocol):
        transport: asyncio.Transport
        waiter: asyncio.Future[bytes]

        def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
            self.transport = transport

        def data_received(self, data: bytes) -> None:
            idle.append(self)
            self.waiter.set_result(data)

    async def poll(token: str) -> bytes:
        found = idle.pop() if idle else (await loop.create_connection(Connection, "127.0.0.1", asked.port))[1]
        found.waiter = loop.create_future()
        found.transport.write((text % token).encode())
        data = await found.waiter
        return data[data.index(b"\r\n\r\n") + 4 :]

    return poll


def aiohttp(asked: Asked) -> Poll:
    """One session, its limit of connections lifted."""
    from aiohttp import ClientSession, DummyCookieJar, TCPConnector

    session, url = ClientSession(connector=TCPConnector(limit=0), cookie_jar=DummyCookieJar()), asked.url + PATH

    async def poll(token: str) -> bytes:
        async with session.get(url, headers={"Authorization": f"Bearer {token}"}) as response:
            return await response.read()

    return poll


def pyreqwest(asked: Asked) -> Poll:
    """One client as it comes."""
    from pyreqwest.client import ClientBuilder

    client, url = ClientBuilder().build(), asked.url + PATH

    async def poll(token: str) -> bytes:
        response = await client.get(url).bearer_auth(token).build().send()
        return bytes(await response.bytes())

    return poll


def httpx(asked: Asked) -> Poll:
    """One client, with half as many connections again as there are polls under way."""
    import httpx

    most = math.ceil(1.5 * asked.count * 0.1)
    limits = httpx.Limits(max_connections=most, max_keepalive_connections=most)
    client, url = httpx.AsyncClient(limits=limits, timeout=30), asked.url + PATH

    async def poll(token: str) -> bytes:
        return (await client.get(url, headers={"Authorization": f"Bearer {token}"})).content

    return poll


KINDS: dict[str, Callable[[Asked], Poll]] = {"raw": raw, "aiohttp": aiohttp, "pyreqwest": pyreqwest, "httpx": httpx}


@define
class Polling:
    """Who polls, and how late and with what errors."""

    poll: Poll
    late: array[float] = field(factory=lambda: array("d"))
    errors: Counter[str] = field(factory=Counter)
    tasks: set[asyncio.Task[None]] = field(factory=set)

    async def once(self, token: str, due: float) -> float:
        """Poll for one conversation; gives when its next poll is due."""
        self.late.append(time.monotonic() - due)
        try:
            await self.poll(token)
        except Exception as error:
            self.errors[type(error).__name__] += 1
        return due + PERIOD * max(1, math.ceil((time.monotonic() - due) / PERIOD))

    def start(self, work: Awaitable[None]) -> None:
        """Let something go on beside."""
        task = asyncio.ensure_future(work)
        self.tasks.add(task)
        task.add_done_callback(self.tasks.discard)

    async def sleeper(self, token: str, due: float) -> None:
        """Poll for one conversation for ever."""
        while True:
            await asyncio.sleep(max(0.0, due - time.monotonic()))
            due = await self.once(token, due)

    async def grid(self, dues: list[tuple[float, str]]) -> None:
        """Poll for all: one heap, one sleep, a task for each poll under way."""
        heapq.heapify(dues)

        async def one(token: str, due: float) -> None:
            heapq.heappush(dues, (await self.once(token, due), token))

        while True:
            now = time.monotonic()
            while dues and dues[0][0] <= now:
                due, token = heapq.heappop(dues)
                self.start(one(token, due))
            await asyncio.sleep(GRID - time.monotonic() % GRID)


async def run(asked: Asked) -> Figures:
    """Poll and give the figures; `more` names the kind and the form, "tasks" or "grid"."""
    tokens = await asyncio.to_thread(asked.ask, "sessions", count=asked.count)
    polling = Polling(KINDS[asked.more["kind"]](asked))
    await polling.poll(tokens[0])
    base, began = resident(), time.monotonic() + 0.1
    if asked.more["form"] == "tasks":
        for token in tokens:
            polling.start(polling.sleeper(token, began + random.random() * PERIOD))
    else:
        first = math.ceil(began / GRID)
        places = [(first + number % round(PERIOD / GRID)) * GRID for number in range(asked.count)]
        polling.start(polling.grid(list(zip(places, tokens, strict=True))))
    window = Window(base)
    await window.opened(asked)
    del polling.late[:]
    figures = await window.closed(asked)
    figures.update(late_p50=share(polling.late, 0.5), late_p99=share(polling.late, 0.99), errors=polling.errors)
    return figures
