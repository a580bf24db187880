"""The rehearsed contract over HTTP: an ASGI middleware that translates it to and from the sandbox's own.

A second opinion on `vendor.json`: it imports nothing of the facade or the generated client. It is strict: what the old
contract would say is refused here. Faults come through as they are, for a body that is not whole JSON is left alone.
"""

from __future__ import annotations

import asyncio
import json
import re
from collections.abc import Awaitable, Callable, Mapping, MutableMapping
from typing import Any, TypeAlias
from urllib.parse import parse_qsl, urlencode

from attrs import define, field, frozen

Document: TypeAlias = Mapping[str, Any]
Message: TypeAlias = MutableMapping[str, Any]
Receive: TypeAlias = Callable[[], Awaitable[Message]]
Send: TypeAlias = Callable[[Message], Awaitable[None]]
App: TypeAlias = Callable[[Message, Receive, Send], Awaitable[None]]

NOWHERE = "/not-in-this-contract"
"""A path that the sandbox answers with its own 404."""


def _renamed(document: Document, names: Mapping[str, str]) -> dict[str, Any]:
    return {new: document.get(old) for old, new in names.items()}


def _coded(value: object, codes: Mapping[Any, int]) -> object:
    """Give the code of a name or a number; what has none becomes a code that nobody knows."""
    return codes.get(value, 99) if isinstance(value, str | int) else value


STATES = {
    name: code
    for code, name in enumerate(["Queued", "Offered", "Assigned", "Declined", "Refused", "Cancelled", "Expired"])
}
ROLES = {0: 1, 1: 2, 2: 0, 3: 3}
KINDS = {"Text": 0, "Options": 1, "File": 2, "Event": 3}
EVENTS = {"AgentJoined": 0, "AgentLeft": 1, "AgentTyping": 2, "ConversationEnded": 3}


def _agent(value: object) -> object:
    return _renamed(value, {"id": "agentId", "displayName": "name"}) if isinstance(value, Mapping) else value


def _sender(value: object) -> object:
    if not isinstance(value, Mapping):
        return value
    named = _renamed(value, {"role": "role", "id": "userId", "displayName": "name"})
    return {**named, "role": _coded(named["role"], ROLES)}


def _option(value: object) -> object:
    return _renamed(value, {"id": "value", "label": "text"}) if isinstance(value, Mapping) else value


def _message(value: object) -> object:
    if not isinstance(value, Mapping):
        return value
    options = value.get("options")
    return {
        **_renamed(
            value, {"id": "id", "conversationId": "conversationId", "eventId": "sequence", "version": "revision"}
        ),
        **_renamed(value, {"sentAt": "createdAt", "clientMessageId": "correlationId", "content": "body"}),
        **_renamed(value, {"fileName": "fileName", "url": "fileUrl", "contentType": "contentType"}),
        **_renamed(value, {"size": "fileSize", "isTyping": "typing", "reason": "reason"}),
        "kind": _coded(value.get("type"), KINDS),
        "sender": _sender(value.get("author")),
        "options": [_option(one) for one in options] if isinstance(options, list) else options,
        "eventCode": _coded(value.get("event"), EVENTS),
        "agent": _agent(value.get("agent")),
        "closedBy": _coded(value.get("endedBy"), ROLES),
    }


def _messages(reply: Document) -> Document:
    items, cursor = reply.get("messages"), reply.get("cursor")
    return {
        "items": [_message(one) for one in items] if isinstance(items, list) else items,
        "next": str(cursor) if isinstance(cursor, int) else cursor,
    }


def _posted(reply: Document) -> Document:
    return _renamed(reply, {"id": "messageId", "sentAt": "createdAt", "clientMessageId": "correlationId"})


def _status(reply: Document) -> Document:
    names = {"conversationId": "conversationId", "queuePosition": "position", "reason": "stateReason"}
    return {
        **_renamed(reply, {**names, "estimatedWaitSeconds": "estimatedSeconds"}),
        "state": _coded(reply.get("status"), STATES),
        "assignedAgent": _agent(reply.get("agent")),
    }


def _queue(reply: Document) -> Document:
    figures = {"queueSize": "waitingCount", "agentsReady": "availableAgents"}
    return {
        **_renamed(reply, {"id": "visualQueueId", "name": "displayName", **figures}),
        "averageWaitSeconds": reply.get("waitTimeAverageSeconds"),
        "openingHours": _renamed(reply, {"isOpen": "open", "opensAt": "nextOpening", "closesAt": "nextClosing"}),
    }


def _same(reply: Document) -> Document:
    return reply


def _nothing(_reply: Document) -> None:
    return None


def _old(value: object, names: Mapping[str, str]) -> object:
    """Give a request in the old names; a member that the contract lacks gets a name that is refused."""
    if isinstance(value, list):
        return [_old(one, names) for one in value]
    if not isinstance(value, Mapping):
        return value
    return {names.get(name, f"unknown {name}"): one for name, one in value.items()}


@frozen
class Rule:
    """One operation: how it is asked for, its place in the sandbox, its members, and what becomes of its reply.

    `old_path` names the parts of the path that stand for `ID` by their number, as in a regular expression.
    """

    method: str
    path: str
    old_method: str
    old_path: str
    reply: Callable[[Document], Document | None] = _same
    body: Mapping[str, str] | None = None
    query: Mapping[str, str] = field(factory=dict[str, str])

    def old(self, method: str, path: str) -> str | None:
        """Give the sandbox's path for a request, or None when this is not its operation."""
        found = re.fullmatch(re.escape(self.path).replace("ID", "([^/]+)"), path)
        return found.expand(self.old_path) if found and method == self.method else None


CHAT = "/api/conversation"
# The document has one operation more, a look at a conversation; nobody asks for it, so the sandbox does not answer it.
RULES = (
    Rule("POST", "/connect/token", "POST", "/connect/token"),
    Rule(
        *("POST", "/api/authenticate/ID", "POST", r"/api/authenticate/\1"),
        query={"providerId": "providerId"},
    ),
    Rule("GET", "/api/queue/info/ID", "GET", r"/api/queue/info/\1", _queue),
    Rule("GET", "/api/allocation/requestStatus/ID", "GET", r"/api/allocation/requestStatus/\1", _status),
    Rule("GET", CHAT, "GET", "/api/conversation", _messages, query={"sinceId": "after"}),
    Rule("DELETE", f"{CHAT}/ID", "POST", r"/api/conversation/\1/end"),
    Rule(
        *("PUT", f"{CHAT}/ID/route/ID", "PUT", r"/api/conversation/\1/route/\2"),
        reply=_nothing,
        body={"key": "name", "value": "value", "hidden": "secret"},
    ),
    Rule("PUT", f"{CHAT}/ID/typing-state", "POST", r"/api/conversation/\1/typing", body={"active": "isTyping"}),
    Rule(
        *("POST", f"{CHAT}/ID/messages", "POST", r"/api/conversation/\1/message"),
        reply=_posted,
        body={"text": "content", "correlationId": "clientMessageId"},
    ),
)


@define
class _Connection:
    """Stands for the transport: a fault that closes it does so after what it sent before."""

    transport: Any
    closed: bool = False

    def close(self) -> None:
        """Remember that the connection is to be closed."""
        self.closed = True

    def abort(self) -> None:
        """Break the connection now, as a fault that sends nothing does."""
        self.transport.abort()


@frozen
class Contract:
    """The sandbox's application behind the new contract; what is not in it is answered as an unknown path."""

    app: App

    async def __call__(self, scope: Message, receive: Receive, send: Send) -> None:
        """Serve one request."""
        rule, inner = _routed(scope)
        connection, held = _Connection(scope["state"]["transport"]), list[Message]()
        inner["state"] = {**scope["state"], "transport": connection}

        async def hold(message: Message) -> None:
            held.append(message)

        await self.app(inner, _body_in_old_names(receive, rule.body) if rule and rule.body else receive, hold)
        for message in _in_new_names(held, rule) if rule else held:
            await send(message)
        if connection.closed:
            connection.transport.close()
            # Lets the server hear of it, so that it does not complain of half a reply.
            await asyncio.sleep(0.001)


def _routed(scope: Message) -> tuple[Rule | None, Message]:
    query = dict(parse_qsl(scope["query_string"].decode()))
    for rule in RULES:
        path = rule.old(scope["method"], scope["path"])
        if path is not None and query.keys() <= rule.query.keys():
            asked = urlencode({rule.query[name]: value for name, value in query.items()}).encode()
            return rule, {**scope, "method": rule.old_method, "path": path, "query_string": asked}
    return None, {**scope, "path": NOWHERE}


def _body_in_old_names(receive: Receive, names: Mapping[str, str]) -> Receive:
    async def read() -> Message:
        message = await receive()
        body = message.get("body", b"")
        while message.get("more_body"):
            message = await receive()
            body += message.get("body", b"")
        document = _parsed(body)
        return {**message, "body": body if document is None else json.dumps(_old(document, names)).encode()}

    return read


def _in_new_names(held: list[Message], rule: Rule) -> list[Message]:
    """Translate a whole reply of the right kind, and leave errors, pages and broken replies alone."""
    if not held or held[-1].get("more_body"):
        return held
    start, body = held[0], b"".join(message["body"] for message in held[1:])
    headers = {name.lower(): value for name, value in start["headers"]}
    document = _parsed(body) if b"application/json" in headers.get(b"content-type", b"") else None
    if not isinstance(document, dict) or start["status"] >= 300:
        return held
    reply = rule.reply(document)
    body = b"" if reply is None else json.dumps(reply).encode()
    headers[b"content-length"] = str(len(body)).encode()
    if reply is None:
        del headers[b"content-type"]
    return [{**start, "headers": list(headers.items())}, {"type": "http.response.body", "body": body}]


def _parsed(body: bytes) -> object:
    try:
        return json.loads(body)
    except ValueError:
        return None
