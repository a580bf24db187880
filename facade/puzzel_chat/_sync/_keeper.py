"""Keeps one session's token fresh: one refresh at a time, in a thread of its own that no caller can cancel."""

from __future__ import annotations

import threading
from math import inf

from puzzel_chat import _exit
from puzzel_chat._errors import PuzzelChatError, TransportError
from puzzel_chat._owners import owner_name
from puzzel_chat._refresh import TRY_WITHIN, Refresh, after_refusal, next_step
from puzzel_chat._retry import within
from puzzel_chat._state import SessionState
from puzzel_chat._tokens import Step, TokenSet
from puzzel_chat._transport import Transport


class TokenKeeper:
    """Gives every caller of a session a token that the service takes."""

    def __init__(self, state: SessionState, transport: Transport) -> None:
        self._state = state
        self._transport = transport
        # Reentrant, for a signal's handler may end a chat in the middle of a call.
        self._lock = threading.RLock()
        self._landed = threading.Event()
        self._flight: threading.Thread | None = None

    def current(self, by: float = inf) -> TokenSet:
        """Give a usable token set, waiting for a refresh when there must be one, until that monotonic time."""
        while True:
            with self._lock:
                step = next_step(self._state)
                landed = self._join(step)
                present = self._state.life.tokens
            if step in (Step.USE, Step.USE_AND_START):
                return present
            self._await(landed, by)
            # One that took longer than a token lives is used all the same: the service judges it, not our clock.
            if self._state.life.tokens.generation > present.generation:
                return self._state.life.tokens

    def renewed(self, generation: int, by: float = inf) -> TokenSet:
        """Give a token set newer than the one of that generation, which the service has refused."""
        with self._lock:
            step = after_refusal(self._state, generation)
            landed = self._join(step)
        if step is not Step.USE:
            self._await(landed, by)
            with self._lock:
                self._state.life.newer_than(generation)
        # The newer one may have died as well, when the machine stalled meanwhile.
        return self.current(by)

    def close(self, by: float) -> None:
        """Let a refresh under way land and be stored, until that monotonic time, so that its token is not lost.

        One that takes longer is not waited for again, neither by a second close nor by the exit.
        """
        flight, self._flight = self._flight, None
        if flight is not None:
            _exit.REFRESHES.discard(flight)
            flight.join(max(0.0, by - self._state.parts.clock.monotonic()))

    def _await(self, landed: threading.Event, by: float) -> None:
        if not landed.wait(within(by, self._state.parts.clock.monotonic())):
            late = TransportError("The refresh of the token takes too long.", sent="no")
            late.host = "identity"
            raise late

    def _join(self, step: Step) -> threading.Event:
        if step in (Step.USE_AND_START, Step.START_AND_WAIT):
            self._landed = landed = threading.Event()
            refresh = Refresh.begun(self._state, owner_name())
            # A daemon, so that a service that hangs does not keep the program from its exit.
            flight = threading.Thread(target=self._fly, args=(refresh, landed), name="puzzel-chat-refresh", daemon=True)
            try:
                self._state.life.started()
                flight.start()
                self._flight = flight
                _exit.REFRESHES.add(flight)
            except BaseException as error:
                refresh.ended(error)
                landed.set()
                if not isinstance(error, RuntimeError):
                    raise
        return self._landed

    def _fly(self, refresh: Refresh, landed: threading.Event) -> None:
        with self._lock:
            # An interrupt that struck while the thread was started has called it off.
            if landed.is_set():
                return
        came: TokenSet | Exception
        try:
            came = self._stored_if_newer(refresh) or self._rotated(refresh)
        except Exception as error:
            came = error
        refresh.settle(came)
        with self._lock:
            refresh.ended(came)
        landed.set()

    def _stored_if_newer(self, refresh: Refresh) -> TokenSet | None:
        while not refresh.acquire():
            if newer := refresh.newer_in_store():
                return newer
            self._pause(0.1)
        return refresh.newer_in_store()

    def _rotated(self, refresh: Refresh) -> TokenSet:
        request = refresh.request()
        while True:
            try:
                return refresh.granted(self._transport.send(request, None, TRY_WITHIN))
            except PuzzelChatError as error:
                if not refresh.again(error):
                    raise
            self._pause(0.5)

    def _pause(self, seconds: float) -> None:
        self._state.parts.clock.wait(threading.Event(), seconds)
