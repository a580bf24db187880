"""KeyboardInterrupt between any two bytecodes of a blocking chat: no lock is kept, and the contact centre is told."""

from __future__ import annotations

import gc
import json
import os
import signal
import sqlite3
import subprocess
import sys
import threading
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from itertools import count
from pathlib import Path

import pytest
from httpcore._synchronization import ThreadLock

from puzzel_chat import PuzzelChat
from puzzel_chat.sandbox import Sandbox

WORKER = Path(__file__).with_name("interrupt_worker.py")
ROUNDS = int(os.environ.get("PUZZEL_CHAT_TEST_INTERRUPTS", "100"))


@pytest.mark.slow
@pytest.mark.timeout(660)
@pytest.mark.skipif(sys.platform == "win32", reason="needs SIGALRM")
def test_interrupted_at_random_moments(tmp_path: Path) -> None:
    """A hundred chats are interrupted at seeded moments: locks are free, the file is whole, and all chats are ended.

    The one moment that no block can cover is the one after its body and before Python has called `__exit__`.
    """
    file = tmp_path / "chats.db"
    with Sandbox(script="helpful", pace=0) as sandbox:
        command = [sys.executable, str(WORKER), json.dumps(sandbox.settings), str(file), "1", str(ROUNDS)]
        done = subprocess.run(command, capture_output=True, text=True, timeout=630)
        assert (done.returncode, done.stderr[-4000:]) == (0, ""), done.stderr[-4000:]
        assert sandbox.stats().routed == sandbox.stats().ended > ROUNDS / 3
    assert int(done.stdout) <= ROUNDS / 50
    with sqlite3.connect(file) as db:
        assert db.execute("PRAGMA integrity_check").fetchone() == ("ok",)
    db.close()


@pytest.mark.filterwarnings("ignore:unclosed:ResourceWarning")
@pytest.mark.skipif(sys.platform == "win32", reason="needs pthread_kill")
def test_a_second_ctrl_c_gets_out_when_the_first_left_the_lock_of_the_pool_held(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """The library waits for itself then, which nobody can prevent; pressed again, the chat is ended all the same."""
    take = ThreadLock.__enter__
    moments = iter(["queued", "interrupted", "waiting for itself"])

    def struck(lock: ThreadLock) -> ThreadLock:
        moment = next(moments)
        if moment == "waiting for itself":
            monkeypatch.undo()
            assert lock._lock.locked()
            threading.Timer(0.05, signal.pthread_kill, (threading.main_thread().ident, signal.SIGINT)).start()
        take(lock)
        if moment == "interrupted":
            raise KeyboardInterrupt
        return lock

    with Sandbox(script="helpful") as sandbox, PuzzelChat(**sandbox.settings) as chat:
        conversation = chat.start(sandbox.queue_key, wait=20)
        monkeypatch.setattr(ThreadLock, "__enter__", struck)
        with pytest.raises(KeyboardInterrupt), conversation:
            conversation.send("Hello")
        assert next(moments, None) is None
        assert sandbox.stats().routed == sandbox.stats().ended == 1
    gc.collect()  # the connections that nobody can close any more, here and not in a test that is not told of them


@pytest.mark.filterwarnings("ignore:unclosed:ResourceWarning")
def test_an_interrupt_that_leaves_a_lock_held_hangs_no_other_thread(monkeypatch: pytest.MonkeyPatch) -> None:
    """Ctrl-C strikes in the main thread; a request of another one, such as a refresh, comes to its end all the same."""
    take, takes, halfway, struck = ThreadLock.__enter__, count(), threading.Event(), threading.Event()

    def strike(lock: ThreadLock) -> ThreadLock:
        is_main = threading.current_thread() is threading.main_thread()
        if not is_main and next(takes) > 0:
            halfway.set()
            assert struck.wait(20)
        take(lock)
        if is_main:
            struck.set()
            raise KeyboardInterrupt
        return lock

    with (
        Sandbox(script="helpful") as sandbox,
        PuzzelChat(**sandbox.settings) as chat,
        chat.connect() as session,
        ThreadPoolExecutor(1) as pool,
    ):
        ask = partial(session.queue_info, sandbox.visual_queue_id)
        with monkeypatch.context() as patched:
            patched.setattr(ThreadLock, "__enter__", strike)
            beside = pool.submit(ask)
            assert halfway.wait(20)
            with pytest.raises(KeyboardInterrupt):
                ask()
            assert beside.result(timeout=20).is_open
        assert ask().is_open
    gc.collect()
