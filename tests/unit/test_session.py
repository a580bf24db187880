"""A session's own loop in both clients, on a transport of scripted replies and a clock that nobody waits for."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable

import pytest

from puzzel_chat import Event, MemoryStore, PuzzelChat, PuzzelChatError
from puzzel_chat._async import inner
from puzzel_chat._http import Reply, Request
from puzzel_chat._models import Secret
from puzzel_chat._settings import Settings
from puzzel_chat._steps import Parts
from puzzel_chat._tokens import TokenSet
from puzzel_chat._wire import replies
from puzzel_chat.testing import VirtualTime
from scripted import Plain, awaiting, blocking, done


class Script:
    """Replies in turn, the last one for ever, and the requests that they answered."""

    def __init__(self, *given: Reply) -> None:
        """Keep the replies."""
        self.replies = list(given)
        self.requests: list[Request] = []

    def send(self, request: Request, access: str | None, within: float | None = None) -> Reply:
        """Answer."""
        self.requests.append(request)
        return self.replies.pop(0) if len(self.replies) > 1 else self.replies[0]


class AsyncScript(Script):
    """The same for the awaiting client."""

    async def send(  # type: ignore[override]  # a transport of the other client
        self, request: Request, access: str | None, within: float | None = None
    ) -> Reply:
        """Answer."""
        return super().send(request, access, within)


NOTHING = Reply(status=204)


def brings(*ids: str, status: int = 200, cursor: object = None) -> Reply:
    """A poll's reply with these lines of text in chat "a"."""
    common = {"type": "Text", "conversationId": "a", "version": 1, "sentAt": "2026-11-23T12:00:00Z", "content": "Hello"}
    body = json.dumps({"messages": [{**common, "id": one} for one in ids], "cursor": cursor}).encode()
    return Reply(status=status, headers={"content-type": "application/json"}, body=body)


def opened() -> Plain:
    """A session on a store."""
    parts = Parts(Settings(base_url="https://chat.example", solution_id="7"), MemoryStore(), VirtualTime())
    now = parts.clock.now()
    return Plain.opened("s", parts, TokenSet(access=Secret("a1"), ttl=1e9, obtained=now.wall), now)


Poll = Callable[..., list[Event]]


@pytest.fixture(params=["sync", "async"])
def poll(request: pytest.FixtureRequest) -> Poll:
    """Poll a session so many times with these replies, and give all events."""

    def blocked(state: Plain, *given: Reply, times: int = 1) -> list[Event]:
        session = blocking(state.state, Script(*given))
        return [event for _ in range(times) for event in session.poll()]

    async def awaited(state: Plain, *given: Reply, times: int = 1) -> list[Event]:
        session = awaiting(state.state, AsyncScript(*given))
        return [event for _ in range(times) for event in await session.poll()]

    if request.param == "sync":
        return blocked
    return lambda *args, **more: asyncio.run(awaited(*args, **more))


def test_polling_gives_each_event_once(poll: Poll) -> None:
    """A history that repeats everything is told once, in order."""
    state = opened()
    state.routed("a", None)
    assert [event.id for event in poll(state, brings("1"), brings("1", "2"), brings("1", "2"), times=3)] == ["1", "2"]


def test_polling_counts_a_repeated_reply(poll: Poll) -> None:
    """Replies that are byte for byte the same bring nothing, and still end a chat that we closed."""
    state = opened()
    state.routed("a", None)
    state.ended("a")
    assert [event.id for event in poll(state, brings("1", "2"), times=4)] == ["1", "2", "a:end"]


def test_polling_an_item_that_comes_and_goes_brings_it_once(poll: Poll) -> None:
    """A reply is compared with the last one only; what came longer ago is known by its id and content."""
    state = opened()
    state.routed("a", None)
    turns = (brings("1"), brings("2"), brings("1"), brings(), brings("2", "1"))
    assert [event.id for event in poll(state, *turns, times=5)] == ["1", "2"]


@pytest.mark.parametrize(
    "turns",
    [
        (brings("1"), brings("1"), brings("1", "2"), brings("1", "2")),
        (brings("1", cursor=1), brings("2", cursor=2), brings(cursor=2), brings(cursor=2)),
        (brings("1"), brings("2"), brings(), brings()),
    ],
    ids=["history", "cursor", "drain"],
)
def test_polling_with_nothing_new_goes_on(poll: Poll, turns: tuple[Reply, ...]) -> None:
    """A 204 is an answer and no failure, however many there are, in all three semantics: three once ended a chat."""
    state = opened()
    state.routed("a", None)
    mixed = [one for turn in turns for one in (turn, NOTHING, NOTHING, NOTHING, NOTHING)]
    found = poll(state, NOTHING, NOTHING, NOTHING, NOTHING, *mixed, times=len(mixed) + 4)
    assert [type(event).__name__ for event in found] == ["TextMessage"] * 2
    assert [event.id for event in found] == ["1", "2"]


def test_polling_asks_after_the_last_cursor_that_was_told() -> None:
    """A number, zero too; a reply without one, or a 204, leaves it, and so does a crash."""
    state = opened()
    state.routed("a", None)
    given = (brings(cursor=0), brings("1", cursor=1), NOTHING, brings("2"), brings("3", cursor="k"), brings(cursor=7))
    script = Script(*given)
    session = blocking(state.state, script)
    for _ in given:
        session.poll()
    session.poll()
    queries = ["", "after=0", "after=1", "after=1", "after=1", "after=k", "after=7"]
    assert [request.query for request in script.requests] == queries
    done(state.lease.give_back(), state.parts)
    assert Plain.restored(state.parts, "s").feed.cursor == "7"


def test_polling_a_resumed_session_gives_what_was_not_handled(poll: Poll) -> None:
    """What an earlier process had received and not handled is given, not thrown away, by the first poll."""
    state = opened()
    state.routed("a", None)
    state.inbox("a")
    state.polled(replies.poll(brings("1", "2")))
    state.take(state.inbox("a"))
    done(state.lease.give_back(), state.parts)
    assert [event.id for event in poll(Plain.restored(state.parts, "s"), brings("3"), times=2)] == ["1", "2", "3"]


def test_polling_gives_what_another_call_has_received(poll: Poll) -> None:
    """A send without an answer polls by itself; what came then is given by the next poll."""
    state = opened()
    state.routed("a", None)
    state.inbox("a")
    state.polled(replies.poll(brings("1")))
    assert [event.id for event in poll(state, brings("2"), times=2)] == ["1", "2"]


def test_polling_a_session_that_is_refused_fails(poll: Poll) -> None:
    """403 ends the polling also when there is no chat yet; it never looks like silence."""
    with pytest.raises(PuzzelChatError):
        poll(opened(), brings(status=403))


def test_a_closed_client_says_so() -> None:
    """Using a client after `close()` is an error of ours, not of the HTTP library."""
    chat = PuzzelChat("https://chat.invalid", "7")
    chat.close()
    with pytest.raises(PuzzelChatError, match="closed"):
        chat.connect()


def test_a_poll_can_go_another_way() -> None:
    """A session polls over the transport that it is given; its token, and what came, stay its own."""
    state, own, other = opened(), AsyncScript(brings("1")), AsyncScript(brings("2"))

    async def polled() -> list[str]:
        session = awaiting(state.state, own)
        run = inner(session.conversation())[1]
        while (await run(state.state.poll_if_due(), other))[0] is None:
            await state.parts.clock.sleep(asyncio.Event(), state.delay(searching=False))
        return [event.id for event in state.take_all()]

    state.routed("a", None)
    assert asyncio.run(polled()) == ["2"]
    assert (len(own.requests), len(other.requests)) == (0, 1)
