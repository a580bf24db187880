"""KeyboardInterrupt between any two bytecodes of a blocking chat: no lock is kept, and the contact centre is told."""

from __future__ import annotations

import json
import os
import sqlite3
import subprocess
import sys
from pathlib import Path

import pytest

from puzzel_chat.sandbox import Sandbox

WORKER = Path(__file__).with_name("interrupt_worker.py")
ROUNDS = int(os.environ.get("PUZZEL_CHAT_TEST_INTERRUPTS", "100"))


@pytest.mark.skipif(sys.platform == "win32", reason="needs SIGALRM")
def test_interrupted_at_random_moments(tmp_path: Path) -> None:
    """A hundred chats are interrupted at seeded moments: locks are free, the file is whole, and all chats are ended.

    The one moment that no block can cover is the one after its body and before Python has called `__exit__`.
    """
    file = tmp_path / "chats.db"
    with Sandbox(script="helpful", pace=0) as sandbox:
        command = [sys.executable, str(WORKER), json.dumps(sandbox.settings), str(file), "1", str(ROUNDS)]
        done = subprocess.run(command, capture_output=True, text=True, timeout=ROUNDS + 30)
        assert (done.returncode, done.stderr[-4000:]) == (0, ""), done.stderr[-4000:]
        assert sandbox.stats().routed == sandbox.stats().ended > ROUNDS / 3
    assert int(done.stdout) <= ROUNDS / 50
    with sqlite3.connect(file) as db:
        assert db.execute("PRAGMA integrity_check").fetchone() == ("ok",)
    db.close()
