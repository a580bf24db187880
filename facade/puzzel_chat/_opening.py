"""How a session begins: with its first tokens, or where the store has kept it."""

from __future__ import annotations

from contextlib import suppress
from secrets import token_urlsafe
from uuid import uuid4

from attrs import field, frozen

from puzzel_chat._config import Settings
from puzzel_chat._errors import InvalidArgument, SessionNotFound, StoreError
from puzzel_chat._http import Reply, Request
from puzzel_chat._mail import Mail
from puzzel_chat._models import Visitor
from puzzel_chat._secrets import Secret
from puzzel_chat._state import Parts, SessionState
from puzzel_chat._stored import token_set
from puzzel_chat._tokens import VISITOR_FIELDS, Now, challenge
from puzzel_chat._wire.operations import authenticate_request
from puzzel_chat._wire.replies import grant, signed_in


def checked_visitor(visitor: object) -> Visitor:
    """Give a visitor; raises `InvalidArgument` for anything else, such as a bare token."""
    if not isinstance(visitor, Visitor):
        raise InvalidArgument("visitor", "must be a Visitor, such as Visitor(access_token=…)")
    return visitor


@frozen
class SignIn:
    """Says at the identity service who a visitor is; PKCE ties the token request that follows to this one."""

    visitor: Visitor
    verifier: Secret = field(factory=lambda: Secret(token_urlsafe(32)))

    def request(self, settings: Settings) -> Request:
        """Give the request that identifies the visitor."""
        return authenticate_request(settings.solution_id, self.visitor, challenge(self.verifier))

    def fields(self, reply: Reply) -> dict[str, str]:
        """Give what the token request carries for this visitor."""
        return dict(zip(VISITOR_FIELDS, (signed_in(reply), self.verifier), strict=True))


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
