"""A chat survives its process: killed with SIGKILL at any moment, another process goes on."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from random import Random

import pytest

from puzzel_chat.sandbox import SEMANTICS, Sandbox, Semantics

WORKER = Path(__file__).with_name("chat_worker.py")


def wait_for_lines(notes: Path, more_than: int, process: subprocess.Popen[bytes]) -> int:
    """Wait until the worker has noted more lines, or ended; gives how many there are."""
    deadline = time.monotonic() + 60
    while time.monotonic() < deadline:
        lines = notes.read_text().count("\n") if notes.exists() else 0
        if lines > more_than or process.poll() is not None:
            return lines
        time.sleep(0.01)
    raise AssertionError("the worker notes nothing")


@pytest.mark.parametrize("semantics", SEMANTICS)
def test_killed_and_resumed(tmp_path: Path, semantics: Semantics) -> None:
    """Killed four times in the middle of a chat: nothing lost, all in order, and at most one message again per kill.

    Where a poll takes messages away (drain), the reply to one that is under way when the process dies is lost, which
    no client can mend; there the kill comes between two polls, with messages received and not yet handled.
    """
    random, notes, store = Random(semantics), tmp_path / "notes", tmp_path / "store.db"
    with Sandbox(script="chatty", messages=60, interval=0.02, pace=0.02, semantics=semantics) as sandbox:
        command = [sys.executable, str(WORKER), sandbox.base_url, sandbox.solution_id, str(store), str(notes)]
        for lines in (5, 14, 23, 31):
            if semantics == "drain":
                assert subprocess.run([*command, str(random.randrange(4, 10))]).returncode == -signal.SIGKILL
                continue
            process = subprocess.Popen(command)
            wait_for_lines(notes, lines, process)
            time.sleep(random.uniform(0, 0.05))
            os.kill(process.pid, signal.SIGKILL)
            process.wait()
        process = subprocess.Popen(command)
        wait_for_lines(notes, 60, process)
        (conversation_id,) = sandbox.ledger()
        sandbox.agent(conversation_id).end()
        assert process.wait(timeout=30) == 0
        ledger = next(iter(sandbox.ledger().values()))
    delivered = notes.read_text().splitlines()[1:-1]
    wanted = [f"{entry.id} {entry.version}" for entry in ledger if entry.type != "Event"]
    assert list(dict.fromkeys(delivered)) == wanted
    assert len(delivered) - len(wanted) <= 4
    assert store.stat().st_mode & 0o777 == 0o600
