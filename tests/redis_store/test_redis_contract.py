"""`RedisStore` does what every store does: blocking, awaited, on a cluster's node, and encrypted."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from cryptography.fernet import Fernet

from puzzel_chat._redis import RedisStore
from puzzel_chat._redis_plans import Call
from puzzel_chat._store import AsyncStore
from puzzel_chat.testing import StoreContract
from redis_server import RedisServer

KEY = Fernet.generate_key()


class TestRedisStore(StoreContract):
    """Several objects on one server, as several machines have."""

    @pytest.fixture(autouse=True)
    def on(self, server: RedisServer) -> None:
        """Remember the server."""
        self.url = server.url

    def open_store(self, folder: Path) -> RedisStore:
        """One more on the server."""
        return RedisStore(self.url, prefix=f"contract-{folder.name}")


class TestAwaitedRedisStore(TestRedisStore):
    """The twin for asyncio."""

    def open_store(self, folder: Path) -> AsyncStore:  # type: ignore[override]  # the same tests for another kind
        """One more on the server."""
        return RedisStore(self.url, prefix=f"awaited-{folder.name}").awaiting()


class TestEncryptedRedisStore(TestRedisStore):
    """With what is secret encrypted."""

    def open_store(self, folder: Path) -> RedisStore:
        """One more on the server, with the same key."""
        return RedisStore(self.url, prefix=f"encrypted-{folder.name}", encryption_keys=[KEY])


@pytest.fixture(scope="module")
def node(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RedisServer]:
    """A cluster of one node, which refuses a command whose keys belong apart."""
    running = RedisServer(tmp_path_factory.mktemp("cluster"), "--cluster-enabled yes")
    with running.client() as inside:
        inside.execute_command("CLUSTER", "ADDSLOTS", *range(16_384))
        while b"cluster_state:ok" not in inside.execute_command("CLUSTER", "INFO"):
            pass
    yield running
    running.close()


class TestRedisStoreOnACluster(TestRedisStore):
    """On a node that tells when keys of one step belong to different nodes."""

    @pytest.fixture(autouse=True)
    def on(self, node: RedisServer) -> None:
        """Remember the node."""
        self.url = node.url


class TestRedisStoreOfAnOlderServer(TestRedisStore):
    """Before version 7 a script has no flags."""

    @pytest.fixture(autouse=True)
    def older(self, monkeypatch: pytest.MonkeyPatch) -> None:
        """Let each server say that it is one."""
        real = RedisStore._greet

        def greet(self: RedisStore, connection: Any) -> None:
            real(self, connection)
            self._server.old = True

        monkeypatch.setattr(RedisStore, "_greet", greet)


class TestRedisStoreWhoseAnswersGetLost(TestRedisStore):
    """Each round trip is made twice, as after an answer that was lost, and only the second answer counts."""

    @pytest.fixture(autouse=True)
    def twice(self, monkeypatch: pytest.MonkeyPatch) -> None:
        """Send everything twice."""
        real = RedisStore._sent

        def sent(self: RedisStore, calls: list[Call]) -> list[Any]:
            real(self, calls)
            return real(self, calls)

        monkeypatch.setattr(RedisStore, "_sent", sent)
