"""What is found out about the facade: its uses, what its readers take, and a client that does not fit it."""

from __future__ import annotations

import re
import shutil
from pathlib import Path

import pytest

from pipeline.__main__ import main
from pipeline.assumed import missing, select
from pipeline.build import read
from pipeline.candidate import propose
from pipeline.document import Json, child, dump, parse, read_bytes
from pipeline.inputs import Given, present
from pipeline.judgement.findings import Finding, breaks, told_once
from pipeline.judgement.readers import READERS
from pipeline.judgement.uses import Place, Uses
from pipeline.judgement.wire_types import read_uses
from pipeline.layout import Layout
from pipeline.problems import PipelineError
from pipeline.validate import check_document
from puzzel_chat._wire import values

ROOT = Path(__file__).resolve().parents[2]
SAMPLES: dict[str, Json] = {
    "string": "2026-01-02T03:04:05",
    "integer": 7,
    "number": 7.5,
    "boolean": True,
    "date-time": "2026-01-02T03:04:05Z",
}


@pytest.fixture(scope="module")
def uses() -> Uses:
    """What our facade takes of our client."""
    layout = Layout(root=ROOT)
    return read_uses(layout, layout.package.parent)


@pytest.mark.parametrize(
    ("reader", "kind"), [(name, kind) for name, kinds in READERS.items() for kind in sorted(kinds)]
)
def test_a_reader_takes_what_the_judgement_says_it_takes(reader: str, kind: str) -> None:
    """A kind of value that counts as harmless for a reader comes through it."""
    assert getattr(values, reader)(SAMPLES[kind]) is not None


def test_every_mention_of_a_generated_class_is_a_use(uses: Uses) -> None:
    """A class that is only asked for, in an `isinstance`, counts as much as one that is made."""
    for path in sorted((ROOT / "facade" / "puzzel_chat" / "_wire").glob("*.py")):
        for number, line in enumerate(path.read_text(encoding="utf-8").splitlines(), 1):
            for name in re.findall(r"\b(?:theirs|models)\.([A-Z]\w+)", line):
                place = Place(path.relative_to(ROOT).as_posix(), number)
                assert place in [use.place for use in uses.of(name) if use.how == "class"]


def test_every_attribute_of_a_reply_is_a_use(uses: Uses) -> None:
    """What the converters read of a parsed reply is known line by line."""
    for path in sorted((ROOT / "facade" / "puzzel_chat" / "_wire").glob("*.py")):
        for number, line in enumerate(path.read_text(encoding="utf-8").splitlines(), 1):
            for name in re.findall(r"\bfound\.([a-z_]+)\b(?!\.)", line):
                place = Place(path.relative_to(ROOT).as_posix(), number)
                assert (place, name) in [(use.place, use.name) for use in uses.uses if use.how == "read"]


def test_a_module_that_the_client_lacks_is_not_looked_for_elsewhere(here: Layout) -> None:
    """The client that is installed here does not stand in for what a new one has no more."""
    shutil.rmtree(here.package / "api" / "time")
    told = [message for _, message in read_uses(here, here.package.parent).errors]
    assert told == ["there is no module puzzel_chat_api.api.time.get_time_info in the client"]


@pytest.mark.parametrize("broken", [b"x = (\n", b"a\0b\n", b"# \xe5\n"], ids=["syntax", "nul", "latin"])
def test_a_facade_that_is_no_python_is_told(here: Layout, broken: bytes) -> None:
    """In the middle of an edit there is a sentence that names the file."""
    path = here.wire / "items.py"
    path.write_bytes(path.read_bytes() + broken)
    with pytest.raises(PipelineError, match=r"The type checker cannot read .*items\.py.*: correct that file"):
        read_uses(here, here.package.parent)


def test_a_row_may_name_its_arguments(here: Layout) -> None:
    """However a row of the table is written, it is read."""
    path = here.wire / "operations.py"
    old = 'Operation("getTimeInfo", get_time_info._get_kwargs, "Session.time_info", repeatable=True)'
    new = 'Operation(name="getTimeInfo", build=get_time_info._get_kwargs, used_by="Session.time_info", repeatable=True)'
    text = path.read_text(encoding="utf-8")
    assert old in text
    path.write_text(text.replace(old, new), encoding="utf-8")
    rows = {row.operation: row.used_by for row in read_uses(here, here.package.parent).rows}
    assert rows["getTimeInfo"] == "Session.time_info"


def test_what_is_said_several_times_is_said_once_for_all_its_lines() -> None:
    """Four kinds of a message with one changed field make one sentence."""
    one, other = Place("a.py", 1), Place("a.py", 2)
    found = [breaks("Session.poll", "it is gone", None, one), breaks("Session.poll", "it is gone", None, other)]
    assert told_once(found) == [Finding("Session.poll", found[0].weight, "it is gone", (one, other))]


def test_without_a_client_to_compare_with_the_type_checker_decides(
    here: Layout, capsys: pytest.CaptureFixture[str]
) -> None:
    """A facade that does not fit breaks, also when there is no earlier client that it did fit."""
    shutil.rmtree(here.package)
    path = here.wire / "replies.py"
    path.write_text(path.read_text(encoding="utf-8").replace("found.exit_name", "found.way_out"), encoding="utf-8")
    assert main(["--root", str(here.root)]) == 20
    assert not here.package.exists()
    said = capsys.readouterr().out
    assert (
        '  Session.time_info\n    x the type checker says: "TimeInfo" has no attribute "way_out"; edit facade/' in said
    )


def test_a_report_that_cannot_be_written_changes_no_answer(here: Layout, capsys: pytest.CaptureFixture[str]) -> None:
    """The report is a copy of what the screen says: without it the run ends as it would."""
    layout = here
    layout.report.mkdir(parents=True)
    assert main(["--root", str(layout.root)]) == 0
    assert ".regenerate/report.md cannot be written (Is a directory)." in capsys.readouterr().err
    shutil.rmtree(layout.workshop)
    layout.workshop.touch()
    assert main(["--root", str(layout.root)]) == 30
    assert capsys.readouterr().err.splitlines()[-1].startswith("30: .regenerate")


def test_an_operation_that_is_kept_brings_all_that_it_needs() -> None:
    """The poll carried over into a document that knows nothing of it has its kinds of messages too."""
    layout = Layout(root=ROOT)
    upstream = parse(read_bytes(layout.upstream), layout.upstream)
    left = child(upstream, "paths")
    left.pop("/api/conversation")
    needed = select({"paths": left, "components": child(upstream, "components")}, missing({"paths": left}, {}))
    given = Given(read(layout, dump({**upstream, **needed}), "without.json"), b"", ())
    old = present(layout, given.read)
    assert old is not None
    assert "TextMessage" not in child(given.read.normal, "components", "schemas")
    new = propose(layout, given, old, keep=True)
    assert new.kept == {"pollConversation"}
    assert new.corrected.missed == ()
    check_document(new.corrected.document, "without.json")
