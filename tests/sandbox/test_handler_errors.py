"""What becomes of an event whose handler raises: nothing is eaten in silence, and `on_handler_error` decides."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Any

import pytest

from hostile import Service
from lines import END, centre, line
from puzzel_chat import (
    AfterError,
    AsyncConversation,
    AsyncPuzzelChat,
    ConfigurationError,
    ConversationEnded,
    Event,
    PollingLoop,
    SQLiteStore,
    TextMessage,
)
from puzzel_chat._fleet._handlers import TRIES
from puzzel_chat.testing import VirtualTime
from waiting import until_async


class Failing:
    """A handler that keeps what it is given and raises for some of it; `threaded` makes it a plain function."""

    def __init__(self, *ids: str, times: int = 1000, threaded: bool = False) -> None:
        self.seen: list[str] = []
        self.left = dict.fromkeys(ids, times)
        self.function: Callable[..., Any] = self.plain if threaded else self.coroutine

    def plain(self, conversation: AsyncConversation, event: Event) -> None:
        """Keep it, then raise or not."""
        self.seen.append(event.id)
        if self.left.get(event.id, 0) > 0:
            self.left[event.id] -= 1
            raise ValueError(f"no use for {event.id}")

    async def coroutine(self, conversation: AsyncConversation, event: Event) -> None:
        """Do the same on the event loop."""
        await asyncio.sleep(0)
        self.plain(conversation, event)


@asynccontextmanager
async def one_chat(service: Service, **more: Any) -> AsyncIterator[AsyncConversation]:
    """A routed conversation."""
    async with AsyncPuzzelChat(service.base_url, "7", poll_interval=0.05, **more) as chat:
        session = await chat.connect()
        conversation = session.conversation("mine")
        await conversation.route("q_support")
        yield conversation


@pytest.mark.parametrize("threaded", [False, True], ids=["coroutine", "thread"])
def test_unless_told_otherwise_the_next_event_comes(threaded: bool, caplog: pytest.LogCaptureFixture) -> None:
    """The event counts as handled; the log has the handler's own line, its error and its message."""
    failing = Failing("1", "2", threaded=threaded)

    async def scenario(service: Service) -> None:
        async with one_chat(service) as conversation, PollingLoop(fast=False) as loop:
            loop.add(conversation, failing.function)
            await until_async(lambda: loop.stats().conversations == 0)
            assert loop.stats().handler_errors == 2

    with Service(centre([line(1), line(2)], [line(3), END])) as service:
        asyncio.run(scenario(service))
    assert failing.seen == ["1", "2", "3", "999"]
    assert caplog.text.count("Traceback (most recent call last)") == 2
    assert "ValueError: no use for 1" in caplog.text
    assert "test_handler_errors.py" in caplog.text


@pytest.mark.parametrize("threaded", [False, True], ids=["coroutine", "thread"])
def test_an_event_is_tried_again(threaded: bool, puzzel_time: VirtualTime) -> None:
    """The handler gets it again after a pause, before any later one, until it is handled."""
    failing = Failing("1", "999", times=2, threaded=threaded)

    async def scenario(service: Service) -> None:
        loop = PollingLoop(on_handler_error=AfterError.TRY_AGAIN, fast=False)
        async with one_chat(service) as conversation, loop:
            began = puzzel_time.monotonic()
            loop.add(conversation, failing.function)
            await until_async(lambda: loop.stats().conversations == 0)
            assert puzzel_time.monotonic() - began >= 2 * (1 + 2)

    with Service(centre([line(1)], [line(2), END])) as service:
        asyncio.run(scenario(service))
    assert failing.seen == ["1", "1", "1", "2", "999", "999", "999"]


@pytest.mark.parametrize("how", [AfterError.TRY_AGAIN, AfterError.STOP])
@pytest.mark.parametrize("bad", ["1", "2", "999"])
def test_a_conversation_whose_event_cannot_be_handled_stops(
    how: AfterError, bad: str, puzzel_time: VirtualTime
) -> None:
    """`on_failure` hears of it, the session goes on, and the event is the first that the next reader gets."""
    failing, failed = Failing(bad), list[tuple[str, str]]()

    def on_failure(conversation: AsyncConversation, error: Exception) -> None:
        failed.append((conversation.id, str(error)))

    async def scenario(service: Service) -> None:
        loop = PollingLoop(on_handler_error=how, on_failure=on_failure, fast=False)
        async with one_chat(service) as conversation, loop:
            loop.add(conversation, failing.function)
            await until_async(lambda: failed)
            assert loop.stats().conversations == 0
            assert loop.stats().stopped == 1
            rest = [event.id async for event in conversation.events()]
            assert rest == ["1", "2", "999"][["1", "2", "999"].index(bad) :]

    with Service(centre([line(1), line(2), END])) as service:
        asyncio.run(scenario(service))
    assert failed == [("mine", f"no use for {bad}")]
    assert failing.seen.count(bad) == (1 if how is AfterError.STOP else TRIES)


def test_an_event_that_was_not_handled_survives_the_process(tmp_path: Any) -> None:
    """After a stop the store still has it, as unread."""

    async def scenario(service: Service) -> None:
        failed = asyncio.Event()
        loop = PollingLoop(on_handler_error=AfterError.STOP, on_failure=lambda *_: failed.set(), fast=False)
        async with one_chat(service, store=SQLiteStore(tmp_path / "chats.db")) as conversation, loop:
            loop.add(conversation, Failing("2").function)
            await asyncio.wait_for(failed.wait(), 30)
            session_id = conversation.session.id
        async with AsyncPuzzelChat(service.base_url, "7", store=SQLiteStore(tmp_path / "chats.db")) as chat:
            (again,) = (await chat.resume(session_id)).conversations
            assert (await anext(again.events())).id == "2"

    with Service(centre([line(1), line(2)])) as service:
        asyncio.run(scenario(service))


@pytest.mark.parametrize("kind", ["function", "coroutine", "raises", "returns nothing"])
def test_a_function_decides(kind: str, caplog: pytest.LogCaptureFixture) -> None:
    """It gets conversation, event and error; when it fails itself, or gives no answer, the conversation stops."""
    asked: list[tuple[str, str, str]] = []

    def decide(conversation: AsyncConversation, event: Event, error: Exception) -> Any:
        asked.append((conversation.id, event.id, type(error).__name__))
        if kind == "raises":
            raise KeyError("oh")
        return None if kind == "returns nothing" else AfterError.GO_ON

    async def decide_later(conversation: AsyncConversation, event: Event, error: Exception) -> Any:
        await asyncio.sleep(0)
        return decide(conversation, event, error)

    async def scenario(service: Service) -> None:
        failing, failures = Failing("1"), list[Exception]()
        loop = PollingLoop(
            on_handler_error=decide_later if kind == "coroutine" else decide,
            on_failure=lambda _, error: failures.append(error),
            fast=False,
        )
        async with one_chat(service) as conversation, loop:
            loop.add(conversation, failing.function)
            await until_async(lambda: loop.stats().conversations == 0 and (failures or "999" in failing.seen))
            assert bool(failures) == (kind in ("raises", "returns nothing"))

    with Service(centre([line(1), END])) as service:
        asyncio.run(scenario(service))
    assert asked == [("mine", "1", "ValueError")]
    if kind == "raises":
        assert "on_handler_error raised KeyError" in caplog.text
    elif kind == "returns nothing":
        assert "on_handler_error returned NoneType, no AfterError" in caplog.text


def test_a_pause_ends_with_its_conversation() -> None:
    """Removed while it waits for another try, a conversation keeps its event for the next reader, at once."""

    async def scenario(service: Service) -> None:
        failing, paused = Failing("1"), asyncio.Event()

        def decide(*_: object) -> AfterError:
            asyncio.get_running_loop().call_soon(paused.set)
            return AfterError.TRY_AGAIN

        async def deciding(*_: object) -> AfterError:
            return decide()

        async with one_chat(service) as conversation, PollingLoop(on_handler_error=deciding, fast=False) as loop:
            loop.add(conversation, failing.function)
            await paused.wait()
            loop.remove(conversation)
            await until_async(lambda: not loop._dispatcher.tasks)
            seen = len(failing.seen)
            came = [event async for event in conversation.events()]
            assert isinstance(came[0], TextMessage)
            assert [event.id for event in came] == ["1", "999"]
            assert isinstance(came[-1], ConversationEnded)
            assert len(failing.seen) == seen

    with Service(centre([line(1), END])) as service:
        asyncio.run(scenario(service))


@pytest.mark.parametrize(
    ("argument", "value"),
    [("on_handler_error", "go on"), ("on_handler_error", None), ("on_failure", "print"), ("on_failure", 7)],
)
def test_what_is_no_function_is_refused_at_once(argument: str, value: Any) -> None:
    """The argument is named before any conversation is added."""
    with pytest.raises(ConfigurationError, match=f"{argument}: must be"):
        PollingLoop(**{argument: value})
