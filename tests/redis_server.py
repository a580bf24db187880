"""A real Redis or Valkey server for a test, on a free loopback port, with a folder of its own."""

from __future__ import annotations

import os
import shutil
import signal
import socket
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
import redis

from ports import free_port

PATIENCE = 30.0
MISSING = (
    "no redis-server or valkey-server is on PATH; `apt-get install redis-server` brings one (Debian, Ubuntu), and these"
    " tests need a real one"
)


def found() -> str:
    """Where the server's program is; skips the test when there is none, or fails it where one is required."""
    program = shutil.which("redis-server") or shutil.which("valkey-server")
    if program is None and os.environ.get("TEST_REDIS") == "required":
        pytest.fail(MISSING, pytrace=False)
    if program is None:
        pytest.skip(MISSING)
    return program


class RedisServer:
    """A server that answers when this returns; `options` are those of its command line, such as "--appendonly yes"."""

    def __init__(self, folder: Path, *options: str) -> None:
        self.folder = folder
        self.port = free_port()
        self._options = tuple(part for option in options for part in option.split(" "))
        self.start()

    @property
    def url(self) -> str:
        """Where it is."""
        return f"redis://127.0.0.1:{self.port}"

    def client(self) -> redis.Redis:
        """Return a connection for a look inside."""
        return redis.Redis(port=self.port, decode_responses=False)

    def start(self) -> None:
        """Start it, and wait until it answers."""
        plain = () if "--port" in self._options else ("--port", str(self.port))
        where = ("--dir", str(self.folder), "--bind", "127.0.0.1", "--save", "", "--daemonize", "no")
        self.process = subprocess.Popen(
            [found(), *plain, *where, *self._options], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
        )
        by = time.monotonic() + PATIENCE
        while not _answers(self.port):
            assert self.process.poll() is None, "the server ended at once"
            assert time.monotonic() < by, "the server does not answer"
            time.sleep(0.01)

    def kill(self) -> None:
        """End it as a crash does."""
        self.process.kill()
        self.process.wait()

    def restart(self) -> None:
        """End it as a crash does, and start it again on the same port and folder."""
        self.kill()
        self.start()

    def suspend(self) -> None:
        """Stop its work, and leave its connections open."""
        self.process.send_signal(signal.SIGSTOP)

    def resume(self) -> None:
        """Let it go on."""
        self.process.send_signal(signal.SIGCONT)

    def close(self) -> None:
        """End it for good."""
        self.resume()
        self.kill()


def _answers(port: int) -> bool:
    """Whether a server has its data and answers, be it that it wants a password or speaks TLS only."""
    try:
        with socket.create_connection(("127.0.0.1", port), timeout=5) as there:
            there.sendall(b"PING\r\n")
            said = there.recv(64)
    except OSError:
        return False
    return not said.startswith(b"-LOADING")


@pytest.fixture(scope="session")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RedisServer]:
    """One server for all tests that leave it as it is; each has a prefix of its own there."""
    running = RedisServer(tmp_path_factory.mktemp("redis"))
    yield running
    running.close()
