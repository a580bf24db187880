"""Who may refresh a session's token, and who may poll it: owners, their rights, and the poll lease of one object.

An owner is one session object of one process. Each right belongs to one owner at a time, as a lease: it ends by itself,
and at once when the owner's process is known to be dead, so that a killed process blocks nobody.

`PollLease` is the right to poll, seen from one session object. It lasts a minute and is renewed with the object's calls
once half of it is over. An object that made no call for longer, while another one took the session up, has lost it and
writes nothing more.

What the store refuses is kept here, in order, and written before anything newer: the chat goes on. Each reader hears of
the failure once, before it gets what a crash would lose.
"""

from __future__ import annotations

import logging
import os
import re
import socket
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING
from uuid import uuid4

from attrs import define, field

from puzzel_chat._errors import SessionInUse, StoreError, twin

if TYPE_CHECKING:
    # The stores import `lease_is_free` from here.
    from puzzel_chat._clock import Clock
    from puzzel_chat._store import Right, Store, StoredConversation, Unread

log = logging.getLogger("puzzel_chat")
LEASE = 60.0
"""Lease in seconds; a dead local owner's lease is void at once."""
RENEW_AGAIN = 5.0
"""Seconds after which a lease that the store did not renew is tried again."""
PATIENCE = 10.0
"""Seconds for which another process may have a store for itself before that counts as a failure."""
_LOST = (
    "Session {0} is no longer polled by this object: it made no call for {1:.0f} s and another one took the session up,"
    " or the session was forgotten. Events that were not handled yet go to the new owner."
)
_SHARED = "Session {0} was taken up without the right to poll (shared=True). Take it up without shared=True to poll it."
_TAKEN = (
    "Session {0} is in use by {1}. Try again once that one is closed or has made no call for {2:.0f} s, or act in the"
    " session without polling it: resume(…, shared=True)."
)
_DAMAGED = (
    "Session {1} is damaged in the store {0}: {2}. Put back a copy of the store, or forget the session: delete({1!r})"
    " of the store does that, and connect() opens a new one."
)
_OWNER = re.compile(r"[^/]{1,300}/[0-9]{1,10}/[0-9a-f]{32}")
_GO_ON = " What came is not lost: call again and the chat goes on, but a crash would lose what could not be written."


def owner_name() -> str:
    """Return the name of a new owner: machine and process namespace, process id, and a random part."""
    return f"{_machine()}/{os.getpid()}/{uuid4().hex}"


def lease_is_free(holder: str | None, until: float, owner: str, now: float, seconds: float) -> bool:
    """Return whether `owner` may take a right for so many seconds; for a store of your own.

    `holder` is who has it and `until` when its lease ends; that and `now` are in seconds since the epoch.
    """
    # Two owners may read the clock in one order and arrive in the other, so a lease may look longer than it is.
    return holder is None or holder == owner or not now < until <= now + 2 * seconds or is_gone(holder)


def is_gone(owner: str) -> bool:
    """Return whether the owner's process is certainly dead; of another machine or container that is never certain.

    A zombie still counts as alive.
    """
    machine, pid = _place(owner)
    # Elsewhere than on POSIX, os.kill ends the process that it asks for.
    if os.name != "posix" or machine != _machine() or not pid.isdecimal():
        return False
    try:
        os.kill(int(pid), 0)
    except (ProcessLookupError, OverflowError):
        return True
    except PermissionError:
        return False
    return False


def described(owner: str) -> str:
    """Return an owner's name for people."""
    machine, pid = _place(owner)
    if not _OWNER.fullmatch(owner):
        return "another owner"
    here = (machine, pid) == (_machine(), str(os.getpid()))
    return "another session object of this process" if here else f"process {pid} on {machine.rpartition(':')[0]}"


def _place(owner: str) -> tuple[str, str]:
    machine, _, pid = owner.rpartition("/")[0].rpartition("/")
    return machine, pid


def _machine() -> str:
    # Containers may share a host's name and each count their processes from 1.
    try:
        space = os.stat("/proc/self/ns/pid").st_ino
    except OSError:
        space = 0
    return f"{socket.gethostname()}:{space}"


def damaged(store: Store, session_id: str, wrong: str) -> StoreError:
    """Return the error for what a store gave and nobody can use; `wrong` says what, without any value."""
    path = getattr(store, "path", None)
    return StoreError(_DAMAGED.format(path if isinstance(path, Path) else type(store).__name__, session_id, wrong))


def acquired(store: Store, session_id: str, right: Right, owner: str, now: float, seconds: float) -> str:
    """Take a right; return the name of its owner. Raises `StoreError`."""
    holder: object = store.acquire(session_id, right, owner, now, seconds)
    if not isinstance(holder, str):
        raise damaged(store, session_id, f"acquire gave {type(holder).__name__} in place of an owner's name")
    return holder


@define
class PollLease:
    """The right to poll one session, as one session object has it or not."""

    session_id: str
    store: Store
    clock: Clock
    owner: str = field(factory=owner_name)
    mine: bool = False
    _until: float = field(default=0.0, init=False)
    _refusal: str = field(default=_SHARED, init=False)
    unwritten: list[Callable[[], bool]] = field(factory=list, init=False)
    _failure: StoreError | None = field(default=None, init=False)
    _failing_since: float = field(default=0.0, init=False)
    _told: frozenset[str] = field(default=frozenset(), init=False)

    def take(self) -> None:
        """Become the owner; raises `SessionInUse` when another object is, and `StoreError`."""
        now = self.clock.now().wall
        holder = acquired(self.store, self.session_id, "poll", self.owner, now, LEASE)
        if holder != self.owner:
            raise SessionInUse(_TAKEN.format(self.session_id, described(holder), LEASE))
        self.mine, self._until = True, now + LEASE

    def hold(self) -> None:
        """Renew the lease when that is due; raises `SessionInUse` unless it is ours."""
        self.keep()
        if not self.mine:
            raise SessionInUse(self._refusal.format(self.session_id, LEASE))

    def keep(self) -> None:
        """Renew the lease when half of it is over, or when the clock was set."""
        now = self.clock.now().wall
        if not self.mine or LEASE / 2 < self._until - now <= LEASE:
            return
        try:
            self.renewed()
        except StoreError as error:
            # A store that fails gives the lease to nobody else either, for the present.
            log.debug("session %s could not renew its poll lease: %s", self.session_id, type(error).__name__)
            self._until = now + LEASE / 2 + RENEW_AGAIN
        else:
            self._until = now + LEASE

    def renewed(self) -> bool:
        """Renew the lease now; return whether it is still ours. Raises `StoreError`."""
        if self.mine and not self.store.renew(self.session_id, "poll", self.owner, self.clock.now().wall, LEASE):
            self._lost()
        return self.mine

    def give_back(self) -> None:
        """Let another object take the lease; raises `StoreError`."""
        if self.mine:
            self.mine = False
            self.store.release(self.session_id, "poll", self.owner)

    def journal(self, cursor: str | None, unread: Sequence[Unread]) -> None:
        """Write down what a poll brought; raises `SessionInUse` when the lease is another's by now."""
        self.unwritten.append(partial(self.store.journal, self.session_id, self.owner, cursor, unread))
        self.catch_up()

    def acknowledge(self, conversation_id: str, seq: int, item_id: str, mark: str) -> None:
        """Cross out what the caller has handled; raises as `journal`."""
        done = (self.session_id, self.owner, conversation_id, seq, item_id, mark)
        self.unwritten.append(partial(self.store.acknowledge, *done))
        self.catch_up()

    def note(self, conversation: StoredConversation) -> None:
        """Write down how far a conversation has come; raises as `journal`."""

        def save() -> bool:
            self.store.save_conversation(self.session_id, conversation)
            return True

        self.unwritten.append(save)
        self.catch_up()

    def catch_up(self) -> None:
        """Write what is not written yet, in order; raises as `journal`. A failure of the store is kept for `tell`."""
        try:
            while self.unwritten:
                if not self.unwritten[0]():
                    self._lost()
                    self.hold()
                del self.unwritten[0]
        except StoreError as error:
            if self._failure is None:
                log.warning("session %s goes on without its store: %s", self.session_id, error)
                self._failing_since = self.clock.monotonic()
            self._failure = StoreError(f"{error}{_GO_ON}")
            self._failure.retryable = error.retryable
        else:
            self._failure = None
            self._told = frozenset()

    @property
    def waits(self) -> bool:
        """Whether something is not written yet only because another process has the store, and not for long."""
        failure = self._failure
        return failure is not None and failure.retryable and self.clock.monotonic() < self._failing_since + PATIENCE

    def tell(self, reader: str) -> None:
        """Raise `StoreError` while the store fails, once for each reader."""
        if self._failure is not None and reader not in self._told and not self.waits:
            self._told |= {reader}
            raise twin(self._failure)

    def _lost(self) -> None:
        log.warning("session %s lost its poll lease to another owner", self.session_id)
        self.mine, self._refusal = False, _LOST
        self.unwritten.clear()
