"""Where a session is kept for the next process: `MemoryStore` within one process, `SQLiteStore` beyond it.

Events are written down before the caller gets them, and crossed out when the caller comes back for more:

    poll ──► journal(cursor, unread) ──► the caller ──► acknowledge(item)

So a killed process loses nothing, whatever the poll returns. The next one repeats only what was in the caller's hands:
one event of `events()`, or the list of the last `Session.poll()`. Only the owner of the right to poll may do either;
everything else is open to each process that shares the session.

A store holds tokens, and people's words until they are read; a file is readable for its owner only.
"""

from __future__ import annotations

import threading
from collections.abc import Sequence
from datetime import datetime
from itertools import islice
from typing import Literal, Protocol, TypeAlias, get_args

from attrs import evolve, field, frozen

from puzzel_chat._fork import mind_forks
from puzzel_chat._json import JsonValue
from puzzel_chat._lease import lease_is_free
from puzzel_chat._models import Life, Raw
from puzzel_chat._tokens import TokenSet

Right: TypeAlias = Literal["refresh", "poll"]
"""Right to refresh a session's token, or to poll the session; each has one owner at a time."""
SEEN = 16_384
"""Items remembered per conversation, for a resume: as many as a reply of 8 MiB can repeat at 512 bytes each."""
_PLACES = {life: place for place, life in enumerate(Life)}


@frozen(kw_only=True)
class Unread(JsonValue):
    """An item of a poll that the caller of a conversation has not handled yet; `seq` is its place in the session."""

    seq: int
    """Its place in the session."""
    conversation_id: str | None = None
    """The conversation that it waits for; None in a journal of an earlier version."""
    raw: Raw = field(repr=False)
    """The item as the service sent it."""


@frozen(kw_only=True)
class StoredConversation(JsonValue):
    """A conversation of a session; `request_id` is the id that routing gave, if any."""

    id: str
    """The conversation's id."""
    request_id: str | None = None
    """The id that routing gave, if any."""
    life: Life = Life.OPEN
    """Where in its life it is."""

    def after(self, known: StoredConversation | None) -> StoredConversation:
        """Return what to keep when `known` was kept before: a life never goes back, a request id is not forgotten."""
        if known is None:
            return self
        life = max(self.life, known.life, key=lambda one: _PLACES.get(one, -1))
        return evolve(self, life=life, request_id=self.request_id or known.request_id)


@frozen(kw_only=True)
class StoredSession:
    """Everything that `resume` needs. `seen` holds (item id, mark) pairs per conversation, the oldest first."""

    id: str
    """The session's name in the store."""
    tokens: TokenSet = field(repr=False)
    """Its tokens."""
    cursor: str | None = None
    """Where the next poll goes on."""
    conversations: dict[str, StoredConversation] = field(factory=dict)
    """Its conversations, by id."""
    unread: dict[int, Unread] = field(factory=dict, repr=False)
    """What the caller has not handled yet, by place."""
    seen: dict[str, list[tuple[str, str]]] = field(factory=dict)
    """What came, as (item id, mark) by conversation, the oldest first."""


@frozen(kw_only=True)
class SessionInfo:
    """A session of a store, as `sessions()` lists it.

    `renewed_at` is when its present token was asked for, None when that cannot be told. `in_use` says that an object
    polls the session, here or in another process. `problem` says why `resume` would raise `StoreError`.
    """

    id: str
    """The session's name in the store, for `resume`."""
    renewed_at: datetime | None = None
    """When its present token was asked for."""
    conversations: tuple[StoredConversation, ...] = ()
    """Its conversations."""
    in_use: bool = False
    """Whether an object polls it, here or in another process."""
    problem: str | None = None
    """Why `resume` would raise `StoreError`."""


@frozen(kw_only=True)
class WorkerInfo(JsonValue):
    """What a `Worker` says of itself, for the other workers and for those who operate them; times since the epoch."""

    name: str
    """Its name, another one for each worker."""
    started_at: float
    """When it began, in seconds since the epoch."""
    reported_at: float
    """When it said this, in seconds since the epoch."""
    sessions: int = 0
    """Sessions that it polls."""
    conversations: int = 0
    """Conversations that it serves."""
    most: int = 0
    """Sessions that it takes at most."""
    leaving: bool = False
    """Whether it gives its sessions back and takes no further ones."""
    polls_per_second: float = 0.0
    """Polls a second."""
    late_p50: float = 0.0
    """Half of its last polls were later than this, in seconds."""
    late_p99: float = 0.0
    """One in a hundred of its last polls was later than this, in seconds."""
    failing: int = 0
    """Sessions whose polls fail for now."""


class Store(Protocol):
    """The contract of a store. Every method is safe to call from several threads, and raises `StoreError`.

    The error's `retryable` is True when the same call may succeed soon, because another process has the store just now.
    The asyncio shell calls a store in a thread of its own, one call after the other, so that none blocks the event
    loop; `AsyncStore` is a store that is awaited instead. `puzzel_chat.testing.StoreContract` tests a store of your
    own, and shows a whole one.

    A store that other machines reach too may have three attributes more. `lease` is the length of its rights to poll in
    seconds, 60 unless given. `remote = True` says that others may have the store while this process cannot reach it: a
    right that could not be renewed ends in time. `epoch` changes when the store may have lost its last writes; each
    session is then put back by `put_back(session, owner, now, seconds)`, which only such a store needs.
    """

    def sessions(self, now: float, seconds: float) -> dict[str, bool]:
        """Return the ids of all sessions, and whether the right to poll each is taken, as `acquire` would find it."""
        ...

    def load(self, session_id: str) -> StoredSession | None:
        """Return a session, or None when there is none of that id."""

    def save_tokens(self, session_id: str, tokens: TokenSet) -> None:
        """Keep a session's tokens, unless a newer generation is there already.

        Generation 1 begins a session; a later one of an unknown session is not kept.
        """

    def tokens(self, session_id: str) -> TokenSet | None:
        """Return only the tokens of a session."""

    def conversations(self, session_id: str) -> dict[str, StoredConversation]:
        """Return only the conversations of a session, by their ids."""
        ...

    def save_conversation(self, session_id: str, conversation: StoredConversation) -> None:
        """Keep a conversation, `after` what was kept of it before; its life never goes back."""

    def find(self, conversation_id: str) -> str | None:
        """Return the id of the session that has a conversation, the newest of several; None when there is none."""

    def unpolled(self, now: float, seconds: float, most: int) -> list[str]:
        """Return at most so many sessions that nobody polls and that have something to poll, in their order.

        That is, their right to poll is one that `acquire` would find free, and they have a conversation whose life is
        not `READ`. A session without any is just being opened by somebody. Those that began first come first.
        """
        ...

    def report(self, worker: WorkerInfo, now: float, seconds: float) -> None:
        """Keep what a worker says of itself, for so many seconds or until it says something else; 0 forgets it."""

    def workers(self, now: float) -> list[WorkerInfo]:
        """Return what the workers say of themselves, by name."""
        ...

    def withdraw(self, session_id: str, conversation_id: str) -> None:
        """Forget a conversation for which an agent was asked in vain; one that has come further stays."""

    def journal(self, session_id: str, owner: str, cursor: str | None, unread: Sequence[Unread]) -> bool:
        """Keep the items of a poll and the cursor after them, in one step.

        False means that nothing was written: the owner no longer has the right to poll.
        """
        ...

    def acknowledge(self, session_id: str, owner: str, conversation_id: str, seq: int, item_id: str, mark: str) -> bool:
        """Cross out an item that the caller has handled, and remember it as seen; very old ones are forgotten.

        False as for `journal`.
        """
        ...

    def delete(self, session_id: str) -> None:
        """Forget a session and its secrets."""

    def acquire(self, session_id: str, right: Right, owner: str, now: float, seconds: float) -> str:
        """Take a right for so many seconds, unless another owner has it; return the name of its owner.

        A right is free when its lease is over, when its owner's process is dead, and when the lease ends later than a
        new one would, because a clock was set back: `lease_is_free` tells. Every right to an unknown session is free.
        """
        ...

    def renew(self, session_id: str, right: Right, owner: str, now: float, seconds: float) -> bool:
        """Keep a right for so many seconds from now; false when the owner no longer has it."""
        ...

    def release(self, session_id: str, right: Right, owner: str) -> None:
        """Give a right back."""

    def close(self) -> None:
        """Close what the store holds open."""


class AsyncStore(Protocol):
    """A store that is awaited: `Store`, each method a coroutine function. For `AsyncPuzzelChat` alone.

    A call that is cancelled may have been done or not; a later one comes after it.
    """

    async def sessions(self, now: float, seconds: float) -> dict[str, bool]:
        """See `Store`."""
        ...

    async def load(self, session_id: str) -> StoredSession | None:
        """See `Store`."""

    async def save_tokens(self, session_id: str, tokens: TokenSet) -> None:
        """See `Store`."""

    async def tokens(self, session_id: str) -> TokenSet | None:
        """See `Store`."""

    async def conversations(self, session_id: str) -> dict[str, StoredConversation]:
        """See `Store`."""
        ...

    async def save_conversation(self, session_id: str, conversation: StoredConversation) -> None:
        """See `Store`."""

    async def find(self, conversation_id: str) -> str | None:
        """See `Store`."""

    async def unpolled(self, now: float, seconds: float, most: int) -> list[str]:
        """See `Store`."""
        ...

    async def report(self, worker: WorkerInfo, now: float, seconds: float) -> None:
        """See `Store`."""

    async def workers(self, now: float) -> list[WorkerInfo]:
        """See `Store`."""
        ...

    async def withdraw(self, session_id: str, conversation_id: str) -> None:
        """See `Store`."""

    async def journal(self, session_id: str, owner: str, cursor: str | None, unread: Sequence[Unread]) -> bool:
        """See `Store`."""
        ...

    async def acknowledge(
        self, session_id: str, owner: str, conversation_id: str, seq: int, item_id: str, mark: str
    ) -> bool:
        """See `Store`."""
        ...

    async def delete(self, session_id: str) -> None:
        """See `Store`."""

    async def acquire(self, session_id: str, right: Right, owner: str, now: float, seconds: float) -> str:
        """See `Store`."""
        ...

    async def renew(self, session_id: str, right: Right, owner: str, now: float, seconds: float) -> bool:
        """See `Store`."""
        ...

    async def release(self, session_id: str, right: Right, owner: str) -> None:
        """See `Store`."""

    async def close(self) -> None:
        """See `Store`."""


class MemoryStore:
    """A store that ends with its process; in a forked child it is empty, since the sessions are the parent's."""

    def __init__(self) -> None:
        self._sessions: dict[str, StoredSession] = {}
        self._seen: dict[str, dict[str, dict[tuple[str, str], None]]] = {}
        self._rights: dict[tuple[str, Right], tuple[str, float]] = {}
        self._workers: dict[str, tuple[WorkerInfo, float]] = {}
        self._lock = threading.RLock()
        mind_forks(self)

    def sessions(self, now: float, seconds: float) -> dict[str, bool]:
        """See `Store`."""
        with self._lock:
            return {session_id: not self._is_free(session_id, now, seconds) for session_id in self._sessions}

    def load(self, session_id: str) -> StoredSession | None:
        """See `Store`."""
        with self._lock:
            session = self._sessions.get(session_id)
            if session is None:
                return None
            seen = {conversation_id: list(marks) for conversation_id, marks in self._seen[session_id].items()}
            return evolve(session, conversations=dict(session.conversations), unread=dict(session.unread), seen=seen)

    def save_tokens(self, session_id: str, tokens: TokenSet) -> None:
        """See `Store`."""
        with self._lock:
            session = self._sessions.get(session_id)
            if session is None and tokens.generation == 1:
                self._sessions[session_id] = StoredSession(id=session_id, tokens=tokens)
                self._seen[session_id] = {}
            elif session is not None and tokens.generation > session.tokens.generation:
                self._sessions[session_id] = evolve(session, tokens=tokens)

    def tokens(self, session_id: str) -> TokenSet | None:
        """See `Store`."""
        session = self._sessions.get(session_id)
        return session.tokens if session else None

    def conversations(self, session_id: str) -> dict[str, StoredConversation]:
        """See `Store`."""
        with self._lock:
            session = self._sessions.get(session_id)
            return dict(session.conversations) if session else {}

    def save_conversation(self, session_id: str, conversation: StoredConversation) -> None:
        """See `Store`."""
        with self._lock:
            if session := self._sessions.get(session_id):
                known = session.conversations.get(conversation.id)
                session.conversations[conversation.id] = conversation.after(known)

    def find(self, conversation_id: str) -> str | None:
        """See `Store`."""
        with self._lock:
            newest = reversed(self._sessions.values())
            return next((session.id for session in newest if conversation_id in session.conversations), None)

    def unpolled(self, now: float, seconds: float, most: int) -> list[str]:
        """See `Store`."""
        with self._lock:
            goes_on = (session.id for session in self._sessions.values() if _goes_on(session))
            return list(islice((one for one in goes_on if self._is_free(one, now, seconds)), most))

    def report(self, worker: WorkerInfo, now: float, seconds: float) -> None:
        """See `Store`."""
        with self._lock:
            self._workers[worker.name] = (worker, now + seconds)
            self._workers = {name: kept for name, kept in self._workers.items() if now < kept[1]}

    def workers(self, now: float) -> list[WorkerInfo]:
        """See `Store`."""
        with self._lock:
            return [worker for _, (worker, until) in sorted(self._workers.items()) if now < until]

    def withdraw(self, session_id: str, conversation_id: str) -> None:
        """See `Store`."""
        with self._lock:
            known = self.conversations(session_id).get(conversation_id)
            if known is not None and known.life is Life.ASKED:
                del self._sessions[session_id].conversations[conversation_id]

    def journal(self, session_id: str, owner: str, cursor: str | None, unread: Sequence[Unread]) -> bool:
        """See `Store`."""
        with self._lock:
            if not self._has(session_id, "poll", owner):
                return False
            session = self._sessions[session_id]
            session.unread.update({item.seq: item for item in unread})
            self._sessions[session_id] = evolve(session, cursor=cursor)
            return True

    def acknowledge(self, session_id: str, owner: str, conversation_id: str, seq: int, item_id: str, mark: str) -> bool:
        """See `Store`."""
        with self._lock:
            if not self._has(session_id, "poll", owner):
                return False
            self._sessions[session_id].unread.pop(seq, None)
            seen = self._seen[session_id].setdefault(conversation_id, {})
            seen[item_id, mark] = None
            if len(seen) > SEEN:
                del seen[next(iter(seen))]
            return True

    def delete(self, session_id: str) -> None:
        """See `Store`."""
        with self._lock:
            self._sessions.pop(session_id, None)
            self._seen.pop(session_id, None)
            for right in get_args(Right):
                self._rights.pop((session_id, right), None)

    def acquire(self, session_id: str, right: Right, owner: str, now: float, seconds: float) -> str:
        """See `Store`."""
        with self._lock:
            holder, until = self._rights.get((session_id, right), (None, 0.0))
            if holder is not None and not lease_is_free(holder, until, owner, now, seconds):
                return holder
            if session_id in self._sessions:
                self._rights[session_id, right] = (owner, now + seconds)
            return owner

    def renew(self, session_id: str, right: Right, owner: str, now: float, seconds: float) -> bool:
        """See `Store`."""
        with self._lock:
            if not self._has(session_id, right, owner):
                return False
            self._rights[session_id, right] = (owner, now + seconds)
            return True

    def release(self, session_id: str, right: Right, owner: str) -> None:
        """See `Store`."""
        with self._lock:
            if self._has(session_id, right, owner):
                del self._rights[session_id, right]

    def close(self) -> None:
        """See `Store`."""

    def before_fork(self) -> None:
        """Take the lock, so that no thread is in the middle of a change."""
        self._lock.acquire()

    def after_fork(self, in_child: bool) -> None:
        """Forget everything in the child, and give the lock back."""
        if in_child:
            for kept in (self._sessions, self._seen, self._rights, self._workers):
                kept.clear()
        self._lock.release()

    def _has(self, session_id: str, right: Right, owner: str) -> bool:
        return self._rights.get((session_id, right), ("", 0.0))[0] == owner

    def _is_free(self, session_id: str, now: float, seconds: float) -> bool:
        holder, until = self._rights.get((session_id, "poll"), (None, 0.0))
        return lease_is_free(holder, until, "", now, seconds)


def _goes_on(session: StoredSession) -> bool:
    return any(one.life is not Life.READ for one in session.conversations.values())
