"""Programs from the documentation, run as a user would: against a sandbox whose settings stand in the environment."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

WITHIN = 60
"""Seconds after which a program that has not ended is stopped, and its test fails."""


def blocks(markdown: str, language: str = "python") -> list[str]:
    """Return the code blocks of that language."""
    found: list[str] = re.findall(rf"^```{language}\n(.*?)^```", markdown, re.MULTILINE | re.DOTALL)
    return found


def run(*arguments: str | Path, folder: Path, typed: str = "") -> str:
    """Run Python with these arguments to the end of the program, and return what it printed."""
    done = subprocess.run(
        [sys.executable, *arguments], cwd=folder, input=typed, capture_output=True, text=True, timeout=WITHIN
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout
