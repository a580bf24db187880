"""Secrets and people's words stay out of logs, reprs, warnings and errors, through whole chats with faults."""

from __future__ import annotations

import io
import json
import logging
import warnings
from collections.abc import Callable, Mapping
from typing import Any

import pytest
from attrs import define, field

from blocking import settings
from hostile import Answer, Asked, Said, Service
from puzzel_chat import Customer, FileMessage, MemoryStore, PuzzelChatError, Variable
from puzzel_chat.sandbox import Fault, Sandbox
from puzzel_chat.testing import VirtualTime
from quick import quick_only
from telling import told_by

SECRET, NAME, WORDS = "marked-client-secret", "marked-customer-name", "marked words of a customer"


def test_a_chat_at_debug_level_tells_no_secret(
    connect: Callable[..., Any], caplog: pytest.LogCaptureFixture, capfd: pytest.CaptureFixture[str]
) -> None:
    """With every logger at DEBUG, neither logs nor reprs nor errors hold a token, a secret or what anybody wrote."""
    caplog.set_level(logging.DEBUG)
    shown: list[object] = []
    store = MemoryStore()
    faults = (
        Fault.revoked("getQueueInfo", times=1),
        Fault.truncate("pollConversation", times=1, skip=1),
        Fault.bad_item(times=1, skip=3),
        Fault.status(500, "sendMessage", after=True, times=1),
    )
    with Sandbox(client_secret=SECRET, script="helpful", pace=0.02, faults=faults) as sandbox:
        chat = connect(**settings(sandbox, client_secret=SECRET), store=store)
        hours = sandbox.visual_queue_id
        conversation = chat.start("support", hours, customer={"name": NAME}, variables={"note": WORDS}, wait=20)
        tokens = store._sessions[conversation.session.id].tokens
        shown += [chat, conversation, conversation.session, store._sessions]
        with conversation:
            shown.append(conversation.send(WORDS))
            conversation.send("end chat")
            shown += conversation.events()
        with pytest.raises(PuzzelChatError) as caught:
            conversation.send(WORDS)
        shown += [caught.value, str(caught.value)]
    told = caplog.text + repr(shown) + "".join(capfd.readouterr())
    assert tokens.refresh
    for hidden in (SECRET, NAME, WORDS, str(tokens.access), str(tokens.refresh), "How can I help"):
        assert hidden not in told
    assert "token generation 2" in caplog.text


MARKS = {
    "secret": "open sesame 0f1e",
    "field": "field-77aa88bb99cc00dd",
    "access": "access-9c1f7a22e0b84d55",
    "refresh": "refresh-5d1e0c77aa3141f2",
    "id token": "eyJhbGciOiJub25lIn0.eyJzdWIiOiI3In0",
    "name": "Kari Grunnfjell",
    "email": "grunnfjell@post.example",
    "phone": "+47 99 88 77 66",
    "variable": "order number of mine",
    "secret variable": "pin of mine",
    "subject": "about my illness",
    "turn": "my first words to the bot",
    "picture": "what is in my picture",
    "picture name": "my-picture.png",
    "words": "I have lost my card",
    "agent": "Ada Lovelace",
    "question": "What is your number?",
    "label": "Yes, block it",
    "file": "my-passport.pdf",
}
ALL = " ".join(MARKS.values())
TOKENS = {"token_type": "Bearer", "access_token": MARKS["access"], "refresh_token": MARKS["refresh"]}
AUTHOR = {"role": 1, "id": "a1", "displayName": MARKS["agent"]}
ITEM = {"conversationId": "mine", "version": 1, "sentAt": "2026-01-05T09:00:00Z", "author": AUTHOR}
ITEMS = [
    {**ITEM, "id": "1", "type": "Text", "content": f"<b>{MARKS['question']}</b>"},
    {**ITEM, "id": "2", "type": "Options", "content": "?", "options": [{"id": "y", "label": MARKS["label"]}]},
    {**ITEM, "id": "3", "type": "File", "fileName": MARKS["file"], "url": f"https://x.example/{MARKS['file']}"},
    {**ITEM, "id": "4", "type": "Event", "event": "AgentJoined", "agent": AUTHOR},
    {**ITEM, "id": "5", "type": "Brandnew", "content": MARKS["question"]},
    {**ITEM, "id": "1", "version": 2, "type": "Text", "content": MARKS["question"]},
]
GOOD: tuple[tuple[str, dict[str, Any]], ...] = (
    ("/connect/token", {**TOKENS, "id_token": MARKS["id token"], "expires_in": 600}),
    ("/api/queue/info/", {"id": "support", "isOpen": True}),
    ("/api/upload", {"id": "file-1", "url": f"/api/file/{MARKS['picture name']}"}),
    ("/route/", {"requestId": "r1", "status": "Queued"}),
    ("/requestStatus/", {"status": "Assigned", "agent": AUTHOR}),
    ("/message", {"id": "m1", "sentAt": "2026-01-05T09:00:00Z"}),
    ("/api/conversation?", {"messages": []}),
)
LEAKY = {
    "Set-Cookie": f"pzl.rid={MARKS['refresh']}",
    "X-Request-Id": MARKS["access"],
    "WWW-Authenticate": f'Bearer error="invalid_token", error_description="{MARKS["access"]}"',
}


WORDLESS = ("/api/queue/", "/api/time/", "/typing", "/end")


def heard(asked: Asked) -> str:
    """What such a service can repeat: the request, and where that is about people, all that it knows of them."""
    known = MARKS["access"] if any(path in asked.path for path in WORDLESS) else ALL
    return f"{asked.headers.get('authorization', '')} {asked.body} {known}"


def problem(status: int) -> Callable[[Asked], Said]:
    """A problem document that repeats the request in every field."""

    def answer(asked: Asked) -> Said:
        echo = heard(asked)
        fields = dict.fromkeys(("type", "title", "detail", "instance", "code", "traceId", "error_description"), echo)
        return Said({**fields, "errors": {echo: [echo]}}, status, LEAKY, "application/problem+json", echo[:60])

    return answer


def page(status: int) -> Callable[[Asked], Said]:
    """A web page that repeats the request in its title and body."""

    def answer(asked: Asked) -> Said:
        # A page is a proxy's, which knows no more than the request.
        echo = f"{asked.headers.get('authorization', '')} {asked.body}"
        return Said(f"<html><title>{echo}</title><p>{echo}".encode(), status, LEAKY, "text/html")

    return answer


def said(shape: Callable[[str], Any], status: int = 200, headers: Mapping[str, str] | None = None) -> Answer:
    """What was heard, in some shape."""
    return lambda asked: Said(shape(heard(asked)), status, {**LEAKY, **(headers or {})})


FAULTS: dict[str, Callable[[Asked], Said]] = {
    **{f"problem {status}": problem(status) for status in (400, 401, 403, 404, 409, 422, 429, 500)},
    **{f"page {status}": page(status) for status in (200, 403, 502)},
    "token as title": said(lambda _: {"title": MARKS["access"], "code": MARKS["access"]}, 500),
    "truncated": said(lambda it: json.dumps({"messages": it, "access_token": it, "id": it}).encode()[:-40]),
    "text": said(str.encode),
    "wrong types": said(lambda it: dict.fromkeys(("messages", "refresh_token", "status"), it)),
    "wrong structures": said(lambda it: {key: {"a": [it]} for key in ("messages", "access_token", "status")}),
    "a list": said(lambda it: [it]),
    "redirect": said(lambda _: {}, 307, {"Location": "https://{0}.example/{0}?t={0}".format(MARKS["access"])}),
    "refused grant": said(lambda it: {"error": "invalid_grant", "error_description": it}, 400),
    "odd grant error": said(lambda it: {"error": MARKS["refresh"], "error_description": it}, 400),
    "packed badly": said(str.encode, headers={"Content-Encoding": "gzip"}),
    "nothing": said(lambda _: None),
}
QUICK = ("token as title", "wrong types", "refused grant")


@define
class Centre:
    """A service whose answers are good, until they are all of one bad kind."""

    fault: Callable[[Asked], Said]
    broken: str = ""
    items: list[Any] = field(factory=lambda: list(ITEMS))

    def answer(self, asked: Asked) -> Said:
        """Answer one request."""
        is_token = asked.path.startswith("/connect")
        if self.broken == "all" or (self.broken == "calls" and not is_token):
            return self.fault(asked)
        body = next((dict(body) for path, body in GOOD if path in f"{asked.path}?"), {})
        if "messages" in body:
            body["messages"], self.items = self.items, []
        return Said(body, headers=LEAKY)


@pytest.mark.parametrize("name", quick_only(QUICK, FAULTS))
def test_nothing_that_is_repeated_to_us_is_told(
    connect: Callable[..., Any],
    caplog: pytest.LogCaptureFixture,
    capfd: pytest.CaptureFixture[str],
    puzzel_time: VirtualTime,
    name: str,
) -> None:
    """A service that repeats tokens, names and words in whatever it answers finds none of them in what we tell."""
    caplog.set_level(logging.DEBUG)
    centre, store, shown = Centre(FAULTS[name]), MemoryStore(), []

    def attempt(call: Callable[[], Any]) -> None:
        try:
            shown.append(repr(call()))
        except PuzzelChatError as error:
            shown.append(told_by(error))

    customer = Customer(name=MARKS["name"], email=MARKS["email"], phone=MARKS["phone"])
    variables = [Variable("order", MARKS["variable"]), Variable("pin", MARKS["secret variable"], secret=True)]
    order = {"variables": variables, "subject": MARKS["subject"]}
    history: list[Any] = [{"role": "customer", "text": MARKS["turn"], "name": MARKS["name"]}]
    with Service(centre.answer) as service, warnings.catch_warnings(record=True) as warned:
        warnings.simplefilter("always")
        chat = connect(
            base_url=service.base_url,
            solution_id="7",
            client_secret=MARKS["secret"],
            token_fields={"api_key": MARKS["field"]},
            store=store,
        )
        session = chat.connect()
        conversation = session.conversation("mine")
        theirs = FileMessage(conversation_id="mine", id="3", url=f"/api/file/{MARKS['file']}", file_name=MARKS["file"])
        calls: list[Callable[[], Any]] = [
            lambda: session.queue_info("27501"),
            lambda: session.time_info("hours"),
            lambda: conversation.route("support", customer=customer, **order, history=history),
            lambda: conversation.wait_for_agent(wait=20),
            lambda: conversation.send(MARKS["words"]),
            lambda: conversation.send_file(MARKS["picture"].encode(), name=MARKS["picture name"]),
            lambda: conversation.download(theirs, io.BytesIO()),
            lambda: conversation.choose(MARKS["words"]),
            conversation.typing,
            *[session.poll] * 4,
            lambda: chat.start("support", customer={"name": MARKS["name"]}, **order, history=history, wait=5),
            conversation.transcript,
        ]
        for broken in ("", "calls", "all"):
            centre.broken = broken
            puzzel_time.advance(590)
            for call in calls:
                attempt(call)
            shown += [repr(one) for one in (chat, session, conversation, session._state, store._sessions)]
        attempt(chat.connect)
        attempt(conversation.end)
        chat.close()
    told = "\n".join([*shown, caplog.text, *capfd.readouterr(), *(str(one) for one in warned)])
    assert {name: mark for name, mark in MARKS.items() if mark in told} == {}
    assert len(service.asked) > 20
