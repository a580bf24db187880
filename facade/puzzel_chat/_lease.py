"""The right to poll one session, as one session object has it: a lease that is renewed with the object's calls.

It is renewed once half of it is over. An object that made no call for longer, while another one took the session up,
has lost it and writes nothing more.

What the store refuses is kept here, in order, and written before anything newer: the chat goes on. Each reader hears of
the failure once, before it gets what a crash would lose. Where others may reach the store while we cannot
(`Store.remote`), the chat goes on only as long as the lease certainly lasts; then nothing is polled or handed out.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Sequence
from pathlib import Path

from attrs import define, field

from puzzel_chat._errors import SessionInUse, StoreError, twin
from puzzel_chat._owners import described, owner_name
from puzzel_chat._steps import LOOK_AGAIN, Flag, Keep, Parts, Steps, Wait, kept
from puzzel_chat._store import PATIENCE, AsyncStore, Right, Store, StoredConversation, StoredSession, Unread

log = logging.getLogger("puzzel_chat")
LEASE = 60.0
"""Lease in seconds, unless the store has its own; a dead local owner's lease is void at once."""
RENEW_AGAIN = 5.0
"""Seconds after which a lease that the store did not renew is tried again, at most."""
MARGIN = 2.0
"""Seconds before its end at which a lease that cannot be renewed counts as over, for clocks differ; a fifth at most."""
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
_GO_ON = " What came is not lost: call again and the chat goes on, but a crash would lose what could not be written."


_IN_DOUBT = (
    "The store cannot be reached, and the right to poll session {0} may be another's by now. Nothing is polled or"
    " handed out until the store answers again."
)


def damaged(store: Store | AsyncStore, session_id: str, wrong: str) -> StoreError:
    """Return the error for what a store gave and nobody can use; `wrong` says what, without any value."""
    path = getattr(store, "path", None)
    return StoreError(_DAMAGED.format(path if isinstance(path, Path) else type(store).__name__, session_id, wrong))


def acquired(parts: Parts, session_id: str, right: Right, owner: str, now: float, seconds: float) -> Steps[str]:
    """Take a right; return the name of its owner. Raises `StoreError`."""
    holder: object = yield from kept(Store.acquire, session_id, right, owner, now, seconds)
    if not isinstance(holder, str):
        raise damaged(parts.store, session_id, f"acquire gave {type(holder).__name__} in place of an owner's name")
    return holder


def lease_of(store: Store | AsyncStore) -> float:
    """Return the length of a store's leases in seconds."""
    return float(getattr(store, "lease", LEASE))


def is_remote(store: Store | AsyncStore) -> bool:
    """Return whether others may reach the store while this process cannot."""
    return bool(getattr(store, "remote", False))


@define
class PollLease:
    """The right to poll one session, as one session object has it or not.

    `snapshot` gives the session as it is here, for a store that has lost its last writes.
    """

    session_id: str
    parts: Parts
    owner: str = field(factory=owner_name)
    mine: bool = False
    snapshot: Callable[[], StoredSession] | None = None
    unwritten: list[Keep] = field(factory=list, init=False)
    seconds: float = field(default=LEASE, init=False)
    _remote: bool = field(default=False, init=False)
    _margin: float = field(default=MARGIN, init=False)
    _until: float = field(default=0.0, init=False)
    _renew_at: float = field(default=0.0, init=False)
    _epoch: object = field(default=None, init=False)
    _refusal: str = field(default=_SHARED, init=False)
    _writer: object = field(default=None, init=False)
    _written: Flag | None = field(default=None, init=False)
    _failure: StoreError | None = field(default=None, init=False)
    _failing_since: float = field(default=0.0, init=False)
    _told: frozenset[str] = field(default=frozenset(), init=False)

    def __attrs_post_init__(self) -> None:
        self.seconds = lease_of(self.parts.store)
        self._remote = is_remote(self.parts.store)
        self._margin = min(MARGIN, self.seconds / 5)

    def take(self) -> Steps[None]:
        """Become the owner; raises `SessionInUse` when another object is, and `StoreError`."""
        now = self._now()
        holder = yield from acquired(self.parts, self.session_id, "poll", self.owner, now, self.seconds)
        if holder != self.owner:
            raise SessionInUse(_TAKEN.format(self.session_id, described(holder), self.seconds))
        self.mine = True
        self._granted(now)

    def hold(self) -> Steps[None]:
        """Renew the lease when that is due; raises `SessionInUse` unless it is ours, `StoreError` while in doubt."""
        yield from self.keep()
        self.check()
        if self.in_doubt:
            doubt = StoreError(_IN_DOUBT.format(self.session_id))
            doubt.retryable = True
            raise doubt

    def check(self) -> None:
        """Raise `SessionInUse` unless the lease is ours, as far as is known here."""
        if not self.mine:
            raise SessionInUse(self._refusal.format(self.session_id, self.seconds))

    @property
    def in_doubt(self) -> bool:
        """Whether another may have the lease, because a store that others reach could not be asked."""
        return self.mine and self._remote and self._now() >= self._until - self._margin

    def due(self, share: float = 0.5) -> bool:
        """Whether that share of the lease is over, the clock was set back, or the store may have lost what it had."""
        if not self.mine:
            return False
        now = self.parts.clock.now().wall
        early = (share - 0.5) * self.seconds
        return not self._until - self.seconds <= now < self._renew_at + early or self._epoch != self._present_epoch

    def keep(self, share: float = 0.5) -> Steps[None]:
        """Renew the lease when it is `due` after that share of it."""
        if not self.due(share):
            return
        try:
            yield from self.renewed()
        except StoreError as error:
            log.debug("session %s could not renew its poll lease: %s", self.session_id, type(error).__name__)
            now = self._now()
            if self._remote:
                again = now + self.seconds * (1 / 12 + 0.5 - share)
                self._renew_at = min(again, self._until - self._margin)
            else:
                # A store that fails gives the lease to nobody else either, for the present.
                self._renew_at, self._until = now + RENEW_AGAIN, now + RENEW_AGAIN + self.seconds / 2

    def renewed(self) -> Steps[bool]:
        """Renew the lease now; return whether it is still ours. Raises `StoreError`."""
        if not self.mine:
            return False
        now, epoch = self._now(), self._present_epoch
        surely_ours = now < self._until - self._margin
        ours = yield from kept(Store.renew, self.session_id, "poll", self.owner, now, self.seconds)
        if epoch != self._epoch if ours else surely_ours:
            ours = (yield from self._put_back(now)) or ours
        if ours:
            self._granted(now)
            self._epoch = epoch
        elif self.mine:
            self._lost()
        return self.mine

    def give_back(self) -> Steps[None]:
        """Let another object take the lease; raises `StoreError`."""
        if self.mine:
            self.mine = False
            yield from self.release()

    def distrust(self) -> None:
        """Have the whole session written again with the next renewal, for the store lacks something."""
        self._epoch = object()

    def let_run_out(self) -> None:
        """Renew it no longer, and do not give it back either: nobody has it until it is over."""
        self.mine = False
        self.unwritten.clear()

    def release(self) -> Steps[None]:
        """Tell the store that this owner does not have the lease; raises `StoreError`."""
        yield from kept(Store.release, self.session_id, "poll", self.owner)

    def journal(self, cursor: str | None, unread: Sequence[Unread]) -> None:
        """Have written down what a poll brought, with the next `catch_up`."""
        self.unwritten.append(Keep("journal", (self.session_id, self.owner, cursor, unread)))

    def acknowledge(self, conversation_id: str, seq: int, item_id: str, mark: str) -> None:
        """Have crossed out what the caller has handled, with the next `catch_up`."""
        done = (self.session_id, self.owner, conversation_id, seq, item_id, mark)
        self.unwritten.append(Keep("acknowledge", done))

    def note(self, conversation: StoredConversation) -> None:
        """Have written down how far a conversation has come, with the next `catch_up`."""
        self.unwritten.append(Keep("save_conversation", (self.session_id, conversation)))

    def catch_up(self) -> Steps[None]:
        """Write what is not written yet, in order. A failure of the store is kept for `tell`.

        Raises `SessionInUse` when the lease is another's by now.
        """
        caller = self.parts.caller()
        while self._writer not in (None, caller) and self.unwritten:
            yield Wait(self._written, LOOK_AGAIN)
        if not self.unwritten:
            return
        outermost = self._writer is None
        try:
            if outermost:
                self._writer, self._written = caller, self.parts.flag()
            yield from self._write()
        except StoreError as error:
            self._failed(error)
        else:
            self._failure = None
            self._told = frozenset()
        finally:
            if outermost and self._written is not None:
                self._writer = None
                self._written.set()

    @property
    def waits(self) -> bool:
        """Whether something is not written yet only because the store cannot be had just now, and not for long."""
        failure = self._failure
        return (
            failure is not None and failure.retryable and self.parts.clock.monotonic() < self._failing_since + PATIENCE
        )

    @property
    def held_up(self) -> bool:
        """Whether nothing may be handed out at present: a little later it is written, or the lease is certain again.

        What others may poll again once the lease is over is not handed out before it is written.
        """
        away = self._failure is not None and self._failure.retryable and self._remote
        return (bool(self.unwritten) and (away or self.waits)) or self.in_doubt

    def tell(self, reader: str) -> None:
        """Raise `StoreError` while the store fails, once for each reader."""
        if self._failure is not None and reader not in self._told and not self.waits:
            self._told |= {reader}
            raise twin(self._failure)

    def _write(self) -> Steps[None]:
        again: Keep | None = None
        while self.unwritten:
            write = self.unwritten[0]
            done: object = yield write
            if not done and write.method != "save_conversation":
                if write is again or not (yield from self.renewed()):
                    self._lost()
                    self.check()
                again = write  # the store had forgotten the session, and has it again
                continue
            # A signal's handler may have written it meanwhile.
            if self.unwritten and self.unwritten[0] is write:
                del self.unwritten[0]

    def _failed(self, error: StoreError) -> None:
        if self._failure is None:
            log.warning("session %s goes on without its store: %s", self.session_id, error)
            self._failing_since = self.parts.clock.monotonic()
        self._failure = StoreError(f"{error}{_GO_ON}")
        self._failure.retryable = error.retryable

    def _put_back(self, now: float) -> Steps[bool]:
        """Write the session as it is here into a store that has lost its last writes; return whether it did."""
        store = self.parts.store
        if self.snapshot is None or not hasattr(store, "put_back"):
            return False
        put_back: bool = yield Keep("put_back", (self.snapshot(), self.owner, now, self.seconds))
        return put_back

    def _granted(self, now: float) -> None:
        self._until, self._renew_at = now + self.seconds, now + self.seconds / 2
        if self._epoch is None:
            self._epoch = self._present_epoch

    @property
    def _present_epoch(self) -> object:
        return getattr(self.parts.store, "epoch", None)

    def _now(self) -> float:
        return self.parts.clock.now().wall

    def _lost(self) -> None:
        if not self.mine:
            return
        log.warning("session %s lost its poll lease to another owner", self.session_id)
        self.mine, self._refusal = False, _LOST
        self.unwritten.clear()
