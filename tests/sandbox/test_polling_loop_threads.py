"""A `PollingLoop` over the fast transport leaves nothing behind, also on event loops of threads that come and go."""

from __future__ import annotations

import json
import subprocess
import sys

import pytest

from blocking import settings
from puzzel_chat import PollingLoop
from puzzel_chat.sandbox import Sandbox
from quick import quick_only
from sandbox.test_polling_loop import Kept, chats, run
from soak import leftovers
from waiting import until_async

pytest.importorskip("pyreqwest")
PROGRAM = """
import asyncio, json, sys, threading
from puzzel_chat import AsyncPuzzelChat, ConversationEnded, PollingLoop

async def chat():
    over = asyncio.Event()
    async with AsyncPuzzelChat(**json.loads(sys.argv[1])) as client, PollingLoop(fast=True) as loop:
        conversation = await client.start("support", wait=60)

        async def handle(_, event):
            if isinstance(event, ConversationEnded):
                over.set()

        loop.add(conversation, handle)
        await conversation.send("end chat")
        await over.wait()

for _ in range(int(sys.argv[2])):
    thread = threading.Thread(target=lambda: asyncio.run(chat()))
    thread.start()
    thread.join()
print("done", flush=True)
"""


@pytest.mark.parametrize("threads", quick_only([2], [2, 5]))
def test_the_fast_transport_survives_the_thread_that_it_was_first_used_in(threads: int) -> None:
    """Event loops in threads, one after the other, each have a loop; the library crashes when its first one ends."""
    with Sandbox(pace=0.01) as sandbox:
        command = [sys.executable, "-c", PROGRAM, json.dumps(settings(sandbox)), str(threads)]
        ran = subprocess.run(command, capture_output=True, text=True, timeout=120, check=False)
    # What comes after is the library's way out of the process, which is not looked at here.
    assert ran.stdout == "done\n", ran.stderr


def test_a_closed_loop_that_somebody_holds_has_no_connection_open() -> None:
    """`aclose` closes the connections of the polls at once, not when the loop is forgotten or they have been idle."""

    async def scenario() -> None:
        async with chats(sandbox, 3) as opened:
            before = leftovers.count()["sockets"]
            async with PollingLoop(fast=True) as loop:
                for conversation in opened:
                    loop.add(conversation, Kept().coroutine)
                await until_async(lambda: loop.stats().polls > 10)
            await until_async(lambda: leftovers.count()["sockets"] <= before)
            assert loop.stats().sessions == 0

    with Sandbox(pace=0.01) as sandbox:
        run(scenario())
