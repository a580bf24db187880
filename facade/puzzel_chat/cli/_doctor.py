"""`puzzel-chat doctor`: the settings, the way to both hosts, and how sure each operation is."""

from __future__ import annotations

import textwrap
from collections import Counter
from collections.abc import Iterator
from contextlib import ExitStack
from typing import Literal

from attrs import evolve, frozen

from puzzel_chat import PuzzelChat, PuzzelChatError, Session, Settings, operations
from puzzel_chat.cli._exits import DOCTOR_HINT, Exit, exit_code, in_words
from puzzel_chat.cli._output import Output
from puzzel_chat.cli._queue import ANSWERS
from puzzel_chat.cli._reach import Step, place, reach, simulator
from puzzel_chat.cli._settings import Given, shown

MARKS = {True: "ok", False: "FAILED", None: "--"}
STYLES = {True: "green", False: "bold red", None: "dim"}
PROVENANCE = ("documented", "observed", "assumed", "confirmed")


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
