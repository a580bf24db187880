"""`puzzel-chat doctor`: the settings, the way to the service, and how sure each operation is."""

from __future__ import annotations

import textwrap
from collections.abc import Mapping
from contextlib import ExitStack

from attrs import asdict

from puzzel_chat import PuzzelChat, PuzzelChatError, Rotation, Session, Settings, operations
from puzzel_chat.cli._exits import DOCTOR_HINT, Exit, exit_code, in_words
from puzzel_chat.cli._output import Output
from puzzel_chat.cli._queue import ANSWERS
from puzzel_chat.cli._reach import Step, reach, simulator
from puzzel_chat.cli._rotation import rotation_words
from puzzel_chat.cli._settings import Given, shown

MARKS = {True: "ok", False: "FAILED", None: "--"}
STYLES = {True: "green", False: "bold red", None: "dim"}


def run_doctor(given: Given, queue_id: str | None, rotation: bool, output: Output) -> Exit:
    """Print everything that can be found out, and give the worst that was found."""
    output.say("Settings", "bold")
    for row in shown(given):
        output.show(
            {"setting": row.name, "value": row.value, "source": row.source}, _setting(row.name, row.value, row.source)
        )
    output.say("\nService", "bold")
    code = _service(given, queue_id, rotation, output)
    output.say("\nOperations, and how sure we are of each", "bold")
    _operations(output)
    return code


def _setting(name: str, value: str, source: str) -> str:
    return f"  {name:20} {value}" + ("" if source == "default" else f"  ({source})")


def _service(given: Given, queue_id: str | None, rotation: bool, output: Output) -> Exit:
    try:
        settings = Settings.from_env(**given.set_options())
    except PuzzelChatError as error:
        _show(Step("settings", False, in_words(error)), output)
        return exit_code(error) or Exit.USAGE
    steps = reach(settings.base_url, settings.timeout)
    for step in steps:
        _show(step, output)
    if steps[-1].fine is False:
        return Exit.FAILED
    _tell_simulator(settings, output)
    return _calls(given, queue_id, rotation, output)


def _tell_simulator(settings: Settings, output: Output) -> None:
    notice = simulator(settings.base_url, settings.timeout)
    if notice is not None:
        output.show({"step": "simulator", "fine": None, "told": notice}, f"  note    this is the {notice}", "bold")


def _calls(given: Given, queue_id: str | None, rotation: bool, output: Output) -> Exit:
    """Open a session; ask for the queue when one is named, and for the rotation when that is wanted."""
    name = "token"
    try:
        with ExitStack() as stack:
            chat = stack.enter_context(PuzzelChat.from_env(store=None, **given.set_options()))
            session = stack.enter_context(chat.connect())
            _show(Step(name, True, "a session was opened"), output)
            if queue_id is not None:
                name = "queue"
                _show(_queue(session, queue_id), output)
            if rotation:
                name = "rotation"
                _tell_rotation(chat.rotation_policy(), output)
    except PuzzelChatError as error:
        _show(Step(name, False, in_words(error).removesuffix(DOCTOR_HINT)), output)
        return exit_code(error) or Exit.FAILED
    return Exit.FINE


def _queue(session: Session, queue_id: str) -> Step:
    return Step("queue", True, f"{queue_id} is {ANSWERS[session.queue_info(queue_id).is_open]}")


def _tell_rotation(found: Rotation, output: Output) -> None:
    told, means = rotation_words(found)
    _show(Step("rotation", True, told), output, {"means": means, **asdict(found)})
    output.say(textwrap.indent(textwrap.fill(means, 59), " " * 21))


def _show(step: Step, output: Output, more: Mapping[str, object] | None = None) -> None:
    lines = textwrap.wrap(step.told, 59) or [""]
    told = f"\n{'':21}".join(lines)
    output.show(
        {"step": step.name, "fine": step.fine, "told": step.told, **(more or {})},
        f"  {MARKS[step.fine]:7} {step.name:10} {told}",
        STYLES[step.fine],
    )


def _operations(output: Output) -> None:
    for row in operations():
        record = {
            "operation": row.name,
            "method": row.method,
            "path": row.path,
            "provenance": row.provenance,
            "used_by": row.used_by,
            "note": row.note,
        }
        output.show(record, f"  {row.provenance:10}  {row.method:4} {row.path:35} {row.used_by}")
        output.say(textwrap.fill(row.note, 78, initial_indent=" " * 14, subsequent_indent=" " * 14), "dim")
