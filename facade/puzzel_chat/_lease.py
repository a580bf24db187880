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
import socket
from collections.abc import Callable, Sequence
from functools import partial
from typing import TYPE_CHECKING
from uuid import uuid4

from attrs import define, field

from puzzel_chat._errors import SessionInUse, StoreError, twin

if TYPE_CHECKING:
    # The stores import `is_free` from here.
    from puzzel_chat._clock import Clock
    from puzzel_chat._store import Store, StoredConversation, Unread

log = logging.getLogger("puzzel_chat")
LEASE = 60.0
"""Lease in seconds; a dead local owner's lease is void at once."""
_LOST = (
    "Session {0} is no longer polled by this object: it made no call for {1:.0f} s and another one took the session up,"
    " or the session was forgotten. Events that were not handled yet go to the new owner."
)
_SHARED = "Session {0} was taken up without the right to poll (shared=True). Take it up without shared=True to poll it."
_TAKEN = (
    "Session {0} is in use by {1}. Try again once that one is closed or has made no call for {2:.0f} s, or act in the"
    " session without polling it: resume(…, shared=True)."
)
_GO_ON = " What came is not lost: call again and the chat goes on, but a crash would lose what could not be written."


def owner_name() -> str:
    """Return the name of a new owner: machine and process namespace, process id, and a random part."""
    return f"{_machine()}/{os.getpid()}/{uuid4().hex}"


def is_free(holder: str | None, until: float, owner: str, now: float, seconds: float) -> bool:
    """Return whether `owner` may take a right that `holder` has until then (seconds since the epoch)."""
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
    except ProcessLookupError:
        return True
    except PermissionError:
        return False
    return False


def described(owner: str) -> str:
    """Return an owner's name for people."""
    machine, pid = _place(owner)
    if not pid:
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
    _unwritten: list[Callable[[], bool]] = field(factory=list, init=False)
    _failure: StoreError | None = field(default=None, init=False)
    _told: frozenset[str] = field(default=frozenset(), init=False)

    def take(self) -> None:
        """Become the owner; raises `SessionInUse` when another object is, and `StoreError`."""
        now = self.clock.now().wall
        holder = self.store.acquire(self.session_id, "poll", self.owner, now, LEASE)
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
            # A store that fails gives the lease to nobody else either.
            log.debug("session %s could not renew its poll lease: %s", self.session_id, type(error).__name__)
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
        self._unwritten.append(partial(self.store.journal, self.session_id, self.owner, cursor, unread))
        self.catch_up()

    def acknowledge(self, conversation_id: str, seq: int, item_id: str, mark: str) -> None:
        """Cross out what the caller has handled; raises as `journal`."""
        done = (self.session_id, self.owner, conversation_id, seq, item_id, mark)
        self._unwritten.append(partial(self.store.acknowledge, *done))
        self.catch_up()

    def finished(self, conversation: StoredConversation) -> None:
        """Write down that the caller has had the end of a conversation; raises as `journal`."""

        def save() -> bool:
            self.store.save_conversation(self.session_id, conversation)
            return True

        self._unwritten.append(save)
        self.catch_up()

    def catch_up(self) -> None:
        """Write what is not written yet, in order; raises as `journal`. A failure of the store is kept for `tell`."""
        try:
            while self._unwritten:
                if not self._unwritten[0]():
                    self._lost()
                    self.hold()
                del self._unwritten[0]
        except StoreError as error:
            if self._failure is None:
                log.warning("session %s goes on without its store: %s", self.session_id, error)
                self._failure = StoreError(f"{error}{_GO_ON}")
        else:
            self._failure = None
            self._told = frozenset()

    def tell(self, reader: str) -> None:
        """Raise `StoreError` while the store fails, once for each reader."""
        if self._failure is not None and reader not in self._told:
            self._told |= {reader}
            raise twin(self._failure)

    def _lost(self) -> None:
        log.warning("session %s lost its poll lease to another owner", self.session_id)
        self.mine, self._refusal = False, _LOST
        self._unwritten.clear()
