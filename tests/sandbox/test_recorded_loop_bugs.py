"""Bugs that others shipped in loops, in the transport and with secrets."""

from __future__ import annotations

import asyncio
import logging
import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest

from blocking import settings
from hostile import Asked, Said, Service
from puzzel_chat import (
    AgentWaitTimeout,
    AsyncPuzzelChat,
    ConnectionDegraded,
    ConnectionRecovered,
    ConversationEnded,
    PuzzelChatError,
    ServerError,
    TextMessage,
    UnknownMessage,
)
from puzzel_chat.sandbox import SEMANTICS, Fault, Sandbox, Semantics
from puzzel_chat.testing import VirtualTime

Connect = Callable[..., Any]
TOKENS = {"access_token": "access-1", "refresh_token": "refresh-1", "expires_in": 600}
QUEUE = {"id": "support", "isOpen": True}


def test_a_bug_ends_the_loop(connect: Connect, monkeypatch: pytest.MonkeyPatch) -> None:
    """A mistake of our own comes out; every exception retried for ever, bugs included (aiogram), would hide it."""
    with Sandbox(pace=0) as sandbox:
        conversation = connect(**settings(sandbox)).start("support", wait=20)
        monkeypatch.setattr("puzzel_chat._wire.replies.event", lambda item: 1 / 0)
        with pytest.raises(ZeroDivisionError):
            list(conversation.events())
        assert sandbox.stats().requests["pollConversation"] == 1


def test_a_poll_that_hangs_is_given_up(connect: Connect) -> None:
    """Each poll has its time; a loop without was deaf for three days (larksuite/oapi-sdk-python#169)."""
    with Sandbox(pace=0) as sandbox:
        conversation = connect(**settings(sandbox, timeout=1.0)).start("support", wait=20)
        sandbox.faults(Fault.latency(600, "pollConversation", times=1))
        seen: list[type[object]] = []
        for event in conversation.events():
            seen.append(type(event))
            if isinstance(event, ConnectionRecovered):
                conversation.end()
        assert seen.index(ConnectionDegraded) < seen.index(ConnectionRecovered)
        assert TextMessage in seen


def test_two_loops_of_retries_never_multiply(connect: Connect, puzzel_time: VirtualTime) -> None:
    """A single call is tried three times, a look or a poll once each time it is due (HKUDS/nanobot#2760)."""
    with Sandbox(script="silent", pace=0, clock=puzzel_time.seconds) as sandbox:
        session = connect(**settings(sandbox, poll_interval=1)).connect()
        conversation = session.conversation()
        conversation.route("support")
        sandbox.faults(Fault.status(500))
        with pytest.raises(ServerError) as raised:
            session.queue_info(sandbox.visual_queue_id)
        assert raised.value.attempts == sandbox.stats().requests["getQueueInfo"] == 3
        began = puzzel_time.seconds()
        while puzzel_time.seconds() < began + 120:
            session.poll()
        # Full jitter at its middle: 1, 2, 4, 8, then 15 seconds between polls.
        assert sandbox.stats().requests["pollConversation"] <= 13
        with pytest.raises(AgentWaitTimeout):
            conversation.wait_for_agent(wait=60)
        assert sandbox.stats().requests["getRequestStatus"] <= 17


@pytest.mark.parametrize("semantics", SEMANTICS)
def test_a_bad_item_is_passed_over(connect: Connect, semantics: Semantics) -> None:
    """It comes once and what follows comes too: one bad update refetched for ever (python-telegram-bot) was a bug."""
    with Sandbox(pace=0, semantics=semantics) as sandbox:
        conversation = connect(**settings(sandbox)).start("support", wait=20)
        sandbox.faults(Fault.bad_item())
        conversation.send("one")
        conversation.send("end chat")
        seen = list(conversation.events())
    assert [type(event) for event in seen].count(UnknownMessage) == 1
    assert isinstance(seen[-1], ConversationEnded)
    assert {"one", "end chat"} <= {event.text for event in seen if isinstance(event, TextMessage)}


def test_a_cancelled_loop_leaves_nothing_running() -> None:
    """Who cancels a task that polls, waits or refreshes leaves no task alive (aiogram/aiogram#1635)."""

    async def scenario(sandbox: Sandbox) -> list[str]:
        async def listen(chat: AsyncPuzzelChat) -> None:
            conversation = await chat.start("support", wait=20)
            sandbox.faults(Fault.revoked("pollConversation", times=1), Fault.latency(0.2, "connectToken"))
            async for _ in conversation.events():
                pass

        async with AsyncPuzzelChat(**settings(sandbox)) as chat:
            listening = asyncio.create_task(listen(chat))
            waiting = asyncio.create_task(chat.start("silent", wait=20))
            while sandbox.stats().requests.get("connectToken", 0) < 3:
                await asyncio.sleep(0.01)
            for task in (listening, waiting):
                task.cancel()
            await asyncio.wait([listening, waiting])
            assert listening.cancelled()
            assert waiting.cancelled()
        return [repr(task) for task in asyncio.all_tasks() if task is not asyncio.current_task()]

    with Sandbox(pace=0) as sandbox:
        assert asyncio.run(scenario(sandbox)) == []
        assert sandbox.stats().left_queue == 1


def test_a_cancellation_is_never_tried_again() -> None:
    """A cancelled call, and one that waits to be tried again, end there and then (jd/tenacity#529)."""

    async def scenario(sandbox: Sandbox, *faults: Fault) -> int:
        async with AsyncPuzzelChat(**settings(sandbox)) as chat, await chat.connect() as session:
            before = sandbox.stats().requests.get("getQueueInfo", 0)
            sandbox.faults(*faults)
            call = asyncio.create_task(session.queue_info(sandbox.visual_queue_id))
            while sandbox.stats().requests.get("getQueueInfo", 0) == before:
                await asyncio.sleep(0.01)
            await asyncio.sleep(0.1)
            call.cancel()
            await asyncio.wait([call])
            assert call.cancelled()
            await asyncio.sleep(0.1)
            return sandbox.stats().requests["getQueueInfo"] - before

    with Sandbox(pace=0) as sandbox:
        assert asyncio.run(scenario(sandbox, Fault.latency(600, "getQueueInfo"))) == 1
        assert asyncio.run(scenario(sandbox, Fault.status(503, "getQueueInfo", retry_after=9))) == 1


def test_no_more_connections_than_we_say(connect: Connect, monkeypatch: pytest.MonkeyPatch) -> None:
    """A pool without a bound meets its first stall with one socket per chat (encode/httpx#3215): ours is bounded."""
    for module in ("_transport", "_async_transport"):
        monkeypatch.setattr(f"puzzel_chat.{module}.MAX_CONNECTIONS", 4)
    gate = threading.Semaphore(0)

    def answer(asked: Asked) -> Said:
        if "token" in asked.path:
            return Said(TOKENS)
        gate.acquire(timeout=20)
        return Said(QUEUE)

    with Service(answer) as service, ThreadPoolExecutor(40) as pool:
        # In a thread as the calls are: the main one has connections of its own.
        session = pool.submit(connect(base_url=service.base_url, solution_id="7").connect).result(timeout=30)
        calls = [pool.submit(session.queue_info, "27501") for _ in range(40)]
        while service.count("/api/queue") < 4:
            threading.Event().wait(0.01)
        gate.release(1000)
        assert all(call.result(timeout=30).is_open for call in calls)
        assert service.most_open <= 4


@pytest.mark.parametrize("rounds", [30, pytest.param(150, marks=pytest.mark.slow)])
def test_cancelled_requests_give_their_connections_back(rounds: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """Many cancellations of requests that wait for one another cost no slot of the pool (encode/httpcore#1093)."""
    monkeypatch.setattr("puzzel_chat._async_transport.MAX_CONNECTIONS", 2)

    async def scenario(sandbox: Sandbox) -> None:
        async with AsyncPuzzelChat(**settings(sandbox, timeout=60)) as chat:
            session = await chat.connect()
            for number in range(rounds):
                calls = [asyncio.create_task(session.queue_info(sandbox.visual_queue_id)) for _ in range(8)]
                await asyncio.sleep(0.0005 * (number % 12))
                for call in calls[number % 3 :: 2]:
                    call.cancel()
                results = await asyncio.gather(*calls, return_exceptions=True)
                assert [error for error in results if isinstance(error, PuzzelChatError)] == [], f"round {number}"

    with Sandbox(pace=0) as sandbox:
        asyncio.run(scenario(sandbox))


def test_no_secret_is_in_an_address_that_is_logged(connect: Connect, caplog: pytest.LogCaptureFixture) -> None:
    """The HTTP library logs full addresses at INFO (encode/httpx#2760); ours hold no token, secret or word."""
    caplog.set_level(logging.INFO)
    with Sandbox(pace=0, client_secret="marked-secret") as sandbox:
        chat = connect(**settings(sandbox), client_secret="marked-secret", token_fields={"api_key": "marked-key"})
        with chat.start("support", customer={"name": "marked-name"}, wait=20) as conversation:
            conversation.send("marked-words")
            tokens = conversation.session._state.keeper.life.tokens
            sandbox.faults(Fault.revoked("getQueueInfo", times=1))
            conversation.session.queue_info(sandbox.visual_queue_id)
    told = [record.getMessage() for record in caplog.records if record.name.startswith("http")]
    hidden = ("marked", tokens.access, tokens.refresh)
    assert [line for line in told if any(word in line for word in hidden)] == []
