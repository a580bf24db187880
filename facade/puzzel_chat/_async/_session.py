"""One session: one token, its calls and its polling."""

from __future__ import annotations

import asyncio
from math import inf
from typing import TYPE_CHECKING
from uuid import uuid4
from weakref import finalize

from puzzel_chat._async._keeper import AsyncTokenKeeper
from puzzel_chat._errors import PuzzelChatError
from puzzel_chat._http import Reply, Request
from puzzel_chat._models import Event, QueueInfo, TimeInfo
from puzzel_chat._retry import again
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
    poll_request,
    queue_request,
    time_request,
)
from puzzel_chat._wire.refusals import error_for

if TYPE_CHECKING:
    from puzzel_chat._async._conversation import AsyncConversation


class AsyncSession:
    """One token at the service, which is what the service calls a session (documented).

    Made by `AsyncPuzzelChat.connect()` and `resume()`. As a context manager it closes itself.
    """

    def __init__(self, state: SessionState, transport: AsyncTransport) -> None:
        self._state = state
        self._transport = transport
        self._keeper = AsyncTokenKeeper(state, transport)
        self._polling = asyncio.Lock()
        self._closing = asyncio.Event()
        self._waits: set[AsyncConversation] = set()
        # A session that nobody holds any more is closed: an ended one is forgotten, one that goes on stays for resume.
        finalize(self, state.close)

    def __repr__(self) -> str:
        return f"<AsyncSession {self.id}>"

    @property
    def id(self) -> str:
        """The session's name in the store, for `AsyncPuzzelChat.resume`. It is ours; the service never sees it."""
        return self._state.id

    @property
    def conversations(self) -> tuple[AsyncConversation, ...]:
        """The conversations that were routed in this session, also before a resume."""
        return tuple(self.conversation(conversation_id) for conversation_id in self._state.conversations)

    async def queue_info(self, queue_id: str) -> QueueInfo:
        """Ask for a queue's opening hours and load. Raises `NotFound` for an unknown queue."""
        return replies.queue_info(await self._call(QUEUE, queue_request(queue_id)), replies.now())

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
        Raises what ended the polling.
        """
        if not self._state.acknowledge_all():
            await self._pump(None)
        return self._state.take_all()

    async def aclose(self) -> None:
        """Close the session here. A wait for an agent ends and leaves the queue; other chats stay, for `resume`."""
        for conversation in list(self._waits):
            await conversation._leave()
        self._closing.set()
        try:
            await self._keeper.aclose()
        finally:
            self._state.close()

    async def __aenter__(self) -> AsyncSession:
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.aclose()

    async def _call(self, operation: AnyOperation, request: Request, within: float | None = None) -> Reply:
        """Send, again when that is safe; all of it within so many seconds."""
        clock = self._state.parts.clock
        deadline = None if within is None else clock.monotonic() + within
        attempts = 0
        while True:
            attempts += 1
            try:
                return await self._once(operation, request, within)
            except PuzzelChatError as error:
                error.attempts = attempts
                decision = again(error, attempts, repeatable=operation.repeatable, uniform=clock.uniform)
                if decision is None or (deadline is not None and clock.monotonic() + decision.delay >= deadline):
                    raise
            await clock.sleep(self._closing, decision.delay)

    async def _once(self, operation: AnyOperation, request: Request, within: float | None = None) -> Reply:
        """Send once; a token that the service refuses is refreshed and the request replayed once."""
        self._check_open(operation)
        tokens = await self._keeper.current()
        reply = await self._transport.send(request, tokens.access, within)
        if reply.status == 401:
            newer = await self._keeper.renewed(tokens.generation)
            reply = await self._transport.send(request, newer.access, within)
        if error := error_for(operation, reply):
            raise error
        return reply

    async def _next_event(self, conversation_id: str) -> Event | None:
        """Give the conversation's next event, polling until there is one; None after its end."""
        while True:
            event = self._state.take(conversation_id)
            if event is not None:
                return event
            if self._state.box(conversation_id).finished:
                return None
            await self._pump(conversation_id)

    def _check_open(self, operation: AnyOperation) -> None:
        """Raise when the session is closed or closing; only ends still go out, so that nobody stays in a queue."""
        if operation is not END and self._closing.is_set():
            self._state.refuse()

    async def _pump(self, conversation_id: str | None, deadline: float = inf) -> None:
        """Make one poll when it is due, unless another task has just brought what this conversation waits for.

        What is due after the deadline (a monotonic time) is not waited for.
        """
        async with self._polling:
            if conversation_id is not None and self._state.box(conversation_id).has_news:
                return
            self._check_open(POLL)
            clock = self._state.parts.clock
            left, delay = max(0.0, deadline - clock.monotonic()), self._state.delay()
            await clock.sleep(self._closing, min(delay, left))
            self._check_open(POLL)
            if delay <= left and not self._state.inbox.is_full:
                await self._poll_once()

    async def _poll_once(self) -> None:
        try:
            batch = replies.poll(await self._once(POLL, poll_request(self._state.inbox.cursor)))
        except PuzzelChatError as error:
            self._state.poll_failed(error)
        else:
            self._state.polled(batch)
