"""The mail of a session in a store that other machines reach while this one does not, and that may forget."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from attrs import evolve

from puzzel_chat._errors import SessionInUse, StoreError
from puzzel_chat._lease import MARGIN
from puzzel_chat._models import Life, Secret
from puzzel_chat._settings import Settings
from puzzel_chat._steps import Parts
from puzzel_chat._store import PATIENCE, MemoryStore, StoredConversation, StoredSession
from puzzel_chat._tokens import TokenSet
from puzzel_chat._wire.replies import Poll, event
from puzzel_chat.testing import VirtualTime
from scripted import Plain, done

SETTINGS = Settings(base_url="https://chat.example", solution_id="7")


class Remote(MemoryStore):
    """A store on another machine: it may be out of reach, and forget; `sent` has the calls that were made."""

    lease = 10.0
    remote = True

    def __init__(self) -> None:
        super().__init__()
        self.epoch, self.away, self.full = 1, False, False
        self.put: list[StoredSession] = []

    def __getattribute__(self, name: str) -> Any:
        value = super().__getattribute__(name)
        if name in ("journal", "acknowledge", "renew", "put_back", "acquire", "save_conversation"):
            if super().__getattribute__("away"):
                return failing("is away", retryable=True)
            if name == "journal" and super().__getattribute__("full"):
                return failing("is full", retryable=False)
        return value

    def put_back(self, session: StoredSession, owner: str, now: float, seconds: float) -> bool:
        """Take a session in that is not known, or whose owner asks."""
        if session.id in self._sessions and not self._has(session.id, "poll", owner):
            return False
        self.put.append(session)
        self.delete(session.id)
        self.save_tokens(session.id, evolve(session.tokens, generation=1))
        for one in session.conversations.values():
            self.save_conversation(session.id, one)
        return self.acquire(session.id, "poll", owner, now, seconds) == owner and self.journal(
            session.id, owner, session.cursor, list(session.unread.values())
        )


def failing(what: str, retryable: bool) -> Callable[..., Any]:
    """A method that fails."""

    def fails(*_: object) -> None:
        error = StoreError(f"The store {what}.")
        error.retryable = retryable
        raise error

    return fails


@pytest.fixture
def store() -> Remote:
    """The store."""
    return Remote()


@pytest.fixture
def parts(store: Remote) -> Parts:
    """What an application has."""
    return Parts(SETTINGS, store, VirtualTime())


@pytest.fixture
def owner(parts: Parts) -> Plain:
    """A session with one routed chat, whose owner has its mail."""
    now = parts.clock.now()
    state = Plain.opened("s", parts, TokenSet(access=Secret("a1"), refresh=Secret("r1"), obtained=now.wall), now)
    state.routed("a", None)
    state.inbox("a")
    return state


def pass_by(parts: Parts, seconds: float) -> None:
    """Let time pass."""
    assert isinstance(parts.clock, VirtualTime)
    parts.clock.advance(seconds)


def said(*numbers: int) -> Poll:
    """A poll's result: lines of text with these numbers."""
    common = {"type": "Text", "conversationId": "a", "version": 1, "sentAt": "2026-11-23T12:00:00Z", "content": "x"}
    return Poll(tuple(event({**common, "id": str(number)}) for number in numbers), str(max(numbers)))


def hold(state: Plain) -> None:
    """What each poll does first."""
    done(state.lease.hold(), state.parts)


def test_polls_go_on_while_the_lease_surely_lasts_and_no_longer(parts: Parts, store: Remote, owner: Plain) -> None:
    """The store is away: until a margin before the lease's end the mail is ours, then nobody polls or hands out."""
    owner.polled(said(1))
    store.away = True
    pass_by(parts, store.lease - MARGIN - 0.1)
    hold(owner)
    pass_by(parts, 0.2)
    with pytest.raises(StoreError, match="may be another's by now") as doubt:
        hold(owner)
    assert doubt.value.retryable
    assert owner.take(owner.inbox("a")) is None


def test_it_goes_on_by_itself_when_the_store_is_back(parts: Parts, store: Remote, owner: Plain) -> None:
    """However long it was away, an owner whose mail nobody took up meanwhile still has it."""
    owner.polled(said(1))
    store.away = True
    pass_by(parts, 3600.0)
    assert owner.take(owner.inbox("a")) is None
    store.away = False
    hold(owner)
    assert owner.take(owner.inbox("a")).id == "1"


def test_what_another_took_up_meanwhile_is_not_handed_out(parts: Parts, store: Remote, owner: Plain) -> None:
    """An owner that slept finds out before anything else: nothing is written, and nothing more delivered."""
    owner.polled(said(1, 2))
    assert owner.take(owner.inbox("a")).id == "1"
    pass_by(parts, store.lease + 1)
    other = Plain.restored(parts, "s")
    before = store.load("s")
    with pytest.raises(SessionInUse):
        owner.take(owner.inbox("a"))
    assert store.load("s") == before
    assert [other.take(other.inbox("a")).id for _ in range(2)] == ["1", "2"]


def test_nothing_is_handed_out_before_it_is_written(parts: Parts, store: Remote, owner: Plain) -> None:
    """As long as the store is away: another machine may poll the same again once the lease is over."""
    store.away = True
    owner.polled(said(1))
    for _ in range(3):
        assert owner.take(owner.inbox("a")) is None
        pass_by(parts, 2.0)
    store.away = False
    assert owner.take(owner.inbox("a")).id == "1"
    assert list(store.load("s").unread) == [1]  # type: ignore[union-attr]


def test_a_full_store_stops_no_chat(parts: Parts, store: Remote, owner: Plain) -> None:
    """It can still be told that the mail is ours, so nobody polls the same again: that is told once, and it goes on."""
    store.full = True
    owner.polled(said(1))
    with pytest.raises(StoreError, match="is full"):
        owner.take(owner.inbox("a"))
    assert owner.take(owner.inbox("a")).id == "1"


def test_a_session_that_the_store_forgot_is_put_back(parts: Parts, store: Remote, owner: Plain) -> None:
    """A fail-over lost it: its owner writes it again, with what was not handled yet, and goes on."""
    owner.polled(said(1, 2))
    assert owner.take(owner.inbox("a")).id == "1"
    store.delete("s")
    pass_by(parts, store.lease / 2 + 0.1)
    hold(owner)
    (back,) = store.put
    assert (back.cursor, list(back.unread), list(back.conversations)) == ("2", [1, 2], ["a"])
    assert owner.take(owner.inbox("a")).id == "2"
    pass_by(parts, store.lease + 1)
    other = Plain.restored(parts, "s")
    assert other.take(other.inbox("a")).id == "2"


def test_a_write_that_finds_the_session_missing_puts_it_back(parts: Parts, store: Remote, owner: Plain) -> None:
    """The first write after the fail-over does it, long before the lease is due."""
    owner.polled(said(1))
    store.delete("s")
    owner.polled(said(2))
    assert len(store.put) == 1
    assert [owner.take(owner.inbox("a")).id for _ in range(2)] == ["1", "2"]


def test_a_session_is_not_put_back_once_another_may_have_deleted_it(parts: Parts, store: Remote, owner: Plain) -> None:
    """After its lease somebody else may have held the chat to its end: it stays forgotten."""
    pass_by(parts, store.lease + 1)
    store.delete("s")
    with pytest.raises(SessionInUse):
        hold(owner)
    assert store.put == []
    assert store.load("s") is None


@pytest.mark.parametrize("slept", [0.0, 60.0], ids=["at once", "after its lease"])
def test_another_epoch_has_everything_written_again(parts: Parts, store: Remote, owner: Plain, slept: float) -> None:
    """The store may have lost its last writes, though it knows the session: its owner says how it is, once."""
    owner.polled(said(1))
    pass_by(parts, slept)
    store.epoch = 2
    hold(owner)
    hold(owner)
    assert len(store.put) == 1


def test_an_owner_that_the_store_no_longer_knows_of_writes_nothing(parts: Parts, store: Remote, owner: Plain) -> None:
    """A fail-over lost that it took the mail over from another: that one is the owner again, for all machines."""
    store.release("s", "poll", owner.lease.owner)
    store.acquire("s", "poll", "elsewhere:1/7/earlier", parts.clock.now().wall, 10.0)
    store.epoch = 2
    with pytest.raises(SessionInUse):
        hold(owner)
    assert store.put == []


def test_what_other_processes_did_is_learnt(parts: Parts, store: Remote, owner: Plain) -> None:
    """A chat that was ended elsewhere is over here; one that was begun elsewhere is known."""
    store.save_conversation("s", StoredConversation(id="a", life=Life.ENDING))
    store.save_conversation("s", StoredConversation(id="b"))
    owner.learn()
    assert owner.inbox("a").life is Life.ENDING
    assert list(owner.conversations) == ["a", "b"]


def test_a_long_lease_hands_nothing_out_either(parts: Parts, store: Remote) -> None:
    """That a write is refused for longer is told once, and what is not written is kept back all the same."""
    store.lease = 60.0
    now = parts.clock.now()
    owner = Plain.opened("t", parts, TokenSet(access=Secret("a1"), refresh=Secret("r1"), obtained=now.wall), now)
    owner.routed("a", None)
    owner.inbox("a")
    store.away = True
    owner.polled(said(1))
    pass_by(parts, PATIENCE + 1)
    with pytest.raises(StoreError, match="is away"):
        owner.take(owner.inbox("a"))
    assert owner.take(owner.inbox("a")) is None
    store.away = False
    assert owner.take(owner.inbox("a")).id == "1"


def test_what_the_service_did_not_send_is_not_put_back(parts: Parts, store: Remote, owner: Plain) -> None:
    """An end that is ours alone, for the service said no word of it, is no item of the journal for the next owner."""
    owner.ended("a")
    for number in (1, 2, 3):
        owner.polled(said(number))
    assert owner.inbox("a").life is Life.ENDED
    store.epoch = 2
    hold(owner)
    assert list(store.put[0].unread) == [1, 2, 4]
    pass_by(parts, store.lease + 1)
    other = Plain.restored(parts, "s")
    assert [other.take(other.inbox("a")).id for _ in range(3)] == ["1", "2", "3"]
