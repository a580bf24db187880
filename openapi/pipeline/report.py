"""What a run has to say: short on the screen, in full as Markdown, and as JSON for programs."""

from __future__ import annotations

import json
import textwrap
from collections.abc import Iterable, Iterator

from attrs import asdict, frozen

from pipeline.both import Change, Weight
from pipeline.judge import Edit
from pipeline.problems import ADDITIONS, NOTHING_CHANGED
from pipeline.provenance import Row, table

SHOWN = 12
"""How many lines of one kind the screen shows; the report has them all."""


@frozen
class Report:
    """Everything that a run found out.

    `told` is how the document was come by, `edits` what the type checker and the corrections ask for, `changes` the
    diff of what the facade uses or, when there is none, `no_diff` why, `operations` the new ones. `notes` are the
    normaliser's, `lost` is what the generator dropped, `files` are the changed ones.
    """

    status: int = NOTHING_CHANGED
    told: tuple[str, ...] = ()
    edits: tuple[Edit, ...] = ()
    changes: tuple[Change, ...] = ()
    no_diff: str = ""
    operations: tuple[str, ...] = ()
    notes: tuple[str, ...] = ()
    lost: tuple[str, ...] = ()
    provenance: tuple[Row, ...] = ()
    files: tuple[tuple[str, str], ...] = ()
    taken: bool = False
    problems: tuple[str, ...] = ()

    @property
    def look(self) -> list[Change]:
        """The changes that no type shows."""
        return [one for one in self.changes if one.weight <= Weight.READ]

    @property
    def verdict(self) -> str:
        """The last line: the exit status, and what it means."""
        if self.problems:
            return f"{self.status}: {self.problems[-1]}"
        changed = _count(len(self.files), "file")
        if self.status == NOTHING_CHANGED:
            return f"0: nothing changed{f' in the API; {changed} put back' if self.files else ''}."
        if self.status == ADDITIONS:
            return f"10: the facade fits; {changed} changed."
        if self.taken:
            return f"20: taken all the same (ACCEPT=1), {changed} changed: now make these edits."
        if self.edits:
            lines = _count(len({(one.file, one.line) for one in self.edits}), "line")
            return f"20: the facade does not fit at {lines}; no file was changed: make these edits and run again."
        look = _count(sum(one.weight is Weight.LOOK for one in self.changes), "change")
        return f"20: the facade fits, but no type shows {look}; no file was changed: look, then run with ACCEPT=1."


def _count(number: int, noun: str) -> str:
    return f"{number} {noun}{'' if number == 1 else 's'}"


def by_method(changes: Iterable[Change]) -> dict[str, list[Change]]:
    """Return the changes under the methods of the facade, what is most serious first in each."""
    groups: dict[str, list[Change]] = {}
    for one in changes:
        groups.setdefault(", ".join(one.methods) or "every method", []).append(one)
    return groups


def screen(report: Report) -> Iterator[str]:
    """Yield the lines for a person who waits, the verdict last."""
    yield from _shown("Edits to make", map(str, report.edits))
    yield from _shown("Look at these, which no type shows", (one.text for one in report.look))
    changed = [one for one in report.changes if one.weight > Weight.READ]
    yield from _shown("Changed, for users of", (f"{', '.join(one.methods)}: {one.text}" for one in changed))
    yield from [report.no_diff] if report.no_diff else []
    yield from _shown("Not in the facade yet", report.operations)
    yield from _shown("The generator dropped", report.lost)
    if report.notes:
        yield f"{_count(len(report.notes), 'thing')} noticed in the document, see the report"
    if report.status != NOTHING_CHANGED:
        yield "All of it: .regenerate/report.md"
    yield report.verdict


def _shown(title: str, lines: Iterable[str]) -> Iterator[str]:
    listed = list(lines)
    yield from [title, *(f"  {line}" for line in listed[:SHOWN])] if listed else []
    if len(listed) > SHOWN:
        yield f"  and {len(listed) - SHOWN} more"


def folded(lines: Iterable[str], width: int) -> Iterator[str]:
    """Yield lines that fit a terminal, what is left of each set in under its beginning."""
    for line in lines:
        indent = " " * (len(line) - len(line.lstrip()) + 2)
        yield from textwrap.wrap(
            line, width, subsequent_indent=indent, break_long_words=False, break_on_hyphens=False
        ) or [""]


def markdown(report: Report) -> str:
    """Return the report in full."""
    return "\n".join(_lines(report)) + "\n"


def _lines(report: Report) -> Iterator[str]:
    yield "# What the document changes"
    yield f"\n**{report.verdict}**\n"
    yield from _section("Where the document came from", report.told)
    yield from _section("Why it cannot be used", report.problems)
    yield from _section("Edits to make", map(str, report.edits))
    yield from _section("Look at these, which no type shows", map(_placed, report.look))
    changed = by_method(one for one in report.changes if one.weight > Weight.READ)
    if changed:
        yield "## What changed, for users of\n"
    for method, group in changed.items():
        yield f"### {method}\n"
        yield from (f"- {_placed(one)}" for one in group)
        yield ""
    yield from _section("The document", [report.no_diff] if report.no_diff else [])
    yield from _section("Operations that are not in the facade yet", report.operations)
    yield from _section("What the generator dropped", report.lost)
    yield from _section("What else was noticed", report.notes)
    if report.provenance:
        yield "## How sure each operation is\n"
        yield from table(report.provenance)
        yield ""
    yield from _section("Files", (f"{what}: {name}" for name, what in report.files))


def _section(title: str, lines: Iterable[str]) -> Iterator[str]:
    listed = list(lines)
    yield from [f"## {title}\n", *(f"- {line}" for line in listed), ""] if listed else []


def _placed(change: Change) -> str:
    return f"{change.text} ({change.place})"


def as_json(report: Report) -> str:
    """Return the report for a program."""
    told = asdict(report)
    told |= {"verdict": report.verdict, "source": told.pop("told")}
    told["changes"] = [{**asdict(one), "weight": one.weight.name.lower()} for one in report.changes]
    told["files"] = [{"file": name, "what": what} for name, what in report.files]
    return json.dumps(told, indent=2, ensure_ascii=False)
