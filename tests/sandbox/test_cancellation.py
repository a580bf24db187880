"""Cancelled at every point at which it waits, each call of the asyncio client leaves nothing behind, here and there.

A call is stepped by hand: it is run once to count its suspensions, then once for each of them, with a cancellation
there; and again with a second one while the first is still unwinding.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Coroutine, Generator
from contextlib import asynccontextmanager, suppress
from math import inf
from types import coroutine
from typing import Any

import pytest
from attrs import define, evolve

from blocking import settings
from puzzel_chat import AgentWaitTimeout, AsyncConversation, AsyncPuzzelChat, Event, TextMessage, Visitor
from puzzel_chat._conversation import ConversationState
from puzzel_chat._steps import Steps
from puzzel_chat.sandbox import Fault, Sandbox
from puzzel_chat.testing import VirtualTime
from quick import quick_only
from waiting import until_async

Call = Callable[["Scene"], Coroutine[Any, Any, Any]]
UNWINDS_IN = 12
"""Suspensions that closing a connection may take after a second cancellation; a new request takes more."""


@define
class Scene:
    """What a call is made on."""

    sandbox: Sandbox
    chat: AsyncPuzzelChat
    conversation: AsyncConversation | None = None

    @property
    def talk(self) -> AsyncConversation:
        """The conversation that was prepared."""
        assert self.conversation is not None
        return self.conversation


@define
class Strike:
    """Cancels the running task at a suspension of a call, and again so many after it began to leave; counts them."""

    at: int = 0
    later: int = 0
    steps: int = 0
    left: int = 0

    @property
    def second(self) -> int:
        """The suspension of the second cancellation, 0 for none."""
        return self.left + self.later if self.left and self.later else 0

    @coroutine
    def through(self, call: Coroutine[Any, Any, Any]) -> Generator[Any, Any, Any]:
        """Run the call; use it with `await`."""
        error: BaseException | None = None
        while True:
            try:
                waits = call.send(None) if error is None else call.throw(error)
            except StopIteration as done:
                return done.value
            self.steps, error = self.steps + 1, None
            if self.steps in (self.at, self.second):
                task = asyncio.current_task()
                assert task is not None
                task.cancel()
            try:
                yield waits
            except BaseException as thrown:
                error = thrown


async def opened(scene: Scene) -> None:
    """A session, and a conversation of which the service knows nothing yet."""
    scene.conversation = (await scene.chat.connect()).conversation()


async def routed(scene: Scene) -> None:
    """A conversation in the queue."""
    await opened(scene)
    await scene.talk.route("silent")


async def talking(scene: Scene) -> None:
    """A conversation with an agent."""
    scene.conversation = await scene.chat.start("support", wait=20)


async def nothing(scene: Scene) -> None:
    """Only the client."""


async def updates(scene: Scene) -> None:
    """Follow the allocation."""
    with pytest.raises(AgentWaitTimeout):
        async for _ in scene.talk.allocation_updates(wait=3):
            pass


async def some_events(scene: Scene) -> None:
    """Take three events, and stop."""
    left = 3
    async for _ in scene.talk.events():
        left -= 1
        if not left:
            break


async def lost_send(scene: Scene) -> None:
    """Send, lose the reply, and look for the message."""
    scene.sandbox.faults(Fault.drop("sendMessage", after=True, times=1))
    await scene.talk.send("Hello")


async def block(scene: Scene) -> None:
    """Hold a chat in a block."""
    async with scene.chat.start("support", wait=20) as conversation:
        await conversation.send("Hello")


def ada(scene: Scene) -> Visitor:
    """Give a visitor who is signed in elsewhere."""
    return Visitor(access_token=scene.sandbox.visitor_token())


async def given_up(scene: Scene) -> None:
    """Wait for an agent in vain."""
    with pytest.raises(AgentWaitTimeout):
        await scene.talk.wait_for_agent(wait=3)


SEARCHES: dict[str, tuple[Callable[[Scene], Awaitable[None]], Call]] = {
    "start": (nothing, lambda scene: scene.chat.start("support", scene.sandbox.visual_queue_id, wait=20)),
    "start signed in": (nothing, lambda scene: scene.chat.start("support", visitor=ada(scene), wait=20)),
    "block": (nothing, block),
    "route": (opened, lambda scene: scene.talk.route("support")),
    "wait_for_agent": (routed, given_up),
    "allocation_updates": (routed, updates),
    "end": (talking, lambda scene: scene.talk.end()),
}
BEGIN = ("start", "start signed in", "route")
"""What leaves a chat behind when it comes to its end."""
TALKS: dict[str, Call] = {
    "events": some_events,
    "poll": lambda scene: scene.talk.session.poll(),
    "send": lambda scene: scene.talk.send("Hello"),
    "a send without an answer": lost_send,
    "typing": lambda scene: scene.talk.typing(),
    "queue_info": lambda scene: scene.talk.session.queue_info(scene.sandbox.visual_queue_id),
}


@asynccontextmanager
async def scene(clock: VirtualTime) -> AsyncIterator[Scene]:
    """A contact centre and a client in one virtual time; no task is left when it ends."""
    with Sandbox(script="helpful", pace=0, clock=clock.seconds) as sandbox:
        async with AsyncPuzzelChat(**settings(sandbox)) as chat:
            yield Scene(sandbox, chat)
        await asyncio.sleep(0)
        assert asyncio.all_tasks() == {asyncio.current_task()}


async def counted(base: Scene, prepare: Callable[[Scene], Awaitable[None]], call: Call) -> int:
    """Count the suspensions of a call; it is made on a connection that is open already, as the later ones are."""
    for _ in range(2):
        one = evolve(base)
        await prepare(one)
        strike = Strike()
        await strike.through(call(one))
        base.sandbox.faults()
    return strike.steps


async def struck(one: Scene, strike: Strike, call: Call) -> bool:
    """Make a call in a task of its own, which must end as cancelled, and leave no other task.

    Tells whether it was: a call may take fewer steps than it took when they were counted.
    """

    async def run() -> None:
        await strike.through(call(one))

    task = asyncio.create_task(run())
    await asyncio.wait({task})
    assert task.cancelled() or strike.steps < strike.at, f"cancelled at {strike.at} of {strike.steps}: {task}"
    await asyncio.sleep(0)
    assert asyncio.all_tasks() == {asyncio.current_task()}
    one.sandbox.faults()
    return task.cancelled()


@pytest.mark.parametrize("name", quick_only(["start", "wait_for_agent", "end"], SEARCHES))
def test_a_search_that_is_cancelled_is_left(name: str, puzzel_time: VirtualTime) -> None:
    """Wherever the cancellation strikes, the queue is left, or the chat ended, and the next call works."""
    prepare, call = SEARCHES[name]

    async def main() -> None:
        async with scene(puzzel_time) as base:
            steps = await counted(base, prepare, call)
            if name in BEGIN:
                await _end_all(base)
            for at in range(1, steps + 1):
                one = evolve(base)
                await prepare(one)
                if not await struck(one, Strike(at), call) and name in BEGIN:
                    await _end_all(base)
                await until_async(lambda: base.sandbox.stats().ended == base.sandbox.stats().routed)
                assert (await (await base.chat.connect()).queue_info(base.sandbox.visual_queue_id)).is_open

    asyncio.run(main())


async def _end_all(base: Scene) -> None:
    for conversation_id in base.sandbox.ledger():
        with suppress(RuntimeError):  # it has ended
            base.sandbox.agent(conversation_id).end()


@pytest.mark.parametrize("name", TALKS)
def test_a_call_that_is_cancelled_changes_nothing_else(name: str, puzzel_time: VirtualTime) -> None:
    """Wherever the cancellation strikes, the chat goes on: nothing is lost, doubled or out of order."""
    call = TALKS[name]

    async def main() -> None:
        async with scene(puzzel_time) as base:
            for at in range(1, await counted(base, talking, call) + 1):
                one = evolve(base)
                await talking(one)
                await struck(one, Strike(at), call)
                sent = await one.talk.send("Still here")
                await one.talk.end()
                told = [event.id async for event in one.talk.events() if isinstance(event, TextMessage)]
                ledger = base.sandbox.ledger()[one.talk.id]
                wanted = [entry.id for entry in ledger if entry.type == "Text"]
                assert sent.id in wanted
                # What `events()` and `poll()` had given before they were cancelled does not come again.
                assert told == wanted[len(wanted) - len(told) :]
                assert name in ("events", "poll") or len(told) == len(wanted)
                assert [entry.content for entry in ledger if entry.role == 0].count("Hello") <= 1

    asyncio.run(main())


@pytest.mark.parametrize("later", quick_only([2], [1, 2, 3]))
@pytest.mark.parametrize("name", ["start", "block", "wait_for_agent", "allocation_updates"])
def test_a_second_cancellation_is_the_last(
    name: str, later: int, puzzel_time: VirtualTime, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Cancelled again while it leaves, a call stops there and starts nothing new; the next call works."""
    prepare, call = SEARCHES[name]
    leave, strike, struck_twice = ConversationState.leave, Strike(), 0

    def noted(self: ConversationState, by: float = inf) -> Steps[None]:
        strike.left = strike.left or strike.steps
        yield from leave(self, by)

    monkeypatch.setattr(ConversationState, "leave", noted)

    async def main() -> None:
        nonlocal strike, struck_twice
        async with scene(puzzel_time) as base:
            for at in range(1, await counted(base, prepare, call) + 1):
                one = evolve(base)
                await prepare(one)
                strike = Strike(at, later)
                await struck(one, strike, call)
                if 0 < strike.at < strike.second <= strike.steps:
                    struck_twice += 1
                    assert strike.steps - strike.second <= UNWINDS_IN, f"it went on for long: {strike}"
                assert (await (await base.chat.connect()).queue_info(base.sandbox.visual_queue_id)).is_open

    asyncio.run(main())
    assert struck_twice


def test_a_cancelled_leader_does_not_take_its_waiters_along(puzzel_time: VirtualTime) -> None:
    """The call that began a refresh is cancelled at each point; the others get the token all the same."""

    async def main() -> None:
        async with scene(puzzel_time) as base:
            for at in range(1, 12):
                await opened(base)
                session = base.talk.session
                puzzel_time.advance(899)
                refreshes = base.sandbox.stats().refreshes
                strike = Strike(at)
                leader = asyncio.ensure_future(_task(strike, session.queue_info(base.sandbox.visual_queue_id)))
                others = [asyncio.ensure_future(session.queue_info(base.sandbox.visual_queue_id)) for _ in range(5)]
                await asyncio.wait({leader, *others})
                assert leader.cancelled() or strike.steps < at
                assert all(other.result().is_open for other in others)
                assert base.sandbox.stats().refreshes == refreshes + 1

    asyncio.run(main())


async def _task(strike: Strike, call: Coroutine[Any, Any, Any]) -> Any:
    return await strike.through(call)


def test_what_ends_a_task_from_outside(puzzel_time: VirtualTime) -> None:
    """`asyncio.timeout`, `wait_for` and a failing task group end a search with their own error, and it was left."""

    async def fail(scene: Scene) -> None:
        await until_async(lambda: scene.sandbox.stats().requests.get("getRequestStatus", 0) > 2)
        raise LookupError("ours")

    async def wait(scene: Scene) -> None:
        await scene.talk.wait_for_agent(wait=1e9)

    async def both(*calls: Coroutine[Any, Any, Any]) -> None:
        async with asyncio.TaskGroup() as group:
            for call in calls:
                group.create_task(call)

    async def main() -> None:
        async with scene(puzzel_time) as base:
            one, two, three = evolve(base), evolve(base), evolve(base)
            for each in (one, two, three):
                await routed(each)
            with pytest.raises(TimeoutError):
                async with asyncio.timeout(0.05):
                    await wait(one)
            with pytest.raises(TimeoutError):
                await asyncio.wait_for(wait(two), 0.05)
            with pytest.raises(ExceptionGroup, match="unhandled"):
                await both(wait(three), fail(three))
            assert base.sandbox.stats().left_queue == 3

    asyncio.run(main())


def test_closing_while_calls_are_under_way() -> None:
    """A client that is closed beside ten searches, readers and senders leaves ten queues, and every call ends."""

    async def main() -> None:
        with Sandbox(script="helpful", pace=0, faults=(Fault.latency(0.05),)) as sandbox:
            chat = AsyncPuzzelChat(**settings(sandbox))
            talks = await asyncio.gather(*(chat.start("support", wait=20) for _ in range(5)))
            calls: list[Awaitable[Any]] = [chat.start("silent", wait=600) for _ in range(10)]
            calls += [_all(talk) for talk in talks]
            calls += [talk.send("Hello") for talk in talks]
            running = [asyncio.ensure_future(call) for call in calls]
            await until_async(lambda: sandbox.stats().routed == 15)
            await asyncio.sleep(0.02)
            await chat.aclose()
            done, pending = await asyncio.wait(running, timeout=60)
            assert not pending
            assert all(isinstance(one.exception() or one.result(), Exception | TextMessage) for one in done)
            await until_async(lambda: sandbox.stats().left_queue == 10)
            assert asyncio.all_tasks() == {asyncio.current_task()}

    asyncio.run(main())


async def _all(talk: AsyncConversation) -> list[Event]:
    return [event async for event in talk.events()]
