"""Ask whether a locked package has a known vulnerability: `python -m audit`, a part of `make check`.

pip-audit (Apache-2.0, by the Python Packaging Authority) asks PyPI's advisories about each line of
requirements-dev.lock, which has every line of the other lock.
A machine without a network must still be able to check, so that nobody could be asked is one line and no failure.
pip-audit itself calls a package that the service does not know harmless; of a service that knows none, that is a
mirror without advisories, and counts as nobody asked.
"""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

LOCK = Path(__file__).resolve().with_name("requirements-dev.lock")
TOOL = (sys.executable, "-m", "pip_audit", "--require-hashes", "--disable-pip", "--progress-spinner=off", "-f", "json")
PATIENCE = 90.0
"""Seconds after which the service counts as unreachable; the first run asks for every package, later ones a cache."""
MEND = "raise it with `make lock`, or take it out of pyproject.toml"


def audit(lock: Path = LOCK, tool: Sequence[str] = TOOL, patience: float = PATIENCE) -> tuple[int, list[str]]:
    """Give the exit code and what to tell: 1 for a known vulnerability, else 0."""
    try:
        command = [*tool, "--timeout=5", "-r", str(lock)]
        done = subprocess.run(command, capture_output=True, text=True, timeout=patience)
        packages: list[dict[str, Any]] = json.loads(done.stdout)["dependencies"]
    except subprocess.TimeoutExpired:
        return 0, [f"Dependencies were not audited: no answer within {patience:g} s."]
    except (ValueError, KeyError):
        why = (done.stderr.strip().splitlines() or ["it says nothing"])[-1]
        return 0, [f"Dependencies were not audited: the advisories cannot be reached ({why[:100]})."]
    return verdict(packages)


def verdict(packages: list[dict[str, Any]]) -> tuple[int, list[str]]:
    """Judge what pip-audit reports of each package."""
    asked = [one for one in packages if "skip_reason" not in one]
    if not asked:
        return 0, ["Dependencies were not audited: this package index has no advisories."]
    found = [_told(package, flaw) for package in asked for flaw in package["vulns"]]
    unknown = [one["name"] for one in packages if "skip_reason" in one]
    told = [f"Not audited, for the service does not know them: {', '.join(unknown)}."] if unknown else []
    return (1 if found else 0), [*found, *told]


def _told(package: dict[str, Any], flaw: dict[str, Any]) -> str:
    mended = f"mended in {', '.join(flaw['fix_versions'])}" if flaw["fix_versions"] else "not mended yet"
    return f"{package['name']} {package['version']} has {flaw['id']}, {mended}: {MEND}."


def main() -> int:
    """Print what was found, and give the exit code."""
    code, lines = audit()
    for line in lines:
        print(line, file=sys.stderr)
    return code


if __name__ == "__main__":
    sys.exit(main())
