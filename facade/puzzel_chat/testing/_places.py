"""What of a stranger's reply is kept, by its place in the API's document, and how a path is recognised."""

from __future__ import annotations

import re
from collections.abc import Callable
from datetime import datetime
from typing import TypeAlias

from puzzel_chat import OperationInfo, operations

Keeps: TypeAlias = Callable[[str | float], bool]
HARMLESS = frozenset({"grant_type", "token_type", "expires_in"})
_SECRET = re.compile(
    r"(?i)token|secret|passw|api_?key|credential|assertion|cookie|authori[sz]ation|client_?id|tenant_?id|^scope$"
    r"|visitor_?id|user_?info_?id|code_?verifier|code_?challenge"
)
OAUTH_ERRORS = frozenset(
    {"invalid_request", "invalid_client", "invalid_grant", "invalid_scope"}
    | {"unauthorized_client", "unsupported_grant_type"}
)
_PARAMETER = re.compile(r"\{[^}]+\}")
MEDIA = re.compile(r"""[\w.+-]+/[\w.+-]+(?:\s*;\s*charset="?[\w-]+"?)?""")
NAME = re.compile(r"[a-z][A-Za-z_]{0,39}\d{0,2}")
"""What a member of a document may be called; anything else looks like data."""


def is_id(value: str | float) -> bool:
    return isinstance(value, str | int)


def is_word(value: str | float) -> bool:
    return isinstance(value, str) and re.fullmatch("[A-Za-z_]{1,40}", value) is not None


def is_figure(value: str | float) -> bool:
    return not isinstance(value, str) or re.fullmatch("[0-9]{1,19}", value) is not None


def is_word_or_figure(value: str | float) -> bool:
    return is_word(value) or is_figure(value)


def is_time(value: str | float) -> bool:
    if not isinstance(value, str):
        return False
    try:
        return bool(datetime.fromisoformat(value))
    except ValueError:
        from dateutil.parser import isoparse  # as the client does, with the forms that Python does not read
    try:
        return bool(isoparse(value))
    except (ValueError, OverflowError):
        return False


def is_media(value: str | float) -> bool:
    return isinstance(value, str) and MEDIA.fullmatch(value) is not None


KINDS = ("Text", "Options", "File", "Event")
_ITEM: dict[str, Keeps] = {
    **dict.fromkeys(("id", "conversationId", "clientMessageId"), is_id),
    "type": is_word,
    "sentAt": is_time,
    "author/role": is_word_or_figure,
    "eventId": is_figure,
    "version": is_figure,
}
DOCUMENTED = frozenset(place for operation in operations() for place in operation.reply)
OTHER = "/messages/?"
"""The place of a message of an unknown type."""
PLACES: dict[str, Keeps] = {
    # The document tells where the figures are.
    **{
        place: is_figure
        for operation in operations()
        for place, kind in operation.reply.items()
        if "integer" in kind or "number" in kind
    },
    **dict.fromkeys(("/id", "/requestId", "/conversationId", "/timeId", "/clientMessageId"), is_id),
    **dict.fromkeys(("/sentAt", "/opensAt", "/closesAt", "/nextChange"), is_time),
    **{f"{item}/{name}": keeps for item in ("/messages/*", OTHER) for name, keeps in _ITEM.items()},
    "/messages/*/event": is_word,
    "/messages/*/endedBy": is_word_or_figure,
    "/messages/*/contentType": is_media,
    "/status": is_word_or_figure,
    "/code": is_word,
    "/error": OAUTH_ERRORS.__contains__,
    "": OAUTH_ERRORS.__contains__,
    "/token_type": lambda value: str(value).lower() == "bearer",
    "/*/name": lambda value: isinstance(value, str) and NAME.fullmatch(value) is not None,
}
"""What of a reply is kept, by its place in the API's document: a pointer, "*" for each item."""
_PATHS = [(re.compile("([^/]+)".join(map(re.escape, _PARAMETER.split(one.path))) + "/?$"), one) for one in operations()]


def is_secret(name: str) -> bool:
    return name not in HARMLESS and _SECRET.search(name) is not None


def known_path(path: str) -> tuple[re.Match[str], OperationInfo] | None:
    """Return how a path ends with one of the API's document, and the operation."""
    found = [(match, operation) for pattern, operation in _PATHS if (match := pattern.search(path))]
    return min(found, key=lambda one: one[0].start(), default=None)
