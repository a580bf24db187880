"""A day on which a document of the vendor's comes, lived through in a checkout of its own."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from attrs import frozen

from pipeline.__main__ import main
from pipeline.document import parse
from pipeline.layout import Layout
from pipeline.provenance import Row, rows
from pipeline.tree import differences, snapshot

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


def written(day: Day, patch: str) -> set[str]:
    """Give what differs at the end and no person edited, without the client; fail unless they edited our part only."""
    touched = edited(patch)
    assert "openapi/overlay.yaml" in touched
    assert all(name == "openapi/overlay.yaml" or name.startswith("facade/puzzel_chat/_wire/") for name in touched)
    changed = {name for name, _ in differences(day.before, day.after)}
    return {name for name in changed - touched if not name.startswith("generated/")}


def marked(day: Day) -> list[Row]:
    """Give the operations of the document that the tree holds at the end."""
    return rows(parse(day.after["openapi/puzzel-chat.json"], day.layout.built))


def strictly_typed(layout: Layout) -> None:
    """Fail unless the edited facade fits the new client by mypy's strictest rules."""
    command = [sys.executable, "-m", "mypy", "--config-file", str(ROOT / "pyproject.toml"), "facade", "generated"]
    done = subprocess.run(command, cwd=layout.root, env=surroundings(layout), capture_output=True, text=True)
    ends_well(done, "mypy finds")


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
