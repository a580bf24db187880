"""Requests: the rows of the table, what each builder sends, and the arguments that are refused."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterator
from io import BytesIO
from pathlib import Path
from typing import Any, cast
from urllib.parse import parse_qs, quote

import pytest
from hypothesis import given
from hypothesis import strategies as st

import puzzel_chat
from documents import also, fixed, values
from puzzel_chat import operations
from puzzel_chat._errors import InvalidArgument
from puzzel_chat._http import Request
from puzzel_chat._models import Customer, Variable, Visitor
from puzzel_chat._settings import Address
from puzzel_chat._transport import COMMON_HEADERS, headers
from puzzel_chat._wire.operations import (
    LONGEST_ID,
    OPERATIONS,
    as_customer,
    as_variables,
    authenticate_request,
    checked_id,
    checked_text,
    download_request,
    encoded,
    end_request,
    poll_request,
    queue_request,
    route_request,
    send_request,
    status_request,
    time_request,
    token_request,
    typing_request,
    upload_request,
)
from puzzel_chat_api.provenance import OPERATIONS as THEIRS

DOCUMENT = Path(__file__).parents[2] / "openapi" / "puzzel-chat.json"
TAKES_AN_ID: list[Callable[[str], Request]] = [
    queue_request,
    time_request,
    status_request,
    end_request,
    lambda one: route_request(one, "q"),
    lambda one: route_request("x", one),
    lambda one: authenticate_request(one, Visitor(id_token="t"), "x"),
    lambda one: send_request(one, "Hello", "m"),
    lambda one: typing_request(one, True),
]


class Nowhere:
    """A file of nothing, and where nothing goes."""

    size, most = 0, 0

    def pieces(self) -> Iterator[bytes]:
        """Nothing."""
        return iter(())

    def passed(self, piece: bytes) -> None:
        """Nobody is told."""

    def begin(self, total: int | None) -> None:
        """Nothing comes."""

    def add(self, piece: bytes) -> None:
        """Nothing is kept."""


def test_every_operation_builds_what_the_document_says() -> None:
    """Each row's request has the method, the path of the document, filled in, and goes to the host of its row."""
    built = {
        request.operation: request
        for request in (
            token_request({"grant_type": "visitor"}),
            authenticate_request("7", Visitor(id_token="t"), "x"),
            queue_request("q"),
            time_request("t"),
            route_request("c", "k"),
            status_request("c"),
            poll_request(None),
            send_request("c", "Hello", "m"),
            typing_request("c", True),
            end_request("c"),
            upload_request("c", Nowhere(), "receipt.pdf", "application/pdf"),
            download_request(
                "c", Address("upload", "https://files.example", "in the message"), "/api/file/q", "", Nowhere()
            ),
        )
    }
    assert set(built) == set(OPERATIONS)
    for name, request in built.items():
        known = THEIRS[name]
        assert request.method == known.method
        assert request.path in {known.path.format(id=one, customerId="7", queueKey="k") for one in "qtc"}
        assert request.host == OPERATIONS[name].host


HOSTS = [("identity", "consumeridp"), ("communication", "commsrv"), ("upload", "contentupload")]


@pytest.mark.parametrize(("host", "kind"), HOSTS)
def test_each_row_goes_to_the_host_that_the_document_names(host: str, kind: str) -> None:
    """The identity hosts give tokens and identify visitors, those for files have files, the others do all else."""
    mine = {name for name, row in OPERATIONS.items() if row.host == host}
    theirs = {name for name, row in THEIRS.items() if all(f"-{kind}.puzzel.com" in server for server in row.servers)}
    assert mine == theirs
    assert ("connectToken" in mine) == ("authenticateVisitor" in mine) == (host == "identity")
    assert {row.host for row in operations() if row.name in mine} == {host}


def test_the_rows_the_table_and_the_document_are_the_same_operations() -> None:
    """What the facade uses, what was generated and what the document holds do not drift apart, in either direction."""
    document = json.loads(DOCUMENT.read_text(encoding="utf-8"))
    found = {
        operation["operationId"]: (method.upper(), path, operation["x-provenance"])
        for path, methods in document["paths"].items()
        for method, operation in methods.items()
        if isinstance(operation, dict) and "operationId" in operation
    }
    assert found == {row.operation_id: (row.method, row.path, row.provenance) for row in THEIRS.values()}
    assert set(OPERATIONS) == set(THEIRS) == set(found)
    assert all(name == row.name for name, row in OPERATIONS.items())
    assert all(name == row.operation_id for name, row in THEIRS.items())


def test_what_we_know_of_each_operation_is_public() -> None:
    """`operations()` tells provenance and a note for each, and which method of ours uses it."""
    told = {row.name: row for row in operations()}
    assert set(told) == set(OPERATIONS)
    for row in told.values():
        assert row.provenance in ("documented", "observed", "assumed", "confirmed")
        assert row.note.endswith(".")
        kind, _, method = row.used_by.partition(".")
        assert callable(getattr(getattr(puzzel_chat, kind), method))
    assert told["connectToken"].provenance == "documented"
    assert told["sendMessage"].provenance == "assumed"


def test_repeatable_is_what_may_be_done_twice() -> None:
    """Only looking, saying who one is, typing, ending, and a file that nobody sees yet are the same when done twice."""
    assert {row.name for row in OPERATIONS.values() if row.repeatable} == {
        "authenticateVisitor",
        "getQueueInfo",
        "getTimeInfo",
        "getRequestStatus",
        "sendTyping",
        "endConversation",
        "uploadFile",
        "downloadFile",
    }


def test_a_token_request_is_a_form_with_every_field() -> None:
    """OAuth wants a form (RFC 6749 section 4.4.2), and fields that the document does not name go along."""
    sent = token_request({"grant_type": "visitor", "client_id": "ø&=", "tenant_id": "7", "audience": "chat x"})
    assert sent.headers["Content-Type"] == "application/x-www-form-urlencoded"
    assert sent.body is not None
    assert parse_qs(sent.body.decode()) == {
        "grant_type": ["visitor"],
        "client_id": ["ø&="],
        "tenant_id": ["7"],
        "audience": ["chat x"],
    }


@pytest.mark.parametrize(
    ("visitor", "query", "body"),
    [
        (Visitor(access_token="t"), "", {"accessToken": "t"}),
        (Visitor(id_token="t"), "", {"idToken": "t"}),
        (Visitor(id_token="t", provider_id=3), "providerId=3", {"idToken": "t"}),
        (Visitor(id_token="t", provider_id=0), "providerId=0", {"idToken": "t"}),
    ],
)
def test_a_visitor_is_identified_by_one_token_and_a_challenge(visitor: Visitor, query: str, body: object) -> None:
    """As documented: the solution id in the path, the provider in the query when given, exactly one token as JSON."""
    sent = authenticate_request("a b", visitor, "x")
    assert (sent.method, sent.path, sent.query) == ("POST", "/api/authenticate/a%20b", query)
    assert (sent.host, sent.headers["Content-Type"]) == ("identity", "application/json")
    assert json.loads(sent.body or b"") == {"codeChallenge": "x", **cast(dict[str, str], body)}


def test_a_route_request_is_a_put_on_the_queue_key_with_a_list() -> None:
    """As observed: the key stands in the path, and with nothing to tell the body is an empty list."""
    sent = route_request("c", "q_support")
    assert (sent.method, sent.path, sent.query) == ("PUT", "/api/conversation/c/route/q_support", "")
    assert (sent.host, sent.headers["Content-Type"]) == ("communication", "application/json")
    assert json.loads(sent.body or b"") == []


def test_customer_and_subject_are_items_of_the_route_beside_the_callers_own() -> None:
    """Each has its name; what was not given is left out, and `secret` is said only of what is."""
    ada = Customer(id="17", name="Ada", email="ada@chat.example", phone="+47 1")
    own = (Variable("order", "5"), Variable("card", "9", secret=True))
    assert json.loads(route_request("c", "q", ada, own, "Late", "bot: Hello").body or b"") == [
        {"name": "customerId", "value": "17"},
        {"name": "customerName", "value": "Ada"},
        {"name": "customerEmail", "value": "ada@chat.example"},
        {"name": "customerPhone", "value": "+47 1"},
        {"name": "subject", "value": "Late"},
        {"name": "history", "value": "bot: Hello"},
        {"name": "order", "value": "5"},
        {"name": "card", "value": "9", "secret": True},
    ]
    assert json.loads(route_request("c", "q", Customer(name="Ada")).body or b"") == [
        {"name": "customerName", "value": "Ada"}
    ]


@pytest.mark.parametrize("name", ["customerId", "customerName", "customerEmail", "customerPhone", "subject", "history"])
def test_a_variable_that_says_the_same_as_an_argument_is_refused(name: str) -> None:
    """Which of two values the agent would see is not known; alone, such a name is the caller's to use."""
    ada, own = Customer(id="17", name="Ada", email="ada@chat.example", phone="1"), (Variable(name, "Grunnfjell"),)
    with pytest.raises(InvalidArgument, match=f"^variables: '{name}' is there already") as raised:
        route_request("c", "q", ada, own, "Late", "bot: Hello")
    assert "Grunnfjell" not in str(raised.value)
    assert json.loads(route_request("c", "q", variables=own).body or b"") == [{"name": name, "value": "Grunnfjell"}]


def test_a_number_where_a_queue_key_belongs_gets_a_hint() -> None:
    """It is likely the queue's other id, for the opening hours, where a number is taken."""
    for number in (27504, 0):
        with pytest.raises(InvalidArgument, match=r"^queue_key: .*visual_queue_id"):
            route_request("c", number)  # type: ignore[arg-type]  # that is the point
    assert queue_request(27504).path == queue_request("27504").path == "/api/queue/info/27504"
    for bad in (True, None, "", 1.5):
        with pytest.raises(InvalidArgument, match=r"^queue_key: "):
            route_request("c", bad)  # type: ignore[arg-type]  # that is the point
        with pytest.raises(InvalidArgument, match=r"^visual_queue_id: "):
            queue_request(bad)  # type: ignore[arg-type]  # that is the point


def test_a_poll_asks_after_the_cursor() -> None:
    """Without a cursor nothing is said; with one it is quoted."""
    assert poll_request(None).query == ""
    assert parse_qs(poll_request("a&b=ø ").query) == {"after": ["a&b=ø "]}
    assert poll_request("0").query == "after=0"


def test_a_text_is_sent_as_the_html_that_shows_it() -> None:
    """Plain text is escaped, so that what looks like markup arrives as it was written."""
    body = send_request("c", "1 < 2 & <b>", "m").body
    assert body is not None
    assert json.loads(body) == {"content": "1 &lt; 2 &amp; &lt;b&gt;", "clientMessageId": "m"}


def test_typing_and_ending_say_no_more_than_they_must() -> None:
    """Typing sends one flag, ending no body at all."""
    typing = typing_request("c", False)
    assert typing.body is not None
    assert json.loads(typing.body) == {"isTyping": False}
    assert (end_request("c").body, end_request("c").headers) == (None, {})


@fixed
@given(odd=st.text(min_size=1, max_size=LONGEST_ID))
@also(odd=["a b", "æ", "a?b#c", "a%2fb", "{id}", "a;b", "a&b"])
def test_an_id_that_is_taken_stays_one_segment(odd: str) -> None:
    """Whatever an id holds, it is refused, or quoted so that the path has as many segments as before."""
    try:
        checked_id("time_id", odd)
    except InvalidArgument:
        return
    for build in TAKES_AN_ID:
        path = build(odd).path
        assert quote(odd, safe="") in path.split("/")
        assert path.count("/") == build("c").path.count("/")


@fixed
@given(bad=values.filter(lambda one: not isinstance(one, str)) | st.text().map(lambda one: f"{one}/{one}"))
@also(bad=["", "a/b", "..", ".", "a\\b", "a\nb", "a\x00", "\ud800", "x" * (LONGEST_ID + 1), 7, None, b"c"])
def test_an_id_that_could_leave_its_place_is_refused(bad: object) -> None:
    """Slashes, dots alone, control characters, nothing, too much, or no string: the error names the argument."""
    with pytest.raises(InvalidArgument, match=r"^time_id: "):
        checked_id("time_id", bad)


def test_ids_of_any_usual_form_are_taken() -> None:
    """Integers as strings, keys, uuids and the longest allowed."""
    for good in ("27504", "q_support", "6f1c2c1e-0f9e-4b1a-9d55-0d9f3f1c2b1a", "x" * LONGEST_ID, "a.b", "..."):
        assert checked_id("time_id", good) == good


@fixed
@given(bad=values.filter(lambda one: not isinstance(one, str) or not one.strip()))
@also(bad=["", "  \n", None, 7, b"x"])
def test_an_empty_text_is_not_sent(bad: object) -> None:
    """There must be something in it."""
    with pytest.raises(InvalidArgument, match=r"^text: "):
        checked_text(bad)
    assert checked_text(" x\n") == " x\n"


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("\x00", "has U+0000 at index 0"),
        ("My order\x1b[2J", "has U+001B at index 8"),
        ("soft\x0bbreak", "has U+000B at index 4"),
        ("page\x0cbreak", "has U+000C at index 4"),
        ("\x7f", "has U+007F at index 0"),
        ("next\x85line", "has U+0085 at index 4"),
        ("half \ud83d", "has U+D83D at index 5"),
        ("half \udca9", "has U+DCA9 at index 5"),
    ],
    ids=ascii,
)
def test_what_is_no_part_of_a_text_is_not_sent(text: str, told: str) -> None:
    """Control characters and halves of characters are refused by number and place, without the words around them."""
    with pytest.raises(InvalidArgument, match=f"^text: {re.escape(told)}") as error:
        checked_text(text)
    assert "order" not in str(error.value)


@pytest.mark.parametrize(
    "text", ["a\tb", "a\nb", "a\r\nb", "👩\u200d💻 \U0001f1f3\U0001f1f4", "شكرا\u200f", "zero\u200cjoin", "\ue000"]
)
def test_every_text_that_people_write_is_sent(text: str) -> None:
    """Tabs, all usual line ends, joined emoji, direction marks and letters of a font of one's own."""
    assert checked_text(text) == text


def test_a_customer_comes_from_one_or_from_a_mapping() -> None:
    """Unknown fields and other types are refused by name, without a customer's value in the message."""
    assert as_customer(None) is None
    assert as_customer({"name": "Ada", "email": "a@chat.example"}) == Customer(name="Ada", email="a@chat.example")
    with pytest.raises(InvalidArgument, match="has no field 'nmae'") as raised:
        as_customer({"nmae": "Ada"})  # type: ignore[arg-type]  # that is the point
    assert "Ada" not in str(raised.value)


def test_a_subject_is_a_string_and_typing_a_boolean() -> None:
    """Wrong types are told by name, before anything is sent."""
    with pytest.raises(InvalidArgument, match=r"^subject: "):
        route_request("c", "q", subject=5)  # type: ignore[arg-type]  # that is the point
    with pytest.raises(InvalidArgument, match=r"^is_typing: "):
        typing_request("c", "yes")  # type: ignore[arg-type]  # that is the point


@fixed
@given(bad=values.filter(lambda one: one is not None and one != {}))
@also(bad=["Ada", ["Ada"], 7, {"name": 7}, {"name": ["Ada"]}, {"email": {"x": "y"}}])
def test_a_customers_fields_are_strings(bad: Any) -> None:
    """Anything else is refused here, not by the service."""
    with pytest.raises(InvalidArgument, match=r"^customer: "):
        as_customer(bad)


def test_variables_come_from_variables_or_from_a_mapping() -> None:
    """The order is kept."""
    assert as_variables(None) == ()
    assert as_variables({"a": "1", "b": "2"}) == (Variable("a", "1"), Variable("b", "2"))
    assert as_variables(iter([Variable("a", "1", secret=True)])) == (Variable("a", "1", secret=True),)


@fixed
@given(bad=st.dictionaries(st.text(), values.filter(lambda one: not isinstance(one, str)), min_size=1))
@also(bad=[{"a": 1}, ["a"], [("a", "1")], 7, {1: "a"}, [Variable("a", "1"), "b"], "a"])
def test_what_are_no_variables_is_refused(bad: Any) -> None:
    """A name and its value are strings."""
    with pytest.raises(InvalidArgument, match=r"^variables: "):
        as_variables(bad)


@pytest.mark.parametrize(
    ("wrong", "told"),
    [
        ({"order": 3}, "variables: 'order' must be a string, not int"),
        ({"name": "Ada", "it's": None}, 'variables: "it\'s" must be a string, not NoneType'),
        ({3: "order"}, "variables: 3: its name must be a string, not int"),
        ([Variable("a", "1"), ("b", "2")], "variables: number 2 must be a Variable, not tuple"),
        ([Variable("a", "1"), Variable("b", 2)], "variables: number 2: its value must be a string, not int"),  # type: ignore[arg-type]
        ([Variable(1, "a")], "variables: number 1: its name must be a string, not int"),  # type: ignore[arg-type]
        ([Variable("a", "b", "yes")], "variables: number 1: its secret must be True or False, not str"),  # type: ignore[arg-type]
        (7, "variables: must be Variable objects, or a mapping of names to strings, not int"),
        ("ab", "variables: must be Variable objects, or a mapping of names to strings, not str"),
    ],
)
def test_a_wrong_variable_is_told_by_its_name_or_its_place(wrong: Any, told: str) -> None:
    """Whoever has forty of them need not look for it."""
    with pytest.raises(InvalidArgument) as raised:
        as_variables(wrong)
    assert str(raised.value) == told


def test_a_customers_wrong_field_is_named() -> None:
    """Which one it is, and what it is, but not its value."""
    with pytest.raises(InvalidArgument, match=r"^customer: 'phone' must be a string, not int$"):
        as_customer({"name": "Ada", "phone": 4712345678})  # type: ignore[arg-type]  # that is the point


def built(**parts: Any) -> Request:
    """Encode a request with those parts."""
    return encoded("getThings", "communication", {"method": "post", "url": "/api/things", **parts})


@pytest.mark.parametrize(
    ("params", "query"),
    [
        ({"after": "a b&c"}, "after=a+b%26c"),
        ({"n": 7, "ratio": 0.5}, "n=7&ratio=0.5"),
        ({"open": True, "closed": False}, "open=true&closed=false"),
        ({"id": ["x", "y"], "n": [1, True]}, "id=x&id=y&n=1&n=true"),
        ({"none": []}, ""),
        ({"at": "2026-11-29T12:00:00+01:00"}, "at=2026-11-29T12%3A00%3A00%2B01%3A00"),
    ],
)
def test_a_query_is_spelled_as_json_spells_its_values(params: dict[str, Any], query: str) -> None:
    """Truths are lower case, a list repeats its name, and a time keeps its zone: nothing is in Python's spelling."""
    assert built(params=params).query == query


def test_headers_and_cookies_are_sent() -> None:
    """What the document demands in a header or a cookie goes out, beside the common headers and the token."""
    request = built(headers={"X-Channel": "web", "X-Trace": True}, cookies={"lang": "nb no", "n": 1})
    sent = headers(COMMON_HEADERS, request, "t0k3n")
    assert (sent["x-channel"], sent["x-trace"]) == ("web", "true")
    assert sent["cookie"] == "lang=nb%20no; n=1"
    assert sent["authorization"] == "Bearer t0k3n"
    assert "application/json" in sent["accept"]


@pytest.mark.parametrize(
    ("part", "body"),
    [
        ({"json": {"a": [None, True]}}, b'{"a": [null, true]}'),
        ({"json": None}, b"null"),
        ({"data": {"a": "b c", "on": True, "none": None}}, b"a=b+c&on=true&none="),
        ({"content": b"\x00\xff"}, b"\x00\xff"),
        ({"content": BytesIO(b"raw")}, b"raw"),
        ({}, None),
    ],
)
def test_every_kind_of_body_is_sent(part: dict[str, Any], body: bytes | None) -> None:
    """JSON, a form and raw bytes go out as they are, and where there is no body none is sent."""
    assert built(**part).body == body


@pytest.mark.parametrize(
    ("part", "told"),
    [
        ({"files": [("a", ("a.txt", b"x", "text/plain"))]}, "getThings: the request has files, which is not sent"),
        ({"params": {"deep": {"a": 1}}}, "getThings: a dict has no form in a query, a form or a header"),
        ({"headers": {"X": [1]}}, "getThings: a list has no form in a query, a form or a header"),
        ({"data": {"a": [{"b": 1}]}}, "getThings: a dict has no form"),
    ],
)
def test_what_is_not_sent_is_refused(part: dict[str, Any], told: str) -> None:
    """No part of a request is left out in silence: whoever edits the wire layer is told at the first call."""
    with pytest.raises(NotImplementedError, match=told):
        built(**part)


def test_nothing_of_a_request_shows_in_its_repr() -> None:
    """Headers, cookies and body may hold secrets."""
    request = built(headers={"X-Key": "s3cr3t"}, cookies={"s": "s3cr3t"}, json={"a": "s3cr3t"})
    assert "s3cr3t" not in repr(request)
