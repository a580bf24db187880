"""`puzzel-chat doctor`: how sure each operation is, the settings, and last what was found on the way to both hosts."""

from __future__ import annotations

import os
import re
import socket
import ssl
import textwrap
import time
from collections.abc import Callable, Mapping
from contextlib import closing
from functools import partial
from http.client import HTTPConnection, HTTPException, HTTPSConnection
from typing import Any
from urllib.parse import urlsplit
from urllib.request import getproxies

from attrs import define, field, frozen

from puzzel_chat import PuzzelChat, PuzzelChatError, Settings, operations
from puzzel_chat.cli._options import PREFIX, SERVICE_OPTIONS, ServiceOptions
from puzzel_chat.cli._output import DOCTOR_HINT, Exit, Output, error_text, exit_code, one_line
from puzzel_chat.cli._queue import STATES

SECRETS = frozenset({"client_secret", "token_fields", "headers"})
ADDRESSES = frozenset({"base_url", "identity_url", "upload_url"})
DEFAULTS = {
    "identity_url": "the base URL",
    "upload_url": "the base URL",
    "grant_type": "visitor",
    "client_id": "oneplatform_engage",
    "tenant_id": "the solution id",
    "timeout": "10",
    "poll_interval": "1",
    "max_retries": "2",
    "max_message_bytes": "65536",
    "max_file_bytes": "20971520",
    "verify": "the usual authorities",
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

    role: str
    url: str
    name: str
    setting: str
    network: str
    direct: bool


@frozen
class Check:
    """One check; `ok` is None when it was not needed."""

    name: str
    ok: bool | None
    text: str


def run_doctor(service: ServiceOptions, visual_queue_id: str | None, verbose: bool, output: Output) -> Exit:
    """Print operations, settings and findings; return the exit code of the first failed check."""
    _show_operations(verbose, output)
    output.say("\nSettings", "bold")
    _show_settings(shown_settings(service, os.environ), verbose, output)
    output.say("\nFindings", "bold")
    findings = Findings(output)
    code = _check_service(service, visual_queue_id, findings)
    findings.sum_up()
    return code


@define
class Findings:
    """Shows each check, and what failed."""

    output: Output
    failed: list[str] = field(factory=list, init=False)

    def show(self, check: Check, host: Host | None = None) -> None:
        """Show a check, on one line."""
        if check.ok is False:
            self.failed.append(check.name)
        record = {"step": check.name, "fine": check.ok, "told": check.text, **(_host_record(host) if host else {})}
        self.output.show(record, f"  {RESULTS[check.ok]:7} {check.name:12} {check.text}", STYLES[check.ok])

    def sum_up(self) -> None:
        """Say in the last line how it went."""
        told = f"Failed: {', '.join(self.failed)}." if self.failed else "Nothing failed."
        self.output.show({"step": "result", "failed": self.failed}, told, "bold")


def _show_settings(rows: list[Shown], verbose: bool, output: Output) -> None:
    for row in rows:
        source = "" if row.source == "default" else f"  ({row.source})"
        record = {"setting": row.name, "value": row.value, "source": row.source}
        if verbose or output.json or source:
            output.show(record, f"  {row.name:20} {row.value}{source}")
    usual = ", ".join(f"{row.name}: {row.value}" for row in rows if row.source == "default")
    if not verbose:
        output.say(_wrapped(f"  {'the rest':20} ", usual), "dim")


def _wrapped(begin: str, text: str) -> str:
    return textwrap.fill(text, 79, initial_indent=begin, subsequent_indent=" " * len(begin), break_long_words=False)


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
    if name == "proxy":
        scheme, separator, rest = value.rpartition("://")
        place = re.match(r"(\[[^]]*\]|[^:/?#]*)(:\d+)?", rest.rpartition("@")[2])
        return f"{scheme}{separator}{place[0] if place else ''}"
    if name in ADDRESSES:
        # An address with a password or a query is refused; it is still shown here.
        scheme, _, rest = value.partition("://")
        host = re.split(r"[?#]", rest or scheme, maxsplit=1)[0].rpartition("@")[2]
        return f"{scheme}://{host}" if rest else host
    return "set" if name in SECRETS else value


def _check_service(service: ServiceOptions, visual_queue_id: str | None, findings: Findings) -> Exit:
    try:
        settings = Settings.from_env(**service)
        # It finds the proxies and certificates of the environment, too.
        chat = PuzzelChat.from_env(store=None, **service)
    except PuzzelChatError as error:
        findings.show(Check("settings", False, error_text(error)))
        return exit_code(error) or Exit.USAGE
    with chat:
        hosts = _hosts(settings, chat.proxies)
        encrypted = any(host.url.startswith("https:") for host in hosts)
        findings.show(Check("certificates", None, _trust(settings, os.environ) if encrypted else "not used: no TLS"))
        reached = [_check_host(host, settings.timeout, chat.tls_context, findings) for host in hosts]
        code = Exit.OK if all(reached) else Exit.FAILED
        if not reached[-1]:
            return code
        return _check_calls(chat, hosts, visual_queue_id if reached[0] else None, findings) or code


def _trust(settings: Settings, env: Mapping[str, str]) -> str:
    """Say who is trusted, and what names them."""
    named = [("verify", None if settings.verify is True else settings.verify)]
    named += [(name, env.get(name)) for name in ("SSL_CERT_FILE", "SSL_CERT_DIR")]
    found = next((f"those of {one_line(str(path))} ({name})" for name, path in named if path), None)
    return found or "the authorities that httpx brings; verify or SSL_CERT_FILE would name others"


def _hosts(settings: Settings, proxies: Mapping[Any, str]) -> list[Host]:
    """Return the communication host and the identity host, or the one that is both."""
    found = [settings.address("communication"), settings.address("identity")]
    both = _host_and_port(found[0].url) == _host_and_port(found[1].url)
    hosts: list[Host] = []
    for one in found[: 1 if both else 2]:
        proxy = proxies.get(one.name)
        network = f"through the proxy {proxy}" if proxy else f"directly: {_why_directly(one.url, one.is_here)}"
        hosts.append(Host("both" if both else str(one.name), one.url, one.host, one.setting, network, proxy is None))
    return hosts


def _why_directly(url: str, here: bool) -> str:
    if here:
        return "it is on this machine"
    scheme, named = urlsplit(url).scheme, getproxies()
    return "NO_PROXY names it" if named.get(scheme) or named.get("all") else "no proxy is named"


def _check_host(host: Host, timeout: float, tls: Callable[[], ssl.SSLContext], findings: Findings) -> bool:
    role = "communication and identity" if host.role == "both" else host.role
    findings.output.say(f"  {role} host: {host.name}, set by {host.setting}")
    findings.show(Check("network", None, host.network), host)
    if not host.direct:
        return True
    context = tls() if host.url.startswith("https:") else None
    checks = _reach(host.url, timeout, context)
    for check in checks:
        findings.show(check, host)
    if checks[-1].ok is False:
        return False
    notice = _simulator_notice(host.url, timeout, context)
    if notice is not None:
        record = {"step": "simulator", "fine": None, "told": notice, **_host_record(host)}
        findings.output.show(record, f"  {'note':7} {'simulator':12} this is the {notice}", "bold")
    return True


def _check_calls(chat: PuzzelChat, hosts: list[Host], visual_queue_id: str | None, findings: Findings) -> Exit:
    """Open a session, and ask for the queue if one is named."""
    name, host = "token", hosts[-1]
    try:
        with chat.connect() as session:
            findings.show(Check(name, True, f"a session was opened at {host.name}"), host)
            if visual_queue_id is not None:
                name, host = "queue", hosts[0]
                state = STATES[session.queue_info(visual_queue_id).is_open]
                findings.show(Check(name, True, f"{visual_queue_id} is {state}"), host)
    except PuzzelChatError as error:
        findings.show(Check(name, False, error_text(error).removesuffix(DOCTOR_HINT)), host)
        return exit_code(error) or Exit.FAILED
    return Exit.OK


def _host_record(host: Host) -> dict[str, object]:
    return {"host": host.role, "address": host.name, "setting": host.setting}


def _reach(address: str, timeout: float, context: ssl.SSLContext | None) -> list[Check]:
    """Resolve, connect and shake hands, up to the first failure."""
    host, port = _host_and_port(address)
    checks: list[Check] = []
    shake_hands = partial(_tls, context) if context else None
    for name, attempt in (("address", _resolve), ("connection", _connect), ("TLS", shake_hands)):
        if attempt is None:
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


def _tls(context: ssl.SSLContext, host: str, port: int, timeout: float) -> str:
    with (
        socket.create_connection((host, port), timeout) as plain,
        context.wrap_socket(plain, server_hostname=host) as tls,
    ):
        return f"{tls.version()}, the certificate is good"


def _simulator_notice(address: str, timeout: float, context: ssl.SSLContext | None) -> str | None:
    """Return the notice of the bundled simulator, None for any other service."""
    url = urlsplit(address)
    kind = partial(HTTPSConnection, context=context) if context else HTTPConnection
    try:
        with closing(kind(url.hostname or "", url.port, timeout=timeout)) as connection:
            connection.request("HEAD", url.path or "/")
            return one_line(connection.getresponse().getheader(SIMULATOR_HEADER)) or None
    except (OSError, HTTPException, ValueError):
        return None


def _show_operations(verbose: bool, output: Output) -> None:
    rows = operations()
    names = {mark: [row.name for row in rows if row.provenance == mark] for mark in PROVENANCE}
    counts = {mark: len(found) for mark, found in names.items()}
    text = ", ".join(f"{count} {mark}" for mark, count in counts.items())
    hint = "" if verbose else "; why: --verbose"
    output.show({"step": "summary", "operations": len(rows), **counts}, f"{len(rows)} operations: {text}{hint}", "bold")
    for row in rows if verbose or output.json else ():
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
        output.say(_wrapped(" " * 14, row.note), "dim")
    for mark, found in names.items() if not verbose else ():
        if found:
            output.say(_wrapped(f"  {mark:10}  ", ", ".join(found)))
