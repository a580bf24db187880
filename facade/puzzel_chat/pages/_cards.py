"""The chats on an agent's desk: those that go on, and those that are over, until the agent closes them."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime

from attrs import frozen

from puzzel_chat.sandbox import AgentHandle, Entry, Person, Role, Sandbox

MOST_OVER = 30
"""Chats that are over and stay on a desk; the oldest are closed first."""


@frozen
class Over:
    """How a chat has left the desk."""

    how: str
    """ "customer", "agent" or "system" ended it; it was a "transfer", or the agent "left"."""
    at: datetime
    """When."""
    queue: str
    """The queue that it was in, or went to."""
    entries: int
    """How many entries of it are this agent's to read."""


class Cards:
    """The chats on one agent's desk, in the order in which they came. All tabs of the agent show the same."""

    def __init__(self, sandbox: Sandbox) -> None:
        self._sandbox = sandbox
        self._cards: dict[str, Over | None] = {}

    def look(self, person: Person) -> Mapping[str, Over | None]:
        """Return each chat, and how it has left the desk if it has."""
        mine = [one.id for one in person.chats()]
        for key in mine:
            self._cards[key] = None
        for key, over in self._cards.items():
            if over is None and key not in mine:
                self._cards[key] = self._how(self._sandbox.agent(key), person.id)
        past = [key for key, over in self._cards.items() if over]
        for key in past[:-MOST_OVER]:
            del self._cards[key]
        return dict(self._cards)

    def close(self, key: str) -> None:
        """Take a chat that is over from the desk."""
        if self._cards.get(key):
            del self._cards[key]

    def _how(self, chat: AgentHandle, person_id: str) -> Over | None:
        """Return how a chat went on after the agent had joined it last; None if the agent is in it again by now."""
        entries, queue = chat.transcript(), self._sandbox.chat(chat.conversation_id).queue_key
        joined = max(n for n, one in enumerate(entries) if _is(one, "AgentJoined", person_id))
        for number, entry in enumerate(entries[joined:], joined + 1):
            if _is(entry, "ConversationEnded"):
                return Over(_ended_by(entry), entry.sent_at, queue, number)
            if _is(entry, "AgentLeft", person_id):
                how = "transfer" if entry.wire.get("reason") == "transfer" else "left"
                return Over(how, entry.sent_at, queue, number)
        return None


def _is(entry: Entry, event: str, agent_id: str | None = None) -> bool:
    """Whether an entry is this event, of this agent if one is given."""
    agent = entry.wire.get("agent")
    return entry.wire.get("event") == event and (
        agent_id is None or (isinstance(agent, Mapping) and agent.get("id") == agent_id)
    )


def _ended_by(entry: Entry) -> str:
    by = entry.wire.get("endedBy")
    return "customer" if by == Role.CUSTOMER else "agent" if by == Role.AGENT else "system"
