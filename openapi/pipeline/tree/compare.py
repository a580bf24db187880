"""Compare what was built with what is committed, byte by byte."""

from __future__ import annotations

from pathlib import Path

SKIPPED = "__pycache__"


def snapshot(tree: Path) -> dict[str, bytes]:
    """Return every file below a folder with its bytes; Python's own caches do not count."""
    return {
        path.relative_to(tree).as_posix(): path.read_bytes()
        for path in sorted(tree.rglob("*"))
        if path.is_file() and SKIPPED not in path.parts
    }


def differences(old: dict[str, bytes], new: dict[str, bytes]) -> list[tuple[str, str]]:
    """Return `(name, what happened)` for every file that is not the same in both, in the order of names."""
    found: list[tuple[str, str]] = []
    for name in sorted({*old, *new}):
        if name not in old:
            found.append((name, "added"))
        elif name not in new:
            found.append((name, "removed"))
        elif old[name] != new[name]:
            found.append((name, "changed"))
    return found
