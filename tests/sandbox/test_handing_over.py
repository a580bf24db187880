"""Handing a chat over: what the agent gets to read, what has no room, and the recipe of a bot that does it."""

from __future__ import annotations

import asyncio
import logging
import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from importlib.util import module_from_spec, spec_from_file_location
from pathlib import Path
from typing import Any

import pytest

from blocking import settings
from puzzel_chat import AsyncPuzzelChat, InvalidArgument, Turn
from puzzel_chat.sandbox import Role, Sandbox
from waiting import PATIENCE, until_async

Connect = Callable[..., Any]
AT = datetime(2026, 11, 30, 13, 5, tzinfo=UTC)
HISTORY = (Turn("customer", "Where is my order?", AT, "Ada"), Turn("bot", "I do not know.\nA person may.", AT))
RECIPE = Path(__file__).parents[2] / "facade/docs/examples/handing_over.py"


@pytest.fixture
def centre() -> Iterator[Sandbox]:
    """A contact centre in which a test plays the agent."""
    with Sandbox(script="manual", pace=0) as sandbox:
        yield sandbox


def test_the_agent_reads_what_was_said_before(connect: Connect, centre: Sandbox) -> None:
    """Beside customer, subject and variables, one line for each turn."""
    conversation = connect(**settings(centre)).start(
        "support", customer={"name": "Ada"}, variables={"order": "7"}, subject="Late", history=HISTORY, wait=0
    )
    with conversation:
        order = centre.agent(conversation.id).order
        assert (order.queue_key, order.customer, order.subject) == ("support", {"name": "Ada"}, "Late")
        assert order.variables == ({"name": "order", "value": "7"},)
        assert order.history == (
            "2026-11-30 13:05 UTC, Ada (customer): Where is my order?\n"
            "2026-11-30 13:05 UTC, bot: I do not know. A person may."
        )
        assert conversation.history_left_out == 0


def test_a_conversation_of_a_session_is_handed_over_too(connect: Connect, centre: Sandbox) -> None:
    """`route` takes what `start` takes; one without a history hands none over."""
    session = connect(**settings(centre)).connect()
    first, second = session.conversation(), session.conversation()
    first.route("support", history=[{"role": "bot", "text": "Hi"}])
    second.route("support", history=[])
    assert centre.agent(first.id).order.history == "bot: Hi"
    assert centre.agent(second.id).order.history is None
    first.end()
    second.end()


@pytest.mark.parametrize("most", [2000, 65_536])
def test_a_long_history_is_cut_and_everybody_is_told(
    connect: Connect, centre: Sandbox, caplog: pytest.LogCaptureFixture, most: int
) -> None:
    """The agent reads how many turns are missing; the caller finds it on the conversation, and in a log."""
    turns = [Turn("customer", f"word {number} {'ø' * 40}", AT) for number in range(300)]
    chat = connect(**settings(centre), max_message_bytes=most)
    with chat.start("support", variables={"order": "7"}, history=turns, wait=0) as conversation:
        left_out = conversation.history_left_out
        first, *lines = str(centre.agent(conversation.id).order.history).split("\n")
    assert first == f"({left_out} earlier turns left out)"
    assert lines == [str(turn) for turn in turns[left_out:]]
    assert len(lines) > 2
    (record,) = (one for one in caplog.records if one.levelno == logging.WARNING)
    assert record.getMessage() == f"conversation {conversation.id}: {left_out} of 300 turns of its history had no room"


def test_what_is_beside_the_history_is_never_cut_for_it(connect: Connect, centre: Sandbox) -> None:
    """A request that is too large without it is refused before a session is opened, and names the setting."""
    chat = connect(**settings(centre), max_message_bytes=100)
    with pytest.raises(InvalidArgument, match="max_message_bytes"):
        chat.start("support", subject="x" * 100, history=HISTORY)
    assert centre.stats().total_requests == 0


def test_a_wrong_turn_is_told_before_anything_is_sent(connect: Connect, centre: Sandbox) -> None:
    """By its number and its field."""
    with pytest.raises(InvalidArgument, match=r"^history: turn 2: role: must be customer, bot, agent or system"):
        connect(**settings(centre)).start("support", history=[*HISTORY[:1], {"role": "user", "text": "Hi"}])
    assert centre.stats().total_requests == 0


def test_a_bot_is_silent_while_a_person_has_the_chat_and_gets_it_back() -> None:
    """The recipe as it stands, against the agents of `make sandbox`: it ends by itself."""
    with Sandbox(script="helpful", pace=0.02) as sandbox:
        env = {**os.environ, "PUZZEL_CHAT_POLL_INTERVAL": "0.05"}
        env |= {f"PUZZEL_CHAT_{name.upper()}": str(value) for name, value in sandbox.settings.items()}
        ran = subprocess.run([sys.executable, RECIPE], env=env, capture_output=True, text=True, timeout=PATIENCE)
        (conversation_id,) = sandbox.ledger()
        order = sandbox.agent(conversation_id).order
        heard = [entry.content for entry in sandbox.ledger()[conversation_id] if entry.role is Role.CUSTOMER]
    assert (ran.stderr, ran.returncode) == ("", 0)
    said = [line.partition(" UTC, ")[2] for line in ran.stdout.splitlines()]
    assert said == [
        "customer: Where is order 7?",
        "bot: I am a bot, and I read: Where is order 7?",
        "customer: A person, please",
        "bot: I am looking for a person.",
        "Kari (agent): Hello, this is Kari. How can I help?",
        "customer: end chat",
        "Kari (agent): Thank you, goodbye.",
        "bot: It is me again.",
        "customer: Thanks",
        "bot: I am a bot, and I read: Thanks",
    ]
    assert [line.partition(" UTC, ")[2] for line in str(order.history).split("\n")] == said[:4]
    assert heard == ["end chat"]


def loaded() -> Any:
    """The recipe as a module, which does not run by itself."""
    spec = spec_from_file_location("handing_over", RECIPE)
    assert spec is not None
    assert spec.loader is not None
    module = module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_a_bot_has_the_chat_between_two_agents(centre: Sandbox) -> None:
    """An agent who leaves gives the chat back to the bot until the next one comes, in the same conversation."""
    recipe = loaded()

    async def talk() -> list[str]:
        async with AsyncPuzzelChat(**settings(centre)) as chat, asyncio.TaskGroup() as tasks:
            desk = recipe.Desk(chat, tasks)
            await desk.hear("A person, please")
            await desk.hear("Any person")  # asks for nobody else
            await until_async(lambda: centre.stats().offered == 1)
            (conversation_id,) = centre.ledger()
            agent = centre.agent(conversation_id)
            agent.accept()
            await until_async(lambda: desk.person is not None)
            await desk.hear("To Kari")
            agent.leave()
            await until_async(lambda: desk.person is None)
            await desk.hear("To the bot")
            agent.accept()
            await until_async(lambda: desk.person is not None)
            agent.end()
            await desk.hear("Too late")
            await until_async(desk.task.done)
            return [str(turn).partition(" UTC, ")[2] for turn in desk.turns]

    said = asyncio.run(talk())
    assert said[:7] == [
        "customer: A person, please",
        "bot: I am looking for a person.",
        "customer: Any person",
        "bot: I am looking for a person.",
        "customer: To Kari",
        "customer: To the bot",
        "bot: I am a bot, and I read: To the bot",
    ]
    assert sorted(said[7:]) == ["bot: I am a bot, and I read: Too late", "bot: It is me again.", "customer: Too late"]
    (entries,) = centre.ledger().values()
    assert [entry.content for entry in entries if entry.role is Role.CUSTOMER] == ["To Kari"]
    assert centre.stats().routed == 1


def test_a_bot_goes_on_when_nobody_can_come(centre: Sandbox) -> None:
    """A closed queue gives the chat back at once."""
    centre.set_open("support", False)

    async def talk() -> list[str]:
        async with AsyncPuzzelChat(**settings(centre)) as chat, asyncio.TaskGroup() as tasks:
            desk = loaded().Desk(chat, tasks)
            await desk.hear("A person, please")
            await desk.task
            await desk.hear("Hm")
            return [turn.text for turn in desk.turns]

    assert asyncio.run(talk())[2:] == ["It is me again.", "Hm", "I am a bot, and I read: Hm"]


def test_the_recipe_is_short() -> None:
    """Under sixty lines, so that it can be read at once."""
    assert len(RECIPE.read_text(encoding="utf-8").splitlines()) < 60
