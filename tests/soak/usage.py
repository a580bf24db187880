"""What a process has used, as Linux tells it."""

from __future__ import annotations

import os
import time
from pathlib import Path

from attrs import frozen


@frozen
class Used:
    """What a process has used: memory in bytes, CPU in seconds, of so many seconds that it has lived."""

    name: str
    memory: int
    cpu: float
    lived: float


def used(name: str, pid: int) -> Used:
    """Look at a process."""
    ticks, page = os.sysconf("SC_CLK_TCK"), os.sysconf("SC_PAGE_SIZE")
    stat = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    memory = int(Path(f"/proc/{pid}/statm").read_text().split()[1]) * page
    lived = time.clock_gettime(time.CLOCK_BOOTTIME) - int(stat[19]) / ticks
    return Used(name, memory, (int(stat[11]) + int(stat[12])) / ticks, lived)
