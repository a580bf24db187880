"""What `connect()` and `start()` of the asyncio client give: something to await, and to use in a block at once."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any

import pytest

from puzzel_chat import AsyncConversation, AsyncPuzzelChat, AsyncSession, InvalidArgument, QueueClosed
from puzzel_chat.sandbox import Sandbox

Begin = Callable[[AsyncPuzzelChat], Any]
WAYS: dict[str, tuple[Begin, type[Any]]] = {
    "connect": (lambda chat: chat.connect(), AsyncSession),
    "start": (lambda chat: chat.start("support", wait=0), AsyncConversation),
}


@pytest.mark.parametrize("way", WAYS)
def test_a_block_needs_no_second_await(way: str, puzzel_sandbox: Sandbox, puzzel_chat_settings: dict[str, Any]) -> None:
    """`async with chat.start(…) as conversation` gives the conversation, and the end of the block ends it, once."""
    begin, kind = WAYS[way]

    async def scenario() -> None:
        async with AsyncPuzzelChat(**puzzel_chat_settings) as chat:
            async with begin(chat) as found:
                assert isinstance(found, kind)
            async with await begin(chat) as found:
                assert isinstance(found, kind)

    asyncio.run(scenario())
    stats = puzzel_sandbox.stats()
    assert (stats.routed, stats.ended) == ((2, 2) if way == "start" else (0, 0))


@pytest.mark.parametrize("way", WAYS)
def test_it_is_a_coroutine_too(way: str, puzzel_sandbox: Sandbox, puzzel_chat_settings: dict[str, Any]) -> None:
    """Whatever takes a coroutine takes it: a task, a group, a time limit."""
    begin, kind = WAYS[way]

    async def scenario() -> list[object]:
        async with AsyncPuzzelChat(**puzzel_chat_settings) as chat:
            async with asyncio.TaskGroup() as group:
                task = group.create_task(begin(chat))
            gathered = await asyncio.gather(begin(chat), asyncio.wait_for(begin(chat), 30))
            return [task.result(), await asyncio.create_task(begin(chat)), *gathered]

    assert {type(found) for found in asyncio.run(scenario())} == {kind}


def test_what_goes_wrong_is_raised_at_the_block(puzzel_sandbox: Sandbox, puzzel_chat_settings: dict[str, Any]) -> None:
    """Unusable arguments and a closed queue; the block is not entered, and nothing is left that nobody awaited."""

    async def scenario(queue_key: Any, error: type[Exception], **wrong: Any) -> None:
        async with AsyncPuzzelChat(**puzzel_chat_settings) as chat:
            with pytest.raises(error):
                async with chat.start(queue_key, **wrong):
                    pytest.fail("the block was entered")

    asyncio.run(scenario(5, InvalidArgument))
    asyncio.run(scenario("support", InvalidArgument, on_progress="x"))
    asyncio.run(scenario("support", InvalidArgument, customer={"naem": "Ada"}))
    puzzel_sandbox.set_open("support", False)
    asyncio.run(scenario("support", QueueClosed))
    assert puzzel_sandbox.stats().routed == 0


def test_a_forgotten_await_is_told(puzzel_sandbox: Sandbox, puzzel_chat_settings: dict[str, Any]) -> None:
    """Python warns of it by the method's name, as of each coroutine."""

    async def scenario() -> None:
        async with AsyncPuzzelChat(**puzzel_chat_settings) as chat:
            chat.start("support")

    with pytest.warns(RuntimeWarning, match=r"AsyncPuzzelChat\.start' was never awaited"):
        asyncio.run(scenario())
    assert puzzel_sandbox.stats().routed == 0
