"""The awaiting shell. It decides nothing: `Runner` does what the workflows ask, and the rest are names for callers.

It is `_sync` with `await`; a test compares the two.
"""

from __future__ import annotations

import asyncio
import inspect
import os
from collections.abc import AsyncGenerator, Callable, Coroutine, Generator, Iterable, Mapping
from contextlib import suppress
from functools import partial, wraps
from logging import DEBUG
from typing import IO, TYPE_CHECKING, Any, Generic, ParamSpec, Protocol, TypeVar, cast
from uuid import uuid4
from weakref import finalize

from puzzel_chat import _exit
from puzzel_chat._async_transport import AsyncTransport
from puzzel_chat._client import Application
from puzzel_chat._clock import Clock
from puzzel_chat._conversation import Beginning, ConversationState, Progress, checked_option, masked
from puzzel_chat._errors import InvalidArgument
from puzzel_chat._http import AsyncCarrier, Reply
from puzzel_chat._listing import listed
from puzzel_chat._models import (
    Allocation,
    Customer,
    CustomerFields,
    Event,
    FileMessage,
    Message,
    Option,
    QueueInfo,
    TextMessage,
    TimeInfo,
    Variable,
    Visitor,
)
from puzzel_chat._observing import Watch, http_log
from puzzel_chat._reach import Reach
from puzzel_chat._retry import LEAVE_WITHIN
from puzzel_chat._session import EventReader, SessionState, attached, opened, restored
from puzzel_chat._settings import Settings
from puzzel_chat._steps import Ask, Call, Keep, Parts, Send, Sleep, Start, Steps, Stop, Wait, at_once, kept
from puzzel_chat._store import AsyncStore, SessionInfo, Store, WorkerInfo
from puzzel_chat._wire import replies
from puzzel_chat._wire.operations import QUEUE, TIME, checked_id, checked_text, queue_request, time_request

if TYPE_CHECKING:
    from puzzel_chat._files import FileProgress
    from puzzel_chat._history import History

_T = TypeVar("_T")
_P = ParamSpec("_P")
_Opened = TypeVar("_Opened", bound="AsyncSession | AsyncConversation")


def _present(ask: Callable[[], _T]) -> _T | None:
    """Return the running loop or the present task; None where no loop runs."""
    try:
        return ask()
    except RuntimeError:
        return None


class Run(Protocol):
    """`Runner.run`."""

    async def __call__(self, steps: Steps[_T], carrier: AsyncCarrier | None = None) -> _T:
        """Run a workflow to its end."""
        ...


class Runner:
    """Does what the workflows of one session ask, by awaiting."""

    def __init__(self, transport: AsyncTransport, parts: Parts) -> None:
        self._transport = transport
        self._parts = parts
        self._reach = parts.reach or Reach(parts.store)
        self._clock = parts.clock
        self._started: set[asyncio.Task[None]] = set()
        self._loop = _present(asyncio.get_running_loop)

    async def run(self, steps: Steps[_T], carrier: AsyncCarrier | None = None) -> _T:
        """Run a workflow to its end and return its result; raises what it raises. `carrier` sends in place of ours."""
        answer: object = None
        failure: BaseException | None = None
        try:
            while True:
                try:
                    ask = steps.send(answer) if failure is None else steps.throw(failure)
                    answer, failure = None, None
                    if isinstance(ask, Send):
                        over = carrier or self._transport
                        if self._parts.watch.observe is not None or http_log.isEnabledFor(DEBUG):
                            answer = await self._send_watched(ask, over)
                        else:
                            answer = await over.send(ask.request, ask.access, ask.within)
                    elif isinstance(ask, Keep):
                        answer = await self._reach.call(ask)
                    else:
                        answer = await self._do(ask)
                except BaseException as error:
                    if inspect.getgeneratorstate(steps) == inspect.GEN_CLOSED:
                        if isinstance(error, StopIteration):
                            return error.value  # type: ignore[no-any-return]
                        raise
                    failure = error
        finally:
            # Its traceback has this frame, and the answer may be a token that does not hide itself.
            failure = answer = None

    def drop(self, state: SessionState) -> None:
        """Close a session that nobody holds any more: an ended one is forgotten, one that goes on stays for resume."""
        if state.closed:
            return
        steps, loop = state.close(dropped=True), self._loop
        if self._reach.at_once or (self._reach.blocks and _present(asyncio.get_running_loop) is None):
            at_once(steps, cast("Store", self._parts.store))
        elif loop is not None and loop.is_running():
            loop.call_soon_threadsafe(self._begin, steps, "puzzel-chat-close", self._reach.closing)

    def _begin(self, steps: Steps[None], name: str, among: set[asyncio.Task[None]]) -> None:
        task = asyncio.create_task(self.run(steps), name=name)
        among.add(task)
        task.add_done_callback(among.discard)

    async def _do(self, ask: Ask) -> object:
        match ask:
            case Sleep():
                await self._clock.sleep(ask.wake or asyncio.Event(), ask.seconds)
            case Wait():
                with suppress(TimeoutError):
                    async with asyncio.timeout(ask.seconds):
                        await ask.flag.wait()
                return ask.flag.is_set()
            case Start():
                self._begin(ask.steps, "puzzel-chat-refresh", self._started)
            case Stop():
                for task in self._started:
                    task.cancel()
                await asyncio.gather(*self._started, return_exceptions=True)
            case Call():
                if inspect.isawaitable(result := ask.function(ask.argument)):
                    await result
        return None

    async def _send_watched(self, ask: Send, over: AsyncCarrier) -> Reply:
        with self._parts.watched(ask) as seen:
            seen.reply = await over.send(ask.request, ask.access, ask.within)
        return seen.reply

    @staticmethod
    def check(on_progress: Callable[..., object] | None) -> None:
        """Raise `InvalidArgument` for what cannot be called."""
        if on_progress is not None and not callable(on_progress):
            raise InvalidArgument("on_progress", "must be a function or a coroutine function")

    @staticmethod
    async def together(calls: Iterable[Callable[[], Coroutine[Any, Any, None]]]) -> None:
        """Make these calls, side by side."""
        await asyncio.gather(*(call() for call in calls))


class Opening(Coroutine[Any, None, _Opened], Generic[_Opened]):
    """What `connect()` and `start()` return: await it, or use it in an `async with` block as what it gives."""

    def __init__(self, opening: Coroutine[Any, Any, _Opened]) -> None:
        self._opening = opening
        self._opened: _Opened | None = None

    def __await__(self) -> Generator[Any, None, _Opened]:
        return self._opening.__await__()

    async def __aenter__(self) -> _Opened:
        self._opened = await self._opening
        await self._opened.__aenter__()
        return self._opened

    async def __aexit__(self, *error: Any) -> None:
        assert self._opened is not None
        await self._opened.__aexit__(*error)

    def send(self, value: None) -> Any:
        """Go on, as a coroutine does; a task calls it."""
        return self._opening.send(value)

    def throw(self, *error: Any) -> Any:
        """Go on with an error, as a coroutine does."""
        return self._opening.throw(*error)

    def close(self) -> None:
        """Give it up, as a coroutine does."""
        self._opening.close()


def opening(function: Callable[_P, Coroutine[Any, Any, _Opened]]) -> Callable[_P, Opening[_Opened]]:
    """Let what a coroutine function returns be used in an `async with` block without a second `await`."""

    @wraps(function)
    def opened(*args: _P.args, **named: _P.kwargs) -> Opening[_Opened]:
        return Opening(function(*args, **named))

    return opened


class AsyncEvents(AsyncGenerator[_T], Generic[_T]):
    """What `events()` and `messages()` return. An interrupt, a cancellation or an error does not end it: ask again."""

    def __init__(self, conversation: AsyncConversation, runner: Runner, reader: EventReader[_T]) -> None:
        self._conversation = conversation  # a session that nobody holds is closed
        self._run = runner.run
        self._reader = reader

    async def asend(self, value: None) -> _T:
        """Return the next one."""
        if (event := await self._run(self._reader.next())) is None:
            raise StopAsyncIteration
        return event

    async def athrow(self, error: Any, *_: Any) -> _T:
        """End it, as `aclose()` does: others may read from now on."""
        self._reader.close()
        raise error


class AsyncConversation:
    """One chat, under an id that the caller chose. As a context manager it ends the chat when the block is left, once.

    Made by `AsyncSession.conversation()` and `AsyncPuzzelChat.start()`. One caller at a time takes its events.
    """

    def __init__(self, session: AsyncSession, state: ConversationState, runner: Runner) -> None:
        self._session = session
        self._state = state
        self._runner = runner
        self._run = runner.run

    def __repr__(self) -> str:
        return f"<AsyncConversation {self.id}{' (over)' if self.ended else ''}>"

    @property
    def id(self) -> str:
        """The conversation's id at the service."""
        return self._state.id

    @property
    def session(self) -> AsyncSession:
        """The session that this conversation belongs to."""
        return self._session

    @property
    def history_left_out(self) -> int:
        """How many turns of the history given to `start()` or `route()` had no room: the oldest ones."""
        return self._state.history_left_out

    @property
    def ended(self) -> bool:
        """Whether the chat is over, from either side, as far as is known here; its last events may be unread."""
        return self._state.inbox.life.over

    async def route(
        self,
        queue_key: str,
        *,
        customer: Customer | CustomerFields | None = None,
        variables: Iterable[Variable] | Mapping[str, str] | None = None,
        subject: str | None = None,
        history: History | None = None,
        timeout: float | None = None,
    ) -> Allocation:
        """Ask the contact centre to find an agent in that queue. May be repeated safely: the conversation's id is ours.

        The agent gets what is said of the `customer`, the `variables`, the `subject`, and the `history`: what was said
        before, as turns such as `Turn("bot", "Hello")` or mappings of the same names. How the service hands these over
        is assumed: each as a variable, the history as plain text, a line a turn. The history takes 32 KiB of JSON at
        most, and all together `max_message_bytes`: the oldest turns are left out, which the agent reads in the first
        line, and you in `history_left_out`.

        Raises `QueueClosed`, `QueueFull`, `RoutingRefused`, `NotFound` for an unknown queue, `ConversationClosed`,
        `TransportError` when it could not even be found out whether the request arrived, `StoreError` before that.
        Interrupted or cancelled, it leaves the queue first, within five seconds. `timeout` as in `send`; when it has
        passed, the chat may be in the queue.
        """
        order = customer, variables, subject, history = masked(customer, variables, subject, history)
        return await self._run(self._state.route(queue_key, order, timeout))

    async def allocation(self, *, timeout: float | None = None) -> Allocation:
        """Ask once how the search for an agent goes; `timeout` as in `send`.

        Raises `NotFound` when nothing was routed.
        """
        return await self._run(self._state.allocation(timeout))

    async def wait_for_agent(self, wait: float = 120.0, on_progress: Progress | None = None) -> Allocation:
        """Wait until an agent has the chat, for at most `wait` seconds; `on_progress` is called at each change.

        Raises `AgentWaitTimeout` after leaving the queue on the server, `QueueClosed`, `QueueFull`, `RoutingRefused`,
        or what makes asking useless. Interrupted in any way, it leaves the queue first.
        """
        Runner.check(on_progress)
        return await self._run(self._state.wait_for_agent(wait, on_progress))

    async def allocation_updates(self, wait: float = 120.0) -> AsyncGenerator[Allocation]:
        """Yield the allocation at each change, until an agent has the chat; as `wait_for_agent` otherwise.

        Leaving the loop early leaves the chat in the queue.
        """
        with self._state.search(wait) as search:
            try:
                while not search.done:
                    yield await self._run(search.next_change())
            except BaseException as error:
                await self._run(self._state.leave_after(error))
                raise

    def events(self, timeout: float | None = None) -> AsyncGenerator[Event]:
        """Yield everything that happens, in order and once, until `ConversationEnded`, which comes last.

        Asking for the next event says that the last one has been handled. One reader at a time: a second one raises
        `SessionInUse`, as a `PollingLoop` and `Session.poll()` do while there is one. `timeout` bounds the wait for
        each event in seconds; a request under way is finished first. Raises `EventTimeout` then, after which the next
        event may be asked for; what ended the polling; `NotFound` when nothing was routed under this id; and once
        `StoreError`, before what could not be written and a crash would lose: ask again to go on.
        """
        return AsyncEvents(self, self._runner, self._state.events(timeout))

    def messages(self, timeout: float | None = None) -> AsyncGenerator[Message]:
        """Yield the messages of all sides, own ones included, until the chat ends. As `events()` otherwise."""
        return AsyncEvents(self, self._runner, self._state.messages(timeout))

    async def send(self, text: str, *, timeout: float | None = None) -> TextMessage:
        """Send a line of plain text, at most once.

        When no usable reply comes, the message is looked for in the polls that follow. `timeout` bounds all of that in
        seconds; unless given, each request has the time of the settings. Raises `DeliveryUnknown` when it is not found
        there, `ConversationClosed` when the chat is over (also when its last events are not read yet),
        `InvalidArgument` for an empty text or one with control characters (tabs and line ends may be), `TransportError`
        when it was certainly not sent, or `ApiError`.
        """
        text = checked_text(text)
        return await self._run(self._state.send(text, timeout))

    async def choose(self, option: Option | str, *, timeout: float | None = None) -> TextMessage:
        """Answer the last `OptionsMessage` with one of its options: the `Option`, its id or its label. As `send`.

        How the service wants an answer is not known: it is assumed that the label, sent as a text, is one. Raises
        `InvalidArgument` for what is no choice, which lists the ids.
        """
        option = checked_option(option)
        return await self._run(self._state.choose(option, timeout))

    async def send_file(
        self,
        file: str | os.PathLike[str] | bytes,
        *,
        name: str | None = None,
        content_type: str | None = None,
        on_progress: FileProgress | None = None,
        timeout: float | None = None,
    ) -> FileMessage:
        """Send a file, given by its path or as bytes, of `max_file_bytes` at most. How the service wants it is assumed.

        `name` is what the agent sees, unless given the last part of the path; `content_type` is guessed from it. The
        file is uploaded, again if need be, and then sent as a message, which is done at most once, as in `send`. It is
        read while it goes out: 64 KiB of it are in memory. `on_progress(sent, total)` is called after each piece, and
        begins anew with a new attempt. A slow line has `timeout`, or a second more for each 64 KiB. Raises
        `InvalidArgument` for what cannot be read, is too large or has no usable name, and what `send` raises.
        """
        from puzzel_chat._files import outgoing  # costs milliseconds, which most programs do not need

        Runner.check(on_progress)
        content = outgoing(file, name, content_type, self._state.max_file_bytes, on_progress)
        del file, name  # a traceback with locals would show them
        return await self._run(self._state.send_file(content, timeout))

    async def download(
        self,
        message: FileMessage,
        to: str | os.PathLike[str] | IO[bytes],
        *,
        overwrite: bool = False,
        on_progress: FileProgress | None = None,
        timeout: float | None = None,
    ) -> int:
        """Fetch the file of a message to a path, or into a file that is open for bytes; return its size in bytes.

        It is in its place when it is there as a whole, else nothing is. A file that is there already stays, unless
        `overwrite`; a link is replaced, not followed. Only its owner can read the new one. **Do not make a path of
        `message.file_name`**: whoever sent the file chose it.

        The address is the service's, and the request goes where that says: https only, and http to the service's own
        hosts, or on this machine. Up to five redirects are followed. The token goes to the hosts of `base_url` and
        `upload_url` alone, and no further once a redirect has left them; `headers` of the settings do likewise.

        `on_progress(received, total)` is as in `send_file`; `total` is None where the service does not say. Raises
        `InvalidArgument` for an address that is not followed and a place that cannot be written, `ReplyTooLarge` for
        more than `max_file_bytes`, `NotFound`, `ContractError`, `TransportError` or another `ApiError`.
        """
        from puzzel_chat._files import incoming  # costs milliseconds, which most programs do not need

        Runner.check(on_progress)
        into = incoming(to, overwrite, self._state.max_file_bytes, on_progress)
        return await self._run(self._state.download(message, into, timeout))

    async def typing(self, is_typing: bool = True, *, timeout: float | None = None) -> None:
        """Tell the agent that the customer began or stopped typing; `timeout` as in `send`.

        Raises `ConversationClosed`.
        """
        await self._run(self._state.typing(is_typing, timeout))

    async def end(self, *, timeout: float | None = None) -> None:
        """End the chat, or leave the queue; nothing is sent when it is over already, or was never routed.

        `timeout` as in `send`; when it has passed, the chat may go on, and it may be called again.
        """
        await self._run(self._state.end(timeout))

    def transcript(self) -> tuple[Message, ...]:
        """Return the messages seen by this process, edits applied, in the order of the service's times."""
        return self._state.inbox.transcript()

    async def __aenter__(self) -> AsyncConversation:
        return self

    async def __aexit__(self, kind: object, error: BaseException | None, trace: object) -> None:
        await self._run(self._state.leave_block(error))


class AsyncSession:
    """One token at the service, which is what the service calls a session.

    Made by `AsyncPuzzelChat.connect()` and `resume()`. As a context manager it closes itself.
    """

    def __init__(self, state: SessionState, runner: Runner) -> None:
        self._state = state
        self._runner = runner
        self._run = runner.run
        finalize(self, runner.drop, state)
        _exit.SESSIONS.add(state)

    def __repr__(self) -> str:
        return f"<AsyncSession {self.id}>"

    @property
    def id(self) -> str:
        """The session's name in the store, for `AsyncPuzzelChat.resume`. It is ours; the service never sees it."""
        return self._state.id

    @property
    def visitor_id(self) -> str | None:
        """The service's id of the customer, None when it did not say; masked in a repr."""
        return self._state.keeper.life.tokens.visitor_id

    @property
    def conversations(self) -> tuple[AsyncConversation, ...]:
        """The conversations for which an agent was asked in this session, also before a resume.

        After a crash the service may not have heard of one: `allocation()` raises `NotFound`, `route()` asks again.
        """
        return tuple(self.conversation(conversation_id) for conversation_id in self._state.conversations)

    async def queue_info(self, visual_queue_id: str | int, *, timeout: float | None = None) -> QueueInfo:
        """Ask for a queue's opening hours and load, by its visual queue id. Raises `NotFound` for an unknown queue.

        `timeout` bounds the call in seconds, further attempts included; unless given, each request has the time of the
        settings.
        """
        asked = self._state.call(QUEUE, queue_request(visual_queue_id), timeout=timeout)
        return replies.queue_info(await self._run(asked), replies.now())

    async def time_info(self, time_id: str, *, timeout: float | None = None) -> TimeInfo:
        """Ask which exit of a time module (opening hours) is in force. Raises `NotFound` for an unknown one.

        `timeout` as in `queue_info`.
        """
        asked = self._state.call(TIME, time_request(time_id), timeout=timeout)
        return replies.time_info(await self._run(asked), replies.now())

    def conversation(self, conversation_id: str | None = None) -> AsyncConversation:
        """Return a conversation of this session; without an id, a new one of a random id. Nothing is sent yet."""
        chosen = str(uuid4()) if conversation_id is None else checked_id("conversation_id", conversation_id)
        return AsyncConversation(self, ConversationState(self._state, chosen), self._runner)

    async def poll(self) -> list[Event]:
        """Return what is new in all conversations; unless something is unread already, poll once when that is due.

        Calling again says that what came before has been handled; after a crash the whole of the last list comes again.
        Raises what ended the polling; `SessionInUse` when another object has the right to poll.
        """
        return await self._run(self._state.poll_all())

    async def aclose(self) -> None:
        """Close the session here, within about five seconds: a search for an agent ends and leaves the queue.

        Other chats stay, for `resume`; those of a `MemoryStore` are ended when the program exits.
        """
        await self._run(self._state.shut())

    async def __aenter__(self) -> AsyncSession:
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.aclose()


def inner(conversation: AsyncConversation) -> tuple[ConversationState, Run]:
    """Return what a `PollingLoop` works with: the conversation's state, and what runs its session's workflows."""
    return conversation._state, conversation._run


def inside(session: AsyncSession) -> SessionState:
    """Return what a `Worker` works with: the session's state."""
    return session._state


def application(chat: AsyncPuzzelChat) -> tuple[Parts, Run]:
    """Return what a `Worker` works with: what all sessions share, and what runs workflows of no session."""
    return chat._parts, chat._runner().run


class AsyncPuzzelChat(Application[AsyncTransport, Runner]):
    """A contact centre's chat, for one application and one event loop. Close it, or use it in an `async with` block.

    `store` keeps sessions (a `MemoryStore` unless given); the other arguments are the settings of `Settings`, times in
    seconds. Raises `ConfigurationError` naming the setting that is missing or wrong. Nothing is sent yet.

    `http_client`, an `httpx.AsyncClient` of your own, sends in place of ours and is never closed here. Its connections,
    proxy, TLS, limits and event hooks apply; its base address, headers, cookies, authentication, timeout and redirects
    do not, though its jar takes cookies in. Our bounds hold. What threads, event loops and forks may do with it is as
    httpx says, and an interrupt may spoil a connection. A `PollingLoop` polls over it too. At the program's exit only a
    blocking one is used.

    `observe` is called with what happens, a `Telemetry` each time; `print` shows it. It is called at once, in the
    thread or task where it happens and now and then while the session is locked: let it return soon, and not call the
    chat. What it raises is logged once.
    """

    @opening
    async def connect(self, *, visitor: Visitor | None = None) -> AsyncSession:
        """Open a session: ask for a token, for an unknown visitor or for one who is signed in elsewhere.

        Raises `ConfigurationError` when the service does not accept the settings, `AuthenticationError`, `NotFound` or
        `ApiError` when it does not accept the visitor, `TransportError`, `RateLimited`, `ServerError`, `ContractError`.
        """
        runner = self._runner()
        return self._session(await runner.run(opened(self._parts, visitor)), runner)

    @opening
    async def resume(self, session_id: str, *, shared: bool = False) -> AsyncSession:
        """Take up a session of the store, also after the process that had it was killed.

        What that process had not handled comes again. With `shared` the right to poll stays with whoever has it: all
        calls work but `poll()`, `events()` and `messages()`. Raises `SessionNotFound`, `StoreError`; without `shared`,
        `SessionInUse` while another object has that right: until it is closed, its process ended on this machine (in
        another container that cannot be seen), or it made no call for 60 seconds
        (10 with a `RedisStore`).
        """
        runner = self._runner()
        return self._session(await runner.run(restored(self._parts, session_id, shared)), runner)

    async def sessions(self) -> tuple[SessionInfo, ...]:
        """List the sessions of the store, for `resume`: also one whose process was killed while a chat was begun.

        Those that nobody polls and that nobody needs are forgotten: the end of each chat was read, or the token has
        expired and cannot be refreshed; not while events of theirs wait for a reader. Raises `StoreError`.
        """
        return await self._runner().run(listed(self._parts))

    @opening
    async def attach(self, conversation_id: str) -> AsyncConversation:
        """Find the session of a conversation in the store, to `send`, `typing` and `end` from any process.

        Whoever polls the session, such as a `Worker`, goes on with that: its events come there. Raises
        `SessionNotFound` when no session of the store has it, and `StoreError`.
        """
        runner = self._runner()
        state = await runner.run(attached(self._parts, conversation_id))
        conversation = ConversationState(state, conversation_id)
        return AsyncConversation(self._session(state, runner), conversation, runner)

    async def workers(self) -> tuple[WorkerInfo, ...]:
        """Return what each `Worker` on the store said of itself last, by name. Raises `StoreError`."""
        asked = kept(Store.workers, self._parts.clock.now().wall)
        return tuple(await self._runner().run(asked))

    @opening
    async def start(
        self,
        queue_key: str,
        visual_queue_id: str | int | None = None,
        *,
        visitor: Visitor | None = None,
        customer: Customer | CustomerFields | None = None,
        variables: Iterable[Variable] | Mapping[str, str] | None = None,
        subject: str | None = None,
        history: History | None = None,
        wait: float = 120.0,
        on_progress: Progress | None = None,
        conversation_id: str | None = None,
    ) -> AsyncConversation:
        """Open a session, check the opening hours, ask for an agent and wait for one, for at most `wait` seconds.

        `queue_key`, such as "q_support", says where to route. `visual_queue_id`, a number, is the same queue's id for
        its opening hours; without it they are not asked for, and a closed queue refuses the routing. `visitor` is as in
        `connect`, and `customer` to `history` are as in `route`. With `wait=0` it returns as soon as the chat is in the
        queue. When anything goes wrong nothing stays behind: the queue is left and the session closed. Raises what
        `connect`, `route` and `wait_for_agent` raise.
        """
        Runner.check(on_progress)
        order = customer, variables, subject, history = masked(customer, variables, subject, history)
        beginning = Beginning.checked(self._parts.settings, queue_key, visual_queue_id, conversation_id, order, wait)
        runner = self._runner()
        session = await runner.run(opened(self._parts, visitor, beginning.conversation_id))
        conversation = ConversationState(session, beginning.conversation_id)
        opened_here = self._session(session, runner)
        await runner.run(conversation.begin(beginning, on_progress))
        return AsyncConversation(opened_here, conversation, runner)

    async def aclose(self) -> None:
        """Close the sessions and every connection, within about five seconds in all.

        Chats that go on stay in the store, for `resume`; those of a `MemoryStore` are ended when the program exits.
        """
        by = self._parts.clock.monotonic() + LEAVE_WITHIN
        sessions = list(self._sessions.items())
        for session, _ in sessions:
            session.closing.set()
        try:
            await Runner.together(partial(runner.run, session.shut(by)) for session, runner in sessions)
        finally:
            if self._owned:
                await self._let_go()

    async def __aenter__(self) -> AsyncPuzzelChat:
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.aclose()

    @classmethod
    def _new_parts(
        cls, settings: Settings, store: Store | AsyncStore, clock: Clock, http_client: object, watch: Watch
    ) -> Parts:
        caller, reach = partial(_present, asyncio.current_task), Reach(store)
        return Parts(settings, reach.store, clock, asyncio.Event, caller, http_client, watch, reach)

    @classmethod
    def _new_transport(cls, settings: Settings, http_client: object) -> AsyncTransport:
        return AsyncTransport(settings, http_client)

    async def _let_go(self) -> None:
        await self._transport.aclose()
        if self._parts.reach is not None:
            await self._parts.reach.aclose()

    def _runner(self) -> Runner:
        return Runner(self._transport, self._parts)

    def _session(self, state: SessionState, runner: Runner) -> AsyncSession:
        self._sessions[state] = runner
        return AsyncSession(state, runner)
