"""Mistakes that a type checker must find, in strict mypy and strict pyright; the right uses are in `public_calls`."""

from __future__ import annotations

import json
import re
import subprocess
import sys
import textwrap
from pathlib import Path

import pytest
from mypy import api

from puzzel_chat.testing import StoreContract

ROOT = Path(__file__).parents[2]
PREAMBLE = """\
# pyright: strict
from __future__ import annotations

from pathlib import Path
from typing import assert_never

from puzzel_chat import (
    AgentJoined, AgentLeft, AgentTyping, Allocation, AllocationChanged, AllocationStage, AsyncConversation,
    AsyncPuzzelChat, Author, ConnectionDegraded, Conversation, ConversationEnded, Customer, Event, FileMessage,
    MemoryStore, Message, MessageEdited, OptionsMessage, PollingLoop, PuzzelChat, Session, Settings,
    StoredConversation, TextMessage, TokenSet, UnknownMessage, Variable, Visitor, is_message,
)
from puzzel_chat.sandbox import Sandbox
from puzzel_chat.testing import StoreContract


def no_event(conversation: AsyncConversation) -> None: ...
def takes_text(conversation: AsyncConversation, text: str) -> None: ...
def blocking_handler(conversation: Conversation, event: Event) -> None: ...
def failed_text(conversation: AsyncConversation, error: str) -> None: ...
def progress(position: int) -> None: ...
def decides_nothing(conversation: AsyncConversation, event: Event, error: Exception) -> None: ...
def shows_stage(stage: AllocationStage) -> None: ...


class HalfAStore:
    def close(self) -> None: ...


class TestHalf(StoreContract):
    def open_store(self, folder: Path) -> MemoryStore:
        return HalfAStore()
"""
ARGUMENTS = """\
    chat: PuzzelChat, achat: AsyncPuzzelChat, session: Session, conversation: Conversation, talk: AsyncConversation,
    loop: PollingLoop, event: Event, message: Message, text: TextMessage, allocation: Allocation, settings: Settings,
"""
# The last line of each is the mistake.
MISUSES = """\
PuzzelChat.from_env(timeut=3)

PuzzelChat.from_env(verify=False)

PuzzelChat.from_env(observe="print")

PuzzelChat.from_env(observe=takes_text)

PuzzelChat.from_env(proxy=3128)

PuzzelChat.from_env(headers=["X-Key"])

conversation.send("Hello", timeout="3")

conversation.send("Hello", 3)

AsyncPuzzelChat.from_env(timeout="3")

chat.with_options(poll_intervall=1)

achat.with_options(timeout="3")

PuzzelChat(region="us", solution_id="7")

settings.replace(solution="7")

Settings.from_env(region="us")

PuzzelChat.from_env(store=HalfAStore())

PuzzelChat(store="chats.db")

chat.start("support", customer={"naem": "Ada"})

await talk.route("support", customer={"name": 7})

chat.start("support", customer="Ada")

chat.start("support", variables=["order"])

chat.start("support", variables={"order": 17})

chat.start(27504)

chat.start("support", wait="120")

chat.start("support", on_progress=progress)

await achat.start("support", on_progress=progress)

chat.connect(visitor="Ada")

session.conversation(17)

conversation.send(17)

conversation.typing("yes")

achat.start("support").send("Hello")

async with achat.start("support") as begun:
    begun.send("Hello").text

async with chat.start("support"): pass

loop.add(talk, no_event)

loop.add(talk, takes_text)

loop.add(talk, blocking_handler)

loop.add(conversation, lambda conversation, event: None)

PollingLoop(on_failure=failed_text)

PollingLoop(on_handler_error="stop")

PollingLoop(on_handler_error=decides_nothing)

Author(role="agent")

ConversationEnded(conversation_id="c", id="1", by="agent")

Allocation(stage="queued", fetched_at=allocation.fetched_at)

shows_stage("queued")

text.text = "other words"

event.text

allocation.position

UnknownMessage(conversation_id="c", id="1", type="Poll")

StoredConversation(id="c", life="open")

TokenSet(access=b"secret", obtained=0.0)

MemoryStore().acquire("s", "write", "me", 0.0, 60.0)

MemoryStore().journal("s", "me", None, [{"id": "1"}])

Variable("order", 17)

Visitor(token="a")

TextMessage.from_dict("text")

Customer(naem="Ada")

Sandbox(script="helpful").settings["region"]

match event:
    case TextMessage() | OptionsMessage() | FileMessage() | UnknownMessage() | MessageEdited() | AllocationChanged():
        pass
    case AgentJoined() | AgentLeft() | AgentTyping() | ConversationEnded() | ConnectionDegraded():
        pass
    case _:
        assert_never(event)

if not is_message(event):
    event.text

if event.type == "agent_joined":
    event.text

match event.type:
    case "text_message" | "options_message" | "file_message" | "unknown_message" | "message_edited" | "agent_joined":
        pass
    case _:
        assert_never(event.type)

match allocation.stage:
    case AllocationStage.QUEUED | AllocationStage.OFFERED:
        pass
    case _:
        assert_never(allocation.stage)
"""


def entries() -> list[str]:
    """The mistakes, one by one."""
    return re.split(r"\n\n(?=\S)", MISUSES.strip())


def written() -> tuple[str, dict[int, str]]:
    """One file with all mistakes, each in a function of its own, and the lines on which they stand."""
    text = PREAMBLE
    wrong = {len(text.splitlines()): "        return HalfAStore()"}
    for number, entry in enumerate(entries()):
        text += f"\n\nasync def misuse_{number}(\n{ARGUMENTS}) -> None:\n{textwrap.indent(entry, '    ')}\n"
        wrong[len(text.splitlines())] = entry.splitlines()[-1]
    return text, wrong


def by_mypy(file: Path) -> set[int]:
    """The lines of which mypy complains."""
    report, broken, _ = api.run(["--config-file", str(ROOT / "pyproject.toml"), "--no-error-summary", str(file)])
    assert not broken, broken
    found = re.findall(rf"{re.escape(file.name)}:(\d+): error: ", report)
    assert found or "error" not in report, report
    return {int(line) for line in found}


def by_pyright(file: Path) -> set[int]:
    """The lines of which pyright complains, in strict mode."""
    command = [sys.executable, "-m", "pyright", "--outputjson", "--pythonpath", sys.executable, str(file)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    found = json.loads(done.stdout)["generalDiagnostics"]
    return {one["range"]["start"]["line"] + 1 for one in found if one["severity"] == "error"}


def test_there_are_twenty_mistakes_and_more() -> None:
    """The table is one that a checker can read, and no mistake stands in it twice."""
    text, wrong = written()
    compile(text, "misuses.py", "exec")
    assert len(wrong) == len(entries()) + 1 > 20
    assert len(set(entries())) == len(entries())


@pytest.mark.slow
@pytest.mark.parametrize("checker", [by_mypy, by_pyright])
def test_each_mistake_is_an_error(checker: type, tmp_path: Path) -> None:
    """Exactly the wrong lines are, no line before them."""
    file = tmp_path / "misuses.py"
    text, wrong = written()
    file.write_text(text, encoding="utf-8")
    found = checker(file)
    assert {line: mistake for line, mistake in wrong.items() if line not in found} == {}
    lines = text.splitlines()
    assert {line: lines[line - 1] for line in found - wrong.keys()} == {}


@pytest.mark.slow
@pytest.mark.parametrize("checker", [by_mypy, by_pyright])
def test_the_store_that_the_contract_shows_is_typed(checker: type, tmp_path: Path) -> None:
    """A reader who copies it gets no complaint in strict mode."""
    _, _, code = (StoreContract.__doc__ or "").partition("and its tests:\n")
    file = tmp_path / "a_store.py"
    file.write_text(f"# pyright: strict\n{textwrap.dedent(code)}", encoding="utf-8")
    assert checker(file) == set()
