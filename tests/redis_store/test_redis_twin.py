"""The twin of `RedisStore` for asyncio: one round trip for many calls, in order, and no caller who harms another."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any

import pytest

from puzzel_chat import Secret, StoredConversation, StoreError, TokenSet, Unread
from puzzel_chat._redis import AsyncRedisStore, RedisStore
from puzzel_chat._redis_plans import Call
from redis_server import RedisServer

from .conftest import Make, Serve

TOKENS = TokenSet(access=Secret("acc-1"), refresh=Secret("ref-1"), generation=1, ttl=600.0, obtained=1000.0)
NAMES = [f"s{n}" for n in range(200)]


@pytest.fixture
def store(server: RedisServer, make: Make) -> RedisStore:
    """A store with sessions that "me" may poll."""
    made = make(server)

    async def begin(twin: AsyncRedisStore) -> None:
        await asyncio.gather(*(twin.save_tokens(name, TOKENS) for name in NAMES))
        await asyncio.gather(*(twin.acquire(name, "poll", "me", 100.0, 12.0) for name in NAMES))

    run(made, begin)
    return made


def run(store: RedisStore, work: Callable[[AsyncRedisStore], Awaitable[Any]]) -> Any:
    """Do something with the store's twin on a loop of its own, and return what came of it."""

    async def go() -> Any:
        twin: Any = store.awaiting()
        try:
            return await work(twin)
        finally:
            await twin.close()

    return asyncio.run(go())


@pytest.fixture
def rounds(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """How many commands went out together, for each round trip."""
    made: list[int] = []
    real = AsyncRedisStore._sent

    async def sent(self: AsyncRedisStore, calls: list[Call]) -> list[Any]:
        made.append(len(calls))
        return await real(self, calls)

    monkeypatch.setattr(AsyncRedisStore, "_sent", sent)
    return made


def test_what_is_called_together_goes_out_together(store: RedisStore, rounds: list[int]) -> None:
    """The renewals of a worker are a few round trips, however many sessions it has."""

    async def work(twin: AsyncRedisStore) -> list[bool]:
        return await asyncio.gather(*(twin.renew(name, "poll", "me", 101.0, 12.0) for name in NAMES))

    assert run(store, work) == [True] * len(NAMES)
    assert len(rounds) <= 4
    assert max(rounds) >= 300


def test_calls_are_done_in_their_order(store: RedisStore) -> None:
    """A journal before the release of the right is written, one after it is refused, though none waits for another."""

    async def work(twin: AsyncRedisStore) -> Any:
        return await asyncio.gather(
            twin.journal("s1", "me", "1", [Unread(seq=1, raw={"n": 1})]),
            twin.release("s1", "poll", "me"),
            twin.journal("s1", "me", "2", [Unread(seq=2, raw={"n": 2})]),
            twin.acquire("s1", "poll", "you", 101.0, 12.0),
            twin.journal("s1", "you", "3", [Unread(seq=3, raw={"n": 3})]),
        )

    assert run(store, work) == [True, None, False, "you", True]
    found = store.load("s1")
    assert found is not None
    assert (found.cursor, list(found.unread)) == ("3", [1, 3])


def test_a_cancelled_caller_harms_nobody(store: RedisStore, monkeypatch: pytest.MonkeyPatch) -> None:
    """Whenever it is cancelled, the calls beside it get their own answers, over the same connection."""
    greeted: list[object] = []
    real = AsyncRedisStore._greet

    async def greet(self: AsyncRedisStore, connection: Any) -> None:
        greeted.append(connection)
        await real(self, connection)

    monkeypatch.setattr(AsyncRedisStore, "_greet", greet)

    async def work(twin: AsyncRedisStore) -> None:
        for turns in range(12):
            talks = [StoredConversation(id=f"c{turns}-{name}") for name in NAMES]
            pairs = zip(NAMES, talks, strict=True)
            writes = [asyncio.ensure_future(twin.save_conversation(name, talk)) for name, talk in pairs]
            reads = [asyncio.ensure_future(twin.conversations(name)) for name in NAMES]
            for _ in range(turns):
                await asyncio.sleep(0)
            for one in writes[::2]:
                one.cancel()
            found = await asyncio.gather(*reads)
            assert [talk.id in has for talk, has in list(zip(talks, found, strict=True))[1::2]] == [True] * 100
            await asyncio.gather(*writes, return_exceptions=True)

    run(store, work)
    assert len(greeted) == 1


def test_last_words_arrive_when_the_program_ends(store: RedisStore) -> None:
    """A loop that ends cancels every task; what is written in their `finally` blocks is done all the same."""

    async def worker(twin: AsyncRedisStore, name: str) -> None:
        try:
            while True:
                await twin.renew(name, "poll", "me", 101.0, 12.0)
        finally:
            await twin.release(name, "poll", "me")

    async def last(twin: AsyncRedisStore, workers: list[asyncio.Task[None]]) -> None:
        try:
            await asyncio.Event().wait()
        finally:
            await asyncio.wait(workers)
            await twin.close()

    async def go() -> list[asyncio.Task[None]]:
        twin: Any = store.awaiting()
        workers = [asyncio.create_task(worker(twin, name)) for name in NAMES]
        ending = asyncio.create_task(last(twin, workers))
        await asyncio.sleep(0.02)
        assert not any(one.done() for one in workers)
        return [*workers, ending]

    assert all(one.cancelled() for one in asyncio.run(go()))
    assert [name for name, taken in store.sessions(102.0, 12.0).items() if taken] == []


def test_when_the_server_is_away_everybody_is_told_at_once(serve: Serve, make: Make) -> None:
    """Nobody waits for the time-outs of those before; the twin goes on when the server is back."""
    server = serve("--appendonly yes", "--appendfsync always")
    store = make(server)
    store.save_tokens("s", TOKENS)

    async def work(twin: AsyncRedisStore) -> list[Any]:
        await twin.tokens("s")
        server.kill()
        failed = await asyncio.gather(*(twin.tokens("s") for _ in range(3000)), return_exceptions=True)
        await asyncio.to_thread(server.start)
        return [*failed, await twin.tokens("s")]

    *failed, found = run(store, work)
    assert found == TOKENS
    assert {type(one) for one in failed} == {StoreError}
    assert len({id(one) for one in failed}) == 3000


def test_a_client_takes_the_twin_by_itself(server: RedisServer, make: Make) -> None:
    """`AsyncPuzzelChat(store=RedisStore(…))` needs no second word."""
    store = make(server)
    assert isinstance(store.awaiting(), AsyncRedisStore)
    assert store.awaiting() is not store.awaiting()
