"""A bare HTTP server in a process of its own, which counts its connections: `python peer.py SLOWEST SEED`.

It answers after up to SLOWEST seconds, now and then never, and `/open` at once with the number of other connections.
"""

from __future__ import annotations

import asyncio
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from random import Random

SILENT = 0.01
"""The share of requests that get no answer."""


class Peer(asyncio.Protocol):
    """One connection."""

    connections = 0

    def __init__(self, slowest: float, random: Random) -> None:
        self._slowest, self._random = slowest, random
        self._read = b""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Count it."""
        assert isinstance(transport, asyncio.Transport)
        self._transport = transport
        Peer.connections += 1

    def connection_lost(self, error: Exception | None) -> None:
        """Count it no more."""
        Peer.connections -= 1

    def data_received(self, data: bytes) -> None:
        """Answer each request, in its own time."""
        self._read += data
        if b"\r\n\r\n" not in self._read:
            return
        head, self._read = self._read, b""
        if b" /open " in head:
            self._answer(str(Peer.connections - 1))
        elif self._slowest == 0 or self._random.random() > SILENT:
            asyncio.get_running_loop().call_later(self._random.uniform(0, self._slowest), self._answer, "{}")

    def _answer(self, body: str) -> None:
        if not self._transport.is_closing():
            self._transport.write(f"HTTP/1.1 200 OK\r\nContent-Length: {len(body)}\r\n\r\n{body}".encode())


async def _serve(slowest: float, random: Random) -> None:
    server = await asyncio.get_running_loop().create_server(lambda: Peer(slowest, random), "127.0.0.1", 0)
    print(server.sockets[0].getsockname()[1], flush=True)
    await server.serve_forever()


@contextmanager
def peer(slowest: float = 0.0, seed: int = 0) -> Iterator[str]:
    """Run one, and give its address."""
    command = [sys.executable, __file__, str(slowest), str(seed)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        try:
            assert process.stdout is not None
            yield f"http://127.0.0.1:{int(process.stdout.readline())}"
        finally:
            process.terminate()


if __name__ == "__main__":
    asyncio.run(_serve(float(sys.argv[1]), Random(int(sys.argv[2]))))
