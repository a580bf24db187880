"""A worker in a process of its own, which writes down what it handled: `python -m soak.serving JSON`.

It prints "ready" once it works. When its input ends, so does it, whatever it is doing: nothing outlives the soak.
"""

from __future__ import annotations

import asyncio
import json
import os
import socket
import sys
import threading
import time

from puzzel_chat import AsyncConversation, AsyncPuzzelChat, Event, RedisStore, Worker
from soak.jobs import Job, Notes
from soak.turnstile import WHO

IN_HAND = 0.1
"""Seconds for which an event is handled and not yet crossed out: some are, whenever a process is killed."""


def client(job: Job) -> AsyncPuzzelChat:
    """Make the client of a process, which is a machine of its own to the others.

    On one machine a worker sees that another's process is dead, and need not wait for the end of its lease.
    """
    socket.gethostname = lambda: job.name
    store = RedisStore(job.url, take_over=1.5 * job.lease)
    return AsyncPuzzelChat(**job.settings, store=store, headers={WHO: job.name})


async def work(job: Job) -> None:
    """Serve until told to stop."""
    notes = Notes(job.notes)

    async def handle(conversation: AsyncConversation, event: Event) -> None:
        if event.id:
            notes.add("handled", job.name, conversation.id, event.id, time.monotonic())
        await asyncio.sleep(IN_HAND)

    async def failed(conversation: AsyncConversation, error: Exception) -> None:
        notes.add("failed", job.name, conversation.id, type(error).__name__)

    async with client(job) as chat:
        worker = Worker(chat, handle, name=job.name, on_failure=failed)
        print("ready", flush=True)
        await worker.run()


def end_with_input() -> None:
    """End this process when its input ends."""

    def wait() -> None:
        sys.stdin.read()
        os._exit(3)

    threading.Thread(target=wait, daemon=True).start()


if __name__ == "__main__":
    end_with_input()
    asyncio.run(work(Job(**json.loads(sys.argv[1]))))
