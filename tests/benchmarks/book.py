"""What the contact centre writes down: what came in each second, what it cost, and how even the polls were."""

from __future__ import annotations

import time
from collections import Counter, defaultdict
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

from benchmarks.machine import share

PERIOD = 1.0


class Book:
    """Times are monotonic seconds. `late` holds when a reply left and how much later than its latency."""

    def __init__(self) -> None:
        self.seconds: dict[str, Counter[int]] = defaultdict(Counter)
        self.tenths: Counter[int] = Counter()
        self.late: list[tuple[float, float]] = []
        self.opened = self.most = 0
        self._cpu: list[tuple[float, float]] = []
        self._refused = _refused_connections()

    def count(self, what: str, now: float) -> None:
        """Count something in its second, a refresh in its tenth of one too."""
        self.seconds[what][int(now)] += 1
        if what == "refreshes":
            self.tenths[int(now * 10)] += 1

    def connected(self, present: int) -> None:
        """Count a connection that was made; so many are open."""
        self.opened += 1
        self.most = max(self.most, present)

    def look(self) -> None:
        """Note the CPU used so far, and the connections that the system has refused on this machine."""
        now, refused = time.monotonic(), _refused_connections()
        self._cpu.append((now, time.process_time()))
        self.seconds["refused connections"][int(now)] += refused - self._refused
        self._refused = refused

    def report(self, since: float, until: float, arrivals: Iterable[Sequence[float]]) -> dict[str, Any]:
        """Give what happened between two times; counts for each second, times in seconds."""
        made = [[at for at in one if since <= at < until] for one in arrivals]
        late = [one for times in made for one in lateness(times)]
        behind = [late for at, late in self.late if since <= at < until]
        return {
            "polls": sum(map(len, made)),
            "late_p50": share(late, 0.50),
            "late_p99": share(late, 0.99),
            "cpu": self._cpu_share(since, until),
            "behind_p99": share(behind, 0.99),
            "refreshes_at_once": max(self.tenths.values(), default=0),
            "opened": self.opened,
            "most": self.most,
            "seconds": {what: [counted[at] for at in range(int(since), int(until) + 1)]
                        for what, counted in self.seconds.items()},
        }  # fmt: skip

    def _cpu_share(self, since: float, until: float) -> float:
        looks = [look for look in self._cpu if since <= look[0] < until]
        if len(looks) < 2:
            return 0.0
        return (looks[-1][1] - looks[0][1]) / (looks[-1][0] - looks[0][0])


def lateness(arrivals: Sequence[float]) -> list[float]:
    """Give how far behind the earliest place in the period each of a session's polls came.

    The due times themselves are the client's secret, but they are a period apart: the earliest was the most punctual.
    """
    places = [(at - arrivals[0] + PERIOD / 2) % PERIOD for at in arrivals]
    return [place - min(places) for place in places]


def _refused_connections() -> int:
    """Give how many attempts to connect have failed on this machine; a closed port cannot count them itself."""
    try:
        lines = [line.split() for line in Path("/proc/net/snmp").read_text().splitlines() if line.startswith("Tcp:")]
        return int(dict(zip(*lines, strict=True))["AttemptFails"])
    except (OSError, KeyError, ValueError):
        return 0
