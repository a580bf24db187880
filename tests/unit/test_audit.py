"""The audit of the locked packages: what is found fails, what could not be asked is said and does not."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

import pytest

from audit import LOCK, audit

DEMO_LOCK = LOCK.parents[1] / "requirements.lock"
FLAW = {"id": "PYSEC-2026-1", "fix_versions": ["1.1"], "aliases": [], "description": "Long."}
SAFE = {"name": "attrs", "version": "26.1.0", "vulns": []}
SKIPPED = {"name": "httpx", "skip_reason": "not found"}


def saying(tmp_path: Path, packages: list[dict[str, Any]] | None, code: int = 0) -> list[str]:
    """A tool in pip-audit's place that reports these packages, or breaks as it does without a network."""
    report = "" if packages is None else json.dumps({"dependencies": packages, "fixes": []})
    script = tmp_path / "tool.py"
    script.write_text(f"import sys\nprint({report!r})\nprint('no route', file=sys.stderr)\nsys.exit({code})\n")
    return [sys.executable, str(script)]


def test_a_known_vulnerability_fails_with_what_to_do(tmp_path: Path) -> None:
    """The package, its flaw, where it is mended, and how to get there."""
    tool = saying(tmp_path, [SAFE, {"name": "h11", "version": "1.0", "vulns": [FLAW]}], 1)
    code, told = audit(tool=tool)
    assert code == 1
    assert told == [
        "h11 1.0 has PYSEC-2026-1, mended in 1.1: raise it with `make lock`, or take it out of pyproject.toml."
    ]


def test_nothing_known_says_nothing(tmp_path: Path) -> None:
    """A clean audit is silent, as the other checks are."""
    assert audit(tool=saying(tmp_path, [SAFE])) == (0, [])


@pytest.mark.parametrize("packages", [None, [SKIPPED]], ids=["no network", "an index without advisories"])
def test_a_service_that_cannot_be_asked_is_one_line_and_no_failure(
    tmp_path: Path, packages: list[dict[str, Any]] | None
) -> None:
    """A machine without a network checks on; nobody takes silence for a clean audit."""
    code, told = audit(tool=saying(tmp_path, packages, 1))
    assert code == 0
    assert len(told) == 1
    assert told[0].startswith("Dependencies were not audited: ")


def test_a_service_that_hangs_is_given_up(tmp_path: Path) -> None:
    """The check never waits for ever."""
    script = tmp_path / "tool.py"
    script.write_text("import time\ntime.sleep(60)\n")
    assert audit(tool=[sys.executable, str(script)], patience=0.2)[0] == 0


def test_a_single_package_that_is_not_known_is_named(tmp_path: Path) -> None:
    """What was left out of an audit is told."""
    code, told = audit(tool=saying(tmp_path, [SAFE, SKIPPED]))
    assert (code, told) == (0, ["Not audited, for the service does not know them: httpx."])


def locked(lock: Path) -> set[str]:
    """Return the lines of a lock that name a package, each with its version."""
    return {line for line in lock.read_text().splitlines() if line and not line.startswith((" ", "#"))}


@pytest.mark.parametrize("lock", [DEMO_LOCK, LOCK], ids=lambda lock: str(lock.name))
def test_every_locked_package_has_its_hash(lock: Path) -> None:
    """What is installed is what was audited: each line of a lock is a version with hashes, and names no index."""
    assert locked(lock)
    assert all("==" in line and line.endswith("\\") for line in locked(lock))
    assert "://" not in lock.read_text()


def test_both_locks_agree() -> None:
    """The second step of the set-up only adds packages: it has every version of the first."""
    versions = [{line.split()[0] for line in locked(lock)} for lock in (DEMO_LOCK, LOCK)]
    assert versions[0] < versions[1]
