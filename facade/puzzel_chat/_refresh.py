"""One refresh of a session's token: what both shells do in the same way, between their waits."""

from __future__ import annotations

from attrs import define, evolve

from puzzel_chat._errors import PuzzelChatError, SessionExpired, StoreError
from puzzel_chat._http import Reply, Request
from puzzel_chat._state import SessionState, from_stored, log, to_stored, token_set
from puzzel_chat._tokens import Now, TokenSet, refresh_fields
from puzzel_chat._wire.operations import TOKEN, token_request
from puzzel_chat._wire.refusals import error_for, refresh_error
from puzzel_chat._wire.replies import grant

LEASE = 40.0
"""Seconds after which another process may refresh in the place of one that died while refreshing."""


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
        return self.state.parts.store.acquire(self.state.id, self.owner, self.state.parts.clock.now().wall, LEASE)

    def newer_in_store(self) -> TokenSet | None:
        """Give the tokens when another process has refreshed them meanwhile."""
        stored = self.state.parts.store.tokens(self.state.id)
        if stored is None or stored.generation <= self.present.generation:
            return None
        clock = self.state.parts.clock
        return from_stored(stored, clock.now(), clock.uniform(0, 1))

    def request(self) -> Request:
        """Give the request; the moment before it counts as the one when the new token was obtained."""
        self.asked = self.state.parts.clock.now()
        return token_request(refresh_fields(self.state.parts.settings, self.present.refresh or ""))

    def granted(self, reply: Reply) -> TokenSet:
        """Give the tokens of the reply; a refused refresh token may have been used by another process just now."""
        if error := error_for(TOKEN, reply):
            refused = refresh_error(error)
            newer = self.newer_in_store() if isinstance(refused, SessionExpired) else None
            if newer is None:
                raise refused
            return newer
        return self.present.successor(token_set(grant(reply), self.asked, self.state.parts.clock.uniform(0, 1)))

    def landed(self, tokens: TokenSet) -> None:
        """Put the new tokens in the place of the old."""
        self.state.life.succeeded(tokens)
        log.debug("session %s has token generation %d", self.state.id, tokens.generation)

    def failed(self, error: BaseException) -> None:
        """Count a failed refresh; after a refusal nothing is left to be sent again."""
        known = error
        if not isinstance(known, PuzzelChatError):
            known = PuzzelChatError(f"The refresh failed: {type(error).__name__}.")
        self.state.life.failed(known, self.state.parts.clock.now())
        log.warning("session %s could not refresh its token: %s", self.state.id, type(error).__name__)

    def settle(self) -> None:
        """Keep what came of it and let other processes go on; a store that fails costs a warning, not the session."""
        store, life = self.state.parts.store, self.state.life
        # The next generation of a dead session has no refresh token, so that no process sends the refused one again.
        ended = evolve(self.present, generation=self.present.generation + 1, refresh=None)
        tokens = life.tokens if life.dead is None else ended
        try:
            store.save_tokens(self.state.id, to_stored(tokens))
            store.release(self.state.id, self.owner)
        except StoreError as error:
            log.warning("session %s: the store failed after a refresh: %s", self.state.id, type(error).__name__)
