"""Settings: checked once, when they are made, so that everything after can rely on them."""

from __future__ import annotations

import math
import os
from collections.abc import Mapping
from ipaddress import ip_address
from types import MappingProxyType
from urllib.parse import urlsplit

from attrs import evolve, field, frozen

from puzzel_chat._errors import ConfigurationError
from puzzel_chat._secrets import Secret, secret_or_none

ENV_PREFIX = "PUZZEL_CHAT_"
_TRUE, _FALSE = {"1", "true", "yes", "on"}, {"0", "false", "no", "off", ""}
# These belong to the grant itself: set by hand they would break the token's life.
_OWN_FIELDS = frozenset({"grant_type", "client_id", "client_secret", "scope", "refresh_token"})


def env_name(setting: str) -> str:
    """Give the environment variable of a setting."""
    return ENV_PREFIX + setting.upper()


def is_loopback(host: str) -> bool:
    """Tell whether a host name or address is this machine's own."""
    try:
        return ip_address(host).is_loopback
    except ValueError:
        return host == "localhost" or host.endswith(".localhost")


def _kept(fields: Mapping[str, str]) -> Mapping[str, str]:
    """Keep a copy of our own, whose values hide themselves; what is no mapping is told later."""
    if not isinstance(fields, Mapping):
        return fields
    return MappingProxyType(
        {name: Secret(value) if isinstance(value, str) else value for name, value in fields.items()}
    )


@frozen(kw_only=True)
class Settings:
    """What the library needs to know about a contact centre.

    All times are in seconds. `base_url` is the service's address and `solution_id` the tenant's id (that there is one
    is documented). The token request sends `client_id` (the solution id unless set), `client_secret` and `scope` when
    given, and every field of `token_fields`: all assumed, for nobody knows which of them the service wants. `timeout`
    bounds connecting, each read and each write. `poll_interval` is the time between two polls (documented: for example
    every second).

    Raises `ConfigurationError` naming the setting when one is missing or wrong.
    """

    base_url: str
    solution_id: str
    client_id: str | None = None
    client_secret: str | None = field(default=None, converter=secret_or_none)
    scope: str | None = None
    token_fields: Mapping[str, str] = field(factory=dict, converter=_kept)
    timeout: float = 10.0
    poll_interval: float = 1.0
    allow_insecure_http: bool = False

    def __attrs_post_init__(self) -> None:
        _check_text("solution_id", self.solution_id)
        for name in ("client_id", "client_secret", "scope"):
            if getattr(self, name) is not None:
                _check_text(name, getattr(self, name))
        _check_seconds("timeout", self.timeout, 0.1, 300)
        _check_seconds("poll_interval", self.poll_interval, 0.05, 300)
        _check_token_fields(self.token_fields)
        if not isinstance(self.allow_insecure_http, bool):
            told = f"must be True or False, not {type(self.allow_insecure_http).__name__}"
            raise ConfigurationError("allow_insecure_http", told)
        object.__setattr__(self, "base_url", _checked_url(self.base_url, self.allow_insecure_http))

    @classmethod
    def from_env(cls, **overrides: object) -> Settings:
        """Read `PUZZEL_CHAT_*` variables; a keyword given here, unless None, wins over its variable.

        `PUZZEL_CHAT_TOKEN_FIELDS` is a list such as `audience=chat,tenant=7`. Raises `ConfigurationError`.
        """
        values: dict[str, object] = {
            name: _from_text(name, text)
            for name in cls.__annotations__
            if (text := os.environ.get(env_name(name), "")) != ""
        }
        values.update({name: value for name, value in overrides.items() if value is not None})
        return cls.checked(**values)

    @classmethod
    def checked(cls, **values: object) -> Settings:
        """Make settings from keywords, telling a missing or misspelt one by name."""
        for name in values:
            if name not in cls.__annotations__:
                known = ", ".join(cls.__annotations__)
                raise ConfigurationError(name, f"is not a setting; there are {known}")
        for name in ("base_url", "solution_id"):
            if values.get(name) in (None, ""):
                raise ConfigurationError(name, f"is missing; pass it or set {env_name(name)}")
        return cls(**values)  # type: ignore[arg-type]  # each value is checked in __attrs_post_init__

    def replace(self, **changes: object) -> Settings:
        """Give the same settings with some of them changed, and checked again."""
        for name in changes:
            if name not in type(self).__annotations__:
                raise ConfigurationError(name, f"is not a setting; there are {', '.join(type(self).__annotations__)}")
        return evolve(self, **changes)  # type: ignore[arg-type]  # as in `checked`


def _from_text(name: str, text: str) -> object:
    if name in ("timeout", "poll_interval"):
        try:
            return float(text)
        except ValueError:
            raise ConfigurationError(name, f"{env_name(name)} is {text!r}, not a number of seconds") from None
    if name == "allow_insecure_http":
        if text.lower() not in _TRUE | _FALSE:
            raise ConfigurationError(name, f"{env_name(name)} is {text!r}; use true or false")
        return text.lower() in _TRUE
    if name == "token_fields":
        pairs = [part.partition("=") for part in text.split(",") if part.strip()]
        if not all(key.strip() and separator for key, separator, _ in pairs):
            raise ConfigurationError(name, f"{env_name(name)} must be name=value pairs with commas between them")
        return {key.strip(): Secret(value.strip()) for key, _, value in pairs}
    return Secret(text) if name == "client_secret" else text


def _check_text(setting: str, value: object) -> None:
    if not isinstance(value, str):
        raise ConfigurationError(setting, f"must be a string, not {type(value).__name__}")
    if not value.strip() or any(ord(letter) < 32 for letter in value):
        raise ConfigurationError(setting, "must not be empty or hold control characters")


def _check_seconds(setting: str, value: object, low: float, high: float) -> None:
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise ConfigurationError(setting, f"must be a number of seconds, not {type(value).__name__}")
    if not math.isfinite(value) or not low <= value <= high:
        raise ConfigurationError(setting, f"must be from {low:g} to {high:g} seconds, not {value:g}")


def _check_token_fields(fields: object) -> None:
    if not isinstance(fields, Mapping):
        raise ConfigurationError("token_fields", "must be a mapping of form field names to strings")
    for key, value in fields.items():
        if not isinstance(key, str) or not isinstance(value, str):
            raise ConfigurationError("token_fields", "every name and value must be a string")
        if key in _OWN_FIELDS:
            raise ConfigurationError("token_fields", f"{key!r} is set by the library; use its own setting")


def _checked_url(url: object, allow_insecure_http: bool) -> str:
    if not isinstance(url, str):
        raise ConfigurationError("base_url", f"must be a string, not {type(url).__name__}")
    url = url.strip()
    if any(letter.isspace() or not letter.isprintable() for letter in url):
        raise ConfigurationError("base_url", "must hold no blanks or control characters")
    try:
        parts = urlsplit(url)
        host, _ = parts.hostname, parts.port
    except ValueError as error:
        raise ConfigurationError("base_url", f"is not an address: {error}") from None
    if parts.scheme not in ("http", "https") or not host:
        raise ConfigurationError("base_url", "must begin with https:// and name a host")
    if parts.username or parts.password or "?" in url or "#" in url:
        raise ConfigurationError("base_url", "must hold no user, password, query or fragment")
    if parts.scheme == "http" and not (allow_insecure_http or is_loopback(host)):
        raise ConfigurationError(
            "base_url",
            f"plain http to {host} would show tokens and chats to the network; use https://,"
            f" or set allow_insecure_http=True ({env_name('allow_insecure_http')}=true) if that network is yours",
        )
    return url.rstrip("/")
