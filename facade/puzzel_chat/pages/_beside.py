"""A chat's ledger beside what its client received: the events of the customer's page, or what polls have brought."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from html import unescape
from typing import Any

from puzzel_chat.sandbox import Entry, Role, Sandbox

from ._compare import DIFFERENT, Key, Row, compare
from ._recorder import Item, Recorder, item_key, key_of
from ._stream import Json

LONGEST = 300
"""Rows that are shown, the newest ones."""
LONGEST_TEXT = 1000
"""Characters of a text that are shown."""

Event = Mapping[str, Any]
Received = Callable[[str], Sequence[Event] | None]
"""The events that the customer's page has received in a chat, None for a chat of another client."""

OWN = ("connection_degraded", "connection_recovered", "allocation_changed")
"""Types of events that the library tells by itself."""
NAMES = {"agent_joined": "AgentJoined", "agent_left": "AgentLeft", "conversation_ended": "ConversationEnded"}
"""The service's names of events, by the library's types."""


def beside(sandbox: Sandbox, recorder: Recorder, received: Received, conversation_id: str) -> dict[str, object]:
    """Return what is shown of a chat as flat state: a summary, and its newest rows.

    Raises:
        LookupError: there is no such chat.

    """
    # In this order: what a poll has fetched by now the client has, and what the client has is in the ledger.
    polled, events = recorder.polled(conversation_id), received(conversation_id)
    entries = [one for one in sandbox.agent(conversation_id).transcript() if not _types(one.wire)]
    if events is None:
        client = [item for item in polled.delivered.values() if not _types(item)]
    else:
        client = [one for one in list(events) if not _left_out(one)]
    key, cell = (item_key, _item_cell) if events is None else (_event_key, _event_cell)
    keys = [item_key(one.wire) for one in entries]
    rows = compare(keys, [key(one) for one in client], polled.fetched, recorder.before(conversation_id))
    shown = range(max(0, len(rows) - LONGEST), len(rows))
    summary = {
        "id": conversation_id,
        "ofThePage": events is not None,
        "differences": sum(row.verdict in DIFFERENT for row in rows),
        "waiting": sum(row.verdict == "waiting" for row in rows),
        "before": sum(row.verdict == "before" for row in rows),
        "rows": len(rows),
        "hidden": shown.start,
        "hiddenDifferences": sum(row.verdict in DIFFERENT for row in rows[: shown.start]),
    }
    return {"beside": summary, **{f"row:{place}": _row(rows[place], entries, client, cell) for place in shown}}


def _row(row: Row, entries: Sequence[Entry], client: Sequence[Item], cell: Callable[[Item], Json]) -> Json:
    return {
        "verdict": row.verdict,
        "ledger": None if row.ledger is None else _entry_cell(entries[row.ledger]),
        "client": None if row.client is None else cell(client[row.client]),
    }


def _types(item: Item) -> bool:
    """Whether an item only says that somebody types."""
    return item.get("type") == "Event" and item.get("event") == "AgentTyping"


def _left_out(event: Event) -> bool:
    return event.get("type") == "agent_typing" or event.get("type") in OWN


def _event_key(event: Event) -> Key:
    return key_of(event.get("id"), event.get("version"), (event.get("raw") or {}).get("sentAt"))


def _entry_cell(entry: Entry) -> Json:
    return {**_item_cell(entry.wire), "role": entry.role.name.lower(), "author": entry.author}


def _item_cell(item: Item) -> Json:
    """Return what is shown of an item of a poll, whatever its shape is."""
    author, agent = _object(item.get("author")), _object(item.get("agent"))
    happened = item.get("event") if item.get("type") == "Event" else None
    ended_by = _role(item.get("endedBy"))
    return _cell(
        item,
        role=_role(author.get("role")),
        author=author.get("displayName"),
        text=unescape(_text(item.get("content"))) or _text(item.get("fileName")),
        happened=happened,
        who=ended_by if happened == "ConversationEnded" else agent.get("displayName"),
    )


def _event_cell(event: Event) -> Json:
    """Return what is shown of an event of the library."""
    message, author = event.get("message") or event, event.get("author") or {}
    happened = NAMES.get(str(event.get("type")))
    return _cell(
        event,
        role=author.get("role"),
        author=author.get("name"),
        text=message.get("text") or message.get("file_name") or message.get("problem"),
        happened=happened,
        who=event.get("by") if happened == "ConversationEnded" else (event.get("agent") or {}).get("name"),
        by_itself=not event.get("raw"),
    )


def _cell(
    of: Item, *, role: object, author: object, text: object, happened: object, who: object, by_itself: bool = False
) -> Json:
    """Return one side of a row; texts are of bounded length."""
    return {
        "id": _text(of.get("id")),
        "version": key_of(None, of.get("version"), None)[1],
        "type": _text(of.get("type")),
        "role": _text(role),
        "author": _text(author),
        "text": _text(text),
        "event": _text(happened),
        "who": _text(who),
        "byItself": by_itself,
    }


def _text(value: object) -> str:
    text = "" if value is None else str(value)
    return text if len(text) <= LONGEST_TEXT else text[:LONGEST_TEXT] + " …"


def _object(value: object) -> Mapping[str, Any]:
    return value if isinstance(value, dict) else {}


def _role(value: object) -> str:
    return Role(value).name.lower() if isinstance(value, int) and value in set(Role) else _text(value)
