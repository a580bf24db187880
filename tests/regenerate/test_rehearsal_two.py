"""The day the vendor's document arrives, rehearsed a second time, with a document as unlike ours as it may be.

`rehearsal_two/vendor.json` is what the framework's newest version would write: OpenAPI 3.1, what is polled two levels
deep, a number for a cursor, durations as `hh:mm:ss`, kinds without a discriminator, ids that are UUIDs, a header that
must be sent. `edits.patch` is what a developer then changes, `spoken.py` uses the facade that comes of it. When the
overlay or `_wire` changes, the patch must follow, as `test_rehearsal.py` says of the first.
"""

from __future__ import annotations

import json
import re
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from pipeline.__main__ import main
from pipeline.layout import Layout
from pipeline.run import Wish, judged
from regenerate.days import Day, edited, ends_well, live, marked, strictly_typed, surroundings, written
from regenerate.parts import fields, rename

pytestmark = pytest.mark.slow  # `test_edits_apply.py` is its quicker sister

REHEARSAL = Path(__file__).with_name("rehearsal_two")
VENDOR = REHEARSAL / "vendor.json"
PATCH = (REHEARSAL / "edits.patch").read_text()


@pytest.fixture(scope="module")
def that_day(tmp_path_factory: pytest.TempPathFactory) -> Day:
    """The whole day, from the document to the client that is made of it."""
    return live(Layout(root=tmp_path_factory.mktemp("that-day")), VENDOR, PATCH)


@pytest.fixture(scope="module")
def spoken(that_day: Day) -> dict[str, Any]:
    """What the edited facade reads and sends."""
    command = [sys.executable, str(REHEARSAL / "spoken.py")]
    done = subprocess.run(command, env=surroundings(that_day.layout), capture_output=True, text=True)
    ends_well(done, "the edited facade does not speak the new contract")
    found: dict[str, Any] = json.loads(done.stdout)
    assert Path(found["facade"]).is_relative_to(that_day.layout.root)
    return found


def test_the_document_has_no_marks_of_ours() -> None:
    """What is rehearsed is a document as the framework writes it: nothing in it is there to help us."""
    text = VENDOR.read_text()
    assert json.loads(text)["openapi"] == "3.1.1"
    assert not re.search(r'"(x-[^"]*|operationId|discriminator|const)":', text)


def test_the_first_run_moves_nothing(that_day: Day) -> None:
    """The document does not fit the facade, so the run ends with 20 and every file stays as it was."""
    assert that_day.first == 20
    assert that_day.unmoved == that_day.before


def test_the_first_report_names_the_files_to_edit(that_day: Day) -> None:
    """Every file that the developer edits is named by the first run."""
    named = {one["file"] for one in that_day.report["edits"]}
    assert edited(PATCH) <= named


def test_only_the_overlay_and_wire_are_edited(that_day: Day) -> None:
    """What a person changes is the overlay and `_wire`; all else that differs at the end the pipeline wrote."""
    files = ("README.md", "SOURCE.toml", "assumed.json", "puzzel-chat.json", "upstream.json")
    assert written(that_day, PATCH) == {f"openapi/{name}" for name in files}


def test_no_reply_is_read_by_names_in_strings() -> None:
    """The edits read replies by the attributes of the client only, so that the next document's changes show too."""
    added = [line for line in PATCH.splitlines() if line.startswith("+") and not line.startswith("+++")]
    assert not [line for line in added if re.search(r"\.get\(|\w\[[\"']", line) and "$.paths[" not in line]


def test_the_edited_facade_takes_the_document_in(that_day: Day) -> None:
    """The second run ends with 10 without ACCEPT, and what stands in the tree then is what the document gives."""
    assert that_day.last == 10
    assert main(["--root", str(that_day.layout.root), "--check"]) == 0


def test_each_operation_of_the_facade_is_the_document_s(that_day: Day) -> None:
    """The vendor's document has all but the token endpoint and the calls for files, which are carried over."""
    marks = {row.operation_id: row.provenance for row in marked(that_day)}
    assert marks.pop("connectToken") == "documented"
    assert (marks.pop("uploadFile"), marks.pop("downloadFile")) == ("assumed", "assumed")
    assert len(marks) > 9
    assert set(marks.values()) == {"confirmed"}


def test_the_edited_facade_is_strictly_typed(that_day: Day) -> None:
    """The edited facade fits the new client by mypy's strictest rules."""
    strictly_typed(that_day.layout)


def test_a_poll_is_read_two_levels_deep(spoken: dict[str, Any]) -> None:
    """Each entry becomes its event, and its position the cursor; what cannot be read hides none of the others."""
    assert [one["event"] for one in spoken["events"]] == [
        "TextMessage",
        "UnknownMessage",
        "UnknownMessage",
        "OptionsMessage",
        "FileMessage",
        "UnknownMessage",
        "AgentJoined",
        "ConversationEnded",
    ]
    first, no_uuid, no_object, choice, document, new, joined, ended = spoken["events"]
    assert first["text"] == "Hello Ada"
    assert first["author"] == "agent Kari"
    assert (no_uuid["id"], no_uuid["conversation_id"], bool(no_uuid["problem"])) == ("second", "ada-1", True)
    assert no_object["problem"] == "the item is not an object"
    assert (choice["text"], choice["options"]) == ("Which?", ["This"])
    assert (document["file_name"], document["size"]) == ("bill.pdf", 2048)
    assert (new["service_type"], new["problem"]) == ("Hologram", None)
    assert joined["agent"] == "Kari"
    assert (ended["by"], ended["author"]) == ("agent", "system None")
    assert spoken["cursor"] == "17"
    assert spoken["empty"] == [None, "18"]


def test_a_duration_is_read_in_seconds(spoken: dict[str, Any]) -> None:
    """A minute and a half is 90 seconds, days and parts of a second count, and what is no duration is not known."""
    assert spoken["queue"] == ["27504", "Support", True, 3, 0, 90.0]
    assert spoken["waits"] == [93784.5, 0.0, None, None, None]
    assert spoken["search"] == ["OFFERED", 2, "Kari"]
    assert spoken["routed"] == ["UNKNOWN", "7d9f3c52-0000-4000-8000-000000000000"]


def test_the_cursor_goes_back_as_a_number(spoken: dict[str, Any]) -> None:
    """The next poll asks for what follows the position, and for everything when there is none that is a number.

    The document's default for `take` is the service's own business.
    """
    calls = [one["call"] for one in spoken["poll"]]
    assert calls == ["GET /api/conversation?fromPosition=17", *["GET /api/conversation"] * 2]


def test_the_header_is_sent(spoken: dict[str, Any]) -> None:
    """The request for an agent carries the header that the document asks for, and the customer in its array."""
    assert spoken["route"]["call"] == "PUT /api/conversation/ada-1/route/q_support"
    assert spoken["route"]["headers"]["X-Channel"] == "Website"
    assert spoken["route"]["body"] == [{"label": "customerName", "content": "Ada"}]


def test_a_chat_goes_on_at_its_new_addresses(spoken: dict[str, Any]) -> None:
    """What is said, typed and ended is sent where the document has it, in its words."""
    said = [(spoken[name]["call"], spoken[name]["body"]) for name in ("send", "typing", "end")]
    assert said == [
        ("POST /api/chats/ada-1/entries", {"words": "My order", "reference": "mine-1"}),
        ("PUT /api/chats/ada-1/signals", {"signal": "Composing"}),
        ("PATCH /api/chats/ada-1", {"state": "Closed"}),
    ]


FEED, SEND, CHAT = "/api/conversation", "/api/chats/{chatId}/entries", "/api/chats/{chatId}"
TAKE = {"name": "since", "in": "query", "schema": {"type": "integer", "default": 50}}
HEADER = {"name": "X-Tenant", "in": "header", "required": True, "schema": {"type": "string"}}


@pytest.mark.parametrize(
    ("change", "status", "told"),
    [
        (lambda d: rename(fields(d, "EntryPage"), "entries", "rows"), 20, '"EntryPage" has no attribute "entries"'),
        (lambda d: fields(d, "EntryDto")["edition"].update(type=["null", "integer"]), 10, "`WordsEntryDto.edition`"),
        (lambda d: fields(d, "EntryReceipt")["entryId"].update(type=["null", "string"]), 10, "`EntryReceipt.entryId`"),
        (
            lambda d: d["paths"][FEED]["get"]["responses"]["200"].pop("content"),
            20,
            '"None" has no attribute "position"',
        ),
        (lambda d: rename(d["paths"][SEND]["post"]["responses"], "201", "200"), 10, "`201` is gone, and `200` is new"),
        (lambda d: d["paths"][FEED]["get"]["parameters"].append(HEADER), 20, 'Missing named argument "x_tenant"'),
        (lambda d: d["paths"][CHAT]["patch"]["parameters"][0]["schema"].update(format="uuid"), 20, 'expected "UUID"'),
        (
            lambda d: d["paths"][SEND]["post"].update(servers=[{"url": "https://x.example"}]),
            20,
            "at x.example, which is",
        ),
        (lambda d: d["paths"][FEED]["get"]["parameters"].append(TAKE), 10, "the service takes `50` without it"),
        (lambda d: fields(d, "QueueLoadDto")["averageWait"].pop("format"), 20, "`QueueLoadDto.averageWait` is `date"),
    ],
    ids=["list", "null", "id", "schema", "status", "header", "uuid", "host", "default", "duration"],
)
def test_the_next_change_is_judged_as_well(
    that_day: Day, tmp_path: Path, change: Callable[[Any], object], status: int, told: str
) -> None:
    """What was taken in is the document to compare with: the change after it is told, and ends the run as it must."""
    document = json.loads(VENDOR.read_text())
    change(document)
    (tmp_path / "next.json").write_text(json.dumps(document))
    wish = Wish(spec=str(tmp_path / "next.json"), keep_assumed=True)
    report, _ = judged(that_day.layout, wish, tmp_path, lambda _: None)
    said = [*map(str, report.edits), *(one.text for one in report.changes)]
    assert report.status == status, said
    assert any(told in one for one in said), said
