"""A process that takes up a session, or opens one, and holds it; for `test_resume.py`."""

from __future__ import annotations

import json
import sys

from puzzel_chat import PuzzelChat, SessionInUse, SQLiteStore


def main(settings: str, store: str, session_id: str = "") -> None:
    """Print the session's id once it is held, and hold it until a line comes; or print that it is in use."""
    with PuzzelChat(**json.loads(settings), store=SQLiteStore(store)) as chat:
        try:
            session = chat.resume(session_id) if session_id else chat.start("support", wait=20).session
        except SessionInUse as error:
            print(f"in use: {error}", flush=True)
            return
        session.poll()
        print(session.id, flush=True)
        sys.stdin.readline()


if __name__ == "__main__":
    main(*sys.argv[1:])
