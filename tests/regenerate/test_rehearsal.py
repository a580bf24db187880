"""The day the vendor's document arrives, rehearsed with one of our own: `rehearsal/` has what that day brings.

`vendor.json` is the document, `edits.patch` what a developer then changes, `contract.py` a service that speaks it. When
the overlay or `_wire` changes, the patch must follow: in a copy of the checkout, `git apply --reject` what still
fits, mend the rest by hand until these tests pass, and write `git diff -U1` over it.
"""

from __future__ import annotations

import json
import re
import subprocess
import sys
from pathlib import Path

import pytest

from pipeline.__main__ import main
from pipeline.layout import Layout
from regenerate.days import ROOT, Day, ends_well, live, marked, strictly_typed, surroundings, written

pytestmark = pytest.mark.slow  # `test_edits_apply.py` is its quicker sister

REHEARSAL = Path(__file__).with_name("rehearsal")
VENDOR = REHEARSAL / "vendor.json"
PATCH = (REHEARSAL / "edits.patch").read_text()
SIGNED_IN = [f"test_two_hosts.py::test_{name}" for name in ("one_address_for_both_hosts", "a_visitor_who_is_not_taken")]
SCENARIOS = [f"tests/sandbox/{one}" for one in ("test_scenarios.py", "test_closing.py", "test_resume.py", *SIGNED_IN)]


@pytest.fixture(scope="module")
def that_day(tmp_path_factory: pytest.TempPathFactory) -> Day:
    """The whole day: the document comes, the report is read, the edits are made, the document is taken in."""
    return live(Layout(root=tmp_path_factory.mktemp("that-day")), VENDOR, PATCH)


def test_the_document_has_no_marks_of_ours() -> None:
    """What is rehearsed is a document as the framework writes it: nothing in it is there to help us."""
    text = VENDOR.read_text()
    assert json.loads(text)["openapi"] == "3.0.1"
    assert not re.search(r'"(x-[^"]*|operationId|discriminator|const)":', text)


def test_the_first_run_moves_nothing_and_reports(that_day: Day) -> None:
    """The document breaks the facade: nothing moves, and whoever uses a method that changed finds it in the report."""
    assert that_day.first == 20
    assert that_day.unmoved == that_day.before
    methods = {method for one in that_day.report["changes"] for method in one["methods"]}
    assert methods >= {
        "PuzzelChat.connect",
        "Session.queue_info",
        "Session.poll",
        "Conversation.route",
        "Conversation.allocation",
    }


@pytest.mark.parametrize(
    ("part", "told"),
    [
        ("changes", "`RequestStatus` is gone; `RequestStatusResponse` stands in its place"),
        (
            "changes",
            "`RequestStatusResponse` is new; it has `conversationId`, `state`, `position`, `estimatedSeconds`, ",
        ),
        ("changes", "the query parameter `after` of GET /api/conversation is gone"),
        ("changes", "the query parameter `sinceId` of GET /api/conversation is new and optional"),
        ("changes", "`PollReply` is gone; `MessagesResponse` stands in its place"),
        ("changes", "`MessagesResponse` is new; it has `items`, `next`"),
        ("changes", "what the numbers of `AllocationState` mean is described as “0 = Waiting, 1 = Offered, 2 = Conn"),
        ("edits", "finds nothing: $['components']['schemas'] has no `Variable`; `ParameterModel` stands in its place"),
        ("edits", "finds nothing: $['components']['schemas'] has no `PollReply`; `MessagesResponse` stands in its"),
        ("edits", '"QueueInfoResponse" has no attribute "is_open"'),
        ("edits", '"MessagesResponse" has no attribute "messages"'),
        ("edits", 'Unexpected keyword argument "after" for "_request"'),
        ("edits", '"None" has no attribute "request_id"'),
        ("changes", "the document has no POST /api/conversation/{id}/end; our `endConversation` is carried over"),
        ("changes", "the document has no POST /connect/token; our `connectToken` is carried over, still documented"),
        ("operations", "DELETE /api/conversation/{conversationId}"),
        ("operations", "PUT /api/conversation/{conversationId}/typing-state"),
    ],
)
def test_the_report_says_what_that_developer_had_to_know(that_day: Day, part: str, told: str) -> None:
    """What was found out by hand when the edits were first made is told, and nothing that was not known."""
    said = [one["text"] if isinstance(one, dict) else one for one in that_day.report[part]]
    assert any(told in text for text in said), "\n".join(said)


def test_nothing_is_guessed(that_day: Day) -> None:
    """No sentence says of one name that it is another's."""
    said = json.dumps(that_day.report)
    assert not re.search("looks like|maybe|is now `|becomes", said)


def test_every_line_that_is_named_is_edited(that_day: Day) -> None:
    """The list of edits is the type checker's: the patch touches each line of it, or the one beside it."""
    near: set[tuple[str, int]] = set()
    for part in PATCH.split("--- a/")[1:]:
        file = part.splitlines()[0]
        for start, length in re.findall(r"^@@ -(\d+)(?:,(\d+))? ", part, re.MULTILINE):
            near |= {(file, line) for line in range(int(start) - 1, int(start) + int(length or 1) + 1)}
    named = {(one["file"], one["line"]) for one in that_day.report["edits"] if one["file"] in PATCH}
    assert len(named) > 40
    # A line that calls a function is right again once the function takes what it gives.
    assert {place for place in named - near if "_identified(" not in line_of(*place)} == set()


def line_of(file: str, number: int) -> str:
    return (ROOT / file).read_text().splitlines()[number - 1]


def test_only_the_overlay_and_wire_are_edited(that_day: Day) -> None:
    """What a person changes is the overlay and `_wire`; all else that differs at the end the pipeline wrote."""
    assert written(that_day, PATCH) == {
        "openapi/README.md",
        "openapi/SOURCE.toml",
        "openapi/assumed.json",
        "openapi/puzzel-chat.json",
        "openapi/upstream.json",
    }


def test_the_readme_tells_how_many_lines_that_was() -> None:
    """The page for that day carries the figure of this rehearsal, not a remembered one."""
    added, removed = (len(re.findall(rf"^\{sign}(?!\{sign})", PATCH, re.MULTILINE)) for sign in "+-")
    readme = " ".join((ROOT / "openapi" / "README.md").read_text().split())
    assert f"{added} lines written and {removed} taken out" in readme


def test_the_edited_facade_takes_the_document_in(that_day: Day) -> None:
    """The second run ends with 10, the tree is what the document gives, and each operation is marked by its source."""
    assert that_day.last == 10
    assert main(["--root", str(that_day.layout.root), "--check"]) == 0
    marks = {row.operation_id: row.provenance for row in marked(that_day)}
    assert (marks.pop("getTimeInfo"), marks.pop("connectToken")) == ("assumed", "documented")
    assert (marks.pop("uploadFile"), marks.pop("downloadFile")) == ("assumed", "assumed")
    assert set(marks.values()) == {"confirmed"}


def test_each_operation_keeps_its_host(that_day: Day) -> None:
    """The identity host keeps its two operations, one by the document and one carried over, and files keep theirs."""
    for host, names in (
        ("consumeridp", {"connectToken", "authenticateVisitor"}),
        ("contentupload", {"uploadFile", "downloadFile"}),
    ):
        assert {row.operation_id for row in marked(that_day) if any(host in one for one in row.servers)} == names
    assert not [one for one in that_day.report["changes"] if "host" in one["text"] or "answered" in one["text"]]


def test_the_edited_facade_is_strictly_typed(that_day: Day) -> None:
    """The edited `_wire` fits the new client by mypy's strictest rules."""
    strictly_typed(that_day.layout)


def test_the_doctor_shows_the_new_state(that_day: Day) -> None:
    """A user asks how sure each operation is, and is told of that day's document."""
    command = [sys.executable, "-c", "from puzzel_chat import operations; print(*operations(), sep='\\n')"]
    done = subprocess.run(command, env=surroundings(that_day.layout), capture_output=True, text=True)
    ends_well(done, "the operations cannot be listed")
    assert done.stdout.count("provenance='confirmed'") == 8
    assert "DELETE" in done.stdout


@pytest.mark.timeout(600)  # a hundred scenarios in one process of their own, on a machine that may be busy
def test_the_scenarios_hold_under_the_new_contract(that_day: Day) -> None:
    """The same names, events and errors: the facade's scenarios pass against a service with the new contract."""
    command = [sys.executable, "-m", "pytest", "-q", "-p", "regenerate.rehearsal.plugin", *SCENARIOS]
    done = subprocess.run(command, cwd=ROOT, env=surroundings(that_day.layout), capture_output=True, text=True)
    ends_well(done, "under the new contract")
    passed = re.search(r"(\d+) passed", done.stdout)
    assert passed
    assert int(passed[1]) > 80
