"""Closing and interrupting: nobody stays in a queue, no token is lost, nothing goes on behind the caller's back."""

from __future__ import annotations

import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest

from blocking import settings
from puzzel_chat import DeliveryUnknown, MemoryStore, PuzzelChatError, SQLiteStore
from puzzel_chat.sandbox import Fault, Sandbox

Connect = Callable[..., Any]


def until(condition: Callable[[], object]) -> None:
    """Wait for something that must happen soon."""
    deadline = time.monotonic() + 20
    while not condition():
        assert time.monotonic() < deadline, "it does not happen"
        time.sleep(0.01)


def test_closing_lets_a_refresh_land(connect: Connect, tmp_path: Path) -> None:
    """A token that is being refreshed when the client closes is stored, so that another process can go on with it."""
    store = SQLiteStore(tmp_path / "chats.db")
    slow = Fault.latency(0.5, "connectToken", after=True, skip=1)
    with Sandbox(script="manual", pace=0, token_life=2.0, faults=(slow,)) as sandbox:
        chat = connect(**settings(sandbox), store=store)
        session = chat.connect()
        session.conversation("kept").route("support")
        until(lambda: session.queue_info("support") and sandbox.stats().refreshes)
        chat.close()
        kept = store.load(session.id)
        assert kept is not None
        assert kept.tokens.generation == 2
        assert connect(**settings(sandbox), store=store).resume(session.id).queue_info("support").is_open
        assert sandbox.stats().reuse_detected == 0
    store.close()


def test_closing_during_a_refresh_stops_the_polls(connect: Connect) -> None:
    """While a closing client waits for its refresh, nobody polls without a pause."""
    slow = Fault.latency(0.5, "connectToken", after=True, skip=1)
    with Sandbox(script="manual", pace=0, token_life=2.0, faults=(slow,)) as sandbox:
        chat = connect(**settings(sandbox))
        session = chat.connect()
        until(lambda: session.queue_info("support") and sandbox.stats().refreshes)
        chat.close()
        for call in (session.poll, lambda: session.queue_info("support")):
            with pytest.raises(PuzzelChatError, match="closed"):
                call()
        assert sandbox.stats().requests.get("pollConversation", 0) == 0


def test_a_refresh_slower_than_a_token_lives_hangs_nobody(connect: Connect) -> None:
    """When refreshing takes longer than the token's life, calls are slow and come to an end."""
    slow = Fault.latency(1.2, "connectToken", skip=1)
    with Sandbox(script="manual", pace=0, token_life=1.0, faults=(slow,)) as sandbox:
        session = connect(**settings(sandbox)).connect()
        time.sleep(1.1)  # the token's own life, on the simulator's real clock
        assert session.queue_info("support").is_open


def test_an_older_object_does_not_forget_the_chat_of_a_newer_one(connect: Connect) -> None:
    """Closing a session object that knows of no chat keeps the session in which another object has one."""
    store = MemoryStore()
    with Sandbox(script="manual", pace=0) as sandbox:
        chat = connect(**settings(sandbox), store=store)
        older = chat.connect()
        newer = chat.resume(older.id)
        newer.conversation("mine").route("support")
        older.close()
        assert [again.id for again in chat.resume(older.id).conversations] == ["mine"]


def test_a_request_for_an_agent_that_was_cut_off_is_left_too(connect: Connect) -> None:
    """A route that takes effect only after its caller gave up is ended, though the first end finds nothing."""
    late = Fault.latency(0.8, "routeConversation")
    with Sandbox(script="silent", pace=0, faults=(late,)) as sandbox:
        chat = connect(**settings(sandbox, timeout=0.3))
        with pytest.raises(PuzzelChatError):
            chat.start("support", wait=5)
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


def test_options_share_their_sessions(connect: Connect) -> None:
    """Closing the first client closes the sessions of those made from it by `with_options`."""
    with Sandbox(pace=0) as sandbox:
        chat = connect(**settings(sandbox))
        session = chat.with_options(poll_interval=1).connect()
        chat.close()
        with pytest.raises(PuzzelChatError, match="closed"):
            session.queue_info("support")
