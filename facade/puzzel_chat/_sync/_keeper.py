"""Keeps one session's token fresh: one refresh at a time, in a thread of its own that no caller can cancel."""

from __future__ import annotations

import threading
from uuid import uuid4

from puzzel_chat._errors import PuzzelChatError, TransportError
from puzzel_chat._http import Reply
from puzzel_chat._refresh import Refresh
from puzzel_chat._retry import LEAVE_WITHIN
from puzzel_chat._state import SessionState
from puzzel_chat._tokens import Step, TokenSet, resend
from puzzel_chat._transport import Transport


class TokenKeeper:
    """Gives every caller of a session a token that the service takes."""

    def __init__(self, state: SessionState, transport: Transport) -> None:
        self._state = state
        self._transport = transport
        self._lock = threading.Lock()
        self._landed = threading.Event()
        self._flight: threading.Thread | None = None

    def current(self, within: float | None = None) -> TokenSet:
        """Give a usable token set, waiting for a refresh when there must be one, at most `within` seconds."""
        while True:
            with self._lock:
                step = self._state.life.step(self._state.parts.clock.now())
                landed = self._join(step)
                present = self._state.life.tokens
            if step in (Step.USE, Step.USE_AND_START):
                return present
            self._await(landed, within)
            # One that took longer than a token lives is used all the same: the service judges it, not our clock.
            if self._state.life.tokens.generation > present.generation:
                return self._state.life.tokens

    def renewed(self, generation: int, within: float | None = None) -> TokenSet:
        """Give a token set newer than the one of that generation, which the service has refused."""
        with self._lock:
            step = self._state.life.refused(generation)
            landed = self._join(step)
        if step is not Step.USE:
            self._await(landed, within)
        with self._lock:
            return self._state.life.newer_than(generation)

    def close(self) -> None:
        """Let a refresh under way land and be stored, as long as leaving may take, so that its token is not lost."""
        if self._flight is not None:
            self._flight.join(LEAVE_WITHIN)

    def _await(self, landed: threading.Event, within: float | None) -> None:
        if not landed.wait(within):
            raise TransportError("The refresh of the token takes too long.", sent="no")

    def _join(self, step: Step) -> threading.Event:
        if step in (Step.USE_AND_START, Step.START_AND_WAIT):
            self._state.life.started()
            self._landed = threading.Event()
            refresh = Refresh.begun(self._state, uuid4().hex)
            self._flight = threading.Thread(target=self._fly, args=(refresh, self._landed), name="puzzel-chat-refresh")
            try:
                self._flight.start()
            except BaseException as error:
                self._flight = None
                refresh.failed(error)
                self._landed.set()
                if not isinstance(error, RuntimeError):
                    raise
        return self._landed

    def _fly(self, refresh: Refresh, landed: threading.Event) -> None:
        try:
            tokens = self._stored_if_newer(refresh) or self._rotated(refresh)
        except Exception as error:
            with self._lock:
                refresh.failed(error)
        else:
            with self._lock:
                refresh.landed(tokens)
        landed.set()
        refresh.settle()

    def _stored_if_newer(self, refresh: Refresh) -> TokenSet | None:
        while not refresh.acquire():
            if newer := refresh.newer_in_store():
                return newer
            self._pause(0.1)
        return refresh.newer_in_store()

    def _rotated(self, refresh: Refresh) -> TokenSet:
        request, began = refresh.request(), self._state.parts.clock.monotonic()
        reply: Reply | None = None
        while reply is None:
            try:
                reply = self._transport.send(request, None)
            except PuzzelChatError as error:
                if not resend(error, self._state.parts.clock.monotonic() - began):
                    raise
                self._pause(0.5)
        return refresh.granted(reply)

    def _pause(self, seconds: float) -> None:
        self._state.parts.clock.wait(threading.Event(), seconds)
