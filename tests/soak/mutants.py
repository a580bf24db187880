"""Breaks one rule at a time in a copy of the tree, and lets the tests say whether they notice.

The test that merely looks for the places of the edits does not count.
"""

from __future__ import annotations

import argparse
import os
import re
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path

from attrs import frozen

from soak.mutations import MUTATIONS, Mutation
from soak.table import table

ROOT = Path(__file__).parents[2]
TESTS = ("tests/unit", "tests/sandbox", "tests/cli", "--ignore=tests/unit/test_mutations.py")
SOAK = ("tests/sandbox/test_soak.py",)
LIMIT = 900
"""Seconds for one run of the tests, which stops at the first that fails."""


@frozen
class Verdict:
    """What the tests made of one mutation: the first test that failed, or None."""

    mutation: Mutation
    caught_by: str | None


def broken(source: str, mutation: Mutation) -> str:
    """Give the module with its rule broken; raises `ValueError` when the place is not there exactly once."""
    if source.count(mutation.before) != 1:
        raise ValueError(
            f"{mutation.module}: the place of {mutation.rule!r} is there {source.count(mutation.before)} times"
        )
    return source.replace(mutation.before, mutation.after)


def judged(mutation: Mutation, tree: Path, tests: Sequence[str] = TESTS) -> Verdict:
    """Run the tests on the copied tree with that rule broken, and mend it again."""
    module = tree / "facade" / "puzzel_chat" / mutation.module
    whole = module.read_text(encoding="utf-8")
    module.write_text(broken(whole, mutation), encoding="utf-8")
    try:
        return Verdict(mutation, _noticed(tree, tests))
    finally:
        module.write_text(whole, encoding="utf-8")


def _noticed(tree: Path, tests: Sequence[str]) -> str | None:
    """Give the first test that fails, and fails again when run alone: a busy machine's hiccup notices nothing."""
    chance: list[str] = []
    while failed := _first_failure(tree, *tests, *(f"--deselect={name}" for name in chance)):
        if _first_failure(tree, failed):
            return failed
        chance.append(failed)
    return None


def _first_failure(tree: Path, *tests: str) -> str | None:
    command = [sys.executable, "-m", "pytest", "-x", "-q", "-p", "no:cacheprovider", *tests]
    paths = os.pathsep.join(str(tree / part) for part in ("facade", "generated", "openapi"))
    environment = {**os.environ, "PYTHONPATH": paths, "CI": "true"}
    run = subprocess.run(command, cwd=tree, env=environment, capture_output=True, text=True, timeout=LIMIT)
    failed = re.search(r"^(?:FAILED|ERROR) (tests/.+?)(?: - .*)?$", run.stdout, re.MULTILINE)
    if run.returncode and not failed:
        raise RuntimeError(f"the tests did not run: {run.stdout[-2000:]}{run.stderr[-2000:]}")
    return failed.group(1) if failed else None


def _copied(into: Path) -> Path:
    tracked = subprocess.run(["git", "ls-files", "-z"], cwd=ROOT, capture_output=True, text=True, check=True).stdout
    for name in filter(None, tracked.split("\0")):
        target = into / name
        target.parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(ROOT / name, target)
    return into


def _row(verdict: Verdict) -> tuple[object, ...]:
    one = verdict.mutation
    return one.section, one.rule, one.module, verdict.caught_by or "SURVIVES"


def main(arguments: Sequence[str]) -> int:
    """Judge every mutation; 1 when one survives."""
    parser = argparse.ArgumentParser(prog="make soak RUN=mutants", description=__doc__)
    parser.add_argument("--section", type=int, choices=(5, 6, 7), help="only the rules of that section")
    parser.add_argument("--rule", help="only the rules with these words")
    parser.add_argument("--soak", action="store_true", help="let the tests of the soak alone judge")
    asked = parser.parse_args(arguments)
    chosen = [one for one in MUTATIONS if asked.section in (None, one.section) and (asked.rule or "") in one.rule]
    verdicts = []
    with tempfile.TemporaryDirectory() as folder:
        tree = _copied(Path(folder))
        for number, mutation in enumerate(chosen, 1):
            verdicts.append(judged(mutation, tree, SOAK if asked.soak else TESTS))
            told = f"caught by {verdicts[-1].caught_by}" if verdicts[-1].caught_by else "survives"
            print(f"[{number}/{len(chosen)}] {mutation.rule}: {told}", file=sys.stderr, flush=True)
    print(table(("section", "rule broken", "module", "first test that fails"), map(_row, verdicts)))
    return int(any(verdict.caught_by is None for verdict in verdicts))
