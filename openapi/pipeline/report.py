"""What a run has to say: short on the screen, in full as Markdown, and as JSON for programs."""

from __future__ import annotations

import json
import textwrap
from collections.abc import Iterable, Iterator

from attrs import asdict, frozen

from pipeline.judgement.findings import Finding, Weight
from pipeline.problems import ADDITIONS, NOTHING_CHANGED
from pipeline.provenance import Row
from pipeline.semantic import Change

SIGNS = {Weight.BREAKS: "x", Weight.KEEPS: "+"}
SHOWN = 8
"""How many lines of one kind the screen shows; the report has them all."""


@frozen
class Report:
    """Everything that a run found out.

    `told` is how the document was come by, `notes` what the normaliser did, `lost` what the generator dropped,
    `changes` the diff of the documents or, when there is none, `no_diff` why. `files` are the changed ones.
    """

    status: int
    told: tuple[str, ...] = ()
    findings: tuple[Finding, ...] = ()
    notes: tuple[str, ...] = ()
    lost: tuple[str, ...] = ()
    changes: tuple[Change, ...] = ()
    no_diff: str = ""
    provenance: tuple[Row, ...] = ()
    files: tuple[tuple[str, str], ...] = ()
    taken: bool = False
    problems: tuple[str, ...] = ()

    @property
    def breaking(self) -> list[Finding]:
        """The findings that somebody must answer."""
        return [one for one in self.findings if one.weight is Weight.BREAKS]

    @property
    def verdict(self) -> str:
        """The last line: the exit status, and what it means."""
        if self.problems:
            return f"{self.status}: {self.problems[-1]}"
        changed = _count(len(self.files), "file")
        if self.status == NOTHING_CHANGED:
            return f"0: nothing changed{f' in the API; {changed} put back' if self.files else ''}."
        if self.status == ADDITIONS:
            return f"10: only additions, or what the facade does not feel; {changed} changed."
        places = f"20: breaks the facade in {_count(len(self.breaking), 'place')}"
        if self.taken:
            return f"{places}; taken all the same (ACCEPT=1), {changed} changed: now make these edits."
        return f"{places}; no file was changed: make these edits and run again, or take it first with ACCEPT=1."


def _count(number: int, noun: str) -> str:
    return f"{number} {noun}{'' if number == 1 else 's'}"


def by_method(findings: Iterable[Finding]) -> dict[str, list[Finding]]:
    """Return the findings under the methods of the facade, what breaks first in each."""
    groups: dict[str, list[Finding]] = {}
    for finding in findings:
        groups.setdefault(finding.method, []).append(finding)
    return {method: sorted(group, key=lambda one: -one.weight) for method, group in groups.items()}


def screen(report: Report) -> Iterator[str]:
    """Yield the lines for a person who waits, the verdict last."""
    if report.findings:
        yield "For users of the facade"
        for method, group in by_method(report.findings).items():
            yield f"  {method}"
            felt = [one for one in group if one.weight is Weight.BREAKS]
            shown = (felt or group)[:SHOWN]
            yield from (f"    {SIGNS[one.weight]} {one.text}{_edit(one)}" for one in shown)
            if len(felt) > len(shown):
                yield f"    x and {len(felt) - len(shown)} more that break"
            if len(group) > max(len(felt), len(shown)):
                yield f"    + and {_count(len(group) - max(len(felt), len(shown)), 'change')} that it does not feel"
    if report.changes or report.no_diff:
        yield f"The document, change by change: {_totals(report.changes) or report.no_diff}"
        yield from (f"  {one.impact}: {one.text}" for one in report.changes[:SHOWN])
        yield from _more(len(report.changes))
    if report.lost:
        yield "The generator dropped"
        yield from (f"  {one}" for one in report.lost)
    if report.notes:
        yield f"{_count(len(report.notes), 'thing')} noticed in the document, see the report"
    if report.status != NOTHING_CHANGED:
        yield "All of it: .regenerate/report.md"
    yield report.verdict


def folded(lines: Iterable[str], width: int) -> Iterator[str]:
    """Yield lines that fit a terminal, what is left of each set in under its beginning."""
    for line in lines:
        indent = " " * (len(line) - len(line.lstrip()) + 2)
        yield from textwrap.wrap(
            line, width, subsequent_indent=indent, break_long_words=False, break_on_hyphens=False, drop_whitespace=True
        ) or [""]


def _more(count: int) -> Iterator[str]:
    if count > SHOWN:
        yield f"  and {count - SHOWN} more"


def _edit(finding: Finding) -> str:
    if not finding.edits or finding.weight is Weight.KEEPS:
        return ""
    return f"; edit {_places(finding)}"


def _places(finding: Finding) -> str:
    lines: dict[str, list[str]] = {}
    for place in finding.edits:
        lines.setdefault(place.file, []).append(str(place.line))
    return ", ".join(f"{file} line{'s' if len(of) > 1 else ''} {', '.join(of)}" for file, of in lines.items())


def _totals(changes: Iterable[Change]) -> str:
    impacts = [one.impact for one in changes]
    return ", ".join(f"{impacts.count(one)} {one}" for one in dict.fromkeys(impacts))


def markdown(report: Report) -> str:
    """Return the report in full."""
    return "\n".join(_lines(report)) + "\n"


def _lines(report: Report) -> Iterator[str]:
    yield "# What the document changes"
    yield f"\n**{report.verdict}**\n"
    yield from _section("Where it came from", report.told)
    yield from _section("Why it cannot be used", report.problems)
    if report.findings:
        yield "## For users of the facade\n"
        yield "`x` breaks the facade, `+` does not.\n"
        for method, group in by_method(report.findings).items():
            yield f"### {method}\n"
            for one in group:
                met = f" ({_places(one)})" if one.edits and one.weight is Weight.KEEPS else ""
                yield f"- {SIGNS[one.weight]} {one.text}{_edit(one)}{met}"
            yield ""
    yield from _section("Edits to make", _edits(report))
    if report.changes or report.no_diff:
        yield from _section("The document", [f"{one.impact}: {one.text}" for one in report.changes] or [report.no_diff])
    yield from _section("What the generator dropped", report.lost)
    yield from _section("What else was noticed", report.notes)
    if report.provenance:
        yield "## How sure each operation is\n"
        yield from table(report.provenance)
        yield ""
    yield from _section("Files", [f"{what}: {name}" for name, what in report.files])


def _section(title: str, lines: Iterable[str]) -> Iterator[str]:
    listed = list(lines)
    if listed:
        yield f"## {title}\n"
        yield from (f"- {line}" for line in listed)
        yield ""


def _edits(report: Report) -> list[str]:
    by_place: dict[str, list[str]] = {}
    for one in report.breaking:
        for place in one.edits:
            by_place.setdefault(str(place), []).append(one.text)
    return [f"{place}: {'; '.join(dict.fromkeys(texts))}" for place, texts in by_place.items()]


def table(rows: Iterable[Row]) -> Iterator[str]:
    """Yield the table of operations, as openapi/README.md has it."""
    yield "| operation | method and path | mark | reason |"
    yield "|---|---|---|---|"
    for row in rows:
        yield f"| `{row.operation_id}` | `{row.method} {row.path}` | {row.provenance} | {row.note} |"


def as_json(report: Report) -> str:
    """Return the report for a program."""
    return json.dumps(
        {
            "status": report.status,
            "verdict": report.verdict,
            "taken": report.taken,
            "source": report.told,
            "problems": report.problems,
            "facade": [
                {
                    "method": one.method,
                    "breaks": one.weight is Weight.BREAKS,
                    "text": one.text,
                    "edits": [asdict(place) for place in one.edits],
                }
                for one in report.findings
            ],
            "document": [asdict(change) for change in report.changes],
            "no_diff": report.no_diff,
            "lost": report.lost,
            "notes": report.notes,
            "provenance": [asdict(row) for row in report.provenance],
            "files": [{"file": name, "what": what} for name, what in report.files],
        },
        indent=2,
        ensure_ascii=False,
    )
