"""Put new trees and files in the place of the old ones, each whole, by renaming.

Where the system can exchange two names in one step (Linux, macOS), a kill at any moment leaves the old one or
the new one. Elsewhere there are two renames, and the next run puts the old one back if it finds no new one. A
file system that renames no folders (some container layers) gets its files one by one.
"""

from __future__ import annotations

import contextlib
import ctypes
import errno
import os
import shutil
import sys
from collections.abc import Sequence
from pathlib import Path

from pipeline.problems import PipelineError, reason


def swap_all(pairs: Sequence[tuple[Path | None, Path]]) -> None:
    """Replace every target by a copy of its source; no source means that the target goes.

    All copies are made before the first target is touched. Raises `PipelineError` if the disk refuses.
    """
    target = Path()
    try:
        for source, target in pairs:
            clean(target)
            if source is not None:
                target.parent.mkdir(parents=True, exist_ok=True)
                _copy(source, _beside(target, "new"))
        for source, target in pairs:
            if source is None:
                remove(target)
            else:
                _take_place(_beside(target, "new"), target)
        for _, target in pairs:
            clean(target)
    except OSError as error:
        for _, each in pairs:
            with contextlib.suppress(OSError):
                clean(each)
        raise PipelineError(f"{target} cannot be replaced ({reason(error)}): free it and run again.") from error


def clean(target: Path) -> None:
    """Remove what a killed run left beside the target; put the old one back first if there is no new one."""
    old = _beside(target, "old")
    if old.exists() and not target.exists():
        os.rename(old, target)
    for leftover in (old, _beside(target, "new")):
        remove(leftover)


def _beside(target: Path, role: str) -> Path:
    return target.with_name(f".{target.name}.{role}")


def _copy(source: Path, new: Path) -> None:
    if source.is_dir():
        shutil.copytree(source, new)
    else:
        shutil.copyfile(source, new)


def remove(path: Path) -> None:
    """Remove a file, a link or a folder with all that is in it; what is not there is fine."""
    if path.is_dir() and not path.is_symlink():
        shutil.rmtree(path)
    else:
        path.unlink(missing_ok=True)


def _take_place(new: Path, target: Path) -> None:
    if not target.is_dir():
        os.replace(new, target)
    elif not exchange(new, target):
        try:
            os.rename(target, _beside(target, "old"))
        except OSError as error:
            if error.errno != errno.EXDEV:
                raise
            _overwrite(new, target)
        else:
            os.rename(new, target)


def _overwrite(new: Path, target: Path) -> None:
    wanted = {path.relative_to(new) for path in new.rglob("*")}
    for path in sorted(target.rglob("*"), reverse=True):
        if path.relative_to(target) not in wanted:
            remove(path)
    for name in sorted(wanted):
        if (new / name).is_dir():
            (target / name).mkdir(exist_ok=True)
        else:
            os.replace(new / name, target / name)


def exchange(one: Path, other: Path) -> bool:
    """Exchange two names in one step; False where the system or the file system cannot."""
    if os.name != "posix":
        return False
    library, here, there = ctypes.CDLL(None), os.fsencode(one), os.fsencode(other)
    if sys.platform == "linux" and hasattr(library, "renameat2"):
        at_cwd, rename_exchange = -100, 2
        return bool(library.renameat2(at_cwd, here, at_cwd, there, rename_exchange) == 0)
    if sys.platform == "darwin" and hasattr(library, "renamex_np"):
        rename_swap = 2
        return bool(library.renamex_np(here, there, rename_swap) == 0)
    return False
