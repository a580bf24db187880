"""Bugs that others shipped in the life of a token, each named where it was recorded.

Those in loops, in the transport and with secrets are in `test_recorded_loop_bugs`. A bug that another test guards
already is named in that test's docstring.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest

from blocking import settings
from hostile import Asked, Said, Service
from puzzel_chat import AsyncPuzzelChat, AsyncSession, MemoryStore, RateLimited, SQLiteStore
from puzzel_chat.sandbox import Fault, Sandbox
from puzzel_chat.testing import VirtualTime
from waiting import Held, until, until_async

Connect = Callable[..., Any]


def test_no_lock_is_held_across_a_call(connect: Connect) -> None:
    """A call that hangs holds up neither other calls nor a refresh (modelcontextprotocol/python-sdk#2847)."""
    faults, held = (Fault.latency(2.0, "getTimeInfo", times=1), Fault.revoked("getQueueInfo", times=1)), Held()
    with Sandbox(pace=0, faults=faults, sleep=held.sleep) as sandbox, ThreadPoolExecutor(1) as pool:
        session = connect(**settings(sandbox, timeout=60)).connect()
        slow = pool.submit(session.time_info, "support-hours")
        until(lambda: sandbox.stats().requests.get("getTimeInfo"))
        for _ in range(3):
            assert session.queue_info(sandbox.visual_queue_id).is_open
        assert not slow.done()
        assert sandbox.stats().refreshes == 1
        held.let_go()
        assert slow.result(timeout=60).is_open


def test_no_call_waits_for_a_refresh_that_is_not_due(connect: Connect, puzzel_time: VirtualTime) -> None:
    """While the present token lives, a refresh that hangs holds nobody up (modelcontextprotocol/python-sdk#2847)."""
    slow, held = Fault.latency(2.0, "connectToken", skip=1), Held()
    options: dict[str, Any] = {"clock": puzzel_time.seconds, "sleep": held.sleep}
    with Sandbox(pace=0, token_life=900, faults=(slow,), **options) as sandbox:
        session = connect(**settings(sandbox, timeout=60)).connect()
        puzzel_time.advance(700)
        assert session.queue_info(sandbox.visual_queue_id).is_open
        until(lambda: sandbox.stats().requests["connectToken"] == 2)
        for _ in range(3):
            assert session.queue_info(sandbox.visual_queue_id).is_open
        assert sandbox.stats().refreshes == 0, "a call waited for the refresh"
        held.let_go()


def test_waiting_for_a_refresh_leaves_the_loop_free() -> None:
    """Tasks that wait for a refresh never block their event loop (Azure/azure-sdk-for-python#11543)."""
    held = Held()

    async def scenario(sandbox: Sandbox) -> None:
        async with AsyncPuzzelChat(**settings(sandbox, timeout=60)) as chat, await chat.connect() as session:
            sandbox.faults(Fault.revoked("getQueueInfo", times=1), Fault.latency(0.5, "connectToken"))
            calls = [asyncio.create_task(session.queue_info(sandbox.visual_queue_id)) for _ in range(10)]
            await until_async(lambda: sandbox.stats().requests["connectToken"] == 2)
            for _ in range(50):
                await asyncio.sleep(0)
            assert not any(call.done() for call in calls)
            held.let_go()
            assert all(info.is_open for info in await asyncio.gather(*calls))
            assert sandbox.stats().refreshes == 1

    with Sandbox(pace=0, sleep=held.sleep) as sandbox:
        asyncio.run(scenario(sandbox))


def test_a_client_may_be_made_outside_its_loop() -> None:
    """Nothing binds to a loop before it is used, nor keeps a session from another loop (encode/httpx#2473)."""
    store = MemoryStore()
    with Sandbox(pace=0) as sandbox:
        first, second = (AsyncPuzzelChat(**settings(sandbox), store=store) for _ in range(2))

        async def begin() -> str:
            async with first:
                session = await first.connect()
                await session.conversation("mine").route("support")
                await asyncio.gather(*(session.poll() for _ in range(3)))
                return session.id

        async def go_on(session_id: str) -> int:
            async with second:
                session = await second.resume(session_id)
                sandbox.faults(Fault.revoked("pollConversation", times=1))
                return sum(map(len, await asyncio.gather(*(session.poll() for _ in range(3)))))

        session_id = asyncio.run(begin())
        assert asyncio.run(go_on(session_id)) >= 0
        assert sandbox.stats().refreshes == 1


def test_two_owners_of_one_refresh_token_use_it_once(connect: Connect, tmp_path: Path) -> None:
    """Two clients on one store file never both send it (anthropics/claude-code#27933, openclaw/mcporter#306)."""
    with Sandbox(pace=0) as sandbox, ThreadPoolExecutor(2) as pool:
        stores = [SQLiteStore(tmp_path / "chats.db") for _ in range(2)]
        chats = [connect(**settings(sandbox), store=store) for store in stores]
        first = chats[0].connect()
        first.conversation("mine").route("support")
        sessions = (first, chats[1].resume(first.id, shared=True))
        for round_ in range(1, 11):
            assert all(
                session.queue_info(sandbox.visual_queue_id).is_open for session in sessions
            )  # both hold the newest token
            sandbox.faults(Fault.revoked("getQueueInfo", times=1))
            answers = [pool.submit(session.queue_info, sandbox.visual_queue_id) for session in sessions]
            assert all(answer.result(timeout=30).is_open for answer in answers)
            assert sandbox.stats().refreshes == round_
        assert sandbox.stats().reuse_detected == 0
        for chat, store in zip(chats, stores, strict=True):
            chat.close()
            store.close()


def test_the_right_to_refresh_of_a_dead_process_ends(
    connect: Connect, tmp_path: Path, puzzel_time: VirtualTime
) -> None:
    """Who died while refreshing blocks nobody for good (AzureAD/microsoft-authentication-library-for-js#7148)."""
    store = SQLiteStore(tmp_path / "chats.db")
    with Sandbox(pace=0, clock=puzzel_time.seconds) as sandbox:
        chat = connect(**settings(sandbox), store=store)
        session = chat.connect()
        assert store.acquire(session.id, "refresh", "a process that died", puzzel_time.seconds(), 40)
        began = puzzel_time.seconds()
        sandbox.faults(Fault.revoked("getQueueInfo", times=1))
        assert session.queue_info(sandbox.visual_queue_id).is_open
        assert 39 < puzzel_time.seconds() - began < 60
        assert sandbox.stats().refreshes == 1
        chat.close()
    store.close()


@pytest.mark.parametrize("fault", [Fault.drop, Fault.truncate], ids=["dropped", "truncated"])
def test_a_rotation_whose_reply_was_lost_keeps_the_session(
    connect: Connect, puzzel_time: VirtualTime, fault: Callable[..., Fault]
) -> None:
    """The same token is sent again in time (zitadel/zitadel#9631, DuendeArchive/IdentityServer4#5187)."""
    with Sandbox(pace=0, reuse_grace=10, clock=puzzel_time.seconds) as sandbox:
        session = connect(**settings(sandbox)).connect()
        lost = fault("connectToken", times=2, **({"after": True} if fault is Fault.drop else {}))
        sandbox.faults(Fault.revoked("pollConversation", times=1), lost)
        # A poll is never tried again by its call, so that the refresh itself must get through.
        session.poll()
        assert session._state.pace.failures == 0
        assert session.queue_info(sandbox.visual_queue_id).is_open
        assert sandbox.stats().reuse_detected == 0
        assert sandbox.stats().requests["connectToken"] == 4


def test_a_late_401_does_not_spend_the_newer_token(connect: Connect) -> None:
    """A 401 for a token that was renewed meanwhile refreshes nothing again (anthropics/anthropic-sdk-python#1841)."""
    held = Held()
    with Sandbox(pace=0, sleep=held.sleep) as sandbox, ThreadPoolExecutor(1) as pool:
        session = connect(**settings(sandbox, timeout=60)).connect()
        sandbox.faults(Fault.latency(1.0, "getTimeInfo", times=1), Fault.revoked("getQueueInfo", times=1))
        late = pool.submit(session.time_info, "support-hours")
        until(lambda: sandbox.stats().requests.get("getTimeInfo"))
        assert session.queue_info(sandbox.visual_queue_id).is_open
        held.let_go()
        assert late.result(timeout=60).is_open
        assert sandbox.stats().requests["getTimeInfo"] == 2, "the late call was not replayed"
        assert sandbox.stats().refreshes == 1


def test_a_cancelled_leader_takes_nobody_along() -> None:
    """Whoever began a refresh and is cancelled leaves it to those who wait (teng-lin/notebooklm-py#562)."""
    held = Held()

    async def scenario(sandbox: Sandbox) -> None:
        async with AsyncPuzzelChat(**settings(sandbox, timeout=60)) as chat, await chat.connect() as session:
            sandbox.faults(Fault.revoked("getQueueInfo", times=1), Fault.latency(0.5, "connectToken"))
            leader = asyncio.create_task(session.queue_info(sandbox.visual_queue_id))
            await until_async(lambda: sandbox.stats().requests["connectToken"] == 2)
            waiters = [asyncio.create_task(_renewed(session)) for _ in range(5)]
            await asyncio.sleep(0)
            leader.cancel()
            held.let_go()
            assert [await waiter for waiter in waiters] == [2] * 5
            assert leader.cancelled()
            assert sandbox.stats().refreshes == 1

    with Sandbox(pace=0, sleep=held.sleep) as sandbox:
        asyncio.run(scenario(sandbox))


async def _renewed(session: AsyncSession) -> int:
    tokens = await session._run(session._state.keeper.renewed(1))
    return tokens.generation


def test_a_busy_service_gives_no_token(connect: Connect, puzzel_time: VirtualTime) -> None:
    """Only a success can be a token reply: a 429's JSON body taken for a token was somebody's bug."""

    def answer(asked: Asked) -> Said:
        return Said({"access_token": "not-a-token", "refresh_token": "nor-this", "expires_in": 600}, status=429)

    with Service(answer) as service, pytest.raises(RateLimited):
        connect(base_url=service.base_url, solution_id="7").connect()
    assert service.count("/connect/token") == len(service.asked) == 3


@pytest.mark.parametrize("status", [503, 500, 429])
def test_a_refresh_that_fails_for_now_costs_nothing(connect: Connect, puzzel_time: VirtualTime, status: int) -> None:
    """A failure that passes leaves what is there: a 503 that wipes the tokens was somebody's bug."""
    store = MemoryStore()
    with Sandbox(pace=0, token_life=900, clock=puzzel_time.seconds) as sandbox:
        session = connect(**settings(sandbox), store=store).connect()
        kept = store.tokens(session.id)
        sandbox.faults(Fault.status(status, "connectToken", times=1))
        puzzel_time.advance(700)
        assert session.queue_info(sandbox.visual_queue_id).is_open
        until(lambda: sandbox.stats().faults == 1)
        assert kept is not None
        assert store.tokens(session.id) == kept
        while not sandbox.stats().refreshes:
            puzzel_time.advance(5)
            assert session.queue_info(sandbox.visual_queue_id).is_open
        until(lambda: (tokens := store.tokens(session.id)) and tokens.generation == 2)
        assert sandbox.stats().reuse_detected == 0


def test_the_refresh_token_is_kept_until_there_is_a_new_one(connect: Connect, tmp_path: Path) -> None:
    """A process that dies in a refresh finds its token: the refresh token deleted before the refresh was a bug."""
    store, held = SQLiteStore(tmp_path / "chats.db"), Held()
    with Sandbox(pace=0, sleep=held.sleep) as sandbox, ThreadPoolExecutor(1) as pool:
        chat = connect(**settings(sandbox, timeout=60), store=store)
        session = chat.connect()
        before = store.tokens(session.id)
        sandbox.faults(Fault.revoked("getQueueInfo", times=1), Fault.latency(0.5, "connectToken"))
        call = pool.submit(session.queue_info, sandbox.visual_queue_id)
        until(lambda: sandbox.stats().requests["connectToken"] == 2)
        assert before is not None
        assert before.refresh
        assert store.tokens(session.id) == before
        held.let_go()
        assert call.result(timeout=60).is_open
        until(lambda: (tokens := store.tokens(session.id)) and tokens.generation == 2)
        chat.close()
    store.close()
