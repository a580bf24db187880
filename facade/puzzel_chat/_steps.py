"""How a workflow talks to its shell, so that each is written once, for callers that block and for those that await.

A workflow is a generator. It decides; what it needs done it yields, and the shell does it and sends the answer in, or
throws in what went wrong:

    Send    one request            -> the reply
    Keep    one call of the store  -> what it returns
    Sleep   for some seconds, or until woken
    Wait    for an event           -> whether it came in time
    Start   another workflow beside this one
    Stop    what was started and still runs, where that can be done
    Call    the application back

An interrupt or a cancellation is thrown in like any error: a workflow cleans up in `except` and may yield there.
"""

from __future__ import annotations

import functools
import inspect
import logging
import threading
from collections.abc import Callable, Generator
from contextlib import AbstractContextManager, suppress
from math import inf
from queue import Empty, SimpleQueue
from time import monotonic
from typing import TYPE_CHECKING, Any, Concatenate, NamedTuple, ParamSpec, Protocol, TypeAlias, TypeVar

from attrs import field, frozen

from puzzel_chat._clock import Clock
from puzzel_chat._errors import StoreError
from puzzel_chat._http import Reply, Request, moved
from puzzel_chat._models import Secret
from puzzel_chat._observing import Seen, Watch
from puzzel_chat._retry import within
from puzzel_chat._settings import Settings
from puzzel_chat._store import PATIENCE, AsyncStore, Store

if TYPE_CHECKING:
    from puzzel_chat._reach import Reach

log = logging.getLogger("puzzel_chat")
_T = TypeVar("_T")
_P = ParamSpec("_P")
MOST_REDIRECTS = 3
SLICE = 1.0
"""Seconds of one wait of a thread at most."""
LOOK_AGAIN = 0.1
"""Seconds between two looks at what another process has."""


class Flag(Protocol):
    """What `ThreadFlag` and `asyncio.Event` have in common."""

    def set(self) -> None:
        """Wake everybody who waits."""

    def is_set(self) -> bool:
        """Return whether it was set."""
        ...


class ThreadFlag:
    """A flag for threads, whose wait is one call into C.

    An interrupt in `threading.Event.wait`, which is Python code, can leave its lock held, and `set` would hang.
    """

    def __init__(self) -> None:
        self._is_set = False
        self._wake: SimpleQueue[None] = SimpleQueue()

    def set(self) -> None:
        """Wake everybody who waits."""
        self._is_set = True
        self._wake.put(None)

    def is_set(self) -> bool:
        """Return whether it was set."""
        return self._is_set

    def wait(self, timeout: float | None = None) -> bool:
        """Wait for so many seconds, None for ever, and return whether it is set."""
        until = inf if timeout is None else monotonic() + timeout
        while not self._is_set and (left := until - monotonic()) > 0:
            with suppress(Empty):
                # In slices: an interrupt may lose the wake-up that is passed on to the next thread.
                self._wake.get(timeout=min(left, SLICE))
        if self._is_set:
            self._wake.put(None)
        return self._is_set


class Send(NamedTuple):
    """One request of a session with that access token; `within` bounds it in seconds, None leaves it its usual time."""

    request: Request
    access: Secret | None = None
    within: float | None = None
    session_id: str | None = None


class Keep(NamedTuple):
    """One call of the store: a method's name and its arguments. Made by `kept`."""

    method: str
    arguments: tuple[Any, ...]


class Sleep(NamedTuple):
    """So many seconds, or until `wake` is set."""

    seconds: float
    wake: Any = None


class Wait(NamedTuple):
    """Until the flag is set, or so many seconds have passed; None waits for ever. Answered by whether it is set."""

    flag: Any
    seconds: float | None = None


class Start(NamedTuple):
    """A workflow that runs by itself from now on; no caller can cancel it."""

    steps: Steps[None]


class Stop(NamedTuple):
    """End what was started and still runs. Threads cannot be ended."""


class Call(NamedTuple):
    """A function of the application; no lock is held meanwhile."""

    function: Callable[..., object]
    argument: object


Ask: TypeAlias = Send | Keep | Sleep | Wait | Start | Stop | Call
Steps: TypeAlias = Generator[Ask, Any, _T]


def is_async(function: Callable[..., object]) -> bool:
    """Return whether calling the function gives a coroutine."""
    while isinstance(function, functools.partial):
        function = function.func
    return inspect.iscoroutinefunction(function) or inspect.iscoroutinefunction(type(function).__call__)


def kept(method: Callable[Concatenate[Store, _P], _T], *arguments: _P.args, **named: _P.kwargs) -> Steps[_T]:
    """Call a method of the store, such as `Store.load`, by position alone; raises `StoreError`."""
    assert not named
    result: _T = yield Keep(method.__name__, arguments)
    return result


def patiently(work: Callable[[], Steps[_T]], clock: Clock, seconds: float = PATIENCE) -> Steps[_T]:
    """Do something with the store; while that cannot be had just now, again, for so many seconds at most."""
    until = clock.monotonic() + seconds
    while True:
        try:
            return (yield from work())
        except StoreError as error:
            if not error.retryable or clock.monotonic() >= until:
                raise
        yield Sleep(LOOK_AGAIN)


def afterwards(steps: Steps[_T], last: Callable[[], Steps[object]]) -> Steps[_T]:
    """Run a workflow, and after it the last one, whatever became of the first."""
    try:
        result = yield from steps
    except GeneratorExit:
        raise
    except BaseException:
        yield from last()
        raise
    yield from last()
    return result


def at_once(steps: Steps[_T], store: Store) -> _T:
    """Run a workflow that asks for nothing but a blocking store."""
    answer: object = None
    failure: BaseException | None = None
    while True:
        try:
            ask = steps.send(answer) if failure is None else steps.throw(failure)
        except StopIteration as done:
            return done.value  # type: ignore[no-any-return]
        assert isinstance(ask, Keep)
        try:
            answer, failure = getattr(store, ask.method)(*ask.arguments), None
        except BaseException as error:
            failure = error


@frozen
class Parts:
    """What all sessions of an application share, beside the transport.

    `flag` makes an event of the shell's kind, `caller` names the thread or task that asks. `http_client` is the
    application's own, if it gave one, `watch` hears what happens, `reach` is the asyncio shell's way to the store.
    """

    settings: Settings
    store: Store | AsyncStore
    clock: Clock
    flag: Callable[[], Flag] = ThreadFlag
    caller: Callable[[], object] = threading.current_thread
    http_client: object = None
    watch: Watch = field(factory=Watch)
    reach: Reach | None = None

    def watched(self, ask: Send) -> AbstractContextManager[Seen]:
        """Tell of the request that is made within this block."""
        place = ask.request.place or self.settings.address(ask.request.host)
        return self.watch.request(ask.request, ask.access, place, ask.session_id, self.clock.monotonic)


def followed(sent: Send, reply: Reply, clock: Clock, by: float, told: set[str]) -> Steps[tuple[Request, Reply]]:
    """Follow redirects that only write the path in another way, by that monotonic time.

    Returns the last request and its reply. `told` collects the operations whose redirect was logged.
    """
    request = sent.request
    for _ in range(MOST_REDIRECTS):
        if reply.address is None or (again := moved(request, reply)) is None:
            break
        if request.operation not in told:
            told.add(request.operation)
            log.warning("%s redirects %s to another path; correct that address", reply.address, request.operation)
        left = within(by, clock.monotonic(), reply.address)
        request, reply = again, (yield sent._replace(request=again, within=left))
    return request, reply
