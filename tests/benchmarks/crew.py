"""Worker processes on the same chats, straight to one Redis, at a contact centre that answers at low cost."""

from __future__ import annotations

import asyncio
import json
import os
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

from attrs import asdict

from benchmarks.machine import CENTRE
from benchmarks.speed import LATENCY
from benchmarks.subject import ENVIRONMENT, ask, centre
from benchmarks.worker import abandoned
from puzzel_chat import AsyncPuzzelChat, RedisStore
from soak.jobs import Job
from soak.redisd import Redis

SETTLED = 5.0
"""Seconds in which workers that have come or gone share the chats anew."""
LONGEST = 30.0
"""Seconds in which a chat is polled again, whatever became of its worker."""


@contextmanager
def redis_server() -> Iterator[Redis]:
    """Run a Redis beside the contact centre, on the same core."""
    cores = sorted(os.sched_getaffinity(0))
    with tempfile.TemporaryDirectory() as folder, Redis(Path(folder)) as redis:
        if len(cores) > 1:
            os.sched_setaffinity(redis.process.pid, {cores[CENTRE]})
        yield redis


class Crew:
    """Worker processes on the same chats, straight to Redis."""

    def __init__(self, port: int, redis: Redis, folder: str) -> None:
        self._settings: dict[str, Any] = {"base_url": f"http://127.0.0.1:{port}", "solution_id": "bench"}
        self._redis, self._folder, self._number = redis, folder, 0
        self.running: dict[str, subprocess.Popen[str]] = {}

    def open(self, count: int) -> None:
        """Open chats for the workers to take."""

        async def opening() -> None:
            async with AsyncPuzzelChat(**self._settings, store=RedisStore(self._redis.url)) as chat:
                await abandoned(chat, count)

        asyncio.run(opening())

    def hire(self) -> None:
        """Start one worker more, and wait until it works."""
        self._number += 1
        name = f"worker-{self._number}"
        job = Job(name, self._settings, self._redis.url, f"{self._folder}/notes")
        command = [sys.executable, "-m", "soak.serving", json.dumps(asdict(job))]
        process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, env=ENVIRONMENT)
        self.running[name] = process
        assert process.stdout is not None
        process.stdout.readline()

    def part(self, name: str, how: signal.Signals) -> float:
        """End one by a signal; gives when that was sent."""
        at = time.monotonic()
        process = self.running.pop(name)
        process.send_signal(how)
        process.wait(LONGEST)
        return at

    def close(self) -> None:
        """End them all."""
        for process in self.running.values():
            process.kill()
            process.wait()


@contextmanager
def crew(count: int, workers: int) -> Iterator[tuple[Crew, int]]:
    """Let workers hold so many chats; gives the contact centre's port too."""
    with ExitStack() as stack:
        port, redis = stack.enter_context(centre(latency=LATENCY)), stack.enter_context(redis_server())
        found = Crew(port, redis, stack.enter_context(tempfile.TemporaryDirectory()))
        stack.callback(found.close)
        for _ in range(workers):
            found.hire()
        found.open(count)
        settled(port, found, count)
        yield found, port


def settled(port: int, found: Crew, count: int) -> None:
    """Wait until every chat is polled by somebody who lives, and the shares are even, as far as they get."""
    until = time.monotonic() + LONGEST
    while sum(len(ask(port, "held", worker=name)) for name in found.running) < count and time.monotonic() < until:
        time.sleep(0.2)
    time.sleep(SETTLED)
