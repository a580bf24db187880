"""Ask redocly what changed between two normalised documents, and put its answers in order, most serious first."""

from __future__ import annotations

import json
from pathlib import Path
from typing import cast

from attrs import frozen

from pipeline.document import Json, Object, child, dump, items, rebuild_document, text
from pipeline.expected import TOLERATED
from pipeline.layout import Layout
from pipeline.private import MARK as PRIVATE
from pipeline.provenance import MARK
from pipeline.tools import REDOCLY, ToolFailed, run_tool

OURS = (MARK, PRIVATE, TOLERATED)
IMPACTS = ("major", "minor", "patch")


@frozen
class Change:
    """One change of the document; `impact` is major, minor or patch, as semantic versioning means them."""

    impact: str
    text: str
    pointer: str


def document_changes(layout: Layout, old: Object, new: Object, folder: Path) -> list[Change]:
    """Return what changed, our own marks aside; `folder` is for the two files that redocly reads.

    Raises `ToolsMissing` when redocly is not to be had here, and `ToolFailed` when it cannot compare them.
    """
    before, after = folder / "before.json", folder / "after.json"
    for path, document in ((before, old), (after, new)):
        path.write_bytes(dump(rebuild_document(document, _without_marks)))
    told = run_tool(layout, REDOCLY, "diff", str(before), str(after), "--format", "json", "--fail-on", "none")
    try:
        report = json.loads(told)
    except ValueError as error:
        raise ToolFailed("what it printed is no JSON") from error
    if not isinstance(report, dict) or "changes" not in report:
        raise ToolFailed("what it printed is no report")
    return in_order(cast("Object", report))


def _without_marks(node: Object) -> Json:
    return {key: value for key, value in node.items() if not key.startswith(OURS)}


def in_order(report: Object) -> list[Change]:
    """Return the changes of a report of redocly, most serious first, each once."""
    found = [change for entry in items(report.get("changes")) for change in _changes(child(entry))]
    return sorted(dict.fromkeys(found), key=lambda change: IMPACTS.index(change.impact))


def _changes(entry: Object) -> list[Change]:
    impact, pointer = text(entry, "impact"), text(entry, "path")
    verdicts = [child(verdict) for verdict in items(entry.get("verdicts"))]
    impact = impact if impact in IMPACTS else IMPACTS[-1]
    if verdicts:
        return [Change(text(one, "impact") or impact, text(one, "message"), pointer) for one in verdicts]
    return [Change(impact, _sentence(entry), pointer)]


def _sentence(entry: Object) -> str:
    what = _place(text(entry, "path"))
    member = text(entry, "property")
    if member and text(entry, "kind") == "modified":
        before, after = (_value(child(entry, side).get("value")) for side in ("base", "revision"))
        return f"`{member}` of {what} is {after} now, no longer {before}."
    return f"{what} was {text(entry, 'kind')}."


def _place(pointer: str) -> str:
    words = [word.replace("~1", "/").replace("~0", "~") for word in pointer.lstrip("#/").split("/")]
    if words[:1] == ["paths"] and len(words) > 1:
        method = [words[2].upper()] if len(words) > 2 else []
        return " ".join([f"`{' '.join([*method, words[1]])}`", *words[3:]])
    return f"`{'/'.join(words[2:] or words)}`"


def _value(value: Json) -> str:
    written = json.dumps(value, ensure_ascii=False)
    return f"`{written[:60]}{'…' if len(written) > 60 else ''}`"
