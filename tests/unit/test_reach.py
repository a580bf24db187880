"""How asyncio reaches a store: in order, without standing still, and nothing is left of it."""

from __future__ import annotations

import asyncio
import gc
import json
import threading
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from attrs import evolve

from awaited import Awaited
from puzzel_chat import (
    AsyncConversation,
    AsyncPuzzelChat,
    ConfigurationError,
    ConversationEnded,
    MemoryStore,
    PuzzelChat,
    SQLiteStore,
    StoredConversation,
    TokenSet,
)
from puzzel_chat._async import Runner
from puzzel_chat._http import Reply, Request
from puzzel_chat._lease import LEASE
from puzzel_chat._models import Secret
from puzzel_chat._observing import Watch
from puzzel_chat._session import SessionState
from puzzel_chat._settings import Settings
from puzzel_chat._steps import Parts
from puzzel_chat._wire.replies import Poll, event
from puzzel_chat.testing import VirtualTime
from scripted import awaiting

TOKENS = TokenSet(access=Secret("a"), refresh=Secret("r"), ttl=1e9, obtained=1000.0)
CHATS = ("a", "b", "c")
LINES = 20


def parts(store: Any) -> Parts:
    """What an application on an event loop has."""
    settings = Settings(base_url="https://chat.example", solution_id="7")
    return AsyncPuzzelChat._new_parts(settings, store, VirtualTime(), None, Watch())


def line(number: int, chat: str = "a") -> dict[str, Any]:
    """A line of text, the last one the end of its chat, as the wire has it."""
    over = {"type": "Event", "event": "ConversationEnded", "endedBy": 1} if number == LINES else {"type": "Text"}
    one = {"id": f"{chat}{number}", "conversationId": chat, "version": 1, "sentAt": "2026-11-23T12:00:00Z"}
    return {**one, "content": "Hello", **over}


async def opened(of: Parts, transport: Any = None) -> SessionState:
    """A session with routed chats."""
    run, now = Runner(transport, of).run, of.clock.now()
    state = await run(SessionState.opened("s", of, evolve(TOKENS, obtained=now.wall), now))
    for chat in CHATS:
        await run(state.routed(chat, None))
        state.inbox(chat)
    return state


def unread(store: MemoryStore) -> list[str]:
    """The ids of what the store keeps for readers, in the order in which it was written."""
    found = store.load("s")
    return [str(one.raw["id"]) for one in found.unread.values()] if found else []


class Centre:
    """A service in place of a transport: each poll brings one line for each chat."""

    def __init__(self) -> None:
        self.polls = 0

    async def send(self, request: Request, access: str | None, within: float | None = None) -> Reply:
        """Answer, after others had their turn."""
        await asyncio.sleep(0)
        said: dict[str, Any] = {}
        if request.operation == "pollConversation":
            self.polls += 1
            said = {"messages": [line(self.polls, chat) for chat in CHATS], "cursor": self.polls}
        return Reply(status=200, headers={"content-type": "application/json"}, body=json.dumps(said).encode())


def test_tasks_that_write_at_once_keep_the_order() -> None:
    """Each write is made once, in the order in which it was asked for, and is made when its task goes on."""

    async def scenario() -> None:
        store = MemoryStore()
        awaited = Awaited(store)
        state = await opened(of := parts(awaited))

        async def brings(number: int) -> None:
            for _ in range(number % 3):
                await asyncio.sleep(0)
            state.polled(Poll((event(line(number)),), str(number)))
            asked.append(f"a{number}")
            await Runner(None, of).run(state.lease.catch_up())  # type: ignore[arg-type]  # nothing is sent
            assert f"a{number}" in unread(store)

        asked: list[str] = []
        await asyncio.gather(*(brings(number) for number in range(1, 10)))
        assert unread(store) == asked
        assert awaited.calls.count("journal") == 9

    asyncio.run(scenario())


def test_nothing_is_handed_out_before_it_is_written() -> None:
    """Several readers of one session take turns with its polls; each gets its own lines once and in order."""

    async def scenario() -> None:
        store = MemoryStore()
        session = awaiting(await opened(parts(Awaited(store))), Centre())
        told: Counter[str] = Counter()

        async def read(conversation: AsyncConversation) -> None:
            async for one in conversation.events():
                assert one.id in unread(store)
                told[conversation.id] += 1
                assert one.id == f"{conversation.id}{told[conversation.id]}"
                if not isinstance(one, ConversationEnded):
                    await conversation.typing()

        await asyncio.gather(*(read(session.conversation(chat)) for chat in CHATS))
        assert told == dict.fromkeys(CHATS, LINES)
        assert unread(store) == []

    asyncio.run(scenario())


@pytest.fixture(params=["memory", "sqlite", "awaited"])
def store(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Any]:
    """A store with a session, of each kind that asyncio reaches in a way of its own."""
    made = SQLiteStore(tmp_path / "chats.db") if request.param == "sqlite" else MemoryStore()
    made.save_tokens("s", TOKENS)
    made.save_conversation("s", StoredConversation(id="a"))
    yield Awaited(made) if request.param == "awaited" else made
    made.close()


def client(store: Any) -> AsyncPuzzelChat:
    """A client that sends nothing."""
    return AsyncPuzzelChat("https://chat.invalid", "7", store=store)


def test_a_session_that_nobody_holds_is_given_back(store: Any) -> None:
    """On an event loop too: it stands in nobody's way from then on, and `aclose()` leaves it free."""

    async def scenario() -> None:
        async with client(store) as chat:
            for _ in range(3):
                session = await chat.resume("s")
                assert [one.in_use for one in await chat.sessions()] == [True]
                del session
                gc.collect()
            assert [one.in_use for one in await chat.sessions()] == [False]
            session = await chat.resume("s")
            del session
            gc.collect()
        assert asyncio.all_tasks() == {asyncio.current_task()}

    asyncio.run(scenario())
    kept = store.store if isinstance(store, Awaited) else store
    assert kept.sessions(VirtualTime().now().wall, LEASE) == {"s": False}


def test_no_thread_is_left_of_a_closed_client(tmp_path: Path) -> None:
    """The one that a store has for itself ends with the client."""

    async def scenario() -> list[threading.Thread]:
        async with client(SQLiteStore(tmp_path / "chats.db")) as chat:
            assert await chat.sessions() == ()
            return [one for one in threading.enumerate() if one.name.startswith("puzzel-chat-store")]

    (thread,) = asyncio.run(scenario())
    thread.join(60)
    assert not thread.is_alive()


def test_a_store_to_be_awaited_is_for_asyncio() -> None:
    """The blocking client says so at once, and names the one that takes it."""
    store: Any = Awaited()
    with pytest.raises(ConfigurationError, match="Awaited is a store to be awaited; give it to AsyncPuzzelChat"):
        PuzzelChat("https://chat.example", "7", store=store)


class Twinned:
    """A blocking store that has a twin for asyncio."""

    def __init__(self) -> None:
        self.store = MemoryStore()
        self.twins: list[Awaited] = []

    def __getattr__(self, name: str) -> Any:
        return getattr(self.store, name)

    def awaiting(self) -> Awaited:
        """Give the twin."""
        self.twins.append(Awaited(self.store))
        return self.twins[-1]


def test_a_client_of_other_connections_leaves_the_store_open() -> None:
    """`with_options(timeout=…)` has connections of its own, but the store is the first one's, twin and all."""
    store = Twinned()

    async def scenario() -> None:
        async with client(store) as chat:
            async with chat.with_options(timeout=3) as other:
                assert await other.sessions() == ()
            assert await chat.sessions() == ()
            assert [twin.calls for twin in store.twins] == [["sessions", "sessions"]]
        assert store.twins[0].calls[-1] == "close"

    asyncio.run(scenario())
