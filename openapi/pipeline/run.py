"""The steps of a regeneration, in order."""

from __future__ import annotations

import contextlib
import tempfile
from collections.abc import Callable, Iterator, Mapping
from datetime import date
from pathlib import Path

from attrs import evolve, field, frozen

from pipeline.address import address_of
from pipeline.address import shown as address_shown
from pipeline.both import Both, Change, Weight, calls, common, gone, kept, new_operations, renamed
from pipeline.carry import CONNECT, missing, put_under, select
from pipeline.decode import decode, is_swagger_2, to_openapi
from pipeline.diff import changes, readable_classes
from pipeline.document import Object, child, dump, operations, parse, read_bytes, sha256, text
from pipeline.generate import Generated, generate
from pipeline.intake import fetch
from pipeline.judge import Edit, edits, rows
from pipeline.layout import Layout
from pipeline.naming import identifier
from pipeline.normalise import finish, give_up_names, normalise
from pipeline.observed import SIMULATED, Observed, confirm_observed, contradictions, observed_notes, read_observed
from pipeline.overlay import Action, Missed, apply_overlay, read_overlay
from pipeline.problems import ADDITIONS, BREAKS, DIFFERS, NOTHING_CHANGED, PipelineError
from pipeline.provenance import confirm, is_marked, table
from pipeline.provenance import rows as marked
from pipeline.report import Report
from pipeline.source import RECONSTRUCTION, check_source, read_source, written
from pipeline.tools import ToolFailed, ToolsMissing
from pipeline.tree import Tree, replace, with_table
from pipeline.tree import changes as changed_files
from pipeline.validate import check_document, check_input

Say = Callable[[str], None]


@frozen
class Wish:
    """What the person asked for: which document, and what to do with it; `limit` is in seconds."""

    spec: str | None = None
    choice: str | None = None
    header: str | None = field(default=None, repr=False)
    limit: float = 30.0
    accept: bool = False
    keep_assumed: bool = False
    observed: Path | None = None


@frozen
class Given:
    """A document as it came, as OpenAPI 3, and with the traps of the generator taken out; SOURCE.toml for it."""

    data: bytes = field(repr=False)
    raw: Object = field(repr=False)
    normal: Object = field(repr=False)
    notes: tuple[str, ...]
    source: bytes = b""
    told: tuple[str, ...] = ()


@frozen
class New:
    """What a document comes to: corrected, with what is carried over of ours, and with the corrections that missed.

    `kept` are the operations that were carried over just now.
    """

    document: Object = field(repr=False)
    carried: Object = field(repr=False)
    missed: tuple[Missed, ...]
    notes: tuple[str, ...]
    kept: tuple[str, ...] = ()


def regenerate(layout: Layout, wish: Wish, say: Say) -> Report:
    """Judge the document, put the new tree in place when that is called for, and return what was found.

    Raises `PipelineError` when the document cannot be used; the tree is then as it was.
    """
    with tempfile.TemporaryDirectory(prefix="puzzel-chat-") as name:
        report, tree = judged(layout, wish, Path(name), say)
        taken = report.status != BREAKS or wish.accept
        if report.files and taken:
            replace(layout, tree)
    return evolve(report, taken=taken)


def judged(layout: Layout, wish: Wish, folder: Path, say: Say) -> tuple[Report, Tree]:
    """Build the new tree in a folder and return it with what is to be said of it; the checkout stays as it is."""
    given, probe = take(layout, wish, say), observed(layout, wish)
    old = _present(layout, given)
    new = propose(layout, given, old, wish, probe)
    made = package(layout, new.document, folder, say)
    tree = _tree(layout, given, new, made, probe)
    report = _report(layout, given, old, new, made, probe, folder)
    report = evolve(report, files=changed_files(layout, tree))
    return evolve(report, status=_status(layout, report)), tree


def check(layout: Layout, say: Say) -> None:
    """Rebuild into a temporary folder only, and raise `PipelineError` when the committed files differ."""
    with tempfile.TemporaryDirectory(prefix="puzzel-chat-") as name:
        given, probe = take(layout, Wish(), say), observed(layout, Wish())
        if probe is not None and probe.simulator:
            simulated = f"{layout.short(layout.observed)} is {SIMULATED}: remove it and run `make regenerate`."
            raise PipelineError(simulated, exit_code=DIFFERS)
        new = propose(layout, given, None, Wish(), probe)
        if new.missed:
            *others, last = [str(one) for one in new.missed]
            raise PipelineError(last, details=tuple(others), exit_code=DIFFERS)
        made = package(layout, new.document, Path(name), say)
        changed = changed_files(layout, _tree(layout, given, new, made, probe))
    if changed:
        count = "1 file is" if len(changed) == 1 else f"{len(changed)} files are"
        told = tuple(f"  {what}: {name}" for name, what in changed)
        raise PipelineError(f"{count} not what the document gives: run `make regenerate`.", told, DIFFERS)
    say("Up to date.")


def take(layout: Layout, wish: Wish, say: Say) -> Given:
    """Return the document that was asked for, by default the one in the tree.

    Raises `PipelineError` when there is none, or when the one in the tree is not the one that SOURCE.toml describes.
    """
    if wish.spec is None:
        data = read_bytes(layout.upstream)
        source = check_source(data, layout.upstream, layout.source)
        given = read(layout, data, layout.short(layout.upstream))
        told: tuple[str, ...] = (f"{layout.short(layout.upstream)}, origin: {source.origin}.",)
        given = evolve(given, source=read_bytes(layout.source), told=told)
    else:
        address = address_of(wish.spec)
        if not address.startswith("file:"):
            say(f"Fetching {address_shown(address)}")
        found = fetch(wish.spec, choice=wish.choice, header=wish.header, limit=wish.limit)
        given = read(layout, found.data, found.origin)
        source_file = _source(layout, given, found.origin, " ".join(found.told))
        given = evolve(given, source=source_file, told=(*found.told, f"{found.origin}."))
    count = len(list(operations(given.raw)))
    version = text(given.raw, "openapi")
    say(" ".join([*given.told[:-1], f"Read {given.told[-1]}"]) + f" OpenAPI {version}, {count} operations.")
    return given


def read(layout: Layout, data: bytes, name: str) -> Given:
    """Read a document and take out its traps. Raises `PipelineError` when it is none, or of a kind not read here."""
    document, language = decode(data, name)
    if language == "yaml":
        data = dump(document)
    raw = to_openapi(layout, document) if is_swagger_2(document) else document
    check_input(raw, name)
    notes: list[str] = []
    normal = normalise(confirm(raw), notes.append)
    return Given(data, raw, normal, tuple(notes))


def _source(layout: Layout, given: Given, origin: str, note: str) -> bytes:
    if "://" not in origin:  # Of a file only the name is kept: its folder is that of one machine.
        origin, note = Path(origin).name, ""
    with contextlib.suppress(PipelineError):
        source = read_source(layout.source)
        if source.sha256 == sha256(given.data):
            return read_bytes(layout.source)
        note = source.note if is_marked(given.raw) else note
    return written(RECONSTRUCTION if is_marked(given.raw) else origin, given.data, date.today(), note)


def observed(layout: Layout, wish: Wish) -> Observed | None:
    """Return what a probe found: the file that was given, else the one that is kept in the tree."""
    if wish.observed is not None:
        return read_observed(wish.observed, str(wish.observed))
    return read_observed(layout.observed, layout.short(layout.observed)) if layout.observed.is_file() else None


@frozen
class Old:
    """What the tree holds: the document as it came, without its traps, and as it was built."""

    data: bytes = field(repr=False)
    normal: Object = field(repr=False)
    built: Object = field(repr=False)


def _present(layout: Layout, given: Given) -> Old | None:
    """Return what the tree holds, None before the first build, when there is nothing to compare with."""
    if not (layout.built.is_file() and layout.package.is_dir() and layout.upstream.is_file()):
        return None
    data = read_bytes(layout.upstream)
    before = given if data == given.data else read(layout, data, layout.short(layout.upstream))
    return Old(data, before.normal, parse(read_bytes(layout.built), layout.built))


def propose(layout: Layout, given: Given, old: Old | None, wish: Wish, probe: Observed | None) -> New:
    """Return the new document, with what is carried over of ours where it lacks an operation of the facade."""
    before = parse(read_bytes(layout.assumed), layout.assumed) if layout.assumed.is_file() else {}
    carried = select(before, missing(before, given.normal))
    actions = read_overlay(layout.overlay)
    new = correct(actions, given, carried, probe)
    if old is None or (given.data == old.data and new.document == old.built):
        return new
    gone_now = {row.operation for row in rows(layout)} - calls(new.document).keys()
    lacking = {
        name: call
        for name, call in calls(old.built).items()
        if name in gone_now and (wish.keep_assumed or call[0] == CONNECT)
    }
    if not lacking:
        return new
    ours, _ = put_under(old.normal, before)
    carried = select(ours, [*missing(carried, given.normal), *lacking.values()])
    return evolve(correct(actions, given, carried, probe), kept=tuple(lacking))


def correct(actions: list[Action], given: Given, carried: Object, probe: Observed | None) -> New:
    """Put what is carried over under a document, apply our corrections, and mark what a probe has confirmed."""
    document, renamed = put_under(given.normal, carried)
    ours = {name for action in actions if (name := text(child(action.update), "operationId"))}
    document, missed = apply_overlay(give_up_names(document, ours), actions)
    notes = [
        f"our schema {name} is carried over as Assumed{name}: the document has another one of that name"
        for name in renamed
    ]
    return New(confirm_observed(finish(document, notes.append, ours), probe), carried, missed, tuple(notes))


def package(layout: Layout, document: Object, folder: Path, say: Say) -> Generated:
    """Check the document and generate the package. Raises `PipelineError` when it cannot be used."""
    check_document(document, layout.short(layout.built))
    made = generate(document, layout, folder)
    count = len(list(made.package.rglob("*.py")))
    say(f"Generated {count} modules for {len(list(operations(document)))} operations.")
    return made


def _tree(layout: Layout, given: Given, new: New, made: Generated, probe: Observed | None) -> Tree:
    files = {
        layout.upstream: given.data,
        layout.source: given.source,
        layout.built: dump(new.document),
        layout.assumed: dump(new.carried) if new.carried else None,
        layout.observed: probe.data if probe else None,
    }
    if layout.readme.is_file():
        files[layout.readme] = with_table(layout.readme.read_bytes(), table(marked(new.document)))
    return Tree(files, made.package)


def _report(
    layout: Layout, given: Given, old: Old | None, new: New, made: Generated, probe: Observed | None, folder: Path
) -> Report:
    known, used = old.built if old else new.document, rows(layout)
    both = common(known, new.document, used)
    found = list(_misses(layout, known, new, renamed(both)))
    found += contradictions(layout, new.document, probe, used) if probe is not None else ()
    if old is None or known != new.document:
        # What follows from an operation that is not pinned yet goes without saying.
        unpinned = {identifier(text(child(one.action.update), "operationId")) for one in new.missed} - {""}
        found += [one for one in edits(layout, made.package.parent) if not any(name in one.text for name in unpinned)]
    differs, why_not = _changes(layout, both, known, folder) if known != new.document else ([], "")
    if any(one.weight is Weight.LOOK for one in differs) and not found:
        # A facade that fits the new client and not the old one was edited for it: then somebody has looked.
        edited = bool(edits(layout, layout.package.parent))
        differs = [evolve(one, weight=Weight.READ) if edited and one.weight is Weight.LOOK else one for one in differs]
    return Report(
        told=given.told,
        edits=tuple(found),
        changes=(*kept(new.document, new.kept, used), *differs),
        no_diff=why_not,
        operations=tuple(new_operations(known, new.document)),
        notes=(*given.notes, *new.notes, *observed_notes(new.document, probe), *readable_classes(known, new.document)),
        lost=made.lost,
        provenance=tuple(marked(new.document)),
    )


def _misses(layout: Layout, known: Object, new: New, instead: Mapping[str, str]) -> Iterator[Edit]:
    """Yield the corrections that do not fit, those of operations and schemas with where these are now."""
    where = calls(known)
    for one in new.missed:
        name = text(child(one.action.update), "operationId")
        told = gone(known, new.document, name, where[name]) if name in where else one.told(known, instead)
        yield Edit(layout.short(layout.overlay), one.action.line, told)


def _changes(layout: Layout, both: Both, old: Object, folder: Path) -> tuple[list[Change], str]:
    """Return what changed for the facade, or why that is not known."""
    try:
        return changes(layout, both, old, folder), ""
    except ToolsMissing as error:
        return [], f"no diff of the documents, which redocly makes. {error}"
    except ToolFailed as error:
        return [], f"no diff of the documents: redocly could not compare them ({error})."


def _status(layout: Layout, report: Report) -> int:
    if report.edits or any(one.weight is Weight.LOOK for one in report.changes):
        return BREAKS
    contract = (layout.upstream, layout.built, layout.assumed, layout.observed)
    touched = {layout.short(path) for path in contract} & {name for name, _ in report.files}
    return ADDITIONS if touched else NOTHING_CHANGED
