"""Replies and the items of a poll: read as they are meant, and whatever is wrong with a part hides no other."""

from __future__ import annotations

import json
from collections.abc import Callable
from contextlib import suppress
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from attrs import evolve
from hypothesis import given
from hypothesis import strategies as st

from documents import JSON, also, fixed, line, problem, reply, values
from puzzel_chat._errors import ContractError, QueueClosed
from puzzel_chat._http import Reply
from puzzel_chat._models import (
    Agent,
    AgentJoined,
    AgentLeft,
    AgentTyping,
    Allocation,
    AllocationStage,
    Author,
    ConversationEnded,
    Event,
    FileMessage,
    Option,
    OptionsMessage,
    QueueInfo,
    Role,
    TextMessage,
    TimeInfo,
    UnknownMessage,
)
from puzzel_chat._tokens import DEFAULT_TTL
from puzzel_chat._wire import replies
from puzzel_chat._wire.operations import (
    AUTHENTICATE,
    POLL,
    QUEUE,
    ROUTE,
    SEND,
    STATUS,
    TIME,
    TOKEN,
    AnyOperation,
    poll_request,
)
from puzzel_chat._wire.refusals import error_for
from puzzel_chat._wire.replies import WrongType, flag, identity, own_id, seconds, text, text_or_empty, when, whole
from puzzel_chat_api.types import UNSET

NOW = datetime(2026, 11, 23, 12, tzinfo=UTC)
TAKEN: list[tuple[Callable[[Any], object], type, list[Any]]] = [
    (text, str, ["", "x"]),
    (whole, int, [0, 7]),
    (seconds, float, [0, 7, 1.5, "30"]),
    (flag, bool, [True, False]),
    (when, datetime, ["2026-11-23T12:00:00Z"]),
    (identity, str, ["x", 7, 0, -1]),
    (own_id, str, ["x", 7, 0, -1]),
]
REFUSED: list[tuple[Callable[[Any], object], list[Any]]] = [
    (text, [7, True, None, UNSET, [], {}, 1.5]),
    (whole, ["7", -1, True, None, 1.5, [], {}]),
    (seconds, ["x", -1, True, None, [], {}, float("nan"), float("inf"), "1.5", "²", 10**400]),
    (flag, [0, 1, "true", None, [], {}]),
    (when, [7, True, None, "", "soon", [], {}, "2026-13-01", "0001-01-01T00:00:00+01:00", "9999-12-31T23:59:59-01:00"]),
    (identity, ["", None, UNSET, True, False, [], {}, 1.5]),
    (own_id, ["", None, UNSET, True, False, [], {}, 1.5]),
]
CONVERTERS: list[tuple[AnyOperation, Callable[[Reply], object]]] = [
    (TOKEN, lambda one: replies.grant(one, 0.0)),
    (AUTHENTICATE, replies.signed_in),
    (QUEUE, lambda one: replies.queue_info(one, NOW)),
    (TIME, lambda one: replies.time_info(one, NOW)),
    (ROUTE, lambda one: replies.routed(one, NOW)),
    (STATUS, lambda one: replies.allocation(one, NOW)),
    (SEND, lambda one: replies.sent_message(one, "c", "m", "Hello")),
    (POLL, replies.poll),
]
# Where a word or a number is an id, and where one must be there.
IDENTIFIED: list[Callable[[object], object]] = [
    lambda one: replies.signed_in(reply({"userInfoId": one})),
    lambda one: replies.queue_info(reply({"id": one}), NOW).id,
    lambda one: replies.time_info(reply({"id": one}), NOW).id,
    lambda one: replies.sent_message(reply({"id": one}), "c", "m", "Hello").id,
]
MAY_BE_IDENTIFIED: list[Callable[[object], object]] = [
    lambda one: replies.grant(reply({"access_token": "a", "visitor_id": one}), 0.0).visitor_id,
    lambda one: replies.routed(reply({"requestId": one}), NOW)[1],
    lambda one: replies.poll(reply({"messages": [], "cursor": one})).cursor,
]
NO_IDS: list[object] = ["", None, True, False, [], {}, 1.5]
not_an_id = values.filter(lambda one: one == "" or type(one) not in (str, int))


NOT_SET = [
    *(f"0001-01-01T00:00:00{zone}" for zone in ("", "Z", "+01:00", "-01:00", ".0000000Z", "+14:00")),
    *(f"9999-12-31T23:59:59.9999999{zone}" for zone in ("", "Z", "+01:00", "-01:00", "-14:00")),
    *("0001-01-01", "9999-12-31", "00010101T000000Z", "9999-12-31T24:00:00", "0001-01-01T00:00:00+00:00"),
    *("1970-01-01T00:00:00Z", "1970-01-01T01:00:00+01:00", "1969-12-31T19:00:00-05:00", "1601-01-01T00:00:00Z"),
    *("1753-01-01T00:00:00", "1899-12-30T00:00:00", "1900-01-01T00:00:00", "2079-06-06T23:59:00", "2999-12-31"),
]
"""What .NET, SQL, Unix, Windows and people write for a moment that nobody has set."""


@pytest.mark.parametrize("written", NOT_SET)
def test_a_moment_that_is_not_set_is_none_wherever_it_stands(written: str) -> None:
    """Hours, a closed queue, a message, its edit, and an item that is not understood; `raw` still says it."""
    hours = replies.queue_info(reply({"id": "q", "opensAt": written, "closesAt": written}), NOW)
    assert (hours.opens_at, hours.closes_at, hours.raw["opensAt"]) == (None, None, written)
    assert replies.time_info(reply({"id": "t", "nextChange": written}), NOW).next_change is None
    assert replies.sent_message(reply({"id": "1", "sentAt": written}), "c", "m", "Hello").sent_at is None
    for kind in ("Text", "Options", "File", "Event", "Odd"):
        found = replies.event(line(type=kind, sentAt=written, event="AgentTyping", fileName="f", url="u"))
        assert (found.sent_at, found.id, found.raw["sentAt"]) == (None, "1", written)
        assert isinstance(found, UnknownMessage) == (kind == "Odd")
    closed = error_for(ROUTE, problem(409, "QueueClosed", opensAt=written))
    assert isinstance(closed, QueueClosed)
    assert closed.opens_at is None
    assert written[:4] not in str(closed)


@pytest.mark.parametrize(
    "written", ["2000-01-02T00:00:00Z", "2026-11-23T12:00:00.1234567+01:00", "2078-12-31T23:00:00"]
)
def test_a_moment_that_may_be_one_is_kept(written: str) -> None:
    """The line is drawn far from every chat."""
    found = when(written)  # type: ignore[arg-type]  # as the models let it through
    assert found is not None
    assert found.utcoffset() == timedelta(0)


@pytest.mark.parametrize(
    "number", [-1, -(2**31), 2**31 - 1, 2**32 - 1, 2**63 - 1, 2**64 - 1, 10**12, 922337203685.4775]
)
def test_a_number_that_is_not_set_is_none_wherever_it_stands(number: float) -> None:
    """.NET's -1, `int.MaxValue`, `long.MaxValue` and the seconds of `TimeSpan.MaxValue`."""
    info = replies.queue_info(reply({"id": "q", "waitTimeAverageSeconds": number}), NOW)
    search = replies.allocation(reply({"estimatedWaitSeconds": number}), NOW)
    assert (info.estimated_wait, search.estimated_wait) == (None, None)
    assert replies.grant(reply({"access_token": "a", "expires_in": number}), 0.0).ttl == DEFAULT_TTL
    if number in (10**12, 922337203685.4775):
        return
    info = replies.queue_info(reply({"id": "q", "queueSize": number, "agentsReady": number}), NOW)
    assert (info.queue_size, info.agents_ready) == (None, None)
    assert replies.allocation(reply({"queuePosition": number}), NOW).queue_position is None


def test_zero_is_no_place_in_a_queue_but_a_number_elsewhere() -> None:
    """A queue begins with one; nobody waits, nobody is ready and no wait are answers."""
    search = replies.allocation(reply({"queuePosition": 0, "estimatedWaitSeconds": 0}), NOW)
    assert (search.queue_position, search.estimated_wait) == (None, 0.0)
    info = replies.queue_info(reply({"id": "q", "queueSize": 0, "agentsReady": 0, "waitTimeAverageSeconds": 0}), NOW)
    assert (info.queue_size, info.agents_ready, info.estimated_wait) == (0, 0, 0.0)


# Documents


@fixed
@given(
    body=st.binary(max_size=40).filter(lambda one: not one.strip().startswith(b"{") or not one.strip().endswith(b"}"))
    | values.filter(lambda one: not isinstance(one, dict)).map(lambda v: json.dumps(v).encode())
)
@also(body=[b"", b"  ", b"<html>", b"{", b"[]", b"7", b"null", b'"x"', b"\xff\xfe", b"[" * 100_000])
def test_a_reply_that_is_no_object_breaks_the_contract(body: bytes) -> None:
    """Empty, HTML, cut, a list, a number, no text, or too deep: always ContractError, naming the operation and host.

    Only a route may have an empty reply: what it would say is not known and not needed.
    """
    for operation, convert in CONVERTERS:
        if operation is ROUTE and not body.strip():
            continue
        with pytest.raises(ContractError) as raised:
            convert(Reply(status=200, headers=JSON, body=body))
        assert (raised.value.operation, raised.value.pointer) == (operation.name, "")
        assert raised.value.host == operation.host


MEMBERS = ["id", "status", "messages", "isOpen", "opensAt", "sentAt", "agent", "access_token", "visitor_id", "cursor"]
MEMBERS += ["userInfoId", "requestId", "expires_in", "estimatedWaitSeconds", "queuePosition"]


@fixed
@given(document=st.dictionaries(st.sampled_from(MEMBERS), values))
def test_no_document_brings_a_foreign_error(document: dict[str, Any]) -> None:
    """Whatever a reply holds, it is converted or it is a ContractError."""
    for _, convert in CONVERTERS:
        with suppress(ContractError):
            convert(reply(document))


@pytest.mark.parametrize(
    ("value", "expected"), [("q_support", "q_support"), (27504, "27504"), (0, "0"), (2**70, str(2**70))]
)
def test_an_id_is_a_word_or_a_number(value: object, expected: str) -> None:
    """Both come through as strings, of a visitor, a queue, a time module, a message, a request, and as a cursor."""
    assert [read(value) for read in (*IDENTIFIED, *MAY_BE_IDENTIFIED)] == [expected] * 7
    assert poll_request(replies.poll(reply({"cursor": value})).cursor).query == f"after={expected}"


@fixed
@given(value=not_an_id)
@also(value=NO_IDS)
def test_what_can_be_no_id_is_none_or_breaks_the_contract(value: object) -> None:
    """Nothing comes through under the name of a missing value; where an id is not needed the rest counts."""
    assert [read(value) for read in MAY_BE_IDENTIFIED] == [None] * 3
    for read in IDENTIFIED:
        with pytest.raises(ContractError, match="there is no id"):
            read(value)


def test_an_id_that_is_left_out_is_missing() -> None:
    """The pointer says which."""
    for convert, pointer in (
        (replies.signed_in, "/userInfoId"),
        (lambda one: replies.queue_info(one, NOW), "/id"),
        (lambda one: replies.time_info(one, NOW), "/id"),
        (lambda one: replies.sent_message(one, "c", "m", "Hello"), "/id"),
    ):
        with pytest.raises(ContractError) as raised:
            convert(reply({"sentAt": "2026-11-23T12:00:00Z"}))
        assert raised.value.pointer == pointer
    assert replies.routed(reply({}), NOW)[1] is None
    assert replies.poll(reply({})).cursor is None


# A good document, what it is read as, and which attribute each of its members becomes.
READ: list[tuple[dict[str, Any], Callable[[Reply, datetime], Any], object, dict[str, str]]] = [
    (
        {
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
        },
        replies.queue_info,
        QueueInfo(
            id="support",
            name="Support",
            is_open=True,
            opens_at=datetime(2026, 11, 24, 8, tzinfo=UTC),
            closes_at=datetime(2026, 11, 23, 15, tzinfo=UTC),
            queue_size=3,
            agents_ready=2,
            estimated_wait=45.0,
            time_id="office",
            fetched_at=NOW,
        ),
        {
            "name": "name",
            "isOpen": "is_open",
            "opensAt": "opens_at",
            "closesAt": "closes_at",
            "queueSize": "queue_size",
            "agentsReady": "agents_ready",
            "waitTimeAverageSeconds": "estimated_wait",
            "timeId": "time_id",
        },
    ),
    (
        {"id": "t", "exitName": "Åpent", "isOpen": False, "nextChange": "2026-11-23T12:00:00"},
        replies.time_info,
        TimeInfo(id="t", exit_name="Åpent", is_open=False, next_change=NOW, fetched_at=NOW),
        {"exitName": "exit_name", "isOpen": "is_open", "nextChange": "next_change"},
    ),
    (
        {
            "status": "Assigned",
            "queuePosition": 1,
            "estimatedWaitSeconds": 30,
            "agent": {"id": "k", "displayName": "Kari <i>N</i>"},
            "reason": "why",
        },
        replies.allocation,
        Allocation(
            stage=AllocationStage.ASSIGNED,
            queue_position=1,
            estimated_wait=30.0,
            agent=Agent(id="k", name="Kari N"),
            reason="why",
            fetched_at=NOW,
        ),
        {
            "queuePosition": "queue_position",
            "estimatedWaitSeconds": "estimated_wait",
            "agent": "agent",
            "reason": "reason",
        },
    ),
]
# Of no member's type; as text they are words that a name or a reason may be.
ODD: list[object] = [None, [], ["x"], -1, 10**400, 1e300, "²", "0001-01-01T00:00:00+01:00", ...]


@pytest.mark.parametrize(("document", "convert", "expected", "members"), READ, ids=["queue", "time", "allocation"])
def test_a_reply_is_read_with_all_it_says(
    document: dict[str, Any], convert: Callable[[Reply, datetime], Any], expected: object, members: dict[str, str]
) -> None:
    """Times in UTC, waits in seconds, names without markup; everything stands in `raw`."""
    found = convert(reply(document), NOW)
    assert (found, dict(found.raw)) == (expected, document)


@fixed
@given(value=values)
@also(value=ODD)
def test_a_member_that_is_missing_or_wrong_hides_no_other(value: object) -> None:
    """Null, missing and nonsense leave the default or a value of the member's type, and the rest is told."""
    for document, convert, expected, members in READ:
        for member, attribute in members.items():
            left = {name: one for name, one in {**document, member: value}.items() if one is not ...}
            found = convert(reply(left), NOW)
            assert evolve(found, **{attribute: getattr(expected, attribute)}) == expected
            assert type(getattr(found, attribute)) in (type(getattr(expected, attribute)), type(None))
            if value is None or value is ... or isinstance(value, list):
                assert getattr(found, attribute) is None


def test_a_token_reply_gives_its_tokens() -> None:
    """Access, refresh, life time and the visitor; all but the first may be missing."""
    said = {"access_token": "a", "token_type": "Bearer", "expires_in": 900, "refresh_token": "r", "visitor_id": "ada"}
    given_ = replies.grant(reply(said), 1000.0)
    assert (given_.access, given_.refresh, given_.ttl, given_.visitor_id) == ("a", "r", 900.0, "ada")
    assert (given_.obtained, given_.generation) == (1000.0, 1)
    assert "ada" not in repr(given_)
    bare = replies.grant(reply({"access_token": "a"}), 0.0)
    assert (bare.refresh, bare.ttl, bare.visitor_id) == (None, DEFAULT_TTL, None)


def test_a_strange_life_time_is_none_or_a_number() -> None:
    """Some servers send a string; nonsense counts as not said."""
    nonsense: list[object] = [0, -5, None, "soon", "²", True, []]
    for expires_in, ttl in [("900", 900.0), (1e3, 1000.0), *((one, DEFAULT_TTL) for one in nonsense)]:
        assert replies.grant(reply({"access_token": "a", "expires_in": expires_in}), 0.0).ttl == ttl


@fixed
@given(refresh=values.filter(lambda one: not isinstance(one, str)))
@also(refresh=[7, [], "", None, False])
def test_a_refresh_token_that_is_none_is_none(refresh: object) -> None:
    """A wrong type or an empty string is no refresh token."""
    assert replies.grant(reply({"access_token": "a", "refresh_token": refresh}), 0.0).refresh is None


@fixed
@given(access=values.filter(lambda one: not (isinstance(one, str) and one.isascii() and one.isprintable())))
@also(access=[None, "", 7, [], "a\nb", "tøken", ...])
def test_a_reply_without_a_usable_token_breaks_the_contract(access: object) -> None:
    """No token, or one that no header can carry, is told with the operation and the pointer."""
    document = {"refresh_token": "s3cr3t"} | ({} if access is ... else {"access_token": access})
    with pytest.raises(ContractError, match="connectToken") as raised:
        replies.grant(reply(document), 0.0)
    assert raised.value.pointer == "/access_token"
    assert "s3cr3t" not in f"{raised.value} {raised.value.excerpt}"


def test_an_identified_visitor_is_masked() -> None:
    """What stands for a person is in no repr."""
    assert "u1" not in repr(replies.signed_in(reply({"userInfoId": "u1"})))


def test_each_known_stage_is_read() -> None:
    """The wire's word is the stage's name with a capital."""
    for stage in set(AllocationStage) - {AllocationStage.UNKNOWN}:
        assert replies.allocation(reply({"status": stage.value.capitalize()}), NOW).stage is stage
        assert replies.routed(reply({"status": stage.value.capitalize()}), NOW)[0].stage is stage


@fixed
@given(status=st.none() | st.text().filter(lambda one: one.lower() not in set(AllocationStage)))
@also(status=["Parked", None, ...])
def test_a_stage_that_is_new_or_not_told_is_unknown(status: object) -> None:
    """Neither stops the search; a new word stands in `raw`, and the rest is told."""
    document = {"queuePosition": 4, "requestId": "r"} | ({} if status is ... else {"status": status})
    found = replies.allocation(reply(document), NOW)
    assert (found.stage, found.queue_position, dict(found.raw)) == (AllocationStage.UNKNOWN, 4, document)
    assert replies.routed(reply(document), NOW)[0].stage is AllocationStage.UNKNOWN


@fixed
@given(status=values.filter(lambda one: not isinstance(one, str | None)))
@also(status=[7, [], {}, True, 1.5])
def test_a_stage_that_is_no_word_breaks_the_contract(status: object) -> None:
    """A status of another type shows that the reply is not the one that we know."""
    with pytest.raises(ContractError, match="getRequestStatus") as raised:
        replies.allocation(reply({"status": status}), NOW)
    assert raised.value.pointer == "/status"
    with pytest.raises(ContractError, match="routeConversation"):
        replies.routed(reply({"status": status}), NOW)


@fixed
@given(status=st.integers(200, 299), body=st.sampled_from([b"", b" \r\n", b"{}"]))
def test_any_success_of_a_route_counts(status: int, body: bytes) -> None:
    """Whatever 2xx it is, and also without a word, the conversation is in the service's hands."""
    came = Reply(status=status, headers=JSON, body=body)
    assert error_for(ROUTE, came) is None
    found, request_id = replies.routed(came, NOW)
    assert (found.stage, found.fetched_at, request_id) == (AllocationStage.UNKNOWN, NOW, None)


def test_a_sent_message_comes_back_as_ours() -> None:
    """Its id and time are the service's, its text and client id ours."""
    found = replies.sent_message(reply({"id": "9", "sentAt": "2026-11-23T12:00:00Z"}), "c", "m", "Hello")
    assert found == TextMessage(
        conversation_id="c", id="9", sent_at=NOW, author=Author(role=Role.CUSTOMER), text="Hello", client_id="m"
    )
    assert replies.sent_message(reply({"id": 9}), "c", "m", "Hello") == evolve(found, sent_at=None)


# Polls


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


@fixed
@given(messages=values.filter(lambda one: not isinstance(one, list | None)))
@also(messages=[7, "x", {}, True])
def test_messages_that_are_no_list_break_the_contract(messages: object) -> None:
    """The pointer says where, and no word of the reply is in the error."""
    with pytest.raises(ContractError) as raised:
        replies.poll(reply({"messages": messages, "x": "My secret"}))
    assert raised.value.pointer == "/messages"
    assert "My secret" not in str(raised.value)


@fixed
@given(cursor=not_an_id)
@also(cursor=[*NO_IDS, ...])
def test_a_cursor_that_is_none_hides_no_item(cursor: object) -> None:
    """The items beside it are told all the same."""
    found = replies.poll(reply({"messages": [line()]} | ({} if cursor is ... else {"cursor": cursor})))
    assert (found.cursor, len(found.events)) == (None, 1)


def test_a_text_that_cannot_be_written_is_made_writable() -> None:
    """JSON can hold half a character; as an id or cursor it would break the store and the next request."""
    assert replies.event(line(id="a\ud800")).id == "a?"
    assert poll_request(replies.poll(reply({"cursor": "a\ud800"})).cursor).query == "after=a%3F"


# Items


def test_a_text_message_is_read() -> None:
    """Plain text and HTML, author, time with seven digits, version and our own id."""
    found = replies.event(line())
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
    """Roles are numbers on the wire; a new one is unknown."""
    assert replies.event(line(author={"role": role})).author.role is expected


def test_options_and_files_are_read() -> None:
    """Their labels and names are plain text."""
    asked = replies.event(line(type="Options", content=None, options=[{"id": "y", "label": "<b>Yes</b>"}]))
    assert isinstance(asked, OptionsMessage)
    assert (asked.options, asked.text) == ((Option(id="y", label="Yes"),), "")
    file = replies.event(
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
    assert type(replies.event(line(type="Event", event=event, **more))) is kind


def test_the_end_says_by_whom() -> None:
    """A number is a role; null, missing and new ones are unknown, and it is an end all the same."""
    for ended_by, role in (
        (0, Role.CUSTOMER),
        (1, Role.AGENT),
        (9, Role.UNKNOWN),
        (None, Role.UNKNOWN),
        ("x", Role.UNKNOWN),
    ):
        found = replies.event(line(type="Event", event="ConversationEnded", endedBy=ended_by))
        assert isinstance(found, ConversationEnded)
        assert found.by is role


DAMAGED: list[tuple[object, str | None]] = [
    (line(type="Evaluation"), None),
    (line(type=...), None),
    (line(type=7), None),
    (line(type=[]), None),
    ({}, None),
    (line(type="Event", event="Blink"), "the event 'Blink' is new to this version"),
    (line(type="Event"), "the event has no name"),
    (line(type="Event", event=None), "the event has no name"),
    (line(type="Event", event=7), "the event has no name"),
    (line(content=7), "a field has the wrong type"),
    (line(id=None), "a field has the wrong type"),
    (line(id=True), "a field has the wrong type"),
    (line(conversationId=None), "a field has the wrong type"),
    (line(type="Options", options=[{"id": None, "label": "Yes"}]), "a field has the wrong type"),
    (line(type="Options", options=[{"label": "Yes"}]), "AttributeError while reading it"),
    (line(type="File", fileName=7), "a field has the wrong type"),
    (line(type="File", url=[]), "a field has the wrong type"),
    (line(id=...), "KeyError while reading it"),
    (line(conversationId=...), "KeyError while reading it"),
    (line(type="Options", options=7), "TypeError while reading it"),
    (line(type="Options", options=["y"]), "AttributeError while reading it"),
    (7, "the item is not an object"),
    (None, "the item is not an object"),
    ("x", "the item is not an object"),
    ([line()], "the item is not an object"),
]


@pytest.mark.parametrize(("item", "told"), DAMAGED)
def test_an_item_that_is_new_or_damaged_is_told_and_kept(item: object, told: str | None) -> None:
    """It becomes UnknownMessage with everything in `raw` and a reason, never an error, and hides no other."""
    found, after = replies.poll(reply({"messages": [item, line(id="after")]})).events
    assert isinstance(found, UnknownMessage)
    assert found.id
    assert (found.raw, found.problem) == (item if isinstance(item, dict) else {"value": item}, told)
    assert isinstance(after, TextMessage)


@pytest.mark.parametrize("sent_at", ["soon", None, 7, "0001-01-01T00:00:00+01:00", "9999-12-31T23:59:59-01:00"])
def test_a_time_or_version_that_cannot_be_read_is_not_told(sent_at: object) -> None:
    """The message is."""
    found = replies.event(line(sentAt=sent_at, version="x"))
    assert isinstance(found, TextMessage)
    assert (found.sent_at, found.version) == (None, 1)


def test_a_damaged_item_tells_what_it_can() -> None:
    """Who, when and which version are read without the kind."""
    found = replies.event(line(type="Evaluation"))
    assert (found.id, found.conversation_id, found.version, found.author.name) == ("1", "c", 2, "Kari")
    assert isinstance(found, UnknownMessage)
    assert found.service_type == "Evaluation"


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


@fixed
@given(data=st.data(), case=st.sampled_from(MESSAGES))
def test_a_message_is_what_it_is_whatever_is_left_out(
    data: st.DataObject, case: tuple[dict[str, Any], type[Event], tuple[str, ...]]
) -> None:
    """Without any of the members that are guessed, left out or null, it comes through as its own kind and in order."""
    whole, kind, optional = case
    absent = data.draw(st.dictionaries(st.sampled_from(optional), st.sampled_from([None, ...])))
    item = {name: value for name, value in {**whole, **absent}.items() if value is not ...}
    found = replies.event(item)
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
    assert replies.event(bare) == TextMessage(id="1", conversation_id="c")


@pytest.mark.parametrize("author", [{}, {"role": None, "id": None, "displayName": None}, {"displayName": "Kari"}])
def test_an_author_may_say_as_little_as_it_likes(author: dict[str, object]) -> None:
    """Whoever wrote it, the message is told; a role that is not said is unknown."""
    found = replies.event(line(author=author))
    assert isinstance(found, TextMessage)
    assert (found.author.role, found.author.name) == (Role.UNKNOWN, author.get("displayName"))


def test_ids_of_messages_may_be_numbers() -> None:
    """The vendor's own stream counts its events; as texts they fit every caller and every store."""
    found = replies.event(line(id=7, conversationId=8, author={"role": 1, "id": 9}))
    assert isinstance(found, TextMessage)
    assert (found.id, found.conversation_id, found.author.id) == ("7", "8", "9")
    asked = replies.event(line(type="Options", options=[{"id": 1, "label": "Yes"}]))
    assert isinstance(asked, OptionsMessage)
    assert asked.options == (Option(id="1", label="Yes"),)


def test_an_unknown_item_without_an_id_is_known_again() -> None:
    """Its id is made of its content, so a repeat is a repeat and another is another."""
    one, two, other = (replies.event(item).id for item in ({"a": 1, "b": 2}, {"b": 2, "a": 1}, {"a": 2}))
    assert one == two != other


@fixed
@given(
    st.lists(
        values | st.builds(line, **dict.fromkeys(["id", "version", "sentAt", "author", "content"], values)), max_size=3
    )
)
def test_no_item_breaks_a_poll(items: list[object]) -> None:
    """As many events come out as items came in."""
    assert len(replies.poll(reply({"messages": items})).events) == len(items)


def test_a_value_of_its_own_form_is_taken() -> None:
    """Zero, false and the empty text are values, too."""
    for check, kind, good in TAKEN:
        assert all(type(check(value)) is kind for value in good), check


@fixed
@given(value=values)
@also(value=[bad for _, several in REFUSED for bad in several])
def test_a_value_of_another_form_is_none(value: Any) -> None:
    """Whatever JSON can hold, a check returns its type or None, and never raises."""
    for check, kind, _ in TAKEN:
        assert type(check(value)) in (kind, type(None))
    for check, several in REFUSED:
        assert check(value) is None or not any(value is bad for bad in several)


@fixed
@given(value=values)
def test_a_text_that_must_be_one_is_empty_when_missing(value: Any) -> None:
    """Only a missing value may be left out; one of another type makes its item unknown."""
    assert text_or_empty(None) == text_or_empty(UNSET) == ""
    if isinstance(value, str | None):
        assert text_or_empty(value) == (text(value) or "")
    else:
        with pytest.raises(WrongType):
            text_or_empty(value)


@pytest.mark.parametrize(
    "written",
    [
        "2026-11-23T12:00:00Z",
        "2026-11-23T13:00:00+01:00",
        "2026-11-23T12:00:00.0000000Z",
        "2026-11-23T12:00:00",
        "2026-11-23T12:00Z",
        "20261123T12Z",
        "2026-327T12:00Z",
    ],
)
def test_a_moment_is_read_in_every_spelling(written: Any) -> None:
    """Seven digits, offsets, no zone (it counts as UTC) and the number of the day are the same moment in UTC."""
    read = when(written)
    assert read == datetime(2026, 11, 23, 12, tzinfo=UTC)
    assert read.tzinfo is UTC


@pytest.mark.parametrize(
    ("written", "day"), [("2026", (2026, 1, 1)), ("2026-11", (2026, 11, 1)), ("2026-11-23T24:00:00Z", (2026, 11, 24))]
)
def test_forms_that_python_does_not_read_are_read(written: Any, day: tuple[int, int, int]) -> None:
    """ISO 8601 has years, months and midnight at the end of a day, which `fromisoformat` refuses."""
    assert when(written) == datetime(*day, tzinfo=UTC)
