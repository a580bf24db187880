"""The part of the checkout that a run writes: what it should hold, what of it would change, and how to get there."""

from __future__ import annotations

import re
from collections.abc import Iterable
from pathlib import Path

from attrs import field, frozen

from pipeline.layout import Layout
from pipeline.tree.compare import differences, snapshot

TABLE = re.compile(rb"^\| operation \|.*\n(?:\|.*\n)+", re.MULTILINE)


@frozen
class Tree:
    """The files with what they should hold, None for one that should not be there, and the folder of the package."""

    files: dict[Path, bytes | None] = field(repr=False)
    package: Path


def changes(layout: Layout, tree: Tree) -> list[tuple[str, str]]:
    """Return every file that would change, with what would happen to it, in the order of names."""
    package = layout.short(layout.package)
    old = {f"{package}/{name}": data for name, data in snapshot(layout.package).items()}
    new = {f"{package}/{name}": data for name, data in snapshot(tree.package).items()}
    for path, data in tree.files.items():
        if path.is_file():
            old[layout.short(path)] = path.read_bytes()
        if data is not None:
            new[layout.short(path)] = data
    return differences(old, new)


def steps(layout: Layout, tree: Tree, changed: Iterable[str], folder: Path) -> list[tuple[Path | None, Path]]:
    """Return what goes where for the names that changed, the contents laid down in `folder`."""
    names, found = set(changed), list[tuple[Path | None, Path]]()
    if any(name.startswith(layout.short(layout.package)) for name in names):
        found.append((tree.package, layout.package))
    for number, (path, data) in enumerate(tree.files.items()):
        if layout.short(path) in names:
            fresh = folder / f"file{number}"
            if data is not None:
                fresh.write_bytes(data)
            found.append((None if data is None else fresh, path))
    return found


def with_table(page: bytes, lines: Iterable[str]) -> bytes:
    """Return a page with its table of operations replaced; a page without one is returned as it is."""
    fresh = "".join(f"{line}\n" for line in lines).encode()
    return TABLE.sub(lambda _: fresh, page, count=1)
