"""How a session begins: with its first tokens, or where the store has kept it.

What `PuzzelChat` and `AsyncPuzzelChat` have in common: settings, a store, and how they are put together.
"""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import suppress
from secrets import token_urlsafe
from typing import Generic, Self, TypeVar
from uuid import uuid4
from weakref import WeakSet

from attrs import evolve, field, frozen

from puzzel_chat._clock import Clock
from puzzel_chat._errors import ConfigurationError, InvalidArgument, SessionNotFound, StoreError
from puzzel_chat._http import Reply, Request
from puzzel_chat._lease import Mail
from puzzel_chat._models import Customer, Secret, Variable, Visitor, secret_or_none
from puzzel_chat._session import Parts, SessionState, token_set
from puzzel_chat._settings import ADDRESS_SETTINGS, Region, Settings
from puzzel_chat._store import MemoryStore, Store
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


TransportT = TypeVar("TransportT")
SessionT = TypeVar("SessionT")


def _checked(store: Store | None) -> Store:
    if store is None:
        return MemoryStore()
    lacking = [name for name in vars(Store) if name[0] != "_" and not callable(getattr(store, name, None))]
    if lacking:
        told = f"must be a store, such as SQLiteStore('chats.db'); {type(store).__name__} lacks {', '.join(lacking)}"
        raise ConfigurationError("store", told)
    return store


class Application(Generic[TransportT, SessionT]):
    """The application's side of a contact centre; the shells add what sends and waits."""

    def __init__(
        self,
        base_url: str | None = None,
        solution_id: str | None = None,
        *,
        region: Region | None = None,
        identity_url: str | None = None,
        grant_type: str = "visitor",
        client_id: str = "oneplatform_engage",
        tenant_id: str | None = None,
        client_secret: str | None = None,
        scope: str | None = None,
        token_fields: Mapping[str, str] | None = None,
        timeout: float = 10.0,
        poll_interval: float = 1.0,
        allow_insecure_http: bool = False,
        store: Store | None = None,
    ) -> None:
        client_secret = secret_or_none(client_secret)
        settings = Settings.checked(
            solution_id=solution_id,
            region=region,
            base_url="" if base_url is None else base_url,
            identity_url="" if identity_url is None else identity_url,
            grant_type=grant_type,
            client_id=client_id,
            tenant_id=tenant_id,
            client_secret=client_secret,
            scope=scope,
            token_fields=token_fields or {},
            timeout=timeout,
            poll_interval=poll_interval,
            allow_insecure_http=allow_insecure_http,
        )
        self._assemble(Parts(settings, _checked(store), Clock()), self._new_transport(settings))

    @classmethod
    def from_env(cls, *, store: Store | None = None, **settings: object) -> Self:
        """Make a client from `PUZZEL_CHAT_*` variables; a setting given here wins over its variable.

        Raises `ConfigurationError` naming the setting and its variable.
        """
        return cls._of(Settings.from_env(**settings), store)

    @classmethod
    def _of(cls, settings: Settings, store: Store | None) -> Self:
        chat = cls.__new__(cls)
        chat._assemble(Parts(settings, _checked(store), Clock()), cls._new_transport(settings))
        return chat

    def _assemble(self, parts: Parts, transport: TransportT, owned: bool = True) -> None:
        self._parts = parts
        self._transport = transport
        self._owned = owned
        self._sessions: WeakSet[SessionT] = WeakSet()

    def __repr__(self) -> str:
        return f"<{type(self).__name__} {self._parts.settings.base_url}>"

    def with_options(self, **settings: object) -> Self:
        """Give a client with some settings changed, on the same connections and store; close only the first one.

        Addresses and `timeout` belong to the connections: with one of them changed, the new client has its own.
        """
        changed = self._parts.settings.replace(**settings)
        chat = type(self).__new__(type(self))
        own = bool({*ADDRESS_SETTINGS, "timeout", "allow_insecure_http"} & set(settings))
        transport = self._new_transport(changed) if own else self._transport
        chat._assemble(evolve(self._parts, settings=changed), transport, own)
        if not own:
            chat._sessions = self._sessions
        return chat

    @classmethod
    def _new_transport(cls, settings: Settings) -> TransportT:
        raise NotImplementedError
