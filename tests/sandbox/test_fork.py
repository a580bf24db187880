"""A fork in the middle of a chat, and an interpreter that ends without `close()`: the chat stays who it was's."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from blocking import settings
from puzzel_chat import PuzzelChat, SQLiteStore
from puzzel_chat.sandbox import Sandbox
from quick import quick_only

WORKER = Path(__file__).with_name("fork_worker.py")


def run(what: str, sandbox: Sandbox, file: str) -> subprocess.CompletedProcess[str]:
    """Run the worker to its end."""
    command = [sys.executable, str(WORKER), what, json.dumps(settings(sandbox)), file]
    return subprocess.run(command, capture_output=True, text=True, timeout=60)


@pytest.mark.skipif(not hasattr(os, "fork"), reason="there is no fork here")
@pytest.mark.parametrize("what", quick_only(["sync"], ["sync", "async"]))
@pytest.mark.parametrize("file", ["sessions.db", pytest.param("", marks=pytest.mark.slow)], ids=["sqlite", "memory"])
def test_a_forked_child_leaves_its_parents_chat_alone(what: str, file: str, tmp_path: Path) -> None:
    """In the child each call on the session says whose it is, and leaving the blocks ends and deletes nothing."""
    with Sandbox(script="helpful", pace=0.02) as sandbox:
        done = run(what, sandbox, str(tmp_path / file) if file else "")
        assert done.returncode == 0, done.stderr
        (entries,) = sandbox.ledger().values()
    said = [entry.content for entry in entries if entry.role.name == "CUSTOMER" and entry.type == "Text"]
    assert said == [*(["from the child"] * 5 if file and what == "sync" else []), "end chat"]
    assert sandbox.stats().ended == 1


def test_an_interpreter_that_ends_without_close_gives_the_mail_back(tmp_path: Path) -> None:
    """It ends quickly, the chat goes on, and the next process takes it up at once."""
    store = tmp_path / "sessions.db"
    with Sandbox(script="helpful", pace=0.02) as sandbox:
        done = run("careless", sandbox, str(store))
        assert done.returncode == 0, done.stderr
        assert sandbox.stats().ended == 0
        with PuzzelChat(**settings(sandbox), store=SQLiteStore(store)) as chat:
            (conversation,) = chat.resume(done.stdout.strip()).conversations
            conversation.send("end chat")
            assert [type(event).__name__ for event in conversation.events()][-1] == "ConversationEnded"
