"""An end that was lost, told sideways or told twice: the chat ends once. And what must not end it."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import pytest

from hostile import Asked, Said, Service
from lines import END, centre, line, routed
from puzzel_chat import (
    AuthenticationError,
    ConnectionDegraded,
    ConnectionRecovered,
    ConversationClosed,
    ConversationEnded,
    InvalidArgument,
    MessageEdited,
    PermissionDenied,
    RateLimited,
    Role,
    RoutingRefused,
    SQLiteStore,
    TextMessage,
)
from puzzel_chat._lease import LEASE
from puzzel_chat._session import REPLAYS
from puzzel_chat._transport import LARGEST_REPLY
from puzzel_chat.testing import VirtualTime

Connect = Callable[..., Any]
CLOSED = Said({"code": "ConversationEnded"}, 409, media="application/problem+json")
GONE = Said({}, 410)
CANCELLED = Said({"id": "1", "status": "Cancelled"})


WAYS: dict[str, tuple[str, Said, Callable[[Any], Any]]] = {
    "send, told by code": ("/message", CLOSED, lambda c: c.send("Hello")),
    "send, told by status": ("/message", GONE, lambda c: c.send("Hello")),
    "typing": ("/typing", GONE, lambda c: c.typing()),
    "route": ("/route", GONE, lambda c: c.route("q_other")),
    "allocation, cancelled": ("requestStatus", CANCELLED, lambda c: c.allocation()),
    "the wait, cancelled": ("requestStatus", CANCELLED, lambda c: c.wait_for_agent()),
}


@pytest.mark.parametrize("way", WAYS)
def test_an_end_learnt_on_any_way_ends_the_chat_once(connect: Connect, puzzel_time: VirtualTime, way: str) -> None:
    """Though no poll brings the end event: `ended` is true at once, and `events()` ends, with one end event."""
    word, said, act = WAYS[way]
    told: list[Said] = []

    def answer(asked: Asked) -> Said:
        return told[0] if told and word in asked.path else others(asked)

    others = centre([line(1)], [line(2)])
    with Service(answer) as service:
        conversation = routed(connect(base_url=service.base_url, solution_id="7"))
        events = iter(conversation.events())
        assert next(events).id == "1"
        told.append(said)
        try:
            act(conversation)
        except (ConversationClosed, RoutingRefused):
            pass
        assert conversation.ended
        rest = list(events)
        assert [event.id for event in rest[:-1]] == ["2"]
        assert isinstance(rest[-1], ConversationEnded)
        assert rest[-1].by is Role.UNKNOWN
        assert list(conversation.events()) == []
        with pytest.raises(ConversationClosed):
            conversation.send("Hello?")


@pytest.mark.parametrize("way", ["send, told by code", "typing"])
def test_an_end_that_comes_after_all_says_by_whom(connect: Connect, puzzel_time: VirtualTime, way: str) -> None:
    """When the event itself still arrives, it is the one end, with who ended the chat."""
    word, said, act = WAYS[way]
    with Service(centre([line(1)], [END], **{word: said})) as service:
        conversation = routed(connect(base_url=service.base_url, solution_id="7"))
        with pytest.raises(ConversationClosed):
            act(conversation)
        rest = list(conversation.events())
        assert [event.id for event in rest] == ["1", "999"]
        assert rest[-1].by is Role.AGENT


@pytest.mark.parametrize("said", [GONE, CLOSED], ids=["status", "code"])
def test_a_poll_that_says_gone_ends_the_chat(connect: Connect, puzzel_time: VirtualTime, said: Said) -> None:
    """The polls' own 410, and the code, are an end and no failure."""
    with Service(centre([line(1)], said)) as service:
        conversation = routed(connect(base_url=service.base_url, solution_id="7"))
        assert [type(event) for event in conversation.events()] == [TextMessage, ConversationEnded]


def test_a_learnt_end_survives_the_process(connect: Connect, puzzel_time: VirtualTime, tmp_path: Any) -> None:
    """The next process knows that the chat is over, and gets the end event once."""
    path = tmp_path / "chats.db"
    with Service(centre([line(1)], **{"/message": GONE})) as service:
        conversation = routed(connect(base_url=service.base_url, solution_id="7", store=SQLiteStore(path)))
        with pytest.raises(ConversationClosed):
            conversation.send("Hello")
        puzzel_time.advance(2 * LEASE)  # as if the process were killed
        again = connect(base_url=service.base_url, solution_id="7", store=SQLiteStore(path))
        (taken_up,) = again.resume(conversation.session.id).conversations
        assert taken_up.ended
        assert [type(event) for event in taken_up.events()] == [TextMessage, ConversationEnded]
        assert list(taken_up.events()) == []


# A token that is revoked while calls are under way.


class Revoking:
    """A service that revokes each token after so many calls with it: `uses` says how many, one number a token."""

    def __init__(self, *uses: int) -> None:
        self.uses = list(uses)
        self.tokens = 0
        self.left = 0
        self.others = centre()

    def __call__(self, asked: Asked) -> Said:
        """Give a token, or check it."""
        if asked.path.startswith("/connect"):
            self.tokens += 1
            self.left = self.uses.pop(0) if self.uses else 1000
            return Said({"access_token": f"a{self.tokens}", "refresh_token": f"r{self.tokens}", "expires_in": 600})
        if asked.headers.get("authorization") != f"Bearer a{self.tokens}" or self.left <= 0:
            return Said({}, 401)
        self.left -= 1
        return self.others(asked)


@pytest.mark.parametrize("revoked", range(1, REPLAYS + 1))
@pytest.mark.parametrize("call", ["typing", "allocation", "send", "poll"])
def test_a_token_that_is_revoked_again_is_renewed_again(
    connect: Connect, puzzel_time: VirtualTime, call: str, revoked: int
) -> None:
    """While the session lives, no call hears of a 401, though the next tokens die before they are used."""
    revoking = Revoking(1, *[0] * (revoked - 1))
    with Service(revoking) as service:
        conversation = routed(connect(base_url=service.base_url, solution_id="7"))
        if call == "send":
            assert conversation.send("Hello").text == "Hello"
        elif call == "poll":
            assert conversation.session.poll() == []
        else:
            getattr(conversation, call)()
        assert revoking.tokens == 1 + revoked


def test_a_service_that_accepts_no_token_is_told_in_the_end(connect: Connect, puzzel_time: VirtualTime) -> None:
    """Fresh tokens that are refused as well are an error, after a few of them."""
    revoking = Revoking(1, *[0] * 100)
    with Service(revoking) as service:
        conversation = routed(connect(base_url=service.base_url, solution_id="7"))
        with pytest.raises(AuthenticationError):
            conversation.allocation()
        assert revoking.tokens == 1 + REPLAYS


# What is sent and received is bounded.


@pytest.mark.parametrize("text", ["x" * 70_000, "æ" * 20_000, "&" * 15_000], ids=["plain", "norwegian", "escaped"])
def test_too_long_a_text_is_not_sent(connect: Connect, puzzel_time: VirtualTime, text: str) -> None:
    """The error says how long it is and names the setting; a smaller one goes, and so does it with a larger setting."""
    with Service(centre()) as service:
        conversation = routed(connect(base_url=service.base_url, solution_id="7"))
        with pytest.raises(InvalidArgument, match=r"text: takes [\d,]+ bytes.*65,536.*max_message_bytes") as raised:
            conversation.send(text)
        assert text[:20] not in str(raised.value)
        assert service.count("/message") == 0
        assert conversation.send(text[:5000]).text == text[:5000]
        larger = routed(connect(base_url=service.base_url, solution_id="7", max_message_bytes=200_000))
        assert larger.send(text).text == text


@pytest.mark.parametrize(
    "said", [{"subject": "x" * 70_000}, {"variables": {"a": "x" * 70_000}}, {"customer": {"name": "x" * 70_000}}]
)
def test_too_much_about_a_customer_is_not_sent(connect: Connect, puzzel_time: VirtualTime, said: Any) -> None:
    """`start` and `route` refuse it before anything is asked."""
    with Service(centre()) as service:
        chat = connect(base_url=service.base_url, solution_id="7")
        with pytest.raises(InvalidArgument, match="max_message_bytes"):
            chat.start("q_support", **said)
        assert service.asked == []
        with pytest.raises(InvalidArgument, match="max_message_bytes"):
            chat.connect().conversation().route("q_support", **said)
        assert service.count("/route") == 0


@pytest.mark.parametrize("times", [1, 4])
def test_a_huge_reply_degrades_the_chat_and_does_not_end_it(
    connect: Connect, puzzel_time: VirtualTime, times: int
) -> None:
    """However often it comes; when replies are smaller again, the chat goes on."""
    huge = Said(json.dumps({"messages": [line(5, content="x" * LARGEST_REPLY)]}).encode())
    with Service(centre([line(1)], *[huge] * times, [line(2), END])) as service:
        conversation = routed(connect(base_url=service.base_url, solution_id="7"))
        events = list(conversation.events())
        kinds = [TextMessage, ConnectionDegraded, ConnectionRecovered, TextMessage, ConversationEnded]
        assert [type(event) for event in events] == kinds
        assert "larger than 8 MiB" in events[1].problem


def test_a_long_history_is_read_whole(connect: Connect, puzzel_time: VirtualTime) -> None:
    """A reply of more items than are read in one go brings all of them, in order."""
    lines = [line(number) for number in range(1, 1201)]
    with Service(centre(lines, [*lines, line(1201), END])) as service:
        conversation = routed(connect(base_url=service.base_url, solution_id="7"))
        assert [int(event.id) for event in conversation.messages()] == list(range(1, 1202))


# Ids that begin again.


def later(number: int, minutes: int, **more: Any) -> dict[str, Any]:
    """A line that was written so many minutes later."""
    return line(number, sentAt=f"2026-01-05T09:{minutes:02}:00Z", **more)


@pytest.mark.parametrize("history", [False, True], ids=["what is new", "everything"])
@pytest.mark.parametrize("cursors", [False, True], ids=["no cursor", "cursors"])
def test_ids_that_begin_again_bring_new_messages(
    connect: Connect, puzzel_time: VirtualTime, history: bool, cursors: bool
) -> None:
    """Same id, later, other words, no higher version: a message, in `messages()` and in the transcript, and no edit."""
    old = [later(1, 0, content="Hello"), later(2, 1, content="How are you?")]
    new = [later(1, 5, content="Again"), later(2, 6, content="Where were we?")]
    author = {"role": 0, "id": "ada", "displayName": "Ada"}
    same = [later(3, 2, content="ok"), later(3, 7, content="ok", author=author)]
    polls: list[Any] = [
        [*old, same[0]],
        [*(old + same[:1] if history else []), *new, same[1]],
        [*(old + same[:1] + new + same[1:] if history else []), later(9, 9, **{"type": "Event"}) | END],
    ]
    if cursors:
        polls = [Said({"messages": one, "cursor": at}) for one, at in zip(polls, (30, 3, 4), strict=True)]
    with Service(centre(*polls)) as service:
        conversation = routed(connect(base_url=service.base_url, solution_id="7"))
        events = list(conversation.events())
        assert not [event for event in events if isinstance(event, MessageEdited)]
        words = ["Hello", "How are you?", "ok", "Again", "Where were we?", "ok"]
        assert [event.text for event in events if isinstance(event, TextMessage)] == words
        assert [message.text for message in conversation.transcript()] == words
        asked = [
            one.path for one in service.asked if one.path.startswith("/api/conversation") and "/mine" not in one.path
        ]
        assert asked[2] == "/api/conversation"  # a smaller cursor: from the start


@pytest.mark.parametrize(
    ("after", "kind"),
    [
        (later(1, 5, content="Hello!", version=2), MessageEdited),
        (later(1, 0, content="Hello!"), MessageEdited),
        ({**line(1, content="Hello!"), "sentAt": None}, MessageEdited),
        (later(1, 5, content="Hello"), None),
        (later(1, 5, content="Hello!"), TextMessage),
    ],
    ids=["a higher version", "the same time", "no time", "the same words", "later, in other words"],
)
def test_an_edit_stays_an_edit(connect: Connect, puzzel_time: VirtualTime, after: Any, kind: Any) -> None:
    """And the same words again stay what is known already."""
    with Service(centre([later(1, 0, content="Hello")], [after, END])) as service:
        conversation = routed(connect(base_url=service.base_url, solution_id="7"))
        came = [type(event) for event in conversation.events()][1:-1]
        assert came == ([] if kind is None else [kind])
        assert len(conversation.transcript()) == (2 if kind is TextMessage else 1)


def test_ids_that_began_again_are_known_after_a_resume(
    connect: Connect, puzzel_time: VirtualTime, tmp_path: Any
) -> None:
    """The next process gets neither the old nor the new message of one id twice."""
    both = [later(1, 0, content="Hello"), later(1, 5, content="Again")]
    store = tmp_path / "chats.db"
    with Service(centre(both[:1], both, both, [*both, line(2), END])) as service:
        conversation = routed(connect(base_url=service.base_url, solution_id="7", store=SQLiteStore(store)))
        events = iter(conversation.events())
        assert [next(events).text for _ in range(2)] == ["Hello", "Again"]
        puzzel_time.advance(2 * LEASE)  # as if the process were killed
        again = connect(base_url=service.base_url, solution_id="7", store=SQLiteStore(store))
        (taken_up,) = again.resume(conversation.session.id).conversations
        texts = [event.text for event in taken_up.events() if isinstance(event, TextMessage)]
        assert texts == ["Again", "line 2"]  # what was in hand comes once more


# What was noticed beside these.


def test_a_call_that_is_told_to_wait_slows_the_polls(connect: Connect, puzzel_time: VirtualTime) -> None:
    """A 429 with `Retry-After` to any call holds the session's polls back for that time."""
    slow = Said({}, 429, {"Retry-After": "60"})
    with Service(centre([line(1)], [line(2)], **{"/typing": slow})) as service:
        conversation = routed(connect(base_url=service.base_url, solution_id="7"))
        events = iter(conversation.events())
        assert next(events).id == "1"
        began = puzzel_time.monotonic()
        with pytest.raises(RateLimited):
            conversation.typing()
        assert next(events).id == "2"
        assert puzzel_time.monotonic() - began >= 60


def test_polling_that_ended_for_good_is_not_begun_again(connect: Connect, puzzel_time: VirtualTime) -> None:
    """Whoever asks afterwards, old conversation or new, hears the error at once, and the service is not asked."""
    with Service(centre([line(1)], Said({}, 403))) as service:
        conversation = routed(connect(base_url=service.base_url, solution_id="7"))
        events = iter(conversation.events())
        assert next(events).id == "1"
        polls = service.count("/api/conversation")
        session = conversation.session
        reads: list[Callable[[], Any]] = [
            lambda: next(events),
            lambda: next(iter(conversation.messages())),
            session.poll,
            lambda: next(iter(session.conversation("other").events())),
        ]
        for read in reads:
            with pytest.raises(PermissionDenied):
                read()
        assert service.count("/api/conversation") == polls + 1
