"""Settings, checked once when they are made, so that all later code can rely on them."""

from __future__ import annotations

import math
import os
from collections.abc import Mapping
from ipaddress import ip_address
from types import MappingProxyType
from typing import Any, Literal, TypeAlias, TypedDict, Unpack
from urllib.parse import urlsplit

from attrs import evolve, field, frozen

from puzzel_chat._errors import ConfigurationError
from puzzel_chat._models import Secret, secret_or_none

Region: TypeAlias = Literal["opo", "uk"]
HostName: TypeAlias = Literal["identity", "communication"]

ENV_PREFIX = "PUZZEL_CHAT_"
REGIONS: Mapping[Region, Mapping[HostName, str]] = {
    "opo": {
        "communication": "https://app-commsrv.puzzel.com",
        "identity": "https://app-consumeridp.puzzel.com",
    },
    "uk": {
        "communication": "https://uk-commsrv.puzzel.com",
        "identity": "https://uk-consumeridp.puzzel.com",
    },
}
"""The vendor's two services in each region (help.puzzel.com/node/3665)."""
DEFAULT_CLIENT_ID = "oneplatform_engage"
PORTS = {"http": 80, "https": 443, "socks5": 1080, "socks5h": 1080}
ADDRESS_SETTINGS = ("region", "base_url", "identity_url")
_TRUE, _FALSE = {"1", "true", "yes", "on"}, {"0", "false", "no", "off", ""}
_SECONDS = ("timeout", "poll_interval")
LARGEST_MESSAGE = 2**20
"""Bytes up to which `max_message_bytes` may be set: eight such messages fill the largest reply that is read."""
_TEXTS = ("grant_type", "client_id", "tenant_id", "client_secret", "scope")
# Set by hand, these would break the token refresh.
_OWN_FIELDS = frozenset({*_TEXTS, "refresh_token"})


def env_name(setting: str) -> str:
    """Return the name of a setting's environment variable."""
    return ENV_PREFIX + setting.upper()


def is_loopback(host: str) -> bool:
    """Return whether a host name or IP address is this machine's own."""
    try:
        return ip_address(host).is_loopback
    except ValueError:
        return host == "localhost" or host.endswith(".localhost")


def port_of(url: str) -> int:
    """Return the port of an address, which depends on the scheme where none is named."""
    parts = urlsplit(url)
    return parts.port if parts.port is not None else PORTS.get(parts.scheme, 0)


def host_and_port(url: str) -> str:
    """Return host and port of an address, as people write them."""
    host = urlsplit(url).hostname or ""
    return f"[{host}]:{port_of(url)}" if ":" in host else f"{host}:{port_of(url)}"


def _kept(fields: Mapping[str, str]) -> Mapping[str, str]:
    """Return a read-only copy with masked values; anything but a mapping is refused later."""
    if not isinstance(fields, Mapping):
        return fields
    return MappingProxyType(
        {name: Secret(value) if isinstance(value, str) else value for name, value in fields.items()}
    )


@frozen
class Address:
    """The address of one of the two hosts, and the setting it comes from."""

    name: HostName
    url: str
    setting: str

    @property
    def host(self) -> str:
        """The host's name or IP address."""
        return urlsplit(self.url).hostname or ""

    @property
    def port(self) -> int:
        """The port, also where the address does not name it."""
        return port_of(self.url)

    def __str__(self) -> str:
        return f"{host_and_port(self.url)} ({self.setting})"


class SettingsFields(TypedDict, total=False):
    """The settings as keyword arguments, as `from_env()` and `with_options()` take them; see `Settings` for each."""

    base_url: str | None
    solution_id: str | None
    region: Region | None
    identity_url: str | None
    grant_type: str
    client_id: str
    tenant_id: str | None
    client_secret: str | None
    scope: str | None
    token_fields: Mapping[str, str] | None
    timeout: float
    poll_interval: float
    max_message_bytes: int
    allow_insecure_http: bool


@frozen(kw_only=True)
class Settings:
    """The settings of a contact centre.

    `solution_id` is the tenant's id. Set either `region` ("opo" or "uk"), for the vendor's two hosts there, or
    `base_url`, the address of the communication service, and `identity_url`, that of the identity service (default:
    `base_url`). Plain http to another machine needs `allow_insecure_http`.

    A token request sends `grant_type`, `client_id`, `tenant_id` (default: `solution_id`), `client_secret` and `scope`
    if set, and every field of `token_fields`. If the service expects the data of a signed-in visitor in other fields,
    put `{user_info_id}` and `{code_verifier}` into values of `token_fields`.

    `timeout` limits connecting, each read and each write; `poll_interval` is the time between two polls. Both are in
    seconds. `max_message_bytes` bounds the JSON of one `send` or `route`, because what is sent comes back in polls.

    Raises `ConfigurationError`, which names the setting, when one is missing or wrong.
    """

    solution_id: str
    region: Region | None = None
    base_url: str = ""
    identity_url: str = ""
    grant_type: str = "visitor"
    client_id: str = DEFAULT_CLIENT_ID
    tenant_id: str | None = None
    client_secret: str | None = field(default=None, converter=secret_or_none)
    scope: str | None = None
    token_fields: Mapping[str, str] = field(factory=dict, converter=_kept)
    timeout: float = 10.0
    poll_interval: float = 1.0
    max_message_bytes: int = 65_536
    allow_insecure_http: bool = False

    def __attrs_post_init__(self) -> None:
        _check_text("solution_id", self.solution_id)
        for name in _TEXTS:
            if getattr(self, name) is not None:
                _check_text(name, getattr(self, name))
        _check_seconds("timeout", self.timeout, 0.1, 300)
        _check_seconds("poll_interval", self.poll_interval, 0.05, 300)
        _check_bytes("max_message_bytes", self.max_message_bytes, LARGEST_MESSAGE)
        _check_token_fields(self.token_fields)
        if not isinstance(self.allow_insecure_http, bool):
            told = f"must be True or False, not {type(self.allow_insecure_http).__name__}"
            raise ConfigurationError("allow_insecure_http", told)
        self._choose_hosts()

    def _choose_hosts(self) -> None:
        region, base_url, identity_url = _of_region(self.region), self.base_url, self.identity_url
        if region is not None:
            hosts = REGIONS[region]
            for name, given, known in (
                ("base_url", base_url, hosts["communication"]),
                ("identity_url", identity_url, hosts["identity"]),
            ):
                if given not in ("", known):
                    raise ConfigurationError(name, f"the region {region!r} names both hosts; set one or the other")
            base_url, identity_url = hosts["communication"], hosts["identity"]
        elif not base_url:
            raise ConfigurationError("base_url" if identity_url else "region", _NO_HOST)
        base_url = _checked_url("base_url", base_url, self.allow_insecure_http)
        identity_url = _checked_url("identity_url", identity_url or base_url, self.allow_insecure_http)
        for name, value in zip(ADDRESS_SETTINGS, (region, base_url, identity_url), strict=True):
            object.__setattr__(self, name, value)

    def address(self, name: HostName) -> Address:
        """Return a host's address, with the setting to change if it is wrong."""
        url = self.identity_url if name == "identity" else self.base_url
        own = "identity_url" if name == "identity" and url != self.base_url else "base_url"
        return Address(name, url, own if self.region is None else "region")

    @classmethod
    def from_env(cls, **overrides: Unpack[SettingsFields]) -> Settings:
        """Return settings from `PUZZEL_CHAT_*` variables; a keyword that is not None overrides its variable.

        A `region` keyword also overrides addresses in the environment, and a `base_url` keyword a region there.
        `PUZZEL_CHAT_TOKEN_FIELDS` is a list such as `audience=chat,tenant=7`. Raises `ConfigurationError`, which names
        the setting, when one is missing or wrong.
        """
        given: dict[str, Any] = {name: value for name, value in overrides.items() if value is not None}
        values: dict[str, Any] = {
            name: _from_text(name, text)
            for name in cls.__annotations__
            if (text := os.environ.get(env_name(name), "")) != "" and name not in _overruled(given)
        }
        return cls.checked(**{**values, **given})

    @classmethod
    def checked(cls, **values: Unpack[SettingsFields]) -> Settings:
        """Return settings from keywords; raise `ConfigurationError` for a missing or misspelt one."""
        _check_names(values)
        if values.get("solution_id") in (None, ""):
            raise ConfigurationError("solution_id", f"is missing; pass it or set {env_name('solution_id')}")
        return cls(**values)  # type: ignore[arg-type]  # each value is checked in __attrs_post_init__

    def replace(self, **changes: Unpack[SettingsFields]) -> Settings:
        """Return a copy with some settings changed, and check it again.

        A new `region` replaces both addresses. A new `base_url` replaces a region; the identity service moves along
        unless `identity_url` names another one. Raises `ConfigurationError` when a setting is wrong.
        """
        _check_names(changes)
        reset: dict[str, Any] = {name: None if name == "region" else "" for name in _overruled(changes)}
        if "base_url" in changes and self.address("identity").setting != "identity_url":
            reset["identity_url"] = ""
        return evolve(self, **{**reset, **changes})


_NO_HOST = (
    f"is missing; name a region ({', '.join(REGIONS)}, {env_name('region')}), or the service's addresses:"
    f" base_url ({env_name('base_url')}) and identity_url ({env_name('identity_url')})"
)


def _check_names(values: Mapping[str, object]) -> None:
    known = Settings.__annotations__
    for name in values:
        if name not in known:
            raise ConfigurationError(name, f"is not a setting; the settings are {', '.join(known)}")


def _overruled(given: Mapping[str, object]) -> set[str]:
    """Return the address settings whose earlier values these replace."""
    if given.get("region"):
        return {"base_url", "identity_url"} - given.keys()
    return {"region"} - given.keys() if given.get("base_url") else set()


def _of_region(region: object) -> Region | None:
    if region is None:
        return None
    for known in REGIONS:
        if isinstance(region, str) and region.strip().lower() == known:
            return known
    raise ConfigurationError("region", f"must be one of {', '.join(REGIONS)}, not {region!r}")


def _from_text(name: str, text: str) -> object:
    if name in _SECONDS:
        try:
            return float(text)
        except ValueError:
            raise ConfigurationError(name, f"{env_name(name)} is {text!r}, not a number of seconds") from None
    if name == "max_message_bytes":
        try:
            return int(text)
        except ValueError:
            raise ConfigurationError(name, f"{env_name(name)} is {text!r}, not a whole number of bytes") from None
    if name == "allow_insecure_http":
        if text.lower() not in _TRUE | _FALSE:
            raise ConfigurationError(name, f"{env_name(name)} is {text!r}; use true or false")
        return text.lower() in _TRUE
    if name == "token_fields":
        pairs = [part.partition("=") for part in text.split(",") if part.strip()]
        if not all(key.strip() and separator for key, separator, _ in pairs):
            raise ConfigurationError(name, f"{env_name(name)} must be name=value pairs, separated by commas")
        return {key.strip(): Secret(value.strip()) for key, _, value in pairs}
    return Secret(text) if name == "client_secret" else text


def _check_text(setting: str, value: object) -> None:
    if not isinstance(value, str):
        raise ConfigurationError(setting, f"must be a string, not {type(value).__name__}")
    if not value.strip() or any(ord(letter) < 32 for letter in value):
        raise ConfigurationError(setting, "must not be empty or contain control characters")


def _check_seconds(setting: str, value: object, low: float, high: float) -> None:
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise ConfigurationError(setting, f"must be a number of seconds, not {type(value).__name__}")
    if not math.isfinite(value) or not low <= value <= high:
        raise ConfigurationError(setting, f"must be between {low:g} and {high:g} seconds, not {value:g}")


def _check_bytes(setting: str, value: object, high: int) -> None:
    if isinstance(value, bool) or not isinstance(value, int):
        raise ConfigurationError(setting, f"must be a whole number of bytes, not {type(value).__name__}")
    if not 1 <= value <= high:
        raise ConfigurationError(setting, f"must be between 1 and {high:,} bytes, not {value:,}")


def _check_token_fields(fields: object) -> None:
    if not isinstance(fields, Mapping):
        raise ConfigurationError("token_fields", "must be a mapping of form field names to strings")
    for key, value in fields.items():
        if not isinstance(key, str) or not isinstance(value, str):
            raise ConfigurationError("token_fields", "every name and value must be a string")
        if key in _OWN_FIELDS:
            raise ConfigurationError("token_fields", f"{key!r} is set by the library; use its own setting")


def _checked_url(setting: str, url: object, allow_insecure_http: bool) -> str:
    if not isinstance(url, str):
        raise ConfigurationError(setting, f"must be a string, not {type(url).__name__}")
    url = url.strip()
    if any(letter.isspace() or not letter.isprintable() for letter in url):
        raise ConfigurationError(setting, "must not contain blanks or control characters")
    try:
        parts = urlsplit(url)
        host, _ = parts.hostname, parts.port
    except ValueError as error:
        raise ConfigurationError(setting, f"is not an address: {error}") from None
    if parts.scheme not in ("http", "https") or not host:
        raise ConfigurationError(setting, "must begin with https:// and name a host")
    if parts.username or parts.password or "?" in url or "#" in url:
        raise ConfigurationError(setting, "must not contain a user, password, query or fragment")
    if parts.scheme == "http" and not (allow_insecure_http or is_loopback(host)):
        raise ConfigurationError(
            setting,
            f"plain http to {host} would expose tokens and chats to the network; use https://,"
            f" or set allow_insecure_http=True ({env_name('allow_insecure_http')}=true) if that network is yours",
        )
    return url.rstrip("/")
