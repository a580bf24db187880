"""A sandbox that is told to differ from the contract: other paths, other names, other cursors, members left out."""

from __future__ import annotations

from contextlib import closing
from typing import Literal

import pytest

from bare import Customer, texts
from puzzel_chat.sandbox import Differences, Sandbox, Semantics


def test_another_path_takes_the_place_of_ours() -> None:
    """An operation answers at the method and path it was given, on its own host, and no longer at the contract's."""
    paths = {
        "sendMessage": "PUT /api/conversation/{id}/messages",
        "routeConversation": "POST /v2/queues/{queueKey}/chats/{id}",
        "authenticateVisitor": "POST /login/{customerId}",
    }
    with Sandbox(pace=0, differs=Differences(paths=paths)) as sandbox, closing(Customer(sandbox)) as customer:
        assert customer.route().status_code == 404
        assert customer.http.post("/v2/queues/support/chats/chat", json=[]).status_code == 202
        assert customer.say("hello").status_code == 404
        assert customer.http.put("/api/conversation/chat/messages", json={"content": "hello"}).status_code == 200
        body = {"codeChallenge": "c", "idToken": sandbox.visitor_token()}
        assert customer.identity.post("/login/12345", json=body).status_code == 200
        assert customer.identity.post("/api/authenticate/12345", json=body).status_code == 404
        assert customer.http.post("/login/12345", json=body).status_code == 404
        assert sandbox.stats().requests["sendMessage"] == 1


NAMES = {
    "content": "text",
    "messages": "events",
    "displayName": "nick",
    "value": "content",
    "refresh_token": "renewal",
    "opensAt": "opens",
    "code": "errorCode",
}


def test_other_names_in_requests_and_replies() -> None:
    """Members have the service's names at every depth, in both directions, refusals and the token reply included."""
    with Sandbox(pace=0, differs=Differences(names=NAMES)) as sandbox, closing(Customer(sandbox)) as customer:
        assert customer.token(grant_type="refresh_token", refresh_token=customer.tokens["renewal"]).status_code == 200
        assert customer.route(items=[{"name": "customerName", "content": "Ada"}]).status_code == 202
        assert sandbox.agent("chat").order.customer == {"name": "Ada"}
        assert customer.http.post("/api/conversation/chat/message", json={"text": "hello"}).status_code == 200
        events = customer.poll().json()["events"]
        assert events[0]["author"] == {"role": 2, "id": None, "nick": "System"}
        assert "hello" in [event.get("text") for event in events]
        assert "opens" in customer.http.get("/api/queue/info/27502").json()
        refusal = customer.route("other", "closed").json()
        assert (refusal["errorCode"], "opens" in refusal, "code" in refusal) == ("QueueClosed", True, False)
        assert sandbox.ledger()["chat"][-1].wire["content"]


@pytest.mark.parametrize("body", [b'{"content":"x"}', b'{"text":1}', b"[", b"[" * 100_000, b"\xff", b'{"text":NaN}'])
def test_our_own_names_are_unknown_to_a_service_with_others(body: bytes) -> None:
    """A body in the contract's words, or one that is no JSON, is refused as any wrong body is."""
    differs = Differences(names={"content": "text"})
    with Sandbox(pace=0, differs=differs) as sandbox, closing(Customer(sandbox)) as customer:
        customer.route()
        headers = {"Content-Type": "application/json"}
        reply = customer.http.post("/api/conversation/chat/message", content=body, headers=headers)
        assert (reply.status_code, reply.json()["code"]) == (400, "BadRequest")


def test_names_can_be_exchanged() -> None:
    """Two members that swap their names are kept apart in both directions."""
    differs = Differences(names={"content": "clientMessageId", "clientMessageId": "content"})
    with Sandbox(script="manual", pace=0, differs=differs) as sandbox, closing(Customer(sandbox)) as customer:
        customer.route()
        body = {"content": "mine-1", "clientMessageId": "hello"}
        assert customer.http.post("/api/conversation/chat/message", json=body).json()["content"] == "mine-1"
        (entry,) = sandbox.ledger()["chat"]
        assert (entry.content, entry.client_message_id) == ("hello", "mine-1")


@pytest.mark.parametrize(("cursor", "first", "again"), [
    ("integer", 1, ["two"]), ("text", "c1", ["two"]), ("none", None, ["one", "two"]),
])  # fmt: skip
def test_other_cursors(cursor: Literal["integer", "text", "none"], first: object, again: list[str]) -> None:
    """A cursor can be a number, a text, or none; with each a poll takes back what it gave."""
    differs = Differences(cursor=cursor)
    with Sandbox(script="manual", pace=0, differs=differs) as sandbox, closing(Customer(sandbox)) as customer:
        customer.route()
        customer.say("one")
        reply = customer.poll()
        assert reply.json()["cursor"] == first
        customer.say("two")
        assert texts(customer.poll(reply.json()["cursor"])) == again
        assert texts(customer.poll("1")) == (["two"] if cursor == "integer" else ["one", "two"])


@pytest.mark.parametrize("semantics", ["history", "cursor", "drain"])
def test_members_left_out(semantics: Semantics) -> None:
    """Members that are dropped are in no reply, whatever a poll means; the ledger has them all the same."""
    differs = Differences(drop=frozenset({"version", "sentAt", "author", "visitor_id"}), cursor="text")
    with Sandbox(pace=0, semantics=semantics, differs=differs) as sandbox, closing(Customer(sandbox)) as customer:
        assert "visitor_id" not in customer.tokens
        customer.route()
        assert set(customer.say("hello").json()) == {"id", "clientMessageId"}
        reply = customer.poll().json()
        assert all(not {"version", "sentAt", "author"} & set(message) for message in reply["messages"])
        assert (reply["cursor"] is None) == (semantics != "cursor")
        assert sandbox.ledger()["chat"][0].wire["author"]


@pytest.mark.parametrize(("paths", "words"), [
    ({"sendMesage": "POST /x/{id}"}, "sendMesage"), ({"sendMessage": "/x/{id}"}, "method"),
    ({"sendMessage": "POST x/{id}"}, "method"), ({"sendMessage": "POST /x"}, "placeholders"),
    ({"sendMessage": "POST /x/{id}/{queueKey}"}, "placeholders"),
])  # fmt: skip
def test_a_misspelt_difference_is_an_error(paths: dict[str, str], words: str) -> None:
    """An operation that does not exist, or a path that cannot be served, is told when it is asked for."""
    with pytest.raises(ValueError, match=words):
        Differences(paths=paths)
    with pytest.raises(ValueError, match="cursor"):
        Differences(cursor="number")  # type: ignore[arg-type]
