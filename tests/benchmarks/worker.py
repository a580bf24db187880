"""A worker under load: chats that nobody polls, claimed by one `Worker` and held."""

from __future__ import annotations

import asyncio
from collections import Counter
from typing import Any

from redis import Redis

from benchmarks.fleet import opened
from benchmarks.machine import resident
from benchmarks.subject import Asked, Figures, Window
from puzzel_chat import AsyncConversation, AsyncPuzzelChat, Event, MemoryStore, RedisStore, Worker

Info = dict[str, float]


async def run(asked: Asked) -> Figures:
    """Hold the chats and give the figures; `more` has the store's "url", or none, and messages a second as "rate"."""
    url = asked.more.get("url")
    handled: Counter[str] = Counter()

    async def handle(conversation: AsyncConversation, event: Event) -> None:
        handled["events"] += 1

    window = Window(resident())
    async with AsyncPuzzelChat(asked.url, "bench", store=RedisStore(url) if url else MemoryStore()) as chat:
        await abandoned(chat, asked.count)
        worker = Worker(chat, handle)
        working = asyncio.create_task(worker.run())
        while worker.stats().conversations < asked.count:
            await asyncio.sleep(0.1)
        if asked.more["rate"]:
            await asyncio.to_thread(asked.ask, "talk", rate=asked.more["rate"], seconds=asked.warm + asked.seconds)
        before = info(url) if url else {}
        await window.opened(asked)
        figures = await window.closed(asked)
        after = info(url) if url else {}
        worker.stop()
        await working
    return {
        **figures,
        "redis": {name: after[name] - before.get(name, 0.0) for name in after},
        "events": handled["events"],
    }


async def abandoned(chat: AsyncPuzzelChat, count: int) -> None:
    """Open so many chats and leave them to whoever polls them."""
    await asyncio.gather(*(conversation.session.aclose() for conversation in await opened(chat, count)))


def info(url: str) -> Info:
    """Give what Redis counts of itself: calls by command, and its CPU in seconds as "cpu"."""
    with Redis.from_url(url) as redis:
        cpu: Any = redis.info("cpu")
        commands: Any = redis.info("commandstats")
    calls = {name.removeprefix("cmdstat_"): float(stats["calls"]) for name, stats in commands.items()}
    return {**calls, "cpu": cpu["used_cpu_user"] + cpu["used_cpu_sys"]}
