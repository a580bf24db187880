"""A sandbox in a process of its own, in the virtual time of the one that started it: `python centre.py CLOCK JSON`.

CLOCK is a file that holds the time, JSON the options of `Sandbox`. When its input ends, it prints what it counted.
"""

from __future__ import annotations

import json
import mmap
import struct
import subprocess
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from puzzel_chat.sandbox import Sandbox
from puzzel_chat.testing import VirtualTime


class SharedTime(VirtualTime):
    """Virtual time that another process reads."""

    def __init__(self, path: Path) -> None:
        super().__init__()
        path.write_bytes(struct.pack("d", self._seconds))
        with path.open("r+b") as file:
            self._shared = mmap.mmap(file.fileno(), 0)

    def advance(self, seconds: float) -> None:
        """Let time pass, here and there."""
        super().advance(seconds)
        struct.pack_into("d", self._shared, 0, self._seconds)


class Centre:
    """The other process; `stats` are known once it has ended."""

    def __init__(self, clock: SharedTime, process: subprocess.Popen[str]) -> None:
        self.clock = clock
        assert process.stdout is not None
        self.settings: dict[str, Any] = json.loads(process.stdout.readline())
        self.stats: Mapping[str, Any] = {}


@contextmanager
def centre(**options: Any) -> Iterator[Centre]:
    """Run one with these options of `Sandbox`."""
    with TemporaryDirectory() as folder:
        path = Path(folder) / "clock"
        clock = SharedTime(path)
        command = [sys.executable, __file__, str(path), json.dumps(options)]
        with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process:
            try:
                running = Centre(clock, process)
                yield running
                running.stats = json.loads(process.communicate(timeout=30)[0])
            finally:
                process.terminate()


def _serve(path: str, options: dict[str, Any]) -> None:
    with Path(path).open("rb") as file:
        shared = mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ)
    with Sandbox(**options, clock=lambda: float(struct.unpack_from("d", shared)[0])) as sandbox:
        print(json.dumps(sandbox.settings), flush=True)
        sys.stdin.read()
        stats = sandbox.stats()
        told = {"refreshes": stats.refreshes, "reuse": stats.reuse_detected, "requests": dict(stats.requests)}
        print(json.dumps(told), flush=True)


if __name__ == "__main__":
    _serve(sys.argv[1], json.loads(sys.argv[2]))
