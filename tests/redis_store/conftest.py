"""What the tests of `RedisStore` share: a real server for a module, and stores on it."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any
from uuid import uuid4

import pytest

from puzzel_chat._redis import RedisStore
from redis_server import RedisServer
from redis_server import server as server  # pytest finds it here

Make = Callable[..., RedisStore]
Serve = Callable[..., RedisServer]


@pytest.fixture
def serve(tmp_path: Path) -> Iterator[Serve]:
    """Start servers of the test's own."""
    running: list[RedisServer] = []

    def start(*options: str) -> RedisServer:
        folder = tmp_path / f"redis-{len(running)}"
        folder.mkdir()
        running.append(RedisServer(folder, *options))
        return running[-1]

    yield start
    for one in running:
        one.close()


@pytest.fixture
def make() -> Iterator[Make]:
    """Open stores on a server, under a prefix of the test's own."""
    stores: list[RedisStore] = []
    prefix = f"test-{uuid4().hex}"

    def open_one(server: RedisServer | str, **options: Any) -> RedisStore:
        url = server if isinstance(server, str) else server.url
        stores.append(RedisStore(url, **{"prefix": prefix, **options}))
        return stores[-1]

    yield open_one
    for store in stores:
        store.close()
