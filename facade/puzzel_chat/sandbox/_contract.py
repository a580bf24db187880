"""The HTTP contract: its operations, strict reading of their requests, and deviations from it.

Error details name fields, never values.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from typing import Literal
from urllib.parse import parse_qsl

from attrs import Attribute, evolve, field, frozen, validators

from ._sessions import SignIn
from ._values import Json, Order, Refusal, TokenRefusal, is_list, is_object

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
    "uploadFile": "POST /api/upload",
    "downloadFile": "GET /api/file/{id}",
}
IDENTITY = frozenset({"connectToken", "authenticateVisitor"})
"""Operations of the identity host; all others belong to the communication host."""


@frozen
class Call:
    """One HTTP request as the operations see it."""

    id: str = ""
    queue_key: str = ""
    provider_id: str | None = None
    after: str | None = None
    file_name: str | None = field(default=None, repr=False)
    file_type: str | None = None
    content_type: str = ""
    authorization: str = field(default="", repr=False)
    body: bytes = field(default=b"", repr=False)

    @property
    def bearer(self) -> str | None:
        """Return the bearer token (RFC 6750), or None."""
        scheme, _, token = self.authorization.partition(" ")
        return token.strip() if scheme.lower() == "bearer" else None

    @property
    def media_type(self) -> str:
        """Return the content type without its parameters."""
        return self.content_type.partition(";")[0].strip().lower()


@frozen
class Reply:
    """The reply of an operation: a status, with JSON, with the bytes of a file, or without a body."""

    status: int
    body: Json | None = field(default=None, repr=False)
    headers: Mapping[str, str] = field(factory=dict[str, str])
    media_type: str = "application/json"
    data: bytes | None = field(default=None, repr=False)


def problem(status: int, code: str, detail: str, extra: Json | None = None) -> Reply:
    """Return an error as problem+json (RFC 9457)."""
    body = {"type": "about:blank", "title": code, "status": status, "detail": detail, "instance": None}
    headers = {"WWW-Authenticate": 'Bearer error="invalid_token"'} if status == 401 else {}
    return Reply(status, {**body, "code": code, **(extra or {})}, headers, "application/problem+json")


_CUSTOMER: Mapping[str, str] = {
    "customerId": "id", "customerName": "name", "customerEmail": "email", "customerPhone": "phone",
}  # fmt: skip
_SIGN_IN = ("codeChallenge", "accessToken", "idToken")


def read_form(call: Call) -> dict[str, str]:
    """Read the form of the token endpoint.

    Raises:
        TokenRefusal: not a form, or a repeated field (RFC 6749 section 3.2).

    """
    if call.media_type != "application/x-www-form-urlencoded":
        raise TokenRefusal(400, "invalid_request", "the body must be application/x-www-form-urlencoded")
    try:
        pairs = parse_qsl(call.body.decode(), keep_blank_values=True, errors="strict", max_num_fields=100)
    except ValueError:
        raise TokenRefusal(400, "invalid_request", "the form cannot be read") from None
    form = dict(pairs)
    if len(form) != len(pairs):
        raise TokenRefusal(400, "invalid_request", "a form field is given twice")
    return form


def read_order(call: Call) -> Order:
    """Read the named values of a route; some of them are the customer, the subject and the history."""
    body = _json(call)
    if not is_list(body):
        raise _bad_request("the body must be an array")
    items = [_variable(item, f"[{number}]") for number, item in enumerate(body)]
    values = {str(item["name"]): str(item["value"]) for item in items}
    customer = {field: values[name] for name, field in _CUSTOMER.items() if name in values}
    variables = tuple(item for item in items if item["name"] not in (*_CUSTOMER, "subject", "history"))
    return Order(call.queue_key, customer or None, variables, values.get("subject"), values.get("history"))


def read_sign_in(call: Call) -> SignIn:
    """Read an AuthenticateRequest and the provider id."""
    body = _object(call, _SIGN_IN)
    challenge, *tokens = (_text(body, name) for name in _SIGN_IN)
    given = [token for token in tokens if token]
    if not challenge:
        raise _bad_request("codeChallenge is missing")
    if len(given) != 1:
        raise _bad_request("give either accessToken or idToken")
    return SignIn(challenge, given[0], _provider_id(call.provider_id))


def read_message(call: Call) -> tuple[str, str | None, str | None]:
    """Read a SendMessageRequest: its content, its client id, and the id of its file."""
    body = _object(call, ("content", "clientMessageId", "fileId"))
    content = _text(body, "content", required=True)
    return content or "", _text(body, "clientMessageId"), _text(body, "fileId")


def read_upload(call: Call) -> tuple[str, str]:
    """Read what an uploaded file is called, and its media type."""
    if call.media_type != "application/octet-stream":
        raise _bad_request("the body must be application/octet-stream")
    name, media_type = call.file_name, call.file_type or "application/octet-stream"
    if not name or re.search(r"[/\\\x00-\x1f\x7f]", name):
        raise _bad_request("fileName must be a name without a path")
    if not re.fullmatch(r"[\w.+-]+/[\w.+-]+", media_type, re.ASCII):
        raise _bad_request("contentType must be a media type")
    return name, media_type


def read_typing(call: Call) -> bool:
    """Read a TypingRequest."""
    value = _object(call, ("isTyping",)).get("isTyping")
    if not isinstance(value, bool):
        raise _bad_request("isTyping must be true or false")
    return value


def _provider_id(text: str | None) -> int | None:
    if text is None:
        return None
    if not re.fullmatch(r"-?\d{1,10}", text, re.ASCII):
        raise _bad_request("providerId must be a whole number")
    return int(text)


def _variable(value: object, where: str) -> Mapping[str, object]:
    item = _mapping(value, where, ("name", "value", "secret"))
    _text(item, "name", f"{where}.", required=True)
    _text(item, "value", f"{where}.", required=True)
    if not isinstance(item.get("secret", False), bool):
        raise _bad_request(f"{where}.secret must be true or false")
    return item


def _object(call: Call, fields: tuple[str, ...]) -> Mapping[str, object]:
    return _mapping(_json(call), "the body", fields)


def _json(call: Call) -> object:
    if call.media_type != "application/json":
        raise _bad_request("the body must be application/json")
    try:
        return json.loads(call.body.decode(), parse_constant=_no_constant)
    except (ValueError, RecursionError):
        raise _bad_request("the body is not JSON") from None


def _no_constant(name: str) -> object:
    """Refuse NaN and Infinity, which are not JSON (RFC 8259 section 6)."""
    raise ValueError(name)


def _mapping(value: object, where: str, fields: tuple[str, ...]) -> Mapping[str, object]:
    """Return an object that has no other fields; a misspelt one is an error."""
    if not is_object(value):
        raise _bad_request(f"{where} must be an object")
    if not value.keys() <= set(fields):
        raise _bad_request(f"{where} may hold {', '.join(fields)} and nothing else")
    return value


def _text(body: Mapping[str, object], name: str, where: str = "", *, required: bool = False) -> str | None:
    value = body.get(name)
    if isinstance(value, str) or (value is None and not required):
        return value
    raise _bad_request(f"{where}{name} must be a string")


def _bad_request(detail: str) -> Refusal:
    return Refusal(400, "BadRequest", detail)


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
    """Deviations from the contract, to test how a client copes.

    Args:
        paths: other methods and paths by operationId, with the placeholders of the contract.
        names: other names of JSON members by the name in the contract, for requests and replies at all depths. The
            token request is a form and keeps its names; its reply does not.
        cursor: the cursor in a poll: a number, a text of the service's own, or none.
        drop: members left out of every reply, by the name in the contract.

    Raises:
        ValueError: no such operation, or a path without its placeholders.

    """

    paths: Mapping[str, str] = field(factory=dict[str, str], validator=_check_paths)
    """Other methods and paths, by operationId."""
    names: Mapping[str, str] = field(factory=dict[str, str])
    """Other names of members, by the assumed ones."""
    cursor: Literal["integer", "text", "none"] = field(
        default="integer", validator=validators.in_(("integer", "text", "none"))
    )
    """What the cursor of a poll is."""
    drop: frozenset[str] = frozenset()
    """Members that no reply has."""

    @property
    def routes(self) -> Mapping[str, str]:
        """Method and path of every operation."""
        return {**ROUTES, **self.paths}

    def to_contract(self, call: Call) -> Call:
        """Return a request of this service as the contract has it; names that it does not use become unknown."""
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

    def from_contract(self, reply: Reply) -> Reply:
        """Return a reply of the contract as this service has it."""
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
