"""Reading requests strictly: content type, JSON types, required fields. Details name fields, never values."""

from __future__ import annotations

import json
from collections.abc import Mapping
from urllib.parse import parse_qsl

from attrs import field, frozen

from ._json import is_list, is_object
from ._queues import Order
from ._values import Refusal, TokenRefusal

_ROUTE = ("queueId", "customer", "variables", "subject")
_CUSTOMER = ("id", "name", "email", "phone")
_VARIABLE = ("name", "value", "secret")
_MESSAGE = ("content", "clientMessageId")


@frozen
class Call:
    """One HTTP request as the operations see it."""

    id: str = ""
    after: str | None = None
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


def token_form(call: Call) -> dict[str, str]:
    """Read the form of the token endpoint.

    Raises:
        TokenRefusal: not a form, or a field given twice (RFC 6749 section 3.2).

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


def order(call: Call) -> Order:
    """Read a RouteRequest."""
    body = _object(call, _ROUTE)
    queue_id = _text(body, "queueId", "queueId", required=True)
    customer = body.get("customer")
    if customer is not None:
        customer = _mapping(customer, "customer", _CUSTOMER)
        for name in _CUSTOMER:
            _text(customer, name, f"customer.{name}")
    variables = _variables(body.get("variables"))
    return Order(queue_id or "", customer, variables, _text(body, "subject", "subject"))


def message(call: Call) -> tuple[str, str | None]:
    """Read a SendMessageRequest: its content and client id."""
    body = _object(call, _MESSAGE)
    content = _text(body, "content", "content", required=True)
    return content or "", _text(body, "clientMessageId", "clientMessageId")


def typing(call: Call) -> bool:
    """Read a TypingRequest."""
    value = _object(call, ("isTyping",)).get("isTyping")
    if not isinstance(value, bool):
        raise _bad("isTyping must be true or false")
    return value


def _variables(value: object) -> tuple[Mapping[str, object], ...]:
    if value is None:
        return ()
    if not is_list(value):
        raise _bad("variables must be a list or null")
    return tuple(_variable(item, f"variables[{number}]") for number, item in enumerate(value))


def _variable(value: object, where: str) -> Mapping[str, object]:
    item = _mapping(value, where, _VARIABLE)
    _text(item, "name", f"{where}.name", required=True)
    _text(item, "value", f"{where}.value", required=True)
    if not isinstance(item.get("secret", False), bool):
        raise _bad(f"{where}.secret must be true or false")
    return item


def _object(call: Call, fields: tuple[str, ...]) -> Mapping[str, object]:
    if call.media_type != "application/json":
        raise _bad("the body must be application/json")
    try:
        value: object = json.loads(call.body.decode(), parse_constant=_no_constant)
    except (ValueError, RecursionError):
        raise _bad("the body is not JSON") from None
    return _mapping(value, "the body", fields)


def _no_constant(name: str) -> object:
    """NaN and Infinity are no JSON (RFC 8259 section 6)."""
    raise ValueError(name)


def _mapping(value: object, where: str, fields: tuple[str, ...]) -> Mapping[str, object]:
    """Take an object with no other fields than these: a misspelt field is an error, not silence."""
    if not is_object(value):
        raise _bad(f"{where} must be an object")
    if not value.keys() <= set(fields):
        raise _bad(f"{where} may hold {', '.join(fields)} and nothing else")
    return value


def _text(body: Mapping[str, object], name: str, where: str, *, required: bool = False) -> str | None:
    value = body.get(name)
    if isinstance(value, str) or (value is None and not required):
        return value
    raise _bad(f"{where} must be a string")


def _bad(detail: str) -> Refusal:
    return Refusal(400, "BadRequest", detail)
