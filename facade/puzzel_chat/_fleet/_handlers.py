"""Calls the handlers: coroutines on the event loop, plain functions in threads, so that none delays another.

Gives each conversation's events to its handler: in order, one at a time, none held up by another's.
"""

from __future__ import annotations

import asyncio
import functools
import inspect
from collections.abc import Awaitable, Callable, Coroutine
from concurrent.futures import ThreadPoolExecutor
from contextvars import Context, copy_context
from types import TracebackType
from typing import Any

from puzzel_chat._async import AsyncConversation
from puzzel_chat._clock import Clock
from puzzel_chat._errors import StoreError
from puzzel_chat._fleet._members import Line, Member, Record
from puzzel_chat._models import Event
from puzzel_chat._session import log


class Handlers:
    """Runs callables of the application; plain ones in at most so many threads at once."""

    def __init__(self, threads: int) -> None:
        self._count = threads
        self._threads: ThreadPoolExecutor | None = None

    async def call(self, function: Callable[..., object], *arguments: object) -> None:
        """Call it and wait for what it does; raises what it raises."""
        if _is_async(function):
            result = function(*arguments)
        else:
            if self._threads is None:
                self._threads = ThreadPoolExecutor(self._count, "puzzel-chat-handler")
            run, loop = copy_context().run, asyncio.get_running_loop()
            result = await loop.run_in_executor(self._threads, run, functools.partial(_plain, function, *arguments))
        # A plain function may give a coroutine, as a lambda around one does.
        if inspect.isawaitable(result):
            await result

    def close(self) -> None:
        """Let the threads end with what they are at."""
        if self._threads is not None:
            self._threads.shutdown(wait=False, cancel_futures=True)


def _plain(function: Callable[..., object], *arguments: object) -> object:
    try:
        return function(*arguments)
    except StopIteration as stop:
        # A future holds none, and who waited for it would wait for ever (3.11.7); a coroutine turns it into this too.
        raise RuntimeError("a handler raised StopIteration").with_traceback(stop.__traceback__) from None


def _is_async(function: Callable[..., object]) -> bool:
    while isinstance(function, functools.partial):
        function = function.func
    return inspect.iscoroutinefunction(function) or inspect.iscoroutinefunction(type(function).__call__)


def stops(error: BaseException) -> bool:
    """Tell whether an exception stops the task or the program, rather than being one that a handler ended with."""
    task = asyncio.current_task()
    if isinstance(error, asyncio.CancelledError):
        # A handler that waited for something which was cancelled has it too, and was not cancelled itself.
        return task is None or task.cancelling() > 0
    return isinstance(error, KeyboardInterrupt | SystemExit | GeneratorExit)


def place_of(error: BaseException) -> str:
    """Give where an exception was raised; its words may be a customer's."""
    trace: TracebackType | None = error.__traceback__
    while trace is not None and trace.tb_next is not None:
        trace = trace.tb_next
    return f"{trace.tb_frame.f_code.co_filename}:{trace.tb_lineno}" if trace else "an unknown place"


Failure = Callable[[AsyncConversation, Exception], Awaitable[object] | object]
SLOW = 1.0
"""Seconds with one event after which a handler counts as slow."""


class Deliveries:
    """All handlers at work. `let_go` is called with each conversation that has ended or failed."""

    def __init__(
        self, handlers: Handlers, on_failure: Failure | None, record: Record, let_go: Callable[[Member, Line], None]
    ) -> None:
        self._handlers = handlers
        self._on_failure = on_failure
        self._record = record
        self._let_go = let_go
        self._at_work: set[Line] = set()
        self.clock = Clock()
        self.tasks: set[asyncio.Task[None]] = set()

    @property
    def at_work(self) -> int:
        """Give how many handlers are at work."""
        return len(self._at_work)

    @property
    def slow(self) -> list[Line]:
        """Give the conversations whose handlers have been with one event for too long."""
        now = self.clock.monotonic()
        return [line for line in self._at_work if now - line.since > SLOW]

    def still_at(self, conversation: AsyncConversation) -> asyncio.Task[None] | None:
        """Give what a handler of the conversation is at, though it was removed."""
        return next((line.task for line in self._at_work if line.conversation._box is conversation._box), None)

    def news(self, member: Member) -> None:
        """Start the handlers that have something to do and are not at it."""
        for line in list(member.lines.values()):
            if not line.busy and line.conversation._box.has_news:
                line.busy = True
                self._start(self._deliver(member, line), line.context)

    def failed(self, member: Member, error: Exception) -> None:
        """Let go of a session whose polling an error ended, and tell so for each of its conversations."""
        for line in list(member.lines.values()):
            self._stopped(member, line, error)

    def tell_slow(self) -> None:
        """Log each slow handler, once for an event."""
        for line in self.slow:
            if not line.told_slow:
                line.told_slow = True
                told = "the handler of conversation %s has had one event for more than %g s; the others wait behind it"
                log.warning(told, line.conversation.id, SLOW)

    async def _deliver(self, member: Member, line: Line) -> None:
        conversation = line.conversation
        state = member.session._state
        line.task = asyncio.current_task()
        try:
            if line.after is not None:
                await asyncio.wait({line.after})
                line.after = None
            while not line.gone:
                try:
                    event = state.take(conversation.id)
                except StoreError as error:
                    # Told once by the store's side; what came is kept, and the chat goes on.
                    log.warning("conversation %s goes on without its store: %s", conversation.id, error)
                    continue
                if event is None:
                    break
                await self._handle(line, event)
            if line.gone:
                state.acknowledge(conversation.id)
        except Exception as error:
            self._stopped(member, line, error)
        else:
            if conversation._box.finished and not line.gone:
                self._let_go(member, line)
                await self._close_owned(conversation)
        finally:
            line.busy, line.task = False, None

    async def _handle(self, line: Line, event: Event) -> None:
        line.since, line.told_slow = self.clock.monotonic(), False
        self._at_work.add(line)
        try:
            await self._handlers.call(line.handler, line.conversation, event)
        except BaseException as error:
            if stops(error):
                raise
            self._record.handler_errors += 1
            told = "the handler of conversation %s raised %s at %s; the event counts as handled"
            log.error(told, line.conversation.id, type(error).__name__, place_of(error))
        finally:
            self._at_work.discard(line)

    def _stopped(self, member: Member, line: Line, error: Exception) -> None:
        if line.gone:
            return
        self._let_go(member, line)
        self._record.stopped += 1
        log.error(
            "conversation %s is polled no longer: %s at %s", line.conversation.id, type(error).__name__, place_of(error)
        )
        if self._on_failure is not None:
            self._start(self._tell(line.conversation, error), line.context)

    def _start(self, work: Coroutine[Any, Any, None], context: Context) -> None:
        task = asyncio.create_task(work, name="puzzel-chat-delivery", context=context)
        self.tasks.add(task)
        task.add_done_callback(self.tasks.discard)

    async def _tell(self, conversation: AsyncConversation, error: Exception) -> None:
        assert self._on_failure is not None
        try:
            await self._handlers.call(self._on_failure, conversation, error)
        except BaseException as raised:
            if stops(raised):
                raise
            self._record.handler_errors += 1
            log.error("on_failure raised %s at %s", type(raised).__name__, place_of(raised))

    async def _close_owned(self, conversation: AsyncConversation) -> None:
        """Close the session of a chat that is over, when it was opened for that chat alone."""
        if conversation._owns_session:
            await conversation.session.aclose()
