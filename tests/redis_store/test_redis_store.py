"""What `RedisStore` does beyond the contract: clocks, hints that heal, fail-over, encryption, damage, forks."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from typing import Any
from uuid import uuid4

import pytest
from attrs import evolve
from cryptography.fernet import Fernet
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from forking import in_a_fork
from puzzel_chat import Life, Secret, StoredConversation, StoredSession, StoreError, TokenSet, Unread
from puzzel_chat._owners import owner_name
from puzzel_chat._redis import RedisStore
from puzzel_chat._store import Store
from redis_server import RedisServer

from .conftest import Make

TOKENS = TokenSet(access=Secret("acc-1"), refresh=Secret("ref-1"), generation=1, ttl=600.0, obtained=1000.0)
WORDS = "Blåbærsyltetøy"
HOUR = 3600.0


def begun(store: RedisStore, *names: str, now: float = 100.0) -> RedisStore:
    """The store with sessions of one conversation each, `c` and its name, that "me" may poll."""
    for name in names or ("s",):
        store.save_tokens(name, TOKENS)
        store.save_conversation(name, StoredConversation(id=f"c{name}"))
        store.acquire(name, "poll", "me", now, 12.0)
    return store


@pytest.mark.parametrize("name", [name for name in vars(Store) if not name.startswith("_")])
def test_it_has_every_method_of_the_contract(name: str, server: RedisServer) -> None:
    """Names and annotations are those of the protocol."""
    twin = type(RedisStore(server.url).awaiting())
    for kind in (RedisStore, twin):
        assert getattr(kind, name).__annotations__ == getattr(Store, name).__annotations__


@pytest.mark.parametrize(("take_over", "lease"), [(15.0, RedisStore.lease), (60, 40.0), (1, 1 / 1.5)])
def test_a_lease_ends_in_time_for_a_take_over(server: RedisServer, take_over: float, lease: float) -> None:
    """It leaves a third of the time for noticing; both kinds say so."""
    store = RedisStore(server.url, take_over=take_over)
    twin: Any = store.awaiting()
    assert store.remote
    assert (twin.lease, twin.remote) == (store.lease, True)
    assert store.lease == lease
    assert RedisStore(server.url).lease == 10.0


@pytest.mark.parametrize("wrong", [HOUR, -HOUR], ids=["ahead", "behind"])
def test_clocks_of_two_machines_may_differ_by_an_hour(
    server: RedisServer, make: Make, wrong: float, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A lease lasts as long as it was given for, whoever's clock it was given by, and whoever asks."""
    mine, other = begun(make(server), now=time.time()), make(server)

    def elsewhere(act: Callable[[float], Any], after: float = 0.0) -> Any:
        with monkeypatch.context() as there:
            there.setattr("puzzel_chat._redis.time", lambda: time.time() + wrong)
            return act(time.time() + wrong + after)

    assert elsewhere(lambda now: other.acquire("s", "poll", "you", now, 12.0)) == "me"
    assert elsewhere(lambda now: other.sessions(now, 12.0)) == {"s": True}
    assert elsewhere(lambda now: other.unpolled(now, 12.0, 9)) == []
    assert elsewhere(lambda now: other.unpolled(now, 12.0, 9), after=13.0) == ["s"]
    assert elsewhere(lambda now: other.acquire("s", "poll", "you", now, 12.0), after=13.0) == "you"
    assert mine.acquire("s", "poll", "me", time.time() + 14.0, 12.0) == "you"
    assert not mine.renew("s", "poll", "me", time.time() + 14.0, 12.0)
    assert mine.sessions(time.time() + 14.0, 12.0) == {"s": True}
    assert elsewhere(lambda now: other.renew("s", "poll", "you", now, 12.0), after=15.0)
    assert mine.acquire("s", "poll", "me", time.time() + 25.0, 12.0) == "you"
    assert mine.acquire("s", "poll", "me", time.time() + 28.0, 12.0) == "me"


def test_leases_of_two_lengths_may_meet(server: RedisServer, make: Make) -> None:
    """One of a minute is no lease from a clock that ran ahead, for somebody who asks for twelve seconds."""
    store = begun(make(server))
    store.acquire("s", "poll", "me", 100.0, 60.0)
    assert store.acquire("s", "poll", "you", 101.0, 12.0) == "me"
    assert store.unpolled(101.0, 12.0, 9) == []
    assert store.acquire("s", "poll", "you", 160.0, 12.0) == "you"


def test_a_lease_longer_than_any_of_ours_holds_nobody_up(server: RedisServer, make: Make) -> None:
    """A look ends, and finds the others, also when one session is in the way each time."""
    store = begun(make(server), "s", "t")
    store.acquire("s", "poll", "me", 100.0, 500.0)
    assert store.unpolled(112.0, 12.0, 1) == ["t"]


def keys_of(server: RedisServer, store: RedisStore) -> list[bytes]:
    """All keys under the store's prefix."""
    with server.client() as inside:
        return sorted(inside.scan_iter(f"{store._plans.prefix}:*"))


def test_what_nobody_touches_goes_away_by_itself(server: RedisServer, make: Make) -> None:
    """Every key that holds tokens, words or ids of a chat has a time to live, which each write and renewal prolongs."""
    store = begun(make(server, ttl=1000))
    store.journal("s", "me", None, [Unread(seq=1, raw={"n": 1}), Unread(seq=2, raw={"n": 2})])
    store.acknowledge("s", "me", "c", 2, "2", "mark")
    index = f"{store._plans.prefix}:{{index}}:"
    mine = [one for one in keys_of(server, store) if not one.decode().startswith(index)]
    assert len(mine) == 5
    with server.client() as inside:
        assert all(900 < inside.ttl(one) <= 1000 for one in mine)
        for one in mine:
            inside.expire(one, 50)
        # The conversation's key is prolonged when a quarter of the time is over.
        assert store.renew("s", "poll", "me", 100.0 + 260, 12.0)
        assert all(900 < inside.ttl(one) <= 1000 for one in mine)


def test_a_deleted_session_leaves_nothing(server: RedisServer, make: Make) -> None:
    """No key of it, but for the hint that leads to its conversation."""
    store = begun(make(server))
    store.journal("s", "me", None, [Unread(seq=1, raw={"content": WORDS})])
    store.acknowledge("s", "me", "c", 2, "2", "mark")
    store.delete("s")
    left = {one.decode().removeprefix(store._plans.prefix) for one in keys_of(server, store)}
    assert left == {":{index}:began", ":{index}:on:", ":{cs}:in"}
    assert store.find("cs") is None


def test_hints_that_were_lost_come_back(server: RedisServer, make: Make) -> None:
    """Whoever polls writes them again, so that after its death the session is found; a chat is found again, too."""
    store = begun(make(server), "s", "t")
    lost = [one for one in keys_of(server, store) if b"{index}" in one or one.endswith(b":in")]
    with server.client() as inside:
        inside.delete(*lost)
    assert (store.sessions(101.0, 12.0), store.unpolled(200.0, 12.0, 9), store.find("cs")) == ({}, [], None)
    for name in ("s", "t"):
        assert store.renew(name, "poll", "me", 100.0 + 30_000, 12.0)
    assert store.sessions(30_101.0, 12.0) == {"s": True, "t": True}
    assert store.unpolled(30_101.0, 12.0, 9) == []
    assert store.unpolled(30_200.0, 12.0, 9) == ["s", "t"]
    assert store.find("cs") == "s"


def test_hints_to_nothing_go_away(server: RedisServer, make: Make) -> None:
    """A session whose keys are gone is not listed, and its hints are taken back by whoever meets them."""
    store = begun(make(server), "s", "t")
    with server.client() as inside:
        inside.delete(*(one for one in keys_of(server, store) if b"{s}" in one))
        assert store.unpolled(200.0, 12.0, 9) == ["t"]
        assert inside.zrange(f"{store._plans.prefix}:{{index}}:polled", 0, -1) == [b"t"]
        inside.delete(*(one for one in keys_of(server, store) if b"{t}" in one))
        assert store.sessions(101.0, 12.0) == {}
        assert inside.zcard(f"{store._plans.prefix}:{{index}}:order") == 0


def test_a_refused_renewal_hides_nothing(server: RedisServer, make: Make) -> None:
    """A late renewal of one that lost the right does not make others believe that the session is polled."""
    store = begun(make(server))
    store.release("s", "poll", "me")
    assert not store.renew("s", "poll", "me", 105.0, 12.0)
    assert store.unpolled(106.0, 12.0, 9) == ["s"]
    store.acquire("s", "poll", "you", 106.0, 12.0)
    assert store.acquire("s", "poll", "me", 110.0, 12.0) == "you"
    assert store.unpolled(118.5, 12.0, 9) == ["s"]


def whole(session_id: str = "s") -> StoredSession:
    """A session as its owner knows it."""
    return StoredSession(
        id=session_id,
        tokens=evolve(TOKENS, generation=3),
        cursor="cur",
        conversations={"c": StoredConversation(id="c", request_id="r", life=Life.ENDING)},
        unread={7: Unread(seq=7, conversation_id="c", raw={"content": WORDS})},
        seen={"c": [("1", "a"), ("2", "b")]},
    )


def test_a_session_that_the_server_lost_is_put_back(server: RedisServer, make: Make) -> None:
    """Whole, with the right to poll, and found by its conversation."""
    store = make(server)
    assert store.put_back(whole(), "me", 100.0, 12.0)
    assert store.load("s") == whole()
    assert store.acquire("s", "poll", "you", 101.0, 12.0) == "me"
    assert (store.find("c"), store.sessions(101.0, 12.0)) == ("s", {"s": True})
    assert store.unpolled(113.0, 12.0, 9) == ["s"]


def test_what_the_server_knows_better_is_kept_by_a_put_back(server: RedisServer, make: Make) -> None:
    """Newer tokens, a life that is further, and marks; the journal and the cursor are the owner's."""
    store = begun(make(server))
    store.save_tokens("s", evolve(TOKENS, generation=4))
    store.save_conversation("s", StoredConversation(id="c", life=Life.READ))
    store.journal("s", "me", "old", [Unread(seq=n, conversation_id="c", raw={"n": n}) for n in (5, 7)])
    store.acknowledge("s", "me", "c", 6, "0", "z")
    assert store.put_back(whole(), "me", 105.0, 12.0)
    found = store.load("s")
    assert found is not None
    assert (found.tokens.generation, found.cursor, found.unread) == (4, "cur", whole().unread)
    assert found.conversations["c"] == StoredConversation(id="c", request_id="r", life=Life.READ)
    assert found.conversations["cs"] == StoredConversation(id="cs")
    assert found.seen == {"c": [("0", "z"), ("1", "a"), ("2", "b")]}
    assert store.acquire("s", "poll", "you", 116.0, 12.0) == "me"


def test_only_the_owner_puts_back(server: RedisServer, make: Make) -> None:
    """A session that another has taken up meanwhile, or that nobody polls, is left as it is."""
    store = begun(make(server))
    before = store.load("s")
    assert not store.put_back(whole(), "you", 105.0, 12.0)
    assert store.load("s") == before
    assert store.acquire("s", "poll", "you", 105.0, 12.0) == "me"
    store.release("s", "poll", "me")
    assert not store.put_back(whole(), "me", 105.0, 12.0)
    assert store.unpolled(105.0, 12.0, 9) == ["s"]


def test_a_put_back_leaves_nothing_out_of_a_long_chat(server: RedisServer, make: Make) -> None:
    """Thousands of marks and unread items go in one step."""
    store = make(server)
    seen = [(str(n), "mark") for n in range(16_384)]
    unread = {n: Unread(seq=n, raw={"n": n}) for n in range(5000)}
    long = evolve(whole(), seen={"c": seen}, unread=unread)
    assert store.put_back(long, "me", 100.0, 12.0)
    assert store.load("s") == long


def test_what_was_seen_long_ago_is_forgotten(server: RedisServer, make: Make, monkeypatch: pytest.MonkeyPatch) -> None:
    """Each conversation keeps its newest marks, and its own."""
    monkeypatch.setattr("puzzel_chat._redis_plans.SEEN", 50)
    store = begun(make(server))
    store.acknowledge("s", "me", "quiet", 0, "only", "mark")
    for number in range(1000):
        store.acknowledge("s", "me", "busy", number, str(number), "mark")
    found = store.load("s")
    assert found is not None
    assert found.seen["quiet"] == [("only", "mark")]
    assert 50 <= len(found.seen["busy"]) < 50 + 256
    assert [int(item_id) for item_id, _ in found.seen["busy"]] == list(range(1000 - len(found.seen["busy"]), 1000))


def everything(server: RedisServer, store: RedisStore) -> bytes:
    """All that stands under the store's prefix, as the server would write it to a disk."""
    found = b""
    with server.client() as inside:
        for key in keys_of(server, store):
            kind = inside.type(key)
            rows: Any = inside.hgetall(key) if kind == b"hash" else kind
            found += key + repr(rows).encode()
    return found


def test_with_keys_no_token_and_no_word_can_be_read_in_the_server(server: RedisServer, make: Make) -> None:
    """Neither where they are kept nor in the commands; without keys they can, so that the test sees something."""
    for keys, readable in (([], True), ([Fernet.generate_key()], False)):
        store = begun(make(server, encryption_keys=keys, prefix=f"sealed-{uuid4().hex}"))
        store.journal("s", "me", None, [Unread(seq=1, raw={"content": "secret words"})])
        kept = everything(server, store)
        assert [one in kept for one in (b"acc-1", b"ref-1", b"secret words")] == [readable] * 3


def test_keys_are_changed_one_after_the_other(server: RedisServer, make: Make) -> None:
    """The first writes, each reads; what only a dropped key opens is told, as damaged and without a word of it."""
    old, new = Fernet.generate_key(), Fernet.generate_key().decode()
    first = begun(make(server, encryption_keys=[old]), "s", "t")
    first.journal("s", "me", None, [Unread(seq=1, raw={"content": WORDS})])
    both = make(server, encryption_keys=[new, old])
    assert both.tokens("s") == TOKENS
    both.save_tokens("s", evolve(TOKENS, generation=2))
    both.journal("s", "me", None, [Unread(seq=2, raw={"n": 2})])
    only = make(server, encryption_keys=new)
    found = only.load("s")
    assert found is not None
    assert found.tokens.generation == 2
    assert [found.unread[seq].raw for seq in (1, 2)] == ["an item that no encryption key opens", {"n": 2}]
    unlocked = make(server)
    for reader in (only, unlocked):
        with pytest.raises(StoreError, match="tokens of session t that cannot be read: they are damaged, or encrypted"):
            reader.load("t")


ODD = [b"", b"{}", b"[]", b"null", b"[1", b"\xff\xfe", b"9" * 5000]
FIELDS = ["tokens", "generation", "cursor", "poll_owner", "poll_until", "poll_length", "began", "cs", "1"]


@settings(max_examples=60, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    which=st.sampled_from(["session", "conversations", "unread", "seen"]),
    name=st.one_of(st.sampled_from(FIELDS), st.text(max_size=5)),
    value=st.one_of(st.binary(max_size=40), st.sampled_from(ODD)),
    keys=st.sampled_from([(), (Fernet.generate_key(),)]),
)
def test_damaged_values_are_gone_around_or_told(
    server: RedisServer, which: str, name: str, value: bytes, keys: tuple[bytes, ...]
) -> None:
    """Whatever anybody wrote there, each method does its work or raises our error."""
    store = begun(RedisStore(server.url, prefix=f"damage-{uuid4().hex}", encryption_keys=keys))
    store.journal("s", "me", "cur", [Unread(seq=1, raw={"n": 1})])
    key = f"{store._plans.prefix}:{{s}}:{which}"
    with server.client() as inside:
        if which == "seen":
            inside.zadd(key, {value: 3})
        else:
            inside.hset(key, name.encode("utf-8", "replace"), value)
    for use in (
        lambda: store.load("s"),
        lambda: store.tokens("s"),
        lambda: store.conversations("s"),
        lambda: store.sessions(101.0, 12.0),
        lambda: store.unpolled(200.0, 12.0, 9),
        lambda: store.find("cs"),
        lambda: store.save_conversation("s", StoredConversation(id="cs", life=Life.READ)),
        lambda: store.withdraw("s", "cs"),
        lambda: store.journal("s", "me", "2", [Unread(seq=2, raw={})]),
        lambda: store.acknowledge("s", "me", "cs", 1, "1", "mark"),
        lambda: store.renew("s", "poll", "me", 102.0, 12.0),
        lambda: store.acquire("s", "poll", "me", 103.0, 12.0),
        lambda: store.put_back(whole(), "me", 103.0, 12.0),
        lambda: store.save_tokens("s", evolve(TOKENS, generation=9)),
        lambda: store.release("s", "poll", "me"),
        lambda: store.delete("s"),
    ):
        told = "The session store at 127.0.0.1"
        try:
            use()
        except StoreError as error:
            told = str(error)
        assert told.startswith("The session store at 127.0.0.1")
    store.close()


@pytest.mark.parametrize("which", ["session", "conversations", "unread", "seen"])
@pytest.mark.parametrize("kind", ["text", "list"])
def test_a_key_of_another_kind_is_told(server: RedisServer, make: Make, which: str, kind: str) -> None:
    """A session of which a key holds something else cannot be loaded, and can be deleted."""
    store = begun(make(server), "s", "t")
    key = f"{store._plans.prefix}:{{s}}:{which}"
    with server.client() as inside:
        inside.delete(key)
        inside.set(key, WORDS) if kind == "text" else inside.rpush(key, WORDS)
    with pytest.raises(StoreError, match="Choose another prefix"):
        store.load("s")
    assert store.tokens("t") == TOKENS


def test_a_worker_that_wrote_nonsense_is_passed_over(server: RedisServer, make: Make) -> None:
    """Rows of another version, too."""
    store = make(server)
    with server.client() as inside:
        for n, row in enumerate(["", "x", "1e99 ", "1e99 {}", "1e99 [", f"1e99 {json.dumps({'name': 5})}", "\xff"]):
            inside.hset(f"{store._plans.prefix}:{{index}}:workers", str(n), row)
    assert store.workers(100.0) == []


def test_two_processes_take_turns(server: RedisServer, make: Make) -> None:
    """What one process wrote the other reads; a right of one that was killed is found free at once."""
    store = make(server)
    lines = (
        "import sys",
        "from puzzel_chat import RedisStore, StoredConversation, TokenSet, Unread",
        "from puzzel_chat._owners import owner_name",
        f"store = RedisStore({server.url!r}, prefix={store._plans.prefix!r})",
        "store.save_tokens('s', TokenSet(access='acc-1', refresh='ref-1', ttl=600.0, obtained=1000.0))",
        "store.save_conversation('s', StoredConversation(id='c'))",
        "me = owner_name()",
        "assert store.acquire('s', 'poll', me, 100.0, 12.0) == me",
        "assert store.journal('s', me, 'cur', [Unread(seq=1, conversation_id='c', raw={'n': 1})])",
        "print('ready', flush=True)",
        "sys.stdin.read()",
    )
    with subprocess.Popen(
        [sys.executable, "-c", "\n".join(lines)], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == "ready\n"
        assert store.unpolled(101.0, 12.0, 9) == []
        assert store.acquire("s", "poll", "me", 101.0, 12.0) != "me"
        process.kill()
    assert store.unpolled(101.0, 12.0, 9) == ["s"]
    assert store.sessions(101.0, 12.0) == {"s": False}
    assert store.acquire("s", "poll", "me", 101.0, 12.0) == "me"
    found = store.load("s")
    assert found is not None
    assert (found.tokens, found.cursor, found.unread[1].raw) == (TOKENS, "cur", {"n": 1})


def test_of_two_that_see_a_dead_process_one_gets_its_session(
    server: RedisServer, make: Make, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The server gives it to whoever asks first, and only as long as it is still the dead one's."""
    store, other = begun(make(server)), make(server)
    process = subprocess.Popen([sys.executable, "-c", ""])
    process.wait()
    machine = owner_name().partition("/")[0]
    dead = f"{machine}/{process.pid}/{'0' * 32}"
    store.release("s", "poll", "me")
    assert store.acquire("s", "poll", dead, 100.0, 12.0) == dead
    real = store._round

    def meanwhile(calls: list[Any]) -> list[Any]:
        replies = real(calls)
        monkeypatch.undo()
        assert other.acquire("s", "poll", "you", 101.0, 12.0) == "you"
        return replies

    monkeypatch.setattr(store, "_round", meanwhile)
    assert store.acquire("s", "poll", "me", 101.0, 12.0) == "you"


def test_a_forked_process_connects_for_itself(server: RedisServer, make: Make) -> None:
    """Parent and child share no socket: both go on, also after the child closed its store."""
    store = begun(make(server))
    with server.client() as inside:
        before = {one["id"] for one in inside.client_list()}

        def work() -> None:
            for _ in range(50):
                assert store.tokens("s") == TOKENS
            fresh = {one["id"] for one in inside.client_list()} - before
            assert len(fresh) >= 1
            store.close()

        stop = threading.Event()

        def use() -> None:
            while not stop.is_set():
                assert store.tokens("s") == TOKENS

        thread = threading.Thread(target=use)
        thread.start()
        try:
            assert [in_a_fork(work) for _ in range(3)] == [0, 0, 0]
        finally:
            stop.set()
            thread.join()
        assert store.tokens("s") == TOKENS


def test_nothing_secret_is_shown(server: RedisServer, make: Make, caplog: pytest.LogCaptureFixture) -> None:
    """Not in a repr of the store or of what it is made of, not in the log."""
    key = Fernet.generate_key()
    url = f"redis://:s3cr3t@127.0.0.1:{server.port}"
    store = RedisStore(url, encryption_keys=[key])
    with caplog.at_level("DEBUG"), pytest.raises(StoreError):
        store.save_tokens("s", TOKENS)
    shown = [repr(one) for one in (store, store.awaiting(), store._plans, store._server)]
    for text in (*shown, caplog.text):
        assert not any(secret in text for secret in ("s3cr3t", key.decode(), "acc-1", "ref-1"))


@pytest.mark.skipif(os.name != "posix", reason="a socket in a folder")
def test_a_socket_in_a_folder_serves_too(serve: Callable[..., RedisServer], make: Make, tmp_path: Any) -> None:
    """`unix://` names it, with the same errors."""
    path = f"/tmp/{uuid4().hex}.sock"
    serve(f"--unixsocket {path}")
    store = begun(make(f"unix://{path}"))
    assert store.tokens("s") == TOKENS
    assert repr(store) == f"RedisStore({path!r})"
    with pytest.raises(StoreError, match=rf"The session store at {path}x could not be reached"):
        make(f"unix://{path}x").tokens("s")
