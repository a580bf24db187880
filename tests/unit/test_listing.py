"""`sessions()`: what a store holds, and what of it is forgotten, on both stores and with both clients."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from attrs import evolve

from puzzel_chat import (
    Life,
    MemoryStore,
    SessionExpired,
    SessionInUse,
    SessionNotFound,
    SQLiteStore,
    Store,
    StoredConversation,
    StoreError,
    TokenSet,
    Unread,
)
from puzzel_chat._lease import LEASE
from puzzel_chat._models import Secret
from puzzel_chat.testing import VirtualTime

Connect = Callable[..., Any]
SECRETS = ("access-t0k3n", "refresh-t0k3n", "ada-1815", "My order")
ITEM = {"type": "Text", "id": "1", "conversationId": "c", "version": 1, "content": "My order", "author": {"role": 0}}


@pytest.fixture(params=["memory", "sqlite"])
def store(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Store]:
    """Either store."""
    made: Store = MemoryStore() if request.param == "memory" else SQLiteStore(tmp_path / "chats.db")
    yield made
    made.close()


Keep = Callable[..., None]


@pytest.fixture
def keep(store: Store, puzzel_time: VirtualTime) -> Keep:
    """Keep a session that an earlier process has left."""

    def kept(session_id: str, *lives: Life, unread: bool = False, old: float = 0.0, refresh: bool = True) -> None:
        now = puzzel_time.now().wall
        token = Secret("refresh-t0k3n") if refresh else None
        tokens = TokenSet(
            access=Secret("access-t0k3n"), refresh=token, obtained=now - old, visitor_id=Secret("ada-1815")
        )
        store.save_tokens(session_id, tokens)
        for number, life in enumerate(lives):
            store.save_conversation(session_id, StoredConversation(id="cd"[number], life=life))
        if unread:
            store.acquire(session_id, "poll", "me", now, LEASE)
            store.journal(session_id, "me", None, [Unread(seq=1, raw=ITEM)])
            store.release(session_id, "poll", "me")

    return kept


@pytest.fixture
def chat(connect: Connect, store: Store, puzzel_time: VirtualTime) -> Any:
    """A client of either kind on the store, in virtual time."""
    return connect(base_url="https://chat.example", solution_id="7", store=store)


def ids(chat: Any) -> list[str]:
    """The sessions that are listed."""
    return [info.id for info in chat.sessions()]


def test_a_session_is_listed_with_what_is_known_of_it(
    chat: Any, store: Store, keep: Keep, puzzel_time: VirtualTime
) -> None:
    """Its id, when its token was asked for, its chats and how far they have come, and whether somebody polls it."""
    assert chat.sessions() == ()
    keep("s", Life.ASKED, Life.OPEN, old=60.0)
    keep("t", old=1000.0)
    store.acquire("t", "poll", "somebody", puzzel_time.now().wall, LEASE)
    one, two = chat.sessions()
    assert (one.id, one.in_use, one.problem) == ("s", False, None)
    assert one.renewed_at == datetime.fromtimestamp(puzzel_time.now().wall - 60.0, UTC)
    assert [(talk.id, talk.life) for talk in one.conversations] == [("c", Life.ASKED), ("d", Life.OPEN)]
    assert (two.id, two.in_use, two.conversations) == ("t", True, ())
    assert not [secret for secret in SECRETS if secret in repr((one, two))]


def test_a_session_that_is_taken_up_here_is_in_use(chat: Any, keep: Keep, puzzel_time: VirtualTime) -> None:
    """Until it is closed, or makes no call for a minute; one that is shared is not polled by its object."""
    keep("s", Life.OPEN)
    chat.resume("s", shared=True)
    assert [info.in_use for info in chat.sessions()] == [False]
    session = chat.resume("s")
    assert [info.in_use for info in chat.sessions()] == [True]
    puzzel_time.advance(LEASE)
    assert [info.in_use for info in chat.sessions()] == [False]
    session.close()
    again = chat.resume("s")
    again.close()
    assert [info.in_use for info in chat.sessions()] == [False]


@pytest.mark.parametrize("lives", [(Life.READ,), (Life.READ, Life.READ)], ids=["one chat", "two chats"])
def test_a_session_whose_ends_were_read_is_forgotten(chat: Any, store: Store, keep: Keep, lives: tuple[Life]) -> None:
    """A process that was killed before it could close leaves nothing that anybody needs."""
    keep("s", *lives)
    keep("t", Life.OPEN)
    assert ids(chat) == ["t"]
    assert store.load("s") is None
    with pytest.raises(SessionNotFound):
        chat.resume("s")


@pytest.mark.parametrize(
    ("lives", "more"),
    [
        ((), {}),
        ((), {"old": 10_000.0}),
        ((), {"refresh": False}),
        ((Life.ASKED,), {}),
        ((Life.OPEN,), {"old": 10_000.0}),
        ((Life.ENDING,), {}),
        ((Life.CLOSED,), {}),
        ((Life.ENDED,), {}),
        ((Life.READ, Life.OPEN), {}),
        ((Life.READ, Life.ENDED), {}),
        ((Life.READ,), {"unread": True}),
        ((Life.READ,), {"unread": True, "refresh": False, "old": 10_000.0}),
        ((Life.OPEN,), {"unread": True, "refresh": False, "old": 10_000.0}),
        ((Life.OPEN,), {"refresh": False, "old": 599.0}),
    ],
)
def test_a_session_that_somebody_may_need_stays(
    chat: Any, store: Store, keep: Keep, lives: tuple[Life, ...], more: dict[str, Any]
) -> None:
    """A chat that goes on, an end or events that nobody has read, a token that can still be used or refreshed."""
    keep("s", *lives, **more)
    before = store.load("s")
    assert ids(chat) == ids(chat) == ["s"]
    assert store.load("s") == before
    chat.resume("s")


@pytest.mark.parametrize("lives", [(), (Life.OPEN,), (Life.ENDING, Life.ASKED)], ids=["no chat", "a chat", "two chats"])
def test_a_session_whose_token_is_gone_is_forgotten(
    chat: Any, store: Store, keep: Keep, lives: tuple[Life, ...]
) -> None:
    """An expired token without a refresh token, or with one that was refused, can do nothing any more."""
    keep("s", *lives, refresh=False, old=600.0)
    keep("t", *lives, old=599.0)
    tokens = store.tokens("t")
    assert tokens is not None
    store.save_tokens("t", evolve(tokens, generation=2, refresh=None))
    assert ids(chat) == ["t"]
    assert store.load("s") is None


def test_what_waits_in_an_expired_session_is_given_first(chat: Any, keep: Keep) -> None:
    """Events that were received are not lost with the token; read to the end, the session is forgotten next time."""
    keep("s", Life.OPEN, unread=True, refresh=False, old=600.0)
    assert ids(chat) == ["s"]
    session = chat.resume("s")
    events = session.conversation("c").events()
    assert next(events).id == "1"
    with pytest.raises(SessionExpired):
        next(events)
    session.close()
    assert ids(chat) == []


@pytest.mark.parametrize(("lives", "more"), [((Life.READ,), {}), ((), {"refresh": False, "old": 600.0})])
def test_a_session_in_use_is_never_forgotten(
    chat: Any, store: Store, keep: Keep, puzzel_time: VirtualTime, lives: tuple[Life, ...], more: dict[str, Any]
) -> None:
    """Its owner may be about to route another chat, and closes it; only that one may."""
    keep("s", *lives, **more)
    store.acquire("s", "poll", "somebody", puzzel_time.now().wall, LEASE)
    assert ids(chat) == ["s"]
    with pytest.raises(SessionInUse):
        chat.resume("s")
    puzzel_time.advance(LEASE)
    assert ids(chat) == []


def test_a_session_that_is_taken_up_meanwhile_stays(
    chat: Any, store: Store, keep: Keep, monkeypatch: pytest.MonkeyPatch, puzzel_time: VirtualTime
) -> None:
    """Whoever takes it up between two looks keeps it, and so does a chat that is routed between them."""
    keep("s", Life.READ)
    keep("t", Life.READ)
    acquire = store.acquire

    def somebody_was_faster(session_id: str, right: Any, owner: str, now: float, seconds: float) -> str:
        if session_id == "s":
            acquire("s", "poll", "somebody", now, seconds)
        else:
            store.save_conversation("t", StoredConversation(id="new"))
        return acquire(session_id, right, owner, now, seconds)

    monkeypatch.setattr(store, "acquire", somebody_was_faster)
    assert ids(chat) == ["s", "t"]
    monkeypatch.undo()
    chat.resume("t")


def test_a_session_without_a_chat_is_forgotten_by_closing_it(chat: Any, keep: Keep) -> None:
    """One that was opened and never used stays, for nobody knows whether its id is kept somewhere."""
    keep("s", old=100_000.0)
    assert ids(chat) == ["s"]
    chat.resume("s").close()
    assert ids(chat) == []


def test_a_session_that_goes_away_meanwhile_is_not_listed(
    chat: Any, store: Store, keep: Keep, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Another process may close it between two looks."""
    keep("s", Life.OPEN)
    monkeypatch.setattr(store, "tokens", lambda _: None)
    assert ids(chat) == []


@pytest.mark.parametrize("name", ["sessions", "conversations", "acquire"])
def test_a_store_that_another_process_has_says_try_again(
    chat: Any, store: Store, keep: Keep, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    """That is nothing about a session, and raised as it is; what is wrong with one session is told with it."""
    keep("s", Life.READ)
    told = StoreError("Another process has it.")

    def fails(*_: object) -> None:
        raise told

    monkeypatch.setattr(store, name, fails)
    told.retryable = True
    with pytest.raises(StoreError):
        chat.sessions()
    if name != "sessions":
        told.retryable = False
        assert [info.problem for info in chat.sessions()] == ["Another process has it."]


def test_a_time_that_no_calendar_has_is_none(chat: Any, store: Store) -> None:
    """A clock that was far ahead hides no session."""
    for session_id, when in (("s", 1e12), ("t", -1e12)):
        store.save_tokens(session_id, TokenSet(access=Secret("a"), refresh=Secret("r"), obtained=when))
    assert [info.renewed_at for info in chat.sessions()] == [None, None]
