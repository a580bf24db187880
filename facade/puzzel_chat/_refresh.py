"""A token set from a reply, as a store keeps it, and back on this process's clocks.

One refresh of a session's token: what both shells do in the same way, between their waits.

    acquire ──► newer in the store? ──► post ──► settle: stored, lease given back ──► ended: in memory ──► callers wake

So no two processes refresh at once, and no caller acts on a token that a killed process would take with it. What is
left is the moment between the service's rotation and our write: who is killed there leaves a spent refresh token in
the store, and only a service that forgives its reuse for a while lets the next process go on: on the same machine it
takes over at once, on another when the lease is over.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

from attrs import define, evolve

from puzzel_chat._errors import PuzzelChatError, SessionExpired, StoreError
from puzzel_chat._http import Reply, Request
from puzzel_chat._session import SessionState, from_stored, log, to_stored, token_set
from puzzel_chat._tokens import Now, Step, TokenSet, refresh_fields, resend
from puzzel_chat._wire.operations import TOKEN, token_request
from puzzel_chat._wire.refusals import error_for, refresh_error
from puzzel_chat._wire.replies import grant

TRY_WITHIN = 30.0
"""Seconds that one try of a refresh may take, whatever the timeout; the lease outlasts it and the write after it."""
LEASE = 40.0
"""Seconds after which another process may refresh in the place of one that died while refreshing."""


def next_step(state: SessionState) -> Step:
    """Decide for a caller who needs the token; raises what `TokenLife.step` raises, unless another process did better.

    A refresh that failed here may have worked there meanwhile.
    """
    return _unless_learned(state, state.life.step)


def after_refusal(state: SessionState, generation: int) -> Step:
    """Decide after a 401; raises what `TokenLife.refused` raises, unless another process did better."""
    return _unless_learned(state, partial(state.life.refused, generation))


def _unless_learned(state: SessionState, decide: Callable[[Now], Step]) -> Step:
    try:
        return decide(state.parts.clock.now())
    except PuzzelChatError:
        if not _learned(state):
            raise
        return decide(state.parts.clock.now())


def _learned(state: SessionState) -> bool:
    """Take over what another process has done with the session's token; tells whether that was anything."""
    if state.life.dead is not None:
        return False
    try:
        newer = _newer_in_store(state, state.life.tokens)
    except SessionExpired as over:
        state.life.failed(over, state.parts.clock.now())
        return True
    except StoreError:
        return False
    if newer is not None:
        state.life.succeeded(newer)
    return newer is not None


def _newer_in_store(state: SessionState, present: TokenSet) -> TokenSet | None:
    stored = state.parts.store.tokens(state.id)
    if stored is None or stored.generation <= present.generation:
        return None
    if stored.refresh is None and present.refresh is not None:
        raise SessionExpired(
            "Another process found that the service no longer accepts this session's refresh token."
            " Open a new session with connect()."
        )
    return from_stored(stored, state.parts.clock.now(), state.parts.clock.uniform(0, 1))


@define
class Refresh:
    """A refresh from its beginning to its end; the shell sends its request and waits."""

    state: SessionState
    owner: str
    present: TokenSet
    asked: Now

    @classmethod
    def begun(cls, state: SessionState, owner: str) -> Refresh:
        """Begin with the tokens of now."""
        return cls(state, owner, state.life.tokens, state.parts.clock.now())

    def acquire(self) -> bool:
        """Take the right to refresh before any other process; false means: wait and try again."""
        store, now = self.state.parts.store, self.state.parts.clock.now().wall
        try:
            return store.acquire(self.state.id, "refresh", self.owner, now, LEASE) == self.owner
        except StoreError as error:
            # A full disk must not end the chat when its token does; others cannot take the right there either.
            log.warning("session %s refreshes without its store: %s", self.state.id, type(error).__name__)
            return True

    def newer_in_store(self) -> TokenSet | None:
        """Give the tokens when another process has refreshed them meanwhile.

        Raises `SessionExpired` when that process found the session dead.
        """
        try:
            return _newer_in_store(self.state, self.present)
        except StoreError:
            return None

    def request(self) -> Request:
        """Give the request; the moment before it counts as the one when the new token was obtained."""
        self.asked = self.state.parts.clock.now()
        return token_request(refresh_fields(self.state.parts.settings, self.present.refresh or ""))

    def again(self, error: PuzzelChatError) -> bool:
        """Tell whether to send the same request once more, and keep the right to it for as long as that may take."""
        return resend(error, self.state.parts.clock.now().since(self.asked)) and self.acquire()

    def granted(self, reply: Reply) -> TokenSet:
        """Give the tokens of the reply; a refused refresh token may have been used by another process just now."""
        if error := error_for(TOKEN, reply):
            refused = refresh_error(error)
            newer = self.newer_in_store() if isinstance(refused, SessionExpired) else None
            if newer is None:
                raise refused
            return newer
        return self.present.successor(token_set(grant(reply), self.asked, self.state.parts.clock.uniform(0, 1)))

    def settle(self, came: TokenSet | Exception) -> None:
        """Keep what came of it, before any caller has it, and let other processes go on.

        A store that fails costs a warning, not the session. Then the lease is kept: the stored token is spent, and
        no other process should send it soon.
        """
        store = self.state.parts.store
        if isinstance(came, SessionExpired):
            # The next generation of a dead session has no refresh token: no process sends the refused one again.
            came = evolve(self.present, generation=self.present.generation + 1, refresh=None)
        try:
            if isinstance(came, TokenSet):
                store.save_tokens(self.state.id, to_stored(came))
            store.release(self.state.id, "refresh", self.owner)
        except Exception as error:  # a caller's own store may raise anything, and those who wait must wake
            log.warning("session %s: the store failed after a refresh: %s", self.state.id, type(error).__name__)

    def ended(self, came: TokenSet | BaseException) -> None:
        """Put the new tokens in the place of the old, or count a failure; after a refusal nothing is sent again."""
        if isinstance(came, TokenSet):
            self.state.life.succeeded(came)
            log.debug("session %s has token generation %d", self.state.id, came.generation)
            return
        known = came
        if not isinstance(known, PuzzelChatError):
            known = PuzzelChatError(f"The refresh failed: {type(came).__name__}.")
        self.state.life.failed(known, self.state.parts.clock.now(), counts=isinstance(came, Exception))
        log.warning("session %s could not refresh its token: %s", self.state.id, type(came).__name__)
