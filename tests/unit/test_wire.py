"""Requests out, values and errors in: each converter with good, missing, wrong, null and unknown values."""

from __future__ import annotations

import json
from collections.abc import Callable
from contextlib import suppress
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, cast
from urllib.parse import parse_qs, quote, urlencode

import pytest
from hypothesis import given
from hypothesis import strategies as st

from puzzel_chat import operations
from puzzel_chat._errors import (
    ApiError,
    AuthenticationError,
    ConfigurationError,
    Conflict,
    ContractError,
    ConversationClosed,
    InvalidArgument,
    NotFound,
    PermissionDenied,
    PuzzelChatError,
    QueueClosed,
    QueueFull,
    RateLimited,
    RoutingRefused,
    ServerError,
    SessionExpired,
)
from puzzel_chat._http import Reply, Request
from puzzel_chat._models import (
    Agent,
    AgentJoined,
    AgentLeft,
    AgentTyping,
    AllocationStage,
    Author,
    ConversationEnded,
    Customer,
    Event,
    FileMessage,
    Option,
    OptionsMessage,
    Role,
    TextMessage,
    UnknownMessage,
    Variable,
    Visitor,
)
from puzzel_chat._settings import Settings
from puzzel_chat._wire import replies
from puzzel_chat._wire import replies as items
from puzzel_chat._wire.operations import (
    AUTHENTICATE,
    END,
    LONGEST_ID,
    OPERATIONS,
    POLL,
    QUEUE,
    ROUTE,
    SEND,
    STATUS,
    TIME,
    TOKEN,
    TYPING,
    AnyOperation,
    as_customer,
    as_variables,
    authenticate_request,
    checked_id,
    checked_text,
    end_request,
    poll_request,
    queue_request,
    route_request,
    send_request,
    status_request,
    time_request,
    token_request,
    typing_request,
)
from puzzel_chat._wire.refusals import error_for, excerpt, refresh_error, wait_asked
from puzzel_chat._wire.values import flag, seconds, text, when, whole
from puzzel_chat_api.provenance import OPERATIONS as THEIRS

NOW = datetime(2026, 11, 23, 12, tzinfo=UTC)
DOCUMENT = Path(__file__).parents[2] / "openapi" / "puzzel-chat.json"
JSON = {"content-type": "application/json; charset=utf-8"}
PROBLEM = {"content-type": "application/problem+json"}
WRONG = [7, "7", True, [], {}, None, 1.5, ["x"]]
NO_IDS: list[object] = ["", None, [], {}, True, 1.5]


def reply(document: object, status: int = 200, **headers: str) -> Reply:
    """A JSON reply."""
    return Reply(status=status, headers={**JSON, **headers}, body=json.dumps(document).encode())


def problem(status: int, code: str | None = None, **more: object) -> Reply:
    """A problem document (RFC 9457)."""
    document = {"title": "T", "status": status, "detail": "D", "code": code, **more}
    return Reply(status=status, headers=PROBLEM, body=json.dumps(document).encode())


def line(**changed: object) -> dict[str, Any]:
    """A good text item, with some fields changed; one that is changed to `...` is left out."""
    item = {
        "type": "Text",
        "id": "1",
        "conversationId": "c",
        "version": 2,
        "sentAt": "2026-11-23T12:00:00.1234567Z",
        "author": {"role": 1, "id": "k", "displayName": "Kari"},
        "clientMessageId": "m",
        "content": "Hello <b>Ada</b>",
        **changed,
    }
    return {name: value for name, value in item.items() if value is not ...}


# Requests


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
        )
    }
    assert set(built) == set(OPERATIONS)
    for name, request in built.items():
        known = THEIRS[name]
        assert request.method == known.method
        assert request.path in {known.path.format(id=one, customerId="7", queueKey="k") for one in "qtc"}
        assert request.host == OPERATIONS[name].host


@pytest.mark.parametrize(("host", "kind"), [("identity", "consumeridp"), ("communication", "commsrv")])
def test_each_row_goes_to_the_host_that_the_document_names(host: str, kind: str) -> None:
    """The vendor's two identity hosts give tokens and identify visitors, its communication hosts do all else."""
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
        public = __import__("puzzel_chat")
        assert callable(getattr(getattr(public, kind), method))
    assert told["connectToken"].provenance == "documented"
    assert told["sendMessage"].provenance == "assumed"


def test_repeatable_is_what_may_be_done_twice() -> None:
    """Only looking, saying who one is, typing and ending are the same when done twice."""
    assert {row.name for row in OPERATIONS.values() if row.repeatable} == {
        "authenticateVisitor",
        "getQueueInfo",
        "getTimeInfo",
        "getRequestStatus",
        "sendTyping",
        "endConversation",
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
    assert json.loads(route_request("c", "q", ada, own, "Late").body or b"") == [
        {"name": "customerId", "value": "17"},
        {"name": "customerName", "value": "Ada"},
        {"name": "customerEmail", "value": "ada@chat.example"},
        {"name": "customerPhone", "value": "+47 1"},
        {"name": "subject", "value": "Late"},
        {"name": "order", "value": "5"},
        {"name": "card", "value": "9", "secret": True},
    ]
    assert json.loads(route_request("c", "q", Customer(name="Ada")).body or b"") == [
        {"name": "customerName", "value": "Ada"}
    ]


@pytest.mark.parametrize("name", ["customerId", "customerName", "customerEmail", "customerPhone", "subject"])
def test_a_variable_that_says_the_same_as_an_argument_is_refused(name: str) -> None:
    """Which of two values the agent would see is not known; alone, such a name is the caller's to use."""
    ada, own = Customer(id="17", name="Ada", email="ada@chat.example", phone="1"), (Variable(name, "Grunnfjell"),)
    with pytest.raises(InvalidArgument, match=f"^variables: '{name}' is there already") as raised:
        route_request("c", "q", ada, own, "Late")
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


BUILDERS: list[Callable[[str], Request]] = [
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


@pytest.mark.parametrize("build", BUILDERS)
@pytest.mark.parametrize("odd", ["a b", "æ", "a?b#c", "a%2fb", "{id}", "a;b", "a&b"])
def test_an_odd_id_stays_one_segment(build: Callable[[str], Request], odd: str) -> None:
    """Whatever an id holds, it is quoted, and the path has as many segments as before."""
    path = build(odd).path
    assert quote(odd, safe="") in path.split("/")
    assert path.count("/") == build("c").path.count("/")


@pytest.mark.parametrize("bad", ["", "a/b", "..", ".", "a\\b", "a\nb", "a\x00", "\ud800", "x" * 257, 7, None, b"c"])
def test_an_id_that_could_leave_its_place_is_refused(bad: object) -> None:
    """Slashes, dots alone, control characters, nothing, too much, or no string: the error names the argument."""
    with pytest.raises(InvalidArgument, match=r"^time_id: "):
        checked_id("time_id", bad)


def test_ids_of_any_usual_form_are_taken() -> None:
    """Integers as strings, keys, uuids and the longest allowed."""
    for good in ("27504", "q_support", "6f1c2c1e-0f9e-4b1a-9d55-0d9f3f1c2b1a", "x" * LONGEST_ID, "a.b", "..."):
        assert checked_id("time_id", good) == good


@pytest.mark.parametrize("bad", ["", "  \n", None, 7, b"x"])
def test_an_empty_text_is_not_sent(bad: object) -> None:
    """There must be something in it."""
    with pytest.raises(InvalidArgument, match=r"^text: "):
        checked_text(bad)
    assert checked_text(" x\n") == " x\n"


def test_a_customer_comes_from_one_or_from_a_mapping() -> None:
    """Unknown fields and other types are refused by name, without a customer's value in the message."""
    assert as_customer(None) is None
    assert as_customer({"name": "Ada", "email": "a@chat.example"}) == Customer(name="Ada", email="a@chat.example")
    with pytest.raises(InvalidArgument, match="has no field 'nmae'") as raised:
        as_customer({"nmae": "Ada"})
    assert "Ada" not in str(raised.value)
    for bad in ("Ada", ["Ada"], 7):
        with pytest.raises(InvalidArgument, match=r"^customer: "):
            as_customer(bad)  # type: ignore[arg-type]  # that is the point


def test_a_subject_is_a_string_and_typing_a_boolean() -> None:
    """Wrong types are told by name, before anything is sent."""
    with pytest.raises(InvalidArgument, match=r"^subject: "):
        route_request("c", "q", subject=5)  # type: ignore[arg-type]  # that is the point
    with pytest.raises(InvalidArgument, match=r"^is_typing: "):
        typing_request("c", "yes")  # type: ignore[arg-type]  # that is the point


@pytest.mark.parametrize("bad", [{"name": 7}, {"name": ["Ada"]}, {"email": {"x": "y"}}])
def test_a_customers_fields_are_strings(bad: Any) -> None:
    """A value that is no string is told here, not by the service."""
    with pytest.raises(InvalidArgument, match=r"^customer: "):
        as_customer(bad)


def test_variables_come_from_variables_or_from_a_mapping() -> None:
    """The order is kept, and anything else is refused."""
    assert as_variables(None) == ()
    assert as_variables({"a": "1", "b": "2"}) == (Variable("a", "1"), Variable("b", "2"))
    assert as_variables(iter([Variable("a", "1", secret=True)])) == (Variable("a", "1", secret=True),)
    for bad in ({"a": 1}, ["a"], [("a", "1")], 7, {1: "a"}):
        with pytest.raises(InvalidArgument, match=r"^variables: "):
            as_variables(bad)  # type: ignore[arg-type]  # that is the point


# Single values


@pytest.mark.parametrize(
    ("convert", "good", "bad"),
    [
        (text, ["", "x"], [7, True, None, [], {}, 1.5]),
        (whole, [0, 7], ["7", -1, True, None, 1.5, [], {}]),
        (seconds, [0, 7, 1.5, "30"], ["x", -1, True, None, [], {}, float("nan"), float("inf"), "1.5", "²", 10**400]),
        (flag, [True, False], [0, 1, "true", None, [], {}]),
        (
            when,
            ["2026-11-23T12:00:00Z"],
            [7, True, None, "", "soon", [], {}, "2026-13-01", "0001-01-01T00:00:00+01:00"],
        ),
    ],
)
def test_a_value_of_the_wrong_form_is_none(
    convert: Callable[[object], object], good: list[Any], bad: list[Any]
) -> None:
    """Each check takes its own type and turns everything else into None, without an error."""
    assert all(convert(value) is not None for value in good)
    assert [convert(value) for value in bad] == [None] * len(bad)


values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
    lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner),
    max_leaves=5,
)


@given(values)
def test_no_json_value_breaks_a_check(value: Any) -> None:
    """Whatever JSON can hold, a check gives its type or None."""
    assert isinstance(text(value), str | None)
    assert isinstance(whole(value), int | None)
    assert isinstance(seconds(value), float | None)
    assert isinstance(flag(value), bool | None)
    assert isinstance(when(value), datetime | None)


@pytest.mark.parametrize(
    "written",
    [
        "2026-11-23T12:00:00Z",
        "2026-11-23T13:00:00+01:00",
        "2026-11-23T12:00:00.0000000Z",
        "2026-11-23T12:00:00",
        "2026-11-23T12:00Z",
    ],
)
def test_a_moment_is_read_in_every_spelling(written: Any) -> None:
    """Seven digits, offsets and no zone (taken as UTC, assumed) give the same moment in UTC."""
    assert when(written) == NOW
    read = when(written)
    assert read is not None
    assert read.tzinfo is UTC


def test_a_text_that_cannot_be_written_is_made_writable() -> None:
    """JSON can hold half a character; as an id or cursor it would break the store and the next request."""
    found = items.event(line(id="a\ud800"))
    assert found.id.encode()
    cursor = replies.poll(reply({"cursor": "a\ud800"})).cursor
    assert poll_request(cursor).query


# Documents


def test_a_token_reply_gives_its_tokens() -> None:
    """Access, refresh, life time and the visitor; all but the first may be missing."""
    given_ = replies.grant(
        reply(
            {
                "access_token": "a",
                "token_type": "Bearer",
                "expires_in": 900,
                "refresh_token": "r",
                "scope": "chat",
                "visitor_id": "ada",
            }
        )
    )
    assert (given_.access, given_.refresh, given_.expires_in, given_.visitor_id) == ("a", "r", 900.0, "ada")
    assert "ada" not in repr(given_)
    bare = replies.grant(reply({"access_token": "a"}))
    assert (bare.refresh, bare.expires_in, bare.visitor_id) == (None, None, None)


@pytest.mark.parametrize(
    ("visitor", "expected"), [("ada", "ada"), (17, "17"), (0, "0"), ("", None), (None, None), (True, None), ([], None)]
)
def test_a_visitors_id_is_a_text_or_none(visitor: object, expected: str | None) -> None:
    """A number counts as one, and what can be no id never costs the token."""
    assert replies.grant(reply({"access_token": "a", "visitor_id": visitor})).visitor_id == expected


@pytest.mark.parametrize(("found", "expected"), [("u1", "u1"), (17, "17")])
def test_an_identified_visitor_has_an_id(found: object, expected: str) -> None:
    """A word or a number, masked; without one the reply breaks the contract."""
    signed = replies.signed_in(reply({"userInfoId": found}))
    assert signed == expected
    assert expected not in repr(signed)
    for bad in NO_IDS:
        with pytest.raises(ContractError, match="authenticateVisitor"):
            replies.signed_in(reply({"userInfoId": bad}))
    with pytest.raises(ContractError, match="authenticateVisitor"):
        replies.signed_in(reply({}))


@pytest.mark.parametrize(
    ("expires_in", "lives"),
    [
        ("900", 900.0),
        (0, None),
        (-5, None),
        (None, None),
        ("soon", None),
        (True, None),
        ([], None),
        (1e3, 1000.0),
        ("²", None),
    ],
)
def test_a_strange_life_time_is_none_or_a_number(expires_in: object, lives: float | None) -> None:
    """Some servers send a string; nonsense counts as not said."""
    assert replies.grant(reply({"access_token": "a", "expires_in": expires_in})).expires_in == lives


@pytest.mark.parametrize("refresh", [7, [], "", None, False])
def test_a_refresh_token_that_is_none_is_none(refresh: object) -> None:
    """A wrong type or an empty string is no refresh token."""
    assert replies.grant(reply({"access_token": "a", "refresh_token": refresh})).refresh is None


@pytest.mark.parametrize("access", [None, "", 7, [], "a\nb", "tøken", ...])
def test_a_reply_without_a_usable_token_breaks_the_contract(access: object) -> None:
    """No token, or one that no header can carry, is told with the operation and the pointer."""
    document = {"refresh_token": "s3cr3t"} | ({} if access is ... else {"access_token": access})
    with pytest.raises(ContractError, match="connectToken") as raised:
        replies.grant(reply(document))
    assert raised.value.pointer == "/access_token"
    assert "s3cr3t" not in f"{raised.value} {raised.value.excerpt}"


CONVERTERS: list[tuple[AnyOperation, Callable[[Reply], object]]] = [
    (TOKEN, replies.grant),
    (AUTHENTICATE, replies.signed_in),
    (QUEUE, lambda one: replies.queue_info(one, NOW)),
    (TIME, lambda one: replies.time_info(one, NOW)),
    (ROUTE, lambda one: replies.routed(one, NOW)),
    (STATUS, lambda one: replies.allocation(one, NOW)),
    (SEND, lambda one: replies.sent_message(one, "c", "m", "Hello")),
    (POLL, replies.poll),
]


@pytest.mark.parametrize(("operation", "convert"), CONVERTERS, ids=lambda one: getattr(one, "name", ""))
@pytest.mark.parametrize(
    "body", [b"", b"  ", b"<html>", b"{", b"[]", b"7", b"null", b'"x"', b"\xff\xfe", b"[" * 100_000]
)
def test_a_reply_that_is_no_object_breaks_the_contract(
    operation: AnyOperation, convert: Callable[[Reply], object], body: bytes
) -> None:
    """Empty, HTML, cut, a list, a number, no text, or too deep: always ContractError, naming the operation and host.

    Only a route may have an empty reply: what it would say is not known and not needed.
    """
    if operation is ROUTE and not body.strip():
        return
    with pytest.raises(ContractError) as raised:
        convert(Reply(status=200, headers=JSON, body=body))
    assert (raised.value.operation, raised.value.pointer) == (operation.name, "")
    assert raised.value.host == operation.host


@pytest.mark.parametrize(("operation", "convert"), CONVERTERS, ids=lambda one: getattr(one, "name", ""))
@given(
    document=st.dictionaries(
        st.sampled_from(
            [
                "id",
                "status",
                "messages",
                "isOpen",
                "opensAt",
                "sentAt",
                "agent",
                "access_token",
                "visitor_id",
                "userInfoId",
                "requestId",
                "expires_in",
                "cursor",
                "estimatedWaitSeconds",
                "queuePosition",
            ]
        ),
        values,
    )
)
def test_no_document_brings_a_foreign_error(
    operation: AnyOperation, convert: Callable[[Reply], object], document: dict[str, Any]
) -> None:
    """Whatever a reply holds, it is converted or it is a ContractError."""
    with suppress(ContractError):
        convert(reply(document))


def test_a_queue_is_read_with_all_it_says() -> None:
    """Times in UTC, waits in seconds, the rest in `raw`."""
    document = {
        "id": "support",
        "name": "Support",
        "isOpen": True,
        "opensAt": "2026-11-24T08:00:00Z",
        "closesAt": "2026-11-23T16:00:00+01:00",
        "queueSize": 3,
        "agentsReady": 2,
        "waitTimeAverageSeconds": 45,
        "timeId": "office",
        "new": 1,
    }
    info = replies.queue_info(reply(document), NOW)
    assert (info.id, info.name, info.is_open, info.queue_size, info.agents_ready) == ("support", "Support", True, 3, 2)
    assert info.opens_at == datetime(2026, 11, 24, 8, tzinfo=UTC)
    assert info.closes_at == datetime(2026, 11, 23, 15, tzinfo=UTC)
    assert (info.estimated_wait, info.fetched_at, dict(info.raw)) == (45.0, NOW, document)


@pytest.mark.parametrize(
    "field", ["name", "isOpen", "opensAt", "closesAt", "queueSize", "agentsReady", "waitTimeAverageSeconds"]
)
@pytest.mark.parametrize("value", [None, [], {}, ..., "0001-01-01T00:00:00+01:00", 10**400, "²"])
def test_a_queue_field_that_is_missing_or_wrong_is_unknown(field: str, value: object) -> None:
    """Null, missing and nonsense become None, and the rest of the queue is told."""
    document = {"id": "support"} | ({} if value is ... else {field: value})
    info = replies.queue_info(reply(document), NOW)
    if field not in ("name", "queueSize", "agentsReady"):
        assert (info.is_open, info.opens_at, info.closes_at, info.estimated_wait) == (None, None, None, None)
    assert info.id == "support"


def test_a_time_module_is_read() -> None:
    """The exit's name is the tenant's own word (related), open may be unknown."""
    info = replies.time_info(
        reply({"id": "t", "exitName": "Åpent", "isOpen": None, "nextChange": "2026-11-23T12:00:00"}), NOW
    )
    assert (info.id, info.exit_name, info.is_open, info.next_change) == ("t", "Åpent", None, NOW)
    with pytest.raises(ContractError) as raised:
        replies.time_info(reply({}), NOW)
    assert raised.value.pointer == "/id"


@pytest.mark.parametrize("stage", [stage for stage in AllocationStage if stage is not AllocationStage.UNKNOWN])
def test_each_known_stage_is_read(stage: AllocationStage) -> None:
    """The wire's word is the stage's name with a capital."""
    assert replies.allocation(reply({"status": stage.value.capitalize()}), NOW).stage is stage
    assert replies.routed(reply({"status": stage.value.capitalize()}), NOW)[0].stage is stage


def test_a_new_stage_is_unknown_and_still_told() -> None:
    """A word of a later version does not stop the wait, and stands in `raw`."""
    found = replies.allocation(reply({"status": "Parked", "queuePosition": 4}), NOW)
    assert (found.stage, found.queue_position, found.raw["status"]) == (AllocationStage.UNKNOWN, 4, "Parked")


@pytest.mark.parametrize("document", [{}, {"status": None}])
def test_a_stage_that_is_not_told_is_unknown(document: dict[str, object]) -> None:
    """Without a status nothing is known of the search, and that is no reason to stop it."""
    found = replies.allocation(reply({**document, "queuePosition": 4}), NOW)
    assert (found.stage, found.queue_position) == (AllocationStage.UNKNOWN, 4)
    assert replies.routed(reply({**document, "requestId": "r"}), NOW)[0].stage is AllocationStage.UNKNOWN


@pytest.mark.parametrize("status", [7, [], {}, True, 1.5])
def test_a_stage_that_is_no_word_breaks_the_contract(status: object) -> None:
    """A status of another type shows that the reply is not the one that we know."""
    with pytest.raises(ContractError, match="getRequestStatus") as raised:
        replies.allocation(reply({"status": status}), NOW)
    assert raised.value.pointer == "/status"
    with pytest.raises(ContractError, match="routeConversation"):
        replies.routed(reply({"status": status}), NOW)


@pytest.mark.parametrize("status", [200, 201, 202, 204])
@pytest.mark.parametrize("body", [b"", b" \r\n", b"{}"])
def test_any_success_of_a_route_counts(status: int, body: bytes) -> None:
    """As observed: whatever 2xx it is, and also without a word, the conversation is in the service's hands."""
    came = Reply(status=status, headers=JSON, body=body)
    assert error_for(ROUTE, came) is None
    found, request_id = replies.routed(came, NOW)
    assert (found.stage, found.fetched_at, request_id) == (AllocationStage.UNKNOWN, NOW, None)


@pytest.mark.parametrize(
    ("value", "expected"), [("r", "r"), (17, "17"), (None, None), ("", None), ([], None), (True, None), (..., None)]
)
def test_a_route_may_give_a_request_id(value: object, expected: str | None) -> None:
    """A word or a number; anything else counts as none, for the conversation's own id does as well."""
    document = {"status": "Queued"} | ({} if value is ... else {"requestId": value})
    assert replies.routed(reply(document), NOW)[1] == expected


def test_an_allocation_is_read_with_its_agent() -> None:
    """Position, wait, agent and reason; a name may hold markup."""
    document = {
        "status": "Assigned",
        "queuePosition": 1,
        "estimatedWaitSeconds": 30,
        "agent": {"id": "k", "displayName": "Kari <i>N</i>"},
        "reason": "why",
    }
    found = replies.allocation(reply(document), NOW)
    assert (found.queue_position, found.estimated_wait, found.reason) == (1, 30.0, "why")
    assert found.agent == Agent(id="k", name="Kari N")


@pytest.mark.parametrize("field", ["queuePosition", "estimatedWaitSeconds", "agent", "reason"])
@pytest.mark.parametrize("value", WRONG)
def test_a_wrong_field_of_an_allocation_does_not_hide_the_stage(field: str, value: object) -> None:
    """Each field is judged for itself."""
    assert replies.allocation(reply({"status": "Queued", field: value}), NOW).stage is AllocationStage.QUEUED


@pytest.mark.parametrize("convert", [replies.queue_info, replies.time_info])
@pytest.mark.parametrize(("value", "expected"), [("q_support", "q_support"), (27504, "27504")])
def test_an_id_of_a_queue_or_time_module_may_be_a_number(
    convert: Callable[[Reply, datetime], Any], value: object, expected: str
) -> None:
    """Queue keys are words and visual queue ids numbers; both come through as strings."""
    assert convert(reply({"id": value}), NOW).id == expected


@pytest.mark.parametrize("convert", [replies.queue_info, replies.time_info])
@pytest.mark.parametrize("value", [None, "", [], True])
def test_a_queue_without_an_id_breaks_the_contract(convert: Callable[[Reply, datetime], Any], value: object) -> None:
    """No queue comes through under the name of a missing value."""
    with pytest.raises(ContractError, match="there is no id"):
        convert(reply({"id": value}), NOW)


def test_a_sent_message_comes_back_as_ours() -> None:
    """Its id and time are the service's, its text and client id ours."""
    found = replies.sent_message(reply({"id": "9", "sentAt": "2026-11-23T12:00:00Z"}), "c", "m", "Hello")
    assert (found.id, found.sent_at, found.text, found.client_id, found.author.role) == (
        "9",
        NOW,
        "Hello",
        "m",
        Role.CUSTOMER,
    )
    bare = replies.sent_message(reply({"id": 9}), "c", "m", "Hello")
    assert (bare.id, bare.sent_at, bare.text) == ("9", None, "Hello")
    for bad in NO_IDS:
        with pytest.raises(ContractError):
            replies.sent_message(reply({"id": bad}), "c", "m", "Hello")
    with pytest.raises(ContractError):
        replies.sent_message(reply({"sentAt": "2026-11-23T12:00:00Z"}), "c", "m", "Hello")


# Items of a poll


def test_a_poll_is_read_in_its_order() -> None:
    """Items as they came, the cursor beside them; null and missing mean none."""
    found = replies.poll(reply({"messages": [line(id="2"), line(id="1")], "cursor": "k"}))
    assert ([one.id for one in found.events], found.cursor) == (["2", "1"], "k")
    empties: list[dict[str, object]] = [{}, {"messages": None, "cursor": None}, {"messages": []}]
    for empty in empties:
        assert replies.poll(reply(empty)) == replies.Poll((), None)


@pytest.mark.parametrize("last", [None, replies.Poll((), "17"), replies.poll(reply({"messages": [line()]}))])
def test_no_content_means_nothing_new(last: replies.Poll | None) -> None:
    """A 204 has no body to be read, and says neither an item nor a cursor."""
    assert error_for(POLL, Reply(status=204)) is None
    assert replies.poll(Reply(status=204), last) == replies.Poll((), None)


def test_after_no_content_the_rest_is_still_told_from_what_came_before() -> None:
    """A service that answers 204 between two histories gives each message once."""
    first = replies.poll(reply({"messages": [line(id="1")]}))
    nothing = replies.poll(Reply(status=204), first)
    after = replies.poll(reply({"messages": [line(id="1"), line(id="2")]}), nothing)
    assert [event.id for event in after.events] == ["2"]


@pytest.mark.parametrize(
    ("cursor", "after"),
    [(17, "after=17"), (0, "after=0"), ("17", "after=17"), ("k", "after=k"), (2**70, f"after={2**70}")],
)
def test_a_cursor_is_a_number_or_a_word(cursor: object, after: str) -> None:
    """The next poll says it as it came; zero, the place before the first event, is a cursor too."""
    found = replies.poll(reply({"messages": [], "cursor": cursor})).cursor
    assert poll_request(found).query == after


@pytest.mark.parametrize("cursor", [None, "", True, False, [], {}, 1.5, ...])
def test_what_can_be_no_cursor_is_none(cursor: object) -> None:
    """The items beside it are told all the same."""
    found = replies.poll(reply({"messages": [line()]} | ({} if cursor is ... else {"cursor": cursor})))
    assert (found.cursor, len(found.events)) == (None, 1)


def test_of_a_reply_that_repeats_the_last_one_only_the_rest_is_read() -> None:
    """A history costs what is new in it; one that differs anywhere earlier is read as a whole."""

    def ids(items: list[Any], last: replies.Poll) -> list[str]:
        return [event.id for event in replies.poll(reply({"messages": items, "cursor": "k"}), last).events]

    one, two, edited = line(id="1"), line(id="2"), line(id="1", content="Hi", version=2)
    last = replies.poll(reply({"messages": [one], "cursor": "k"}))
    assert replies.poll(reply({"messages": [one], "cursor": "k"}), last) == replies.Poll((), "k")
    assert ids([one], replies.poll(reply({"messages": [one], "cursor": "k"}), last)) == []
    assert ids([one, two], last) == ["2"]
    assert ids([edited, two], last) == ["1", "2"]
    assert ids([two], last) == ["2"]
    assert ids([], last) == []


def test_a_deeply_nested_item_is_compared_without_harm() -> None:
    """What the decoder just takes may be too deep to be compared; then it is read again."""
    item: Any = line(id="1")
    for depth in (10, 100, 300, 600, 900, 950, 980, 990):
        nested = b"[" * depth + b"]" * depth
        body = json.dumps({"messages": [item, "deep"]}).encode().replace(b'"deep"', b'{"deep": %s}' % nested)
        try:
            last = replies.poll(Reply(status=200, body=body))
        except ContractError:
            continue
        assert len(replies.poll(Reply(status=200, body=body + b" "), last).events) in (0, 2)


@pytest.mark.parametrize("messages", [7, "x", {}, True])
def test_messages_that_are_no_list_break_the_contract(messages: object) -> None:
    """The pointer says where, and no word of the reply is in the error."""
    with pytest.raises(ContractError) as raised:
        replies.poll(reply({"messages": messages, "x": "My secret"}))
    assert raised.value.pointer == "/messages"
    assert "My secret" not in str(raised.value)


def test_a_text_message_is_read() -> None:
    """Plain text and HTML, author, time with seven digits, version and our own id."""
    found = items.event(line())
    assert isinstance(found, TextMessage)
    assert (found.text, found.html, found.version, found.client_id) == ("Hello Ada", "Hello <b>Ada</b>", 2, "m")
    assert found.sent_at == datetime(2026, 11, 23, 12, 0, 0, 123456, tzinfo=UTC)
    assert found.author == Author(role=Role.AGENT, id="k", name="Kari")
    assert found.author.is_agent
    assert found.raw == line()


@pytest.mark.parametrize(
    ("role", "expected"),
    [(0, Role.CUSTOMER), (1, Role.AGENT), (2, Role.SYSTEM), (3, Role.BOT), (9, Role.UNKNOWN), ("Agent", Role.UNKNOWN)],
)
def test_each_role_is_read(role: object, expected: Role) -> None:
    """Roles are numbers on the wire (assumed); a new one is unknown."""
    assert items.event(line(author={"role": role})).author.role is expected


def test_options_and_files_are_read() -> None:
    """Their labels and names are plain text."""
    asked = items.event(line(type="Options", content=None, options=[{"id": "y", "label": "<b>Yes</b>"}]))
    assert isinstance(asked, OptionsMessage)
    assert (asked.options, asked.text) == ((Option(id="y", label="Yes"),), "")
    file = items.event(
        line(type="File", fileName="a&amp;b.pdf", url="https://chat.example/f", size=7, contentType=None)
    )
    assert isinstance(file, FileMessage)
    assert (file.file_name, file.url, file.size, file.content_type) == ("a&b.pdf", "https://chat.example/f", 7, None)


@pytest.mark.parametrize(
    ("event", "more", "kind"),
    [
        ("AgentJoined", {"agent": {"id": "k", "displayName": "Kari"}}, AgentJoined),
        ("AgentLeft", {"agent": None}, AgentLeft),
        ("AgentTyping", {"isTyping": True}, AgentTyping),
        ("ConversationEnded", {"endedBy": 1, "reason": "done"}, ConversationEnded),
    ],
)
def test_each_event_is_read(event: str, more: dict[str, Any], kind: type[Event]) -> None:
    """The event's word decides the class."""
    assert type(items.event(line(type="Event", event=event, **more))) is kind


def test_the_end_says_by_whom() -> None:
    """A number is a role; null, missing and new ones are unknown, and it is an end all the same."""
    for ended_by, role in (
        (0, Role.CUSTOMER),
        (1, Role.AGENT),
        (9, Role.UNKNOWN),
        (None, Role.UNKNOWN),
        ("x", Role.UNKNOWN),
    ):
        found = items.event(line(type="Event", event="ConversationEnded", endedBy=ended_by))
        assert isinstance(found, ConversationEnded)
        assert found.by is role


@pytest.mark.parametrize(
    "item",
    [
        line(type="Evaluation"),
        line(type="Event", event="Blink"),
        line(type=...),
        line(type=7),
        line(type=[]),
        line(content=7),
        line(id=...),
        line(id=None),
        line(id=True),
        line(conversationId=...),
        line(conversationId=None),
        line(version="x", sentAt=None),
        line(sentAt="soon"),
        line(sentAt="0001-01-01T00:00:00+01:00"),
        line(sentAt="9999-12-31T23:59:59-01:00"),
        line(type="Options", options=7),
        line(type="Options", options=[{"label": "Yes"}]),
        line(type="Options", options=["y"]),
        line(type="File", fileName=7),
        line(type="File", url=[]),
        line(type="Event"),
        line(type="Event", event=None),
        line(type="Event", event=7),
        {},
        7,
        None,
        "x",
        [line()],
    ],
)
def test_an_item_that_is_new_or_damaged_is_told_and_kept(item: object) -> None:
    """It becomes UnknownMessage with everything in `raw`, or the event without the field, and never an error."""
    found, after = replies.poll(reply({"messages": [item, line(id="after")]})).events
    assert isinstance(found, UnknownMessage) or found.sent_at is None
    assert found.id
    assert found.raw == (item if isinstance(item, dict) else {"value": item})
    assert isinstance(after, TextMessage)


# What a message of each kind may leave out, or have as null: all but type, id and conversation id.
OPTIONAL = ("eventId", "version", "sentAt", "author")
MESSAGES: list[tuple[dict[str, Any], type[Event], tuple[str, ...]]] = [
    (line(eventId=7), TextMessage, (*OPTIONAL, "clientMessageId", "content")),
    (
        line(type="Options", eventId=7, content="?", options=[{"id": "y", "label": "Yes"}]),
        OptionsMessage,
        (*OPTIONAL, "content", "options"),
    ),
    (
        line(type="File", eventId=7, fileName="a.pdf", url="https://chat.example/f", size=7, contentType="text/plain"),
        FileMessage,
        (*OPTIONAL, "fileName", "url", "size", "contentType"),
    ),
    (line(type="Event", eventId=7, event="AgentJoined", agent={"id": "k"}), AgentJoined, (*OPTIONAL, "agent")),
    (line(type="Event", eventId=7, event="AgentLeft", agent={"id": "k"}), AgentLeft, (*OPTIONAL, "agent")),
    (line(type="Event", eventId=7, event="AgentTyping", isTyping=True), AgentTyping, (*OPTIONAL, "isTyping")),
    (
        line(type="Event", eventId=7, event="ConversationEnded", endedBy=1, reason="done"),
        ConversationEnded,
        (*OPTIONAL, "endedBy", "reason"),
    ),
]


@given(data=st.data(), case=st.sampled_from(MESSAGES))
def test_a_message_is_what_it_is_whatever_is_left_out(
    data: st.DataObject, case: tuple[dict[str, Any], type[Event], tuple[str, ...]]
) -> None:
    """Without any of the members that are guessed, left out or null, it comes through as its own kind and in order."""
    whole, kind, optional = case
    absent = data.draw(st.dictionaries(st.sampled_from(optional), st.sampled_from([None, ...])))
    item = {name: value for name, value in {**whole, **absent}.items() if value is not ...}
    found = items.event(item)
    assert type(found) is kind
    assert (found.id, found.conversation_id, found.raw) == ("1", "c", item)
    assert found.version == (1 if "version" in absent else 2)
    assert (found.sent_at is None) == ("sentAt" in absent)
    assert found.author == (Author() if "author" in absent else Author(role=Role.AGENT, id="k", name="Kari"))
    for name in {"content", "options", "fileName", "url"} & absent.keys():
        ours = {"content": "html", "fileName": "file_name"}.get(name, name)
        assert getattr(found, ours, "") in ("", ())


def test_a_message_of_three_members_is_a_message() -> None:
    """What identifies it is all that must be there."""
    bare = {"type": "Text", "id": "1", "conversationId": "c"}
    assert items.event(bare) == TextMessage(id="1", conversation_id="c")


@pytest.mark.parametrize("author", [{}, {"role": None, "id": None, "displayName": None}, {"displayName": "Kari"}])
def test_an_author_may_say_as_little_as_it_likes(author: dict[str, object]) -> None:
    """Whoever wrote it, the message is told; a role that is not said is unknown."""
    found = items.event(line(author=author))
    assert isinstance(found, TextMessage)
    assert (found.author.role, found.author.name) == (Role.UNKNOWN, author.get("displayName"))


def test_ids_of_messages_may_be_numbers() -> None:
    """The vendor's own stream counts its events (related); as texts they fit every caller and every store."""
    found = items.event(line(id=7, conversationId=8, author={"role": 1, "id": 9}))
    assert isinstance(found, TextMessage)
    assert (found.id, found.conversation_id, found.author.id) == ("7", "8", "9")
    asked = items.event(line(type="Options", options=[{"id": 1, "label": "Yes"}]))
    assert isinstance(asked, OptionsMessage)
    assert asked.options == (Option(id="1", label="Yes"),)


def test_an_unknown_item_without_an_id_is_known_again() -> None:
    """Its id is made of its content, so a repeat is a repeat and another is another."""
    one, two, other = (items.event(item).id for item in ({"a": 1, "b": 2}, {"b": 2, "a": 1}, {"a": 2}))
    assert one == two != other


@given(
    st.lists(
        values | st.builds(line, **dict.fromkeys(["id", "version", "sentAt", "author", "content"], values)), max_size=3
    )
)
def test_no_item_breaks_a_poll(items: list[object]) -> None:
    """As many events come out as items came in."""
    assert len(replies.poll(reply({"messages": items})).events) == len(items)


# Refusals


@pytest.mark.parametrize("operation", OPERATIONS.values(), ids=OPERATIONS)
@pytest.mark.parametrize("status", [200, 202, 204])
def test_a_success_is_no_error(operation: AnyOperation, status: int) -> None:
    """Any 2xx is taken; the converter judges what is in it."""
    assert error_for(operation, Reply(status=status)) is None


@pytest.mark.parametrize(
    ("status", "kind"),
    [
        (400, ApiError),
        (401, AuthenticationError),
        (403, PermissionDenied),
        (404, NotFound),
        (408, ApiError),
        (409, Conflict),
        (410, ApiError),
        (422, ApiError),
        (429, RateLimited),
        (500, ServerError),
        (503, ServerError),
        (520, ServerError),
        (599, ServerError),
    ],
)
def test_each_status_has_its_error(status: int, kind: type[ApiError]) -> None:
    """The problem document's words are attributes; the message says operation and status."""
    found = error_for(STATUS, problem(status, "Code"))
    assert type(found) is kind
    assert isinstance(found, ApiError)
    assert (found.status, found.code, found.title, found.detail) == (status, "Code", "T", "D")
    assert str(found).startswith(f"getRequestStatus: status {status} (Code).")
    assert found.host == "communication"


@pytest.mark.parametrize("operation", OPERATIONS.values(), ids=OPERATIONS)
@pytest.mark.parametrize("status", [400, 401, 403, 404, 409, 410, 418, 422, 429, 500, 502, 503, 520])
@pytest.mark.parametrize(
    "body", [b"", b"<html><title>Oh</title>", b"{", b"[]", b'{"code": 7, "title": [], "error": 7}']
)
def test_no_error_page_breaks_the_judgement(operation: AnyOperation, status: int, body: bytes) -> None:
    """HTML, cut JSON and nonsense give an error of ours too."""
    for headers in (JSON, {"content-type": "text/html"}, {}):
        found = error_for(operation, Reply(status=status, headers=headers, body=body))
        assert isinstance(found, PuzzelChatError)
        assert found.host == operation.host


@pytest.mark.parametrize(
    ("code", "kind"),
    [
        ("QueueClosed", QueueClosed),
        ("QueueFull", QueueFull),
        ("NoAgents", RoutingRefused),
        ("ConversationEnded", ConversationClosed),
    ],
)
def test_each_refusal_of_routing_has_its_error(code: str, kind: type[PuzzelChatError]) -> None:
    """The code decides (assumed), and a closed queue says when it opens."""
    found = error_for(ROUTE, problem(422, code, opensAt="2026-11-24T08:00:00Z"))
    assert type(found) is kind
    if isinstance(found, QueueClosed):
        assert found.opens_at == datetime(2026, 11, 24, 8, tzinfo=UTC)
    if isinstance(found, RoutingRefused):
        assert found.reason == "NoAgents"


@pytest.mark.parametrize("operation", [SEND, TYPING, ROUTE], ids=lambda one: one.name)
def test_gone_means_the_chat_is_over(operation: AnyOperation) -> None:
    """410 on an action is ConversationClosed, with or without the code; on others it is what it is."""
    assert isinstance(error_for(operation, problem(410, "ConversationEnded")), ConversationClosed)
    assert isinstance(error_for(operation, Reply(status=410)), ConversationClosed)
    assert type(error_for(END, problem(410, "ConversationEnded"))) is ApiError
    assert type(error_for(POLL, Reply(status=410))) is ApiError


def test_a_missing_thing_says_what_to_check() -> None:
    """404 names the next step of each operation."""
    for operation, word in (
        (AUTHENTICATE, "provider_id"),
        (AUTHENTICATE, "solution_id"),
        (QUEUE, "visual queue id, a number"),
        (QUEUE, "A queue key is for routing"),
        (TIME, "time id"),
        (ROUTE, "queue key"),
        (ROUTE, "A number is a visual queue id"),
        (STATUS, "route()"),
        (SEND, "route()"),
    ):
        assert word in str(error_for(operation, problem(404)))


@pytest.mark.parametrize(
    ("status", "code", "kind"),
    [
        (400, None, ApiError),
        (401, "InvalidToken", AuthenticationError),
        (403, None, PermissionDenied),
        (404, "ProviderNotFound", NotFound),
        (404, "CustomerNotFound", NotFound),
        (429, None, RateLimited),
        (503, None, ServerError),
    ],
)
def test_each_refusal_of_a_visitor_has_its_error(status: int, code: str | None, kind: type[ApiError]) -> None:
    """The status decides, the code is kept, and no token that the service repeats is told."""
    found = error_for(AUTHENTICATE, problem(status, code, title="Bad token gr4n1te-gr4n1te-gr4n1te"))
    assert type(found) is kind
    assert isinstance(found, ApiError)
    assert (found.status, found.code, found.host) == (status, code, "identity")
    assert "gr4n1te" not in str(found)


SETTINGS = {
    "invalid_client": "client_id",
    "unauthorized_client": "client_id",
    "invalid_scope": "scope",
    "invalid_request": "token_fields",
    "unsupported_grant_type": "grant_type",
    "invalid_grant": "solution_id",
}
words = st.sampled_from(list(SETTINGS))
descriptions = st.none() | st.text(max_size=40)


@st.composite
def dressed(draw: st.DrawFn, word: str, statuses: tuple[int, ...] = (200, 400, 401, 403)) -> Reply:
    """An OAuth error as JSON, as a form or as the bare word, under any content type."""
    document = {"error": word} | ({"error_description": said} if (said := draw(descriptions)) is not None else {})
    bodies = [json.dumps(document), json.dumps(document, indent=2), urlencode(document), word, f" {word}\r\n"]
    bodies.append(json.dumps(word))  # what this framework makes of a bare word for who asks for JSON
    media = ["application/json", "application/problem+json", "text/plain; charset=utf-8", "text/html"]
    media += ["application/x-www-form-urlencoded", "application/octet-stream", ""]
    labelled = draw(st.sampled_from(media))
    return Reply(
        status=draw(st.sampled_from(statuses)),
        headers={"content-type": labelled} if labelled else {},
        body=draw(st.sampled_from(bodies)).encode(),
    )


@given(data=st.data(), word=words)
def test_each_oauth_error_names_the_setting_to_look_at(data: st.DataObject, word: str) -> None:
    """RFC 6749 section 5.2, in the words of our settings, whatever the error comes as and also with status 200."""
    found = error_for(TOKEN, data.draw(dressed(word)))
    assert isinstance(found, ConfigurationError)
    assert (found.setting, found.host, found.retryable) == (SETTINGS[word], "identity", False)
    assert word in str(found)


@given(data=st.data(), word=words)
def test_only_a_refused_grant_ends_a_session_in_whatever_dress(data: st.DataObject, word: str) -> None:
    """On a refresh, invalid_grant means that it is over; each other error stays what it is."""
    found = error_for(TOKEN, data.draw(dressed(word)))
    assert found is not None
    if word == "invalid_grant":
        assert isinstance(refresh_error(found), SessionExpired)
    else:
        assert refresh_error(found) is found


@given(data=st.data(), word=words | st.sampled_from(["temporarily_unavailable", "slow_down"]))
def test_a_service_that_is_busy_refuses_no_token(data: st.DataObject, word: str) -> None:
    """A 429 or 5xx passes, whatever word stands in it: a 503 must never end a session."""
    busy = data.draw(dressed(word, (429, 500, 502, 503, 520)))
    found = error_for(TOKEN, busy)
    assert type(found) is (RateLimited if busy.status == 429 else ServerError)
    assert not isinstance(refresh_error(found), SessionExpired)


@pytest.mark.parametrize(
    "document",
    [
        {"access_token": "a", "error": None},
        {"access_token": "a", "scope": "invalid_grant"},
        {"access_token": "invalid_grant"},
        {"access_token": "a", "error": "", "error_description": "invalid_client"},
    ],
)
def test_a_word_elsewhere_in_a_token_reply_is_no_error(document: dict[str, object]) -> None:
    """Only the member that the standard names counts, and a token is a token whatever it reads like."""
    assert error_for(TOKEN, reply(document)) is None
    assert replies.grant(reply(document)).access


@pytest.mark.parametrize(
    "operation", [row for row in OPERATIONS.values() if row is not TOKEN], ids=lambda one: one.name
)
def test_an_oauth_error_means_nothing_to_other_operations(operation: AnyOperation) -> None:
    """A word of the token endpoint in another reply neither ends a session nor blames a setting."""
    found = error_for(operation, reply({"error": "invalid_grant"}, 400))
    assert type(found) is ApiError


@pytest.mark.parametrize(
    ("chosen", "setting"),
    [
        ({"region": "uk"}, "region"),
        ({"base_url": "https://id.example"}, "base_url"),
        ({"base_url": "https://chat.example", "identity_url": "https://id.example"}, "identity_url"),
    ],
)
@pytest.mark.parametrize("status", [404, 405])
def test_an_address_without_a_token_endpoint_is_a_wrong_address(
    status: int, chosen: dict[str, Any], setting: str
) -> None:
    """404 and 405 on connect/token name the host, and the setting that chose it."""
    address = Settings(solution_id="7", **chosen).address("identity")
    found = error_for(TOKEN, Reply(status=status, address=address))
    assert isinstance(found, ConfigurationError)
    assert found.setting == setting
    assert f"no /connect/token at {address.host}" in str(found)
    assert ("set identity_url" in str(found)) == (setting == "base_url")


@pytest.mark.parametrize("status", [401, 403])
def test_a_bare_refusal_of_the_token_request_is_about_the_client(status: int) -> None:
    """Without a word of the service, the client id is the first thing to look at."""
    found = error_for(TOKEN, Reply(status=status))
    assert isinstance(found, ConfigurationError)
    assert found.setting == "client_id"


@pytest.mark.parametrize(
    ("asked", "wait"),
    [
        ("7", 7.0),
        (" 7 ", 7.0),
        ("0", 0.0),
        ("", None),
        ("soon", None),
        ("-7", None),
        ("7.5", None),
        ("²", None),
        ("9" * 400, 999999999.0),
        ("Mon, 23 Nov 2026 12:00:30 GMT", 30.0),
        ("Mon, 23 Nov 2026 11:59:00 GMT", 0.0),
        ("Mon, 23 Nov 2026 12:00:30", None),
        ("Mon, 23 Nov 2026 12:00:30 +99999999999999999999", None),
        ("Mon, 23 Nov 99999 12:00:30 GMT", None),
    ],
)
def test_retry_after_is_seconds_or_a_date(asked: str, wait: float | None) -> None:
    """RFC 9110 section 10.2.3, judged by the reply's own clock; nonsense is not said."""
    assert wait_asked({"retry-after": asked, "date": "Mon, 23 Nov 2026 12:00:00 GMT"}) == wait
    assert wait_asked({}) is None


def test_a_date_without_the_replys_clock_is_judged_by_ours() -> None:
    """A date long past means now, a bad Date header is ignored."""
    assert wait_asked({"retry-after": "Mon, 23 Nov 1998 12:00:00 GMT"}) == 0.0
    assert wait_asked({"retry-after": "Mon, 23 Nov 2026 12:00:00 GMT", "date": "today"}) is None


@pytest.mark.parametrize(("status", "kind"), [(429, RateLimited), (503, ServerError)])
def test_the_error_tells_how_long_to_wait(status: int, kind: type[ApiError]) -> None:
    """A program can act on it."""
    found = error_for(POLL, reply({}, status, **{"retry-after": "7", "x-request-id": "r1"}))
    assert isinstance(found, kind)
    assert (found.retry_after, found.request_id, found.retryable) == (7.0, "r1", True)


def test_the_services_name_for_a_request_is_kept() -> None:
    """From the header, or from the trace id that this framework puts into problems."""
    found = error_for(STATUS, problem(500, traceId="t1"))
    assert found is not None
    assert found.request_id == "t1"


@pytest.mark.parametrize("status", [301, 302, 307, 308])
@pytest.mark.parametrize(
    ("location", "told"),
    [
        ("https://new.example/x?token=1", "new.example"),
        ("/login", "another address"),
        ("", "another address"),
        ("http://[::1", "another address"),
    ],
)
def test_a_redirect_is_a_wrong_address(status: int, location: str, told: str) -> None:
    """It is not followed; the message tells where to, without path and query."""
    found = error_for(POLL, Reply(status=status, headers={"location": location}))
    assert isinstance(found, ConfigurationError)
    assert found.setting == "base_url"
    assert told in str(found)
    assert "token" not in str(found)


@pytest.mark.parametrize(
    ("operation", "host"), [(TOKEN, "id.example (identity_url)"), (POLL, "chat.example (base_url)")]
)
def test_a_redirect_names_the_host_that_redirects_and_its_setting(operation: AnyOperation, host: str) -> None:
    """There are two hosts, and only one of them has moved."""
    settings = Settings(solution_id="7", base_url="https://chat.example", identity_url="https://id.example")
    address = settings.address(operation.host)
    found = error_for(operation, Reply(status=307, address=address, headers={"location": "https://new.example/"}))
    assert isinstance(found, ConfigurationError)
    assert str(address) == host
    assert str(found).startswith(f"{address.setting}: {address.host} redirects to new.example")
    assert found.host == operation.host


# What of a reply may be shown


# Their requests or replies hold tokens, the customer's words and name, or an agent's name.
WORDY = [TOKEN, AUTHENTICATE, POLL, SEND, ROUTE, STATUS]
PRIVATE = [row for row in OPERATIONS.values() if row.private]
MARK = "Grunnfjell"
documents = st.recursive(
    st.just(MARK) | st.text(max_size=5).map(lambda t: MARK + t + MARK) | st.integers(0, 9) | st.none(),
    lambda inner: st.lists(inner, max_size=40) | st.dictionaries(st.sampled_from(["id", "content", 'a"b', "é"]), inner),
    max_leaves=60,
)


@given(document=documents, cut=st.integers(0, 3000), ascii_only=st.booleans())
def test_words_and_tokens_are_masked_wherever_a_reply_is_cut(document: object, cut: int, ascii_only: bool) -> None:
    """Of a JSON reply only keys and numbers are shown, also when it breaks off in the middle of a word."""
    body = json.dumps({"messages": document}, ensure_ascii=ascii_only).encode()[: cut + 1]
    for operation in PRIVATE:
        assert "Grunn" not in excerpt(operation, Reply(status=200, headers=JSON, body=body))


@pytest.mark.parametrize("operation", PRIVATE, ids=lambda one: one.name)
@pytest.mark.parametrize("length", range(1010, 1022))
def test_a_long_word_that_breaks_off_behind_a_backslash_is_masked(operation: AnyOperation, length: int) -> None:
    """The excerpt looks at the first 1024 bytes, and an escape may straddle their end."""
    body = b'{"a":"' + (MARK.encode() * 200)[:length] + b'\\u00e6 and so on"}'
    assert "Grunn" not in excerpt(operation, Reply(status=200, headers=JSON, body=body))


@pytest.mark.parametrize("operation", WORDY, ids=lambda one: one.name)
@pytest.mark.parametrize(
    "body",
    [
        f'{{"title": "ok", "name": "{MARK}"}}',
        f'["{MARK}"]',
        f"{{'access_token': '{MARK}'}}",
        f"The value '{MARK}' is not valid.",
        f"[{MARK}]",
        f"{{{MARK}",
        f"<p>{MARK}</p>",
    ],
)
def test_no_operation_shows_words_of_a_reply_that_does_not_fit(operation: AnyOperation, body: str) -> None:
    """A reply can hold what the customer wrote, an agent's name or a token; errors show none of it."""
    got = Reply(status=400, headers={"content-type": "text/plain"}, body=body.encode())
    assert MARK not in excerpt(operation, got)
    assert MARK not in str(error_for(operation, got))


def test_a_title_is_told_only_where_it_can_hold_no_words() -> None:
    """What a service calls a problem helps, and may repeat what people wrote or a token."""
    got = problem(400, "Code", title="Bad token access-9c1f7a22e0b84d55")
    assert str(error_for(QUEUE, got)).startswith("getQueueInfo: status 400 (Bad token …, Code).")
    assert str(error_for(SEND, got)).startswith("sendMessage: status 400 (Code).")
    assert str(error_for(SEND, problem(400, "I am 12 years old"))).startswith("sendMessage: status 400.")


def test_an_excerpt_tells_enough_to_find_the_fault() -> None:
    """Structure and keys of JSON, the title of a page, the size of anything else."""
    got = excerpt(POLL, reply({"messages": [{"id": "1", "size": 7}]}))
    assert got == '{"messages": [{"id": "…", "size": 7}]}'
    assert excerpt(POLL, Reply(status=200, body=b" ")) == "(empty)"
    assert (
        excerpt(POLL, Reply(status=502, body=b"<html><title> Bad gateway </title>"))
        == "an HTML page titled 'Bad gateway'"
    )
    assert excerpt(POLL, Reply(status=200, body=b"Hello")) == "(5 bytes that are not JSON)"
    assert len(excerpt(QUEUE, Reply(status=200, body=b"[" + b"1," * 5000))) <= 256


@pytest.mark.parametrize("operation", OPERATIONS.values(), ids=OPERATIONS)
def test_no_error_can_steer_a_terminal(operation: AnyOperation) -> None:
    """Control sequences in a problem, a reason or a page do not reach the message."""
    for got in (
        problem(400, "\x1b[2J", title="\x1b]0;x\x07"),
        Reply(status=500, headers={}, body=b"\x1b[2J oh"),
        Reply(status=500, headers={}, body=b"<title>\x1b[2J</title>"),
    ):
        assert "\x1b" not in str(error_for(operation, got))
