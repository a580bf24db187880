"""What applications do to a `PollingLoop` that none should: nothing is silent, lost, or left behind."""

from __future__ import annotations

import asyncio
import sys
import threading
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from contextvars import ContextVar
from typing import Any

import pytest

from blocking import settings
from hostile import Asked, Said, Service
from puzzel_chat import (
    AsyncConversation,
    AsyncPuzzelChat,
    AsyncSession,
    ConversationEnded,
    Event,
    InvalidArgument,
    PollingLoop,
    PuzzelChatError,
    SessionError,
    SessionInUse,
)
from puzzel_chat._lease import LEASE
from puzzel_chat.sandbox import Fault, Sandbox
from puzzel_chat.testing import VirtualTime
from sandbox.test_polling_loop import Kept, chats, run, said, told
from waiting import until_async


class Failures:
    """Keeps what `on_failure` is told."""

    def __init__(self) -> None:
        self.told: list[tuple[str, Exception]] = []

    def __call__(self, conversation: AsyncConversation, error: Exception) -> None:
        """Keep it."""
        self.told.append((conversation.id, error))


def ended(kept: Kept, conversation: AsyncConversation) -> bool:
    """Tell whether a conversation's handler has seen its end."""
    return any(isinstance(event, ConversationEnded) for event in kept.taken[conversation.id])


class Odd(BaseException):
    """An exception that is no `Exception`, as some libraries have."""


@pytest.mark.parametrize("raised", [asyncio.CancelledError, Odd])
@pytest.mark.parametrize("threaded", [False, True], ids=["coroutine", "thread"])
def test_a_handler_that_ends_with_a_base_exception(
    raised: type[BaseException], threaded: bool, caplog: pytest.LogCaptureFixture
) -> None:
    """A handler that awaited something cancelled, or raises what is no `Exception`, is logged and counted as any."""

    async def scenario() -> None:
        kept = Kept()

        async def raising(conversation: AsyncConversation, event: Event) -> None:
            kept.plain(conversation, event)
            raise raised

        def in_thread(conversation: AsyncConversation, event: Event) -> None:
            kept.plain(conversation, event)
            raise raised

        async with chats(sandbox, 1) as (conversation,), PollingLoop(fast=False) as loop:
            loop.add(conversation, in_thread if threaded else raising)
            await conversation.send("end chat")
            await until_async(lambda: loop.stats().conversations == 0)
            assert said(kept.taken[conversation.id]) == told(sandbox, conversation.id)
            assert loop.stats().handler_errors == len(kept.taken[conversation.id])

    with Sandbox(pace=0.01) as sandbox:
        run(scenario())
    assert f"raised {raised.__name__} at" in caplog.text


def test_a_plain_handler_that_asks_an_empty_iterator_is_not_stuck(caplog: pytest.LogCaptureFixture) -> None:
    """A `StopIteration`, which no future holds, is logged at its place and counted; the next events come."""

    async def scenario() -> None:
        kept = Kept()

        def asking(conversation: AsyncConversation, event: Event) -> None:
            kept.plain(conversation, event)
            next(iter(()))

        async with chats(sandbox, 1) as (conversation,), PollingLoop(fast=False) as loop:
            loop.add(conversation, asking)
            await conversation.send("end chat")
            await until_async(lambda: loop.stats().conversations == 0)
            assert said(kept.taken[conversation.id]) == told(sandbox, conversation.id)
            assert loop.stats().handler_errors == len(kept.taken[conversation.id])

    with Sandbox(pace=0.01) as sandbox:
        run(scenario())
    assert "test_polling_loop_attacks.py:" in caplog.text


@pytest.mark.parametrize("raised", [SystemExit, KeyboardInterrupt])
def test_a_handler_may_stop_the_program(raised: type[BaseException]) -> None:
    """What stops a program in a coroutine, or in a thread's function, stops this one; it is not taken for a mistake."""

    def stopping(*_: object) -> None:
        raise raised

    async def scenario() -> None:
        async with chats(sandbox, 1) as (conversation,), PollingLoop(fast=False) as loop:
            loop.add(conversation, stopping)
            await asyncio.sleep(60)

    with Sandbox(pace=0.01) as sandbox, pytest.raises(raised):
        asyncio.run(scenario())


def refuses(asked: Asked) -> Said:
    """A service that gives a token and refuses all else."""
    if asked.path.startswith("/connect"):
        return Said({"access_token": "a", "refresh_token": "r", "expires_in": 600})
    return Said({}, status=403)


@asynccontextmanager
async def refused(
    service: Service, failures: Failures, go_on: asyncio.Event
) -> AsyncIterator[tuple[PollingLoop, AsyncSession]]:
    """A loop with a session whose polls are refused, while the handler of its conversation "a" is at work."""
    client = AsyncPuzzelChat(service.base_url, "7", poll_interval=0.05)
    async with client, PollingLoop(on_failure=failures, fast=False) as loop:
        session = await client.connect()
        conversation = session.conversation("a")
        session._state.feed.degraded("something for the handler")
        loop.add(conversation, lambda *_: go_on.wait())
        yield loop, session


def test_a_refused_session_is_polled_no_more_while_its_handler_is_at_work() -> None:
    """After an error that ends the polling no poll follows, however long a handler takes; then it is told, once."""

    async def scenario() -> None:
        failures, go_on = Failures(), asyncio.Event()
        async with refused(service, failures, go_on):
            await until_async(lambda: service.count("/api/conversation"))
            await asyncio.sleep(0.5)
            assert service.count("/api/conversation") == 1
            go_on.set()
            await until_async(lambda: failures.told)

    with Service(refuses) as service:
        run(scenario())


def test_a_conversation_added_after_the_end_of_all_polls_is_told_too() -> None:
    """A new conversation of a refused session has its error at once, though another's handler is still at work."""

    async def scenario() -> None:
        failures, go_on = Failures(), asyncio.Event()
        async with refused(service, failures, go_on) as (loop, session):
            await until_async(lambda: session._state.feed.failure)
            loop.add(session.conversation("b"), Kept().plain)
            await until_async(lambda: [one for one, _ in failures.told] == ["b"])
            await asyncio.sleep(0.2)
            assert service.count("/api/conversation") == 1
            go_on.set()
            await until_async(lambda: len(failures.told) == 2)

    with Service(refuses) as service:
        run(scenario())


def test_a_blocked_handler_keeps_no_other_chat_from_being_ended() -> None:
    """`aclose(end=True)` ends every chat at the service, though one handler never finishes."""

    async def scenario() -> None:
        begun = asyncio.Event()

        async def blocking(*_: object) -> None:
            begun.set()
            await asyncio.Event().wait()

        async with chats(sandbox, 4) as opened:
            loop = PollingLoop(fast=False)
            for place, conversation in enumerate(opened):
                loop.add(conversation, Kept().coroutine if place else blocking)
            await begun.wait()
            await loop.aclose(end=True, timeout=2)
            assert sandbox.stats().requests["endConversation"] == 4

    with Sandbox(pace=0.01) as sandbox:
        run(scenario())


@pytest.mark.parametrize("times", [1, 2, 3])
def test_a_cancelled_close_leaves_nothing(times: int) -> None:
    """However often `aclose` is cancelled, no task of the loop is left, and no event is handled afterwards."""

    async def scenario() -> None:
        begun = asyncio.Event()

        async def blocking(*_: object) -> None:
            begun.set()
            await asyncio.Event().wait()

        async with chats(sandbox, 3) as opened:
            loop = PollingLoop(fast=False)
            for conversation in opened:
                loop.add(conversation, blocking)
            await begun.wait()
            closing = asyncio.create_task(loop.aclose())
            for _ in range(times):
                await asyncio.sleep(0)
                closing.cancel()
            with pytest.raises(asyncio.CancelledError):
                await closing
            await until_async(lambda: not [one for one in asyncio.all_tasks() if "puzzel" in one.get_name()])

    with Sandbox(pace=0.01) as sandbox:
        run(scenario())


@pytest.mark.parametrize("leaves", ["raises", "is cancelled"])
def test_the_body_of_the_block_fails(leaves: str) -> None:
    """When the block's body raises or is cancelled the loop is closed, and that comes out of the block."""

    async def scenario() -> None:
        async with chats(sandbox, 2) as opened:
            loop = PollingLoop(fast=False)

            async def body() -> None:
                async with loop:
                    for conversation in opened:
                        loop.add(conversation, Kept().coroutine)
                    if leaves == "raises":
                        raise LookupError
                    await asyncio.Event().wait()

            task = asyncio.create_task(body())
            if leaves == "is cancelled":
                await until_async(lambda: loop.stats().conversations)
                task.cancel()
            with pytest.raises((LookupError, asyncio.CancelledError)):
                await task
            assert loop.stats().sessions == 0

    with Sandbox(pace=0.01) as sandbox:
        run(scenario())


def test_handlers_change_the_loop() -> None:
    """Handlers that remove themselves and add others, again and again, lose nothing and double nothing."""

    async def scenario() -> None:
        kept = Kept()

        async def one(conversation: AsyncConversation, event: Event) -> None:
            loop.remove(conversation)
            loop.add(conversation, other)
            loop.remove(conversation)
            loop.add(conversation, other)
            await kept.coroutine(conversation, event)

        async def other(conversation: AsyncConversation, event: Event) -> None:
            await kept.coroutine(conversation, event)
            if not isinstance(event, ConversationEnded):
                loop.remove(conversation)
                loop.add(conversation, one)

        async with chats(sandbox, 5) as opened, PollingLoop(fast=False) as loop:
            for conversation in opened:
                loop.add(conversation, one)
                await conversation.send("one")
                await conversation.send("end chat")
            # The first kind adds itself again behind the end, where there is nothing to add to.
            await until_async(lambda: all(ended(kept, conversation) for conversation in opened))
            for conversation in opened:
                assert said(kept.taken[conversation.id]) == told(sandbox, conversation.id)

    with Sandbox(pace=0.01) as sandbox:
        run(scenario())


def test_a_handler_sends_while_the_outcome_is_unknown() -> None:
    """A send without an answer is looked for in polls beside the loop's own; all comes once and in order."""

    async def scenario() -> None:
        kept, sent = Kept(), dict[str, str]()

        async def answering(conversation: AsyncConversation, event: Event) -> None:
            await kept.coroutine(conversation, event)
            if conversation.id not in sent:
                sent[conversation.id] = ""
                sent[conversation.id] = (await conversation.send("one")).id
                await conversation.send("end chat")

        async with chats(sandbox, 6) as opened, PollingLoop(fast=False) as loop:
            sandbox.faults(Fault.drop("sendMessage", after=True, every=2))
            for conversation in opened:
                loop.add(conversation, answering)
            await until_async(lambda: all(ended(kept, conversation) for conversation in opened))
            for conversation in opened:
                assert said(kept.taken[conversation.id]) == told(sandbox, conversation.id)
                assert sent[conversation.id] in told(sandbox, conversation.id)

    with Sandbox(pace=0.01, semantics="drain") as sandbox:
        run(scenario())


def test_a_session_that_is_closed_meanwhile_is_told() -> None:
    """A session that the application closes under the loop is told once for each of its conversations."""

    async def scenario() -> None:
        failures = Failures()
        async with chats(sandbox, 2) as opened, PollingLoop(on_failure=failures, fast=False) as loop:
            for conversation in opened:
                loop.add(conversation, Kept().coroutine)
            await opened[0].session.aclose()
            await until_async(lambda: failures.told)
            assert [(one, type(error)) for one, error in failures.told] == [(opened[0].id, SessionError)]
            assert loop.stats().conversations == 1

    with Sandbox(pace=0.01) as sandbox:
        run(scenario())


def test_mail_that_another_took_is_told() -> None:
    """When another object takes the session up, each conversation's `on_failure` is told, and nobody polls here."""

    async def scenario() -> None:
        failures, time = Failures(), VirtualTime()
        client = AsyncPuzzelChat(**settings(sandbox))
        async with client, PollingLoop(on_failure=failures, fast=False) as loop:
            session = await client.connect()
            both = [session.conversation(), session.conversation()]
            for conversation in both:
                await conversation.route("support")
                loop.add(conversation, Kept().coroutine)
            store, mail = client._parts.store, session._state.lease
            later = time.now().wall + 10**9 + 3 * LEASE
            assert store.acquire(session.id, "poll", "another", later, LEASE) == "another"
            mail._until = 0.0
            await until_async(lambda: len(failures.told) == 2)
            assert {type(error) for _, error in failures.told} == {SessionInUse}
            assert {one for one, _ in failures.told} == {one.id for one in both}

    with Sandbox(pace=0.01) as sandbox:
        run(scenario())


@pytest.mark.parametrize("fault", [Fault.bad_json("pollConversation"), Fault.status(404, "pollConversation")])
def test_what_no_poll_survives_is_told_once_for_each_conversation(fault: Fault) -> None:
    """Three replies that cannot be read, or a session that is gone, end each of its conversations with an error."""

    async def scenario() -> None:
        failures = Failures()
        async with AsyncPuzzelChat(**settings(sandbox)) as client, PollingLoop(on_failure=failures, fast=False) as loop:
            session = await client.connect()
            several = [session.conversation() for _ in range(3)]
            sandbox.faults(fault)
            for conversation in several:
                await conversation.route("support")
                loop.add(conversation, Kept().plain)
            await until_async(lambda: len(failures.told) == 3)
            await asyncio.sleep(0.2)
            assert {one for one, _ in failures.told} == {one.id for one in several}
            assert len(failures.told) == 3
            assert all(isinstance(error, PuzzelChatError) for _, error in failures.told)

    with Sandbox(pace=0.01) as sandbox:
        run(scenario())


def test_each_handler_has_the_variables_of_who_added_it() -> None:
    """Context variables are those of the `add()`, so that no customer's handler logs under another's name."""
    customer: ContextVar[str] = ContextVar("customer")

    async def scenario() -> None:
        seen: dict[str, set[str]] = {}

        async def awaited(conversation: AsyncConversation, event: Event) -> None:
            seen.setdefault(conversation.id, set()).add(customer.get("nobody"))

        def plain(conversation: AsyncConversation, event: Event) -> None:
            seen.setdefault(conversation.id, set()).add(customer.get("nobody"))

        async with chats(sandbox, 4) as opened, PollingLoop(fast=False) as loop:
            for place, conversation in enumerate(opened):
                customer.set(conversation.id)
                loop.add(conversation, plain if place % 2 else awaited)
            await until_async(lambda: len(seen) == 4)
            assert seen == {one.id: {one.id} for one in opened}

    with Sandbox(pace=0.01) as sandbox:
        run(scenario())


def test_what_is_no_handler_is_refused() -> None:
    """Something that cannot be called is refused at once, not found out at the first event."""

    async def scenario() -> None:
        handler: Any = None
        async with chats(sandbox, 1) as (conversation,), PollingLoop(fast=False) as loop:
            with pytest.raises(InvalidArgument, match="handler"):
                loop.add(conversation, handler)
            assert loop.stats().conversations == 0

    with Sandbox(pace=0.01) as sandbox:
        run(scenario())


@pytest.mark.skipif(sys.version_info < (3, 12), reason="eager tasks came with Python 3.12")
def test_tasks_that_begin_at_once_change_nothing() -> None:
    """An application may let its tasks begin eagerly; every event comes all the same."""

    async def scenario() -> None:
        make: Callable[..., Any] = getattr(asyncio, "eager_task_factory")  # noqa: B009  # Python 3.12 has it
        asyncio.get_running_loop().set_task_factory(make)
        kept = Kept()

        async def keeping(conversation: AsyncConversation, event: Event) -> None:
            loop.remove(conversation)
            if not isinstance(event, ConversationEnded):
                loop.add(conversation, keeping)
            await kept.coroutine(conversation, event)

        async with chats(sandbox, 3) as opened, PollingLoop(fast=False) as loop:
            for conversation in opened:
                loop.add(conversation, keeping)
                await conversation.send("end chat")
            await until_async(lambda: all(ended(kept, conversation) for conversation in opened))
            assert all(said(kept.taken[one.id]) == told(sandbox, one.id) for one in opened)

    with Sandbox(pace=0.01) as sandbox:
        run(scenario())


def test_no_thread_is_left(monkeypatch: pytest.MonkeyPatch) -> None:
    """The threads of plain handlers end with the loop."""

    async def scenario() -> None:
        async with chats(sandbox, 3) as opened:
            async with PollingLoop(fast=False) as loop:
                for conversation in opened:
                    loop.add(conversation, Kept().plain)
                await until_async(lambda: any("puzzel-chat-handler" in one.name for one in threading.enumerate()))
            await until_async(lambda: not any("puzzel-chat-handler" in one.name for one in threading.enumerate()))

    with Sandbox(pace=0.01) as sandbox:
        run(scenario())
