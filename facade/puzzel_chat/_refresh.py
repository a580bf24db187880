"""The token of one session, kept fresh: one refresh at a time, which no caller can cancel.

    acquire the right ──► newer in the store? ──► post ──► write to the store ──► into memory ──► callers wake

So no two processes refresh at once, and no caller acts on a token that a killed process would take with it. What is
left is the moment between the service's rotation and our write: a process killed there leaves a spent refresh token in
the store. The next process takes over at once on the same machine, on another when the lease is over, and goes on only
if the service forgives the reuse.
"""

from __future__ import annotations

import logging
from collections.abc import Callable
from functools import partial
from math import inf
from typing import Protocol
from weakref import WeakSet

from attrs import Factory, define, evolve, field

from puzzel_chat._errors import PuzzelChatError, SessionExpired, StoreError
from puzzel_chat._fork import in_child
from puzzel_chat._http import Reply, Request
from puzzel_chat._lease import acquired, damaged, is_remote
from puzzel_chat._observing import RefreshEnded
from puzzel_chat._owners import owner_name
from puzzel_chat._retry import late, within
from puzzel_chat._steps import (
    LOOK_AGAIN,
    Flag,
    Parts,
    Send,
    Sleep,
    Start,
    Steps,
    Stop,
    Wait,
    followed,
    kept,
    patiently,
)
from puzzel_chat._store import PATIENCE, AsyncStore, Store
from puzzel_chat._tokens import Now, Step, TokenLife, TokenSet, damage, refresh_fields, resend
from puzzel_chat._wire.operations import TOKEN, token_request
from puzzel_chat._wire.refusals import error_for, refresh_error, suspected
from puzzel_chat._wire.replies import grant

log = logging.getLogger("puzzel_chat")
TRY_WITHIN = 30.0
"""Seconds for one try of a refresh, whatever the timeout; the lease outlasts it and the write after it."""
LEASE = 40.0
"""Seconds after which another process may refresh in the place of one that died while refreshing."""
RESEND_AFTER = 0.5
"""Seconds before a refresh without an answer is sent again."""
_STARTS = (Step.USE_AND_START, Step.START_AND_WAIT)


def checked_tokens(store: Store | AsyncStore, session_id: str, found: object) -> TokenSet:
    """Return the tokens that a store gave; raises `StoreError` for those that nobody can use."""
    wrong = damage(found)
    if wrong is not None or not isinstance(found, TokenSet):
        del found  # it may be a token that does not hide itself in a traceback
        raise damaged(store, session_id, wrong or "its tokens are missing")
    return found if isinstance(found.visitor_id, str | None) else evolve(found, visitor_id=None)


def stored_tokens(parts: Parts, session_id: str) -> Steps[TokenSet | None]:
    """Return the tokens that a store has of a session; raises `StoreError` as `checked_tokens`."""
    found: object = yield from kept(Store.tokens, session_id)
    try:
        return None if found is None else checked_tokens(parts.store, session_id, found)
    finally:
        del found  # as in `checked_tokens`


class Turns(Protocol):
    """Where the sessions of a polling loop take turns with refreshes that can wait; times are monotonic seconds."""

    def may_refresh(self, now: float) -> bool:
        """Return whether one more session may refresh now."""
        ...

    def told(self, now: float, error: BaseException | None) -> None:
        """Learn from a refresh that failed."""


@define(eq=False)
class Keeper:
    """Gives every caller of a session a token that the service accepts; `redirected` has the operations that moved.

    `behind` is called when the store did not get the newest token.
    """

    session_id: str
    parts: Parts
    life: TokenLife
    turns: Turns | None = None
    flight: Refresh | None = None
    redirected: set[str] = field(factory=set)
    behind: Callable[[], None] | None = None

    def current(self, by: float = inf) -> Steps[TokenSet]:
        """Return a usable token set; wait for a refresh when there must be one, until that monotonic time."""
        while True:
            step = yield from self._decide(self.life.step)
            if step is Step.USE_AND_START and self.turns is not None:
                step = step if self.turns.may_refresh(self.parts.clock.monotonic()) else Step.USE
            if step in _STARTS:
                yield from self._begin()
            present = self.life.tokens
            if step in (Step.USE, Step.USE_AND_START):
                return present
            yield from self._landing(by)
            # One that took longer than a token lives is used all the same: the service judges it, not our clock.
            if self.life.tokens.generation > present.generation:
                return self.life.tokens

    def renewed(self, generation: int, by: float = inf) -> Steps[TokenSet]:
        """Return a token set newer than that generation, which the service has refused."""
        step = yield from self._decide(partial(self.life.refused, generation))
        if step in _STARTS:
            yield from self._begin()
        if step is not Step.USE:
            yield from self._landing(by)
            self.life.newer_than(generation)
        # The newer one may have died as well, when the machine stalled meanwhile.
        return (yield from self.current(by))

    def close(self, by: float) -> Steps[None]:
        """Let a refresh under way land and be stored, until that monotonic time, so that its token is not lost.

        One that takes longer is not waited for again, neither by a second close nor by the exit.
        """
        flight, self.flight = self.flight, None
        if flight is None or flight.landed.is_set():
            return
        flight.awaited = False
        try:
            yield Wait(flight.landed, max(0.0, by - self.parts.clock.monotonic()))
        except GeneratorExit:
            raise
        except BaseException:
            yield Stop()
            raise
        yield Stop()

    def _decide(self, decide: Callable[[Now], Step]) -> Steps[Step]:
        try:
            return decide(self.parts.clock.now())
        except PuzzelChatError:
            # A refresh that failed here may have worked in another process meanwhile.
            if not (yield from self._learned()):
                raise
            return decide(self.parts.clock.now())

    def _begin(self) -> Steps[None]:
        self.life.started()
        self.flight = flight = Refresh.begun(self, owner_name())
        FLIGHTS.add(flight)
        try:
            yield Start(flight.fly())
        except BaseException as error:
            flight.ended(error)
            # No thread can be started while the interpreter shuts down; the token may still be good.
            if not isinstance(error, RuntimeError):
                raise

    def _landing(self, by: float) -> Steps[None]:
        if self.flight is None:
            return
        identity = self.parts.settings.address("identity")
        landed: bool = yield Wait(self.flight.landed, within(by, self.parts.clock.monotonic(), identity))
        if not landed:
            raise late(identity)

    def _learned(self) -> Steps[bool]:
        """Take over what another process has done with the session's token; return whether that was anything."""
        if self.life.dead is not None:
            return False
        try:
            newer = yield from self.newer_in_store(self.life.tokens)
        except SessionExpired as over:
            self.life.failed(over, self.parts.clock.now())
            return True
        except StoreError:
            return False
        if newer is not None:
            self.adopt(newer, self.parts.clock.now())
        return newer is not None

    def newer_in_store(self, present: TokenSet) -> Steps[TokenSet | None]:
        """Return the tokens of another process when they are newer; raises `SessionExpired` when it found none."""
        stored = yield from stored_tokens(self.parts, self.session_id)
        if stored is None or stored.generation <= present.generation:
            return None
        if stored.refresh is None and present.refresh is not None:
            raise SessionExpired(
                "Another process found that the service no longer accepts this session's refresh token."
                " Open a new session with connect()."
            )
        return stored

    def adopt(self, tokens: TokenSet, asked: Now) -> None:
        """Put newer tokens in the place of the present ones; `asked` is a moment on both clocks to judge their age."""
        self.life.succeeded(tokens, asked, self.parts.clock.uniform(0, 1))
        self.parts.watch.tell(
            RefreshEnded(session_id=self.session_id, generation=self.life.tokens.generation, error=None)
        )


@define(eq=False)
class Refresh:
    """One refresh from its beginning to its end."""

    keeper: Keeper
    owner: str
    present: TokenSet
    asked: Now
    landed: Flag
    awaited: bool = field(default=True, init=False)
    _settled: bool = field(default=False, init=False)
    _began: float = field(default=Factory(lambda self: self.asked.monotonic, takes_self=True), init=False)

    @classmethod
    def begun(cls, keeper: Keeper, owner: str) -> Refresh:
        """Begin with the tokens of now."""
        return cls(keeper, owner, keeper.life.tokens, keeper.parts.clock.now(), keeper.parts.flag())

    def fly(self) -> Steps[None]:
        """Refresh; the outcome goes into the store, then into memory, and then the callers wake."""
        if self.landed.is_set():
            return  # an interrupt that struck while the thread was started has called it off
        came: TokenSet | Exception = PuzzelChatError("The refresh was stopped with the event loop.")
        try:
            came = yield from self._outcome()
            # Another process may have the store just now, and this token is the only one that works.
            # Nobody else sends the token that is spent by now as long as the right to refresh is ours.
            patience = LEASE - TRY_WITHIN / 2 if self._remote else PATIENCE
            yield from patiently(partial(self.settle, came, patient=True), self.keeper.parts.clock, patience)
        except StoreError as error:
            self._unsettled(error)
        except GeneratorExit:
            raise
        except BaseException:
            yield from self.settle(came)
            raise
        finally:
            self.ended(came)

    def ended(self, came: TokenSet | BaseException) -> None:
        """Put the new tokens in the place of the old, or count a failure; after a refusal nothing is sent again."""
        keeper = self.keeper
        if isinstance(came, TokenSet):
            keeper.adopt(came, self.asked)
        else:
            known = came
            if not isinstance(known, PuzzelChatError):
                known = PuzzelChatError(f"The refresh failed: {type(came).__name__}.")
            now = keeper.parts.clock.now()
            keeper.life.failed(known, now, counts=isinstance(came, Exception))
            log.warning("session %s could not refresh its token: %s", keeper.session_id, type(came).__name__)
            failed = RefreshEnded(
                session_id=keeper.session_id, generation=keeper.life.tokens.generation, error=type(came).__name__
            )
            keeper.parts.watch.tell(failed)
            if keeper.turns is not None:
                keeper.turns.told(now.monotonic, came)
        self.landed.set()

    def _outcome(self) -> Steps[TokenSet | Exception]:
        try:
            return (yield from self._stored_if_newer()) or (yield from self._rotated())
        except Exception as error:
            return error

    def _stored_if_newer(self) -> Steps[TokenSet | None]:
        while not (yield from self.acquire()):
            if newer := (yield from self.newer_in_store()):
                return newer
            yield Sleep(LOOK_AGAIN)
        return (yield from self.newer_in_store())

    def _rotated(self) -> Steps[TokenSet]:
        request, clock = self.request(), self.keeper.parts.clock
        while True:
            try:
                by = clock.monotonic() + TRY_WITHIN
                sent = Send(request, None, TRY_WITHIN, self.keeper.session_id)
                reply: Reply = yield sent
                _, reply = yield from followed(sent, reply, clock, by, self.keeper.redirected)
                return (yield from self.granted(reply))
            except PuzzelChatError as error:
                if not (yield from self.again(error)):
                    raise
                request = self._sent_again(request, error)
            yield Sleep(RESEND_AFTER)

    def _sent_again(self, request: Request, error: PuzzelChatError) -> Request:
        again = evolve(request, attempt=request.attempt + 1)
        self.keeper.parts.watch.retried(again, error, RESEND_AFTER, self.keeper.session_id)
        return again

    def acquire(self) -> Steps[bool]:
        """Take the right to refresh before any other process; false means: wait and try again."""
        keeper, now = self.keeper, self.keeper.parts.clock.now().wall
        try:
            return (
                yield from acquired(keeper.parts, keeper.session_id, "refresh", self.owner, now, LEASE)
            ) == self.owner
        except StoreError as error:
            if error.retryable and keeper.parts.clock.monotonic() < self._began + PATIENCE:
                return False
            if self._remote:
                raise  # others may reach the store, and refresh as well
            # A full disk must not end the chat when its token does; others cannot take the right there either.
            log.warning("session %s refreshes without its store: %s", keeper.session_id, type(error).__name__)
            return True

    def newer_in_store(self) -> Steps[TokenSet | None]:
        """Return the tokens when another process has refreshed them meanwhile.

        Raises `SessionExpired` when that process found the session dead.
        """
        try:
            newer = yield from self.keeper.newer_in_store(self.present)
        except StoreError:
            return None
        if newer is not None:
            self.asked = self.keeper.parts.clock.now()
        return newer

    def request(self) -> Request:
        """Return the request; the moment before it counts as the one when the new token was obtained."""
        self.asked = self.keeper.parts.clock.now()
        return token_request(refresh_fields(self.keeper.parts.settings, self.present.refresh or ""))

    def again(self, error: PuzzelChatError) -> Steps[bool]:
        """Return whether to send the same request again; that keeps the right to it for as long as it may take."""
        return resend(error, self.keeper.parts.clock.now().since(self.asked)) and (yield from self.acquire())

    def granted(self, reply: Reply) -> Steps[TokenSet]:
        """Return the tokens of the reply; a refused refresh token may have been used by another process just now."""
        if error := error_for(TOKEN, reply):
            refused = suspected(refresh_error(error), self.keeper.parts.settings)
            newer = (yield from self.newer_in_store()) if isinstance(refused, SessionExpired) else None
            if newer is None:
                raise refused
            return newer
        return self.present.successor(grant(reply, self.asked.wall))

    def settle(self, came: TokenSet | Exception, patient: bool = False) -> Steps[None]:
        """Write the outcome down, once, before any caller has it, and let other processes go on.

        A store that fails costs a warning, not the session. Then the lease is kept: the stored token is spent, and
        no other process should send it soon. `patient` raises while another process has the store: try again.
        """
        if self._settled:
            return
        session_id = self.keeper.session_id
        if isinstance(came, SessionExpired):
            # The next generation of a dead session has no refresh token: no process sends the refused one again.
            came = evolve(self.present, generation=self.present.generation + 1, refresh=None)
        try:
            if isinstance(came, TokenSet):
                yield from kept(Store.save_tokens, session_id, came)
            yield from kept(Store.release, session_id, "refresh", self.owner)
        except Exception as error:  # a caller's own store may raise anything, and those who wait must wake
            if patient and isinstance(error, StoreError) and error.retryable:
                raise
            self._unsettled(error)
        self._settled = True

    def _unsettled(self, error: Exception) -> None:
        log.warning("session %s: the store failed after a refresh: %s", self.keeper.session_id, type(error).__name__)
        self._settled = True
        if self.keeper.behind is not None:
            self.keeper.behind()

    @property
    def _remote(self) -> bool:
        return is_remote(self.keeper.parts.store)


FLIGHTS: WeakSet[Refresh] = WeakSet()
"""Refreshes of this process; the exit waits for those under way, whose tokens would be lost with it."""
in_child(FLIGHTS.clear)
