"""One whole chat, held in each way that there is, with planted words that no log, value or trace may tell."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any

import pytest

from blocking import settings
from puzzel_chat import (
    AsyncConversation,
    AsyncPuzzelChat,
    Conversation,
    Event,
    MemoryStore,
    PollingLoop,
    PuzzelChat,
    Turn,
    Variable,
)
from puzzel_chat._clock import Clock
from puzzel_chat.sandbox import Fault, Sandbox
from waiting import until_async

PLANTED = "pl4nted"
WORDS: dict[str, Any] = {
    "customer": {"name": f"Ada {PLANTED}", "email": f"{PLANTED}@chat.example"},
    "variables": [Variable(f"order-{PLANTED}", PLANTED, secret=True)],
    "subject": f"About {PLANTED}",
    "history": [Turn("bot", f"I said {PLANTED}")],
}
SAID = (f"Hello, {PLANTED}", "end chat")
FAULTS = (
    Fault.status(503, "connectToken", times=1),
    Fault.revoked("getQueueInfo", times=1),
    Fault.status(500, "pollConversation", times=1, skip=1),
    Fault.truncate("sendMessage", times=1),
)
"""One of each kind of trouble: a retry, a refused token, a poll that fails, a send without a usable answer."""


def at_once(patched: pytest.MonkeyPatch) -> None:
    """Let nothing be waited for by chance."""
    patched.setattr(Clock, "uniform", lambda self, low, high: low)


def centre() -> Sandbox:
    """A contact centre with those faults, whose agent says the planted word, too."""
    return Sandbox(script="helpful", pace=0, client_secret=PLANTED, faults=FAULTS)


def given(sandbox: Sandbox, observe: Callable[[Any], object] | None, store: MemoryStore) -> dict[str, Any]:
    """Settings with everything that may hold a secret."""
    secrets = {"client_secret": PLANTED, "token_fields": {"audience": PLANTED}, "headers": {"X-Key": PLANTED}}
    return settings(sandbox, **secrets, store=store, observe=observe)


def blocking(sandbox: Sandbox, observe: Any, store: MemoryStore) -> str:
    """Hold the chat with the blocking client."""
    with PuzzelChat(**given(sandbox, observe, store)) as chat:
        with chat.start("support", sandbox.visual_queue_id, wait=30, **WORDS) as conversation:
            _talk(conversation)
            assert list(conversation.events())
        return conversation.id


def _talk(conversation: Conversation) -> None:
    for line in SAID:
        conversation.send(line)


def awaiting(sandbox: Sandbox, observe: Any, store: MemoryStore) -> str:
    """Hold it with the awaiting one."""

    async def scenario() -> str:
        async with AsyncPuzzelChat(**given(sandbox, observe, store)) as chat:
            async with chat.start("support", sandbox.visual_queue_id, wait=30, **WORDS) as conversation:
                for line in SAID:
                    await conversation.send(line)
                assert [event async for event in conversation.events()]
            return conversation.id

    return asyncio.run(scenario())


def looping(fast: bool) -> Callable[[Sandbox, Any, MemoryStore], str]:
    """Hold it with a `PollingLoop`, over that transport."""

    def hold(sandbox: Sandbox, observe: Any, store: MemoryStore) -> str:
        async def scenario() -> str:
            taken: list[Event] = []

            async def keep(_: AsyncConversation, event: Event) -> None:
                taken.append(event)

            async with AsyncPuzzelChat(**given(sandbox, observe, store)) as chat, PollingLoop(fast=fast) as loop:
                conversation = await chat.start("support", sandbox.visual_queue_id, wait=30, **WORDS)
                loop.add(conversation, keep)
                for line in SAID:
                    await conversation.send(line)
                await until_async(lambda: not loop.stats().conversations)
                await until_async(lambda: not loop.stats().handlers_at_work)
            assert taken
            return conversation.id

        return asyncio.run(scenario())

    return hold


WAYS: dict[str, Callable[[Sandbox, Any, MemoryStore], str]] = {
    "sync": blocking,
    "async": awaiting,
    "loop over httpx": looping(fast=False),
    "loop over fleet": looping(fast=True),
}
