"""From a reply's status to an error of ours."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from urllib.parse import parse_qsl, unquote, urlsplit

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
from puzzel_chat._http import REDIRECTS, Reply
from puzzel_chat._settings import DEFAULT_CLIENT_ID, Settings
from puzzel_chat._wire.operations import (
    AUTHENTICATE,
    DOWNLOAD,
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
    UPLOAD,
    AnyOperation,
)
from puzzel_chat._wire.replies import (
    HOLDS_WORDS,
    LAST_YEAR,
    Absent,
    excerpt,
    harmless,
    is_page,
    misfit,
    text,
    when,
)
from puzzel_chat_api.models import ProblemDetails, TokenError
from puzzel_chat_api.provenance import OPERATIONS as THEIRS

LONGEST_OAUTH_ERROR = 4096
"""Longest OAuth error, in bytes; a longer reply holds tokens, or is a page."""
LONGEST_PATH = 80
"""Longest path of a redirect that an error shows."""
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
    DOWNLOAD.name: {
        **dict.fromkeys((401, 403), "Whoever has the file does not give it to this chat."),
        **dict.fromkeys((404, 410), "There is no such file, or no more."),
    },
}
_TOO_LONG = {
    AUTHENTICATE.name: "The visitor's token is too long for the service.",
    TOKEN.name: "The token request is too long for the service; check token_fields.",
    ROUTE.name: "customer, variables or subject are too long for the service.",
    SEND.name: "The text is too long for the service; send it in parts.",
    UPLOAD.name: "The file is too long for the service.",
}
_BY_STATUS = {
    304: "A cache on the way answered in the service's place, though nothing of ours asks for what is in a cache.",
    401: "The token was not accepted.",
    403: "The token is good, but the solution may not do this; ask who administers it.",
    405: "The address is there, but takes no such request; check {where}.",
    407: "A proxy on the way to {where} wants a sign-in; put user and password into the proxy's address (HTTPS_PROXY),"
    " or the host into NO_PROXY.",
    408: "The request took too long to arrive; try again.",
    413: "What was sent is too long for the service.",
    414: "The address of the request is too long for the service; use shorter ids.",
    421: "The request came to the wrong server behind {where}; try again.",
    423: "What is asked for is locked for now; try again.",
    425: "The service wants the request again, once the connection is there; try again.",
    426: "The service wants another protocol; check that {where} begins with https://.",
    429: "Too many requests; wait before the next one.",
    431: "The token, or the address of the request, is too long for the service.",
    451: "The law forbids the answer, says what stands on the way; ask who runs the network.",
    499: "A gateway on the way gave the request up; try again.",
    501: "What answers at {where} knows no such request; is it the chat service?",
    505: "What answers at {where} does not take this version of HTTP; is it the chat service?",
    511: "The network wants a sign-in; open a browser, sign in, and try again.",
}
# These are right, whoever answers with them.
_ANYBODYS = (407, 408, 413, 414, 421, 425, 429, 431, 499)
# What an OAuth error (RFC 6749 section 5.2) says about the setting to look at.
_OAUTH_SETTING = {
    "invalid_client": ("client_id", "the service does not accept this client"),
    "unauthorized_client": ("client_id", "this client may not open a session, or not with this grant_type"),
    "invalid_scope": ("scope", "the service does not know this scope, or wants one"),
    "invalid_request": (
        "token_fields",
        "the service misses a field in the token request or takes one for wrong; look at solution_id (it is sent as"
        " tenant_id), too",
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
        return None if until.year > LAST_YEAR else max(0.0, (until - sent).total_seconds())
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
    if reply.status in REDIRECTS:
        return None if operation is DOWNLOAD else _redirected(operation, reply)
    if reply.status == 304 and operation is POLL:
        return None
    if 400 <= reply.status < 500 and is_page(reply) and reply.status not in _ANYBODYS:
        return _not_the_services(operation, reply)
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


def _not_the_services(operation: AnyOperation, reply: Reply) -> ApiError:
    """Return the error for a page with a 4xx, which says nothing about the ids and the token that were sent."""
    host, setting = _where(reply)
    error = ApiError(
        f"{operation.name}: status {reply.status} with {excerpt(operation, reply)}, which is not the chat service's."
        f" A proxy, a gateway or another site answers at {host} ({setting}); check that address, or ask who runs the"
        " network.",
        status=reply.status,
        retry_after=wait_asked(reply.headers),
    )
    error.retryable = True
    return error


def _redirected(operation: AnyOperation, reply: Reply) -> ConfigurationError:
    """Return the error for a redirect that is not followed; it names host and path, without what may be a secret."""
    host, setting = _where(reply)
    try:
        to = urlsplit(reply.headers.get("location", ""))
        named = f"{to.hostname or ''}{f':{to.port}' if to.port else ''}"
    except ValueError:
        return ConfigurationError(setting, f"{host} redirects to another address; set the address of the service")
    own = THEIRS[operation.name].path.lower().split("/")
    parts = unquote(to.path).split("/")
    if operation in HOLDS_WORDS:
        parts = [part if part.lower() in own else "…" for part in parts]
    where = harmless(named) + "/".join(map(harmless, parts))[:LONGEST_PATH] or "another address"
    over = " over https" if to.scheme == "https" and reply.address and reply.address.url.startswith("http:") else ""
    return ConfigurationError(
        setting,
        f"{host} redirects to {where}{over}; set the address that it redirects to, or ask who runs the network if that"
        f" is not the chat service ({operation.name}, status {reply.status})",
    )


def _token_error(reply: Reply) -> PuzzelChatError | None:
    """Return what a refused token request says about the settings; None for a success or a passing failure."""
    if reply.status == 429 or reply.status >= 500 or 300 <= reply.status < 400:
        return None
    word = _oauth_error(reply.body)
    if word in _OAUTH_SETTING:
        setting, meaning = _OAUTH_SETTING[word]
        return ConfigurationError(setting, f"{meaning} ({word})")
    host, setting = _where(reply)
    if reply.status in (404, 405):
        more = "; set identity_url to the identity service" if setting == "base_url" else ""
        return ConfigurationError(setting, f"there is no /connect/token at {host} (status {reply.status}){more}")
    if reply.status in (401, 403) and not is_page(reply):
        return ConfigurationError("client_id", f"the service refuses the token request (status {reply.status})")
    return None


def suspected(error: PuzzelChatError, settings: Settings) -> PuzzelChatError:
    """Return a refused token request's error with the settings to look at, the likeliest first.

    What was set by hand is suspected before the solution; a value that the library chose comes last.
    """
    if not isinstance(error, ConfigurationError) or error.setting not in ("client_id", "solution_id"):
        return error
    tenant = "tenant_id" if settings.tenant_id else "solution_id"
    suspects = [tenant]
    if error.setting == "client_id":
        own_client = settings.client_id != DEFAULT_CLIENT_ID
        by_hand = ["client_secret"] * bool(settings.client_secret) + ["client_id"] * own_client
        suspects = [*by_hand, tenant] if own_client else [*by_hand, tenant, "client_id"]
    told = {"solution_id": "solution_id (it is sent as tenant_id)"}
    look = f". Look at {', then '.join(told.get(one, one) for one in suspects)}" if error.setting == "client_id" else ""
    named = ConfigurationError(suspects[0], str(error).removeprefix(f"{error.setting}: ") + look)
    named.host = error.host
    return named


def _oauth_error(body: bytes) -> str:
    """Return the error code of a token reply (RFC 6749 section 5.2), whatever its status and content type are."""
    if len(body) > LONGEST_OAUTH_ERROR:
        return ""
    written = body.decode("utf-8", "replace").strip()
    try:
        document = json.loads(written)
    except (ValueError, RecursionError):
        # As a form, or as the bare word; a page may hold links with such a word.
        document = "" if "<" in written else dict(parse_qsl(written)) or written
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


def _steps(operation: AnyOperation, reply: Reply) -> Iterator[str]:
    """Yield the next steps: what the service means, and where it may not have been the service that answered."""
    host, setting = _where(reply)
    status, where = reply.status, f"{host} ({setting})"
    too_long = _TOO_LONG.get(operation.name) if status == 413 else None
    step = too_long or _NEXT_STEP.get(operation.name, {}).get(status) or _BY_STATUS.get(status, "")
    if step:
        yield step.format(where=where)
    elif status < 400:
        yield f"That is no answer of the chat service; see what stands between here and {where}."
    if status in (404, 410) and problem(reply) is None:
        yield f"The reply does not say what is missing: it may be the address; check {where}, its path, too."


def _api_error(operation: AnyOperation, reply: Reply, found: ProblemDetails, words: str) -> PuzzelChatError:
    status = reply.status
    kind = _KINDS.get(status, ServerError if status >= 500 else ApiError)
    return kind(
        " ".join([f"{operation.name}: status {status}{f' ({words})' if words else ''}.", *_steps(operation, reply)]),
        status=status,
        code=_word(found.code),
        title=_word(found.title),
        detail=_word(found.detail),
        retry_after=wait_asked(reply.headers),
        request_id=reply.headers.get("x-request-id") or _word(found.trace_id),
    )
