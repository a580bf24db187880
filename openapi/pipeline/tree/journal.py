"""Change several places of the tree as one: whoever comes next finishes what a killed run had decided.

The new state is first put together beside the tree, with the list of what goes where. Renaming that folder is the
decision: a run that is killed before it leaves the old tree; after it the next run, whatever its verb, completes the
new one. All copying is done before the first rename in the tree, so the renames follow one another at once.
"""

from __future__ import annotations

import json
import shutil
from collections.abc import Sequence
from pathlib import Path

from pipeline.layout import Layout
from pipeline.problems import PipelineError
from pipeline.tree.lock import one_run
from pipeline.tree.swap import remove, swap_all

PLAN = "plan.json"


def replace(layout: Layout, steps: Sequence[tuple[Path | None, Path]]) -> None:
    """Put each source in the place of its target, all or none; no source means that the target goes.

    Raises `PipelineError` when the disk refuses; the next run then goes on where this one stopped.
    """
    fresh = layout.workshop / "next"
    remove(fresh)
    fresh.mkdir(parents=True)
    plan: list[tuple[str, str]] = []
    for number, (source, target) in enumerate(steps):
        name = str(number) if source else ""
        if source and source.is_dir():
            shutil.copytree(source, fresh / name)
        elif source:
            shutil.copyfile(source, fresh / name)
        plan.append((name, layout.short(target)))
    (fresh / PLAN).write_text(json.dumps(plan), encoding="utf-8")
    fresh.rename(layout.decided)
    finish(layout)


def finish(layout: Layout) -> bool:
    """Complete what an earlier run had decided, and say whether there was anything.

    Raises `PipelineError` when the disk refuses, or when the list cannot be read.
    """
    decided = layout.decided
    if not decided.is_dir():
        return False
    try:
        plan = [(str(name), str(target)) for name, target in json.loads((decided / PLAN).read_bytes())]
    except (OSError, ValueError, TypeError) as error:
        raise PipelineError(f"{decided} cannot be read ({error}): remove it and run `make regenerate`.") from error
    swap_all([(decided / name if name else None, layout.root / target) for name, target in plan])
    done = layout.workshop / "done"
    remove(done)
    decided.rename(done)
    remove(done)
    return True


def complete(layout: Layout) -> None:
    """Complete what an earlier run had decided, unless that run is still at work."""
    with one_run(layout.upstream.parent):
        finish(layout)
