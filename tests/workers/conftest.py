"""What the tests of workers share: a store that several machines share, of each kind."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any
from uuid import uuid4

import pytest

from puzzel_chat import MemoryStore, RedisStore, SQLiteStore
from redis_server import RedisServer
from redis_server import server as server  # pytest finds it here

Open = Callable[[], Any]


@pytest.fixture
def own_server(tmp_path: Path) -> Iterator[RedisServer]:
    """A server that the test may treat as it likes; what was written to it survives its end."""
    folder = tmp_path / "redis"
    folder.mkdir()
    running = RedisServer(folder, "--appendonly yes")
    yield running
    running.resume()
    running.close()


@pytest.fixture
def lease() -> float:
    """The length of a lease in a `RedisStore`, in seconds; a test may have another one."""
    return 10.0


@pytest.fixture(params=["memory", "file", "redis"])
def open_store(request: pytest.FixtureRequest, tmp_path: Path, lease: float) -> Iterator[Open]:
    """Give what opens the store, as each machine does; one in memory is one object for all."""
    opened: list[Any] = []
    prefix, memory = f"test-{uuid4().hex}", MemoryStore()

    def open_one() -> Any:
        if request.param == "memory":
            return memory
        if request.param == "file":
            opened.append(SQLiteStore(tmp_path / "chats.db"))
        else:
            opened.append(RedisStore(request.getfixturevalue("server").url, prefix=prefix, take_over=1.5 * lease))
        return opened[-1]

    yield open_one
    for store in opened:
        store.close()
