"""Many chats in one `PollingLoop`, over both transports, against the sandbox's ledger."""

from __future__ import annotations

import asyncio
import functools
import logging
import threading
from collections import defaultdict
from collections.abc import AsyncIterator, Callable, Coroutine
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest

from awaited import Awaited
from blocking import settings
from puzzel_chat import (
    AsyncConversation,
    AsyncPuzzelChat,
    ConfigurationError,
    ConversationClosed,
    ConversationEnded,
    Event,
    InvalidArgument,
    MemoryStore,
    PermissionDenied,
    PollingLoop,
    SessionError,
    SQLiteStore,
    TextMessage,
)
from puzzel_chat._inbox import BUFFER
from puzzel_chat.sandbox import Fault, Sandbox
from quick import quick_only
from waiting import until_async

Taken = dict[str, list[Event]]
CHATS = 6


@pytest.fixture(params=[False, True], ids=["httpx", "fleet"])
def fast(request: pytest.FixtureRequest) -> bool:
    """Tell which transport the polls go over."""
    return bool(request.param)


@asynccontextmanager
async def chats(sandbox: Sandbox, count: int = CHATS, **more: Any) -> AsyncIterator[list[AsyncConversation]]:
    """Open so many chats that have an agent."""
    async with AsyncPuzzelChat(**settings(sandbox, **more)) as client:
        yield list(await asyncio.gather(*(client.start("support", wait=60) for _ in range(count))))


def said(events: list[Event]) -> list[str]:
    """Give the ids of the messages, in the order in which they came."""
    return [event.id for event in events if isinstance(event, TextMessage)]


def told(sandbox: Sandbox, conversation_id: str) -> list[str]:
    """Give the same from the sandbox's ledger."""
    return [entry.id for entry in sandbox.ledger()[conversation_id] if entry.type == "Text"]


def over(taken: Taken) -> bool:
    """Tell whether every chat has come to its end."""
    return len(taken) == CHATS and all(isinstance(events[-1], ConversationEnded) for events in taken.values())


class Kept:
    """Handlers that keep what they are given."""

    def __init__(self) -> None:
        self.taken: Taken = defaultdict(list)

    def plain(self, conversation: AsyncConversation, event: Event) -> None:
        """Keep it in a thread."""
        self.taken[conversation.id].append(event)

    async def coroutine(self, conversation: AsyncConversation, event: Event) -> None:
        """Keep it on the event loop."""
        await asyncio.sleep(0)
        self.taken[conversation.id].append(event)


def run(scenario: Coroutine[Any, Any, None]) -> None:
    """Run a scenario on an event loop of its own; it leaves no task behind."""

    async def alone() -> None:
        await scenario
        await asyncio.sleep(0)
        assert asyncio.all_tasks() == {asyncio.current_task()}

    asyncio.run(alone())


@pytest.mark.parametrize("semantics", quick_only(["drain"], ["history", "cursor", "drain"]))
@pytest.mark.parametrize("store", [MemoryStore, Awaited])
def test_everything_comes_once_and_in_order(fast: bool, semantics: Any, store: Callable[[], Any]) -> None:
    """Each chat's messages reach its handler once and in order, coroutine or not, and the loop lets go at the end."""

    async def scenario() -> None:
        kept = Kept()
        handlers: list[Any] = [
            kept.plain,
            kept.coroutine,
            lambda c, e: kept.coroutine(c, e),
            functools.partial(kept.coroutine),
        ]
        async with chats(sandbox, store=store()) as opened, PollingLoop(fast=fast) as loop:
            for place, conversation in enumerate(opened):
                loop.add(conversation, handlers[place % 4])
                await conversation.send("one")
                await conversation.send("end chat")
            await until_async(lambda: over(kept.taken))
            await until_async(lambda: loop.stats().conversations == 0)
            for conversation in opened:
                events = kept.taken[conversation.id]
                assert said(events) == told(sandbox, conversation.id)
                assert sum(isinstance(event, ConversationEnded) for event in events) == 1

    with Sandbox(pace=0.01, semantics=semantics) as sandbox:
        run(scenario())


def test_a_handler_that_blocks_delays_nobody(fast: bool) -> None:
    """While one handler does not return, the others get all of theirs; it gets one at a time, all in the end."""

    async def scenario() -> None:
        kept, go_on, at_once = Kept(), threading.Event(), list[int]()

        def blocking(conversation: AsyncConversation, event: Event) -> None:
            at_once.append(1)
            go_on.wait()
            at_once.pop()
            assert not at_once
            kept.plain(conversation, event)

        async with chats(sandbox) as opened, PollingLoop(fast=fast) as loop:
            for conversation in opened:
                loop.add(conversation, blocking if conversation is opened[0] else kept.coroutine)
                await conversation.send("end chat")
            others = {one.id for one in opened[1:]}
            await until_async(lambda: others == {key for key, v in kept.taken.items() if _ended(v)})
            assert opened[0].id not in kept.taken
            assert loop.stats().handlers_at_work == 1
            go_on.set()
            await until_async(lambda: over(kept.taken))
            assert said(kept.taken[opened[0].id]) == told(sandbox, opened[0].id)

    with Sandbox(pace=0.01) as sandbox:
        run(scenario())


def _ended(events: list[Event]) -> bool:
    return any(isinstance(event, ConversationEnded) for event in events)


def test_slow_handlers_are_told(monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture) -> None:
    """A handler that is with one event for long is counted, and logged once for that event."""
    monkeypatch.setattr("puzzel_chat._fleet._handlers.SLOW", 0.05)
    monkeypatch.setattr("puzzel_chat._fleet._loop.LOOK", 0.02)

    async def scenario() -> None:
        go_on = asyncio.Event()
        async with chats(sandbox, 1) as (conversation,), PollingLoop(fast=False) as loop:
            loop.add(conversation, lambda *_: go_on.wait())
            await until_async(lambda: loop.stats().slow_handlers == 1)
            await until_async(lambda: "more than" in caplog.text)
            polls = loop.stats().polls
            await until_async(lambda: loop.stats().polls > polls + 5)
            go_on.set()

    with Sandbox(pace=0.01) as sandbox:
        run(scenario())
    assert caplog.text.count("more than") == 1


def test_a_handler_that_raises_loses_nothing_more(fast: bool, caplog: pytest.LogCaptureFixture) -> None:
    """What a handler raises is logged with its traceback, in which an event has no words; the next events come."""

    async def scenario() -> None:
        kept = Kept()

        def raising(conversation: AsyncConversation, event: Event) -> None:
            kept.plain(conversation, event)
            raise ValueError(f"cannot read {event!r}")

        async with chats(sandbox) as opened, PollingLoop(fast=fast) as loop:
            for conversation in opened:
                loop.add(conversation, raising)
                await conversation.send("end chat")
            await until_async(lambda: over(kept.taken))
            await until_async(lambda: loop.stats().conversations == 0)
            assert loop.stats().handler_errors == sum(map(len, kept.taken.values()))
            assert all(said(kept.taken[one.id]) == told(sandbox, one.id) for one in opened)

    with Sandbox(pace=0.01) as sandbox:
        run(scenario())
    assert "raised ValueError at" in caplog.text
    assert "test_polling_loop.py" in caplog.text
    assert "in raising" in caplog.text
    assert "ValueError: cannot read TextMessage(" in caplog.text
    assert "end chat" not in caplog.text.replace('send("end chat")', "")


def test_conversations_of_one_session_share_its_polls() -> None:
    """A session is polled once for all its conversations, and each handler gets its own conversation's events."""

    async def scenario() -> None:
        kept = Kept()
        async with AsyncPuzzelChat(**settings(sandbox)) as client, await client.connect() as session:
            both = [session.conversation(), session.conversation()]
            for conversation in both:
                await conversation.route("support")
            async with PollingLoop(fast=False) as loop:
                for conversation in both:
                    loop.add(conversation, kept.coroutine)
                await until_async(lambda: all(said(kept.taken[one.id]) for one in both))
                assert loop.stats().sessions == 1
                assert loop.stats().conversations == 2
                loop.remove(both[0])
                assert loop.stats().conversations == 1
            for conversation in both:
                assert {event.conversation_id for event in kept.taken[conversation.id]} == {conversation.id}

    with Sandbox(pace=0.01) as sandbox:
        run(scenario())


def test_a_removed_conversation_goes_on_elsewhere(fast: bool) -> None:
    """What comes after `remove` waits for whoever takes it next: a new handler, or `events()`; nothing is lost."""

    async def scenario() -> None:
        first, second = Kept(), Kept()
        async with chats(sandbox, 1) as (conversation,):
            async with PollingLoop(fast=fast) as loop:
                loop.add(conversation, first.coroutine)
                await until_async(lambda: said(first.taken[conversation.id]))
                loop.remove(conversation)
                loop.remove(conversation)
                await conversation.send("one")
                loop.add(conversation, second.plain)
                await until_async(lambda: said(second.taken[conversation.id]))
            await conversation.send("end chat")
            rest = [event async for event in conversation.events()]
        events = [*first.taken[conversation.id], *second.taken[conversation.id], *rest]
        assert said(events) == told(sandbox, conversation.id)

    with Sandbox(pace=0.01) as sandbox:
        run(scenario())


def test_a_new_handler_waits_for_the_old_one() -> None:
    """A conversation that is removed and added again while its handler is at work is never handled twice at once."""

    async def scenario() -> None:
        kept, begun, go_on = Kept(), asyncio.Event(), asyncio.Event()

        async def slow(conversation: AsyncConversation, event: Event) -> None:
            begun.set()
            await go_on.wait()
            await kept.coroutine(conversation, event)

        async with chats(sandbox, 1) as (conversation,), PollingLoop(fast=False) as loop:
            loop.add(conversation, slow)
            await begun.wait()
            loop.remove(conversation)
            loop.add(conversation, kept.coroutine)
            await conversation.send("end chat")
            polls = loop.stats().polls
            await until_async(lambda: loop.stats().polls > polls + 5)
            assert not kept.taken
            go_on.set()
            await until_async(lambda: _ended(kept.taken[conversation.id]))
            assert said(kept.taken[conversation.id]) == told(sandbox, conversation.id)

    with Sandbox(pace=0.01) as sandbox:
        run(scenario())


def test_closing_keeps_the_chats(fast: bool, tmp_path: Path) -> None:
    """After `aclose` the chats go on: another process, or loop, takes each up where the handlers had come to."""

    async def scenario() -> None:
        kept, store = Kept(), SQLiteStore(tmp_path / "chats.db")
        async with AsyncPuzzelChat(**settings(sandbox), store=store) as client:
            sessions = [await client.connect() for _ in range(4)]
            for session in sessions:
                await session.conversation().route("support")
            async with PollingLoop(fast=fast) as loop:
                for session in sessions:
                    loop.add(session.conversations[0], kept.coroutine)
                await until_async(lambda: len(kept.taken) == 4)
            assert sandbox.stats().ended == 0
            with pytest.raises(SessionError, match="closed"):
                loop.add(sessions[0].conversations[0], kept.coroutine)
        async with AsyncPuzzelChat(**settings(sandbox), store=store) as client, PollingLoop(fast=fast) as loop:
            for session in sessions:
                (conversation,) = (await client.resume(session.id)).conversations
                loop.add(conversation, kept.plain)
                await conversation.send("end chat")
            await until_async(lambda: all(map(_ended, kept.taken.values())))
            for conversation_id, events in kept.taken.items():
                assert said(events) == told(sandbox, conversation_id)
        store.close()

    with Sandbox(pace=0.01) as sandbox:
        run(scenario())


def test_closing_ends_the_chats_when_asked(fast: bool) -> None:
    """`aclose(end=True)` ends each chat at the service, once; a second close does nothing."""

    async def scenario() -> None:
        kept = Kept()
        async with chats(sandbox) as opened:
            async with PollingLoop(fast=fast) as loop:
                for conversation in opened:
                    loop.add(conversation, kept.coroutine)
                await loop.aclose(end=True, timeout=30)
            assert all(conversation.ended for conversation in opened)

    with Sandbox(pace=0.01) as sandbox:
        run(scenario())
        assert sandbox.stats().requests["endConversation"] == CHATS


def test_a_handler_may_close_the_loop() -> None:
    """Closing from within a handler waits for everything but that handler."""

    async def scenario() -> None:
        async with chats(sandbox, 2) as opened:
            loop = PollingLoop(fast=False)
            done = asyncio.Event()

            async def closing(conversation: AsyncConversation, event: Event) -> None:
                await loop.aclose()
                done.set()

            for conversation in opened:
                loop.add(conversation, closing)
            await done.wait()

    with Sandbox(pace=0.01) as sandbox:
        run(scenario())


def test_what_ends_the_polling_is_told_once(fast: bool, caplog: pytest.LogCaptureFixture) -> None:
    """A conversation whose polls are refused is given to `on_failure` with the error, counted, logged, and let go."""

    async def scenario() -> None:
        failed: list[tuple[str, Exception]] = []

        def on_failure(conversation: AsyncConversation, error: Exception) -> None:
            failed.append((conversation.id, error))

        async with chats(sandbox, 3) as opened, PollingLoop(on_failure=on_failure, fast=fast) as loop:
            sandbox.faults(Fault.status(403, "pollConversation"))
            for conversation in opened:
                loop.add(conversation, Kept().coroutine)
            await until_async(lambda: len(failed) == 3)
            await until_async(lambda: loop.stats().conversations == 0)
            assert loop.stats().stopped == 3
            assert {one for one, _ in failed} == {one.id for one in opened}
            assert all(isinstance(error, PermissionDenied) for _, error in failed)

    with Sandbox(pace=0.01) as sandbox:
        run(scenario())
    assert caplog.text.count("is polled no longer: PermissionDenied") == 3


def test_failing_polls_are_seen_and_survived(fast: bool) -> None:
    """While the service is away the sessions count as failing; when it is back everything comes."""

    async def scenario() -> None:
        kept = Kept()
        async with chats(sandbox) as opened, PollingLoop(fast=fast) as loop:
            sandbox.faults(Fault.status(503, "pollConversation", times=CHATS))
            for conversation in opened:
                loop.add(conversation, kept.coroutine)
                await conversation.send("end chat")
            await until_async(lambda: loop.stats().failing > 0)
            await until_async(lambda: over(kept.taken))
            assert all(said(kept.taken[one.id]) == told(sandbox, one.id) for one in opened)

    with Sandbox(pace=0.01) as sandbox:
        run(scenario())


def test_a_full_buffer_stops_the_polls_of_its_session_only() -> None:
    """A conversation whose handler is far behind is not polled meanwhile, which `stats()` shows; others are."""

    async def scenario() -> None:
        go_on = asyncio.Event()
        async with chats(sandbox, 2) as (behind, other), PollingLoop(fast=False) as loop:
            loop.add(behind, lambda *_: go_on.wait())
            loop.add(other, Kept().coroutine)
            await until_async(lambda: loop.stats().handlers_at_work == 1)
            waiting = behind._state.inbox.unread
            filling = [waiting[0]] if waiting else []
            while len(waiting) < BUFFER and filling:
                waiting.append(filling[0])
            if filling:
                await until_async(lambda: loop.stats().back_pressured == 1)
            polls = loop.stats().polls
            await until_async(lambda: loop.stats().polls > polls + 5)
            waiting.clear()
            go_on.set()

    with Sandbox(pace=0.01) as sandbox:
        run(scenario())


def test_a_chat_that_ended_leaves_nothing_behind() -> None:
    """The session that `start()` opened for a chat is closed and forgotten when its handler has seen the end."""

    async def scenario() -> None:
        kept, store = Kept(), MemoryStore()
        async with chats(sandbox, store=store) as opened, PollingLoop(fast=False) as loop:
            for conversation in opened:
                loop.add(conversation, kept.coroutine)
                await conversation.send("end chat")
            await until_async(lambda: over(kept.taken))
            await until_async(lambda: not any(store.load(one.session.id) for one in opened))

    with Sandbox(pace=0.01) as sandbox:
        run(scenario())


def test_what_cannot_be_added_is_told() -> None:
    """A conversation that is in the loop, or over, is refused with the reason."""

    async def scenario() -> None:
        kept = Kept()
        async with chats(sandbox, 2) as (once, over), PollingLoop(fast=False) as loop:
            loop.add(once, kept.coroutine)
            with pytest.raises(InvalidArgument, match="remove"):
                loop.add(once, kept.coroutine)
            await over.end()
            assert [event async for event in over.events()]
            with pytest.raises(ConversationClosed):
                loop.add(over, kept.coroutine)
            await once.session.aclose()
            with pytest.raises(SessionError):
                loop.add(once.session.conversation(), kept.coroutine)

    with Sandbox(pace=0.01) as sandbox:
        run(scenario())


@pytest.mark.parametrize(("name", "value"), [("connections", 0), ("connections", True), ("threads", -1)])
def test_wrong_settings_are_named(name: str, value: Any) -> None:
    """A number that makes no sense is refused by its name."""
    make: Callable[..., PollingLoop] = PollingLoop
    with pytest.raises(ConfigurationError, match=name):
        make(**{name: value})


def test_without_the_extra_fast_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    """Who asks for the fast transport without its extra is told what to install."""
    monkeypatch.setattr("puzzel_chat._fleet._extra.find_spec", lambda name: None)
    with pytest.raises(ConfigurationError, match=r"pip install 'puzzel-chat\[fleet\]'"):
        PollingLoop(fast=True)
    assert not PollingLoop()._fast


def test_many_sessions_on_the_plain_install_are_told_once(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """More sessions than httpx keeps pace with are logged once, with what to install."""
    monkeypatch.setattr("puzzel_chat._fleet._loop.PLAIN_SESSIONS", 2)

    async def scenario() -> None:
        async with chats(sandbox, 5) as opened, PollingLoop(fast=False) as loop:
            for conversation in opened:
                loop.add(conversation, Kept().coroutine)

    with Sandbox(pace=0.01) as sandbox:
        run(scenario())
    assert [record.levelno for record in caplog.records if "[fleet]" in record.message] == [logging.WARNING]


def test_adding_from_elsewhere_is_refused() -> None:
    """`add` from a thread, where no event loop runs, is refused with what to do, and changes nothing."""

    async def scenario() -> None:
        kept = Kept()
        async with chats(sandbox, 2) as (first, second), PollingLoop(fast=False) as loop:
            loop.add(first, kept.coroutine)
            with pytest.raises(SessionError, match="call_soon_threadsafe"):
                await asyncio.to_thread(loop.add, second, kept.coroutine)
            assert loop.stats().conversations == 1

    with Sandbox(pace=0.01) as sandbox:
        run(scenario())


def test_a_mistake_of_the_loop_itself_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    """When making the rounds fails, every conversation is told to `on_failure`: none is polled no longer in silence."""
    failed: list[str] = []

    async def scenario() -> None:
        async with (
            chats(sandbox, 3) as opened,
            PollingLoop(on_failure=lambda c, e: failed.append(f"{c.id} {type(e).__name__}"), fast=False) as loop,
        ):
            for conversation in opened:
                loop.add(conversation, Kept().coroutine)
            monkeypatch.setattr("puzzel_chat._fleet._polled.Timetable.due", lambda *_: 1 / 0)
            await until_async(lambda: len(failed) == 3)
            assert sorted(failed) == sorted(f"{one.id} ZeroDivisionError" for one in opened)

    with Sandbox(pace=0.01) as sandbox:
        run(scenario())


def test_a_handler_that_takes_no_cancellation_holds_nobody_up(monkeypatch: pytest.MonkeyPatch) -> None:
    """`aclose` comes back though a coroutine goes on after it was cancelled."""
    monkeypatch.setattr("puzzel_chat._fleet._loop.LAST_WITHIN", 0.1)

    async def scenario() -> None:
        begun, go_on = asyncio.Event(), asyncio.Event()

        async def stubborn(conversation: AsyncConversation, event: Event) -> None:
            begun.set()
            while not go_on.is_set():
                try:
                    await go_on.wait()
                except asyncio.CancelledError:
                    pass

        async with chats(sandbox, 1) as (conversation,):
            loop = PollingLoop(fast=False)
            loop.add(conversation, stubborn)
            await begun.wait()
            await loop.aclose(timeout=0.1)
            go_on.set()
            await until_async(lambda: len(asyncio.all_tasks()) == 1)

    with Sandbox(pace=0.01) as sandbox:
        run(scenario())
