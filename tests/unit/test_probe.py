"""The pure parts of the probe: what a reply is like, what of it contradicts the document, and the judgement."""

from __future__ import annotations

import json
from typing import Any, get_args

import pytest
from attrs import evolve
from hypothesis import given
from hypothesis import strategies as st

from puzzel_chat import (
    ApiError,
    ConfigurationError,
    ContractError,
    NotFound,
    OperationInfo,
    PuzzelChatError,
    QueueClosed,
    ServerError,
    SessionExpired,
    TransportError,
    operations,
)
from puzzel_chat._http import Reply
from puzzel_chat._probe import CONTENT, Difference, Policy, Seen, Semantics, differences, judged, rotation, shape
from puzzel_chat.cli._probe import ROTATION, SEMANTICS

JSON = {"content-type": "application/json; charset=utf-8"}
REFUSED = Reply(status=400, headers=JSON, body=b'{"error": "invalid_grant"}')
ROWS = {row.name: row for row in operations()}
INFO = OperationInfo(
    name="getThing",
    method="GET",
    path="/api/thing/{id}",
    provenance="assumed",
    note="",
    used_by="",
    host="communication",
    statuses=(200, 404),
    reply={
        "/id": "string",
        "/isOpen": "boolean or null",
        "/wait": "number or null",
        "/raw": "any",
        "/items": "array or null",
        "/items/*": "object",
        "/items/*/type": "string",
        "/items/*/name": "string or null",
        "/items/*/size": "integer or null",
    },
    required=("/id", "/items/*/type"),
)


def answer(body: object, status: int = 200, media: str = "application/json") -> Reply:
    """A reply of the service."""
    data = body if isinstance(body, bytes) else json.dumps(body).encode()
    return Reply(status=status, headers={"content-type": media}, body=data)


def seen(*replies: Reply, error: PuzzelChatError | None = None, made_up: bool = False) -> Seen:
    """What is remembered of these replies."""
    memory = Seen(error=error, made_up=made_up)
    for reply in replies:
        memory.take(reply)
    return memory


def found(body: object) -> set[tuple[str, str]]:
    """The differences of one reply, by place and what came."""
    return {(one.pointer, one.came) for one in differences(INFO, seen(answer(body)).fields)}


def test_the_shape_has_names_and_types_and_no_value() -> None:
    """Members of objects by their names, items of lists as `*`."""
    value = {"a": 1, "b": [{"c": None}, {"c": "x"}], "d": {"e": True}, "f": 1.5, "g": []}
    kinds = [("/a", "integer"), ("/b", "array"), ("/b/*", "object"), ("/b/*/c", "null"), ("/b/*", "object")]
    more = [("/b/*/c", "string"), ("/d", "object"), ("/d/e", "boolean"), ("/f", "number"), ("/g", "array")]
    assert list(shape(value)) == kinds + more


@pytest.mark.parametrize(
    "name", ["ada@x.example", "+47 99 99 99 99", "b4d55e8f-1", "My order", "27504", "a/b", "x" * 99]
)
def test_a_name_that_may_be_a_value_is_not_kept(name: str) -> None:
    """Ids, addresses, numbers and words as names of members become `*`."""
    assert list(shape({name: 1})) == [("/*", "integer")]


@given(
    st.recursive(st.none() | st.text(min_size=3), lambda inner: st.dictionaries(st.just("member"), inner), max_leaves=4)
)
def test_no_text_of_a_reply_is_in_its_shape(value: object) -> None:
    """Whatever a service answers, the words that are kept are names and types."""
    told = {part for place, kind in shape(value) for part in (*place.split("/"), kind)}
    assert told <= {"", "member", "*", "string", "null", "object"}


def test_a_reply_without_end_is_bounded() -> None:
    """Neither depth nor width of a reply makes the report large."""
    deep: dict[str, Any] = {}
    for _ in range(500):
        deep = {"a": deep}
    assert max(place.count("/") for place, _ in shape(deep)) <= 8
    wide = seen(answer({f"{one}{two}{three}": 1 for one in "abcdefgh" for two in "abcdefgh" for three in "abcdefgh"}))
    assert len(wide.fields) == 300


@pytest.mark.parametrize(
    ("body", "differs"),
    [
        ({"id": "1", "isOpen": True, "wait": 1, "items": [{"type": "a", "name": "b"}], "raw": {"x": 1}}, set()),
        ({"id": "1"}, set()),
        ({"id": "1", "extra": {"deep": [1]}}, set()),
        ({"id": "1", "isOpen": None, "wait": 1.5, "items": None}, set()),
        ({}, {("/id", "missing")}),
        ({"id": 1}, {("/id", "integer")}),
        ({"id": "1", "wait": "soon"}, {("/wait", "string")}),
        ({"id": "1", "items": {}}, {("/items", "object")}),
        ({"key": "1"}, {("/id", "missing"), ("/key", "new")}),
        ({"id": "1", "open": True}, {("/isOpen", "missing"), ("/open", "new")}),
        ({"id": "1", "open": "yes"}, set()),
        ({"id": "1", "items": [{"type": "a", "title": "b"}]}, set()),
        ({"id": "1", "items": [{"kind": "a"}]}, {("/items/*/type", "missing"), ("/items/*/kind", "new")}),
        ({"id": "1", "items": ["a"]}, {("/items/*", "string")}),
    ],
)
def test_what_contradicts_the_document(body: object, differs: set[tuple[str, str]]) -> None:
    """Required members, types, and a member that may have another name; not what is new or was left out.

    Items of several types each lack what the others have, so there only a required member can be missing.
    """
    assert found(body) == differs


@pytest.mark.parametrize(
    ("reply", "answered", "told"),
    [
        (answer({"id": "1", "isOpen": None, "wait": None, "items": []}), "confirmed", ""),
        (answer({"id": "1", "more": "x"}), "confirmed", "also brings /more; does not bring /isOpen, /wait, /raw, "),
        (answer({"id": "1"}, status=203), "differs", "the answer is 203, not 200"),
        (answer({"id": "1"}, media="text/plain"), "differs", "the answer is text/plain, not application/json"),
        (answer(b"<p>Ada</p>", media="text/html"), "differs", "not json"),
        (answer(["1"]), "differs", "the answer is array, not object"),
        (answer(b""), "differs", "/id is missing"),
    ],
)
def test_a_success_is_judged_by_all_that_can_be_seen(reply: Reply, answered: str, told: str) -> None:
    """Status, content type, whether it is an object, and its members."""
    row = judged(INFO, seen(reply))
    assert (row.answer, row.status) == (answered, reply.status)
    assert told in row.told
    assert "Ada" not in row.told


def test_what_only_the_library_could_not_read_is_a_difference() -> None:
    """A reply of the right names and types that is of no use all the same."""
    error = ContractError("getThing", "/id", "there is no id", "{}")
    row = judged(INFO, seen(answer({"id": ""}), error=error))
    assert (row.answer, row.differences) == ("differs", (Difference("/id", "string", "unreadable"),))


def test_a_success_counts_before_a_failure_that_passed() -> None:
    """One answer of 503 and then a good one: the operation is as expected."""
    row = judged(INFO, seen(answer({}, status=503), answer({"id": "1"}), Reply(status=204)))
    assert (row.answer, row.status, row.content_type) == ("confirmed", 200, "application/json")


def refusal(kind: type[Any], status: int, code: str | None = None) -> PuzzelChatError:
    """An error of that status."""
    error: PuzzelChatError = kind("words of the library", status=status, code=code)
    return error


@pytest.mark.parametrize(
    ("name", "status", "error", "made_up", "answered"),
    [
        ("authenticateVisitor", 401, None, True, "confirmed"),
        ("authenticateVisitor", 401, None, False, "unclear"),
        ("authenticateVisitor", 400, None, True, "unclear"),
        ("authenticateVisitor", 400, None, False, "differs"),
        ("authenticateVisitor", 404, refusal(NotFound, 404, "ProviderNotFound"), True, "unclear"),
        ("authenticateVisitor", 404, refusal(NotFound, 404), True, "differs"),
        ("getQueueInfo", 404, refusal(NotFound, 404, "QueueNotFound"), False, "unclear"),
        ("getQueueInfo", 404, refusal(NotFound, 404, "NotFound"), False, "differs"),
        ("routeConversation", 422, QueueClosed("closed"), False, "confirmed"),
        ("routeConversation", 405, None, False, "differs"),
        ("getRequestStatus", 404, None, True, "unclear"),
        ("getRequestStatus", 404, None, False, "differs"),
        ("sendMessage", 409, None, False, "unclear"),
        ("sendMessage", 429, None, False, "unclear"),
        ("sendMessage", 500, refusal(ServerError, 500), False, "unclear"),
        ("sendMessage", 400, None, False, "differs"),
        ("endConversation", 404, None, False, "differs"),
        ("pollConversation", 401, None, False, "differs"),
    ],
)
def test_a_refusal_is_told_from_a_contradiction(
    name: str, status: int, error: PuzzelChatError | None, made_up: bool, answered: str
) -> None:
    """What may pass, or is about the thing asked for, contradicts nothing; an unknown path, method or body does."""
    row = judged(ROWS[name], seen(Reply(status=status), error=error, made_up=made_up))
    assert row.answer == answered
    assert bool(row.differences) == (answered == "differs")
    assert row.told


def test_a_chat_that_could_not_be_ended_is_told() -> None:
    """Whoever runs the probe has to end it in the agents' application."""
    assert "may still be open" in judged(ROWS["endConversation"], seen(Reply(status=404))).told


def test_what_was_not_answered_is_no_finding() -> None:
    """Not asked, or asked and not reached."""
    assert judged(INFO, seen()).answer == "not asked"
    row = judged(INFO, seen(error=TransportError("No connection to chat.example.", sent="no")))
    assert (row.answer, row.told) == ("unclear", "No connection to chat.example.")


def test_a_refusal_is_told_in_one_word_of_the_service() -> None:
    """Not in words of its own making, which may be a person's."""
    for code, told in (("BadRequest", "calls it BadRequest"), ("Ada Lovelace", "the answer is 400, not 200")):
        row = judged(ROWS["sendMessage"], seen(Reply(status=400), error=refusal(ApiError, 400, code)))
        assert row.told.endswith(told)


def test_a_media_type_that_is_none_is_not_kept() -> None:
    """A content type is kept only when it is one."""
    row = judged(evolve(INFO, reply={}), seen(answer({"id": "1"}, media="Ada, 12 High Street")))
    assert (row.content_type, row.answer) == (None, "confirmed")


def test_the_words_of_a_message_have_their_place() -> None:
    """The probe looks for them by that place, so a document that moves them has to be told to it."""
    assert ROWS["pollConversation"].reply[CONTENT] == "string or null"


def gives(refresh: str | None, expires_in: int | None = 900) -> Reply:
    """A token reply."""
    return answer({"access_token": "a", "refresh_token": refresh, "expires_in": expires_in})


def look(*replies: Reply) -> tuple[list[str | None], Policy]:
    """The refresh tokens that were sent, None for the first request, and the finding."""
    sent: list[str | None] = [None]
    for number in range(1, len(replies) + 1):
        policy, refresh = rotation(list(replies[:number]))
        if policy is not None:
            return sent, policy
        sent.append(refresh)
    raise AssertionError("it asks on and on")


@pytest.mark.parametrize(
    ("replies", "policy", "sent"),
    [
        ([gives(None)], "no_refresh_token", [None]),
        ([gives("1"), gives(None), gives(None)], "kept", [None, "1", "1"]),
        ([gives("1"), gives("1"), gives("1")], "kept", [None, "1", "1"]),
        ([gives("1"), gives("2"), gives("2")], "same_reply", [None, "1", "1"]),
        ([gives("1"), gives("2"), gives("3")], "new_reply", [None, "1", "1"]),
        ([gives("1"), gives("2"), REFUSED, gives("3")], "refused", [None, "1", "1", "2"]),
        ([gives("1"), gives("2"), REFUSED, REFUSED], "revoked", [None, "1", "1", "2"]),
        ([gives("1"), gives(None), REFUSED], "revoked", [None, "1", "1"]),
    ],
)
def test_each_rotation_is_told_by_its_replies(replies: list[Reply], policy: str, sent: list[str | None]) -> None:
    """At most four requests, none after the finding."""
    assert look(*replies) == (sent, policy)


@pytest.mark.parametrize(
    ("replies", "error"),
    [
        ([REFUSED], ConfigurationError),
        ([gives("1"), REFUSED], SessionExpired),
        ([gives("1"), gives("2"), Reply(status=503)], ServerError),
        ([gives("1"), gives("2"), REFUSED, Reply(status=503)], ServerError),
    ],
)
def test_what_tells_nothing_of_the_rotation_is_raised(replies: list[Reply], error: type[PuzzelChatError]) -> None:
    """A refused first request, or a service that fails, is no finding."""
    with pytest.raises(error):
        look(*replies)


def test_every_finding_has_its_words() -> None:
    """What the command line says covers all that can be found."""
    assert set(ROTATION) == set(get_args(Policy))
    assert set(SEMANTICS) == set(get_args(Semantics))
