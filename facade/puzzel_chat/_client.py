"""What `PuzzelChat` and `AsyncPuzzelChat` have in common: settings and a store, put together."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Generic, Protocol, Self, TypeVar, Unpack
from weakref import WeakKeyDictionary

from attrs import evolve

from puzzel_chat._clock import Clock
from puzzel_chat._errors import ConfigurationError
from puzzel_chat._models import secret_or_none
from puzzel_chat._session import SessionState
from puzzel_chat._settings import ADDRESS_SETTINGS, HostName, Region, Settings, SettingsFields
from puzzel_chat._steps import Parts
from puzzel_chat._store import MemoryStore, Store


class Travelling(Protocol):
    """A transport, as far as this module knows it."""

    @property
    def proxies(self) -> Mapping[HostName, str]:
        """The proxies on the ways to the two hosts."""
        ...


TransportT = TypeVar("TransportT", bound=Travelling)
RunnerT = TypeVar("RunnerT")


class Application(Generic[TransportT, RunnerT]):
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
        max_message_bytes: int = 65_536,
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
            max_message_bytes=max_message_bytes,
            allow_insecure_http=allow_insecure_http,
        )
        self._assemble(self._new_parts(settings, _checked(store), Clock()), self._new_transport(settings))

    @classmethod
    def from_env(cls, *, store: Store | None = None, **settings: Unpack[SettingsFields]) -> Self:
        """Make a client from `PUZZEL_CHAT_*` variables; a setting given here wins over its variable.

        Raises `ConfigurationError` naming the setting and its variable.
        """
        return cls._of(Settings.from_env(**settings), store)

    @classmethod
    def _of(cls, settings: Settings, store: Store | None) -> Self:
        return cls._made(cls._new_parts(settings, _checked(store), Clock()), cls._new_transport(settings))

    @classmethod
    def _made(
        cls,
        parts: Parts,
        transport: TransportT,
        owned: bool = True,
        sessions: WeakKeyDictionary[SessionState, RunnerT] | None = None,
    ) -> Self:
        self = cls.__new__(cls)
        self._assemble(parts, transport, owned, sessions)
        return self

    def _assemble(
        self,
        parts: Parts,
        transport: TransportT,
        owned: bool = True,
        sessions: WeakKeyDictionary[SessionState, RunnerT] | None = None,
    ) -> None:
        self._parts = parts
        self._transport = transport
        self._owned = owned
        self._sessions = WeakKeyDictionary() if sessions is None else sessions

    def __repr__(self) -> str:
        # A traceback with locals shows a client whose settings were refused, too.
        parts = getattr(self, "_parts", None)
        return f"<{type(self).__name__} {parts.settings.base_url if parts else 'not made'}>"

    @property
    def proxies(self) -> Mapping[HostName, str]:
        """The proxy on the way to "identity" and "communication", with the variable that names it; {} without any."""
        return self._transport.proxies

    def with_options(self, **settings: Unpack[SettingsFields]) -> Self:
        """Return a client with some settings changed, on the same connections and store; close only the first one.

        Addresses and `timeout` belong to the connections: with one of them changed, the new client has its own.
        """
        changed = self._parts.settings.replace(**settings)
        own = bool({*ADDRESS_SETTINGS, "timeout", "allow_insecure_http"} & set(settings))
        transport = self._new_transport(changed) if own else self._transport
        return self._made(evolve(self._parts, settings=changed), transport, own, None if own else self._sessions)

    @classmethod
    def _new_parts(cls, settings: Settings, store: Store, clock: Clock) -> Parts:
        return Parts(settings, store, clock)

    @classmethod
    def _new_transport(cls, settings: Settings) -> TransportT:
        raise NotImplementedError


def _checked(store: Store | None) -> Store:
    if store is None:
        return MemoryStore()
    lacking = [name for name in vars(Store) if name[0] != "_" and not callable(getattr(store, name, None))]
    if lacking:
        told = f"must be a store, such as SQLiteStore('chats.db'); {type(store).__name__} lacks {', '.join(lacking)}"
        raise ConfigurationError("store", told)
    return store
