"""The blocking shell. It decides nothing: `Runner` does what the workflows ask, and the rest are names for callers.

`_async` is the same with `await`; a test compares the two.
"""

from __future__ import annotations

import inspect
import os
import threading
from collections.abc import Callable, Generator, Iterable, Iterator, Mapping
from functools import partial
from logging import DEBUG
from typing import IO, TYPE_CHECKING, Any, Generic, TypeVar
from uuid import uuid4
from weakref import finalize

from puzzel_chat import _exit
from puzzel_chat._client import Application
from puzzel_chat._conversation import Beginning, ConversationState, Progress, checked_option, masked
from puzzel_chat._errors import InvalidArgument
from puzzel_chat._http import Reply
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
from puzzel_chat._observing import http_log
from puzzel_chat._retry import LEAVE_WITHIN
from puzzel_chat._session import EventReader, SessionState, attached, opened, restored
from puzzel_chat._settings import Settings
from puzzel_chat._steps import Ask, Call, Keep, Parts, Send, Sleep, Start, Steps, ThreadFlag, Wait, is_async, kept
from puzzel_chat._store import SessionInfo, Store, WorkerInfo
from puzzel_chat._transport import Transport
from puzzel_chat._wire import replies
from puzzel_chat._wire.operations import QUEUE, TIME, checked_id, checked_text, queue_request, time_request

if TYPE_CHECKING:
    from puzzel_chat._files import FileProgress
    from puzzel_chat._history import History

_T = TypeVar("_T")
_NOT_AWAITED = "returns something to await, which a blocking client cannot do; use a plain function"


class Runner:
    """Does what the workflows of one session ask, by blocking; usable from several threads.

    A workflow runs under a lock, its requests and waits do not.
    """

    def __init__(self, transport: Transport, parts: Parts) -> None:
        self._transport = transport
        self._parts = parts
        self._clock = parts.clock
        # Reentrant, for a signal's handler may end a chat in the middle of a call.
        self._lock = threading.RLock()
        self._process = os.getpid()

    def run(self, steps: Steps[_T]) -> _T:
        """Run a workflow to its end and return its result; raises what it raises."""
        if self._process != os.getpid():
            # Another thread may have held the lock at the fork.
            self._lock, self._process = threading.RLock(), os.getpid()
        answer: object = None
        failure: BaseException | None = None
        try:
            while True:
                try:
                    with self._lock:
                        ask = steps.send(answer) if failure is None else steps.throw(failure)
                        while isinstance(ask, Keep):
                            answer, failure = None, None
                            answer = self._kept(ask)
                            ask = steps.send(answer)
                    answer, failure = None, None
                    answer = self._do(ask)
                except BaseException as error:
                    # Wherever an interrupt strikes here, the workflow hears of it and cleans up.
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
        self.run(state.close(dropped=True))

    def _kept(self, ask: Keep) -> object:
        return getattr(self._parts.store, ask.method)(*ask.arguments)

    def _do(self, ask: Ask) -> object:
        match ask:
            case Send() if self._parts.watch.observe is not None or http_log.isEnabledFor(DEBUG):
                return self._send_watched(ask)
            case Send():
                return self._transport.send(ask.request, ask.access, ask.within)
            case Sleep():
                self._clock.wait(ask.wake or ThreadFlag(), ask.seconds)
            case Wait():
                came: bool = ask.flag.wait(ask.seconds)
                return came
            case Start():
                # A daemon, so that a service that hangs does not keep the program from its exit.
                threading.Thread(target=self.run, args=(ask.steps,), name="puzzel-chat-refresh", daemon=True).start()
            case Call():
                if inspect.isawaitable(result := ask.function(ask.argument)):
                    if inspect.iscoroutine(result):
                        result.close()
                    raise InvalidArgument("on_progress", _NOT_AWAITED)
        return None

    def _send_watched(self, ask: Send) -> Reply:
        with self._parts.watched(ask) as seen:
            seen.reply = self._transport.send(ask.request, ask.access, ask.within)
        return seen.reply

    @staticmethod
    def check(on_progress: Callable[..., object] | None) -> None:
        """Raise `InvalidArgument` for what cannot be called here."""
        if on_progress is not None and (not callable(on_progress) or is_async(on_progress)):
            raise InvalidArgument("on_progress", _NOT_AWAITED if callable(on_progress) else "must be a function")

    @staticmethod
    def together(calls: Iterable[Callable[[], None]]) -> None:
        """Make these calls, one after the other."""
        for call in calls:
            call()


class Events(Generator[_T], Generic[_T]):
    """What `events()` and `messages()` return. An interrupt, a cancellation or an error does not end it: ask again."""

    def __init__(self, conversation: Conversation, runner: Runner, reader: EventReader[_T]) -> None:
        self._conversation = conversation  # a session that nobody holds is closed
        self._run = runner.run
        self._reader = reader

    def send(self, value: None) -> _T:
        """Return the next one."""
        if (event := self._run(self._reader.next())) is None:
            raise StopIteration
        return event

    def throw(self, error: Any, *_: Any) -> _T:
        """End it, as `close()` does: others may read from now on."""
        self._reader.close()
        raise error


class Conversation:
    """One chat, under an id that the caller chose. As a context manager it ends the chat when the block is left, once.

    Made by `Session.conversation()` and `PuzzelChat.start()`. One caller at a time takes its events.
    """

    def __init__(self, session: Session, state: ConversationState, runner: Runner) -> None:
        self._session = session
        self._state = state
        self._runner = runner
        self._run = runner.run

    def __repr__(self) -> str:
        return f"<Conversation {self.id}{' (over)' if self.ended else ''}>"

    @property
    def id(self) -> str:
        """The conversation's id at the service."""
        return self._state.id

    @property
    def session(self) -> Session:
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

    def route(
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
        return self._run(self._state.route(queue_key, order, timeout))

    def allocation(self, *, timeout: float | None = None) -> Allocation:
        """Ask once how the search for an agent goes; `timeout` as in `send`.

        Raises `NotFound` when nothing was routed.
        """
        return self._run(self._state.allocation(timeout))

    def wait_for_agent(self, wait: float = 120.0, on_progress: Progress | None = None) -> Allocation:
        """Wait until an agent has the chat, for at most `wait` seconds; `on_progress` is called at each change.

        Raises `AgentWaitTimeout` after leaving the queue on the server, `QueueClosed`, `QueueFull`, `RoutingRefused`,
        or what makes asking useless. Interrupted in any way, it leaves the queue first.
        """
        Runner.check(on_progress)
        return self._run(self._state.wait_for_agent(wait, on_progress))

    def allocation_updates(self, wait: float = 120.0) -> Iterator[Allocation]:
        """Yield the allocation at each change, until an agent has the chat; as `wait_for_agent` otherwise.

        Leaving the loop early leaves the chat in the queue.
        """
        with self._state.search(wait) as search:
            try:
                while not search.done:
                    yield self._run(search.next_change())
            except BaseException as error:
                self._run(self._state.leave_after(error))
                raise

    def events(self, timeout: float | None = None) -> Iterator[Event]:
        """Yield everything that happens, in order and once, until `ConversationEnded`, which comes last.

        Asking for the next event says that the last one has been handled. One reader at a time: a second one raises
        `SessionInUse`, as a `PollingLoop` and `Session.poll()` do while there is one. `timeout` bounds the wait for
        each event in seconds; a request under way is finished first. Raises `EventTimeout` then, after which the next
        event may be asked for; what ended the polling; `NotFound` when nothing was routed under this id; and once
        `StoreError`, before what could not be written and a crash would lose: ask again to go on.
        """
        return Events(self, self._runner, self._state.events(timeout))

    def messages(self, timeout: float | None = None) -> Iterator[Message]:
        """Yield the messages of all sides, own ones included, until the chat ends. As `events()` otherwise."""
        return Events(self, self._runner, self._state.messages(timeout))

    def send(self, text: str, *, timeout: float | None = None) -> TextMessage:
        """Send a line of plain text, at most once.

        When no usable reply comes, the message is looked for in the polls that follow. `timeout` bounds all of that in
        seconds; unless given, each request has the time of the settings. Raises `DeliveryUnknown` when it is not found
        there, `ConversationClosed` when the chat is over (also when its last events are not read yet),
        `InvalidArgument` for an empty text or one with control characters (tabs and line ends may be), `TransportError`
        when it was certainly not sent, or `ApiError`.
        """
        text = checked_text(text)
        return self._run(self._state.send(text, timeout))

    def choose(self, option: Option | str, *, timeout: float | None = None) -> TextMessage:
        """Answer the last `OptionsMessage` with one of its options: the `Option`, its id or its label. As `send`.

        How the service wants an answer is not known: it is assumed that the label, sent as a text, is one. Raises
        `InvalidArgument` for what is no choice, which lists the ids.
        """
        option = checked_option(option)
        return self._run(self._state.choose(option, timeout))

    def send_file(
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
        return self._run(self._state.send_file(content, timeout))

    def download(
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
        return self._run(self._state.download(message, into, timeout))

    def typing(self, is_typing: bool = True, *, timeout: float | None = None) -> None:
        """Tell the agent that the customer began or stopped typing; `timeout` as in `send`.

        Raises `ConversationClosed`.
        """
        self._run(self._state.typing(is_typing, timeout))

    def end(self, *, timeout: float | None = None) -> None:
        """End the chat, or leave the queue; nothing is sent when it is over already, or was never routed.

        `timeout` as in `send`; when it has passed, the chat may go on, and it may be called again.
        """
        self._run(self._state.end(timeout))

    def transcript(self) -> tuple[Message, ...]:
        """Return the messages seen by this process, edits applied, in the order of the service's times."""
        return self._state.inbox.transcript()

    def __enter__(self) -> Conversation:
        return self

    def __exit__(self, kind: object, error: BaseException | None, trace: object) -> None:
        self._run(self._state.leave_block(error))


class Session:
    """One token at the service, which is what the service calls a session.

    Made by `PuzzelChat.connect()` and `resume()`. Usable from several threads. As a context manager it closes itself.
    """

    def __init__(self, state: SessionState, runner: Runner) -> None:
        self._state = state
        self._runner = runner
        self._run = runner.run
        finalize(self, runner.drop, state)
        _exit.SESSIONS.add(state)

    def __repr__(self) -> str:
        return f"<Session {self.id}>"

    @property
    def id(self) -> str:
        """The session's name in the store, for `PuzzelChat.resume`. It is ours; the service never sees it."""
        return self._state.id

    @property
    def visitor_id(self) -> str | None:
        """The service's id of the customer, None when it did not say; masked in a repr."""
        return self._state.keeper.life.tokens.visitor_id

    @property
    def conversations(self) -> tuple[Conversation, ...]:
        """The conversations for which an agent was asked in this session, also before a resume.

        After a crash the service may not have heard of one: `allocation()` raises `NotFound`, `route()` asks again.
        """
        return tuple(self.conversation(conversation_id) for conversation_id in self._state.conversations)

    def queue_info(self, visual_queue_id: str | int, *, timeout: float | None = None) -> QueueInfo:
        """Ask for a queue's opening hours and load, by its visual queue id. Raises `NotFound` for an unknown queue.

        `timeout` bounds the call in seconds, further attempts included; unless given, each request has the time of the
        settings.
        """
        asked = self._state.call(QUEUE, queue_request(visual_queue_id), timeout=timeout)
        return replies.queue_info(self._run(asked), replies.now())

    def time_info(self, time_id: str, *, timeout: float | None = None) -> TimeInfo:
        """Ask which exit of a time module (opening hours) is in force. Raises `NotFound` for an unknown one.

        `timeout` as in `queue_info`.
        """
        asked = self._state.call(TIME, time_request(time_id), timeout=timeout)
        return replies.time_info(self._run(asked), replies.now())

    def conversation(self, conversation_id: str | None = None) -> Conversation:
        """Return a conversation of this session; without an id, a new one of a random id. Nothing is sent yet."""
        chosen = str(uuid4()) if conversation_id is None else checked_id("conversation_id", conversation_id)
        return Conversation(self, ConversationState(self._state, chosen), self._runner)

    def poll(self) -> list[Event]:
        """Return what is new in all conversations; unless something is unread already, poll once when that is due.

        Calling again says that what came before has been handled; after a crash the whole of the last list comes again.
        Raises what ended the polling; `SessionInUse` when another object has the right to poll.
        """
        return self._run(self._state.poll_all())

    def close(self) -> None:
        """Close the session here, within about five seconds: a search for an agent ends and leaves the queue.

        Other chats stay, for `resume`; those of a `MemoryStore` are ended when the program exits.
        """
        self._run(self._state.shut())

    def __enter__(self) -> Session:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


class PuzzelChat(Application[Transport, Runner]):
    """A contact centre's chat, for one application. Usable from several threads; close it, or use it in a `with` block.

    `store` keeps sessions (a `MemoryStore` unless given); the other arguments are the settings of `Settings`, times in
    seconds. Raises `ConfigurationError` naming the setting that is missing or wrong. Nothing is sent yet.

    `http_client`, an `httpx.Client` of your own, sends in place of ours and is never closed here. Its connections,
    proxy, TLS, limits and event hooks apply; its base address, headers, cookies, authentication, timeout and redirects
    do not, though its jar takes cookies in. Our bounds hold. What threads, event loops and forks may do with it is as
    httpx says, and an interrupt may spoil a connection. A `PollingLoop` polls over it too. At the program's exit only a
    blocking one is used.

    `observe` is called with what happens, a `Telemetry` each time; `print` shows it. It is called at once, in the
    thread or task where it happens and now and then while the session is locked: let it return soon, and not call the
    chat. What it raises is logged once.
    """

    def connect(self, *, visitor: Visitor | None = None) -> Session:
        """Open a session: ask for a token, for an unknown visitor or for one who is signed in elsewhere.

        Raises `ConfigurationError` when the service does not accept the settings, `AuthenticationError`, `NotFound` or
        `ApiError` when it does not accept the visitor, `TransportError`, `RateLimited`, `ServerError`, `ContractError`.
        """
        runner = self._runner()
        return self._session(runner.run(opened(self._parts, visitor)), runner)

    def resume(self, session_id: str, *, shared: bool = False) -> Session:
        """Take up a session of the store, also after the process that had it was killed.

        What that process had not handled comes again. With `shared` the right to poll stays with whoever has it: all
        calls work but `poll()`, `events()` and `messages()`. Raises `SessionNotFound`, `StoreError`; without `shared`,
        `SessionInUse` while another object has that right: until it is closed, its process ended on this machine (in
        another container that cannot be seen), or it made no call for 60 seconds
        (10 with a `RedisStore`).
        """
        runner = self._runner()
        return self._session(runner.run(restored(self._parts, session_id, shared)), runner)

    def sessions(self) -> tuple[SessionInfo, ...]:
        """List the sessions of the store, for `resume`: also one whose process was killed while a chat was begun.

        Those that nobody polls and that nobody needs are forgotten: the end of each chat was read, or the token has
        expired and cannot be refreshed; not while events of theirs wait for a reader. Raises `StoreError`.
        """
        return self._runner().run(listed(self._parts))

    def attach(self, conversation_id: str) -> Conversation:
        """Find the session of a conversation in the store, to `send`, `typing` and `end` from any process.

        Whoever polls the session, such as a `Worker`, goes on with that: its events come there. Raises
        `SessionNotFound` when no session of the store has it, and `StoreError`.
        """
        runner = self._runner()
        state = runner.run(attached(self._parts, conversation_id))
        conversation = ConversationState(state, conversation_id)
        return Conversation(self._session(state, runner), conversation, runner)

    def workers(self) -> tuple[WorkerInfo, ...]:
        """Return what each `Worker` on the store said of itself last, by name. Raises `StoreError`."""
        asked = kept(Store.workers, self._parts.clock.now().wall)
        return tuple(self._runner().run(asked))

    def start(
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
    ) -> Conversation:
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
        session = runner.run(opened(self._parts, visitor, beginning.conversation_id))
        conversation = ConversationState(session, beginning.conversation_id)
        opened_here = self._session(session, runner)
        runner.run(conversation.begin(beginning, on_progress))
        return Conversation(opened_here, conversation, runner)

    def close(self) -> None:
        """Close the sessions and every connection, within about five seconds in all.

        Chats that go on stay in the store, for `resume`; those of a `MemoryStore` are ended when the program exits.
        """
        by = self._parts.clock.monotonic() + LEAVE_WITHIN
        sessions = list(self._sessions.items())
        for session, _ in sessions:
            session.closing.set()
        try:
            Runner.together(partial(runner.run, session.shut(by)) for session, runner in sessions)
        finally:
            if self._owned:
                self._let_go()

    def __enter__(self) -> PuzzelChat:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    @classmethod
    def _new_transport(cls, settings: Settings, http_client: object) -> Transport:
        return Transport(settings, http_client)

    def _let_go(self) -> None:
        self._transport.close()

    def _runner(self) -> Runner:
        return Runner(self._transport, self._parts)

    def _session(self, state: SessionState, runner: Runner) -> Session:
        self._sessions[state] = runner
        return Session(state, runner)
