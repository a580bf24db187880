"""A cassette of a service that nobody here wrote: it plays, it tells nothing, and what it hides depends on no order."""

from __future__ import annotations

import base64
import codecs
import gzip
import json
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, quote

import pytest
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st
from vcr.request import Request  # type: ignore[import-untyped]  # vcrpy has no types

from puzzel_chat import operations
from puzzel_chat.testing import HOST, IDENTITY_HOST, Scrubber, cassette_config
from puzzel_chat.testing._cassette import ReadableYaml, same_body
from puzzel_chat.testing._places import KINDS
from puzzel_chat.testing._scrub import ELSEWHERE, FIRST_FIGURE
from quick import quick_only
from replay.playing import KINDS as CLIENTS
from replay.stranger import CHAT, Script, packed, recorded, replayed, shape

FORM, JSON = "application/x-www-form-urlencoded", "application/json"
TENANT = "https://tenant.example"


def dumped(document: Any) -> bytes:
    """JSON with every letter as it is."""
    return json.dumps(document, ensure_ascii=False).encode()


CARD = {"type": "Card", "code": "X-1", "requestId": "x-2", "cards": [{"id": "x-3", "status": "Sold", "n": 5}]}
COINCIDENCES = {
    "a queue named like its id": Script(queue_name="27504"),
    "one id for both": Script(queue_key="27504"),
    "all ids and names the same": Script(
        queue_key="27504", queue_name="27504", agent={"id": "27504", "displayName": "27504"}, lines=("27504",)
    ),
    "an agent named like the customer": Script(agent={"id": "Ada", "displayName": "Ada"}, queue_name="Ada"),
    "an agent who is a number": Script(agent={"id": 27504, "displayName": None}),
    "an agent with an id only": Script(agent={"id": "ag-1"}),
    "an id of one letter": Script(queue_key="a", visual_queue_id="i", queue_name="id", agent={"id": "text"}),
    "ids that are words of the contract": Script(
        queue_key="conversation", visual_queue_id="queue", queue_name="info", agent={"id": "Text", "displayName": CHAT}
    ),
    "ids within ids": Script(queue_key="q_support_desk", visual_queue_id="q_support", queue_name="support"),
    "an id that is the solution's": Script(queue_key="12345", visual_queue_id="12345"),
    "a key that is the client's id": Script(queue_key="oneplatform_engage", queue_name="oneplatform_engage"),
    "ids to be quoted": Script(queue_key="q å?&#%20+;=", visual_queue_id="27 504:@~", queue_name="27 504:@~"),
    "empty names": Script(queue_name="", agent={"id": "", "displayName": ""}, lines=("",), options=("",)[:0]),
    "the agent says the customer's words first": Script(lines=("Thank you, goodbye.", "Thank you, goodbye")),
    "the agent says the same in two ways": Script(lines=("<p>Hei, hvem er du?</p>", "Hei,<br>hvem er du?")),
    "choices that are written in HTML": Script(options=("Levering &amp; retur", "<b>Tea</b> &amp; cake")),
    "short choices": Script(options=("No", "Yes")),
    "a choice that the test says, too": Script(options=("Thank you, goodbye",)),
    "items of unknown types": Script(items=(CARD, {**CARD, "n": 6}, {**CARD, "n": 7}, 17, "x", None, [[1.5]])),
    "a cursor of text": Script(cursor=lambda number: f"c-{number}"),
    "a cursor of digits": Script(cursor=str),
    "a page instead of a problem": Script(problem=b"<html><title>27504</title>No queue 4040 for Ada</html>"),
    "a problem in half": Script(problem=b'{"title":"27504'),
    "gzip": Script(encode=packed, headers={"Content-Encoding": "gzip"}),
    "GZIP": Script(encode=packed, headers={"Content-Encoding": "GZIP"}),
    "x-gzip": Script(encode=packed, headers={"Content-Encoding": "x-gzip"}),
    "gzip, identity": Script(encode=packed, headers={"Content-Encoding": "gzip, identity"}),
    "identity": Script(headers={"Content-Encoding": "Identity"}),
    "a byte order mark": Script(encode=lambda document: codecs.BOM_UTF8 + dumped(document)),
    "two bytes for a letter": Script(encode=lambda document: json.dumps(document).encode("utf-16")),
    "lone surrogates": Script(junk={"\ud83d": "\udca9"}, lines=("\ud83d",)),
    "deep": Script(junk={"deep": json.loads("[" * 20 + "]" * 20)}),
}
QUICK = ["a queue named like its id", "items of unknown types"]


@pytest.mark.parametrize("name", quick_only(QUICK, COINCIDENCES))
def test_whatever_was_recorded_plays(name: str, tmp_path: Path) -> None:
    """Both clients are told the same as when it was recorded, twice, whatever ids, names and encodings there were."""
    path, script = tmp_path / "tape.puzzel.yaml", COINCIDENCES[name]
    live = shape(recorded(path, script), equal=False)
    for kind in (*CLIENTS, *CLIENTS):
        assert shape(replayed(path, script, kind), equal=False) == live


@pytest.mark.parametrize("kind", CLIENTS)
@pytest.mark.parametrize("name", ["Tider Nord", "t-1"])
def test_an_id_that_the_test_wrote_plays(kind: str, name: str, tmp_path: Path) -> None:
    """An id may be written in the test and come in a reply, before or after, also where it is somebody's name."""
    path, script = tmp_path / "tape.puzzel.yaml", Script(queue_name="t-1")
    live = shape(recorded(path, script, kind, time_id=name), equal=False)
    assert shape(replayed(path, script, kind, time_id=name), equal=False) == live


def test_an_id_may_be_replaced_whatever_else_it_means(tmp_path: Path) -> None:
    """What `replace` names is replaced as an id, not where it is a count, a word of the API or a part of another."""
    path, script = tmp_path / "tape.puzzel.yaml", Script(queue_key="conversation", queue_name="27504")
    changes = cassette_config(replace={"27504": "1", "conversation": "support"})
    hooks = {name: changes[name] for name in ("before_record_request", "before_record_response")}
    live = shape(recorded(path, script, **hooks), equal=False)
    written = path.read_text()
    assert f"{HOST}/api/queue/info/1\n" in written
    assert f"{HOST}/api/conversation/{CHAT}/route/support\n" in written
    assert "queueSize: 27504" in written
    plays = Script(queue_key="support", visual_queue_id="1")
    assert shape(replayed(path, plays, "sync"), equal=False) == live


# It tells nothing.

_MARK = "pl4nt"


texts = st.builds(
    lambda before, number, after: f"{before}{_MARK}{number:04x}9q{after}",
    st.text(max_size=4),
    st.integers(0, 2**16 - 1),
    st.sampled_from(["", "é&<b>", '"\\', "@kari.example", " Nordmann\n", "\U0001f600", "/../?a=b"]),
)
plants = texts | st.integers(7_700_000_000, 7_799_999_999) | st.floats(77e8, 77.9e8)
"""What can be found again, in any surroundings."""


def trees() -> st.SearchStrategy[Any]:
    """Documents that nobody knows, with plants for values, and for some names."""
    names = st.sampled_from(["id", "code", "status", "type", "token", "customerName", "value", "name", "secret"])
    return st.recursive(
        plants | st.booleans() | st.none(),
        lambda inner: st.lists(inner, max_size=3) | st.dictionaries(names | texts, inner, max_size=4),
        max_leaves=8,
    )


def junk() -> st.SearchStrategy[dict[str, Any]]:
    """Fields that no document of ours has."""
    return st.dictionaries(st.sampled_from(["extra", "customerInfo", "ssn_2", "apiKey"]), trees(), max_size=3)


people = st.fixed_dictionaries(
    {"id": plants}, optional={"displayName": texts, "email": texts, "phone": plants, "skills": trees()}
)
items = st.builds(
    lambda kind, inner, more: {"type": kind, **more, **({"cards": inner} if inner else {})},
    st.sampled_from(["Card", "Survey", 7, None, ["Text"]]) | texts,
    trees(),
    st.fixed_dictionaries({}, optional=dict.fromkeys(("code", "event", "requestId", "size", "content"), plants)),
)
problems = st.fixed_dictionaries(
    {},
    optional=dict.fromkeys(("type", "title", "detail", "instance", "traceId", "code"), texts) | {"errors": trees()},
)
scripts = st.builds(
    Script,
    queue_name=texts,
    agent=people,
    lines=st.lists(texts, min_size=1, max_size=2).map(tuple),
    options=st.lists(texts, min_size=1, max_size=2).map(tuple),
    items=st.lists(items, max_size=3).map(tuple),
    junk=junk(),
    problem=problems | texts.map(lambda text: f"<html>{text}".encode("utf-8", "replace")),
    headers=st.just(
        {
            "Set-Cookie": f"session={_MARK}c",
            "Server": f"{_MARK}s",
            "X-Request-Id": f"{_MARK}r",
            "Retry-After": f"{_MARK}a",
            "X-Internal": f"{_MARK}i",
            "Content-Type": f"application/json; charset=utf-8; for={_MARK}t",
        }
    ),
    cursor=st.sampled_from([int, lambda number: f"{_MARK}{number}", lambda number: f"{number}/{_MARK}+=="]),
    secret=st.just(f"{_MARK}-secret-"),
)


# An example takes a second: a failing one is shown as it was found.
LONG_STEPS = settings(
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
    phases=(Phase.explicit, Phase.reuse, Phase.generate),
)


def found(written: str) -> set[str]:
    """Look for plants in a cassette, as they are and as base64, whichever way the bytes fall."""
    near = {written[max(0, at.start() - 40) : at.end() + 20] for at in re.finditer("(?i)pl4nt|7[.]?7\\d{7}", written)}
    coded = [base64.b64encode(b"x" * shift + _MARK.encode()).decode() for shift in range(3)]
    whole = [
        code[begin : (shift + len(_MARK)) * 8 // 6]
        for shift, (code, begin) in enumerate(zip(coded, (0, 2, 3), strict=True))
    ]
    return near | {code for code in whole if code in written}


@pytest.mark.slow
@pytest.mark.parametrize("kind", CLIENTS)
@settings(LONG_STEPS, max_examples=30)
@given(script=scripts)
def test_no_word_of_a_stranger_is_told(kind: str, tmp_path: Path, script: Script) -> None:
    """Nothing that was planted is in the file, and the chat plays to values of the same structure."""
    _tells_nothing(kind, tmp_path, script)


PLANTED = Script(
    queue_name=f"{_MARK} Nord",
    agent={"id": f"{_MARK}-77", "displayName": f"{_MARK} Berg", "email": f"{_MARK}@kari.example", "phone": 7712345678},
    lines=(f"<p>I am {_MARK} &amp; co</p>",),
    options=(f"{_MARK} & co",),
    items=({"type": "Card", "code": f"{_MARK}1", "cards": [{"id": f"{_MARK}2", f"{_MARK}3": {"id": 7712345678.5}}]},),
    junk={"apiKey": f"{_MARK}4", "customerInfo": {"name": f"{_MARK}5", "value": f"{_MARK}6"}, "ssn": 7712345678},
    problem={"title": f"{_MARK}7", "detail": f"{_MARK}8", "instance": f"/{_MARK}9", "traceId": f"{_MARK}0"},
    headers={"Set-Cookie": f"session={_MARK}", "X-Request-Id": f"{_MARK}r", "Content-Type": f"{JSON}; x={_MARK}"},
    cursor=lambda number: f"{_MARK}+{number}/==",
    secret=f"{_MARK}-secret-",
)


@pytest.mark.parametrize("kind", quick_only(["sync"], CLIENTS))
def test_nothing_that_was_planted_is_told(kind: str, tmp_path: Path) -> None:
    """Of one stranger, who has something to hide everywhere, nothing is in the file, and the chat plays."""
    _tells_nothing(kind, tmp_path, PLANTED)


@settings(max_examples=25)
@given(st.lists(items, max_size=3), junk(), people, problems)
def test_no_reply_tells_anything(items: list[Any], junk: dict[str, Any], person: dict[str, Any], problem: Any) -> None:
    """Of documents that nobody knows, in a poll, a search or a problem, no planted value or name is left."""
    scrubber = Scrubber()
    for document in ({"messages": items, **junk}, {"agent": person, "author": person, **junk}, problem, [junk, person]):
        assert found(repr(told(scrubber, document))) == set()


def _tells_nothing(kind: str, folder: Path, script: Script) -> None:
    path = folder / "tape.puzzel.yaml"
    path.unlink(missing_ok=True)
    live = shape(recorded(path, script, kind), equal=False)
    assert found(path.read_text()) == set()
    for player in CLIENTS:
        assert shape(replayed(path, script, player), equal=False) == live


def test_plants_are_found() -> None:
    """The search above can fail."""
    assert len(found(f"a {_MARK}1 b")) == 1
    assert found("x: 7712345678.0")
    assert found(base64.b64encode(b"for pl4nt only").decode())


# What is hidden depends on no order.


def asked(scrubber: Scrubber, body: Any = None, uri: str = f"{TENANT}/x", **headers: str) -> Request:
    """Scrub a request."""
    written = body.encode() if isinstance(body, str) else dumped(body) if body is not None else b""
    kind = FORM if isinstance(body, str) else JSON
    return scrubber.request(Request("POST", uri, written, {"content-type": kind, **headers}))


def told(scrubber: Scrubber, body: Any, status: int = 200, **headers: str) -> dict[str, Any]:
    """Scrub a reply."""
    written = body if isinstance(body, bytes) else dumped(body)
    listed = {name.replace("_", "-"): [value] for name, value in {"content_type": JSON, **headers}.items()}
    message = {"status": {"code": status, "message": "X"}, "headers": listed, "body": {"string": written}}
    return scrubber.response(message)


def unnumbered(message: Any) -> str:
    """Give a message with every stand-in the same."""
    return re.sub(r"scrubbed-([a-zA-Z_-]+)-\d+|990000000\d{6}", "(hidden)", repr(message))


HISTORY: list[Callable[[Scrubber], Any]] = [
    lambda scrubber: told(scrubber, {"id": "27504", "name": "27504", "extra": "Kari"}),
    lambda scrubber: told(scrubber, {"access_token": "27504", "refresh_token": "Kari", "visitor_id": "support"}),
    lambda scrubber: asked(scrubber, "grant_type=visitor&client_id=27504&tenant_id=support&client_secret=Kari"),
    lambda scrubber: asked(scrubber, [{"name": "customerName", "value": "Kari"}, {"name": "x", "value": "27504"}]),
    lambda scrubber: asked(scrubber, {"content": "Hello", "clientMessageId": "support"}),
    lambda scrubber: asked(scrubber, {"idToken": "Kari", "codeChallenge": "27504"}),
    lambda scrubber: told(scrubber, {"messages": [{"type": "Text", "content": "support", "author": {"id": "Hello"}}]}),
    lambda scrubber: told(scrubber, {"cursor": "support"}, x_request_id="Hello"),
]
LATER: list[Callable[[Scrubber], Any]] = [
    lambda scrubber: asked(scrubber, uri=f"{TENANT}/api/queue/info/27504").uri,
    lambda scrubber: asked(scrubber, uri=f"{TENANT}/api/conversation/Kari/route/support").uri,
    lambda scrubber: asked(scrubber, "client_id=Kari&tenant_id=27504&refresh_token=Hello").body,
    lambda scrubber: asked(scrubber, {"idToken": "support", "codeChallenge": "Hello"}).body,
    lambda scrubber: asked(scrubber, authorization="Bearer Hello").headers["authorization"],
    lambda scrubber: told(scrubber, {"id": "27504", "name": "27504", "timeId": "support"}),
    lambda scrubber: told(scrubber, {"requestId": "Kari", "agent": {"id": "27504", "displayName": "Kari"}}),
    lambda scrubber: told(scrubber, {"messages": [{"type": "Text", "content": "Hello", "author": {"id": "Kari"}}]}),
    lambda scrubber: told(
        scrubber, {"messages": [{"type": "Odd", "id": "27504", "x": {"id": "Kari", "code": "support"}}]}
    ),
    lambda scrubber: told(scrubber, {"title": "Hello", "detail": "Kari", "code": "QueueFull"}, 409),
]


@pytest.mark.parametrize("later", range(len(LATER)))
@settings(max_examples=25)
@given(before=st.lists(st.sampled_from(HISTORY), max_size=6))
def test_what_is_hidden_does_not_depend_on_what_came_before(
    later: int, before: list[Callable[[Scrubber], Any]]
) -> None:
    """The same values of a message are hidden, whatever the recording began with."""
    fresh, used = Scrubber(), Scrubber()
    for step in before:
        step(used)
    assert unnumbered(LATER[later](used)) == unnumbered(LATER[later](fresh))


@given(before=st.lists(st.sampled_from(HISTORY), max_size=6))
def test_credentials_are_numbered_by_their_request_alone(before: list[Callable[[Scrubber], Any]]) -> None:
    """Other credentials, in another order, come to the same request."""
    used = Scrubber()
    for step in before:
        step(used)
    body = asked(used, "grant_type=visitor&client_id=new&tenant_id=newer&code_verifier=newest").body
    assert parse_qs(body.decode()) == {
        "grant_type": ["visitor"],
        "client_id": ["scrubbed-client_id-1"],
        "tenant_id": ["scrubbed-tenant_id-1"],
        "code_verifier": ["scrubbed-code_verifier-1"],
    }


def test_one_scrubber_may_serve_many_cassettes(tmp_path: Path) -> None:
    """A chat that was recorded after another with the same configuration plays alone."""
    config = {name: value for name, value in cassette_config().items() if name.startswith("before")}
    for number in (1, 2):
        path, script = tmp_path / f"{number}.puzzel.yaml", Script(queue_name=f"Nord {number}")
        recorded(path, script, **config)
        replayed(path, script, "sync")


@pytest.mark.parametrize("kind", ["sync", "async"])
def test_two_chats_in_one_cassette(kind: str, tmp_path: Path) -> None:
    """A cassette may be recorded on, by another process: what is new does not pass for what was there."""
    path = tmp_path / "tape.puzzel.yaml"
    recorded(path, Script(), kind)
    first = len(ReadableYaml.deserialize(path.read_text())["interactions"])
    recorded(path, Script(queue_key="q_other", visual_queue_id="2", queue_name="Sør", secret="other-"), kind)
    both = ReadableYaml.deserialize(path.read_text())["interactions"]
    hidden = [
        set(re.findall(r"scrubbed-(?:words|access_token)-\d+", repr(part))) for part in (both[:first], both[first:])
    ]
    assert "scrubbed-access_token-2" in hidden[1]
    assert "scrubbed-words-1" not in hidden[1]


def test_a_token_of_a_store_plays() -> None:
    """A token that no reply brought is the same request in a replay, whichever others were there before."""
    recording, replay = Scrubber(), Scrubber()
    told(recording, {"access_token": "first", "refresh_token": "first-r"})
    kept = asked(recording, "grant_type=refresh_token&refresh_token=stored", authorization="Bearer stored-a")
    assert asked(recording, authorization="Bearer first").headers["authorization"] == "Bearer scrubbed-access_token-1"
    again = asked(replay, "grant_type=refresh_token&refresh_token=mine", f"{HOST}/x", authorization="Bearer mine-a")
    assert (kept.body, kept.headers["authorization"]) == (again.body, again.headers["authorization"])


# Single places.

PERSON = {"role": 1, "id": "agent-77", "displayName": None}


@pytest.mark.parametrize(
    ("item", "hidden"),
    [
        ({"type": "Text", "author": {"role": 1, "id": "x-77"}}, "x-77"),
        ({"type": "Text", "author": {"role": 2, "id": 774433}}, "774433"),
        ({"type": "Options", "options": [{"id": "x-77"}]}, "x-77"),
        ({"type": "Card", "code": "x-77"}, "x-77"),
        ({"type": "Card", "requestId": "x-77"}, "x-77"),
        ({"type": "Card", "event": "Kari"}, "Kari"),
        ({"type": "Card", "card": {"id": "x-77", "type": "Kari", "status": "Sold"}}, "x-77|Kari|Sold"),
        ({"type": "Card", "cards": {"x-77": {"x 77": 1}, "Kari": []}}, "x.77|Kari"),
        ({"type": "Text", "ticket": {"id": 774433}}, "774433"),
        ({"type": "x-77", "content": "Kari"}, "x-77|Kari"),
        ({"type": "Event", "event": "Kari left"}, "Kari"),
        ({"type": "Text", "sentAt": "when Kari came"}, "Kari"),
        ({"type": "File", "contentType": "text/plain; name=Kari"}, "Kari"),
        ({"type": "Text", "eventId": "+47 774433"}, "774433"),
        ({"type": "Card", "session-token-x77": "abc", "Kari": "abc"}, "x77|Kari|abc"),
        ({"type": "Card", "author/role": "Kari", "messages/*/id": "x-77", "*": {"id": "x-77"}}, "x-77|Kari"),
    ],
)
def test_an_item_keeps_nothing_that_is_not_known(item: dict[str, Any], hidden: str) -> None:
    """Ids of people and choices, codes, and names that look like data are hidden, in items of any type."""
    written = told(Scrubber(), {"messages": [{"id": "m-1", "conversationId": CHAT, **item}], "cursor": 1})
    (shown,) = json.loads(written["body"]["string"])["messages"]
    assert (shown["id"], shown["conversationId"]) == ("m-1", CHAT)
    assert not re.search(hidden, json.dumps(shown))


@pytest.mark.parametrize("item", [{"type": "UserSurvey"}, {"type": "SURVEY_SENT"}, *({"type": kind} for kind in KINDS)])
def test_the_type_of_an_item_is_told(item: dict[str, Any]) -> None:
    """A type in letters is a word of the API, and what a recording of an unknown service is looked at for."""
    assert json.loads(told(Scrubber(), {"messages": [item]})["body"]["string"])["messages"] == [item]


def _document(place: str, value: Any) -> Any:
    document = value
    for name in reversed(place.split("/")[1:]):
        document = [document] if name == "*" else {name: document}
    if place.startswith("/messages/*/"):
        kind = {"size": "File", "endedBy": "Event"}.get(place.rpartition("/")[2], "Text")
        document["messages"][0]["type"] = kind
    return document


_PLAIN = [
    (place, kind)
    for operation in operations()
    for place, kind in operation.reply.items()
    if kind.partition(" ")[0] in ("integer", "number", "boolean")
]


@pytest.mark.parametrize(("place", "kind"), sorted(set(_PLAIN)))
def test_figures_of_the_document_stay(place: str, kind: str) -> None:
    """Every number and truth that the API's document names is as it was, so that a replay counts and waits the same."""
    document = _document(place, True if kind.startswith("boolean") else 7)
    assert json.loads(told(Scrubber(), document)["body"]["string"]) == document


@pytest.mark.parametrize("operation", operations(), ids=lambda operation: operation.name)
def test_names_of_the_document_stay(operation: Any) -> None:
    """Every field that the API's document names is read in a replay."""
    for place in operation.reply:
        shown = json.loads(told(Scrubber(), _document(place, None))["body"]["string"])
        assert shown == _document(place, None)


@pytest.mark.parametrize(
    ("location", "shown"),
    [
        (f"{TENANT}/api/time/t-1/", f"{HOST}/api/time/t-1/"),
        (f"{TENANT}/eu/connect/token?code=abc#x", f"{IDENTITY_HOST}/connect/token"),
        ("/api/time/t-1/", "/api/time/t-1/"),
        ("https://uk.example/api/time/t-1", f"{ELSEWHERE}/api/time/t-1"),
        ("https://login.example/authorize/Kari?client_id=abc", f"{ELSEWHERE}/scrubbed"),
        (f"{TENANT}/accounts/Kari", f"{HOST}/scrubbed"),
        ("Kari", "/scrubbed"),
        ("https://[Kari", ELSEWHERE),
    ],
)
def test_where_a_redirect_leads_is_told_without_secrets(location: str, shown: str) -> None:
    """Whether it leads here or elsewhere, and to which path of the API, but no query and no other path."""
    scrubber = Scrubber()
    asked(scrubber, uri=f"{TENANT}/api/time/t-1")
    assert told(scrubber, b"", 307, location=location)["headers"]["location"] == [shown]
    assert "location" not in told(scrubber, b"", 201, location=location)["headers"]


@pytest.mark.parametrize(
    ("header", "value", "shown"),
    [
        ("retry_after", "3", ["3"]),
        ("retry_after", "Mon, 05 Jan 2026 09:00:00 GMT", ["Mon, 05 Jan 2026 09:00:00 GMT"]),
        ("retry_after", "ask Kari", None),
        ("x_request_id", "00-abc", ["scrubbed-request_id-1"]),
        ("content_type", "text/html; charset=utf-8; x=Kari", ["text/html; charset=utf-8"]),
        ("set_cookie", "a=Kari", None),
    ],
)
def test_headers_are_kept_only_as_far_as_they_are_read(header: str, value: str, shown: list[str] | None) -> None:
    """A header that the client reads is kept in a form that it reads, and nothing more."""
    headers = told(Scrubber(), {}, 200, **{header: value})["headers"]
    assert headers.get(header.replace("_", "-")) == shown


@pytest.mark.parametrize(("status", "shown"), [(200, "OK"), (404, "Not Found"), (599, "")])
def test_the_phrase_of_a_status_is_the_standards(status: int, shown: str) -> None:
    """A service may write anything beside the number of a status."""
    assert told(Scrubber(), {}, status)["status"] == {"code": status, "message": shown}


@pytest.mark.parametrize("encoding", ["gzip", "GZIP", "x-gzip", "gzip, identity"])
def test_a_body_that_is_no_gzip_fails_in_a_replay_too(encoding: str) -> None:
    """What could not be unpacked is not told, and cannot be unpacked from the cassette."""
    written = told(Scrubber(), b"Kari", content_encoding=encoding)
    assert written["headers"]["content-encoding"] == ["gzip"]
    assert written["body"]["string"] == b"scrubbed"
    whole = told(Scrubber(), gzip.compress(b'{"id":"7"}'), content_encoding=encoding)
    assert (whole["headers"], whole["body"]["string"]) == ({"content-type": [JSON]}, b'{"id":"7"}')


@pytest.mark.parametrize("depth", [150, 900, 100_000])
def test_what_is_too_deep_is_hidden_as_a_whole(depth: int) -> None:
    """No depth of a document makes the recording fail, and nothing far below is kept."""
    written = told(Scrubber(), b'{"id":"7","more":' + b"[" * depth + b'"Kari"' + b"]" * depth + b"}")
    assert b"Kari" not in written["body"]["string"]
    assert written["body"]["string"].startswith(b'{"id":"7"' if depth == 150 else b"{")


def test_a_loaded_reply_stays_as_it_was_decided() -> None:
    """An echo that was written down before its message, as requests at once may be, is not hidden when loaded."""
    scrubber = Scrubber()
    asked(scrubber, uri=f"{HOST}/api/conversation")
    echo = {"messages": [{"type": "Text", "author": {"role": 0}, "content": "My own words"}]}
    assert told(scrubber, echo)["body"]["string"] == dumped(echo)


def test_new_numbers_go_on_after_those_of_the_cassette() -> None:
    """What is recorded onto a cassette has stand-ins of its own."""
    scrubber = Scrubber()
    asked(scrubber, uri=f"{HOST}/api/conversation")
    told(scrubber, {"a": "scrubbed-words-7", "token": "scrubbed-token-2", "n": FIRST_FIGURE + 4})
    asked(scrubber, uri=f"{TENANT}/api/conversation")
    shown = json.loads(told(scrubber, {"a": "Kari", "token": "abc", "n": 5})["body"]["string"])
    assert shown == {"a": "scrubbed-words-8", "token": "scrubbed-token-3", "n": FIRST_FIGURE + 5}


@given(trees())
def test_scrubbing_a_reply_twice_changes_nothing(document: Any) -> None:
    """A stand-in is a stand-in, also for a scrubber that has not made it."""
    once = told(Scrubber(), {"messages": [document], "more": document})
    assert told(Scrubber(), once["body"]["string"])["body"] == once["body"]


@given(trees() | st.text(), st.text())
def test_a_cassette_gives_back_what_was_written(document: Any, text: str) -> None:
    """Any text of the test's own, in a body or a form, is the same after it was written down and read."""
    bodies = [json.dumps(document, separators=(",", ":")), f"a={quote(text, errors='replace')}", ""]
    for body in bodies:
        request = {"method": "POST", "uri": HOST, "headers": {"a": ["b"]}, "body": body}
        reply = {"status": {"code": 200, "message": "OK"}, "headers": {"a": ["b"]}, "body": {"string": body}}
        tape = {"version": 1, "interactions": [{"request": request, "response": reply}]}
        assert ReadableYaml.deserialize(ReadableYaml.serialize(tape).encode().decode()) == tape


@pytest.mark.parametrize(
    ("asked_for", "kept", "fits"),
    [
        ({"content": "Yes"}, {"content": "scrubbed-words-3"}, True),
        ({"content": "scrubbed-words-3"}, {"content": "Yes"}, True),
        ({"content": "You said: Yes"}, {"content": "You said: scrubbed-words-3"}, True),
        ({"content": "scrubbed-words-4"}, {"content": "scrubbed-words-3"}, True),
        ({"content": "You wrote: Yes"}, {"content": "You said: scrubbed-words-3"}, False),
        ({"content": "Yes"}, {"content": "No"}, False),
        ({"content": "Yes"}, {"text": "scrubbed-words-3"}, False),
        ({"idToken": "scrubbed-idToken-1"}, {"idToken": "scrubbed-idToken-2"}, False),
        ([{"name": "a", "value": "b"}], [{"name": "a", "value": "scrubbed-words-1"}], True),
        ([], [{"name": "a", "value": "scrubbed-words-1"}], False),
        ({"isTyping": True}, {"isTyping": False}, False),
    ],
)
def test_any_words_fit_hidden_ones(asked_for: Any, kept: Any, fits: bool) -> None:
    """A cassette that does not know a text cannot ask for it, but it asks for all that it knows."""
    one, other = (Request("POST", HOST, dumped(body), {"content-type": JSON}) for body in (asked_for, kept))
    if fits:
        same_body(one, other)
    else:
        with pytest.raises(AssertionError):
            same_body(one, other)
