"""One measurement: a contact centre, and who is measured against it in a fresh process on a core of its own.

`python -m benchmarks.subject MODULE JSON` runs the module's `run(asked)` and prints the figures that it gives.
"""

from __future__ import annotations

import asyncio
import gc
import json
import os
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from http.client import HTTPConnection
from importlib import import_module
from pathlib import Path
from subprocess import PIPE, Popen
from types import ModuleType
from typing import Any

from attrs import define, field

from benchmarks.machine import SUBJECT, pin, resident, run_in_loop

Figures = dict[str, Any]
ENVIRONMENT = {**os.environ, "PYTHONPATH": str(Path(__file__).parents[1])}
LONGEST = 600
"""Seconds that one measurement may take."""


@define
class Asked:
    """What to measure: so many conversations for so many seconds, after `warm` seconds. `more` is the run's own."""

    port: int
    count: int
    seconds: float = 5.0
    warm: float = 2.0
    uvloop: bool = False
    thresholds: tuple[int, int, int] | None = None
    more: Figures = field(factory=dict)

    @property
    def url(self) -> str:
        """The contact centre's address."""
        return f"http://127.0.0.1:{self.port}"

    def ask(self, do: str, **arguments: Any) -> Any:
        """Ask the contact centre for something that is no part of the contract."""
        return ask(self.port, do, **arguments)


def ask(port: int, do: str, **arguments: Any) -> Any:
    """Ask the contact centre at that port for something that is no part of the contract."""
    connection = HTTPConnection("127.0.0.1", port, timeout=60)
    connection.request("POST", "/bench", json.dumps({"do": do, **arguments}))
    found = json.loads(connection.getresponse().read())
    connection.close()
    return found


@define
class Window:
    """The seconds that count. `base` is the memory before there were conversations, in bytes."""

    base: int
    since: float = 0.0
    _cpu: float = field(default=0.0, init=False)
    _collecting: float = field(default=0.0, init=False)
    _longest: float = field(default=0.0, init=False)

    async def opened(self, asked: Asked) -> None:
        """Let the warming up pass."""
        await asyncio.sleep(asked.warm)
        gc.callbacks.append(self._collects)
        self.since, self._cpu = time.monotonic(), time.process_time()

    async def closed(self, asked: Asked) -> Figures:
        """Let the seconds that count pass; gives what was used meanwhile, threads included."""
        await asyncio.sleep(asked.seconds)
        until, cpu = time.monotonic(), time.process_time() - self._cpu
        used = {"cpu": cpu, "memory": (resident() - self.base) / asked.count, "collecting": self._longest}
        return {"since": self.since, "until": until, **used}

    def _collects(self, phase: str, _: object) -> None:
        if phase == "start":
            self._collecting = time.monotonic()
        else:
            self._longest = max(self._longest, time.monotonic() - self._collecting)


@contextmanager
def centre(**options: Any) -> Iterator[int]:
    """Run a contact centre; gives its port."""
    command = [sys.executable, "-m", "benchmarks.centre", json.dumps(options)]
    with Popen(command, stdin=PIPE, stdout=PIPE, text=True, env=ENVIRONMENT) as process:
        assert process.stdout is not None
        try:
            yield int(process.stdout.readline())
            process.communicate(timeout=30)
        finally:
            process.terminate()


def measure(module: str, options: Figures, **asked: Any) -> Figures:
    """Measure once; gives the subject's figures, and under "centre" what the contact centre saw of it."""
    with centre(**options) as port:
        command = [sys.executable, "-m", "benchmarks.subject", module, json.dumps({"port": port, **asked})]
        ran = subprocess.run(command, stdout=PIPE, check=True, timeout=LONGEST, env=ENVIRONMENT)
        figures: Figures = json.loads(ran.stdout)
        figures["centre"] = ask(port, "report", since=figures["since"], until=figures["until"])
    return figures


def _main(module: str, given: str) -> None:
    pin(SUBJECT)
    asked = Asked(**json.loads(given))
    if asked.thresholds:
        gc.set_threshold(*asked.thresholds)
    run_in_loop(_printed(import_module(module), asked), uvloop=asked.uvloop)


async def _printed(module: ModuleType, asked: Asked) -> None:
    print(json.dumps(await module.run(asked)), flush=True)
    # What goes on is of no interest any more, and its contact centre is about to be gone.
    os._exit(0)


if __name__ == "__main__":
    _main(*sys.argv[1:])
