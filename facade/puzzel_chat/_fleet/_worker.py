"""`Worker`: one of several processes that share the chats of a store.

    free in the store ──► claimed, up to a fair share ──► polled in a `PollingLoop` ──► the handler
            ▲                                                    │
            └── given back: too many, or the worker leaves ◄─────┘

A lease of the store says who polls a session. It is renewed while the worker lives, so the chats of one that died are
free when their leases are over. A worker that lost a lease, because it slept or could not reach the store, writes and
delivers nothing more of that session.
"""

from __future__ import annotations

import asyncio
import os
import random
import signal
import socket
from collections.abc import Coroutine, Iterator
from contextlib import contextmanager, suppress
from typing import Any
from uuid import uuid4

from attrs import define, field

from puzzel_chat._async import AsyncConversation, AsyncPuzzelChat, AsyncSession, application, inside
from puzzel_chat._errors import (
    ConfigurationError,
    NotFound,
    PuzzelChatError,
    SessionError,
    SessionExpired,
    SessionInUse,
    SessionNotFound,
    StoreError,
)
from puzzel_chat._fleet._handlers import AfterError, OnFailure, OnHandlerError
from puzzel_chat._fleet._loop import PollingLoop
from puzzel_chat._fleet._polled import Handler, LoopStats
from puzzel_chat._fleet._shares import to_take
from puzzel_chat._lease import lease_of
from puzzel_chat._models import Life
from puzzel_chat._routing import checked_seconds
from puzzel_chat._session import SessionState, log
from puzzel_chat._steps import is_async, kept
from puzzel_chat._store import Store, WorkerInfo

LOOK = 0.25
"""Seconds between two looks for sessions that nobody polls."""
REPORT = 1.0
"""Seconds between two reports of a worker, and between two looks at what became of its sessions."""
REPORTED = 5.0
"""Seconds for which a report counts: one that died is no longer counted when its leases are over."""
BATCH = 500
"""Sessions that are claimed at once, at most."""
RENEW = 0.4
"""Share of a lease after which it is renewed, before a poll has to."""
PERSISTS = 3 * REPORT
"""Seconds for which a worker must have too many sessions before it gives any back: counts of others are a bit old."""
LEARN = 30.0
"""Seconds between two looks at what other processes did in a session: a chat that they ended may end without a word."""
UNHEARD = 60.0
"""Seconds for which a chat counts as asked for that the service has not heard of: the request may be on its way yet."""
AGAIN = 60.0
"""Seconds after which a session that could not be taken up is tried again."""
HEALTHY = 10.0
"""Seconds after the last look at the store for which a worker counts as healthy."""
DRAIN = 30.0
"""Seconds for leaving, unless given: containers are often killed 30 s after their SIGTERM."""


@define(eq=False)
class Held:
    """A session that a worker polls since a monotonic time; `served` are its conversations, by id.

    `unheard` are those that the service has not heard of so far, and are not served.
    """

    session: AsyncSession
    state: SessionState
    since: float
    learn_at: float
    served: dict[str, AsyncConversation] = field(factory=dict)
    unheard: set[str] = field(factory=set)
    looking: bool = False
    leaving: bool = False

    def over(self, now: float) -> bool:
        """Whether the end of each of its conversations was read; one without any may get its first yet."""
        known = {*self.state.conversations, *self.served}
        return bool(known or now >= self.since + UNHEARD) and all(
            self.state.inbox(one).life is Life.READ for one in known
        )


class Worker:
    """Polls chats of the client's store, beside other workers on it, and gives each event to the handler.

    Every conversation of the store that goes on and that nobody polls is claimed by one of the workers; each takes its
    fair share, `most` sessions at most. One that leaves gives its sessions back, and the others go on within about a
    second; the chats of one that died are taken over when their leases are over, within 15 seconds with a `RedisStore`.
    The handler gets each event at least once, in order; once only, unless a worker died between the handler's return
    and the note of it in the store. `event.id` tells.

    `wait`, `on_failure`, `on_handler_error`, `fast`, `connections` and `threads` are those of `PollingLoop`. A session
    whose polling an error ended for good is tried again by any worker once its lease is over; one that the service has
    forgotten (`SessionExpired`) is deleted from the store. `name` is what `workers()` shows, another one for each
    worker: unless given, machine, process and a random part. Raises `ConfigurationError` naming the argument.
    """

    def __init__(
        self,
        chat: AsyncPuzzelChat,
        handler: Handler,
        *,
        name: str | None = None,
        most: int = 5000,
        wait: float | None = None,
        on_failure: OnFailure | None = None,
        on_handler_error: AfterError | OnHandlerError = AfterError.GO_ON,
        fast: bool | None = None,
        connections: int = 1000,
        threads: int = 64,
    ) -> None:
        _check(chat, handler, name, most, on_failure)
        self.name = name or f"{socket.gethostname()}:{os.getpid()}:{uuid4().hex[:6]}"
        """What `workers()` shows."""
        self._chat, self._handler, self._most, self._on_failure = chat, handler, most, on_failure
        self._wait = None if wait is None else checked_seconds("wait", wait)
        self._parts, self._run = application(chat)
        self._clock = self._parts.clock
        self._lease = lease_of(self._parts.store)
        self._loop = PollingLoop(
            on_failure=self._failed,
            on_handler_error=on_handler_error,
            fast=fast,
            connections=connections,
            threads=threads,
        )
        self._held: dict[str, Held] = {}
        self._others: list[WorkerInfo] = []
        self._not_before: dict[str, float] = {}
        self._began = self._clock.now().wall
        self._report_at = 0.0
        self._too_many_since: float | None = None
        self._looked: float | None = None
        self._away = self._full = False
        self._stopping, self._done = asyncio.Event(), asyncio.Event()
        self._work: asyncio.Task[None] | None = None
        self._tasks: set[asyncio.Task[None]] = set()

    def __repr__(self) -> str:
        return f"<Worker {self.name} of {len(self._held)} sessions>"

    async def run(self) -> None:
        """Serve until SIGTERM, SIGINT or `stop()`, then give everything back as `aclose()` does.

        A second signal has its usual effect.
        """
        async with self:
            assert self._work is not None
            with self._signals():
                stopping = asyncio.create_task(self._stopping.wait())
                try:
                    await asyncio.wait({stopping, self._work}, return_when=asyncio.FIRST_COMPLETED)
                finally:
                    stopping.cancel()

    def stop(self) -> None:
        """Let `run()` come to its end."""
        self._stopping.set()

    def stats(self) -> LoopStats:
        """Return how its polling loop is doing; `AsyncPuzzelChat.workers()` is about all workers."""
        return self._loop.stats()

    @property
    def healthy(self) -> bool:
        """Whether it has reached its store within the last ten seconds."""
        return self._looked is not None and self._clock.monotonic() - self._looked < HEALTHY

    async def aclose(self, *, timeout: float = DRAIN) -> None:
        """Give all sessions back within `timeout` seconds: polls in flight land, handlers finish their present events.

        A handler that takes longer is cancelled, and its event comes again, to another worker.
        """
        self._stopping.set()
        try:
            if self._work is not None and not self._work.done():
                with suppress(StoreError):
                    await self._report()
                leaving = [asyncio.create_task(self._leave(held)) for held in self._held.values() if not held.leaving]
                if rest := {*leaving, *self._tasks}:
                    await asyncio.wait(rest, timeout=timeout)
        finally:
            self._done.set()
            await self._loop.aclose(timeout=0.0)
            await asyncio.gather(*(held.session.aclose() for held in self._held.values()), return_exceptions=True)
            await self._leave_off()

    async def __aenter__(self) -> Worker:
        if self._work is not None:
            raise SessionError("The worker was started before. Make a new one.")
        self._work = asyncio.create_task(self._looks(), name="puzzel-chat-worker")
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.aclose()

    @contextmanager
    def _signals(self) -> Iterator[None]:
        loop, numbers = asyncio.get_running_loop(), (signal.SIGTERM, signal.SIGINT)

        def give_up() -> None:
            for number in numbers:
                loop.remove_signal_handler(number)

        def come() -> None:
            give_up()
            self.stop()

        # Elsewhere than in the main thread, or on POSIX, signals are the application's.
        with suppress(NotImplementedError, RuntimeError, ValueError):
            for number in numbers:
                loop.add_signal_handler(number, come)
        try:
            yield
        finally:
            with suppress(NotImplementedError, RuntimeError, ValueError):
                give_up()

    # One look after the other.

    async def _looks(self) -> None:
        while not self._done.is_set():
            more = False
            try:
                more = await self._look()
                self._looked, self._away = self._clock.monotonic(), False
            except StoreError as error:
                if not self._away:
                    log.warning("worker %s goes on without its store: %s", self.name, error)
                self._away = True
            if not more:
                await self._clock.sleep(self._done, LOOK)

    async def _look(self) -> bool:
        """Keep what the worker has, and claim or give back what is due; return whether there may be more at once."""
        await self._renew()
        now = self._clock.monotonic()
        if now >= self._report_at:
            self._report_at = now + REPORT
            await self._learn()
            self._sort_out()
            await self._report()
        return not self._stopping.is_set() and await self._share_out()

    async def _renew(self) -> None:
        due = [held.state.lease for held in self._held.values() if held.state.lease.due(RENEW)]
        await asyncio.gather(*(self._run(lease.keep(RENEW)) for lease in due))

    async def _learn(self) -> None:
        now = self._clock.monotonic()
        due = [held for held in self._held.values() if now >= held.learn_at and not held.leaving]
        for held in due:
            held.learn_at = now + self._clock.uniform(0.5, 1.5) * LEARN
        await asyncio.gather(*(self._run(held.state.learn()) for held in due))

    def _sort_out(self) -> None:
        """Let go of sessions that are over or another's, and serve conversations that are new."""
        now = self._clock.monotonic()
        for held in list(self._held.values()):
            if held.leaving:
                continue
            if held.over(now) or not held.state.lease.mine:
                self._begin(self._leave(held))
            elif held.unheard:
                if not held.looking:
                    self._begin(self._begin_to_serve(held))
            else:
                self._serve(held)

    async def _report(self) -> None:
        wall = self._clock.now().wall
        await self._run(kept(Store.report, self._info(wall), wall, REPORTED))
        found = await self._run(kept(Store.workers, wall))
        self._others = [one for one in found if one.name != self.name and not one.leaving]

    def _info(self, wall: float) -> WorkerInfo:
        stats = self._loop.stats()
        return WorkerInfo(
            name=self.name,
            started_at=self._began,
            reported_at=wall,
            sessions=len(self._held),
            conversations=stats.conversations,
            most=self._most,
            leaving=self._stopping.is_set(),
            polls_per_second=stats.polls_per_second,
            late_p50=stats.late_p50,
            late_p99=stats.late_p99,
            failing=stats.failing,
        )

    async def _share_out(self) -> bool:
        found = await self._run(kept(Store.unpolled, self._clock.now().wall, self._lease, BATCH))
        now = self._clock.monotonic()
        self._not_before = {one: when for one, when in self._not_before.items() if now < when}
        free = [one for one in found if one not in self._not_before and one not in self._held]
        mine = [held for held in self._held.values() if not held.leaving]
        if free:
            await self._report()  # somebody may have left or died just now, and then the shares are others
        others = [(one.sessions, one.most) for one in self._others]
        number = to_take(len(mine), self._most, others, len(free))
        if number > 0:
            self._report_at = 0.0  # the others share by what they are told
        for held in mine[: self._to_give_back(-number)]:
            self._begin(self._leave(held))
        self._tell_full(bool(free) and len(mine) >= self._most)
        # At random, for other workers look at the same moment.
        chosen = random.sample(free, max(0, number))
        taken = await asyncio.gather(*(self._take(one) for one in chosen))
        return len(found) == BATCH and any(taken)

    def _tell_full(self, full: bool) -> None:
        if full and not self._full:
            log.warning(
                "worker %s has %d sessions, its most, and others wait: start more workers", self.name, self._most
            )
        self._full = full

    def _to_give_back(self, too_many: int) -> int:
        now = self._clock.monotonic()
        if too_many <= 0:
            self._too_many_since = None
        elif self._too_many_since is None:
            self._too_many_since = now
        elif now - self._too_many_since >= PERSISTS:
            self._too_many_since, self._report_at = None, 0.0
            return too_many
        return 0

    # One session.

    async def _take(self, session_id: str) -> bool:
        """Claim a session; return whether it is ours now."""
        try:
            session = await self._chat.resume(session_id)
        except (SessionInUse, SessionNotFound):
            return False
        except StoreError as error:
            if not error.retryable:
                self._not_before[session_id] = self._clock.monotonic() + AGAIN
                log.error("session %s cannot be served: %s", session_id, error)
            return False
        state = inside(session)
        state.to_the_end = True
        if self._stopping.is_set():
            await session.aclose()
            return False
        now = self._clock.monotonic()
        held = Held(session, state, since=now, learn_at=now + self._clock.uniform(0.0, LEARN))
        self._held[session_id] = held
        await self._begin_to_serve(held)
        return True

    async def _begin_to_serve(self, held: Held) -> None:
        held.looking = True
        try:
            await self._look_up(held)
        finally:
            held.looking = False
        if not held.leaving:  # the worker may have been told to leave meanwhile
            self._serve(held)

    async def _look_up(self, held: Held) -> None:
        """Forget conversations that the service never hears of: whoever asked for an agent died before that."""
        for conversation_id in [*held.state.conversations]:
            if not held.state.is_routed(conversation_id):
                try:
                    await held.session.conversation(conversation_id).allocation()
                except NotFound:
                    if self._clock.monotonic() < held.since + UNHEARD:
                        held.unheard.add(conversation_id)
                        continue
                    await self._run(held.state.refused(conversation_id))
                except PuzzelChatError as error:
                    log.debug("conversation %s could not be looked up: %s", conversation_id, type(error).__name__)
            held.unheard.discard(conversation_id)

    def _serve(self, held: Held) -> None:
        state = held.state
        # What came for a conversation that another process began since.
        strangers = (one.conversation_id for one in state.feed.inboxes.values() if one.has_news)
        for conversation_id in {*state.conversations, *strangers} - held.served.keys() - held.unheard:
            if state.inbox(conversation_id).life is Life.READ:
                continue
            conversation = held.served[conversation_id] = held.session.conversation(conversation_id)
            try:
                self._loop.add(conversation, self._handler, wait=self._wait)
            except PuzzelChatError as error:
                log.warning("conversation %s cannot be served: %s", conversation_id, type(error).__name__)

    async def _leave(self, held: Held) -> None:
        """Let go of a session, once its handlers are done with their present events."""
        held.leaving = True
        await asyncio.gather(*(self._loop.left(one) for one in held.served.values()))
        await held.session.aclose()
        if self._held.get(held.session.id) is held:
            del self._held[held.session.id]

    async def _failed(self, conversation: AsyncConversation, error: Exception) -> None:
        """Drop a session whose polling an error ended; one that another worker has is nobody's failure."""
        held = self._held.get(conversation.session.id)
        if isinstance(error, SessionInUse):
            return
        if held is not None and not held.leaving:
            del self._held[conversation.session.id]
            if isinstance(error, SessionExpired):
                with suppress(StoreError):
                    await self._run(kept(Store.delete, conversation.session.id))
            held.state.lease.let_run_out()
            self._begin(self._leave(held))
        if self._on_failure is None:
            return
        if is_async(self._on_failure):
            await self._on_failure(conversation, error)  # type: ignore[arg-type,misc]
        else:
            await asyncio.to_thread(self._on_failure, conversation, error)  # type: ignore[arg-type]

    def _begin(self, work: Coroutine[Any, Any, None]) -> None:
        task = asyncio.create_task(work, name="puzzel-chat-worker-session")
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _leave_off(self) -> None:
        """End the looks and what they began, and take the worker's report back."""
        for task in self._tasks:
            task.cancel()
        work = [] if self._work is None else [self._work]
        results = await asyncio.gather(*self._tasks, *work, return_exceptions=True)
        wall = self._clock.now().wall
        with suppress(StoreError):
            await self._run(kept(Store.report, self._info(wall), wall, 0.0))
        failed = results[-1] if work else None
        if isinstance(failed, Exception):
            raise failed


def _check(chat: object, handler: object, name: object, most: object, on_failure: object) -> None:
    if not isinstance(chat, AsyncPuzzelChat):
        raise ConfigurationError("chat", "must be an AsyncPuzzelChat")
    if not callable(handler):
        raise ConfigurationError("handler", "must be a function or a coroutine function")
    if isinstance(most, bool) or not isinstance(most, int) or most < 1:
        raise ConfigurationError("most", "must be a whole number from 1 on")
    if name is not None and (not isinstance(name, str) or not name):
        raise ConfigurationError("name", "must be a text, another one for each worker")
    if on_failure is not None and not callable(on_failure):
        raise ConfigurationError("on_failure", "must be a function or a coroutine function")
