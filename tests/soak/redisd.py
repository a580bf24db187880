"""A real Redis with an append-only file, which ends in every way and comes back with what it had."""

from __future__ import annotations

import os
import time
from collections.abc import Callable
from pathlib import Path
from typing import Self

import pytest

import redis_server


class Redis(redis_server.RedisServer):
    """Runs from the start, and ends with its `with` block."""

    def __init__(self, folder: Path) -> None:
        super().__init__(folder, "--appendonly yes", "--appendfsync everysec")

    def leave(self) -> None:
        """End it in good order."""
        self.process.terminate()
        self.process.wait(redis_server.PATIENCE)

    def crash(self, lost: float, wait: Callable[[float], object] = time.sleep) -> None:
        """End it as a machine that fails: what it wrote in the last `lost` seconds, which pass here, is gone."""
        sizes = {file: file.stat().st_size for file in self.folder.glob("appendonlydir/*.incr.aof")}
        wait(lost)
        self.kill()
        for file, size in sizes.items():
            if lost and file.exists():
                os.truncate(file, size)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


def missing() -> str | None:
    """Say why there is no Redis to be had here, if so."""
    try:
        redis_server.found()
    except pytest.skip.Exception as none:
        return str(none)
    return None
