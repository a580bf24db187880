"""A process that forks in the middle of a chat, and whose child unwinds all its blocks; for `test_fork.py`."""

from __future__ import annotations

import asyncio
import gc
import json
import os
import sys
import threading
from collections.abc import Callable
from typing import Any

import pytest

from puzzel_chat import (
    AsyncPuzzelChat,
    MemoryStore,
    PuzzelChat,
    SessionError,
    SessionInUse,
    SessionNotFound,
    SQLiteStore,
    Store,
)
from puzzel_chat.sandbox import Sandbox


def refused(kind: type[SessionError], call: Callable[[], object]) -> None:
    """Check that a call raises exactly that error."""
    with pytest.raises(SessionError) as raised:
        call()
    assert raised.type is kind, repr(raised.value)


def forked(check: Callable[[], None]) -> None:
    """Fork; the child checks and then leaves every block and the interpreter as a program does, the parent waits."""
    pid = os.fork()
    if pid == 0:
        check()
        sys.exit(7)
    assert os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) == 7


def blocking(settings: dict[str, Any], store: Store) -> None:
    """Fork in a `with` block, while other threads poll and hold the session's locks."""
    with PuzzelChat(**settings, store=store) as chat:
        conversation = chat.start("support", wait=20)
        session = conversation.session

        def check() -> None:
            hours = Sandbox.visual_queue_id
            for call in (session.poll, lambda: session.queue_info(hours), lambda: conversation.send("Hello")):
                refused(SessionError, call)
            refused(SessionError, lambda: next(conversation.events()))
            refused(SessionError, lambda: conversation.wait_for_agent(1))
            with PuzzelChat(**settings, store=store) as mine:
                if isinstance(store, SQLiteStore):
                    refused(SessionInUse, lambda: mine.resume(session.id))
                    mine.resume(session.id, shared=True).conversation(conversation.id).send("from the child")
                else:
                    refused(SessionNotFound, lambda: mine.resume(session.id))

        with conversation:
            poller = threading.Thread(target=lambda: list(conversation.events()))
            poller.start()
            for _ in range(5):
                forked(check)
            conversation.send("end chat")
            poller.join()
    assert store.load(session.id) is None


def awaiting(settings: dict[str, Any], store: Store) -> None:
    """Fork between two turns of the loop."""
    loop = asyncio.new_event_loop()
    chat = AsyncPuzzelChat(**settings, store=store)
    conversation = loop.run_until_complete(chat.start("support", wait=20))
    session = conversation.session

    def check() -> None:
        refused(SessionError, lambda: loop.run_until_complete(session.poll()))
        refused(SessionError, lambda: loop.run_until_complete(conversation.send("Hello")))
        loop.run_until_complete(session.aclose())

    async def rest() -> None:
        async with chat, conversation:
            await conversation.send("end chat")
            async for _ in conversation.events():
                pass

    forked(check)
    loop.run_until_complete(rest())
    assert store.load(session.id) is None
    loop.close()


def careless(settings: dict[str, Any], store: Store) -> None:
    """End without closing anything: the session goes on, and its mail is free."""
    session = PuzzelChat(**settings, store=store).start("support", wait=20).session
    print(session.id, flush=True)
    globals()["kept"] = session


if __name__ == "__main__":
    what, settings, file = sys.argv[1:]
    what_to_do = {"sync": blocking, "async": awaiting, "careless": careless}[what]
    what_to_do(json.loads(settings), SQLiteStore(file) if file else MemoryStore())
    gc.collect()
