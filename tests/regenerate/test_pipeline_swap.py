"""The swap: at every moment the old tree or the new one."""

from __future__ import annotations

import errno
import os
import shutil
from pathlib import Path

import pytest

from pipeline.layout import Layout
from pipeline.problems import PipelineError
from pipeline.tree import swap as module
from pipeline.tree.compare import snapshot
from pipeline.tree.journal import PLAN, finish, replace
from pipeline.tree.swap import clean, exchange, swap_all
from regenerate.breaking import Killed, break_at

OLD = {"__init__.py": b"old", "models/gone.py": b"old", "models/same.py": b"same"}
NEW = {"__init__.py": b"new", "api/come.py": b"new", "models/same.py": b"same"}


def write(tree: Path, files: dict[str, bytes]) -> Path:
    for name, data in files.items():
        (tree / name).parent.mkdir(parents=True, exist_ok=True)
        (tree / name).write_bytes(data)
    return tree


@pytest.fixture
def trees(tmp_path: Path) -> tuple[Path, Path]:
    """A new tree to bring in, and the old one in its place."""
    return write(tmp_path / "build", NEW), write(tmp_path / "generated" / "client", OLD)


def no_exchange(one: Path, other: Path) -> bool:
    return False


def leftovers(target: Path) -> list[str]:
    return sorted(path.name for path in target.parent.iterdir() if path != target)


@pytest.mark.parametrize("atomic", [True, False], ids=["exchange", "two renames"])
def test_the_new_tree_replaces_the_old_one_whole(
    trees: tuple[Path, Path], monkeypatch: pytest.MonkeyPatch, atomic: bool
) -> None:
    """After a swap there is the new tree, no stray file of the old one, and nothing beside it."""
    source, target = trees
    if not atomic:
        monkeypatch.setattr(module, "exchange", no_exchange)
    swap_all([(source, target)])
    assert snapshot(target) == NEW
    assert leftovers(target) == []


@pytest.mark.parametrize("atomic", [True, False], ids=["exchange", "two renames"])
@pytest.mark.parametrize("failure", [Killed(), OSError(errno.ENOSPC, "No space left on device")], ids=["kill", "full"])
def test_a_swap_that_breaks_anywhere_leaves_the_old_tree_or_the_new_one(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, atomic: bool, failure: BaseException
) -> None:
    """Whichever change to the disk fails, the next run finds one whole tree, and can swap."""
    outcomes: set[str] = set()
    for number in range(1, 90):
        source, target = (
            write(tmp_path / f"{number}/build", NEW),
            write(tmp_path / f"{number}/out/client", OLD),
        )
        with monkeypatch.context() as patch:
            if not atomic:
                patch.setattr(module, "exchange", no_exchange)
            tried = break_at(patch, number, failure)
            try:
                swap_all([(source, target)])
                outcome = "done"
            except (Killed, PipelineError):
                outcome = "broken"
        if atomic:
            assert snapshot(target) in (OLD, NEW)
        clean(target)
        outcomes.add("new" if snapshot(target) == NEW else "old")
        assert snapshot(target) in (OLD, NEW)
        assert leftovers(target) == []
        swap_all([(source, target)])
        assert snapshot(target) == NEW
        if outcome == "done" and tried() < number:
            break
    else:
        pytest.fail("the swap never got through all its steps")
    assert outcomes == {"old", "new"}


def test_a_file_system_that_renames_no_folders_still_gets_the_new_tree(
    trees: tuple[Path, Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    """In a container layer, where renaming a folder fails, the files are put in place one by one."""
    source, target = trees
    rename = os.rename

    def no_folders(one: Path, other: Path) -> None:
        if Path(one).is_dir():
            raise OSError(errno.EXDEV, "Invalid cross-device link")
        rename(one, other)

    monkeypatch.setattr(module, "exchange", no_exchange)
    monkeypatch.setattr(os, "rename", no_folders)
    swap_all([(source, target)])
    assert snapshot(target) == NEW
    assert not (target / "models" / "gone.py").exists()
    assert leftovers(target) == []


def test_a_first_tree_and_a_file_are_put_in_place(tmp_path: Path) -> None:
    """There need not be an old tree, and a single file is swapped the same way."""
    target = tmp_path / "out" / "client"
    swap_all([(write(tmp_path / "build", NEW), target)])
    assert snapshot(target) == NEW
    one, other = tmp_path / "one.json", tmp_path / "other.json"
    one.write_text("new")
    other.write_text("old")
    swap_all([(one, other)])
    assert other.read_text() == "new"


def test_a_disk_that_refuses_is_told_in_one_sentence(trees: tuple[Path, Path], monkeypatch: pytest.MonkeyPatch) -> None:
    """A failure names the folder and the reason, and leaves the old tree."""
    source, target = trees
    break_at(monkeypatch, 1, PermissionError(errno.EACCES, "Permission denied"))
    with pytest.raises(PipelineError, match=r"client cannot be replaced \(Permission denied\)"):
        swap_all([(source, target)])
    assert snapshot(target) == OLD


def test_a_link_in_the_place_of_the_tree_is_replaced(trees: tuple[Path, Path]) -> None:
    """A link gives way to the new tree, and what it led to stays."""
    source, target = trees
    elsewhere = target.with_name("elsewhere")
    target.rename(elsewhere)
    target.symlink_to(elsewhere)
    swap_all([(source, target)])
    assert not target.is_symlink()
    assert (snapshot(target), snapshot(elsewhere)) == (NEW, OLD)


@pytest.mark.parametrize("plan", [None, "{", "5", "[5]"])
def test_a_decision_that_cannot_be_read_is_told(tmp_path: Path, plan: str | None) -> None:
    """What is left of a run and makes no sense is named, and nothing is done about it."""
    layout = Layout(root=tmp_path)
    layout.decided.mkdir(parents=True)
    if plan is not None:
        (layout.decided / PLAN).write_text(plan)
    with pytest.raises(PipelineError, match=r"decided cannot be read .*: remove it and run `make regenerate`"):
        finish(layout)


def test_leftovers_of_another_shape_are_in_nobodys_way(tmp_path: Path) -> None:
    """Files where an earlier run should have left folders do not stop a swap halfway."""
    layout = Layout(root=tmp_path)
    layout.workshop.mkdir()
    for name in ("next", "done"):
        (layout.workshop / name).touch()
    new = tmp_path / "fresh.json"
    new.write_text("new")
    replace(layout, [(new, layout.built)])
    assert layout.built.read_text() == "new"
    assert list(layout.workshop.iterdir()) == []


def test_a_folder_that_finds_no_room_is_told_in_one_sentence(
    trees: tuple[Path, Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Of a hundred files that could not be copied, one reason is told."""
    source, target = trees

    def full(one: Path, other: Path) -> None:
        why = "[Errno 28] No space left on device: 'one' -> 'other'"
        raise shutil.Error([(str(one / name), str(other / name), why) for name in NEW])

    monkeypatch.setattr(shutil, "copytree", full)
    with pytest.raises(
        PipelineError, match=r"client cannot be replaced \(\[Errno 28\] No space left on device\): free"
    ):
        swap_all([(source, target)])
    assert snapshot(target) == OLD


@pytest.mark.skipif(os.uname().sysname != "Linux", reason="the one system on which this is sure to exist")
def test_two_names_are_exchanged_in_one_step(tmp_path: Path) -> None:
    """Where the system can, there is no moment without a tree."""
    one, other = write(tmp_path / "one", OLD), write(tmp_path / "other", NEW)
    assert exchange(one, other)
    assert (snapshot(one), snapshot(other)) == (NEW, OLD)
