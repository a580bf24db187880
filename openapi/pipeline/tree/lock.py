"""Let one run at a time write, so that no run finds the half-copied tree of another."""

from __future__ import annotations

import contextlib
import os
import sys
from collections.abc import Generator
from pathlib import Path

from pipeline.problems import PipelineError


@contextlib.contextmanager
def one_run(folder: Path) -> Generator[None, None, None]:
    """Hold the folder for this run. Raises `PipelineError` when another run holds it.

    The lock goes with the process, so a killed run leaves none; systems without such locks go without.
    """
    if sys.platform == "win32":
        yield
        return
    import fcntl

    handle = os.open(folder, os.O_RDONLY)
    try:
        fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        os.close(handle)
        raise PipelineError(f"Another run is at work in {folder}: wait until it has ended, run again.") from None
    try:
        yield
    finally:
        os.close(handle)
