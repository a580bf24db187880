"""What settings and environment say of the way to a service: the proxy on it, and whose certificates are trusted.

The settings `proxy` and `verify` win. The environment is read when a client is made, for the addresses of that client
alone, and the HTTP libraries read none of it themselves. So both go the same way, and a variable that is not used
cannot hurt. What is used and wrong raises a `ConfigurationError` that names the setting or variable.

    HTTPS_PROXY, HTTP_PROXY, ALL_PROXY   the proxy, never for a service on this machine; lower case wins
    NO_PROXY                             hosts reached without it: names (and all below them), IP addresses, networks
                                         such as 10.0.0.0/8, each with a port or not, or *; what makes no sense is none
    SSL_CERT_FILE, SSL_CERT_DIR          whom to trust, instead of the authorities that the HTTP library brings
    SSLKEYLOGFILE                        where the keys of TLS are written down, for a debugger
"""

from __future__ import annotations

import os
import re
import ssl
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from importlib.util import find_spec
from ipaddress import ip_address, ip_network
from pathlib import Path
from typing import NamedTuple
from urllib.parse import urlsplit
from urllib.request import getproxies

from attrs import field, frozen

from puzzel_chat._errors import ConfigurationError
from puzzel_chat._models import Secret
from puzzel_chat._settings import Address, HostName, Settings, host_and_port

SOCKS = ("socks5", "socks5h")
SCHEMES = ("http", "https", *SOCKS)
TRUST = ("SSL_CERT_FILE", "SSL_CERT_DIR")
KEY_LOG = "SSLKEYLOGFILE"
_AN_EXAMPLE = "write it as http://host:port, or unset it"


@frozen
class Proxy:
    """A proxy, and the setting or variable that names it; its address may hold a password."""

    url: str = field(repr=False)
    named_by: str

    @property
    def scheme(self) -> str:
        """The scheme of its address."""
        return urlsplit(self.url).scheme

    def __str__(self) -> str:
        return f"{host_and_port(self.url)} ({self.named_by})"


class Way(NamedTuple):
    """The way to one of the two hosts: its address, and the proxy on it if there is one."""

    address: Address
    proxy: Proxy | None = None

    @property
    def encrypted(self) -> bool:
        """Whether TLS is spoken on it, to the host or to the proxy."""
        return self.address.url.startswith("https:") or (self.proxy is not None and self.proxy.scheme == "https")

    @property
    def again(self) -> str:
        """What to do about a failure that may pass."""
        return f"try again, and check the network{f' and {self.proxy.named_by}' if self.proxy else ''} if it goes on"

    def __str__(self) -> str:
        return f"{self.address} through the proxy {self.proxy}" if self.proxy else str(self.address)


def way_to(address: Address, proxy: str | None = None) -> Way:
    """Return the way to an address, through that proxy or the environment's.

    Raises `ConfigurationError` naming the setting or variable when the proxy cannot be used.
    """
    if proxy is not None:
        return Way(address, _checked("proxy", Secret(proxy.strip())))
    scheme, host = urlsplit(address.url).scheme, address.host
    if address.is_here:
        return Way(address)
    named = {kind: Secret(value.strip()) for kind, value in getproxies().items()}
    kind = next((one for one in (scheme, "all") if named.get(one)), None)
    if kind is None or _bypassed(named.get("no", ""), scheme, host, address.port):
        return Way(address)
    return Way(address, _checked(_variable(kind), named[kind]))


def _variable(kind: str) -> str:
    # The lower case one wins; on some systems the value comes from elsewhere, and the variable would win over that.
    names = [name for name in os.environ if name.lower() == f"{kind}_proxy" and os.environ[name]]
    return min(names, key=lambda name: (name != name.lower(), name), default=f"{kind}_proxy".upper())


def _bypassed(entries: str, scheme: str, host: str, port: int) -> bool:
    return any(_means(entry, scheme, host, port) for entry in re.split(r"[,\s]+", entries) if entry)


def _means(entry: str, scheme: str, host: str, port: int) -> bool:
    """Return whether an entry of NO_PROXY means that host; one that makes no sense means none."""
    if "://" in entry:
        wanted, _, entry = entry.rstrip("/").partition("://")
        if wanted.lower() not in (scheme, "all"):
            return False
    if entry == "*":
        return True
    name, given = entry, ""
    if entry.startswith("["):
        name, _, given = entry[1:].partition("]")
        given = given.removeprefix(":")
    elif entry.count(":") == 1:
        name, _, given = entry.partition(":")
    if given not in ("", str(port)):
        return False
    try:
        return ip_address(host) in ip_network(name, strict=False)
    except ValueError:
        name, host = _plain(name.removeprefix("*")), _plain(host)
        return name != "" and (host == name or host.endswith(f".{name}"))


def _plain(name: str) -> str:
    try:
        name = name.encode("idna").decode() if not name.isascii() else name
    except UnicodeError:
        return ""
    return name.strip(".").lower()


def _checked(named_by: str, value: Secret) -> Proxy:
    url = Secret(value if "://" in value else f"http://{value}")
    scheme, host = _scheme_and_host(url)
    if not host:
        raise ConfigurationError(named_by, f"{_shown(value)} is no address of a proxy; {_AN_EXAMPLE}")
    if scheme not in SCHEMES:
        step = "for SOCKS write socks5://" if scheme.startswith("socks") else _AN_EXAMPLE
        raise ConfigurationError(named_by, f"{_shown(value)} is no proxy of a kind that is supported; {step}")
    if scheme in SOCKS and find_spec("socksio") is None:
        told = f"{_shown(value)} needs a package for SOCKS: pip install 'httpx[socks]'; or name an http:// proxy"
        raise ConfigurationError(named_by, told)
    return Proxy(url, named_by)


def _scheme_and_host(url: str) -> tuple[str, str]:
    """Return the scheme and host of a proxy, "" for a host that cannot be one."""
    try:
        parts = urlsplit(url)
        host, _ = parts.hostname or "", parts.port
        host.encode("idna")  # as the look-up of the name will do
    except ValueError:  # a UnicodeError is one
        return "", ""
    fine = not any(letter.isspace() or not letter.isprintable() for letter in url)
    return parts.scheme, host if fine else ""


def proxies(ways: Mapping[HostName, Way]) -> Mapping[HostName, str]:
    """Return where the proxies on the ways are, without their passwords, and what names them."""
    return {name: str(way.proxy) for name, way in ways.items() if way.proxy is not None}


def refused_proxy(proxy: Proxy) -> ConfigurationError:
    """Return the error for a proxy whose address the HTTP library does not take."""
    return ConfigurationError(proxy.named_by, f"{_shown(proxy.url)} is no address of a proxy; {_AN_EXAMPLE}")


def _shown(value: str) -> str:
    """Return the address of a proxy as it may be shown: without user, password and what is no port."""
    scheme, separator, rest = value.partition("://") if "://" in value else ("", "", value)
    _, at, place = rest.rpartition("@")
    place = re.split(r"[/?#]", place, maxsplit=1)[0]
    if not place.startswith("[") and not re.fullmatch(r"[^:]*(:\d*)?", place):
        place = place.partition(":")[0] + ":…"
    return repr(_clean(f"{scheme}{separator}{'***@' if at else ''}{place}"))


def _clean(text: str) -> str:
    line = "".join(letter if letter.isprintable() else "?" for letter in text)
    return line if len(line) <= 80 else f"{line[:79]}…"


def tls_is_named(settings: Settings) -> bool:
    """Return whether a setting or the environment has a word in how TLS is set up, and so may be wrong."""
    return settings.verify is not True or any(os.environ.get(name) for name in (*TRUST, KEY_LOG, "OPENSSL_CONF"))


def tls_context(settings: Settings, usual: Callable[[], ssl.SSLContext]) -> ssl.SSLContext:
    """Return TLS that trusts whom the settings name, or else the environment, or else the usual ones.

    Raises `ConfigurationError` naming the setting or variable that is wrong.
    """
    if isinstance(settings.verify, ssl.SSLContext):
        return settings.verify
    own = None if isinstance(settings.verify, bool) else os.fspath(settings.verify)
    file, directory, key_log = (os.environ.get(name) for name in (*TRUST, KEY_LOG))
    with _blaming("OPENSSL_CONF", "have it name a good configuration of OpenSSL, or unset it"):
        trial = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    if file and not own:
        with _blaming(TRUST[0], "name a file of certificates in PEM, or unset it"):
            trial.load_verify_locations(cafile=file)
    elif directory and not own and not any(map(os.path.isdir, directory.split(os.pathsep))):
        raise ConfigurationError(TRUST[1], f"{_clean(directory)!r} is no directory; correct it, or unset it")
    if key_log:
        with _blaming(KEY_LOG, "name a file that can be written, or unset it"):
            trial.keylog_filename = key_log
    with _blaming("OPENSSL_CONF", "TLS could not be set up; have this name a good configuration, or unset it"):
        if own:
            return _trusting(own)
        if file or directory:
            return ssl.create_default_context(cafile=file or None, capath=directory or None)
        return usual()


def _trusting(path: str) -> ssl.SSLContext:
    """Return TLS that trusts the certificates of a file, or of those files of a folder that hold some."""
    trial, good = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT), []
    try:
        for file in sorted(map(str, Path(path).iterdir())) if os.path.isdir(path) else [path]:
            with suppress(ssl.SSLError, IsADirectoryError):
                trial.load_verify_locations(cafile=file)
                good.append(file)
    except OSError as error:
        raise ConfigurationError("verify", f"{_clean(path)!r} cannot be used ({error.strerror})") from None
    if not good:
        told = f"{_clean(path)!r} holds no certificate; name a file of certificates in PEM, or a folder of such files"
        raise ConfigurationError("verify", told)
    context = ssl.create_default_context(cafile=good[0])
    for file in good[1:]:
        context.load_verify_locations(cafile=file)
    return context


@contextmanager
def _blaming(variable: str, step: str) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        why = "it holds no certificate" if isinstance(error, ssl.SSLError) and variable in TRUST else error.strerror
        told = f"{_clean(os.environ.get(variable, ''))!r} cannot be used ({why}); {step}"
        raise ConfigurationError(variable, told) from None
