"""Chats that are interrupted at random moments, as by Ctrl-C; for `test_interrupts.py`."""

from __future__ import annotations

import faulthandler
import json
import signal
import sys
import threading
from pathlib import Path
from random import Random
from types import FrameType
from typing import Any

from attrs import evolve

from puzzel_chat import Conversation, PuzzelChat, Session, SQLiteStore
from puzzel_chat.sandbox import Sandbox
from puzzel_chat.testing import VirtualTime

HANGS = 600  # seconds, far more than a slow machine needs
PATIENCE = 20  # half seconds; a chat takes a fiftieth of that to end

armed, since = False, 0


def interrupt(_: int, __: FrameType | None) -> None:
    """Raise once, and again when nothing has come of the first; one that comes when the round is over is none.

    httpcore 1.0.9 waits for itself for ever when it is interrupted while it takes the lock of its pool: a person
    who sees nothing happen presses again.
    """
    global armed, since
    since += 1
    if armed or since > PATIENCE:
        armed, since = False, 0
        raise KeyboardInterrupt


def drop(what: sys.UnraisableHookArgs) -> None:
    """Let the next tick interrupt: Python drops what is raised in a weak reference's callback."""
    global armed
    if what.exc_type is KeyboardInterrupt:
        armed = True
    else:
        sys.__unraisablehook__(what)


def talk(conversation: Conversation) -> None:
    """Hold a chat that never ends by itself, in a block."""
    with conversation:
        conversation.route("support")
        conversation.wait_for_agent(wait=20)
        for _ in conversation.events():
            conversation.send("Hello")
            conversation.typing()
            assert armed, "an interrupt was swallowed"


def check(session: Session, store: SQLiteStore) -> None:
    """Fail when a lock is held, or the store or the session cannot be used; asked from another thread."""
    held: list[str] = []

    def look() -> None:
        locks: dict[str, Any] = {"session": session._runner._lock, "store": store._lock}
        for name, lock in locks.items():
            if not lock.acquire(timeout=2):
                held.append(name)
            else:
                lock.release()
        if not held:
            assert store.load(session.id) is not None
            assert session.queue_info(Sandbox.visual_queue_id).is_open

    thread = threading.Thread(target=look)
    thread.start()
    thread.join()
    assert not held, f"still held: {held}"


def main(settings: str, file: str, seed: str, rounds: str) -> None:
    """Interrupt so many chats; print how many were not ended by their own block."""
    global armed, since
    random, store, missed = Random(seed), SQLiteStore(Path(file)), 0
    signal.signal(signal.SIGALRM, interrupt)
    sys.unraisablehook = drop
    with PuzzelChat(**json.loads(settings), store=store) as chat:
        # Nobody waits, so that interrupts strike where something is done; tokens age quickly.
        chat._parts = evolve(chat._parts, clock=VirtualTime())
        session = chat.connect()
        for _ in range(int(rounds)):
            conversation = session.conversation()
            armed, since = True, 0
            signal.setitimer(signal.ITIMER_REAL, random.uniform(0.0005, 0.05), 0.5)
            try:
                talk(conversation)
                raise AssertionError("it was not interrupted")
            except KeyboardInterrupt:
                pass
            signal.setitimer(signal.ITIMER_REAL, 0)
            check(session, store)
            routed = session._runner.run(session._state.may_be_routed(conversation.id))
            if routed and not conversation.ended:
                missed += 1
                conversation.end()
    print(missed)


if __name__ == "__main__":
    faulthandler.dump_traceback_later(HANGS, exit=True)
    main(*sys.argv[1:])
