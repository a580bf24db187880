"""What the desk's page posts, without a browser: what is wrong is said in words, and changes nothing."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

import httpx
import pytest

from bare import Customer

if TYPE_CHECKING:
    from puzzel_chat.pages import Pages
    from puzzel_chat.sandbox import Sandbox

KARI = {"agent": "Kari"}
NONSENSE: list[tuple[str, Any, int, str]] = [
    ("scripted", {}, 400, "on must be true or false"),
    ("scripted", [], 400, "the body must be an object"),
    ("ready", {**KARI, "ready": 1}, 400, "ready must be true or false"),
    ("ready", {"agent": "Nils", "ready": True}, 409, "you have signed out"),
    ("ready", {"agent": 7, "ready": True}, 409, "you have signed out"),
    ("leave", {}, 409, "you have signed out"),
    ("chats/chat/say", KARI, 400, "text must be a text"),
    ("chats/chat/say", {"agent": "Nils", "text": "Hello"}, 409, "you have signed out"),
    ("chats/other/say", {**KARI, "text": "Hello"}, 409, "this chat is no longer yours"),
    ("chats/chat/edit", {**KARI, "message": "none", "text": "Hello"}, 409, "has no message none"),
    ("chats/chat/ask", {**KARI, "text": "Which?", "choices": "ab"}, 400, "choices must be a list of texts"),
    ("chats/chat/typing", {**KARI, "typing": "yes"}, 400, "typing must be true or false"),
    ("chats/chat/transfer", {**KARI, "queue": "nowhere"}, 409, "there is no nowhere"),
    ("chats/chat/accept", KARI, 409, "this chat is no longer yours"),
]


@pytest.fixture
def desk(centre: Sandbox, pages: Pages) -> Iterator[httpx.Client]:
    """A client that is let in and says that it comes from the page; Kari is in the conversation "chat"."""
    customer, kari = Customer(centre), centre.person("Kari")
    customer.route()
    while kari.offer is None:
        centre.stats()
    centre.agent("chat").accept()
    base = pages.url.partition("/?")[0]
    with httpx.Client(base_url=base, headers={"Origin": base}, trust_env=False, timeout=60) as client:
        assert client.get(pages.desk_url).status_code == 303
        yield client
    customer.close()


def test_nonsense_is_refused_in_words(centre: Sandbox, desk: httpx.Client) -> None:
    """With a status, and without a word to the customer."""
    before = centre.ledger()
    for path, body, status, why in NONSENSE:
        reply = desk.post(f"/desk/{path}", json=body)
        assert (path, reply.status_code) == (path, status)
        assert why in reply.json()["error"]
    assert desk.post("/desk/scripted", content=b"{").json() == {"error": "the body is not JSON"}
    assert desk.post("/desk/chats/chat/sing", json=KARI).status_code == 404
    assert desk.get("/desk/chats/chat/file/none").status_code == 404
    assert centre.ledger() == before


def test_a_file_reaches_the_customer_only_from_the_chats_agent(centre: Sandbox, desk: httpx.Client) -> None:
    """Under its name; anybody else is refused."""
    assert desk.post("/desk/chats/chat/file?agent=Nils&name=a.txt", content=b"one").status_code == 409
    assert desk.post("/desk/chats/chat/file?agent=Kari&name=a.txt", content=b"one").status_code == 200
    sent = centre.ledger()["chat"][-1]
    assert (sent.type, sent.wire["fileName"]) == ("File", "a.txt")
    got = desk.get(f"/desk/chats/chat/file/{sent.id}")
    assert (got.content, got.headers["content-type"]) == (b"one", "application/octet-stream")
    assert got.headers["content-disposition"].startswith("attachment")
