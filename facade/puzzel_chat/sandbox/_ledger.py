"""The ledger: every message, edit and event, each stored once and never changed."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from itertools import count

from ._files import StoredFile
from ._queues import Agent, Conversation
from ._values import Entry, Happening, Json, Role, Tally, is_object, iso, moment

_SYSTEM: Json = {"role": int(Role.SYSTEM), "id": None, "displayName": "System"}
_COUNTED = {"message": "messages", "edited": "edits", "cancelled": "left_queue"}
_TEXT_OF = ("content", "event", "fileName")


class Ledger:
    """Writes messages, edits and events into a conversation and its session's log."""

    def __init__(self, tally: Tally, watch: Callable[[Happening], None]) -> None:
        self._tally, self._watch = tally, watch
        self._numbers = count(1)
        self._life = 0

    def number_again(self) -> None:
        """Give new messages the ids from the first one on again, like a service that was set up anew."""
        self._numbers = count(1)
        self._life += 1

    def happened(
        self,
        kind: str,
        now: float,
        conversation: Conversation | None = None,
        agent: str | None = None,
        role: Role | None = None,
        text: str | None = None,
    ) -> None:
        """Report something that happened in a conversation."""
        self.tell(Happening(kind, now, conversation.id if conversation else None, agent, role, text))

    def tell(self, happening: Happening) -> None:
        """Count a happening and pass it to the watcher."""
        self._tally.add(_COUNTED.get(happening.kind, happening.kind))
        self._watch(happening)

    def hear(
        self,
        conversation: Conversation,
        content: str,
        client_id: str | None,
        now: float,
        stored: StoredFile | None = None,
    ) -> Entry:
        """Store a message from the customer: a text or a file."""
        author = {
            "role": int(Role.CUSTOMER),
            "id": None,
            "displayName": (conversation.order.customer or {}).get("name"),
        }
        if stored is not None:
            return self._add(conversation, "File", stored.wire(), author, now, client_id)
        return self._add(conversation, "Text", {"content": content}, author, now, client_id)

    def say(self, conversation: Conversation, content: str, now: float) -> Entry:
        """Store a message from the agent, which is HTML."""
        return self._add(conversation, "Text", {"content": content}, _agent_author(conversation.agent), now)

    def notice(self, conversation: Conversation, content: str, now: float) -> Entry:
        """Store a system message."""
        return self._add(conversation, "Text", {"content": content}, _SYSTEM, now)

    def send(self, conversation: Conversation, kind: str, text: str, fields: Json, now: float) -> Entry:
        """Store a message of any type from the agent."""
        body: dict[str, object] = {**({"content": text} if text else {}), **fields}
        return self._add(conversation, kind, body, _agent_author(conversation.agent), now)

    def event(
        self, conversation: Conversation, event: str, now: float, agent: Agent | None = None, **fields: object
    ) -> Entry:
        """Store an event of the service."""
        body: dict[str, object] = {"isTyping": None, "endedBy": None, "reason": None, **fields}
        named = {"event": event, "agent": agent.wire() if agent else None}
        return self._add(conversation, "Event", {**named, **body}, _SYSTEM, now)

    def raw(self, conversation: Conversation, wire: Json, now: float) -> Entry:
        """Store a message as given; only missing fields are filled in."""
        base = self._base(conversation, "Text", _agent_author(conversation.agent), now, None)
        return self._store(conversation, {**base, **wire}, now)

    def edit(self, conversation: Conversation, message_id: str, content: str, now: float) -> Entry:
        """Store a new version of a message.

        Raises:
            LookupError: the conversation has no such message.

        """
        versions = [entry for entry in conversation.entries if entry.id == message_id]
        if not versions:
            raise LookupError(f"conversation {conversation.id} has no message {message_id}")
        last = versions[-1]
        wire = {
            **last.wire,
            "eventId": conversation.session.log.next_id,
            "version": last.version + 1,
            "content": content,
        }
        return self._store(conversation, wire, now, "edited", last.life)

    def _add(
        self,
        conversation: Conversation,
        kind: str,
        body: Json,
        author: Json,
        now: float,
        client_id: str | None = None,
    ) -> Entry:
        return self._store(conversation, {**self._base(conversation, kind, author, now, client_id), **body}, now)

    def _base(
        self, conversation: Conversation, kind: str, author: Json, now: float, client_id: str | None
    ) -> dict[str, object]:
        return {
            "id": f"message-{next(self._numbers)}",
            "eventId": conversation.session.log.next_id,
            "conversationId": conversation.id,
            "type": kind,
            "version": 1,
            "sentAt": iso(now),
            "author": author,
            "clientMessageId": client_id,
        }

    def _store(
        self,
        conversation: Conversation,
        wire: Mapping[str, object],
        now: float,
        kind: str = "message",
        life: int | None = None,
    ) -> Entry:
        entry = _entry(conversation, wire, now, self._life if life is None else life)
        conversation.entries.append(entry)
        conversation.session.log.entries.append(entry)
        if entry.type == "Event":
            self._tally.add("events")
        else:
            self.happened(kind, now, conversation, entry.author, entry.role, entry.content)
        return entry


def _agent_author(agent: Agent | None) -> Json:
    identity = agent.wire() if agent else {"id": None, "displayName": None}
    return {"role": int(Role.AGENT), **identity}


def _entry(conversation: Conversation, wire: Json, now: float, life: int) -> Entry:
    """Return the entry for a wire message; a test may have sent one of any shape."""
    author = wire.get("author")
    names = author if is_object(author) else {}
    role = names.get("role")
    version = wire.get("version")
    text = next((value for name in _TEXT_OF if isinstance(value := wire.get(name), str)), None)
    return Entry(
        id=str(wire.get("id")),
        version=version if isinstance(version, int) else 1,
        conversation_id=conversation.id,
        type=str(wire.get("type")),
        role=Role(role) if isinstance(role, int) and role in set(Role) else Role.AGENT,
        author=str(names["displayName"]) if names.get("displayName") is not None else None,
        content=text,
        client_message_id=str(wire["clientMessageId"]) if wire.get("clientMessageId") is not None else None,
        sent_at=moment(now),
        wire=wire,
        life=life,
    )
