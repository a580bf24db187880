"""How far one gets to a service, step by step: name, connection, TLS, and whether it is the bundled simulator."""

from __future__ import annotations

import socket
import ssl
import time
from collections.abc import Callable
from http.client import HTTPConnection, HTTPException, HTTPSConnection
from urllib.parse import SplitResult, urlsplit
from urllib.request import getproxies, proxy_bypass

from attrs import frozen

from puzzel_chat.cli._words import one_line

MARK = "X-Simulator"
"""The header by which the bundled simulator tells what it is."""


@frozen
class Step:
    """One step on the way; `fine` is None when it was not needed."""

    name: str
    fine: bool | None
    told: str


def place(address: str) -> tuple[str, int]:
    """Give the host and the port that an address leads to."""
    url = urlsplit(address)
    return url.hostname or "", url.port or (443 if url.scheme == "https" else 80)


def reach(address: str, timeout: float) -> list[Step]:
    """Resolve, connect and shake hands, as far as that goes; a step after a failed one is not tried."""
    url, (host, port) = urlsplit(address), place(address)
    if proxy := _proxy(url, host):
        return [Step("network", None, f"goes through the proxy {proxy}")]
    steps: list[Step] = []
    for name, look in (("address", _resolve), ("connection", _connect), ("TLS", _tls)):
        if name == "TLS" and url.scheme != "https":
            steps.append(Step(name, None, "not used: the address is plain http"))
        else:
            steps.append(_tried(name, look, host, port, timeout))
        if steps[-1].fine is False:
            break
    return steps


def simulator(address: str, timeout: float) -> str | None:
    """Give what the bundled simulator says of itself, None for any other service."""
    url = urlsplit(address)
    kind = HTTPSConnection if url.scheme == "https" else HTTPConnection
    connection = kind(url.hostname or "", url.port, timeout=timeout)
    try:
        connection.request("HEAD", url.path or "/")
        return one_line(connection.getresponse().getheader(MARK)) or None
    except (OSError, HTTPException, ValueError):
        return None
    finally:
        connection.close()


def _tried(name: str, look: Callable[[str, int, float], str], host: str, port: int, timeout: float) -> Step:
    began = time.monotonic()
    try:
        told = look(host, port, timeout)
    except (OSError, ValueError) as error:  # UnicodeError of an odd host name is a ValueError
        told = error.strerror if isinstance(error, OSError) and error.strerror else str(error)
        return Step(name, False, one_line(told, type(error).__name__))
    return Step(name, True, f"{told} ({1000 * (time.monotonic() - began):.0f} ms)")


def _resolve(host: str, port: int, timeout: float) -> str:
    found = {str(row[4][0]) for row in socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)}
    return f"{host} is {', '.join(sorted(found))}" if found != {host} else host


def _connect(host: str, port: int, timeout: float) -> str:
    with socket.create_connection((host, port), timeout):
        return f"port {port} answers"


def _tls(host: str, port: int, timeout: float) -> str:
    context = ssl.create_default_context()
    with (
        socket.create_connection((host, port), timeout) as plain,
        context.wrap_socket(plain, server_hostname=host) as tls,
    ):
        return f"{tls.version()}, the certificate is good"


def _proxy(url: SplitResult, host: str) -> str | None:
    address = getproxies().get(url.scheme)
    if address is None or proxy_bypass(host):
        return None
    return urlsplit(address).hostname or "of the environment"
