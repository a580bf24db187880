"""A process that holds or resumes one chat and notes each message once it has handled it; for `test_resume.py`."""

from __future__ import annotations

import os
import signal
import sys
from pathlib import Path

from puzzel_chat import MessageEdited, PuzzelChat, SQLiteStore, is_message


def main(base_url: str, solution_id: str, store: str, notes: str, kill_after: str = "") -> None:
    """Take up the session whose id is noted, or open one; then write a line per message until the chat ends.

    With `kill_after` it kills itself after handling so many messages, between two polls.
    """
    noted, left = Path(notes), int(kill_after or 0)
    with PuzzelChat(base_url, solution_id, poll_interval=0.05, store=SQLiteStore(store)) as chat:
        if noted.exists():
            (conversation,) = chat.resume(noted.read_text().split("\n", 1)[0]).conversations
        else:
            conversation = chat.start("support", wait=20)
            _note(noted, conversation.session.id)
        for event in conversation.events():
            if is_message(event) or isinstance(event, MessageEdited):
                _note(noted, f"{event.id} {event.version}")
                left -= 1
                if left == 0:
                    os.kill(os.getpid(), signal.SIGKILL)
        _note(noted, "end")


def _note(noted: Path, line: str) -> None:
    with noted.open("a") as file:
        file.write(line + "\n")
        file.flush()
        os.fsync(file.fileno())


if __name__ == "__main__":
    main(*sys.argv[1:])
