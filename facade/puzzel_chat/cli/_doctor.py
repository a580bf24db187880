"""`puzzel-chat doctor`: the settings, the way to both hosts, and how sure each operation is."""

from __future__ import annotations

import os
import re
import socket
import ssl
import textwrap
import time
from collections import Counter
from collections.abc import Callable, Mapping
from contextlib import closing
from http.client import HTTPConnection, HTTPException, HTTPSConnection
from typing import Any, Literal
from urllib.parse import urlsplit

from attrs import frozen

from puzzel_chat import PuzzelChat, PuzzelChatError, Settings, operations
from puzzel_chat.cli._options import PREFIX, SERVICE_OPTIONS, ServiceOptions
from puzzel_chat.cli._output import DOCTOR_HINT, Exit, Output, error_text, exit_code, one_line
from puzzel_chat.cli._queue import STATES

SECRETS = frozenset({"client_secret", "token_fields"})
ADDRESSES = frozenset({"base_url", "identity_url"})
DEFAULTS = {
    "identity_url": "the base URL",
    "grant_type": "visitor",
    "client_id": "oneplatform_engage",
    "tenant_id": "the solution id",
    "timeout": "10",
    "poll_interval": "1",
    "max_message_bytes": "65536",
    "allow_insecure_http": "no",
}
RESULTS = {True: "ok", False: "FAILED", None: "--"}
STYLES = {True: "green", False: "bold red", None: "dim"}
SIMULATOR_HEADER = "X-Simulator"
PROVENANCE = ("documented", "observed", "assumed", "confirmed")


@frozen
class Shown:
    """A setting as it may be shown: of a secret only that it is set."""

    name: str
    value: str
    source: str


@frozen
class Host:
    """A host of the service; `setting` is the one to change when it is wrong."""

    role: Literal["communication", "identity", "both"]
    url: str
    name: str
    setting: str
    proxy: str | None = None


@frozen
class Check:
    """One check; `ok` is None when it was not needed."""

    name: str
    ok: bool | None
    text: str


def run_doctor(service: ServiceOptions, visual_queue_id: str | None, output: Output) -> Exit:
    """Print settings, checks and operations; return the exit code of the first failed check."""
    output.say("Settings", "bold")
    for row in shown_settings(service, os.environ):
        source = "" if row.source == "default" else f"  ({row.source})"
        record = {"setting": row.name, "value": row.value, "source": row.source}
        output.show(record, f"  {row.name:20} {row.value}{source}")
    output.say("\nService", "bold")
    code = _check_service(service, visual_queue_id, output)
    output.say("\nOperations, and how sure we are of each", "bold")
    _show_operations(output)
    return code


def shown_settings(service: Mapping[str, object], env: Mapping[str, str]) -> list[Shown]:
    """Return every setting with its source."""
    return [_shown(name, service, env) for name in Settings.__annotations__]


def _shown(name: str, service: Mapping[str, object], env: Mapping[str, str]) -> Shown:
    variable = f"{PREFIX}{name.upper()}"
    if name in service:
        return Shown(name, _masked(name, str(service[name])), f"option {SERVICE_OPTIONS[name].flag}")
    if env.get(variable):
        winner = _overruled(name, service)
        source = f"environment {variable}" + (f", overruled by {winner}" if winner else "")
        return Shown(name, _masked(name, env[variable]), source)
    region = service.get("region") or (env.get(f"{PREFIX}REGION") and "base_url" not in service)
    return Shown(name, "the region's" if region and name in ADDRESSES else DEFAULTS.get(name, "not set"), "default")


def _overruled(name: str, service: Mapping[str, object]) -> str | None:
    """Return the option that overrules a variable: `--region` those of addresses, `--base-url` that of the region."""
    if name in ADDRESSES and "region" in service:
        return "--region"
    return "--base-url" if name == "region" and "base_url" in service else None


def _masked(name: str, value: str) -> str:
    if name in ADDRESSES:
        # An address with a password or a query is refused; it is still shown here.
        scheme, _, rest = value.partition("://")
        host = re.split(r"[?#]", rest or scheme, maxsplit=1)[0].rpartition("@")[2]
        return f"{scheme}://{host}" if rest else host
    return "set" if name in SECRETS else value


def _check_service(service: ServiceOptions, visual_queue_id: str | None, output: Output) -> Exit:
    try:
        settings = Settings.from_env(**service)
        # It finds the proxies and certificates of the environment, too.
        chat = PuzzelChat.from_env(store=None, **service)
    except PuzzelChatError as error:
        _show(Check("settings", False, error_text(error)), None, output)
        return exit_code(error) or Exit.USAGE
    with chat:
        hosts = _hosts(settings, chat.proxies)
        reached = [_check_host(host, settings.timeout, output) for host in hosts]
        code = Exit.OK if all(reached) else Exit.FAILED
        if not reached[-1]:
            return code
        return _check_calls(chat, hosts, visual_queue_id if reached[0] else None, output) or code


def _hosts(settings: Settings, proxies: Mapping[Any, str]) -> list[Host]:
    """Return the communication host and the identity host, or the one that is both."""
    found = [settings.address("communication"), settings.address("identity")]
    both = _host_and_port(found[0].url) == _host_and_port(found[1].url)
    return [
        Host("both" if both else one.name, one.url, one.host, one.setting, proxies.get(one.name))
        for one in found[: 1 if both else 2]
    ]


def _check_host(host: Host, timeout: float, output: Output) -> bool:
    role = "communication and identity" if host.role == "both" else host.role
    output.say(f"  {role} host: {host.name}, set by {host.setting}")
    if host.proxy is not None:
        _show(Check("network", None, f"goes through the proxy {host.proxy}"), host, output)
        return True
    checks = _reach(host.url, timeout)
    for check in checks:
        _show(check, host, output)
    if checks[-1].ok is False:
        return False
    notice = _simulator_notice(host.url, timeout)
    if notice is not None:
        record = {"step": "simulator", "fine": None, "told": notice, **_host_record(host)}
        output.show(record, f"  note    this is the {notice}", "bold")
    return True


def _check_calls(chat: PuzzelChat, hosts: list[Host], visual_queue_id: str | None, output: Output) -> Exit:
    """Open a session, and ask for the queue if one is named."""
    name, host = "token", hosts[-1]
    try:
        with chat.connect() as session:
            _show(Check(name, True, f"a session was opened at {host.name}"), host, output)
            if visual_queue_id is not None:
                name, host = "queue", hosts[0]
                state = STATES[session.queue_info(visual_queue_id).is_open]
                _show(Check(name, True, f"{visual_queue_id} is {state}"), host, output)
    except PuzzelChatError as error:
        _show(Check(name, False, error_text(error).removesuffix(DOCTOR_HINT)), host, output)
        return exit_code(error) or Exit.FAILED
    return Exit.OK


def _show(check: Check, host: Host | None, output: Output) -> None:
    text = f"\n{'':21}".join(textwrap.wrap(check.text, 59))
    record = {"step": check.name, "fine": check.ok, "told": check.text, **(_host_record(host) if host else {})}
    output.show(record, f"  {RESULTS[check.ok]:7} {check.name:10} {text}", STYLES[check.ok])


def _host_record(host: Host) -> dict[str, object]:
    return {"host": host.role, "address": host.name, "setting": host.setting}


def _reach(address: str, timeout: float) -> list[Check]:
    """Resolve, connect and shake hands, up to the first failure."""
    url, (host, port) = urlsplit(address), _host_and_port(address)
    checks: list[Check] = []
    for name, attempt in (("address", _resolve), ("connection", _connect), ("TLS", _tls)):
        if name == "TLS" and url.scheme != "https":
            checks.append(Check(name, None, "not used: the address is plain http"))
        else:
            checks.append(_timed(name, attempt, host, port, timeout))
        if checks[-1].ok is False:
            break
    return checks


def _host_and_port(address: str) -> tuple[str, int]:
    url = urlsplit(address)
    return url.hostname or "", url.port or (443 if url.scheme == "https" else 80)


def _timed(name: str, attempt: Callable[[str, int, float], str], host: str, port: int, timeout: float) -> Check:
    began = time.monotonic()
    try:
        text = attempt(host, port, timeout)
    except (OSError, ValueError) as error:  # the UnicodeError of an odd host name is a ValueError
        text = error.strerror if isinstance(error, OSError) and error.strerror else str(error)
        return Check(name, False, one_line(text, type(error).__name__))
    return Check(name, True, f"{text} ({1000 * (time.monotonic() - began):.0f} ms)")


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


def _simulator_notice(address: str, timeout: float) -> str | None:
    """Return the notice of the bundled simulator, None for any other service."""
    url = urlsplit(address)
    kind = HTTPSConnection if url.scheme == "https" else HTTPConnection
    try:
        with closing(kind(url.hostname or "", url.port, timeout=timeout)) as connection:
            connection.request("HEAD", url.path or "/")
            return one_line(connection.getresponse().getheader(SIMULATOR_HEADER)) or None
    except (OSError, HTTPException, ValueError):
        return None


def _show_operations(output: Output) -> None:
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
    counted = Counter[str](row.provenance for row in rows)
    counts = {mark: counted[mark] for mark in PROVENANCE}
    text = ", ".join(f"{count} {mark}" for mark, count in counts.items())
    output.show({"step": "summary", "operations": len(rows), **counts}, f"\n{len(rows)} operations: {text}", "bold")
