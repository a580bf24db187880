"""Keeps one session's token fresh: one refresh at a time, in a task of its own that no caller can cancel."""

from __future__ import annotations

import asyncio

from puzzel_chat._errors import PuzzelChatError
from puzzel_chat._hosts import Host
from puzzel_chat._owners import owner_name
from puzzel_chat._refresh import TRY_WITHIN, Refresh, after_refusal, next_step
from puzzel_chat._state import SessionState
from puzzel_chat._tokens import Step, TokenSet
from puzzel_chat._transport import AsyncTransport


class AsyncTokenKeeper:
    """Gives every caller of a session a token that the service takes."""

    def __init__(self, state: SessionState, transport: AsyncTransport) -> None:
        self._state = state
        self._transport = transport
        self._flight: asyncio.Task[None] | None = None
        self._landed: asyncio.Event | None = None
        self.turns: Host | None = None
        """The identity host, where many sessions take turns with refreshes that can wait."""

    async def current(self) -> TokenSet:
        """Give a usable token set, waiting for a refresh when there must be one."""
        while True:
            step = self._in_turn(next_step(self._state))
            landed = self._join(step)
            present = self._state.life.tokens
            if landed is None or step in (Step.USE, Step.USE_AND_START):
                return present
            await landed.wait()
            # One that took longer than a token lives is used all the same: the service judges it, not our clock.
            if self._state.life.tokens.generation > present.generation:
                return self._state.life.tokens

    async def renewed(self, generation: int) -> TokenSet:
        """Give a token set newer than the one of that generation, which the service has refused."""
        step = after_refusal(self._state, generation)
        landed = self._join(step)
        if landed is not None and step is not Step.USE:
            await landed.wait()
            self._state.life.newer_than(generation)
        # The newer one may have died as well, when the machine stalled meanwhile.
        return await self.current()

    async def aclose(self, by: float) -> None:
        """Let a refresh under way land, until that monotonic time, so that its token is not lost."""
        flight = self._flight
        if flight is not None and not flight.done():
            try:
                await asyncio.wait({flight}, timeout=max(0.0, by - self._state.parts.clock.monotonic()))
            finally:
                flight.cancel()
            await asyncio.gather(flight, return_exceptions=True)

    def _in_turn(self, step: Step) -> Step:
        if step is not Step.USE_AND_START or self.turns is None:
            return step
        return step if self.turns.may_refresh(self._state.parts.clock.monotonic()) else Step.USE

    def _join(self, step: Step) -> asyncio.Event | None:
        """Give what tells that the last refresh has landed, this one when one is due; None before the first."""
        if step in (Step.USE_AND_START, Step.START_AND_WAIT):
            self._state.life.started()
            self._landed = asyncio.Event()
            refresh = Refresh.begun(self._state, owner_name())
            self._flight = asyncio.create_task(self._fly(refresh, self._landed), name="puzzel-chat-refresh")
        return self._landed

    async def _fly(self, refresh: Refresh, landed: asyncio.Event) -> None:
        came: TokenSet | Exception = PuzzelChatError("The refresh was stopped with the event loop.")
        try:
            came = await self._stored_if_newer(refresh) or await self._rotated(refresh)
        except Exception as error:
            came = error
        finally:
            refresh.settle(came)
            refresh.ended(came)
            if self.turns is not None and isinstance(came, Exception):
                self.turns.told(self._state.parts.clock.monotonic(), came)
            landed.set()

    async def _stored_if_newer(self, refresh: Refresh) -> TokenSet | None:
        while not refresh.acquire():
            if newer := refresh.newer_in_store():
                return newer
            await self._state.parts.clock.sleep(asyncio.Event(), 0.1)
        return refresh.newer_in_store()

    async def _rotated(self, refresh: Refresh) -> TokenSet:
        request = refresh.request()
        while True:
            try:
                return refresh.granted(await self._transport.send(request, None, TRY_WITHIN))
            except PuzzelChatError as error:
                if not refresh.again(error):
                    raise
            await self._state.parts.clock.sleep(asyncio.Event(), 0.5)
