"""The part of the checkout that a run writes: what of it would change, and the change. Git is the journal."""

from __future__ import annotations

import os
import re
import shutil
from collections.abc import Iterable
from pathlib import Path

from attrs import field, frozen

from pipeline.layout import Layout
from pipeline.problems import PipelineError, reason

SKIPPED = "__pycache__"
TABLE = re.compile(rb"^\| operation \|.*\n(?:\|.*\n)+", re.MULTILINE)


@frozen
class Tree:
    """The files with what they should hold, None for one that should not be there, and the folder of the package."""

    files: dict[Path, bytes | None] = field(repr=False)
    package: Path


def snapshot(tree: Path) -> dict[str, bytes]:
    """Return every file below a folder with its bytes; Python's own caches do not count."""
    return {
        path.relative_to(tree).as_posix(): path.read_bytes()
        for path in sorted(tree.rglob("*"))
        if path.is_file() and SKIPPED not in path.parts
    }


def differences(old: dict[str, bytes], new: dict[str, bytes]) -> list[tuple[str, str]]:
    """Return `(name, what happened)` for every file that is not the same in both, in the order of names."""
    said = {True: {True: "changed", False: "removed"}, False: {True: "added"}}
    names = sorted({*old, *new})
    return [(name, said[name in old][name in new]) for name in names if old.get(name) != new.get(name)]


def changes(layout: Layout, tree: Tree) -> tuple[tuple[str, str], ...]:
    """Return every file that would change, with what would happen to it, in the order of names."""
    package = layout.short(layout.package)
    old = {f"{package}/{name}": data for name, data in snapshot(layout.package).items()}
    new = {f"{package}/{name}": data for name, data in snapshot(tree.package).items()}
    for path, data in tree.files.items():
        old.update({layout.short(path): path.read_bytes()} if path.is_file() else {})
        new.update({layout.short(path): data} if data is not None else {})
    return tuple(differences(old, new))


def replace(layout: Layout, tree: Tree) -> None:
    """Put the new files and package in the place of the old ones. Raises `PipelineError` when the disk refuses."""
    fresh = layout.package.with_name(f".{layout.package.name}.new")
    try:
        shutil.rmtree(fresh, ignore_errors=True)
        shutil.copytree(tree.package, fresh)
        shutil.rmtree(layout.package, ignore_errors=True)
        os.replace(fresh, layout.package)
        for path, data in tree.files.items():
            _write(path, data)
    except OSError as error:
        told = f"{error.filename or layout.short(layout.package)} cannot be replaced ({reason(error)})"
        raise PipelineError(f"{told}: free it and run again, or take all back with `git checkout`.") from error


def _write(path: Path, data: bytes | None) -> None:
    if data is None:
        path.unlink(missing_ok=True)
    elif not path.is_file() or path.read_bytes() != data:
        fresh = path.with_name(f".{path.name}.new")
        fresh.write_bytes(data)
        os.replace(fresh, path)


def with_table(page: bytes, lines: Iterable[str]) -> bytes:
    """Return a page with its table of operations replaced; a page without one is returned as it is."""
    fresh = "".join(f"{line}\n" for line in lines).encode()
    return TABLE.sub(lambda _: fresh, page, count=1)
