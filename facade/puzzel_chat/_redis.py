"""`RedisStore`: sessions on a Redis or Valkey server, for several machines, and its twin for asyncio.

Both only run plans, which decide what the server is asked (`_redis_plans.py`).
"""

from __future__ import annotations

import asyncio
import logging
import re
import ssl
from collections import deque
from collections.abc import Callable, Sequence
from contextlib import suppress
from importlib.util import find_spec
from math import inf
from time import monotonic, time
from typing import Any, TypeVar
from urllib.parse import urlsplit
from uuid import uuid4

from attrs import define, field

from puzzel_chat._errors import ConfigurationError, StoreError
from puzzel_chat._redis_plans import ROUND, SCRIPTS, SENT, Call, Plan, Plans, Script, Seal
from puzzel_chat._store import AsyncStore, Right, StoredConversation, StoredSession, Unread, WorkerInfo
from puzzel_chat._tokens import TokenSet

log = logging.getLogger("puzzel_chat")
_Result = TypeVar("_Result")
TTL = 86_400.0
"""Seconds after which a session that nobody wrote to or polled is forgotten."""
RECENT = 3.0
"""Seconds of writes that are made again on a server that may have lost them: it writes its file once a second."""
BUSY = 0.02
"""Seconds after a round trip in which another one counts as soon: then calls are gathered first."""
GATHER = 0.004
"""Seconds for which they are gathered: a call alone costs three times one among many."""
TIMEOUT = 3.0
"""Seconds that the server may take to accept a connection, and to answer."""
_OPTIONS: dict[str, Any] = {
    "socket_timeout": TIMEOUT,
    "socket_connect_timeout": TIMEOUT,
    "protocol": 2,
    "driver_info": None,
}
_UNTRUSTED = "could not be trusted: its certificate does not fit the address, or is of an authority unknown here"
_UNREACHED = "could not be reached. Check its address and the network; the store goes on by itself once it is back"
_REFUSED = "refused us. Check user, password and rights in the URL"
_FULL = "is full (maxmemory, noeviction), and nothing was written. Give it more memory"
_READ_ONLY = "takes no writes just now. Try again, or name the present master in the URL"
_ELSEWHERE = "is one of several nodes of a cluster. Name a proxy before the cluster, or a server of its own"
_SLOW = f"did not answer within {TIMEOUT:.0f} s. Try again"
_UNWRITABLE = "was given what cannot be written, such as half of a character"
_AGAIN = "the session store at %s is another server, or began again: what was written last is written once more"
_WHY: dict[str, tuple[str, bool]] = {
    "BUSY": ("is busy with a script. Try again", True),
    "MISCONF": ("cannot save its data, so it takes no writes. Check its disk", True),
    "NOREPLICAS": ("has too few replicas, so it takes no writes. It goes on once they are back", True),
    "WRONGTYPE": ("has keys of another program under our prefix, or damaged ones. Choose another prefix", False),
    "OOM": (_FULL, False),
    "OutOfMemoryError": (_FULL, False),
    "AuthenticationError": (_REFUSED, False),
    "AuthorizationError": (_REFUSED, False),
    "AuthenticationWrongNumberOfArgsError": (_REFUSED, False),
    "NoPermissionError": (_REFUSED, False),
    "BusyLoadingError": ("is still loading its data. Try again", True),
    "READONLY": (_READ_ONLY, True),
    "ReadOnlyError": (_READ_ONLY, True),
    "TryAgainError": (_READ_ONLY, True),
    "ClusterDownError": (_READ_ONLY, True),
    "AskError": (_ELSEWHERE, False),
    "TimeoutError": (_SLOW, True),
    "UnicodeError": (_UNWRITABLE, False),
    "OSError": (_UNREACHED, True),
    "ConnectionError": (_UNREACHED, True),
    "ResponseError": ("refused a command. Check its version and settings", False),
    "Exception": ("has what is no session of ours, or another version of it. Choose another prefix", False),
}
"""What became of a call, by a code of the server or a class of the error; the first that is here."""
_CODE = re.compile("[A-Z]{3,}")
_EVICTS = (
    "The session store at %s may throw sessions away: its maxmemory-policy is %s. Set it to noeviction, so that a full"
    " server refuses new chats and keeps those it has."
)


@define
class _Server:
    """What is known of the server, since the last connection began."""

    place: str
    epoch: str | None = None
    old: bool = False
    warned: bool = False
    _recent: deque[tuple[float, list[Call]]] = field(factory=deque, init=False, repr=False)
    _forgotten: list[Call] = field(factory=list, init=False, repr=False)

    def greeting(self) -> Plan[None]:
        """Learn whether it is another server, or the same one after a restart, and give it the scripts."""
        (told,) = yield [("INFO",)]
        lines = told.decode(errors="replace").splitlines() if isinstance(told, bytes) else []  # we may not ask
        known = dict(line.split(":", 1) for line in lines if ":" in line)
        # Neither alone: a server that restarts gets another run_id, one that becomes the master another replid.
        marks = [known.get("run_id"), known.get("master_replid")] if known else [uuid4().hex]
        before, self.epoch = self.epoch, "/".join(filter(None, marks))
        if before not in (None, self.epoch):
            self._forgotten = [call for _, calls in self._recent.copy() for call in calls]
        self.old = known.get("redis_version", "7").partition(".")[0] in ("5", "6")
        policy = known.get("maxmemory_policy", "noeviction")
        if policy != "noeviction" and known.get("maxmemory", "0") != "0" and not self.warned:
            self.warned = True
            log.warning(_EVICTS, self.place, policy)
        yield self.scripts()

    def scripts(self) -> list[Call]:
        """Return what gives the server all scripts."""
        return [("SCRIPT", "LOAD", one.old_text if self.old else one.text) for one in SCRIPTS]

    def note(self, calls: list[Call]) -> None:
        """Remember what was written in the last seconds."""
        now = monotonic()
        if writes := [one for one in calls if _writes(one)]:
            self._recent.append((now, writes))
        with suppress(IndexError):  # another thread may be at it
            while self._recent[0][0] < now - RECENT:
                self._recent.popleft()

    def forgotten(self) -> list[Call]:
        """Return what this server may have lost, when it is another one or began again since; once."""
        calls, self._forgotten = self._forgotten, []
        return calls

    def sendable(self, call: Call) -> list[Any]:
        """Return a command with what is known only now."""
        return [self._sendable(one) if isinstance(one, Script) or one is SENT else one for one in call]

    def _sendable(self, one: Any) -> Any:
        return time() if one is SENT else one.old_sha if self.old else one.sha

    def failure(self, error: Exception) -> StoreError:
        """Return an error of ours, which shows nothing of what was sent or came."""
        if isinstance(error, StoreError):
            return error
        told, retryable = _why(error)
        failure = StoreError(f"The session store at {self.place} {told}.")
        failure.retryable = retryable
        return failure


class RedisStore:
    """A store on the Redis or Valkey server at `url`: redis://, rediss:// (TLS) or unix://, with user and password.

    It needs the extra `[redis]`. Both clients take it. `encryption_keys` encrypt tokens and unread events: keys of
    `cryptography.fernet.Fernet.generate_key()`, the first one for what is written, each for what is read. All keys in
    the server begin with `prefix`. A session that nobody polls or writes to for `ttl` seconds is forgotten. Others poll
    the chats of a worker that died within `take_over` seconds, at least 1 and the same in all processes: a lease lasts
    two thirds of that, and a shorter one is renewed more often.

    A server that comes back without its last writes, after a fail-over or without power, gets those of the last three
    seconds once more from each process that made them. Threads may share it, and a forked process connects for itself.
    Nothing is connected before the first call. Raises `ConfigurationError` for a wrong argument or a missing extra; its
    methods raise `StoreError`.
    """

    lease = 10.0
    """Length of a right to poll, in seconds: two thirds of `take_over`."""
    remote = True
    """Other machines may have the store while this process cannot reach it."""

    def __init__(
        self,
        url: str,
        *,
        encryption_keys: Sequence[str | bytes] = (),
        prefix: str = "puzzel-chat",
        ttl: float = TTL,
        take_over: float = 15.0,
    ) -> None:
        self._place = _checked(url, prefix, ttl, take_over)
        self.lease = take_over / 1.5
        self._url = url
        self._plans = Plans(prefix, int(ttl), self._place, _seal(encryption_keys))
        self._server = _Server(self._place)
        self._closed = False
        from redis import Redis
        from redis.retry import Retry

        try:
            self._client = Redis.from_url(url, retry=Retry(*_patience()), redis_connect_func=self._greet, **_OPTIONS)
            self._client.response_callbacks.clear()  # replies as they came, from each version
            pool = self._client.connection_pool
            pool.connection_class(**pool.connection_kwargs)
        except (ValueError, TypeError, OSError):
            wrong = ConfigurationError("store", "the URL has a part that cannot be used")
        else:
            return
        raise wrong

    def __repr__(self) -> str:
        return f"RedisStore({self._place!r})"

    @property
    def epoch(self) -> str | None:
        """Which server it is, and since which start or fail-over; None before the first call."""
        return self._server.epoch

    def awaiting(self) -> AsyncStore:
        """Return the same store for one event loop, with connections of its own."""
        return AsyncRedisStore(self._url, self._plans, self._server, self.lease)

    def sessions(self, now: float, seconds: float) -> dict[str, bool]:
        """See `Store`."""
        return self._run(self._plans.sessions(now, seconds))

    def load(self, session_id: str) -> StoredSession | None:
        """See `Store`."""
        return self._run(self._plans.load(session_id))

    def save_tokens(self, session_id: str, tokens: TokenSet) -> None:
        """See `Store`."""
        self._run(self._plans.save_tokens(session_id, tokens))

    def tokens(self, session_id: str) -> TokenSet | None:
        """See `Store`."""
        return self._run(self._plans.tokens(session_id))

    def conversations(self, session_id: str) -> dict[str, StoredConversation]:
        """See `Store`."""
        return self._run(self._plans.conversations(session_id))

    def save_conversation(self, session_id: str, conversation: StoredConversation) -> None:
        """See `Store`."""
        self._run(self._plans.save_conversation(session_id, conversation))

    def find(self, conversation_id: str) -> str | None:
        """See `Store`."""
        return self._run(self._plans.find(conversation_id))

    def unpolled(self, now: float, seconds: float, most: int) -> list[str]:
        """See `Store`."""
        return self._run(self._plans.unpolled(now, seconds, most))

    def report(self, worker: WorkerInfo, now: float, seconds: float) -> None:
        """See `Store`."""
        self._run(self._plans.report(worker, now, seconds))

    def workers(self, now: float) -> list[WorkerInfo]:
        """See `Store`."""
        return self._run(self._plans.workers(now))

    def withdraw(self, session_id: str, conversation_id: str) -> None:
        """See `Store`."""
        self._run(self._plans.withdraw(session_id, conversation_id))

    def journal(self, session_id: str, owner: str, cursor: str | None, unread: Sequence[Unread]) -> bool:
        """See `Store`."""
        return self._run(self._plans.journal(session_id, owner, cursor, unread))

    def acknowledge(self, session_id: str, owner: str, conversation_id: str, seq: int, item_id: str, mark: str) -> bool:
        """See `Store`."""
        return self._run(self._plans.acknowledge(session_id, owner, conversation_id, seq, item_id, mark))

    def delete(self, session_id: str) -> None:
        """See `Store`."""
        self._run(self._plans.delete(session_id))

    def acquire(self, session_id: str, right: Right, owner: str, now: float, seconds: float) -> str:
        """See `Store`."""
        return self._run(self._plans.acquire(session_id, right, owner, now, seconds))

    def renew(self, session_id: str, right: Right, owner: str, now: float, seconds: float) -> bool:
        """See `Store`."""
        return self._run(self._plans.renew(session_id, right, owner, now, seconds))

    def release(self, session_id: str, right: Right, owner: str) -> None:
        """See `Store`."""
        self._run(self._plans.release(session_id, right, owner))

    def put_back(self, session: StoredSession, owner: str, now: float, seconds: float) -> bool:
        """Write a whole session again, when the store lost it or `owner` may still poll it; return whether it was.

        `owner` then has the right to poll it for so many seconds.
        """
        return self._run(self._plans.put_back(session, owner, now, seconds))

    def close(self) -> None:
        """Close the connections; a later call raises `StoreError`."""
        self._closed = True
        self._client.close()

    def _run(self, plan: Plan[_Result]) -> _Result:
        try:
            _check_open(self._closed, self._place)
            calls = next(plan)
            while True:
                calls = plan.send(_without_errors(self._round([_written(one) for one in calls])))
        except StopIteration as done:
            result: _Result = done.value
            return result
        except _failures() as error:
            failure = self._server.failure(error)
        raise failure

    def _round(self, calls: list[Call]) -> list[Any]:
        replies = self._known(calls)
        if again := self._server.forgotten():
            log.warning(_AGAIN, self._place)
            self._known(again)
            replies = self._known(calls)
        self._server.note(calls)
        return replies

    def _known(self, calls: list[Call]) -> list[Any]:
        replies = self._sent(calls)
        if lost := [n for n, reply in enumerate(replies) if _is_lost(reply)]:
            _without_errors(self._sent(self._server.scripts()))
            for n, reply in zip(lost, self._sent([calls[n] for n in lost]), strict=True):
                replies[n] = reply
        return replies

    def _sent(self, calls: list[Call]) -> list[Any]:
        pipeline: Any
        with self._client.pipeline(transaction=False) as pipeline:
            for call in calls:
                pipeline.execute_command(*self._server.sendable(call))
            replies: list[Any] = pipeline.execute(raise_on_error=False)
        return replies

    def _greet(self, connection: Any) -> None:
        connection.on_connect()
        greeting = self._server.greeting()
        calls = next(greeting)
        with suppress(StopIteration):
            while True:
                connection.send_packed_command(connection.pack_commands(calls))
                calls = greeting.send([_answer(connection) for _ in calls])


@define
class _Running:
    """A plan that somebody waits for, and its next commands."""

    plan: Plan[Any]
    calls: list[Call]
    future: asyncio.Future[Any]

    def goes_on(self, replies: list[Any], failure: Callable[[Exception], StoreError]) -> bool:
        """Take the replies; return whether there is more to send."""
        try:
            self.calls = [_written(one) for one in self.plan.send(_without_errors(replies))]
        except StopIteration as done:
            self._end(done.value)
        except Exception as error:
            self.fail(failure(error))
        else:
            return True
        return False

    def fail(self, error: StoreError) -> None:
        """Tell whoever waits, unless that one was cancelled."""
        self.plan.close()
        if not self.future.done():
            self.future.set_exception(error)

    def _end(self, result: Any) -> None:
        if not self.future.done():
            self.future.set_result(result)


class AsyncRedisStore:
    """The store of `RedisStore.awaiting()`, for one event loop.

    What is called while a round trip is under way goes out together in the next one, in the order of the calls. That is
    the work of one task, so that a caller who is cancelled leaves no connection in the middle of a reply.
    """

    remote = True
    """See `RedisStore`."""

    def __init__(self, url: str, plans: Plans, server: _Server, lease: float) -> None:
        from redis.asyncio import Redis
        from redis.asyncio.retry import Retry

        self.lease = lease
        """See `RedisStore`."""
        self._plans = plans
        self._server = server
        self._client = Redis.from_url(url, retry=Retry(*_patience()), redis_connect_func=self._greet, **_OPTIONS)
        self._client.response_callbacks.clear()
        self._waiting: deque[_Running] = deque()
        self._flush: asyncio.Task[None] | None = None
        self._sent_at = -inf
        self._closed = False

    def __repr__(self) -> str:
        return f"AsyncRedisStore({self._server.place!r})"

    @property
    def epoch(self) -> str | None:
        """See `RedisStore`."""
        return self._server.epoch

    async def sessions(self, now: float, seconds: float) -> dict[str, bool]:
        """See `Store`."""
        return await self._run(self._plans.sessions(now, seconds))

    async def load(self, session_id: str) -> StoredSession | None:
        """See `Store`."""
        return await self._run(self._plans.load(session_id))

    async def save_tokens(self, session_id: str, tokens: TokenSet) -> None:
        """See `Store`."""
        await self._run(self._plans.save_tokens(session_id, tokens))

    async def tokens(self, session_id: str) -> TokenSet | None:
        """See `Store`."""
        return await self._run(self._plans.tokens(session_id))

    async def conversations(self, session_id: str) -> dict[str, StoredConversation]:
        """See `Store`."""
        return await self._run(self._plans.conversations(session_id))

    async def save_conversation(self, session_id: str, conversation: StoredConversation) -> None:
        """See `Store`."""
        await self._run(self._plans.save_conversation(session_id, conversation))

    async def find(self, conversation_id: str) -> str | None:
        """See `Store`."""
        return await self._run(self._plans.find(conversation_id))

    async def unpolled(self, now: float, seconds: float, most: int) -> list[str]:
        """See `Store`."""
        return await self._run(self._plans.unpolled(now, seconds, most))

    async def report(self, worker: WorkerInfo, now: float, seconds: float) -> None:
        """See `Store`."""
        await self._run(self._plans.report(worker, now, seconds))

    async def workers(self, now: float) -> list[WorkerInfo]:
        """See `Store`."""
        return await self._run(self._plans.workers(now))

    async def withdraw(self, session_id: str, conversation_id: str) -> None:
        """See `Store`."""
        await self._run(self._plans.withdraw(session_id, conversation_id))

    async def journal(self, session_id: str, owner: str, cursor: str | None, unread: Sequence[Unread]) -> bool:
        """See `Store`."""
        return await self._run(self._plans.journal(session_id, owner, cursor, unread))

    async def acknowledge(
        self, session_id: str, owner: str, conversation_id: str, seq: int, item_id: str, mark: str
    ) -> bool:
        """See `Store`."""
        return await self._run(self._plans.acknowledge(session_id, owner, conversation_id, seq, item_id, mark))

    async def delete(self, session_id: str) -> None:
        """See `Store`."""
        await self._run(self._plans.delete(session_id))

    async def acquire(self, session_id: str, right: Right, owner: str, now: float, seconds: float) -> str:
        """See `Store`."""
        return await self._run(self._plans.acquire(session_id, right, owner, now, seconds))

    async def renew(self, session_id: str, right: Right, owner: str, now: float, seconds: float) -> bool:
        """See `Store`."""
        return await self._run(self._plans.renew(session_id, right, owner, now, seconds))

    async def release(self, session_id: str, right: Right, owner: str) -> None:
        """See `Store`."""
        await self._run(self._plans.release(session_id, right, owner))

    async def put_back(self, session: StoredSession, owner: str, now: float, seconds: float) -> bool:
        """See `RedisStore`."""
        return await self._run(self._plans.put_back(session, owner, now, seconds))

    async def close(self) -> None:
        """Wait for what is under way, and close the connection; a later call raises `StoreError`."""
        self._closed = True
        if self._flush is not None:
            await asyncio.wait([self._flush])
        await self._client.aclose()

    async def _run(self, plan: Plan[_Result]) -> _Result:
        try:
            _check_open(self._closed, self._server.place)
            calls = [_written(one) for one in next(plan)]
        except _failures() as error:
            failure = self._server.failure(error)
        else:
            future: asyncio.Future[_Result] = asyncio.get_running_loop().create_future()
            self._waiting.append(_Running(plan, calls, future))
            if self._flush is None or self._flush.done():
                self._flush = asyncio.create_task(self._send_all())
            return await future
        raise failure

    async def _send_all(self) -> None:
        loop = asyncio.get_running_loop()
        if loop.time() - self._sent_at < BUSY:
            await asyncio.sleep(GATHER)
        running: list[_Running] = []
        cancelled = False
        while running or self._waiting:
            while self._waiting and len(running) < ROUND:
                running.append(self._waiting.popleft())
            try:
                replies = iter(await self._round([call for one in running for call in one.calls]))
            except asyncio.CancelledError:
                # The loop is ending, and last words are among these. All may be sent again.
                if cancelled:
                    self._fail(running, ConnectionError())
                    raise
                cancelled = True
            except Exception as error:
                self._fail(running, error)
                running = []
            else:
                shares = [(one, [next(replies) for _ in one.calls]) for one in running]
                running = [one for one, share in shares if one.goes_on(share, self._server.failure)]

    def _fail(self, running: list[_Running], error: Exception) -> None:
        # Those that wait, too: none waits for more than what is under way and its own.
        for one in (*running, *self._waiting):
            one.fail(self._server.failure(error))
        self._waiting.clear()

    async def _round(self, calls: list[Call]) -> list[Any]:
        replies = await self._known(calls)
        if again := self._server.forgotten():
            log.warning(_AGAIN, self._server.place)
            await self._known(again)
            replies = await self._known(calls)
        self._server.note(calls)
        return replies

    async def _known(self, calls: list[Call]) -> list[Any]:
        replies = await self._sent(calls)
        if lost := [n for n, reply in enumerate(replies) if _is_lost(reply)]:
            _without_errors(await self._sent(self._server.scripts()))
            for n, reply in zip(lost, await self._sent([calls[n] for n in lost]), strict=True):
                replies[n] = reply
        return replies

    async def _sent(self, calls: list[Call]) -> list[Any]:
        self._sent_at = asyncio.get_running_loop().time()
        async with self._client.pipeline(transaction=False) as pipeline:
            for call in calls:
                pipeline.execute_command(*self._server.sendable(call))
            return await pipeline.execute(raise_on_error=False)

    async def _greet(self, connection: Any) -> None:
        await connection.on_connect()
        greeting = self._server.greeting()
        calls = next(greeting)
        with suppress(StopIteration):
            while True:
                await connection.send_packed_command(connection.pack_commands(calls))
                calls = greeting.send([await _awaited_answer(connection) for _ in calls])


def _answer(connection: Any) -> Any:
    from redis.exceptions import ResponseError

    try:
        return connection.read_response()
    except ResponseError as error:
        return error


async def _awaited_answer(connection: Any) -> Any:
    from redis.exceptions import ResponseError

    try:
        return await connection.read_response()
    except ResponseError as error:
        return error


def _checked(url: str, prefix: str, ttl: float, take_over: float) -> str:
    """Return where the server is, for people."""
    if not isinstance(url, str):
        raise ConfigurationError("store", f"the URL must be a string, not {type(url).__name__}")
    if find_spec("redis") is None or find_spec("cryptography") is None:
        raise ConfigurationError("store", "RedisStore needs the extra [redis]: pip install 'puzzel-chat[redis]'")
    if not isinstance(prefix, str) or not prefix or "{" in prefix or "}" in prefix:
        raise ConfigurationError("store", "the prefix must be a text without braces")
    if not isinstance(ttl, int | float) or not 60 <= ttl <= 1e9:
        raise ConfigurationError("store", "ttl must be a number of seconds, at least 60")
    if isinstance(take_over, bool) or not isinstance(take_over, int | float) or not 1 <= take_over <= 3600:
        raise ConfigurationError("store", "take_over must be a number of seconds from 1 to 3600")
    place = None
    with suppress(ValueError):
        parts = urlsplit(url)
        where = f"{parts.hostname}:{parts.port or 6379}" if parts.hostname else None
        place = {"redis": where, "rediss": where, "unix": parts.path}.get(parts.scheme)
    if not place:
        raise ConfigurationError("store", "the URL must look like redis://user:password@host:6379/0, or rediss://…")
    return place


def _seal(keys: Sequence[str | bytes]) -> Seal:
    if isinstance(keys, str | bytes):
        keys = [keys]
    if not keys:
        return Seal()
    from cryptography.fernet import Fernet, MultiFernet

    with suppress(ValueError, TypeError):
        return Seal(MultiFernet([Fernet(one) for one in keys]))
    raise ConfigurationError("store", "each of encryption_keys must be a key of cryptography's Fernet.generate_key()")


def _patience() -> tuple[Any, int, Any]:
    # Once more and at once, for a connection that the server closed long ago. A server that does not answer is not
    # waited for twice.
    from redis.backoff import NoBackoff
    from redis.exceptions import ConnectionError as Unreachable

    return NoBackoff(), 1, (Unreachable,)


def _failures() -> tuple[type[Exception], ...]:
    from redis.exceptions import RedisError

    return RedisError, OSError, ValueError


def _check_open(closed: bool, place: str) -> None:
    if closed:
        raise StoreError(f"The session store at {place} was closed; open a new RedisStore.")


def _is_tls(error: BaseException | None) -> bool:
    while error is not None and not isinstance(error, ssl.SSLError):
        error = error.__cause__ or error.__context__
    return error is not None


def _why(error: Exception) -> tuple[str, bool]:
    """Return what became of a call, with what to do, and whether it may succeed soon."""
    from redis import exceptions

    if _is_tls(error):
        return _UNTRUSTED, False
    names = [one.__name__ for one in type(error).__mro__]
    # Codes such as BUSY; before version 7 they stand in the middle of what the server says of a script.
    said = _CODE.findall(str(error)) if isinstance(error, exceptions.ResponseError) else []
    return next(_WHY[name] for name in (*said, *names) if name in _WHY)


def _writes(call: Call) -> bool:
    script = call[1]
    return not script.only_reads if isinstance(script, Script) else call[0] in (b"ZADD", b"ZREM", b"DEL")


def _is_lost(reply: Any) -> bool:
    from redis.exceptions import NoScriptError

    return isinstance(reply, NoScriptError)


def _without_errors(replies: list[Any]) -> list[Any]:
    for reply in replies:
        if isinstance(reply, Exception):
            raise reply
    return replies


def _written(call: Call) -> Call:
    # Here, so that what cannot be written fails alone.
    return tuple(one.encode() if isinstance(one, str) else one for one in call)
