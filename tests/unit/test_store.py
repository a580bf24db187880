"""One contract, three stores that pass it: the two of ours, and the one that the contract shows."""

from __future__ import annotations

import textwrap
from pathlib import Path
from typing import Any

import pytest

from forking import in_a_fork
from puzzel_chat._models import Secret
from puzzel_chat._sqlite import SQLiteStore
from puzzel_chat._store import MemoryStore, Store
from puzzel_chat._tokens import TokenSet
from puzzel_chat.testing import StoreContract

TOKENS = TokenSet(access=Secret("acc-1"), obtained=1000.0)


def example() -> type[Any]:
    """The tests of the store that the contract's docstring shows, as its reader would have them."""
    _, _, code = (StoreContract.__doc__ or "").partition("and its tests:\n")
    module: dict[str, Any] = {"__name__": __name__}
    exec(compile(textwrap.dedent(code), "the example of StoreContract", "exec", dont_inherit=True), module)
    return module["TestDocumentStore"]  # type: ignore[no-any-return]


class TestMemoryStore(StoreContract):
    """One object, since it ends with its process."""

    def open_store(self, folder: Path) -> MemoryStore:
        """The same one each time."""
        self.__dict__.setdefault("store", MemoryStore())
        return self.__dict__["store"]  # type: ignore[no-any-return]


class TestSQLiteStore(StoreContract):
    """Several objects on one file, as several processes have."""

    def open_store(self, folder: Path) -> SQLiteStore:
        """One more on the file."""
        return SQLiteStore(folder / "sessions.db")


TestDocumentStore = example()


@pytest.mark.parametrize("kind", ["memory", "file"])
def test_what_was_seen_long_ago_is_forgotten(kind: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A chat without an end does not fill the store; each conversation keeps its newest marks, and its own."""
    for module in ("_store", "_sqlite"):
        monkeypatch.setattr(f"puzzel_chat.{module}.SEEN", 50)
    store = MemoryStore() if kind == "memory" else SQLiteStore(tmp_path / "chats.db")
    store.save_tokens("s", TOKENS)
    store.acquire("s", "poll", "me", 100.0, 60.0)
    store.acknowledge("s", "me", "quiet", 0, "only", "mark")
    for number in range(1000):
        store.acknowledge("s", "me", "busy", number, str(number), "mark")
    found = store.load("s")
    assert found is not None
    assert found.seen["quiet"] == [("only", "mark")]
    assert 50 <= len(found.seen["busy"]) < 50 + 256
    assert [int(item_id) for item_id, _ in found.seen["busy"]] == list(range(1000 - len(found.seen["busy"]), 1000))
    store.close()


@pytest.mark.parametrize("name", [name for name in vars(Store) if not name.startswith("_")])
def test_both_stores_have_every_method_of_the_contract(name: str) -> None:
    """Names and annotations are those of the protocol."""
    wanted = getattr(Store, name).__annotations__
    for kind in (MemoryStore, SQLiteStore):
        assert getattr(kind, name).__annotations__ == wanted


def test_a_childs_memory_is_its_own() -> None:
    """The sessions of a `MemoryStore` are not in a forked child, which could not share their tokens."""
    store = MemoryStore()
    store.save_tokens("s", TOKENS)

    def work() -> None:
        assert store.load("s") is None
        store.save_tokens("t", TOKENS)

    assert in_a_fork(work) == 0
    assert store.tokens("s") == TOKENS
    assert store.tokens("t") is None
