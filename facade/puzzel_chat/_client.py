"""What `PuzzelChat` and `AsyncPuzzelChat` have in common: settings and a store, put together."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Generic, Protocol, Self, TypeVar, Unpack
from weakref import WeakKeyDictionary

from attrs import evolve, fields_dict

from puzzel_chat._clock import Clock
from puzzel_chat._errors import ConfigurationError
from puzzel_chat._models import secret_or_none
from puzzel_chat._observing import Observer, Watch
from puzzel_chat._session import SessionState
from puzzel_chat._settings import ADDRESS_SETTINGS, HostName, Region, Settings, SettingsFields, Trust, hidden, kept
from puzzel_chat._steps import Parts, is_async
from puzzel_chat._store import AsyncStore, MemoryStore, Store

if TYPE_CHECKING:
    from ssl import SSLContext

_SETTINGS = tuple(fields_dict(Settings))
_OF_CONNECTIONS = frozenset({*ADDRESS_SETTINGS, "timeout", "allow_insecure_http", "proxy", "verify", "headers"})


class Travelling(Protocol):
    """A transport, as far as this module knows it."""

    @property
    def proxies(self) -> Mapping[HostName, str]:
        """The proxies on the ways to the two hosts."""
        ...

    def tls_context(self) -> SSLContext:
        """Return the TLS that is spoken."""
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
        upload_url: str | None = None,
        grant_type: str = "visitor",
        client_id: str = "oneplatform_engage",
        tenant_id: str | None = None,
        client_secret: str | None = None,
        scope: str | None = None,
        token_fields: Mapping[str, str] | None = None,
        timeout: float = 10.0,
        poll_interval: float = 1.0,
        max_retries: int = 2,
        max_message_bytes: int = 65_536,
        max_file_bytes: int = 20 * 2**20,
        proxy: str | None = None,
        verify: Trust = True,
        headers: Mapping[str, str] | None = None,
        allow_insecure_http: bool = False,
        store: Store | AsyncStore | None = None,
        http_client: object | None = None,
        observe: Observer | None = None,
    ) -> None:
        client_secret, proxy = secret_or_none(client_secret), secret_or_none(proxy)
        token_fields, headers = kept(token_fields or {}), kept(headers or {})
        base_url, identity_url, upload_url = base_url or "", identity_url or "", upload_url or ""
        given = locals()
        settings = Settings.checked(**{name: given[name] for name in _SETTINGS})
        self._assemble(*self._new_assembly(settings, store, http_client, observe))

    @classmethod
    def from_env(
        cls,
        *,
        store: Store | AsyncStore | None = None,
        http_client: object | None = None,
        observe: Observer | None = None,
        **settings: Unpack[SettingsFields],
    ) -> Self:
        """Make a client from `PUZZEL_CHAT_*` variables; a setting given here wins over its variable.

        Raises `ConfigurationError` naming the setting and its variable.
        """
        given = hidden(settings)
        del settings
        return cls._made(*cls._new_assembly(Settings.from_env(**given), store, http_client, observe))

    @classmethod
    def _new_assembly(
        cls, settings: Settings, store: Store | AsyncStore | None, http_client: object, observe: Observer | None
    ) -> tuple[Parts, TransportT]:
        parts = cls._new_parts(settings, _checked(store), Clock(), http_client, _watch(observe))
        return parts, cls._new_transport(settings, http_client)

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
        """The proxy on the way to "identity" and "communication", and what names it; {} without any.

        That is the setting `proxy` or a variable. What a client of your own does is not known here.
        """
        return self._transport.proxies

    def tls_context(self) -> SSLContext:
        """Return the TLS of this client: it trusts whom `verify` or the environment names, or the HTTP library's own.

        Raises `ConfigurationError` for an `http_client` of your own, which has its own TLS.
        """
        return self._transport.tls_context()

    def with_options(self, **settings: Unpack[SettingsFields]) -> Self:
        """Return a client with some settings changed, on the same connections and store; close only the first one.

        Addresses, `timeout`, `proxy`, `verify` and `headers` belong to the connections: with one of them changed, the
        new client has its own.
        """
        given = hidden(settings)
        del settings
        changed = self._parts.settings.replace(**given)
        parts = evolve(self._parts, settings=changed)
        if not _OF_CONNECTIONS & set(given):
            return self._made(parts, self._transport, False, self._sessions)
        parts = self._new_parts(changed, parts.store, parts.clock, parts.http_client, parts.watch)
        return self._made(parts, self._new_transport(changed, parts.http_client))

    @classmethod
    def _new_parts(
        cls, settings: Settings, store: Store | AsyncStore, clock: Clock, http_client: object, watch: Watch
    ) -> Parts:
        if is_async(store.load):
            told = f"{type(store).__name__} is a store to be awaited; give it to AsyncPuzzelChat"
            raise ConfigurationError("store", told)
        return Parts(settings, store, clock, http_client=http_client, watch=watch)

    @classmethod
    def _new_transport(cls, settings: Settings, http_client: object) -> TransportT:
        raise NotImplementedError


def _watch(observe: Observer | None) -> Watch:
    if observe is not None and (not callable(observe) or is_async(observe)):
        raise ConfigurationError("observe", "must be a plain function, which is called with what happens")
    return Watch(observe)


def _checked(store: Store | AsyncStore | None) -> Store | AsyncStore:
    if store is None:
        return MemoryStore()
    lacking = [name for name in vars(Store) if name[0] != "_" and not callable(getattr(store, name, None))]
    if lacking:
        told = f"must be a store, such as SQLiteStore('chats.db'); {type(store).__name__} lacks {', '.join(lacking)}"
        raise ConfigurationError("store", told)
    return store
