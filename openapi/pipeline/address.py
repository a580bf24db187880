"""Addresses: what a person typed, what may be shown of it, and whose it is."""

from __future__ import annotations

import os
import re
from ipaddress import ip_address
from pathlib import Path
from urllib.parse import SplitResult, urljoin, urlsplit, urlunsplit
from urllib.request import url2pathname

from pipeline.problems import PipelineError, brief

HEADER_VARIABLE = "PUZZEL_CHAT_SPEC_HEADER"
PORTS = {"http": 80, "https": 443}


def address_of(spec: str) -> str:
    """Return an http, https or file address for what a person typed. Raises `PipelineError` when it is none."""
    spec = spec.strip()
    if not spec:
        raise PipelineError("No document is named: give its address or its file with SPEC=.")
    if spec.lower().startswith("file:"):
        return spec
    if "://" in spec or spec.lower().startswith(("http:", "https:")):
        return check_web(spec)
    return Path(os.path.expanduser(spec)).absolute().as_uri()


def shown(address: str) -> str:
    """Return the address as it may be printed: no user, no fragment, and no value of its query."""
    parts = split(address)
    if parts.scheme == "file":
        path, here = path_of(address), Path.cwd()
        return brief(str(path.relative_to(here) if path.is_relative_to(here) else path), 1000)
    query = "&".join(f"{pair.partition('=')[0]}=…" if "=" in pair else "…" for pair in parts.query.split("&"))
    place = parts.netloc.rpartition("@")[2]
    return brief(urlunsplit(parts._replace(netloc=place, query=query if parts.query else "", fragment="")), 1000)


def check_web(address: str) -> str:
    """Return the address without its fragment. Raises `PipelineError` when it is not a usable http or https one."""
    parts = split(address)
    if parts.scheme not in PORTS or not parts.hostname:
        raise PipelineError(f"{shown(address)} is not an http or https address with a host: correct it.")
    if "@" in parts.netloc:
        raise PipelineError(f"{shown(address)} was given with a user name: put the login into {HEADER_VARIABLE}.")
    return urlunsplit(parts._replace(fragment=""))


def split(address: str, base: str = "") -> SplitResult:
    """Return the parts of an address, on the page `base` if any. Raises `PipelineError` when they make no sense."""
    try:
        parts = urlsplit(urljoin(base, address))
        _ = parts.port, parts.hostname
    except ValueError:
        # What has no parts cannot be cut into them, and still no secret in it may be shown.
        bare = re.sub(r"//.*@", "//", re.split(r"[?#]", address)[0], flags=re.DOTALL)
        raise PipelineError(f"{brief(bare)} is no address: correct its host and port.") from None
    return parts


def joined(base: str, reference: str) -> str:
    """Return the address that a reference has on a page. Raises `PipelineError` when it is none."""
    return urlunsplit(split(reference, base))


def origin(address: str) -> tuple[str, str, int]:
    """Return scheme, host and port: what a secret header is bound to."""
    parts = split(address)
    return parts.scheme, parts.hostname or "", parts.port or PORTS.get(parts.scheme, 0)


def is_loopback(address: str) -> bool:
    """Tell whether the address is on this machine."""
    host = split(address).hostname or ""
    try:
        return ip_address(host).is_loopback
    except ValueError:
        return host == "localhost" or host.endswith(".localhost")


def path_of(address: str) -> Path:
    """Return the file of a file address. Raises `PipelineError` when it is on another machine."""
    parts = split(address)
    if parts.hostname not in (None, "localhost"):
        raise PipelineError(f"{brief(address)} is on another machine: copy the file here.")
    return Path(url2pathname(parts.path))
