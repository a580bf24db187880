"""The processes of a company that serves chats: Redis, workers that each reach it by a cable, and web backends.

Everything that may happen to them is a method here; each notes the trouble that it made.
"""

from __future__ import annotations

import asyncio
import json
import os
import signal
import sys
import time
from asyncio.subprocess import PIPE, Process
from collections import Counter
from collections.abc import Awaitable, Callable
from pathlib import Path
from random import Random
from typing import Any

from attrs import asdict, define, field

from soak.cables import Cable, Cut
from soak.jobs import Job
from soak.redisd import Redis
from soak.usage import Used, used
from soak.verdict import REDIS, Kind, Trouble

ENVIRONMENT = {**os.environ, "PYTHONPATH": str(Path(__file__).parents[1])}
PATIENCE = 30.0
"""Seconds in which a process that was asked to leave is gone, and one that was started works."""
CUTS: tuple[Cut, ...] = ("reset", "silent")


@define(eq=False)
class Member:
    """A process of ours; `busy` is how many of its orders are not answered yet."""

    name: str
    process: Process
    cable: Cable
    ready: asyncio.Event = field(factory=asyncio.Event)
    asked: Counter[str] = field(factory=Counter)

    async def listen(self) -> None:
        """Take what it prints."""
        assert self.process.stdout is not None
        while line := await self.process.stdout.readline():
            word = line.decode().strip()
            if word == "ready":
                self.ready.set()
            self.asked[word] -= 1

    def tell(self, line: str) -> None:
        """Give it an order."""
        assert self.process.stdin is not None
        self.asked[line.partition(" ")[0]] += 1
        self.process.stdin.write(f"{line}\n".encode())

    @property
    def lives(self) -> bool:
        """Whether it has not ended."""
        return self.process.returncode is None


@define(eq=False)
class Company:
    """Who serves. `hold` is for how many seconds a worker is suspended or cut off, `lost` how many a crash loses."""

    redis: Redis
    settings: dict[str, Any]
    lease: float
    folder: Path
    random: Random
    hold: float
    lost: float = 0.0
    workers: list[Member] = field(factory=list)
    fronts: list[Member] = field(factory=list)
    troubles: list[Trouble] = field(factory=list)
    failures: list[str] = field(factory=list)
    _number: int = 0
    _listening: set[asyncio.Task[None]] = field(factory=set)

    @property
    def notes(self) -> Path:
        """The file of what was handled, sent, and failed."""
        return self.folder / "notes"

    async def hire(self, workers: int, fronts: int) -> None:
        """Start them all, and wait until they work."""
        self.workers = [await self._start("worker", "soak.serving") for _ in range(workers)]
        self.fronts = [await self._start("web", "soak.front") for _ in range(fronts)]
        async with asyncio.timeout(PATIENCE):
            for one in (*self.workers, *self.fronts):
                await one.ready.wait()

    async def trouble(self, kind: Kind) -> Trouble:
        """Do something to a worker chosen at random, or to Redis; it is over when this returns."""
        acts: dict[Kind, Callable[[Member], Awaitable[str]]] = {
            "kill": self._kill, "stop": self._stop, "cut": self._cut, "term": self._term,
            "restart": self._restart, "crash": self._crash,
        }  # fmt: skip
        began = time.monotonic()
        who = await acts[kind](self.random.choice([one for one in self.workers if one.lives and one.ready.is_set()]))
        self.troubles.append(Trouble(kind, who, began, time.monotonic()))
        return self.troubles[-1]

    async def dismiss(self) -> None:
        """Ask everybody to leave, in good order."""
        for one in self.workers:
            if one.lives:
                one.process.terminate()
        for one in self.fronts:
            assert one.process.stdin is not None
            one.process.stdin.close()
        for one in (*self.workers, *self.fronts):
            await self._gone(one)

    async def close(self) -> None:
        """End whoever is left, without asking."""
        for one in (*self.workers, *self.fronts):
            if one.lives:
                one.process.kill()
            await one.cable.close()
        await asyncio.gather(*self._listening)

    def used(self) -> list[Used]:
        """Tell what each process has used so far; this one is the contact centre, and the cables."""
        pids = {one.name: one.process.pid for one in (*self.fronts, *self.workers) if one.lives}
        pids |= {REDIS: self.redis.process.pid, "contact centre": os.getpid()}
        return [used(name, pid) for name, pid in pids.items()]

    async def _start(self, kind: str, module: str) -> Member:
        self._number += 1
        name = f"{kind}-{self._number}"
        cable = Cable(self.redis.port)
        await cable.lay()
        job = Job(name, self.settings, f"redis://127.0.0.1:{cable.port}/0", str(self.notes), self.lease)
        with (self.folder / f"{name}.log").open("wb") as log:
            process = await asyncio.create_subprocess_exec(
                sys.executable, "-m", module, json.dumps(asdict(job)),
                stdin=PIPE, stdout=PIPE, stderr=log, env=ENVIRONMENT, start_new_session=True,
            )  # fmt: skip
        member = Member(name, process, cable)
        self._listening.add(asyncio.create_task(member.listen()))
        return member

    async def _kill(self, worker: Member) -> str:
        worker.process.kill()
        await worker.process.wait()
        return await self._replace(worker)

    async def _term(self, worker: Member) -> str:
        worker.process.terminate()
        await self._gone(worker)
        return await self._replace(worker)

    async def _stop(self, worker: Member) -> str:
        worker.process.send_signal(signal.SIGSTOP)
        await asyncio.sleep(self.hold)
        worker.process.send_signal(signal.SIGCONT)
        return worker.name

    async def _cut(self, worker: Member) -> str:
        worker.cable.cut(self.random.choice(CUTS))
        await asyncio.sleep(self.hold)
        worker.cable.mend()
        return worker.name

    async def _restart(self, _: Member) -> str:
        await asyncio.to_thread(self.redis.leave)
        await asyncio.to_thread(self.redis.start)
        return REDIS

    async def _crash(self, _: Member) -> str:
        await asyncio.to_thread(self.redis.crash, self.lost)
        await asyncio.to_thread(self.redis.start)
        return REDIS

    async def _replace(self, worker: Member) -> str:
        await worker.cable.close()
        self.workers[self.workers.index(worker)] = await self._start("worker", "soak.serving")
        return worker.name

    async def _gone(self, one: Member) -> None:
        """See one out who was asked to leave; one that does not, or not in good order, has failed."""
        try:
            async with asyncio.timeout(PATIENCE):
                code = await one.process.wait()
        except TimeoutError:
            one.process.kill()
            code = await one.process.wait()
        if code:
            self.failures.append(f"{one.name} left with {code}")
