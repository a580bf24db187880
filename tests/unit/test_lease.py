"""The mail of a session: one owner at a time, and a chat that goes on while its store does not take what comes."""

from __future__ import annotations

import gc
import resource
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from puzzel_chat import PuzzelChat
from puzzel_chat._errors import SessionError, SessionInUse, SessionNotFound, StoreError
from puzzel_chat._lease import LEASE
from puzzel_chat._models import Life, Secret
from puzzel_chat._refresh import Refresh
from puzzel_chat._settings import Settings
from puzzel_chat._sqlite import SQLiteStore
from puzzel_chat._steps import Parts
from puzzel_chat._store import MemoryStore, Store
from puzzel_chat._tokens import TokenSet
from puzzel_chat._transport import Transport
from puzzel_chat._wire.replies import Poll, event
from puzzel_chat.testing import VirtualTime
from scripted import Plain, blocking, done, store_of

SETTINGS = Settings(base_url="https://chat.example", solution_id="7")


@pytest.fixture(params=["memory", "sqlite"])
def parts(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Parts]:
    """What an application has, with either store."""
    store: Store = MemoryStore() if request.param == "memory" else SQLiteStore(tmp_path / "sessions.db")
    yield Parts(SETTINGS, store, VirtualTime())
    store.close()


@pytest.fixture
def file(tmp_path: Path) -> Iterator[SQLiteStore]:
    """A store whose disk can be filled."""
    store = SQLiteStore(tmp_path / "sessions.db")
    yield store
    store.close()


def opened(parts: Parts) -> Plain:
    """A session with one routed chat."""
    now = parts.clock.now()
    tokens = TokenSet(access=Secret("a1"), refresh=Secret("r1"), obtained=now.wall)
    state = Plain.opened("s", parts, tokens, now)
    state.routed("a", None)
    state.inbox("a")
    return state


def advance(parts: Parts, seconds: float) -> None:
    """Let time pass."""
    assert isinstance(parts.clock, VirtualTime)
    parts.clock.advance(seconds)


def poll(*numbers: int, size: int = 1) -> Poll:
    """A poll's result: lines of text with these numbers."""
    common = {"type": "Text", "conversationId": "a", "version": 1, "sentAt": "2026-11-23T12:00:00Z"}
    return Poll(tuple(event({**common, "id": str(number), "content": "x" * size}) for number in numbers), None)


def taken(state: Plain) -> list[str]:
    """The ids that a caller gets until nothing waits."""
    found = []
    while (one := state.take(state.inbox("a"))) is not None:
        found.append(one.id)
    return found


def test_a_second_object_does_not_get_the_mail(parts: Parts) -> None:
    """Whoever resumes what another object has is told so, and what to do; once that one is closed it works."""
    first = opened(parts)
    with pytest.raises(SessionInUse, match=r"another session object of this process.*shared=True") as raised:
        Plain.restored(parts, "s")
    assert raised.value.retryable
    first.close()
    Plain.restored(parts, "s").check_lease()


def test_an_object_that_nobody_holds_gives_the_mail_back(parts: Parts) -> None:
    """A session object that was thrown away stands in nobody's way."""
    transport = Transport(SETTINGS)
    session = blocking(opened(parts).state, transport)
    del session
    gc.collect()
    Plain.restored(parts, "s").check_lease()
    transport.close()


def test_a_failed_resume_takes_nothing(parts: Parts) -> None:
    """An unknown id is no session in use the second time."""
    for _ in range(2):
        with pytest.raises(SessionNotFound):
            Plain.restored(parts, "nobody")


def test_a_shared_object_has_no_mail_and_forgets_nothing(parts: Parts) -> None:
    """It gets no event, refuses to poll, and its close leaves the session to its owner, ended chats or not."""
    owner = opened(parts)
    owner.polled(poll(1))
    shared = Plain.restored(parts, "s", shared=True)
    assert list(shared.conversations) == ["a"]
    with pytest.raises(SessionInUse, match="shared=True"):
        shared.check_lease()
    shared.ended("a")
    shared.close()
    assert store_of(parts).load("s") is not None
    assert taken(owner) == ["1"]


def test_a_shared_object_that_ends_a_chat_does_not_undo_that_its_end_was_read(parts: Parts) -> None:
    """Its end comes late: what the owner has read to the end stays so, also for the next process."""
    owner = opened(parts)
    shared = Plain.restored(parts, "s", shared=True)
    end = {"type": "Event", "event": "ConversationEnded", "endedBy": 1, "id": "e", "conversationId": "a", "version": 1}
    owner.polled(Poll((event(end),), None))
    assert taken(owner) == ["e"]
    assert store_of(parts).conversations("s")["a"].life is Life.READ
    shared.ended("a")
    assert store_of(parts).conversations("s")["a"].life is Life.READ
    advance(parts, LEASE)
    assert Plain.restored(parts, "s").inbox("a").life is Life.READ


def test_a_chat_that_is_written_down_late_is_written(file: SQLiteStore) -> None:
    """How far a chat has come is kept while the store fails, and written with what comes next."""
    state = opened(Parts(SETTINGS, file, VirtualTime()))
    state.asked("b")
    with full(file, "files"):
        state.routed("b", "r")
        state.ended("b")
        assert file.conversations("s")["b"].life is Life.ASKED
    state.polled(poll(1))
    assert (file.conversations("s")["b"].life, file.conversations("s")["b"].request_id) == (Life.ENDING, "r")


def test_what_another_object_routed_is_known(parts: Parts) -> None:
    """A chat that was routed by a process that shares the session can be ended by the others."""
    owner = opened(parts)
    Plain.restored(parts, "s", shared=True).routed("b", None)
    assert owner.may_be_routed("a")
    assert owner.may_be_routed("b")
    assert not owner.may_be_routed("c")


def test_an_owner_that_calls_keeps_the_mail(parts: Parts) -> None:
    """Its right is renewed with its calls, so that an hour of quiet polls is no end."""
    owner = opened(parts)
    for _ in range(120):
        advance(parts, LEASE / 2)
        owner.check_lease()
        with pytest.raises(SessionInUse):
            Plain.restored(parts, "s")


@pytest.mark.parametrize("step", [-3600.0, 3600.0])
def test_a_clock_that_is_set_costs_nobody_the_mail(parts: Parts, step: float) -> None:
    """With its next call after a step of the wall clock the owner's right stands on the new time."""
    owner = opened(parts)
    assert isinstance(parts.clock, VirtualTime)
    parts.clock._seconds += step
    owner.check_lease()
    with pytest.raises(SessionInUse):
        Plain.restored(parts, "s")


def test_a_quiet_owner_may_go_on_when_nobody_came(parts: Parts) -> None:
    """A right that is over, and that nobody took, is still the owner's."""
    owner = opened(parts)
    advance(parts, 10 * LEASE)
    owner.check_lease()
    owner.polled(poll(1))
    assert taken(owner) == ["1"]


def test_a_suspended_owner_writes_nothing_more(parts: Parts) -> None:
    """After a pause in which another took the session up, nothing is told twice, crossed out or renumbered."""
    old = opened(parts)
    old.polled(poll(1, 2))
    assert old.take(old.inbox("a")) is not None
    advance(parts, LEASE)
    new = Plain.restored(parts, "s")
    new.polled(poll(3))
    before = store_of(parts).load("s")
    with pytest.raises(SessionInUse, match="another one took the session up"):
        old.polled(poll(3, 4))
    old.lease.acknowledge("a", 1, "1", "mark")
    for call in (old.check_lease, old.catch_up):
        with pytest.raises(SessionInUse):
            call()
    old.close()
    assert store_of(parts).load("s") == before
    assert taken(new) == ["1", "2", "3"]


def test_a_suspended_owner_does_not_take_back_what_was_given_back(parts: Parts) -> None:
    """Though nobody has the mail any more, an owner that lost it knows too little to go on."""
    old = opened(parts)
    old.polled(poll(1))
    advance(parts, LEASE)
    new = Plain.restored(parts, "s")
    assert taken(new) == ["1"]
    new.close()
    with pytest.raises(SessionInUse):
        old.check_lease()
    assert taken(Plain.restored(parts, "s")) == []


def test_a_closed_session_gives_out_nothing(parts: Parts) -> None:
    """What waited when it was closed is for whoever resumes it."""
    first = opened(parts)
    first.polled(poll(1, 2))
    assert first.take(first.inbox("a")) is not None
    first.close()
    assert first.take(first.inbox("a")) is None
    assert first.acknowledge_all() is False
    assert taken(Plain.restored(parts, "s")) == ["1", "2"]


@contextmanager
def full(store: SQLiteStore, how: str) -> Iterator[None]:
    """Let the disk be full: the database may not grow, or no file may."""
    assert store._db is not None
    (pages,) = store._db.execute("PRAGMA page_count").fetchone()
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    if how == "database":
        store._db.execute(f"PRAGMA max_page_count={pages}")
    else:
        resource.setrlimit(resource.RLIMIT_FSIZE, (1, before[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)
        store._db.execute("PRAGMA max_page_count=1000000")


@pytest.mark.parametrize("how", ["database", "files"])
def test_a_full_disk_is_told_once_and_the_chat_goes_on(file: SQLiteStore, how: str) -> None:
    """The reader hears of it before it gets what a crash would lose; with space again, all of it is written."""
    parts = Parts(SETTINGS, file, VirtualTime())
    state = opened(parts)
    with full(file, how):
        state.polled(poll(1, size=50_000))
        with pytest.raises(StoreError, match="What came is not lost: call again"):
            state.take(state.inbox("a"))
        state.polled(poll(2, 3, size=50_000))
        assert [state.take(state.inbox("a")).id for _ in range(2)] == ["1", "2"]
    state.polled(poll(4))
    advance(parts, LEASE)
    again = Plain.restored(parts, "s")
    assert taken(again) == ["2", "3", "4"]
    assert [mark[0] for mark in file.load("s").seen["a"]] == ["1", "2", "3", "4"]  # type: ignore[union-attr]


def test_each_reader_hears_of_a_failing_store(file: SQLiteStore) -> None:
    """Readers of single chats and a reader of them all are told once each, and again when it fails again."""
    state = opened(Parts(SETTINGS, file, VirtualTime()))
    for turn in (10, 20):
        with full(file, "database"):
            state.polled(poll(turn, size=turn * 10_000))
            state.polled(poll(turn + 1, size=turn * 10_000))
            with pytest.raises(StoreError):
                state.take(state.inbox("a"))
            with pytest.raises(StoreError):
                state.acknowledge_all()
            state.take_all()
        state.acknowledge_all()
        state.polled(poll(turn + 2))
        assert [one.id for one in state.take_all()] == [str(turn + 2)]


def test_no_session_begins_that_cannot_be_kept(file: SQLiteStore) -> None:
    """On a full disk, opening a session fails at once and clearly."""
    with full(file, "files"), pytest.raises(StoreError, match="Check the disk"):
        opened(Parts(SETTINGS, file, VirtualTime()))


def test_a_token_is_refreshed_without_the_store(file: SQLiteStore) -> None:
    """A store that fails does not end the chat when its token does: the refresh goes on without asking it."""
    parts = Parts(SETTINGS, file, VirtualTime())
    refresh = Refresh.begun(opened(parts).keeper, "me")
    file.close()
    assert done(refresh.acquire(), parts)
    assert done(refresh.newer_in_store(), parts) is None
    done(refresh.settle(refresh.present), parts)


def test_a_damaged_file_is_told_and_the_chat_goes_on(file: SQLiteStore) -> None:
    """A page that was overwritten in a running chat costs the crash safety, not the chat."""
    state = opened(Parts(SETTINGS, file, VirtualTime()))
    state.polled(poll(*range(200), size=400))
    assert file._db is not None
    file._db.execute("PRAGMA wal_checkpoint(TRUNCATE)")
    size = file.path.stat().st_size
    with file.path.open("r+b") as raw:
        raw.seek(4096)
        raw.write(b"\xff" * (size - 4096))
    file._db.execute("PRAGMA cache_size=0")
    with pytest.raises(StoreError, match="damaged"):
        taken(state)
    assert taken(state)[-1] == "199"
    state.close()


def test_a_closed_application_still_says_closed(parts: Parts) -> None:
    """After `close` a call says that the session was closed, not that it is another's."""
    with PuzzelChat("https://chat.invalid", "7", store=parts.store) as chat:
        opened(parts).close()
        session = chat.resume("s")
        session.close()
        with pytest.raises(SessionError, match="closed here") as raised:
            session.poll()
    assert not isinstance(raised.value, SessionInUse)
