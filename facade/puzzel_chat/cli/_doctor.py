"""`puzzel-chat doctor`: the settings, the way to both hosts, and how sure each operation is."""

from __future__ import annotations

import os
import re
import socket
import ssl
import textwrap
import time
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack
from http.client import HTTPConnection, HTTPException, HTTPSConnection
from typing import Literal
from urllib.parse import SplitResult, urlsplit
from urllib.request import getproxies, proxy_bypass

from attrs import evolve, frozen

from puzzel_chat import PuzzelChat, PuzzelChatError, Session, Settings, operations
from puzzel_chat.cli._options import PREFIX, Given
from puzzel_chat.cli._output import DOCTOR_HINT, Exit, Output, exit_code, in_words, one_line
from puzzel_chat.cli._queue import ANSWERS

MARKS = {True: "ok", False: "FAILED", None: "--"}
STYLES = {True: "green", False: "bold red", None: "dim"}
PROVENANCE = ("documented", "observed", "assumed", "confirmed")
SECRET = frozenset({"client_secret", "token_fields"})
ADDRESSES = frozenset({"base_url", "identity_url"})
MARK = "X-Simulator"
"""The header by which the bundled simulator tells what it is."""


@frozen
class Host:
    """One of the two hosts of the service, or both where one place serves both; `setting` says what chose it."""

    role: Literal["communication", "identity", "both"]
    url: str
    name: str
    setting: str


def run_doctor(given: Given, visual_queue_id: str | None, output: Output) -> Exit:
    """Print everything that can be found out, and give the worst that was found."""
    output.say("Settings", "bold")
    for row in shown(given):
        output.show(
            {"setting": row.name, "value": row.value, "source": row.source}, _setting(row.name, row.value, row.source)
        )
    output.say("\nService", "bold")
    code = _service(given, visual_queue_id, output)
    output.say("\nOperations, and how sure we are of each", "bold")
    _operations(output)
    return code


def _setting(name: str, value: str, source: str) -> str:
    return f"  {name:20} {value}" + ("" if source == "default" else f"  ({source})")


def hosts(settings: Settings) -> Iterator[Host]:
    """Give the hosts to reach: two, or one that is both."""
    found = [settings.address("communication"), settings.address("identity")]
    both = place(found[0].url) == place(found[1].url)
    for one in found[:1] if both else found:
        yield Host("both" if both else one.name, one.url, one.host, one.setting)


def _service(given: Given, visual_queue_id: str | None, output: Output) -> Exit:
    try:
        settings = Settings.from_env(**given.set_options())
    except PuzzelChatError as error:
        _show(Step("settings", False, in_words(error)), None, output)
        return exit_code(error) or Exit.USAGE
    reached = {host.role: _reached(host, settings.timeout, output) for host in hosts(settings)}
    code = Exit.FINE if all(reached.values()) else Exit.FAILED
    if not reached.get("identity", reached.get("both")):
        return code
    asked = visual_queue_id if reached.get("communication", True) else None
    return _calls(given, settings, asked, output) or code


def _reached(host: Host, timeout: float, output: Output) -> bool:
    """Show how far one gets to a host."""
    words = "communication and identity" if host.role == "both" else host.role
    output.say(f"  {words} host: {host.name}, set by {host.setting}")
    steps = reach(host.url, timeout)
    for step in steps:
        _show(step, host, output)
    if steps[-1].fine is False:
        return False
    notice = simulator(host.url, timeout)
    if notice is not None:
        output.show(
            {"step": "simulator", "fine": None, "told": notice, **_of(host)}, f"  note    this is the {notice}", "bold"
        )
    return True


def _calls(given: Given, settings: Settings, visual_queue_id: str | None, output: Output) -> Exit:
    """Open a session, and ask for the queue when one is named."""
    known = list(hosts(settings))
    communication, host = known[0], known[-1]
    step = Step("token", True, f"a session was opened at {host.name}")
    try:
        with ExitStack() as stack:
            chat = stack.enter_context(PuzzelChat.from_env(store=None, **given.set_options()))
            session = stack.enter_context(chat.connect())
            _show(step, host, output)
            if visual_queue_id is not None:
                host, step = communication, evolve(step, name="queue")
                _show(_queue(session, visual_queue_id), host, output)
    except PuzzelChatError as error:
        _show(evolve(step, fine=False, told=in_words(error).removesuffix(DOCTOR_HINT)), host, output)
        return exit_code(error) or Exit.FAILED
    return Exit.FINE


def _queue(session: Session, visual_queue_id: str) -> Step:
    return Step("queue", True, f"{visual_queue_id} is {ANSWERS[session.queue_info(visual_queue_id).is_open]}")


def _show(step: Step, host: Host | None, output: Output) -> None:
    lines = textwrap.wrap(step.told, 59) or [""]
    told = f"\n{'':21}".join(lines)
    record = {"step": step.name, "fine": step.fine, "told": step.told, **(_of(host) if host else {})}
    output.show(record, f"  {MARKS[step.fine]:7} {step.name:10} {told}", STYLES[step.fine])


def _of(host: Host) -> dict[str, object]:
    return {"host": host.role, "address": host.name, "setting": host.setting}


def _operations(output: Output) -> None:
    rows = operations()
    for row in rows:
        record = {
            "operation": row.name,
            "method": row.method,
            "path": row.path,
            "host": row.host,
            "provenance": row.provenance,
            "used_by": row.used_by,
            "note": row.note,
        }
        output.show(record, f"  {row.provenance:10}  {row.method:4} {row.path}")
        output.say(f"{'':14}{row.host} host, {row.used_by}")
        output.say(textwrap.fill(row.note, 78, initial_indent=" " * 14, subsequent_indent=" " * 14), "dim")
    counted = Counter(row.provenance for row in rows)
    told = ", ".join(f"{counted[mark]} {mark}" for mark in PROVENANCE)
    counts = {mark: counted[mark] for mark in PROVENANCE}
    output.show({"step": "summary", "operations": len(rows), **counts}, f"\n{len(rows)} operations: {told}", "bold")


@frozen
class Shown:
    """One setting as it may be shown: secrets are told to be set, never what they are."""

    name: str
    value: str
    source: str


def shown(given: Given, environment: Mapping[str, str] | None = None) -> list[Shown]:
    """Give every setting, where it came from, and its value unless that is secret."""
    env = os.environ if environment is None else environment
    options = given.set_options()
    return [_shown(name, options, env) for name in Settings.__annotations__]


def _shown(name: str, options: Mapping[str, object], env: Mapping[str, str]) -> Shown:
    variable = f"{PREFIX}{name.upper()}"
    if name in options:
        return Shown(name, _masked(name, str(options[name])), f"option --{name.replace('_', '-')}")
    if env.get(variable):
        winner = _overruled(name, options)
        source = f"environment {variable}" + (f", overruled by {winner}" if winner else "")
        return Shown(name, _masked(name, env[variable]), source)
    region = options.get("region") or (env.get(f"{PREFIX}REGION") and "base_url" not in options)
    return Shown(name, "the region's" if region and name in ADDRESSES else _default(name), "default")


def _overruled(name: str, options: Mapping[str, object]) -> str | None:
    """Return the option that takes the place of a variable: a region that of addresses, an address that of a region."""
    if name in ADDRESSES and "region" in options:
        return "--region"
    return "--base-url" if name == "region" and "base_url" in options else None


def _masked(name: str, value: str) -> str:
    """Hide secrets, also those that an address should not hold and is refused for."""
    if name in ADDRESSES:
        begin, _, rest = value.partition("://")
        host = re.split(r"[?#]", rest or begin, maxsplit=1)[0].rpartition("@")[2]
        return f"{begin}://{host}" if rest else host
    return "set" if name in SECRET else value


def _default(name: str) -> str:
    defaults = {
        "identity_url": "the base URL",
        "grant_type": "visitor",
        "client_id": "oneplatform_engage",
        "tenant_id": "the solution id",
        "timeout": "10",
        "poll_interval": "1",
        "allow_insecure_http": "no",
    }
    return defaults.get(name, "not set")


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
