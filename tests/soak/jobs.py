"""What a process of a company is told, and the file that all of them write down things in."""

from __future__ import annotations

import os
from typing import Any

from attrs import define

from puzzel_chat import RedisStore


@define
class Job:
    """`settings` are the client's, `url` is that of Redis, `notes` a file; `lease` is in seconds."""

    name: str
    settings: dict[str, Any]
    url: str
    notes: str
    lease: float = RedisStore.lease


class Notes:
    """A file that several processes append lines to; a line is written in one piece, and outlives its process."""

    def __init__(self, path: str) -> None:
        self._file = os.open(path, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o600)

    def add(self, *words: object) -> None:
        """Write one line."""
        os.write(self._file, (" ".join(map(str, words)) + "\n").encode())
