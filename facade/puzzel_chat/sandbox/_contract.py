"""The calls of the contract, and a service that was told to differ from it."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from typing import Literal

from attrs import Attribute, evolve, field, frozen, validators

from ._desk import Reply
from ._json import is_list, is_object
from ._requests import Call
from ._values import Json

ROUTES: Mapping[str, str] = {
    "connectToken": "POST /connect/token",
    "authenticateVisitor": "POST /api/authenticate/{customerId}",
    "getQueueInfo": "GET /api/queue/info/{id}",
    "routeConversation": "PUT /api/conversation/{id}/route/{queueKey}",
    "getRequestStatus": "GET /api/allocation/requestStatus/{id}",
    "pollConversation": "GET /api/conversation",
    "sendMessage": "POST /api/conversation/{id}/message",
    "sendTyping": "POST /api/conversation/{id}/typing",
    "endConversation": "POST /api/conversation/{id}/end",
    "getTimeInfo": "GET /api/time/{id}",
}
IDENTITY = frozenset({"connectToken", "authenticateVisitor"})
"""What the identity host answers; the communication host answers the rest."""


def _check_paths(instance: object, attribute: Attribute[Mapping[str, str]], paths: Mapping[str, str]) -> None:
    for operation, path in paths.items():
        if operation not in ROUTES:
            raise ValueError(f"no operation {operation!r}; there are {', '.join(ROUTES)}")
        if not re.fullmatch(r"[A-Z]+ /\S*", path):
            raise ValueError(f"{operation}: say the method and the path, as in {ROUTES[operation]!r}")
        if _placeholders(path) != _placeholders(ROUTES[operation]):
            raise ValueError(f"{operation}: its path needs the placeholders of {ROUTES[operation]!r}")


@frozen
class Differences:
    """How a service differs from the contract, to see what a client makes of it.

    Args:
        paths: method and path of an operation, by operationId, with the contract's placeholders.
        names: names of members of JSON bodies, ours to theirs, in requests and replies and at all depths. The token
            request is a form and keeps its names; its reply does not.
        cursor: what a poll gives: a number, a text of the service's own, or none at all.
        drop: members that are left out of every reply, by our names.

    Raises:
        ValueError: no such operation, or a path without its placeholders.

    """

    paths: Mapping[str, str] = field(factory=dict[str, str], validator=_check_paths)
    names: Mapping[str, str] = field(factory=dict[str, str])
    cursor: Literal["integer", "text", "none"] = field(
        default="integer", validator=validators.in_(("integer", "text", "none"))
    )
    drop: frozenset[str] = frozenset()

    @property
    def routes(self) -> Mapping[str, str]:
        """Method and path of every operation."""
        return {**ROUTES, **self.paths}

    def heard(self, call: Call) -> Call:
        """Return a request in the contract's words; a name that the service does not have stays unknown."""
        after = call.after
        if after is not None and self.cursor != "integer":
            after = after[1:] if self.cursor == "text" and after.startswith("c") else None
        if not self.names or call.media_type != "application/json":
            return evolve(call, after=after)
        ours = {name: f"not {name}" for name in self.names} | {theirs: name for name, theirs in self.names.items()}
        try:
            body = json.dumps(_renamed(json.loads(call.body.decode()), ours, frozenset())).encode()
        except (ValueError, RecursionError):
            body = call.body
        return evolve(call, after=after, body=body)

    def told(self, reply: Reply) -> Reply:
        """Return a reply in the service's words."""
        body = reply.body
        if body is None or self == Differences():
            return reply
        if self.cursor != "integer" and "cursor" in body:
            text = self.cursor == "text" and body["cursor"] is not None
            body = {**body, "cursor": f"c{body['cursor']}" if text else None}
        return evolve(reply, body=_members(body, self.names, self.drop))


def _placeholders(path: str) -> set[str]:
    return set(re.findall(r"\{(\w+)\}", path))


def _renamed(value: object, names: Mapping[str, str], drop: frozenset[str]) -> object:
    if is_list(value):
        return [_renamed(item, names, drop) for item in value]
    return _members(value, names, drop) if is_object(value) else value


def _members(value: Json, names: Mapping[str, str], drop: frozenset[str]) -> Json:
    kept = {name: item for name, item in value.items() if name not in drop}
    return {names.get(name, name): _renamed(item, names, drop) for name, item in kept.items()}
