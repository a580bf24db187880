"""How the asyncio shell reaches a store, so that no call of it blocks the event loop."""

from __future__ import annotations

import os
from asyncio import Task, get_running_loop, sleep, wait
from concurrent.futures import ThreadPoolExecutor
from typing import Any

from puzzel_chat._steps import LOOK_AGAIN, Keep, is_async
from puzzel_chat._store import AsyncStore, MemoryStore, Store

_OF_OWNERS = ("acquire", "sessions")
"""Methods that would find an owner where nobody holds the session any more."""


class Reach:
    """Calls a store: one that is awaited as it is, `MemoryStore` at once, any other in a thread of its own.

    In the thread, one call follows the other. A caller that is cancelled does not wait for its call any longer. Of a
    store that has a twin for asyncio, `store` is that twin, which belongs to us.
    """

    def __init__(self, store: Store | AsyncStore) -> None:
        twin = getattr(store, "awaiting", None)
        self._owned = twin is not None
        self.store: Store | AsyncStore = twin() if twin else store
        """What is called."""
        self.at_once = isinstance(store, MemoryStore)
        """Whether a call never waits."""
        self.blocks = not is_async(self.store.load)
        """Whether the store is a blocking one."""
        self.closing: set[Task[None]] = set()
        """What gives sessions back that nobody holds any more."""
        self._thread: ThreadPoolExecutor | None = None
        self._process = os.getpid()

    async def call(self, ask: Keep) -> Any:
        """Make one call of the store, and return what it returns."""
        method = getattr(self.store, ask.method)
        if self.at_once:
            return method(*ask.arguments)
        if ask.method in _OF_OWNERS:
            await self._given_back()
        if not self.blocks:
            return await method(*ask.arguments)
        return await self._in_thread(method, *ask.arguments)

    async def aclose(self) -> None:
        """Let the thread end, or close the twin; a store of the application's stays open."""
        await self._given_back()
        if self._thread is not None:
            self._thread.shutdown(wait=False)
            self._thread = None
        if self._owned:
            await self.call(Keep("close", ()))

    async def _given_back(self) -> None:
        await sleep(0)  # what the garbage collector asked for is begun by then
        if self.closing:
            await wait(self.closing)

    async def _in_thread(self, method: Any, *arguments: Any) -> Any:
        if self._thread is None or self._process != os.getpid():
            # A forked child has no thread but its own.
            self._thread, self._process = ThreadPoolExecutor(1, "puzzel-chat-store"), os.getpid()
        done = get_running_loop().run_in_executor(self._thread, method, *arguments)
        try:
            while not done.done():
                # A forked child that closes the loop it has from us leaves ours deaf to its threads.
                await wait({done}, timeout=LOOK_AGAIN)
        finally:
            done.cancel()
        return done.result()
