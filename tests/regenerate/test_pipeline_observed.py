"""What a probe of a tenant found: marks that become confirmed, contradictions with their lines, no values kept."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any, get_args

import pytest

from pipeline.__main__ import main
from pipeline.document import Object, parse, text
from pipeline.document import operations as walk
from pipeline.judge import rows
from pipeline.layout import Layout
from pipeline.observed import (
    ANSWERS,
    ROTATIONS,
    SEMANTICS,
    confirm_observed,
    contradictions,
    observed_notes,
    read_observed,
)
from pipeline.problems import PipelineError
from pipeline.tree import differences, snapshot
from puzzel_chat import operations
from puzzel_chat._probe import Answer, Policy, Semantics

ROOT = Path(__file__).resolve().parents[2]
SEND = "/api/conversation/{id}/message"


def saved(path: Path, **changes: Any) -> str:
    """Write what a probe saves when everything is as expected, apart from the changes to its members."""
    rows = {
        one.name: {
            "method": one.method,
            "path": one.path,
            "answer": "confirmed",
            "status": 200,
            "content_type": "application/json",
            "fields": {"/id": ["string"]},
            "differences": [],
        }
        for one in operations()
    }
    document: dict[str, Any] = {
        "format": "puzzel-chat-probe",
        "version": 1,
        "date": "2026-11-28",
        "simulator": False,
        "semantics": "cursor",
        "rotation": "revoked",
        "operations": {**rows, **changes.pop("operations", {})},
        **changes,
    }
    path.write_text(json.dumps(document))
    return str(path)


def differing(*differences: tuple[str, str, str], path: str = SEND) -> dict[str, Any]:
    """Give the row of a message that was answered otherwise."""
    found = [{"pointer": pointer, "expected": wanted, "came": came} for pointer, wanted, came in differences]
    return {"sendMessage": {"method": "POST", "path": path, "answer": "differs", "differences": found}}


def regenerate(layout: Layout, *options: str) -> int:
    """Run the pipeline on a checkout."""
    return main(["--root", str(layout.root), *options])


@pytest.fixture(scope="module")
def document() -> Object:
    """Our document as the generator gets it."""
    return parse(Layout(root=ROOT).built.read_bytes(), Layout(root=ROOT).built)


def told(document: Object, file: str) -> list[str]:
    """Give what a probe's file contradicts, with the lines to edit."""
    observed = read_observed(Path(file), "probe.json")
    layout = Layout(root=ROOT)
    return [str(one) for one in contradictions(layout, document, observed, rows(layout))]


@pytest.mark.slow
def test_what_answered_as_expected_is_confirmed(here: Layout, tmp_path: Path) -> None:
    """Marks say so in the client and on the page, and a check from the kept file alone agrees."""
    assert regenerate(here, "--observed", saved(tmp_path / "probe.json")) == 10
    client = (here.package / "provenance.py").read_text(encoding="utf-8")
    assert set(re.findall(r'^        provenance="(\w+)"', client, re.MULTILINE)) == {"confirmed"}
    assert "Confirmed by a probe of a tenant on 2026-11-28. Documented" in here.readme.read_text(encoding="utf-8")
    assert regenerate(here, "--check") == 0


@pytest.mark.slow
def test_contradictions_leave_the_tree_alone(here: Layout, tmp_path: Path) -> None:
    """A service that answers otherwise ends the run with 20; ACCEPT=1 takes the marks, until the file is gone."""
    before = snapshot(here.root)
    file = saved(tmp_path / "probe.json", operations=differing(("", "200", "404")))
    assert regenerate(here, "--observed", file) == 20
    assert "`sendMessage` answered 404 to the probe" in here.report.read_text(encoding="utf-8")
    assert changed(before, here) == set()
    assert regenerate(here, "--observed", file, "--accept") == 20
    assert here.observed.exists()
    here.observed.unlink()
    assert regenerate(here) == 10
    assert changed(before, here) == set()


def changed(before: dict[str, bytes], layout: Layout) -> set[str]:
    """Give the names of the files that differ from before, the report left out."""
    return {name for name, _ in differences(before, snapshot(layout.root)) if not name.startswith(".regenerate/")}


def test_marks_go_with_the_file(document: Object, tmp_path: Path) -> None:
    """Nothing is confirmed without a file, nor what was not asked, nor what was asked of another path."""
    rows = differing(("", "200", "404"))
    rows["sendTyping"] = {"method": "PUT", "path": SEND, "answer": "confirmed", "differences": []}
    observed = read_observed(Path(saved(tmp_path / "probe.json", operations=rows)), "probe.json")
    assert confirm_observed(document, None) == document
    marked = {
        text(one, "operationId"): text(one, "x-provenance") for *_, one in walk(confirm_observed(document, observed))
    }
    assert [name for name, mark in marked.items() if mark != "confirmed"] == ["sendMessage", "sendTyping"]
    assert any("probe again" in note for note in observed_notes(document, observed))


def test_another_path_breaks_with_its_row_and_its_pin(document: Object, tmp_path: Path) -> None:
    """The lines to edit are that of the facade's table and that of the correction."""
    pin, row = told(document, saved(tmp_path / "probe.json", operations=differing(("", "200", "404"))))
    assert re.fullmatch(r"openapi/overlay\.yaml:\d+: `sendMessage` answered 404 to the probe, where 200 was .*", pin)
    assert re.fullmatch(r"facade/puzzel_chat/_wire/operations\.py:\d+: `sendMessage` answered 404 .*", row)


def test_another_member_breaks_where_the_facade_reads_it(document: Object, tmp_path: Path) -> None:
    """Of a reply's member the lines that read it are named."""
    rows = differing(("/sentAt", "string or null", "missing"), ("/when", "", "new"), ("/id", "string", "boolean"))
    gone, new, other = told(document, saved(tmp_path / "probe.json", operations=rows))
    read = r"facade/puzzel_chat/_wire/replies\.py:\d+: `/sentAt` in the reply of `sendMessage` is missing to .*"
    assert re.fullmatch(read, gone)
    assert "`/when` in the reply of `sendMessage` is new to the probe" in new
    assert "`/id` in the reply of `sendMessage` is boolean to the probe, not string" in other


def test_what_the_document_says_by_now_is_no_contradiction(document: Object, tmp_path: Path) -> None:
    """A difference is gone once the document agrees with it; one of another path says nothing of this one."""
    rows = differing(("/sentAt", "integer", "string"), ("/clientMessageId", "", "new"), ("/gone", "string", "missing"))
    assert told(document, saved(tmp_path / "probe.json", operations=rows)) == []
    moved = differing(("", "200", "404"), path="/api/conversation/{id}/messages")
    assert told(document, saved(tmp_path / "probe.json", operations=moved)) == []


def test_the_simulator_confirms_nothing_of_puzzel(
    here: Layout, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """It may be rehearsed with, says so in each mark, and `make check` refuses it."""
    observed = read_observed(Path(saved(tmp_path / "probe.json", simulator=True)), "probe.json")
    marked = confirm_observed(parse(here.built.read_bytes(), here.built), observed)
    notes = {text(one, "x-provenance-note").partition(" on ")[0] for *_, one in walk(marked)}
    assert notes == {"Confirmed only by the bundled simulator, not Puzzel,"}
    here.observed.write_bytes(observed.data)
    assert regenerate(here, "--check") == 1
    assert "a probe of the bundled simulator, which confirms nothing of Puzzel" in capsys.readouterr().err


@pytest.mark.parametrize(
    "changes",
    [
        {"format": "other"},
        {"version": 2},
        {"date": "yesterday"},
        {"semantics": "push"},
        {"rotation": "secret"},
        {"simulator": "no"},
        {"operations": {"sendMessage": "confirmed"}},
        {"operations": {"ada@chat.example": {"method": "POST", "path": SEND, "answer": "confirmed"}}},
        {"operations": {"sendMessage": {"method": "POST", "path": SEND, "answer": "perhaps"}}},
        {"operations": differing(("/id", "string", "eyJhbGciOiJIUzI1NiJ9"))},
        {"operations": differing(("/id", "string", "ada lovelace"))},
        {"operations": differing(("/id", "4711", "string"))},
        {"operations": differing(("/visitors/0f1e2d3c4b5a", "", "new"))},
        {"operations": differing(("", "200", "404"), path="/api/conversation/0f1e2d3c4b5a/message")},
    ],
)
def test_a_file_of_another_kind_is_refused(tmp_path: Path, changes: dict[str, Any]) -> None:
    """One sentence, for a file of another program, of another version, or with a value where none may be."""
    file = Path(saved(tmp_path / "probe.json", **changes))
    with pytest.raises(PipelineError, match="is not what `puzzel-chat probe --save FILE` writes: give that file"):
        read_observed(file, "probe.json")


@pytest.mark.parametrize("data", [b"{", b"[]", b"\xff", b'{"format": "puzzel-chat-probe", "version": 1}'])
def test_what_is_no_such_document_is_refused(tmp_path: Path, data: bytes) -> None:
    """Neither broken JSON nor a document without operations is taken for a probe's."""
    file = tmp_path / "probe.json"
    file.write_bytes(data)
    with pytest.raises(PipelineError, match="give that file"):
        read_observed(file, "probe.json")


def test_the_words_are_those_of_the_probe() -> None:
    """What the probe may find out is what is read here."""
    assert (*get_args(Policy), None) == ROTATIONS
    assert {*get_args(Semantics), None} == set(SEMANTICS)
    assert set(get_args(Answer)) == set(ANSWERS)


def test_no_file_is_a_sentence(tmp_path: Path) -> None:
    """A path without a file is told by its name."""
    with pytest.raises(PipelineError, match=r"none\.json"):
        read_observed(tmp_path / "none.json", "none.json")


def test_what_is_kept_has_no_other_member(tmp_path: Path) -> None:
    """Whatever else the file holds stays out of the tree."""
    file = Path(saved(tmp_path / "probe.json", note="Ada said hello"))
    assert b"Ada" not in read_observed(file, "probe.json").data
