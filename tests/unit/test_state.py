"""A session that outlives its process: nothing is lost, and at most what was being handled comes again."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from typing import Any

import pytest

from puzzel_chat import PuzzelChat
from puzzel_chat._errors import (
    AuthenticationError,
    ConfigurationError,
    NotFound,
    QueueClosed,
    RateLimited,
    SessionError,
    SessionNotFound,
    TransportError,
)
from puzzel_chat._http import Reply
from puzzel_chat._inbox import BUFFER, STRANGERS
from puzzel_chat._lease import LEASE
from puzzel_chat._models import (
    ConnectionDegraded,
    ConnectionRecovered,
    ConversationEnded,
    Event,
    Life,
    MessageEdited,
    QueueInfo,
    Secret,
    TextMessage,
)
from puzzel_chat._routing import check_hours, unknown_hours
from puzzel_chat._settings import Settings
from puzzel_chat._steps import Parts
from puzzel_chat._store import MemoryStore, Store
from puzzel_chat._tokens import Now, TokenSet
from puzzel_chat._wire import replies
from puzzel_chat._wire.replies import Poll, event
from puzzel_chat.testing import VirtualTime
from scripted import Plain, store_of

SETTINGS = Settings(base_url="https://chat.example", solution_id="7")
BROKEN = TransportError("No reply: it broke.", sent="maybe")


def parts(store: Store | None = None) -> Parts:
    """What an application has."""
    return Parts(SETTINGS, store or MemoryStore(), VirtualTime())


def session(of: Parts, *conversations: str) -> Plain:
    """A session with routed conversations."""
    tokens = TokenSet(access=Secret("a1"), refresh=Secret("r1"), obtained=of.clock.now().wall)
    state = Plain.opened("s", of, tokens, of.clock.now())
    for cid in conversations or ("a",):
        state.routed(cid, None)
        state.inbox(cid)
    return state


def resumed(of: Parts) -> Plain:
    """What the next process takes up when the one before died on another machine: a minute later."""
    assert isinstance(of.clock, VirtualTime)
    of.clock.advance(LEASE)
    return Plain.restored(of, "s")


def item(number: int | str, cid: str = "a", version: int = 1, **more: Any) -> dict[str, Any]:
    """One line of text as the wire has it."""
    return {
        "type": "Text",
        "id": str(number),
        "conversationId": cid,
        "version": version,
        "sentAt": "2026-11-23T12:00:00Z",
        "content": f"v{version}",
        **more,
    }


def end(cid: str = "a") -> dict[str, Any]:
    """The end of a chat as the wire has it."""
    return item(f"end-{cid}", cid, type="Event", event="ConversationEnded", endedBy=1)


def poll(*items: dict[str, Any], cursor: str | None = None) -> Poll:
    """A poll's result."""
    return Poll(tuple(event(one) for one in items), cursor)


def taken(state: Plain, cid: str = "a") -> list[Event]:
    """What a caller gets until nothing waits."""
    found: list[Event] = []
    while (one := state.take(state.inbox(cid))) is not None:
        found.append(one)
    return found


def test_a_resumed_session_brings_what_was_not_handled() -> None:
    """The item in the caller's hands when the process died comes again, and what waited behind it."""
    of = parts()
    first = session(of)
    first.polled(poll(item(1), item(2), item(3), cursor="3"))
    first.take(first.inbox("a"))
    first.take(first.inbox("a"))
    second = resumed(of)
    assert [one.id for one in taken(second)] == ["2", "3"]
    assert second.feed.cursor == "3"


def test_what_was_handled_does_not_come_again_from_a_history() -> None:
    """The marks of handled items survive the process, so a poll that repeats everything repeats nothing."""
    of = parts()
    first = session(of)
    first.polled(poll(item(1), item(2)))
    taken(first)
    second = resumed(of)
    second.polled(poll(item(1), item(2, version=2), item(3)))
    assert [type(one) for one in taken(second)] == [MessageEdited, TextMessage]


def test_what_is_in_hand_can_be_done_without_taking_more() -> None:
    """`acknowledge` crosses out what was handed out; what waits behind it stays for the next `take`."""
    of = parts()
    first = session(of)
    first.polled(poll(item(1), item(2)))
    first.take(first.inbox("a"))
    first.acknowledge(first.inbox("a"))
    first.acknowledge(first.inbox("a"))
    assert [one.id for one in taken(resumed(of))] == ["2"]
    first.close()
    first.acknowledge(first.inbox("a"))


def test_a_full_inbox_is_told_once_until_there_is_room_again(caplog: pytest.LogCaptureFixture) -> None:
    """A caller who takes nothing for an hour costs one line of the log, not 3600; the next fullness is another."""
    state = session(parts())
    state.polled(poll(*(item(number) for number in range(BUFFER))))
    for told in (1, 2):
        assert [state.delay(searching=False) for _ in range(3)] == [state.pace.period] * 3
        state.delay(searching=True)
        state.delay(searching=False)
        assert len(caplog.records) == told
        state.take(state.inbox("a"))
        state.delay(searching=False)
        state.polled(poll(item(f"more-{told}")))


def test_mail_of_too_many_strangers_comes_when_it_is_asked_for_later() -> None:
    """A reply of which something was not taken is not known: repeated, it brings what is asked for by then."""
    body = json.dumps({"messages": [item(1, f"chat-{number}") for number in range(STRANGERS + 1)]}).encode()
    state = session(parts())
    state.polled(replies.poll(Reply(status=200, body=body), state.last))
    assert state.take(state.inbox(f"chat-{STRANGERS}")) is None
    state.polled(replies.poll(Reply(status=200, body=body), state.last))
    assert [one.id for one in taken(state, f"chat-{STRANGERS}")] == ["1"]


def test_a_conversation_that_comes_later_gets_what_names_none() -> None:
    """What a history tells without a conversation is for each one, also for one that is asked for after a poll."""
    state = session(parts())
    body = json.dumps({"messages": [item(1) | {"conversationId": None}]}).encode()
    for cid in ("a", "b"):
        state.inbox(cid)
        state.polled(replies.poll(Reply(status=200, body=body), state.last))
        assert [event.id for event in taken(state, cid)] == ["1"]
    assert taken(state, "a") == []


def test_an_end_in_the_callers_hands_comes_again_after_a_crash() -> None:
    """A chat is finished when the caller came back after its end, not when the end was handed out."""
    of = parts()
    first = session(of)
    first.polled(poll(item(1), end()))
    first.take(first.inbox("a"))
    assert isinstance(first.take(first.inbox("a")), ConversationEnded)
    second = resumed(of)
    assert [type(one) for one in taken(second)] == [ConversationEnded]


def test_a_finished_chat_stays_finished() -> None:
    """After a resume it neither ends again nor brings anything."""
    of = parts()
    first = session(of, "a", "b")
    first.polled(poll(item(1), end()))
    taken(first)
    second = resumed(of)
    second.polled(poll(item(1), end(), item(1, "b")))
    assert taken(second, "a") == []
    assert second.inbox("a").life is Life.READ


def test_our_own_end_survives_the_process() -> None:
    """A chat that we closed before the crash still ends once, after it."""
    of = parts()
    first = session(of)
    first.ended("a")
    second = resumed(of)
    assert second.inbox("a").life is Life.ENDING
    second.polled(poll())
    second.polled(poll())
    assert [type(one) for one in taken(second)] == [ConversationEnded]


def test_a_session_whose_chats_are_over_is_forgotten_when_closed() -> None:
    """Its secrets leave the store; one with a chat that goes on, or with mail that nobody took, stays for `resume`."""
    of = parts()
    state = session(of)
    state.close()
    assert store_of(of).load("s") is not None
    again = resumed(of)
    again.polled(poll(item(1), end()))
    again.close()
    third = resumed(of)
    assert [one.id for one in taken(third)] == ["1", "end-a"]
    third.close()
    third.close()
    assert store_of(of).load("s") is None
    with pytest.raises(SessionNotFound, match="use the store of the process that opened it"):
        Plain.restored(of, "s")
    with pytest.raises(SessionError, match=r"connect\(\)"):
        third.refuse()


def test_failing_polls_are_told_once_and_so_is_their_end() -> None:
    """Degraded comes with the first failure of a row, recovered with the first success, and tells the seconds."""
    of = parts()
    state = session(of)
    assert isinstance(of.clock, VirtualTime)
    for _ in range(3):
        state.poll_failed(BROKEN)
        of.clock.advance(2)
    state.polled(poll())
    state.polled(poll())
    degraded, recovered = taken(state)
    assert isinstance(degraded, ConnectionDegraded)
    assert isinstance(recovered, ConnectionRecovered)
    assert recovered.after == 6.0


def test_a_fatal_failure_is_raised_after_what_came_before() -> None:
    """The iterator fails; it never goes silent, and it fails every time it is asked."""
    state = session(parts())
    state.polled(poll(item(1)))
    state.poll_failed(NotFound("404", status=404))
    assert state.take(state.inbox("a")) is not None
    for _ in range(2):
        with pytest.raises(NotFound):
            state.take(state.inbox("a"))


def test_taking_everything_loses_nothing_to_a_failure() -> None:
    """What waited when the polling failed is given before the error is raised."""
    state = session(parts())
    state.polled(poll(item(1), item(2)))
    state.poll_failed(AuthenticationError("401", status=401))
    assert [one.id for one in state.take_all()] == ["1", "2"]
    with pytest.raises(AuthenticationError):
        state.take_all()


def test_a_fatal_failure_without_any_conversation_is_told() -> None:
    """A session that is polled before it has a chat must hear of a refusal too."""
    state = Plain.opened("s", parts(), TokenSet(access=Secret("a"), obtained=0), Now(0, 0))
    state.poll_failed(AuthenticationError("401", status=401))
    with pytest.raises(AuthenticationError):
        state.take_all()


def test_closed_hours_stop_a_start_and_unknown_hours_do_not() -> None:
    """Open, closed and unknown are three things; what could not be asked is unknown."""
    info = QueueInfo(id="support", fetched_at=datetime(2026, 11, 23, tzinfo=UTC))
    check_hours(info)
    opens = datetime(2026, 11, 24, 8, tzinfo=UTC)
    with pytest.raises(QueueClosed, match="2026-11-24T08:00") as raised:
        check_hours(QueueInfo(id="support", is_open=False, opens_at=opens, fetched_at=info.fetched_at))
    assert raised.value.opens_at == opens
    assert unknown_hours(RateLimited("429", status=429))
    assert not unknown_hours(NotFound("404", status=404))


def test_a_reply_to_routing_that_an_end_overtook_does_not_undo_it() -> None:
    """The chat stays ended in the store too, so that closing forgets the session and its secrets."""
    of = parts()
    state = session(of)
    state.ended("a")
    state.routed("a", "request-1")
    assert (state.conversations["a"].life, state.request_id("a")) == (Life.ENDING, "request-1")
    state.close()
    assert store_of(of).load("s") is None


def test_a_store_of_before_is_refused_by_what_it_lacks() -> None:
    """A caller's own store that lacks a method is told so at once, not in the middle of a chat."""
    older: Any = type("Older", (MemoryStore,), {"renew": None})
    with pytest.raises(ConfigurationError, match="Older lacks renew"):
        PuzzelChat(base_url="https://chat.example", solution_id="7", store=older())
