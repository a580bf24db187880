"""Closing and interrupting: nobody stays in a queue, no token is lost, nothing goes on behind the caller's back."""

from __future__ import annotations

import asyncio
import gc
import os
import threading
import time
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest

from blocking import settings
from puzzel_chat import (
    AgentWaitTimeout,
    AsyncPuzzelChat,
    DeliveryUnknown,
    MemoryStore,
    PuzzelChat,
    PuzzelChatError,
    SQLiteStore,
    TextMessage,
)
from puzzel_chat.sandbox import Fault, Sandbox
from puzzel_chat.testing import VirtualTime
from waiting import Held, until

Connect = Callable[..., Any]


def test_closing_lets_a_refresh_land(connect: Connect, tmp_path: Path, puzzel_time: VirtualTime) -> None:
    """A token that is being refreshed when the client closes is stored, so that another process can go on with it."""
    store = SQLiteStore(tmp_path / "chats.db")
    slow = Fault.latency(0.5, "connectToken", after=True, skip=1)
    with Sandbox(script="manual", pace=0, token_life=600, faults=(slow,), clock=puzzel_time.seconds) as sandbox:
        chat = connect(**settings(sandbox), store=store)
        session = chat.connect()
        session.conversation("kept").route("support")
        puzzel_time.advance(590)
        until(lambda: session.queue_info(sandbox.visual_queue_id) and sandbox.stats().refreshes)
        chat.close()
        kept = store.load(session.id)
        assert kept is not None
        assert kept.tokens.generation == 2
        assert connect(**settings(sandbox), store=store).resume(session.id).queue_info(sandbox.visual_queue_id).is_open
        assert sandbox.stats().reuse_detected == 0
    store.close()


def test_closing_during_a_refresh_stops_the_polls(connect: Connect, puzzel_time: VirtualTime) -> None:
    """While a closing client waits for its refresh, nobody polls without a pause."""
    slow = Fault.latency(0.5, "connectToken", after=True, skip=1)
    with Sandbox(script="manual", pace=0, token_life=600, faults=(slow,), clock=puzzel_time.seconds) as sandbox:
        chat = connect(**settings(sandbox))
        session = chat.connect()
        puzzel_time.advance(590)
        until(lambda: session.queue_info(sandbox.visual_queue_id) and sandbox.stats().refreshes)
        chat.close()
        for call in (session.poll, lambda: session.queue_info(sandbox.visual_queue_id)):
            with pytest.raises(PuzzelChatError, match="closed"):
                call()
        assert sandbox.stats().requests.get("pollConversation", 0) == 0


def test_a_refresh_slower_than_a_token_lives_hangs_nobody(connect: Connect, puzzel_time: VirtualTime) -> None:
    """When refreshing takes longer than the token's life, calls are slow and come to an end."""
    slow = Fault.latency(1.2, "connectToken", skip=1)
    passing: dict[str, Any] = {"clock": puzzel_time.seconds, "sleep": puzzel_time.passing}
    with Sandbox(script="manual", pace=0, token_life=1.0, faults=(slow,), **passing) as sandbox:
        session = connect(**settings(sandbox)).connect()
        puzzel_time.advance(1.1)
        assert session.queue_info(sandbox.visual_queue_id).is_open


def test_an_older_object_does_not_forget_the_chat_of_a_newer_one(connect: Connect) -> None:
    """Closing a session object that knows of no chat keeps the session in which another object has one."""
    store = MemoryStore()
    with Sandbox(script="manual", pace=0) as sandbox:
        chat = connect(**settings(sandbox), store=store)
        older = chat.connect()
        newer = chat.resume(older.id, shared=True)
        newer.conversation("mine").route("support")
        older.close()
        assert [again.id for again in chat.resume(older.id).conversations] == ["mine"]


def test_a_request_for_an_agent_that_was_cut_off_is_left_too(connect: Connect) -> None:
    """A route that takes effect only after its caller gave up is ended, though the first end finds nothing."""
    late, held = Fault.latency(0.8, "routeConversation"), Held()
    with Sandbox(script="silent", pace=0, faults=(late,), sleep=held.sleep) as sandbox:
        chat = connect(**settings(sandbox, timeout=1.0))
        with ThreadPoolExecutor(1) as pool:
            starting = pool.submit(chat.start, "support", wait=5)
            until(lambda: sandbox.stats().requests.get("endConversation"))
            held.let_go()
            with pytest.raises(PuzzelChatError):
                starting.result(timeout=60)
        until(lambda: sandbox.stats().routed == sandbox.stats().ended > 0)


def test_a_refused_start_sends_no_end(connect: Connect) -> None:
    """After a refusal there is nothing to end, and nothing is sent."""
    with Sandbox(pace=0) as sandbox:
        with pytest.raises(PuzzelChatError):
            connect(**settings(sandbox)).connect().conversation().route("nobody")
        with connect(**settings(sandbox)).connect().conversation() as conversation, pytest.raises(PuzzelChatError):
            conversation.route("no-such-queue")
        assert "endConversation" not in sandbox.stats().requests


def test_a_message_under_way_when_the_client_closes_is_unknown(connect: Connect) -> None:
    """A send that lost its answer and then its session says that the message may have arrived."""
    lost = (Fault.drop("sendMessage", after=True), Fault.status(503, "pollConversation"))
    with Sandbox(pace=0, faults=lost) as sandbox, ThreadPoolExecutor(1) as pool:
        chat = connect(**settings(sandbox))
        conversation = chat.start("support", wait=20)
        sending = pool.submit(conversation.send, "Hello")
        until(lambda: sandbox.stats().requests.get("pollConversation"))
        chat.close()
        with pytest.raises(DeliveryUnknown):
            sending.result(timeout=10)


def test_closing_keeps_what_a_poll_under_way_brings(connect: Connect, tmp_path: Path) -> None:
    """A reply that takes messages away at the service is written down before the session is given back."""
    store = SQLiteStore(tmp_path / "chats.db")
    options = {"messages": 3, "interval": 0.01, "pace": 0.01, "semantics": "drain"}
    with Sandbox(script="chatty", **options) as sandbox, ThreadPoolExecutor(1) as pool:  # type: ignore[arg-type]
        conversation = connect(**settings(sandbox), store=store).start("support", wait=20)
        until(lambda: len(sandbox.ledger()[conversation.id]) >= 4)
        sandbox.faults(Fault.latency(0.3, "pollConversation", after=True))
        polling = pool.submit(conversation.session.poll)
        until(lambda: sandbox.stats().requests.get("pollConversation"))
        conversation.session.close()
        assert polling.exception(timeout=10) is None or "closed" in str(polling.exception())
        sandbox.faults()
        (again,) = connect(**settings(sandbox), store=store).resume(conversation.session.id).conversations
        again.send("end chat")
        texts = [event.text for event in again.events() if isinstance(event, TextMessage)]
        assert [text for text in texts if text.startswith("Message")] == [f"Message {n} of 3" for n in (1, 2, 3)]
    store.close()


def test_options_share_their_sessions(connect: Connect) -> None:
    """Closing the first client closes the sessions of those made from it by `with_options`."""
    with Sandbox(pace=0) as sandbox:
        chat = connect(**settings(sandbox))
        session = chat.with_options(poll_interval=1).connect()
        chat.close()
        with pytest.raises(PuzzelChatError, match="closed"):
            session.queue_info(sandbox.visual_queue_id)


def test_leaving_that_failed_is_tried_again_later(connect: Connect, puzzel_time: VirtualTime) -> None:
    """A queue that could not be left when the wait was over says so, and is left when the session closes later."""
    with Sandbox(script="silent", pace=0, clock=puzzel_time.seconds) as sandbox:
        session = connect(**settings(sandbox)).connect()
        conversation = session.conversation()
        conversation.route("support")
        sandbox.faults(Fault.status(403, "endConversation"))
        with pytest.raises(AgentWaitTimeout) as caught:
            conversation.wait_for_agent(wait=0.1)
        assert "".join(caught.value.__notes__).count("could not be ended") == 1
        assert sandbox.stats().requests["endConversation"] == 1, "one interruption tries once"
        assert not conversation.ended
        sandbox.faults()
        session.close()
        assert sandbox.stats().left_queue == 0, "so soon it is not tried again"


def test_a_session_closed_later_leaves_what_was_not_left(connect: Connect, puzzel_time: VirtualTime) -> None:
    """Five seconds after leaving failed, closing the session tries it again."""
    with Sandbox(script="silent", pace=0, clock=puzzel_time.seconds) as sandbox:
        session = connect(**settings(sandbox)).connect()
        conversation = session.conversation()
        conversation.route("support")
        sandbox.faults(Fault.status(403, "endConversation"))
        with pytest.raises(AgentWaitTimeout):
            conversation.wait_for_agent(wait=0.1)
        sandbox.faults()
        puzzel_time.advance(6)
        session.close()
        assert sandbox.stats().left_queue == 1


def test_two_objects_of_one_conversation_know_the_same(connect: Connect, puzzel_time: VirtualTime) -> None:
    """A request whose outcome one object does not know is ended by another one of the same id."""
    with Sandbox(script="silent", pace=0) as sandbox:
        session = connect(**settings(sandbox)).connect()
        sandbox.faults(Fault.drop("routeConversation", after=True), Fault.status(500, "getRequestStatus"))
        with pytest.raises(PuzzelChatError):
            session.conversation("mine").route("support")
        sandbox.faults()
        session.conversation("mine").end()
        assert (sandbox.stats().routed, sandbox.stats().ended) == (1, 1)


def test_closing_beside_calls_of_every_kind() -> None:
    """A client closed beside searches, readers and senders in other threads: every call ends, the queues are left."""
    with Sandbox(script="helpful", pace=0, faults=(Fault.latency(0.05),)) as sandbox, ThreadPoolExecutor(20) as pool:
        chat = PuzzelChat(**settings(sandbox))
        talks = list(pool.map(lambda _: chat.start("support", wait=20), range(5)))
        calls: list[Future[Any]] = [pool.submit(chat.start, "silent", wait=600) for _ in range(8)]
        calls += [pool.submit(list, talk.events()) for talk in talks]
        calls += [pool.submit(talk.send, "Hello") for talk in talks]
        until(lambda: sandbox.stats().routed == 13)
        time.sleep(0.02)
        chat.close()
        for call in calls:
            assert isinstance(call.exception(timeout=10), PuzzelChatError | None)
        until(lambda: sandbox.stats().left_queue == 8)


def test_a_refresh_that_is_interrupted_while_it_starts(monkeypatch: pytest.MonkeyPatch) -> None:
    """Ctrl-C just after the thread of a refresh began calls it off: nobody waits for it, and the next one refreshes."""
    start = threading.Thread.start

    def interrupted(thread: threading.Thread) -> None:
        start(thread)
        if thread.name == "puzzel-chat-refresh":
            raise KeyboardInterrupt

    with Sandbox(script="manual", pace=0) as sandbox, PuzzelChat(**settings(sandbox)) as chat:
        session = chat.connect()
        sandbox.faults(Fault.revoked("getQueueInfo", times=1))
        monkeypatch.setattr(threading.Thread, "start", interrupted)
        with pytest.raises(KeyboardInterrupt):
            session.queue_info(sandbox.visual_queue_id)
        monkeypatch.undo()
        assert session.queue_info(sandbox.visual_queue_id).is_open
        assert (sandbox.stats().refreshes, sandbox.stats().reuse_detected) == (1, 0)


def test_half_used_objects_are_collected_in_silence() -> None:
    """A client, a chat and its generators that nobody holds any more leave no socket and no warning behind."""
    with Sandbox(script="helpful", pace=0) as sandbox:
        conversation = PuzzelChat(**settings(sandbox)).start("support", wait=20)
        events = conversation.events()
        next(events)
        updates = conversation.allocation_updates()
        next(updates)
        open_before = len(os.listdir("/proc/self/fd")) if os.path.isdir("/proc/self/fd") else 0
        del conversation, events, updates
        gc.collect()
        if open_before:
            until(lambda: len(os.listdir("/proc/self/fd")) < open_before)


def test_half_used_generators_of_asyncio_are_collected_in_silence() -> None:
    """Generators that were begun and dropped end with the loop, without a task or a warning left."""

    async def main(address: dict[str, Any]) -> None:
        async with AsyncPuzzelChat(**address) as chat:
            conversation = await chat.start("support", wait=20)
            events, updates = conversation.events(), conversation.allocation_updates()
            await anext(events)
            await anext(updates)
            del events, updates
            gc.collect()
            await asyncio.sleep(0)
            await conversation.end()
        assert asyncio.all_tasks() == {asyncio.current_task()}

    with Sandbox(script="helpful", pace=0) as sandbox:
        asyncio.run(main(settings(sandbox)))
        assert sandbox.stats().ended == 1
