"""The steps of a regeneration, in order."""

from __future__ import annotations

import contextlib
import shutil
import tempfile
from collections.abc import Generator
from pathlib import Path

from attrs import evolve

from pipeline.build import Say, package
from pipeline.candidate import New, felt, propose
from pipeline.document import Object, dump
from pipeline.generate import Generated
from pipeline.inputs import Given, Old, Wish, given, observed, present
from pipeline.judgement.findings import Finding, is_broken, told_once
from pipeline.judgement.objections import objections
from pipeline.judgement.verdict import nameless_values, readable_classes
from pipeline.judgement.wire_types import read_uses
from pipeline.layout import Layout
from pipeline.observed import SIMULATED, Observed, contradictions, observed_notes
from pipeline.problems import ADDITIONS, BREAKS, DIFFERS, NOTHING_CHANGED, PipelineError
from pipeline.provenance import rows
from pipeline.report import Report, table
from pipeline.semantic import Change, document_changes
from pipeline.tools import ToolFailed, ToolsMissing
from pipeline.tree.contents import Tree, changes, steps, with_table
from pipeline.tree.journal import finish, replace
from pipeline.tree.lock import one_run
from pipeline.tree.swap import remove


def regenerate(layout: Layout, wish: Wish, say: Say) -> Report:
    """Judge the document, put the new tree in place when that is called for, and return what was found.

    Raises `PipelineError` when the document cannot be used; the tree is then as it was.
    """
    with one_run(layout.upstream.parent), _empty(layout.workshop / "work") as folder:
        if finish(layout):
            say("Completed what an earlier run had decided before it was ended.")
        document = given(layout, wish, say)
        probe = observed(layout, wish)
        old = present(layout, document.read)
        new = propose(layout, document, old, wish.keep_assumed, probe)
        made = package(layout, new.corrected.document, folder, say)
        tree = _tree(layout, document, new, made, probe)
        files = tuple(changes(layout, tree))
        report = _report(layout, document, old, new, made, files, probe)
        taken = report.status == ADDITIONS or (report.status == BREAKS and wish.accept)
        if files and (taken or report.status == NOTHING_CHANGED):
            replace(layout, steps(layout, tree, (name for name, _ in files), folder))
    return evolve(report, taken=taken)


@contextlib.contextmanager
def _empty(folder: Path) -> Generator[Path, None, None]:
    remove(folder)
    folder.mkdir(parents=True)
    try:
        yield folder
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def check(layout: Layout, say: Say) -> None:
    """Rebuild into a temporary folder only, and raise `PipelineError` when the committed files differ."""
    with tempfile.TemporaryDirectory(prefix="puzzel-chat-") as name:
        document = given(layout, Wish(), say)
        probe = observed(layout, Wish())
        if probe is not None and probe.simulator:
            simulated = f"{layout.short(layout.observed)} is {SIMULATED}: remove it and run `make regenerate`."
            raise PipelineError(simulated, exit_code=DIFFERS)
        new = propose(layout, document, None, keep=False, observed=probe)
        if new.corrected.missed:
            *others, last = map(str, new.corrected.missed)
            raise PipelineError(last, details=tuple(others), exit_code=DIFFERS)
        made = package(layout, new.corrected.document, Path(name), say)
        changed = changes(layout, _tree(layout, document, new, made, probe))
    if changed:
        count = "1 file is" if len(changed) == 1 else f"{len(changed)} files are"
        told = tuple(f"  {what}: {name}" for name, what in changed)
        raise PipelineError(f"{count} not what the document gives: run `make regenerate`.", told, DIFFERS)
    say("Up to date.")


def _tree(layout: Layout, document: Given, new: New, made: Generated, probe: Observed | None) -> Tree:
    built = new.corrected.document
    files = {
        layout.upstream: document.read.data,
        layout.source: document.source,
        layout.built: dump(built),
        layout.assumed: dump(new.carried) if new.carried else None,
        layout.observed: probe.data if probe else None,
    }
    if layout.readme.is_file():
        files[layout.readme] = with_table(layout.readme.read_bytes(), table(rows(built)))
    return Tree(files, made.package)


def _report(
    layout: Layout,
    document: Given,
    old: Old | None,
    new: New,
    made: Generated,
    files: tuple[tuple[str, str], ...],
    probe: Observed | None,
) -> Report:
    built = new.corrected.document
    found = felt(layout, document, old, new)
    if not is_broken(found):
        found += _objections(layout, old, new, made)
    if probe is not None:
        found += contradictions(
            layout, built, probe, new.uses if new.uses.rows else read_uses(layout, made.package.parent)
        )
    contract = {layout.short(path) for path in (layout.upstream, layout.built, layout.assumed, layout.observed)}
    touched = contract & {name for name, _ in files}
    known = old.built if old else built
    differs, why_not = _document_changes(layout, known, built, made.package.parent)
    return Report(
        status=BREAKS if is_broken(found) else ADDITIONS if touched else NOTHING_CHANGED,
        told=document.told,
        findings=tuple(told_once(found)),
        notes=(
            *document.read.notes,
            *new.corrected.notes,
            *observed_notes(built, probe),
            *nameless_values(built),
            *readable_classes(known, built),
        ),
        lost=made.lost,
        changes=tuple(differs),
        no_diff=why_not,
        provenance=tuple(rows(built)),
        files=files,
    )


def _objections(layout: Layout, old: Old | None, new: New, made: Generated) -> list[Finding]:
    """Return what the type checker says where there is another client now, or where there was none to compare with."""
    built = new.corrected.document
    if old is None:
        after = read_uses(layout, made.package.parent)
        return objections(built, evolve(after, errors=()), after)
    if built == old.built or not new.uses.rows:
        return []
    return objections(old.built, new.uses, read_uses(layout, made.package.parent))


def _document_changes(layout: Layout, old: Object, new: Object, folder: Path) -> tuple[list[Change], str]:
    """Return the diff of the documents, or why there is none."""
    if old == new:
        return [], ""
    try:
        return document_changes(layout, old, new, folder), ""
    except ToolsMissing as error:
        return [], f"no diff of the documents, which redocly makes. {error}"
    except ToolFailed as error:
        return [], f"no diff of the documents: redocly could not compare them ({error})."
