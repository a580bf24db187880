"""Where a session survives the process: `MemoryStore` for one process, `SQLiteStore` for the next one too.

What is new is written down before the caller gets it, and crossed out when the caller came back for more:

    poll ──► journal(cursor, items) ──► the caller ──► acknowledge(item)

so that a killed process loses nothing whatever the poll returns, and the next one gets again only what was in the
caller's hands: one item of `events()`, or the list of the last `Session.poll()`. A store holds
tokens, and people's words while they wait; a file is readable for its owner only.
"""

from __future__ import annotations

import threading
from collections.abc import Mapping, Sequence
from typing import Any, Protocol

from attrs import evolve, field, frozen

from puzzel_chat._secrets import Secret


@frozen(kw_only=True)
class StoredTokens:
    """A token set as it is kept; `obtained` is a wall-clock time, `ttl` is in seconds."""

    access: Secret
    refresh: Secret | None
    generation: int
    ttl: float
    obtained: float


@frozen(kw_only=True)
class Waiting:
    """An item that was received and not yet taken by the caller."""

    seq: int
    raw: Mapping[str, Any] = field(repr=False)


@frozen(kw_only=True)
class StoredConversation:
    """A conversation of a session.

    `request_id` is the one that routing gave, `closing` that we ended it, `finished` that the caller saw its end.
    """

    id: str
    request_id: str | None = None
    closing: bool = False
    finished: bool = False


@frozen(kw_only=True)
class StoredSession:
    """Everything that `resume` needs. `seen` holds per conversation the (item id, mark) pairs in their order."""

    id: str
    tokens: StoredTokens
    cursor: str | None = None
    conversations: dict[str, StoredConversation] = field(factory=dict)
    waiting: dict[int, Waiting] = field(factory=dict, repr=False)
    seen: dict[str, list[tuple[str, str]]] = field(factory=dict)


class Store(Protocol):
    """What a store does. Every method is short, safe to call from several threads, and raises `StoreError`."""

    def load(self, session_id: str) -> StoredSession | None:
        """Give a session, or None when there is none of that id."""

    def save_tokens(self, session_id: str, tokens: StoredTokens) -> None:
        """Keep a session's tokens, unless a newer generation is there already.

        A session begins with generation 1; a later one of a session that is gone is not kept.
        """

    def tokens(self, session_id: str) -> StoredTokens | None:
        """Give only the tokens of a session."""

    def save_conversation(self, session_id: str, conversation: StoredConversation) -> None:
        """Keep a conversation's state."""

    def journal(self, session_id: str, cursor: str | None, waiting: Sequence[Waiting]) -> None:
        """Keep, in one step, what a poll brought and the cursor that follows it."""

    def acknowledge(self, session_id: str, conversation_id: str, seq: int, item_id: str, mark: str) -> None:
        """Cross out an item that the caller is done with, and remember it as seen."""

    def delete(self, session_id: str) -> None:
        """Forget a session and its secrets."""

    def acquire(self, session_id: str, owner: str, now: float, seconds: float) -> bool:
        """Take the right to refresh the session's token for so many seconds, unless another owner has it.

        A right that ends later than a new one would (a clock was set back) is not believed.
        """
        ...

    def release(self, session_id: str, owner: str) -> None:
        """Give that right back."""

    def close(self) -> None:
        """Close what the store holds open."""


class MemoryStore:
    """Keeps sessions as long as the process lives."""

    def __init__(self) -> None:
        self._sessions: dict[str, StoredSession] = {}
        self._seen: dict[str, dict[str, dict[tuple[str, str], None]]] = {}
        self._leases: dict[str, tuple[str, float]] = {}
        self._lock = threading.RLock()

    def load(self, session_id: str) -> StoredSession | None:
        """See `Store`."""
        with self._lock:
            session = self._sessions.get(session_id)
            if session is None:
                return None
            seen = {conversation_id: list(marks) for conversation_id, marks in self._seen[session_id].items()}
            return evolve(session, conversations=dict(session.conversations), waiting=dict(session.waiting), seen=seen)

    def save_tokens(self, session_id: str, tokens: StoredTokens) -> None:
        """See `Store`."""
        with self._lock:
            session = self._sessions.get(session_id)
            if session is None and tokens.generation == 1:
                self._sessions[session_id] = StoredSession(id=session_id, tokens=tokens)
                self._seen[session_id] = {}
            elif session is not None and tokens.generation > session.tokens.generation:
                self._sessions[session_id] = evolve(session, tokens=tokens)

    def tokens(self, session_id: str) -> StoredTokens | None:
        """See `Store`."""
        session = self._sessions.get(session_id)
        return session.tokens if session else None

    def save_conversation(self, session_id: str, conversation: StoredConversation) -> None:
        """See `Store`."""
        with self._lock:
            if session := self._sessions.get(session_id):
                session.conversations[conversation.id] = conversation

    def journal(self, session_id: str, cursor: str | None, waiting: Sequence[Waiting]) -> None:
        """See `Store`."""
        with self._lock:
            if session := self._sessions.get(session_id):
                session.waiting.update({item.seq: item for item in waiting})
                self._sessions[session_id] = evolve(session, cursor=cursor)

    def acknowledge(self, session_id: str, conversation_id: str, seq: int, item_id: str, mark: str) -> None:
        """See `Store`."""
        with self._lock:
            if session := self._sessions.get(session_id):
                session.waiting.pop(seq, None)
                self._seen[session_id].setdefault(conversation_id, {})[item_id, mark] = None

    def delete(self, session_id: str) -> None:
        """See `Store`."""
        with self._lock:
            self._sessions.pop(session_id, None)
            self._seen.pop(session_id, None)

    def acquire(self, session_id: str, owner: str, now: float, seconds: float) -> bool:
        """See `Store`."""
        with self._lock:
            holder, until = self._leases.get(session_id, (owner, now))
            if holder != owner and now < until <= now + seconds:
                return False
            self._leases[session_id] = (owner, now + seconds)
            return True

    def release(self, session_id: str, owner: str) -> None:
        """See `Store`."""
        with self._lock:
            if self._leases.get(session_id, ("", 0.0))[0] == owner:
                del self._leases[session_id]

    def close(self) -> None:
        """See `Store`."""
