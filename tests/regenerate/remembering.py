"""Whole runs share what they all do: one document is generated once, and one facade is judged once.

Both depend on nothing but files, which are compared by their bytes. `test_pipeline_run.py` starts real runs.
"""

from __future__ import annotations

from pathlib import Path
from typing import TypeAlias

from pipeline import generate as generator
from pipeline import judge
from pipeline.document import Object, dump
from pipeline.generate import Generated
from pipeline.judge import Edit
from pipeline.layout import PACKAGE, Layout
from pipeline.tree import snapshot

Files: TypeAlias = "tuple[tuple[str, bytes], ...]"
Made: TypeAlias = "tuple[Files, tuple[str, ...]]"


class Memory:
    """What was generated and judged in this process."""

    def __init__(self) -> None:
        self._made: dict[tuple[bytes, ...], Made] = {}
        self._judged: dict[tuple[Files, Files], tuple[Edit, ...]] = {}

    def generate(self, document: Object, layout: Layout, folder: Path) -> Generated:
        """Return the package of a document, in this folder."""
        given = [layout.config, *sorted(layout.templates.iterdir())]
        key = (dump(document), *(path.read_bytes() for path in given))
        if key not in self._made:
            made = generator.generate(document, layout, folder)
            self._made[key] = (files(made.package), made.lost)
            return made
        kept, lost = self._made[key]
        for name, data in kept:
            path = folder / PACKAGE / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(data)
        return Generated(folder / PACKAGE, lost)

    def edits(self, layout: Layout, generated: Path) -> tuple[Edit, ...]:
        """Return where the wire layer does not fit the client."""
        key = files(layout.facade), files(generated / PACKAGE)
        if key not in self._judged:
            self._judged[key] = judge.edits(layout, generated)
        return self._judged[key]


def files(folder: Path) -> Files:
    """Return what a folder holds."""
    return tuple(snapshot(folder).items())
