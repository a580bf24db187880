"""From the items of a poll to the events that callers see: a bad item becomes `UnknownMessage`, never an error."""

from __future__ import annotations

import json
from collections.abc import Mapping
from hashlib import blake2b
from typing import Any, TypeAlias

from puzzel_chat import _models as ours
from puzzel_chat._html import to_text
from puzzel_chat._models import Role
from puzzel_chat._wire.values import Absent, flag, identity, new_to_us, own_id, text, text_or_empty, when, whole
from puzzel_chat_api import models as theirs
from puzzel_chat_api.models import AuthorRole, ChatEventKind, ChatMessageType
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
