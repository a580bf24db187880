"""A store that is awaited, and lets others have their turn in the midst of each call, as one across a network does."""

from __future__ import annotations

import asyncio
from typing import Any

from puzzel_chat import MemoryStore, Store

TURNS = 3
"""How often a call gives way before it is done, and after that."""


class Awaited:
    """An `AsyncStore` in front of a blocking one, a new `MemoryStore` unless given; `calls` names what was called."""

    def __init__(self, store: Store | None = None) -> None:
        self.store = store or MemoryStore()
        self.calls: list[str] = []

    def __getattr__(self, name: str) -> Any:
        value = getattr(self.store, name)

        async def call(*arguments: Any) -> Any:
            await _others()
            self.calls.append(name)
            result = value(*arguments)
            await _others()
            return result

        return call if callable(value) else value


async def _others() -> None:
    for _ in range(TURNS):
        await asyncio.sleep(0)
