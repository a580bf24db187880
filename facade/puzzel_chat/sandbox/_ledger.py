"""Everything that was said: entries are made here, once, and never change afterwards."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from itertools import count

from ._queues import Agent, Conversation
from ._values import Entry, Happening, Json, Role, Tally, is_object, iso, moment

_TEXT_OF = ("content", "event", "fileName")


class Ledger:
    """Writes messages, edits and events into a conversation and its session's log."""

    def __init__(self, tally: Tally, watch: Callable[[Happening], None]) -> None:
        self._tally, self._watch = tally, watch
        self._numbers = count(1)

    def happened(
        self,
        kind: str,
        now: float,
        chat: Conversation | None = None,
        agent: str | None = None,
        role: Role | None = None,
        text: str | None = None,
    ) -> None:
        """Tell that something took place in a conversation."""
        self.tell(Happening(kind, now, chat.id if chat else None, agent, role, text))

    def tell(self, happening: Happening) -> None:
        """Tell the watcher, and count."""
        self._tally.add(_COUNTED.get(happening.kind, happening.kind))
        self._watch(happening)

    def hear(self, chat: Conversation, content: str, client_id: str | None, now: float) -> Entry:
        """Store what the customer wrote."""
        author = {"role": int(Role.CUSTOMER), "id": None, "displayName": (chat.order.customer or {}).get("name")}
        return self._add(chat, "Text", {"content": content}, author, now, client_id)

    def say(self, chat: Conversation, content: str, now: float) -> Entry:
        """Store what the agent wrote, as HTML."""
        return self._add(chat, "Text", {"content": content}, _agent_author(chat.agent), now)

    def notice(self, chat: Conversation, content: str, now: float) -> Entry:
        """Store a system message."""
        return self._add(chat, "Text", {"content": content}, SYSTEM, now)

    def send(self, chat: Conversation, kind: str, text: str, fields: Json, now: float) -> Entry:
        """Store a message of any type from the agent."""
        body: dict[str, object] = {**({"content": text} if text else {}), **fields}
        return self._add(chat, kind, body, _agent_author(chat.agent), now)

    def event(self, chat: Conversation, event: str, now: float, agent: Agent | None = None, **fields: object) -> Entry:
        """Store an event of the service."""
        body: dict[str, object] = {"isTyping": None, "endedBy": None, "reason": None, **fields}
        return self._add(chat, "Event", {"event": event, "agent": agent.wire() if agent else None, **body}, SYSTEM, now)

    def raw(self, chat: Conversation, wire: Json, now: float) -> Entry:
        """Store a message exactly as given, with only the fields it lacks filled in."""
        base = self._base(chat, "Text", _agent_author(chat.agent), now, None)
        return self._store(chat, {**base, **wire}, now)

    def edit(self, chat: Conversation, message_id: str, content: str, now: float) -> Entry:
        """Store a new version of a message.

        Raises:
            LookupError: the conversation has no such message.

        """
        versions = [entry for entry in chat.entries if entry.id == message_id]
        if not versions:
            raise LookupError(f"conversation {chat.id} has no message {message_id}")
        last = versions[-1]
        wire = {**last.wire, "eventId": chat.session.log.next_id, "version": last.version + 1, "content": content}
        return self._store(chat, wire, now, "edited")

    def _add(
        self,
        chat: Conversation,
        kind: str,
        body: Json,
        author: Json,
        now: float,
        client_id: str | None = None,
    ) -> Entry:
        return self._store(chat, {**self._base(chat, kind, author, now, client_id), **body}, now)

    def _base(
        self, chat: Conversation, kind: str, author: Json, now: float, client_id: str | None
    ) -> dict[str, object]:
        return {
            "id": f"message-{next(self._numbers)}",
            "eventId": chat.session.log.next_id,
            "conversationId": chat.id,
            "type": kind,
            "version": 1,
            "sentAt": iso(now),
            "author": author,
            "clientMessageId": client_id,
        }

    def _store(self, chat: Conversation, wire: Mapping[str, object], now: float, kind: str = "message") -> Entry:
        entry = _entry(chat, wire, now)
        chat.entries.append(entry)
        chat.session.log.entries.append(entry)
        if entry.type == "Event":
            self._tally.add("events")
        else:
            self.happened(kind, now, chat, entry.author, entry.role, entry.content)
        return entry


SYSTEM: Json = {"role": int(Role.SYSTEM), "id": None, "displayName": "System"}
_COUNTED = {"message": "messages", "edited": "edits", "cancelled": "left_queue"}


def _agent_author(agent: Agent | None) -> Json:
    identity = agent.wire() if agent else {"id": None, "displayName": None}
    return {"role": int(Role.AGENT), **identity}


def _entry(chat: Conversation, wire: Json, now: float) -> Entry:
    """Read the ledger's columns off the wire message, which a test may have made as odd as it likes."""
    author = wire.get("author")
    names = author if is_object(author) else {}
    role = names.get("role")
    version = wire.get("version")
    text = next((value for name in _TEXT_OF if isinstance(value := wire.get(name), str)), None)
    return Entry(
        id=str(wire.get("id")),
        version=version if isinstance(version, int) else 1,
        conversation_id=chat.id,
        type=str(wire.get("type")),
        role=Role(role) if isinstance(role, int) and role in set(Role) else Role.AGENT,
        author=str(names["displayName"]) if names.get("displayName") is not None else None,
        content=text,
        client_message_id=str(wire["clientMessageId"]) if wire.get("clientMessageId") is not None else None,
        sent_at=moment(now),
        wire=wire,
    )
