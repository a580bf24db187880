"""The edits of both rehearsals still apply to the tree; `test_rehearsal.py` says what to do when they do not."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest

from regenerate.days import ROOT, ends_well


@pytest.mark.parametrize("name", ["rehearsal", "rehearsal_two"])
def test_the_edits_apply(name: str) -> None:
    """What a developer changes on such a day is a patch for the tree as it is."""
    patch = Path(__file__).with_name(name) / "edits.patch"
    done = subprocess.run(["git", "apply", "--check", str(patch)], cwd=ROOT, capture_output=True, text=True)
    ends_well(done, f"{name}/edits.patch does not apply any more")
