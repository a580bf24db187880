"""Whole chats over `RedisStore`, with both clients, and a server that loses what it had in the middle of one."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from typing import Any

import pytest

from puzzel_chat import AsyncPuzzelChat, PuzzelChat, TextMessage
from puzzel_chat.sandbox import Sandbox
from redis_server import RedisServer

from .conftest import Make, Serve


@pytest.fixture
def sandbox() -> Iterator[Sandbox]:
    """A contact centre whose agent answers."""
    with Sandbox(script="helpful", pace=0.02) as running:
        yield running


def test_a_chat_goes_on_on_another_machine(sandbox: Sandbox, server: RedisServer, make: Make) -> None:
    """One client begins it, another takes it up and reads it to its end, a third one only sends."""
    settings: dict[str, Any] = {**sandbox.settings, "poll_interval": 0.05}
    first = PuzzelChat(**settings, store=make(server))
    conversation = first.start(sandbox.queue_key, wait=30)
    conversation.send("My order has not arrived")
    session = conversation.session
    session.close()
    first.close()

    async def go_on() -> list[str]:
        async with AsyncPuzzelChat(**settings, store=make(server)) as second:
            taken = await second.resume(session.id)
            (talk,) = taken.conversations
            said: list[str] = []
            async with AsyncPuzzelChat(**settings, store=make(server)) as third:
                helper = await third.attach(talk.id)
                await helper.send("end chat")
            async for message in talk.messages():
                if isinstance(message, TextMessage):
                    said.append(message.id)
            return said

    after = asyncio.run(go_on())
    assert len(after) >= 2
    assert len(set(after)) == len(after)


def test_a_chat_survives_a_server_that_lost_everything(sandbox: Sandbox, serve: Serve, make: Make) -> None:
    """Redis comes back empty in the middle of a chat: its owner puts it back, and another machine finds it."""
    running = serve()
    store = make(running)

    async def chat() -> str | None:
        settings: dict[str, Any] = {**sandbox.settings, "poll_interval": 0.05}
        async with AsyncPuzzelChat(**settings, store=store) as client:
            talk = await client.start(sandbox.queue_key, wait=30)
            await talk.send("hello")
            await asyncio.to_thread(running.restart)
            async with asyncio.timeout(30):
                found = None
                async for message in talk.messages():
                    if isinstance(message, TextMessage) and found is None:
                        found = store.find(talk.id)
                        if found is None:
                            await talk.send("hello again")
                        else:
                            await talk.send("end chat")
            assert found == talk.session.id
            return found

    assert asyncio.run(chat()) is not None
