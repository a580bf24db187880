"""From a reply's status to an error of ours."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from urllib.parse import parse_qsl, urlsplit

from puzzel_chat._errors import (
    CONVERSATION_ENDED,
    QUEUE_FULL,
    ApiError,
    AuthenticationError,
    ConfigurationError,
    Conflict,
    ContractError,
    ConversationClosed,
    NotFound,
    PermissionDenied,
    PuzzelChatError,
    QueueClosed,
    QueueFull,
    RateLimited,
    RoutingRefused,
    ServerError,
    SessionExpired,
)
from puzzel_chat._html import printable
from puzzel_chat._http import Reply
from puzzel_chat._wire.operations import (
    AUTHENTICATE,
    END,
    NOT_A_KEY,
    POLL,
    QUEUE,
    ROUTE,
    SEND,
    STATUS,
    TIME,
    TOKEN,
    TYPING,
    AnyOperation,
)
from puzzel_chat._wire.replies import Absent, excerpt, harmless, misfit, text, when
from puzzel_chat_api.models import ProblemDetails, TokenError

LONGEST_OAUTH_ERROR = 4096
"""Longest OAuth error, in bytes; a longer reply holds tokens, or is a page."""
_PLAIN_CODE = re.compile(r"[A-Za-z]{1,40}")

_KINDS: dict[int, type[ApiError]] = {
    401: AuthenticationError,
    403: PermissionDenied,
    404: NotFound,
    409: Conflict,
    429: RateLimited,
}
_NEXT_STEP = {
    AUTHENTICATE.name: {
        400: "The service does not take this request; check the visitor's token and provider_id.",
        401: "The service does not accept the visitor's token; sign the visitor in again.",
        403: "The service does not accept the visitor's token; sign the visitor in again.",
        404: "There is no such identity provider or solution, or no identity service; check provider_id, solution_id"
        " and identity_url.",
    },
    QUEUE.name: {404: "There is no such queue; check the visual queue id, a number. A queue key is for routing."},
    TIME.name: {404: "There is no such time module; check the time id."},
    ROUTE.name: {
        404: f"There is no such queue; check the queue key. {NOT_A_KEY}",
        409: "That conversation id is in use; choose another.",
    },
    STATUS.name: {404: "Nothing was routed under that id; call route() first."},
    SEND.name: dict.fromkeys((404, 409), "Nothing was routed under that id in this session; call route() first."),
    TYPING.name: dict.fromkeys((404, 409), "Nothing was routed under that id in this session; call route() first."),
    END.name: {404: "The session has no such conversation."},
}
_BY_STATUS = {
    401: "The token was not accepted.",
    403: "The token is good, but the solution may not do this; ask who administers it.",
    429: "Too many requests; wait before the next one.",
}
# What an OAuth error (RFC 6749 section 5.2) says about the setting to look at.
_OAUTH_SETTING = {
    "invalid_client": ("client_id", "the service does not accept this client_id, or this client_secret"),
    "unauthorized_client": ("client_id", "this client may not open a session, or not with this grant_type"),
    "invalid_scope": ("scope", "the service does not know this scope, or wants one"),
    "invalid_request": (
        "token_fields",
        "the service misses a field in the token request or takes one for wrong; look at tenant_id, too",
    ),
    "unsupported_grant_type": ("grant_type", "the service does not take this kind of token request"),
    "invalid_grant": (
        "solution_id",
        "the service opens no session for this solution (it is sent as tenant_id), or does not know this signed-in"
        " visitor (its field names can be set in token_fields)",
    ),
}


def problem(reply: Reply) -> ProblemDetails | None:
    """Return the reply's problem document (RFC 9457), or None."""
    if "json" not in reply.headers.get("content-type", ""):
        return None
    try:
        document = json.loads(reply.body)
    except (ValueError, RecursionError):
        return None
    return ProblemDetails.from_dict(document) if isinstance(document, dict) and document else None


def wait_asked(headers: Mapping[str, str]) -> float | None:
    """Return `Retry-After` in seconds; a date (RFC 9110 section 10.2.3) is compared with the reply's own `Date`."""
    asked = headers.get("retry-after", "").strip()
    if asked.isascii() and asked.isdigit():
        return float(asked[:9])
    try:
        until = parsedate_to_datetime(asked)
        sent = parsedate_to_datetime(headers["date"]) if "date" in headers else datetime.now(UTC)
        return max(0.0, (until - sent).total_seconds())
    except (ValueError, TypeError, IndexError, OverflowError):
        return None


def _word(value: str | Absent) -> str | None:
    return printable(value[:200]) if isinstance(value, str) else None


def error_for(operation: AnyOperation, reply: Reply) -> PuzzelChatError | None:
    """Return the error that a reply stands for, or None for a success."""
    error = _error_for(operation, reply)
    if error is not None:
        error.host = operation.host
    return error


def _error_for(operation: AnyOperation, reply: Reply) -> PuzzelChatError | None:
    if operation is TOKEN and (refused := _token_error(reply)):
        return refused
    if 200 <= reply.status < 300:
        return _page(operation, reply)
    if 300 <= reply.status < 400:
        to = _host(reply.headers.get("location", "")) or "another address"
        host, setting = _where(reply)
        return ConfigurationError(setting, f"{host} redirects to {to}; set the address that it redirects to")
    found = problem(reply)
    words = excerpt(operation, reply) if found is None else _words(operation, found)
    found = found or ProblemDetails()
    return _by_code(operation, reply.status, found) or _api_error(operation, reply, found, words)


def _where(reply: Reply) -> tuple[str, str]:
    """Return the host that answered, and the setting that names it."""
    return (reply.address.host, reply.address.setting) if reply.address else ("the service", "base_url")


def _page(operation: AnyOperation, reply: Reply) -> ContractError | None:
    """Return the error for an HTML page, such as a proxy's sign-in, in place of a success without content."""
    if operation not in (END, TYPING) or "html" not in reply.headers.get("content-type", ""):
        return None
    return misfit(operation, reply, "the reply is a web page")


def _host(location: str) -> str:
    try:
        return harmless(urlsplit(location).hostname or "")
    except ValueError:
        return ""


def _token_error(reply: Reply) -> PuzzelChatError | None:
    """Return what a refused token request says about the settings; None for a success or a passing failure."""
    if reply.status == 429 or reply.status >= 500:
        return None
    word = _oauth_error(reply.body)
    if word in _OAUTH_SETTING:
        setting, meaning = _OAUTH_SETTING[word]
        return ConfigurationError(setting, f"{meaning} ({word})")
    host, setting = _where(reply)
    if reply.status in (404, 405):
        more = "; set identity_url to the identity service" if setting == "base_url" else ""
        return ConfigurationError(setting, f"there is no /connect/token at {host} (status {reply.status}){more}")
    if reply.status in (401, 403):
        return ConfigurationError("client_id", f"the token request was refused with status {reply.status}")
    return None


def _oauth_error(body: bytes) -> str:
    """Return the error code of a token reply (RFC 6749 section 5.2), whatever its status and content type are."""
    if len(body) > LONGEST_OAUTH_ERROR:
        return ""
    written = body.decode("utf-8", "replace").strip()
    try:
        document = json.loads(written)
    except (ValueError, RecursionError):
        # As a form, or as the bare word.
        document = dict(parse_qsl(written)) or written
    if isinstance(document, str):
        document = {"error": document}
    try:
        return text(TokenError.from_dict(document).error) or ""
    except (KeyError, TypeError, ValueError):
        return ""


def refresh_error(error: PuzzelChatError) -> PuzzelChatError:
    """Return the error for a failed refresh, where a refused grant means that the session is over."""
    if isinstance(error, ConfigurationError) and error.setting == "solution_id":
        return SessionExpired(
            "The service no longer accepts this session's refresh token. Open a new session with connect()."
        )
    return error


def _by_code(operation: AnyOperation, status: int, found: ProblemDetails) -> PuzzelChatError | None:
    code = _word(found.code)
    if code == "QueueClosed":
        opens_at = when(found.opens_at)
        opens = f"; it opens {opens_at.isoformat()}" if opens_at else ""
        return QueueClosed(f"The queue is closed{opens}. Start the chat within opening hours.", opens_at=opens_at)
    if code == "QueueFull":
        return QueueFull(QUEUE_FULL)
    if code == "NoAgents":
        return RoutingRefused("No agent serves the queue now. Offer another way to reach you.", reason=code)
    if code == "ConversationEnded" and operation is POLL:
        return ConversationClosed(CONVERSATION_ENDED)
    if (code == "ConversationEnded" or status == 410) and operation in (SEND, TYPING, ROUTE):
        return ConversationClosed(CONVERSATION_ENDED)
    return None


def _words(operation: AnyOperation, found: ProblemDetails) -> str:
    """Return the words of a problem that an error may show: no secret and nothing that a person wrote."""
    title, code = _word(found.title), _word(found.code)
    if operation.private:
        return code if code and _PLAIN_CODE.fullmatch(code) else ""
    return ", ".join(harmless(word) for word in dict.fromkeys((title, code)) if word)


def _api_error(operation: AnyOperation, reply: Reply, found: ProblemDetails, words: str) -> PuzzelChatError:
    status = reply.status
    kind = _KINDS.get(status, ServerError if status >= 500 else ApiError)
    step = _NEXT_STEP.get(operation.name, {}).get(status) or _BY_STATUS.get(status, "")
    return kind(
        f"{operation.name}: status {status}{f' ({words})' if words else ''}.{f' {step}' if step else ''}",
        status=status,
        code=_word(found.code),
        title=_word(found.title),
        detail=_word(found.detail),
        retry_after=wait_asked(reply.headers),
        request_id=reply.headers.get("x-request-id") or _word(found.trace_id),
    )
