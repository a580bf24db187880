"""A `PollingLoop` that also waits for the agent, over both transports: one handler has the whole life of a chat."""

from __future__ import annotations

import asyncio
from collections import defaultdict
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from itertools import dropwhile
from typing import Any

import pytest

from blocking import settings
from puzzel_chat import (
    AgentWaitTimeout,
    AllocationChanged,
    AllocationStage,
    AsyncConversation,
    AsyncPuzzelChat,
    ConversationEnded,
    Event,
    InvalidArgument,
    PermissionDenied,
    PollingLoop,
    Role,
    TextMessage,
)
from puzzel_chat.sandbox import Fault, Sandbox
from puzzel_chat.testing import VirtualTime
from waiting import until_async


@pytest.fixture(params=[False, True], ids=["httpx", "fleet"])
def fast(request: pytest.FixtureRequest) -> bool:
    """Tell which transport the polls go over."""
    return bool(request.param)


class Kept:
    """A handler that keeps what it is given."""

    def __init__(self) -> None:
        self.taken: dict[str, list[Event]] = defaultdict(list)
        self.failures: list[Exception] = []

    async def handle(self, conversation: AsyncConversation, event: Event) -> None:
        """Keep it."""
        self.taken[conversation.id].append(event)

    async def fail(self, _: AsyncConversation, error: Exception) -> None:
        """Keep what ended the polling."""
        self.failures.append(error)

    def stages(self, conversation: AsyncConversation) -> list[AllocationStage]:
        """Give the stages of the search that were told."""
        return [one.allocation.stage for one in self.taken[conversation.id] if isinstance(one, AllocationChanged)]


@asynccontextmanager
async def waiting(
    sandbox: Sandbox, fast: bool, wait: float = 60, chats: int = 1, **more: Any
) -> AsyncIterator[tuple[Kept, PollingLoop, list[AsyncConversation]]]:
    """Open so many chats that a loop waits for an agent for."""
    kept = Kept()
    async with AsyncPuzzelChat(**settings(sandbox, **more)) as client:
        opened = await asyncio.gather(*(client.start("support", wait=0) for _ in range(chats)))
        async with PollingLoop(fast=fast, on_failure=kept.fail) as loop:
            for conversation in opened:
                loop.add(conversation, kept.handle, wait=wait)
            yield kept, loop, opened


def ending(kept: Kept, conversation: AsyncConversation) -> ConversationEnded:
    """Give the end of a chat, which came once and last."""
    ends = [event for event in kept.taken[conversation.id] if isinstance(event, ConversationEnded)]
    assert len(ends) == 1
    assert kept.taken[conversation.id][-1] is ends[0]
    return ends[0]


def test_the_search_comes_before_everything_else(fast: bool) -> None:
    """A handler hears of each change of the search, then that an agent has the chat, and only then what was said."""

    async def scenario() -> None:
        async with waiting(sandbox, fast, chats=6) as (kept, loop, opened):
            for conversation in opened:
                await conversation.send("end chat")
            await until_async(lambda: loop.stats().conversations == 0)
            for conversation in opened:
                events, stages = kept.taken[conversation.id], kept.stages(conversation)
                assert stages[-1] is AllocationStage.ASSIGNED
                assert stages == list(dict.fromkeys(stages))
                after = list(dropwhile(lambda event: isinstance(event, AllocationChanged), events))
                assert not any(isinstance(event, AllocationChanged) for event in after)
                assert [event.id for event in after if isinstance(event, TextMessage)] == [
                    entry.id for entry in sandbox.ledger()[conversation.id] if entry.type == "Text"
                ]
                assert ending(kept, conversation).by is Role.AGENT

    with Sandbox(pace=0) as sandbox:
        asyncio.run(scenario())


def test_a_word_of_the_agent_is_not_kept_waiting_for_the_next_look(fast: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    """When a poll shows an agent, the loop asks at once, though its next look was due in an hour."""
    monkeypatch.setattr("puzzel_chat._routing.DELAYS", (0.0, 3600.0))

    async def scenario() -> None:
        async with waiting(sandbox, fast, wait=7200) as (kept, loop, (conversation,)):
            await until_async(lambda: kept.stages(conversation))
            sandbox.agent(conversation.id).accept()
            sandbox.agent(conversation.id).say("Hello")
            await until_async(lambda: any(isinstance(one, TextMessage) for one in kept.taken[conversation.id]))
            assert kept.stages(conversation)[-1] is AllocationStage.ASSIGNED
            assert loop.stats().searching == 0
            await conversation.end()

    with Sandbox(script="manual", pace=0) as sandbox:
        asyncio.run(scenario())


def test_nobody_in_time(fast: bool) -> None:
    """After its time a chat leaves the queue, and its handler is told so: the end is the system's, with the reason."""

    async def scenario() -> None:
        time = VirtualTime()
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr("puzzel_chat._client.Clock", lambda: time)
            async with waiting(sandbox, fast, wait=30) as (kept, loop, (conversation,)):
                began = time.monotonic()
                await until_async(lambda: loop.stats().conversations == 0)
                assert time.monotonic() >= began + 30
                end = ending(kept, conversation)
                assert (end.by, end.reason) == (Role.SYSTEM, "AgentWaitTimeout")
                assert kept.stages(conversation) == [AllocationStage.QUEUED]
                assert conversation.ended
                assert not kept.failures
                assert sandbox.stats().left_queue == 1

    with Sandbox(script="silent", pace=0) as sandbox:
        asyncio.run(scenario())


def test_a_queue_that_cannot_be_left_is_a_failure(fast: bool) -> None:
    """When leaving fails, `on_failure` is told, and the chat counts as going on: the program's exit ends it."""

    async def scenario() -> None:
        async with waiting(sandbox, fast, wait=0) as (kept, loop, (conversation,)):
            await until_async(lambda: kept.failures)
            assert isinstance(kept.failures[0], AgentWaitTimeout)
            assert loop.stats().conversations == 0
            assert not conversation.ended

    with Sandbox(script="silent", pace=0, faults=(Fault.status(403, "endConversation"),)) as sandbox:
        asyncio.run(scenario())


def test_a_refusal_ends_the_chat(fast: bool) -> None:
    """When the contact centre refuses, the handler gets the end with its reason, and the loop lets go."""

    async def scenario() -> None:
        async with waiting(sandbox, fast) as (kept, loop, (conversation,)):
            await until_async(lambda: loop.stats().conversations == 0)
            end = ending(kept, conversation)
            assert (end.by, end.reason) == (Role.SYSTEM, "NoAgents")
            assert conversation.ended
            assert not kept.failures

    with Sandbox(script="refuse", pace=0) as sandbox:
        asyncio.run(scenario())


def test_an_end_of_ours_ends_the_wait(fast: bool) -> None:
    """A chat that we end while it waits comes to its own end, by the customer."""

    async def scenario() -> None:
        async with waiting(sandbox, fast) as (kept, loop, (conversation,)):
            await until_async(lambda: kept.stages(conversation))
            await conversation.end()
            await until_async(lambda: loop.stats().conversations == 0)
            assert ending(kept, conversation).by is Role.CUSTOMER

    with Sandbox(script="silent", pace=0) as sandbox:
        asyncio.run(scenario())


@pytest.mark.parametrize("how", ["remove", "aclose"])
def test_a_loop_that_lets_go_leaves_the_chat_in_the_queue(fast: bool, how: str) -> None:
    """`remove()` and `aclose()` stop the wait alone: the chat keeps its place, and may be waited for again."""

    async def scenario() -> None:
        async with waiting(sandbox, fast) as (kept, loop, (conversation,)):
            await until_async(lambda: kept.stages(conversation))
            if how == "remove":
                loop.remove(conversation)
            else:
                await loop.aclose()
            assert sandbox.stats().left_queue == 0
            sandbox.agent(conversation.id).accept()
            sandbox.agent(conversation.id).end()
            async with PollingLoop(fast=fast) as second:
                second.add(conversation, kept.handle, wait=60)
                await until_async(lambda: second.stats().conversations == 0)
            assert kept.stages(conversation)[-1] is AllocationStage.ASSIGNED
            assert ending(kept, conversation).by is Role.AGENT

    with Sandbox(script="manual", pace=0) as sandbox:
        asyncio.run(scenario())


def test_a_loop_that_ends_its_chats_leaves_the_queue(fast: bool) -> None:
    """`aclose(end=True)` leaves the queue for each chat that waits."""

    async def scenario() -> None:
        async with waiting(sandbox, fast, chats=3) as (kept, loop, opened):
            await until_async(lambda: all(kept.stages(conversation) for conversation in opened))
            await loop.aclose(end=True)
            assert sandbox.stats().left_queue == 3

    with Sandbox(script="silent", pace=0) as sandbox:
        asyncio.run(scenario())


def test_a_failure_that_no_look_can_mend_is_told_as_one(fast: bool) -> None:
    """A wait that the service forbids ends with `on_failure`, after leaving the queue."""

    async def scenario() -> None:
        async with waiting(sandbox, fast) as (kept, loop, (conversation,)):
            await until_async(lambda: kept.failures)
            assert isinstance(kept.failures[0], PermissionDenied)
            assert loop.stats().conversations == 0
            assert sandbox.stats().left_queue == 1
            assert not kept.taken[conversation.id]

    with Sandbox(script="silent", pace=0, faults=(Fault.status(403, "getRequestStatus"),)) as sandbox:
        asyncio.run(scenario())


@pytest.mark.parametrize("wait", [-1, float("inf"), float("nan"), "60", True])
def test_a_wait_is_a_number_of_seconds(wait: Any) -> None:
    """Another `wait` is refused before the loop takes the conversation."""

    async def scenario() -> None:
        kept = Kept()
        async with AsyncPuzzelChat(**settings(sandbox)) as client, PollingLoop() as loop:
            conversation = await client.start("support", wait=0)
            with pytest.raises(InvalidArgument, match="wait"):
                loop.add(conversation, kept.handle, wait=wait)
            assert loop.stats().conversations == 0
            loop.add(conversation, kept.handle)
            await conversation.end()

    with Sandbox(pace=0) as sandbox:
        asyncio.run(scenario())
