"""Streams to a page: whoever shows the sandbox is woken by each change, and told what is different from before."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Mapping
from contextlib import aclosing, asynccontextmanager, suppress

from attrs import define, field
from starlette.websockets import WebSocket, WebSocketDisconnect

from puzzel_chat.sandbox import Sandbox

BEAT = 0.03
"""Seconds between two looks at most: many changes at once are one message to the page."""
TICK = 0.2
"""Seconds between two looks at least: the simulator moves on only when it is asked something."""

Json = Mapping[str, object]


class Hub:
    """Wakes every stream when something in the sandbox has changed."""

    def __init__(self, sandbox: Sandbox) -> None:
        self.sandbox = sandbox
        self._streams: set[asyncio.Event] = set()
        self._closed = False
        self._loop: asyncio.AbstractEventLoop | None = None

    @asynccontextmanager
    async def running(self) -> AsyncIterator[None]:
        """Watch the sandbox while the block lasts."""
        loop = self._loop = asyncio.get_running_loop()
        stop = self.sandbox.watch(lambda _news: loop.call_soon_threadsafe(self.wake))
        ticking = asyncio.create_task(self._tick())
        try:
            yield
        finally:
            stop()
            ticking.cancel()
            self.close()

    def wake(self) -> None:
        """Let every stream look again."""
        for stream in self._streams:
            stream.set()

    def close(self) -> None:
        """End every stream."""
        self._closed = True
        self.wake()

    def close_soon(self) -> None:
        """End every stream; from another thread."""
        if self._loop is not None:
            with suppress(RuntimeError):  # the loop has ended by itself
                self._loop.call_soon_threadsafe(self.close)

    async def looks(self) -> AsyncIterator[None]:
        """Yield whenever it is time to look: now, and after each change."""
        changed = asyncio.Event()
        self._streams.add(changed)
        try:
            while not self._closed:
                changed.clear()
                yield
                await changed.wait()
                await asyncio.sleep(BEAT)
        finally:
            self._streams.discard(changed)

    async def _tick(self) -> None:
        while True:
            self.sandbox.stats()
            self.wake()
            await asyncio.sleep(TICK)


@define
class Shown:
    """What a page has been told; `news` says what it must be told more."""

    _told: dict[str, object] = field(factory=dict[str, object])

    def news(self, state: Json) -> Json | None:
        """Return what of a flat state is new or gone, None if nothing is."""
        changed = {name: value for name, value in state.items() if name not in self._told or self._told[name] != value}
        gone = [name for name in self._told if name not in state]
        self._told = dict(state)
        return {"set": changed, "gone": gone} if changed or gone else None


async def stream(socket: WebSocket, news: AsyncIterator[Json | None]) -> None:
    """Send each value as JSON until the page or the sandbox closes; None is nothing to send."""
    await socket.accept()
    both = [asyncio.create_task(_send(socket, news)), asyncio.create_task(_gone(socket))]
    try:
        done, _ = await asyncio.wait(both, return_when=asyncio.FIRST_COMPLETED)
    finally:
        for task in both:
            task.cancel()
        await asyncio.gather(*both, return_exceptions=True)
    for task in done:
        task.result()


async def _send(socket: WebSocket, news: AsyncIterator[Json | None]) -> None:
    with suppress(WebSocketDisconnect):
        async with aclosing(news):  # type: ignore[type-var]
            async for one in news:
                if one is not None:
                    await socket.send_json(one)
        await socket.close()


async def _gone(socket: WebSocket) -> None:
    """Return when the page has closed its end."""
    while (await socket.receive())["type"] != "websocket.disconnect":
        pass
