"""A contact centre of nobody we know, on loopback, and one chat with it; a test chooses what it says, and how."""

from __future__ import annotations

import gzip
import json
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from enum import Enum
from pathlib import Path
from typing import Any
from urllib.parse import unquote, unquote_plus, urlsplit

import pytest
from attrs import evolve, field, fields, frozen, has

from hostile import Asked, Said, Service
from puzzel_chat import (
    ApiError,
    ConversationEnded,
    OptionsMessage,
    PuzzelChat,
    TextMessage,
    Variable,
    Visitor,
)
from puzzel_chat.testing import VirtualTime, _in_virtual_time, _number_ids
from replay.playing import RECORDED, cassette, client

CHAT = "chat-1"
UNTOLD = frozenset({"fetched_at"})


@frozen
class Script:
    """What the stranger says. `junk` stands beside what is known in every document; `items` are more messages."""

    queue_key: str = "q_support"
    visual_queue_id: str = "27504"
    queue_name: str = "Kundeservice Nord"
    agent: Mapping[str, Any] = field(factory=lambda: {"id": "ag-774401", "displayName": "Solveig Berg"})
    lines: tuple[str, ...] = ("Hei, hva kan jeg hjelpe med?",)
    options: tuple[str, ...] = ("Faktura", "Levering")
    items: tuple[Any, ...] = ()
    junk: Mapping[str, Any] = field(factory=dict)
    headers: Mapping[str, str] = field(factory=dict)
    cursor: Callable[[int], Any] = int
    secret: str = "s3cr3t-"
    encode: Callable[[Any], bytes] = lambda document: json.dumps(document).encode()
    problem: Any = field(factory=lambda: {"title": "Not Found", "detail": "Ada is not here", "traceId": "00-4bf9"})


class Stranger:
    """Answers the requests of one chat: a sign-in, a queue, a search, messages, and a page of trouble."""

    def __init__(self, script: Script) -> None:
        self._script = script
        self._log: list[Any] = []
        self._tokens = 0
        author = {"role": 1, **script.agent}
        self._say({"type": "Event", "event": "AgentJoined", "agent": script.agent, "author": {"role": 2, "id": None}})
        for line in script.lines:
            self._say({"type": "Text", "author": author, "content": line})
        options = [{"id": f"opt-{label}", "label": label, **script.junk} for label in script.options]
        self._say({"type": "Options", "author": author, "content": script.lines[-1], "options": options})
        file = {"fileName": f"{script.secret}bill.pdf", "url": f"https://files.example/{script.secret}"}
        self._say({"type": "File", "author": {"role": 1, "id": script.agent["id"]}, **file, "contentType": "text/x"})
        for item in script.items:
            self._say(item)

    def _say(self, item: Any) -> None:
        base = {"id": f"m{len(self._log) + 1}", "eventId": len(self._log) + 1, "conversationId": CHAT, "version": 1}
        known = {**base, "sentAt": "2026-01-05T09:00:00Z", **self._script.junk}
        self._log.append({**known, **item} if isinstance(item, dict) else item)

    def __call__(self, asked: Asked) -> Said:
        """Answer one request."""
        said = self._answer(asked)
        body = said.body if isinstance(said.body, bytes) else self._script.encode(said.body)
        return evolve(said, body=body, headers={**self._script.headers, **said.headers})

    def _answer(self, asked: Asked) -> Said:
        script, path = self._script, urlsplit(asked.path).path
        match [asked.method, *map(unquote, path.strip("/").split("/"))]:
            case ["POST", "connect", "token"]:
                self._tokens += 1
                names = ("access_token", "refresh_token", "id_token", "visitor_id", "scope")
                tokens = {name: f"{script.secret}{name}-{self._tokens}" for name in names}
                return Said({**tokens, "expires_in": 900, "token_type": "Bearer", **script.junk})
            case ["POST", "api", "authenticate", _]:
                return Said({"userInfoId": f"{script.secret}user", **script.junk})
            case ["GET", "api", "queue", "info", script.visual_queue_id]:
                queue = {"id": script.visual_queue_id, "name": script.queue_name, "isOpen": True, "queueSize": 27504}
                return Said({**queue, "timeId": "t-1", "opensAt": "2026-01-05T08:00:00Z", **script.junk})
            case ["GET", "api", "time", number]:
                return Said({"id": number, "exitName": script.queue_name, "isOpen": True, **script.junk})
            case ["PUT", "api", "conversation", _, "route", _]:
                return Said({"requestId": "r-1", "conversationId": CHAT, "status": "Queued", **script.junk}, 202)
            case ["GET", "api", "allocation", "requestStatus", _]:
                found = {"status": "Assigned", "agent": script.agent, "reason": script.queue_name}
                return Said({"requestId": "r-1", "conversationId": CHAT, **found, **script.junk})
            case ["GET", "api", "conversation"]:
                return self._poll(asked)
            case ["POST", "api", "conversation", _, "message"]:
                sent = json.loads(asked.body)
                self._say({"type": "Text", "author": {"role": 0, "displayName": "Ada"}, **sent})
                return Said({"id": self._log[-1]["id"], "sentAt": "2026-01-05T09:00:00Z", **script.junk})
            case ["POST", "api", "conversation", _, "end"]:
                self._say({"type": "Event", "event": "ConversationEnded", "endedBy": 0, "reason": script.queue_name})
                return Said(b"", 204)
        problem = script.problem
        return Said(problem, 404, media="text/html" if isinstance(problem, bytes) else "application/problem+json")

    def _poll(self, asked: Asked) -> Said:
        after = urlsplit(asked.path).query.partition("=")[2]
        seen = next((n for n in range(len(self._log) + 1) if str(self._script.cursor(n)) == unquote_plus(after)), 0)
        new = self._log[seen:]
        if not new:
            return Said(b"", 204)
        return Said({"messages": new, "cursor": self._script.cursor(len(self._log)), **self._script.junk})


def chat_with(chat: PuzzelChat, script: Script, time_id: str | None = None) -> list[Any]:
    """Do what a bot does, also with the words of others; gives all that it was told."""
    session = chat.connect(visitor=Visitor(id_token=f"{script.secret}idp"))
    info = session.queue_info(script.visual_queue_id)
    told: list[Any] = [info, session.time_info(time_id or info.time_id or "")]
    conversation = session.conversation(CHAT)
    pin = Variable("pin", f"{script.secret}pin", secret=True)
    conversation.route(script.queue_key, customer={"name": "Ada"}, variables=[Variable("order", "4711"), pin])
    told.append(conversation.wait_for_agent(30))
    last = None
    for event in conversation.events():
        told.append(event)
        if isinstance(event, OptionsMessage):
            told += [conversation.send(option.label) for option in event.options[-1:]]
            told.append(last := conversation.send("Thank you, goodbye"))
        elif isinstance(event, TextMessage) and event.author.is_agent:
            told.append(conversation.send(f"You said: {event.text}"))
        elif isinstance(event, TextMessage) and last and event.client_id == last.client_id:
            conversation.end()
    assert isinstance(told[-1], ConversationEnded)
    with pytest.raises(ApiError) as raised:
        session.queue_info("4040")
    told.append([type(raised.value).__name__, raised.value.status, raised.value.title, raised.value.code])
    return told


def shape(told: Any, equal: bool = True) -> Any:
    """Give the structure of values: truths and times as they are, a number as its type, and a text by its first place.

    Without `equal`, of a text only whether it is empty.
    """
    return _shape(told, {} if equal else None)


def _shape(value: Any, seen: dict[str, int] | None) -> Any:
    if has(type(value)):
        members = [one.name for one in fields(type(value)) if one.name not in UNTOLD]
        return [type(value).__name__, *(_shape(getattr(value, name), seen) for name in members)]
    if isinstance(value, Mapping):
        return [[_shape(key, seen), _shape(one, seen)] for key, one in value.items()]
    if isinstance(value, list | tuple):
        return [_shape(one, seen) for one in value]
    if isinstance(value, str) and not isinstance(value, Enum):
        return bool(value) if seen is None else seen.setdefault(value, len(seen))
    return type(value).__name__ if isinstance(value, int | float) and not isinstance(value, bool) else value


@contextmanager
def alone() -> Iterator[VirtualTime]:
    """Give virtual time and numbered ids, for one play."""
    time = VirtualTime()
    with pytest.MonkeyPatch.context() as patch:
        _number_ids(patch)
        _in_virtual_time(patch, time)
        yield time


def recorded(path: Path, script: Script, kind: str = "sync", time_id: str | None = None, **config: Any) -> list[Any]:
    """Record the chat with a stranger."""
    with ExitStack() as stack:
        stack.enter_context(alone())
        service = stack.enter_context(Service(Stranger(script)))
        stack.enter_context(cassette(path, "all", **config))
        settings = {"base_url": service.base_url, "solution_id": "12345", "client_secret": f"{script.secret}client"}
        chat = stack.enter_context(client(kind, **settings, token_fields={"audience": f"{script.secret}audience"}))
        return chat_with(chat, script, time_id)


def replayed(path: Path, script: Script, kind: str, time_id: str | None = None) -> list[Any]:
    """Play the chat from its cassette, without what only the tenant has."""
    with ExitStack() as stack:
        stack.enter_context(alone())
        tape = stack.enter_context(cassette(path))
        chat = stack.enter_context(client(kind, **RECORDED))
        told = chat_with(chat, evolve(script, secret="another-"), time_id)
        left = [number for number in range(len(tape)) if not tape.play_counts[number]]
        assert not left, left
    return told


def packed(document: Any) -> bytes:
    """Encode a document as JSON in gzip."""
    return gzip.compress(json.dumps(document).encode())
