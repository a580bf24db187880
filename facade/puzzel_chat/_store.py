"""Who has a right to a stored session: the names of owners, their processes, and what a fork does to the stores.

An owner is one session object of one process. Its right ends by itself after a while, and at once when its process
is known to live no more, so that a killed one stands in nobody's way.


Where a session survives the process: `MemoryStore` for one process, `SQLiteStore` for the next one too.

What is new is written down before the caller gets it, and crossed out when the caller came back for more:

    poll ──► journal(cursor, items) ──► the caller ──► acknowledge(item)

so that a killed process loses nothing whatever the poll returns, and the next one gets again only what was in the
caller's hands: one item of `events()`, or the list of the last `Session.poll()`. Both are for the owner of the
session's mail, of whom there is one at a time; the rest is for every process that shares the session. A store holds
tokens, and people's words while they wait; a file is readable for its owner only.
"""

from __future__ import annotations

import os
import socket
import threading
from collections.abc import Mapping, Sequence
from typing import Any, Literal, Protocol, get_args
from uuid import uuid4
from weakref import WeakSet

from attrs import evolve, field, frozen

from puzzel_chat._models import Secret

Right = Literal["refresh", "mail"]
"""To refresh the session's token; to poll the session and take what comes."""


def owner_name() -> str:
    """Give the name of a new owner: where its process ids count, its process, and chance."""
    return f"{_machine()}/{os.getpid()}/{uuid4().hex}"


def is_free(holder: str | None, until: float, owner: str, now: float, seconds: float) -> bool:
    """Tell whether the owner may take a right that was given to `holder` until then (seconds since the epoch)."""
    # Who read the clock later may come first, and a right then seems longer than it is.
    return holder is None or holder == owner or not now < until <= now + 2 * seconds or is_gone(holder)


def is_gone(owner: str) -> bool:
    """Tell whether the owner's process certainly lives no more; one of another machine or container is not judged.

    A process whose end its parent has not asked for yet still counts as living.
    """
    machine, pid = _place(owner)
    # Elsewhere than on POSIX this call ends the process that it asks for.
    if os.name != "posix" or machine != _machine() or not pid.isdecimal():
        return False
    try:
        os.kill(int(pid), 0)
    except ProcessLookupError:
        return True
    except PermissionError:
        return False
    return False


def described(owner: str) -> str:
    """Name an owner for a person."""
    machine, pid = _place(owner)
    if not pid:
        return "another owner"
    here = (machine, pid) == (_machine(), str(os.getpid()))
    return "another session object of this process" if here else f"process {pid} on {machine.rpartition(':')[0]}"


def _place(owner: str) -> tuple[str, str]:
    machine, _, pid = owner.rpartition("/")[0].rpartition("/")
    return machine, pid


def _machine() -> str:
    """Name where a process id means one process: containers may share a host's name, and count for themselves."""
    try:
        space = os.stat("/proc/self/ns/pid").st_ino
    except OSError:
        space = 0
    return f"{socket.gethostname()}:{space}"


class _Forks(Protocol):
    def _before_fork(self) -> None: ...
    def _after_fork(self, in_child: bool) -> None: ...


_stores: WeakSet[_Forks] = WeakSet()
_forking: list[_Forks] = []
_one_fork = threading.Lock()


def mind_forks(store: _Forks) -> None:
    """Call the store's `_before_fork` and `_after_fork` around each fork of this process."""
    _stores.add(store)


def _before_fork() -> None:
    _one_fork.acquire()
    _forking.extend(_stores)
    for store in _forking:
        store._before_fork()


def _after_fork(in_child: bool) -> None:
    for store in _forking:
        store._after_fork(in_child)
    _forking.clear()
    _one_fork.release()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(
        before=_before_fork,
        after_in_parent=lambda: _after_fork(in_child=False),
        after_in_child=lambda: _after_fork(in_child=True),
    )


SEEN = 16_384
"""Items remembered per conversation, for a resume: as many as a reply of 8 MiB can repeat at 512 bytes each."""


@frozen(kw_only=True)
class StoredTokens:
    """A token set as it is kept; `obtained` is a wall-clock time, `ttl` is in seconds, `visitor_id` the service's."""

    access: Secret
    refresh: Secret | None
    generation: int
    ttl: float
    obtained: float
    visitor_id: Secret | None = None


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

    def conversations(self, session_id: str) -> dict[str, StoredConversation]:
        """Give only the conversations of a session, by their ids."""
        ...

    def save_conversation(self, session_id: str, conversation: StoredConversation) -> None:
        """Keep a conversation's state."""

    def journal(self, session_id: str, owner: str, cursor: str | None, waiting: Sequence[Waiting]) -> bool:
        """Keep, in one step, what a poll brought and the cursor that follows it.

        False means that nothing was written: the mail is not this owner's any more.
        """
        ...

    def acknowledge(self, session_id: str, owner: str, conversation_id: str, seq: int, item_id: str, mark: str) -> bool:
        """Cross out an item that the caller is done with, and remember it as seen (of very many the newest).

        False as for `journal`.
        """
        ...

    def delete(self, session_id: str) -> None:
        """Forget a session and its secrets."""

    def acquire(self, session_id: str, right: Right, owner: str, now: float, seconds: float) -> str:
        """Take a right for so many seconds, unless another owner has it; gives the name of who has it then.

        A right is free when it is over, when its owner's process lives no more, and when it ends later than a new one
        would (a clock was set back). Of a session that is not there every right is free.
        """
        ...

    def renew(self, session_id: str, right: Right, owner: str, now: float, seconds: float) -> bool:
        """Hold a right for so many seconds from now; false when another owner took it meanwhile, or gave it back."""
        ...

    def release(self, session_id: str, right: Right, owner: str) -> None:
        """Give a right back."""

    def close(self) -> None:
        """Close what the store holds open."""


class MemoryStore:
    """Keeps sessions as long as the process lives; in a forked child it is empty, for the sessions are the parent's."""

    def __init__(self) -> None:
        self._sessions: dict[str, StoredSession] = {}
        self._seen: dict[str, dict[str, dict[tuple[str, str], None]]] = {}
        self._rights: dict[tuple[str, Right], tuple[str, float]] = {}
        self._lock = threading.RLock()
        mind_forks(self)

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

    def conversations(self, session_id: str) -> dict[str, StoredConversation]:
        """See `Store`."""
        with self._lock:
            session = self._sessions.get(session_id)
            return dict(session.conversations) if session else {}

    def save_conversation(self, session_id: str, conversation: StoredConversation) -> None:
        """See `Store`."""
        with self._lock:
            if session := self._sessions.get(session_id):
                session.conversations[conversation.id] = conversation

    def journal(self, session_id: str, owner: str, cursor: str | None, waiting: Sequence[Waiting]) -> bool:
        """See `Store`."""
        with self._lock:
            if not self._has(session_id, "mail", owner):
                return False
            session = self._sessions[session_id]
            session.waiting.update({item.seq: item for item in waiting})
            self._sessions[session_id] = evolve(session, cursor=cursor)
            return True

    def acknowledge(self, session_id: str, owner: str, conversation_id: str, seq: int, item_id: str, mark: str) -> bool:
        """See `Store`."""
        with self._lock:
            if not self._has(session_id, "mail", owner):
                return False
            self._sessions[session_id].waiting.pop(seq, None)
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
            if holder is not None and not is_free(holder, until, owner, now, seconds):
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

    def _has(self, session_id: str, right: Right, owner: str) -> bool:
        return self._rights.get((session_id, right), ("", 0.0))[0] == owner

    def _before_fork(self) -> None:
        self._lock.acquire()

    def _after_fork(self, in_child: bool) -> None:
        if in_child:
            for kept in (self._sessions, self._seen, self._rights):
                kept.clear()
        self._lock.release()

    def close(self) -> None:
        """See `Store`."""
