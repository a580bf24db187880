"""`attach()`: any process on the store writes in a chat and ends it, whoever polls it."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from blocking import clients, settings
from puzzel_chat import (
    ConversationEnded,
    InvalidArgument,
    MemoryStore,
    SessionInUse,
    SessionNotFound,
    SQLiteStore,
    Store,
)
from puzzel_chat.sandbox import Sandbox

Connect = Callable[..., Any]


@pytest.fixture(params=["sync", "async", "awaited"])
def connect(request: pytest.FixtureRequest) -> Iterator[Connect]:
    """Make clients of one kind; also of one whose store is awaited."""
    yield from clients(request.param)


@pytest.fixture(params=["memory", "sqlite"])
def store(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Store]:
    """Where two clients meet."""
    made = MemoryStore() if request.param == "memory" else SQLiteStore(tmp_path / "chats.db")
    yield made
    made.close()


def test_an_attached_conversation_writes_and_ends(connect: Connect, store: Store) -> None:
    """It is found by its id alone; what it says, and that it ends the chat, comes to the one who polls."""
    with Sandbox(script="helpful", pace=0) as sandbox:
        mine = connect(**settings(sandbox), store=store).start("support", wait=20)
        theirs = connect(**settings(sandbox), store=store).attach(mine.id)
        assert (theirs.id, theirs.session.id, theirs.ended) == (mine.id, mine.session.id, False)
        theirs.typing()
        sent = theirs.send("Hello")
        theirs.end()
        told = list(mine.events())
        assert sent.id in {event.id for event in told}
        assert isinstance(told[-1], ConversationEnded)
        assert sandbox.stats().ended == 1


def test_an_attached_conversation_takes_nothing_from_the_one_who_polls(connect: Connect, store: Store) -> None:
    """It gets no events, and its close leaves the chat, the session and the right to poll as they are."""
    with Sandbox(script="helpful", pace=0) as sandbox:
        mine = connect(**settings(sandbox), store=store).start("support", wait=20)
        theirs = connect(**settings(sandbox), store=store).attach(mine.id)
        for call in (lambda: next(iter(theirs.events())), theirs.session.poll):
            with pytest.raises(SessionInUse, match="shared=True"):
                call()
        theirs.session.close()
        assert sandbox.stats().ended == 0
        mine.send("end chat")
        assert isinstance(list(mine.events())[-1], ConversationEnded)


def test_only_a_conversation_of_the_store_can_be_attached(connect: Connect, store: Store) -> None:
    """Another id, or one whose session was forgotten, is not found; what is no id is refused."""
    with Sandbox(script="helpful", pace=0) as sandbox:
        chat = connect(**settings(sandbox), store=store)
        with pytest.raises(SessionNotFound, match="has the conversation 'nobodys'"):
            chat.attach("nobodys")
        with chat.start("support", wait=20) as mine:
            mine.send("end chat")
            assert list(mine.events())
        mine.session.close()
        with pytest.raises(SessionNotFound):
            chat.attach(mine.id)
        with pytest.raises(InvalidArgument, match="conversation_id"):
            chat.attach("")
