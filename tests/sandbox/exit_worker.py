"""Programs that end in the middle of something; each says `ready` when it is there. For `test_exits.py`."""

from __future__ import annotations

import asyncio
import faulthandler
import json
import os
import signal
import sys
import threading
from collections.abc import Callable
from typing import Any

from puzzel_chat import Allocation, AsyncPuzzelChat, PuzzelChat, SQLiteStore
from puzzel_chat.sandbox import Sandbox

SETTINGS: dict[str, Any] = json.loads(sys.argv[2])
FILE, LEAVE_WITHIN = sys.argv[3:5]
KEPT: list[object] = []
"""What a program still holds when it ends."""


def ready(_: Allocation | None = None) -> None:
    """Tell the test."""
    os.write(1, b"ready\n")


def wait() -> None:
    """Wait for an agent."""
    PuzzelChat(**SETTINGS).start("silent", wait=600, on_progress=ready)


def block() -> None:
    """Talk in a block."""
    with PuzzelChat(**SETTINGS) as chat, chat.start("support", wait=20) as conversation:
        ready()
        for _ in conversation.events():
            pass


def bare() -> None:
    """Talk, in no block."""
    chat = PuzzelChat(**SETTINGS)
    conversation = chat.start("support", wait=20)
    KEPT.append(conversation)
    ready()
    for _ in conversation.events():
        pass


def bare_exit() -> None:
    """Exit in the body of the loop."""
    conversation = PuzzelChat(**SETTINGS).start("support", wait=20)
    KEPT.append(conversation)
    for _ in conversation.events():
        ready()
        sys.exit(3)


def generator() -> None:
    """End with a generator that was begun and not finished."""
    conversation = PuzzelChat(**SETTINGS).connect().conversation()
    conversation.route("silent")
    updates = conversation.allocation_updates(600)
    KEPT.append(updates)
    next(updates)
    ready()


def closed() -> None:
    """Close the client and go on holding the chat."""
    with PuzzelChat(**SETTINGS) as chat:
        KEPT.append(chat.start("support", wait=20))
    ready()


def daemon() -> None:
    """End while a daemon thread waits."""
    threading.Thread(target=wait, daemon=True).start()
    _routed()


def stored() -> None:
    """Leave a chat in a file."""
    chat = PuzzelChat(**SETTINGS, store=SQLiteStore(FILE))
    KEPT.append(chat.start("silent", wait=0))
    ready()


def forked() -> None:
    """Fork, and let the child exit first."""
    faulthandler.cancel_dump_traceback_later()  # a fork does not have its thread
    KEPT.append(PuzzelChat(**SETTINGS, store=None).start("silent", wait=0))
    if (child := os.fork()) == 0:
        sys.exit(0)
    os.waitpid(child, 0)
    ready()
    sys.stdin.read()


def refresh() -> None:
    """End in the middle of a refresh."""
    session = PuzzelChat(**SETTINGS).connect()
    KEPT.append(session)
    while "puzzel-chat-refresh" not in [thread.name for thread in threading.enumerate()]:
        session.queue_info(Sandbox.visual_queue_id)
    ready()


def stored_refresh() -> None:
    """End in the middle of the refresh of a session in a file."""
    conversation = PuzzelChat(**SETTINGS, store=SQLiteStore(FILE)).start("silent", wait=0)
    KEPT.append(conversation)
    session = conversation.session
    while "puzzel-chat-refresh" not in [thread.name for thread in threading.enumerate()]:
        session.queue_info(Sandbox.visual_queue_id)
    os.write(1, f"{session.id}\n".encode())


def many() -> None:
    """Close a client beside ten searches."""
    chat = PuzzelChat(**SETTINGS)
    waits = [threading.Thread(target=_quietly, args=(chat,)) for _ in range(10)]
    for one in waits:
        one.start()
    _routed()
    chat.close()
    for one in waits:
        one.join()


def terminated() -> None:
    """Make SIGTERM an exit, as the documentation tells."""
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
    wait()


def handler() -> None:
    """Close the client in a signal's handler."""
    chat = PuzzelChat(**SETTINGS)
    signal.signal(signal.SIGTERM, lambda *_: chat.close())
    _quietly(chat)


def async_wait() -> None:
    """Wait for an agent."""

    async def main() -> None:
        async with AsyncPuzzelChat(**SETTINGS) as chat:
            await chat.start("silent", wait=600, on_progress=ready)

    asyncio.run(main())


def async_block() -> None:
    """Talk in a block."""

    async def main() -> None:
        async with AsyncPuzzelChat(**SETTINGS) as chat, await chat.start("support", wait=20) as conversation:
            ready()
            async for _ in conversation.events():
                pass

    asyncio.run(main())


def async_bare() -> None:
    """Leave a chat and a generator behind, with the loop closed and the client not."""

    async def main() -> None:
        conversation = await AsyncPuzzelChat(**SETTINGS).start("support", wait=20)
        events = conversation.events()
        await anext(events)
        KEPT.extend([conversation, events])
        ready()

    asyncio.run(main())


def _quietly(chat: PuzzelChat) -> None:
    try:
        chat.start("silent", wait=600, on_progress=ready)
    except Exception as error:
        os.write(1, f"{type(error).__name__}\n".encode())


def _routed() -> None:
    """Wait for the test to say that it has seen what it waits for."""
    sys.stdin.readline()


def bound(seconds: float) -> None:
    """Let leaving take so long at most, in every module that knows the bound."""
    for module in list(sys.modules.values()):
        if module.__name__.startswith("puzzel_chat.") and hasattr(module, "LEAVE_WITHIN"):
            setattr(module, "LEAVE_WITHIN", seconds)  # noqa: B010  # mypy allows no unknown attribute


if __name__ == "__main__":
    faulthandler.dump_traceback_later(40, exit=True)
    bound(float(LEAVE_WITHIN))
    program: Callable[[], None] = globals()[sys.argv[1]]
    program()
