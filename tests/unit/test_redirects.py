"""Redirects: which are followed, and that none of the others gets a token or ends a running chat."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable
from typing import Any
from urllib.parse import parse_qs

import pytest

from hostile import Asked, Said, Service
from lines import handled
from puzzel_chat import (
    AgentWaitTimeout,
    ConfigurationError,
    ConnectionDegraded,
    ConnectionRecovered,
    ConversationEnded,
    TextMessage,
    Visitor,
)
from puzzel_chat._http import Reply, Request, moved
from puzzel_chat._settings import Settings
from puzzel_chat.testing import VirtualTime

Connect = Callable[..., Any]
TOKENS = {"access_token": "a1-of-ada", "refresh_token": "r1-of-ada", "expires_in": 600}
LINE = {"id": "1", "conversationId": "mine", "type": "Text", "content": "Hi", "author": {"role": 1}}
END = {"id": "2", "conversationId": "mine", "type": "Event", "event": "ConversationEnded", "endedBy": 1}


def asked_for(method: str = "GET", path: str = "/api/conversation", query: str = "after=7") -> Request:
    """One request."""
    return Request(operation="pollConversation", method=method, path=path, query=query)


def answered(location: str, status: int = 307, base_url: str = "https://chat.example/base") -> Reply:
    """A redirect of a host with a path of its own."""
    address = Settings(solution_id="7", base_url=base_url).address("communication")
    return Reply(status=status, address=address, headers={"location": location})


@pytest.mark.parametrize(
    ("location", "path"),
    [
        ("https://chat.example/base/api/conversation/?after=7", "/api/conversation/"),
        ("/base/api/conversation/?after=7", "/api/conversation/"),
        ("/base/api/conversation/", "/api/conversation/"),
        ("conversation/?after=7", "/api/conversation/"),
        ("//chat.example:443/base/API/Conversation?after=7", "/API/Conversation"),
        ("https://CHAT.example/base/v2/api/conversation?after=7#top", "/v2/api/conversation"),
        ("/base/api/%63onversation", "/api/%63onversation"),
    ],
)
def test_the_same_path_in_another_spelling_is_followed(location: str, path: str) -> None:
    """A slash more, other letter case, a prefix, absolute or not; query, method, headers and body stay."""
    for status in (301, 302, 307, 308):
        found = moved(asked_for(), answered(location, status))
        assert found == Request(operation="pollConversation", method="GET", path=path, query="after=7")


@pytest.mark.parametrize(
    "location",
    [
        "",
        "/base/api/conversation?after=7",
        "http://chat.example/base/api/conversation/",
        "https://chat.example:8443/base/api/conversation/",
        "https://other.example/base/api/conversation/",
        "https://chat.example.evil.example/base/api/conversation/",
        "https://ada@chat.example/base/api/conversation/",
        "https://chat.example@evil.example/base/api/conversation/",
        "/api/conversation/",
        "/basement/api/conversation/",
        "/base/../api/conversation/",
        "/base/%2e%2e/api/conversation/",
        "/base/api/conversation/?after=8",
        "/base/login?returnUrl=/base/api/conversation",
        "/base/login",
        "/base/xapi/conversation",
        "/base/api/conversation/extra",
        "https://[::1/base/api/conversation/",
        "https://chat.example:port/base/api/conversation/",
    ],
)
def test_every_other_redirect_is_not_followed(location: str) -> None:
    """Another host, scheme, port, path, query, or the same address again."""
    for status in (301, 302, 303, 307, 308):
        assert moved(asked_for(), answered(location, status)) is None


def test_a_method_is_never_changed() -> None:
    """Only 307 and 308 promise to keep it; 301 and 302 do for GET alone, and the others name no such thing."""
    where = "/base/api/conversation/"
    for method in ("POST", "PUT"):
        followed = [status for status in range(200, 600) if moved(asked_for(method), answered(where, status))]
        assert followed == [307, 308]
    assert [status for status in range(200, 600) if moved(asked_for(), answered(where, status))] == [301, 302, 307, 308]


def answer(asked: Asked) -> Said:
    """A service that answers everything well."""
    if asked.path.startswith("/connect"):
        return Said({**TOKENS, "access_token": f"a-{len(asked.body)}"})
    if asked.path.partition("?")[0].rstrip("/") == "/api/conversation":
        return Said({"messages": [LINE, END]})
    return Said({"id": "1", "requestId": "r1", "status": "Assigned", "userInfoId": "u1", "isOpen": True})


def slashed(asked: Asked) -> Said:
    """A service behind a server that wants a slash at the end of each path."""
    path, mark, query = asked.path.partition("?")
    if not path.endswith("/"):
        return Said({}, 308 if asked.method == "PUT" else 307, {"Location": f"{path}/{mark}{query}"})
    return answer(asked)


def shouting(asked: Asked) -> Said:
    """A service whose paths begin in capitals, with a slash at the end, in two steps."""
    path, mark, query = asked.path.partition("?")
    _, word, rest = path.split("/", 2)
    if not word.isupper():
        return Said({}, 307, {"Location": f"/{word.upper()}/{rest}{mark}{query}"})
    if not path.endswith("/"):
        return Said({}, 307, {"Location": f"{path}/{mark}{query}"})
    return answer(Asked(asked.method, f"/{word.lower()}/{rest}{mark}{query}", asked.headers, asked.body))


@pytest.mark.parametrize("service_answers", [slashed, shouting])
def test_a_whole_chat_goes_through_a_server_that_spells_paths_otherwise(
    connect: Connect, puzzel_time: VirtualTime, caplog: pytest.LogCaptureFixture, service_answers: Any
) -> None:
    """Every call works, nothing is taken twice, each body arrives, and each operation is told once in the log."""
    caplog.set_level(logging.WARNING)
    with Service(service_answers) as service:
        session = connect(base_url=service.base_url, solution_id="7").connect(visitor=Visitor(id_token="t1"))
        assert session.queue_info("27504").is_open
        conversation = session.conversation("mine")
        conversation.route("support", customer={"name": "Ada"})
        assert conversation.wait_for_agent(5).stage.value == "assigned"
        conversation.send("Hello")
        conversation.typing()
        assert [type(event) for event in conversation.events()] == [TextMessage, ConversationEnded]
        puzzel_time.advance(601)
        for _ in range(3):
            session.queue_info("27504")
        taken = [one for one in service.asked if one.path.partition("?")[0].endswith("/")]
        sends = [one.body for one in taken if one.path.endswith("/message/")]
        routes = [one.body for one in taken if "/route/" in one.path]
        assert (len(sends), "Hello" in sends[0]) == (1, True)
        assert (len(routes), "Ada" in routes[0]) == (1, True)
        forms = [parse_qs(one.body)["grant_type"][0] for one in taken if "token" in one.path.lower()]
        assert forms == ["visitor", "refresh_token"]
    told = [record.getMessage() for record in caplog.records]
    assert len(told) == len(set(told)) + 1  # connectToken: for the first token, and for the refresh
    assert all("to another path; correct that address" in one and "mine" not in one for one in told)


def test_a_redirect_in_a_circle_ends(connect: Connect, puzzel_time: VirtualTime) -> None:
    """Four requests, then the error that names the path."""

    def circling(asked: Asked) -> Said:
        if asked.path.startswith("/connect"):
            return Said(TOKENS)
        path = asked.path
        return Said({}, 308, {"Location": path.removesuffix("/") if path.endswith("/") else f"{path}/"})

    with Service(circling) as service:
        session = connect(base_url=service.base_url, solution_id="7").connect()
        with pytest.raises(ConfigurationError, match=r"redirects to /api/queue/info/27504/?; set the address"):
            session.queue_info("27504")
        assert service.count("/api/queue") == 4


@pytest.mark.parametrize("status", [301, 302, 303, 307, 308])
def test_a_redirect_elsewhere_is_a_wrong_address_at_once(
    connect: Connect, puzzel_time: VirtualTime, status: int
) -> None:
    """One request; neither the first token nor a call follows it, and nothing reaches the other host."""
    away: list[str] = []

    def leading(asked: Asked) -> Said:
        if asked.path.startswith(tuple(away)):
            return Said({}, status, {"Location": f"{elsewhere.base_url}{asked.path}"})
        return answer(asked)

    with Service(answer) as elsewhere, Service(leading) as service:
        chat = connect(base_url=service.base_url, solution_id="7")
        session = chat.connect()
        before = len(service.asked)
        away[:] = ["/"]
        for call in (chat.connect, lambda: session.queue_info("1"), lambda: session.conversation("b").route("support")):
            with pytest.raises(ConfigurationError, match=r"^base_url: 127\.0\.0\.1 redirects to 127") as raised:
                call()
            assert raised.value.attempts == 1
        assert len(service.asked) == before + 3
        assert elsewhere.asked == []


LEADING_AWAY = [
    ("a maintenance page", 302, "https://sorry.example/maintenance"),
    ("a sign-in", 307, "/login?returnUrl=x"),
    ("https", 308, "https://localhost/api/conversation"),
]


@pytest.mark.parametrize(
    ("status", "location"), [row[1:] for row in LEADING_AWAY], ids=[row[0] for row in LEADING_AWAY]
)
def test_a_redirect_in_the_middle_of_a_chat_passes(
    connect: Connect, puzzel_time: VirtualTime, status: int, location: str
) -> None:
    """Polls fail for a while, which is told, and the chat goes on where it was."""
    left = [Said({}, status, {"Location": location})] * 5

    def leading(asked: Asked) -> Said:
        is_poll = asked.path.partition("?")[0] == "/api/conversation"
        return left.pop() if left and is_poll else answer(asked)

    with Service(leading) as service:
        conversation = connect(base_url=service.base_url, solution_id="7").connect().conversation("mine")
        conversation.route("support")
        events = list(conversation.events())
    kinds = [ConnectionDegraded, ConnectionRecovered, TextMessage, ConversationEnded]
    assert [type(event) for event in events] == kinds
    assert "redirects to" in events[0].problem


def test_a_redirect_while_an_agent_is_looked_for_passes(connect: Connect, puzzel_time: VirtualTime) -> None:
    """The wait goes on; when it is over, the error says what stood in the way."""
    left = [3]

    def leading(asked: Asked) -> Said:
        if "requestStatus" in asked.path and left[0]:
            left[0] -= 1
            return Said({}, 302, {"Location": "https://sorry.example/"})
        return answer(asked)

    with Service(leading) as service:
        session = connect(base_url=service.base_url, solution_id="7").connect()
        conversation = session.conversation("mine")
        conversation.route("support")
        assert conversation.wait_for_agent(60).stage.value == "assigned"
        left[0] = 10**6
        other = session.conversation("other")
        other.route("support")
        with pytest.raises(AgentWaitTimeout, match=r"redirects to sorry\.example"):
            other.wait_for_agent(20)


def test_a_refresh_that_is_redirected_elsewhere_costs_no_session(connect: Connect, puzzel_time: VirtualTime) -> None:
    """The refresh token goes nowhere else, polls are degraded once the token is over, and then all is well."""
    led = [True]

    def identity(asked: Asked) -> Said:
        if "refresh_token" in asked.body and led[0]:
            return Said({}, 307, {"Location": f"{elsewhere.base_url}/connect/token"})
        return Said(TOKENS)

    with Service(answer) as elsewhere, Service(identity) as tokens, Service(answer) as service:
        chat = connect(base_url=service.base_url, identity_url=tokens.base_url, solution_id="7")
        session = chat.connect()
        puzzel_time.advance(601)
        with pytest.raises(ConfigurationError, match=r"^identity_url: .* redirects to"):
            session.queue_info("27504")
        led[0] = False
        puzzel_time.advance(60)
        assert session.queue_info("27504").is_open
        assert elsewhere.asked == []


@pytest.mark.parametrize("fast", [False, True], ids=["httpx", "fleet"])
def test_a_polling_loop_follows_and_survives_redirects(fast: bool) -> None:
    """Polls over either transport: a path in another spelling is followed, another host is a passing failure."""
    left = [Said({}, 302, {"Location": "https://sorry.example/"})]

    def leading(asked: Asked) -> Said:
        if asked.path.startswith("/api/conversation/") and left and "?" not in asked.path and asked.method == "GET":
            return left.pop()
        return slashed(asked)

    with Service(leading) as service:
        seen = asyncio.run(handled(service, fast))
    kinds = [ConnectionDegraded, ConnectionRecovered, TextMessage, ConversationEnded]
    assert [type(event) for event in seen] == kinds
