"""Settings, checked once when they are made, so that all later code can rely on them."""

from __future__ import annotations

import math
import os
import re
from collections.abc import Callable, Mapping
from ipaddress import ip_address
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, Literal, TypeAlias, TypedDict, Unpack
from urllib.parse import urlsplit

from attrs import evolve, field, frozen

from puzzel_chat._errors import ConfigurationError
from puzzel_chat._models import Secret, secret_or_none

if TYPE_CHECKING:
    from ssl import SSLContext
else:
    SSLContext = object  # importing it takes 5 ms, and few need it

Region: TypeAlias = Literal["opo", "uk"]
HostName: TypeAlias = Literal["identity", "communication", "upload"]
Trust: TypeAlias = Literal[True] | str | os.PathLike[str] | SSLContext

ENV_PREFIX = "PUZZEL_CHAT_"
REGIONS: Mapping[Region, Mapping[HostName, str]] = {
    "opo": {
        "communication": "https://app-commsrv.puzzel.com",
        "identity": "https://app-consumeridp.puzzel.com",
        "upload": "https://app-contentupload.puzzel.com",
    },
    "uk": {
        "communication": "https://uk-commsrv.puzzel.com",
        "identity": "https://uk-consumeridp.puzzel.com",
        "upload": "https://uk-contentupload.puzzel.com",
    },
}
"""The vendor's services in each region. Two are documented (help.puzzel.com/node/3665). That for files was observed in
"opo" (helsingborg-stad/Municipio, library/Chat/js, commit 756d609); in "uk" it is assumed, by analogy."""
DEFAULT_CLIENT_ID = "oneplatform_engage"
PORTS = {"http": 80, "https": 443, "socks5": 1080, "socks5h": 1080}
URLS: Mapping[HostName, str] = {"communication": "base_url", "identity": "identity_url", "upload": "upload_url"}
"""The setting of each host's address."""
ADDRESS_SETTINGS = ("region", *URLS.values())
_TRUE, _FALSE = {"1", "true", "yes", "on"}, {"0", "false", "no", "off", ""}
_SECONDS = ("timeout", "poll_interval")
LARGEST_MESSAGE = 2**20
"""Bytes up to which `max_message_bytes` may be set: eight such messages fill the largest reply that is read."""
LARGEST_FILE = 2**30
"""Bytes up to which `max_file_bytes` may be set."""
_TEXTS = ("grant_type", "client_id", "tenant_id", "client_secret", "scope")
# Set by hand, these would break the token refresh.
_OWN_FIELDS = frozenset({*_TEXTS, "refresh_token"})
_PAIRS = ("token_fields", "headers")
_SECRETS = ("client_secret", "proxy")
MOST_RETRIES = 10
# What a request needs for itself, or for its connection (RFC 9110 section 7.6.1).
# Patterns that are compiled when they are used, which is seldom.
_OWN_HEADER = (
    "(?i)accept(-encoding)?|authorization|connection|content-(encoding|length|type)|cookie|expect|host|keep-alive"
    "|proxy-(authorization|connection)|te|trailer|transfer-encoding|upgrade"
)
_HEADER_NAME = r"[!#$%&'*+.^_`|~0-9A-Za-z-]+"  # RFC 9110 section 5.6.2


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


def kept(fields: Mapping[str, str]) -> Mapping[str, str]:
    """Return a read-only copy with masked values; anything but a mapping is refused later."""
    if not isinstance(fields, Mapping):
        return fields
    masked = {name: Secret(value) if isinstance(value, str) else value for name, value in fields.items()}
    return MappingProxyType(masked)


def hidden(values: Mapping[str, object]) -> dict[str, Any]:
    """Return settings as given, with masks on what may hold a secret, for a traceback with locals shows it all."""
    masks: dict[str, Callable[[Any], Any]] = {**dict.fromkeys(_SECRETS, secret_or_none), **dict.fromkeys(_PAIRS, kept)}
    return {name: masks[name](value) if name in masks else value for name, value in values.items()}


@frozen
class Address:
    """The address of one of the hosts, and the setting it comes from; `name` is None for somebody else's host."""

    name: HostName | None
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

    @property
    def is_here(self) -> bool:
        """Whether it is this machine's own."""
        return is_loopback(self.host)

    def __str__(self) -> str:
        return f"{host_and_port(self.url)} ({self.setting})"


class SettingsFields(TypedDict, total=False):
    """The settings as keyword arguments, as `from_env()` and `with_options()` take them; see `Settings` for each."""

    base_url: str | None
    solution_id: str | None
    region: Region | None
    identity_url: str | None
    upload_url: str | None
    grant_type: str
    client_id: str
    tenant_id: str | None
    client_secret: str | None
    scope: str | None
    token_fields: Mapping[str, str] | None
    timeout: float
    poll_interval: float
    max_retries: int
    max_message_bytes: int
    max_file_bytes: int
    proxy: str | None
    verify: Trust
    headers: Mapping[str, str] | None
    allow_insecure_http: bool


@frozen(kw_only=True)
class Settings:
    """The settings of a contact centre: `solution_id`, and either `region` or the addresses of its hosts.

    Raises `ConfigurationError`, which names the setting, when one is missing or wrong.

    The environment has a word too, unless a setting says it, and never for a service on this machine: `HTTPS_PROXY`,
    `HTTP_PROXY` and `ALL_PROXY` name a proxy, and `NO_PROXY` the hosts that are reached without it. `SSL_CERT_FILE` and
    `SSL_CERT_DIR` name whom to trust, instead of the authorities that the HTTP library brings. They are read when a
    client is made.
    """

    solution_id: str
    """The tenant's id, a short number."""
    region: Region | None = None
    """The vendor's region, "opo" or "uk", which names the hosts; that for files in "uk" is assumed."""
    base_url: str = ""
    """The address of the communication service, instead of a region: https, or http to this machine."""
    identity_url: str = ""
    """The address of the identity service; `base_url` unless given."""
    upload_url: str = ""
    """The address of the service for files; the region's, or `base_url`, unless given."""
    grant_type: str = "visitor"
    """The grant that a token request names (observed)."""
    client_id: str = DEFAULT_CLIENT_ID
    """The client id in a token request (observed)."""
    tenant_id: str | None = None
    """The tenant id in a token request; `solution_id` unless given."""
    client_secret: str | None = field(default=None, converter=secret_or_none)
    """The client secret in a token request, if your credentials have one; masked in a repr."""
    scope: str | None = None
    """The scope in a token request, if your credentials have one."""
    token_fields: Mapping[str, str] = field(factory=dict, converter=kept)
    """More form fields of a token request, masked in a repr.

    If the service expects the data of a signed-in visitor in other fields, put `{user_info_id}` and `{code_verifier}`
    into their values.
    """
    timeout: float = 10.0
    """Seconds for connecting, for each read and for each write; a whole request may take three times as long."""
    poll_interval: float = 1.0
    """Seconds between two polls of a session."""
    max_retries: int = 2
    """How often a call is tried again after a failure that may pass, where that is safe; 0 is never, 10 the most.

    Polls, the wait for an agent and token refreshes go on by themselves, each at its own pace.
    """
    max_message_bytes: int = 65_536
    """The most bytes that one `send` or `route` may take, as JSON, because what is sent comes back in polls."""
    max_file_bytes: int = 20 * 2**20
    """The most bytes that a file may have, sent or fetched; 1 GiB at most."""
    proxy: str | None = field(default=None, converter=secret_or_none)
    """A proxy for both hosts, as `http://user:password@host:port`, https, socks5 or socks5h; masked in a repr.

    It wins over the environment's proxies and `NO_PROXY`, also for a service on this machine.
    """
    verify: Trust = True
    """Whom to trust: the path of a file of certificates in PEM or of a folder of such files, or an `ssl.SSLContext`.

    It wins over `SSL_CERT_FILE` and `SSL_CERT_DIR`. The polls of a `PollingLoop` over `[fleet]` trust the system's
    authorities beside those of a path; with a context they go over the client's own connections.
    """
    headers: Mapping[str, str] = field(factory=dict, converter=kept)
    """Headers for every request to both hosts, such as a gateway's key; values are masked in a repr."""
    allow_insecure_http: bool = False
    """Whether plain http to another machine is allowed, where tokens and chats can be read on the way."""

    def __attrs_post_init__(self) -> None:
        _check_text("solution_id", self.solution_id)
        for name in _TEXTS:
            if getattr(self, name) is not None:
                _check_text(name, getattr(self, name))
        _check_seconds("timeout", self.timeout, 0.1, 300)
        _check_seconds("poll_interval", self.poll_interval, 0.05, 300)
        _check_whole("max_retries", self.max_retries, 0, MOST_RETRIES, "")
        _check_whole("max_message_bytes", self.max_message_bytes, 1, LARGEST_MESSAGE, " of bytes")
        _check_whole("max_file_bytes", self.max_file_bytes, 1, LARGEST_FILE, " of bytes")
        if self.proxy is not None:
            _check_text("proxy", self.proxy)
        _check_trust(self.verify)
        _check_pairs("token_fields", self.token_fields, "form field names")
        _check_token_fields(self.token_fields)
        _check_pairs("headers", self.headers, "header names")
        _check_headers(self.headers)
        if not isinstance(self.allow_insecure_http, bool):
            told = f"must be True or False, not {type(self.allow_insecure_http).__name__}"
            raise ConfigurationError("allow_insecure_http", told)
        self._choose_hosts()

    def _choose_hosts(self) -> None:
        region = _of_region(self.region)
        given = {setting: getattr(self, setting) for setting in URLS.values()}
        if region is not None:
            hosts = {URLS[name]: url for name, url in REGIONS[region].items()}
            for setting in ("base_url", "identity_url"):
                if given[setting] not in ("", hosts[setting]):
                    raise ConfigurationError(setting, f"the region {region!r} names both hosts; set one or the other")
            given = {setting: url or hosts[setting] for setting, url in given.items()}
        elif not given["base_url"]:
            raise ConfigurationError("base_url" if given["identity_url"] else "region", _NO_HOST)
        object.__setattr__(self, "region", region)
        for setting, url in given.items():
            checked = _checked_url(setting, url or given["base_url"], self.allow_insecure_http)
            object.__setattr__(self, setting, checked)

    def address(self, name: HostName) -> Address:
        """Return a host's address, with the setting to change if it is wrong."""
        setting = URLS[name]
        url: str = getattr(self, setting)
        if self.region is not None and url == REGIONS[self.region][name]:
            setting = "region"
        elif url == self.base_url:
            setting = "base_url"
        return Address(name, url, setting)

    @classmethod
    def from_env(cls, **overrides: Unpack[SettingsFields]) -> Settings:
        """Return settings from `PUZZEL_CHAT_*` variables; a keyword that is not None overrides its variable.

        A `region` keyword also overrides addresses in the environment, and a `base_url` keyword a region there.
        `PUZZEL_CHAT_TOKEN_FIELDS` and `PUZZEL_CHAT_HEADERS` are lists such as `audience=chat,tenant=7`. Raises
        `ConfigurationError`, which names the setting, when one is missing or wrong.
        """
        given = hidden({name: value for name, value in overrides.items() if value is not None})
        del overrides
        values: dict[str, Any] = {
            name: _from_text(name, text)
            for name in cls.__annotations__
            if (text := os.environ.get(env_name(name), "")) != "" and name not in _overruled(given)
        }
        return cls.checked(**{**values, **given})

    @classmethod
    def checked(cls, **values: Unpack[SettingsFields]) -> Settings:
        """Return settings from keywords; raise `ConfigurationError` for a missing or misspelt one."""
        given = hidden(values)
        del values
        _check_names(given)
        if given.get("solution_id") in (None, ""):
            raise ConfigurationError("solution_id", f"is missing; pass it or set {env_name('solution_id')}")
        return cls(**given)  # each value is checked in __attrs_post_init__

    def replace(self, **changes: Unpack[SettingsFields]) -> Settings:
        """Return a copy with some settings changed, and check it again.

        A new `region` replaces all addresses. A new `base_url` replaces a region; the other services move along unless
        `identity_url` or `upload_url` names another one. Raises `ConfigurationError` when a setting is wrong.
        """
        given = hidden(changes)
        del changes
        _check_names(given)
        reset: dict[str, Any] = {name: None if name == "region" else "" for name in _overruled(given)}
        if "base_url" in given:
            reset |= {setting: "" for name, setting in URLS.items() if self.address(name).setting != setting}
        return evolve(self, **{**reset, **given})


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
        return {*URLS.values()} - given.keys()
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
    if name in ("max_message_bytes", "max_file_bytes", "max_retries"):
        try:
            return int(text)
        except ValueError:
            raise ConfigurationError(name, f"{env_name(name)} is {text!r}, not a whole number") from None
    if name == "allow_insecure_http":
        if text.lower() not in _TRUE | _FALSE:
            raise ConfigurationError(name, f"{env_name(name)} is {text!r}; use true or false")
        return text.lower() in _TRUE
    if name == "verify" and text.lower() in _TRUE | _FALSE:
        return text.lower() in _TRUE
    if name in _PAIRS:
        pairs = [part.partition("=") for part in text.split(",") if part.strip()]
        if not all(key.strip() and separator for key, separator, _ in pairs):
            raise ConfigurationError(name, f"{env_name(name)} must be name=value pairs, separated by commas")
        return {key.strip(): Secret(value.strip()) for key, _, value in pairs}
    return Secret(text) if name in _SECRETS else text


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


def _check_whole(setting: str, value: object, low: int, high: int, unit: str) -> None:
    if isinstance(value, bool) or not isinstance(value, int):
        raise ConfigurationError(setting, f"must be a whole number{unit}, not {type(value).__name__}")
    if not low <= value <= high:
        raise ConfigurationError(setting, f"must be a whole number{unit} between {low} and {high:,}, not {value:,}")


def _check_trust(verify: object) -> None:
    path = os.fspath(verify) if isinstance(verify, os.PathLike) else verify
    if isinstance(path, str):
        _check_text("verify", path)
    if verify is True or isinstance(path, str):
        return
    if verify is False:
        told = "cannot be turned off: TLS is always verified. Name your own authority: the path of its certificate"
        raise ConfigurationError("verify", told)
    import ssl

    if not isinstance(verify, ssl.SSLContext):
        told = f"must be the path of a file or folder of certificates, or an ssl.SSLContext, not {type(path).__name__}"
        raise ConfigurationError("verify", told)
    if verify.verify_mode == ssl.CERT_NONE or not verify.check_hostname:
        told = "the context checks no certificate, or not whose it is; TLS is always verified: name your authority"
        raise ConfigurationError("verify", told)


def _check_pairs(setting: str, pairs: object, names: str) -> None:
    if not isinstance(pairs, Mapping):
        raise ConfigurationError(setting, f"must be a mapping of {names} to strings")
    if not all(isinstance(one, str) for pair in pairs.items() for one in pair):
        raise ConfigurationError(setting, "every name and value must be a string")


def _check_token_fields(fields: Mapping[str, str]) -> None:
    for name in fields:
        if name in _OWN_FIELDS:
            raise ConfigurationError("token_fields", f"{name!r} is set by the library; use its own setting")


def _check_headers(headers: Mapping[str, str]) -> None:
    known: set[str] = set()
    for name, value in headers.items():
        if not re.fullmatch(_HEADER_NAME, name):
            raise ConfigurationError("headers", f"{name!r} is no name of a header")
        if re.fullmatch(_OWN_HEADER, name):
            raise ConfigurationError("headers", f"{name!r} is set by the library, and cannot be set here")
        if name.lower() in known:
            raise ConfigurationError("headers", f"{name!r} is there twice")
        if not (value.isascii() and value.isprintable() and value == value.strip()):
            told = f"the value of {name!r} must be printable ASCII on one line, without blanks around it"
            raise ConfigurationError("headers", told)
        known.add(name.lower())


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
