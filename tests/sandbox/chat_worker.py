"""A process that takes up a session, or opens one, and holds it; for `test_resume.py` and `test_killed_starts.py`."""

from __future__ import annotations

import asyncio
import json
import sys

from puzzel_chat import AsyncPuzzelChat, PuzzelChat, SessionInUse, SQLiteStore


def main(settings: str, store: str, session_id: str = "") -> None:
    """Print the session's id once it is held, and hold it until a line comes; or print that it is in use."""
    if session_id.startswith("start "):
        start(settings, store, *session_id.split()[1:])
        return
    with PuzzelChat(**json.loads(settings), store=SQLiteStore(store)) as chat:
        try:
            session = chat.resume(session_id) if session_id else chat.start("support", wait=20).session
        except SessionInUse as error:
            print(f"in use: {error}", flush=True)
            return
        session.poll()
        print(session.id, flush=True)
        sys.stdin.readline()


def start(settings: str, store: str, kind: str, queue_id: str) -> None:
    """Start a chat with either client; somebody kills the process meanwhile."""
    if kind == "async":

        async def started() -> None:
            async with AsyncPuzzelChat(**json.loads(settings), store=SQLiteStore(store)) as chat:
                await chat.start("support", queue_id, conversation_id="mine", wait=600)

        asyncio.run(started())
    with PuzzelChat(**json.loads(settings), store=SQLiteStore(store)) as chat:
        chat.start("support", queue_id, conversation_id="mine", wait=600)


if __name__ == "__main__":
    main(*sys.argv[1:])
