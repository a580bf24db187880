"""The mail of one session as the store knows it: whose it is, and what was received and not yet handled.

One owner at a time polls a session and takes what comes. Its right lasts a minute and is renewed with its calls when
half of that is over; one that lost it, because it slept longer and another took the session up, writes nothing more.

What the store does not take is kept here, in order, and tried again with the next write: the chat goes on. Whoever
takes the mail is told once, before anything that a crash would lose.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Sequence
from functools import partial

from attrs import define, field

from puzzel_chat._clock import Clock
from puzzel_chat._errors import SessionInUse, StoreError, twin
from puzzel_chat._store import Store, StoredConversation, Waiting, described, owner_name

log = logging.getLogger("puzzel_chat")
LEASE = 60.0
"""Seconds for which the mail is an owner's, unless renewed; one killed on this machine is not waited for."""
_LOST = (
    "The mail of session {0} is not this object's any more: it made no call for {1:.0f} s and another one took the"
    " session up, or the session was forgotten. What is not handled yet comes to the new owner."
)
_SHARED = "Session {0} was taken up without its mail (shared=True). Take it up without shared=True to poll it."
_TAKEN = (
    "Session {0} is in use by {1}. Try again when that one is closed, or has made no call for {2:.0f} s; to act in the"
    " session without taking its mail: resume(…, shared=True)."
)
_GO_ON = " What came is not lost: call again and the chat goes on, but a crash would lose what could not be written."


@define
class Mail:
    """One session object's side of the mail."""

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
        """Become the owner; raises `SessionInUse` when another one is, `StoreError`."""
        now = self.clock.now().wall
        holder = self.store.acquire(self.session_id, "mail", self.owner, now, LEASE)
        if holder != self.owner:
            raise SessionInUse(_TAKEN.format(self.session_id, described(holder), LEASE))
        self.mine, self._until = True, now + LEASE

    def check(self) -> None:
        """Raise `SessionInUse` unless the mail is ours."""
        if not self.mine:
            raise SessionInUse(self._refusal.format(self.session_id, LEASE))

    def keep(self) -> None:
        """Renew our right when half of it is over, or a clock was set."""
        now = self.clock.now().wall
        if not self.mine or LEASE / 2 < self._until - now <= LEASE:
            return
        try:
            self.renewed()
        except StoreError as error:
            # A store that cannot be asked gives the mail to nobody else either.
            log.debug("session %s could not renew its right to the mail: %s", self.session_id, type(error).__name__)
        self._until = now + LEASE

    def renewed(self) -> bool:
        """Hold our right for another minute; false when there is none any more. Raises `StoreError`."""
        if self.mine and not self.store.renew(self.session_id, "mail", self.owner, self.clock.now().wall, LEASE):
            self._lost()
        return self.mine

    def give_back(self) -> None:
        """Let another one take the mail; raises `StoreError`."""
        if self.mine:
            self.mine = False
            self.store.release(self.session_id, "mail", self.owner)

    def journal(self, cursor: str | None, waiting: Sequence[Waiting]) -> None:
        """Write down what a poll brought; raises `SessionInUse` when the mail is another's by now."""
        self._unwritten.append(partial(self.store.journal, self.session_id, self.owner, cursor, waiting))
        self.catch_up()

    def acknowledge(self, conversation_id: str, seq: int, item_id: str, mark: str) -> None:
        """Cross out what the caller is done with; raises as `journal`."""
        done = (self.session_id, self.owner, conversation_id, seq, item_id, mark)
        self._unwritten.append(partial(self.store.acknowledge, *done))
        self.catch_up()

    def finished(self, conversation: StoredConversation) -> None:
        """Keep that the caller saw a chat's end; raises as `journal`."""

        def save() -> bool:
            self.store.save_conversation(self.session_id, conversation)
            return True

        self._unwritten.append(save)
        self.catch_up()

    def catch_up(self) -> None:
        """Write what is not written yet, in its order; raises as `journal`, and notes that the store fails."""
        try:
            while self._unwritten:
                if not self._unwritten[0]():
                    self._lost()
                    self.check()
                del self._unwritten[0]
        except StoreError as error:
            if self._failure is None:
                log.warning("session %s goes on without its store: %s", self.session_id, error)
                self._failure = StoreError(f"{error}{_GO_ON}")
        else:
            self._failure = None
            self._told = frozenset()

    def tell(self, reader: str) -> None:
        """Raise `StoreError` while the store does not take what came, once for each reader."""
        if self._failure is not None and reader not in self._told:
            self._told |= {reader}
            raise twin(self._failure)

    def _lost(self) -> None:
        log.warning("session %s lost its mail to another owner", self.session_id)
        self.mine, self._refusal = False, _LOST
        self._unwritten.clear()
