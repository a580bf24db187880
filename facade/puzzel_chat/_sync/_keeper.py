"""Keeps one session's token fresh: one refresh at a time, in a thread of its own that no caller can cancel."""

from __future__ import annotations

import threading
from uuid import uuid4

from puzzel_chat._errors import PuzzelChatError
from puzzel_chat._http import Reply
from puzzel_chat._refresh import Refresh
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

    def current(self) -> TokenSet:
        """Give a usable token set, waiting for a refresh when there must be one."""
        while True:
            with self._lock:
                step = self._state.life.step(self._state.parts.clock.now())
                landed = self._join(step)
                if step in (Step.USE, Step.USE_AND_START):
                    return self._state.life.tokens
            landed.wait()

    def renewed(self, generation: int) -> TokenSet:
        """Give a token set newer than the one of that generation, which the service has refused."""
        with self._lock:
            step = self._state.life.refused(generation)
            landed = self._join(step)
        if step is not Step.USE:
            landed.wait()
        with self._lock:
            return self._state.life.newer_than(generation)

    def _join(self, step: Step) -> threading.Event:
        if step in (Step.USE_AND_START, Step.START_AND_WAIT):
            self._state.life.started()
            self._landed = threading.Event()
            refresh = Refresh.begun(self._state, uuid4().hex)
            threading.Thread(target=self._fly, args=(refresh, self._landed), name="puzzel-chat-refresh").start()
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
