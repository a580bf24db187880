"""One conversation: what became of a route, of a send, of an end, and what a stop does to a search."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from functools import partial
from math import inf
from typing import TYPE_CHECKING, Any, NamedTuple, TypeAlias, TypeVar, cast
from uuid import uuid4

from attrs import define, field

from puzzel_chat._errors import (
    AgentWaitTimeout,
    ApiError,
    Conflict,
    ConversationClosed,
    InvalidArgument,
    NotFound,
    PuzzelChatError,
    RoutingError,
    SessionError,
    StoreError,
)
from puzzel_chat._http import Reply, Request
from puzzel_chat._inbox import Expected, Inbox, Sent, delivery_unknown
from puzzel_chat._models import (
    Allocation,
    AllocationStage,
    Customer,
    CustomerFields,
    Event,
    EventBase,
    FileMessage,
    Life,
    Message,
    Option,
    OptionsMessage,
    Secret,
    TextMessage,
    Variable,
    secret_or_none,
)
from puzzel_chat._observing import AgentSearchEnded, MessageSent
from puzzel_chat._retry import LEAVE_PAUSE, LEAVE_WITHIN, RECONCILE_WITHIN, unknown_outcome
from puzzel_chat._routing import AgentWait, check_hours, checked_seconds, must_leave, unknown_hours
from puzzel_chat._session import EventReader, Search, SessionState
from puzzel_chat._settings import Settings
from puzzel_chat._steps import Call, Sleep, Steps, patiently
from puzzel_chat._wire import replies
from puzzel_chat._wire.operations import (
    END,
    QUEUE,
    ROUTE,
    SEND,
    STATUS,
    TYPING,
    UPLOAD,
    AnyOperation,
    as_customer,
    as_variables,
    check_size,
    checked_id,
    checked_text,
    end_request,
    file_request,
    queue_request,
    route_request,
    send_request,
    status_request,
    typing_request,
    upload_request,
)

if TYPE_CHECKING:
    from puzzel_chat._files import Incoming, Outgoing
    from puzzel_chat._history import History, Turn

log = logging.getLogger("puzzel_chat")
Progress: TypeAlias = Callable[[Allocation], object]
"""Called at each change of a search; what it returns is awaited where it can be."""
_NOT_ENDED = "The chat could not be ended at the service; closing the session, or end(), tries it again."
_LEFT = "left"
_T = TypeVar("_T")


class Order(NamedTuple):
    """What is said to get an agent, checked, in values whose reprs hide it."""

    customer: Customer | None = None
    variables: tuple[Variable, ...] = ()
    subject: str | None = None
    history: tuple[Turn, ...] = ()

    def request(self, conversation_id: str, queue_key: str, most: int) -> tuple[Request, int]:
        """Return the request, in so many bytes at most, and how many turns of the history have no room in it."""
        told, left_out = None, 0
        if self.history:
            from puzzel_chat._history import LARGEST_HISTORY, for_the_agent

            bare = self._with(conversation_id, queue_key, "")
            told, left_out = for_the_agent(self.history, min(LARGEST_HISTORY, most - len(bare.body or b"")))
        request = self._with(conversation_id, queue_key, told)
        check_size("variables", request, most)
        return request, left_out

    def _with(self, conversation_id: str, queue_key: str, history: str | None) -> Request:
        return route_request(conversation_id, queue_key, self.customer, self.variables, self.subject, history)


def masked(
    customer: Customer | CustomerFields | None,
    variables: Iterable[Variable] | Mapping[str, str] | None,
    subject: str | None,
    history: History | None,
) -> Order:
    """Return what is said to get an agent; raises `InvalidArgument`."""
    turns: tuple[Turn, ...] = ()
    if history is not None:
        from puzzel_chat._history import as_turns

        turns = as_turns(history)
    return Order(as_customer(customer), as_variables(variables), secret_or_none(subject), turns)


def checked_option(option: Option | str) -> Option | str:
    """Return a choice whose repr hides its words; raises `InvalidArgument`."""
    if not isinstance(option, Option | str):
        raise InvalidArgument("option", f"must be an Option, its id or its label, not {type(option).__name__}")
    return Secret(option) if isinstance(option, str) else option


def chosen(option: Option | str, questions: Sequence[OptionsMessage]) -> Option:
    """Return an option of the last question, by itself, its id or its label; raises `InvalidArgument`.

    Where no question is known, an `Option` is taken as it is: another process may have received the question.
    """
    known = questions[-1].options if questions else ()
    if isinstance(option, Option) and (option in known or not questions):
        return option
    for found in known:
        if option in (found.id, found.label):
            return found
    if not questions:
        raise InvalidArgument("option", "there is no question with choices yet; pass the Option that you answer with")
    told = f"is no choice of the last question, neither by id nor by label; its ids are {[one.id for one in known]}"
    raise InvalidArgument("option", told)


class Beginning(NamedTuple):
    """The arguments of `start()`, checked before the first request."""

    queue_key: str
    visual_queue_id: str | int | None
    conversation_id: str
    order: Order
    wait: float

    @classmethod
    def checked(
        cls,
        settings: Settings,
        queue_key: str,
        visual_queue_id: str | int | None,
        conversation_id: str | None,
        order: Order,
        wait: float,
    ) -> Beginning:
        """Check the arguments; raises `InvalidArgument` for what no request can carry."""
        wait = checked_seconds("wait", wait)
        chosen = str(uuid4()) if conversation_id is None else checked_id("conversation_id", conversation_id)
        order.request(chosen, queue_key, settings.max_message_bytes)
        if visual_queue_id is not None:
            queue_request(visual_queue_id)
        return cls(queue_key, visual_queue_id, chosen, order, wait)


@define(eq=False)
class ConversationState:
    """One conversation as both shells share it; `owns_session` when `start()` opened the session for it alone."""

    session: SessionState
    id: str
    inbox: Inbox = field(init=False)
    owns_session: bool = field(default=False, init=False)
    history_left_out: int = field(default=0, init=False)
    _status_id: str | None = field(default=None, init=False)

    def __attrs_post_init__(self) -> None:
        self.inbox = self.session.inbox(self.id)

    @property
    def max_file_bytes(self) -> int:
        """The setting."""
        return self.session.parts.settings.max_file_bytes

    # Asking for an agent.

    def begin(self, beginning: Beginning, on_progress: Progress | None) -> Steps[None]:
        """Check the hours, route, and wait for an agent; when anything goes wrong nothing stays behind."""
        self.owns_session = True
        try:
            if beginning.visual_queue_id is not None:
                yield from self._check_hours(beginning.visual_queue_id)
            yield from self.route(beginning.queue_key, beginning.order)
            if beginning.wait:
                yield from self.wait_for_agent(beginning.wait, on_progress)
        except BaseException as error:
            by = self.leave_by()
            yield from self.leave_after(error)
            self.session.chat_ended(self.id, error=type(error).__name__)
            yield from self.session.shut(min(by, self.leave_by()))
            raise

    def route(self, queue_key: str, order: Order, timeout: float | None = None) -> Steps[Allocation]:
        """Ask for an agent; a request without a clear answer is looked for before it is made again."""
        by = self.session.deadline(timeout)
        request, left_out = order.request(self.id, queue_key, self.session.parts.settings.max_message_bytes)
        self.inbox.check_open()
        self.history_left_out = left_out
        if left_out:
            told = "conversation %s: %d of %d turns of its history had no room"
            log.warning(told, self.id, left_out, len(order.history))
        with self._searching():
            return (yield from self._learning(self._unless_stopped(self._route(request, by, timeout))))

    def allocation(self, timeout: float | None = None) -> Steps[Allocation]:
        """Ask once how the search goes."""
        by = self.session.deadline(timeout)
        return (yield from self._look(partial(self.session.call, by=by, timeout=timeout)))

    def wait_for_agent(self, wait: float, on_progress: Progress | None) -> Steps[Allocation]:
        """Wait until an agent has the chat, for at most `wait` seconds; whatever stops that leaves the queue."""
        with self.search(wait) as search:
            try:
                while True:
                    allocation = yield from search.next_change()
                    if on_progress is not None:
                        yield Call(on_progress, allocation)
                    if search.done:
                        return allocation
            except BaseException as error:
                yield from self.leave_after(error)
                raise

    @contextmanager
    def search(self, wait: float) -> Iterator[AgentSearch]:
        """Look for an agent for at most `wait` seconds within this block."""
        self.inbox.check_open()
        bounded = AgentWait(self.session.parts.clock.monotonic(), checked_seconds("wait", wait))
        outcome = _LEFT
        try:
            with self._searching() as search:
                yield AgentSearch(self, bounded, search)
            outcome = "assigned" if bounded.done else _LEFT
        except BaseException as error:
            outcome = _LEFT if isinstance(error, GeneratorExit) else type(error).__name__
            raise
        finally:
            seconds = self.session.parts.clock.monotonic() - bounded.began
            told = AgentSearchEnded(
                session_id=self.session.id, conversation_id=self.id, seconds=seconds, outcome=outcome
            )
            self.session.parts.watch.tell(told)

    @contextmanager
    def _searching(self) -> Iterator[Search]:
        """Note that this caller asks for an agent: when the session closes, it leaves the queue."""
        parts, searches = self.session.parts, self.session.searches
        search = Search(self, parts.flag(), parts.caller())
        searches.append(search)
        try:
            yield search
        finally:
            searches.remove(search)
            search.over.set()

    def _check_hours(self, visual_queue_id: str | int) -> Steps[None]:
        try:
            reply = yield from self.session.call(QUEUE, queue_request(visual_queue_id))
            check_hours(replies.queue_info(reply, replies.now()))
        except PuzzelChatError as error:
            if not unknown_hours(error):
                raise

    def _route(self, request: Request, by: float, timeout: float | None) -> Steps[Allocation]:
        session, most = self.session, 1 + self.session.parts.settings.max_retries
        fresh = yield from patiently(partial(session.asked, self.id), session.parts.clock)
        attempt = 0
        while True:
            attempt += 1
            try:
                reply = yield from session.call(ROUTE, request, by, timeout)
                allocation, request_id = replies.routed(reply, replies.now())
            except PuzzelChatError as error:
                found = yield from self._found_routed(error, fresh and attempt == 1, by)
                if found is None and (attempt == most or isinstance(error, Conflict)):
                    raise
            else:
                yield from session.routed(self.id, request_id)
                return allocation
            if found is not None:
                yield from session.routed(self.id, None)
                return found

    def _found_routed(self, error: PuzzelChatError, fresh: bool, by: float) -> Steps[Allocation | None]:
        """Find out whether a request without a clear answer was taken, or an earlier one (409); None when neither was.

        `fresh`: no request before this one can have been taken.
        """
        unknown = unknown_outcome(error)
        try:
            if unknown or isinstance(error, Conflict):
                return (yield from self._look(partial(self.session.call, by=by)))
        except NotFound:
            pass
        except PuzzelChatError:
            if not unknown:
                yield from self.session.routed(self.id, None)
            raise error from None
        if not unknown and fresh:
            yield from self.session.refused(self.id)
        if unknown or isinstance(error, Conflict):
            return None
        raise error

    def _look(self, call: Callable[[AnyOperation, Request], Steps[Reply]]) -> Steps[Allocation]:
        """Ask by the conversation's id, and where nothing is known under it, by the id that routing gave."""
        request_id = self.session.request_id(self.id)
        try:
            return (yield from self._seen((yield from call(STATUS, status_request(self.id, self._status_id)))))
        except NotFound:
            if request_id is None or self._status_id == request_id:
                raise
        found = yield from self._seen((yield from call(STATUS, status_request(self.id, request_id))))
        self._status_id = request_id
        return found

    def _seen(self, reply: Reply) -> Steps[Allocation]:
        found = replies.allocation(reply, replies.now())
        if found.stage is AllocationStage.CANCELLED:  # refused or expired, it may be routed again
            yield from self._over()
        return found

    def look_once(self) -> Steps[Allocation]:
        """Ask how the search goes, without trying again."""
        return (yield from self._look(self.session.once))

    # Reading.

    def events(self, timeout: float | None) -> EventReader[Event]:
        """Return a reader of all events; `timeout` in seconds is for each of them."""
        return self._reader(EventBase, timeout)

    def messages(self, timeout: float | None) -> EventReader[Message]:
        """Return a reader of the messages alone; `timeout` as in `events`."""
        return self._reader(Message, timeout)

    def _reader(self, kind: Any, timeout: float | None) -> EventReader[Any]:
        timeout = None if timeout is None else checked_seconds("timeout", timeout)
        return EventReader(self.session, self.inbox, kind, timeout, self.allocation)

    # Talking.

    def send(self, text: str, timeout: float | None = None) -> Steps[TextMessage]:
        """Send a line of text, at most once; without a usable reply it is looked for in the polls that follow."""
        by = self.session.deadline(timeout)
        self.inbox.check_open()
        with self.inbox.sends.expecting(str(uuid4()), text) as expected:
            request = send_request(self.id, text, expected.client_id)
            check_size("text", request, self.session.parts.settings.max_message_bytes)
            read = partial(replies.sent_message, conversation_id=self.id, client_id=expected.client_id, words=text)
            return cast("TextMessage", (yield from self._say(expected, request, read, by, timeout)))

    def choose(self, option: Option | str, timeout: float | None = None) -> Steps[TextMessage]:
        """Answer the last question with choices, in the words of one of them."""
        found = chosen(option, [one for one in self.inbox.transcript() if isinstance(one, OptionsMessage)])
        return (yield from self.send(checked_text(found.label or found.id), timeout))

    def send_file(self, file: Outgoing, timeout: float | None = None) -> Steps[FileMessage]:
        """Upload a file, and send it, that at most once; nobody sees it before."""
        by = self.session.deadline(timeout)
        self.inbox.check_open()
        with file:
            upload = upload_request(self.id, file, file.name, file.content_type)
            file_id, url = replies.uploaded((yield from self.session.call(UPLOAD, upload, by, timeout)))
        with self.inbox.sends.expecting(str(uuid4()), file.name, url) as expected:
            request = file_request(self.id, file_id, expected.client_id)
            told = file.described(url)
            read = partial(replies.sent_file, conversation_id=self.id, client_id=expected.client_id, told=told)
            return cast("FileMessage", (yield from self._say(expected, request, read, by, timeout)))

    def download(self, message: FileMessage, into: Incoming, timeout: float | None = None) -> Steps[int]:
        """Fetch the file of a message, and return its size in bytes."""
        if not isinstance(message, FileMessage):
            raise InvalidArgument("message", f"must be a FileMessage, not {type(message).__name__}")
        from puzzel_chat._files import fetch

        return (yield from fetch(self.session, self.id, message, into, timeout))

    def _say(
        self, expected: Expected, request: Request, read: Callable[[Reply], Sent], by: float, timeout: float | None
    ) -> Steps[Sent]:
        began, found = self.session.parts.clock.monotonic(), False
        try:
            message = read((yield from self._learning(self.session.call(SEND, request, by, timeout))))
        except PuzzelChatError as error:
            if not unknown_outcome(error):
                raise
            message, found = (yield from self._reconciled(expected, error, by)), True
        else:
            self.inbox.sent(message)
        self._tell_sent(began, found)
        return message

    def _tell_sent(self, began: float, found: bool) -> None:
        parts = self.session.parts
        seconds = parts.clock.monotonic() - began
        parts.watch.tell(MessageSent(session_id=self.session.id, conversation_id=self.id, seconds=seconds, found=found))

    def typing(self, is_typing: bool, timeout: float | None = None) -> Steps[None]:
        """Tell the agent that the customer began or stopped typing."""
        self.inbox.check_open()
        yield from self._learning(self.session.call(TYPING, typing_request(self.id, is_typing), timeout=timeout))

    def _reconciled(self, expected: Expected, error: PuzzelChatError, by: float) -> Steps[Sent]:
        clock = self.session.parts.clock
        expected.unanswered, deadline = True, min(by, clock.monotonic() + RECONCILE_WITHIN)
        while (found := self.inbox.sends.found(expected)) is None:
            if clock.monotonic() >= deadline or not self.session.may_bring(self.inbox):
                raise delivery_unknown(expected) from error
            with suppress(SessionError):
                yield from self.session.poll_when_due(None, deadline, searching=True)
        return found

    # Ending.

    def end(self, timeout: float | None = None) -> Steps[None]:
        """End the chat, or leave the queue; nothing is sent when it is over already, or was never routed."""
        yield from self._unless_stopped(self._end(self.session.deadline(timeout), timeout))

    def leave_block(self, error: BaseException | None) -> Steps[None]:
        """End the chat at the end of its `with` block, which that error has left."""
        by = self.leave_by()
        try:
            if error is None:
                yield from self.end()
            else:
                yield from self.leave(by)
        finally:
            if self.owns_session:
                yield from self.session.shut(min(by, self.leave_by()))

    def leave(self, by: float = inf) -> Steps[None]:
        """End the chat as far as possible by that monotonic time, within five seconds; failures are logged.

        What failed is tried again when the session closes.
        """
        clock = self.session.parts.clock
        by = min(by, self.leave_by())
        if by <= clock.monotonic():
            return
        failed = True
        try:
            yield from self._end(by)
            failed = False
        except PuzzelChatError as error:
            log.warning("conversation %s could not be ended at the service: %s", self.id, type(error).__name__)
        finally:
            if failed:
                self.session.not_left[self.id] = clock.monotonic()
                if self not in self.session.owed:
                    self.session.owed.append(self)

    def leave_after(self, error: BaseException) -> Steps[None]:
        """Leave, unless the error says that there is nothing to leave; the error stays the one that is raised."""
        if not must_leave(error):
            return
        try:
            yield from self.leave()
        except BaseException:
            if not isinstance(error, PuzzelChatError):
                raise
            # We left because of an error of ours: this is the first that stops us.
            self.session.not_left.pop(self.id, None)
            yield from self.leave()
            raise
        if self.id in self.session.going_on() and _NOT_ENDED not in getattr(error, "__notes__", ()):
            error.add_note(_NOT_ENDED)

    def give_up(self, error: PuzzelChatError) -> Steps[None]:
        """Leave the queue after a search that failed; the end that follows says why there is no agent.

        Raises the error when no end will follow.
        """
        refused = isinstance(error, RoutingError)
        if refused and not self.inbox.life.over:
            self.inbox.given_up = getattr(error, "reason", None) or type(error).__name__
        yield from self.leave_after(error)
        if refused and not isinstance(error, AgentWaitTimeout):
            yield from self._over()
        if not refused or not self.inbox.life.over:
            raise error

    def leave_by(self) -> float:
        """Return the monotonic deadline for all leaving that begins now."""
        return self.session.leave_by(self.id)

    def _learning(self, steps: Steps[_T]) -> Steps[_T]:
        """Note an end that the service tells in its answer; the end event may have been lost with a poll's reply."""
        try:
            return (yield from steps)
        except ConversationClosed:
            yield from self._over()
            raise

    def _over(self) -> Steps[None]:
        with suppress(StoreError):  # it is noted here all the same
            yield from self.session.ended(self.id, Life.CLOSED)

    def _unless_stopped(self, steps: Steps[_T]) -> Steps[_T]:
        """Leave when something stops us that is no error of ours: an interrupt, a cancellation."""
        try:
            return (yield from steps)
        except (PuzzelChatError, GeneratorExit):
            raise
        except BaseException:
            yield from self.leave()
            raise

    def _end(self, by: float, timeout: float | None = None) -> Steps[None]:
        """End the chat; while a request for an agent is in flight, until the service knows the conversation."""
        clock = self.session.parts.clock
        late = min(by, clock.monotonic() + LEAVE_WITHIN)
        while not self.inbox.life.over and (yield from self.session.may_be_routed(self.id)):
            known = (yield from self._tell_end(by, timeout)) or self.session.is_routed(self.id)
            if known or clock.monotonic() + LEAVE_PAUSE >= late:
                yield from self.session.ended(self.id)
                return
            yield Sleep(LEAVE_PAUSE)

    def _tell_end(self, by: float, timeout: float | None) -> Steps[bool]:
        """Send the end; return whether the service knows the conversation, ended or not."""
        try:
            yield from self.session.call(END, end_request(self.id), by, timeout)
        except ApiError as error:
            if error.retryable or error.status not in (404, 409, 410):
                raise
            return error.status != 404
        return True


@define(eq=False)
class AgentSearch:
    """The wait for an agent of one caller."""

    conversation: ConversationState
    wait: AgentWait
    search: Search

    @property
    def done(self) -> bool:
        """Whether an agent has the chat."""
        return self.wait.done

    def next_change(self) -> Steps[Allocation]:
        """Look until something has changed; raises when the search ends without an agent."""
        session = self.conversation.session
        self.search.caller = session.parts.caller()
        while True:
            yield Sleep(self.delay(), session.closing)
            if (allocation := (yield from self.look())) is not None:
                # The application has the turn, and may never come back.
                self.search.caller = None
                return allocation

    def delay(self) -> float:
        """Return the seconds until the next look; raises `AgentWaitTimeout` when the time is up."""
        clock = self.conversation.session.parts.clock
        return self.wait.delay(clock.monotonic(), clock.uniform)

    def look(self) -> Steps[Allocation | None]:
        """Look once, and return what has changed; raises when the search ends without an agent."""
        try:
            allocation = yield from self.conversation.look_once()
        except PuzzelChatError as error:
            self.wait.failed(error, self.conversation.session.parts.clock.monotonic())
            return None
        return allocation if self.wait.observe(allocation) else None
