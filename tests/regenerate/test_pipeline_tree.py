"""The part of the checkout that a run writes: replaced as a whole, and told when the disk refuses."""

from __future__ import annotations

from pathlib import Path

import pytest

from pipeline.layout import Layout
from pipeline.problems import PipelineError
from pipeline.tree import Tree, changes, differences, replace, snapshot, with_table


@pytest.fixture
def layout(tmp_path: Path) -> Layout:
    """A checkout with a package of two files and a document."""
    layout = Layout(tmp_path / "checkout")
    (layout.package / "models").mkdir(parents=True)
    (layout.package / "a.py").write_text("old")
    (layout.package / "models" / "gone.py").write_text("old")
    layout.upstream.parent.mkdir()
    layout.upstream.write_text("old")
    return layout


@pytest.fixture
def tree(layout: Layout, tmp_path: Path) -> Tree:
    """What is to be there instead."""
    package = tmp_path / "new"
    package.mkdir()
    (package / "a.py").write_text("new")
    (package / "b.py").write_text("new")
    return Tree({layout.upstream: b"new", layout.assumed: b"{}", layout.observed: None}, package)


def test_the_new_tree_takes_the_place_of_the_old_one(layout: Layout, tree: Tree) -> None:
    """Package and files are what was built, nothing of the old package is left, and nothing lies beside."""
    assert changes(layout, tree) == (
        ("generated/puzzel_chat_api/a.py", "changed"),
        ("generated/puzzel_chat_api/b.py", "added"),
        ("generated/puzzel_chat_api/models/gone.py", "removed"),
        ("openapi/assumed.json", "added"),
        ("openapi/upstream.json", "changed"),
    )
    replace(layout, tree)
    assert changes(layout, tree) == ()
    assert set(snapshot(layout.root)) == {
        "generated/puzzel_chat_api/a.py",
        "generated/puzzel_chat_api/b.py",
        "openapi/assumed.json",
        "openapi/upstream.json",
    }


def test_what_a_killed_run_left_is_cleaned_away(layout: Layout, tree: Tree) -> None:
    """A half copied package beside the old one is no hindrance to the next run."""
    (layout.package.parent / ".puzzel_chat_api.new").mkdir()
    (layout.package.parent / ".puzzel_chat_api.new" / "half.py").touch()
    replace(layout, tree)
    assert sorted(path.name for path in layout.package.parent.iterdir()) == ["puzzel_chat_api"]


def test_a_file_that_should_go_goes(layout: Layout, tree: Tree) -> None:
    """What was carried over is removed when nothing is carried over any more."""
    layout.observed.write_text("{}")
    replace(layout, tree)
    assert not layout.observed.exists()


def test_a_disk_that_refuses_is_told(layout: Layout, tree: Tree) -> None:
    """The place and the way back stand in one sentence."""
    layout.assumed.mkdir()
    (layout.assumed / "held").touch()
    with pytest.raises(PipelineError, match=r"cannot be replaced \(.*\): free it and run again, or take all back"):
        replace(layout, tree)


def test_only_what_differs_is_told() -> None:
    """A file that is the same in both is no difference."""
    assert differences({"a": b"1", "b": b"1", "c": b"1"}, {"a": b"1", "b": b"2", "d": b"1"}) == [
        ("b", "changed"),
        ("c", "removed"),
        ("d", "added"),
    ]


def test_a_table_is_replaced_where_it_stands() -> None:
    """The words around the table of operations stay, and a page without one is left alone."""
    page = b"before\n\n| operation | x |\n|---|---|\n| old | y |\n\nafter\n"
    assert (
        with_table(page, ["| operation | z |", "| new | z |"]) == b"before\n\n| operation | z |\n| new | z |\n\nafter\n"
    )
    assert with_table(b"no table\n", ["| operation |"]) == b"no table\n"
