"""The asyncio client behind the blocking one's names, so that each scenario is written once and run under both."""

from __future__ import annotations

import asyncio
import inspect
import threading
from collections.abc import AsyncGenerator, AsyncIterator, Callable, Coroutine, Iterator
from typing import Any

from awaited import Awaited
from puzzel_chat import AsyncConversation, AsyncPuzzelChat, AsyncSession, PuzzelChat
from puzzel_chat.sandbox import Sandbox

_WRAPPED = (AsyncPuzzelChat, AsyncSession, AsyncConversation)


def clients(kind: str) -> Iterator[Callable[..., Any]]:
    """Make clients of one kind: "sync", "async", or "awaited", which is asyncio on a store that gives way.

    They are closed after the test, and no task may be left behind.
    """
    made: list[Any] = []
    loop = None if kind == "sync" else Loop()

    def make(**settings: Any) -> Any:
        if kind == "awaited":
            settings["store"] = Awaited(settings.get("store"))
        made.append(Blocking(loop, AsyncPuzzelChat(**settings)) if loop else PuzzelChat(**settings))
        return made[-1]

    yield make
    for client in made:
        client.close()
    if loop:
        loop.stop()


def settings(sandbox: Sandbox, **more: Any) -> dict[str, Any]:
    """Give a client's settings for the sandbox, of either kind."""
    return {**sandbox.settings, "poll_interval": 0.05, **more}


class Loop:
    """An event loop in a thread of its own."""

    def __init__(self) -> None:
        self.loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self.loop.run_forever, name="scenario-loop")
        self._thread.start()

    def run(self, coroutine: Coroutine[Any, Any, Any]) -> Any:
        """Run a coroutine there and give its result."""
        return asyncio.run_coroutine_threadsafe(coroutine, self.loop).result()

    def stop(self) -> None:
        """Stop the loop; fails when a task was left behind."""
        left = self.run(self._others())
        self.loop.call_soon_threadsafe(self.loop.stop)
        self._thread.join()
        self.loop.close()
        assert not left, f"tasks left behind: {left}"

    async def _others(self) -> list[str]:
        await asyncio.sleep(0)
        await self.loop.shutdown_asyncgens()
        return [repr(task) for task in asyncio.all_tasks() if task is not asyncio.current_task()]


class Blocking:
    """One asyncio object with blocking methods."""

    def __init__(self, loop: Loop, target: Any) -> None:
        self._loop = loop
        self._target = target

    def __getattr__(self, name: str) -> Any:
        value = getattr(self._target, "aclose" if name == "close" else name)
        if not inspect.ismethod(value):
            return self._give(value)
        return lambda *args, **kwargs: self._give(value(*args, **kwargs))

    def _give(self, value: Any) -> Any:
        if asyncio.iscoroutine(value):
            value = self._loop.run(value)
        if isinstance(value, AsyncGenerator):
            return self._iterate(value)
        if isinstance(value, tuple) and value and isinstance(value[0], _WRAPPED):
            return tuple(self._wrap(item) for item in value)
        return self._wrap(value) if isinstance(value, _WRAPPED) else value

    def _wrap(self, target: Any) -> Blocking:
        return Blocking(self._loop, target)

    def _iterate(self, items: AsyncIterator[Any]) -> Iterator[Any]:
        async def following() -> tuple[bool, Any]:
            try:
                return True, await anext(items)
            except StopAsyncIteration:
                return False, None

        more, item = self._loop.run(following())
        while more:
            yield item
            more, item = self._loop.run(following())

    def __enter__(self) -> Blocking:
        self._loop.run(self._target.__aenter__())
        return self

    def __exit__(self, *raised: Any) -> None:
        self._loop.run(self._target.__aexit__(*raised))
