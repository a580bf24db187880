"""What a chat may leave behind in its process: threads, sockets, and other file descriptors."""

from __future__ import annotations

import os
import stat
import threading
import time
from collections import Counter

SETTLE = 2.0
"""Seconds that a thread which is on its way out gets on a busy machine."""


def count() -> Counter[str]:
    """Count what there is now."""
    found: Counter[str] = Counter(threads=threading.active_count())
    for name in os.listdir("/dev/fd"):
        try:
            mode = os.fstat(int(name)).st_mode
        except OSError:
            continue
        found["sockets" if stat.S_ISSOCK(mode) else "files"] += 1
    return found


def since(before: Counter[str]) -> int:
    """Give how much more there is than before."""
    deadline = time.monotonic() + SETTLE
    while (more := (count() - before).total()) and time.monotonic() < deadline:
        time.sleep(0.01)
    return more
