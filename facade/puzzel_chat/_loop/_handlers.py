"""Calls the handlers: coroutines on the event loop, plain functions in threads, so that none delays another."""

from __future__ import annotations

import asyncio
import functools
import inspect
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextvars import copy_context
from types import TracebackType


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
