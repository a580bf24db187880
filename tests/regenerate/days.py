"""A day on which a document of the vendor's comes, lived through in a checkout of its own."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
from pathlib import Path
from typing import Any

import pytest
from attrs import frozen

from pipeline.__main__ import main
from pipeline.layout import Layout
from pipeline.tree import snapshot

ROOT = Path(__file__).resolve().parents[2]


@frozen
class Day:
    """The checkout of that day, what it held at first, after the first run and at the end, and how both runs ended."""

    layout: Layout
    before: dict[str, bytes]
    unmoved: dict[str, bytes]
    after: dict[str, bytes]
    first: int
    report: dict[str, Any]
    last: int


def live(layout: Layout, document: Path, edits: str) -> Day:
    """Live through that day: the document comes, the report is read, the edits are made, the document is taken in."""
    for folder in ("openapi", "facade", "generated"):
        shutil.copytree(ROOT / folder, layout.root / folder, ignore=shutil.ignore_patterns("pipeline", "__pycache__"))
    before = tree(layout)
    with pytest.MonkeyPatch.context() as patch:
        said: list[str] = []
        patch.setattr("builtins.print", lambda *words, **_: said.extend(map(str, words)))
        first = take_in(layout, document, "--json")
    unmoved = tree(layout)
    apply = ["git", "apply", "--whitespace=error", "-"]
    ends_well(
        subprocess.run(apply, cwd=layout.root, input=edits, capture_output=True, text=True),
        "edits.patch does not apply any more; the test's file says what to do",
    )
    last = take_in(layout, document)
    return Day(layout, before, unmoved, tree(layout), first, json.loads(said[-1]), last)


def take_in(layout: Layout, document: Path, *options: str) -> int:
    """Run the pipeline on the document, as `make regenerate SPEC=… KEEP_ASSUMED=1` does."""
    return main(["--root", str(layout.root), "--keep-assumed", *options, str(document)])


def edited(patch: str) -> set[str]:
    """Give the files that a patch touches."""
    return set(re.findall(r"^(?:---|\+\+\+) [ab]/(.+)$", patch, re.MULTILINE))


def tree(layout: Layout) -> dict[str, bytes]:
    """Give everything in the checkout but the report."""
    return {name: data for name, data in snapshot(layout.root).items() if not name.startswith(".regenerate/")}


def ends_well(done: subprocess.CompletedProcess[str], what: str) -> None:
    """Fail with the end of what a program said, unless it ended well."""
    said = (done.stdout + done.stderr)[-4000:]
    assert done.returncode == 0, f"{what}:\n{said}"


def surroundings(layout: Layout) -> dict[str, str]:
    """Give an environment in which the edited packages come before the installed ones."""
    paths = [str(layout.root / "facade"), str(layout.root / "generated"), str(ROOT / "tests")]
    return {**os.environ, "PYTHONPATH": os.pathsep.join(paths)}
