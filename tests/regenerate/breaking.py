"""Let the n-th change to the disk fail, so that a test can go through all of them."""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

from pipeline.tree import swap

PLACES = [
    *((os, name) for name in ("rename", "replace", "mkdir", "rmdir", "unlink")),
    *((shutil, name) for name in ("copy2", "copyfile", "copytree", "rmtree")),
    *((Path, name) for name in ("rename", "write_text")),
    (swap, "exchange"),
]


class Killed(BaseException):
    """Stands for a kill: nothing in the code under test may catch it."""


def break_at(monkeypatch: pytest.MonkeyPatch, number: int, error: BaseException) -> Callable[[], int]:
    """Break the n-th change from now on, and return a counter of the changes that were tried."""
    tried = 0

    def broken(real: Callable[..., object]) -> Callable[..., object]:
        def call(*arguments: object, **options: object) -> object:
            nonlocal tried
            tried += 1
            if tried == number:
                raise error
            return real(*arguments, **options)

        return call

    for holder, name in PLACES:
        monkeypatch.setattr(holder, name, broken(getattr(holder, name)))
    return lambda: tried
