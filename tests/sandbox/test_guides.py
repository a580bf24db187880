"""Every Python block of the guides, and every example program, runs against the sandbox."""

from __future__ import annotations

import ast
from pathlib import Path

import pytest

from programs import blocks, run
from puzzel_chat.sandbox import Sandbox
from quick import quick_only

DOCS = Path(__file__).parents[2] / "facade" / "docs"
EXAMPLES = {path.stem: path for path in (DOCS / "examples").glob("*.py")}
BLOCKS = {
    f"{path.stem}-{number}": code
    for path in sorted((DOCS / "guides").glob("*.py"))
    for number, code in enumerate(blocks(ast.get_docstring(ast.parse(path.read_text(encoding="utf-8"))) or ""))
}
SERVERS = {"web_backend"}
"""Programs that end when they are told to; see `test_web_backend.py`."""


@pytest.mark.parametrize("name", quick_only({"errors-0", "the_document-0"}, BLOCKS))
def test_each_block_of_a_guide_runs(name: str, published: Sandbox, tmp_path: Path) -> None:
    """As it stands; it prints something, or asks the service."""
    assert run("-c", BLOCKS[name], folder=tmp_path).strip() or published.stats().total_requests


@pytest.mark.usefixtures("published")
@pytest.mark.parametrize("name", quick_only({"surviving_kills"}, sorted(EXAMPLES.keys() - SERVERS)))
def test_each_example_runs_and_ends_by_itself(name: str, tmp_path: Path) -> None:
    """What is typed, if it asks, is one line; a test file is run by pytest."""
    path = EXAMPLES[name]
    start = ["-m", "pytest", "-q", "-p", "no:cacheprovider", path] if path.stem.startswith("test_") else [path]
    assert run(*start, folder=tmp_path, typed="end chat\n").strip()


def test_examples_are_short() -> None:
    """Under sixty lines each, and the first one says what it is."""
    for path in EXAMPLES.values():
        source = path.read_text(encoding="utf-8")
        assert len(source.splitlines()) < 60, path
        assert ast.get_docstring(ast.parse(source)), path
