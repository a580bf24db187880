"""One contract, two stores: what is kept, what is forgotten, and which owner has which right."""

from __future__ import annotations

import os
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from attrs import evolve

from forking import in_a_fork
from puzzel_chat._lease import owner_name
from puzzel_chat._models import Life, Secret
from puzzel_chat._sqlite import SQLiteStore
from puzzel_chat._store import MemoryStore, Right, Store, StoredConversation, Unread
from puzzel_chat._tokens import TokenSet

TOKENS = TokenSet(access=Secret("acc-1"), refresh=Secret("ref-1"), generation=1, ttl=600.0, obtained=1000.0)
SECRET = "s3cr3t-" * 5
Make = Callable[[], Store]


def begun(store: Store, *names: str) -> Store:
    """The store with sessions that "me" may poll."""
    for name in names or ("s",):
        store.save_tokens(name, TOKENS)
        store.acquire(name, "poll", "me", 100.0, 60.0)
    return store


@pytest.fixture(params=["memory", "sqlite"])
def make(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Make]:
    """Give the store under test; asked twice, the same file, or for memory the same store."""
    memory, files = MemoryStore(), list[SQLiteStore]()

    def opened() -> Store:
        if request.param == "memory":
            return memory
        files.append(SQLiteStore(tmp_path / "sessions.db"))
        return files[-1]

    yield opened
    for store in files:
        store.close()


def test_what_is_kept_comes_back(make: Make) -> None:
    """Tokens, cursor, conversations, unread items and marks are given as they were kept."""
    store = make()
    begun(store)
    talk = StoredConversation(id="c", request_id="r", life=Life.ENDING)
    store.save_conversation("s", talk)
    store.save_conversation("s", StoredConversation(id="d", life=Life.READ))
    raw = {"id": "1", "content": "Blåbærsyltetøy 🫐", "n": None, "nested": {"list": [1, 2.5, True]}}
    store.journal("s", "me", "cur", [Unread(seq=7, raw=raw), Unread(seq=8, raw={"id": "2"})])
    store.acknowledge("s", "me", "c", 8, "2", "1:mark")
    found = make().load("s")
    assert found is not None
    assert (found.id, found.tokens, found.cursor) == ("s", TOKENS, "cur")
    assert found.conversations == {"c": talk, "d": StoredConversation(id="d", life=Life.READ)}
    assert found.unread == {7: Unread(seq=7, raw=raw)}
    assert found.seen == {"c": [("2", "1:mark")]}


@pytest.mark.parametrize("life", Life)
def test_how_far_a_conversation_has_come_is_kept(make: Make, life: Life) -> None:
    """Each stage comes back as it was, in place of the one before."""
    store = begun(make())
    store.save_conversation("s", StoredConversation(id="c", life=Life.ASKED))
    store.save_conversation("s", StoredConversation(id="c", life=life))
    assert make().conversations("s") == {"c": StoredConversation(id="c", life=life)}


@pytest.mark.parametrize("before", Life)
@pytest.mark.parametrize("after", Life)
def test_the_life_of_a_conversation_never_goes_back(make: Make, before: Life, after: Life) -> None:
    """Whichever object writes last, the stage that is further stays, and the id that routing gave, too."""
    one, two = begun(make()), make()
    one.save_conversation("s", StoredConversation(id="c", request_id="r", life=before))
    two.save_conversation("s", StoredConversation(id="c", life=after))
    lives = list(Life)
    kept = lives[max(lives.index(before), lives.index(after))]
    assert make().conversations("s") == {"c": StoredConversation(id="c", request_id="r", life=kept)}


@pytest.mark.parametrize("life", Life)
def test_only_a_request_that_came_to_nothing_is_withdrawn(make: Make, life: Life) -> None:
    """A conversation that has come further stays, as do those beside it; what is not there is no error."""
    store = begun(make(), "s", "t")
    for session, name in (("s", "c"), ("s", "d"), ("t", "c")):
        store.save_conversation(session, StoredConversation(id=name, life=life if name == "c" else Life.ASKED))
    for session, name in (("s", "c"), ("s", "nothing"), ("nobody", "c")):
        store.withdraw(session, name)
    assert list(make().conversations("s")) == (["d"] if life is Life.ASKED else ["c", "d"])
    assert list(make().conversations("t")) == ["c"]


def test_sessions_are_told_with_whether_somebody_polls_them(make: Make) -> None:
    """In the order in which they began; a right that is over, or was given back, is nobody's."""
    store = make()
    assert store.sessions(100.0, 60.0) == {}
    for name in ("s", "q", "t", "over"):
        store.save_tokens(name, TOKENS)
    for name, when in (("s", 100.0), ("t", 100.0), ("over", 20.0)):
        store.acquire(name, "poll", "me", when, 60.0)
    store.acquire("q", "refresh", "me", 100.0, 60.0)
    store.release("t", "poll", "me")
    assert make().sessions(101.0, 60.0) == {"s": True, "q": False, "t": False, "over": False}
    assert list(make().sessions(101.0, 60.0)) == ["s", "q", "t", "over"]
    store.delete("s")
    assert list(make().sessions(101.0, 60.0)) == ["q", "t", "over"]


def test_tokens_that_come_back_hide_themselves(make: Make) -> None:
    """What is read is masked like what was written."""
    make().save_tokens("s", TOKENS)
    found = make().tokens("s")
    assert found == TOKENS
    assert "acc-1" not in repr(found)
    assert "ref-1" not in repr(found)


def test_the_visitor_is_kept_with_the_tokens(make: Make) -> None:
    """Who the service takes the customer for survives the process, is masked, and goes with a later generation."""
    make().save_tokens("s", evolve(TOKENS, visitor_id=Secret("ada-1815")))
    found = make().load("s")
    assert found is not None
    assert found.tokens.visitor_id == "ada-1815"
    for shown in (repr(found), repr(make().tokens("s")), repr(evolve(found.tokens, generation=2))):
        assert "ada-1815" not in shown
    make().save_tokens("s", evolve(TOKENS, generation=2, visitor_id=Secret("kari-1")))
    tokens = make().tokens("s")
    assert tokens is not None
    assert tokens.visitor_id == "kari-1"
    make().save_tokens("t", TOKENS)
    assert make().tokens("t") == TOKENS


def test_a_token_set_without_a_refresh_token_is_kept(make: Make) -> None:
    """None stays None."""
    make().save_tokens("s", evolve(TOKENS, refresh=None))
    found = make().tokens("s")
    assert found is not None
    assert found.refresh is None


def test_what_is_not_there_is_none(make: Make) -> None:
    """An unknown session is no error."""
    assert make().load("nobody") is None
    assert make().tokens("nobody") is None
    make().delete("nobody")
    make().release("nobody", "refresh", "me")


def test_an_older_generation_never_replaces_a_newer(make: Make) -> None:
    """Whoever writes last, the newest generation stays."""
    store = make()
    for generation, access in ((1, "first"), (3, "third"), (2, "late"), (3, "again")):
        store.save_tokens("s", evolve(TOKENS, generation=generation, access=Secret(access)))
    found = make().tokens("s")
    assert found is not None
    assert (found.generation, found.access) == (3, "third")


def test_new_tokens_leave_the_rest_as_it_is(make: Make) -> None:
    """A refresh touches neither the cursor nor the journal."""
    store = make()
    begun(store)
    store.journal("s", "me", "cur", [Unread(seq=1, raw={"id": "1"})])
    store.save_tokens("s", evolve(TOKENS, generation=2))
    found = store.load("s")
    assert found is not None
    assert (found.cursor, list(found.unread)) == ("cur", [1])


def test_the_order_of_unread_and_seen_is_kept(make: Make) -> None:
    """Items stay in the order of their numbers, marks in the order in which they were made."""
    store = make()
    begun(store)
    store.journal("s", "me", None, [Unread(seq=n, raw={"n": n}) for n in (1, 2, 10)])
    store.journal("s", "me", None, [Unread(seq=n, raw={"n": n}) for n in (11, 12)])
    for mark in ("b", "a", "c"):
        store.acknowledge("s", "me", "c", 99, "1", mark)
    found = make().load("s")
    assert found is not None
    assert list(found.unread) == [1, 2, 10, 11, 12]
    assert found.seen["c"] == [("1", "b"), ("1", "a"), ("1", "c")]


def test_what_was_seen_long_ago_is_forgotten(make: Make, monkeypatch: pytest.MonkeyPatch) -> None:
    """A chat without an end does not fill the store; each conversation keeps its newest marks, and its own."""
    for module in ("_store", "_sqlite"):
        monkeypatch.setattr(f"puzzel_chat.{module}.SEEN", 50)
    store = make()
    begun(store)
    store.acknowledge("s", "me", "quiet", 0, "only", "mark")
    for number in range(1000):
        store.acknowledge("s", "me", "busy", number, str(number), "mark")
    found = make().load("s")
    assert found is not None
    assert found.seen["quiet"] == [("only", "mark")]
    assert 50 <= len(found.seen["busy"]) < 50 + 256
    assert [int(item_id) for item_id, _ in found.seen["busy"]] == list(range(1000 - len(found.seen["busy"]), 1000))


def test_acknowledging_twice_is_remembered_once(make: Make) -> None:
    """A repeat changes nothing, so that memory stays bounded by what there was."""
    store = make()
    begun(store)
    for _ in range(3):
        store.acknowledge("s", "me", "c", 1, "1", "mark")
    found = store.load("s")
    assert found is not None
    assert found.seen == {"c": [("1", "mark")]}


def test_nothing_is_kept_for_a_session_that_is_gone(make: Make) -> None:
    """A poll that lands after the session was forgotten brings no words back into the store."""
    store = make()
    begun(store)
    store.delete("s")
    store.journal("s", "me", "cur", [Unread(seq=1, raw={"id": "1"})])
    store.acknowledge("s", "me", "c", 1, "1", "mark")
    store.save_conversation("s", StoredConversation(id="c"))
    assert store.load("s") is None
    store.save_tokens("s", TOKENS)
    found = make().load("s")
    assert found is not None
    assert (found.conversations, found.unread, found.seen, found.cursor) == ({}, {}, {}, None)


def test_sessions_do_not_meet(make: Make) -> None:
    """The same ids in two sessions are two things, and forgetting one leaves the other."""
    store = make()
    for name in ("s", "t"):
        begun(store, name)
        store.journal(name, "me", name, [Unread(seq=1, raw={"of": name})])
        store.save_conversation(name, StoredConversation(id="c"))
    store.delete("s")
    found = make().load("t")
    assert found is not None
    assert (found.cursor, found.unread[1].raw) == ("t", {"of": "t"})
    assert list(found.conversations) == ["c"]


def test_one_owner_at_a_time_may_refresh(make: Make) -> None:
    """A lease is refused to a second owner until it is given back or over; its owner may take it again."""
    one, two = make(), make()
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


def test_leases_of_two_sessions_are_two(make: Make) -> None:
    """A refresh of one session does not hold up another."""
    store = make()
    for name in ("s", "t"):
        store.save_tokens(name, TOKENS)
    assert store.acquire("s", "refresh", "me", 100.0, 40.0) == "me"
    assert store.acquire("t", "refresh", "you", 100.0, 40.0) == "you"


def test_a_lease_from_a_clock_that_ran_ahead_is_not_believed(make: Make) -> None:
    """When the wall clock is set back by an hour, a session is not locked for that hour."""
    store = make()
    store.save_tokens("s", TOKENS)
    assert store.acquire("s", "refresh", "me", 3700.0, 40.0) == "me"
    assert store.acquire("s", "refresh", "you", 100.0, 40.0) == "you"


def test_the_two_rights_of_a_session_are_two(make: Make) -> None:
    """An owner that polls does not hold up a refresh, nor the other way round; both go with the session."""
    store = make()
    store.save_tokens("s", TOKENS)
    assert store.acquire("s", "poll", "me", 100.0, 60.0) == "me"
    assert store.acquire("s", "refresh", "you", 100.0, 60.0) == "you"
    assert store.acquire("s", "poll", "you", 100.0, 60.0) == "me"
    store.delete("s")
    store.save_tokens("s", TOKENS)
    assert store.acquire("s", "poll", "you", 100.0, 60.0) == "you"


def test_only_its_owner_renews_a_right(make: Make) -> None:
    """A right that was taken or given back meanwhile is lost; one that is merely over is not."""
    store = make()
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


def test_only_the_owner_of_the_right_to_poll_writes(make: Make) -> None:
    """A journal or an acknowledgment of somebody else changes nothing and says so."""
    store = begun(make())
    assert store.journal("s", "me", "1", [Unread(seq=1, raw={"id": "1"})])
    before = store.load("s")
    for other in ("you", ""):
        assert not store.journal("s", other, "2", [Unread(seq=1, raw={"id": "2"})])
        assert not store.acknowledge("s", other, "c", 1, "1", "mark")
    assert store.load("s") == before
    assert store.acknowledge("s", "me", "c", 1, "1", "mark")


@pytest.mark.skipif(os.name != "posix", reason="elsewhere a process cannot be asked for without ending it")
@pytest.mark.parametrize("right", ["poll", "refresh"])
def test_a_right_of_a_killed_process_is_free_at_once(make: Make, right: Right) -> None:
    """Nobody waits for a process of this machine that lives no more; one that lives, or of elsewhere, is waited for."""
    store = make()
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


def test_two_at_once_get_one_lease(make: Make) -> None:
    """Of many that ask in the same moment, exactly one may refresh."""
    make().save_tokens("s", TOKENS)
    stores = [make() for _ in range(4)]
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


@pytest.mark.parametrize("odd", ["a\x00b", "æ", "'; DROP TABLE session; --", "x" * 10_000])
def test_odd_names_from_the_service_are_kept(make: Make, odd: str) -> None:
    """An id or cursor of any characters comes back as it was."""
    store = make()
    begun(store)
    store.journal("s", "me", odd, [Unread(seq=1, raw={"id": odd})])
    store.acknowledge("s", "me", odd, 2, odd, "mark")
    found = make().load("s")
    assert found is not None
    assert found.cursor == odd
    assert found.seen == {odd: [(odd, "mark")]}


def test_tokens_of_a_session_that_is_gone_are_not_kept(make: Make) -> None:
    """A refresh that lands after the session was forgotten does not bring its secrets back."""
    store = make()
    store.save_tokens("s", TOKENS)
    store.delete("s")
    store.save_tokens("s", evolve(TOKENS, generation=TOKENS.generation + 1))
    assert store.load("s") is None


def test_threads_may_share_a_store(make: Make) -> None:
    """Writes from several threads all arrive."""
    store = make()
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
