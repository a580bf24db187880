"""The package as users get it."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parents[1]


def wheel(folder: Path) -> Path:
    """Build the wheel of this checkout in that folder."""
    _build("--wheel", folder)
    (made,) = folder.glob("*.whl")
    return made


def both(folder: Path) -> tuple[Path, Path]:
    """Build the sdist of this checkout in that folder, and a wheel from that sdist."""
    _build(None, folder)
    (sdist,), (made,) = folder.glob("*.tar.gz"), folder.glob("*.whl")
    return sdist, made


def _build(what: str | None, folder: Path) -> None:
    build = [sys.executable, "-m", "build", *filter(None, [what]), "--no-isolation", "--outdir", str(folder), str(ROOT)]
    subprocess.run(build, check=True, capture_output=True)
