"""Who reads a conversation's events, for how long, and what a reader is told when nothing can come."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from contextlib import aclosing
from itertools import count
from typing import Any

import pytest

from hostile import Asked, Said, Service
from lines import END, centre, line, routed
from puzzel_chat import (
    Allocation,
    AsyncConversation,
    AsyncPuzzelChat,
    ConversationClosed,
    EventTimeout,
    InvalidArgument,
    NotFound,
    PollingLoop,
    PuzzelChat,
    SessionInUse,
)
from puzzel_chat.testing import VirtualTime
from waiting import until_async

Connect = Callable[..., Any]


READERS: dict[str, Callable[[Any], Any]] = {
    "events": lambda conversation: next(iter(conversation.events())),
    "messages": lambda conversation: next(iter(conversation.messages())),
    "poll": lambda conversation: conversation.session.poll(),
    "another object": lambda conversation: next(iter(conversation.session.conversation("mine").events())),
}


@pytest.mark.parametrize("second", READERS)
@pytest.mark.parametrize("first", ["events", "messages"])
def test_a_second_reader_is_refused(connect: Connect, puzzel_time: VirtualTime, first: str, second: str) -> None:
    """Whatever reads first gets everything, in order; whatever comes second hears why it gets nothing."""
    with Service(centre([line(1)], [line(2)], [line(3)])) as service:
        conversation = routed(connect(base_url=service.base_url, solution_id="7"))
        reading = iter(getattr(conversation, first)())
        assert next(reading).id == "1"
        with pytest.raises(SessionInUse, match=r"conversation mine are read already.*PollingLoop"):
            READERS[second](conversation)
        assert [next(reading).id, next(reading).id] == ["2", "3"]


@pytest.mark.parametrize("second", READERS)
def test_a_reader_may_follow_another(connect: Connect, puzzel_time: VirtualTime, second: str) -> None:
    """One that was left, by `break` or by closing it, is in nobody's way, and nothing is lost between the two."""
    with Service(centre([line(1)], [line(2)])) as service:
        conversation = routed(connect(base_url=service.base_url, solution_id="7"))
        for event in conversation.events():
            assert event.id == "1"
            break
        came = READERS[second](conversation)
        assert [one.id for one in (came if isinstance(came, list) else [came])] == ["2"]


def test_polls_side_by_side_are_one_reader(puzzel_time: VirtualTime) -> None:
    """`poll()` called from several tasks gives each event to one of them, and lets others read when all are done."""

    async def scenario(service: Service) -> None:
        async with AsyncPuzzelChat(service.base_url, "7") as chat, await chat.connect() as session:
            conversation = session.conversation("mine")
            await conversation.route("q_support")
            came = await asyncio.gather(*(session.poll() for _ in range(3)))
            assert sorted(event.id for events in came for event in events) == ["1", "2"]
            assert (await anext(conversation.events())).id == "3"

    with Service(centre([line(1)], [line(2)], [], [line(3)])) as service:
        asyncio.run(scenario(service))


@pytest.mark.parametrize("second", ["events", "messages", "poll", "loop"])
@pytest.mark.parametrize("first", ["events", "loop"])
def test_a_loop_and_a_reader_do_not_share(first: str, second: str) -> None:
    """A `PollingLoop` takes no conversation that somebody reads, and nobody reads one that a loop has."""

    async def reads(conversation: AsyncConversation, how: str, loop: PollingLoop) -> None:
        if how == "loop":
            loop.add(conversation, lambda *_: None)
        elif how == "poll":
            await conversation.session.poll()
        else:
            await anext(getattr(conversation, how)())

    async def scenario(service: Service) -> None:
        async with (
            AsyncPuzzelChat(service.base_url, "7", poll_interval=0.05) as chat,
            await chat.connect() as session,
            PollingLoop(fast=False) as loop,
            PollingLoop(fast=False) as other,
        ):
            conversation = session.conversation("mine")
            await conversation.route("q_support")
            reading = conversation.events()
            if first == "loop":
                loop.add(conversation, lambda *_: None)
            else:
                assert (await anext(reading)).id == "1"
            with pytest.raises(SessionInUse):
                await reads(conversation, second, other)
            loop.remove(conversation)
            await reading.aclose()
            await asyncio.wait_for(reads(conversation, second, other), 30)

    with Service(centre([line(1)], [line(2)], [line(3)], [line(4)])) as service:
        asyncio.run(scenario(service))


def test_a_handler_may_take_over_as_a_reader() -> None:
    """A handler that removes its conversation from the loop reads on itself, from the next event."""
    read: list[str] = []

    async def scenario(service: Service) -> None:
        async def handler(conversation: AsyncConversation, event: Any) -> None:
            loop.remove(conversation)
            read.append(event.id)
            async for one in conversation.events():
                read.append(one.id)

        async with (
            AsyncPuzzelChat(service.base_url, "7", poll_interval=0.05) as chat,
            await chat.connect() as session,
            PollingLoop(fast=False) as loop,
        ):
            conversation = session.conversation("mine")
            await conversation.route("q_support")
            loop.add(conversation, handler)
            await until_async(lambda: conversation.ended and "999" in read)

    with Service(centre([line(1)], [line(2), END])) as service:
        asyncio.run(scenario(service))
    assert read == ["1", "2", "999"]


def test_a_wait_for_events_is_bounded(connect: Connect, puzzel_time: VirtualTime) -> None:
    """`events(timeout=…)` raises `EventTimeout` after that time, as often as one asks, and then goes on."""
    with Service(centre([line(1)], [], [], [line(2), END])) as service:
        conversation = routed(connect(base_url=service.base_url, solution_id="7"))
        reading = iter(conversation.events(timeout=1.5))
        assert next(reading).id == "1"
        began = puzzel_time.monotonic()
        with pytest.raises(EventTimeout, match=r"within 1\.5 seconds. The chat goes on"):
            next(reading)
        assert 1.4 <= puzzel_time.monotonic() - began <= 1.6
        with pytest.raises(TimeoutError):
            next(iter(conversation.messages(timeout=0)))
        assert not conversation.ended
        conversation = conversation.session.conversation("mine")
        assert [event.id for event in conversation.events(timeout=60)] == ["2", "999"]


@pytest.mark.parametrize("timeout", [-1, float("inf"), float("nan"), "1", True])
def test_a_timeout_that_is_none_is_refused(connect: Connect, timeout: Any) -> None:
    """Before anything is asked."""
    with Service(centre()) as service:
        conversation = connect(base_url=service.base_url, solution_id="7").connect().conversation("mine")
        for reading in (conversation.events, conversation.messages):
            with pytest.raises(InvalidArgument, match="timeout: must be a finite number of seconds"):
                reading(timeout=timeout)
        assert service.count("/api") == 0


def test_a_cancelled_wait_is_not_the_end() -> None:
    """After `asyncio.wait_for(anext(…))` ran out of time the same iterator brings the next event; nothing is lost."""

    async def scenario(service: Service) -> list[str]:
        async with AsyncPuzzelChat(service.base_url, "7", poll_interval=0.05) as chat, await chat.connect() as session:
            conversation = session.conversation("mine")
            await conversation.route("q_support")
            came: list[str] = []
            async with aclosing(conversation.messages()) as reading:
                while len(came) < 3:
                    try:
                        came.append((await asyncio.wait_for(anext(reading), 0.02)).id)
                    except TimeoutError:
                        continue
            with pytest.raises(StopAsyncIteration):
                await anext(reading)
            return came

    polls = count()

    def answer(asked: Asked) -> Said:
        if asked.path == "/api/conversation":  # the whole history each time, a line more with every fourth poll
            return Said({"messages": [line(1), line(2), line(3)][: next(polls) // 4]})
        return others(asked)

    others = centre()
    with Service(answer) as service:
        assert asyncio.run(scenario(service)) == ["1", "2", "3"]


def test_an_interrupt_is_not_the_end(puzzel_time: VirtualTime, monkeypatch: pytest.MonkeyPatch) -> None:
    """Ctrl-C in a wait for an event leaves the iterator as it was."""
    with Service(centre([line(1)], [line(2)])) as service, PuzzelChat(service.base_url, "7") as chat:
        conversation = chat.connect().conversation("mine")
        conversation.route("q_support")
        reading = iter(conversation.events())
        assert next(reading).id == "1"

        def interrupted(*_: object) -> None:
            monkeypatch.undo()
            raise KeyboardInterrupt

        monkeypatch.setattr(conversation._run.__self__._clock, "wait", interrupted)  # type: ignore[attr-defined]
        with pytest.raises(KeyboardInterrupt):
            next(reading)
        assert next(reading).id == "2"


def test_a_conversation_that_was_never_routed_says_so(connect: Connect, puzzel_time: VirtualTime) -> None:
    """Its events are what the service has; when it has none and knows no such request, the reader hears that."""
    unknown = Said({"title": "Not found"}, 404)
    with Service(centre([line(1)], requestStatus=unknown)) as service:
        conversation = connect(base_url=service.base_url, solution_id="7").connect().conversation("mine")
        reading = iter(conversation.events())
        assert next(reading).id == "1"
        with pytest.raises(NotFound, match=r"call route\(\) first"):
            next(reading)
        conversation.route("q_support")
        with pytest.raises(EventTimeout):
            next(iter(conversation.events(timeout=3)))


def test_a_conversation_that_somebody_else_routed_is_read(connect: Connect, puzzel_time: VirtualTime) -> None:
    """When the service knows the request, the reader waits on; it asks once."""
    with Service(centre([], [], [], [line(1), END])) as service:
        conversation = connect(base_url=service.base_url, solution_id="7").connect().conversation("mine")
        assert [event.id for event in conversation.events()] == ["1", "999"]
        assert service.count("requestStatus") == 1


@pytest.mark.parametrize("known", ["unread", "read", "ended by us"])
def test_nobody_waits_for_an_agent_of_a_chat_that_is_over(
    connect: Connect, puzzel_time: VirtualTime, known: str
) -> None:
    """`wait_for_agent` and `allocation_updates` raise `ConversationClosed`, though the service still says assigned."""
    with Service(centre([line(1), END])) as service:
        conversation = routed(connect(base_url=service.base_url, solution_id="7"))
        if known == "ended by us":
            conversation.end()
        elif known == "unread":
            assert next(iter(conversation.events())).id == "1"
        else:
            assert [event.id for event in conversation.events()] == ["1", "999"]
        asked = service.count("requestStatus")
        for ask in (conversation.wait_for_agent, lambda: list(conversation.allocation_updates())):
            with pytest.raises(ConversationClosed):
                ask()
        assert service.count("requestStatus") == asked


# What an application passes in.


class Awaited:
    """Callable, and its call gives a coroutine."""

    def __init__(self) -> None:
        self.seen: list[Allocation] = []

    async def __call__(self, allocation: Allocation) -> None:
        """Keep it, after others had their turn."""
        await asyncio.sleep(0)
        self.seen.append(allocation)


def test_a_coroutine_for_progress_is_awaited() -> None:
    """A coroutine function, an object with one, and a function that returns a coroutine, in `start` and the wait."""

    async def scenario(service: Service) -> None:
        calls = [Awaited(), Awaited(), Awaited()]
        ways: list[Callable[[Allocation], object]] = [
            calls[0].__call__,
            calls[1],
            lambda allocation: calls[2](allocation),
        ]
        async with AsyncPuzzelChat(service.base_url, "7") as chat:
            for way, seen in zip(ways, calls, strict=True):
                conversation = await chat.start("q_support", on_progress=way)
                await conversation.wait_for_agent(on_progress=way)
                assert [one.stage.value for one in seen.seen] == ["assigned", "assigned"]

    with Service(centre()) as service:
        asyncio.run(scenario(service))


@pytest.mark.parametrize("progress", ["print", 7, ["x"], {}])
def test_progress_that_cannot_be_called_is_refused_first(connect: Connect, progress: Any) -> None:
    """Before a session is opened, and before anything is asked."""
    with Service(centre()) as service:
        chat = connect(base_url=service.base_url, solution_id="7")
        with pytest.raises(InvalidArgument, match="on_progress: must be a function"):
            chat.start("q_support", on_progress=progress)
        assert service.asked == []
        conversation = routed(chat)
        with pytest.raises(InvalidArgument, match="on_progress: must be a function"):
            conversation.wait_for_agent(on_progress=progress)
        assert service.count("requestStatus") == 0


def test_a_blocking_client_refuses_a_coroutine_function_first() -> None:
    """It cannot await; what only turns out to be a coroutine when it is called stops the wait and leaves the queue."""
    awaited = Awaited()
    with Service(centre()) as service, PuzzelChat(service.base_url, "7") as chat:
        for way in (awaited, awaited.__call__):
            with pytest.raises(InvalidArgument, match="a blocking client cannot do"):
                chat.start("q_support", on_progress=way)
        assert service.asked == []
        with pytest.raises(InvalidArgument, match="a blocking client cannot do"):
            chat.start("q_support", on_progress=lambda allocation: awaited(allocation))
        assert service.count("/end") == 1
    assert awaited.seen == []
