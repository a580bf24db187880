"""From replies to the values that callers see.

A reply is read by the generated models and then checked field by field, because they let a value of a wrong type
through. A document that does not fit raises `ContractError`; a poll's item that does not fit becomes `UnknownMessage`.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from datetime import UTC, datetime
from hashlib import blake2b
from typing import Any, Never, TypeAlias, TypeVar

from attrs import evolve, field, frozen

from puzzel_chat import _models as ours
from puzzel_chat._errors import ContractError
from puzzel_chat._html import printable, to_text
from puzzel_chat._http import Reply
from puzzel_chat._models import AllocationStage, Role, Secret, SecretDict, secret_or_none
from puzzel_chat._tokens import DEFAULT_TTL, TokenSet
from puzzel_chat._wire.operations import (
    AUTHENTICATE,
    POLL,
    QUEUE,
    ROUTE,
    SEND,
    STATUS,
    TIME,
    TOKEN,
    UPLOAD,
    AnyOperation,
    Operation,
)
from puzzel_chat_api import models as theirs
from puzzel_chat_api.models import AllocationStatus, AuthorRole, ChatEventKind, ChatMessageType
from puzzel_chat_api.types import Unset

BAD = (KeyError, TypeError, ValueError, AttributeError, OverflowError, RecursionError)
"""What the generated models raise for a document that does not fit them."""
Item: TypeAlias = Mapping[str, Any]
Known: TypeAlias = theirs.TextMessage | theirs.OptionsMessage | theirs.FileMessage | theirs.EventMessage
# The JSON name of the member that tells the kinds apart; taken from the model, so that the type checker sees a change.
(_KIND,) = theirs.ChatMessage(type_=ChatMessageType.TEXT).to_dict()
Absent: TypeAlias = "Unset | None"
FOREVER = 1e9
"""Durations from here on (30 years, in seconds) are nonsense."""
EXCERPT = 256
FIRST_YEAR, LAST_YEAR = 2000, 2078
"""No chat was before, or is after: such a moment stands for "not set". SQL's shortest calendar ends in 2079."""
_MAX_VALUES = frozenset({2**31 - 1, 2**32 - 1, 2**63 - 1, 2**64 - 1})
# A long word with a digit may be a token that the service repeats.
_TOKEN_LIKE = re.compile(r"(?=[\w.~+/=-]*\d)[\w.~+/=-]{16,}")
HOLDS_WORDS = (TOKEN, AUTHENTICATE, ROUTE, SEND, UPLOAD)
"""Requests that hold secrets or people's words, which a web page in reply, or a redirect, may repeat."""
_PLAIN_TYPE = re.compile(r"[a-z]{1,20}/[a-z.+-]{1,30}")
_TITLE = re.compile(r"<title[^>]*>([^<]{0,100})", re.IGNORECASE)


def event(item: object) -> ours.Event:
    """Return one item of a poll as the event that it is."""
    if not isinstance(item, Mapping):
        return _unknown({"value": item}, "the item is not an object")
    try:
        return _by_kind(item)
    except WrongType:
        return _unknown(item, "a field has the wrong type")
    except BAD as error:
        return _unknown(item, f"{type(error).__name__} while reading it")


def _by_kind(item: Item) -> ours.Event:
    # The kind alone: reading the item as a `ChatMessage` first would double the cost of a message.
    name = item.get(_KIND, "")
    try:
        kind = ChatMessageType(name)
    except ValueError:
        return _unknown(item, None)
    match kind:
        case ChatMessageType.TEXT:
            return _text(item, theirs.TextMessage.from_dict(item))
        case ChatMessageType.OPTIONS:
            return _options(item, theirs.OptionsMessage.from_dict(item))
        case ChatMessageType.FILE:
            return _file(item, theirs.FileMessage.from_dict(item))
        case ChatMessageType.EVENT:
            return _happening(item, theirs.EventMessage.from_dict(item))
        case _:
            new_to_us(kind)
    return _unknown(item, None)


def _unknown(item: Item, problem: str | None) -> ours.UnknownMessage:
    try:
        found = theirs.ChatMessage.from_dict(item)
    except BAD:
        found = theirs.ChatMessage()
    return ours.UnknownMessage(
        conversation_id=identity(found.conversation_id) or "",
        id=identity(found.id) or _made_id(item),
        version=whole(found.version) or 1,
        sent_at=when(found.sent_at),
        author=_author(found.author),
        raw=item,
        service_type=text(found.type_),
        problem=problem,
    )


def _made_id(item: Item) -> str:
    """Return an id made from the content, so that a repeated item is recognised."""
    written = json.dumps(item, sort_keys=True, default=str).encode()
    return f"unknown-{blake2b(written, digest_size=12).hexdigest()}"


def _common(item: Item, found: Known) -> dict[str, Any]:
    """Return what every event has; raises `WrongType` for an item that nothing identifies."""
    item_id, conversation_id = own_id(found.id), own_id(found.conversation_id)
    if not item_id or not conversation_id:
        raise WrongType
    return {
        "id": item_id,
        "conversation_id": conversation_id,
        "version": whole(found.version) or 1,
        "sent_at": when(found.sent_at),
        "author": _author(found.author),
        "raw": item,
    }


def _text(item: Item, found: theirs.TextMessage) -> ours.Event:
    html = text_or_empty(found.content)
    client_id = text(found.client_message_id)
    return ours.TextMessage(**_common(item, found), text=to_text(html), html=html, client_id=client_id)


def _options(item: Item, found: theirs.OptionsMessage) -> ours.Event:
    html = text(found.content) or ""
    options = tuple(map(_option, found.options or ()))
    return ours.OptionsMessage(**_common(item, found), text=to_text(html), html=html, options=options)


def _option(found: theirs.Option) -> ours.Option:
    if (option_id := identity(found.id)) is None:
        raise WrongType
    return ours.Option(id=option_id, label=to_text(text_or_empty(found.label)))


def _file(item: Item, found: theirs.FileMessage) -> ours.Event:
    return ours.FileMessage(
        **_common(item, found),
        file_name=to_text(text_or_empty(found.file_name)),
        url=text_or_empty(found.url),
        content_type=text(found.content_type),
        size=whole(found.size),
        client_id=text(found.client_message_id),
    )


def _happening(item: Item, found: theirs.EventMessage) -> ours.Event:
    common = _common(item, found)
    match found.event:
        case ChatEventKind.AGENTJOINED:
            return ours.AgentJoined(**common, agent=agent(found.agent))
        case ChatEventKind.AGENTLEFT:
            return ours.AgentLeft(**common, agent=agent(found.agent))
        case ChatEventKind.AGENTTYPING:
            return ours.AgentTyping(**common, is_typing=flag(found.is_typing) is not False)
        case ChatEventKind.CONVERSATIONENDED:
            return ours.ConversationEnded(**common, by=_role(found.ended_by), reason=text(found.reason))
        case None | Unset():
            pass
        case _:
            new_to_us(found.event)
    kind = f"{found.event.value!r} is new to this version" if isinstance(found.event, ChatEventKind) else "has no name"
    return _unknown(item, f"the event {kind}")


def _role(role: AuthorRole | Absent) -> Role:
    match role:
        case AuthorRole.CUSTOMER:
            return Role.CUSTOMER
        case AuthorRole.AGENT:
            return Role.AGENT
        case AuthorRole.SYSTEM:
            return Role.SYSTEM
        case AuthorRole.BOT:
            return Role.BOT
        case None | Unset():
            pass
        case _:
            new_to_us(role)
    return Role.UNKNOWN


def agent(found: theirs.Agent | Absent) -> ours.Agent | None:
    """Return the agent of an item or a reply."""
    if not isinstance(found, theirs.Agent):
        return None
    name = text(found.display_name)
    return ours.Agent(id=identity(found.id), name=to_text(name) if name else None)


def _author(found: theirs.Author | Absent) -> ours.Author:
    if not isinstance(found, theirs.Author):
        return ours.Author()
    name = text(found.display_name)
    return ours.Author(role=_role(found.role), id=identity(found.id), name=to_text(name) if name else None)


_Model = TypeVar("_Model")


@frozen
class Poll:
    """A poll's reply: `events` are those that the last reply did not hold, `items` is everything, as it was sent.

    `left` is how many of the last items are still to become events.
    """

    events: tuple[ours.Event, ...] = field(repr=False)
    cursor: str | None
    items: tuple[object, ...] = field(default=(), repr=False, eq=False)
    mark: int | None = field(default=None, repr=False, eq=False)
    left: int = 0

    def more(self, most: int) -> Poll:
        """Return it with so many more of its items as events."""
        at = len(self.items) - self.left
        found = tuple(map(event, self.items[at : at + most]))
        return evolve(self, events=(*self.events, *found), left=self.left - len(found))


_NO_POLL = Poll((), None)


def _decoded(operation: AnyOperation, reply: Reply) -> SecretDict | None:
    try:
        document = json.loads(reply.body)
    except (ValueError, RecursionError):
        raise misfit(operation, reply, "the reply is not JSON") from None
    return SecretDict(document) if isinstance(document, dict) else None


def _parsed(operation: Operation[..., _Model], reply: Reply) -> tuple[_Model, SecretDict]:
    # Decoded in a frame of its own: tools that show locals would show what came in the document's place.
    document = _decoded(operation, reply)
    if document is None:
        raise misfit(operation, reply, "the reply is not a JSON object")
    try:
        return operation.read(document), document
    except KeyError as missing:
        raise misfit(operation, reply, "a field is missing", f"/{missing.args[0]}") from None
    except BAD:
        raise misfit(operation, reply, "a field has the wrong form") from None


def _identified(operation: AnyOperation, reply: Reply, found: str | int, name: str) -> str:
    if (known := own_id(found)) is None:
        raise misfit(operation, reply, "there is no id", f"/{name}")
    return known


def grant(reply: Reply, obtained: float) -> TokenSet:
    """Return the tokens of a reply to a request sent at `obtained`, in seconds since the epoch.

    Raises `ContractError` when there is no access token in it.
    """
    found, _ = _parsed(TOKEN, reply)
    access, refresh = secret_or_none(text(found.access_token)), secret_or_none(text(found.refresh_token))
    if not access or not access.isascii() or not access.isprintable():
        raise misfit(TOKEN, reply, "there is no usable token", "/access_token")
    return TokenSet(
        access=access,
        refresh=refresh or None,
        ttl=seconds(found.expires_in) or DEFAULT_TTL,
        obtained=obtained,
        visitor_id=secret_or_none(identity(found.visitor_id)),
    )


def signed_in(reply: Reply) -> Secret:
    """Return the id of a visitor who is signed in at the customer's own identity provider."""
    found, _ = _parsed(AUTHENTICATE, reply)
    return Secret(_identified(AUTHENTICATE, reply, found.user_info_id, "userInfoId"))


def queue_info(reply: Reply, now: datetime) -> ours.QueueInfo:
    """Return a queue's opening hours and load."""
    found, raw = _parsed(QUEUE, reply)
    return ours.QueueInfo(
        id=_identified(QUEUE, reply, found.id, "id"),
        name=text(found.name),
        is_open=flag(found.is_open),
        opens_at=when(found.opens_at),
        closes_at=when(found.closes_at),
        queue_size=whole(found.queue_size),
        agents_ready=whole(found.agents_ready),
        time_id=text(found.time_id),
        estimated_wait=seconds(found.wait_time_average_seconds),
        fetched_at=now,
        raw=raw,
    )


def time_info(reply: Reply, now: datetime) -> ours.TimeInfo:
    """Return a time module's state."""
    found, raw = _parsed(TIME, reply)
    return ours.TimeInfo(
        id=_identified(TIME, reply, found.id, "id"),
        exit_name=text(found.exit_name),
        is_open=flag(found.is_open),
        next_change=when(found.next_change),
        fetched_at=now,
        raw=raw,
    )


def _stage(operation: AnyOperation, reply: Reply, status: AllocationStatus | Absent) -> AllocationStage:
    """Return the stage in a reply; a missing or new one is `UNKNOWN`, which does not stop a search."""
    match status:
        case AllocationStatus.QUEUED:
            return AllocationStage.QUEUED
        case AllocationStatus.OFFERED:
            return AllocationStage.OFFERED
        case AllocationStatus.ASSIGNED:
            return AllocationStage.ASSIGNED
        case AllocationStatus.DECLINED:
            return AllocationStage.DECLINED
        case AllocationStatus.REFUSED:
            return AllocationStage.REFUSED
        case AllocationStatus.CANCELLED:
            return AllocationStage.CANCELLED
        case AllocationStatus.EXPIRED:
            return AllocationStage.EXPIRED
        case None | Unset():
            pass
        case _:
            new_to_us(status)
    if isinstance(status, AllocationStatus | Unset | None):
        return AllocationStage.UNKNOWN
    del status  # tools that show locals would show what came in the word's place
    raise misfit(operation, reply, "this is no word", "/status")


def routed(reply: Reply, now: datetime) -> tuple[ours.Allocation, str | None]:
    """Return the allocation at the start of a search, and the request's id if there is one.

    Any success counts, also one without a body.
    """
    if not reply.body.strip():
        return ours.Allocation(stage=AllocationStage.UNKNOWN, fetched_at=now), None
    found, raw = _parsed(ROUTE, reply)
    stage = _stage(ROUTE, reply, found.status)
    return ours.Allocation(stage=stage, fetched_at=now, raw=raw), identity(found.request_id)


def allocation(reply: Reply, now: datetime) -> ours.Allocation:
    """Return the state of the search for an agent."""
    found, raw = _parsed(STATUS, reply)
    return ours.Allocation(
        stage=_stage(STATUS, reply, found.status),
        queue_position=whole(found.queue_position) or None,
        estimated_wait=seconds(found.estimated_wait_seconds),
        agent=agent(found.agent),
        reason=text(found.reason),
        fetched_at=now,
        raw=raw,
    )


def _sent(reply: Reply, conversation_id: str, client_id: str) -> dict[str, Any]:
    """Return what every sent message has, with the id and the time that the service gave it."""
    found, raw = _parsed(SEND, reply)
    return {
        "conversation_id": conversation_id,
        "id": _identified(SEND, reply, found.id, "id"),
        "sent_at": when(found.sent_at),
        "author": ours.Author(role=Role.CUSTOMER),
        "raw": raw,
        "client_id": client_id,
    }


def sent_message(reply: Reply, conversation_id: str, client_id: str, words: str) -> ours.TextMessage:
    """Return the sent message."""
    return ours.TextMessage(**_sent(reply, conversation_id, client_id), text=str(words))


def uploaded(reply: Reply) -> tuple[str, Secret]:
    """Return the id of a file that was uploaded, and its address, empty where the service does not say."""
    found, _ = _parsed(UPLOAD, reply)
    return _identified(UPLOAD, reply, found.id, "id"), Secret(text(found.url) or "")


def sent_file(reply: Reply, conversation_id: str, client_id: str, told: Mapping[str, Any]) -> ours.FileMessage:
    """Return the sent file's message, with what it tells of the file."""
    return ours.FileMessage(**_sent(reply, conversation_id, client_id), **told)


def poll(reply: Reply, last: Poll | None = None, most: int | None = None) -> Poll:
    """Return a poll's new events, in order, and its cursor; 204, or a cache's 304, says that nothing is new.

    With `most`, only so many items become events at first. Items that the reply repeats from `last` are not converted
    again, and an equal reply is not even parsed.
    """
    last = last or _NO_POLL
    if reply.status in (204, 205, 304):
        return evolve(last, events=(), cursor=None)
    mark = hash(reply.body)
    if mark == last.mark:
        return evolve(last, events=())
    found, _ = _parsed(POLL, reply)
    items = [] if isinstance(found.messages, Unset | None) else found.messages
    if not isinstance(items, list):
        raise misfit(POLL, reply, "this is not a list", "/messages")
    known = last.items if _begins_with(items, last.items) else ()
    fresh = items[len(known) :]
    first = fresh[:most]
    left = len(fresh) - len(first)
    return Poll(tuple(map(event, first)), identity(found.cursor), (*known, *fresh), mark, left)


def _begins_with(items: list[object], known: tuple[object, ...]) -> bool:
    try:
        return tuple(items[: len(known)]) == known
    except RecursionError:
        return False


def now() -> datetime:
    """Return the present moment, for `fetched_at`."""
    return datetime.now(UTC)


def new_to_us(_value: Never) -> None:
    """Accept a value that the service added later: for the type checker, the branches of a `match` cover all."""


# Single values. The generated models let one of a wrong type through; here it becomes None. The parameters have the
# document's types, so that the type checker finds the line that reads a field whose type changes.


class WrongType(Exception):
    """A value without which its item means nothing has a wrong type."""


def text(value: str | Absent) -> str | None:
    """Return a string; lone surrogates, which JSON can hold, become `?`."""
    return value.encode("utf-8", "replace").decode() if isinstance(value, str) else None


def text_or_empty(value: str | Absent) -> str:
    """Return a string, empty when it is null or missing; raises `WrongType` for any other type."""
    if (found := "" if isinstance(value, Unset | None) else text(value)) is None:
        raise WrongType
    return found


def own_id(value: str | int) -> str | None:
    """Return an id that is always there, as a string; a number counts as one."""
    if isinstance(value, str):
        return text(value) or None
    return str(value) if isinstance(value, int) and not isinstance(value, bool) else None


def identity(value: str | int | Absent) -> str | None:
    """Return an id that may be missing, as `own_id` does."""
    return None if isinstance(value, Unset | None) else own_id(value)


def whole(value: int | Absent) -> int | None:
    """Return a whole number of zero or more; .NET's `MaxValue` stands for one that is not set."""
    if not isinstance(value, int) or isinstance(value, bool) or value < 0:
        return None
    return None if value in _MAX_VALUES else value


def seconds(value: float | Absent) -> float | None:
    """Return a number of seconds; a string of digits counts as one."""
    found: object = value
    if isinstance(found, str):
        found = float(found) if found.isascii() and found.isdigit() and len(found) < 10 else None
    if isinstance(found, bool) or not isinstance(found, int | float):
        return None
    return float(found) if 0 <= found < FOREVER else None


def flag(value: bool | Absent) -> bool | None:
    """Return a boolean."""
    return value if isinstance(value, bool) else None


def when(value: datetime | Absent) -> datetime | None:
    """Return a moment in UTC; one without a time zone is taken as UTC.

    None for one that stands for "not set", such as .NET's and SQL's first and last days, or the epoch.
    """
    found: object = value
    if isinstance(found, str):
        found = _moment(found)
    if not isinstance(found, datetime):
        return None
    if not FIRST_YEAR <= found.year <= LAST_YEAR:
        return None
    return found.astimezone(UTC) if found.tzinfo else found.replace(tzinfo=UTC)


def _moment(written: str) -> datetime | None:
    try:
        return datetime.fromisoformat(written)
    except ValueError:
        pass
    # dateutil reads the forms of ISO 8601 that `fromisoformat` does not, such as 2026-11 and 2026-11-23T24:00.
    # It is imported only when one comes: the import takes 10 ms.
    from dateutil.parser import isoparse

    try:
        return isoparse(written)
    except (ValueError, OverflowError):
        return None


# How much of a reply an error may show.


def excerpt(operation: AnyOperation, reply: Reply) -> str:
    """Return the beginning of a reply for an error, without tokens and people's words."""
    written = reply.body[: 4 * EXCERPT].decode("utf-8", "replace")
    if is_page(reply):
        title = None if operation in HOLDS_WORDS else _TITLE.search(harmless(written))
        return f"an HTML page{f' titled {title[1].strip()!r}' if title else ''}"
    if not written.strip():
        return "(empty)"
    return _size(reply) if operation.private else harmless(written)[:EXCERPT]


def is_page(reply: Reply) -> bool:
    """Return whether a reply is a web page, or XML, which the service does not write."""
    begins = reply.body[:512].removeprefix(b"\xef\xbb\xbf").lstrip()[:1]
    return begins == b"<" or ("html" in reply.headers.get("content-type", "").lower() and begins not in (b"{", b"["))


def _size(reply: Reply) -> str:
    kind = reply.headers.get("content-type", "").partition(";")[0].strip().lower()
    return f"({len(reply.body):,} bytes{f' of {kind}' if _PLAIN_TYPE.fullmatch(kind) else ''})"


def harmless(text: str) -> str:
    """Return a text of the service without control characters, and with "…" for what may be a token."""
    return _TOKEN_LIKE.sub("…", printable(text))


def misfit(operation: AnyOperation, reply: Reply, what: str, pointer: str = "") -> ContractError:
    """Return the error for a reply that does not fit the document."""
    error = ContractError(operation.name, pointer, what, excerpt(operation, reply))
    error.host = operation.host
    # Not the service's, which may be there again the next time.
    error.retryable = is_page(reply)
    return error
