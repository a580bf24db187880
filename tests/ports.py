"""Ports for tests that run beside others: one where nobody answers, and one for a program to take."""

from __future__ import annotations

import secrets
import socket
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress

# Linux hands out ports from 32768 to whoever asks for any; a node of a Redis cluster listens 10000 above its port, too.
UNASKED = range(10_000, 22_000)


@contextmanager
def dead_port() -> Iterator[int]:
    """Keep a port where nobody listens: it is bound, so connections are refused and no other test is given it."""
    with ExitStack() as kept:
        here = kept.enter_context(socket.socket())
        here.bind(("127.0.0.1", 0))
        port: int = here.getsockname()[1]
        with suppress(OSError):  # where there is no IPv6, nobody can answer there
            kept.enter_context(socket.socket(socket.AF_INET6)).bind(("::1", port))
        yield port


def free_port() -> int:
    """Return a port that nobody has, and that no test beside this one is given before the program listens."""
    while True:
        port = secrets.choice(UNASKED)
        with socket.socket() as tried, suppress(OSError):
            tried.bind(("127.0.0.1", port))
            return port
