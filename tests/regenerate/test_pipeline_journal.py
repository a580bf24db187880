"""Several places changed as one: whenever a run is killed, the next one finds the old tree or completes the new one."""

from __future__ import annotations

import json
import os
import random
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from pipeline.layout import Layout
from pipeline.problems import PipelineError
from pipeline.tree import swap
from pipeline.tree.compare import snapshot
from pipeline.tree.journal import complete, finish, replace
from pipeline.tree.lock import one_run
from regenerate.breaking import Killed, break_at

ROOT = Path(__file__).resolve().parents[2]
PROGRAM = """
import sys
from pathlib import Path
from pipeline.layout import Layout
from pipeline.tree.journal import replace
layout, new = Layout(root=Path(sys.argv[1])), Path(sys.argv[2])
print("now", flush=True)
replace(layout, [(new / "client", layout.package), (new / "built", layout.built), (new / "source", layout.source),
                 (None, layout.assumed)])
"""


def lay(root: Path, word: str) -> Layout:
    """Make a tree whose every file says the same word."""
    shutil.rmtree(root, ignore_errors=True)
    layout = Layout(root=root)
    for number in range(5):
        path = layout.package / f"models/m{number}.py"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(word)
    layout.built.parent.mkdir(parents=True)
    for path in (layout.built, layout.source, layout.assumed):
        path.write_text(word)
    return layout


def lay_new(root: Path) -> Path:
    """Make what is to come: as many files, and one more; `assumed.json` is to go."""
    shutil.rmtree(root, ignore_errors=True)
    (root / "client" / "models").mkdir(parents=True)
    for number in range(6):
        (root / "client" / f"models/m{number}.py").write_text("new")
    (root / "built").write_text("new")
    (root / "source").write_text("new")
    return root


def steps(layout: Layout, new: Path) -> list[tuple[Path | None, Path]]:
    return [
        (new / "client", layout.package),
        (new / "built", layout.built),
        (new / "source", layout.source),
        (None, layout.assumed),
    ]


def state(layout: Layout) -> str:
    """Say which tree there is: old, new, or something in between."""
    files = {name: data for name, data in snapshot(layout.root).items() if not name.startswith(".regenerate")}
    words = {data.decode() for data in files.values()}
    wanted = {"old": (8, {"old"}), "new": (8, {"new"})}
    return next((name for name, is_so in wanted.items() if (len(files), words) == is_so), f"{len(files)} of {words}")


def test_everything_is_replaced_and_nothing_is_left_behind(tmp_path: Path) -> None:
    """After a change there is the new tree, and no trace of how it came."""
    layout = lay(tmp_path / "tree", "old")
    replace(layout, steps(layout, lay_new(tmp_path / "new")))
    assert state(layout) == "new"
    assert list(layout.workshop.iterdir()) == []
    assert not finish(layout)


def test_twenty_kills_at_random_moments_leave_a_whole_tree(tmp_path: Path) -> None:
    """SIGKILL whenever it comes: what the next run finishes is the old tree or the new one, never a mixture."""
    new = lay_new(tmp_path / "new")
    long = duration(tmp_path, new)
    seen = []
    for _ in range(20):
        layout = lay(tmp_path / "tree", "old")
        running = start(layout, new)
        time.sleep(random.uniform(0, long))
        running.send_signal(signal.SIGKILL)
        running.communicate()
        finish(layout)
        seen.append(state(layout))
    assert set(seen) <= {"old", "new"}, seen


def start(layout: Layout, new: Path) -> subprocess.Popen[str]:
    """Start a change in a process of its own, and come back when it begins."""
    command = [sys.executable, "-c", PROGRAM, str(layout.root), str(new)]
    environment = {**os.environ, "PYTHONPATH": str(ROOT / "openapi")}
    running = subprocess.Popen(command, env=environment, stdout=subprocess.PIPE, text=True)
    assert running.stdout is not None
    assert running.stdout.readline() == "now\n"
    return running


def duration(tmp_path: Path, new: Path) -> float:
    """Measure how long an undisturbed change takes, in seconds, so that kills fall into it."""
    layout = lay(tmp_path / "tree", "old")
    running, begun = start(layout, new), time.monotonic()
    running.communicate()
    assert state(layout) == "new"
    return time.monotonic() - begun


@pytest.mark.parametrize("atomic", [True, False], ids=["exchange", "two renames"])
def test_a_kill_at_each_single_step_leaves_a_whole_tree(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, atomic: bool
) -> None:
    """Step by step through a whole change: before the decision the old tree, after it the new one."""
    if not atomic:
        monkeypatch.setattr(swap, "exchange", lambda *_: False)
    seen = []
    for number in range(1, 200):
        layout, new = lay(tmp_path / "tree", "old"), lay_new(tmp_path / "new")
        with monkeypatch.context() as patch:
            tried = break_at(patch, number, Killed())
            try:
                replace(layout, steps(layout, new))
            except Killed:
                pass
            done = tried() < number
        finish(layout)
        seen.append(state(layout))
        if done:
            break
    else:
        pytest.fail("the change never got through all its steps")
    assert seen == ["old"] * seen.count("old") + ["new"] * seen.count("new")
    assert {"old", "new"} <= set(seen)


def test_a_kill_while_finishing_is_finished_by_the_next(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The one who completes may be killed as well, as often as it likes."""
    layout, new = lay(tmp_path / "tree", "old"), lay_new(tmp_path / "new")
    monkeypatch.setattr("pipeline.tree.journal.finish", lambda _: False)
    replace(layout, steps(layout, new))
    assert (state(layout), layout.decided.is_dir()) == ("old", True)
    for number in range(1, 200):
        with monkeypatch.context() as patch:
            tried = break_at(patch, number, Killed())
            try:
                finish(layout)
            except Killed:
                continue
            assert tried() < number
            break
    assert state(layout) == "new"
    assert not layout.decided.exists()


def test_a_list_that_cannot_be_read_is_told(tmp_path: Path) -> None:
    """Whoever finds a decided change without its list hears which folder it is, and what to do."""
    layout = lay(tmp_path / "tree", "old")
    layout.decided.mkdir(parents=True)
    (layout.decided / "plan.json").write_text("[")
    with pytest.raises(PipelineError, match="decided cannot be read"):
        finish(layout)
    assert state(layout) == "old"


def test_nobody_finishes_what_a_run_is_at_work_on(tmp_path: Path) -> None:
    """The verb that completes a change waits its turn: a run that lives completes its own."""
    layout, new = lay(tmp_path / "tree", "old"), lay_new(tmp_path / "new")
    layout.decided.mkdir(parents=True)
    shutil.copyfile(new / "built", layout.decided / "0")
    (layout.decided / "plan.json").write_text(json.dumps([["0", "openapi/puzzel-chat.json"]]))
    with one_run(layout.upstream.parent), pytest.raises(PipelineError, match="Another run is at work"):
        complete(layout)
    assert layout.built.read_text() == "old"
    complete(layout)
    assert layout.built.read_text() == "new"
