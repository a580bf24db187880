"""How a session begins: with its first tokens, or where the store has kept it."""

from __future__ import annotations

from contextlib import suppress
from uuid import uuid4

from puzzel_chat._errors import SessionNotFound, StoreError
from puzzel_chat._http import Reply
from puzzel_chat._mail import Mail
from puzzel_chat._state import Parts, SessionState
from puzzel_chat._stored import token_set
from puzzel_chat._tokens import Now
from puzzel_chat._wire.replies import grant


def opened(parts: Parts, reply: Reply, asked: Now) -> SessionState:
    """Begin a session with the reply to its first token request, sent at `asked`."""
    return SessionState.opened(str(uuid4()), parts, token_set(grant(reply), asked, parts.clock.uniform(0, 1)))


def restored(parts: Parts, session_id: str, shared: bool = False) -> SessionState:
    """Take up a session of the store, with its mail unless shared; raises `SessionNotFound`, `SessionInUse`."""
    mail = Mail(session_id, parts.store, parts.clock)
    if not shared:
        # Before reading: what the last owner still writes would be missed.
        mail.take()
    try:
        stored = parts.store.load(session_id)
        if stored is None:
            raise SessionNotFound(
                f"The store has no session {session_id!r}. It may have ended, or the store is another one:"
                " use the SQLiteStore of the process that opened it."
            )
        return SessionState.restored(stored, parts, mail)
    except BaseException:
        with suppress(StoreError):
            mail.give_back()
        raise
