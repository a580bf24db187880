"""A server that comes back without what was written last: what this process wrote in those seconds is there again."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Coroutine
from typing import Any

import pytest
from attrs import evolve

from puzzel_chat import Life, RedisStore, Secret, StoredConversation, StoredSession, TokenSet, Unread
from puzzel_chat.sandbox import Sandbox
from redis_server import RedisServer

Serve = Callable[..., RedisServer]
Make = Callable[..., RedisStore]
TOKENS = TokenSet(access=Secret("acc-1"), refresh=Secret("ref-1"), generation=1, ttl=600.0, obtained=1000.0)


class Blocking:
    """A store of either kind, called as a blocking one."""

    def __init__(self, store: RedisStore, awaited: bool) -> None:
        self.store: Any = store.awaiting() if awaited else store
        self.loop = asyncio.new_event_loop() if awaited else None

    def __getattr__(self, name: str) -> Any:
        def call(*arguments: Any) -> Any:
            result: Coroutine[Any, Any, Any] = getattr(self.store, name)(*arguments)
            return self.loop.run_until_complete(result) if self.loop else result

        return call


@pytest.fixture(params=[False, True], ids=["blocking", "asyncio"])
def opened(request: pytest.FixtureRequest, make: Make) -> Any:
    """Open stores of either kind on a server."""
    made: list[Blocking] = []

    def open_one(server: RedisServer) -> Blocking:
        made.append(Blocking(make(server), request.param))
        return made[-1]

    yield open_one
    for one in made:
        if one.loop:
            one.close()
            one.loop.close()


def written(store: Blocking) -> StoredSession:
    """Write a whole life into the store, and return what is there after it."""
    for name in ("s", "gone"):
        store.save_tokens(name, TOKENS)
        store.acquire(name, "poll", "me", 100.0, 60.0)
        store.save_conversation(name, StoredConversation(id=f"chat of {name}"))
    store.save_tokens("s", evolve(TOKENS, generation=2, access=Secret("acc-2")))
    rows = [Unread(seq=seq, conversation_id="chat of s", raw={"id": str(seq)}) for seq in (1, 2)]
    store.journal("s", "me", "cur", rows)
    store.acknowledge("s", "me", "chat of s", 1, "1", "1:mark")
    store.save_conversation("s", StoredConversation(id="chat of s", life=Life.ENDING))
    store.release("s", "poll", "me")
    store.delete("gone")
    found: StoredSession = store.load("s")
    return found


def test_what_was_written_last_is_written_again(opened: Any, serve: Serve, caplog: pytest.LogCaptureFixture) -> None:
    """On an empty server: sessions, newer tokens, chats, journals, what was handled; and what was deleted is not."""
    server = serve()
    store = opened(server)
    before = written(store)
    server.restart()
    with caplog.at_level(logging.WARNING, "puzzel_chat"):
        assert store.load("s") == before
    assert "what was written last is written once more" in caplog.text
    assert store.load("gone") is None
    assert store.find("chat of s") == "s"
    assert store.unpolled(100.0, 60.0, 10) == ["s"]
    assert list(store.sessions(100.0, 60.0)) == ["s"]


def test_the_call_that_finds_the_server_empty_counts_as_well(opened: Any, serve: Serve) -> None:
    """A change is made on what was there before: it is made once more after the rest."""
    server = serve()
    store = opened(server)
    store.save_tokens("s", TOKENS)
    server.restart()
    store.save_conversation("s", StoredConversation(id="c"))
    assert store.conversations("s") == {"c": StoredConversation(id="c")}
    server.restart()
    assert store.acquire("s", "poll", "me", 100.0, 60.0) == "me"
    assert store.acquire("s", "poll", "you", 100.0, 60.0) == "me"


def test_a_server_that_lost_nothing_is_as_it_was(opened: Any, serve: Serve) -> None:
    """What is written again was there: it changes nothing."""
    server = serve("--appendonly yes", "--appendfsync always")
    store = opened(server)
    before = written(store)
    server.restart()
    assert store.load("s") == before
    assert list(store.sessions(100.0, 60.0)) == ["s"]


def test_what_another_process_did_since_stays(opened: Any, serve: Serve) -> None:
    """Newer tokens, another owner and its journal: what is written again is older, and is refused."""
    server = serve("--appendonly yes", "--appendfsync always")
    one, two = opened(server), opened(server)
    written(one)
    assert two.acquire("s", "poll", "you", 100.0, 60.0) == "you"
    two.save_tokens("s", evolve(TOKENS, generation=3))
    assert two.journal("s", "you", "newer", [Unread(seq=3, conversation_id="chat of s", raw={"id": "3"})])
    two.save_conversation("s", StoredConversation(id="chat of s", life=Life.READ))
    before = two.load("s")
    server.restart()
    assert one.load("s") == before
    assert two.load("s") == before
    assert one.acquire("s", "poll", "me", 100.0, 60.0) == "you"


def test_what_is_older_is_not_remembered(opened: Any, serve: Serve, monkeypatch: pytest.MonkeyPatch) -> None:
    """Words and tokens stay no longer in memory than they may be needed there."""
    monkeypatch.setattr("puzzel_chat._redis.RECENT", -1.0)
    server = serve()
    store = opened(server)
    written(store)
    server.restart()
    assert store.load("s") is None
    assert "acc-1" not in repr(store.store)


def test_a_chat_that_nobody_holds_yet_is_not_lost(serve: Serve, make: Make) -> None:
    """A web backend opened it and gave it back, no worker has it, and the server forgets: it is there again."""
    from puzzel_chat import AsyncPuzzelChat

    server = serve()

    async def scenario() -> None:
        with Sandbox(script="manual", pace=0) as sandbox:
            async with AsyncPuzzelChat(**sandbox.settings, store=make(server)) as web:
                conversation = await web.start("support", wait=0)
                await conversation.session.aclose()
                await asyncio.to_thread(server.restart)
                attached = await web.attach(conversation.id)
                await attached.end()

    asyncio.run(scenario())
