"""One conversation: routing, waiting for an agent, talking, ending."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Awaitable, Callable, Iterable, Mapping
from contextlib import aclosing
from typing import TYPE_CHECKING
from uuid import uuid4

from puzzel_chat._errors import ApiError, Conflict, NotFound, PuzzelChatError, SessionError
from puzzel_chat._http import Reply
from puzzel_chat._mailbox import Expected, delivery_unknown
from puzzel_chat._models import Allocation, Customer, Event, Message, TextMessage, Variable, is_message
from puzzel_chat._retry import LEAVE_PAUSE, LEAVE_WITHIN, MAX_ATTEMPTS, RECONCILE_WITHIN, unknown_outcome
from puzzel_chat._routing import AgentWait, checked_timeout, must_leave
from puzzel_chat._state import log
from puzzel_chat._wire import replies
from puzzel_chat._wire.operations import (
    END,
    ROUTE,
    SEND,
    STATUS,
    TYPING,
    as_customer,
    as_variables,
    checked_text,
    end_request,
    route_request,
    send_request,
    status_request,
    typing_request,
)

if TYPE_CHECKING:
    from puzzel_chat._async._session import AsyncSession

Progress = Callable[[Allocation], object]


class AsyncConversation:
    """One chat, under an id that the caller chose. As a context manager it ends the chat when the block is left, once.

    Made by `AsyncSession.conversation()` and `AsyncPuzzelChat.start()`. One caller at a time takes its events.
    """

    def __init__(self, session: AsyncSession, conversation_id: str) -> None:
        self._session = session
        self._id = conversation_id
        self._state = session._state
        self._box = session._state.box(conversation_id)
        self._status_id: str | None = None
        self._route_sent = conversation_id in session._state.conversations
        self._owns_session = False
        self._left = False

    def __repr__(self) -> str:
        return f"<AsyncConversation {self.id}{' (over)' if self.ended else ''}>"

    @property
    def id(self) -> str:
        """The conversation's id at the service."""
        return self._id

    @property
    def session(self) -> AsyncSession:
        """The session that this conversation belongs to."""
        return self._session

    @property
    def ended(self) -> bool:
        """Tell whether the chat is over, from either side, as far as is known here; its last events may be unread."""
        return self._box.is_over

    async def route(
        self,
        queue_id: str,
        *,
        customer: Customer | Mapping[str, str] | None = None,
        variables: Iterable[Variable] | Mapping[str, str] | None = None,
        subject: str | None = None,
    ) -> Allocation:
        """Ask the contact centre to find an agent. May be repeated safely: the id is ours (documented).

        Raises `QueueClosed`, `QueueFull`, `RoutingRefused`, `NotFound` for an unknown queue, `ConversationClosed`, or
        `TransportError` when it could not even be learnt whether the request arrived.
        """
        request = route_request(self.id, queue_id, as_customer(customer), as_variables(variables), subject)
        self._box.check_open()
        self._route_sent = True
        for attempt in range(1, MAX_ATTEMPTS + 1):
            try:
                allocation, request_id = replies.routed(await self._session._call(ROUTE, request), replies.now())
            except PuzzelChatError as error:
                found = await self._found_routed(error)
                if found is not None:
                    return self._routed(found, None)
                if attempt == MAX_ATTEMPTS or isinstance(error, Conflict):
                    raise
            else:
                return self._routed(allocation, request_id)
        raise AssertionError("unreachable")

    async def allocation(self) -> Allocation:
        """Ask once how the search for an agent goes. Raises `NotFound` when nothing was routed."""
        return await self._look(self._session._call)

    async def wait_for_agent(self, timeout: float = 120.0, on_progress: Progress | None = None) -> Allocation:
        """Wait until an agent has the chat, for at most `timeout` seconds; `on_progress` is called at each change.

        Raises `AgentWaitTimeout` after leaving the queue on the server, `QueueClosed`, `QueueFull`, `RoutingRefused`,
        or what makes asking useless. Interrupted in any way, it leaves the queue first.
        """
        allocation: Allocation | None = None
        try:
            async with aclosing(self.allocation_updates(timeout)) as updates:
                async for allocation in updates:
                    if on_progress is not None:
                        on_progress(allocation)
        except BaseException as error:
            await self._leave_after(error)
            raise
        assert allocation is not None
        return allocation

    async def allocation_updates(self, timeout: float = 120.0) -> AsyncGenerator[Allocation]:
        """Give the allocation at each change, until an agent has the chat; as `wait_for_agent` otherwise.

        Leaving the loop early leaves the chat in the queue.
        """
        clock = self._state.parts.clock
        wait = AgentWait(clock.monotonic(), checked_timeout(timeout))
        self._session._waits.add(self)
        try:
            while not wait.done:
                await clock.sleep(self._session._closing, wait.delay(clock.monotonic(), clock.uniform))
                changed = await self._look_again(wait)
                if changed is not None:
                    yield changed
        except BaseException as error:
            await self._leave_after(error)
            raise
        finally:
            self._session._waits.discard(self)

    async def events(self) -> AsyncGenerator[Event]:
        """Give everything that happens, in order and once, until `ConversationEnded`, which comes last.

        Coming back for the next event says that the last one has been handled. Raises what ended the polling.
        """
        while (event := await self._session._next_event(self.id)) is not None:
            yield event

    async def messages(self) -> AsyncGenerator[Message]:
        """Give the messages of all sides, own ones included, until the chat ends. As `events()` otherwise."""
        async with aclosing(self.events()) as events:
            async for event in events:
                if is_message(event):
                    yield event

    async def send(self, text: str) -> TextMessage:
        """Send a line of plain text, at most once.

        When no usable reply comes, the message is looked for in the polls that follow. Raises `DeliveryUnknown` when it
        is not found there, `ConversationClosed` when the chat is over (also when its last events are not read yet),
        `InvalidArgument` for an empty text, `TransportError` when it was certainly not sent, or `ApiError`.
        """
        words = checked_text(text)
        self._box.check_open()
        with self._box.expecting(str(uuid4()), words) as expected:
            request = send_request(self.id, words, expected.client_id)
            try:
                reply = await self._session._call(SEND, request)
                message = replies.sent_message(reply, self.id, expected.client_id, words)
            except PuzzelChatError as error:
                if not unknown_outcome(error):
                    raise
                return await self._reconciled(expected, error)
            self._box.sent(message)
            return message

    async def typing(self, is_typing: bool = True) -> None:
        """Tell the agent that the customer began or stopped typing. Raises `ConversationClosed`."""
        self._box.check_open()
        await self._session._call(TYPING, typing_request(self.id, is_typing))

    async def end(self) -> None:
        """End the chat, or leave the queue; nothing is sent when it is over already, or was never routed."""
        await self._end(None)

    def transcript(self) -> tuple[Message, ...]:
        """Give the messages seen by this process, edits applied, in the order of the service's times."""
        return self._box.transcript()

    async def __aenter__(self) -> AsyncConversation:
        return self

    async def __aexit__(self, kind: object, error: BaseException | None, trace: object) -> None:
        try:
            if error is None:
                await self.end()
            else:
                await self._leave()
        finally:
            if self._owns_session:
                await self._session.aclose()

    def _routed(self, allocation: Allocation, request_id: str | None) -> Allocation:
        self._state.routed(self.id, request_id)
        return allocation

    async def _found_routed(self, error: PuzzelChatError) -> Allocation | None:
        """Learn whether a request without a clear answer was taken, or an earlier one (409); None when neither was."""
        if not (unknown_outcome(error) or isinstance(error, Conflict)):
            self._route_sent = self.id in self._state.conversations
            raise error
        try:
            return await self.allocation()
        except NotFound:
            return None
        except PuzzelChatError:
            self._state.routed(self.id, None)
            raise error from None

    async def _look(self, call: Callable[..., Awaitable[Reply]]) -> Allocation:
        request_id = self._state.request_id(self.id)
        try:
            return replies.allocation(await call(STATUS, status_request(self._status_id or self.id)), replies.now())
        except NotFound:
            if request_id is None or self._status_id == request_id:
                raise
        found = replies.allocation(await call(STATUS, status_request(request_id)), replies.now())
        self._status_id = request_id
        return found

    async def _look_again(self, wait: AgentWait) -> Allocation | None:
        try:
            allocation = await self._look(self._session._once)
        except PuzzelChatError as error:
            wait.failed(error, self._state.parts.clock.monotonic())
            return None
        return allocation if wait.observe(allocation) else None

    async def _reconciled(self, expected: Expected, error: PuzzelChatError) -> TextMessage:
        clock = self._state.parts.clock
        deadline = clock.monotonic() + RECONCILE_WITHIN
        while expected.found is None and self._box.failure is None and clock.monotonic() < deadline:
            try:
                await self._session._pump(None, deadline)
            except SessionError:
                break
        if expected.found is None:
            raise delivery_unknown(expected) from error
        return expected.found

    async def _end(self, within: float | None) -> None:
        if self._box.is_over or not self._route_sent:
            return
        clock = self._state.parts.clock
        deadline = clock.monotonic() + (within or 0.0)
        while True:
            try:
                await self._session._call(END, end_request(self.id), within)
                break
            except ApiError as error:
                if error.status not in (404, 409, 410):
                    raise
                # A request for an agent that was cut off may reach the service after this one.
                late = error.status == 404 and self.id not in self._state.conversations
                if not late or clock.monotonic() + LEAVE_PAUSE >= deadline:
                    break
            await clock.sleep(asyncio.Event(), LEAVE_PAUSE)
        self._state.closing(self.id)

    async def _leave_after(self, error: BaseException) -> None:
        if must_leave(error):
            await self._leave()

    async def _leave(self) -> None:
        """End what can be ended within five seconds, once; what stopped us matters more than a failure here."""
        if self._left:
            return
        self._left = True
        try:
            async with asyncio.timeout(LEAVE_WITHIN):
                await self._end(LEAVE_WITHIN)
        except (PuzzelChatError, TimeoutError) as error:
            log.warning("conversation %s could not be ended at the service: %s", self.id, type(error).__name__)
