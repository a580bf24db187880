"""Every block of the README runs, against the sandbox, and so do the examples of the design."""

from __future__ import annotations

import re
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from programs import blocks, run
from puzzel_chat import Settings
from puzzel_chat._settings import env_name
from puzzel_chat.sandbox import Sandbox

ROOT = Path(__file__).parents[2]
README = (ROOT / "README.md").read_text()
PYTHON = blocks(README)
SHELL = [line for body in blocks(README, "sh") for line in body.splitlines()]

DESIGN_SYNC = """
from puzzel_chat import PuzzelChat, QueueClosed, TextMessage

with PuzzelChat(solution_id="12345", **HOSTS) as chat:                      # or PuzzelChat.from_env()
    try:
        conversation = chat.start("support", "27501", customer={"name": "Ada"}, wait=120, on_progress=print)
    except QueueClosed as closed:
        print("open again", closed.opens_at)
    else:
        with conversation:                                    # leaving the block always ends the chat, once
            conversation.send("My order has not arrived")
            for message in conversation.messages():
                if isinstance(message, TextMessage) and message.author.is_agent:
                    print(message.author.name, message.text)
"""
DESIGN_ASYNC = """
import asyncio
from puzzel_chat import AsyncPuzzelChat, QueueClosed, TextMessage

async def main():
    async with AsyncPuzzelChat(solution_id="12345", **HOSTS) as chat:
        try:
            conversation = await chat.start("support", "27501", customer={"name": "Ada"}, wait=120, on_progress=print)
        except QueueClosed as closed:
            print("open again", closed.opens_at)
        else:
            async with conversation:
                await conversation.send("My order has not arrived")
                async for message in conversation.messages():
                    if isinstance(message, TextMessage) and message.author.is_agent:
                        print(message.author.name, message.text)

asyncio.run(main())
"""


@pytest.fixture
def polite(published: Sandbox) -> Iterator[None]:
    """The agents end a chat once the customer was answered."""
    done = threading.Event()
    goodbye = threading.Thread(target=_end_answered_chats, args=(published, done))
    goodbye.start()
    yield
    done.set()
    goodbye.join()


def _end_answered_chats(sandbox: Sandbox, done: threading.Event) -> None:
    ended = set()
    while not done.wait(0.05):
        for conversation_id, entries in sandbox.ledger().items():
            roles = [entry.role.name for entry in entries if entry.type == "Text"]
            answered = "CUSTOMER" in roles and "AGENT" in roles[roles.index("CUSTOMER") :]
            if answered and conversation_id not in ended:
                ended.add(conversation_id)
                try:
                    sandbox.agent(conversation_id).end()
                except RuntimeError:  # the customer was faster
                    pass


@pytest.mark.parametrize("code", PYTHON, ids=range(len(PYTHON)))
def test_python_blocks_run(code: str, published: Sandbox, tmp_path: Path) -> None:
    """Each Python block of the README runs as it stands, against a sandbox as `make sandbox` starts it, to its end."""
    printed = run("-c", code, folder=tmp_path)
    assert "Kari" in printed
    assert "the chat was ended by the agent" in printed or published.stats().ended == 1


@pytest.mark.usefixtures("polite")
@pytest.mark.parametrize("code", [DESIGN_SYNC, DESIGN_ASYNC], ids=["sync", "async"])
def test_the_examples_of_the_design_run(code: str, published: Sandbox, tmp_path: Path) -> None:
    """The two examples that the library was designed by run as written."""
    hosts = {"base_url": published.base_url, "identity_url": published.identity_url}
    printed = run("-c", f"HOSTS = {hosts!r}\n{code}", folder=tmp_path)
    assert "assigned to Kari" in printed
    assert "Kari" in printed


@pytest.mark.usefixtures("published")
@pytest.mark.parametrize("line", SHELL)
def test_shell_lines_run(line: str, tmp_path: Path) -> None:
    """Each command of the README exists; those that come to an end by themselves are run to it."""
    program, *arguments = line.split()
    if program == "make":
        done = subprocess.run(["make", "-n", *arguments], cwd=ROOT, capture_output=True, text=True)
    else:
        assert program == "puzzel-chat"
        command = [sys.executable, "-c", "from puzzel_chat.cli import main; main()", *arguments]
        done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, input="Hello\n/end\n", timeout=60)
    assert done.returncode == 0, done.stdout + done.stderr


def test_every_setting_is_told() -> None:
    """The table of settings has each of them, with its variable, and no other."""
    rows = dict(re.findall(r"^\| `(\w+)` \| `(PUZZEL_CHAT_\w+)` \|", README, re.MULTILINE))
    assert rows == {name: env_name(name) for name in Settings.__annotations__}


def test_the_readme_stays_short() -> None:
    """At most 150 lines, and the two first examples at most twelve and fifteen."""
    assert len(README.splitlines()) <= 150
    assert len(PYTHON[0].strip().splitlines()) <= 12
    assert len(PYTHON[1].strip().splitlines()) <= 15


def test_every_link_leads_somewhere() -> None:
    """Links into the tree point at files that exist."""
    for target in re.findall(r"\]\((?!http)([^)]+)\)", README):
        assert (ROOT / target).exists(), target
