"""`RedisStore` does what every store does: blocking, awaited, on a cluster's node, and encrypted."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any
from uuid import uuid4

import pytest
from cryptography.fernet import Fernet

from puzzel_chat import Secret, TokenSet
from puzzel_chat._redis import RedisStore
from puzzel_chat._redis_plans import Call
from puzzel_chat._store import AsyncStore, StoredConversation, Unread
from puzzel_chat.testing import StoreContract
from redis_server import RedisServer

TOKENS = TokenSet(access=Secret("acc-1"), refresh=Secret("ref-1"), generation=1, ttl=600.0, obtained=1000.0)
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


@pytest.mark.parametrize("odd", ["", "{", "}", "{}", "a}b{c", "%"])
def test_a_name_with_braces_has_one_place_in_a_cluster(node: RedisServer, odd: str) -> None:
    """Braces say which part of a key counts, and an id may have them, or be empty."""
    store = RedisStore(node.url, prefix=f"braces-{uuid4().hex}")
    store.save_tokens(odd, TOKENS)
    store.save_conversation(odd, StoredConversation(id=odd))
    assert store.acquire(odd, "poll", "me", 100.0, 12.0) == "me"
    assert store.journal(odd, "me", None, [Unread(seq=1, raw={})])
    assert store.find(odd) == odd
    store.delete(odd)
    store.close()


def test_the_newest_session_is_found_whatever_its_name(server: RedisServer) -> None:
    """By when it began, not by its name; and a row of the journal is the first one that was written."""
    store = RedisStore(server.url, prefix=f"newest-{uuid4().hex}")
    for name in ("b", "c", "a"):
        store.save_tokens(name, TOKENS)
        store.save_conversation(name, StoredConversation(id="talk"))
    assert store.find("talk") == "a"
    store.acquire("a", "poll", "me", 100.0, 12.0)
    for n in (1, 2):
        assert store.journal("a", "me", None, [Unread(seq=1, raw={"n": n})])
    found = store.load("a")
    assert found is not None
    assert found.unread[1].raw == {"n": 1}
    store.close()
