"""From the items of a poll to the events that callers see: a bad item becomes `UnknownMessage`, never an error."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from hashlib import blake2b
from typing import Any

from puzzel_chat import _models as ours
from puzzel_chat._html import to_text
from puzzel_chat._models import Role
from puzzel_chat._wire.values import flag, identity, named, text, text_or_empty, when, whole
from puzzel_chat_api import models as theirs
from puzzel_chat_api.models import AuthorRole, ChatEventKind

BAD = (KeyError, TypeError, ValueError, AttributeError, OverflowError, RecursionError)
"""What the generated models raise for a document that does not fit them."""

_ROLES: dict[object, Role] = {
    AuthorRole.CUSTOMER: Role.CUSTOMER,
    AuthorRole.AGENT: Role.AGENT,
    AuthorRole.SYSTEM: Role.SYSTEM,
    AuthorRole.BOT: Role.BOT,
}


def event(item: object) -> ours.Event:
    """Give one item of a poll as the event that it is."""
    if not isinstance(item, Mapping):
        return _unknown({"value": item}, "the item is not an object")
    convert = named(_CONVERTERS, item.get("type"), None)
    if convert is None:
        return _unknown(item, None)
    try:
        return convert(item) or _unknown(item, "a field has the wrong type")
    except BAD as error:
        return _unknown(item, f"{type(error).__name__} while reading it")


def _unknown(item: Mapping[str, Any], problem: str | None) -> ours.UnknownMessage:
    mark = blake2b(json.dumps(item, sort_keys=True, default=str).encode(), digest_size=12).hexdigest()
    try:
        author = theirs.Author.from_dict(item["author"])
    except BAD:
        author = None
    return ours.UnknownMessage(
        conversation_id=identity(item.get("conversationId")) or "",
        id=identity(item.get("id")) or f"unknown-{mark}",
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
    item_id, conversation_id = identity(found.id), identity(found.conversation_id)
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
    base, html = _base(found), text_or_empty(found.content)
    if base is None or html is None:
        return None
    return ours.TextMessage(**base, raw=item, text=to_text(html), html=html, client_id=text(found.client_message_id))


def _options(item: Mapping[str, Any]) -> ours.Event | None:
    found = theirs.OptionsMessage.from_dict(item)
    base, html = _base(found), text(found.content) or ""
    options = tuple(option for one in found.options or () if (option := _option(one)) is not None)
    if base is None or len(options) != len(found.options or ()):
        return None
    return ours.OptionsMessage(**base, raw=item, text=to_text(html), html=html, options=options)


def _option(found: theirs.Option) -> ours.Option | None:
    option_id, label = identity(found.id), text_or_empty(found.label)
    return None if option_id is None or label is None else ours.Option(id=option_id, label=to_text(label))


def _file(item: Mapping[str, Any]) -> ours.Event | None:
    found = theirs.FileMessage.from_dict(item)
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


def _happening(item: Mapping[str, Any]) -> ours.Event | None:
    found = theirs.EventMessage.from_dict(item)
    base = _base(found)
    if base is None:
        return None
    if found.event is ChatEventKind.AGENTJOINED:
        return ours.AgentJoined(**base, raw=item, agent=agent(found.agent))
    if found.event is ChatEventKind.AGENTLEFT:
        return ours.AgentLeft(**base, raw=item, agent=agent(found.agent))
    if found.event is ChatEventKind.AGENTTYPING:
        return ours.AgentTyping(**base, raw=item, is_typing=flag(found.is_typing) is not False)
    if found.event is ChatEventKind.CONVERSATIONENDED:
        by = named(_ROLES, found.ended_by, Role.UNKNOWN)
        return ours.ConversationEnded(**base, raw=item, by=by, reason=text(found.reason))
    kind = f"{found.event.value!r} is new to this version" if isinstance(found.event, ChatEventKind) else "has no name"
    return _unknown(item, f"the event {kind}")


_CONVERTERS: dict[object, Callable[[Mapping[str, Any]], ours.Event | None] | None] = {
    "Text": _text,
    "Options": _options,
    "File": _file,
    "Event": _happening,
}


def agent(found: object) -> ours.Agent | None:
    """Give the agent of an item or a reply."""
    if not isinstance(found, theirs.Agent):
        return None
    name = text(found.display_name)
    return ours.Agent(id=identity(found.id), name=to_text(name) if name else None)


def _author(found: object) -> ours.Author:
    if not isinstance(found, theirs.Author):
        return ours.Author()
    name = text(found.display_name)
    return ours.Author(
        role=named(_ROLES, found.role, Role.UNKNOWN), id=identity(found.id), name=to_text(name) if name else None
    )
