"""The judge: what the type checker finds in a wire layer that does not fit a client, and what it is asked about."""

from __future__ import annotations

import ast
import re
import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest

from pipeline.__main__ import main
from pipeline.carry import missing, select
from pipeline.document import child, dump, parse, read_bytes
from pipeline.judge import Edit, edits, reads, rows
from pipeline.layout import Layout
from pipeline.problems import PipelineError
from pipeline.run import Wish, judged

ROOT = Path(__file__).resolve().parents[2]
WIRE = ROOT / "facade" / "puzzel_chat" / "_wire"


def string_keys(tree: ast.AST) -> Iterator[str]:
    """Give the places where something is taken by a string: `x["a"]` and `x.get("a")`."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Subscript) and isinstance(node.slice, ast.Constant):
            yield from [ast.unparse(node)] if isinstance(node.slice.value, str) else []
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute) and node.func.attr in ("get", "pop"):
            yield from [ast.unparse(node)] if node.args and isinstance(node.args[0], ast.Constant) else []


def test_the_wire_takes_nothing_of_a_reply_by_a_string() -> None:
    """A field that is read by its name is one that no type checker sees change: only HTTP's own headers are."""
    for path in sorted(WIRE.glob("*.py")):
        # `built` is the generator's own dictionary of the parts of a request, the same whatever the document is.
        taken = [one for one in string_keys(ast.parse(path.read_bytes())) if not re.search(r"headers|^built\b", one)]
        assert [one for one in taken if not one.startswith("found['")] == [], path.name


@pytest.mark.slow
def test_a_facade_that_fits_has_no_edit(committed: Layout) -> None:
    """Of our own wire layer and our own client nothing is to be said."""
    assert edits(committed, committed.package.parent) == ()


def test_each_row_of_the_table_is_known(committed: Layout) -> None:
    """A change is told under the method that callers use: the table of operations says which."""
    known = {row.operation: (row.used_by, row.constant) for row in rows(committed)}
    assert len(known) == 12
    assert known["sendMessage"] == ("Conversation.send", "SEND")


def test_a_line_that_reads_a_member_is_found_by_its_operation(committed: Layout) -> None:
    """The same attribute read for another operation is another line."""
    table = {row.operation: row for row in rows(committed)}
    (of_queue,) = reads(committed, table["getQueueInfo"], "is_open")
    (of_time,) = reads(committed, table["getTimeInfo"], "is_open")
    assert of_queue.file == of_time.file == "facade/puzzel_chat/_wire/replies.py"
    assert of_queue.line < of_time.line


@pytest.mark.slow
def test_a_module_that_the_client_lacks_is_not_looked_for_elsewhere(here: Layout) -> None:
    """The client that is installed here does not stand in for what a new one has no more."""
    shutil.rmtree(here.package / "api" / "time")
    told = [one.text for one in edits(here, here.package.parent)]
    assert told[:2] == [
        "the client has no module puzzel_chat_api.api.time",
        "the client has no module puzzel_chat_api.api.time.get_time_info",
    ]


@pytest.mark.parametrize("broken", [b"x = (\n", b"a\0b\n", b"# \xe5\n"], ids=["syntax", "nul", "latin"])
def test_a_facade_that_is_no_python_is_told(here: Layout, broken: bytes) -> None:
    """In the middle of an edit there is a sentence that names the file."""
    path = here.wire / "refusals.py"
    path.write_bytes(path.read_bytes() + broken)
    with pytest.raises(PipelineError, match=r"The type checker cannot read .*refusals\.py.*: correct that file"):
        edits(here, here.package.parent)


@pytest.mark.slow
def test_without_a_client_to_compare_with_the_type_checker_decides(
    here: Layout, capsys: pytest.CaptureFixture[str]
) -> None:
    """A facade that does not fit breaks, also when there is no earlier client that it did fit."""
    shutil.rmtree(here.package)
    path = here.wire / "replies.py"
    path.write_text(path.read_text(encoding="utf-8").replace("found.exit_name", "found.way_out"), encoding="utf-8")
    assert main(["--root", str(here.root)]) == 20
    assert not here.package.exists()
    assert re.search(r'replies\.py:\d+: "TimeInfo" has no attribute "way_out"', capsys.readouterr().out)


@pytest.mark.slow
def test_a_report_that_cannot_be_written_changes_no_answer(here: Layout, capsys: pytest.CaptureFixture[str]) -> None:
    """The report is a copy of what the screen says: without it the run ends as it would."""
    here.report.mkdir(parents=True)
    assert main(["--root", str(here.root)]) == 0
    assert ".regenerate/report.md cannot be written (Is a directory)." in capsys.readouterr().err


@pytest.mark.slow
def test_an_operation_that_is_kept_brings_all_that_it_needs(here: Layout, tmp_path: Path) -> None:
    """The poll carried over into a document that knows nothing of it has its kinds of messages too."""
    upstream = parse(read_bytes(here.upstream), here.upstream)
    left = child(upstream, "paths")
    left.pop("/api/conversation")
    needed = select({"paths": left, "components": child(upstream, "components")}, missing({"paths": left}, {}))
    assert "TextMessage" not in child(needed, "components", "schemas")
    spec = tmp_path / "without.json"
    spec.write_bytes(dump({**upstream, **needed}))
    report, tree = judged(here, Wish(spec=str(spec), keep_assumed=True), tmp_path, lambda _: None)
    assert report.edits == ()
    assert any("our `pollConversation` is carried over, still documented" in one.text for one in report.changes)
    assert (tree.package / "models" / "text_message.py").is_file()


def test_an_edit_reads_as_an_editor_takes_it() -> None:
    """File, line and reason stand as every editor jumps to them."""
    assert str(Edit("facade/x.py", 7, "it is gone")) == "facade/x.py:7: it is gone"
