"""One session: one token, its calls and its polling."""

from __future__ import annotations

import asyncio
from contextlib import suppress
from math import inf
from typing import TYPE_CHECKING
from uuid import uuid4
from weakref import finalize

from puzzel_chat import _exit
from puzzel_chat._async._keeper import AsyncTokenKeeper
from puzzel_chat._errors import PuzzelChatError
from puzzel_chat._http import AsyncCarrier, Reply, Request
from puzzel_chat._models import Event, QueueInfo, TimeInfo
from puzzel_chat._retry import LEAVE_WITHIN, again, within
from puzzel_chat._state import SessionState
from puzzel_chat._transport import AsyncTransport
from puzzel_chat._wire import replies
from puzzel_chat._wire.operations import (
    END,
    POLL,
    QUEUE,
    TIME,
    AnyOperation,
    checked_id,
    queue_request,
    time_request,
)
from puzzel_chat._wire.refusals import error_for

if TYPE_CHECKING:
    from puzzel_chat._async._conversation import AsyncConversation
    from puzzel_chat._async._ending import AsyncEnding


class AsyncSession:
    """One token at the service, which is what the service calls a session (documented).

    Made by `AsyncPuzzelChat.connect()` and `resume()`. As a context manager it closes itself.
    """

    # There may be thousands: no dict, no set while nothing is in it, and no Event (0.8 KB) until somebody sleeps.
    __slots__ = ("__weakref__", "_keeper", "_lazy_closing", "_owed", "_polling", "_searches", "_state", "_transport")

    def __init__(self, state: SessionState, transport: AsyncTransport) -> None:
        self._state = state
        self._transport = transport
        self._keeper = AsyncTokenKeeper(state, transport)
        self._polling = asyncio.Lock()
        self._lazy_closing: asyncio.Event | None = None
        self._searches: tuple[AsyncEnding, ...] = ()
        self._owed: tuple[AsyncEnding, ...] = ()
        # A session that nobody holds any more is closed: an ended one is forgotten, one that goes on stays for resume.
        finalize(self, state.close)
        _exit.SESSIONS.add(self)

    def __repr__(self) -> str:
        return f"<AsyncSession {self.id}>"

    @property
    def id(self) -> str:
        """The session's name in the store, for `AsyncPuzzelChat.resume`. It is ours; the service never sees it."""
        return self._state.id

    @property
    def visitor_id(self) -> str | None:
        """Who the service takes the customer for, None when it did not say; masked in a repr."""
        return self._state.life.tokens.visitor_id

    @property
    def conversations(self) -> tuple[AsyncConversation, ...]:
        """The conversations that were routed in this session, also before a resume."""
        return tuple(self.conversation(conversation_id) for conversation_id in self._state.conversations)

    async def queue_info(self, visual_queue_id: str | int) -> QueueInfo:
        """Ask for a queue's opening hours and load, by its visual queue id. Raises `NotFound` for an unknown queue."""
        return replies.queue_info(await self._call(QUEUE, queue_request(visual_queue_id)), replies.now())

    async def time_info(self, time_id: str) -> TimeInfo:
        """Ask which exit of a time module (opening hours) is in force. Raises `NotFound` for an unknown one."""
        return replies.time_info(await self._call(TIME, time_request(time_id)), replies.now())

    def conversation(self, conversation_id: str | None = None) -> AsyncConversation:
        """Give a conversation of this session; without an id, a new one of a random id. Nothing is sent yet."""
        from puzzel_chat._async._conversation import AsyncConversation

        chosen = str(uuid4()) if conversation_id is None else checked_id("conversation_id", conversation_id)
        return AsyncConversation(self, chosen)

    async def poll(self) -> list[Event]:
        """Give what is new in all conversations; unless something waits already, poll once when that is due.

        Calling again says that what came before has been handled; after a crash the whole of the last list comes again.
        Raises what ended the polling; `SessionInUse` when another object has the session's mail.
        """
        self._state.check_mail()
        if not self._state.acknowledge_all():
            await self._pump(None)
        return self._state.take_all()

    async def aclose(self) -> None:
        """Close the session here, within about five seconds: a search for an agent ends and leaves the queue.

        Other chats stay, for `resume`; those of a `MemoryStore` are ended when the program exits.
        """
        await self._aclose(self._state.parts.clock.monotonic() + LEAVE_WITHIN)

    async def __aenter__(self) -> AsyncSession:
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.aclose()

    async def _aclose(self, by: float) -> None:
        """Close by that monotonic time; searches leave side by side."""
        if not self._state.is_here:
            return
        clock = self._state.parts.clock
        try:
            await asyncio.gather(*(ending.leave(by) for ending in {*self._searches, *self._owed}))
            self._closing.set()
            await self._keeper.aclose(by)
            # What a poll under way brings is written first, for some services tell it only once.
            with suppress(TimeoutError):
                async with asyncio.timeout(max(0.0, by - clock.monotonic())), self._polling:
                    pass
        finally:
            self._closing.set()
            self._state.close()

    @property
    def _closing(self) -> asyncio.Event:
        """Wake those who sleep when the session closes."""
        if self._lazy_closing is None:
            self._lazy_closing = asyncio.Event()
        return self._lazy_closing

    @property
    def _is_closing(self) -> bool:
        return self._lazy_closing is not None and self._lazy_closing.is_set()

    async def _call(self, operation: AnyOperation, request: Request, by: float = inf) -> Reply:
        """Send, again when that is safe; all of it by that monotonic time."""
        clock = self._state.parts.clock
        attempts = 0
        while True:
            attempts += 1
            try:
                return await self._once(operation, request, by)
            except PuzzelChatError as error:
                error.attempts = attempts
                decision = again(error, attempts, repeatable=operation.repeatable, uniform=clock.uniform)
                if decision is None or clock.monotonic() + decision.delay >= by:
                    raise
            # An end goes on while the session closes, at its own pace.
            await clock.sleep(asyncio.Event() if operation is END else self._closing, decision.delay)

    async def _once(self, operation: AnyOperation, request: Request, by: float = inf) -> Reply:
        """Send once, when the session is open."""
        self._check_open(operation)
        return await self._exchange(operation, request, self._transport, by)

    async def _exchange(
        self, operation: AnyOperation, request: Request, transport: AsyncCarrier, by: float = inf
    ) -> Reply:
        """Send once; a token that the service refuses is refreshed and the request replayed once."""
        clock = self._state.parts.clock
        tokens = await self._keeper.current()
        reply = await transport.send(request, tokens.access, within(by, clock.monotonic()))
        if reply.status == 401:
            tokens = await self._keeper.renewed(tokens.generation)
            reply = await transport.send(request, tokens.access, within(by, clock.monotonic()))
        if error := error_for(operation, reply):
            raise error
        return reply

    async def _next_event(self, conversation_id: str) -> Event | None:
        """Give the conversation's next event, polling until there is one; None after its end."""
        self._state.check_mail()
        while True:
            event = self._state.take(conversation_id)
            if event is not None:
                return event
            if self._state.box(conversation_id).finished:
                return None
            await self._pump(conversation_id)

    def _check_open(self, operation: AnyOperation) -> None:
        """Raise when the session is closed or closing; only ends still go out, so that nobody stays in a queue."""
        self._state.check_process()
        if operation is not END and self._is_closing:
            self._state.refuse()
        self._state.mail.keep()
        if operation is POLL:
            self._state.mail.check()

    def _may_bring(self, conversation_id: str) -> bool:
        """Tell whether polls can still bring something for a conversation: nothing comes behind its end."""
        ended = self._state.box(conversation_id).knows_end
        return not (ended or self._state.inbox.failure or self._is_closing)

    async def _pump(self, conversation_id: str | None, deadline: float = inf) -> None:
        """Make one poll when it is due, unless another task has just brought what this conversation waits for.

        With a deadline (a monotonic time) somebody searches for a message: what is due later is not waited for.
        """
        clock, searching = self._state.parts.clock, deadline < inf
        async with self._polling:
            if conversation_id is not None and self._state.box(conversation_id).has_news:
                return
            self._check_open(POLL)
            left, delay = max(0.0, deadline - clock.monotonic()), self._state.delay(searching)
            await clock.sleep(self._closing, min(delay, left))
            self._check_open(POLL)
            if delay <= left and (searching or not self._state.inbox.is_full):
                await self._poll_once()

    async def _poll_once(self, transport: AsyncCarrier | None = None) -> PuzzelChatError | None:
        """Poll now, through that transport or the session's own; the caller holds `_polling` and has checked `POLL`.

        The error of a poll that failed is taken in, and given; raises `SessionInUse` when the mail is another's by now.
        """
        try:
            reply = await self._exchange(POLL, self._state.poll_request(), transport or self._transport)
            batch = replies.poll(reply, self._state.last)
        except PuzzelChatError as error:
            self._state.poll_failed(error)
            return error
        self._state.polled(batch)
        return None
