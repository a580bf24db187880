"""The steps of a regeneration, in order."""

from __future__ import annotations

import contextlib
import shutil
import tempfile
from collections.abc import Callable, Generator
from pathlib import Path

from attrs import frozen

from pipeline.compare import differences, snapshot
from pipeline.document import Object, dump, operations, parse, read_bytes
from pipeline.generate import generate
from pipeline.layout import Layout
from pipeline.lock import one_run
from pipeline.normalise import normalise
from pipeline.overlay import apply_overlay, read_overlay
from pipeline.problems import DIFFERS, NOTHING_CHANGED, PipelineError
from pipeline.source import check_source
from pipeline.swap import clean, swap
from pipeline.validate import check_document, check_input

Say = Callable[[str], None]
SHOWN = 10


@frozen
class Build:
    """What a run made, still in its temporary folder."""

    document: Path
    package: Path


def regenerate(layout: Layout, say: Say) -> int:
    """Rebuild document and package, put them in place if they changed, and return the exit code."""
    with one_run(layout.upstream.parent), _empty(layout.workshop) as folder:
        build = make(layout, folder, say)
        for target in (layout.package, layout.built):
            clean(target)
        changed = compare(layout, build)
        names = {name for name, _ in changed}
        if names - {layout.short(layout.built)}:
            swap(build.package, layout.package)
        if layout.short(layout.built) in names:
            swap(build.document, layout.built)
    _list(changed, say)
    say(_verdict(len(changed)))
    return NOTHING_CHANGED


@contextlib.contextmanager
def _empty(folder: Path) -> Generator[Path, None, None]:
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir()
    try:
        yield folder
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def check(layout: Layout, say: Say) -> int:
    """Rebuild into a temporary folder only, and raise `PipelineError` when the committed files differ."""
    with tempfile.TemporaryDirectory(prefix="puzzel-chat-") as folder:
        changed = compare(layout, make(layout, Path(folder), say))
    if changed:
        _list(changed, say)
        count = "1 file is" if len(changed) == 1 else f"{len(changed)} files are"
        raise PipelineError(f"{count} not what the document gives: run `make regenerate`.", exit_code=DIFFERS)
    say("Up to date.")
    return NOTHING_CHANGED


def make(layout: Layout, folder: Path, say: Say) -> Build:
    """Build document and package in an empty folder. Raises `PipelineError` at the first step that fails."""
    document = correct(layout, say)
    built = folder / layout.built.name
    built.write_bytes(dump(document))
    package = generate(document, built, layout, folder)
    say(f"Generated {len(list(package.rglob('*.py')))} modules.")
    return Build(document=built, package=package)


def correct(layout: Layout, say: Say) -> Object:
    """Read the vendor's document, take out its traps, apply our corrections and check the result."""
    name = layout.short(layout.upstream)
    data = read_bytes(layout.upstream)
    source = check_source(data, layout.upstream, layout.source)
    document = parse(data, layout.upstream)
    check_input(document, name)
    say(f"Read {name}: {len(list(operations(document)))} operations, origin: {source.origin}.")
    actions = read_overlay(layout.overlay)
    document = apply_overlay(normalise(document), actions)
    check_document(document, layout.short(layout.built))
    say(f"Applied {len(actions)} corrections of {layout.short(layout.overlay)}, each found its target.")
    return document


def compare(layout: Layout, build: Build) -> list[tuple[str, str]]:
    """Return every committed file that the build would change, with what would happen to it."""
    package = layout.short(layout.package)
    old = {f"{package}/{name}": data for name, data in snapshot(layout.package).items()}
    new = {f"{package}/{name}": data for name, data in snapshot(build.package).items()}
    if layout.built.is_file():
        old[layout.short(layout.built)] = layout.built.read_bytes()
    new[layout.short(layout.built)] = build.document.read_bytes()
    return differences(old, new)


def _list(changed: list[tuple[str, str]], say: Say) -> None:
    for name, what in changed[:SHOWN]:
        say(f"  {what}: {name}")
    if len(changed) > SHOWN:
        say(f"  and {len(changed) - SHOWN} more")


def _verdict(count: int) -> str:
    return "Nothing changed." if count == 0 else f"{count} file{'s' if count > 1 else ''} changed."
