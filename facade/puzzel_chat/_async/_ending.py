"""How a conversation is ended at the service: when its caller says so, and in a hurry when something stopped us."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from math import inf
from typing import TYPE_CHECKING

from puzzel_chat._errors import ApiError, PuzzelChatError
from puzzel_chat._retry import LEAVE_PAUSE, LEAVE_WITHIN
from puzzel_chat._routing import must_leave
from puzzel_chat._state import log
from puzzel_chat._wire import replies
from puzzel_chat._wire.operations import END, end_request

if TYPE_CHECKING:
    from puzzel_chat._async._session import AsyncSession

_NOT_ENDED = "The chat could not be ended at the service; closing the session, or end(), tries it again."


class AsyncEnding:
    """Ends one conversation. What is not asked for by the caller is done within five seconds, and never hides why."""

    __slots__ = ("_id", "_session", "_state")

    def __init__(self, session: AsyncSession, conversation_id: str) -> None:
        self._session = session
        self._id = conversation_id
        self._state = session._state

    async def end(self, by: float = inf) -> None:
        """End the chat by that monotonic time; a request for an agent that is on its way is met at the service."""
        clock = self._state.parts.clock
        late = min(by, clock.monotonic() + LEAVE_WITHIN)
        while not self._state.box(self._id).is_over and self._state.may_be_routed(self._id):
            known = await self._tell(by) or self._id in self._state.conversations
            if known or clock.monotonic() + LEAVE_PAUSE >= late:
                self._state.closing(self._id)
                return
            await clock.sleep(asyncio.Event(), LEAVE_PAUSE)

    def by(self) -> float:
        """Give the monotonic time by which all that is left now must be over."""
        return self._state.leave_by(self._id)

    async def leave(self, by: float = inf) -> None:
        """End what can be ended; what stopped us matters more than a failure here, and a second stop is the last.

        What failed is tried again when the session closes later.
        """
        now, by = self._state.parts.clock.monotonic(), min(by, self.by())
        if by <= now:
            return
        failed = True
        try:
            async with asyncio.timeout(by - now):
                await self.end(by)
            failed = False
        except (PuzzelChatError, TimeoutError) as error:
            log.warning("conversation %s could not be ended at the service: %s", self._id, type(error).__name__)
        finally:
            if failed:
                self._state.not_left[self._id] = self._state.parts.clock.monotonic()
                self._session._owed = (*{*self._session._owed, self},)

    async def leave_after(self, error: BaseException) -> None:
        """Leave, unless the error says that there is nothing to leave."""
        if not must_leave(error):
            return
        try:
            await self.leave()
        except BaseException:
            if not isinstance(error, PuzzelChatError):
                raise
            # We left because of an error of ours: this is the first that stops us.
            self._state.not_left.pop(self._id, None)
            await self.leave()
            raise
        if self._id in self._state.going_on() and _NOT_ENDED not in getattr(error, "__notes__", ()):
            error.add_note(_NOT_ENDED)

    @asynccontextmanager
    async def unless_stopped(self) -> AsyncIterator[None]:
        """Leave when something stops us that is no error of ours: an interrupt, a cancellation."""
        try:
            yield
        except PuzzelChatError:
            raise
        except BaseException:
            await self.leave()
            raise

    def search_begins(self) -> None:
        """Note that an agent is looked for: a session that closes leaves the queue."""
        self._session._searches = (*self._session._searches, self)

    def search_ends(self) -> None:
        """Note that the search is over, and left where that was due."""
        self._session._searches = tuple(one for one in self._session._searches if one is not self)

    async def _tell(self, by: float) -> bool:
        """Send the end; tells whether the service knows the conversation, ended or not."""
        try:
            replies.done(END, await self._session._call(END, end_request(self._id), by))
        except ApiError as error:
            if error.status not in (404, 409, 410):
                raise
            return error.status != 404
        return True
