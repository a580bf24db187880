"""What every store must do, as tests, for a store of your own; ours pass the same ones."""

from __future__ import annotations

import asyncio
import os
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from inspect import iscoroutinefunction
from pathlib import Path
from typing import Any, cast

import pytest
from attrs import define, evolve

from puzzel_chat import AsyncStore, Life, Right, Secret, Store, StoredConversation, TokenSet, Unread, WorkerInfo
from puzzel_chat._owners import owner_name

Open = Callable[[], Store]
TOKENS = TokenSet(access=Secret("acc-1"), refresh=Secret("ref-1"), generation=1, ttl=600.0, obtained=1000.0)


def begun(store: Store, *names: str) -> Store:
    """Return the store with sessions that "me" may poll."""
    for name in names or ("s",):
        store.save_tokens(name, TOKENS)
        store.acquire(name, "poll", "me", 100.0, 60.0)
    return store


@define
class _Blocking:
    """An `AsyncStore` for tests that block: each call is awaited on a loop in another thread."""

    store: AsyncStore
    loop: asyncio.AbstractEventLoop

    def __getattr__(self, name: str) -> Callable[..., Any]:
        method = getattr(self.store, name)
        return lambda *args: asyncio.run_coroutine_threadsafe(method(*args), self.loop).result()


@contextmanager
def _loop_in_a_thread() -> Iterator[asyncio.AbstractEventLoop]:
    loop = asyncio.new_event_loop()
    thread = threading.Thread(target=loop.run_forever)
    thread.start()
    yield loop
    loop.call_soon_threadsafe(loop.stop)
    thread.join()
    loop.close()


class StoreContract:
    """The tests of a store: a subclass in a test module says in `open_store` how yours is opened, and pytest runs them.

    It may be a `Store` or an `AsyncStore`, which is then awaited on an event loop of another thread.

    A whole store, one JSON document for each session, and its tests:

        import json
        import sqlite3
        import threading
        from collections.abc import Generator, Sequence
        from contextlib import contextmanager
        from pathlib import Path
        from typing import Any

        from puzzel_chat import (
            Life, Right, StoredConversation, StoredSession, StoreError, TokenSet, Unread, WorkerInfo, lease_is_free
        )
        from puzzel_chat.testing import StoreContract

        SEEN = 16_384  # what was seen before that is forgotten
        NEW: dict[str, Any] = {"cursor": None, "conversations": {}, "unread": {}, "seen": {}, "rights": {}}

        class DocumentStore:
            def __init__(self, file: Path) -> None:
                self.lock = threading.RLock()
                self.database = sqlite3.connect(file, isolation_level=None, check_same_thread=False)
                self.database.execute("CREATE TABLE IF NOT EXISTS document (id TEXT PRIMARY KEY, body TEXT)")
                self.database.execute("CREATE TABLE IF NOT EXISTS worker (name PRIMARY KEY, body TEXT, until REAL)")

            @contextmanager
            def document(self, session_id: str) -> Generator[dict[str, Any] | None]:
                # Reads a session and writes down what is changed in it, as one step.
                try:
                    with self.lock, self.database:
                        self.database.execute("BEGIN IMMEDIATE")
                        query = "SELECT body FROM document WHERE id = ?"
                        row = self.database.execute(query, (session_id,)).fetchone()
                        found = None if row is None else json.loads(row[0])
                        yield found
                        if found is not None:
                            change = "UPDATE document SET body = ? WHERE id = ?"
                            self.database.execute(change, (json.dumps(found), session_id))
                except sqlite3.Error as error:
                    raise StoreError(f"The database failed: {error}") from error

            def all(self) -> dict[str, dict[str, Any]]:
                found = self.database.execute("SELECT id, body FROM document ORDER BY rowid").fetchall()
                return {one: json.loads(body) for one, body in found}

            def sessions(self, now: float, seconds: float) -> dict[str, bool]:
                return {one: not _is_free(found, now, seconds) for one, found in self.all().items()}

            def load(self, session_id: str) -> StoredSession | None:
                with self.document(session_id) as found:
                    return None if found is None else StoredSession(
                        id=session_id,
                        tokens=TokenSet.from_dict(found["tokens"]),
                        cursor=found["cursor"],
                        conversations=_conversations(found),
                        unread={int(seq): Unread.from_dict(kept) for seq, kept in found["unread"].items()},
                        seen={one: [(item, mark) for item, mark in seen] for one, seen in found["seen"].items()},
                    )

            def save_tokens(self, session_id: str, tokens: TokenSet) -> None:
                with self.document(session_id) as found:
                    if found is None and tokens.generation == 1:
                        body = json.dumps(NEW | {"tokens": tokens.to_dict()})
                        self.database.execute("INSERT INTO document VALUES (?, ?)", (session_id, body))
                    elif found is not None and tokens.generation > found["tokens"]["generation"]:
                        found["tokens"] = tokens.to_dict()

            def tokens(self, session_id: str) -> TokenSet | None:
                with self.document(session_id) as found:
                    return None if found is None else TokenSet.from_dict(found["tokens"])

            def conversations(self, session_id: str) -> dict[str, StoredConversation]:
                with self.document(session_id) as found:
                    return {} if found is None else _conversations(found)

            def save_conversation(self, session_id: str, conversation: StoredConversation) -> None:
                with self.document(session_id) as found:
                    if found is not None:
                        kept = conversation.after(_conversations(found).get(conversation.id))
                        found["conversations"][conversation.id] = kept.to_dict()

            def find(self, conversation_id: str) -> str | None:
                newest = reversed(self.all().items())
                return next((one for one, found in newest if conversation_id in found["conversations"]), None)

            def unpolled(self, now: float, seconds: float, most: int) -> list[str]:
                free = {one: found for one, found in self.all().items() if _is_free(found, now, seconds)}
                lives = {one: {kept.life for kept in _conversations(found).values()} for one, found in free.items()}
                return [one for one in free if lives[one] - {Life.READ}][:most]

            def report(self, worker: WorkerInfo, now: float, seconds: float) -> None:
                values = (worker.name, json.dumps(worker.to_dict()), now + seconds)
                self.database.execute("INSERT OR REPLACE INTO worker VALUES (?, ?, ?)", values)

            def workers(self, now: float) -> list[WorkerInfo]:
                query = "SELECT body FROM worker WHERE until > ? ORDER BY name"
                return [WorkerInfo.from_dict(json.loads(body)) for body, in self.database.execute(query, (now,))]

            def withdraw(self, session_id: str, conversation_id: str) -> None:
                with self.document(session_id) as found:
                    if found is not None:
                        known = _conversations(found).get(conversation_id)
                        if known is not None and known.life is Life.ASKED:
                            del found["conversations"][conversation_id]

            def journal(self, session_id: str, owner: str, cursor: str | None, unread: Sequence[Unread]) -> bool:
                with self.document(session_id) as found:
                    if found is None or not _has(found, "poll", owner):
                        return False
                    found["cursor"] = cursor
                    found["unread"] |= {str(item.seq): item.to_dict() for item in unread}
                    return True

            def acknowledge(
                self, session_id: str, owner: str, conversation_id: str, seq: int, item_id: str, mark: str
            ) -> bool:
                with self.document(session_id) as found:
                    if found is None or not _has(found, "poll", owner):
                        return False
                    found["unread"].pop(str(seq), None)
                    seen = found["seen"].setdefault(conversation_id, [])
                    if [item_id, mark] not in seen:
                        seen.append([item_id, mark])
                    del seen[:-SEEN]
                    return True

            def delete(self, session_id: str) -> None:
                with self.document(session_id):
                    self.database.execute("DELETE FROM document WHERE id = ?", (session_id,))

            def acquire(self, session_id: str, right: Right, owner: str, now: float, seconds: float) -> str:
                with self.document(session_id) as found:
                    if found is not None:
                        holder, until = found["rights"].get(right, (None, 0.0))
                        if holder is not None and not lease_is_free(holder, until, owner, now, seconds):
                            return str(holder)
                        found["rights"][right] = owner, now + seconds
                    return owner

            def renew(self, session_id: str, right: Right, owner: str, now: float, seconds: float) -> bool:
                with self.document(session_id) as found:
                    if found is None or not _has(found, right, owner):
                        return False
                    found["rights"][right] = owner, now + seconds
                    return True

            def release(self, session_id: str, right: Right, owner: str) -> None:
                with self.document(session_id) as found:
                    if found is not None and _has(found, right, owner):
                        del found["rights"][right]

            def close(self) -> None:
                self.database.close()

        def _has(found: dict[str, Any], right: Right, owner: str) -> bool:
            return bool(found["rights"].get(right, (None, 0.0))[0] == owner)

        def _is_free(found: dict[str, Any], now: float, seconds: float) -> bool:
            holder, until = found["rights"].get("poll", (None, 0.0))
            return lease_is_free(holder, until, "", now, seconds)

        def _conversations(found: dict[str, Any]) -> dict[str, StoredConversation]:
            return {one: StoredConversation.from_dict(kept) for one, kept in found["conversations"].items()}

        class TestDocumentStore(StoreContract):
            def open_store(self, folder: Path) -> DocumentStore:
                return DocumentStore(folder / "chats.db")
    """

    def open_store(self, folder: Path) -> Store | AsyncStore:
        """Return the store under test; called several times in a test, on the same data, as several processes would.

        `folder` is the test's own, empty at first. A store that is one object only is the same one each time. Each is
        closed after the test.
        """
        raise NotImplementedError(f"{type(self).__name__} does not say how its store is opened")

    @pytest.fixture
    def opened(self, tmp_path: Path) -> Iterator[Open]:
        """Give what opens the store under test."""
        stores: list[Store] = []

        def open_one() -> Store:
            made = self.open_store(tmp_path)
            awaited = iscoroutinefunction(made.load)
            stores.append(cast(Store, _Blocking(cast(AsyncStore, made), loop) if awaited else made))
            return stores[-1]

        with _loop_in_a_thread() as loop:
            yield open_one
            for store in stores:
                store.close()

    def test_what_is_kept_comes_back(self, opened: Open) -> None:
        """Tokens, cursor, conversations, unread items and marks are given as they were kept."""
        store = opened()
        begun(store)
        talk = StoredConversation(id="c", request_id="r", life=Life.ENDING)
        store.save_conversation("s", talk)
        store.save_conversation("s", StoredConversation(id="d", life=Life.READ))
        raw = {"id": "1", "content": "Blåbærsyltetøy 🫐", "n": None, "nested": {"list": [1, 2.5, True]}}
        store.journal("s", "me", "cur", [Unread(seq=7, conversation_id="c", raw=raw), Unread(seq=8, raw={"id": "2"})])
        store.acknowledge("s", "me", "c", 8, "2", "1:mark")
        found = opened().load("s")
        assert found is not None
        assert (found.id, found.tokens, found.cursor) == ("s", TOKENS, "cur")
        assert found.conversations == {"c": talk, "d": StoredConversation(id="d", life=Life.READ)}
        assert found.unread == {7: Unread(seq=7, conversation_id="c", raw=raw)}
        assert found.seen == {"c": [("2", "1:mark")]}

    @pytest.mark.parametrize("before", Life)
    def test_the_life_of_a_conversation_never_goes_back(self, opened: Open, before: Life) -> None:
        """Whichever object writes last, the stage that is further stays, and the id that routing gave, too."""
        one, two, lives = begun(opened()), opened(), list(Life)
        for after in Life:
            one.save_conversation("s", StoredConversation(id=after, request_id="r", life=before))
            two.save_conversation("s", StoredConversation(id=after, life=after))
        kept = {after: lives[max(lives.index(before), lives.index(after))] for after in Life}
        expected = {one: StoredConversation(id=one, request_id="r", life=life) for one, life in kept.items()}
        assert opened().conversations("s") == expected

    @pytest.mark.parametrize("life", Life)
    def test_only_a_request_that_came_to_nothing_is_withdrawn(self, opened: Open, life: Life) -> None:
        """A conversation that has come further stays, as do those beside it; what is not there is no error."""
        store = begun(opened(), "s", "t")
        for session, name in (("s", "c"), ("s", "d"), ("t", "c")):
            store.save_conversation(session, StoredConversation(id=name, life=life if name == "c" else Life.ASKED))
        for session, name in (("s", "c"), ("s", "nothing"), ("nobody", "c")):
            store.withdraw(session, name)
        assert list(opened().conversations("s")) == (["d"] if life is Life.ASKED else ["c", "d"])
        assert list(opened().conversations("t")) == ["c"]

    def test_sessions_are_told_with_whether_somebody_polls_them(self, opened: Open) -> None:
        """In the order in which they began; a right that is over, or was given back, is nobody's."""
        store = opened()
        assert store.sessions(100.0, 60.0) == {}
        for name in ("s", "q", "t", "over"):
            store.save_tokens(name, TOKENS)
        for name, when in (("s", 100.0), ("t", 100.0), ("over", 20.0)):
            store.acquire(name, "poll", "me", when, 60.0)
        store.acquire("q", "refresh", "me", 100.0, 60.0)
        store.release("t", "poll", "me")
        assert opened().sessions(101.0, 60.0) == {"s": True, "q": False, "t": False, "over": False}
        assert list(opened().sessions(101.0, 60.0)) == ["s", "q", "t", "over"]
        store.delete("s")
        assert list(opened().sessions(101.0, 60.0)) == ["q", "t", "over"]

    def test_a_row_of_the_journal_says_for_whom_it_is(self, opened: Open) -> None:
        """An item that names no conversation waits for one all the same; None stays None."""
        store = begun(opened())
        rows = {seq: Unread(seq=seq, conversation_id=one, raw={"n": 1}) for seq, one in ((1, "c"), (2, "d"), (3, None))}
        store.journal("s", "me", None, list(rows.values()))
        found = opened().load("s")
        assert found is not None
        assert found.unread == rows

    def test_a_conversation_is_found_by_its_id(self, opened: Open) -> None:
        """In the session that began last, when several have it; one that is withdrawn or forgotten is not found."""
        store = begun(opened(), "s", "t", "u")
        assert store.find("c") is None
        for session, name in (("t", "c"), ("s", "c"), ("s", "d"), ("u", "e")):
            store.save_conversation(session, StoredConversation(id=name, life=Life.ASKED))
        store.save_tokens("s", evolve(TOKENS, generation=2))
        assert [opened().find(name) for name in ("c", "d", "e", "f", "")] == ["t", "s", "u", None, None]
        store.delete("t")
        store.withdraw("u", "e")
        assert [opened().find(name) for name in ("c", "e")] == ["s", None]

    @pytest.mark.parametrize("life", Life)
    def test_only_what_goes_on_is_to_be_polled(self, opened: Open, life: Life) -> None:
        """A session has something to poll as long as one of its conversations is not read to its end."""
        store = opened()
        for name in ("empty", "one", "two"):
            store.save_tokens(name, TOKENS)
        store.save_conversation("one", StoredConversation(id="c", life=life))
        store.save_conversation("two", StoredConversation(id="c", life=life))
        store.save_conversation("two", StoredConversation(id="d"))
        assert opened().unpolled(100.0, 60.0, 9) == (["two"] if life is Life.READ else ["one", "two"])

    def test_what_nobody_polls_is_told_oldest_first(self, opened: Open) -> None:
        """That is never polled, given back, or over; at most so many, those first that began first."""
        store = opened()
        for name in ("never", "taken", "over", "back", "refreshed", "ahead"):
            store.save_tokens(name, TOKENS)
            store.save_conversation(name, StoredConversation(id="c"))
        for name, when in (("taken", 100.0), ("back", 100.0), ("over", 41.0), ("ahead", 3700.0)):
            store.acquire(name, "poll", "you", when, 60.0)
        store.release("back", "poll", "you")
        store.acquire("refreshed", "refresh", "you", 100.0, 60.0)
        free = ["never", "over", "back", "refreshed", "ahead"]
        assert [opened().unpolled(101.0, 60.0, most) for most in (9, 5, 2, 0)] == [free, free, free[:2], []]
        assert [store.acquire(name, "poll", "me", 101.0, 60.0) for name in free] == ["me"] * 5
        assert opened().unpolled(101.0, 60.0, 9) == []
        store.delete("never")
        assert opened().unpolled(161.0, 60.0, 9) == ["taken", *free[1:]]

    @pytest.mark.skipif(os.name != "posix", reason="elsewhere a process cannot be asked for without ending it")
    def test_what_a_killed_process_polled_is_free_at_once(self, opened: Open) -> None:
        """The sessions of a dead worker of this machine do not wait for the end of its leases."""
        store, machine = begun(opened(), "s"), owner_name().partition("/")[0]
        store.save_conversation("s", StoredConversation(id="c"))
        store.release("s", "poll", "me")
        process = subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE)
        store.acquire("s", "poll", f"{machine}/{process.pid}/{'0' * 32}", 100.0, 60.0)
        assert opened().unpolled(101.0, 60.0, 9) == []
        process.kill()
        process.communicate()
        assert opened().unpolled(101.0, 60.0, 9) == ["s"]

    def test_what_workers_say_of_themselves_is_kept_for_a_while(self, opened: Open) -> None:
        """By name, the last word of each; until its time is over, or at once when it says that it leaves."""
        store = opened()
        assert store.workers(100.0) == []
        first, last = (WorkerInfo(name=name, started_at=90.0, reported_at=100.0) for name in ("a-1", "b-1"))
        full = evolve(first, sessions=7, conversations=9, most=50, leaving=True, polls_per_second=6.5, failing=1)
        full = evolve(full, name="Blåbær 🫐", late_p50=0.01, late_p99=0.25)
        for worker in (last, first, full):
            store.report(worker, 100.0, 15.0)
        assert opened().workers(101.0) == [full, first, last]
        again = evolve(first, reported_at=110.0, sessions=3)
        opened().report(again, 110.0, 15.0)
        assert [opened().workers(now) for now in (114.9, 115.0, 125.0)] == [[full, again, last], [again], []]
        store.report(again, 111.0, 0)
        assert opened().workers(111.0) == [full, last]
        store.report(evolve(again, name="nobody"), 111.0, 0)
        assert opened().workers(111.0) == [full, last]

    def test_tokens_that_come_back_hide_themselves(self, opened: Open) -> None:
        """What is read is masked like what was written."""
        opened().save_tokens("s", TOKENS)
        found = opened().tokens("s")
        assert found == TOKENS
        assert "acc-1" not in repr(found)
        assert "ref-1" not in repr(found)

    def test_the_visitor_is_kept_with_the_tokens(self, opened: Open) -> None:
        """Who the service takes the customer for survives the process, is masked, and goes with a later generation."""
        opened().save_tokens("s", evolve(TOKENS, visitor_id=Secret("ada-1815")))
        found = opened().load("s")
        assert found is not None
        assert found.tokens.visitor_id == "ada-1815"
        for shown in (repr(found), repr(opened().tokens("s")), repr(evolve(found.tokens, generation=2))):
            assert "ada-1815" not in shown
        opened().save_tokens("s", evolve(TOKENS, generation=2, visitor_id=Secret("kari-1")))
        tokens = opened().tokens("s")
        assert tokens is not None
        assert tokens.visitor_id == "kari-1"
        opened().save_tokens("t", TOKENS)
        assert opened().tokens("t") == TOKENS

    def test_a_token_set_without_a_refresh_token_is_kept(self, opened: Open) -> None:
        """None stays None."""
        opened().save_tokens("s", evolve(TOKENS, refresh=None))
        found = opened().tokens("s")
        assert found is not None
        assert found.refresh is None

    def test_what_is_not_there_is_none(self, opened: Open) -> None:
        """An unknown session is no error."""
        assert opened().load("nobody") is None
        assert opened().tokens("nobody") is None
        opened().delete("nobody")
        opened().release("nobody", "refresh", "me")

    def test_an_older_generation_never_replaces_a_newer(self, opened: Open) -> None:
        """Whoever writes last, the newest generation stays."""
        store = opened()
        for generation, access in ((1, "first"), (3, "third"), (2, "late"), (3, "again")):
            store.save_tokens("s", evolve(TOKENS, generation=generation, access=Secret(access)))
        found = opened().tokens("s")
        assert found is not None
        assert (found.generation, found.access) == (3, "third")

    def test_new_tokens_leave_the_rest_as_it_is(self, opened: Open) -> None:
        """A refresh touches neither the cursor nor the journal."""
        store = opened()
        begun(store)
        store.journal("s", "me", "cur", [Unread(seq=1, raw={"id": "1"})])
        store.save_tokens("s", evolve(TOKENS, generation=2))
        found = store.load("s")
        assert found is not None
        assert (found.cursor, list(found.unread)) == ("cur", [1])

    def test_the_order_of_unread_and_seen_is_kept(self, opened: Open) -> None:
        """Items stay in the order of their numbers, marks in the order in which they were made."""
        store = opened()
        begun(store)
        store.journal("s", "me", None, [Unread(seq=n, raw={"n": n}) for n in (1, 2, 10)])
        store.journal("s", "me", None, [Unread(seq=n, raw={"n": n}) for n in (11, 12)])
        for mark in ("b", "a", "c"):
            store.acknowledge("s", "me", "c", 99, "1", mark)
        found = opened().load("s")
        assert found is not None
        assert list(found.unread) == [1, 2, 10, 11, 12]
        assert found.seen["c"] == [("1", "b"), ("1", "a"), ("1", "c")]

    def test_acknowledging_twice_is_remembered_once(self, opened: Open) -> None:
        """A repeat changes nothing, so that memory stays bounded by what there was."""
        store = opened()
        begun(store)
        for _ in range(3):
            store.acknowledge("s", "me", "c", 1, "1", "mark")
        found = store.load("s")
        assert found is not None
        assert found.seen == {"c": [("1", "mark")]}

    def test_nothing_is_kept_for_a_session_that_is_gone(self, opened: Open) -> None:
        """A poll that lands after the session was forgotten brings no words back into the store."""
        store = opened()
        begun(store)
        store.delete("s")
        store.journal("s", "me", "cur", [Unread(seq=1, raw={"id": "1"})])
        store.acknowledge("s", "me", "c", 1, "1", "mark")
        store.save_conversation("s", StoredConversation(id="c"))
        assert store.load("s") is None
        store.save_tokens("s", TOKENS)
        found = opened().load("s")
        assert found is not None
        assert (found.conversations, found.unread, found.seen, found.cursor) == ({}, {}, {}, None)

    def test_sessions_do_not_meet(self, opened: Open) -> None:
        """The same ids in two sessions are two things, and forgetting one leaves the other."""
        store = opened()
        for name in ("s", "t"):
            begun(store, name)
            store.journal(name, "me", name, [Unread(seq=1, raw={"of": name})])
            store.save_conversation(name, StoredConversation(id="c"))
        store.delete("s")
        found = opened().load("t")
        assert found is not None
        assert (found.cursor, found.unread[1].raw) == ("t", {"of": "t"})
        assert list(found.conversations) == ["c"]

    def test_one_owner_at_a_time_may_refresh(self, opened: Open) -> None:
        """A lease is refused to a second owner until it is given back or over; its owner may take it again."""
        one, two = opened(), opened()
        one.save_tokens("s", TOKENS)
        assert one.acquire("s", "refresh", "me", 100.0, 40.0) == "me"
        assert one.acquire("s", "refresh", "me", 110.0, 40.0) == "me"
        assert two.acquire("s", "refresh", "you", 149.9, 40.0) != "you"
        two.release("s", "refresh", "you")
        assert two.acquire("s", "refresh", "you", 149.9, 40.0) != "you"
        assert two.acquire("s", "refresh", "you", 150.0, 40.0) == "you"
        assert one.acquire("s", "refresh", "me", 151.0, 40.0) != "me"
        two.release("s", "refresh", "you")
        assert one.acquire("s", "refresh", "me", 152.0, 40.0) == "me"

    def test_leases_of_two_sessions_are_two(self, opened: Open) -> None:
        """A refresh of one session does not hold up another."""
        store = opened()
        for name in ("s", "t"):
            store.save_tokens(name, TOKENS)
        assert store.acquire("s", "refresh", "me", 100.0, 40.0) == "me"
        assert store.acquire("t", "refresh", "you", 100.0, 40.0) == "you"

    def test_a_lease_from_a_clock_that_ran_ahead_is_not_believed(self, opened: Open) -> None:
        """When the wall clock is set back by an hour, a session is not locked for that hour."""
        store = opened()
        store.save_tokens("s", TOKENS)
        assert store.acquire("s", "refresh", "me", 3700.0, 40.0) == "me"
        assert store.acquire("s", "refresh", "you", 100.0, 40.0) == "you"

    def test_the_two_rights_of_a_session_are_two(self, opened: Open) -> None:
        """An owner that polls does not hold up a refresh, nor the other way round; both go with the session."""
        store = opened()
        store.save_tokens("s", TOKENS)
        assert store.acquire("s", "poll", "me", 100.0, 60.0) == "me"
        assert store.acquire("s", "refresh", "you", 100.0, 60.0) == "you"
        assert store.acquire("s", "poll", "you", 100.0, 60.0) == "me"
        store.delete("s")
        store.save_tokens("s", TOKENS)
        assert store.acquire("s", "poll", "you", 100.0, 60.0) == "you"

    def test_only_its_owner_renews_a_right(self, opened: Open) -> None:
        """A right that was taken or given back meanwhile is lost; one that is merely over is not."""
        store = opened()
        store.save_tokens("s", TOKENS)
        assert not store.renew("s", "poll", "me", 100.0, 60.0)
        store.acquire("s", "poll", "me", 100.0, 60.0)
        assert store.renew("s", "poll", "me", 500.0, 60.0)
        assert store.acquire("s", "poll", "you", 559.0, 60.0) == "me"
        assert store.acquire("s", "poll", "you", 560.0, 60.0) == "you"
        assert not store.renew("s", "poll", "me", 561.0, 60.0)
        store.release("s", "poll", "you")
        assert not store.renew("s", "poll", "me", 562.0, 60.0)
        assert not store.renew("nobody", "poll", "me", 562.0, 60.0)

    def test_only_the_owner_of_the_right_to_poll_writes(self, opened: Open) -> None:
        """A journal or an acknowledgment of somebody else changes nothing and says so."""
        store = begun(opened())
        assert store.journal("s", "me", "1", [Unread(seq=1, raw={"id": "1"})])
        before = store.load("s")
        for other in ("you", ""):
            assert not store.journal("s", other, "2", [Unread(seq=1, raw={"id": "2"})])
            assert not store.acknowledge("s", other, "c", 1, "1", "mark")
        assert store.load("s") == before
        assert store.acknowledge("s", "me", "c", 1, "1", "mark")

    @pytest.mark.skipif(os.name != "posix", reason="elsewhere a process cannot be asked for without ending it")
    @pytest.mark.parametrize("right", ["poll", "refresh"])
    def test_a_right_of_a_killed_process_is_free_at_once(self, opened: Open, right: Right) -> None:
        """Nobody waits for a dead process of this machine; one that lives, or of another machine, is waited for."""
        store = opened()
        store.save_tokens("s", TOKENS)
        process = subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE)
        machine, _, chance = owner_name().split("/")
        owner = f"{machine}/{process.pid}/{chance}"
        assert store.acquire("s", right, owner, 100.0, 60.0) == owner
        assert store.acquire("s", right, "me", 100.0, 60.0) == owner
        process.kill()
        process.communicate()
        assert store.acquire("s", right, "me", 100.0, 60.0) == "me"
        elsewhere = f"elsewhere:1/{process.pid}/{chance}"
        store.release("s", right, "me")
        store.acquire("s", right, elsewhere, 100.0, 60.0)
        assert store.acquire("s", right, "me", 159.0, 60.0) == elsewhere

    def test_two_at_once_get_one_lease(self, opened: Open) -> None:
        """Of many that ask in the same moment, exactly one may refresh."""
        opened().save_tokens("s", TOKENS)
        stores = [opened() for _ in range(4)]
        start, won = threading.Barrier(4), list[int]()

        def race(number: int) -> None:
            start.wait()
            if stores[number].acquire("s", "refresh", f"owner-{number}", 100.0, 40.0) == f"owner-{number}":
                won.append(number)

        threads = [threading.Thread(target=race, args=(number,)) for number in range(4)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert len(won) == 1

    @pytest.mark.parametrize("odd", ["a\x00b", "æ", "'; DROP TABLE session; --", pytest.param("x" * 10_000, id="long")])
    def test_odd_names_from_the_service_are_kept(self, opened: Open, odd: str) -> None:
        """An id or cursor of any characters comes back as it was."""
        store = opened()
        begun(store)
        store.journal("s", "me", odd, [Unread(seq=1, raw={"id": odd})])
        store.acknowledge("s", "me", odd, 2, odd, "mark")
        found = opened().load("s")
        assert found is not None
        assert found.cursor == odd
        assert found.seen == {odd: [(odd, "mark")]}

    def test_tokens_of_a_session_that_is_gone_are_not_kept(self, opened: Open) -> None:
        """A refresh that lands after the session was forgotten does not bring its secrets back."""
        store = opened()
        store.save_tokens("s", TOKENS)
        store.delete("s")
        store.save_tokens("s", evolve(TOKENS, generation=TOKENS.generation + 1))
        assert store.load("s") is None

    def test_threads_may_share_a_store(self, opened: Open) -> None:
        """Writes from several threads all arrive."""
        store = opened()
        begun(store)

        def write(number: int) -> None:
            for n in range(20):
                store.journal("s", "me", None, [Unread(seq=number * 100 + n, raw={"n": n})])
                store.acknowledge("s", "me", "c", 1000, f"{number}-{n}", "mark")

        threads = [threading.Thread(target=write, args=(number,)) for number in range(4)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        found = store.load("s")
        assert found is not None
        assert len(found.unread) == 80
        assert len(found.seen["c"]) == 80
