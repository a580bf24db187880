"""Ends a blocking request in time as a whole; the HTTP library bounds each read, and a slow server needs many.

It stands between the HTTP library and its sockets, whose methods it has and passes on.
"""

from __future__ import annotations

import os
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from math import inf
from time import monotonic
from typing import Any
from weakref import WeakSet


class _Due(threading.local):
    at = inf


_due = _Due()


@contextmanager
def lasting(seconds: float) -> Iterator[None]:
    """Let this thread's request, which this block makes, be over in so many seconds."""
    # A signal's handler may send in the middle of another request of its thread.
    before, _due.at = _due.at, monotonic() + seconds
    try:
        yield
    finally:
        _due.at = before


def left(timeout: float | None) -> float:
    """Give what a single step may take in seconds; raises `TimeoutError` when the time of the whole is up."""
    rest = _due.at - monotonic()
    if rest <= 0:
        raise TimeoutError
    return rest if timeout is None else min(timeout, rest)


class TimedStream:
    """A connection."""

    def __init__(self, stream: Any) -> None:
        self._stream = stream
        _streams.add(self)

    def read(self, max_bytes: int, timeout: float | None = None) -> bytes:
        """Read what has come; raises `TimeoutError` when the time of the whole is up, else what the library raises."""
        try:
            data: bytes = self._stream.read(max_bytes, left(timeout))
        except Exception:
            left(timeout)
            raise
        return data

    def write(self, buffer: bytes, timeout: float | None = None) -> None:
        """Write; raises as `read`."""
        self._stream.write(buffer, left(timeout))

    def start_tls(
        self, ssl_context: Any, server_hostname: str | None = None, timeout: float | None = None
    ) -> TimedStream:
        """Encrypt; raises as `read`."""
        return TimedStream(self._stream.start_tls(ssl_context, server_hostname, left(timeout)))

    def close(self) -> None:
        """Close the connection."""
        self._stream.close()

    def get_extra_info(self, info: str) -> Any:
        """Give what the library asks of a connection."""
        return self._stream.get_extra_info(info)


_streams: WeakSet[TimedStream] = WeakSet()


def _after_fork() -> None:
    # A closed copy of a socket sends nothing, and an open one would keep the parent from closing its own.
    for stream in list(_streams):
        stream.close()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_after_fork)


class TimedBackend:
    """What makes the connections; `backend` is the library's own."""

    def __init__(self, backend: Any) -> None:
        self._backend = backend

    def connect_tcp(self, *args: Any, timeout: float | None = None, **more: Any) -> TimedStream:
        """Connect; raises what the library raises."""
        return TimedStream(self._backend.connect_tcp(*args, timeout=left(timeout), **more))
