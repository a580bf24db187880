"""The world behind its lock and its clock: one call in, one reply out, and news for those who watch."""

from __future__ import annotations

import logging
import threading
from collections import deque
from collections.abc import Awaitable, Callable, Generator, Mapping
from contextlib import contextmanager
from random import Random

from ._contract import (
    Call,
    Reply,
    problem,
    read_form,
    read_message,
    read_order,
    read_sign_in,
    read_typing,
    read_upload,
)
from ._sessions import Session
from ._values import Answer, Happening, Refusal, TokenRefusal, Watcher
from ._views import Exchange
from ._world import World, WorldSettings

News = Happening | Exchange
NewsWatcher = Callable[[News], object]

_log = logging.getLogger("puzzel_chat.sandbox")


class Centre:
    """The world with its clock and its lock; watchers are called in order, outside the lock.

    `now` returns the time, `sleep` waits for a fault, and `answered` is told each answer. `lost_ends` are those that a
    fault has kept from the client once.
    """

    def __init__(
        self,
        settings: WorldSettings,
        clock: Callable[[], float],
        random: Random,
        on_event: Watcher | None,
        sleep: Callable[[float], Awaitable[object]],
    ) -> None:
        self.now, self.sleep = clock, sleep
        self._watchers: tuple[NewsWatcher, ...] = () if on_event is None else (_happenings_only(on_event),)
        self.answered: Callable[[Answer], object] = lambda _answer: None
        self.lost_ends: set[str] = set()
        self._lock = threading.RLock()
        self._news: deque[News] = deque()
        self._telling = threading.Lock()
        self._world = World(settings, random, self.tell)

    @contextmanager
    def world(self) -> Generator[tuple[World, float]]:
        """Lock the world, run whatever is due, and yield it with the time."""
        try:
            with self._lock:
                now = self._world.advance(self.now())
                yield self._world, now
        finally:
            self._tell()

    def answer(self, operation: str, call: Call) -> Reply:
        """Carry out one operation of the contract."""
        with self.world() as (world, now):
            try:
                return HANDLERS[operation](world, call, now)
            except Refusal as no:
                return problem(no.status, no.code, no.detail, no.extra)
            except TokenRefusal as no:
                return Reply(no.status, {"error": no.error, "error_description": no.description})

    @property
    def watched(self) -> bool:
        """Whether anybody wants news."""
        return bool(self._watchers)

    def watch(self, watcher: NewsWatcher) -> Callable[[], None]:
        """Tell a watcher all news from now on; what is returned stops that."""
        self._watchers = (*self._watchers, watcher)

        def stop() -> None:
            self._watchers = tuple(one for one in self._watchers if one is not watcher)

        return stop

    def tell(self, news: News) -> None:
        """Keep news for the watchers; they hear it once the lock is free."""
        if self._watchers:
            self._news.append(news)

    def tell_now(self, news: News) -> None:
        """Tell the watchers; the caller does not hold the lock."""
        self.tell(news)
        self._tell()

    def _tell(self) -> None:
        """Pass the news on, unless another thread does it already."""
        while self._news and self._telling.acquire(blocking=False):
            try:
                if self._news:  # another thread may have told the last of it meanwhile
                    self._pass_on(self._news.popleft())
            finally:
                self._telling.release()

    def _pass_on(self, news: News) -> None:
        for watcher in self._watchers:
            try:
                watcher(news)
            except Exception:
                _log.exception("a watcher failed; the simulator goes on")


def _happenings_only(watcher: Watcher) -> NewsWatcher:
    return lambda news: watcher(news) if isinstance(news, Happening) else None


Handler = Callable[[World, Call, float], Reply]


def _session(world: World, call: Call, now: float) -> Session:
    return world.authorise(call.bearer, now)


def _connect(world: World, call: Call, now: float) -> Reply:
    return Reply(200, world.connect(read_form(call), now), {"Cache-Control": "no-store"})


def _authenticate(world: World, call: Call, now: float) -> Reply:
    key = world.visitors.authenticate(call.id, read_sign_in(call), now)
    return Reply(200, {"userInfoId": key}, {"Cache-Control": "no-store"})


def _queue_info(world: World, call: Call, now: float) -> Reply:
    _session(world, call, now)
    return Reply(200, world.queue_info(call.id, now))


def _time_info(world: World, call: Call, now: float) -> Reply:
    _session(world, call, now)
    return Reply(200, world.time_info(call.id, now))


def _route(world: World, call: Call, now: float) -> Reply:
    return Reply(202, world.route(_session(world, call, now), call.id, read_order(call), now))


def _status(world: World, call: Call, now: float) -> Reply:
    return Reply(200, world.request_status(_session(world, call, now), call.id, now))


def _poll(world: World, call: Call, now: float) -> Reply:
    body = world.poll(_session(world, call, now), call.after, now)
    return Reply(204) if body is None else Reply(200, body)


def _send(world: World, call: Call, now: float) -> Reply:
    session = _session(world, call, now)
    content, client_id, file_id = read_message(call)
    return Reply(200, world.send(session, call.id, content, client_id, now, file_id))


def _upload(world: World, call: Call, now: float) -> Reply:
    session = _session(world, call, now)
    stored = world.files.add(session, *read_upload(call), call.body)
    return Reply(200, {"id": stored.id, "url": stored.url})


def _download(world: World, call: Call, now: float) -> Reply:
    stored = world.files.get(_session(world, call, now), call.id)
    return Reply(200, media_type=stored.content_type, data=stored.data)


def _typing(world: World, call: Call, now: float) -> Reply:
    world.typing(_session(world, call, now), call.id, read_typing(call), now)
    return Reply(204)


def _end(world: World, call: Call, now: float) -> Reply:
    world.end(_session(world, call, now), call.id, now)
    return Reply(204)


HANDLERS: Mapping[str, Handler] = {
    "connectToken": _connect,
    "authenticateVisitor": _authenticate,
    "getQueueInfo": _queue_info,
    "routeConversation": _route,
    "getRequestStatus": _status,
    "pollConversation": _poll,
    "sendMessage": _send,
    "sendTyping": _typing,
    "endConversation": _end,
    "getTimeInfo": _time_info,
    "uploadFile": _upload,
    "downloadFile": _download,
}
