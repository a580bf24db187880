"""`puzzel-chat probe`: a walk through a service, told step by step, and perhaps kept in a file."""

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
from puzzel_chat.cli._options import PREFIX, Given
from puzzel_chat.cli._output import CliError, Exit, Output, one_line
from puzzel_chat.sandbox import NOTICE

ANSWERS = {"confirmed": "confirmed", "differs": "DIFFERS", "unclear": "unclear", "not asked": "not asked"}
STYLES = {"confirmed": "green", "differs": "bold red", "unclear": "yellow", "not asked": "dim"}
INDENT = " " * 13
OPEN = "the test chat could not be ended at the service: end it in the agents' application"


@frozen
class Walk:
    """What is asked for: a queue's hours, a test chat and leave for it, a file to write."""

    visual_queue_id: str | None = None
    route: str | None = None
    yes: bool = False
    save: Path | None = None


def run_probe(given: Given, walk: Walk, output: Output) -> Exit:
    """Walk, tell what was found, and give the exit code."""
    settings, visitor = Settings.from_env(**given.set_options()), visitor_of(os.environ)
    if walk.route is not None and not walk.yes and not _allowed(walk.route):
        output.show({"step": "stopped", "told": "nothing was asked"}, "Nothing was asked.")
        return Exit.FINE
    probe = Probe(settings, walk.route, walk.visual_queue_id, visitor)
    probe.on_observation = Teller(output, probe).tell
    with _draft(walk.save) as keep:
        try:
            with _stopped_by_signals():
                report = probe.run()
        except KeyboardInterrupt:
            _say_stopped(probe, walk, output)
            return Exit.INTERRUPTED
        keep(json.dumps(report.to_dict(), indent=2) + "\n")
    _sum_up(report, walk, output)
    return _code(report)


def visitor_of(env: Mapping[str, str]) -> Visitor | None:
    """Give the visitor of the environment; never of options, which others on the machine can read."""
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


def _allowed(queue_key: str) -> bool:
    """Ask on the terminal; standard output may be a program's."""
    if not all(stream is not None and stream.isatty() for stream in (sys.stdin, sys.stderr)):
        raise CliError("--route holds a chat that people see, and nobody can be asked here: add --yes")
    question = f"This holds a short test chat in queue {one_line(queue_key)}; people there will see it. Go on? [y/N]"
    print(question, end=" ", file=sys.stderr, flush=True)
    return sys.stdin.readline().strip().lower() in ("y", "yes")


@contextmanager
def _stopped_by_signals() -> Iterator[None]:
    """Let a closed terminal or a plain `kill` end the test chat as Ctrl-C does."""
    numbers = [getattr(signal, name) for name in ("SIGTERM", "SIGHUP") if hasattr(signal, name)]
    before = {number: signal.signal(number, signal.default_int_handler) for number in numbers}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


@contextmanager
def _draft(target: Path | None) -> Iterator[Callable[[str], None]]:
    """Give what writes the file, whole or not at all; a place that cannot be written is told at once."""
    if target is None:
        yield lambda _: None
        return
    target = target.resolve()
    draft = target.with_name(f".{target.name}.{os.getpid()}")

    def keep(text: str) -> None:
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
        yield keep
    finally:
        with suppress(OSError):
            draft.unlink()


@define
class Teller:
    """Prints each operation as soon as it is judged."""

    output: Output
    probe: Probe
    begun: bool = False

    def tell(self, one: Observation) -> None:
        """Print one; before the first, what it is that answers."""
        if not self.begun and self.probe.simulator:
            told = f"This is the {NOTICE}: what it confirms is no news of Puzzel.\n"
            self.output.show({"step": "notice", "told": NOTICE}, told, "bold")
        self.begun = True
        row = one.operation
        self.output.record(_record(one))
        self.output.say(f"{ANSWERS[one.answer]:10} {row.provenance:10} {row.method:4} {row.path}", STYLES[one.answer])
        if one.told:
            self.output.say(_indented(one_line(one.told)))


def _indented(told: str) -> str:
    return textwrap.fill(told, 78, initial_indent=INDENT, subsequent_indent=INDENT)


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


def _say_stopped(probe: Probe, walk: Walk, output: Output) -> None:
    told = ["stopped; what was found until then stands above"]
    if walk.route is not None and probe.left_open:
        told.append(OPEN)
    elif walk.route is not None:
        told.append("no test chat was left open")
    if walk.save is not None:
        told.append(f"{walk.save} was not written")
    output.show({"step": "stopped", "told": "; ".join(told)}, f"\n-- {'; '.join(told)}", "bold")


def _sum_up(report: ProbeReport, walk: Walk, output: Output) -> None:
    counted = Counter[str](one.answer for one in report.observations)
    steps = list(_next_steps(report, walk))
    record = {
        "step": "summary",
        **{answer.replace(" ", "_"): counted[answer] for answer in ANSWERS},
        "semantics": report.semantics,
        "rotation": report.rotation,
        "simulator": report.simulator,
        "saved": str(walk.save) if walk.save else None,
        "next": steps,
    }
    output.record(record)
    output.say()
    for found in (SEMANTICS.get(report.semantics or ""), ROTATION.get(report.rotation or "")):
        if found is not None:
            output.say(textwrap.fill(" ".join(found), 78))
    told = ", ".join(f"{counted[answer]} {answer.replace('differs', 'differ')}" for answer in ANSWERS)
    output.say(f"\n{len(report.observations)} operations: {told}", "bold")
    for step in steps:
        output.say(textwrap.fill(step, 78, subsequent_indent="  ", break_long_words=False, break_on_hyphens=False))


def _next_steps(report: ProbeReport, walk: Walk) -> Iterator[str]:
    answers = {one.operation.name: one.answer for one in report.observations}
    if "not asked" in answers.values() and answers["connectToken"] != "differs":
        if walk.visual_queue_id is None:
            yield "Next: --visual-queue-id ID asks for the hours of a queue."
        if walk.route is None:
            yield "Next: --route QUEUE_KEY holds a short test chat, for what was not asked; people there see it."
    if walk.save is None:
        yield "Next: --save FILE keeps this for `make regenerate OBSERVED=FILE`."
    else:
        rehearsal = ", as a rehearsal only: the simulator confirms nothing" if report.simulator else ""
        yield f"Next: make regenerate OBSERVED={one_line(str(walk.save))}{rehearsal}"


def _code(report: ProbeReport) -> Exit:
    if any(one.answer == "differs" for one in report.observations):
        return Exit.DIFFERS
    failed = [one for one in report.observations if one.answer == "unclear" and not 0 < (one.status or 0) < 500]
    return Exit.FAILED if failed else Exit.FINE


STORE = "Several processes on one session must share one store."


SEMANTICS: dict[str, tuple[str, str]] = {
    "history": ("A poll gives the whole history, each time.", "A lost reply costs nothing; long chats cost traffic."),
    "cursor": ("A poll gives what follows the cursor.", "A lost reply costs nothing: the next poll brings it again."),
    "drain": (
        "A poll gives what this token has not read yet.",
        "A lost reply loses its messages; no client can get them back.",
    ),
}


ROTATION: dict[str, tuple[str, str]] = {
    "no_refresh_token": (
        "The service gives no refresh token.",
        "A session ends with its token, and a chat cannot last longer than that.",
    ),
    "kept": (
        "No rotation: the refresh token stays as it is and can be used again.",
        "A lost reply to a refresh costs nothing, and processes cannot spend each other's token.",
    ),
    "same_reply": (
        "Rotation: right after its use the old refresh token still gives the same reply.",
        f"A lost reply to a refresh costs nothing while the service forgives; for how long was not tried. {STORE}",
    ),
    "new_reply": (
        "Rotation: right after its use the old refresh token still works and gives another new one.",
        f"A lost reply to a refresh costs nothing while the service forgives; for how long was not tried. {STORE}",
    ),
    "refused": (
        "Rotation: the old refresh token is refused, and the session lives on.",
        f"A lost reply to a refresh costs the session, since nobody has the new refresh token. {STORE}",
    ),
    "revoked": (
        "Rotation without forgiveness: using the old refresh token again ends the session.",
        "A lost reply to a refresh costs the session, and so does a process that is killed while it refreshes, or comes"
        f" with an old token. {STORE}",
    ),
}
