"""Single values of the generated models, each by the type that the document gives it, and checked once more.

The generated models pass a value of the wrong type through, so at run time such a value becomes None.
The types are the document's: one that changes there is an error of the type checker at the line that reads it.


From the items of a poll to the events that callers see: a bad item becomes `UnknownMessage`, never an error.

From replies to the values that callers see.

Each reply is parsed by the generated models and then checked field by field, for those pass a value of the wrong type
through. A document that does not fit becomes `ContractError`.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from datetime import UTC, datetime
from hashlib import blake2b
from typing import Any, TypeAlias, TypeVar

from attrs import evolve, field, frozen

from puzzel_chat import _models as ours
from puzzel_chat._html import to_text
from puzzel_chat._http import Reply
from puzzel_chat._models import AllocationStage, Role, Secret, SecretDict, secret_or_none
from puzzel_chat._wire.operations import (
    AUTHENTICATE,
    POLL,
    QUEUE,
    ROUTE,
    SEND,
    STATUS,
    TIME,
    TOKEN,
    AnyOperation,
    Operation,
)
from puzzel_chat._wire.refusals import misfit
from puzzel_chat._wire.values import (
    Absent,
    flag,
    identity,
    new_to_us,
    own_id,
    seconds,
    text,
    text_or_empty,
    when,
    whole,
)
from puzzel_chat_api import models as theirs
from puzzel_chat_api.models import AllocationStatus, AuthorRole, ChatEventKind, ChatMessageType
from puzzel_chat_api.types import Unset

BAD = (KeyError, TypeError, ValueError, AttributeError, OverflowError, RecursionError)
"""What the generated models raise for a document that does not fit them."""
Item: TypeAlias = Mapping[str, Any]


def event(item: object) -> ours.Event:
    """Give one item of a poll as the event that it is."""
    if not isinstance(item, Mapping):
        return _unknown({"value": item}, theirs.ChatMessage(), "the item is not an object")
    base = theirs.ChatMessage()
    try:
        base = theirs.ChatMessage.from_dict(item)
        return _by_kind(item, base) or _unknown(item, base, "a field has the wrong type")
    except BAD as error:
        return _unknown(item, base, f"{type(error).__name__} while reading it")


def _by_kind(item: Item, base: theirs.ChatMessage) -> ours.Event | None:
    match base.type_:
        case ChatMessageType.TEXT:
            return _text(item, theirs.TextMessage.from_dict(item))
        case ChatMessageType.OPTIONS:
            return _options(item, theirs.OptionsMessage.from_dict(item))
        case ChatMessageType.FILE:
            return _file(item, theirs.FileMessage.from_dict(item))
        case ChatMessageType.EVENT:
            return _happening(item, base, theirs.EventMessage.from_dict(item))
        case None | Unset():
            pass
        case _:
            new_to_us(base.type_)
    return _unknown(item, base, None)


def _unknown(item: Item, base: theirs.ChatMessage, problem: str | None) -> ours.UnknownMessage:
    mark = blake2b(json.dumps(item, sort_keys=True, default=str).encode(), digest_size=12).hexdigest()
    return ours.UnknownMessage(
        conversation_id=identity(base.conversation_id) or "",
        id=identity(base.id) or f"unknown-{mark}",
        version=whole(base.version) or 1,
        sent_at=when(base.sent_at),
        author=_author(base.author),
        raw=item,
        type=text(base.type_),
        problem=problem,
    )


def _base(
    found: theirs.TextMessage | theirs.OptionsMessage | theirs.FileMessage | theirs.EventMessage,
) -> dict[str, Any] | None:
    item_id, conversation_id = own_id(found.id), own_id(found.conversation_id)
    if not item_id or not conversation_id:
        return None
    return {
        "id": item_id,
        "conversation_id": conversation_id,
        "version": whole(found.version) or 1,
        "sent_at": when(found.sent_at),
        "author": _author(found.author),
    }


def _text(item: Item, found: theirs.TextMessage) -> ours.Event | None:
    base, html = _base(found), text_or_empty(found.content)
    if base is None or html is None:
        return None
    return ours.TextMessage(**base, raw=item, text=to_text(html), html=html, client_id=text(found.client_message_id))


def _options(item: Item, found: theirs.OptionsMessage) -> ours.Event | None:
    base, html = _base(found), text(found.content) or ""
    options = tuple(option for one in found.options or () if (option := _option(one)) is not None)
    if base is None or len(options) != len(found.options or ()):
        return None
    return ours.OptionsMessage(**base, raw=item, text=to_text(html), html=html, options=options)


def _option(found: theirs.Option) -> ours.Option | None:
    option_id, label = identity(found.id), text_or_empty(found.label)
    return None if option_id is None or label is None else ours.Option(id=option_id, label=to_text(label))


def _file(item: Item, found: theirs.FileMessage) -> ours.Event | None:
    base = _base(found)
    name, url = text_or_empty(found.file_name), text_or_empty(found.url)
    if base is None or name is None or url is None:
        return None
    return ours.FileMessage(
        **base,
        raw=item,
        file_name=to_text(name),
        url=url,
        content_type=text(found.content_type),
        size=whole(found.size),
    )


def _happening(item: Item, base: theirs.ChatMessage, found: theirs.EventMessage) -> ours.Event | None:
    common = _base(found)
    if common is None:
        return None
    match found.event:
        case ChatEventKind.AGENTJOINED:
            return ours.AgentJoined(**common, raw=item, agent=agent(found.agent))
        case ChatEventKind.AGENTLEFT:
            return ours.AgentLeft(**common, raw=item, agent=agent(found.agent))
        case ChatEventKind.AGENTTYPING:
            return ours.AgentTyping(**common, raw=item, is_typing=flag(found.is_typing) is not False)
        case ChatEventKind.CONVERSATIONENDED:
            by = _role(found.ended_by)
            return ours.ConversationEnded(**common, raw=item, by=by, reason=text(found.reason))
        case None | Unset():
            pass
        case _:
            new_to_us(found.event)
    kind = f"{found.event.value!r} is new to this version" if isinstance(found.event, ChatEventKind) else "has no name"
    return _unknown(item, base, f"the event {kind}")


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
    """Give the agent of an item or a reply."""
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
class Grant:
    """What a token reply gave; `expires_in` is in seconds, None when it was not said."""

    access: Secret
    refresh: Secret | None
    expires_in: float | None
    visitor_id: Secret | None = None


@frozen
class Poll:
    """What a poll gave: `events` is what the last one did not hold already, `items` is everything, as it was sent."""

    events: tuple[ours.Event, ...] = field(repr=False)
    cursor: str | None
    items: tuple[object, ...] = field(default=(), repr=False, eq=False)
    mark: int | None = field(default=None, repr=False, eq=False)


def _object(operation: AnyOperation, reply: Reply) -> SecretDict:
    # Decoded in a frame of its own: tools that show locals would show what came in the document's place.
    document = _decoded(operation, reply)
    if document is None:
        raise misfit(operation, reply, "the reply is not a JSON object")
    return document


def _decoded(operation: AnyOperation, reply: Reply) -> SecretDict | None:
    try:
        document = json.loads(reply.body)
    except (ValueError, RecursionError):
        raise misfit(operation, reply, "the reply is not JSON") from None
    return SecretDict(document) if isinstance(document, dict) else None


def _parsed(operation: Operation[..., _Model], reply: Reply) -> tuple[_Model, SecretDict]:
    document = _object(operation, reply)
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


def grant(reply: Reply) -> Grant:
    """Give the tokens of a reply; raises `ContractError` when there is no access token in it."""
    found, _ = _parsed(TOKEN, reply)
    access, refresh = secret_or_none(text(found.access_token)), secret_or_none(text(found.refresh_token))
    if not access or not access.isascii() or not access.isprintable():
        raise misfit(TOKEN, reply, "there is no usable token", "/access_token")
    lives = seconds(found.expires_in)
    return Grant(access, refresh or None, lives or None, secret_or_none(identity(found.visitor_id)))


def signed_in(reply: Reply) -> Secret:
    """Give what stands for a visitor who is signed in at the customer's own identity provider."""
    found, _ = _parsed(AUTHENTICATE, reply)
    return Secret(_identified(AUTHENTICATE, reply, found.user_info_id, "userInfoId"))


def queue_info(reply: Reply, now: datetime) -> ours.QueueInfo:
    """Give a queue's opening hours and load."""
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
    """Give a time module's state."""
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
    """Give the stage in a reply: unknown when none is told, for that is no reason to stop a search."""
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
    """Give the allocation that a route request began with, and the request's id when there is one.

    Any success counts, also one without a body.
    """
    if not reply.body.strip():
        return ours.Allocation(stage=AllocationStage.UNKNOWN, fetched_at=now), None
    found, raw = _parsed(ROUTE, reply)
    stage = _stage(ROUTE, reply, found.status)
    return ours.Allocation(stage=stage, fetched_at=now, raw=raw), identity(found.request_id)


def allocation(reply: Reply, now: datetime) -> ours.Allocation:
    """Give the state of the search for an agent."""
    found, raw = _parsed(STATUS, reply)
    return ours.Allocation(
        stage=_stage(STATUS, reply, found.status),
        queue_position=whole(found.queue_position),
        estimated_wait=seconds(found.estimated_wait_seconds),
        agent=agent(found.agent),
        reason=text(found.reason),
        fetched_at=now,
        raw=raw,
    )


def sent_message(reply: Reply, conversation_id: str, client_id: str, words: str) -> ours.TextMessage:
    """Give the message that was sent, as the service took it."""
    found, raw = _parsed(SEND, reply)
    return ours.TextMessage(
        conversation_id=conversation_id,
        id=_identified(SEND, reply, found.id, "id"),
        sent_at=when(found.sent_at),
        author=ours.Author(role=Role.CUSTOMER),
        raw=raw,
        text=str(words),
        client_id=client_id,
    )


def poll(reply: Reply, last: Poll | None = None) -> Poll:
    """Give a poll's events in order and its cursor; an item that does not fit becomes `UnknownMessage`.

    A reply that repeats the last one is not even read, and of one that begins with all of it only the rest is. 204 says
    that nothing is new.
    """
    if reply.status == 204:
        return Poll((), None) if last is None else evolve(last, events=(), cursor=None)
    mark = hash(reply.body)
    if last is not None and mark == last.mark:
        return evolve(last, events=()) if last.events else last
    found, _ = _parsed(POLL, reply)
    items = [] if isinstance(found.messages, Unset | None) else found.messages
    if not isinstance(items, list):
        raise misfit(POLL, reply, "this is not a list", "/messages")
    known = last.items if last is not None and _begins_with(items, last.items) else ()
    fresh = items[len(known) :]
    return Poll(tuple(event(item) for item in fresh), identity(found.cursor), (*known, *fresh), mark)


def _begins_with(items: list[object], known: tuple[object, ...]) -> bool:
    try:
        return tuple(items[: len(known)]) == known
    except RecursionError:
        return False


def now() -> datetime:
    """Give the present moment for `fetched_at`."""
    return datetime.now(UTC)


def done(operation: AnyOperation, reply: Reply) -> None:
    """Take a success that tells nothing else; a page of a proxy in its place says that the service never saw us."""
    if reply.headers.get("content-type", "").lower().startswith("text/html"):
        raise misfit(operation, reply, "the reply is a web page")
