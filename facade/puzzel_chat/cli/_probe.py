"""`puzzel-chat probe`: which assumptions hold at a tenant, printed as found and saved to a file."""

from __future__ import annotations

import json
import os
import signal
import sys
import textwrap
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path

from attrs import asdict, define, frozen

from puzzel_chat import Observation, Probe, ProbeReport, Settings, Visitor
from puzzel_chat.cli._options import PREFIX, ServiceOptions
from puzzel_chat.cli._output import CliError, Exit, Output, one_line
from puzzel_chat.sandbox import NOTICE

ANSWERS = {"confirmed": "confirmed", "differs": "DIFFERS", "unclear": "unclear", "not asked": "not asked"}
STYLES = {"confirmed": "green", "differs": "bold red", "unclear": "yellow", "not asked": "dim"}
INDENT = " " * 13
LEFT_OPEN = "the test chat could not be ended at the service: end it in the agents' application"


@frozen
class ProbeOptions:
    """The options of `probe`."""

    visual_queue_id: str | None
    route: str | None
    yes: bool
    save: Path | None


def run_probe(service: ServiceOptions, options: ProbeOptions, output: Output) -> Exit:
    """Probe the service, print what was found, and return the exit code."""
    settings, visitor = Settings.from_env(**service), _visitor(os.environ)
    if options.route is not None and not options.yes and not _confirm(options.route):
        output.show({"step": "stopped", "told": "nothing was asked"}, "Nothing was asked.")
        return Exit.OK
    probe = Probe(settings, options.route, options.visual_queue_id, visitor)
    probe.on_observation = ObservationPrinter(output, probe).print
    with _file_to_save(options.save) as save:
        try:
            with _interrupted_by_signals():
                report = probe.run()
        except KeyboardInterrupt:
            _print_stopped(probe, options, output)
            return Exit.INTERRUPTED
        save(json.dumps(report.to_dict(), indent=2) + "\n")
    _print_summary(report, options, output)
    return _exit_code(report)


def _visitor(env: Mapping[str, str]) -> Visitor | None:
    """Read the visitor to sign in; there are no options for it, which others on the machine could read."""
    names = (f"{PREFIX}VISITOR_ACCESS_TOKEN", f"{PREFIX}VISITOR_ID_TOKEN")
    access, identity = (env.get(name) or None for name in names)
    provider = env.get(f"{PREFIX}VISITOR_PROVIDER_ID") or None
    if access is None and identity is None:
        return None
    if access is not None and identity is not None:
        raise CliError(f"set {names[0]} or {names[1]}, not both")
    if provider is not None and not (provider.isascii() and provider.isdecimal()):
        raise CliError(f"{PREFIX}VISITOR_PROVIDER_ID: {provider!r} is not a whole number")
    number = None if provider is None else int(provider)
    return Visitor(access_token=access, id_token=identity, provider_id=number)


def _confirm(queue_key: str) -> bool:
    # The question goes to stderr: stdout may be piped to a program.
    if not all(stream is not None and stream.isatty() for stream in (sys.stdin, sys.stderr)):
        raise CliError("--route holds a chat that people see, and nobody can be asked here: add --yes")
    question = f"This holds a short test chat in queue {one_line(queue_key)}; people there will see it. Go on? [y/N]"
    print(question, end=" ", file=sys.stderr, flush=True)
    return sys.stdin.readline().strip().lower() in ("y", "yes")


@contextmanager
def _interrupted_by_signals() -> Iterator[None]:
    """Make a closed terminal or a `kill` end the test chat as Ctrl-C does."""
    numbers = [getattr(signal, name) for name in ("SIGTERM", "SIGHUP") if hasattr(signal, name)]
    before = {number: signal.signal(number, signal.default_int_handler) for number in numbers}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


@contextmanager
def _file_to_save(target: Path | None) -> Iterator[Callable[[str], None]]:
    """Yield a function that writes the file, whole or not at all. Raise `CliError` at once if it cannot be written."""
    if target is None:
        yield lambda _: None
        return
    target = target.resolve()
    draft = target.with_name(f".{target.name}.{os.getpid()}")

    def save(text: str) -> None:
        try:
            draft.write_text(text, encoding="utf-8")
            draft.replace(target)
        except OSError as error:
            raise CliError(f"--save {target}: {error.strerror}; nothing was saved", Exit.FAILED) from None

    try:
        if target.exists() and not target.is_file():
            raise CliError(f"--save {target}: this is not a file")
        draft.touch()
    except OSError as error:
        raise CliError(f"--save {target}: cannot write there ({error.strerror})") from None
    try:
        yield save
    finally:
        with suppress(OSError):
            draft.unlink()


@define
class ObservationPrinter:
    """Print each operation as soon as it is judged; before the first, whether the simulator answers."""

    output: Output
    probe: Probe
    began: bool = False

    def print(self, one: Observation) -> None:
        """Print one operation."""
        if not self.began and self.probe.simulator:
            line = f"This is the {NOTICE}: what it confirms says nothing about Puzzel.\n"
            self.output.show({"step": "notice", "told": NOTICE}, line, "bold")
        self.began = True
        row = one.operation
        self.output.record(_record(one))
        self.output.say(f"{ANSWERS[one.answer]:10} {row.provenance:10} {row.method:4} {row.path}", STYLES[one.answer])
        if one.told:
            self.output.say(textwrap.fill(one_line(one.told), 78, initial_indent=INDENT, subsequent_indent=INDENT))


def _record(one: Observation) -> dict[str, object]:
    row = one.operation
    return {
        "operation": row.name,
        "host": row.host,
        "method": row.method,
        "path": row.path,
        "provenance": row.provenance,
        "answer": one.answer,
        "told": one.told,
        "status": one.status,
        "content_type": one.content_type,
        "fields": {place: list(kinds) for place, kinds in one.fields.items()},
        "differences": [asdict(difference) for difference in one.differences],
    }


def _print_stopped(probe: Probe, options: ProbeOptions, output: Output) -> None:
    notes = ["stopped; what was found until then stands above"]
    if options.route is not None:
        notes.append(LEFT_OPEN if probe.left_open else "no test chat was left open")
    if options.save is not None:
        notes.append(f"{options.save} was not written")
    output.show({"step": "stopped", "told": "; ".join(notes)}, f"\n-- {'; '.join(notes)}", "bold")


def _print_summary(report: ProbeReport, options: ProbeOptions, output: Output) -> None:
    counted = Counter[str](one.answer for one in report.observations)
    steps = list(_next_steps(report, options))
    record = {
        "step": "summary",
        **{answer.replace(" ", "_"): counted[answer] for answer in ANSWERS},
        "semantics": report.semantics,
        "rotation": report.rotation,
        "simulator": report.simulator,
        "saved": str(options.save) if options.save else None,
        "next": steps,
    }
    output.record(record)
    output.say()
    for finding in (SEMANTICS.get(report.semantics or ""), ROTATION.get(report.rotation or "")):
        if finding is not None:
            output.say(textwrap.fill(finding, 78))
    counts = ", ".join(f"{counted[answer]} {answer.replace('differs', 'differ')}" for answer in ANSWERS)
    output.say(f"\n{len(report.observations)} operations: {counts}", "bold")
    for step in steps:
        output.say(textwrap.fill(step, 78, subsequent_indent="  ", break_long_words=False, break_on_hyphens=False))


def _next_steps(report: ProbeReport, options: ProbeOptions) -> Iterator[str]:
    answers = {one.operation.name: one.answer for one in report.observations}
    if "not asked" in answers.values() and answers["connectToken"] != "differs":
        if options.visual_queue_id is None:
            yield "Next: --visual-queue-id ID asks for the hours of a queue."
        if options.route is None:
            yield "Next: --route QUEUE_KEY holds a short test chat, for what was not asked; people there see it."
    if options.save is None:
        yield "Next: --save FILE keeps this for `make regenerate OBSERVED=FILE`."
    else:
        rehearsal = ", as a rehearsal only: the simulator confirms nothing" if report.simulator else ""
        yield f"Next: make regenerate OBSERVED={one_line(str(options.save))}{rehearsal}"


def _exit_code(report: ProbeReport) -> Exit:
    if any(one.answer == "differs" for one in report.observations):
        return Exit.DIFFERS
    failed = [one for one in report.observations if one.answer == "unclear" and not 0 < (one.status or 0) < 500]
    return Exit.FAILED if failed else Exit.OK


# What was found out about polls and refresh tokens, and what it means for an application.
SEMANTICS: dict[str, str] = {
    "history": "A poll returns the whole history, each time. A lost reply costs nothing; long chats cost traffic.",
    "cursor": (
        "A poll returns what follows the cursor. A lost reply costs nothing: the next poll returns its messages again."
    ),
    "drain": (
        "A poll returns what this token has not read yet. A lost reply loses its messages; no client can get them back."
    ),
}
_SHARE = "Several processes on one session must share one store."
_GRACE = f"A lost reply to a refresh costs nothing within the grace period; its length was not tried. {_SHARE}"
ROTATION: dict[str, str] = {
    "no_refresh_token": (
        "The service returns no refresh token. A session ends with its token, and a chat cannot last longer than that."
    ),
    "kept": (
        "No rotation: the refresh token stays the same and can be used again. A lost reply to a refresh costs nothing,"
        " and processes cannot use up each other's token."
    ),
    "same_reply": f"Rotation: right after its use the old refresh token still gets the same reply. {_GRACE}",
    "new_reply": f"Rotation: right after its use the old refresh token still works and gets another new one. {_GRACE}",
    "refused": (
        "Rotation: the old refresh token is refused, and the session lives on. A lost reply to a refresh costs the"
        f" session, since nobody has the new refresh token. {_SHARE}"
    ),
    "revoked": (
        "Rotation without a grace period: using the old refresh token again ends the session. A lost reply to a refresh"
        " costs the session. So does a process that is killed during a refresh, or that uses an old token."
        f" {_SHARE}"
    ),
}
