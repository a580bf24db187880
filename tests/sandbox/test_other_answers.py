"""What answers in the service's place: a cache, a proxy, a sign-in page. None of it is taken for the service's word."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any

import pytest

from hostile import Asked, Said, Service
from lines import handled
from puzzel_chat import (
    ApiError,
    ConfigurationError,
    ConnectionDegraded,
    ConnectionRecovered,
    ConversationEnded,
    DeliveryUnknown,
    SessionExpired,
    TextMessage,
)
from puzzel_chat.testing import VirtualTime
from quick import quick_only

Connect = Callable[..., Any]
TOKENS = {"access_token": "access", "refresh_token": "refresh", "expires_in": 600}
GOES_ON = [ConnectionDegraded, ConnectionRecovered, TextMessage, ConversationEnded]
PATHS = {
    "connectToken": "/connect/",
    "getQueueInfo": "/queue/",
    "routeConversation": "/route/",
    "getRequestStatus": "/requestStatus/",
    "sendMessage": "/message",
    "sendTyping": "/typing",
    "endConversation": "/end",
}


def page(status: int) -> Said:
    """A web page of a proxy."""
    return Said(f"<html><title>{status} of a proxy</title>".encode(), status, media="text/html; charset=utf-8")


NOT_MODIFIED = Said(b"", 304, {"ETag": '"x"'}, media="")


def item(number: int, **more: Any) -> dict[str, Any]:
    """A text of the conversation "mine"."""
    usual = {"id": str(number), "conversationId": "mine", "author": {"role": 1}, "type": "Text", "content": f"{number}"}
    return {**usual, **more}


END = item(9, type="Event", event="ConversationEnded", endedBy=1)


class Centre:
    """A good service, behind something that answers some requests by itself: by operation, so many times."""

    def __init__(self, **instead: list[Said]) -> None:
        self.instead = instead
        self.polls: list[Any] = [{"messages": [item(1)], "cursor": 1}, {"messages": [END], "cursor": 2}]
        self.cursors: list[str] = []

    def operation(self, asked: Asked) -> str:
        """Which operation was asked for."""
        if asked.path.partition("?")[0] == "/api/conversation":
            return "pollConversation"
        if "grant_type=refresh_token" in asked.body:
            return "refresh"
        return next(name for name, path in PATHS.items() if path in asked.path)

    def __call__(self, asked: Asked) -> Said:
        """Answer one request."""
        operation = self.operation(asked)
        if operation == "pollConversation":
            self.cursors.append(asked.path.partition("=")[2])
        if self.instead.get(operation):
            return self.instead[operation].pop(0)
        if operation in ("connectToken", "refresh"):
            return Said(TOKENS)
        if operation == "pollConversation":
            return Said(self.polls.pop(0) if self.polls else {"messages": []})
        return Said({"id": "1", "requestId": "r1", "status": "Assigned", "isOpen": True})


def routed(connect: Connect, service: Service) -> Any:
    """A conversation that was routed."""
    conversation = connect(base_url=service.base_url, solution_id="7").connect().conversation("mine")
    conversation.route("support")
    return conversation


STATUSES = [400, 401, 403, 404, 405, 407, 409, 410, 418, 451, 200]


@pytest.mark.parametrize("status", quick_only([401, 404, 200], STATUSES))
def test_pages_in_place_of_polls_pass(connect: Connect, puzzel_time: VirtualTime, status: int) -> None:
    """However many come, the chat is degraded and goes on; the event tells what stood in the way."""
    centre = Centre(pollConversation=[page(status)] * 10)
    with Service(centre) as service:
        events = list(routed(connect, service).events())
    assert [type(event) for event in events] == GOES_ON
    assert f"{status} of a proxy" in events[0].problem


@pytest.mark.parametrize(
    "answer", [NOT_MODIFIED, Said(b"", 205, media=""), Said(b"", 204, media="")], ids=[304, 205, 204]
)
def test_nothing_new_from_whoever_moves_nothing(connect: Connect, puzzel_time: VirtualTime, answer: Said) -> None:
    """The cursor stays, the last reply is remembered, and nobody is told of a failure."""
    centre = Centre()
    centre.polls.insert(1, {"messages": [item(1)], "cursor": 1})
    with Service(centre) as service:
        conversation = routed(connect, service)
        events = conversation.events()
        assert next(events).id == "1"
        centre.instead["pollConversation"] = [answer] * 4
        assert [type(event) for event in events] == [ConversationEnded]
    assert centre.cursors == [""] + ["1"] * 6


@pytest.mark.parametrize("status", quick_only([404], [401, 403, 404, 410]))
def test_a_page_does_not_end_the_wait_for_an_agent(connect: Connect, puzzel_time: VirtualTime, status: int) -> None:
    """It is not "nothing was routed"; neither is a cache's answer one."""
    centre = Centre(getRequestStatus=[page(status), NOT_MODIFIED, page(status)])
    with Service(centre) as service:
        assert routed(connect, service).wait_for_agent(60).stage.value == "assigned"
        assert service.count("requestStatus") == 4


@pytest.mark.parametrize("status", quick_only([410], [404, 409, 410]))
def test_a_page_is_no_ended_chat(connect: Connect, puzzel_time: VirtualTime, status: int) -> None:
    """The end is sent until the service takes it; and what only a proxy says is told, not believed."""
    centre = Centre(endConversation=[page(status), page(status)])
    with Service(centre) as service:
        conversation = routed(connect, service)
        conversation.end()
        assert service.count("/end") == 3
    centre = Centre(endConversation=[page(status)] * 3)
    with Service(centre) as service:
        conversation = routed(connect, service)
        with pytest.raises(ApiError, match="of a proxy") as raised:
            conversation.end()
        assert (type(raised.value), raised.value.retryable) == (ApiError, True)
        assert not conversation.ended
        conversation.end()
        assert service.count("/end") == 4


@pytest.mark.parametrize("status", quick_only([410], [401, 404, 409, 410]))
def test_a_page_does_not_close_a_conversation(connect: Connect, puzzel_time: VirtualTime, status: int) -> None:
    """A send is told as not taken and can be made again, once; so can the others."""
    centre = Centre(
        sendMessage=[page(status)] * (2 if status == 401 else 1),
        sendTyping=[page(status)] * 9,
        routeConversation=[page(status)] * (2 if status == 401 else 1),
    )
    with Service(centre) as service:
        conversation = connect(base_url=service.base_url, solution_id="7").connect().conversation("mine")
        with pytest.raises(ApiError, match=r"base_url") as raised:
            conversation.route("support")
        assert (type(raised.value), raised.value.retryable) == (ApiError, True)
        conversation.route("support")
        with pytest.raises(ApiError, match=r"base_url") as raised:
            conversation.send("Hello")
        assert type(raised.value) is ApiError
        with pytest.raises(ApiError, match="of a proxy"):
            conversation.typing()
        centre.instead.clear()
        assert conversation.send("Hello").text == "Hello"


def test_a_304_to_a_send_may_have_been_a_success(connect: Connect, puzzel_time: VirtualTime) -> None:
    """It is looked for in the polls and never sent again; a call that may run twice does."""
    centre = Centre(sendMessage=[NOT_MODIFIED], getQueueInfo=[NOT_MODIFIED, NOT_MODIFIED])
    centre.polls = []
    with Service(centre) as service:
        conversation = routed(connect, service)
        with pytest.raises(DeliveryUnknown) as raised:
            conversation.send("Hello")
        assert isinstance(raised.value.__cause__, ApiError)
        assert "A cache on the way" in str(raised.value.__cause__)
        assert service.count("/message") == 1
        session = connect(base_url=service.base_url, solution_id="7").connect()
        assert session.queue_info("1").is_open
        assert service.count("/queue/") == 3


def test_a_304_to_a_route_is_looked_for(connect: Connect, puzzel_time: VirtualTime) -> None:
    """The service is asked whether it has the conversation, which it has."""
    with Service(Centre(routeConversation=[NOT_MODIFIED])) as service:
        conversation = connect(base_url=service.base_url, solution_id="7").connect().conversation("mine")
        assert conversation.route("support").stage.value == "assigned"
        assert (service.count("/route/"), service.count("requestStatus")) == (1, 1)


@pytest.mark.parametrize("status", quick_only([421], [421, 425, 429]))
def test_what_was_certainly_not_taken_is_sent_again(connect: Connect, puzzel_time: VirtualTime, status: int) -> None:
    """A wrong server, too early, too many: the message goes out again and is there once."""
    with Service(Centre(sendMessage=[Said({}, status)])) as service:
        assert routed(connect, service).send("Hello").text == "Hello"
        assert service.count("/message") == 2


@pytest.mark.parametrize("status", quick_only([403, 404], [400, 401, 403, 404, 405, 410]))
def test_a_page_in_place_of_a_refresh_costs_no_session(connect: Connect, puzzel_time: VirtualTime, status: int) -> None:
    """The token that is over is refreshed once the proxy lets us; until then polls are degraded."""
    centre = Centre(refresh=[page(status)] * 3)
    with Service(centre) as service:
        conversation = routed(connect, service)
        puzzel_time.advance(601)
        events = list(conversation.events())
    assert [type(event) for event in events] == GOES_ON


@pytest.mark.parametrize(("status", "kind"), [(401, ApiError), (403, ApiError), (404, ConfigurationError)])
def test_a_page_at_the_beginning_blames_the_address(
    connect: Connect, puzzel_time: VirtualTime, status: int, kind: type[Exception]
) -> None:
    """Neither the client nor the solution; where there is no such address, that is told at once."""
    with Service(Centre(connectToken=[page(status)] * 3)) as service:
        with pytest.raises(kind, match="base_url") as raised:
            connect(base_url=service.base_url, solution_id="7").connect()
        assert type(raised.value) is kind
        assert not isinstance(raised.value, SessionExpired)
        assert not any(word in str(raised.value) for word in ("client", "solution", "tenant", "secret"))
        assert service.count("/connect") == (1 if kind is ConfigurationError else 3)


def test_a_wrong_solution_id_is_named(connect: Connect, puzzel_time: VirtualTime) -> None:
    """Whichever word the service has for it, and no secret is spoken of where none was set."""
    for said in (
        Said({"error": "invalid_client"}, 401),
        Said({"error": "invalid_client"}, 400),
        Said({"error": "unauthorized_client"}, 400),
        Said({"error": "invalid_grant"}, 400),
        Said(b"", 401),
        Said(b"", 403),
    ):
        with Service(Centre(connectToken=[said])) as service:
            with pytest.raises(ConfigurationError, match=r"^solution_id: .*tenant_id") as raised:
                connect(base_url=service.base_url, solution_id="8").connect()
            assert raised.value.setting == "solution_id"
            assert "secret" not in str(raised.value)


@pytest.mark.parametrize("fast", [False, True], ids=["httpx", "fleet"])
@pytest.mark.parametrize("answer", quick_only([NOT_MODIFIED, page(404)], [NOT_MODIFIED, *map(page, STATUSES)]))
def test_a_polling_loop_takes_nobody_elses_word(fast: bool, answer: Said) -> None:
    """Over either transport: a cache has nothing new, a page is a passing failure."""
    centre = Centre(pollConversation=[answer] * (2 if answer.status == 401 else 1))

    with Service(centre) as service:
        seen = asyncio.run(handled(service, fast))
    assert [type(event) for event in seen] == (GOES_ON[2:] if answer.status == 304 else GOES_ON)
