"""`puzzel-chat probe`, against simulated contact centres that are as expected, that differ, and that are not there."""

from __future__ import annotations

import json
import re
import signal
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from pipeline.observed import read_observed
from puzzel_chat import Observation, Probe, ProbeReport, Settings, Visitor, _probe
from puzzel_chat._http import Reply, Request
from puzzel_chat.cli._output import Exit
from puzzel_chat.sandbox import NOTICE, Differences, Fault, Sandbox
from puzzel_chat.testing import VirtualTime
from quick import quick_only

from .conftest import Run, Start, eventually, one_error

Found = dict[str, Observation]
SEND_ELSEWHERE = Differences(paths={"sendMessage": "POST /api/conversation/{id}/messages"})
OTHER_NAMES = Differences(names={"content": "text"})
OTHER_CURSOR = Differences(cursor="text")


@pytest.fixture(autouse=True)
def _look_often(monkeypatch: pytest.MonkeyPatch) -> None:
    """In this process no test waits a second between two looks."""
    monkeypatch.setattr(_probe, "LOOK", 0.2)


def walked(**options: Any) -> tuple[ProbeReport, Found, Sandbox]:
    """Probe a contact centre of that kind with everything, in time that passes at once."""
    visitor = options.pop("visitor", None)
    key = options.pop("queue_key", "support")
    time = VirtualTime()
    with Sandbox(clock=time.seconds, sleep=time.passing, **options) as centre:
        if callable(visitor):
            visitor = visitor(centre)
        settings = Settings(**centre.settings)
        probe = Probe(settings, key, centre.visual_queue_id, visitor, clock=time)
        report = probe.run()
    assert probe.simulator
    found = {one.operation.name: one for one in report.observations}
    assert set(answers(found, "not asked")) >= FILES
    return report, {name: one for name, one in found.items() if name not in FILES}, centre


FILES = {"uploadFile", "downloadFile"}
"""Never asked: a probe leaves no file at a tenant."""


def answers(found: Found, answer: str) -> list[str]:
    """The operations that answered so."""
    return [name for name, one in found.items() if one.answer == answer]


@pytest.mark.parametrize(
    ("options", "semantics", "rotation"),
    [
        ({}, "cursor", "revoked"),
        ({"no_content": True}, "cursor", "revoked"),
        ({"semantics": "history", "rotation": False}, "history", "kept"),
        ({"semantics": "history", "no_content": True}, "history", "revoked"),
        ({"semantics": "drain", "reuse_grace": 15.0}, "drain", "same_reply"),
        ({"differs": Differences(cursor="none")}, "history", "revoked"),
        ({"differs": Differences(drop=frozenset({"version", "sentAt", "author"}))}, "cursor", "revoked"),
        ({"identity_port": None}, "cursor", "revoked"),
        ({"script": "silent"}, "cursor", "revoked"),
        ({"script": "decline"}, "cursor", "revoked"),
    ],
)
def test_what_is_as_expected_is_confirmed(options: dict[str, Any], semantics: str, rotation: str) -> None:
    """Every operation, whatever a poll gives and becomes of a refresh token; the chat is ended once."""
    report, found, centre = walked(**options)
    assert answers(found, "confirmed") == list(found)
    assert (report.semantics, report.rotation, report.simulator) == (semantics, rotation, True)
    assert (centre.stats().routed, centre.stats().ended) == (1, 1)


@pytest.mark.parametrize(
    ("differs", "operations", "told"),
    [
        (SEND_ELSEWHERE, ["sendMessage"], ("sendMessage", "the answer is 404, not 200")),
        (OTHER_NAMES, ["pollConversation", "sendMessage"], ("pollConversation", "/messages/*/text is new")),
        (OTHER_NAMES, ["pollConversation", "sendMessage"], ("sendMessage", "the answer is 400, not 200")),
        (OTHER_CURSOR, ["pollConversation"], ("pollConversation", "/cursor is string, not integer or null")),
        (
            Differences(names={"isOpen": "open"}),
            ["getQueueInfo", "getTimeInfo"],
            ("getQueueInfo", "/isOpen is missing; /open is new"),
        ),
        (
            Differences(paths={"endConversation": "DELETE /api/conversation/{id}"}),
            ["endConversation"],
            ("endConversation", "the test chat may still be open"),
        ),
        (
            Differences(paths={"getRequestStatus": "GET /api/allocation/{id}"}),
            ["getRequestStatus"],
            ("getRequestStatus", "the answer is 404, not 200"),
        ),
    ],
)
def test_what_differs_is_told_and_nothing_else(
    differs: Differences, operations: list[str], told: tuple[str, str]
) -> None:
    """Another path, other names, another cursor: the operations that differ, and what came instead."""
    _, found, _ = walked(differs=differs)
    assert sorted(answers(found, "differs")) == operations
    assert sorted(answers(found, "confirmed")) == sorted(set(found) - set(operations))
    assert told[1] in found[told[0]].told


def test_a_route_that_differs_leaves_the_rest_unasked() -> None:
    """Without a chat there is nothing to send and nothing to end."""
    _, found, centre = walked(
        differs=Differences(paths={"routeConversation": "POST /api/conversation/{id}/route/{queueKey}"})
    )
    assert answers(found, "differs") == ["routeConversation"]
    assert "the answer is 405, not 200 or 202" in found["routeConversation"].told
    assert answers(found, "not asked") == ["getRequestStatus", "sendMessage", "sendTyping", "endConversation"]
    assert "endConversation" not in centre.stats().requests


def test_a_token_that_cannot_be_read_ends_the_walk() -> None:
    """Its reply is the finding, and nothing else can be asked."""
    _, found, _ = walked(differs=Differences(names={"access_token": "token"}))
    assert found["connectToken"].told == "/access_token is missing; /token is new"
    assert set(answers(found, "not asked")) == set(found) - {"connectToken"}


def test_a_closed_queue_is_an_answer() -> None:
    """The service refuses the chat in the words that are expected, which confirms the route and no more."""
    _, found, _ = walked(queue_key="closed")
    assert found["routeConversation"].answer == "confirmed"
    assert "The queue is closed" in found["routeConversation"].told
    assert "sendMessage" in answers(found, "not asked")


def test_a_queue_that_does_not_exist_says_nothing_of_the_contract() -> None:
    """A wrong queue key is told as that."""
    _, found, _ = walked(queue_key="27501")
    assert found["routeConversation"].answer == "unclear"
    assert "A number is a visual queue id" in found["routeConversation"].told


def test_a_signed_in_visitor_is_part_of_the_walk() -> None:
    """With a visitor's token both steps are confirmed with what they bring."""
    _, found, _ = walked(visitor=lambda centre: Visitor(id_token=centre.visitor_token()))
    assert (found["authenticateVisitor"].status, found["authenticateVisitor"].answer) == (200, "confirmed")
    assert found["authenticateVisitor"].fields == {"/userInfoId": ("string",)}
    assert answers(found, "confirmed") == list(found)


def test_a_visitor_under_other_names_is_told() -> None:
    """The visitor is identified, but the token request that follows is refused: that one differs."""
    visitor = {"visitor": lambda centre: Visitor(access_token=centre.visitor_token())}
    _, found, _ = walked(visitor_fields=("visitor", "proof"), **visitor)
    assert answers(found, "differs") == ["connectToken"]
    assert "the token request of a signed-in visitor is refused" in found["connectToken"].told


def test_a_visitors_token_that_is_refused_says_nothing() -> None:
    """It may have expired; nothing of the contract is confirmed or contradicted by that."""
    _, found, _ = walked(visitor=Visitor(access_token="expired-token"))
    assert found["authenticateVisitor"].answer == "unclear"
    assert "sign the visitor in again" in found["authenticateVisitor"].told


def test_a_rotation_that_was_not_found_out_hides_nothing() -> None:
    """A token endpoint that fails in the middle of it is told, and the walk goes on."""
    report, found, _ = walked(faults=(Fault.status(503, "connectToken", skip=2, times=1),))
    assert report.rotation is None
    assert "was not found out: connectToken: status 503" in found["connectToken"].told
    assert answers(found, "confirmed") == list(found)


def test_the_command_tells_a_service_as_it_should_be(cli: Run, centre: Sandbox, tmp_path: Path) -> None:
    """The notice, one line for each operation, the findings in words, the counts, the next step; exit code 0."""
    file = tmp_path / "probe.json"
    options = ["--visual-queue-id", centre.visual_queue_id, "--route", "support", "--yes", "--save", str(file)]
    ran = cli("probe", *options, at=centre)
    assert (ran.code, ran.err) == (0, "")
    assert NOTICE in ran.out.splitlines()[0]
    assert "confirmed  assumed    POST /api/conversation/{id}/message" in ran.out
    assert "A poll returns what follows the cursor." in ran.out
    assert "Rotation without a grace period" in ran.out
    assert "12 operations: 10 confirmed, 0 differ, 0 unclear, 2 not asked" in ran.out
    assert f"Next: make regenerate OBSERVED={file}" in re.sub(r"\s+", " ", ran.out)
    assert all(len(line) <= 100 for line in ran.out.splitlines() if str(file) not in line)


def test_the_command_asks_only_what_nobody_notices(cli: Run, centre: Sandbox) -> None:
    """Without --route no chat is begun, also when a queue stands in the environment; the way to ask more is told."""
    ran = cli("probe", at=centre, env={"PUZZEL_CHAT_QUEUE_KEY": "support"})
    assert ran.code == 0
    assert (centre.stats().routed, "routeConversation" in centre.stats().requests) == (0, False)
    assert "unclear    documented GET  /api/allocation/requestStatus/{id}" in ran.out
    assert "not asked  observed   PUT  /api/conversation/{id}/route/{queueKey}" in ran.out
    for option in ("--visual-queue-id", "--route", "--save"):
        assert f"Next: {option}" in ran.out


@pytest.mark.parametrize(
    ("differs", "operation", "pointer", "came"),
    [
        (SEND_ELSEWHERE, "sendMessage", "", "404"),
        (OTHER_NAMES, "pollConversation", "/messages/*/content", "missing"),
        (OTHER_CURSOR, "pollConversation", "/cursor", "string"),
    ],
)
def test_the_command_names_what_differs(
    cli: Run, differs: Differences, operation: str, pointer: str, came: str, tmp_path: Path
) -> None:
    """Exit code 5, the operation marked in words, the difference for programs and in the file for the pipeline."""
    file = tmp_path / "probe.json"
    with Sandbox(pace=0, differs=differs) as centre:
        ran = cli("probe", "--route", "support", "--yes", "--save", str(file), at=centre)
        programs = cli("probe", "--route", "support", "--yes", "--json", at=centre)
        assert centre.stats().ended == 2
    assert (ran.code, programs.code, ran.err) == (Exit.DIFFERS, 5, "")
    assert re.search(r"^DIFFERS ", ran.out, re.MULTILINE)
    records = [json.loads(line) for line in programs.out.splitlines()]
    (told,) = [row for row in records if row.get("operation") == operation]
    assert (pointer, came) in [(one["pointer"], one["came"]) for one in told["differences"]]
    (kept,) = [row for row in read_observed(file, "it").answers[operation].differences if row.pointer == pointer]
    assert kept.came == came
    assert (records[0]["step"], records[-1]["step"], records[-1]["differs"] > 0) == ("notice", "summary", True)
    assert len(records) == 14


def test_the_file_has_the_shape_that_the_pipeline_reads(cli: Run, centre: Sandbox, tmp_path: Path) -> None:
    """Format, date, findings, and for each operation how it was asked and how it answered."""
    file = tmp_path / "probe.json"
    assert cli("probe", "--route", "support", "--yes", "--save", str(file), at=centre).code == 0
    document = json.loads(file.read_text())
    head = {name: document[name] for name in ("format", "version", "simulator", "semantics", "rotation")}
    facts = {"simulator": True, "semantics": "cursor", "rotation": "revoked"}
    assert head == {"format": "puzzel-chat-probe", "version": 1, **facts}
    assert re.fullmatch(r"\d{4}-\d\d-\d\d", document["date"])
    members = {"method", "path", "answer", "status", "content_type", "fields", "differences"}
    assert all(set(row) == members for row in document["operations"].values())
    assert document["operations"]["sendMessage"]["fields"]["/id"] == ["string"]
    observed = read_observed(file, "it")
    assert (observed.simulator, observed.answers["sendMessage"].answer) == (True, "confirmed")


def leaves(value: object) -> Iterator[str]:
    """Every text in a JSON value."""
    if isinstance(value, dict):
        value = list(value.values())
    if isinstance(value, list):
        for one in value:
            yield from leaves(one)
    elif isinstance(value, str):
        yield value


def test_the_file_holds_no_value_of_the_service(
    cli: Run, centre: Sandbox, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """No token, id, word, name or address that went over the wire or that the contact centre knows is in it."""
    values: set[str] = {centre.base_url, centre.identity_url, centre.solution_id, centre.visual_queue_id, "127.0.0.1"}
    real: Callable[..., Reply] = _probe.Recorder.send

    def listen(recorder: Any, request: Request, access: str | None, within: float | None = None) -> Reply:
        reply = real(recorder, request, access, within)
        values.update(leaves(json.loads(reply.body or b"null")))
        values.update([access] if access else [])
        return reply

    monkeypatch.setattr(_probe.Recorder, "send", listen)
    file = tmp_path / "probe.json"
    token = centre.visitor_token("Kari")
    options = ["--visual-queue-id", centre.visual_queue_id, "--route", "support", "--yes", "--save", str(file)]
    ran = cli("probe", *options, at=centre, env={"PUZZEL_CHAT_VISITOR_ACCESS_TOKEN": token})
    assert ran.code == 0
    for chat, entries in centre.ledger().items():
        texts = [text for entry in entries for text in (entry.id, entry.content, entry.author, entry.client_message_id)]
        values.update(text for text in (chat, token, *texts) if text)
    assert len(values) > 30
    saved = file.read_text()
    assert [value for value in values if re.search(rf"(?<!\w){re.escape(value)}(?!\w)", saved)] == []
    assert [value for value in values if value in ran.out and len(value) > 30] == []
    assert token not in ran.out + ran.err


def test_a_service_that_is_not_there_is_exit_code_1(cli: Run, tmp_path: Path) -> None:
    """Nothing could be asked: one sentence, no table and no file."""
    file = tmp_path / "probe.json"
    ran = cli("probe", "--base-url", "http://127.0.0.1:1", "--solution-id", "1", "--save", str(file))
    assert (ran.code, ran.out) == (1, "")
    assert "127.0.0.1" in one_error(ran)
    assert list(tmp_path.glob("*probe*")) == []


@pytest.mark.usefixtures("no_waits")
def test_a_host_that_is_not_there_is_told_and_the_rest_is_probed(cli: Run, centre: Sandbox) -> None:
    """The identity host answers as it should, the other one cannot be reached: exit code 1."""
    ran = cli("probe", "--json", "--base-url", "http://127.0.0.1:1", at=centre)
    rows = {row["operation"]: row for row in map(json.loads, ran.out.splitlines()) if "operation" in row}
    assert ran.code == 1
    assert rows["connectToken"]["answer"] == rows["authenticateVisitor"]["answer"] == "confirmed"
    assert rows["pollConversation"]["answer"] == "unclear"
    assert "127.0.0.1" in rows["pollConversation"]["told"]


def test_a_refused_token_names_the_setting(cli: Run) -> None:
    """Settings are wrong, which says nothing of the service: exit code 2, and one request for a token."""
    with Sandbox(pace=0, client_secret="right") as centre:
        ran = cli("probe", at=centre)
        assert (ran.code, centre.stats().requests) == (2, {"connectToken": 1})
    assert "--solution-id" in one_error(ran)
    assert "client_id" in one_error(ran)


@pytest.mark.parametrize("number", quick_only([signal.SIGINT], [signal.SIGINT, signal.SIGTERM]))
def test_interrupted_in_the_middle_it_ends_the_chat(on_pipe: Start, tmp_path: Path, number: signal.Signals) -> None:
    """The chat is ended at the service, what was found stays above, nothing is saved; exit code 130."""
    file = tmp_path / "probe.json"
    with Sandbox(script="silent", pace=0) as centre:
        program = on_pipe("probe", "--route", "silent", "--yes", "--save", str(file), at=centre)
        eventually(lambda: centre.stats().requests.get("getRequestStatus", 0) > 0)
        program.process.send_signal(number)
        shown = program.expect("-- stopped")
        assert program.wait() == 130
        stats = centre.stats()
    assert "confirmed  documented POST /connect/token" in shown
    assert "no test chat was left open" in program.seen
    assert (stats.routed, stats.ended, stats.left_queue) == (1, 1, 1)
    assert list(tmp_path.glob("*probe*")) == []
    assert "Traceback" not in shown + program.seen


def test_a_chat_that_people_see_needs_leave(cli: Run, centre: Sandbox) -> None:
    """Where nobody can be asked, --route without --yes is wrong usage, and nothing is sent."""
    ran = cli("probe", "--route", "support", at=centre)
    assert (ran.code, "add --yes" in one_error(ran), centre.stats().total_requests) == (2, True, 0)


@pytest.mark.parametrize(
    ("typed", "code", "chats"),
    quick_only([("y\r", 0, 1)], [("\r", 0, 0), ("n\r", 0, 0), ("y\r", 0, 1), ("\x03", 130, 0)]),
)
def test_the_question_on_a_terminal(on_terminal: Start, centre: Sandbox, typed: str, code: int, chats: int) -> None:
    """Yes holds the chat; no, nothing and Ctrl-C ask the service nothing."""
    program = on_terminal("probe", "--route", "support", at=centre)
    program.expect("test chat in queue support; people there will see it. Go on? [y/N]")
    program.write(typed)
    assert program.wait() == code
    stats = centre.stats()
    assert (stats.routed, stats.ended, stats.total_requests > 0) == (chats, chats, chats > 0)


def test_a_place_that_cannot_be_written_is_told_first(cli: Run, centre: Sandbox, tmp_path: Path) -> None:
    """Before the service is asked anything; a file that is there is replaced only by a whole one."""
    for place in (tmp_path, tmp_path / "nowhere" / "probe.json"):
        ran = cli("probe", "--save", str(place), at=centre)
        assert (ran.code, "--save" in one_error(ran), centre.stats().total_requests) == (2, True, 0)
    file = tmp_path / "probe.json"
    file.write_text("before")
    assert cli("probe", "--identity-url", "http://127.0.0.1:1", "--save", str(file), at=centre).code == 1
    assert file.read_text() == "before"
    assert cli("probe", "--save", str(file), at=centre).code == 0
    assert json.loads(file.read_text())["format"] == "puzzel-chat-probe"
    assert {one.name for one in tmp_path.iterdir()} == {"probe.json", "typed"}


@pytest.mark.parametrize(
    ("env", "words"),
    [
        ({"ACCESS_TOKEN": "t0ken", "ID_TOKEN": "t0ken"}, "not both"),
        ({"ACCESS_TOKEN": "t0ken", "PROVIDER_ID": "first"}, "is not a whole number"),
    ],
)
def test_a_visitor_of_the_environment_is_checked_first(
    cli: Run, centre: Sandbox, env: dict[str, str], words: str
) -> None:
    """The variable is named, the token is not shown, and nothing is sent."""
    ran = cli("probe", at=centre, env={f"PUZZEL_CHAT_VISITOR_{name}": text for name, text in env.items()})
    assert (ran.code, words in one_error(ran), centre.stats().total_requests) == (2, True, 0)
    assert "t0ken" not in ran.out + ran.err


def test_a_visitor_of_the_environment_is_signed_in(cli: Run, centre: Sandbox) -> None:
    """By either token, at the provider that is named; the token is never shown."""
    for name in ("ACCESS_TOKEN", "ID_TOKEN"):
        token = centre.visitor_token("Ada", provider_id=2)
        env = {f"PUZZEL_CHAT_VISITOR_{name}": token, "PUZZEL_CHAT_VISITOR_PROVIDER_ID": "2"}
        ran = cli("probe", "--json", at=centre, env={"PUZZEL_CHAT_VISITOR_ACCESS_TOKEN": "", **env})
        rows = {row["operation"]: row for row in map(json.loads, ran.out.splitlines()) if "operation" in row}
        assert (rows["authenticateVisitor"]["status"], ran.code) == (200, 0)
        assert token not in ran.out + ran.err
