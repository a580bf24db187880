"""From replies to the values that callers see.

Each item is parsed by the generated models and then checked field by field, for those pass a value of the wrong type
through. A bad item becomes `UnknownMessage`; a bad document becomes `ContractError`.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from hashlib import blake2b
from typing import Any, TypeAlias, TypeVar

from attrs import field, frozen

from puzzel_chat import _models as ours
from puzzel_chat._errors import ContractError
from puzzel_chat._html import to_text
from puzzel_chat._http import Reply
from puzzel_chat._models import AllocationStage, Role
from puzzel_chat._secrets import Secret, SecretDict, secret_or_none
from puzzel_chat._wire.operations import POLL, QUEUE, ROUTE, SEND, STATUS, TIME, TOKEN, Operation
from puzzel_chat._wire.refusals import excerpt
from puzzel_chat._wire.values import flag, named, seconds, text, when, whole
from puzzel_chat_api import models as theirs
from puzzel_chat_api.models import AllocationStatus, AuthorRole, ChatEventKind

_Model = TypeVar("_Model")
_Item: TypeAlias = theirs.TextMessage | theirs.OptionsMessage | theirs.FileMessage | theirs.EventMessage
_BAD = (KeyError, TypeError, ValueError, AttributeError, OverflowError, RecursionError)

_STAGES: dict[object, AllocationStage] = {status: AllocationStage(status.value.lower()) for status in AllocationStatus}
_ROLES: dict[object, Role] = {role: Role(role.name.lower()) for role in AuthorRole}


@frozen
class Grant:
    """What a token reply gave; `expires_in` is in seconds, None when it was not said."""

    access: Secret
    refresh: Secret | None
    expires_in: float | None


@frozen
class Poll:
    """What a poll gave."""

    events: tuple[ours.Event, ...] = field(repr=False)
    cursor: str | None


def _object(operation: Operation, reply: Reply) -> SecretDict:
    document = _decoded(operation, reply)
    if document is None:
        raise ContractError(operation.name, "", "the reply is not a JSON object", excerpt(operation, reply))
    return document


def _decoded(operation: Operation, reply: Reply) -> SecretDict | None:
    try:
        document = json.loads(reply.body)
    except (ValueError, RecursionError):
        raise ContractError(operation.name, "", "the reply is not JSON", excerpt(operation, reply)) from None
    return SecretDict(document) if isinstance(document, dict) else None


def _parsed(
    operation: Operation, reply: Reply, parse: Callable[[Mapping[str, Any]], _Model]
) -> tuple[_Model, dict[str, Any]]:
    document = _object(operation, reply)
    try:
        return parse(document), document
    except KeyError as missing:
        raise _misfit(operation, reply, str(missing.args[0]), "a field is missing") from None
    except _BAD:
        raise _misfit(operation, reply, "", "a field has the wrong form") from None


def _misfit(operation: Operation, reply: Reply, name: str, what: str) -> ContractError:
    return ContractError(operation.name, f"/{name}" if name else "", what, excerpt(operation, reply))


def grant(reply: Reply) -> Grant:
    """Give the tokens of a reply; raises `ContractError` when there is no access token in it."""
    found, _ = _parsed(
        TOKEN, reply, lambda document: theirs.TokenReply.from_dict(SecretDict({"token_type": "Bearer", **document}))
    )
    access, refresh = secret_or_none(text(found.access_token)), secret_or_none(text(found.refresh_token))
    if not access or not access.isascii() or not access.isprintable():
        raise _misfit(TOKEN, reply, "access_token", "there is no usable token")
    lives = seconds(found.expires_in)
    return Grant(access, refresh or None, lives or None)


def queue_info(reply: Reply, now: datetime) -> ours.QueueInfo:
    """Give a queue's opening hours and load."""
    found, raw = _parsed(QUEUE, reply, theirs.QueueInfo.from_dict)
    return ours.QueueInfo(
        id=str(found.id),
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
    found, raw = _parsed(TIME, reply, theirs.TimeInfo.from_dict)
    return ours.TimeInfo(
        id=str(found.id),
        exit_name=text(found.exit_name),
        is_open=flag(found.is_open),
        next_change=when(found.next_change),
        fetched_at=now,
        raw=raw,
    )


def routed(reply: Reply, now: datetime) -> tuple[ours.Allocation, str | None]:
    """Give the allocation that a route request began with, and the request's id when there is one."""
    found, raw = _parsed(ROUTE, reply, theirs.RouteReply.from_dict)
    stage = named(_STAGES, found.status, AllocationStage.UNKNOWN)
    return ours.Allocation(stage=stage, fetched_at=now, raw=raw), text(found.request_id)


def allocation(reply: Reply, now: datetime) -> ours.Allocation:
    """Give the state of the search for an agent."""
    found, raw = _parsed(STATUS, reply, theirs.RequestStatus.from_dict)
    return ours.Allocation(
        stage=named(_STAGES, found.status, AllocationStage.UNKNOWN),
        queue_position=whole(found.queue_position),
        estimated_wait=seconds(found.estimated_wait_seconds),
        agent=_agent(found.agent),
        reason=text(found.reason),
        fetched_at=now,
        raw=raw,
    )


def sent_message(reply: Reply, conversation_id: str, client_id: str, words: str) -> ours.TextMessage:
    """Give the message that was sent, as the service took it."""
    found, raw = _parsed(SEND, reply, theirs.SendMessageReply.from_dict)
    if not text(found.id):
        raise _misfit(SEND, reply, "id", "the message has no id")
    return ours.TextMessage(
        conversation_id=conversation_id,
        id=found.id,
        sent_at=when(found.sent_at),
        author=ours.Author(role=Role.CUSTOMER),
        raw=raw,
        text=words,
        client_id=client_id,
    )


def poll(reply: Reply) -> Poll:
    """Give a poll's events in order and its cursor; an item that does not fit becomes `UnknownMessage`."""
    document = _object(POLL, reply)
    items = document.get("messages")
    if items is None:
        items = []
    if not isinstance(items, list):
        raise _misfit(POLL, reply, "messages", "this is not a list")
    return Poll(tuple(event(item) for item in items), text(document.get("cursor")))


def event(item: object) -> ours.Event:
    """Give one item of a poll as the event that it is."""
    if not isinstance(item, Mapping):
        return _unknown({"value": item}, "the item is not an object")
    convert = named(_CONVERTERS, item.get("type"), None)
    if convert is None:
        return _unknown(item, None)
    try:
        return convert(item) or _unknown(item, "a field has the wrong type")
    except _BAD as error:
        return _unknown(item, f"{type(error).__name__} while reading it")


def _unknown(item: Mapping[str, Any], problem: str | None) -> ours.UnknownMessage:
    mark = blake2b(json.dumps(item, sort_keys=True, default=str).encode(), digest_size=12).hexdigest()
    try:
        author = theirs.Author.from_dict(item["author"])
    except _BAD:
        author = None
    return ours.UnknownMessage(
        conversation_id=text(item.get("conversationId")) or "",
        id=text(item.get("id")) or f"unknown-{mark}",
        version=whole(item.get("version")) or 1,
        sent_at=when(item.get("sentAt")),
        author=_author(author),
        raw=item,
        type=text(item.get("type")),
        problem=problem,
    )


def _base(
    found: theirs.TextMessage | theirs.OptionsMessage | theirs.FileMessage | theirs.EventMessage,
) -> dict[str, Any] | None:
    item_id, conversation_id = text(found.id), text(found.conversation_id)
    if not item_id or not conversation_id:
        return None
    return {
        "id": item_id,
        "conversation_id": conversation_id,
        "version": whole(found.version) or 1,
        "sent_at": when(found.sent_at),
        "author": _author(found.author),
    }


def _text(item: Mapping[str, Any]) -> ours.Event | None:
    found = theirs.TextMessage.from_dict(item)
    base, html = _base(found), text(found.content)
    if base is None or html is None:
        return None
    return ours.TextMessage(**base, raw=item, text=to_text(html), html=html, client_id=text(found.client_message_id))


def _options(item: Mapping[str, Any]) -> ours.Event | None:
    found = theirs.OptionsMessage.from_dict(item)
    base, html = _base(found), text(found.content) or ""
    options = tuple(ours.Option(id=o.id, label=to_text(o.label)) for o in found.options if text(o.id) and text(o.label))
    if base is None or len(options) != len(found.options):
        return None
    return ours.OptionsMessage(**base, raw=item, text=to_text(html), html=html, options=options)


def _file(item: Mapping[str, Any]) -> ours.Event | None:
    found = theirs.FileMessage.from_dict(item)
    base, name, url = _base(found), text(found.file_name), text(found.url)
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


def _happening(item: Mapping[str, Any]) -> ours.Event | None:
    found = theirs.EventMessage.from_dict(item)
    base = _base(found)
    if base is None:
        return None
    if found.event is ChatEventKind.AGENTJOINED:
        return ours.AgentJoined(**base, raw=item, agent=_agent(found.agent))
    if found.event is ChatEventKind.AGENTLEFT:
        return ours.AgentLeft(**base, raw=item, agent=_agent(found.agent))
    if found.event is ChatEventKind.AGENTTYPING:
        return ours.AgentTyping(**base, raw=item, is_typing=flag(found.is_typing) is not False)
    if found.event is ChatEventKind.CONVERSATIONENDED:
        by = named(_ROLES, found.ended_by, Role.UNKNOWN)
        return ours.ConversationEnded(**base, raw=item, by=by, reason=text(found.reason))
    return _unknown(item, f"the event {found.event.value!r} is new to this version")


_CONVERTERS: dict[object, Callable[[Mapping[str, Any]], ours.Event | None] | None] = {
    "Text": _text,
    "Options": _options,
    "File": _file,
    "Event": _happening,
}


def _agent(found: object) -> ours.Agent | None:
    if not isinstance(found, theirs.Agent):
        return None
    name = text(found.display_name)
    return ours.Agent(id=text(found.id), name=to_text(name) if name else None)


def _author(found: object) -> ours.Author:
    if not isinstance(found, theirs.Author):
        return ours.Author()
    name = text(found.display_name)
    return ours.Author(
        role=named(_ROLES, found.role, Role.UNKNOWN), id=text(found.id), name=to_text(name) if name else None
    )


def now() -> datetime:
    """Give the present moment for `fetched_at`."""
    return datetime.now(UTC)
