"""Handlers: coroutines run on the event loop, plain functions in threads, so that none delays another.

Each conversation's handler gets its events in order and one at a time.
"""

from __future__ import annotations

import asyncio
import enum
import functools
import inspect
from collections.abc import Awaitable, Callable, Coroutine
from concurrent.futures import ThreadPoolExecutor
from contextvars import Context, copy_context
from types import TracebackType
from typing import Any, TypeAlias

from puzzel_chat._async import AsyncConversation
from puzzel_chat._clock import Clock
from puzzel_chat._conversation import ConversationState
from puzzel_chat._errors import PuzzelChatError, StoreError
from puzzel_chat._fleet._polled import Counters, PolledSession, Subscription
from puzzel_chat._inbox import Inbox
from puzzel_chat._models import Allocation, AllocationChanged, Event, Life
from puzzel_chat._retry import backoff
from puzzel_chat._session import log
from puzzel_chat._steps import is_async


class Handlers:
    """Runs callables of the application; plain ones in at most `threads` threads at once."""

    def __init__(self, threads: int) -> None:
        self._count = threads
        self._threads: ThreadPoolExecutor | None = None

    async def call(self, function: Callable[..., object], *arguments: object) -> object:
        """Call a function, wait for its result and return it; raises what it raises."""
        if is_async(function):
            result = function(*arguments)
        else:
            if self._threads is None:
                self._threads = ThreadPoolExecutor(self._count, "puzzel-chat-handler")
            run, loop = copy_context().run, asyncio.get_running_loop()
            result = await loop.run_in_executor(self._threads, run, functools.partial(_plain, function, *arguments))
        # A plain function may return a coroutine, as a lambda around one does.
        return await result if inspect.isawaitable(result) else result

    def close(self) -> None:
        """Let the threads end after their present work."""
        if self._threads is not None:
            self._threads.shutdown(wait=False, cancel_futures=True)


def _plain(function: Callable[..., object], *arguments: object) -> object:
    try:
        return function(*arguments)
    except StopIteration as stop:
        # A future cannot hold it, so its waiter would hang (3.11.7); a coroutine turns it into this error too.
        raise RuntimeError("a handler raised StopIteration").with_traceback(stop.__traceback__) from None


def stops(error: BaseException) -> bool:
    """Return whether an exception stops the task or the program, and is not just the handler's own failure."""
    task = asyncio.current_task()
    if isinstance(error, asyncio.CancelledError):
        # A handler that awaited a cancelled task gets this too, though nobody cancelled the handler.
        return task is None or task.cancelling() > 0
    return isinstance(error, KeyboardInterrupt | SystemExit | GeneratorExit)


def place_of(error: BaseException) -> str:
    """Return where an exception was raised."""
    trace: TracebackType | None = error.__traceback__
    while trace is not None and trace.tb_next is not None:
        trace = trace.tb_next
    return f"{trace.tb_frame.f_code.co_filename}:{trace.tb_lineno}" if trace else "an unknown place"


class AfterError(enum.StrEnum):
    """What a `PollingLoop` does after an exception of a handler."""

    GO_ON = "go on"
    """The event counts as handled, and the next one comes."""
    TRY_AGAIN = "try again"
    """The handler gets the event again after a growing pause, five times in all; then as with `STOP`."""
    STOP = "stop"
    """The conversation is polled no longer, and `on_failure` is called; the event waits for the next reader."""


def _changed(state: ConversationState, allocation: Allocation) -> AllocationChanged:
    return AllocationChanged(conversation_id=state.id, id=f"{state.id}:allocation", allocation=allocation)


OnFailure: TypeAlias = (
    Callable[[AsyncConversation, Exception], Awaitable[object] | object]
    | Callable[[AsyncConversation, PuzzelChatError], Awaitable[object] | object]
)
"""Called with a conversation that is polled no longer, and why.

That is an error of ours, or what its handler raised, when `on_handler_error` said to stop.
"""
OnHandlerError: TypeAlias = Callable[[AsyncConversation, Event, Exception], Awaitable[AfterError] | AfterError]
"""Called with what a handler raised for an event; says what to do."""
SLOW = 1.0
"""Seconds with one event after which a handler counts as slow."""
TRIES = 5
"""Times that a handler gets one event; the pauses between them are about 1, 2, 4 and 8 seconds, 30 at most in all."""


class Dispatcher:
    """All running handlers; `let_go` is called with each conversation that has ended or failed."""

    def __init__(
        self,
        handlers: Handlers,
        on_failure: OnFailure | None,
        on_handler_error: AfterError | OnHandlerError,
        counters: Counters,
        let_go: Callable[[PolledSession, Subscription], None],
    ) -> None:
        self._handlers = handlers
        self._on_failure = on_failure
        self._on_handler_error = on_handler_error
        self._counters = counters
        self._let_go = let_go
        self._at_work: set[Subscription] = set()
        self._busy: set[Subscription] = set()
        self.clock = Clock()
        self.tasks: set[asyncio.Task[None]] = set()

    @property
    def at_work(self) -> int:
        """How many handlers are running."""
        return len(self._at_work)

    @property
    def slow(self) -> list[Subscription]:
        """The subscriptions whose handlers have had one event for too long."""
        now = self.clock.monotonic()
        return [subscription for subscription in self._at_work if now - subscription.since > SLOW]

    def still_at(self, inbox: Inbox) -> asyncio.Task[None] | None:
        """Return the task of a removed handler that is not yet done with this conversation."""
        return next((subscription.task for subscription in self._busy if subscription.state.inbox is inbox), None)

    def news(self, polled: PolledSession) -> None:
        """Start the idle handlers that have something to read, or an agent to wait for."""
        for subscription in list(polled.subscriptions.values()):
            inbox, waits = subscription.state.inbox, subscription.wait is not None
            if waits and subscription.pause and (inbox.has_agent or inbox.life.over):
                subscription.pause.set()
            elif not subscription.busy and (waits or inbox.has_news):
                subscription.busy = True
                self._busy.add(subscription)
                subscription.task = self._start(self._deliver(polled, subscription), subscription.context)

    def failed(self, polled: PolledSession, error: Exception) -> None:
        """Drop a session whose polling an error ended, and report that for each of its conversations."""
        for subscription in list(polled.subscriptions.values()):
            self._stopped(polled, subscription, error)

    def tell_slow(self) -> None:
        """Log each slow handler, once per event."""
        for subscription in self.slow:
            if not subscription.told_slow:
                subscription.told_slow = True
                told = "the handler of conversation %s has had one event for more than %g s; the others wait behind it"
                log.warning(told, subscription.conversation.id, SLOW)

    async def _deliver(self, polled: PolledSession, subscription: Subscription) -> None:
        conversation = subscription.conversation
        state = polled.state
        try:
            if subscription.after is not None:
                await asyncio.wait({subscription.after})
                subscription.after = None
            await self._search(polled, subscription)
            while not subscription.gone:
                try:
                    event = await polled.run(state.take(subscription.state.inbox))
                except StoreError as error:
                    # Raised once per failure; the events are in memory, and the chat goes on.
                    log.warning("conversation %s goes on without its store: %s", conversation.id, error)
                    continue
                if event is None:
                    break
                if subscription.gone:
                    subscription.state.inbox.take_back(event)
                    break
                await self._handle(subscription, event)
            if subscription.gone:
                await polled.run(state.acknowledge(subscription.state.inbox))
        except Exception as error:
            self._stopped(polled, subscription, error)
        else:
            if subscription.state.inbox.life is Life.READ and not subscription.gone:
                self._let_go(polled, subscription)
                if subscription.state.owns_session:
                    await conversation.session.aclose()
        finally:
            subscription.busy, subscription.task = False, None
            self._busy.discard(subscription)

    async def _search(self, polled: PolledSession, subscription: Subscription) -> None:
        """Wait for an agent, if that is asked for, and tell each change."""
        state, wait = subscription.state, subscription.wait
        if wait is None or state.inbox.life.over:
            return
        try:
            with state.search(wait) as search:
                while not (search.done or subscription.gone or state.inbox.life.over):
                    await self._pause(subscription, search.delay())
                    if subscription.gone:
                        return
                    if (changed := await polled.run(search.look(), polled.service.transport)) is not None:
                        await self._handle(subscription, _changed(state, changed))
        except PuzzelChatError as error:
            await polled.run(state.give_up(error))
        finally:
            subscription.wait = None

    async def _pause(self, subscription: Subscription, seconds: float) -> None:
        subscription.pause = asyncio.Event()
        await self.clock.sleep(subscription.pause, seconds)
        subscription.pause = None

    async def _handle(self, subscription: Subscription, event: Event) -> None:
        """Give the handler an event, until it counts as handled; raises the handler's error when polling shall stop."""
        attempt = 1
        while (error := await self._tried(subscription, event)) is not None:
            after = await self._decided(subscription, event, error)
            if after is AfterError.GO_ON:
                return
            if after is AfterError.STOP or attempt == TRIES:
                subscription.state.inbox.take_back(event)
                raise error
            await self._pause(subscription, backoff(attempt, self.clock.uniform))
            if subscription.gone:
                subscription.state.inbox.take_back(event)
                return
            attempt += 1

    async def _tried(self, subscription: Subscription, event: Event) -> Exception | None:
        """Give the handler an event once; return what it raised."""
        subscription.since, subscription.told_slow = self.clock.monotonic(), False
        self._at_work.add(subscription)
        try:
            await self._handlers.call(subscription.handler, subscription.conversation, event)
        except BaseException as error:
            if stops(error):
                raise
            self._counters.handler_errors += 1
            where = subscription.conversation.id, type(error).__name__, place_of(error)
            log.error("the handler of conversation %s raised %s at %s", *where, exc_info=error)
            return error if isinstance(error, Exception) else RuntimeError(f"{type(error).__name__} in a handler")
        finally:
            self._at_work.discard(subscription)
        return None

    async def _decided(self, subscription: Subscription, event: Event, error: Exception) -> AfterError:
        decide = self._on_handler_error
        if isinstance(decide, AfterError):
            return decide
        try:
            after = await self._handlers.call(decide, subscription.conversation, event, error)
        except BaseException as raised:
            if stops(raised):
                raise
            where = type(raised).__name__, place_of(raised)
            log.error("on_handler_error raised %s at %s; the conversation is stopped", *where, exc_info=raised)
            return AfterError.STOP
        if isinstance(after, AfterError):
            return after
        log.error("on_handler_error returned %s, no AfterError; the conversation is stopped", type(after).__name__)
        return AfterError.STOP

    def _stopped(self, polled: PolledSession, subscription: Subscription, error: Exception) -> None:
        if subscription.gone:
            return
        self._let_go(polled, subscription)
        self._counters.stopped += 1
        log.error(
            "conversation %s is polled no longer: %s at %s",
            subscription.conversation.id,
            type(error).__name__,
            place_of(error),
        )
        if self._on_failure is not None:
            self._start(self._tell(subscription.conversation, error), subscription.context)

    def _start(self, work: Coroutine[Any, Any, None], context: Context) -> asyncio.Task[None]:
        task = asyncio.create_task(work, name="puzzel-chat-delivery", context=context)
        self.tasks.add(task)
        task.add_done_callback(self.tasks.discard)
        return task

    async def _tell(self, conversation: AsyncConversation, error: Exception) -> None:
        assert self._on_failure is not None
        try:
            await self._handlers.call(self._on_failure, conversation, error)
        except BaseException as raised:
            if stops(raised):
                raise
            self._counters.handler_errors += 1
            log.error("on_failure raised %s at %s", type(raised).__name__, place_of(raised), exc_info=raised)
