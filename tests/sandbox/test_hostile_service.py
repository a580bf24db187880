"""A hostile service, and hostile arguments: nothing leaves its place, grows without end, or brings the chat down."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any
from urllib.parse import unquote

import pytest

from hostile import Asked, Said, Service
from puzzel_chat import (
    ConfigurationError,
    ContractError,
    ConversationEnded,
    InvalidArgument,
    SessionError,
    SQLiteStore,
    TextMessage,
    UnknownMessage,
    Visitor,
)
from puzzel_chat.testing import VirtualTime
from quick import quick_only

Connect = Callable[..., Any]
TOKENS = {"access_token": "access", "refresh_token": "refresh", "expires_in": 600}
HOSTILE = (
    "../x",
    "..",
    ".",
    "a/b",
    "a\\b",
    "%2f",
    "..%2f..%2fx",
    "%2e%2e",
    "a?b=c",
    "a#b",
    "a;b",
    "a b",
    "a\r\nX: y",
    "a\x00b",
    "a\x1b[2J",
    "a\u202eb",
    "a\u2028b",
    "æøå",
    "\U0001f600",
    "\udc80",
    "x" * 10_000,
    "",
)
QUICK = ("..", "a/b", "%2e%2e", "a?b=c", "a\r\nX: y", "\udc80", "")


def item(number: int, **more: Any) -> dict[str, Any]:
    """A text of the conversation "mine"."""
    usual = {"id": str(number), "conversationId": "mine", "sentAt": "2026-01-05T09:00:00Z", "author": {"role": 1}}
    return {**usual, "version": 1, "type": "Text", "content": f"{number}", **more}


END = {**item(999), "type": "Event", "event": "ConversationEnded", "endedBy": 1}


def centre(*polls: Any, **replies: dict[str, Any]) -> Callable[[Asked], Said]:
    """A service that answers the polls with these, one after the other, and everything else well."""
    left = list(polls)

    def answer(asked: Asked) -> Said:
        if asked.path.startswith("/connect"):
            return Said(TOKENS)
        if asked.path.startswith("/api/conversation?") or asked.path == "/api/conversation":
            return Said(left.pop(0) if left else {"messages": [END]})
        for word, body in replies.items():
            if word in asked.path:
                return Said(body)
        return Said({"id": "1", "requestId": "r1", "status": "Assigned", "sentAt": "2026-01-05T09:00:00Z"})

    return answer


def test_no_argument_leaves_its_place_in_an_address(connect: Connect, puzzel_time: VirtualTime) -> None:
    """Each id is one segment of its path, to the letter, or is refused before anything is sent."""
    with Service(centre()) as service:
        chat = connect(base_url=service.base_url, solution_id="7")
        for hostile in HOSTILE:
            for call, path in calls_with(hostile, chat.connect()):
                before = len(service.asked)
                try:
                    call()
                except InvalidArgument:
                    assert len(service.asked) == before, ascii(hostile)
                    continue
                for asked in service.asked[before:]:
                    check_segment(asked.path, path, hostile)


def calls_with(hostile: str, session: Any) -> tuple[tuple[Callable[[], Any], str], ...]:
    """Return every call that takes an id, with the path that it must ask for."""
    return (
        (lambda: session.queue_info(hostile), "/api/queue/info/{}"),
        (lambda: session.time_info(hostile), "/api/time/{}"),
        (lambda: session.conversation(hostile).route("support"), "/api/conversation/{}/route/support"),
        (lambda: session.conversation("mine").route(hostile), "/api/conversation/mine/route/{}"),
        (lambda: session.conversation(hostile).allocation(), "/api/allocation/requestStatus/{}"),
        (lambda: session.conversation(hostile).send("x"), "/api/conversation/{}/message"),
        (lambda: session.conversation(hostile).typing(), "/api/conversation/{}/typing"),
        (lambda: session.conversation(hostile).end(), "/api/conversation/{}/end"),
    )


def check_segment(asked: str, path: str, hostile: str) -> None:
    """Check that a path is the one that was meant, with this as one segment of it."""
    begin, end = path.split("{}")
    segment = asked.removeprefix(begin).removesuffix(end)
    assert "/" not in segment
    assert unquote(segment) == hostile


def test_a_solution_id_does_not_leave_its_place_either(connect: Connect) -> None:
    """A signed-in visitor's first request names the solution in its path, to the letter, or is not sent."""
    with Service(centre(authenticate={"userInfoId": "u"})) as service:
        for hostile in HOSTILE:
            before = len(service.asked)
            try:
                connect(base_url=service.base_url, solution_id=hostile).connect(visitor=Visitor(access_token="a"))
            except (InvalidArgument, ConfigurationError):
                assert len(service.asked) == before, ascii(hostile)
            else:
                check_segment(service.asked[before].path, "/api/authenticate/{}", hostile)


def test_a_session_that_is_asked_for_by_a_hostile_name_is_not_found(connect: Connect, tmp_path: Path) -> None:
    """A name of a session is a key and never a path."""
    store = SQLiteStore(tmp_path / "chats.db")
    chat = connect(base_url="https://chat.example", solution_id="7", store=store)
    for hostile in HOSTILE:
        with pytest.raises(SessionError):
            chat.resume(hostile)
    store.close()
    assert [path.name for path in tmp_path.iterdir()] == ["chats.db"]


@pytest.mark.parametrize("token", ["a\r\nX-Evil: 1", "a\nb", "a\x00", "a\x7f", "é", "a\u2028b"], ids=ascii)
def test_a_token_cannot_bring_a_header(connect: Connect, token: str) -> None:
    """A token that no header can carry is no token."""
    with Service(lambda asked: Said({**TOKENS, "access_token": token})) as service, pytest.raises(ContractError):
        connect(base_url=service.base_url, solution_id="7").connect()


def test_settings_cannot_bring_a_header_or_a_field(connect: Connect) -> None:
    """What is sent as a form is one value, whatever is in it."""
    odd = "x&grant_type=password\u0085X-Evil: 1"
    with Service(centre()) as service:
        connect(base_url=service.base_url, solution_id=odd, scope=odd, token_fields={"a&b": "1\r\nX-Evil: 2"}).connect()
    (asked,) = service.asked
    assert not [name for name in asked.headers if "evil" in name]
    assert asked.body.count("grant_type=") == 1


@pytest.mark.parametrize(
    "hostile", quick_only(QUICK, [*HOSTILE, "x" * 1_000_000]), ids=lambda hostile: ascii(hostile)[:20]
)
def test_ids_of_the_service_are_only_names(
    connect: Connect, puzzel_time: VirtualTime, tmp_path: Path, hostile: str
) -> None:
    """Whatever ids, cursors and request ids the service gives, the chat goes on and no address is left."""
    odd, store = item(1, id=hostile, content="odd"), SQLiteStore(tmp_path / "chats.db")
    polls = ({"messages": [odd, {**odd, "conversationId": hostile}], "cursor": hostile}, {"messages": [item(2)]})
    replies = {"route": {"requestId": hostile, "status": "Queued"}}
    with Service(centre(*polls, **replies)) as service:
        chat = connect(base_url=service.base_url, solution_id="7", store=store)
        session = chat.connect()
        conversation = session.conversation("mine")
        conversation.route("support")
        events = list(conversation.events())
        assert [event.text for event in events if isinstance(event, TextMessage)][-1] == "2"
        assert isinstance(events[-1], ConversationEnded)
        assert all(len(asked.path) < 20_000 for asked in service.asked)
        assert {asked.path.partition("?")[0] for asked in service.asked} <= {
            "/connect/token",
            "/api/conversation",
            "/api/conversation/mine/route/support",
        }
        chat.close()
    store.close()


def test_a_request_id_that_could_leave_its_place_is_not_used(connect: Connect, puzzel_time: VirtualTime) -> None:
    """When the conversation's id is not known for a status, a hostile request id is not tried in its place."""
    good = centre(route={"requestId": "../conversation/other/end", "status": "Queued"})
    answer = lambda asked: Said({}, 404) if "requestStatus" in asked.path else good(asked)  # noqa: E731
    with Service(answer) as service:
        conversation = connect(base_url=service.base_url, solution_id="7").connect().conversation("mine")
        conversation.route("support")
        with pytest.raises(Exception, match="call route"):
            conversation.allocation()
    assert [asked.path for asked in service.asked if "requestStatus" in asked.path] == [
        "/api/allocation/requestStatus/mine"
    ]


def test_messages_of_conversations_that_nobody_has_take_bounded_memory(
    connect: Connect, puzzel_time: VirtualTime
) -> None:
    """A service that sends other people's mail fills neither memory nor store, and ours still comes."""
    polls = [
        {"messages": [item(n, conversationId=f"stranger-{poll}-{n}") for n in range(500)] + [item(10_000 + poll)]}
        for poll in range(5)
    ]
    with Service(centre(*polls)) as service:
        session = connect(base_url=service.base_url, solution_id="7").connect()
        conversation = session.conversation("mine")
        conversation.route("support")
        texts = [event.text for event in conversation.events() if isinstance(event, TextMessage)]
        assert texts == [str(10_000 + poll) for poll in range(5)]
        assert len(session._state.feed.inboxes) <= 101
        assert len(session._state.parts.store.load(session.id).unread) <= 100


@pytest.mark.parametrize("depth", [100, 300, 900, 970, 985, 995, 1100, 3000, 100_000])
def test_an_item_that_is_nested_without_end_harms_nobody(
    connect: Connect, puzzel_time: VirtualTime, tmp_path: Path, depth: int
) -> None:
    """Deep nesting is an item that is not understood, or a reply that is not, and the chat goes on."""
    deep = b'{"id":"7","conversationId":"mine","type":"Odd","x":' + b"[" * depth + b"]" * depth + b"}"
    store = SQLiteStore(tmp_path / "chats.db")
    with Service(centre(b'{"messages":[' + deep + b"]}", {"messages": [item(2)]})) as service:
        chat = connect(base_url=service.base_url, solution_id="7", store=store)
        conversation = chat.connect().conversation("mine")
        conversation.route("support")
        kinds = [type(event) for event in conversation.events()]
        assert TextMessage in kinds
        assert kinds[-1] is ConversationEnded
        assert depth > 100 or UnknownMessage in kinds
        chat.close()
    store.close()


@pytest.mark.parametrize(
    "markup", ["<a " * 100_000, "<![if x]>Hi", "<div>" * 100_000, "&#" + "9" * 9000, "<!--" * 90_000]
)
def test_hostile_markup_is_a_message_like_any_other(connect: Connect, puzzel_time: VirtualTime, markup: str) -> None:
    """No markup takes long or stops the chat; the next message comes."""
    with Service(centre({"messages": [item(1, content=markup), item(2)]})) as service:
        conversation = connect(base_url=service.base_url, solution_id="7").connect().conversation("mine")
        conversation.route("support")
        texts = [event for event in conversation.events() if isinstance(event, TextMessage)]
    assert [text.id for text in texts] == ["1", "2"]
