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
from puzzel_chat._models import Customer, Variable, Visitor
from puzzel_chat._secrets import Secret
from puzzel_chat._state import Parts, SessionState
from puzzel_chat._stored import token_set
from puzzel_chat._tokens import VISITOR_FIELDS, Now, challenge
from puzzel_chat._wire.operations import authenticate_request, checked_id, queue_request, route_request
from puzzel_chat._wire.replies import grant, signed_in


def checked_visitor(visitor: object) -> Visitor:
    """Give a visitor; raises `InvalidArgument` for anything else, such as a bare token."""
    if not isinstance(visitor, Visitor):
        raise InvalidArgument("visitor", "must be a Visitor, such as Visitor(access_token=…)")
    return visitor


def check_start(
    queue_key: str,
    visual_queue_id: str | int | None,
    conversation_id: str | None,
    customer: Customer | None,
    variables: tuple[Variable, ...],
    subject: str | None,
) -> None:
    """Refuse what no request of a start can carry, before the first one is sent; raises `InvalidArgument`."""
    chosen = "" if conversation_id is None else checked_id("conversation_id", conversation_id)
    route_request(chosen, queue_key, customer, variables, subject)
    if visual_queue_id is not None:
        queue_request(visual_queue_id)


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
