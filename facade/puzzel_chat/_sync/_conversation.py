"""One conversation: routing, waiting for an agent, talking, ending."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import suppress
from typing import TYPE_CHECKING
from uuid import uuid4

from puzzel_chat._delivery import Expected, delivery_unknown
from puzzel_chat._errors import Conflict, NotFound, PuzzelChatError, SessionError
from puzzel_chat._http import Reply, Request
from puzzel_chat._models import Allocation, Customer, Event, Message, TextMessage, Variable, is_message
from puzzel_chat._retry import MAX_ATTEMPTS, RECONCILE_WITHIN, unknown_outcome
from puzzel_chat._routing import AgentWait, checked_timeout
from puzzel_chat._secrets import secret_or_none
from puzzel_chat._sync._ending import Ending
from puzzel_chat._wire import replies
from puzzel_chat._wire.operations import (
    ROUTE,
    SEND,
    STATUS,
    TYPING,
    as_customer,
    as_variables,
    checked_text,
    route_request,
    send_request,
    status_request,
    typing_request,
)

if TYPE_CHECKING:
    from puzzel_chat._sync._session import Session

Progress = Callable[[Allocation], object]


class Conversation:
    """One chat, under an id that the caller chose. As a context manager it ends the chat when the block is left, once.

    Made by `Session.conversation()` and `PuzzelChat.start()`. One caller at a time takes its events.
    """

    def __init__(self, session: Session, conversation_id: str) -> None:
        self._session = session
        self._id = conversation_id
        self._state = session._state
        self._box = session._state.box(conversation_id)
        self._status_id: str | None = None
        self._owns_session = False
        self._ending = Ending(session, conversation_id)

    def __repr__(self) -> str:
        return f"<Conversation {self.id}{' (over)' if self.ended else ''}>"

    @property
    def id(self) -> str:
        """The conversation's id at the service."""
        return self._id

    @property
    def session(self) -> Session:
        """The session that this conversation belongs to."""
        return self._session

    @property
    def ended(self) -> bool:
        """Tell whether the chat is over, from either side, as far as is known here; its last events may be unread."""
        return self._box.is_over

    def route(
        self,
        queue_key: str,
        *,
        customer: Customer | Mapping[str, str] | None = None,
        variables: Iterable[Variable] | Mapping[str, str] | None = None,
        subject: str | None = None,
    ) -> Allocation:
        """Ask the contact centre to find an agent in that queue. May be repeated safely: the conversation's id is ours.

        Raises `QueueClosed`, `QueueFull`, `RoutingRefused`, `NotFound` for an unknown queue, `ConversationClosed`, or
        `TransportError` when it could not even be learnt whether the request arrived, or `StoreError` after it did.
        Interrupted or cancelled, it leaves the queue first, within five seconds.
        """
        customer, variables, subject = as_customer(customer), as_variables(variables), secret_or_none(subject)
        request = route_request(self.id, queue_key, customer, variables, subject)
        self._box.check_open()
        self._ending.search_begins()
        try:
            with self._ending.unless_stopped():
                return self._route(request)
        finally:
            self._ending.search_ends()

    def allocation(self) -> Allocation:
        """Ask once how the search for an agent goes. Raises `NotFound` when nothing was routed."""
        return self._look(self._session._call)

    def wait_for_agent(self, timeout: float = 120.0, on_progress: Progress | None = None) -> Allocation:
        """Wait until an agent has the chat, for at most `timeout` seconds; `on_progress` is called at each change.

        Raises `AgentWaitTimeout` after leaving the queue on the server, `QueueClosed`, `QueueFull`, `RoutingRefused`,
        or what makes asking useless. Interrupted in any way, it leaves the queue first.
        """
        allocation: Allocation | None = None
        try:
            for allocation in self.allocation_updates(timeout):
                if on_progress is not None:
                    on_progress(allocation)
        except BaseException as error:
            self._ending.leave_after(error)
            raise
        assert allocation is not None
        return allocation

    def allocation_updates(self, timeout: float = 120.0) -> Iterator[Allocation]:
        """Give the allocation at each change, until an agent has the chat; as `wait_for_agent` otherwise.

        Leaving the loop early leaves the chat in the queue.
        """
        clock = self._state.parts.clock
        wait = AgentWait(clock.monotonic(), checked_timeout(timeout))
        self._ending.search_begins()
        try:
            while not wait.done:
                clock.wait(self._session._closing, wait.delay(clock.monotonic(), clock.uniform))
                changed = self._look_again(wait)
                if changed is not None:
                    self._ending.search_pauses()
                    yield changed
                    self._ending.search_begins()
        except BaseException as error:
            self._ending.leave_after(error)
            raise
        finally:
            self._ending.search_ends()

    def events(self) -> Iterator[Event]:
        """Give everything that happens, in order and once, until `ConversationEnded`, which comes last.

        Coming back for the next event says that the last one has been handled. Raises what ended the polling, and
        `SessionInUse`; once `StoreError`, before what could not be written and a crash would lose: call again to go on.
        """
        while (event := self._session._next_event(self.id)) is not None:
            yield event

    def messages(self) -> Iterator[Message]:
        """Give the messages of all sides, own ones included, until the chat ends. As `events()` otherwise."""
        for event in self.events():
            if is_message(event):
                yield event

    def send(self, text: str) -> TextMessage:
        """Send a line of plain text, at most once.

        When no usable reply comes, the message is looked for in the polls that follow. Raises `DeliveryUnknown` when it
        is not found there, `ConversationClosed` when the chat is over (also when its last events are not read yet),
        `InvalidArgument` for an empty text, `TransportError` when it was certainly not sent, or `ApiError`.
        """
        text = checked_text(text)
        self._box.check_open()
        with self._box.sends.expecting(str(uuid4()), text) as expected:
            request = send_request(self.id, text, expected.client_id)
            try:
                reply = self._session._call(SEND, request)
                message = replies.sent_message(reply, self.id, expected.client_id, text)
            except PuzzelChatError as error:
                if not unknown_outcome(error):
                    raise
                return self._reconciled(expected, error)
            with self._session._lock:
                self._box.sent(message)
            return message

    def typing(self, is_typing: bool = True) -> None:
        """Tell the agent that the customer began or stopped typing. Raises `ConversationClosed`."""
        self._box.check_open()
        self._session._call(TYPING, typing_request(self.id, is_typing))

    def end(self) -> None:
        """End the chat, or leave the queue; nothing is sent when it is over already, or was never routed."""
        with self._ending.unless_stopped():
            self._ending.end()

    def transcript(self) -> tuple[Message, ...]:
        """Give the messages seen by this process, edits applied, in the order of the service's times."""
        return self._box.transcript()

    def __enter__(self) -> Conversation:
        return self

    def __exit__(self, kind: object, error: BaseException | None, trace: object) -> None:
        by = self._ending.by()
        try:
            if error is None:
                self.end()
            else:
                self._ending.leave(by)
        finally:
            if self._owns_session:
                self._session._close(min(by, self._ending.by()))

    def _route(self, request: Request) -> Allocation:
        fresh = not self._state.may_be_routed(self.id)
        self._state.route_sent.add(self.id)
        for attempt in range(1, MAX_ATTEMPTS + 1):
            try:
                allocation, request_id = replies.routed(self._session._call(ROUTE, request), replies.now())
            except PuzzelChatError as error:
                found = self._found_routed(error, fresh and attempt == 1)
                if found is not None:
                    return self._routed(found, None)
                if attempt == MAX_ATTEMPTS or isinstance(error, Conflict):
                    raise
            else:
                return self._routed(allocation, request_id)
        raise AssertionError("unreachable")

    def _routed(self, allocation: Allocation, request_id: str | None) -> Allocation:
        with self._session._lock:
            self._state.routed(self.id, request_id)
        return allocation

    def _found_routed(self, error: PuzzelChatError, fresh: bool) -> Allocation | None:
        """Learn whether a request without a clear answer was taken, or an earlier one (409); None when neither was.

        `fresh`: no request before this one can have been taken.
        """
        unknown = unknown_outcome(error)
        try:
            if unknown or isinstance(error, Conflict):
                return self.allocation()
        except NotFound:
            pass
        except PuzzelChatError:
            with self._session._lock:
                self._state.routed(self.id, None)
            raise error from None
        if not unknown and fresh:
            self._state.route_sent.discard(self.id)
        if unknown or isinstance(error, Conflict):
            return None
        raise error

    def _look(self, call: Callable[..., Reply]) -> Allocation:
        request_id = self._state.request_id(self.id)
        try:
            return replies.allocation(call(STATUS, status_request(self._status_id or self.id)), replies.now())
        except NotFound:
            if request_id is None or self._status_id == request_id:
                raise
        found = replies.allocation(call(STATUS, status_request(request_id)), replies.now())
        self._status_id = request_id
        return found

    def _look_again(self, wait: AgentWait) -> Allocation | None:
        try:
            allocation = self._look(self._session._once)
        except PuzzelChatError as error:
            wait.failed(error, self._state.parts.clock.monotonic())
            return None
        return allocation if wait.observe(allocation) else None

    def _reconciled(self, expected: Expected, error: PuzzelChatError) -> TextMessage:
        clock = self._state.parts.clock
        expected.unanswered, deadline = True, clock.monotonic() + RECONCILE_WITHIN
        while (found := self._echo(expected)) is None:
            if clock.monotonic() >= deadline or not self._session._may_bring(self.id):
                raise delivery_unknown(expected) from error
            with suppress(SessionError):
                self._session._pump(None, deadline)
        return found

    def _echo(self, expected: Expected) -> TextMessage | None:
        with self._session._lock:
            return self._box.sends.found(expected)
